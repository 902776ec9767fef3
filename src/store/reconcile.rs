//! What a data directory says of itself, held against what it must hold by its own word: the list of journal files, the
//! numbers of commits, the last changes of the catalog. A start and `verify` look at it alike. Nothing is changed here.

use std::collections::BTreeMap;

use super::catalog_file::{CatalogRows, Contents, Rows};
use super::damage::{Damage, DamageReport, MessageCounts};
use super::disk::Disk;
use super::error::StoreError;
use super::format::{CATALOG, RowsOf, meta};
use super::high_water::{self, HighWaterMark};
use super::journal_files::journal_name;
use super::log::{self, Found, Replay};
use super::manifest::{Inventory, Listed, Manifest};
use super::pending::{self, Pending};
use super::salvage::RawFile;
use crate::model::op::CatalogOp;

/// What was found.
#[derive(Debug)]
pub(super) struct Reconciled {
    pub(super) inventory: Inventory,
    /// The list that is believed, where there is one.
    pub(super) manifest: Option<Manifest>,
    /// The last stop was a clean one, or there was none yet.
    pub(super) clean: bool,
    pub(super) replay: Replay,
    pub(super) high_water: HighWaterMark,
    /// The number of the last commit there ever was, as far as that is known.
    pub(super) last: u64,
    pub(super) contents: Contents,
    /// The number of the last change of the catalog that is in its file, or counts as being there.
    pub(super) applied: u64,
    /// The numbers of all rows of changes in the journal, and what is above them and what the catalog has.
    pub(super) rows: Vec<u64>,
    pub(super) next_number: u64,
    /// The changes that are not in the catalog's file.
    pub(super) to_apply: Vec<(u64, Vec<CatalogOp>)>,
}

/// What the newest journal file says.
#[derive(Clone, Debug, Default)]
pub(super) struct JournalMeta {
    pub(super) manifest: Option<Vec<u8>>,
    pub(super) clean: bool,
    /// None where that is lost, or never was there.
    pub(super) logged: Option<u64>,
    pub(super) salt: Option<u64>,
    /// None in files of earlier versions.
    pub(super) log_bytes: Option<u64>,
    /// The rows of changes of the catalog.
    pub(super) pending: Vec<(u64, Vec<u8>)>,
    /// Pages of it are lost that may have said something else.
    pub(super) damaged: bool,
}

impl JournalMeta {
    pub(super) fn read(raw: &RawFile, damaged: bool) -> JournalMeta {
        JournalMeta {
            manifest: raw.manifest(),
            clean: raw.meta(meta::CLEAN) == Some(1),
            logged: raw.meta(meta::LOGGED),
            salt: raw.meta(meta::SALT),
            log_bytes: raw.meta(meta::LOG_BYTES),
            pending: raw.rows(RowsOf::Pending).0,
            damaged,
        }
    }

    /// As one does that was just made.
    pub(super) fn nothing() -> JournalMeta {
        JournalMeta { clean: true, logged: Some(0), salt: Some(0), ..JournalMeta::default() }
    }
}

/// What the catalog's file says.
#[derive(Clone, Debug, Default)]
pub(super) struct CatalogMeta {
    pub(super) manifest: Option<Vec<u8>>,
    pub(super) applied: u64,
    pub(super) salt: u64,
    pub(super) contents: Contents,
}

impl CatalogMeta {
    pub(super) fn read(raw: &RawFile) -> CatalogMeta {
        CatalogMeta {
            manifest: raw.manifest(),
            applied: raw.meta(meta::APPLIED).unwrap_or(0),
            salt: raw.meta(meta::SALT).unwrap_or(0),
            contents: Contents::of(CatalogRows::read(raw)),
        }
    }
}

