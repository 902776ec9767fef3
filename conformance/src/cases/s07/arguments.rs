//! 7.13 to 7.15: the arguments of a declare, row by row.

use crate::connection::{PATIENCE, check_close};
use crate::entity::Queue;
use crate::outcome::{Step, fail};
use crate::runner::cases;
use crate::test::Test;
use crate::wire::{Value, id};

cases! {
    s7_13_unknown_type: "an unknown x-queue-type is 406";
    s7_13_dead_letter_key_alone: "x-dead-letter-routing-key without an exchange is 406";
    s7_13_dead_letter_exchange_type: "x-dead-letter-exchange that is no text is 406";
    s7_13_unknown_argument_accepted: "arguments nobody knows are accepted";
    s7_13_type_of_type: "x-queue-type that is no text is 406";
    s7_13_empty_type: "an empty x-queue-type means the default";
    s7_13_stream: "x-queue-type stream",
        differs("declared", "540", "Leveret has no streams");
    s7_13_ttl: "x-message-ttl is an integer from zero to ten years, for both types";
    s7_13_expires: "x-expires is an integer from one to ten years, for both types";
    s7_13_max_length: "x-max-length is an integer from zero, for both types";
    s7_13_max_length_bytes: "x-max-length-bytes is an integer from zero, for both types";
    s7_13_overflow: "x-overflow is one of three words, for both types";
    s7_13_dead_letter_exchange: "x-dead-letter-exchange may be the default exchange, or one that does not exist";
    s7_13_dead_letter_key_type: "x-dead-letter-routing-key that is no text is 406";
    s7_13_dead_letter_strategy: "x-dead-letter-strategy of a quorum queue is one of two words";
    s7_13_dead_letter_strategy_classic: "x-dead-letter-strategy on a classic queue",
        differs("406", "declared", "Leveret has dead-letter strategies for classic queues");
    s7_13_max_priority: "x-max-priority is an integer from 0 to 255";
    s7_13_queue_mode: "x-queue-mode is not looked at";
    s7_13_queue_version: "x-queue-version is 2";
    s7_13_leader_locator: "x-queue-leader-locator is one of five words, for both types";
    s7_13_master_locator: "x-queue-master-locator",
        differs("541", "declared", "older applications set it; Leveret passes it over");
    s7_13_single_active: "x-single-active-consumer is a bool, for both types";
    s7_13_delivery_limit: "x-delivery-limit of a quorum queue is not checked";
    s7_13_delivery_limit_classic: "x-delivery-limit on a classic queue",
        differs("406", "declared", "Leveret has delivery limits for classic queues");
    s7_13_initial_group_size: "x-quorum-initial-group-size is an integer from one";
    s7_13_target_group_size: "x-quorum-target-group-size is not looked at, for both types";
    s7_13_in_memory: "x-max-in-memory-length and -bytes are integers from zero";
    s7_13_consumer_timeout_classic: "x-consumer-timeout on a classic queue",
        differs("406", "declared", "Leveret has consumer timeouts for classic queues whose owner asks for one");
    s7_13_consumer_timeouts: "x-consumer-timeout and x-consumer-disconnected-timeout are integers from zero";
    s7_13_delayed_retry: "x-delayed-retry-type, -min and -max are not checked";
    s7_13_delayed_retry_classic: "x-delayed-retry-type, -min and -max on a classic queue",
        differs("406", "declared", "Leveret has delayed retries for classic queues");
    s7_13_removed_features: "arguments of features that are gone, and of plugins, are accepted";
    s7_14_classic_arguments: "arguments of classic queues on a quorum queue are 406, whatever their value";
    s7_14_quorum_arguments: "arguments of quorum queues on a classic queue are 406, whatever their value";
    s7_14_stream_arguments: "arguments of streams on other queues are 406";
    s7_15_quorum_exclusive: "a quorum queue cannot be exclusive: 406";
    s7_15_quorum_transient: "a quorum queue cannot be transient: 406";
    s7_15_quorum_auto_delete: "a quorum queue cannot be auto-delete: 406";
    s7_15_order: "auto-delete, exclusive and transient are refused in this order";
}

