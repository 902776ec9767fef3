//! Opening a file of the store to be written, whatever state it is in: what one wrong byte did is put right, a commit that
//! the power cut through is taken back, and what redb must not write to any more is handed back to be read by hand. For a
//! journal file the next one then begins with what it noted.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::changes::{Changes, Rows};
use super::damage::{Damage, DamageReport};
use super::disk::Disk;
use super::engine::{FORMAT, meta};
use super::error::{OpenError, StoreError};
use super::pending;
use super::ranges::RangeSet;
use super::redb::{DataFile, Mode, RowsOf};
use super::run::{self, Notes};
use super::salvage::{Depth, RawFile};
use super::wire::{self, Reader};

/// Numbers that are left out behind a damaged file: what was lost with it may have had them.
const NUMBERS_APART: u64 = 1 << 20;

/// In what state a file is that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Sound,
    /// The power went while its newest commit was written, and nobody was told of that: the one before is whole.
    Torn,
    Damaged,
}

/// Looks at a file that is to be written. `report` hears of what is wrong.
pub(super) fn state(name: &str, raw: &mut RawFile, depth: Depth, report: &mut DamageReport) -> State {
    let mut sound = raw.check(depth);
    if !sound && !raw.was_closed() && raw.check_before() {
        return State::Torn;
    }
    if !sound {
        raw.try_hard();
        sound = raw.check(depth);
    }
    if raw.corrected() > 0 {
        report.add(Damage::Corrected { file: name.to_owned() });
    }
    if sound {
        return State::Sound;
    }
    report.add(Damage::SetAside { file: name.to_owned() });
    State::Damaged
}

/// Says what is lost of a journal file that is only read. `noted`: it is the newest one, which says what was settled.
pub(super) fn judge_lost(name: &str, raw: &RawFile, noted: bool, report: &mut DamageReport) {
    let file = || name.to_owned();
    // The newest one says which commits of the log are not in it yet, too.
    if !raw.runs(|_, _| ()) || (noted && !raw.has_meta()) {
        report.add(Damage::RunsLost { file: file() });
    }
    let whole = |rows| raw.rows(rows).1;
    if noted && !(whole(RowsOf::Notes) && whole(RowsOf::Gone)) {
        report.add(Damage::SettledLost { file: file() });
    }
}

/// Says what is wrong with a sealed file, as far as that can be told without reading messages. `accepted`: whatever is lost
/// of it.
pub(super) fn judge_sealed(name: &str, raw: &RawFile, accepted: bool, report: &mut DamageReport) {
    let sound = raw.check_rows(Depth::Structure);
    if raw.corrected() > 0 {
        report.add(Damage::Corrected { file: name.to_owned() });
    }
    if !sound {
        report.add(Damage::SetAside { file: name.to_owned() });
        if !accepted {
            judge_lost(name, raw, false, report);
        }
    }
}

/// A file that was to be opened.
pub(super) enum Opened {
    Sound(DataFile),
    /// Not to be written any more.
    Damaged(RawFile),
}

/// Opens a file to be written. What the file system refuses is an error, what is in the file is none.
pub(super) fn open(
    disk: &dyn Disk,
    name: &str,
    cache: usize,
    report: &mut DamageReport,
) -> Result<Opened, OpenError> {
    // redb looks at every page of a file that was not closed. Only where it finds one that is not what was written are
    // they all looked at here.
    for depth in [Depth::Structure, Depth::Everything] {
        let mut raw = RawFile::open(disk.open(name)?)?;
        let mode = match state(name, &mut raw, depth, report) {
            State::Sound => Mode::Newest,
            State::Torn => Mode::Write,
            State::Damaged => return Ok(Opened::Damaged(raw)),
        };
        if mode == Mode::Newest && raw.corrected() > 0 {
            raw.write_corrected()?;
        }
        if let Some(data) = open_with_redb(disk, name, cache, mode)? {
            return Ok(Opened::Sound(data));
        }
    }
    report.add(Damage::SetAside { file: name.to_owned() });
    Ok(Opened::Damaged(RawFile::open(disk.open(name)?)?))
}

/// None where redb refuses what it finds.
fn open_with_redb(
    disk: &dyn Disk,
    name: &str,
    cache: usize,
    mode: Mode,
) -> Result<Option<DataFile>, OpenError> {
    match DataFile::open(disk, name, cache, mode) {
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

/// What the next journal file begins with, where the last one is damaged: all that it noted and that can be read. Its runs
/// stay where they are.
pub(super) struct Heir {
    pub(super) first: Changes,
}

impl Heir {
    pub(super) fn of(raw: &RawFile) -> Heir {
        let (notes, all_notes) = sound_rows(raw, RowsOf::Notes, |row| Notes::decode(row).is_some());
        let is_set =
            |row: &[u8]| wire::unsealed(row).and_then(|row| RangeSet::decode(&mut Reader(row))).is_some();
        let (gone, all_gone) = sound_rows(raw, RowsOf::Gone, is_set);
        let (pending, _) = sound_rows(raw, RowsOf::Pending, |row| pending::decode(row).is_some());
        let (accepted, _) = sound_rows(raw, RowsOf::Accepted, |_| true);
        let all_runs = raw.runs(|_, _| ());
        let whole = all_notes && all_gone && all_runs;
        let first_number = highest_number(raw) + NUMBERS_APART;
        let clean = whole && raw.meta(meta::CLEAN) == Some(1);
        let suspect_below = raw.meta(meta::SUSPECT_BELOW).filter(|_| clean).unwrap_or(first_number);
        let mut meta = vec![
            (meta::FORMAT, FORMAT),
            (meta::FIRST_NUMBER, first_number),
            (meta::CLEAN, u64::from(clean)),
            (meta::SUSPECT_BELOW, suspect_below),
        ];
        for name in [meta::LOGGED, meta::SALT, meta::LOG_BYTES] {
            meta.extend(raw.meta(name).map(|value| (name, value)));
        }
        Heir {
            first: Changes {
                meta,
                notes,
                gone,
                pending,
                accepted,
                manifest: raw.manifest(),
                ..Changes::default()
            },
        }
    }
}

/// The rows that are sound, the newer one of each, and whether no other are missing.
fn sound_rows(raw: &RawFile, rows: RowsOf, is_sound: impl Fn(&[u8]) -> bool) -> (Rows, bool) {
    let (found, mut whole) = raw.rows(rows);
    let mut sound = BTreeMap::new();
    for (number, row) in found {
        if is_sound(&row) {
            sound.entry(number).or_insert(row);
        } else {
            whole = false;
        }
    }
    (sound.into_iter().map(|(number, row)| (number, Some(row))).collect(), whole)
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
