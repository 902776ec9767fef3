//! What a delivery says of itself, read from its properties and body: which message it is, that it is whole, and the
//! record of its deaths.

use leveret_codec::method::amqp::basic;
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{AMQPValue, FieldTable};

use crate::model::{MessageId, Model, Path, Reason, Violation};
use crate::oracle::Seen;
use crate::topology::Topology;
use crate::wire::{Content, DELAY, REPLY_TO};

/// The body of a message: its number, and bytes that follow from it.
pub(crate) fn body(id: MessageId, size: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..64_u64).map(|at| ((id * 7 + at) % 251) as u8).collect();
    let mut body = id.to_be_bytes().to_vec();
    while body.len() < 8 + size {
        body.extend(&block[..block.len().min(8 + size - body.len())]);
    }
    body
}

pub(crate) fn message_id(content: &Content) -> Result<MessageId, Violation> {
    let (id, _) = content.body.split_first_chunk::<8>().ok_or("a body that nobody sent")?;
    Ok(MessageId::from_be_bytes(*id))
}

/// Where a delivery asks to be replied to.
pub(crate) fn address(content: &Content) -> Option<String> {
    let properties = Properties::parse(&content.properties).ok()?;
    properties.short_string(Field::ReplyTo).map(|address| String::from_utf8_lossy(address).into_owned())
}

/// Reads a delivery and compares it with what was sent.
pub(crate) fn seen(
    model: &Model,
    redelivered: bool,
    exchange: &str,
    routing_key: &str,
    content: &Content,
) -> Result<Seen, Violation> {
    let id = message_id(content)?;
    let properties =
        Properties::parse(&content.properties).map_err(|error| format!("message {id}: {error}"))?;
    let headers = properties.headers().unwrap_or_default();
    let path = path(&model.topology, &headers)?;
    if let Some(message) = model.messages.get(&id) {
        let sent = &message.sent;
        let whole = content.body == body(id, sent.size)
            && properties.delivery_mode() == Some(if sent.persistent { 2 } else { 1 })
            && properties.priority() == sent.priority
            && properties.short_string(Field::AppId) == Some(b"simulation");
        let own = sent.expiration.map(|millis| millis.to_string().into_bytes());
        let expiration = properties.expiration().map(<[u8]>::to_vec);
        // What was delayed says so with the number negated.
        let delayed = sent.delay.map(|millis| AMQPValue::LongInt(-i32::try_from(millis).unwrap_or(i32::MAX)));
        let whole = whole && headers.inner().get(DELAY) == delayed.as_ref();
        let asks = properties
            .short_string(Field::ReplyTo)
            .is_some_and(|address| address.starts_with(REPLY_TO.as_bytes()));
        if !whole || asks != sent.asks || expiration != own.filter(|_| path.is_empty()) {
            return Err(format!("message {id} arrives changed: {properties:?}"));
        }
    }
    if let Some(&(from, _)) = path.last() {
        let dead_letters = model.topology.queues[from].dead_letters;
        let by_exchange = dead_letters.is_some_and(|dead_letters| dead_letters.by_exchange);
        let key = dead_letters.map(|dead_letters| model.topology.queues[dead_letters.target].name.as_str());
        if exchange != (if by_exchange { crate::topology::DEAD } else { "" }) || Some(routing_key) != key {
            return Err(format!("dead letter {id} came by {exchange:?}, {routing_key:?}"));
        }
    }
    let count = |name| match headers.inner().get(name) {
        Some(&AMQPValue::LongLongInt(count)) => u32::try_from(count).ok(),
        _ => None,
    };
    let (delivery_count, acquired_count) = (count("x-delivery-count"), count("x-acquired-count"));
    Ok(Seen { id, path, redelivered, delivery_count, acquired_count })
}

/// `x-death`, oldest first, every death once.
fn path(topology: &Topology, headers: &FieldTable) -> Result<Path, Violation> {
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else { return Ok(Path::new()) };
    let mut path = Path::new();
    for death in deaths.as_slice().iter().rev() {
        let AMQPValue::FieldTable(death) = death else { return Err("x-death is no table".into()) };
        if death.inner().get("count") != Some(&AMQPValue::LongLongInt(1)) {
            return Err(format!("a death that is not counted once: {death:?}"));
        }
        let queue = text(death, "queue").and_then(|name| topology.number(&name));
        let reason = match text(death, "reason").as_deref() {
            Some("rejected") => Reason::Rejected,
            Some("expired") => Reason::Expired,
            Some("maxlen") => Reason::MaxLength,
            Some("delivery_limit") => Reason::DeliveryLimit,
            other => return Err(format!("a death for the reason {other:?}")),
        };
        path.push((queue.ok_or_else(|| format!("a death in an unknown queue: {death:?}"))?, reason));
    }
    let first = path.first().map(|(queue, _)| topology.queues[*queue].name.clone());
    if text(headers, "x-first-death-queue") != first {
        return Err(format!("x-first-death-queue is wrong: {headers:?}"));
    }
    Ok(path)
}

fn text(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name) {
        Some(AMQPValue::LongString(text)) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    }
}

/// The name and the arguments of a delivering method, where it is one.
pub(crate) struct Arrival<'a> {
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    pub(crate) exchange: &'a str,
    pub(crate) routing_key: &'a str,
    /// None: it answers a get.
    pub(crate) consumer: Option<&'a str>,
}

impl<'a> Arrival<'a> {
    pub(crate) fn of(method: &'a basic::AMQPMethod) -> Option<Arrival<'a>> {
        match method {
            basic::AMQPMethod::Deliver(deliver) => Some(Arrival {
                tag: deliver.delivery_tag,
                redelivered: deliver.redelivered,
                exchange: deliver.exchange.as_str(),
                routing_key: deliver.routing_key.as_str(),
                consumer: Some(deliver.consumer_tag.as_str()),
            }),
            basic::AMQPMethod::GetOk(got) => Some(Arrival {
                tag: got.delivery_tag,
                redelivered: got.redelivered,
                exchange: got.exchange.as_str(),
                routing_key: got.routing_key.as_str(),
                consumer: None,
            }),
            _ => None,
        }
    }
}
