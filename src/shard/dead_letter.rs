//! What a dead letter looks like: its headers, its keys, and whether it goes in a circle (semantics 12.4 to 12.6,
//! 12.9). Where it goes is the shard's.

use bytes::BytesMut;
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{self, AMQPValue, FieldArray, FieldTable, LongString};

use crate::model::consuming::DeathReason;
use crate::model::ids::Timestamp;
use crate::model::message::{Message, Origin};
use crate::model::settings::DeadLetterTarget;
use crate::routing::cc;

/// How a message died.
pub(crate) struct Death<'a> {
    /// The queue it died in.
    pub(crate) queue: &'a str,
    pub(crate) reason: DeathReason,
    pub(crate) at: Timestamp,
}

/// A dead letter, ready to be routed.
pub(crate) struct Dead {
    pub(crate) message: Message,
    /// Its `x-death`, newest first.
    pub(crate) deaths: Vec<FieldTable>,
}

/// Makes the dead letter: to the dead-letter exchange, under its own keys or the one that replaces them, with the
/// record of its deaths and without its expiration.
pub(crate) fn edit(message: &Message, death: &Death<'_>, target: &DeadLetterTarget) -> Dead {
    let properties = message.properties_with_bcc();
    let mut headers = properties.headers().unwrap_or_default();
    let is_ours = message.origin() != Origin::Client;
    let mut deaths = if is_ours { recorded_deaths(&headers) } else { Vec::new() };
    record_death(&mut deaths, message, death);
    headers.insert("x-death".into(), deaths_value(&deaths));
    let exchange = LongString::from(message.exchange());
    for when in ["first", "last"] {
        if when == "first" && is_ours && headers.contains_key("x-first-death-queue") {
            continue;
        }
        headers.insert(format!("x-{when}-death-exchange").into(), AMQPValue::LongString(exchange.clone()));
        headers.insert(format!("x-{when}-death-queue").into(), text(death.queue));
        headers.insert(format!("x-{when}-death-reason").into(), text(death.reason.as_str()));
    }
    let raw = properties.with(&[(Field::Headers, Some(table::encode(&headers))), (Field::Expiration, None)]);
    let (routing_key, origin) = match &target.routing_key {
        Some(key) => (key.as_bytes(), Origin::Readdressed),
        None if message.origin() == Origin::Readdressed => (message.routing_key(), Origin::Readdressed),
        None => (message.routing_key(), Origin::DeadLettered),
    };
    let message = Message::new(
        &mut BytesMut::new(),
        target.exchange.as_bytes(),
        routing_key,
        Properties::trusted(&raw),
        message.body().clone(),
        origin,
    );
    Dead { message, deaths }
}

/// The names of the queues that a dead letter has been in without anybody having rejected it since: if it entered one of
/// them, it would go in a circle (semantics 12.6).
pub(crate) fn closing(deaths: &[FieldTable]) -> impl Iterator<Item = &[u8]> {
    deaths.iter().take_while(|death| !is_text(death, "reason", DeathReason::Rejected.as_str())).filter_map(
        |death| match death.inner().get("queue") {
            Some(AMQPValue::LongString(queue)) => Some(queue.as_bytes()),
            _ => None,
        },
    )
}

fn recorded_deaths(headers: &FieldTable) -> Vec<FieldTable> {
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else { return Vec::new() };
    deaths
        .as_slice()
        .iter()
        .filter_map(|death| match death {
            AMQPValue::FieldTable(death) => Some(death.clone()),
            _ => None,
        })
        .collect()
}

/// Puts this death in front: a new record, or the one of the same queue and reason, counted up.
fn record_death(deaths: &mut Vec<FieldTable>, message: &Message, death: &Death<'_>) {
    let reason = death.reason.as_str();
    let known = deaths
        .iter()
        .position(|known| is_text(known, "queue", death.queue) && is_text(known, "reason", reason));
    let record = match known {
        Some(at) => {
            let mut record = deaths.remove(at);
            let count = match record.inner().get("count") {
                Some(&AMQPValue::LongLongInt(count)) => count,
                _ => 0,
            };
            record.insert("count".into(), AMQPValue::LongLongInt(count.saturating_add(1)));
            record
        }
        None => new_record(message, death),
    };
    deaths.insert(0, record);
}

fn new_record(message: &Message, death: &Death<'_>) -> FieldTable {
    let keys = cc::visible_keys(message);
    let keys: Vec<_> = keys.iter().map(|key| AMQPValue::LongString(key.as_slice().into())).collect();
    let mut record = FieldTable::default();
    record.insert("count".into(), AMQPValue::LongLongInt(1));
    record.insert("reason".into(), text(death.reason.as_str()));
    record.insert("queue".into(), text(death.queue));
    record.insert("time".into(), AMQPValue::Timestamp(death.at.seconds()));
    record.insert("exchange".into(), AMQPValue::LongString(message.exchange().into()));
    record.insert("routing-keys".into(), AMQPValue::FieldArray(FieldArray::from(keys)));
    if let Some(expiration) = message.properties().expiration() {
        record.insert("original-expiration".into(), AMQPValue::LongString(expiration.into()));
    }
    record
}

fn deaths_value(deaths: &[FieldTable]) -> AMQPValue {
    let deaths: Vec<_> = deaths.iter().cloned().map(AMQPValue::FieldTable).collect();
    AMQPValue::FieldArray(FieldArray::from(deaths))
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn is_text(record: &FieldTable, name: &str, wanted: &str) -> bool {
    matches!(record.inner().get(name), Some(AMQPValue::LongString(text)) if text.as_bytes() == wanted.as_bytes())
}
