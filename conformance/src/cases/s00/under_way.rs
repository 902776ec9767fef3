//! 0.5 to 0.9 and 0.11: what is done with what was under way when a channel or connection was closed.

use std::time::Instant;

use crate::channel::{Channel, bind, get};
use crate::connection::{Login, PATIENCE, check_close};
use crate::entity::{Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Table, frame, id};

use super::{flow, provoke};

cases! {
    s0_05_methods_swallowed: "methods behind one that failed are not answered";
    s0_05_contents_swallowed: "contents behind a method that failed are swallowed, and no error themselves";
    s0_05_content_after_close_swallowed: "a content sent after channel.close was read is swallowed";
    s0_05_crossing_close: "a channel.close that crosses the broker's is answered";
    s0_05_open_before_close_ok: "channel.open before channel.close was answered is 504";
    s0_05_other_channels_go_on: "the other channels of the connection go on";
    s0_06_unacked_requeued_at_once: "what a consumer has unacked is back before channel.close is answered";
    s0_06_got_is_requeued: "what basic.get fetched is back once channel.close is answered";
    s0_06_consumers_stop_at_once: "consumers are gone before channel.close is answered";
    s0_06_transaction_discarded: "what was published in a transaction is dropped";
    s0_06_no_confirm_after_close: "no confirm follows channel.close";
    s0_07_methods_ignored: "after connection.close methods are not answered";
    s0_07_crossing_close: "a connection.close that crosses the broker's is answered";
    s0_07_close_ok_and_end: "connection.close is answered, and then the socket ends";
    s0_07_exclusive_queues_gone: "exclusive queues are gone when close-ok arrives";
    s0_07_exclusive_name_free: "the name of an exclusive queue that went with its connection is free again";
    s0_08_number_reused: "a channel number can be used again at once, whoever closed it";
    s0_08_closed_channel: "a method on a channel that was closed is 504";
    s0_08_never_opened: "a method on a channel that was never opened is 504";
    s0_08_close_never_opened: "channel.close on a channel that was never opened is 504";
    s0_08_content_never_opened: "a body frame on a channel that was never opened is 505";
    s0_09_parsing_stops: "what follows a broken frame has no effect";
    s0_09_socket_ends: "after 501 the socket ends even if nobody answers";
    s0_11_late_error_in_order: "what came before a publish that fails is answered first, what came after not at all";
    s0_11_answers_in_order: "pipelined methods are answered in order, before the one that fails";
}

fn client_closes() -> Payload {
    Payload::method(20, 40).short(200).text("OK").short(0).short(0)
}

/// Lets a channel fail, and reads its channel.close without answering it.
fn fails(test: &Test, channel: &Channel) -> Step {
    provoke(test, channel);
    channel.expect(id(20, 40)).map(drop)
}

fn s0_05_methods_swallowed(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    let text = provoke(test, &channel);
    channel.send(flow());
    channel.send(Queue::new(&name).payload());
    channel.send(flow());
    channel.closes(404, id(50, 10), &text)?;
    channel.open()?;
    channel.send(Queue::new(&name).passive().payload());
    channel.closes(404, id(50, 10), &format!("NOT_FOUND - no {}", test.queue_text(&name)))
}

fn s0_05_contents_swallowed(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    let exchange = test.exchange("missing");
    for _ in 0..10 {
        channel.publish(&Message::new(&exchange, &name, "x"));
        channel.publish(&Message::new("", &name, "y"));
    }
    let text = format!("NOT_FOUND - no {}", test.exchange_text(&exchange));
    channel.closes(404, id(60, 40), &text)?;
    channel.open()?;
    channel.empty(&name)
}

fn s0_05_content_after_close_swallowed(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    fails(test, &channel)?;
    channel.put(&name, "x");
    channel.silent()?;
    channel.send(Payload::method(20, 41));
    channel.open()?;
    channel.empty(&name)
}

fn s0_05_crossing_close(test: &Test) -> Step {
    let channel = test.channel()?;
    fails(test, &channel)?;
    channel.send(client_closes());
    channel.expect(id(20, 41))?;
    channel.send(Payload::method(20, 41));
    channel.open()
}

