//! What is said of a message that waits to be retried, and what becomes of it meanwhile and afterwards (semantics 11.10).
//! Which messages wait, and for how long, is in `retries`.

use std::time::{Duration, Instant};

use leveret_codec::table::AMQPValue;
use serde_json::json;

use super::retries::{LONG, not_before, retrying};
use crate::admin::Admin;
use crate::channel::{Channel, Delivery};
use crate::entity::Queue;
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::scene::fill;
use crate::test::Test;

cases! {
    s11_10_not_counted: "what waits is in the count of purge-ok, not in those of declare-ok and delete-ok";
    s11_10_no_prefetch: "what waits is held by nobody: the consumer gets the next message";
    s11_10_management: "what waits is in messages and messages_delayed, neither ready nor unacknowledged";
    s11_10_place: "what has waited comes back ahead of what was not delivered yet";
    s11_10_order: "waits that end in another order than that of the queue",
        differs("as they end", "as published", "with Leveret requeued messages go back to their place on every queue type");
    s11_10_drop_head: "what waits counts for x-max-length, and what is ready is dropped first";
    s11_10_full_of_waiting: "a queue that is full of what waits drops what comes";
    s11_10_reject_publish: "a queue that is full of what waits refuses what comes";
    s11_10_delivery_limit: "beyond the delivery limit it is dead-lettered with reason delivery_limit, and waits no more";
    s11_10_expires: "what has expired when its wait is over is dead-lettered";
    s11_10_expires_meanwhile: "a message that expires while it waits",
        differs("stays", "leaves", "Leveret expires messages wherever they are in a queue; RabbitMQ finds it when the wait is over");
}

/// A quorum queue of which everything waits for so long that comes back, with these messages.
fn waiting_long(test: &Test, channel: &Channel, bodies: &[&str], queue: fn(Queue) -> Queue) -> Step<String> {
    let name = test.queue("q");
    channel.declare(&queue(retrying(&name, "all", LONG, LONG)))?;
    fill(channel, &name, bodies)?;
    Ok(name)
}

/// The first ones of what is ready are given back.
fn give_back(channel: &Channel, name: &str, count: usize) -> Step {
    let got: Vec<_> = (0..count).map(|_| channel.get_soon(name, false)).collect::<Step<_>>()?;
    for delivery in got {
        channel.nack(delivery.tag, false, true);
    }
    Ok(())
}

fn s11_10_not_counted(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = waiting_long(test, &channel, &["a", "b", "c", "d", "e"], |queue| queue)?;
    give_back(&channel, &name, 3)?;
    channel.silent()?;
    equal("declare-ok", channel.count(&name)?.0, 2)?;
    equal("purge-ok", channel.purge(&name)?, 5)?;
    equal("declare-ok", channel.count(&name)?.0, 0)?;
    fill(&channel, &name, &["a", "b", "c", "d", "e"])?;
    give_back(&channel, &name, 3)?;
    channel.silent()?;
    equal("delete-ok", channel.delete(&name)?, 2)
}

fn s11_10_no_prefetch(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = waiting_long(test, &channel, &["a", "b"], |queue| queue)?;
    channel.qos(1, false)?;
    channel.consume(&name, "t")?;
    let first = channel.delivery()?;
    equal("first", first.body(), "a")?;
    channel.nack(first.tag, false, true);
    equal("next", channel.delivery()?.body(), "b")
}

fn s11_10_management(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let channel = admin.channel()?;
    channel.declare(&retrying("q", "failed", LONG, LONG))?;
    channel.declare(&Queue::of("quorum", "other"))?;
    fill(&channel, "q", &["a", "b", "c", "d"])?;
    for _ in 0..2 {
        channel.reject(channel.get_soon("q", false)?.tag, true);
    }
    channel.get_soon("q", false)?;
    let counts =
        [("messages", 4), ("messages_delayed", 2), ("messages_ready", 1), ("messages_unacknowledged", 1)];
    let queue = admin.becomes(&format!("queues/{}/q", admin.vhost), |queue| {
        counts.iter().all(|(field, count)| queue[field] == *count)
    })?;
    equal("delayed_retry", &queue["delayed_retry"], &json!("failed (min: 600000ms, max: 600000ms)"))?;
    let other = admin.get(&format!("queues/{}/other", admin.vhost))?;
    equal("delayed_retry", &other["delayed_retry"], &json!("disabled"))
}

fn s11_10_place(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&retrying(&name, "all", 300, 300))?;
    fill(&channel, &name, &["a", "b", "c"])?;
    let since = Instant::now();
    give_back(&channel, &name, 2)?;
    channel.put(&name, "d");
    channel.becomes(&name, 4)?;
    not_before(since.elapsed(), 300)?;
    equal("order", taken(&channel, &name, 4)?, ["a", "b", "c", "d"].map(str::to_owned).to_vec())
}

