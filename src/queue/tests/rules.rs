//! The rules one by one, each by the smallest history that shows it.

use super::desk::{Desk, ID, Outbox, PERSISTENT, dead_lettering, key};
use super::support::Spec;
use crate::model::consuming::{ConsumeOptions, DeathReason, Settlement};
use crate::model::ids::{Position, Timestamp};
use crate::model::settings::{Overflow, QUORUM_MAX_PRIORITY, QueueSettings, QueueType};
use crate::queue::{ConsumeRefused, Pushed};

#[test]
fn equal_consumers_take_turns_and_higher_priority_goes_first() {
    let mut desk = Desk::new(QueueSettings::default());
    for (who, prefetch, priority) in [(1, 0, 0), (2, 0, 0), (3, 2, 5)] {
        desk.consume(who, prefetch, priority);
    }
    desk.push_many(6, Spec::default());
    desk.pump();
    assert_eq!(desk.take_delivered(), [(3, 1), (3, 2), (1, 3), (2, 4), (1, 5), (2, 6)]);
    desk.settle(3, 2, 2, Settlement::Ack);
    desk.push_many(2, Spec::default());
    desk.pump();
    assert_eq!(desk.take_delivered(), [(3, 7), (1, 8)]);
}

#[test]
fn a_full_connection_is_passed_over_and_keeps_its_turn() {
    let mut desk = Desk::new(QueueSettings::default());
    desk.consume(1, 0, 0);
    desk.consume(2, 0, 0);
    desk.push_many(3, Spec::default());
    desk.pump_into(0);
    assert_eq!(desk.take_delivered(), []);
    desk.pump();
    assert_eq!(desk.take_delivered(), [(1, 1), (2, 2), (1, 3)]);
}

#[test]
fn only_the_first_consumer_is_active_and_the_next_follows_it() {
    let mut desk = Desk::new(QueueSettings { single_active_consumer: true, ..QueueSettings::default() });
    desk.consume(1, 1, 0);
    desk.consume(2, 0, 9);
    desk.push_many(3, Spec::default());
    desk.pump();
    assert_eq!(desk.take_delivered(), [(1, 1)]);
    desk.settle(1, 1, 1, Settlement::Ack);
    desk.pump();
    assert_eq!(desk.take_delivered(), [(1, 2)]);
    desk.queue.detach(desk.now, key(1), usize::MAX, &mut desk.fx);
    desk.pump();
    assert_eq!(desk.take_delivered(), [(2, 2), (2, 3)]);
}

#[test]
fn an_exclusive_consumer_is_alone() {
    let mut desk = Desk::new(QueueSettings::default());
    let exclusive = ConsumeOptions { exclusive: true, ..ConsumeOptions::default() };
    desk.consume(1, 0, 0);
    let refused = desk.queue.consume(desk.now, key(2), exclusive, &mut desk.fx);
    assert_eq!(refused, Err(ConsumeRefused::ExclusiveUse));
    desk.queue.cancel(desk.now, key(1), &mut desk.fx);
    assert_eq!(desk.queue.consume(desk.now, key(2), exclusive, &mut desk.fx), Ok(()));
    let refused = desk.queue.consume(desk.now, key(1), ConsumeOptions::default(), &mut desk.fx);
    assert_eq!(refused, Err(ConsumeRefused::ExclusiveUse));
    desk.queue.detach(desk.now, key(2), usize::MAX, &mut desk.fx);
    desk.consume(1, 0, 0);
}

#[test]
fn quorum_queues_ignore_that_a_consumer_is_exclusive() {
    let mut desk = Desk::new(quorum());
    let exclusive = ConsumeOptions { exclusive: true, ..ConsumeOptions::default() };
    for who in [1, 2] {
        assert_eq!(desk.queue.consume(desk.now, key(who), exclusive, &mut desk.fx), Ok(()));
    }
    desk.consume(3, 0, 0);
}

