//! 9.20 to 9.25: confirms, their numbers, and what is nacked.

use crate::channel::Channel;
use crate::connection::PATIENCE;
use crate::entity::{Exchange, Message, Queue};
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Properties, id};

cases! {
    s9_20_select_again: "confirm.select twice is one; numbers go on";
    s9_20_counts_from_select: "the first publish after select is number 1";
    s9_20_select_nowait: "confirm.select with no-wait is not answered and works";
    s9_20_per_channel: "each channel counts for itself";
    s9_20_on_tx: "confirm.select on a transactional channel is 406";
    s9_21_each_once: "of many messages each is confirmed once";
    s9_21_persistent: "persistent messages to a durable queue are confirmed";
    s9_22_nack: "what a full queue with reject-publish refuses is nacked";
    s9_22_one_of_several: "a message that one of its queues refuses is nacked, and lies in the others";
    s9_23_transient: "messages to a queue that is not durable are confirmed";
    s9_23_quorum: "messages to a quorum queue are confirmed";
    s9_24_closed_channel: "no confirm comes after a channel's close";
    s9_25_dropped_is_acked: "messages dropped from the head of a full queue are acked";
    s9_25_ttl_zero_is_acked: "messages that expire at once are acked";
    s9_25_exclusive_gone: "messages to the queue of a connection that goes are acked";
}

/// A channel with confirms and a queue.
fn confirming(test: &Test) -> Step<(Channel, String)> {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    channel.confirm_select()?;
    Ok((channel, queue))
}

fn s9_20_select_again(test: &Test) -> Step {
    let (channel, queue) = confirming(test)?;
    channel.put(&queue, "x");
    channel.confirmed(1, 1)?;
    channel.confirm_select()?;
    channel.put(&queue, "x");
    channel.confirmed(2, 2)?;
    channel.silent()
}

fn s9_20_counts_from_select(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    channel.put(&queue, "before");
    channel.put(&queue, "before");
    channel.becomes(&queue, 2)?;
    channel.silent()?;
    channel.confirm_select()?;
    channel.put(&queue, "after");
    channel.confirmed(1, 1)?;
    channel.silent()
}

fn s9_20_select_nowait(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    channel.send(Payload::method(85, 10).bits(&[true]));
    channel.silent()?;
    channel.put(&queue, "x");
    channel.confirmed(1, 1)
}

fn s9_20_per_channel(test: &Test) -> Step {
    let (one, queue) = confirming(test)?;
    let two = one.connection.channel()?;
    two.confirm_select()?;
    let plain = one.connection.channel()?;
    one.put(&queue, "x");
    one.confirmed(1, 1)?;
    two.put(&queue, "x");
    two.confirmed(1, 1)?;
    plain.put(&queue, "x");
    plain.silent()?;
    one.put(&queue, "x");
    one.confirmed(2, 2)
}

fn s9_20_on_tx(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.tx_select()?;
    let text = "PRECONDITION_FAILED - cannot switch from tx to confirm mode";
    channel.refuses(Payload::method(85, 10).bits(&[false]), 406, text)
}

fn s9_21_each_once(test: &Test) -> Step {
    let (channel, queue) = confirming(test)?;
    for number in 0..500_u16 {
        let key = if number % 3 == 0 { "" } else { &queue };
        let mode = if number % 2 == 0 { 1 } else { 2 };
        channel.publish(&Message::new("", key, "x").with(Properties::new().delivery_mode(mode)));
    }
    channel.confirmed(1, 500)?;
    channel.silent()
}

fn s9_21_persistent(test: &Test) -> Step {
    let (channel, queue) = confirming(test)?;
    for _ in 0..100 {
        channel.publish(&Message::new("", &queue, "x").with(Properties::persistent()));
    }
    channel.confirmed(1, 100)?;
    equal("ready", channel.count(&queue)?.0, 100)
}

