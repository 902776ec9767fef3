//! What waits until it is durable: the answer to a purge, and deliveries of a shard that holds them back.

use super::builders::{declare_queue, int, message, persistent, queue_with};
use super::harness::Broker;
use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::ids::{ConsumerNumber, Position, PositionRange};
use crate::model::port::BrokerPort;
use crate::model::request::{Reply, Request};
use crate::shard::Shard;
use leveret_codec::properties::Field;

/// A broker in which nobody is given a message before it is durable, with a durable queue `a` and connection 1.
fn holding_back() -> Broker {
    let mut broker = Broker::new();
    broker.shards = std::mem::take(&mut broker.shards).into_iter().map(Shard::holding_back).collect();
    broker.connect(1);
    broker.ask(1, declare_queue("a", |_| ()));
    broker
}

fn positions(broker: &mut Broker) -> Vec<u64> {
    broker.deliveries(1).iter().map(|delivery| delivery.position.0).collect()
}

#[test]
fn a_purge_is_answered_once_it_is_durable() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("a", |_| ()));
    broker.publish(1, message("", "a", &[persistent()]), None);
    broker.held = true;
    let now = broker.now;
    broker.port_mut(1).request(now, Request::PurgeQueue { name: "a".into() });
    broker.settle();
    assert!(broker.take_reply(1).is_none(), "it might come back");
    broker.let_go();
    assert!(matches!(broker.take_reply(1), Some(Reply::Count { messages: 1 })));
    assert!(broker.stored.is_empty());
    broker.held = true;
    let purged = broker.ask(1, Request::PurgeQueue { name: "a".into() });
    assert!(matches!(purged, Reply::Count { messages: 0 }), "there is nothing to wait for");
}

#[test]
fn a_consumer_is_given_a_message_once_that_is_durable() {
    let mut broker = holding_back();
    broker.consume(1, "a", 1, ConsumeOptions::default());
    broker.held = true;
    for sequence in 1..=2 {
        broker.publish(1, message("", "a", &[persistent()]), Some(sequence));
    }
    assert!(positions(&mut broker).is_empty());
    broker.let_go();
    assert_eq!(positions(&mut broker), [1, 2]);
    // What is given back is durable still; what came meanwhile is not.
    broker.held = true;
    broker.publish(1, message("", "a", &[persistent()]), None);
    let at = broker.view.read().queue("/", "a").unwrap().at;
    let range = PositionRange::single(Position(2));
    broker.port_mut(1).settle(at, ConsumerNumber(1), range, Settlement::Requeue { failed: false });
    broker.settle();
    assert_eq!(positions(&mut broker), [2]);
    broker.let_go();
    assert_eq!(positions(&mut broker), [3]);
}

#[test]
fn a_get_waits_for_the_message_and_finds_nothing_where_none_came() {
    let mut broker = holding_back();
    broker.held = true;
    assert!(broker.get(1, "a").is_none());
    broker.publish(1, message("", "a", &[]), None);
    let now = broker.now;
    let get = Request::Get { queue: "a".into(), consumer: ConsumerNumber(9), no_ack: true };
    broker.port_mut(1).request(now, get);
    broker.settle();
    assert!(broker.take_reply(1).is_none());
    broker.let_go();
    assert!(matches!(broker.take_reply(1), Some(Reply::Got { .. })), "a transient one, too");
}

#[test]
fn what_was_there_at_the_start_is_delivered_at_once_and_priorities_keep_their_order() {
    let mut broker = holding_back();
    broker.ask(1, queue_with("p", &[("x-max-priority", int(5))]));
    let high = || message("", "p", &[persistent(), (Field::Priority, vec![5])]);
    broker.publish(1, message("", "p", &[persistent()]), None);
    broker.held = true;
    broker.publish(1, high(), None);
    broker.consume(1, "p", 1, ConsumeOptions::default());
    assert!(positions(&mut broker).is_empty(), "the first in order is not durable");
    broker.let_go();
    assert_eq!(positions(&mut broker), [2, 1]);
    broker.publish(1, high(), None);
    let mut broker = broker.restarted();
    broker.held = true;
    broker.connect(1);
    broker.consume(1, "p", 1, ConsumeOptions::default());
    assert_eq!(positions(&mut broker).len(), 3);
}
