//! Messages that expire (semantics 12.1, 12.2). What the dead letter says of it is in `deaths`.

use std::thread::sleep;
use std::time::Duration;

use super::Dying;
use crate::channel::Channel;
use crate::entity::{Consume, Message, Queue};
use crate::outcome::{Step, ensure, equal};
use crate::runner::cases;
use crate::scene::each_type;
use crate::test::Test;
use crate::wire::Properties;

cases! {
    s12_01_queue_ttl: "a message expires after the x-message-ttl of its queue";
    s12_01_expiration: "a message expires after its own expiration";
    s12_01_shorter_expiration: "of both, the shorter one counts: that of the message";
    s12_01_shorter_queue_ttl: "of both, the shorter one counts: that of the queue";
    s12_01_order: "messages that expire together stay in order";
    s12_01_never_delivered: "what has expired behind another message is not delivered";
    s12_01_behind_another: "what has expired behind a message that lives longer",
        differs("stays", "leaves", "Leveret expires messages wherever they lie in the queue, so that they take no room");
    s12_01_unacked_live: "an unacked message does not expire";
    s12_01_requeue_keeps_expiry: "a requeued message keeps its time: it expires at once when that is over";
    s12_01_requeue_in_time: "a requeued message whose time is not over is delivered again";
    s12_01_ttl_of_arrival: "the time in a queue begins with the arrival in it";
    s12_02_zero_to_consumer: "a message with a TTL of 0 goes to a consumer that is ready";
    s12_02_zero_without_consumer: "a message with a TTL of 0 expires where no consumer is ready";
    s12_02_zero_at_once: "a message with a TTL of 0 is neither found, counted nor consumed by what comes right behind it";
    s12_02_zero_blocked_consumer: "a message with a TTL of 0 expires where the consumer is at its prefetch limit";
}

fn put_expiring(channel: &Channel, queue: &str, body: &str, expiration: &str) {
    channel.publish(&Message::new("", queue, body).with(Properties::new().expiration(expiration)));
}

fn s12_01_queue_ttl(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-message-ttl", 200))?;
        dying.channel.put(&dying.source, "a");
        dying.channel.becomes(&dying.source, 1)?;
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")?;
        dying.channel.empty(&dying.source)
    })
}

fn s12_01_expiration(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        put_expiring(&dying.channel, &dying.source, "a", "200");
        dying.channel.put(&dying.source, "b");
        dying.channel.becomes(&dying.source, 2)?;
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")?;
        equal("left", dying.channel.take(&dying.source)?.body(), "b")
    })
}

fn s12_01_shorter_expiration(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-message-ttl", 600_000))?;
        put_expiring(&dying.channel, &dying.source, "a", "50");
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")
    })
}

fn s12_01_shorter_queue_ttl(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-message-ttl", 50))?;
        put_expiring(&dying.channel, &dying.source, "a", "600000");
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")
    })
}

fn s12_01_order(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-message-ttl", 100))?;
        for body in ["a", "b", "c"] {
            dying.channel.put(&dying.source, body);
        }
        for body in ["a", "b", "c"] {
            equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), body)?;
        }
        Ok(())
    })
}

fn s12_01_never_delivered(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        dying.channel.put(&dying.source, "a");
        put_expiring(&dying.channel, &dying.source, "b", "50");
        dying.channel.put(&dying.source, "c");
        sleep(Duration::from_millis(500));
        dying.channel.consume(&dying.source, "t")?;
        equal("delivered", dying.channel.bodies(2)?, vec!["a".to_owned(), "c".to_owned()])?;
        dying.channel.silent()?;
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "b")
    })
}

fn s12_01_behind_another(test: &Test) -> Step {
    let mut ready = vec![];
    for kind in ["classic", "quorum"] {
        let dying = Dying::new(test, kind, |queue| queue)?;
        dying.channel.put(&dying.source, "a");
        put_expiring(&dying.channel, &dying.source, "b", "50");
        dying.channel.put(&dying.source, "c");
        sleep(Duration::from_millis(700));
        ready.push(dying.channel.count(&dying.source)?.0);
    }
    test.answered(if ready == [3, 3] { "stays" } else { "leaves" });
    ensure(ready == [3, 3] || ready == [2, 2], &format!("ready messages: {ready:?}"))
}

