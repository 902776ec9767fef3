//! Section 1, the second half: limits, vhosts, methods out of order, and update-secret (semantics 1.17 to 1.22).

use super::{refused, start_ok, tuned, unopened};
use crate::assembly::Input;
use crate::connection::{Connection, Login, PATIENCE, Tune};
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, id};

cases! {
    s1_17_tune: "connection.tune offers 2047 channels, frames of 131072 bytes and heartbeats of 60 s";
    s1_18_lower_values: "tune-ok may lower every value";
    s1_18_channel_max_above: "tune-ok with a channel_max above the offer is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after tune-ok");
    s1_18_channel_max_unlimited: "tune-ok with a channel_max of 0, no limit, is refused where there is one",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after tune-ok");
    s1_18_frame_max_above: "tune-ok with a frame_max above the offer is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after tune-ok");
    s1_18_frame_max_unlimited: "tune-ok with a frame_max of 0, no limit, is refused where there is one",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after tune-ok");
    s1_18_frame_max_4096: "tune-ok with a frame_max of 4096, the least the specification allows",
        differs("refused", "accepted", "older clients negotiate it; Leveret accepts it");
    s1_18_frame_max_below: "tune-ok with a frame_max of 4095 is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after tune-ok");
    s1_18_heartbeat_above: "tune-ok may ask for any heartbeat";
    s1_18_channel_max_holds: "the channel_max of tune-ok is the one that holds";
    s1_19_vhost_missing: "a vhost that does not exist is 530 at 10.40";
    s1_19_vhost_slash_counts: "a slash before the name belongs to the name";
    s1_19_vhost_empty: "the empty name is no default";
    s1_19_vhost_text_is_cut: "a name of 255 bytes is cut in the reply text";
    s1_19_vhost_utf8: "a name that is not UTF-8 is 501 at 10.40";
    s1_20_open_ok: "open-ok is an empty short string";
    s1_21_tune_ok_first: "tune-ok before start-ok is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after the login");
    s1_21_open_before_tune_ok: "open before tune-ok is refused",
        differs("silent", "said", "Leveret says why it drops a client; RabbitMQ only after tune-ok");
    s1_21_tune_ok_twice: "tune-ok instead of open is 504 in state opening";
    s1_21_close_before_open: "connection.close before open is 504 in state opening";
    s1_21_open_twice: "open on an open connection is 504 in state running";
    s1_21_start_ok_again: "start-ok on an open connection is 504 in state running";
    s1_21_channel_before_open: "a method on channel 1 before open is 505";
    s1_22_update_secret: "update-secret is answered with update-secret-ok";
    s1_22_update_secret_any: "a new secret is not held against the password";
    s1_22_update_secret_on_channel: "update-secret on another channel than 0 is 503";
}

fn s1_17_tune(test: &Test) -> Step {
    let connection = start_ok(test, "PLAIN", &test.login().response)?;
    equal("tune", connection.tune()?, Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 })
}

fn s1_18_lower_values(test: &Test) -> Step {
    let login = Login { channel_max: 1, frame_max: 8192, heartbeat: 1, ..test.login() };
    test.connect_as(&login)?.channel()?.sync()
}

/// tune-ok with these values is 530, where the broker says so.
fn tune_refused(test: &Test, channel_max: u16, frame_max: u32, text: &str) -> Step {
    let connection = tuned(test)?;
    connection.tune_ok(channel_max, frame_max, 0);
    refused(test, &connection, 530, id(10, 30), &format!("NOT_ALLOWED - negotiated {text}"))
}

fn s1_18_channel_max_above(test: &Test) -> Step {
    tune_refused(test, 2048, 131_072, "channel_max = 2048 is higher than the maximum allowed value (2047)")
}

fn s1_18_channel_max_unlimited(test: &Test) -> Step {
    let text = "channel_max = 0 (no limit) is higher than the maximum allowed value (2047)";
    tune_refused(test, 0, 131_072, text)
}

fn s1_18_frame_max_above(test: &Test) -> Step {
    tune_refused(test, 2047, 131_073, "frame_max = 131073 is higher than the maximum allowed value (131072)")
}

fn s1_18_frame_max_unlimited(test: &Test) -> Step {
    let text = "frame_max = 0 (no limit) is higher than the maximum allowed value (131072)";
    tune_refused(test, 2047, 0, text)
}

fn s1_18_frame_max_4096(test: &Test) -> Step {
    let connection = tuned(test)?;
    connection.tune_ok(2047, 4096, 0);
    connection.open(&test.target.vhost);
    match connection.read(PATIENCE)? {
        Input::End => test.answered("refused"),
        Input::Frame { payload, .. } if payload.starts_with(&[0, 10, 0, 41]) => test.answered("accepted"),
        other => return fail(format!("neither open-ok nor the end of the socket: {other:?}")),
    }
    Ok(())
}

fn s1_18_frame_max_below(test: &Test) -> Step {
    tune_refused(test, 2047, 4095, "frame_max = 4095 is lower than the minimum allowed value (*)")
}

