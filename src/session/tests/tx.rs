//! Transactions (semantics section 14).

use super::peer::{Peer, publish_frames, raw_method};
use crate::model::event::SessionEvent;
use crate::model::ids::ConsumerNumber;
use crate::session::SessionLimits;

fn selected(peer: &mut Peer) {
    peer.raw_method(90, 10, &[]);
    assert_eq!(peer.said(), ["1 90.11"]);
}

fn transacting() -> Peer {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.deliver(2, 1);
    peer.deliver(2, 2);
    peer.said();
    selected(&mut peer);
    peer.calls();
    peer
}

fn commit(peer: &mut Peer) {
    peer.raw_method(90, 20, &[]);
}

#[test]
fn commit_and_rollback_need_select() {
    for method in [20, 30] {
        let mut peer = Peer::running();
        peer.raw_method(90, method, &[]);
        let text = "PRECONDITION_FAILED - channel is not transactional";
        assert_eq!(peer.said(), [format!("1 close 406 90.{method} {text}")]);
    }
}

#[test]
fn publishes_and_acks_wait_for_the_commit_and_it_for_them() {
    let mut peer = transacting();
    selected(&mut peer);
    peer.publish("x", "a", b"1", false);
    peer.ack(1, false);
    peer.publish("x", "b", b"2", false);
    peer.ack(2, false);
    assert!(peer.calls().is_empty());
    assert_eq!(peer.session.port().messages.len(), 2, "routed when they came");
    let mut bytes = raw_method(1, 90, 20, &[]);
    bytes.extend(publish_frames(1, "x", "next", &[0, 0], b"", false));
    peer.send_bytes(&bytes);
    assert_eq!(
        peer.calls(),
        ["submit a #1", "submit b #2", "settle q7 c2 1-1 Ack", "settle q7 c2 2-2 Ack", "barrier #0"]
    );
    assert!(peer.said().is_empty() && !peer.session.wants_input());
    for sequence in [0, 1] {
        peer.confirm(sequence, true);
        assert!(peer.said().is_empty());
    }
    peer.deliver(2, 3);
    assert_eq!(peer.said()[0], "1 deliver t 3 x/k", "deliveries go on");
    peer.confirm(2, true);
    assert_eq!(peer.said(), ["1 90.21"]);
    assert!(peer.session.wants_input());
    assert_eq!(peer.session.port().messages.len(), 3, "the input went on");
    commit(&mut peer);
    assert_eq!(peer.calls(), ["submit next #1", "barrier #0"]);
}

#[test]
fn a_commit_of_nothing_is_answered_when_the_barrier_is() {
    let mut peer = transacting();
    commit(&mut peer);
    assert!(peer.said().is_empty());
    peer.confirm(0, true);
    assert_eq!(peer.said(), ["1 90.21"]);
    peer.session.port().confirms = 0;
    commit(&mut peer);
    assert_eq!(peer.said(), ["1 90.21"], "at once where nothing is to be waited for");
}

#[test]
fn returns_come_at_commit() {
    let mut peer = transacting();
    peer.session.port().confirms = 0;
    peer.publish("x", "nowhere", b"b", true);
    peer.publish("x", "nowhere", b"b", false);
    assert!(peer.said().is_empty());
    commit(&mut peer);
    assert_eq!(peer.said(), ["1 return 312 NO_ROUTE x/nowhere", "1 header 1", "1 body b", "1 90.21"]);
}

#[test]
fn a_refused_publish_is_a_partial_completion() {
    let mut peer = transacting();
    peer.publish("x", "a", b"", false);
    commit(&mut peer);
    peer.confirm(1, false);
    assert!(peer.said().is_empty(), "the rest is still waited for");
    peer.confirm(0, true);
    assert_eq!(peer.said(), ["1 close 406 90.20 PRECONDITION_FAILED - partial tx completion"]);
    peer.channel_close_ok();
    peer.open_channel(1);
}

#[test]
fn faults_come_at_publish_and_at_ack() {
    let mut peer = transacting();
    peer.publish("missing", "k", b"", false);
    assert_eq!(peer.said(), ["1 close 404 60.40 NOT_FOUND - no exchange 'missing' in vhost '/'"]);
    let mut peer = transacting();
    peer.ack(1, false);
    peer.ack(1, false);
    assert_eq!(peer.said(), ["1 close 406 60.80 PRECONDITION_FAILED - unknown delivery tag 1"]);
    assert_eq!(peer.calls(), ["detach q7 c2"]);
}

