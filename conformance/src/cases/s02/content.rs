//! Section 2: content headers, properties and bodies (semantics 2.4 to 2.7).

use leveret_codec::table::AMQPValue;

use crate::channel::Channel;
use crate::connection::Login;
use crate::entity::{Message, Queue};
use crate::outcome::{Step, ensure, equal};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Properties, Table, id};

cases! {
    s2_04_empty_body: "a body size of 0 makes a message without a body frame, both ways";
    s2_04_body_frame_after_empty: "even an empty body frame after a body size of 0 is 505";
    s2_04_empty_frame_within: "an empty body frame in the middle of a content is legal";
    s2_05_more_than_announced: "more body than announced is 501 at 60.40";
    s2_05_more_in_second_frame: "more body than announced, all frames together, is 501 at 60.40";
    s2_05_above_512_mib: "a body size above 512 MiB is 501 at 60.40, by its header alone";
    s2_05_above_64_bits: "a body size of 2^64-1 is 501 at 60.40, by its header alone";
    s2_05_above_max_message_size: "a message above 16 MiB is 406 at 60.40, and the connection goes on";
    s2_05_max_message_size: "a message of 16 MiB is taken and delivered";
    s2_06_weight: "a content header with a weight is 505 at 60.40";
    s2_06_short_header: "a content header frame that is too short is 501 at 0.0";
    s2_06_all_properties: "all fourteen properties are delivered byte for byte";
    s2_06_no_properties: "a message without properties is delivered without";
    s2_06_second_flag_word: "property flags that announce another word are refused",
        differs("541", "502", "RabbitMQ's reader dies of it; Leveret says what is wrong with the properties");
    s2_06_truncated: "properties that end too early are refused",
        differs("541", "502", "RabbitMQ's reader dies of it; Leveret says what is wrong with the properties");
    s2_06_trailing: "properties with something behind them are refused",
        differs("541", "502", "RabbitMQ's reader dies of it; Leveret says what is wrong with the properties");
    s2_06_unsound_headers: "headers that are no table are refused",
        differs("541", "502", "RabbitMQ's reader dies of it; Leveret says what is wrong with the properties");
    s2_07_split_for_consumer: "a body is split by the frame_max of its consumer";
    s2_07_joined_for_consumer: "a body in a hundred frames is delivered in one";
    s2_07_channels_interleave: "contents of two channels may come frame by frame in turn";
}

/// Sends a publish whose content header has this payload.
fn with_header(test: &Test, payload: &Payload) -> Step<Channel> {
    let channel = test.channel()?;
    channel.send(Message::new("", "conformance: no such queue", "").payload());
    channel.frame(2, &payload.0);
    Ok(channel)
}

fn sized(test: &Test, body_size: u64) -> Step<Channel> {
    with_header(test, &Payload::header(60, body_size, &Properties::new()))
}

/// A channel, and a queue declared on it.
fn queue(test: &Test) -> Step<(Channel, String)> {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&name))?;
    Ok((channel, name))
}

/// Publishes one content in body frames of these sizes.
fn publish_in(channel: &Channel, queue: &str, parts: &[&[u8]]) {
    channel.send(Message::new("", queue, "").payload());
    let size = parts.iter().map(|part| part.len() as u64).sum();
    channel.frame(2, &Payload::header(60, size, &Properties::new()).0);
    for part in parts {
        channel.frame(3, part);
    }
}

fn s2_04_empty_body(test: &Test) -> Step {
    let (channel, name) = queue(test)?;
    channel.consume(&name, "c")?;
    publish_in(&channel, &name, &[]);
    let content = channel.delivery()?.content;
    equal("body frames", content.frames.len(), 0)?;
    channel.sync()
}

fn s2_04_body_frame_after_empty(test: &Test) -> Step {
    let channel = sized(test, 0)?;
    channel.frame(3, b"");
    let text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    channel.connection.closes(505, id(0, 0), text)
}

fn s2_04_empty_frame_within(test: &Test) -> Step {
    let (channel, name) = queue(test)?;
    publish_in(&channel, &name, &[b"", b"a", b"", b"b"]);
    channel.becomes(&name, 1)?;
    equal("body", channel.take(&name)?.body(), "ab")
}

const EXCEEDS: &str = "FRAME_ERROR - content body frame exceeds remaining content size";

fn s2_05_more_than_announced(test: &Test) -> Step {
    let channel = sized(test, 2)?;
    channel.frame(3, b"abc");
    channel.connection.closes(501, id(60, 40), EXCEEDS)
}

fn s2_05_more_in_second_frame(test: &Test) -> Step {
    let channel = sized(test, 3)?;
    channel.frame(3, b"ab");
    channel.frame(3, b"cd");
    channel.connection.closes(501, id(60, 40), EXCEEDS)
}

/// A body size that no message may have.
fn refused_size(test: &Test, size: u64) -> Step {
    let text = format!("FRAME_ERROR - content body size {size} exceeds maximum allowed size 536870912");
    sized(test, size)?.connection.closes(501, id(60, 40), &text)
}

fn s2_05_above_512_mib(test: &Test) -> Step {
    refused_size(test, 512 * 1024 * 1024 + 1)
}

fn s2_05_above_64_bits(test: &Test) -> Step {
    refused_size(test, u64::MAX)
}

const MAX_MESSAGE: usize = 16 * 1024 * 1024;

