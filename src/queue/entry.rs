//! What the queue keeps of one message: a small entry around the shared message. Where entries stand (ready,
//! unacked) and what becomes of them is decided elsewhere.

use std::sync::Arc;

use crate::model::ids::{Position, Timestamp};
use crate::model::message::Message;
use crate::model::op::{EntryMeta, StoredEntry};

/// When a message expires: milliseconds, or never, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Expiry(u64);

impl Expiry {
    pub(super) const NEVER: Expiry = Expiry(u64::MAX);
    /// Before every other.
    pub(super) const FIRST: Expiry = Expiry(0);

    pub(super) fn is_due(self, now: Timestamp) -> bool {
        self != Expiry::NEVER && self.0 <= now.0
    }

    pub(super) fn time(self) -> Option<Timestamp> {
        (self != Expiry::NEVER).then_some(Timestamp(self.0))
    }
}

impl From<Option<Timestamp>> for Expiry {
    fn from(time: Option<Timestamp>) -> Expiry {
        time.map_or(Expiry::NEVER, |at| Expiry(at.0))
    }
}

/// Whether the store has the message, or will have: whether a Put was emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    No,
    /// Only to bound memory.
    Spilled,
    Durable,
}

/// A message in its queue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Arc<Message>,
    pub(super) position: Position,
    pub(super) expiry: Expiry,
    pub(super) delivery_count: u32,
    pub(super) stored: Stored,
    pub(super) redelivered: bool,
    /// The expiry index knows it. Only ready entries in memory are indexed.
    pub(super) indexed: bool,
}

impl Entry {
    /// An entry read back from the store.
    pub(super) fn loaded(found: StoredEntry, durable: bool) -> Entry {
        Entry {
            message: found.message,
            position: found.position,
            expiry: found.meta.expires_at.into(),
            delivery_count: found.meta.delivery_count,
            stored: if durable { Stored::Durable } else { Stored::Spilled },
            redelivered: found.meta.redelivered,
            indexed: false,
        }
    }

    pub(super) fn meta(&self) -> EntryMeta {
        EntryMeta {
            expires_at: self.expiry.time(),
            delivery_count: self.delivery_count,
            redelivered: self.redelivered,
        }
    }

    /// Its footprint where the store does not have it.
    pub(super) fn unstored_footprint(&self) -> usize {
        if self.stored == Stored::No { self.footprint() } else { 0 }
    }

    /// Bytes it holds in memory, about.
    pub(super) fn footprint(&self) -> usize {
        self.message.footprint()
    }

    /// Bytes of body: what limits count.
    pub(super) fn body_bytes(&self) -> u64 {
        self.message.body().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 32);
        assert_eq!(size_of::<Option<Entry>>(), 32);
    }

    #[test]
    fn never_is_not_due_at_the_end_of_time() {
        assert!(!Expiry::NEVER.is_due(Timestamp(u64::MAX)));
        assert!(Expiry::from(Some(Timestamp(5))).is_due(Timestamp(5)));
        assert!(!Expiry::from(Some(Timestamp(5))).is_due(Timestamp(4)));
    }
}
