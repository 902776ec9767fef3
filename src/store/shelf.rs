//! The journal files: the active one, the sealed ones that were read lately, and the entries of runs that were used
//! lately. Answers where a number lies and reads what lies there; what is damaged is reported once and counted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::model::holdings::Holdings;

use super::disk::Disk;
use super::error::StoreError;
use super::index::EntrySource;
use super::record::BadRecord;
use super::redb::{Blobs, DataFile, Mode};
use super::run::{self, Entry, RunKey};

/// Sealed files held open.
const OPEN_SEALED: usize = 4;
/// redb's cache for a sealed file, in bytes.
const SEALED_CACHE: usize = 2 << 20;
/// Entries held in memory (about 50 bytes each).
const CACHED_ENTRIES: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Shelf {
    disk: Arc<dyn Disk>,
    pub(super) active: DataFile,
    /// All files by number, with the first number in each; the last one is active.
    files: Vec<(u64, u64)>,
    /// The one used last at the end.
    sealed: Vec<(u64, DataFile)>,
    cache: EntryCache,
    quarantined: HashSet<(u64, u64)>,
}

/// The name of a journal file.
pub(super) fn journal_name(file: u64) -> String {
    format!("journal-{file:08}.redb")
}

impl Shelf {
    pub(super) fn new(disk: Arc<dyn Disk>, active: DataFile, files: Vec<(u64, u64)>) -> Shelf {
        Shelf {
            disk,
            active,
            files,
            sealed: Vec::new(),
            cache: EntryCache::default(),
            quarantined: HashSet::new(),
        }
    }

    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Shelf { disk: _, active: _, files: _, sealed, cache, quarantined: _ } = self;
        let EntryCache { runs, by_use, uses: _, entries } = cache;
        into.in_use("store: sealed files open", sealed);
        into.in_use("store: runs in memory", runs);
        into.in_use("store: their order of use", by_use);
        into.in_use("store: entries of runs in memory", entries);
    }

    /// Records and runs found damaged since the store was opened.
    pub(super) fn quarantined(&self) -> u64 {
        self.quarantined.len() as u64
    }

    /// Says which number each file begins with, once that was read from them.
    pub(super) fn set_files(&mut self, files: Vec<(u64, u64)>) {
        self.files = files;
    }

    /// Makes `active` the active file and returns the one that was.
    pub(super) fn rotate(&mut self, file: u64, first_number: u64, active: DataFile) -> DataFile {
        self.files.push((file, first_number));
        std::mem::replace(&mut self.active, active)
    }

    /// Forgets a sealed file that is about to be removed.
    pub(super) fn forget(&mut self, file: u64) {
        self.files.retain(|known| known.0 != file);
        self.sealed.retain(|known| known.0 != file);
    }

    /// Entries of a run just written, which will soon be asked for.
    pub(super) fn remember(&mut self, number: u64, entries: Vec<Entry>) {
        if entries.len() > 1 {
            self.cache.insert(number, entries.into());
        }
    }

    /// Closes everything; the active file cleanly.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.active.close()
    }

    /// The file with this number in it.
    pub(super) fn file_of(&self, number: u64) -> Option<u64> {
        let at = self.files.partition_point(|file| file.1 <= number).checked_sub(1)?;
        Some(self.files[at].0)
    }

    /// An open file. A sealed one that was not closed cleanly (a crash came between) is repaired first.
    pub(super) fn data(&mut self, file: u64) -> Result<&DataFile, StoreError> {
        if self.files.last().is_none_or(|last| last.0 == file) {
            return Ok(&self.active);
        }
        let opened = match self.sealed.iter().position(|known| known.0 == file) {
            Some(at) => self.sealed.remove(at).1,
            None => self.open_sealed(file)?,
        };
        if self.sealed.len() == OPEN_SEALED {
            self.sealed.remove(0);
        }
        self.sealed.push((file, opened));
        Ok(self.sealed.last().map_or(&self.active, |last| &last.1))
    }

    fn open_sealed(&self, file: u64) -> Result<DataFile, StoreError> {
        let name = journal_name(file);
        if let Some(data) = DataFile::open(&*self.disk, &name, SEALED_CACHE, Mode::Sealed)? {
            return Ok(data);
        }
        if let Some(data) = DataFile::open(&*self.disk, &name, SEALED_CACHE, Mode::Write)? {
            data.close()?;
        }
        DataFile::open(&*self.disk, &name, SEALED_CACHE, Mode::Sealed)?
            .ok_or_else(|| StoreError::Damaged(format!("{name} could not be repaired")))
    }

    /// The blobs of the file with this number in it; None (reported by the caller) where a sealed file is
    /// damaged. The active one must be sound.
    pub(super) fn blobs(&mut self, number: u64) -> Result<Option<Blobs>, StoreError> {
        let Some(file) = self.file_of(number) else { return Ok(None) };
        let sealed = self.files.last().is_some_and(|last| last.0 != file);
        soft(sealed, self.data(file).and_then(DataFile::blobs))
    }

    /// Reports something damaged: `place` in the run `number`. Once.
    pub(super) fn quarantine(&mut self, key: RunKey, place: u64, why: BadRecord) {
        if self.quarantined.insert((key.number, place)) {
            tracing::error!(
                queue = key.queue.0,
                run = key.number,
                place,
                "a stored message is damaged and is not served: {why}"
            );
        }
    }

    fn read_entries(&mut self, key: RunKey) -> Result<Option<Vec<Entry>>, StoreError> {
        let Some(file) = self.file_of(key.number) else { return Ok(None) };
        let row = self.data(file)?.run(key)?;
        let Some((header, inline)) = row.as_deref().and_then(run::decode_row) else { return Ok(None) };
        if header.entries_len == 0 {
            return Ok(run::decode_entries(&header, inline));
        }
        let blobs = self.data(file)?.blobs()?;
        let pieces = blobs.read(key.number, header.entries_len, 0..header.entries_len)?;
        Ok(pieces.and_then(|pieces| run::decode_entries(&header, &joined(&pieces))))
    }
}

