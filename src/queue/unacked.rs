//! A delivered message: who holds it and since when, and its content as long as there is room. How much room there is, is in
//! `unacked_contents.rs`; who holds how much in `consumers.rs`.

use std::sync::Arc;

use super::entry::{Entry, Expiry, Returns, Stored};
use super::on_first_use::Part;
use super::rotation::ConsumerSlot;
use crate::model::ids::{Position, Timestamp};
use crate::model::message::Message;
use crate::model::op;

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

    /// Bytes of its body.
    pub(super) fn body_bytes(&self) -> u64 {
        match &self.content {
            Content::Here(message) => message.body().len() as u64,
            Content::Stored { body, .. } => u64::from(*body),
        }
    }

    /// Lets go of the content, which the store has. Returns the bytes that are free now.
    pub(super) fn let_go(&mut self, lane_of: impl FnOnce(&Message) -> op::Lane) -> usize {
        let Content::Here(message) = &self.content else { return 0 };
        let (bytes, content) = (message.footprint(), stored(message, lane_of(message)));
        self.content = content;
        bytes
    }
}

/// The content of a message that the store has.
pub(super) fn stored(message: &Message, lane: op::Lane) -> Content {
    Content::Stored { lane, body: u32::try_from(message.body().len()).unwrap_or(u32::MAX) }
}

/// Footprints of the unacked that are in memory: of all, and of those that the store has too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnackedMemory {
    pub(super) all: usize,
    pub(super) stored: usize,
    /// No content that the store has is kept of what stands before this.
    pub(super) kept_from: Position,
    /// Bytes of all bodies, wherever they are.
    pub(super) bodies: u64,
    /// Those that the store does not have, and the bytes of their bodies.
    pub(super) unstored_count: u64,
    pub(super) unstored_bodies: u64,
    /// Those that the store alone has, and the bytes of their bodies.
    pub(super) gone_count: u64,
    pub(super) gone_bodies: u64,
}

impl Part for UnackedMemory {
    fn none() -> &'static UnackedMemory {
        static NONE: UnackedMemory = UnackedMemory {
            all: 0,
            stored: 0,
            kept_from: Position(0),
            bodies: 0,
            unstored_count: 0,
            unstored_bodies: 0,
            gone_count: 0,
            gone_bodies: 0,
        };
        &NONE
    }
}

impl UnackedMemory {
    pub(super) fn add(&mut self, position: Position, held: &Unacked) {
        let bytes = held.footprint();
        self.all += bytes;
        if held.stored != Stored::No && bytes > 0 {
            self.stored += bytes;
            self.kept_from = self.kept_from.min(position);
        }
        let body = held.body_bytes();
        self.bodies += body;
        if held.stored == Stored::No {
            self.unstored_count += 1;
            self.unstored_bodies += body;
        }
        if matches!(held.content, Content::Stored { .. }) {
            self.let_go(body);
        }
    }

    /// The content of one, with a body of so many bytes, is in the store alone from now on.
    pub(super) fn let_go(&mut self, body: u64) {
        self.gone_count += 1;
        self.gone_bodies += body;
    }

    pub(super) fn subtract(&mut self, held: &Unacked) {
        let bytes = held.footprint();
        self.all -= bytes;
        self.stored -= if held.stored == Stored::No { 0 } else { bytes };
        let body = held.body_bytes();
        self.bodies -= body;
        if held.stored == Stored::No {
            self.unstored_count -= 1;
            self.unstored_bodies -= body;
        }
        if matches!(held.content, Content::Stored { .. }) {
            self.gone_count -= 1;
            self.gone_bodies -= body;
        }
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
