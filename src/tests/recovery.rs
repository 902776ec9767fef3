//! The broker after a restart: what was recorded is there, what was not is not.

use super::builders::{
    arguments, binding, declare_exchange, declare_queue, delete_queue, int, message, persistent, queue_with,
    text,
};
use super::harness::Broker;
use crate::catalog::CatalogEffects;
use crate::model::administration::{Change, PermissionSpec, VhostMetadata};
use crate::model::op::CatalogOp;
use crate::model::request::{Binding, Request};

#[test]
fn durable_things_come_back_as_they_were() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.add_user("bob", "^b", "^b", "");
    broker.ask(1, queue_with("q", &[("x-max-length", int(5)), ("x-foo", text("bar"))]));
    broker.ask(
        1,
        declare_exchange("x", "topic", |declare| {
            declare.internal = true;
            declare.arguments = arguments(&[("alternate-exchange", text("amq.fanout"))]);
        }),
    );
    broker.ask(1, declare_exchange("y", "headers", |_| ()));
    broker.ask(1, Request::BindQueue(binding("x", "q", "a.#")));
    broker.ask(1, Request::BindExchange(binding("y", "x", "")));
    let with_arguments = Binding { arguments: arguments(&[("a", int(1))]), ..binding("y", "q", "k") };
    broker.ask(1, Request::BindQueue(with_arguments));
    broker.publish(1, message("", "q", &[persistent()]), None);
    broker.publish(1, message("", "q", &[]), None);
    let id = broker.view.read().queue("/", "q").unwrap().at;

    let mut broker = broker.restarted();
    assert_eq!(broker.catalog.bad_records(), []);
    broker.connect(1);
    broker.connect_as(2, "bob", "pw");
    let state = broker.view.read();
    assert_eq!(state.queue("/", "q").unwrap().at, id);
    let exchange = state.exchange("/", "x").unwrap();
    assert_eq!((exchange.routes.len(), exchange.internal), (1, true));
    assert_eq!(exchange.alternate.as_deref(), Some("amq.fanout"));
    assert_eq!(state.exchange("/", "y").unwrap().routes.len(), 2);
    drop(state);
    assert_eq!(broker.counts(1, "q"), (1, 0), "the persistent one");
    assert_eq!(broker.text(1, queue_with("q", &[("x-max-length", int(5))])), "");
    assert!(broker.text(1, queue_with("q", &[])).contains("'x-max-length'"));
    assert!(broker.text(2, declare_queue("q", |_| ())).starts_with("ACCESS_REFUSED"));
}

#[test]
fn bindings_come_back_in_the_order_they_were_made_in() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_exchange("x", "x-consistent-hash", |_| ()));
    // Of those of `a` the first counts, and each has a smaller key than the one before it.
    for (queue, weight) in [("b", "50"), ("a", "90"), ("a", "50")] {
        broker.ask(1, declare_queue(queue, |_| ()));
        broker.ask(1, Request::BindQueue(binding("x", queue, weight)));
    }
    let shares = |broker: &mut Broker| {
        for number in 0..1000 {
            broker.publish(1, message("x", &format!("{number}"), &[]), None);
        }
        let share = broker.counts(1, "a").0;
        broker.ask(1, Request::PurgeQueue { name: "a".into() });
        share
    };
    let before = shares(&mut broker);
    assert!((600..690).contains(&before), "{before}");
    let mut broker = broker.restarted();
    broker.connect(1);
    assert_eq!(shares(&mut broker), before);
    broker.ask(1, Request::BindQueue(binding("x", "a", "1")));
    broker.ask(1, Request::UnbindQueue(binding("x", "a", "90")));
    let mut broker = broker.restarted();
    broker.connect(1);
    let after = shares(&mut broker);
    assert!((450..550).contains(&after), "what was made after a restart comes later: {after}");
}

#[test]
fn what_is_not_durable_is_gone_and_leaves_no_record() {
    let mut broker = Broker::new();
    let before = broker.records.len();
    broker.connect(1);
    broker.ask(1, declare_queue("t", |declare| declare.durable = false));
    broker.ask(1, declare_queue("ex", |declare| declare.exclusive = true));
    broker.ask(1, declare_exchange("tx", "direct", |declare| declare.durable = false));
    broker.ask(1, declare_queue("deleted", |_| ()));
    broker.ask(1, delete_queue("deleted", false, false));
    assert_eq!(broker.records.len(), before + 1, "the ids that are taken");
    let broker = broker.restarted();
    let state = broker.view.read();
    assert_eq!(state.queues().count(), 0);
    assert!(state.exchange("/", "tx").is_none());
    assert!(state.exchange("/", "amq.direct").is_some());
}

#[test]
fn no_queue_id_is_used_twice() {
    let mut broker = Broker::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        broker.connect(1);
        for _ in 0..5 {
            broker.ask(1, declare_queue("q", |declare| declare.durable = false));
            let id = broker.view.read().queue("/", "q").unwrap().at.queue;
            assert!(seen.insert(id), "{id} again");
            broker.ask(1, delete_queue("q", false, false));
        }
        broker = broker.restarted();
    }
}

