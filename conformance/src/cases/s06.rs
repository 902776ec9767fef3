//! Section 6: bindings.

use crate::channel::{Channel, bind, bind_exchange, delete_exchange};
use crate::entity::{Exchange, Message, Queue};
use crate::outcome::{Step, equal};
use crate::route::Router;
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Payload, Properties, Table, id};

cases! {
    s6_01_bind_again: "a binding made twice is one: an unbind removes it";
    s6_01_arguments_tell_apart: "bindings that differ in arguments alone are two";
    s6_01_arguments_in_any_order: "the order of the arguments makes no other binding";
    s6_01_unbind_other_arguments: "an unbind with other arguments leaves the binding";
    s6_01_unbind_missing: "an unbind of what is not bound is answered with unbind-ok";
    s6_01_unbind_missing_ends: "an unbind of a missing queue or exchange is answered with unbind-ok";
    s6_01_unbind_has_no_nowait: "queue.unbind ends with its arguments and is always answered";
    s6_01_nowait_is_silent: "a bind with no-wait is not answered";
    s6_01_nowait_error_closes: "a bind with no-wait that fails closes the channel";
    s6_02_last_declared: "an empty queue name means the queue declared last";
    s6_02_last_declared_key: "an empty key with an empty queue name means the queue's name";
    s6_02_empty_key_kept: "an empty key beside a queue's name stays empty";
    s6_02_unbind_last_declared: "unbind fills in the queue and the key as bind does";
    s6_02_none_declared: "an empty queue name on a channel that declared none is 404";
    s6_03_missing_queue: "a bind of a missing queue is 404 at 50.20";
    s6_03_missing_exchange: "a bind to a missing exchange is 404 at 50.20";
    s6_03_missing_both: "where both are missing the text names one of them";
    s6_03_missing_source: "exchange.bind from a missing exchange is 404 at 40.30";
    s6_03_missing_destination: "exchange.bind to a missing exchange is 404 at 40.30";
    s6_04_direct_reply_to: "the pseudo-queue of direct reply-to does not exist for bind: 404";
    s6_04_direct_reply_address: "a name in the form of a direct reply address is neither bound nor unbound: 403";
    s6_04_unbind_exclusive_missing: "an unbind of somebody's exclusive queue that is not bound is answered";
    s6_05_exchange_to_exchange: "exchange.bind leads messages on, with their key";
    s6_05_exchange_unbind: "exchange.unbind is answered with 40.51 and ends it";
    s6_05_exchange_bind_again: "exchange.bind is idempotent, exchange.unbind of nothing is answered";
    s6_05_exchange_unbind_missing_ends: "exchange.unbind of missing exchanges is answered";
    s6_05_exchange_nowait: "exchange.bind and unbind with no-wait are not answered";
    s6_05_exchange_by_arguments: "an exchange is bound to a headers exchange by its arguments";
    s6_07_source_deleted: "bindings go with the exchange they start from";
    s6_07_destination_deleted: "bindings go with the exchange they lead to";
    s6_07_queue_deleted: "bindings go with the queue they lead to";
}

fn unbind(queue: &str, exchange: &str, key: &str, arguments: &Table) -> Payload {
    Payload::method(50, 50).short(0).text(queue).text(exchange).text(key).table(arguments)
}

fn unbind_exchange(destination: &str, source: &str, nowait: bool) -> Payload {
    let payload = Payload::method(40, 40).short(0).text(destination).text(source).text("k");
    payload.bits(&[nowait]).table(&Table::new())
}

fn s6_01_bind_again(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "topic")?;
    let queue = router.bound("q", &source, "k")?;
    router.channel.bind(&queue, &source, "k")?;
    router.routes(&source, "k", &[&queue])?;
    router.channel.unbind(&queue, &source, "k")?;
    router.routes(&source, "k", &[])
}

