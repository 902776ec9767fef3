//! Channels open, fail, close, and are used again (semantics 0.5, 0.6, 0.8, section 4).

use super::peer::{Peer, frame_bytes, header_frame, publish_frames, raw_method};
use crate::model::event::SessionEvent;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::request::Reply;
use crate::session::SessionLimits;

const UNKNOWN_TAG: &str = "1 close 406 60.80 PRECONDITION_FAILED - unknown delivery tag 9";

fn answer(frames: &[Vec<u8>]) -> Vec<String> {
    let mut peer = Peer::running();
    peer.send_bytes(&frames.concat());
    peer.said()
}

#[test]
fn a_second_open_is_504() {
    let text = "0 close 504 20.10 CHANNEL_ERROR - second 'channel.open' seen";
    assert_eq!(answer(&[raw_method(1, 20, 10, &[0])]), [text]);
}

#[test]
fn a_channel_that_is_not_open_takes_only_open() {
    let expected = "CHANNEL_ERROR - expected 'channel.open'";
    assert_eq!(answer(&[raw_method(5, 60, 10, &[0; 7])]), [format!("0 close 504 60.10 {expected}")]);
    assert_eq!(answer(&[raw_method(5, 20, 41, &[])]), [format!("0 close 504 20.41 {expected}")]);
    let not_a_method =
        "0 close 505 0.0 UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    assert_eq!(answer(&[header_frame(5, 60, 0, 3, &[0, 0])]), [not_a_method]);
}

#[test]
fn channels_are_counted_and_not_their_numbers() {
    let mut peer = Peer::connected(SessionLimits::default());
    peer.send_bytes(b"AMQP\0\0\x09\x01");
    peer.start_ok("PLAIN", b"", &[]);
    peer.tune_ok(2, 131_072, 0);
    peer.open("/");
    peer.said();
    peer.open_channel(100);
    peer.open_channel(65_535);
    assert_eq!(peer.channels(), 2);
    peer.send_bytes(&raw_method(3, 20, 10, &[0]));
    let text = "number of channels opened (2) has reached the negotiated channel_max (2)";
    assert_eq!(peer.said(), [format!("0 close 530 0.0 NOT_ALLOWED - {text}")]);
}

#[test]
fn the_broker_may_have_channels_enough() {
    let mut peer = Peer::running();
    peer.open_channel(2);
    peer.said();
    assert_eq!(peer.session.port().channels, 2);
    peer.send_bytes(&raw_method(2, 20, 40, b"\0\0\0\0\0\0\0"));
    assert_eq!(peer.session.port().channels, 1, "a closed channel makes room");
    peer.said();
    peer.session.port().channel = Err(Fault::new(ReplyCode::NotAllowed, "enough"));
    peer.send_bytes(&raw_method(2, 20, 10, &[0]));
    assert_eq!(peer.said(), ["0 close 530 0.0 NOT_ALLOWED - enough"]);
    assert_eq!(peer.session.port().channels, 0);
}

#[test]
fn after_channel_close_everything_is_swallowed_until_close_ok() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.said();
    peer.calls();
    let mut bytes = publish_frames(1, "", "k", &[0, 0], b"in flight", false);
    bytes.extend(frame_bytes(3, 1, b"stray"));
    bytes.extend(raw_method(1, 50, 10, b"\0\0\x01q\0\0\0\0\0"));
    bytes.extend(raw_method(1, 60, 99, &[]));
    peer.ack(9, false);
    peer.send_bytes(&bytes);
    peer.deliver(2, 1);
    assert_eq!(peer.said(), [UNKNOWN_TAG]);
    assert_eq!(peer.calls(), ["detach q7 c2"], "at once, and nothing else is done");
    peer.channel_close_ok();
    peer.open_channel(1);
}

#[test]
fn crossing_closes_are_answered() {
    let mut peer = Peer::running();
    peer.ack(9, false);
    peer.close_channel();
    peer.channel_close_ok();
    assert_eq!(peer.said(), [UNKNOWN_TAG, "1 20.41"]);
    peer.open_channel(1);
}

