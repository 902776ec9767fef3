//! Ready messages of one lane in memory, in order of position. It knows which of them need the expiry index:
//! as long as each expires no earlier than the one before it, looking at the front is enough.

use std::collections::VecDeque;

use super::entry::{Entry, Expiry};
use crate::model::ids::Position;

/// More than this many dead slots beyond the live ones are cleared away.
const SLACK: usize = 32;
/// A segment that was longer gives memory back once it is nearly empty: there may be very many queues, and one message
/// to all of them is a slot in each.
const LARGE: usize = 1024;

/// A place in the segment. One that was taken out of the middle stays as a mark, so that nothing has to move.
#[derive(Debug)]
enum SegmentSlot {
    Live(Entry),
    Dead(Position),
}

impl SegmentSlot {
    fn position(&self) -> Position {
        match self {
            SegmentSlot::Live(entry) => entry.position,
            SegmentSlot::Dead(position) => *position,
        }
    }
}

#[derive(Debug)]
pub(super) struct Segment {
    /// First and last are live.
    slots: VecDeque<SegmentSlot>,
    live: usize,
    /// The latest expiry among those that are in order of expiry.
    ordered_until: Expiry,
}

impl Default for Segment {
    fn default() -> Self {
        Segment::EMPTY
    }
}

impl Segment {
    pub(super) const EMPTY: Segment =
        Segment { slots: VecDeque::new(), live: 0, ordered_until: Expiry::FIRST };

    /// How many slots there are, and for how many there is room.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.slots.len(), self.slots.capacity())
    }

    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Adds an entry behind all others. Returns whether it must be indexed, and marks it so.
    ///
    /// An entry that is not indexed expires no earlier than any before it, so none is due while the front is not.
    pub(super) fn push_back(&mut self, mut entry: Entry) -> bool {
        debug_assert!(self.back().is_none_or(|last| last.position < entry.position), "out of order");
        entry.indexed = entry.expiry < self.ordered_until;
        let indexed = entry.indexed;
        if !indexed {
            self.ordered_until = entry.expiry;
        }
        self.slots.push_back(SegmentSlot::Live(entry));
        self.live += 1;
        indexed
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        match self.slots.front() {
            Some(SegmentSlot::Live(entry)) => Some(entry),
            _ => None,
        }
    }

    pub(super) fn back(&self) -> Option<&Entry> {
        match self.slots.back() {
            Some(SegmentSlot::Live(entry)) => Some(entry),
            _ => None,
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Entry> {
        let slot = self.slots.pop_front();
        self.taken(slot)
    }

    pub(super) fn pop_back(&mut self) -> Option<Entry> {
        let slot = self.slots.pop_back();
        self.taken(slot)
    }

    /// Takes the entry at `position` out, wherever it stands.
    pub(super) fn take(&mut self, position: Position) -> Option<Entry> {
        let at = self.slots.binary_search_by_key(&position, SegmentSlot::position).ok()?;
        let slot = std::mem::replace(&mut self.slots[at], SegmentSlot::Dead(position));
        self.taken(Some(slot))
    }

    /// The live ones in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().filter_map(|slot| match slot {
            SegmentSlot::Live(entry) => Some(entry),
            SegmentSlot::Dead(_) => None,
        })
    }

    /// Drops up to `most` of the last ones of a segment that nobody needs any more. Returns how many more it could have
    /// dropped.
    pub(super) fn drop_some(&mut self, most: usize) -> usize {
        let dropped = self.slots.len().min(most);
        self.slots.truncate(self.slots.len() - dropped);
        self.live = self.live.min(self.slots.len());
        most - dropped
    }

    fn taken(&mut self, slot: Option<SegmentSlot>) -> Option<Entry> {
        let Some(SegmentSlot::Live(entry)) = slot else { return None };
        self.live -= 1;
        self.tidy();
        Some(entry)
    }

    fn tidy(&mut self) {
        while matches!(self.slots.front(), Some(SegmentSlot::Dead(_))) {
            self.slots.pop_front();
        }
        while matches!(self.slots.back(), Some(SegmentSlot::Dead(_))) {
            self.slots.pop_back();
        }
        if self.live == 0 {
            self.ordered_until = Expiry::FIRST;
        }
        if self.slots.len() > self.live * 2 + SLACK {
            self.slots.retain(|slot| matches!(slot, SegmentSlot::Live(_)));
        }
        if self.slots.capacity() > LARGE && self.slots.len() < self.slots.capacity() / 8 {
            self.slots.shrink_to(self.slots.capacity() / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::support::entry;

    #[test]
    fn a_slot_costs_no_more_than_its_entry() {
        assert_eq!(size_of::<SegmentSlot>(), size_of::<Entry>());
    }

    #[test]
    fn only_what_expires_before_an_earlier_one_is_indexed() {
        let mut segment = Segment::default();
        let indexed: Vec<bool> = [Some(10), Some(20), Some(15), Some(20), None, Some(30), None]
            .into_iter()
            .zip(1..)
            .map(|(expiry, position)| segment.push_back(entry(position, expiry)))
            .collect();
        assert_eq!(indexed, [false, false, true, false, false, true, false]);
    }

    #[test]
    fn an_empty_segment_forgets_how_late_its_messages_expired() {
        let mut segment = Segment::default();
        segment.push_back(entry(1, None));
        segment.pop_front();
        assert!(!segment.push_back(entry(2, Some(5))));
    }

    #[test]
    fn entries_leave_from_the_middle_and_the_ends_stay_live() {
        let mut segment = Segment::default();
        for position in 1..=5 {
            segment.push_back(entry(position, None));
        }
        for position in [2, 4, 5] {
            assert_eq!(segment.take(Position(position)).map(|taken| taken.position.0), Some(position));
        }
        assert!(segment.take(Position(2)).is_none());
        assert_eq!(segment.back().map(|last| last.position.0), Some(3));
        assert_eq!(segment.pop_front().map(|first| first.position.0), Some(1));
        assert_eq!(segment.pop_front().map(|first| first.position.0), Some(3));
        assert!(segment.pop_front().is_none() && segment.is_empty());
    }
}
