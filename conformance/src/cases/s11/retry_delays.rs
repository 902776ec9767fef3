//! Retries by a list of delays, and of what is rejected without requeue (semantics 11.10): Leveret's own. RabbitMQ keeps the
//! arguments and does not look at them. The retries that both have are in `retries`.

use std::time::{Duration, Instant};

use super::retries::not_before;
use super::waiting::{dying, reason};
use crate::channel::Channel;
use crate::connection::{PATIENCE, check_close};
use crate::entity::Queue;
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::scene::{each_type, fill};
use crate::test::Test;
use crate::wire::{Value, id};

cases! {
    s11_10_list: "x-retry-delays with a list: what comes back waits for the next delay of it",
        differs("at once", "waits", "RabbitMQ keeps the argument and does not look at it; Leveret has lists of delays");
    s11_10_exponential: "x-retry-delays with delays that grow",
        differs("at once", "waits", "RabbitMQ keeps the argument and does not look at it; Leveret has lists of delays");
    s11_10_rocketmq: "x-retry-delays with the word for RocketMQ's levels",
        differs("at once", "waits", "RabbitMQ keeps the argument and does not look at it; Leveret has lists of delays");
    s11_10_list_ends: "what is nacked once more than x-retry-delays has delays",
        differs("comes back", "dead letter", "a list is for as many returns as it has delays, unless x-delivery-limit says otherwise");
    s11_10_list_and_limit: "with x-delivery-limit besides x-retry-delays, nacks count towards it",
        differs("comes back", "dead letter", "a list is for as many returns as it has delays, unless x-delivery-limit says otherwise");
    s11_10_rejected: "x-retry-rejected: what is rejected without requeue, with two delays",
        differs("1 delivery", "3 deliveries", "RabbitMQ passes over the argument; with Leveret frameworks that reject need no topology of retry queues");
    s11_10_wrong_delays: "x-retry-delays that are no delays",
        differs("kept", "refused", "Leveret says what is wrong with the arguments that it knows");
    s11_10_wrong_jitter: "x-retry-jitter that is no percent up to 50",
        differs("kept", "refused", "Leveret says what is wrong with the arguments that it knows");
    s11_10_wrong_rejected: "x-retry-rejected that is no bool",
        differs("kept", "refused", "Leveret says what is wrong with the arguments that it knows");
}

/// A queue with these delays and a message that was nacked: whether it waits.
fn waits(test: &Test, delays: &str) -> Step {
    each_type(|kind| {
        let (channel, name) = (test.channel()?, test.queue(kind));
        channel.declare(&Queue::of(kind, &name).with("x-retry-delays", delays))?;
        fill(&channel, &name, &["a"])?;
        channel.nack(channel.get_soon(&name, false)?.tag, false, true);
        let answer = if is_ready(&channel, &name)? { "at once" } else { "waits" };
        test.answered(answer);
        equal("purged", channel.purge(&name)?, u32::from(answer == "waits"))
    })
}

