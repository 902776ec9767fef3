//! 5.1 to 5.7 and 5.10 to 5.12: exchanges declared, compared, deleted.

use crate::channel::{Channel, bind, bind_exchange, delete_exchange};
use crate::entity::{Exchange, Message, Queue};
use crate::outcome::Step;
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Table, id};

cases! {
    s5_01_predeclared: "the exchanges of every vhost are there, durable and of their types";
    s5_01_trace_is_internal: "amq.rabbitmq.trace is a topic exchange that takes no publishes";
    s5_02_default_declare: "a declare without a name is 403, a passive one as well";
    s5_02_default_delete: "the default exchange cannot be deleted: 403";
    s5_02_default_bind: "nothing is bound to the default exchange: 403";
    s5_02_default_unbind: "nothing is unbound from the default exchange: 403";
    s5_02_default_exchange_bind: "exchange.bind and unbind with the default exchange on either side are 403";
    s5_03_reserved_prefix: "a new name that starts with amq. is 403";
    s5_03_predeclared_again: "predeclared exchanges may be declared again, passively and not";
    s5_03_line_ends_stripped: "CR and LF are stripped from an exchange's name in every method but publish";
    s5_03_line_ends_published: "a publish takes the exchange's name as it is";
    s5_04_unknown_type: "an unknown type is 406 and closes the channel alone";
    s5_04_unknown_type_passive: "a passive declare does not look at the type";
    s5_05_type_differs: "a type that differs is 406 with both types in the text";
    s5_05_durable_differs: "durable that differs is 406";
    s5_05_auto_delete_differs: "auto_delete that differs is 406";
    s5_05_internal_differs: "internal that differs is 406";
    s5_05_first_difference: "type, durable, auto_delete and internal are compared in this order";
    s5_05_alternate_added: "an alternate exchange where there was none is 406";
    s5_05_alternate_dropped: "an alternate exchange left out is 406";
    s5_05_alternate_differs: "an alternate exchange that differs is 406";
    s5_05_other_arguments: "other arguments are not compared";
    s5_06_passive_ignores_all: "a passive declare compares neither type nor flags nor arguments";
    s5_06_passive_missing: "a passive declare of a missing exchange is 404 at 40.10";
    s5_06_nowait_is_silent: "a declare with no-wait is not answered";
    s5_06_nowait_error_closes: "a declare with no-wait that fails closes the channel";
    s5_07_alternate_type: "an alternate-exchange that is no text is 406";
    s5_07_alternate_missing: "an alternate-exchange need not exist";
    s5_10_goes_with_unbind: "an auto-delete exchange goes with the last unbind";
    s5_10_goes_with_queue: "an auto-delete exchange goes with the queue it was last bound to";
    s5_10_goes_with_exchange: "an auto-delete exchange goes with the exchange it was last bound to";
    s5_10_cascades: "auto-delete exchanges bound one to the next go together";
    s5_10_never_bound: "an auto-delete exchange that was never a source stays";
    s5_11_internal_publish: "a publish to an internal exchange is 403";
    s5_12_delete_missing: "the delete of a missing exchange is answered with delete-ok";
    s5_12_delete: "a deleted exchange is gone";
    s5_12_if_unused: "if-unused on an exchange that is a source is 406";
    s5_12_if_unused_as_destination: "if-unused does not mind bindings that lead to the exchange";
    s5_12_delete_predeclared: "predeclared exchanges cannot be deleted: 403";
    s5_12_nowait_is_silent: "a delete with no-wait is not answered";
}

const DEFAULT: &str = "ACCESS_REFUSED - operation not permitted on the default exchange";

fn s5_01_predeclared(test: &Test) -> Step {
    let channel = test.channel()?;
    for (name, kind) in [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ] {
        channel.declare_exchange(&Exchange::new(name, kind).durable())?;
    }
    channel.declare_exchange(&Exchange::new("amq.rabbitmq.trace", "topic").durable().internal())
}

fn s5_01_trace_is_internal(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.publish(&Message::new("amq.rabbitmq.trace", "k", "x"));
    let text =
        format!("ACCESS_REFUSED - cannot publish to internal {}", test.exchange_text("amq.rabbitmq.trace"));
    channel.closes(403, id(60, 40), &text)
}

fn s5_02_default_declare(test: &Test) -> Step {
    let connection = test.connect()?;
    for declare in [Exchange::new("", "direct").durable(), Exchange::new("", "direct").passive()] {
        connection.channel()?.refuses(declare.payload(), 403, DEFAULT)?;
    }
    Ok(())
}

