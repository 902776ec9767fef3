//! Section 4: channels, and the two small classes that live on them.

use leveret_codec::method::amqp::{AMQPClass, channel};

use crate::assembly::Input;
use crate::channel::Channel;
use crate::connection::{Login, PATIENCE};
use crate::entity::{Consume, Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, id};

cases! {
    s4_01_open_ok: "open-ok carries an empty long string";
    s4_01_out_of_band: "the reserved string of channel.open is ignored";
    s4_01_second_open: "opening an open channel is 504";
    s4_01_any_number: "channel_max bounds how many channels are open, not their numbers";
    s4_01_one_too_many: "one channel more than channel_max is 530 at 0.0";
    s4_01_closed_ones_do_not_count: "a channel that was closed makes room for another";
    s4_03_flow_on: "channel.flow with active is answered with active";
    s4_03_flow_off: "channel.flow without active is 540";
    s4_03_flow_ok: "a flow-ok that nobody asked for is 503";
    s4_03_close_ok: "a close-ok that nobody asked for is 503";
    s4_04_access_request: "access.request is granted ticket 1 for any realm";
    s4_05_close_requeues: "unacked messages are back when close-ok arrives, flagged as redelivered";
    s4_05_close_stops_consumers: "consumers are gone when close-ok arrives";
    s4_05_requests_before_close: "what was sent before channel.close is done and answered before close-ok";
    s4_05_half_content_dropped: "a content that is not complete is lost with its connection";
    s4_05_tags_restart: "delivery tags begin at 1 in a new channel of the same number";
    s4_05_confirms_restart: "confirm numbers begin at 1 in a new channel of the same number";
    s4_05_modes_end: "a new channel of the same number is neither in confirm mode nor in a transaction";
    s4_06_tags_of_get_and_consume: "gets and deliveries share one count of tags";
    s4_06_tags_without_ack: "deliveries without acks count as well";
    s4_06_tags_per_channel: "every channel counts for itself";
    s4_06_old_tag: "a tag of an earlier channel of the same number is unknown";
}

fn s4_01_open_ok(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.send(1, Payload::method(20, 10).text(""));
    match connection.read(PATIENCE)? {
        Input::Frame { channel, payload, .. } => {
            equal("open-ok", (channel, &payload[..]), (1, &[0, 20, 0, 11, 0, 0, 0, 0]))
        }
        other => fail(format!("no open-ok: {other:?}")),
    }
}

fn s4_01_out_of_band(test: &Test) -> Step {
    let channel = test.connect()?.unopened(1);
    channel.call(Payload::method(20, 10).text("conformance"), id(20, 11)).map(drop)
}

fn s4_01_second_open(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(20, 10).text(""));
    channel.connection.closes(504, id(20, 10), "CHANNEL_ERROR - second 'channel.open' seen")
}

fn s4_01_any_number(test: &Test) -> Step {
    let connection = test.connect_as(&Login { channel_max: 2, ..test.login() })?;
    for number in [65535, 700] {
        connection.unopened(number).open()?;
        connection.unopened(number).sync()?;
    }
    Ok(())
}

fn s4_01_one_too_many(test: &Test) -> Step {
    let connection = test.connect_as(&Login { channel_max: 2, ..test.login() })?;
    connection.unopened(100).open()?;
    connection.unopened(200).open()?;
    connection.send(1, Payload::method(20, 10).text(""));
    let text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)";
    connection.closes(530, id(0, 0), text)
}

fn s4_01_closed_ones_do_not_count(test: &Test) -> Step {
    let connection = test.connect_as(&Login { channel_max: 2, ..test.login() })?;
    connection.channel()?;
    for _ in 0..5 {
        connection.channel()?.close()?;
    }
    let failing = connection.channel()?;
    failing.ack(1, false);
    failing.closes(406, id(60, 80), "*")?;
    connection.channel()?.sync()
}

fn s4_03_flow_on(test: &Test) -> Step {
    let channel = test.channel()?;
    match channel.call(Payload::method(20, 20).bits(&[true]), id(20, 21))?.method {
        AMQPClass::Channel(channel::AMQPMethod::FlowOk(ok)) => ensure(ok.active, "not active"),
        other => fail(format!("no flow-ok: {other:?}")),
    }
}

fn s4_03_flow_off(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(20, 20).bits(&[false]));
    channel.connection.closes(540, id(20, 20), "NOT_IMPLEMENTED - active=false")
}

fn s4_03_flow_ok(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(20, 21).bits(&[true]));
    channel.connection.closes(503, id(20, 21), "COMMAND_INVALID - unimplemented method")
}

fn s4_03_close_ok(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(20, 41));
    channel.connection.closes(503, id(20, 41), "COMMAND_INVALID - unimplemented method")
}

fn s4_04_access_request(test: &Test) -> Step {
    let channel = test.channel()?;
    for realm in ["/data", "", "conformance"] {
        let request = Payload::method(30, 10).text(realm).bits(&[true, true, true, true, true]);
        channel.send(request);
        match channel.connection.read(PATIENCE)? {
            Input::Frame { payload, .. } => equal("request-ok", &payload[..], &[0, 30, 0, 11, 0, 1])?,
            other => return fail(format!("no request-ok: {other:?}")),
        }
    }
    Ok(())
}

