//! What the entries of runs answer without a body being read: when stored messages expire, and where single ones lie.
//! Messages themselves are read in `reading.rs`.

use super::error::StoreError;
use super::index::{EntrySource, Index};
use super::journal_files::JournalFiles;
use super::memtable::QueueDelta;
use super::reading::{Found, HELD, meta_now};
use super::run::{Entry, RunKey};
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::{Fetch, Times};

/// Entries of runs that one answer looks at: about two milliseconds of the store's time where they have to be decoded.
const MOST_TIMES: usize = 64 * 1024;
/// The same where single messages are looked for, most of which may lie in a run of their own.
const MOST_SEARCHED: usize = 256 * 1024;

/// When the messages of a range expire, and how far that reaches. Runs in which nothing expires by `until` are not looked
/// into. Where the entries of a run are damaged its messages have no time: whoever reads them finds them damaged.
pub(super) fn times(
    index: &Index,
    journal: &mut JournalFiles,
    asked: Option<&QueueDelta>,
    fetch: &Fetch,
    until: Timestamp,
) -> Result<(Times, Position), StoreError> {
    let mut times = Times::default();
    let mut looked_at = 0;
    let mut through = fetch.range.last;
    for ((first, number), run) in index.overlapping(fetch.queue, fetch.lane, fetch.range) {
        if run.earliest.is_none_or(|earliest| earliest > until) {
            times.not_before(run.earliest);
            continue;
        }
        // Runs may overlap: what is looked at reaches up to where the next one begins.
        if looked_at > 0 && looked_at + run.count as usize > MOST_TIMES && first > fetch.range.first.0 {
            through = Position(first - 1);
            break;
        }
        let key = RunKey { queue: fetch.queue, lane: fetch.lane, number };
        let Some(entries) = journal.entries(key)? else { continue };
        looked_at += entries.len();
        let delta = index.run_deltas.get(&number);
        let from = entries.partition_point(|entry| entry.position < fetch.range.first.0);
        let within = (from..).zip(&entries[from..]).take_while(|(_, entry)| entry.position <= through.0);
        for (place, entry) in within {
            let settled = delta.is_some_and(|delta| delta.settled.contains(place as u64))
                || asked.is_some_and(|asked| asked.settles(entry.position));
            if !settled {
                times.add(Position(entry.position), entry.meta.expires_at, entry.body_len, until);
            }
        }
    }
    times.entries.retain(|time| time.position <= through);
    Ok((times, through))
}

/// Where the messages at these positions lie, up to about `max_bytes` of them in memory, and how far that reaches.
pub(super) fn these(
    index: &Index,
    journal: &mut JournalFiles,
    suspect_below: u64,
    fetch: &Fetch,
    positions: &[Position],
) -> Result<(Vec<Found>, Position), StoreError> {
    let (Some(&first), Some(&last)) = (positions.first(), positions.last()) else {
        return Ok((Vec::new(), fetch.range.last));
    };
    let mut found: Vec<Found> = Vec::new();
    let mut looked_at = 0;
    let mut through = fetch.range.last;
    for ((start, number), run) in index.overlapping(fetch.queue, fetch.lane, PositionRange { first, last }) {
        let from = positions.partition_point(|position| position.0 < start);
        let to = positions.partition_point(|position| position.0 <= run.last);
        let Some(blob) = index.blob(run.blob).filter(|_| from < to) else { continue };
        if looked_at > 0 && looked_at + run.count as usize > MOST_SEARCHED && start > first.0 {
            through = Position(start - 1);
            break;
        }
        let key = RunKey { queue: fetch.queue, lane: fetch.lane, number };
        let Some(entries) = journal.entries(key)? else { continue };
        looked_at += entries.len();
        let delta = index.run_deltas.get(&number);
        for position in &positions[from..to] {
            let Ok(place) = entries.binary_search_by_key(&position.0, |entry| entry.position) else {
                continue;
            };
            if delta.is_none_or(|delta| !delta.settled.contains(place as u64)) {
                let entry = entries[place];
                let meta = meta_now(index, key, place, &entry, suspect_below);
                let entry = Entry { meta, ..entry };
                found.push(Found { key, place, blob: run.blob, blob_len: blob.len, entry });
            }
        }
    }
    found.sort_unstable_by_key(|found| found.entry.position);
    found.retain(|found| found.entry.position <= through.0);
    let mut bytes = 0;
    let fits = found.iter().take_while(|found| {
        let is_first = bytes == 0;
        bytes += found.entry.len as usize + HELD;
        is_first || bytes <= fetch.max_bytes
    });
    let fits = fits.count();
    if fits < found.len() {
        found.truncate(fits);
        through = found.last().map_or(through, |last| Position(last.entry.position));
    }
    Ok((found, through))
}