fn s0_05_open_before_close_ok(test: &Test) -> Step {
    let channel = test.channel()?;
    fails(test, &channel)?;
    channel.send(Payload::method(20, 10).text(""));
    channel.connection.closes(504, id(20, 10), "CHANNEL_ERROR - second 'channel.open' seen")
}

fn s0_05_other_channels_go_on(test: &Test) -> Step {
    let connection = test.connect()?;
    let (failing, other) = (connection.channel()?, connection.channel()?);
    let text = provoke(test, &failing);
    other.sync()?;
    failing.closes(404, id(50, 10), &text)?;
    other.sync()
}

fn s0_06_unacked_requeued_at_once(test: &Test) -> Step {
    let connection = test.connect()?;
    let (failing, other) = (connection.channel()?, connection.channel()?);
    let name = test.queue("q");
    failing.declare(&Queue::new(&name))?;
    failing.put(&name, "x");
    failing.consume(&name, "c")?;
    failing.delivery()?;
    fails(test, &failing)?;
    other.becomes(&name, 1)?;
    ensure(other.take(&name)?.redelivered, "not flagged as redelivered")
}

fn s0_06_got_is_requeued(test: &Test) -> Step {
    let connection = test.connect()?;
    let (failing, other) = (connection.channel()?, connection.channel()?);
    let name = test.queue("q");
    failing.declare(&Queue::new(&name))?;
    failing.put(&name, "x");
    failing.becomes(&name, 1)?;
    ensure(failing.get(&name, false)?.is_some(), "nothing to get")?;
    let text = provoke(test, &failing);
    failing.closes(404, id(50, 10), &text)?;
    other.becomes(&name, 1)?;
    ensure(other.take(&name)?.redelivered, "not flagged as redelivered")
}

fn s0_06_consumers_stop_at_once(test: &Test) -> Step {
    let connection = test.connect()?;
    let (failing, other) = (connection.channel()?, connection.channel()?);
    let name = test.queue("q");
    failing.declare(&Queue::new(&name))?;
    failing.consume(&name, "c")?;
    fails(test, &failing)?;
    other.put(&name, "x");
    other.becomes(&name, 1)?;
    equal("consumers", other.count(&name)?.1, 0)?;
    failing.silent()
}

fn s0_06_transaction_discarded(test: &Test) -> Step {
    let (failing, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    failing.declare(&Queue::new(&name))?;
    failing.tx_select()?;
    failing.put(&name, "x");
    fails(test, &failing)?;
    failing.send(Payload::method(20, 41));
    failing.open()?;
    other.empty(&name)
}

fn s0_06_no_confirm_after_close(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    channel.confirm_select()?;
    for _ in 0..100 {
        channel.put(&name, "x");
    }
    provoke(test, &channel);
    loop {
        match channel.event(PATIENCE)? {
            Some(event) if event.id == id(60, 80) => {}
            Some(event) if event.id == id(20, 40) => break,
            other => return fail(format!("expected confirms and channel.close, saw {other:?}")),
        }
    }
    channel.silent()
}

fn s0_07_methods_ignored(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(20, 10).text(""));
    channel.connection.expect(id(10, 50))?;
    channel.send(flow());
    channel.put("", "x");
    channel.silent()?;
    channel.connection.send(0, Payload::method(10, 51));
    channel.connection.ends()
}

fn s0_07_crossing_close(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(20, 10).text(""));
    channel.connection.expect(id(10, 50))?;
    channel.connection.send(0, Payload::method(10, 50).short(200).text("OK").short(0).short(0));
    channel.connection.expect(id(10, 51))?;
    channel.connection.send(0, Payload::method(10, 51));
    channel.connection.ends()
}

fn s0_07_close_ok_and_end(test: &Test) -> Step {
    // A broker may wait for the client to end the socket, but no longer than a heartbeat takes.
    let login = Login { heartbeat: 2, ..test.login() };
    let connection = test.connect_as(&login)?;
    connection.channel()?;
    connection.channel()?;
    connection.close()?;
    connection.ends()
}

