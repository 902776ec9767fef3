//! Tables that give memory back after a peak. A table that was large once and is nearly empty would keep what it took
//! for ever, and the alarm of memory would never end for it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};

/// Tables that take no more than this many bytes are left in peace.
const SMALL: usize = 1 << 20;
/// One is sparse when it has room for more than so many times what is in it.
const SPARSE: usize = 8;
/// And keeps room for so many times that: so what is moved was paid for by those who left.
pub(super) const KEPT: usize = 2;

/// A table whose room may outlast what needed it.
pub trait ShrinkIfSparse {
    /// Gives room back where the table is large and nearly empty. To be called after something left; costs a
    /// comparison then, and about what the leaving cost where there is something to do.
    fn shrink_if_sparse(&mut self);
}

pub(super) fn is_sparse(len: usize, capacity: usize, size: usize) -> bool {
    len < capacity / SPARSE && capacity.saturating_mul(size) > SMALL
}

impl<K: Eq + Hash, V, S: BuildHasher> ShrinkIfSparse for HashMap<K, V, S> {
    fn shrink_if_sparse(&mut self) {
        if is_sparse(self.len(), self.capacity(), size_of::<(K, V)>() + 1) {
            self.shrink_to(self.len() * KEPT);
        }
    }
}

impl<K: Eq + Hash, S: BuildHasher> ShrinkIfSparse for HashSet<K, S> {
    fn shrink_if_sparse(&mut self) {
        if is_sparse(self.len(), self.capacity(), size_of::<K>() + 1) {
            self.shrink_to(self.len() * KEPT);
        }
    }
}

impl<T> ShrinkIfSparse for Vec<T> {
    fn shrink_if_sparse(&mut self) {
        if is_sparse(self.len(), self.capacity(), size_of::<T>()) {
            self.shrink_to(self.len() * KEPT);
        }
    }
}

impl<T> ShrinkIfSparse for VecDeque<T> {
    fn shrink_if_sparse(&mut self) {
        if is_sparse(self.len(), self.capacity(), size_of::<T>()) {
            self.shrink_to(self.len() * KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peak_took_is_given_back_step_by_step() {
        let mut map: HashMap<u64, u64> = (0..200_000).map(|key| (key, key)).collect();
        let mut shrinks = 0;
        for key in 0..200_000 {
            map.remove(&key);
            let before = map.capacity();
            map.shrink_if_sparse();
            shrinks += usize::from(map.capacity() < before);
        }
        assert!(map.is_empty() && map.capacity() * 17 <= SMALL, "{}", map.capacity());
        assert!((1..10).contains(&shrinks), "{shrinks}");
    }

    #[test]
    fn what_is_small_or_in_use_keeps_its_room() {
        let mut few: Vec<u8> = Vec::with_capacity(SMALL);
        few.shrink_if_sparse();
        assert_eq!(few.capacity(), SMALL);
        let mut many: VecDeque<u64> = (0..200_000).collect();
        let room = many.capacity();
        many.truncate(room / SPARSE + 1);
        many.shrink_if_sparse();
        assert_eq!(many.capacity(), room);
        many.clear();
        many.shrink_if_sparse();
        assert_eq!(many.capacity(), 0);
        let mut set: HashSet<u64> = (0..200_000).collect();
        set.clear();
        set.shrink_if_sparse();
        assert!(set.capacity() < 10);
    }
}