fn s5_02_default_delete(test: &Test) -> Step {
    test.channel()?.refuses(delete_exchange("", false), 403, DEFAULT)
}

fn s5_02_default_bind(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    channel.refuses(bind(&queue, "", "k", &Table::new()), 403, DEFAULT)
}

fn s5_02_default_unbind(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    let unbind = Payload::method(50, 50).short(0).text(&queue).text("").text(&queue);
    channel.refuses(unbind.table(&Table::new()), 403, DEFAULT)
}

fn s5_02_default_exchange_bind(test: &Test) -> Step {
    let connection = test.connect()?;
    for (destination, source) in [("", "amq.direct"), ("amq.direct", "")] {
        connection.channel()?.refuses(bind_exchange(destination, source, "k"), 403, DEFAULT)?;
        let unbind = Payload::method(40, 40).short(0).text(destination).text(source).text("k");
        connection.channel()?.refuses(unbind.bits(&[false]).table(&Table::new()), 403, DEFAULT)?;
    }
    Ok(())
}

fn s5_03_reserved_prefix(test: &Test) -> Step {
    let text = "ACCESS_REFUSED - exchange name 'amq.conformance' contains reserved prefix 'amq.*'";
    test.channel()?.refuses(Exchange::new("amq.conformance", "direct").payload(), 403, text)
}

fn s5_03_predeclared_again(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.declare_exchange(&Exchange::new("amq.topic", "topic").durable())?;
    channel.declare_exchange(&Exchange::new("amq.topic", "topic").passive())?;
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'type' for {}: received 'direct' but current is 'topic'",
        test.exchange_text("amq.topic")
    );
    channel.refuses(Exchange::new("amq.topic", "direct").durable().payload(), 406, &text)
}

fn s5_03_line_ends_stripped(test: &Test) -> Step {
    let channel = test.channel()?;
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    channel.declare_exchange(&Exchange::new(&format!("\r{name}\n"), "direct"))?;
    channel.declare_exchange(&Exchange::new(&name, "").passive())?;
    channel.declare(&Queue::new(&queue))?;
    channel.bind(&queue, &format!("{name}\r\n"), "k")?;
    channel.unbind(&queue, &format!("\n{name}"), "k")?;
    channel.call(delete_exchange(&format!("{name}\n"), false), id(40, 21))?;
    missing(test, &channel, &name)
}

fn s5_03_line_ends_published(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.exchange("x");
    channel.declare_exchange(&Exchange::new(&name, "direct"))?;
    channel.publish(&Message::new(&format!("{name}\n"), "k", "x"));
    channel.closes(404, id(60, 40), &format!("NOT_FOUND - no {}", test.exchange_text(&format!("{name}\n"))))
}

fn s5_04_unknown_type(test: &Test) -> Step {
    let connection = test.connect()?;
    let declare = Exchange::new(&test.exchange("x"), "conformance-no-type");
    let text = "PRECONDITION_FAILED - unknown exchange type 'conformance-no-type'";
    connection.channel()?.refuses(declare.payload(), 406, text)?;
    connection.channel()?.sync()
}

fn s5_04_unknown_type_passive(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.exchange("x");
    channel.declare_exchange(&Exchange::new(&name, "fanout"))?;
    channel.declare_exchange(&Exchange::new(&name, "conformance-no-type").passive())
}

/// Declares an exchange of this name twice; the second time is refused with this explanation.
fn inequivalent(
    test: &Test,
    first: impl FnOnce(Exchange) -> Exchange,
    second: impl FnOnce(Exchange) -> Exchange,
    explanation: &str,
) -> Step {
    let channel = test.channel()?;
    let name = test.exchange("x");
    channel.declare_exchange(&first(Exchange::new(&name, "direct")))?;
    let text = format!("PRECONDITION_FAILED - inequivalent arg {explanation}");
    let text = text.replace("$X", &test.exchange_text(&name));
    channel.refuses(second(Exchange::new(&name, "direct")).payload(), 406, &text)
}

fn s5_05_type_differs(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.exchange("x");
    channel.declare_exchange(&Exchange::new(&name, "direct"))?;
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'type' for {}: received 'fanout' but current is 'direct'",
        test.exchange_text(&name)
    );
    channel.refuses(Exchange::new(&name, "fanout").payload(), 406, &text)
}

fn s5_05_durable_differs(test: &Test) -> Step {
    let text = "'durable' for $X: received 'true' but current is 'false'";
    inequivalent(test, |x| x, Exchange::durable, text)
}

fn s5_05_auto_delete_differs(test: &Test) -> Step {
    let text = "'auto_delete' for $X: received 'false' but current is 'true'";
    inequivalent(test, Exchange::auto_delete, |x| x, text)
}

