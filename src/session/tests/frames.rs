//! Frames, content assembly, heartbeats (semantics 0.8 to 0.10, section 2, section 3).

use super::peer::{Peer, frame_bytes, header_frame, publish_frames, publish_method, raw_method};
use crate::session::SessionLimits;

const NOT_A_METHOD: &str =
    "0 close 505 0.0 UNEXPECTED_FRAME - expected method frame, got non method frame instead";
const NOT_A_HEADER: &str = "0 close 505 60.40 UNEXPECTED_FRAME - expected content header for class 60, got non \
                            content header frame instead";
const NOT_A_BODY: &str =
    "0 close 505 60.40 UNEXPECTED_FRAME - expected content body, got non content body frame instead";

/// What is said to these bytes on a connection with channel 1 open.
fn answer(frames: &[Vec<u8>]) -> Vec<String> {
    let mut peer = Peer::running();
    peer.send_bytes(&frames.concat());
    peer.said()
}

#[test]
fn faults_of_framing_are_501() {
    let mut wrong_end = raw_method(1, 60, 10, &[0; 7]);
    *wrong_end.last_mut().expect("an end") = 0xCD;
    let cases = [
        (wrong_end, "type 1, channel 1: invalid frame end marker 0xcd, expected 0xce"),
        (vec![5, 0, 1, 0, 0, 0, 0, 0xCE], "unknown frame type 5 on channel 1"),
        (
            vec![3, 0, 1, 0, 3, 0, 0],
            "type 3, channel 1: frame of 196608 bytes is larger than the negotiated frame_max 131072",
        ),
    ];
    for (bytes, text) in cases {
        assert_eq!(answer(&[bytes]), [format!("0 close 501 0.0 FRAME_ERROR - {text}")]);
    }
}

#[test]
fn after_a_framing_fault_all_input_is_discarded_for_three_seconds() {
    let mut peer = Peer::running();
    let mut bytes = raw_method(1, 60, 10, &[0; 7]);
    bytes.extend([5, 0, 1, 0, 0, 0, 0, 0xCE]);
    bytes.extend(raw_method(1, 60, 10, &[0; 7]));
    peer.send_bytes(&bytes);
    assert_eq!(peer.said(), ["1 60.11", "0 close 501 0.0 FRAME_ERROR - unknown frame type 5 on channel 1"]);
    assert!(peer.input.is_empty() && peer.session.wants_input());
    peer.send_bytes(&raw_method(0, 10, 51, &[]));
    assert!(peer.input.is_empty() && !peer.session.is_over(), "not even close-ok is looked for");
    peer.pass(2_999);
    assert!(!peer.session.is_over());
    peer.pass(1);
    assert!(peer.session.is_over());
    assert_eq!(peer.calls().iter().filter(|call| *call == "CloseConnection").count(), 1);
}

#[test]
fn frames_in_pieces_are_waited_for() {
    let mut peer = Peer::running();
    let frames = publish_frames(1, "", "k", &[0, 0], b"hello", false);
    for byte in frames {
        peer.send_bytes(&[byte]);
    }
    assert_eq!(peer.calls(), ["submit k"]);
}

#[test]
fn heartbeats_are_for_channel_0() {
    assert_eq!(
        answer(&[frame_bytes(8, 1, b"")]),
        ["0 close 505 0.0 UNEXPECTED_FRAME - heartbeat on channel 1"]
    );
    assert!(answer(&[frame_bytes(8, 0, b""), frame_bytes(8, 0, b"")]).is_empty());
    assert_eq!(
        answer(&[frame_bytes(8, 0, b"abc")]),
        ["0 close 501 0.0 FRAME_ERROR - heartbeat frame with a payload of 3 bytes"]
    );
}

