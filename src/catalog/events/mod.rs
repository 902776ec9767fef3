//! Messages that the broker itself publishes: what happens in it, to `amq.rabbitmq.event` (semantics 19.2), and the
//! copies of the firehose, to `amq.rabbitmq.trace` (semantics 19.1). Both cost nothing while nobody is bound there.
//! What is published is decided where it happens.

mod terms;

use std::sync::Arc;

use bytes::BytesMut;
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{self, AMQPValue, FieldTable};
use smallvec::SmallVec;

use crate::catalog::view::{Exchange, Queue, ViewState};
use crate::model::command::ShardCommand;
use crate::model::ids::{QueueRef, ShardIndex, Timestamp};
use crate::model::message::{Body, Message, Origin};
use crate::model::settings::QueueType;
use crate::routing::{Envelope, route};

pub(crate) use terms::{arguments, characters, definition, number, texts};

/// The vhost of the event exchange.
pub(crate) const EVENT_VHOST: &str = "/";
pub(crate) const EVENT_EXCHANGE: &str = "amq.rabbitmq.event";
pub(crate) const TRACE_EXCHANGE: &str = "amq.rabbitmq.trace";

/// Who did it: in the events of what a user asked for, or [`ITSELF`].
pub(crate) const ACTOR: &str = "user_who_performed_action";
/// What the broker does of its own is done by this user, as RabbitMQ calls it.
pub(crate) const ITSELF: &str = "rmq-internal";

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// What it is routed by: `queue.created` and the like.
    pub(crate) key: &'static str,
    pub(crate) fields: Fields,
}

/// The headers of an event.
pub(crate) type Fields = Vec<(&'static str, AMQPValue)>;

/// A queue that was there, as events name it: types are called by RabbitMQ's modules.
pub(crate) fn named_queue(queue: &Queue) -> Fields {
    let queue_type = match queue.settings.queue_type {
        QueueType::Classic => "rabbit_classic_queue",
        QueueType::Quorum => "rabbit_quorum_queue",
    };
    vec![("name", text(&*queue.label.name)), ("vhost", text(&*queue.label.vhost)), ("type", text(queue_type))]
}

/// Whether anybody is subscribed to events.
pub(crate) fn is_subscribed(state: &ViewState) -> bool {
    bound_exchange(state, EVENT_VHOST, EVENT_EXCHANGE).is_some()
}

/// An event as a message on its way to those who are bound for it.
pub(crate) fn publish_event(
    state: &ViewState,
    now: Timestamp,
    event: Event,
) -> Vec<(ShardIndex, ShardCommand)> {
    let mut headers = FieldTable::default();
    for (name, value) in event.fields {
        headers.insert(name.into(), value);
    }
    let millis = i64::try_from(now.0).unwrap_or(i64::MAX);
    headers.insert("timestamp_in_ms".into(), AMQPValue::LongLongInt(millis));
    let timestamp = now.seconds().to_be_bytes().to_vec();
    let properties = [(Field::DeliveryMode, vec![2]), (Field::Timestamp, timestamp)];
    publish(state, EVENT_VHOST, EVENT_EXCHANGE, event.key.as_bytes(), &headers, &properties, Body::default())
}

/// Routes a message of the broker's own: a command for each shard that has queues of it. None where nobody is bound.
pub(crate) fn publish(
    state: &ViewState,
    vhost: &str,
    exchange: &str,
    key: &[u8],
    headers: &FieldTable,
    properties: &[(Field, Vec<u8>)],
    body: Body,
) -> Vec<(ShardIndex, ShardCommand)> {
    let Some(id) = bound_exchange(state, vhost, exchange).map(|exchange| exchange.id) else {
        return Vec::new();
    };
    let mut fields = vec![(Field::Headers, Some(table::encode(headers)))];
    fields.extend(properties.iter().map(|(field, value)| (*field, Some(value.clone()))));
    let raw = Properties::default().with(&fields);
    let message = Message::new(
        &mut BytesMut::new(),
        exchange.as_bytes(),
        key,
        Properties::trusted(&raw),
        body,
        Origin::Client,
    );
    let mut targets: SmallVec<[QueueRef; 2]> = SmallVec::new();
    let keys = [message.routing_key()];
    // Exchanges behind it that leave the choice to chance take the first.
    let envelope = Envelope { keys: &keys, properties: message.properties(), draw: 0 };
    route(state, id, envelope, &mut targets);
    let message = Arc::new(message);
    targets.sort_unstable_by_key(|at| at.shard);
    let to = |same_shard: &[QueueRef]| {
        let queues = same_shard.iter().map(|at| at.queue).collect();
        let command = ShardCommand::Publish { queues, message: Arc::clone(&message), confirm: None };
        Some((same_shard.first()?.shard, command))
    };
    targets.chunk_by(|a, b| a.shard == b.shard).filter_map(to).collect()
}

fn bound_exchange<'a>(state: &'a ViewState, vhost: &str, exchange: &str) -> Option<&'a Exchange> {
    state.exchange(vhost, exchange).filter(|exchange| !exchange.routes.is_empty())
}

/// A text as a header has it.
pub(crate) fn text(text: impl AsRef<[u8]>) -> AMQPValue {
    AMQPValue::LongString(text.as_ref().into())
}
