//! Section 17: policies. Needs the management interface.

use serde_json::{Value, json};

use crate::admin::Admin;
use crate::channel::Channel;
use crate::entity::{Exchange, Message, Queue};
use crate::outcome::{Step, equal};
use crate::runner::cases;
use crate::test::Test;

cases! {
    s17_01_pattern_is_unanchored: "a policy applies to every queue its pattern is found in, and to no other";
    s17_01_look_around: "a pattern may look around";
    s17_01_highest_priority: "of the policies that match the one of the highest priority applies, and no other";
    s17_01_apply_to: "apply-to says for which kind of queue or exchange a policy is";
    s17_01_exclusive_and_server_named: "policies apply to exclusive and server-named queues as well";
    s17_02_operator_bounds_policy: "of a policy and an operator policy the smaller number holds";
    s17_02_argument_and_policy: "of an argument and a policy the smaller number holds";
    s17_02_overflow_classic: "x-overflow of a classic queue goes before the policy's";
    s17_02_overflow_quorum: "overflow of a policy goes before a quorum queue's x-overflow";
    s17_02_dead_letter_argument: "x-dead-letter-exchange goes before the policy's";
    s17_03_dead_letter: "a policy sends dead letters to its exchange and under its key";
    s17_03_message_ttl: "a policy expires messages that come after it";
    s17_03_alternate_exchange: "a policy gives an exchange an alternate exchange";
    s17_04_unknown_key: "a definition with keys nobody knows is 400 and names them";
    s17_04_invalid_values: "a value that cannot be is 400 and is named";
    s17_04_nothing_defined: "an empty definition, an unreadable pattern, an unknown apply-to are 400";
    s17_04_operator_keys: "an operator policy may not hold every key";
    s17_04_applies_at_once: "a length limit that shrinks drops at once";
    s17_04_deleted: "what a deleted policy asked for no longer holds";
    s17_05_effective_definition: "a queue shows its policies and what they say together";
    s17_05_no_policy: "a queue without policies shows an empty definition";
}

/// Publishes so many messages, each confirmed, with their number as body.
fn fill(channel: &Channel, queue: &str, count: u64) -> Step {
    channel.confirm_select()?;
    for number in 1..=count {
        channel.put(queue, &number.to_string());
    }
    channel.confirms(1, count).map(drop)
}

fn max_length(length: u32) -> Value {
    json!({"max-length": length})
}

/// How many of five messages stay in a new queue.
fn kept(admin: &Admin<'_>, queue: &Queue, name: &str) -> Step<u32> {
    let channel = admin.channel()?;
    channel.declare(queue)?;
    fill(&channel, name, 5)?;
    Ok(channel.count(name)?.0)
}

fn kept_in(admin: &Admin<'_>, name: &str) -> Step<u32> {
    kept(admin, &Queue::new(name), name)
}

fn s17_01_pattern_is_unanchored(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.policy("p", "rder", &max_length(2))?;
    equal("in orders", kept_in(&admin, "orders")?, 2)?;
    equal("in others", kept_in(&admin, "others")?, 5)
}

fn s17_01_look_around(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.policy("p", "^(?!free)", &max_length(2))?;
    equal("in bound", kept_in(&admin, "bound")?, 2)?;
    equal("in free", kept_in(&admin, "free")?, 5)
}

fn s17_01_highest_priority(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    for (name, priority, definition) in
        [("a", 1, max_length(1)), ("b", 9, json!({"max-length-bytes": 3})), ("c", 5, max_length(2))]
    {
        let body = json!({"pattern": "", "priority": priority, "definition": definition});
        admin.put_policy("policies", name, &body)?;
    }
    equal("messages of one byte", kept_in(&admin, "q")?, 3)
}

fn s17_01_apply_to(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    for (name, apply_to, length) in [("a", "classic_queues", 1), ("b", "quorum_queues", 2)] {
        let body = json!({"pattern": "", "apply-to": apply_to, "definition": max_length(length)});
        admin.put_policy("policies", name, &body)?;
    }
    let body = json!({"pattern": "", "apply-to": "exchanges", "priority": 9, "definition": max_length(3)});
    admin.put_policy("policies", "c", &body)?;
    equal("classic", kept_in(&admin, "classic")?, 1)?;
    let channel = admin.channel()?;
    channel.declare(&Queue::new("quorum").with("x-queue-type", "quorum"))?;
    fill(&channel, "quorum", 5)?;
    channel.becomes("quorum", 2)
}

fn s17_01_exclusive_and_server_named(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.policy("p", "", &max_length(2))?;
    let channel = admin.channel()?;
    let name = channel.declare(&Queue::new("").exclusive())?.name;
    fill(&channel, &name, 5)?;
    equal("kept", channel.count(&name)?.0, 2)
}

