//! Which delivery tags may be settled, and how many at once (semantics 11.1); messages without acks (semantics 11.9).

use crate::channel::Channel;
use crate::entity::Consume;
use crate::outcome::{Step, ensure, equal};
use crate::runner::cases;
use crate::scene::{each_type, filled};
use crate::test::Test;
use crate::wire::id;

cases! {
    s11_01_unknown_tag: "the ack, nack or reject of an unknown delivery tag is 406";
    s11_01_twice: "the second ack of a delivery tag is 406";
    s11_01_no_ack: "a message delivered without acks has no delivery tag to ack: 406";
    s11_01_no_ack_get: "so has a message got without acks";
    s11_01_other_channel: "a delivery tag means nothing on another channel: 406";
    s11_01_zero: "delivery tag 0 without multiple is 406";
    s11_01_zero_multiple: "delivery tag 0 with multiple settles all there is";
    s11_01_zero_multiple_none: "delivery tag 0 with multiple is fine where nothing is unacked";
    s11_01_multiple: "multiple settles everything up to its tag, nothing beyond";
    s11_01_multiple_queues: "multiple settles what came from different queues";
    s11_01_multiple_ahead: "multiple with a tag not delivered yet is 406";
    s11_01_multiple_settled: "multiple with a tag that is settled is 406, although smaller ones are unacked";
    s11_01_multiple_settles_none: "a multiple that is refused settles nothing";
    s11_01_nack_multiple: "nack multiple requeues everything up to its tag";
    s11_01_any_order: "delivery tags may be acked in any order";
    s11_09_no_ack_is_gone: "a message delivered without acks does not come back";
}

/// channel.close for this tag.
fn unknown(channel: &Channel, tag: u64, method: u16) -> Step {
    channel.closes(406, id(60, method), &format!("PRECONDITION_FAILED - unknown delivery tag {tag}"))
}

fn s11_01_unknown_tag(test: &Test) -> Step {
    let connection = test.connect()?;
    for method in [80, 90, 120] {
        let channel = connection.channel()?;
        match method {
            80 => channel.ack(7, false),
            90 => channel.reject(7, true),
            _ => channel.nack(7, false, false),
        }
        unknown(&channel, 7, method)?;
    }
    Ok(())
}

/// A channel with these messages of one queue unacked.
fn holding(test: &Test, kind: &str, bodies: &[&str]) -> Step<(Channel, String)> {
    let channel = test.channel()?;
    let name = filled(test, &channel, kind, bodies)?;
    channel.consume(&name, "t")?;
    channel.bodies(bodies.len())?;
    Ok((channel, name))
}

/// Closes the channel: exactly these were not settled.
fn left(channel: &Channel, queue: &str, bodies: &[&str]) -> Step {
    channel.sync()?;
    channel.close()?;
    remains(&channel.connection.channel()?, queue, bodies)
}

/// Exactly these are ready, perhaps in a moment.
fn remains(channel: &Channel, queue: &str, bodies: &[&str]) -> Step {
    for &body in bodies {
        equal("left", channel.take_soon(queue)?.body(), body)?;
    }
    channel.empty(queue)
}

fn s11_01_twice(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, _) = holding(test, kind, &["a"])?;
        channel.ack(1, false);
        channel.sync()?;
        channel.ack(1, false);
        unknown(&channel, 1, 80)
    })
}

fn s11_01_no_ack(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &["a"])?;
    channel.consume_with(&Consume::new(&name, "t").no_ack())?;
    equal("delivery tag", channel.delivery()?.tag, 1)?;
    channel.ack(1, false);
    unknown(&channel, 1, 80)
}

fn s11_01_no_ack_get(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &["a"])?;
    equal("delivery tag", channel.take(&name)?.tag, 1)?;
    channel.ack(1, false);
    unknown(&channel, 1, 80)
}

fn s11_01_other_channel(test: &Test) -> Step {
    let (channel, name) = holding(test, "classic", &["a"])?;
    let other = channel.connection.channel()?;
    other.ack(1, false);
    unknown(&other, 1, 80)?;
    left(&channel, &name, &["a"])
}

fn s11_01_zero(test: &Test) -> Step {
    let (channel, name) = holding(test, "classic", &["a"])?;
    channel.ack(0, false);
    unknown(&channel, 0, 80)?;
    remains(&channel.connection.channel()?, &name, &["a"])
}

fn s11_01_zero_multiple(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, name) = holding(test, kind, &["a", "b", "c"])?;
        channel.ack(0, true);
        left(&channel, &name, &[])
    })
}

fn s11_01_zero_multiple_none(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.ack(0, true);
    channel.nack(0, true, true);
    channel.sync()
}

fn s11_01_multiple(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, name) = holding(test, kind, &["a", "b", "c", "d"])?;
        channel.ack(2, true);
        left(&channel, &name, &["c", "d"])
    })
}

fn s11_01_multiple_queues(test: &Test) -> Step {
    let channel = test.channel()?;
    let names =
        [filled(test, &channel, "classic", &["a", "b"])?, filled(test, &channel, "quorum", &["c", "d"])?];
    for name in [&names[0], &names[1], &names[0], &names[1]] {
        ensure(channel.get(name, false)?.is_some(), "get-empty")?;
    }
    channel.ack(3, true);
    channel.sync()?;
    channel.close()?;
    let other = channel.connection.channel()?;
    remains(&other, &names[1], &["d"])?;
    remains(&other, &names[0], &[])
}

fn s11_01_multiple_ahead(test: &Test) -> Step {
    let (channel, name) = holding(test, "classic", &["a", "b"])?;
    channel.ack(3, true);
    unknown(&channel, 3, 80)?;
    remains(&channel.connection.channel()?, &name, &["a", "b"])
}

fn s11_01_multiple_settled(test: &Test) -> Step {
    let (channel, _) = holding(test, "classic", &["a", "b", "c"])?;
    channel.ack(2, false);
    channel.ack(2, true);
    unknown(&channel, 2, 80)
}

fn s11_01_multiple_settles_none(test: &Test) -> Step {
    let (channel, name) = holding(test, "classic", &["a", "b", "c"])?;
    channel.ack(2, false);
    channel.ack(2, true);
    unknown(&channel, 2, 80)?;
    remains(&channel.connection.channel()?, &name, &["a", "c"])
}

fn s11_01_nack_multiple(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c", "d"])?;
        channel.qos(4, false)?;
        for _ in 0..3 {
            ensure(channel.get(&name, false)?.is_some(), "get-empty")?;
        }
        channel.nack(2, true, true);
        channel.becomes(&name, 3)?;
        remains(&channel, &name, &["a", "b", "d"])
    })
}

fn s11_01_any_order(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, name) = holding(test, kind, &["a", "b", "c", "d"])?;
        for tag in [3, 1, 4] {
            channel.ack(tag, false);
        }
        left(&channel, &name, &["b"])
    })
}

fn s11_09_no_ack_is_gone(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, other) = (test.channel()?, test.channel()?);
        let name = filled(test, &channel, kind, &["a"])?;
        channel.consume_with(&Consume::new(&name, "t").no_ack())?;
        equal("body", channel.delivery()?.body(), "a")?;
        channel.connection.cut();
        other.silent()?;
        other.empty(&name)
    })
}
