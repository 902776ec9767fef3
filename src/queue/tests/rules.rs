//! The rules one by one, each by the smallest history that shows it.

use super::store::FakeStore;
use super::support::{Spec, message};
use crate::model::consuming::{ConsumeOptions, DeathReason, Settlement};
use crate::model::ids::{
    ConnectionId, ConsumerKey, ConsumerNumber, Position, PositionRange, QueueId, QueueRef, ShardIndex,
    Timestamp,
};
use crate::model::op::{Fetched, Op, RecoveredQueue, Span};
use crate::model::settings::{DeadLetterTarget, Overflow, QUORUM_MAX_PRIORITY, QueueSettings, QueueType};
use crate::queue::{ConsumeRefused, Gate, Pushed, Queue, QueueEffects};

const ID: QueueRef = QueueRef { queue: QueueId(1), shard: ShardIndex(0) };
const PERSISTENT: Spec = Spec { persistent: true, priority: None, expiration: None, body: 0 };

/// Admits messages while it has bytes left.
struct Outbox(usize);

impl Gate for Outbox {
    fn admits(&mut self, _connection: ConnectionId, bytes: usize) -> bool {
        let admits = bytes <= self.0;
        self.0 -= if admits { bytes } else { 0 };
        admits
    }
}

/// A queue on a store that answers at once.
struct Desk {
    queue: Queue,
    store: FakeStore,
    fx: QueueEffects,
    now: Timestamp,
    /// Consumer and position of all deliveries so far.
    delivered: Vec<(u32, u64)>,
    dead: Vec<(u64, DeathReason, bool)>,
    ops: Vec<Op>,
    fetches: usize,
}

impl Desk {
    fn new(settings: QueueSettings) -> Desk {
        Desk::recover(settings, RecoveredQueue::default())
    }

    fn recover(settings: QueueSettings, found: RecoveredQueue) -> Desk {
        let now = Timestamp(1000);
        Desk {
            queue: Queue::recover(ID, settings, found, now),
            store: FakeStore::default(),
            fx: QueueEffects::default(),
            now,
            delivered: Vec::new(),
            dead: Vec::new(),
            ops: Vec::new(),
            fetches: 0,
        }
    }

    fn push(&mut self, spec: Spec) -> Pushed {
        self.queue.push(self.now, message(spec), &mut self.fx)
    }

    fn push_many(&mut self, count: usize, spec: Spec) {
        for _ in 0..count {
            self.push(spec);
        }
    }

    fn consume(&mut self, who: u32, prefetch: u16, priority: i32) {
        let options = ConsumeOptions { prefetch, priority, ..ConsumeOptions::default() };
        self.queue.consume(self.now, key(who), options, &mut self.fx).unwrap();
    }

    fn settle(&mut self, who: u32, first: u64, last: u64, settlement: Settlement) {
        let range = PositionRange { first: Position(first), last: Position(last) };
        self.queue.settle(self.now, key(who), range, settlement, &mut self.fx);
    }

    fn tick(&mut self) {
        self.queue.tick(self.now, &mut self.fx);
    }

    /// Ends the turn, and those that answers of the store bring.
    fn pump(&mut self) {
        self.pump_into(usize::MAX);
    }

    fn pump_into(&mut self, outbox: usize) {
        let mut outbox = Outbox(outbox);
        loop {
            self.queue.pump(self.now, &mut outbox, &mut self.fx);
            let fetches = std::mem::take(&mut self.fx.fetches);
            self.look();
            if fetches.is_empty() {
                return;
            }
            for fetch in fetches {
                self.fetches += 1;
                self.queue.loaded(self.now, self.store.read(fetch), &mut self.fx);
            }
        }
    }

    fn look(&mut self) {
        for op in self.fx.ops.drain(..) {
            self.store.apply(ID.queue, &op);
            self.ops.push(op);
        }
        self.delivered.extend(self.fx.deliveries.drain(..).map(|(_, d)| (d.consumer.0, d.position.0)));
        let dead = self.fx.dead_letters.drain(..);
        self.dead.extend(dead.map(|dead| (dead.position.0, dead.reason, dead.awaited)));
    }

    fn take_delivered(&mut self) -> Vec<(u32, u64)> {
        std::mem::take(&mut self.delivered)
    }
}

fn key(who: u32) -> ConsumerKey {
    ConsumerKey { connection: ConnectionId(u64::from(who)), number: ConsumerNumber(who) }
}

fn dead_lettering() -> QueueSettings {
    let target = DeadLetterTarget { exchange: "dlx".into(), routing_key: None };
    QueueSettings { durable: true, dead_letter: Some(target), ..QueueSettings::default() }
}

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
    desk.queue.detach(desk.now, key(1), &mut desk.fx);
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
    desk.queue.detach(desk.now, key(2), &mut desk.fx);
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
        seen.extend(desk.fx.deliveries.drain(..).map(|(_, d)| (d.redelivered, d.delivery_count)));
        desk.settle(1, 1, 1, Settlement::Requeue { failed });
    }
    desk.pump();
    assert_eq!(seen, [(false, None), (true, None), (true, Some(1))]);
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
    desk.queue.detach(desk.now, key(2), &mut desk.fx);
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
        assert_eq!(desk.fx.cancelled, [key(1)]);
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
    desk.queue.detach(desk.now, key(1), &mut desk.fx);
    assert_eq!(desk.queue.counts().ready, 1);
}

/// 1 and 3 are paged out, a getter holds 2.
fn a_hole_in_a_span(settings: QueueSettings) -> Desk {
    let mut desk = Desk::new(settings);
    desk.queue.set_window(0, 0);
    desk.push_many(3, PERSISTENT);
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
    desk.queue.detach(desk.now, key(5), &mut desk.fx);
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

fn quorum() -> QueueSettings {
    QueueSettings { queue_type: QueueType::Quorum, durable: true, ..QueueSettings::default() }
}
