//! The broker after a restart: what was recorded is there, what was not is not.

use super::harness::{
    Broker, arguments, binding, declare_exchange, declare_queue, delete_queue, int, message, persistent,
    queue_with, text,
};
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
    let key = broker.records.keys().find(|key| key.ends_with(b"bad")).cloned().unwrap();
    broker.records.insert(key, vec![77]);
    let broker = broker.restarted();
    assert_eq!(broker.catalog.bad_records().len(), 2, "the queue and its binding");
    let state = broker.view.read();
    assert!(state.queue("/", "good").is_some() && state.queue("/", "bad").is_none());
    assert_eq!(state.exchange("/", "amq.direct").unwrap().routes.len(), 1);
}
