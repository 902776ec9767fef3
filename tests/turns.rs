//! How long one turn of an owner is, where one request concerns very much. Catalog, shards and store are
//! `leveret::server::owners`, as in the server, carried by a loop; connections are ports.
//!
//! The test sees that long requests are worked off in steps. With `LEVERET_TURNS=200000`, the number of things that a
//! request concerns, it prints how long the longest turns were, in milliseconds (`cargo test --release --test turns --
//! --nocapture`): what is longer than 10 is a defect.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use leveret::broker::command::{CatalogCommand, Origin, ShardCommand};
use leveret::broker::port::Port;
use leveret::broker::view::View;
use leveret::model::administration::{ApplyTo, Change, PolicyKind, PolicySpec};
use leveret::model::consuming::{ConsumeOptions, Delivery, Settlement};
use leveret::model::event::{ConfirmToken, SessionEvent};
use leveret::model::ids::{
    ConnectionId, ConsumerNumber, Position, PositionRange, QueueRef, ShardIndex, Timestamp,
};
use leveret::model::message::{Body, Message, Origin as MessageOrigin};
use leveret::model::names::Seed;
use leveret::model::peer::Introduction;
use leveret::model::port::{BrokerPort, Progress};
use leveret::model::request::{Binding, DeclareExchange, DeclareQueue, Reply, Request};
use leveret::server::owners::{
    self, Carrier, CatalogInput, CatalogOwner, ShardInput, ShardOwner, StoreOwner, StoreRequest,
};
use leveret::store::MemoryStore;
use leveret_codec::properties::{Field, Properties, encode_short_string};
use leveret_codec::table::{AMQPValue, FieldTable};

/// What is on its way to the owners.
#[derive(Default)]
struct Mail {
    shard: Vec<ShardInput>,
    catalog: Vec<CatalogInput>,
    store: Vec<StoreRequest>,
    events: BTreeMap<ConnectionId, Vec<SessionEvent>>,
}

impl Carrier for Mail {
    fn tell_shard(&mut self, _: ShardIndex, input: ShardInput) {
        self.shard.push(input);
    }

    fn tell_catalog(&mut self, inputs: impl Iterator<Item = CatalogInput>) {
        self.catalog.extend(inputs);
    }

    fn ask_store(&mut self, request: StoreRequest) {
        self.store.push(request);
    }