#[test]
fn a_method_that_cannot_be_read_closes_the_connection() {
    let cases: [(Vec<u8>, &str); 9] = [
        (
            frame_bytes(1, 1, &[0, 60, 0]),
            "501 0.0 FRAME_ERROR - method frame of 3 bytes is too short for its method",
        ),
        (raw_method(1, 99, 1, &[]), "540 99.1 NOT_IMPLEMENTED - unknown method 99.1"),
        (raw_method(1, 60, 99, &[]), "540 60.99 NOT_IMPLEMENTED - unknown method 60.99"),
        (
            raw_method(1, 50, 30, &[0]),
            "501 50.30 FRAME_ERROR - method frame of 5 bytes is too short for its method",
        ),
        (
            raw_method(1, 50, 10, b"\0\0\x01\xff\0\0\0\0\0"),
            "501 0.0 FRAME_ERROR - Malformed UTF-8 in shortstr",
        ),
        (
            raw_method(1, 50, 10, b"\0\0\x01q\0\0\0\0\x03\x01aZ"),
            "501 50.10 FRAME_ERROR - method 50.10: unknown field type 0x5a",
        ),
        (
            raw_method(1, 20, 20, &[1, 0]),
            "501 20.20 FRAME_ERROR - method 20.20: 1 bytes follow its arguments",
        ),
        (
            raw_method(1, 60, 80, &[0; 11]),
            "501 60.80 FRAME_ERROR - method 60.80: 2 bytes follow its arguments",
        ),
        (
            raw_method(0, 10, 50, b"\0\0\x01\xff\0\0\0\0"),
            "501 10.50 FRAME_ERROR - Malformed UTF-8 in shortstr",
        ),
    ];
    for (bytes, text) in cases {
        assert_eq!(answer(&[bytes]), [format!("0 close {text}")]);
    }
    // What a message names is any bytes.
    let publish = raw_method(1, 60, 40, b"\0\0\x01\xff\x01\xff\0");
    assert!(answer(&[publish, header_frame(1, 60, 0, 0, &[0, 0])]).is_empty());
}

#[test]
fn content_out_of_sequence_is_505() {
    let publish = || publish_method(1, "", "k", 0);
    let header = |size| header_frame(1, 60, 0, size, &[0, 0]);
    let qos = || raw_method(1, 60, 10, &[0; 7]);
    let body = || frame_bytes(3, 1, b"x");
    assert_eq!(answer(&[header(3)]), [NOT_A_METHOD]);
    assert_eq!(answer(&[body()]), [NOT_A_METHOD]);
    assert_eq!(answer(&[publish(), qos()]), [NOT_A_HEADER]);
    assert_eq!(answer(&[publish(), body()]), [NOT_A_HEADER]);
    assert_eq!(answer(&[publish(), header_frame(1, 60, 1, 0, &[0, 0])]), [NOT_A_HEADER]);
    assert_eq!(answer(&[publish(), header(3), qos()]), [NOT_A_BODY]);
    assert_eq!(answer(&[publish(), header(3), header(3)]), [NOT_A_BODY]);
    assert_eq!(answer(&[publish(), header(0), frame_bytes(3, 1, b"")]), [NOT_A_METHOD]);
    assert_eq!(
        answer(&[publish(), header_frame(1, 50, 0, 0, &[0, 0])]),
        [
            "0 close 505 60.40 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"
        ]
    );
    let close = raw_method(1, 20, 40, &[0, 200, 0, 0, 0, 0, 0]);
    assert_eq!(answer(&[publish(), header(3), close]), [NOT_A_BODY]);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let publish = || publish_method(1, "", "k", 0);
    let header = |size| header_frame(1, 60, 0, size, &[0, 0]);
    let overflow = "0 close 501 60.40 FRAME_ERROR - content body frame exceeds remaining content size";
    assert_eq!(answer(&[publish(), header(3), frame_bytes(3, 1, b"four")]), [overflow]);
    for size in [1 << 63, u64::MAX, 512 * 1024 * 1024 + 1] {
        let text = format!("content body size {size} exceeds maximum allowed size 536870912");
        assert_eq!(answer(&[publish(), header(size)]), [format!("0 close 501 60.40 FRAME_ERROR - {text}")]);
    }
}

#[test]
fn a_message_over_the_limit_is_406_and_its_body_is_swallowed() {
    let mut peer = Peer::running();
    let size = 16 * 1024 * 1024 + 1;
    peer.send_bytes(&publish_method(1, "", "k", 0));
    peer.send_bytes(&header_frame(1, 60, 0, size, &[0, 0]));
    let text = format!("message size {size} is larger than configured max size 16777216");
    assert_eq!(peer.said(), [format!("1 close 406 60.40 PRECONDITION_FAILED - {text}")]);
    peer.send_bytes(&frame_bytes(3, 1, &[0; 1000]));
    peer.send_bytes(&publish_frames(1, "", "k", &[0, 0], b"x", false));
    assert!(peer.said().is_empty() && peer.calls().is_empty());
    peer.channel_close_ok();
    peer.open_channel(1);
}

#[test]
fn headers_that_cannot_be_read_are_refused() {
    let publish = || publish_method(1, "", "k", 0);
    let short = "0 close 501 0.0 FRAME_ERROR - content header frame of 5 bytes is too short";
    assert_eq!(answer(&[publish(), frame_bytes(2, 1, b"abcde")]), [short]);
    let cases: [(&[u8], &str); 4] = [
        (&[0, 1, 0, 0], "property flags 0x0001 name fields that do not exist"),
        (&[0x80, 0, 5, b'a'], "property list ends before its last field"),
        (&[0, 0, 1], "1 bytes follow the property list"),
        (&[0x20, 0, 0, 0, 0, 9], "headers: field table ends before its announced length"),
    ];
    for (properties, text) in cases {
        assert_eq!(
            answer(&[publish(), header_frame(1, 60, 0, 0, properties)]),
            [format!("0 close 502 60.40 SYNTAX_ERROR - {text}")]
        );
    }
}

