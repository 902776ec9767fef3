//! 9.1 to 9.9: what may be published, what comes back, and what arrives.

use crate::channel::{Channel, bind};
use crate::entity::{Exchange, Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::route::Router;
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Properties, Table, id, short_string};

cases! {
    s9_01_missing_exchange: "a publish to a missing exchange is 404 at 60.40";
    s9_01_missing_before_properties: "whether the exchange exists is seen before user_id and expiration";
    s9_01_internal_before_properties: "whether the exchange is internal is seen before user_id and expiration";
    s9_01_expiration_before_user: "expiration is checked before user_id";
    s9_01_size_first: "a body above 16 MiB is 406, even to a missing exchange";
    s9_01_largest: "a body of 16 MiB is taken";
    s9_01_earlier_requests_answered: "what was asked before a bad publish is answered before the close";
    s9_02_immediate: "immediate is 540 and closes the connection";
    s9_03_expiration_text: "an expiration that is no number is 406";
    s9_03_expiration_rest: "an expiration with something behind the number is 406";
    s9_03_expiration_negative: "an expiration below zero is 406";
    s9_03_expiration_huge: "an expiration of more than ten years is 406";
    s9_03_expiration_empty: "an empty expiration is 406";
    s9_03_expiration_unroutable: "the expiration is checked even where nothing is routed";
    s9_03_expiration_passed_on: "a good expiration stays in the properties";
    s9_03_expiration_signed: "an expiration with a sign or zeros in front is a number",
        differs("rewritten", "as sent", "Leveret passes properties on as they came");
    s9_04_user_id: "user_id of the connection's user is passed on";
    s9_04_user_id_of_another: "user_id of another user is 406 with both names";
    s9_05_returned: "a mandatory message that reaches no queue comes back whole";
    s9_05_return_before_ack: "the return comes before the ack";
    s9_05_returned_without_confirms: "a return needs no confirms";
    s9_05_routed_is_not_returned: "a mandatory message that reaches a queue does not come back";
    s9_05_unroutable_acked: "an unroutable message that is not mandatory is acked";
    s9_05_empty_body_returned: "a mandatory message without a body comes back without one";
    s9_07_delivery_mode_kept: "delivery_mode arrives as it was sent, also where it means nothing";
    s9_08_all_properties: "all properties and headers arrive as they were sent, byte for byte";
    s9_08_no_properties: "a message without properties arrives without";
    s9_08_large_body: "a body of many frames arrives whole";
    s9_09_fanout: "each queue gets a copy of its own";
}

fn user_id(user: &str) -> Properties {
    Properties::new().user_id(user)
}

/// Publishing this closes the channel.
fn refused(channel: &Channel, message: &Message, code: u16, text: &str) -> Step {
    channel.publish(message);
    channel.closes(code, id(60, 40), text)
}

fn s9_01_missing_exchange(test: &Test) -> Step {
    let exchange = test.exchange("x");
    let text = format!("NOT_FOUND - no {}", test.exchange_text(&exchange));
    refused(&test.channel()?, &Message::new(&exchange, "k", "x"), 404, &text)
}

fn s9_01_missing_before_properties(test: &Test) -> Step {
    let exchange = test.exchange("x");
    let message = Message::new(&exchange, "k", "x").with(user_id("nobody").expiration("abc"));
    refused(&test.channel()?, &message, 404, "NOT_FOUND - no exchange *")
}

fn s9_01_internal_before_properties(test: &Test) -> Step {
    let channel = test.channel()?;
    let exchange = test.exchange("x");
    channel.declare_exchange(&Exchange::new(&exchange, "fanout").internal())?;
    let message = Message::new(&exchange, "k", "x").with(user_id("nobody").expiration("abc"));
    refused(&channel, &message, 403, "ACCESS_REFUSED - cannot publish to internal *")
}

fn s9_01_expiration_before_user(test: &Test) -> Step {
    let message = Message::new("", "k", "x").with(user_id("nobody").expiration("abc"));
    refused(&test.channel()?, &message, 406, "PRECONDITION_FAILED - invalid expiration *")
}

/// The largest body RabbitMQ takes as it comes.
const LARGEST: usize = 16 << 20;

fn s9_01_size_first(test: &Test) -> Step {
    let channel = test.channel()?;
    let message = Message::new(&test.exchange("x"), "k", vec![0; LARGEST + 1]);
    let text = "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216";
    refused(&channel, &message, 406, text)
}

