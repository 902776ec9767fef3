//! The store's thread in the simulation: gathers, commits late, may fail, and knows what is left after a crash. The
//! rules of gathering are those of `server/store_thread.rs`.

use std::collections::VecDeque;

use leveret::model::ids::{ShardIndex, Timestamp};
use leveret::model::op::{CatalogOp, Op};
use leveret::store::{MemoryStore, Store};

use crate::post::{CatalogInput, Outbox, Post, ShardInput, StoreRequest};
use crate::random::Random;

/// How long what nobody waits for may wait, in milliseconds.
const LAZY_COMMIT: u64 = 100;

#[derive(Default)]
struct Pending {
    ops: Vec<Op>,
    catalog: Vec<CatalogOp>,
    shards: Vec<(ShardIndex, u64)>,
    catalog_sequence: Option<u64>,
    must_sync: bool,
    since: Option<Timestamp>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.catalog.is_empty() && self.shards.is_empty()
    }
}

pub(crate) struct StoreActor {
    disk: MemoryStore,
    pub(crate) mailbox: VecDeque<StoreRequest>,
    pub(crate) outbox: Outbox,
    pending: Pending,
    /// A commit under way and how many more turns it takes.
    committing: Option<(Pending, usize)>,
    /// The most turns a commit takes.
    slowness: usize,
}

impl StoreActor {
    pub(crate) fn new(disk: MemoryStore, slowness: usize) -> StoreActor {
        StoreActor {
            disk,
            mailbox: VecDeque::new(),
            outbox: Outbox::new(),
            pending: Pending::default(),
            committing: None,
            slowness,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.mailbox.is_empty()
            && self.outbox.is_empty()
            && self.pending.is_empty()
            && self.committing.is_none()
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.pending.since.map(|since| since.plus_millis(LAZY_COMMIT))
    }

    pub(crate) fn can_work(&self, now: Timestamp) -> bool {
        self.committing.is_some() || !self.mailbox.is_empty() || self.is_due(now)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.pending.must_sync || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    pub(crate) fn turn(&mut self, now: Timestamp, random: &mut Random) {
        if let Some((pending, left)) = self.committing.take() {
            if left > 0 {
                self.committing = Some((pending, left - 1));
            } else {
                self.carry_out(pending);
            }
            return;
        }
        while let Some(request) = self.mailbox.pop_front() {
            match request {
                StoreRequest::Ops { shard, sequence, ops, must_sync } => {
                    self.gather(now, shard, sequence, ops, must_sync);
                }
                StoreRequest::Catalog { sequence, ops } => {
                    self.pending.catalog.extend(ops);
                    self.pending.catalog_sequence = Some(sequence);
                    self.pending.must_sync = true;
                }
                StoreRequest::Fetch { shard, fetch } => {
                    // What is to be read may have been put a moment ago.
                    let pending = std::mem::take(&mut self.pending);
                    self.carry_out(pending);
                    let fetched = self.disk.fetch(&fetch).expect("memory does not fail");
                    self.outbox.push_back(Post::Shard(shard, ShardInput::Loaded(fetched)));
                }
            }
        }
        if self.is_due(now) {
            let pending = std::mem::take(&mut self.pending);
            self.committing = Some((pending, random.below(self.slowness + 1)));
        }
    }

    fn gather(&mut self, now: Timestamp, shard: ShardIndex, sequence: u64, ops: Vec<Op>, must_sync: bool) {
        let pending = &mut self.pending;
        pending.since.get_or_insert(now);
        pending.ops.extend(ops);
        pending.must_sync |= must_sync;
        match pending.shards.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, newest)) => *newest = sequence,
            None => pending.shards.push((shard, sequence)),
        }
    }

    fn carry_out(&mut self, pending: Pending) {
        if pending.is_empty() {
            return;
        }
        self.disk.commit(pending.ops, pending.catalog).expect("memory does not fail");
        for (shard, sequence) in pending.shards {
            self.outbox.push_back(Post::Shard(shard, ShardInput::Durable(sequence)));
        }
        if let Some(sequence) = pending.catalog_sequence {
            self.outbox.push_back(Post::Catalog(CatalogInput::Durable(sequence)));
        }
    }

    /// What is on the disk when everything stops now: the commit under way is there whole or not at all.
    pub(crate) fn crash(mut self, random: &mut Random) -> MemoryStore {
        if let Some((pending, _)) = self.committing.take()
            && random.percent(50)
        {
            self.carry_out(pending);
        }
        self.disk
    }
}