/// The argument is refused with 406 and this explanation.
fn invalid(test: &Test, queue: impl FnOnce(Queue) -> Queue, explanation: &str) -> Step {
    let channel = test.channel()?;
    let name = test.queue("q");
    channel.send(queue(Queue::new(&name)).payload());
    let text = format!("PRECONDITION_FAILED - {}", explanation.replace("$Q", &test.queue_text(&name)));
    channel.closes(406, id(50, 10), &text)
}

fn s7_13_unknown_type(test: &Test) -> Step {
    invalid(test, |queue| queue.with("x-queue-type", "nonsense"), "*x-queue-type*")
}

fn s7_13_dead_letter_key_alone(test: &Test) -> Step {
    let text = "invalid arg 'x-dead-letter-routing-key' for $Q: routing_key_but_no_dlx_defined";
    invalid(test, |queue| queue.with("x-dead-letter-routing-key", "k"), text)
}

fn s7_13_dead_letter_exchange_type(test: &Test) -> Step {
    let text = "invalid type 'signedint' for arg 'x-dead-letter-exchange' in $Q";
    invalid(test, |queue| queue.with("x-dead-letter-exchange", 5), text)
}

fn s7_13_unknown_argument_accepted(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = Queue::new(&test.queue("q")).with("x-conformance", true).with("x-ha-policy", "all");
    channel.declare(&queue).map(drop)
}

/// Both types that a queue can be of.
const TYPES: [&str; 2] = ["classic", "quorum"];

fn declare(test: &Test, kind: &str, argument: &str, value: &dyn Value) -> (Queue, String) {
    let name = test.queue("q");
    let queue = Queue::new(&name).with("x-queue-type", kind).raw(argument, &value.encode());
    (queue, test.queue_text(&name))
}

/// Queues of this type take the argument with each of these values.
fn accepted(test: &Test, kind: &str, argument: &str, values: &[&dyn Value]) -> Step {
    let channel = test.channel()?;
    for value in values {
        channel.declare(&declare(test, kind, argument, *value).0)?;
    }
    Ok(())
}

/// Queues of this type refuse the argument with each of these values, for this reason.
fn refused(test: &Test, kind: &str, argument: &str, values: &[(&dyn Value, &str)]) -> Step {
    let connection = test.connect()?;
    for (value, reason) in values {
        let (queue, text) = declare(test, kind, argument, *value);
        let text = format!("PRECONDITION_FAILED - invalid arg '{argument}' for {text}: {reason}");
        connection.channel()?.refuses(queue.payload(), 406, &text)?;
    }
    Ok(())
}

/// Queues of this type refuse the arguments as such.
fn of_other_type(test: &Test, kind: &str, arguments: &[&str]) -> Step {
    let connection = test.connect()?;
    for argument in arguments {
        for value in [&1 as &dyn Value, &"x"] {
            let (queue, text) = declare(test, kind, argument, value);
            let text = format!(
                "PRECONDITION_FAILED - invalid arg '{argument}' for {text} of queue type rabbit_{kind}_queue"
            );
            connection.channel()?.refuses(queue.payload(), 406, &text)?;
        }
    }
    Ok(())
}

/// A classic queue either takes the argument or refuses it as one of another type.
fn only_for_quorum(test: &Test, argument: &str, value: &dyn Value) -> Step {
    let channel = test.channel()?;
    let (queue, text) = declare(test, "classic", argument, value);
    channel.send(queue.payload());
    let Some(event) = channel.event(PATIENCE)? else { return fail("no answer") };
    if event.id == id(50, 11) {
        test.answered("declared");
        return channel.delete(&test.queue("q")).map(drop);
    }
    test.answered("406");
    let text = format!(
        "PRECONDITION_FAILED - invalid arg '{argument}' for {text} of queue type rabbit_classic_queue"
    );
    check_close(&event, id(20, 40), 406, id(50, 10), &text)
}

