//! The store on a journal of redb files with a log before it: commits logged, transactions planned and carried out,
//! files rotated and given back. Opening it is `recovery`, reading `reading`; what a transaction writes is `transaction`.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::catalog_file::CatalogFile;
use super::changes::Changes;
use super::compaction::{self, Compaction};
use super::damage::MessageCounts;
use super::disk::Disk;
use super::error::StoreError;
use super::format::{FORMAT, RowsOf, WITH_WAITS, meta};
use super::index::{FileRuns, Index};
use super::journal_files::{self, JournalFiles, journal_name};
use super::log::Log;
use super::manifest::{Listed, Manifest};
use super::memtable::Memtable;
use super::pack::Recent;
use super::redb::DataFile;
use super::{Activity, Store, StoreOptions, Usage, pending, reading};
use crate::model::holdings::Holdings;
use crate::model::op::{CatalogOp, Fetch, Fetched, Op};

/// Bytes of memory that messages of the log may hold before they go to the journal.
const MEMTABLE_BYTES: usize = 8 << 20;
/// Parts that what is known of earlier messages (removed, requeued) may have before it goes to the journal too: where
/// acks come in no order each is a part of its own, and they are kept sorted.
const MEMTABLE_PARTS: usize = 8192;

/// Unneeded chunks of the active file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Garbage {
    pub(super) number: u64,
    pub(super) len: u64,
    /// There is a row that says so.
    pub(super) noted: bool,
}

/// The store of a data directory.
pub struct RedbStore {
    pub(super) options: StoreOptions,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) index: Index,
    pub(super) journal: JournalFiles,
    pub(super) catalog: CatalogFile,
    pub(super) log: Log,
    /// The files that must be there.
    pub(super) manifest: Manifest,
    /// What was committed since the last transaction of the journal.
    pub(super) memtable: Memtable,
    pub(super) garbage: VecDeque<Garbage>,
    /// Bytes of pages that chunks take in the active file.
    pub(super) allocated: u64,
    /// The most it was since the file was begun or opened.
    pub(super) most_allocated: u64,
    /// For how many checkpoints little of that is wanted.
    pub(super) sparse_for: u32,
    /// Runs below this number may have been delivered before an unclean stop.
    pub(super) suspect_below: u64,
    /// The last catalog operations that are in the catalog, and the row of the journal that still holds them.
    pub(super) applied: u64,
    pub(super) pending_row: Option<u64>,
    pub(super) recent: Recent,
    pub(super) compaction: Option<Compaction>,
    pub(super) latched: Option<Arc<StoreError>>,
    /// Given back last.
    pub(super) lock: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl Store for RedbStore {
    fn commit(&mut self, ops: Vec<Op>, catalog: Vec<CatalogOp>) -> Result<(), StoreError> {
        self.latching(|store| store.try_commit(ops, catalog))
    }

    fn checkpoint(&mut self) -> Result<bool, StoreError> {
        self.latching(|store| {
            let idle = store.memtable.is_empty();
            store.flush()?;
            store.do_housekeeping(idle)
        })
    }

    fn fetch(&mut self, fetch: &Fetch) -> Result<Fetched, StoreError> {
        self.latching(|store| store.try_fetch(fetch))
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.latching(|store| store.disk.check().map_err(|error| StoreError::Displaced(error.to_string())))
    }

    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        self.latching(RedbStore::flush)?;
        self.recount();
        let manifest = self.next_manifest();
        let meta = vec![(meta::CLEAN, 1)];
        self.journal.active.apply(&Changes { meta, manifest: manifest.clone(), ..Changes::default() })?;
        self.catalog.apply(&[], &[], manifest.as_deref())?;
        self.journal.close()?;
        self.catalog.close()?;
        drop(self.lock);
        Ok(())
    }

    fn holdings(&self, into: &mut Holdings) {
        let RedbStore {
            options: _,
            disk: _,
            index,
            journal,
            catalog: _,
            log: _,
            manifest: _,
            memtable,
            garbage,
            allocated: _,
            most_allocated: _,
            sparse_for: _,
            suspect_below: _,
            applied: _,
            pending_row: _,
            recent,
            compaction,
            latched: _,
            lock: _,
        } = self;
        index.holdings(into);
        journal.holdings(into);
        memtable.holdings(into);
        into.in_transit("store: garbage", garbage);
        into.declared("store: bodies written a moment ago", &recent.len());
        into.in_transit("store: file that is being compacted", compaction);
    }

    fn activity(&self) -> Activity {
        self.log.activity()
    }

    fn usage(&self) -> Usage {
        let (files, file_bytes) = journal_files::on_disk(&*self.disk);
        Usage {
            files,
            file_bytes,
            messages: self.index.live_messages,
            body_bytes: self.index.live_bytes,
            quarantined: self.journal.quarantined(),
        }
    }
}