fn taken(channel: &Channel, name: &str, count: usize) -> Step<Vec<String>> {
    (0..count).map(|_| Ok(channel.take(name)?.body().to_owned())).collect()
}

fn s11_10_order(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&retrying(&name, "all", 300, 100_000))?;
    fill(&channel, &name, &["a", "b", "c"])?;
    let got: Vec<_> = (0..3).map(|_| channel.get_soon(&name, false)).collect::<Step<_>>()?;
    channel.reject(got[0].tag, true);
    let first = channel.get_soon(&name, false)?;
    // It waits for the second time, and for longer than that behind it, which comes back right after it.
    for tag in [first.tag, got[2].tag, got[1].tag] {
        channel.reject(tag, true);
    }
    channel.becomes(&name, 3)?;
    let order = taken(&channel, &name, 3)?.concat();
    match order.as_str() {
        "cba" => test.answered("as they end"),
        "abc" => test.answered("as published"),
        other => return fail(format!("order {other}")),
    }
    Ok(())
}

fn s11_10_drop_head(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = waiting_long(test, &channel, &["a", "b", "c"], |queue| queue.with("x-max-length", 3))?;
    give_back(&channel, &name, 2)?;
    channel.silent()?;
    channel.confirm_select()?;
    channel.put(&name, "d");
    channel.confirmed(1, 1)?;
    equal("ready", channel.take(&name)?.body(), "d")?;
    equal("waiting", channel.purge(&name)?, 2)
}

fn s11_10_full_of_waiting(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = waiting_long(test, &channel, &["a", "b", "c"], |queue| queue.with("x-max-length", 3))?;
    give_back(&channel, &name, 3)?;
    channel.silent()?;
    channel.confirm_select()?;
    channel.put(&name, "d");
    channel.confirmed(1, 1)?;
    channel.empty(&name)?;
    equal("waiting", channel.purge(&name)?, 3)
}

fn s11_10_reject_publish(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = waiting_long(test, &channel, &["a", "b", "c"], |queue| {
        queue.with("x-max-length", 3).with("x-overflow", "reject-publish")
    })?;
    give_back(&channel, &name, 3)?;
    channel.silent()?;
    equal("ready", channel.count(&name)?.0, 0)?;
    channel.confirm_select()?;
    // A quorum queue begins to refuse a little after it is full.
    for number in 1..=100 {
        channel.put(&name, "more");
        if !channel.confirms(number, number)?.1.is_empty() {
            return Ok(());
        }
    }
    fail("100 messages were taken")
}

/// The reason for which a message has died first.
pub(super) fn reason(dead: &Delivery) -> Step<String> {
    match dead.header("x-first-death-reason")? {
        Some(AMQPValue::LongString(reason)) => Ok(reason.to_string()),
        other => fail(format!("x-first-death-reason is {other:?}")),
    }
}

/// With a queue that its dead letters go to.
pub(super) fn dying(test: &Test, channel: &Channel, queue: Queue) -> Step<String> {
    let target = test.queue("dead");
    channel.declare(&Queue::new(&target))?;
    channel.declare(&queue.with("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", &target))?;
    Ok(target)
}

fn s11_10_delivery_limit(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    let target = dying(test, &channel, retrying(&name, "all", 50, 100).with("x-delivery-limit", 2))?;
    fill(&channel, &name, &["a"])?;
    let since = Instant::now();
    for _ in 0..3 {
        let delivery = channel.get_soon(&name, false)?;
        channel.reject(delivery.tag, true);
    }
    not_before(since.elapsed(), 150)?;
    let dead = channel.take_soon(&target)?;
    equal("reason", reason(&dead)?.as_str(), "delivery_limit")?;
    equal("left", channel.purge(&name)?, 0)
}

fn s11_10_expires(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    let target = dying(test, &channel, retrying(&name, "all", 700, 700).with("x-message-ttl", 500))?;
    fill(&channel, &name, &["a"])?;
    give_back(&channel, &name, 1)?;
    let dead = channel.take_soon(&target)?;
    equal("reason", reason(&dead)?.as_str(), "expired")?;
    channel.empty(&name)
}

fn s11_10_expires_meanwhile(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    let target = dying(test, &channel, retrying(&name, "all", LONG, LONG).with("x-message-ttl", 500))?;
    fill(&channel, &name, &["a"])?;
    give_back(&channel, &name, 1)?;
    channel.silent_for(Duration::from_secs(2))?;
    let waiting = channel.purge(&name)?;
    test.answered(if waiting == 1 { "stays" } else { "leaves" });
    if waiting == 1 {
        channel.empty(&target)
    } else {
        equal("reason", reason(&channel.take_soon(&target)?)?.as_str(), "expired")
    }
}
