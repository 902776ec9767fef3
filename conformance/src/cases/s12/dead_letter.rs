//! Where dead letters go, and what else of a message stays as it was (semantics 12.4, 12.7 to 12.9).

use std::time::Duration;

use leveret_codec::properties::Field;

use super::{Dying, header};
use crate::entity::{Exchange, Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::scene::each_type;
use crate::test::Test;
use crate::wire::{Properties, Table};

cases! {
    s12_04_original_key: "a dead letter keeps its routing key";
    s12_04_other_key: "x-dead-letter-routing-key replaces the routing key";
    s12_04_cc_keys: "without x-dead-letter-routing-key, dead letters are routed by CC and BCC too";
    s12_04_cc_again: "a dead letter that dies again is routed by CC and BCC again";
    s12_04_cc_replaced: "x-dead-letter-routing-key replaces the keys of CC and BCC too";
    s12_04_cc_replaced_later: "a key that was replaced is the only one from then on, also where it is the same";
    s12_04_default_exchange: "the default exchange may be a dead-letter exchange";
    s12_07_no_exchange: "where the dead-letter exchange does not exist, dead letters are dropped";
    s12_07_exchange_at_death: "what counts is whether the dead-letter exchange exists at the time of death";
    s12_07_no_route: "dead letters that no binding takes are dropped";
    s12_07_at_least_once: "at-least-once brings dead letters to their target";
    s12_07_feeds_itself: "a full quorum queue that is its own target has its dead letter back";
    s12_08_no_return: "a mandatory message that is a dead letter without a route is not returned";
    s12_08_alternate: "the alternate exchange of a dead-letter exchange gets dead letters without a route";
    s12_09_properties: "the properties of a message stay as published";
    s12_09_transient: "so does delivery mode 1, and a message without one";
    s12_09_body: "the body of a dead letter is that of the message";
}

fn s12_04_original_key(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        dying.channel.put(&dying.source, "a");
        equal("key", dying.reject()?.key, dying.source.clone())
    })
}

fn s12_04_other_key(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue.with("x-dead-letter-routing-key", "dead"))?;
        dying.channel.put(&dying.source, "a");
        equal("key", dying.reject()?.key.as_str(), "dead")
    })
}

/// Which of the queues bound by `key`, `cc`, `bcc` and `dead` get the dead letter of a message with the first three as
/// its keys.
fn routed_by(test: &Test, kind: &str, queue: impl FnOnce(Queue) -> Queue) -> Step<Vec<&'static str>> {
    let channel = test.channel()?;
    let (source, from, dlx) =
        (test.queue(kind), test.exchange(&format!("{kind}.from")), test.exchange(&format!("{kind}.to")));
    channel.declare_exchange(&Exchange::new(&from, "fanout"))?;
    channel.declare_exchange(&Exchange::new(&dlx, "direct"))?;
    channel.declare(&queue(Queue::of(kind, &source).with("x-dead-letter-exchange", &dlx)))?;
    channel.bind(&source, &from, "")?;
    let keys = ["key", "cc", "bcc", "dead"];
    let queues = keys.map(|key| test.queue(&format!("{kind}.{key}")));
    for (queue, key) in queues.iter().zip(keys) {
        channel.declare(&Queue::new(queue))?;
        channel.bind(queue, &dlx, key)?;
    }
    let headers = Table::new().set("CC", &["cc"][..]).set("BCC", &["bcc"][..]);
    channel.publish(&Message::new(&from, "key", "a").with(Properties::new().headers(&headers)));
    channel.becomes(&source, 1)?;
    channel.get(&source, false)?;
    channel.reject(1, false);
    let mut reached = vec![];
    std::thread::sleep(Duration::from_millis(400));
    for (queue, key) in queues.iter().zip(keys) {
        if channel.count(queue)?.0 > 0 {
            reached.push(key);
        }
    }
    Ok(reached)
}

fn s12_04_cc_keys(test: &Test) -> Step {
    each_type(|kind| equal("reached", routed_by(test, kind, |queue| queue)?, vec!["key", "cc", "bcc"]))
}

