//! Ack, nack, reject, recover (semantics section 11).

use super::peer::{Peer, delivery};
use crate::model::event::SessionEvent;
use crate::model::ids::{Position, QueueId};

/// Five deliveries, positions 11 to 15, to consumer 2.
fn consuming() -> Peer {
    let mut peer = Peer::running();
    peer.consume("t", false);
    for position in 11..16 {
        peer.deliver(2, position);
    }
    peer.said();
    peer.calls();
    peer
}

fn nack(peer: &mut Peer, tag: u64, bits: u8) {
    let mut arguments = tag.to_be_bytes().to_vec();
    arguments.push(bits);
    peer.raw_method(60, 120, &arguments);
}

fn reject(peer: &mut Peer, tag: u64, requeue: bool) {
    let mut arguments = tag.to_be_bytes().to_vec();
    arguments.push(u8::from(requeue));
    peer.raw_method(60, 90, &arguments);
}

#[test]
fn each_way_to_settle_says_what_becomes_of_the_message() {
    let mut peer = consuming();
    peer.ack(1, false);
    nack(&mut peer, 2, 0);
    nack(&mut peer, 3, 2);
    reject(&mut peer, 4, false);
    reject(&mut peer, 5, true);
    assert_eq!(
        peer.calls(),
        [
            "settle q7 c2 11-11 Ack",
            "settle q7 c2 12-12 Discard",
            "settle q7 c2 13-13 Requeue { failed: false }",
            "settle q7 c2 14-14 Discard",
            "settle q7 c2 15-15 Requeue { failed: true }",
        ]
    );
}

#[test]
fn multiple_settles_all_up_to_the_tag() {
    let mut peer = consuming();
    peer.ack(2, false);
    peer.calls();
    peer.ack(4, true);
    assert_eq!(peer.calls(), ["settle q7 c2 11-11 Ack", "settle q7 c2 13-14 Ack"]);
    nack(&mut peer, 5, 1);
    assert_eq!(peer.calls(), ["settle q7 c2 15-15 Discard"]);
}

#[test]
fn tag_0_is_all_of_them() {
    let mut peer = consuming();
    peer.ack(0, true);
    peer.ack(0, true);
    assert_eq!(peer.calls(), ["settle q7 c2 11-15 Ack"]);
    assert!(peer.said().is_empty(), "also where there is none");
}

#[test]
fn a_tag_that_is_not_outstanding_is_406_and_settles_nothing() {
    let unknown = |tag: u64| format!("PRECONDITION_FAILED - unknown delivery tag {tag}");
    for tag in [0, 6, u64::MAX] {
        let mut peer = consuming();
        peer.ack(tag, false);
        assert_eq!(peer.said(), [format!("1 close 406 60.80 {}", unknown(tag))]);
        assert_eq!(peer.calls(), ["detach q7 c2"]);
    }
    let mut peer = consuming();
    peer.ack(3, false);
    peer.calls();
    peer.ack(3, true);
    assert_eq!(peer.said(), [format!("1 close 406 60.80 {}", unknown(3))]);
    assert_eq!(peer.calls(), ["detach q7 c2"], "not even the tags below it");
    let mut peer = consuming();
    nack(&mut peer, 9, 1);
    assert_eq!(peer.said(), [format!("1 close 406 60.120 {}", unknown(9))]);
    let mut peer = consuming();
    reject(&mut peer, 9, true);
    assert_eq!(peer.said(), [format!("1 close 406 60.90 {}", unknown(9))]);
}

#[test]
fn acks_one_by_one_are_handed_over_as_a_run() {
    let mut peer = consuming();
    let mut bytes = Vec::new();
    for tag in [1_u64, 2, 3, 5] {
        let mut arguments = tag.to_be_bytes().to_vec();
        arguments.push(0);
        bytes.extend(super::peer::raw_method(1, 60, 80, &arguments));
    }
    peer.send_bytes(&bytes);
    assert_eq!(peer.calls(), ["settle q7 c2 11-13 Ack", "settle q7 c2 15-15 Ack"]);
}

#[test]
fn what_was_gathered_goes_before_what_comes_after_it() {
    let mut peer = consuming();
    let mut bytes = super::peer::raw_method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 1, 0]);
    bytes.extend(super::peer::raw_method(1, 50, 30, b"\0\0\x01q\0"));
    peer.send_bytes(&bytes);
    assert_eq!(peer.calls(), ["settle q7 c2 11-11 Ack", "PurgeQueue { name: \"q\" }"]);
    let mut bytes = super::peer::raw_method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 2, 0]);
    bytes.extend(super::peer::raw_method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 4, 1]));
    peer.send_bytes(&bytes);
    assert_eq!(peer.calls(), ["settle q7 c2 12-12 Ack", "settle q7 c2 13-14 Ack"]);
    let mut bytes = super::peer::raw_method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 5, 0]);
    bytes.extend(super::peer::raw_method(1, 20, 40, &[0, 200, 0, 0, 0, 0, 0]));
    peer.send_bytes(&bytes);
    assert_eq!(peer.calls(), ["settle q7 c2 15-15 Ack", "detach q7 c2"]);
}

#[test]
fn consumers_that_take_turns_are_settled_in_runs_each() {
    let mut peer = Peer::running();
    for tag in ["a", "b"] {
        peer.consume(tag, false);
    }
    for position in 1..4 {
        peer.deliver(2, position);
        let mut other = delivery(3, position);
        (other.queue.queue, other.position) = (QueueId(8), Position(position + 10));
        peer.event(SessionEvent::Deliver(other));
    }
    peer.calls();
    peer.ack(6, true);
    assert_eq!(peer.calls(), ["settle q7 c2 1-3 Ack", "settle q8 c3 11-13 Ack"]);
}

#[test]
fn recover_requeues_all_that_is_unacked() {
    let mut peer = consuming();
    peer.ack(1, false);
    peer.calls();
    peer.raw_method(60, 110, &[1]);
    assert_eq!(peer.said(), ["1 60.111"]);
    assert_eq!(peer.calls(), ["settle q7 c2 12-15 Requeue { failed: false }"]);
    peer.raw_method(60, 100, &[1]);
    assert!(peer.said().is_empty() && peer.calls().is_empty(), "recover-async is not answered");
    peer.ack(2, false);
    assert_eq!(peer.said(), ["1 close 406 60.80 PRECONDITION_FAILED - unknown delivery tag 2"]);
}

#[test]
fn recover_without_requeue_is_540() {
    for method in [100, 110] {
        let mut peer = consuming();
        peer.raw_method(60, method, &[0]);
        assert_eq!(peer.said(), [format!("0 close 540 60.{method} NOT_IMPLEMENTED - requeue=false")]);
    }
}

#[test]
fn a_tag_of_another_channel_is_unknown() {
    let mut peer = consuming();
    peer.open_channel(2);
    peer.send_bytes(&super::peer::raw_method(2, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 1, 0]));
    assert_eq!(peer.said(), ["2 close 406 60.80 PRECONDITION_FAILED - unknown delivery tag 1"]);
}
