//! Delayed retries as RabbitMQ has them (semantics 11.10): what waits, for how long, and who says so. What becomes of it
//! meanwhile is in `waiting`; lists of delays, which RabbitMQ has not, are in `retry_delays`.
//!
//! No case asks whether something came early enough: a wait is either longer than what is measured, or so long that what comes
//! at all did not wait for it.

use std::time::{Duration, Instant};

use leveret_codec::table::AMQPValue;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::channel::{Channel, Delivery};
use crate::entity::Queue;
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::scene::fill;
use crate::test::Test;
use crate::wire::{Payload, id};

cases! {
    s11_10_reject: "what is rejected to be requeued waits, for longer each time";
    s11_10_channel_close: "so does what is lost with its channel";
    s11_10_cut: "so does what is lost with its connection";
    s11_10_nack: "what is nacked waits, too, and that is no failure by which later waits are longer";
    s11_10_recover: "so does what comes back by basic.recover";
    s11_10_nack_after_failures: "what is nacked waits the longer the more often it has failed before";
    s11_10_most: "no wait is longer than the most, which is the least where it is not given";
    s11_10_least_above_most: "where the least is more than the most, the most holds";
    s11_10_type_all: "of type all everything waits that comes back";
    s11_10_type_failed: "of type failed what is nacked is ready at once";
    s11_10_type_returned: "of type returned what is rejected is ready at once";
    s11_10_consumer_timeout: "what a consumer held for too long has been returned: it waits as what is nacked does";
    s11_10_transaction: "what is nacked in a transaction waits from the commit on";
    s11_10_compared: "another value in a later declaration is 406";
    s11_10_nothing_waits: "without a type or a least, and with those that are none, everything is ready at once";
    s11_10_policy: "a policy makes what comes back wait, and no more when it goes; what waits then goes on";
    s11_10_policy_and_arguments: "of arguments and policy the shorter times hold, and the policy's type";
    s11_10_policy_without_least: "a policy with a type needs the least: 400";
    s11_10_classic: "delayed retries of a classic queue",
        differs("refused", "waits", "Leveret has them on any queue");
}

/// A wait that nobody sees the end of, in milliseconds: what comes back at all has not waited for it.
pub(super) const LONG: i32 = 600_000;
/// How often a message came back; the shortest wait times that is more than a case has the patience for.
const FAILURES: usize = 14;

/// A quorum queue with such retries.
pub(super) fn retrying(name: &str, retried: &str, least: i32, most: i32) -> Queue {
    let queue = Queue::of("quorum", name).with("x-delayed-retry-type", retried);
    queue.with("x-delayed-retry-min", least).with("x-delayed-retry-max", most)
}

/// A message comes back in some way; afterwards this channel is to be used.
type Back = fn(&Test, &Channel, u64) -> Step<Channel>;

fn reject(_: &Test, channel: &Channel, tag: u64) -> Step<Channel> {
    channel.reject(tag, true);
    Ok(channel.clone())
}

fn nack(_: &Test, channel: &Channel, tag: u64) -> Step<Channel> {
    channel.nack(tag, false, true);
    Ok(channel.clone())
}

fn recover(_: &Test, channel: &Channel, _: u64) -> Step<Channel> {
    channel.call(Payload::method(60, 110).bits(&[true]), id(60, 111))?;
    Ok(channel.clone())
}

fn close(_: &Test, channel: &Channel, _: u64) -> Step<Channel> {
    channel.close()?;
    channel.connection.channel()
}

fn cut(test: &Test, channel: &Channel, _: u64) -> Step<Channel> {
    channel.connection.cut();
    test.channel()
}

/// Gives the only message of a queue back: the channel that has it then, the delivery, and how long that took.
fn again(
    test: &Test,
    (channel, delivery): (Channel, Delivery),
    name: &str,
    back: Back,
) -> Step<((Channel, Delivery), Duration)> {
    let since = Instant::now();
    let channel = back(test, &channel, delivery.tag)?;
    let delivery = channel.get_soon(name, false)?;
    ensure(delivery.redelivered, "it is not flagged as redelivered")?;
    Ok(((channel, delivery), since.elapsed()))
}

