//! The destinations that hang on one point of an exchange's index (a key, a leaf of the trie), each with the number
//! of bindings that lead there. Most points have one, a fanout may have 100,000: neither may be slow.

use std::collections::BTreeMap;

use crate::model::ids::Destination;

/// A set of destinations that counts. Ordered, so that what is reported never depends on a hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Destinations {
    #[default]
    None,
    /// Kept apart since a map of one costs a node of eleven.
    One(Destination, usize),
    Many(BTreeMap<Destination, usize>),
}

impl Destinations {
    /// Counts one binding more.
    pub(super) fn add(&mut self, destination: Destination) {
        match self {
            Destinations::None => *self = Destinations::One(destination, 1),
            Destinations::One(only, count) if *only == destination => *count += 1,
            Destinations::One(only, count) => {
                *self = Destinations::Many(BTreeMap::from([(*only, *count), (destination, 1)]));
            }
            Destinations::Many(all) => *all.entry(destination).or_default() += 1,
        }
    }

    /// Counts one binding less.
    pub(super) fn remove(&mut self, destination: Destination) {
        match self {
            Destinations::One(only, count) if *only == destination => {
                *count -= 1;
                if *count == 0 {
                    *self = Destinations::None;
                }
            }
            Destinations::None | Destinations::One(..) => {}
            Destinations::Many(all) => {
                if let Some(count) = all.get_mut(&destination) {
                    *count -= 1;
                    if *count == 0 {
                        all.remove(&destination);
                    }
                }
                if all.is_empty() {
                    *self = Destinations::None;
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Destinations::None
    }

    /// Reports each destination once.
    pub(super) fn report(&self, found: &mut dyn FnMut(Destination)) {
        match self {
            Destinations::None => {}
            Destinations::One(only, _) => found(*only),
            Destinations::Many(all) => all.keys().copied().for_each(found),
        }
    }
}
