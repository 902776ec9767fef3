//! Who waits for a message, by priority and in turn. A list per priority, linked through one table of slots: to come, to
//! go and to take turns costs the same however many there are. Who has credit, and is put in here, is known in
//! `consumers.rs`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::consumers::Slot;
use crate::model::holdings::Holdings;

/// The consumers of one priority that wait.
#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    first: Option<Slot>,
    last: Option<Slot>,
}

/// The place of a slot that waits.
#[derive(Clone, Copy, Debug)]
struct Link {
    priority: i32,
    before: Option<Slot>,
    behind: Option<Slot>,
}

#[derive(Debug, Default)]
pub(super) struct Rotation {
    links: Vec<Option<Link>>,
    /// Highest priority first. One that nobody waits in is found out when it is the first: a single one comes and goes
    /// with every message, and is to cost no allocation.
    levels: BTreeMap<Reverse<i32>, Ends>,
    waiting: usize,
}

impl Rotation {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Rotation { links, levels, waiting } = self;
        into.in_use("rotation: links", &(*waiting, links.capacity()));
        into.in_use("rotation: levels", levels);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    pub(super) fn contains(&self, slot: Slot) -> bool {
        self.link(slot).is_some()
    }

    /// The next one of the highest priority.
    pub(super) fn first(&mut self) -> Option<Slot> {
        while let Some(level) = self.levels.first_entry() {
            if let Some(first) = level.get().first {
                return Some(first);
            }
            if self.waiting == 0 {
                return None;
            }
            level.remove();
        }
        None
    }

    /// Adds one that does not wait, behind the others of its priority.
    pub(super) fn push_back(&mut self, slot: Slot, priority: i32) {
        let ends = self.levels.entry(Reverse(priority)).or_default();
        let before = ends.last.replace(slot);
        ends.first.get_or_insert(slot);
        if let Some(before) = before.and_then(|before| self.link_mut(before)) {
            before.behind = Some(slot);
        }
        self.put(slot, Link { priority, before, behind: None });
    }

    /// Adds one that does not wait, before the others of its priority.
    pub(super) fn push_front(&mut self, slot: Slot, priority: i32) {
        let ends = self.levels.entry(Reverse(priority)).or_default();
        let behind = ends.first.replace(slot);
        ends.last.get_or_insert(slot);
        if let Some(behind) = behind.and_then(|behind| self.link_mut(behind)) {
            behind.before = Some(slot);
        }
        self.put(slot, Link { priority, before: None, behind });
    }

    /// Takes one out, wherever it stands. False where it did not wait.
    pub(super) fn remove(&mut self, slot: Slot) -> bool {
        let place = self.links.get_mut(slot as usize);
        let Some(Link { priority, before, behind }) = place.and_then(Option::take) else { return false };
        self.waiting -= 1;
        if let Some(before) = before.and_then(|before| self.link_mut(before)) {
            before.behind = behind;
        }
        if let Some(behind) = behind.and_then(|behind| self.link_mut(behind)) {
            behind.before = before;
        }
        if let Some(ends) = self.levels.get_mut(&Reverse(priority)) {
            if before.is_none() {
                ends.first = behind;
            }
            if behind.is_none() {
                ends.last = before;
            }
        }
        true
    }

    /// Lets one that waits wait behind the others of its priority.
    pub(super) fn move_back(&mut self, slot: Slot) {
        let Some(&Link { priority, behind: Some(_), .. }) = self.link(slot) else { return };
        self.remove(slot);
        self.push_back(slot, priority);
    }

    /// All who wait, the highest priority first, in turn.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.levels.values().flat_map(|ends| {
            std::iter::successors(ends.first, |&slot| self.link(slot).and_then(|link| link.behind))
        })
    }

    fn put(&mut self, slot: Slot, link: Link) {
        let at = slot as usize;
        if self.links.len() <= at {
            self.links.resize(at + 1, None);
        }
        self.links[at] = Some(link);
        self.waiting += 1;
    }

    fn link(&self, slot: Slot) -> Option<&Link> {
        self.links.get(slot as usize)?.as_ref()
    }

    fn link_mut(&mut self, slot: Slot) -> Option<&mut Link> {
        self.links.get_mut(slot as usize)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_queue_per_priority(steps in prop::collection::vec((0u8..5, 0u32..12, 0i32..3), 0..200)) {
            let mut rotation = Rotation::default();
            let mut plain: BTreeMap<Reverse<i32>, VecDeque<Slot>> = BTreeMap::new();
            for (step, slot, priority) in steps {
                let level = plain.iter().find(|(_, level)| level.contains(&slot)).map(|(&level, _)| level);
                match (step, level) {
                    (0 | 1, None) => {
                        rotation.push_back(slot, priority);
                        plain.entry(Reverse(priority)).or_default().push_back(slot);
                    }
                    (2, None) => {
                        rotation.push_front(slot, priority);
                        plain.entry(Reverse(priority)).or_default().push_front(slot);
                    }
                    (3, Some(level)) => {
                        rotation.move_back(slot);
                        let level = plain.get_mut(&level).unwrap();
                        level.retain(|&other| other != slot);
                        level.push_back(slot);
                    }
                    _ => {
                        prop_assert_eq!(rotation.remove(slot), level.is_some());
                        plain.values_mut().for_each(|level| level.retain(|&other| other != slot));
                    }
                }
                let expected: Vec<_> = plain.values().flatten().copied().collect();
                prop_assert_eq!(rotation.first(), expected.first().copied());
                prop_assert_eq!(rotation.is_empty(), expected.is_empty());
                prop_assert_eq!(rotation.iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}
