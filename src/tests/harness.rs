//! A whole broker in one thread: catalog, shards and ports, carried by a loop instead of a server, on a store that is
//! a map. Durability comes at once, or is held back until a test lets it go.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::builders::declare_queue;
use super::stored::{self, Stored, messages_of, recovered};
use crate::catalog::view::View;
use crate::catalog::{Catalog, CatalogEffects, Outcome};
use crate::model::administration::{
    AdministrationError, Applied, Change, Password, PermissionSpec, UserSpec,
};
use crate::model::command::{CatalogCommand, Origin, ShardCommand};
use crate::model::consuming::{ConsumeOptions, Delivery, Settlement};
use crate::model::event::{ConfirmToken, SessionEvent};
use crate::model::fault::Fault;
use crate::model::ids::{
    ConnectionId, ConsumerNumber, NodeNumber, PositionRange, QueueId, ShardIndex, Timestamp,
};
use crate::model::message::Message;
use crate::model::names::Seed;
use crate::model::op::{CatalogOp, Op};
use crate::model::peer::Introduction;
use crate::model::port::{BrokerPort, Progress, RoutedPublish};
use crate::model::request::{Reply, Request};
use crate::port::{Port, SharedByPorts};
use crate::shard::{Shard, ShardEffects};

pub(super) struct Broker {
    pub(super) now: Timestamp,
    pub(super) view: Arc<View>,
    pub(super) shared: Arc<SharedByPorts>,
    pub(super) catalog: Catalog,
    pub(super) shards: Vec<Shard>,
    pub(super) records: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) stored: Stored,
    /// Queues that were found stored and that the catalog does not know, with how many messages.
    pub(super) apart: Vec<(QueueId, u64)>,
    /// Every operation of a shard, in order.
    pub(super) ops: Vec<Op>,
    /// How many fetches the store has answered.
    pub(super) fetched: usize,
    /// Batches are not durable until [`Broker::let_go`].
    pub(super) held: bool,
    /// Commands to shards, or to the catalog, are not carried out (but kept) while this is set.
    pub(super) shards_stand: bool,
    /// The same of one shard alone.
    pub(super) shard_stands: Option<usize>,
    pub(super) catalog_stands: bool,
    /// What shards have said to questions.
    pub(super) answers: Vec<crate::model::question::Answer>,
    /// The most that a turn of a shard, or a step of the catalog, has led to.
    pub(super) longest_turn: usize,
    /// What became of the last change that took several steps.
    finished: Option<Applied>,
    ports: BTreeMap<u64, Port>,
    events: BTreeMap<u64, Vec<SessionEvent>>,
    catalog_inbox: VecDeque<CatalogCommand>,
    shard_inboxes: Vec<VecDeque<(Origin, ShardCommand)>>,
    batches: Vec<(usize, u64)>,
}

pub(super) const SHARDS: u16 = 2;

impl Broker {
    pub(super) fn new() -> Broker {
        Broker::start(BTreeMap::new(), Stored::new(), 64 << 20)
    }

    pub(super) fn with_memory(memory: usize) -> Broker {
        Broker::start(BTreeMap::new(), Stored::new(), memory)
    }

    /// The broker after a crash: only what was recorded and durable is left.
    pub(super) fn restarted(self) -> Broker {
        let mut stored = self.stored;
        stored.retain(|_, (_, _, durable)| *durable);
        Broker::start(self.records, stored, 64 << 20)
    }

    fn start(records: BTreeMap<Vec<u8>, Vec<u8>>, stored: Stored, memory: usize) -> Broker {
        let (view, now) = (View::new(), Timestamp(1_000_000));
        let mut fx = CatalogEffects::default();
        let mut catalog = Catalog::new(view.clone(), SHARDS, 1, records.clone(), &mut fx);
        let mut shards: Vec<_> = ShardIndex::of_node(NodeNumber::ALONE, SHARDS)
            .map(|index| Shard::new(index, SHARDS, view.clone(), memory))
            .collect();
        let unknown = catalog.unknown_queues(messages_of(&stored).into_iter(), &mut fx);
        let mut stored = stored;
        stored.retain(|(queue, _, _), _| !unknown.deleted.contains(queue));
        let mut found = recovered(&stored);
        found.retain(|queue| !unknown.apart.iter().any(|(apart, _)| *apart == queue.queue));
        for (index, (shard, queues)) in shards.iter_mut().zip(catalog.recovered_queues()).enumerate() {
            let (ours, others) =
                found.into_iter().partition(|queue| queue.queue.0 % u64::from(SHARDS) == index as u64);
            found = others;
            shard.recover(now, queues, ours);
        }
        let mut broker = Broker {
            now,
            view,
            shared: SharedByPorts::new(&catalog),
            catalog,
            shards,
            records,
            stored,
            apart: unknown.apart,
            ops: Vec::new(),
            fetched: 0,
            held: false,
            shards_stand: false,
            shard_stands: None,
            catalog_stands: false,
            answers: Vec::new(),
            longest_turn: 0,
            finished: None,
            ports: BTreeMap::new(),
            events: BTreeMap::new(),
            catalog_inbox: VecDeque::new(),
            shard_inboxes: (0..SHARDS).map(|_| VecDeque::new()).collect(),
            batches: Vec::new(),
        };
        broker.carry_catalog(fx);
        broker.settle();
        broker
    }

