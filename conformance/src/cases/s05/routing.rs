//! 5.8, 5.9, 5.11 and 5.24: the way of a message from exchange to exchange and by the keys in its headers.

use crate::channel::delete_exchange;
use crate::entity::{Exchange, Message};
use crate::outcome::{Step, ensure, equal};
use crate::route::Router;
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Properties, Table, id};

cases! {
    s5_07_alternate_missing_skipped: "an alternate exchange that does not exist is skipped";
    s5_07_alternate_made_later: "an alternate exchange counts from when it exists, by its name";
    s5_08_alternate_when_unmatched: "what an exchange does not match goes to its alternate with the same key";
    s5_08_alternate_chain: "alternates of alternates are tried in turn";
    s5_08_alternate_cycle: "exchanges that are alternates of each other end the walk";
    s5_08_alternate_is_per_exchange: "an alternate is used even where another exchange of the walk matched";
    s5_08_matched_by_exchange: "a matching exchange without queues behind it is a match: no alternate";
    s5_08_bound_in_a_circle: "exchanges bound in a circle deliver once";
    s5_08_one_copy: "a queue reached on several ways gets one copy";
    s5_08_mandatory_by_alternate: "a mandatory message that its alternate takes is not returned";
    s5_09_default_exchange: "the default exchange leads to the queue of the key's name";
    s5_09_default_exact: "the default exchange takes the key as it is";
    s5_11_internal_reached: "an internal exchange is reached by binding and as an alternate";
    s5_24_cc: "CC adds keys, and stays in the headers";
    s5_24_bcc: "BCC adds keys, and is taken out of the headers";
    s5_24_bcc_alone: "headers of nothing but BCC are empty, whatever is in it";
    s5_24_bcc_unmatched: "a headers exchange does not see BCC";
    s5_24_bcc_returned: "a returned message is without BCC";
    s5_24_original_key: "copies carry the original key";
    s5_24_topic: "CC works on a topic exchange";
    s5_24_beyond_exchange: "CC applies to the exchanges behind the first as well";
    s5_24_one_copy: "a key that stands in several places counts once";
    s5_24_unroutable: "a mandatory message that only CC can route is not returned";
    s5_24_wrong_type: "CC that is no array is 406";
    s5_24_wrong_element: "what is no text in CC is passed over";
    s5_24_any_case: "cc in small letters is a header like any other";
}

fn s5_07_alternate_missing_skipped(test: &Test) -> Step {
    let router = Router::new(test)?;
    let nowhere = test.exchange("nowhere");
    let source = router.exchange_with("x", "direct", |x| x.with("alternate-exchange", &nowhere))?;
    let queue = router.bound("q", &source, "k")?;
    router.routes(&source, "other", &[])?;
    router.routes(&source, "k", &[&queue])
}

fn s5_07_alternate_made_later(test: &Test) -> Step {
    let router = Router::new(test)?;
    let later = test.exchange("later");
    let source = router.exchange_with("x", "direct", |x| x.with("alternate-exchange", &later))?;
    router.routes(&source, "k", &[])?;
    router.channel.declare_exchange(&Exchange::new(&later, "fanout"))?;
    let queue = router.bound("q", &later, "")?;
    router.routes(&source, "k", &[&queue])?;
    router.channel.call(delete_exchange(&later, false), id(40, 21))?;
    router.routes(&source, "k", &[])
}

fn s5_08_alternate_when_unmatched(test: &Test) -> Step {
    let router = Router::new(test)?;
    let spare = router.exchange("spare", "direct")?;
    let source = router.exchange_with("x", "direct", |x| x.with("alternate-exchange", &spare))?;
    let matched = router.bound("matched", &source, "k")?;
    let rest = router.bound("rest", &spare, "other")?;
    let not_this = router.bound("not this", &spare, "k")?;
    router.routes(&source, "k", &[&matched])?;
    router.routes(&source, "other", &[&rest])?;
    router.routes(&spare, "k", &[&not_this])?;
    router.publish(&Message::new(&source, "other", "x"))?;
    let delivery = router.channel.take(&rest)?;
    equal("exchange and key", (delivery.exchange, delivery.key), (source, "other".to_owned()))
}

fn s5_08_alternate_chain(test: &Test) -> Step {
    let router = Router::new(test)?;
    let last = router.exchange("last", "fanout")?;
    let middle = router.exchange_with("middle", "direct", |x| x.with("alternate-exchange", &last))?;
    let first = router.exchange_with("first", "topic", |x| x.with("alternate-exchange", &middle))?;
    let in_middle = router.bound("in the middle", &middle, "k")?;
    let at_last = router.bound("at last", &last, "")?;
    router.routes(&first, "k", &[&in_middle])?;
    router.routes(&first, "other", &[&at_last])
}

