//! Publishes, returns, confirms (semantics section 9).

use bytes::BytesMut;
use leveret_codec::method::amqp::{AMQPClass, confirm};

use super::peer::{Peer, frame_bytes, header_frame, publish_frames, publish_method, raw_method};
use crate::model::event::{ConfirmToken, SessionEvent};
use crate::session::SessionLimits;

fn confirming() -> Peer {
    let mut peer = Peer::running();
    let select = confirm::Select { nowait: false };
    peer.send(1, &AMQPClass::Confirm(confirm::AMQPMethod::Select(select)));
    assert_eq!(peer.said(), ["1 85.11"]);
    peer
}

#[test]
fn a_publish_is_routed_and_submitted() {
    let mut peer = Peer::running();
    peer.publish("x", "key", b"body", false);
    assert_eq!(peer.calls(), ["submit key"]);
    let message = peer.session.port().messages.remove(0);
    assert_eq!((message.exchange(), message.routing_key()), (&b"x"[..], &b"key"[..]));
    assert!(peer.batch().is_empty(), "no confirm without confirm.select");
}

#[test]
fn properties_are_passed_on_as_they_came() {
    // content-type, headers with one byte array, which clients must get back as one.
    let mut raw = vec![0xA0, 0, 4];
    raw.extend(b"text\0\0\0\x08\x01ax\0\0\0\x01z");
    let mut peer = Peer::running();
    peer.send_bytes(&publish_frames(1, "", "k", &raw, b"x", false));
    assert_eq!(peer.session.port().messages[0].properties().raw(), raw);
}

#[test]
fn a_refused_publish_closes_what_its_fault_says() {
    let mut peer = Peer::running();
    peer.publish("missing", "k", b"x", false);
    assert_eq!(peer.said(), ["1 close 404 60.40 NOT_FOUND - no exchange 'missing' in vhost '/'"]);
    let mut peer = Peer::running();
    peer.publish("down", "k", b"x", false);
    assert_eq!(peer.said(), ["0 close 541 60.40 INTERNAL_ERROR - down"]);
}

#[test]
fn immediate_is_540() {
    let mut peer = Peer::running();
    let mut bytes = publish_method(1, "", "k", 2);
    bytes.extend(publish_frames(1, "", "k", &[0, 0], b"x", false));
    peer.send_bytes(&bytes);
    assert_eq!(peer.said(), ["0 close 540 60.40 NOT_IMPLEMENTED - immediate=true"]);
    assert_eq!(peer.calls(), ["CloseConnection"], "its content is swallowed");
}

#[test]
fn what_is_mandatory_and_reaches_nobody_comes_back() {
    let mut peer = Peer::running();
    peer.publish("x", "nowhere", b"body", true);
    assert_eq!(peer.said(), ["1 return 312 NO_ROUTE x/nowhere", "1 header 4", "1 body body"]);
    peer.publish("x", "nowhere", b"body", false);
    assert!(peer.said().is_empty());
    peer.publish("x", "k", b"body", true);
    assert!(peer.said().is_empty());
}

#[test]
fn returns_go_before_their_ack() {
    let mut peer = confirming();
    peer.publish("x", "nowhere", b"b", true);
    peer.publish("x", "nowhere", b"", false);
    assert_eq!(
        peer.batch(),
        ["1 return 312 NO_ROUTE x/nowhere", "1 header 1", "1 body b", "1 ack 2 multiple"]
    );
}

#[test]
fn confirms_are_counted_from_select_and_come_when_all_queues_are_done() {
    let mut peer = Peer::running();
    peer.publish("x", "before", b"", false);
    peer.raw_method(85, 10, &[1]);
    assert!(peer.said().is_empty(), "nowait");
    peer.session.port().confirms = 2;
    peer.publish("x", "k", b"", false);
    assert_eq!(peer.calls(), ["submit before", "submit k #1"]);
    peer.confirm(1, true);
    assert!(peer.batch().is_empty());
    peer.confirm(1, true);
    assert_eq!(peer.batch(), ["1 ack 1"]);
    peer.confirm(1, true);
    assert!(peer.batch().is_empty(), "once");
    peer.raw_method(85, 10, &[0]);
    assert_eq!(peer.said(), ["1 85.11"]);
    peer.publish("x", "k", b"", false);
    assert_eq!(peer.calls(), ["submit k #2"], "a second select changes nothing");
}

#[test]
fn a_publish_that_nobody_needs_to_confirm_is_acked_at_once() {
    let mut peer = confirming();
    peer.session.port().confirms = 0;
    peer.publish("x", "k", b"", false);
    assert_eq!(peer.batch(), ["1 ack 1"]);
}

