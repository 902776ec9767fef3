//! Dead letters of a source that insists: how many are on their way at once, and what becomes of the others.

use super::desk::{Desk, PERSISTENT, dead_lettering, key};
use super::support::Spec;
use crate::model::consuming::{DeathReason, Settlement};
use crate::model::ids::{Position, Timestamp};
use crate::model::settings::{Overflow, QueueSettings};
use crate::queue::Pushed;

/// Two of them are as much as a fetch brings.
const LARGE: Spec = Spec { persistent: true, priority: None, expiration: None, body: 40_000 };

fn insisting() -> Desk {
    let settings = QueueSettings {
        dead_letters_at_least_once: true,
        overflow: Overflow::RejectPublish,
        ..dead_lettering()
    };
    let mut desk = Desk::new(settings);
    desk.queue.set_window(0, 0);
    desk
}

/// A desk at which all of so many messages were rejected.
fn rejected(count: u64, spec: Spec) -> Desk {
    let mut desk = insisting();
    desk.push_many(usize::try_from(count).unwrap(), spec);
    desk.consume(1, 0, 0);
    desk.pump();
    desk.settle(1, 1, count, Settlement::Discard);
    desk.pump();
    desk
}

/// The positions of the letters handed out since the last look.
fn letters(desk: &mut Desk) -> Vec<u64> {
    desk.dead.drain(..).map(|(position, ..)| position).collect()
}

/// This letter has arrived.
fn arrived(desk: &mut Desk, position: u64) {
    desk.queue.dead_lettered(Position(position), &mut desk.fx);
    desk.pump();
}

#[test]
fn only_some_letters_are_on_their_way_at_once_and_the_others_follow_in_order() {
    let mut desk = rejected(7, LARGE);
    assert_eq!(letters(&mut desk), [1, 2]);
    assert_eq!(desk.store.positions().count(), 7);
    arrived(&mut desk, 2);
    assert_eq!(letters(&mut desk), [3]);
    arrived(&mut desk, 1);
    arrived(&mut desk, 3);
    assert_eq!(letters(&mut desk), [4, 5]);
    for position in 4..=7 {
        arrived(&mut desk, position);
    }
    assert_eq!(letters(&mut desk), [6, 7]);
    assert_eq!(desk.store.positions().count(), 0);
}

#[test]
fn a_letter_does_not_overtake_those_that_wait() {
    let mut desk = insisting();
    // All may stay in memory while they are unacked.
    desk.queue.set_window(256 << 10, 256 << 10);
    desk.push_many(3, LARGE);
    desk.push(PERSISTENT);
    desk.consume(1, 0, 0);
    desk.pump();
    desk.settle(1, 1, 3, Settlement::Discard);
    desk.queue.dead_lettered(Position(1), &mut desk.fx);
    desk.settle(1, 4, 4, Settlement::Discard);
    desk.pump();
    assert_eq!(letters(&mut desk), [1, 2, 3]);
    arrived(&mut desk, 2);
    assert_eq!(letters(&mut desk), [4]);
}

#[test]
fn letters_keep_their_reasons_while_they_wait() {
    let mut desk = insisting();
    desk.push_many(2, LARGE);
    desk.push_many(2, Spec { expiration: Some(5), ..LARGE });
    desk.push(LARGE);
    desk.consume(1, 2, 0);
    desk.pump();
    desk.settle(1, 1, 2, Settlement::Discard);
    desk.now = Timestamp(1005);
    desk.tick();
    desk.pump();
    desk.settle(1, 5, 5, Settlement::Discard);
    for position in 1..=5 {
        arrived(&mut desk, position);
    }
    let (rejected, expired) = (DeathReason::Rejected, DeathReason::Expired);
    let reasons: Vec<_> = desk.dead.iter().map(|&(at, reason, _)| (at, reason)).collect();
    assert_eq!(reasons, [(1, rejected), (2, rejected), (3, expired), (4, expired), (5, rejected)]);
}

#[test]
fn a_purge_leaves_letters_alone_and_a_full_queue_counts_them() {
    let mut desk = insisting();
    desk.push_many(7, LARGE);
    desk.consume(1, 0, 0);
    desk.pump();
    desk.settle(1, 2, 6, Settlement::Discard);
    desk.queue.cancel(desk.now, key(1), &mut desk.fx);
    desk.settle(1, 1, 7, Settlement::Requeue { failed: false });
    desk.pump();
    let settings = QueueSettings { max_length: Some(8), ..desk.queue.settings().clone() };
    desk.queue.set_settings(desk.now, settings, &mut desk.fx);
    assert_eq!((desk.push(LARGE), desk.push(LARGE)), (Pushed::Stored, Pushed::Rejected));
    assert_eq!(desk.queue.purge(desk.now, &mut desk.fx), 3);
    desk.pump();
    assert_eq!(desk.store.positions().map(|at| at.0).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    for position in 2..=6 {
        arrived(&mut desk, position);
    }
    assert_eq!(letters(&mut desk), [2, 3, 4, 5, 6]);
}

#[test]
fn letters_that_are_damaged_do_not_hold_up_the_others() {
    let mut desk = rejected(7, LARGE);
    for lost in [3, 5, 7] {
        desk.store.quarantine(Position(lost));
    }
    for position in 1..=7 {
        arrived(&mut desk, position);
    }
    assert_eq!(letters(&mut desk), [1, 2, 4, 6]);
    assert_eq!(desk.store.positions().count(), 0);
    desk.settle(1, 1, 7, Settlement::Ack);
    assert_eq!(desk.push(LARGE), Pushed::Stored);
}

#[test]
fn many_small_letters_wait_in_little_memory() {
    let mut desk = rejected(3_000, PERSISTENT);
    let sent = letters(&mut desk).len() as u64;
    assert!((10..1_000).contains(&sent), "{sent}");
    for position in 1..=3_000 {
        arrived(&mut desk, position);
    }
    assert_eq!(letters(&mut desk), (sent + 1..=3_000).collect::<Vec<_>>());
    assert_eq!(desk.store.positions().count(), 0);
}