/// A channel, a queue declared on it, and messages in the queue.
fn filled(test: &Test, messages: u32) -> Step<(Channel, String)> {
    let (channel, name) = (test.channel()?, test.queue("q"));
    channel.declare(&Queue::new(&name))?;
    for number in 0..messages {
        channel.put(&name, &number.to_string());
    }
    channel.becomes(&name, messages)?;
    Ok((channel, name))
}

/// Fetches a message, which must be there, and leaves it unacked.
fn fetch(channel: &Channel, queue: &str) -> Step<u64> {
    match channel.get(queue, false)? {
        Some(delivery) => Ok(delivery.tag),
        None => fail(format!("{queue} is empty")),
    }
}

fn s4_05_close_requeues(test: &Test) -> Step {
    let (channel, name) = filled(test, 2)?;
    channel.consume(&name, "c")?;
    channel.bodies(2)?;
    channel.close()?;
    channel.open()?;
    channel.becomes(&name, 2)?;
    for body in ["0", "1"] {
        let delivery = channel.take(&name)?;
        equal("body and redelivered", (delivery.body(), delivery.redelivered), (body, true))?;
    }
    Ok(())
}

fn s4_05_close_stops_consumers(test: &Test) -> Step {
    let (channel, name) = filled(test, 0)?;
    channel.consume(&name, "c")?;
    channel.close()?;
    channel.open()?;
    equal("consumers", channel.count(&name)?.1, 0)?;
    channel.put(&name, "x");
    channel.becomes(&name, 1)?;
    channel.silent()
}

fn s4_05_requests_before_close(test: &Test) -> Step {
    let (channel, name) = filled(test, 0)?;
    channel.put(&name, "x");
    channel.send(Queue::new(&name).payload());
    channel.send(Payload::method(20, 20).bits(&[true]));
    channel.send(Payload::method(20, 40).short(200).text("OK").short(0).short(0));
    for answer in [id(50, 11), id(20, 21), id(20, 41)] {
        channel.expect(answer)?;
    }
    channel.open()?;
    channel.becomes(&name, 1)
}

fn s4_05_half_content_dropped(test: &Test) -> Step {
    let (channel, name) = filled(test, 0)?;
    channel.send(Message::new("", &name, "").payload());
    channel.connection.cut();
    let other = test.channel()?;
    other.silent()?;
    other.empty(&name)
}

fn s4_05_tags_restart(test: &Test) -> Step {
    let (channel, name) = filled(test, 2)?;
    for expected in [1, 2] {
        equal("tag", fetch(&channel, &name)?, expected)?;
    }
    channel.close()?;
    channel.open()?;
    channel.becomes(&name, 2)?;
    equal("tag", fetch(&channel, &name)?, 1)
}

fn s4_05_confirms_restart(test: &Test) -> Step {
    let (channel, name) = filled(test, 0)?;
    for _ in 0..2 {
        channel.confirm_select()?;
        for _ in 0..3 {
            channel.put(&name, "x");
        }
        channel.confirmed(1, 3)?;
        channel.close()?;
        channel.open()?;
    }
    Ok(())
}

fn s4_05_modes_end(test: &Test) -> Step {
    let (channel, name) = filled(test, 0)?;
    channel.confirm_select()?;
    channel.close()?;
    channel.open()?;
    channel.tx_select()?;
    channel.close()?;
    channel.open()?;
    channel.put(&name, "x");
    channel.becomes(&name, 1)?;
    channel.silent()
}

fn s4_06_tags_of_get_and_consume(test: &Test) -> Step {
    let (channel, name) = filled(test, 4)?;
    equal("tag of get", fetch(&channel, &name)?, 1)?;
    channel.qos(1, false)?;
    channel.consume(&name, "c")?;
    equal("tag of deliver", channel.delivery()?.tag, 2)?;
    equal("tag of get", fetch(&channel, &name)?, 3)?;
    channel.ack(2, false);
    equal("tag of deliver", channel.delivery()?.tag, 4)
}

fn s4_06_tags_without_ack(test: &Test) -> Step {
    let (channel, name) = filled(test, 3)?;
    equal("tag of get", channel.take(&name)?.tag, 1)?;
    channel.consume_with(&Consume::new(&name, "c").no_ack())?;
    equal("tag of deliver", channel.delivery()?.tag, 2)?;
    equal("tag of deliver", channel.delivery()?.tag, 3)
}

fn s4_06_tags_per_channel(test: &Test) -> Step {
    let (one, name) = filled(test, 2)?;
    let two = one.connection.channel()?;
    equal("tag", fetch(&one, &name)?, 1)?;
    equal("tag", fetch(&two, &name)?, 1)
}

fn s4_06_old_tag(test: &Test) -> Step {
    let (channel, name) = filled(test, 1)?;
    equal("tag", fetch(&channel, &name)?, 1)?;
    channel.close()?;
    channel.open()?;
    channel.ack(1, false);
    channel.closes(406, id(60, 80), "PRECONDITION_FAILED - unknown delivery tag 1")
}
