//! Requests that concern very much, and what has to be there before.

use leveret::model::administration::{
    ApplyTo, Change, ImportItem, PermissionSpec, PolicyKind, PolicySpec, VhostMetadata,
};
use leveret::model::command::BindingEnds;
use leveret::model::consuming::{ConsumeOptions, Settlement};
use leveret::model::ids::{ConsumerNumber, Position, PositionRange, QueueRef};
use leveret::model::port::BrokerPort;
use leveret::model::request::{Binding, DeclareExchange, DeclareQueue, Reply, Request};
use leveret::server::owners::ShardInput;
use leveret_codec::properties::{Field, encode_short_string};
use leveret_codec::table::{AMQPValue, FieldTable};

use crate::harness::Harness;

/// One request that concerns `count` things, from [`Harness::begin`] on.
pub(crate) type Case = fn(&mut Harness, usize);

pub(crate) const CASES: &[(&str, Case)] = &[
    ("consumers lost", |harness, count| {
        harness.declare("q", |_| {});
        consume_often(harness, count);
        harness.begin();
        harness.lose(1);
    }),
    ("consumers of a closed channel", |harness, count| {
        harness.declare("q", |_| {});
        let at = consume_often(harness, count);
        harness.begin();
        (0..count).for_each(|number| harness.port(1).detach(at, consumer(number)));
        harness.settle();
    }),
    ("consumers of a deleted queue", |harness, count| {
        harness.declare("q", |_| {});
        consume_often(harness, count);
        harness.begin();
        harness.ask(2, delete("q"));
        harness.settle();
    }),
    ("dead letters of one nack", |harness, count| {
        harness.declare("dead", |_| {});
        harness.declare("q", dead_lettering);
        harness.publish(count, &[(Field::DeliveryMode, vec![2])]);
        settle_all(harness, count, Settlement::Discard);
    }),
    ("acks of one ack", |harness, count| {
        harness.declare("q", |_| {});
        harness.publish(count, &[(Field::DeliveryMode, vec![2])]);
        settle_all(harness, count, Settlement::Ack);
    }),
    ("requeued by one recover", |harness, count| {
        harness.declare("q", |_| {});
        harness.publish(count, &[(Field::DeliveryMode, vec![2])]);
        settle_all(harness, count, Settlement::Requeue { failed: false });
    }),
    ("unacked of a lost connection", |harness, count| {
        harness.declare("q", |_| {});
        harness.publish(count, &[(Field::DeliveryMode, vec![2])]);
        harness.take_all(count);
        harness.begin();
        harness.lose(1);
    }),
    ("unacked of a cancelled consumer whose channel is closed", |harness, count| {
        harness.declare("q", |_| {});
        harness.publish(count, &[(Field::DeliveryMode, vec![2])]);
        let (queue, _) = harness.take_all(count);
        harness.begin();
        harness.ask(1, Request::Cancel { queue, consumer: consumer(1) });
        harness.port(1).detach(queue, consumer(1));
        harness.settle();
    }),
    ("expired with dead letters", |harness, count| {
        harness.declare("dead", |_| {});
        harness.declare("q", dead_lettering);
        harness.publish(count, &[(Field::Expiration, encode_short_string(b"3600000"))]);
        harness.begin();
        harness.now = harness.now.plus_millis(3_600_000);
        harness.settle();
    }),
    ("purged", |harness, count| {
        harness.declare("q", |_| {});
        harness.publish(5 * count, &[]);
        harness.begin();
        harness.ask(1, Request::PurgeQueue { name: "q".into() });
        harness.settle();
    }),
    ("messages of a deleted queue", |harness, count| {
        harness.declare("q", |_| {});
        harness.publish(count, &[]);
        harness.begin();
        harness.ask(1, delete("q"));
        harness.settle();
    }),
    ("bindings of a deleted queue", |harness, count| {
        harness.declare("q", |_| {});
        bind(harness, "amq.topic", count);
        harness.begin();
        harness.ask(1, delete("q"));
    }),
    ("bindings made and removed one by one", |harness, count| {
        harness.declare("q", |_| {});
        harness.begin();
        bind(harness, "amq.topic", count);
        for number in 0..count {
            harness.ask(1, Request::UnbindQueue(binding("amq.topic", "q", &format!("a.{number}"))));
        }
    }),
    ("bindings of a deleted exchange", |harness, count| {
        harness.declare("q", |_| {});
        declare_exchange(harness, 1, "x", "topic");
        bind(harness, "x", count);
        harness.begin();
        harness.ask(1, Request::DeleteExchange { name: "x".into(), if_unused: false });
    }),
    ("imported", |harness, count| {
        harness.begin();
        harness.import(imported(count), false);
    }),
    ("imported in vain", |harness, count| {
        let mut items = imported(count);
        items.push(imported_binding("q0", "no exchange"));
        harness.begin();
        harness.import(items, true);
    }),
    ("imported under many policies", |harness, count| {
        for number in 0..150 {
            put_policy(harness, &number.to_string(), "^(?=.*a)(a|aa)+$");
        }
        harness.begin();
        harness.import(imported(count / 100), false);
    }),
    ("exclusive queues of a lost connection", |harness, count| {
        for number in 0..count {
            harness.declare(&number.to_string(), |declare| declare.exclusive = true);
        }
        harness.begin();
        harness.lose(1);
        harness.took_turns_of_catalog(count / 256);
    }),
    ("queues declared one by one", |harness, count| {
        harness.begin();
        declare_many(harness, count);
    }),
    ("queues of a policy", |harness, count| {
        declare_many(harness, count);
        harness.begin();
        put_policy(harness, "p", NASTY);
    }),
    ("a queue that many policies may be meant for", |harness, count| {
        for number in 0..count / 100 {
            put_policy(harness, &number.to_string(), NASTY);
        }
        harness.begin();
        declare_many(harness, 1);
    }),
    ("queues of a deleted vhost", |harness, count| {
        harness.administer(Change::PutVhost { name: "v".into(), metadata: VhostMetadata::default() });
        let permissions = PermissionSpec { configure: ".*".into(), write: ".*".into(), read: ".*".into() };
        let (vhost, user) = ("v".into(), "guest".into());
        harness.administer(Change::PutPermissions { vhost, user, permissions });
        harness.connect_to(1, "v");
        declare_many(harness, count);
        harness.begin();
        harness.administer(Change::DeleteVhost { name: "v".into() });
        harness.took_turns_of_catalog(count / 256);
    }),
    ("publishes of a transaction", |harness, count| {
        harness.declare("q", |_| {});
        harness.publish_to("", "q", 2 * count);
        harness.begin_here();
        harness.commit();
    }),
    ("acks of a transaction", |harness, count| {
        harness.declare("q", |_| {});
        harness.publish(count, &[(Field::DeliveryMode, vec![2])]);
        let (at, _) = harness.take_all(count);
        harness.begin();
        for position in (1..=count as u64).step_by(2) {
            let range = PositionRange::single(Position(position));
            harness.port(1).settle(at, consumer(1), range, Settlement::Ack);
        }
        harness.commit();
    }),
    ("rejects of a transaction", |harness, count| {
        harness.declare("dead", |_| {});
        harness.declare("q", dead_lettering);
        harness.publish(count, &[(Field::DeliveryMode, vec![2])]);
        let (at, range) = harness.take_all(count);
        harness.begin();
        harness.port(1).settle(at, consumer(1), range, Settlement::Discard);
        harness.commit();
    }),
    ("queues of one publish", |harness, count| {
        fan_out(harness, count);
        harness.begin();
        harness.publish_to("x", "", 1);
        harness.settle();
        harness.took_turns_of_shard(count / 2048);
    }),
    ("queues of each of some dead letters", |harness, count| {
        fan_out(harness, count / 100);
        harness.declare("q", |declare| dead_lettering_to("x", declare));
        harness.publish(100, &[(Field::DeliveryMode, vec![2])]);
        settle_all(harness, 100, Settlement::Discard);
    }),
    ("queues of one dead letter", |harness, count| {
        fan_out(harness, count);
        harness.declare("q", |declare| dead_lettering_to("x", declare));
        harness.publish(1, &[(Field::DeliveryMode, vec![2])]);
        settle_all(harness, 1, Settlement::Discard);
    }),
    ("paged out where another queue comes into use", |harness, count| {
        harness.declare("q", |_| {});
        harness.publish(count, &[]);
        for number in 0..4 {
            harness.declare(&format!("other {number}"), |_| {});
        }
        harness.begin();
        for number in 0..4 {
            harness.publish_to("", &format!("other {number}"), 1);
            harness.settle();
        }
    }),
    ("queues where the wall clock is set", |harness, count| {
        declare_many(harness, count);
        harness.declare("q", |_| {});
        harness.begin();
        harness.view.set_wall_ahead(1000);
        harness.publish(1, &[]);
        harness.took_turns_of_shard(count / 2048);
    }),
    ("queues whose windows change", |harness, count| {
        fan_out(harness, count);
        harness.publish_to("x", "", 1);
        harness.begin();
        harness.tell_shard(ShardInput::MemoryBudget(1 << 60));
        harness.took_turns_of_shard(count / 2048);
    }),
    ("queues of one event", |harness, count| {
        declare_many(harness, count);
        for number in 0..count {
            harness.ask(1, Request::BindQueue(binding("amq.rabbitmq.event", &many(number), "vhost.#")));
        }
        harness.begin();
        harness.administer(Change::PutVhost { name: "v".into(), metadata: VhostMetadata::default() });
        harness.took_turns_of_shard(count / 256);
    }),
];

