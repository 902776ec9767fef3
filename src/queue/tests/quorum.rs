//! Consumers that hold a delivery for too long (semantics 11.7); and what else quorum queues do of their own with
//! consumers (semantics 10.11, 10.15).

use super::support::{Spec, message};
use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::ids::{
    ConnectionId, ConsumerKey, ConsumerNumber, Position, PositionRange, QueueId, QueueRef, ShardIndex,
    Timestamp,
};
use crate::model::op::{Attempts, Op};
use crate::model::settings::{QueueSettings, QueueType};
use crate::queue::{FlowControl, Queue, QueueEffects, TimedOut};

struct Open;

impl FlowControl for Open {
    fn admits(&mut self, _: ConnectionId, _: usize) -> bool {
        true
    }
}

fn key(who: u32) -> ConsumerKey {
    ConsumerKey { connection: ConnectionId(1), number: ConsumerNumber(who) }
}

struct Harness {
    queue: Queue,
    fx: QueueEffects,
    now: Timestamp,
}

impl Harness {
    /// A quorum queue with this many messages and a timeout of its own.
    fn new(messages: usize, timeout: Option<u64>) -> Harness {
        let queue_type = QueueType::Quorum;
        let settings = QueueSettings {
            queue_type,
            durable: true,
            consumer_timeout: timeout,
            ..QueueSettings::default()
        };
        // Before the counted milliseconds go around, so that they do.
        let now = Timestamp(u64::from(u32::MAX) - 500);
        let at = QueueRef { queue: QueueId(1), shard: ShardIndex::alone(0) };
        let mut harness = Harness { queue: Queue::new(at, settings, now), fx: QueueEffects::default(), now };
        for _ in 0..messages {
            harness.queue.push(now, message(Spec::default()), &mut harness.fx);
        }
        harness
    }

    fn consume(&mut self, who: u32, options: ConsumeOptions) {
        self.queue.consume(self.now, key(who), options, &mut self.fx).unwrap();
        self.pump();
    }

    fn pump(&mut self) {
        self.queue.pump(self.now, &mut Open, &mut self.fx);
    }

    fn ack(&mut self, who: u32, first: u64, last: u64) {
        let range = PositionRange { first: Position(first), last: Position(last) };
        self.queue.settle(self.now, key(who), range, Settlement::Ack, &mut self.fx);
        self.pump();
    }

    /// Lets time pass up to each deadline, as a shard would. Returns who timed out, and when.
    fn pass(&mut self, millis: u64) -> Vec<(u64, u32)> {
        let (start, end) = (self.now, self.now.plus_millis(millis));
        let mut timed_out = Vec::new();
        while let Some(deadline) = self.queue.next_deadline().filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            self.queue.tick(self.now, &mut self.fx);
            self.pump();
            let news = self.fx.timed_out.drain(..);
            timed_out.extend(news.map(|news| (self.now.0 - start.0, news.key.number.0)));
        }
        self.now = end;
        timed_out
    }

    fn delivered(&mut self) -> Vec<(u32, u64)> {
        self.fx.deliveries.drain(..).map(|(_, delivery)| (delivery.consumer.0, delivery.position.0)).collect()
    }
}

fn prefetch(prefetch: u16) -> ConsumeOptions {
    ConsumeOptions { prefetch, ..ConsumeOptions::default() }
}

#[test]
fn what_is_held_for_too_long_is_taken_back_and_the_consumer_is_none_any_more() {
    let mut harness = Harness::new(3, Some(1000));
    harness.consume(1, prefetch(2));
    assert_eq!(harness.delivered(), [(1, 1), (1, 2)]);
    assert_eq!(harness.pass(999), []);
    assert_eq!(harness.pass(1), [(1, 1)]);
    let counts = harness.queue.counts();
    assert_eq!((counts.ready, counts.unacked, counts.consumers), (3, 0, 0));
    assert_eq!(harness.pass(5000), [], "once");
    harness.ack(1, 1, 2);
    assert_eq!(harness.queue.counts().ready, 3, "a late ack is no news");
    harness.consume(2, prefetch(0));
    let redelivered: Vec<_> =
        harness.fx.deliveries.iter().map(|(_, it)| (it.redelivered, it.attempts)).collect();
    let once = Attempts { acquired: 1, failed: 0 };
    assert_eq!(redelivered, [(true, once), (true, once), (false, Attempts::NONE)], "that is no failure");
    assert!(harness.fx.ops.iter().any(|op| matches!(op, Op::Requeue { with, .. } if with.attempts == once)));
}

#[test]
fn every_delivery_has_its_own_time() {
    let mut harness = Harness::new(1, Some(1000));
    harness.consume(1, prefetch(0));
    assert_eq!(harness.pass(900), []);
    harness.queue.push(harness.now, message(Spec::default()), &mut harness.fx);
    harness.pump();
    harness.ack(1, 1, 1);
    assert_eq!(harness.pass(900), [], "the first was settled in time, the second came later");
    assert_eq!(harness.pass(200), [(100, 1)]);
}

#[test]
fn a_message_that_comes_again_starts_anew() {
    let mut harness = Harness::new(1, Some(1000));
    harness.consume(1, prefetch(1));
    assert_eq!(harness.pass(900), []);
    let range = PositionRange::single(Position(1));
    harness.queue.settle(harness.now, key(1), range, Settlement::Requeue { failed: false }, &mut harness.fx);
    harness.pump();
    assert_eq!(harness.delivered(), [(1, 1), (1, 1)]);
    assert_eq!(harness.pass(999), []);
    assert_eq!(harness.pass(1), [(1, 1)]);
}