fn s0_07_exclusive_queues_gone(test: &Test) -> Step {
    let (owner, other) = (test.connect()?, test.connect()?);
    let names: Vec<String> = (0..10).map(|number| test.queue(&number.to_string())).collect();
    let channel = owner.channel()?;
    for name in &names {
        channel.declare(&Queue::new(name).exclusive())?;
    }
    owner.close()?;
    for name in &names {
        let channel = other.channel()?;
        channel.send(Queue::new(name).passive().payload());
        channel.closes(404, id(50, 10), &format!("NOT_FOUND - no {}", test.queue_text(name)))?;
    }
    Ok(())
}

fn s0_07_exclusive_name_free(test: &Test) -> Step {
    let (owner, other) = (test.connect()?, test.connect()?);
    let name = test.queue("q");
    owner.channel()?.declare(&Queue::new(&name).exclusive())?;
    owner.close()?;
    // RabbitMQ's queue is gone, but its name is locked some milliseconds longer.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let channel = other.channel()?;
        channel.send(Queue::new(&name).payload());
        match channel.event(PATIENCE)? {
            Some(event) if event.id == id(50, 11) => return Ok(()),
            Some(event) if Instant::now() < deadline => {
                check_close(&event, id(20, 40), 405, id(50, 10), "RESOURCE_LOCKED - *")?;
            }
            other => return fail(format!("expected declare-ok, saw {other:?}")),
        }
    }
}

fn s0_08_number_reused(test: &Test) -> Step {
    let channel = test.channel()?;
    for _ in 0..3 {
        channel.close()?;
        channel.open()?;
        let text = provoke(test, &channel);
        channel.closes(404, id(50, 10), &text)?;
        channel.open()?;
    }
    channel.sync()
}

fn s0_08_closed_channel(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.close()?;
    channel.send(flow());
    channel.connection.closes(504, id(20, 20), "CHANNEL_ERROR - expected 'channel.open'")
}

fn s0_08_never_opened(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.send(7, flow());
    connection.closes(504, id(20, 20), "CHANNEL_ERROR - expected 'channel.open'")
}

fn s0_08_close_never_opened(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.send(7, client_closes());
    connection.closes(504, id(20, 40), "CHANNEL_ERROR - expected 'channel.open'")
}

fn s0_08_content_never_opened(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.unopened(7).frame(3, b"x");
    let text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    connection.closes(505, id(0, 0), text)
}

fn s0_09_parsing_stops(test: &Test) -> Step {
    let (broken, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    let mut bytes = frame(1, 1, &flow().0);
    let last = bytes.len() - 1;
    bytes[last] = 0;
    bytes.extend(frame(1, 1, &Queue::new(&name).payload().0));
    broken.connection.write(&bytes);
    broken.connection.closes(501, id(0, 0), "FRAME_ERROR - *")?;
    other.send(Queue::new(&name).passive().payload());
    other.closes(404, id(50, 10), "NOT_FOUND - *")
}

fn s0_09_socket_ends(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.frame(4, b"");
    channel.connection.expect(id(10, 50))?;
    channel.connection.write(&[0xff; 1000]);
    channel.connection.ends()
}

fn s0_11_late_error_in_order(test: &Test) -> Step {
    let channel = test.channel()?;
    let exchange = test.exchange("missing");
    channel.send(flow());
    channel.publish(&Message::new(&exchange, "k", "x"));
    channel.send(flow());
    channel.expect(id(20, 21))?;
    channel.closes(404, id(60, 40), &format!("NOT_FOUND - no {}", test.exchange_text(&exchange)))?;
    channel.silent()
}

fn s0_11_answers_in_order(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(Queue::new(&name).payload());
    channel.send(bind(&name, "amq.direct", &name, &Table::new()));
    channel.send(get(&name, true));
    channel.send(Payload::method(50, 30).short(0).text(&name).bits(&[false]));
    channel.send(flow());
    let text = provoke(test, &channel);
    for answer in [id(50, 11), id(50, 21), id(60, 72), id(50, 31), id(20, 21)] {
        channel.expect(answer)?;
    }
    channel.closes(404, id(50, 10), &text)
}
