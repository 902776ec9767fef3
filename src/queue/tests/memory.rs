//! What a queue keeps in memory, what it leaves to the store, and how it reads that back.

use super::harness::{Harness, ID, Outbox, PERSISTENT, dead_lettering, key};
use super::support::Spec;
use crate::model::consuming::{DeathReason, Settlement};
use crate::model::holdings::Holdings;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::{Fetched, Op, RecoveredQueue, Span, Times};
use crate::model::settings::QueueSettings;
use crate::queue::paging::PAGED_OUT;

#[test]
fn a_long_backlog_costs_no_memory() {
    let mut harness = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
    harness.queue.set_window(100_000, 100_000);
    for _ in 0..60 {
        harness.push_many(500, PERSISTENT);
        harness.pump();
    }
    assert!(harness.queue.counts().memory_bytes <= 100_000);
    let spans = format!("{:?}", harness.queue.ready.lanes[0].spans).matches("Span {").count();
    assert!(spans <= 30_000 / 4096 + 1, "{spans}");
    harness.consume(1, 0, 0);
    harness.pump();
    assert_eq!(harness.take_delivered(), (1..=30_000).map(|at| (1, at)).collect::<Vec<_>>());
}

#[test]
fn a_window_that_becomes_much_smaller_is_obeyed_in_steps() {
    for spec in [PERSISTENT, Spec { persistent: false, ..PERSISTENT }] {
        let mut harness = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
        harness.push_many(50_000, spec);
        harness.queue.set_window(1 << 30, 1 << 30);
        harness.pump();
        let before = harness.queue.counts().memory_bytes;
        harness.queue.set_window(100_000, 100_000);
        let mut steps = 0;
        loop {
            let held = harness.queue.counts().memory_bytes;
            let (moved, more) = harness.queue.pump(harness.now, &mut Outbox(0), &mut harness.fx);
            harness.look();
            assert!(moved <= 4096 && harness.queue.counts().memory_bytes <= held, "{moved}");
            steps += 1;
            if !more {
                break;
            }
        }
        assert!((12..=14).contains(&steps), "{steps}");
        assert!(harness.queue.counts().memory_bytes <= 100_000 && before > 5_000_000);
        // What has just come is no less because of what was there before.
        harness.push_many(10_000, spec);
        harness.pump();
        assert!(harness.queue.counts().memory_bytes <= 100_000);
        harness.consume(1, 0, 0);
        harness.pump();
        assert_eq!(harness.take_delivered(), (1..=60_000).map(|at| (1, at)).collect::<Vec<_>>());
    }
}

#[test]
fn many_messages_that_come_and_go_leave_no_room_behind() {
    let mut harness = Harness::new(QueueSettings { max_length: Some(2), ..QueueSettings::default() });
    for _ in 0..5 {
        harness.push_many(3000, PERSISTENT);
        for _ in 0..10 {
            harness.pump();
        }
        assert_eq!(harness.queue.counts().ready, 2);
        let mut holdings = Holdings::default();
        harness.queue.holdings(&mut holdings);
        let head = holdings.iter().find(|holding| holding.name == "lane: head");
        assert!(head.is_some_and(|head| head.capacity <= 1024), "{head:?}");
    }
}

#[test]
fn messages_are_spilled_in_the_order_in_which_they_will_be_read() {
    let mut harness = Harness::new(QueueSettings::default());
    for round in 0..10 {
        harness.push_many(3000, Spec { persistent: false, ..PERSISTENT });
        harness.queue.set_window(0, if round == 0 { 1 << 30 } else { 100_000 });
        harness.pump();
    }
    let spilled = harness.ops.iter().filter_map(|op| match op {
        Op::Put { position, durable: false, .. } => Some(position.0),
        _ => None,
    });
    let spilled: Vec<u64> = spilled.collect();
    assert!(spilled.len() > 29_000, "{}", spilled.len());
    let pieces = spilled.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(pieces <= 10, "{pieces} pieces that lie apart");
}

