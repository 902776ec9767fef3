//! Listings of connections, and of their channels and consumers, which the connections themselves tell of: some connections
//! at a time are asked, and the others wait until these are listed.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::json::from_table;
use super::listing_body::{Items, Next};
use super::rates::{self, Windows};
use super::samples::Thing;
use super::stats;
use super::totals::Samples;
use crate::catalog::clients::{Client, Clients};
use crate::catalog::view::View;
use crate::model::ids::{ChannelNumber, ConnectionId, ConsumerKey, Name, QueueRef, Timestamp};
use crate::model::names::NODE;
use crate::model::question::{
    ChannelCounts, ConnectionAnswer, ConnectionCounts, ConnectionQuestion, ConsumerDescription, QueueCounts,
};

/// Connections that are asked together: each may tell of as many channels or consumers as a turn has time for.
const TOGETHER: usize = 64;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connections,
    Channels,
    Consumers,
}

/// What descriptions are made with.
#[derive(Clone)]
pub(super) struct Describer {
    pub(super) clients: Arc<Clients>,
    pub(super) samples: Arc<Samples>,
    pub(super) windows: Windows,
    pub(super) now: Timestamp,
}

pub(super) struct OfConnections {
    describer: Describer,
    kind: Kind,
    left: VecDeque<(ConnectionId, ConnectionQuestion)>,
    asked: Vec<ConnectionId>,
    items: VecDeque<Value>,
    /// Of which it is not known yet whether they are active.
    consumers: Vec<(ConnectionId, ConsumerDescription)>,
}

impl OfConnections {
    pub(super) fn new(describer: Describer, kind: Kind, connections: Vec<ConnectionId>) -> OfConnections {
        let question = match kind {
            Kind::Connections => ConnectionQuestion::Totals,
            Kind::Channels => ConnectionQuestion::Channels { after: None },
            Kind::Consumers => ConnectionQuestion::Consumers { of: None, after: None },
        };
        let left = connections.into_iter().map(|id| (id, question.clone())).collect();
        let (asked, items, consumers) = Default::default();
        OfConnections { describer, kind, left, asked, items, consumers }
    }

    fn queues(&self) -> Vec<QueueRef> {
        self.consumers.iter().filter_map(|(_, consumer)| consumer.queue).collect()
    }

    fn take_in(&mut self, id: ConnectionId, answer: ConnectionAnswer) {
        let Some(client) = self.describer.clients.get(id) else { return };
        match answer {
            ConnectionAnswer::Totals(counts) => {
                self.items.push_back(self.describer.connection(id, &client, Some(&counts)));
            }
            ConnectionAnswer::Channels { channels, is_all } => {
                if let Some(last) = channels.last().filter(|_| !is_all) {
                    self.left.push_front((id, ConnectionQuestion::Channels { after: Some(last.number) }));
                }
                let described = channels.iter().map(|channel| self.describer.channel(id, &client, channel));
                self.items.extend(described);
            }
            ConnectionAnswer::Consumers { consumers, is_all } => {
                if let Some(last) = consumers.last().filter(|_| !is_all) {
                    let after = Some((last.channel, last.tag.clone()));
                    self.left.push_front((id, ConnectionQuestion::Consumers { of: None, after }));
                }
                self.consumers.extend(consumers.into_iter().map(|consumer| (id, consumer)));
            }
        }
    }
}

impl Items for OfConnections {
    fn next(&mut self, _view: &View) -> Next {
        if let Some(item) = self.items.pop_front() {
            return Next::Item(item);
        }
        if !self.consumers.is_empty() {
            return Next::Ask(self.queues());
        }
        if self.left.is_empty() {
            return Next::End;
        }
        let asked: Vec<_> = self.left.drain(..self.left.len().min(TOGETHER)).collect();
        self.asked = asked.iter().map(|(id, _)| *id).collect();
        Next::AskConnections(asked)
    }

    fn answered(&mut self, counts: Vec<Option<QueueCounts>>) {
        let mut counts = counts.into_iter();
        for (id, consumer) in std::mem::take(&mut self.consumers) {
            let queue = consumer.queue.and_then(|_| counts.next().flatten());
            let Some(client) = self.describer.clients.get(id) else { continue };
            let active = queue.and_then(|queue| queue.active);
            self.items.push_back(self.describer.consumer(id, &client, &consumer, active));
        }
    }

