//! A delivered message: who holds it and since when. How much room there is for the contents of all of them is in
//! `unacked_contents.rs`; who holds how much in `consumers.rs`.

use super::held::{Held, HeldMemory};
use super::on_first_use::Part;
use super::rotation::ConsumerSlot;
use crate::model::ids::{Position, Timestamp};

/// When a delivery was made, in the few bytes there are: milliseconds, counted around. It holds for 49 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since(u32);

impl Since {
    #[allow(clippy::cast_possible_truncation, reason = "counted around")]
    pub(super) fn new(now: Timestamp) -> Since {
        Since(now.0 as u32)
    }

    /// How long ago, in milliseconds.
    pub(super) fn age(self, now: Timestamp) -> u64 {
        u64::from(Since::new(now).0.wrapping_sub(self.0))
    }
}

/// A delivered message and who has it.
#[derive(Debug)]
pub(super) struct Unacked {
    pub(super) held: Held,
    pub(super) slot: ConsumerSlot,
    pub(super) since: Since,
}

/// How much the unacked come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnackedMemory {
    pub(super) held: HeldMemory,
    /// No content that the store has is kept of what stands before this.
    pub(super) kept_from: Position,
}

impl Part for UnackedMemory {
    fn none() -> &'static UnackedMemory {
        static NONE: UnackedMemory = UnackedMemory { held: HeldMemory::NONE, kept_from: Position(0) };
        &NONE
    }
}

impl UnackedMemory {
    pub(super) fn add(&mut self, position: Position, held: &Held) {
        let stored = self.held.stored;
        self.held.add(held);
        if self.held.stored > stored {
            self.kept_from = self.kept_from.min(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unacked_message_is_small() {
        assert_eq!(size_of::<Option<Unacked>>(), 40);
    }
}
