//! Files of the store read without their database: rows and blobs straight out of redb's pages, each page held against the
//! checksum that leads to it. So a damaged page costs what is in it and no more, a byte that is wrong in one is corrected,
//! a block that cannot be read is a block and not the file, and nothing here can panic or latch. Sealed files are always
//! read like this, and so is what cannot be opened otherwise. Writing is redb's alone.

mod chunk_locations;
mod header;
mod page;
mod repair;
mod stray;
mod tree;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

pub(super) use self::chunk_locations::ChunkLocations;
use self::header::{CommitSlot, HEADER_LEN, Header};
use self::page::{Node, Root, Widths};
use self::stray::Stray;
use self::tree::{Pages, Reach, TYPE_AND_COUNT, Table, Wanted};
use super::CatalogRecords;
use super::chunk;
use super::disk::DiskFile;
use super::format::{RowsOf, meta, names};
use super::run::RunKey;

use crate::model::ids::QueueId;

/// Bytes before the only value of a leaf with a chunk: type and count, where it ends, its key.
const CHUNK_HEAD: usize = TYPE_AND_COUNT + PAIR_HEAD;
/// What a leaf with chunks has in its head for each: where its value ends, its key.
const PAIR_HEAD: usize = 16;

/// redb's own tables of pages that are, or are about to be, free.
const LISTS_OF_PAGES: [&str; 3] =
    ["data_pages_allocated", "data_pages_unreachable", "system_pages_unreachable"];

type Tables = BTreeMap<String, Table>;

/// A tree of tables, and what it lists.
#[derive(Debug, Default)]
struct Trees {
    root: Option<Root>,
    tables: Tables,
    /// The list itself is what was written.
    sound: bool,
}

impl Trees {
    fn read(pages: &Pages, root: Option<Root>) -> Trees {
        let table = Table { root, widths: Widths { key: None, value: None } };
        let mut tables = Tables::new();
        let each = &mut |name: &[u8], definition: &[u8]| list(&mut tables, name, definition);
        let sound = pages.walk(&table, Reach::Leaves, each);
        Trees { root, tables, sound }
    }

    fn get(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }
}

/// How much of a file a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// All but what the chunks of blobs hold.
    Structure,
    Everything,
}

/// What a commit left: the trees of our tables, and of redb's own, which say what is free.
#[derive(Debug, Default)]
struct Commit {
    user: Trees,
    system: Trees,
    /// Where the checksum of its slot lies.
    checksum_at: Option<u64>,
}

/// A file, opened to be read.
#[derive(Debug)]
pub(super) struct RawFile {
    pages: Pages,
    unclean: bool,
    two_phase: bool,
    /// The commit that counts, unless told otherwise the newest one.
    current: Commit,
    /// The other one. Pages that the newest one replaced are still there.
    other: Commit,
    /// The head says nothing, and the trees were searched for: they may not be the newest.
    headless: bool,
    /// Chunks found where no tree leads any more, where branches are lost.
    stray: OnceLock<Option<Stray>>,
}

impl RawFile {
    /// Opens a file, whatever is in it. The error is that its length cannot be told.
    pub(super) fn open(file: Arc<dyn DiskFile>) -> io::Result<RawFile> {
        let len = file.len()?;
        let pages = Pages::new(file, len);
        let head = pages.read(0..HEADER_LEN as u64).and_then(|head| <[u8; HEADER_LEN]>::try_from(head).ok());
        let found = head.unwrap_or([0; HEADER_LEN]);
        let mut head = found;
        let header = Header::read(&mut head, len);
        if header.newest.is_some() {
            pages.correct(0, &found, &head);
        }
        let commit = |slot: Option<CommitSlot>| Commit {
            user: Trees::read(&pages, slot.and_then(|slot| slot.user)),
            system: Trees::read(&pages, slot.and_then(|slot| slot.system)),
            checksum_at: slot.map(|slot| slot.checksum_at),
        };
        let other = commit(header.before);
        if !header.unclean {
            pages.repair();
        }
        let current = commit(header.newest);
        let headless = current.user.tables.is_empty() && other.user.tables.is_empty();
        let Header { unclean, two_phase, .. } = header;
        let stray = OnceLock::new();
        let mut raw = RawFile { pages, unclean, two_phase, current, other, headless, stray };
        if headless {
            raw.current.user.tables = raw.search_newest();
        }
        Ok(raw)
    }

    /// Opens a sealed file: nothing of it is a commit half written that anybody would want to take back.
    pub(super) fn open_sealed(file: Arc<dyn DiskFile>) -> io::Result<RawFile> {
        let mut raw = RawFile::open(file)?;
        if raw.unclean && !raw.check_rows(Depth::Structure) {
            raw.try_hard();
        }
        Ok(raw)
    }

