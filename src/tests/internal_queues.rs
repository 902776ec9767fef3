//! Exchanges that keep messages: delayed ones and those with a history, over crashes (semantics 5.28, 5.29); and the
//! types that choose by the names of what is bound (semantics 5.25, 5.27).

use leveret_codec::table::AMQPValue;

use super::builders::{
    arguments, binding, declare_exchange, declare_queue, headers, int, message, persistent, queue_with, text,
    texts,
};
use super::harness::Broker;
use crate::model::consuming::Delivery;
use crate::model::message::Message;
use crate::model::op::Op;
use crate::model::request::Request;

/// A durable exchange of the type with these arguments, and the queues `a` and `b` on either shard.
fn broker(kind: &str, fields: &[(&str, AMQPValue)]) -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    for queue in ["a", "b"] {
        broker.ask(1, declare_queue(queue, |_| ()));
    }
    let request = declare_exchange("x", kind, |declare| declare.arguments = arguments(fields));
    assert_eq!(broker.text(1, request), "");
    broker
}

fn bind(broker: &mut Broker, queue: &str, key: &str) {
    assert_eq!(broker.text(1, Request::BindQueue(binding("x", queue, key))), "");
}

fn delayed(key: &str, millis: i32) -> Message {
    message("x", key, &[headers(&[("x-delay", int(millis))])])
}

fn header(delivery: &Delivery, name: &str) -> Option<AMQPValue> {
    delivery.message.properties().header(name)
}

fn delayed_broker() -> Broker {
    let mut broker = broker("x-delayed-message", &[("x-delayed-type", text("direct"))]);
    bind(&mut broker, "a", "a");
    bind(&mut broker, "b", "b");
    broker
}

#[test]
fn a_delayed_message_comes_when_its_time_has_come() {
    let mut broker = delayed_broker();
    assert_eq!(broker.publish(1, delayed("a", 500), Some(1)), 1);
    assert_eq!(broker.confirms(1), [(1, true)], "once it is stored, not once it is delivered");
    broker.publish(1, delayed("b", 200), None);
    broker.publish(1, delayed("a", 0), None);
    broker.publish(1, delayed("nowhere", 100), None);
    let at_once = broker.get(1, "a").expect("no delay");
    assert_eq!(header(&at_once, "x-delay"), Some(int(0)), "as it came");
    broker.pass(199);
    assert!(broker.get(1, "b").is_none());
    broker.pass(1);
    let delivery = broker.get(1, "b").expect("its time has come");
    assert_eq!(header(&delivery, "x-delay"), Some(int(-200)));
    assert_eq!((delivery.message.exchange(), delivery.redelivered), (&b"x"[..], false));
    assert!(header(&delivery, "x-death").is_none());
    assert!(broker.get(1, "a").is_none());
    broker.pass(300);
    assert_eq!(header(&broker.get(1, "a").expect("its time has come"), "x-delay"), Some(int(-500)));
    assert!(broker.stored.is_empty(), "nobody keeps what has gone");
}

#[test]
fn a_delay_may_be_a_text_and_comes_back_as_a_negative_number() {
    let mut broker = delayed_broker();
    for value in [text("500"), AMQPValue::Double(500.9)] {
        broker.publish(1, message("x", "a", &[headers(&[("x-delay", value)])]), None);
        broker.pass(499);
        assert!(broker.get(1, "a").is_none());
        broker.pass(1);
        let delivery = broker.get(1, "a").expect("its time has come");
        assert_eq!(header(&delivery, "x-delay"), Some(int(-500)));
    }
}

#[test]
fn a_delay_that_nobody_can_keep_to_is_refused_wherever_it_would_begin() {
    let mut broker = delayed_broker();
    broker.ask(1, declare_exchange("front", "fanout", |_| ()));
    broker.ask(1, Request::BindExchange(binding("front", "x", "")));
    let too_long = || headers(&[("x-delay", AMQPValue::LongLongInt(1 << 32))]);
    let reason = "PRECONDITION_FAILED - header 'x-delay' asks for more milliseconds than a message can be delayed, which is \
                  4294967295";
    for exchange in ["x", "front"] {
        assert_eq!(broker.route(1, message(exchange, "a", &[too_long()])).unwrap_err().text(), reason);
    }
    let no_number = broker.route(1, message("x", "a", &[headers(&[("x-delay", text("soon"))])]));
    assert!(no_number.unwrap_err().text().starts_with("PRECONDITION_FAILED - header 'x-delay' is no number"));
    assert!(broker.route(1, message("", "a", &[too_long()])).is_ok(), "who delays nothing does not care");
    assert!(broker.get(1, "a").is_none());
}

