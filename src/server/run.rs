//! The life of a broker: open the store, bring the catalog and the queues back, let clients in, and at the end see
//! that everything is committed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::administrator::Administrator;
use super::catalog_task;
use super::clock::Clock;
use super::connection_task::Surroundings;
use super::guard::{Guard, Thresholds, UNLIMITED};
use super::hub::Hub;
use super::listener;
use super::mailbox::ThreadMailbox;
use super::memory;
use super::owners::{self, CatalogInput, ShardInput, StoreRequest};
use super::shard_task;
use super::store_thread;
use crate::config::ServeConfig;
use crate::session::SessionLimits;
use crate::store::{self, OpenError, StoreError, StoreOptions};

/// Why the broker could not start, or had to stop. Each is one clear line.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("cannot use the data directory {directory}: {source}")]
    Open { directory: String, source: OpenError },
    #[error("cannot listen on {address}: {source}; give another address with --listen")]
    Listen { address: String, source: io::Error },
    #[error(
        "cannot listen on {address} for the management API: {source}; give another address with --management-listen"
    )]
    ListenManagement { address: String, source: io::Error },
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    #[error("stopped because the store failed: {0}; nothing was confirmed that is not on disk")]
    Store(#[from] StoreError),
    #[error("stopped because of a defect: {0}")]
    Defect(#[from] tokio::task::JoinError),
}

/// What administrators speak to, on a listener of its own, until the token is cancelled. It is a floor above this
/// room, so whoever starts a broker hands it in; it is only called where the configuration gives it an address.
pub type Face = fn(TcpListener, Administrator, CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the broker until SIGTERM or SIGINT, or until the store fails.
pub fn serve(config: &ServeConfig, face: Face) -> Result<(), ServeError> {
    run(config, face, |broker| {
        // Whoever reads that the startup is complete may send a signal at once.
        let terminate = signal(SignalKind::terminate()).map_err(ServeError::Start)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Start)?;
        let broker = broker.start()?;
        tokio::spawn(stop_on_signal(terminate, interrupt, broker.around.stop.clone()));
        Ok(broker)
    })
}

/// A broker that runs on a thread of its own, within another program.
pub struct RunningBroker {
    administrator: Administrator,
    stop: CancellationToken,
    thread: JoinHandle<Result<(), ServeError>>,
}

impl RunningBroker {
    #[must_use]
    pub fn administrator(&self) -> &Administrator {
        &self.administrator
    }

    /// Stops it in order; returns once everything is committed.
    pub fn stop(self) -> Result<(), ServeError> {
        self.stop.cancel();
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Starts a broker beside the caller. Returns once clients can connect. Signals are the caller's.
pub fn start(config: ServeConfig, face: Face) -> Result<RunningBroker, ServeError> {
    let (ready, is_ready) = mpsc::channel();
    let serving = move || {
        run(&config, face, |broker| {
            let broker = broker.start()?;
            // The caller waits for it below.
            let _ = ready.send((broker.administrator.clone(), broker.around.stop.clone()));
            Ok(broker)
        })
    };
    let thread = thread::Builder::new().name("leveret".into()).spawn(serving).map_err(ServeError::Start)?;
    match is_ready.recv() {
        Ok((administrator, stop)) => Ok(RunningBroker { administrator, stop, thread }),
        Err(mpsc::RecvError) => match thread.join() {
            Ok(Ok(())) => Err(ServeError::Start(io::ErrorKind::Interrupted.into())),
            Ok(Err(error)) => Err(error),
            Err(panic) => std::panic::resume_unwind(panic),
        },
    }
}

async fn stop_on_signal(mut terminate: Signal, mut interrupt: Signal, stop: CancellationToken) {
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: stopping"),
        _ = interrupt.recv() => info!("SIGINT: stopping"),
    }
    stop.cancel();
}

/// Starts a broker by `start` and runs it until it is stopped.
fn run(
    config: &ServeConfig,
    face: Face,
    start: impl FnOnce(Plan<'_>) -> Result<Broker, ServeError>,
) -> Result<(), ServeError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("broker")
        .enable_all()
        .build()
        .map_err(ServeError::Start)?;
    let shards = config.shards.unwrap_or_else(|| u16::try_from(threads).unwrap_or(u16::MAX));
    runtime.block_on(async { start(Plan { config, face, shards })?.run().await })
}

/// A broker that is to be.
struct Plan<'a> {
    config: &'a ServeConfig,
    face: Face,
    shards: u16,
}

/// A broker that clients can connect to.
struct Broker {
    around: Arc<Surroundings>,
    administrator: Administrator,
    /// Those of clients and of administrators.
    connections: TaskTracker,
    /// The catalog's task and the shards'.
    owners: JoinSet<()>,
    store: JoinHandle<Result<(), StoreError>>,
}

impl Plan<'_> {
    fn start(self) -> Result<Broker, ServeError> {
        let Plan { config, face, shards } = self;
        let directory = config.data_dir.display().to_string();
        let options = StoreOptions {
            salt: random_number(),
            accept_loss: config.accept_loss,
            ..StoreOptions::default()
        };
        let (mut store, recovered) = store::open(&config.data_dir, &options)
            .map_err(|source| ServeError::Open { directory, source })?;
        // The ports are taken before anything is started that would have to be stopped again.
        let listener = listener::bind(config.listen)
            .map_err(|source| ServeError::Listen { address: config.listen.to_string(), source })?;
        let bind_management = |address: SocketAddr| {
            listener::bind(address)
                .map_err(|source| ServeError::ListenManagement { address: address.to_string(), source })
        };
        let management = config.management_listen.map(bind_management).transpose()?;

        let clock = Clock::new();
        let seed = random_number();
        let memory = usize::try_from(config.message_memory).unwrap_or(usize::MAX).saturating_mul(1 << 20);
        let share = memory / usize::from(shards).max(1);
        let clean = recovered.clean;
        let owned = owners::restore(clock.now(), &mut store, recovered, shards, share, seed)?;
        let requests = Arc::new(ThreadMailbox::new());
        let hub = Arc::new(Hub::new(shards, Arc::clone(&requests)));
        let stop = CancellationToken::new();
        let failed = stop.clone();
        let memory_limit = match config.memory_limit {
            Some(0) => UNLIMITED,
            Some(mib) => u64::from(mib) << 20,
            None => memory::default_limit().unwrap_or(UNLIMITED),
        };
        let thresholds = Thresholds::new(u64::from(config.disk_free_limit) << 20, memory_limit);
        let guard = Guard::new(config.data_dir.clone(), Arc::clone(&thresholds));
        let stop_all = move || failed.cancel();
        let store = store_thread::spawn(Box::new(store), requests, Arc::clone(&hub), guard, clock, stop_all)
            .map_err(ServeError::Start)?;

        let mut owners = JoinSet::new();
        for shard in owned.shards {
            owners.spawn(shard_task::run(shard, Arc::clone(&hub), clock));
        }
        owners.spawn(catalog_task::run(owned.catalog, Arc::clone(&hub), clock));

        let limits = Arc::new(SessionLimits::default());
        let view = owned.view;
        let administrator = Administrator::new(Arc::clone(&hub), Arc::clone(&view), thresholds);
        let anonymous_user = config.anonymous_user.as_deref().map(Into::into);
        let address = config.listen;
        let around = Arc::new(Surroundings { hub, view, clock, limits, seed, address, anonymous_user, stop });
        let connections = TaskTracker::new();
        connections.spawn(listener::accept(listener, Arc::clone(&around), connections.clone()));
        if let Some(management) = management {
            if let Ok(address) = management.local_addr() {
                info!(%address, "the management API is served");
            }
            connections.spawn(face(management, administrator.clone(), around.stop.clone()));
        }
        info!(
            address = %config.listen, data = %config.data_dir.display(), queues = owned.queues, shards, clean,
            "Server startup complete"
        );
        Ok(Broker { around, administrator, connections, owners, store })
    }
}

