//! Section 5, the exchange types that come as plugins elsewhere. A broker without one of them has its cases skipped.
//! Delayed messages are in `s05_delayed`.

use leveret_codec::method::amqp::{AMQPClass, channel};
use leveret_codec::table::AMQPValue;

use crate::channel::{Channel, bind, bind_exchange};
use crate::connection::PATIENCE;
use crate::entity::{Exchange, Message, Queue};
use crate::outcome::{Step, Stop, ensure, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Properties, Table, id};

cases! {
    s5_25_weights: "a consistent hash exchange spreads routing keys by the weights of the bindings";
    s5_25_same_key_same_queue: "one routing key always leads to one queue";
    s5_25_one_destination_for_copies: "the keys of CC do not make more destinations";
    s5_25_first_binding_counts: "a second binding of a queue does not change its weight";
    s5_25_gone_and_back: "what is unbound gets nothing, and the others get its keys";
    s5_25_no_integer: "a binding key that is no integer is 406";
    s5_25_not_positive: "a binding key below 1 is 406";
    s5_25_too_heavy: "a binding key above 10000 is 406";
    s5_25_hash_header: "hash-header makes a header decide, of any type, and the key no more";
    s5_25_header_missing: "messages without the header go to one queue";
    s5_25_hash_property: "hash-property makes message_id, correlation_id or timestamp decide";
    s5_25_header_and_property: "hash-header with hash-property is 406";
    s5_25_unknown_property: "another property than the three is 406";
    s5_25_redeclared_without: "a redeclare does not compare the hash arguments";
    s5_26_spread: "a modulus hash exchange spreads routing keys over the bindings, whatever their keys";
    s5_26_bindings_count: "a queue that is bound more often gets more";
    s5_27_random: "a random exchange gives every message to one queue";
    s5_27_local_random: "a local random exchange does so too";
    s5_27_local_random_key: "a local random exchange takes no binding key: 406";
    s5_27_local_random_quorum: "a local random exchange takes no quorum queue: 406";
    s5_27_local_random_exchange: "a local random exchange takes no exchange: 406";
    s5_28_replayed: "a new binding is sent the last messages, in their order";
    s5_28_length_default: "without x-recent-history-length these are 20";
    s5_28_same_binding: "a binding that was there already is sent nothing, another one of the queue everything";
    s5_28_no_store: "x-recent-history-no-store true is not remembered; anything else there is";
    s5_28_unroutable: "what nobody was bound for is returned, and remembered";
    s5_28_over_exchange: "an exchange that is bound passes what is remembered on";
    s5_28_properties_kept: "what is remembered comes with exchange, key and properties";
    s5_28_length_wrong: "x-recent-history-length that is no positive integer is 406";
}

const HASH: &str = "x-consistent-hash";
const MODULUS: &str = "x-modulus-hash";
const RANDOM: &str = "x-random";
const LOCAL: &str = "x-local-random";
const HISTORY: &str = "x-recent-history";
pub(super) const DELAYED: &str = "x-delayed-message";

/// Declares an exchange, or skips the case where the broker has no such type.
pub(super) fn declare(channel: &Channel, exchange: &Exchange) -> Step {
    channel.send(exchange.payload());
    match channel.event(PATIENCE)? {
        Some(event) if event.id == id(40, 11) => Ok(()),
        Some(event) => match event.method {
            AMQPClass::Channel(channel::AMQPMethod::Close(close))
                if close.reply_text.as_str().contains("exchange type") && close.reply_code == 406 =>
            {
                Err(Stop::Skip(format!("the broker says {}", close.reply_text)))
            }
            other => fail(format!("expected exchange.declare-ok, saw {other:?}")),
        },
        None => fail("expected exchange.declare-ok, saw nothing"),
    }
}

/// An exchange that is refused with 406 and this text; skips where the broker has no such type.
pub(super) fn refused(test: &Test, kind: &str, arguments: &[(&str, &[u8])], text: &str) -> Step {
    let sound = Exchange::new(&test.exchange("sound"), kind);
    let sound = if kind == DELAYED { sound.with("x-delayed-type", "direct") } else { sound };
    declare(&test.channel()?, &sound)?;
    let channel = test.channel()?;
    let mut table = Table::new();
    for (name, value) in arguments {
        table = table.raw(name, value);
    }
    let payload = Payload::method(40, 10).short(0).text(test.exchange("x")).text(kind);
    channel.send(payload.bits(&[false; 5]).table(&table));
    channel.closes(406, id(40, 10), &format!("PRECONDITION_FAILED - {text}"))
}

