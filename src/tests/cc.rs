//! CC and BCC over all ways that a message takes: both route, also later, and nobody sees BCC (semantics 5.24, 12.4).

use leveret_codec::properties::Field;
use leveret_codec::table::AMQPValue;

use super::builders::{
    arguments, binding, declare_exchange, declare_queue, headers, int, message, persistent, queue_with, text,
    texts,
};
use super::harness::Broker;
use crate::model::administration::Change;
use crate::model::event::SessionEvent;
use crate::model::ids::ConsumerNumber;
use crate::model::message::Message;
use crate::model::port::BrokerPort;
use crate::model::request::{Binding, Request};

/// A broker with the queues `key`, `cc` and `bcc`, each bound by its name to the direct exchange `dx`.
fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_exchange("dx", "direct", |_| ()));
    for name in ["key", "cc", "bcc"] {
        broker.ask(1, declare_queue(name, |_| ()));
        broker.ask(1, Request::BindQueue(binding("dx", name, name)));
    }
    broker
}

/// The headers CC and BCC with one key each.
fn copied() -> (Field, Vec<u8>) {
    headers(&[("CC", texts(&["cc"])), ("BCC", texts(&["bcc"]))])
}

/// How many messages are in `key`, `cc` and `bcc`.
fn counts(broker: &mut Broker) -> [u32; 3] {
    ["key", "cc", "bcc"].map(|queue| broker.counts(1, queue).0)
}

fn header(message: &Message, name: &str) -> Option<AMQPValue> {
    message.properties().header(name)
}

/// The routing keys of a message's last death.
fn told(message: &Message) -> AMQPValue {
    let Some(AMQPValue::FieldArray(deaths)) = header(message, "x-death") else { panic!("no death") };
    let Some(AMQPValue::FieldTable(death)) = deaths.as_slice().first() else { panic!("{deaths:?}") };
    death.inner().get("routing-keys").cloned().unwrap_or(AMQPValue::Void)
}

#[test]
fn cc_and_bcc_add_keys_and_bcc_is_not_delivered() {
    let mut broker = broker();
    let targets = |broker: &mut Broker| broker.route(1, message("", "key", &[])).unwrap().queues.len();
    assert_eq!(targets(&mut broker), 1);
    let copied = headers(&[("CC", texts(&["cc", "key"])), ("BCC", texts(&["bcc"]))]);
    broker.publish(1, message("", "key", &[copied]), None);
    assert_eq!(targets(&mut broker), 1, "and copies are not remembered");
    for name in ["key", "cc", "bcc"] {
        let delivery = broker.get(1, name).unwrap();
        let message = &delivery.message;
        assert!(header(message, "CC").is_some() && header(message, "BCC").is_none());
        assert_eq!(message.routing_key(), b"key");
        assert!(broker.get(1, name).is_none());
    }
}

#[test]
fn headers_do_not_match_what_nobody_sees() {
    let mut broker = broker();
    let any = |arguments_of: &[(&str, AMQPValue)]| Binding {
        arguments: arguments(arguments_of),
        ..binding("amq.headers", "key", "")
    };
    let fields = [("x-match", text("any")), ("BCC", texts(&["bcc"]))];
    broker.ask(1, Request::BindQueue(any(&fields)));
    assert!(broker.route(1, message("amq.headers", "", &[copied()])).unwrap().is_unroutable());
    let fields = [("x-match", text("any")), ("CC", texts(&["cc"]))];
    broker.ask(1, Request::BindQueue(any(&fields)));
    assert_eq!(broker.route(1, message("amq.headers", "", &[copied()])).unwrap().queues.len(), 1);
}

/// A broker with a message in `mid`, which dead-letters to `dx`. It was published to `src` with the keys `key`, `cc` and
/// `bcc`, and came by its first death, under this key where there is one, and over a restart.
fn mid_way(replaced: Option<&str>) -> Broker {
    let mut broker = broker();
    let mut source = vec![("x-dead-letter-exchange", text("then"))];
    source.extend(replaced.map(|key| ("x-dead-letter-routing-key", text(key))));
    broker.ask(1, queue_with("src", &source));
    broker.ask(1, queue_with("mid", &[("x-dead-letter-exchange", text("dx"))]));
    broker.ask(1, declare_exchange("from", "fanout", |_| ()));
    broker.ask(1, declare_exchange("then", "direct", |_| ()));
    broker.ask(1, Request::BindQueue(binding("from", "src", "")));
    broker.ask(1, Request::BindQueue(binding("then", "mid", replaced.unwrap_or("bcc"))));
    broker.publish(1, message("from", "key", &[copied(), persistent()]), None);
    broker.reject("src");
    let mut broker = broker.restarted();
    broker.connect(1);
    broker
}

#[test]
fn dead_letters_go_by_all_keys_again_and_again() {
    let mut broker = mid_way(None);
    broker.reject("mid");
    assert_eq!(counts(&mut broker), [1, 1, 1]);
    for queue in ["key", "cc", "bcc"] {
        let dead = broker.get(1, queue).unwrap().message;
        assert_eq!((told(&dead), dead.routing_key()), (texts(&["key", "cc"]), &b"key"[..]));
        assert_eq!((header(&dead, "CC"), header(&dead, "BCC")), (Some(texts(&["cc"])), None));
    }
}

