//! What a connection answers to whoever asks what it has counted and how it stands: looked up when somebody asks, no more of it
//! than a turn has time for.

use std::ops::Bound;

use crate::model::counters::{ChannelCount, ExchangeCount, Traffic};
use crate::model::ids::{ChannelNumber, ConsumerNumber, Name};
use crate::model::port::BrokerPort;
use crate::model::question::{
    ChannelCounts, ConnectionAnswer, ConnectionCounts, ConnectionQuestion, ConnectionTotals,
    ConsumerDescription, MOST_ASKED,
};

use super::channel::{Channel, ChannelMode};
use super::connection::{ChannelState, Connection};
use super::tally::ByExchange;
use super::{Phase, Session};

fn named(exchanges: ByExchange) -> Vec<(Name, ExchangeCount)> {
    exchanges.into_iter().map(|(name, count)| (Name::from(&*String::from_utf8_lossy(&name)), count)).collect()
}

impl Connection {
    fn open_channels(&self) -> impl Iterator<Item = (ChannelNumber, &Channel)> {
        self.channels.iter().filter_map(|(number, slot)| match slot {
            ChannelState::Open(channel) => Some((*number, &**channel)),
            ChannelState::Closing => None,
        })
    }

    /// All that it has counted.
    pub(super) fn totals(&self, traffic: Traffic) -> ConnectionTotals {
        let tally = &self.shared.counts;
        let (mut counters, exchanges) = tally.closed();
        let mut exchanges = exchanges.clone();
        for (_, channel) in self.open_channels() {
            counters += channel.counts.counters();
            for (name, count) in channel.counts.exchanges() {
                *exchanges.entry(name.into()).or_default() += count;
            }
        }
        ConnectionTotals { traffic, counters, sizes: tally.sizes(), exchanges: named(exchanges) }
    }

    /// Channels behind this one, so many of them and of what they published to; and whether these were all.
    fn tell_channels(&self, after: Option<ChannelNumber>) -> (Vec<ChannelCounts>, bool) {
        let (mut told, mut items) = (Vec::new(), 0);
        for (number, channel) in self.open_channels().filter(|(number, _)| after < Some(*number)) {
            if items >= MOST_ASKED {
                return (told, false);
            }
            let described = self.tell_channel(number, channel);
            items += 1 + described.exchanges.len();
            told.push(described);
        }
        (told, true)
    }

    fn tell_channel(&self, number: ChannelNumber, channel: &Channel) -> ChannelCounts {
        let (uncommitted, acks_uncommitted) = match &channel.mode {
            ChannelMode::Transaction(transaction) => (transaction.publishes.len(), transaction.settled),
            ChannelMode::Plain | ChannelMode::Confirm(_) => (0, 0),
        };
        let exchanges = channel.counts.exchanges().map(|(name, count)| (name.into(), *count)).collect();
        ChannelCounts {
            number,
            counters: *channel.counts.counters(),
            exchanges: named(exchanges),
            confirms: matches!(channel.mode, ChannelMode::Confirm(_)),
            is_transactional: matches!(channel.mode, ChannelMode::Transaction(_)),
            consumers: channel.consumers.len() as u64,
            unacked: channel.unacked.count(),
            unconfirmed: match &channel.mode {
                ChannelMode::Confirm(confirms) => confirms.unconfirmed(),
                ChannelMode::Plain | ChannelMode::Transaction(_) => 0,
            },
            uncommitted: uncommitted as u64,
            acks_uncommitted: acks_uncommitted as u64,
            prefetch: channel.prefetch,
            shared_prefetch: channel.shared_prefetch.asked,
        }
    }

    /// Consumers behind this one, so many of them; and whether these were all.
    fn tell_consumers(
        &self,
        of: Option<ChannelNumber>,
        after: Option<&(ChannelNumber, Name)>,
    ) -> (Vec<ConsumerDescription>, bool) {
        let mut told = Vec::new();
        for (number, channel) in self.open_channels().filter(|(number, _)| of.is_none_or(|of| of == *number))
        {
            let from = match after {
                Some((last, _)) if *last > number => continue,
                Some((last, tag)) if *last == number => Bound::Excluded(tag.clone()),
                _ => Bound::Unbounded,
            };
            for (_, &consumer) in channel.consumers.range((from, Bound::Unbounded)) {
                if told.len() >= MOST_ASKED {
                    return (told, false);
                }
                told.extend(self.tell_consumer(consumer));
            }
        }
        (told, true)
    }

    fn tell_consumer(&self, number: ConsumerNumber) -> Option<ConsumerDescription> {
        let consumer = self.shared.consumers.get(&number)?;
        let counts = match self.channels.get(&consumer.channel)? {
            ChannelState::Open(channel) => channel.counts.of_consumer(number, consumer.counts),
            ChannelState::Closing => return None,
        };
        Some(ConsumerDescription {
            number,
            channel: consumer.channel,
            tag: consumer.tag.clone(),
            queue: consumer.queue,
            queue_name: consumer.queue_name.clone(),
            no_ack: consumer.no_ack,
            exclusive: consumer.options.exclusive,
            prefetch: consumer.options.prefetch,
            timeout: consumer.options.timeout,
            arguments: consumer.arguments.as_deref().cloned().unwrap_or_default(),
            counts,
        })
    }
}

impl<P: BrokerPort> Session<P> {
    /// Answers a question; None where the connection is not open.
    pub fn inquire(&self, question: &ConnectionQuestion) -> Option<ConnectionAnswer> {
        let Phase::Running(connection) = &self.phase else { return None };
        Some(match question {
            ConnectionQuestion::Totals => ConnectionAnswer::Totals(Box::new(ConnectionCounts {
                totals: connection.totals(self.traffic),
                pending: self.out.output.len() as u64,
                is_blocked: self.blocking.is_blocked(),
                publishers: connection.open_channels().filter(|(_, channel)| publishes(channel)).count()
                    as u64,
                consumers: connection.shared.consumers.len() as u64,
            })),
            ConnectionQuestion::Channels { after } => {
                let (channels, is_all) = connection.tell_channels(*after);
                ConnectionAnswer::Channels { channels, is_all }
            }
            ConnectionQuestion::Consumers { of, after } => {
                let (consumers, is_all) = connection.tell_consumers(*of, after.as_ref());
                ConnectionAnswer::Consumers { consumers, is_all }
            }
            ConnectionQuestion::TheseConsumers(numbers) => {
                let numbers = numbers.iter().take(MOST_ASKED);
                let consumers = numbers.filter_map(|&number| connection.tell_consumer(number)).collect();
                ConnectionAnswer::Consumers { consumers, is_all: true }
            }
        })
    }
}

fn publishes(channel: &Channel) -> bool {
    channel.counts.counters()[ChannelCount::Publish] > 0
}
