//! Making the files of a directory ready to be written, once it is known what they hold and whatever is lost is accepted:
//! bytes that are known to be wrong are corrected, a commit that the power cut through is taken back, and what redb must not
//! write to any more gets a successor. For a journal file that is the next one, which begins with what it noted; a damaged
//! catalog is written anew.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::catalog_file::{CATALOG, CATALOG_CACHE, CatalogFile};
use super::changes::{Changes, Rows};
use super::damage::Damage;
use super::disk::Disk;
use super::engine::{FORMAT, meta};
use super::error::{OpenError, StoreError};
use super::examine::{Examined, Look, NUMBERS_APART, Sealed, State, Written};
use super::pending;
use super::ranges::RangeSet;
use super::redb::{DataFile, RowsOf};
use super::run::{self, Notes};
use super::salvage::RawFile;
use super::shelf::journal_name;
use super::survey::Survey;
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
    Again(Look, Look),
}

/// Opens the files of a directory that was examined, where `found` then says which they are.
pub(super) fn open(
    disk: &dyn Disk,
    cache: usize,
    looks: (Look, Look),
    found: &mut Examined,
) -> Result<Outcome, OpenError> {
    let catalog = match &found.catalog {
        Some(written) if written.state != State::Damaged => {
            let Some(data) = written.open_with_redb(disk, CATALOG, CATALOG_CACHE)? else {
                return Ok(Outcome::Again(looks.0, written.look_again(looks.1)));
            };
            Some(data)
        }
        _ => None,
    };
    let name = journal_name(found.newest.0);
    let active = match &found.active {
        None => create(disk, cache, found.newest)?,
        Some(Written { raw, state: State::Damaged }) => {
            let lost = found.damage.found.contains(&Damage::RunsLost { file: name });
            let heir = heir(raw, found, lost);
            let logged = found.survey.replay.taken_over;
            let (file, first_number) = found.newest;
            found.sealed.push(Sealed { file, first_number, logged, accepted: lost });
            found.newest = (file + 1, heir.first_number);
            let make = |data: &DataFile| data.make_journal(&heir.first);
            DataFile::create(disk, &journal_name(file + 1), cache, make)?
        }
        Some(written) => match written.open_with_redb(disk, &name, cache)? {
            Some(data) => data,
            None => return Ok(Outcome::Again(written.look_again(looks.0), looks.1)),
        },
    };
    let Survey { contents, applied, .. } = &found.survey;
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

impl Written {
    /// None where redb refuses what it finds.
    fn open_with_redb(
        &self,
        disk: &dyn Disk,
        name: &str,
        cache: usize,
    ) -> Result<Option<DataFile>, OpenError> {
        if self.state == State::Before {
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
    fn look_again(&self, look: Look) -> Look {
        if look == Look::Structure && !self.raw.was_closed() { Look::Everything } else { Look::Refused }
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
struct Heir {
    first_number: u64,
    first: Changes,
}

/// All that the file noted and that can be read. Its runs stay where they are.
fn heir(raw: &RawFile, found: &Examined, lost: bool) -> Heir {
    let is_set =
        |row: &[u8]| wire::unsealed(row).and_then(|row| RangeSet::decode(&mut Reader(row))).is_some();
    let notes = sound_rows(raw, RowsOf::Notes, |row| Notes::decode(row).is_some());
    let gone = sound_rows(raw, RowsOf::Gone, is_set);
    let pending = sound_rows(raw, RowsOf::Pending, |row| pending::decode(row).is_some());
    let mut accepted = sound_rows(raw, RowsOf::Accepted, |_| true);
    if lost {
        accepted.push((found.newest.0, Some(Vec::new())));
    }
    let known = found.newest.1.max(found.survey.next_number);
    let first_number = highest_number(raw).max(known) + NUMBERS_APART;
    let clean = found.survey.clean;
    // What comes again because nothing says any more that it was settled has been delivered.
    let all_noted = raw.rows(RowsOf::Notes).1 && raw.rows(RowsOf::Gone).1;
    let suspect_below = raw.meta(meta::SUSPECT_BELOW).filter(|_| clean && all_noted).unwrap_or(first_number);
    let replay = &found.survey.replay;
    let mut meta = vec![
        (meta::FORMAT, FORMAT),
        (meta::FIRST_NUMBER, first_number),
        (meta::CLEAN, u64::from(clean)),
        (meta::SUSPECT_BELOW, suspect_below),
        (meta::LOGGED, replay.taken_over),
        (meta::SALT, replay.salt),
    ];
    meta.extend(raw.meta(meta::LOG_BYTES).map(|bytes| (meta::LOG_BYTES, bytes)));
    let manifest = raw.manifest();
    let first = Changes { meta, notes, gone, pending, accepted, manifest, ..Changes::default() };
    Heir { first_number, first }
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
    for rows in [RowsOf::Notes, RowsOf::Trash, RowsOf::Pending] {
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
