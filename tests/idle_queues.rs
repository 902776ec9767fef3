//! What a queue costs that nobody uses: the bytes that catalog, view and shard hold for one, by kind of queue, before it is used
//! and when it is empty again. The store's part is not counted here, nor what the allocator takes besides. The bound is the one
//! of docs/bounds.md.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "idle_queues/counting.rs"]
mod counting;
#[allow(dead_code, reason = "most of it is for other tests")]
#[path = "turns/harness.rs"]
mod harness;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use leveret::model::administration::{ApplyTo, Change, PolicyKind, PolicySpec};
use leveret::model::consuming::{ConsumeOptions, Settlement};
use leveret::model::event::SessionEvent;
use leveret::model::ids::{ConnectionId, ConsumerNumber, PositionRange};
use leveret::model::message::{Body, Message, Origin};
use leveret::model::port::BrokerPort;
use leveret::model::request::{DeclareQueue, Reply, Request};
use leveret::server::owners::ShardInput;
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{AMQPValue, FieldTable};

use counting::{Counting, live};
use harness::Harness;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Queues of a kind: so many that tables of them are about half full, which is not the best case.
const COUNT: usize = 2_000;
/// Bytes that owners hold for a queue whose arguments say little; see docs/bounds.md.
const BOUND: usize = 1_536;
/// For each argument beyond the first, and for what the queue does because of it.
const BOUND_PER_ARGUMENT: usize = 64;

const DAY: i32 = 86_400_000;

/// A kind of queue.
struct Kind {
    name: &'static str,
    durable: bool,
    exclusive: bool,
    /// A policy applies to it.
    governed: bool,
    arguments: &'static [(&'static str, Value)],
}

#[derive(Clone, Copy)]
enum Value {
    Word(&'static str),
    Number(i32),
}

const CLASSIC: Kind =
    Kind { name: "classic", durable: true, exclusive: false, governed: false, arguments: &[] };
const EXCLUSIVE: Kind = Kind { name: "exclusive", durable: false, exclusive: true, ..CLASSIC };
const GOVERNED: Kind = Kind { name: "governed", governed: true, ..CLASSIC };
const QUORUM: Kind =
    Kind { name: "quorum", arguments: &[("x-queue-type", Value::Word("quorum"))], ..CLASSIC };
const PRIORITIES: Kind =
    Kind { name: "priorities", arguments: &[("x-max-priority", Value::Number(255))], ..CLASSIC };
const LIMITS: Kind = Kind {
    name: "limits",
    arguments: &[
        ("x-message-ttl", Value::Number(DAY)),
        ("x-expires", Value::Number(DAY)),
        ("x-max-length", Value::Number(1000)),
        ("x-max-length-bytes", Value::Number(1 << 20)),
        ("x-overflow", Value::Word("reject-publish")),
        ("x-dead-letter-exchange", Value::Word("amq.direct")),
        ("x-dead-letter-routing-key", Value::Word("dead")),
        ("x-dead-letter-strategy", Value::Word("at-least-once")),
    ],
    ..CLASSIC
};

impl Kind {
    fn declare(&self, harness: &mut Harness, name: &str) {
        harness.declare(name, |declare: &mut DeclareQueue| {
            (declare.durable, declare.exclusive) = (self.durable, self.exclusive);
            for &(argument, value) in self.arguments {
                let value = match value {
                    Value::Word(word) => AMQPValue::LongString(word.into()),
                    Value::Number(number) => AMQPValue::LongInt(number),
                };
                declare.arguments.insert(argument.into(), value);
            }
        });
    }