#[test]
fn a_dead_letter_that_asks_for_too_long_a_delay_is_not_lost() {
    let mut broker = delayed_broker();
    broker.ask(
        1,
        queue_with("src", &[("x-dead-letter-exchange", text("x")), ("x-dead-letter-routing-key", text("a"))]),
    );
    let too_long = headers(&[("x-delay", AMQPValue::LongLongInt(1 << 32))]);
    broker.publish(1, message("", "src", &[persistent(), too_long]), None);
    broker.reject("src");
    assert!(broker.get(1, "a").is_some());
}

#[test]
fn a_long_delay_is_negated_in_a_wider_number() {
    let mut broker = delayed_broker();
    let long = AMQPValue::LongLongInt(u32::MAX.into());
    broker.publish(1, message("x", "a", &[headers(&[("x-delay", long), ("other", int(1))])]), None);
    broker.pass(u64::from(u32::MAX) - 1);
    assert!(broker.get(1, "a").is_none());
    broker.pass(1);
    let delivery = broker.get(1, "a").expect("its time has come");
    assert_eq!(header(&delivery, "x-delay"), Some(AMQPValue::LongLongInt(-i64::from(u32::MAX))));
    assert_eq!(header(&delivery, "other"), Some(int(1)));
}

#[test]
fn a_delayed_message_is_routed_by_what_is_bound_then_and_by_its_copies() {
    let mut broker = delayed_broker();
    let copies = headers(&[("x-delay", int(100)), ("CC", texts(&["b"]))]);
    broker.publish(1, message("x", "later", &[copies]), None);
    bind(&mut broker, "a", "later");
    broker.pass(100);
    assert!(broker.get(1, "a").is_some() && broker.get(1, "b").is_some());
}

#[test]
fn whatever_is_delayed_survives_a_crash_and_does_so_once() {
    let mut broker = delayed_broker();
    broker.publish(1, delayed("a", 500), Some(1));
    broker.publish(1, message("x", "b", &[headers(&[("x-delay", int(700))]), persistent()]), Some(2));
    broker.pass(400);
    let mut broker = broker.restarted();
    broker.connect(1);
    // The clock of the harness starts anew with the broker: the time is stored, not how long it still takes.
    broker.pass(499);
    assert!(broker.get(1, "a").is_none());
    broker.pass(1);
    assert_eq!(header(&broker.get(1, "a").expect("kept"), "x-delay"), Some(int(-500)));
    let mut broker = broker.restarted();
    broker.connect(1);
    broker.pass(700);
    assert!(broker.get(1, "a").is_none());
    assert!(broker.get(1, "b").is_some());
}

#[test]
fn a_internal_queue_lets_go_once_the_message_is_safe_where_it_went() {
    let mut broker = delayed_broker();
    broker.publish(1, message("x", "b", &[headers(&[("x-delay", int(10))]), persistent()]), None);
    broker.held = true;
    broker.pass(10);
    let removed = |broker: &Broker| broker.ops.iter().any(|op| matches!(op, Op::Remove { .. }));
    assert!(!removed(&broker));
    broker.let_go();
    assert!(removed(&broker));
    assert_eq!(broker.stored.len(), 1);
}

#[test]
fn dead_letters_can_be_delayed_again_and_again() {
    let mut broker = delayed_broker();
    let retry = [
        ("x-dead-letter-exchange", text("x")),
        ("x-dead-letter-routing-key", text("again")),
        ("x-message-ttl", int(50)),
    ];
    broker.ask(1, queue_with("again", &retry));
    bind(&mut broker, "again", "again");
    broker.publish(1, delayed("again", 100), None);
    broker.pass(100);
    assert_eq!(broker.counts(1, "again"), (1, 0));
    // It dies there with the negated header, which delays nothing, and would go in a circle at once.
    broker.pass(50);
    assert_eq!(broker.counts(1, "again"), (0, 0));
}

