//! Metrics as Prometheus's text: written by hand from what owners say, by the names, types and labels of RabbitMQ's plugin, and a
//! few of our own. Which families an answer has is decided here; how they are served is `metrics_server`.

use std::fmt::{Display, Write};

use super::node_info::{ERLANG_VERSION, RABBITMQ_VERSION};
use super::totals::{CLASSIC, QUORUM, Sum};
use crate::catalog::gone_connections::Churn;
use crate::model::counters::{
    ChannelCount, QueueCount, QueueCounters, SIZE_BOUNDS, StoreCounts, TIME_BOUNDS,
};
use crate::model::event::Alarms;
use crate::model::names::NODE;
use crate::model::question::DeadLetterStrategy;

/// Bounds of the sizes as Prometheus itself writes them from version 3 on, which is what dashboards ask for.
const SIZE_LABELS: [&str; SIZE_BOUNDS.len()] =
    ["100.0", "1000.0", "10000.0", "100000.0", "1e+06", "1e+07", "5e+07", "1e+08"];

/// What is counted of no object alone.
pub(super) struct Global<'a> {
    pub(super) sum: &'a Sum,
    pub(super) churn: Churn,
    /// Queues that were created and deleted, and those that there are.
    pub(super) created: u64,
    pub(super) deleted: u64,
    pub(super) queues: usize,
    pub(super) connections: u64,
    pub(super) channels: u64,
    pub(super) store: StoreCounts,
    pub(super) alarms: Alarms,
    pub(super) open_files: u64,
    pub(super) most_files: u64,
    pub(super) memory_used: u64,
    pub(super) memory_limit: u64,
    pub(super) disk_free: u64,
    pub(super) disk_limit: u64,
    pub(super) uptime: u64,
}

