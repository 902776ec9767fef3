//! Metrics of single queues, exchanges, connections and channels. A text of them is as long as there are, so nobody is given one who
//! does not ask for it.

use std::collections::HashSet;

use super::metrics::Text;
use super::page;
use super::queue_json::lengths;
use super::stats;
use super::totals::Sum;
use crate::model::administration::AdministrationError;
use crate::model::counters::{ChannelCount, QueueCount};
use crate::model::ids::{ConnectionId, Name, QueueRef};
use crate::model::question::{
    ChannelCounts, ConnectionAnswer, ConnectionCounts, ConnectionQuestion, QueueCounts,
};
use crate::server::Administrator;

/// Connections that are asked together.
const TOGETHER: usize = 64;

/// Families and vhosts that a query asks for; no vhosts: all.
#[derive(Debug)]
pub(super) struct Wanted {
    families: Option<HashSet<String>>,
    vhosts: Option<HashSet<String>>,
}

impl Wanted {
    pub(super) fn all() -> Wanted {
        Wanted { families: None, vhosts: None }
    }

    /// Both may be given several times.
    pub(super) fn read(query: Option<&str>) -> Wanted {
        let query = query.unwrap_or_default();
        let vhosts: HashSet<String> = page::values(query, "vhost").collect();
        Wanted {
            families: Some(page::values(query, "family").collect()),
            vhosts: Some(vhosts).filter(|vhosts| !vhosts.is_empty()),
        }
    }

    fn wants(&self, families: &[&str]) -> bool {
        let is_wanted = |wanted: &HashSet<String>| families.iter().any(|family| wanted.contains(*family));
        self.families.as_ref().is_none_or(is_wanted)
    }

    fn wants_vhost(&self, vhost: &str) -> bool {
        self.vhosts.as_ref().is_none_or(|vhosts| vhosts.contains(vhost))
    }
}

