//! The turn of the store. Group commit without a timer: what is submitted during a commit is the next commit. Work
//! nobody waits for (acks, spilled messages) rides along with the next commit that somebody waits for, and goes alone
//! once it is [`LAZY_COMMIT`] old or [`LAZY_BYTES`] large. While a transaction is here in part only, nothing is
//! committed. Once in a while the store is given the time to put things in order.

use super::inputs::{CatalogInput, ShardInput, StoreRequest};
use super::open_groups::OpenGroups;
use super::{Carrier, Permit};
use crate::model::counters::StoreCounts;
use crate::model::holdings::Holdings;
use crate::model::ids::{ShardIndex, Timestamp};
use crate::model::op::{CatalogOp, Fetch, Op};
use crate::store::{Activity, Store, StoreError};

/// How long an ack may wait to become durable when nothing else is committed, in milliseconds.
const LAZY_COMMIT: u64 = 100;
/// How much of what nobody waits for may gather.
const LAZY_BYTES: usize = 4 << 20;
/// How long what was committed may wait for a checkpoint, in milliseconds.
const CHECKPOINT: u64 = 1_000;

/// What the next commit will hold.
#[derive(Default)]
struct Pending {
    ops: Vec<Op>,
    catalog: Vec<CatalogOp>,
    shards: Vec<(ShardIndex, u64)>,
    catalog_sequence: Option<u64>,
    permits: Vec<Permit>,
    bytes: usize,
    must_sync: bool,
    since: Option<Timestamp>,
}

impl Pending {
    fn holdings(&self, into: &mut Holdings) {
        let Pending { ops, catalog, shards, catalog_sequence, permits, bytes, must_sync: _, since } = self;
        into.in_transit("next commit: operations", ops);
        into.in_transit("next commit: records", catalog);
        into.in_transit("next commit: shards", shards);
        into.in_transit("next commit: turn of the catalog", catalog_sequence);
        into.in_transit("next commit: permits", permits);
        into.in_transit("next commit: bytes", bytes);
        into.in_transit("next commit: deadline", since);
    }

    fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.catalog.is_empty() && self.shards.is_empty()
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.must_sync || self.bytes >= LAZY_BYTES || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.since.map(|since| since.plus_millis(LAZY_COMMIT))
    }
}

pub struct StoreOwner {
    store: Box<dyn Store>,
    pending: Pending,
    /// Transactions that are here in part.
    open: OpenGroups,
    /// What is to be read once they are complete.
    fetches: Vec<(ShardIndex, Fetch)>,
    /// When the first commit came since the last checkpoint, or the last one left something to be put in order.
    log_since: Option<Timestamp>,
    closing: bool,
    counts: StoreCounts,
}

impl StoreOwner {
    #[must_use]
    pub fn new(store: Box<dyn Store>) -> StoreOwner {
        StoreOwner {
            store,
            pending: Pending::default(),
            open: OpenGroups::default(),
            fetches: Vec::new(),
            log_since: None,
            closing: false,
            counts: StoreCounts::default(),
        }
    }

    /// What it holds, the store included.
    pub fn holdings(&self, into: &mut Holdings) {
        let StoreOwner { store, pending, open, fetches, log_since, closing: _, counts: _ } = self;
        store.holdings(into);
        pending.holdings(into);
        into.in_transit("store: open groups", &open.len());
        into.in_transit("store: fetches", fetches);
        into.in_transit("store: checkpoint", log_since);
    }

