//! Where everybody's mailbox is: the shards', the catalog's, the store's, and those of the connections that are
//! open now.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tracing::warn;

use super::log_limit::LogLimit;
use super::mailbox::{Mailbox, ThreadMailbox};
use super::owners::{Carrier, CatalogInput, ShardInput, StoreRequest};
use super::unwritten::{Backlog, Unwritten};
use crate::broker::command::CatalogCommand;
use crate::model::consuming::Delivery;
use crate::model::event::{Alarms, SessionEvent};
use crate::model::ids::{ConnectionId, ShardIndex};
use crate::model::sparse::ShrinkIfSparse;

/// Published bytes that may be on their way over all connections, and at the least and the most per connection.
const IN_FLIGHT: usize = 128 << 20;
const LEAST_PER_CONNECTION: usize = 128 << 10;
const MOST_PER_CONNECTION: usize = 8 << 20;

/// What others have for a connection, and how much of all that it has still to send.
pub(crate) struct Inbox {
    pub(crate) mailbox: Mailbox<SessionEvent>,
    pub(crate) backlog: Backlog,
}

/// A client that does not read may be sent direct replies without end.
static DROPPED_REPLIES: LogLimit = LogLimit::new(5);

pub(crate) struct Hub {
    shards: Vec<Mailbox<ShardInput>>,
    catalog: Mailbox<CatalogInput>,
    store: Arc<ThreadMailbox<StoreRequest>>,
    connections: RwLock<HashMap<ConnectionId, Arc<Inbox>, foldhash::fast::FixedState>>,
    open: AtomicUsize,
    unwritten: Arc<Unwritten>,
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
            unwritten: Arc::default(),
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

    /// Gives a new connection its id and where it hears of others.
    pub(crate) fn register(&self) -> (ConnectionId, Arc<Inbox>) {
        let id = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let backlog = Backlog::new(Arc::clone(&self.unwritten));
        let inbox = Arc::new(Inbox { mailbox: Mailbox::new(), backlog });
        self.connections.write().insert(id, Arc::clone(&inbox));
        // After it is known: then it hears of every alarm from now on, and of those before by this.
        let alarms = self.alarms.lock();
        if alarms.reason().is_some() {
            inbox.mailbox.post(SessionEvent::Alarm(*alarms));
        }
        drop(alarms);
        self.open.fetch_add(1, Ordering::Relaxed);
        (id, inbox)
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
        for inbox in self.connections.read().values() {
            inbox.mailbox.post(SessionEvent::Alarm(alarms));
        }
        self.catalog.post(CatalogInput::Command(CatalogCommand::Alarms(alarms)));
    }

    /// Tells the shards how many bytes of memory the messages of all queues may take.
    pub(crate) fn set_message_memory(&self, bytes: u64) {
        let each = usize::try_from(bytes).unwrap_or(usize::MAX) / self.shards.len().max(1);
        for shard in &self.shards {
            shard.post(ShardInput::MemoryBudget(each));
        }
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
            let inbox = self.connections.read().get(&connection).cloned();
            let rest = std::iter::from_fn(|| {
                events.next_if(|(next, _)| *next == connection).map(|(_, event)| event)
            });
            let run = std::iter::once(first).chain(rest);
            match inbox {
                Some(inbox) => inbox.mailbox.post_all(run),
                None => run.for_each(drop),
            }
        }
    }

    /// Sends direct replies to those who read. What is for a client that has too much waiting is dropped, as it would be
    /// had the client gone: it may not hold up whoever replies to it and to others.
    fn send_replies(&self, replies: &mut Vec<(ConnectionId, Delivery)>) {
        for (connection, reply) in replies.drain(..) {
            let Some(inbox) = self.connections.read().get(&connection).cloned() else { continue };
            if inbox.backlog.admits_reply(reply.message.footprint()) {
                inbox.mailbox.post(SessionEvent::Deliver(reply));
            } else if let Some(kept_back) = DROPPED_REPLIES.permit() {
                warn!(
                    connection = connection.0,
                    kept_back,
                    "a direct reply is dropped: too much waits for its client, which does not read"
                );
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

    fn reply_directly(&mut self, replies: &mut Vec<(ConnectionId, Delivery)>) {
        self.send_replies(replies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::holdings::Holdings;

    impl Hub {
        /// What it holds, but for what waits for the store.
        fn holdings(&self, into: &mut Holdings) {
            let Hub {
                shards,
                catalog,
                store: _,
                connections,
                open,
                unwritten,
                alarms: _,
                next_connection: _,
            } = self;
            shards.iter().for_each(|shard| into.in_transit("hub: to a shard", &shard.size()));
            into.in_transit("hub: to the catalog", &catalog.size());
            let connections = connections.read();
            into.in_use("hub: connections", &*connections);
            for inbox in connections.values() {
                into.in_transit("hub: to a connection", &inbox.mailbox.size());
            }
            into.in_use("hub: open connections", &open.load(Ordering::Relaxed));
            into.in_use("hub: bytes that wait for clients", &unwritten.bytes());
        }
    }

    #[test]
    fn nothing_is_held_of_connections_that_have_gone() {
        let hub = Hub::new(2, Arc::new(ThreadMailbox::new()));
        let connections: Vec<_> = (0..100_000).map(|_| hub.register()).collect();
        for (id, inbox) in &connections {
            inbox.backlog.set_output(1000);
            hub.send(&mut vec![(*id, SessionEvent::Alarm(Alarms::default()))]);
        }
        assert!(hub.in_flight_limit() < MOST_PER_CONNECTION && hub.unwritten.bytes() == 100_000_000);
        for (id, inbox) in connections {
            hub.unregister(id);
            drop(inbox);
            hub.send(&mut vec![(id, SessionEvent::Alarm(Alarms::default()))]);
        }
        let mut holdings = Holdings::default();
        hub.holdings(&mut holdings);
        let left: Vec<_> = holdings.iter().filter(|held| held.len > 0 || held.capacity > 100_000).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(hub.in_flight_limit(), MOST_PER_CONNECTION);
    }
}