fn s17_02_operator_bounds_policy(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.policy("p", "", &max_length(4))?;
    admin.operator_policy("o", "^low", &max_length(2))?;
    admin.operator_policy("p", "^high", &max_length(9))?;
    equal("under the operator's", kept_in(&admin, "low")?, 2)?;
    equal("under the policy's", kept_in(&admin, "high")?, 4)
}

fn s17_02_argument_and_policy(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.policy("p", "", &max_length(3))?;
    for (name, argument, expected) in [("low", 2, 2), ("high", 9, 3)] {
        let queue = Queue::new(name).with("x-max-length", argument);
        equal(name, kept(&admin, &queue, name)?, expected)?;
    }
    Ok(())
}

/// Confirms of publishing three messages to a queue of one, of this type and x-overflow, under a policy that says
/// otherwise.
fn nacked(test: &Test, queue_type: &str, argument: &str, policy: &str) -> Step<bool> {
    let admin = Admin::new(test)?;
    admin.policy("p", "", &json!({"overflow": policy}))?;
    let channel = admin.channel()?;
    let queue = Queue::new("q").with("x-queue-type", queue_type).with("x-max-length", 1);
    channel.declare(&queue.with("x-overflow", argument))?;
    channel.confirm_select()?;
    let mut nacks = 0;
    for number in 1..=9 {
        channel.put("q", "body");
        nacks += channel.confirms(number, number)?.1.len();
    }
    Ok(nacks > 0)
}

fn s17_02_overflow_classic(test: &Test) -> Step {
    equal("reject-publish by argument", nacked(test, "classic", "reject-publish", "drop-head")?, true)?;
    equal("drop-head by argument", nacked(test, "classic", "drop-head", "reject-publish")?, false)
}

fn s17_02_overflow_quorum(test: &Test) -> Step {
    equal("drop-head by policy", nacked(test, "quorum", "reject-publish", "drop-head")?, false)?;
    equal("reject-publish by policy", nacked(test, "quorum", "drop-head", "reject-publish")?, true)
}

fn s17_02_dead_letter_argument(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let definition =
        json!({"dead-letter-exchange": "", "dead-letter-routing-key": "theirs", "max-length": 1});
    admin.policy("p", "^q$", &definition)?;
    let channel = admin.channel()?;
    for name in ["own", "theirs"] {
        channel.declare(&Queue::new(name))?;
    }
    channel.bind("own", "amq.fanout", "")?;
    channel.declare(&Queue::new("q").with("x-dead-letter-exchange", "amq.fanout"))?;
    fill(&channel, "q", 3)?;
    channel.becomes("own", 2)?;
    equal("theirs", channel.count("theirs")?.0, 0)?;
    equal("key", channel.take("own")?.key, "theirs".to_owned())
}

fn s17_03_dead_letter(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let channel = admin.channel()?;
    for name in ["q", "dead"] {
        channel.declare(&Queue::new(name))?;
    }
    let definition = json!({"dead-letter-exchange": "", "dead-letter-routing-key": "dead", "max-length": 1});
    admin.policy("p", "^q$", &definition)?;
    fill(&channel, "q", 3)?;
    channel.becomes("dead", 2)
}

fn s17_03_message_ttl(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let channel = admin.channel()?;
    channel.declare(&Queue::new("q"))?;
    admin.policy("p", "", &json!({"message-ttl": 50}))?;
    fill(&channel, "q", 3)?;
    channel.becomes("q", 0)
}

fn s17_03_alternate_exchange(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let channel = admin.channel()?;
    channel.declare(&Queue::new("q"))?;
    channel.bind("q", "amq.fanout", "")?;
    channel.declare_exchange(&Exchange::new("x", "direct"))?;
    admin.policy("p", "^x$", &json!({"alternate-exchange": "amq.fanout"}))?;
    channel.publish(&Message::new("x", "k", "body"));
    channel.becomes("q", 1)
}

fn s17_04_unknown_key(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let refused = |definition: Value, named: &str| {
        let body = json!({"pattern": "", "definition": definition});
        let reason = format!("Validation failed\n\n[{named}] are not recognised policy settings\n");
        admin.policy_refused("policies", &body, &reason)
    };
    refused(json!({"foo": 1}), "{<<\"foo\">>,1}")?;
    refused(json!({"foo": "x", "bar": true, "max-length": 1}), "{<<\"bar\">>,true},{<<\"foo\">>,<<\"x\">>}")
}