/// The longest time in milliseconds: ten years.
const LONGEST: i64 = 315_360_000_000;
const TOO_LONG: (&dyn Value, &str) = (&(LONGEST + 1), "{value_too_large,315360000001}");
const TEXT: (&dyn Value, &str) = (&"1", "\"expected integer, got longstr\"");
const DOUBLE: (&dyn Value, &str) = (&1.0, "\"expected integer, got double\"");
const BOOL: (&dyn Value, &str) = (&true, "\"expected integer, got bool\"");
const NEGATIVE: (&dyn Value, &str) = (&-1, "{value_negative,-1}");
const ZERO: (&dyn Value, &str) = (&0, "{value_zero,0}");
const NUMBER: (&dyn Value, &str) = (&1, "{unacceptable_type,signedint}");

fn s7_13_type_of_type(test: &Test) -> Step {
    let text = "invalid arg 'x-queue-type' for $Q: {unacceptable_type,signedint}";
    invalid(test, |queue| queue.with("x-queue-type", 5), text)
}

fn s7_13_empty_type(test: &Test) -> Step {
    let channel = test.channel()?;
    let queue = Queue::new(&test.queue("q")).with("x-queue-type", "");
    channel.declare(&queue)?;
    channel.declare(&queue.exclusive().auto_delete().passive()).map(drop)
}

fn s7_13_stream(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(Queue::new(&test.queue("q")).with("x-queue-type", "stream").payload());
    let Some(event) = channel.event(PATIENCE)? else { return fail("no answer") };
    if event.id == id(50, 11) {
        test.answered("declared");
        return Ok(());
    }
    test.answered("540");
    check_close(&event, id(10, 50), 540, id(50, 10), "NOT_IMPLEMENTED - *")
}

fn s7_13_ttl(test: &Test) -> Step {
    TYPES.iter().try_for_each(|kind| {
        accepted(test, kind, "x-message-ttl", &[&0, &1_i64, &LONGEST])?;
        refused(test, kind, "x-message-ttl", &[NEGATIVE, TOO_LONG, TEXT, DOUBLE, BOOL])
    })
}

fn s7_13_expires(test: &Test) -> Step {
    TYPES.iter().try_for_each(|kind| {
        accepted(test, kind, "x-expires", &[&100_000, &LONGEST])?;
        refused(test, kind, "x-expires", &[ZERO, NEGATIVE, TOO_LONG, TEXT, DOUBLE, BOOL])
    })
}

/// Not negative, for both types.
fn size(test: &Test, argument: &str) -> Step {
    TYPES.iter().try_for_each(|kind| {
        accepted(test, kind, argument, &[&0, &1, &i64::MAX])?;
        refused(test, kind, argument, &[NEGATIVE, TEXT, DOUBLE, BOOL])
    })
}

fn s7_13_max_length(test: &Test) -> Step {
    size(test, "x-max-length")
}

fn s7_13_max_length_bytes(test: &Test) -> Step {
    size(test, "x-max-length-bytes")
}

fn s7_13_overflow(test: &Test) -> Step {
    TYPES.iter().try_for_each(|kind| {
        accepted(test, kind, "x-overflow", &[&"drop-head", &"reject-publish", &"reject-publish-dlx"])?;
        refused(test, kind, "x-overflow", &[(&"spill", "invalid_overflow"), NUMBER])
    })
}

fn s7_13_dead_letter_exchange(test: &Test) -> Step {
    let missing = test.exchange("missing");
    TYPES.iter().try_for_each(|kind| {
        accepted(test, kind, "x-dead-letter-exchange", &[&"", &"amq.direct", &missing.as_str()])
    })
}

