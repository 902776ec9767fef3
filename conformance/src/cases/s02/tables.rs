//! Section 2: the types of field tables, strings and bits (semantics 2.8 to 2.11).

use leveret_codec::table::AMQPValue;

use crate::assembly::Input;
use crate::channel::{Channel, bind, get};
use crate::connection::PATIENCE;
use crate::entity::{Consume, Exchange, Message, Queue};
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Properties, Table, id, short_string};

cases! {
    s2_08_bool: "t, a bool, is delivered as it was sent";
    s2_08_bool_any_octet: "t with any octet but 0 is true";
    s2_08_signed_8: "b, a signed octet, is delivered as it was sent";
    s2_08_unsigned_8: "B, an unsigned octet, is delivered as it was sent";
    s2_08_signed_16: "s is a signed short of two octets, no short string";
    s2_08_unsigned_16: "u, an unsigned short, is delivered as it was sent";
    s2_08_signed_32: "I, a signed long, is delivered as it was sent";
    s2_08_unsigned_32: "i, an unsigned long, is delivered as it was sent";
    s2_08_signed_64: "l, a signed long long, is delivered as it was sent";
    s2_08_signed_64_too: "L is a signed long long as well",
        differs("l", "L", "RabbitMQ writes tables anew; Leveret passes on what was sent");
    s2_08_float: "f, a float, is delivered as it was sent";
    s2_08_double: "d, a double, is delivered as it was sent";
    s2_08_not_a_number: "a double that is not a number",
        differs("541", "delivered", "Erlang has no such number; Leveret passes on what was sent");
    s2_08_decimal: "D, scale and unsigned long, is delivered as it was sent";
    s2_08_long_string: "S, a long string of any bytes, is delivered as it was sent";
    s2_08_byte_array: "x, a byte array, is delivered as it was sent";
    s2_08_array: "A, an array, empty or nested, is delivered as it was sent";
    s2_08_timestamp: "T, a timestamp, is delivered as it was sent";
    s2_08_table: "F, a table, empty or nested, is delivered as it was sent";
    s2_08_void: "V, nothing, is delivered as it was sent";
    s2_08_all_in_arguments: "every type is read in the arguments of a declare";
    s2_08_unknown_type_in_arguments: "a type nobody knows in the arguments of a declare",
        differs("silent", "said", "RabbitMQ's reader dies of it; Leveret answers 501 and names the type");
    s2_09_queue_name: "a queue's name that is not UTF-8 is 501";
    s2_09_exchange_name: "an exchange's name that is not UTF-8 is 501";
    s2_09_binding_key: "a binding key that is not UTF-8 is 501";
    s2_09_consumer_tag: "a consumer tag that is not UTF-8 is 501";
    s2_09_reply_text: "a reply text that is not UTF-8 is 501";
    s2_09_connection_reply_text: "a reply text on channel 0 that is not UTF-8 is 501 at 10.50";
    s2_09_routing_key_is_opaque: "the routing key of a message is any bytes, routed and delivered";
    s2_09_published_exchange_is_opaque: "publishing to an exchange that is not UTF-8 is 404";
    s2_09_properties_are_opaque: "short strings of properties are any bytes";
    s2_09_table_keys_are_opaque: "the keys of a table are any bytes";
    s2_10_long_keys: "a table's keys may have 255 bytes, or none";
    s2_10_duplicate_keys: "of a header that is there twice, the first is the one",
        differs("one", "both", "RabbitMQ writes tables anew; Leveret passes on what was sent");
    s2_11_lowest_bit_first: "bits are packed from the lowest upward";
    s2_11_other_bits_ignored: "bits that stand for nothing are ignored";
    s2_11_ticket_ignored: "the reserved ticket is ignored";
}

/// A channel and a queue on it that holds one message with these headers.
fn published(test: &Test, headers: &Table) -> Step<(Channel, String)> {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&name))?;
    channel.publish(&Message::new("", &name, "x").with(Properties::new().headers(headers)));
    Ok((channel, name))
}

