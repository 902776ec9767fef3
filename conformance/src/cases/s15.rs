//! Section 15: direct reply-to.

use std::time::Duration;

use crate::channel::{Channel, bind, delivery, get};
use crate::connection::{PATIENCE, check_close};
use crate::entity::{Consume, Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::scene::filled;
use crate::test::Test;
use crate::wire::{Payload, Properties, Table, id};

cases! {
    s15_01_with_acks: "a reply consumer with acks is 406";
    s15_01_twice: "a second reply consumer on the channel is 406";
    s15_01_other_channel: "each channel may have a reply consumer";
    s15_01_after_cancel: "after its cancel there may be another reply consumer";
    s15_01_generated_tag: "a reply consumer without a tag is given one";
    s15_01_tag_in_use: "the tag of a reply consumer given to another consumer",
        differs("accepted", "530", "the client could not tell the deliveries of the two apart");
    s15_02_rewritten: "reply_to is replaced by a name of its own for the channel";
    s15_02_same_name: "the name is the same for all requests of a channel";
    s15_02_no_consumer: "a request without a reply consumer is 406";
    s15_02_after_cancel: "a request after the cancel of the reply consumer is 406";
    s15_02_other_reply_to: "another reply_to is left as it is";
    s15_02_through_exchange: "reply_to is replaced whatever exchange the request goes to";
    s15_03_reply: "a reply by the default exchange reaches the reply consumer, without a queue";
    s15_03_reply_same_connection: "a reply may come from the connection of the request";
    s15_03_reply_order: "replies arrive in order";
    s15_03_declare: "the name can be declared as if it were a queue";
    s15_03_declare_passive: "so it can passively, while the requester is there";
    s15_03_declare_gone: "when the requester is gone, a passive declare of its name is 404";
    s15_03_confirmed: "a reply is confirmed as any message";
    s15_03_mandatory: "a mandatory reply that arrives is not returned";
    s15_03_mandatory_gone: "a mandatory reply to a requester that is gone",
        differs("lost", "returned", "mandatory asks to be told when nobody gets the message");
    s15_03_mandatory_forged: "a mandatory reply to a name that cannot be one is returned";
    s15_03_gone: "a reply to a requester that is gone is lost silently";
    s15_03_cancelled: "a reply after the cancel of the reply consumer is lost";
    s15_03_forged: "a reply to a name that was never given is lost";
    s15_03_copies: "a reply goes by CC and BCC too, which may be names to reply to";
    s15_03_large: "a large reply arrives whole";
    s15_04_get: "get from the reply queue is 404";
    s15_04_declare: "a declare of amq.rabbitmq.reply-to is answered as if it were a queue";
    s15_04_bind: "a reply queue cannot be bound: 404 by its common name, 403 by that of a channel";
    s15_04_delete: "a delete of a reply queue is answered and does nothing";
    s15_04_purge: "a purge of a reply queue is 404 by its common name, and purges nothing by that of a channel";
}

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

fn s15_01_with_acks(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Consume::new(REPLY_TO, "t").payload());
    channel.closes(406, id(60, 20), "PRECONDITION_FAILED - reply consumer cannot acknowledge")
}

/// Consumes replies under the tag `reply`.
fn replies(channel: &Channel) -> Step {
    channel.consume_with(&Consume::new(REPLY_TO, "reply").no_ack()).map(drop)
}

fn s15_01_twice(test: &Test) -> Step {
    let channel = test.channel()?;
    replies(&channel)?;
    channel.send(Consume::new(REPLY_TO, "t").no_ack().payload());
    channel.closes(406, id(60, 20), "PRECONDITION_FAILED - reply consumer already set")
}

fn s15_01_other_channel(test: &Test) -> Step {
    let channel = test.channel()?;
    replies(&channel)?;
    replies(&channel.connection.channel()?)
}

fn s15_01_after_cancel(test: &Test) -> Step {
    let channel = test.channel()?;
    replies(&channel)?;
    channel.cancel("reply")?;
    replies(&channel)
}

fn s15_01_generated_tag(test: &Test) -> Step {
    let channel = test.channel()?;
    let tag = channel.consume_with(&Consume::new(REPLY_TO, "").no_ack())?;
    ensure(tag.starts_with("amq.ctag-"), &format!("the tag is {tag}"))
}

fn s15_01_tag_in_use(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    replies(&channel)?;
    channel.send(Consume::new(&name, "reply").payload());
    let Some(event) = channel.event(PATIENCE)? else { return fail("no answer") };
    if event.id == id(60, 21) {
        test.answered("accepted");
        return Ok(());
    }
    test.answered("530");
    check_close(&event, id(10, 50), 530, id(60, 20), "NOT_ALLOWED - attempt to reuse consumer tag 'reply'")
}

