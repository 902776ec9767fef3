//! The rules one by one, each by the smallest history that shows it.

use super::harness::{Harness, ID, Outbox, PERSISTENT, dead_lettering, key};
use super::support::Spec;
use crate::model::consuming::{ConsumeOptions, DeathReason, Settlement};
use crate::model::ids::{Position, Timestamp};
use crate::model::settings::{Overflow, QUORUM_MAX_PRIORITY, QueueSettings, QueueType};
use crate::queue::{ConsumeRefused, Pushed};

#[test]
fn equal_consumers_take_turns_and_higher_priority_goes_first() {
    let mut harness = Harness::new(QueueSettings::default());
    for (who, prefetch, priority) in [(1, 0, 0), (2, 0, 0), (3, 2, 5)] {
        harness.consume(who, prefetch, priority);
    }
    harness.push_many(6, Spec::default());
    harness.pump();
    assert_eq!(harness.take_delivered(), [(3, 1), (3, 2), (1, 3), (2, 4), (1, 5), (2, 6)]);
    harness.settle(3, 2, 2, Settlement::Ack);
    harness.push_many(2, Spec::default());
    harness.pump();
    assert_eq!(harness.take_delivered(), [(3, 7), (1, 8)]);
}

#[test]
fn a_full_connection_is_passed_over_and_keeps_its_turn() {
    let mut harness = Harness::new(QueueSettings::default());
    harness.consume(1, 0, 0);
    harness.consume(2, 0, 0);
    harness.push_many(3, Spec::default());
    harness.pump_into(0);
    assert_eq!(harness.take_delivered(), []);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 1), (2, 2), (1, 3)]);
}

#[test]
fn only_the_first_consumer_is_active_and_the_next_follows_it() {
    let mut harness =
        Harness::new(QueueSettings { single_active_consumer: true, ..QueueSettings::default() });
    harness.consume(1, 1, 0);
    harness.consume(2, 0, 9);
    harness.push_many(3, Spec::default());
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 1)]);
    harness.settle(1, 1, 1, Settlement::Ack);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 2)]);
    harness.queue.detach(harness.now, key(1), usize::MAX, &mut harness.fx);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(2, 2), (2, 3)]);
}

#[test]
fn an_exclusive_consumer_is_alone() {
    let mut harness = Harness::new(QueueSettings::default());
    let exclusive = ConsumeOptions { exclusive: true, ..ConsumeOptions::default() };
    harness.consume(1, 0, 0);
    let refused = harness.queue.consume(harness.now, key(2), exclusive, &mut harness.fx);
    assert_eq!(refused, Err(ConsumeRefused::ExclusiveUse));
    harness.queue.cancel(harness.now, key(1), &mut harness.fx);
    assert_eq!(harness.queue.consume(harness.now, key(2), exclusive, &mut harness.fx), Ok(()));
    let refused = harness.queue.consume(harness.now, key(1), ConsumeOptions::default(), &mut harness.fx);
    assert_eq!(refused, Err(ConsumeRefused::ExclusiveUse));
    harness.queue.detach(harness.now, key(2), usize::MAX, &mut harness.fx);
    harness.consume(1, 0, 0);
}

#[test]
fn quorum_queues_ignore_that_a_consumer_is_exclusive() {
    let mut harness = Harness::new(quorum());
    let exclusive = ConsumeOptions { exclusive: true, ..ConsumeOptions::default() };
    for who in [1, 2] {
        assert_eq!(harness.queue.consume(harness.now, key(who), exclusive, &mut harness.fx), Ok(()));
    }
    harness.consume(3, 0, 0);
}

#[test]
fn quorum_queues_take_messages_without_priority_for_four() {
    let mut harness = Harness::new(QueueSettings { max_priority: Some(QUORUM_MAX_PRIORITY), ..quorum() });
    for priority in [Some(3), None, Some(4), Some(5), Some(31), Some(200)] {
        harness.push(Spec { priority, ..PERSISTENT });
    }
    harness.consume(1, 0, 0);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 5), (1, 6), (1, 4), (1, 2), (1, 3), (1, 1)]);
}

