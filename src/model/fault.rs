//! What a peer did wrong (or what we cannot do), with the reply code that goes on the wire and the scope it closes
//! (semantics section 0). Texts that one module alone produces are made in that module; the ones several modules need are
//! constructors here.

use std::borrow::Cow;

use thiserror::Error;

use super::resource::Resource;

/// Every reply code a broker sends, by its name in the specification (semantics 0.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ReplyCode {
    ContentTooLarge = 311,
    NoRoute = 312,
    ConnectionForced = 320,
    AccessRefused = 403,
    NotFound = 404,
    ResourceLocked = 405,
    PreconditionFailed = 406,
    FrameError = 501,
    SyntaxError = 502,
    CommandInvalid = 503,
    ChannelError = 504,
    UnexpectedFrame = 505,
    NotAllowed = 530,
    NotImplemented = 540,
    InternalError = 541,
}

/// What a fault closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Channel,
    Connection,
}

impl ReplyCode {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The name that starts every reply text (semantics 0.1).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ReplyCode::ContentTooLarge => "CONTENT_TOO_LARGE",
            ReplyCode::NoRoute => "NO_ROUTE",
            ReplyCode::ConnectionForced => "CONNECTION_FORCED",
            ReplyCode::AccessRefused => "ACCESS_REFUSED",
            ReplyCode::NotFound => "NOT_FOUND",
            ReplyCode::ResourceLocked => "RESOURCE_LOCKED",
            ReplyCode::PreconditionFailed => "PRECONDITION_FAILED",
            ReplyCode::FrameError => "FRAME_ERROR",
            ReplyCode::SyntaxError => "SYNTAX_ERROR",
            ReplyCode::CommandInvalid => "COMMAND_INVALID",
            ReplyCode::ChannelError => "CHANNEL_ERROR",
            ReplyCode::UnexpectedFrame => "UNEXPECTED_FRAME",
            ReplyCode::NotAllowed => "NOT_ALLOWED",
            ReplyCode::NotImplemented => "NOT_IMPLEMENTED",
            ReplyCode::InternalError => "INTERNAL_ERROR",
        }
    }

    /// What this code closes where nothing else is said (semantics 0.3).
    #[must_use]
    pub fn default_scope(self) -> Scope {
        match self {
            ReplyCode::ContentTooLarge
            | ReplyCode::AccessRefused
            | ReplyCode::NotFound
            | ReplyCode::ResourceLocked
            | ReplyCode::PreconditionFailed => Scope::Channel,
            _ => Scope::Connection,
        }
    }
}

/// An error of the protocol: it closes a channel or the connection with its code and text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", self.text())]
pub struct Fault {
    pub code: ReplyCode,
    pub scope: Scope,
    /// What follows `NAME - ` in the reply text.
    pub explanation: Cow<'static, str>,
}

impl Fault {
    /// A fault with the default scope of its code.
    pub fn new(code: ReplyCode, explanation: impl Into<Cow<'static, str>>) -> Fault {
        Fault { code, scope: code.default_scope(), explanation: explanation.into() }
    }

    /// The reply text: `NAME - explanation`, cut to 255 bytes, the last of them `...` then (semantics 0.1).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} - {}", self.code.name(), self.explanation);
        if text.len() > 255 {
            let cut = (0..=252).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(cut);
            text.push_str("...");
        }
        text
    }

    /// 404: the queue or exchange does not exist.
    #[must_use]
    pub fn not_found(resource: Resource<'_>) -> Fault {
        Fault::new(ReplyCode::NotFound, format!("no {resource}"))
    }

    /// 405: the queue is exclusive to another connection (semantics 7.3).
    #[must_use]
    pub fn locked(resource: Resource<'_>) -> Fault {
        Fault::new(
            ReplyCode::ResourceLocked,
            format!(
                "cannot obtain exclusive access to locked {resource}. It could be originally declared on \
                 another connection or the exclusive property value does not match that of the original \
                 declaration."
            ),
        )
    }

    /// 403: the queue has, or is asked to have, an exclusive consumer (semantics 10.3).
    #[must_use]
    pub fn exclusive_use(resource: Resource<'_>) -> Fault {
        Fault::new(ReplyCode::AccessRefused, format!("{resource} in exclusive use"))
    }

    /// 405: a get from a quorum queue that has a single active consumer (semantics 10.10).
    #[must_use]
    pub fn single_active_get(resource: Resource<'_>) -> Fault {
        let text = format!(
            "cannot obtain access to locked {resource}. basic.get operations are not supported by quorum queues with \
             single active consumer"
        );
        Fault::new(ReplyCode::ResourceLocked, text)
    }

    /// 406 with the given explanation.
    pub fn precondition(explanation: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(ReplyCode::PreconditionFailed, explanation)
    }

    /// 540: a feature that is refused on purpose; closes the connection.
    pub fn not_implemented(explanation: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(ReplyCode::NotImplemented, explanation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_starts_with_its_name_and_prints_the_resource_as_rabbitmq_does() {
        let fault = Fault::not_found(Resource::queue("q", "/"));
        assert_eq!(fault.text(), "NOT_FOUND - no queue 'q' in vhost '/'");
        assert_eq!((fault.code.number(), fault.scope), (404, Scope::Channel));
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_boundary() {
        let fault = Fault::precondition("ü".repeat(200));
        let text = fault.text();
        assert!(text.len() <= 255 && text.ends_with("ü..."), "{text}");
    }
}
