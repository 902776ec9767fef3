//! Frames: type, channel, size, payload, end octet (semantics 2.1). Reading borrows from
//! the buffer and copies nothing.

use thiserror::Error;

/// Bytes before the payload.
pub const HEADER_LEN: usize = 7;
/// Bytes around the payload: header and end octet.
pub const OVERHEAD: usize = 8;
/// The last octet of every frame.
pub const END: u8 = 0xCE;
/// The smallest frame_max that may be negotiated (semantics 1.4): what the specification says in 4.2.2.
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

/// What makes the rest of the stream unreadable: 501, and nothing more is read (semantics 0.9).
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, END];

    #[test]
    fn a_frame_is_read_once_all_of_it_is_there() {
        let bytes = [3, 1, 2, 0, 0, 0, 3, b'a', b'b', b'c', END, 8, 0];
        for len in 0..11 {
            assert_eq!(decode(&bytes[..len], 4096), Ok(None), "{len} bytes");
        }
        let frame = decode(&bytes, 4096).unwrap().unwrap();
        assert_eq!(frame, Frame { kind: FrameKind::Body, channel: 0x0102, payload: b"abc" });
        assert_eq!(frame.wire_len(), 11);
    }

    #[test]
    fn every_kind_is_known_and_no_other() {
        for (number, kind) in
            [(1, FrameKind::Method), (2, FrameKind::Header), (3, FrameKind::Body), (8, FrameKind::Heartbeat)]
        {
            let bytes = [&[number][..], &HEARTBEAT[1..]].concat();
            assert_eq!(decode(&bytes, 0).unwrap().unwrap().kind, kind);
            assert_eq!(kind as u8, number);
        }
        for kind in (0..=u8::MAX).filter(|kind| ![1, 2, 3, 8].contains(kind)) {
            // Without waiting for the payload, which may never come.
            assert_eq!(
                decode(&[kind, 0, 7, 0, 0, 1, 0], 4096),
                Err(FrameError::UnknownKind { kind, channel: 7 })
            );
        }
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_by_its_header() {
        let header = |size: u32| [&[3, 0, 7][..], &size.to_be_bytes()].concat();
        assert_eq!(decode(&header(4096), 4096), Ok(None), "with eight bytes of slack");
        assert_eq!(
            decode(&header(4097), 4096),
            Err(FrameError::TooLarge { kind: 3, channel: 7, size: 4097, max: 4096 })
        );
        assert_eq!(decode(&header(u32::MAX), 0), Ok(None), "no bound was negotiated");
    }

    #[test]
    fn a_wrong_end_is_refused() {
        let mut bytes = HEARTBEAT;
        bytes[7] = 0xCD;
        assert_eq!(decode(&bytes, 4096), Err(FrameError::WrongEnd { kind: 8, channel: 0, end: 0xCD }));
    }

    #[test]
    fn errors_say_what_was_wrong() {
        let error = FrameError::WrongEnd { kind: 8, channel: 1, end: 0xCD };
        assert_eq!(error.to_string(), "type 8, channel 1: invalid frame end marker 0xcd, expected 0xce");
    }
}