#[test]
fn acks_are_multiple_where_nothing_before_is_open() {
    let mut peer = confirming();
    for _ in 0..6 {
        peer.publish("x", "k", b"", false);
    }
    for sequence in [2, 1, 5, 3] {
        peer.confirm(sequence, true);
    }
    assert_eq!(peer.batch(), ["1 ack 3 multiple", "1 ack 5"]);
    peer.confirm(6, true);
    assert_eq!(peer.batch(), ["1 ack 6"]);
    peer.confirm(4, true);
    assert_eq!(peer.batch(), ["1 ack 4"], "5 and 6 were acked before");
}

#[test]
fn a_refusal_of_any_queue_nacks() {
    let mut peer = confirming();
    peer.session.port().confirms = 2;
    for _ in 0..3 {
        peer.publish("x", "k", b"", false);
    }
    peer.confirm(2, false);
    for sequence in [1, 1, 2, 3, 3] {
        peer.confirm(sequence, true);
    }
    assert_eq!(
        peer.batch(),
        ["1 nack 2", "1 ack 3 multiple"],
        "the nack goes before an ack that would cover it"
    );
}

#[test]
fn a_late_confirm_is_not_for_a_new_channel() {
    let mut peer = confirming();
    peer.publish("x", "k", b"", false);
    peer.close_channel();
    peer.said();
    peer.open_channel(1);
    peer.raw_method(85, 10, &[0]);
    peer.publish("x", "k", b"", false);
    peer.said();
    peer.confirm(1, true);
    assert!(peer.batch().is_empty());
    let token = ConfirmToken { channel: 1, epoch: 2, sequence: 1 };
    peer.event(SessionEvent::Confirm { token, accepted: true });
    assert_eq!(peer.batch(), ["1 ack 1"]);
}

#[test]
fn confirms_that_are_due_go_before_a_close_and_none_after() {
    let mut peer = confirming();
    peer.publish("x", "nowhere", b"", false);
    peer.publish("x", "k", b"", false);
    peer.publish("missing", "k", b"", false);
    peer.confirm(2, true);
    let close = "1 close 404 60.40 NOT_FOUND - no exchange 'missing' in vhost '/'";
    assert_eq!(peer.batch(), ["1 ack 1", close]);
    let mut peer = confirming();
    peer.publish("x", "nowhere", b"", false);
    peer.send_bytes(&raw_method(0, 10, 50, &[0, 200, 0, 0, 0, 0, 0]));
    assert_eq!(peer.said(), ["1 ack 1", "0 10.51"]);
}

#[test]
fn confirm_and_tx_exclude_each_other() {
    let mut peer = confirming();
    peer.raw_method(90, 10, &[]);
    let text = "PRECONDITION_FAILED - cannot switch from confirm to tx mode";
    assert_eq!(peer.said(), [format!("1 close 406 90.10 {text}")]);
    let mut peer = Peer::running();
    peer.raw_method(90, 10, &[]);
    peer.raw_method(85, 10, &[0]);
    let text = "PRECONDITION_FAILED - cannot switch from tx to confirm mode";
    assert_eq!(peer.said(), ["1 90.11".to_owned(), format!("1 close 406 85.10 {text}")]);
}

/// publish and header on a channel, and so much of a body of 1 MB.
fn begin(peer: &mut Peer, channel: u16, part: usize) {
    let mut bytes = publish_method(channel, "", "k", 0);
    bytes.extend(header_frame(channel, 60, 0, 1_000_000, &[0, 0]));
    bytes.extend(frame_bytes(3, channel, &vec![0; part]));
    peer.send_bytes(&bytes);
}

#[test]
fn what_a_connection_has_begun_is_bounded_over_its_channels() {
    let limits = SessionLimits { held_bytes: 250_000, ..SessionLimits::default() };
    let mut peer = Peer::open_with(limits, &[]);
    for channel in 1..=3 {
        peer.open_channel(channel);
        begin(&mut peer, channel, 100_000);
    }
    let said = peer.said();
    assert!(said[0].starts_with("3 close 311 60.40 CONTENT_TOO_LARGE"), "{said:?}");
    assert!((200_000..201_000).contains(&peer.session.held_bytes()), "{}", peer.session.held_bytes());
    for _ in 0..9 {
        peer.send_bytes(&frame_bytes(3, 3, &[0; 100_000]));
    }
    assert!(peer.said().is_empty(), "what comes on a channel that is being closed is swallowed");
}

#[test]
fn a_content_is_held_until_it_is_complete_and_a_whole_frame_never() {
    let mut peer = Peer::running();
    peer.session.set_most_held(600_000);
    begin(&mut peer, 1, 100_000);
    for received in 2..=5usize {
        peer.send_bytes(&frame_bytes(3, 1, &[0; 100_000]));
        assert!(peer.session.held_bytes() >= received * 100_000);
    }
    peer.send_bytes(&frame_bytes(3, 1, &[0; 100_000]));
    peer.session.set_most_held(0);
    let said = peer.said();
    assert!(said.is_empty(), "{said:?}");
    let mut peer = Peer::running();
    peer.session.set_most_held(100);
    peer.publish("", "k", &[0; 100_000], false);
    assert_eq!((peer.calls(), peer.session.held_bytes()), (vec!["submit k".to_owned()], 0));
}

