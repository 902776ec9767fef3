//! Section 13: alarms. Needs an operator who makes the broker low on memory or disk for a moment.

use std::time::Duration;

use leveret_codec::method::amqp::{AMQPClass, connection};

use crate::channel::Channel;
use crate::connection::{Connection, Login};
use crate::entity::Queue;
use crate::operator::{Alarm, Operator};
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::id;

cases! {
    s13_01_memory: "low memory blocks publishers, and connection.blocked says so", alone();
    s13_01_disk: "low disk blocks publishers, and connection.blocked says so", alone();
    s13_01_both: "with both alarms the reason names both; the connection goes on when both have ended", alone();
    s13_02_told_once: "a blocked connection is told once, however much it publishes", alone();
    s13_02_acks: "whether the acks of a blocked connection are heeded",
        differs("acks wait", "acks go on", "a blocked connection is read on: what it acknowledges makes room"), alone();
    s13_02_consumers: "consumers get their messages during an alarm", alone();
    s13_02_not_told: "a client without the capability is blocked and not told", alone();
    s13_02_blocked_again: "the next alarm blocks a connection when it publishes again", alone();
    s13_02_held_back: "what is published during an alarm is there, and confirmed, after it", alone();
    s13_03_fresh_connection: "a connection that begins during an alarm is blocked at its first publish", alone();
}

/// The broker looks now and then whether it is low on something.
const LOOK: Duration = Duration::from_millis(1500);

/// Waits until connections are treated as during an alarm.
fn await_alarm() {
    std::thread::sleep(LOOK);
}

/// A channel in confirm mode, and an empty queue.
fn publisher(test: &Test, login: &Login) -> Step<(Channel, String)> {
    let channel = test.connect_as(login)?.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    channel.confirm_select()?;
    Ok((channel, name))
}

/// connection.blocked, which gives its reason.
fn blocked(connection: &Connection) -> Step<String> {
    match connection.expect(id(10, 60))?.method {
        AMQPClass::Connection(connection::AMQPMethod::Blocked(blocked)) => Ok(blocked.reason.to_string()),
        other => fail(format!("connection.blocked is {other:?}")),
    }
}

fn unblocked(connection: &Connection) -> Step {
    connection.expect(id(10, 61)).map(drop)
}

/// Raises alarms, publishes, and sees what is told; ends them, and sees what was published confirmed.
fn reason_is(test: &Test, alarms: &[Alarm], reason: &str) -> Step {
    let mut operator = Operator::new(test)?;
    let (channel, name) = publisher(test, &test.login())?;
    alarms.iter().try_for_each(|alarm| operator.raise(*alarm))?;
    await_alarm();
    channel.put(&name, "first");
    equal("reason", blocked(&channel.connection)?.as_str(), reason)?;
    operator.undo()?;
    unblocked(&channel.connection)?;
    channel.confirmed(1, 1)
}

fn s13_01_memory(test: &Test) -> Step {
    reason_is(test, &[Alarm::Memory], "low on memory")
}

fn s13_01_disk(test: &Test) -> Step {
    reason_is(test, &[Alarm::Disk], "low on disk")
}

fn s13_01_both(test: &Test) -> Step {
    reason_is(test, &[Alarm::Memory, Alarm::Disk], "low on disk & memory")
}

fn s13_02_told_once(test: &Test) -> Step {
    let mut operator = Operator::new(test)?;
    let (channel, name) = publisher(test, &test.login())?;
    operator.raise(Alarm::Memory)?;
    await_alarm();
    channel.put(&name, "first");
    blocked(&channel.connection)?;
    channel.put(&name, "second");
    channel.put(&name, "third");
    channel.silent_for(LOOK)?;
    operator.undo()?;
    unblocked(&channel.connection)?;
    channel.confirmed(1, 3)
}

fn s13_02_acks(test: &Test) -> Step {
    let mut operator = Operator::new(test)?;
    let (publishing, name) = publisher(test, &test.login())?;
    let acking = publishing.connection.channel()?;
    let watching = test.channel()?;
    publishing.put(&name, "held");
    publishing.confirmed(1, 1)?;
    let Some(held) = acking.get(&name, false)? else { return fail("nothing to hold") };
    operator.raise(Alarm::Memory)?;
    await_alarm();
    publishing.put(&name, "blocked");
    blocked(&publishing.connection)?;
    acking.reject(held.tag, true);
    std::thread::sleep(LOOK);
    test.answered(match watching.get(&name, true)? {
        Some(_) => "acks go on",
        None => "acks wait",
    });
    operator.undo()?;
    unblocked(&publishing.connection)?;
    publishing.confirmed(2, 2)
}

fn s13_02_consumers(test: &Test) -> Step {
    let mut operator = Operator::new(test)?;
    let (publishing, name) = publisher(test, &test.login())?;
    publishing.put(&name, "a");
    publishing.put(&name, "b");
    publishing.confirmed(1, 2)?;
    operator.raise(Alarm::Memory)?;
    await_alarm();
    publishing.put(&name, "c");
    blocked(&publishing.connection)?;
    let consuming = test.channel()?;
    consuming.qos(1, false)?;
    consuming.consume(&name, "t")?;
    for expected in ["a", "b"] {
        let delivery = consuming.delivery()?;
        equal("body", delivery.body(), expected)?;
        consuming.ack(delivery.tag, false);
    }
    consuming.silent_for(LOOK)?;
    operator.undo()?;
    equal("body", consuming.delivery()?.body(), "c")
}

fn s13_02_not_told(test: &Test) -> Step {
    let mut operator = Operator::new(test)?;
    let (channel, name) = publisher(test, &test.login().plain())?;
    let watching = test.channel()?;
    operator.raise(Alarm::Memory)?;
    await_alarm();
    channel.put(&name, "first");
    channel.put(&name, "second");
    channel.silent_for(LOOK)?;
    watching.empty(&name)?;
    operator.undo()?;
    channel.confirmed(1, 2)?;
    channel.silent()
}

fn s13_02_blocked_again(test: &Test) -> Step {
    let mut operator = Operator::new(test)?;
    let (channel, name) = publisher(test, &test.login())?;
    for number in 1..=2 {
        operator.raise(Alarm::Memory)?;
        channel.silent_for(LOOK)?;
        channel.put(&name, "one");
        blocked(&channel.connection)?;
        operator.undo()?;
        unblocked(&channel.connection)?;
        channel.confirmed(number, number)?;
    }
    Ok(())
}

fn s13_02_held_back(test: &Test) -> Step {
    let mut operator = Operator::new(test)?;
    let (channel, name) = publisher(test, &test.login())?;
    let watching = test.channel()?;
    operator.raise(Alarm::Disk)?;
    await_alarm();
    for body in ["first", "second", "third"] {
        channel.put(&name, body);
    }
    blocked(&channel.connection)?;
    channel.silent()?;
    watching.empty(&name)?;
    operator.undo()?;
    unblocked(&channel.connection)?;
    channel.confirmed(1, 3)?;
    for body in ["first", "second", "third"] {
        equal("body", watching.take(&name)?.body(), body)?;
    }
    Ok(())
}

fn s13_03_fresh_connection(test: &Test) -> Step {
    let mut operator = Operator::new(test)?;
    operator.raise(Alarm::Memory)?;
    await_alarm();
    let (channel, name) = publisher(test, &test.login())?;
    channel.silent()?;
    channel.put(&name, "first");
    blocked(&channel.connection)?;
    operator.undo()?;
    unblocked(&channel.connection)?;
    channel.confirmed(1, 1)
}
