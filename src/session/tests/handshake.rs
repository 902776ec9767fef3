//! From the first byte to connection.open (semantics section 1).

use leveret_codec::method::amqp::connection::{AMQPMethod, Close, SecureOk, Start, StartOk};
use leveret_codec::method::amqp::{AMQPClass, parse_class};
use leveret_codec::table::AMQPValue;

use super::peer::{Peer, frame_bytes, publish_frames, raw_method};
use crate::model::fault::{Fault, ReplyCode};
use crate::model::port::LoginRefused;
use crate::session::{End, SessionLimits};

#[test]
fn a_connection_opens_step_by_step() {
    let mut peer = Peer::connected(SessionLimits::default());
    assert_eq!(peer.state(), "starting");
    peer.send_bytes(b"AMQP\0\0");
    assert!(peer.said().is_empty(), "eight bytes are waited for");
    peer.send_bytes(b"\x09\x01");
    assert_eq!(peer.said(), ["0 10.10"]);
    peer.start_ok("PLAIN", b"\0guest\0guest", &[]);
    assert_eq!(peer.said(), ["0 10.30"]);
    assert_eq!((peer.state(), peer.session.user().map(|user| &**user)), ("tuning", Some("guest")));
    peer.tune_ok(2047, 131_072, 60);
    assert_eq!(peer.state(), "opening");
    peer.open("/");
    assert_eq!(peer.said(), ["0 10.41"]);
    assert_eq!(peer.calls(), ["login PLAIN |guest|guest true", "open /"]);
    assert_eq!(peer.state(), "running");
    assert_eq!(peer.session.vhost().map(|vhost| &**vhost), Some("/"));
    let properties = &peer.session.connection().expect("it is open").shared.client.properties;
    assert_eq!(properties.inner().get("connection_name"), Some(&AMQPValue::LongString("tester".into())));
}

#[test]
fn protocol_0_9_is_taken_for_0_9_1() {
    let mut peer = Peer::connected(SessionLimits::default());
    peer.send_bytes(b"AMQP\x01\x01\x00\x09");
    assert_eq!(peer.said(), ["0 10.10"]);
}

#[test]
fn any_other_protocol_is_answered_with_ours_and_the_end() {
    for header in
        [b"GET / HT", b"AMQP\x01\x01\x08\x00", b"AMQP\x00\x01\x00\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01"]
    {
        let mut peer = Peer::connected(SessionLimits::default());
        peer.send_bytes(header);
        assert_eq!(peer.output(), b"AMQP\x00\x00\x09\x01");
        assert!(peer.session.is_over());
    }
}

#[test]
fn start_names_the_product_the_capabilities_and_the_mechanisms() {
    let mut peer = Peer::connected(SessionLimits::default());
    peer.send_bytes(b"AMQP\0\0\x09\x01");
    let bytes = peer.output();
    let (_, method) = parse_class(&bytes[7..bytes.len() - 1]).expect("a method");
    let AMQPClass::Connection(AMQPMethod::Start(Start { server_properties, mechanisms, locales, .. })) =
        method
    else {
        panic!("not connection.start");
    };
    assert_eq!((mechanisms.as_bytes(), locales.as_bytes()), (&b"PLAIN AMQPLAIN"[..], &b"en_US"[..]));
    let properties = server_properties.inner();
    assert_eq!(properties.get("product"), Some(&AMQPValue::LongString("RabbitMQ".into())));
    for name in ["version", "platform", "copyright", "information", "cluster_name"] {
        assert!(properties.contains_key(name), "{name}");
    }
    let capabilities = properties.get("capabilities").and_then(AMQPValue::as_field_table).expect("a table");
    assert_eq!(capabilities.inner().len(), 9);
    assert_eq!(capabilities.inner().get("basic.nack"), Some(&AMQPValue::Boolean(true)));
}

#[test]
fn tune_offers_the_limits() {
    let mut peer = Peer::started();
    peer.start_ok("PLAIN", b"", &[]);
    assert_eq!(peer.output()[11..19], [0x07, 0xff, 0, 2, 0, 0, 0, 60]);
}

