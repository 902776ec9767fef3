//! Reading everything there is in a data directory, to say whether it is sound. Nothing on disk is changed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::catalog_file::CATALOG;
use super::damage::{Damage, DamageReport};
use super::disk::Disk;
use super::engine::meta;
use super::error::{OpenError, StoreError};
use super::intake::Intake;
use super::log::{Found, LOG, Logged};
use super::ranges::RangeSet;
use super::recovery::{check_format, journal_files};
use super::redb::{Blobs, DataFile, Mode, RowsOf};
use super::run::{self, Entry, Header, Keeps, Notes, RunKey};
use super::shelf::{cut, journal_name};
use super::survey::{self, CatalogSays, JournalSays, Survey};
use super::wire::{self, Reader};
use super::{CatalogRecords, index, record};
use crate::model::ids::QueueId;
use crate::model::op::CatalogOp;

const CACHE: usize = 8 << 20;

/// What was found in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileReport {
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
    pub closed_cleanly: bool,
    /// Messages in it that are still in a queue, once per queue, and were read.
    pub messages: u64,
    /// What is wrong with it; empty where it is sound.
    pub damage: Vec<String>,
}

/// What was found in all files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    pub files: Vec<FileReport>,
    /// Messages per queue that can be served.
    pub queues: BTreeMap<QueueId, u64>,
    /// The catalog's records as a start would find them, in order of key.
    pub catalog: CatalogRecords,
    /// The directory was closed cleanly.
    pub clean: bool,
    /// What a start would report.
    pub damage: DamageReport,
}

impl VerifyReport {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.files.iter().all(|file| file.damage.is_empty())
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            let sound = if file.damage.is_empty() { "sound" } else { "UNSOUND" };
            let closed = if file.closed_cleanly { "" } else { ", not closed cleanly" };
            let FileReport { name, bytes, messages, .. } = file;
            writeln!(f, "{name}: {sound}, {bytes} bytes, {messages} messages{closed}")?;
            for damage in &file.damage {
                writeln!(f, "  {damage}")?;
            }
        }
        for (queue, messages) in &self.queues {
            writeln!(f, "queue {queue}: {messages} messages")?;
        }
        writeln!(f, "catalog: {} records", self.catalog.len())?;
        for damage in &self.damage.found {
            writeln!(f, "DAMAGE: {damage}")?;
        }
        let stop = if self.clean { "clean" } else { "unclean (the next start repairs)" };
        writeln!(f, "last stop: {stop}")?;
        write!(f, "{}", if self.is_sound() { "All is sound." } else { "There is damage." })
    }
}

/// What the active file and the log say about all files.
#[derive(Default)]
struct Noted {
    notes: BTreeMap<u64, Notes>,
    gone: BTreeMap<u64, RangeSet>,
    logged: Intake,
}

impl Noted {
    fn is_gone(&self, key: RunKey) -> bool {
        self.gone.get(&(key.number / index::BUCKET)).is_some_and(|gone| gone.contains(key.number))
    }
}

pub(super) fn verify(disk: &Arc<dyn Disk>) -> Result<VerifyReport, OpenError> {
    let _lock = disk.lock()?.ok_or(OpenError::Locked)?;
    let names = disk.list()?;
    let mut report = VerifyReport::default();
    let catalog_there = names.iter().any(|name| name == CATALOG);
    let mut found_catalog = FileReport { name: CATALOG.to_owned(), ..FileReport::default() };
    let catalog = if catalog_there { open(disk, CATALOG, &mut found_catalog)? } else { None };
    let catalog = match catalog.as_ref().map(CatalogSays::read).transpose() {
        Ok(says) => says,
        Err(StoreError::Damaged(why)) => {
            found_catalog.damage.push(why);
            None
        }
        Err(error) => return Err(error.into()),
    };
    let files = journal_files(&names);
    let Some(&newest) = files.last() else {
        survey::no_journal(&**disk, catalog.as_ref(), &mut report.damage)?;
        report.files.extend(catalog_there.then_some(found_catalog));
        return Ok(report);
    };
    let name = journal_name(newest);
    let mut found = FileReport { name: name.clone(), ..FileReport::default() };
    let mut noted = Noted::default();
    let mut survey = None;
    if let Some(active) = open(disk, &name, &mut found)? {
        if !catalog_there && !survey::is_new(&files, &active)? {
            report.damage.add(Damage::CatalogMissing);
        }
        let says = JournalSays::read(&active);
        let surveyed =
            says.and_then(|says| survey::survey(&**disk, &files, says, catalog, &mut report.damage));
        match surveyed {
            Ok(surveyed) => {
                noted = read_noted(&active, &mut found)?;
                noted.logged = verify_log(disk, &surveyed, &mut report)?;
                survey = Some(surveyed);
            }
            Err(StoreError::Damaged(why)) => found.damage.push(why),
            Err(error) => return Err(error.into()),
        }
        verify_journal(&active, &noted, &mut found, &mut report.queues);
    }
    report.files.push(found);
    report.files.extend(catalog_there.then_some(found_catalog));
    for &file in files.iter().filter(|&&file| file != newest) {
        verify_sealed(disk, file, survey.as_ref(), &noted, &mut report)?;
    }
    if let Some(survey) = survey {
        report.clean = survey.clean;
        report.catalog = catalog_of(survey, noted.logged.catalog);
    }
    report.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(report)
}