fn s5_08_alternate_cycle(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (one, two) = (test.exchange("one"), test.exchange("two"));
    for (name, other) in [(&one, &two), (&two, &one)] {
        let exchange = Exchange::new(name, "direct").with("alternate-exchange", other);
        router.channel.declare_exchange(&exchange)?;
    }
    let queue = router.bound("q", &two, "k")?;
    router.routes(&one, "other", &[])?;
    router.routes(&one, "k", &[&queue])
}

fn s5_08_alternate_is_per_exchange(test: &Test) -> Step {
    let router = Router::new(test)?;
    let spare = router.exchange("spare", "fanout")?;
    let source = router.exchange("x", "fanout")?;
    let behind = router.exchange_with("behind", "direct", |x| x.with("alternate-exchange", &spare))?;
    router.channel.bind_exchange(&behind, &source, "")?;
    let matched = router.bound("matched", &source, "")?;
    let rest = router.bound("rest", &spare, "")?;
    router.routes(&source, "k", &[&matched, &rest])
}

fn s5_08_matched_by_exchange(test: &Test) -> Step {
    let router = Router::new(test)?;
    let spare = router.exchange("spare", "fanout")?;
    let source = router.exchange_with("x", "direct", |x| x.with("alternate-exchange", &spare))?;
    let empty = router.exchange("empty", "fanout")?;
    router.channel.bind_exchange(&empty, &source, "k")?;
    let rest = router.bound("rest", &spare, "")?;
    router.routes(&source, "k", &[])?;
    router.routes(&source, "other", &[&rest])
}

fn s5_08_bound_in_a_circle(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (one, two) = (router.exchange("one", "fanout")?, router.exchange("two", "fanout")?);
    router.channel.bind_exchange(&two, &one, "")?;
    router.channel.bind_exchange(&one, &two, "")?;
    router.channel.bind_exchange(&one, &one, "")?;
    let (at_one, at_two) = (router.bound("one", &one, "")?, router.bound("two", &two, "")?);
    router.routes(&one, "k", &[&at_one, &at_two])
}

fn s5_08_one_copy(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, behind) = (router.exchange("x", "topic")?, router.exchange("behind", "fanout")?);
    let queue = router.bound("q", &source, "a.*")?;
    router.channel.bind(&queue, &source, "#")?;
    router.channel.bind_exchange(&behind, &source, "*.b")?;
    router.channel.bind_exchange(&behind, &source, "a.#")?;
    router.channel.bind(&queue, &behind, "")?;
    router.routes(&source, "a.b", &[&queue])
}

fn s5_08_mandatory_by_alternate(test: &Test) -> Step {
    let router = Router::new(test)?;
    let spare = router.exchange("spare", "fanout")?;
    let source = router.exchange_with("x", "direct", |x| x.with("alternate-exchange", &spare))?;
    let queue = router.bound("q", &spare, "")?;
    router.reaches(&Message::new(&source, "k", "x").mandatory(), &[&queue])?;
    router.channel.silent()
}

fn s5_09_default_exchange(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (one, _) = (router.queue("one")?, router.queue("two")?);
    router.publish(&Message::new("", &one, "x"))?;
    let delivery = router.channel.take(&one)?;
    equal("exchange and key", (delivery.exchange, delivery.key), (String::new(), one.clone()))?;
    router.routes("", &one, &[&one])
}

fn s5_09_default_exact(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    router.routes("", "#", &[])?;
    router.routes("", &queue.to_uppercase(), &[])?;
    router.routes("", &queue, &[&queue])
}

fn s5_11_internal_reached(test: &Test) -> Step {
    let router = Router::new(test)?;
    let inner = router.exchange_with("inner", "fanout", Exchange::internal)?;
    let source = router.exchange("x", "fanout")?;
    let other = router.exchange_with("other", "direct", |x| x.with("alternate-exchange", &inner))?;
    router.channel.bind_exchange(&inner, &source, "")?;
    let queue = router.bound("q", &inner, "")?;
    router.routes(&source, "k", &[&queue])?;
    router.routes(&other, "k", &[&queue])
}

/// Message properties with keys in a header.
fn keys(header: &str, keys: &[&str]) -> Properties {
    Properties::new().headers(&Table::new().set(header, keys).set("other", 5))
}

fn s5_24_cc(test: &Test) -> Step {
    let router = Router::new(test)?;
    let [a, b, c] = [router.queue("a")?, router.queue("b")?, router.queue("c")?];
    router.publish(&Message::new("", &a, "x").with(keys("CC", &[&b, &c, "nowhere"])))?;
    for queue in [a, b, c] {
        let delivery = router.channel.take(&queue)?;
        ensure(delivery.header("CC")?.is_some(), "CC is gone")?;
        ensure(delivery.header("other")?.is_some(), "another header is gone")?;
    }
    Ok(())
}

