//! Consumers come and go: tags, exclusive ones, arguments, cancel by the client and by the broker (semantics 10.1 to
//! 10.9, 10.14).

use crate::channel::{Channel, delete};
use crate::connection::{PATIENCE, check_close};
use crate::entity::{Consume, Queue};
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::scene::{each_type, fill, filled};
use crate::test::Test;
use crate::wire::{Payload, id};
use leveret_codec::method::amqp::{AMQPClass, basic};

cases! {
    s10_01_generated_tag: "a consumer without a tag is given amq.ctag- and 22 url-safe characters";
    s10_01_tag_reused: "a tag in use on the channel closes the connection with 530";
    s10_01_tag_on_other_channel: "the same tag on another channel is another consumer";
    s10_01_tag_free_after_cancel: "a tag may be used again after its cancel";
    s10_02_consume_ok_first: "consume-ok comes before the first delivery";
    s10_02_nowait: "a consumer with no-wait is not answered, and gets its messages under the tag it gave";
    s10_02_nowait_without_tag: "a consumer with no-wait and without a tag gets its messages under a generated one";
    s10_03_exclusive_after_other: "an exclusive consumer beside another consumer of a classic queue is 403";
    s10_03_other_after_exclusive: "any consumer beside an exclusive one of a classic queue is 403";
    s10_03_exclusive_ends: "an exclusive consumer that is cancelled frees its queue";
    s10_03_exclusive_with_single_active: "an exclusive consumer of a classic queue with a single active one is 403";
    s10_03_exclusive_on_quorum: "quorum queues accept exclusive consumers and ignore that they are";
    s10_04_no_local_ignored: "no_local is accepted and ignored";
    s10_04_missing_queue: "consume from a missing queue is 404 at 60.20";
    s10_04_missing_queue_nowait: "consume with no-wait from a missing queue closes the channel too";
    s10_06_priority_types: "x-priority may be any integer, negative ones too";
    s10_06_priority_text: "x-priority that is no integer is 406";
    s10_06_argument_of_other_type: "a consumer argument of another queue type is 406 and names the type";
    s10_06_other_arguments: "arguments nobody knows, and x-cancel-on-ha-failover, are accepted";
    s10_08_cancel_unknown: "the cancel of an unknown tag is answered with cancel-ok";
    s10_08_cancel_nowait: "a cancel with no-wait is not answered";
    s10_08_unacked_stay: "unacked messages stay with the channel after the cancel of their consumer";
    s10_08_cancel_ends_deliveries: "nothing is delivered after cancel-ok";
    s10_09_cancel_notify: "a consumer whose queue is deleted is told so by basic.cancel with no-wait";
    s10_09_cancel_notify_answered: "cancel-ok as the answer to the broker's basic.cancel",
        differs("541", "ignored", "the protocol knows this answer; a client that gives it need not lose its connection");
    s10_09_no_capability: "a client without consumer_cancel_notify is told nothing";
    s10_09_tag_free_after_notify: "the tag of a consumer whose queue was deleted may be used again";
    s10_14_stream_declared: "a queue of type stream",
        differs("declared", "540", "streams are not part of Leveret; it says so instead of declaring another type");
}

fn s10_01_generated_tag(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    let first = channel.consume_with(&Consume::new(&name, ""))?;
    let second = channel.consume_with(&Consume::new(&name, ""))?;
    let Some(random) = first.strip_prefix("amq.ctag-") else { return fail(format!("the tag is {first}")) };
    equal("random characters", random.len(), 22)?;
    let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    ensure(random.bytes().all(url_safe), "characters that are not url-safe base64")?;
    ensure(first != second, "the same tag twice")
}

fn s10_01_tag_reused(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    channel.consume(&name, "t")?;
    channel.send(Consume::new(&name, "t").payload());
    channel.connection.closes(530, id(60, 20), "NOT_ALLOWED - attempt to reuse consumer tag 't'")
}

fn s10_01_tag_on_other_channel(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    channel.consume(&name, "t")?;
    channel.connection.channel()?.consume(&name, "t")?;
    equal("consumers", channel.count(&name)?.1, 2)
}

fn s10_01_tag_free_after_cancel(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    channel.consume(&name, "t")?;
    channel.cancel("t")?;
    channel.consume(&name, "t")?;
    equal("consumers", channel.count(&name)?.1, 1)
}

