//! The firehose. Needs the management interface.

use leveret_codec::table::{AMQPValue, FieldTable};
use serde_json::json;

use crate::admin::Admin;
use crate::channel::{Channel, Delivery};
use crate::entity::{Message, Queue};
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Properties, Table};

cases! {
    s19_01_publish: "a publish in a traced vhost is copied to amq.rabbitmq.trace with all about it in headers";
    s19_01_unroutable: "a publish that reaches no queue is copied as well";
    s19_01_deliver: "a delivery and a get in a traced vhost are copied";
    s19_01_not_itself: "copies are not copied again";
    s19_01_off: "nothing is copied while tracing is off";
}

/// A vhost that is traced or not, with the queues `q` and `copies`, the latter bound to the trace exchange.
fn traced<'a>(test: &'a Test<'a>, on: bool) -> Step<(Admin<'a>, Channel)> {
    let admin = Admin::with_vhost(test, &json!({"tracing": on}))?;
    let channel = admin.channel()?;
    for name in ["q", "copies"] {
        channel.declare(&Queue::new(name))?;
    }
    channel.bind("copies", "amq.rabbitmq.trace", "#")?;
    Ok((admin, channel))
}

/// The next copy with this key; others are passed over.
fn copy(channel: &Channel, key: &str) -> Step<Delivery> {
    loop {
        let copy = channel.take_soon("copies")?;
        if copy.key == key {
            return Ok(copy);
        }
    }
}

fn header(copy: &Delivery, name: &str) -> Step<AMQPValue> {
    match copy.header(name)? {
        Some(value) => Ok(value),
        None => fail(format!("no header {name}")),
    }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn texts(items: &[&str]) -> AMQPValue {
    AMQPValue::FieldArray(items.iter().map(|item| text(item)).collect::<Vec<_>>().into())
}

fn s19_01_publish(test: &Test) -> Step {
    let (admin, channel) = traced(test, true)?;
    let properties = Properties::persistent().content_type("text/plain").priority(3).expiration("60000");
    let properties = properties.headers(&Table::new().set("a", 1));
    channel.publish(&Message::new("", "q", "body").with(properties));
    let copy = copy(&channel, "publish.")?;
    equal("body", copy.body(), "body")?;
    equal("exchange", copy.exchange.as_str(), "amq.rabbitmq.trace")?;
    equal("exchange_name", header(&copy, "exchange_name")?, text(""))?;
    equal("routing_keys", header(&copy, "routing_keys")?, texts(&["q"]))?;
    equal("routed_queues", header(&copy, "routed_queues")?, texts(&["q"]))?;
    equal("vhost", header(&copy, "vhost")?, text(&admin.vhost))?;
    equal("user", header(&copy, "user")?, text(&test.target.user))?;
    equal("channel", header(&copy, "channel")?, AMQPValue::LongInt(i32::from(channel.number)))?;
    for name in ["node", "connection"] {
        match header(&copy, name)? {
            AMQPValue::LongString(_) => {}
            other => return fail(format!("{name} is {other:?}")),
        }
    }
    let mut headers = FieldTable::default();
    headers.insert("a".into(), AMQPValue::LongInt(1));
    let mut expected = FieldTable::default();
    expected.insert("content_type".into(), text("text/plain"));
    expected.insert("headers".into(), AMQPValue::FieldTable(headers));
    expected.insert("delivery_mode".into(), AMQPValue::LongInt(2));
    expected.insert("priority".into(), AMQPValue::LongInt(3));
    expected.insert("expiration".into(), text("60000"));
    equal("properties", header(&copy, "properties")?, AMQPValue::FieldTable(expected))
}

fn s19_01_unroutable(test: &Test) -> Step {
    let (_admin, channel) = traced(test, true)?;
    channel.publish(&Message::new("amq.direct", "nowhere", "body"));
    let copy = copy(&channel, "publish.amq.direct")?;
    equal("routed_queues", header(&copy, "routed_queues")?, texts(&[]))?;
    equal("routing_keys", header(&copy, "routing_keys")?, texts(&["nowhere"]))
}

fn s19_01_deliver(test: &Test) -> Step {
    let (_admin, channel) = traced(test, true)?;
    channel.put("q", "first");
    let got = channel.get("q", false)?;
    let Some(got) = got else { return fail("nothing to get") };
    let first = copy(&channel, "deliver.q")?;
    equal("body", first.body(), "first")?;
    equal("redelivered", header(&first, "redelivered")?, AMQPValue::LongInt(0))?;
    equal("routed_queues", first.header("routed_queues")?, None)?;
    channel.reject(got.tag, true);
    channel.consume("q", "t")?;
    let delivery = channel.delivery()?;
    channel.ack(delivery.tag, false);
    channel.cancel("t")?;
    let again = copy(&channel, "deliver.q")?;
    equal("redelivered", header(&again, "redelivered")?, AMQPValue::LongInt(1))
}

fn s19_01_not_itself(test: &Test) -> Step {
    let (_admin, channel) = traced(test, true)?;
    channel.put("q", "body");
    copy(&channel, "publish.")?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    channel.empty("copies")
}

fn s19_01_off(test: &Test) -> Step {
    let (admin, channel) = traced(test, false)?;
    channel.put("q", "body");
    channel.take_soon("q")?;
    channel.empty("copies")?;
    admin.put(&format!("vhosts/{}", admin.vhost), &json!({"tracing": true}))?;
    admin.connect()?.channel()?.put("q", "body");
    copy(&channel, "publish.").map(drop)
}