#[test]
fn bodies_come_whole_from_any_framing() {
    let big = vec![b'b'; 5000];
    let parts: [&[u8]; 6] = [b"a", b"", &big, b"cc", &big, b"d"];
    let whole = parts.concat();
    let mut peer = Peer::running();
    let mut bytes = publish_method(1, "x", "k", 0);
    bytes.extend(header_frame(1, 60, 0, whole.len() as u64, &[0x10, 0, 2]));
    for part in parts {
        bytes.extend(frame_bytes(3, 1, part));
    }
    bytes.extend(publish_frames(1, "x", "empty", &[0, 0], b"", false));
    peer.send_bytes(&bytes);
    let messages = std::mem::take(&mut peer.session.port().messages);
    assert_eq!(messages[0].body().slices().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>(), whole);
    assert!(messages[0].is_persistent());
    assert_eq!((messages[1].routing_key(), messages[1].body().len()), (&b"empty"[..], 0));
}

#[test]
fn a_body_in_tiny_frames_is_gathered() {
    let mut peer = Peer::running();
    let mut bytes = publish_method(1, "x", "k", 0);
    bytes.extend(header_frame(1, 60, 0, 10_000, &[0, 0]));
    for _ in 0..10_000 {
        bytes.extend(frame_bytes(3, 1, b"y"));
    }
    peer.send_bytes(&bytes);
    assert_eq!(peer.session.port().messages[0].body().slices().count(), 1);
}

#[test]
fn contents_of_different_channels_interleave() {
    let mut peer = Peer::running();
    peer.open_channel(2);
    let mut bytes = publish_method(1, "", "one", 0);
    bytes.extend(publish_method(2, "", "two", 0));
    for channel in [2, 1] {
        bytes.extend(header_frame(channel, 60, 0, 1, &[0, 0]));
    }
    for channel in [2, 1] {
        bytes.extend(frame_bytes(3, channel, b"x"));
    }
    peer.send_bytes(&bytes);
    assert_eq!(peer.calls(), ["submit two", "submit one"]);
}

#[test]
fn a_heartbeat_is_sent_after_silence_only() {
    let mut peer = Peer::running();
    peer.calls();
    assert_eq!(peer.session.next_deadline(), Some(peer.now.plus_millis(30_000)));
    // The answers of the handshake count as sent.
    peer.pass(30_000);
    assert!(peer.said().is_empty());
    peer.send_bytes(&frame_bytes(8, 0, b""));
    peer.pass(30_000);
    assert_eq!(peer.batch(), ["0 heartbeat"]);
    peer.pass(29_999);
    assert!(peer.said().is_empty());
    // A heartbeat is nothing said: the next one follows half an interval later.
    peer.pass(1);
    assert_eq!(peer.said(), ["0 heartbeat"]);
}

#[test]
fn a_peer_that_is_silent_for_two_intervals_is_gone() {
    let mut peer = Peer::running();
    peer.pass(60_000);
    peer.pass(59_999);
    // One byte of a frame is a sign of life (semantics 3.2, 3.3).
    peer.send_bytes(&[8]);
    peer.pass(1);
    peer.said();
    peer.pass(60_000);
    assert!(!peer.session.is_over());
    peer.said();
    peer.pass(60_000);
    assert!(peer.session.is_over());
    assert!(peer.said().iter().all(|line| line == "0 heartbeat"), "no connection.close");
    assert!(peer.calls().contains(&"CloseConnection".to_owned()));
}

#[test]
fn silence_is_not_held_against_a_peer_that_is_not_read() {
    let mut peer = Peer::running();
    peer.session.set_reading(false);
    for _ in 0..5 {
        peer.pass(60_000);
    }
    assert!(!peer.session.is_over());
    peer.session.set_reading(true);
    peer.pass(60_000);
    peer.pass(60_000);
    assert!(peer.session.is_over());
}

#[test]
fn heartbeats_can_be_off() {
    let mut peer = Peer::connected(SessionLimits::default());
    peer.send_bytes(b"AMQP\0\0\x09\x01");
    peer.start_ok("PLAIN", b"", &[]);
    peer.tune_ok(10, 131_072, 0);
    peer.open("/");
    peer.said();
    assert_eq!(peer.session.next_deadline(), None);
    peer.pass(1 << 40);
    assert!(!peer.session.is_over());
}
