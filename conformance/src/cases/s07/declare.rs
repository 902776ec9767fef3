//! 7.1, 7.2, 7.4 to 7.8, 7.10 and 7.11: queues declared, named, compared, auto-delete.

use crate::channel::{delete, get};
use crate::connection::{PATIENCE, check_close};
use crate::entity::Queue;
use crate::outcome::{Step, ensure, equal, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::id;

cases! {
    s7_01_server_named: "a declare without a name is answered with amq.gen- and 22 url-safe characters";
    s7_01_server_named_quorum: "a quorum queue cannot be server-named: 406";
    s7_01_line_ends_stripped: "CR and LF are stripped from a queue's name";
    s7_01_longest_name: "names have up to 255 bytes of UTF-8";
    s7_02_reserved_prefix: "a new name that starts with amq. is 403";
    s7_02_generated_name_again: "a generated name is reserved as well, but for a passive declare";
    s7_04_durable_differs: "durable that differs is 406 with both values in the text";
    s7_04_auto_delete_differs: "auto_delete that differs is 406 with both values in the text";
    s7_04_argument_differs: "an argument that differs is 406 and named with both values";
    s7_04_argument_added: "an argument where there was none is 406";
    s7_04_argument_dropped: "an argument left out where there was one is 406";
    s7_04_unknown_argument_ignored: "arguments the queue type does not know are not compared";
    s7_04_integer_types_equal: "integers of different wire types are the same value";
    s7_04_classic_is_the_default: "x-queue-type classic is the same as none";
    s7_04_type_differs: "x-queue-type that differs is 406 with both types";
    s7_04_empty_type_differs: "an empty x-queue-type, although it means the default, is another than none";
    s7_04_type_is_not_checked: "where a queue exists its type is compared, whatever it is";
    s7_04_double_differs: "a double is no integer, even where it is whole";
    s7_04_order: "durable, auto_delete, the arguments and the type are compared in this order";
    s7_05_passive_ignores_flags: "a passive declare compares neither flags nor arguments";
    s7_05_passive_missing: "a passive declare of a missing queue is 404 at 50.10";
    s7_06_count_is_ready_only: "message_count counts ready messages, not unacked ones";
    s7_06_consumer_count: "consumer_count counts consumers";
    s7_07_nowait_is_silent: "a declare with no-wait is not answered";
    s7_07_nowait_error_closes: "a declare with no-wait that fails closes the channel";
    s7_08_last_declared: "an empty queue name means the queue declared last on this channel";
    s7_08_last_declared_passive: "a passive declare sets the last declared queue too";
    s7_08_none_declared: "an empty queue name on a channel that declared none is 404";
    s7_10_auto_delete_by_cancel: "an auto-delete queue goes with the cancel of its last consumer";
    s7_10_auto_delete_by_channel: "an auto-delete queue goes when the channel of its last consumer closes";
    s7_10_auto_delete_by_cut: "an auto-delete queue goes when the connection of its last consumer is cut";
    s7_10_auto_delete_never_consumed: "an auto-delete queue that never had a consumer stays";
    s7_10_get_does_not_count: "basic.get is no consumer to auto-delete";
    s7_11_transient_shared: "a queue neither durable nor exclusive",
        differs("541", "declared", "older applications declare such queues; Leveret accepts them");
}

fn s7_01_server_named(test: &Test) -> Step {
    let channel = test.channel()?;
    let first = channel.declare(&Queue::new("").exclusive())?.name;
    let second = channel.declare(&Queue::new("").exclusive())?.name;
    let Some(random) = first.strip_prefix("amq.gen-") else { return fail(format!("the name is {first}")) };
    equal("random characters", random.len(), 22)?;
    let url_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    ensure(random.bytes().all(url_safe), "characters that are not url-safe base64")?;
    ensure(first != second, "the same name twice")
}

fn s7_01_server_named_quorum(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Queue::new("").with("x-queue-type", "quorum").payload());
    let text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type *";
    channel.closes(406, id(50, 10), text)
}

