//! Exchanges and bindings (semantics section 5, section 6). Texts as RabbitMQ 4.3 gives them.

#[path = "../../tests/support/thread_time.rs"]
mod thread_time;

use std::time::Duration;

use super::builders::{
    arguments, binding, declare_exchange, declare_queue, delete_queue, int, message, text,
};
use super::harness::Broker;
use crate::model::request::Request;
use thread_time::thread_time;

fn delete_exchange(name: &str, if_unused: bool) -> Request {
    Request::DeleteExchange { name: name.into(), if_unused }
}

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    broker.ask(
        1,
        declare_exchange("x", "direct", |declare| {
            declare.arguments = arguments(&[("alternate-exchange", text("zz"))]);
        }),
    );
    broker
}

#[test]
fn a_declare_checks_type_name_and_equivalence() {
    let mut broker = broker();
    let mut declare = |name: &str, kind: &str, change: fn(&mut crate::model::request::DeclareExchange)| {
        let text = broker.text(1, declare_exchange(name, kind, change));
        text.split_once(" - ").map(|(_, text)| text.to_owned()).unwrap_or_default()
    };
    assert_eq!(declare("", "direct", |_| ()), "operation not permitted on the default exchange");
    assert_eq!(declare("u", "nope", |_| ()), "unknown exchange type 'nope'");
    assert_eq!(declare("amq.u", "direct", |_| ()), "exchange name 'amq.u' contains reserved prefix 'amq.*'");
    assert_eq!(declare("amq.direct", "direct", |_| ()), "");
    assert_eq!(
        declare("amq.direct", "fanout", |_| ()),
        "inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received 'fanout' but current is 'direct'"
    );
    assert_eq!(
        declare("x", "direct", |_| ()),
        "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received none but current is the \
         value 'zz' of type 'longstr'"
    );
    assert_eq!(
        declare("x", "direct", |declare| declare.internal = true),
        "inequivalent arg 'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'"
    );
    assert_eq!(
        declare("y", "direct", |declare| declare.arguments = arguments(&[("alternate-exchange", int(3))])),
        "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'y' in vhost '/'"
    );
    assert_eq!(declare("nox", "", |declare| declare.passive = true), "no exchange 'nox' in vhost '/'");
    assert_eq!(declare("x", "", |declare| declare.passive = true), "");
}

#[test]
fn a_delete_heeds_system_exchanges_and_use() {
    let mut broker = broker();
    assert_eq!(
        broker.text(1, delete_exchange("amq.direct", false)),
        "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"
    );
    assert_eq!(broker.text(1, delete_exchange("nope", false)), "");
    broker.ask(1, Request::BindQueue(binding("x", "q", "k")));
    assert_eq!(
        broker.text(1, delete_exchange("x", true)),
        "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use"
    );
    assert_eq!(broker.text(1, delete_exchange("x", false)), "");
    assert!(broker.view.read().exchange("/", "x").is_none());
}

#[test]
fn bindings_need_both_ends_and_unbinding_needs_none() {
    let mut broker = broker();
    let mut bind = |source: &str, destination: &str| {
        broker.text(1, Request::BindQueue(binding(source, destination, "k")))
    };
    assert_eq!(bind("nox", "noq"), "NOT_FOUND - no exchange 'nox' in vhost '/'");
    assert_eq!(bind("x", "noq"), "NOT_FOUND - no queue 'noq' in vhost '/'");
    assert_eq!(bind("", "q"), "ACCESS_REFUSED - operation not permitted on the default exchange");
    let volatile = "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue";
    assert_eq!(bind("", "amq.rabbitmq.reply-to.x"), volatile);
    assert_eq!(
        bind("x", "amq.rabbitmq.reply-to"),
        "NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'"
    );
    let unbind = Request::UnbindQueue(binding("nox", "amq.rabbitmq.reply-to.x", "k"));
    assert_eq!(broker.text(1, unbind), volatile);
    let e2e = |source: &str, destination: &str| Request::BindExchange(binding(source, destination, "k"));
    assert_eq!(broker.text(1, e2e("x", "nox")), "NOT_FOUND - no exchange 'nox' in vhost '/'");
    assert!(broker.text(1, e2e("x", "")).starts_with("ACCESS_REFUSED"));
    assert_eq!(broker.text(1, Request::UnbindQueue(binding("nox", "noq", "k"))), "");
    assert_eq!(broker.text(1, Request::UnbindQueue(binding("x", "q", "never"))), "");
    let bad = broker.text(1, Request::BindQueue(binding("amq.topic", "q", "#.#.#")));
    assert_eq!(
        bad,
        "PRECONDITION_FAILED - Topic binding key '#.#.#' uses 3 '#' wildcards, at most 2 are allowed"
    );
}