/// An exchange with a queue bound by each key, and their names.
fn bound(
    test: &Test,
    channel: &Channel,
    exchange: &Exchange,
    name: &str,
    keys: &[&str],
) -> Step<Vec<String>> {
    declare(channel, exchange)?;
    let queues: Vec<_> = (1..=keys.len()).map(|number| test.queue(&format!("q{number}"))).collect();
    for (queue, key) in queues.iter().zip(keys) {
        channel.declare(&Queue::new(queue))?;
        channel.bind(queue, name, key)?;
    }
    channel.confirm_select()?;
    Ok(queues)
}

/// Publishes messages numbered from 0, waits for their confirms (`before` were published before) and returns which
/// numbers are in each queue, which they leave.
fn spread(
    channel: &Channel,
    queues: &[String],
    before: u64,
    messages: u64,
    message: impl Fn(u64) -> Message,
) -> Step<Vec<Vec<u64>>> {
    for number in 0..messages {
        channel.publish(&message(number));
    }
    channel.confirmed(before + 1, before + messages)?;
    let mut shares = Vec::new();
    for queue in queues {
        let mut share = Vec::new();
        while let Some(delivery) = channel.get(queue, true)? {
            share.push(delivery.body().parse().unwrap_or(u64::MAX));
        }
        shares.push(share);
    }
    equal("messages in all queues", shares.iter().map(Vec::len).sum::<usize>() as u64, messages)?;
    Ok(shares)
}

fn keyed(exchange: &str) -> impl Fn(u64) -> Message {
    move |number| Message::new(exchange, &format!("key {number}"), number.to_string())
}

/// Each share is within a third of what is expected.
fn about(shares: &[Vec<u64>], expected: &[usize]) -> Step {
    let sizes: Vec<_> = shares.iter().map(Vec::len).collect();
    let near = sizes.iter().zip(expected).all(|(&size, &expected)| size.abs_diff(expected) <= expected / 3);
    ensure(near, &format!("expected shares of about {expected:?}, saw {sizes:?}"))
}

/// All messages went to one queue.
fn in_one(shares: &[Vec<u64>]) -> Step {
    let sizes: Vec<_> = shares.iter().map(Vec::len).collect();
    ensure(sizes.iter().filter(|&&size| size > 0).count() == 1, &format!("expected one queue, saw {sizes:?}"))
}

fn s5_25_weights(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    let queues = bound(test, &channel, &Exchange::new(&name, HASH), &name, &["1", "2", "+3"])?;
    about(&spread(&channel, &queues, 0, 1200, keyed(&name))?, &[200, 400, 600])
}

fn s5_25_same_key_same_queue(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    let queues = bound(test, &channel, &Exchange::new(&name, HASH), &name, &["1"; 4])?;
    for round in 0..5 {
        let key = format!("key {round}");
        in_one(&spread(&channel, &queues, round * 20, 20, |number| {
            Message::new(&name, &key, number.to_string())
        })?)?;
    }
    Ok(())
}

fn s5_25_one_destination_for_copies(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    let queues = bound(test, &channel, &Exchange::new(&name, HASH), &name, &["1"; 4])?;
    let copies = Table::new().set("CC", &["a", "b", "c", "d", "e", "f", "g"][..]);
    let shares = spread(&channel, &queues, 0, 20, |number| {
        Message::new(&name, "key", number.to_string()).with(Properties::new().headers(&copies))
    })?;
    in_one(&shares)
}

fn s5_25_first_binding_counts(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    let queues = bound(test, &channel, &Exchange::new(&name, HASH), &name, &["1", "1"])?;
    channel.bind(&queues[0], &name, "10")?;
    about(&spread(&channel, &queues, 0, 600, keyed(&name))?, &[300, 300])
}