fn s5_05_internal_differs(test: &Test) -> Step {
    let text = "'internal' for $X: received 'true' but current is 'false'";
    inequivalent(test, |x| x, Exchange::internal, text)
}

fn s5_05_first_difference(test: &Test) -> Step {
    let all = |x: Exchange| x.durable().auto_delete().internal().with("alternate-exchange", "ae");
    inequivalent(test, |x| x, all, "'durable' for *")?;
    inequivalent(test, Exchange::durable, all, "'auto_delete' for *")?;
    inequivalent(test, |x| x.durable().auto_delete(), all, "'internal' for *")
}

fn s5_05_alternate_added(test: &Test) -> Step {
    let text = "'alternate-exchange' for $X: received the value 'ae' of type 'longstr' but current is none";
    inequivalent(test, |x| x, |x| x.with("alternate-exchange", "ae"), text)
}

fn s5_05_alternate_dropped(test: &Test) -> Step {
    let text = "'alternate-exchange' for $X: received none but current is the value 'ae' of type 'longstr'";
    inequivalent(test, |x| x.with("alternate-exchange", "ae"), |x| x, text)
}

fn s5_05_alternate_differs(test: &Test) -> Step {
    let text = "'alternate-exchange' for $X: received 'other' but current is 'ae'";
    let with = |ae: &'static str| move |x: Exchange| x.with("alternate-exchange", ae);
    inequivalent(test, with("ae"), with("other"), text)
}

fn s5_05_other_arguments(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.exchange("x");
    channel.declare_exchange(&Exchange::new(&name, "direct").with("x-foo", 1))?;
    channel.declare_exchange(&Exchange::new(&name, "direct"))?;
    channel.declare_exchange(&Exchange::new(&name, "direct").with("x-foo", "else").with("y", true))
}

fn s5_06_passive_ignores_all(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.exchange("x");
    channel.declare_exchange(&Exchange::new(&name, "direct"))?;
    let passive = Exchange::new(&name, "fanout").durable().auto_delete().internal().passive();
    channel.declare_exchange(&passive.with("alternate-exchange", 5))
}

/// The exchange does not exist.
fn missing(test: &Test, channel: &Channel, name: &str) -> Step {
    let text = format!("NOT_FOUND - no {}", test.exchange_text(name));
    channel.refuses(Exchange::new(name, "direct").passive().payload(), 404, &text)
}

fn s5_06_passive_missing(test: &Test) -> Step {
    missing(test, &test.channel()?, &test.exchange("x"))
}

fn s5_06_nowait_is_silent(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.exchange("x");
    channel.send(Exchange::new(&name, "direct").nowait().payload());
    channel.silent()?;
    channel.declare_exchange(&Exchange::new(&name, "direct").passive())
}

fn s5_06_nowait_error_closes(test: &Test) -> Step {
    let text = "PRECONDITION_FAILED - unknown exchange type 'conformance-no-type'";
    let declare = Exchange::new(&test.exchange("x"), "conformance-no-type").nowait();
    test.channel()?.refuses(declare.payload(), 406, text)
}

fn s5_07_alternate_type(test: &Test) -> Step {
    let name = test.exchange("x");
    let text = format!(
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in {}",
        test.exchange_text(&name)
    );
    let declare = Exchange::new(&name, "direct").with("alternate-exchange", 5);
    test.channel()?.refuses(declare.payload(), 406, &text)
}

fn s5_07_alternate_missing(test: &Test) -> Step {
    let channel = test.channel()?;
    let declare = Exchange::new(&test.exchange("x"), "direct");
    channel.declare_exchange(&declare.with("alternate-exchange", &test.exchange("nowhere")))
}

fn s5_10_goes_with_unbind(test: &Test) -> Step {
    let channel = test.channel()?;
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    channel.declare_exchange(&Exchange::new(&name, "direct").auto_delete())?;
    channel.declare(&Queue::new(&queue))?;
    channel.bind(&queue, &name, "one")?;
    channel.bind(&queue, &name, "two")?;
    channel.unbind(&queue, &name, "one")?;
    channel.declare_exchange(&Exchange::new(&name, "").passive())?;
    channel.unbind(&queue, &name, "two")?;
    missing(test, &channel, &name)
}

fn s5_10_goes_with_queue(test: &Test) -> Step {
    let channel = test.channel()?;
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    channel.declare_exchange(&Exchange::new(&name, "fanout").auto_delete())?;
    channel.declare(&Queue::new(&queue))?;
    channel.bind(&queue, &name, "")?;
    channel.delete(&queue)?;
    missing(test, &channel, &name)
}

