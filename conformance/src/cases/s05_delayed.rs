//! Section 5, delayed messages (semantics 5.29). A broker without the exchange type has the cases skipped.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use leveret_codec::table::AMQPValue;

use super::s05_plugins::{DELAYED, declare, refused};
use crate::channel::Channel;
use crate::connection::PATIENCE;
use crate::entity::{Exchange, Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Properties, Table, id};

cases! {
    s5_29_delayed: "a message with x-delay comes after that time, with x-delay negated";
    s5_29_order: "delayed messages come in the order of their times";
    s5_29_not_positive: "x-delay of 0 or less, or none, delays nothing and stays as it came";
    s5_29_confirmed_at_once: "a delayed message is confirmed when it is stored";
    s5_29_type_decides: "x-delayed-type decides where it goes, by the bindings of that time";
    s5_29_type_missing: "x-delayed-type missing or unknown is 406";
    s5_29_deleted: "what waits goes with its exchange";
    s5_29_types: "x-delay may be of any number type, or a text of digits";
    s5_29_too_long: "an x-delay of more than 2^32 - 1",
        differs("at once", "406", "the plugin delivers at once what it cannot delay; Leveret says so");
    s5_29_no_number: "an x-delay that is a text but no number closes something";
    s5_29_scheduled: "a message with x-delay in a queue with x-scheduled-delivery",
        differs("at once, as it came", "later", "RabbitMQ keeps the argument and does not look at it; Leveret delivers it then, with x-delay negated");
    s5_29_scheduled_at: "a message with x-deliver-at, a time in an hour, in a queue with x-scheduled-delivery",
        differs("ready", "delayed", "the same, for a time instead of a delay");
    s5_29_unscheduled: "in a queue without x-scheduled-delivery x-delay and x-deliver-at delay nothing and stay as they came";
}

/// A delayed direct exchange with a queue bound by the key `k`.
fn delayed(test: &Test, name: &str, queue: &str) -> Step<Channel> {
    let channel = test.channel()?;
    declare(&channel, &Exchange::new(name, DELAYED).with("x-delayed-type", "direct"))?;
    channel.declare(&Queue::new(queue))?;
    channel.bind(queue, name, "k")?;
    Ok(channel)
}

fn after(exchange: &str, key: &str, millis: i32) -> Message {
    let headers = Table::new().set("x-delay", millis);
    Message::new(exchange, key, millis.to_string()).with(Properties::new().headers(&headers))
}

fn s5_29_delayed(test: &Test) -> Step {
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    let channel = delayed(test, &name, &queue)?;
    let start = Instant::now();
    channel.publish(&after(&name, "k", 700));
    let delivery = channel.take_soon(&queue)?;
    let took = start.elapsed();
    let in_time = Duration::from_millis(690)..Duration::from_secs(3);
    ensure(in_time.contains(&took), &format!("it came after {took:?}"))?;
    equal("x-delay", delivery.header("x-delay")?, Some(AMQPValue::LongInt(-700)))?;
    equal("exchange", &delivery.exchange, &name)?;
    equal("x-death", delivery.header("x-death")?, None)?;
    channel.empty(&queue)
}

fn s5_29_order(test: &Test) -> Step {
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    let channel = delayed(test, &name, &queue)?;
    for millis in [600, 300, 450] {
        channel.publish(&after(&name, "k", millis));
    }
    let order: Vec<String> = (0..3)
        .map(|_| channel.take_soon(&queue).map(|delivery| delivery.body().to_owned()))
        .collect::<Step<_>>()?;
    equal("order", order, vec!["300".into(), "450".into(), "600".into()])
}

fn s5_29_not_positive(test: &Test) -> Step {
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    let channel = delayed(test, &name, &queue)?;
    channel.confirm_select()?;
    channel.publish(&after(&name, "k", 0));
    channel.publish(&after(&name, "k", -700));
    channel.publish(&Message::new(&name, "k", "none"));
    channel.confirmed(1, 3)?;
    for delay in [Some(0), Some(-700), None] {
        let delivery = channel.take(&queue)?;
        equal("x-delay", delivery.header("x-delay")?, delay.map(AMQPValue::LongInt))?;
    }
    Ok(())
}

fn s5_29_confirmed_at_once(test: &Test) -> Step {
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    let channel = delayed(test, &name, &queue)?;
    channel.confirm_select()?;
    let start = Instant::now();
    channel.publish(&after(&name, "k", 60_000));
    channel.confirmed(1, 1)?;
    ensure(start.elapsed() < PATIENCE, "the confirm came late")?;
    channel.empty(&queue)
}