fn s7_01_line_ends_stripped(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    let declared = channel.declare(&Queue::new(&format!("\r{name}\n")))?;
    equal("name", declared.name, name.clone())?;
    channel.count(&name).map(drop)
}

fn s7_01_longest_name(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue(&"ü".repeat(117));
    equal("bytes", name.len(), 255)?;
    equal("name", channel.declare(&Queue::new(&name))?.name, name.clone())?;
    channel.put(&name, "x");
    channel.becomes(&name, 1)?;
    equal("count", channel.delete(&name)?, 1)
}

fn s7_02_reserved_prefix(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Queue::new("amq.conformance").payload());
    let text = "ACCESS_REFUSED - queue name 'amq.conformance' contains reserved prefix 'amq.*'";
    channel.closes(403, id(50, 10), text)
}

fn s7_02_generated_name_again(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = channel.declare(&Queue::new("").exclusive())?.name;
    channel.count(&name)?;
    channel.send(Queue::new(&name).exclusive().payload());
    let text = format!("ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'");
    channel.closes(403, id(50, 10), &text)
}

/// Declares `first`, then `second`, which is refused with this explanation.
fn inequivalent(test: &Test, name: &str, first: &Queue, second: &Queue, explanation: &str) -> Step {
    let channel = test.channel()?;
    channel.declare(first)?;
    channel.send(second.payload());
    let text = format!("PRECONDITION_FAILED - inequivalent arg {explanation}");
    channel.closes(406, id(50, 10), &text.replace("$Q", &test.queue_text(name)))
}

fn s7_04_durable_differs(test: &Test) -> Step {
    let name = test.queue("q");
    let (first, second) = (Queue::new(&name), Queue::new(&name).transient());
    inequivalent(test, &name, &first, &second, "'durable' for $Q: received 'false' but current is 'true'")
}

fn s7_04_auto_delete_differs(test: &Test) -> Step {
    let name = test.queue("q");
    let (first, second) = (Queue::new(&name), Queue::new(&name).auto_delete());
    inequivalent(test, &name, &first, &second, "'auto_delete' for $Q: received 'true' but current is 'false'")
}

fn s7_04_argument_differs(test: &Test) -> Step {
    let name = test.queue("q");
    let (first, second) =
        (Queue::new(&name).with("x-max-length", 5), Queue::new(&name).with("x-max-length", 6_i64));
    let text = "'x-max-length' for $Q: received '6' but current is '5'";
    inequivalent(test, &name, &first, &second, text)
}

fn s7_04_argument_added(test: &Test) -> Step {
    let name = test.queue("q");
    let (first, second) = (Queue::new(&name), Queue::new(&name).with("x-message-ttl", 1000));
    let text = "'x-message-ttl' for $Q: received the value '1000' of type 'signedint' but current is none";
    inequivalent(test, &name, &first, &second, text)
}

fn s7_04_argument_dropped(test: &Test) -> Step {
    let name = test.queue("q");
    let (first, second) = (Queue::new(&name).with("x-dead-letter-exchange", "dlx"), Queue::new(&name));
    let text =
        "'x-dead-letter-exchange' for $Q: received none but current is the value 'dlx' of type 'longstr'";
    inequivalent(test, &name, &first, &second, text)
}

fn s7_04_unknown_argument_ignored(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-foo", 1))?;
    channel.declare(&Queue::new(&name))?;
    channel.declare(&Queue::new(&name).with("x-foo", "else").with("x-bar", true)).map(drop)
}

fn s7_04_integer_types_equal(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-max-length", 5))?;
    for same in [
        &b"l\0\0\0\0\0\0\0\x05"[..],
        b"b\x05",
        b"s\0\x05",
        b"u\0\x05",
        b"i\0\0\0\x05",
        b"L\0\0\0\0\0\0\0\x05",
    ] {
        channel.declare(&Queue::new(&name).raw("x-max-length", same))?;
    }
    Ok(())
}

