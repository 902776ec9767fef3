//! Compaction, which gives disk space back: the few messages left in a sealed file are copied forward into the active
//! one, a bounded number with each commit, until the file is empty and can be removed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use super::changes::Changes;
use super::engine::RedbStore;
use super::error::StoreError;
use super::index::{EntrySource, FileRuns};
use super::pack::{self, Item, Location, Record};
use super::reading::{self, Found};
use super::record;
use super::run::{Entry, RunKey};
use crate::model::ids::{Position, PositionRange};

/// Bytes of records copied forward with one commit, about.
const COPY_BYTES: u64 = 1 << 20;
/// And how many records.
const COPY_RECORDS: usize = 4096;
/// A file is compacted when less than one part in so many of it is still wanted.
const WORTH_KEEPING: u64 = 4;

/// A sealed file that is being compacted: its blobs, each with the runs (and their first positions) that need it.
#[derive(Debug)]
pub(super) struct Compaction {
    file: u64,
    blobs: VecDeque<(u64, Vec<(RunKey, u64)>)>,
}

/// A record as it lies, and where.
type FoundRecord = (Found, Vec<Bytes>);

/// What a blob's runs still hold, with the records as they lie.
struct Survivors {
    runs: Vec<(RunKey, u64)>,
    records: Vec<FoundRecord>,
}

/// Copies some survivors of a nearly empty file forward, where there is one.
pub(super) fn step(store: &mut RedbStore, changes: &mut Changes) -> Result<(), StoreError> {
    let begun = store.compaction.take().or_else(|| begin(store));
    let Some(mut compaction) = begun else { return Ok(()) };
    let mut records = Vec::new();
    let mut bytes = 0;
    while bytes < COPY_BYTES && records.len() < COPY_RECORDS {
        let Some((_, runs)) = compaction.blobs.pop_front() else { break };
        let Some(survivors) = survivors(store, runs)? else {
            keep(store, compaction.file);
            continue;
        };
        for (key, first) in survivors.runs {
            store.index.drop_run(key, first);
        }
        bytes += survivors.records.iter().map(|(found, _)| u64::from(found.entry.len)).sum::<u64>();
        records.extend(survivors.records);
    }
    copy(store, records, changes)?;
    if !compaction.blobs.is_empty() {
        store.compaction = Some(compaction);
    }
    Ok(())
}

/// Looks for a file that has little left in it and was left alone for a while: one that consumers are just reading
/// will be empty soon anyway.
fn begin(store: &RedbStore) -> Option<Compaction> {
    let quiet = store.options.quiet_commits.max(1);
    if !store.index.commits.is_multiple_of(quiet) {
        return None;
    }
    let (file, numbers) =
        worth_compacting(store).find(|(file, _)| file.touched + quiet <= store.index.commits)?;
    let compaction = of_file(store, file.file, numbers);
    let blobs = compaction.blobs.len();
    tracing::debug!(file = file.file, blobs, "copying what is left of a sealed file forward");
    Some(compaction)
}

fn of_file(store: &RedbStore, file: u64, numbers: Range<u64>) -> Compaction {
    let mut blobs: BTreeMap<u64, Vec<(RunKey, u64)>> = BTreeMap::new();
    for (key, first) in store.index.runs_in(numbers) {
        if let Some(run) = store.index.run(key, first) {
            blobs.entry(run.blob).or_default().push((key, first));
        }
    }
    Compaction { file, blobs: blobs.into_iter().collect() }
}

/// Copies all that is sound in a sealed file forward, a transaction for each blob, and lets go of the rest. Returns how many
/// messages were copied, and how many are lost.
pub(super) fn compact_file(store: &mut RedbStore, file: u64) -> Result<(u64, u64), StoreError> {
    let files = &store.index.files;
    let Some(at) = files.iter().position(|known| known.file == file) else { return Ok((0, 0)) };
    let from = files[at].first_number;
    let to = files.get(at + 1).map_or(u64::MAX, |next| next.first_number);
    store.compaction = None;
    let (mut copied, mut lost) = (0, 0);
    for (_, runs) in of_file(store, file, from..to).blobs {
        let live = runs.iter().filter_map(|&(key, first)| store.index.run(key, first));
        let live: u64 = live.map(|run| u64::from(run.live)).sum();
        let survivors = sound(store, &runs)?;
        copied += survivors.len() as u64;
        lost += live.saturating_sub(survivors.len() as u64);
        for (key, first) in runs {
            store.index.drop_run(key, first);
        }
        let mut changes = Changes::default();
        copy(store, survivors, &mut changes)?;
        store.collect(&mut changes);
        store.journal.active.apply(&changes)?;
    }
    Ok((copied, lost))
}

