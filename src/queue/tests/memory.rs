//! What a queue keeps in memory, what it leaves to the store, and how it reads that back.

use super::desk::{Desk, ID, Outbox, PERSISTENT, dead_lettering, key};
use super::support::Spec;
use crate::model::consuming::{DeathReason, Settlement};
use crate::model::holdings::Holdings;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::{Fetched, Op, RecoveredQueue, Span};
use crate::model::settings::QueueSettings;
use crate::queue::paging::PAGED_OUT;

#[test]
fn a_long_backlog_costs_no_memory() {
    let mut desk = Desk::new(QueueSettings { durable: true, ..QueueSettings::default() });
    desk.queue.set_window(100_000, 100_000);
    for _ in 0..60 {
        desk.push_many(500, PERSISTENT);
        desk.pump();
    }
    assert!(desk.queue.counts().memory_bytes <= 100_000);
    let spans = format!("{:?}", desk.queue.ready.lanes[0].spans).matches("Span {").count();
    assert!(spans <= 30_000 / 4096 + 1, "{spans}");
    desk.consume(1, 0, 0);
    desk.pump();
    assert_eq!(desk.take_delivered(), (1..=30_000).map(|at| (1, at)).collect::<Vec<_>>());
}

#[test]
fn a_window_that_becomes_much_smaller_is_obeyed_in_steps() {
    for spec in [PERSISTENT, Spec { persistent: false, ..PERSISTENT }] {
        let mut desk = Desk::new(QueueSettings { durable: true, ..QueueSettings::default() });
        desk.push_many(50_000, spec);
        desk.queue.set_window(1 << 30, 1 << 30);
        desk.pump();
        let before = desk.queue.counts().memory_bytes;
        desk.queue.set_window(100_000, 100_000);
        let mut steps = 0;
        loop {
            let held = desk.queue.counts().memory_bytes;
            let (moved, more) = desk.queue.pump(desk.now, &mut Outbox(0), &mut desk.fx);
            desk.look();
            assert!(moved <= 4096 && desk.queue.counts().memory_bytes <= held, "{moved}");
            steps += 1;
            if !more {
                break;
            }
        }
        assert!((12..=14).contains(&steps), "{steps}");
        assert!(desk.queue.counts().memory_bytes <= 100_000 && before > 5_000_000);
        // What has just come is no less because of what was there before.
        desk.push_many(10_000, spec);
        desk.pump();
        assert!(desk.queue.counts().memory_bytes <= 100_000);
        desk.consume(1, 0, 0);
        desk.pump();
        assert_eq!(desk.take_delivered(), (1..=60_000).map(|at| (1, at)).collect::<Vec<_>>());
    }
}

#[test]
fn many_messages_that_come_and_go_leave_no_room_behind() {
    let mut desk = Desk::new(QueueSettings { max_length: Some(2), ..QueueSettings::default() });
    for _ in 0..5 {
        desk.push_many(3000, PERSISTENT);
        for _ in 0..10 {
            desk.pump();
        }
        assert_eq!(desk.queue.counts().ready, 2);
        let mut holdings = Holdings::default();
        desk.queue.holdings(&mut holdings);
        let head = holdings.iter().find(|holding| holding.name == "lane: head");
        assert!(head.is_some_and(|head| head.capacity <= 1024), "{head:?}");
    }
}