/// Bytes of the bodies that the broker was given which lie in this allocation, and outside of it.
fn where_bodies_lie(peer: &mut Peer, allocation: std::ops::Range<*const u8>) -> (usize, usize) {
    let messages = std::mem::take(&mut peer.session.port().messages);
    let slices = messages.iter().flat_map(|message| message.body().slices());
    let (inside, outside): (Vec<_>, Vec<_>) = slices.partition(|slice| allocation.contains(&slice.as_ptr()));
    let len = |slices: Vec<&bytes::Bytes>| slices.iter().map(|slice| slice.len()).sum();
    (len(inside), len(outside))
}

#[test]
fn a_message_that_is_small_against_the_buffer_it_came_in_does_not_keep_it() {
    const READ: usize = 256 << 10;
    let parts = |len: usize, count: usize| {
        let mut bytes = publish_method(1, "", "k", 0);
        bytes.extend(header_frame(1, 60, 0, (len * count) as u64, &[0, 0]));
        (0..count).for_each(|_| bytes.extend(frame_bytes(3, 1, &vec![7; len])));
        bytes
    };
    let large = 100_000;
    for (what, bytes, copied, kept) in [
        ("small ones between large ones", [parts(large, 1), parts(5_000, 1)].concat(), 5_000, large),
        ("a small one alone", parts(5_000, 1), 5_000, 0),
        ("small parts of a large one", parts(10_000, 20), 200_000, 0),
        ("one that takes a good part of it", parts(20_000, 1), 0, 20_000),
    ] {
        let mut peer = Peer::running();
        peer.input = BytesMut::with_capacity(READ);
        let start = peer.input.as_ptr();
        let allocation = start..start.wrapping_add(READ);
        // The front of the buffer was worked off before.
        peer.send_bytes(&frame_bytes(8, 0, b""));
        peer.send_bytes(&bytes);
        assert_eq!(where_bodies_lie(&mut peer, allocation), (kept, copied), "{what}");
    }
    let mut peer = Peer::running();
    peer.input = BytesMut::with_capacity(8 << 10);
    let start = peer.input.as_ptr();
    let allocation = start..start.wrapping_add(8 << 10);
    peer.send_bytes(&parts(5_000, 1));
    assert_eq!(where_bodies_lie(&mut peer, allocation), (5_000, 0), "in a small buffer it may stay");
}

#[test]
fn publishes_that_are_searched_for_long_leave_room_for_others_in_between() {
    let mut peer = Peer::running();
    peer.session.port().search = 20_000;
    let all: Vec<u8> = (0..10).flat_map(|_| publish_frames(1, "", "q", &[0, 0], b"body", false)).collect();
    peer.send_bytes(&all);
    for left in [7, 4, 1] {
        assert_eq!(peer.calls().len(), 3, "the third one makes it too much");
        assert!(!peer.session.can_go_on(), "{left} wait until what was submitted is taken away");
        peer.session.port().searched = 0;
        assert!(peer.session.can_go_on());
        peer.send_bytes(&[]);
    }
    assert_eq!(peer.calls().len(), 1);
    assert!(peer.session.wants_input());
}

#[test]
fn what_goes_to_very_many_queues_waits_until_there_is_room_for_it() {
    let mut peer = Peer::running();
    peer.session.port().fan_out = 100;
    peer.session.set_fan_out_limit(250);
    let all: Vec<u8> = (0..10).flat_map(|_| publish_frames(1, "", "q", &[0, 0], b"body", false)).collect();
    peer.send_bytes(&all);
    assert_eq!(peer.calls().len(), 3, "what came in one piece is not acted on in one piece");
    assert!(peer.session.is_laden() && !peer.session.can_go_on() && !peer.session.wants_input());
    // Taken to the queues, where it still is.
    peer.session.port().fanned_out = 0;
    peer.session.set_fan_out_limit(0);
    peer.send_bytes(&[]);
    assert!(peer.calls().is_empty() && !peer.session.can_go_on());
    peer.session.set_fan_out_limit(1);
    assert!(peer.session.can_go_on());
    peer.send_bytes(&[]);
    assert_eq!(peer.calls().len(), 1, "one may always go");
    peer.session.set_fan_out_limit(usize::MAX);
    peer.send_bytes(&[]);
    assert_eq!(peer.calls().len(), 6);
    assert!(peer.session.wants_input());
}