#[test]
fn a_consumer_may_say_its_own_time() {
    let mut harness = Harness::new(3, Some(1000));
    harness.consume(1, ConsumeOptions { timeout: Some(4000), ..prefetch(1) });
    harness.consume(2, ConsumeOptions { timeout: Some(500), ..prefetch(1) });
    harness.consume(3, prefetch(1));
    assert_eq!(harness.pass(10_000), [(500, 2), (1000, 3), (4000, 1)]);
    let mut harness = Harness::new(1, None);
    harness.consume(1, ConsumeOptions { timeout: Some(0), ..prefetch(1) });
    assert_eq!(harness.pass(0), [(0, 1)]);
}

#[test]
fn what_nobody_has_to_ack_and_what_has_no_end_does_not_time_out() {
    let mut harness = Harness::new(4, Some(1000));
    harness.queue.get(harness.now, key(2), true, &mut harness.fx);
    harness.consume(1, ConsumeOptions { no_ack: true, prefetch: 1, ..ConsumeOptions::default() });
    assert_eq!((harness.pass(100_000), harness.queue.counts().ready), (vec![], 0));
    let mut harness = Harness::new(1, Some(31 * 86_400_000));
    harness.consume(1, prefetch(1));
    assert_eq!(harness.queue.next_deadline(), None);
    let mut harness = Harness::new(1, None);
    harness.consume(1, prefetch(1));
    assert_eq!(harness.queue.next_deadline(), None);
}

#[test]
fn what_a_get_holds_times_out_too() {
    let mut harness = Harness::new(2, Some(1000));
    harness.queue.get(harness.now, key(2), false, &mut harness.fx);
    assert_eq!(harness.pass(2000), [(1000, 2)]);
    assert_eq!(harness.queue.counts().ready, 2);
}

#[test]
fn a_lost_consumer_leaves_no_deadline_to_the_next_in_its_place() {
    let mut harness = Harness::new(1, Some(1000));
    harness.consume(1, prefetch(1));
    harness.queue.detach(harness.now, key(1), usize::MAX, &mut harness.fx);
    assert_eq!(harness.queue.next_deadline(), None);
    assert_eq!(harness.pass(600), []);
    harness.consume(2, prefetch(1));
    assert_eq!(harness.pass(999), []);
    assert_eq!(harness.pass(1), [(1, 2)]);
}

#[test]
fn an_unlimited_consumer_of_a_quorum_queue_is_limited() {
    for (options, expected) in
        [(prefetch(0), 2000), (prefetch(2100), 2100), (ConsumeOptions { no_ack: true, ..prefetch(0) }, 2200)]
    {
        let mut harness = Harness::new(2200, None);
        harness.consume(1, options);
        assert_eq!(harness.delivered().len(), expected);
    }
}

/// A quorum queue with this many messages and one active consumer.
fn single_active(messages: usize) -> Harness {
    let mut harness = Harness::new(messages, None);
    let settings = QueueSettings { single_active_consumer: true, ..harness.queue.settings().clone() };
    harness.queue.set_settings(harness.now, settings, &mut harness.fx);
    harness
}

fn of_priority(priority: i32) -> ConsumeOptions {
    ConsumeOptions { priority, ..prefetch(1) }
}

#[test]
fn a_higher_priority_takes_over_once_nothing_is_in_flight() {
    let mut harness = single_active(6);
    harness.consume(1, of_priority(1));
    harness.consume(2, of_priority(5));
    harness.consume(3, of_priority(5));
    harness.consume(4, of_priority(3));
    assert_eq!(harness.delivered(), [(1, 1)]);
    harness.ack(1, 1, 1);
    assert_eq!(harness.delivered(), [(2, 2)]);
    harness.ack(2, 2, 2);
    assert_eq!(harness.delivered(), [(2, 3)], "the active one stays against its equals");
    harness.queue.cancel(harness.now, key(2), &mut harness.fx);
    harness.pump();
    assert_eq!(harness.delivered(), [(3, 4)], "a cancelled one need not settle first");
    harness.queue.detach(harness.now, key(3), usize::MAX, &mut harness.fx);
    harness.pump();
    assert_eq!(harness.delivered(), [(4, 4)]);
}

#[test]
fn a_higher_priority_need_not_wait_for_one_that_holds_nothing() {
    let mut harness = single_active(0);
    harness.consume(1, ConsumeOptions { no_ack: true, ..of_priority(1) });
    harness.queue.push(harness.now, message(Spec::default()), &mut harness.fx);
    harness.pump();
    harness.consume(2, of_priority(2));
    harness.queue.push(harness.now, message(Spec::default()), &mut harness.fx);
    harness.pump();
    assert_eq!(harness.delivered(), [(1, 1), (2, 2)]);
}

#[test]
fn a_classic_queue_wants_the_channel_closed() {
    let settings = QueueSettings::default();
    let at = QueueRef { queue: QueueId(1), shard: ShardIndex::alone(0) };
    let now = Timestamp(5);
    let mut harness = Harness { queue: Queue::new(at, settings, now), fx: QueueEffects::default(), now };
    harness.queue.push(now, message(Spec::default()), &mut harness.fx);
    harness.consume(1, ConsumeOptions { timeout: Some(10), ..prefetch(1) });
    harness.queue.tick(now.plus_millis(10), &mut harness.fx);
    assert_eq!(harness.fx.timed_out, [TimedOut { key: key(1), timeout: 10, closes_channel: true }]);
}
