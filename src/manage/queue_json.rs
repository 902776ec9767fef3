//! A queue as RabbitMQ describes it: how it is declared, how much is in it, and what it has counted.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::json::from_table;
use super::listing::ListingKey;
use super::rates::Windows;
use super::samples::{Rates, Thing};
use super::stats;
use super::totals::Samples;
use crate::catalog::policies::Applying;
use crate::catalog::view::{Queue, View};
use crate::model::ids::{QueueRef, Timestamp};
use crate::model::names::NODE;
use crate::model::question::QueueCounts;
use crate::model::retry::Delays;
use crate::model::settings::{QueueSettings, QueueType};

/// How it is declared.
pub(super) fn declared(queue: &Queue, vhost: &str, name: &str) -> Map<String, Value> {
    let is_quorum = queue.settings.queue_type == QueueType::Quorum;
    let mut described = json!({
        "name": name,
        "vhost": vhost,
        "type": queue.settings.queue_type.as_str(),
        "durable": queue.settings.durable,
        "auto_delete": queue.settings.auto_delete,
        "exclusive": queue.exclusive_to.is_some(),
        "arguments": arguments(queue),
        "effective_policy_definition": from_table(&queue.policies.definition),
        "internal": false,
        "internal_owner": false,
        "node": NODE,
        "state": "running",
    });
    name_policies(&mut described, &queue.policies);
    if is_quorum {
        described["leader"] = NODE.into();
        described["members"] = json!([NODE]);
        described["online"] = json!([NODE]);
        described["open_files"] = json!({NODE: 0});
        described["delayed_retry"] = retry(&queue.settings).into();
        described["delivery_limit"] = queue.settings.delivery_limit.map_or(json!(-1), Value::from);
    } else {
        described["storage_version"] = 2.into();
    }
    match described {
        Value::Object(described) => described,
        _ => Map::new(),
    }
}

/// Delayed retries, in RabbitMQ's words where they are RabbitMQ's.
fn retry(settings: &QueueSettings) -> String {
    let Some(retry) = &settings.retry else { return "disabled".to_owned() };
    let retried = retry.retried.as_str();
    match &retry.delays {
        Delays::Growing { least, most } => format!("{retried} (min: {least}ms, max: {most}ms)"),
        Delays::List(delays) => {
            let delays: Vec<_> = delays.iter().map(|delay| format!("{delay}ms")).collect();
            format!("{retried} ({})", delays.join(", "))
        }
    }
}

/// As they were given, and the type of the queue, which RabbitMQ adds to the arguments where a client did not say it.
fn arguments(queue: &Queue) -> Value {
    let mut arguments = from_table(&queue.arguments.decode());
    if let Value::Object(arguments) = &mut arguments {
        let queue_type = || queue.settings.queue_type.as_str().into();
        arguments.entry("x-queue-type").or_insert_with(queue_type);
    }
    arguments
}

/// All there is, what is ready, what is unacked; in all of a quorum queue are the dead letters that it keeps.
pub(super) fn lengths(counts: &QueueCounts, is_quorum: bool) -> [u64; 3] {
    let kept = if is_quorum { counts.dead_letters } else { 0 };
    [counts.ready + counts.unacked + counts.delayed + kept, counts.ready, counts.unacked]
}

/// Adds how much is in it and what it has counted.
pub(super) fn count(
    described: &mut Map<String, Value>,
    (queue, now): (Thing, Timestamp),
    counts: &QueueCounts,
    samples: &Samples,
    windows: &Windows,
) {
    let is_quorum = described.get("type").is_some_and(|queue_type| queue_type == QueueType::Quorum.as_str());
    let values = stats::of_queue(lengths(counts, is_quorum), &counts.counters);
    let rates: Option<Rates> = samples.thing(now, queue, &values, windows.wants_row());
    stats::write_queue(described, &values, rates.as_ref(), windows);
    write_sizes(described, counts, is_quorum);
}

/// The lengths alone.
pub(super) fn count_lengths(described: &mut Map<String, Value>, counts: &QueueCounts) {
    let is_quorum = described.get("type").is_some_and(|queue_type| queue_type == QueueType::Quorum.as_str());
    for (name, length) in stats::LENGTHS.iter().zip(lengths(counts, is_quorum)) {
        described.insert((*name).to_owned(), length.into());
    }
}

pub(super) fn write_sizes(described: &mut Map<String, Value>, counts: &QueueCounts, is_quorum: bool) {
    // Whether a consumer would take a message at this moment; nobody measures for how long that was so.
    let capacity = if counts.consumers > 0 && counts.serves { 1.0 } else { 0.0 };
    let mut sizes = json!({
        "consumers": counts.consumers,
        "consumer_capacity": capacity,
        "consumer_utilisation": capacity,
        "memory": counts.memory_bytes,
        "message_bytes": counts.ready_bytes + counts.unacked_bytes + counts.delayed_bytes,
        "message_bytes_ready": counts.ready_bytes,
        "message_bytes_unacknowledged": counts.unacked_bytes,
        "message_bytes_persistent": counts.stored_bytes,
        "message_bytes_ram": counts.bytes_in_memory,
        "messages_persistent": counts.stored,
        "messages_delayed": counts.delayed,
        "messages_ram": counts.ready_in_memory + counts.unacked_in_memory,
    });
    if is_quorum {
        sizes["messages_dlx"] = counts.dead_letters.into();
        // Of those that there are nobody adds up the bytes.
        if counts.dead_letters == 0 {
            sizes["message_bytes_dlx"] = 0.into();
        }
        if counts.active.is_none() {
            sizes["single_active_consumer_tag"] = "".into();
        }
        sizes["messages_ready_returned"] = counts.returned.into();
        sizes["messages_active_priorities"] = counts.priorities.into();
    } else {
        sizes["messages_ready_ram"] = counts.ready_in_memory.into();
        sizes["messages_unacknowledged_ram"] = counts.unacked_in_memory.into();
        sizes["head_message_timestamp"] = counts.head_timestamp.map_or(Value::Null, Value::from);
    }
    if let Value::Object(sizes) = sizes {
        described.extend(sizes);
    }
}

/// What is told of each queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    All,
    Lengths,
    Nothing,
}

/// How queues of a listing are described.
pub(super) struct QueueDescriber {
    pub(super) samples: Arc<Samples>,
    pub(super) windows: Windows,
    pub(super) now: Timestamp,
    pub(super) content: Content,
}

impl QueueDescriber {
    /// None where the queue is gone; one that was declared anew meanwhile is another one.
    pub(super) fn describe(
        &self,
        view: &View,
        (vhost, name): &ListingKey,
        at: QueueRef,
        counts: &QueueCounts,
    ) -> Option<Value> {
        let mut described = {
            let state = view.read();
            declared(state.queue(vhost, name).filter(|queue| queue.at == at)?, vhost, name)
        };
        match self.content {
            Content::All => {
                let queue = (Thing::Queue(at), self.now);
                count(&mut described, queue, counts, &self.samples, &self.windows);
            }
            Content::Lengths => count_lengths(&mut described, counts),
            Content::Nothing => {}
        }
        Some(Value::Object(described))
    }
}

/// Policies that do not apply are not named.
pub(super) fn name_policies(described: &mut Value, policies: &Applying) {
    for (key, name) in [("policy", &policies.regular), ("operator_policy", &policies.operator)] {
        if let Some(name) = name {
            described[key] = (**name).into();
        }
    }
}