#[test]
fn a_refused_login_is_told_only_where_the_client_can_hear_it() {
    for capable in [true, false] {
        let mut peer = Peer::started();
        peer.session.port().login = Err(LoginRefused::Credentials("wrong password".to_owned()));
        peer.start_ok("PLAIN", b"\0guest\0x", if capable { &["authentication_failure_close"] } else { &[] });
        if capable {
            let text = "0 close 403 0.0 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
                        For details see the broker logfile.";
            assert_eq!(peer.said(), [text]);
            assert!(!peer.session.is_over());
        } else {
            assert!(peer.said().is_empty());
            assert!(peer.session.is_over());
        }
        assert_eq!(peer.session.end(), Some(&End::LoginRefused("wrong password (mechanism PLAIN)".into())));
        assert_eq!(peer.session.user(), None);
    }
}

#[test]
fn a_malformed_response_is_its_fault() {
    let mut peer = Peer::started();
    let fault = Fault::new(ReplyCode::CommandInvalid, "unknown authentication mechanism 'X'");
    peer.session.port().login = Err(LoginRefused::Malformed(fault));
    peer.start_ok("X", b"", &[]);
    assert_eq!(peer.said(), ["0 close 503 10.11 COMMAND_INVALID - unknown authentication mechanism 'X'"]);
}

#[test]
fn tune_ok_out_of_range_is_530_on_tune() {
    let too_high = "is higher than the maximum allowed value";
    let cases = [
        (4000, 131_072, format!("channel_max = 4000 {too_high} (2047)")),
        (0, 131_072, format!("channel_max = 0 (no limit) {too_high} (2047)")),
        (10, 131_073, format!("frame_max = 131073 {too_high} (131072)")),
        (10, 0, format!("frame_max = 0 (no limit) {too_high} (131072)")),
        (10, 4095, "frame_max = 4095 is lower than the minimum allowed value (4096)".to_owned()),
    ];
    for (channel_max, frame_max, text) in cases {
        let mut peer = Peer::started();
        peer.start_ok("PLAIN", b"", &[]);
        peer.said();
        peer.tune_ok(channel_max, frame_max, 0);
        assert_eq!(peer.said(), [format!("0 close 530 10.30 NOT_ALLOWED - negotiated {text}")]);
    }
}

#[test]
fn no_limits_on_both_sides_agree_and_4096_is_enough() {
    for (limit, frame_max) in [(0, 0), (131_072, 4096)] {
        let limits = SessionLimits { channel_max: 0, frame_max: limit, ..SessionLimits::default() };
        let mut peer = Peer::connected(limits);
        peer.send_bytes(b"AMQP\0\0\x09\x01");
        peer.start_ok("PLAIN", b"", &[]);
        peer.tune_ok(0, frame_max, 0);
        peer.open("/");
        assert_eq!(peer.said().last().map(String::as_str), Some("0 10.41"));
    }
}

#[test]
fn a_vhost_that_is_refused_is_530_on_open() {
    let mut peer = Peer::started();
    peer.start_ok("PLAIN", b"", &[]);
    peer.tune_ok(10, 4096, 0);
    peer.said();
    peer.open("nope");
    assert_eq!(peer.said(), ["0 close 530 10.40 NOT_ALLOWED - vhost nope not found"]);
    assert!(!peer.calls().contains(&"CloseConnection".to_owned()), "nothing was opened");
}

#[test]
fn methods_out_of_order_are_504_with_the_state() {
    let close = AMQPClass::Connection(AMQPMethod::Close(Close::default()));
    let mut peer = Peer::started();
    peer.send(0, &close);
    assert_eq!(
        peer.said(),
        ["0 close 504 10.50 CHANNEL_ERROR - unexpected method in connection state starting"]
    );
    let mut peer = Peer::started();
    peer.start_ok("PLAIN", b"", &[]);
    peer.said();
    peer.send(0, &AMQPClass::Connection(AMQPMethod::StartOk(StartOk::default())));
    assert_eq!(
        peer.said(),
        ["0 close 504 10.11 CHANNEL_ERROR - unexpected method in connection state tuning"]
    );
    let mut peer = Peer::started();
    peer.start_ok("PLAIN", b"", &[]);
    peer.tune_ok(10, 4096, 0);
    peer.said();
    peer.send(0, &close);
    assert_eq!(
        peer.said(),
        ["0 close 504 10.50 CHANNEL_ERROR - unexpected method in connection state opening"]
    );
    let mut peer = Peer::started();
    peer.send(0, &AMQPClass::Connection(AMQPMethod::SecureOk(SecureOk::default())));
    assert_eq!(
        peer.said(),
        ["0 close 504 10.21 CHANNEL_ERROR - unexpected method in connection state starting"]
    );
    let mut peer = Peer::started();
    peer.send_bytes(&raw_method(0, 60, 80, &[0; 9]));
    assert_eq!(
        peer.said(),
        ["0 close 504 60.80 CHANNEL_ERROR - unexpected method in connection state starting"]
    );
}