#[test]
fn what_waits_goes_with_its_exchange() {
    let mut broker = delayed_broker();
    broker.publish(1, delayed("a", 500), None);
    assert_eq!(broker.stored.len(), 1);
    let delete = Request::DeleteExchange { name: "x".into(), if_unused: false };
    assert_eq!(broker.text(1, delete), "");
    assert!(broker.stored.is_empty());
    broker.pass(500);
    assert!(broker.get(1, "a").is_none());
    let mut broker = broker.restarted();
    broker.connect(1);
    let passive = declare_exchange("x", "", |declare| declare.passive = true);
    assert!(broker.text(1, passive).starts_with("NOT_FOUND"));
}

#[test]
fn a_delayed_type_has_to_be_said() {
    let mut broker = Broker::new();
    broker.connect(1);
    let text = broker.text(1, declare_exchange("x", "x-delayed-message", |_| ()));
    assert!(text.ends_with("Invalid argument, 'x-delayed-type' must be an existing exchange type"), "{text}");
}

fn keys(broker: &mut Broker, queue: &str) -> Vec<String> {
    let got = std::iter::from_fn(|| broker.get(1, queue));
    got.map(|delivery| String::from_utf8_lossy(delivery.message.routing_key()).into_owned()).collect()
}

#[test]
fn a_history_is_sent_to_who_is_bound_later() {
    let mut broker = broker("x-recent-history", &[("x-recent-history-length", int(2))]);
    for key in ["1", "2", "3"] {
        let routed = broker.route(1, message("x", key, &[])).expect("it may be published");
        assert!(routed.is_unroutable(), "to be remembered is no delivery");
        broker.settle();
    }
    broker.publish(
        1,
        message("x", "no", &[headers(&[("x-recent-history-no-store", AMQPValue::Boolean(true))])]),
        None,
    );
    bind(&mut broker, "a", "");
    bind(&mut broker, "b", "");
    assert_eq!(keys(&mut broker, "a"), ["2", "3"]);
    assert_eq!(keys(&mut broker, "b"), ["2", "3"]);
    bind(&mut broker, "a", "");
    assert_eq!(keys(&mut broker, "a"), [""; 0], "the binding was there");
    broker.publish(1, message("x", "4", &[]), None);
    assert_eq!(keys(&mut broker, "a"), ["4"]);
    bind(&mut broker, "a", "other");
    assert_eq!(keys(&mut broker, "a"), ["3", "4"]);
}

#[test]
fn a_history_reaches_queues_over_an_exchange() {
    let mut broker = broker("x-recent-history", &[]);
    broker.publish(1, message("x", "a", &[headers(&[("CC", texts(&["b"]))])]), None);
    broker.ask(1, declare_exchange("then", "direct", |_| ()));
    for queue in ["a", "b"] {
        broker.ask(1, Request::BindQueue(binding("then", queue, queue)));
    }
    assert_eq!(broker.text(1, Request::BindExchange(binding("x", "then", ""))), "");
    assert_eq!((keys(&mut broker, "a"), keys(&mut broker, "b")), (vec!["a".into()], vec!["a".into()]));
}

#[test]
fn the_persistent_part_of_a_history_survives_a_crash() {
    let mut broker = broker("x-recent-history", &[("x-recent-history-length", int(3))]);
    for key in ["1", "2", "3", "4"] {
        broker.publish(1, message("x", key, &[persistent()]), None);
    }
    broker.publish(1, message("x", "transient", &[]), None);
    assert_eq!(broker.stored.len(), 2, "what is forgotten leaves the store");
    let mut broker = broker.restarted();
    broker.connect(1);
    broker.publish(1, message("x", "5", &[persistent()]), None);
    bind(&mut broker, "a", "");
    assert_eq!(keys(&mut broker, "a"), ["3", "4", "5"]);
    broker.publish(1, message("x", "6", &[persistent()]), None);
    assert_eq!(keys(&mut broker, "a"), ["6"]);
    bind(&mut broker, "b", "");
    assert_eq!(keys(&mut broker, "b"), ["4", "5", "6"]);
}