impl RedbStore {
    /// Runs `step` unless something failed before; the first failure is the last thing that is tried.
    fn latching<T>(
        &mut self,
        step: impl FnOnce(&mut RedbStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(error) = &self.latched {
            return Err(StoreError::Latched(Arc::clone(error)));
        }
        step(self).inspect_err(|error| self.latched = Some(Arc::new(error.clone())))
    }

    fn try_commit(&mut self, ops: Vec<Op>, catalog: Vec<CatalogOp>) -> Result<(), StoreError> {
        if ops.is_empty() && catalog.is_empty() {
            return Ok(());
        }
        let logged = self.log.append(&ops, &catalog)?;
        self.memtable.take(ops, catalog);
        if logged && self.memtable.footprint() < MEMTABLE_BYTES && self.memtable.parts() < MEMTABLE_PARTS {
            return Ok(());
        }
        self.flush()
    }

    fn try_fetch(&mut self, fetch: &Fetch) -> Result<Fetched, StoreError> {
        if self.memtable.queues.get(&fetch.queue).is_some_and(|delta| delta.holds(fetch)) {
            self.flush()?;
        }
        match self.read(fetch) {
            Err(error @ (StoreError::Damaged(_) | StoreError::Io(_)))
                if !self.journal.active.failed_to_write() =>
            {
                self.set_active_aside(&error)?;
                self.read(fetch)
            }
            read => read,
        }
    }

    fn read(&mut self, fetch: &Fetch) -> Result<Fetched, StoreError> {
        let delta = self.memtable.queues.get(&fetch.queue);
        reading::fetch(&self.index, &mut self.journal, self.suspect_below, delta, fetch)
    }

    /// Where the active file cannot be read, it is sealed as it is: what can be read of it is read by hand, and nothing is
    /// written to it any more. All that is noted of it is in memory too.
    pub(super) fn set_active_aside(&mut self, why: &StoreError) -> Result<(), StoreError> {
        let file = self.index.files.last().map_or(0, |active| active.file);
        tracing::error!(file = journal_name(file), "it cannot be read and is set aside: {why}");
        // The changes of the catalog that it holds are in the catalog by now.
        self.begin_next_file(Vec::new())?.abandon();
        Ok(())
    }

    /// Flushes the memtable: what was committed since the last time goes to the journal as one transaction.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.memtable.is_empty() {
            return Ok(());
        }
        let only_catalog = self.memtable.queues.is_empty();
        let mut changes = Changes::default();
        if self.allocated >= self.options.file_bytes && !only_catalog {
            self.rotate()?;
        }
        let memtable = std::mem::take(&mut self.memtable);
        self.index.commits += 1;
        for (&queue, delta) in &memtable.queues {
            if delta.deleted {
                self.index.delete_queue(queue);
            }
            self.index.settle(queue, &delta.removed, &mut self.journal)?;
            for &(position, with) in &delta.requeued {
                self.index.requeue(queue, position, with, &mut self.journal)?;
            }
        }
        if !self.log.is_empty() {
            changes.meta.push((meta::LOGGED, self.log.last()));
        }
        let packed = self.pack(&memtable)?;
        self.admit(packed, &mut changes);
        if !only_catalog {
            compaction::step(self, &mut changes)?;
        }
        let empty = self.give_up_empty_files(&mut changes);
        self.collect(&mut changes);
        self.write(&mut changes, &memtable.catalog)?;
        self.log.restart()?;
        self.remove_files(&empty);
        Ok(())
    }

    /// Writes a transaction. Where both files are concerned the journal is written first and holds the catalog's
    /// operations too, until those of the next transaction take their place: so it is one transaction after all, and the
    /// journal knows what the catalog must hold.
    pub(super) fn write(&mut self, changes: &mut Changes, catalog: &[CatalogOp]) -> Result<(), StoreError> {
        let mut meta = Vec::new();
        if !catalog.is_empty() {
            let number = self.index.take_number();
            changes.pending.extend(self.pending_row.replace(number).map(|before| (before, None)));
            changes.pending.push((number, Some(pending::encode(self.applied, catalog))));
            self.applied = number;
            meta.push((meta::APPLIED, number));
        }
        if !changes.is_empty() {
            self.journal.active.apply(changes)?;
        }
        if catalog.is_empty() && changes.manifest.is_none() {
            return Ok(());
        }
        self.catalog.apply(catalog, &meta, changes.manifest.as_deref())
    }

    /// The version of the format that the journal says it has.
    pub(super) fn format(&self) -> u64 {
        if self.log.takes_waits() { WITH_WAITS } else { FORMAT }
    }

    /// Seals the active file and begins the next.
    pub(super) fn rotate(&mut self) -> Result<(), StoreError> {
        let pending = self.journal.active.rows(RowsOf::Pending)?;
        self.begin_next_file(pending)?.close()
    }

    /// Begins the next file, into which all that is noted of the files is copied. Returns the one that was active.
    fn begin_next_file(&mut self, pending: Vec<(u64, Vec<u8>)>) -> Result<DataFile, StoreError> {
        let file = self.index.files.last().map_or(1, |active| active.file + 1);
        let first_number = self.index.next_number;
        self.index.changed.tombstones.clear();
        self.recount();
        if let Some(sealed) = self.manifest.files.last_mut() {
            sealed.sealed_at = Some(self.log.flushed());
        }
        let held = MessageCounts::default();
        self.manifest.files.push(Listed { file, first_number, sealed_at: None, held });
        let manifest = self.next_manifest();
        let mut first = Changes {
            meta: vec![
                (meta::FORMAT, self.format()),
                (meta::FIRST_NUMBER, first_number),
                (meta::CLEAN, 0),
                (meta::SUSPECT_BELOW, self.suspect_below),
                (meta::LOGGED, self.log.flushed()),
                (meta::SALT, self.log.salt()),
                (meta::LOG_BYTES, self.log.len()),
            ],
            pending: pending.into_iter().map(|(number, row)| (number, Some(row))).collect(),
            manifest: manifest.clone(),
            accepted: self.index.accepted(),
            ..Changes::default()
        };
        self.index.changed.run_deltas.extend(self.index.run_deltas.keys());
        self.index.changed.tombstones.extend(self.index.tombstones.keys());
        self.garbage.clear();
        self.collect(&mut first);
        let name = journal_name(file);
        let active =
            DataFile::create(&*self.disk, &name, self.options.cache_bytes, |data| data.make_journal(&first))?;
        self.index.files.push(FileRuns {
            file,
            first_number,
            live_runs: 0,
            touched: self.index.commits,
            kept: false,
            accepted: false,
        });
        let sealed = self.journal.rotate(file, first_number, active);
        self.recent.clear();
        (self.allocated, self.most_allocated, self.sparse_for) = (0, 0, 0);
        self.catalog.apply(&[], &[], manifest.as_deref())?;
        Ok(sealed)
    }

    /// Gives a sealed file, of which nothing is needed any more, another name.
    pub(super) fn put_file_aside(&mut self, file: u64, name: &str) -> Result<(), StoreError> {
        self.journal.forget(file);
        self.manifest.files.retain(|listed| listed.file != file);
        let manifest = self.next_manifest();
        self.journal.active.apply(&Changes { manifest: manifest.clone(), ..Changes::default() })?;
        self.catalog.apply(&[], &[], manifest.as_deref())?;
        self.disk.rename(&journal_name(file), name)?;
        self.disk.sync()?;
        self.index.files.retain(|known| known.file != file);
        Ok(())
    }

    /// The list of files under the next epoch, as a row: for the journal first, then for the catalog.
    pub(super) fn next_manifest(&mut self) -> Option<Vec<u8>> {
        self.manifest.epoch += 1;
        Some(self.manifest.encode())
    }

    /// Counts what lies in the files.
    pub(super) fn recount(&mut self) {
        let counts = self.index.messages_by_file();
        for listed in &mut self.manifest.files {
            listed.held = counts.get(&listed.file).map(MessageCounts::of).unwrap_or_default();
        }
    }

    /// Strikes the sealed files in which everything is settled from the list: they are missed no more. Returns them, to
    /// be removed once the transaction is durable.
    pub(super) fn give_up_empty_files(&mut self, changes: &mut Changes) -> Vec<u64> {
        let Some((_, sealed)) = self.index.files.split_last() else { return Vec::new() };
        let empty: Vec<u64> =
            sealed.iter().filter(|file| file.live_runs == 0 && !file.kept).map(|file| file.file).collect();
        if !empty.is_empty() {
            self.manifest.files.retain(|listed| !empty.contains(&listed.file));
            changes.manifest = self.next_manifest();
        }
        empty
    }

    /// Removes files that were given up. What says in the active file that all in them is settled goes only after they are
    /// gone for good.
    pub(super) fn remove_files(&mut self, empty: &[u64]) {
        if empty.is_empty() {
            return;
        }
        for &file in empty {
            self.journal.forget(file);
        }
        let removed = empty.iter().try_for_each(|&file| self.disk.remove(&journal_name(file)));
        if let Err(error) = removed.and_then(|()| self.disk.sync()) {
            // Its rows still say that all of it is settled, so the next opening will try again.
            tracing::warn!("a settled file of the store could not be removed: {error}");
            for file in self.index.files.iter_mut().filter(|file| empty.contains(&file.file)) {
                file.kept = true;
            }
            return;
        }
        self.index.files.retain(|file| !empty.contains(&file.file));
        self.index.forget_tombstones_of_removed_files();
    }
}
