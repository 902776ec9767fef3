//! A broker whose turns are counted: catalog, shard and store are `leveret::server::owners`, as in the server, carried by
//! a loop; connections are ports.

#[path = "../support/thread_time.rs"]
mod thread_time;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use leveret::catalog::view::View;
use leveret::model::administration::{Change, ImportItem};
use leveret::model::command::{CatalogCommand, Origin};
use leveret::model::consuming::{ConsumeOptions, Delivery};
use leveret::model::event::{ConfirmToken, SessionEvent};
use leveret::model::ids::{
    ConnectionId, ConsumerNumber, Position, PositionRange, QueueRef, ShardIndex, Timestamp,
};
use leveret::model::message::{Body, Message, Origin as MessageOrigin};
use leveret::model::names::Seed;
use leveret::model::peer::Introduction;
use leveret::model::port::{BrokerPort, Progress};
use leveret::model::request::{DeclareQueue, Reply, Request};
use leveret::port::{Port, SharedByPorts};
use leveret::server::owners::{
    self, Carrier, CatalogInput, CatalogOwner, ShardInput, ShardLayout, ShardOwner, StoreOwner, StoreRequest,
};
use leveret::store::MemoryStore;

use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::FieldTable;
use thread_time::thread_time;

/// What is on its way to the owners.
#[derive(Default)]
pub(crate) struct Mail {
    pub(crate) shard: Vec<ShardInput>,
    pub(crate) catalog: Vec<CatalogInput>,
    store: Vec<StoreRequest>,
    pub(crate) events: BTreeMap<ConnectionId, Vec<SessionEvent>>,
    /// How much owners have handed over.
    handed_over: usize,
    /// Definitions are being imported.
    is_importing: bool,
}

impl Carrier for Mail {
    fn tell_shard(&mut self, _: ShardIndex, input: ShardInput) {
        self.handed_over += 1;
        self.shard.push(input);
    }

    fn tell_catalog(&mut self, inputs: impl Iterator<Item = CatalogInput>) {
        let before = self.catalog.len();
        self.catalog.extend(inputs);
        self.handed_over += self.catalog.len() - before;
    }

    fn ask_store(&mut self, request: StoreRequest) {
        self.handed_over += match &request {
            StoreRequest::Ops { ops, .. } => ops.len(),
            // All that was made is one commit, handed over as it stands.
            StoreRequest::Catalog { .. } if self.is_importing => 1,
            StoreRequest::Catalog { ops, .. } => ops.len(),
            StoreRequest::Fetch { .. } | StoreRequest::Ask(_) | StoreRequest::Close => 1,
        };
        self.store.push(request);
    }

    fn tell_connections(&mut self, events: &mut Vec<(ConnectionId, SessionEvent)>) {
        self.handed_over += events.len();
        for (connection, event) in events.drain(..) {
            self.events.entry(connection).or_default().push(event);
        }
    }

    fn reply_directly(&mut self, replies: &mut Vec<(ConnectionId, Delivery)>) {
        for (connection, reply) in replies.drain(..) {
            self.events.entry(connection).or_default().push(SessionEvent::Deliver(reply));
        }
    }
}

/// Turns of an owner since they were last counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turns {
    pub(crate) count: usize,
    /// The longest one, in time of the thread: what others took of the core meanwhile does not count.
    pub(crate) longest: Duration,
    /// All of them together.
    total: Duration,
    /// What the one that led to most has led to: operations, records, events and commands.
    pub(crate) most: usize,
}

impl Turns {
    fn take<T>(&mut self, mail: &mut Mail, turn: impl FnOnce(&mut Mail) -> T) -> T {
        let (begin, before) = (thread_time(), mail.handed_over);
        let result = turn(mail);
        self.count += 1;
        let took = thread_time().saturating_sub(begin);
        (self.longest, self.total) = (self.longest.max(took), self.total + took);
        self.most = self.most.max(mail.handed_over - before);
        result
    }

    pub(crate) fn milliseconds(&self) -> f64 {
        self.longest.as_secs_f64() * 1e3
    }

    /// What they took in all, in milliseconds.
    pub(crate) fn in_all(&self) -> f64 {
        self.total.as_secs_f64() * 1e3
    }
}

/// A broker with one shard.
pub(crate) struct Harness {
    pub(crate) now: Timestamp,
    pub(crate) view: Arc<View>,
    pub(crate) shared: Arc<SharedByPorts>,
    pub(crate) catalog: CatalogOwner,
    pub(crate) shard: ShardOwner,
    pub(crate) store: StoreOwner,
    pub(crate) mail: Mail,
    pub(crate) ports: BTreeMap<u64, Port>,
    pub(crate) of_catalog: Turns,
    pub(crate) of_shard: Turns,
    /// The store does not write until it is told to.
    pub(crate) store_waits: bool,
    /// What connections did while they held the lock of the view.
    pub(crate) of_ports: Turns,
}