#[test]
fn a_higher_priority_waits_its_turn_on_a_single_active_classic_queue() {
    let mut harness =
        Harness::new(QueueSettings { single_active_consumer: true, ..QueueSettings::default() });
    harness.consume(1, 0, 0);
    harness.consume(2, 0, 5);
    harness.push(PERSISTENT);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 1)]);
}

#[test]
fn a_rejecting_queue_reckons_with_what_consumers_take() {
    let overflow = Overflow::RejectPublish;
    let mut harness =
        Harness::new(QueueSettings { max_length: Some(1), overflow, ..QueueSettings::default() });
    harness.consume(1, 2, 0);
    let pushed: Vec<_> = (0..4).map(|_| harness.push(Spec::default())).collect();
    assert_eq!(pushed, [Pushed::Accepted, Pushed::Accepted, Pushed::Accepted, Pushed::Rejected]);
    harness.pump();
    assert_eq!(harness.push(Spec::default()), Pushed::Rejected);
    harness.settle(1, 1, 1, Settlement::Ack);
    assert_eq!(harness.push(Spec::default()), Pushed::Accepted, "the ack makes room before the pump");
    assert_eq!(harness.push(Spec::default()), Pushed::Rejected);
}

#[test]
fn a_rejecting_queue_does_not_count_on_a_connection_that_is_full() {
    let overflow = Overflow::RejectPublish;
    let mut harness =
        Harness::new(QueueSettings { max_length: Some(1), overflow, ..QueueSettings::default() });
    harness.consume(1, 0, 0);
    harness.push_many(2, Spec::default());
    harness.pump_into(0);
    assert_eq!(harness.push(Spec::default()), Pushed::Rejected);
    harness.pump();
    assert_eq!(harness.push(Spec::default()), Pushed::Accepted);
}

#[test]
fn reject_publish_dlx_dead_letters_what_it_rejects() {
    let overflow = Overflow::RejectPublishDeadLetter;
    let mut harness =
        Harness::new(QueueSettings { max_length_bytes: Some(100), overflow, ..dead_lettering() });
    assert_eq!(harness.push(Spec { body: 101, ..PERSISTENT }), Pushed::Rejected);
    assert_eq!(harness.push(Spec { body: 100, ..PERSISTENT }), Pushed::Stored);
    harness.pump();
    assert_eq!(harness.dead, [(0, DeathReason::MaxLength, false)]);
}

#[test]
fn what_may_not_wait_is_delivered_or_dies() {
    for settings in [
        QueueSettings { max_length: Some(0), ..dead_lettering() },
        QueueSettings { message_ttl: Some(0), ..dead_lettering() },
    ] {
        let mut harness = Harness::new(settings);
        harness.consume(1, 1, 0);
        harness.push_many(2, Spec::default());
        harness.pump();
        assert_eq!(harness.take_delivered(), [(1, 1)]);
        assert_eq!(harness.dead.iter().map(|dead| dead.0).collect::<Vec<_>>(), [2]);
    }
}

#[test]
fn a_full_queue_drops_what_it_would_deliver_next() {
    let mut harness =
        Harness::new(QueueSettings { max_length: Some(2), max_priority: Some(5), ..dead_lettering() });
    for priority in [Some(9), None, Some(1), Some(5)] {
        harness.push(Spec { priority, ..PERSISTENT });
    }
    harness.pump();
    assert_eq!(harness.dead, [(1, DeathReason::MaxLength, true), (4, DeathReason::MaxLength, true)]);
    harness.consume(1, 0, 0);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 3), (1, 2)]);
}

#[test]
fn a_stored_dead_letter_leaves_once_it_is_safe() {
    let mut harness = Harness::new(dead_lettering());
    harness.consume(1, 0, 0);
    harness.push(PERSISTENT);
    harness.pump();
    harness.settle(1, 1, 1, Settlement::Discard);
    harness.pump();
    assert_eq!(harness.dead, [(1, DeathReason::Rejected, true)]);
    assert!(harness.store.has(Position(1)));
    harness.queue.dead_lettered(Position(1), &mut harness.fx);
    harness.look();
    assert!(!harness.store.has(Position(1)));
}