/// The records as they are with what is not in their file yet.
fn catalog_of(survey: Survey, logged: Vec<CatalogOp>) -> CatalogRecords {
    let mut records: BTreeMap<_, _> = survey.contents.records.into_iter().collect();
    let pending = survey.to_apply.into_iter().flat_map(|(_, ops)| ops);
    for op in pending.chain(logged) {
        match op {
            CatalogOp::Put { key, value } => drop(records.insert(key, value)),
            CatalogOp::Delete { key } => drop(records.remove(&key)),
        }
    }
    records.into_iter().collect()
}

fn verify_sealed(
    disk: &Arc<dyn Disk>,
    file: u64,
    survey: Option<&Survey>,
    noted: &Noted,
    report: &mut VerifyReport,
) -> Result<(), OpenError> {
    let name = journal_name(file);
    let mut found = FileReport { name: name.clone(), ..FileReport::default() };
    let data = open(disk, &name, &mut found)?;
    if survey.is_some_and(|survey| survey.inventory.given_up.contains(&file)) {
        let mut settled = data.is_some();
        if let Some(data) = data {
            let read = data.runs(|key, _| settled &= noted.is_gone(key));
            settled &= read.is_ok();
        }
        if !settled {
            report.damage.add(Damage::JournalGivenUp { file: name });
        }
    } else if let Some(data) = data {
        if let Some(survey) = survey {
            let logged = data.meta(meta::LOGGED)?.unwrap_or(0);
            survey.judge_sealed(file, logged).into_iter().for_each(|older| report.damage.add(older));
        }
        verify_journal(&data, noted, &mut found, &mut report.queues);
    }
    report.files.push(found);
    Ok(())
}

/// Counts what the log holds beyond the journal.
fn verify_log(disk: &Arc<dyn Disk>, survey: &Survey, report: &mut VerifyReport) -> Result<Intake, OpenError> {
    let mut logged = Intake::default();
    for Logged { ops, catalog } in survey.replay.commits.clone() {
        logged.take(ops, catalog);
    }
    if survey.replay.found == Found::Missing {
        return Ok(logged);
    }
    let mut found =
        FileReport { name: LOG.to_owned(), bytes: disk.open(LOG)?.len()?, ..FileReport::default() };
    found.closed_cleanly = logged.is_empty();
    for put in logged.puts() {
        found.messages += 1;
        *report.queues.entry(put.queue).or_default() += 1;
    }
    report.files.push(found);
    Ok(logged)
}

