//! basic.get (semantics 10.10).

use crate::assembly::Input;
use crate::channel::get;
use crate::connection::PATIENCE;
use crate::entity::Queue;
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::scene::{each_type, filled};
use crate::test::Test;
use crate::wire::{Payload, id};

cases! {
    s10_10_get_ok: "get-ok tells key, delivery tag, and how many messages are still ready";
    s10_10_get_empty: "get-empty has an empty cluster id";
    s10_10_get_missing: "get from a missing queue is 404 at 60.70";
    s10_10_get_unbounded: "prefetch does not bound get";
    s10_10_get_no_ack: "a message got without acks is gone";
    s10_10_get_shares_tags: "gets and deliveries of a channel share the sequence of delivery tags";
    s10_10_get_shares_order: "get takes what consumers left, in order";
    s10_10_get_single_active_quorum: "get on a quorum queue with a single active consumer is 405";
    s10_10_get_single_active_classic: "get on a classic queue with a single active consumer works";
    s10_10_get_beside_exclusive: "get works beside an exclusive consumer";
}

fn s10_10_get_ok(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c"])?;
        for (at, body) in [(1, "a"), (2, "b"), (3, "c")] {
            let Some(delivery) = channel.get(&name, false)? else { return fail("get-empty") };
            equal("body", delivery.body(), body)?;
            equal(
                "exchange and key",
                (delivery.exchange.as_str(), delivery.key.as_str()),
                ("", name.as_str()),
            )?;
            equal("delivery tag", delivery.tag, at)?;
            equal("messages", u64::from(delivery.messages), 3 - at)?;
            equal("redelivered", delivery.redelivered, false)?;
        }
        Ok(())
    })
}

fn s10_10_get_empty(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &[])?;
        channel.send(get(&name, false));
        match channel.connection.read(PATIENCE)? {
            Input::Frame { payload, .. } => equal("frame", payload, Payload::method(60, 72).text("").0),
            other => fail(format!("no frame: {other:?}")),
        }
    })
}

fn s10_10_get_missing(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(get(&name, false));
    channel.closes(404, id(60, 70), &format!("NOT_FOUND - no {}", test.queue_text(&name)))
}

fn s10_10_get_unbounded(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c"])?;
        channel.qos(1, false)?;
        for _ in 0..3 {
            ensure(channel.get(&name, false)?.is_some(), "get-empty")?;
        }
        Ok(())
    })
}

fn s10_10_get_no_ack(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b"])?;
        equal("body", channel.take(&name)?.body(), "a")?;
        ensure(channel.get(&name, false)?.is_some(), "get-empty")?;
        channel.close()?;
        let other = channel.connection.channel()?;
        equal("body", other.take_soon(&name)?.body(), "b")?;
        other.empty(&name)
    })
}

fn s10_10_get_shares_tags(test: &Test) -> Step {
    let channel = test.channel()?;
    let (first, second) = (filled(test, &channel, "classic", &["a"])?, test.queue("second"));
    channel.declare(&Queue::new(&second))?;
    channel.put(&second, "b");
    channel.becomes(&second, 1)?;
    equal("delivery tag", channel.take(&first)?.tag, 1)?;
    channel.consume(&second, "t")?;
    equal("delivery tag", channel.delivery()?.tag, 2)?;
    channel.put(&first, "c");
    equal("delivery tag", channel.take_soon(&first)?.tag, 3)
}

fn s10_10_get_shares_order(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, consumer) = (test.channel()?, test.channel()?);
        let name = filled(test, &channel, kind, &["a", "b", "c"])?;
        consumer.qos(1, false)?;
        consumer.consume(&name, "t")?;
        equal("delivered", consumer.delivery()?.body(), "a")?;
        equal("got", channel.take(&name)?.body(), "b")?;
        consumer.ack(1, false);
        equal("delivered", consumer.delivery()?.body(), "c")
    })
}

fn s10_10_get_single_active_quorum(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::of("quorum", &name).with("x-single-active-consumer", true))?;
    channel.send(get(&name, false));
    // RabbitMQ prints the type as its implementation has it.
    let text = format!(
        "RESOURCE_LOCKED - cannot obtain access to locked {}. basic.get operations are not supported by *quorum* queues \
         with single active consumer",
        test.queue_text(&name)
    );
    channel.closes(405, id(60, 70), &text)
}

fn s10_10_get_single_active_classic(test: &Test) -> Step {
    let (channel, consumer) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-single-active-consumer", true))?;
    consumer.qos(1, false)?;
    consumer.consume(&name, "t")?;
    channel.put(&name, "a");
    equal("delivered", consumer.delivery()?.body(), "a")?;
    channel.put(&name, "b");
    equal("got", channel.take_soon(&name)?.body(), "b")
}

fn s10_10_get_beside_exclusive(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, consumer) = (test.channel()?, test.channel()?);
        let name = filled(test, &channel, kind, &["a", "b"])?;
        consumer.qos(1, false)?;
        consumer.consume_with(&crate::entity::Consume::new(&name, "t").exclusive())?;
        equal("delivered", consumer.delivery()?.body(), "a")?;
        equal("got", channel.take(&name)?.body(), "b")
    })
}
