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

/// What a message that came back, or waits, has to be remembered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Return {
    pub attempts: Attempts,
    /// It waits until then, by the wall clock, before it is ready again; 0: it does not wait.
    pub not_before: Timestamp,
}

impl Return {
    /// Whether it has been delivered: what waits before its first delivery is noted alike, and queues that have what they have
    /// delivered wait count how often that was.
    #[must_use]
    pub fn was_delivered(self) -> bool {
        self.not_before == Timestamp(0) || self.attempts != Attempts::NONE
    }
}

/// What a queue knows of a message besides the message itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryMeta {
    /// When it expires, by queue TTL and expiration, whichever is first.
    pub expires_at: Option<Timestamp>,
    pub attempts: Attempts,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// It is not ready before this, by the wall clock; 0: it does not wait.
    pub not_before: Timestamp,
}

impl EntryMeta {
    /// The same after the message has come back.
    #[must_use]
    pub fn returned(self, with: Return) -> EntryMeta {
        let Return { attempts, not_before } = with;
        EntryMeta { attempts, not_before, redelivered: true, ..self }
    }
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
    /// The message came back from a consumer; remembered as redelivered, with this.
    Requeue { queue: QueueId, position: Position, with: Return },
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

/// A request to read back what is stored of one lane in a range of positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub queue: QueueId,
    pub lane: Lane,
    pub range: PositionRange,
    /// The answer ends before it holds more than about this many bytes of messages, but not without any.
    pub max_bytes: usize,
    pub wants: Wants,
}

/// What of a range is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// All messages, in order of position.
    All,
    /// No message, but which of them expire by then, by the wall clock. No body is read for that.
    Times { until: Timestamp },
    /// The messages at these positions, which rise and lie in the range.
    These(Arc<[Position]>),
}

impl Wants {
    /// Whether the message at a position of the range is wanted.
    #[must_use]
    pub fn includes(&self, position: Position) -> bool {
        match self {
            Wants::All | Wants::Times { .. } => true,
            Wants::These(positions) => positions.binary_search(&position).is_ok(),
        }
    }
}

/// A message read back.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    pub position: Position,
    pub message: Arc<Message>,
    pub meta: EntryMeta,
}

/// When a stored message expires, by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredTime {
    pub position: Position,
    pub expires_at: Timestamp,
    /// Bytes of its body.
    pub body: u32,
}

/// The times that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// In no order.
    pub entries: Vec<StoredTime>,
    /// No other message expires before this; None where none does.
    pub rest: Option<Timestamp>,
}

impl Times {
    /// Takes a message in: as one that was asked for, or as one of the rest.
    pub fn add(&mut self, position: Position, expires_at: Option<Timestamp>, body: u32, until: Timestamp) {
        match expires_at {
            Some(expires_at) if expires_at <= until => {
                self.entries.push(StoredTime { position, expires_at, body });
            }
            later => self.not_before(later),
        }
    }

    /// Takes in that something of the rest expires then.
    pub fn not_before(&mut self, time: Option<Timestamp>) {
        self.rest = [self.rest, time].into_iter().flatten().min();
    }
}

/// The answer to a [`Fetch`]: what was wanted of all that is still stored from the asked range's first to `through`.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub fetch: Fetch,
    /// Empty where times were asked for.
    pub entries: Vec<StoredEntry>,
    /// Empty unless times were asked for.
    pub times: Times,
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

/// A stored message that waits before it is ready again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredWait {
    pub lane: Lane,
    pub position: Position,
    /// By the wall clock, as is when it expires.
    pub not_before: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// Bytes of its body.
    pub body: u32,
}

/// What recovery found of a queue.
#[derive(Clone, Debug, Default)]
pub struct RecoveredQueue {
    pub queue: QueueId,
    /// Spans per lane, in order of position. What waits is not counted in them.
    pub lanes: Vec<(Lane, Vec<Span>)>,
    /// What waits, in no order.
    pub waiting: Vec<StoredWait>,
    /// Above every position the queue ever stored that is still known.
    pub next_position: Position,
}