#[test]
fn frames_of_channels_are_505_before_open() {
    for (frame, kind, channel) in [
        (raw_method(1, 20, 10, &[0]), 1, 1),
        (frame_bytes(3, 1, b"x"), 3, 1),
        (frame_bytes(2, 0, b"x"), 2, 0),
    ] {
        let mut peer = Peer::started();
        peer.send_bytes(&frame);
        let text =
            format!("UNEXPECTED_FRAME - frame of type {kind} on channel {channel} before connection.open");
        assert_eq!(peer.said(), [format!("0 close 505 0.0 {text}")]);
    }
}

#[test]
fn heartbeats_and_pipelining_are_welcome_early() {
    let mut peer = Peer::connected(SessionLimits::default());
    let mut all = b"AMQP\0\0\x09\x01".to_vec();
    all.extend(frame_bytes(8, 0, b""));
    all.extend(raw_method(0, 10, 11, b"\0\0\0\0\x05PLAIN\0\0\0\x02\0\0\x05en_US"));
    all.extend(raw_method(0, 10, 31, &[0, 10, 0, 1, 0, 0, 0, 0]));
    all.extend(raw_method(0, 10, 40, b"\x01/\0\0"));
    all.extend(raw_method(1, 20, 10, &[0]));
    // Allowed by what was just negotiated, and not by the limit before it.
    all.extend(publish_frames(1, "", "k", &[0, 0], &[0; 20_000], false));
    peer.send_bytes(&all);
    assert_eq!(peer.said(), ["0 10.10", "0 10.30", "0 10.41", "1 20.11"]);
    assert!(peer.input.is_empty());
}

#[test]
fn tune_ok_bounds_the_very_next_frame() {
    let mut peer = Peer::started();
    peer.start_ok("PLAIN", b"", &[]);
    peer.said();
    peer.tune_ok(10, 65_536, 0);
    peer.send_bytes(&frame_bytes(8, 0, &[0; 20_000]));
    assert_eq!(peer.said(), ["0 close 501 0.0 FRAME_ERROR - heartbeat frame with a payload of 20000 bytes"]);
}

#[test]
fn frames_before_tune_ok_are_bounded() {
    let mut peer = Peer::started();
    peer.send_bytes(&[1, 0, 0, 0, 0, 0x20, 1]);
    let text =
        "FRAME_ERROR - type 1, channel 0: frame of 8193 bytes is larger than the negotiated frame_max 8192";
    assert_eq!(peer.said(), [format!("0 close 501 0.0 {text}")]);
    assert!(peer.input.is_empty());
}

#[test]
fn a_handshake_that_takes_too_long_ends_without_a_word() {
    let mut peer = Peer::connected(SessionLimits::default());
    peer.pass(9_999);
    assert!(!peer.session.is_over());
    assert_eq!(peer.session.next_deadline(), Some(peer.now.plus_millis(1)));
    peer.pass(1);
    assert!(peer.session.is_over());
    assert!(peer.said().is_empty());
    assert_eq!(peer.session.next_deadline(), None);
}

#[test]
fn deeply_nested_tables_are_refused_before_login() {
    let mut table = Vec::new();
    for _ in 0..1000 {
        let mut outer = b"\x01aF".to_vec();
        outer.extend(u32::try_from(table.len()).expect("small").to_be_bytes());
        outer.extend(table);
        table = outer;
    }
    let mut arguments = u32::try_from(table.len()).expect("small").to_be_bytes().to_vec();
    arguments.extend(table);
    let mut peer = Peer::started();
    peer.send_bytes(&raw_method(0, 10, 11, &arguments));
    assert_eq!(
        peer.said(),
        ["0 close 501 10.11 FRAME_ERROR - method 10.11: field table nests deeper than 32 levels"]
    );
}
