//! Message priorities: the order of delivery, and which messages a full priority queue drops (semantics 12.3).

use super::Dying;
use crate::channel::Channel;
use crate::entity::{Message, Queue};
use crate::outcome::{Step, equal};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::Properties;

cases! {
    s12_03_priority_order: "a priority queue delivers higher priorities first, and in order within one";
    s12_03_priority_above: "a priority above x-max-priority counts as the highest";
    s12_03_priority_none: "a message without priority has priority 0";
    s12_03_priority_kept: "the priority of a message is delivered as it was published";
    s12_03_priority_ignored: "a classic queue without x-max-priority ignores priorities";
    s12_03_priority_requeue: "a requeued message goes back to its place among those of its priority";
    s12_03_priority_quorum: "a quorum queue delivers higher priorities first, and in order within one";
    s12_03_priority_quorum_above: "a priority above 31 counts as 31 on a quorum queue";
    s12_03_priority_quorum_none: "a message without priority has priority 4 on a quorum queue";
    s12_03_priority_drop_head: "a full priority queue drops what it would deliver next";
    s12_03_priority_drop_quorum: "so does a full quorum queue";
    s12_03_priority_drop_newest: "a full priority queue drops the newest message, if its priority is the highest";
    s12_01_priority_expiry: "what has expired behind a message of higher priority in a classic queue",
        differs("stays", "leaves", "Leveret expires messages wherever they lie in the queue, so that they take no room");
    s12_01_priority_expiry_quorum: "messages of a quorum queue expire at the head of each priority";
}

fn put(channel: &Channel, queue: &str, body: &str, priority: u8) {
    channel.publish(&Message::new("", queue, body).with(Properties::new().priority(priority)));
}

fn s12_03_priority_order(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-max-priority", 5))?;
    for (body, priority) in [("a", 1), ("b", 3), ("c", 0), ("d", 3), ("e", 5), ("f", 1)] {
        put(&channel, &name, body, priority);
    }
    takes(&channel, &name, &["e", "b", "d", "a", "f", "c"])
}

fn takes(channel: &Channel, queue: &str, bodies: &[&str]) -> Step {
    channel.becomes(queue, u32::try_from(bodies.len()).unwrap_or(u32::MAX))?;
    let mut seen = vec![];
    for _ in bodies {
        seen.push(channel.take(queue)?.body().to_owned());
    }
    equal("order", seen, bodies.iter().map(|&body| body.to_owned()).collect())
}

fn s12_03_priority_above(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-max-priority", 5))?;
    for (body, priority) in [("a", 5), ("b", 200), ("c", 5), ("d", 6)] {
        put(&channel, &name, body, priority);
    }
    takes(&channel, &name, &["a", "b", "c", "d"])
}

fn s12_03_priority_none(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-max-priority", 5))?;
    put(&channel, &name, "a", 0);
    channel.put(&name, "b");
    put(&channel, &name, "c", 0);
    put(&channel, &name, "d", 1);
    takes(&channel, &name, &["d", "a", "b", "c"])
}

fn s12_03_priority_kept(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-max-priority", 5))?;
    put(&channel, &name, "a", 200);
    equal("priority", channel.take_soon(&name)?.properties()?.priority(), Some(200))
}

fn s12_03_priority_ignored(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    put(&channel, &name, "a", 0);
    put(&channel, &name, "b", 9);
    takes(&channel, &name, &["a", "b"])
}

fn s12_03_priority_requeue(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-max-priority", 5))?;
    for (body, priority) in [("a", 2), ("b", 2), ("c", 4)] {
        put(&channel, &name, body, priority);
    }
    channel.becomes(&name, 3)?;
    for _ in 0..2 {
        channel.get(&name, false)?;
    }
    put(&channel, &name, "d", 4);
    channel.becomes(&name, 2)?;
    channel.nack(2, true, true);
    takes(&channel, &name, &["c", "d", "a", "b"])
}

fn s12_03_priority_quorum(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::of("quorum", &name))?;
    for (body, priority) in [("a", 0), ("b", 5), ("c", 4), ("d", 9), ("e", 5), ("f", 30), ("g", 1)] {
        put(&channel, &name, body, priority);
    }
    takes(&channel, &name, &["f", "d", "b", "e", "c", "g", "a"])
}

fn s12_03_priority_quorum_above(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::of("quorum", &name))?;
    for (body, priority) in [("a", 30), ("b", 31), ("c", 32), ("d", 31), ("e", 255)] {
        put(&channel, &name, body, priority);
    }
    takes(&channel, &name, &["b", "c", "d", "e", "a"])
}

fn s12_03_priority_quorum_none(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::of("quorum", &name))?;
    put(&channel, &name, "a", 3);
    put(&channel, &name, "b", 4);
    channel.put(&name, "c");
    put(&channel, &name, "d", 4);
    put(&channel, &name, "e", 5);
    takes(&channel, &name, &["e", "b", "c", "d", "a"])
}

/// Of three messages and one too many, the oldest of the highest priority goes.
fn drops_highest(test: &Test, kind: &str, queue: impl FnOnce(Queue) -> Queue) -> Step {
    let dying = Dying::new(test, kind, queue)?;
    let channel = &dying.channel;
    for (body, priority) in [("a", 1), ("b", 5), ("c", 5), ("d", 1)] {
        put(channel, &dying.source, body, priority);
    }
    equal("dead letter", channel.take_soon(&dying.target)?.body(), "b")?;
    takes(channel, &dying.source, &["c", "a", "d"])
}

fn s12_03_priority_drop_head(test: &Test) -> Step {
    drops_highest(test, "classic", |queue| queue.with("x-max-priority", 5).with("x-max-length", 3))
}

fn s12_03_priority_drop_quorum(test: &Test) -> Step {
    drops_highest(test, "quorum", |queue| queue.with("x-max-length", 3))
}

fn s12_03_priority_drop_newest(test: &Test) -> Step {
    let dying = Dying::new(test, "classic", |queue| queue.with("x-max-priority", 5).with("x-max-length", 2))?;
    let channel = &dying.channel;
    for (body, priority) in [("a", 1), ("b", 1), ("c", 4)] {
        put(channel, &dying.source, body, priority);
    }
    equal("dead letter", channel.take_soon(&dying.target)?.body(), "c")?;
    takes(channel, &dying.source, &["a", "b"])
}

/// What has become of an expired message behind one of a higher priority.
fn expired_below(test: &Test, kind: &str, queue: impl FnOnce(Queue) -> Queue) -> Step<&'static str> {
    let dying = Dying::new(test, kind, queue)?;
    let channel = &dying.channel;
    put(channel, &dying.source, "a", 4);
    let expiring = Properties::new().priority(1).expiration("50");
    channel.publish(&Message::new("", &dying.source, "b").with(expiring));
    std::thread::sleep(std::time::Duration::from_millis(700));
    let ready = channel.count(&dying.source)?.0;
    equal("body", channel.take(&dying.source)?.body(), "a")?;
    equal("dead letter", channel.take_soon(&dying.target)?.body(), "b")?;
    Ok(if ready == 2 { "stays" } else { "leaves" })
}

fn s12_01_priority_expiry(test: &Test) -> Step {
    test.answered(expired_below(test, "classic", |queue| queue.with("x-max-priority", 5))?);
    Ok(())
}

fn s12_01_priority_expiry_quorum(test: &Test) -> Step {
    equal("the expired message", expired_below(test, "quorum", |queue| queue)?, "leaves")
}
