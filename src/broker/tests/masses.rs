//! One request that concerns very much: it is carried out in steps, and others have their turn in between.

use super::harness::{Broker, message, queue_with, text};
use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::event::ConfirmToken;
use crate::model::ids::{ConsumerNumber, PositionRange, QueueRef};
use crate::model::port::BrokerPort;

const MANY: u64 = 3000;
/// More than a turn leads to.
const LONG: usize = 1200;

/// A queue with many messages, all of them with consumer 1 of connection 1. Where it is, and the range of them.
fn with_many_unacked(broker: &mut Broker) -> (QueueRef, PositionRange) {
    broker.connect(1);
    broker.connect(2);
    let target = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
    for (queue, fields) in [("dead", &[][..]), ("q", &target[..]), ("a", &[]), ("b", &[])] {
        broker.ask(1, queue_with(queue, fields));
    }
    for _ in 0..MANY {
        broker.publish(1, message("", "q", &[]), None);
    }
    broker.consume(1, "q", 1, ConsumeOptions::default());
    let delivered = broker.deliveries(1);
    assert_eq!(delivered.len() as u64, MANY);
    let (first, last) = (&delivered[0], &delivered[delivered.len() - 1]);
    broker.longest_turn = 0;
    (first.queue, PositionRange { first: first.position, last: last.position })
}

#[test]
fn one_nack_of_thousands_leaves_the_others_their_turn() {
    let mut broker = Broker::new();
    let (queue, range) = with_many_unacked(&mut broker);
    broker.port_mut(1).settle(queue, ConsumerNumber(1), range, Settlement::Discard);
    let now = broker.now();
    for (sequence, other) in [(1, "a"), (2, "b")] {
        let routed = broker.route(2, message("", other, &[])).unwrap();
        let token = ConfirmToken { channel: 1, epoch: 0, sequence };
        broker.port_mut(2).submit(routed, Some(token));
    }
    broker.one_turn();
    let mut confirms = broker.confirms(2);
    confirms.sort_unstable();
    assert_eq!(confirms, [(1, true), (2, true)]);
    assert_eq!(broker.now(), now);
    broker.settle();
    assert!(broker.longest_turn <= LONG, "{}", broker.longest_turn);
    assert_eq!(broker.counts(2, "dead").0, 3000);
    assert_eq!(broker.counts(2, "q").0, 0);
}

#[test]
fn what_a_connection_asks_behind_a_long_request_comes_after_it() {
    let mut broker = Broker::new();
    let (queue, range) = with_many_unacked(&mut broker);
    broker.port_mut(1).settle(queue, ConsumerNumber(1), range, Settlement::Discard);
    // Deleted by way of the catalog, which overtakes nothing either.
    broker.ask(1, super::harness::delete_queue("q", false, false));
    assert_eq!(broker.counts(2, "dead").0, 3000);
}

#[test]
fn a_lost_connection_gives_back_in_steps_what_it_held() {
    let mut broker = Broker::new();
    with_many_unacked(&mut broker);
    broker.lose(1);
    assert_eq!(broker.counts(2, "q"), (3000, 0));
}
