//! The thread that drives the store: lets it work off what was asked meanwhile, and looks after disk and memory. However
//! it ends, whoever started it hears of it.

use std::io;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, info};

use super::allocator::Workers;
use super::clock::Clock;
use super::mailbox::ThreadMailbox;
use super::mailboxes::Mailboxes;
use super::owners::{StoreOwner, StoreRequest};
use super::resource_monitor::ResourceMonitor;
use super::router::Router;
use super::supervisor::panic_text;
use crate::model::counters::DISK_BOUNDS;
use crate::store::{Store, StoreError};

/// How often it is asked whether the files are still where they are looked for.
const CHECK: Duration = Duration::from_millis(500);

/// Why the store's thread ended before it was told to. Nothing is confirmed after it.
#[derive(Debug, Error)]
pub enum StoreEnd {
    #[error(transparent)]
    Failed(#[from] StoreError),
    #[error("its thread panicked: {0}")]
    Panicked(String),
    #[error("its thread ended before it was told to")]
    Untold,
}

/// The thread, as long as it is wanted: once this is dropped it ends within a second and confirms nothing more.
pub(crate) struct StoreThread {
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<Result<(), StoreEnd>>,
    _wanted: DropGuard,
}

impl StoreThread {
    /// Returns once the thread is at its end: after [`StoreRequest::Close`], or with the error after which nothing more
    /// may be confirmed. Not to be called again then.
    pub(crate) async fn ended(&mut self) -> Result<(), StoreEnd> {
        (&mut self.ended).await.unwrap_or(Err(StoreEnd::Untold))
    }

    /// Waits until everything that the thread held is given back. Only after it has ended.
    pub(crate) fn join(self) {
        // How it ended was said.
        let _ = self.thread.join();
    }
}

/// Starts the thread. The runtime that this is called in, if it is one, is that of the other owners.
pub(crate) fn spawn(
    store: Box<dyn Store>,
    requests: Arc<ThreadMailbox<StoreRequest>>,
    mailboxes: Arc<Mailboxes>,
    monitor: ResourceMonitor,
    clock: Clock,
) -> io::Result<StoreThread> {
    let unwanted = CancellationToken::new();
    let wanted = unwanted.clone().drop_guard();
    let (say, ended) = oneshot::channel();
    let workers = Workers::current();
    let thread = thread::Builder::new().name("store".into()).spawn(move || {
        let mut owner = ManuallyDrop::new(StoreOwner::new(store));
        let outcome = catching(|| run(&mut owner, &requests, &mailboxes, (monitor, &workers), clock, &unwanted));
        let outcome = match outcome {
            Ok(End::Closing) => catching(|| Ok(ManuallyDrop::into_inner(owner).close()?)).inspect(|()| {
                info!("everything is committed, the store is closed");
            }),
            Ok(End::Unwanted) => {
                drop(ManuallyDrop::into_inner(owner));
                Ok(())
            }
            Err(StoreEnd::Failed(error)) => {
                // What failed writes nothing more, and gives the directory back.
                drop(ManuallyDrop::into_inner(owner));
                Err(StoreEnd::Failed(error))
            }
            // Nobody knows what state it is in: to take it down in order might write, and keeps the lock until the
            // process ends.
            Err(panicked) => Err(panicked),
        };
        if let Err(error) = &outcome {
            error!(%error, "the store failed: what was not confirmed yet is unknown, nothing more is confirmed");
        }
        // Nobody may be there any more to hear it.
        let _ = say.send(outcome);
    })?;
    Ok(StoreThread { thread, ended, _wanted: wanted })
}

/// Does something; a panic is an error like any other.
fn catching<T>(work: impl FnOnce() -> Result<T, StoreEnd>) -> Result<T, StoreEnd> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(StoreEnd::Panicked(panic_text(&*panic).to_owned())))
}

/// Looks at disk and memory, and tells whoever can do something about it.
fn look_after(monitor: &mut ResourceMonitor, mailboxes: &Mailboxes, workers: &Workers) {
    let found = monitor.look();
    if let Some(alarms) = found.alarms {
        mailboxes.set_alarms(alarms);
    }
    if let Some(bytes) = found.message_memory {
        mailboxes.set_message_memory(bytes);
    }
    if found.give_back {
        workers.give_back();
    }
}

