//! Reading messages back: which entries of a lane answer a fetch, in order of position even where runs overlap, and
//! their records, read in one go where they lie side by side. What needs no record is in `lookup.rs`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use bytes::Bytes;

use super::error::StoreError;
use super::index::{EntrySource, Index};
use super::journal_files::{self, FileView, JournalFiles};
use super::lookup;
use super::memtable::QueueDelta;
use super::record::{self, BadRecord};
use super::run::{Entry, RunKey};
use super::wire;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::message::Message;
use crate::model::op::{EntryMeta, Fetch, Fetched, Return, StoredEntry, Times, Wants};

/// Neighbouring records are read, and held in memory, together up to this many bytes: a message that stays unacked
/// pins no more than that.
const READ_TOGETHER: u64 = 64 * 1024;

/// What a message takes in memory beyond its record, about, in bytes.
pub(super) const HELD: usize = size_of::<Message>() + size_of::<StoredEntry>();

/// An entry to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) key: RunKey,
    pub(super) place: usize,
    pub(super) blob: u64,
    pub(super) blob_len: u64,
    pub(super) entry: Entry,
}

/// Answers a fetch. Messages of runs below `suspect_below` may have been delivered before an unclean stop. `delta` is
/// what the index does not know yet of the queue.
pub(super) fn fetch(
    index: &Index,
    journal: &mut JournalFiles,
    suspect_below: u64,
    delta: Option<&QueueDelta>,
    fetch: &Fetch,
) -> Result<Fetched, StoreError> {
    if let Wants::Times { until } = fetch.wants {
        let (times, through) = lookup::times(index, journal, delta, fetch, until)?;
        return Ok(Fetched { fetch: fetch.clone(), entries: Vec::new(), times, through });
    }
    let mut entries = Vec::new();
    let mut range = fetch.range;
    loop {
        let (mut found, through) = match &fetch.wants {
            Wants::These(positions) => {
                let rest = positions.partition_point(|position| *position < range.first);
                lookup::these(index, journal, suspect_below, fetch, &positions[rest..])?
            }
            _ => select(index, journal, suspect_below, fetch, range)?,
        };
        if let Some(delta) = delta {
            catch_up(&mut found, delta);
        }
        let scattered = matches!(fetch.wants, Wants::These(_));
        read(journal, &found, scattered, |found, pieces| {
            let message = pieces.and_then(record::decode);
            message.map(|message| {
                entries.push(StoredEntry {
                    position: Position(found.entry.position),
                    message: Arc::new(message),
                    meta: found.entry.meta,
                });
            })
        })?;
        // Where all that was found is gone or damaged the answer reaches further, so that it is never empty too early.
        if !entries.is_empty() || through >= fetch.range.last {
            return Ok(Fetched { fetch: fetch.clone(), entries, times: Times::default(), through });
        }
        range.first = through.next();
    }
}

/// Brings what was found to where the queue is by now.
fn catch_up(found: &mut Vec<Found>, delta: &QueueDelta) {
    found.retain(|found| !delta.settles(found.entry.position));
    for &(position, with) in &delta.requeued {
        if let Ok(at) = found.binary_search_by_key(&position.0, |found| found.entry.position) {
            let meta = &mut found[at].entry.meta;
            *meta = meta.returned(with);
        }
    }
}

/// A run that is being read, at a place with something live in the range.
struct Cursor {
    key: RunKey,
    blob: u64,
    blob_len: u64,
    entries: Arc<[Entry]>,
    place: usize,
}

/// The next entries of the range, up to about `max_bytes` of messages in memory, and how far they reach.
fn select(
    index: &Index,
    journal: &mut JournalFiles,
    suspect_below: u64,
    fetch: &Fetch,
    range: PositionRange,
) -> Result<(Vec<Found>, Position), StoreError> {
    let mut runs = index.overlapping(fetch.queue, fetch.lane, range).peekable();
    let mut cursors: Vec<Cursor> = Vec::new();
    let mut next: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut found: Vec<Found> = Vec::new();
    let mut bytes = 0;
    loop {
        // Every run that may hold something before the next entry has to be looked into first.
        while let Some(((_, number), run)) =
            runs.next_if(|((first, _), _)| next.peek().is_none_or(|Reverse((at, _))| first <= at))
        {
            let key = RunKey { queue: fetch.queue, lane: fetch.lane, number };
            let Some(entries) = journal.entries(key)? else { continue };
            let Some(blob) = index.blob(run.blob) else { continue };
            let place = entries.partition_point(|entry| entry.position < range.first.0);
            let mut cursor = Cursor { key, blob: run.blob, blob_len: blob.len, entries, place };
            if let Some(position) = settle_on_live(index, &mut cursor, range) {
                next.push(Reverse((position, cursors.len())));
                cursors.push(cursor);
            }
        }
        let Some(Reverse((_, at))) = next.pop() else {
            return Ok((found, range.last));
        };
        let cursor = &mut cursors[at];
        let entry = cursor.entries[cursor.place];
        bytes += entry.len as usize + HELD;
        if let Some(last) = found.last().filter(|_| bytes > fetch.max_bytes) {
            let through = Position(last.entry.position);
            return Ok((found, through));
        }
        let Cursor { key, place, blob, blob_len, .. } = *cursor;
        let meta = meta_now(index, key, place, &entry, suspect_below);
        found.push(Found { key, place, blob, blob_len, entry: Entry { meta, ..entry } });
        cursor.place += 1;
        if let Some(position) = settle_on_live(index, cursor, range) {
            next.push(Reverse((position, at)));
        }
    }
}

