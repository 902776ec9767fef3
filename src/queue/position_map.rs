//! A map by position for things that come in mostly rising order and go mostly in that order: a dense ring for the
//! recent ones, a tree for the few that stay behind. So the common case costs an index, and one message that is
//! unacked for hours does not make the ring grow.

use std::collections::{BTreeMap, VecDeque};

use crate::model::ids::{Position, PositionRange};

/// The ring may have this many slots, and `SPARSE` times as many as are taken, before its oldest are moved away.
const SLACK: usize = 64;
const SPARSE: usize = 4;
/// A ring that was this large gives memory back once it is nearly empty.
const LARGE: usize = 4096;

#[derive(Debug)]
pub(super) struct PositionMap<T> {
    /// The position of the first slot.
    base: u64,
    ring: VecDeque<Option<T>>,
    /// Slots that are taken. The first and the last always are.
    taken: usize,
    /// All below `base`.
    old: BTreeMap<u64, T>,
}

impl<T> Default for PositionMap<T> {
    fn default() -> Self {
        PositionMap::EMPTY
    }
}

impl<T> PositionMap<T> {
    pub(super) const EMPTY: PositionMap<T> =
        PositionMap { base: 0, ring: VecDeque::new(), taken: 0, old: BTreeMap::new() };

    /// How many places there are, taken or not, and for how many there is room.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.ring.len() + self.old.len(), self.ring.capacity() + self.old.len())
    }

    pub(super) fn len(&self) -> usize {
        self.taken + self.old.len()
    }

    /// Adds a value. The position must be free.
    pub(super) fn insert(&mut self, position: Position, value: T) {
        let position = position.0;
        if self.ring.is_empty() {
            if self.old.last_key_value().is_some_and(|(&last, _)| position < last) {
                self.put_old(position, value);
                return;
            }
            self.base = position;
        }
        let Some(offset) = position.checked_sub(self.base) else {
            self.put_old(position, value);
            return;
        };
        let room = self.taken.saturating_mul(SPARSE) + SLACK;
        let offset = match usize::try_from(offset) {
            Ok(offset) if offset < room.max(self.ring.len()) => offset,
            _ => {
                self.retire(usize::MAX);
                self.base = position;
                0
            }
        };
        while self.ring.len() <= offset {
            self.ring.push_back(None);
        }
        debug_assert!(self.ring[offset].is_none(), "position {position} is taken");
        self.ring[offset] = Some(value);
        self.taken += 1;
        let excess = self.ring.len().saturating_sub(self.taken.saturating_mul(SPARSE) + SLACK);
        if excess > 0 {
            self.retire(excess);
        }
    }

    /// The values from this position on, in order.
    pub(super) fn iter_mut_from(&mut self, first: Position) -> impl Iterator<Item = (Position, &mut T)> {
        let at = usize::try_from(first.0.saturating_sub(self.base))
            .map_or(self.ring.len(), |at| at.min(self.ring.len()));
        let old = self.old.range_mut(first.0..).map(|(&position, value)| (Position(position), value));
        let recent = (self.base + at as u64..).zip(self.ring.range_mut(at..));
        old.chain(recent.filter_map(|(position, value)| Some((Position(position), value.as_mut()?))))
    }

    pub(super) fn get(&self, position: Position) -> Option<&T> {
        match self.offset(position.0) {
            Some(offset) => self.ring.get(offset).and_then(Option::as_ref),
            None => self.old.get(&position.0),
        }
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.get(position).is_some()
    }

    /// Takes the value at a position out.
    pub(super) fn take(&mut self, position: Position) -> Option<T> {
        let mut taken = None;
        self.take_range(PositionRange::single(position), |_| true, |_, value| taken = Some(value));
        taken
    }

    /// The first position that is taken, and the last.
    pub(super) fn bounds(&self) -> Option<PositionRange> {
        let recent = (self.taken > 0).then(|| (self.base, self.base + self.ring.len() as u64 - 1));
        let first = self.old.first_key_value().map(|(&first, _)| first).or(recent.map(|(first, _)| first))?;
        let last = recent.map(|(_, last)| last).or(self.old.last_key_value().map(|(&last, _)| last))?;
        Some(PositionRange { first: Position(first), last: Position(last) })
    }

    /// Takes every value in `range` that `wanted` says yes to, in order of position.
    pub(super) fn take_range(
        &mut self,
        range: PositionRange,
        mut wanted: impl FnMut(&T) -> bool,
        mut take: impl FnMut(Position, T),
    ) {
        if !self.old.is_empty() {
            self.take_old(range, &mut wanted, &mut take);
        }
        let (first, end) = self.offsets(range);
        for offset in first..end {
            let slot = &mut self.ring[offset];
            if slot.as_ref().is_some_and(&mut wanted)
                && let Some(value) = slot.take()
            {
                self.taken -= 1;
                take(Position(self.base + offset as u64), value);
            }
        }
        self.trim();
    }

    /// The positions taken within `range`, rising.
    pub(super) fn positions_in(&self, range: PositionRange) -> impl Iterator<Item = Position> {
        let (first, end) = self.offsets(range);
        let recent = self.ring.range(first..end).zip(self.base + first as u64..);
        let old = self.old.range(range.first.0..=range.last.0.max(range.first.0));
        old.map(|(&at, _)| at)
            .chain(recent.filter(|(slot, _)| slot.is_some()).map(|(_, at)| at))
            .map(Position)
            .filter(move |&position| range.contains(position))
    }

    /// Drops up to `most` values of a map that nobody needs any more. Returns how many more it could have dropped.
    pub(super) fn drop_some(&mut self, mut most: usize) -> usize {
        while most > 0
            && let Some(slot) = self.ring.pop_back()
        {
            self.taken -= usize::from(slot.is_some());
            most -= 1;
        }
        while most > 0 && self.old.pop_last().is_some() {
            most -= 1;
        }
        most
    }

    /// The slots of the ring a range covers, the end not included.
    fn offsets(&self, range: PositionRange) -> (usize, usize) {
        let len = self.ring.len() as u64;
        let first = range.first.0.saturating_sub(self.base).min(len);
        let end = range.last.0.saturating_add(1).saturating_sub(self.base).min(len).max(first);
        // Both are at most the ring's length.
        (usize::try_from(first).unwrap_or(0), usize::try_from(end).unwrap_or(0))
    }

    fn take_old(
        &mut self,
        range: PositionRange,
        wanted: &mut impl FnMut(&T) -> bool,
        take: &mut impl FnMut(Position, T),
    ) {
        let mut from = range.first.0;
        while let Some((&at, value)) = self.old.range(from..=range.last.0.max(from)).next() {
            if at > range.last.0 {
                return;
            }
            if wanted(value)
                && let Some(value) = self.old.remove(&at)
            {
                take(Position(at), value);
            }
            from = at + 1;
        }
    }

    fn put_old(&mut self, position: u64, value: T) {
        let before = self.old.insert(position, value);
        debug_assert!(before.is_none(), "position {position} is taken");
    }

    /// The slot of a position; None below the ring.
    fn offset(&self, position: u64) -> Option<usize> {
        position.checked_sub(self.base).map(|offset| usize::try_from(offset).unwrap_or(usize::MAX))
    }

    /// Moves what stands in the first `slots` slots into the tree.
    fn retire(&mut self, slots: usize) {
        for _ in 0..slots.min(self.ring.len()) {
            if let Some(Some(value)) = self.ring.pop_front() {
                self.old.insert(self.base, value);
                self.taken -= 1;
            }
            self.base += 1;
        }
        self.trim();
    }

    /// Drops free slots from both ends.
    fn trim(&mut self) {
        if self.taken == 0 {
            self.base += self.ring.len() as u64;
            self.ring.clear();
        }
        while matches!(self.ring.front(), Some(None)) {
            self.ring.pop_front();
            self.base += 1;
        }
        while matches!(self.ring.back(), Some(None)) {
            self.ring.pop_back();
        }
        if self.ring.capacity() > LARGE && self.ring.len() < self.ring.capacity() / 8 {
            self.ring.shrink_to((self.ring.len() * 2).max(LARGE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// Inserts the next position, after a gap.
        Append(u64),
        /// Inserts one that was there before, counted from the newest.
        Again(u64),
        Take(u64, u64, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => (0u64..3).prop_map(Step::Append),
            1 => (0u64..2000).prop_map(Step::Append),
            2 => (0u64..300).prop_map(Step::Again),
            6 => (0u64..300, 0u64..20, 0u8..4).prop_map(|(back, len, of)| Step::Take(back, len, of)),
            1 => Just(Step::Take(u64::MAX, u64::MAX, 3)),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_tree_and_stays_dense(steps in prop::collection::vec(step(), 1..600)) {
            let mut map = PositionMap::<u8>::default();
            let mut model = BTreeMap::<u64, u8>::new();
            let mut newest = 0;
            for (number, step) in (0u64..).zip(steps) {
                match step {
                    Step::Append(gap) => {
                        newest += 1 + gap;
                        map.insert(Position(newest), (number % 3) as u8);
                        model.insert(newest, (number % 3) as u8);
                        prop_assert!(map.ring.len() <= map.taken * SPARSE + SLACK);
                    }
                    Step::Again(back) => {
                        let at = newest.saturating_sub(back);
                        if let std::collections::btree_map::Entry::Vacant(free) = model.entry(at) {
                            free.insert(7);
                            map.insert(Position(at), 7);
                        }
                    }
                    Step::Take(back, len, of) => {
                        let first = newest.saturating_sub(back);
                        let last = first.saturating_add(len);
                        let range = PositionRange { first: Position(first), last: Position(last) };
                        let mut taken = Vec::new();
                        let wanted = |value: &u8| of == 3 || *value == of;
                        map.take_range(range, wanted, |at, value| taken.push((at.0, value)));
                        let expected: Vec<_> = model
                            .range(first..=last)
                            .filter(|(_, value)| wanted(value))
                            .map(|(&at, &value)| (at, value))
                            .collect();
                        model.retain(|at, value| !((first..=last).contains(at) && wanted(value)));
                        prop_assert_eq!(taken, expected);
                    }
                }
                prop_assert_eq!(map.len(), model.len());
                let bounds = map.bounds().map(|bounds| (bounds.first.0, bounds.last.0));
                let expected = model.first_key_value().zip(model.last_key_value());
                prop_assert_eq!(bounds, expected.map(|((&first, _), (&last, _))| (first, last)));
                let range = PositionRange { first: Position(newest / 2), last: Position(newest) };
                let inside: Vec<u64> = map.positions_in(range).map(|at| at.0).collect();
                let expected: Vec<u64> = model.range(newest / 2..=newest).map(|(&at, _)| at).collect();
                prop_assert_eq!(inside, expected);
                let first = newest / 3;
                let behind: Vec<_> =
                    map.iter_mut_from(Position(first)).map(|(at, value)| (at.0, *value)).collect();
                let expected: Vec<_> = model.range(first..).map(|(&at, &value)| (at, value)).collect();
                prop_assert_eq!(behind, expected);
            }
            for at in 0..=newest {
                prop_assert_eq!(map.get(Position(at)), model.get(&at));
            }
        }
    }

    #[test]
    fn a_straggler_does_not_make_the_ring_grow() {
        let mut map = PositionMap::default();
        map.insert(Position(1), ());
        for at in 2..100_000 {
            map.insert(Position(at), ());
            map.take_range(PositionRange::single(Position(at)), |()| true, |_, ()| ());
        }
        assert!(map.contains(Position(1)));
        assert!(map.ring.capacity() < 1000, "{}", map.ring.capacity());
    }
}
