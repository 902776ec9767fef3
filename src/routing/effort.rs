//! How much searching one message may cause. It is matched in its publisher's own time, but under the lock of the view,
//! for which everybody waits with whom the catalog waits.

/// Steps that one message may take in all: an exchange and a key, or a node of a topic exchange's trie and a key, each.
/// Some milliseconds.
pub const MOST_EFFORT: usize = 500_000;

#[derive(Debug)]
pub struct Effort {
    left: usize,
    too_much: bool,
}

impl Default for Effort {
    fn default() -> Self {
        Effort { left: MOST_EFFORT, too_much: false }
    }
}

impl Effort {
    /// Takes some steps. False where there are not so many left.
    pub(super) fn spend(&mut self, steps: usize) -> bool {
        match self.left.checked_sub(steps) {
            Some(left) => self.left = left,
            None => self.too_much = true,
        }
        !self.too_much
    }

    /// Whether the search was given up.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        self.too_much
    }

    pub(super) fn spent(&self) -> usize {
        MOST_EFFORT - self.left
    }
}
