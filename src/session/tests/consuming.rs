//! Consumers, deliveries, get, qos, direct replies (semantics section 10, section 15).

use leveret_codec::method::amqp::basic::{AMQPMethod, Cancel, Consume, Get, Qos};
use leveret_codec::properties::{Field, Properties, encode_short_string};
use leveret_codec::table::{AMQPValue, FieldTable};

use super::peer::{Peer, delivery, delivery_of, publish_frames, raw_method};
use super::port::QUEUE;
use crate::model::consuming::Delivery;
use crate::model::event::SessionEvent;
use crate::model::fault::Fault;
use crate::model::ids::{ConsumerNumber, Position};
use crate::model::op::Attempts;
use crate::model::request::Reply;
use crate::model::resource::Resource;
use crate::session::SessionLimits;
use crate::session::context::short;

fn consume(queue: &str, tag: &str) -> Consume {
    Consume { queue: short(queue), consumer_tag: short(tag), ..Consume::default() }
}

fn qos(peer: &mut Peer, prefetch_count: u16, global: bool) {
    peer.said();
    peer.basic(AMQPMethod::Qos(Qos { prefetch_count, global }));
    assert_eq!(peer.said(), ["1 60.11"]);
}

fn cancel(peer: &mut Peer, tag: &str, nowait: bool) {
    peer.basic(AMQPMethod::Cancel(Cancel { consumer_tag: short(tag), nowait }));
}

#[test]
fn a_consumer_gets_its_deliveries() {
    let mut peer = Peer::running();
    let mut wanted = consume("q", "t");
    (wanted.exclusive, wanted.no_local) = (true, true);
    peer.basic(AMQPMethod::Consume(wanted));
    assert_eq!(peer.said(), ["1 consume-ok t"]);
    let call = "Consume { queue: \"q\", consumer: ConsumerNumber(2), options: ConsumeOptions { no_ack: \
                false, exclusive: true, prefetch: 0, priority: 0, timeout: None, of_streams: None } }";
    assert_eq!(peer.calls(), [call]);
    let mut again = delivery(2, 1);
    again.redelivered = true;
    peer.event(SessionEvent::Deliver(again));
    assert_eq!(peer.said(), ["1 deliver t 1 redelivered x/k", "1 header 2", "1 body m1"]);
}

#[test]
fn generated_tags_are_rabbitmqs() {
    let mut peer = Peer::running();
    peer.consume("", false);
    let said = peer.said();
    assert!(said[0].starts_with("1 consume-ok amq.ctag-"), "{said:?}");
    assert_eq!(said[0].len(), "1 consume-ok amq.ctag-".len() + 22);
    peer.consume("", false);
    assert_ne!(peer.said(), said);
}

#[test]
fn a_tag_is_used_once_per_channel() {
    let mut peer = Peer::running();
    peer.open_channel(2);
    peer.consume("t", false);
    peer.send_bytes(&raw_method(2, 60, 20, b"\0\0\x01q\x01t\0\0\0\0\0"));
    assert_eq!(peer.said(), ["1 consume-ok t", "2 consume-ok t"]);
    peer.consume("t", false);
    assert_eq!(peer.said(), ["0 close 530 60.20 NOT_ALLOWED - attempt to reuse consumer tag 't'"]);
}

#[test]
fn consumers_per_channel_are_bounded() {
    let limits = SessionLimits { consumers_per_channel: 1, ..SessionLimits::default() };
    let mut peer = Peer::open_with(limits, &[]);
    peer.open_channel(1);
    peer.consume("a", false);
    peer.said();
    peer.consume("b", false);
    assert_eq!(peer.said(), ["0 close 530 60.20 NOT_ALLOWED - reached maximum (1) of consumers per channel"]);
}

#[test]
fn a_refused_consumer_is_none() {
    let mut peer = Peer::running();
    let fault = Fault::exclusive_use(Resource::queue("q", "/"));
    peer.session.port().script.push_back(Some(Reply::Refused(fault)));
    peer.consume("t", false);
    assert_eq!(peer.said(), ["1 close 403 60.20 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"]);
    peer.calls();
    peer.channel_close_ok();
    assert!(peer.calls().is_empty());
}

#[test]
fn a_consume_with_nowait_is_not_answered() {
    let mut peer = Peer::running();
    let mut wanted = consume("q", "t");
    wanted.nowait = true;
    peer.basic(AMQPMethod::Consume(wanted));
    peer.deliver(2, 1);
    assert_eq!(peer.said()[0], "1 deliver t 1 x/k");
}