#[test]
fn as_many_keys_are_untold_as_bcc_has() {
    let mut broker = broker();
    broker.ask(1, queue_with("src", &[("x-dead-letter-exchange", text("dx")), ("x-message-ttl", int(1))]));
    broker.ask(1, declare_exchange("from", "fanout", |_| ()));
    broker.ask(1, Request::BindQueue(binding("from", "src", "")));
    let copied = headers(&[("CC", texts(&["cc", "cc2"])), ("BCC", texts(&["key", "cc", "cc"]))]);
    broker.publish(1, message("from", "key", &[copied]), None);
    broker.pass(1);
    assert_eq!(told(&broker.get(1, "key").unwrap().message), texts(&["cc2", "key", "cc"]));
}

#[test]
fn a_replaced_key_is_the_only_one_even_if_it_is_the_same() {
    for (key, counted, told_then) in [("key", [1, 0, 0], texts(&["key"])), ("bcc", [0, 0, 1], texts(&[]))] {
        let mut broker = mid_way(Some(key));
        broker.reject("mid");
        assert_eq!(counts(&mut broker), counted);
        let dead = broker.get(1, key).unwrap().message;
        assert_eq!((told(&dead), header(&dead, "CC")), (told_then, Some(texts(&["cc"]))));
    }
}

#[test]
fn an_at_least_once_source_sends_to_all_keys() {
    let mut broker = broker();
    let at_least_once = [
        ("x-queue-type", text("quorum")),
        ("x-dead-letter-exchange", text("late")),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        ("x-message-ttl", int(10)),
    ];
    broker.ask(1, queue_with("src", &at_least_once));
    let copied = headers(&[("BCC", texts(&["bcc"]))]);
    broker.publish(1, message("", "src", &[copied]), None);
    broker.pass(10);
    assert_eq!(counts(&mut broker), [0, 0, 1], "as published");
    broker.ask(1, declare_exchange("late", "direct", |_| ()));
    broker.ask(1, Request::BindQueue(binding("late", "bcc", "bcc")));
    broker.pass(1000);
    assert_eq!(counts(&mut broker), [0, 0, 2]);
}

#[test]
fn a_delayed_message_goes_by_all_keys() {
    let mut broker = broker();
    let kind = arguments(&[("x-delayed-type", text("direct"))]);
    broker.ask(1, declare_exchange("x", "x-delayed-message", |declare| declare.arguments = kind));
    broker.ask(1, Request::BindExchange(binding("x", "dx", "bcc")));
    let fields = [("x-delay", int(100)), ("CC", texts(&["cc"])), ("BCC", texts(&["bcc"]))];
    broker.publish(1, message("x", "key", &[headers(&fields)]), Some(1));
    let mut broker = broker.restarted();
    broker.connect(1);
    broker.pass(100);
    assert_eq!(counts(&mut broker), [1, 1, 1]);
    let delivery = broker.get(1, "bcc").unwrap();
    assert_eq!(
        (header(&delivery.message, "x-delay"), header(&delivery.message, "BCC")),
        (Some(int(-100)), None)
    );
}

#[test]
fn a_history_is_sent_by_all_keys() {
    let mut broker = broker();
    broker.ask(1, declare_exchange("x", "x-recent-history", |_| ()));
    broker.publish(1, message("x", "key", &[copied()]), None);
    broker.ask(1, Request::BindExchange(binding("x", "dx", "")));
    assert_eq!(counts(&mut broker), [1, 1, 1]);
    assert_eq!(header(&broker.get(1, "bcc").unwrap().message, "BCC"), None);
}

#[test]
fn the_firehose_tells_the_keys_and_not_the_header() {
    let mut broker = broker();
    broker.ask(1, declare_queue("subscriber", |_| ()));
    broker.ask(1, Request::BindQueue(binding("amq.rabbitmq.trace", "subscriber", "#")));
    broker.administer(Change::SetTracing { vhost: "/".into(), on: true }).unwrap();
    broker.publish(1, message("dx", "key", &[copied()]), None);
    let published = broker.get(1, "subscriber").unwrap();
    let delivery = broker.get(1, "cc").unwrap();
    broker.port_mut(1).delivered(7, &delivery);
    broker.settle();
    for copy in [published, broker.get(1, "subscriber").unwrap()] {
        assert_eq!(header(&copy.message, "routing_keys"), Some(texts(&["key", "cc", "bcc"])));
        let Some(AMQPValue::FieldTable(properties)) = header(&copy.message, "properties") else { panic!() };
        let cc = AMQPValue::FieldTable(arguments(&[("CC", texts(&["cc"]))]));
        assert_eq!(properties.inner().get("headers"), Some(&cc));
    }
}

#[test]
fn direct_replies_are_reached_by_all_keys_once() {
    let mut broker = broker();
    let mut open = |consumer| broker.port_mut(1).open_direct_reply(ConsumerNumber(consumer));
    let (one, other) = (open(7), open(8));
    let copied = headers(&[("CC", texts(&[&one, &other])), ("BCC", texts(&[&other, "bcc"]))]);
    broker.publish(1, message("", &one, &[copied]), None);
    let consumers: Vec<_> = broker
        .events(1)
        .into_iter()
        .map(|event| match event {
            SessionEvent::Deliver(delivery) => {
                assert_eq!(header(&delivery.message, "BCC"), None);
                delivery.consumer.0
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((consumers, counts(&mut broker)), (vec![7, 8], [0, 0, 1]));
    let refused = broker.route(1, message("", &one, &[headers(&[("BCC", int(1))])])).unwrap_err().text();
    assert!(refused.starts_with("PRECONDITION_FAILED"), "{refused}");
    let elsewhere = message("dx", "nowhere", &[headers(&[("BCC", texts(&[&one]))])]);
    assert!(broker.route(1, elsewhere).unwrap().is_unroutable(), "only the default exchange knows them");
}