/// Where the second death of a message with CC and BCC leads to, of `key`, `cc` and `bcc`. After the first it is in a
/// queue that is bound by `between`.
fn routed_again(
    test: &Test,
    kind: &str,
    between: &str,
    queue: impl FnOnce(Queue) -> Queue,
) -> Step<Vec<&'static str>> {
    let dying = Dying::new(test, kind, queue)?;
    let (middle, last) = (test.queue(&format!("{kind}.middle")), test.exchange(&format!("{kind}.last")));
    let exchange = test.exchange(&format!("{kind}.behind"));
    dying.channel.declare_exchange(&Exchange::new(&exchange, "direct"))?;
    dying.channel.declare_exchange(&Exchange::new(&last, "direct"))?;
    dying.channel.bind_exchange(&exchange, &dying.exchange, "")?;
    dying.channel.declare(&Queue::of(kind, &middle).with("x-dead-letter-exchange", &last))?;
    dying.channel.bind(&middle, &exchange, between)?;
    let from = test.exchange(&format!("{kind}.from"));
    dying.channel.declare_exchange(&Exchange::new(&from, "fanout"))?;
    dying.channel.bind(&dying.source, &from, "")?;
    let keys = ["key", "cc", "bcc"];
    let queues = keys.map(|key| test.queue(&format!("{kind}.{key}")));
    for (queue, key) in queues.iter().zip(keys) {
        dying.channel.declare(&Queue::new(queue))?;
        dying.channel.bind(queue, &last, key)?;
    }
    let headers = Table::new().set("CC", &["cc"][..]).set("BCC", &["bcc"][..]);
    dying.channel.publish(&Message::new(&from, "key", "a").with(Properties::new().headers(&headers)));
    dying.reject()?;
    dying.reject_from(&middle)?;
    std::thread::sleep(Duration::from_millis(400));
    let mut reached = vec![];
    for (queue, key) in queues.iter().zip(keys) {
        if let Some(delivery) = dying.channel.get(queue, true)? {
            ensure(delivery.header("BCC")?.is_none(), "BCC is told")?;
            reached.push(key);
        }
    }
    Ok(reached)
}

fn s12_04_cc_again(test: &Test) -> Step {
    each_type(|kind| {
        let reached = routed_again(test, kind, "bcc", |queue| queue)?;
        equal("reached", reached, vec!["key", "cc", "bcc"])
    })
}

fn s12_04_cc_replaced_later(test: &Test) -> Step {
    each_type(|kind| {
        let replaced = |queue: Queue| queue.with("x-dead-letter-routing-key", "key");
        equal("reached", routed_again(test, kind, "key", replaced)?, vec!["key"])
    })
}

fn s12_04_cc_replaced(test: &Test) -> Step {
    each_type(|kind| {
        let reached = routed_by(test, kind, |queue| queue.with("x-dead-letter-routing-key", "dead"))?;
        equal("reached", reached, vec!["dead"])
    })
}

fn s12_04_default_exchange(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let (name, target) = (test.queue(kind), test.queue(&format!("{kind}.target")));
        channel.declare(&Queue::new(&target))?;
        let queue = Queue::of(kind, &name).with("x-message-ttl", 20).with("x-dead-letter-exchange", "");
        channel.declare(&queue.with("x-dead-letter-routing-key", &target))?;
        channel.put(&name, "a");
        let dead = channel.take_soon(&target)?;
        equal("exchange and key", (dead.exchange.as_str(), dead.key.as_str()), ("", target.as_str()))
    })
}

fn s12_07_no_exchange(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = test.queue(kind);
        let dlx = test.exchange("missing");
        channel.declare(
            &Queue::of(kind, &name).with("x-message-ttl", 20).with("x-dead-letter-exchange", &dlx),
        )?;
        channel.confirm_select()?;
        channel.put(&name, "a");
        channel.confirmed(1, 1)?;
        channel.becomes(&name, 0)?;
        channel.silent()
    })
}

fn s12_07_exchange_at_death(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let (name, target) = (test.queue(kind), test.queue(&format!("{kind}.target")));
        let dlx = test.exchange(&format!("{kind}.late"));
        channel.declare(&Queue::of(kind, &name).with("x-dead-letter-exchange", &dlx))?;
        channel.put(&name, "a");
        channel.becomes(&name, 1)?;
        channel.declare_exchange(&Exchange::new(&dlx, "fanout"))?;
        channel.declare(&Queue::new(&target))?;
        channel.bind(&target, &dlx, "")?;
        channel.get(&name, false)?;
        channel.reject(1, false);
        equal("dead letter", channel.take_soon(&target)?.body(), "a")
    })
}

fn s12_07_no_route(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = test.queue(kind);
        let queue =
            Queue::of(kind, &name).with("x-message-ttl", 20).with("x-dead-letter-exchange", "amq.direct");
        channel.declare(&queue)?;
        channel.put(&name, "a");
        channel.put(&name, "b");
        channel.silent()?;
        channel.becomes(&name, 0)?;
        equal("messages", channel.delete(&name)?, 0)
    })
}