#[test]
fn priorities_are_any_integer() {
    let cases = [
        (AMQPValue::ShortShortInt(-2), Ok(-2)),
        (AMQPValue::LongInt(5), Ok(5)),
        (AMQPValue::LongUInt(u32::MAX), Ok(i32::MAX)),
        (AMQPValue::LongLongInt(i64::MIN), Ok(i32::MIN)),
        (AMQPValue::LongString("1".into()), Err("longstr")),
        (AMQPValue::Boolean(true), Err("bool")),
    ];
    for (value, wanted) in cases {
        let mut peer = Peer::running();
        let mut arguments = FieldTable::default();
        arguments.insert(short("x-priority"), value);
        peer.basic(AMQPMethod::Consume(Consume { arguments, ..consume("q", "t") }));
        match wanted {
            Ok(priority) => assert!(peer.calls()[0].contains(&format!("priority: {priority},"))),
            Err(kind) => {
                let text = format!(
                    "invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got {kind}\""
                );
                assert_eq!(peer.said(), [format!("1 close 406 60.20 PRECONDITION_FAILED - {text}")]);
            }
        }
    }
}

#[test]
fn cancel_asks_the_queue_and_keeps_what_is_unacked() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.deliver(2, 1);
    peer.said();
    peer.calls();
    peer.session.port().script.push_back(None);
    cancel(&mut peer, "t", false);
    assert_eq!(
        peer.calls(),
        [
            "Cancel { queue: QueueRef { queue: QueueId(7), shard: ShardIndex(256) }, consumer: ConsumerNumber(2) }"
        ]
    );
    peer.deliver(2, 2);
    assert_eq!(peer.said()[0], "1 deliver t 2 x/k", "deliveries in flight still arrive");
    peer.reply(Reply::Done);
    assert_eq!(peer.said(), ["1 cancel-ok t"]);
    peer.deliver(2, 3);
    assert!(peer.said().is_empty());
    peer.ack(2, true);
    assert_eq!(peer.calls(), ["settle q7 c2 1-2 Ack"]);
    peer.consume("t", false);
    assert_eq!(peer.said(), ["1 consume-ok t"], "the tag is free again");
}

#[test]
fn cancelling_an_unknown_tag_is_no_error() {
    let mut peer = Peer::running();
    cancel(&mut peer, "none", false);
    assert_eq!(peer.said(), ["1 cancel-ok none"]);
    cancel(&mut peer, "none", true);
    assert!(peer.said().is_empty() && peer.calls().is_empty());
    peer.consume("t", false);
    peer.said();
    cancel(&mut peer, "t", true);
    assert!(peer.said().is_empty());
    peer.raw_method(60, 31, b"\x01t");
    assert!(peer.said().is_empty(), "a client may answer a cancel of ours");
}

#[test]
fn a_cancel_by_the_broker_is_told_to_those_who_can_hear_it() {
    for capable in [true, false] {
        let capabilities: &[&str] = if capable { &["consumer_cancel_notify"] } else { &[] };
        let mut peer = Peer::open_with(SessionLimits::default(), capabilities);
        peer.open_channel(1);
        peer.consume("t", false);
        peer.deliver(2, 1);
        peer.said();
        peer.calls();
        peer.event(SessionEvent::ConsumerCancelled(ConsumerNumber(2)));
        peer.event(SessionEvent::ConsumerCancelled(ConsumerNumber(2)));
        let told: &[&str] = if capable { &["1 cancel t nowait=true"] } else { &[] };
        assert_eq!(peer.said(), told);
        peer.ack(1, false);
        assert_eq!(peer.calls(), ["settle q7 c2 1-1 Ack"], "still ackable (8.3)");
        assert!(peer.said().is_empty());
    }
}

