//! Section 14: transactions.

use crate::channel::{Channel, Delivery, delivery};
use crate::connection::{PATIENCE, check_close};
use crate::entity::{Consume, Message, Queue};
use crate::outcome::{Step, equal, fail};
use crate::runner::cases;
use crate::scene::{each_type, filled};
use crate::test::Test;
use crate::wire::{Payload, id};

cases! {
    s14_01_select_twice: "tx.select may be repeated";
    s14_01_after_confirm: "tx.select on a channel with confirms is 406";
    s14_01_before_confirm: "confirm.select on a channel with transactions is 406";
    s14_01_commit_without_select: "tx.commit without tx.select is 406";
    s14_01_rollback_without_select: "tx.rollback without tx.select is 406";
    s14_02_publish_at_commit: "published messages are in their queue when the commit is answered, not before";
    s14_02_publish_rolled_back: "a rollback discards published messages";
    s14_02_next_transaction: "commit and rollback begin the next transaction";
    s14_02_empty_commit: "a transaction without anything in it is committed";
    s14_02_channel_closed: "what was not committed when the channel closes is discarded";
    s14_02_cut: "what was not committed when the connection is cut is discarded";
    s14_02_several_queues: "a commit reaches all queues of all exchanges";
    s14_02_missing_exchange: "publishing to a missing exchange is 404 at once, not at commit";
    s14_02_return_at_commit: "returns of mandatory messages come with the commit, before commit-ok";
    s14_02_return_rolled_back: "a mandatory message that is rolled back is not returned";
    s14_02_ack_at_commit: "acks count from the commit on";
    s14_02_ack_rolled_back: "a rollback takes acks back: the messages are unacked, not redelivered";
    s14_02_ack_after_rollback: "a message whose ack was rolled back may be acked again";
    s14_02_ack_twice: "a delivery tag acked twice in a transaction is 406 at once";
    s14_02_reject_at_commit: "requeueing by reject and nack happens at the commit";
    s14_02_reject_rolled_back: "a rollback takes rejects back";
    s14_02_prefetch_until_commit: "an uncommitted ack frees no prefetch";
    s14_02_order: "messages of a transaction keep their order";
    s14_02_no_confirms: "nothing but commit-ok answers published messages";
    s14_02_delivery_not_transactional: "consumers are sent messages whatever the transaction of their channel does";
    s14_02_other_channels: "other channels of the connection are not in the transaction";
    s14_03_rejected_publish: "a commit with a message that a full queue rejects is 406";
    s14_03_rejected_publish_others: "the other messages of such a commit are in their queues";
    s14_04_pipelined: "a method sent while a commit is in progress",
        differs("504", "waits", "a client that does not wait for commit-ok need not lose its connection");
}

fn s14_01_select_twice(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.tx_select()?;
    channel.tx_select()
}

fn s14_01_after_confirm(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.confirm_select()?;
    channel.send(Payload::method(90, 10));
    channel.closes(406, id(90, 10), "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
}

fn s14_01_before_confirm(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.tx_select()?;
    channel.send(Payload::method(85, 10).bits(&[false]));
    channel.closes(406, id(85, 10), "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
}

fn s14_01_commit_without_select(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(90, 20));
    channel.closes(406, id(90, 20), "PRECONDITION_FAILED - channel is not transactional")
}

fn s14_01_rollback_without_select(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Payload::method(90, 30));
    channel.closes(406, id(90, 30), "PRECONDITION_FAILED - channel is not transactional")
}

/// A transactional channel, another one beside it on the same connection, and a queue.
fn scene(test: &Test, kind: &str) -> Step<(Channel, Channel, String)> {
    let channel = test.channel()?;
    let name = filled(test, &channel, kind, &[])?;
    channel.tx_select()?;
    let other = channel.connection.channel()?;
    Ok((channel, other, name))
}

fn s14_02_publish_at_commit(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, other, name) = scene(test, kind)?;
        channel.put(&name, "a");
        channel.put(&name, "b");
        channel.sync()?;
        other.silent()?;
        other.empty(&name)?;
        channel.tx_commit()?;
        equal("body", other.take(&name)?.body(), "a")?;
        equal("body", other.take(&name)?.body(), "b")
    })
}

fn s14_02_publish_rolled_back(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, other, name) = scene(test, kind)?;
        channel.put(&name, "a");
        channel.tx_rollback()?;
        channel.put(&name, "b");
        channel.tx_commit()?;
        equal("body", other.take(&name)?.body(), "b")?;
        other.empty(&name)
    })
}

fn s14_02_next_transaction(test: &Test) -> Step {
    let (channel, other, name) = scene(test, "classic")?;
    channel.put(&name, "a");
    channel.tx_commit()?;
    channel.put(&name, "b");
    channel.sync()?;
    equal("body", other.take(&name)?.body(), "a")?;
    other.empty(&name)?;
    channel.tx_rollback()?;
    channel.put(&name, "c");
    channel.sync()?;
    other.empty(&name)?;
    channel.tx_commit()?;
    equal("body", other.take(&name)?.body(), "c")
}

