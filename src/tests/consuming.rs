//! The way out over the shard: consumers, gets, outboxes and memory (semantics section 10).

use super::builders::{declare_queue, message, persistent, sized};
use super::harness::Broker;
use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::ids::{ConnectionId, ConsumerNumber, PositionRange};
use crate::model::op::Op;
use crate::model::port::BrokerPort;
use crate::model::request::{Reply, Request};

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    broker
}

#[test]
fn what_a_lost_connection_held_comes_back() {
    let mut broker = broker();
    broker.connect(2);
    broker.publish(1, message("", "q", &[]), None);
    broker.consume(2, "q", 1, ConsumeOptions::default());
    assert_eq!(broker.deliveries(2).len(), 1);
    assert_eq!(broker.counts(1, "q"), (0, 1));
    broker.lose(2);
    assert_eq!(broker.counts(1, "q"), (1, 0));
    assert!(broker.get(1, "q").unwrap().redelivered);
}

#[test]
fn a_get_is_settled_under_its_own_number_and_comes_back_with_it() {
    let mut broker = broker();
    broker.publish(1, message("", "q", &[]), None);
    let get = Request::Get { queue: "q".into(), consumer: ConsumerNumber(9), no_ack: false };
    let Reply::Got { delivery, remaining: 0 } = broker.ask(1, get.clone()) else { panic!() };
    broker.port_mut(1).detach(delivery.queue, ConsumerNumber(9));
    broker.settle();
    let Reply::Got { delivery, .. } = broker.ask(1, get) else { panic!() };
    assert!(delivery.redelivered);
    let range = PositionRange::single(delivery.position);
    broker.port_mut(1).settle(delivery.queue, ConsumerNumber(9), range, Settlement::Ack);
    broker.port_mut(1).detach(delivery.queue, ConsumerNumber(9));
    broker.settle();
    assert_eq!(broker.counts(1, "q"), (0, 0));
}

#[test]
fn an_exclusive_consumer_shuts_others_out() {
    let mut broker = broker();
    let exclusive = ConsumeOptions { exclusive: true, ..ConsumeOptions::default() };
    assert!(matches!(broker.consume(1, "q", 1, exclusive), Reply::Consuming { .. }));
    let Reply::Refused(fault) = broker.consume(1, "q", 2, ConsumeOptions::default()) else { panic!() };
    assert_eq!(fault.text(), "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use");
}

#[test]
fn an_argument_of_streams_is_refused_by_the_name_of_the_queues_type() {
    let mut broker = broker();
    let options = ConsumeOptions { of_streams: Some("x-stream-offset"), ..ConsumeOptions::default() };
    let Reply::Refused(fault) = broker.consume(1, "q", 1, options) else { panic!() };
    let text = "invalid arg 'x-stream-offset' for queue 'q' in vhost '/' of queue type rabbit_classic_queue";
    assert_eq!(fault.text(), format!("PRECONDITION_FAILED - {text}"));
    assert_eq!(broker.counts(1, "q"), (0, 0));
}

#[test]
fn a_slow_connection_gets_no_more_than_its_outbox_holds() {
    let mut broker = broker();
    broker.connect(2);
    broker.consume(2, "q", 1, ConsumeOptions { no_ack: true, ..ConsumeOptions::default() });
    for _ in 0..40 {
        broker.publish(1, sized("", "q", &[], 100_000), None);
    }
    let sent = broker.deliveries(2);
    assert!((10..=12).contains(&sent.len()), "{} of 40", sent.len());
    let bytes: usize = sent.iter().map(|delivery| delivery.message.footprint()).sum();
    let shard = sent[0].queue.shard.number();
    broker.shards[shard].drained(ConnectionId(2), bytes);
    broker.settle();
    assert!((10..=12).contains(&broker.deliveries(2).len()), "and as much again");
}

#[test]
fn memory_is_bounded_and_a_long_queue_comes_back_in_order() {
    let mut broker = Broker::with_memory(1 << 20);
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    let count = 400;
    for at in 0..count {
        broker.publish(1, sized("", "q", &[persistent()], 10_000 + at), None);
    }
    let options = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
    broker.connect(2);
    broker.consume(2, "q", 1, options);
    let mut lengths = Vec::new();
    loop {
        let sent = broker.deliveries(2);
        if sent.is_empty() {
            break;
        }
        let bytes = sent.iter().map(|delivery| delivery.message.footprint()).sum();
        lengths.extend(sent.iter().map(|delivery| delivery.message.body().len() - 10_000));
        for shard in &mut broker.shards {
            shard.drained(ConnectionId(2), bytes);
        }
        broker.settle();
    }
    assert_eq!(lengths, (0..count).collect::<Vec<_>>());
    assert!(broker.fetched > 0, "four megabytes do not fit into one");
    assert!(broker.stored.is_empty());
    assert!(broker.ops.iter().any(|op| matches!(op, Op::Remove { .. })));
}
