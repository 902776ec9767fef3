//! What a peer that does not read makes of a session, and how every end comes to its end: the bound on what waits to be
//! sent, the time for it, what is due after the client's last byte.

use leveret_codec::method::amqp::basic;

use super::peer::{Peer, delivery, publish_frames, raw_method};
use crate::model::event::SessionEvent;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::message::{Body, Message, Origin};
use crate::model::request::Reply;
use crate::session::{End, SessionLimits, Tally};

/// Most bytes that wait in these tests.
const LIMIT: usize = 1000;

fn bounded() -> Peer {
    let limits = SessionLimits { unwritten_bytes: LIMIT, ..SessionLimits::default() };
    let mut peer = Peer::open_with(limits, &[]);
    peer.open_channel(1);
    peer.calls();
    peer
}

fn qos() -> Vec<u8> {
    raw_method(1, 60, 10, &[0; 7])
}

fn confirming() -> Peer {
    let mut peer = Peer::running();
    peer.raw_method(85, 10, &[0]);
    peer.said();
    peer.calls();
    peer
}

#[test]
fn whatever_is_asked_nothing_more_is_answered_than_the_bound_and_one_answer() {
    let returned = publish_frames(1, "", "nowhere", &[0, 0], &[7; 300], true);
    let declare = raw_method(1, 50, 10, b"\0\0\x01q\x01\0\0\0\0");
    let get = raw_method(1, 60, 70, b"\0\0\x01q\x01");
    let open_twice = raw_method(1, 20, 20, &[1]);
    for (what, method) in
        [("qos", qos()), ("a return", returned), ("declare", declare), ("get", get), ("flow", open_twice)]
    {
        let mut peer = bounded();
        for _ in 0..1000 {
            peer.input.extend_from_slice(&method);
        }
        peer.send_bytes(&[]);
        assert!(!peer.session.wants_input(), "{what}: the socket is not read");
        let waiting = peer.session.output().len();
        assert!((LIMIT..LIMIT + 400).contains(&waiting), "{what}: {waiting} bytes wait");
        peer.send_bytes(&method);
        assert_eq!(peer.session.output().len(), waiting, "{what}: nothing goes on meanwhile");
        let mut answers = 0;
        while answers < 1001 {
            let lines = peer.said();
            let heads = lines.iter().filter(|line| !line.contains(" header ") && !line.contains(" body "));
            answers += heads.count();
            assert!(!lines.is_empty(), "{what}: {answers} of 1001 came");
            peer.send_bytes(&[]);
        }
        assert_eq!(
            (answers, peer.session.wants_input()),
            (1001, true),
            "{what}: all is answered once it reads"
        );
    }
}

#[test]
fn a_get_of_a_large_message_is_one_at_a_time() {
    let mut peer = bounded();
    let get = raw_method(1, 60, 70, b"\0\0\x01q\x01");
    peer.session.port().script.extend([None, None]);
    peer.send_bytes(&get.repeat(3));
    let message = |len: usize| {
        let body = Body::whole(vec![7; len].into());
        let (arena, properties) = (&mut bytes::BytesMut::new(), Default::default());
        let message = Message::new(arena, b"", b"q", properties, body, Origin::Client).into();
        let delivery =
            Box::new(crate::model::consuming::Delivery { message, no_ack: true, ..delivery(1, 1) });
        Reply::Got { delivery, remaining: 9 }
    };
    peer.reply(message(100_000));
    assert_eq!(peer.calls().len(), 1, "the second is not asked for while the first is not taken");
    peer.output();
    peer.send_bytes(&[]);
    assert_eq!(peer.calls().len(), 1);
    peer.reply(message(10));
    peer.said();
    peer.send_bytes(&[]);
    assert_eq!(peer.calls().len(), 1);
}

#[test]
fn a_peer_that_takes_nothing_for_the_send_timeout_is_gone_and_one_that_takes_a_little_is_not() {
    let mut peer = Peer::running();
    for _ in 0..3 {
        peer.send_bytes(&qos());
        peer.pass(29_999);
        assert!(!peer.session.is_over());
        peer.session.output().advance(1);
        peer.session.written(peer.now, 1);
    }
    peer.send_bytes(&[8]);
    peer.pass(30_000);
    assert!(peer.session.is_over() && peer.session.gave_up() && peer.session.output().is_empty());
    assert!(
        matches!(peer.session.end(), Some(End::NotRead { after_ms: 30_000, .. })),
        "{:?}",
        peer.session.end()
    );
    assert_eq!(peer.calls().last().map(String::as_str), Some("CloseConnection"));
}

