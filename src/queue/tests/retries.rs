//! Delayed retries: what comes back waits, is nobody's meanwhile, and comes back to its place (semantics 11.10).

use std::sync::Arc;

use super::harness::{Harness, PERSISTENT, dead_lettering};
use super::support::Spec;
use crate::model::consuming::{DeathReason, Settlement};
use crate::model::counters::QueueCount;
use crate::model::ids::{Position, Timestamp};
use crate::model::op::{Attempts, Op, RecoveredQueue, StoredWait};
use crate::model::retry::{Delays, Retried, Retry};
use crate::model::settings::{Overflow, QueueSettings, QueueType};

const REJECTED: Settlement = Settlement::Requeue { failed: true };
const RETURNED: Settlement = Settlement::Requeue { failed: false };

fn retrying(delays: Delays, rejected: bool) -> Option<Arc<Retry>> {
    Some(Retry { retried: Retried::All, delays, jitter: 0, rejected }.into())
}

fn growing() -> QueueSettings {
    let retry = retrying(Delays::Growing { least: 300, most: 800 }, false);
    QueueSettings { queue_type: QueueType::Quorum, retry, durable: true, ..QueueSettings::default() }
}

fn listed(delays: &[u64], rejected: bool) -> QueueSettings {
    let delivery_limit = u32::try_from(delays.len()).ok();
    let retry = retrying(Delays::List(delays.into()), rejected);
    QueueSettings { retry, delivery_limit, ..dead_lettering() }
}

/// Passes the time of the next deadline, and returns how long that was.
fn pass(harness: &mut Harness) -> Option<u64> {
    let before = harness.now;
    harness.now = harness.queue.next_deadline()?;
    harness.tick();
    harness.pump();
    Some(harness.now.0 - before.0)
}

/// Ready, unacked and delayed.
fn counted(harness: &Harness) -> (u64, u64, u64) {
    let counts = harness.queue.counts();
    (counts.ready, counts.unacked, counts.delayed)
}

#[test]
fn a_delay_grows_with_failures_and_is_no_longer_for_what_is_returned() {
    let mut harness = Harness::new(growing());
    harness.push(PERSISTENT);
    harness.consume(1, 1, 0);
    harness.pump();
    let mut waits = Vec::new();
    for how in [RETURNED, RETURNED, REJECTED, REJECTED, RETURNED, REJECTED] {
        harness.settle(1, 1, 1, how);
        harness.pump();
        assert_eq!(counted(&harness), (0, 0, 1));
        waits.extend(pass(&mut harness));
        assert_eq!(counted(&harness), (0, 1, 0), "it is delivered again");
    }
    assert_eq!(waits, [300, 300, 300, 600, 600, 800]);
    assert_eq!(harness.queue.counts().counters[QueueCount::Retried], 6);
}

#[test]
fn what_waits_is_passed_by_others_and_comes_back_to_its_place() {
    let mut harness = Harness::new(growing());
    harness.push_many(4, PERSISTENT);
    harness.consume(1, 2, 0);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 1), (1, 2)]);
    harness.settle(1, 1, 2, RETURNED);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 3), (1, 4)], "its credit is back at once");
    harness.queue.cancel(harness.now, super::harness::key(1), &mut harness.fx);
    harness.settle(1, 3, 4, Settlement::Release);
    assert_eq!(pass(&mut harness), Some(300));
    harness.consume(2, 4, 0);
    harness.pump();
    let order: Vec<_> = harness.take_delivered().into_iter().filter(|(who, _)| *who == 2).collect();
    assert_eq!(order.first(), Some(&(2, 1)), "{order:?}");
}

#[test]
fn a_purge_counts_what_waits_and_takes_it_from_the_store() {
    let mut harness = Harness::new(growing());
    harness.push_many(5, PERSISTENT);
    harness.consume(1, 3, 0);
    harness.pump();
    harness.queue.cancel(harness.now, super::harness::key(1), &mut harness.fx);
    harness.settle(1, 2, 3, RETURNED);
    harness.pump();
    assert_eq!(counted(&harness), (2, 1, 2));
    assert_eq!(harness.queue.purge(harness.now, &mut harness.fx), 4);
    harness.look();
    assert_eq!(counted(&harness), (0, 1, 0));
    assert_eq!(harness.store.positions().collect::<Vec<_>>(), [Position(1)]);
    assert_eq!(harness.queue.next_deadline(), None);
}

#[test]
fn what_waits_counts_for_a_limit_and_what_is_ready_goes_first() {
    let mut harness = Harness::new(QueueSettings { max_length: Some(3), ..growing() });
    harness.push_many(3, PERSISTENT);
    harness.consume(1, 3, 0);
    harness.pump();
    harness.queue.cancel(harness.now, super::harness::key(1), &mut harness.fx);
    harness.settle(1, 1, 3, RETURNED);
    harness.push_many(3, PERSISTENT);
    harness.pump();
    assert_eq!(counted(&harness), (0, 0, 3), "as RabbitMQ drops what comes then");
    assert_eq!(pass(&mut harness), Some(300));
    assert_eq!(counted(&harness), (3, 0, 0));
    let rejecting = QueueSettings { max_length: Some(1), overflow: Overflow::RejectPublish, ..growing() };
    let mut harness = Harness::new(rejecting);
    harness.push(PERSISTENT);
    harness.consume(1, 1, 0);
    harness.pump();
    harness.queue.cancel(harness.now, super::harness::key(1), &mut harness.fx);
    harness.settle(1, 1, 1, RETURNED);
    harness.pump();
    assert_eq!(harness.push(PERSISTENT), crate::queue::Pushed::Rejected);
}