    /// The tables as the page lists them that seems to be the newest of its kind.
    fn search_newest(&self) -> Tables {
        let lists = stray::lists_of_tables(&self.pages);
        let age = |tables: &Tables| {
            let (mut logged, mut runs) = (0, 0);
            let walk = |name: &str, each: &mut dyn FnMut(&[u8], &[u8])| {
                if let Some(table) = tables.get(name) {
                    self.pages.walk(table, Reach::Leaves, each);
                }
            };
            walk(names::META, &mut |key, value| {
                if key == meta::LOGGED.as_bytes() {
                    logged = value.try_into().map_or(0, u64::from_le_bytes);
                }
            });
            walk(names::RUNS, &mut |key, _| runs = run_key(key).map_or(runs, |key| runs.max(key.number)));
            (logged, runs)
        };
        lists.into_iter().max_by_key(age).unwrap_or_default()
    }

    /// Takes all that is wrong for damage, not for a commit half written, and tries to mend it.
    pub(super) fn try_hard(&mut self) {
        self.pages.repair();
        let Commit { user, system, .. } = &mut self.current;
        for trees in [user, system] {
            if !trees.sound && trees.root.is_some() {
                let again = Trees::read(&self.pages, trees.root);
                // What was searched for and found is more than nothing.
                if !again.tables.is_empty() {
                    *trees = again;
                }
            }
        }
        self.stray = OnceLock::new();
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.pages.len
    }

    pub(super) fn was_closed(&self) -> bool {
        !self.unclean
    }

    /// Makes the other commit of the two the one that counts.
    pub(super) fn swap_commits(&mut self) {
        std::mem::swap(&mut self.current, &mut self.other);
        self.stray = OnceLock::new();
    }

    /// Whether every page that the current commit leads to is what was written, or can be made so, and the file has a
    /// length that redb gives files. Structure is what redb stumbles over.
    pub(super) fn check(&self, depth: Depth) -> bool {
        let Commit { user, system, .. } = &self.current;
        // redb looks at every page of what was not closed.
        let chunks = if self.unclean { Reach::Branches } else { Reach::Heads };
        self.has_tables()
            && self.check_trees(user, depth, chunks)
            && self.check_trees(system, depth, chunks)
            && self.has_whole_pages()
    }

    fn has_whole_pages(&self) -> bool {
        self.pages.len.is_multiple_of(page::PAGE as u64)
    }

    /// The same but for redb's own tables, which nobody needs who only reads. Structure is what messages are found by.
    pub(super) fn check_rows(&self, depth: Depth) -> bool {
        self.has_tables() && self.check_trees(&self.current.user, depth, Reach::Branches)
    }

    fn has_tables(&self) -> bool {
        !self.headless && !self.current.user.tables.is_empty()
    }

    /// Whether the other commit is whole. The file may have become shorter since: then that cannot be gone back to.
    pub(super) fn check_other(&self) -> bool {
        let whole = |trees| self.check_trees(trees, Depth::Everything, Reach::Leaves);
        let Commit { user, system, .. } = &self.other;
        !user.tables.is_empty() && whole(user) && whole(system) && self.has_all_pages(system)
    }

    /// Whether the lists of pages that redb keeps name only such as the file has.
    fn has_all_pages(&self, system: &Trees) -> bool {
        let mut all = true;
        for table in LISTS_OF_PAGES.into_iter().filter_map(|name| system.get(name)) {
            self.pages.walk(table, Reach::Leaves, &mut |_, list| {
                all &= page::listed(list)
                    .all(|page| page.is_some_and(|page| page.range().end <= self.pages.len));
            });
        }
        all
    }

    /// Whether redb would go back to the commit before the newest, where that is not whole.
    pub(super) fn can_fall_back(&self) -> bool {
        !self.two_phase && self.has_whole_pages() && self.check_other()
    }

    fn check_trees(&self, trees: &Trees, depth: Depth, chunks: Reach) -> bool {
        trees.tables.iter().fold(trees.sound, |sound, (name, table)| {
            let shallow = name == names::CHUNKS && depth == Depth::Structure;
            let reach = if shallow { chunks } else { Reach::Leaves };
            self.pages.walk(table, reach, &mut |_, _| ()) && sound
        })
    }

    /// Bytes found wrong so far of which is known what they should be.
    pub(super) fn corrected(&self) -> usize {
        self.pages.corrected()
    }

    /// Writes them.
    pub(super) fn write_corrected(&self) -> io::Result<()> {
        self.pages.write_corrected()
    }

    /// Writes that the other commit does not count. redb would look for itself which of the two is whole, and not get over
    /// a block that cannot be read.
    pub(super) fn disown_other(&self) -> io::Result<()> {
        self.other.checksum_at.map_or(Ok(()), |at| self.pages.clear_checksum(at))
    }