#[test]
fn a_consumer_that_held_a_delivery_for_too_long_is_cancelled_or_its_channel_closed() {
    let text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1000 ms. This \
                timeout value can be configured, see consumers doc guide to learn more";
    for (capable, closes_channel) in [(true, false), (false, false), (true, true)] {
        let capabilities: &[&str] = if capable { &["consumer_cancel_notify"] } else { &[] };
        let mut peer = Peer::open_with(SessionLimits::default(), capabilities);
        peer.open_channel(1);
        peer.consume("t", false);
        peer.deliver(2, 1);
        peer.said();
        peer.calls();
        let consumer = ConsumerNumber(2);
        peer.event(SessionEvent::ConsumerTimedOut { consumer, timeout: 1000, closes_channel });
        if capable && !closes_channel {
            assert_eq!(peer.said(), ["1 cancel t nowait=true"]);
            peer.ack(1, false);
            assert!(peer.said().is_empty(), "a late ack is no error");
            let consumer = ConsumerNumber(1);
            peer.event(SessionEvent::ConsumerTimedOut { consumer, timeout: 1000, closes_channel });
            assert_eq!(peer.said(), [format!("1 close 406 0.0 {text}")], "a get has no consumer to cancel");
        } else {
            assert_eq!(peer.said(), [format!("1 close 406 0.0 {text}")]);
        }
    }
}

#[test]
fn an_argument_of_streams_is_for_the_queue_to_refuse() {
    let mut peer = Peer::running();
    let mut wanted = consume("q", "t");
    wanted.arguments.insert("x-stream-filter".into(), AMQPValue::LongString("x".into()));
    peer.basic(AMQPMethod::Consume(wanted));
    assert!(peer.calls()[0].contains("of_streams: Some(\"x-stream-filter\")"));
}

#[test]
fn a_consumer_timeout_is_a_number_of_milliseconds() {
    for (value, text) in [
        (AMQPValue::LongString("x".into()), "\"expected integer, got longstr\""),
        (AMQPValue::LongInt(-1), "{value_negative,-1}"),
    ] {
        let mut peer = Peer::running();
        let mut wanted = consume("q", "t");
        wanted.arguments.insert("x-consumer-timeout".into(), value);
        peer.basic(AMQPMethod::Consume(wanted));
        let text = format!(
            "PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/': {text}"
        );
        assert_eq!(peer.said(), [format!("1 close 406 60.20 {text}")]);
    }
    let mut peer = Peer::running();
    let mut wanted = consume("q", "t");
    wanted.arguments.insert("x-consumer-timeout".into(), AMQPValue::LongInt(1000));
    peer.basic(AMQPMethod::Consume(wanted));
    assert!(peer.calls()[0].contains("timeout: Some(1000)"));
}

#[test]
fn no_ack_deliveries_take_tags_and_cannot_be_acked() {
    let mut peer = Peer::running();
    peer.consume("t", true);
    peer.deliver(2, 1);
    peer.deliver(2, 2);
    let said = peer.said();
    assert_eq!((said[1].as_str(), said[4].as_str()), ("1 deliver t 1 x/k", "1 deliver t 2 x/k"));
    peer.ack(1, false);
    assert_eq!(peer.said(), ["1 close 406 60.80 PRECONDITION_FAILED - unknown delivery tag 1"]);
}

#[test]
fn what_was_counted_is_in_the_headers() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.output();
    let mut counted = delivery(2, 1);
    let delivery_count = b"\x10x-delivery-countl\0\0\0\0\0\0\0\x03";
    let acquired_count = b"\x10x-acquired-countl\0\0\0\0\0\0\0\x04";
    for (acquired, failed) in [(0, 0), (4, 0), (4, 3)] {
        counted.attempts = Attempts { acquired, failed };
        peer.event(SessionEvent::Deliver(counted.clone()));
        let bytes = peer.output();
        let has = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
        assert_eq!((has(acquired_count), has(delivery_count)), (acquired > 0, failed > 0));
    }
}

#[test]
fn get_shares_the_tags_and_has_its_own_number() {
    let mut peer = Peer::running();
    let get = |peer: &mut Peer, no_ack| peer.basic(AMQPMethod::Get(Get { queue: short("q"), no_ack }));
    get(&mut peer, false);
    assert_eq!(peer.said(), ["1 60.72"]);
    let call = "Get { queue: \"q\", consumer: ConsumerNumber(1), no_ack: false }";
    assert_eq!(peer.calls(), [call]);
    for (no_ack, position) in [(true, 4), (false, 5)] {
        let got = Reply::Got { delivery: Box::new(delivery(1, position)), remaining: 8 };
        peer.session.port().script.push_back(Some(got));
        get(&mut peer, no_ack);
    }
    let said = peer.said();
    assert_eq!(said[..3], ["1 get-ok 1 left 8", "1 header 2", "1 body m4"]);
    assert_eq!(said[3], "1 get-ok 2 left 8");
    peer.calls();
    peer.ack(2, false);
    assert_eq!(peer.calls(), ["settle q7 c1 5-5 Ack"]);
    peer.ack(1, false);
    assert_eq!(peer.said(), ["1 close 406 60.80 PRECONDITION_FAILED - unknown delivery tag 1"]);
}

