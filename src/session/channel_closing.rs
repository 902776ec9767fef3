//! What happens to a channel when it goes: what it holds is given back.

use std::collections::BTreeSet;

use crate::model::port::BrokerPort;

use super::channel::ChannelMode;
use super::channel_context::ChannelContext;
use super::failure::Failure;

impl<P: BrokerPort> ChannelContext<'_, P> {
    /// Closes the channel for a failure: says so and gives all back at once (semantics 0.6).
    pub(super) fn close_with(&mut self, failure: &Failure) {
        self.flush_confirms();
        self.out.say_channel_close(self.number, failure);
        self.release();
    }

    /// Gives back what the channel holds: its consumers end, what is unacked is requeued, a transaction is dropped.
    pub(super) fn release(&mut self) {
        self.flush_settlement();
        let mut held = BTreeSet::new();
        let consumers = std::mem::take(&mut self.channel.consumers);
        let count = consumers.len();
        for number in consumers.into_values() {
            held.extend(self.remove_consumer(number).map(|queue| (queue, number)));
        }
        self.out.port.close_channel(self.out.now, self.number, count);
        held.extend(self.channel.unacked.iter().map(|entry| (entry.queue, entry.consumer)));
        self.shared.held.subtract(std::mem::take(&mut self.channel.content.counted));
        self.shared.counts.close_channel(&mut self.channel.counts);
        if let ChannelMode::Transaction(transaction) = &mut self.channel.mode {
            self.shared.held.subtract(std::mem::take(&mut transaction.bytes));
            held.extend(transaction.entries().map(|entry| (entry.queue, entry.consumer)));
        }
        for (queue, consumer) in held {
            self.out.port.detach(queue, consumer);
        }
        if let Some(reply) = self.channel.direct_reply.take() {
            self.out.port.close_direct_reply(reply.consumer);
        }
    }
}