#[test]
fn quorum_queues_take_messages_without_priority_for_four() {
    let mut desk = Desk::new(QueueSettings { max_priority: Some(QUORUM_MAX_PRIORITY), ..quorum() });
    for priority in [Some(3), None, Some(4), Some(5), Some(31), Some(200)] {
        desk.push(Spec { priority, ..PERSISTENT });
    }
    desk.consume(1, 0, 0);
    desk.pump();
    assert_eq!(desk.take_delivered(), [(1, 5), (1, 6), (1, 4), (1, 2), (1, 3), (1, 1)]);
}

#[test]
fn a_higher_priority_waits_its_turn_on_a_single_active_classic_queue() {
    let mut desk = Desk::new(QueueSettings { single_active_consumer: true, ..QueueSettings::default() });
    desk.consume(1, 0, 0);
    desk.consume(2, 0, 5);
    desk.push(PERSISTENT);
    desk.pump();
    assert_eq!(desk.take_delivered(), [(1, 1)]);
}

#[test]
fn a_rejecting_queue_reckons_with_what_consumers_take() {
    let overflow = Overflow::RejectPublish;
    let mut desk = Desk::new(QueueSettings { max_length: Some(1), overflow, ..QueueSettings::default() });
    desk.consume(1, 2, 0);
    let pushed: Vec<_> = (0..4).map(|_| desk.push(Spec::default())).collect();
    assert_eq!(pushed, [Pushed::Accepted, Pushed::Accepted, Pushed::Accepted, Pushed::Rejected]);
    desk.pump();
    assert_eq!(desk.push(Spec::default()), Pushed::Rejected);
    desk.settle(1, 1, 1, Settlement::Ack);
    assert_eq!(desk.push(Spec::default()), Pushed::Accepted, "the ack makes room before the pump");
    assert_eq!(desk.push(Spec::default()), Pushed::Rejected);
}

#[test]
fn a_rejecting_queue_does_not_count_on_a_connection_that_is_full() {
    let overflow = Overflow::RejectPublish;
    let mut desk = Desk::new(QueueSettings { max_length: Some(1), overflow, ..QueueSettings::default() });
    desk.consume(1, 0, 0);
    desk.push_many(2, Spec::default());
    desk.pump_into(0);
    assert_eq!(desk.push(Spec::default()), Pushed::Rejected);
    desk.pump();
    assert_eq!(desk.push(Spec::default()), Pushed::Accepted);
}

#[test]
fn reject_publish_dlx_dead_letters_what_it_rejects() {
    let overflow = Overflow::RejectPublishDeadLetter;
    let mut desk = Desk::new(QueueSettings { max_length_bytes: Some(100), overflow, ..dead_lettering() });
    assert_eq!(desk.push(Spec { body: 101, ..PERSISTENT }), Pushed::Rejected);
    assert_eq!(desk.push(Spec { body: 100, ..PERSISTENT }), Pushed::Stored);
    desk.pump();
    assert_eq!(desk.dead, [(0, DeathReason::MaxLength, false)]);
}

#[test]
fn what_may_not_wait_is_delivered_or_dies() {
    for settings in [
        QueueSettings { max_length: Some(0), ..dead_lettering() },
        QueueSettings { message_ttl: Some(0), ..dead_lettering() },
    ] {
        let mut desk = Desk::new(settings);
        desk.consume(1, 1, 0);
        desk.push_many(2, Spec::default());
        desk.pump();
        assert_eq!(desk.take_delivered(), [(1, 1)]);
        assert_eq!(desk.dead.iter().map(|dead| dead.0).collect::<Vec<_>>(), [2]);
    }
}

#[test]
fn a_full_queue_drops_what_it_would_deliver_next() {
    let mut desk =
        Desk::new(QueueSettings { max_length: Some(2), max_priority: Some(5), ..dead_lettering() });
    for priority in [Some(9), None, Some(1), Some(5)] {
        desk.push(Spec { priority, ..PERSISTENT });
    }
    desk.pump();
    assert_eq!(desk.dead, [(1, DeathReason::MaxLength, true), (4, DeathReason::MaxLength, true)]);
    desk.consume(1, 0, 0);
    desk.pump();
    assert_eq!(desk.take_delivered(), [(1, 3), (1, 2)]);
}