fn s14_02_empty_commit(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.tx_select()?;
    channel.tx_commit()?;
    channel.tx_rollback()?;
    channel.tx_commit()
}

fn s14_02_channel_closed(test: &Test) -> Step {
    let (channel, other, name) = scene(test, "classic")?;
    channel.put(&name, "a");
    channel.sync()?;
    channel.close()?;
    other.silent()?;
    other.empty(&name)
}

fn s14_02_cut(test: &Test) -> Step {
    let (channel, _, name) = scene(test, "classic")?;
    let other = test.channel()?;
    channel.put(&name, "a");
    channel.sync()?;
    channel.connection.cut();
    other.silent()?;
    other.empty(&name)
}

fn s14_02_several_queues(test: &Test) -> Step {
    let (channel, other, classic) = scene(test, "classic")?;
    let quorum = filled(test, &other, "quorum", &[])?;
    for name in [&classic, &quorum] {
        other.bind(name, "amq.fanout", "")?;
    }
    channel.put(&classic, "a");
    channel.put(&quorum, "b");
    other.unbind(&classic, "amq.fanout", "")?;
    other.unbind(&quorum, "amq.fanout", "")?;
    channel.tx_commit()?;
    equal("body", other.take(&classic)?.body(), "a")?;
    equal("body", other.take(&quorum)?.body(), "b")
}

fn s14_02_missing_exchange(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.tx_select()?;
    let exchange = test.exchange("missing");
    channel.publish(&Message::new(&exchange, "k", "a"));
    let text = format!("NOT_FOUND - no {}", test.exchange_text(&exchange));
    channel.closes(404, id(60, 40), &text)
}

fn s14_02_return_at_commit(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.tx_select()?;
    channel.publish(&Message::new("", &test.queue("missing"), "a").mandatory());
    channel.silent()?;
    channel.send(Payload::method(90, 20));
    let returned = channel.returned()?;
    equal("return", (returned.code, returned.text.as_str(), returned.body()), (312, "NO_ROUTE", "a"))?;
    channel.expect(id(90, 21)).map(drop)
}

fn s14_02_return_rolled_back(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.tx_select()?;
    channel.publish(&Message::new("", &test.queue("missing"), "a").mandatory());
    channel.tx_rollback()?;
    channel.tx_commit()?;
    channel.silent()
}

/// A transactional channel with a message of a queue unacked.
fn holding(test: &Test, kind: &str) -> Step<(Channel, String, Delivery)> {
    let channel = test.channel()?;
    let name = filled(test, &channel, kind, &["a"])?;
    channel.tx_select()?;
    channel.consume(&name, "t")?;
    let delivery = channel.delivery()?;
    Ok((channel, name, delivery))
}

fn s14_02_ack_at_commit(test: &Test) -> Step {
    each_type(|kind| {
        for commit in [true, false] {
            let (channel, name, delivery) = holding(test, kind)?;
            let other = test.channel()?;
            channel.ack(delivery.tag, false);
            if commit {
                channel.tx_commit()?;
            } else {
                channel.sync()?;
            }
            channel.close()?;
            if commit {
                other.silent()?;
                other.empty(&name)?;
            } else {
                equal("body", other.take_soon(&name)?.body(), "a")?;
            }
        }
        Ok(())
    })
}

fn s14_02_ack_rolled_back(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, name, delivery) = holding(test, kind)?;
        channel.ack(delivery.tag, false);
        channel.tx_rollback()?;
        channel.silent()?;
        let other = channel.connection.channel()?;
        channel.close()?;
        equal("redelivered", other.take_soon(&name)?.redelivered, true)
    })
}

fn s14_02_ack_after_rollback(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, name, delivery) = holding(test, kind)?;
        channel.ack(delivery.tag, false);
        channel.tx_rollback()?;
        channel.ack(delivery.tag, false);
        channel.tx_commit()?;
        channel.close()?;
        let other = channel.connection.channel()?;
        other.silent()?;
        other.empty(&name)
    })
}

fn s14_02_ack_twice(test: &Test) -> Step {
    let (channel, _, delivery) = holding(test, "classic")?;
    channel.ack(delivery.tag, false);
    channel.ack(delivery.tag, false);
    let text = format!("PRECONDITION_FAILED - unknown delivery tag {}", delivery.tag);
    channel.closes(406, id(60, 80), &text)
}

