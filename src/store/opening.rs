//! Making the files of a directory ready to be written, once it is known what they hold and whatever is lost is accepted:
//! bytes that are known to be wrong are corrected, a commit that the power cut through is taken back, and what redb must not
//! write to any more gets a successor. For a journal file that is the next one, which begins with what it noted; a damaged
//! catalog is written anew.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::catalog_file::{CATALOG_CACHE, CatalogFile};
use super::changes::{Changes, Rows};
use super::damage::Damage;
use super::disk::Disk;
use super::error::{OpenError, StoreError};
use super::format::{CATALOG, FORMAT, NEWEST, RowsOf, meta};
use super::inspection::{CheckLevel, FileState, Inspection, NUMBERS_APART, RedbFile, SealedFile};
use super::journal_files::journal_name;
use super::pending;
use super::ranges::RangeSet;
use super::reconcile::Reconciled;
use super::redb::DataFile;
use super::run::{self, RunDelta};
use super::salvage::RawFile;
use super::wire::{self, Reader};

/// What a damaged file is called once it is needed no more.
pub(super) const PUT_ASIDE: &str = ".damaged";

/// The files, to be written.
pub(super) struct Ready {
    pub(super) active: DataFile,
    pub(super) catalog: CatalogFile,
}

/// The files, or how those are to be looked at that redb refused: the journal's and the catalog's.
pub(super) enum Outcome {
    Ready(Ready),
    Again(CheckLevel, CheckLevel),
}

/// Opens the files of a directory that was examined, where `found` then says which they are.
pub(super) fn open(
    disk: &dyn Disk,
    cache: usize,
    levels: (CheckLevel, CheckLevel),
    found: &mut Inspection,
) -> Result<Outcome, OpenError> {
    let catalog = match &found.catalog {
        Some(written) if written.state != FileState::Damaged => {
            let Some(data) = written.open_with_redb(disk, CATALOG, CATALOG_CACHE)? else {
                return Ok(Outcome::Again(levels.0, written.next_level(levels.1)));
            };
            Some(data)
        }
        _ => None,
    };
    let name = journal_name(found.newest.0);
    let active = match &found.active {
        None => create(disk, cache, found.newest)?,
        Some(RedbFile { raw, state: FileState::Damaged }) => {
            let lost = found.damage.found.contains(&Damage::RunsLost { file: name });
            let successor = successor(raw, found, lost);
            let logged = found.reconciled.replay.flushed;
            let (file, first_number) = found.newest;
            found.sealed.push(SealedFile { file, first_number, logged, accepted: lost });
            found.newest = (file + 1, successor.first_number);
            let make = |data: &DataFile| data.make_journal(&successor.first);
            DataFile::create(disk, &journal_name(file + 1), cache, make)?
        }
        Some(written) => match written.open_with_redb(disk, &name, cache)? {
            Some(data) => data,
            None => return Ok(Outcome::Again(written.next_level(levels.0), levels.1)),
        },
    };
    let Reconciled { contents, applied, .. } = &found.reconciled;
    let catalog = match (catalog, &found.catalog) {
        (Some(data), _) => CatalogFile::open(data, contents, *applied)?,
        (None, None) => CatalogFile::create(disk, &[(meta::APPLIED, 0)], None)?,
        (None, Some(damaged)) => {
            keep_copy(disk, CATALOG, &damaged.raw)?;
            CatalogFile::replace(disk, contents, &[(meta::APPLIED, *applied)])?
        }
    };
    Ok(Outcome::Ready(Ready { active, catalog }))
}