fn s2_05_above_max_message_size(test: &Test) -> Step {
    let (channel, name) = queue(test)?;
    channel.publish(&Message::new("", &name, vec![b'x'; MAX_MESSAGE + 1]));
    let text = "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216";
    channel.closes(406, id(60, 40), text)?;
    channel.open()?;
    channel.empty(&name)
}

fn s2_05_max_message_size(test: &Test) -> Step {
    let (channel, name) = queue(test)?;
    let body = vec![b'x'; MAX_MESSAGE];
    channel.publish(&Message::new("", &name, &body));
    channel.becomes(&name, 1)?;
    ensure(channel.take(&name)?.content.body == body, "another body than was sent")
}

fn s2_06_weight(test: &Test) -> Step {
    let header = Payload::default().short(60).short(1).long_long(0).short(0);
    let text =
        "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead";
    with_header(test, &header)?.connection.closes(505, id(60, 40), text)
}

fn s2_06_short_header(test: &Test) -> Step {
    let header = Payload::default().short(60).short(0);
    with_header(test, &header)?.connection.closes(501, id(0, 0), "FRAME_ERROR - *")
}

/// Properties come back as they went.
fn kept(test: &Test, properties: Properties) -> Step {
    let (channel, name) = queue(test)?;
    channel.publish(&Message::new("", &name, "x").with(properties.clone()));
    channel.becomes(&name, 1)?;
    let got = channel.get(&name, false)?.map(|delivery| delivery.content.properties);
    equal("properties by get", got, Some(properties.encode()))?;
    channel.nack(1, false, true);
    channel.consume(&name, "c")?;
    equal("properties by deliver", channel.delivery()?.content.properties, properties.encode())
}

fn s2_06_all_properties(test: &Test) -> Step {
    let text = |bytes: &[u8]| crate::wire::short_string(bytes);
    let properties = Properties::new()
        .content_type("text/plain")
        .field(14, &text(b"gzip"))
        .headers(&Table::new().set("a", 1).set("b", "text"))
        .delivery_mode(2)
        .priority(5)
        .field(10, &text(b"correlation"))
        .reply_to("reply")
        .expiration("100000")
        .field(7, &text(b"message"))
        .field(6, &1_700_000_000_u64.to_be_bytes())
        .field(5, &text(b"type"))
        .user_id(&test.target.user)
        .field(3, &text(b"application"))
        .field(2, &text(b"cluster"));
    kept(test, properties)
}

fn s2_06_no_properties(test: &Test) -> Step {
    kept(test, Properties::new())
}

/// A content header with these properties, which nobody can read.
fn unreadable(test: &Test, properties: &[u8]) -> Step {
    let header = Payload::default().short(60).short(0).long_long(0).raw(properties);
    match with_header(test, &header)?.connection.close_code()? {
        541 => test.answered("541"),
        502 => test.answered("502"),
        code => return crate::outcome::fail(format!("closed with {code}")),
    }
    Ok(())
}

fn s2_06_second_flag_word(test: &Test) -> Step {
    unreadable(test, &[0, 1, 0, 0])
}

fn s2_06_truncated(test: &Test) -> Step {
    unreadable(test, b"\x80\x00\x09a")
}

fn s2_06_trailing(test: &Test) -> Step {
    unreadable(test, b"\x80\x00\x01ab")
}

fn s2_06_unsound_headers(test: &Test) -> Step {
    unreadable(test, b"\x20\x00\x00\x00\x00\x09\x01aV")
}

fn s2_07_split_for_consumer(test: &Test) -> Step {
    let publisher = test.channel()?;
    let consumer = test.connect_as(&Login { frame_max: 8192, ..test.login() })?.channel()?;
    let name = test.queue("q");
    publisher.declare(&Queue::new(&name))?;
    let body: Vec<u8> = (0..=250).cycle().take(20_000).collect();
    publish_in(&publisher, &name, &[&body]);
    consumer.consume(&name, "c")?;
    let content = consumer.delivery()?.content;
    equal("body frames", content.frames, vec![8184, 8184, 3632])?;
    ensure(content.body == body, "another body than was sent")
}

fn s2_07_joined_for_consumer(test: &Test) -> Step {
    let (channel, name) = queue(test)?;
    publish_in(&channel, &name, &[&b"0123456789"[..]; 100]);
    channel.becomes(&name, 1)?;
    let content = channel.take(&name)?.content;
    equal("body frames", content.frames, vec![1000])?;
    ensure(content.body == b"0123456789".repeat(100), "another body than was sent")
}

fn s2_07_channels_interleave(test: &Test) -> Step {
    let connection = test.connect()?;
    let (one, two) = (connection.channel()?, connection.channel()?);
    let name = test.queue("q");
    one.declare(&Queue::new(&name))?;
    let marked = |mark: i32| Properties::new().headers(&Table::new().set("mark", mark));
    for (mark, channel) in [(1, &one), (2, &two)] {
        channel.send(Message::new("", &name, "").payload());
        channel.frame(2, &Payload::header(60, 6, &marked(mark)).0);
    }
    for _ in 0..2 {
        one.frame(3, b"one");
        two.frame(3, b"two");
    }
    one.becomes(&name, 2)?;
    for _ in 0..2 {
        let delivery = one.take(&name)?;
        let expected = match delivery.header("mark")? {
            Some(AMQPValue::LongInt(1)) => "oneone",
            _ => "twotwo",
        };
        equal("body", delivery.body(), expected)?;
    }
    Ok(())
}
