//! Both ways between our codec and amq-protocol's: what it writes we read, and what we write it reads.

use std::io::{Cursor, IoSlice};

use super::common::{method, properties, table, text};
use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, gen_frame, parse_frame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, parse_class};
use bytes::Bytes;
use leveret_codec::frame::{Frame, FrameKind, decode};
use leveret_codec::method::{Method, MethodError, parse_content_header, parse_method};
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{ShortString, check, encode, find, parse, parse_headers, short_string};
use leveret_codec::write::{Content, Output};
use proptest::prelude::*;

/// A frame as amq-protocol writes it.
fn theirs(frame: &AMQPFrame) -> Vec<u8> {
    let mut buffer = vec![0; 100_000];
    let written = cookie_factory::gen_simple(gen_frame(frame), Cursor::new(&mut buffer[..])).expect("room");
    let len = usize::try_from(written.position()).expect("a length in memory");
    buffer.truncate(len);
    buffer
}

/// All frames in these bytes, as amq-protocol reads them, each no longer than `frame_max`.
fn read_by_them(mut bytes: &[u8], frame_max: usize) -> Vec<AMQPFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (rest, frame) = parse_frame(bytes).expect("a frame amq-protocol can read");
        if matches!(frame, AMQPFrame::Body(..)) {
            assert!(bytes.len() - rest.len() <= frame_max);
        }
        frames.push(frame);
        bytes = rest;
    }
    frames
}

fn waiting(output: &Output) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); 10_000];
    let filled = output.chunks(&mut slices);
    slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
}

/// What we read, in amq-protocol's words.
fn in_their_words(method: Method<'_>) -> AMQPClass {
    AMQPClass::Basic(match method {
        Method::Publish(publish) => basic::AMQPMethod::Publish(basic::Publish {
            exchange: named(publish.exchange),
            routing_key: named(publish.routing_key),
            mandatory: publish.mandatory,
            immediate: publish.immediate,
        }),
        Method::Ack { delivery_tag, multiple } => {
            basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple })
        }
        Method::Nack { delivery_tag, multiple, requeue } => {
            basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue })
        }
        Method::Reject { delivery_tag, requeue } => {
            basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue })
        }
        Method::Other(class) => return *class,
    })
}

fn named(name: &[u8]) -> ShortString {
    short_string(std::str::from_utf8(name).expect("amq-protocol writes UTF-8 alone"))
}

fn names_what_is_no_text(method: &Method<'_>) -> bool {
    let Method::Publish(publish) = method else { return false };
    [publish.exchange, publish.routing_key].into_iter().any(|name| std::str::from_utf8(name).is_err())
}

/// The slices of a body.
fn body() -> impl Strategy<Value = Vec<Bytes>> {
    let slice = prop_oneof![0..50_usize, 4000..9000_usize];
    let slices = prop::collection::vec((any::<u8>(), slice), 0..4);
    slices.prop_map(|slices| {
        let patterned =
            |(seed, len): (u8, usize)| (0..len).map(|at| seed.wrapping_add(at.to_le_bytes()[0])).collect();
        slices.into_iter().map(patterned).collect()
    })
}

fn frame_max() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 9..20_u32, 4096..10_000_u32]
}

