//! Opening a data directory: which files are there, what is left in them, and the first transaction, which says
//! that the directory is in use. Reads the rows of runs and never a body.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::changes::Changes;
use super::damage::DamageReport;
use super::disk::Disk;
use super::engine::{FORMAT, RedbStore, Trash, meta};
use super::error::{OpenError, StoreError};
use super::index::{BUCKET, EntrySource, FileRuns, Index};
use super::intake::Intake;
use super::log::{Log, Logged, Replay};
use super::pack::Recent;
use super::ranges::RangeSet;
use super::redb::{DataFile, Mode, RowsOf};
use super::run::{self, Keeps, Notes, RunKey};
use super::shelf::{Shelf, journal_name};
use super::wire::{self, Reader};
use super::{Recovered, StoreOptions, chunk, pending};

pub(super) const CATALOG: &str = "catalog.redb";
/// redb's cache for the catalog, in bytes.
const CATALOG_CACHE: usize = 1 << 20;

/// Opens the store on a disk, which is made ready where it is empty.
pub(super) fn open(disk: Arc<dyn Disk>, options: &StoreOptions) -> Result<(RedbStore, Recovered), OpenError> {
    let lock = disk.lock()?.ok_or(OpenError::Locked)?;
    let names = disk.list()?;
    for name in names.iter().filter(|name| name.ends_with(".redb.tmp")) {
        disk.remove(name)?;
    }
    let files = journal_files(&names);
    let catalog_there = names.iter().any(|name| name == CATALOG);
    // The journal is made first: a catalog without one has lost it.
    let active = match files.last() {
        Some(&newest) => open_to_write(&*disk, &journal_name(newest), options.cache_bytes)?,
        None if catalog_there => return Err(OpenError::Missing { file: "the journal" }),
        None => create_journal(&*disk, options)?,
    };
    let files = if files.is_empty() { vec![1] } else { files };
    check_format(&active)?;
    let catalog = if catalog_there {
        open_to_write(&*disk, CATALOG, CATALOG_CACHE)?
    } else if files == [1] && !holds_anything(&active)? {
        DataFile::create(&*disk, CATALOG, CATALOG_CACHE, |data| {
            data.make_catalog(&[(meta::FORMAT, FORMAT), (meta::APPLIED, 0)])
        })?
    } else {
        return Err(OpenError::Missing { file: CATALOG });
    };
    check_format(&catalog)?;

    let mut opening = Opening::begin(disk, lock, active, catalog, options, &files)?;
    opening.read_rows(&files)?;
    opening.drop_what_does_not_last()?;
    let recovered = opening.finish()?;
    Ok((opening.store, recovered))
}

/// The numbers of the journal files among these names, in order.
pub(super) fn journal_files(names: &[String]) -> Vec<u64> {
    let number = |name: &String| name.strip_prefix("journal-")?.strip_suffix(".redb")?.parse().ok();
    let mut files: Vec<u64> = names.iter().filter_map(number).collect();
    files.sort_unstable();
    files
}

/// Refuses what a newer version wrote.
pub(super) fn check_format(data: &DataFile) -> Result<(), OpenError> {
    match data.meta(meta::FORMAT)? {
        Some(found) if found > FORMAT => Err(OpenError::NewerFormat { found, known: FORMAT }),
        Some(_) => Ok(()),
        None => Err(damaged("a file of the store", "it does not say its format")),
    }
}

fn damaged(file: &str, why: &str) -> OpenError {
    OpenError::Damaged { file: file.to_owned(), why: why.to_owned() }
}

fn open_to_write(disk: &dyn Disk, name: &str, cache: usize) -> Result<DataFile, OpenError> {
    match DataFile::open(disk, name, cache, Mode::Write) {
        Ok(Some(data)) => Ok(data),
        Ok(None) => Err(damaged(name, "it could not be repaired")),
        Err(StoreError::Damaged(why)) => Err(damaged(name, &why)),
        Err(StoreError::Io(error)) => Err(match Arc::try_unwrap(error) {
            Ok(error) => error.into(),
            Err(error) => StoreError::Io(error).into(),
        }),
        Err(error) => Err(error.into()),
    }
}

fn create_journal(disk: &dyn Disk, options: &StoreOptions) -> Result<DataFile, OpenError> {
    let meta =
        vec![(meta::FORMAT, FORMAT), (meta::FIRST_NUMBER, 1), (meta::CLEAN, 1), (meta::SUSPECT_BELOW, 0)];
    let first = Changes { meta, ..Changes::default() };
    Ok(DataFile::create(disk, &journal_name(1), options.cache_bytes, |data| data.make_journal(&first))?)
}

fn holds_anything(active: &DataFile) -> Result<bool, StoreError> {
    let mut any = !active.rows(RowsOf::Pending)?.is_empty();
    active.runs(|_, _| any = true)?;
    Ok(any)
}