fn s6_01_arguments_tell_apart(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "direct")?;
    let queue = router.bound("q", &source, "k")?;
    let arguments = Table::new().set("n", 1);
    router.channel.bind_with(&queue, &source, "k", &arguments)?;
    router.channel.unbind(&queue, &source, "k")?;
    router.routes(&source, "k", &[&queue])?;
    router.channel.call(unbind(&queue, &source, "k", &arguments), id(50, 51))?;
    router.routes(&source, "k", &[])
}

fn s6_01_arguments_in_any_order(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, queue) = (router.exchange("x", "direct")?, router.queue("q")?);
    let one = Table::new().set("a", 1).set("b", "x");
    let other = Table::new().set("b", "x").set("a", 1);
    router.channel.bind_with(&queue, &source, "k", &one)?;
    router.channel.bind_with(&queue, &source, "k", &other)?;
    router.channel.call(unbind(&queue, &source, "k", &other), id(50, 51))?;
    router.routes(&source, "k", &[])
}

fn s6_01_unbind_other_arguments(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, queue) = (router.exchange("x", "headers")?, router.queue("q")?);
    let wanted = Table::new().set("a", 1);
    router.channel.bind_with(&queue, &source, "k", &wanted)?;
    router.channel.call(unbind(&queue, &source, "k", &Table::new().set("a", 2)), id(50, 51))?;
    router.channel.call(unbind(&queue, &source, "other", &wanted), id(50, 51))?;
    let message = Message::new(&source, "", "x").with(Properties::new().headers(&wanted));
    router.reaches(&message, &[&queue])?;
    router.channel.call(unbind(&queue, &source, "k", &wanted), id(50, 51))?;
    router.reaches(&message, &[])
}

fn s6_01_unbind_missing(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    channel.unbind(&queue, "amq.direct", "k")
}

fn s6_01_unbind_missing_ends(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    channel.unbind(&queue, &test.exchange("x"), "k")?;
    channel.unbind(&test.queue("missing"), "amq.direct", "k")?;
    channel.unbind(&test.queue("missing"), &test.exchange("x"), "k")
}

fn s6_01_unbind_has_no_nowait(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    channel.declare(&Queue::new(&queue))?;
    channel.bind(&queue, "amq.direct", &queue)?;
    channel.call(unbind(&queue, "amq.direct", &queue, &Table::new()), id(50, 51))?;
    channel.sync()
}

fn s6_01_nowait_is_silent(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, queue) = (router.exchange("x", "direct")?, router.queue("q")?);
    let bind = Payload::method(50, 20).short(0).text(&queue).text(&source).text("k");
    router.channel.send(bind.bits(&[true]).table(&Table::new()));
    router.channel.silent()?;
    router.routes(&source, "k", &[&queue])
}

fn s6_01_nowait_error_closes(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = test.queue("q");
    let bind = Payload::method(50, 20).short(0).text(&queue).text("amq.direct").text("k");
    let text = format!("NOT_FOUND - no {}", test.queue_text(&queue));
    channel.refuses(bind.bits(&[true]).table(&Table::new()), 404, &text)
}

fn s6_02_last_declared(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "direct")?;
    let (_, second) = (router.queue("first")?, router.queue("second")?);
    router.channel.bind("", &source, "k")?;
    router.routes(&source, "k", &[&second])?;
    router.routes(&source, &second, &[])
}

fn s6_02_last_declared_key(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, queue) = (router.exchange("x", "direct")?, router.queue("q")?);
    router.channel.bind("", &source, "")?;
    router.routes(&source, &queue, &[&queue])?;
    router.routes(&source, "", &[])
}

fn s6_02_empty_key_kept(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, queue) = (router.exchange("x", "direct")?, router.queue("q")?);
    router.channel.bind(&queue, &source, "")?;
    router.routes(&source, &queue, &[])?;
    router.routes(&source, "", &[&queue])
}

