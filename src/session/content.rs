//! Puts the content of a channel together: basic.publish, its header, its body frames (semantics 2.3 to 2.6).
//! Nothing is allocated for an announced size. What the message then does is in `methods/publish.rs`.

use bytes::BytesMut;
use leveret_codec::method::{MethodId, Publish, parse_content_header};
use leveret_codec::properties::Properties;

use crate::model::fault::{Fault, ReplyCode};
use crate::model::holdings::Holdings;
use crate::model::message::{Body, COPIED_BODY};

use super::failure::{Failure, unexpected_frame};
use super::frames::Frames;

/// basic.publish.
pub(super) const PUBLISH: MethodId = MethodId { class: 60, method: 40 };
/// The size no body may announce (semantics 2.5), bytes.
const HARD_MAX: u64 = 512 * 1024 * 1024;
/// Parts of a body below this many bytes are gathered in one piece, so that a body in a million tiny frames takes
/// no more memory than another.
const GATHERED: usize = 4096;
/// Gathered parts become a piece of the body from this many bytes on.
const PIECE: usize = 64 << 10;
/// The envelope buffer is kept for the next message up to this many bytes.
const KEPT_ENVELOPE: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Method,
    Header,
    Body { left: u64 },
}

/// The content a channel is about to receive. There is never more than one per channel.
#[derive(Debug)]
pub(super) struct Content {
    awaited: Awaited,
    /// exchange ‖ routing key ‖ properties
    envelope: Vec<u8>,
    exchange_len: usize,
    routing_key_len: usize,
    mandatory: bool,
    body: Body,
    gathered: BytesMut,
    /// Bytes that the connection has counted as held.
    pub(super) counted: usize,
}

/// A complete content.
#[derive(Debug)]
pub(super) struct Published<'a> {
    pub exchange: &'a [u8],
    pub routing_key: &'a [u8],
    /// Checked.
    pub properties: Properties<'a>,
    pub mandatory: bool,
    pub body: Body,
}

impl Default for Content {
    fn default() -> Content {
        Content {
            awaited: Awaited::Method,
            envelope: Vec::new(),
            exchange_len: 0,
            routing_key_len: 0,
            mandatory: false,
            body: Body::default(),
            gathered: BytesMut::new(),
            counted: 0,
        }
    }
}