#[test]
fn a_stored_dead_letter_leaves_once_it_is_safe() {
    let mut desk = Desk::new(dead_lettering());
    desk.consume(1, 0, 0);
    desk.push(PERSISTENT);
    desk.pump();
    desk.settle(1, 1, 1, Settlement::Discard);
    desk.pump();
    assert_eq!(desk.dead, [(1, DeathReason::Rejected, true)]);
    assert!(desk.store.has(Position(1)));
    desk.queue.dead_lettered(Position(1), &mut desk.fx);
    desk.look();
    assert!(!desk.store.has(Position(1)));
}

#[test]
fn failures_count_and_too_many_are_a_death() {
    let mut desk = Desk::new(QueueSettings { delivery_limit: Some(1), ..dead_lettering() });
    desk.consume(1, 0, 0);
    desk.push(PERSISTENT);
    let mut seen = Vec::new();
    for failed in [false, true, true] {
        desk.queue.pump(desk.now, &mut Outbox(usize::MAX), &mut desk.fx);
        seen.extend(
            desk.fx
                .deliveries
                .drain(..)
                .map(|(_, d)| (d.redelivered, d.attempts.acquired, d.attempts.failed)),
        );
        desk.settle(1, 1, 1, Settlement::Requeue { failed });
    }
    desk.pump();
    assert_eq!(seen, [(false, 0, 0), (true, 1, 0), (true, 2, 1)]);
    assert_eq!(desk.dead, [(1, DeathReason::DeliveryLimit, true)]);
}

#[test]
fn released_messages_look_untouched_and_requeued_ones_go_to_their_place() {
    let mut desk = Desk::new(QueueSettings::default());
    desk.consume(1, 3, 0);
    desk.push_many(4, Spec::default());
    desk.pump();
    desk.settle(1, 3, 3, Settlement::Release);
    desk.settle(1, 1, 1, Settlement::Requeue { failed: false });
    desk.queue.pump(desk.now, &mut Outbox(usize::MAX), &mut desk.fx);
    let seen: Vec<_> = desk.fx.deliveries.iter().map(|(_, d)| (d.position.0, d.redelivered)).collect();
    assert_eq!(seen, [(1, true), (3, false)]);
}

#[test]
fn an_ack_of_many_is_one_operation() {
    let mut desk = Desk::new(QueueSettings { durable: true, ..QueueSettings::default() });
    desk.consume(1, 0, 0);
    desk.push_many(1000, PERSISTENT);
    desk.pump();
    desk.ops.clear();
    desk.settle(1, 1, 1000, Settlement::Ack);
    desk.pump();
    assert_eq!(desk.ops.len(), 1);
    assert_eq!(desk.store.positions().count(), 0);
}

#[test]
fn a_purge_leaves_what_is_unacked() {
    let mut desk = Desk::new(QueueSettings { durable: true, ..QueueSettings::default() });
    desk.queue.set_window(0, 0);
    desk.push_many(10, PERSISTENT);
    desk.pump();
    desk.consume(1, 3, 0);
    desk.pump();
    desk.settle(1, 1, 1, Settlement::Release);
    desk.settle(1, 3, 3, Settlement::Release);
    assert_eq!(desk.queue.purge(desk.now, &mut desk.fx), 9);
    desk.pump();
    assert_eq!(desk.store.positions().collect::<Vec<_>>(), [Position(2)]);
    assert_eq!((desk.queue.counts().ready, desk.queue.counts().unacked), (0, 1));
}