#[test]
fn prefetch_is_for_consumers_to_come() {
    let mut peer = Peer::running();
    peer.consume("a", false);
    qos(&mut peer, 7, false);
    peer.calls();
    peer.consume("b", false);
    assert!(peer.calls()[0].contains("prefetch: 7"));
}

#[test]
fn a_prefetch_size_is_540() {
    let mut peer = Peer::running();
    peer.raw_method(60, 10, &[0, 0, 0, 5, 0, 1, 0]);
    assert_eq!(peer.said(), ["0 close 540 60.10 NOT_IMPLEMENTED - prefetch_size!=0 (5)"]);
}

#[test]
fn a_shared_prefetch_pauses_the_channels_consumers() {
    let mut peer = Peer::running();
    qos(&mut peer, 2, true);
    peer.consume("a", false);
    peer.consume("free", true);
    peer.calls();
    peer.deliver(2, 1);
    assert!(peer.calls().is_empty());
    peer.deliver(2, 2);
    assert_eq!(peer.calls(), ["pause q7 c2 true"]);
    peer.said();
    peer.deliver(2, 3);
    assert!(peer.said().is_empty(), "one over the limit, in flight");
    assert_eq!(peer.calls(), ["settle q7 c2 3-3 Release"]);
    peer.deliver(3, 1);
    assert_eq!(peer.said()[0], "1 deliver free 3 x/k", "no_ack consumers are not bounded");
    peer.consume("b", false);
    assert_eq!(peer.calls().last().map(String::as_str), Some("pause q7 c4 true"), "a newcomer waits too");
    peer.ack(1, false);
    assert_eq!(peer.calls(), ["pause q7 c2 false", "pause q7 c4 false", "settle q7 c2 1-1 Ack"]);
    qos(&mut peer, 1, true);
    assert_eq!(peer.calls(), ["pause q7 c2 true", "pause q7 c4 true"]);
    qos(&mut peer, 0, true);
    assert_eq!(peer.calls(), ["pause q7 c2 false", "pause q7 c4 false"]);
}

#[test]
fn gets_do_not_count_towards_the_shared_prefetch() {
    let mut peer = Peer::running();
    qos(&mut peer, 1, true);
    peer.consume("a", false);
    let got = Reply::Got { delivery: Box::new(delivery(1, 9)), remaining: 0 };
    peer.session.port().script.push_back(Some(got));
    peer.basic(AMQPMethod::Get(Get { queue: short("q"), no_ack: false }));
    peer.calls();
    peer.ack(1, false);
    peer.deliver(2, 1);
    assert_eq!(peer.calls(), ["settle q7 c1 9-9 Ack", "pause q7 c2 true"]);
}

#[test]
fn unacked_deliveries_are_bounded_without_a_prefetch() {
    let limits = SessionLimits { unacked_per_channel: 2, ..SessionLimits::default() };
    let mut peer = Peer::open_with(limits, &[]);
    peer.open_channel(1);
    peer.consume("t", false);
    peer.calls();
    for position in 1..4 {
        peer.deliver(2, position);
    }
    assert_eq!(peer.calls(), ["pause q7 c2 true", "settle q7 c2 3-3 Release"]);
}

#[test]
fn direct_replies_have_a_consumer_without_a_queue() {
    let mut peer = Peer::running();
    let mut wanted = consume("amq.rabbitmq.reply-to", "r");
    peer.basic(AMQPMethod::Consume(wanted.clone()));
    let text = "PRECONDITION_FAILED - reply consumer cannot acknowledge";
    assert_eq!(peer.said(), [format!("1 close 406 60.20 {text}")]);
    peer.channel_close_ok();
    peer.open_channel(1);
    wanted.no_ack = true;
    peer.basic(AMQPMethod::Consume(wanted.clone()));
    assert_eq!(
        (peer.said(), peer.calls()),
        (vec!["1 consume-ok r".to_owned()], vec!["open reply c3".to_owned()])
    );
    peer.deliver(3, 0);
    assert_eq!(peer.said()[0], "1 deliver r 1 x/k");
    cancel(&mut peer, "r", false);
    assert_eq!(
        (peer.said(), peer.calls()),
        (vec!["1 cancel-ok r".to_owned()], vec!["close reply c3".to_owned()])
    );
    peer.basic(AMQPMethod::Consume(wanted.clone()));
    peer.said();
    wanted.consumer_tag = short("other");
    peer.basic(AMQPMethod::Consume(wanted));
    assert_eq!(peer.said(), ["1 close 406 60.20 PRECONDITION_FAILED - reply consumer already set"]);
    assert_eq!(peer.calls(), ["open reply c4", "close reply c4"]);
}

