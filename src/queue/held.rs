//! A message that is in its queue and not ready: its content as long as there is room, and what an entry says of it besides.
//! Who has it, or what it waits for, is said by whoever holds it (`unacked.rs`, `waiting.rs`).

use std::sync::Arc;

use super::entry::{Entry, Expiry, Returns, Stored};
use crate::model::ids::Position;
use crate::model::message::Message;
use crate::model::op;

/// The content of a message that is not ready.
#[derive(Debug)]
pub(super) enum Content {
    Here(Arc<Message>),
    /// In the store alone: its lane, and the bytes of its body.
    Stored {
        lane: op::Lane,
        body: u32,
    },
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) content: Content,
    pub(super) expiry: Expiry,
    pub(super) returns: Returns,
    pub(super) stored: Stored,
}

/// A message as an entry again, if its content is here; else what is known of what the store has.
pub(super) enum Taken {
    Here(Entry),
    Stored { lane: op::Lane, body: u64 },
}

impl Held {
    /// An entry of this lane that is ready no more, with its content or, where the store has it, without.
    #[inline(always)]
    pub(super) fn of(entry: Entry, lane: op::Lane, with_content: bool) -> Held {
        let Entry { message, expiry, returns, stored, .. } = entry;
        let content = if with_content { Content::Here(message) } else { in_store(&message, lane) };
        Held { content, expiry, returns, stored }
    }

    pub(super) fn taken(self, position: Position) -> Taken {
        let Held { content, expiry, returns, stored } = self;
        match content {
            Content::Here(message) => {
                Taken::Here(Entry { message, position, expiry, returns, stored, indexed: false })
            }
            Content::Stored { lane, body } => Taken::Stored { lane, body: u64::from(body) },
        }
    }

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
        let (bytes, content) = (message.footprint(), in_store(message, lane_of(message)));
        self.content = content;
        bytes
    }
}

/// The content of a message that the store has.
fn in_store(message: &Message, lane: op::Lane) -> Content {
    Content::Stored { lane, body: u32::try_from(message.body().len()).unwrap_or(u32::MAX) }
}

/// How much messages that are not ready come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldMemory {
    /// Footprints of those in memory: of all, and of those that the store has too.
    pub(super) all: usize,
    pub(super) stored: usize,
    /// Bytes of all bodies, wherever they are.
    pub(super) bodies: u64,
    /// Those that the store does not have, and the bytes of their bodies.
    pub(super) unstored_count: u64,
    pub(super) unstored_bodies: u64,
    /// Those that the store alone has, and the bytes of their bodies.
    pub(super) gone_count: u64,
    pub(super) gone_bodies: u64,
}

impl HeldMemory {
    pub(super) const NONE: HeldMemory = HeldMemory {
        all: 0,
        stored: 0,
        bodies: 0,
        unstored_count: 0,
        unstored_bodies: 0,
        gone_count: 0,
        gone_bodies: 0,
    };

    #[inline(always)]
    pub(super) fn add(&mut self, held: &Held) {
        let bytes = held.footprint();
        self.all += bytes;
        self.stored += if held.stored == Stored::No { 0 } else { bytes };
        let body = held.body_bytes();
        self.bodies += body;
        if held.stored == Stored::No {
            self.unstored_count += 1;
            self.unstored_bodies += body;
        }
        if matches!(held.content, Content::Stored { .. }) {
            self.gone_count += 1;
            self.gone_bodies += body;
        }
    }

    #[inline(always)]
    pub(super) fn subtract(&mut self, held: &Held) {
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

    /// One of them let go of its content, of so many bytes in memory, with a body of so many.
    pub(super) fn let_go(&mut self, freed: usize, body: u64) {
        self.all -= freed;
        self.stored -= freed;
        self.gone_count += 1;
        self.gone_bodies += body;
    }
}
