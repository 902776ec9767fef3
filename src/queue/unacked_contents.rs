//! Which contents of delivered messages stay in memory. Only what comes back or becomes a dead letter is needed again, so
//! above a part of the window contents are let go of when they are delivered, and read from the store once somebody wants
//! them.

use super::effects::QueueEffects;
use super::entry::{Entry, Stored};
use super::held::Held;
use super::paging::{FLOOR, PAGED_OUT};
use super::rotation::ConsumerSlot;
use super::unacked::{Since, Unacked};
use super::{Queue, lane_of};
use crate::model::ids::Timestamp;
use crate::model::op;

/// The unacked of a queue may hold this part of its window besides the ready: a half.
const SHARE: usize = 2;
/// Unacked messages that one call looks at, for those whose content it may let go of.
const VISITED: usize = 16 * PAGED_OUT;

impl Queue {
    /// Takes a message that is being delivered in as unacked. Where there is no room for its content, the store is
    /// what has it.
    #[inline(always)]
    pub(super) fn hold_unacked(
        &mut self,
        now: Timestamp,
        slot: ConsumerSlot,
        lane: op::Lane,
        mut entry: Entry,
        fx: &mut QueueEffects,
    ) {
        let bytes = entry.footprint();
        let has_room = if entry.stored == Stored::No {
            self.unacked_memory.held.all + bytes <= (self.window.all / SHARE).max(FLOOR)
        } else {
            self.unacked_memory.held.stored + bytes <= self.most_stored_unacked()
        };
        if !has_room {
            self.spill(lane, &mut entry, fx);
        }
        let position = entry.position;
        let held = Held::of(entry, lane, has_room);
        self.unacked_memory.add(position, &held);
        self.unacked.insert(position, Unacked { held, slot, since: Since::new(now) });
    }

    /// Lets go of contents where the window became smaller, up to [`PAGED_OUT`]. Returns of how many, and whether there may
    /// be more of them. What was passed over once is not looked at again.
    pub(super) fn balance_unacked(&mut self) -> (usize, bool) {
        if !self.exceeds_unacked() {
            return (0, false);
        }
        let most = self.most_stored_unacked();
        let memory = &mut *self.unacked_memory;
        let settings = &self.settings;
        let mut let_go = 0;
        for (visited, (position, unacked)) in self.unacked.iter_mut_from(memory.kept_from).enumerate() {
            if memory.held.stored <= most {
                return (let_go, false);
            }
            if let_go == PAGED_OUT || visited == VISITED {
                return (let_go, true);
            }
            memory.kept_from = position.next();
            let held = &mut unacked.held;
            if held.stored == Stored::No {
                continue;
            }
            let freed = held.let_go(|message| lane_of(settings, message));
            if freed > 0 {
                memory.held.let_go(freed, held.body_bytes());
                let_go += 1;
            }
        }
        (let_go, false)
    }

    /// Whether there are more contents of unacked messages than there may be, of those that the store has.
    pub(super) fn exceeds_unacked(&self) -> bool {
        self.unacked_memory.held.stored > self.most_stored_unacked()
    }

    fn most_stored_unacked(&self) -> usize {
        self.window.stored / SHARE
    }
}
