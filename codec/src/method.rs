//! Methods. The ones of the hot path (publish, ack, nack, reject) and the content header are parsed with nom
//! straight from the bytes; all others go through amq-protocol's parser, behind the checks of [`crate::table`].

use amq_protocol::protocol::{AMQPClass, parse_class};
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16, be_u64};
use nom::{IResult, Parser};
use thiserror::Error;

use crate::table::{self, TableError};

pub use amq_protocol::protocol as amqp;

/// Class and method number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MethodId {
    pub class: u16,
    pub method: u16,
}

impl MethodId {
    /// 0/0: no method is at fault (semantics.md 0.2).
    pub const NONE: MethodId = MethodId { class: 0, method: 0 };
}

/// A method frame's payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Method<'a> {
    Publish(Publish<'a>),
    Ack { delivery_tag: u64, multiple: bool },
    Nack { delivery_tag: u64, multiple: bool, requeue: bool },
    Reject { delivery_tag: u64, requeue: bool },
    Other(Box<AMQPClass>),
}

/// `basic.publish` (60, 40).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub mandatory: bool,
    pub immediate: bool,
}

/// A content header's payload; the properties are still unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    pub class: u16,
    pub weight: u16,
    pub body_size: u64,
    pub properties: &'a [u8],
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MethodError {
    #[error("method frame of {0} bytes is too short for its method")]
    Truncated(usize),
    #[error("Malformed UTF-8 in shortstr")]
    Utf8,
    #[error("unknown method {class}.{method}", class = .0.class, method = .0.method)]
    Unknown(MethodId),
    #[error("method {class}.{method}: {error}", class = .id.class, method = .id.method)]
    Table { id: MethodId, error: TableError },
    #[error("method {class}.{method} could not be read", class = .0.class, method = .0.method)]
    Malformed(MethodId),
}

/// The id of the method in this payload, where there are bytes enough for one.
#[must_use]
pub fn method_id(payload: &[u8]) -> Option<MethodId> {
    let ([c1, c2, m1, m2], _) = payload.split_first_chunk::<4>()?;
    Some(MethodId { class: u16::from_be_bytes([*c1, *c2]), method: u16::from_be_bytes([*m1, *m2]) })
}

/// Reads the payload of a method frame.
pub fn parse_method(payload: &[u8]) -> Result<Method<'_>, MethodError> {
    let id = method_id(payload).ok_or(MethodError::Truncated(payload.len()))?;
    let arguments = &payload[4..];
    match (id.class, id.method) {
        (60, 40) => parse_publish(arguments),
        (60, 80) => fixed(ack(arguments), id, |(delivery_tag, bits)| Method::Ack {
            delivery_tag,
            multiple: bits & 1 != 0,
        }),
        (60, 90) => fixed(ack(arguments), id, |(delivery_tag, bits)| Method::Reject {
            delivery_tag,
            requeue: bits & 1 != 0,
        }),
        (60, 120) => fixed(ack(arguments), id, |(delivery_tag, bits)| Method::Nack {
            delivery_tag,
            multiple: bits & 1 != 0,
            requeue: bits & 2 != 0,
        }),
        _ => parse_other(payload, id),
    }
}

/// Reads the payload of a content header frame; None where it is too short to be one.
#[must_use]
pub fn parse_content_header(payload: &[u8]) -> Option<ContentHeader<'_>> {
    let parsed: IResult<&[u8], (u16, u16, u64)> = (be_u16, be_u16, be_u64).parse(payload);
    let (properties, (class, weight, body_size)) = parsed.ok()?;
    Some(ContentHeader { class, weight, body_size, properties })
}

fn parse_publish(arguments: &[u8]) -> Result<Method<'_>, MethodError> {
    let (_, (_ticket, exchange, routing_key, bits)) = (be_u16, short_string, short_string, be_u8)
        .parse(arguments)
        .map_err(|_: nom::Err<nom::error::Error<_>>| MethodError::Truncated(arguments.len() + 4))?;
    Ok(Method::Publish(Publish {
        exchange: std::str::from_utf8(exchange).map_err(|_| MethodError::Utf8)?,
        routing_key: std::str::from_utf8(routing_key).map_err(|_| MethodError::Utf8)?,
        mandatory: bits & 1 != 0,
        immediate: bits & 2 != 0,
    }))
}

