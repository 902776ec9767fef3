//! What comes together is carried out as if each method came by itself: what a client looks at shows neither what a limit
//! would have dropped nor what has expired at once (semantics 12.1 to 12.3).

use leveret_codec::properties::Field;
use leveret_codec::table::AMQPValue;

use super::builders::{declare_queue, delete_queue, int, message, queue_with, short, text};
use super::harness::Broker;
use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::event::SessionEvent;
use crate::model::ids::{ConsumerNumber, Position, PositionRange};
use crate::model::message::Message;
use crate::model::port::BrokerPort;
use crate::model::request::{Reply, Request};

fn broker(fields: &[(&str, AMQPValue)]) -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    assert_eq!(broker.text(1, queue_with("q", fields)), "");
    broker
}

/// Publishes to `q`; the shard gets it together with what comes next.
fn publish(broker: &mut Broker, message: Message) {
    let routed = broker.route(1, message).unwrap();
    broker.port_mut(1).submit(routed, None);
}

fn plain() -> Message {
    message("", "q", &[])
}

fn with_ttl(millis: &str) -> Message {
    message("", "q", &[short(Field::Expiration, millis)])
}

fn passive() -> Request {
    declare_queue("q", |declare| declare.passive = true)
}

/// Ready messages, as the answer says.
fn messages(reply: Reply) -> u32 {
    match reply {
        Reply::QueueDeclared { messages, .. } | Reply::Count { messages } => messages,
        other => panic!("{other:?}"),
    }
}

/// Every way to a queue that keeps nothing for those who are not there already.
fn fleeting() -> Vec<(Broker, Message)> {
    vec![
        (broker(&[("x-max-length", int(0))]), plain()),
        (broker(&[("x-max-length-bytes", int(3))]), plain()),
        (broker(&[("x-message-ttl", int(0))]), plain()),
        (broker(&[]), with_ttl("0")),
        (broker(&[("x-queue-type", text("quorum")), ("x-max-length", int(0))]), plain()),
    ]
}

#[test]
fn a_get_finds_nothing_that_was_dropped_or_has_expired() {
    for (mut broker, message) in fleeting() {
        publish(&mut broker, message);
        assert!(broker.get(1, "q").is_none());
    }
    let mut kept = broker(&[("x-max-length", int(1))]);
    publish(&mut kept, plain());
    publish(&mut kept, plain());
    assert_eq!(kept.get(1, "q").expect("one is kept").position, Position(2), "the second one");
}

#[test]
fn counts_are_those_after_limits_and_expiry() {
    for looks in [passive(), declare_queue("q", |_| ()), Request::PurgeQueue { name: "q".into() }] {
        for (mut broker, message) in fleeting() {
            publish(&mut broker, message);
            let looks = match (&looks, broker.view.read().queue("/", "q")) {
                (Request::DeclareQueue(declare), Some(queue)) if !declare.passive => {
                    let mut again = declare.clone();
                    again.arguments = queue.arguments.decode();
                    Request::DeclareQueue(again)
                }
                (looks, _) => looks.clone(),
            };
            assert_eq!(messages(broker.ask(1, looks)), 0);
        }
    }
    for (mut broker, message) in fleeting() {
        publish(&mut broker, message);
        assert_eq!(messages(broker.ask(1, delete_queue("q", false, true))), 0, "it is empty");
    }
}

#[test]
fn a_consumer_gets_nothing_that_was_gone_before_it_came() {
    for (mut broker, message) in fleeting() {
        publish(&mut broker, message);
        broker.consume(1, "q", 1, ConsumeOptions::default());
        assert!(broker.deliveries(1).is_empty());
    }
}

#[test]
fn credit_that_comes_later_is_of_no_use_to_what_expired_at_once() {
    let mut broker = broker(&[("x-message-ttl", int(0))]);
    broker.consume(1, "q", 1, ConsumeOptions { prefetch: 1, ..ConsumeOptions::default() });
    broker.publish(1, plain(), None);
    let first = broker.deliveries(1).pop().expect("it meets a consumer");
    publish(&mut broker, plain());
    let range = PositionRange::single(first.position);
    broker.port_mut(1).settle(first.queue, ConsumerNumber(1), range, Settlement::Ack);
    broker.settle();
    assert!(broker.deliveries(1).is_empty());
    publish(&mut broker, plain());
    broker.settle();
    assert_eq!(broker.deliveries(1).len(), 1, "the next one meets it again");
}

#[test]
fn a_requeue_is_held_against_the_limit_before_anybody_counts() {
    let mut broker = broker(&[("x-max-length", int(1))]);
    broker.publish(1, plain(), None);
    let consumer = ConsumerNumber(7);
    let get = Request::Get { queue: "q".into(), consumer, no_ack: false };
    let Reply::Got { delivery, .. } = broker.ask(1, get) else { panic!("it is there") };
    broker.publish(1, plain(), None);
    let range = PositionRange::single(delivery.position);
    broker.port_mut(1).settle(delivery.queue, consumer, range, Settlement::Requeue { failed: true });
    assert_eq!(messages(broker.ask(1, passive())), 1);
}

/// A session knows a consumer until its end is told: a delivery behind that would be held by nobody.
#[test]
fn a_consumer_gets_what_was_delivered_before_it_was_cancelled() {
    let mut broker = broker(&[]);
    broker.connect(2);
    let Reply::Consuming { queue } = broker.consume(2, "q", 5, ConsumeOptions::default()) else {
        panic!("it consumes");
    };
    publish(&mut broker, plain());
    let now = broker.now;
    // Who looks has the queue deliver at once; the cancel comes in the same turn.
    broker.port_mut(1).request(now, passive());
    broker.port_mut(2).request(now, Request::Cancel { queue, consumer: ConsumerNumber(5) });
    broker.settle();
    let events = broker.events(2);
    assert!(
        matches!(&events[..], [SessionEvent::Deliver(_), SessionEvent::Reply(Reply::Done)]),
        "{events:?}"
    );
}