/// Looks at a directory with these journal files, of which the newest is `active`. Without a catalog it is as if there
/// were an empty one.
pub(super) fn reconcile(
    disk: &dyn Disk,
    on_disk: &[u64],
    active: JournalMeta,
    catalog: Option<CatalogMeta>,
    report: &mut DamageReport,
) -> Result<Reconciled, StoreError> {
    let file = journal_name(on_disk.last().copied().unwrap_or(1));
    let catalog_there = catalog.is_some();
    let catalog = catalog.unwrap_or_default();
    let own = manifest_of(&file, active.manifest.as_deref(), report);
    let other = manifest_of(CATALOG, catalog.manifest.as_deref(), report);
    // The journal's is always written first. A file that was just made in place of another has none yet.
    let is_behind = own.as_ref().zip(other.as_ref()).is_some_and(|(own, other)| own.epoch < other.epoch);
    let manifest = if is_behind { other } else { own.or(other) };
    let inventory = Inventory::of(on_disk, manifest.as_ref());
    judge_files(&inventory, manifest.as_ref(), report);
    let is_active_there = !inventory.missing.iter().any(|missing| missing.sealed_at.is_none());

    let JournalMeta { clean, log_bytes, .. } = active;
    let high_water = high_water::read(disk)?;
    // A damaged file may say less than it did. What the high-water mark says was true in any case.
    let known = if active.damaged { high_water.sequence().flushed } else { 0 };
    let logged = active.logged.unwrap_or(0).max(known);
    // What marks the records of the log is known although the file that said so is gone.
    let own_salt = active.salt.filter(|_| is_active_there || !catalog_there);
    let mut replay = log::replay(disk, logged, own_salt.unwrap_or(catalog.salt))?;
    let last = replay.last.max(high_water.sequence().durable);
    let (lacks, lost) = gaps(&replay, high_water);
    let lags = logged < high_water.sequence().flushed;
    if is_active_there && (is_behind || lacks > 0) {
        report.add(Damage::JournalOlder { file: file.clone(), lost: (lacks > 0).then_some(lacks) });
    } else if is_active_there && lags {
        report.add(Damage::JournalBehind { file: file.clone() });
    }
    judge_log(log_bytes, clean, &replay, lost, report);
    // Who never had one does not miss it.
    if log_bytes.is_some() {
        match high_water {
            HighWaterMark::Missing => report.add(Damage::HighWaterMark { why: "is missing" }),
            HighWaterMark::Damaged(_) => report.add(Damage::HighWaterMark { why: "is damaged" }),
            HighWaterMark::Sound(_) => (),
        }
    }

    let CatalogMeta { applied, contents, .. } = catalog;
    // A catalog of an earlier version did not count all its changes; that it had some is known from now on.
    let applied = if catalog_there && !contents.is_checked { applied.max(1) } else { applied };
    judge_contents(&contents, report);
    let mut changes = changes_of(active.pending, applied, report);
    if catalog_there && is_active_there {
        judge_applied(applied, &changes, report);
        let known = changes.last().map(|(number, _)| *number);
        if !lags && !is_behind && known.is_some_and(|known| known < applied) {
            report.add(Damage::JournalOlder { file: file.clone(), lost: None });
        }
    }
    let rows: Vec<u64> = changes.iter().map(|(number, _)| *number).collect();
    let next_number = rows.iter().copied().fold(applied, u64::max) + 1;
    changes.retain(|(number, _)| *number > applied);
    // From now on the journal and the catalog agree, whatever was lost of either.
    let applied = rows.last().map_or(applied, |&last| if catalog_there { applied.min(last) } else { last });
    if !catalog_there && changes.first().is_none_or(|(_, first)| first.after != Some(0)) {
        // Changes of what is lost are worth nothing alone: users without their vhosts, bindings without exchanges.
        changes.clear();
        replay.commits.iter_mut().for_each(|commit| commit.catalog.clear());
    }
    let to_apply = changes.into_iter().map(|(number, Pending { ops, .. })| (number, ops)).collect();
    Ok(Reconciled {
        inventory,
        manifest,
        clean,
        replay,
        high_water,
        last,
        contents,
        applied,
        rows,
        next_number,
        to_apply,
    })
}

/// Whether something is lost where these files are what there is.
pub(super) fn falls_short(
    disk: &dyn Disk,
    on_disk: &[u64],
    active: JournalMeta,
    catalog: Option<CatalogMeta>,
) -> Result<bool, StoreError> {
    let mut report = DamageReport::default();
    reconcile(disk, on_disk, active, catalog, &mut report)?;
    Ok(report.has_losses())
}

impl Reconciled {
    /// That of the list which is believed.
    pub(super) fn epoch(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |manifest| manifest.epoch)
    }

    /// What is to be said of a sealed file whose last commit is `logged`.
    pub(super) fn judge_sealed(&self, file: u64, logged: u64) -> Option<Damage> {
        let listed = self.manifest.iter().flat_map(|manifest| &manifest.files);
        let sealed_at = listed.into_iter().find(|listed| listed.file == file)?.sealed_at?;
        let lost = sealed_at.checked_sub(logged).filter(|&lost| lost > 0)?;
        Some(Damage::JournalOlder { file: journal_name(file), lost: Some(lost) })
    }
}

