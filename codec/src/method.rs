//! Methods. The ones of the hot path (publish, ack, nack, reject) and the content header are parsed with nom
//! straight from the bytes; all others go through amq-protocol's parser, once they were held against their shape.

mod error;
mod id;

use amq_protocol::protocol::{AMQPClass, parse_class};
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16, be_u64};
use nom::{IResult, Parser};

use crate::shape;

pub use self::error::MethodError;
pub(crate) use self::error::nothing_left;
pub use self::id::{MethodId, method_id};
pub use amq_protocol::protocol as amqp;

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
    pub exchange: &'a [u8],
    pub routing_key: &'a [u8],
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

/// Reads the payload of a method frame.
pub fn parse_method(payload: &[u8]) -> Result<Method<'_>, MethodError> {
    let id = method_id(payload).ok_or(MethodError::Truncated(payload.len()))?;
    match (id.class, id.method) {
        (60, 40) => parse_publish(payload, id),
        (60, 80) => {
            ack(payload, id, |delivery_tag, bits| Method::Ack { delivery_tag, multiple: bits & 1 != 0 })
        }
        (60, 90) => {
            ack(payload, id, |delivery_tag, bits| Method::Reject { delivery_tag, requeue: bits & 1 != 0 })
        }
        (60, 120) => ack(payload, id, |delivery_tag, bits| Method::Nack {
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

fn parse_publish(payload: &[u8], id: MethodId) -> Result<Method<'_>, MethodError> {
    let (rest, (_ticket, exchange, routing_key, bits)) = (be_u16, short_string, short_string, be_u8)
        .parse(&payload[4..])
        .map_err(|_: nom::Err<nom::error::Error<_>>| MethodError::Truncated(payload.len()))?;
    nothing_left(rest, id)?;
    Ok(Method::Publish(Publish { exchange, routing_key, mandatory: bits & 1 != 0, immediate: bits & 2 != 0 }))
}

/// Ack, nack and reject: a delivery tag and the octet of bits behind it.
fn ack<'a>(
    payload: &'a [u8],
    id: MethodId,
    method: impl FnOnce(u64, u8) -> Method<'a>,
) -> Result<Method<'a>, MethodError> {
    let parsed: IResult<&[u8], (u64, u8)> = (be_u64, be_u8).parse(&payload[4..]);
    match parsed {
        Ok((rest, (delivery_tag, bits))) => nothing_left(rest, id).map(|()| method(delivery_tag, bits)),
        Err(_) => Err(MethodError::Truncated(payload.len())),
    }
}

fn short_string(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let (rest, len) = be_u8(input)?;
    take(len)(rest)
}

