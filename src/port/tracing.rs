//! The firehose (semantics 19.1): copies of what a connection publishes and is sent, while its vhost is traced.

use leveret_codec::properties::{Field, Properties, TEXTS};
use leveret_codec::table::{AMQPValue, FieldArray, FieldTable};

use super::Port;
use crate::catalog::events::{self, TRACE_EXCHANGE, text};
use crate::model::consuming::Delivery;
use crate::model::ids::{ChannelNumber, QueueRef};
use crate::model::message::Message;
use crate::model::names::NODE;
use crate::routing::cc;

/// Whether the vhost is traced, as of a generation of the view.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traced {
    generation: u64,
    on: bool,
}

impl Port {
    /// Whether copies are wanted; asks the view only when it has changed.
    pub(super) fn is_traced(&mut self) -> bool {
        let generation = self.view.generation();
        if self.traced.generation != generation {
            let on = self.view.read().vhost(&self.vhost).is_some_and(|vhost| vhost.tracing);
            self.traced = Traced { generation, on };
        }
        self.traced.on
    }

    /// Copies a publish that was routed to these queues.
    pub(super) fn trace_publish(&mut self, channel: ChannelNumber, message: &Message, queues: &[QueueRef]) {
        let state = self.view.read();
        let names = queues.iter().filter_map(|at| state.queue_by_id(at.queue));
        let names: Vec<_> = names.map(|queue| text(&*queue.label.name)).collect();
        drop(state);
        let key = [b"publish.", message.exchange()].concat();
        self.trace(channel, message, &key, "routed_queues", AMQPValue::FieldArray(FieldArray::from(names)));
    }

    /// Copies a delivery.
    pub(super) fn trace_delivery(&mut self, channel: ChannelNumber, delivery: &Delivery) {
        let state = self.view.read();
        let Some(queue) = state.queue_by_id(delivery.queue.queue) else { return };
        let key = [b"deliver.", queue.label.name.as_bytes()].concat();
        drop(state);
        let redelivered = AMQPValue::LongInt(i32::from(delivery.redelivered));
        self.trace(channel, &delivery.message, &key, "redelivered", redelivered);
    }

    /// What came from the firehose is not copied again.
    fn trace(&mut self, channel: ChannelNumber, message: &Message, key: &[u8], name: &str, value: AMQPValue) {
        if message.exchange() == TRACE_EXCHANGE.as_bytes() {
            return;
        }
        let keys = cc::routing_keys(message);
        let keys: Vec<_> = keys.iter().map(text).collect();
        let mut headers = FieldTable::default();
        headers.insert("exchange_name".into(), text(message.exchange()));
        headers.insert("routing_keys".into(), AMQPValue::FieldArray(FieldArray::from(keys)));
        headers.insert("properties".into(), AMQPValue::FieldTable(described(message.properties())));
        headers.insert("node".into(), text(NODE));
        headers.insert("vhost".into(), text(&*self.vhost));
        headers.insert("connection".into(), text(&*self.name));
        headers.insert("channel".into(), AMQPValue::LongInt(i32::from(channel)));
        headers.insert("user".into(), text(&*self.user));
        headers.insert(name.into(), value);
        let state = self.view.read();
        let body = message.body().clone();
        let copies = events::publish(&state, &self.vhost, TRACE_EXCHANGE, key, &headers, &[], body);
        drop(state);
        for (shard, command) in copies {
            self.outgoing.push(shard, command);
        }
    }
}

/// The properties that are set, as a table.
fn described(properties: Properties<'_>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, field) in TEXTS {
        if let Some(value) = properties.short_string(field) {
            table.insert(name.into(), text(value));
        }
    }
    if let Some(headers) = properties.headers() {
        table.insert("headers".into(), AMQPValue::FieldTable(headers));
    }
    for (name, value) in [("delivery_mode", properties.delivery_mode()), ("priority", properties.priority())]
    {
        if let Some(value) = value {
            table.insert(name.into(), AMQPValue::LongInt(i32::from(value)));
        }
    }
    if let Some(seconds) = properties.field(Field::Timestamp).and_then(|bytes| bytes.first_chunk()) {
        table.insert("timestamp".into(), AMQPValue::Timestamp(u64::from_be_bytes(*seconds)));
    }
    table
}