fn s9_01_largest(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    router.publish(&Message::new("", &queue, vec![b'x'; LARGEST]))?;
    equal("length", router.channel.take(&queue)?.content.body.len(), LARGEST)
}

fn s9_01_earlier_requests_answered(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.send(Queue::new(&queue).payload());
    channel.send(bind(&queue, "amq.direct", &queue, &Table::new()));
    channel.publish(&Message::new(&test.exchange("x"), "k", "x"));
    channel.send(Queue::new(&queue).payload());
    channel.expect(id(50, 11))?;
    channel.expect(id(50, 21))?;
    channel.closes(404, id(60, 40), "NOT_FOUND - no exchange *")?;
    channel.silent()
}

fn s9_02_immediate(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.publish(&Message::new("", "k", "x").immediate());
    channel.connection.closes(540, id(60, 40), "NOT_IMPLEMENTED - immediate=true")
}

/// This expiration is refused.
fn bad_expiration(test: &Test, text: &str, reason: &str) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    let message = Message::new("", &queue, "x").with(Properties::new().expiration(text));
    let text = format!("PRECONDITION_FAILED - invalid expiration '{text}': {reason}");
    refused(&channel, &message, 406, &text)
}

fn s9_03_expiration_text(test: &Test) -> Step {
    bad_expiration(test, "abc", "no_integer")
}

fn s9_03_expiration_rest(test: &Test) -> Step {
    bad_expiration(test, "10x", "{leftover_string,\"x\"}")?;
    bad_expiration(test, "1.5", "{leftover_string,\".5\"}")
}

fn s9_03_expiration_negative(test: &Test) -> Step {
    bad_expiration(test, "-1", "{value_negative,-1}")
}

fn s9_03_expiration_huge(test: &Test) -> Step {
    bad_expiration(test, "315360000001", "{value_too_large,315360000001}")
}

fn s9_03_expiration_empty(test: &Test) -> Step {
    bad_expiration(test, "", "no_integer")
}

fn s9_03_expiration_unroutable(test: &Test) -> Step {
    let message = Message::new("", &test.queue("nowhere"), "x").with(Properties::new().expiration("abc"));
    refused(&test.channel()?, &message, 406, "PRECONDITION_FAILED - invalid expiration 'abc': no_integer")
}

fn s9_03_expiration_passed_on(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    for good in ["60000", "315360000000"] {
        router.publish(&Message::new("", &queue, "x").with(Properties::new().expiration(good)))?;
        let delivery = router.channel.take(&queue)?;
        equal("expiration", delivery.properties()?.expiration(), Some(good.as_bytes()))?;
    }
    Ok(())
}

fn s9_03_expiration_signed(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    for odd in ["0060000", "+60000"] {
        router.publish(&Message::new("", &queue, "x").with(Properties::new().expiration(odd)))?;
        let delivery = router.channel.take(&queue)?;
        match delivery.properties()?.expiration() {
            Some(b"60000") => test.answered("rewritten"),
            Some(text) if text == odd.as_bytes() => test.answered("as sent"),
            other => return fail(format!("instead of {odd}: {other:?}")),
        }
    }
    Ok(())
}

fn s9_04_user_id(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    router.publish(&Message::new("", &queue, "x").with(user_id(&test.target.user)))?;
    let delivery = router.channel.take(&queue)?;
    equal("user_id", delivery.properties()?.user_id(), Some(test.target.user.as_bytes()))
}

fn s9_04_user_id_of_another(test: &Test) -> Step {
    let text = format!(
        "PRECONDITION_FAILED - user_id property set to 'nobody' but authenticated user was '{}'",
        test.target.user
    );
    refused(&test.channel()?, &Message::new("", "k", "x").with(user_id("nobody")), 406, &text)
}

fn s9_05_returned(test: &Test) -> Step {
    let channel = test.channel()?;
    let key = test.queue("nowhere");
    let body = "x".repeat(10_000);
    let properties = every_property(&test.target.user);
    let sent = properties.encode();
    channel.publish(&Message::new("amq.direct", &key, &body).mandatory().with(properties));
    let returned = channel.returned()?;
    equal("code and text", (returned.code, &*returned.text), (312, "NO_ROUTE"))?;
    equal("exchange and key", (&*returned.exchange, &*returned.key), ("amq.direct", &*key))?;
    ensure(returned.content.properties == sent, "the properties are others")?;
    ensure(returned.body() == body, "the body is another")
}