#[test]
fn a_recovered_queue_reads_its_messages_and_forgets_the_quarantined() {
    let mut first = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
    first.push_many(5000, PERSISTENT);
    first.pump();
    for lost in [1, 700, 5000] {
        first.store.quarantine(Position(lost));
    }
    let span = |from, to| Span {
        range: PositionRange { first: Position(from), last: Position(to) },
        count: to - from + 1,
        bytes: 0,
        earliest_expiry: None,
    };
    let lanes = vec![(0, vec![span(1, 600), span(601, 5000)])];
    let next_position = Position(5003);
    let found = RecoveredQueue { queue: ID.queue, lanes, next_position, ..Default::default() };
    let mut harness = Harness::recover(QueueSettings { durable: true, ..QueueSettings::default() }, found);
    harness.store = first.store;
    assert_eq!(harness.queue.counts().ready, 5000);
    harness.consume(1, 0, 0);
    harness.push(PERSISTENT);
    harness.pump();
    let expected = (1..=5000).filter(|at| ![1, 700, 5000].contains(at)).chain([5003]);
    assert_eq!(harness.take_delivered(), expected.map(|at| (1, at)).collect::<Vec<_>>());
    assert_eq!((harness.queue.counts().ready, harness.queue.counts().unacked), (0, 4998));
}

#[test]
fn a_lower_limit_drops_what_is_stored_without_reading_it() {
    let mut harness = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
    harness.queue.set_window(0, 0);
    harness.push_many(20_000, PERSISTENT);
    harness.pump();
    let settings = QueueSettings { durable: true, max_length: Some(10_000), ..QueueSettings::default() };
    harness.queue.set_settings(harness.now, settings, &mut harness.fx);
    assert!(harness.queue.counts().ready < 13_000, "whole spans go at once");
    harness.pump();
    assert_eq!(harness.queue.counts().ready, 10_000);
    assert_eq!(harness.store.positions().next(), Some(Position(10_001)));
    assert!(harness.fetches < 20, "{}", harness.fetches);
}

#[test]
fn a_consumer_that_holds_one_message_for_long_costs_no_memory() {
    let mut harness = Harness::new(QueueSettings::default());
    harness.consume(1, 2, 0);
    harness.push(Spec::default());
    for at in 2..10_000 {
        harness.push(Spec::default());
        harness.pump();
        harness.settle(1, at, at, Settlement::Ack);
    }
    let debug = format!("{:?}", harness.queue.consumers);
    assert!(debug.matches("Position").count() < 60, "{debug}");
    harness.queue.detach(harness.now, key(1), usize::MAX, &mut harness.fx);
    assert_eq!(harness.queue.counts().ready, 1);
}

/// 1 and 3 are paged out, a getter holds 2, which is small enough to be held in memory.
fn a_hole_in_a_span(settings: QueueSettings) -> Harness {
    let mut harness = Harness::new(settings);
    harness.queue.set_window(1000, 1000);
    for body in [10_000, 0, 10_000] {
        harness.push(Spec { body, ..PERSISTENT });
    }
    for who in [5, 6, 5] {
        harness.queue.get(harness.now, key(who), false, &mut harness.fx);
    }
    harness.settle(5, 1, 3, Settlement::Release);
    harness.pump();
    assert_eq!(harness.queue.counts().ready, 2);
    harness.fx.got.clear();
    harness
}

#[test]
fn what_returns_into_a_fetched_range_is_not_lost() {
    let mut harness = a_hole_in_a_span(QueueSettings::default());
    harness.queue.get(harness.now, key(5), false, &mut harness.fx);
    let fetch = harness.fx.fetches.pop().unwrap();
    let answer = harness.store.read(&fetch);
    harness.queue.detach(harness.now, key(5), usize::MAX, &mut harness.fx);
    harness.settle(6, 2, 2, Settlement::Release);
    harness.pump();
    harness.queue.loaded(harness.now, answer, &mut harness.fx);
    assert_eq!(harness.queue.counts().ready, 3);
    harness.consume(1, 0, 0);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 1), (1, 2), (1, 3)]);
}