fn request(channel: &Channel, exchange: &str, key: &str) {
    channel.publish(&Message::new(exchange, key, "request").with(Properties::new().reply_to(REPLY_TO)));
}

/// The reply_to of the next request in a queue.
fn reply_to(channel: &Channel, queue: &str) -> Step<String> {
    let delivery = channel.take_soon(queue)?;
    match delivery.properties()?.reply_to() {
        Some(name) => Ok(String::from_utf8_lossy(name).into_owned()),
        None => fail("no reply_to"),
    }
}

/// A requester and a responder on connections of their own, and the name to reply to. The requester's connection ends
/// when it is dropped.
fn scene(test: &Test) -> Step<(Channel, Channel, String)> {
    let (requester, responder) = (test.channel()?, test.channel()?);
    let name = filled(test, &requester, "classic", &[])?;
    replies(&requester)?;
    request(&requester, "", &name);
    let to = reply_to(&responder, &name)?;
    Ok((requester, responder, to))
}

fn s15_02_rewritten(test: &Test) -> Step {
    let (_, _, first) = scene(test)?;
    let (_, _, second) = scene(test)?;
    for name in [&first, &second] {
        let rest = name.strip_prefix("amq.rabbitmq.reply-to.");
        ensure(rest.is_some_and(|rest| rest.len() >= 16), &format!("reply_to is {name}"))?;
    }
    ensure(first != second, "two requesters have the same name")
}

fn s15_02_same_name(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    let name = test.queue("again");
    requester.declare(&Queue::new(&name))?;
    request(&requester, "", &name);
    equal("reply_to", reply_to(&responder, &name)?, to)
}

fn s15_02_no_consumer(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    request(&channel, "", &name);
    channel.closes(406, id(60, 40), "PRECONDITION_FAILED - fast reply consumer does not exist")
}

fn s15_02_after_cancel(test: &Test) -> Step {
    let (channel, _, _) = scene(test)?;
    channel.cancel("reply")?;
    request(&channel, "", "anywhere");
    channel.closes(406, id(60, 40), "PRECONDITION_FAILED - fast reply consumer does not exist")
}

fn s15_02_other_reply_to(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    replies(&channel)?;
    channel.publish(&Message::new("", &name, "a").with(Properties::new().reply_to("mine")));
    equal("reply_to", reply_to(&channel, &name)?.as_str(), "mine")
}

fn s15_02_through_exchange(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    channel.bind(&name, "amq.direct", &name)?;
    replies(&channel)?;
    request(&channel, "amq.direct", &name);
    ensure(reply_to(&channel, &name)?.starts_with("amq.rabbitmq.reply-to."), "reply_to was not replaced")
}

fn s15_03_reply(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    responder.publish(&Message::new("", &to, "reply").with(Properties::new().content_type("text/plain")));
    let reply = requester.delivery()?;
    equal("body", reply.body(), "reply")?;
    equal("tag", reply.consumer.as_str(), "reply")?;
    equal("exchange and key", (reply.exchange.as_str(), reply.key.as_str()), ("", to.as_str()))?;
    equal("redelivered", reply.redelivered, false)
}

fn s15_03_reply_same_connection(test: &Test) -> Step {
    let (requester, _, to) = scene(test)?;
    requester.put(&to, "one");
    equal("body", requester.delivery()?.body(), "one")?;
    requester.connection.channel()?.put(&to, "two");
    equal("body", requester.delivery()?.body(), "two")
}

fn s15_03_reply_order(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    for number in 1..=50 {
        responder.put(&to, &number.to_string());
    }
    for number in 1..=50 {
        let reply = requester.delivery()?;
        equal("body and delivery tag", (reply.body(), reply.tag), (number.to_string().as_str(), number))?;
    }
    Ok(())
}

fn s15_03_declare(test: &Test) -> Step {
    let (_requester, responder, to) = scene(test)?;
    let declared = responder.declare(&Queue::new(&to))?;
    equal("declared", (declared.name, declared.messages, declared.consumers), (to, 0, 1))
}

fn s15_03_declare_passive(test: &Test) -> Step {
    let (_requester, responder, to) = scene(test)?;
    equal("messages and consumers", responder.count(&to)?, (0, 1))
}

fn s15_03_declare_gone(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    requester.close()?;
    responder.send(Queue::new(&to).passive().payload());
    responder.closes(404, id(50, 10), &format!("NOT_FOUND - no {}", test.queue_text(&to)))
}

