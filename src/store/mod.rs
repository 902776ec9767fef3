//! L2, the store: durable operations in, messages read back out, on a folder of redb files (docs/format.md). One
//! commit is one transaction with one fsync; what it holds survives a power cut once it returned. The store decides
//! nothing about messages: it keeps what queues and the catalog tell it to keep.
//!
//! `engine` carries out commits (in the `log`, and from time to time many of them as one transaction of the journal),
//! `inspection` finds out what a directory holds, `recovery` opens it, `reading` answers fetches, `compaction` and
//! `housekeeping` give disk space back; `index` is what they all look into. Below them: `memtable` and `pack` (what
//! commits come down to), `run`, `record`, `chunk`, `pending`, `log_record` (what it looks like on disk),
//! `journal_files`, `redb`, `salvage` (which reads files without redb), `disk` (files).

mod catalog_file;
mod changes;
mod chunk;
mod compaction;
mod damage;
pub mod disk;
mod engine;
mod entry_cache;
mod error;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod high_water;
mod housekeeping;
mod index;
mod inspection;
mod journal_files;
mod log;
mod log_record;
mod lookup;
mod manifest;
mod memory;
mod memtable;
mod opening;
mod pack;
mod pending;
mod ranges;
mod reading;
mod reconcile;
mod record;
mod recovered;
mod recovery;
mod redb;
mod rescue;
mod run;
mod salvage;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transaction;
mod verify;
mod wire;

use std::path::Path;
use std::sync::Arc;

use crate::model::counters::DiskTimes;
use crate::model::holdings::Holdings;
use crate::model::op::{CatalogOp, Fetch, Fetched, Op, RecoveredQueue};

pub use damage::{Consequence, Damage, DamageReport, MessageCounts};
pub use engine::RedbStore;
pub use error::{OpenError, StoreError};
pub use memory::MemoryStore;
pub use rescue::{SalvageReport, SalvagedFile};
pub use verify::{FileReport, VerifyReport};

/// Where operations become durable. Synchronous and single-threaded: the server drives it from one thread, and
/// decides what to batch and when.
pub trait Store: Send {
    /// One durable commit: when it returns Ok, everything in it survives a power cut; after a crash before that
    /// it is there whole or not at all. `ops` are in order of emission, and a position is put only while no message
    /// stands there. An error means that the outcome is unknown: every later call fails too.
    fn commit(&mut self, ops: Vec<Op>, catalog: Vec<CatalogOp>) -> Result<(), StoreError>;

    /// Flushes to its files what commits have only logged, and puts some of them in order. To be called about once a
    /// second while there are commits, and as long as it returns that there is more to put in order.
    fn checkpoint(&mut self) -> Result<bool, StoreError>;

    /// Reads messages back. Everything committed before is visible. A damaged message is reported and left out.
    fn fetch(&mut self, fetch: &Fetch) -> Result<Fetched, StoreError>;

    /// Whether what is written still goes where the next start will look for it. To be called about once a second.
    fn check(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// A clean end: messages that were not delivered will not be taken for redelivered.
    fn close(self: Box<Self>) -> Result<(), StoreError>;

    fn usage(&self) -> Usage;

    /// What it has done since it was opened.
    fn activity(&self) -> Activity {
        Activity::default()
    }

    /// What it holds in memory. What it has durably counts as declared.
    fn holdings(&self, into: &mut Holdings);
}

/// What the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub files: u64,
    /// Bytes of the files on disk.
    pub file_bytes: u64,
    /// Messages in queues, counted once per queue, after the last [`Store::checkpoint`]; the same for the bytes of their
    /// bodies.
    pub messages: u64,
    pub body_bytes: u64,
    /// Damaged messages (or runs of them) found since the store was opened.
    pub quarantined: u64,
}

/// What the store counts. Of one without a log nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// How long the fsyncs took by which commits became durable in the log.
    pub fsync_times: DiskTimes,
    /// Bytes of the log that hold records, those included that the journal has too.
    pub log_bytes: u64,
}

/// How a store is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// A journal file that holds this many bytes is sealed and the next one begun.
    pub file_bytes: u64,
    /// Memory for pages of the active file, in bytes.
    pub cache_bytes: usize,
    /// A sealed file with little left in it is compacted when nothing in it was settled for this many commits.
    pub quiet_commits: u64,
    /// Bytes of small commits that gather in the write-ahead log before they go to the journal together; 0 is no log.
    pub log_bytes: u64,
    /// Marks the log's records, so that nothing a client sends can be taken for one: a random number.
    pub salt: u64,
    /// Opens also where confirmed messages are lost, and takes what is missing now for gone.
    pub accept_loss: bool,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            file_bytes: 512 << 20,
            cache_bytes: 24 << 20,
            quiet_commits: 64,
            log_bytes: 16 << 20,
            salt: 0,
            accept_loss: false,
        }
    }
}

/// Keys and values of a catalog.
pub type CatalogRecords = Vec<(Vec<u8>, Vec<u8>)>;

/// What was found on opening.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The catalog's records, in order of key.
    pub catalog: CatalogRecords,
    /// Queues with messages, in order of id.
    pub queues: Vec<RecoveredQueue>,
    /// The directory was closed cleanly, or is new.
    pub clean: bool,
    /// Messages in all queues.
    pub messages: u64,
    /// Runs of messages that cannot be served because their row is damaged.
    pub damaged_runs: u64,
    /// What was found wrong: nothing is lost among it, unless that was accepted.
    pub damage: DamageReport,
}

/// Opens the store of a data directory, which is made where it is missing.
pub fn open(directory: &Path, options: &StoreOptions) -> Result<(RedbStore, Recovered), OpenError> {
    open_on(Arc::new(disk::Folder::create(directory)?), options)
}

/// The same on any disk.
pub fn open_on(
    disk: Arc<dyn disk::Disk>,
    options: &StoreOptions,
) -> Result<(RedbStore, Recovered), OpenError> {
    recovery::open(disk, options)
}

/// Reads everything in a data directory, bodies too, and compares checksums. Changes nothing on disk. Refused while
/// the directory is in use.
pub fn verify(directory: &Path) -> Result<VerifyReport, OpenError> {
    verify_on(&(Arc::new(disk::Folder::read_only(directory)?) as Arc<dyn disk::Disk>))
}

/// The same on any disk.
pub fn verify_on(disk: &Arc<dyn disk::Disk>) -> Result<VerifyReport, OpenError> {
    verify::verify(disk)
}

/// Copies what is sound in damaged journal files into a new one and puts them aside. Refused while the directory is in use,
/// and, unless `accept_loss`, where more is lost than what could be salvaged.
pub fn salvage(directory: &Path, accept_loss: bool) -> Result<SalvageReport, OpenError> {
    let options = StoreOptions { accept_loss, ..StoreOptions::default() };
    salvage_on(&(Arc::new(disk::Folder::existing(directory)?) as Arc<dyn disk::Disk>), &options)
}

/// The same on any disk.
pub fn salvage_on(disk: &Arc<dyn disk::Disk>, options: &StoreOptions) -> Result<SalvageReport, OpenError> {
    rescue::salvage(disk, options)
}