struct Opening {
    store: RedbStore,
    replay: Replay,
    clean: bool,
    damaged_runs: u64,
    damage: DamageReport,
    /// Runs (with their first position) of which not all lasts, or nothing is left.
    to_check: Vec<(RunKey, u64, Keeps)>,
    applied_pending: Vec<u64>,
}

impl Opening {
    fn begin(
        disk: Arc<dyn Disk>,
        lock: Box<dyn std::any::Any + Send + Sync>,
        active: DataFile,
        catalog: DataFile,
        options: &StoreOptions,
        files: &[u64],
    ) -> Result<Opening, OpenError> {
        let newest = files.last().copied().unwrap_or(1);
        let clean = active.meta(meta::CLEAN)? == Some(1);
        let suspect_below = active.meta(meta::SUSPECT_BELOW)?.unwrap_or(0);
        let mut index = Index::default();
        let mut spans = Vec::new();
        // Sealed files are opened through a shelf that knows them by name only, to ask for their first numbers.
        let mut shelf = Shelf::new(Arc::clone(&disk), active, files.iter().map(|&file| (file, 0)).collect());
        for &file in files {
            let data = shelf.data(file).map_err(|error| damaged_file(file, error))?;
            if file != newest {
                check_format(data)?;
            }
            let first = data.meta(meta::FIRST_NUMBER)?;
            let first_number =
                first.ok_or_else(|| damaged(&journal_name(file), "its first number is lost"))?;
            spans.push((file, first_number));
            index.files.push(FileRuns { file, first_number, live_runs: 0, touched: 0, kept: false });
        }
        shelf.set_files(spans);
        let logged = shelf.active.meta(meta::LOGGED)?.unwrap_or(0);
        let salt = shelf.active.meta(meta::SALT)?.unwrap_or(0);
        let (log, replay) = Log::open(&*disk, options.log_bytes, logged, salt)?;
        let mut damage = DamageReport::default();
        if let Some(lost) = replay.lost() {
            damage.add(lost);
        }
        // Nothing on disk has changed so far but for what redb repairs.
        if damage.has_losses() && !options.accept_loss {
            return Err(OpenError::Lost(damage));
        }
        // Above whatever is said about numbers, also where nothing is left of what had them.
        index.next_number = index.active_from().max(suspect_below).max(1);
        let store = RedbStore {
            options: *options,
            disk,
            index,
            shelf,
            catalog,
            log,
            tail: Intake::default(),
            trash: VecDeque::new(),
            allocated: 0,
            most_allocated: 0,
            sparse_for: 0,
            suspect_below,
            applied: None,
            recent: Recent::default(),
            evacuation: None,
            latched: None,
            lock,
        };
        Ok(Opening {
            store,
            replay,
            clean,
            damaged_runs: 0,
            damage,
            to_check: Vec::new(),
            applied_pending: Vec::new(),
        })
    }

    /// Reads what the active file notes, then the runs of all files.
    fn read_rows(&mut self, files: &[u64]) -> Result<(), OpenError> {
        let store = &mut self.store;
        let newest = files.last().copied().unwrap_or(1);
        let mut notes = HashMap::new();
        for (number, row) in store.shelf.active.rows(RowsOf::Notes)? {
            let decoded = Notes::decode(&row);
            notes.insert(number, decoded.ok_or_else(|| damaged(&journal_name(newest), "a row of notes"))?);
        }
        for (bucket, row) in store.shelf.active.rows(RowsOf::Gone)? {
            let set = wire::unsealed(&row).and_then(|row| RangeSet::decode(&mut Reader(row)));
            let set = set.ok_or_else(|| damaged(&journal_name(newest), "a row of settled runs"))?;
            store.index.gone.insert(bucket, set);
        }
        for (number, row) in store.shelf.active.rows(RowsOf::Trash)? {
            let len = <[u8; 8]>::try_from(&row[..]).map_or(0, u64::from_le_bytes);
            store.trash.push_back(Trash { number, len, noted: true });
            store.allocated += chunk::allocated(len);
            store.index.next_number = store.index.next_number.max(number + 1);
        }
        for &file in files {
            self.read_runs(file, &mut notes)?;
        }
        let store = &mut self.store;
        let active = store.index.active_from();
        store.allocated +=
            store.index.blobs_in(active..u64::MAX).map(|(_, blob)| chunk::allocated(blob.len)).sum::<u64>();
        Ok(())
    }

