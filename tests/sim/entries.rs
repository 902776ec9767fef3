//! What the ledger writes down: only what clients do and see, and that the broker restarted.
//!
//! What a dying connection or broker did with the last words of a client is not knowable from outside; such copies are
//! marked, and may then be gone or come again, but nothing else.

use std::collections::BTreeSet;

use leveret::model::ids::Timestamp;

use crate::model::{
    Channel, ChannelSerial, Consumer, ConsumerSerial, Copy, End, Fate, Holding, How, Message, MessageId,
    Model, Path, Sent, Violation,
};
use crate::oracle::require;
use crate::topology::{Full, QueueNumber, QueuePlan};

impl Model {
    /// A number for the next message.
    pub(crate) fn issue(&mut self) -> MessageId {
        self.issued += 1;
        self.issued
    }

    /// A channel is opened; `prefetch` is what its consumers share.
    pub(crate) fn channel_opened(&mut self, channel: ChannelSerial, prefetch: u32) {
        self.channels.insert(channel, Channel { open: true, prefetch, ..Channel::default() });
    }

    /// A client sends a message; in a transaction, its commit.
    pub(crate) fn published(&mut self, now: Timestamp, sent: Sent) {
        self.figures.published += 1;
        if let (Some(sequence), Some(channel)) = (sent.confirm, self.channels.get_mut(&sent.channel)) {
            channel.unconfirmed.insert(sequence, sent.id);
            channel.last_sequence = sequence;
        }
        if let Some(channel) = self.channels.get_mut(&sent.channel).filter(|_| sent.targets.is_empty()) {
            channel.unroutable.insert(sent.id);
        }
        for &queue in &sent.targets {
            self.queues[queue].published += 1;
            let maybe_refused = self.topology.queues[queue].full != Full::DropHead;
            let copy = Copy { maybe_refused, ..Copy::default() };
            self.copies.insert((sent.id, queue, Path::new()), copy);
        }
        self.messages.insert(sent.id, Message { sent, at: now, life: self.life, fate: Fate::Open });
    }

