//! Frames: type, channel, size, payload, end octet (AMQP 0-9-1 section 2.3; semantics.md 2.1). Reading borrows from
//! the buffer and copies nothing.

use thiserror::Error;

/// Bytes before the payload.
pub const HEADER_LEN: usize = 7;
/// Bytes around the payload: header and end octet.
pub const OVERHEAD: usize = 8;
/// The last octet of every frame.
pub const END: u8 = 0xCE;
/// The smallest frame_max that may be negotiated (section 4.2.2 of the specification; semantics.md 1.4).
pub const MIN_FRAME_MAX: u32 = 4096;
/// What a client sends first, and what a server answers to any other version.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    Method = 1,
    Header = 2,
    Body = 3,
    Heartbeat = 8,
}

/// A frame in the buffer it was read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: FrameKind,
    pub channel: u16,
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes the whole frame takes in the buffer.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        OVERHEAD + self.payload.len()
    }
}

/// What makes the rest of the stream unreadable: 501, and nothing more is read (semantics.md 0.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error(
        "type {kind}, channel {channel}: frame of {size} bytes is larger than the negotiated frame_max {max}"
    )]
    TooLarge { kind: u8, channel: u16, size: u32, max: u32 },
    #[error("type {kind}, channel {channel}: invalid frame end marker 0x{end:02x}, expected 0xce")]
    WrongEnd { kind: u8, channel: u16, end: u8 },
    #[error("unknown frame type {kind} on channel {channel}")]
    UnknownKind { kind: u8, channel: u16 },
}

/// The frame at the start of `input`; None until all of it is there. `frame_max` bounds the whole frame, with
/// RabbitMQ's eight bytes of slack; 0: no bound was negotiated. Size and type are judged as soon as the header is
/// there, before anything is waited for.
pub fn decode(input: &[u8], frame_max: u32) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((header, rest)) = input.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [kind, c1, c2, s1, s2, s3, s4] = *header;
    let channel = u16::from_be_bytes([c1, c2]);
    let size = u32::from_be_bytes([s1, s2, s3, s4]);
    let known = match kind {
        1 => FrameKind::Method,
        2 => FrameKind::Header,
        3 => FrameKind::Body,
        8 => FrameKind::Heartbeat,
        _ => return Err(FrameError::UnknownKind { kind, channel }),
    };
    if frame_max != 0 && size > frame_max {
        return Err(FrameError::TooLarge { kind, channel, size, max: frame_max });
    }
    let Ok(len) = usize::try_from(size) else {
        return Err(FrameError::TooLarge { kind, channel, size, max: frame_max });
    };
    match rest.get(len) {
        None => Ok(None),
        Some(&END) => Ok(Some(Frame { kind: known, channel, payload: &rest[..len] })),
        Some(&end) => Err(FrameError::WrongEnd { kind, channel, end }),
    }
}
