//! Opening a data directory: which files are there, what is left in them, and the first transaction, which says
//! that the directory is in use. Reads the rows of runs and never a body.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use super::changes::Changes;
use super::damage::{Damage, DamageReport, MessageCounts};
use super::disk::Disk;
use super::engine::{Garbage, RedbStore};
use super::error::{OpenError, StoreError};
use super::format::{RowsOf, WITH_WAITS, meta};
use super::index::{EntrySource, FileRuns, Index};
use super::inspection::{CheckLevel, Inspection, inspect};
use super::journal_files::{JournalFiles, journal_name};
use super::log::{Log, Logged};
use super::manifest::{Listed, Manifest};
use super::memtable::Memtable;
use super::opening::{self, Outcome, Ready};
use super::pack::Recent;
use super::ranges::RangeSet;
use super::reconcile::Reconciled;
use super::run::{self, Durability, RunDelta, RunKey};
use super::salvage::Depth;
use super::wire::{self, Reader};
use super::{Recovered, StoreOptions, chunk};

/// No blob has more bytes: a message, or what is put together of smaller ones.
const MOST_BLOB: u64 = 8 << 30;

/// Opens the store on a disk, which is made ready where it is empty.
pub(super) fn open(disk: Arc<dyn Disk>, options: &StoreOptions) -> Result<(RedbStore, Recovered), OpenError> {
    let lock = disk.lock()?.ok_or(OpenError::Locked)?;
    // redb looks at every page of a file that was not closed. Only where it finds one that is not what was written are
    // they all looked at here.
    let mut levels = (CheckLevel::Structure, CheckLevel::Structure);
    let mut corrected = Vec::new();
    let (found, ready) = loop {
        let mut found = inspect(&*disk, levels.0, levels.1)?;
        // What an earlier look has corrected is right by now.
        corrected.into_iter().for_each(|damage| found.damage.add(damage));
        accepted(&found.damage, options)?;
        match opening::open(&*disk, options.cache_bytes, levels, &mut found)? {
            Outcome::Ready(ready) => break (found, ready),
            Outcome::Again(journal, catalog) => levels = (journal, catalog),
        }
        let is_corrected = |damage: &Damage| matches!(damage, Damage::Corrected { .. });
        corrected = found.damage.found.into_iter().filter(is_corrected).collect();
    };
    for name in disk.list()?.iter().filter(|name| name.ends_with(".redb.tmp")) {
        disk.remove(name)?;
    }
    let mut opening = Opening::begin(disk, lock, ready, options, found)?;
    opening.read_rows()?;
    opening.drop_what_does_not_last()?;
    let recovered = opening.finish()?;
    Ok((opening.store, recovered))
}

/// Refuses to go on where something is lost that the operator has not accepted. Up to here nothing on disk has changed but
/// for what redb repairs.
fn accepted(damage: &DamageReport, options: &StoreOptions) -> Result<(), OpenError> {
    if damage.has_losses() && !options.accept_loss { Err(OpenError::Lost(damage.clone())) } else { Ok(()) }
}

fn damaged(file: &str, why: &str) -> OpenError {
    OpenError::Damaged { file: file.to_owned(), why: why.to_owned() }
}

struct Opening {
    store: RedbStore,
    reconciled: Reconciled,
    given_up: Vec<(u64, bool)>,
    damaged_runs: u64,
    damage: DamageReport,
    /// Runs (with their first position) of which not all lasts, or nothing is left.
    to_check: Vec<(RunKey, u64, Durability)>,
}

