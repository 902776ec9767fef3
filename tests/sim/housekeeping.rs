//! What an administrator does while nothing is on its way: queues are purged and deleted, and made again. The counts in
//! the answers are known, and what was there never comes back.

use leveret_codec::method::amqp::{AMQPClass, queue};
use leveret_codec::table::short_string;

use crate::client::{ChannelMode, Expected};
use crate::model::Violation;
use crate::topology::QueueNumber;
use crate::world::World;

/// The observer's channel for what may be refused.
const CHANNEL: u16 = 2;
/// What a queue that is in use, or not empty, answers.
const PRECONDITION_FAILED: u16 = 406;

impl World {
    /// Purges or deletes some of the queues. They have just been looked at.
    pub(crate) fn keep_house(&mut self) -> Result<(), Violation> {
        for (number, ready) in self.clients[self.observer()].counts.clone() {
            match self.random.below(6) {
                0 => self.purge(number, ready)?,
                1 => self.delete(number, ready)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn purge(&mut self, number: QueueNumber, ready: u32) -> Result<(), Violation> {
        self.note(&format!("queue {number} is purged"));
        let name = short_string(&self.model.topology.queues[number].name);
        let purge = queue::Purge { queue: name, nowait: false };
        self.model.purged(number, false);
        self.model.figures.purged += 1;
        let answer = self.ask_to_remove(queue::AMQPMethod::Purge(purge))?;
        if answer == Ok(ready) {
            Ok(())
        } else {
            Err(format!("queue {number} had {ready} ready, and a purge took {answer:?}"))
        }
    }

    fn delete(&mut self, number: QueueNumber, ready: u32) -> Result<(), Violation> {
        let (if_unused, if_empty) = (self.random.percent(30), self.random.percent(30));
        let is_used = self.model.consumers.values().any(|one| one.queue == number && one.alive);
        let refused = (if_unused && is_used) || (if_empty && ready > 0);
        self.note(&format!("queue {number} is deleted, if unused {if_unused}, if empty {if_empty}"));
        let name = short_string(&self.model.topology.queues[number].name);
        let delete = queue::Delete { queue: name, if_unused, if_empty, nowait: false };
        if !refused {
            self.model.purged(number, true);
            self.model.figures.deleted += 1;
        }
        let answer = self.ask_to_remove(queue::AMQPMethod::Delete(delete))?;
        let expected = if refused { Err(PRECONDITION_FAILED) } else { Ok(ready) };
        if answer != expected {
            return Err(format!("deleting queue {number}: {answer:?} and not {expected:?}"));
        }
        self.declare_all();
        self.rest()
    }

    /// What the broker answers: how many messages went, or with which code it refused.
    fn ask_to_remove(&mut self, method: queue::AMQPMethod) -> Result<Result<u32, u16>, Violation> {
        let observer = self.observer();
        let (client, broker, model) = (&mut self.clients[observer], &mut self.broker, &mut self.model);
        client.removed = None;
        client.refused.clear();
        if client.channel(CHANNEL).is_none() {
            client.open_channel(broker, model, CHANNEL, ChannelMode::Plain, 0);
        }
        client.ask(broker, CHANNEL, &AMQPClass::Queue(method), Expected::Removed);
        self.rest()?;
        let client = &self.clients[observer];
        match (client.removed, client.refused.first()) {
            (Some(removed), None) => Ok(Ok(removed)),
            (None, Some((_, code))) => Ok(Err(*code)),
            both => Err(format!("a purge or a delete is answered by {both:?}")),
        }
    }
}
