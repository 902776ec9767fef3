//! A whole broker in one thread: catalog, shards, store and connections, joined as the server joins them, each of them
//! doing one thing when the scheduler says so. Who acts next is not decided here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use leveret::broker::catalog::{Catalog, CatalogEffects};
use leveret::broker::command::Origin;
use leveret::broker::shard::{Shard, ShardEffects};
use leveret::broker::view::View;
use leveret::model::event::SessionEvent;
use leveret::model::ids::{ConnectionId, QueueId, ShardIndex, Timestamp};
use leveret::model::op::RecoveredQueue;
use leveret::session::SessionLimits;
use leveret::store::{MemoryStore, Store};

use crate::connection::ServerConnection;
use crate::post::{CatalogInput, Outbox, Post, ShardInput, StoreRequest};
use crate::random::Random;
use crate::store::StoreActor;

/// How this seed's broker is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) shards: u16,
    /// Bytes of ready messages each shard keeps in memory.
    pub(crate) memory: usize,
    /// The most turns a commit takes.
    pub(crate) store_slowness: usize,
}

/// Who may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Actor {
    Catalog,
    Shard(usize),
    Store,
    Connection(ConnectionId),
}

struct CatalogActor {
    catalog: Catalog,
    mailbox: VecDeque<CatalogInput>,
    outbox: Outbox,
    /// Answers that wait for the records of a turn.
    held: VecDeque<(u64, Vec<(ConnectionId, SessionEvent)>)>,
    sequence: u64,
}

struct ShardActor {
    index: ShardIndex,
    shard: Shard,
    mailbox: VecDeque<ShardInput>,
    outbox: Outbox,
    first_turn: bool,
}

pub(crate) struct Broker {
    layout: Layout,
    view: Arc<View>,
    catalog: CatalogActor,
    shards: Vec<ShardActor>,
    store: StoreActor,
    pub(crate) connections: BTreeMap<ConnectionId, ServerConnection>,
    next_connection: u64,
    limits: Arc<SessionLimits>,
}

impl Broker {
    /// Starts on what is on the disk, as `server/run.rs` does. `clean`: it was closed in order.
    pub(crate) fn start(
        disk: MemoryStore,
        clean: bool,
        layout: Layout,
        now: Timestamp,
        random: &mut Random,
    ) -> Broker {
        let (mut disk, recovered) = disk.restarted(clean);
        let view = View::new();
        let mut found = CatalogEffects::default();
        let seed = random.next();
        let catalog = Catalog::new(Arc::clone(&view), layout.shards, seed, recovered.catalog, &mut found);
        assert!(catalog.bad_records().is_empty(), "bad records: {:?}", catalog.bad_records());
        disk.commit(vec![], std::mem::take(&mut found.ops)).expect("memory does not fail");
        let mut shards: Vec<Shard> = (0..layout.shards)
            .map(|index| Shard::new(ShardIndex(index), Arc::clone(&view), layout.memory))
            .collect();
        restore_queues(&catalog, recovered.queues, &mut shards, now);
        let mailboxes = |(index, shard)| ShardActor {
            index,
            shard,
            mailbox: VecDeque::new(),
            outbox: Outbox::new(),
            first_turn: true,
        };
        Broker {
            layout,
            view,
            catalog: CatalogActor {
                catalog,
                mailbox: VecDeque::new(),
                outbox: Outbox::new(),
                held: VecDeque::new(),
                sequence: 0,
            },
            shards: (0..).map(ShardIndex).zip(shards).map(mailboxes).collect(),
            store: StoreActor::new(disk, layout.store_slowness),
            connections: BTreeMap::new(),
            next_connection: 1,
            limits: Arc::new(SessionLimits { handshake_timeout_ms: u64::MAX, ..SessionLimits::default() }),
        }
    }

    /// Everything stops at once; what is on the disk remains.
    pub(crate) fn crash(self, random: &mut Random) -> MemoryStore {
        self.store.crash(random)
    }