    fn connections_answered(&mut self, answers: Vec<Option<ConnectionAnswer>>) {
        for (id, answer) in std::mem::take(&mut self.asked).into_iter().zip(answers) {
            match answer {
                Some(answer) => self.take_in(id, answer),
                // It is listed, and about to open or to close.
                None if self.kind == Kind::Connections => {
                    if let Some(client) = self.describer.clients.get(id) {
                        self.items.push_back(self.describer.connection(id, &client, None));
                    }
                }
                None => {}
            }
        }
    }
}

/// The addresses of a connection's name.
pub(super) fn ends(name: &str) -> [Option<(String, u16)>; 2] {
    let ends = name.split_once(" -> ");
    [ends.map(|(peer, _)| peer), ends.map(|(_, own)| own)].map(|end| {
        let address: std::net::SocketAddr = end?.parse().ok()?;
        Some((address.ip().to_string(), address.port()))
    })
}

/// The channel of a connection, as RabbitMQ calls it.
pub(super) fn channel_name(client: &Client, number: ChannelNumber) -> String {
    format!("{} ({number})", client.name)
}

impl Describer {
    pub(super) fn of(call: &Call<'_>) -> Describer {
        Describer {
            clients: Arc::clone(call.clients()),
            samples: Arc::clone(&call.context.samples),
            windows: Windows::read(call.query),
            now: call.context.administrator.facts().now(),
        }
    }

    pub(super) fn connection(
        &self,
        id: ConnectionId,
        client: &Client,
        counts: Option<&ConnectionCounts>,
    ) -> Value {
        let introduction = &client.introduction;
        let properties = from_table(&introduction.properties);
        let mut described = json!({
            "name": *client.name,
            "user": *client.user,
            "user_who_performed_action": *client.user,
            "vhost": *client.vhost,
            "node": NODE,
            "channels": client.channels,
            "connected_at": client.connected_at.0,
            "protocol": "AMQP 0-9-1",
            "type": "network",
            "state": if counts.is_some_and(|counts| counts.is_blocked) { "blocked" } else { "running" },
            "auth_mechanism": *client.mechanism,
            "channel_max": introduction.channel_max,
            "frame_max": introduction.frame_max,
            "timeout": introduction.heartbeat_seconds,
            "ssl": false,
            "ssl_protocol": null,
            "ssl_key_exchange": null,
            "ssl_cipher": null,
            "ssl_hash": null,
            "peer_cert_subject": null,
            "peer_cert_issuer": null,
            "peer_cert_validity": null,
            "peer_cert_serial_number": null,
            "garbage_collection": stats::no_garbage_collection(),
        });
        if let Some(Value::String(name)) = properties.get("connection_name") {
            described["user_provided_name"] = name.as_str().into();
        }
        described["client_properties"] = properties;
        let [peer, own] = ends(&client.name);
        for (end, host, port) in [(peer, "peer_host", "peer_port"), (own, "host", "port")] {
            if let Some((address, number)) = end {
                described[host] = address.into();
                described[port] = number.into();
            }
        }
        if let (Some(counts), Value::Object(described)) = (counts, &mut described) {
            let traffic = counts.totals.traffic;
            let values = stats::traffic(&traffic);
            let row = self.windows.wants_row();
            let rates = self.samples.thing(self.now, Thing::Connection(id), &values, row);
            rates::write(described, &stats::TRAFFIC, &values, 0, rates.as_ref(), self.windows.data);
            described.insert("recv_cnt".to_owned(), traffic.reads.into());
            described.insert("send_cnt".to_owned(), traffic.writes.into());
            described.insert("send_pend".to_owned(), counts.pending.into());
            stats::no_reductions(described, rates.is_some(), self.windows.data.is_some());
        }
        described
    }