    /// A connection of guest on `/`.
    pub(super) fn connect(&mut self, connection: u64) {
        self.connect_as(connection, "guest", "guest");
    }

    /// A connection of guest on another vhost.
    pub(super) fn connect_to(&mut self, connection: u64, vhost: &str) {
        let mut port = self.port(connection);
        port.authenticate(self.now, "PLAIN", b"\0guest\0guest", true).unwrap();
        port.open_vhost(self.now, vhost, Introduction::default()).unwrap();
        self.ports.insert(connection, port);
    }

    pub(super) fn connect_as(&mut self, connection: u64, user: &str, password: &str) {
        let mut port = self.port(connection);
        let response = format!("\0{user}\0{password}");
        port.authenticate(self.now, "PLAIN", response.as_bytes(), true).unwrap();
        port.open_vhost(self.now, "/", Introduction::default()).unwrap();
        self.ports.insert(connection, port);
    }

    /// A port that has not logged in.
    pub(super) fn port(&self, connection: u64) -> Port {
        let seed = Seed([u8::try_from(connection).unwrap(); 32]);
        Port::new(ConnectionId(connection), self.shared.clone(), seed)
    }

    /// Takes over a port that was used already.
    pub(super) fn adopt(&mut self, connection: u64, port: Port) {
        self.ports.insert(connection, port);
        self.settle();
    }

    pub(super) fn port_mut(&mut self, connection: u64) -> &mut Port {
        self.ports.get_mut(&connection).unwrap()
    }

    /// Adds a user who may do what the expressions say.
    pub(super) fn add_user(&mut self, name: &str, configure: &str, write: &str, read: &str) {
        let password = Password::Plain("pw".into());
        let user = UserSpec { password, tags: Vec::new(), loopback_only: false };
        self.administer(Change::PutUser { name: name.into(), user }).unwrap();
        let permissions =
            PermissionSpec { configure: configure.into(), write: write.into(), read: read.into() };
        let (user, vhost) = (name.into(), "/".into());
        self.administer(Change::PutPermissions { vhost, user, permissions }).unwrap();
    }

    pub(super) fn administer(&mut self, change: Change) -> Result<Applied, AdministrationError> {
        let mut fx = CatalogEffects::default();
        let outcome = self.catalog.administer(self.now, change, &mut fx);
        self.carry_catalog(fx);
        self.settle();
        outcome.map(|outcome| match outcome {
            Outcome::Done(applied) => applied,
            Outcome::Begun(_) => self.finished.take().unwrap(),
        })
    }

    pub(super) fn tell_catalog(&mut self, command: CatalogCommand) {
        self.catalog_inbox.push_back(command);
        self.settle();
    }

    /// The connection is lost without a word.
    pub(super) fn lose(&mut self, connection: u64) {
        self.ports.remove(&connection);
        for shard in &mut self.shards {
            shard.connection_gone(self.now, ConnectionId(connection));
        }
        let connection = ConnectionId(connection);
        self.tell_catalog(CatalogCommand::ConnectionClosed { connection, reply: false });
    }

    /// Asks and waits for the answer.
    pub(super) fn ask(&mut self, connection: u64, request: Request) -> Reply {
        let now = self.now;
        match self.port_mut(connection).request(now, request) {
            Progress::Done(reply) => reply,
            Progress::Pending => {
                self.settle();
                self.take_reply(connection).expect("the request is answered")
            }
        }
    }

    /// Asks, and reads the text of the refusal; empty where it was accepted.
    pub(super) fn text(&mut self, connection: u64, request: Request) -> String {
        match self.ask(connection, request) {
            Reply::Refused(fault) => fault.text(),
            _ => String::new(),
        }
    }

    pub(super) fn take_reply(&mut self, connection: u64) -> Option<Reply> {
        let events = self.events.entry(connection).or_default();
        let at = events.iter().position(|event| matches!(event, SessionEvent::Reply(_)))?;
        match events.remove(at) {
            SessionEvent::Reply(reply) => Some(reply),
            _ => None,
        }
    }