impl Opening {
    fn begin(
        disk: Arc<dyn Disk>,
        lock: Box<dyn std::any::Any + Send + Sync>,
        ready: Ready,
        options: &StoreOptions,
        found: Inspection,
    ) -> Result<Opening, OpenError> {
        let Ready { active, catalog } = ready;
        let Inspection { newest, sealed, given_up, reconciled, damage, .. } = found;
        let suspect_below = active.meta(meta::SUSPECT_BELOW)?.unwrap_or(0);
        let mut index = Index::default();
        let mut manifest = Manifest { epoch: reconciled.epoch(), files: Vec::new() };
        let sealed_files = sealed
            .into_iter()
            .map(|known| (known.file, known.first_number, Some(known.logged), known.accepted));
        for (file, first_number, sealed_at, accepted) in
            sealed_files.chain([(newest.0, newest.1, None, false)])
        {
            let (live_runs, touched, kept) = (0, 0, false);
            index.files.push(FileRuns { file, first_number, live_runs, touched, kept, accepted });
            manifest.files.push(Listed { file, first_number, sealed_at, held: MessageCounts::default() });
        }
        let spans = index.files.iter().map(|known| (known.file, known.first_number)).collect();
        let takes_waits = active.meta(meta::FORMAT)?.is_some_and(|format| format >= WITH_WAITS);
        let journal = JournalFiles::new(Arc::clone(&disk), active, spans);
        let mut log =
            Log::open(&*disk, options.log_bytes, &reconciled.replay, reconciled.high_water, reconciled.last)?;
        if takes_waits {
            log.take_waits();
        }
        // Above whatever is said about numbers, also where nothing is left of what had them.
        index.next_number = index.active_from().max(suspect_below).max(reconciled.next_number);
        let store = RedbStore {
            options: *options,
            disk,
            index,
            journal,
            catalog,
            log,
            manifest,
            memtable: Memtable::default(),
            garbage: VecDeque::new(),
            allocated: 0,
            most_allocated: 0,
            sparse_for: 0,
            suspect_below,
            applied: reconciled.applied,
            pending_row: reconciled.rows.last().copied(),
            recent: Recent::default(),
            compaction: None,
            latched: None,
            lock,
        };
        Ok(Opening { store, reconciled, given_up, damaged_runs: 0, damage, to_check: Vec::new() })
    }

    /// Reads the deltas and tombstones of the active file, then the runs of all files.
    fn read_rows(&mut self) -> Result<(), OpenError> {
        let store = &mut self.store;
        let files: Vec<u64> = store.index.files.iter().map(|known| known.file).collect();
        let newest = files.last().copied().unwrap_or(1);
        let mut run_deltas = BTreeMap::new();
        for (number, row) in store.journal.active.rows(RowsOf::Deltas)? {
            let decoded = RunDelta::decode(&row);
            run_deltas
                .insert(number, decoded.ok_or_else(|| damaged(&journal_name(newest), "a row of notes"))?);
        }
        for (bucket, row) in store.journal.active.rows(RowsOf::Tombstones)? {
            let set = wire::unsealed(&row).and_then(|row| RangeSet::decode(&mut Reader(row)));
            let set = set.ok_or_else(|| damaged(&journal_name(newest), "a row of settled runs"))?;
            store.index.tombstones.insert(bucket, set);
        }
        // The last time may have ended between the removal of a file and the transaction after it.
        store.index.forget_tombstones_of_removed_files();
        for (number, row) in store.journal.active.rows(RowsOf::Garbage)? {
            // The row has no checksum: what no blob is as large as is not believed, and only takes room.
            let len = <[u8; 8]>::try_from(&row[..]).map_or(0, u64::from_le_bytes);
            let len = if len <= MOST_BLOB { len } else { 0 };
            store.garbage.push_back(Garbage { number, len, noted: true });
            store.allocated += chunk::allocated(len);
            store.index.next_number = store.index.next_number.max(number + 1);
        }
        for file in files {
            self.read_runs(file, &mut run_deltas)?;
        }
        let store = &mut self.store;
        let active = store.index.active_from();
        store.allocated +=
            store.index.blobs_in(active..u64::MAX).map(|(_, blob)| chunk::allocated(blob.len)).sum::<u64>();
        Ok(())
    }

    fn read_runs(&mut self, file: u64, run_deltas: &mut BTreeMap<u64, RunDelta>) -> Result<(), OpenError> {
        let Opening { store, to_check, .. } = self;
        let RedbStore { journal, index, .. } = store;
        let mut bad = 0u64;
        let mut seen = HashSet::new();
        let each = |key: RunKey, row: &[u8]| {
            // Where pages are lost a row may come twice.
            if index.has_tombstone(key.number) || !seen.insert(key.number) {
                return;
            }
            match run::decode_row(row) {
                Some((header, _)) => {
                    let delta = run_deltas.remove(&key.number);
                    let settled = delta.as_ref().is_some_and(|n| n.settled.len() >= u64::from(header.count));
                    if settled || header.durability != Durability::All {
                        let durability = if settled { Durability::None } else { header.durability };
                        to_check.push((key, header.first, durability));
                    }
                    index.add(key, &header, delta);
                }
                None => {
                    bad += 1;
                    tracing::error!(file, queue = key.queue.0, run = key.number, "a damaged run is left out");
                }
            }
        };
        let whole = if journal.is_active(file) {
            journal.active.runs(each).map_err(|error| damaged_file(file, error))?;
            true
        } else {
            let sealed = journal.sealed(file)?;
            sealed.runs(each) && sealed.check_rows(Depth::Structure)
        };
        if bad > 0 || !whole {
            self.damaged_runs += bad;
            for known in self.store.index.files.iter_mut().filter(|known| known.file == file) {
                known.kept = true;
            }
        }
        Ok(())
    }

