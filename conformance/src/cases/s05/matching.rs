//! 5.20 to 5.23: what direct, fanout, topic and headers exchanges match.

use crate::channel::bind;
use crate::entity::Message;
use crate::outcome::Step;
use crate::route::Router;
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Properties, Table};

cases! {
    s5_20_direct_equal: "direct compares the whole key";
    s5_20_direct_several_queues: "direct gives a copy to every queue bound with the key";
    s5_20_direct_one_copy: "direct gives a queue one copy, however many of its bindings match";
    s5_20_direct_empty_key: "the empty key is a key";
    s5_20_fanout_ignores_key: "fanout gives a copy to every queue, whatever the keys";
    s5_21_star_is_one_word: "* stands for exactly one word";
    s5_21_hash_is_any_words: "# stands for any number of words, none included";
    s5_21_hash_in_the_middle: "# between words stands for any number of them";
    s5_21_two_hashes: "two # find words anywhere";
    s5_21_empty_key: "the empty key has no words: not even *";
    s5_21_empty_words: "dots make words, also empty ones";
    s5_21_literal_parts: "a wildcard is a whole word, otherwise it is what it is";
    s5_21_three_hashes: "a binding with three # is 406";
    s5_21_not_text: "keys are bytes";
    s5_22_all: "x-match all wants every header";
    s5_22_all_is_the_default: "without x-match all is meant";
    s5_22_any: "x-match any wants one header";
    s5_22_key_ignored: "a headers exchange does not look at the key";
    s5_22_x_ignored: "arguments that start with x- are not compared by all and any";
    s5_22_with_x: "all-with-x and any-with-x compare them";
    s5_22_x_match_in_message: "x-match itself is never compared";
    s5_22_bad_mode: "an unknown x-match is 406";
    s5_22_mode_type: "x-match that is no text is 406";
    s5_23_all_of_nothing: "all without arguments matches every message";
    s5_23_any_of_nothing: "any without arguments matches no message";
    s5_23_void_is_presence: "a void argument wants the header, with any value";
    s5_23_integers_by_value: "integers of different wire types are equal";
    s5_23_types_matter: "a text is no integer, and an integer no double";
    s5_23_timestamp: "the same timestamp in a binding and in a message",
        differs("unequal", "equal", "RabbitMQ 4 counts those of messages in milliseconds, 3.x did not; Leveret does not");
    s5_23_nested: "tables and arrays are compared as wholes";
    s5_23_case_matters: "names and values are compared letter by letter";
}

fn s5_20_direct_equal(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "direct")?;
    let queue = router.bound("q", &source, "a.b")?;
    router.routes(&source, "a.b", &[&queue])?;
    for key in ["a", "a.b.c", "A.B", "a.*", "#", "a.b ", ""] {
        router.routes(&source, key, &[])?;
    }
    Ok(())
}

fn s5_20_direct_several_queues(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "direct")?;
    let [a, b] = [router.bound("a", &source, "k")?, router.bound("b", &source, "k")?];
    router.bound("c", &source, "other")?;
    router.routes(&source, "k", &[&a, &b])
}

fn s5_20_direct_one_copy(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "direct")?;
    let queue = router.bound("q", &source, "k")?;
    router.channel.bind_with(&queue, &source, "k", &Table::new().set("n", 1))?;
    router.channel.bind(&queue, &source, "other")?;
    router.routes(&source, "k", &[&queue])
}

fn s5_20_direct_empty_key(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "direct")?;
    let queue = router.bound("q", &source, "")?;
    router.routes(&source, "", &[&queue])?;
    router.routes(&source, "k", &[])
}

fn s5_20_fanout_ignores_key(test: &Test) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "fanout")?;
    let [a, b] = [router.bound("a", &source, "")?, router.bound("b", &source, "k")?];
    router.channel.bind(&b, &source, "again")?;
    for key in ["", "k", "other"] {
        router.routes(&source, key, &[&a, &b])?;
    }
    Ok(())
}

/// A binding with this pattern matches the first keys and not the others.
fn topic(test: &Test, pattern: &str, matched: &[&str], unmatched: &[&str]) -> Step {
    let router = Router::new(test)?;
    let source = router.exchange("x", "topic")?;
    let queue = router.bound("q", &source, pattern)?;
    for key in matched {
        router.routes(&source, key, &[&queue])?;
    }
    for key in unmatched {
        router.routes(&source, key, &[])?;
    }
    Ok(())
}

fn s5_21_star_is_one_word(test: &Test) -> Step {
    topic(test, "a.*.c", &["a.b.c", "a..c", "a.*.c", "a.#.c"], &["a.c", "a.b.b.c", "a.b", "b.b.c"])?;
    topic(test, "*", &["a", "*"], &["a.b"])
}