fn s6_02_unbind_last_declared(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "direct")?;
    let queue = router.queue("q")?;
    router.channel.bind(&queue, &source, &queue)?;
    router.channel.bind(&queue, &source, "k")?;
    router.channel.unbind("", &source, "")?;
    router.routes(&source, &queue, &[])?;
    router.channel.unbind("", &source, "k")?;
    router.routes(&source, "k", &[])
}

fn s6_02_none_declared(test: &Test) -> Step {
    let connection = test.connect()?;
    let text = "NOT_FOUND - no previously declared queue";
    connection.channel()?.refuses(bind("", "amq.direct", "k", &Table::new()), 404, text)?;
    connection.channel()?.refuses(unbind("", "amq.direct", "k", &Table::new()), 404, text)
}

fn s6_03_missing_queue(test: &Test) -> Step {
    let queue = test.queue("q");
    let text = format!("NOT_FOUND - no {}", test.queue_text(&queue));
    test.channel()?.refuses(bind(&queue, "amq.direct", "k", &Table::new()), 404, &text)
}

fn s6_03_missing_exchange(test: &Test) -> Step {
    let channel = test.channel()?;
    let (exchange, queue) = (test.exchange("x"), test.queue("q"));
    channel.declare(&Queue::new(&queue))?;
    let text = format!("NOT_FOUND - no {}", test.exchange_text(&exchange));
    channel.refuses(bind(&queue, &exchange, "k", &Table::new()), 404, &text)
}

fn s6_03_missing_both(test: &Test) -> Step {
    let (exchange, queue) = (test.exchange("x"), test.queue("q"));
    let text = format!("NOT_FOUND - no {}", test.exchange_text(&exchange));
    test.channel()?.refuses(bind(&queue, &exchange, "k", &Table::new()), 404, &text)
}

fn s6_03_missing_source(test: &Test) -> Step {
    let source = test.exchange("x");
    let text = format!("NOT_FOUND - no {}", test.exchange_text(&source));
    test.channel()?.refuses(bind_exchange("amq.direct", &source, "k"), 404, &text)
}

fn s6_03_missing_destination(test: &Test) -> Step {
    let destination = test.exchange("x");
    let text = format!("NOT_FOUND - no {}", test.exchange_text(&destination));
    test.channel()?.refuses(bind_exchange(&destination, "amq.direct", "k"), 404, &text)
}

fn s6_04_direct_reply_to(test: &Test) -> Step {
    let name = "amq.rabbitmq.reply-to";
    let text = format!("NOT_FOUND - no {}", test.queue_text(name));
    test.channel()?.refuses(bind(name, "amq.direct", "k", &Table::new()), 404, &text)
}

fn s6_04_direct_reply_address(test: &Test) -> Step {
    let connection = test.connect()?;
    let address = "amq.rabbitmq.reply-to.conformance";
    let text = "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue";
    for exchange in ["amq.direct", &test.exchange("missing"), ""] {
        connection.channel()?.refuses(bind(address, exchange, "k", &Table::new()), 403, text)?;
        connection.channel()?.refuses(unbind(address, exchange, "k", &Table::new()), 403, text)?;
    }
    Ok(())
}

fn s6_04_unbind_exclusive_missing(test: &Test) -> Step {
    let (owner, other) = (test.channel()?, test.channel()?);
    let queue = test.queue("q");
    owner.declare(&Queue::new(&queue).exclusive())?;
    other.unbind(&queue, "amq.direct", &queue)
}

fn s6_05_exchange_to_exchange(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, behind) = (router.exchange("x", "topic")?, router.exchange("behind", "direct")?);
    router.channel.bind_exchange(&behind, &source, "a.*")?;
    let queue = router.bound("q", &behind, "a.b")?;
    router.routes(&source, "a.c", &[])?;
    router.publish(&Message::new(&source, "a.b", "x"))?;
    let delivery = router.channel.take(&queue)?;
    equal("exchange and key", (delivery.exchange, delivery.key), (source, "a.b".to_owned()))
}

