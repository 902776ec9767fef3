//! A fault together with the method it is blamed on, and the faults that several parts of this module raise.

use leveret_codec::frame::FrameError;
use leveret_codec::method::{MethodError, MethodId, method_id};

use crate::model::fault::{Fault, ReplyCode};

/// What goes into channel.close or connection.close (semantics 0.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub fault: Fault,
    /// The failing method, or 0/0 where none is at fault.
    pub method: MethodId,
}

impl Failure {
    pub(super) fn new(fault: Fault, method: MethodId) -> Failure {
        Failure { fault, method }
    }

    /// A fault of no method.
    pub(super) fn unblamed(
        code: ReplyCode,
        explanation: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Failure {
        Failure::new(Fault::new(code, explanation), MethodId::NONE)
    }
}

/// 501: a stream that cannot be read on (semantics 2.1).
pub(super) fn unreadable(error: FrameError) -> Failure {
    Failure::unblamed(ReplyCode::FrameError, error.to_string())
}

/// A method that could not be read. Unknown ones are 540: RabbitMQ drops the socket without a word there
/// (semantics 0.10).
pub(super) fn undecodable(error: &MethodError, payload: &[u8]) -> Failure {
    let (code, method) = match error {
        MethodError::Unknown(id) => (ReplyCode::NotImplemented, *id),
        MethodError::Table { id, .. } | MethodError::Trailing { id, .. } | MethodError::Malformed(id) => {
            (ReplyCode::FrameError, *id)
        }
        MethodError::Truncated(_) => (ReplyCode::FrameError, method_id(payload).unwrap_or(MethodId::NONE)),
        MethodError::Utf8 => (ReplyCode::FrameError, MethodId::NONE),
    };
    Failure::new(Fault::new(code, error.to_string()), method)
}

/// The same on channel 0, where RabbitMQ blames the method for a malformed text as well.
pub(super) fn undecodable_on_connection(error: &MethodError, payload: &[u8]) -> Failure {
    Failure { method: method_id(payload).unwrap_or(MethodId::NONE), ..undecodable(error, payload) }
}

/// A heartbeat that carries something (501).
pub(super) fn heartbeat_with_payload(len: usize) -> Failure {
    Failure::unblamed(ReplyCode::FrameError, format!("heartbeat frame with a payload of {len} bytes"))
}

/// 504: a method that has no place in this state of the connection (semantics 1.21).
pub(super) fn unexpected_method(state: &str, method: MethodId) -> Failure {
    let text = format!("unexpected method in connection state {state}");
    Failure::new(Fault::new(ReplyCode::ChannelError, text), method)
}

/// A frame that has no place here (505).
pub(super) fn unexpected_frame(explanation: impl Into<std::borrow::Cow<'static, str>>) -> Failure {
    Failure::unblamed(ReplyCode::UnexpectedFrame, explanation)
}

/// A known method that clients do not send, or not on this channel (503).
pub(super) fn unimplemented() -> Fault {
    Fault::new(ReplyCode::CommandInvalid, "unimplemented method")
}
