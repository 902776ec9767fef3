//! The disk of the simulation, and the owner of the store on it: slower or faster than the others, and failing when it
//! is told to. What was on the disk outlives the broker.

use std::sync::Arc;

use leveret::model::holdings::Holdings;
use leveret::model::ids::Timestamp;
use leveret::model::op::{CatalogOp, Fetch, Fetched, Op};
use leveret::server::owners::{StoreOwner, StoreRequest};
use leveret::store::{MemoryStore, Store, StoreError, Usage};
use parking_lot::Mutex;

use crate::post::Outbox;
use crate::random::Random;

/// How a disk fails: at which of the calls to come, and whether that one is carried out nevertheless.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) after: usize,
    pub(crate) is_carried_out: bool,
}

#[derive(Debug, Default)]
struct State {
    memory: MemoryStore,
    failure: Option<Failure>,
    failed: bool,
}

/// A disk; all clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub(crate) fn of(memory: MemoryStore) -> Disk {
        Disk(Arc::new(Mutex::new(State { memory, failure: None, failed: false })))
    }

    /// What it holds now.
    pub(crate) fn take(&self) -> MemoryStore {
        std::mem::take(&mut self.0.lock().memory)
    }

    pub(crate) fn fail(&self, failure: Failure) {
        self.0.lock().failure = Some(failure);
    }

    /// Carries out `call`, unless the disk fails now or has failed before.
    fn call<T>(&self, call: impl FnOnce(&mut MemoryStore) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let state = &mut *self.0.lock();
        if state.failed {
            return Err(StoreError::NoSpace);
        }
        match &mut state.failure {
            Some(Failure { after: 0, is_carried_out }) => {
                state.failed = true;
                if *is_carried_out {
                    call(&mut state.memory)?;
                }
                Err(StoreError::NoSpace)
            }
            Some(failure) => {
                failure.after -= 1;
                call(&mut state.memory)
            }
            None => call(&mut state.memory),
        }
    }
}

impl Store for Disk {
    fn commit(&mut self, ops: Vec<Op>, catalog: Vec<CatalogOp>) -> Result<(), StoreError> {
        self.call(|memory| memory.commit(ops, catalog))
    }

    fn checkpoint(&mut self) -> Result<bool, StoreError> {
        self.call(MemoryStore::checkpoint)
    }

    fn fetch(&mut self, fetch: &Fetch) -> Result<Fetched, StoreError> {
        self.call(|memory| memory.fetch(fetch))
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }

    fn holdings(&self, into: &mut Holdings) {
        self.0.lock().memory.holdings(into);
    }

    fn usage(&self) -> Usage {
        self.0.lock().memory.usage()
    }
}

pub(crate) struct StoreActor {
    disk: Disk,
    owner: StoreOwner,
    pub(crate) mailbox: Vec<StoreRequest>,
    pub(crate) outbox: Outbox,
    /// What it works on, and how many more turns that takes.
    batch: Option<(Vec<StoreRequest>, usize)>,
    /// The most turns a batch takes.
    slowness: usize,
    /// How often it has worked something off.
    pub(crate) commits: u64,
    /// It does nothing any more.
    pub(crate) failed: bool,
}

impl StoreActor {
    pub(crate) fn new(disk: Disk, slowness: usize) -> StoreActor {
        StoreActor {
            owner: StoreOwner::new(Box::new(disk.clone())),
            disk,
            mailbox: Vec::new(),
            outbox: Outbox::default(),
            batch: None,
            slowness,
            commits: 0,
            failed: false,
        }
    }

    pub(crate) fn holdings(&self, into: &mut Holdings) {
        self.owner.holdings(into);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.mailbox.is_empty() && self.outbox.0.is_empty() && self.batch.is_none()
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.owner.next_deadline().filter(|_| !self.failed)
    }

    pub(crate) fn can_work(&self, now: Timestamp) -> bool {
        let is_due = self.deadline().is_some_and(|deadline| deadline <= now);
        !self.failed && (self.batch.is_some() || !self.mailbox.is_empty() || is_due)
    }

    pub(crate) fn turn(&mut self, now: Timestamp, random: &mut Random) {
        match self.batch.take() {
            None => {
                let batch = std::mem::take(&mut self.mailbox);
                self.batch = Some((batch, random.below(self.slowness + 1)));
            }
            Some((batch, left)) if left > 0 => self.batch = Some((batch, left - 1)),
            Some((batch, _)) => self.work(now, batch),
        }
    }

    fn work(&mut self, now: Timestamp, mut batch: Vec<StoreRequest>) {
        self.commits += 1;
        self.failed = self.owner.turn(now, &mut batch, &mut self.outbox).is_err();
    }

    pub(crate) fn fail(&self, failure: Failure) {
        self.disk.fail(failure);
    }

    /// What is on the disk when everything stops now: some of what was asked is done, in order.
    pub(crate) fn crash(mut self, now: Timestamp, random: &mut Random) -> MemoryStore {
        let mut asked = self.batch.take().map(|(batch, _)| batch).unwrap_or_default();
        asked.append(&mut self.mailbox);
        asked.truncate(random.below(asked.len() + 1));
        if !self.failed {
            self.work(now, asked);
        }
        self.disk.take()
    }
}
