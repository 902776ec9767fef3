//! What the queue keeps of a delivered message: who holds it, and its content as long as there is room. Only what comes
//! back or becomes a dead letter is needed again, so above a part of the window contents are let go of when they are
//! delivered, and read from the store once somebody wants them. Who holds how much is in `consumers.rs`.

use std::sync::Arc;

use super::consumer_timeouts::Since;
use super::consumers::ConsumerSlot;
use super::effects::QueueEffects;
use super::entry::{Entry, Expiry, Returns, Stored};
use super::paging::{FLOOR, PAGED_OUT};
use super::{Queue, lane_of};
use crate::model::ids::{Position, Timestamp};
use crate::model::message::Message;
use crate::model::op;

/// The unacked of a queue may hold this part of its window besides the ready: a half.
const SHARE: usize = 2;
/// Unacked messages that one call looks at, for those whose content it may let go of.
const VISITED: usize = 16 * PAGED_OUT;

/// The content of a delivered message.
#[derive(Debug)]
pub(super) enum Content {
    Here(Arc<Message>),
    /// In the store alone: its lane, and the bytes of its body.
    Stored {
        lane: op::Lane,
        body: u32,
    },
}

/// A delivered message and who has it.
#[derive(Debug)]
pub(super) struct Unacked {
    pub(super) content: Content,
    pub(super) expiry: Expiry,
    pub(super) returns: Returns,
    pub(super) stored: Stored,
    pub(super) slot: ConsumerSlot,
    pub(super) since: Since,
}

impl Unacked {
    /// Bytes it holds in memory, about.
    pub(super) fn footprint(&self) -> usize {
        match &self.content {
            Content::Here(message) => message.footprint(),
            Content::Stored { .. } => 0,
        }
    }

    /// Lets go of the content, which the store has. Returns the bytes that are free now.
    fn let_go(&mut self, lane_of: impl FnOnce(&Message) -> op::Lane) -> usize {
        let Content::Here(message) = &self.content else { return 0 };
        let (bytes, content) = (message.footprint(), stored(message, lane_of(message)));
        self.content = content;
        bytes
    }
}

fn stored(message: &Message, lane: op::Lane) -> Content {
    Content::Stored { lane, body: u32::try_from(message.body().len()).unwrap_or(u32::MAX) }
}

/// Footprints of the unacked that are in memory: of all, and of those that the store has too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnackedMemory {
    pub(super) all: usize,
    stored: usize,
    /// No content that the store has is kept of what stands before this.
    kept_from: Position,
}

impl UnackedMemory {
    pub(super) fn add(&mut self, position: Position, held: &Unacked) {
        let bytes = held.footprint();
        self.all += bytes;
        if held.stored != Stored::No && bytes > 0 {
            self.stored += bytes;
            self.kept_from = self.kept_from.min(position);
        }
    }

    pub(super) fn subtract(&mut self, held: &Unacked) {
        let bytes = held.footprint();
        self.all -= bytes;
        self.stored -= if held.stored == Stored::No { 0 } else { bytes };
    }
}

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
            self.unacked_memory.all + bytes <= (self.window.all / SHARE).max(FLOOR)
        } else {
            self.unacked_memory.stored + bytes <= self.most_stored_unacked()
        };
        if !has_room {
            self.spill(lane, &mut entry, fx);
        }
        let Entry { message, position, expiry, returns, stored: is_stored, .. } = entry;
        let content = if has_room { Content::Here(message) } else { stored(&message, lane) };
        let held = Unacked { content, expiry, returns, stored: is_stored, slot, since: Since::new(now) };
        self.unacked_memory.add(position, &held);
        self.unacked.insert(position, held);
    }

    /// Lets go of contents where the window became smaller, up to [`PAGED_OUT`]. Returns of how many, and whether there may
    /// be more of them. What was passed over once is not looked at again.
    pub(super) fn balance_unacked(&mut self) -> (usize, bool) {
        if !self.exceeds_unacked() {
            return (0, false);
        }
        let most = self.most_stored_unacked();
        let memory = &mut self.unacked_memory;
        let settings = &self.settings;
        let mut let_go = 0;
        for (visited, (position, held)) in self.unacked.iter_mut_from(memory.kept_from).enumerate() {
            if memory.stored <= most {
                return (let_go, false);
            }
            if let_go == PAGED_OUT || visited == VISITED {
                return (let_go, true);
            }
            memory.kept_from = position.next();
            if held.stored == Stored::No {
                continue;
            }
            let freed = held.let_go(|message| lane_of(settings, message));
            memory.all -= freed;
            memory.stored -= freed;
            let_go += usize::from(freed > 0);
        }
        (let_go, false)
    }

    /// Whether there are more contents of unacked messages than there may be, of those that the store has.
    pub(super) fn exceeds_unacked(&self) -> bool {
        self.unacked_memory.stored > self.most_stored_unacked()
    }

    fn most_stored_unacked(&self) -> usize {
        self.window.stored / SHARE
    }
}

/// An unacked message as an entry again, if its content is here; else what is known of what the store has.
pub(super) enum Taken {
    Here(Entry),
    Stored { lane: op::Lane, body: u64 },
}

impl Unacked {
    pub(super) fn taken(self, position: Position) -> Taken {
        let Unacked { content, expiry, returns, stored, .. } = self;
        match content {
            Content::Here(message) => {
                Taken::Here(Entry { message, position, expiry, returns, stored, indexed: false })
            }
            Content::Stored { lane, body } => Taken::Stored { lane, body: u64::from(body) },
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