fn s10_02_consume_ok_first(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b"])?;
        // The call fails when anything else comes first.
        channel.consume(&name, "t")?;
        let first = channel.delivery()?;
        equal("body", first.body(), "a")?;
        equal("tag of the consumer", first.consumer.as_str(), "t")?;
        equal("exchange and key", (first.exchange.as_str(), first.key.as_str()), ("", name.as_str()))?;
        equal("redelivered", first.redelivered, false)?;
        equal("delivery tag", first.tag, 1)?;
        equal("delivery tag", channel.delivery()?.tag, 2)
    })
}

fn s10_02_nowait(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &["a"])?;
    channel.send(Consume::new(&name, "mine").nowait().payload());
    equal("tag of the consumer", channel.delivery()?.consumer.as_str(), "mine")?;
    channel.silent()
}

fn s10_02_nowait_without_tag(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &["a"])?;
    channel.send(Consume::new(&name, "").nowait().payload());
    let tag = channel.delivery()?.consumer;
    ensure(tag.starts_with("amq.ctag-"), "the tag is not a generated one")
}

fn in_use(test: &Test, channel: &Channel, queue: &str) -> Step {
    channel.closes(403, id(60, 20), &format!("ACCESS_REFUSED - {} in exclusive use", test.queue_text(queue)))
}

fn s10_03_exclusive_after_other(test: &Test) -> Step {
    let (one, two) = (test.channel()?, test.channel()?);
    let name = filled(test, &one, "classic", &[])?;
    one.consume(&name, "t")?;
    two.send(Consume::new(&name, "t").exclusive().payload());
    in_use(test, &two, &name)
}

fn s10_03_other_after_exclusive(test: &Test) -> Step {
    let one = test.channel()?;
    let name = filled(test, &one, "classic", &[])?;
    one.consume_with(&Consume::new(&name, "t").exclusive())?;
    for second in [Consume::new(&name, "u"), Consume::new(&name, "u").exclusive()] {
        let two = one.connection.channel()?;
        two.send(second.payload());
        in_use(test, &two, &name)?;
    }
    one.put(&name, "x");
    equal("body", one.delivery()?.body(), "x")
}

fn s10_03_exclusive_ends(test: &Test) -> Step {
    let (one, two) = (test.channel()?, test.channel()?);
    let name = filled(test, &one, "classic", &[])?;
    one.consume_with(&Consume::new(&name, "t").exclusive())?;
    one.cancel("t")?;
    two.consume(&name, "u")
}

fn s10_03_exclusive_with_single_active(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-single-active-consumer", true))?;
    channel.send(Consume::new(&name, "t").exclusive().payload());
    in_use(test, &channel, &name)
}

fn s10_03_exclusive_on_quorum(test: &Test) -> Step {
    let channel = test.channel()?;
    for single_active in [false, true] {
        let name = test.queue(&format!("q{single_active}"));
        channel.declare(&Queue::of("quorum", &name).with("x-single-active-consumer", single_active))?;
        channel.consume_with(&Consume::new(&name, "").exclusive())?;
        channel.consume_with(&Consume::new(&name, ""))?;
        channel.consume_with(&Consume::new(&name, "").exclusive())?;
    }
    Ok(())
}

fn s10_04_no_local_ignored(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    channel.consume_with(&Consume::new(&name, "t").no_local())?;
    channel.put(&name, "own");
    equal("body", channel.delivery()?.body(), "own")
}

fn s10_04_missing_queue(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(Consume::new(&name, "t").payload());
    channel.closes(404, id(60, 20), &format!("NOT_FOUND - no {}", test.queue_text(&name)))
}

fn s10_04_missing_queue_nowait(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(Consume::new(&name, "t").nowait().payload());
    channel.closes(404, id(60, 20), &format!("NOT_FOUND - no {}", test.queue_text(&name)))
}

fn s10_06_priority_types(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    for value in [
        &b"b\xff"[..],
        b"B\x05",
        b"s\xff\xff",
        b"u\0\x05",
        b"I\xff\xff\xff\xff",
        b"i\0\0\0\x05",
        b"l\0\0\0\0\0\0\0\x05",
    ] {
        channel.consume_with(&Consume::new(&name, "").raw("x-priority", value))?;
    }
    Ok(())
}

fn s10_06_priority_text(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &[])?;
        channel.send(Consume::new(&name, "t").with("x-priority", "high").payload());
        channel.closes(406, id(60, 20), "PRECONDITION_FAILED - *x-priority*")
    })
}