fn s17_04_invalid_values(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    for (key, value, text) in [
        ("message-ttl", json!("a"), "<<\"a\">> is not a valid message TTL"),
        ("message-ttl", json!(-1), "-1 is not a valid message TTL"),
        ("message-ttl", json!(1.5), "1.5 is not a valid message TTL"),
        ("expires", json!(0), "0 is not a valid queue expiry"),
        ("max-length", json!(-1), "-1 is not a valid maximum length"),
        ("max-length-bytes", json!(-1), "-1 is not a valid maximum length in bytes"),
        ("overflow", json!("bla"), "<<\"bla\">> is not a valid overflow value"),
        ("dead-letter-exchange", json!(1), "1 is not a valid dead letter exchange name"),
        ("dead-letter-routing-key", json!(1), "1 is not a valid dead letter routing key"),
        ("dead-letter-strategy", json!("k"), "<<\"k\">> is not a valid dead letter strategy"),
        ("delivery-limit", json!("x"), "<<\"x\">> is not a valid delivery limit"),
        ("alternate-exchange", json!(1), "1 is not a valid alternate exchange name"),
        ("queue-mode", json!("x"), "<<\"x\">> is not a valid queue-mode value"),
        ("queue-version", json!(3), "3 is not a valid queue-version value"),
        ("consumer-timeout", json!(-1), "-1 is not a valid consumer timeout"),
        ("max-age", json!("x"), "<<\"x\">> is not a valid max age"),
        (
            "queue-master-locator",
            json!("x"),
            "use of deprecated queue-master-locator argument is not permitted",
        ),
    ] {
        let body = json!({"pattern": "", "definition": {key: value}});
        admin.policy_refused("policies", &body, &format!("Validation failed\n\n{text}\n"))?;
    }
    admin.policy("p", "", &json!({"delivery-limit": -1}))
}

fn s17_04_nothing_defined(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let empty = json!({"pattern": "", "definition": {}});
    admin.policy_refused("policies", &empty, "Validation failed\n\nno policy provided\n")?;
    let unreadable = json!({"pattern": "(", "definition": max_length(1)});
    let text = "Validation failed\n\npattern should be regular expression but is invalid: *";
    admin.policy_refused("policies", &unreadable, text)?;
    let nowhere = json!({"pattern": "", "definition": max_length(1), "apply-to": "x"});
    let text = "Validation failed\n\napply-to 'x' unrecognised; should be one of: 'queues', 'classic_queues',  \
                'quorum_queues', 'streams', 'exchanges', or 'all'\n";
    admin.policy_refused("policies", &nowhere, text)
}

fn s17_04_operator_keys(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let body = json!({"pattern": "", "definition": {"dead-letter-exchange": "a"}, "apply-to": "queues"});
    let text = "Validation failed\n\n[{<<\"dead-letter-exchange\">>,<<\"a\">>}] are not recognised policy settings\n";
    admin.policy_refused("operator-policies", &body, text)
}

fn s17_04_applies_at_once(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    let channel = admin.channel()?;
    channel.declare(&Queue::new("q"))?;
    fill(&channel, "q", 5)?;
    admin.policy("p", "", &max_length(2))?;
    channel.becomes("q", 2)?;
    equal("the oldest go", channel.take("q")?.body(), "4")
}

fn s17_04_deleted(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.policy("p", "", &max_length(1))?;
    equal("with it", kept_in(&admin, "q")?, 1)?;
    admin.delete_policy("p")?;
    equal("without it", kept_in(&admin, "q2")?, 5)
}

fn s17_05_effective_definition(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.policy("p", "", &json!({"max-length": 5, "message-ttl": 1000}))?;
    admin.operator_policy("o", "", &json!({"max-length": 3}))?;
    admin.channel()?.declare(&Queue::new("q"))?;
    let path = format!("queues/{}/q", admin.vhost);
    let queue = admin.becomes(&path, |queue| queue["policy"] == "p")?;
    equal("operator policy", queue["operator_policy"].clone(), json!("o"))?;
    let expected = json!({"max-length": 3, "message-ttl": 1000});
    equal("definition", queue["effective_policy_definition"].clone(), expected)
}

fn s17_05_no_policy(test: &Test) -> Step {
    let admin = Admin::new(test)?;
    admin.channel()?.declare(&Queue::new("q"))?;
    let path = format!("queues/{}/q", admin.vhost);
    let queue = admin.becomes(&path, |queue| queue["effective_policy_definition"] != Value::Null)?;
    let definition = &queue["effective_policy_definition"];
    let is_empty = definition.as_object().is_some_and(serde_json::Map::is_empty)
        || definition.as_array().is_some_and(Vec::is_empty);
    equal("an empty definition", is_empty, true)
}