/// Whether something is ready within a second; it is taken.
fn is_ready(channel: &Channel, name: &str) -> Step<bool> {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(1) {
        if channel.get(name, true)?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

fn s11_10_list(test: &Test) -> Step {
    waits(test, "10m, 1h")?;
    if test.answer() == Some("at once") {
        return Ok(());
    }
    each_type(|kind| {
        let (channel, name) = (test.channel()?, test.queue(&format!("{kind}.short")));
        channel.declare(
            &Queue::of(kind, &name).with("x-retry-delays", "100ms,400ms").with("x-delivery-limit", 9),
        )?;
        fill(&channel, &name, &["a"])?;
        let mut tag = channel.get_soon(&name, false)?.tag;
        // The last one holds for all that come after it, and a nack counts as a reject does.
        for (number, least) in [100, 400, 400].into_iter().enumerate() {
            let since = Instant::now();
            if number == 1 {
                channel.reject(tag, true);
            } else {
                channel.nack(tag, false, true);
            }
            tag = channel.get_soon(&name, false)?.tag;
            not_before(since.elapsed(), least)?;
        }
        Ok(())
    })
}

fn s11_10_exponential(test: &Test) -> Step {
    waits(test, "exponential:10m:1.5:1d")
}

fn s11_10_rocketmq(test: &Test) -> Step {
    waits(test, "rocketmq")
}

/// Nacks a message until it is dead, at the most so often: the deliveries, and why it died.
fn nacked_to_death(
    test: &Test,
    kind: &str,
    most: usize,
    arguments: fn(Queue) -> Queue,
) -> Step<(usize, Option<String>)> {
    let (channel, name) = (test.channel()?, test.queue(kind));
    let target = dying(test, &channel, arguments(Queue::of(kind, &name)))?;
    fill(&channel, &name, &["a"])?;
    for deliveries in 1..=most {
        let since = Instant::now();
        let tag = loop {
            if let Some(delivery) = channel.get(&name, false)? {
                break delivery.tag;
            }
            if let Some(dead) = channel.get(&target, true)? {
                return Ok((deliveries - 1, Some(reason(&dead)?)));
            }
            if since.elapsed() > PATIENCE {
                return fail("it is gone");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        channel.nack(tag, false, true);
    }
    Ok((most, None))
}

fn ends(test: &Test, kinds: &[&str], deliveries: usize, arguments: fn(Queue) -> Queue) -> Step {
    for kind in kinds {
        let seen = nacked_to_death(test, kind, 20, arguments)?;
        if seen == (20, None) {
            test.answered("comes back");
            return Ok(());
        }
        test.answered("dead letter");
        equal(kind, seen, (deliveries, Some("delivery_limit".to_owned())))?;
    }
    Ok(())
}

fn s11_10_list_ends(test: &Test) -> Step {
    ends(test, &["classic", "quorum"], 3, |queue| queue.with("x-retry-delays", "10ms,20ms"))
}

fn s11_10_list_and_limit(test: &Test) -> Step {
    // RabbitMQ refuses the limit of a classic queue.
    ends(test, &["quorum"], 6, |queue| queue.with("x-retry-delays", "10ms,20ms").with("x-delivery-limit", 5))
}

fn s11_10_rejected(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    let queue = Queue::of("quorum", &name).with("x-retry-delays", "10ms,20ms").with("x-retry-rejected", true);
    let target = dying(test, &channel, queue)?;
    fill(&channel, &name, &["a"])?;
    channel.consume(&name, "t")?;
    let (since, mut deliveries) = (Instant::now(), 0);
    let dead = loop {
        while let Some(event) = channel.event(Duration::from_millis(100))? {
            deliveries += 1;
            channel.reject(crate::channel::delivery(event)?.tag, false);
        }
        if let Some(dead) = channel.get(&target, true)? {
            break dead;
        }
        if since.elapsed() > PATIENCE {
            return fail(format!("after {deliveries} deliveries it is neither there nor dead"));
        }
    };
    equal("reason", reason(&dead)?.as_str(), "rejected")?;
    match deliveries {
        1 => test.answered("1 delivery"),
        3 => test.answered("3 deliveries"),
        other => return fail(format!("{other} deliveries")),
    }
    Ok(())
}

/// Whether an argument is refused, with this reason, of either type of queue.
fn refused(test: &Test, argument: &str, values: &[&dyn Value], reason: &str) -> Step {
    for (number, value) in values.iter().enumerate() {
        each_type(|kind| {
            let (channel, name) = (test.channel()?, test.queue(&format!("{kind}{number}")));
            channel.send(Queue::of(kind, &name).raw(argument, &value.encode()).payload());
            let Some(answer) = channel.event(PATIENCE)? else { return fail("no answer") };
            if answer.id == id(50, 11) {
                test.answered("kept");
                return Ok(());
            }
            test.answered("refused");
            let queue = test.queue_text(&name);
            let text = format!("PRECONDITION_FAILED - invalid arg '{argument}' for {queue}: {reason}");
            check_close(&answer, id(20, 40), 406, id(50, 10), &text)
        })?;
    }
    Ok(())
}

fn s11_10_wrong_delays(test: &Test) -> Step {
    let values: [&dyn Value; 6] = [&"", &"10", &"1s,,2s", &"31d", &"exponential:2s:2:1s", &10];
    refused(test, "x-retry-delays", &values, "\"expected delays such as 1s,30s,5m\"")
}

fn s11_10_wrong_jitter(test: &Test) -> Step {
    refused(test, "x-retry-jitter", &[&-1, &51], "\"expected percent, 0 to 50\"")
}

fn s11_10_wrong_rejected(test: &Test) -> Step {
    refused(test, "x-retry-rejected", &[&"yes", &1], "*")
}
