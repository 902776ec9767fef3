//! The way of the input through the session: which bytes are complete frames, and what is held back while an answer
//! is awaited or too much waits to be sent.

use bytes::{Buf, BytesMut};
use leveret_codec::frame::{FrameError, PROTOCOL_HEADER, decode};

use crate::model::port::BrokerPort;

use super::closing::Closing;
use super::failure::unreadable;
use super::frames::Frames;
use super::handshake::Handshake;
use super::{Phase, Session};

/// The allocation that the input lies in. What was taken off its front, and the room behind it, belong to it as well.
#[derive(Debug, Default)]
pub(super) struct Allocation {
    /// The address behind its last byte, by which it is told from another.
    end: usize,
    len: usize,
}

impl Allocation {
    fn of(&mut self, input: &BytesMut) -> usize {
        let end = input.as_ptr().addr() + input.capacity();
        let before = if end == self.end { self.len } else { 0 };
        *self = Allocation { end, len: before.max(input.capacity()) };
        self.len
    }
}

/// Complete frames that are held back, and the error that stood behind them.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub frames: Frames,
    error: Option<FrameError>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.bytes.is_empty() && self.error.is_none()
    }
}

impl<P: BrokerPort> Session<P> {
    /// Acts on what can be acted on at the front of `input`. True where there may be more.
    pub(super) fn take_input(&mut self, input: &mut BytesMut) -> bool {
        if self.is_full() || self.is_laden() {
            return false;
        }
        let (frame_max, most) = match &self.phase {
            Phase::Over | Phase::Closing(Closing::Client) => {
                input.clear();
                return false;
            }
            Phase::Closing(Closing::Ours { unreadable: true, .. }) => {
                input.clear();
                return false;
            }
            Phase::Handshake(Handshake::Header(_)) => return self.take_protocol_header(input),
            // One frame at a time: tune-ok changes what the next one may be.
            Phase::Handshake(Handshake::Open(state)) => (state.frame_max(), 1),
            Phase::Handshake(_) => (self.out.limits.initial_frame_max, 1),
            Phase::Closing(Closing::Ours { .. }) => (self.out.frame_max, usize::MAX),
            Phase::Running(_) if self.held.is_empty() && self.blocking.has_room() => {
                (self.out.frame_max, usize::MAX)
            }
            Phase::Running(_) => return false,
        };
        let (len, error) = complete_frames(input, frame_max, most);
        if len == 0 && error.is_none() {
            return false;
        }
        let allocation = self.allocation.of(input);
        self.held = Held { frames: Frames { bytes: input.split_to(len).freeze(), allocation }, error };
        self.go_on();
        self.held.is_empty()
    }

    /// Acts on the frames held back, until none is left, an answer must be waited for, or too much waits to be sent or is
    /// on its way.
    pub(super) fn go_on(&mut self) {
        let mut frames = std::mem::take(&mut self.held.frames);
        let mut at = 0;
        while at < frames.bytes.len() && !self.is_held_up() {
            let Ok(Some(frame)) = decode(&frames.bytes[at..], 0) else { break };
            let start = at;
            at += frame.wire_len();
            if self.blocking.is_alarmed() && self.keeps_aside(&frame, &frames.bytes[start..at]) {
                continue;
            }
            self.frame(frame, &frames);
        }
        if self.is_held_up() {
            frames.bytes.advance(at);
            self.held.frames = frames;
        } else if let Some(error) = self.held.error.take() {
            self.unreadable(error);
        }
    }

    /// Whether no frame may be acted on now.
    pub(super) fn is_held_up(&self) -> bool {
        self.is_full()
            || self.is_laden()
            || self.has_searched_much()
            || match &self.phase {
                Phase::Running(connection) => connection.shared.pending.is_some(),
                _ => false,
            }
    }

    fn unreadable(&mut self, error: FrameError) {
        match &mut self.phase {
            Phase::Handshake(_) | Phase::Running(_) => self.close_unreadable(&unreadable(error)),
            Phase::Closing(Closing::Ours { unreadable, .. }) => *unreadable = true,
            Phase::Closing(Closing::Client) | Phase::Over => {}
        }
    }

    fn take_protocol_header(&mut self, input: &mut BytesMut) -> bool {
        let Some(header) = input.first_chunk::<{ PROTOCOL_HEADER.len() }>().copied() else { return false };
        input.advance(header.len());
        let Phase::Handshake(Handshake::Header(state)) = std::mem::replace(&mut self.phase, Phase::Over)
        else {
            return false;
        };
        let next = state.handle(header, &mut self.out);
        self.proceed(next);
        true
    }
}

/// How many bytes at the front are complete frames, `most` of them at the most, and the error that ends them.
fn complete_frames(input: &[u8], frame_max: u32, most: usize) -> (usize, Option<FrameError>) {
    let mut len = 0;
    for _ in 0..most {
        match decode(&input[len..], frame_max) {
            Ok(Some(frame)) => len += frame.wire_len(),
            Ok(None) => break,
            Err(error) => return (len, Some(error)),
        }
    }
    (len, None)
}
