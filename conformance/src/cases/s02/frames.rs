//! Section 2: frames as such, their order, and method payloads that cannot be read (semantics 2.1 to 2.3, 2.12).

use std::time::Duration;

use crate::connection::{Connection, Login};
use crate::entity::{Message, Queue};
use crate::outcome::{Step, equal};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Properties, Table, frame, id};

cases! {
    s2_01_byte_by_byte: "a session may arrive byte by byte";
    s2_01_many_in_one_write: "a thousand frames may arrive at once";
    s2_01_wrong_end: "a frame with a wrong end octet is 501 at 0.0";
    s2_01_unknown_type: "a frame of an unknown type is 501 at 0.0";
    s2_01_type_0: "a frame of type 0 on channel 0 is 501 at 0.0";
    s2_01_largest: "a frame of frame_max, its head and end included, is accepted";
    s2_01_slack: "a payload of frame_max is accepted: eight bytes of slack";
    s2_01_too_large: "a payload above frame_max is 501 at 0.0";
    s2_01_too_large_announced: "a payload of 4 GiB is refused by its length alone";
    s2_01_empty_method: "a method frame without a method is 501 at 0.0";
    s2_01_short_method: "a method frame of three bytes is 501 at 0.0";
    s2_01_truncated_arguments: "a method without all of its arguments is 501 and blamed";
    s2_01_trailing_arguments: "a method with more than its arguments is 501 and blamed";
    s2_02_heartbeat_on_channel: "a heartbeat on an open channel is 505 at 0.0";
    s2_02_heartbeat_on_unopened: "a heartbeat on a channel that was never opened is 505 at 0.0";
    s2_02_heartbeat_with_payload: "a heartbeat with a payload is 501 at 0.0";
    s2_02_heartbeat_any_time: "heartbeats may stand between the frames of a content";
    s2_03_header_for_method: "a content header without its method is 505 at 0.0";
    s2_03_body_for_method: "a body frame without its method is 505 at 0.0";
    s2_03_method_for_header: "a method instead of a content header is 505 at 60.40";
    s2_03_body_for_header: "a body frame instead of a content header is 505 at 60.40";
    s2_03_header_of_other_class: "a content header of another class is 505 at 60.40";
    s2_03_method_for_body: "a method instead of a body frame is 505 at 60.40";
    s2_03_header_for_body: "a second content header instead of a body frame is 505 at 60.40";
    s2_03_header_on_channel_0: "a content header on channel 0 is 505 at 0.0";
    s2_03_body_on_channel_0: "a body frame on channel 0 is 505 at 0.0";
    s2_03_channel_method_on_channel_0: "a channel's method on channel 0 is 504";
    s2_03_connection_method_on_channel: "connection.close on a channel is 503";
    s2_12_pipelined_open: "tune-ok, open and channel.open may come in one write";
    s2_12_pipelined_login: "a client that reads nothing may send its whole login at once";
}

fn flow() -> Payload {
    Payload::method(20, 20).bits(&[true])
}

/// A basic.publish to nobody; its content is up to the case.
fn publish() -> Payload {
    Message::new("", "conformance: no such queue", "").payload()
}

fn header(body_size: u64) -> Vec<u8> {
    Payload::header(60, body_size, &Properties::new()).0
}

/// Logs in and opens channel 1, in one piece.
fn login(test: &Test, login: &Login) -> Vec<u8> {
    let start_ok = Payload::method(10, 11).table(&login.properties).text(&login.mechanism);
    let tune_ok = Payload::method(10, 31).short(login.channel_max).long(login.frame_max);
    let open = Payload::method(10, 40).text(&test.target.vhost).text("").bits(&[false]);
    [
        b"AMQP\x00\x00\x09\x01".to_vec(),
        frame(1, 0, &start_ok.long_text(&login.response).text("en_US").0),
        frame(1, 0, &tune_ok.short(login.heartbeat).0),
        frame(1, 0, &open.0),
        frame(1, 1, &Payload::method(20, 10).text("").0),
    ]
    .concat()
}

/// What a login and an opened channel are answered with.
fn logged_in(connection: &Connection) -> Step {
    for (channel, answer) in [(0, id(10, 10)), (0, id(10, 30)), (0, id(10, 41)), (1, id(20, 11))] {
        connection.unopened(channel).expect(answer)?;
    }
    Ok(())
}

