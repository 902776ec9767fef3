//! The task that owns the catalog. Commands to shards leave at once; answers to connections wait until the
//! records they speak of are durable.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::clock::Clock;
use super::hub::Hub;
use super::shard_task::ShardInput;
use super::store_thread::StoreRequest;
use crate::broker::catalog::{Catalog, CatalogEffects};
use crate::broker::command::{CatalogCommand, Origin};
use crate::model::administration::{AdministrationError, Applied, Change};
use crate::model::event::SessionEvent;
use crate::model::ids::ConnectionId;

type AnswerTo = oneshot::Sender<Result<Applied, AdministrationError>>;

/// What the catalog is told.
#[derive(Debug)]
pub(crate) enum CatalogInput {
    Command(CatalogCommand),
    /// From an administrator, who is answered once the change is durable.
    Administer {
        change: Box<Change>,
        answer: AnswerTo,
    },
    /// The records of all turns up to this one are on disk.
    Durable {
        sequence: u64,
    },
    /// Works off what is there and ends.
    Stop,
}

/// Answers that wait for the records of a turn.
struct Held {
    sequence: u64,
    answers: Vec<(ConnectionId, SessionEvent)>,
    administrators: Vec<(AnswerTo, Applied)>,
}

pub(crate) async fn run(mut catalog: Catalog, hub: Arc<Hub>, clock: Clock) {
    let mailbox = hub.catalog();
    let mut inputs = Vec::new();
    let mut effects = CatalogEffects::default();
    let mut held: VecDeque<Held> = VecDeque::new();
    let mut administrators = Vec::new();
    let mut sequence = 0;
    loop {
        mailbox.take(&mut inputs);
        let now = clock.now();
        let mut stop = false;
        for input in inputs.drain(..) {
            match input {
                CatalogInput::Command(command) => catalog.handle(now, command, &mut effects),
                CatalogInput::Administer { change, answer } => {
                    match catalog.administer(now, *change, &mut effects) {
                        Ok(applied) => administrators.push((answer, applied)),
                        // Whoever asked may have given up waiting.
                        Err(refused) => drop(answer.send(Err(refused))),
                    }
                }
                CatalogInput::Durable { sequence } => {
                    while held.front().is_some_and(|first| first.sequence <= sequence) {
                        if let Some(mut done) = held.pop_front() {
                            hub.send(&mut done.answers);
                            answer_all(&mut done.administrators);
                        }
                    }
                }
                CatalogInput::Stop => stop = true,
            }
        }
        // The store hears of a queue before its shard does, so that no message of the queue is durable without it.
        if effects.ops.is_empty() {
            hub.send(&mut effects.to_connections);
            answer_all(&mut administrators);
        } else {
            sequence += 1;
            hub.store().post(StoreRequest::Catalog { sequence, ops: std::mem::take(&mut effects.ops) });
            held.push_back(Held {
                sequence,
                answers: std::mem::take(&mut effects.to_connections),
                administrators: std::mem::take(&mut administrators),
            });
        }
        for (shard, command) in effects.to_shards.drain(..) {
            let origin = Origin::Catalog;
            hub.shard(shard).post(ShardInput::Commands { origin, commands: vec![command], ticket: None });
        }
        if stop {
            return;
        }
        mailbox.arrival().await;
    }
}

/// Tells administrators that their changes are durable. Some may have given up waiting.
fn answer_all(administrators: &mut Vec<(AnswerTo, Applied)>) {
    for (answer, applied) in administrators.drain(..) {
        let _ = answer.send(Ok(applied));
    }
}
