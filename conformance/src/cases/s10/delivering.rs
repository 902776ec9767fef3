//! Who is sent what: prefetch, consumer priorities, turns, single active consumers, the redelivered flag (semantics 10.7,
//! 10.11 to 10.13, 10.15, 10.16).

use std::time::Duration;

use crate::channel::Channel;
use crate::entity::{Consume, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::scene::{each_type, fill, filled};
use crate::test::Test;
use crate::wire::{Payload, id};

cases! {
    s10_07_priority_first: "the consumer of higher priority gets everything while its prefetch allows";
    s10_07_priority_blocked: "what the consumer of higher priority has no prefetch for goes to the lower one";
    s10_07_equal_priorities: "consumers of equal priority take turns";
    s10_11_prefetch_size: "prefetch_size other than zero closes the connection with 540";
    s10_11_prefetch_limits: "a consumer has no more unacked messages than its prefetch";
    s10_11_each_consumer: "the prefetch of a channel is each consumer's own";
    s10_11_not_existing_consumers: "basic.qos leaves the consumers of the channel as they were";
    s10_11_zero_is_unlimited: "prefetch 0 has no limit";
    s10_11_ack_multiple_frees: "ack multiple frees as much prefetch as it settles";
    s10_11_global: "basic.qos with global, and two consumers on the channel",
        differs("for each consumer", "shared", "RabbitMQ 4.3 reads global as per consumer; the older meaning is what clients that set it rely on");
    s10_12_no_ack_ignores_prefetch: "a consumer without acks is sent everything, whatever the prefetch";
    s10_13_redelivered_after_channel: "what a closed channel had unacked is delivered again, flagged redelivered";
    s10_13_redelivered_after_cut: "so is what a cut connection had unacked";
    s10_13_redelivered_after_requeue: "a requeued message is flagged redelivered, others are not";
    s10_13_redelivered_after_get: "a message got and requeued is flagged redelivered to consumers";
    s10_15_single_active: "one consumer gets everything, the others wait in order of registration";
    s10_15_single_active_by_close: "the next consumer takes over when the channel of the active one closes";
    s10_15_cancelled_keeps_unacked: "what a cancelled active consumer has unacked stays with its channel";
    s10_15_classic_ignores_priority: "a newcomer of higher priority does not take over on a classic queue";
    s10_15_quorum_priority: "a newcomer of higher priority takes over on a quorum queue, once the deliveries under way are settled";
    s10_16_turns: "consumers take turns, one delivery each";
    s10_16_blocked_is_skipped: "a consumer at its prefetch limit is passed over";
}

/// The bodies that have arrived on a channel, once no more come.
fn arrived(channel: &Channel) -> Step<Vec<String>> {
    let mut bodies = vec![];
    while let Some(event) = channel.event(Duration::from_millis(250))? {
        let Some(content) = event.content else { return fail(format!("no delivery: {:?}", event.method)) };
        bodies.push(String::from_utf8_lossy(&content.body).into_owned());
    }
    Ok(bodies)
}

fn strings(bodies: &[&str]) -> Vec<String> {
    bodies.iter().map(|&body| body.to_owned()).collect()
}

fn s10_07_priority_first(test: &Test) -> Step {
    each_type(|kind| {
        let (publisher, low, high) = (test.channel()?, test.channel()?, test.channel()?);
        let name = filled(test, &publisher, kind, &[])?;
        low.consume(&name, "low")?;
        high.consume_with(&Consume::new(&name, "high").with("x-priority", 5))?;
        for body in ["a", "b", "c", "d"] {
            publisher.put(&name, body);
        }
        equal("to the higher one", high.bodies(4)?, strings(&["a", "b", "c", "d"]))?;
        low.silent()
    })
}

fn s10_07_priority_blocked(test: &Test) -> Step {
    each_type(|kind| {
        let (publisher, low, high) = (test.channel()?, test.channel()?, test.channel()?);
        let name = filled(test, &publisher, kind, &[])?;
        low.consume_with(&Consume::new(&name, "low").with("x-priority", -1))?;
        high.qos(1, false)?;
        high.consume(&name, "high")?;
        for body in ["a", "b", "c"] {
            publisher.put(&name, body);
        }
        equal("to the higher one", high.delivery()?.body(), "a")?;
        equal("to the lower one", low.bodies(2)?, strings(&["b", "c"]))?;
        high.ack(1, false);
        high.sync()?;
        publisher.put(&name, "d");
        equal("to the higher one", high.delivery()?.body(), "d")
    })
}

fn s10_07_equal_priorities(test: &Test) -> Step {
    each_type(|kind| {
        let (publisher, one, two) = (test.channel()?, test.channel()?, test.channel()?);
        let name = filled(test, &publisher, kind, &[])?;
        for channel in [&one, &two] {
            channel.consume_with(&Consume::new(&name, "t").with("x-priority", 3))?;
        }
        for body in ["a", "b", "c", "d"] {
            publisher.put(&name, body);
        }
        equal("to the first", one.bodies(2)?, strings(&["a", "c"]))?;
        equal("to the second", two.bodies(2)?, strings(&["b", "d"]))
    })
}

fn s10_11_prefetch_size(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(60, 10).long(10).short(0).bits(&[false]));
    channel.connection.closes(540, id(60, 10), "NOT_IMPLEMENTED - prefetch_size!=0 (10)")
}