impl EntrySource for Shelf {
    fn entries(&mut self, key: RunKey) -> Result<Option<Arc<[Entry]>>, StoreError> {
        if let Some(entries) = self.cache.get(key.number) {
            return Ok(Some(entries));
        }
        let sealed = self.file_of(key.number) != self.files.last().map(|last| last.0);
        let entries = self.read_entries(key);
        let Some(entries) = soft(sealed, entries)?.flatten() else {
            self.quarantine(key, u64::MAX, BadRecord::Unreadable("its entries"));
            return Ok(None);
        };
        let entries: Arc<[Entry]> = entries.into();
        if entries.len() > 1 {
            self.cache.insert(key.number, Arc::clone(&entries));
        }
        Ok(Some(entries))
    }
}

/// Damage is None in a sealed file and an error in the active one, where writing on would make it worse.
fn soft<T>(sealed: bool, result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::Damaged(why)) if sealed => {
            tracing::error!("a sealed file of the store is damaged: {why}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn joined(pieces: &[Bytes]) -> Bytes {
    match pieces {
        [one] => one.clone(),
        many => {
            let mut all = BytesMut::new();
            many.iter().for_each(|piece| all.extend_from_slice(piece));
            all.freeze()
        }
    }
}

/// The part `range` of bytes that lie in pieces, without copying.
pub(super) fn cut(pieces: &[Bytes], range: Range<usize>) -> Vec<Bytes> {
    let mut start = 0;
    let mut cut = Vec::new();
    for piece in pieces {
        let (from, to) = (range.start.max(start), range.end.min(start + piece.len()));
        if from < to {
            cut.push(piece.slice(from - start..to - start));
        }
        start += piece.len();
    }
    cut
}

/// The entries used last, by run.
#[derive(Debug, Default)]
struct EntryCache {
    runs: HashMap<u64, (u64, Arc<[Entry]>)>,
    by_use: BTreeMap<u64, u64>,
    uses: u64,
    entries: usize,
}

impl EntryCache {
    fn get(&mut self, number: u64) -> Option<Arc<[Entry]>> {
        let (used, entries) = self.runs.get_mut(&number)?;
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, number);
        Some(Arc::clone(entries))
    }

    fn insert(&mut self, number: u64, entries: Arc<[Entry]>) {
        self.uses += 1;
        self.entries += entries.len();
        self.by_use.insert(self.uses, number);
        if let Some((used, old)) = self.runs.insert(number, (self.uses, entries)) {
            self.by_use.remove(&used);
            self.entries -= old.len();
        }
        while self.entries > CACHED_ENTRIES {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            if let Some((_, entries)) = self.runs.remove(&oldest) {
                self.entries -= entries.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::op::EntryMeta;

    #[test]
    fn the_cache_forgets_what_was_used_longest_ago() {
        let meta = EntryMeta::default();
        let entry = Entry { position: 0, offset: 0, len: 0, body_len: 0, meta, durable: true };
        let many: Arc<[Entry]> = vec![entry; CACHED_ENTRIES / 4].into();
        let mut cache = EntryCache::default();
        for number in 1..=4 {
            cache.insert(number, Arc::clone(&many));
        }
        assert!(cache.get(1).is_some());
        cache.insert(5, Arc::clone(&many));
        assert!(cache.get(2).is_none() && cache.get(1).is_some() && cache.get(5).is_some());
        cache.insert(5, many);
        assert!(cache.get(3).is_some(), "the same run again takes no room");
    }

    #[test]
    fn a_cut_may_reach_over_pieces() {
        let pieces = [Bytes::from_static(b"abc"), Bytes::from_static(b"def")];
        assert_eq!(cut(&pieces, 2..5), [&b"c"[..], b"de"]);
        assert_eq!(cut(&pieces, 3..4), [&b"d"[..]]);
    }
}
