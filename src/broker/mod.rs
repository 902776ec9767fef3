//! L3, the broker: the catalog (the one owner of declarations), the view of it that everybody routes by, the port a
//! session speaks to, the shard that owns queues, and dead-lettering between them. Pure: commands and `now` in,
//! effects out. Who carries the effects, and when something is durable, is the server's and the store's.

mod access;
mod arguments;
pub mod catalog;
mod cc;
pub mod clients;
pub mod command;
mod dead_letter;
mod delayed;
mod direct_reply;
pub mod encoded_table;
mod events;
mod fair_lock;
pub mod login;
mod named;
mod password;
mod pattern;
pub mod policies;
pub mod port;
mod queue_arguments;
mod route_cache;
mod route_changes;
pub mod shard;
pub mod view;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::model::growing::Growing;

/// The maps of this module. Their order is arbitrary: nothing that leaves the module may depend on it.
type Map<K, V> = HashMap<K, V, RandomState>;
/// Of those that may have very much in them.
type GrowingMap<K, V> = Growing<K, V, RandomState>;