fn s12_01_unacked_live(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-message-ttl", 300))?;
        dying.channel.consume(&dying.source, "t")?;
        dying.channel.put(&dying.source, "a");
        let delivery = dying.channel.delivery()?;
        sleep(Duration::from_millis(600));
        dying.channel.empty(&dying.target)?;
        dying.channel.ack(delivery.tag, false);
        dying.channel.sync()?;
        dying.channel.silent()?;
        dying.channel.empty(&dying.target)
    })
}

fn s12_01_requeue_keeps_expiry(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-message-ttl", 300))?;
        dying.channel.qos(1, false)?;
        dying.channel.consume(&dying.source, "t")?;
        dying.channel.put(&dying.source, "a");
        let delivery = dying.channel.delivery()?;
        dying.channel.cancel("t")?;
        sleep(Duration::from_millis(600));
        dying.channel.nack(delivery.tag, false, true);
        let since = std::time::Instant::now();
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")?;
        ensure(since.elapsed() < Duration::from_millis(250), "it was given its time anew")
    })
}

fn s12_01_requeue_in_time(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-message-ttl", 60_000))?;
        dying.channel.consume(&dying.source, "t")?;
        dying.channel.put(&dying.source, "a");
        let delivery = dying.channel.delivery()?;
        dying.channel.nack(delivery.tag, false, true);
        equal("delivered again", dying.channel.delivery()?.redelivered, true)
    })
}

fn s12_01_ttl_of_arrival(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-message-ttl", 300))?;
        let next = test.queue(&format!("{kind}.next"));
        dying.channel.declare(&Queue::of(kind, &next).with("x-message-ttl", 60_000))?;
        dying.channel.bind(&next, &dying.exchange, "")?;
        dying.channel.put(&dying.source, "a");
        equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")?;
        dying.channel.becomes(&next, 1)
    })
}

/// A queue with a TTL of 0, and a queue to which the message says so.
fn zeros(test: &Test, kind: &str, run: impl Fn(&Dying, &str) -> Step) -> Step {
    run(
        &Dying::named(test, kind, &format!("{kind}.queue"), |queue| queue.with("x-message-ttl", 0))?,
        "60000",
    )?;
    run(&Dying::named(test, kind, &format!("{kind}.message"), |queue| queue)?, "0")
}

fn s12_02_zero_to_consumer(test: &Test) -> Step {
    each_type(|kind| {
        zeros(test, kind, |dying, expiration| {
            dying.channel.consume(&dying.source, "t")?;
            for body in ["a", "b"] {
                put_expiring(&dying.channel, &dying.source, body, expiration);
            }
            equal("delivered", dying.channel.bodies(2)?, vec!["a".to_owned(), "b".to_owned()])
        })
    })
}

fn s12_02_zero_without_consumer(test: &Test) -> Step {
    each_type(|kind| {
        zeros(test, kind, |dying, expiration| {
            put_expiring(&dying.channel, &dying.source, "a", expiration);
            equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "a")?;
            dying.channel.empty(&dying.source)
        })
    })
}

fn s12_02_zero_blocked_consumer(test: &Test) -> Step {
    each_type(|kind| {
        zeros(test, kind, |dying, expiration| {
            dying.channel.qos(1, false)?;
            dying.channel.consume_with(&Consume::new(&dying.source, "t"))?;
            for body in ["a", "b"] {
                put_expiring(&dying.channel, &dying.source, body, expiration);
            }
            equal("delivered", dying.channel.delivery()?.body(), "a")?;
            equal("dead letter", dying.channel.take_soon(&dying.target)?.body(), "b")
        })
    })
}

fn s12_02_zero_at_once(test: &Test) -> Step {
    let (channel, queue) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&queue))?;
    for round in 0..20 {
        put_expiring(&channel, &queue, "a", "0");
        channel.empty(&queue)?;
        put_expiring(&channel, &queue, "b", "0");
        equal("ready", channel.count(&queue)?.0, 0)?;
        put_expiring(&channel, &queue, "c", "0");
        let tag = format!("t{round}");
        channel.consume(&queue, &tag)?;
        channel.cancel(&tag)?;
    }
    channel.silent()
}