    /// All bytes of the file, in pieces; zeros where they cannot be read.
    pub(super) fn bytes(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let page = page::PAGE as u64;
        (0..self.pages.len.div_ceil(page)).map(move |at| {
            let range = at * page..self.pages.len.min((at + 1) * page);
            let len = range.end - range.start;
            self.pages.read(range).unwrap_or_else(|| vec![0; usize::try_from(len).unwrap_or(0)])
        })
    }

    /// Rows of a table. Where pages of it are lost, those that the commit before had there are added: what a row says
    /// stays true, or is said by a newer one.
    fn table(&self, name: &str, mut each: impl FnMut(&[u8], &[u8])) -> bool {
        let has_no_checksums = [names::META, names::TRASH, names::ACCEPTED].contains(&name);
        let reach = if has_no_checksums { Reach::SoundLeaves } else { Reach::Leaves };
        let mut sound = false;
        if let Some(table) = self.current.user.get(name) {
            let listed = self.current.user.sound && !self.headless;
            sound = self.pages.walk(table, reach, &mut each) && listed;
        } else if self.current.user.sound && !self.current.user.tables.is_empty() {
            // Not every version made every table.
            return true;
        }
        if !sound && let Some(table) = self.other.user.get(name) {
            self.pages.walk(table, reach, &mut each);
        }
        sound
    }

    pub(super) fn meta(&self, name: &str) -> Option<u64> {
        let mut found = None;
        self.table(names::META, |key, value| {
            if key == name.as_bytes() && found.is_none() {
                found = value.try_into().ok().map(u64::from_le_bytes);
            }
        });
        found
    }

    /// The row of the list of files.
    pub(super) fn manifest(&self) -> Option<Vec<u8>> {
        let mut row = None;
        self.table(names::MANIFEST, |_, value| {
            row.get_or_insert_with(|| value.to_vec());
        });
        row
    }

    /// Whether all that the file says of itself is there.
    pub(super) fn has_meta(&self) -> bool {
        self.table(names::META, |_, _| ())
    }

    /// The rows of a numbered table, and whether all of them are there. A row may come twice, the newer one first.
    pub(super) fn rows(&self, rows: RowsOf) -> (Vec<(u64, Vec<u8>)>, bool) {
        let mut all = Vec::new();
        let whole = self.table(rows.name(), |key, value| {
            if let Ok(key) = key.try_into() {
                all.push((u64::from_le_bytes(key), value.to_vec()));
            }
        });
        (all, whole)
    }

    /// The rows of a catalog, in no order, some of them twice where not all are there, the newer one first. Whether all of
    /// them are there.
    pub(super) fn records(&self) -> (CatalogRecords, bool) {
        let mut all = Vec::new();
        let whole = self.table(names::RECORDS, |key, value| all.push((key.to_vec(), value.to_vec())));
        (all, whole)
    }

    /// Calls `each` for every run's row, some of them twice where not all are there. Whether all of them are there.
    pub(super) fn runs(&self, mut each: impl FnMut(RunKey, &[u8])) -> bool {
        self.table(names::RUNS, |key, value| {
            if let Some(key) = run_key(key) {
                each(key, value);
            }
        })
    }

    pub(super) fn run(&self, key: RunKey) -> Option<Vec<u8>> {
        let commits = [&self.current, &self.other];
        let found = |commit: &Commit| self.pages.find(commit.user.get(names::RUNS)?, &key, false);
        let hit = commits.into_iter().find_map(found)?;
        self.pages.value(&hit, 0..hit.value.len())
    }

    /// A range of a blob of `blob_len` bytes; None where any of it is lost or cannot be read.
    pub(super) fn blob(&self, number: u64, blob_len: u64, range: Range<u64>) -> Option<Vec<Bytes>> {
        let mut pieces = Vec::new();
        for (part, chunk) in (0u32..).zip(chunk::chunks(blob_len)) {
            let (start, end) = (range.start.max(chunk.start), range.end.min(chunk.end));
            if start < end {
                let wanted = Chunk { number, part, len: usize::try_from(chunk.end - chunk.start).ok()? };
                let within =
                    usize::try_from(start - chunk.start).ok()?..usize::try_from(end - chunk.start).ok()?;
                pieces.push(Bytes::from(self.chunk(&wanted, within)?));
            }
        }
        (range.end <= blob_len).then_some(pieces)
    }

    fn chunk(&self, wanted: &Chunk, within: Range<usize>) -> Option<Vec<u8>> {
        let found = |commit: &Commit, led| self.pages.find(commit.user.get(names::CHUNKS)?, wanted, led);
        let hit = found(&self.current, !self.headless)
            .or_else(|| self.stray().and_then(|stray| stray.hit(wanted.number, wanted.part)))
            .or_else(|| found(&self.other, false));
        self.pages.value(&hit.filter(|hit| hit.value.len() == wanted.len)?, within)
    }