fn s2_01_byte_by_byte(test: &Test) -> Step {
    let connection = test.tcp()?;
    let queue = test.queue("q");
    let mut bytes = login(test, &test.login());
    bytes.extend(frame(1, 1, &Queue::new(&queue).payload().0));
    bytes.extend(Message::new("", &queue, "in pieces").frames(1));
    for byte in bytes {
        connection.write(&[byte]);
        std::thread::sleep(Duration::from_micros(200));
    }
    logged_in(&connection)?;
    let channel = connection.unopened(1);
    channel.declared()?;
    channel.becomes(&queue, 1)?;
    equal("body", channel.take(&queue)?.body(), "in pieces")
}

fn s2_01_many_in_one_write(test: &Test) -> Step {
    let channel = test.channel()?;
    let one = frame(1, 1, &flow().0);
    channel.connection.write(&one.repeat(1000));
    for _ in 0..1000 {
        channel.expect(id(20, 21))?;
    }
    channel.silent()
}

fn s2_01_wrong_end(test: &Test) -> Step {
    let channel = test.channel()?;
    let mut bytes = frame(1, 1, &flow().0);
    bytes.pop();
    bytes.push(0);
    channel.connection.write(&bytes);
    channel.connection.closes(501, id(0, 0), "FRAME_ERROR - type 1, *")
}

fn s2_01_unknown_type(test: &Test) -> Step {
    for kind in [4, 255] {
        let channel = test.channel()?;
        channel.frame(kind, b"abc");
        channel.connection.closes(501, id(0, 0), &format!("FRAME_ERROR - *type {kind}*"))?;
    }
    Ok(())
}

fn s2_01_type_0(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.write(&frame(0, 0, b""));
    connection.closes(501, id(0, 0), "FRAME_ERROR - *type 0*")
}

/// A body frame with a payload of this size, where frame_max is 8192.
fn body_frame_of(test: &Test, size: usize) -> Step<Connection> {
    let channel = test.connect_as(&Login { frame_max: 8192, ..test.login() })?.channel()?;
    channel.send(publish());
    channel.frame(2, &header(size as u64));
    channel.frame(3, &vec![b'x'; size]);
    Ok(channel.connection)
}

fn s2_01_largest(test: &Test) -> Step {
    body_frame_of(test, 8184)?.unopened(1).sync()
}

fn s2_01_slack(test: &Test) -> Step {
    body_frame_of(test, 8192)?.unopened(1).sync()
}

fn s2_01_too_large(test: &Test) -> Step {
    body_frame_of(test, 8193)?.closes(501, id(0, 0), "FRAME_ERROR - type 3, *8193*")
}

fn s2_01_too_large_announced(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.channel()?;
    connection.write(&[3, 0, 1, 0xff, 0xff, 0xff, 0xff]);
    connection.closes(501, id(0, 0), "FRAME_ERROR - type 3, *4294967295*")
}

fn s2_01_empty_method(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.frame(1, b"");
    channel.connection.closes(501, id(0, 0), "FRAME_ERROR - *")
}

fn s2_01_short_method(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.frame(1, &[0, 60, 0]);
    channel.connection.closes(501, id(0, 0), "FRAME_ERROR - *")
}

fn s2_01_truncated_arguments(test: &Test) -> Step {
    for (payload, at_fault) in [
        (Payload::method(50, 10).short(0).octet(5).raw(b"ab"), id(50, 10)),
        (Payload::method(50, 10).short(0).text("q").octet(0).long(9).raw(b"ab"), id(50, 10)),
        (Payload::method(60, 40).short(0).text("").octet(200), id(60, 40)),
        (Payload::method(60, 80).long(1), id(60, 80)),
        (Payload::method(20, 20), id(20, 20)),
    ] {
        let channel = test.channel()?;
        channel.send(payload);
        channel.connection.closes(501, at_fault, "FRAME_ERROR - *")?;
    }
    Ok(())
}

fn s2_01_trailing_arguments(test: &Test) -> Step {
    for (payload, at_fault) in [
        (flow().octet(0), id(20, 20)),
        (Queue::new("q").passive().payload().raw(b"more"), id(50, 10)),
        (publish().octet(0), id(60, 40)),
        (Payload::method(60, 80).long_long(1).bits(&[false]).octet(0), id(60, 80)),
    ] {
        let channel = test.channel()?;
        channel.send(payload);
        channel.connection.closes(501, at_fault, "FRAME_ERROR - *")?;
    }
    Ok(())
}