/// Why the work is done.
enum End {
    /// Everything is committed, and the store is to be closed.
    Closing,
    /// Whoever started the thread is gone.
    Unwanted,
}

fn run(
    owner: &mut StoreOwner,
    requests: &ThreadMailbox<StoreRequest>,
    mailboxes: &Mailboxes,
    (mut monitor, workers): (ResourceMonitor, &Workers),
    clock: Clock,
    unwanted: &CancellationToken,
) -> Result<End, StoreEnd> {
    let mut router = Router::new(mailboxes);
    let mut batch = Vec::new();
    let mut checked = Instant::now();
    while !owner.is_closing() {
        look_after(&mut monitor, mailboxes, workers);
        if checked.elapsed() >= CHECK {
            owner.check()?;
            checked = Instant::now();
        }
        let due = owner.next_deadline().map(|due| Duration::from_millis(due.0.saturating_sub(clock.now().0)));
        requests.wait(&mut batch, due.into_iter().chain([monitor.patience()]).min());
        if unwanted.is_cancelled() {
            return Ok(End::Unwanted);
        }
        let (began, commits) = (Instant::now(), owner.counts().commits);
        owner.turn(clock.now(), &mut batch, &mut router)?;
        if owner.counts().commits > commits {
            let micros = began.elapsed().as_micros();
            owner.counts().commit_times.add(&DISK_BOUNDS, u64::try_from(micros).unwrap_or(u64::MAX));
        }
    }
    Ok(End::Closing)
}

#[cfg(test)]
mod tests {
    use super::super::message_memory::MessageMemory;
    use super::super::resource_monitor::{Thresholds, UNLIMITED};
    use super::*;
    use crate::model::holdings::Holdings;
    use crate::model::ids::{ConnectionId, Position, PositionRange, QueueId, ShardIndex};
    use crate::model::op::{CatalogOp, Fetch, Fetched, Group, GroupPart, Op, Wants};
    use crate::server::owners::ShardInput;
    use crate::store::{MemoryStore, Usage};

    fn part(shard: u8, groups: Vec<GroupPart>) -> StoreRequest {
        let (shard, permits, ops) = (ShardIndex::alone(shard), Vec::new(), Vec::new());
        StoreRequest::Ops { shard, sequence: 1, ops, must_sync: true, groups, permits }
    }

    /// What a shard is told within this time.
    fn told(mailboxes: &Mailboxes, shard: u8, patience: Duration) -> Vec<ShardInput> {
        let (since, mut inputs) = (Instant::now(), Vec::new());
        while inputs.is_empty() && since.elapsed() < patience {
            thread::sleep(Duration::from_millis(5));
            mailboxes.shard(ShardIndex::alone(shard)).take(&mut inputs);
        }
        inputs
    }

    fn driver(store: Box<dyn Store>, shards: u16) -> (Arc<Mailboxes>, StoreThread) {
        let requests = Arc::new(ThreadMailbox::new());
        let mailboxes = Arc::new(Mailboxes::new(shards, Arc::clone(&requests)));
        let memory = MessageMemory::new(0, UNLIMITED);
        let monitor = ResourceMonitor::new(std::env::temp_dir(), Thresholds::new(0, UNLIMITED), memory);
        let driver = spawn(store, requests, Arc::clone(&mailboxes), monitor, Clock::new()).expect("a thread");
        (mailboxes, driver)
    }