/// A metric of an object of this kind: name, type, help, value.
type Metric<T> = (&'static str, &'static str, &'static str, fn(&T) -> u64);

/// The sums over all queues that stand among what is aggregated.
pub(super) fn write_sums(text: &mut Text, sum: &Sum) {
    let node = &sum.node;
    for (name, help, value) in [
        ("rabbitmq_queue_messages_ready", "Messages ready to be delivered to consumers", node.ready),
        (
            "rabbitmq_queue_messages_unacked",
            "Messages delivered to consumers but not yet acknowledged",
            node.unacked,
        ),
        (
            "rabbitmq_queue_messages",
            "Sum of ready and unacknowledged messages - total queue depth",
            node.ready + node.unacked,
        ),
        ("rabbitmq_queue_consumers", "Consumers on a queue", node.consumers),
    ] {
        text.family(name, "gauge", help);
        text.sample(name, &[], value);
    }
}

const QUEUE: &[Metric<QueueCounts>] = &[
    ("queue_messages_ready", "gauge", "Messages ready to be delivered to consumers", |q| q.ready),
    ("queue_messages_unacked", "gauge", "Messages delivered to consumers but not yet acknowledged", |q| {
        q.unacked
    }),
    ("queue_messages", "gauge", "Sum of ready and unacknowledged messages - total queue depth", |q| {
        lengths(q, false)[0]
    }),
];
const QUEUE_CONSUMERS: &[Metric<QueueCounts>] =
    &[("queue_consumers", "gauge", "Consumers on a queue", |q| u64::from(q.consumers))];
const QUEUE_SIZES: &[Metric<QueueCounts>] = &[
    ("queue_consumer_capacity", "gauge", "Consumer capacity", |q| u64::from(q.consumers > 0 && q.serves)),
    ("queue_consumer_utilisation", "gauge", "Same as consumer capacity", |q| {
        u64::from(q.consumers > 0 && q.serves)
    }),
    ("queue_process_memory_bytes", "gauge", "Memory in bytes used by the queue", |q| q.memory_bytes),
    ("queue_messages_ram", "gauge", "Ready and unacknowledged messages stored in memory", |q| {
        q.ready_in_memory + q.unacked_in_memory
    }),
    (
        "queue_messages_ram_bytes",
        "gauge",
        "Size of ready and unacknowledged messages stored in memory",
        |q| q.bytes_in_memory,
    ),
    ("queue_messages_ready_ram", "gauge", "Ready messages stored in memory", |q| q.ready_in_memory),
    ("queue_messages_unacked_ram", "gauge", "Unacknowledged messages stored in memory", |q| {
        q.unacked_in_memory
    }),
    ("queue_messages_persistent", "gauge", "Persistent messages", |q| q.stored),
    ("queue_messages_persistent_bytes", "gauge", "Size in bytes of persistent messages", |q| q.stored_bytes),
    ("queue_messages_bytes", "gauge", "Size in bytes of ready and unacknowledged messages", |q| {
        q.ready_bytes + q.unacked_bytes
    }),
    ("queue_messages_ready_bytes", "gauge", "Size in bytes of ready messages", |q| q.ready_bytes),
    ("queue_messages_unacked_bytes", "gauge", "Size in bytes of all unacknowledged messages", |q| {
        q.unacked_bytes
    }),
    ("queue_head_message_timestamp", "gauge", "Timestamp of the first message in the queue, if any", |q| {
        q.head_timestamp.unwrap_or(0)
    }),
];
const QUEUE_DELIVERIES: &[Metric<QueueCounts>] = &[
    (
        "queue_get_ack_total",
        "counter",
        "Total number of messages fetched from a queue with basic.get in manual acknowledgement mode",
        |q| q.counters[QueueCount::Get],
    ),
    (
        "queue_get_total",
        "counter",
        "Total number of messages fetched from a queue with basic.get in automatic acknowledgement mode",
        |q| q.counters[QueueCount::GetNoAck],
    ),
    (
        "queue_messages_delivered_ack_total",
        "counter",
        "Total number of messages delivered from a queue to consumers in manual acknowledgement mode",
        |q| q.counters[QueueCount::Deliver],
    ),
    (
        "queue_messages_delivered_total",
        "counter",
        "Total number of messages delivered from a queue to consumers in automatic acknowledgement mode",
        |q| q.counters[QueueCount::DeliverNoAck],
    ),
    (
        "queue_messages_redelivered_total",
        "counter",
        "Total number of messages redelivered from a queue to consumers",
        |q| q.counters[QueueCount::Redelivered],
    ),
    (
        "queue_messages_acked_total",
        "counter",
        "Total number of messages acknowledged by consumers on a queue",
        |q| q.counters[QueueCount::Acked],
    ),
    (
        "queue_get_empty_total",
        "counter",
        "Total number of times basic.get operations fetched no message on a queue",
        |q| q.counters[QueueCount::GetEmpty],
    ),
    ("queue_messages_published_total", "counter", "Total number of messages published into a queue", |q| {
        q.counters[QueueCount::Published]
    }),
];

const CHANNEL: &[Metric<ChannelCounts>] = &[
    ("channel_consumers", "gauge", "Consumers on a channel", |c| c.consumers),
    ("channel_messages_unacked", "gauge", "Delivered but not yet acknowledged messages", |c| c.unacked),
    ("channel_messages_unconfirmed", "gauge", "Published but not yet confirmed messages", |c| c.unconfirmed),
    (
        "channel_messages_uncommitted",
        "gauge",
        "Messages received in a transaction but not yet committed",
        |c| c.uncommitted,
    ),
    (
        "channel_acks_uncommitted",
        "gauge",
        "Message acknowledgements in a transaction not yet committed",
        |c| c.acks_uncommitted,
    ),
    ("consumer_prefetch", "gauge", "Limit of unacknowledged messages for each consumer", |c| {
        u64::from(c.prefetch)
    }),
    (
        "channel_prefetch",
        "gauge",
        "Total limit of unacknowledged messages for all consumers on a channel",
        |c| c.shared_prefetch,
    ),
    (
        "channel_messages_published_total",
        "counter",
        "Total number of messages published into an exchange on a channel",
        |c| c.counters[ChannelCount::Publish],
    ),
    (
        "channel_messages_confirmed_total",
        "counter",
        "Total number of messages published into an exchange and confirmed on the channel",
        |c| c.counters[ChannelCount::Confirm],
    ),
    (
        "channel_messages_unroutable_returned_total",
        "counter",
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
        |c| c.counters[ChannelCount::ReturnUnroutable],
    ),
    (
        "channel_messages_unroutable_dropped_total",
        "counter",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        |c| c.counters[ChannelCount::DropUnroutable],
    ),
    (
        "channel_get_ack_total",
        "counter",
        "Total number of messages fetched with basic.get in manual acknowledgement mode",
        |c| c.counters[ChannelCount::Get],
    ),
    (
        "channel_get_total",
        "counter",
        "Total number of messages fetched with basic.get in automatic acknowledgement mode",
        |c| c.counters[ChannelCount::GetNoAck],
    ),
    (
        "channel_messages_delivered_ack_total",
        "counter",
        "Total number of messages delivered to consumers in manual acknowledgement mode",
        |c| c.counters[ChannelCount::Deliver],
    ),
    (
        "channel_messages_delivered_total",
        "counter",
        "Total number of messages delivered to consumers in automatic acknowledgement mode",
        |c| c.counters[ChannelCount::DeliverNoAck],
    ),
    (
        "channel_messages_redelivered_total",
        "counter",
        "Total number of messages redelivered to consumers",
        |c| c.counters[ChannelCount::Redelivered],
    ),
    ("channel_messages_acked_total", "counter", "Total number of messages acknowledged by consumers", |c| {
        c.counters[ChannelCount::Acked]
    }),
    (
        "channel_get_empty_total",
        "counter",
        "Total number of times basic.get operations fetched no message",
        |c| c.counters[ChannelCount::GetEmpty],
    ),
];

const CONNECTION: &[Metric<ConnectionCounts>] = &[
    ("connection_incoming_bytes_total", "counter", "Total number of bytes received on a connection", |c| {
        stats::traffic(&c.totals.traffic)[0]
    }),
    ("connection_outgoing_bytes_total", "counter", "Total number of bytes sent on a connection", |c| {
        stats::traffic(&c.totals.traffic)[1]
    }),
    (
        "connection_incoming_packets_total",
        "counter",
        "Total number of packets received on a connection",
        |c| c.totals.traffic.reads,
    ),
    ("connection_outgoing_packets_total", "counter", "Total number of packets sent on a connection", |c| {
        c.totals.traffic.writes
    }),
    ("connection_pending_packets", "gauge", "Number of packets waiting to be sent on a connection", |c| {
        c.pending
    }),
];

/// What is known of every object that is wanted.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// With their vhosts and names.
    queues: Vec<(Name, Name, QueueCounts)>,
    /// With their names and how many channels they have.
    connections: Vec<(Name, u64, Box<ConnectionCounts>)>,
    channels: Vec<(String, ChannelCounts)>,
    /// Where the queues are, until they have been asked about.
    asked: Vec<QueueRef>,
}