/// A text that families are written to.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"");
            for letter in text.chars() {
                match letter {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// Seconds of so many milliseconds.
#[allow(clippy::cast_precision_loss, reason = "no time is that long")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// Which broker this is.
pub(super) fn identity(text: &mut Text, endpoint: &str, identity: &str) {
    text.family("rabbitmq_build_info", "untyped", "RabbitMQ & Erlang/OTP version info");
    let version = RABBITMQ_VERSION;
    let labels = [
        ("rabbitmq_version", version),
        ("prometheus_plugin_version", version),
        ("prometheus_client_version", "none"),
        ("erlang_version", ERLANG_VERSION),
        ("product_name", "RabbitMQ"),
        ("product_version", version),
    ];
    text.sample("rabbitmq_build_info", &labels, 1);
    text.family("rabbitmq_identity_info", "untyped", "RabbitMQ node & cluster identity info");
    let labels = [
        ("rabbitmq_node", NODE),
        ("rabbitmq_cluster", NODE),
        ("rabbitmq_cluster_permanent_id", identity),
        ("rabbitmq_endpoint", endpoint),
    ];
    text.sample("rabbitmq_identity_info", &labels, 1);
}

impl Global<'_> {
    /// What every endpoint begins with.
    pub(super) fn write(&self, text: &mut Text) {
        self.write_churn(text);
        self.write_node(text);
        self.write_received(text);
        self.write_delivered(text);
        self.write_dead_letters(text);
        self.write_sizes(text);
        self.write_own(text);
    }

    fn write_churn(&self, text: &mut Text) {
        let churn = self.churn;
        let declared = self.sum.node.connections.counters[ChannelCount::DeclareQueue];
        for (name, help, value) in [
            ("connections_opened_total", "Total number of connections opened", churn.connections_opened),
            (
                "connections_closed_total",
                "Total number of connections closed or terminated",
                churn.connections_closed,
            ),
            ("channels_opened_total", "Total number of channels opened", churn.channels_opened),
            ("channels_closed_total", "Total number of channels closed", churn.channels_closed),
            ("queues_declared_total", "Total number of queues declared", declared),
            ("queues_created_total", "Total number of queues created", self.created),
            ("queues_deleted_total", "Total number of queues deleted", self.deleted),
            (
                "auth_attempts_total",
                "Total number of authentication attempts",
                churn.logins_succeeded + churn.logins_failed,
            ),
            (
                "auth_attempts_succeeded_total",
                "Total number of successful authentication attempts",
                churn.logins_succeeded,
            ),
            (
                "auth_attempts_failed_total",
                "Total number of failed authentication attempts",
                churn.logins_failed,
            ),
        ] {
            text.one(&format!("rabbitmq_{name}"), "counter", help, value);
        }
        for (name, help, value) in [
            ("connections", "Connections currently open", self.connections),
            ("channels", "Channels currently open", self.channels),
            ("consumers", "Consumers currently connected", self.sum.node.consumers),
            ("queues", "Queues available", self.queues as u64),
        ] {
            text.one(&format!("rabbitmq_{name}"), "gauge", help, value);
        }
    }

    fn write_node(&self, text: &mut Text) {
        for (name, help, value) in [
            ("process_open_fds", "Open file descriptors", self.open_files),
            ("process_max_fds", "Open file descriptors limit", self.most_files),
            ("process_resident_memory_bytes", "Memory used in bytes", self.memory_used),
            ("resident_memory_limit_bytes", "Memory high watermark in bytes", self.memory_limit),
            ("disk_space_available_bytes", "Disk space available in bytes", self.disk_free),
            ("disk_space_available_limit_bytes", "Free disk space low watermark in bytes", self.disk_limit),
            (
                "unreachable_cluster_peers_count",
                "Number of peers in the cluster the current node cannot reach.",
                0,
            ),
        ] {
            text.one(&format!("rabbitmq_{name}"), "gauge", help, value);
        }
        text.one("rabbitmq_erlang_uptime_seconds", "gauge", "Node uptime", seconds(self.uptime));
        let store = &self.store;
        for (name, help, value) in [
            ("io_read_ops_total", "Total number of I/O read operations", store.fetches),
            ("io_write_ops_total", "Total number of I/O write operations", store.commits),
            ("io_write_bytes_total", "Total number of I/O bytes written", store.bytes),
            ("io_sync_ops_total", "Total number of I/O sync operations", store.commits),
            ("msg_store_read_total", "Total number of Message Store read operations", store.fetched),
        ] {
            text.one(&format!("rabbitmq_{name}"), "counter", help, value);
        }
        let time = seconds(store.time / 1000);
        text.one("rabbitmq_io_sync_time_seconds_total", "counter", "Total I/O sync time", time);
        for (name, is_on) in [
            ("file_descriptor_limit", false),
            ("free_disk_space_watermark", self.alarms.disk),
            ("memory_used_watermark", self.alarms.memory),
        ] {
            let help = "is 1 if the alarm is in effect";
            text.one(&format!("rabbitmq_alarms_{name}"), "untyped", help, u8::from(is_on));
        }
    }

    fn write_received(&self, text: &mut Text) {
        let counters = &self.sum.node.connections.counters;
        for (name, help, count) in [
            (
                "messages_received_total",
                "Total number of messages received from publishers",
                ChannelCount::Publish,
            ),
            (
                "messages_received_confirm_total",
                "Total number of messages received from publishers expecting confirmations",
                ChannelCount::PublishConfirm,
            ),
            (
                "messages_confirmed_total",
                "Total number of messages confirmed to publishers",
                ChannelCount::Confirm,
            ),
            (
                "messages_routed_total",
                "Total number of messages routed to queues or streams",
                ChannelCount::Routed,
            ),
            (
                "messages_unroutable_returned_total",
                "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
                ChannelCount::ReturnUnroutable,
            ),
            (
                "messages_unroutable_dropped_total",
                "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
                ChannelCount::DropUnroutable,
            ),
        ] {
            let name = format!("rabbitmq_global_{name}");
            text.family(&name, "counter", help);
            text.sample(&name, &[PROTOCOL], counters[count]);
        }
        for (name, help, value) in [
            ("publishers", "Publishers currently connected", self.sum.publishers),
            ("consumers", "Consumers currently connected", self.sum.channel_consumers),
        ] {
            let name = format!("rabbitmq_global_{name}");
            text.family(&name, "gauge", help);
            text.sample(&name, &[PROTOCOL], value);
        }
    }

    /// What all queues of a type have counted.
    fn of_type(&self, queue_type: &str) -> QueueCounters {
        let mut sum = QueueCounters::default();
        let kinds = self.sum.kinds.iter().filter(|((kind, _), _)| *kind == queue_type);
        kinds.for_each(|(_, counters)| sum += counters);
        sum
    }

    fn write_delivered(&self, text: &mut Text) {
        use QueueCount::{Acked, Deliver, DeliverNoAck, Get, GetEmpty, GetNoAck, Redelivered};
        let types = [CLASSIC, QUORUM].map(|queue_type| (queue_type, self.of_type(queue_type)));
        for (name, help, counts) in [
            (
                "messages_delivered_total",
                "Total number of messages delivered to consumers",
                &[Deliver, DeliverNoAck, Get, GetNoAck][..],
            ),
            (
                "messages_delivered_consume_auto_ack_total",
                "Total number of messages delivered to consumers using basic.consume with automatic acknowledgment",
                &[DeliverNoAck],
            ),
            (
                "messages_delivered_consume_manual_ack_total",
                "Total number of messages delivered to consumers using basic.consume with manual acknowledgment",
                &[Deliver],
            ),
            (
                "messages_delivered_get_auto_ack_total",
                "Total number of messages delivered to consumers using basic.get with automatic acknowledgment",
                &[GetNoAck],
            ),
            (
                "messages_delivered_get_manual_ack_total",
                "Total number of messages delivered to consumers using basic.get with manual acknowledgment",
                &[Get],
            ),
            (
                "messages_redelivered_total",
                "Total number of messages redelivered to consumers",
                &[Redelivered],
            ),
            (
                "messages_acknowledged_total",
                "Total number of message acknowledgements received from consumers",
                &[Acked],
            ),
            (
                "messages_get_empty_total",
                "Total number of times basic.get operations fetched no message",
                &[GetEmpty],
            ),
        ] {
            let name = format!("rabbitmq_global_{name}");
            text.family(&name, "counter", help);
            for (queue_type, counters) in &types {
                let sum: u64 = counts.iter().map(|count| counters[*count]).sum();
                text.sample(&name, &[PROTOCOL, ("queue_type", queue_type)], sum);
            }
        }
    }

    fn write_dead_letters(&self, text: &mut Text) {
        use DeadLetterStrategy::{AtLeastOnce, AtMostOnce, Disabled};
        for (name, help, count, strategies) in [
            (
                "expired",
                "due to message TTL exceeded",
                QueueCount::Expired,
                &[AtMostOnce, AtLeastOnce, Disabled][..],
            ),
            (
                "rejected",
                "due to basic.reject or basic.nack",
                QueueCount::Rejected,
                &[AtMostOnce, AtLeastOnce, Disabled],
            ),
            (
                "maxlen",
                "due to overflow drop-head or reject-publish-dlx",
                QueueCount::MaxLength,
                &[AtMostOnce, Disabled],
            ),
            (
                "delivery_limit",
                "due to delivery-limit exceeded",
                QueueCount::DeliveryLimit,
                &[AtMostOnce, AtLeastOnce, Disabled],
            ),
            ("confirmed", "confirmed by target queues", QueueCount::DeadLetterConfirmed, &[AtLeastOnce]),
        ] {
            let name = format!("rabbitmq_global_messages_dead_lettered_{name}_total");
            text.family(&name, "counter", &format!("Total number of messages dead-lettered {help}"));
            for queue_type in [CLASSIC, QUORUM] {
                for strategy in strategies {
                    let counters = self.sum.kinds.get(&(queue_type, *strategy));
                    let value = counters.map_or(0, |counters| counters[count]);
                    let labels =
                        [("queue_type", queue_type), ("dead_letter_strategy", strategy_name(*strategy))];
                    text.sample(&name, &labels, value);
                }
            }
        }
    }

    fn write_sizes(&self, text: &mut Text) {
        let (name, sizes) = ("rabbitmq_message_size_bytes", &self.sum.node.connections.sizes);
        text.family(name, "histogram", "Size of messages received from publishers");
        let bucket = format!("{name}_bucket");
        let mut sum = 0;
        for (label, count) in SIZE_LABELS.iter().chain(&["+Inf"]).zip(sizes.counts) {
            sum += count;
            text.sample(&bucket, &[PROTOCOL, ("le", label)], sum);
        }
        text.sample(&format!("{name}_count"), &[PROTOCOL], sum);
        text.sample(&format!("{name}_sum"), &[PROTOCOL], sizes.sum);
    }

    fn write_own(&self, text: &mut Text) {
        let name = "leveret_commit_duration_seconds";
        text.family(
            name,
            "histogram",
            "How long commits took that made messages durable, their fsync included",
        );
        let bucket = format!("{name}_bucket");
        let bounds = TIME_BOUNDS.iter().map(|micros| seconds(*micros).to_string());
        let bounds =
            bounds.map(|millis| millis.parse::<f64>().unwrap_or(0.0) / 1000.0).map(|bound| bound.to_string());
        let mut sum = 0;
        for (label, count) in bounds.chain(["+Inf".to_owned()]).zip(self.store.times) {
            sum += count;
            text.sample(&bucket, &[("le", &label)], sum);
        }
        text.sample(&format!("{name}_count"), &[], sum);
        text.sample(&format!("{name}_sum"), &[], seconds(self.store.time / 1000));
        text.one(
            "leveret_commit_bytes_total",
            "counter",
            "Bytes of messages and operations that were committed",
            self.store.bytes,
        );
        text.one("leveret_blocked_publishers", "gauge", "Connections that alarms block", self.sum.blocked);
        let (name, help) = (
            "leveret_dead_letters_total",
            "Messages that became dead letters, or would have where their queue has a target for these",
        );
        text.family(name, "counter", help);
        let mut all = self.of_type(CLASSIC);
        all += &self.of_type(QUORUM);
        for (reason, count) in [
            ("expired", QueueCount::Expired),
            ("maxlen", QueueCount::MaxLength),
            ("rejected", QueueCount::Rejected),
            ("delivery_limit", QueueCount::DeliveryLimit),
        ] {
            text.sample(name, &[("reason", reason)], all[count]);
        }
    }
}

const PROTOCOL: (&str, &str) = ("protocol", "amqp091");

fn strategy_name(strategy: DeadLetterStrategy) -> &'static str {
    match strategy {
        DeadLetterStrategy::Disabled => "disabled",
        DeadLetterStrategy::AtMostOnce => "at_most_once",
        DeadLetterStrategy::AtLeastOnce => "at_least_once",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.sample("a", &[("b", "c\"\\\n"), ("d", "e")], 1);
        assert_eq!(text.0, "a{b=\"c\\\"\\\\\\n\",d=\"e\"} 1\n");
    }
}
