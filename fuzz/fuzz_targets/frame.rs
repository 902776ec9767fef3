//! A stream of frames, and the methods and content headers in them. A method that we accept is one amq-protocol
//! accepts, and the other way round, as long as its tables nest no deeper than we allow, nothing follows it, and the names
//! of a publish are text.

#![no_main]

use amq_protocol::protocol::parse_class;
use leveret_codec::frame::{FrameKind, decode};
use leveret_codec::method::{Method, MethodError, parse_content_header, parse_method};
use leveret_codec::properties::Properties;
use leveret_codec::table::TableError;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    while let Ok(Some(frame)) = decode(rest, 131_072) {
        match frame.kind {
            FrameKind::Method => check_method(frame.payload),
            FrameKind::Header => check_header(frame.payload),
            FrameKind::Body | FrameKind::Heartbeat => {}
        }
        rest = &rest[frame.wire_len()..];
    }
});

fn check_method(payload: &[u8]) {
    let is_text = |name: &[u8]| std::str::from_utf8(name).is_ok();
    match parse_method(payload) {
        // Their parser recurses as deep as the bytes say: it is not shown what we refused for that.
        Err(MethodError::Table { error: TableError::TooDeep, .. }) => {}
        // They pass over what follows the last argument; what comes before that is a method.
        Err(MethodError::Trailing { bytes, .. }) => {
            let method = &payload[..payload.len() - bytes];
            assert!(parse_method(method).is_ok());
            check_method(method);
        }
        // To them, names are text.
        Ok(Method::Publish(publish)) if !is_text(publish.exchange) || !is_text(publish.routing_key) => {}
        ours => assert_eq!(ours.is_ok(), parse_class(payload).is_ok(), "{ours:?}"),
    }
}

fn check_header(payload: &[u8]) {
    let Some(header) = parse_content_header(payload) else { return };
    let Ok(properties) = Properties::parse(header.properties) else { return };
    assert_eq!(properties.with(&[]), header.properties);
    let _ = (properties.headers(), properties.header("x-death"));
}