impl Content {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Content {
            awaited: _,
            envelope,
            exchange_len: _,
            routing_key_len: _,
            mandatory: _,
            body,
            gathered,
            counted,
        } = self;
        // The buffer is kept for the next content.
        into.in_transit("content: envelope", &(0, envelope.capacity()));
        into.in_use("content: body", &body.len());
        into.in_use("content: gathered", gathered);
        into.in_use("content: counted as held", counted);
    }

    /// Refuses a method that comes while a header or a body is awaited (505).
    pub(super) fn expect_method(&self) -> Result<(), Failure> {
        match self.awaited {
            Awaited::Method => Ok(()),
            Awaited::Header => Err(not_a_header()),
            Awaited::Body { .. } => Err(not_a_body()),
        }
    }

    /// basic.publish came; its header is awaited.
    pub(super) fn begin(&mut self, publish: &Publish<'_>) {
        self.envelope.clear();
        self.envelope.extend_from_slice(publish.exchange);
        self.envelope.extend_from_slice(publish.routing_key);
        self.exchange_len = publish.exchange.len();
        self.routing_key_len = publish.routing_key.len();
        self.mandatory = publish.mandatory;
        self.awaited = Awaited::Header;
    }

    /// A header frame. True when no body follows. A body of more than `max_size` bytes is 406, of more than 512 MiB
    /// 501, and properties that cannot be read are 502.
    pub(super) fn header(&mut self, payload: &[u8], max_size: u64) -> Result<bool, Failure> {
        match self.awaited {
            Awaited::Method => return Err(not_a_method()),
            Awaited::Body { .. } => return Err(not_a_body()),
            Awaited::Header => {}
        }
        let Some(header) = parse_content_header(payload) else {
            let text = format!("content header frame of {} bytes is too short", payload.len());
            return Err(Failure::unblamed(ReplyCode::FrameError, text));
        };
        if header.class != PUBLISH.class {
            let class = header.class;
            return Err(blamed_frame(format!(
                "expected content header for class 60, got one for class {class} instead"
            )));
        }
        if header.weight != 0 {
            return Err(not_a_header());
        }
        let size = header.body_size;
        if size > HARD_MAX {
            let text = format!("content body size {size} exceeds maximum allowed size {HARD_MAX}");
            return Err(Failure::new(Fault::new(ReplyCode::FrameError, text), PUBLISH));
        }
        if size > max_size {
            let text = format!("message size {size} is larger than configured max size {max_size}");
            return Err(Failure::new(Fault::precondition(text), PUBLISH));
        }
        let properties = Properties::parse(header.properties)
            .map_err(|error| Failure::new(Fault::new(ReplyCode::SyntaxError, error.to_string()), PUBLISH))?;
        self.envelope.extend_from_slice(properties.raw());
        self.awaited = Awaited::Body { left: size };
        Ok(size == 0)
    }

    /// A body frame's payload, which lies in `buffer`. It is kept where it is if that keeps not too much else, nor what it
    /// `shares` with other contents that are begun; a small message is copied beside its envelope later on. True when the
    /// body is complete.
    pub(super) fn body(&mut self, part: &[u8], buffer: &Frames, shares: bool) -> Result<bool, Failure> {
        let Awaited::Body { left } = &mut self.awaited else {
            return Err(if self.awaited == Awaited::Header { not_a_header() } else { not_a_method() });
        };
        let Some(rest) = left.checked_sub(part.len() as u64) else {
            let text = "content body frame exceeds remaining content size";
            return Err(Failure::new(Fault::new(ReplyCode::FrameError, text), PUBLISH));
        };
        *left = rest;
        let alone = rest == 0 && self.body.is_empty() && self.gathered.is_empty();
        let stays = !shares && (part.len() >= GATHERED || alone) && buffer.may_pin(part.len());
        if stays || (alone && part.len() <= COPIED_BODY) {
            self.flush_gathered();
            self.body.push(buffer.bytes.slice_ref(part));
        } else {
            self.gathered.extend_from_slice(part);
            if self.gathered.len() >= PIECE {
                self.flush_gathered();
            }
        }
        Ok(rest == 0)
    }

    /// Bytes of the content begun that were received so far, but for an envelope that is no larger than what a channel
    /// keeps anyway.
    pub(super) fn bytes(&self) -> usize {
        match self.awaited {
            Awaited::Method => 0,
            Awaited::Header | Awaited::Body { .. } => {
                let envelope = if self.envelope.len() > KEPT_ENVELOPE { self.envelope.len() } else { 0 };
                envelope + self.body.len() + self.gathered.len()
            }
        }
    }

    /// Whether the body is longer than what was received and so many bytes.
    pub(super) fn awaits_more_than(&self, bytes: usize) -> bool {
        matches!(self.awaited, Awaited::Body { left } if left > bytes as u64)
    }

    /// The complete content was published: its buffer is kept for the next one where it is small.
    pub(super) fn recycle(&mut self) {
        if self.envelope.capacity() > KEPT_ENVELOPE {
            self.envelope = Vec::new();
        }
    }

    /// The complete content; a method is awaited again.
    pub(super) fn take(&mut self) -> Published<'_> {
        self.flush_gathered();
        self.awaited = Awaited::Method;
        let (exchange, rest) = self.envelope.split_at(self.exchange_len);
        let (routing_key, properties) = rest.split_at(self.routing_key_len);
        Published {
            exchange,
            routing_key,
            properties: Properties::trusted(properties),
            mandatory: self.mandatory,
            body: std::mem::take(&mut self.body),
        }
    }

    fn flush_gathered(&mut self) {
        if !self.gathered.is_empty() {
            self.body.push(std::mem::take(&mut self.gathered).freeze());
        }
    }
}

fn not_a_method() -> Failure {
    unexpected_frame("expected method frame, got non method frame instead")
}

fn not_a_header() -> Failure {
    blamed_frame("expected content header for class 60, got non content header frame instead".to_owned())
}

fn not_a_body() -> Failure {
    blamed_frame("expected content body, got non content body frame instead".to_owned())
}

fn blamed_frame(explanation: String) -> Failure {
    Failure::new(Fault::new(ReplyCode::UnexpectedFrame, explanation), PUBLISH)
}
