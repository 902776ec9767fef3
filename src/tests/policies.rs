//! Policies at work on queues and exchanges that are there and that come (semantics section 17).

use leveret_codec::table::AMQPValue;

use super::builders::{arguments, binding, declare_exchange, declare_queue, int, message, text};
use super::harness::Broker;
use crate::model::administration::{AdministrationError, Applied, ApplyTo, Change, PolicyKind, PolicySpec};
use crate::model::request::Request;

fn put(kind: PolicyKind, name: &str, pattern: &str, fields: &[(&str, AMQPValue)]) -> Change {
    let policy = PolicySpec {
        pattern: pattern.into(),
        apply_to: ApplyTo::All,
        priority: 0,
        definition: arguments(fields),
    };
    Change::PutPolicy { vhost: "/".into(), kind, name: name.into(), policy }
}

fn regular(name: &str, pattern: &str, fields: &[(&str, AMQPValue)]) -> Change {
    put(PolicyKind::Regular, name, pattern, fields)
}

fn delete(name: &str) -> Change {
    Change::DeletePolicy { vhost: "/".into(), kind: PolicyKind::Regular, name: name.into() }
}

fn publish(broker: &mut Broker, count: usize) {
    for _ in 0..count {
        broker.publish(1, message("", "q", &[]), None);
    }
}

#[test]
fn a_policy_applies_to_queues_that_are_there_and_to_those_that_come() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    publish(&mut broker, 5);
    assert_eq!(broker.administer(regular("p", "^q", &[("max-length", int(2))])), Ok(Applied::Created));
    assert_eq!(broker.counts(1, "q"), (2, 0), "a shrunk limit drops at once");
    broker.ask(1, declare_queue("q2", |_| ()));
    broker.ask(1, declare_queue("other", |_| ()));
    let policy = |name| broker.view.read().queue("/", name).unwrap().policies.regular.clone();
    assert_eq!(policy("q2").as_deref(), Some("p"));
    assert_eq!(policy("other"), None);
    let operator = put(PolicyKind::Operator, "o", "", &[("max-length", int(1))]);
    assert_eq!(broker.administer(operator), Ok(Applied::Created));
    assert_eq!(broker.counts(1, "q"), (1, 0));
    assert_eq!(broker.administer(regular("p", "^q", &[("max-length", int(9))])), Ok(Applied::Changed));
    publish(&mut broker, 3);
    assert_eq!(broker.counts(1, "q"), (1, 0));
}

#[test]
fn a_policy_that_goes_lets_arguments_hold_alone_again() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, super::builders::queue_with("q", &[("x-max-length", int(3))]));
    broker.administer(regular("p", "", &[("max-length", int(1))])).unwrap();
    publish(&mut broker, 5);
    assert_eq!(broker.counts(1, "q"), (1, 0));
    assert_eq!(broker.administer(delete("p")), Ok(Applied::Changed));
    publish(&mut broker, 5);
    assert_eq!(broker.counts(1, "q"), (3, 0));
    let missing = AdministrationError::NoPolicy { vhost: "/".into(), name: "p".into() };
    assert_eq!(broker.administer(delete("p")), Err(missing));
}

#[test]
fn a_source_that_is_no_longer_at_least_once_drops_the_dead_letters_that_nobody_took() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, super::builders::queue_with("q", &[("x-queue-type", text("quorum"))]));
    let at_least_once = [
        ("dead-letter-exchange", text("nowhere")),
        ("dead-letter-strategy", text("at-least-once")),
        ("overflow", text("reject-publish")),
        ("message-ttl", int(10)),
    ];
    broker.administer(regular("p", "q", &at_least_once)).unwrap();
    publish(&mut broker, 2);
    broker.pass(100_000);
    assert_eq!((broker.counts(1, "q").0, broker.stored.len()), (0, 2));
    broker.administer(delete("p")).unwrap();
    broker.pass(100_000);
    assert!(broker.stored.is_empty());
}

#[test]
fn policies_hold_after_a_restart_and_are_not_taken_for_arguments() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.administer(regular("p", "", &[("max-length", int(1))])).unwrap();
    broker.ask(1, declare_queue("q", |_| ()));
    let mut broker = broker.restarted();
    broker.connect(1);
    publish(&mut broker, 5);
    assert_eq!(broker.counts(1, "q"), (1, 0));
    broker.administer(delete("p")).unwrap();
    publish(&mut broker, 5);
    assert_eq!(broker.counts(1, "q"), (6, 0));
}

#[test]
fn dead_letters_go_where_a_policy_says() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    broker.ask(1, declare_queue("dead", |_| ()));
    let fields = [
        ("dead-letter-exchange", text("")),
        ("dead-letter-routing-key", text("dead")),
        ("max-length", int(1)),
    ];
    broker.administer(regular("p", "^q$", &fields)).unwrap();
    publish(&mut broker, 3);
    assert_eq!(broker.counts(1, "dead"), (2, 0));
}

#[test]
fn an_alternate_exchange_may_come_from_a_policy() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_exchange("x", "direct", |_| ()));
    broker.ask(1, declare_queue("q", |_| ()));
    broker.ask(1, Request::BindQueue(binding("amq.fanout", "q", "")));
    let reaches = |broker: &mut Broker| {
        let routed = broker.route(1, message("x", "k", &[])).unwrap();
        !routed.is_unroutable()
    };
    assert!(!reaches(&mut broker));
    broker.administer(regular("p", "^x$", &[("alternate-exchange", text("amq.fanout"))])).unwrap();
    assert!(reaches(&mut broker));
    broker.administer(delete("p")).unwrap();
    assert!(!reaches(&mut broker));
    assert_eq!(broker.text(1, declare_exchange("x", "direct", |_| ())), "", "it is no argument");
}