    /// All that happened to a connection.
    pub(super) fn events(&mut self, connection: u64) -> Vec<SessionEvent> {
        std::mem::take(self.events.entry(connection).or_default())
    }

    pub(super) fn deliveries(&mut self, connection: u64) -> Vec<Delivery> {
        let events = self.events(connection).into_iter();
        events
            .filter_map(|event| match event {
                SessionEvent::Deliver(delivery) => Some(delivery),
                _ => None,
            })
            .collect()
    }

    /// Confirms, as sequence and whether accepted.
    pub(super) fn confirms(&mut self, connection: u64) -> Vec<(u64, bool)> {
        let events = self.events(connection).into_iter();
        events
            .filter_map(|event| match event {
                SessionEvent::Confirm { token, accepted } => Some((token.sequence, accepted)),
                _ => None,
            })
            .collect()
    }

    pub(super) fn route(&mut self, connection: u64, message: Message) -> Result<RoutedPublish, Fault> {
        let now = self.now;
        self.port_mut(connection).route(now, 1, Arc::new(message))
    }

    /// Publishes; returns how many confirms will come.
    pub(super) fn publish(&mut self, connection: u64, message: Message, sequence: Option<u64>) -> usize {
        let routed = self.route(connection, message).unwrap();
        let confirm = sequence.map(|sequence| ConfirmToken { channel: 1, epoch: 0, sequence });
        let expected = self.port_mut(connection).submit(routed, confirm);
        self.settle();
        expected
    }

    pub(super) fn consume(
        &mut self,
        connection: u64,
        queue: &str,
        number: u32,
        options: ConsumeOptions,
    ) -> Reply {
        let consumer = ConsumerNumber(number);
        self.ask(connection, Request::Consume { queue: queue.into(), consumer, options })
    }

    /// Gets a message and rejects it without requeue.
    pub(super) fn reject(&mut self, queue: &str) -> Delivery {
        let consumer = ConsumerNumber(9);
        let get = Request::Get { queue: queue.into(), consumer, no_ack: false };
        let Reply::Got { delivery, .. } = self.ask(1, get) else { panic!("{queue} is empty") };
        let range = PositionRange::single(delivery.position);
        self.port_mut(1).settle(delivery.queue, consumer, range, Settlement::Discard);
        self.settle();
        *delivery
    }

    /// Gets a message, without ack.
    pub(super) fn get(&mut self, connection: u64, queue: &str) -> Option<Delivery> {
        let consumer = ConsumerNumber(99);
        let request = Request::Get { queue: queue.into(), consumer, no_ack: true };
        match self.ask(connection, request) {
            Reply::Got { delivery, .. } => Some(*delivery),
            Reply::GotEmpty => None,
            other => panic!("{other:?}"),
        }
    }