fn s5_25_gone_and_back(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    let queues = bound(test, &channel, &Exchange::new(&name, HASH), &name, &["10", "10", "10"])?;
    spread(&channel, &queues, 0, 100, keyed(&name))?;
    channel.unbind(&queues[2], &name, "10")?;
    let shares = spread(&channel, &queues, 100, 300, keyed(&name))?;
    equal("messages of the queue that went", shares[2].len(), 0)?;
    about(&shares[..2], &[150, 150])?;
    channel.bind(&queues[2], &name, "10")?;
    about(&spread(&channel, &queues, 400, 300, keyed(&name))?, &[100, 100, 100])
}

/// A binding with this key is 406.
fn wrong_weight(test: &Test, key: &str, text: &str) -> Step {
    let (channel, name, queue) = (test.channel()?, test.exchange("x"), test.queue("q"));
    declare(&channel, &Exchange::new(&name, HASH))?;
    channel.declare(&Queue::new(&queue))?;
    channel.send(bind(&queue, &name, key, &Table::new()));
    channel.closes(406, id(50, 20), &format!("PRECONDITION_FAILED - {text}"))
}

fn s5_25_no_integer(test: &Test) -> Step {
    wrong_weight(test, "", "The binding key must be an integer: <<>>")?;
    wrong_weight(test, "1.5", "The binding key must be an integer: <<\"1.5\">>")
}

fn s5_25_not_positive(test: &Test) -> Step {
    wrong_weight(test, "0", "The binding key must be greater than 0")?;
    wrong_weight(test, "-1", "The binding key must be greater than 0")
}

fn s5_25_too_heavy(test: &Test) -> Step {
    wrong_weight(test, "10001", "The binding key must not exceed 10000")
}

fn s5_25_hash_header(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    let exchange = Exchange::new(&name, HASH).with("hash-header", "who");
    let queues = bound(test, &channel, &exchange, &name, &["1", "1"])?;
    let with = |headers: &Table, number: u64| {
        Message::new(&name, &number.to_string(), number.to_string()).with(Properties::new().headers(headers))
    };
    let texts = spread(&channel, &queues, 0, 200, |number| {
        with(&Table::new().set("who", &number.to_string()), number)
    })?;
    about(&texts, &[100, 100])?;
    let numbers = spread(&channel, &queues, 200, 200, |number| {
        with(&Table::new().set("who", i64::try_from(number).unwrap_or(0)), number)
    })?;
    about(&numbers, &[100, 100])?;
    in_one(&spread(&channel, &queues, 400, 20, |number| with(&Table::new().set("who", "me"), number))?)
}

fn s5_25_header_missing(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    let exchange = Exchange::new(&name, HASH).with("hash-header", "who");
    let queues = bound(test, &channel, &exchange, &name, &["1"; 4])?;
    in_one(&spread(&channel, &queues, 0, 50, keyed(&name))?)
}

fn s5_25_hash_property(test: &Test) -> Step {
    for (property, bit) in [("message_id", 7), ("correlation_id", 10), ("timestamp", 6)] {
        let (channel, name) = (test.channel()?, test.exchange(property));
        let exchange = Exchange::new(&name, HASH).with("hash-property", property);
        let queues = bound(test, &channel, &exchange, &name, &["1", "1"])?;
        let value = |number: u64| match property {
            "timestamp" => number.to_be_bytes().to_vec(),
            _ => crate::wire::short_string(number.to_string().as_bytes()),
        };
        let by_property = spread(&channel, &queues, 0, 200, |number| {
            let properties = Properties::new().field(bit, &value(number));
            Message::new(&name, "key", number.to_string()).with(properties)
        })?;
        about(&by_property, &[100, 100])?;
        in_one(&spread(&channel, &queues, 200, 50, keyed(&name))?)?;
        for queue in &queues {
            channel.delete(queue)?;
        }
    }
    Ok(())
}

fn s5_25_header_and_property(test: &Test) -> Step {
    let both: [(&str, &[u8]); 2] =
        [("hash-header", b"S\0\0\0\x01h"), ("hash-property", b"S\0\0\0\x0amessage_id")];
    refused(test, HASH, &both, "hash-header and hash-property are mutually exclusive")
}

fn s5_25_unknown_property(test: &Test) -> Step {
    refused(test, HASH, &[("hash-property", b"S\0\0\0\x05bogus")], "Unsupported property: bogus")
}