#[test]
fn what_expires_waits_no_longer_than_that() {
    let mut harness = Harness::new(listed(&[60_000], false));
    harness.push(Spec { expiration: Some(100), ..PERSISTENT });
    harness.consume(1, 1, 0);
    harness.pump();
    harness.settle(1, 1, 1, RETURNED);
    harness.pump();
    assert_eq!(pass(&mut harness), Some(100));
    assert_eq!(harness.dead, [(1, DeathReason::Expired, true)]);
    assert_eq!(counted(&harness), (0, 0, 0));
}

#[test]
fn after_the_last_of_a_list_of_delays_it_is_dead() {
    for (how, reason) in
        [(REJECTED, DeathReason::DeliveryLimit), (Settlement::Discard, DeathReason::Rejected)]
    {
        let mut harness = Harness::new(listed(&[10, 70], true));
        harness.push(PERSISTENT);
        harness.consume(1, 1, 0);
        harness.pump();
        for wait in [10, 70] {
            harness.settle(1, 1, 1, how);
            harness.pump();
            assert_eq!(pass(&mut harness), Some(wait));
        }
        assert_eq!(harness.dead, []);
        harness.settle(1, 1, 1, how);
        harness.pump();
        assert_eq!(harness.dead, [(1, reason, true)], "{how:?}");
    }
    let mut harness = Harness::new(listed(&[10, 70], false));
    harness.push(PERSISTENT);
    harness.consume(1, 1, 0);
    harness.pump();
    harness.settle(1, 1, 1, Settlement::Discard);
    harness.pump();
    assert_eq!(harness.dead, [(1, DeathReason::Rejected, true)], "unless what is rejected is retried");
}

#[test]
fn contents_that_wait_leave_memory_and_are_read_again() {
    let mut harness = Harness::new(QueueSettings { queue_type: QueueType::Classic, ..growing() });
    harness.queue.set_window(400_000, 400_000);
    for persistent in [true, false] {
        harness.push_many(20, Spec { persistent, body: 40_000, ..Spec::default() });
    }
    harness.consume(1, 0, 0);
    harness.pump();
    assert_eq!(harness.take_delivered().len(), 40);
    harness.settle(1, 1, 40, RETURNED);
    harness.pump();
    assert_eq!(counted(&harness), (0, 0, 40));
    let counts = harness.queue.counts();
    assert!(counts.memory_bytes < 2 * 150_000, "{}", counts.memory_bytes);
    assert_eq!(counts.delayed_bytes, 40 * 40_000);
    assert_eq!(pass(&mut harness), Some(300));
    let again: Vec<_> = harness.take_delivered().into_iter().map(|(_, position)| position).collect();
    assert_eq!(again, (1..=40).collect::<Vec<_>>());
}

#[test]
fn a_restart_ends_no_wait() {
    let mut harness = Harness::new(growing());
    harness.push_many(3, PERSISTENT);
    harness.consume(1, 3, 0);
    harness.pump();
    harness.settle(1, 2, 2, REJECTED);
    harness.pump();
    let requeued = harness.ops.iter().find_map(|op| match op {
        Op::Requeue { position, with, .. } => Some((position.0, *with)),
        _ => None,
    });
    let (position, with) = requeued.unwrap();
    assert_eq!((position, with.attempts), (2, Attempts { acquired: 1, failed: 1 }));
    assert_eq!(with.not_before, Timestamp(1300));

    let store = harness.store;
    let wait = StoredWait {
        lane: store.lane_of(Position(2)),
        position: Position(2),
        not_before: with.not_before,
        expires_at: None,
        body: 0,
    };
    let found = RecoveredQueue { waiting: vec![wait], ..RecoveredQueue::default() };
    let mut harness = Harness::recover(growing(), found);
    harness.store = store;
    assert_eq!(counted(&harness), (0, 0, 1));
    assert_eq!(harness.queue.last_position(), Position(2));
    harness.consume(1, 1, 0);
    assert_eq!(pass(&mut harness), Some(300));
    assert_eq!(harness.take_delivered(), [(1, 2)]);
    let held = harness.store.meta_of(Position(2));
    assert!(held.redelivered && held.attempts.failed == 1);
}

#[test]
fn without_retries_it_is_ready_again_at_once() {
    let mut harness = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
    harness.push(PERSISTENT);
    harness.consume(1, 1, 0);
    harness.pump();
    harness.settle(1, 1, 1, REJECTED);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 1), (1, 1)]);
    assert_eq!(harness.queue.counts().counters[QueueCount::Retried], 0);
}