/// What can still be read in these runs of one blob.
fn sound(store: &mut RedbStore, runs: &[(RunKey, u64)]) -> Result<Vec<FoundRecord>, StoreError> {
    let mut all = Vec::new();
    for &(key, first) in runs {
        // Where the list of a run is damaged there is nothing to find its messages by.
        all.extend(listed(store, key, first)?.unwrap_or_default());
    }
    Ok(read(store, &all)?.0)
}

/// The sealed files that have little left in them, with the numbers in each.
fn worth_compacting(store: &RedbStore) -> impl Iterator<Item = (FileRuns, Range<u64>)> {
    let files =
        store.index.files.windows(2).map(|pair| (pair[0], pair[0].first_number..pair[1].first_number));
    files.filter(|(file, _)| file.live_runs > 0 && !file.kept).filter(|(_, numbers)| {
        let blobs = store.index.blobs_in(numbers.clone());
        let live: u64 = blobs.map(|(_, blob)| blob.len * blob.live / blob.refs.max(1)).sum();
        live < store.options.file_bytes / WORTH_KEEPING
    })
}

/// Whether something is to be copied forward, now or once the file is at rest.
pub(super) fn is_wanted(store: &RedbStore) -> bool {
    store.compaction.is_some() || worth_compacting(store).next().is_some()
}

/// What is left in these runs of one blob; None where anything of it is damaged, which is then left where it is.
fn survivors(store: &mut RedbStore, runs: Vec<(RunKey, u64)>) -> Result<Option<Survivors>, StoreError> {
    let mut all = Vec::new();
    for &(key, first) in &runs {
        let Some(found) = listed(store, key, first)? else { return Ok(None) };
        all.extend(found);
    }
    let (records, sound) = read(store, &all)?;
    Ok(sound.then_some(Survivors { runs, records }))
}

/// What is left in a run; None where its list is damaged.
fn listed(store: &mut RedbStore, key: RunKey, first: u64) -> Result<Option<Vec<Found>>, StoreError> {
    let Some(run) = store.index.run(key, first) else { return Ok(Some(Vec::new())) };
    let (number, Some(blob)) = (run.blob, store.index.blob(run.blob)) else { return Ok(Some(Vec::new())) };
    let Some(entries) = store.journal.entries(key)? else { return Ok(None) };
    let settled =
        store.index.run_deltas.get(&key.number).map(|delta| delta.settled.clone()).unwrap_or_default();
    let live = entries.iter().enumerate().filter(|(place, _)| !settled.contains(*place as u64));
    let found = live.map(|(place, entry)| {
        let meta = reading::meta_now(&store.index, key, place, entry, store.suspect_below);
        Found { key, place, blob: number, blob_len: blob.len, entry: Entry { meta, ..*entry } }
    });
    Ok(Some(found.collect()))
}

/// The records of these that are sound, and whether all are.
fn read(store: &mut RedbStore, all: &[Found]) -> Result<(Vec<FoundRecord>, bool), StoreError> {
    let (mut records, mut sound) = (Vec::new(), true);
    reading::read(&mut store.journal, all, false, |found, pieces| {
        let checked = pieces.and_then(|pieces| record::check(&pieces).map(|()| pieces));
        sound &= checked.is_ok();
        checked.map(|pieces| records.push((*found, pieces)))
    })?;
    Ok((records, sound))
}

fn keep(store: &mut RedbStore, file: u64) {
    for known in store.index.files.iter_mut().filter(|known| known.file == file) {
        known.kept = true;
    }
}

/// Writes records anew, for the same queues and positions.
fn copy(
    store: &mut RedbStore,
    mut records: Vec<FoundRecord>,
    changes: &mut Changes,
) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    records.sort_by_key(|(found, _)| (found.key.queue, found.key.lane, found.entry.position));
    let mut before: Option<(RunKey, u64)> = None;
    let mut items = Vec::with_capacity(records.len());
    for (found, pieces) in records {
        let Found { key, blob, entry, .. } = found;
        let apart = before.is_some_and(|(last, position)| {
            let first = Position(position + 1);
            let between = PositionRange { first, last: Position(entry.position.saturating_sub(1)) };
            (last.queue, last.lane) == (key.queue, key.lane)
                && between.first <= between.last
                && store.index.overlapping(key.queue, key.lane, between).next().is_some()
        });
        before = Some((key, entry.position));
        let from = Location { blob, offset: entry.offset, len: entry.len, body_len: entry.body_len };
        items.push(Item {
            queue: key.queue,
            lane: key.lane,
            position: Position(entry.position),
            meta: entry.meta,
            durable: entry.durable,
            apart,
            record: Record::Raw { from, pieces },
        });
    }
    let index = &mut store.index;
    let packed = pack::pack(items.into_iter(), &mut || index.take_number(), |_, _| ())?;
    store.admit(packed, changes);
    Ok(())
}
