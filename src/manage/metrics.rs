//! The families of metrics that are not of single objects, by the names, types and labels of RabbitMQ's plugin, and a few of our
//! own, as one table: what is written, and the table in docs/management.md, come from it. How they are served is
//! `metrics_server`.

use super::metric_text::{Kind, Samples, Text, of_micros, of_millis};
use super::node_info::{ERLANG_VERSION, RABBITMQ_VERSION};
use super::totals::{CLASSIC, QUORUM, Sum};
use crate::catalog::gone_connections::Churn;
use crate::model::counters::{
    ChannelCount, DISK_BOUNDS, DiskTimes, QueueCount, QueueCounters, SIZE_BOUNDS, StoreCounts, WAIT_BOUNDS,
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
    /// Files of the journal, and their bytes.
    pub(super) journal: (u64, u64),
    pub(super) alarms: Alarms,
    pub(super) open_files: u64,
    pub(super) most_files: u64,
    pub(super) memory_used: u64,
    pub(super) memory_limit: u64,
    pub(super) disk_free: u64,
    pub(super) disk_limit: u64,
    pub(super) uptime: u64,
}

/// A family of the node.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    write: fn(&Global<'_>, &mut Samples<'_>),
}

/// Families that go together.
pub(super) struct Families {
    /// What `/metrics/detailed` calls them; None: they are not there.
    pub(super) detailed: Option<&'static str>,
    pub(super) families: &'static [Family],
}

type Write = fn(&Global<'_>, &mut Samples<'_>);

const fn counter(name: &'static str, help: &'static str, write: Write) -> Family {
    Family { name, kind: Kind::Counter, help, write }
}

const fn gauge(name: &'static str, help: &'static str, write: Write) -> Family {
    Family { name, kind: Kind::Gauge, help, write }
}

const fn untyped(name: &'static str, help: &'static str, write: Write) -> Family {
    Family { name, kind: Kind::Untyped, help, write }
}

const fn histogram(name: &'static str, help: &'static str, write: Write) -> Family {
    Family { name, kind: Kind::Histogram, help, write }
}

/// What every endpoint but `/metrics/detailed` begins with, which has those that it is asked for.
pub(super) const NODE_FAMILIES: &[Families] = &[
    Families { detailed: Some("connection_churn_metrics"), families: CHURN },
    Families { detailed: Some("auth_attempt_metrics"), families: LOGINS },
    Families { detailed: Some("node_coarse_metrics"), families: NODE_COARSE },
    Families { detailed: Some("node_metrics"), families: NODE_LIMITS },
    Families { detailed: Some("node_persister_metrics"), families: PERSISTER },
    Families { detailed: None, families: OBJECTS },
    Families { detailed: None, families: GLOBAL },
    Families { detailed: None, families: DEAD_LETTERS },
    Families { detailed: None, families: ALARMS },
    Families { detailed: None, families: OWN },
];

