//! What must become durable: the few, serialisable operations that queues and the catalog emit and the store carries
//! out in the order they were emitted.

use std::sync::Arc;

use super::ids::{ConnectionId, Position, PositionRange, QueueId, Timestamp};
use super::message::Message;

/// The lane of a message within its queue: its priority in a priority queue, else 0. The store files messages by
/// queue and lane, so that each lane of a long queue can be read in order.
pub type Lane = u8;

/// How often a message was handed out before, where its queue counts that (semantics 11.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How often it came back, for whatever reason.
    pub acquired: u32,
    /// How often it came back as failed.
    pub failed: u32,
}

impl Attempts {
    /// Nothing was counted.
    pub const NONE: Attempts = Attempts { acquired: 0, failed: 0 };
}

/// What a queue knows of a message besides the message itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryMeta {
    /// When it expires, by queue TTL and expiration, whichever is first.
    pub expires_at: Option<Timestamp>,
    pub attempts: Attempts,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
}

/// An operation of a queue.
#[derive(Clone, Debug)]
pub enum Op {
    /// The message stands in the queue at this position. With `durable` false it is only spilled to bound memory:
    /// nobody waits for it and it is gone after a restart.
    Put {
        queue: QueueId,
        lane: Lane,
        position: Position,
        message: Arc<Message>,
        meta: EntryMeta,
        durable: bool,
    },
    /// These messages have left the queue. Positions that were never put are passed over.
    Remove { queue: QueueId, range: PositionRange },
    /// The message came back from a consumer; remembered as redelivered, with these counts.
    Requeue { queue: QueueId, position: Position, attempts: Attempts },
    /// The queue is gone with all it holds.
    DeleteQueue { queue: QueueId },
}

/// What marks the batches of operations, of each of `parts` shards, that have to become durable together: those of a
/// transaction (semantics section 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    pub connection: ConnectionId,
    /// Counted by the connection.
    pub number: u64,
    pub parts: u16,
}

/// What a batch of operations has of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupPart {
    /// The beginning of a shard's part, which is longer than a batch; more of it comes with the next batches.
    Begun(Group),
    /// A shard's part, or the end of it.
    Complete(Group),
}

/// An operation of the catalog: records are opaque to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogOp {
    Put { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
}

/// A request to read stored messages of one lane back, from `first` to `last` in order of position, until about
/// `max_bytes` of messages were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub queue: QueueId,
    pub lane: Lane,
    pub range: PositionRange,
    pub max_bytes: usize,
}

/// A message read back.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    pub position: Position,
    pub message: Arc<Message>,
    pub meta: EntryMeta,
}

/// The answer to a [`Fetch`]: every message still stored from the asked range's first to `through`.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub fetch: Fetch,
    pub entries: Vec<StoredEntry>,
    /// How far the answer reaches; `fetch.range.last` when nothing is left to read in the range.
    pub through: Position,
}

/// A run of stored, ready messages of one lane, known by number and not by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub range: PositionRange,
    pub count: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// The earliest time one of them expires.
    pub earliest_expiry: Option<Timestamp>,
}

/// What recovery found of a queue.
#[derive(Clone, Debug, Default)]
pub struct RecoveredQueue {
    pub queue: QueueId,
    /// Spans per lane, in order of position.
    pub lanes: Vec<(Lane, Vec<Span>)>,
    /// Above every position the queue ever stored that is still known.
    pub next_position: Position,
}
