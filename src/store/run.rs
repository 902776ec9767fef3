//! A run: messages of one lane whose records lie in one blob, in order of position. Its row says how many they are
//! and how large; its entries say where each lies. Its delta is what happened to a run since it was written.
//! Encoding only; what runs there are is the index's to know.

use bytes::Bytes;

use super::ranges::{RangeSet, Returns};
use super::wire::{self, Reader, put_varint};
use crate::model::ids::{QueueId, Timestamp};
use crate::model::op::{Attempts, EntryMeta, Lane};

/// Most messages in a run, which bounds what has to be read to find one of them.
pub(super) const MOST_ENTRIES: usize = 8192;
/// Entries of up to this many bytes lie in the row itself, larger ones in chunks under the run's number.
const INLINE: usize = 96;
const FORMAT: u8 = 1;
/// That of a delta in which messages wait.
const WITH_WAITS: u8 = 2;

/// Where a run's row is filed. Numbers are never reused; blobs draw from the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RunKey {
    pub(super) queue: QueueId,
    pub(super) lane: Lane,
    pub(super) number: u64,
}

/// Whether the messages of a run survive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    All,
    None,
    Some,
}

/// What recovery needs of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) blob: u64,
    pub(super) blob_len: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u32,
    /// Bytes of bodies.
    pub(super) bytes: u64,
    pub(super) earliest: Option<Timestamp>,
    pub(super) durability: Durability,
    /// Bytes of the entries where they lie in chunks; 0 where they lie in the row.
    pub(super) entries_len: u64,
}

/// One message of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) position: u64,
    /// Where its record starts in the blob.
    pub(super) offset: u32,
    /// Bytes of the record.
    pub(super) len: u32,
    /// Bytes of the body.
    pub(super) body_len: u32,
    pub(super) meta: EntryMeta,
    pub(super) durable: bool,
}

const DURABLE: u8 = 1;
const REDELIVERED: u8 = 2;
const EXPIRES: u8 = 4;
/// It has a count of failures, and one of how often it was acquired.
const FAILED: u8 = 8;
const ACQUIRED: u8 = 16;

/// A run as rows: the row itself, and the entries where they are too long for it.
pub(super) struct Encoded {
    pub(super) header: Header,
    pub(super) row: Vec<u8>,
    pub(super) chunked: Option<Bytes>,
}

/// Encodes a run. `entries` are not empty and in order of position.
pub(super) fn encode(blob: u64, blob_len: u64, entries: &[Entry]) -> Encoded {
    let first = entries.first().map_or(0, |entry| entry.position);
    let bytes = wire::sealed(encode_entries(first, entries));
    let durable = entries.iter().filter(|entry| entry.durable).count();
    let inline = bytes.len() <= INLINE;
    let header = Header {
        blob,
        blob_len,
        first,
        last: entries.last().map_or(0, |entry| entry.position),
        count: wire::fitted(entries.len()),
        bytes: entries.iter().map(|entry| u64::from(entry.body_len)).sum(),
        earliest: entries.iter().filter_map(|entry| entry.meta.expires_at).min(),
        durability: match durable {
            0 => Durability::None,
            all if all == entries.len() => Durability::All,
            _ => Durability::Some,
        },
        entries_len: if inline { 0 } else { bytes.len() as u64 },
    };
    let mut row = wire::sealed(encode_header(&header));
    if inline {
        row.extend_from_slice(&bytes);
        return Encoded { header, row, chunked: None };
    }
    Encoded { header, row, chunked: Some(bytes.into_boxed_slice().into()) }
}

fn encode_header(header: &Header) -> Vec<u8> {
    let mut out = vec![0, FORMAT];
    put_varint(&mut out, header.blob);
    put_varint(&mut out, header.blob_len);
    put_varint(&mut out, header.first);
    put_varint(&mut out, header.last - header.first);
    put_varint(&mut out, u64::from(header.count));
    put_varint(&mut out, header.bytes);
    put_varint(&mut out, header.earliest.map_or(0, |time| time.0.saturating_add(1)));
    out.push(match header.durability {
        Durability::All => 0,
        Durability::None => 1,
        Durability::Some => 2,
    });
    put_varint(&mut out, header.entries_len);
    out[0] = wire::fitted(out.len());
    out
}