    #[test]
    fn nothing_is_committed_or_read_while_a_transaction_is_here_in_part() {
        let (mailboxes, mut driver) = driver(Box::new(MemoryStore::new()), 2);
        let (short, long) = (Duration::from_millis(200), Duration::from_secs(20));
        let group = Group { connection: ConnectionId(1), number: 1, parts: 2 };
        mailboxes.store().post(part(0, vec![GroupPart::Begun(group)]));
        mailboxes.store().post(part(0, vec![GroupPart::Complete(group)]));
        let range = PositionRange::single(Position(1));
        let fetch = Fetch { queue: QueueId(1), lane: 0, range, max_bytes: 1, wants: Wants::All };
        mailboxes.store().post(StoreRequest::Fetch { shard: ShardIndex::alone(0), fetch });
        let early = told(&mailboxes, 0, short);
        assert!(early.is_empty(), "{early:?}");
        mailboxes.store().post(part(1, vec![GroupPart::Complete(group)]));
        for shard in [1, 0] {
            let told = told(&mailboxes, shard, long);
            assert!(matches!(told.first(), Some(ShardInput::Durable { sequence: 1 })), "{told:?}");
        }
        mailboxes.store().post(StoreRequest::Close);
        assert!(ended(&mut driver).is_ok());
        driver.join();
    }

    /// How the thread ends, soon.
    fn ended(driver: &mut StoreThread) -> Result<(), StoreEnd> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let soon = async { tokio::time::timeout(Duration::from_secs(20), driver.ended()).await };
        runtime.block_on(soon).expect("it ends by itself")
    }

    /// A store in which a step is planted.
    struct Planted {
        on_commit: fn() -> Result<(), StoreError>,
        on_check: fn() -> Result<(), StoreError>,
        on_close: fn() -> Result<(), StoreError>,
    }

    const SOUND: Planted = Planted { on_commit: || Ok(()), on_check: || Ok(()), on_close: || Ok(()) };

    impl Store for Planted {
        fn commit(&mut self, _: Vec<Op>, _: Vec<CatalogOp>) -> Result<(), StoreError> {
            (self.on_commit)()
        }

        fn checkpoint(&mut self) -> Result<bool, StoreError> {
            Ok(false)
        }

        fn fetch(&mut self, _: &Fetch) -> Result<Fetched, StoreError> {
            Err(StoreError::NoSpace)
        }

        fn check(&mut self) -> Result<(), StoreError> {
            (self.on_check)()
        }

        fn close(self: Box<Self>) -> Result<(), StoreError> {
            (self.on_close)()
        }

        fn usage(&self) -> Usage {
            Usage::default()
        }

        fn holdings(&self, _: &mut Holdings) {}
    }

    #[test]
    fn however_the_thread_ends_it_is_heard_of_and_nothing_more_is_confirmed() {
        let failed: fn() -> Result<(), StoreError> = || Err(StoreError::NoSpace);
        let panics: fn() -> Result<(), StoreError> = || panic!("planted");
        for (store, expected) in [
            (Planted { on_commit: failed, ..SOUND }, "no space left on the device of the data directory"),
            (Planted { on_commit: panics, ..SOUND }, "its thread panicked: planted"),
        ] {
            let (mailboxes, mut driver) = driver(Box::new(store), 1);
            mailboxes.store().post(part(0, vec![]));
            assert_eq!(ended(&mut driver).unwrap_err().to_string(), expected);
            mailboxes.store().post(part(0, vec![]));
            assert!(told(&mailboxes, 0, Duration::from_millis(100)).is_empty());
        }
        let (mailboxes, mut driver) = driver(Box::new(Planted { on_close: panics, ..SOUND }), 1);
        mailboxes.store().post(StoreRequest::Close);
        assert_eq!(ended(&mut driver).unwrap_err().to_string(), "its thread panicked: planted");
    }

    #[test]
    fn a_directory_that_is_gone_is_noticed_though_nobody_asks_for_anything() {
        let gone: fn() -> Result<(), StoreError> = || Err(StoreError::Displaced("gone".into()));
        let (_hub, mut driver) = driver(Box::new(Planted { on_check: gone, ..SOUND }), 1);
        assert!(matches!(ended(&mut driver), Err(StoreEnd::Failed(StoreError::Displaced(_)))));
    }

    #[test]
    fn a_thread_that_nobody_wants_ends_and_confirms_nothing_more() {
        let (mailboxes, driver) = driver(Box::new(SOUND), 1);
        let StoreThread { thread, _wanted: wanted, .. } = driver;
        drop(wanted);
        mailboxes.store().post(part(0, vec![]));
        thread.join().unwrap();
        assert!(told(&mailboxes, 0, Duration::ZERO).is_empty());
    }
}