fn s9_05_return_before_ack(test: &Test) -> Step {
    let channel = test.channel()?;
    let key = test.queue("nowhere");
    channel.confirm_select()?;
    for number in 1..=5 {
        channel.publish(&Message::new("", &key, number.to_string()).mandatory());
        equal("body", channel.returned()?.body(), &*number.to_string())?;
        channel.confirmed(number, number)?;
    }
    Ok(())
}

fn s9_05_returned_without_confirms(test: &Test) -> Step {
    let channel = test.channel()?;
    let key = test.queue("nowhere");
    for body in ["a", "b"] {
        channel.publish(&Message::new("", &key, body).mandatory());
    }
    equal("body", channel.returned()?.body(), "a")?;
    equal("body", channel.returned()?.body(), "b")?;
    channel.silent()
}

fn s9_05_routed_is_not_returned(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    router.reaches(&Message::new("", &queue, "x").mandatory(), &[&queue])?;
    router.channel.silent()
}

fn s9_05_unroutable_acked(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.confirm_select()?;
    channel.publish(&Message::new("", &test.queue("nowhere"), "x"));
    channel.confirmed(1, 1)?;
    channel.silent()
}

fn s9_05_empty_body_returned(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.publish(&Message::new("", &test.queue("nowhere"), "").mandatory());
    let returned = channel.returned()?;
    equal("body", returned.body(), "")?;
    equal("body frames", returned.content.frames.len(), 0)?;
    channel.silent()
}

fn s9_07_delivery_mode_kept(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    for mode in [1, 2, 0, 3, 255] {
        router.publish(&Message::new("", &queue, "x").with(Properties::new().delivery_mode(mode)))?;
        let delivery = router.channel.take(&queue)?;
        equal("delivery_mode", delivery.properties()?.delivery_mode(), Some(mode))?;
    }
    Ok(())
}

/// All fourteen properties, and headers of every type, which some brokers sort by name.
fn every_property(user: &str) -> Properties {
    let text = |text: &str| short_string(text.as_bytes());
    let headers = Table::new()
        .set("array", &["a", "b"][..])
        .set("bool", true)
        .raw("byte", b"b\xff")
        .raw("bytes", b"x\0\0\0\x02\0\xff")
        .raw("decimal", b"D\x02\0\0\0\x05")
        .raw("double", b"d\x3f\xf0\0\0\0\0\0\0")
        .set("empty", "")
        .raw("float", b"f\x3f\x80\0\0")
        .set("int", 5)
        .set("long", 5_i64)
        .raw("short", b"s\xff\xff")
        .set("table", &Table::new().set("inner", &Table::new()))
        .set("text", "x")
        .raw("time", b"T\0\0\0\0\xff\0\0\0")
        .raw("unsigned byte", b"B\xff")
        .raw("unsigned int", b"i\xff\xff\xff\xff")
        .raw("unsigned short", b"u\xff\xff")
        .raw("void", b"V");
    Properties::new()
        .content_type("text/plain")
        .field(14, &text("gzip"))
        .headers(&headers)
        .delivery_mode(2)
        .priority(7)
        .field(10, &text("correlation"))
        .reply_to("somebody")
        .expiration("3600000")
        .field(7, &text("message"))
        .field(6, b"\0\0\0\x01\0\0\0\0")
        .field(5, &text("type"))
        .user_id(user)
        .field(3, &text("app"))
        .field(2, &text("cluster"))
}

fn s9_08_all_properties(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    let properties = every_property(&test.target.user);
    let sent = properties.encode();
    router.publish(&Message::new("", &queue, "x").with(properties))?;
    ensure(router.channel.take(&queue)?.content.properties == sent, "the properties are others")
}

fn s9_08_no_properties(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    router.publish(&Message::new("", &queue, ""))?;
    let delivery = router.channel.take(&queue)?;
    equal("properties", delivery.content.properties, vec![0, 0])?;
    equal("body frames", delivery.content.frames.len(), 0)
}

fn s9_08_large_body(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    let body: Vec<u8> = (0..1_000_003_u32).map(|at| at.to_le_bytes()[(at % 3) as usize]).collect();
    router.publish(&Message::new("", &queue, &body))?;
    ensure(router.channel.take(&queue)?.content.body == body, "the body is another")
}

fn s9_09_fanout(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "fanout")?;
    let queues = ["a", "b", "c"].map(|name| router.bound(name, &source, ""));
    router.publish(&Message::new(&source, "", "x"))?;
    for queue in queues {
        let queue = queue?;
        equal("body", router.channel.take(&queue)?.body(), "x")?;
        router.channel.empty(&queue)?;
    }
    Ok(())
}