    pub(crate) fn connect(&mut self, now: Timestamp, random: &mut Random) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let (view, limits) = (Arc::clone(&self.view), Arc::clone(&self.limits));
        let connection = ServerConnection::new(now, id, self.layout.shards, view, limits, random);
        self.connections.insert(id, connection);
        id
    }

    /// Everybody who has something to do now.
    pub(crate) fn runnable(&mut self, now: Timestamp) -> Vec<Actor> {
        self.connections.retain(|_, connection| {
            !(connection.over && connection.client_gone.is_some() && connection.outbox.is_empty())
        });
        let mut actors = Vec::new();
        if !self.catalog.outbox.is_empty() || !self.catalog.mailbox.is_empty() {
            actors.push(Actor::Catalog);
        }
        for (index, actor) in self.shards.iter().enumerate() {
            let due = actor.shard.next_deadline().is_some_and(|deadline| deadline <= now);
            if actor.first_turn || due || !actor.outbox.is_empty() || !actor.mailbox.is_empty() {
                actors.push(Actor::Shard(index));
            }
        }
        if !self.store.outbox.is_empty() || self.store.can_work(now) {
            actors.push(Actor::Store);
        }
        for (&id, connection) in &mut self.connections {
            if !connection.outbox.is_empty() || connection.can_work(now) {
                actors.push(Actor::Connection(id));
            }
        }
        actors
    }

    /// When somebody has something to do again, if nothing happens.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let shards = self.shards.iter().filter_map(|actor| actor.shard.next_deadline());
        let connections = self.connections.values().filter_map(ServerConnection::deadline);
        let soon = |deadline: &Timestamp| deadline.0 < u64::MAX;
        shards.chain(connections).chain(self.store.deadline()).filter(soon).min()
    }

    /// Nothing is on its way to or in the store.
    pub(crate) fn store_is_idle(&self) -> bool {
        self.store.is_idle()
    }

    /// Lets one of the runnable act: post what it has to, else take what has arrived and work it off.
    pub(crate) fn act(&mut self, actor: Actor, now: Timestamp, random: &mut Random) {
        let outbox = match actor {
            Actor::Catalog => &mut self.catalog.outbox,
            Actor::Shard(index) => &mut self.shards[index].outbox,
            Actor::Store => &mut self.store.outbox,
            Actor::Connection(id) => match self.connections.get_mut(&id) {
                Some(connection) => &mut connection.outbox,
                None => return,
            },
        };
        if !outbox.is_empty() {
            let count = random.pick(&[1, 2, 100]).min(outbox.len());
            let posts: Vec<Post> = outbox.drain(..count).collect();
            posts.into_iter().for_each(|post| self.deliver(post));
            return;
        }
        match actor {
            Actor::Catalog => self.catalog.turn(now),
            Actor::Shard(index) => self.shards[index].turn(now),
            Actor::Store => self.store.turn(now, random),
            Actor::Connection(id) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.turn(now, random);
                }
            }
        }
    }

    /// Puts a post into its mailbox. What is for a connection that has gone is dropped.
    fn deliver(&mut self, post: Post) {
        match post {
            Post::Shard(index, input) => self.shards[usize::from(index.0)].mailbox.push_back(input),
            Post::Catalog(input) => self.catalog.mailbox.push_back(input),
            Post::Store(request) => self.store.mailbox.push_back(request),
            Post::Connection(id, event) => {
                if let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.over)
                {
                    connection.mailbox.push_back(event);
                }
            }
        }
    }
}