    fn tell_connections(&mut self, events: &mut Vec<(ConnectionId, SessionEvent)>) {
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
struct Turns {
    count: usize,
    longest: Duration,
}

impl Turns {
    fn time<T>(&mut self, turn: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = turn();
        self.count += 1;
        self.longest = self.longest.max(begin.elapsed());
        result
    }
}

/// A broker with one shard.
struct House {
    now: Timestamp,
    view: Arc<View>,
    catalog: CatalogOwner,
    shard: ShardOwner,
    store: StoreOwner,
    mail: Mail,
    ports: BTreeMap<u64, Port>,
    of_catalog: Turns,
    of_shard: Turns,
}

impl House {
    fn new() -> House {
        let (now, mut store) = (Timestamp(1_000_000), MemoryStore::new());
        let (_, recovered) = MemoryStore::new().restarted(true);
        let mut owned =
            owners::restore(now, &mut store, recovered, 1, 1 << 30, 7).expect("memory does not fail");
        let mut house = House {
            now,
            view: owned.view,
            catalog: owned.catalog,
            shard: owned.shards.pop().expect("there is one shard"),
            store: StoreOwner::new(Box::new(store)),
            mail: Mail::default(),
            ports: BTreeMap::new(),
            of_catalog: Turns::default(),
            of_shard: Turns::default(),
        };
        house.connect(1);
        house.connect(2);
        house
    }

    fn connect(&mut self, number: u64) {
        let seed = Seed([u8::try_from(number).expect("there are few"); 32]);
        let mut port = Port::new(ConnectionId(number), 1, Arc::clone(&self.view), seed);
        port.authenticate(self.now, "PLAIN", b"\0guest\0guest", true).expect("guest is there");
        port.open_vhost(self.now, "/", Introduction::default()).expect("the vhost is there");
        self.ports.insert(number, port);
    }

    fn port(&mut self, number: u64) -> &mut Port {
        self.ports.get_mut(&number).expect("it is connected")
    }

    /// Carries what ports have said.
    fn carry(&mut self) {
        for (&number, port) in &mut self.ports {
            let outgoing = port.take_outgoing();
            let origin = Origin::Connection(ConnectionId(number));
            for commands in &mut outgoing.shards {
                let commands: Vec<ShardCommand> = std::mem::take(commands);
                if !commands.is_empty() {
                    self.mail.shard.push(ShardInput::Commands { origin, commands, ticket: None });
                }
            }
            self.mail.catalog.extend(outgoing.catalog.drain(..).map(CatalogInput::Command));
        }
    }

    /// Lets all owners have turns until there is nothing to do.
    fn settle(&mut self) {
        self.carry();
        loop {
            let mut idle = true;
            if !self.mail.catalog.is_empty() || self.catalog.has_work() {
                let mut inputs = std::mem::take(&mut self.mail.catalog);
                self.of_catalog.time(|| self.catalog.turn(self.now, &mut inputs, &mut self.mail));
                idle = false;
            }
            let due = self.shard.next_deadline().is_some_and(|deadline| deadline <= self.now);
            if !self.mail.shard.is_empty() || due {
                let mut inputs = std::mem::take(&mut self.mail.shard);
                self.of_shard.time(|| self.shard.turn(self.now, &mut inputs, &mut self.mail));
                idle = false;
            }
            if !self.mail.store.is_empty() {
                let mut requests = std::mem::take(&mut self.mail.store);
                self.store.turn(self.now, &mut requests, &mut self.mail).expect("memory does not fail");
                idle = false;
            }
            if idle {
                if self.store.next_deadline().is_none() {
                    return;
                }
                self.now = self.now.plus_millis(100);
                self.store.turn(self.now, &mut Vec::new(), &mut self.mail).expect("memory does not fail");
            }
        }
    }

    fn ask(&mut self, number: u64, request: Request) -> Reply {
        let now = self.now;
        if let Progress::Done(reply) = self.port(number).request(now, request) {
            return reply;
        }
        self.settle();
        let events = self.mail.events.remove(&ConnectionId(number)).unwrap_or_default();
        let replies = events.into_iter().filter_map(|event| match event {
            SessionEvent::Reply(reply) => Some(reply),
            _ => None,
        });
        replies.last().expect("the request is answered")
    }

    fn declare(&mut self, name: &str, change: impl FnOnce(&mut DeclareQueue)) {
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

    fn publish(&mut self, count: usize, fields: &[(Field, Vec<u8>)]) {
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

    /// Has consumer 1 of connection 1 take all there is in `q`. Returns where the queue is, and what it took.
    fn take_all(&mut self, count: usize) -> (QueueRef, PositionRange) {
        let (consumer, options) = (ConsumerNumber(1), ConsumeOptions::default());
        self.ask(1, Request::Consume { queue: "q".into(), channel: 1, consumer, options });
        // What was delivered is written at once.
        for _ in 0..count / 1000 + 1 {
            let connection = ConnectionId(1);
            self.mail.events.remove(&connection);
            self.mail.shard.push(ShardInput::Drained { connection, bytes: 1 << 30 });
            self.settle();
        }
        let at = self.view.read().queue("/", "q").expect("it was declared").at;
        (at, PositionRange { first: Position(1), last: Position(count as u64) })
    }

    fn lose(&mut self, number: u64) {
        self.ports.remove(&number);
        let connection = ConnectionId(number);
        self.mail.shard.push(ShardInput::ConnectionGone(connection));
        let closed = CatalogCommand::ConnectionClosed { connection, reply: false };
        self.mail.catalog.push(CatalogInput::Command(closed));
        self.settle();
    }

    fn administer(&mut self, change: Change) {
        let (answer, mut answered) = tokio::sync::oneshot::channel();
        self.mail.catalog.push(CatalogInput::Administer { change: Box::new(change), answer });
        self.settle();
        assert!(answered.try_recv().expect("it is answered").is_ok());
    }

    /// Begins to count turns.
    fn begin(&mut self) {
        (self.of_catalog, self.of_shard) = (Turns::default(), Turns::default());
    }
}

/// One request that concerns `count` things, from [`House::begin`] on.
type Case = fn(&mut House, usize);

const CASES: [(&str, Case); 12] = [
    ("consumers lost", |house, count| {
        house.declare("q", |_| {});
        for number in 0..count {
            let (consumer, options) =
                (ConsumerNumber(u32::try_from(number).unwrap()), ConsumeOptions::default());
            house
                .port(1)
                .request(Timestamp(0), Request::Consume { queue: "q".into(), channel: 1, consumer, options });
        }
        house.settle();
        house.begin();
        house.lose(1);
    }),
    ("dead letters of one nack", |house, count| {
        house.declare("dead", |_| {});
        house.declare("q", dead_lettering);
        house.publish(count, &[(Field::DeliveryMode, vec![2])]);
        settle_all(house, count, Settlement::Discard);
    }),
    ("acks of one ack", |house, count| {
        house.declare("q", |_| {});
        house.publish(count, &[(Field::DeliveryMode, vec![2])]);
        settle_all(house, count, Settlement::Ack);
    }),
    ("requeued by one recover", |house, count| {
        house.declare("q", |_| {});
        house.publish(count, &[]);
        settle_all(house, count, Settlement::Requeue { failed: false });
    }),
    ("unacked of a lost connection", |house, count| {
        house.declare("q", |_| {});
        house.publish(count, &[]);
        house.take_all(count);
        house.begin();
        house.lose(1);
    }),
    ("expired with dead letters", |house, count| {
        house.declare("dead", |_| {});
        house.declare("q", dead_lettering);
        house.publish(count, &[(Field::Expiration, encode_short_string(b"3600000"))]);
        house.begin();
        house.now = house.now.plus_millis(3_600_000);
        house.settle();
    }),
    ("purged", |house, count| {
        house.declare("q", |_| {});
        house.publish(count, &[]);
        house.begin();
        house.ask(1, Request::PurgeQueue { name: "q".into() });
        house.settle();
    }),
    ("messages of a deleted queue", |house, count| {
        house.declare("q", |_| {});
        house.publish(count, &[]);
        house.begin();
        house.ask(1, Request::DeleteQueue { name: "q".into(), if_unused: false, if_empty: false });
        house.settle();
    }),
    ("bindings of a deleted queue", |house, count| {
        house.declare("q", |_| {});
        bind(house, "amq.topic", count);
        house.begin();
        house.ask(1, Request::DeleteQueue { name: "q".into(), if_unused: false, if_empty: false });
    }),
    ("bindings of a deleted exchange", |house, count| {
        house.declare("q", |_| {});
        let (name, kind, arguments) = ("x".into(), "topic".into(), FieldTable::default());
        let declare = DeclareExchange {
            name,
            kind,
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments,
        };
        house.ask(1, Request::DeclareExchange(declare));
        bind(house, "x", count);
        house.begin();
        house.ask(1, Request::DeleteExchange { name: "x".into(), if_unused: false });
    }),
    ("exclusive queues of a lost connection", |house, count| {
        for number in 0..count {
            house.declare(&number.to_string(), |declare| declare.exclusive = true);
        }
        house.begin();
        house.lose(1);
    }),
    ("queues of a policy", |house, count| {
        for number in 0..count {
            house.declare(&format!("{}{number}", "a".repeat(30)), |_| {});
        }
        let mut definition = FieldTable::default();
        definition.insert("max-length".into(), AMQPValue::LongInt(5));
        let pattern = r"^(a|aa)+(?=b)\1?b$|^a+".into();
        let policy = PolicySpec { pattern, apply_to: ApplyTo::All, priority: 0, definition };
        house.begin();
        let (vhost, kind, name) = ("/".into(), PolicyKind::Regular, "p".into());
        house.administer(Change::PutPolicy { vhost, kind, name, policy });
    }),
];

fn dead_lettering(declare: &mut DeclareQueue) {
    let text = |text: &str| AMQPValue::LongString(text.into());
    declare.arguments.insert("x-dead-letter-exchange".into(), text(""));
    declare.arguments.insert("x-dead-letter-routing-key".into(), text("dead"));
}

fn settle_all(house: &mut House, count: usize, settlement: Settlement) {
    let (at, range) = house.take_all(count);
    house.begin();
    house.port(1).settle(at, ConsumerNumber(1), range, settlement);
    house.settle();
}

fn bind(house: &mut House, source: &str, count: usize) {
    for number in 0..count {
        let (source, destination) = (source.into(), "q".into());
        let (routing_key, arguments) = (format!("a.{number}").into(), FieldTable::default());
        house.ask(1, Request::BindQueue(Binding { source, destination, routing_key, arguments }));
    }
}

#[test]
fn what_concerns_very_much_takes_many_turns() {
    let asked = std::env::var("LEVERET_TURNS").ok().and_then(|count| count.parse().ok());
    let count = asked.unwrap_or(20_000);
    for (name, case) in CASES {
        let mut house = House::new();
        case(&mut house, count);
        let House { of_catalog, of_shard, .. } = &house;
        println!(
            "{count} {name}: catalog {} turns, longest {:.1} ms; shard {} turns, longest {:.1} ms",
            of_catalog.count,
            of_catalog.longest.as_secs_f64() * 1e3,
            of_shard.count,
            of_shard.longest.as_secs_f64() * 1e3
        );
        let turns = of_catalog.count.max(of_shard.count);
        // A piece of what costs least, memory that is given back, is 16,384.
        assert!(turns > count / 16_384, "{name} in {turns} turns");
    }
}

#[test]
fn who_asks_for_little_is_answered_while_another_ones_long_request_is_worked_off() {
    let mut house = House::new();
    let count = 20_000;
    house.declare("dead", |_| {});
    house.declare("q", dead_lettering);
    house.publish(count, &[]);
    let (at, range) = house.take_all(count);
    house.port(1).settle(at, ConsumerNumber(1), range, Settlement::Discard);
    house.carry();
    let message = Message::new(
        &mut BytesMut::new(),
        b"",
        b"dead",
        Properties::default(),
        Body::default(),
        MessageOrigin::Client,
    );
    let now = house.now;
    let port = house.port(2);
    let routed = port.route(now, 1, Arc::new(message)).expect("there is no reason to refuse it");
    port.submit(routed, Some(ConfirmToken { channel: 1, epoch: 0, sequence: 1 }));
    house.carry();
    let mut inputs = std::mem::take(&mut house.mail.shard);
    house.shard.turn(now, &mut inputs, &mut house.mail);
    assert!(matches!(
        house.mail.events.get(&ConnectionId(2)).map(Vec::as_slice),
        Some([SessionEvent::Confirm { accepted: true, .. }])
    ));
    assert!(house.shard.next_deadline().is_some_and(|deadline| deadline <= now), "there is more to do");
    house.settle();
    let state = house.ask(
        2,
        Request::DeclareQueue(DeclareQueue {
            name: "dead".into(),
            passive: true,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: FieldTable::default(),
        }),
    );
    assert!(matches!(state, Reply::QueueDeclared { messages, .. } if messages as usize == count + 1));
}
