//! What a vhost has by name. A name is found at once, and all can be walked through in order from wherever a walk
//! stopped: there may be very many, and who looks at all of them does so a part at a time.

use std::collections::BTreeMap;
use std::ops::Bound;

use foldhash::fast::RandomState;

use crate::model::growing::Growing;
use crate::model::holdings::Collection;
use crate::model::ids::Name;
use crate::model::sparse::ShrinkIfSparse;

#[derive(Debug)]
pub(crate) struct Named<T> {
    by_name: Growing<Name, T, RandomState>,
    in_order: BTreeMap<Name, T>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named { by_name: Growing::default(), in_order: BTreeMap::new() }
    }
}

impl<T: Copy> Named<T> {
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// How many there are, and for how many there is room.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.by_name.size()
    }

    pub(crate) fn get(&self, name: &str) -> Option<T> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn insert(&mut self, name: &Name, value: T) {
        self.by_name.insert(name.clone(), value);
        self.in_order.insert(name.clone(), value);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
        self.by_name.shrink_if_sparse();
        self.in_order.remove(name);
    }

    /// Those behind a name, or all, in order.
    pub(crate) fn after(&self, name: Option<&Name>) -> impl Iterator<Item = (&Name, T)> {
        let from = name.map_or(Bound::Unbounded, |name| Bound::Excluded(&**name));
        self.in_order.range::<str, _>((from, Bound::Unbounded)).map(|(name, value)| (name, *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_goes_on_where_it_stopped() {
        let mut named = Named::default();
        for (name, value) in [("b", 2), ("a", 1), ("c", 3)] {
            named.insert(&name.into(), value);
        }
        let after = |named: &Named<i32>, name: Option<&str>| {
            let name = name.map(Name::from);
            named.after(name.as_ref()).map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(after(&named, None), [1, 2, 3]);
        named.remove("b");
        assert_eq!(after(&named, Some("b")), [3], "one that has gone is a place all the same");
        assert_eq!((named.get("a"), named.get("b"), named.len()), (Some(1), None, 2));
    }
}