fn s5_21_hash_is_any_words(test: &Test) -> Step {
    topic(test, "#", &["", "a", "a.b", ".", "a..b"], &[])?;
    topic(test, "a.#", &["a", "a.b", "a.b.c", "a."], &["b", "", "ab", "b.a"])?;
    topic(test, "#.a", &["a", "b.a", "c.b.a", ".a"], &["a.b", "ba", ""])?;
    topic(test, "*.#", &["a", "a.b"], &[""])
}

fn s5_21_hash_in_the_middle(test: &Test) -> Step {
    topic(test, "a.#.z", &["a.z", "a.b.z", "a.b.c.z", "a.z.z"], &["a", "z", "a.z.b", "az"])
}

fn s5_21_two_hashes(test: &Test) -> Step {
    topic(test, "#.b.#", &["b", "a.b", "b.c", "a.b.c", "a.a.b.c.c"], &["", "a", "a.c", "ab.c"])?;
    topic(test, "#.#", &["", "a", "a.b.c"], &[])
}

fn s5_21_empty_key(test: &Test) -> Step {
    topic(test, "*", &[], &["", "."])?;
    topic(test, "", &[""], &[".", "a"])
}

fn s5_21_empty_words(test: &Test) -> Step {
    topic(test, "*.*", &[".", "a.", ".b", "a.b"], &["", "a", ".."])?;
    topic(test, "a..b", &["a..b"], &["a.b", "a.c.b"])
}

fn s5_21_literal_parts(test: &Test) -> Step {
    topic(test, "a*.b#", &["a*.b#"], &["ab.b", "a.b", "ax.bx"])
}

fn s5_21_three_hashes(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, queue) = (router.exchange("x", "topic")?, router.queue("q")?);
    let text =
        "PRECONDITION_FAILED - Topic binding key '#.a.#.b.#' uses 3 '#' wildcards, at most 2 are allowed";
    router.channel.refuses(bind(&queue, &source, "#.a.#.b.#", &Table::new()), 406, text)
}

fn s5_21_not_text(test: &Test) -> Step {
    topic(test, "straße.*", &["straße.ü", "straße.日本"], &["strasse.ü", "straße"])
}

/// Binds a queue with these arguments; messages with the first headers reach it, those with the others do not.
fn headers(test: &Test, arguments: Table, matched: &[Table], unmatched: &[Table]) -> Step {
    let router = Router::new(test)?;
    let (source, queue) = (router.exchange("x", "headers")?, router.queue("q")?);
    router.channel.bind_with(&queue, &source, "", &arguments)?;
    let message = |headers: &Table| Message::new(&source, "k", "x").with(Properties::new().headers(headers));
    for headers in matched {
        router.reaches(&message(headers), &[&queue])?;
    }
    for headers in unmatched {
        router.reaches(&message(headers), &[])?;
    }
    Ok(())
}

fn table() -> Table {
    Table::new()
}

fn s5_22_all(test: &Test) -> Step {
    let both = table().set("a", 1).set("b", "x");
    headers(
        test,
        both.clone().set("x-match", "all"),
        &[both.clone(), both.set("c", true)],
        &[table().set("a", 1), table().set("b", "x"), table().set("a", 1).set("b", "y"), table()],
    )
}

fn s5_22_all_is_the_default(test: &Test) -> Step {
    let both = table().set("a", 1).set("b", "x");
    headers(test, both.clone(), &[both], &[table().set("a", 1), table()])
}

fn s5_22_any(test: &Test) -> Step {
    headers(
        test,
        table().set("x-match", "any").set("a", 1).set("b", "x"),
        &[table().set("a", 1), table().set("b", "x"), table().set("a", 2).set("b", "x")],
        &[table().set("a", 2), table().set("c", 1), table()],
    )
}

fn s5_22_key_ignored(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, queue) = (router.exchange("x", "headers")?, router.queue("q")?);
    router.channel.bind_with(&queue, &source, "key", &table().set("a", 1))?;
    let with = Properties::new().headers(&table().set("a", 1));
    router.reaches(&Message::new(&source, "other", "x").with(with), &[&queue])?;
    router.routes(&source, "key", &[])
}

fn s5_22_x_ignored(test: &Test) -> Step {
    let all = table().set("x-match", "all").set("a", 1).set("x-b", 2);
    headers(test, all, &[table().set("a", 1), table().set("a", 1).set("x-b", 9)], &[table().set("x-b", 2)])?;
    let any = table().set("x-match", "any").set("a", 1).set("x-b", 2);
    headers(test, any, &[table().set("a", 1)], &[table().set("x-b", 2)])
}

