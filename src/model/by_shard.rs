//! Something for each shard that one has to do with: a connection talks to few of those there are, and a list with a place
//! for each would have to be gone through for every one of its turns. Which shards there are is not known here.

use super::holdings::Collection;
use super::ids::ShardIndex;

/// A small map: finding a shard that was found last costs a comparison, finding another one a look at each.
#[derive(Clone, Debug, Default)]
pub struct ByShard<T> {
    entries: Vec<(ShardIndex, T)>,
    /// Where the shard stands that was found last.
    last: usize,
}

impl<T: Default> ByShard<T> {
    /// What there is for this shard, which is the default where there was nothing.
    #[inline]
    pub fn of(&mut self, shard: ShardIndex) -> &mut T {
        if self.entries.get(self.last).is_none_or(|&(last, _)| last != shard) {
            self.last = self.find_or_add(shard);
        }
        &mut self.entries[self.last].1
    }

    #[inline(never)]
    fn find_or_add(&mut self, shard: ShardIndex) -> usize {
        let found = self.entries.iter().position(|&(known, _)| known == shard);
        found.unwrap_or_else(|| {
            self.entries.push((shard, T::default()));
            self.entries.len() - 1
        })
    }
}

impl<T> ByShard<T> {
    /// For how many shards there is something.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// In the order in which the shards were first named.
    pub fn iter(&self) -> impl Iterator<Item = (ShardIndex, &T)> {
        self.entries.iter().map(|(shard, item)| (*shard, item))
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ShardIndex, &mut T)> {
        self.entries.iter_mut().map(|(shard, item)| (*shard, item))
    }

    /// Takes out all there is; the room is kept.
    pub fn drain(&mut self) -> impl Iterator<Item = (ShardIndex, T)> {
        self.last = 0;
        self.entries.drain(..)
    }
}

impl<T> Collection for ByShard<T> {
    fn size(&self) -> (usize, usize) {
        self.entries.size()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::NodeNumber;
    use super::*;

    #[test]
    fn each_shard_has_its_own_and_only_those_named_have_any() {
        let mut counts: ByShard<u32> = ByShard::default();
        let [here, there, last] =
            [ShardIndex::alone(3), ShardIndex::new(NodeNumber(2), 3), ShardIndex::alone(0)];
        for shard in [here, here, there, here, there, last] {
            *counts.of(shard) += 1;
        }
        let found: Vec<_> = counts.iter().map(|(shard, &count)| (shard, count)).collect();
        assert_eq!(found, [(here, 3), (there, 2), (last, 1)]);
        assert_eq!(counts.drain().count(), 3);
        assert!(counts.is_empty());
        assert_eq!(*counts.of(last), 0, "nothing is left of what was drained");
    }
}
