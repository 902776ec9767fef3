//! Requests that concern very much, and what has to be there before.

use leveret::model::administration::{
    ApplyTo, Change, PermissionSpec, PolicyKind, PolicySpec, VhostMetadata,
};
use leveret::model::consuming::{ConsumeOptions, Settlement};
use leveret::model::ids::{ConsumerNumber, Position, PositionRange, QueueRef};
use leveret::model::port::BrokerPort;
use leveret::model::request::{Binding, DeclareExchange, DeclareQueue, Reply, Request};
use leveret::server::owners::ShardInput;
use leveret_codec::properties::{Field, encode_short_string};
use leveret_codec::table::{AMQPValue, FieldTable};

use crate::house::House;

/// One request that concerns `count` things, from [`House::begin`] on.
pub(crate) type Case = fn(&mut House, usize);

pub(crate) const CASES: &[(&str, Case)] = &[
    ("consumers lost", |house, count| {
        house.declare("q", |_| {});
        consume_often(house, count);
        house.begin();
        house.lose(1);
    }),
    ("consumers of a closed channel", |house, count| {
        house.declare("q", |_| {});
        let at = consume_often(house, count);
        house.begin();
        (0..count).for_each(|number| house.port(1).detach(at, consumer(number)));
        house.settle();
    }),
    ("consumers of a deleted queue", |house, count| {
        house.declare("q", |_| {});
        consume_often(house, count);
        house.begin();
        house.ask(2, delete("q"));
        house.settle();
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
        house.publish(count, &[(Field::DeliveryMode, vec![2])]);
        settle_all(house, count, Settlement::Requeue { failed: false });
    }),
    ("unacked of a lost connection", |house, count| {
        house.declare("q", |_| {});
        house.publish(count, &[(Field::DeliveryMode, vec![2])]);
        house.take_all(count);
        house.begin();
        house.lose(1);
    }),
    ("unacked of a cancelled consumer whose channel is closed", |house, count| {
        house.declare("q", |_| {});
        house.publish(count, &[(Field::DeliveryMode, vec![2])]);
        let (queue, _) = house.take_all(count);
        house.begin();
        house.ask(1, Request::Cancel { queue, consumer: consumer(1) });
        house.port(1).detach(queue, consumer(1));
        house.settle();
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
        house.publish(5 * count, &[]);
        house.begin();
        house.ask(1, Request::PurgeQueue { name: "q".into() });
        house.settle();
    }),
    ("messages of a deleted queue", |house, count| {
        house.declare("q", |_| {});
        house.publish(count, &[]);
        house.begin();
        house.ask(1, delete("q"));
        house.settle();
    }),
    ("bindings of a deleted queue", |house, count| {
        house.declare("q", |_| {});
        bind(house, "amq.topic", count);
        house.begin();
        house.ask(1, delete("q"));
    }),
    ("bindings made and removed one by one", |house, count| {
        house.declare("q", |_| {});
        house.begin();
        bind(house, "amq.topic", count);
        for number in 0..count {
            house.ask(1, Request::UnbindQueue(binding("amq.topic", "q", &format!("a.{number}"))));
        }
    }),
    ("bindings of a deleted exchange", |house, count| {
        house.declare("q", |_| {});
        declare_exchange(house, 1, "x", "topic");
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
        house.took_turns_of_catalog(count / 256);
    }),
    ("queues declared one by one", |house, count| {
        house.begin();
        declare_many(house, count);
    }),
    ("queues of a policy", |house, count| {
        declare_many(house, count);
        house.begin();
        put_policy(house, "p", NASTY);
    }),
    ("a queue that many policies may be meant for", |house, count| {
        for number in 0..count / 100 {
            put_policy(house, &number.to_string(), NASTY);
        }
        house.begin();
        declare_many(house, 1);
    }),
    ("queues of a deleted vhost", |house, count| {
        house.administer(Change::PutVhost { name: "v".into(), metadata: VhostMetadata::default() });
        let permissions = PermissionSpec { configure: ".*".into(), write: ".*".into(), read: ".*".into() };
        let (vhost, user) = ("v".into(), "guest".into());
        house.administer(Change::PutPermissions { vhost, user, permissions });
        house.connect_to(1, "v");
        declare_many(house, count);
        house.begin();
        house.administer(Change::DeleteVhost { name: "v".into() });
        house.took_turns_of_catalog(count / 256);
    }),
    ("publishes of a transaction", |house, count| {
        house.declare("q", |_| {});
        house.publish_to("", "q", 2 * count);
        house.begin_here();
        house.commit();
    }),
    ("acks of a transaction", |house, count| {
        house.declare("q", |_| {});
        house.publish(count, &[(Field::DeliveryMode, vec![2])]);
        let (at, _) = house.take_all(count);
        house.begin();
        for position in (1..=count as u64).step_by(2) {
            let range = PositionRange::single(Position(position));
            house.port(1).settle(at, consumer(1), range, Settlement::Ack);
        }
        house.commit();
    }),
    ("rejects of a transaction", |house, count| {
        house.declare("dead", |_| {});
        house.declare("q", dead_lettering);
        house.publish(count, &[(Field::DeliveryMode, vec![2])]);
        let (at, range) = house.take_all(count);
        house.begin();
        house.port(1).settle(at, consumer(1), range, Settlement::Discard);
        house.commit();
    }),
    ("queues of one publish", |house, count| {
        fan_out(house, count);
        house.begin();
        house.publish_to("x", "", 1);
        house.settle();
        house.took_turns_of_shard(count / 2048);
    }),
    ("queues of each of some dead letters", |house, count| {
        fan_out(house, count / 100);
        house.declare("q", |declare| dead_lettering_to("x", declare));
        house.publish(100, &[(Field::DeliveryMode, vec![2])]);
        settle_all(house, 100, Settlement::Discard);
    }),
    ("queues of one dead letter", |house, count| {
        fan_out(house, count);
        house.declare("q", |declare| dead_lettering_to("x", declare));
        house.publish(1, &[(Field::DeliveryMode, vec![2])]);
        settle_all(house, 1, Settlement::Discard);
    }),
    ("paged out where another queue comes into use", |house, count| {
        house.declare("q", |_| {});
        house.publish(count, &[]);
        for number in 0..4 {
            house.declare(&format!("other {number}"), |_| {});
        }
        house.begin();
        for number in 0..4 {
            house.publish_to("", &format!("other {number}"), 1);
            house.settle();
        }
    }),
    ("queues where the wall clock is set", |house, count| {
        declare_many(house, count);
        house.declare("q", |_| {});
        house.begin();
        house.view.set_wall_ahead(1000);
        house.publish(1, &[]);
        house.took_turns_of_shard(count / 2048);
    }),
    ("queues whose windows change", |house, count| {
        fan_out(house, count);
        house.publish_to("x", "", 1);
        house.begin();
        house.tell_shard(ShardInput::MemoryBudget(1 << 60));
        house.took_turns_of_shard(count / 2048);
    }),
    ("queues of one event", |house, count| {
        declare_many(house, count);
        for number in 0..count {
            house.ask(1, Request::BindQueue(binding("amq.rabbitmq.event", &many(number), "vhost.#")));
        }
        house.begin();
        house.administer(Change::PutVhost { name: "v".into(), metadata: VhostMetadata::default() });
        house.took_turns_of_shard(count / 256);
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
fn consume_often(house: &mut House, count: usize) -> QueueRef {
    for number in 0..count {
        let (now, options) = (house.now, ConsumeOptions::default());
        let consume = Request::Consume { queue: "q".into(), channel: 1, consumer: consumer(number), options };
        house.port(1).request(now, consume);
    }
    house.settle();
    house.place("q")
}

fn declare_many(house: &mut House, count: usize) {
    for number in 0..count {
        house.declare(&many(number), |_| {});
    }
}

/// The name of one of the queues of [`declare_many`].
fn many(number: usize) -> String {
    format!("{}{number}", "a".repeat(30))
}

fn declare_exchange(house: &mut House, connection: u64, name: &str, kind: &str) {
    let declare = DeclareExchange {
        name: name.into(),
        kind: kind.into(),
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: FieldTable::default(),
    };
    assert!(matches!(house.ask(connection, Request::DeclareExchange(declare)), Reply::Done));
}

/// An exchange `x` that leads to very many queues.
fn fan_out(house: &mut House, count: usize) {
    declare_exchange(house, 1, "x", "fanout");
    declare_many(house, count);
    for number in 0..count {
        house.ask(1, Request::BindQueue(binding("x", &many(number), "")));
    }
}

fn put_policy(house: &mut House, name: &str, pattern: &str) {
    let mut definition = FieldTable::default();
    definition.insert("max-length".into(), AMQPValue::LongInt(5));
    let (pattern, apply_to, priority) = (pattern.into(), ApplyTo::All, 0);
    let policy = PolicySpec { pattern, apply_to, priority, definition };
    let (vhost, kind, name) = ("/".into(), PolicyKind::Regular, name.into());
    house.administer(Change::PutPolicy { vhost, kind, name, policy });
}

fn settle_all(house: &mut House, count: usize, settlement: Settlement) {
    let (at, range) = house.take_all(count);
    house.begin();
    house.port(1).settle(at, consumer(1), range, settlement);
    house.settle();
}

fn bind(house: &mut House, source: &str, count: usize) {
    for number in 0..count {
        house.ask(1, Request::BindQueue(binding(source, "q", &format!("a.{number}"))));
    }
}

fn binding(source: &str, destination: &str, key: &str) -> Binding {
    let (source, destination, routing_key) = (source.into(), destination.into(), key.into());
    Binding { source, destination, routing_key, arguments: FieldTable::default() }
}