#[test]
fn failures_count_and_too_many_are_a_death() {
    let mut harness = Harness::new(QueueSettings { delivery_limit: Some(1), ..dead_lettering() });
    harness.consume(1, 0, 0);
    harness.push(PERSISTENT);
    let mut seen = Vec::new();
    for failed in [false, true, true] {
        harness.queue.pump(harness.now, &mut Outbox(usize::MAX), &mut harness.fx);
        seen.extend(
            harness
                .fx
                .deliveries
                .drain(..)
                .map(|(_, d)| (d.redelivered, d.attempts.acquired, d.attempts.failed)),
        );
        harness.settle(1, 1, 1, Settlement::Requeue { failed });
    }
    harness.pump();
    assert_eq!(seen, [(false, 0, 0), (true, 1, 0), (true, 2, 1)]);
    assert_eq!(harness.dead, [(1, DeathReason::DeliveryLimit, true)]);
}

#[test]
fn released_messages_look_untouched_and_requeued_ones_go_to_their_place() {
    let mut harness = Harness::new(QueueSettings::default());
    harness.consume(1, 3, 0);
    harness.push_many(4, Spec::default());
    harness.pump();
    harness.settle(1, 3, 3, Settlement::Release);
    harness.settle(1, 1, 1, Settlement::Requeue { failed: false });
    harness.queue.pump(harness.now, &mut Outbox(usize::MAX), &mut harness.fx);
    let seen: Vec<_> = harness.fx.deliveries.iter().map(|(_, d)| (d.position.0, d.redelivered)).collect();
    assert_eq!(seen, [(1, true), (3, false)]);
}

#[test]
fn an_ack_of_many_is_one_operation() {
    let mut harness = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
    harness.consume(1, 0, 0);
    harness.push_many(1000, PERSISTENT);
    harness.pump();
    harness.ops.clear();
    harness.settle(1, 1, 1000, Settlement::Ack);
    harness.pump();
    assert_eq!(harness.ops.len(), 1);
    assert_eq!(harness.store.positions().count(), 0);
}

#[test]
fn a_purge_leaves_what_is_unacked() {
    let mut harness = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
    harness.queue.set_window(0, 0);
    harness.push_many(10, PERSISTENT);
    harness.pump();
    harness.consume(1, 3, 0);
    harness.pump();
    harness.settle(1, 1, 1, Settlement::Release);
    harness.settle(1, 3, 3, Settlement::Release);
    assert_eq!(harness.queue.purge(harness.now, &mut harness.fx), 9);
    harness.pump();
    assert_eq!(harness.store.positions().collect::<Vec<_>>(), [Position(2)]);
    assert_eq!((harness.queue.counts().ready, harness.queue.counts().unacked), (0, 1));
}

#[test]
fn messages_expire_wherever_they_stand() {
    let mut harness = Harness::new(dead_lettering());
    harness.queue.set_window(0, 0);
    for expiration in [None, Some(50), Some(10), None, Some(30)] {
        harness.push(Spec { expiration, ..PERSISTENT });
    }
    harness.pump();
    assert_eq!(harness.queue.counts().memory_bytes, 0, "all are paged out");
    for (deadline, died) in [(1010, 3), (1030, 5), (1050, 2)] {
        assert_eq!(harness.queue.next_deadline(), Some(Timestamp(deadline)));
        harness.now = Timestamp(deadline);
        harness.tick();
        harness.pump();
        assert_eq!(harness.dead.last(), Some(&(died, DeathReason::Expired, true)));
    }
    assert_eq!(harness.queue.next_deadline(), None);
    assert_eq!((harness.dead.len(), harness.queue.counts().ready), (3, 2));
}