/// Whether a directory without a catalog, and with these journal files, is one that a crash left while it was made.
pub(super) fn is_new(files: &[u64], active: &RawFile) -> bool {
    let (pending, whole) = active.rows(RowsOf::Pending);
    let mut holds_any = !pending.is_empty();
    let whole = active.runs(|_, _| holds_any = true) && whole;
    files == [1] && whole && !holds_any && active.manifest().is_none()
}

/// Looks at a directory without any journal file. Returns the number that the next one has, and its first number.
pub(super) fn no_journal(
    disk: &dyn Disk,
    catalog: Option<&CatalogMeta>,
    report: &mut DamageReport,
) -> Result<(u64, u64), StoreError> {
    let Some(catalog) = catalog else {
        if high_water::read(disk)? != HighWaterMark::Missing {
            report.add(Damage::JournalMissing {
                file: "the journal".to_owned(),
                held: MessageCounts::default(),
                active: true,
            });
            report.add(Damage::CatalogMissing);
        }
        return Ok((1, 1));
    };
    let manifest = manifest_of(CATALOG, catalog.manifest.as_deref(), report).unwrap_or_default();
    judge_files(&Inventory::of(&[], Some(&manifest)), Some(&manifest), report);
    if manifest.files.is_empty() {
        report.add(Damage::JournalMissing {
            file: "the journal".to_owned(),
            held: MessageCounts::default(),
            active: true,
        });
    }
    let (file, first) = manifest.files.last().map_or((0, 0), |last| (last.file, last.first_number));
    Ok((file + 1, first.max(catalog.applied) + 1))
}

/// The changes of the catalog that the journal has, in order.
fn changes_of(rows: Vec<(u64, Vec<u8>)>, applied: u64, report: &mut DamageReport) -> Vec<(u64, Pending)> {
    let (mut changes, mut damaged) = (BTreeMap::new(), Vec::new());
    for (number, row) in rows {
        match pending::decode(&row) {
            Some(change) => drop(changes.entry(number).or_insert(change)),
            None => damaged.push(number),
        }
    }
    // What is in the catalog is not lost with its row.
    for number in damaged.into_iter().filter(|number| *number > applied && !changes.contains_key(number)) {
        report.add(Damage::CatalogOlder { holds: applied, must_hold: number });
    }
    changes.into_iter().collect()
}

/// The list in a file.
fn manifest_of(file: &str, row: Option<&[u8]>, report: &mut DamageReport) -> Option<Manifest> {
    let manifest = Manifest::decode(row?);
    if manifest.is_none() {
        report.add(Damage::Manifest { file: file.to_owned() });
    }
    manifest
}

fn judge_files(inventory: &Inventory, manifest: Option<&Manifest>, report: &mut DamageReport) {
    let active = manifest.and_then(|manifest| manifest.files.last()).map(|listed| listed.file);
    for Listed { file, held, .. } in &inventory.missing {
        let active = active == Some(*file);
        report.add(Damage::JournalMissing { file: journal_name(*file), held: held.clone(), active });
    }
}

/// How many durable commits are neither in the journal nor in the log: those that the journal had, and those that it had
/// not yet.
fn gaps(replay: &Replay, high_water: HighWaterMark) -> (u64, u64) {
    let told = high_water.sequence();
    let tail = (replay.last + 1, told.durable);
    let (mut of_journal, mut of_log) = (0, 0);
    for &(first, last) in replay.gaps.iter().chain([&tail]).filter(|(first, last)| first <= last) {
        let in_journal = (last.min(told.flushed) + 1).saturating_sub(first);
        of_journal += in_journal;
        of_log += last - first + 1 - in_journal;
    }
    (of_journal, of_log)
}

