//! From the protocol header to connection.open (semantics section 1). Every state is a type whose `handle`
//! consumes it and says what comes next. No mechanism needs a challenge, so connection.secure is never sent.

use std::sync::Arc;

use leveret_codec::frame::{Frame, FrameKind, MIN_FRAME_MAX, PROTOCOL_HEADER};
use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::method::amqp::connection::{AMQPMethod, Open, OpenOk, Start, StartOk, Tune, TuneOk};
use leveret_codec::method::{Method, MethodId, parse_method};
use leveret_codec::table::{AMQPValue, FieldTable, LongString};

use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::Name;
use crate::model::names::{NODE, VERSION_OF_RABBITMQ};
use crate::model::peer::Introduction;
use crate::model::port::{BrokerPort, LoginRefused};

use super::client::ClientInfo;
use super::context::{Context, short};
use super::end::End;
use super::failure::{
    Failure, heartbeat_with_payload, undecodable_on_connection, unexpected_frame, unexpected_method,
};
use super::limits::PeerInfo;

/// AMQP 0-9, which RabbitMQ takes for 0-9-1 (semantics 1.1).
const HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";
const LOCALES: &str = "en_US";
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];
/// Clients branch on product and version (semantics 1.6); `information` says who it really is.
const SERVER_PROPERTIES: [(&str, &str); 6] = [
    ("cluster_name", NODE),
    ("copyright", "Copyright (c) the Leveret authors"),
    ("information", "Leveret, a message broker compatible with RabbitMQ. Licensed under Apache-2.0"),
    ("platform", concat!("Rust/Leveret ", env!("CARGO_PKG_VERSION"))),
    ("product", "RabbitMQ"),
    ("version", VERSION_OF_RABBITMQ),
];
const TUNE: MethodId = MethodId { class: 10, method: 30 };

#[derive(Debug)]
pub(super) enum Handshake {
    Header(AwaitHeader),
    Start(AwaitStartOk),
    Tune(AwaitTuneOk),
    Open(AwaitOpen),
}

/// What follows a step of the handshake.
#[derive(Debug)]
pub(super) enum Next {
    State(Handshake),
    Running(Opened),
    /// connection.close; a refused login says more to the log.
    Close {
        failure: Failure,
        refusal: Option<String>,
    },
    /// The socket is closed without a frame.
    Hangup(End),
}

impl Next {
    fn close(failure: Failure) -> Next {
        Next::Close { failure, refusal: None }
    }
}

/// What was agreed on.
#[derive(Debug)]
pub(super) struct Opened {
    pub client: ClientInfo,
    pub vhost: Name,
    pub tuned: Tuned,
}

/// connection.tune-ok: the client's word, within our limits (semantics 1.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tuned {
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat_seconds: u16,
}

impl Handshake {
    /// The state as texts name it (semantics 1.21).
    pub(super) fn name(&self) -> &'static str {
        match self {
            Handshake::Header(_) | Handshake::Start(_) => "starting",
            Handshake::Tune(_) => "tuning",
            Handshake::Open(_) => "opening",
        }
    }

    /// Acts on a frame. Heartbeats are nothing yet.
    pub(super) fn frame<P: BrokerPort>(self, frame: Frame<'_>, out: &mut Context<P>, peer: PeerInfo) -> Next {
        match frame.kind {
            FrameKind::Heartbeat if frame.channel == 0 && frame.payload.is_empty() => {
                return Next::State(self);
            }
            FrameKind::Heartbeat if frame.channel == 0 => {
                return Next::close(heartbeat_with_payload(frame.payload.len()));
            }
            FrameKind::Method if frame.channel == 0 => {}
            kind => {
                let (kind, channel) = (kind as u8, frame.channel);
                let text = format!("frame of type {kind} on channel {channel} before connection.open");
                return Next::close(unexpected_frame(text));
            }
        }
        let method = match parse_method(frame.payload) {
            Ok(Method::Other(class)) => *class,
            Ok(_) => return Next::close(unexpected_method(self.name(), id_of(frame.payload))),
            Err(error) => return Next::close(undecodable_on_connection(&error, frame.payload)),
        };
        match (self, method) {
            (Handshake::Start(state), AMQPClass::Connection(AMQPMethod::StartOk(method))) => {
                state.handle(method, out, peer)
            }
            (Handshake::Tune(state), AMQPClass::Connection(AMQPMethod::TuneOk(method))) => {
                state.handle(&method, out)
            }
            (Handshake::Open(state), AMQPClass::Connection(AMQPMethod::Open(method))) => {
                state.handle(&method, out)
            }
            (state, _) => Next::close(unexpected_method(state.name(), id_of(frame.payload))),
        }
    }
}

/// Nothing was heard yet.
#[derive(Debug)]
pub(super) struct AwaitHeader;

impl AwaitHeader {
    /// The first eight bytes. Any other protocol is answered with the one we speak (semantics 1.1).
    pub(super) fn handle<P: BrokerPort>(self, header: [u8; 8], out: &mut Context<P>) -> Next {
        if header != PROTOCOL_HEADER && header != HEADER_0_9 {
            out.output.raw(&PROTOCOL_HEADER);
            return Next::Hangup(End::OtherProtocol);
        }
        let start = Start {
            version_major: 0,
            version_minor: 9,
            server_properties: server_properties(),
            mechanisms: out.port.mechanisms().into(),
            locales: LOCALES.into(),
        };
        out.say(0, &AMQPClass::Connection(AMQPMethod::Start(start)));
        Next::State(Handshake::Start(AwaitStartOk))
    }
}

