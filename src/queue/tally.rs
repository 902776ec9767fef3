//! What a queue has counted since it was made. While it is used it counts in plain integers; what an idle queue has counted is
//! kept in a few bytes, for there may be very many of those. What it knows of when its messages came is in `arrivals.rs`.

use super::arrivals::Arrivals;
use super::on_first_use::{OnFirstUse, Part};
use crate::model::counters::{QUEUE_COUNTS, QueueCount, QueueCounters};
use crate::model::ids::{Position, Timestamp};
use crate::model::question::QueueSize;

/// Counters of a queue, and which part of it its shard has been told.
#[derive(Debug, Default)]
pub(super) struct Tally {
    active: OnFirstUse<Active>,
    /// What was counted before the queue was idle, as numbers of seven bits to a byte.
    rested: Option<Box<[u8]>>,
}

#[derive(Debug, Default)]
struct Active {
    /// When what is ready came.
    arrivals: Arrivals,
    /// The shard has been told.
    told: QueueCounters,
    /// And of this size.
    size: QueueSize,
    /// It has not been told.
    fresh: [u32; QUEUE_COUNTS],
}

impl Part for Active {
    fn none() -> &'static Active {
        static NONE: Active = Active {
            arrivals: Arrivals::NONE,
            told: QueueCounters::ZERO,
            size: QueueSize::ZERO,
            fresh: [0; QUEUE_COUNTS],
        };
        &NONE
    }
}

/// What has changed since the shard was last told.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub counted: QueueCounters,
    pub before: QueueSize,
    pub now: QueueSize,
}

impl Tally {
    /// Counts within a turn, which has no time for 2^32 of anything.
    #[inline]
    pub(super) fn add(&mut self, count: QueueCount, by: u32) {
        let fresh = &mut self.active.fresh[count as usize];
        *fresh = fresh.wrapping_add(by);
    }

    /// What is to be told; None where nothing was counted and nothing is there.
    #[inline]
    pub(super) fn book(&mut self, now: QueueSize) -> Option<Change> {
        if self.active.made().is_none() && now.is_nothing() {
            return None;
        }
        let Active { arrivals: _, told, size, fresh } = &mut *self.active;
        let counted = QueueCounters::from_fresh(std::mem::replace(fresh, [0; QUEUE_COUNTS]));
        *told += &counted;
        Some(Change { counted, before: std::mem::replace(size, now), now })
    }

    /// A pump ends. `ready`: there are messages; those from `first` on are new where `are_new`.
    #[inline]
    pub(super) fn end_pump(&mut self, ready: bool, first: Position, are_new: bool, now: Timestamp) {
        if ready {
            self.active.arrivals.remain(first, are_new, now);
        } else if let Some(active) = self.active.made() {
            active.arrivals.forget();
        }
    }

    /// When the message at this position came, where that is known.
    #[inline]
    pub(super) fn came(&mut self, position: Position) -> Option<Timestamp> {
        self.active.made()?.arrivals.of(position)
    }

    /// Since when there has been a message at this position, or by when it was there.
    pub(super) fn since(&self, position: Position) -> Option<Timestamp> {
        self.active.arrivals.since(position)
    }

    /// All that was counted.
    pub(super) fn total(&self) -> QueueCounters {
        let mut total = self.active.told;
        total += &QueueCounters::from_fresh(self.active.fresh);
        total += &self.rested();
        total
    }

    fn rested(&self) -> QueueCounters {
        self.rested.as_deref().map(unpack).unwrap_or_default()
    }

    /// Whether it takes more room than an idle queue has need of.
    pub(super) fn has_room(&mut self) -> bool {
        self.active.made().is_some()
    }

    /// Takes little room from now on, where the shard has been told everything.
    pub(super) fn rest(&mut self) {
        if self.active.fresh == [0; QUEUE_COUNTS] && self.active.size.is_nothing() {
            let total = self.total();
            self.rested = (total != QueueCounters::ZERO).then(|| pack(&total));
            self.active.take_away();
        }
    }
}

fn pack(counters: &QueueCounters) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(2 * QUEUE_COUNTS);
    for mut number in counters.values() {
        while number >= 0x80 {
            bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        bytes.push(number.to_le_bytes()[0]);
    }
    bytes.into()
}

fn unpack(bytes: &[u8]) -> QueueCounters {
    let (mut values, mut at, mut shift) = ([0; QUEUE_COUNTS], 0, 0);
    for byte in bytes {
        if let Some(value) = values.get_mut(at) {
            *value |= u64::from(byte & 0x7f) << shift;
        }
        (at, shift) = if byte & 0x80 == 0 { (at + 1, 0) } else { (at, shift + 7) };
    }
    QueueCounters::of(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_told_once_and_rest_loses_nothing() {
        let mut tally = Tally::default();
        assert!(tally.book(QueueSize::ZERO).is_none());
        let size = QueueSize { ready: 2, ..QueueSize::ZERO };
        for (round, by) in [(1, 3), (2, 200), (3, 70_000)] {
            tally.add(QueueCount::Published, by);
            let change = tally.book(size).unwrap();
            assert_eq!((change.counted[QueueCount::Published], change.now.ready), (u64::from(by), 2));
            tally.rest();
            assert!(tally.has_room(), "the shard has been told of messages that will have to be taken back");
            let change = tally.book(QueueSize::ZERO).unwrap();
            assert_eq!((change.counted, change.before.ready), (QueueCounters::ZERO, 2));
            tally.rest();
            assert!(!tally.has_room(), "round {round}");
        }
        assert_eq!(tally.total()[QueueCount::Published], 70_203);
    }

    #[test]
    fn packed_counters_are_small_and_as_they_were() {
        let mut values = [0; QUEUE_COUNTS];
        assert_eq!(pack(&QueueCounters::of(values)).len(), QUEUE_COUNTS);
        values[0] = u64::MAX;
        values[QUEUE_COUNTS - 1] = 128;
        assert_eq!(unpack(&pack(&QueueCounters::of(values))), QueueCounters::of(values));
    }
}