/// The broker's clock may be read in whole milliseconds.
pub(super) fn not_before(waited: Duration, millis: u64) -> Step {
    if waited.as_millis() + 2 < u128::from(millis) {
        return fail(format!("it was ready after {waited:?}, before {millis} ms"));
    }
    Ok(())
}

fn grows(test: &Test, back: Back) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&retrying(&name, "all", 150, 100_000))?;
    fill(&channel, &name, &["a"])?;
    let delivery = channel.get_soon(&name, false)?;
    let mut got = (channel, delivery);
    for least in [150, 300, 450] {
        let (next, waited) = again(test, got, &name, back)?;
        not_before(waited, least)?;
        got = next;
    }
    equal("failures", got.1.header("x-delivery-count")?, Some(AMQPValue::LongLongInt(3)))
}

fn s11_10_reject(test: &Test) -> Step {
    grows(test, reject)
}

fn s11_10_channel_close(test: &Test) -> Step {
    grows(test, close)
}

fn s11_10_cut(test: &Test) -> Step {
    grows(test, cut)
}

/// A message comes back `FAILURES` times one way, at once, and then another way until it waits as a policy says: at least for
/// so many milliseconds. Policies hold after a moment.
fn comes_back_after(
    test: &Test,
    before: Back,
    back: Back,
    (definition, millis): (&Value, u64),
) -> Step<(Channel, Delivery)> {
    let admin = Admin::new(test)?;
    let channel = admin.channel()?;
    channel.declare(&Queue::of("quorum", "q").with("x-delivery-limit", 1000))?;
    fill(&channel, "q", &["a"])?;
    let delivery = channel.get_soon("q", false)?;
    let mut got = (channel, delivery);
    for _ in 0..FAILURES {
        got = again(test, got, "q", before)?.0;
    }
    admin.policy("p", "", definition)?;
    for _ in 0..1000 {
        let (next, waited) = again(test, got, "q", back)?;
        got = next;
        if waited > Duration::from_millis(millis / 2) {
            not_before(waited, millis)?;
            return Ok(got);
        }
    }
    fail("it does not wait")
}

/// Of what comes back this way neither times nor counts grow: by `FAILURES` it would not come in time.
fn does_not_grow(test: &Test, back: Back) -> Step {
    let definition =
        json!({"delayed-retry-type": "all", "delayed-retry-min": 1000, "delayed-retry-max": LONG});
    let (_, delivery) = comes_back_after(test, back, back, (&definition, 1000))?;
    equal("failures", delivery.header("x-delivery-count")?, None)
}

fn s11_10_nack(test: &Test) -> Step {
    does_not_grow(test, nack)
}

fn s11_10_recover(test: &Test) -> Step {
    does_not_grow(test, recover)
}

fn s11_10_nack_after_failures(test: &Test) -> Step {
    let definition =
        json!({"delayed-retry-type": "all", "delayed-retry-min": 100, "delayed-retry-max": LONG});
    let (_, delivery) = comes_back_after(test, reject, nack, (&definition, 100 * FAILURES as u64))?;
    equal("failures", delivery.header("x-delivery-count")?, Some(AMQPValue::LongLongInt(FAILURES as i64)))
}

fn s11_10_most(test: &Test) -> Step {
    let definition =
        json!({"delayed-retry-type": "all", "delayed-retry-min": 1000, "delayed-retry-max": 1200});
    comes_back_after(test, reject, reject, (&definition, 1200))?;
    let definition = json!({"delayed-retry-type": "all", "delayed-retry-min": 1000});
    comes_back_after(test, reject, reject, (&definition, 1000)).map(drop)
}

fn s11_10_least_above_most(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&retrying(&name, "all", LONG, 300))?;
    fill(&channel, &name, &["a"])?;
    let delivery = channel.get_soon(&name, false)?;
    let (got, waited) = again(test, (channel, delivery), &name, nack)?;
    not_before(waited, 300)?;
    not_before(again(test, got, &name, reject)?.1, 300)
}

