//! What is stored, in memory: per lane the runs of messages, per blob how much of it is still wanted, per file how
//! many runs. Tens of bytes per run of up to thousands of messages; never a message or its position. Settling and
//! dropping happen here, and what has to be written about it is collected in [`Changed`]. Pure: entries of a run
//! come from an [`EntrySource`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::changes::Rows;
use super::error::StoreError;
use super::ranges::RangeSet;
use super::run::{Entry, Header, RunDelta, RunKey};
use super::wire;
use crate::model::holdings::Holdings;
use crate::model::ids::{Position, PositionRange, QueueId, Timestamp};
use crate::model::op::{EntryMeta, Lane, Return};

/// Numbers per row of tombstones.
pub(super) const BUCKET: u64 = 4096;

/// Reads the entries of runs.
pub(super) trait EntrySource {
    /// The entries of a run; None where they are damaged (it reports that itself).
    fn entries(&mut self, key: RunKey) -> Result<Option<Arc<[Entry]>>, StoreError>;
}

/// A run with something left in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) last: u64,
    pub(super) blob: u64,
    pub(super) count: u32,
    pub(super) live: u32,
    /// Bytes of bodies not settled.
    pub(super) live_bytes: u64,
    pub(super) earliest: Option<Timestamp>,
    pub(super) entries_len: u64,
}

/// First position and number: the order of runs in a lane.
pub(super) type RunOrder = (u64, u64);

#[derive(Debug, Default)]
pub(super) struct LaneRuns {
    pub(super) runs: BTreeMap<RunOrder, Run>,
    /// No run reaches further than this from its first position to its last. Runs may overlap where a queue spills
    /// a message late; this is how far back a search has to begin.
    reach: u64,
}

impl LaneRuns {
    fn overlapping(&self, first: u64, last: u64) -> impl Iterator<Item = (&RunOrder, &Run)> {
        let from = first.saturating_sub(self.reach);
        let last = last.max(from);
        self.runs.range((from, 0)..=(last, u64::MAX)).filter(move |(_, run)| run.last >= first)
    }
}

#[derive(Debug, Default)]
pub(super) struct QueueRuns {
    pub(super) lanes: BTreeMap<Lane, LaneRuns>,
    pub(super) next_position: Position,
}

/// A blob that some message needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) len: u64,
    /// Messages that ever pointed into it.
    pub(super) refs: u64,
    /// Those not settled.
    pub(super) live: u64,
}

/// A journal file, by the numbers in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileRuns {
    pub(super) file: u64,
    pub(super) first_number: u64,
    pub(super) live_runs: u64,
    /// The commit that last settled something in it.
    pub(super) touched: u64,
    /// Not to be compacted or removed: something in it is damaged, or removing it failed.
    pub(super) kept: bool,
    /// Something in it is lost, and the operator has accepted that.
    pub(super) accepted: bool,
}

/// What changed in memory and is to be written.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Rows of the active file to remove.
    pub(super) runs: Vec<RunKey>,
    /// Runs whose deltas changed, or went with the run.
    pub(super) run_deltas: BTreeSet<u64>,
    /// Buckets of tombstones that changed.
    pub(super) tombstones: BTreeSet<u64>,
    /// Blobs and entries of the active file (number, bytes) that nobody needs.
    pub(super) garbage: Vec<(u64, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) queues: BTreeMap<QueueId, QueueRuns>,
    blobs: BTreeMap<u64, Blob>,
    pub(super) run_deltas: BTreeMap<u64, RunDelta>,
    /// Runs of sealed files that are settled, by bucket.
    pub(super) tombstones: BTreeMap<u64, RangeSet>,
    /// In order; the last one is active.
    pub(super) files: Vec<FileRuns>,
    pub(super) changed: Changed,
    /// The next run or blob.
    pub(super) next_number: u64,
    pub(super) commits: u64,
    pub(super) live_messages: u64,
    pub(super) live_bytes: u64,
}

