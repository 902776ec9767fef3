//! What an alarm does to a connection (semantics section 13): who publishes is blocked, and told so. Unlike in
//! RabbitMQ a blocked connection is read on: its publishes, and what comes after them on their channels, are kept aside
//! up to a bound, so that acks and other channels, which make room, go on.

use std::collections::BTreeSet;

use bytes::BytesMut;
use leveret_codec::frame::{Frame, FrameKind};
use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::method::amqp::connection::{AMQPMethod, Blocked, Unblocked};
use leveret_codec::method::{MethodId, method_id};

use crate::model::event::Alarms;
use crate::model::holdings::Holdings;
use crate::model::ids::ChannelNumber;
use crate::model::port::BrokerPort;

use super::content::PUBLISH;
use super::context::short;
use super::frames::Frames;
use super::{Phase, Session};

const CLOSE: MethodId = MethodId { class: 10, method: 50 };
/// Ack, reject, nack.
const SETTLEMENTS: [MethodId; 3] = [
    MethodId { class: 60, method: 80 },
    MethodId { class: 60, method: 90 },
    MethodId { class: 60, method: 120 },
];

/// Bytes of frames that are kept aside before the socket is not read any more.
const MOST_ASIDE: usize = 256 << 10;

/// The alarms, and what they keep a connection from.
#[derive(Debug, Default)]
pub(super) struct Blocking {
    alarms: Alarms,
    /// The client has published since the alarm, and was told.
    is_blocked: bool,
    /// Frames in their order, and the channels that have some.
    aside: BytesMut,
    channels: BTreeSet<ChannelNumber>,
}

impl Blocking {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Blocking { alarms: _, is_blocked: _, aside, channels } = self;
        into.in_transit("session: frames kept aside", aside);
        into.in_transit("session: channels kept aside", channels);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.aside.len() < MOST_ASIDE
    }

    /// Whether something is kept aside.
    pub(super) fn keeps_some(&self) -> bool {
        !self.aside.is_empty()
    }

    pub(super) fn is_alarmed(&self) -> bool {
        self.alarms.reason().is_some()
    }
}

impl<P: BrokerPort> Session<P> {
    /// An alarm went off, or all is well again: then what was kept aside is acted on.
    pub(super) fn set_alarms(&mut self, alarms: Alarms) {
        self.blocking.alarms = alarms;
        if self.blocking.is_alarmed() || !self.blocking.is_blocked {
            return;
        }
        let Blocking { mut aside, .. } = std::mem::take(&mut self.blocking);
        if let Phase::Running(_) = self.phase {
            self.tell(AMQPMethod::Unblocked(Unblocked {}));
            aside.extend_from_slice(&self.held.frames.bytes);
            let allocation = aside.capacity();
            self.held.frames = Frames { bytes: aside.freeze(), allocation };
            self.go_on();
        }
    }

    /// Whether a frame is kept aside; `raw` is all of it. The first publish during an alarm is what blocks.
    pub(super) fn keeps_aside(&mut self, frame: &Frame<'_>, raw: &[u8]) -> bool {
        let Phase::Running(connection) = &self.phase else { return false };
        let id = if frame.kind == FrameKind::Method { method_id(frame.payload) } else { None };
        let stays = if frame.channel == 0 {
            // Closed at once, the connection would lose what was published before.
            id == Some(CLOSE) && !self.blocking.aside.is_empty()
        } else if self.blocking.channels.contains(&frame.channel) {
            let settles = id.is_some_and(|id| SETTLEMENTS.contains(&id));
            !settles || connection.is_transactional(frame.channel)
        } else {
            // What was begun before the alarm waits as well, or it would hold whatever it likes.
            id == Some(PUBLISH) || matches!(frame.kind, FrameKind::Header | FrameKind::Body)
        };
        if stays && !self.blocking.is_blocked {
            self.blocking.is_blocked = true;
            let reason = self.blocking.alarms.reason().unwrap_or_default();
            self.tell(AMQPMethod::Blocked(Blocked { reason: short(reason) }));
        }
        if stays {
            self.blocking.aside.extend_from_slice(raw);
            self.blocking.channels.insert(frame.channel);
        }
        stays
    }

    /// Says it to clients that can hear it (semantics 1.7).
    fn tell(&mut self, method: AMQPMethod) {
        if let Phase::Running(connection) = &self.phase
            && connection.shared.client.hears_blocked
        {
            self.out.say(0, &AMQPClass::Connection(method));
        }
    }
}