fn s10_11_prefetch_limits(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c"])?;
        channel.qos(2, false)?;
        channel.consume(&name, "t")?;
        equal("at first", arrived(&channel)?, strings(&["a", "b"]))?;
        channel.ack(1, false);
        equal("after an ack", arrived(&channel)?, strings(&["c"]))
    })
}

fn s10_11_each_consumer(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c", "d", "e"])?;
        channel.qos(2, false)?;
        channel.consume(&name, "one")?;
        equal("to the first", arrived(&channel)?, strings(&["a", "b"]))?;
        channel.consume(&name, "two")?;
        equal("to the second", arrived(&channel)?, strings(&["c", "d"]))
    })
}

fn s10_11_not_existing_consumers(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let (first, second) =
            (filled(test, &channel, kind, &["a", "b", "c"])?, test.queue(&format!("{kind}.second")));
        channel.declare(&Queue::of(kind, &second))?;
        fill(&channel, &second, &["d", "e", "f"])?;
        channel.qos(1, false)?;
        channel.consume(&first, "one")?;
        equal("to the first", arrived(&channel)?, strings(&["a"]))?;
        channel.qos(2, false)?;
        channel.silent()?;
        channel.consume(&second, "two")?;
        equal("to the second", arrived(&channel)?, strings(&["d", "e"]))
    })
}

fn s10_11_zero_is_unlimited(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c"])?;
        channel.qos(1, false)?;
        channel.qos(0, false)?;
        channel.consume(&name, "t")?;
        equal("arrived", arrived(&channel)?.len(), 3)
    })
}

fn s10_11_ack_multiple_frees(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c", "d", "e"])?;
        channel.qos(3, false)?;
        channel.consume(&name, "t")?;
        equal("at first", arrived(&channel)?.len(), 3)?;
        channel.ack(2, true);
        equal("after an ack of two", arrived(&channel)?, strings(&["d", "e"]))
    })
}

fn s10_11_global(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &["a", "b", "c", "d", "e"])?;
    channel.qos(2, true)?;
    channel.consume(&name, "one")?;
    equal("to the first", arrived(&channel)?, strings(&["a", "b"]))?;
    channel.consume(&name, "two")?;
    let second = arrived(&channel)?;
    test.answered(if second.is_empty() { "shared" } else { "for each consumer" });
    ensure(second.is_empty() || second == ["c", "d"], "neither a shared limit nor one for each consumer")
}

fn s10_12_no_ack_ignores_prefetch(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c"])?;
        channel.qos(1, false)?;
        channel.consume_with(&Consume::new(&name, "t").no_ack())?;
        equal("arrived", arrived(&channel)?, strings(&["a", "b", "c"]))
    })
}

/// Both messages of a queue are delivered again, in order and flagged.
fn again(channel: &Channel, queue: &str) -> Step {
    channel.consume(queue, "again")?;
    for expected in ["a", "b"] {
        let delivery = channel.delivery()?;
        equal("delivery", (delivery.body(), delivery.redelivered), (expected, true))?;
    }
    Ok(())
}

fn s10_13_redelivered_after_channel(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b"])?;
        channel.consume(&name, "t")?;
        channel.bodies(2)?;
        channel.close()?;
        again(&channel.connection.channel()?, &name)
    })
}

fn s10_13_redelivered_after_cut(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b"])?;
        channel.consume(&name, "t")?;
        channel.bodies(2)?;
        channel.connection.cut();
        again(&test.channel()?, &name)
    })
}

fn s10_13_redelivered_after_requeue(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a"])?;
        let first = channel.get(&name, false)?;
        equal("redelivered at first", first.map(|delivery| delivery.redelivered), Some(false))?;
        channel.reject(1, true);
        channel.becomes(&name, 1)?;
        channel.put(&name, "b");
        channel.becomes(&name, 2)?;
        let seen = [channel.take(&name)?, channel.take(&name)?];
        let seen: Vec<_> = seen.iter().map(|delivery| (delivery.body(), delivery.redelivered)).collect();
        equal("deliveries", seen, vec![("a", true), ("b", false)])
    })
}

fn s10_13_redelivered_after_get(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b"])?;
        channel.get(&name, false)?;
        channel.nack(1, false, true);
        channel.becomes(&name, 2)?;
        channel.consume(&name, "t")?;
        let seen = [channel.delivery()?, channel.delivery()?];
        let seen: Vec<_> = seen.iter().map(|delivery| (delivery.body(), delivery.redelivered)).collect();
        equal("deliveries", seen, vec![("a", true), ("b", false)])
    })
}