/// The header in a run's row, and the entries where they lie there too. None where the checksum does not fit.
pub(super) fn decode_row(row: &[u8]) -> Option<(Header, &[u8])> {
    let header_len = usize::from(*row.first()?) + 4;
    let (header, entries) = row.split_at_checked(header_len)?;
    let mut reader = Reader(wire::unsealed(header)?);
    reader.byte()?;
    if reader.byte()? != FORMAT {
        return None;
    }
    let blob = reader.varint()?;
    let blob_len = reader.varint()?;
    let first = reader.varint()?;
    let header = Header {
        blob,
        blob_len,
        first,
        last: first.checked_add(reader.varint()?)?,
        count: reader.varint32()?,
        bytes: reader.varint()?,
        earliest: reader.varint()?.checked_sub(1).map(Timestamp),
        durability: match reader.byte()? {
            0 => Durability::All,
            1 => Durability::None,
            2 => Durability::Some,
            _ => return None,
        },
        entries_len: reader.varint()?,
    };
    Some((header, entries))
}

fn encode_entries(first: u64, entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * 8);
    let (mut position, mut end) = (first, 0);
    for entry in entries {
        let mut flags = 0;
        for (set, flag) in [
            (entry.durable, DURABLE),
            (entry.meta.redelivered, REDELIVERED),
            (entry.meta.expires_at.is_some(), EXPIRES),
            (entry.meta.attempts.failed > 0, FAILED),
            (entry.meta.attempts.acquired > 0, ACQUIRED),
        ] {
            flags |= if set { flag } else { 0 };
        }
        out.push(flags);
        put_varint(&mut out, entry.position - position);
        put_varint(&mut out, wire::zigzag(i64::from(entry.offset) - end));
        put_varint(&mut out, u64::from(entry.len));
        put_varint(&mut out, u64::from(entry.body_len));
        if let Some(time) = entry.meta.expires_at {
            put_varint(&mut out, time.0);
        }
        for count in [entry.meta.attempts.failed, entry.meta.attempts.acquired] {
            if count > 0 {
                put_varint(&mut out, u64::from(count));
            }
        }
        position = entry.position;
        end = i64::from(entry.offset) + i64::from(entry.len);
    }
    out
}

/// The entries of a run, from its row or its chunks. None where the checksum, or what they say, does not fit the
/// header.
pub(super) fn decode_entries(header: &Header, bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut reader = Reader(wire::unsealed(bytes)?);
    let mut entries = Vec::with_capacity((header.count as usize).min(MOST_ENTRIES));
    let (mut position, mut end) = (header.first, 0i64);
    while !reader.is_empty() {
        let flags = reader.byte()?;
        let step = reader.varint()?;
        if step == 0 && !entries.is_empty() {
            return None;
        }
        position = position.checked_add(step)?;
        let offset = u32::try_from(end.checked_add(wire::unzigzag(reader.varint()?))?).ok()?;
        let len = reader.varint32()?;
        let body_len = reader.varint32()?;
        let expires_at = if flags & EXPIRES != 0 { Some(Timestamp(reader.varint()?)) } else { None };
        let failed = if flags & FAILED != 0 { reader.varint32()? } else { 0 };
        let acquired = if flags & ACQUIRED != 0 { reader.varint32()? } else { 0 };
        let redelivered = flags & REDELIVERED != 0;
        let attempts = Attempts { acquired, failed };
        // Until when it waits is in the delta.
        let meta = EntryMeta { expires_at, attempts, redelivered, not_before: Timestamp(0) };
        entries.push(Entry { position, offset, len, body_len, meta, durable: flags & DURABLE != 0 });
        end = i64::from(offset) + i64::from(len);
        if end.cast_unsigned() > header.blob_len {
            return None;
        }
    }
    (entries.len() == header.count as usize && position == header.last).then_some(entries)
}