    fn read_runs(&mut self, file: u64, notes: &mut HashMap<u64, Notes>) -> Result<(), OpenError> {
        let Opening { store, to_check, .. } = self;
        let RedbStore { shelf, index, .. } = store;
        let mut bad = 0u64;
        let each = |key: RunKey, row: &[u8]| {
            if index.is_gone(key.number) {
                return;
            }
            match run::decode_row(row) {
                Some((header, _)) => {
                    let notes = notes.remove(&key.number);
                    let settled = notes.as_ref().is_some_and(|n| n.settled.len() >= u64::from(header.count));
                    if settled || header.keeps != Keeps::All {
                        let keeps = if settled { Keeps::None } else { header.keeps };
                        to_check.push((key, header.first, keeps));
                    }
                    index.add(key, &header, notes);
                }
                None => {
                    bad += 1;
                    tracing::error!(file, queue = key.queue.0, run = key.number, "a damaged run is left out");
                }
            }
        };
        let data = shelf.data(file).map_err(|error| damaged_file(file, error))?;
        data.runs(each).map_err(|error| damaged_file(file, error))?;
        if bad > 0 {
            self.damaged_runs += bad;
            for known in self.store.index.files.iter_mut().filter(|known| known.file == file) {
                known.kept = true;
            }
        }
        Ok(())
    }

    /// Drops what was only spilled.
    fn drop_what_does_not_last(&mut self) -> Result<(), StoreError> {
        let RedbStore { index, shelf, .. } = &mut self.store;
        for (key, first, keeps) in std::mem::take(&mut self.to_check) {
            if keeps == Keeps::None {
                index.drop_run(key, first);
            } else if let Some(entries) = shelf.entries(key)? {
                let spilled = entries.iter().enumerate().filter(|(_, entry)| !entry.durable);
                let spilled: Vec<_> = spilled.map(|(place, _)| (place, place + 1)).collect();
                index.settle_places(key, first, spilled.into_iter(), &entries);
            }
        }
        Ok(())
    }

    /// Completes what a crash left between log, journal and catalog, and marks the directory as in use.
    fn finish(&mut self) -> Result<Recovered, OpenError> {
        self.apply_pending()?;
        if self.replay.last > self.store.log.taken_over() {
            // What was found on opening is written first: the log may fill the active file and begin another.
            self.mark()?;
            self.take_over_the_log()?;
        }
        self.store.log.set_salt(self.store.options.salt);
        self.mark()?;
        let store = &mut self.store;
        store.remove_empty_files();
        Ok(Recovered {
            catalog: store.catalog.records()?,
            queues: store.index.recovered(),
            clean: self.clean,
            messages: store.index.live_messages,
            damaged_runs: self.damaged_runs,
            damage: std::mem::take(&mut self.damage),
        })
    }

    /// Writes what has changed since the files were opened, and that they are in use.
    fn mark(&mut self) -> Result<(), StoreError> {
        let store = &mut self.store;
        if !self.clean {
            store.suspect_below = store.index.next_number;
        }
        let mut changes = Changes {
            meta: vec![
                (meta::FORMAT, FORMAT),
                (meta::CLEAN, 0),
                (meta::SUSPECT_BELOW, store.suspect_below),
                (meta::LOGGED, store.log.taken_over()),
                (meta::SALT, store.log.salt()),
            ],
            pending: self.applied_pending.drain(..).map(|number| (number, None)).collect(),
            ..Changes::default()
        };
        store.collect(&mut changes);
        store.shelf.active.apply(&changes)
    }

    /// Brings into the journal what the log holds beyond it.
    fn take_over_the_log(&mut self) -> Result<(), StoreError> {
        let replay = std::mem::take(&mut self.replay);
        for Logged { ops, catalog } in replay.commits {
            self.store.tail.take(ops, catalog);
        }
        self.store.take_over()?;
        self.store.log.restart();
        Ok(())
    }

    fn apply_pending(&mut self) -> Result<(), OpenError> {
        let store = &mut self.store;
        let applied = store.catalog.meta(meta::APPLIED)?.unwrap_or(0);
        let mut next = store.index.next_number.max(applied + 1);
        for (number, row) in store.shelf.active.rows(RowsOf::Pending)? {
            if number > applied {
                let ops = pending::decode(&row);
                let ops = ops.ok_or_else(|| damaged("the active journal", "its catalog operations"))?;
                store.catalog.apply_catalog(&ops, &[(meta::APPLIED, number)])?;
            }
            self.applied_pending.push(number);
            next = next.max(number + 1);
        }
        store.index.next_number = next;
        // Buckets of settled runs belong to files that are still there; numbers never come back.
        let gone = store.index.gone.keys().next_back().map_or(0, |bucket| (bucket + 1) * BUCKET);
        debug_assert!(store.index.active_from() + BUCKET >= gone);
        Ok(())
    }
}

fn damaged_file(file: u64, error: StoreError) -> OpenError {
    match error {
        StoreError::Damaged(why) => OpenError::Damaged { file: journal_name(file), why },
        error => error.into(),
    }
}
