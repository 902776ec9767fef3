//! The task that owns one shard: takes what has arrived, lets the shard work it off, sends the effects on their
//! way, and waits for more or for the next deadline.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::budget::Ticket;
use super::catalog_task::CatalogInput;
use super::clock::Clock;
use super::hub::Hub;
use super::store_thread::StoreRequest;
use crate::broker::command::{Origin, ShardCommand};
use crate::broker::shard::{Shard, ShardEffects};
use crate::model::ids::{ConnectionId, ShardIndex};
use crate::model::op::Fetched;

/// What a shard is told.
#[derive(Debug)]
pub(crate) enum ShardInput {
    /// Commands of one sender, in order. The ticket keeps their bytes in the sender's budget until they are done.
    Commands {
        origin: Origin,
        commands: Vec<ShardCommand>,
        ticket: Option<Ticket>,
    },
    /// All operations up to this turn are on disk.
    Durable {
        sequence: u64,
    },
    Loaded(Fetched),
    /// The connection has written this many bytes of this shard's deliveries.
    Drained {
        connection: ConnectionId,
        bytes: usize,
    },
    ConnectionGone(ConnectionId),
    /// Answered once everything that came before has been worked off and handed on.
    Barrier(oneshot::Sender<()>),
    /// Works off what is there and ends.
    Stop,
}

pub(crate) async fn run(index: ShardIndex, mut shard: Shard, hub: Arc<Hub>, clock: Clock) {
    let mailbox = hub.shard(index);
    let mut inputs = Vec::new();
    let mut effects = ShardEffects::default();
    // What recovery had to undo is said in the first turn.
    let mut first_turn = true;
    loop {
        mailbox.take(&mut inputs);
        let now = clock.now();
        let mut tickets = Vec::new();
        let mut stop = false;
        let mut barriers = Vec::new();
        let worked = std::mem::take(&mut first_turn) || !inputs.is_empty();
        for input in inputs.drain(..) {
            match input {
                ShardInput::Commands { origin, commands, ticket } => {
                    for command in commands {
                        shard.handle(now, origin, command);
                    }
                    tickets.extend(ticket);
                }
                ShardInput::Durable { sequence } => shard.durable(now, sequence),
                ShardInput::Loaded(fetched) => shard.loaded(now, fetched),
                ShardInput::Drained { connection, bytes } => shard.drained(connection, bytes),
                ShardInput::ConnectionGone(connection) => shard.connection_gone(now, connection),
                ShardInput::Barrier(done) => barriers.push(done),
                ShardInput::Stop => stop = true,
            }
        }
        let due = shard.next_deadline().is_some_and(|deadline| deadline <= now);
        if due {
            shard.tick(now);
        }
        if worked || due {
            shard.finish_turn(now, &mut effects);
            dispatch(index, &mut effects, tickets, &hub);
        }
        for done in barriers {
            // Whoever asked may have given up waiting.
            let _ = done.send(());
        }
        if stop {
            return;
        }
        if worked {
            // Others get their turn before the next look.
            tokio::task::yield_now().await;
            continue;
        }
        match shard.next_deadline() {
            None => mailbox.arrival().await,
            Some(deadline) => tokio::select! {
                () = mailbox.arrival() => {}
                () = sleep_until(clock.instant(deadline)) => {}
            },
        }
    }
}

/// Sends the effects of a turn to whom they concern. The store comes first, so that what is durable is on its way
/// while the rest is handed out.
fn dispatch(index: ShardIndex, effects: &mut ShardEffects, tickets: Vec<Ticket>, hub: &Hub) {
    if !effects.ops.is_empty() || effects.must_sync {
        hub.store().post(StoreRequest::Ops {
            shard: index,
            sequence: effects.sequence,
            ops: std::mem::take(&mut effects.ops),
            must_sync: std::mem::take(&mut effects.must_sync),
            groups: std::mem::take(&mut effects.groups),
            tickets,
        });
    }
    for fetch in effects.fetches.drain(..) {
        hub.store().post(StoreRequest::Fetch { shard: index, fetch });
    }
    hub.send(&mut effects.to_connections);
    for (shard, command) in effects.to_shards.drain(..) {
        let origin = Origin::Shard(index);
        hub.shard(shard).post(ShardInput::Commands { origin, commands: vec![command], ticket: None });
    }
    hub.catalog().post_all(effects.to_catalog.drain(..).map(CatalogInput::Command));
}