#[test]
fn silence_counts_against_a_peer_whose_output_is_full_and_its_heartbeats_for_it() {
    let limits = SessionLimits { send_timeout_ms: 1_000_000, ..SessionLimits::default() };
    let mut peer = Peer::open_with(limits, &[]);
    peer.session.set_output_limit(10);
    peer.send_bytes(&raw_method(1, 20, 10, &[0]));
    assert!(peer.session.is_full() && !peer.session.wants_input());
    for _ in 0..5 {
        peer.session.note_heard(1);
        peer.pass(60_000);
        assert!(!peer.session.is_over());
    }
    peer.pass(60_000);
    peer.pass(60_000);
    assert_eq!(peer.session.end(), Some(&End::HeartbeatsMissed { interval_ms: 60_000 }));
    assert!(peer.session.is_over() && peer.session.output().is_empty(), "at once");
}

#[test]
fn last_words_wait_as_long_as_they_are_taken_and_no_longer_than_a_close_may_take() {
    let mut peer = Peer::running();
    peer.event(SessionEvent::Close(Fault::new(ReplyCode::ConnectionForced, "gone")));
    for _ in 0..6 {
        peer.pass(4_900);
        assert!(!peer.session.is_over());
        peer.session.output().advance(1);
        peer.session.written(peer.now, 1);
    }
    assert_eq!(peer.session.next_deadline(), Some(peer.now.plus_millis(600)));
    peer.pass(600);
    assert!(peer.session.is_over() && peer.session.output().is_empty());
    assert_eq!(peer.session.end(), Some(&End::Closed("CONNECTION_FORCED - gone".into())));
}

#[test]
fn an_answer_that_the_broker_never_gives_does_not_keep_a_closing_connection() {
    let mut peer = Peer::running();
    peer.session.port().script.push_back(None);
    peer.send_bytes(&raw_method(0, 10, 50, &[0, 200, 2, b'O', b'K', 0, 0, 0, 0]));
    peer.pass(29_999);
    assert!(!peer.session.is_over());
    peer.pass(1);
    assert!(peer.session.is_over());
    assert_eq!(peer.session.end(), Some(&End::ClientClosed));
}

#[test]
fn a_stranger_that_is_refused_has_three_seconds() {
    let mut peer = Peer::started();
    peer.send_bytes(&raw_method(1, 20, 10, &[0]));
    peer.said();
    assert_eq!(peer.session.next_deadline(), Some(peer.now.plus_millis(3_000)));
    peer.pass(3_000);
    assert!(peer.session.is_over());
}

#[test]
fn after_the_last_byte_what_was_sent_is_done_and_what_is_due_is_said() {
    let mut peer = confirming();
    peer.session.port().script.push_back(None);
    let mut bytes = publish_frames(1, "", "k", &[0, 0], b"x", false);
    bytes.extend(raw_method(1, 60, 70, b"\0\0\x01q\x01"));
    bytes.extend(publish_frames(1, "", "later", &[0, 0], b"x", false));
    bytes.extend([1, 0]);
    peer.send_bytes(&bytes);
    peer.session.end_of_input(peer.now);
    assert!(peer.batch().is_empty() && !peer.session.is_over(), "a get and a confirm are due");
    peer.confirm(1, true);
    peer.reply(Reply::GotEmpty);
    assert_eq!(peer.batch(), ["1 60.72", "1 ack 1"]);
    assert!(!peer.session.is_over());
    peer.calls();
    peer.confirm(2, true);
    assert_eq!(peer.batch(), ["1 ack 2"]);
    assert!(peer.session.is_over());
    assert_eq!(peer.calls(), ["CloseConnection"]);
    assert_eq!(peer.session.end(), Some(&End::SocketClosed));
    assert_eq!(peer.session.tally(), Tally { channels: 1, published: 2, ..Tally::default() });
}

#[test]
fn where_nothing_is_due_the_last_byte_is_the_end() {
    let mut peer = Peer::running();
    peer.session.end_of_input(peer.now);
    peer.batch();
    assert!(peer.session.is_over() && !peer.session.gave_up());
    let mut peer = Peer::started();
    peer.session.end_of_input(peer.now);
    assert!(peer.session.is_over());
}

#[test]
fn what_is_due_after_the_last_byte_is_waited_for_within_bounds() {
    let mut peer = confirming();
    peer.publish("", "k", b"x", false);
    peer.session.end_of_input(peer.now);
    peer.batch();
    for _ in 0..4 {
        peer.pass(6_000);
        peer.batch();
        assert!(!peer.session.is_over(), "the broker is slow, not the peer");
    }
    peer.pass(6_000);
    assert!(peer.session.is_over());
}

#[test]
fn what_a_connection_did_is_counted() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.deliver(2, 1);
    peer.deliver(2, 2);
    peer.deliver(2, 3);
    peer.ack(2, true);
    peer.ack(3, false);
    peer.publish("", "k", b"x", false);
    peer.basic(basic::AMQPMethod::Qos(basic::Qos::default()));
    assert_eq!(peer.session.tally(), Tally { channels: 1, published: 1, delivered: 3, settled: 3 });
}
