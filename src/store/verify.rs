//! Reading everything there is in a data directory, to say whether it is sound. Nothing on disk is changed.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::damage::DamageReport;
use super::disk::Disk;
use super::error::OpenError;
use super::format::{CATALOG, LOG};
use super::inspection::{CheckLevel, FileState, Inspection, RedbFile, SealedFile, SettledState, inspect};
use super::journal_files::journal_name;
use super::log::{Found, Logged};
use super::memtable::Memtable;
use super::reconcile::Reconciled;
use super::run::{self, Durability, Entry, Header, RunKey};
use super::salvage::{Depth, RawFile};
use super::{CatalogRecords, record};
use crate::model::ids::QueueId;
use crate::model::op::CatalogOp;

const WRONG_PAGES: &str = "some of its pages are not what was written";

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

pub(super) fn verify(disk: &Arc<dyn Disk>) -> Result<VerifyReport, OpenError> {
    let _lock = disk.lock()?.ok_or(OpenError::Locked)?;
    let Inspection { catalog, active, newest, settled_state, sealed, given_up, reconciled, damage } =
        inspect(&**disk, CheckLevel::Everything, CheckLevel::Everything)?;
    let mut report = VerifyReport { damage, clean: reconciled.clean, ..VerifyReport::default() };
    let logged = verify_log(disk, &reconciled, &mut report)?;
    let settled = Settled { settled_state, logged };
    if let Some(RedbFile { raw, state }) = &catalog {
        let mut found = found_in(CATALOG, raw);
        check_pages(raw, *state, &mut found);
        report.files.push(found);
    }
    if let Some(RedbFile { raw, state }) = &active {
        let mut found = found_in(&journal_name(newest.0), raw);
        check_pages(raw, *state, &mut found);
        settled.verify_journal(raw, &mut found, &mut report.queues);
        report.files.push(found);
    }
    for SealedFile { file, .. } in sealed {
        let name = journal_name(file);
        let raw = RawFile::open_sealed(disk.open(&name)?)?;
        let mut found = found_in(&name, &raw);
        check_rows(&raw, &mut found);
        settled.verify_journal(&raw, &mut found, &mut report.queues);
        report.files.push(found);
    }
    for (file, _) in given_up {
        let name = journal_name(file);
        report.files.push(found_in(&name, &RawFile::open(disk.open(&name)?)?));
    }
    report.catalog = catalog_of(reconciled, settled.logged.catalog);
    report.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(report)
}

fn found_in(name: &str, raw: &RawFile) -> FileReport {
    let (name, bytes, closed_cleanly) = (name.to_owned(), raw.len(), raw.was_closed());
    FileReport { name, bytes, closed_cleanly, ..FileReport::default() }
}

/// Looks at every page of a file that a start would open to be written.
fn check_pages(raw: &RawFile, state: FileState, found: &mut FileReport) {
    if state == FileState::Damaged || !raw.check(Depth::Everything) {
        found.damage.push(WRONG_PAGES.to_owned());
    }
}

/// Looks at every page of a sealed file that anybody needs.
fn check_rows(raw: &RawFile, found: &mut FileReport) {
    if !raw.check_rows(Depth::Everything) {
        found.damage.push(WRONG_PAGES.to_owned());
    }
}

/// The records as they are with what is not in their file yet.
fn catalog_of(reconciled: Reconciled, logged: Vec<CatalogOp>) -> CatalogRecords {
    let mut records: BTreeMap<_, _> = reconciled.contents.records.into_iter().collect();
    let pending = reconciled.to_apply.into_iter().flat_map(|(_, ops)| ops);
    for op in pending.chain(logged) {
        match op {
            CatalogOp::Put { key, value } => drop(records.insert(key, value)),
            CatalogOp::Delete { key } => drop(records.remove(&key)),
        }
    }
    records.into_iter().collect()
}

/// Counts what the log holds beyond the journal.
fn verify_log(
    disk: &Arc<dyn Disk>,
    reconciled: &Reconciled,
    report: &mut VerifyReport,
) -> Result<Memtable, OpenError> {
    let mut logged = Memtable::default();
    for Logged { ops, catalog } in reconciled.replay.commits.clone() {
        logged.take(ops, catalog);
    }
    if reconciled.replay.found == Found::Missing {
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

/// What the newest file and the log say is settled in all files.
struct Settled {
    settled_state: SettledState,
    logged: Memtable,
}

impl Settled {
    fn verify_journal(&self, raw: &RawFile, found: &mut FileReport, queues: &mut BTreeMap<QueueId, u64>) {
        // Where pages are lost a row may come twice.
        let mut seen = HashSet::new();
        raw.runs(|key, row| {
            if self.settled_state.has_tombstone(key) || !seen.insert(key.number) {
                return;
            }
            let Some((header, inline)) = run::decode_row(row) else {
                found.damage.push(format!("queue {}, run {}: its row is damaged", key.queue, key.number));
                return;
            };
            let delta = self.logged.queues.get(&key.queue);
            if header.durability == Durability::None || delta.is_some_and(|delta| delta.deleted) {
                return;
            }
            let settled = self.settled_state.run_deltas.get(&key.number).map(|delta| &delta.settled);
            if settled.is_some_and(|settled| settled.len() >= u64::from(header.count)) {
                return;
            }
            let Some(entries) = entries_of(raw, key, &header, inline) else {
                found.damage.push(format!(
                    "queue {}, run {}: the list of its {} messages is damaged",
                    key.queue, key.number, header.count
                ));
                return;
            };
            let wanted = |place: u64, entry: &Entry| {
                entry.durable
                    && !settled.is_some_and(|settled| settled.contains(place))
                    && !delta.is_some_and(|delta| delta.settles(entry.position))
            };
            let wanted = (0..).zip(&entries).filter(|(place, entry)| wanted(*place, entry));
            let sound = verify_run(raw, key, &header, wanted.map(|(_, entry)| entry), &mut found.damage);
            found.messages += sound;
            *queues.entry(key.queue).or_default() += sound;
        });
    }
}

fn entries_of(raw: &RawFile, key: RunKey, header: &Header, inline: &[u8]) -> Option<Vec<Entry>> {
    if header.entries_len == 0 {
        return run::decode_entries(header, inline);
    }
    let pieces = raw.blob(key.number, header.entries_len, 0..header.entries_len)?;
    run::decode_entries(header, &pieces.concat())
}

/// Reads these messages of a run; how many are sound.
fn verify_run<'a>(
    raw: &RawFile,
    key: RunKey,
    header: &Header,
    wanted: impl Iterator<Item = &'a Entry>,
    damage: &mut Vec<String>,
) -> u64 {
    let mut sound = 0;
    for entry in wanted {
        let start = u64::from(entry.offset);
        let pieces = raw.blob(header.blob, header.blob_len, start..start + u64::from(entry.len));
        let result = match pieces {
            Some(pieces) => record::check(&pieces).map_err(|why| why.to_string()),
            None => Err("its blob is not whole".to_owned()),
        };
        match result {
            Ok(()) => sound += 1,
            Err(why) => damage.push(format!("queue {}, message {}: {why}", key.queue, entry.position)),
        }
    }
    sound
}