fn s2_02_heartbeat_on_channel(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.frame(8, b"");
    channel.connection.closes(505, id(0, 0), "UNEXPECTED_FRAME - *")
}

fn s2_02_heartbeat_on_unopened(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.unopened(7).frame(8, b"");
    connection.closes(505, id(0, 0), "UNEXPECTED_FRAME - *")
}

fn s2_02_heartbeat_with_payload(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.write(&frame(8, 0, b"abc"));
    connection.closes(501, id(0, 0), "FRAME_ERROR - *")
}

fn s2_02_heartbeat_any_time(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    let beat = || channel.connection.write(&frame(8, 0, b""));
    channel.send(Message::new("", &name, "").payload());
    beat();
    channel.frame(2, &header(2));
    beat();
    channel.frame(3, b"a");
    beat();
    channel.frame(3, b"b");
    channel.becomes(&name, 1)?;
    equal("body", channel.take(&name)?.body(), "ab")
}

fn s2_03_header_for_method(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.frame(2, &header(1));
    let text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    channel.connection.closes(505, id(0, 0), text)
}

fn s2_03_body_for_method(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.frame(3, b"x");
    let text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    channel.connection.closes(505, id(0, 0), text)
}

const NO_HEADER: &str =
    "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead";
const NO_BODY: &str = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";

fn s2_03_method_for_header(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(publish());
    channel.send(flow());
    channel.connection.closes(505, id(60, 40), NO_HEADER)
}

fn s2_03_body_for_header(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(publish());
    channel.frame(3, b"x");
    channel.connection.closes(505, id(60, 40), NO_HEADER)
}

fn s2_03_header_of_other_class(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(publish());
    channel.frame(2, &Payload::header(50, 1, &Properties::new()).0);
    let text = "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead";
    channel.connection.closes(505, id(60, 40), text)
}

fn s2_03_method_for_body(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(publish());
    channel.frame(2, &header(2));
    channel.frame(3, b"a");
    channel.send(flow());
    channel.connection.closes(505, id(60, 40), NO_BODY)
}

fn s2_03_header_for_body(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(publish());
    channel.frame(2, &header(2));
    channel.frame(2, &header(2));
    channel.connection.closes(505, id(60, 40), NO_BODY)
}

fn s2_03_header_on_channel_0(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.write(&frame(2, 0, &header(1)));
    connection.closes(505, id(0, 0), "UNEXPECTED_FRAME - *type 2*")
}

fn s2_03_body_on_channel_0(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.write(&frame(3, 0, b"x"));
    connection.closes(505, id(0, 0), "UNEXPECTED_FRAME - *type 3*")
}

fn s2_03_channel_method_on_channel_0(test: &Test) -> Step {
    for (payload, at_fault) in [
        (Payload::method(20, 10).text(""), id(20, 10)),
        (Queue::new("q").passive().payload(), id(50, 10)),
        (publish(), id(60, 40)),
    ] {
        let connection = test.connect()?;
        connection.send(0, payload);
        let text = "CHANNEL_ERROR - unexpected method in connection state running";
        connection.closes(504, at_fault, text)?;
    }
    Ok(())
}

fn s2_03_connection_method_on_channel(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(10, 50).short(200).text("OK").short(0).short(0));
    channel.connection.closes(503, id(10, 50), "COMMAND_INVALID - unimplemented method")
}

fn s2_12_pipelined_open(test: &Test) -> Step {
    let connection = test.tcp()?;
    connection.greet()?;
    connection.start_ok(&test.login());
    connection.tune()?;
    let tune_ok = Payload::method(10, 31).short(2047).long(131_072).short(0);
    let open = Payload::method(10, 40).text(&test.target.vhost).text("").bits(&[false]);
    let first = Payload::method(20, 10).text("");
    connection.write(&[frame(1, 0, &tune_ok.0), frame(1, 0, &open.0), frame(1, 1, &first.0)].concat());
    connection.expect(id(10, 41))?;
    connection.unopened(1).expect(id(20, 11)).map(drop)
}

fn s2_12_pipelined_login(test: &Test) -> Step {
    let connection = test.tcp()?;
    let login_as = Login { properties: Table::new(), ..test.login() };
    connection.write(&login(test, &login_as));
    logged_in(&connection)?;
    connection.unopened(1).sync()
}
