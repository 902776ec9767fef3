//! A client that speaks frames, and reads what comes back as short lines of text: `channel what details`.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use leveret_codec::frame::{FrameKind, PROTOCOL_HEADER, decode};
use leveret_codec::method::amqp::{AMQPClass, basic, channel, connection, parse_class, queue};
use leveret_codec::method::parse_content_header;
use leveret_codec::properties::Properties;
use leveret_codec::table::{AMQPValue, FieldTable};
use leveret_codec::write::Output;

use crate::model::consuming::Delivery;
use crate::model::event::{ConfirmToken, SessionEvent};
use crate::model::ids::{ChannelNumber, ConsumerNumber, Position, Timestamp};
use crate::model::message::{Body, Message, Origin};
use crate::model::names::Seed;
use crate::model::op::Attempts;
use crate::model::request::Reply;
use crate::session::connection::Connection;
use crate::session::context::short;
use crate::session::{PeerInfo, Phase, Session, SessionLimits};

use super::port::{FakePort, QUEUE};

pub(super) struct Peer {
    pub session: Session<FakePort>,
    pub now: Timestamp,
    pub input: BytesMut,
}

impl Peer {
    /// Connected, nothing said.
    pub(super) fn connected(limits: SessionLimits) -> Peer {
        let now = Timestamp(1_000_000);
        let peer = PeerInfo { loopback: true, seed: Seed([1; 32]) };
        let session = Session::new(now, Arc::new(limits), peer, FakePort::default());
        Peer { session, now, input: BytesMut::new() }
    }

