//! 0.1 to 0.4 and 0.10: which code an error has, what its text says, and whom it blames.

use leveret_codec::method::amqp::{AMQPClass, channel};

use crate::channel::{bind, get};
use crate::entity::{Consume, Exchange, Message, Queue};
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Table, id};

use super::provoke;

cases! {
    s0_01_name_and_explanation: "a reply text is the code's name, a dash, and what was wrong";
    s0_01_cut_to_255: "a reply text that is too long is cut to 255 bytes, the last three of them dots";
    s0_02_channel_close_blames: "channel.close names class and method that failed";
    s0_02_connection_close_blames: "connection.close names class and method that failed";
    s0_02_nobody_to_blame: "connection.close names 0.0 where no method failed";
    s0_03_312_no_route: "an unroutable mandatory message comes back with 312 NO_ROUTE";
    s0_03_403_access_refused: "403 ACCESS_REFUSED closes the channel";
    s0_03_404_not_found: "404 NOT_FOUND closes the channel";
    s0_03_405_resource_locked: "405 RESOURCE_LOCKED closes the channel";
    s0_03_406_precondition_failed: "406 PRECONDITION_FAILED closes the channel";
    s0_03_501_frame_error: "501 FRAME_ERROR closes the connection";
    s0_03_503_command_invalid: "503 COMMAND_INVALID closes the connection of who sends a server's method";
    s0_03_504_channel_error: "504 CHANNEL_ERROR closes the connection";
    s0_03_505_unexpected_frame: "505 UNEXPECTED_FRAME closes the connection";
    s0_03_530_not_allowed: "530 NOT_ALLOWED closes the connection";
    s0_03_540_not_implemented: "540 NOT_IMPLEMENTED closes the connection";
    s0_04_soft_error_on_channel_0: "403 on channel 0 is a connection.close";
    s0_10_unknown_class: "a method of an unknown class",
        differs("silent", "said", "RabbitMQ's reader dies of it; Leveret answers 540 and names the method");
    s0_10_unknown_method: "an unknown method of a known class",
        differs("silent", "said", "RabbitMQ's reader dies of it; Leveret answers 540 and names the method");
    s0_10_unknown_method_on_channel_0: "an unknown method on channel 0",
        differs("silent", "said", "RabbitMQ's reader dies of it; Leveret answers 540 and names the method");
}

fn s0_01_name_and_explanation(test: &Test) -> Step {
    let channel = test.channel()?;
    let text = provoke(test, &channel);
    channel.closes(404, id(50, 10), &text)
}

fn s0_01_cut_to_255(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = "q".repeat(250);
    channel.send(Queue::new(&name).passive().payload());
    match channel.expect(id(20, 40))?.method {
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
            let expected = format!("NOT_FOUND - no queue '{}...", "q".repeat(230));
            equal("text", close.reply_text.as_str(), &expected)
        }
        other => fail(format!("no channel.close: {other:?}")),
    }
}

fn s0_02_channel_close_blames(test: &Test) -> Step {
    let connection = test.connect()?;
    let (queue, exchange) = (test.queue("missing"), test.exchange("missing"));
    for (payload, at_fault) in [
        (Queue::new(&queue).passive().payload(), id(50, 10)),
        (bind(&queue, "amq.direct", "k", &Table::new()), id(50, 20)),
        (Exchange::new(&exchange, "direct").passive().payload(), id(40, 10)),
        (Consume::new(&queue, "c").payload(), id(60, 20)),
        (get(&queue, true), id(60, 70)),
    ] {
        let channel = connection.channel()?;
        channel.send(payload);
        channel.closes(404, at_fault, "NOT_FOUND - no *")?;
    }
    let channel = connection.channel()?;
    channel.publish(&Message::new(&exchange, "k", "x"));
    channel.closes(404, id(60, 40), "NOT_FOUND - no exchange *")
}

fn s0_02_connection_close_blames(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(20, 20).bits(&[false]));
    channel.connection.closes(540, id(20, 20), "NOT_IMPLEMENTED - *")
}

fn s0_02_nobody_to_blame(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.frame(4, b"");
    channel.connection.closes(501, id(0, 0), "FRAME_ERROR - *")
}

fn s0_03_312_no_route(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.publish(&Message::new("", &test.queue("missing"), "x").mandatory());
    let returned = channel.returned()?;
    equal("code and text", (returned.code, returned.text.as_str()), (312, "NO_ROUTE"))
}

fn s0_03_403_access_refused(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Exchange::new("amq.conformance", "direct").payload());
    channel.closes(403, id(40, 10), "ACCESS_REFUSED - *")
}

fn s0_03_404_not_found(test: &Test) -> Step {
    let channel = test.channel()?;
    provoke(test, &channel);
    channel.closes(404, id(50, 10), "NOT_FOUND - *")
}

fn s0_03_405_resource_locked(test: &Test) -> Step {
    let (owner, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    owner.declare(&Queue::new(&name).exclusive())?;
    other.send(get(&name, true));
    other.closes(405, id(60, 70), "RESOURCE_LOCKED - *")
}

fn s0_03_406_precondition_failed(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.ack(1, false);
    channel.closes(406, id(60, 80), "PRECONDITION_FAILED - unknown delivery tag 1")
}

fn s0_03_501_frame_error(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.frame(1, &[0, 20, 0]);
    channel.connection.closes(501, id(0, 0), "FRAME_ERROR - *")
}

fn s0_03_503_command_invalid(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(50, 11).text("q").long(0).long(0));
    channel.connection.closes(503, id(50, 11), "COMMAND_INVALID - unimplemented method")
}

fn s0_03_504_channel_error(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(20, 10).text(""));
    channel.connection.closes(504, id(20, 10), "CHANNEL_ERROR - second 'channel.open' seen")
}

fn s0_03_505_unexpected_frame(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.frame(3, b"x");
    let text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    channel.connection.closes(505, id(0, 0), text)
}

fn s0_03_530_not_allowed(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    channel.consume(&name, "c")?;
    channel.send(Consume::new(&name, "c").payload());
    channel.connection.closes(530, id(60, 20), "NOT_ALLOWED - attempt to reuse consumer tag 'c'")
}

fn s0_03_540_not_implemented(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.publish(&Message::new("", "k", "x").immediate());
    channel.connection.closes(540, id(60, 40), "NOT_IMPLEMENTED - immediate=true")
}

fn s0_04_soft_error_on_channel_0(test: &Test) -> Step {
    let connection = test.tcp()?;
    connection.greet()?;
    let mut login = test.login();
    login.response = b"\0nobody of this name\0wrong".to_vec();
    connection.start_ok(&login);
    connection.closes(403, id(0, 0), "ACCESS_REFUSED - *")
}

/// 540 at a method, or nothing but the end of the socket.
fn unknown(test: &Test, number: u16, class: u16, method: u16) -> Step {
    let connection = test.connect()?;
    connection.channel()?;
    connection.send(number, Payload::method(class, method));
    let said = connection.closes_or_ends(540, id(class, method), "NOT_IMPLEMENTED - *")?;
    test.answered(if said { "said" } else { "silent" });
    Ok(())
}

fn s0_10_unknown_class(test: &Test) -> Step {
    unknown(test, 1, 99, 10)
}

fn s0_10_unknown_method(test: &Test) -> Step {
    unknown(test, 1, 50, 99)
}

fn s0_10_unknown_method_on_channel_0(test: &Test) -> Step {
    unknown(test, 0, 10, 99)
}
