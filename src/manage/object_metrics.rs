//! Metrics of single queues, exchanges, connections and channels, as tables: what is written, and the table in
//! docs/management.md, come from them. How objects are asked and their values written is `object_columns`.

use super::metric_text::{Kind, Text};
use super::queue_json::lengths;
use super::stats;
use super::totals::Sum;
use crate::model::counters::{ChannelCount, ExchangeCount, QueueCount};
use crate::model::question::{ChannelCounts, ConnectionCounts, QueueCounts};

/// A metric of an object of this kind.
pub(super) struct Metric<T: 'static> {
    /// Behind `rabbitmq_`; as it is where it begins with `leveret_`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) unit: Unit,
    pub(super) value: fn(&T) -> u64,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Number,
    /// [`NOTHING`] is `NaN`.
    NumberOrNaN,
    /// A time, in milliseconds since the epoch: for how many seconds that is past. [`NOTHING`] is 0.
    Age,
}

/// Where there is no value.
pub(super) const NOTHING: u64 = u64::MAX;

type Value<T> = fn(&T) -> u64;

const fn counter<T>(name: &'static str, help: &'static str, value: Value<T>) -> Metric<T> {
    Metric { name, kind: Kind::Counter, help, unit: Unit::Number, value }
}

const fn gauge<T>(name: &'static str, help: &'static str, value: Value<T>) -> Metric<T> {
    Metric { name, kind: Kind::Gauge, help, unit: Unit::Number, value }
}

const fn or_nan<T>(name: &'static str, help: &'static str, value: Value<T>) -> Metric<T> {
    Metric { name, kind: Kind::Gauge, help, unit: Unit::NumberOrNaN, value }
}

const fn age<T>(name: &'static str, help: &'static str, value: Value<T>) -> Metric<T> {
    Metric { name, kind: Kind::Gauge, help, unit: Unit::Age, value }
}

/// Metrics of objects of one kind that go together.
pub(super) struct Group<T: 'static> {
    /// What `/metrics/detailed` calls them: each of these names.
    pub(super) detailed: &'static [&'static str],
    pub(super) metrics: &'static [Metric<T>],
}

pub(super) const QUEUES: &[Group<QueueCounts>] = &[
    Group { detailed: &["queue_coarse_metrics"], metrics: QUEUE_LENGTHS },
    Group { detailed: &["queue_consumer_count", "queue_metrics"], metrics: QUEUE_CONSUMERS },
    Group { detailed: &["queue_metrics"], metrics: QUEUE_SIZES },
    Group { detailed: &["queue_delivery_metrics", "channel_queue_metrics"], metrics: QUEUE_DELIVERIES },
];
pub(super) const EXCHANGES: &[Group<ExchangeCount>] =
    &[Group { detailed: &["exchange_metrics", "channel_exchange_metrics"], metrics: EXCHANGE }];
/// A connection: how many channels it has, and what it has counted.
pub(super) type OfConnection = (u64, Box<ConnectionCounts>);
pub(super) const CONNECTIONS: &[Group<OfConnection>] =
    &[Group { detailed: &["connection_coarse_metrics", "connection_metrics"], metrics: CONNECTION }];
pub(super) const CHANNELS: &[Group<ChannelCounts>] = &[Group {
    detailed: &["channel_metrics", "channel_queue_metrics", "channel_exchange_metrics"],
    metrics: CHANNEL,
}];

/// The sums over all queues that stand among what is aggregated.
pub(super) const SUMS: &[Metric<Sum>] = &[
    gauge("queue_messages_ready", "Messages ready to be delivered to consumers", |s| s.node.ready),
    gauge("queue_messages_unacked", "Messages delivered to consumers but not yet acknowledged", |s| {
        s.node.unacked
    }),
    gauge("queue_messages", "Sum of ready and unacknowledged messages - total queue depth", |s| {
        s.node.ready + s.node.unacked
    }),
    gauge("queue_consumers", "Consumers on a queue", |s| s.node.consumers),
];