    /// How far the session is.
    pub(super) fn state(&self) -> &'static str {
        match &self.session.phase {
            Phase::Handshake(handshake) => handshake.name(),
            Phase::Running(_) if self.session.blocking.is_blocked() => "blocked",
            Phase::Running(_) => "running",
            Phase::Closing(_) => "closing",
            Phase::Over => "closed",
        }
    }

    /// How many channels are open.
    pub(super) fn channels(&self) -> usize {
        self.session.connection().map_or(0, Connection::channel_count)
    }

    /// With connection.start sent, which was read.
    pub(super) fn started() -> Peer {
        let mut peer = Peer::connected(SessionLimits::default());
        peer.send_bytes(&PROTOCOL_HEADER);
        peer.said();
        peer
    }

    /// With the connection open.
    pub(super) fn open_with(limits: SessionLimits, capabilities: &[&str]) -> Peer {
        let mut peer = Peer::connected(limits);
        peer.send_bytes(&PROTOCOL_HEADER);
        peer.start_ok("PLAIN", b"\0guest\0guest", capabilities);
        peer.tune_ok(2047, 131_072, 60);
        peer.open("/");
        peer.said();
        peer.calls();
        peer
    }

    /// With the connection and channel 1 open.
    pub(super) fn running() -> Peer {
        let mut peer = Peer::open_with(SessionLimits::default(), &["consumer_cancel_notify"]);
        peer.open_channel(1);
        peer
    }

    pub(super) fn open_channel(&mut self, channel: ChannelNumber) {
        self.send(channel, &AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        assert_eq!(self.said(), [format!("{channel} 20.11")]);
    }

    pub(super) fn start_ok(&mut self, mechanism: &str, response: &[u8], capabilities: &[&str]) {
        let mut table = FieldTable::default();
        for name in capabilities {
            table.insert(short(name), AMQPValue::Boolean(true));
        }
        let mut properties = FieldTable::default();
        properties.insert(short("capabilities"), AMQPValue::FieldTable(table));
        properties.insert(short("connection_name"), AMQPValue::LongString("tester".into()));
        let start_ok = connection::StartOk {
            client_properties: properties,
            mechanism: short(mechanism),
            response: response.into(),
            locale: short("en_US"),
        };
        self.send(0, &AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok)));
    }

    pub(super) fn tune_ok(&mut self, channel_max: u16, frame_max: u32, heartbeat: u16) {
        let tune_ok = connection::TuneOk { channel_max, frame_max, heartbeat };
        self.send(0, &AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)));
    }

    pub(super) fn open(&mut self, vhost: &str) {
        let open = connection::Open { virtual_host: short(vhost) };
        self.send(0, &AMQPClass::Connection(connection::AMQPMethod::Open(open)));
    }

    pub(super) fn send_bytes(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.session.note_heard(1);
        self.session.receive(self.now, &mut self.input);
    }

    pub(super) fn send(&mut self, channel: ChannelNumber, method: &AMQPClass) {
        self.send_bytes(&method_frame(channel, method));
    }

    pub(super) fn basic(&mut self, method: basic::AMQPMethod) {
        self.send(1, &AMQPClass::Basic(method));
    }

    /// A method on channel 1 by its numbers and its arguments in bytes.
    pub(super) fn raw_method(&mut self, class: u16, method: u16, arguments: &[u8]) {
        self.send_bytes(&raw_method(1, class, method, arguments));
    }

    pub(super) fn publish(&mut self, exchange: &str, key: &str, body: &[u8], mandatory: bool) {
        self.send_bytes(&publish_frames(1, exchange, key, &[0, 0], body, mandatory));
    }

    pub(super) fn consume(&mut self, tag: &str, no_ack: bool) {
        let consume = basic::Consume {
            queue: short("q"),
            consumer_tag: short(tag),
            no_ack,
            ..basic::Consume::default()
        };
        self.basic(basic::AMQPMethod::Consume(consume));
    }

    pub(super) fn ack(&mut self, tag: u64, multiple: bool) {
        self.basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag: tag, multiple }));
    }

    pub(super) fn close_channel(&mut self) {
        let close = channel::Close { reply_code: 200, ..channel::Close::default() };
        self.send(1, &AMQPClass::Channel(channel::AMQPMethod::Close(close)));
    }

    pub(super) fn channel_close_ok(&mut self) {
        self.send(1, &AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
    }

    pub(super) fn event(&mut self, event: SessionEvent) {
        self.session.event(self.now, event);
    }

    pub(super) fn reply(&mut self, reply: Reply) {
        self.event(SessionEvent::Reply(reply));
    }

    pub(super) fn confirm(&mut self, sequence: u64, accepted: bool) {
        let token = ConfirmToken { channel: 1, epoch: 1, sequence };
        self.event(SessionEvent::Confirm { token, accepted });
    }

    /// A delivery to a consumer on channel 1. The channel's own number is 1, so consumers are numbered from 2.
    pub(super) fn deliver(&mut self, consumer: u32, position: u64) {
        self.event(SessionEvent::Deliver(delivery(consumer, position)));
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
        self.session.tick(self.now);
    }

    pub(super) fn calls(&mut self) -> Vec<String> {
        std::mem::take(&mut self.session.port().calls)
    }

    /// The end of a batch, and what was said up to there.
    pub(super) fn batch(&mut self) -> Vec<String> {
        self.session.end_of_batch();
        self.said()
    }

    /// All that was put out since the last time.
    pub(super) fn said(&mut self) -> Vec<String> {
        let bytes = self.output();
        let mut lines = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            if rest.starts_with(b"AMQP") {
                lines.push("protocol".to_owned());
                rest = &rest[8..];
                continue;
            }
            let frame = decode(rest, 0).expect("sound frames").expect("whole frames");
            lines.push(line(frame.kind, frame.channel, frame.payload));
            rest = &rest[frame.wire_len()..];
        }
        lines
    }

    pub(super) fn output(&mut self) -> Vec<u8> {
        let output = self.session.output();
        let mut bytes = Vec::new();
        while !output.is_empty() {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = output.chunks(&mut slices);
            let before = bytes.len();
            slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
            output.advance(bytes.len() - before);
        }
        let sent = bytes.len();
        self.session.written(self.now, sent);
        bytes
    }
}

pub(super) fn delivery(consumer: u32, position: u64) -> Delivery {
    delivery_of(consumer, position, Properties::default())
}

pub(super) fn delivery_of(consumer: u32, position: u64, properties: Properties<'_>) -> Delivery {
    let body = Body::whole(Bytes::from(format!("m{position}")));
    let message = Message::new(&mut BytesMut::new(), b"x", b"k", properties, body, Origin::Client);
    Delivery {
        consumer: ConsumerNumber(consumer),
        queue: QUEUE,
        position: Position(position),
        message: Arc::new(message),
        redelivered: false,
        attempts: Attempts::NONE,
        no_ack: false,
    }
}

pub(super) fn method_frame(channel: ChannelNumber, method: &AMQPClass) -> Vec<u8> {
    let mut output = Output::default();
    output.method(channel, method);
    let mut slices = [IoSlice::new(&[]); 4];
    let filled = output.chunks(&mut slices);
    slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
}

