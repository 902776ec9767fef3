//! Queues that go by themselves: exclusive ones with their connection, others with their last consumer or once nobody
//! has used them for some time. Whether they are there is known whenever nothing is on its way.

use leveret_codec::method::amqp::{AMQPClass, queue};
use leveret_codec::table::short_string;

use crate::client::{ChannelMode, Client, Expected};
use crate::model::{Model, Queue, Violation};
use crate::oracle::require;
use crate::topology::{Lifetime, QueueNumber, QueuePlan};
use crate::workload::Around;
use crate::world::World;

/// How long such a queue is there unused, in milliseconds: longer than a consumer needs to get there.
const EXPIRES: u64 = 20_000;
/// The observer's channel for what may be refused.
const CHANNEL: u16 = 3;
const NOT_FOUND: u16 = 404;
const RESOURCE_LOCKED: u16 = 405;

/// What the ledger knows of a queue that goes by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Presence {
    /// Its owner was told that it is there.
    declared: bool,
    owner_gone: bool,
    /// The broker was restarted since.
    restarted: bool,
    /// It was looked at, and not found.
    gone: bool,
}

impl Client {
    /// Declares a queue that goes by itself, and consumes from it.
    pub(crate) fn declare_own(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let random = &mut *around.random;
        let lifetime = random.pick(&[Lifetime::Exclusive, Lifetime::AutoDelete, Lifetime::Expires(EXPIRES)]);
        if around.model.topology.queues.len() > 14 {
            return String::new();
        }
        let serial = self.serial();
        let plan =
            QueuePlan { lifetime, durable: random.percent(50), ..QueuePlan::plain(&format!("own-{serial}")) };
        let told = format!("declares {} on {number}, {lifetime:?}", plan.name);
        let queue = around.model.add_queue(plan);
        let Some(link) = self.link.as_mut() else { return String::new() };
        if lifetime == Lifetime::Exclusive {
            link.exclusive.push(queue);
        }
        self.declare(around.broker, around.model, (number, queue), Expected::Own(queue), false);
        self.consume(around.broker, around.model, number, queue, (around.random.pick(&[0, 1, 3]), false));
        told
    }
}

impl Model {
    fn add_queue(&mut self, plan: QueuePlan) -> QueueNumber {
        self.topology.queues.push(plan);
        self.queues.push(Queue::default());
        self.queues.len() - 1
    }

    /// One of the queues that go by themselves, which may have gone.
    pub(crate) fn temporary(&self, which: usize) -> Option<QueueNumber> {
        let temporary = |number: &QueueNumber| !self.topology.queues[*number].is_permanent();
        (0..self.queues.len()).filter(temporary).nth(which)
    }

    /// The broker says that it has declared the queue.
    pub(crate) fn declared(&mut self, queue: QueueNumber) {
        self.queues[queue].presence.declared = true;
    }

    /// The connection that owned these has gone.
    pub(crate) fn owner_gone(&mut self, queues: &[QueueNumber]) {
        queues.iter().for_each(|&queue| self.queues[queue].presence.owner_gone = true);
    }

    /// The broker was restarted.
    pub(crate) fn presence_doubtful(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.presence.restarted = true);
    }

    /// Nothing is on its way: whether this queue has to be there.
    fn has_to_be(&self, queue: QueueNumber) -> Option<bool> {
        let presence = self.queues[queue].presence;
        if presence.gone {
            return Some(false);
        }
        let consumers = || self.consumers.values().filter(|consumer| consumer.queue == queue);
        let is_used = consumers().any(|consumer| consumer.alive);
        let was_used = consumers().any(|consumer| consumer.confirmed_at.is_some());
        match self.topology.queues[queue].lifetime {
            Lifetime::Permanent => Some(true),
            Lifetime::Exclusive if presence.owner_gone || presence.restarted => Some(false),
            Lifetime::Exclusive => presence.declared.then_some(true),
            Lifetime::Expires(_) => Some(is_used),
            // Of a consumer that was never confirmed nobody knows whether it came, nor of one before a restart.
            Lifetime::AutoDelete => {
                is_used.then_some(true).or((was_used && !presence.restarted).then_some(false))
            }
        }
    }

    /// A look found the queue there.
    pub(crate) fn present(&mut self, queue: QueueNumber) -> Result<(), Violation> {
        require(self.has_to_be(queue) != Some(false), || {
            format!("queue {queue} is there though it has to be gone: {:?}", self.queues[queue].presence)
        })
    }

    /// A look was refused.
    pub(crate) fn absent(&mut self, queue: QueueNumber, code: u16) -> Result<(), Violation> {
        if code == RESOURCE_LOCKED {
            return self.present(queue);
        }
        require(code == NOT_FOUND && self.has_to_be(queue) != Some(true), || {
            format!(
                "queue {queue} answers {code} though it has to be there: {:?}",
                self.queues[queue].presence
            )
        })?;
        self.figures.gone += u64::from(!std::mem::replace(&mut self.queues[queue].presence.gone, true));
        Ok(())
    }
}

impl World {
    /// Looks whether the queues that go by themselves are there. Nothing is on its way.
    pub(crate) fn look_for_temporary(&mut self) -> Result<(), Violation> {
        let observer = self.observer();
        for number in 0..self.model.topology.queues.len() {
            if self.model.topology.queues[number].is_permanent() {
                continue;
            }
            let (client, broker, model) = (&mut self.clients[observer], &mut self.broker, &mut self.model);
            if client.channel(CHANNEL).is_none() {
                client.open_channel(broker, model, CHANNEL, ChannelMode::Plain, 0);
            }
            let name = short_string(&model.topology.queues[number].name);
            let look = queue::Declare { queue: name, passive: true, ..queue::Declare::default() };
            let method = AMQPClass::Queue(queue::AMQPMethod::Declare(look));
            client.ask(broker, CHANNEL, &method, Expected::Presence(number));
            self.calm()?;
        }
        Ok(())
    }
}
