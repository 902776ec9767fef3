//! Queues that are full (semantics 12.3). Priority queues that are full are in `priority`.

use super::Dying;
use crate::channel::Channel;
use crate::entity::{Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::scene::each_type;
use crate::test::Test;
use crate::wire::Properties;

cases! {
    s12_03_drop_head: "a queue beyond x-max-length drops its oldest messages";
    s12_03_drop_head_bytes: "a queue beyond x-max-length-bytes drops its oldest messages";
    s12_03_drop_head_dead_letters: "what a full queue drops are dead letters";
    s12_03_too_large: "a message larger than x-max-length-bytes drops all there is, itself too";
    s12_03_unacked_do_not_count: "unacked messages do not count to the length of a classic queue";
    s12_03_requeue_beyond: "a requeued message beyond x-max-length is dropped";
    s12_03_zero_to_consumer: "x-max-length 0 lets messages through to a consumer that is ready";
    s12_03_zero_without_consumer: "x-max-length 0 drops messages where no consumer is ready";
    s12_03_zero_at_once: "what x-max-length 0 drops is neither found nor counted by what comes right behind it";
    s12_03_requeue_at_once: "a requeue beyond x-max-length is not counted by a declare right behind it";
    s12_03_reject_publish: "with reject-publish the newest message is nacked";
    s12_03_reject_publish_bytes: "reject-publish looks at x-max-length-bytes too";
    s12_03_reject_publish_room: "with reject-publish messages are taken again once there is room";
    s12_03_reject_publish_unconfirmed: "with reject-publish and without confirms the newest message is lost silently";
    s12_03_reject_publish_fanout: "a message that one of two queues rejects is nacked, and is in the other one";
    s12_03_reject_publish_dlx: "with reject-publish-dlx the newest message is nacked and is a dead letter";
    s12_03_quorum_reject_publish: "a full quorum queue with reject-publish nacks in the end";
    s12_03_quorum_reject_publish_dlx: "a quorum queue takes reject-publish-dlx for drop-head";
}

fn put_all(channel: &Channel, queue: &str, bodies: &[&str]) {
    for body in bodies {
        channel.put(queue, body);
    }
}

/// The queue ends with these messages.
fn left(channel: &Channel, queue: &str, bodies: &[&str]) -> Step {
    channel.becomes(queue, u32::try_from(bodies.len()).unwrap_or(u32::MAX))?;
    for &body in bodies {
        equal("left", channel.take(queue)?.body(), body)?;
    }
    channel.empty(queue)
}

fn s12_03_drop_head(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-max-length", 2))?;
        dying.channel.confirm_select()?;
        put_all(&dying.channel, &dying.source, &["a", "b", "c", "d"]);
        dying.channel.confirmed(1, 4)?;
        left(&dying.channel, &dying.source, &["c", "d"])
    })
}

fn s12_03_drop_head_bytes(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-max-length-bytes", 2500))?;
        // Quorum queues count some bytes more than those of the bodies.
        let bodies = ["a", "b", "c"].map(|letter| letter.repeat(1000));
        put_all(&dying.channel, &dying.source, &bodies.each_ref().map(String::as_str));
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), bodies[0].as_str())?;
        left(&dying.channel, &dying.source, &[&bodies[1], &bodies[2]])
    })
}

fn s12_03_drop_head_dead_letters(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-max-length", 1))?;
        put_all(&dying.channel, &dying.source, &["a", "b", "c"]);
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")?;
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "b")?;
        left(&dying.channel, &dying.source, &["c"])
    })
}

fn s12_03_too_large(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-max-length-bytes", 10))?;
        put_all(&dying.channel, &dying.source, &["aaaa", "bbbbbbbbbbb"]);
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "aaaa")?;
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "bbbbbbbbbbb")?;
        left(&dying.channel, &dying.source, &[])
    })
}

fn s12_03_unacked_do_not_count(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-max-length", 2))?;
        put_all(&dying.channel, &dying.source, &["a", "b"]);
        dying.channel.becomes(&dying.source, 2)?;
        ensure(dying.channel.get(&dying.source, false)?.is_some(), "get-empty")?;
        put_all(&dying.channel, &dying.source, &["c"]);
        left(&dying.channel, &dying.source, &["b", "c"])?;
        dying.channel.empty(&dying.target)
    })
}

fn s12_03_requeue_beyond(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-max-length", 1))?;
        put_all(&dying.channel, &dying.source, &["a"]);
        dying.channel.becomes(&dying.source, 1)?;
        ensure(dying.channel.get(&dying.source, false)?.is_some(), "get-empty")?;
        put_all(&dying.channel, &dying.source, &["b"]);
        dying.channel.becomes(&dying.source, 1)?;
        dying.channel.nack(1, false, true);
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")?;
        left(&dying.channel, &dying.source, &["b"])
    })
}

fn s12_03_zero_to_consumer(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-max-length", 0))?;
        dying.channel.consume(&dying.source, "t")?;
        put_all(&dying.channel, &dying.source, &["a", "b"]);
        equal("delivered", dying.channel.bodies(2)?, vec!["a".to_owned(), "b".to_owned()])
    })
}

fn s12_03_zero_without_consumer(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-max-length", 0))?;
        put_all(&dying.channel, &dying.source, &["a"]);
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")?;
        dying.channel.empty(&dying.source)
    })
}

