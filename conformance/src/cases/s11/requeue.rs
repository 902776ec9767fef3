//! Messages that go back to their queue: where to, by which methods, in which order (semantics 11.2 to 11.4, 11.8).

use crate::channel::Channel;
use crate::entity::{Message, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::scene::{each_type, fill, filled};
use crate::test::Test;
use crate::wire::{Payload, id};

cases! {
    s11_02_original_position: "a requeued message is ready again before those published after it";
    s11_02_classic_by_sequence: "messages requeued out of order lie in the order of publication on a classic queue";
    s11_02_quorum_by_return: "in which order messages requeued out of order lie on a quorum queue",
        differs("of return", "of publication",
            "every queue of Leveret gives messages back their place, so that fewer are seen out of order");
    s11_02_loop: "a requeued message goes to the only consumer at once";
    s11_02_next_consumer: "a message requeued while its consumer is cancelled goes to another one";
    s11_02_channel_closed: "what a closed channel had unacked is ready again in order";
    s11_03_rejected_without_target: "a rejected message that is not requeued and has no dead-letter exchange is gone";
    s11_03_rejected_to_target: "rejected messages that are not requeued are dead letters";
    s11_04_recover: "basic.recover requeues everything unacked on the channel, then answers";
    s11_04_recover_other_channels: "basic.recover leaves the unacked messages of other channels alone";
    s11_04_recover_nothing: "basic.recover is answered where nothing is unacked";
    s11_04_recover_async: "basic.recover-async is not answered";
    s11_04_recover_without_requeue: "basic.recover without requeue closes the connection with 540";
    s11_04_recover_async_without_requeue: "so does basic.recover-async";
    s11_08_order: "messages of one publisher stay in order, through a queue and a consumer";
}

/// The bodies that are ready, in their order.
fn ready(channel: &Channel, queue: &str, count: usize) -> Step<Vec<String>> {
    (0..count).map(|_| channel.take(queue).map(|delivery| delivery.body().to_owned())).collect()
}

fn got(channel: &Channel, queue: &str, count: usize) -> Step {
    (0..count).try_for_each(|_| ensure(channel.get(queue, false)?.is_some(), "get-empty"))
}

fn s11_02_original_position(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c"])?;
        got(&channel, &name, 2)?;
        channel.put(&name, "d");
        channel.becomes(&name, 2)?;
        channel.reject(1, true);
        channel.nack(2, false, true);
        channel.becomes(&name, 4)?;
        equal("ready", ready(&channel, &name, 4)?, ["a", "b", "c", "d"].map(String::from).to_vec())
    })
}

/// Two of three messages requeued, the later one first.
fn out_of_order(test: &Test, kind: &str) -> Step<Vec<String>> {
    let channel = test.channel()?;
    let name = filled(test, &channel, kind, &["a", "b", "c"])?;
    got(&channel, &name, 2)?;
    channel.nack(2, false, true);
    channel.becomes(&name, 2)?;
    channel.nack(1, false, true);
    channel.becomes(&name, 3)?;
    ready(&channel, &name, 3)
}

fn s11_02_classic_by_sequence(test: &Test) -> Step {
    equal("ready", out_of_order(test, "classic")?, ["a", "b", "c"].map(String::from).to_vec())
}

fn s11_02_quorum_by_return(test: &Test) -> Step {
    let ready = out_of_order(test, "quorum")?;
    test.answered(match ready.concat().as_str() {
        "bac" => "of return",
        "abc" => "of publication",
        _ => return fail(format!("ready are {ready:?}")),
    });
    Ok(())
}

fn s11_02_loop(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a"])?;
        channel.consume(&name, "t")?;
        for tag in 1..6 {
            let delivery = channel.delivery()?;
            equal("delivery", (delivery.tag, delivery.redelivered), (tag, tag > 1))?;
            channel.nack(tag, false, true);
        }
        Ok(())
    })
}