/// A single-active-consumer queue of this type.
fn single_active(test: &Test, channel: &Channel, kind: &str) -> Step<String> {
    let name = test.queue(kind);
    channel.declare(&Queue::of(kind, &name).with("x-single-active-consumer", true))?;
    Ok(name)
}

/// Only this channel is sent the message.
fn reaches(publisher: &Channel, queue: &str, body: &str, channel: &Channel, others: &[&Channel]) -> Step {
    publisher.put(queue, body);
    let delivery = channel.delivery()?;
    equal("body", delivery.body(), body)?;
    channel.ack(delivery.tag, false);
    others.iter().try_for_each(|other| other.silent())
}

fn s10_15_single_active(test: &Test) -> Step {
    each_type(|kind| {
        let publisher = test.channel()?;
        let name = single_active(test, &publisher, kind)?;
        let (one, two, three) = (test.channel()?, test.channel()?, test.channel()?);
        for channel in [&one, &two, &three] {
            channel.consume(&name, "t")?;
        }
        reaches(&publisher, &name, "a", &one, &[&two, &three])?;
        one.cancel("t")?;
        reaches(&publisher, &name, "b", &two, &[&one, &three])?;
        two.cancel("t")?;
        reaches(&publisher, &name, "c", &three, &[&one, &two])
    })
}

fn s10_15_single_active_by_close(test: &Test) -> Step {
    each_type(|kind| {
        let publisher = test.channel()?;
        let name = single_active(test, &publisher, kind)?;
        let (one, two) = (test.channel()?, test.channel()?);
        one.consume(&name, "t")?;
        two.consume(&name, "t")?;
        publisher.put(&name, "a");
        one.delivery()?;
        one.close()?;
        let delivery = two.delivery()?;
        equal("delivery", (delivery.body(), delivery.redelivered), ("a", true))
    })
}

fn s10_15_cancelled_keeps_unacked(test: &Test) -> Step {
    each_type(|kind| {
        let publisher = test.channel()?;
        let name = single_active(test, &publisher, kind)?;
        let (one, two) = (test.channel()?, test.channel()?);
        one.consume(&name, "t")?;
        two.consume(&name, "t")?;
        publisher.put(&name, "a");
        one.delivery()?;
        one.cancel("t")?;
        publisher.put(&name, "b");
        equal("body", two.delivery()?.body(), "b")?;
        one.ack(1, false);
        one.sync()?;
        one.connection.cut();
        two.silent()
    })
}

fn s10_15_classic_ignores_priority(test: &Test) -> Step {
    let publisher = test.channel()?;
    let name = single_active(test, &publisher, "classic")?;
    let (one, two) = (test.channel()?, test.channel()?);
    one.consume(&name, "t")?;
    two.consume_with(&Consume::new(&name, "t").with("x-priority", 9))?;
    reaches(&publisher, &name, "a", &one, &[&two])
}

fn s10_15_quorum_priority(test: &Test) -> Step {
    let publisher = test.channel()?;
    let name = single_active(test, &publisher, "quorum")?;
    let (one, two) = (test.channel()?, test.channel()?);
    one.qos(2, false)?;
    one.consume(&name, "t")?;
    publisher.put(&name, "a");
    equal("body", one.delivery()?.body(), "a")?;
    two.consume_with(&Consume::new(&name, "t").with("x-priority", 9))?;
    publisher.put(&name, "b");
    one.silent()?;
    two.silent()?;
    one.ack(1, false);
    equal("body", two.delivery()?.body(), "b")?;
    one.silent()
}

fn s10_16_turns(test: &Test) -> Step {
    each_type(|kind| {
        let publisher = test.channel()?;
        let name = filled(test, &publisher, kind, &[])?;
        let consumers = [test.channel()?, test.channel()?, test.channel()?];
        for channel in &consumers {
            channel.consume_with(&Consume::new(&name, "t").no_ack())?;
        }
        for body in ["a", "b", "c", "d", "e", "f"] {
            publisher.put(&name, body);
        }
        for (channel, expected) in consumers.iter().zip([["a", "d"], ["b", "e"], ["c", "f"]]) {
            equal("its turns", channel.bodies(2)?, strings(&expected))?;
        }
        Ok(())
    })
}

fn s10_16_blocked_is_skipped(test: &Test) -> Step {
    each_type(|kind| {
        let publisher = test.channel()?;
        let name = filled(test, &publisher, kind, &[])?;
        let (one, two) = (test.channel()?, test.channel()?);
        one.qos(1, false)?;
        one.consume(&name, "t")?;
        two.consume(&name, "t")?;
        for body in ["a", "b", "c", "d"] {
            publisher.put(&name, body);
        }
        equal("to the limited one", arrived(&one)?, strings(&["a"]))?;
        equal("to the other", arrived(&two)?, strings(&["b", "c", "d"]))
    })
}
