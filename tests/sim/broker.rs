//! A whole broker in one thread: catalog, shards, store and connections, each of them doing one thing when the scheduler
//! says so. What an owner does in its turn is `leveret::server::owners`, as in the server; who acts next is not decided
//! here.

use std::collections::BTreeMap;
use std::sync::Arc;

use leveret::model::command::{Origin, ShardCommand};
use leveret::model::holdings::Holdings;
use leveret::model::ids::{ConnectionId, QueueId, Timestamp};
use leveret::model::question::{Answer, Question};
use leveret::port::SharedByPorts;
use leveret::server::owners::{self, Asker, CatalogInput, CatalogOwner, ShardInput, ShardLayout, ShardOwner};
use leveret::session::SessionLimits;
use leveret::shard::credit_bytes;
use tokio::sync::oneshot;

use crate::connection::ServerConnection;
use crate::fault::FaultInjector;
use crate::model::Violation;
use crate::post::{Outbox, Post};
use crate::random::Random;
use crate::store::{Disk, Failure, Medium, StoreActor};
use crate::undurable::Undurable;

/// How this seed's broker is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) shards: u16,
    /// Bytes of ready messages each shard keeps in memory.
    pub(crate) memory: usize,
    /// The most turns the store takes for what it was asked.
    pub(crate) store_slowness: usize,
    /// Nothing is to be delivered before it is durable.
    pub(crate) holding_back: bool,
    /// But it is.
    pub(crate) hurried: bool,
}

/// A shard is asked about so many queues, whether they are there or not, in every so many of its turns.
const ASKED: u64 = 600;
const ASKED_EVERY: usize = 16;

/// Messages that one shard may have sent to another one that has not taken them in.
const MOST_SENT: usize = 4096;

/// Who may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Actor {
    Catalog,
    Shard(usize),
    Store,
    Connection(ConnectionId),
}

struct CatalogActor {
    owner: CatalogOwner,
    mailbox: Vec<CatalogInput>,
    outbox: Outbox,
}

struct ShardActor {
    owner: ShardOwner,
    mailbox: Vec<ShardInput>,
    outbox: Outbox,
}

pub(crate) struct Broker {
    layout: Layout,
    ports: Arc<SharedByPorts>,
    catalog: CatalogActor,
    shards: Vec<ShardActor>,
    store: StoreActor,
    pub(crate) connections: BTreeMap<ConnectionId, ServerConnection>,
    next_connection: u64,
    shard_turns: usize,
    /// What is not durable yet.
    undurable: Undurable,
    /// Answers that are to come.
    asked: Vec<oneshot::Receiver<Answer>>,
    limits: Arc<SessionLimits>,
}

impl Broker {
    /// Starts on what is on the disk. `clean`: it was closed in order.
    pub(crate) fn start(
        medium: Medium,
        clean: bool,
        layout: Layout,
        now: Timestamp,
        random: &mut Random,
    ) -> Broker {
        let (mut disk, recovered) = Disk::open(medium, clean, random);
        let seed = random.next();
        let shards = ShardLayout {
            count: layout.shards,
            memory: layout.memory,
            holding_back: layout.holding_back && !layout.hurried,
        };
        let owned =
            owners::restore(now, &mut disk, recovered, shards, seed).expect("this disk does not fail yet");
        assert_eq!(owned.catalog.bad_records(), 0, "records of the catalog are bad");
        assert!(owned.damage.is_empty(), "{:?}", owned.damage);
        let shard = |owner| ShardActor { owner, mailbox: Vec::new(), outbox: Outbox::default() };
        Broker {
            layout,
            ports: owned.ports,
            catalog: CatalogActor { owner: owned.catalog, mailbox: Vec::new(), outbox: Outbox::default() },
            shards: owned.shards.into_iter().map(shard).collect(),
            store: StoreActor::new(disk, layout.store_slowness),
            connections: BTreeMap::new(),
            next_connection: 1,
            shard_turns: 0,
            undurable: Undurable::default(),
            asked: Vec::new(),
            limits: Arc::new(SessionLimits { handshake_timeout_ms: u64::MAX, ..SessionLimits::default() }),
        }
    }