fn s11_02_next_consumer(test: &Test) -> Step {
    each_type(|kind| {
        let (one, two) = (test.channel()?, test.channel()?);
        let name = filled(test, &one, kind, &["a"])?;
        one.consume(&name, "t")?;
        one.delivery()?;
        one.cancel("t")?;
        two.consume(&name, "t")?;
        two.silent()?;
        one.reject(1, true);
        let delivery = two.delivery()?;
        equal("delivery", (delivery.body(), delivery.redelivered), ("a", true))
    })
}

fn s11_02_channel_closed(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c", "d"])?;
        got(&channel, &name, 3)?;
        channel.close()?;
        let other = channel.connection.channel()?;
        other.becomes(&name, 4)?;
        equal("ready", ready(&other, &name, 4)?, ["a", "b", "c", "d"].map(String::from).to_vec())
    })
}

fn s11_03_rejected_without_target(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b"])?;
        got(&channel, &name, 2)?;
        channel.reject(1, false);
        channel.nack(2, false, false);
        channel.sync()?;
        channel.close()?;
        let other = channel.connection.channel()?;
        other.silent()?;
        other.empty(&name)
    })
}

fn s11_03_rejected_to_target(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let (name, target) = (test.queue(kind), test.queue(&format!("{kind}.target")));
        channel.declare(&Queue::new(&target))?;
        let queue = Queue::of(kind, &name).with("x-dead-letter-exchange", "");
        channel.declare(&queue.with("x-dead-letter-routing-key", &target))?;
        fill(&channel, &name, &["a", "b"])?;
        got(&channel, &name, 2)?;
        channel.reject(1, false);
        channel.nack(2, false, false);
        equal("dead letter", channel.take_soon(&target)?.body(), "a")?;
        equal("dead letter", channel.take_soon(&target)?.body(), "b")
    })
}

fn recover(method: u16, requeue: bool) -> Payload {
    Payload::method(60, method).bits(&[requeue])
}

fn s11_04_recover(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b", "c"])?;
        got(&channel, &name, 2)?;
        channel.call(recover(110, true), id(60, 111))?;
        channel.becomes(&name, 3)?;
        channel.consume(&name, "t")?;
        for expected in [("a", true), ("b", true), ("c", false)] {
            let delivery = channel.delivery()?;
            equal("delivery", (delivery.body(), delivery.redelivered), expected)?;
        }
        Ok(())
    })
}

fn s11_04_recover_other_channels(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &["a", "b"])?;
    let other = channel.connection.channel()?;
    got(&channel, &name, 1)?;
    got(&other, &name, 1)?;
    channel.call(recover(110, true), id(60, 111))?;
    channel.becomes(&name, 1)?;
    equal("body", channel.take(&name)?.body(), "a")?;
    other.ack(1, false);
    other.sync()
}

fn s11_04_recover_nothing(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.call(recover(110, true), id(60, 111)).map(drop)
}

fn s11_04_recover_async(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &["a"])?;
    got(&channel, &name, 1)?;
    channel.send(recover(100, true));
    channel.silent()?;
    channel.becomes(&name, 1)
}

fn s11_04_recover_without_requeue(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(recover(110, false));
    channel.connection.closes(540, id(60, 110), "NOT_IMPLEMENTED - requeue=false")
}

fn s11_04_recover_async_without_requeue(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(recover(100, false));
    channel.connection.closes(540, id(60, 100), "NOT_IMPLEMENTED - requeue=false")
}

fn s11_08_order(test: &Test) -> Step {
    each_type(|kind| {
        let (publisher, consumer) = (test.channel()?, test.channel()?);
        let name = filled(test, &publisher, kind, &[])?;
        publisher.bind(&name, "amq.topic", &name)?;
        consumer.qos(7, false)?;
        consumer.consume(&name, "t")?;
        for number in 0..300 {
            publisher.publish(&Message::new("amq.topic", &name, number.to_string()));
        }
        for number in 0..300 {
            let delivery = consumer.delivery()?;
            equal("body", delivery.body(), number.to_string().as_str())?;
            consumer.ack(delivery.tag, false);
        }
        Ok(())
    })
}
