//! The thread that drives the store. Group commit without a timer: what is submitted during a commit is the next
//! commit. Work nobody waits for (acks, spilled messages) rides along with the next commit that somebody waits
//! for, and goes alone once it is [`LAZY_COMMIT`] old or [`LAZY_BYTES`] large. While a transaction is here in part only,
//! nothing is committed. Once in a while the store is given the time to put things in order.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::budget::Ticket;
use super::guard::Guard;
use super::hub::Hub;
use super::mailbox::ThreadMailbox;
use super::open_groups::OpenGroups;
use super::shard_task::ShardInput;
use crate::model::ids::ShardIndex;
use crate::model::op::{CatalogOp, Fetch, Group, Op};
use crate::store::{Store, StoreError};

/// How long an ack may wait to become durable when nothing else is committed.
const LAZY_COMMIT: Duration = Duration::from_millis(100);
/// How much of what nobody waits for may gather.
const LAZY_BYTES: usize = 4 << 20;

/// How long what was committed may wait for a checkpoint.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// What the store is asked for.
#[derive(Debug)]
pub(crate) enum StoreRequest {
    /// The operations of one turn of a shard, answered with `ShardInput::Durable`.
    Ops {
        shard: ShardIndex,
        sequence: u64,
        ops: Vec<Op>,
        must_sync: bool,
        groups: Vec<Group>,
        tickets: Vec<Ticket>,
    },
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
        let driver = Driver {
            store,
            hub,
            guard,
            pending: Pending::default(),
            open: OpenGroups::default(),
            fetches: Vec::new(),
            log_since: None,
        };
        let outcome = driver.run(&requests);
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
    /// Transactions that are here in part.
    open: OpenGroups,
    /// What is to be read once they are complete.
    fetches: Vec<(ShardIndex, Fetch)>,
    /// When the first commit came since the last checkpoint.
    log_since: Option<Instant>,
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
                    StoreRequest::Ops { shard, sequence, ops, must_sync, groups, tickets } => {
                        groups.into_iter().for_each(|group| self.open.arrived(group));
                        self.gather(shard, sequence, ops, must_sync, tickets);
                    }
                    StoreRequest::Catalog { sequence, ops } => {
                        self.pending.catalog.extend(ops);
                        self.pending.catalog_sequence = Some(sequence);
                        self.pending.must_sync = true;
                    }
                    StoreRequest::Fetch { shard, fetch } => self.fetches.push((shard, fetch)),
                    StoreRequest::Close => close = true,
                }
                if self.open.is_empty() {
                    self.fetch()?;
                }
            }
            if close || (self.pending.is_due() && self.open.is_empty()) {
                self.commit()?;
            }
            if self.log_since.is_some_and(|since| since.elapsed() >= CHECKPOINT) {
                self.store.checkpoint()?;
                self.log_since = None;
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
        let due = self.pending.since.filter(|_| self.open.is_empty());
        let due = due.map(|since| LAZY_COMMIT.saturating_sub(since.elapsed()));
        let checkpoint = self.log_since.map(|since| CHECKPOINT.saturating_sub(since.elapsed()));
        [due, checkpoint, Some(self.guard.patience())].into_iter().flatten().min()
    }

    /// Reads what was asked for.
    fn fetch(&mut self) -> Result<(), StoreError> {
        for (shard, fetch) in std::mem::take(&mut self.fetches) {
            // What is to be read may have been put a moment ago.
            self.commit()?;
            let fetched = self.store.fetch(&fetch)?;
            self.hub.shard(shard).post(ShardInput::Loaded(fetched));
        }
        Ok(())
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
        self.log_since.get_or_insert_with(Instant::now);
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

#[cfg(test)]
mod tests {

    use super::super::guard::{Thresholds, UNLIMITED};
    use super::*;
    use crate::model::ids::{ConnectionId, Position, PositionRange, QueueId};
    use crate::store::MemoryStore;

    fn part(shard: u16, groups: Vec<Group>) -> StoreRequest {
        let (shard, tickets, ops) = (ShardIndex(shard), Vec::new(), Vec::new());
        StoreRequest::Ops { shard, sequence: 1, ops, must_sync: true, groups, tickets }
    }

    /// What a shard is told within this time.
    fn told(hub: &Hub, shard: u16, patience: Duration) -> Vec<ShardInput> {
        let (since, mut inputs) = (Instant::now(), Vec::new());
        while inputs.is_empty() && since.elapsed() < patience {
            thread::sleep(Duration::from_millis(5));
            hub.shard(ShardIndex(shard)).take(&mut inputs);
        }
        inputs
    }

    #[test]
    fn nothing_is_committed_or_read_while_a_transaction_is_here_in_part() {
        let requests = Arc::new(ThreadMailbox::new());
        let hub = Arc::new(Hub::new(2, Arc::clone(&requests)));
        let guard = Guard::new(std::env::temp_dir(), Thresholds::new(0, UNLIMITED));
        let store = Box::new(MemoryStore::new());
        let driver = spawn(store, requests, Arc::clone(&hub), guard, || ()).expect("a thread");
        let (short, long) = (LAZY_COMMIT * 2, Duration::from_secs(20));
        let group = Group { connection: ConnectionId(1), number: 1, parts: 2 };
        hub.store().post(part(0, vec![group]));
        let range = PositionRange::single(Position(1));
        let fetch = Fetch { queue: QueueId(1), lane: 0, range, max_bytes: 1 };
        hub.store().post(StoreRequest::Fetch { shard: ShardIndex(0), fetch });
        let early = told(&hub, 0, short);
        assert!(early.is_empty(), "{early:?}");
        hub.store().post(part(1, vec![group]));
        for shard in [1, 0] {
            let told = told(&hub, shard, long);
            assert!(matches!(told.first(), Some(ShardInput::Durable { sequence: 1 })), "{told:?}");
        }
        hub.store().post(StoreRequest::Close);
        assert!(driver.join().expect("no panic").is_ok());
    }
}
