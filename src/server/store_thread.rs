//! The thread that drives the store. Group commit without a timer: what is submitted during a commit is the next
//! commit. Work nobody waits for (acks, spilled messages) rides along with the next commit that somebody waits
//! for, and goes alone once it is [`LAZY_COMMIT`] old or [`LAZY_BYTES`] large. Once in a while the store is given the
//! time to put things in order.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::budget::Ticket;
use super::guard::Guard;
use super::hub::Hub;
use super::mailbox::ThreadMailbox;
use super::shard_task::ShardInput;
use crate::model::ids::ShardIndex;
use crate::model::op::{CatalogOp, Fetch, Op};
use crate::store::{Store, StoreError};

/// How long an ack may wait to become durable when nothing else is committed.
const LAZY_COMMIT: Duration = Duration::from_millis(100);
/// How much of what nobody waits for may gather.
const LAZY_BYTES: usize = 4 << 20;

/// How long what was committed may wait for the store to put it in order.
const SETTLE: Duration = Duration::from_secs(1);

/// What the store is asked for.
#[derive(Debug)]
pub(crate) enum StoreRequest {
    /// The operations of one turn of a shard, answered with `ShardInput::Durable`.
    Ops { shard: ShardIndex, sequence: u64, ops: Vec<Op>, must_sync: bool, tickets: Vec<Ticket> },
    /// Answered with `ShardInput::Loaded`.
    Fetch { shard: ShardIndex, fetch: Fetch },
    /// The records of one turn of the catalog, answered with `CatalogInput::Durable`.
    Catalog { sequence: u64, ops: Vec<CatalogOp> },
    /// Commits what there is, marks the directory as cleanly closed and ends the thread.
    Close,
}

/// Starts the thread. It ends after [`StoreRequest::Close`], or with the error after which nothing more may be
/// confirmed; `failed` is called then.
pub(crate) fn spawn(
    store: Box<dyn Store>,
    requests: Arc<ThreadMailbox<StoreRequest>>,
    hub: Arc<Hub>,
    guard: Guard,
    failed: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<Result<(), StoreError>>> {
    thread::Builder::new().name("store".into()).spawn(move || {
        let outcome = Driver { store, hub, guard, pending: Pending::default(), unsettled: None }.run(&requests);
        if let Err(error) = &outcome {
            error!(%error, "the store failed: what was not confirmed yet is unknown, nothing more is confirmed");
            failed();
        }
        outcome
    })
}

/// What the next commit will hold.
#[derive(Default)]
struct Pending {
    ops: Vec<Op>,
    catalog: Vec<CatalogOp>,
    shards: Vec<(ShardIndex, u64)>,
    catalog_sequence: Option<u64>,
    tickets: Vec<Ticket>,
    bytes: usize,
    must_sync: bool,
    since: Option<Instant>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.catalog.is_empty() && self.shards.is_empty()
    }

    fn is_due(&self) -> bool {
        self.must_sync
            || self.bytes >= LAZY_BYTES
            || self.since.is_some_and(|since| since.elapsed() >= LAZY_COMMIT)
    }
}

struct Driver {
    store: Box<dyn Store>,
    hub: Arc<Hub>,
    guard: Guard,
    pending: Pending,
    /// When the first commit came that the store may want to put in order.
    unsettled: Option<Instant>,
}

impl Driver {
    fn run(mut self, requests: &ThreadMailbox<StoreRequest>) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        loop {
            if let Some(alarms) = self.guard.look() {
                self.hub.set_alarms(alarms);
            }
            requests.wait(&mut batch, self.patience());
            let mut close = false;
            for request in batch.drain(..) {
                match request {
                    StoreRequest::Ops { shard, sequence, ops, must_sync, tickets } => {
                        self.gather(shard, sequence, ops, must_sync, tickets);
                    }
                    StoreRequest::Catalog { sequence, ops } => {
                        self.pending.catalog.extend(ops);
                        self.pending.catalog_sequence = Some(sequence);
                        self.pending.must_sync = true;
                    }
                    StoreRequest::Fetch { shard, fetch } => {
                        // What is to be read may have been put a moment ago.
                        self.commit()?;
                        let fetched = self.store.fetch(&fetch)?;
                        self.hub.shard(shard).post(ShardInput::Loaded(fetched));
                    }
                    StoreRequest::Close => close = true,
                }
            }
            if close || self.pending.is_due() {
                self.commit()?;
            }
            if self.unsettled.is_some_and(|since| since.elapsed() >= SETTLE) {
                self.store.settle()?;
                self.unsettled = None;
            }
            if close {
                self.store.close()?;
                info!("everything is committed, the store is closed");
                return Ok(());
            }
        }
    }

    /// How long nothing has to be done where nothing is asked for.
    fn patience(&self) -> Option<Duration> {
        let due = self.pending.since.map(|since| LAZY_COMMIT.saturating_sub(since.elapsed()));
        let settle = self.unsettled.map(|since| SETTLE.saturating_sub(since.elapsed()));
        [due, settle, Some(self.guard.patience())].into_iter().flatten().min()
    }

    fn gather(
        &mut self,
        shard: ShardIndex,
        sequence: u64,
        mut ops: Vec<Op>,
        must_sync: bool,
        tickets: Vec<Ticket>,
    ) {
        let pending = &mut self.pending;
        pending.since.get_or_insert_with(Instant::now);
        pending.bytes += ops.iter().map(footprint).sum::<usize>();
        if pending.ops.is_empty() {
            pending.ops = ops;
        } else {
            pending.ops.append(&mut ops);
        }
        pending.must_sync |= must_sync;
        pending.tickets.extend(tickets);
        match pending.shards.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, newest)) => *newest = sequence,
            None => pending.shards.push((shard, sequence)),
        }
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.store.commit(pending.ops, pending.catalog)?;
        self.unsettled.get_or_insert_with(Instant::now);
        for (shard, sequence) in pending.shards {
            self.hub.shard(shard).post(ShardInput::Durable { sequence });
        }
        if let Some(sequence) = pending.catalog_sequence {
            self.hub.catalog_durable(sequence);
        }
        Ok(())
    }
}

fn footprint(op: &Op) -> usize {
    let held = match op {
        Op::Put { message, .. } => message.footprint(),
        _ => 0,
    };
    size_of::<Op>() + held
}