    fn bound(&self) -> usize {
        BOUND + self.arguments.len().saturating_sub(1) * BOUND_PER_ARGUMENT
    }
}

/// Puts a policy for all queues.
fn govern(harness: &mut Harness) {
    let mut definition = FieldTable::default();
    definition.insert("max-length".into(), AMQPValue::LongInt(1000));
    definition.insert("message-ttl".into(), AMQPValue::LongInt(DAY));
    let policy = PolicySpec { pattern: "".into(), apply_to: ApplyTo::Queues, priority: 0, definition };
    let (vhost, kind, name) = ("/".into(), PolicyKind::Regular, "all".into());
    harness.administer(Change::PutPolicy { vhost, kind, name, policy });
}

/// Bytes that the owners of a broker with so many queues of this kind hold, after each was used where `uses` says how.
fn held(kind: &Kind, count: usize, uses: fn(&mut Harness, &str)) -> usize {
    let mut harness = Harness::new();
    if kind.governed {
        govern(&mut harness);
    }
    for number in 0..count {
        kind.declare(&mut harness, &format!("queue-{number:05}"));
    }
    for number in 0..count {
        uses(&mut harness, &format!("queue-{number:05}"));
    }
    harness.settle();
    // It is kept for some seconds, for those who use it again.
    harness.now = harness.now.plus_millis(10_000);
    harness.settle();
    let Harness { view, shared, catalog, shard, store, mail, ports, .. } = harness;
    drop((store, mail, ports));
    let before = live();
    drop((view, shared, catalog, shard));
    usize::try_from(before - live()).expect("owners held something")
}

fn per_queue(kind: &Kind, uses: fn(&mut Harness, &str)) -> usize {
    let of_all = held(kind, COUNT, uses) - held(kind, 0, uses);
    let of_each = of_all / COUNT;
    println!("{}: {of_each} bytes, {} at the most", kind.name, kind.bound());
    of_each
}

fn unused(_: &mut Harness, _: &str) {}

/// One message each of three priorities.
fn publish(harness: &mut Harness, queue: &str) {
    for priority in [0, 7, 255] {
        let fields = [(Field::DeliveryMode, Some(vec![2])), (Field::Priority, Some(vec![priority]))];
        let raw = Properties::default().with(&fields);
        let properties = Properties::parse(&raw).expect("properties of our own making");
        let body = Body::whole(Bytes::from_static(b"body"));
        let (key, room) = (queue.as_bytes(), &mut BytesMut::new());
        let message = Message::new(room, b"", key, properties, body, Origin::Client);
        let now = harness.now;
        let routed =
            harness.port(1).route(now, 1, Arc::new(message)).expect("there is no reason to refuse it");
        assert_eq!(routed.queues.len(), 1);
        harness.port(1).submit(routed, None);
    }
    harness.settle();
}

/// The messages are consumed and acked, and the consumer goes.
fn consumed(harness: &mut Harness, queue: &str) {
    publish(harness, queue);
    let (consumer, options) = (ConsumerNumber(1), ConsumeOptions::default());
    harness.mail.events.clear();
    let now = harness.now;
    harness.port(1).request(now, Request::Consume { queue: queue.into(), consumer, options });
    harness.settle();
    let events = harness.mail.events.remove(&ConnectionId(1)).unwrap_or_default();
    let positions: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Deliver(delivery) => Some(delivery.position),
            _ => None,
        })
        .collect();
    assert_eq!(positions.len(), 3);
    harness.tell_shard(ShardInput::Drained { connection: ConnectionId(1), bytes: 1 << 30 });
    let at = harness.place(queue);
    for position in positions {
        harness.port(1).settle(at, consumer, PositionRange::single(position), Settlement::Ack);
    }
    assert!(matches!(harness.ask(1, Request::Cancel { queue: at, consumer }), Reply::Done));
}

/// The messages are fetched one by one and acked.
fn fetched(harness: &mut Harness, queue: &str) {
    publish(harness, queue);
    let at = harness.place(queue);
    let consumer = ConsumerNumber(1);
    for _ in 0..3 {
        let get = Request::Get { queue: queue.into(), consumer, no_ack: false };
        let Reply::Got { delivery, .. } = harness.ask(1, get) else { panic!("there is a message") };
        harness.port(1).settle(at, consumer, PositionRange::single(delivery.position), Settlement::Ack);
    }
    harness.settle();
}

#[test]
fn an_idle_queue_of_any_kind_takes_little() {
    for kind in [CLASSIC, EXCLUSIVE, GOVERNED, QUORUM, PRIORITIES, LIMITS] {
        let each = per_queue(&kind, unused);
        assert!(each <= kind.bound(), "{}: {each} bytes", kind.name);
    }
}

#[test]
fn a_queue_that_is_empty_again_takes_as_little() {
    for kind in [CLASSIC, EXCLUSIVE, GOVERNED, QUORUM, PRIORITIES, LIMITS] {
        for uses in [consumed, fetched] {
            let each = per_queue(&kind, uses);
            assert!(each <= kind.bound(), "{}: {each} bytes", kind.name);
        }
    }
}