fn s5_24_bcc(test: &Test) -> Step {
    let router = Router::new(test)?;
    let [a, b] = [router.queue("a")?, router.queue("b")?];
    router.publish(&Message::new("", &a, "x").with(keys("BCC", &[&b])))?;
    for queue in [a, b] {
        let delivery = router.channel.take(&queue)?;
        ensure(delivery.header("BCC")?.is_none(), "BCC is still there")?;
        ensure(delivery.header("other")?.is_some(), "another header is gone")?;
    }
    Ok(())
}

fn s5_24_bcc_alone(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    let one_integer = b"A\0\0\0\x05I\0\0\0\x01";
    for headers in [Table::new().set("BCC", &["b"][..]), Table::new().raw("BCC", one_integer)] {
        router.publish(&Message::new("", &queue, "x").with(Properties::new().headers(&headers)))?;
        let delivery = router.channel.take(&queue)?;
        equal("headers", delivery.properties()?.raw_headers(), Some(&[0; 4][..]))?;
    }
    Ok(())
}

fn s5_24_bcc_unmatched(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "headers")?;
    let [a, b] = [router.queue("a")?, router.queue("b")?];
    let any = Table::new().set("x-match", "any");
    router.channel.bind_with(&a, &source, "", &any.set("BCC", &["key"][..]))?;
    let any = Table::new().set("x-match", "any");
    router.channel.bind_with(&b, &source, "", &any.set("other", 5))?;
    router.reaches(&Message::new(&source, "", "x").with(keys("BCC", &["key"])), &[&b])
}

fn s5_24_bcc_returned(test: &Test) -> Step {
    let channel = test.channel()?;
    let nowhere = test.queue("nowhere");
    channel.publish(&Message::new("", &nowhere, "x").mandatory().with(keys("BCC", &["nor here"])));
    let returned = channel.returned()?;
    ensure(returned.header("BCC")?.is_none(), "BCC is still there")?;
    ensure(returned.header("other")?.is_some(), "another header is gone")
}

fn s5_24_original_key(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "direct")?;
    let queue = router.bound("q", &source, "copy")?;
    router.publish(&Message::new(&source, "original", "x").with(keys("CC", &["copy"])))?;
    equal("key", router.channel.take(&queue)?.key, "original".to_owned())
}

fn s5_24_topic(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "topic")?;
    let [a, b] = [router.bound("a", &source, "a.*")?, router.bound("b", &source, "b.#")?];
    router.reaches(&Message::new(&source, "a.1", "x").with(keys("BCC", &["b"])), &[&a, &b])?;
    router.reaches(&Message::new(&source, "none", "x").with(keys("CC", &["b.1.2"])), &[&b])
}

fn s5_24_beyond_exchange(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, behind) = (router.exchange("x", "fanout")?, router.exchange("behind", "direct")?);
    router.channel.bind_exchange(&behind, &source, "")?;
    let queue = router.bound("q", &behind, "copy")?;
    router.reaches(&Message::new(&source, "original", "x").with(keys("CC", &["copy"])), &[&queue])
}

fn s5_24_one_copy(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    let headers = Table::new().set("CC", &[&*queue, &*queue][..]).set("BCC", &[&*queue][..]);
    let message = Message::new("", &queue, "x").with(Properties::new().headers(&headers));
    router.reaches(&message, &[&queue])
}

fn s5_24_unroutable(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.queue("q")?;
    let nowhere = test.queue("nowhere");
    let message = Message::new("", &nowhere, "x").mandatory().with(keys("BCC", &[&queue]));
    router.reaches(&message, &[&queue])?;
    router.channel.silent()
}

fn s5_24_wrong_type(test: &Test) -> Step {
    let connection = test.connect()?;
    for name in ["CC", "BCC"] {
        let channel = connection.channel()?;
        let headers = Table::new().set(name, "key");
        channel.publish(&Message::new("", "k", "x").with(Properties::new().headers(&headers)));
        let explanation = format!("{{unacceptable_type_in_header,\"{name}\",longstr}}");
        channel.closes(406, id(60, 40), &format!("PRECONDITION_FAILED - invalid message: {explanation}"))?;
    }
    Ok(())
}

fn s5_24_wrong_element(test: &Test) -> Step {
    let router = Router::new(test)?;
    let queue = router.bound("q", "amq.direct", "1")?;
    let key = queue.as_bytes();
    let text = [&b"S\0\0\0"[..], &[u8::try_from(key.len()).unwrap_or(u8::MAX)], key].concat();
    let items = [&b"I\0\0\0\x01"[..], &text, b"t\x01"].concat();
    let array = [&b"A\0\0\0"[..], &[u8::try_from(items.len()).unwrap_or(u8::MAX)], &items].concat();
    let headers = Properties::new().headers(&Table::new().raw("CC", &array));
    router.reaches(&Message::new("", "nowhere", "x").with(headers), &[&queue])
}

fn s5_24_any_case(test: &Test) -> Step {
    let router = Router::new(test)?;
    let [a, b] = [router.queue("a")?, router.queue("b")?];
    router.reaches(&Message::new("", &a, "x").with(keys("cc", &[&b])), &[&a])
}
