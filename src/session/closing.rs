//! The end of a connection: whose answer is still awaited, and what is done with what arrives meanwhile (semantics
//! 0.7, 0.9).

use leveret_codec::frame::{Frame, FrameKind};
use leveret_codec::method::amqp::{AMQPClass, connection};
use leveret_codec::method::{MethodId, method_id};

use crate::model::port::BrokerPort;
use crate::model::request::Reply;

use super::context::Context;
use super::pending_request::{PendingRequest, RequestKind};

const CLOSE: MethodId = MethodId { class: 10, method: 50 };
const CLOSE_OK: MethodId = MethodId { class: 10, method: 51 };

#[derive(Debug)]
pub(super) enum Closing {
    /// The client closed; it is answered when the broker has deleted its exclusive queues.
    Client,
    /// We sent connection.close and wait for the client's answer.
    Ours {
        /// Frames can no longer be told apart; what arrives is discarded unseen.
        unreadable: bool,
        /// What the broker was asked before, and may still answer.
        stale: Option<PendingRequest>,
    },
}

impl Closing {
    /// A frame that arrives after a connection.close. True when it answers ours.
    pub(super) fn frame<P>(&self, frame: Frame<'_>, out: &mut Context<P>) -> bool {
        if matches!(self, Closing::Client) || frame.channel != 0 || frame.kind != FrameKind::Method {
            return false;
        }
        match method_id(frame.payload) {
            Some(CLOSE_OK) => return true,
            Some(CLOSE) => say_close_ok(out),
            _ => {}
        }
        false
    }

    /// A reply of the broker. True when the connection is over by it.
    pub(super) fn reply<P: BrokerPort>(&mut self, reply: Reply, out: &mut Context<P>) -> bool {
        match self {
            Closing::Client => {
                say_close_ok(out);
                true
            }
            Closing::Ours { stale, .. } => {
                undo(stale.as_ref(), reply, out);
                false
            }
        }
    }
}

/// Gives back what a late answer granted.
fn undo<P: BrokerPort>(asked: Option<&PendingRequest>, reply: Reply, out: &mut Context<P>) {
    match (asked.map(|pending| &pending.kind), reply) {
        (Some(RequestKind::Consume { consumer, .. }), Reply::Consuming { queue }) => {
            out.port.detach(queue, *consumer);
        }
        (_, Reply::Got { delivery, .. }) if !delivery.no_ack => {
            out.port.detach(delivery.queue, delivery.consumer);
        }
        _ => {}
    }
}

/// connection.close-ok.
pub(super) fn say_close_ok<P>(out: &mut Context<P>) {
    let answer = connection::AMQPMethod::CloseOk(connection::CloseOk {});
    out.say(0, &AMQPClass::Connection(answer));
}
