//! Section 3: heartbeats, both ways.

use std::time::{Duration, Instant};

use leveret_codec::frame::FrameKind;

use crate::assembly::Input;
use crate::connection::{Connection, Login};
use crate::entity::{Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Properties, frame, id};

cases! {
    s3_01_sent_in_silence: "the server beats every half interval while it has nothing else to say";
    s3_01_well_formed: "a heartbeat is an empty frame on channel 0";
    s3_01_silent_peer_dropped: "a silent client is dropped after two to three intervals, without connection.close";
    s3_01_off: "with an interval of 0 nobody beats, and silence is no matter";
    s3_02_heartbeats_keep_alive: "a client that beats is not dropped";
    s3_02_any_frame_keeps_alive: "a client that does anything else is not dropped either";
    s3_03_part_of_a_frame_keeps_alive: "bytes of a frame that is not complete yet count";
}

/// A connection with an interval of this many seconds.
fn beating(test: &Test, heartbeat: u16) -> Step<Connection> {
    test.connect_as(&Login { heartbeat, ..test.login() })
}

/// How many heartbeats come in a while, and nothing else.
fn heartbeats(connection: &Connection, during: Duration) -> Step<u32> {
    let end = Instant::now() + during;
    let mut count = 0;
    loop {
        match connection.read(end.saturating_duration_since(Instant::now()))? {
            Input::Frame { kind: FrameKind::Heartbeat, channel: 0, payload } if payload.is_empty() => {
                count += 1;
            }
            Input::Timeout => return Ok(count),
            other => return fail(format!("expected heartbeats, saw {other:?}")),
        }
    }
}

fn s3_01_sent_in_silence(test: &Test) -> Step {
    let connection = beating(test, 2)?;
    let mut count = 0;
    for _ in 0..3 {
        connection.write(&frame(8, 0, b""));
        count += heartbeats(&connection, Duration::from_millis(2000))?;
    }
    ensure((4..=7).contains(&count), &format!("{count} heartbeats in three intervals"))
}

fn s3_01_well_formed(test: &Test) -> Step {
    let connection = beating(test, 1)?;
    match connection.read(Duration::from_secs(3))? {
        Input::Frame { kind: FrameKind::Heartbeat, channel, payload } => {
            equal("channel and payload", (channel, payload.len()), (0, 0))
        }
        other => fail(format!("no heartbeat: {other:?}")),
    }
}

fn s3_01_silent_peer_dropped(test: &Test) -> Step {
    let connection = beating(test, 2)?;
    let start = Instant::now();
    connection.ends_within(Duration::from_secs(3))?;
    let took = start.elapsed();
    ensure(took > Duration::from_millis(3800), "dropped before two intervals were over")?;
    ensure(took < Duration::from_millis(7500), "dropped long after three intervals")
}

fn s3_01_off(test: &Test) -> Step {
    let connection = beating(test, 0)?;
    equal("heartbeats", heartbeats(&connection, Duration::from_secs(4))?, 0)?;
    connection.channel()?.sync()
}

fn s3_02_heartbeats_keep_alive(test: &Test) -> Step {
    let connection = beating(test, 1)?;
    for _ in 0..7 {
        connection.write(&frame(8, 0, b""));
        heartbeats(&connection, Duration::from_millis(800))?;
    }
    connection.channel()?.sync()
}

fn s3_02_any_frame_keeps_alive(test: &Test) -> Step {
    let channel = beating(test, 1)?.channel()?;
    for _ in 0..7 {
        channel.sync()?;
        std::thread::sleep(Duration::from_millis(800));
    }
    channel.sync()
}

fn s3_03_part_of_a_frame_keeps_alive(test: &Test) -> Step {
    let channel = beating(test, 1)?.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    channel.send(Message::new("", &name, "").payload());
    channel.frame(2, &Payload::header(60, 4, &Properties::new()).0);
    for byte in frame(3, 1, b"body") {
        std::thread::sleep(Duration::from_millis(500));
        channel.connection.write(&[byte]);
    }
    channel.becomes(&name, 1)?;
    equal("body", channel.take(&name)?.body(), "body")?;
    channel.connection.send(0, Payload::method(10, 50).short(200).text("OK").short(0).short(0));
    channel.connection.expect(id(10, 51)).map(drop)
}