/// Headers come back as they went.
fn table_kept(test: &Test, headers: &Table) -> Step {
    let (channel, name) = published(test, headers)?;
    channel.becomes(&name, 1)?;
    let seen = channel.take(&name)?.content.properties;
    equal("properties", seen, Properties::new().headers(headers).encode())
}

/// A header of this value, its type octet first, comes back as it went.
fn kept(test: &Test, value: &[u8]) -> Step {
    table_kept(test, &Table::new().raw("k", value))
}

fn s2_08_bool(test: &Test) -> Step {
    kept(test, b"t\x01")?;
    kept(test, b"t\x00")
}

fn s2_08_bool_any_octet(test: &Test) -> Step {
    let (channel, name) = published(test, &Table::new().raw("k", b"t\x02"))?;
    channel.becomes(&name, 1)?;
    equal("header", channel.take(&name)?.header("k")?, Some(AMQPValue::Boolean(true)))
}

fn s2_08_signed_8(test: &Test) -> Step {
    kept(test, b"b\xfe")
}

fn s2_08_unsigned_8(test: &Test) -> Step {
    kept(test, b"B\xfe")
}

fn s2_08_signed_16(test: &Test) -> Step {
    kept(test, b"s\xff\xfe")
}

fn s2_08_unsigned_16(test: &Test) -> Step {
    kept(test, b"u\xff\xfe")
}

fn s2_08_signed_32(test: &Test) -> Step {
    kept(test, b"I\xff\xff\xff\xfe")
}

fn s2_08_unsigned_32(test: &Test) -> Step {
    kept(test, b"i\xff\xff\xff\xfe")
}

fn s2_08_signed_64(test: &Test) -> Step {
    kept(test, b"l\xff\xff\xff\xff\xff\xff\xff\xfe")
}

fn s2_08_signed_64_too(test: &Test) -> Step {
    let (channel, name) = published(test, &Table::new().raw("k", b"L\xff\xff\xff\xff\xff\xff\xff\xfe"))?;
    channel.becomes(&name, 1)?;
    match &channel.take(&name)?.content.properties[..] {
        [.., b'l', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe] => test.answered("l"),
        [.., b'L', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe] => test.answered("L"),
        other => return fail(format!("another number: {other:?}")),
    }
    Ok(())
}

fn s2_08_float(test: &Test) -> Step {
    kept(test, b"f\x3f\x80\x00\x01")
}

fn s2_08_double(test: &Test) -> Step {
    kept(test, b"d\x3f\xf8\x00\x00\x00\x00\x00\x01")
}

fn s2_08_not_a_number(test: &Test) -> Step {
    let value = b"d\x7f\xf8\x00\x00\x00\x00\x00\x01";
    let (channel, name) = published(test, &Table::new().raw("k", value))?;
    channel.send(get(&name, true));
    match channel.connection.read(PATIENCE)? {
        Input::Frame { payload, .. } if payload.starts_with(&[0, 10, 0, 50, 2, 29]) => test.answered("541"),
        Input::Frame { payload, .. } if payload.starts_with(&[0, 60, 0, 71]) => {
            match channel.connection.read(PATIENCE)? {
                Input::Frame { payload, .. } if payload.ends_with(value) => test.answered("delivered"),
                other => return fail(format!("another number: {other:?}")),
            }
        }
        other => return fail(format!("neither get-ok nor 541: {other:?}")),
    }
    Ok(())
}

fn s2_08_decimal(test: &Test) -> Step {
    kept(test, b"D\x02\x00\x00\x01\x02")?;
    kept(test, b"D\xff\xff\xff\xff\xff")
}

fn s2_08_long_string(test: &Test) -> Step {
    kept(test, b"S\x00\x00\x00\x04a\x00\xff\xfe")?;
    kept(test, b"S\x00\x00\x00\x00")
}

fn s2_08_byte_array(test: &Test) -> Step {
    kept(test, b"x\x00\x00\x00\x03a\x00\xff")
}

