//! What may be asked about an owner's state without changing it, and the answers. Who asks whom, how much of it an owner
//! looks at in a turn, and who waits for the answer, is theirs.

use leveret_codec::table::FieldTable;

use super::counters::{ChannelCounters, ConsumerCount, ExchangeCount, QueueCounters, Sizes, Traffic, Waits};
use super::ids::{ChannelNumber, ConsumerKey, ConsumerNumber, Name, QueueId, QueueRef, Timestamp};
use super::settings::QueueType;

/// How many queues, channels or consumers one question may name or one answer may tell of. Whoever wants to know of more asks again: the list of names is the cursor.
pub const MOST_ASKED: usize = 1024;

/// What a shard is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// How much is in these queues, [`MOST_ASKED`] at the most.
    Counts { queues: Vec<QueueId> },
    /// Who consumes from a queue.
    Consumers { queue: QueueId },
    /// What all queues of the shard together have counted, those included that are gone: from this place on, 0 at first.
    Totals { from: usize },
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of each queue in the order asked; None for one that is gone.
    Counts(Vec<Option<QueueCounts>>),
    /// None where the queue is gone.
    Consumers(Option<QueueConsumers>),
    Totals(ShardTotals),
}

/// The size of a queue, as its shard needs it after every turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSize {
    pub ready: u64,
    pub unacked: u64,
    pub consumers: u32,
    /// Bytes that ready, unacked and delayed messages hold in memory.
    pub memory_bytes: u64,
}

impl QueueSize {
    pub const ZERO: QueueSize = QueueSize { ready: 0, unacked: 0, consumers: 0, memory_bytes: 0 };

    /// Whether there is neither a message nor a consumer.
    #[must_use]
    #[inline]
    pub fn is_nothing(&self) -> bool {
        self.ready == 0 && self.unacked == 0 && self.consumers == 0
    }
}

/// How much is in a queue, and what it counted. Every message in it is counted once: as ready, as unacked,
/// as delayed or as a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    pub ready: u64,
    pub unacked: u64,
    /// Those that came back and wait before they are ready again.
    pub delayed: u64,
    /// Dead letters that the queue keeps until every target has them.
    pub dead_letters: u64,
    pub consumers: u32,
    /// Bytes of the bodies of ready messages, wherever they are; and of unacked ones.
    pub ready_bytes: u64,
    pub unacked_bytes: u64,
    pub delayed_bytes: u64,
    /// Bytes that ready, unacked and delayed messages hold in memory.
    pub memory_bytes: u64,
    /// Of the ready, unacked and delayed: those that the store has too, or alone, and the bytes of their bodies.
    pub stored: u64,
    pub stored_bytes: u64,
    /// Of the ready and of the unacked: those whose content is in memory, and the bytes of their bodies.
    pub ready_in_memory: u64,
    pub unacked_in_memory: u64,
    pub bytes_in_memory: u64,
    /// Of the ready in memory: those that were delivered before.
    pub returned: u64,
    /// Since when the oldest ready message is here; one that was here when the broker started, or that came back after all
    /// others had left, since then. It may be told to be older by half.
    pub oldest_since: Option<Timestamp>,
    /// What the message that comes next says of when it was made, in seconds; None where it says nothing, or is not in memory.
    pub head_timestamp: Option<u64>,
    /// Priorities that have ready messages.
    pub priorities: u32,
    /// The consumer who gets everything, where one does.
    pub active: Option<ConsumerKey>,
    /// A consumer would take a message now.
    pub serves: bool,
    pub counters: QueueCounters,
}

/// Who consumes from a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueConsumers {
    /// First come first, [`MOST_ASKED`] at the most.
    pub keys: Vec<ConsumerKey>,
    /// The one who gets everything, where one does.
    pub active: Option<ConsumerKey>,
    /// How many ready messages each priority has, of those that have any.
    pub by_priority: Vec<(u8, u64)>,
}

/// What becomes of dead letters in queues that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadLetterStrategy {
    Disabled,
    AtMostOnce,
    AtLeastOnce,
}

/// Queues of a vhost that are alike; their messages and what they counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueTotals {
    /// None: of vhosts that are gone.
    pub vhost: Option<Name>,
    pub queue_type: QueueType,
    pub strategy: DeadLetterStrategy,
    /// How many there are.
    pub queues: u64,
    pub ready: u64,
    pub unacked: u64,
    pub consumers: u64,
    /// Those of queues that are gone included.
    pub counters: QueueCounters,
}

/// What the queues of a shard have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardTotals {
    pub totals: Vec<QueueTotals>,
    /// How long messages have waited in its queues for their first delivery, as far as that is known: not of those that were
    /// there when the broker started.
    pub waits: Waits,
    /// Where to go on asking; None where this was all.
    pub next: Option<usize>,
}

/// What a connection is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionQuestion {
    /// What it has counted in all.
    Totals,
    /// Its channels behind this number, in order.
    Channels { after: Option<ChannelNumber> },
    /// Its consumers behind this one, in order of channel and tag; of one channel, or of all.
    Consumers { of: Option<ChannelNumber>, after: Option<(ChannelNumber, Name)> },
    /// Those of its consumers that have these numbers, [`MOST_ASKED`] at the most.
    TheseConsumers(Vec<ConsumerNumber>),
}

/// What it says. A list that is not all goes on behind its last one.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionAnswer {
    Totals(Box<ConnectionCounts>),
    Channels { channels: Vec<ChannelCounts>, is_all: bool },
    Consumers { consumers: Vec<ConsumerDescription>, is_all: bool },
}

/// What a connection has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    pub totals: ConnectionTotals,
    /// Bytes that wait to be sent.
    pub pending: u64,
    /// An alarm keeps its publishes back, and it has published since.
    pub is_blocked: bool,
    /// Channels that have published.
    pub publishers: u64,
    pub consumers: u64,
}

/// What of it stays when the connection goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTotals {
    pub traffic: Traffic,
    /// Of all its channels, also those that are closed.
    pub counters: ChannelCounters,
    pub sizes: Sizes,
    /// By exchange, of as many as the connection keeps apart.
    pub exchanges: Vec<(Name, ExchangeCount)>,
}

/// What a channel has counted, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelCounts {
    pub number: ChannelNumber,
    pub counters: ChannelCounters,
    /// By exchange, of as many as the connection keeps apart.
    pub exchanges: Vec<(Name, ExchangeCount)>,
    pub confirms: bool,
    pub is_transactional: bool,
    pub consumers: u64,
    pub unacked: u64,
    pub unconfirmed: u64,
    /// Publishes and acks of a transaction that is not committed.
    pub uncommitted: u64,
    pub acks_uncommitted: u64,
    /// For each consumer to come, and for all together; 0: no limit.
    pub prefetch: u16,
    pub shared_prefetch: u64,
}

/// A consumer as its connection knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerDescription {
    pub number: ConsumerNumber,
    pub channel: ChannelNumber,
    pub tag: Name,
    /// None: direct replies.
    pub queue: Option<QueueRef>,
    pub queue_name: Name,
    pub no_ack: bool,
    pub exclusive: bool,
    pub prefetch: u16,
    /// How long it may hold a delivery, in milliseconds, where it said so.
    pub timeout: Option<u64>,
    pub arguments: FieldTable,
    pub counts: ConsumerCount,
}