fn s1_18_heartbeat_above(test: &Test) -> Step {
    let login = Login { heartbeat: u16::MAX, ..test.login() };
    test.connect_as(&login).map(drop)
}

fn s1_18_channel_max_holds(test: &Test) -> Step {
    let login = Login { channel_max: 1, ..test.login() };
    let connection = test.connect_as(&login)?;
    connection.channel()?;
    connection.send(2, Payload::method(20, 10).text(""));
    let text = "NOT_ALLOWED - number of channels opened (1) has reached the negotiated channel_max (1)";
    connection.closes(530, id(0, 0), text)
}

/// A vhost of this name is 530 with it in the text.
fn no_vhost(test: &Test, name: &str) -> Step {
    let connection = unopened(test)?;
    connection.open(name);
    connection.closes(530, id(10, 40), &format!("NOT_ALLOWED - vhost {name} not found"))
}

fn s1_19_vhost_missing(test: &Test) -> Step {
    no_vhost(test, "conformance: no vhost of this n\u{e4}me")
}

fn s1_19_vhost_slash_counts(test: &Test) -> Step {
    no_vhost(test, &format!("/{}", test.target.vhost))
}

fn s1_19_vhost_empty(test: &Test) -> Step {
    no_vhost(test, "")
}

fn s1_19_vhost_text_is_cut(test: &Test) -> Step {
    let connection = unopened(test)?;
    let name = "v".repeat(255);
    connection.open(&name);
    connection.closes(530, id(10, 40), &format!("NOT_ALLOWED - vhost {}...", "v".repeat(232)))
}

fn s1_19_vhost_utf8(test: &Test) -> Step {
    let connection = unopened(test)?;
    connection.send(0, Payload::method(10, 40).text(b"\xff\xfe").text("").bits(&[false]));
    connection.closes(501, id(10, 40), "FRAME_ERROR - Malformed UTF-8 in shortstr")
}

fn s1_20_open_ok(test: &Test) -> Step {
    let connection = unopened(test)?;
    connection.open(&test.target.vhost);
    match connection.read(PATIENCE)? {
        Input::Frame { payload, .. } => equal("open-ok", &payload[..], &[0, 10, 0, 41, 0]),
        other => fail(format!("no open-ok: {other:?}")),
    }
}

/// A method without a place in this state is 504, where the broker says so.
fn out_of_place(test: &Test, connection: &Connection, method: u16, state: &str) -> Step {
    let text = format!("CHANNEL_ERROR - unexpected method in connection state {state}");
    refused(test, connection, 504, id(10, method), &text)
}

fn s1_21_tune_ok_first(test: &Test) -> Step {
    let connection = test.tcp()?;
    connection.greet()?;
    connection.tune_ok(2047, 131_072, 0);
    out_of_place(test, &connection, 31, "starting")
}

fn s1_21_open_before_tune_ok(test: &Test) -> Step {
    let connection = tuned(test)?;
    connection.open(&test.target.vhost);
    out_of_place(test, &connection, 40, "tuning")
}

const OPENING: &str = "CHANNEL_ERROR - unexpected method in connection state opening";
const RUNNING: &str = "CHANNEL_ERROR - unexpected method in connection state running";

fn s1_21_tune_ok_twice(test: &Test) -> Step {
    let connection = unopened(test)?;
    connection.tune_ok(2047, 131_072, 0);
    connection.closes(504, id(10, 31), OPENING)
}

fn s1_21_close_before_open(test: &Test) -> Step {
    let connection = unopened(test)?;
    connection.send(0, Payload::method(10, 50).short(200).text("OK").short(0).short(0));
    connection.closes(504, id(10, 50), OPENING)
}

fn s1_21_open_twice(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.open(&test.target.vhost);
    connection.closes(504, id(10, 40), RUNNING)
}

fn s1_21_start_ok_again(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.start_ok(&test.login());
    connection.closes(504, id(10, 11), RUNNING)
}

fn s1_21_channel_before_open(test: &Test) -> Step {
    let connection = unopened(test)?;
    connection.send(1, Payload::method(20, 10).text(""));
    connection.closes(505, id(0, 0), "UNEXPECTED_FRAME - *")
}

fn update_secret(secret: &str) -> Payload {
    Payload::method(10, 70).long_text(secret).text("expired")
}

fn s1_22_update_secret(test: &Test) -> Step {
    let connection = test.connect()?;
    let channel = connection.channel()?;
    connection.send(0, update_secret(&test.target.password));
    connection.expect(id(10, 71))?;
    channel.sync()
}

fn s1_22_update_secret_any(test: &Test) -> Step {
    let connection = test.connect()?;
    let channel = connection.channel()?;
    connection.send(0, update_secret("not this one"));
    connection.expect(id(10, 71))?;
    channel.sync()
}

fn s1_22_update_secret_on_channel(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(update_secret(&test.target.password));
    channel.connection.closes(503, id(10, 70), "COMMAND_INVALID - unimplemented method")
}