fn s7_04_classic_is_the_default(test: &Test) -> Step {
    let channel = test.channel()?;
    let (first, second) = (test.queue("first"), test.queue("second"));
    channel.declare(&Queue::new(&first))?;
    channel.declare(&Queue::new(&first).with("x-queue-type", "classic"))?;
    channel.declare(&Queue::new(&second).with("x-queue-type", "classic"))?;
    channel.declare(&Queue::new(&second)).map(drop)
}

fn s7_04_type_differs(test: &Test) -> Step {
    let (name, other) = (test.queue("q"), test.queue("q"));
    let quorum = |name: &str| Queue::new(name).with("x-queue-type", "quorum");
    let text = "'x-queue-type' for $Q: received 'quorum' but current is 'classic'";
    inequivalent(test, &name, &Queue::new(&name), &quorum(&name), text)?;
    let text = "'x-queue-type' for $Q: received 'classic' but current is 'quorum'";
    inequivalent(test, &other, &quorum(&other), &Queue::new(&other), text)
}

fn s7_04_empty_type_differs(test: &Test) -> Step {
    let (name, other) = (test.queue("q"), test.queue("q"));
    let empty = |name: &str| Queue::new(name).with("x-queue-type", "");
    let text = "'x-queue-type' for $Q: received '' but current is 'classic'";
    inequivalent(test, &name, &Queue::new(&name), &empty(&name), text)?;
    let text = "'x-queue-type' for $Q: received 'classic' but current is ''";
    inequivalent(test, &other, &empty(&other), &Queue::new(&other), text)
}

fn s7_04_type_is_not_checked(test: &Test) -> Step {
    let (name, other) = (test.queue("q"), test.queue("q"));
    let text = "'x-queue-type' for $Q: received 'nonsense' but current is 'classic'";
    let second = Queue::new(&name).with("x-queue-type", "nonsense");
    inequivalent(test, &name, &Queue::new(&name), &second, text)?;
    let text = "'x-queue-type' for $Q: received '5' but current is 'classic'";
    inequivalent(test, &other, &Queue::new(&other), &Queue::new(&other).with("x-queue-type", 5), text)
}

fn s7_04_double_differs(test: &Test) -> Step {
    let name = test.queue("q");
    let (first, second) =
        (Queue::new(&name).with("x-max-length", 5), Queue::new(&name).with("x-max-length", 5.0));
    inequivalent(test, &name, &first, &second, "'x-max-length' for $Q: received '5.0' but current is '5'")
}

fn s7_04_order(test: &Test) -> Step {
    for (at, differing) in ["durable", "auto_delete", "x-max-length", "x-queue-type"].iter().enumerate() {
        let name = test.queue("q");
        let mut second = Queue::new(&name).with("x-queue-type", "quorum");
        if at <= 2 {
            second = second.with("x-max-length", 5);
        }
        if at <= 1 {
            second = second.auto_delete();
        }
        if at == 0 {
            second = second.transient();
        }
        inequivalent(test, &name, &Queue::new(&name), &second, &format!("'{differing}' for $Q: *"))?;
    }
    Ok(())
}

fn s7_05_passive_ignores_flags(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).with("x-max-length", 5))?;
    let passive = Queue::new(&name).transient().auto_delete().passive().with("x-max-length", 9);
    let declared = channel.declare(&passive)?;
    equal("name", declared.name, name)
}

fn s7_05_passive_missing(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(Queue::new(&name).passive().payload());
    channel.closes(404, id(50, 10), &format!("NOT_FOUND - no {}", test.queue_text(&name)))
}

fn s7_06_count_is_ready_only(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    for body in ["a", "b", "c"] {
        channel.put(&name, body);
    }
    channel.becomes(&name, 3)?;
    ensure(channel.get(&name, false)?.is_some(), "nothing to get")?;
    equal("ready", channel.count(&name)?.0, 2)
}