/// The only message of a queue is given back, and waits: nothing is ready, and there is something to purge.
fn waits(test: &Test, channel: &Channel, name: &str, back: Back) -> Step<Channel> {
    let delivery = channel.get_soon(name, false)?;
    let channel = back(test, channel, delivery.tag)?;
    channel.silent()?;
    channel.empty(name)?;
    equal("purged", channel.purge(name)?, 1)?;
    Ok(channel)
}

/// A queue of this type, whose waits are long, and which of what comes back waits.
fn of_type(test: &Test, retried: &str, backs: [(Back, bool); 5]) -> Step {
    let (mut channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&retrying(&name, retried, LONG, LONG))?;
    for (back, is_to_wait) in backs {
        fill(&channel, &name, &["a"])?;
        if is_to_wait {
            channel = waits(test, &channel, &name, back)?;
        } else {
            let delivery = channel.get_soon(&name, false)?;
            channel = again(test, (channel, delivery), &name, back)?.0.0;
            // Which settles it, so that the queue is empty again.
            channel.ack(0, true);
        }
    }
    Ok(())
}

fn s11_10_type_all(test: &Test) -> Step {
    of_type(test, "all", [(reject, true), (nack, true), (recover, true), (close, true), (cut, true)])
}

fn s11_10_type_failed(test: &Test) -> Step {
    of_type(test, "failed", [(reject, true), (nack, false), (recover, false), (close, true), (cut, true)])
}

fn s11_10_type_returned(test: &Test) -> Step {
    of_type(test, "returned", [(reject, false), (nack, true), (recover, true), (close, false), (cut, false)])
}

fn s11_10_consumer_timeout(test: &Test) -> Step {
    for (retried, is_to_wait) in [("returned", true), ("failed", false)] {
        let (channel, name) = (test.channel()?, test.queue(retried));
        channel.declare(&retrying(&name, retried, LONG, LONG).with("x-consumer-timeout", 300))?;
        fill(&channel, &name, &["a"])?;
        let consumer = test.channel()?;
        consumer.consume(&name, "t")?;
        consumer.delivery()?;
        consumer.expect(id(60, 30))?;
        if is_to_wait {
            channel.silent()?;
            channel.empty(&name)?;
            equal("purged", channel.purge(&name)?, 1)?;
        } else {
            channel.take_soon(&name)?;
        }
    }
    Ok(())
}

fn s11_10_transaction(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&retrying(&name, "all", 400, 400))?;
    fill(&channel, &name, &["a"])?;
    let transaction = test.channel()?;
    transaction.tx_select()?;
    transaction.nack(transaction.get_soon(&name, false)?.tag, false, true);
    transaction.silent_for(Duration::from_millis(500))?;
    let since = Instant::now();
    transaction.tx_commit()?;
    channel.get_soon(&name, false)?;
    not_before(since.elapsed(), 400)
}

fn s11_10_compared(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&retrying(&name, "all", 1, 2))?;
    channel.declare(&retrying(&name, "all", 1, 2))?;
    channel.send(retrying(&name, "all", 1, 3).payload());
    let queue = test.queue_text(&name);
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'x-delayed-retry-max' for {queue}: received '3' but current is '2'"
    );
    channel.closes(406, id(50, 10), &text)
}

fn s11_10_nothing_waits(test: &Test) -> Step {
    let (kind, least, most) = ("x-delayed-retry-type", "x-delayed-retry-min", "x-delayed-retry-max");
    let all = |queue: Queue| queue.with(kind, "all");
    let queues: [&dyn Fn(Queue) -> Queue; 7] = [
        &|queue| queue.with(kind, "disabled").with(least, LONG),
        &|queue| queue.with(kind, "whatever").with(least, LONG),
        &|queue| queue.with(least, LONG).with(most, LONG),
        &|queue| all(queue).with(most, LONG),
        &|queue| all(queue).with(least, 0).with(most, LONG),
        &|queue| all(queue).with(least, "600000").with(most, LONG),
        &all,
    ];
    let channel = test.channel()?;
    for (number, queue) in queues.iter().enumerate() {
        let name = test.queue(&format!("q{number}"));
        channel.declare(&queue(Queue::of("quorum", &name)))?;
        fill(&channel, &name, &["a"])?;
        for back in [reject as Back, nack] {
            let delivery = channel.get_soon(&name, false)?;
            back(test, &channel, delivery.tag)?;
        }
        channel.take_soon(&name)?;
    }
    Ok(())
}

