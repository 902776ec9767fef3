//! The life of a broker: open the store, bring the catalog and the queues back, let clients in, and at the end see
//! that everything is committed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::administrator::{Administrator, Reached};
use super::catalog_task;
use super::client_listeners::ClientListeners;
use super::clock::{self, Clock};
use super::connection_task::ServerContext;
use super::control_socket::ControlSocket;
use super::current_limits::CurrentLimits;
use super::descriptors;
use super::facts::Facts;
use super::in_flight::WorkBegun;
use super::listener;
use super::mailbox::ThreadMailbox;
use super::mailboxes::Mailboxes;
use super::memory;
use super::memory::OwnMemory;
use super::message_memory::MessageMemory;
use super::owners::{self, CatalogInput, ShardInput, ShardLayout, StoreRequest};
use super::process_log::ProcessLog;
use super::random::random_number;
use super::resource_monitor::{ResourceMonitor, Thresholds, UNLIMITED};
use super::serve_error::ServeError;
use super::services::{self, addresses, listed};
use super::shard_task;
use super::signals::Signals;
use super::store_thread::{self, StoreEnd, StoreThread};
use super::supervisor::{Role, TaskEnd, Tasks};
use crate::config::ServeConfig;
use crate::session::SessionLimits;
use crate::store::{self, StoreOptions};

/// How long clients may take to hear that a broker whose store has failed goes away.
const FAREWELL: Duration = Duration::from_secs(5);

/// What administrators speak to, on listeners of its own, until the token is cancelled. It is a layer above this
/// module, so whoever starts a broker hands it in; it is only called where the configuration gives it an address.
pub type ManagementServer =
    fn(ManagementListeners, Administrator, CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Loads a file of definitions (with `true` not where it is the one that was loaded last), or says why that is not possible.
pub type DefinitionsLoader = for<'a> fn(
    &'a Path,
    bool,
    &'a Administrator,
) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// What the layer above does for administrators.
#[derive(Clone, Copy)]
pub struct Management {
    pub serve: ManagementServer,
    pub load: DefinitionsLoader,
}

/// Where administrators come in.
#[derive(Debug)]
pub struct ManagementListeners {
    pub listeners: Vec<TcpListener>,
    /// Where whoever may administer the broker from this machine comes in without a password.
    pub control: Option<ControlSocket>,
    /// Where metrics are read.
    pub metrics: Vec<TcpListener>,
    /// By which names, besides this machine's own, they may ask on loopback addresses.
    pub hosts: Vec<String>,
    /// How many of them may be connected.
    pub most: usize,
}

