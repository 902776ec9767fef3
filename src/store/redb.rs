//! The files of the store as redb databases: tables, transactions, reads. All that is known of redb's interface is here
//! (its pages are read by hand in `salvage`), and nothing of what the rows mean. redb panics where it meets bytes it did not
//! write: here a panic becomes the error that the file is damaged.

mod writing;

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, StorageBackend, TableDefinition, WriteTransaction,
};

use self::writing::{write, write_manifest, write_meta};
use super::CatalogRecords;
use super::changes::Changes;
use super::chunk;
use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::format::{RowsOf, names};
use super::run::RunKey;
use crate::model::ids::QueueId;

type Numbered = TableDefinition<'static, u64, &'static [u8]>;

/// Blobs and long entries, by number and place of the chunk.
const CHUNKS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new(names::CHUNKS);
/// Runs by queue, lane and number.
const RUNS: TableDefinition<(u64, u8, u64), &[u8]> = TableDefinition::new(names::RUNS);
const META: TableDefinition<&str, u64> = TableDefinition::new(names::META);
/// The list of journal files, in one row.
const MANIFEST: Numbered = TableDefinition::new(names::MANIFEST);
const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new(names::RECORDS);

impl RowsOf {
    fn table(self) -> Numbered {
        TableDefinition::new(self.name())
    }
}

/// An open database file.
#[derive(Debug)]
pub(super) struct DataFile {
    db: Option<Database>,
    file: Arc<dyn DiskFile>,
    failed: Arc<AtomicBool>,
    abandoned: Arc<AtomicBool>,
}

/// redb's view of a file. Remembers that it could not be written: closing reports no errors of its own.
#[derive(Debug)]
struct Backend {
    file: Arc<dyn DiskFile>,
    failed: Arc<AtomicBool>,
    /// Nothing more is written, also not by closing.
    abandoned: Arc<AtomicBool>,
}