/// Queues and connections that are wanted, to be asked about.
struct Asked {
    queues: Vec<(Name, Name, QueueRef)>,
    connections: Vec<(ConnectionId, Name, u64)>,
    wants_channels: bool,
}

impl Wanted {
    /// The metrics of queues.
    fn of_queues(&self) -> Vec<&'static [Metric<QueueCounts>]> {
        let mut metrics: Vec<&'static [Metric<QueueCounts>]> = Vec::new();
        if self.wants(&["queue_coarse_metrics"]) {
            metrics.push(QUEUE);
        }
        if self.wants(&["queue_consumer_count", "queue_metrics"]) {
            metrics.push(QUEUE_CONSUMERS);
        }
        if self.wants(&["queue_metrics"]) {
            metrics.push(QUEUE_SIZES);
        }
        if self.wants(&["queue_delivery_metrics", "channel_queue_metrics"]) {
            metrics.push(QUEUE_DELIVERIES);
        }
        metrics
    }

    fn wants_connections(&self) -> bool {
        self.wants(&["connection_coarse_metrics", "connection_metrics"])
    }

    fn wants_channels(&self) -> bool {
        self.wants(&["channel_metrics", "channel_queue_metrics", "channel_exchange_metrics"])
    }

    fn asked(&self, administrator: &Administrator) -> Asked {
        let mut queues: Vec<(Name, Name, QueueRef)> = Vec::new();
        if !self.of_queues().is_empty() {
            let state = administrator.view().read();
            let wanted = state.queues().filter(|queue| self.wants_vhost(&queue.label.vhost));
            queues
                .extend(wanted.map(|queue| (queue.label.vhost.clone(), queue.label.name.clone(), queue.at)));
        }
        let mut connections = Vec::new();
        if self.wants_connections() || self.wants_channels() {
            let clients = administrator.clients();
            for id in clients.those(|client| self.wants_vhost(&client.vhost)) {
                connections.extend(clients.get(id).map(|client| (id, client.name, client.channels)));
            }
        }
        Asked { queues, connections, wants_channels: self.wants_channels() }
    }

    /// Asks about every object that is wanted, some at a time.
    pub(super) async fn ask(&self, administrator: &Administrator) -> Result<Objects, AdministrationError> {
        let Asked { queues, connections, wants_channels } = self.asked(administrator);
        let mut objects = Objects::default();
        for (vhost, name, at) in queues {
            objects.queues.push((vhost, name, QueueCounts::default()));
            objects.asked.push(at);
        }
        objects.ask_queues(administrator).await?;
        objects.ask_connections(administrator, connections, wants_channels).await?;
        Ok(objects)
    }
}

