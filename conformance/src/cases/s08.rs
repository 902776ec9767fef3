//! Section 8: deleting and purging queues, and queues that expire.

use std::thread::sleep;
use std::time::Duration;

use leveret_codec::method::amqp::{AMQPClass, basic};

use crate::channel::{Channel, delete};
use crate::connection::{PATIENCE, check_close};
use crate::entity::{Consume, Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, id};

cases! {
    s8_01_delete_missing: "the delete of a missing queue is answered with delete-ok and 0";
    s8_01_count: "delete-ok counts the ready messages, not the unacked ones";
    s8_01_nowait_is_silent: "a delete with no-wait is not answered";
    s8_01_if_unused: "if-unused on a queue with consumers is 406 and leaves it";
    s8_01_if_unused_without_consumers: "if-unused deletes a queue without consumers, its messages with it";
    s8_01_if_empty: "if-empty on a queue with ready messages is 406 and leaves it";
    s8_01_if_empty_unacked: "if-empty does not mind unacked messages";
    s8_01_if_empty_first: "if-empty is looked at before if-unused";
    s8_01_quorum_if_unused: "if-unused on a quorum queue",
        differs("540", "406", "Leveret tells whether a quorum queue is used");
    s8_01_quorum_if_empty: "if-empty on a quorum queue",
        differs("540", "406", "Leveret tells whether a quorum queue is empty");
    s8_03_consumers_are_told: "consumers of a deleted queue get basic.cancel";
    s8_03_consumers_untold: "clients without consumer_cancel_notify are not told";
    s8_03_ack_afterwards: "acks of messages that went with their queue are no error";
    s8_03_not_dead_lettered: "the messages of a deleted queue are not dead-lettered";
    s8_03_confirmed: "what was published to a queue deleted at once is confirmed";
    s8_03_made_anew: "a queue declared anew is empty and has no consumers";
    s8_04_purge: "a purge takes the ready messages and counts them";
    s8_04_purge_leaves_unacked: "a purge leaves unacked messages, which come back";
    s8_04_purge_missing: "a purge of a missing queue is 404 at 50.30";
    s8_04_purge_nowait: "a purge with no-wait is not answered";
    s8_04_purge_not_dead_lettered: "purged messages are not dead-lettered";
    s8_05_expires: "a queue without use goes after x-expires, with its messages";
    s8_05_consumers_hold: "a queue with a consumer does not expire, and does after it went";
    s8_05_declare_restarts: "declares and gets put the expiry off";
    s8_05_publish_does_not: "publishing does not put the expiry off";
    s8_05_not_dead_lettered: "the messages of an expired queue are not dead-lettered";
    s8_06_not_retroactive: "a queue gets nothing that was published before it was bound";
}

/// A queue with this many ready messages.
fn filled(test: &Test, channel: &Channel, messages: u32) -> Step<String> {
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    fill(channel, &name, messages)?;
    Ok(name)
}

fn fill(channel: &Channel, queue: &str, messages: u32) -> Step {
    for number in 0..messages {
        channel.put(queue, &number.to_string());
    }
    channel.becomes(queue, messages)
}

/// The queue does not exist; the channel is closed by the question.
fn gone(test: &Test, name: &str) -> Step {
    let text = format!("NOT_FOUND - no {}", test.queue_text(name));
    test.channel()?.refuses(Queue::new(name).passive().payload(), 404, &text)
}

fn s8_01_delete_missing(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    equal("count", channel.delete(&name)?, 0)?;
    channel.send(delete(&name, true, true));
    equal("count", channel.counted(id(50, 41))?, 0)
}

fn s8_01_count(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, 3)?;
    ensure(channel.get(&name, false)?.is_some(), "nothing to get")?;
    equal("count", channel.delete(&name)?, 2)?;
    gone(test, &name)
}

fn s8_01_nowait_is_silent(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, 1)?;
    channel.send(Payload::method(50, 40).short(0).text(&name).bits(&[false, false, true]));
    channel.silent()?;
    gone(test, &name)
}

fn s8_01_if_unused(test: &Test) -> Step {
    let (consumer, other) = (test.channel()?, test.channel()?);
    let name = filled(test, &other, 0)?;
    consumer.consume(&name, "c")?;
    let text = format!("PRECONDITION_FAILED - {} in use", test.queue_text(&name));
    other.refuses(delete(&name, true, false), 406, &text)?;
    equal("messages and consumers", consumer.count(&name)?, (0, 1))
}

fn s8_01_if_unused_without_consumers(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, 1)?;
    channel.send(delete(&name, true, false));
    equal("count", channel.counted(id(50, 41))?, 1)?;
    gone(test, &name)
}

fn s8_01_if_empty(test: &Test) -> Step {
    let connection = test.connect()?;
    let channel = connection.channel()?;
    let name = filled(test, &channel, 1)?;
    let text = format!("PRECONDITION_FAILED - {} not empty", test.queue_text(&name));
    channel.refuses(delete(&name, false, true), 406, &text)?;
    let channel = connection.channel()?;
    equal("body", channel.take(&name)?.body(), "0")?;
    channel.send(delete(&name, false, true));
    equal("count", channel.counted(id(50, 41))?, 0)
}