pub(super) fn write_sums(text: &mut Text, sum: &Sum) {
    for Metric { name, kind, help, unit: _, value } in SUMS {
        let name = format!("rabbitmq_{name}");
        text.family(&name, *kind, help);
        text.sample(&name, &[], value(sum));
    }
}

const QUEUE_LENGTHS: &[Metric<QueueCounts>] = &[
    gauge("queue_messages_ready", "Messages ready to be delivered to consumers", |q| q.ready),
    gauge("queue_messages_unacked", "Messages delivered to consumers but not yet acknowledged", |q| {
        q.unacked
    }),
    gauge("queue_messages", "Sum of ready and unacknowledged messages - total queue depth", |q| {
        lengths(q, false)[0]
    }),
];
const QUEUE_CONSUMERS: &[Metric<QueueCounts>] =
    &[gauge("queue_consumers", "Consumers on a queue", |q| u64::from(q.consumers))];
const QUEUE_SIZES: &[Metric<QueueCounts>] = &[
    gauge("queue_consumer_capacity", "Consumer capacity", |q| u64::from(q.consumers > 0 && q.serves)),
    gauge("queue_consumer_utilisation", "Same as consumer capacity", |q| {
        u64::from(q.consumers > 0 && q.serves)
    }),
    gauge("queue_process_memory_bytes", "Memory in bytes used by the queue", |q| q.memory_bytes),
    gauge("queue_messages_ram", "Ready and unacknowledged messages stored in memory", |q| {
        q.ready_in_memory + q.unacked_in_memory
    }),
    gauge("queue_messages_ram_bytes", "Size of ready and unacknowledged messages stored in memory", |q| {
        q.bytes_in_memory
    }),
    gauge("queue_messages_ready_ram", "Ready messages stored in memory", |q| q.ready_in_memory),
    gauge("queue_messages_unacked_ram", "Unacknowledged messages stored in memory", |q| q.unacked_in_memory),
    gauge("queue_messages_persistent", "Persistent messages", |q| q.stored),
    gauge("queue_messages_persistent_bytes", "Size in bytes of persistent messages", |q| q.stored_bytes),
    gauge("queue_messages_bytes", "Size in bytes of ready and unacknowledged messages", |q| {
        q.ready_bytes + q.unacked_bytes
    }),
    gauge("queue_messages_ready_bytes", "Size in bytes of ready messages", |q| q.ready_bytes),
    gauge("queue_messages_unacked_bytes", "Size in bytes of all unacknowledged messages", |q| {
        q.unacked_bytes
    }),
    or_nan("queue_head_message_timestamp", "Timestamp of the first message in the queue, if any", |q| {
        q.head_timestamp.unwrap_or(NOTHING)
    }),
    age(
        "leveret_queue_oldest_message_age_seconds",
        "For how long the oldest ready message has been in the queue, or since the start; 0 where there is none",
        |q| q.oldest_since.map_or(NOTHING, |since| since.0),
    ),
];
const QUEUE_DELIVERIES: &[Metric<QueueCounts>] = &[
    counter(
        "queue_get_ack_total",
        "Total number of messages fetched from a queue with basic.get in manual acknowledgement mode",
        |q| q.counters[QueueCount::Get],
    ),
    counter(
        "queue_get_total",
        "Total number of messages fetched from a queue with basic.get in automatic acknowledgement mode",
        |q| q.counters[QueueCount::GetNoAck],
    ),
    counter(
        "queue_messages_delivered_ack_total",
        "Total number of messages delivered from a queue to consumers in manual acknowledgement mode",
        |q| q.counters[QueueCount::Deliver],
    ),
    counter(
        "queue_messages_delivered_total",
        "Total number of messages delivered from a queue to consumers in automatic acknowledgement mode",
        |q| q.counters[QueueCount::DeliverNoAck],
    ),
    counter(
        "queue_messages_redelivered_total",
        "Total number of messages redelivered from a queue to consumers",
        |q| q.counters[QueueCount::Redelivered],
    ),
    counter(
        "queue_messages_acked_total",
        "Total number of messages acknowledged by consumers on a queue",
        |q| q.counters[QueueCount::Acked],
    ),
    counter(
        "queue_get_empty_total",
        "Total number of times basic.get operations fetched no message on a queue",
        |q| q.counters[QueueCount::GetEmpty],
    ),
    counter("queue_messages_published_total", "Total number of messages published into a queue", |q| {
        q.counters[QueueCount::Published]
    }),
];