fn s7_13_dead_letter_key_type(test: &Test) -> Step {
    TYPES.iter().try_for_each(|kind| refused(test, kind, "x-dead-letter-routing-key", &[NUMBER]))
}

fn s7_13_dead_letter_strategy(test: &Test) -> Step {
    let argument = "x-dead-letter-strategy";
    accepted(test, "quorum", argument, &[&"at-most-once", &"at-least-once"])?;
    refused(test, "quorum", argument, &[(&"once", "invalid_dlx_strategy"), NUMBER])
}

fn s7_13_dead_letter_strategy_classic(test: &Test) -> Step {
    only_for_quorum(test, "x-dead-letter-strategy", &"at-most-once")
}

fn s7_13_max_priority(test: &Test) -> Step {
    accepted(test, "classic", "x-max-priority", &[&0, &1, &31, &255])?;
    let above = (&256 as &dyn Value, "{max_value_exceeded,256}");
    refused(test, "classic", "x-max-priority", &[above, NEGATIVE, TEXT, DOUBLE])
}

fn s7_13_queue_mode(test: &Test) -> Step {
    accepted(test, "classic", "x-queue-mode", &[&"lazy", &"default", &"whatever", &1])
}

fn s7_13_queue_version(test: &Test) -> Step {
    accepted(test, "classic", "x-queue-version", &[&2])?;
    let wrong: [(&dyn Value, &str); 3] =
        [(&1, "\"unsupported queue version '1'\""), (&3, "\"unsupported queue version '3'\""), TEXT];
    refused(test, "classic", "x-queue-version", &wrong)
}

fn s7_13_leader_locator(test: &Test) -> Step {
    TYPES.iter().try_for_each(|kind| {
        let words: [&dyn Value; 5] =
            [&"client-local", &"balanced", &"random", &"least-leaders", &"min-masters"];
        accepted(test, kind, "x-queue-leader-locator", &words)?;
        let wrong = [(&"nearest" as &dyn Value, "invalid_queue_locator_arg"), NUMBER];
        refused(test, kind, "x-queue-leader-locator", &wrong)
    })
}

fn s7_13_master_locator(test: &Test) -> Step {
    let channel = test.channel()?;
    channel.send(declare(test, "classic", "x-queue-master-locator", &"min-masters").0.payload());
    let Some(event) = channel.event(PATIENCE)? else { return fail("no answer") };
    if event.id == id(50, 11) {
        test.answered("declared");
        return Ok(());
    }
    test.answered("541");
    check_close(&event, id(10, 50), 541, id(50, 10), "INTERNAL_ERROR - *")
}

fn s7_13_single_active(test: &Test) -> Step {
    TYPES.iter().try_for_each(|kind| {
        accepted(test, kind, "x-single-active-consumer", &[&true, &false])?;
        let text = (&"true" as &dyn Value, "{unacceptable_type,longstr}");
        refused(test, kind, "x-single-active-consumer", &[text, NUMBER])
    })
}

fn s7_13_delivery_limit(test: &Test) -> Step {
    accepted(test, "quorum", "x-delivery-limit", &[&5, &0, &-1, &-2, &"5"])
}

fn s7_13_delivery_limit_classic(test: &Test) -> Step {
    only_for_quorum(test, "x-delivery-limit", &5)
}

fn s7_13_consumer_timeout_classic(test: &Test) -> Step {
    only_for_quorum(test, "x-consumer-timeout", &1000)
}

fn s7_13_initial_group_size(test: &Test) -> Step {
    accepted(test, "quorum", "x-quorum-initial-group-size", &[&1, &3])?;
    refused(test, "quorum", "x-quorum-initial-group-size", &[ZERO, NEGATIVE, TEXT])
}

