//! What happens to a connection, its channels and consumers, for those who are bound to the event exchange (semantics
//! 19.2). RabbitMQ tells them apart by the ids of processes; here a name stands where it has one, the same in all events.

use leveret_codec::table::AMQPValue;

use super::Port;
use crate::catalog::arguments::without_line_ends;
use crate::catalog::events::{self, ACTOR, Event, Fields, arguments, characters, number, text};
use crate::model::consuming::NewConsumer;
use crate::model::ids::{ChannelNumber, Name, Timestamp};
use crate::model::names::NODE;
use crate::model::peer::host_tuple;

/// What is said of encryption, of which there is none.
const OF_TLS: [&str; 8] = [
    "ssl_protocol",
    "ssl_key_exchange",
    "ssl_cipher",
    "ssl_hash",
    "peer_cert_subject",
    "peer_cert_issuer",
    "peer_cert_validity",
    "peer_cert_serial_number",
];

impl Port {
    /// `fields` are asked for where somebody is subscribed.
    fn publish_event(&mut self, now: Timestamp, key: &'static str, fields: impl FnOnce(&Port) -> Fields) {
        let state = self.view.read();
        if !events::is_subscribed(&state) {
            return;
        }
        let commands =
            events::publish_event(&state, self.view.wall_time(now), Event { key, fields: fields(self) });
        drop(state);
        for (shard, command) in commands {
            self.outgoing.push(shard, command);
        }
    }

    /// A login went well, or was refused for this reason. One that could not be read names no user.
    pub(super) fn publish_login(
        &mut self,
        now: Timestamp,
        mechanism: &str,
        user: Option<&str>,
        refused: Option<&str>,
    ) {
        let key = match refused {
            None => "user.authentication.success",
            Some(_) => "user.authentication.failure",
        };
        self.publish_event(now, key, |port| {
            let mut fields = vec![
                ("connection_type", text("network")),
                ("auth_mechanism", text(mechanism)),
                ("connection_name", text(&*port.name)),
            ];
            fields.extend(user.map(|user| ("name", text(user))));
            port.add_ends(&mut fields);
            fields.extend(refused.map(|reason| ("error", characters(reason))));
            fields
        });
    }

    pub(super) fn publish_connection_created(&mut self, now: Timestamp) {
        let wall = self.view.wall_time(now);
        self.publish_event(now, "connection.created", |port| {
            let mut fields = port.described();
            port.add_client(&mut fields);
            port.add_ends(&mut fields);
            fields.extend(port.ends.map(|ends| ("port", number(ends.server.port()))));
            fields.extend([
                ("type", text("network")),
                ("auth_mechanism", text(&*port.mechanism)),
                ("channel_max", number(port.client.channel_max)),
                ("frame_max", number(port.client.frame_max)),
                ("timeout", number(port.client.heartbeat_seconds)),
                ("connected_at", number(i64::try_from(wall.0).unwrap_or(i64::MAX))),
                (ACTOR, text(&*port.user)),
            ]);
            fields.extend(OF_TLS.map(|name| (name, text(""))));
            fields
        });
    }

    pub(super) fn publish_connection_closed(&mut self, now: Timestamp) {
        self.publish_event(now, "connection.closed", |port| {
            let mut fields = port.described();
            port.add_client(&mut fields);
            fields
        });
    }

    pub(super) fn publish_channel_created(&mut self, now: Timestamp, channel: ChannelNumber) {
        self.publish_event(now, "channel.created", |port| port.described_channel(channel));
    }

    pub(super) fn publish_channel_closed(
        &mut self,
        now: Timestamp,
        channel: ChannelNumber,
        consumers: usize,
    ) {
        self.publish_event(now, "channel.closed", |port| {
            let mut fields = port.described_channel(channel);
            fields.push(("consumer_count", number(i64::try_from(consumers).unwrap_or(i64::MAX))));
            fields
        });
    }

    pub(super) fn publish_consumer_created(
        &mut self,
        now: Timestamp,
        channel: ChannelNumber,
        consumer: &NewConsumer,
    ) {
        let NewConsumer { tag, queue, options, arguments: given } = consumer;
        self.publish_event(now, "consumer.created", |port| {
            let mut fields = port.described_consumer(channel, tag, queue);
            fields.extend([
                ("exclusive", AMQPValue::Boolean(options.exclusive)),
                ("ack_required", AMQPValue::Boolean(!options.no_ack)),
                ("prefetch_count", number(options.prefetch)),
                ("arguments", arguments(given)),
            ]);
            fields
        });
    }

    pub(super) fn publish_consumer_deleted(
        &mut self,
        now: Timestamp,
        channel: ChannelNumber,
        tag: &Name,
        queue: &Name,
    ) {
        self.publish_event(now, "consumer.deleted", |port| port.described_consumer(channel, tag, queue));
    }

    fn described(&self) -> Fields {
        let texts = [("name", &self.name), ("pid", &self.name), ("user", &self.user), ("vhost", &self.vhost)];
        let mut fields: Fields = texts.map(|(name, value)| (name, text(&**value))).into();
        fields.push(("node", text(NODE)));
        fields
    }

    fn described_channel(&self, channel: ChannelNumber) -> Fields {
        vec![
            ("name", self.channel_name(channel)),
            ("pid", self.channel_name(channel)),
            ("number", number(channel)),
            ("connection", text(&*self.name)),
            ("user", text(&*self.user)),
            ("vhost", text(&*self.vhost)),
            (ACTOR, text(&*self.user)),
        ]
    }

    fn described_consumer(&self, channel: ChannelNumber, tag: &Name, queue: &Name) -> Fields {
        vec![
            ("consumer_tag", text(&**tag)),
            ("channel", self.channel_name(channel)),
            ("queue", text(&*without_line_ends(queue))),
            ("vhost", text(&*self.vhost)),
            (ACTOR, text(&*self.user)),
        ]
    }

    fn channel_name(&self, channel: ChannelNumber) -> AMQPValue {
        text(format!("{} ({channel})", self.name))
    }

    /// What the client said of itself.
    fn add_client(&self, fields: &mut Fields) {
        let properties = &self.client.properties;
        fields.push(("client_properties", arguments(properties)));
        if let Some(name @ AMQPValue::LongString(_)) = properties.inner().get("connection_name") {
            fields.push(("user_provided_name", name.clone()));
        }
    }

    /// Where the connection comes from, and how.
    fn add_ends(&self, fields: &mut Fields) {
        fields.push(("protocol", text("{0,9,1}")));
        fields.push(("ssl", AMQPValue::Boolean(false)));
        let Some(ends) = self.ends else { return };
        fields.extend([
            ("host", text(host_tuple(ends.server))),
            ("peer_host", text(host_tuple(ends.client))),
            ("peer_port", number(ends.client.port())),
        ]);
    }
}