#[test]
fn a_span_dropped_unread_leaves_what_returned_into_it() {
    let mut harness = a_hole_in_a_span(QueueSettings { durable: true, ..QueueSettings::default() });
    harness.settle(6, 2, 2, Settlement::Release);
    let settings = QueueSettings { durable: true, max_length: Some(1), ..QueueSettings::default() };
    harness.queue.set_settings(harness.now, settings, &mut harness.fx);
    harness.look();
    assert_eq!(harness.store.positions().collect::<Vec<_>>(), [Position(2)]);
    assert_eq!((harness.queue.counts().ready, harness.fetches), (1, 0));
}

#[test]
fn a_fetch_that_read_nothing_is_asked_again() {
    let mut harness = Harness::new(dead_lettering());
    harness.queue.set_window(0, 0);
    harness.push(Spec { expiration: Some(10), ..PERSISTENT });
    harness.queue.pump(harness.now, &mut Outbox(0), &mut harness.fx);
    harness.look();
    harness.now = Timestamp(1010);
    harness.tick();
    let fetch = harness.fx.fetches.pop().unwrap();
    let nothing = Fetched { fetch, entries: Vec::new(), times: Times::default(), through: Position(0) };
    harness.queue.loaded(harness.now, nothing, &mut harness.fx);
    assert!(harness.queue.next_deadline().is_some_and(|deadline| deadline <= harness.now));
    harness.pump();
    assert_eq!(harness.dead, [(1, DeathReason::Expired, true)]);
}

const LARGE: Spec = Spec { body: 10_000, ..PERSISTENT };

/// A thousand messages, 10 MB, with consumer 1, who acks nothing; the window is 100 kB.
fn a_consumer_that_never_acks(settings: QueueSettings, spec: Spec) -> Harness {
    let mut harness = Harness::new(settings);
    harness.queue.set_window(100_000, 100_000);
    harness.consume(1, 0, 0);
    for _ in 0..100 {
        harness.push_many(10, spec);
        harness.pump();
    }
    assert_eq!(harness.queue.counts().unacked, 1000);
    harness
}

#[test]
fn what_a_consumer_never_acks_stays_within_the_window() {
    let durable = QueueSettings { durable: true, ..QueueSettings::default() };
    for spec in [LARGE, Spec { persistent: false, ..LARGE }] {
        let mut harness = a_consumer_that_never_acks(durable.clone(), spec);
        assert!(harness.queue.counts().memory_bytes < 200_000, "{:?}", harness.queue.counts());
        harness.take_delivered();
        harness.queue.detach(harness.now, key(1), usize::MAX, &mut harness.fx);
        assert_eq!(harness.queue.counts().ready, 1000);
        harness.pump();
        assert!(harness.queue.counts().memory_bytes < 200_000, "{:?}", harness.queue.counts());
        harness.consume(2, 0, 0);
        harness.pump();
        assert_eq!(harness.take_delivered(), (1..=1000).map(|at| (2, at)).collect::<Vec<_>>());
        harness.settle(2, 1, 1000, Settlement::Ack);
        harness.look();
        assert_eq!((harness.store.positions().count(), harness.queue.counts().memory_bytes), (0, 0));
    }
}

#[test]
fn a_smaller_window_lets_go_of_what_is_unacked() {
    let mut harness = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
    harness.consume(1, 0, 0);
    harness.push_many(1000, LARGE);
    harness.pump();
    assert!(harness.queue.counts().memory_bytes > 10_000_000);
    harness.queue.set_window(100_000, 100_000);
    harness.pump();
    assert!(harness.queue.counts().memory_bytes < 200_000, "{:?}", harness.queue.counts());
}

#[test]
fn what_is_unacked_is_looked_at_in_pieces_and_once() {
    const FEW: usize = 100;
    let mut harness = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
    harness.consume(1, 0, 0);
    // The store does not have these, and they stay.
    harness.push_many(20 * PAGED_OUT, Spec { persistent: false, ..Spec::default() });
    harness.push_many(2 * PAGED_OUT, LARGE);
    harness.push_many(FEW, LARGE);
    harness.pump();
    let memory = |harness: &Harness| harness.queue.counts().memory_bytes;
    let full = memory(&harness);
    harness.queue.set_window(100_000, usize::MAX);
    assert_eq!(harness.queue.balance_unacked(), (0, true), "all that it has looked at stays");
    let mut pieces = Vec::new();
    while let (let_go, true) = harness.queue.balance_unacked() {
        pieces.push(let_go);
    }
    assert!(pieces.len() <= 3 && pieces.iter().all(|&let_go| let_go <= PAGED_OUT), "{pieces:?}");
    assert!(memory(&harness) < full / 2);
    assert!(!harness.queue.exceeds_window());
    // What comes back, and is delivered again, is found again.
    harness.queue.set_window(usize::MAX, usize::MAX);
    let back = 20 * PAGED_OUT as u64 + 1;
    harness.settle(1, back, back + 9, Settlement::Requeue { failed: false });
    harness.pump();
    harness.queue.set_window(0, usize::MAX);
    while harness.queue.balance_unacked().1 {}
    assert!(!harness.queue.exceeds_window());
}

