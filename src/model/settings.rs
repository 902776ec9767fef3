//! What a queue is told to be: its type and its limits, after arguments and policies were checked and
//! merged. Parsing and checking of arguments is the broker's; obeying them is the queue's.

use serde::{Deserialize, Serialize};

use super::ids::Name;

/// The default delivery limit of quorum queues (semantics.md 7.13).
pub const QUORUM_DELIVERY_LIMIT: u32 = 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueType {
    #[default]
    Classic,
    Quorum,
}

impl QueueType {
    /// The word of the argument.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            QueueType::Classic => "classic",
            QueueType::Quorum => "quorum",
        }
    }
}

/// What happens to a message that arrives at a full queue (semantics.md 12.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    #[default]
    DropHead,
    RejectPublish,
    RejectPublishDeadLetter,
}

impl Overflow {
    /// Reads the word of an argument or a policy; None where there is none such. Quorum queues have no
    /// `reject-publish-dlx` of their own.
    #[must_use]
    pub fn parse(word: &str, queue_type: QueueType) -> Option<Overflow> {
        match (word, queue_type) {
            ("drop-head", _) => Some(Overflow::DropHead),
            ("reject-publish-dlx", QueueType::Classic) => Some(Overflow::RejectPublishDeadLetter),
            ("reject-publish" | "reject-publish-dlx", _) => Some(Overflow::RejectPublish),
            _ => None,
        }
    }
}

/// Where dead letters of a queue go (semantics.md 12.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterTarget {
    /// The dead-letter exchange; empty is the default exchange.
    pub exchange: Name,
    /// The routing key that replaces the message's own.
    pub routing_key: Option<Name>,
}

/// Everything a queue obeys. Times are milliseconds, sizes bytes of body; limits count ready messages only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettings {
    pub queue_type: QueueType,
    /// Persistent messages of a durable queue are stored durably; all messages of a quorum queue are.
    pub durable: bool,
    /// Delete the queue when its last consumer goes (and it had one).
    pub auto_delete: bool,
    pub message_ttl: Option<u64>,
    pub expires: Option<u64>,
    pub max_length: Option<u64>,
    pub max_length_bytes: Option<u64>,
    pub overflow: Overflow,
    pub dead_letter: Option<DeadLetterTarget>,
    /// The highest priority; lanes 0..=max. None: one lane.
    pub max_priority: Option<u8>,
    pub single_active_consumer: bool,
    /// How often a message may come back as failed before it is dead-lettered; None: without limit.
    pub delivery_limit: Option<u32>,
}

impl QueueSettings {
    /// Whether deliveries carry `x-delivery-count`: quorum queues, and any queue with a delivery limit.
    #[must_use]
    pub fn counts_deliveries(&self) -> bool {
        self.queue_type == QueueType::Quorum || self.delivery_limit.is_some()
    }
}