impl Broker {
    /// Serves until it is told to stop or the store fails, then stops in order: clients, catalog, shards, store.
    async fn run(mut self) -> Result<(), ServeError> {
        tokio::select! {
            () = self.around.stop.cancelled() => {}
            // No owner ends before it is told to. What it owned is lost to this process, and so is the process.
            Some(Err(defect)) = self.owners.join_next() => return Err(defect.into()),
        }
        self.around.stop.cancel();
        self.connections.close();
        self.connections.wait().await;

        // Connections have said their last word. What the shards make of it may concern the catalog, and what the
        // catalog makes of that the shards.
        let hub = &self.around.hub;
        for (_, shard) in hub.shards() {
            let (done, worked_off) = oneshot::channel();
            shard.post(ShardInput::Barrier(done));
            let _ = worked_off.await;
        }
        hub.catalog().post(CatalogInput::Stop);
        self.owners.join_next().await.transpose()?;
        for (_, shard) in hub.shards() {
            shard.post(ShardInput::Stop);
        }
        while self.owners.join_next().await.transpose()?.is_some() {}
        hub.store().post(StoreRequest::Close);
        match self.store.join() {
            Ok(outcome) => Ok(outcome?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// What nobody can guess: it makes this process's generated names, and the records of its log, unlike any other's.
fn random_number() -> u64 {
    rand::random()
}