fn s5_10_goes_with_exchange(test: &Test) -> Step {
    let channel = test.channel()?;
    let (name, end) = (test.exchange("x"), test.exchange("end"));
    channel.declare_exchange(&Exchange::new(&name, "fanout").auto_delete())?;
    channel.declare_exchange(&Exchange::new(&end, "fanout"))?;
    channel.bind_exchange(&end, &name, "")?;
    channel.call(delete_exchange(&end, false), id(40, 21))?;
    missing(test, &channel, &name)
}

fn s5_10_cascades(test: &Test) -> Step {
    let connection = test.connect()?;
    let channel = connection.channel()?;
    let names = ["a", "b", "c"].map(|name| test.exchange(name));
    let queue = test.queue("q");
    for name in &names {
        channel.declare_exchange(&Exchange::new(name, "fanout").auto_delete())?;
    }
    channel.declare(&Queue::new(&queue))?;
    channel.bind_exchange(&names[1], &names[0], "")?;
    channel.bind_exchange(&names[2], &names[1], "")?;
    channel.bind(&queue, &names[2], "")?;
    channel.delete(&queue)?;
    names.iter().try_for_each(|name| missing(test, &connection.channel()?, name))
}

fn s5_10_never_bound(test: &Test) -> Step {
    let channel = test.channel()?;
    let (name, source) = (test.exchange("x"), test.exchange("source"));
    channel.declare_exchange(&Exchange::new(&name, "fanout").auto_delete())?;
    channel.declare_exchange(&Exchange::new(&source, "fanout"))?;
    channel.bind_exchange(&name, &source, "")?;
    channel.unbind_exchange(&name, &source, "")?;
    channel.declare_exchange(&Exchange::new(&name, "").passive())
}

fn s5_11_internal_publish(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.exchange("x");
    channel.declare_exchange(&Exchange::new(&name, "fanout").internal())?;
    channel.publish(&Message::new(&name, "k", "x"));
    let text = format!("ACCESS_REFUSED - cannot publish to internal {}", test.exchange_text(&name));
    channel.closes(403, id(60, 40), &text)
}

fn s5_12_delete_missing(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.call(delete_exchange(&test.exchange("x"), false), id(40, 21))?;
    channel.call(delete_exchange(&test.exchange("y"), true), id(40, 21)).map(drop)
}

fn s5_12_delete(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.exchange("x");
    channel.declare_exchange(&Exchange::new(&name, "direct").durable())?;
    channel.call(delete_exchange(&name, true), id(40, 21))?;
    missing(test, &channel, &name)
}

fn s5_12_if_unused(test: &Test) -> Step {
    let connection = test.connect()?;
    let channel = connection.channel()?;
    let (name, queue) = (test.exchange("x"), test.queue("q"));
    channel.declare_exchange(&Exchange::new(&name, "direct"))?;
    channel.declare(&Queue::new(&queue))?;
    channel.bind(&queue, &name, "k")?;
    let text = format!("PRECONDITION_FAILED - {} in use", test.exchange_text(&name));
    channel.refuses(delete_exchange(&name, true), 406, &text)?;
    let channel = connection.channel()?;
    channel.unbind(&queue, &name, "k")?;
    channel.call(delete_exchange(&name, true), id(40, 21)).map(drop)
}

fn s5_12_if_unused_as_destination(test: &Test) -> Step {
    let channel = test.channel()?;
    let (name, source) = (test.exchange("x"), test.exchange("source"));
    channel.declare_exchange(&Exchange::new(&name, "direct"))?;
    channel.declare_exchange(&Exchange::new(&source, "direct"))?;
    channel.bind_exchange(&name, &source, "k")?;
    channel.call(delete_exchange(&name, true), id(40, 21))?;
    missing(test, &channel, &name)
}

fn s5_12_delete_predeclared(test: &Test) -> Step {
    let connection = test.connect()?;
    for name in ["amq.direct", "amq.rabbitmq.trace", "amq.conformance"] {
        let text = format!("ACCESS_REFUSED - deletion of system {} not allowed", test.exchange_text(name));
        connection.channel()?.refuses(delete_exchange(name, false), 403, &text)?;
    }
    connection.channel()?.sync()
}

fn s5_12_nowait_is_silent(test: &Test) -> Step {
    let channel = test.channel()?;
    let name = test.exchange("x");
    channel.declare_exchange(&Exchange::new(&name, "direct"))?;
    channel.send(Payload::method(40, 20).short(0).text(&name).bits(&[false, true]));
    channel.silent()?;
    missing(test, &channel, &name)
}