/// Takes thousands of steps back to find that it does not match.
const NASTY: &str = r"^(a|aa)+(?=b)\1?b$|^a+";

pub(crate) fn dead_lettering(declare: &mut DeclareQueue) {
    dead_lettering_to("", declare);
}

fn dead_lettering_to(exchange: &str, declare: &mut DeclareQueue) {
    let text = |text: &str| AMQPValue::LongString(text.into());
    declare.arguments.insert("x-dead-letter-exchange".into(), text(exchange));
    declare.arguments.insert("x-dead-letter-routing-key".into(), text("dead"));
}

fn consumer(number: usize) -> ConsumerNumber {
    ConsumerNumber(u32::try_from(number).unwrap())
}

fn delete(queue: &str) -> Request {
    Request::DeleteQueue { name: queue.into(), if_unused: false, if_empty: false }
}

/// Has connection 1 consume from `q` very often.
fn consume_often(harness: &mut Harness, count: usize) -> QueueRef {
    for number in 0..count {
        let (now, options) = (harness.now, ConsumeOptions::default());
        let consume = Request::Consume { queue: "q".into(), consumer: consumer(number), options };
        harness.port(1).request(now, consume);
    }
    harness.settle();
    harness.place("q")
}

fn declare_many(harness: &mut Harness, count: usize) {
    for number in 0..count {
        harness.declare(&many(number), |_| {});
    }
}

