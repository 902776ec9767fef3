//! The ways a connection ends (semantics 0.4, 0.7, 0.9, 1.22), and input that waits for an answer.

use leveret_codec::method::amqp::{AMQPClass, connection};

use super::peer::{Peer, delivery, publish_frames, raw_method};
use super::port::QUEUE;
use crate::model::event::SessionEvent;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::request::Reply;

const FORCED: &str = "0 close 320 0.0 CONNECTION_FORCED - broker forced connection closure";

fn forced() -> Fault {
    Fault::new(ReplyCode::ConnectionForced, "broker forced connection closure")
}

fn close() -> Vec<u8> {
    raw_method(0, 10, 50, &[0, 200, 2, b'O', b'K', 0, 0, 0, 0])
}

fn close_ok() -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}))
}

#[test]
fn close_is_answered_when_the_broker_is_done() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.said();
    peer.calls();
    peer.session.port().script.push_back(None);
    let mut bytes = close();
    bytes.extend(raw_method(0, 10, 51, &[]));
    bytes.extend(raw_method(1, 60, 10, &[0; 7]));
    peer.send_bytes(&bytes);
    assert!(peer.said().is_empty(), "exclusive queues go first, and nothing after close is acted on");
    assert_eq!(peer.calls(), ["detach q7 c2", "CloseConnection"]);
    assert!(!peer.session.wants_input() && !peer.session.is_over());
    peer.reply(Reply::Done);
    assert_eq!(peer.said(), ["0 10.51"]);
    assert!(peer.session.is_over());
}

#[test]
fn close_may_be_answered_at_once() {
    let mut peer = Peer::running();
    peer.send_bytes(&close());
    assert_eq!(peer.said(), ["0 10.51"]);
    assert!(peer.session.is_over());
    peer.session.lost(peer.now);
    assert_eq!(peer.calls(), ["CloseConnection"], "once");
}

#[test]
fn a_fault_closes_and_waits_for_the_answer() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.said();
    peer.calls();
    peer.send_bytes(&raw_method(1, 60, 110, &[0]));
    assert_eq!(peer.said(), ["0 close 540 60.110 NOT_IMPLEMENTED - requeue=false"]);
    assert_eq!(peer.calls(), ["detach q7 c2", "CloseConnection"]);
    assert_eq!((peer.state(), peer.session.wants_input()), ("closing", true));
    peer.send_bytes(&publish_frames(1, "", "k", &[0, 0], b"late", false));
    peer.deliver(2, 1);
    peer.confirm(1, true);
    assert!(peer.said().is_empty() && peer.calls().is_empty());
    peer.send_bytes(&close());
    assert_eq!(peer.said(), ["0 10.51"], "a crossing close is answered");
    assert!(!peer.session.is_over());
    peer.send(0, &close_ok());
    assert!(peer.session.is_over());
}

#[test]
fn a_client_that_never_answers_is_dropped() {
    let mut peer = Peer::running();
    peer.send_bytes(&raw_method(1, 60, 110, &[0]));
    assert_eq!(peer.session.next_deadline(), Some(peer.now.plus_millis(5_000)));
    peer.pass(4_999);
    assert!(!peer.session.is_over());
    peer.pass(1);
    assert!(peer.session.is_over());
}

#[test]
fn the_rest_of_the_input_after_a_fault_is_only_searched_for_the_end() {
    let mut peer = Peer::running();
    let mut bytes = raw_method(1, 60, 110, &[0]);
    bytes.extend(publish_frames(1, "", "k", &[0, 0], b"x", false));
    bytes.extend(close());
    bytes.extend([77; 20]);
    peer.send_bytes(&bytes);
    assert_eq!(peer.said(), ["0 close 540 60.110 NOT_IMPLEMENTED - requeue=false", "0 10.51"]);
    assert_eq!(peer.calls(), ["CloseConnection"]);
    assert!(peer.input.is_empty(), "what cannot be read is discarded");
}

#[test]
fn the_broker_closes() {
    let mut peer = Peer::running();
    peer.event(SessionEvent::Close(forced()));
    assert_eq!(peer.said(), [FORCED]);
    peer.event(SessionEvent::Close(forced()));
    peer.session.shut_down(forced());
    assert!(peer.said().is_empty(), "once");
    assert_eq!(peer.calls(), ["CloseConnection"]);
}

#[test]
fn a_soft_fault_of_the_connection_keeps_its_code() {
    let mut peer = Peer::running();
    peer.event(SessionEvent::Close(Fault::new(ReplyCode::AccessRefused, "gone")));
    assert_eq!(peer.said(), ["0 close 403 0.0 ACCESS_REFUSED - gone"]);
}

#[test]
fn a_server_stop_closes_in_any_state() {
    let mut peer = Peer::running();
    peer.session.shut_down(forced());
    assert_eq!(peer.said(), [FORCED]);
    let mut peer = Peer::started();
    peer.event(SessionEvent::Close(forced()));
    assert_eq!(peer.said(), [FORCED]);
    let mut peer = Peer::connected(crate::session::SessionLimits::default());
    peer.session.shut_down(forced());
    assert!(peer.said().is_empty() && peer.session.is_over());
}