/// Runs the broker until a signal says stop, or until it cannot go on. `log` is what it logs.
pub fn serve(config: &ServeConfig, management: Management, log: ProcessLog) -> Result<(), ServeError> {
    descriptors::raise();
    run(config, management, Some(Arc::new(log)), |broker| {
        // Whoever reads that the startup is complete may send a signal at once.
        let signals = Signals::catch().map_err(ServeError::Start)?;
        let mut broker = broker.start()?;
        let stop = broker.context.stop.clone();
        broker.tasks.spawn(Role::Service, "the task that obeys signals", signals.obey(stop));
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
pub fn start(config: ServeConfig, management: Management) -> Result<RunningBroker, ServeError> {
    let (ready, is_ready) = mpsc::channel();
    let serving = move || {
        run(&config, management, None, |broker| {
            let broker = broker.start()?;
            // The caller waits for it below.
            let _ = ready.send((broker.administrator.clone(), broker.context.stop.clone()));
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

/// Starts a broker by `start` and runs it until it is stopped.
fn run(
    config: &ServeConfig,
    management: Management,
    log: Option<Arc<ProcessLog>>,
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
    let outcome = runtime.block_on(async { start(Plan { config, management, log, shards })?.run().await });
    if outcome.is_err() {
        // Whatever hangs is not waited for.
        runtime.shutdown_background();
    }
    outcome
}

/// A broker that is to be.
struct Plan<'a> {
    config: &'a ServeConfig,
    management: Management,
    /// The log of a process of its own, which serves the management API and metrics where nobody asks for them.
    log: Option<Arc<ProcessLog>>,
    shards: u16,
}

/// A broker that clients can connect to.
struct Broker {
    context: Arc<ServerContext>,
    administrator: Administrator,
    /// Those of clients.
    connections: TaskTracker,
    tasks: Tasks,
    store: StoreThread,
    load: Option<Load>,
    /// Cancelled once clients may be let in.
    ready: CancellationToken,
    /// Says in the log that they are.
    started: Box<dyn FnOnce() + Send>,
}

/// Definitions that are to be loaded first.
struct Load {
    file: PathBuf,
    skip_if_unchanged: bool,
    load: DefinitionsLoader,
}

impl Plan<'_> {
    fn start(self) -> Result<Broker, ServeError> {
        let Plan { config, management: Management { serve: serve_management, load }, log, shards } = self;
        let by_default = log.is_some();
        let managed = by_default || services::is_managed(config, by_default);
        let shares = descriptors::share(descriptors::limit(), config.max_connections, managed)
            .map_err(ServeError::Start)?;
        let directory = config.data_dir.display().to_string();
        let options = StoreOptions {
            salt: random_number(),
            accept_loss: config.accept_loss,
            ..StoreOptions::default()
        };
        let (mut store, recovered) = store::open(&config.data_dir, &options)
            .map_err(|source| ServeError::Open { directory, source })?;
        // The ports are taken before anything is started that would have to be stopped again.
        let listeners = listener::bind(&config.listen)
            .map_err(|(address, source)| ServeError::Listen { address, source })?;
        let management = services::management(config, by_default)?;
        let metrics = services::metrics(config, by_default)?;
        let control = services::control(config, by_default)?;

        let clock = Clock::new();
        let memory_limit = match config.memory_limit {
            Some(0) => UNLIMITED,
            Some(mib) => u64::from(mib) << 20,
            None => memory::default_limit().unwrap_or(UNLIMITED),
        };
        let message_memory = MessageMemory::new(u64::from(config.message_memory) << 20, memory_limit);
        let share =
            usize::try_from(message_memory.bytes()).unwrap_or(usize::MAX) / usize::from(shards).max(1);
        let clean = recovered.clean;
        let layout = ShardLayout { count: shards, memory: share, holding_back: false };
        let owned = owners::restore(clock.now(), &mut store, recovered, layout, random_number())
            .map_err(StoreEnd::Failed)?;
        let requests = Arc::new(ThreadMailbox::new());
        let mailboxes = Arc::new(Mailboxes::new(shards, Arc::clone(&requests)));
        let stop = CancellationToken::new();
        let thresholds = Thresholds::new(u64::from(config.disk_free_limit) << 20, memory_limit);
        let monitor = ResourceMonitor::new(config.data_dir.clone(), Arc::clone(&thresholds), message_memory);
        let store = store_thread::spawn(Box::new(store), requests, Arc::clone(&mailboxes), monitor, clock)
            .map_err(ServeError::Start)?;

        let mut tasks = Tasks::new(stop.clone());
        for shards in in_turn(owned.shards, thread::available_parallelism().map_or(1, usize::from)) {
            let names: Vec<_> = shards.iter().map(|shard| shard.index().to_string()).collect();
            let name = format!("the task of shard {}", names.join(", "));
            tasks.spawn(Role::Shard, name, shard_task::run(shards, Arc::clone(&mailboxes), clock));
        }
        let catalog = catalog_task::run(owned.catalog, Arc::clone(&mailboxes), clock);
        tasks.spawn(Role::Catalog, "the task of the catalog", catalog);

        let send_timeout_ms = u64::from(config.send_timeout) * 1000;
        let limits = SessionLimits { send_timeout_ms, ..SessionLimits::default() };
        let limits = Arc::new(CurrentLimits::new(limits));
        let (view, ports) = (owned.view, owned.ports);
        let listeners = Arc::new(ClientListeners::new(listeners).map_err(ServeError::Start)?);
        let facts = Facts {
            clock,
            started: clock.now(),
            memory: OwnMemory::open(),
            data_dir: config.data_dir.clone(),
            listeners: listeners.addresses(),
            management: addresses(&management).map_err(ServeError::Start)?,
            metrics: addresses(&metrics).map_err(ServeError::Start)?,
            control: control.as_ref().map(|socket| socket.path().to_owned()),
            identity: identity(&config.data_dir),
            most_connections: shares.clients as u64,
        };
        let client_addresses = facts.listeners.clone();
        let begun = WorkBegun::within(memory_limit);
        let administrator = Administrator::new(Reached {
            mailboxes: Arc::clone(&mailboxes),
            view: Arc::clone(&view),
            ports: Arc::clone(&ports),
            thresholds,
            begun: Arc::clone(&begun),
            limits: Arc::clone(&limits),
            listeners: Arc::clone(&listeners),
            log,
            stop: stop.clone(),
            facts,
        });
        let anonymous_user = config.anonymous_user.as_deref().map(Into::into);
        let address = client_addresses[0];
        let context =
            Arc::new(ServerContext { mailboxes, ports, clock, limits, begun, address, anonymous_user, stop });
        let connections = TaskTracker::new();
        let following = clock::follow_wall_clock(clock, view, context.stop.clone());
        tasks.spawn(Role::Service, "the look at the wall clock", following);
        let room = Arc::new(Semaphore::new(shares.clients));
        let ready = CancellationToken::new();
        for (at, address) in client_addresses.iter().enumerate() {
            let (context, connections, room) = (Arc::clone(&context), connections.clone(), Arc::clone(&room));
            let name = format!("the listener on {address}");
            let accepting = listener::accept((Arc::clone(&listeners), at), context, connections, room);
            let ready = ready.clone();
            tasks.spawn(Role::Service, name, async move {
                // Clients that come before wait to be accepted.
                ready.cancelled().await;
                accepting.await;
            });
        }
        if !management.is_empty() || !metrics.is_empty() || control.is_some() {
            for (listeners, what) in [(&management, "the management API is"), (&metrics, "metrics are")] {
                let served_at = addresses(listeners).map_err(ServeError::Start)?;
                if !served_at.is_empty() {
                    info!(address = %listed(&served_at), "{what} served");
                }
            }
            let listeners = ManagementListeners {
                listeners: management,
                control,
                metrics,
                hosts: config.management_host.clone(),
                most: shares.administrators,
            };
            let served = serve_management(listeners, administrator.clone(), context.stop.clone());
            tasks.spawn(Role::Service, "the management API", served);
        }
        let (data, queues) = (config.data_dir.display().to_string(), owned.queues);
        let started = Box::new(move || {
            info!(address = %listed(&client_addresses), data, queues, shards, clean, "Server startup complete");
        });
        let load = config.load_definitions.clone().map(|file| Load {
            file,
            skip_if_unchanged: config.skip_unchanged_definitions,
            load,
        });
        Ok(Broker { context, administrator, connections, tasks, store, load, ready, started })
    }
}

/// The same for a broker with the same data.
fn identity(data_dir: &Path) -> String {
    let (device, number) = fs::metadata(data_dir).map_or((0, 0), |found| (found.dev(), found.ino()));
    format!("leveret-{device:x}-{number:x}")
}

impl Broker {
    /// Serves until it is told to stop, then stops in order. Returns soon where it cannot go on, whatever hangs.
    async fn run(mut self) -> Result<(), ServeError> {
        let mailboxes = Arc::clone(&self.context.mailboxes);
        if let Some(Load { file, skip_if_unchanged, load }) = self.load.take() {
            load(&file, skip_if_unchanged, &self.administrator)
                .await
                .map_err(|why| ServeError::Definitions { file: file.display().to_string(), why })?;
        }
        self.ready.cancel();
        (self.started)();
        tokio::select! {
            // A task that is gone has taken what it owned with it, so nothing is said for it any more.
            in_order = serve_and_stop(&self.context, &mut self.tasks, &self.connections) => in_order?,
            // It has not been told to close yet.
            ended = self.store.ended() => {
                self.context.stop.cancel();
                mailboxes.connections().stop();
                self.connections.close();
                // Clients are told that the broker goes. Nothing else is left to be put in order.
                let _ = timeout(FAREWELL, self.connections.wait()).await;
                return Err(ended.err().unwrap_or(StoreEnd::Untold).into());
            }
        }
        mailboxes.store().post(StoreRequest::Close);
        self.store.ended().await?;
        self.store.join();
        Ok(())
    }
}

/// Deals `items` out to as many hands, or fewer if there are not so many items.
fn in_turn<T>(items: Vec<T>, hands: usize) -> Vec<Vec<T>> {
    let mut dealt: Vec<Vec<T>> = (0..hands.min(items.len())).map(|_| Vec::new()).collect();
    for (number, item) in items.into_iter().enumerate() {
        dealt[number % hands].push(item);
    }
    dealt
}

/// Serves until it is told to stop, then stops clients, catalog and shards. An error where a task ends before its time.
async fn serve_and_stop(
    context: &ServerContext,
    tasks: &mut Tasks,
    connections: &TaskTracker,
) -> Result<(), TaskEnd> {
    tasks.watched(context.stop.cancelled()).await?;
    let mailboxes = &context.mailboxes;
    mailboxes.connections().stop();
    connections.close();
    tasks.watched(connections.wait()).await?;
    tasks.have_ended(Role::Service).await?;

    // Connections have said their last word. What the shards make of it may concern the catalog, and what the
    // catalog makes of that the shards.
    for shard in mailboxes.shards() {
        let (done, worked_off) = oneshot::channel();
        shard.post(ShardInput::Barrier(done));
        let _ = tasks.watched(worked_off).await?;
    }
    tasks.may_end(Role::Catalog);
    mailboxes.catalog().post(CatalogInput::Stop);
    tasks.have_ended(Role::Catalog).await?;
    tasks.may_end(Role::Shard);
    for shard in mailboxes.shards() {
        shard.post(ShardInput::Stop);
    }
    tasks.have_ended(Role::Shard).await
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;
    use std::time::Instant;

    use clap::Parser;

    use super::*;
    use crate::config::{CommandLine, Verb};
    use crate::store::OpenError;

    /// Runs a broker, with which something is done once it serves, until it stops.
    pub(in crate::server) fn served(
        data: &Path,
        act: impl FnOnce(&Arc<ServerContext>, &TaskTracker),
    ) -> Result<(), ServeError> {
        run_in(data, |broker| act(&broker.context, &broker.connections))
    }

    /// Runs a broker to which something is done once it serves. Returns why it ended.
    fn ended(data: &Path, spoil: impl FnOnce(&mut Broker)) -> String {
        let since = Instant::now();
        let outcome = run_in(data, spoil);
        assert!(since.elapsed() < Duration::from_secs(20), "it ends soon: {:?}", since.elapsed());
        outcome.unwrap_err().to_string()
    }

    fn run_in(data: &Path, act: impl FnOnce(&mut Broker)) -> Result<(), ServeError> {
        let data = data.display().to_string();
        let arguments = ["leveret", "serve", "--listen", "127.0.0.1:0", "--shards", "2", "--data-dir", &data];
        let Verb::Serve(config) = CommandLine::parse_from(arguments).verb() else {
            unreachable!("serve is asked")
        };
        run(
            &config,
            Management { serve: |_, _, _| Box::pin(async {}), load: |_, _, _| Box::pin(async { Ok(()) }) },
            None,
            |plan| {
                let mut broker = plan.start()?;
                act(&mut broker);
                Ok(broker)
            },
        )
    }

    #[test]
    fn a_task_that_panics_ends_the_broker_though_others_hang() {
        for role in [Role::Service, Role::Catalog, Role::Shard] {
            let data = tempfile::tempdir().unwrap();
            let why = ended(data.path(), |broker| {
                broker.connections.spawn(async { thread::sleep(Duration::from_secs(60)) });
                broker.tasks.spawn(role, "a task", async { panic!("planted") });
            });
            assert!(why.contains("a task panicked: planted"), "{why}");
            // What it had is given back: the next broker may have it.
            let opened = || store::open(data.path(), &StoreOptions::default());
            let since = Instant::now();
            while let Err(OpenError::Locked) = opened().map(drop) {
                assert!(since.elapsed() < Duration::from_secs(20), "the store's thread ends");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    #[test]
    fn a_task_that_panics_while_the_broker_stops_ends_it_too() {
        let data = tempfile::tempdir().unwrap();
        let why = ended(data.path(), |broker| {
            let stop = broker.context.stop.clone();
            broker.tasks.spawn(Role::Shard, "a task", async move {
                stop.cancelled().await;
                panic!("planted");
            });
            // A connection that has not said its last word.
            broker.connections.spawn(std::future::pending::<()>());
            broker.context.stop.cancel();
        });
        assert!(why.contains("a task panicked: planted"), "{why}");
    }

    #[test]
    fn a_store_that_fails_ends_the_broker_though_clients_hang() {
        let data = tempfile::tempdir().unwrap();
        let why = ended(data.path(), |broker| {
            broker.connections.spawn(std::future::pending::<()>());
            fs::remove_dir_all(data.path()).unwrap();
        });
        let expected = "stopped because the store failed: the data directory was changed from outside";
        assert!(why.starts_with(expected), "{why}");
    }
}
