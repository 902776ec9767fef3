//! What a connection and its channels count: plain additions where something happens. Whom it is told is in `inquiry`.

use std::collections::BTreeMap;

use crate::model::counters::{
    ChannelCount, ChannelCounters, ConsumerCount, ExchangeCount, SIZE_BOUNDS, Sizes,
};
use crate::model::holdings::Holdings;
use crate::model::ids::ConsumerNumber;

/// Exchanges that are kept apart: pairs of a channel and an exchange over all channels of a connection, and exchanges of channels
/// that are closed. What is beyond is counted by channel alone.
const MOST_EXCHANGES: usize = 1024;

pub(super) type ByExchange = BTreeMap<Box<[u8]>, ExchangeCount>;

/// What a channel has counted.
#[derive(Debug, Default)]
pub(super) struct ChannelTally {
    counters: ChannelCounters,
    /// The exchange that was published to last: nearly always it is the next one, too.
    last: Option<(Box<[u8]>, ExchangeCount)>,
    others: ByExchange,
    /// Acks of the consumer whose delivery was acked last.
    acked: (ConsumerNumber, u64),
}

/// What a connection has counted besides.
#[derive(Debug, Default)]
pub(super) struct ConnectionTally {
    sizes: Sizes,
    /// Of the channels that are closed.
    closed: ChannelCounters,
    closed_exchanges: ByExchange,
    /// How many pairs of open channels and exchanges there are.
    pairs: usize,
}

impl ChannelTally {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let ChannelTally { counters: _, last: _, others, acked: _ } = self;
        into.in_use("channel: exchanges published to", others);
    }

    #[inline]
    pub(super) fn add(&mut self, count: ChannelCount, by: u64) {
        self.counters.add(count, by);
    }

    /// A message went to a consumer, which has got what `consumer` says before.
    #[inline]
    pub(super) fn delivered(&mut self, consumer: &mut ConsumerCount, no_ack: bool, redelivered: bool) {
        let count = if no_ack { ChannelCount::DeliverNoAck } else { ChannelCount::Deliver };
        self.counters.add(count, 1);
        consumer.delivered += 1;
        if redelivered {
            self.counters.add(ChannelCount::Redelivered, 1);
            consumer.redelivered += 1;
        }
    }

    /// So many deliveries of a consumer were acked. Returns what is to be added to the consumer before it, where it is
    /// another one.
    #[inline]
    pub(super) fn acked(&mut self, consumer: ConsumerNumber, count: u64) -> Option<(ConsumerNumber, u64)> {
        self.counters.add(ChannelCount::Acked, count);
        if self.acked.0 == consumer {
            self.acked.1 += count;
            return None;
        }
        Some(std::mem::replace(&mut self.acked, (consumer, count))).filter(|(_, count)| *count > 0)
    }

    pub(super) fn exchanges(&self) -> impl Iterator<Item = (&[u8], &ExchangeCount)> {
        let last = self.last.iter().map(|(name, count)| (&**name, count));
        last.chain(self.others.iter().map(|(name, count)| (&**name, count)))
    }

    pub(super) fn counters(&self) -> &ChannelCounters {
        &self.counters
    }

    /// What a consumer got, with the acks that were not added to it yet.
    pub(super) fn of_consumer(&self, number: ConsumerNumber, consumer: ConsumerCount) -> ConsumerCount {
        let more = if self.acked.0 == number { self.acked.1 } else { 0 };
        ConsumerCount { acked: consumer.acked + more, ..consumer }
    }
}

impl ConnectionTally {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        // What was counted on channels that are closed stays, as long as there is the connection; it is bounded.
        let ConnectionTally { sizes: _, closed: _, closed_exchanges: _, pairs } = self;
        into.in_use("session: exchanges published to", pairs);
    }

    /// A message with a body of so many bytes came to an exchange, and went to so many queues.
    #[inline]
    pub(super) fn published(&mut self, channel: &mut ChannelTally, exchange: &[u8], bytes: usize, to: u64) {
        self.sizes.add(&SIZE_BOUNDS, bytes as u64);
        match &mut channel.last {
            // The default exchange has no name, and to compare nothing is slow (`port/route_cache.rs`).
            Some((name, count))
                if name.len() == exchange.len() && (exchange.is_empty() || **name == *exchange) =>
            {
                count.published += 1;
                count.routed += to;
            }
            _ => self.change_exchange(channel, exchange, to),
        }
    }

    #[cold]
    fn change_exchange(&mut self, channel: &mut ChannelTally, exchange: &[u8], to: u64) {
        if let Some((name, count)) = channel.last.take() {
            channel.others.insert(name, count);
        }
        let known = channel.others.remove(exchange);
        if known.is_none() {
            if self.pairs >= MOST_EXCHANGES {
                return;
            }
            self.pairs += 1;
        }
        let mut count = known.unwrap_or_default();
        count += &ExchangeCount { published: 1, routed: to };
        channel.last = Some((exchange.into(), count));
    }

    /// What was published, by the size of the bodies.
    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// What channels counted that are closed.
    pub(super) fn closed(&self) -> (ChannelCounters, &ByExchange) {
        (self.closed, &self.closed_exchanges)
    }

    /// What a channel counted stays when it is closed.
    pub(super) fn close_channel(&mut self, channel: &mut ChannelTally) {
        let ChannelTally { counters, last, others, acked: _ } = std::mem::take(channel);
        self.closed += &counters;
        for (name, count) in last.into_iter().chain(others) {
            self.pairs -= 1;
            if self.closed_exchanges.len() < MOST_EXCHANGES || self.closed_exchanges.contains_key(&name) {
                *self.closed_exchanges.entry(name).or_default() += &count;
            }
        }
    }
}
