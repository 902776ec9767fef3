//! How much memory queues may use for messages: what is configured, but no more than half of what the process may use,
//! and less and less while the process uses more than it may. An alarm that only blocked publishers would not end where it
//! is messages that take the memory. Who leaves what to the store is the shards' business.

use std::time::{Duration, Instant};

/// How long it takes until less shows, and how long things have to be well before there is more.
const LESS_AFTER: Duration = Duration::from_secs(1);
const MORE_AFTER: Duration = Duration::from_secs(5);
/// The least is 1/64.
const MOST_HALVINGS: u32 = 6;

#[derive(Debug)]
pub(super) struct MessageMemory {
    configured: u64,
    halvings: u32,
    changed: Option<Instant>,
    told: u64,
}

impl MessageMemory {
    /// `configured`: bytes, where the process may use `limit`.
    pub(super) fn new(configured: u64, limit: u64) -> MessageMemory {
        let told = within(configured, limit);
        MessageMemory { configured, halvings: 0, changed: None, told }
    }

    /// Bytes for the messages of all queues, as was last told.
    pub(super) fn bytes(&self) -> u64 {
        self.told
    }

    /// The process uses so many bytes, and may use `limit`. Returns how many messages may have where that has changed.
    pub(super) fn follow(&mut self, now: Instant, used: u64, limit: u64) -> Option<u64> {
        let passed = self.changed.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let before = self.halvings;
        if used > limit && passed >= LESS_AFTER {
            self.halvings = (before + 1).min(MOST_HALVINGS);
        } else if used < limit / 4 * 3 && passed >= MORE_AFTER {
            self.halvings = before.saturating_sub(1);
        }
        if self.halvings != before {
            self.changed = Some(now);
        }
        let bytes = within(self.configured, limit) >> self.halvings;
        (std::mem::replace(&mut self.told, bytes) != bytes).then_some(bytes)
    }
}

fn within(configured: u64, limit: u64) -> u64 {
    configured.min(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn messages_have_half_of_what_there_is_at_the_most() {
        assert_eq!(MessageMemory::new(256 * MIB, u64::MAX).bytes(), 256 * MIB);
        let mut memory = MessageMemory::new(256 * MIB, 300 * MIB);
        assert_eq!(memory.bytes(), 150 * MIB);
        let now = Instant::now();
        assert_eq!(memory.follow(now, 200 * MIB, 300 * MIB), None);
        assert_eq!(memory.follow(now, 200 * MIB, u64::MAX), Some(256 * MIB), "the limit was lifted");
        assert_eq!(memory.follow(now, 200 * MIB, 400 * MIB), Some(200 * MIB));
    }

    #[test]
    fn while_too_much_is_used_messages_have_less_and_less_and_more_again_once_things_are_well() {
        let (limit, start) = (400 * MIB, Instant::now());
        let mut memory = MessageMemory::new(128 * MIB, limit);
        // In tenths of a second.
        let told = |memory: &mut MessageMemory, from: u64, to: u64, used: u64| -> Vec<u64> {
            let moments = (from..to).map(|tenth| start + Duration::from_millis(100 * tenth));
            moments.filter_map(|now| memory.follow(now, used * MIB, limit)).map(|bytes| bytes / MIB).collect()
        };
        assert_eq!(told(&mut memory, 0, 25, 401), [64, 32, 16]);
        assert_eq!(told(&mut memory, 25, 200, 350), [0; 0], "there is room, but not much");
        assert_eq!(told(&mut memory, 200, 300, 401), [8, 4, 2]);
        assert_eq!(told(&mut memory, 300, 600, 299), [4, 8, 16, 32, 64, 128]);
        assert_eq!(told(&mut memory, 600, 900, 299), [0; 0]);
    }
}
