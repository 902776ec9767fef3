//! What outlives a restart of the broker (semantics 5.13, 9.7). Needs an operator who restarts it.

use crate::channel::Delivery;
use crate::connection::{PATIENCE, check_close};
use crate::entity::{Exchange, Message, Queue};
use crate::operator::Operator;
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Properties, Table, id};

cases! {
    s5_13_durable_outlives: "durable exchanges, queues and the bindings between them outlive a restart", alone();
    s5_13_transient_ends: "what a restart leaves of a transient exchange and its bindings",
        differs("stays", "ends", "the specification says that exchanges which are not durable end with a restart"), alone();
    s9_07_persistent_outlives: "the persistent messages of a durable queue outlive a restart whole, in order", alone();
    s9_07_quorum_outlives: "every message of a quorum queue outlives a restart, whatever its delivery mode", alone();
}

/// A message that a broker stores.
fn persistent(queue: &str, body: &str) -> Message {
    Message::new("", queue, body).with(Properties::persistent())
}

fn s5_13_durable_outlives(test: &Test) -> Step {
    let operator = Operator::new(test)?;
    let channel = test.channel()?;
    let (source, behind, queue) = (test.exchange("source"), test.exchange("behind"), test.queue("q"));
    channel.declare_exchange(&Exchange::new(&source, "topic").durable())?;
    channel.declare_exchange(&Exchange::new(&behind, "headers").durable())?;
    channel.declare(&Queue::new(&queue).with("x-max-length", 7))?;
    channel.bind_exchange(&behind, &source, "a.*")?;
    channel.bind_with(&queue, &behind, "", &Table::new().set("x-match", "all").set("h", 1))?;
    channel.bind(&queue, &source, "b.#")?;
    operator.restart()?;
    let channel = test.channel()?;
    channel.declare(&Queue::new(&queue).with("x-max-length", 7))?;
    channel.confirm_select()?;
    let headers = |value: i32| Properties::persistent().headers(&Table::new().set("h", value));
    channel.publish(&Message::new(&source, "a.b", "through both").with(headers(1)));
    channel.publish(&Message::new(&source, "a.b", "to neither").with(headers(2)));
    channel.publish(&Message::new(&source, "b", "at once"));
    channel.confirmed(1, 3)?;
    equal("body", channel.take(&queue)?.body(), "through both")?;
    equal("body", channel.take(&queue)?.body(), "at once")?;
    channel.empty(&queue)
}

fn s5_13_transient_ends(test: &Test) -> Step {
    let operator = Operator::new(test)?;
    let channel = test.channel()?;
    let (exchange, queue) = (test.exchange("transient"), test.queue("q"));
    channel.declare_exchange(&Exchange::new(&exchange, "fanout"))?;
    channel.declare(&Queue::new(&queue))?;
    channel.bind(&queue, &exchange, "")?;
    operator.restart()?;
    let connection = test.connect()?;
    let channel = connection.channel()?;
    channel.send(Exchange::new(&exchange, "fanout").passive().payload());
    let Some(answer) = channel.event(PATIENCE)? else { return fail("no answer to exchange.declare") };
    if answer.id == id(40, 11) {
        test.answered("stays");
        channel.publish(&Message::new(&exchange, "", "kept"));
        return channel.becomes(&queue, 1);
    }
    test.answered("ends");
    let text = format!("NOT_FOUND - no {}", test.exchange_text(&exchange));
    check_close(&answer, id(20, 40), 404, id(40, 10), &text)?;
    channel.send(Payload::method(20, 41));
    let channel = connection.channel()?;
    channel.declare_exchange(&Exchange::new(&exchange, "fanout"))?;
    channel.publish(&Message::new(&exchange, "", "lost").mandatory());
    channel.returned()?;
    equal("messages", channel.count(&queue)?.0, 0)
}

fn s9_07_persistent_outlives(test: &Test) -> Step {
    let operator = Operator::new(test)?;
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    channel.confirm_select()?;
    let whole = Properties::persistent().headers(&Table::new().set("h", "value")).message_id("id");
    channel.publish(&persistent(&queue, "delivered before"));
    channel.publish(&Message::new("", &queue, "whole").with(whole.clone()));
    channel.put(&queue, "transient");
    channel.publish(&persistent(&queue, "acked before"));
    channel.publish(&Message::new("", &queue, "too late").with(Properties::persistent().expiration("100")));
    channel.publish(&persistent(&queue, "last"));
    channel.confirmed(1, 6)?;
    channel.qos(4, false)?;
    channel.consume(&queue, "t")?;
    let deliveries = (0..4).map(|_| channel.delivery()).collect::<Step<Vec<_>>>()?;
    equal("body", deliveries[3].body(), "acked before")?;
    channel.ack(deliveries[3].tag, false);
    channel.delivery()?;
    channel.silent()?;
    operator.restart()?;
    let channel = test.channel()?;
    let first = channel.take(&queue)?;
    equal("first", (first.body(), first.redelivered), ("delivered before", true))?;
    let second = channel.take(&queue)?;
    equal("second", second.body(), "whole")?;
    equal("properties", second.content.properties.clone(), whole.encode())?;
    equal("third", channel.take(&queue)?.body(), "last")?;
    channel.empty(&queue)
}

fn s9_07_quorum_outlives(test: &Test) -> Step {
    let operator = Operator::new(test)?;
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::of("quorum", &queue))?;
    channel.confirm_select()?;
    channel.put(&queue, "transient");
    channel.publish(&persistent(&queue, "persistent"));
    channel.put(&queue, "untouched");
    channel.confirmed(1, 3)?;
    let held = channel.get(&queue, false)?;
    equal("held", held.as_ref().map(Delivery::body), Some("transient"))?;
    operator.restart()?;
    let channel = test.channel()?;
    for (body, redelivered) in [("transient", true), ("persistent", false), ("untouched", false)] {
        let delivery = channel.take_soon(&queue)?;
        equal("delivery", (delivery.body(), delivery.redelivered), (body, redelivered))?;
    }
    Ok(())
}
