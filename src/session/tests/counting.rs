//! What a session counts, and what it answers to whoever asks.

use leveret_codec::method::amqp::{AMQPClass, confirm};

use super::peer::Peer;
use crate::model::counters::{ChannelCount, ConsumerCount, ExchangeCount};
use crate::model::ids::Timestamp;
use crate::model::question::{ChannelCounts, ConnectionAnswer, ConnectionQuestion, ConnectionTotals};

fn channels(peer: &Peer) -> Vec<ChannelCounts> {
    match peer.session.inquire(&ConnectionQuestion::Channels { after: None }) {
        Some(ConnectionAnswer::Channels { channels, is_all: true }) => channels,
        other => panic!("{other:?}"),
    }
}

fn totals(peer: &Peer) -> ConnectionTotals {
    match peer.session.inquire(&ConnectionQuestion::Totals) {
        Some(ConnectionAnswer::Totals(counts)) => counts.totals,
        other => panic!("{other:?}"),
    }
}

#[test]
fn publishes_are_counted_with_what_becomes_of_them_and_stay_when_the_channel_goes() {
    let mut peer = Peer::running();
    peer.publish("x", "key", b"body", false);
    let select = confirm::Select { nowait: false };
    peer.send(1, &AMQPClass::Confirm(confirm::AMQPMethod::Select(select)));
    for (key, mandatory) in [("key", false), ("nowhere", true), ("nowhere", false), ("key", false)] {
        peer.publish("y", key, b"body", mandatory);
    }
    peer.confirm(1, true);
    peer.batch();
    let told = channels(&peer);
    let counts = |wanted: &[ChannelCount]| wanted.iter().map(|&of| told[0].counters[of]).collect::<Vec<_>>();
    let published = [ChannelCount::Publish, ChannelCount::PublishConfirm, ChannelCount::Routed];
    assert_eq!(counts(&published), [5, 4, 3]);
    let unroutable = [ChannelCount::ReturnUnroutable, ChannelCount::DropUnroutable];
    assert_eq!(counts(&unroutable), [1, 1]);
    assert_eq!((counts(&[ChannelCount::Confirm]), told[0].unconfirmed), (vec![3], 1));
    let exchange = |name: &str, published, routed| (name.into(), ExchangeCount { published, routed });
    assert_eq!(told[0].exchanges, [exchange("x", 1, 1), exchange("y", 4, 2)]);
    peer.close_channel();
    assert!(channels(&peer).is_empty());
    let kept = totals(&peer);
    assert_eq!((kept.counters[ChannelCount::Publish], kept.sizes.counts[0], kept.sizes.sum), (5, 5, 20));
    assert_eq!(kept.exchanges.len(), 2);
    assert!(kept.traffic.bytes_in > 0 && kept.traffic.reads > 0);
    peer.session.lost(Timestamp(0));
    assert_eq!(peer.session.port().totals, kept, "the port is told at the end");
    assert_eq!(peer.session.inquire(&ConnectionQuestion::Totals), None);
}

#[test]
fn deliveries_and_acks_are_counted_by_channel_and_by_consumer() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    for position in 11..15 {
        peer.deliver(2, position);
    }
    peer.ack(1, false);
    peer.ack(3, true);
    let told = channels(&peer);
    let counters = &told[0].counters;
    assert_eq!((counters[ChannelCount::Deliver], counters[ChannelCount::Acked], told[0].unacked), (4, 3, 1));
    let question = ConnectionQuestion::Consumers { of: None, after: None };
    let Some(ConnectionAnswer::Consumers { consumers, is_all: true }) = peer.session.inquire(&question)
    else {
        panic!("there is an answer");
    };
    assert_eq!((consumers.len(), &*consumers[0].tag, consumers[0].no_ack), (1, "t", false));
    assert_eq!(consumers[0].counts, ConsumerCount { delivered: 4, redelivered: 0, acked: 3 });
    let behind = ConnectionQuestion::Consumers { of: Some(1), after: Some((1, "t".into())) };
    let none = ConnectionAnswer::Consumers { consumers: Vec::new(), is_all: true };
    assert_eq!(peer.session.inquire(&behind), Some(none));
}