#[test]
fn a_closing_channel_is_not_opened_again() {
    let mut peer = Peer::running();
    peer.ack(9, false);
    peer.said();
    peer.send_bytes(&raw_method(1, 20, 10, &[0]));
    assert_eq!(peer.said(), ["0 close 504 20.10 CHANNEL_ERROR - second 'channel.open' seen"]);
}

#[test]
fn a_fault_of_one_channel_leaves_the_others_alone() {
    let mut peer = Peer::running();
    peer.open_channel(2);
    peer.ack(9, false);
    peer.send_bytes(&raw_method(2, 60, 10, &[0; 7]));
    assert_eq!(peer.said(), [UNKNOWN_TAG, "2 60.11"]);
}

#[test]
fn closing_gives_back_what_the_channel_holds() {
    let mut peer = Peer::running();
    for tag in ["a", "b"] {
        peer.consume(tag, false);
    }
    peer.deliver(2, 1);
    peer.send_bytes(&raw_method(1, 60, 30, b"\x01a\0"));
    let mut got = super::peer::delivery(1, 5);
    got.no_ack = false;
    peer.session.port().script.push_back(Some(Reply::Got { delivery: Box::new(got), remaining: 0 }));
    peer.send_bytes(&raw_method(1, 60, 70, b"\0\0\x01q\0"));
    peer.said();
    peer.calls();
    peer.close_channel();
    assert_eq!(peer.said(), ["1 20.41"]);
    // The gets of the channel, the cancelled consumer that still holds one, the live one.
    assert_eq!(peer.calls(), ["detach q7 c1", "detach q7 c2", "detach q7 c3"]);
    peer.event(SessionEvent::Deliver(super::peer::delivery(3, 2)));
    assert!(peer.said().is_empty());
    assert_eq!(peer.channels(), 0);
}

#[test]
fn delivery_tags_begin_anew() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.deliver(2, 1);
    peer.close_channel();
    peer.said();
    peer.open_channel(1);
    peer.consume("t", false);
    peer.deliver(4, 1);
    assert_eq!(peer.said()[1], "1 deliver t 1 x/k");
}

#[test]
fn flow_is_only_accepted_on() {
    assert_eq!(answer(&[raw_method(1, 20, 20, &[1])]), ["1 20.21"]);
    assert_eq!(answer(&[raw_method(1, 20, 20, &[0])]), ["0 close 540 20.20 NOT_IMPLEMENTED - active=false"]);
}

#[test]
fn access_is_granted() {
    let mut peer = Peer::running();
    peer.send_bytes(&raw_method(1, 30, 10, b"\x05/data\x1c"));
    assert_eq!(peer.output()[7..13], [0, 30, 0, 11, 0, 1]);
}

#[test]
fn what_only_a_server_sends_is_503() {
    let cases: [(u16, u16, &[u8]); 8] = [
        (20, 21, &[1]),
        (20, 11, &[0, 0, 0, 0]),
        (60, 72, &[0]),
        (50, 21, &[]),
        (40, 51, &[]),
        (85, 11, &[]),
        (90, 21, &[]),
        (30, 11, &[0, 1]),
    ];
    for (class, method, arguments) in cases {
        let text = format!("0 close 503 {class}.{method} COMMAND_INVALID - unimplemented method");
        assert_eq!(answer(&[raw_method(1, class, method, arguments)]), [text]);
    }
    let close = raw_method(1, 10, 50, &[0, 200, 0, 0, 0, 0, 0]);
    assert_eq!(answer(&[close]), ["0 close 503 10.50 COMMAND_INVALID - unimplemented method"]);
}

#[test]
fn channel_0_takes_only_methods_of_the_connection() {
    let running = "CHANNEL_ERROR - unexpected method in connection state running";
    for (class, method, arguments) in
        [(20, 10, &[0][..]), (60, 80, &[0; 9]), (10, 40, b"\x01/\0\0"), (10, 51, &[]), (10, 30, &[0; 8])]
    {
        assert_eq!(
            answer(&[raw_method(0, class, method, arguments)]),
            [format!("0 close 504 {class}.{method} {running}")]
        );
    }
    let header = header_frame(0, 60, 0, 0, &[0, 0]);
    assert_eq!(answer(&[header]), ["0 close 505 0.0 UNEXPECTED_FRAME - frame of type 2 on channel 0"]);
}