fn s5_25_redeclared_without(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    declare(&channel, &Exchange::new(&name, HASH).with("hash-header", "who"))?;
    channel.declare_exchange(&Exchange::new(&name, HASH))
}

fn s5_26_spread(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    let queues = bound(test, &channel, &Exchange::new(&name, MODULUS), &name, &["", "key 1", "#"])?;
    let shares = spread(&channel, &queues, 0, 600, keyed(&name))?;
    about(&shares, &[200, 200, 200])?;
    equal("the same again", spread(&channel, &queues, 600, 600, keyed(&name))?, shares)
}

fn s5_26_bindings_count(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    let queues = bound(test, &channel, &Exchange::new(&name, MODULUS), &name, &["a", "b"])?;
    channel.bind(&queues[0], &name, "c")?;
    channel.bind(&queues[0], &name, "d")?;
    about(&spread(&channel, &queues, 0, 800, keyed(&name))?, &[600, 200])
}

fn by_chance(test: &Test, kind: &str) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    let queues = bound(test, &channel, &Exchange::new(&name, kind), &name, &["", "", ""])?;
    let one_key = |number: u64| Message::new(&name, "key", number.to_string());
    about(&spread(&channel, &queues, 0, 600, one_key)?, &[200, 200, 200])
}

fn s5_27_random(test: &Test) -> Step {
    by_chance(test, RANDOM)
}

fn s5_27_local_random(test: &Test) -> Step {
    by_chance(test, LOCAL)
}

fn s5_27_local_random_key(test: &Test) -> Step {
    let (channel, name, queue) = (test.channel()?, test.exchange("x"), test.queue("q"));
    declare(&channel, &Exchange::new(&name, LOCAL))?;
    channel.declare(&Queue::new(&queue))?;
    channel.send(bind(&queue, &name, "k", &Table::new()));
    channel.closes(406, id(50, 20), "PRECONDITION_FAILED - Non empty binding 'k' key not permitted")
}

fn s5_27_local_random_quorum(test: &Test) -> Step {
    let (channel, name, queue) = (test.channel()?, test.exchange("x"), test.queue("q"));
    declare(&channel, &Exchange::new(&name, LOCAL))?;
    channel.declare(&Queue::new(&queue).with("x-queue-type", "quorum"))?;
    channel.send(bind(&queue, &name, "", &Table::new()));
    let text = "PRECONDITION_FAILED - Queue type * not valid for this exchange type";
    channel.closes(406, id(50, 20), text)
}

fn s5_27_local_random_exchange(test: &Test) -> Step {
    let (channel, name) = (test.channel()?, test.exchange("x"));
    declare(&channel, &Exchange::new(&name, LOCAL))?;
    channel.send(bind_exchange("amq.fanout", &name, ""));
    channel.closes(406, id(40, 30), "PRECONDITION_FAILED - Destination not found")
}