pub(super) fn frame_bytes(kind: u8, channel: ChannelNumber, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u8(kind);
    bytes.put_u16(channel);
    bytes.put_u32(u32::try_from(payload.len()).expect("small"));
    bytes.extend_from_slice(payload);
    bytes.put_u8(0xCE);
    bytes
}

pub(super) fn raw_method(channel: ChannelNumber, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.put_u16(class);
    payload.put_u16(method);
    payload.extend_from_slice(arguments);
    frame_bytes(1, channel, &payload)
}

pub(super) fn publish_method(channel: ChannelNumber, exchange: &str, key: &str, bits: u8) -> Vec<u8> {
    let mut arguments = vec![0, 0];
    for text in [exchange, key] {
        arguments.put_u8(u8::try_from(text.len()).expect("short"));
        arguments.extend_from_slice(text.as_bytes());
    }
    arguments.put_u8(bits);
    raw_method(channel, 60, 40, &arguments)
}

pub(super) fn header_frame(
    channel: ChannelNumber,
    class: u16,
    weight: u16,
    size: u64,
    props: &[u8],
) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.put_u16(class);
    payload.put_u16(weight);
    payload.put_u64(size);
    payload.extend_from_slice(props);
    frame_bytes(2, channel, &payload)
}

pub(super) fn publish_frames(
    channel: ChannelNumber,
    exchange: &str,
    key: &str,
    properties: &[u8],
    body: &[u8],
    mandatory: bool,
) -> Vec<u8> {
    let mut bytes = publish_method(channel, exchange, key, u8::from(mandatory));
    bytes.extend(header_frame(channel, 60, 0, body.len() as u64, properties));
    if !body.is_empty() {
        bytes.extend(frame_bytes(3, channel, body));
    }
    bytes
}

fn line(kind: FrameKind, channel: u16, payload: &[u8]) -> String {
    match kind {
        FrameKind::Heartbeat => format!("{channel} heartbeat"),
        FrameKind::Body => format!("{channel} body {}", String::from_utf8_lossy(payload)),
        FrameKind::Header => {
            let header = parse_content_header(payload).expect("a header");
            format!("{channel} header {}", header.body_size)
        }
        FrameKind::Method => {
            let (_, method) = parse_class(payload).expect("a method");
            format!("{channel} {}", method_line(&method))
        }
    }
}

fn method_line(method: &AMQPClass) -> String {
    let multiple = |multiple: bool| if multiple { " multiple" } else { "" };
    match method {
        AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
            format!("close {} {}.{} {}", close.reply_code, close.class_id, close.method_id, close.reply_text)
        }
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
            format!("close {} {}.{} {}", close.reply_code, close.class_id, close.method_id, close.reply_text)
        }
        AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
            format!("ack {}{}", ack.delivery_tag, multiple(ack.multiple))
        }
        AMQPClass::Basic(basic::AMQPMethod::Nack(nack)) => {
            format!("nack {}{}", nack.delivery_tag, multiple(nack.multiple))
        }
        AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)) => {
            let again = if deliver.redelivered { " redelivered" } else { "" };
            let basic::Deliver { consumer_tag, delivery_tag, exchange, routing_key, .. } = deliver;
            format!("deliver {consumer_tag} {delivery_tag}{again} {exchange}/{routing_key}")
        }
        AMQPClass::Basic(basic::AMQPMethod::GetOk(got)) => {
            format!("get-ok {} left {}", got.delivery_tag, got.message_count)
        }
        AMQPClass::Basic(basic::AMQPMethod::Return(returned)) => {
            let basic::Return { reply_code, reply_text, exchange, routing_key } = returned;
            format!("return {reply_code} {reply_text} {exchange}/{routing_key}")
        }
        AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)) => format!("consume-ok {}", ok.consumer_tag),
        AMQPClass::Basic(basic::AMQPMethod::CancelOk(ok)) => format!("cancel-ok {}", ok.consumer_tag),
        AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
            format!("cancel {} nowait={}", cancel.consumer_tag, cancel.nowait)
        }
        AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => {
            format!("declare-ok {} {} {}", ok.queue, ok.message_count, ok.consumer_count)
        }
        other => format!("{}.{}", other.get_amqp_class_id(), other.get_amqp_method_id()),
    }
}