#[test]
fn a_request_names_the_channels_own_reply_address() {
    let mut properties = vec![0x02, 0];
    properties.extend(encode_short_string(b"amq.rabbitmq.reply-to"));
    let request = publish_frames(1, "", "k", &properties, b"x", false);
    let mut peer = Peer::running();
    let wanted = Consume { no_ack: true, ..consume("amq.rabbitmq.reply-to", "r") };
    peer.basic(AMQPMethod::Consume(wanted));
    peer.send_bytes(&request);
    let message = peer.session.port().messages.remove(0);
    assert_eq!(message.properties().reply_to(), Some(&b"amq.rabbitmq.reply-to.opaque"[..]));
    assert_eq!(message.properties().field(Field::ContentType), None);
    peer.close_channel();
    assert!(peer.calls().contains(&"close reply c2".to_owned()));
    peer.said();
    peer.open_channel(1);
    peer.send_bytes(&request);
    let text = "PRECONDITION_FAILED - fast reply consumer does not exist";
    assert_eq!(peer.said(), [format!("1 close 406 60.40 {text}")]);
}

#[test]
fn the_broker_hears_of_every_delivery_that_goes_out() {
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.deliver(2, 5);
    peer.deliver(9, 6);
    assert_eq!(
        peer.session.port().delivered,
        [Position(5)],
        "one for a consumer that is gone does not go out"
    );
}

#[test]
fn what_goes_out_is_without_bcc() {
    let with_bcc = Properties::trusted(b"\x20\0\0\0\0\x08\x03BCCV\x01aV");
    let wanted = b"\x20\0\0\0\0\x03\x01aV";
    let shows = |output: &[u8]| output.windows(wanted.len()).any(|part| part == wanted);
    let mut peer = Peer::running();
    peer.consume("t", false);
    peer.said();
    let counted = Attempts { acquired: 1, failed: 0 };
    for attempts in [Attempts::NONE, counted] {
        let delivery = Delivery { attempts, ..delivery_of(2, 1, with_bcc) };
        peer.event(SessionEvent::Deliver(delivery.clone()));
        let delivered = peer.output();
        peer.session.port().script.push_back(Some(Reply::Got { delivery: Box::new(delivery), remaining: 0 }));
        peer.basic(AMQPMethod::Get(Get { queue: short("q"), no_ack: true }));
        let got = peer.output();
        for output in [&delivered, &got] {
            assert!(!output.windows(3).any(|part| part == b"BCC"), "{output:?}");
            assert_eq!(shows(output), attempts == Attempts::NONE, "{output:?}");
        }
    }
    peer.send_bytes(&publish_frames(1, "x", "nowhere", with_bcc.raw(), b"x", true));
    assert!(shows(&peer.output()), "what is returned");
}

#[test]
fn what_was_asked_on_a_channel_that_is_closed_meanwhile_goes_back() {
    let timed_out = |peer: &mut Peer| {
        let (consumer, timeout) = (ConsumerNumber(2), 1000);
        peer.event(SessionEvent::ConsumerTimedOut { consumer, timeout, closes_channel: true });
        peer.calls();
    };
    let waiting = || {
        let mut peer = Peer::running();
        peer.consume("held", false);
        peer.session.port().script.push_back(None);
        peer
    };
    let mut peer = waiting();
    peer.consume("asked", false);
    timed_out(&mut peer);
    peer.reply(Reply::Consuming { queue: QUEUE });
    assert_eq!(peer.calls(), ["detach q7 c3"]);
    let mut peer = waiting();
    peer.basic(AMQPMethod::Get(Get { queue: short("q"), no_ack: false }));
    timed_out(&mut peer);
    peer.reply(Reply::Got { delivery: Box::new(delivery(1, 4)), remaining: 0 });
    assert_eq!(peer.calls(), ["detach q7 c1"]);
}