/// A history exchange to which these bodies were published, with confirms, and nothing bound.
fn history(test: &Test, exchange: Exchange, name: &str, bodies: &[String]) -> Step<Channel> {
    let channel = test.channel()?;
    declare(&channel, &exchange)?;
    channel.confirm_select()?;
    for body in bodies {
        channel.publish(&Message::new(name, body, body));
    }
    channel.confirmed(1, bodies.len() as u64)?;
    Ok(channel)
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// A new queue that is bound is sent these bodies and nothing else.
fn is_sent(test: &Test, channel: &Channel, name: &str, expected: &[String]) -> Step {
    let queue = test.queue("late");
    channel.declare(&Queue::new(&queue))?;
    channel.bind(&queue, name, "")?;
    let seen: Vec<String> = expected
        .iter()
        .map(|_| channel.take_soon(&queue).map(|delivery| delivery.body().to_owned()))
        .collect::<Step<_>>()?;
    equal("what was sent", &seen[..], expected)?;
    channel.silent()?;
    channel.empty(&queue)
}

fn s5_28_replayed(test: &Test) -> Step {
    let name = test.exchange("x");
    let exchange = Exchange::new(&name, HISTORY).with("x-recent-history-length", 3);
    let channel = history(test, exchange, &name, &numbers(1..=5))?;
    is_sent(test, &channel, &name, &numbers(3..=5))
}

fn s5_28_length_default(test: &Test) -> Step {
    let name = test.exchange("x");
    let channel = history(test, Exchange::new(&name, HISTORY), &name, &numbers(1..=25))?;
    is_sent(test, &channel, &name, &numbers(6..=25))
}

fn s5_28_same_binding(test: &Test) -> Step {
    let name = test.exchange("x");
    let channel = history(test, Exchange::new(&name, HISTORY), &name, &numbers(1..=2))?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    channel.bind(&queue, &name, "")?;
    channel.becomes(&queue, 2)?;
    channel.bind(&queue, &name, "")?;
    channel.silent()?;
    equal("messages after the same binding", channel.count(&queue)?.0, 2)?;
    channel.bind(&queue, &name, "other")?;
    channel.becomes(&queue, 4)
}

fn s5_28_no_store(test: &Test) -> Step {
    let name = test.exchange("x");
    let channel = history(test, Exchange::new(&name, HISTORY), &name, &[])?;
    let no_store = |value: &[u8], body: &str| {
        let headers = Table::new().raw("x-recent-history-no-store", value);
        Message::new(&name, "", body).with(Properties::new().headers(&headers))
    };
    channel.publish(&no_store(b"t\x01", "true"));
    channel.publish(&no_store(b"t\x00", "false"));
    channel.publish(&no_store(b"S\0\0\0\x04true", "text"));
    channel.confirmed(1, 3)?;
    is_sent(test, &channel, &name, &["false".to_owned(), "text".to_owned()])
}

fn s5_28_unroutable(test: &Test) -> Step {
    let name = test.exchange("x");
    let channel = history(test, Exchange::new(&name, HISTORY), &name, &[])?;
    channel.publish(&Message::new(&name, "k", "1").mandatory());
    equal("code", channel.returned()?.code, 312)?;
    channel.confirmed(1, 1)?;
    is_sent(test, &channel, &name, &numbers(1..=1))
}

/// In RabbitMQ they come newest first, and it crashes over one that goes nowhere.
fn s5_28_over_exchange(test: &Test) -> Step {
    let (name, then, queue) = (test.exchange("x"), test.exchange("then"), test.queue("q"));
    let channel = history(test, Exchange::new(&name, HISTORY), &name, &numbers(1..=3))?;
    channel.declare_exchange(&Exchange::new(&then, "fanout"))?;
    channel.declare(&Queue::new(&queue))?;
    channel.bind(&queue, &then, "")?;
    channel.bind_exchange(&then, &name, "")?;
    let mut bodies: Vec<String> = (0..3)
        .map(|_| channel.take_soon(&queue).map(|delivery| delivery.body().to_owned()))
        .collect::<Step<_>>()?;
    bodies.sort();
    equal("bodies", bodies, numbers(1..=3))
}

fn s5_28_properties_kept(test: &Test) -> Step {
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    let channel = history(test, Exchange::new(&name, HISTORY), &name, &[])?;
    let properties = Properties::new().headers(&Table::new().set("h", 5)).content_type("text/plain");
    channel.publish(&Message::new(&name, "key", "body").with(properties));
    channel.confirmed(1, 1)?;
    channel.declare(&Queue::new(&queue))?;
    channel.bind(&queue, &name, "")?;
    let delivery = channel.take_soon(&queue)?;
    equal("exchange", &delivery.exchange, &name)?;
    equal("key", delivery.key.as_str(), "key")?;
    equal("redelivered", delivery.redelivered, false)?;
    equal("header", delivery.header("h")?, Some(AMQPValue::LongInt(5)))
}

fn s5_28_length_wrong(test: &Test) -> Step {
    let wrong: [(&[u8], &str); 3] =
        [(b"I\0\0\0\0", "0"), (b"I\xff\xff\xff\xff", "-1"), (b"S\0\0\0\x013", "<<\"3\">>")];
    for (value, printed) in wrong {
        let text =
            format!("Invalid argument {printed}, 'x-recent-history-length' must be a positive integer");
        refused(test, HISTORY, &[("x-recent-history-length", value)], &text)?;
    }
    Ok(())
}
