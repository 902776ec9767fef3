//! Words of the way out: how a consumer is asked for, what a delivery carries, how it is settled.

use std::sync::Arc;

use leveret_codec::table::FieldTable;

use super::ids::{ConsumerNumber, Name, Position, QueueId, QueueRef};
use super::message::Message;
use super::op::Attempts;

/// What a consumer asked for in `basic.consume` (semantics section 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumeOptions {
    /// Deliveries are settled as they are sent, and prefetch does not bound them.
    pub no_ack: bool,
    pub exclusive: bool,
    /// Most unacked deliveries of this consumer; 0: no limit.
    pub prefetch: u16,
    /// `x-priority`: higher ones are served first.
    pub priority: i32,
    /// `x-consumer-timeout`: how long it may hold a delivery, in milliseconds; None: as the queue says.
    pub timeout: Option<u64>,
    /// An argument that only streams take (semantics 10.6).
    pub of_streams: Option<&'static str>,
}

/// A consumer as it was asked for.
#[derive(Clone, Debug)]
pub struct NewConsumer {
    pub tag: Name,
    pub queue: Name,
    pub options: ConsumeOptions,
    pub arguments: FieldTable,
}

/// A message on its way from a queue to a consumer, or to a `basic.get`.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub consumer: ConsumerNumber,
    pub queue: QueueRef,
    pub position: Position,
    pub message: Arc<Message>,
    pub redelivered: bool,
    /// Of the deliveries before, where the queue counts them.
    pub attempts: Attempts,
    /// Already settled: nothing will be acked.
    pub no_ack: bool,
}

impl Delivery {
    /// Whether it is a direct reply, which comes from no queue: their ids begin at 1.
    #[must_use]
    pub fn is_direct_reply(&self) -> bool {
        self.queue.queue == QueueId::default()
    }
}

/// What becomes of unacked messages (semantics section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done; the message leaves the queue.
    Ack,
    /// Rejected without requeue: dead-lettered (reason `rejected`) or dropped.
    Discard,
    /// Back to its place as redelivered. `failed`: counts towards the delivery limit (`basic.reject`, a lost
    /// channel) or not (`basic.nack`, 11.5).
    Requeue { failed: bool },
    /// Back to its place, never shown to the client: as if it had not been delivered.
    Release,
}

/// Why a message was dead-lettered; the `reason` of `x-death` (semantics 12.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeathReason {
    Rejected,
    Expired,
    MaxLength,
    DeliveryLimit,
}

impl DeathReason {
    /// The word in the headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DeathReason::Rejected => "rejected",
            DeathReason::Expired => "expired",
            DeathReason::MaxLength => "maxlen",
            DeathReason::DeliveryLimit => "delivery_limit",
        }
    }
}