fn s9_22_nack(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    let full = Queue::new(&queue).with("x-max-length", 1).with("x-overflow", "reject-publish");
    channel.declare(&full)?;
    channel.confirm_select()?;
    channel.put(&queue, "first");
    channel.confirmed(1, 1)?;
    channel.put(&queue, "second");
    channel.put(&queue, "third");
    equal("acks and nacks", channel.confirms(2, 3)?, (vec![], vec![2, 3]))?;
    equal("body", channel.take(&queue)?.body(), "first")?;
    channel.put(&queue, "fourth");
    channel.confirmed(4, 4)
}

fn s9_22_one_of_several(test: &Test) -> Step {
    let channel = test.channel()?;
    let (exchange, full, roomy) = (test.exchange("x"), test.queue("full"), test.queue("roomy"));
    channel.declare_exchange(&Exchange::new(&exchange, "fanout"))?;
    let limited = Queue::new(&full).with("x-max-length", 1).with("x-overflow", "reject-publish");
    for queue in [limited, Queue::new(&roomy)] {
        channel.declare(&queue)?;
    }
    channel.bind(&full, &exchange, "")?;
    channel.bind(&roomy, &exchange, "")?;
    channel.confirm_select()?;
    channel.publish(&Message::new(&exchange, "", "1"));
    channel.confirmed(1, 1)?;
    channel.publish(&Message::new(&exchange, "", "2"));
    equal("acks and nacks", channel.confirms(2, 2)?, (vec![], vec![2]))?;
    channel.becomes(&roomy, 2)?;
    equal("in the full one", channel.count(&full)?.0, 1)
}

fn s9_23_transient(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue).transient().exclusive())?;
    channel.confirm_select()?;
    for _ in 0..20 {
        channel.publish(&Message::new("", &queue, "x").with(Properties::persistent()));
    }
    channel.confirmed(1, 20)
}

fn s9_23_quorum(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue).with("x-queue-type", "quorum"))?;
    channel.confirm_select()?;
    for _ in 0..20 {
        channel.put(&queue, "x");
    }
    channel.confirmed(1, 20)?;
    channel.becomes(&queue, 20)
}

fn s9_24_closed_channel(test: &Test) -> Step {
    let (channel, queue) = confirming(test)?;
    let missing = test.exchange("x");
    for _ in 0..50 {
        channel.publish(&Message::new("", &queue, "x").with(Properties::persistent()));
    }
    channel.publish(&Message::new(&missing, "", "x"));
    loop {
        match channel.event(PATIENCE)? {
            Some(event) if event.id == id(60, 80) => {}
            Some(event) if event.id == id(20, 40) => break,
            other => return fail(format!("expected acks and a close, saw {other:?}")),
        }
    }
    channel.silent()?;
    channel.send(Payload::method(20, 41));
    channel.silent()?;
    channel.open()?;
    channel.silent()
}

fn s9_25_dropped_is_acked(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue).with("x-max-length", 2))?;
    channel.confirm_select()?;
    for number in 1..=20 {
        channel.publish(&Message::new("", &queue, number.to_string()).with(Properties::persistent()));
    }
    channel.confirmed(1, 20)?;
    channel.becomes(&queue, 2)?;
    equal("body", channel.take(&queue)?.body(), "19")
}

fn s9_25_ttl_zero_is_acked(test: &Test) -> Step {
    let (channel, queue) = confirming(test)?;
    for _ in 0..10 {
        let properties = Properties::persistent().expiration("0");
        channel.publish(&Message::new("", &queue, "x").with(properties));
    }
    channel.confirmed(1, 10)?;
    channel.becomes(&queue, 0)
}

fn s9_25_exclusive_gone(test: &Test) -> Step {
    let (owner, channel) = (test.connect()?, test.channel()?);
    let queue = test.queue("q");
    owner.channel()?.declare(&Queue::new(&queue).exclusive())?;
    channel.confirm_select()?;
    for _ in 0..50 {
        channel.publish(&Message::new("", &queue, "x").with(Properties::persistent()));
    }
    owner.cut();
    channel.confirmed(1, 50)
}