#[test]
fn a_bad_record_costs_itself_and_what_hangs_on_it() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("good", |_| ()));
    broker.ask(1, declare_queue("bad", |_| ()));
    broker.ask(1, Request::BindQueue(binding("amq.direct", "good", "k")));
    broker.ask(1, Request::BindQueue(binding("amq.direct", "bad", "k")));
    broker.publish(1, message("", "bad", &[persistent()]), None);
    let bad = broker.view.read().queue("/", "bad").unwrap().at.queue;
    let key = broker.records.keys().find(|key| key.ends_with(b"bad")).cloned().unwrap();
    broker.records.insert(key, vec![77]);
    let broker = broker.restarted();
    assert_eq!(broker.catalog.bad_records().len(), 2, "the queue and its binding");
    assert_eq!(broker.apart, [(bad, 1)], "its message is nobody's, and nobody deletes it");
    assert!(broker.stored.keys().any(|(queue, _, _)| *queue == bad));
    let state = broker.view.read();
    assert!(state.queue("/", "good").is_some() && state.queue("/", "bad").is_none());
    assert_eq!(state.exchange("/", "amq.direct").unwrap().routes.len(), 1);
}

/// A vhost where guest may do everything.
fn put_vhost(broker: &mut Broker, name: &str) {
    broker.administer(Change::PutVhost { name: name.into(), metadata: VhostMetadata::default() }).unwrap();
    let all = || ".*".into();
    let permissions = PermissionSpec { configure: all(), write: all(), read: all() };
    let (vhost, user) = (name.into(), "guest".into());
    broker.administer(Change::PutPermissions { vhost, user, permissions }).unwrap();
}

/// The tombstones among the records.
fn tombstones(broker: &Broker) -> usize {
    broker.records.keys().filter(|key| key[0] == 13).count()
}

#[test]
fn a_deletion_that_a_crash_came_before_is_completed() {
    let mut broker = Broker::new();
    put_vhost(&mut broker, "v");
    broker.connect_to(1, "v");
    broker.ask(1, declare_queue("q", |_| ()));
    broker.ask(1, declare_queue("t", |declare| declare.durable = false));
    broker.ask(
        1,
        declare_exchange("x", "x-delayed-message", |declare| {
            declare.arguments = arguments(&[("x-delayed-type", text("direct"))]);
        }),
    );
    broker.publish(1, message("", "q", &[persistent()]), None);
    let id = broker.view.read().queue("v", "q").unwrap().at.queue;
    broker.shards_stand = true;
    broker.administer(Change::DeleteVhost { name: "v".into() }).unwrap();
    assert_eq!(tombstones(&broker), 2, "of the durable queue and of what the exchange keeps");
    assert!(!broker.stored.is_empty());
    let broker = broker.restarted();
    assert_eq!((tombstones(&broker), broker.stored.len(), broker.apart.len()), (0, 0, 0));
    let mut broker = broker.restarted();
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    assert!(broker.view.read().queue("/", "q").unwrap().at.queue > id);
}

#[test]
fn a_tombstone_goes_once_the_shard_has_deleted() {
    let mut broker = Broker::new();
    put_vhost(&mut broker, "v");
    broker.connect_to(1, "v");
    broker.ask(1, declare_queue("q", |_| ()));
    broker.publish(1, message("", "q", &[persistent()]), None);
    broker.administer(Change::DeleteVhost { name: "v".into() }).unwrap();
    assert_eq!((tombstones(&broker), broker.stored.len()), (0, 0));
}

#[test]
fn messages_without_a_queue_are_kept_and_can_be_given_to_one() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("lost", |_| ()));
    broker.publish(1, message("", "lost", &[persistent()]), None);
    let id = broker.view.read().queue("/", "lost").unwrap().at.queue;
    // As an older catalog would be: it knows neither the queue nor that its id was taken.
    broker.records.retain(|key, _| key[0] != 5 && key[0] != 0);
    for _ in 0..2 {
        broker = broker.restarted();
        assert_eq!(broker.apart, [(id, 1)]);
        broker.connect(1);
        broker.ask(1, declare_queue("other", |_| ()));
        assert!(broker.view.read().queue("/", "other").unwrap().at.queue > id, "its id is not given again");
    }
    let mut fx = CatalogEffects::default();
    let mut adopt = |vhost: &str, name: &str| {
        broker
            .catalog
            .adopt_queue(id, &vhost.into(), &name.into(), &mut fx)
            .map_err(|error| error.to_string())
    };
    assert!(adopt("nowhere", "q").unwrap_err().contains("no vhost 'nowhere'"));
    assert!(adopt("/", "other").unwrap_err().contains("exists already"));
    assert!(adopt("/", "amq.q").unwrap_err().contains("cannot be a queue's name"));
    adopt("/", "found").unwrap();
    for op in fx.ops {
        let CatalogOp::Put { key, value } = op else { panic!("{op:?}") };
        broker.records.insert(key, value);
    }
    let mut broker = broker.restarted();
    assert_eq!(broker.apart, []);
    broker.connect(1);
    assert_eq!(broker.counts(1, "found"), (1, 0));
}