fn s15_03_confirmed(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    responder.confirm_select()?;
    responder.put(&to, "reply");
    responder.confirmed(1, 1)?;
    equal("body", requester.delivery()?.body(), "reply")
}

fn s15_03_mandatory(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    responder.confirm_select()?;
    responder.publish(&Message::new("", &to, "reply").mandatory());
    responder.confirmed(1, 1)?;
    equal("body", requester.delivery()?.body(), "reply")
}

fn s15_03_mandatory_gone(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    requester.connection.close()?;
    responder.confirm_select()?;
    responder.publish(&Message::new("", &to, "reply").mandatory());
    let Some(event) = responder.event(PATIENCE)? else { return fail("no answer") };
    if event.id == id(60, 80) {
        test.answered("lost");
        return Ok(());
    }
    test.answered("returned");
    let returned = delivery(event)?;
    equal("return", (returned.code, returned.text.as_str(), returned.key), (312, "NO_ROUTE", to))?;
    responder.confirmed(1, 1)
}

fn s15_03_mandatory_forged(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.confirm_select()?;
    channel.publish(&Message::new("", "amq.rabbitmq.reply-to.forged", "reply").mandatory());
    equal("code", channel.returned()?.code, 312)?;
    channel.confirmed(1, 1)
}

fn s15_03_gone(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    requester.connection.cut();
    std::thread::sleep(Duration::from_millis(100));
    responder.confirm_select()?;
    responder.put(&to, "reply");
    responder.confirmed(1, 1)?;
    responder.sync()
}

fn s15_03_cancelled(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    requester.cancel("reply")?;
    responder.put(&to, "reply");
    responder.sync()?;
    requester.silent()
}

fn s15_03_forged(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    responder.confirm_select()?;
    for (number, name) in ["amq.rabbitmq.reply-to.forged".to_owned(), format!("{to}x")].iter().enumerate() {
        responder.put(name, "forged");
        responder.confirmed(number as u64 + 1, number as u64 + 1)?;
    }
    requester.silent()
}

fn s15_03_copies(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    let (other, _, to_other) = scene(test)?;
    let name = test.queue("copy");
    responder.declare(&Queue::new(&name))?;
    let headers = Table::new().set("CC", &[&*to, &*to_other][..]).set("BCC", &[&*name][..]);
    responder.publish(&Message::new("", &to, "reply").with(Properties::new().headers(&headers)));
    for reply in [requester.delivery()?, other.delivery()?, responder.take_soon(&name)?] {
        ensure(reply.header("CC")?.is_some() && reply.header("BCC")?.is_none(), "CC is gone or BCC is told")?;
        equal("key", reply.key, to.clone())?;
    }
    requester.silent()
}

fn s15_03_large(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    let body = vec![0x5a; 400_000];
    responder.publish(&Message::new("", &to, &body));
    ensure(requester.delivery()?.content.body == body, "another body")
}

fn s15_04_get(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(get(REPLY_TO, true));
    channel.closes(404, id(60, 70), &format!("NOT_FOUND - no {}", test.queue_text(REPLY_TO)))
}

fn s15_04_declare(test: &Test) -> Step {
    let channel = test.channel()?;
    let declared = channel.declare(&Queue::new(REPLY_TO))?;
    equal("declared", (declared.name.as_str(), declared.messages, declared.consumers), (REPLY_TO, 0, 1))?;
    channel.count(REPLY_TO).map(drop)
}

fn s15_04_bind(test: &Test) -> Step {
    let (_requester, responder, to) = scene(test)?;
    let other = responder.connection.channel()?;
    responder.send(bind(REPLY_TO, "amq.direct", "k", &Table::new()));
    responder.closes(404, id(50, 20), &format!("NOT_FOUND - no {}", test.queue_text(REPLY_TO)))?;
    other.send(bind(&to, "amq.direct", "k", &Table::new()));
    let text = "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue";
    other.closes(403, id(50, 20), text)
}

fn s15_04_delete(test: &Test) -> Step {
    let (requester, responder, to) = scene(test)?;
    for name in [REPLY_TO, &to] {
        equal("messages", responder.delete(name)?, 0)?;
    }
    responder.put(&to, "reply");
    equal("body", requester.delivery()?.body(), "reply")
}

fn s15_04_purge(test: &Test) -> Step {
    let (_requester, responder, to) = scene(test)?;
    equal("messages", responder.purge(&to)?, 0)?;
    responder.send(Payload::method(50, 30).short(0).text(REPLY_TO).bits(&[false]));
    responder.closes(404, id(50, 30), &format!("NOT_FOUND - no {}", test.queue_text(REPLY_TO)))
}
