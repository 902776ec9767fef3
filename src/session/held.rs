//! What a connection makes the broker keep before it can be published: contents whose bodies are not complete, and
//! transactions that are not committed, over all its channels. Both are the client's to end, so they are bounded; how
//! much a connection may have at this moment is told by the server, who knows of the others.

use crate::model::fault::{Fault, ReplyCode};

/// In bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    bytes: usize,
    most: usize,
}

impl Held {
    pub(super) fn new(most: usize) -> Held {
        Held { bytes: 0, most }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much it may be from now on. What is held already stays.
    pub(super) fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Takes so many bytes more; 311 where that is too much.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Fault> {
        let sum = self.bytes.saturating_add(bytes);
        if sum > self.most {
            let text = format!(
                "contents and transactions of this connection that are not complete would hold {sum} bytes, {} may be \
                 held at this time: publish fewer large messages at once, or commit more often",
                self.most
            );
            return Err(Fault::new(ReplyCode::ContentTooLarge, text));
        }
        self.bytes = sum;
        Ok(())
    }

    pub(super) fn subtract(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