#[test]
fn a_history_is_bounded_by_bytes_however_long_it_may_be() {
    let mut broker =
        broker("x-recent-history", &[("x-recent-history-length", AMQPValue::LongLongInt(i64::MAX))]);
    for _ in 0..20 {
        broker.publish(1, super::builders::sized("x", "k", &[persistent()], 1 << 20), None);
    }
    assert!(broker.stored.len() < 17, "{}", broker.stored.len());
    bind(&mut broker, "a", "");
    assert_eq!(broker.counts(1, "a").0 as usize * 2, broker.stored.len());
}

#[test]
fn a_dead_letter_is_remembered_too() {
    let mut broker = broker("x-recent-history", &[]);
    broker.ask(1, queue_with("src", &[("x-dead-letter-exchange", text("x")), ("x-message-ttl", int(1))]));
    broker.publish(1, message("", "src", &[persistent()]), None);
    broker.pass(1);
    bind(&mut broker, "a", "");
    bind(&mut broker, "b", "");
    assert_eq!((keys(&mut broker, "a").len(), keys(&mut broker, "b").len()), (1, 1));
}

#[test]
fn hashed_messages_go_where_they_went_before_a_crash() {
    let mut broker = broker("x-consistent-hash", &[]);
    broker.ask(1, declare_exchange("then", "fanout", |_| ()));
    broker.ask(1, declare_exchange("earlier", "fanout", |_| ()));
    bind(&mut broker, "a", "1");
    broker.ask(1, Request::BindQueue(binding("then", "b", "")));
    broker.ask(1, Request::BindExchange(binding("x", "then", "1")));
    let spread = |broker: &mut Broker| {
        for number in 0..100 {
            broker.publish(1, message("x", &format!("{number}"), &[]), None);
        }
        (keys(broker, "a"), keys(broker, "b"))
    };
    let before = spread(&mut broker);
    assert!(before.0.len() > 20 && before.1.len() > 20, "{before:?}");
    let mut broker = broker.restarted();
    broker.connect(1);
    assert_eq!(spread(&mut broker), before);
}

#[test]
fn chance_is_fair_to_publishes_and_dead_letters() {
    let mut broker = broker("x-random", &[]);
    bind(&mut broker, "a", "");
    bind(&mut broker, "b", "");
    for _ in 0..200 {
        broker.publish(1, message("x", "k", &[]), None);
    }
    let shares = (keys(&mut broker, "a").len(), keys(&mut broker, "b").len());
    assert!(shares.0 > 60 && shares.1 > 60 && shares.0 + shares.1 == 200, "{shares:?}");
    broker.ask(1, queue_with("src", &[("x-dead-letter-exchange", text("x")), ("x-message-ttl", int(1))]));
    for _ in 0..200 {
        broker.publish(1, message("", "src", &[]), None);
    }
    broker.pass(1);
    let shares = (keys(&mut broker, "a").len(), keys(&mut broker, "b").len());
    assert!(shares.0 > 60 && shares.1 > 60 && shares.0 + shares.1 == 200, "{shares:?}");
}

#[test]
fn local_random_knows_the_type_of_a_queue() {
    let mut broker = broker("x-local-random", &[]);
    broker.ask(1, queue_with("quorum", &[("x-queue-type", text("quorum"))]));
    let text = broker.text(1, Request::BindQueue(binding("x", "quorum", "")));
    assert!(text.ends_with("Queue type rabbit_quorum_queue not valid for this exchange type"), "{text}");
    bind(&mut broker, "a", "");
}

#[test]
fn what_is_overdue_comes_in_the_order_of_its_time() {
    let mut broker = delayed_broker();
    for millis in [10, 30, 20, 5] {
        broker.publish(1, delayed("a", millis), None);
    }
    broker.pass(1000);
    let delays: Vec<_> = std::iter::from_fn(|| broker.get(1, "a"))
        .filter_map(|delivery| header(&delivery, "x-delay"))
        .collect();
    assert_eq!(delays, [-5, -10, -20, -30].map(int));
}