impl RedbFile {
    /// None where redb refuses what it finds.
    fn open_with_redb(
        &self,
        disk: &dyn Disk,
        name: &str,
        cache: usize,
    ) -> Result<Option<DataFile>, OpenError> {
        if self.state == FileState::Before {
            self.raw.disown_other()?;
        } else if self.raw.corrected() > 0 {
            self.raw.write_corrected()?;
        }
        match DataFile::open(disk, name, cache) {
            Ok(opened) => Ok(opened),
            Err(StoreError::Damaged(why)) => {
                tracing::warn!(file = name, "the database cannot open it: {why}");
                Ok(None)
            }
            // A block that cannot be read is damage; that nothing can be written is not.
            Err(StoreError::Io(error)) if error.kind() != io::ErrorKind::PermissionDenied => {
                tracing::warn!(file = name, "the database cannot read it: {error}");
                Ok(None)
            }
            Err(StoreError::Io(error)) => Err(match Arc::try_unwrap(error) {
                Ok(error) => error.into(),
                Err(error) => StoreError::Io(error).into(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// How a file is looked at that was looked at like this before redb refused it.
    fn next_level(&self, level: CheckLevel) -> CheckLevel {
        if level == CheckLevel::Structure && !self.raw.was_closed() {
            CheckLevel::Everything
        } else {
            CheckLevel::Refused
        }
    }
}

/// The journal is made before the catalog: a catalog without one has lost it.
fn create(disk: &dyn Disk, cache: usize, newest: (u64, u64)) -> Result<DataFile, OpenError> {
    let (file, first_number) = newest;
    let meta = vec![
        (meta::FORMAT, FORMAT),
        (meta::FIRST_NUMBER, first_number),
        (meta::CLEAN, 1),
        (meta::SUSPECT_BELOW, 0),
    ];
    let first = Changes { meta, ..Changes::default() };
    Ok(DataFile::create(disk, &journal_name(file), cache, |data| data.make_journal(&first))?)
}

/// What the next journal file begins with where the last one is damaged.
struct Successor {
    first_number: u64,
    first: Changes,
}

/// All that the file noted and that can be read. Its runs stay where they are.
fn successor(raw: &RawFile, found: &Inspection, lost: bool) -> Successor {
    let is_set =
        |row: &[u8]| wire::unsealed(row).and_then(|row| RangeSet::decode(&mut Reader(row))).is_some();
    let run_deltas = sound_rows(raw, RowsOf::Deltas, |row| RunDelta::decode(row).is_some());
    let tombstones = sound_rows(raw, RowsOf::Tombstones, is_set);
    let pending = sound_rows(raw, RowsOf::Pending, |row| pending::decode(row).is_some());
    let mut accepted = sound_rows(raw, RowsOf::Accepted, |_| true);
    if lost {
        accepted.push((found.newest.0, Some(Vec::new())));
    }
    let known = found.newest.1.max(found.reconciled.next_number);
    let first_number = highest_number(raw).max(known) + NUMBERS_APART;
    let clean = found.reconciled.clean;
    // What comes again because nothing says any more that it was settled has been delivered.
    let is_complete = raw.rows(RowsOf::Deltas).1 && raw.rows(RowsOf::Tombstones).1;
    let suspect_below =
        raw.meta(meta::SUSPECT_BELOW).filter(|_| clean && is_complete).unwrap_or(first_number);
    let replay = &found.reconciled.replay;
    // What it does not say any more may be the newest.
    let format = raw.meta(meta::FORMAT).unwrap_or(NEWEST).max(FORMAT);
    let mut meta = vec![
        (meta::FORMAT, format),
        (meta::FIRST_NUMBER, first_number),
        (meta::CLEAN, u64::from(clean)),
        (meta::SUSPECT_BELOW, suspect_below),
        (meta::LOGGED, replay.flushed),
        (meta::SALT, replay.salt),
    ];
    meta.extend(raw.meta(meta::LOG_BYTES).map(|bytes| (meta::LOG_BYTES, bytes)));
    let manifest = raw.manifest();
    let first = Changes { meta, run_deltas, tombstones, pending, accepted, manifest, ..Changes::default() };
    Successor { first_number, first }
}

/// The rows that are sound, the newer one of each.
fn sound_rows(raw: &RawFile, rows: RowsOf, is_sound: impl Fn(&[u8]) -> bool) -> Rows {
    let mut sound = BTreeMap::new();
    for (number, row) in raw.rows(rows).0.into_iter().filter(|(_, row)| is_sound(row)) {
        sound.entry(number).or_insert(row);
    }
    sound.into_iter().map(|(number, row)| (number, Some(row))).collect()
}

/// No run, blob or row of the file has a higher number, as far as it can be read.
fn highest_number(raw: &RawFile) -> u64 {
    let meta = [meta::FIRST_NUMBER, meta::SUSPECT_BELOW].map(|name| raw.meta(name).unwrap_or(0));
    let mut highest = meta.into_iter().max().unwrap_or(0);
    raw.runs(|key, row| {
        let blob = run::decode_row(row).map_or(0, |(header, _)| header.blob);
        highest = highest.max(key.number).max(blob);
    });
    for rows in [RowsOf::Deltas, RowsOf::Garbage, RowsOf::Pending] {
        highest = raw.rows(rows).0.into_iter().map(|(number, _)| number).fold(highest, u64::max);
    }
    highest
}

/// Keeps what can be read of a file that is about to be replaced, for whoever looks into it.
fn keep_copy(disk: &dyn Disk, name: &str, raw: &RawFile) -> io::Result<()> {
    let copy = disk.create(&format!("{name}{PUT_ASIDE}"))?;
    let mut at = 0;
    for piece in raw.bytes() {
        copy.write(at, &piece)?;
        at += piece.len() as u64;
    }
    copy.sync()?;
    disk.sync()
}
