//! What a data directory holds, found out by reading its files by hand: which commit of each file counts, what is lost, and
//! what is to be made good. A start and `verify` both begin here, so they say the same; nothing is changed.
//!
//! A file that redb writes may have a newest commit that is not whole. After a power cut that is no damage: nobody was told
//! of that commit, and the one before it counts. That cannot be seen in the file, but it is known what must be there: the
//! commit before counts if it holds, with what the log has, all that the high-water mark and the other files say was
//! durable. Otherwise its pages are repaired, and where that fails it is damaged.

use std::collections::BTreeMap;

use super::damage::{Damage, DamageReport};
use super::disk::Disk;
use super::error::{OpenError, StoreError};
use super::format::{CATALOG, NEWEST, RowsOf, meta};
use super::high_water::HighWaterMark;
use super::index;
use super::journal_files::journal_name;
use super::manifest::Manifest;
use super::ranges::RangeSet;
use super::reconcile::{self, CatalogMeta, JournalMeta, Reconciled};
use super::run::{self, RunDelta, RunKey};
use super::salvage::{Depth, RawFile};
use super::wire::{self, Reader};

/// Numbers that are left out behind a damaged file: what was lost with it may have had them.
pub(super) const NUMBERS_APART: u64 = 1 << 20;

/// How a file that redb writes is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckLevel {
    /// At all pages that anything is found by. Bodies are left to whoever reads them.
    Structure,
    /// At all pages of one that was not closed.
    Everything,
    /// redb refuses it, whatever it looks like.
    Refused,
}

/// In what state a file is that redb writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    /// Its newest commit is whole, or can be made so.
    Newest,
    /// The commit before that is what counts.
    Before,
    /// It is only to be read, by hand.
    Damaged,
}

/// A file that redb writes. What counts of it is what `raw` reads.
#[derive(Debug)]
pub(super) struct RedbFile {
    pub(super) raw: RawFile,
    pub(super) state: FileState,
}

/// A sealed file that is served.
#[derive(Clone, Copy, Debug)]
pub(super) struct SealedFile {
    pub(super) file: u64,
    pub(super) first_number: u64,
    /// The last commit in it.
    pub(super) logged: u64,
    /// What is lost of it is accepted, or is to be.
    pub(super) accepted: bool,
}

