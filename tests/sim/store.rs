//! The store of the simulation and its owner: slower or faster than the others, and failing when it is told to. It is the
//! one in memory, which does what a store should, or in some seeds the real one on a disk that loses its power. What was
//! on the disk outlives the broker.

use std::sync::Arc;

use leveret::model::holdings::Holdings;
use leveret::model::ids::Timestamp;
use leveret::model::op::{CatalogOp, Fetch, Fetched, Op};
use leveret::server::owners::{StoreOwner, StoreRequest};
use leveret::store::{MemoryStore, Recovered, RedbStore, Store, StoreError, StoreOptions, Usage, open_on};
use parking_lot::Mutex;

use crate::post::Outbox;
use crate::random::Random;
use crate::simulated_disk::{SimulatedDisk, Trouble};

/// The real store with files so small that every few commits begin one, and one that is emptied at the first occasion.
const OPTIONS: StoreOptions = StoreOptions {
    file_bytes: 120_000,
    cache_bytes: 256 << 10,
    quiet_commits: 2,
    log_bytes: 0,
    salt: 0,
    accept_loss: false,
};
/// Bytes of its log: none, or so few that it begins anew every few commits.
const LOG_BYTES: [u64; 2] = [0, 64 << 10];
/// The power goes within so many changes of the disk.
const SOON: usize = 60;

/// How a disk fails: at which of the calls to come, and whether that one is carried out nevertheless.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) after: usize,
    pub(crate) is_carried_out: bool,
}

/// What outlives a broker.
#[derive(Debug)]
pub(crate) enum Medium {
    Memory(MemoryStore),
    Files(SimulatedDisk),
}

/// A store at work.
#[derive(Debug)]
enum Opened {
    Memory(MemoryStore),
    /// None once it is closed.
    Real(Option<Box<RedbStore>>, SimulatedDisk),
}

impl Opened {
    fn store(&mut self) -> Result<&mut dyn Store, StoreError> {
        match self {
            Opened::Memory(memory) => Ok(memory),
            Opened::Real(Some(store), _) => Ok(&mut **store),
            Opened::Real(None, _) => Err(StoreError::NoSpace),
        }
    }
}

#[derive(Debug)]
struct State {
    opened: Opened,
    failure: Option<Failure>,
    failed: bool,
}

/// A disk and the store on it; all clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// Opens what is there, which was closed in order or not, and says what that is.
    pub(crate) fn open(medium: Medium, clean: bool, random: &mut Random) -> (Disk, Recovered) {
        let (opened, recovered) = match medium {
            Medium::Memory(memory) => {
                let (memory, recovered) = memory.restarted(clean);
                (Opened::Memory(memory), recovered)
            }
            Medium::Files(files) => {
                let (log_bytes, salt) = (random.pick(&LOG_BYTES), random.next());
                let options = StoreOptions { log_bytes, salt, ..OPTIONS };
                let (store, recovered) =
                    open_on(Arc::new(files.clone()), &options).expect("this disk does not fail yet");
                (Opened::Real(Some(Box::new(store)), files), recovered)
            }
        };
        (Disk(Arc::new(Mutex::new(State { opened, failure: None, failed: false }))), recovered)
    }

    /// What it holds now. The store on it does nothing more.
    pub(crate) fn take(&self) -> Medium {
        let nothing = Opened::Memory(MemoryStore::new());
        match std::mem::replace(&mut self.0.lock().opened, nothing) {
            Opened::Memory(memory) => Medium::Memory(memory),
            Opened::Real(store, files) => {
                drop(store);
                Medium::Files(files)
            }
        }
    }

    pub(crate) fn fail(&self, failure: Failure) {
        self.0.lock().failure = Some(failure);
    }

    /// The power goes in the middle of what is asked for next, in some of the times at which a real disk is in use.
    /// Returns whether it does.
    fn lose_power(&self, random: &mut Random) -> bool {
        let Opened::Real(_, files) = &self.0.lock().opened else { return false };
        let is_lost = random.percent(70);
        if is_lost {
            let cut_after = Some(1 + random.below(SOON) as u64);
            files.trouble(Trouble { cut_after, ..Trouble::default() });
        }
        is_lost
    }

    /// Carries out `call`, unless the disk fails now or has failed before.
    fn call<T>(&self, call: impl FnOnce(&mut dyn Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let State { opened, failure, failed } = &mut *self.0.lock();
        if *failed {
            return Err(StoreError::NoSpace);
        }
        match failure {
            Some(Failure { after: 0, is_carried_out }) => {
                *failed = true;
                if *is_carried_out {
                    call(opened.store()?)?;
                }
                return Err(StoreError::NoSpace);
            }
            Some(failure) => failure.after -= 1,
            None => {}
        }
        call(opened.store()?)
    }
}

impl Store for Disk {
    fn commit(&mut self, ops: Vec<Op>, catalog: Vec<CatalogOp>) -> Result<(), StoreError> {
        self.call(|store| store.commit(ops, catalog))
    }

    fn checkpoint(&mut self) -> Result<bool, StoreError> {
        self.call(|store| store.checkpoint())
    }

    fn fetch(&mut self, fetch: &Fetch) -> Result<Fetched, StoreError> {
        self.call(|store| store.fetch(fetch))
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        match &mut self.0.lock().opened {
            Opened::Real(store, _) => store.take().map_or(Ok(()), Store::close),
            Opened::Memory(_) => Ok(()),
        }
    }

    fn holdings(&self, into: &mut Holdings) {
        if let Ok(store) = self.0.lock().opened.store() {
            store.holdings(into);
        }
    }

    fn usage(&self) -> Usage {
        self.0.lock().opened.store().map(|store| store.usage()).unwrap_or_default()
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
    pub(crate) fn crash(mut self, now: Timestamp, random: &mut Random) -> Medium {
        let mut asked = self.batch.take().map(|(batch, _)| batch).unwrap_or_default();
        asked.append(&mut self.mailbox);
        asked.truncate(random.below(asked.len() + 1));
        let is_power_lost = self.disk.lose_power(random);
        if !self.failed {
            self.work(now, asked);
        }
        match self.disk.take() {
            Medium::Files(files) if is_power_lost => {
                Medium::Files(files.after_power_cut(&mut Random(random.next())))
            }
            Medium::Files(files) => Medium::Files(SimulatedDisk::holding(&files.files())),
            memory @ Medium::Memory(_) => memory,
        }
    }

    /// What is on the disk once everything is written and the store is closed.
    pub(crate) fn close(self) -> Medium {
        self.owner.close().expect("this disk does not fail yet");
        self.disk.take()
    }
}