impl Objects {
    async fn ask_queues(&mut self, administrator: &Administrator) -> Result<(), AdministrationError> {
        let asked = std::mem::take(&mut self.asked);
        let counts = administrator.counts(&asked).await?;
        let mut counts = counts.into_iter();
        self.queues.retain_mut(|(_, _, known)| match counts.next().flatten() {
            Some(counts) => {
                *known = counts;
                true
            }
            None => false,
        });
        self.queues.sort_unstable_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        Ok(())
    }

    async fn ask_connections(
        &mut self,
        administrator: &Administrator,
        connections: Vec<(ConnectionId, Name, u64)>,
        wants_channels: bool,
    ) -> Result<(), AdministrationError> {
        let asked = connections.iter().map(|(id, _, _)| (*id, ConnectionQuestion::Totals)).collect();
        let answers = administrator.ask_connections(asked).await?;
        let mut left = Vec::new();
        for ((id, name, channels), answer) in connections.into_iter().zip(answers) {
            if let Some(ConnectionAnswer::Totals(counts)) = answer {
                self.connections.push((name.clone(), channels, counts));
                left.push((id, name, ConnectionQuestion::Channels { after: None }));
            }
        }
        while wants_channels && !left.is_empty() {
            let some: Vec<_> = left.split_off(left.len().saturating_sub(TOGETHER));
            let asked = some.iter().map(|(id, _, question)| (*id, question.clone())).collect();
            let answers = administrator.ask_connections(asked).await?;
            for ((id, name, _), answer) in some.into_iter().zip(answers) {
                let Some(ConnectionAnswer::Channels { channels, is_all }) = answer else { continue };
                if let Some(last) = channels.last().filter(|_| !is_all) {
                    let question = ConnectionQuestion::Channels { after: Some(last.number) };
                    left.push((id, name.clone(), question));
                }
                for counts in channels {
                    self.channels.push((format!("{name} ({})", counts.number), counts));
                }
            }
        }
        Ok(())
    }

    /// Writes all of it, which takes a while where it is much.
    pub(super) fn write(&self, text: &mut Text, sum: &Sum, wanted: &Wanted, endpoint: &str) {
        let prefix = if endpoint == "detailed" { "rabbitmq_detailed_" } else { "rabbitmq_" };
        for (name, kind, help, value) in wanted.of_queues().into_iter().flatten() {
            let name = format!("{prefix}{name}");
            text.family(&name, kind, help);
            for (vhost, queue, counts) in &self.queues {
                text.sample(&name, &[("vhost", vhost), ("queue", queue)], value(counts));
            }
        }
        if wanted.wants(&["channel_exchange_metrics", "exchange_metrics"]) {
            write_exchanges(text, sum, wanted, prefix);
        }
        if wanted.wants_connections() {
            for (name, kind, help, value) in CONNECTION {
                let name = format!("{prefix}{name}");
                text.family(&name, kind, help);
                for (connection, _, counts) in &self.connections {
                    text.sample(&name, &[("connection", connection)], value(counts));
                }
            }
            let name = format!("{prefix}connection_channels");
            text.family(&name, "gauge", "Channels on a connection");
            for (connection, channels, _) in &self.connections {
                text.sample(&name, &[("connection", connection)], channels);
            }
        }
        if wanted.wants_channels() {
            for (name, kind, help, value) in CHANNEL {
                let name = format!("{prefix}{name}");
                text.family(&name, kind, help);
                for (channel, counts) in &self.channels {
                    text.sample(&name, &[("channel", channel)], value(counts));
                }
            }
        }
    }
}

fn write_exchanges(text: &mut Text, sum: &Sum, wanted: &Wanted, prefix: &str) {
    let name = format!("{prefix}exchange_messages_published_total");
    text.family(&name, "counter", "Total number of messages published into an exchange on a channel");
    for ((vhost, exchange), count) in sum.exchanges.iter().filter(|((vhost, _), _)| wanted.wants_vhost(vhost))
    {
        text.sample(&name, &[("vhost", vhost), ("exchange", exchange)], count.published);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_families_and_vhosts_each_as_often_as_it_likes() {
        let wanted = Wanted::read(Some("family=queue_coarse_metrics&vhost=%2F&vhost=a&family=x"));
        assert!(
            wanted.wants(&["x"]) && wanted.wants(&["queue_coarse_metrics", "y"]) && !wanted.wants(&["y"])
        );
        assert!(wanted.wants_vhost("/") && wanted.wants_vhost("a") && !wanted.wants_vhost("b"));
        assert!(!Wanted::read(None).wants(&["x"]) && Wanted::read(None).wants_vhost("b"));
    }
}