const CHURN: &[Family] = &[
    counter("rabbitmq_connections_opened_total", "Total number of connections opened", |g, s| {
        s.one(g.churn.connections_opened);
    }),
    counter(
        "rabbitmq_connections_closed_total",
        "Total number of connections closed or terminated",
        |g, s| {
            s.one(g.churn.connections_closed);
        },
    ),
    counter("rabbitmq_channels_opened_total", "Total number of channels opened", |g, s| {
        s.one(g.churn.channels_opened);
    }),
    counter("rabbitmq_channels_closed_total", "Total number of channels closed", |g, s| {
        s.one(g.churn.channels_closed);
    }),
    counter("rabbitmq_queues_declared_total", "Total number of queues declared", |g, s| {
        s.one(g.sum.node.connections.counters[ChannelCount::DeclareQueue]);
    }),
    counter("rabbitmq_queues_created_total", "Total number of queues created", |g, s| s.one(g.created)),
    counter("rabbitmq_queues_deleted_total", "Total number of queues deleted", |g, s| s.one(g.deleted)),
];
const LOGINS: &[Family] = &[
    counter("rabbitmq_auth_attempts_total", "Total number of authentication attempts", |g, s| {
        s.one(g.churn.logins_succeeded + g.churn.logins_failed);
    }),
    counter(
        "rabbitmq_auth_attempts_succeeded_total",
        "Total number of successful authentication attempts",
        |g, s| s.one(g.churn.logins_succeeded),
    ),
    counter(
        "rabbitmq_auth_attempts_failed_total",
        "Total number of failed authentication attempts",
        |g, s| {
            s.one(g.churn.logins_failed);
        },
    ),
];
const NODE_COARSE: &[Family] = &[
    gauge("rabbitmq_process_open_fds", "Open file descriptors", |g, s| s.one(g.open_files)),
    gauge("rabbitmq_process_resident_memory_bytes", "Memory used in bytes", |g, s| s.one(g.memory_used)),
    gauge("rabbitmq_disk_space_available_bytes", "Disk space available in bytes", |g, s| s.one(g.disk_free)),
];
const NODE_LIMITS: &[Family] = &[
    gauge("rabbitmq_process_max_fds", "Open file descriptors limit", |g, s| s.one(g.most_files)),
    gauge("rabbitmq_resident_memory_limit_bytes", "Memory high watermark in bytes", |g, s| {
        s.one(g.memory_limit);
    }),
    gauge("rabbitmq_disk_space_available_limit_bytes", "Free disk space low watermark in bytes", |g, s| {
        s.one(g.disk_limit);
    }),
];
const PERSISTER: &[Family] = &[
    counter("rabbitmq_io_read_ops_total", "Total number of I/O read operations", |g, s| {
        s.one(g.store.fetches);
    }),
    counter("rabbitmq_io_write_ops_total", "Total number of I/O write operations", |g, s| {
        s.one(g.store.commits);
    }),
    counter("rabbitmq_io_write_bytes_total", "Total number of I/O bytes written", |g, s| {
        s.one(g.store.bytes);
    }),
    counter("rabbitmq_io_sync_ops_total", "Total number of I/O sync operations", |g, s| {
        s.one(g.store.commits);
    }),
    counter("rabbitmq_io_sync_time_seconds_total", "Total I/O sync time", |g, s| {
        s.one(of_micros(g.store.commit_times.sum));
    }),
    counter("rabbitmq_msg_store_read_total", "Total number of Message Store read operations", |g, s| {
        s.one(g.store.fetched);
    }),
];
const OBJECTS: &[Family] = &[
    gauge("rabbitmq_erlang_uptime_seconds", "Node uptime", |g, s| s.one(of_millis(g.uptime))),
    gauge("rabbitmq_connections", "Connections currently open", |g, s| s.one(g.connections)),
    gauge("rabbitmq_channels", "Channels currently open", |g, s| s.one(g.channels)),
    gauge("rabbitmq_consumers", "Consumers currently connected", |g, s| s.one(g.sum.node.consumers)),
    gauge("rabbitmq_queues", "Queues available", |g, s| s.one(g.queues)),
    gauge(
        "rabbitmq_unreachable_cluster_peers_count",
        "Number of peers in the cluster the current node cannot reach.",
        |_, s| s.one(0),
    ),
];
const GLOBAL: &[Family] = &[
    counter(
        "rabbitmq_global_messages_received_total",
        "Total number of messages received from publishers",
        |g, s| g.of_channels(s, ChannelCount::Publish),
    ),
    counter(
        "rabbitmq_global_messages_received_confirm_total",
        "Total number of messages received from publishers expecting confirmations",
        |g, s| g.of_channels(s, ChannelCount::PublishConfirm),
    ),
    counter(
        "rabbitmq_global_messages_confirmed_total",
        "Total number of messages confirmed to publishers",
        |g, s| g.of_channels(s, ChannelCount::Confirm),
    ),
    counter(
        "rabbitmq_global_messages_routed_total",
        "Total number of messages routed to queues or streams",
        |g, s| g.of_channels(s, ChannelCount::Routed),
    ),
    counter(
        "rabbitmq_global_messages_unroutable_returned_total",
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
        |g, s| g.of_channels(s, ChannelCount::ReturnUnroutable),
    ),
    counter(
        "rabbitmq_global_messages_unroutable_dropped_total",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        |g, s| g.of_channels(s, ChannelCount::DropUnroutable),
    ),
    gauge("rabbitmq_global_publishers", "Publishers currently connected", |g, s| {
        s.labelled(&[PROTOCOL], g.sum.publishers);
    }),
    gauge("rabbitmq_global_consumers", "Consumers currently connected", |g, s| {
        s.labelled(&[PROTOCOL], g.sum.channel_consumers);
    }),
    counter(
        "rabbitmq_global_messages_delivered_total",
        "Total number of messages delivered to consumers",
        |g, s| {
            use QueueCount::{Deliver, DeliverNoAck, Get, GetNoAck};
            g.of_queues(s, &[Deliver, DeliverNoAck, Get, GetNoAck]);
        },
    ),
    counter(
        "rabbitmq_global_messages_delivered_consume_auto_ack_total",
        "Total number of messages delivered to consumers using basic.consume with automatic acknowledgment",
        |g, s| g.of_queues(s, &[QueueCount::DeliverNoAck]),
    ),
    counter(
        "rabbitmq_global_messages_delivered_consume_manual_ack_total",
        "Total number of messages delivered to consumers using basic.consume with manual acknowledgment",
        |g, s| g.of_queues(s, &[QueueCount::Deliver]),
    ),
    counter(
        "rabbitmq_global_messages_delivered_get_auto_ack_total",
        "Total number of messages delivered to consumers using basic.get with automatic acknowledgment",
        |g, s| g.of_queues(s, &[QueueCount::GetNoAck]),
    ),
    counter(
        "rabbitmq_global_messages_delivered_get_manual_ack_total",
        "Total number of messages delivered to consumers using basic.get with manual acknowledgment",
        |g, s| g.of_queues(s, &[QueueCount::Get]),
    ),
    counter(
        "rabbitmq_global_messages_redelivered_total",
        "Total number of messages redelivered to consumers",
        |g, s| g.of_queues(s, &[QueueCount::Redelivered]),
    ),
    counter(
        "rabbitmq_global_messages_acknowledged_total",
        "Total number of message acknowledgements received from consumers",
        |g, s| g.of_queues(s, &[QueueCount::Acked]),
    ),
    counter(
        "rabbitmq_global_messages_get_empty_total",
        "Total number of times basic.get operations fetched no message",
        |g, s| g.of_queues(s, &[QueueCount::GetEmpty]),
    ),
    histogram("rabbitmq_message_size_bytes", "Size of messages received from publishers", |g, s| {
        let sizes = &g.sum.node.connections.sizes;
        s.histogram(&[PROTOCOL], SIZE_LABELS.into_iter().map(str::to_owned), sizes, sizes.sum);
    }),
];
const DEAD_LETTERS: &[Family] = &[
    counter(
        "rabbitmq_global_messages_dead_lettered_expired_total",
        "Total number of messages dead-lettered due to message TTL exceeded",
        |g, s| g.dead_letters(s, QueueCount::Expired, &ALL_STRATEGIES),
    ),
    counter(
        "rabbitmq_global_messages_dead_lettered_rejected_total",
        "Total number of messages dead-lettered due to basic.reject or basic.nack",
        |g, s| g.dead_letters(s, QueueCount::Rejected, &ALL_STRATEGIES),
    ),
    counter(
        "rabbitmq_global_messages_dead_lettered_maxlen_total",
        "Total number of messages dead-lettered due to overflow drop-head or reject-publish-dlx",
        |g, s| {
            use DeadLetterStrategy::{AtMostOnce, Disabled};
            g.dead_letters(s, QueueCount::MaxLength, &[AtMostOnce, Disabled]);
        },
    ),
    counter(
        "rabbitmq_global_messages_dead_lettered_delivery_limit_total",
        "Total number of messages dead-lettered due to delivery-limit exceeded",
        |g, s| g.dead_letters(s, QueueCount::DeliveryLimit, &ALL_STRATEGIES),
    ),
    counter(
        "rabbitmq_global_messages_dead_lettered_confirmed_total",
        "Total number of messages dead-lettered confirmed by target queues",
        |g, s| g.dead_letters(s, QueueCount::DeadLetterConfirmed, &[DeadLetterStrategy::AtLeastOnce]),
    ),
];
const ALARMS: &[Family] = &[
    untyped("rabbitmq_alarms_file_descriptor_limit", "is 1 if the alarm is in effect", |_, s| s.one(0)),
    untyped("rabbitmq_alarms_free_disk_space_watermark", "is 1 if the alarm is in effect", |g, s| {
        s.one(u8::from(g.alarms.disk));
    }),
    untyped("rabbitmq_alarms_memory_used_watermark", "is 1 if the alarm is in effect", |g, s| {
        s.one(u8::from(g.alarms.memory));
    }),
];
const OWN: &[Family] = &[
    histogram(
        "leveret_fsync_duration_seconds",
        "How long the fsyncs of the write-ahead log took, by which commits become durable",
        |g, s| disk_times(s, &g.store.fsync_times),
    ),
    histogram(
        "leveret_commit_duration_seconds",
        "How long the turns of the store took that made messages durable, their fsync included",
        |g, s| disk_times(s, &g.store.commit_times),
    ),
    counter("leveret_commit_bytes_total", "Bytes of messages and operations that were committed", |g, s| {
        s.one(g.store.bytes);
    }),
    gauge(
        "leveret_log_bytes",
        "Bytes of the write-ahead log that hold records, those included that the journal has too",
        |g, s| s.one(g.store.log_bytes),
    ),
    gauge("leveret_journal_bytes", "Bytes of the files of the journal", |g, s| s.one(g.journal.1)),
    gauge("leveret_journal_files", "Files of the journal", |g, s| s.one(g.journal.0)),
    histogram(
        "leveret_delivery_wait_seconds",
        "How long messages waited in queues for their first delivery, by shard; not of those that were there at the start",
        |g, s| {
            for (shard, waits) in g.sum.waits.iter().enumerate() {
                let bounds = WAIT_BOUNDS.iter().map(|&millis| format!("{:?}", of_millis(millis)));
                s.histogram(&[("shard", &shard.to_string())], bounds, waits, of_millis(waits.sum));
            }
        },
    ),
    counter(
        "leveret_dead_letters_total",
        "Messages that became dead letters, or would have where their queue has a target for these",
        |g, s| {
            let mut all = g.of_type(CLASSIC);
            all += &g.of_type(QUORUM);
            for (reason, count) in [
                ("expired", QueueCount::Expired),
                ("maxlen", QueueCount::MaxLength),
                ("rejected", QueueCount::Rejected),
                ("delivery_limit", QueueCount::DeliveryLimit),
            ] {
                s.labelled(&[("reason", reason)], all[count]);
            }
        },
    ),
    gauge("leveret_blocked_publishers", "Connections that alarms block", |g, s| s.one(g.sum.blocked)),
];

