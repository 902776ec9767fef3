//! Scheduled delivery: what asks for a later time waits for it, whatever else comes.

use std::sync::Arc;

use bytes::BytesMut;
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{AMQPValue, FieldTable, encode};

use super::harness::{Harness, PERSISTENT};
use crate::model::consuming::{DeathReason, Settlement};
use crate::model::ids::{Position, Timestamp};
use crate::model::message::{Body, Message, Origin};
use crate::model::op::Op;
use crate::model::settings::{DeadLetterTarget, QueueSettings};
use crate::queue::Pushed;

fn scheduled() -> QueueSettings {
    QueueSettings { durable: true, scheduled: true, ..QueueSettings::default() }
}

fn asking(millis: i32, persistent: bool, origin: Origin) -> Arc<Message> {
    let mut headers = FieldTable::default();
    headers.insert("x-delay".into(), AMQPValue::LongInt(millis));
    let mode = persistent.then(|| vec![2]);
    let raw =
        Properties::default().with(&[(Field::Headers, Some(encode(&headers))), (Field::DeliveryMode, mode)]);
    let properties = Properties::trusted(&raw);
    Arc::new(Message::new(&mut BytesMut::new(), b"", b"q", properties, Body::default(), origin))
}

fn push(harness: &mut Harness, millis: i32) -> Pushed {
    harness.queue.push(harness.now, asking(millis, true, Origin::Client), &mut harness.fx)
}

/// Passes the time of the next deadline, and returns how long that was.
fn pass(harness: &mut Harness) -> Option<u64> {
    let before = harness.now;
    harness.now = harness.queue.next_deadline()?;
    harness.tick();
    harness.pump();
    Some(harness.now.0 - before.0)
}

#[test]
fn each_comes_at_its_time_and_nobody_waits_for_it() {
    let mut harness = Harness::new(scheduled());
    harness.consume(1, 0, 0);
    assert_eq!(push(&mut harness, 500), Pushed::Stored, "it is confirmed as any other is");
    push(&mut harness, 200);
    harness.push(PERSISTENT);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 3)]);
    let counts = harness.queue.counts();
    assert_eq!((counts.ready, counts.delayed), (0, 2));
    assert_eq!(pass(&mut harness), Some(200));
    assert_eq!(pass(&mut harness), Some(300));
    assert_eq!(harness.take_delivered(), [(1, 2), (1, 1)]);
}

#[test]
fn two_of_one_time_come_in_the_order_in_which_they_arrived() {
    let mut harness = Harness::new(scheduled());
    push(&mut harness, 100);
    push(&mut harness, 100);
    harness.pump();
    pass(&mut harness);
    harness.push(PERSISTENT);
    harness.consume(1, 0, 0);
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 1), (1, 2), (1, 3)]);
}

#[test]
fn the_store_hears_until_when_and_the_message_asks_for_nothing_any_more() {
    let mut harness = Harness::new(scheduled());
    push(&mut harness, 500);
    harness.pump();
    let Some(Op::Put { meta, message, durable, .. }) = harness.ops.first() else { panic!("it is stored") };
    assert_eq!((meta.not_before, meta.redelivered, *durable), (Timestamp(1500), false, true));
    assert_eq!(message.properties().header("x-delay"), Some(AMQPValue::LongInt(-500)));
    let volatile = asking(500, false, Origin::Client);
    let mut harness = Harness::new(scheduled());
    assert_eq!(harness.queue.push(harness.now, volatile, &mut harness.fx), Pushed::Accepted);
}

#[test]
fn only_what_a_client_publishes_to_a_queue_that_schedules_waits() {
    for (settings, origin) in
        [(QueueSettings::default(), Origin::Client), (scheduled(), Origin::DeadLettered)]
    {
        let mut harness = Harness::new(settings);
        let message = asking(500, true, origin);
        harness.queue.push(harness.now, Arc::clone(&message), &mut harness.fx);
        harness.pump();
        assert_eq!(harness.queue.counts().ready, 1);
    }
    let mut harness = Harness::new(scheduled());
    push(&mut harness, 0);
    push(&mut harness, -500);
    harness.pump();
    assert_eq!(harness.queue.counts().ready, 2);
}

#[test]
fn its_time_to_live_begins_when_it_is_due() {
    let target = DeadLetterTarget { exchange: "dlx".into(), routing_key: None };
    let settings = QueueSettings { message_ttl: Some(100), dead_letter: Some(target), ..scheduled() };
    let mut harness = Harness::new(settings);
    push(&mut harness, 500);
    harness.pump();
    assert_eq!(pass(&mut harness), Some(500));
    assert_eq!((harness.queue.counts().ready, harness.dead.len()), (1, 0));
    assert_eq!(pass(&mut harness), Some(100));
    assert_eq!(harness.dead, [(1, DeathReason::Expired, true)]);
}

#[test]
fn once_delivered_it_is_as_any_other() {
    let mut harness = Harness::new(scheduled());
    push(&mut harness, 500);
    harness.consume(1, 1, 0);
    harness.pump();
    pass(&mut harness);
    assert_eq!(harness.take_delivered(), [(1, 1)]);
    harness.settle(1, 1, 1, Settlement::Requeue { failed: true });
    harness.pump();
    assert_eq!(harness.take_delivered(), [(1, 1)], "at once");
    harness.settle(1, 1, 1, Settlement::Ack);
    harness.pump();
    assert_eq!(harness.store.positions().collect::<Vec<Position>>(), []);
}

#[test]
fn what_names_a_time_is_delivered_as_it_came() {
    let mut headers = FieldTable::default();
    headers.insert("x-deliver-at".into(), AMQPValue::LongLongInt(1_500));
    let raw = Properties::default().with(&[(Field::Headers, Some(encode(&headers)))]);
    let properties = Properties::trusted(&raw);
    let message = Message::new(&mut BytesMut::new(), b"", b"q", properties, Body::default(), Origin::Client);
    let mut harness = Harness::new(scheduled());
    harness.consume(1, 0, 0);
    harness.queue.push(harness.now, Arc::new(message), &mut harness.fx);
    harness.pump();
    assert_eq!(harness.queue.counts().delayed, 1);
    harness.now = harness.queue.next_deadline().unwrap();
    harness.tick();
    let mut outbox = super::harness::Outbox(usize::MAX);
    harness.queue.pump(harness.now, &mut outbox, &mut harness.fx);
    let (_, delivery) = &harness.fx.deliveries[0];
    assert_eq!(harness.now, Timestamp(1500));
    assert_eq!(delivery.message.properties().raw_headers(), Some(&encode(&headers)[..]));
}