/// What happened to a run since it was written, by place in the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RunDelta {
    pub(super) settled: RangeSet,
    /// Bytes of bodies among them.
    pub(super) settled_bytes: u64,
    /// How those that came back did.
    pub(super) requeued: Returns,
}

impl RunDelta {
    /// Whether a message waits that came back.
    pub(super) fn has_waits(&self) -> bool {
        self.requeued.has_waits()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let has_waits = self.has_waits();
        let mut out = vec![if has_waits { WITH_WAITS } else { FORMAT }];
        self.settled.encode(&mut out);
        put_varint(&mut out, self.settled_bytes);
        self.requeued.encode(&mut out, has_waits);
        wire::sealed(out)
    }

    pub(super) fn decode(row: &[u8]) -> Option<RunDelta> {
        let mut reader = Reader(wire::unsealed(row)?);
        let has_waits = match reader.byte()? {
            FORMAT => false,
            WITH_WAITS => true,
            _ => return None,
        };
        Some(RunDelta {
            settled: RangeSet::decode(&mut reader)?,
            settled_bytes: reader.varint()?,
            requeued: Returns::decode(&mut reader, has_waits)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::op::Return;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let counts = (0u32..3, 0u32..3);
        let entry = (1u64..1000, 0u32..1_000_000, 16u32..5000, any::<bool>(), any::<bool>(), counts, 0u64..5);
        proptest::collection::vec(entry, 1..60).prop_map(|parts| {
            let mut position = 0;
            parts
                .into_iter()
                .map(|(step, offset, len, durable, redelivered, (acquired, failed), expiry)| {
                    position += step;
                    let expires_at = expiry.checked_sub(1).map(Timestamp);
                    let attempts = Attempts { acquired, failed };
                    let meta = EntryMeta { expires_at, attempts, redelivered, ..EntryMeta::default() };
                    Entry { position, offset, len, body_len: len - 16, meta, durable }
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_run_comes_back(entries in entries()) {
            let encoded = encode(7, 2_000_000, &entries);
            let (header, inline) = decode_row(&encoded.row).unwrap();
            prop_assert_eq!(&header, &encoded.header);
            let bytes = encoded.chunked.as_deref().unwrap_or(inline);
            prop_assert_eq!(decode_entries(&header, bytes), Some(entries));
        }

        #[test]
        fn every_flipped_bit_is_found(entries in entries(), at: usize, bit in 0u8..8) {
            let encoded = encode(7, 2_000_000, &entries);
            let mut row = encoded.row;
            let at = at % row.len();
            row[at] ^= 1 << bit;
            let back = decode_row(&row).map(|(header, inline)| {
                let bytes = encoded.chunked.as_deref().unwrap_or(inline);
                decode_entries(&header, bytes)
            });
            prop_assert!(matches!(back, None | Some(None)));
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
            let _ = decode_row(&bytes);
            let _ = RunDelta::decode(&bytes);
        }
    }

    #[test]
    fn a_delta_comes_back() {
        let mut delta = RunDelta { settled_bytes: 12, ..RunDelta::default() };
        delta.settled.insert(3, 9, |_, _| ());
        let with = |failed, until| Return {
            attempts: Attempts { acquired: 3, failed },
            not_before: Timestamp(until),
        };
        delta.requeued.set(11, with(2, 0));
        assert_eq!(delta.encode()[0], FORMAT, "what older versions read as well");
        assert_eq!(RunDelta::decode(&delta.encode()), Some(delta.clone()));
        delta.requeued.set(12, with(2, 1_800_000_000_000));
        delta.requeued.set(19, with(1, 1_799_999_999_999));
        assert_eq!(delta.encode()[0], WITH_WAITS);
        assert_eq!(RunDelta::decode(&delta.encode()), Some(delta));
    }
}
