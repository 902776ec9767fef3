//! A hash map that grows, and shrinks, a little at a time. A usual one moves all that is in it at once when it is full, and has to
//! look at every key again: with 200,000 names that takes tens of milliseconds, for which everybody waits.

use std::borrow::Borrow;
use std::collections::{HashMap, hash_map};
use std::hash::{BuildHasher, Hash};

use super::holdings::Collection;
use super::sparse::{KEPT, ShrinkIfSparse, is_sparse};

/// One with less room than this grows at once.
const LARGE: usize = 4096;
/// What is moved with each insertion or removal: so all is moved long before it is full again.
const MOVED: usize = 64;

/// A hash map, as far as names need one.
#[derive(Clone, Debug)]
pub struct Growing<K, V, S> {
    map: HashMap<K, V, S>,
    /// What has not been moved since it was full, or nearly empty.
    old: Option<HashMap<K, V, S>>,
}

impl<K, V, S: Default> Default for Growing<K, V, S> {
    fn default() -> Self {
        Growing { map: HashMap::default(), old: None }
    }
}

impl<K: Eq + Hash, V, S: BuildHasher + Clone> Growing<K, V, S> {
    pub fn len(&self) -> usize {
        self.map.len() + self.old.as_ref().map_or(0, HashMap::len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// All that is in it, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        Iter { map: self.map.iter(), old: self.old.as_ref().map(HashMap::iter) }
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    #[inline]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.map.get(key).or_else(|| self.old.as_ref()?.get(key))
    }

    #[inline]
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        match self.map.get_mut(key) {
            Some(value) => Some(value),
            None => self.old.as_mut()?.get_mut(key),
        }
    }

    /// Adds a value; returns the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.move_some();
        let room = self.map.capacity();
        if self.old.is_none() && room >= LARGE && self.map.len() == room {
            self.begin_to_move(room + 1);
        }
        let before = self.old.as_mut().and_then(|old| old.remove(&key));
        self.map.insert(key, value).or(before)
    }

    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.move_some();
        self.map.remove(key).or_else(|| self.old.as_mut()?.remove(key))
    }

    fn begin_to_move(&mut self, room: usize) {
        let other = HashMap::with_capacity_and_hasher(room, self.map.hasher().clone());
        self.old = Some(std::mem::replace(&mut self.map, other));
    }

    fn move_some(&mut self) {
        let Some(old) = &mut self.old else { return };
        self.map.extend(old.extract_if(|_, _| true).take(MOVED));
        if old.is_empty() {
            self.old = None;
        }
    }
}

/// What has been moved, then the rest.
struct Iter<'a, K, V> {
    map: hash_map::Iter<'a, K, V>,
    old: Option<hash_map::Iter<'a, K, V>>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.map.next().or_else(|| self.old.as_mut()?.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.map.len() + self.old.as_ref().map_or(0, ExactSizeIterator::len);
        (len, Some(len))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<K: Eq + Hash, V, S: BuildHasher + Clone> ShrinkIfSparse for Growing<K, V, S> {
    fn shrink_if_sparse(&mut self) {
        if self.old.is_none() && is_sparse(self.map.len(), self.map.capacity(), size_of::<(K, V)>() + 1) {
            self.begin_to_move(self.map.len() * KEPT);
        }
    }
}

impl<K, V, S> Collection for Growing<K, V, S> {
    fn size(&self) -> (usize, usize) {
        let (old, room) = self.old.as_ref().map_or((0, 0), |old| (old.len(), old.capacity()));
        (self.map.len() + old, self.map.capacity() + room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Growing<u64, u64, foldhash::fast::RandomState>;

    #[test]
    fn what_is_in_it_is_found_while_it_grows() {
        let mut map = Numbers::default();
        let mut was_growing = false;
        for number in 0..200_000 {
            assert_eq!(map.insert(number, number), None);
            was_growing |= map.old.is_some();
            if number % 50 == 0 {
                assert_eq!(map.len() as u64, number + 1);
                assert!(map.contains_key(&number) && !map.contains_key(&(number + 1)));
                for known in [0, number / 3, number / 2, number] {
                    assert_eq!(map.get(&known), Some(&known));
                    assert_eq!(map.get_mut(&known), Some(&mut known.clone()));
                }
            }
        }
        assert!(was_growing);
        while map.old.is_none() {
            map.insert(map.len() as u64, 0);
        }
        assert_eq!((map.keys().len(), map.values().count()), (map.len(), map.len()), "each once");
        for number in 200_000..map.len() as u64 {
            map.remove(&number);
        }
        for number in 0..200_000 {
            assert_eq!(map.insert(number, number + 1), Some(number), "it is there once");
        }
        for number in 0..200_000 {
            assert_eq!(map.remove(&number), Some(number + 1));
            map.shrink_if_sparse();
        }
        assert!(map.map.capacity() < 200_000 / 2);
        assert!(map.is_empty() && map.get(&7).is_none());
    }

    #[test]
    fn one_insertion_moves_few_and_all_are_moved_before_it_is_full_again() {
        let mut map = Numbers::default();
        let mut left = 0;
        for number in 0..100_000 {
            map.insert(number, 0);
            let now = map.old.as_ref().map_or(0, HashMap::len);
            if now > left {
                assert_eq!(left, 0, "all were moved");
            } else {
                assert!(left - now <= MOVED);
            }
            left = now;
        }
    }
}
