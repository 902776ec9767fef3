//! What the port is told of consumers and clients, for the event exchange (semantics 19.2): each consumer that began
//! ends once, whatever ends it.

use leveret_codec::method::amqp::basic::{AMQPMethod, Cancel};

use super::peer::Peer;
use super::port::QUEUE;
use crate::model::event::SessionEvent;
use crate::model::fault::Fault;
use crate::model::ids::{ConsumerNumber, Timestamp};
use crate::model::request::Reply;
use crate::model::resource::Resource;
use crate::session::SessionLimits;
use crate::session::consumers::REPLY_TO;
use crate::session::context::short;

fn told(peer: &mut Peer) -> Vec<String> {
    std::mem::take(&mut peer.session.port().consumers)
}

/// A client with two consumers, `a` and `b`, numbered 2 and 3.
fn consuming() -> Peer {
    let mut peer = Peer::running();
    peer.consume("a", false);
    peer.consume("b", true);
    assert_eq!(told(&mut peer), ["1: a of q begins", "1: b of q begins"]);
    peer
}

type End = fn(&mut Peer);

#[test]
fn a_consumer_ends_once_whatever_ends_it() {
    // And how many of the two consumers its channel still had when it went.
    let ends: [(&str, usize, End); 7] = [
        ("cancelled", 1, |peer| {
            peer.basic(AMQPMethod::Cancel(Cancel { consumer_tag: short("a"), nowait: false }));
        }),
        ("its queue is gone", 1, |peer| peer.event(SessionEvent::ConsumerCancelled(ConsumerNumber(2)))),
        ("timed out with its channel", 2, |peer| {
            let consumer = ConsumerNumber(2);
            peer.event(SessionEvent::ConsumerTimedOut { consumer, timeout: 1000, closes_channel: true });
        }),
        ("its channel is closed", 2, Peer::close_channel),
        ("its channel fails", 2, |peer| peer.ack(9, false)),
        ("the connection is closed by us", 2, |peer| {
            peer.session.shut_down(Fault::precondition("no more"));
        }),
        ("the connection is lost", 2, |peer| peer.session.lost(Timestamp(0))),
    ];
    for (how, left, end) in ends {
        let mut peer = consuming();
        end(&mut peer);
        peer.event(SessionEvent::ConsumerCancelled(ConsumerNumber(2)));
        peer.session.lost(Timestamp(0));
        let closed = format!("1: closed with {left}");
        assert_eq!(told(&mut peer), ["1: a of q ends", "1: b of q ends", &closed], "{how}");
    }
}

#[test]
fn what_never_began_does_not_end() {
    let mut peer = Peer::running();
    let refused = Reply::Refused(Fault::exclusive_use(Resource::queue("q", "/")));
    peer.session.port().script.extend([Some(refused), None]);
    peer.consume("refused", false);
    peer.channel_close_ok();
    peer.said();
    peer.open_channel(1);
    peer.consume("late", false);
    peer.session.shut_down(Fault::precondition("no more"));
    peer.reply(Reply::Consuming { queue: QUEUE });
    assert_eq!(told(&mut peer), ["1: closed with 0", "1: closed with 0"]);
}

#[test]
fn consumers_of_direct_replies_are_not_told() {
    let mut peer = Peer::running();
    peer.raw_method(60, 20, &[&b"\0\0\x15"[..], REPLY_TO.as_bytes(), b"\x01t\x02\0\0\0\0"].concat());
    assert_eq!(peer.said(), ["1 consume-ok t"]);
    peer.close_channel();
    assert_eq!(told(&mut peer), ["1: closed with 1"]);
}

#[test]
fn a_channel_has_no_more_consumers_than_the_node_allows() {
    let mut peer = Peer::open_with(SessionLimits::default(), &[]);
    peer.session.port().most_consumers = Some(2);
    peer.open_channel(1);
    for tag in ["a", "b"] {
        peer.consume(tag, false);
    }
    assert_eq!(peer.said(), ["1 consume-ok a", "1 consume-ok b"]);
    peer.consume("c", false);
    assert_eq!(peer.said(), ["0 close 530 60.20 NOT_ALLOWED - reached maximum (2) of consumers per channel"]);
}

#[test]
fn the_port_learns_what_the_client_said_and_agreed_on() {
    let mut peer = Peer::started();
    peer.start_ok("PLAIN", b"", &["basic.nack"]);
    peer.tune_ok(9, 9000, 7);
    peer.open("/");
    let client = peer.session.port().client.clone();
    assert_eq!((client.channel_max, client.frame_max, client.heartbeat_seconds), (9, 9000, 7));
    assert!(client.properties.inner().contains_key("connection_name"));
}
