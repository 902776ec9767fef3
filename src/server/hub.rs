//! Where everybody's mailbox is: the shards', the catalog's, the store's, and those of the connections that are
//! open now.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::mailbox::{Mailbox, ThreadMailbox};
use super::owners::{Carrier, CatalogInput, ShardInput, StoreRequest};
use crate::broker::command::CatalogCommand;
use crate::model::event::{Alarms, SessionEvent};
use crate::model::ids::{ConnectionId, ShardIndex};
use crate::model::sparse::ShrinkIfSparse;

/// Published bytes that may be on their way over all connections, and at the least and the most per connection.
const IN_FLIGHT: usize = 128 << 20;
const LEAST_PER_CONNECTION: usize = 128 << 10;
const MOST_PER_CONNECTION: usize = 8 << 20;

pub(crate) type ConnectionMailbox = Arc<Mailbox<SessionEvent>>;

pub(crate) struct Hub {
    shards: Vec<Mailbox<ShardInput>>,
    catalog: Mailbox<CatalogInput>,
    store: Arc<ThreadMailbox<StoreRequest>>,
    connections: RwLock<HashMap<ConnectionId, ConnectionMailbox, foldhash::fast::FixedState>>,
    open: AtomicUsize,
    alarms: Mutex<Alarms>,
    next_connection: AtomicU64,
}

impl Hub {
    pub(crate) fn new(shards: u16, store: Arc<ThreadMailbox<StoreRequest>>) -> Hub {
        Hub {
            shards: (0..shards).map(|_| Mailbox::new()).collect(),
            catalog: Mailbox::new(),
            store,
            connections: RwLock::default(),
            open: AtomicUsize::new(0),
            alarms: Mutex::default(),
            next_connection: AtomicU64::new(1),
        }
    }

    pub(crate) fn shard_count(&self) -> u16 {
        u16::try_from(self.shards.len()).unwrap_or(u16::MAX)
    }

    /// The mailbox of a shard. Indices come from the catalog, which knows how many there are.
    pub(crate) fn shard(&self, index: ShardIndex) -> &Mailbox<ShardInput> {
        &self.shards[usize::from(index.0)]
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = (ShardIndex, &Mailbox<ShardInput>)> {
        (0..self.shard_count()).map(ShardIndex).zip(&self.shards)
    }

    pub(crate) fn catalog(&self) -> &Mailbox<CatalogInput> {
        &self.catalog
    }

    pub(crate) fn store(&self) -> &ThreadMailbox<StoreRequest> {
        &self.store
    }

    /// Gives a new connection its id and its mailbox.
    pub(crate) fn register(&self) -> (ConnectionId, ConnectionMailbox) {
        let id = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let mailbox = Arc::new(Mailbox::new());
        self.connections.write().insert(id, Arc::clone(&mailbox));
        // After it is known: then it hears of every alarm from now on, and of those before by this.
        let alarms = self.alarms.lock();
        if alarms.reason().is_some() {
            mailbox.post(SessionEvent::Alarm(*alarms));
        }
        drop(alarms);
        self.open.fetch_add(1, Ordering::Relaxed);
        (id, mailbox)
    }

    pub(crate) fn unregister(&self, id: ConnectionId) {
        let mut connections = self.connections.write();
        if connections.remove(&id).is_some() {
            connections.shrink_if_sparse();
            drop(connections);
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Tells all connections, and who is bound for it, what the broker runs short of.
    pub(crate) fn set_alarms(&self, alarms: Alarms) {
        let mut known = self.alarms.lock();
        *known = alarms;
        // Under the lock, so that nobody hears of an older alarm last.
        for mailbox in self.connections.read().values() {
            mailbox.post(SessionEvent::Alarm(alarms));
        }
        self.catalog.post(CatalogInput::Command(CatalogCommand::Alarms(alarms)));
    }

    /// How much one connection may have in flight, by how many share the whole.
    pub(crate) fn in_flight_limit(&self) -> usize {
        let share = IN_FLIGHT / self.open.load(Ordering::Relaxed).max(1);
        share.clamp(LEAST_PER_CONNECTION, MOST_PER_CONNECTION)
    }

    /// Sends events to their connections, in order per connection. Events for one that is gone are dropped: its
    /// consumers have been or will be detached, which requeues what they were sent.
    pub(crate) fn send(&self, events: &mut Vec<(ConnectionId, SessionEvent)>) {
        let mut events = events.drain(..).peekable();
        while let Some((connection, first)) = events.next() {
            let mailbox = self.connections.read().get(&connection).cloned();
            let rest = std::iter::from_fn(|| {
                events.next_if(|(next, _)| *next == connection).map(|(_, event)| event)
            });
            let run = std::iter::once(first).chain(rest);
            match mailbox {
                Some(mailbox) => mailbox.post_all(run),
                None => run.for_each(drop),
            }
        }
    }
}

impl Carrier for &Hub {
    fn tell_shard(&mut self, shard: ShardIndex, input: ShardInput) {
        self.shard(shard).post(input);
    }

    fn tell_catalog(&mut self, inputs: impl Iterator<Item = CatalogInput>) {
        self.catalog.post_all(inputs);
    }

    fn ask_store(&mut self, request: StoreRequest) {
        self.store.post(request);
    }

    fn tell_connections(&mut self, events: &mut Vec<(ConnectionId, SessionEvent)>) {
        self.send(events);
    }
}