fn s5_22_with_x(test: &Test) -> Step {
    let all = table().set("x-match", "all-with-x").set("a", 1).set("x-b", 2);
    let [a, b] = [table().set("a", 1), table().set("x-b", 2)];
    headers(test, all, &[a.clone().set("x-b", 2)], &[a.clone(), b.clone(), a.clone().set("x-b", 9)])?;
    let any = table().set("x-match", "any-with-x").set("a", 1).set("x-b", 2);
    headers(test, any, &[a, b], &[table().set("x-b", 9), table()])
}

fn s5_22_x_match_in_message(test: &Test) -> Step {
    let any = table().set("x-match", "any-with-x").set("a", 1);
    headers(test, any, &[table().set("a", 1)], &[table().set("x-match", "any-with-x")])
}

/// A binding with this x-match is refused.
fn bad_mode(test: &Test, arguments: &Table, explanation: &str) -> Step {
    let router = Router::new(test)?;
    let (source, queue) = (router.exchange("x", "headers")?, router.queue("q")?);
    let text = format!("PRECONDITION_FAILED - {explanation}");
    router.channel.refuses(bind(&queue, &source, "", arguments), 406, &text)
}

fn s5_22_bad_mode(test: &Test) -> Step {
    let text = "Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x";
    bad_mode(test, &table().set("x-match", "some"), text)
}

fn s5_22_mode_type(test: &Test) -> Step {
    let text = "Invalid x-match field type signedint (value 1); expected longstr";
    bad_mode(test, &table().set("x-match", 1), text)
}

fn s5_23_all_of_nothing(test: &Test) -> Step {
    headers(test, table().set("x-match", "all"), &[table(), table().set("a", 1)], &[])?;
    headers(test, table(), &[table(), table().set("a", 1)], &[])?;
    headers(test, table().set("x-a", 1), &[table()], &[])
}

fn s5_23_any_of_nothing(test: &Test) -> Step {
    headers(test, table().set("x-match", "any"), &[], &[table(), table().set("a", 1)])?;
    headers(test, table().set("x-match", "any").set("x-a", 1), &[], &[table().set("x-a", 1)])
}

fn s5_23_void_is_presence(test: &Test) -> Step {
    let present = [table().set("a", 1), table().set("a", "x"), table().raw("a", b"V")];
    headers(test, table().raw("a", b"V"), &present, &[table().set("b", 1), table()])
}

fn s5_23_integers_by_value(test: &Test) -> Step {
    let wires: [&[u8]; 6] =
        [b"b\x05", b"B\x05", b"s\0\x05", b"u\0\x05", b"i\0\0\0\x05", b"l\0\0\0\0\0\0\0\x05"];
    headers(test, table().set("a", 5), &wires.map(|five| table().raw("a", five)), &[table().set("a", 6_i64)])
}

fn s5_23_types_matter(test: &Test) -> Step {
    let double = table().set("a", 1.0);
    let text = table().set("a", "1");
    let truth = table().set("a", true);
    headers(test, table().set("a", 1), &[], &[double.clone(), text.clone(), truth])?;
    let other = [table().set("a", 1), text.clone()];
    headers(test, double.clone(), std::slice::from_ref(&double), &other)?;
    headers(test, text.clone(), &[text], &[table().set("a", 1), double])
}

fn s5_23_timestamp(test: &Test) -> Step {
    let router = Router::new(test)?;
    let (source, queue) = (router.exchange("x", "headers")?, router.queue("q")?);
    let time = table().raw("a", b"T\0\0\0\0\0\0\0\x05");
    router.channel.bind_with(&queue, &source, "", &time)?;
    let message = |headers: &Table| Message::new(&source, "k", "x").with(Properties::new().headers(headers));
    router.reaches(&message(&table().set("a", 5)), &[&queue])?;
    router.publish(&message(&time))?;
    test.answered(if router.collect()?.is_empty() { "unequal" } else { "equal" });
    Ok(())
}

fn s5_23_nested(test: &Test) -> Step {
    let inner = table().set("b", 1).set("c", "x");
    let nested = table().set("a", &inner);
    let others = [table().set("a", &table().set("b", 1)), table().set("a", &inner.clone().set("b", 2))];
    headers(test, nested.clone(), &[nested], &others)?;
    let list = table().set("a", &["x", "y"][..]);
    let others = [table().set("a", &["y", "x"][..]), table().set("a", &["x"][..]), table().set("a", "x")];
    headers(test, list.clone(), &[list], &others)
}

fn s5_23_case_matters(test: &Test) -> Step {
    let wanted = table().set("a", "x");
    headers(test, wanted.clone(), &[wanted], &[table().set("A", "x"), table().set("a", "X")])
}
