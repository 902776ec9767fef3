//! What queues and their shards count, against what was done to them.

use super::builders::{declare_queue, delete_queue, int, queue_with, sized, text};
use super::harness::{Broker, SHARDS};
use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::counters::{QueueCount, QueueCounters};
use crate::model::ids::{ConsumerNumber, Position, PositionRange, QueueRef};
use crate::model::port::BrokerPort;
use crate::model::question::{Answer, DeadLetterStrategy, Question, QueueTotals};
use crate::model::request::Request;

fn at(broker: &Broker, queue: &str) -> QueueRef {
    broker.view.read().queue("/", queue).unwrap().at
}

fn ask(broker: &mut Broker, shard: usize, question: Question) -> Answer {
    broker.shards[shard].ask(question);
    broker.settle();
    let mut answers = broker.answers.drain(..).collect::<Vec<_>>();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn counters(broker: &mut Broker, queue: QueueRef) -> QueueCounters {
    let question = Question::Counts { queues: vec![queue.queue] };
    match ask(broker, queue.shard.number(), question) {
        Answer::Counts(counts) => counts[0].unwrap().counters,
        other => panic!("{other:?}"),
    }
}

fn totals(broker: &mut Broker) -> Vec<QueueTotals> {
    let mut totals = Vec::new();
    for shard in 0..usize::from(SHARDS) {
        match ask(broker, shard, Question::Totals { from: 0 }) {
            Answer::Totals(told) => totals.extend(told.totals),
            other => panic!("{other:?}"),
        }
    }
    totals
}

fn sum(totals: &[QueueTotals], count: QueueCount) -> u64 {
    totals.iter().map(|totals| totals.counters[count]).sum()
}

fn publish(broker: &mut Broker, queue: &str, count: usize) {
    for _ in 0..count {
        let routed = broker.route(1, sized("", queue, &[], 10)).unwrap();
        broker.port_mut(1).submit(routed, None);
    }
    broker.settle();
}

fn settle(broker: &mut Broker, q: QueueRef, (first, last): (u64, u64), settlement: Settlement) {
    let range = PositionRange { first: Position(first), last: Position(last) };
    broker.port_mut(1).settle(q, ConsumerNumber(1), range, settlement);
    broker.settle();
}

#[test]
fn a_queue_counts_what_is_done_to_its_messages() {
    use QueueCount::{
        Acked, Deliver, DeliverNoAck, Expired, Get, GetEmpty, GetNoAck, MaxLength, Published, Redelivered,
        Rejected, Requeued,
    };
    let mut broker = Broker::new();
    broker.connect(1);
    let limited = queue_with("q", &[("x-max-length", int(8)), ("x-overflow", text("drop-head"))]);
    assert_eq!(broker.text(1, limited), "");
    let q = at(&broker, "q");
    assert_eq!(counters(&mut broker, q), QueueCounters::default());
    publish(&mut broker, "q", 10);
    for no_ack in [false, true] {
        let get = Request::Get { queue: "q".into(), consumer: ConsumerNumber(2), no_ack };
        broker.ask(1, get);
    }
    broker.consume(1, "q", 1, ConsumeOptions { prefetch: 3, ..ConsumeOptions::default() });
    // 3 was got; of the others 3 are held: one is acked, one rejected, one comes back and is delivered again.
    settle(&mut broker, q, (5, 5), Settlement::Ack);
    settle(&mut broker, q, (6, 6), Settlement::Discard);
    settle(&mut broker, q, (7, 7), Settlement::Requeue { failed: true });
    let counted = counters(&mut broker, q);
    let counts = |wanted: &[QueueCount]| wanted.iter().map(|&count| counted[count]).collect::<Vec<_>>();
    assert_eq!(counts(&[Published, MaxLength, Get, GetNoAck, GetEmpty]), [10, 2, 1, 1, 0]);
    assert_eq!(counts(&[Acked, Rejected, Requeued, Redelivered]), [1, 1, 1, 1]);
    assert_eq!(counts(&[Deliver, DeliverNoAck, Expired]), [6, 0, 0]);
    let all = totals(&mut broker);
    assert_eq!(sum(&all, Published), 10);
    assert_eq!(all.iter().map(|totals| totals.ready + totals.unacked).sum::<u64>(), 5);
    assert_eq!(all.iter().map(|totals| totals.consumers).sum::<u64>(), 1);
}

#[test]
fn what_a_queue_counted_stays_when_it_goes_and_when_its_vhost_does() {
    let mut broker = Broker::new();
    broker.connect(1);
    for round in 1..=5 {
        assert_eq!(broker.text(1, declare_queue("q", |_| ())), "");
        publish(&mut broker, "q", 7);
        let all = totals(&mut broker);
        assert_eq!(sum(&all, QueueCount::Published), 7 * round);
        assert_eq!(all.iter().map(|totals| totals.ready).sum::<u64>(), 7);
        // What came in the turn that deletes it counts as well.
        assert_eq!(broker.text(1, delete_queue("q", false, false)), "");
        let all = totals(&mut broker);
        assert_eq!(sum(&all, QueueCount::Published), 7 * round);
        assert_eq!(all.iter().map(|totals| totals.ready + totals.queues).sum::<u64>(), 0);
    }
}

#[test]
fn queues_are_counted_together_by_what_becomes_of_their_dead_letters() {
    let mut broker = Broker::new();
    broker.connect(1);
    let kinds = [
        ("plain", queue_with("plain", &[])),
        ("once", queue_with("once", &[("x-dead-letter-exchange", text("amq.fanout"))])),
    ];
    for (queue, declare) in kinds {
        assert_eq!(broker.text(1, declare), "");
        publish(&mut broker, queue, 1);
    }
    let strategies: Vec<_> =
        totals(&mut broker).iter().map(|totals| (totals.strategy, totals.queues)).collect();
    assert_eq!(
        strategies.iter().filter(|(strategy, _)| *strategy == DeadLetterStrategy::Disabled).count(),
        1
    );
    assert_eq!(
        strategies.iter().filter(|(strategy, _)| *strategy == DeadLetterStrategy::AtMostOnce).count(),
        1
    );
}
