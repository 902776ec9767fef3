//! Who waits for a message, by priority and in turn. A ring per priority, linked through one table of slots: to come, to
//! go and to take turns costs the same however many there are. Who has credit, and is put in here, is known in
//! `consumers.rs`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::holdings::Holdings;

/// A consumer's place in the table. Given to another once the consumer has gone and holds nothing.
pub(super) type ConsumerSlot = u32;

/// The place of a slot that waits: who comes before it and after it among those of its priority. The last one is before
/// the first.
#[derive(Clone, Copy, Debug)]
struct Link {
    priority: i32,
    before: ConsumerSlot,
    behind: ConsumerSlot,
}

#[derive(Debug, Default)]
pub(super) struct Rotation {
    links: Vec<Option<Link>>,
    /// The first of each priority, the highest one first. One that nobody waits in is found out when it is the first: a
    /// single one comes and goes with every message, and is to cost no allocation.
    levels: BTreeMap<Reverse<i32>, Option<ConsumerSlot>>,
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

    pub(super) fn contains(&self, slot: ConsumerSlot) -> bool {
        self.link(slot).is_some()
    }

    /// The next one of the highest priority.
    pub(super) fn first(&mut self) -> Option<ConsumerSlot> {
        while let Some((_, first)) = self.levels.first_key_value() {
            if first.is_some() || self.waiting == 0 {
                return *first;
            }
            self.levels.pop_first();
        }
        None
    }

    /// Adds one that does not wait, behind the others of its priority.
    pub(super) fn push_back(&mut self, slot: ConsumerSlot, priority: i32) {
        let first = *self.levels.entry(Reverse(priority)).or_default().get_or_insert(slot);
        let before = self.link(first).map_or(slot, |first| first.before);
        let behind = if before == slot { slot } else { first };
        self.put(slot, Link { priority, before, behind });
    }

    /// Adds one that does not wait, before the others of its priority.
    pub(super) fn push_front(&mut self, slot: ConsumerSlot, priority: i32) {
        self.push_back(slot, priority);
        self.levels.insert(Reverse(priority), Some(slot));
    }

    /// Takes one out, wherever it stands. False where it did not wait.
    pub(super) fn remove(&mut self, slot: ConsumerSlot) -> bool {
        let place = self.links.get_mut(slot as usize);
        let Some(Link { priority, before, behind }) = place.and_then(Option::take) else { return false };
        self.waiting -= 1;
        if let Some(before) = self.link_mut(before) {
            before.behind = behind;
        }
        if let Some(behind) = self.link_mut(behind) {
            behind.before = before;
        }
        if let Some(first) = self.levels.get_mut(&Reverse(priority))
            && *first == Some(slot)
        {
            *first = Some(behind).filter(|&behind| behind != slot);
        }
        true
    }

    /// Has the first of its priority, if it is that, wait behind the others.
    pub(super) fn pass(&mut self, slot: ConsumerSlot) {
        let Some(&Link { priority, behind, .. }) = self.link(slot) else { return };
        if behind != slot
            && let Some(first) = self.levels.get_mut(&Reverse(priority))
            && *first == Some(slot)
        {
            *first = Some(behind);
        }
    }

    /// All who wait, the highest priority first, in turn.
    pub(super) fn iter(&self) -> impl Iterator<Item = ConsumerSlot> {
        self.levels.values().flatten().flat_map(move |&first| {
            let behind = move |slot| self.link(slot).map(|link| link.behind);
            std::iter::successors(Some(first), move |&slot| behind(slot).filter(|&next| next != first))
        })
    }

    fn put(&mut self, slot: ConsumerSlot, link: Link) {
        let at = slot as usize;
        if self.links.len() <= at {
            self.links.resize(at + 1, None);
        }
        self.links[at] = Some(link);
        self.waiting += 1;
        if let Some(before) = self.link_mut(link.before) {
            before.behind = slot;
        }
        if let Some(behind) = self.link_mut(link.behind) {
            behind.before = slot;
        }
    }

    fn link(&self, slot: ConsumerSlot) -> Option<&Link> {
        self.links.get(slot as usize)?.as_ref()
    }

    fn link_mut(&mut self, slot: ConsumerSlot) -> Option<&mut Link> {
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
            let mut plain: BTreeMap<Reverse<i32>, VecDeque<ConsumerSlot>> = BTreeMap::new();
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
                        rotation.pass(slot);
                        let level = plain.get_mut(&level).unwrap();
                        if level.front() == Some(&slot) {
                            level.rotate_left(1);
                        }
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
