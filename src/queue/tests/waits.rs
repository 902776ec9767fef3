//! How long messages waited for their first delivery, and how old the oldest ready one is.

use super::harness::{Harness, PERSISTENT};
use crate::model::consuming::Settlement;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::{RecoveredQueue, Span};
use crate::model::settings::QueueSettings;

/// How many messages waited, and for how many milliseconds in all.
fn waited(harness: &Harness) -> (u64, u64) {
    (harness.fx.waits.count(), harness.fx.waits.sum)
}

fn oldest_since(harness: &Harness) -> Option<u64> {
    harness.queue.counts().oldest_since.map(|since| since.0)
}

#[test]
fn a_message_waits_from_its_turn_to_that_of_its_first_delivery() {
    let mut harness = Harness::new(QueueSettings::default());
    assert_eq!(oldest_since(&harness), None);
    for came in [1000, 1040, 1100] {
        harness.now = Timestamp(came);
        harness.push_many(2, PERSISTENT);
        harness.pump();
        assert_eq!((oldest_since(&harness), waited(&harness)), (Some(1000), (0, 0)));
    }
    harness.now = Timestamp(1300);
    harness.consume(1, 3, 0);
    harness.pump();
    assert_eq!(waited(&harness), (3, 300 + 300 + 260));
    assert_eq!(oldest_since(&harness), Some(1040));
    // What comes back has had its first delivery.
    harness.settle(1, 1, 3, Settlement::Requeue { failed: false });
    harness.pump();
    assert_eq!(waited(&harness), (3, 860), "the three are delivered again");
    harness.settle(1, 1, 3, Settlement::Ack);
    harness.now = Timestamp(1400);
    harness.pump();
    assert_eq!(waited(&harness), (6, 860 + 360 + 300 + 300));
    assert_eq!(oldest_since(&harness), None);
}

#[test]
fn what_finds_a_consumer_in_its_turn_has_not_waited() {
    let mut harness = Harness::new(QueueSettings::default());
    harness.consume(1, 0, 0);
    for _ in 0..3 {
        harness.now = harness.now.plus_millis(50);
        harness.push_many(10, PERSISTENT);
        harness.pump();
    }
    assert_eq!((waited(&harness), oldest_since(&harness)), ((30, 0), None));
}

#[test]
fn what_was_there_at_the_start_is_not_counted_and_as_old_as_the_broker() {
    let range = PositionRange { first: Position(1), last: Position(1) };
    let span = Span { range, count: 1, bytes: 0, earliest_expiry: None };
    let found = RecoveredQueue {
        next_position: Position(2),
        lanes: vec![(0, vec![span])],
        ..RecoveredQueue::default()
    };
    let mut harness = Harness::recover(QueueSettings { durable: true, ..QueueSettings::default() }, found);
    harness.pump();
    assert_eq!(oldest_since(&harness), Some(1000));
    harness.now = Timestamp(5000);
    harness.push(PERSISTENT);
    harness.pump();
    assert_eq!(oldest_since(&harness), Some(1000));
    harness.now = Timestamp(6000);
    harness.queue.purge(harness.now, &mut harness.fx);
    harness.pump();
    harness.push(PERSISTENT);
    harness.pump();
    assert_eq!((oldest_since(&harness), waited(&harness)), (Some(6000), (0, 0)));
}
