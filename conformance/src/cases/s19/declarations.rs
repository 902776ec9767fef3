//! Events of queues, exchanges and bindings, and what all events have in common.

use leveret_codec::properties::Field;
use leveret_codec::table::AMQPValue;

use super::Events;
use crate::channel::delete_exchange;
use crate::entity::{Exchange, Queue};
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Table, id};

cases! {
    s19_02_message: "an event is a persistent message without a body that says when it happened";
    s19_02_queue: "queue.created describes a new queue, queue.deleted names it";
    s19_02_queue_again: "a queue that is declared again is not told again";
    s19_02_queue_goes: "queue.deleted tells of queues that expire or go with their last consumer or connection";
    s19_02_arguments: "arguments are told as a list of texts, each a name, a type and a value";
    s19_02_exchange: "exchange.created describes a new exchange, exchange.deleted names it";
    s19_02_binding: "binding.created and binding.deleted describe a binding";
    s19_02_binding_goes: "bindings that go with a queue or an exchange are told";
}

fn s19_02_message(test: &Test) -> Step {
    let (events, channel, name) = (Events::new(test, &["queue.*"])?, test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&name))?;
    let told = events.next("queue.created", "name", &name)?;
    equal("body", told.message.body(), "")?;
    equal("exchange", told.message.exchange.as_str(), "amq.rabbitmq.event")?;
    let properties = told.message.properties()?;
    equal("delivery_mode", properties.delivery_mode(), Some(2))?;
    let Some(seconds) = properties.field(Field::Timestamp).and_then(<[u8]>::first_chunk) else {
        return fail("no timestamp");
    };
    let Some(AMQPValue::LongLongInt(millis)) = told.message.header("timestamp_in_ms")? else {
        return fail(format!("timestamp_in_ms: {:?}", told.fields));
    };
    equal("timestamps", u64::from_be_bytes(*seconds), millis.cast_unsigned() / 1000)
}

fn s19_02_queue(test: &Test) -> Step {
    let (events, channel) = (Events::new(test, &["queue.*"])?, test.channel()?);
    let (classic, quorum) = (test.queue("classic"), test.queue("quorum"));
    channel.declare(&Queue::of("quorum", &quorum))?;
    channel.declare(&Queue::new(&classic).transient().exclusive().auto_delete())?;
    let by = [("vhost", &*test.target.vhost), ("user_who_performed_action", &*test.target.user)];
    let told = events.next("queue.created", "name", &quorum)?;
    let flags = [("durable", "true"), ("exclusive", "false"), ("auto_delete", "false")];
    told.says(&flags)?.says(&by)?.says(&[("type", "rabbit_quorum_queue")])?;
    let told = events.next("queue.created", "name", &classic)?;
    let flags = [("durable", "false"), ("exclusive", "true"), ("auto_delete", "true")];
    told.says(&flags)?.says(&by)?.says(&[("type", "rabbit_classic_queue")])?;
    for (name, kind) in [(quorum, "rabbit_quorum_queue"), (classic, "rabbit_classic_queue")] {
        channel.delete(&name)?;
        events.next("queue.deleted", "name", &name)?.says(&by)?.says(&[("type", kind)])?;
    }
    Ok(())
}

fn s19_02_queue_again(test: &Test) -> Step {
    let (events, channel, name) = (Events::new(test, &["queue.*"])?, test.channel()?, test.queue("q"));
    for _ in 0..2 {
        channel.declare(&Queue::new(&name))?;
    }
    events.next("queue.created", "name", &name)?;
    events.none("queue.created", "name", &name)
}

fn s19_02_queue_goes(test: &Test) -> Step {
    let (events, channel) = (Events::new(test, &["queue.*"])?, test.channel()?);
    let names = ["expires", "unused", "exclusive"].map(|name| test.queue(name));
    let [expires, unused, exclusive] = &names;
    channel.declare(&Queue::new(expires).with("x-expires", 200))?;
    channel.declare(&Queue::new(unused).auto_delete())?;
    channel.declare(&Queue::new(exclusive).exclusive())?;
    channel.consume(unused, "t")?;
    channel.cancel("t")?;
    channel.connection.close()?;
    for name in &names {
        let told = events.next("queue.deleted", "name", name)?;
        told.says(&[("user_who_performed_action", "rmq-internal")])?;
        events.none("queue.deleted", "name", name)?;
    }
    Ok(())
}