/// A quorum queue that keeps dead letters until their targets have them.
fn careful(queue: Queue) -> Queue {
    queue.with("x-dead-letter-strategy", "at-least-once").with("x-overflow", "reject-publish")
}

fn s12_07_at_least_once(test: &Test) -> Step {
    let dying = Dying::new(test, "quorum", careful)?;
    dying.channel.put(&dying.source, "a");
    let dead = dying.reject()?;
    equal("dead letter", dead.body(), "a")?;
    equal("reason", header(&dead, "x-first-death-reason")?.as_str(), "rejected")
}

fn s12_08_no_return(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel
        .declare(&Queue::new(&name).with("x-message-ttl", 20).with("x-dead-letter-exchange", "amq.direct"))?;
    channel.publish(&Message::new("", &name, "a").mandatory());
    channel.silent()?;
    channel.becomes(&name, 0)
}

fn s12_08_alternate(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let (name, target) = (test.queue(kind), test.queue(&format!("{kind}.target")));
        let (dlx, alternate) =
            (test.exchange(&format!("{kind}.dlx")), test.exchange(&format!("{kind}.alternate")));
        channel.declare_exchange(&Exchange::new(&alternate, "fanout"))?;
        channel.declare_exchange(&Exchange::new(&dlx, "direct").with("alternate-exchange", &alternate))?;
        channel.declare(&Queue::new(&target))?;
        channel.bind(&target, &alternate, "")?;
        channel.declare(
            &Queue::of(kind, &name).with("x-message-ttl", 20).with("x-dead-letter-exchange", &dlx),
        )?;
        channel.put(&name, "a");
        let dead = channel.take_soon(&target)?;
        equal("exchange", dead.exchange, dlx)
    })
}

fn s12_09_properties(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        let properties =
            Properties::persistent().content_type("text/plain").priority(7).reply_to("somewhere");
        let properties = properties.message_id("m1").timestamp(1_700_000_000).user_id(&test.target.user);
        dying.channel.publish(&Message::new("", &dying.source, "a").with(properties));
        let dead = dying.reject()?;
        let seen = dead.properties()?;
        equal("delivery mode", seen.delivery_mode(), Some(2))?;
        equal("priority", seen.priority(), Some(7))?;
        equal("reply-to", seen.reply_to(), Some(&b"somewhere"[..]))?;
        equal("user id", seen.user_id(), Some(test.target.user.as_bytes()))?;
        equal("content type", seen.short_string(Field::ContentType), Some(&b"text/plain"[..]))?;
        equal("message id", seen.short_string(Field::MessageId), Some(&b"m1"[..]))?;
        equal("timestamp", seen.field(Field::Timestamp), Some(&1_700_000_000_u64.to_be_bytes()[..]))
    })
}

fn s12_09_transient(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        dying.channel.publish(&Message::new("", &dying.source, "a").with(Properties::new().delivery_mode(1)));
        equal("delivery mode", dying.reject()?.properties()?.delivery_mode(), Some(1))?;
        dying.channel.put(&dying.source, "b");
        equal("delivery mode", dying.reject()?.properties()?.delivery_mode(), None)
    })
}

fn s12_09_body(test: &Test) -> Step {
    each_type(|kind| {
        let dying = Dying::new(test, kind, |queue| queue)?;
        for body in [vec![], vec![0xa5; 300_000]] {
            dying.channel.publish(&Message::new("", &dying.source, &body));
            ensure(dying.reject()?.content.body == body, "another body")?;
        }
        Ok(())
    })
}

fn s12_07_feeds_itself(test: &Test) -> Step {
    let (channel, queue) = (test.channel()?, test.queue("q"));
    let itself = Queue::of("quorum", &queue).with("x-max-length", 1).with("x-overflow", "reject-publish");
    let itself = itself.with("x-dead-letter-exchange", "").with("x-dead-letter-routing-key", &queue);
    channel.declare(&itself.with("x-dead-letter-strategy", "at-least-once"))?;
    channel.put(&queue, "a");
    channel.becomes(&queue, 1)?;
    for _ in 0..2 {
        let Some(delivery) = channel.get(&queue, false)? else { return fail("it is not there") };
        channel.reject(delivery.tag, false);
        channel.becomes(&queue, 1)?;
    }
    Ok(())
}