impl Index {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Index {
            queues,
            blobs,
            run_deltas,
            tombstones,
            files: _,
            changed:
                Changed {
                    runs: changed_runs,
                    run_deltas: changed_deltas,
                    tombstones: changed_tombstones,
                    garbage,
                },
            next_number: _,
            commits: _,
            live_messages,
            live_bytes,
        } = self;
        into.declared("store: queues", queues);
        for QueueRuns { lanes, next_position: _ } in queues.values() {
            into.declared("store: lanes of a queue", lanes);
            for LaneRuns { runs, reach: _ } in lanes.values() {
                into.declared("store: runs of a lane", runs);
            }
        }
        into.declared("store: blobs", blobs);
        into.declared("store: run deltas", run_deltas);
        into.declared("store: tombstones", tombstones);
        into.in_transit("store: changed runs", changed_runs);
        into.in_transit("store: changed deltas", changed_deltas);
        into.in_transit("store: changed buckets", changed_tombstones);
        into.in_transit("store: new garbage", garbage);
        into.declared("store: messages", &usize::try_from(*live_messages).unwrap_or(usize::MAX));
        into.declared("store: bytes of messages", &usize::try_from(*live_bytes).unwrap_or(usize::MAX));
    }

    pub(super) fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// The first number of the active file.
    pub(super) fn active_from(&self) -> u64 {
        self.files.last().map_or(0, |file| file.first_number)
    }

    /// What is lost and accepted, as rows.
    pub(super) fn accepted(&self) -> Rows {
        self.files.iter().filter(|file| file.accepted).map(|file| (file.file, Some(Vec::new()))).collect()
    }

    /// The place in `files` of the file with this number in it.
    pub(super) fn file_of(&self, number: u64) -> Option<usize> {
        self.files.partition_point(|file| file.first_number <= number).checked_sub(1)
    }

    pub(super) fn blob(&self, number: u64) -> Option<Blob> {
        self.blobs.get(&number).copied()
    }

    pub(super) fn blobs_in(&self, numbers: std::ops::Range<u64>) -> impl Iterator<Item = (u64, Blob)> + '_ {
        self.blobs.range(numbers).map(|(&number, &blob)| (number, blob))
    }

    pub(super) fn run(&self, key: RunKey, first: u64) -> Option<&Run> {
        self.queues.get(&key.queue)?.lanes.get(&key.lane)?.runs.get(&(first, key.number))
    }

    pub(super) fn has_tombstone(&self, number: u64) -> bool {
        self.tombstones.get(&(number / BUCKET)).is_some_and(|set| set.contains(number))
    }

    /// All runs whose number is in the range, with their first position.
    pub(super) fn runs_in(&self, numbers: std::ops::Range<u64>) -> Vec<(RunKey, u64)> {
        let mut found = Vec::new();
        for (&queue, runs) in &self.queues {
            for (&lane, runs) in &runs.lanes {
                let own = runs.runs.keys().filter(|place| numbers.contains(&place.1));
                found.extend(own.map(|&(first, number)| (RunKey { queue, lane, number }, first)));
            }
        }
        found
    }

    /// How many messages of which queues each file holds.
    pub(super) fn messages_by_file(&self) -> BTreeMap<u64, BTreeMap<QueueId, u64>> {
        let mut counts: BTreeMap<u64, BTreeMap<QueueId, u64>> = BTreeMap::new();
        for (&queue, runs) in &self.queues {
            for (&(_, number), run) in runs.lanes.values().flat_map(|lane| &lane.runs) {
                if let Some(at) = self.file_of(number) {
                    let file = counts.entry(self.files[at].file).or_default();
                    *file.entry(queue).or_default() += u64::from(run.live);
                }
            }
        }
        counts
    }

    /// Takes a run in, with what is noted of it. Runs with nothing left are not taken.
    pub(super) fn add(&mut self, key: RunKey, header: &Header, delta: Option<RunDelta>) {
        let queue = self.queues.entry(key.queue).or_default();
        queue.next_position = queue.next_position.max(Position(header.last.saturating_add(1)));
        let (settled, settled_bytes) =
            delta.as_ref().map_or((0, 0), |delta| (delta.settled.len(), delta.settled_bytes));
        let live = u64::from(header.count).saturating_sub(settled);
        let live_bytes = header.bytes.saturating_sub(settled_bytes);
        let run = Run {
            last: header.last,
            blob: header.blob,
            count: header.count,
            live: wire::fitted(live),
            live_bytes,
            earliest: header.earliest,
            entries_len: header.entries_len,
        };
        let lane = queue.lanes.entry(key.lane).or_default();
        lane.reach = lane.reach.max(header.last - header.first);
        lane.runs.insert((header.first, key.number), run);
        let blob = self.blobs.entry(header.blob).or_insert(Blob { len: header.blob_len, refs: 0, live: 0 });
        blob.refs += u64::from(header.count);
        blob.live += live;
        if let Some(delta) = delta {
            self.run_deltas.insert(key.number, delta);
        }
        if let Some(file) = self.file_of(key.number) {
            self.files[file].live_runs += 1;
        }
        self.live_messages += live;
        self.live_bytes += live_bytes;
        self.next_number = self.next_number.max(key.number + 1).max(header.blob + 1);
    }

    /// Settles what is stored of a queue at these positions, over all lanes.
    pub(super) fn settle(
        &mut self,
        queue: QueueId,
        positions: &RangeSet,
        source: &mut impl EntrySource,
    ) -> Result<(), StoreError> {
        let Some(runs) = self.queues.get(&queue) else {
            return Ok(());
        };
        let mut hits: BTreeMap<(Lane, RunOrder), Vec<(u64, u64)>> = BTreeMap::new();
        for (&lane, runs) in &runs.lanes {
            for (first, last) in positions.iter() {
                for (&place, _) in runs.overlapping(first, last) {
                    hits.entry((lane, place)).or_default().push((first, last));
                }
            }
        }
        for ((lane, place), ranges) in hits {
            let key = RunKey { queue, lane, number: place.1 };
            let Some(run) = self.run(key, place.0) else { continue };
            let whole = |&(first, last): &(u64, u64)| first <= place.0 && run.last <= last;
            if ranges.iter().any(whole) {
                self.drop_run(key, place.0);
            } else if let Some(entries) = source.entries(key)? {
                self.settle_part(key, place.0, &ranges, &entries);
            }
        }
        Ok(())
    }

    fn settle_part(&mut self, key: RunKey, first: u64, ranges: &[(u64, u64)], entries: &[Entry]) {
        let places = ranges.iter().map(|&(from, to)| {
            let start = entries.partition_point(|entry| entry.position < from);
            (start, entries.partition_point(|entry| entry.position <= to))
        });
        self.settle_places(key, first, places, entries);
    }

    /// Settles places `start..end` of a run.
    pub(super) fn settle_places(
        &mut self,
        key: RunKey,
        first: u64,
        places: impl Iterator<Item = (usize, usize)>,
        entries: &[Entry],
    ) {
        let places: Vec<_> = places.filter(|(start, end)| start < end).collect();
        if places.is_empty() {
            return;
        }
        let delta = self.run_deltas.entry(key.number).or_default();
        let (mut messages, mut bytes) = (0, 0);
        for (start, end) in places {
            delta.settled.insert(start as u64, end as u64 - 1, |from, to| {
                messages += to - from + 1;
                let fresh = usize::try_from(from).unwrap_or(0)..=usize::try_from(to).unwrap_or(0);
                bytes += entries[fresh].iter().map(|entry| u64::from(entry.body_len)).sum::<u64>();
            });
        }
        delta.settled_bytes += bytes;
        if messages == 0 {
            return;
        }
        self.changed.run_deltas.insert(key.number);
        let Some(run) = run_mut(&mut self.queues, key, first) else { return };
        run.live -= u32::try_from(messages).unwrap_or(run.live);
        run.live_bytes -= bytes;
        let (blob, emptied) = (run.blob, run.live == 0);
        self.live_messages -= messages;
        self.live_bytes -= bytes;
        self.release_blob(blob, messages);
        self.touch(key.number);
        if emptied {
            self.drop_run(key, first);
        }
    }

    /// Notes that a message came back, where it is stored.
    pub(super) fn requeue(
        &mut self,
        queue: QueueId,
        position: Position,
        with: Return,
        source: &mut impl EntrySource,
    ) -> Result<(), StoreError> {
        let Some(runs) = self.queues.get(&queue) else {
            return Ok(());
        };
        let mut hits = Vec::new();
        for (&lane, runs) in &runs.lanes {
            hits.extend(runs.overlapping(position.0, position.0).map(|(place, _)| (lane, place.1)));
        }
        for (lane, number) in hits {
            let Some(entries) = source.entries(RunKey { queue, lane, number })? else { continue };
            let Ok(at) = entries.binary_search_by_key(&position.0, |entry| entry.position) else { continue };
            let delta = self.run_deltas.entry(number).or_default();
            if !delta.settled.contains(at as u64) {
                debug_assert!(with.was_delivered(), "whoever has it wait counts how often it came back");
                delta.requeued.set(wire::fitted(at), with);
                self.changed.run_deltas.insert(number);
            }
        }
        Ok(())
    }

    /// Drops all of a queue.
    pub(super) fn delete_queue(&mut self, queue: QueueId) {
        let Some(runs) = self.queues.get(&queue) else { return };
        let all: Vec<_> = runs
            .lanes
            .iter()
            .flat_map(|(&lane, runs)| runs.runs.keys().map(move |&(first, number)| (lane, first, number)))
            .collect();
        for (lane, first, number) in all {
            self.drop_run(RunKey { queue, lane, number }, first);
        }
        self.queues.remove(&queue);
    }

    /// Drops a run, whatever is left in it.
    pub(super) fn drop_run(&mut self, key: RunKey, first: u64) {
        let Some(queue) = self.queues.get_mut(&key.queue) else { return };
        let Some(lane) = queue.lanes.get_mut(&key.lane) else { return };
        let Some(run) = lane.runs.remove(&(first, key.number)) else { return };
        if lane.runs.is_empty() {
            queue.lanes.remove(&key.lane);
        }
        if queue.lanes.is_empty() {
            self.queues.remove(&key.queue);
        }
        self.live_messages -= u64::from(run.live);
        self.live_bytes -= run.live_bytes;
        if self.run_deltas.remove(&key.number).is_some() {
            self.changed.run_deltas.insert(key.number);
        }
        if key.number >= self.active_from() {
            self.changed.runs.push(key);
            if run.entries_len > 0 {
                self.changed.garbage.push((key.number, run.entries_len));
            }
        } else {
            let bucket = key.number / BUCKET;
            self.tombstones.entry(bucket).or_default().insert(key.number, key.number, |_, _| ());
            self.changed.tombstones.insert(bucket);
        }
        if let Some(file) = self.file_of(key.number) {
            self.files[file].live_runs -= 1;
        }
        self.touch(key.number);
        self.release_blob(run.blob, u64::from(run.live));
    }

    /// Says no more what is settled in files that are not there any more. The rows that said so go with the next
    /// transaction.
    pub(super) fn forget_tombstones_of_removed_files(&mut self) {
        let from = self.files.first().map_or(0, |file| file.first_number);
        let is_stale = |numbers: &RangeSet| numbers.iter().all(|(_, last)| last < from);
        let stale = self.tombstones.extract_if(.., |_, numbers| is_stale(numbers)).map(|(bucket, _)| bucket);
        self.changed.tombstones.extend(stale);
    }

    fn touch(&mut self, number: u64) {
        if let Some(file) = self.file_of(number) {
            self.files[file].touched = self.commits;
        }
    }

    fn release_blob(&mut self, number: u64, messages: u64) {
        let Some(blob) = self.blobs.get_mut(&number) else { return };
        blob.live -= messages.min(blob.live);
        if blob.live == 0 {
            let len = blob.len;
            self.blobs.remove(&number);
            if number >= self.active_from() {
                self.changed.garbage.push((number, len));
            }
        }
    }

    /// The runs of a lane that reach into the range, by first position.
    pub(super) fn overlapping(
        &self,
        queue: QueueId,
        lane: Lane,
        range: PositionRange,
    ) -> impl Iterator<Item = (RunOrder, &Run)> {
        let runs = self.queues.get(&queue).and_then(|queue| queue.lanes.get(&lane));
        runs.into_iter()
            .flat_map(move |runs| runs.overlapping(range.first.0, range.last.0))
            .map(|(&place, run)| (place, run))
    }

    /// Notes of a run that was just written which of its messages wait.
    pub(super) fn note_waits(&mut self, number: u64, entries: &[Entry]) {
        for (place, entry) in entries.iter().enumerate() {
            let EntryMeta { attempts, not_before, .. } = entry.meta;
            if not_before > Timestamp(0) {
                let delta = self.run_deltas.entry(number).or_default();
                delta.requeued.set(wire::fitted(place), Return { attempts, not_before });
                self.changed.run_deltas.insert(number);
            }
        }
    }
}

fn run_mut(queues: &mut BTreeMap<QueueId, QueueRuns>, key: RunKey, first: u64) -> Option<&mut Run> {
    queues.get_mut(&key.queue)?.lanes.get_mut(&key.lane)?.runs.get_mut(&(first, key.number))
}