impl Harness {
    pub(crate) fn new() -> Harness {
        let (now, mut store) = (Timestamp(1_000_000), MemoryStore::new());
        let (_, recovered) = MemoryStore::new().restarted(true);
        let layout = ShardLayout { count: 1, memory: 1 << 30, holding_back: false };
        let mut owned = owners::restore(now, &mut store, recovered, layout, 7).expect("memory does not fail");
        let mut harness = Harness {
            now,
            view: owned.view,
            shared: owned.ports,
            catalog: owned.catalog,
            shard: owned.shards.pop().expect("there is one shard"),
            store: StoreOwner::new(Box::new(store)),
            mail: Mail::default(),
            ports: BTreeMap::new(),
            of_catalog: Turns::default(),
            of_shard: Turns::default(),
            of_ports: Turns::default(),
            store_waits: false,
        };
        harness.connect(1);
        harness.connect(2);
        harness
    }

    pub(crate) fn connect(&mut self, number: u64) {
        self.connect_to(number, "/");
    }

    pub(crate) fn connect_to(&mut self, number: u64, vhost: &str) {
        let seed = Seed([u8::try_from(number).expect("there are few"); 32]);
        let mut port = Port::new(ConnectionId(number), Arc::clone(&self.shared), seed);
        port.authenticate(self.now, "PLAIN", b"\0guest\0guest", true).expect("guest is there");
        port.open_vhost(self.now, vhost, Introduction::default()).expect("the vhost is there");
        self.ports.insert(number, port);
    }

    pub(crate) fn port(&mut self, number: u64) -> &mut Port {
        self.ports.get_mut(&number).expect("it is connected")
    }

    /// Carries what ports have said.
    pub(crate) fn carry(&mut self) {
        for (&number, port) in &mut self.ports {
            let outgoing = port.take_outgoing();
            let origin = Origin::Connection(ConnectionId(number));
            for (_, commands) in outgoing.shards.drain() {
                self.mail.shard.push(ShardInput::Commands { origin, commands, permit: None });
            }
            self.mail.catalog.extend(outgoing.catalog.drain(..).map(CatalogInput::Command));
        }
    }

    /// Lets all owners have turns until there is nothing to do.
    pub(crate) fn settle(&mut self) {
        self.carry();
        loop {
            let mut idle = true;
            if !self.mail.catalog.is_empty() || self.catalog.has_work() {
                let mut inputs = std::mem::take(&mut self.mail.catalog);
                let turn = |mail: &mut Mail| self.catalog.turn(self.now, &mut inputs, mail);
                self.of_catalog.take(&mut self.mail, turn);
                idle = false;
            }
            let due = self.shard.next_deadline().is_some_and(|deadline| deadline <= self.now);
            if !self.mail.shard.is_empty() || due {
                let mut inputs = std::mem::take(&mut self.mail.shard);
                let turn = |mail: &mut Mail| self.shard.turn(self.now, &mut inputs, mail);
                self.of_shard.take(&mut self.mail, turn);
                idle = false;
            }
            if !self.mail.store.is_empty() && !self.store_waits {
                let mut requests = std::mem::take(&mut self.mail.store);
                self.store.turn(self.now, &mut requests, &mut self.mail).expect("memory does not fail");
                idle = false;
            }
            if idle {
                if self.store_waits || self.store.next_deadline().is_none() {
                    return;
                }
                self.now = self.now.plus_millis(100);
                self.store.turn(self.now, &mut Vec::new(), &mut self.mail).expect("memory does not fail");
            }
        }
    }

    pub(crate) fn ask(&mut self, number: u64, request: Request) -> Reply {
        self.ask_for(number, request).expect("the request is answered")
    }

    /// Asks for something. The answer, where it comes while the store waits.
    pub(crate) fn ask_for(&mut self, number: u64, request: Request) -> Option<Reply> {
        let now = self.now;
        if let Progress::Done(reply) = self.port(number).request(now, request) {
            return Some(reply);
        }
        self.settle();
        self.answer(number)
    }

    /// What a connection was answered since it last looked.
    pub(crate) fn answer(&mut self, number: u64) -> Option<Reply> {
        let events = self.mail.events.remove(&ConnectionId(number)).unwrap_or_default();
        let replies = events.into_iter().filter_map(|event| match event {
            SessionEvent::Reply(reply) => Some(reply),
            _ => None,
        });
        replies.last()
    }

    /// The store writes what it was asked to.
    pub(crate) fn write(&mut self) {
        self.store_waits = false;
        self.settle();
    }

    pub(crate) fn declare(&mut self, name: &str, change: impl FnOnce(&mut DeclareQueue)) {
        let mut declare = DeclareQueue {
            name: name.into(),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: FieldTable::default(),
        };
        change(&mut declare);
        let reply = self.ask(1, Request::DeclareQueue(declare));
        assert!(matches!(reply, Reply::QueueDeclared { .. }), "{reply:?}");
    }