fn s2_08_array(test: &Test) -> Step {
    kept(test, b"A\x00\x00\x00\x00")?;
    kept(test, b"A\x00\x00\x00\x0at\x01b\x02A\x00\x00\x00\x01V")
}

fn s2_08_timestamp(test: &Test) -> Step {
    kept(test, b"T\x00\x00\x00\x00\x65\x53\xf1\x00")
}

fn s2_08_table(test: &Test) -> Step {
    kept(test, b"F\x00\x00\x00\x00")?;
    kept(test, b"F\x00\x00\x00\x0a\x01aF\x00\x00\x00\x03\x01bV")
}

fn s2_08_void(test: &Test) -> Step {
    kept(test, b"V")
}

fn s2_08_all_in_arguments(test: &Test) -> Step {
    let channel = test.channel()?;
    let mut queue = Queue::new(&test.queue("q"));
    for (name, value) in [
        ("x-1", &b"t\x02"[..]),
        ("x-2", b"b\xfe"),
        ("x-3", b"B\xfe"),
        ("x-4", b"s\xff\xfe"),
        ("x-5", b"u\xff\xfe"),
        ("x-6", b"I\xff\xff\xff\xfe"),
        ("x-7", b"i\xff\xff\xff\xfe"),
        ("x-8", b"l\xff\xff\xff\xff\xff\xff\xff\xfe"),
        ("x-9", b"L\xff\xff\xff\xff\xff\xff\xff\xfe"),
        ("x-10", b"f\x3f\x80\x00\x01"),
        ("x-11", b"d\x3f\xf8\x00\x00\x00\x00\x00\x01"),
        ("x-12", b"D\x02\x00\x00\x01\x02"),
        ("x-13", b"S\x00\x00\x00\x02a\xff"),
        ("x-14", b"x\x00\x00\x00\x02a\xff"),
        ("x-15", b"A\x00\x00\x00\x01V"),
        ("x-16", b"T\x00\x00\x00\x00\x65\x53\xf1\x00"),
        ("x-17", b"F\x00\x00\x00\x03\x01bV"),
        ("x-18", b"V"),
    ] {
        queue = queue.raw(name, value);
    }
    channel.declare(&queue).map(drop)
}

fn s2_08_unknown_type_in_arguments(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Queue::new("q").raw("x-1", b"Z\x00").payload());
    let said = channel.connection.closes_or_ends(501, id(50, 10), "FRAME_ERROR - *")?;
    test.answered(if said { "said" } else { "silent" });
    Ok(())
}

/// What no text is.
const OPAQUE: &[u8] = b"\xff\xfe";

/// A method with a text that is not UTF-8 is 501, at 0.0 on a channel.
fn malformed(test: &Test, payload: Payload) -> Step {
    let channel = test.channel()?;
    channel.send(payload);
    channel.connection.closes(501, id(0, 0), "FRAME_ERROR - Malformed UTF-8 in shortstr")
}

fn s2_09_queue_name(test: &Test) -> Step {
    malformed(test, Payload::method(50, 10).short(0).text(OPAQUE).octet(0).table(&Table::new()))
}

fn s2_09_exchange_name(test: &Test) -> Step {
    let payload = Payload::method(40, 10).short(0).text(OPAQUE).text("direct");
    malformed(test, payload.octet(0).table(&Table::new()))
}

fn s2_09_binding_key(test: &Test) -> Step {
    let payload = Payload::method(50, 20).short(0).text("q").text("amq.direct").text(OPAQUE);
    malformed(test, payload.octet(0).table(&Table::new()))
}

fn s2_09_consumer_tag(test: &Test) -> Step {
    malformed(test, Payload::method(60, 20).short(0).text("q").text(OPAQUE).octet(0).table(&Table::new()))
}

fn s2_09_reply_text(test: &Test) -> Step {
    malformed(test, Payload::method(20, 40).short(200).text(OPAQUE).short(0).short(0))
}

fn s2_09_connection_reply_text(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.send(0, Payload::method(10, 50).short(200).text(OPAQUE).short(0).short(0));
    connection.closes(501, id(10, 50), "FRAME_ERROR - Malformed UTF-8 in shortstr")
}

