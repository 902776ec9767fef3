//! What a queue knows of the times of messages that the store alone has: when it looks ahead, what it asks for, and what
//! becomes of what it knows when a message leaves or comes back in another way.

use super::harness::{Harness, Outbox, PERSISTENT, dead_lettering};
use super::support::Spec;
use crate::model::consuming::{DeathReason, Settlement};
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::{Op, RecoveredQueue, Span, Wants};
use crate::model::settings::QueueSettings;

const DURABLE: fn() -> QueueSettings = || QueueSettings { durable: true, ..QueueSettings::default() };

fn expiring(after: u64) -> Spec {
    Spec { expiration: Some(after), body: 100, ..PERSISTENT }
}

/// A queue whose messages all leave memory, with these expirations.
fn harness(settings: QueueSettings, expirations: impl IntoIterator<Item = u64>) -> Harness {
    let mut harness = Harness::new(settings);
    harness.queue.set_window(0, 0);
    for after in expirations {
        harness.push(expiring(after));
    }
    harness.pump();
    harness
}

fn pass(harness: &mut Harness, until: u64) {
    while let Some(deadline) = harness.queue.next_deadline().filter(|deadline| deadline.0 <= until) {
        harness.now = harness.now.max(deadline);
        harness.tick();
        harness.pump();
    }
    harness.now = Timestamp(until);
}

fn removed(harness: &Harness) -> Vec<u64> {
    let removed = harness.ops.iter().filter_map(|op| match op {
        Op::Remove { range, .. } => Some(range.first.0..=range.last.0),
        _ => None,
    });
    removed.flatten().collect()
}

#[test]
fn what_expires_in_the_store_leaves_in_time_and_unread() {
    let mut harness = harness(DURABLE(), (0..2000).map(|at| 10_000 + at * 7919 % 5000));
    while let Some(deadline) = harness.queue.next_deadline() {
        assert!(deadline > harness.now, "it waits for what it has to do");
        harness.now = deadline;
        harness.tick();
        harness.pump();
        let alive = (0..2000u64).filter(|at| 11_000 + at * 7919 % 5000 > harness.now.0).count();
        assert_eq!(harness.queue.counts().ready, alive as u64, "at {:?}", harness.now);
        assert_eq!(harness.store.positions().count(), alive);
    }
    assert_eq!((harness.read, harness.dead.len(), harness.queue.counts().ready_bytes), (0, 0, 0));
    assert!(harness.fetches <= 20, "{} looks for 5 s of what is due", harness.fetches);
}

#[test]
fn what_becomes_a_dead_letter_is_read_together_and_alone() {
    let mut harness =
        harness(dead_lettering(), (1..=1000).map(|at| if at % 10 == 0 { 5_000 } else { 3_600_000 }));
    harness.now = Timestamp(6_000);
    harness.tick();
    let _ = harness.queue.pump(harness.now, &mut Outbox(0), &mut harness.fx);
    let (mut read, mut together) = (0, 0);
    while let Some(fetch) = harness.fx.fetches.pop() {
        let fetched = harness.store.read(&fetch);
        if let Wants::These(positions) = &fetch.wants {
            let positions: Vec<u64> = positions.iter().map(|at| at.0).collect();
            assert_eq!(positions, (1..=100).map(|at| at * 10).collect::<Vec<_>>());
            together += 1;
        }
        read += fetched.entries.len();
        harness.queue.loaded(harness.now, fetched, &mut harness.fx);
        let _ = harness.queue.pump(harness.now, &mut Outbox(0), &mut harness.fx);
    }
    harness.look();
    assert_eq!(harness.dead, (1..=100).map(|at| (at * 10, DeathReason::Expired, true)).collect::<Vec<_>>());
    assert_eq!((read, together, harness.queue.counts().ready), (100, 1, 900));
}