/// The header and body frames of a message, held against what was sent.
fn check_content(
    frames: &[AMQPFrame],
    channel: u16,
    sent: &BasicProperties,
    slices: &[Bytes],
) -> Result<(), TestCaseError> {
    let (header, bodies) = frames.split_first().expect("a header frame");
    let body = slices.concat();
    let expected = AMQPContentHeader { class_id: 60, body_size: body.len() as u64, properties: sent.clone() };
    prop_assert_eq!(header, &AMQPFrame::Header(channel, expected));
    let mut received = Vec::new();
    for frame in bodies {
        let AMQPFrame::Body(on, part) = frame else {
            return Err(TestCaseError::fail(format!("no body frame: {frame:?}")));
        };
        prop_assert_eq!(*on, channel);
        prop_assert!(!part.is_empty());
        received.extend_from_slice(part);
    }
    prop_assert_eq!(received, body);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn we_read_the_methods_they_write(channel: u16, class in method()) {
        let bytes = theirs(&AMQPFrame::Method(channel, class.clone()));
        let frame = decode(&bytes, 0).unwrap().unwrap();
        prop_assert_eq!((frame.kind, frame.channel, frame.wire_len()), (FrameKind::Method, channel, bytes.len()));
        prop_assert_eq!(in_their_words(parse_method(frame.payload).unwrap()), class);
    }

    #[test]
    fn they_read_the_methods_we_write(channel: u16, classes in prop::collection::vec(method(), 1..4)) {
        let mut output = Output::default();
        for class in &classes {
            output.method(channel, class);
        }
        let bytes = waiting(&output);
        prop_assert_eq!(bytes.len(), output.len());
        let expected: Vec<AMQPFrame> =
            classes.iter().map(|class| AMQPFrame::Method(channel, class.clone())).collect();
        prop_assert_eq!(read_by_them(&bytes, 0), expected);
        prop_assert_eq!(bytes, classes.iter().flat_map(|class| theirs(&AMQPFrame::Method(channel, class.clone()))).collect::<Vec<u8>>());
    }

    #[test]
    fn we_take_damaged_methods_for_what_they_do(
        class in method(),
        cut: prop::sample::Index,
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let bytes = theirs(&AMQPFrame::Method(1, class));
        let mut payload = decode(&bytes, 0).unwrap().unwrap().payload.to_vec();
        match damage {
            Some((at, byte)) => {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            None => payload.truncate(cut.index(payload.len())),
        }
        let ours = parse_method(&payload);
        match parse_class(&payload[..]) {
            Ok(([], class)) => {
                // Compared as text, since damage makes values that do not equal themselves.
                prop_assert_eq!(ours.map(|method| format!("{:?}", in_their_words(method))), Ok(format!("{class:?}")));
            }
            Ok((rest, _)) => {
                let trailing = matches!(ours, Err(MethodError::Trailing { bytes, .. }) if bytes == rest.len());
                prop_assert!(trailing, "{ours:?}");
            }
            // They want UTF-8 everywhere; we do not in what a publish names.
            Err(_) => prop_assert!(ours.is_err() || ours.is_ok_and(|method| names_what_is_no_text(&method))),
        }
    }

    #[test]
    fn we_read_the_headers_they_write(body_size: u64, sent in properties()) {
        let header = AMQPContentHeader { class_id: 60, body_size, properties: sent.clone() };
        let bytes = theirs(&AMQPFrame::Header(7, header));
        let frame = decode(&bytes, 0).unwrap().unwrap();
        prop_assert_eq!((frame.kind, frame.channel), (FrameKind::Header, 7));
        let header = parse_content_header(frame.payload).unwrap();
        prop_assert_eq!((header.class, header.weight, header.body_size), (60, 0, body_size));
        let read = Properties::parse(header.properties).unwrap();
        let short = |field| read.short_string(field).map(<[u8]>::to_vec);
        for (field, expected) in [
            (Field::ContentType, sent.content_type()),
            (Field::ContentEncoding, sent.content_encoding()),
            (Field::CorrelationId, sent.correlation_id()),
            (Field::ReplyTo, sent.reply_to()),
            (Field::Expiration, sent.expiration()),
            (Field::MessageId, sent.message_id()),
            (Field::Type, sent.kind()),
            (Field::UserId, sent.user_id()),
            (Field::AppId, sent.app_id()),
            (Field::ClusterId, sent.cluster_id()),
        ] {
            prop_assert_eq!(short(field), expected.as_ref().map(|text| text.as_str().as_bytes().to_vec()));
        }
        prop_assert_eq!(read.delivery_mode(), *sent.delivery_mode());
        prop_assert_eq!(read.priority(), *sent.priority());
        prop_assert_eq!(read.headers(), sent.headers().clone());
        let timestamp = sent.timestamp().map(u64::to_be_bytes);
        prop_assert_eq!(read.field(Field::Timestamp), timestamp.as_ref().map(|bytes| &bytes[..]));
        prop_assert_eq!(read.with(&[]), header.properties);
        let bare = read.with(&[(Field::Headers, None)]);
        prop_assert_eq!(Properties::parse(&bare).map(Properties::headers), Ok(None));
    }

    #[test]
    fn they_read_what_we_deliver(
        channel: u16,
        (consumer_tag, exchange, routing_key) in (text(), text(), text()),
        delivery_tag: u64,
        redelivered: bool,
        message_count: u32,
        sent in properties(),
        slices in body(),
        frame_max in frame_max(),
    ) {
        let header = AMQPContentHeader { class_id: 60, body_size: 0, properties: sent.clone() };
        let raw = theirs(&AMQPFrame::Header(1, header));
        let properties = Properties::parse(&raw[19..raw.len() - 1]).unwrap();
        let body_len = slices.iter().map(Bytes::len).sum();
        let content = || Content { properties, body_len, body: slices.iter() };
        let (in_exchange, key) = (exchange.as_str().as_bytes(), routing_key.as_str().as_bytes());
        let mut deliver = Output::default();
        deliver.deliver(
            channel, consumer_tag.as_str(), delivery_tag, redelivered, in_exchange, key, content(), frame_max,
        );
        let mut get_ok = Output::default();
        get_ok.get_ok(channel, delivery_tag, redelivered, in_exchange, key, message_count, content(), frame_max);
        let mut returned = Output::default();
        returned.basic_return(channel, 312, "NO_ROUTE", in_exchange, key, content(), frame_max);
        let (exchange, routing_key) = (exchange.clone(), routing_key.clone());
        for (output, expected) in [
            (deliver, basic::AMQPMethod::Deliver(basic::Deliver {
                consumer_tag, delivery_tag, redelivered,
                exchange: exchange.clone(), routing_key: routing_key.clone(),
            })),
            (get_ok, basic::AMQPMethod::GetOk(basic::GetOk {
                delivery_tag, redelivered,
                exchange: exchange.clone(), routing_key: routing_key.clone(), message_count,
            })),
            (returned, basic::AMQPMethod::Return(basic::Return {
                reply_code: 312, reply_text: "NO_ROUTE".into(), exchange, routing_key,
            })),
        ] {
            let bytes = waiting(&output);
            prop_assert_eq!(bytes.len(), output.len());
            let most = if frame_max == 0 { usize::MAX } else { usize::try_from(frame_max).unwrap() };
            let frames = read_by_them(&bytes, most);
            prop_assert_eq!(&frames[0], &AMQPFrame::Method(channel, AMQPClass::Basic(expected)));
            check_content(&frames[1..], channel, &sent, &slices)?;
        }
    }

    #[test]
    fn they_read_our_confirms_and_heartbeats(channel: u16, delivery_tag: u64, multiple: bool) {
        let mut output = Output::default();
        output.ack(channel, delivery_tag, multiple);
        output.heartbeat();
        output.nack(channel, delivery_tag, multiple);
        let ack = basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple });
        let nack = basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue: false });
        prop_assert_eq!(
            read_by_them(&waiting(&output), 0),
            [
                AMQPFrame::Method(channel, AMQPClass::Basic(ack)),
                AMQPFrame::Heartbeat,
                AMQPFrame::Method(channel, AMQPClass::Basic(nack)),
            ]
        );
    }

    #[test]
    fn tables_come_back_as_they_went(table in table()) {
        let bytes = encode(&table);
        prop_assert_eq!(check(&bytes), Ok(bytes.len()));
        prop_assert_eq!(parse(&bytes), Ok(table.clone()));
        prop_assert_eq!(&parse_headers(&bytes), &table);
        for (name, value) in &table {
            prop_assert_eq!(find(&bytes, name.as_str().as_bytes()), Some(value.clone()));
        }
    }

    #[test]
    fn output_may_be_sent_in_any_portions(
        bodies in prop::collection::vec(body(), 1..4),
        portions in prop::collection::vec((1..5_usize, any::<prop::sample::Index>()), 1..20),
    ) {
        let mut output = Output::default();
        let mut expected = Vec::new();
        let mut sent = Vec::new();
        let mut bodies = bodies.into_iter();
        for (count, part) in portions {
            if let Some(slices) = bodies.next() {
                let before = waiting(&output).len();
                let body_len = slices.iter().map(Bytes::len).sum();
                let content = Content { properties: Properties::default(), body_len, body: slices.iter() };
                output.deliver(1, "tag", 1, false, b"", b"", content, 5000);
                expected.extend_from_slice(&waiting(&output)[before..]);
            }
            let mut slices = vec![IoSlice::new(&[]); count];
            let filled = output.chunks(&mut slices);
            let offered: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            let taken = part.index(offered.len() + 1);
            sent.extend_from_slice(&offered[..taken]);
            output.advance(taken);
            prop_assert_eq!(output.len(), expected.len() - sent.len());
        }
        sent.extend_from_slice(&waiting(&output));
        prop_assert_eq!(sent, expected);
    }
}

#[test]
fn a_frame_is_the_same_in_both_eyes() {
    let bytes = theirs(&AMQPFrame::Body(3, b"body".to_vec()));
    let frame = Frame { kind: FrameKind::Body, channel: 3, payload: b"body" };
    assert_eq!(decode(&bytes, 0), Ok(Some(frame)));
}
