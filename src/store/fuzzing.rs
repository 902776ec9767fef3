//! What fuzz targets ask of the store: to read bytes as it reads those of a disk, with checksums that fit, so that what is
//! behind them is reached. Nothing may panic, and what can be read is written again as something that reads the same. Only
//! there with `--cfg fuzzing`; the targets are in `fuzz`.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};

use super::manifest::Manifest;
use super::ranges::{RangeSet, Returns};
use super::run::RunDelta;
use super::wire::{self, Reader};
use super::{log_record, pending, record, run};

/// The operations of a log record.
pub fn log_record(operations: &[u8]) {
    let Some(read) = log_record::decode(Bytes::copy_from_slice(operations)) else { return };
    let mut written = Vec::new();
    if log_record::encode(&mut written, usize::MAX, true, &read.ops, &read.catalog) {
        same(&read, &log_record::decode(Bytes::from(written)));
    }
}

/// A message's record: the flags, the lengths of the names and of the envelope, and then what they are lengths of.
pub fn message_record(input: &[u8]) {
    let Some((&[flags, exchange, key, envelope], rest)) = input.split_first_chunk() else { return };
    let body = rest.len().saturating_sub(usize::from(envelope));
    let mut bytes = vec![1, flags, exchange, key];
    bytes.extend_from_slice(&u32::from(envelope).to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(body).unwrap_or(u32::MAX).to_le_bytes());
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&bytes);
    checksum.update(rest);
    bytes.extend_from_slice(&checksum.finalize().to_le_bytes());
    bytes.extend_from_slice(rest);
    // A record lies in chunks: it is cut somewhere.
    let bytes = Bytes::from(bytes);
    let cut = usize::from(flags) % (bytes.len() + 1);
    let Ok(message) = record::decode(vec![bytes.slice(..cut), bytes.slice(cut..)]) else { return };
    let mut header = BytesMut::new();
    record::put_header(&mut header, &message);
    let mut pieces = vec![header.freeze(), Bytes::copy_from_slice(message.envelope())];
    pieces.extend(message.body().slices().map(|slice| Bytes::copy_from_slice(slice)));
    same(&message, &record::decode(pieces).ok());
}

/// A row of a journal or a catalog: which kind, and what is in it.
pub fn row(input: &[u8]) {
    let Some((kind, content)) = input.split_first() else { return };
    let sealed = || wire::sealed(content.to_vec());
    match kind % 7 {
        0 => again(RunDelta::decode(&sealed()), |delta| RunDelta::decode(&delta.encode())),
        1 => again(Manifest::decode(&sealed()), |manifest| Manifest::decode(&manifest.encode())),
        2 => again(pending::decode(&sealed()), |read| {
            // Without the mark of what came before, a row was written by an older version.
            pending::decode(&pending::encode(read.after?, &read.ops))
        }),
        3 => again(RangeSet::decode(&mut Reader(content)), |set| {
            let mut row = Vec::new();
            set.encode(&mut row);
            RangeSet::decode(&mut Reader(&row))
        }),
        kind @ (4 | 5) => again(Returns::decode(&mut Reader(content), kind == 5), |returns| {
            let mut row = Vec::new();
            returns.encode(&mut row, kind == 5);
            Returns::decode(&mut Reader(&row), kind == 5)
        }),
        _ => run_row(content),
    }
}

/// The row of a run: its header, and its entries behind that.
fn run_row(content: &[u8]) {
    let Some((&len, rest)) = content.split_first() else { return };
    let Some((header, entries)) = rest.split_at_checked(usize::from(len).saturating_sub(1)) else { return };
    let mut row = vec![len];
    row.extend_from_slice(header);
    let mut row = wire::sealed(row);
    row.extend_from_slice(&wire::sealed(entries.to_vec()));
    let Some((header, entries)) = run::decode_row(&row) else { return };
    let Some(entries) = run::decode_entries(&header, entries) else { return };
    let written = run::encode(header.blob, header.blob_len, &entries);
    if written.chunked.is_none() {
        // A panic is how a fuzz target tells what it found.
        let (again, bytes) = run::decode_row(&written.row).expect("what was just written is a row");
        same(&entries, &run::decode_entries(&again, bytes));
    }
}

/// What could be read reads the same once it was written again.
fn again<T: Debug>(read: Option<T>, written_and_read: impl Fn(&T) -> Option<T>) {
    if let Some(read) = read
        && let Some(again) = written_and_read(&read)
    {
        same(&read, &Some(again));
    }
}

fn same<T: Debug>(read: &T, again: &Option<T>) {
    // The same.
    let again = again.as_ref().expect("what was just written can be read");
    assert_eq!(format!("{read:?}"), format!("{again:?}"));
}