#[test]
fn a_lost_socket_gives_all_back() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.calls();
    peer.session.lost(peer.now);
    assert_eq!(peer.calls(), ["detach q7 c2", "CloseConnection"]);
    assert!(peer.session.is_over() && !peer.session.wants_input());
    assert_eq!(peer.session.vhost().map(|vhost| &**vhost), Some("/"));
    assert_eq!(peer.session.user().map(|user| &**user), Some("guest"));
    peer.send_bytes(&close());
    peer.reply(Reply::Done);
    peer.session.tick(peer.now);
    peer.session.end_of_batch();
    assert!(peer.calls().is_empty());
}

#[test]
fn input_waits_for_an_answer_and_goes_on_after_it() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.said();
    peer.calls();
    peer.session.port().script.push_back(None);
    let mut bytes = raw_method(1, 50, 30, b"\0\0\x01q\0");
    bytes.extend(publish_frames(1, "", "k", &[0, 0], b"x", false));
    bytes.extend(raw_method(1, 60, 10, &[0; 7]));
    let (now, later) = bytes.split_at(bytes.len() - 3);
    peer.send_bytes(now);
    assert!(!peer.session.wants_input());
    assert_eq!(peer.calls(), ["PurgeQueue { name: \"q\" }"]);
    peer.send_bytes(later);
    assert!(peer.said().is_empty());
    peer.deliver(2, 1);
    assert_eq!(peer.said(), ["1 deliver t 1 x/k", "1 header 2", "1 body m1"], "deliveries go on");
    peer.reply(Reply::Count { messages: 2 });
    assert_eq!(peer.said(), ["1 50.31"]);
    assert_eq!(peer.calls(), ["submit k"]);
    assert!(peer.session.wants_input());
    peer.send_bytes(&[]);
    assert_eq!(peer.said(), ["1 60.11"]);
}

#[test]
fn an_error_behind_a_held_frame_comes_after_it() {
    let mut peer = Peer::running();
    peer.session.port().script.push_back(None);
    let mut bytes = raw_method(1, 50, 30, b"\0\0\x01q\0");
    bytes.extend([99, 0, 1, 0, 0, 0, 0, 0xCE]);
    peer.send_bytes(&bytes);
    assert!(peer.said().is_empty() && !peer.session.wants_input());
    peer.reply(Reply::Count { messages: 2 });
    assert_eq!(peer.said(), ["1 50.31", "0 close 501 0.0 FRAME_ERROR - unknown frame type 99 on channel 1"]);
}

#[test]
fn a_refusal_closes_the_channel_of_the_question() {
    let mut peer = Peer::running();
    peer.session.port().script.push_back(None);
    peer.send_bytes(&raw_method(1, 50, 30, b"\0\0\x01q\0"));
    peer.reply(Reply::Refused(Fault::new(ReplyCode::NotFound, "no queue 'q' in vhost '/'")));
    assert_eq!(peer.said(), ["1 close 404 50.30 NOT_FOUND - no queue 'q' in vhost '/'"]);
    let mut peer = Peer::running();
    peer.session.port().script.push_back(Some(Reply::Refused(Fault::new(ReplyCode::InternalError, "down"))));
    peer.send_bytes(&raw_method(1, 50, 30, b"\0\0\x01q\0"));
    assert_eq!(peer.said(), ["0 close 541 50.30 INTERNAL_ERROR - down"]);
}

#[test]
fn an_answer_to_something_else_is_our_own_fault() {
    let mut peer = Peer::running();
    peer.session.port().script.push_back(Some(Reply::GotEmpty));
    peer.send_bytes(&raw_method(1, 50, 30, b"\0\0\x01q\0"));
    assert_eq!(peer.said(), ["0 close 541 50.30 INTERNAL_ERROR - the broker answered what was not asked"]);
    let mut peer = Peer::running();
    peer.reply(Reply::Done);
    assert!(peer.said().is_empty(), "an answer to nothing is nothing");
}

#[test]
fn what_a_late_answer_grants_is_given_back() {
    let mut peer = Peer::running();
    peer.session.port().script.push_back(None);
    peer.consume("t", false);
    peer.event(SessionEvent::Close(forced()));
    peer.calls();
    peer.reply(Reply::Done);
    peer.reply(Reply::Consuming { queue: QUEUE });
    assert_eq!(peer.calls(), ["detach q7 c2"]);
    let mut peer = Peer::running();
    peer.session.port().script.push_back(None);
    peer.send_bytes(&raw_method(1, 60, 70, b"\0\0\x01q\0"));
    peer.event(SessionEvent::Close(forced()));
    peer.calls();
    peer.reply(Reply::Got { delivery: Box::new(delivery(1, 4)), remaining: 0 });
    assert_eq!(peer.calls(), ["detach q7 c1"]);
}

#[test]
fn a_new_secret_is_taken() {
    let mut peer = Peer::running();
    peer.send_bytes(&raw_method(0, 10, 70, b"\0\0\0\x03new\x03why"));
    assert_eq!((peer.said(), peer.calls()), (vec!["0 10.71".to_owned()], vec!["secret".to_owned()]));
}