    pub(crate) fn get_asked(&mut self, channel: ChannelSerial, queue: QueueNumber) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.gets.insert(queue);
        }
    }

    pub(crate) fn consumer_asked(&mut self, serial: ConsumerSerial, consumer: Consumer) {
        self.consumers.insert(serial, consumer);
    }

    pub(crate) fn consumer_confirmed(&mut self, serial: ConsumerSerial) {
        let step = self.step;
        if let Some(consumer) = self.consumers.get_mut(&serial) {
            consumer.confirmed_at = Some(step);
        }
    }

    /// A client asks for the end of a consumer. What it holds stays with its channel.
    pub(crate) fn consumer_cancelled(&mut self, serial: ConsumerSerial) {
        if let Some(consumer) = self.consumers.get_mut(&serial) {
            consumer.alive = false;
            self.queues[consumer.queue].disturbed = true;
        }
    }

    /// The broker cancels a consumer: its queue is gone.
    pub(crate) fn consumer_dismissed(&mut self, serial: ConsumerSerial) -> Result<(), Violation> {
        let Some(consumer) = self.consumers.get_mut(&serial) else { return Ok(()) };
        let dismissed = std::mem::take(&mut consumer.dismissed) || !consumer.alive;
        consumer.alive = false;
        let (since, queue) = (consumer.since, consumer.queue);
        if !dismissed && self.may_be_over(queue, since) {
            self.consumer_timed_out(serial);
            return Ok(());
        }
        require(dismissed, || format!("consumer {serial} is cancelled, and nobody asked for that"))
    }

    /// A client settles deliveries it holds. In a transaction: it sends the commit.
    pub(crate) fn settled(&mut self, channel: ChannelSerial, tags: &[u64], how: How) {
        let consumer_timeouts = self.has_consumer_timeouts();
        for &tag in tags {
            let Some(holding) = self.holdings.remove(&(channel, tag)) else {
                debug_assert!(false, "the simulated client settles what it does not hold");
                continue;
            };
            self.release(channel, &holding);
            let Some(copy) = self.copies.get_mut(&holding.copy) else { continue };
            copy.rejected |= how == How::Discard;
            // What a deleted queue gave out may be settled, or what was taken back, and that means nothing.
            if copy.holder.take_if(|holder| *holder == (channel, tag)).is_none() || copy.end.is_some() {
                continue;
            }
            match how {
                How::Ack | How::Discard => {
                    let in_time = !consumer_timeouts;
                    copy.end = Some(End { how, by: channel, sure: false, in_time });
                }
                How::Requeue { failed } => {
                    copy.failures += u32::from(failed);
                    wait(copy, &self.topology.queues[holding.copy.1], self.now);
                }
                How::Purged => {}
            }
        }
    }

    fn release(&mut self, channel: ChannelSerial, holding: &Holding) {
        let Some(consumer) = holding.consumer.and_then(|serial| self.consumers.get_mut(&serial)) else {
            return;
        };
        consumer.held -= 1;
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.held -= 1;
        }
    }

    /// The broker answered a commit: what was in it, and all before it on this channel, is on disk. A dead letter may
    /// still be on its way. `is_last`: no other commit is under way, so that all that was settled was in it.
    pub(crate) fn committed(&mut self, channel: ChannelSerial, published: &[MessageId], is_last: bool) {
        self.transaction_answered(channel);
        for id in published {
            if let Some(message) = self.messages.get_mut(id) {
                message.fate = Fate::Promised;
            }
        }
        for ((_, queue, _), copy) in &mut self.copies {
            if let Some(end) = copy.end.as_mut().filter(|end| is_last && end.by == channel) {
                end.sure |= end.how == How::Ack || self.topology.queues[*queue].dead_letters.is_none();
            }
        }
    }

    /// A client closes a channel in order (or its connection): what it sent before is heard, what it holds comes back.
    pub(crate) fn channel_closed(&mut self, channel: ChannelSerial) {
        let Some(state) = self.channels.get_mut(&channel) else { return };
        state.open = false;
        state.gets.iter().for_each(|&queue| self.queues[queue].disturbed = true);
        for consumer in self.consumers.values_mut().filter(|consumer| consumer.channel == channel) {
            consumer.alive = false;
            self.queues[consumer.queue].disturbed = true;
            self.queues[consumer.queue].leaking |= consumer.no_ack;
        }
        let held: Vec<_> =
            self.holdings.range((channel, 0)..=(channel, u64::MAX)).map(|(key, _)| *key).collect();
        for key in held {
            let Some(holding) = self.holdings.remove(&key) else { continue };
            self.queues[holding.copy.1].disturbed = true;
            let copy = self.copies.get_mut(&holding.copy);
            if let Some(copy) = copy.filter(|copy| copy.holder == Some(key)) {
                copy.holder = None;
                copy.failures += 1;
                wait(copy, &self.topology.queues[holding.copy.1], self.now);
            }
        }
    }

    /// A client's connection breaks: nobody knows how much of what was said last on this channel was heard.
    pub(crate) fn channel_lost(&mut self, channel: ChannelSerial) {
        self.channel_closed(channel);
        let open: BTreeSet<MessageId> = self
            .messages
            .values()
            .filter(|message| message.sent.channel == channel && message.fate == Fate::Open)
            .map(|message| message.sent.id)
            .collect();
        for ((id, queue, _), copy) in &mut self.copies {
            copy.maybe_gone |= open.contains(id);
            if copy.end.is_some_and(|end| end.by == channel && !end.sure) {
                unsure(copy, self.topology.queues[*queue].dead_letters.is_some());
                self.queues[*queue].disturbed = true;
            }
        }
    }

    /// A client gives back everything it holds on a channel, and what is on its way to it, which nobody sees.
    pub(crate) fn recovered(&mut self, channel: ChannelSerial, held: &[u64]) {
        self.settled(channel, held, How::Requeue { failed: false });
        let gets = self.channels.get(&channel).map(|channel| channel.gets.clone()).unwrap_or_default();
        let consumers = self.consumers.values().filter(|consumer| consumer.channel == channel);
        for queue in consumers.map(|consumer| consumer.queue).chain(gets) {
            self.queues[queue].disturbed = true;
        }
    }

    /// A queue was purged, or deleted with what consumers held, while nothing was on its way: what was there never comes
    /// back.
    pub(crate) fn purged(&mut self, queue: QueueNumber, deleted: bool) {
        for ((_, own, _), copy) in &mut self.copies {
            let is_there = copy.end.is_none() && (deleted || copy.holder.is_none());
            if *own == queue && is_there {
                copy.end = Some(End { how: How::Purged, by: 0, sure: true, in_time: true });
            }
        }
        for consumer in
            self.consumers.values_mut().filter(|consumer| consumer.queue == queue && consumer.alive)
        {
            consumer.dismissed |= deleted;
        }
        // Dead letters lay there that nobody has seen yet.
        self.queues[queue].leaked = self.issued;
    }

    /// A client purges a queue that others are busy with: what lies there may be lost unseen.
    pub(crate) fn purge_asked(&mut self, queue: QueueNumber) {
        self.queues[queue].leaking = true;
        self.queues[queue].disturbed = true;
    }

    /// The broker stopped and is started again on what was on its disk.
    pub(crate) fn restarted(&mut self) {
        self.figures.restarts += 1;
        self.stopping = false;
        self.presence_doubtful();
        let open: Vec<_> =
            self.channels.iter().filter(|(_, channel)| channel.open).map(|(id, _)| *id).collect();
        open.into_iter().for_each(|channel| self.channel_lost(channel));
        self.life += 1;
        for ((id, queue, path), copy) in &mut self.copies {
            let Some(message) = self.messages.get(id) else { continue };
            let (plan, persistent) = (&self.topology.queues[*queue], message.sent.persistent);
            let on_disk = if path.is_empty() { message.fate == Fate::Promised } else { copy.committed };
            if let Some(End { sure: false, .. }) = copy.end {
                unsure(copy, plan.dead_letters.is_some());
            }
            let moved_away = plan.dead_letters.is_some() && !persistent;
            // What was said of it last may not be on disk.
            copy.not_before = Timestamp(0);
            copy.maybe_gone |= !(on_disk && plan.keeps(persistent)) || moved_away;
            copy.holder = None;
        }
        self.queues.iter_mut().for_each(|queue| queue.disturbed = true);
    }

    /// Nothing is on its way anywhere, and everything is on disk.
    pub(crate) fn quiet(&mut self) {
        self.consumer_timeouts_are_over();
        let next = self.issued + 1;
        for queue in &mut self.queues {
            if std::mem::take(&mut queue.disturbed) {
                queue.clean_from = next;
            }
            if std::mem::take(&mut queue.leaking) {
                queue.leaked = self.issued;
            }
        }
        for message in self.messages.values_mut().filter(|message| message.fate == Fate::Open) {
            let refuses = |queue: &QueueNumber| self.topology.queues[*queue].full != Full::DropHead;
            if !message.sent.targets.iter().any(refuses) {
                message.fate = Fate::Promised;
            }
        }
        for copy in self.copies.values_mut() {
            copy.committed = copy.deliveries > 0;
            if let Some(end) = &mut copy.end {
                end.sure = true;
            }
        }
    }
}

/// Whether the client's word about this copy was heard is not known any more.
pub(crate) fn unsure(copy: &mut Copy, dead_letters: bool) {
    let dropped = copy.end.is_some_and(|end| end.how == How::Ack) || !dead_letters;
    copy.maybe_gone |= dropped;
    copy.end = None;
}

/// A message comes back to a queue that has it wait. How often it has failed the broker may know better, and has it wait longer.
fn wait(copy: &mut Copy, queue: &QueuePlan, now: Timestamp) {
    if let Some((least, most)) = queue.retry {
        copy.not_before = now.plus_millis(least.min(most));
    }
}
