//! What a transaction of the journal writes: the memtable packed into blobs and runs, what changed in the index as rows,
//! and some of what nobody needs given back. When a transaction is due, and how it becomes durable, is the engine's.

use super::changes::{Changes, NewBlob};
use super::chunk;
use super::engine::{Garbage, RedbStore};
use super::error::StoreError;
use super::format::{WITH_WAITS, meta};
use super::memtable::{Memtable, Put};
use super::pack::{self, Item, Location, Packed, Record};
use super::run::{self, RunDelta};
use super::wire;
use crate::model::ids::QueueId;
use crate::model::op::Lane;

/// Bytes of unneeded blobs given back per commit, at least; twice what it writes, if that is more.
const GARBAGE_BYTES: u64 = 8 << 20;
/// How many at most.
const GARBAGE_BLOBS: usize = 1024;
/// Messages just stored for another queue are pointed at rather than written again where that saves this much in a
/// row: pointing at them costs a run of its own.
const WORTH_POINTING: u64 = 4096;

impl RedbStore {
    /// Packs what the memtable has.
    pub(super) fn pack(&mut self, memtable: &Memtable) -> Result<Packed, StoreError> {
        let records = self.records(memtable);
        let items = memtable.puts().zip(records).map(|(put, record)| Item {
            queue: put.queue,
            lane: put.lane,
            position: put.position,
            meta: put.meta,
            durable: put.durable,
            apart: false,
            record,
        });
        let (index, recent) = (&mut self.index, &mut self.recent);
        pack::pack(items, &mut || index.take_number(), |message, at| recent.note(message, at))
    }

    /// For each put, whether its record is written or pointed at.
    fn records<'a>(&self, memtable: &'a Memtable) -> Vec<Record<'a>> {
        let stored: Vec<Option<Location>> = memtable.puts().map(|put| self.stored(put)).collect();
        let mut streaks: Vec<u64> = Vec::new();
        let mut streak_of = vec![0; stored.len()];
        if stored.iter().any(Option::is_some) {
            let mut open: foldhash::HashMap<(QueueId, Lane), (u64, usize)> = foldhash::HashMap::default();
            for (at, (put, location)) in memtable.puts().zip(&stored).enumerate() {
                let blob = location.map_or(0, |location| location.blob);
                let streak = open.entry((put.queue, put.lane)).or_insert((blob, streaks.len()));
                if streak.0 != blob {
                    *streak = (blob, streaks.len());
                }
                if streak.1 == streaks.len() {
                    streaks.push(0);
                }
                streaks[streak.1] += location.map_or(0, |location| u64::from(location.len));
                streak_of[at] = streak.1;
            }
        }
        let records =
            memtable.puts().zip(stored).zip(streak_of).map(|((put, location), streak)| match location {
                Some(location) if streaks[streak] >= WORTH_POINTING => Record::Stored(location),
                _ => Record::Message(&put.message),
            });
        records.collect()
    }

    /// Where the message lies in the active file, if it does. Sealed files are not pointed into (a rotation forgets
    /// what is recent), so that a run and its blob always lie in one file.
    fn stored(&self, put: &Put) -> Option<Location> {
        self.recent.find(&put.message).filter(|location| self.index.blob(location.blob).is_some())
    }

    /// Takes new blobs and runs into the index and into the transaction.
    pub(super) fn admit(&mut self, packed: Packed, changes: &mut Changes) {
        let lens: foldhash::HashMap<u64, u64> =
            packed.blobs.iter().map(|blob| (blob.number, blob.len)).collect();
        for new in packed.runs {
            assert!(new.blob >= self.index.active_from(), "a run and its blob lie in one file");
            let known = || self.index.blob(new.blob).map(|blob| blob.len);
            let blob_len = lens.get(&new.blob).copied().or_else(known).unwrap_or(0);
            let encoded = run::encode(new.blob, blob_len, &new.entries);
            self.index.add(new.key, &encoded.header, None);
            self.index.note_waits(new.key.number, &new.entries);
            changes.runs.push((new.key, encoded.row));
            changes.blobs.extend(encoded.chunked.as_ref().map(|it| NewBlob::whole(new.key.number, it)));
            self.journal.remember(new.key.number, encoded.header, encoded.chunked, new.entries);
        }
        changes.blobs.extend(packed.blobs);
        // redb puts what is not inserted in order of key into pages with others, where a chunk takes twice its room.
        changes.blobs.sort_unstable_by_key(|blob| blob.number);
    }

    /// Turns what changed in the index into rows, and gives some of what nobody needs back.
    pub(super) fn collect(&mut self, changes: &mut Changes) {
        let changed = std::mem::take(&mut self.index.changed);
        changes.remove_runs.extend(changed.runs);
        for number in changed.run_deltas {
            let delta = self.index.run_deltas.get(&number);
            if delta.is_some_and(RunDelta::has_waits) && !self.log.takes_waits() {
                // From now on the log may say it, too: no version that cannot read that takes this directory for its own.
                self.log.take_waits();
                changes.meta.push((meta::FORMAT, WITH_WAITS));
            }
            changes.run_deltas.push((number, delta.map(RunDelta::encode)));
        }
        for bucket in changed.tombstones {
            let row = self.index.tombstones.get(&bucket).map(|set| {
                let mut row = Vec::new();
                set.encode(&mut row);
                wire::sealed(row)
            });
            changes.tombstones.push((bucket, row));
        }
        let written: u64 = changes.blobs.iter().map(|blob| chunk::allocated(blob.len)).sum();
        self.allocated += written;
        self.most_allocated = self.most_allocated.max(self.allocated);
        let fresh = changed.garbage.into_iter().map(|(number, len)| Garbage { number, len, noted: false });
        self.garbage.extend(fresh);
        let mut budget = GARBAGE_BYTES.max(2 * written);
        while changes.remove_chunks.len() < GARBAGE_BLOBS && budget > 0 {
            let Some(Garbage { number, len, noted }) = self.garbage.pop_front() else { break };
            changes.remove_chunks.push((number, chunk::count(len)));
            if noted {
                changes.garbage.push((number, None));
            }
            let allocated = chunk::allocated(len);
            budget = budget.saturating_sub(allocated);
            self.allocated = self.allocated.saturating_sub(allocated);
        }
        for garbage in self.garbage.iter_mut().rev().take_while(|garbage| !garbage.noted) {
            garbage.noted = true;
            changes.garbage.push((garbage.number, Some(garbage.len.to_le_bytes().to_vec())));
        }
    }
}
