//! Counters by RabbitMQ's names.

use serde_json::{Map, Value, json};

use super::rates::{self, Window, Windows};
use super::samples::Rates;
use crate::model::counters::{ChannelCount, ChannelCounters, QueueCount, QueueCounters, Traffic};

pub(super) const LENGTHS: [&str; 3] = ["messages", "messages_ready", "messages_unacknowledged"];

const OUT: [&str; 8] =
    ["deliver", "deliver_no_ack", "deliver_get", "get", "get_no_ack", "get_empty", "ack", "redeliver"];
const IN: [&str; 4] = ["publish", "confirm", "return_unroutable", "drop_unroutable"];

/// What connections, vhosts and the node count of their sockets.
pub(super) const TRAFFIC: [&str; 2] = ["recv_oct", "send_oct"];

pub(super) fn traffic(traffic: &Traffic) -> [u64; 2] {
    [traffic.bytes_in, traffic.bytes_out]
}

/// What came out of queues, as they count it.
pub(super) fn out_of_queues(counters: &QueueCounters) -> [u64; 8] {
    let of = |count: QueueCount| counters[count];
    let (deliver, deliver_no_ack) = (of(QueueCount::Deliver), of(QueueCount::DeliverNoAck));
    let (get, get_no_ack) = (of(QueueCount::Get), of(QueueCount::GetNoAck));
    [
        deliver,
        deliver_no_ack,
        deliver + deliver_no_ack + get + get_no_ack,
        get,
        get_no_ack,
        of(QueueCount::GetEmpty),
        of(QueueCount::Acked),
        of(QueueCount::Redelivered),
    ]
}

/// The same as channels count it.
pub(super) fn out_of_channels(counters: &ChannelCounters) -> [u64; 8] {
    let of = |count: ChannelCount| counters[count];
    let (deliver, deliver_no_ack) = (of(ChannelCount::Deliver), of(ChannelCount::DeliverNoAck));
    let (get, get_no_ack) = (of(ChannelCount::Get), of(ChannelCount::GetNoAck));
    [
        deliver,
        deliver_no_ack,
        deliver + deliver_no_ack + get + get_no_ack,
        get,
        get_no_ack,
        of(ChannelCount::GetEmpty),
        of(ChannelCount::Acked),
        of(ChannelCount::Redelivered),
    ]
}

/// What was published.
pub(super) fn into_channels(counters: &ChannelCounters) -> [u64; 4] {
    [
        counters[ChannelCount::Publish],
        counters[ChannelCount::Confirm],
        counters[ChannelCount::ReturnUnroutable],
        counters[ChannelCount::DropUnroutable],
    ]
}

/// The values of a channel: what came in and what went out. With traffic in front, of a vhost and of the node.
pub(super) fn of_channel(counters: &ChannelCounters) -> Vec<u64> {
    let (into, out) = (into_channels(counters), out_of_channels(counters));
    into.into_iter().chain(out).collect()
}

/// `message_stats` of what [`of_channel`] gives, which stands at `first` among the values of the rates.
pub(super) fn of_channels(
    values: &[u64],
    first: usize,
    rates: Option<&Rates>,
    window: Option<Window>,
) -> Value {
    let mut stats = Map::new();
    rates::write(&mut stats, &IN, values, first, rates, window);
    rates::write(&mut stats, &OUT, &values[IN.len()..], first + IN.len(), rates, window);
    Value::Object(stats)
}

/// The values of a queue: its lengths, what was published, what came out.
pub(super) fn of_queue([messages, ready, unacked]: [u64; 3], counters: &QueueCounters) -> Vec<u64> {
    let mut values = vec![messages, ready, unacked, counters[QueueCount::Published]];
    values.extend(out_of_queues(counters));
    values
}

/// Where a counter stands among what [`of_queue`] gives.
pub(super) fn place_of_queue(name: &str) -> Option<usize> {
    let first = LENGTHS.len();
    if name == IN[0] { Some(first) } else { OUT.iter().position(|out| *out == name).map(|at| first + 1 + at) }
}

/// Writes what [`of_queue`] gives into the description of a queue.
pub(super) fn write_queue(
    described: &mut Map<String, Value>,
    values: &[u64],
    rates: Option<&Rates>,
    windows: &Windows,
) {
    rates::write(described, &LENGTHS, values, 0, rates, windows.lengths);
    let mut stats = Map::new();
    rates::write(&mut stats, &["publish"], &values[3..4], 3, rates, windows.messages);
    rates::write(&mut stats, &OUT, &values[4..], 4, rates, windows.messages);
    described.insert("message_stats".to_owned(), Value::Object(stats));
    no_reductions(described, rates.is_some(), windows.messages.is_some());
}

/// Reductions mean something to Erlang alone.
pub(super) fn no_reductions(described: &mut Map<String, Value>, has_rates: bool, has_samples: bool) {
    described.insert("reductions".to_owned(), 0.into());
    if has_rates {
        let mut details = json!({"rate": 0.0});
        if has_samples {
            details["avg"] = 0.0.into();
            details["avg_rate"] = 0.0.into();
            details["samples"] = json!([{"sample": 0, "timestamp": 0}]);
        }
        described.insert("reductions_details".to_owned(), details);
    }
}

/// And so does this.
pub(super) fn no_garbage_collection() -> Value {
    json!({
        "fullsweep_after": 0,
        "max_heap_size": 0,
        "min_bin_vheap_size": 0,
        "min_heap_size": 0,
        "minor_gcs": 0,
    })
}