fn s6_05_exchange_unbind(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, behind) = (router.exchange("x", "direct")?, router.exchange("behind", "fanout")?);
    router.channel.bind_exchange(&behind, &source, "k")?;
    let queue = router.bound("q", &behind, "")?;
    router.routes(&source, "k", &[&queue])?;
    router.channel.call(unbind_exchange(&behind, &source, false), id(40, 51))?;
    router.routes(&source, "k", &[])?;
    router.routes(&behind, "k", &[&queue])
}

fn s6_05_exchange_bind_again(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, behind) = (router.exchange("x", "direct")?, router.exchange("behind", "fanout")?);
    router.channel.bind_exchange(&behind, &source, "k")?;
    router.channel.bind_exchange(&behind, &source, "k")?;
    router.bound("q", &behind, "")?;
    router.channel.unbind_exchange(&behind, &source, "k")?;
    router.routes(&source, "k", &[])?;
    router.channel.unbind_exchange(&behind, &source, "k")
}

fn s6_05_exchange_unbind_missing_ends(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.unbind_exchange(&test.exchange("x"), "amq.direct", "k")?;
    channel.unbind_exchange("amq.direct", &test.exchange("x"), "k")?;
    channel.unbind_exchange(&test.exchange("x"), &test.exchange("x"), "k")
}

fn s6_05_exchange_nowait(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, behind) = (router.exchange("x", "direct")?, router.exchange("behind", "fanout")?);
    let queue = router.bound("q", &behind, "")?;
    let bind = Payload::method(40, 30).short(0).text(&behind).text(&source).text("k");
    router.channel.send(bind.bits(&[true]).table(&Table::new()));
    router.channel.silent()?;
    router.routes(&source, "k", &[&queue])?;
    router.channel.send(unbind_exchange(&behind, &source, true));
    router.channel.silent()?;
    router.routes(&source, "k", &[])
}

fn s6_05_exchange_by_arguments(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, behind) = (router.exchange("x", "headers")?, router.exchange("behind", "fanout")?);
    let queue = router.bound("q", &behind, "")?;
    let wanted = Table::new().set("a", 1);
    let bind = Payload::method(40, 30).short(0).text(&behind).text(&source).text("");
    router.channel.call(bind.bits(&[false]).table(&wanted), id(40, 31))?;
    let message = Message::new(&source, "k", "x");
    router.reaches(&message.clone().with(Properties::new().headers(&wanted)), &[&queue])?;
    router.reaches(&message, &[])
}

fn delete(channel: &Channel, exchange: &str) -> Step {
    channel.call(delete_exchange(exchange, false), id(40, 21)).map(drop)
}

fn s6_07_source_deleted(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "direct")?;
    let queue = router.bound("q", &source, "k")?;
    delete(&router.channel, &source)?;
    router.channel.declare_exchange(&Exchange::new(&source, "direct"))?;
    router.routes(&source, "k", &[])?;
    router.channel.bind(&queue, &source, "k")?;
    router.routes(&source, "k", &[&queue])
}

fn s6_07_destination_deleted(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, behind) = (router.exchange("x", "direct")?, router.exchange("behind", "fanout")?);
    router.channel.bind_exchange(&behind, &source, "k")?;
    delete(&router.channel, &behind)?;
    router.channel.declare_exchange(&Exchange::new(&behind, "fanout"))?;
    router.bound("q", &behind, "")?;
    router.routes(&source, "k", &[])?;
    router.channel.call(delete_exchange(&source, true), id(40, 21)).map(drop)
}

fn s6_07_queue_deleted(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "direct")?;
    let queue = router.bound("q", &source, "k")?;
    router.channel.delete(&queue)?;
    router.channel.declare(&Queue::new(&queue))?;
    router.routes(&source, "k", &[])?;
    router.channel.call(delete_exchange(&source, true), id(40, 21)).map(drop)
}
