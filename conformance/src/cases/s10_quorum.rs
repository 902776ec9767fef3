//! Sections 10 and 11, how much and for how long consumers of quorum queues, and others, may hold something. What
//! follows from a consumer timeout is in `s11`.

use crate::channel::Channel;
use crate::connection::PATIENCE;
use crate::entity::{Consume, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::id;

cases! {
    s10_11_quorum_unlimited: "a consumer without prefetch gets 2000 messages of a quorum queue and waits for acks then";
    s10_11_quorum_prefetch: "with a prefetch it gets that many, also above 2000";
    s10_15_equals_wait: "one of the same priority waits until the active one goes, and comes before a lower one";
    s11_07_wrong: "x-consumer-timeout that is no integer, or negative, is 406";
    s11_07_get: "what a basic.get holds times out too, and closes the channel";
    s11_07_classic: "x-consumer-timeout of a consumer of a classic queue",
        differs("refused", "closed", "RabbitMQ lost consumer timeouts of classic queues in 4.3; Leveret has them for who asks");
}

fn quorum(name: &str) -> Queue {
    Queue::new(name).with("x-queue-type", "quorum")
}

fn filled(channel: &Channel, queue: &Queue, name: &str, messages: usize) -> Step {
    channel.declare(queue)?;
    channel.confirm_select()?;
    for number in 0..messages {
        channel.put(name, &number.to_string());
    }
    channel.confirmed(1, messages as u64)
}

fn s10_11_quorum_unlimited(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    filled(&channel, &quorum(&name), &name, 2100)?;
    let consumer = test.channel()?;
    consumer.consume(&name, "t")?;
    consumer.bodies(2000)?;
    consumer.silent()?;
    equal("ready", channel.count(&name)?.0, 100)?;
    consumer.ack(2000, true);
    consumer.bodies(100).map(drop)
}

fn s10_11_quorum_prefetch(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    filled(&channel, &quorum(&name), &name, 2100)?;
    let consumer = test.channel()?;
    consumer.qos(2050, false)?;
    consumer.consume(&name, "t")?;
    consumer.bodies(2050)?;
    consumer.silent()
}

/// A channel of its own with a consumer of this priority that may hold one message.
fn candidate(test: &Test, queue: &str, priority: i32) -> Step<Channel> {
    let channel = test.channel()?;
    channel.qos(1, false)?;
    channel.consume_with(&Consume::new(queue, "t").with("x-priority", priority))?;
    Ok(channel)
}

fn gets(channel: &Channel, body: &str) -> Step {
    equal("body", channel.delivery()?.body(), body)
}

fn s10_15_equals_wait(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    filled(&channel, &quorum(&name).with("x-single-active-consumer", true), &name, 3)?;
    let active = candidate(test, &name, 2)?;
    gets(&active, "0")?;
    let (lower, equals) = (candidate(test, &name, 1)?, candidate(test, &name, 2)?);
    active.ack(1, false);
    gets(&active, "1")?;
    active.ack(2, false);
    gets(&active, "2")?;
    equals.silent()?;
    active.close()?;
    gets(&equals, "2")?;
    lower.silent()
}

fn timeout(name: &str, millis: i32) -> Queue {
    quorum(name).with("x-consumer-timeout", millis)
}

fn s11_07_wrong(test: &Test) -> Step {
    let name = test.queue("q");
    test.channel()?.declare(&quorum(&name))?;
    let consume = || Consume::new(&name, "t");
    for (consume, reason) in [
        (consume().with("x-consumer-timeout", "x"), "\"expected integer, got longstr\""),
        (consume().with("x-consumer-timeout", -1), "{value_negative,-1}"),
    ] {
        let channel = test.channel()?;
        channel.send(consume.payload());
        let queue = test.queue_text(&name);
        let text = format!("PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for {queue}: {reason}");
        channel.closes(406, id(60, 20), &text)?;
    }
    Ok(())
}

fn s11_07_get(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    filled(&channel, &timeout(&name, 300), &name, 1)?;
    let getter = test.channel()?;
    ensure(getter.get(&name, false)?.is_some(), "the queue is empty")?;
    getter.closes(
        406,
        id(0, 0),
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. *",
    )?;
    channel.becomes(&name, 1)
}

fn s11_07_classic(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    filled(&channel, &Queue::new(&name), &name, 1)?;
    let consumer = test.channel()?;
    consumer.send(Consume::new(&name, "t").with("x-consumer-timeout", 500).payload());
    let answer = consumer.event(PATIENCE)?;
    let Some(answer) = answer else { return fail("expected an answer to basic.consume, saw nothing") };
    if answer.id == id(20, 40) {
        test.answered("refused");
        let queue = test.queue_text(&name);
        let text = format!(
            "PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for {queue} of queue type rabbit_classic_queue"
        );
        return crate::connection::check_close(&answer, id(20, 40), 406, id(60, 20), &text);
    }
    test.answered("closed");
    equal("answer", answer.id, id(60, 21))?;
    consumer.delivery()?;
    consumer.closes(
        406,
        id(0, 0),
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. *",
    )?;
    channel.becomes(&name, 1)
}
