//! What a queue does with messages that wait before they are retried (semantics 11.10): it has one wait, and ends waits that
//! are over. Which messages wait, and until when, is known to `waiting.rs`; that one has to, `settle.rs` says.

use std::sync::Arc;

use super::effects::QueueEffects;
use super::entry::{Entry, Stored};
use super::held::{Content, Held};
use super::paging::FLOOR;
use super::{PIECE, Queue};
use crate::model::counters::QueueCount;
use crate::model::ids::{Position, Timestamp};

/// What waits may hold this part of its queue's window in memory, besides the ready: a quarter.
const SHARE: usize = 4;

impl Queue {
    /// A message that came back waits. Its content stays in memory where there is room.
    pub(super) fn wait(
        &mut self,
        position: Position,
        mut held: Held,
        until: Timestamp,
        fx: &mut QueueEffects,
    ) {
        self.tally.add(QueueCount::Retried, 1);
        if let Content::Here(message) = &held.content
            && !self.has_room_for_waiting(message.footprint(), held.stored)
        {
            let lane = self.lane_of(message);
            let mut entry = Entry {
                message: Arc::clone(message),
                position,
                expiry: held.expiry,
                returns: held.returns,
                stored: held.stored,
                indexed: false,
            };
            self.spill(lane, &mut entry, fx);
            held = Held::of(entry, lane, false);
        }
        self.waiting.add(position, held, until);
    }

    fn has_room_for_waiting(&self, bytes: usize, stored: Stored) -> bool {
        let memory = self.waiting.memory();
        match stored {
            Stored::No => memory.all + bytes <= (self.window.all / SHARE).max(FLOOR),
            Stored::Spilled | Stored::Durable => memory.stored + bytes <= self.window.stored / SHARE,
        }
    }

    /// Makes what has waited long enough ready again, and what has expired meanwhile, not too much at once. Returns how many
    /// these were.
    pub(super) fn end_waits(&mut self, now: Timestamp) -> usize {
        let mut ended = 0;
        while ended < PIECE
            && let Some((position, held)) = self.waiting.made().and_then(|waiting| waiting.pop_ended(now))
        {
            self.put_back(position, held);
            ended += 1;
        }
        ended
    }
}