impl CatalogActor {
    fn turn(&mut self, now: Timestamp) {
        let mut effects = CatalogEffects::default();
        while let Some(input) = self.mailbox.pop_front() {
            match input {
                CatalogInput::Command(command) => self.catalog.handle(now, command, &mut effects),
                CatalogInput::Durable(sequence) => {
                    while self.held.front().is_some_and(|(held, _)| *held <= sequence) {
                        let (_, answers) = self.held.pop_front().unwrap_or_default();
                        self.outbox
                            .extend(answers.into_iter().map(|(id, event)| Post::Connection(id, event)));
                    }
                }
            }
        }
        if effects.ops.is_empty() {
            let answers = effects.to_connections.into_iter();
            self.outbox.extend(answers.map(|(id, event)| Post::Connection(id, event)));
        } else {
            self.sequence += 1;
            let request = StoreRequest::Catalog { sequence: self.sequence, ops: effects.ops };
            self.outbox.push_back(Post::Store(request));
            self.held.push_back((self.sequence, effects.to_connections));
        }
        for (shard, command) in effects.to_shards {
            let input = ShardInput::Commands(Origin::Catalog, vec![command]);
            self.outbox.push_back(Post::Shard(shard, input));
        }
    }
}

impl ShardActor {
    fn turn(&mut self, now: Timestamp) {
        let worked = std::mem::take(&mut self.first_turn) || !self.mailbox.is_empty();
        while let Some(input) = self.mailbox.pop_front() {
            match input {
                ShardInput::Commands(origin, commands) => {
                    commands.into_iter().for_each(|command| self.shard.handle(now, origin, command));
                }
                ShardInput::Durable(sequence) => self.shard.durable(now, sequence),
                ShardInput::Loaded(fetched) => self.shard.loaded(now, fetched),
                ShardInput::Drained(connection, bytes) => self.shard.drained(connection, bytes),
                ShardInput::ConnectionGone(connection) => self.shard.connection_gone(now, connection),
            }
        }
        let due = self.shard.next_deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.shard.tick(now);
        }
        if worked || due {
            let mut effects = ShardEffects::default();
            self.shard.finish_turn(now, &mut effects);
            self.dispatch(effects);
        }
    }

    /// In the server's order: the store comes first.
    fn dispatch(&mut self, effects: ShardEffects) {
        let shard = self.index;
        if !effects.ops.is_empty() || effects.must_sync {
            let ShardEffects { sequence, ops, must_sync, .. } = effects;
            self.outbox.push_back(Post::Store(StoreRequest::Ops { shard, sequence, ops, must_sync }));
        }
        let fetches = effects.fetches.into_iter();
        self.outbox.extend(fetches.map(|fetch| Post::Store(StoreRequest::Fetch { shard, fetch })));
        let events = effects.to_connections.into_iter();
        self.outbox.extend(events.map(|(id, event)| Post::Connection(id, event)));
        for (target, command) in effects.to_shards {
            let input = ShardInput::Commands(Origin::Shard(shard), vec![command]);
            self.outbox.push_back(Post::Shard(target, input));
        }
        let commands = effects.to_catalog.into_iter();
        self.outbox.extend(commands.map(|command| Post::Catalog(CatalogInput::Command(command))));
    }
}

/// Gives every shard its queues with what the store found of them.
fn restore_queues(catalog: &Catalog, found: Vec<RecoveredQueue>, shards: &mut [Shard], now: Timestamp) {
    let queues = catalog.recovered_queues();
    let mut messages: Vec<Vec<RecoveredQueue>> = queues.iter().map(|_| Vec::new()).collect();
    let of_shard = |(shard, queues): (usize, &Vec<_>)| -> Vec<(QueueId, usize)> {
        queues.iter().map(|queue: &leveret::broker::catalog::CatalogQueue| (queue.queue, shard)).collect()
    };
    let owner: HashMap<QueueId, usize> = queues.iter().enumerate().flat_map(of_shard).collect();
    for recovered in found {
        let shard = owner.get(&recovered.queue).copied().unwrap_or(0);
        messages[shard].push(recovered);
    }
    for (shard, (queues, messages)) in shards.iter_mut().zip(queues.into_iter().zip(messages)) {
        shard.recover(now, queues, messages);
    }
}