#[test]
fn what_is_overdue_leaves_in_order_of_time() {
    let mut harness = harness(dead_lettering(), (0..6000).map(|at| 1000 + (6000 - at)));
    harness.now = Timestamp(100_000);
    for _ in 0..200 {
        harness.pump();
        let sent: Vec<u64> = harness.dead.iter().map(|dead| dead.0).collect();
        sent.iter().for_each(|&at| harness.queue.dead_lettered(Position(at), &mut harness.fx));
    }
    let order: Vec<u64> = harness.dead.iter().map(|dead| dead.0).collect();
    assert_eq!(order.len(), 6000);
    // Up to 1,024 wait to be read, and are read in order of place, round and round.
    let ahead = order.iter().enumerate().map(|(place, &at)| (6000 - at).abs_diff(place as u64)).max();
    assert!(ahead <= Some(2 * 1024), "{ahead:?}");
}

#[test]
fn one_that_leaves_otherwise_is_known_no_more() {
    let mut harness = harness(DURABLE(), [5_000, 6_000, 7_000, 8_000]);
    pass(&mut harness, 5_600);
    assert_eq!(
        harness.queue.ready.next_stored_expiry().time(),
        Some(Timestamp(6_000)),
        "it is known before it is due"
    );
    // The first two are delivered from the store, and one of them comes back there.
    harness.consume(1, 4, 0);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 1), (1, 2), (1, 3), (1, 4)]);
    assert_eq!(harness.queue.ready.next_stored_expiry().time(), None);
    harness.settle(1, 1, 1, Settlement::Ack);
    harness.queue.cancel(harness.now, super::harness::key(1), &mut harness.fx);
    harness.settle(1, 3, 4, Settlement::Requeue { failed: false });
    harness.pump();
    pass(&mut harness, 10_000);
    assert_eq!(harness.queue.counts().ready, 0);
    assert_eq!(harness.queue.counts().unacked, 1, "what is unacked does not expire");
    assert_eq!(removed(&harness), [1, 3, 4]);
}

#[test]
fn a_purge_and_a_limit_forget_what_is_known() {
    for limited in [false, true] {
        let mut harness = harness(DURABLE(), (0..5000).map(|at| 5_000 + at % 100));
        pass(&mut harness, 5_900);
        assert!(harness.queue.ready.next_stored_expiry().time().is_some());
        if limited {
            let settings = QueueSettings { max_length: Some(0), ..DURABLE() };
            harness.queue.set_settings(harness.now, settings, &mut harness.fx);
            harness.pump();
        } else {
            assert_eq!(harness.queue.purge(harness.now, &mut harness.fx), 5000);
        }
        harness.pump();
        assert_eq!(harness.queue.counts().ready, 0);
        assert_eq!(harness.queue.next_deadline(), None);
        assert!(harness.queue.ready.clock.is_none(), "nothing is kept for what is not there");
    }
}

/// The answer was given before, and has what the queue has let go of since.
#[test]
fn an_answer_does_not_bring_back_what_has_left() {
    let mut harness = harness(dead_lettering(), [5_000, 5_000, 9_000]);
    harness.now = Timestamp(5_500);
    harness.tick();
    let look = harness.fx.fetches.pop().unwrap();
    assert!(matches!(look.wants, Wants::Times { .. }));
    let answer = harness.store.read(&look);
    harness.consume(1, 1, 0);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 1)]);
    harness.queue.loaded(harness.now, answer, &mut harness.fx);
    harness.now = Timestamp(6_000);
    harness.tick();
    harness.pump();
    assert_eq!(harness.dead.iter().map(|dead| dead.0).collect::<Vec<_>>(), [2]);
    assert_eq!((harness.queue.counts().ready, harness.queue.counts().unacked), (1, 1));
}