fn s5_29_type_decides(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    declare(&channel, &Exchange::new(&name, DELAYED).with("x-delayed-type", "topic"))?;
    channel.publish(&after(&name, "a.b", 500));
    let mut bodies = BTreeMap::new();
    for key in ["a.*", "#.b", "c"] {
        let queue = test.queue(key);
        channel.declare(&Queue::new(&queue))?;
        channel.bind(&queue, &name, key)?;
        bodies.insert(key, queue);
    }
    channel.take_soon(&bodies["a.*"])?;
    channel.take_soon(&bodies["#.b"])?;
    channel.empty(&bodies["c"])
}

fn s5_29_type_missing(test: &Test) -> Step {
    let text = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
    refused(test, DELAYED, &[], text)?;
    refused(test, DELAYED, &[("x-delayed-type", b"S\0\0\0\x04nope")], text)
}

fn s5_29_deleted(test: &Test) -> Step {
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    let channel = delayed(test, &name, &queue)?;
    channel.publish(&after(&name, "k", 400));
    channel.call(crate::channel::delete_exchange(&name, false), id(40, 21))?;
    declare(&channel, &Exchange::new(&name, DELAYED).with("x-delayed-type", "direct"))?;
    channel.bind(&queue, &name, "k")?;
    channel.silent_for(Duration::from_millis(900))?;
    channel.empty(&queue)
}

fn s5_29_types(test: &Test) -> Step {
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    let channel = delayed(test, &name, &queue)?;
    for headers in [
        Table::new().set("x-delay", "500"),
        Table::new().set("x-delay", 500.9),
        Table::new().set("x-delay", 500_i64),
        Table::new().raw("x-delay", b"u\x01\xf4"),
        Table::new().raw("x-delay", b"f\x43\xfa\0\0"),
    ] {
        let start = Instant::now();
        channel.publish(&Message::new(&name, "k", "a").with(Properties::new().headers(&headers)));
        let delivery = channel.take_soon(&queue)?;
        let took = start.elapsed();
        ensure(took >= Duration::from_millis(490), &format!("it came after {took:?}"))?;
        equal("x-delay", delivery.header("x-delay")?, Some(AMQPValue::LongInt(-500)))?;
    }
    Ok(())
}

fn s5_29_too_long(test: &Test) -> Step {
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    let channel = delayed(test, &name, &queue)?;
    let headers = Table::new().set("x-delay", 1_i64 << 32);
    channel.publish(&Message::new(&name, "k", "a").with(Properties::new().headers(&headers)));
    let text =
        "PRECONDITION_FAILED - header 'x-delay' asks for more milliseconds than a message can be delayed*";
    if channel.closes(406, id(60, 40), text).is_ok() {
        test.answered("406");
        return Ok(());
    }
    channel.take_soon(&queue)?;
    test.answered("at once");
    Ok(())
}

fn s5_29_no_number(test: &Test) -> Step {
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    let channel = delayed(test, &name, &queue)?;
    let headers = Table::new().set("x-delay", "soon");
    channel.publish(&Message::new(&name, "k", "a").with(Properties::new().headers(&headers)));
    match channel.event(PATIENCE) {
        Ok(None) => fail("nothing is said"),
        _ => Ok(()),
    }
}

/// A message for a queue, with these headers.
fn asking(queue: &str, headers: &Table) -> Message {
    Message::new("", queue, "later").with(Properties::new().headers(headers))
}

fn s5_29_scheduled(test: &Test) -> Step {
    let (channel, queue) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&queue).with("x-scheduled-delivery", true))?;
    let start = Instant::now();
    channel.publish(&asking(&queue, &Table::new().set("x-delay", 700)));
    let delivery = channel.take_soon(&queue)?;
    match delivery.header("x-delay")? {
        Some(AMQPValue::LongInt(700)) => test.answered("at once, as it came"),
        header => {
            test.answered("later");
            equal("x-delay", header, Some(AMQPValue::LongInt(-700)))?;
            ensure(start.elapsed() >= Duration::from_millis(690), "it came before its time")?;
        }
    }
    channel.empty(&queue)
}

fn s5_29_scheduled_at(test: &Test) -> Step {
    let (channel, queue) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&queue).with("x-scheduled-delivery", true))?;
    channel.confirm_select()?;
    let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
    let millis = in_an_hour.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis());
    let at = Table::new().set("x-deliver-at", i64::try_from(millis).unwrap_or(i64::MAX));
    channel.publish(&asking(&queue, &at));
    channel.confirmed(1, 1)?;
    test.answered(if channel.count(&queue)?.0 == 0 { "delayed" } else { "ready" });
    Ok(())
}

fn s5_29_unscheduled(test: &Test) -> Step {
    let (channel, queue) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&queue))?;
    let headers = Table::new().set("x-delay", 600_000).set("x-deliver-at", i64::MAX);
    channel.publish(&asking(&queue, &headers));
    let delivery = channel.take_soon(&queue)?;
    equal("x-delay", delivery.header("x-delay")?, Some(AMQPValue::LongInt(600_000)))?;
    equal("x-deliver-at", delivery.header("x-deliver-at")?, Some(AMQPValue::LongLongInt(i64::MAX)))
}