#[test]
fn a_rejected_message_that_only_the_store_has_is_a_dead_letter_all_the_same() {
    for persistent in [true, false] {
        let spec = Spec { persistent, ..LARGE };
        let mut harness = a_consumer_that_never_acks(dead_lettering(), spec);
        for _ in 0..2 {
            harness.settle(1, 301, 600, Settlement::Discard);
        }
        harness.pump();
        while !harness.dead.is_empty() && harness.dead.len() < 300 {
            for position in harness.dead.iter().filter(|dead| dead.2).map(|dead| dead.0).collect::<Vec<_>>() {
                harness.queue.dead_lettered(Position(position), &mut harness.fx);
            }
            harness.pump();
        }
        let expected: Vec<_> = (301..=600).map(|at| (at, DeathReason::Rejected, persistent)).collect();
        assert_eq!(harness.dead, expected);
        assert!(harness.queue.counts().memory_bytes < 200_000);
    }
}

#[test]
fn what_only_the_store_has_comes_back_into_a_range_that_is_being_read() {
    let mut harness = a_consumer_that_never_acks(QueueSettings::default(), LARGE);
    for at in [100, 104, 102] {
        harness.settle(1, at, at, Settlement::Requeue { failed: false });
    }
    harness.queue.cancel(harness.now, key(1), &mut harness.fx);
    harness.take_delivered();
    harness.queue.get(harness.now, key(5), false, &mut harness.fx);
    let fetch = harness.fx.fetches.pop().unwrap();
    harness.look();
    let answer = harness.store.read(&fetch);
    harness.settle(1, 103, 103, Settlement::Requeue { failed: false });
    harness.queue.loaded(harness.now, answer, &mut harness.fx);
    assert_eq!(harness.queue.counts().ready, 4);
    harness.pump();
    harness.queue.detach(harness.now, key(5), usize::MAX, &mut harness.fx);
    harness.consume(2, 0, 0);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(2, 100), (2, 102), (2, 103), (2, 104)]);
}

#[test]
fn the_store_has_the_wall_clocks_times_and_a_clock_that_is_set_makes_nothing_due() {
    for ahead in [7_200_000, -7_200_000] {
        let mut harness = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
        harness.now = Timestamp(10_000_000);
        harness.queue.set_window(0, 0);
        let fleeting = Spec { expiration: Some(60_000), ..PERSISTENT };
        let due = harness.now.plus_millis(60_000);
        harness.push(fleeting);
        harness.queue.set_wall_ahead(ahead);
        harness.push(fleeting);
        harness.pump();
        let stored = harness.ops.iter().filter_map(|op| match op {
            Op::Put { meta, .. } => meta.expires_at,
            _ => None,
        });
        assert_eq!(stored.collect::<Vec<_>>(), [due, Timestamp(due.0.saturating_add_signed(ahead))]);
        harness.queue.set_wall_ahead(-ahead);
        harness.now = Timestamp(due.0 - 1);
        harness.tick();
        harness.consume(1, 0, 0);
        harness.pump();
        assert!(harness.fetches > 0 && harness.delivered == [(1, 1), (1, 2)]);
        harness.settle(1, 1, 2, Settlement::Requeue { failed: false });
        harness.now = due;
        harness.tick();
        harness.pump();
        assert_eq!(harness.queue.counts().unacked, 0);
        assert_eq!(harness.queue.counts().ready, 0, "their time is over");
    }
}