/// What the newest journal file says is settled in all files.
#[derive(Debug, Default)]
pub(super) struct SettledState {
    pub(super) run_deltas: BTreeMap<u64, RunDelta>,
    tombstones: BTreeMap<u64, RangeSet>,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Inspection {
    pub(super) catalog: Option<RedbFile>,
    /// The newest journal file; None where there is none.
    pub(super) active: Option<RedbFile>,
    /// Its number, and the number it begins with: those of the one to be made where there is none.
    pub(super) newest: (u64, u64),
    pub(super) settled_state: SettledState,
    pub(super) sealed: Vec<SealedFile>,
    /// Files that were given up, and whether nothing is left in them.
    pub(super) given_up: Vec<(u64, bool)>,
    pub(super) reconciled: Reconciled,
    pub(super) damage: DamageReport,
}

/// Looks at a directory.
pub(super) fn inspect(
    disk: &dyn Disk,
    journal: CheckLevel,
    catalog: CheckLevel,
) -> Result<Inspection, OpenError> {
    let names = disk.list()?;
    let mut damage = DamageReport::default();
    let mut found_catalog = None;
    if names.iter().any(|name| name == CATALOG) {
        found_catalog = Some(RedbFile::open(disk, CATALOG)?);
    }
    let (mut files, mut foreign) = (Vec::new(), Vec::new());
    let mut active = None;
    for file in journal_files(&names) {
        let mut found = RedbFile::open(disk, &journal_name(file))?;
        if is_of(file, &mut found.raw) {
            files.push(file);
            active = Some(found);
        } else {
            foreign.push(file);
        }
    }
    let catalog_meta = found_catalog.as_ref().map(|catalog| CatalogMeta::read(&catalog.raw));
    let mut newest = (files.last().copied().unwrap_or(1), 1);
    let journal_meta = if let Some(active) = &mut active {
        active.settle(journal, |raw| {
            reconcile::falls_short(disk, &files, JournalMeta::read(raw, false), catalog_meta.clone())
        })?;
        active.check_format(&journal_name(newest.0))?;
        if catalog_meta.is_none() && !reconcile::is_new(&files, &active.raw) {
            damage.add(Damage::CatalogMissing);
        }
        JournalMeta::read(&active.raw, active.state == FileState::Damaged)
    } else {
        newest = reconcile::no_journal(disk, catalog_meta.as_ref(), &mut damage)?;
        files.push(newest.0);
        JournalMeta::nothing()
    };
    if let Some(found) = &mut found_catalog {
        let falls_short = |raw: &RawFile| {
            reconcile::falls_short(disk, &files, journal_meta.clone(), Some(CatalogMeta::read(raw)))
        };
        found.settle(catalog, falls_short)?;
        if found.state == FileState::Damaged && !found.raw.check_rows(Depth::Everything) {
            found.take_other_commit(falls_short)?;
        }
        found.check_format(CATALOG)?;
        found.report(CATALOG, &mut damage);
        if found.state == FileState::Damaged {
            damage.add(Damage::CatalogRebuilt);
        }
    }
    let catalog_meta = found_catalog.as_ref().map(|catalog| CatalogMeta::read(&catalog.raw));
    // Where there is nothing at all that was said by then, or there never was anything.
    let is_empty = active.is_none() && catalog_meta.is_none();
    let mut said = DamageReport::default();
    let report = if is_empty { &mut said } else { &mut damage };
    let reconciled = reconcile::reconcile(disk, &files, journal_meta, catalog_meta, report)?;
    let mut inspection = Inspection {
        catalog: found_catalog,
        active,
        newest,
        settled_state: SettledState::default(),
        sealed: Vec::new(),
        given_up: Vec::new(),
        reconciled,
        damage,
    };
    inspection.judge_active(disk)?;
    inspection.judge_given_up(disk, &foreign)?;
    Ok(inspection)
}

/// The numbers of the journal files among these names, in order.
fn journal_files(names: &[String]) -> Vec<u64> {
    let number = |name: &String| name.strip_prefix("journal-")?.strip_suffix(".redb")?.parse().ok();
    let mut files: Vec<u64> = names.iter().filter_map(number).collect();
    files.sort_unstable();
    files
}

/// Whether a file is what its name says: it lists itself as the newest, which it once was. Where the power cut through its
/// last commit, anything may be read for its list, another row for example; then the commit before it counts.
fn is_of(file: u64, raw: &mut RawFile) -> bool {
    let is_now = says_to_be(file, raw);
    if is_now || raw.check(Depth::Structure) {
        return is_now;
    }
    raw.swap_commits();
    let was_before = says_to_be(file, raw);
    raw.swap_commits();
    was_before
}

/// Whether it lists this number as the newest, or nothing that can be read.
fn says_to_be(file: u64, raw: &RawFile) -> bool {
    let manifest = raw.manifest().and_then(|row| Manifest::decode(&row));
    let newest = manifest.and_then(|manifest| Some(manifest.files.last()?.file));
    newest.is_none_or(|newest| newest == file)
}

impl RedbFile {
    fn open(disk: &dyn Disk, name: &str) -> Result<RedbFile, OpenError> {
        Ok(RedbFile { raw: RawFile::open(disk.open(name)?)?, state: FileState::Damaged })
    }

    /// Finds out which commit counts. `falls_short`: something that must be there is not.
    fn settle(
        &mut self,
        level: CheckLevel,
        falls_short: impl Fn(&RawFile) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let everything = level == CheckLevel::Everything && !self.raw.was_closed();
        let depth = if everything { Depth::Everything } else { Depth::Structure };
        self.state = if level == CheckLevel::Refused {
            self.raw.try_hard();
            FileState::Damaged
        } else if self.raw.check(depth) {
            FileState::Newest
        } else if self.raw.can_fall_back() && self.take_other_commit(falls_short)? {
            FileState::Before
        } else {
            self.raw.try_hard();
            if self.raw.check(depth) { FileState::Newest } else { FileState::Damaged }
        };
        Ok(())
    }