#[test]
fn messages_expire_wherever_they_stand() {
    let mut desk = Desk::new(dead_lettering());
    desk.queue.set_window(0, 0);
    for expiration in [None, Some(50), Some(10), None, Some(30)] {
        desk.push(Spec { expiration, ..PERSISTENT });
    }
    desk.pump();
    assert_eq!(desk.queue.counts().memory_bytes, 0, "all are paged out");
    for (deadline, died) in [(1010, 3), (1030, 5), (1050, 2)] {
        assert_eq!(desk.queue.next_deadline(), Some(Timestamp(deadline)));
        desk.now = Timestamp(deadline);
        desk.tick();
        desk.pump();
        assert_eq!(desk.dead.last(), Some(&(died, DeathReason::Expired, true)));
    }
    assert_eq!(desk.queue.next_deadline(), None);
    assert_eq!((desk.dead.len(), desk.queue.counts().ready), (3, 2));
}

#[test]
fn a_queue_goes_with_its_last_consumer_or_when_nobody_uses_it() {
    let mut desk = Desk::new(QueueSettings { auto_delete: true, ..QueueSettings::default() });
    desk.queue.get(desk.now, key(9), false, &mut desk.fx);
    desk.consume(1, 0, 0);
    desk.consume(2, 0, 0);
    desk.queue.cancel(desk.now, key(1), &mut desk.fx);
    assert!(desk.fx.gone.is_empty());
    desk.queue.detach(desk.now, key(2), usize::MAX, &mut desk.fx);
    assert_eq!(desk.fx.gone, [ID.queue]);

    let mut desk = Desk::new(QueueSettings { expires: Some(100), ..QueueSettings::default() });
    desk.now = Timestamp(1050);
    desk.queue.touch(desk.now);
    assert_eq!(desk.queue.next_deadline(), Some(Timestamp(1150)));
    desk.consume(1, 0, 0);
    assert_eq!(desk.queue.next_deadline(), None);
    desk.now = Timestamp(2000);
    desk.queue.cancel(desk.now, key(1), &mut desk.fx);
    desk.now = Timestamp(2100);
    desk.tick();
    desk.tick();
    assert_eq!(desk.fx.gone, [ID.queue], "said once");
}

#[test]
fn a_get_shares_with_consumers_and_tells_what_remains() {
    let mut desk = Desk::new(QueueSettings::default());
    desk.push_many(3, Spec::default());
    desk.pump();
    desk.queue.get(desk.now, key(9), true, &mut desk.fx);
    let remaining = desk.fx.got[0].found.as_ref().map(|(delivery, left)| (delivery.position.0, *left));
    assert_eq!(remaining, Some((1, 2)));
    desk.consume(1, 2, 0);
    desk.queue.get(desk.now, key(9), false, &mut desk.fx);
    desk.pump();
    assert_eq!(desk.take_delivered(), [(1, 2), (1, 3)]);
    assert!(desk.fx.got[1].found.is_none());
}

#[test]
fn a_deleted_queue_tells_its_consumers_and_the_store_only_if_it_knows_it() {
    for (spec, known) in [(PERSISTENT, true), (Spec::default(), false)] {
        let mut desk = Desk::new(QueueSettings { durable: true, ..QueueSettings::default() });
        desk.push_many(2, spec);
        desk.consume(1, 1, 0);
        desk.pump();
        assert_eq!(desk.queue.delete(&mut desk.fx), 1);
        let dismissed: Vec<_> = desk.fx.dismissed.drain(..).flatten().collect();
        assert_eq!(dismissed, [(key(1), true)]);
        assert_eq!(!desk.fx.ops.is_empty(), known);
    }
}

#[test]
fn what_a_cancelled_consumer_holds_may_still_be_settled() {
    let mut desk = Desk::new(QueueSettings::default());
    desk.consume(1, 0, 0);
    desk.push_many(2, Spec::default());
    desk.pump();
    desk.queue.cancel(desk.now, key(1), &mut desk.fx);
    desk.settle(1, 1, 1, Settlement::Ack);
    assert_eq!((desk.queue.counts().unacked, desk.queue.counts().consumers), (1, 0));
    desk.settle(1, 2, 2, Settlement::Requeue { failed: false });
    assert_eq!((desk.queue.counts().unacked, desk.queue.counts().ready), (0, 1));
}

fn quorum() -> QueueSettings {
    QueueSettings { queue_type: QueueType::Quorum, durable: true, ..QueueSettings::default() }
}