#[test]
fn rollback_drops_publishes_and_makes_acks_unacked_again() {
    let mut peer = transacting();
    peer.publish("x", "a", b"", false);
    peer.ack(2, false);
    peer.ack(1, false);
    peer.raw_method(60, 110, &[1]);
    assert_eq!(peer.said(), ["1 60.111"]);
    assert!(peer.calls().is_empty(), "what the transaction acked is not recovered");
    peer.raw_method(90, 30, &[]);
    assert_eq!(peer.said(), ["1 90.31"]);
    assert!(peer.calls().is_empty());
    peer.session.port().confirms = 0;
    peer.ack(2, true);
    commit(&mut peer);
    assert_eq!(peer.calls(), ["settle q7 c2 1-2 Ack", "barrier #0"]);
}

#[test]
fn a_channel_that_closes_gives_the_acks_of_its_transaction_back() {
    let mut peer = transacting();
    peer.raw_method(60, 30, b"\x01t\0");
    peer.ack(0, true);
    peer.calls();
    peer.close_channel();
    assert_eq!(peer.calls(), ["detach q7 c2"], "the consumer is gone, its acks were never carried out");
}

#[test]
fn a_channel_that_is_closed_during_its_commit_holds_nobody_up() {
    let mut peer = transacting();
    peer.publish("x", "a", b"1", false);
    let mut bytes = raw_method(1, 90, 20, &[]);
    bytes.extend(publish_frames(1, "x", "next", &[0, 0], b"", false));
    peer.send_bytes(&bytes);
    assert!(!peer.session.wants_input());
    let (consumer, timeout) = (ConsumerNumber(2), 1000);
    peer.event(SessionEvent::ConsumerTimedOut { consumer, timeout, closes_channel: true });
    assert!(peer.said()[0].starts_with("1 close 406"));
    assert!(peer.session.wants_input());
    peer.confirm(1, true);
    assert!(peer.said().is_empty());
}

#[test]
fn the_transactions_of_a_connection_are_bounded_in_bytes() {
    let limits = SessionLimits { held_bytes: 5000, ..SessionLimits::default() };
    let mut peer = Peer::open_with(limits, &[]);
    for channel in [1, 2] {
        peer.open_channel(channel);
        peer.send_bytes(&raw_method(channel, 90, 10, &[]));
        peer.said();
    }
    let publish = |channel| publish_frames(channel, "x", "a", &[0, 0], &[0; 3000], false);
    peer.send_bytes(&publish(1));
    assert!(peer.said().is_empty());
    peer.send_bytes(&publish(2));
    let said = peer.said();
    assert!(
        said[0].starts_with("2 close 311 60.40 CONTENT_TOO_LARGE - contents and transactions"),
        "{said:?}"
    );
    assert!(peer.session.held_bytes() > 3000);
    peer.raw_method(90, 30, &[]);
    assert_eq!((peer.said(), peer.session.held_bytes()), (vec!["1 90.31".to_owned()], 0));
    peer.send_bytes(&publish(1));
    peer.raw_method(90, 20, &[]);
    assert_eq!(peer.session.held_bytes(), 0);
    peer.confirm(1, true);
    peer.confirm(0, true);
    peer.send_bytes(&publish(1));
    peer.close_channel();
    assert_eq!(peer.session.held_bytes(), 0);
}

#[test]
fn acks_of_a_transaction_count_as_unacked_until_its_commit() {
    let mut peer = Peer::running();
    peer.raw_method(60, 10, &[0, 0, 0, 0, 0, 1, 1]);
    peer.consume("t", false);
    peer.said();
    selected(&mut peer);
    peer.deliver(2, 1);
    peer.ack(1, false);
    assert_eq!(peer.calls().last().map(String::as_str), Some("pause q7 c2 true"));
    peer.session.port().confirms = 0;
    commit(&mut peer);
    assert_eq!(peer.calls(), ["settle q7 c2 1-1 Ack", "pause q7 c2 false", "barrier #0"]);
}