    /// What everybody holds.
    pub(crate) fn holdings(&self) -> Holdings {
        let mut all = Holdings::default();
        self.catalog.owner.holdings(&mut all);
        self.ports.holdings(&mut all);
        self.shards.iter().for_each(|shard| shard.owner.holdings(&mut all));
        self.store.holdings(&mut all);
        self.connections.values().for_each(|connection| connection.holdings(&mut all));
        all
    }

    /// Everything stops at once; what is on the disk remains.
    pub(crate) fn crash(self, now: Timestamp, random: &mut Random) -> Medium {
        self.store.crash(now, random)
    }

    /// It is at rest and stops in order; what is on the disk remains.
    pub(crate) fn close(self) -> Medium {
        self.store.close()
    }

    /// How often the store has worked something off.
    pub(crate) fn commits(&self) -> u64 {
        self.store.commits
    }

    /// The disk will fail.
    pub(crate) fn fail_store(&self, failure: Failure) {
        self.store.fail(failure);
    }

    /// The store has failed: nothing more may be confirmed, and the broker stops.
    pub(crate) fn has_failed(&self) -> bool {
        self.store.failed
    }

    /// Tells all clients that it stops.
    pub(crate) fn shut_down(&mut self) {
        self.connections.values_mut().for_each(ServerConnection::shut_down);
    }

