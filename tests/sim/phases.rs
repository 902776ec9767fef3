//! What a seed is made of besides its busy hours: the start, crashes, restarts, looks at the queues, the end.

use leveret::store::MemoryStore;
use leveret_codec::method::amqp::{AMQPClass, exchange, queue};
use leveret_codec::table::{AMQPValue, short_string};

use crate::broker::Broker;
use crate::client::{ChannelMode, Expected};
use crate::connection::Gone;
use crate::frames::table;
use crate::model::Violation;
use crate::store::{Failure, Medium};
use crate::topology::{DEAD, FANOUT, LATER, RECENT, REMEMBERED};
use crate::workload::Around;
use crate::world::World;

impl World {
    /// Everything stops at once; the broker comes back with what was on its disk.
    pub(crate) fn crash(&mut self) -> Result<(), Violation> {
        // Most is at stake when the store has done something while a commit is under way.
        let mut patience = self.random.pick(&[0, 600]);
        let mut before = self.broker.commits();
        while patience > 0 && !(self.model.commits() && self.broker.commits() > before) {
            if !self.model.commits() || self.random.percent(10) {
                before = self.broker.commits();
            }
            self.step(true)?;
            patience -= 1;
        }
        self.note("the broker crashes");
        self.restart(false)
    }

    /// The disk fails. The broker confirms nothing more and stops; it comes back with what is on the disk.
    pub(crate) fn lose_disk(&mut self) -> Result<(), Violation> {
        let failure = Failure { after: self.random.below(8), is_carried_out: self.random.percent(50) };
        self.note(&format!("the disk is going to fail: {failure:?}"));
        self.broker.fail_store(failure);
        let mut patience = 1_000;
        while !self.broker.has_failed() && patience > 0 {
            self.step(true)?;
            patience -= 1;
        }
        if self.broker.has_failed() {
            self.note("the disk has failed");
            self.model.figures.failures += 1;
            self.model.stopping = true;
            for _ in 0..self.random.below(60) {
                self.step(true)?;
            }
            self.broker.shut_down();
            for _ in 0..self.random.below(200) {
                self.step(false)?;
            }
        }
        self.restart(false)
    }

    /// The clients go, then the broker stops in order.
    pub(crate) fn restart_in_order(&mut self) -> Result<(), Violation> {
        self.close_all();
        self.rest()?;
        self.note("the broker is restarted");
        self.restart(true)
    }

    pub(crate) fn restart(&mut self, clean: bool) -> Result<(), Violation> {
        for client in &mut self.clients {
            client.drop_link(&mut self.broker, &mut self.model, Gone::Reset);
        }
        self.model.restarted();
        self.history.restarted();
        let nothing = Medium::Memory(MemoryStore::new());
        let empty = Broker::start(nothing, true, self.layout, self.now, &mut self.random);
        let broker = std::mem::replace(&mut self.broker, empty);
        let medium = if clean { broker.close() } else { broker.crash(self.now, &mut self.random) };
        self.now = self.now.plus_millis(self.random.pick(&[0, 50, 1_000]));
        self.broker = Broker::start(medium, clean, self.layout, self.now, &mut self.random);
        self.set_up()
    }

    pub(crate) fn observer(&self) -> usize {
        self.clients.len() - 1
    }

    /// Declares everything, as an application does when it starts.
    pub(crate) fn set_up(&mut self) -> Result<(), Violation> {
        self.connect_observer();
        self.declare_all();
        self.rest()
    }

    /// The observer connects and opens channel 1.
    pub(crate) fn connect_observer(&mut self) {
        let observer = self.observer();
        let connection = self.broker.connect(self.now, &mut self.random);
        let (client, broker, model) = (&mut self.clients[observer], &mut self.broker, &mut self.model);
        client.connect(broker, connection);
        client.open_channel(broker, model, 1, ChannelMode::Plain, 0);
    }