/// Commits, and reads commit-ok and the delivery that the commit leads to, in either order.
fn commit_and_delivery(channel: &Channel) -> Step<Delivery> {
    channel.send(Payload::method(90, 20));
    let events = [channel.event(PATIENCE)?, channel.event(PATIENCE)?];
    let [Some(one), Some(two)] = events else { return fail("expected commit-ok and a delivery") };
    let (answer, delivered) = if one.id == id(90, 21) { (one, two) } else { (two, one) };
    equal("answer", answer.id, id(90, 21))?;
    equal("delivery", delivered.id, id(60, 60))?;
    delivery(delivered)
}

fn s14_02_reject_at_commit(test: &Test) -> Step {
    each_type(|kind| {
        let settles: [fn(&Channel, u64); 2] =
            [|channel, tag| channel.reject(tag, true), |channel, tag| channel.nack(tag, false, true)];
        for settle in settles {
            let (channel, _, delivery) = holding(test, kind)?;
            settle(&channel, delivery.tag);
            channel.silent()?;
            equal("redelivered", commit_and_delivery(&channel)?.redelivered, true)?;
            channel.ack(delivery.tag + 1, false);
            channel.tx_commit()?;
            channel.connection.close()?;
        }
        Ok(())
    })
}

fn s14_02_reject_rolled_back(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, name, delivery) = holding(test, kind)?;
        channel.reject(delivery.tag, false);
        channel.tx_rollback()?;
        channel.close()?;
        let other = channel.connection.channel()?;
        equal("body", other.take_soon(&name)?.body(), "a")
    })
}

fn s14_02_prefetch_until_commit(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b"])?;
        channel.tx_select()?;
        channel.qos(1, false)?;
        channel.consume(&name, "t")?;
        channel.delivery()?;
        channel.ack(1, false);
        channel.silent()?;
        equal("body", commit_and_delivery(&channel)?.body(), "b")
    })
}

fn s14_02_order(test: &Test) -> Step {
    each_type(|kind| {
        let (channel, other, name) = scene(test, kind)?;
        for number in 0..50 {
            channel.put(&name, &number.to_string());
        }
        channel.tx_commit()?;
        other.consume_with(&Consume::new(&name, "t").no_ack())?;
        equal("bodies", other.bodies(50)?, (0..50).map(|number| number.to_string()).collect())
    })
}

fn s14_02_no_confirms(test: &Test) -> Step {
    let (channel, _, name) = scene(test, "classic")?;
    channel.put(&name, "a");
    channel.tx_commit()?;
    channel.silent()
}

fn s14_02_delivery_not_transactional(test: &Test) -> Step {
    let (channel, other, name) = scene(test, "classic")?;
    channel.consume(&name, "t")?;
    other.put(&name, "a");
    let delivery = channel.delivery()?;
    channel.tx_rollback()?;
    channel.silent()?;
    channel.ack(delivery.tag, false);
    channel.tx_commit()
}

fn s14_02_other_channels(test: &Test) -> Step {
    let (channel, other, name) = scene(test, "classic")?;
    other.put(&name, "a");
    other.becomes(&name, 1)?;
    channel.tx_rollback()?;
    equal("body", other.take(&name)?.body(), "a")
}

/// A transactional channel, a queue with room for one message that rejects more, and another queue.
fn full(test: &Test) -> Step<(Channel, String, String)> {
    let (channel, other, free) = scene(test, "classic")?;
    let small = test.queue("small");
    other.declare(&Queue::new(&small).with("x-max-length", 1).with("x-overflow", "reject-publish"))?;
    channel.put(&small, "a");
    channel.put(&small, "b");
    channel.put(&free, "c");
    channel.send(Payload::method(90, 20));
    channel.closes(406, id(90, 20), "PRECONDITION_FAILED - partial tx completion")?;
    Ok((other, small, free))
}

fn s14_03_rejected_publish(test: &Test) -> Step {
    full(test).map(drop)
}

fn s14_03_rejected_publish_others(test: &Test) -> Step {
    let (other, small, free) = full(test)?;
    equal("body", other.take_soon(&small)?.body(), "a")?;
    equal("body", other.take_soon(&free)?.body(), "c")?;
    other.empty(&small)
}

fn s14_04_pipelined(test: &Test) -> Step {
    let (channel, _, name) = scene(test, "quorum")?;
    channel.put(&name, "a");
    let commit = crate::wire::frame(1, channel.number, &Payload::method(90, 20).0);
    let declare = crate::wire::frame(1, channel.number, &Queue::new(&name).passive().payload().0);
    channel.connection.write(&[commit, declare].concat());
    let Some(event) = channel.event(PATIENCE)? else { return fail("no answer") };
    if event.id == id(90, 21) {
        channel.declared()?;
        test.answered("waits");
        return Ok(());
    }
    test.answered("504");
    check_close(
        &event,
        id(10, 50),
        504,
        id(50, 10),
        "CHANNEL_ERROR - unexpected command while processing 'tx.commit'",
    )
}