fn parse_other(payload: &[u8], id: MethodId) -> Result<Method<'_>, MethodError> {
    shape::check(id, &payload[4..])?;
    parse_class(payload)
        .map(|(_, class)| Method::Other(Box::new(class)))
        .map_err(|_| MethodError::Malformed(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TableError;
    use amqp::{AMQPClass, queue};

    /// A payload: the id of the method and its arguments.
    fn payload(class: u8, method: u8, arguments: &[u8]) -> Vec<u8> {
        [&[0, class, 0, method], arguments].concat()
    }

    #[test]
    fn an_id_is_read_where_there_is_one() {
        assert_eq!(method_id(&[0, 60, 0, 40, 9]), Some(MethodId { class: 60, method: 40 }));
        assert_eq!(method_id(&[0, 60, 0]), None);
        assert_eq!(parse_method(&[0, 60, 0]), Err(MethodError::Truncated(3)));
    }

    #[test]
    fn publish_is_read_in_place() {
        let bytes = payload(60, 40, b"\0\x01\x02ex\x03key\x01");
        let publish = |mandatory, immediate| {
            Ok(Method::Publish(Publish { exchange: b"ex", routing_key: b"key", mandatory, immediate }))
        };
        assert_eq!(parse_method(&bytes), publish(true, false));
        for len in 4..bytes.len() {
            assert_eq!(parse_method(&bytes[..len]), Err(MethodError::Truncated(len)));
        }
        let mut bytes = bytes;
        *bytes.last_mut().unwrap() = 2;
        assert_eq!(parse_method(&bytes), publish(false, true));
        for at in [7, 11] {
            let mut broken = bytes.clone();
            broken[at] = 0xff;
            assert!(matches!(parse_method(&broken), Ok(Method::Publish(_))), "names are any bytes");
        }
    }

    #[test]
    fn settlements_are_read_with_their_bits() {
        let tag = [0, 0, 0, 0, 0, 0, 1, 2];
        let with = |method, bits: u8| payload(60, method, &[&tag[..], &[bits]].concat());
        let delivery_tag = 0x0102;
        assert_eq!(parse_method(&with(80, 1)), Ok(Method::Ack { delivery_tag, multiple: true }));
        assert_eq!(parse_method(&with(80, 2)), Ok(Method::Ack { delivery_tag, multiple: false }));
        assert_eq!(parse_method(&with(90, 1)), Ok(Method::Reject { delivery_tag, requeue: true }));
        assert_eq!(
            parse_method(&with(120, 2)),
            Ok(Method::Nack { delivery_tag, multiple: false, requeue: true })
        );
        assert_eq!(
            parse_method(&with(120, 1)),
            Ok(Method::Nack { delivery_tag, multiple: true, requeue: false })
        );
        for method in [80, 90, 120] {
            assert_eq!(parse_method(&with(method, 0)[..12]), Err(MethodError::Truncated(12)));
        }
    }

    #[test]
    fn other_methods_are_read_by_amq_protocol() {
        let bytes = payload(50, 30, b"\0\0\x01q\x01");
        let purge = queue::Purge { queue: "q".into(), nowait: true };
        let expected = AMQPClass::Queue(queue::AMQPMethod::Purge(purge));
        assert_eq!(parse_method(&bytes), Ok(Method::Other(Box::new(expected))));
        let id = MethodId { class: 60, method: 200 };
        assert_eq!(parse_method(&payload(60, 200, b"")), Err(MethodError::Unknown(id)));
        assert_eq!(parse_method(&payload(50, 30, b"\0\0\x01\xff\0")), Err(MethodError::Utf8));
    }

    #[test]
    fn no_method_makes_the_parser_recurse_deep() {
        let mut table = vec![0; 4];
        for _ in 0..20_000 {
            let len = u32::try_from(table.len() + 2).unwrap();
            table = [&len.to_be_bytes()[..], b"\0F", &table].concat();
        }
        // What stands before the table in each method that has one.
        for (class, method, before) in [
            (10, 10, &b"\0\x09"[..]),
            (10, 11, b""),
            (40, 10, b"\0\0\0\0\0"),
            (40, 30, b"\0\0\0\0\0\0"),
            (40, 40, b"\0\0\0\0\0\0"),
            (50, 10, b"\0\0\0\0"),
            (50, 20, b"\0\0\0\0\0\0"),
            (50, 50, b"\0\0\0\0\0"),
            (60, 20, b"\0\0\0\0\0"),
        ] {
            let id = MethodId { class: class.into(), method: method.into() };
            assert_eq!(
                parse_method(&payload(class, method, &[before, &table[..]].concat())),
                Err(MethodError::Table { id, error: TableError::TooDeep })
            );
        }
    }

    #[test]
    fn a_content_header_is_read_but_for_its_properties() {
        let bytes = [0, 60, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0x10, 0, 2];
        let header = ContentHeader { class: 60, weight: 1, body_size: 512, properties: &[0x10, 0, 2] };
        assert_eq!(parse_content_header(&bytes), Some(header));
        assert_eq!(parse_content_header(&bytes[..11]), None);
        assert_eq!(parse_content_header(&bytes[..12]).map(|header| header.properties), Some(&[][..]));
    }
}