    pub(super) fn channel(&self, id: ConnectionId, client: &Client, counts: &ChannelCounts) -> Value {
        let values = stats::of_channel(&counts.counters);
        let thing = Thing::Channel(id, counts.number);
        let rates = self.samples.thing(self.now, thing, &values, self.windows.wants_row());
        let mut described = json!({
            "name": channel_name(client, counts.number),
            "number": counts.number,
            "user": *client.user,
            "user_who_performed_action": *client.user,
            "vhost": *client.vhost,
            "node": NODE,
            "state": "running",
            "connection_details": connection_details(client),
            "confirm": counts.confirms,
            "transactional": counts.is_transactional,
            "consumer_count": counts.consumers,
            "messages_unacknowledged": counts.unacked,
            "messages_unconfirmed": counts.unconfirmed,
            "messages_uncommitted": counts.uncommitted,
            "acks_uncommitted": counts.acks_uncommitted,
            "prefetch_count": counts.prefetch,
            "global_prefetch_count": counts.shared_prefetch,
            "pending_raft_commands": 0,
            "cached_segments": 0,
            "garbage_collection": stats::no_garbage_collection(),
            "message_stats": stats::of_channels(&values, 0, rates.as_ref(), self.windows.messages),
        });
        if let Value::Object(described) = &mut described {
            stats::no_reductions(described, rates.is_some(), false);
        }
        described
    }

    /// `active`: who gets everything in a queue where one does.
    pub(super) fn consumer(
        &self,
        id: ConnectionId,
        client: &Client,
        consumer: &ConsumerDescription,
        active: Option<ConsumerKey>,
    ) -> Value {
        let key = ConsumerKey { connection: id, number: consumer.number };
        let is_active = active.is_none_or(|active| active == key);
        let mut channel_details = connection_details(client);
        channel_details["connection_name"] = channel_details["name"].take();
        channel_details["name"] = channel_name(client, consumer.channel).into();
        channel_details["number"] = consumer.channel.into();
        channel_details["node"] = NODE.into();
        channel_details["user"] = (*client.user).into();
        json!({
            "arguments": from_table(&consumer.arguments),
            "ack_required": !consumer.no_ack,
            "active": is_active,
            "activity_status": if is_active { "up" } else { "waiting" },
            "channel_details": channel_details,
            "consumer_tag": *consumer.tag,
            "consumer_timeout": consumer.timeout.unwrap_or(0),
            "exclusive": consumer.exclusive,
            "prefetch_count": consumer.prefetch,
            "queue": {"name": *consumer.queue_name, "vhost": *client.vhost},
        })
    }
}

/// What of a connection is told where something else is described.
pub(super) fn connection_details(client: &Client) -> Value {
    let [peer, _] = ends(&client.name);
    let (host, port) = peer.unwrap_or_default();
    json!({"name": *client.name, "peer_host": host, "peer_port": port})
}

/// What a channel published to each exchange, and what its consumers got of each queue.
pub(super) fn by_exchange_and_queue(
    counts: &ChannelCounts,
    vhost: &Name,
    consumers: &[ConsumerDescription],
) -> (Value, Value) {
    let publishes = counts.exchanges.iter().map(|(exchange, count)| {
        json!({
            "exchange": {"name": **exchange, "vhost": **vhost},
            "stats": {"publish": count.published},
        })
    });
    let deliveries = consumers.iter().map(|consumer| delivery(consumer, vhost, json!({})));
    (publishes.collect(), deliveries.collect())
}

/// What a consumer got of its queue, with what else there is to be said of it.
pub(super) fn delivery(consumer: &ConsumerDescription, vhost: &Name, rest: Value) -> Value {
    let counts = consumer.counts;
    let (acked, not) = if consumer.no_ack { (0, counts.delivered) } else { (counts.delivered, 0) };
    let mut described: Map<String, Value> = match rest {
        Value::Object(rest) => rest,
        _ => Map::new(),
    };
    described.insert("queue".to_owned(), json!({"name": *consumer.queue_name, "vhost": **vhost}));
    described.insert(
        "stats".to_owned(),
        json!({
            "deliver": acked,
            "deliver_no_ack": not,
            "deliver_get": counts.delivered,
            "get": 0,
            "get_no_ack": 0,
            "ack": counts.acked,
            "redeliver": counts.redelivered,
        }),
    );
    Value::Object(described)
}
