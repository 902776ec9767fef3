//! The files of the store as redb databases: tables, transactions, reads. All that is known of redb is here, and
//! nothing of what the rows mean.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, StorageBackend, Table, TableDefinition, WriteTransaction,
};

use super::CatalogRecords;
use super::changes::{Changes, NewBlob, Rows};
use super::chunk;
use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::overlay::Overlay;
use super::run::RunKey;
use crate::model::ids::QueueId;

type Numbered = TableDefinition<'static, u64, &'static [u8]>;

/// Blobs and long entries, by number and place of the chunk.
const CHUNKS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("chunks");
/// Runs by queue, lane and number.
const RUNS: TableDefinition<(u64, u8, u64), &[u8]> = TableDefinition::new("runs");
const NOTES: Numbered = TableDefinition::new("notes");
const GONE: Numbered = TableDefinition::new("gone");
const TRASH: Numbered = TableDefinition::new("trash");
const PENDING: Numbered = TableDefinition::new("pending");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// The list of journal files, in one row.
const MANIFEST: Numbered = TableDefinition::new("manifest");
const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

/// A table of numbered rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowsOf {
    Notes,
    Gone,
    Trash,
    Pending,
}

impl RowsOf {
    fn table(self) -> Numbered {
        match self {
            RowsOf::Notes => NOTES,
            RowsOf::Gone => GONE,
            RowsOf::Trash => TRASH,
            RowsOf::Pending => PENDING,
        }
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// To be written; repaired first where that is needed.
    Write,
    /// Only to be read; None where it was not closed cleanly.
    Sealed,
    /// Only to be read, repaired in memory where that is needed.
    Inspect,
}

/// An open database file.
#[derive(Debug)]
pub(super) struct DataFile {
    db: Option<Database>,
    file: Arc<dyn DiskFile>,
    failed: Arc<AtomicBool>,
}

/// redb's view of a file. Remembers that something failed: closing reports no errors of its own.
#[derive(Debug)]
struct Backend {
    file: Arc<dyn DiskFile>,
    failed: Arc<AtomicBool>,
}

impl Backend {
    fn noting<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.noting(self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.noting(self.file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.noting(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.noting(self.file.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.noting(self.file.write(offset, data))
    }
}

impl DataFile {
    /// A new database under a temporary name with this content, then synced and renamed: under its own name it is
    /// whole or not there.
    pub(super) fn create(
        disk: &dyn Disk,
        name: &str,
        cache: usize,
        fill: impl FnOnce(&DataFile) -> Result<(), StoreError>,
    ) -> Result<DataFile, StoreError> {
        let temporary = format!("{name}.tmp");
        let data = DataFile::with(disk.create(&temporary)?, &builder(cache, name, true))?;
        let Some(data) = data else { return Err(StoreError::Damaged(format!("{name} is new and damaged"))) };
        fill(&data)?;
        data.file.sync()?;
        disk.sync()?;
        disk.rename(&temporary, name)?;
        disk.sync()?;
        Ok(data)
    }

    /// Opens a database; None where `mode` forbids the repair it needs.
    pub(super) fn open(
        disk: &dyn Disk,
        name: &str,
        cache: usize,
        mode: Mode,
    ) -> Result<Option<DataFile>, StoreError> {
        let file = disk.open(name)?;
        let file = if mode == Mode::Write { file } else { Arc::new(Overlay::new(file)?) };
        DataFile::with(file, &builder(cache, name, mode != Mode::Sealed))
    }

    fn with(file: Arc<dyn DiskFile>, builder: &Builder) -> Result<Option<DataFile>, StoreError> {
        let failed = Arc::new(AtomicBool::new(false));
        let backend = Backend { file: Arc::clone(&file), failed: Arc::clone(&failed) };
        match builder.create_with_backend(backend) {
            Ok(db) => Ok(Some(DataFile { db: Some(db), file, failed })),
            Err(DatabaseError::RepairAborted) => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    fn db(&self) -> Result<&Database, StoreError> {
        self.db.as_ref().ok_or_else(|| StoreError::Damaged("the file is closed".to_owned()))
    }

    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.db()?.begin_read().map_err(fault)
    }

    fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let mut transaction = self.db()?.begin_write().map_err(fault)?;
        transaction.set_durability(Durability::Immediate).map_err(fault)?;
        Ok(transaction)
    }

    /// Closes cleanly, so that the next opening needs no repair.
    pub(super) fn close(mut self) -> Result<(), StoreError> {
        drop(self.db.take());
        if self.failed.load(Ordering::Relaxed) {
            return Err(StoreError::Io(Arc::new(io::Error::other("closing a file of the store failed"))));
        }
        Ok(())
    }

    /// Reads every page and compares its checksum. What it repairs it repairs in memory only, so this is for
    /// files opened to be inspected.
    pub(super) fn check(&mut self) -> Result<bool, StoreError> {
        let db = self.db.as_mut();
        let db = db.ok_or_else(|| StoreError::Damaged("the file is closed".to_owned()))?;
        db.check_integrity().map_err(fault)
    }

    /// Makes the tables of a journal.
    pub(super) fn make_journal(&self, first: &Changes) -> Result<(), StoreError> {
        let transaction = self.begin_write()?;
        transaction.open_table(CHUNKS).map_err(fault)?;
        transaction.open_table(RUNS).map_err(fault)?;
        for rows in [RowsOf::Notes, RowsOf::Gone, RowsOf::Trash, RowsOf::Pending] {
            transaction.open_table(rows.table()).map_err(fault)?;
        }
        write(&transaction, first)?;
        transaction.commit().map_err(fault)
    }

    /// One durable transaction on a journal.
    pub(super) fn apply(&self, changes: &Changes) -> Result<(), StoreError> {
        let transaction = self.begin_write()?;
        write(&transaction, changes)?;
        transaction.commit().map_err(fault)
    }

    /// One durable transaction on a catalog: rows of records, None where one goes, beside the rest.
    pub(super) fn apply_catalog(
        &self,
        records: &BTreeMap<&[u8], Option<Vec<u8>>>,
        meta: &[(&'static str, u64)],
        manifest: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let transaction = self.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS).map_err(fault)?;
            for (&key, row) in records {
                match row {
                    Some(row) => table.insert(key, &row[..]).map_err(fault)?,
                    None => table.remove(key).map_err(fault)?,
                };
            }
        }
        write_meta(&transaction, meta)?;
        write_manifest(&transaction, manifest)?;
        transaction.commit().map_err(fault)
    }

    /// The row of a record.
    pub(super) fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.begin_read()?.open_table(RECORDS).map_err(fault)?;
        Ok(table.get(key).map_err(fault)?.map(|row| row.value().to_vec()))
    }

    /// All rows of the records of a catalog, in order of key.
    pub(super) fn records(&self) -> Result<CatalogRecords, StoreError> {
        let table = self.begin_read()?.open_table(RECORDS).map_err(fault)?;
        let mut records = Vec::new();
        for row in table.iter().map_err(fault)? {
            let (key, value) = row.map_err(fault)?;
            records.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(records)
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let Some(table) = there(self.begin_read()?.open_table(META))? else { return Ok(None) };
        Ok(table.get(name).map_err(fault)?.map(|value| value.value()))
    }

    /// The row of the list of files; None where none was ever written.
    pub(super) fn manifest(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(table) = there(self.begin_read()?.open_table(MANIFEST))? else { return Ok(None) };
        Ok(table.get(0).map_err(fault)?.map(|row| row.value().to_vec()))
    }

    /// Calls `each` for every run's row.
    pub(super) fn runs(&self, mut each: impl FnMut(RunKey, &[u8])) -> Result<(), StoreError> {
        let table = self.begin_read()?.open_table(RUNS).map_err(fault)?;
        for row in table.iter().map_err(fault)? {
            let (key, value) = row.map_err(fault)?;
            let (queue, lane, number) = key.value();
            each(RunKey { queue: QueueId(queue), lane, number }, value.value());
        }
        Ok(())
    }

    /// All rows of a numbered table.
    pub(super) fn rows(&self, rows: RowsOf) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let table = self.begin_read()?.open_table(rows.table()).map_err(fault)?;
        let mut all = Vec::new();
        for row in table.iter().map_err(fault)? {
            let (key, value) = row.map_err(fault)?;
            all.push((key.value(), value.value().to_vec()));
        }
        Ok(all)
    }

    /// The row of a run.
    pub(super) fn run(&self, key: RunKey) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.begin_read()?.open_table(RUNS).map_err(fault)?;
        let row = table.get((key.queue.0, key.lane, key.number)).map_err(fault)?;
        Ok(row.map(|row| row.value().to_vec()))
    }

    /// A view of the blobs as they are now. Pages are not used again while it lives: drop it soon.
    pub(super) fn blobs(&self) -> Result<Blobs, StoreError> {
        Ok(Blobs(self.begin_read()?.open_table(CHUNKS).map_err(fault)?))
    }
}

/// The blobs of a file, to be read.
pub(super) struct Blobs(ReadOnlyTable<(u64, u32), &'static [u8]>);

impl Blobs {
    /// A range of a blob of `blob_len` bytes, copied out of the chunks it lies in; None where a chunk is missing
    /// or has another length than the blob's says.
    pub(super) fn read(
        &self,
        number: u64,
        blob_len: u64,
        range: Range<u64>,
    ) -> Result<Option<Vec<Bytes>>, StoreError> {
        let mut pieces = Vec::new();
        for (part, chunk) in (0u32..).zip(chunk::chunks(blob_len)) {
            let (start, end) = (range.start.max(chunk.start), range.end.min(chunk.end));
            if start >= end {
                continue;
            }
            let Some(value) = self.0.get((number, part)).map_err(fault)? else { return Ok(None) };
            let value = value.value();
            let within = |at: u64| usize::try_from(at - chunk.start).ok();
            let piece = within(start).zip(within(end)).and_then(|(start, end)| value.get(start..end));
            let Some(piece) = piece.filter(|_| value.len() as u64 == chunk.end - chunk.start) else {
                return Ok(None);
            };
            pieces.push(Bytes::copy_from_slice(piece));
        }
        Ok((range.end <= blob_len).then_some(pieces))
    }
}

fn builder(cache: usize, name: &str, repair: bool) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache);
    let name = name.to_owned();
    let reported = Cell::new(0.0);
    builder.set_repair_callback(move |session| {
        let progress = session.progress();
        if !repair {
            session.abort();
        } else if progress == 0.0 || progress >= reported.get() + 0.1 {
            reported.set(progress);
            tracing::info!(file = name, percent = progress * 100.0, "repairing after an unclean stop");
        }
    });
    builder
}

fn write(transaction: &WriteTransaction, changes: &Changes) -> Result<(), StoreError> {
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
    write_rows(transaction, NOTES, &changes.notes)?;
    write_rows(transaction, GONE, &changes.gone)?;
    write_rows(transaction, TRASH, &changes.trash)?;
    write_rows(transaction, PENDING, &changes.pending)?;
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

fn write_rows(transaction: &WriteTransaction, table: Numbered, rows: &Rows) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(table).map_err(fault)?;
    for (number, row) in rows {
        match row {
            None => table.remove(number).map_err(fault)?,
            Some(row) => table.insert(number, &row[..]).map_err(fault)?,
        };
    }
    Ok(())
}

fn write_meta(transaction: &WriteTransaction, meta: &[(&'static str, u64)]) -> Result<(), StoreError> {
    if meta.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(META).map_err(fault)?;
    for (name, value) in meta {
        table.insert(name, value).map_err(fault)?;
    }
    Ok(())
}

fn write_manifest(transaction: &WriteTransaction, row: Option<&[u8]>) -> Result<(), StoreError> {
    let Some(row) = row else { return Ok(()) };
    transaction.open_table(MANIFEST).map_err(fault)?.insert(0, row).map_err(fault)?;
    Ok(())
}

/// A table, if it is there: not every version made every one.
fn there<T>(opened: Result<T, redb::TableError>) -> Result<Option<T>, StoreError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(fault(error)),
    }
}

/// An error of redb in our words.
fn fault(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => error.into(),
        error => StoreError::Damaged(error.to_string()),
    }
}
