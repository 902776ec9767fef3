//! A stored message: a header of fixed length with format, flags, lengths and checksum, then the envelope and the
//! body as they are. Where records lie is not known here.

use bytes::{BufMut, Bytes, BytesMut};

use super::error::StoreError;
use super::wire;
use crate::model::message::{Body, Message, Origin};

/// Bytes before the envelope.
pub(super) const HEADER_LEN: usize = 16;
const FORMAT: u8 = 1;
/// Flags: where the message comes from.
const DEAD_LETTERED: u8 = 1;
const READDRESSED: u8 = 2;
/// Bytes the checksum is made of, at the start of the header.
const CHECKED: usize = 12;

/// Bytes the message takes as a record; an error where a length does not fit its field (4 GiB).
pub(super) fn record_len(message: &Message) -> Result<u32, StoreError> {
    let len = HEADER_LEN as u64 + message.envelope().len() as u64 + message.body().len() as u64;
    u32::try_from(len).map_err(|_| StoreError::MessageTooLarge(len))
}

/// Appends the header of the message's record. The envelope and the slices of the body follow it.
pub(super) fn put_header(out: &mut BytesMut, message: &Message) {
    let start = out.len();
    out.put_u8(FORMAT);
    out.put_u8(match message.origin() {
        Origin::Client => 0,
        Origin::DeadLettered => DEAD_LETTERED,
        Origin::Readdressed => DEAD_LETTERED | READDRESSED,
    });
    // The first two are at most 255, as the shortstr they came from; `record_len` has checked the others.
    out.put_u8(wire::fitted(message.exchange().len()));
    out.put_u8(wire::fitted(message.routing_key().len()));
    out.put_u32_le(wire::fitted(message.envelope().len()));
    out.put_u32_le(wire::fitted(message.body().len()));
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&out[start..start + CHECKED]);
    checksum.update(message.envelope());
    for slice in message.body().slices() {
        checksum.update(slice);
    }
    out.put_u32_le(checksum.finalize());
}

/// Why a record is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRecord {
    #[error("it is shorter than its lengths say")]
    Truncated,
    #[error("its format {0} is not known")]
    Format(u8),
    #[error("its checksum does not fit")]
    Checksum,
    #[error("its fields contradict each other")]
    Fields,
    #[error("the file it lies in cannot be read there: {0}")]
    Unreadable(&'static str),
}

/// Checks the record that lies in these pieces, in order, and nothing else.
pub(super) fn check(pieces: &[Bytes]) -> Result<(), BadRecord> {
    let mut pieces = Pieces(pieces.to_vec());
    parse(&mut pieces).map(|_| ())
}

/// Reads the record that lies in these pieces. The message shares them; only an envelope that lies in two pieces
/// is copied.
pub(super) fn decode(pieces: Vec<Bytes>) -> Result<Message, BadRecord> {
    let (fixed, envelope, body) = parse(&mut Pieces(pieces))?;
    let origin = Origin::of(fixed[1] & DEAD_LETTERED != 0, fixed[1] & READDRESSED != 0);
    Message::from_stored(envelope, fixed[2], fixed[3], body, origin).ok_or(BadRecord::Fields)
}

fn parse(pieces: &mut Pieces) -> Result<([u8; HEADER_LEN], Bytes, Body), BadRecord> {
    let header = pieces.contiguous(HEADER_LEN).ok_or(BadRecord::Truncated)?;
    let mut fixed = [0; HEADER_LEN];
    fixed.copy_from_slice(&header);
    let [format, _, _, _, e1, e2, e3, e4, b1, b2, b3, b4, c1, c2, c3, c4] = fixed;
    if format != FORMAT {
        return Err(BadRecord::Format(format));
    }
    let envelope_len = u32::from_le_bytes([e1, e2, e3, e4]) as usize;
    let body_len = u32::from_le_bytes([b1, b2, b3, b4]) as usize;
    let envelope = pieces.contiguous(envelope_len).ok_or(BadRecord::Truncated)?;
    let body = pieces.slices(body_len).ok_or(BadRecord::Truncated)?;
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&fixed[..CHECKED]);
    checksum.update(&envelope);
    for slice in body.slices() {
        checksum.update(slice);
    }
    if checksum.finalize() == u32::from_le_bytes([c1, c2, c3, c4]) {
        Ok((fixed, envelope, body))
    } else {
        Err(BadRecord::Checksum)
    }
}

/// The pieces of a record that are still to be read.
struct Pieces(Vec<Bytes>);

impl Pieces {
    fn has(&self, len: usize) -> bool {
        self.0.iter().map(Bytes::len).sum::<usize>() >= len
    }

    /// The next bytes in one piece.
    fn contiguous(&mut self, len: usize) -> Option<Bytes> {
        if !self.has(len) {
            return None;
        }
        match self.0.first_mut() {
            None => Some(Bytes::new()),
            Some(first) if first.len() >= len => Some(first.split_to(len)),
            Some(_) => {
                let mut copy = BytesMut::with_capacity(len);
                for slice in self.slices(len)?.slices() {
                    copy.extend_from_slice(slice);
                }
                Some(copy.freeze())
            }
        }
    }

    /// The next bytes as the slices they lie in.
    fn slices(&mut self, len: usize) -> Option<Body> {
        if !self.has(len) {
            return None;
        }
        let mut body = Body::default();
        let mut left = len;
        let mut used = 0;
        for piece in &mut self.0 {
            let part = piece.split_to(piece.len().min(left));
            left -= part.len();
            body.push(part);
            if !piece.is_empty() {
                break;
            }
            used += 1;
        }
        self.0.drain(..used);
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_codec::properties::Properties;
    use proptest::prelude::*;

    fn message(body: &[u8], origin: Origin) -> Message {
        let mut arena = BytesMut::new();
        let body = Body::whole(Bytes::copy_from_slice(body));
        Message::new(&mut arena, b"ex", b"key", Properties::default(), body, origin)
    }

    fn record(message: &Message) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_header(&mut out, message);
        out.extend_from_slice(message.envelope());
        for slice in message.body().slices() {
            out.extend_from_slice(slice);
        }
        out.to_vec()
    }

    fn bytes_of(message: &Message) -> Vec<u8> {
        message.body().slices().flat_map(|slice| slice.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn a_record_comes_back_however_it_is_cut(
            body: Vec<u8>,
            cuts in proptest::collection::vec(0usize..200, 0..5),
            origin in prop_oneof![Just(Origin::Client), Just(Origin::DeadLettered), Just(Origin::Readdressed)],
        ) {
            let original = message(&body, origin);
            let mut rest = Bytes::from(record(&original));
            prop_assert_eq!(rest.len(), record_len(&original).unwrap() as usize);
            let mut pieces = Vec::new();
            for cut in cuts {
                pieces.push(rest.split_to(cut.min(rest.len())));
            }
            pieces.push(rest);
            prop_assert_eq!(check(&pieces), Ok(()));
            let back = decode(pieces).unwrap();
            prop_assert_eq!(back.exchange(), b"ex");
            prop_assert_eq!(back.routing_key(), b"key");
            prop_assert_eq!(back.origin(), origin);
            prop_assert_eq!(bytes_of(&back), body);
        }

        #[test]
        fn every_flipped_bit_is_found(at in 0usize..60, bit in 0u8..8) {
            let mut bytes = record(&message(b"some body of a message that is long enough", Origin::Client));
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(vec![Bytes::from(bytes)]).is_err());
        }
    }
}
