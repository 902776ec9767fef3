//! What an alarm keeps a client from, and what it does not (semantics section 13).

use super::peer::{Peer, frame_bytes, header_frame, publish_frames, publish_method, raw_method};
use crate::model::event::{Alarms, SessionEvent};
use crate::session::SessionLimits;

const DISK: Alarms = Alarms { memory: false, disk: true };
const NONE: Alarms = Alarms { memory: false, disk: false };

fn peer(capabilities: &[&str]) -> Peer {
    let mut peer = Peer::open_with(SessionLimits::default(), capabilities);
    peer.open_channel(1);
    peer.open_channel(2);
    peer.calls();
    peer
}

fn publish(peer: &mut Peer, channel: u16, key: &str) {
    peer.send_bytes(&publish_frames(channel, "", key, &[0, 0], b"body", false));
}

fn set(peer: &mut Peer, alarms: Alarms) {
    let now = peer.now;
    peer.session.event(now, SessionEvent::Alarm(alarms));
}

fn published(peer: &mut Peer) -> Vec<String> {
    let calls = peer.calls();
    calls.into_iter().filter(|call| call.starts_with("submit")).collect()
}

#[test]
fn the_first_publish_blocks_and_waits_with_those_after_it() {
    let mut peer = peer(&["connection.blocked"]);
    set(&mut peer, DISK);
    assert_eq!(peer.said(), Vec::<String>::new(), "who does not publish hears nothing");
    publish(&mut peer, 1, "a");
    assert_eq!(peer.said(), ["0 10.60"]);
    assert_eq!(peer.state(), "blocked");
    publish(&mut peer, 1, "b");
    publish(&mut peer, 2, "c");
    assert!(published(&mut peer).is_empty());
    set(&mut peer, Alarms { memory: true, disk: true });
    assert_eq!(peer.said(), Vec::<String>::new(), "once is enough");
    set(&mut peer, NONE);
    assert_eq!(peer.said(), ["0 10.61"]);
    assert_eq!(published(&mut peer).len(), 3);
    assert_eq!(peer.state(), "running");
}

#[test]
fn acks_and_channels_that_do_not_publish_go_on() {
    let mut peer = peer(&[]);
    peer.consume("t", false);
    peer.deliver(3, 1);
    peer.said();
    set(&mut peer, DISK);
    publish(&mut peer, 1, "a");
    publish(&mut peer, 1, "b");
    peer.calls();
    peer.ack(1, false);
    peer.send_bytes(&raw_method(2, 50, 30, b"\0\0\x01q\0"));
    let calls = peer.calls();
    assert!(calls.iter().any(|call| call.starts_with("settle")), "{calls:?}");
    assert_eq!(peer.said(), ["2 50.31"], "and who cannot hear of it hears nothing");
    peer.send_bytes(&raw_method(1, 50, 30, b"\0\0\x01q\0"));
    assert_eq!(peer.said(), Vec::<String>::new(), "a request behind a publish waits with it");
    set(&mut peer, NONE);
    assert_eq!(peer.said(), ["1 50.31"]);
}

#[test]
fn a_close_waits_for_what_was_published_before_it() {
    let mut peer = peer(&[]);
    set(&mut peer, DISK);
    publish(&mut peer, 1, "a");
    publish(&mut peer, 1, "b");
    peer.calls();
    peer.send_bytes(&raw_method(0, 10, 50, b"\0\xc8\0\0\0\0\0"));
    assert!(!peer.session.is_over());
    set(&mut peer, NONE);
    assert_eq!(published(&mut peer).len(), 2);
    assert!(peer.session.is_over());
}

#[test]
fn a_client_that_goes_on_publishing_is_not_read_any_more() {
    let mut peer = peer(&[]);
    set(&mut peer, DISK);
    let body = vec![1; 100_000];
    for _ in 0..3 {
        assert!(peer.session.wants_input());
        peer.send_bytes(&publish_frames(1, "", "k", &[0, 0], &body, false));
    }
    assert!(!peer.session.wants_input());
    peer.calls();
    set(&mut peer, NONE);
    assert!(peer.session.wants_input());
    assert_eq!(published(&mut peer).len(), 3);
}

#[test]
fn what_was_begun_before_the_alarm_waits_as_well() {
    let mut peer = peer(&["connection.blocked"]);
    for channel in [1, 2] {
        let mut bytes = publish_method(channel, "", "k", 0);
        bytes.extend(header_frame(channel, 60, 0, 1_000_000, &[0, 0]));
        peer.send_bytes(&bytes);
    }
    set(&mut peer, Alarms { memory: true, disk: false });
    let held = peer.session.held_bytes();
    let mut sent = 0;
    while peer.session.wants_input() && sent < 20 {
        peer.send_bytes(&frame_bytes(3, 1 + sent % 2, &[0; 100_000]));
        sent += 1;
    }
    assert_eq!((sent, peer.session.held_bytes()), (3, held));
    assert_eq!(peer.said(), ["0 10.60"]);
    set(&mut peer, NONE);
    assert_eq!(peer.said(), ["0 10.61"]);
    assert!(peer.session.wants_input() && peer.session.held_bytes() >= 300_000);
    for channel in [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 2] {
        peer.send_bytes(&frame_bytes(3, channel, &[0; 100_000]));
    }
    assert_eq!((published(&mut peer).len(), peer.session.held_bytes()), (2, 0));
}

#[test]
fn the_acks_of_a_transaction_keep_their_place() {
    let mut peer = peer(&[]);
    peer.consume("t", false);
    peer.send_bytes(&raw_method(1, 90, 10, &[]));
    peer.deliver(3, 1);
    set(&mut peer, DISK);
    publish(&mut peer, 1, "a");
    publish(&mut peer, 1, "b");
    peer.send_bytes(&raw_method(1, 90, 20, &[]));
    peer.ack(1, false);
    peer.calls();
    peer.said();
    peer.session.port().confirms = 0;
    set(&mut peer, NONE);
    let calls = peer.calls();
    assert!(!calls.iter().any(|call| call.starts_with("settle")), "it came after the commit: {calls:?}");
}
