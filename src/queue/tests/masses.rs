//! What there may be very many of: what one of them costs must not depend on how many there are, and what happens to all
//! of them at once must come in pieces.

use super::harness::{Harness, dead_lettering, key};
use super::support::Spec;
use crate::model::ids::Timestamp;
use crate::model::settings::QueueSettings;
use crate::queue::PIECE;

const MANY: usize = 5 * PIECE;

/// With a cost that grows with the number of those who remain, this takes half an hour.
#[test]
fn a_hundred_thousand_consumers_of_a_queue_come_and_go() {
    const CONSUMERS: u32 = 100_000;
    let mut harness = Harness::new(QueueSettings::default());
    for number in 0..CONSUMERS {
        let priority = i32::try_from(number % 50_000).unwrap();
        harness.consume(number, 1, priority);
    }
    harness.pump();
    assert_eq!(harness.queue.counts().consumers, CONSUMERS);
    for number in 0..CONSUMERS {
        harness.queue.detach(harness.now, key(number), usize::MAX, &mut harness.fx);
    }
    harness.pump();
    assert_eq!(harness.queue.counts().consumers, 0);
}

#[test]
fn what_a_lost_consumer_held_comes_back_in_pieces() {
    let mut harness = Harness::new(QueueSettings::default());
    harness.consume(1, 0, 0);
    harness.push_many(MANY, Spec::default());
    harness.pump();
    let mut pieces = Vec::new();
    loop {
        let (requeued, is_done) = harness.queue.detach(harness.now, key(1), PIECE, &mut harness.fx);
        pieces.push(requeued);
        if is_done {
            break;
        }
    }
    assert_eq!(pieces, [PIECE; 5]);
    assert_eq!((harness.queue.counts().ready, harness.queue.counts().unacked), (MANY as u64, 0));
}

#[test]
fn a_consumer_timeout_gives_back_in_pieces_and_is_told_of_once() {
    let settings = QueueSettings { consumer_timeout: Some(100), ..QueueSettings::default() };
    let mut harness = Harness::new(settings);
    harness.consume(1, 0, 0);
    harness.push_many(MANY, Spec::default());
    harness.pump();
    harness.now = harness.now.plus_millis(200);
    let mut turns = 0;
    while harness.queue.next_deadline().is_some_and(|deadline| deadline <= harness.now) {
        let before = harness.queue.counts().ready;
        harness.tick();
        assert!(harness.queue.counts().ready - before <= PIECE as u64);
        turns += 1;
    }
    assert_eq!((turns, harness.queue.counts().ready, harness.fx.timed_out.len()), (5, MANY as u64, 1));
}

#[test]
fn thousands_expire_in_pieces_and_a_get_waits_for_them() {
    let mut harness = Harness::new(dead_lettering());
    harness.push_many(MANY, Spec { expiration: Some(10), ..Spec::default() });
    harness.pump();
    harness.push(Spec::default());
    harness.now = Timestamp(harness.now.0 + 20);
    harness.queue.get(harness.now, key(7), true, &mut harness.fx);
    assert!(harness.fx.got.is_empty(), "it would have to look at all of them");
    assert!(harness.fx.dead_letters.len() <= PIECE);
    harness.look();
    assert!(harness.queue.tick(harness.now, &mut harness.fx) <= PIECE);
    harness.pump();
    assert_eq!(harness.dead.len(), MANY);
    assert!(harness.fx.got.iter().all(|got| got.found.is_some()) && harness.fx.got.len() == 1);
}

#[test]
fn a_lower_limit_drops_in_pieces() {
    let mut harness = Harness::new(QueueSettings::default());
    harness.push_many(MANY, Spec::default());
    harness.pump();
    let limited = QueueSettings { max_length: Some(10), ..QueueSettings::default() };
    harness.queue.set_settings(harness.now, limited, &mut harness.fx);
    assert_eq!(harness.queue.counts().ready, (MANY - PIECE) as u64);
    harness.pump();
    assert_eq!(harness.queue.counts().ready, 10);
}

#[test]
fn what_was_purged_is_given_back_in_pieces() {
    let mut harness = Harness::new(QueueSettings::default());
    harness.push_many(MANY, Spec::default());
    harness.pump();
    assert_eq!(harness.queue.purge(harness.now, &mut harness.fx) as usize, MANY);
    assert_eq!(harness.queue.counts().memory_bytes, 0);
    let mut garbage = harness.fx.garbage.pop().expect("this is much");
    let mut pieces = 0;
    while !garbage.is_empty() {
        assert!(garbage.drop_some(PIECE) < PIECE || garbage.is_empty());
        pieces += 1;
    }
    assert_eq!(pieces, MANY / PIECE);
}
