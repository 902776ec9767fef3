//! Messages as people publish and get them: a few, by hand (semantics 20.6, 20.7). How their properties are JSON is in
//! `properties`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::BytesMut;
use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clients::{self, on_channel, on_publish};
use super::exchange_changes::named;
use super::fields::Fields;
use super::json::integer;
use super::properties;
use crate::model::consuming::{Delivery, Settlement};
use crate::model::message::{Body, Message, Origin};
use crate::server::{Published, Unsettled};

/// How much one answer of messages holds, in bytes of payload as they are written: no more are got then, and the others stay
/// where they are.
const MOST_GOT: usize = 16 << 20;
/// What a message is in an answer besides its payload, about.
const PER_MESSAGE: usize = 512;

/// Publishes a message and says whether it reached a queue, once it is there.
pub(super) async fn publish(call: &mut Call<'_>, vhost: &str, exchange: &str) -> Outcome {
    let vhost = call.vhost_to_change(vhost)?;
    let name = named(exchange);
    call.view()
        .read()
        .exchange(&vhost, &name)
        .ok_or_else(|| Refusal::Missing("exchange_not_found".into()))?;
    let fields = call.large_fields().await?;
    fields.require(&["routing_key", "payload", "payload_encoding"])?;
    fields.require(&["properties"])?;
    let key = fields.text("routing_key")?.unwrap_or_default();
    if key.len() > 255 {
        return Err(Refusal::bad("routing_key is longer than 255 bytes"));
    }
    let payload = payload(&fields)?;
    let raw = properties::read(fields.get("properties").unwrap_or(&Value::Null))?;
    let most = call.context.administrator.max_message_size();
    if payload.len() as u64 > most {
        return Err(Refusal::bad(format!(
            "406 PRECONDITION_FAILED - message size {} is larger than configured max size {most}",
            payload.len()
        )));
    }
    let message = Message::new(
        &mut BytesMut::new(),
        name.as_bytes(),
        key.as_bytes(),
        properties::parsed(&raw)?,
        Body::whole(payload.into()),
        Origin::Client,
    );
    drop(fields);
    match clients::client(call, &vhost)?.publish(message).await.map_err(on_publish)? {
        Published::Confirmed => Ok(Answer::Found(json!({"routed": true}))),
        Published::Unroutable => Ok(Answer::Found(json!({"routed": false}))),
        Published::Refused => Err(Refusal::bad("rejected Unable to publish message. Check queue limits.")),
    }
}

fn payload(fields: &Fields) -> Result<Vec<u8>, Refusal> {
    let Some(Value::String(payload)) = fields.get("payload") else {
        return Err(Refusal::bad("payload_not_string"));
    };
    match fields.get("payload_encoding").and_then(Value::as_str) {
        Some("string") => Ok(payload.clone().into_bytes()),
        Some("base64") => {
            BASE64_STANDARD.decode(payload).map_err(|_| Refusal::Bad(json!(["not_base64", payload])))
        }
        _ => Err(Refusal::Bad(json!(["unsupported_encoding", fields.get("payload_encoding")]))),
    }
}

/// What becomes of the messages that were got.
fn settlement(mode: &str) -> Option<Option<Settlement>> {
    Some(match mode {
        "ack_requeue_true" | "reject_requeue_true" => Some(Settlement::Requeue { failed: true }),
        "ack_requeue_false" => None,
        "reject_requeue_false" => Some(Settlement::Discard),
        _ => return None,
    })
}

/// Gets messages, and settles them once they are read.
pub(super) async fn get(call: &mut Call<'_>, vhost: &str, queue: &str) -> Outcome {
    let vhost = call.vhost_to_change(vhost)?;
    call.view().read().queue(&vhost, queue).ok_or_else(|| Refusal::Missing("queue_not_found".into()))?;
    let fields = call.fields().await?;
    fields.require(&["count", "ackmode", "encoding"])?;
    let mode = fields.text("ackmode")?.unwrap_or_default();
    let settlement = settlement(mode).ok_or_else(|| {
        Refusal::bad(format!(
            "Invalid ackmode value: {mode}. Valid values are: ack_requeue_true, ack_requeue_false, \
             reject_requeue_true, reject_requeue_false"
        ))
    })?;
    // A negative count is as many as there are.
    let mut left = match number(&fields, "count")?.unwrap_or_default() {
        count @ 0.. => u64::try_from(count).unwrap_or_default(),
        ..0 => u64::MAX,
    };
    let is_text_wanted = match fields.text("encoding")? {
        Some("auto") => true,
        Some("base64") => false,
        _ => return Err(Refusal::bad("Unsupported encoding. Please use auto or base64.")),
    };
    let truncate = match number(&fields, "truncate")? {
        None => usize::MAX,
        Some(bytes) => usize::try_from(bytes).map_err(|_| Refusal::Bad(json!(["not_integer", bytes])))?,
    };
    let turn = call.context.turns.take(&call.caller.name).await?;
    let mut client = clients::client(call, &vhost)?;
    let (mut got, mut unsettled, mut bytes) = (Vec::new(), Vec::new(), 0);
    let queue = queue.into();
    while left > 0 && bytes < MOST_GOT {
        let Some((delivery, remaining)) =
            client.get(&queue, settlement.is_none()).await.map_err(on_channel)?
        else {
            break;
        };
        left -= 1;
        bytes += delivery.message.body().len().min(truncate).saturating_mul(4) / 3 + PER_MESSAGE;
        got.push(described(&delivery, remaining, is_text_wanted, truncate));
        if settlement.is_some() {
            unsettled.push(Unsettled::from(&delivery));
        }
    }
    if let Some(settlement) = settlement {
        unsettled.into_iter().for_each(|message| client.settle(message, settlement));
    }
    drop(turn);
    Ok(Answer::Found(Value::Array(got)))
}

/// A whole number, also as a string; of a fraction what is before the point, as RabbitMQ has it.
fn number(fields: &Fields, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(value) = fields.get(name) else { return Ok(None) };
    #[allow(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
    let number = match value {
        Value::String(text) => text.parse().ok(),
        value => integer(value).or_else(|| value.as_f64().map(|value| value.round() as i64)),
    };
    number.map(Some).ok_or_else(|| Refusal::Bad(json!(["not_integer", value])))
}

fn described(delivery: &Delivery, remaining: u32, is_text_wanted: bool, truncate: usize) -> Value {
    let message = &delivery.message;
    let mut payload = Vec::with_capacity(message.body().len().min(truncate));
    for slice in message.body().slices() {
        let left = truncate - payload.len();
        payload.extend_from_slice(&slice[..slice.len().min(left)]);
    }
    let (payload, encoding) = match String::from_utf8(payload) {
        Ok(text) if is_text_wanted => (text, "string"),
        Ok(text) => (BASE64_STANDARD.encode(text), "base64"),
        Err(error) => (BASE64_STANDARD.encode(error.as_bytes()), "base64"),
    };
    json!({
        "payload_bytes": message.body().len(),
        "redelivered": delivery.redelivered,
        "exchange": String::from_utf8_lossy(message.exchange()),
        "routing_key": String::from_utf8_lossy(message.routing_key()),
        "message_count": remaining,
        "properties": properties::written(message.properties()),
        "payload": payload,
        "payload_encoding": encoding,
    })
}