    pub(crate) fn connect(&mut self, now: Timestamp, random: &mut Random) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let (ports, limits) = (Arc::clone(&self.ports), Arc::clone(&self.limits));
        let connection = ServerConnection::new(now, id, self.layout.shards, ports, limits, random);
        self.connections.insert(id, connection);
        id
    }

    /// Everybody who has something to do now.
    pub(crate) fn runnable(&mut self, now: Timestamp) -> Vec<Actor> {
        self.connections.retain(|_, connection| {
            !(connection.over && connection.client_gone.is_some() && connection.outbox.0.is_empty())
        });
        let mut actors = Vec::new();
        let catalog = &self.catalog;
        if !catalog.outbox.0.is_empty() || !catalog.mailbox.is_empty() || catalog.owner.has_work() {
            actors.push(Actor::Catalog);
        }
        for (index, actor) in self.shards.iter().enumerate() {
            let due = actor.owner.next_deadline().is_some_and(|deadline| deadline <= now);
            if due || !actor.outbox.0.is_empty() || !actor.mailbox.is_empty() {
                actors.push(Actor::Shard(index));
            }
        }
        if !self.store.outbox.0.is_empty() || self.store.can_work(now) {
            actors.push(Actor::Store);
        }
        for (&id, connection) in &mut self.connections {
            if !connection.outbox.0.is_empty() || connection.can_work(now) {
                actors.push(Actor::Connection(id));
            }
        }
        actors
    }

    /// When somebody has something to do again, if nothing happens.
    pub(crate) fn next_deadline(&mut self) -> Option<Timestamp> {
        let shards = self.shards.iter().filter_map(|actor| actor.owner.next_deadline());
        let connections = self.connections.values_mut().filter_map(ServerConnection::deadline);
        let soon = |deadline: &Timestamp| deadline.0 < u64::MAX;
        shards.chain(connections).chain(self.store.deadline()).filter(soon).min()
    }

    /// How many questions have no answer, or one that does not speak of all that was asked. The others are forgotten.
    pub(crate) fn unanswered(&mut self) -> usize {
        self.asked.retain_mut(|answered| match answered.try_recv() {
            Ok(Answer::Counts(counts)) => counts.len() as u64 != ASKED,
            Ok(_) | Err(_) => true,
        });
        self.asked.len()
    }

    /// What a shard has sent to each of the others, and what that has not taken in, is within its credit: all of it but the
    /// last message, which may be as large as it likes.
    pub(crate) fn check_sent(&self, from: usize) -> Result<(), Violation> {
        let most = credit_bytes(self.layout.memory);
        let own = self.shards[from].outbox.0.iter().filter_map(|post| match post {
            Post::Shard(to, input) => Some((to.number(), input)),
            _ => None,
        });
        let own: Vec<_> = own.collect();
        for (to, shard) in self.shards.iter().enumerate() {
            let leaving = own.iter().filter(|(index, _)| *index == to).map(|(_, input)| *input);
            let mut sent: Vec<usize> = shard.mailbox.iter().chain(leaving).flat_map(sent_by(from)).collect();
            let (messages, last) = (sent.len(), sent.pop().unwrap_or(0));
            let bytes: usize = sent.iter().sum();
            if messages > MOST_SENT || (messages > 1 && bytes >= most) {
                return Err(format!(
                    "{messages} messages of {bytes} and {last} bytes are on their way to shard {to}, which may have {most}"
                ));
            }
        }
        Ok(())
    }

    /// Nothing is on its way to or in the store.
    pub(crate) fn store_is_idle(&self) -> bool {
        self.store.is_idle()
    }

    /// Lets one of the runnable act: post what it has to, else take what has arrived and work it off.
    pub(crate) fn act(
        &mut self,
        actor: Actor,
        now: Timestamp,
        random: &mut Random,
        fault_injector: &mut FaultInjector,
    ) -> Result<(), Violation> {
        let outbox = match actor {
            Actor::Catalog => &mut self.catalog.outbox.0,
            Actor::Shard(index) => &mut self.shards[index].outbox.0,
            Actor::Store => &mut self.store.outbox.0,
            Actor::Connection(id) => match self.connections.get_mut(&id) {
                Some(connection) => &mut connection.outbox.0,
                None => return Ok(()),
            },
        };
        if !outbox.is_empty() {
            let count = random.pick(&[1, 2, 100]).min(outbox.len());
            let posts: Vec<Post> = outbox.drain(..count).collect();
            let posts = posts.into_iter().flat_map(|post| fault_injector.inject(post));
            return posts.collect::<Vec<_>>().into_iter().try_for_each(|post| self.deliver(post));
        }
        match actor {
            Actor::Catalog => {
                let CatalogActor { owner, mailbox, outbox } = &mut self.catalog;
                owner.turn(now, mailbox, outbox);
            }
            Actor::Shard(index) => {
                let ShardActor { owner, mailbox, outbox } = &mut self.shards[index];
                self.shard_turns += 1;
                if self.shard_turns.is_multiple_of(ASKED_EVERY) {
                    let (answer, answered) = oneshot::channel();
                    let question = Question::Counts { queues: (0..ASKED).map(QueueId).collect() };
                    mailbox.push(ShardInput::Ask { question, asker: Asker { answer, place: None } });
                    self.asked.push(answered);
                }
                owner.turn(fault_injector.time(now), mailbox, outbox);
            }
            Actor::Store => self.store.turn(now, random),
            Actor::Connection(id) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.turn(now, random);
                }
            }
        }
        Ok(())
    }

    /// Puts a post into its mailbox. What is for a connection that has gone is dropped.
    fn deliver(&mut self, post: Post) -> Result<(), Violation> {
        if self.layout.holding_back {
            self.undurable.note(&post)?;
        }
        match post {
            Post::Shard(index, input) => self.shards[index.number()].mailbox.push(input),
            Post::Catalog(input) => self.catalog.mailbox.push(input),
            Post::Store(request) => self.store.mailbox.push(request),
            Post::Connection(id, event) => {
                if let Some(connection) = self.connections.get_mut(&id).filter(|connection| !connection.over)
                {
                    connection.mailbox.push(event);
                }
            }
        }
        Ok(())
    }
}

/// The footprints of the messages that a shard was sent by this one, in order.
fn sent_by(from: usize) -> impl Fn(&ShardInput) -> Vec<usize> {
    move |input| {
        let ShardInput::Commands { origin: Origin::Shard(sender), commands, .. } = input else {
            return Vec::new();
        };
        let commands = commands.iter().filter(|_| sender.number() == from);
        let messages = commands.filter_map(|command| match command {
            ShardCommand::DeadLetter { message, .. } | ShardCommand::Remember { message, .. } => {
                Some(message)
            }
            _ => None,
        });
        messages.map(|message| message.footprint()).collect()
    }
}