    /// Goes over to the other commit, where that is whole and has all that must be there.
    fn take_other_commit(
        &mut self,
        falls_short: impl Fn(&RawFile) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        if !self.raw.check_other() {
            return Ok(false);
        }
        self.raw.swap_commits();
        let short = falls_short(&self.raw)?;
        if short {
            self.raw.swap_commits();
        }
        Ok(!short)
    }

    /// Refuses what a newer version wrote.
    fn check_format(&self, name: &str) -> Result<(), OpenError> {
        match self.raw.meta(meta::FORMAT) {
            Some(found) if found > NEWEST => Err(OpenError::NewerFormat { found, known: NEWEST }),
            None if self.state != FileState::Damaged => Err(OpenError::Damaged {
                file: name.to_owned(),
                why: "it does not say its format".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn report(&self, name: &str, report: &mut DamageReport) {
        if self.state == FileState::Newest && self.raw.corrected() > 0 {
            report.add(Damage::Corrected { file: name.to_owned() });
        }
    }
}

impl SettledState {
    fn read(raw: &RawFile) -> (SettledState, bool) {
        let (run_deltas, mut whole) = sound_rows(raw, RowsOf::Deltas, RunDelta::decode);
        let set = |row: &[u8]| RangeSet::decode(&mut Reader(wire::unsealed(row)?));
        let (tombstones, all_tombstones) = sound_rows(raw, RowsOf::Tombstones, set);
        whole &= all_tombstones;
        (SettledState { run_deltas, tombstones }, whole)
    }

    pub(super) fn has_tombstone(&self, key: RunKey) -> bool {
        self.tombstones
            .get(&(key.number / index::BUCKET))
            .is_some_and(|tombstones| tombstones.contains(key.number))
    }
}

/// The rows that are sound, the newer one of each, and whether no other are missing.
fn sound_rows<T>(
    raw: &RawFile,
    rows: RowsOf,
    decode: impl Fn(&[u8]) -> Option<T>,
) -> (BTreeMap<u64, T>, bool) {
    let (found, mut whole) = raw.rows(rows);
    let mut sound = BTreeMap::new();
    for (number, row) in found {
        match decode(&row) {
            Some(row) => drop(sound.entry(number).or_insert(row)),
            None => whole = false,
        }
    }
    (sound, whole)
}

impl Inspection {
    /// Judges the newest file by what it says of itself, and by what it says of the others those.
    fn judge_active(&mut self, disk: &dyn Disk) -> Result<(), OpenError> {
        let mut accepted = Vec::new();
        let name = journal_name(self.newest.0);
        if let Some(RedbFile { raw, state }) = &self.active {
            let (settled_state, is_complete) = SettledState::read(raw);
            self.settled_state = settled_state;
            accepted = raw.rows(RowsOf::Accepted).0.into_iter().map(|(file, _)| file).collect();
            if *state == FileState::Damaged {
                self.damage.add(Damage::SetAside { file: name.clone() });
                // Which commits of the log are not in it yet the high-water mark knows, too.
                let is_known =
                    raw.has_meta() || matches!(self.reconciled.high_water, HighWaterMark::Sound(_));
                if !raw.runs(|_, _| ()) || !is_known {
                    self.damage.add(Damage::RunsLost { file: name.clone() });
                }
                if !is_complete {
                    self.damage.add(Damage::SettledLost { file: name.clone() });
                }
            }
        }
        if let Some(active) = &self.active {
            active.report(&name, &mut self.damage);
        }
        let mut files = self.reconciled.inventory.files.clone();
        files.retain(|&file| file != self.newest.0);
        for file in files {
            let raw = RawFile::open_sealed(disk.open(&journal_name(file))?)?;
            self.judge_sealed(file, &raw, accepted.contains(&file))?;
        }
        if let Some(active) = &self.active {
            self.newest.1 = self.first_number(self.newest.0, &active.raw);
        }
        Ok(())
    }

    fn judge_sealed(&mut self, file: u64, raw: &RawFile, accepted: bool) -> Result<(), OpenError> {
        let name = || journal_name(file);
        if let Some(found) = raw.meta(meta::FORMAT).filter(|&found| found > NEWEST) {
            return Err(OpenError::NewerFormat { found, known: NEWEST });
        }
        let sound = raw.check_rows(Depth::Structure);
        if raw.corrected() > 0 {
            self.damage.add(Damage::Corrected { file: name() });
        }
        let mut lost = false;
        if !sound {
            self.damage.add(Damage::SetAside { file: name() });
            lost = !raw.runs(|_, _| ());
            if lost && !accepted {
                self.damage.add(Damage::RunsLost { file: name() });
            }
        }
        // One that cannot say so any more is not older for that.
        let logged = raw.meta(meta::LOGGED).filter(|_| raw.has_meta());
        if let Some(older) = logged.and_then(|logged| self.reconciled.judge_sealed(file, logged)) {
            self.damage.add(older);
        }
        let first_number = self.first_number(file, raw);
        let accepted = accepted || lost;
        self.sealed.push(SealedFile { file, first_number, logged: logged.unwrap_or(0), accepted });
        Ok(())
    }

    /// Looks into files that are not listed any more, which a crash may have left, or somebody put there.
    fn judge_given_up(&mut self, disk: &dyn Disk, foreign: &[u64]) -> Result<(), OpenError> {
        let given_up = &self.reconciled.inventory.given_up;
        for &file in given_up.iter().chain(foreign) {
            let raw = RawFile::open(disk.open(&journal_name(file))?)?;
            let mut settled = !foreign.contains(&file);
            let whole = raw.runs(|key, _| settled &= self.settled_state.has_tombstone(key));
            settled &= whole;
            if !settled {
                self.damage.add(Damage::JournalGivenUp { file: journal_name(file) });
            }
            self.given_up.push((file, settled));
        }
        Ok(())
    }

    /// The number a file begins with. Where it cannot say so, what the list of files says, or the lowest that it names.
    fn first_number(&self, file: u64, raw: &RawFile) -> u64 {
        let listed = self.reconciled.manifest.iter().flat_map(|manifest| &manifest.files);
        let listed = listed.into_iter().find(|listed| listed.file == file).map(|listed| listed.first_number);
        if let Some(first) = raw.meta(meta::FIRST_NUMBER).or(listed) {
            return first;
        }
        let mut lowest = u64::MAX;
        raw.runs(|key, row| {
            let blob = run::decode_row(row).map_or(u64::MAX, |(header, _)| header.blob);
            lowest = lowest.min(key.number).min(blob);
        });
        let least = self.sealed.last().map_or(1, |before| before.first_number + NUMBERS_APART);
        if lowest == u64::MAX { least } else { lowest }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::changes::Changes;
    use super::super::damage::MessageCounts;
    use super::super::disk::Folder;
    use super::super::manifest::Listed;
    use super::super::redb::DataFile;
    use super::*;

    /// The list of files of a directory whose newest file has this number.
    fn listing(file: u64) -> Changes {
        let listed = Listed { file, first_number: 1, sealed_at: None, held: MessageCounts::default() };
        Changes { manifest: Some(Manifest { epoch: 1, files: vec![listed] }.encode()), ..Changes::default() }
    }

    #[test]
    fn a_file_is_foreign_only_where_its_last_whole_commit_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Folder::create(folder.path()).unwrap();
        let data =
            DataFile::create(&disk, "journal", 1 << 20, |data| data.make_journal(&listing(1))).unwrap();
        data.apply(&listing(2)).unwrap();
        data.abandon();
        let file = disk.open("journal").unwrap();
        let mut raw = RawFile::open(Arc::clone(&file)).unwrap();
        assert!(is_of(2, &mut raw) && !is_of(1, &mut raw), "the last commit is whole and counts");

        // The power cuts through the last commit: another row lies where it was to be, which reads as a list.
        let (written, other) = (listing(2).manifest.unwrap(), listing(3).manifest.unwrap());
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read(0, &mut bytes).unwrap();
        let places: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(&written)).collect();
        for at in places {
            file.write(at as u64, &other).unwrap();
        }
        let mut raw = RawFile::open(file).unwrap();
        assert!(says_to_be(3, &raw) && !raw.check(Depth::Structure), "the other row is what is read");
        assert!(is_of(1, &mut raw) && !is_of(2, &mut raw), "the commit before counts");
        assert!(says_to_be(3, &raw), "and what was current stays current");
    }
}