    /// Ready messages and consumers of a queue.
    pub(super) fn counts(&mut self, connection: u64, queue: &str) -> (u32, u32) {
        match self.ask(connection, declare_queue(queue, |declare| declare.passive = true)) {
            Reply::QueueDeclared { messages, consumers, .. } => (messages, consumers),
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass; expires what is due.
    pub(super) fn pass(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
        self.shards.iter_mut().for_each(|shard| shard.tick(self.now));
        self.settle();
    }

    /// Makes durable what was held back.
    pub(super) fn let_go(&mut self) {
        self.held = false;
        self.settle();
    }

    /// Carries everything until nothing moves.
    pub(super) fn settle(&mut self) {
        while self.round() {}
    }

    /// Gives everybody a turn. Returns whether anything moved.
    pub(super) fn round(&mut self) -> bool {
        let mut moved = self.carry_ports();
        let most = if self.catalog_stands { 0 } else { self.catalog_inbox.len() };
        for command in self.catalog_inbox.drain(..most).collect::<Vec<_>>() {
            let mut fx = CatalogEffects::default();
            self.catalog.handle(self.now, command, &mut fx);
            self.carry_catalog(fx);
        }
        if !self.catalog_stands && self.catalog.has_work() {
            let mut fx = CatalogEffects::default();
            self.catalog.step(self.now, &mut fx);
            self.carry_catalog(fx);
            moved = true;
        }
        for index in 0..self.shards.len() {
            moved |= !self.shards_stand && self.shard_stands != Some(index) && self.turn(index);
        }
        let durable = if self.held { Vec::new() } else { std::mem::take(&mut self.batches) };
        moved |= most > 0 || !durable.is_empty();
        durable.into_iter().for_each(|(index, sequence)| self.shards[index].durable(self.now, sequence));
        moved
    }

    /// Messages, and bytes, that other shards have sent to this one and that it has not taken in.
    pub(super) fn sent_to(&self, index: usize) -> (usize, usize) {
        let footprints = self.shard_inboxes[index].iter().filter_map(|(_, command)| match command {
            ShardCommand::DeadLetter { message, .. }
            | ShardCommand::Remember { message, from: Some(_), .. } => Some(message.footprint()),
            _ => None,
        });
        footprints.fold((0, 0), |(messages, bytes), footprint| (messages + 1, bytes + footprint))
    }

    /// Carries what ports have to say, and gives each shard one turn.
    pub(super) fn one_turn(&mut self) {
        self.carry_ports();
        for index in 0..self.shards.len() {
            self.turn(index);
        }
    }

    fn carry_ports(&mut self) -> bool {
        let mut moved = false;
        for (&connection, port) in &mut self.ports {
            let outgoing = port.take_outgoing();
            for (shard, commands) in outgoing.shards.drain() {
                let origin = Origin::Connection(ConnectionId(connection));
                moved = true;
                let inbox = &mut self.shard_inboxes[shard.number()];
                inbox.extend(commands.into_iter().map(|command| (origin, command)));
            }
            moved |= !outgoing.catalog.is_empty() || !outgoing.direct.is_empty();
            self.catalog_inbox.extend(outgoing.catalog.drain(..));
            for (to, event) in outgoing.direct.drain(..) {
                self.events.entry(to.0).or_default().push(SessionEvent::Deliver(event));
            }
        }
        moved
    }

    fn carry_catalog(&mut self, fx: CatalogEffects) {
        let led_to = fx.ops.len() + fx.to_shards.len() + fx.to_connections.len();
        self.longest_turn = self.longest_turn.max(led_to);
        self.finished = fx.finished.last().map(|&(_, applied)| applied).or(self.finished);
        for op in fx.ops {
            match op {
                CatalogOp::Put { key, value } => self.records.insert(key, value),
                CatalogOp::Delete { key } => self.records.remove(&key),
            };
        }
        for (shard, command) in fx.to_shards {
            self.shard_inboxes[shard.number()].push_back((Origin::Catalog, command));
        }
        for (connection, event) in fx.to_connections {
            self.events.entry(connection.0).or_default().push(event);
        }
    }

    /// One turn of a shard. Returns whether anything came of it.
    fn turn(&mut self, index: usize) -> bool {
        let mut moved = false;
        while let Some((origin, command)) = self.shard_inboxes[index].pop_front() {
            self.shards[index].handle(self.now, origin, command);
            moved = true;
        }
        let mut fx = ShardEffects::default();
        self.shards[index].finish_turn(self.now, &mut fx);
        // What was left for the next turn.
        moved |= self.shards[index].next_deadline() == Some(Timestamp(0));
        let led_to = fx.to_connections.len() + fx.ops.len() + fx.to_shards.len() + fx.to_catalog.len();
        self.longest_turn = self.longest_turn.max(led_to);
        moved |= !fx.to_connections.is_empty() || !fx.ops.is_empty() || !fx.fetches.is_empty();
        self.answers.append(&mut fx.answers);
        if !fx.ops.is_empty() || fx.must_sync {
            self.batches.push((index, fx.sequence));
        }
        for op in fx.ops {
            self.apply(&op);
            self.ops.push(op);
        }
        for fetch in fx.fetches {
            let fetched = stored::read(&self.stored, fetch);
            self.fetched += 1;
            self.shards[index].loaded(self.now, fetched);
        }
        for (connection, event) in fx.to_connections {
            self.events.entry(connection.0).or_default().push(event);
        }
        for (to, command) in fx.to_shards {
            let from = ShardIndex::alone(u8::try_from(index).unwrap());
            self.shard_inboxes[to.number()].push_back((Origin::Shard(from), command));
            moved = true;
        }
        moved |= !fx.to_catalog.is_empty();
        self.catalog_inbox.extend(fx.to_catalog);
        moved
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put { queue, lane, position, message, meta, durable } => {
                self.stored.insert((*queue, *lane, *position), (message.clone(), *meta, *durable));
            }
            Op::Remove { queue, range } => {
                self.stored.retain(|(of, _, at), _| of != queue || !range.contains(*at));
            }
            Op::Requeue { queue, position, with } => {
                for ((of, _, at), (_, meta, _)) in &mut self.stored {
                    if of == queue && at == position {
                        *meta = meta.returned(*with);
                    }
                }
            }
            Op::DeleteQueue { queue } => self.stored.retain(|(of, _, _), _| of != queue),
        }
    }
}