const CHANNEL: &[Metric<ChannelCounts>] = &[
    gauge("channel_consumers", "Consumers on a channel", |c| c.consumers),
    gauge("channel_messages_unacked", "Delivered but not yet acknowledged messages", |c| c.unacked),
    gauge("channel_messages_unconfirmed", "Published but not yet confirmed messages", |c| c.unconfirmed),
    gauge("channel_messages_uncommitted", "Messages received in a transaction but not yet committed", |c| {
        c.uncommitted
    }),
    gauge("channel_acks_uncommitted", "Message acknowledgements in a transaction not yet committed", |c| {
        c.acks_uncommitted
    }),
    gauge("consumer_prefetch", "Limit of unacknowledged messages for each consumer", |c| {
        u64::from(c.prefetch)
    }),
    gauge("channel_prefetch", "Total limit of unacknowledged messages for all consumers on a channel", |c| {
        c.shared_prefetch
    }),
    counter(
        "channel_messages_published_total",
        "Total number of messages published into an exchange on a channel",
        |c| c.counters[ChannelCount::Publish],
    ),
    counter(
        "channel_messages_confirmed_total",
        "Total number of messages published into an exchange and confirmed on the channel",
        |c| c.counters[ChannelCount::Confirm],
    ),
    counter(
        "channel_messages_unroutable_returned_total",
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
        |c| c.counters[ChannelCount::ReturnUnroutable],
    ),
    counter(
        "channel_messages_unroutable_dropped_total",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        |c| c.counters[ChannelCount::DropUnroutable],
    ),
    counter(
        "channel_get_ack_total",
        "Total number of messages fetched with basic.get in manual acknowledgement mode",
        |c| c.counters[ChannelCount::Get],
    ),
    counter(
        "channel_get_total",
        "Total number of messages fetched with basic.get in automatic acknowledgement mode",
        |c| c.counters[ChannelCount::GetNoAck],
    ),
    counter(
        "channel_messages_delivered_ack_total",
        "Total number of messages delivered to consumers in manual acknowledgement mode",
        |c| c.counters[ChannelCount::Deliver],
    ),
    counter(
        "channel_messages_delivered_total",
        "Total number of messages delivered to consumers in automatic acknowledgement mode",
        |c| c.counters[ChannelCount::DeliverNoAck],
    ),
    counter("channel_messages_redelivered_total", "Total number of messages redelivered to consumers", |c| {
        c.counters[ChannelCount::Redelivered]
    }),
    counter("channel_messages_acked_total", "Total number of messages acknowledged by consumers", |c| {
        c.counters[ChannelCount::Acked]
    }),
    counter(
        "channel_get_empty_total",
        "Total number of times basic.get operations fetched no message",
        |c| c.counters[ChannelCount::GetEmpty],
    ),
];

const CONNECTION: &[Metric<OfConnection>] = &[
    counter("connection_incoming_bytes_total", "Total number of bytes received on a connection", |c| {
        stats::traffic(&c.1.totals.traffic)[0]
    }),
    counter("connection_outgoing_bytes_total", "Total number of bytes sent on a connection", |c| {
        stats::traffic(&c.1.totals.traffic)[1]
    }),
    counter("connection_incoming_packets_total", "Total number of packets received on a connection", |c| {
        c.1.totals.traffic.reads
    }),
    counter("connection_outgoing_packets_total", "Total number of packets sent on a connection", |c| {
        c.1.totals.traffic.writes
    }),
    gauge("connection_pending_packets", "Number of packets waiting to be sent on a connection", |c| {
        c.1.pending
    }),
    gauge("connection_channels", "Channels on a connection", |c| c.0),
];

const EXCHANGE: &[Metric<ExchangeCount>] = &[counter(
    "exchange_messages_published_total",
    "Total number of messages published into an exchange on a channel",
    |e| e.published,
)];
