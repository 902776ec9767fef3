//! What a session hears: deliveries, confirms, replies to its one pending request, and news about its consumers,
//! its connection and the broker's alarms. Sent by shards and the catalog, carried by the server, told to the session in order.

use super::consuming::Delivery;
use super::fault::Fault;
use super::ids::{ChannelNumber, ConsumerNumber};
use super::question::ConnectionQuestion;
use super::request::Reply;

/// A publish (or a barrier) that somebody waits for. The connection is known from where it was sent; `epoch` tells
/// a channel from an earlier one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfirmToken {
    pub channel: ChannelNumber,
    pub epoch: u32,
    /// The publish sequence number on the channel, from 1 (semantics 9.20); 0 for a barrier.
    pub sequence: u64,
}

/// News for one session.
#[derive(Clone, Debug)]
pub enum SessionEvent {
    Deliver(Delivery),
    /// One shard is done with the publish: durable where that was owed (`accepted`), or refused by a full queue.
    Confirm {
        token: ConfirmToken,
        accepted: bool,
    },
    /// The answer to the pending request.
    Reply(Reply),
    /// The queue of this consumer is gone.
    ConsumerCancelled(ConsumerNumber),
    /// This consumer held a delivery for longer than `timeout` milliseconds and is one no more (semantics 11.7). With
    /// `closes_channel`, and where it is the gets of a channel, the channel goes, too.
    ConsumerTimedOut {
        consumer: ConsumerNumber,
        timeout: u64,
        closes_channel: bool,
    },
    /// The broker closes this connection (320 and the like).
    Close(Fault),
    /// Somebody asks about the connection. Answered at the end of this turn or of a later one, in the order asked.
    Asked(ConnectionQuestion),
    /// An alarm went off or is over.
    Alarm(Alarms),
}

/// What the broker runs short of (semantics 13.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    pub memory: bool,
    pub disk: bool,
}

impl Alarms {
    /// Why publishers are blocked, in RabbitMQ's words; None where they are not.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match (self.memory, self.disk) {
            (true, true) => Some("low on disk & memory"),
            (true, false) => Some("low on memory"),
            (false, true) => Some("low on disk"),
            (false, false) => None,
        }
    }
}
