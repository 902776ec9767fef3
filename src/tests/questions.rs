//! What shards say of how much is in their queues, after everything that happens to a message.

use leveret_codec::properties::Field;

use super::builders::{declare_queue, delete_queue, int, message, queue_with, short, sized};
use super::harness::{Broker, SHARDS};
use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::ids::{ConsumerNumber, PositionRange, QueueId, QueueRef};
use crate::model::port::BrokerPort;
use crate::model::question::{Answer, Question, QueueCounts};

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    assert_eq!(broker.text(1, declare_queue("q", |_| ())), "");
    broker
}

fn at(broker: &Broker, queue: &str) -> QueueRef {
    broker.view.read().queue("/", queue).unwrap().at
}

/// Asks about `queue` together with what its connection has just said, which its shard has not heard of yet.
fn counts(broker: &mut Broker, queue: QueueRef) -> Option<QueueCounts> {
    let question = Question::Counts { queues: vec![queue.queue] };
    broker.shards[queue.shard.number()].ask(question);
    broker.settle();
    match broker.answers.drain(..).collect::<Vec<_>>().as_slice() {
        [Answer::Counts(counts)] => counts[0],
        other => panic!("{other:?}"),
    }
}

/// Ready, unacked, dead letters and consumers of `q`.
fn in_q(broker: &mut Broker) -> (u64, u64, u64, u32) {
    let q = at(broker, "q");
    let counts = counts(broker, q).unwrap();
    (counts.ready, counts.unacked, counts.dead_letters, counts.consumers)
}

/// Publishes to `q`; the shard hears of it with what comes next.
fn publish(broker: &mut Broker, properties: &[(Field, Vec<u8>)], bytes: usize) {
    let routed = broker.route(1, sized("", "q", properties, bytes)).unwrap();
    broker.port_mut(1).submit(routed, None);
}

#[test]
fn counts_follow_a_message_through_its_queue() {
    let mut broker = broker();
    assert_eq!(in_q(&mut broker), (0, 0, 0, 0));
    publish(&mut broker, &[], 10);
    publish(&mut broker, &[], 5);
    let q = at(&broker, "q");
    let ready = counts(&mut broker, q).unwrap();
    assert_eq!((ready.ready, ready.ready_bytes), (2, 15));
    assert!(ready.memory_bytes >= 15, "{ready:?}");

    let options = ConsumeOptions { prefetch: 1, ..ConsumeOptions::default() };
    broker.consume(1, "q", 1, options);
    assert_eq!(in_q(&mut broker), (1, 1, 0, 1));
    let first = broker.deliveries(1).remove(0);
    let range = PositionRange::single(first.position);
    broker.port_mut(1).settle(first.queue, ConsumerNumber(1), range, Settlement::Requeue { failed: false });
    assert_eq!(in_q(&mut broker), (1, 1, 0, 1), "it has come back, and the consumer has the next one");
    let again = broker.deliveries(1).remove(0);
    broker.port_mut(1).settle(
        again.queue,
        ConsumerNumber(1),
        PositionRange::single(again.position),
        Settlement::Ack,
    );
    assert_eq!(in_q(&mut broker), (0, 1, 0, 1));
    broker.lose(1);
    broker.connect(1);
    assert_eq!(in_q(&mut broker), (1, 0, 0, 0), "what the lost connection had is ready");
}

#[test]
fn what_expires_or_is_dropped_in_the_same_turn_is_not_counted() {
    let mut broker = broker();
    publish(&mut broker, &[short(Field::Expiration, "0")], 4);
    assert_eq!(in_q(&mut broker), (0, 0, 0, 0));
    publish(&mut broker, &[short(Field::Expiration, "1000")], 4);
    assert_eq!(in_q(&mut broker), (1, 0, 0, 0));
    broker.pass(1000);
    assert_eq!(in_q(&mut broker), (0, 0, 0, 0));

    assert_eq!(broker.text(1, queue_with("short", &[("x-max-length", int(1))])), "");
    for _ in 0..3 {
        let routed = broker.route(1, message("", "short", &[])).unwrap();
        broker.port_mut(1).submit(routed, None);
    }
    let short = at(&broker, "short");
    assert_eq!(counts(&mut broker, short).unwrap().ready, 1);
}

#[test]
fn a_queue_that_is_gone_has_no_counts_and_one_that_is_being_made_has_nothing() {
    let mut broker = broker();
    let q = at(&broker, "q");
    broker.ask(1, delete_queue("q", false, false));
    assert_eq!(counts(&mut broker, q), None);
    let later = QueueRef { queue: QueueId(q.queue.0 + u64::from(SHARDS)), ..q };
    assert_eq!(counts(&mut broker, later), Some(QueueCounts::default()));
}
