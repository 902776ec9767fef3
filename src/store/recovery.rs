//! Opening a data directory: which files are there, what is left in them, and the first transaction, which says
//! that the directory is in use. Reads the rows of runs and never a body.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::catalog_file::{CATALOG, CATALOG_CACHE, CatalogFile};
use super::changes::Changes;
use super::damage::{Census, Damage, DamageReport};
use super::disk::Disk;
use super::engine::{FORMAT, RedbStore, Trash, meta};
use super::error::{OpenError, StoreError};
use super::index::{EntrySource, FileRuns, Index};
use super::intake::Intake;
use super::log::{Log, Logged};
use super::manifest::{Listed, Manifest};
use super::pack::Recent;
use super::ranges::RangeSet;
use super::redb::{DataFile, Mode, RowsOf};
use super::run::{self, Keeps, Notes, RunKey};
use super::shelf::{Shelf, journal_name};
use super::survey::{self, CatalogSays, JournalSays, Survey};
use super::wire::{self, Reader};
use super::{Recovered, StoreOptions, chunk};

/// No blob has more bytes: a message, or what is put together of smaller ones.
const MOST_BLOB: u64 = 8 << 30;

/// Opens the store on a disk, which is made ready where it is empty.
pub(super) fn open(disk: Arc<dyn Disk>, options: &StoreOptions) -> Result<(RedbStore, Recovered), OpenError> {
    let lock = disk.lock()?.ok_or(OpenError::Locked)?;
    let names = disk.list()?;
    for name in names.iter().filter(|name| name.ends_with(".redb.tmp")) {
        disk.remove(name)?;
    }
    let mut damage = DamageReport::default();
    let mut files = journal_files(&names);
    let catalog = if names.iter().any(|name| name == CATALOG) {
        let catalog = open_to_write(&*disk, CATALOG, CATALOG_CACHE)?;
        check_format(&catalog)?;
        Some(catalog)
    } else {
        None
    };
    let catalog_says = catalog.as_ref().map(CatalogSays::read).transpose()?;
    let active = match files.last() {
        Some(&newest) => open_to_write(&*disk, &journal_name(newest), options.cache_bytes)?,
        None => {
            let (file, first_number) = survey::no_journal(&*disk, catalog_says.as_ref(), &mut damage)?;
            accepted(&damage, options)?;
            files.push(file);
            create_journal(&*disk, options, file, first_number)?
        }
    };
    check_format(&active)?;
    if catalog.is_none() && !survey::is_new(&files, &active)? {
        damage.add(Damage::CatalogMissing);
    }
    let says = JournalSays::read(&active)?;
    let survey = survey::survey(&*disk, &files, says, catalog_says, &mut damage)?;
    let mut opening = Opening::begin(disk, lock, active, catalog, options, survey, damage)?;
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

/// The journal is made before the catalog: a catalog without one has lost it.
fn create_journal(
    disk: &dyn Disk,
    options: &StoreOptions,
    file: u64,
    first_number: u64,
) -> Result<DataFile, OpenError> {
    let meta = vec![
        (meta::FORMAT, FORMAT),
        (meta::FIRST_NUMBER, first_number),
        (meta::CLEAN, 1),
        (meta::SUSPECT_BELOW, 0),
    ];
    let first = Changes { meta, ..Changes::default() };
    let name = journal_name(file);
    Ok(DataFile::create(disk, &name, options.cache_bytes, |data| data.make_journal(&first))?)
}

struct Opening {
    store: RedbStore,
    survey: Survey,
    damaged_runs: u64,
    damage: DamageReport,
    /// Runs (with their first position) of which not all lasts, or nothing is left.
    to_check: Vec<(RunKey, u64, Keeps)>,
}

impl Opening {
    fn begin(
        disk: Arc<dyn Disk>,
        lock: Box<dyn std::any::Any + Send + Sync>,
        active: DataFile,
        catalog: Option<DataFile>,
        options: &StoreOptions,
        survey: Survey,
        mut damage: DamageReport,
    ) -> Result<Opening, OpenError> {
        let files = &survey.inventory.files;
        let newest = files.last().copied().unwrap_or(1);
        let suspect_below = active.meta(meta::SUSPECT_BELOW)?.unwrap_or(0);
        let mut index = Index::default();
        let mut spans = Vec::new();
        let mut manifest = Manifest { epoch: survey.epoch(), files: Vec::new() };
        // Sealed files are opened through a shelf that knows them by name only, to ask for their first numbers.
        let mut shelf = Shelf::new(Arc::clone(&disk), active, files.iter().map(|&file| (file, 0)).collect());
        for &file in files {
            let data = shelf.data(file).map_err(|error| damaged_file(file, error))?;
            let mut sealed_at = None;
            if file != newest {
                check_format(data)?;
                let logged = data.meta(meta::LOGGED)?.unwrap_or(0);
                survey.judge_sealed(file, logged).into_iter().for_each(|older| damage.add(older));
                sealed_at = Some(logged);
            }
            let first = data.meta(meta::FIRST_NUMBER)?;
            let first_number =
                first.ok_or_else(|| damaged(&journal_name(file), "its first number is lost"))?;
            spans.push((file, first_number));
            index.files.push(FileRuns { file, first_number, live_runs: 0, touched: 0, kept: false });
            manifest.files.push(Listed { file, first_number, sealed_at, held: Census::default() });
        }
        shelf.set_files(spans);
        accepted(&damage, options)?;
        let catalog = match catalog {
            Some(data) => CatalogFile::open(data, &survey.contents, survey.applied)?,
            None => CatalogFile::create(&*disk, &[(meta::APPLIED, 0)], None)?,
        };
        let log = Log::open(&*disk, options.log_bytes, &survey.replay, survey.testimony, survey.last)?;
        // Above whatever is said about numbers, also where nothing is left of what had them.
        index.next_number = index.active_from().max(suspect_below).max(survey.next_number);
        let store = RedbStore {
            options: *options,
            disk,
            index,
            shelf,
            catalog,
            log,
            manifest,
            tail: Intake::default(),
            trash: VecDeque::new(),
            allocated: 0,
            most_allocated: 0,
            sparse_for: 0,
            suspect_below,
            applied: survey.applied,
            pending_row: survey.rows.last().copied(),
            recent: Recent::default(),
            evacuation: None,
            latched: None,
            lock,
        };
        Ok(Opening { store, survey, damaged_runs: 0, damage, to_check: Vec::new() })
    }

    /// Reads what the active file notes, then the runs of all files.
    fn read_rows(&mut self) -> Result<(), OpenError> {
        let store = &mut self.store;
        let files = self.survey.inventory.files.clone();
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
            // The row has no checksum: what no blob is as large as is not believed, and only takes room.
            let len = <[u8; 8]>::try_from(&row[..]).map_or(0, u64::from_le_bytes);
            let len = if len <= MOST_BLOB { len } else { 0 };
            store.trash.push_back(Trash { number, len, noted: true });
            store.allocated += chunk::allocated(len);
            store.index.next_number = store.index.next_number.max(number + 1);
        }
        for file in files {
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
        self.remove_what_was_given_up()?;
        for (number, ops) in std::mem::take(&mut self.survey.to_apply) {
            self.store.catalog.apply(&ops, &[(meta::APPLIED, number)], None)?;
            self.store.applied = number;
        }
        if !self.store.log.is_empty() {
            // What was found on opening is written first: the log may fill the active file and begin another.
            self.mark()?;
            for Logged { ops, catalog } in std::mem::take(&mut self.survey.replay.commits) {
                self.store.tail.take(ops, catalog);
            }
            self.store.take_over()?;
            self.store.log.restart()?;
        }
        self.store.log.set_salt(self.store.options.salt);
        self.mark()?;
        let store = &mut self.store;
        store.log.bear_witness()?;
        Ok(Recovered {
            catalog: store.catalog.records()?,
            queues: store.index.recovered(),
            clean: self.survey.clean,
            messages: store.index.live_messages,
            damaged_runs: self.damaged_runs,
            damage: std::mem::take(&mut self.damage),
        })
    }

    /// Writes what has changed since the files were opened, that they are in use, and which there are.
    fn mark(&mut self) -> Result<(), StoreError> {
        let store = &mut self.store;
        if !self.survey.clean {
            store.suspect_below = store.index.next_number;
        }
        let mut changes = Changes {
            meta: vec![
                (meta::FORMAT, FORMAT),
                (meta::CLEAN, 0),
                (meta::SUSPECT_BELOW, store.suspect_below),
                (meta::LOGGED, store.log.taken_over()),
                (meta::SALT, store.log.salt()),
                (meta::LOG_BYTES, store.log.len()),
            ],
            ..Changes::default()
        };
        // The last row stays: a catalog that loses its last transaction is repaired from it.
        let mut rows = std::mem::take(&mut self.survey.rows);
        rows.pop();
        changes.pending.extend(rows.into_iter().map(|number| (number, None)));
        store.recount();
        let empty = store.give_up_empty_files(&mut changes);
        changes.manifest = store.next_manifest();
        store.collect(&mut changes);
        store.shelf.active.apply(&changes)?;
        let meta = [(meta::SALT, store.log.salt()), (meta::APPLIED, store.applied)];
        store.catalog.apply(&[], &meta, changes.manifest.as_deref())?;
        store.remove_files(&empty);
        Ok(())
    }

    /// Removes files that are not listed any more, which a crash left there. One with something left in it was put
    /// back by somebody: it is left alone.
    fn remove_what_was_given_up(&mut self) -> Result<(), OpenError> {
        let store = &mut self.store;
        for &file in &self.survey.inventory.given_up {
            let name = journal_name(file);
            let data = DataFile::open(&*store.disk, &name, CATALOG_CACHE, Mode::Inspect);
            let mut settled = matches!(data, Ok(Some(_)));
            if let Ok(Some(data)) = data {
                let read = data.runs(|key, _| settled &= store.index.is_gone(key.number));
                settled &= read.is_ok();
            }
            if settled {
                store.disk.remove(&name)?;
            } else {
                self.damage.add(Damage::JournalGivenUp { file: name });
            }
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
