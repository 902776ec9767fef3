//! What a turn of a shard leads to: gathered while it is carried out, handed out at its end. Who carries it where is the server's.

use super::Shard;
use crate::model::command::{CatalogCommand, ShardCommand};
use crate::model::event::SessionEvent;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ShardIndex};
use crate::model::op::{Fetch, GroupPart, Op};
use crate::model::question::Answer;
use crate::model::request::Reply;
use crate::model::sparse::ShrinkIfSparse;
use crate::queue::{QueueEffects, TimedOut};

/// What a turn has led to. The server empties the lists and hands them in again.
#[derive(Debug, Default)]
pub struct ShardEffects {
    /// To be sent at once; confirms among them are due.
    pub to_connections: Vec<(ConnectionId, SessionEvent)>,
    /// To be submitted to the store as one batch of number `sequence`, unless there are none and `must_sync` is
    /// false.
    pub ops: Vec<Op>,
    pub sequence: u64,
    /// Somebody waits for this batch: it must become durable soon, even where it is empty and only those before
    /// it have something to write.
    pub must_sync: bool,
    /// The batch belongs to these: it becomes durable together with those of other shards, or not at all.
    pub groups: Vec<GroupPart>,
    /// To be submitted after `ops`.
    pub fetches: Vec<Fetch>,
    pub to_shards: Vec<(ShardIndex, ShardCommand)>,
    pub to_catalog: Vec<CatalogCommand>,
    /// To what was asked first, in the order asked.
    pub answers: Vec<Answer>,
    /// Messages that the broker sends and that were dropped, for too many waited: events to very many queues, dead letters
    /// of other shards that a full queue refused and would have sent on.
    pub dropped: usize,
}

impl ShardEffects {
    /// Gives back the room that a large turn took. To be called once the turn is handed out.
    pub fn give_room_back(&mut self) {
        self.to_connections.shrink_if_sparse();
        self.ops.shrink_if_sparse();
        self.groups.shrink_if_sparse();
        self.fetches.shrink_if_sparse();
        self.to_shards.shrink_if_sparse();
        self.to_catalog.shrink_if_sparse();
        self.answers.shrink_if_sparse();
    }

    /// What it holds.
    pub fn holdings(&self, into: &mut Holdings) {
        let ShardEffects {
            to_connections,
            ops,
            sequence: _,
            must_sync: _,
            groups,
            fetches,
            to_shards,
            to_catalog,
            answers,
            dropped,
        } = self;
        into.in_transit("shard effects: to connections", to_connections);
        into.in_transit("shard effects: operations", ops);
        into.in_transit("shard effects: groups", groups);
        into.in_transit("shard effects: fetches", fetches);
        into.in_transit("shard effects: to shards", to_shards);
        into.in_transit("shard effects: to the catalog", to_catalog);
        into.in_transit("shard effects: answers", answers);
        into.in_transit("shard effects: dropped", dropped);
    }
}

/// What the shard itself, rather than one of its queues, has to say in a turn.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) to_connections: Vec<(ConnectionId, SessionEvent)>,
    pub(super) to_shards: Vec<(ShardIndex, ShardCommand)>,
    pub(super) to_catalog: Vec<CatalogCommand>,
    pub(super) groups: Vec<GroupPart>,
    pub(super) dropped: usize,
}

/// What queues have delivered and nobody was told of, to be told.
fn deliveries(fx: &mut QueueEffects) -> impl Iterator<Item = (ConnectionId, SessionEvent)> {
    fx.deliveries.drain(..).map(|(connection, delivery)| (connection, SessionEvent::Deliver(delivery)))
}

impl Outgoing {
    pub(super) fn give_room_back(&mut self) {
        self.to_connections.shrink_if_sparse();
        self.to_shards.shrink_if_sparse();
        self.to_catalog.shrink_if_sparse();
        self.groups.shrink_if_sparse();
    }

    pub(super) fn reply(&mut self, connection: ConnectionId, reply: Reply) {
        self.to_connections.push((connection, SessionEvent::Reply(reply)));
    }
}

impl Shard {
    /// Forgets who has nothing to do with a queue any more.
    fn forget_freed_consumers(&mut self) {
        for (id, key) in self.fx.freed_consumers.drain(..) {
            if !self.queues.get(id).is_some_and(|slot| slot.queue.knows(key)) {
                self.holders.remove(&mut self.outboxes, key.connection, id, key.number);
            }
        }
    }

    /// Tells what queues have delivered so far in this turn. Otherwise that comes at its end, behind the answers: to be
    /// called before a consumer's end is told, for a session does not know any more whom to give what comes later.
    pub(super) fn tell_deliveries(&mut self) {
        self.out.to_connections.extend(deliveries(&mut self.fx));
    }

    pub(super) fn hand_out(&mut self, fx: &mut ShardEffects) {
        self.forget_freed_consumers();
        self.give_credit_back();
        fx.to_connections.append(&mut self.out.to_connections);
        fx.to_shards.append(&mut self.out.to_shards);
        fx.to_catalog.append(&mut self.out.to_catalog);
        fx.to_connections.extend(self.fx.timed_out.drain(..).map(
            |TimedOut { key, timeout, closes_channel }| {
                let consumer = key.number;
                (key.connection, SessionEvent::ConsumerTimedOut { consumer, timeout, closes_channel })
            },
        ));
        fx.to_connections.extend(deliveries(&mut self.fx));
        fx.to_connections.extend(self.fx.got.drain(..).map(|got| {
            let reply = match got.found {
                Some((delivery, remaining)) => Reply::Got { delivery: Box::new(delivery), remaining },
                None => Reply::GotEmpty,
            };
            (got.key.connection, SessionEvent::Reply(reply))
        }));
        fx.ops.append(&mut self.fx.ops);
        fx.groups.append(&mut self.out.groups);
        fx.dropped += std::mem::take(&mut self.out.dropped) + self.fx.dead_letter_room.take_dropped();
        fx.fetches.append(&mut self.fx.fetches);
        self.fx.give_room_back();
        self.out.give_room_back();
        self.queues.touched.shrink_if_sparse();
        if let Some((sequence, must_sync)) = self.confirms.end_batch(fx.ops.is_empty()) {
            fx.sequence = sequence;
            fx.must_sync = must_sync;
        } else {
            fx.must_sync = false;
        }
    }
}
