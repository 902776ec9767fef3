//! What the owners of the broker's state do in a turn: a shard, the catalog, the store, a connection. They are told the
//! time and what has come, and hand what follows from it to a [`Carrier`]. When a turn is, and who waits for what, is
//! their tasks' (and the simulation's, which runs the same turns in an order of its own).

mod catalog;
mod connection;
mod inputs;
mod open_groups;
mod shard;
mod start;
mod store;

pub use catalog::CatalogOwner;
pub use connection::ConnectionActor;
pub(crate) use connection::carry;
pub use inputs::{Asker, CatalogInput, ShardInput, StoreRequest};
pub use shard::ShardOwner;
pub use start::{Owners, ShardLayout, restore};
pub(in crate::server) use start::{counted, judge, unknown_queues};
pub use store::StoreOwner;

pub use super::in_flight::{Permit, WorkBegun};

use crate::model::consuming::Delivery;
use crate::model::event::SessionEvent;
use crate::model::ids::{ConnectionId, ShardIndex};

/// How an owner reaches the others: what is handed to it arrives in order, per sender and receiver.
pub trait Carrier {
    fn tell_shard(&mut self, shard: ShardIndex, input: ShardInput);

    fn tell_catalog(&mut self, inputs: impl Iterator<Item = CatalogInput>);

    fn ask_store(&mut self, request: StoreRequest);

    /// Takes all of `events`. What is for a connection that has gone is dropped: its consumers have been or will be
    /// detached, which requeues what they were sent.
    fn tell_connections(&mut self, events: &mut Vec<(ConnectionId, SessionEvent)>);

    /// Takes all of `replies`, of which those for a client that does not read may be dropped.
    fn reply_directly(&mut self, replies: &mut Vec<(ConnectionId, Delivery)>);
}