fn s19_02_arguments(test: &Test) -> Step {
    let (events, channel, name) = (Events::new(test, &["binding.*"])?, test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&name))?;
    let arguments = Table::new()
        .set("a", 5)
        .set("b", "text \"quoted\" \\ and\nended")
        .set("c", &Table::new().set("n", true))
        .set("d", "")
        .raw("e", b"l\0\0\0\0\0\0\0\x07")
        .raw("f", b"S\0\0\0\x02\0\xff")
        .raw("g", b"A\0\0\0\x0bI\0\0\0\x01S\0\0\0\x01x")
        .raw("h", b"V")
        .raw("i", b"d\x3f\xf8\0\0\0\0\0\0")
        .raw("j", "S\0\0\0\u{2}ü".as_bytes())
        .raw("k", b"T\0\0\0\0\0\0\0\x09")
        .raw("m", b"x\0\0\0\x02ab");
    channel.bind_with(&name, "amq.direct", "k", &arguments)?;
    let expected = [
        r#"{<<"a">>,signedint,5}"#,
        r#"{<<"b">>,longstr,<<"text \"quoted\" \\ and\nended">>}"#,
        r#"{<<"c">>,table,[{<<"n">>,bool,true}]}"#,
        r#"{<<"d">>,longstr,<<>>}"#,
        r#"{<<"e">>,long,7}"#,
        r#"{<<"f">>,longstr,<<0,255>>}"#,
        r#"{<<"g">>,array,[{signedint,1},{longstr,<<"x">>}]}"#,
        r#"{<<"h">>,void,undefined}"#,
        r#"{<<"i">>,double,1.5}"#,
        r#"{<<"j">>,longstr,<<"ü">>}"#,
        r#"{<<"k">>,timestamp,9}"#,
        r#"{<<"m">>,binary,<<"ab">>}"#,
    ];
    let told = events.next("binding.created", "destination_name", &name)?;
    equal("arguments", told.field("arguments")?, format!("[{}]", expected.join(" ")).as_str())
}

fn s19_02_exchange(test: &Test) -> Step {
    let (events, channel, name) = (Events::new(test, &["exchange.*"])?, test.channel()?, test.exchange("x"));
    channel.declare_exchange(&Exchange::new(&name, "topic").durable().internal().auto_delete())?;
    let by = [("vhost", &*test.target.vhost), ("user_who_performed_action", &*test.target.user)];
    let fields = [
        ("type", "topic"),
        ("durable", "true"),
        ("internal", "true"),
        ("auto_delete", "true"),
        ("arguments", "[]"),
        ("policy", ""),
    ];
    events.next("exchange.created", "name", &name)?.says(&by)?.says(&fields)?;
    channel.call(delete_exchange(&name, false), id(40, 21))?;
    events.next("exchange.deleted", "name", &name)?.says(&by)?;
    events.none("exchange.deleted", "name", &name)
}

fn s19_02_binding(test: &Test) -> Step {
    let (events, channel, name) = (Events::new(test, &["binding.*"])?, test.channel()?, test.queue("q"));
    let exchange = test.exchange("x");
    channel.declare(&Queue::new(&name))?;
    channel.declare_exchange(&Exchange::new(&exchange, "fanout"))?;
    channel.bind_with(&name, "amq.headers", "a.b", &Table::new().set("z", true))?;
    channel.bind_exchange(&exchange, "amq.direct", "k")?;
    let by = [("vhost", &*test.target.vhost), ("user_who_performed_action", &*test.target.user)];
    let to_queue = [
        ("source_name", "amq.headers"),
        ("source_kind", "exchange"),
        ("destination_kind", "queue"),
        ("routing_key", "a.b"),
        ("arguments", r#"[{<<"z">>,bool,true}]"#),
    ];
    events.next("binding.created", "destination_name", &name)?.says(&by)?.says(&to_queue)?;
    let to_exchange = [
        ("source_name", "amq.direct"),
        ("destination_kind", "exchange"),
        ("routing_key", "k"),
        ("arguments", "[]"),
    ];
    events.next("binding.created", "destination_name", &exchange)?.says(&by)?.says(&to_exchange)?;
    channel.unbind_exchange(&exchange, "amq.direct", "k")?;
    events.next("binding.deleted", "destination_name", &exchange)?.says(&by)?.says(&to_exchange).map(drop)
}

fn s19_02_binding_goes(test: &Test) -> Step {
    let (events, channel) = (Events::new(test, &["binding.*"])?, test.channel()?);
    let (first, second, exchange) = (test.queue("first"), test.queue("second"), test.exchange("x"));
    channel.declare_exchange(&Exchange::new(&exchange, "topic"))?;
    for queue in [&first, &second] {
        channel.declare(&Queue::new(queue))?;
        channel.bind(queue, &exchange, "a.*")?;
    }
    channel.delete(&first)?;
    channel.call(delete_exchange(&exchange, false), id(40, 21))?;
    for queue in [&first, &second] {
        let told = events.next("binding.deleted", "destination_name", queue)?;
        told.says(&[("source_name", &exchange), ("routing_key", "a.*")])?;
        events.none("binding.deleted", "destination_name", queue)?;
    }
    Ok(())
}
