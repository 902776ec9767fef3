//! Consumer timeouts: who holds a message of such a queue for too long loses it, and is told: the consumer is
//! cancelled, or its channel closed (semantics 11.7). Nobody else is.
//!
//! The ledger knows of no delivery when exactly it was made, only that it was not before its consumer was asked for. So a
//! consumer timeout may be over sooner than the client would think; that it is over once all is quiet is certain.

use leveret::model::ids::Timestamp;

use crate::entries::unsure;
use crate::model::{ChannelSerial, ConsumerSerial, CopyKey, Holding, Model, Violation};
use crate::oracle::Receiver;
use crate::topology::QueueNumber;

impl Model {
    /// Whether a consumer timeout in this queue that began then, or later, may be over.
    pub(crate) fn may_be_over(&self, queue: QueueNumber, since: Timestamp) -> bool {
        self.topology.queues[queue]
            .consumer_timeout
            .is_some_and(|consumer_timeout| since.plus_millis(consumer_timeout) <= self.now)
    }

    /// Whether the queue may have taken this copy back, or the broker may have closed the channel that had it, or that was sent it.
    pub(crate) fn may_be_timed_out(&self, key: &CopyKey) -> bool {
        let seen = self.copies.get(key).is_some_and(|copy| {
            self.may_be_over(key.1, copy.held_since) || self.may_time_out(copy.last_channel)
        });
        seen || self.may_lose_a_channel(key.1)
    }

    /// Whether the broker may have closed a channel that was sent something of this queue which its client has not read: because
    /// of another queue, say, that the channel consumes from too.
    fn may_lose_a_channel(&self, queue: QueueNumber) -> bool {
        let consume = self.consumers.values().filter(|consumer| consumer.queue == queue);
        let get = self.channels.iter().filter(|(_, channel)| channel.gets.contains(&queue));
        let channels = consume.map(|consumer| consumer.channel).chain(get.map(|(serial, _)| *serial));
        channels.into_iter().any(|channel| self.may_time_out(channel))
    }

    /// Whether a delivery may come so late that the queue has taken the message back before it was read, and others have had
    /// it since.
    pub(crate) fn may_be_stale(&self, key: &CopyKey, to: Receiver) -> bool {
        let others = self.copies.get(key).is_some_and(|copy| copy.deliveries > 0);
        let is_over = self.may_be_over(key.1, self.earliest(to.consumer)) || self.may_time_out(to.channel);
        others && !to.no_ack && is_over
    }

    /// Whether anything may be taken back at all.
    pub(crate) fn has_consumer_timeouts(&self) -> bool {
        self.topology.queues.iter().any(|plan| plan.consumer_timeout.is_some())
    }

    /// Not before this time the consumer was given anything: where the oldest is overdue, all is taken back. Of those who
    /// get nothing is known.
    pub(crate) fn earliest(&self, consumer: Option<ConsumerSerial>) -> Timestamp {
        let consumer = consumer.and_then(|serial| self.consumers.get(&serial));
        consumer.map(|consumer| consumer.since).unwrap_or_default()
    }

    /// The broker cancelled a consumer that held something for too long: all that it holds comes back.
    pub(crate) fn consumer_timed_out(&mut self, serial: ConsumerSerial) {
        self.figures.timeouts += 1;
        let Some((channel, queue)) = self.consumers.get(&serial).map(|one| (one.channel, one.queue)) else {
            return;
        };
        self.queues[queue].disturbed = true;
        for (key, holding) in self.holdings.range((channel, 0)..=(channel, u64::MAX)) {
            let copy = self.copies.get_mut(&holding.copy).filter(|copy| copy.holder == Some(*key));
            if let Some(copy) = copy.filter(|_| holding.consumer == Some(serial)) {
                copy.holder = None;
            }
        }
        self.doubt_acks(queue);
    }

    /// Whether the broker may close this channel because of a consumer timeout.
    pub(crate) fn may_time_out(&self, channel: ChannelSerial) -> bool {
        if !self.has_consumer_timeouts() {
            return false;
        }
        let has_timeout = |queue: QueueNumber| self.topology.queues[queue].consumer_timeout.is_some();
        let gets = self
            .channels
            .get(&channel)
            .is_some_and(|state| state.gets.iter().any(|&queue| has_timeout(queue)));
        let mut consumers = self.consumers.values().filter(|consumer| consumer.channel == channel);
        gets || consumers.any(|consumer| self.may_be_over(consumer.queue, consumer.since))
    }

    /// What settlements the queue may have heard too late is not known.
    fn doubt_acks(&mut self, queue: QueueNumber) {
        let dead_letters = self.topology.queues[queue].dead_letters.is_some();
        for ((_, own, _), copy) in &mut self.copies {
            if *own == queue && copy.end.is_some_and(|end| !end.in_time) {
                unsure(copy, dead_letters);
            }
        }
    }

    /// Nobody does anything before the clock moves on: what was settled by now was settled in time, or never will be.
    pub(crate) fn calm(&mut self) {
        let settled = self.copies.iter().filter(|(_, copy)| copy.end.is_some_and(|end| !end.in_time));
        let in_time: Vec<CopyKey> =
            settled.filter(|(key, _)| !self.may_be_timed_out(key)).map(|(key, _)| key.clone()).collect();
        for key in in_time {
            if let Some(end) = self.copies.get_mut(&key).and_then(|copy| copy.end.as_mut()) {
                end.in_time = true;
            }
        }
    }

    /// Nothing happens any more however far the clock moves on: no consumer holds anything of a queue with a consumer
    /// timeout.
    pub(crate) fn check_consumer_timeouts(&self) -> Result<(), Violation> {
        let overdue = self.holdings.iter().find(|((channel, _), holding)| {
            let is_open = self.channels.get(channel).is_some_and(|channel| channel.open);
            let serial = holding.consumer;
            let consumes =
                serial.is_none_or(|serial| self.consumers.get(&serial).is_some_and(|one| one.alive));
            let is_there = self.copies.get(&holding.copy).is_some_and(|copy| copy.end.is_none());
            self.topology.queues[holding.copy.1].consumer_timeout.is_some() && is_open && consumes && is_there
        });
        match overdue {
            Some((holder, Holding { copy, .. })) => Err(format!(
                "{holder:?} holds {copy:?} for longer than its consumer timeout, and nobody tells it so"
            )),
            None => Ok(()),
        }
    }

    /// The same, written down.
    pub(crate) fn consumer_timeouts_are_over(&mut self) {
        for (number, plan) in self.topology.queues.clone().iter().enumerate() {
            if plan.consumer_timeout.is_none() {
                continue;
            }
            self.doubt_acks(number);
            for ((_, own, _), copy) in &mut self.copies {
                if *own == number && copy.holder.take().is_some() {
                    self.queues[number].disturbed = true;
                }
            }
        }
    }
}