const PROTOCOL: (&str, &str) = ("protocol", "amqp091");
const ALL_STRATEGIES: [DeadLetterStrategy; 3] =
    [DeadLetterStrategy::AtMostOnce, DeadLetterStrategy::AtLeastOnce, DeadLetterStrategy::Disabled];

fn disk_times(samples: &mut Samples<'_>, times: &DiskTimes) {
    let bounds = DISK_BOUNDS.iter().map(|&micros| format!("{:?}", of_micros(micros)));
    samples.histogram(&[], bounds, times, of_micros(times.sum));
}

impl Global<'_> {
    /// What `/metrics` and `/metrics/per-object` begin with.
    pub(super) fn write(&self, text: &mut Text) {
        for family in NODE_FAMILIES.iter().flat_map(|families| families.families) {
            self.write_family(text, family, family.name);
        }
    }

    /// Those of these that `/metrics/detailed` is asked for.
    pub(super) fn write_detailed(&self, text: &mut Text, wants: impl Fn(&'static str) -> bool) {
        for Families { detailed, families } in NODE_FAMILIES {
            for family in families.iter().filter(|_| detailed.is_some_and(&wants)) {
                self.write_family(text, family, &family.name.replacen("rabbitmq_", DETAILED, 1));
            }
        }
    }

    fn write_family(&self, text: &mut Text, family: &Family, name: &str) {
        text.family(name, family.kind, family.help);
        (family.write)(self, &mut Samples { text, name });
    }

    fn of_channels(&self, samples: &mut Samples<'_>, count: ChannelCount) {
        samples.labelled(&[PROTOCOL], self.sum.node.connections.counters[count]);
    }

    /// What all queues of a type have counted.
    fn of_type(&self, queue_type: &str) -> QueueCounters {
        let mut sum = QueueCounters::default();
        let kinds = self.sum.kinds.iter().filter(|((kind, _), _)| *kind == queue_type);
        kinds.for_each(|(_, counters)| sum += counters);
        sum
    }

    fn of_queues(&self, samples: &mut Samples<'_>, counts: &[QueueCount]) {
        for queue_type in [CLASSIC, QUORUM] {
            let counters = self.of_type(queue_type);
            let sum: u64 = counts.iter().map(|count| counters[*count]).sum();
            samples.labelled(&[PROTOCOL, ("queue_type", queue_type)], sum);
        }
    }

    fn dead_letters(&self, samples: &mut Samples<'_>, count: QueueCount, strategies: &[DeadLetterStrategy]) {
        for queue_type in [CLASSIC, QUORUM] {
            for strategy in strategies {
                let counters = self.sum.kinds.get(&(queue_type, *strategy));
                let value = counters.map_or(0, |counters| counters[count]);
                let strategy = match strategy {
                    DeadLetterStrategy::Disabled => "disabled",
                    DeadLetterStrategy::AtMostOnce => "at_most_once",
                    DeadLetterStrategy::AtLeastOnce => "at_least_once",
                };
                samples.labelled(&[("queue_type", queue_type), ("dead_letter_strategy", strategy)], value);
            }
        }
    }
}

/// What names begin with in `/metrics/detailed`.
pub(super) const DETAILED: &str = "rabbitmq_detailed_";

/// Which broker this is.
pub(super) fn identity(text: &mut Text, endpoint: &str, identity: &str) {
    text.family("rabbitmq_build_info", Kind::Untyped, "RabbitMQ & Erlang/OTP version info");
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
    text.family("rabbitmq_identity_info", Kind::Untyped, "RabbitMQ node & cluster identity info");
    let labels = [
        ("rabbitmq_node", NODE),
        ("rabbitmq_cluster", NODE),
        ("rabbitmq_cluster_permanent_id", identity),
        ("rabbitmq_endpoint", endpoint),
    ];
    text.sample("rabbitmq_identity_info", &labels, 1);
}