    pub(crate) fn publish(&mut self, count: usize, fields: &[(Field, Vec<u8>)]) {
        let fields: Vec<_> = fields.iter().map(|(field, bytes)| (*field, Some(bytes.clone()))).collect();
        let raw = Properties::default().with(&fields);
        for number in 0..count {
            let properties = Properties::parse(&raw).expect("properties of our own making");
            let body = Body::whole(Bytes::from_static(b"body"));
            let message =
                Message::new(&mut BytesMut::new(), b"", b"q", properties, body, MessageOrigin::Client);
            let now = self.now;
            let port = self.port(1);
            let routed = port.route(now, 1, Arc::new(message)).expect("there is no reason to refuse it");
            port.submit(routed, None);
            if number % 1000 == 999 {
                self.settle();
            }
        }
        self.settle();
    }

    /// Publishes persistent messages to an exchange in one go, with confirms.
    pub(crate) fn publish_to(&mut self, exchange: &str, key: &str, count: usize) {
        let raw = Properties::default().with(&[(Field::DeliveryMode, Some(vec![2]))]);
        for sequence in 1..=count as u64 {
            let properties = Properties::parse(&raw).expect("properties of our own making");
            let (exchange, key) = (exchange.as_bytes(), key.as_bytes());
            let origin = MessageOrigin::Client;
            let message =
                Message::new(&mut BytesMut::new(), exchange, key, properties, Body::default(), origin);
            let (now, port) = (self.now, self.ports.get_mut(&1).expect("it is connected"));
            let route = |_: &mut Mail| port.route(now, 1, Arc::new(message));
            let routed = self.of_ports.take(&mut self.mail, route).expect("there is no reason to refuse it");
            self.port(1).submit(routed, Some(ConfirmToken { channel: 1, epoch: 0, sequence }));
        }
    }

    /// Commits what port 1 has said.
    pub(crate) fn commit(&mut self) {
        self.port(1).barrier(ConfirmToken { channel: 1, epoch: 0, sequence: 0 });
        self.settle();
    }

    /// Has consumer 1 of connection 1 take all there is in `q`. Returns where the queue is, and what it took.
    pub(crate) fn take_all(&mut self, count: usize) -> (QueueRef, PositionRange) {
        let (consumer, options) = (ConsumerNumber(1), ConsumeOptions::default());
        self.ask(1, Request::Consume { queue: "q".into(), consumer, options });
        // What was delivered is written at once.
        for _ in 0..count / 1000 + 1 {
            let connection = ConnectionId(1);
            self.mail.events.remove(&connection);
            self.mail.shard.push(ShardInput::Drained { connection, bytes: 1 << 30 });
            self.settle();
        }
        (self.place("q"), PositionRange { first: Position(1), last: Position(count as u64) })
    }

    pub(crate) fn place(&self, queue: &str) -> QueueRef {
        self.view.read().queue("/", queue).expect("it was declared").at
    }

    pub(crate) fn lose(&mut self, number: u64) {
        self.ports.remove(&number);
        let connection = ConnectionId(number);
        self.mail.shard.push(ShardInput::ConnectionGone(connection));
        let closed = CatalogCommand::ConnectionClosed { connection, reply: false };
        self.mail.catalog.push(CatalogInput::Command(closed));
        self.settle();
    }

    pub(crate) fn administer(&mut self, change: Change) {
        let (answer, mut answered) = tokio::sync::oneshot::channel();
        self.mail.catalog.push(CatalogInput::Administer { change: Box::new(change), answer });
        self.settle();
        assert!(answered.try_recv().expect("it is answered").is_ok());
    }

    /// Imports definitions; a strict import is to fail.
    pub(crate) fn import(&mut self, items: Vec<ImportItem>, strict: bool) {
        let (answer, mut answered) = tokio::sync::oneshot::channel();
        self.mail.catalog.push(CatalogInput::Import { items, strict, answer });
        self.mail.is_importing = true;
        self.settle();
        self.mail.is_importing = false;
        let imported = answered.try_recv().expect("it is answered");
        assert!(imported.is_err() == strict && imported.is_ok_and(|left_out| left_out.is_empty()) != strict);
    }

    /// Tells the shard something, and waits until it has done what follows.
    pub(crate) fn tell_shard(&mut self, input: ShardInput) {
        self.mail.shard.push(input);
        self.settle();
    }

    /// What was done since turns are counted was so much that the shard has had more turns than these.
    pub(crate) fn took_turns_of_shard(&self, least: usize) {
        let count = self.of_shard.count;
        assert!(count > least, "{count} turns of the shard, and not more than {least}");
    }

    /// The same of the catalog.
    pub(crate) fn took_turns_of_catalog(&self, least: usize) {
        let count = self.of_catalog.count;
        assert!(count > least, "{count} turns of the catalog, and not more than {least}");
    }

    /// Begins to count turns.
    pub(crate) fn begin(&mut self) {
        self.settle();
        self.begin_here();
    }

    /// The same, with what has been said and not carried yet.
    pub(crate) fn begin_here(&mut self) {
        (self.of_catalog, self.of_shard) = (Turns::default(), Turns::default());
        self.of_ports = Turns::default();
    }
}
