//! The journal files: the active one, the sealed ones that were read lately, and the entries of runs that were used
//! lately. Answers where a number lies and reads what lies there; what is damaged is reported once and counted. Sealed files
//! are read by hand (`salvage`), so that nothing in them is an error: what cannot be read is None.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::model::holdings::Holdings;

use super::disk::Disk;
use super::entry_cache::EntryCache;
use super::error::StoreError;
use super::index::EntrySource;
use super::record::BadRecord;
use super::redb::{Blobs, DataFile};
use super::run::{self, Entry, Header, RunKey};
use super::salvage::{ChunkLocations, RawFile};

/// Sealed files held open.
const OPEN_SEALED: usize = 4;
/// Times that the active file is read by hand in vain for what was found damaged in it (0.5 s each, at most).
const MOST_IN_VAIN: u32 = 16;

#[derive(Debug)]
pub(super) struct JournalFiles {
    disk: Arc<dyn Disk>,
    pub(super) active: DataFile,
    /// All files by number, with the first number in each; the last one is active.
    files: Vec<(u64, u64)>,
    /// The one used last at the end.
    sealed: Vec<(u64, Arc<RawFile>)>,
    cache: EntryCache,
    chunk_locations: ChunkLocations,
    quarantined: HashSet<(u64, u64)>,
    vain_rereads: u32,
}

/// The name of a journal file.
pub(super) fn journal_name(file: u64) -> String {
    format!("journal-{file:08}.redb")
}

/// How many files of redb there are, the catalog's among them, and their bytes.
pub(super) fn on_disk(disk: &dyn Disk) -> (u64, u64) {
    let names = disk.list().unwrap_or_default();
    let files = names.iter().filter(|name| name.ends_with(".redb"));
    let sizes = files.filter_map(|name| disk.open(name).and_then(|file| file.len()).ok());
    sizes.fold((0, 0), |(files, bytes), len| (files + 1, bytes + len))
}

impl JournalFiles {
    pub(super) fn new(disk: Arc<dyn Disk>, active: DataFile, files: Vec<(u64, u64)>) -> JournalFiles {
        JournalFiles {
            disk,
            active,
            files,
            sealed: Vec::new(),
            cache: EntryCache::default(),
            chunk_locations: ChunkLocations::default(),
            quarantined: HashSet::new(),
            vain_rereads: 0,
        }
    }

    pub(super) fn holdings(&self, into: &mut Holdings) {
        let JournalFiles {
            disk: _,
            active: _,
            files: _,
            sealed,
            cache,
            chunk_locations,
            quarantined: _,
            vain_rereads: _,
        } = self;
        into.declared("store: sealed files open", sealed);
        cache.holdings(into);
        chunk_locations.holdings(into);
    }

    /// Records and runs found damaged since the store was opened.
    pub(super) fn quarantined(&self) -> u64 {
        self.quarantined.len() as u64
    }

    /// Makes `active` the active file and returns the one that was.
    pub(super) fn rotate(&mut self, file: u64, first_number: u64, active: DataFile) -> DataFile {
        self.files.push((file, first_number));
        self.chunk_locations.forget_active();
        std::mem::replace(&mut self.active, active)
    }

    /// Forgets a sealed file that is about to be removed.
    pub(super) fn forget(&mut self, file: u64) {
        self.files.retain(|known| known.0 != file);
        self.sealed.retain(|known| known.0 != file);
    }

    /// Entries of a run just written, which will soon be asked for; `bytes`: what is written of them, apart from its row.
    pub(super) fn remember(
        &mut self,
        number: u64,
        header: Header,
        bytes: Option<Bytes>,
        entries: Vec<Entry>,
    ) {
        if let Some(bytes) = bytes {
            self.cache.keep_encoded(number, header, bytes);
        }
        self.cache.insert(number, entries.into());
    }

