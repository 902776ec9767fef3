//! What the queue keeps of one message: a small entry around the shared message. Where entries stand (ready,
//! unacked) and what becomes of them is decided elsewhere.

use std::sync::Arc;

use super::wall_clock::WallClock;
use crate::model::ids::{Position, Timestamp};
use crate::model::message::Message;
use crate::model::op::{Attempts, EntryMeta, StoredEntry};

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

/// How often a message came back, in six bytes: an entry has no room for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, packed(2))]
pub(super) struct Returns {
    /// 0: it was never delivered. Else one more than it was counted as acquired.
    delivered: u32,
    /// Ends at its highest; a limit beyond that is never reached.
    failed: u16,
}

impl Returns {
    /// It came back, and nobody counts.
    pub(super) fn mark(&mut self) {
        self.delivered = self.delivered.max(1);
    }

    /// It came back, as failed or not.
    pub(super) fn count(&mut self, failed: bool) {
        self.delivered = self.delivered.max(1).saturating_add(1);
        self.failed = self.failed.saturating_add(u16::from(failed));
    }

    pub(super) fn redelivered(self) -> bool {
        self.delivered > 0
    }

    pub(super) fn attempts(self) -> Attempts {
        Attempts { acquired: self.delivered.saturating_sub(1), failed: u32::from(self.failed) }
    }

    fn of(meta: &EntryMeta) -> Returns {
        let Attempts { acquired, failed } = meta.attempts;
        Returns {
            delivered: if meta.redelivered || acquired > 0 { acquired.saturating_add(1) } else { 0 },
            failed: u16::try_from(failed).unwrap_or(u16::MAX),
        }
    }
}

/// A message in its queue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Arc<Message>,
    pub(super) position: Position,
    pub(super) expiry: Expiry,
    pub(super) returns: Returns,
    pub(super) stored: Stored,
    /// The expiry index knows it. Only ready entries in memory are indexed.
    pub(super) indexed: bool,
}

impl Entry {
    /// An entry read back from the store.
    pub(super) fn loaded(found: StoredEntry, durable: bool, clock: &WallClock) -> Entry {
        Entry {
            message: found.message,
            position: found.position,
            expiry: clock.read(found.position, found.meta.expires_at).into(),
            returns: Returns::of(&found.meta),
            stored: if durable { Stored::Durable } else { Stored::Spilled },
            indexed: false,
        }
    }

    /// What the store keeps of it besides the message.
    pub(super) fn meta(&self, clock: &WallClock) -> EntryMeta {
        EntryMeta {
            expires_at: clock.stored(self.position, self.expiry.time()),
            attempts: self.returns.attempts(),
            redelivered: self.returns.redelivered(),
            // It is ready.
            not_before: Timestamp(0),
        }
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
    fn returns_are_counted_and_come_back_from_the_store() {
        let mut returns = Returns::default();
        assert!(!returns.redelivered());
        returns.mark();
        assert_eq!((returns.redelivered(), returns.attempts()), (true, Attempts::NONE));
        returns.count(false);
        returns.count(true);
        assert_eq!(returns.attempts(), Attempts { acquired: 2, failed: 1 });
        let meta = |redelivered, acquired, failed| EntryMeta {
            attempts: Attempts { acquired, failed },
            redelivered,
            ..EntryMeta::default()
        };
        assert_eq!(Returns::of(&meta(true, 2, 1)), returns);
        assert_eq!(Returns::of(&meta(false, 0, 0)), Returns::default());
        assert!(Returns::of(&meta(true, 0, 0)).redelivered());
    }

    #[test]
    fn counts_end_at_their_highest() {
        let most = Attempts { acquired: u32::MAX, failed: u32::MAX };
        let mut returns =
            Returns::of(&EntryMeta { attempts: most, redelivered: true, ..EntryMeta::default() });
        returns.count(true);
        assert_eq!(returns.attempts(), Attempts { acquired: u32::MAX - 1, failed: 65_535 });
    }

    #[test]
    fn never_is_not_due_at_the_end_of_time() {
        assert!(!Expiry::NEVER.is_due(Timestamp(u64::MAX)));
        assert!(Expiry::from(Some(Timestamp(5))).is_due(Timestamp(5)));
        assert!(!Expiry::from(Some(Timestamp(5))).is_due(Timestamp(4)));
    }
}
