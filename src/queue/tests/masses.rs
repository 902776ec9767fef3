//! What there may be very many of: what one of them costs must not depend on how many there are, and what happens to all
//! of them at once must come in pieces.

use super::desk::{Desk, dead_lettering, key};
use super::support::Spec;
use crate::model::ids::Timestamp;
use crate::model::settings::QueueSettings;
use crate::queue::PIECE;

const MANY: usize = 5 * PIECE;

/// With a cost that grows with the number of those who remain, this takes half an hour.
#[test]
fn a_hundred_thousand_consumers_of_a_queue_come_and_go() {
    const CONSUMERS: u32 = 100_000;
    let mut desk = Desk::new(QueueSettings::default());
    for number in 0..CONSUMERS {
        let priority = i32::try_from(number % 50_000).unwrap();
        desk.consume(number, 1, priority);
    }
    desk.pump();
    assert_eq!(desk.queue.counts().consumers, CONSUMERS);
    for number in 0..CONSUMERS {
        desk.queue.detach(desk.now, key(number), usize::MAX, &mut desk.fx);
    }
    desk.pump();
    assert_eq!(desk.queue.counts().consumers, 0);
}

#[test]
fn what_a_lost_consumer_held_comes_back_in_pieces() {
    let mut desk = Desk::new(QueueSettings::default());
    desk.consume(1, 0, 0);
    desk.push_many(MANY, Spec::default());
    desk.pump();
    let mut pieces = Vec::new();
    loop {
        let (requeued, is_done) = desk.queue.detach(desk.now, key(1), PIECE, &mut desk.fx);
        pieces.push(requeued);
        if is_done {
            break;
        }
    }
    assert_eq!(pieces, [PIECE; 5]);
    assert_eq!((desk.queue.counts().ready, desk.queue.counts().unacked), (MANY as u64, 0));
}

#[test]
fn a_lease_that_ends_gives_back_in_pieces_and_is_told_of_once() {
    let settings = QueueSettings { consumer_timeout: Some(100), ..QueueSettings::default() };
    let mut desk = Desk::new(settings);
    desk.consume(1, 0, 0);
    desk.push_many(MANY, Spec::default());
    desk.pump();
    desk.now = desk.now.plus_millis(200);
    let mut turns = 0;
    while desk.queue.next_deadline().is_some_and(|deadline| deadline <= desk.now) {
        let before = desk.queue.counts().ready;
        desk.tick();
        assert!(desk.queue.counts().ready - before <= PIECE as u64);
        turns += 1;
    }
    assert_eq!((turns, desk.queue.counts().ready, desk.fx.timed_out.len()), (5, MANY as u64, 1));
}

#[test]
fn thousands_expire_in_pieces_and_a_get_waits_for_them() {
    let mut desk = Desk::new(dead_lettering());
    desk.push_many(MANY, Spec { expiration: Some(10), ..Spec::default() });
    desk.pump();
    desk.push(Spec::default());
    desk.now = Timestamp(desk.now.0 + 20);
    desk.queue.get(desk.now, key(7), true, &mut desk.fx);
    assert!(desk.fx.got.is_empty(), "it would have to look at all of them");
    assert!(desk.fx.dead_letters.len() <= PIECE);
    desk.look();
    assert!(desk.queue.tick(desk.now, &mut desk.fx) <= PIECE);
    desk.pump();
    assert_eq!(desk.dead.len(), MANY);
    assert!(desk.fx.got.iter().all(|got| got.found.is_some()) && desk.fx.got.len() == 1);
}

#[test]
fn a_lower_limit_drops_in_pieces() {
    let mut desk = Desk::new(QueueSettings::default());
    desk.push_many(MANY, Spec::default());
    desk.pump();
    let limited = QueueSettings { max_length: Some(10), ..QueueSettings::default() };
    desk.queue.set_settings(desk.now, limited, &mut desk.fx);
    assert_eq!(desk.queue.counts().ready, (MANY - PIECE) as u64);
    desk.pump();
    assert_eq!(desk.queue.counts().ready, 10);
}

#[test]
fn what_was_purged_is_given_back_in_pieces() {
    let mut desk = Desk::new(QueueSettings::default());
    desk.push_many(MANY, Spec::default());
    desk.pump();
    assert_eq!(desk.queue.purge(desk.now, &mut desk.fx) as usize, MANY);
    assert_eq!(desk.queue.counts().memory_bytes, 0);
    let mut rubbish = desk.fx.rubbish.pop().expect("this is much");
    let mut pieces = 0;
    while !rubbish.is_empty() {
        assert!(rubbish.drop_some(PIECE) < PIECE || rubbish.is_empty());
        pieces += 1;
    }
    assert_eq!(pieces, MANY / PIECE);
}