#[test]
fn a_queue_goes_with_its_last_consumer_or_when_nobody_uses_it() {
    let mut harness = Harness::new(QueueSettings { auto_delete: true, ..QueueSettings::default() });
    harness.queue.get(harness.now, key(9), false, &mut harness.fx);
    harness.consume(1, 0, 0);
    harness.consume(2, 0, 0);
    harness.queue.cancel(harness.now, key(1), &mut harness.fx);
    assert!(harness.fx.to_delete.is_empty());
    harness.queue.detach(harness.now, key(2), usize::MAX, &mut harness.fx);
    assert_eq!(harness.fx.to_delete, [ID.queue]);

    let mut harness = Harness::new(QueueSettings { expires: Some(100), ..QueueSettings::default() });
    harness.now = Timestamp(1050);
    harness.queue.touch(harness.now);
    assert_eq!(harness.queue.next_deadline(), Some(Timestamp(1150)));
    harness.consume(1, 0, 0);
    assert_eq!(harness.queue.next_deadline(), None);
    harness.now = Timestamp(2000);
    harness.queue.cancel(harness.now, key(1), &mut harness.fx);
    harness.now = Timestamp(2100);
    harness.tick();
    harness.tick();
    assert_eq!(harness.fx.to_delete, [ID.queue], "said once");
}

#[test]
fn a_get_shares_with_consumers_and_tells_what_remains() {
    let mut harness = Harness::new(QueueSettings::default());
    harness.push_many(3, Spec::default());
    harness.pump();
    harness.queue.get(harness.now, key(9), true, &mut harness.fx);
    let remaining = harness.fx.got[0].found.as_ref().map(|(delivery, left)| (delivery.position.0, *left));
    assert_eq!(remaining, Some((1, 2)));
    harness.consume(1, 2, 0);
    harness.queue.get(harness.now, key(9), false, &mut harness.fx);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 2), (1, 3)]);
    assert!(harness.fx.got[1].found.is_none());
}

#[test]
fn a_deleted_queue_tells_its_consumers_and_the_store_only_if_it_knows_it() {
    for (spec, known) in [(PERSISTENT, true), (Spec::default(), false)] {
        let mut harness = Harness::new(QueueSettings { durable: true, ..QueueSettings::default() });
        harness.push_many(2, spec);
        harness.consume(1, 1, 0);
        harness.pump();
        assert_eq!(harness.queue.delete(&mut harness.fx), 1);
        let cancelled_consumers: Vec<_> = harness.fx.cancelled_consumers.drain(..).flatten().collect();
        assert_eq!(cancelled_consumers, [(key(1), true)]);
        assert_eq!(!harness.fx.ops.is_empty(), known);
    }
}

#[test]
fn what_a_cancelled_consumer_holds_may_still_be_settled() {
    let mut harness = Harness::new(QueueSettings::default());
    harness.consume(1, 0, 0);
    harness.push_many(2, Spec::default());
    harness.pump();
    harness.queue.cancel(harness.now, key(1), &mut harness.fx);
    harness.settle(1, 1, 1, Settlement::Ack);
    assert_eq!((harness.queue.counts().unacked, harness.queue.counts().consumers), (1, 0));
    harness.settle(1, 2, 2, Settlement::Requeue { failed: false });
    assert_eq!((harness.queue.counts().unacked, harness.queue.counts().ready), (0, 1));
}

fn quorum() -> QueueSettings {
    QueueSettings { queue_type: QueueType::Quorum, durable: true, ..QueueSettings::default() }
}

/// A channel times out with a delivery of the queue while it waits for the answer to a get: the connection would wait for
/// ever.
#[test]
fn a_get_that_waits_is_answered_where_its_channel_goes() {
    let mut harness = Harness::new(QueueSettings::default());
    harness.consume(1, 0, 0);
    // The consumer comes first, so the gets wait for the pump.
    for who in [7, 8, 7] {
        harness.queue.get(harness.now, key(who), false, &mut harness.fx);
    }
    assert!(harness.fx.got.is_empty());
    harness.queue.detach(harness.now, key(7), 100, &mut harness.fx);
    let answered: Vec<_> = harness.fx.got.iter().map(|got| (got.key, got.found.is_some())).collect();
    assert_eq!(answered, [(key(7), false), (key(7), false)]);
    assert!(harness.queue.knows(key(8)), "the other one waits still");
}
