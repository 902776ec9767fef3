//! How much is in a queue, and what it has counted since it was made. All of it is at hand: a look at a queue costs the same
//! however much is in it.

use super::Queue;
use super::lane::Lane;
use super::tally::Change;
use crate::model::consuming::DeathReason;
use crate::model::counters::QueueCount;
use crate::model::question::{QueueConsumers, QueueCounts, QueueSize};
use crate::model::request::clipped;

impl From<DeathReason> for QueueCount {
    fn from(reason: DeathReason) -> QueueCount {
        match reason {
            DeathReason::Rejected => QueueCount::Rejected,
            DeathReason::Expired => QueueCount::Expired,
            DeathReason::MaxLength => QueueCount::MaxLength,
            DeathReason::DeliveryLimit => QueueCount::DeliveryLimit,
        }
    }
}

impl Queue {
    /// How much is in it, as of the last pump.
    #[must_use]
    #[inline]
    pub fn size(&self) -> QueueSize {
        QueueSize {
            ready: self.ready.count(),
            unacked: self.unacked.len() as u64,
            consumers: clipped(self.consumers.len() as u64),
            memory_bytes: (self.ready.memory() + self.unacked_memory.held.all + self.waiting.memory().all)
                as u64,
        }
    }

    /// The same and more of it.
    #[must_use]
    pub fn counts(&self) -> QueueCounts {
        let QueueSize { ready, unacked, consumers, memory_bytes } = self.size();
        let (unstored, unstored_bytes) = self.ready.unstored();
        let (ready_in_memory, ready_bytes_in_memory) = self.ready.in_memory();
        let held = &self.unacked_memory.held;
        let (delayed, waiting) = (self.waiting.len() as u64, self.waiting.memory());
        let head = self.ready.head();
        let lows = self.ready.lanes.iter().filter_map(Lane::bounds).map(|range| range.first);
        let oldest = lows.min();
        QueueCounts {
            ready,
            unacked,
            delayed,
            dead_letters: self.dead_letters.len(),
            consumers,
            ready_bytes: self.ready.body_bytes(),
            unacked_bytes: held.bodies,
            delayed_bytes: waiting.bodies,
            memory_bytes,
            stored: ready - unstored + unacked - held.unstored_count + delayed - waiting.unstored_count,
            stored_bytes: self.ready.body_bytes() - unstored_bytes + held.bodies - held.unstored_bodies
                + waiting.bodies
                - waiting.unstored_bodies,
            ready_in_memory,
            unacked_in_memory: unacked - held.gone_count,
            bytes_in_memory: ready_bytes_in_memory + held.bodies - held.gone_bodies + waiting.bodies
                - waiting.gone_bodies,
            returned: self.ready.lanes.iter().map(Lane::returned).sum(),
            priorities: self.ready.lanes.iter().map(|lane| u32::from(!lane.is_empty())).sum(),
            active: self.consumers.single_active(self.selection()),
            oldest_since: oldest.and_then(|oldest| self.tally.since(oldest)),
            head_timestamp: head.and_then(|entry| entry.message.properties().timestamp()),
            serves: self.consumers.anyone_waits(self.selection()),
            counters: self.tally.total(),
        }
    }

    /// Who consumes here, `most` of them at the most.
    #[must_use]
    pub fn consumers(&self, most: usize) -> QueueConsumers {
        QueueConsumers {
            keys: self.consumers.registered().take(most).collect(),
            active: self.consumers.single_active(self.selection()),
            by_priority: self.ready.by_lane(),
        }
    }

    /// What has changed since this was last asked, for the shard to add to what it counts itself; None where nothing has ever
    /// happened.
    #[inline]
    pub fn book(&mut self) -> Option<Change> {
        let size = self.size();
        self.tally.book(size)
    }

    /// The same of a queue that goes: nothing is in it any more.
    pub fn book_last(&mut self) -> Option<Change> {
        let came = self.next_position.0.saturating_sub(self.fresh_from.0);
        if came > 0 {
            self.tally.add(QueueCount::Published, clipped(came));
        }
        self.tally.book(QueueSize::ZERO)
    }
}