fn s2_09_routing_key_is_opaque(test: &Test) -> Step {
    let channel = test.channel()?;
    let (exchange, name) = (test.exchange("x"), test.queue("q"));
    channel.declare_exchange(&Exchange::new(&exchange, "topic"))?;
    channel.declare(&Queue::new(&name))?;
    channel.send(bind(&name, &exchange, "a.*", &Table::new()));
    channel.expect(id(50, 21))?;
    channel.send(Payload::method(60, 40).short(0).text(&exchange).text(b"a.\xff\xfe").octet(0));
    channel.frame(2, &Payload::header(60, 0, &Properties::new()).0);
    channel.becomes(&name, 1)?;
    channel.send(get(&name, true));
    match channel.connection.read(PATIENCE)? {
        Input::Frame { payload, .. } => {
            let names = [short_string(exchange.as_bytes()), short_string(b"a.\xff\xfe")].concat();
            equal("get-ok", &payload[13..payload.len() - 4], &names[..])
        }
        other => fail(format!("no get-ok: {other:?}")),
    }
}

fn s2_09_published_exchange_is_opaque(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(60, 40).short(0).text(OPAQUE).text("").octet(0));
    channel.frame(2, &Payload::header(60, 0, &Properties::new()).0);
    channel.closes(404, id(60, 40), "NOT_FOUND - no exchange '*' in vhost *")
}

fn s2_09_properties_are_opaque(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&name))?;
    let properties = Properties::new().field(15, &short_string(OPAQUE)).field(10, &short_string(OPAQUE));
    channel.publish(&Message::new("", &name, "x").with(properties.clone()));
    channel.becomes(&name, 1)?;
    equal("properties", channel.take(&name)?.content.properties, properties.encode())
}

/// A table with one field whose key is any bytes.
fn keyed(key: &[u8]) -> Vec<u8> {
    let field = [&short_string(key)[..], b"V"].concat();
    Payload::default().long_text(field).0
}

/// Headers with this key come back as they went.
fn key_kept(test: &Test, key: &[u8]) -> Step {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&name))?;
    let properties = Properties::new().field(13, &keyed(key));
    channel.publish(&Message::new("", &name, "x").with(properties.clone()));
    channel.becomes(&name, 1)?;
    equal("properties", channel.take(&name)?.content.properties, properties.encode())
}

fn s2_09_table_keys_are_opaque(test: &Test) -> Step {
    key_kept(test, OPAQUE)
}

fn s2_10_long_keys(test: &Test) -> Step {
    key_kept(test, &[b'k'; 255])?;
    key_kept(test, b"")
}

fn s2_10_duplicate_keys(test: &Test) -> Step {
    let headers = Table::new().set("k", 1).set("k", 2);
    let (channel, name) = published(test, &headers)?;
    channel.becomes(&name, 1)?;
    let seen = channel.take(&name)?.content.properties;
    let one = Properties::new().headers(&Table::new().set("k", 1));
    if seen == one.encode() {
        test.answered("one");
        return Ok(());
    }
    test.answered("both");
    equal("properties", seen, Properties::new().headers(&headers).encode())
}

fn s2_11_lowest_bit_first(test: &Test) -> Step {
    let (channel, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    // passive, durable, exclusive, auto-delete, no-wait: the third of five is exclusive.
    channel.send(Payload::method(50, 10).short(0).text(&name).octet(0b0000_0100).table(&Table::new()));
    channel.declared()?;
    other.send(Consume::new(&name, "c").payload());
    other.closes(405, id(60, 20), "RESOURCE_LOCKED - *")
}

fn s2_11_other_bits_ignored(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(Payload::method(50, 10).short(0).text(&name).octet(0b1110_0100).table(&Table::new()));
    equal("name", channel.declared()?.name, name)
}

fn s2_11_ticket_ignored(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(Payload::method(50, 10).short(4711).text(&name).octet(0b10).table(&Table::new()));
    equal("name", channel.declared()?.name, name)
}