    /// Declares all exchanges and queues that are there for good, and binds them.
    pub(crate) fn declare_all(&mut self) {
        let observer = self.observer();
        let (client, broker, model) = (&mut self.clients[observer], &mut self.broker, &mut self.model);
        let text = |text: &str| AMQPValue::LongString(text.into());
        for (name, kind, arguments) in [
            (FANOUT, "fanout", vec![]),
            (DEAD, "direct", vec![]),
            (LATER, "x-delayed-message", vec![("x-delayed-type", text("direct"))]),
            (
                RECENT,
                "x-recent-history",
                vec![("x-recent-history-length", AMQPValue::ShortShortUInt(REMEMBERED))],
            ),
        ] {
            let declare = exchange::Declare {
                exchange: short_string(name),
                kind: short_string(kind),
                durable: true,
                arguments: table(arguments),
                ..exchange::Declare::default()
            };
            let method = AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare));
            client.ask(broker, 1, &method, Expected::Ok(40, 11));
        }
        for number in model.topology.permanent() {
            client.declare(broker, model, (1, number), Expected::Declared(number), false);
            let plan = &model.topology.queues[number];
            let bound =
                [(FANOUT, plan.in_fanout), (DEAD, !plan.takes_publishes), (LATER, plan.takes_delayed())];
            for (exchange, _) in bound.into_iter().filter(|(_, bound)| *bound) {
                let bind = queue::Bind {
                    queue: short_string(&plan.name),
                    exchange: short_string(exchange),
                    routing_key: short_string(&plan.name),
                    ..queue::Bind::default()
                };
                client.ask(broker, 1, &AMQPClass::Queue(queue::AMQPMethod::Bind(bind)), Expected::Ok(50, 21));
            }
        }
    }

    /// Asks every queue how many ready messages it has.
    pub(crate) fn look(&mut self) -> Result<(), Violation> {
        let observer = self.observer();
        // What is still on its way after a crash comes first.
        self.rest()?;
        self.clients[observer].counts.clear();
        for number in self.model.topology.permanent() {
            let expected = Expected::Declared(number);
            self.clients[observer].declare(&mut self.broker, &self.model, (1, number), expected, true);
        }
        self.rest()?;
        for (queue, ready) in self.clients[observer].counts.clone() {
            self.model.check_ready(queue, ready.into())?;
        }
        self.look_for_temporary()
    }

    pub(crate) fn close_all(&mut self) {
        let (broker, model) = (&mut self.broker, &mut self.model);
        let mut around = Around { broker, model, random: &mut self.random, now: self.now };
        for client in &mut self.clients {
            client.close_connection(&mut around);
        }
    }

    /// All clients go. Then one drains the queues, the first ones first, and every message is accounted for.
    pub(crate) fn drain(&mut self) -> Result<(), Violation> {
        self.close_all();
        self.rest()?;
        self.set_up()?;
        self.now = self.now.plus_millis(1_000);
        self.rest()?;
        self.look()?;
        self.note("the queues are drained");
        self.model.draining = true;
        let counts = self.clients[self.observer()].counts.clone();
        for (queue, ready) in counts {
            let before = self.model.figures.delivered;
            if self.random.percent(50) {
                self.drain_by_gets(queue, ready)?;
            } else {
                self.drain_queue(queue)?;
            }
            let delivered = self.model.figures.delivered - before;
            if delivered != u64::from(ready) {
                return Err(format!("queue {queue} counted {ready} messages and delivered {delivered}"));
            }
        }
        self.look()?;
        if let Some((queue, ready)) =
            self.clients[self.observer()].counts.iter().find(|(_, ready)| *ready > 0)
        {
            return Err(format!("queue {queue} still holds {ready} messages after it was drained"));
        }
        self.model.check_end(self.now)?;
        self.leave_nothing()
    }

    pub(crate) fn drain_queue(&mut self, queue: usize) -> Result<(), Violation> {
        let observer = self.observer();
        let prefetch = self.random.pick(&[0, 1, 7]);
        let (broker, model) = (&mut self.broker, &mut self.model);
        self.clients[observer].consume(broker, model, 1, queue, (prefetch, false));
        loop {
            self.calm()?;
            let before = self.model.figures.delivered;
            self.clients[observer].ack_all(&mut self.broker, &mut self.model, 1);
            self.calm()?;
            if self.model.figures.delivered == before {
                return Ok(());
            }
        }
    }

    pub(crate) fn drain_by_gets(&mut self, queue: usize, ready: u32) -> Result<(), Violation> {
        let observer = self.observer();
        for left in (0..ready).rev() {
            self.clients[observer].get_from(&mut self.broker, &mut self.model, 1, queue);
            self.calm()?;
            let remaining = self.clients[observer].remaining;
            if remaining != Some(left) {
                return Err(format!("get-ok of queue {queue} leaves {remaining:?}, not {left}"));
            }
            self.clients[observer].ack_all(&mut self.broker, &mut self.model, 1);
        }
        self.clients[observer].got_empty = false;
        self.clients[observer].get_from(&mut self.broker, &mut self.model, 1, queue);
        self.calm()?;
        if self.clients[observer].got_empty { Ok(()) } else { Err(format!("queue {queue} is not empty")) }
    }
}