/// A delivery tag and the octet of bits behind it: the arguments of ack, nack and reject.
fn ack(arguments: &[u8]) -> IResult<&[u8], (u64, u8)> {
    (be_u64, be_u8).parse(arguments)
}

fn fixed<'a, T>(
    parsed: IResult<&'a [u8], T>,
    id: MethodId,
    method: impl FnOnce(T) -> Method<'a>,
) -> Result<Method<'a>, MethodError> {
    parsed.map(|(_, fields)| method(fields)).map_err(|_| MethodError::Malformed(id))
}

fn short_string(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let (rest, len) = be_u8(input)?;
    take(len)(rest)
}

fn parse_other(payload: &[u8], id: MethodId) -> Result<Method<'_>, MethodError> {
    if let Some(table) = table_of(payload, id)? {
        table::check(table).map_err(|error| MethodError::Table { id, error })?;
    }
    match parse_class(payload) {
        Ok((_, class)) => Ok(Method::Other(Box::new(class))),
        Err(_) if !is_known(id) => Err(MethodError::Unknown(id)),
        Err(_) => Err(MethodError::Malformed(id)),
    }
}

/// What stands before the table of a method: a ticket or not, so many short strings, an octet of bits or not.
struct BeforeTable {
    ticket: bool,
    short_strings: usize,
    bits: bool,
}

/// The bytes from the method's field table on, where it has one. Short strings before it must be UTF-8.
fn table_of(payload: &[u8], id: MethodId) -> Result<Option<&[u8]>, MethodError> {
    let before = match (id.class, id.method) {
        (10, 11) => BeforeTable { ticket: false, short_strings: 0, bits: false },
        (40, 10) => BeforeTable { ticket: true, short_strings: 2, bits: true },
        (40, 30 | 40) | (50, 20) => BeforeTable { ticket: true, short_strings: 3, bits: true },
        (50, 10) => BeforeTable { ticket: true, short_strings: 1, bits: true },
        (50, 50) => BeforeTable { ticket: true, short_strings: 3, bits: false },
        (60, 20) => BeforeTable { ticket: true, short_strings: 2, bits: true },
        _ => return Ok(None),
    };
    let truncated = MethodError::Truncated(payload.len());
    let mut rest = payload.get(4 + if before.ticket { 2 } else { 0 }..).ok_or(truncated.clone())?;
    for _ in 0..before.short_strings {
        let (after, text) = short_string(rest).map_err(|_| truncated.clone())?;
        if std::str::from_utf8(text).is_err() {
            return Err(MethodError::Utf8);
        }
        rest = after;
    }
    rest.get(usize::from(before.bits)..).map(Some).ok_or(truncated)
}

/// The methods a client may send (semantics.md section 25).
fn is_known(id: MethodId) -> bool {
    match id.class {
        10 => matches!(id.method, 10 | 11 | 20 | 21 | 30 | 31 | 40 | 41 | 50 | 51 | 60 | 61 | 70 | 71),
        20 => matches!(id.method, 10 | 11 | 20 | 21 | 40 | 41),
        30 | 85 => matches!(id.method, 10 | 11),
        40 => matches!(id.method, 10 | 11 | 20 | 21 | 30 | 31 | 40 | 51),
        50 => matches!(id.method, 10 | 11 | 20 | 21 | 30 | 31 | 40 | 41 | 50 | 51),
        60 => matches!(
            id.method,
            10 | 11 | 20 | 21 | 30 | 31 | 40 | 50 | 60 | 70 | 71 | 72 | 80 | 90 | 100 | 110 | 111 | 120
        ),
        90 => matches!(id.method, 10 | 11 | 20 | 21 | 30 | 31),
        _ => false,
    }
}