/// `recorded`: bytes of the log's file, as the journal knows them. `lost`: commits that are known to be.
fn judge_log(recorded: Option<u64>, clean: bool, replay: &Replay, lost: u64, report: &mut DamageReport) {
    let recorded = recorded.unwrap_or(0);
    let (why, next_is_there) = match replay.found {
        Found::Missing if recorded > 0 => (Some("is missing".to_owned()), false),
        Found::There(len) if len < recorded => {
            (Some(format!("was cut to {len} of {recorded} bytes")), replay.end > 0 && replay.end < len)
        }
        _ => (None, true),
    };
    if lost > 0 {
        let why = why.map_or_else(|| "their records cannot be read".to_owned(), |why| format!("it {why}"));
        report.add(Damage::LogCommits { lost, why });
    } else if let Some(why) = why {
        report.add(Damage::LogFile { why, may_lose: !clean && !next_is_there });
    }
}

fn judge_contents(contents: &Contents, report: &mut DamageReport) {
    match contents.rows {
        Rows::Whole => (),
        Rows::Vanished(records) => report.add(Damage::CatalogVanished { records: Some(records) }),
        Rows::Replaced => report.add(Damage::CatalogVanished { records: None }),
    }
    for key in &contents.damaged {
        report.add(Damage::CatalogRecord { key: key.clone(), why: "its checksum does not fit".to_owned() });
    }
}

/// The catalog holds changes up to `applied`; the journal has the last ones.
fn judge_applied(applied: u64, changes: &[(u64, Pending)], report: &mut DamageReport) {
    let Some(&(must_hold, _)) = changes.last() else { return };
    let mut holds = applied;
    for (number, change) in changes.iter().filter(|(number, _)| *number > applied) {
        if change.after.is_some_and(|after| holds < after) {
            report.add(Damage::CatalogOlder { holds: applied, must_hold });
        }
        holds = *number;
    }
}

#[cfg(test)]
mod tests {
    use super::super::high_water::Sequence;
    use super::*;

    fn replay(last: u64, gaps: &[(u64, u64)]) -> Replay {
        Replay { last, gaps: gaps.to_vec(), ..Replay::nothing(Found::There(0)) }
    }

    #[test]
    fn what_is_lost_is_counted_where_it_was() {
        let told = |durable, flushed| HighWaterMark::Sound(Sequence { durable, flushed });
        assert_eq!(gaps(&replay(9, &[]), told(9, 5)), (0, 0));
        assert_eq!(gaps(&replay(9, &[]), HighWaterMark::Missing), (0, 0));
        assert_eq!(gaps(&replay(9, &[(3, 4), (7, 8)]), told(12, 7)), (3, 4));
        assert_eq!(gaps(&replay(2, &[]), told(12, 12)), (10, 0));
    }

    #[test]
    fn a_log_that_is_not_whole_may_have_held_more_unless_the_stop_was_clean() {
        let judged = |recorded, clean, replay: &Replay, lost| {
            let mut report = DamageReport::default();
            judge_log(recorded, clean, replay, lost, &mut report);
            report.found
        };
        let missing = Replay::nothing(Found::Missing);
        let cut = Replay { end: 4096, ..Replay::nothing(Found::There(8192)) };
        assert_eq!(judged(None, false, &missing, 0), []);
        assert_eq!(judged(Some(8192), false, &cut, 0), []);
        assert!(matches!(
            judged(Some(8192), false, &missing, 0)[..],
            [Damage::LogFile { may_lose: true, .. }]
        ));
        assert!(matches!(
            judged(Some(8192), true, &missing, 0)[..],
            [Damage::LogFile { may_lose: false, .. }]
        ));
        assert!(matches!(judged(Some(9000), false, &cut, 0)[..], [Damage::LogFile { may_lose: false, .. }]));
        assert!(matches!(judged(Some(9000), false, &cut, 2)[..], [Damage::LogCommits { lost: 2, .. }]));
    }

    #[test]
    fn a_catalog_is_one_change_behind_the_journal_or_an_older_one() {
        let judged = |applied, changes: &[(u64, Option<u64>)]| {
            let changes: Vec<_> =
                changes.iter().map(|&(number, after)| (number, Pending { after, ops: Vec::new() })).collect();
            let mut report = DamageReport::default();
            judge_applied(applied, &changes, &mut report);
            report.found
        };
        assert_eq!(judged(7, &[]), []);
        assert_eq!(judged(7, &[(7, Some(3))]), []);
        assert_eq!(judged(3, &[(7, Some(3))]), []);
        assert_eq!(judged(2, &[(7, Some(3))]), [Damage::CatalogOlder { holds: 2, must_hold: 7 }]);
        assert_eq!(judged(2, &[(7, None)]), [], "rows of earlier versions do not say it");
    }
}
