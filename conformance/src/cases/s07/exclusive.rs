//! 7.3 and 7.9: exclusive queues, and what others are told of them.

use crate::channel::{bind, delete, get};
use crate::entity::{Consume, Queue};
use crate::outcome::{Step, equal};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Table, id};

cases! {
    s7_03_exclusive_locked: "the exclusive queue of another connection is 405 for declare and passive declare";
    s7_03_exclusive_flag_differs: "an exclusive flag that differs is 405, not 406";
    s7_03_exclusive_before_durable: "the exclusive check comes before that of durable";
    s7_09_exclusive_other_channel: "other channels of the connection may use its exclusive queue";
    s7_09_exclusive_bind: "bind on somebody's exclusive queue is 405";
    s7_09_exclusive_unbind: "unbind on somebody's exclusive queue is 405";
    s7_09_exclusive_consume: "consume from somebody's exclusive queue is 405";
    s7_09_exclusive_get: "get from somebody's exclusive queue is 405";
    s7_09_exclusive_purge: "purge of somebody's exclusive queue is 405";
    s7_09_exclusive_delete: "delete of somebody's exclusive queue is 405";
    s7_09_exclusive_publish: "publishing to somebody's exclusive queue is allowed";
    s7_09_exclusive_goes_with_connection: "an exclusive queue, even a durable one, goes with its connection";
}

fn locked(test: &Test, queue: &str) -> String {
    format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked {}. It could be originally declared on another \
         connection or the exclusive property value does not match that of the original declaration.",
        test.queue_text(queue)
    )
}

fn s7_03_exclusive_locked(test: &Test) -> Step {
    let (owner, other) = (test.channel()?, test.connect()?);
    let name = test.queue("q");
    owner.declare(&Queue::new(&name).exclusive())?;
    for again in [Queue::new(&name).exclusive(), Queue::new(&name), Queue::new(&name).passive()] {
        let channel = other.channel()?;
        channel.send(again.payload());
        channel.closes(405, id(50, 10), &locked(test, &name))?;
    }
    Ok(())
}

fn s7_03_exclusive_flag_differs(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    channel.send(Queue::new(&name).exclusive().payload());
    channel.closes(405, id(50, 10), &locked(test, &name))
}

fn s7_03_exclusive_before_durable(test: &Test) -> Step {
    let (owner, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    owner.declare(&Queue::new(&name).transient().exclusive())?;
    other.send(Queue::new(&name).exclusive().auto_delete().payload());
    other.closes(405, id(50, 10), &locked(test, &name))
}

fn s7_09_exclusive_other_channel(test: &Test) -> Step {
    let connection = test.connect()?;
    let (one, two) = (connection.channel()?, connection.channel()?);
    let name = test.queue("q");
    one.declare(&Queue::new(&name).exclusive())?;
    two.declare(&Queue::new(&name).exclusive())?;
    two.bind(&name, "amq.direct", &name)?;
    two.consume(&name, "c")
}

/// A method on somebody's exclusive queue closes the channel with 405.
fn locked_for(test: &Test, method: impl FnOnce(&str) -> Payload, class: u16, number: u16) -> Step {
    let (owner, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    owner.declare(&Queue::new(&name).exclusive())?;
    other.send(method(&name));
    other.closes(405, id(class, number), &locked(test, &name))?;
    owner.count(&name).map(drop)
}

fn s7_09_exclusive_bind(test: &Test) -> Step {
    locked_for(test, |name| bind(name, "amq.direct", name, &Table::new()), 50, 20)
}

fn s7_09_exclusive_unbind(test: &Test) -> Step {
    let (owner, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    owner.declare(&Queue::new(&name).exclusive())?;
    owner.bind(&name, "amq.direct", &name)?;
    let unbind = Payload::method(50, 50).short(0).text(&name).text("amq.direct").text(&name);
    other.send(unbind.table(&Table::new()));
    other.closes(405, id(50, 50), &locked(test, &name))
}

fn s7_09_exclusive_consume(test: &Test) -> Step {
    locked_for(test, |name| Consume::new(name, "c").payload(), 60, 20)
}

fn s7_09_exclusive_get(test: &Test) -> Step {
    locked_for(test, |name| get(name, true), 60, 70)
}

fn s7_09_exclusive_purge(test: &Test) -> Step {
    locked_for(test, |name| Payload::method(50, 30).short(0).text(name).bits(&[false]), 50, 30)
}

fn s7_09_exclusive_delete(test: &Test) -> Step {
    locked_for(test, |name| delete(name, false, false), 50, 40)
}

fn s7_09_exclusive_publish(test: &Test) -> Step {
    let (owner, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    owner.declare(&Queue::new(&name).exclusive())?;
    other.put(&name, "x");
    other.sync()?;
    equal("body", owner.take_soon(&name)?.body(), "x")
}

fn s7_09_exclusive_goes_with_connection(test: &Test) -> Step {
    let (owner, other) = (test.connect()?, test.channel()?);
    let name = test.queue("q");
    owner.channel()?.declare(&Queue::new(&name).exclusive())?;
    owner.close()?;
    other.send(Queue::new(&name).passive().payload());
    other.closes(404, id(50, 10), &format!("NOT_FOUND - no {}", test.queue_text(&name)))
}