#[test]
fn auto_delete_exchanges_go_one_after_the_other() {
    let mut broker = broker();
    let long = 2000;
    for at in 0..long {
        broker.ask(1, declare_exchange(&format!("a{at}"), "fanout", |declare| declare.auto_delete = true));
    }
    for at in 1..long {
        let (source, destination) = (format!("a{}", at - 1), format!("a{at}"));
        broker.ask(1, Request::BindExchange(binding(&source, &destination, "")));
    }
    let last = binding(&format!("a{}", long - 1), "q", "");
    broker.ask(1, Request::BindQueue(last.clone()));
    let before = broker.view.read().exchanges().count();
    broker.ask(1, Request::UnbindQueue(last));
    assert_eq!(broker.view.read().exchanges().count(), before - long);
    assert!(!broker.records.values().any(|value| value.windows(4).any(|bytes| bytes == b"a199")));
}

#[test]
fn records_are_kept_of_bindings_between_durable_ends_alone() {
    let mut broker = broker();
    broker.ask(1, declare_exchange("t", "direct", |declare| declare.durable = false));
    broker.ask(1, declare_queue("tq", |declare| declare.durable = false));
    broker.ask(1, declare_queue("eq", |declare| declare.exclusive = true));
    let before = broker.records.len();
    for (source, destination) in [("t", "q"), ("x", "tq"), ("x", "eq")] {
        broker.ask(1, Request::BindQueue(binding(source, destination, "k")));
    }
    assert_eq!(broker.records.len(), before);
    broker.ask(1, Request::BindQueue(binding("x", "q", "k")));
    broker.ask(1, Request::BindQueue(binding("x", "q", "k")));
    broker.ask(1, Request::BindExchange(binding("x", "amq.topic", "k")));
    assert_eq!(broker.records.len(), before + 2);
    broker.ask(1, delete_queue("q", false, false));
    assert_eq!(broker.records.len(), before + 2 - 1 - 1, "the queue and its binding");
    broker.ask(1, delete_exchange("x", false));
    assert_eq!(broker.records.len(), before - 2, "the exchange and its binding");
}

#[test]
fn what_matches_nothing_goes_to_the_alternate_exchange() {
    let mut broker = broker();
    broker.ask(1, Request::BindQueue(binding("x", "q", "k")));
    broker.ask(1, declare_queue("rest", |_| ()));
    broker.ask(1, declare_exchange("zz", "fanout", |_| ()));
    broker.ask(1, Request::BindQueue(binding("zz", "rest", "")));
    broker.publish(1, message("x", "k", &[]), None);
    broker.publish(1, message("x", "other", &[]), None);
    assert_eq!((broker.counts(1, "q").0, broker.counts(1, "rest").0), (1, 1));
}

#[test]
fn ten_thousand_bindings_are_made_and_removed_in_no_time() {
    let mut broker = broker();
    let start = thread_time();
    for at in 0..10_000 {
        broker.ask(1, Request::BindQueue(binding("x", "q", &format!("k{at}"))));
    }
    broker.ask(1, delete_queue("q", false, false));
    let took = thread_time() - start;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(broker.view.read().exchange("/", "x").unwrap().routes.is_empty());
}