/// The answer was given while its dead letter was under way, and comes when that has arrived.
#[test]
fn an_answer_does_not_bring_back_a_dead_letter_that_has_arrived() {
    let mut harness = harness(dead_lettering(), [1_000, 5_000, 5_000]);
    harness.now = Timestamp(2_000);
    harness.tick();
    harness.pump();
    assert_eq!(harness.dead.iter().map(|dead| dead.0).collect::<Vec<_>>(), [1]);
    harness.now = Timestamp(5_500);
    harness.tick();
    let look = harness.fx.fetches.pop().unwrap();
    let answer = harness.store.read(&look);
    assert_eq!(answer.times.entries.len(), 3, "the store has the letter, too");
    harness.queue.dead_lettered(Position(1), &mut harness.fx);
    harness.queue.loaded(harness.now, answer, &mut harness.fx);
    harness.now = Timestamp(6_000);
    harness.tick();
    harness.pump();
    assert_eq!(harness.dead.iter().map(|dead| dead.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((harness.queue.counts().ready, harness.queue.next_deadline()), (0, None));
}

#[test]
fn a_ttl_that_a_policy_changes_holds_for_what_comes_from_then_on() {
    let mut harness = Harness::new(QueueSettings { message_ttl: Some(60_000), ..DURABLE() });
    harness.queue.set_window(0, 0);
    harness.push_many(3, PERSISTENT);
    harness.pump();
    for (ttl, at) in [(Some(5_000), 2_000), (None, 3_000)] {
        pass(&mut harness, at);
        harness.queue.set_settings(
            harness.now,
            QueueSettings { message_ttl: ttl, ..DURABLE() },
            &mut harness.fx,
        );
        harness.push_many(3, PERSISTENT);
        harness.pump();
    }
    for (until, left) in [(6_999, 9), (7_000, 6), (60_999, 6), (61_000, 3), (10_000_000, 3)] {
        pass(&mut harness, until);
        harness.tick();
        harness.pump();
        assert_eq!(harness.queue.counts().ready, left, "at {until}");
    }
}

#[test]
fn it_looks_further_ahead_while_little_expires() {
    let mut harness = harness(DURABLE(), (1..=400).map(|at| at * 60_000));
    pass(&mut harness, 1000 + 401 * 60_000);
    assert_eq!(harness.queue.counts().ready, 0);
    assert!(harness.fetches < 40, "{} looks for 400 messages in 400 minutes", harness.fetches);
}

#[test]
fn it_knows_no_more_than_there_is_room_for() {
    let mut harness = harness(DURABLE(), (0..3000).map(|at| 2_000 + 7919 * at % 3000));
    // The smallest window has room for 256.
    let mut most = 0;
    while let Some(deadline) = harness.queue.next_deadline() {
        harness.now = harness.now.max(deadline);
        harness.tick();
        harness.pump();
        let due = (0..3000).filter(|at| 3_000 + 7919 * at % 3000 <= harness.now.0).count() as u64;
        assert_eq!(harness.queue.counts().ready, 3000 - due);
        let mut holdings = crate::model::holdings::Holdings::default();
        harness.queue.holdings(&mut holdings);
        most = most.max(
            holdings.iter().filter(|held| held.name == "clock: soon").map(|held| held.len).max().unwrap_or(0),
        );
    }
    assert!((200..=256).contains(&most), "{most}");
}

#[test]
fn a_recovered_queue_finds_what_is_overdue_in_runs_of_which_it_knows_the_earliest() {
    let first = harness(DURABLE(), (0..9000).map(|at| 1000 + at));
    let span = |from: u64, to: u64| Span {
        range: PositionRange { first: Position(from), last: Position(to) },
        count: to - from + 1,
        bytes: (to - from + 1) * 100,
        earliest_expiry: Some(Timestamp(2000 + from - 1)),
    };
    let lanes = vec![(0, vec![span(1, 4000), span(4001, 8000), span(8001, 9000)])];
    let queue = super::harness::ID.queue;
    let found = RecoveredQueue { queue, lanes, next_position: Position(9001), ..Default::default() };
    let mut harness = Harness::recover(DURABLE(), found);
    harness.store = first.store;
    harness.now = Timestamp(7_000);
    harness.tick();
    harness.pump();
    assert_eq!(
        (harness.queue.counts().ready, harness.store.positions().next()),
        (3999, Some(Position(5002)))
    );
}
