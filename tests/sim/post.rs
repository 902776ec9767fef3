//! What the rooms send each other in the simulation, and how it gets there. Every owner has one mailbox, as in the
//! server; what a turn has to say leaves one item at a time, so that others act in between.

use std::collections::VecDeque;

use leveret::broker::command::{CatalogCommand, Origin, ShardCommand};
use leveret::model::event::SessionEvent;
use leveret::model::ids::{ConnectionId, ShardIndex};
use leveret::model::op::{CatalogOp, Fetch, Fetched, Group, Op};

#[derive(Debug)]
pub(crate) enum ShardInput {
    Commands(Origin, Vec<ShardCommand>),
    Durable(u64),
    Loaded(Fetched),
    Drained(ConnectionId, usize),
    ConnectionGone(ConnectionId),
}

#[derive(Debug)]
pub(crate) enum CatalogInput {
    Command(CatalogCommand),
    Durable(u64),
}

#[derive(Debug)]
pub(crate) enum StoreRequest {
    Ops { shard: ShardIndex, sequence: u64, ops: Vec<Op>, must_sync: bool, groups: Vec<Group> },
    Fetch { shard: ShardIndex, fetch: Fetch },
    Catalog { sequence: u64, ops: Vec<CatalogOp> },
}

/// Something on its way.
#[derive(Debug)]
pub(crate) enum Post {
    Shard(ShardIndex, ShardInput),
    Catalog(CatalogInput),
    Store(StoreRequest),
    Connection(ConnectionId, SessionEvent),
}

/// What one owner still has to post; until that is done, it does nothing else.
pub(crate) type Outbox = VecDeque<Post>;
