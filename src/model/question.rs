//! What may be asked about an owner's state without changing it, and the answers. Who asks whom, how much of it an owner
//! looks at in a turn, and who waits for the answer, is theirs.

use super::ids::QueueId;

/// How many queues one question may name. Whoever wants to know of more asks again: the list of names is the cursor.
pub const MOST_ASKED: usize = 1024;

/// What a shard is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// How much is in these queues, [`MOST_ASKED`] at the most.
    Counts { queues: Vec<QueueId> },
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of each queue in the order asked; None for one that is gone.
    Counts(Vec<Option<QueueCounts>>),
}

/// The size of a queue. Every message in it is counted once: as ready, as unacked or as a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    pub ready: u64,
    pub unacked: u64,
    /// Dead letters that the queue keeps until every target has them.
    pub dead_letters: u64,
    pub consumers: u32,
    /// Bytes of the bodies of ready messages, wherever they are.
    pub ready_bytes: u64,
    /// Bytes that ready and unacked messages hold in memory.
    pub memory_bytes: u64,
}
