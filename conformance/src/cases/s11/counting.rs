//! How quorum queues count deliveries, and what too many of them or too slow an ack leads to (semantics 11.5 to 11.7).

use std::time::Duration;

use leveret_codec::method::amqp::{AMQPClass, basic};
use leveret_codec::table::AMQPValue;

use crate::channel::{Channel, Delivery};
use crate::connection::check_close;
use crate::entity::{Consume, Queue};
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::scene::{fill, filled};
use crate::test::Test;
use crate::wire::id;

cases! {
    s11_05_reject_counts: "reject with requeue counts as a failed delivery";
    s11_05_nack_is_no_failure: "nack with requeue counts as acquired, not as a failed delivery";
    s11_05_channel_close: "the close of a channel counts as a failed delivery";
    s11_05_cut_counts: "a connection that is cut counts as a failed delivery";
    s11_05_recover: "basic.recover counts as acquired, not as a failed delivery";
    s11_05_limit: "beyond x-delivery-limit a message is dead-lettered with reason delivery_limit";
    s11_05_limit_drops: "beyond x-delivery-limit a message without a dead-letter exchange is dropped";
    s11_05_limit_default: "without x-delivery-limit the limit is 20";
    s11_05_nack_without_limit: "nack with requeue never reaches the delivery limit";
    s11_05_classic_has_none: "a classic queue counts no deliveries";
    s11_06_first_delivery: "the first delivery from a quorum queue has no counters";
    s11_06_header_types: "the counters are long integers";
    s11_06_replaces_published: "the counters replace those a publisher put into the headers, from the first redelivery on";
    s11_07_queue_timeout: "a consumer that acks too late by its queue's x-consumer-timeout is cancelled";
    s11_07_consumer_timeout: "so is one that acks too late by its own x-consumer-timeout";
    s11_07_consumer_over_queue: "the consumer's x-consumer-timeout goes before its queue's";
    s11_07_no_capability: "a client without consumer_cancel_notify has its channel closed instead: 406";
    s11_07_message_returns: "what was not acked in time is ready again, and that is no failed delivery";
    s11_07_late_ack: "an ack that comes after the timeout is ignored";
    s11_07_acked_in_time: "a consumer that acked in time is left alone";
}

/// The two counters of a delivery: delivery count and acquired count.
fn counters(delivery: &Delivery) -> Step<(Option<i64>, Option<i64>)> {
    let read = |name: &str| match delivery.header(name)? {
        None => Ok(None),
        Some(AMQPValue::LongLongInt(count)) => Ok(Some(count)),
        Some(other) => fail(format!("{name} is {other:?}")),
    };
    Ok((read("x-delivery-count")?, read("x-acquired-count")?))
}

/// A quorum queue with a message, and what its next delivery counts after it was sent back this way.
fn after(
    test: &Test,
    back: impl Fn(&Channel, u64) -> Step<Channel>,
) -> Step<Vec<(Option<i64>, Option<i64>)>> {
    let mut channel = test.channel()?;
    let name = filled(test, &channel, "quorum", &["a"])?;
    let mut seen = vec![];
    for _ in 0..3 {
        channel.becomes(&name, 1)?;
        let Some(delivery) = channel.get(&name, false)? else { return fail("get-empty") };
        seen.push(counters(&delivery)?);
        channel = back(&channel, delivery.tag)?;
    }
    Ok(seen)
}

fn s11_05_reject_counts(test: &Test) -> Step {
    let seen = after(test, |channel, tag| {
        channel.reject(tag, true);
        Ok(channel.clone())
    })?;
    equal("counters", seen, vec![(None, None), (Some(1), Some(1)), (Some(2), Some(2))])
}

fn s11_05_nack_is_no_failure(test: &Test) -> Step {
    let seen = after(test, |channel, tag| {
        channel.nack(tag, false, true);
        Ok(channel.clone())
    })?;
    equal("counters", seen, vec![(None, None), (None, Some(1)), (None, Some(2))])
}

fn s11_05_channel_close(test: &Test) -> Step {
    let seen = after(test, |channel, _| {
        channel.close()?;
        channel.connection.channel()
    })?;
    equal("counters", seen, vec![(None, None), (Some(1), Some(1)), (Some(2), Some(2))])
}

fn s11_05_cut_counts(test: &Test) -> Step {
    let seen = after(test, |channel, _| {
        channel.connection.cut();
        test.channel()
    })?;
    equal("counters", seen, vec![(None, None), (Some(1), Some(1)), (Some(2), Some(2))])
}

fn s11_05_recover(test: &Test) -> Step {
    let seen = after(test, |channel, _| {
        channel.call(crate::wire::Payload::method(60, 110).bits(&[true]), id(60, 111))?;
        Ok(channel.clone())
    })?;
    equal("counters", seen, vec![(None, None), (None, Some(1)), (None, Some(2))])
}

/// Rejects the message of a quorum queue until it does not come back: how often it was delivered.
fn deliveries(channel: &Channel, queue: &str) -> Step<usize> {
    channel.consume(queue, "t")?;
    for count in 0..100 {
        match channel.event(Duration::from_secs(1))? {
            Some(event) if event.id == id(60, 60) => {}
            Some(event) => return fail(format!("no delivery: {:?}", event.method)),
            None => return Ok(count),
        }
        channel.reject(count as u64 + 1, true);
    }
    fail("it is delivered without end")
}

fn s11_05_limit(test: &Test) -> Step {
    let channel = test.channel()?;
    let (name, target) = (test.queue("q"), test.queue("target"));
    channel.declare(&Queue::new(&target))?;
    let queue = Queue::of("quorum", &name).with("x-delivery-limit", 2).with("x-dead-letter-exchange", "");
    channel.declare(&queue.with("x-dead-letter-routing-key", &target))?;
    fill(&channel, &name, &["a"])?;
    equal("deliveries", deliveries(&channel, &name)?, 3)?;
    let dead = channel.take_soon(&target)?;
    equal("body", dead.body(), "a")?;
    let reason = dead.header("x-first-death-reason")?;
    equal("reason", reason, Some(AMQPValue::LongString("delivery_limit".into())))
}