/// The name of one of the queues of [`declare_many`].
fn many(number: usize) -> String {
    format!("{}{number}", "a".repeat(30))
}

fn declare_exchange(harness: &mut Harness, connection: u64, name: &str, kind: &str) {
    let declare = DeclareExchange {
        name: name.into(),
        kind: kind.into(),
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: FieldTable::default(),
    };
    assert!(matches!(harness.ask(connection, Request::DeclareExchange(declare)), Reply::Done));
}

/// An exchange `x` that leads to very many queues.
fn fan_out(harness: &mut Harness, count: usize) {
    declare_exchange(harness, 1, "x", "fanout");
    declare_many(harness, count);
    for number in 0..count {
        harness.ask(1, Request::BindQueue(binding("x", &many(number), "")));
    }
}

fn put_policy(harness: &mut Harness, name: &str, pattern: &str) {
    let mut definition = FieldTable::default();
    definition.insert("max-length".into(), AMQPValue::LongInt(5));
    let (pattern, apply_to, priority) = (pattern.into(), ApplyTo::All, 0);
    let policy = PolicySpec { pattern, apply_to, priority, definition };
    let (vhost, kind, name) = ("/".into(), PolicyKind::Regular, name.into());
    harness.administer(Change::PutPolicy { vhost, kind, name, policy });
}

/// So many queues, each with a binding.
fn imported(count: usize) -> Vec<ImportItem> {
    let queue = |number: usize| {
        let declare = DeclareQueue {
            name: format!("q{number}").into(),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: FieldTable::default(),
        };
        ImportItem::Queue { vhost: "/".into(), declare }
    };
    let bound = |number: usize| imported_binding(&format!("q{number}"), "amq.topic");
    (0..count).map(queue).chain((0..count).map(bound)).collect()
}

fn imported_binding(queue: &str, source: &str) -> ImportItem {
    let binding = binding(source, queue, &format!("a.{queue}"));
    ImportItem::Binding { vhost: "/".into(), to: BindingEnds::Queue, binding }
}

fn settle_all(harness: &mut Harness, count: usize, settlement: Settlement) {
    let (at, range) = harness.take_all(count);
    harness.begin();
    harness.port(1).settle(at, consumer(1), range, settlement);
    harness.settle();
}

fn bind(harness: &mut Harness, source: &str, count: usize) {
    for number in 0..count {
        harness.ask(1, Request::BindQueue(binding(source, "q", &format!("a.{number}"))));
    }
}

fn binding(source: &str, destination: &str, key: &str) -> Binding {
    let (source, destination, routing_key) = (source.into(), destination.into(), key.into());
    Binding { source, destination, routing_key, arguments: FieldTable::default() }
}