fn s10_06_argument_of_other_type(test: &Test) -> Step {
    each_type(|kind| {
        for argument in ["x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"] {
            let channel = test.channel()?;
            let name = filled(test, &channel, kind, &[])?;
            channel.send(Consume::new(&name, "t").with(argument, "first").payload());
            let text = format!(
                "PRECONDITION_FAILED - invalid arg '{argument}' for {} of queue type rabbit_{kind}_queue",
                test.queue_text(&name)
            );
            channel.closes(406, id(60, 20), &text)?;
        }
        Ok(())
    })
}

fn s10_06_other_arguments(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a"])?;
        let consume =
            Consume::new(&name, "t").with("x-cancel-on-ha-failover", true).with("x-conformance", "?");
        channel.consume_with(&consume)?;
        equal("body", channel.delivery()?.body(), "a")
    })
}

fn s10_08_cancel_unknown(test: &Test) -> Step {
    let channel = test.channel()?;
    let event = channel.call(Payload::method(60, 30).text("nobody").bits(&[false]), id(60, 31))?;
    match event.method {
        AMQPClass::Basic(basic::AMQPMethod::CancelOk(ok)) => equal("tag", ok.consumer_tag.as_str(), "nobody"),
        other => fail(format!("no cancel-ok: {other:?}")),
    }
}

fn s10_08_cancel_nowait(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = filled(test, &channel, "classic", &[])?;
    channel.consume(&name, "t")?;
    channel.send(Payload::method(60, 30).text("t").bits(&[true]));
    channel.silent()?;
    equal("consumers", channel.count(&name)?.1, 0)
}

fn s10_08_unacked_stay(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &["a", "b"])?;
        channel.consume(&name, "t")?;
        equal("bodies", channel.bodies(2)?, vec!["a".to_owned(), "b".to_owned()])?;
        channel.cancel("t")?;
        channel.empty(&name)?;
        channel.ack(1, false);
        channel.sync()?;
        channel.close()?;
        // Only what was not acked comes back.
        let other = channel.connection.channel()?;
        equal("body", other.take_soon(&name)?.body(), "b")?;
        other.empty(&name)
    })
}

fn s10_08_cancel_ends_deliveries(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        let name = filled(test, &channel, kind, &[])?;
        channel.consume(&name, "t")?;
        channel.cancel("t")?;
        fill(&channel, &name, &["a"])?;
        channel.silent()
    })
}

/// A channel with a consumer whose queue another connection has deleted.
fn orphaned(test: &Test, channel: &Channel, kind: &str) -> Step<String> {
    let name = filled(test, channel, kind, &[])?;
    channel.consume(&name, "t")?;
    let other = test.channel()?;
    other.send(delete(&name, false, false));
    other.expect(id(50, 41))?;
    Ok(name)
}

fn notified(channel: &Channel) -> Step {
    match channel.expect(id(60, 30))?.method {
        AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
            equal("tag and no-wait", (cancel.consumer_tag.as_str(), cancel.nowait), ("t", true))
        }
        other => fail(format!("no cancel: {other:?}")),
    }
}

fn s10_09_cancel_notify(test: &Test) -> Step {
    each_type(|kind| {
        let channel = test.channel()?;
        orphaned(test, &channel, kind)?;
        notified(&channel)?;
        channel.silent()
    })
}

fn s10_09_cancel_notify_answered(test: &Test) -> Step {
    let channel = test.channel()?;
    orphaned(test, &channel, "classic")?;
    notified(&channel)?;
    channel.send(Payload::method(60, 31).text("t"));
    channel.send(Queue::new(&test.queue("other")).payload());
    let Some(event) = channel.event(PATIENCE)? else { return fail("no answer") };
    if event.id == id(50, 11) {
        test.answered("ignored");
        return Ok(());
    }
    test.answered("541");
    check_close(&event, id(10, 50), 541, id(0, 0), "INTERNAL_ERROR")
}

fn s10_09_no_capability(test: &Test) -> Step {
    let channel = test.connect_as(&test.login().plain())?.channel()?;
    orphaned(test, &channel, "classic")?;
    channel.silent()?;
    channel.sync()
}

fn s10_09_tag_free_after_notify(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = orphaned(test, &channel, "classic")?;
    notified(&channel)?;
    channel.declare(&Queue::new(&name))?;
    channel.consume(&name, "t")?;
    channel.put(&name, "x");
    equal("body", channel.delivery()?.body(), "x")
}

fn s10_14_stream_declared(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(Queue::of("stream", &name).payload());
    let Some(event) = channel.event(PATIENCE)? else { return fail("no answer") };
    if event.id == id(50, 11) {
        test.answered("declared");
        return Ok(());
    }
    test.answered("540");
    check_close(&event, id(10, 50), 540, id(50, 10), "NOT_IMPLEMENTED - *")
}