    /// Where a chunk lies.
    fn location_of_chunk(&self, wanted: &Chunk) -> Option<ChunkLocation> {
        let page = self.pages.find(self.current.user.get(names::CHUNKS)?, wanted, false)?.page.range().start;
        let count_and_type = self.pages.read(page..page + TYPE_AND_COUNT as u64)?;
        let pairs = u16::from_le_bytes(*count_and_type.last_chunk()?);
        Some(ChunkLocation { page, head: (TYPE_AND_COUNT + PAIR_HEAD * usize::from(pairs)) as u64 })
    }

    /// Part of the value of a chunk in a page; None where something else is there by now.
    fn chunk_at(&self, place: ChunkLocation, wanted: &Chunk, within: Range<usize>) -> Option<Vec<u8>> {
        let head = self.pages.read(place.page..place.page + place.head)?;
        let widths = self.current.user.get(names::CHUNKS)?.widths;
        let Node::Leaf(leaf) = Node::parse(&head, widths)? else { return None };
        let pair = (0..leaf.pairs()).find(|&pair| leaf.key(pair).is_some_and(|key| wanted.is(key)))?;
        let value = leaf.value_range(pair).filter(|value| value.len() == wanted.len)?;
        if within.end > value.len() {
            return None;
        }
        let start = place.page + value.start as u64;
        self.pages.read(start + within.start as u64..start + within.end as u64)
    }

    /// Where branches of the blobs' tree are lost, every page of the file is looked at, once.
    fn stray(&self) -> Option<&Stray> {
        let find = || {
            let chunks = self.current.user.get(names::CHUNKS);
            let branches = |chunks| self.pages.walk(chunks, Reach::Branches, &mut |_, _| ());
            let whole = self.current.user.sound && chunks.is_some_and(branches);
            (!whole).then(|| Stray::find(&self.pages))
        };
        self.stray.get_or_init(find).as_ref()
    }
}

/// Takes a row of a tree of tables.
fn list(tables: &mut Tables, name: &[u8], definition: &[u8]) {
    if let Some((name, table)) = String::from_utf8(name.to_vec()).ok().zip(definition_of(definition)) {
        tables.entry(name).or_insert(table);
    }
}

/// Kind, count of rows, root, and widths of keys and values, each after a byte that says whether there is one.
fn definition_of(bytes: &[u8]) -> Option<Table> {
    const ROOT: usize = 9;
    const KEY_WIDTH: usize = 42;
    const VALUE_WIDTH: usize = 47;
    let root = match *bytes.get(ROOT)? {
        0 => None,
        _ => Some(Root::read(bytes.get(ROOT + 1..)?)?),
    };
    let width = |at: usize| {
        let width = u32::from_le_bytes(*bytes.get(at + 1..)?.first_chunk()?) as usize;
        Some((*bytes.get(at)? != 0).then_some(width.min(page::PAGE)))
    };
    Some(Table { root, widths: Widths { key: width(KEY_WIDTH)?, value: width(VALUE_WIDTH)? } })
}

fn run_key(key: &[u8]) -> Option<RunKey> {
    let (queue, rest) = key.split_first_chunk()?;
    let (&lane, number) = rest.split_first()?;
    let number = u64::from_le_bytes(number.try_into().ok()?);
    Some(RunKey { queue: QueueId(u64::from_le_bytes(*queue)), lane, number })
}

fn chunk_key(key: &[u8]) -> Option<(u64, u32)> {
    let (number, part) = key.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), u32::from_le_bytes(part.try_into().ok()?)))
}

impl Wanted for RunKey {
    fn is_after(&self, key: &[u8]) -> bool {
        run_key(key).is_some_and(|key| key < *self)
    }

    fn is(&self, key: &[u8]) -> bool {
        run_key(key) == Some(*self)
    }

    fn alone(&self) -> Option<Range<usize>> {
        None
    }
}

/// The page that a chunk lies in, and bytes of its head: there may be others in it.
#[derive(Clone, Copy, Debug)]
struct ChunkLocation {
    page: u64,
    head: u64,
}

/// A chunk that is looked for, and how long it must be.
struct Chunk {
    number: u64,
    part: u32,
    len: usize,
}

impl Wanted for Chunk {
    fn is_after(&self, key: &[u8]) -> bool {
        chunk_key(key).is_some_and(|key| key < (self.number, self.part))
    }

    fn is(&self, key: &[u8]) -> bool {
        chunk_key(key) == Some((self.number, self.part))
    }

    fn alone(&self) -> Option<Range<usize>> {
        Some(CHUNK_HEAD..CHUNK_HEAD + self.len)
    }
}