fn s8_01_if_empty_unacked(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, 1)?;
    ensure(channel.get(&name, false)?.is_some(), "nothing to get")?;
    channel.send(delete(&name, false, true));
    equal("count", channel.counted(id(50, 41))?, 0)?;
    gone(test, &name)
}

fn s8_01_if_empty_first(test: &Test) -> Step {
    let (consumer, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    other.declare(&Queue::new(&name))?;
    consumer.qos(1, false)?;
    consumer.consume(&name, "c")?;
    other.put(&name, "unacked");
    other.put(&name, "ready");
    other.becomes(&name, 1)?;
    let text = format!("PRECONDITION_FAILED - {} not empty", test.queue_text(&name));
    other.refuses(delete(&name, true, true), 406, &text)
}

/// The delete of a quorum queue with a consumer and a ready message is refused: as a thing not done, or because the
/// condition does not hold.
fn quorum_refuses(test: &Test, if_unused: bool, flag: &str, reason: &str) -> Step {
    let (consumer, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    other.declare(&Queue::new(&name).with("x-queue-type", "quorum"))?;
    consumer.qos(1, false)?;
    consumer.consume(&name, "c")?;
    other.put(&name, "unacked");
    other.put(&name, "ready");
    other.becomes(&name, 1)?;
    other.send(delete(&name, if_unused, !if_unused));
    let Some(event) = other.event(PATIENCE)? else { return fail("no answer") };
    if event.id == id(20, 40) {
        test.answered("406");
        let text = format!("PRECONDITION_FAILED - {} {reason}", test.queue_text(&name));
        return check_close(&event, id(20, 40), 406, id(50, 40), &text);
    }
    test.answered("540");
    let text = format!(
        "NOT_IMPLEMENTED - cannot delete {}. queue.delete operations with {flag} flag set are not supported by \
         quorum queues",
        test.queue_text(&name)
    );
    check_close(&event, id(10, 50), 540, id(50, 40), &text)
}

fn s8_01_quorum_if_unused(test: &Test) -> Step {
    quorum_refuses(test, true, "if-unused", "in use")
}

fn s8_01_quorum_if_empty(test: &Test) -> Step {
    quorum_refuses(test, false, "if-empty", "not empty")
}

fn s8_03_consumers_are_told(test: &Test) -> Step {
    let (consumer, other) = (test.channel()?, test.channel()?);
    let name = filled(test, &other, 0)?;
    consumer.consume(&name, "one")?;
    consumer.consume(&name, "two")?;
    other.delete(&name)?;
    let mut told = vec![];
    for _ in 0..2 {
        match consumer.expect(id(60, 30))?.method {
            AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
                ensure(cancel.nowait, "the cancel wants an answer")?;
                told.push(cancel.consumer_tag.to_string());
            }
            other => return fail(format!("no cancel: {other:?}")),
        }
    }
    told.sort();
    equal("cancelled", told, vec!["one".to_owned(), "two".to_owned()])?;
    consumer.sync()
}

fn s8_03_consumers_untold(test: &Test) -> Step {
    let (consumer, other) = (test.connect_as(&test.login().plain())?.channel()?, test.channel()?);
    let name = filled(test, &other, 0)?;
    consumer.consume(&name, "c")?;
    other.delete(&name)?;
    consumer.silent()?;
    consumer.sync()
}

fn s8_03_ack_afterwards(test: &Test) -> Step {
    let (channel, other) = (test.channel()?, test.channel()?);
    let name = filled(test, &other, 3)?;
    channel.consume(&name, "c")?;
    channel.bodies(3)?;
    equal("count", other.delete(&name)?, 0)?;
    channel.expect(id(60, 30))?;
    channel.ack(1, false);
    channel.nack(2, false, true);
    channel.reject(3, false);
    channel.silent()?;
    channel.sync()
}

/// A queue that dead-letters to another one, with a ready message that is never delivered.
fn dead_lettering(
    test: &Test,
    channel: &Channel,
    queue: impl FnOnce(Queue) -> Queue,
) -> Step<(String, String)> {
    let (name, target) = (test.queue("q"), test.queue("target"));
    channel.declare(&Queue::new(&target))?;
    let with = Queue::new(&name).with("x-dead-letter-exchange", "");
    channel.declare(&queue(with.with("x-dead-letter-routing-key", &target)))?;
    fill(channel, &name, 2)?;
    // That it works: one message takes this way.
    let Some(delivery) = channel.get(&name, false)? else { return fail("nothing to get") };
    channel.reject(delivery.tag, false);
    Ok((name, target))
}

fn nothing_but_the_rejected(channel: &Channel, target: &str) -> Step {
    equal("body", channel.take_soon(target)?.body(), "0")?;
    sleep(Duration::from_millis(250));
    channel.empty(target)
}

fn s8_03_not_dead_lettered(test: &Test) -> Step {
    let channel = test.channel()?;
    let (name, target) = dead_lettering(test, &channel, |queue| queue)?;
    equal("count", channel.delete(&name)?, 1)?;
    nothing_but_the_rejected(&channel, &target)
}

fn s8_03_confirmed(test: &Test) -> Step {
    let (publisher, other) = (test.channel()?, test.channel()?);
    let name = filled(test, &other, 0)?;
    publisher.confirm_select()?;
    for _ in 0..50 {
        let properties = crate::wire::Properties::persistent();
        publisher.publish(&Message::new("", &name, "x").with(properties));
    }
    other.delete(&name)?;
    publisher.confirmed(1, 50)
}

fn s8_03_made_anew(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, 2)?;
    ensure(channel.get(&name, false)?.is_some(), "nothing to get")?;
    channel.delete(&name)?;
    let declared = channel.declare(&Queue::new(&name).auto_delete())?;
    equal("messages and consumers", (declared.messages, declared.consumers), (0, 0))
}