impl Backend {
    fn writing<T>(&self, step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let allowed = !self.abandoned.load(Ordering::Relaxed);
        let result = if allowed { step() } else { Err(io::Error::other("the file is abandoned")) };
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writing(|| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.writing(|| self.file.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.writing(|| self.file.write(offset, data))
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
        let data = DataFile::with(disk.create(&temporary)?, &builder(cache, name))?;
        let Some(data) = data else { return Err(StoreError::Damaged(format!("{name} is new and damaged"))) };
        fill(&data)?;
        data.file.sync()?;
        disk.sync()?;
        disk.rename(&temporary, name)?;
        disk.sync()?;
        Ok(data)
    }

    /// Opens a database with its newest commit; None where that is not whole. Which one is the newest was found out by
    /// then.
    pub(super) fn open(disk: &dyn Disk, name: &str, cache: usize) -> Result<Option<DataFile>, StoreError> {
        DataFile::with(disk.open(name)?, &builder(cache, name))
    }

    fn with(file: Arc<dyn DiskFile>, builder: &Builder) -> Result<Option<DataFile>, StoreError> {
        let failed = Arc::new(AtomicBool::new(false));
        let abandoned = Arc::new(AtomicBool::new(false));
        let backend = Backend {
            file: Arc::clone(&file),
            failed: Arc::clone(&failed),
            abandoned: Arc::clone(&abandoned),
        };
        guarded(|| match builder.create_with_backend(backend) {
            Ok(db) => Ok(Some(DataFile { db: Some(db), file, failed, abandoned })),
            Err(DatabaseError::RepairAborted) => Ok(None),
            Err(error) => Err(fault(error)),
        })
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

    /// Whether redb could not write, or sync: what is on disk is not what it thinks.
    pub(super) fn failed_to_write(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Closes it without writing another byte.
    pub(super) fn abandon(self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Closes cleanly, so that the next opening needs no repair.
    pub(super) fn close(mut self) -> Result<(), StoreError> {
        close(self.db.take())?;
        if self.failed.load(Ordering::Relaxed) {
            return Err(StoreError::Io(Arc::new(io::Error::other("closing a file of the store failed"))));
        }
        Ok(())
    }

    /// Makes the tables of a journal.
    pub(super) fn make_journal(&self, first: &Changes) -> Result<(), StoreError> {
        guarded(|| {
            let transaction = self.begin_write()?;
            transaction.open_table(CHUNKS).map_err(fault)?;
            transaction.open_table(RUNS).map_err(fault)?;
            let of = [RowsOf::Deltas, RowsOf::Tombstones, RowsOf::Garbage, RowsOf::Pending, RowsOf::Accepted];
            for rows in of {
                transaction.open_table(rows.table()).map_err(fault)?;
            }
            write(&transaction, first)?;
            transaction.commit().map_err(fault)
        })
    }

    /// One durable transaction on a journal.
    pub(super) fn apply(&self, changes: &Changes) -> Result<(), StoreError> {
        guarded(|| {
            let transaction = self.begin_write()?;
            write(&transaction, changes)?;
            transaction.commit().map_err(fault)
        })
    }

    /// One durable transaction on a catalog: rows of records, None where one goes, beside the rest.
    pub(super) fn apply_catalog(
        &self,
        records: &BTreeMap<&[u8], Option<Vec<u8>>>,
        meta: &[(&'static str, u64)],
        manifest: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        guarded(|| {
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
        })
    }

    /// The row of a record.
    pub(super) fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(|| {
            let table = self.begin_read()?.open_table(RECORDS).map_err(fault)?;
            Ok(table.get(key).map_err(fault)?.map(|row| row.value().to_vec()))
        })
    }

    /// All rows of the records of a catalog, in order of key.
    pub(super) fn records(&self) -> Result<CatalogRecords, StoreError> {
        guarded(|| {
            let table = self.begin_read()?.open_table(RECORDS).map_err(fault)?;
            let mut records = Vec::new();
            for row in table.iter().map_err(fault)? {
                let (key, value) = row.map_err(fault)?;
                records.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(records)
        })
    }

    pub(super) fn meta(&self, name: &str) -> Result<Option<u64>, StoreError> {
        guarded(|| {
            let Some(table) = there(self.begin_read()?.open_table(META))? else { return Ok(None) };
            Ok(table.get(name).map_err(fault)?.map(|value| value.value()))
        })
    }

    /// Calls `each` for every run's row.
    pub(super) fn runs(&self, mut each: impl FnMut(RunKey, &[u8])) -> Result<(), StoreError> {
        guarded(|| {
            let table = self.begin_read()?.open_table(RUNS).map_err(fault)?;
            for row in table.iter().map_err(fault)? {
                let (key, value) = row.map_err(fault)?;
                let (queue, lane, number) = key.value();
                each(RunKey { queue: QueueId(queue), lane, number }, value.value());
            }
            Ok(())
        })
    }

    /// All rows of a numbered table.
    pub(super) fn rows(&self, rows: RowsOf) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        guarded(|| {
            let Some(table) = there(self.begin_read()?.open_table(rows.table()))? else {
                return Ok(Vec::new());
            };
            let mut all = Vec::new();
            for row in table.iter().map_err(fault)? {
                let (key, value) = row.map_err(fault)?;
                all.push((key.value(), value.value().to_vec()));
            }
            Ok(all)
        })
    }

    /// The row of a run.
    pub(super) fn run(&self, key: RunKey) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(|| {
            let table = self.begin_read()?.open_table(RUNS).map_err(fault)?;
            let row = table.get((key.queue.0, key.lane, key.number)).map_err(fault)?;
            Ok(row.map(|row| row.value().to_vec()))
        })
    }

    /// A view of the blobs as they are now. Pages are not used again while it lives: drop it soon.
    pub(super) fn blobs(&self) -> Result<Blobs, StoreError> {
        guarded(|| Ok(Blobs(self.begin_read()?.open_table(CHUNKS).map_err(fault)?)))
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
        guarded(|| {
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
        })
    }
}

impl Drop for DataFile {
    fn drop(&mut self) {
        let db = self.db.take();
        // Whoever wants to know how closing went calls `close`.
        let _ = close(db);
    }
}

fn close(db: Option<Database>) -> Result<(), StoreError> {
    guarded(|| {
        drop(db);
        Ok(())
    })
}

/// Runs a step of redb's; a panic in it says that the file is damaged.
fn guarded<T>(step: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        Err(StoreError::Damaged(format!("the database could make no sense of it ({})", told(&*panic))))
    })
}

fn told(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it does not say why")
}

fn builder(cache: usize, name: &str) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache);
    let name = name.to_owned();
    let reported = Cell::new(0.0);
    builder.set_repair_callback(move |session| {
        let progress = session.progress();
        // Having begun and with less than half done, redb asks whether to go back to the commit before.
        let goes_back = progress > 0.0 && progress < 0.5;
        if goes_back {
            session.abort();
        } else if progress == 0.0 || progress >= reported.get() + 0.1 {
            reported.set(progress);
            tracing::info!(file = name, percent = progress * 100.0, "repairing after an unclean stop");
        }
    });
    builder
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
        redb::Error::Io(error) => match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                StoreError::Damaged(error.to_string())
            }
            _ => error.into(),
        },
        error => StoreError::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::Folder;
    use super::*;

    #[test]
    fn a_panic_in_the_database_is_an_error_with_its_message() {
        let number = 7;
        let formatted = guarded::<()>(|| panic!("page {number} makes no sense")).unwrap_err();
        let plain = guarded::<()>(|| panic!("no sense")).unwrap_err();
        assert!(formatted.to_string().contains("page 7 makes no sense"), "{formatted}");
        assert!(matches!(plain, StoreError::Damaged(why) if why.contains("no sense")));
    }

    /// Where the head of a page with rows is another, redb does not come back with an error of its own.
    #[test]
    fn pages_that_were_changed_under_it_are_errors_wherever_it_meets_them() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::create(directory.path()).unwrap();
        let run_deltas = |from: u64| (from..from + 500).map(|number| (number, Some(vec![7; 100]))).collect();
        let first = Changes { run_deltas: run_deltas(0), ..Changes::default() };
        let data = DataFile::create(&folder, "file", 1 << 20, |data| data.make_journal(&first)).unwrap();
        data.close().unwrap();
        let file = folder.open("file").unwrap();
        for page in 1..file.len().unwrap() / 4096 {
            file.write(page * 4096, &[9, 0xff, 0xff, 0xff, 0xff]).unwrap();
        }
        if let Ok(Some(data)) = DataFile::open(&folder, "file", 1 << 20) {
            assert!(data.rows(RowsOf::Deltas).is_err());
            assert!(data.apply(&Changes { run_deltas: run_deltas(250), ..Changes::default() }).is_err());
            assert!(data.close().is_err());
        }
    }
}
