//! Messages that came back and wait before they are ready again: delayed retries (semantics 11.10). A place of its own
//! beside ready, unacked and the pending dead letters: what waits is held by nobody, is passed by others, and comes back to
//! its place when its time has come. For how long a message waits is `model/retry.rs`'s to say.
//!
//! All that waits is known here by position, whether its content is in memory or not: 100 bytes a message, about. The
//! store remembers until when each waits, by the wall clock, so a restart ends no wait.

use std::collections::BTreeSet;

use super::entry::{Expiry, Returns, Stored};
use super::held::{Content, Held, HeldMemory};
use super::on_first_use::Part;
use super::position_map::PositionMap;
use super::wall_clock::WallClock;
use crate::model::holdings::Holdings;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::StoredWait;

/// A message that waits.
#[derive(Debug)]
struct Wait {
    held: Held,
    until: Timestamp,
}

impl Wait {
    /// When its wait ends: one that expires waits no longer than that.
    fn ends(&self) -> Timestamp {
        self.held.expiry.time().map_or(self.until, |expiry| expiry.min(self.until))
    }
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    messages: PositionMap<Wait>,
    /// When the wait of each ends, in order.
    ends: BTreeSet<(Timestamp, Position)>,
    memory: HeldMemory,
}

impl Part for Waiting {
    fn none() -> &'static Waiting {
        static NONE: Waiting =
            Waiting { messages: PositionMap::EMPTY, ends: BTreeSet::new(), memory: HeldMemory::NONE };
        &NONE
    }
}

impl Waiting {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Waiting { messages, ends, memory } = self;
        into.in_use("waiting: messages", &messages.size());
        into.in_use("waiting: ends", ends);
        into.in_use("waiting: memory", &memory.all);
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn memory(&self) -> &HeldMemory {
        &self.memory
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.messages.contains(position)
    }

    /// The positions in a range, rising.
    pub(super) fn positions_in(&self, range: PositionRange) -> impl Iterator<Item = Position> {
        self.messages.positions_in(range)
    }

    /// From the first position to the last one, where the store has any of these.
    pub(super) fn stored_bounds(&self) -> Option<PositionRange> {
        let has_stored = self.len() as u64 > self.memory.unstored_count;
        self.messages.bounds().filter(|_| has_stored)
    }

    /// When the first wait ends.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|&(time, _)| time)
    }

    /// Drops up to `most` of them that nobody needs any more. Returns how many more it could have dropped.
    pub(super) fn drop_some(&mut self, mut most: usize) -> usize {
        most = self.messages.drop_some(most);
        while most > 0 && self.ends.pop_last().is_some() {
            most -= 1;
        }
        most
    }

    pub(super) fn add(&mut self, position: Position, held: Held, until: Timestamp) {
        let wait = Wait { held, until };
        self.memory.add(&wait.held);
        self.ends.insert((wait.ends(), position));
        self.messages.insert(position, wait);
    }

    /// Takes one out whose wait has ended, or that has expired.
    pub(super) fn pop_ended(&mut self, now: Timestamp) -> Option<(Position, Held)> {
        let &(_, position) = self.ends.first().filter(|(time, _)| *time <= now)?;
        self.ends.pop_first();
        let Wait { held, until: _ } = self.messages.take(position)?;
        self.memory.subtract(&held);
        Some((position, held))
    }

    /// What the store found that waits.
    pub(super) fn recovered(found: &[StoredWait], clock: &WallClock) -> Waiting {
        let mut waiting = Waiting::default();
        for wait in found {
            let StoredWait { lane, position, not_before, expires_at, body } = *wait;
            let until = clock.read(position, Some(not_before)).unwrap_or(not_before);
            let held = Held {
                content: Content::Stored { lane, body },
                expiry: Expiry::from(clock.read(position, expires_at)),
                // The store knows how often it came back, and says so when it is read.
                returns: Returns::default(),
                stored: Stored::Durable,
            };
            waiting.add(position, held, until);
        }
        waiting
    }
}
