//! Dead letters of a source with at-least-once dead-lettering: how many are on their way at once, and what becomes of
//! the others.

use super::harness::{Harness, PERSISTENT, dead_lettering, key};
use super::support::Spec;
use crate::model::consuming::{DeathReason, Settlement};
use crate::model::ids::{Position, Timestamp};
use crate::model::settings::{Overflow, QueueSettings};
use crate::queue::Pushed;

/// Two of them are as much as a fetch brings.
const LARGE: Spec = Spec { persistent: true, priority: None, expiration: None, body: 40_000 };

fn at_least_once() -> Harness {
    let settings = QueueSettings {
        dead_letters_at_least_once: true,
        overflow: Overflow::RejectPublish,
        ..dead_lettering()
    };
    let mut harness = Harness::new(settings);
    harness.queue.set_window(0, 0);
    harness
}

/// A harness at which all of so many messages were rejected.
fn rejected(count: u64, spec: Spec) -> Harness {
    let mut harness = at_least_once();
    harness.push_many(usize::try_from(count).unwrap(), spec);
    harness.consume(1, 0, 0);
    harness.pump();
    harness.settle(1, 1, count, Settlement::Discard);
    harness.pump();
    harness
}

/// The positions of the dead letters handed out since the last look.
fn handed_out(harness: &mut Harness) -> Vec<u64> {
    harness.dead.drain(..).map(|(position, ..)| position).collect()
}

/// This dead letter has arrived.
fn arrived(harness: &mut Harness, position: u64) {
    harness.queue.dead_lettered(Position(position), &mut harness.fx);
    harness.pump();
}

#[test]
fn only_some_dead_letters_are_on_their_way_at_once_and_the_others_follow_in_order() {
    let mut harness = rejected(7, LARGE);
    assert_eq!(handed_out(&mut harness), [1, 2]);
    assert_eq!(harness.store.positions().count(), 7);
    arrived(&mut harness, 2);
    assert_eq!(handed_out(&mut harness), [3]);
    arrived(&mut harness, 1);
    arrived(&mut harness, 3);
    assert_eq!(handed_out(&mut harness), [4, 5]);
    for position in 4..=7 {
        arrived(&mut harness, position);
    }
    assert_eq!(handed_out(&mut harness), [6, 7]);
    assert_eq!(harness.store.positions().count(), 0);
}

#[test]
fn a_dead_letter_does_not_overtake_those_that_wait() {
    let mut harness = at_least_once();
    // All may stay in memory while they are unacked.
    harness.queue.set_window(256 << 10, 256 << 10);
    harness.push_many(3, LARGE);
    harness.push(PERSISTENT);
    harness.consume(1, 0, 0);
    harness.pump();
    harness.settle(1, 1, 3, Settlement::Discard);
    harness.queue.dead_lettered(Position(1), &mut harness.fx);
    harness.settle(1, 4, 4, Settlement::Discard);
    harness.pump();
    assert_eq!(handed_out(&mut harness), [1, 2, 3]);
    arrived(&mut harness, 2);
    assert_eq!(handed_out(&mut harness), [4]);
}

#[test]
fn dead_letters_keep_their_reasons_while_they_wait() {
    let mut harness = at_least_once();
    harness.push_many(2, LARGE);
    harness.push_many(2, Spec { expiration: Some(5), ..LARGE });
    harness.push(LARGE);
    harness.consume(1, 2, 0);
    harness.pump();
    harness.settle(1, 1, 2, Settlement::Discard);
    harness.now = Timestamp(1005);
    harness.tick();
    harness.pump();
    harness.settle(1, 5, 5, Settlement::Discard);
    for position in 1..=5 {
        arrived(&mut harness, position);
    }
    let (rejected, expired) = (DeathReason::Rejected, DeathReason::Expired);
    let reasons: Vec<_> = harness.dead.iter().map(|&(at, reason, _)| (at, reason)).collect();
    assert_eq!(reasons, [(1, rejected), (2, rejected), (3, expired), (4, expired), (5, rejected)]);
}

#[test]
fn a_purge_leaves_dead_letters_alone_and_a_full_queue_counts_them() {
    let mut harness = at_least_once();
    harness.push_many(7, LARGE);
    harness.consume(1, 0, 0);
    harness.pump();
    harness.settle(1, 2, 6, Settlement::Discard);
    harness.queue.cancel(harness.now, key(1), &mut harness.fx);
    harness.settle(1, 1, 7, Settlement::Requeue { failed: false });
    harness.pump();
    let settings = QueueSettings { max_length: Some(8), ..harness.queue.settings().clone() };
    harness.queue.set_settings(harness.now, settings, &mut harness.fx);
    assert_eq!((harness.push(LARGE), harness.push(LARGE)), (Pushed::Stored, Pushed::Rejected));
    assert_eq!(harness.queue.purge(harness.now, &mut harness.fx), 3);
    harness.pump();
    assert_eq!(harness.store.positions().map(|at| at.0).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    for position in 2..=6 {
        arrived(&mut harness, position);
    }
    assert_eq!(handed_out(&mut harness), [2, 3, 4, 5, 6]);
}

#[test]
fn dead_letters_that_are_damaged_do_not_hold_up_the_others() {
    let mut harness = rejected(7, LARGE);
    for lost in [3, 5, 7] {
        harness.store.quarantine(Position(lost));
    }
    for position in 1..=7 {
        arrived(&mut harness, position);
    }
    assert_eq!(handed_out(&mut harness), [1, 2, 4, 6]);
    assert_eq!(harness.store.positions().count(), 0);
    harness.settle(1, 1, 7, Settlement::Ack);
    assert_eq!(harness.push(LARGE), Pushed::Stored);
}

#[test]
fn many_small_dead_letters_wait_in_little_memory() {
    let mut harness = rejected(3_000, PERSISTENT);
    let sent = handed_out(&mut harness).len() as u64;
    assert!((10..1_000).contains(&sent), "{sent}");
    for position in 1..=3_000 {
        arrived(&mut harness, position);
    }
    assert_eq!(handed_out(&mut harness), (sent + 1..=3_000).collect::<Vec<_>>());
    assert_eq!(harness.store.positions().count(), 0);
}