    /// Drops what was only spilled.
    fn drop_what_does_not_last(&mut self) -> Result<(), StoreError> {
        let RedbStore { index, journal, .. } = &mut self.store;
        for (key, first, durability) in std::mem::take(&mut self.to_check) {
            if durability == Durability::None {
                index.drop_run(key, first);
            } else if let Some(entries) = journal.entries(key)? {
                let spilled = entries.iter().enumerate().filter(|(_, entry)| !entry.durable);
                let spilled: Vec<_> = spilled.map(|(place, _)| (place, place + 1)).collect();
                index.settle_places(key, first, spilled.into_iter(), &entries);
            }
        }
        Ok(())
    }

    /// Completes what a crash left between log, journal and catalog, and marks the directory as in use.
    fn finish(&mut self) -> Result<Recovered, OpenError> {
        self.remove_what_was_given_up()?;
        for (number, ops) in std::mem::take(&mut self.reconciled.to_apply) {
            self.store.catalog.apply(&ops, &[(meta::APPLIED, number)], None)?;
            self.store.applied = number;
        }
        if !self.store.log.is_empty() {
            // What was found on opening is written first: the log may fill the active file and begin another.
            self.mark()?;
            for Logged { ops, catalog } in std::mem::take(&mut self.reconciled.replay.commits) {
                self.store.memtable.take(ops, catalog);
            }
            self.store.flush()?;
            self.store.log.restart()?;
        }
        self.store.log.set_salt(self.store.options.salt);
        self.mark()?;
        let store = &mut self.store;
        store.log.write_high_water()?;
        Ok(Recovered {
            catalog: store.catalog.records()?,
            queues: store.index.recovered(&mut store.journal)?,
            clean: self.reconciled.clean,
            messages: store.index.live_messages,
            damaged_runs: self.damaged_runs,
            damage: std::mem::take(&mut self.damage),
        })
    }

    /// Writes what has changed since the files were opened, that they are in use, and which there are.
    fn mark(&mut self) -> Result<(), StoreError> {
        let store = &mut self.store;
        if !self.reconciled.clean {
            store.suspect_below = store.index.next_number;
        }
        let mut changes = Changes {
            meta: vec![
                (meta::FORMAT, store.format()),
                (meta::CLEAN, 0),
                (meta::SUSPECT_BELOW, store.suspect_below),
                (meta::LOGGED, store.log.flushed()),
                (meta::SALT, store.log.salt()),
                (meta::LOG_BYTES, store.log.len()),
            ],
            accepted: store.index.accepted(),
            ..Changes::default()
        };
        // The last row stays: a catalog that loses its last transaction is repaired from it.
        let mut rows = std::mem::take(&mut self.reconciled.rows);
        rows.pop();
        changes.pending.extend(rows.into_iter().map(|number| (number, None)));
        store.recount();
        let empty = store.give_up_empty_files(&mut changes);
        changes.manifest = store.next_manifest();
        store.collect(&mut changes);
        store.journal.active.apply(&changes)?;
        let meta = [(meta::SALT, store.log.salt()), (meta::APPLIED, store.applied)];
        store.catalog.apply(&[], &meta, changes.manifest.as_deref())?;
        store.remove_files(&empty);
        Ok(())
    }

    /// Removes files that are not listed any more, which a crash left there. One with something left in it was put
    /// back by somebody: it is left alone.
    fn remove_what_was_given_up(&mut self) -> Result<(), OpenError> {
        for &(file, _) in self.given_up.iter().filter(|(_, settled)| *settled) {
            self.store.disk.remove(&journal_name(file))?;
        }
        Ok(())
    }
}

fn damaged_file(file: u64, error: StoreError) -> OpenError {
    match error {
        StoreError::Damaged(why) => OpenError::Damaged { file: journal_name(file), why },
        error => error.into(),
    }
}
