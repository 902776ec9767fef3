//! What is written in a transaction: chunks, runs, numbered rows, the manifest, and numbers by name.

use redb::{Table, WriteTransaction};

use super::{CHUNKS, MANIFEST, META, RUNS, fault};
use crate::store::changes::{Changes, NewBlob, Rows};
use crate::store::chunk;
use crate::store::error::StoreError;
use crate::store::format::RowsOf;

/// Writes what a transaction changes.
pub(super) fn write(transaction: &WriteTransaction, changes: &Changes) -> Result<(), StoreError> {
    if !changes.remove_chunks.is_empty() || !changes.blobs.is_empty() {
        let mut table = transaction.open_table(CHUNKS).map_err(fault)?;
        for &(number, count) in &changes.remove_chunks {
            for part in 0..count {
                table.remove((number, part)).map_err(fault)?;
            }
        }
        for blob in &changes.blobs {
            write_blob(&mut table, blob)?;
        }
    }
    if !changes.remove_runs.is_empty() || !changes.runs.is_empty() {
        let mut table = transaction.open_table(RUNS).map_err(fault)?;
        for key in &changes.remove_runs {
            table.remove((key.queue.0, key.lane, key.number)).map_err(fault)?;
        }
        for (key, row) in &changes.runs {
            table.insert((key.queue.0, key.lane, key.number), &row[..]).map_err(fault)?;
        }
    }
    write_rows(transaction, RowsOf::Deltas, &changes.run_deltas)?;
    write_rows(transaction, RowsOf::Tombstones, &changes.tombstones)?;
    write_rows(transaction, RowsOf::Garbage, &changes.garbage)?;
    write_rows(transaction, RowsOf::Pending, &changes.pending)?;
    write_rows(transaction, RowsOf::Accepted, &changes.accepted)?;
    write_manifest(transaction, changes.manifest.as_deref())?;
    write_meta(transaction, &changes.meta)
}

/// Writes a blob's chunks straight from its segments into the pages.
fn write_blob(table: &mut Table<'_, (u64, u32), &'static [u8]>, blob: &NewBlob) -> Result<(), StoreError> {
    let mut segments = blob.segments.iter().map(|segment| &segment[..]);
    let mut segment: &[u8] = &[];
    for (part, chunk) in (0u32..).zip(chunk::chunks(blob.len)) {
        let len =
            usize::try_from(chunk.end - chunk.start).map_err(|_| StoreError::MessageTooLarge(blob.len))?;
        let mut reserved = table.insert_reserve((blob.number, part), len).map_err(fault)?;
        let mut out = reserved.as_mut();
        while !out.is_empty() {
            if segment.is_empty() {
                segment = segments.next().ok_or_else(|| {
                    StoreError::Damaged("a blob is shorter than the sum of its parts".to_owned())
                })?;
                continue;
            }
            let some = segment.len().min(out.len());
            let (filled, rest) = std::mem::take(&mut out).split_at_mut(some);
            filled.copy_from_slice(&segment[..some]);
            segment = &segment[some..];
            out = rest;
        }
    }
    Ok(())
}

fn write_rows(transaction: &WriteTransaction, of: RowsOf, rows: &Rows) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(of.table()).map_err(fault)?;
    for (number, row) in rows {
        match row {
            None => table.remove(number).map_err(fault)?,
            Some(row) => table.insert(number, &row[..]).map_err(fault)?,
        };
    }
    Ok(())
}

pub(super) fn write_meta(
    transaction: &WriteTransaction,
    meta: &[(&'static str, u64)],
) -> Result<(), StoreError> {
    if meta.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(META).map_err(fault)?;
    for (name, value) in meta {
        table.insert(name, value).map_err(fault)?;
    }
    Ok(())
}

pub(super) fn write_manifest(transaction: &WriteTransaction, row: Option<&[u8]>) -> Result<(), StoreError> {
    let Some(row) = row else { return Ok(()) };
    transaction.open_table(MANIFEST).map_err(fault)?.insert(0, row).map_err(fault)?;
    Ok(())
}
