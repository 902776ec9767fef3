//! How the shard's memory is shared out: every queue that has ready messages, or holds unacked
//! ones in memory, may hold an equal window of the ready in memory, and half of that of the unacked.
//! What a queue does with its window is its own.

use super::Shard;
use super::queues::Values;
use super::steps::MOST_DEAD_LETTERS;

/// The smallest and the largest window, in bytes.
const LEAST: usize = 64 << 10;
const MOST: usize = 128 << 20;
/// The part of a window for messages that the store has too: an eighth. Reading them again is cheap, keeping what was
/// never written from being written is worth the memory.
const STORED_SHARE: usize = 8;

#[derive(Debug)]
pub(super) struct MemoryBudget {
    /// Bytes for ready messages of all queues.
    bytes: usize,
    /// Queues that have messages.
    queues: usize,
    /// For how many queues the window was made. A power of two that `queues` may outgrow, or fall below a quarter of,
    /// before all windows change; so that a queue that fills and empties costs the others nothing.
    made_for: usize,
}

impl MemoryBudget {
    pub(super) fn new(bytes: usize) -> MemoryBudget {
        MemoryBudget { bytes, queues: 0, made_for: 1 }
    }

    /// Ready messages of all queues may have so many bytes from now on. Returns whether the window of all queues is another.
    pub(super) fn set_bytes(&mut self, bytes: usize) -> bool {
        let before = self.window();
        self.bytes = bytes;
        before != self.window()
    }

    /// How many queues have ready messages.
    pub(super) fn queues(&self) -> usize {
        self.queues
    }

    /// What each queue may hold, in bytes: of messages that the store has too, and of all.
    pub(super) fn windows(&self) -> (usize, usize) {
        let all = self.window();
        ((all / STORED_SHARE).max(LEAST), all)
    }

    fn window(&self) -> usize {
        (self.bytes / self.made_for).clamp(LEAST, MOST)
    }

    /// A queue has messages now, or has none any more. Returns whether the window of all queues is another.
    pub(super) fn count(&mut self, has_messages: bool) -> bool {
        self.queues = if has_messages { self.queues + 1 } else { self.queues.saturating_sub(1) };
        if self.queues <= self.made_for && self.queues * 4 >= self.made_for {
            return false;
        }
        let before = self.window();
        self.made_for = self.queues.max(1).next_power_of_two();
        before != self.window()
    }
}

impl Shard {
    /// Ready messages of all its queues may take so many bytes from now on. What is beyond leaves memory in the turns that
    /// follow.
    pub fn set_memory_budget(&mut self, bytes: usize) {
        self.credit.set_memory(bytes);
        self.fx.dead_letter_room.set_most(MOST_DEAD_LETTERS, self.credit.most_bytes());
        if self.budget.set_bytes(bytes) {
            self.set_windows();
        }
    }

    pub(super) fn set_windows(&mut self) {
        let windows = self.budget.windows();
        self.queues.set(Values { windows, ..self.queues.values() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_an_equal_share_within_its_bounds() {
        let mut budget = MemoryBudget::new(256 << 20);
        assert_eq!(budget.window(), MOST);
        let changes = (0..8192).filter(|_| budget.count(true)).count();
        assert_eq!(budget.window(), LEAST);
        assert!(changes <= 13, "{changes} changes of all windows");
        for _ in 0..8192 {
            budget.count(false);
        }
        assert_eq!(budget.window(), MOST);
    }

    #[test]
    fn a_queue_that_fills_and_empties_changes_nothing() {
        let mut budget = MemoryBudget::new(32 << 20);
        for _ in 0..17 {
            budget.count(true);
        }
        assert!((0..100).all(|round| !budget.count(round % 2 == 0)));
    }
}