fn s7_13_target_group_size(test: &Test) -> Step {
    TYPES.iter().try_for_each(|kind| {
        accepted(test, kind, "x-quorum-target-group-size", &[&3, &0, &-1, &"x"])?;
        let (channel, name) = (test.channel()?, test.queue("q"));
        let queue = Queue::new(&name).with("x-queue-type", *kind);
        channel.declare(&queue.clone().with("x-quorum-target-group-size", 3))?;
        channel.declare(&queue.clone().with("x-quorum-target-group-size", 5))?;
        channel.declare(&queue).map(drop)
    })
}

fn s7_13_in_memory(test: &Test) -> Step {
    ["x-max-in-memory-length", "x-max-in-memory-bytes"].iter().try_for_each(|argument| {
        accepted(test, "quorum", argument, &[&0, &1])?;
        refused(test, "quorum", argument, &[NEGATIVE, TEXT])
    })
}

fn s7_13_consumer_timeouts(test: &Test) -> Step {
    ["x-consumer-timeout", "x-consumer-disconnected-timeout"].iter().try_for_each(|argument| {
        accepted(test, "quorum", argument, &[&0, &100_000])?;
        refused(test, "quorum", argument, &[NEGATIVE, TEXT])
    })
}

fn s7_13_delayed_retry(test: &Test) -> Step {
    let words: [&dyn Value; 6] = [&"disabled", &"all", &"failed", &"returned", &"whatever", &1];
    accepted(test, "quorum", "x-delayed-retry-type", &words)?;
    ["x-delayed-retry-min", "x-delayed-retry-max"]
        .iter()
        .try_for_each(|argument| accepted(test, "quorum", argument, &[&1000, &0, &-1, &"x"]))
}

fn s7_13_delayed_retry_classic(test: &Test) -> Step {
    only_for_quorum(test, "x-delayed-retry-type", &"all")?;
    ["x-delayed-retry-min", "x-delayed-retry-max"]
        .iter()
        .try_for_each(|argument| only_for_quorum(test, argument, &1000))
}

fn s7_13_removed_features(test: &Test) -> Step {
    for argument in ["x-ha-policy", "x-cancel-on-ha-failover", "x-message-deduplication", "x-cache-size"] {
        for kind in TYPES {
            accepted(test, kind, argument, &[&1, &"all"])?;
        }
    }
    Ok(())
}

fn s7_14_classic_arguments(test: &Test) -> Step {
    let arguments = ["x-max-priority", "x-queue-mode", "x-queue-version", "x-queue-master-locator"];
    of_other_type(test, "quorum", &arguments)
}

fn s7_14_quorum_arguments(test: &Test) -> Step {
    of_other_type(
        test,
        "classic",
        &[
            "x-quorum-initial-group-size",
            "x-max-in-memory-length",
            "x-max-in-memory-bytes",
            "x-consumer-disconnected-timeout",
        ],
    )
}

fn s7_14_stream_arguments(test: &Test) -> Step {
    let arguments = [
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-stream-filter-size-bytes",
        "x-initial-cluster-size",
    ];
    TYPES.iter().try_for_each(|kind| of_other_type(test, kind, &arguments))
}

fn s7_15_quorum_exclusive(test: &Test) -> Step {
    let text = "invalid property 'exclusive-owner' for $Q";
    invalid(test, |queue| queue.with("x-queue-type", "quorum").exclusive(), text)
}

fn s7_15_quorum_transient(test: &Test) -> Step {
    let text = "invalid property 'non-durable' for $Q";
    invalid(test, |queue| queue.with("x-queue-type", "quorum").transient(), text)
}

fn s7_15_quorum_auto_delete(test: &Test) -> Step {
    let text = "invalid property 'auto-delete' for $Q";
    invalid(test, |queue| queue.with("x-queue-type", "quorum").auto_delete(), text)
}

fn s7_15_order(test: &Test) -> Step {
    let quorum = |queue: Queue| queue.with("x-queue-type", "quorum").transient().exclusive();
    invalid(test, quorum, "invalid property 'exclusive-owner' for $Q")?;
    invalid(test, |queue| quorum(queue).auto_delete(), "invalid property 'auto-delete' for $Q")
}
