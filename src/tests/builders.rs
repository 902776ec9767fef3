//! Messages, tables and requests as the scenarios need them.

use bytes::{Bytes, BytesMut};
use leveret_codec::properties::{Field, Properties, encode_short_string};
use leveret_codec::table::{self, AMQPValue, FieldArray, FieldTable};

use crate::model::ids::Name;
use crate::model::message::{Body, Message, Origin as MessageOrigin};
use crate::model::request::{Binding, DeclareExchange, DeclareQueue, Request};
pub(super) use crate::model::testing::arguments;

/// A message of these parts, with a body of its own.
pub(super) fn message(exchange: &str, key: &str, properties: &[(Field, Vec<u8>)]) -> Message {
    sized(exchange, key, properties, 4)
}

pub(super) fn sized(exchange: &str, key: &str, properties: &[(Field, Vec<u8>)], len: usize) -> Message {
    let changes: Vec<_> = properties.iter().map(|(field, bytes)| (*field, Some(bytes.clone()))).collect();
    let raw = Properties::default().with(&changes);
    let properties = Properties::parse(&raw).unwrap();
    let body = Body::whole(Bytes::from(vec![7; len]));
    let origin = MessageOrigin::Client;
    Message::new(&mut BytesMut::new(), exchange.as_bytes(), key.as_bytes(), properties, body, origin)
}

pub(super) fn persistent() -> (Field, Vec<u8>) {
    (Field::DeliveryMode, vec![2])
}

pub(super) fn short(field: Field, text: &str) -> (Field, Vec<u8>) {
    (field, encode_short_string(text.as_bytes()))
}

pub(super) fn headers(fields: &[(&str, AMQPValue)]) -> (Field, Vec<u8>) {
    (Field::Headers, table::encode(&arguments(fields)))
}

pub(super) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

pub(super) fn texts(items: &[&str]) -> AMQPValue {
    AMQPValue::FieldArray(FieldArray::from(items.iter().map(|item| text(item)).collect::<Vec<_>>()))
}

pub(super) fn int(number: i32) -> AMQPValue {
    AMQPValue::LongInt(number)
}

/// A declare of a durable queue, changed as the test likes.
pub(super) fn declare_queue(name: &str, change: impl FnOnce(&mut DeclareQueue)) -> Request {
    let mut declare = DeclareQueue {
        name: name.into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: FieldTable::default(),
    };
    change(&mut declare);
    Request::DeclareQueue(declare)
}

pub(super) fn queue_with(name: &str, fields: &[(&str, AMQPValue)]) -> Request {
    declare_queue(name, |declare| declare.arguments = arguments(fields))
}

/// A declare of a durable exchange, changed as the test likes.
pub(super) fn declare_exchange(name: &str, kind: &str, change: impl FnOnce(&mut DeclareExchange)) -> Request {
    let mut declare = DeclareExchange {
        name: name.into(),
        kind: kind.into(),
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: FieldTable::default(),
    };
    change(&mut declare);
    Request::DeclareExchange(declare)
}

pub(super) fn binding(source: &str, destination: &str, key: &str) -> Binding {
    let name = |name: &str| -> Name { name.into() };
    Binding {
        source: name(source),
        destination: name(destination),
        routing_key: name(key),
        arguments: FieldTable::default(),
    }
}

pub(super) fn delete_queue(name: &str, if_unused: bool, if_empty: bool) -> Request {
    Request::DeleteQueue { name: name.into(), if_unused, if_empty }
}