fn s7_06_consumer_count(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    channel.consume(&name, "one")?;
    channel.consume(&name, "two")?;
    equal("consumers", channel.count(&name)?.1, 2)
}

fn s7_07_nowait_is_silent(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(Queue::new(&name).nowait().payload());
    channel.silent()?;
    channel.count(&name).map(drop)
}

fn s7_07_nowait_error_closes(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name))?;
    channel.send(Queue::new(&name).auto_delete().nowait().payload());
    channel.closes(406, id(50, 10), "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for *")
}

fn s7_08_last_declared(test: &Test) -> Step {
    let channel = test.channel()?;
    let (first, second) = (test.queue("first"), test.queue("second"));
    channel.declare(&Queue::new(&first))?;
    channel.declare(&Queue::new(&second))?;
    channel.put(&second, "x");
    channel.becomes(&second, 1)?;
    channel.send(get("", true));
    channel.expect(id(60, 71))?;
    equal("purged", channel.purge("")?, 0)?;
    channel.send(delete("", false, false));
    channel.expect(id(50, 41))?;
    channel.count(&first).map(drop)
}

fn s7_08_last_declared_passive(test: &Test) -> Step {
    let channel = test.channel()?;
    let (first, second) = (test.queue("first"), test.queue("second"));
    channel.declare(&Queue::new(&first))?;
    channel.declare(&Queue::new(&second))?;
    channel.declare(&Queue::new(&first).passive())?;
    channel.put(&first, "x");
    channel.becomes(&first, 1)?;
    equal("body", channel.take("")?.body(), "x")
}

fn s7_08_none_declared(test: &Test) -> Step {
    let connection = test.connect()?;
    connection.channel()?.declare(&Queue::new("").exclusive())?;
    let channel = connection.channel()?;
    channel.send(get("", true));
    channel.closes(404, id(60, 70), "NOT_FOUND - no previously declared queue")
}

/// Waits until a queue is gone.
fn goes(test: &Test, name: &str) -> Step {
    let connection = test.connect()?;
    for _ in 0..100 {
        let channel = connection.channel()?;
        channel.send(Queue::new(name).passive().payload());
        match channel.event(PATIENCE)? {
            Some(event) if event.id == id(20, 40) => return Ok(()),
            _ => std::thread::sleep(std::time::Duration::from_millis(50)),
        }
        channel.close()?;
    }
    fail("the queue stays")
}

fn s7_10_auto_delete_by_cancel(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).auto_delete())?;
    channel.consume(&name, "one")?;
    channel.consume(&name, "two")?;
    channel.cancel("one")?;
    channel.count(&name)?;
    channel.cancel("two")?;
    goes(test, &name)
}

fn s7_10_auto_delete_by_channel(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).auto_delete())?;
    channel.consume(&name, "c")?;
    channel.close()?;
    goes(test, &name)
}

fn s7_10_auto_delete_by_cut(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).auto_delete())?;
    channel.consume(&name, "c")?;
    channel.connection.cut();
    goes(test, &name)
}

fn s7_10_auto_delete_never_consumed(test: &Test) -> Step {
    let (owner, other) = (test.channel()?, test.channel()?);
    let name = test.queue("q");
    owner.declare(&Queue::new(&name).auto_delete())?;
    owner.connection.close()?;
    other.count(&name).map(drop)
}

fn s7_10_get_does_not_count(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.declare(&Queue::new(&name).auto_delete())?;
    channel.put(&name, "x");
    channel.take_soon(&name)?;
    channel.connection.channel()?.count(&name).map(drop)
}

fn s7_11_transient_shared(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(Queue::new(&name).transient().payload());
    let Some(event) = channel.event(PATIENCE)? else { return fail("no answer") };
    if event.id == id(50, 11) {
        test.answered("declared");
        return Ok(());
    }
    test.answered("541");
    check_close(&event, id(10, 50), 541, id(50, 10), "INTERNAL_ERROR - *")
}