/// connection.start was sent.
#[derive(Debug)]
pub(super) struct AwaitStartOk;

impl AwaitStartOk {
    fn handle<P: BrokerPort>(self, method: StartOk, out: &mut Context<P>, peer: PeerInfo) -> Next {
        let mechanism = method.mechanism.as_str();
        let client = ClientInfo::new(method.client_properties);
        match out.port.authenticate(out.now, mechanism, method.response.as_bytes(), peer.loopback) {
            Ok(()) => {}
            Err(LoginRefused::Credentials(reason)) if client.authentication_failure_close => {
                let text = format!(
                    "Login was refused using authentication mechanism {mechanism}. For details see the broker \
                     logfile."
                );
                let failure = Failure::unblamed(ReplyCode::AccessRefused, text);
                return Next::Close { failure, refusal: Some(told(mechanism, &reason)) };
            }
            Err(LoginRefused::Credentials(reason)) => {
                return Next::Hangup(End::LoginRefused(told(mechanism, &reason)));
            }
            Err(LoginRefused::Malformed(fault)) => {
                let refusal = Some(told(mechanism, &fault.text()));
                let failure = Failure::new(fault, MethodId { class: 10, method: 11 });
                return Next::Close { failure, refusal };
            }
        }
        let offer = Tune {
            channel_max: out.limits.channel_max,
            frame_max: out.limits.frame_max,
            heartbeat: out.limits.heartbeat_seconds,
        };
        out.say(0, &AMQPClass::Connection(AMQPMethod::Tune(offer)));
        Next::State(Handshake::Tune(AwaitTuneOk { client }))
    }
}

/// connection.tune was sent.
#[derive(Debug)]
pub(super) struct AwaitTuneOk {
    client: ClientInfo,
}

impl AwaitTuneOk {
    fn handle<P>(self, method: &TuneOk, out: &mut Context<P>) -> Next {
        let limits = &out.limits;
        let channel_max = ("channel_max", u32::from(method.channel_max), u32::from(limits.channel_max), 0);
        let frame_max = ("frame_max", method.frame_max, limits.frame_max, MIN_FRAME_MAX);
        for (name, wanted, most, least) in [channel_max, frame_max] {
            if let Err(fault) = check_tuned(name, wanted, most, least) {
                return Next::close(Failure::new(fault, TUNE));
            }
        }
        let tuned = Tuned {
            channel_max: if method.channel_max == 0 { u16::MAX } else { method.channel_max },
            frame_max: method.frame_max,
            heartbeat_seconds: method.heartbeat,
        };
        Next::State(Handshake::Open(AwaitOpen { client: self.client, tuned }))
    }
}

/// connection.tune-ok was accepted.
#[derive(Debug)]
pub(super) struct AwaitOpen {
    client: ClientInfo,
    tuned: Tuned,
}

impl AwaitOpen {
    fn handle<P: BrokerPort>(self, method: &Open, out: &mut Context<P>) -> Next {
        let vhost = method.virtual_host.as_str();
        let Tuned { channel_max, frame_max, heartbeat_seconds } = self.tuned;
        let properties = Arc::clone(&self.client.properties);
        let client = Introduction { properties, channel_max, frame_max, heartbeat_seconds };
        if let Err(fault) = out.port.open_vhost(out.now, vhost, client) {
            return Next::close(Failure::new(fault, MethodId { class: 10, method: 40 }));
        }
        out.frame_max = self.tuned.frame_max;
        out.say(0, &AMQPClass::Connection(AMQPMethod::OpenOk(OpenOk {})));
        Next::Running(Opened { client: self.client, vhost: Arc::from(vhost), tuned: self.tuned })
    }

    /// The frame_max that holds from tune-ok on.
    pub(super) fn frame_max(&self) -> u32 {
        self.tuned.frame_max
    }
}

/// 530 where a value is out of the range that was offered; 0 is no limit (semantics 1.18).
fn check_tuned(name: &str, wanted: u32, most: u32, least: u32) -> Result<(), Fault> {
    let refuse = |text: String| Err(Fault::new(ReplyCode::NotAllowed, text));
    if most != 0 && wanted == 0 {
        return refuse(format!(
            "negotiated {name} = 0 (no limit) is higher than the maximum allowed value ({most})"
        ));
    }
    if most != 0 && wanted > most {
        return refuse(format!(
            "negotiated {name} = {wanted} is higher than the maximum allowed value ({most})"
        ));
    }
    if wanted != 0 && wanted < least {
        return refuse(format!(
            "negotiated {name} = {wanted} is lower than the minimum allowed value ({least})"
        ));
    }
    Ok(())
}

fn server_properties() -> FieldTable {
    let mut capabilities = FieldTable::default();
    for name in CAPABILITIES {
        capabilities.insert(short(name), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert(short("capabilities"), AMQPValue::FieldTable(capabilities));
    for (name, text) in SERVER_PROPERTIES {
        properties.insert(short(name), AMQPValue::LongString(LongString::from(text)));
    }
    properties
}

/// A refusal for the log.
fn told(mechanism: &str, reason: &str) -> String {
    format!("{reason} (mechanism {mechanism})")
}

fn id_of(payload: &[u8]) -> MethodId {
    leveret_codec::method::method_id(payload).unwrap_or(MethodId::NONE)
}