    /// Takes in all of `requests` and does what is due. After an error nothing more may be confirmed: it is the last
    /// turn.
    pub fn turn(
        &mut self,
        now: Timestamp,
        requests: &mut Vec<StoreRequest>,
        carrier: &mut impl Carrier,
    ) -> Result<(), StoreError> {
        for request in requests.drain(..) {
            match request {
                StoreRequest::Ops { shard, sequence, ops, must_sync, groups, permits } => {
                    groups.into_iter().for_each(|part| self.open.arrived(part));
                    self.gather(now, (shard, sequence), ops, must_sync, permits);
                }
                StoreRequest::Catalog { sequence, ops } => {
                    self.pending.catalog.extend(ops);
                    self.pending.catalog_sequence = Some(sequence);
                    self.pending.must_sync = true;
                }
                StoreRequest::Fetch { shard, fetch } => self.fetches.push((shard, fetch)),
                // Whoever asked may have given up waiting.
                StoreRequest::Ask(answer) => drop(answer.send(self.told())),
                StoreRequest::Close => self.closing = true,
            }
            if self.open.is_empty() {
                self.fetch(now, carrier)?;
            }
        }
        if self.closing || (self.open.is_empty() && self.pending.is_due(now)) {
            self.commit(now, carrier)?;
        }
        if self.checkpoint_deadline().is_some_and(|deadline| deadline <= now) {
            let is_more = self.store.checkpoint()?;
            self.log_since = is_more.then_some(now);
        }
        Ok(())
    }

    /// Whether the store is still where it is looked for. After an error nothing more may be confirmed.
    pub fn check(&mut self) -> Result<(), StoreError> {
        self.store.check()
    }

    /// What it has counted, and the store with it.
    fn told(&self) -> StoreCounts {
        let Activity { fsync_times, log_bytes } = self.store.activity();
        StoreCounts { fsync_times, log_bytes, ..self.counts }
    }

    /// What it has counted itself, to which its thread adds how long commits took.
    pub fn counts(&mut self) -> &mut StoreCounts {
        &mut self.counts
    }

    /// When there is something to do, even where nothing is asked for.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let commit = self.pending.deadline().filter(|_| self.open.is_empty());
        [commit, self.checkpoint_deadline()].into_iter().flatten().min()
    }

    /// Everything is committed, and the store is to be closed.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Marks the directory as cleanly closed.
    pub fn close(self) -> Result<(), StoreError> {
        self.store.close()
    }

    fn checkpoint_deadline(&self) -> Option<Timestamp> {
        self.log_since.map(|since| since.plus_millis(CHECKPOINT))
    }

    /// Reads what was asked for.
    fn fetch(&mut self, now: Timestamp, carrier: &mut impl Carrier) -> Result<(), StoreError> {
        for (shard, fetch) in std::mem::take(&mut self.fetches) {
            // What is to be read may have been put a moment ago.
            self.commit(now, carrier)?;
            let fetched = self.store.fetch(&fetch)?;
            self.counts.fetches += 1;
            self.counts.fetched += fetched.entries.len() as u64;
            carrier.tell_shard(shard, ShardInput::Loaded(fetched));
        }
        Ok(())
    }

    fn gather(
        &mut self,
        now: Timestamp,
        (shard, sequence): (ShardIndex, u64),
        mut ops: Vec<Op>,
        must_sync: bool,
        permits: Vec<Permit>,
    ) {
        let pending = &mut self.pending;
        pending.since.get_or_insert(now);
        pending.bytes += ops.iter().map(footprint).sum::<usize>();
        if pending.ops.is_empty() {
            pending.ops = ops;
        } else {
            pending.ops.append(&mut ops);
        }
        pending.must_sync |= must_sync;
        pending.permits.extend(permits);
        match pending.shards.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, newest)) => *newest = sequence,
            None => pending.shards.push((shard, sequence)),
        }
    }

    fn commit(&mut self, now: Timestamp, carrier: &mut impl Carrier) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.counts.commits += 1;
        self.counts.bytes += pending.bytes as u64;
        self.store.commit(pending.ops, pending.catalog)?;
        self.log_since.get_or_insert(now);
        for (shard, sequence) in pending.shards {
            carrier.tell_shard(shard, ShardInput::Durable { sequence });
        }
        let durable = pending.catalog_sequence.map(|sequence| CatalogInput::Durable { sequence });
        carrier.tell_catalog(durable.into_iter());
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
