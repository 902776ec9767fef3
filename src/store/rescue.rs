//! Taking what is sound out of damaged journal files: into a new one, message by message, until the damaged ones are needed
//! no more. They are kept under another name for whoever looks into them.

use std::fmt;
use std::sync::Arc;

use super::disk::Disk;
use super::engine::RedbStore;
use super::error::{OpenError, StoreError};
use super::journal_files::journal_name;
use super::opening::PUT_ASIDE;
use super::salvage::{Depth, RawFile};
use super::{DamageReport, Store, StoreOptions, compaction, recovery};

/// A damaged file, and what became of its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvagedFile {
    pub name: String,
    /// Messages that lie in another file now, once per queue.
    pub copied: u64,
    /// Messages of which this file was known to have a record that could not be read.
    pub lost: u64,
}

/// What was salvaged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// What was found on opening the directory.
    pub damage: DamageReport,
    pub files: Vec<SalvagedFile>,
}

impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for damage in &self.damage.found {
            writeln!(f, "DAMAGE: {damage}")?;
        }
        for SalvagedFile { name, copied, lost } in &self.files {
            writeln!(
                f,
                "{name}: {copied} messages copied, {lost} could not be read; it is kept as {name}{PUT_ASIDE}"
            )?;
        }
        write!(f, "{} files were damaged and are put aside.", self.files.len())
    }
}

/// Salvages a directory that nobody else uses.
pub(super) fn salvage(disk: &Arc<dyn Disk>, options: &StoreOptions) -> Result<SalvageReport, OpenError> {
    let (mut store, recovered) = recovery::open(Arc::clone(disk), options)?;
    let mut report = SalvageReport { damage: recovered.damage, files: Vec::new() };
    let active = store.index.files.last().map_or(0, |active| active.file);
    if !is_whole(&RawFile::open(disk.open(&journal_name(active))?)?) {
        store.set_active_aside(&StoreError::Damaged(
            "some of its pages are not what was written".to_owned(),
        ))?;
    }
    let sealed: Vec<_> = store.index.files.iter().map(|known| (known.file, known.kept)).collect();
    for (file, kept) in sealed.into_iter().rev().skip(1).rev() {
        if kept || !is_whole(&*store.journal.sealed(file)?) {
            report.files.push(put_aside(&mut store, file)?);
        }
    }
    Box::new(store).close()?;
    Ok(report)
}

fn is_whole(raw: &RawFile) -> bool {
    raw.check_rows(Depth::Everything) && raw.corrected() == 0
}

fn put_aside(store: &mut RedbStore, file: u64) -> Result<SalvagedFile, StoreError> {
    let name = journal_name(file);
    let (copied, lost) = compaction::compact_file(store, file)?;
    store.put_file_aside(file, &format!("{name}{PUT_ASIDE}"))?;
    Ok(SalvagedFile { name, copied, lost })
}
