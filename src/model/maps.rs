//! The hash maps of the catalog, the ports and the shards. Their order is arbitrary: nothing that leaves a module may depend on it.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::growing::Growing;

pub type Map<K, V> = HashMap<K, V, RandomState>;
/// Of those that may have very much in them.
pub type GrowingMap<K, V> = Growing<K, V, RandomState>;