fn s8_04_purge(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, 3)?;
    equal("purged", channel.purge(&name)?, 3)?;
    equal("purged again", channel.purge(&name)?, 0)?;
    channel.empty(&name)
}

fn s8_04_purge_leaves_unacked(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, 3)?;
    let Some(held) = channel.get(&name, false)? else { return fail("nothing to get") };
    equal("purged", channel.purge(&name)?, 2)?;
    channel.empty(&name)?;
    channel.reject(held.tag, true);
    equal("body", channel.take_soon(&name)?.body(), "0")
}

fn s8_04_purge_missing(test: &Test) -> Step {
    let name = test.queue("q");
    let text = format!("NOT_FOUND - no {}", test.queue_text(&name));
    test.channel()?.refuses(Payload::method(50, 30).short(0).text(&name).bits(&[false]), 404, &text)
}

fn s8_04_purge_nowait(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, 2)?;
    channel.send(Payload::method(50, 30).short(0).text(&name).bits(&[true]));
    channel.silent()?;
    channel.empty(&name)
}

fn s8_04_purge_not_dead_lettered(test: &Test) -> Step {
    let channel = test.channel()?;
    let (name, target) = dead_lettering(test, &channel, |queue| queue)?;
    equal("purged", channel.purge(&name)?, 1)?;
    nothing_but_the_rejected(&channel, &target)
}

/// The queue expires within some seconds, not to be confused with one that never existed.
fn expires(test: &Test, name: &str) -> Step {
    let connection = test.connect()?;
    for _ in 0..4 {
        sleep(Duration::from_secs(1));
        // A passive declare counts as use where the queue is still there: asked rarely.
        let channel = connection.channel()?;
        channel.send(Queue::new(name).passive().payload());
        match channel.event(PATIENCE)? {
            Some(event) if event.id == id(20, 40) => return Ok(()),
            _ => channel.close()?,
        }
    }
    fail("the queue stays")
}

fn s8_05_expires(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    let queue = Queue::new(&name).with("x-expires", 600);
    channel.declare(&queue)?;
    fill(&channel, &name, 1)?;
    expires(test, &name)?;
    equal("messages", channel.declare(&queue)?.messages, 0)
}

fn s8_05_consumers_hold(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-expires", 500))?;
    channel.consume_with(&Consume::new(&name, "c"))?;
    channel.silent_for(Duration::from_millis(1500))?;
    channel.cancel("c")?;
    equal("consumers", channel.count(&name)?.1, 0)?;
    expires(test, &name)
}

fn s8_05_declare_restarts(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    let queue = Queue::new(&name).with("x-expires", 1500);
    channel.declare(&queue)?;
    for _ in 0..2 {
        sleep(Duration::from_millis(800));
        channel.count(&name)?;
        sleep(Duration::from_millis(800));
        channel.get(&name, true)?;
        sleep(Duration::from_millis(800));
        channel.declare(&queue)?;
    }
    Ok(())
}

fn s8_05_publish_does_not(test: &Test) -> Step {
    let (channel, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-expires", 1000))?;
    for _ in 0..8 {
        sleep(Duration::from_millis(250));
        other.put(&name, "x");
    }
    gone(test, &name)
}

fn s8_05_not_dead_lettered(test: &Test) -> Step {
    let channel = test.channel()?;
    let (name, target) = dead_lettering(test, &channel, |queue| queue.with("x-expires", 600))?;
    expires(test, &name)?;
    nothing_but_the_rejected(&channel, &target)
}

fn s8_06_not_retroactive(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.confirm_select()?;
    channel.publish(&Message::new("amq.direct", &name, "before"));
    channel.confirmed(1, 1)?;
    channel.declare(&Queue::new(&name))?;
    channel.bind(&name, "amq.direct", &name)?;
    channel.publish(&Message::new("amq.direct", &name, "after"));
    channel.confirmed(2, 2)?;
    equal("body", channel.take(&name)?.body(), "after")?;
    channel.empty(&name)
}
