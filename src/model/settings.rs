//! What a queue is told to be: its type and its limits, after arguments and policies were checked and
//! merged. Parsing and checking of arguments is the broker's; obeying them is the queue's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::Name;
use super::retry::Retry;

/// The default delivery limit of quorum queues (semantics 7.13).
pub const QUORUM_DELIVERY_LIMIT: u32 = 20;

/// The highest priority in a quorum queue, and that of a message without one (semantics 12.3).
pub const QUORUM_MAX_PRIORITY: u8 = 31;
pub const QUORUM_DEFAULT_PRIORITY: u8 = 4;

/// The default consumer timeout of quorum queues, in milliseconds (semantics 11.7).
pub const QUORUM_CONSUMER_TIMEOUT: u64 = 30 * 60 * 1000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueType {
    #[default]
    Classic,
    Quorum,
}

/// What a queue is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueRole {
    /// Clients declared it, and read from it.
    #[default]
    Clients,
    /// It belongs to an exchange of type x-delayed-message: its messages leave when their delay is over (semantics
    /// 5.29), and all of them are kept durably where the exchange is durable.
    Delays,
    /// It belongs to an exchange of type x-recent-history: the last messages, for later bindings (semantics 5.28).
    Remembers,
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

/// What happens to a message that arrives at a full queue (semantics 12.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    #[default]
    DropHead,
    RejectPublish,
    RejectPublishDeadLetter,
}

impl Overflow {
    /// Reads the word of an argument or a policy; None where there is none such. Quorum queues take
    /// `reject-publish-dlx` for `drop-head`, as in RabbitMQ (semantics 12.3).
    #[must_use]
    pub fn parse(word: &str, queue_type: QueueType) -> Option<Overflow> {
        match (word, queue_type) {
            ("drop-head", _) | ("reject-publish-dlx", QueueType::Quorum) => Some(Overflow::DropHead),
            ("reject-publish-dlx", QueueType::Classic) => Some(Overflow::RejectPublishDeadLetter),
            ("reject-publish", _) => Some(Overflow::RejectPublish),
            _ => None,
        }
    }
}

impl QueueSettings {
    /// By the word of an argument or a policy. A queue that drops its head when it is full cannot keep what nobody takes
    /// (semantics 7.13), so overflow and dead-letter exchange have to be set before.
    pub fn set_dead_letter_strategy(&mut self, strategy: Option<&str>) {
        self.dead_letters_at_least_once = strategy == Some("at-least-once")
            && self.dead_letter.is_some()
            && self.overflow != Overflow::DropHead;
    }
}

/// Where dead letters of a queue go (semantics 12.4).
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
    /// Not recorded: queues that are recorded on their own are for clients.
    #[serde(skip)]
    pub role: QueueRole,
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
    /// Its dead letters stay with it until every target has taken them (semantics 12.7). Not recorded: the arguments
    /// say it.
    #[serde(skip)]
    pub dead_letters_at_least_once: bool,
    /// The highest priority; lanes 0..=max. None: one lane.
    pub max_priority: Option<u8>,
    pub single_active_consumer: bool,
    /// How long a consumer may hold a delivery unacked, in milliseconds, where it does not say so itself; None: without
    /// limit. Not recorded: the arguments say it.
    #[serde(skip)]
    pub consumer_timeout: Option<u64>,
    /// How often a message may come back as failed before it is dead-lettered; None: without limit.
    pub delivery_limit: Option<u32>,
    /// What clients publish may ask to be kept until later. Not recorded: the arguments say it.
    #[serde(skip)]
    pub scheduled: bool,
    /// For how long what comes back waits; None: it is ready again at once. Not recorded: the arguments say it.
    #[serde(skip)]
    pub retry: Option<Arc<Retry>>,
}

impl QueueSettings {
    /// The priority that a message without one has here.
    #[must_use]
    pub fn default_priority(&self) -> u8 {
        if self.queue_type == QueueType::Quorum { QUORUM_DEFAULT_PRIORITY } else { 0 }
    }

    /// Whether messages go to consumers only (semantics 10.10).
    #[must_use]
    pub fn refuses_get(&self) -> bool {
        self.queue_type == QueueType::Quorum && self.single_active_consumer
    }

    /// Whether deliveries carry `x-delivery-count`: quorum queues, and any queue with a delivery limit or retries.
    #[must_use]
    pub fn counts_deliveries(&self) -> bool {
        self.queue_type == QueueType::Quorum || self.delivery_limit.is_some() || self.retry.is_some()
    }
}