#[test]
fn messages_are_spilled_in_the_order_in_which_they_will_be_read() {
    let mut desk = Desk::new(QueueSettings::default());
    for round in 0..10 {
        desk.push_many(3000, Spec { persistent: false, ..PERSISTENT });
        desk.queue.set_window(0, if round == 0 { 1 << 30 } else { 100_000 });
        desk.pump();
    }
    let spilled = desk.ops.iter().filter_map(|op| match op {
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
    let mut first = Desk::new(QueueSettings { durable: true, ..QueueSettings::default() });
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
    let found = RecoveredQueue { queue: ID.queue, lanes, next_position: Position(5003) };
    let mut desk = Desk::recover(QueueSettings { durable: true, ..QueueSettings::default() }, found);
    desk.store = first.store;
    assert_eq!(desk.queue.counts().ready, 5000);
    desk.consume(1, 0, 0);
    desk.push(PERSISTENT);
    desk.pump();
    let expected = (1..=5000).filter(|at| ![1, 700, 5000].contains(at)).chain([5003]);
    assert_eq!(desk.take_delivered(), expected.map(|at| (1, at)).collect::<Vec<_>>());
    assert_eq!((desk.queue.counts().ready, desk.queue.counts().unacked), (0, 4998));
}

#[test]
fn a_lower_limit_drops_what_is_stored_without_reading_it() {
    let mut desk = Desk::new(QueueSettings { durable: true, ..QueueSettings::default() });
    desk.queue.set_window(0, 0);
    desk.push_many(20_000, PERSISTENT);
    desk.pump();
    let settings = QueueSettings { durable: true, max_length: Some(10_000), ..QueueSettings::default() };
    desk.queue.set_settings(desk.now, settings, &mut desk.fx);
    assert!(desk.queue.counts().ready < 13_000, "whole spans go at once");
    desk.pump();
    assert_eq!(desk.queue.counts().ready, 10_000);
    assert_eq!(desk.store.positions().next(), Some(Position(10_001)));
    assert!(desk.fetches < 20, "{}", desk.fetches);
}

#[test]
fn a_consumer_that_holds_one_message_for_long_costs_no_memory() {
    let mut desk = Desk::new(QueueSettings::default());
    desk.consume(1, 2, 0);
    desk.push(Spec::default());
    for at in 2..10_000 {
        desk.push(Spec::default());
        desk.pump();
        desk.settle(1, at, at, Settlement::Ack);
    }
    let debug = format!("{:?}", desk.queue.consumers);
    assert!(debug.matches("Position").count() < 60, "{debug}");
    desk.queue.detach(desk.now, key(1), usize::MAX, &mut desk.fx);
    assert_eq!(desk.queue.counts().ready, 1);
}

/// 1 and 3 are paged out, a getter holds 2, which is small enough to be held in memory.
fn a_hole_in_a_span(settings: QueueSettings) -> Desk {
    let mut desk = Desk::new(settings);
    desk.queue.set_window(1000, 1000);
    for body in [10_000, 0, 10_000] {
        desk.push(Spec { body, ..PERSISTENT });
    }
    for who in [5, 6, 5] {
        desk.queue.get(desk.now, key(who), false, &mut desk.fx);
    }
    desk.settle(5, 1, 3, Settlement::Release);
    desk.pump();
    assert_eq!(desk.queue.counts().ready, 2);
    desk.fx.got.clear();
    desk
}

#[test]
fn what_returns_into_a_fetched_range_is_not_lost() {
    let mut desk = a_hole_in_a_span(QueueSettings::default());
    desk.queue.get(desk.now, key(5), false, &mut desk.fx);
    let fetch = desk.fx.fetches.pop().unwrap();
    let answer = desk.store.read(fetch);
    desk.queue.detach(desk.now, key(5), usize::MAX, &mut desk.fx);
    desk.settle(6, 2, 2, Settlement::Release);
    desk.pump();
    desk.queue.loaded(desk.now, answer, &mut desk.fx);
    assert_eq!(desk.queue.counts().ready, 3);
    desk.consume(1, 0, 0);
    desk.pump();
    assert_eq!(desk.take_delivered(), [(1, 1), (1, 2), (1, 3)]);
}

#[test]
fn a_span_dropped_unread_leaves_what_returned_into_it() {
    let mut desk = a_hole_in_a_span(QueueSettings { durable: true, ..QueueSettings::default() });
    desk.settle(6, 2, 2, Settlement::Release);
    let settings = QueueSettings { durable: true, max_length: Some(1), ..QueueSettings::default() };
    desk.queue.set_settings(desk.now, settings, &mut desk.fx);
    desk.look();
    assert_eq!(desk.store.positions().collect::<Vec<_>>(), [Position(2)]);
    assert_eq!((desk.queue.counts().ready, desk.fetches), (1, 0));
}

#[test]
fn a_fetch_that_read_nothing_is_asked_again() {
    let mut desk = Desk::new(dead_lettering());
    desk.queue.set_window(0, 0);
    desk.push(Spec { expiration: Some(10), ..PERSISTENT });
    desk.pump();
    desk.now = Timestamp(1010);
    desk.tick();
    let fetch = desk.fx.fetches.pop().unwrap();
    let nothing = Fetched { fetch, entries: Vec::new(), through: Position(0) };
    desk.queue.loaded(desk.now, nothing, &mut desk.fx);
    assert_eq!(desk.queue.next_deadline(), Some(Timestamp(1010)));
    desk.pump();
    assert_eq!(desk.dead, [(1, DeathReason::Expired, true)]);
}

const LARGE: Spec = Spec { body: 10_000, ..PERSISTENT };

/// A thousand messages, 10 MB, with consumer 1, who acks nothing; the window is 100 kB.
fn a_consumer_that_never_acks(settings: QueueSettings, spec: Spec) -> Desk {
    let mut desk = Desk::new(settings);
    desk.queue.set_window(100_000, 100_000);
    desk.consume(1, 0, 0);
    for _ in 0..100 {
        desk.push_many(10, spec);
        desk.pump();
    }
    assert_eq!(desk.queue.counts().unacked, 1000);
    desk
}

#[test]
fn what_a_consumer_never_acks_stays_within_the_window() {
    let durable = QueueSettings { durable: true, ..QueueSettings::default() };
    for spec in [LARGE, Spec { persistent: false, ..LARGE }] {
        let mut desk = a_consumer_that_never_acks(durable.clone(), spec);
        assert!(desk.queue.counts().memory_bytes < 200_000, "{:?}", desk.queue.counts());
        desk.take_delivered();
        desk.queue.detach(desk.now, key(1), usize::MAX, &mut desk.fx);
        assert_eq!(desk.queue.counts().ready, 1000);
        desk.pump();
        assert!(desk.queue.counts().memory_bytes < 200_000, "{:?}", desk.queue.counts());
        desk.consume(2, 0, 0);
        desk.pump();
        assert_eq!(desk.take_delivered(), (1..=1000).map(|at| (2, at)).collect::<Vec<_>>());
        desk.settle(2, 1, 1000, Settlement::Ack);
        desk.look();
        assert_eq!((desk.store.positions().count(), desk.queue.counts().memory_bytes), (0, 0));
    }
}

#[test]
fn a_smaller_window_lets_go_of_what_is_unacked() {
    let mut desk = Desk::new(QueueSettings { durable: true, ..QueueSettings::default() });
    desk.consume(1, 0, 0);
    desk.push_many(1000, LARGE);
    desk.pump();
    assert!(desk.queue.counts().memory_bytes > 10_000_000);
    desk.queue.set_window(100_000, 100_000);
    desk.pump();
    assert!(desk.queue.counts().memory_bytes < 200_000, "{:?}", desk.queue.counts());
}

#[test]
fn what_is_unacked_is_looked_at_in_pieces_and_once() {
    const FEW: usize = 100;
    let mut desk = Desk::new(QueueSettings { durable: true, ..QueueSettings::default() });
    desk.consume(1, 0, 0);
    // The store does not have these, and they stay.
    desk.push_many(20 * PAGED_OUT, Spec { persistent: false, ..Spec::default() });
    desk.push_many(2 * PAGED_OUT, LARGE);
    desk.push_many(FEW, LARGE);
    desk.pump();
    let memory = |desk: &Desk| desk.queue.counts().memory_bytes;
    let full = memory(&desk);
    desk.queue.set_window(100_000, usize::MAX);
    assert_eq!(desk.queue.balance_unacked(), (0, true), "all that it has looked at stays");
    let mut pieces = Vec::new();
    while let (let_go, true) = desk.queue.balance_unacked() {
        pieces.push(let_go);
    }
    assert!(pieces.len() <= 3 && pieces.iter().all(|&let_go| let_go <= PAGED_OUT), "{pieces:?}");
    assert!(memory(&desk) < full / 2);
    assert!(!desk.queue.exceeds_window());
    // What comes back, and is delivered again, is found again.
    desk.queue.set_window(usize::MAX, usize::MAX);
    let back = 20 * PAGED_OUT as u64 + 1;
    desk.settle(1, back, back + 9, Settlement::Requeue { failed: false });
    desk.pump();
    desk.queue.set_window(0, usize::MAX);
    while desk.queue.balance_unacked().1 {}
    assert!(!desk.queue.exceeds_window());
}

#[test]
fn a_rejected_message_that_only_the_store_has_is_a_dead_letter_all_the_same() {
    for persistent in [true, false] {
        let spec = Spec { persistent, ..LARGE };
        let mut desk = a_consumer_that_never_acks(dead_lettering(), spec);
        for _ in 0..2 {
            desk.settle(1, 301, 600, Settlement::Discard);
        }
        desk.pump();
        while !desk.dead.is_empty() && desk.dead.len() < 300 {
            for position in desk.dead.iter().filter(|dead| dead.2).map(|dead| dead.0).collect::<Vec<_>>() {
                desk.queue.dead_lettered(Position(position), &mut desk.fx);
            }
            desk.pump();
        }
        let expected: Vec<_> = (301..=600).map(|at| (at, DeathReason::Rejected, persistent)).collect();
        assert_eq!(desk.dead, expected);
        assert!(desk.queue.counts().memory_bytes < 200_000);
    }
}

#[test]
fn what_only_the_store_has_comes_back_into_a_range_that_is_being_read() {
    let mut desk = a_consumer_that_never_acks(QueueSettings::default(), LARGE);
    for at in [100, 104, 102] {
        desk.settle(1, at, at, Settlement::Requeue { failed: false });
    }
    desk.queue.cancel(desk.now, key(1), &mut desk.fx);
    desk.take_delivered();
    desk.queue.get(desk.now, key(5), false, &mut desk.fx);
    let fetch = desk.fx.fetches.pop().unwrap();
    desk.look();
    let answer = desk.store.read(fetch);
    desk.settle(1, 103, 103, Settlement::Requeue { failed: false });
    desk.queue.loaded(desk.now, answer, &mut desk.fx);
    assert_eq!(desk.queue.counts().ready, 4);
    desk.pump();
    desk.queue.detach(desk.now, key(5), usize::MAX, &mut desk.fx);
    desk.consume(2, 0, 0);
    desk.pump();
    assert_eq!(desk.take_delivered(), [(2, 100), (2, 102), (2, 103), (2, 104)]);
}

#[test]
fn the_store_has_the_wall_clocks_times_and_a_clock_that_is_set_makes_nothing_due() {
    for ahead in [7_200_000, -7_200_000] {
        let mut desk = Desk::new(QueueSettings { durable: true, ..QueueSettings::default() });
        desk.now = Timestamp(10_000_000);
        desk.queue.set_window(0, 0);
        let fleeting = Spec { expiration: Some(60_000), ..PERSISTENT };
        let due = desk.now.plus_millis(60_000);
        desk.push(fleeting);
        desk.queue.set_wall_ahead(ahead);
        desk.push(fleeting);
        desk.pump();
        let stored = desk.ops.iter().filter_map(|op| match op {
            Op::Put { meta, .. } => meta.expires_at,
            _ => None,
        });
        assert_eq!(stored.collect::<Vec<_>>(), [due, Timestamp(due.0.saturating_add_signed(ahead))]);
        desk.queue.set_wall_ahead(-ahead);
        desk.now = Timestamp(due.0 - 1);
        desk.tick();
        desk.consume(1, 0, 0);
        desk.pump();
        assert!(desk.fetches > 0 && desk.delivered == [(1, 1), (1, 2)]);
        desk.settle(1, 1, 2, Settlement::Requeue { failed: false });
        desk.now = due;
        desk.tick();
        desk.pump();
        assert_eq!(desk.queue.counts().unacked, 0);
        assert_eq!(desk.queue.counts().ready, 0, "their time is over");
    }
}