/// A queue with confirms on its channel that rejects what is beyond a limit.
fn rejecting(test: &Test, limit: &str, value: i32, overflow: &str) -> Step<Dying> {
    let dying = Dying::new(test, "classic", |queue| queue.with(limit, value).with("x-overflow", overflow))?;
    dying.channel.confirm_select()?;
    Ok(dying)
}

fn s12_03_reject_publish(test: &Test) -> Step {
    let dying = rejecting(test, "x-max-length", 2, "reject-publish")?;
    put_all(&dying.channel, &dying.source, &["a", "b", "c", "d"]);
    equal("confirms", dying.channel.confirms(1, 4)?, (vec![1, 2], vec![3, 4]))?;
    left(&dying.channel, &dying.source, &["a", "b"])?;
    dying.channel.empty(&dying.target)
}

fn s12_03_reject_publish_bytes(test: &Test) -> Step {
    let dying = rejecting(test, "x-max-length-bytes", 4, "reject-publish")?;
    put_all(&dying.channel, &dying.source, &["aa", "bb", "cc"]);
    equal("confirms", dying.channel.confirms(1, 3)?, (vec![1, 2], vec![3]))
}

fn s12_03_reject_publish_room(test: &Test) -> Step {
    let dying = rejecting(test, "x-max-length", 1, "reject-publish")?;
    put_all(&dying.channel, &dying.source, &["a", "b"]);
    equal("confirms", dying.channel.confirms(1, 2)?, (vec![1], vec![2]))?;
    equal("body", dying.channel.take(&dying.source)?.body(), "a")?;
    put_all(&dying.channel, &dying.source, &["c"]);
    equal("confirms", dying.channel.confirms(3, 3)?, (vec![3], vec![]))
}

fn s12_03_reject_publish_unconfirmed(test: &Test) -> Step {
    let dying = Dying::new(test, "classic", |queue| {
        queue.with("x-max-length", 1).with("x-overflow", "reject-publish")
    })?;
    put_all(&dying.channel, &dying.source, &["a", "b"]);
    dying.channel.silent()?;
    left(&dying.channel, &dying.source, &["a"])
}

fn s12_03_reject_publish_fanout(test: &Test) -> Step {
    let dying = rejecting(test, "x-max-length", 1, "reject-publish")?;
    dying.channel.bind(&dying.source, &dying.exchange, "")?;
    for body in ["a", "b"] {
        dying.channel.publish(&Message::new(&dying.exchange, "", body).with(Properties::persistent()));
    }
    equal("confirms", dying.channel.confirms(1, 2)?, (vec![1], vec![2]))?;
    left(&dying.channel, &dying.target, &["a", "b"])?;
    left(&dying.channel, &dying.source, &["a"])
}

fn s12_03_reject_publish_dlx(test: &Test) -> Step {
    let dying = rejecting(test, "x-max-length", 1, "reject-publish-dlx")?;
    put_all(&dying.channel, &dying.source, &["a", "b"]);
    equal("confirms", dying.channel.confirms(1, 2)?, (vec![1], vec![2]))?;
    let dead = dying.channel.take_soon(&dying.target)?;
    equal("dead letter", dead.body(), "b")?;
    equal("reason", super::header(&dead, "x-first-death-reason")?.as_str(), "maxlen")?;
    left(&dying.channel, &dying.source, &["a"])
}

fn s12_03_quorum_reject_publish(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    let queue = Queue::of("quorum", &name).with("x-max-length", 1).with("x-overflow", "reject-publish");
    channel.declare(&queue)?;
    channel.confirm_select()?;
    // A quorum queue tells its publishers that it is full a little later than it is.
    for number in 1..100 {
        channel.put(&name, "a");
        let (_, nacked) = channel.confirms(number, number)?;
        if !nacked.is_empty() {
            return ensure(number > 1, "the first message was rejected");
        }
    }
    fail("no message was rejected")
}

fn s12_03_quorum_reject_publish_dlx(test: &Test) -> Step {
    let dying = Dying::new(test, "quorum", |queue| {
        queue.with("x-max-length", 1).with("x-overflow", "reject-publish-dlx")
    })?;
    dying.channel.confirm_select()?;
    put_all(&dying.channel, &dying.source, &["a", "b", "c"]);
    dying.channel.confirmed(1, 3)?;
    equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")?;
    equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "b")?;
    left(&dying.channel, &dying.source, &["c"])
}

fn s12_03_zero_at_once(test: &Test) -> Step {
    let (channel, queue) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&queue).with("x-max-length", 0))?;
    for _ in 0..20 {
        channel.put(&queue, "a");
        channel.empty(&queue)?;
        channel.put(&queue, "b");
        equal("ready", channel.count(&queue)?.0, 0)?;
        channel.put(&queue, "c");
        equal("purged", channel.purge(&queue)?, 0)?;
    }
    Ok(())
}

fn s12_03_requeue_at_once(test: &Test) -> Step {
    let (channel, queue) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&queue).with("x-max-length", 1))?;
    for _ in 0..20 {
        channel.put(&queue, "a");
        let Some(delivery) = channel.get(&queue, false)? else { return fail("nothing to requeue") };
        channel.put(&queue, "b");
        channel.reject(delivery.tag, true);
        // RabbitMQ may count before it has carried out what came before.
        ensure(channel.count(&queue)?.0 <= 1, "it is counted")?;
        channel.purge(&queue)?;
    }
    Ok(())
}