/// Moves the cursor to the next entry that is not settled; its position where that is in the range.
fn settle_on_live(index: &Index, cursor: &mut Cursor, range: PositionRange) -> Option<u64> {
    let delta = index.run_deltas.get(&cursor.key.number);
    while delta.is_some_and(|delta| delta.settled.contains(cursor.place as u64)) {
        cursor.place += 1;
    }
    let position = cursor.entries.get(cursor.place)?.position;
    range.contains(Position(position)).then_some(position)
}

/// What is known of a message now: what it was put with, and what was noted since.
pub(super) fn meta_now(
    index: &Index,
    key: RunKey,
    place: usize,
    entry: &Entry,
    suspect_below: u64,
) -> EntryMeta {
    let delta = index.run_deltas.get(&key.number);
    let place = wire::fitted(place);
    let noted = delta.and_then(|delta| delta.requeued.get(place));
    EntryMeta {
        expires_at: entry.meta.expires_at,
        attempts: noted.map_or(entry.meta.attempts, |with| with.attempts),
        not_before: noted.map_or(Timestamp(0), |with| with.not_before),
        redelivered: entry.meta.redelivered
            || noted.is_some_and(Return::was_delivered)
            || key.number < suspect_below,
    }
}

/// Reads the records of these entries and hands each to `each`, which says whether it is sound; what is not is
/// quarantined. Of those that lie `scattered` the records alone are read, not the chunks that they are in.
pub(super) fn read(
    journal: &mut JournalFiles,
    found: &[Found],
    scattered: bool,
    mut each: impl FnMut(&Found, Result<Vec<Bytes>, BadRecord>) -> Result<(), BadRecord>,
) -> Result<(), StoreError> {
    let mut rest = found;
    let mut view = None;
    if scattered {
        journal.begin_spots();
    }
    while let Some(first) = rest.first() {
        let count = side_by_side(rest);
        let (group, after) = rest.split_at(count);
        rest = after;
        let len = group.iter().map(|found| u64::from(found.entry.len)).sum::<u64>();
        let start = u64::from(first.entry.offset);
        let spot = if scattered {
            journal.read_chunks(first.blob, first.blob_len, start..start + len)
        } else {
            None
        };
        let file = journal.file_of(first.blob);
        if view.as_ref().is_none_or(|(viewed, _)| *viewed != file) {
            view = Some((file, journal.view(first.blob)?));
        }
        let view = view.as_ref().and_then(|(_, view)| view.as_ref());
        let read = |entry: &Entry, len: u64| {
            let start = u64::from(entry.offset);
            let read = |view: &FileView| view.read(first.blob, first.blob_len, start..start + len);
            view.map_or(Ok(None), read)
        };
        let pieces = spot.map_or_else(|| read(&first.entry, len), |pieces| Ok(Some(pieces)))?;
        let mut at = 0;
        for found in group {
            let record = at..at + found.entry.len as usize;
            at = record.end;
            let pieces = match &pieces {
                Some(pieces) => Some(journal_files::cut(pieces, record)),
                // A block that cannot be read is damage of the messages in it, not of their neighbours.
                None => read(&found.entry, u64::from(found.entry.len))?,
            };
            let mut result = each(found, pieces.ok_or(BadRecord::Unreadable("its blob")));
            if result.is_err() {
                let start = u64::from(found.entry.offset);
                let range = start..start + u64::from(found.entry.len);
                journal.reread(first.blob, first.blob_len, range, |pieces| {
                    result = each(found, Ok(pieces));
                    result.is_ok()
                });
            }
            if let Err(why) = result {
                journal.quarantine(found.key, found.place as u64, why);
            }
        }
    }
    Ok(())
}

/// How many of these, from the first on, lie side by side in one blob.
fn side_by_side(found: &[Found]) -> usize {
    let Some(first) = found.first() else { return 0 };
    let mut end = u64::from(first.entry.offset) + u64::from(first.entry.len);
    let limit = u64::from(first.entry.offset) + READ_TOGETHER;
    let more = found[1..].iter().take_while(|next| {
        let fits = next.blob == first.blob
            && u64::from(next.entry.offset) == end
            && end + u64::from(next.entry.len) <= limit;
        end += u64::from(next.entry.len);
        fits
    });
    1 + more.count()
}