/// Opens a file and checks its pages; None where that cannot be done.
fn open(disk: &Arc<dyn Disk>, name: &str, found: &mut FileReport) -> Result<Option<DataFile>, OpenError> {
    found.bytes = disk.open(name)?.len()?;
    let opened = DataFile::open(&**disk, name, CACHE, Mode::Sealed).and_then(|sealed| match sealed {
        Some(data) => {
            found.closed_cleanly = true;
            Ok(Some(data))
        }
        None => DataFile::open(&**disk, name, CACHE, Mode::Inspect),
    });
    let mut data = match opened {
        Ok(Some(data)) => data,
        Ok(None) => {
            found.damage.push("it could not be opened".to_owned());
            return Ok(None);
        }
        Err(StoreError::Damaged(why)) => {
            found.damage.push(why);
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    check_format(&data)?;
    match data.check() {
        Ok(true) => (),
        Ok(false) => found.damage.push("pages do not fit their checksums".to_owned()),
        Err(error) => {
            found.damage.push(format!("pages do not fit their checksums: {error}"));
            // The check discards what it cannot trust; the rows are read from a fresh view.
            return Ok(DataFile::open(&**disk, name, CACHE, Mode::Inspect).ok().flatten());
        }
    }
    Ok(Some(data))
}

fn read_noted(data: &DataFile, found: &mut FileReport) -> Result<Noted, OpenError> {
    let mut noted = Noted::default();
    for (number, row) in data.rows(RowsOf::Notes)? {
        match Notes::decode(&row) {
            Some(notes) => drop(noted.notes.insert(number, notes)),
            None => found.damage.push(format!("run {number}: what was settled of it is damaged")),
        }
    }
    for (bucket, row) in data.rows(RowsOf::Gone)? {
        match wire::unsealed(&row).and_then(|row| RangeSet::decode(&mut Reader(row))) {
            Some(set) => drop(noted.gone.insert(bucket, set)),
            None => found.damage.push(format!("bucket {bucket} of settled runs is damaged")),
        }
    }
    Ok(noted)
}

fn verify_journal(
    data: &DataFile,
    noted: &Noted,
    found: &mut FileReport,
    queues: &mut BTreeMap<QueueId, u64>,
) {
    let result = data.blobs().and_then(|blobs| {
        data.runs(|key, row| {
            if noted.is_gone(key) {
                return;
            }
            let Some((header, inline)) = run::decode_row(row) else {
                found.damage.push(format!("queue {}, run {}: its row is damaged", key.queue, key.number));
                return;
            };
            let asked = noted.logged.queues.get(&key.queue);
            if header.keeps == Keeps::None || asked.is_some_and(|asked| asked.deleted) {
                return;
            }
            match entries_of(&blobs, key, &header, inline) {
                Some(entries) => {
                    let settled = noted.notes.get(&key.number).map(|notes| &notes.settled);
                    let wanted = |place: u64, entry: &Entry| {
                        entry.durable
                            && !settled.is_some_and(|settled| settled.contains(place))
                            && !asked.is_some_and(|asked| asked.settles(entry.position))
                    };
                    let wanted = (0..).zip(&entries).filter(|(place, entry)| wanted(*place, entry));
                    let wanted = wanted.map(|(_, entry)| entry);
                    let sound = verify_run(&blobs, key, &header, wanted, &mut found.damage);
                    found.messages += sound;
                    *queues.entry(key.queue).or_default() += sound;
                }
                None => found.damage.push(format!(
                    "queue {}, run {}: the list of its {} messages is damaged",
                    key.queue, key.number, header.count
                )),
            }
        })
    });
    if let Err(error) = result {
        found.damage.push(error.to_string());
    }
}

fn entries_of(blobs: &Blobs, key: RunKey, header: &Header, inline: &[u8]) -> Option<Vec<Entry>> {
    if header.entries_len == 0 {
        return run::decode_entries(header, inline);
    }
    let pieces = blobs.read(key.number, header.entries_len, 0..header.entries_len).ok()??;
    run::decode_entries(header, &pieces.concat())
}

/// Reads these messages of a run; how many are sound.
fn verify_run<'a>(
    blobs: &Blobs,
    key: RunKey,
    header: &Header,
    wanted: impl Iterator<Item = &'a Entry>,
    damage: &mut Vec<String>,
) -> u64 {
    let mut sound = 0;
    for entry in wanted {
        let start = u64::from(entry.offset);
        let read = blobs.read(header.blob, header.blob_len, start..start + u64::from(entry.len));
        let result = match read {
            Ok(Some(pieces)) => {
                record::check(&cut(&pieces, 0..entry.len as usize)).map_err(|why| why.to_string())
            }
            Ok(None) => Err("its blob is not whole".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match result {
            Ok(()) => sound += 1,
            Err(why) => damage.push(format!("queue {}, message {}: {why}", key.queue, entry.position)),
        }
    }
    sound
}