    /// Forgets the entries of all runs, and where messages lie: nobody will ask for them again.
    pub(super) fn forget_entries(&mut self) {
        self.cache = EntryCache::default();
        self.chunk_locations = ChunkLocations::default();
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

    /// Whether this file is the active one.
    pub(super) fn is_active(&self, file: u64) -> bool {
        self.files.last().is_none_or(|last| last.0 == file)
    }

    /// A sealed file, opened to be read.
    pub(super) fn sealed(&mut self, file: u64) -> Result<Arc<RawFile>, StoreError> {
        let opened = match self.sealed.iter().position(|known| known.0 == file) {
            Some(at) => self.sealed.remove(at).1,
            None => Arc::new(RawFile::open_sealed(self.disk.open(&journal_name(file))?)?),
        };
        if self.sealed.len() == OPEN_SEALED {
            self.sealed.remove(0);
        }
        self.sealed.push((file, Arc::clone(&opened)));
        Ok(opened)
    }

    /// What the file with this number in it holds, to be read; None where there is no such file.
    pub(super) fn view(&mut self, number: u64) -> Result<Option<FileView>, StoreError> {
        let Some(file) = self.file_of(number) else { return Ok(None) };
        if self.is_active(file) {
            return self.active.blobs().map(|blobs| Some(FileView::Active(blobs)));
        }
        // That a file cannot be opened (too many are, say) is no damage: its messages are not left out for that.
        self.sealed(file).map(|sealed| Some(FileView::Sealed(sealed)))
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
        let Some(view) = self.view(key.number)? else { return Ok(None) };
        let row = match &view {
            FileView::Active(_) => self.active.run(key)?,
            FileView::Sealed(sealed) => sealed.run(key),
        };
        let Some((header, inline)) = row.as_deref().and_then(run::decode_row) else { return Ok(None) };
        if header.entries_len == 0 {
            return Ok(run::decode_entries(&header, inline));
        }
        let all = 0..header.entries_len;
        let decoded = |pieces: Vec<Bytes>| {
            let bytes = joined(&pieces);
            run::decode_entries(&header, &bytes).map(|entries| (entries, bytes))
        };
        let mut found = view.read(key.number, header.entries_len, all.clone())?.and_then(decoded);
        if found.is_none() {
            self.reread(key.number, header.entries_len, all, |pieces| {
                found = decoded(pieces);
                found.is_some()
            });
        }
        Ok(found.map(|(entries, bytes)| {
            self.cache.keep_encoded(key.number, header, bytes);
            entries
        }))
    }

    /// To be called before [`JournalFiles::read_chunks`] where something may have been written since the last time.
    pub(super) fn begin_spots(&mut self) {
        self.chunk_locations.active_has_changed();
    }

    /// A range of a blob, of which no more is read than that: for one message among many. None where that is not to be had;
    /// the [`JournalFiles::view`] knows more.
    pub(super) fn read_chunks(
        &mut self,
        number: u64,
        blob_len: u64,
        range: Range<u64>,
    ) -> Option<Vec<Bytes>> {
        let file = self.file_of(number)?;
        let sealed = if self.is_active(file) { None } else { Some(self.sealed(file).ok()?) };
        let disk = &self.disk;
        let open = || disk.open(&journal_name(file)).and_then(RawFile::open).ok();
        self.chunk_locations.read(sealed.as_deref(), open, number, blob_len, range)
    }

    /// A range of a blob of the active file that is not what was written is read once more by hand, where one wrong byte in
    /// a page can be corrected. `is_sound` takes what was found. Given up after it was in vain too often.
    pub(super) fn reread(
        &mut self,
        number: u64,
        blob_len: u64,
        range: Range<u64>,
        is_sound: impl FnOnce(Vec<Bytes>) -> bool,
    ) {
        let Some(file) = self.file_of(number).filter(|&file| self.is_active(file)) else { return };
        if self.vain_rereads == MOST_IN_VAIN {
            return;
        }
        let raw = self.disk.open(&journal_name(file)).and_then(RawFile::open).ok();
        let found = raw.and_then(|mut raw| {
            raw.try_hard();
            raw.blob(number, blob_len, range)
        });
        if !found.is_some_and(is_sound) {
            self.vain_rereads += 1;
        }
    }
}

/// The blobs of a file, as they are now. Pages of the active one are not used again while it lives: drop it soon.
pub(super) enum FileView {
    Active(Blobs),
    Sealed(Arc<RawFile>),
}

impl FileView {
    /// A range of a blob of `blob_len` bytes; None where any of it is damaged. The active file must be readable: what can be
    /// done where it is not is for the engine to decide.
    pub(super) fn read(
        &self,
        number: u64,
        blob_len: u64,
        range: Range<u64>,
    ) -> Result<Option<Vec<Bytes>>, StoreError> {
        match self {
            FileView::Active(blobs) => blobs.read(number, blob_len, range),
            FileView::Sealed(sealed) => Ok(sealed.blob(number, blob_len, range)),
        }
    }
}

impl EntrySource for JournalFiles {
    fn entries(&mut self, key: RunKey) -> Result<Option<Arc<[Entry]>>, StoreError> {
        if let Some(entries) = self.cache.get(key.number) {
            return Ok(Some(entries));
        }
        let Some(entries) = self.read_entries(key)? else {
            self.quarantine(key, u64::MAX, BadRecord::Unreadable("its entries"));
            return Ok(None);
        };
        let entries: Arc<[Entry]> = entries.into();
        self.cache.insert(key.number, Arc::clone(&entries));
        Ok(Some(entries))
    }
}

fn joined(pieces: &[Bytes]) -> Bytes {
    match pieces {
        [one] => one.clone(),
        many => {
            let mut all = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_may_reach_over_pieces() {
        let pieces = [Bytes::from_static(b"abc"), Bytes::from_static(b"def")];
        assert_eq!(cut(&pieces, 2..5), [&b"c"[..], b"de"]);
        assert_eq!(cut(&pieces, 3..4), [&b"d"[..]]);
    }
}