fn s11_05_limit_drops(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::of("quorum", &name).with("x-delivery-limit", 0))?;
    fill(&channel, &name, &["a"])?;
    equal("deliveries", deliveries(&channel, &name)?, 1)
}

fn s11_05_limit_default(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "quorum", &["a"])?;
    equal("deliveries", deliveries(&channel, &name)?, 21)
}

fn s11_05_nack_without_limit(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::of("quorum", &name).with("x-delivery-limit", 1))?;
    fill(&channel, &name, &["a"])?;
    channel.consume(&name, "t")?;
    for tag in 1..30 {
        equal("delivery tag", channel.delivery()?.tag, tag)?;
        channel.nack(tag, false, true);
    }
    Ok(())
}

fn s11_05_classic_has_none(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &["a"])?;
    for _ in 0..3 {
        channel.becomes(&name, 1)?;
        let Some(delivery) = channel.get(&name, false)? else { return fail("get-empty") };
        equal("counters", counters(&delivery)?, (None, None))?;
        channel.reject(delivery.tag, true);
    }
    Ok(())
}

fn s11_06_first_delivery(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "quorum", &["a"])?;
    channel.consume(&name, "t")?;
    equal("counters", counters(&channel.delivery()?)?, (None, None))
}

fn s11_06_header_types(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "quorum", &["a"])?;
    channel.consume(&name, "t")?;
    channel.delivery()?;
    channel.reject(1, true);
    equal("counters", counters(&channel.delivery()?)?, (Some(1), Some(1)))
}

fn s11_06_replaces_published(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "quorum", &[])?;
    let headers = crate::wire::Table::new().set("x-delivery-count", 7_i64).set("x-acquired-count", 8_i64);
    let message = crate::entity::Message::new("", &name, "a");
    channel.publish(&message.with(crate::wire::Properties::new().headers(&headers)));
    channel.consume(&name, "t")?;
    equal("counters at first", counters(&channel.delivery()?)?, (Some(7), Some(8)))?;
    channel.reject(1, true);
    equal("counters then", counters(&channel.delivery()?)?, (Some(1), Some(1)))
}

/// A consumer that does not ack, of a queue with a message, where both may say how long it has.
fn late(
    test: &Test,
    channel: &Channel,
    kind: &str,
    queue_says: Option<i32>,
    consumer_says: Option<i32>,
) -> Step<String> {
    let name = test.queue("q");
    let (mut queue, mut consume) = (Queue::of(kind, &name), Consume::new(&name, "t"));
    if let Some(timeout) = queue_says {
        queue = queue.with("x-consumer-timeout", timeout);
    }
    if let Some(timeout) = consumer_says {
        consume = consume.with("x-consumer-timeout", timeout);
    }
    channel.declare(&queue)?;
    fill(channel, &name, &["a"])?;
    channel.consume_with(&consume)?;
    channel.delivery()?;
    Ok(name)
}

/// The broker cancels the consumer.
fn cancelled(channel: &Channel) -> Step {
    match channel.event(LATE)?.map(|event| event.method) {
        Some(AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel))) => {
            equal("tag and no-wait", (cancel.consumer_tag.as_str(), cancel.nowait), ("t", true))
        }
        other => fail(format!("no cancel: {other:?}")),
    }
}

fn s11_07_queue_timeout(test: &Test) -> Step {
    let channel = test.channel()?;
    late(test, &channel, "quorum", Some(1000), None)?;
    cancelled(&channel)
}

fn s11_07_consumer_timeout(test: &Test) -> Step {
    let channel = test.channel()?;
    late(test, &channel, "quorum", None, Some(1000))?;
    cancelled(&channel)
}

fn s11_07_consumer_over_queue(test: &Test) -> Step {
    let channel = test.channel()?;
    late(test, &channel, "quorum", Some(1000), Some(600_000))?;
    channel.silent_for(Duration::from_secs(3))
}

fn s11_07_no_capability(test: &Test) -> Step {
    let channel = test.connect_as(&test.login().plain())?.channel()?;
    late(test, &channel, "quorum", None, Some(1000))?;
    let Some(event) = channel.event(LATE)? else { return fail("nothing happens") };
    // RabbitMQ knows the value only where it is the configured one.
    let text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: * ms. This \
                timeout value can be configured, see consumers doc guide to learn more";
    check_close(&event, id(20, 40), 406, id(0, 0), text)
}

fn s11_07_message_returns(test: &Test) -> Step {
    let (channel, other) = (test.channel()?, test.channel()?);
    let name = late(test, &channel, "quorum", None, Some(1000))?;
    other.consume(&name, "u")?;
    cancelled(&channel)?;
    let delivery = other.delivery()?;
    equal("delivery", (delivery.body(), delivery.redelivered), ("a", true))?;
    equal("counters", counters(&delivery)?, (None, Some(1)))
}

fn s11_07_late_ack(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = late(test, &channel, "quorum", None, Some(1000))?;
    cancelled(&channel)?;
    channel.ack(1, false);
    channel.sync()?;
    channel.becomes(&name, 1)
}

fn s11_07_acked_in_time(test: &Test) -> Step {
    let channel = test.channel()?;
    late(test, &channel, "quorum", None, Some(1000))?;
    channel.ack(1, false);
    channel.silent_for(Duration::from_secs(3))
}

/// How long a broker may take to notice a timeout of a second.
const LATE: Duration = Duration::from_secs(8);