fn s11_10_policy(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let channel = admin.channel()?;
    channel.declare(&Queue::of("quorum", "q"))?;
    fill(&channel, "q", &["a", "b"])?;
    let definition = json!({"delayed-retry-type": "all", "delayed-retry-min": LONG});
    admin.policy("p", "", &definition)?;
    let path = format!("queues/{}/q", admin.vhost);
    admin.becomes(&path, |queue| queue["delayed_retry"] == "all (min: 600000ms, max: 600000ms)")?;
    let first = channel.get_soon("q", false)?;
    channel.nack(first.tag, false, true);
    channel.silent()?;
    equal("ready", channel.count("q")?.0, 1)?;
    admin.delete_policy("p")?;
    admin.becomes(&path, |queue| queue["delayed_retry"] == "disabled")?;
    let second = channel.get_soon("q", false)?;
    equal("which does not wait", second.body(), "b")?;
    channel.nack(second.tag, false, true);
    equal("which came back", channel.take_soon("q")?.body(), "b")?;
    channel.empty("q")?;
    equal("waiting", channel.purge("q")?, 1)
}

fn s11_10_policy_and_arguments(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let channel = admin.channel()?;
    for (name, definition) in [
        ("short", json!({"delayed-retry-min": 300, "delayed-retry-max": 400})),
        ("long", json!({"delayed-retry-min": 2000, "delayed-retry-max": 3000})),
        ("off", json!({"delayed-retry-type": "disabled"})),
        ("other", json!({"delayed-retry-type": "failed", "delayed-retry-min": 5000})),
    ] {
        admin.policy(name, &format!("^{name}$"), &definition)?;
        channel.declare(&retrying(name, "all", 900, 1000))?;
    }
    for (name, expected) in [
        ("short", "all (min: 300ms, max: 400ms)"),
        ("long", "all (min: 900ms, max: 1000ms)"),
        ("off", "disabled"),
        ("other", "failed (min: 900ms, max: 1000ms)"),
    ] {
        admin
            .becomes(&format!("queues/{}/{name}", admin.vhost), |queue| queue["delayed_retry"] == expected)?;
    }
    Ok(())
}

fn s11_10_policy_without_least(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    for retried in ["all", "failed", "returned"] {
        let body = json!({"pattern": "", "definition": {"delayed-retry-type": retried}});
        let text = format!(
            "Validation failed\n\ndelayed-retry-min is required when delayed-retry-type is {retried}\n"
        );
        admin.policy_refused("policies", &body, &text)?;
    }
    admin.policy("p", "", &json!({"delayed-retry-type": "disabled"}))
}

fn s11_10_classic(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    let queue =
        Queue::of("classic", &name).with("x-delayed-retry-type", "all").with("x-delayed-retry-min", LONG);
    channel.send(queue.payload());
    let answer = channel.event(crate::connection::PATIENCE)?;
    let Some(answer) = answer else { return fail("expected an answer to queue.declare, saw nothing") };
    if answer.id == id(20, 40) {
        test.answered("refused");
        let text = format!(
            "PRECONDITION_FAILED - invalid arg 'x-delayed-retry-*' for {} of queue type rabbit_classic_queue",
            test.queue_text(&name)
        );
        return crate::connection::check_close(&answer, id(20, 40), 406, id(50, 10), &text);
    }
    test.answered("waits");
    equal("answer", answer.id, id(50, 11))?;
    for back in [nack as Back, reject] {
        fill(&channel, &name, &["a"])?;
        waits(test, &channel, &name, back)?;
    }
    Ok(())
}
