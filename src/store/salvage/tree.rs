//! Pages of a file, loaded, checked and repaired, and the trees that they make, walked whatever is wrong with them.
//! What the rows mean is not known here.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::disk::DiskFile;
use super::page::{Node, PAGE, PageNumber, Root, Widths, checksum};
use super::repair::repair;

/// No tree is deeper; what seems so is damaged.
const DEEPEST: usize = 16;
/// Pages of a file that are searched for a wrong byte in vain.
const MOST_TRIES: u32 = 8;

/// Bytes by which the rest of a page is found. Where one of them is wrong, a page may seem to have nothing else.
pub(super) const TYPE_AND_COUNT: usize = 4;

/// What a page of one chunk has besides the chunk, at most.
const NOT_THE_VALUE: usize = 32;

/// The pages of a file.
#[derive(Debug)]
pub(super) struct Pages {
    file: Arc<dyn DiskFile>,
    pub(super) len: u64,
    known: Mutex<Known>,
}

/// What was found out about pages.
#[derive(Debug, Default)]
struct Known {
    /// Bytes that are wrong in the file, by place, and what they should be.
    corrected: BTreeMap<u64, u8>,
    /// Pages that could not be repaired, or read.
    broken: HashSet<PageNumber>,
    /// Wrong bytes are searched for. In a file that was not closed a commit may be half written: nothing can be
    /// repaired there, and nothing has to be.
    mends: bool,
    failed_tries: u32,
}

/// A page's bytes, and whether they are what was written.
pub(super) struct Loaded {
    pub(super) bytes: Vec<u8>,
    pub(super) sound: bool,
}

/// A table: its tree, and how its rows are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) root: Option<Root>,
    pub(super) widths: Widths,
}

/// How far a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Not into leaves.
    Branches,
    /// Into leaves, but of those of several pages only the head, as long as it makes sense: the rest is one value.
    Heads,
    Leaves,
    /// Into leaves, but of those that are damaged no row is believed: for rows without a checksum of their own.
    SoundLeaves,
}

/// A value that was found: the page it lies in, and where.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub(super) page: PageNumber,
    pub(super) value: Range<usize>,
}

/// What a search looks for.
pub(super) trait Wanted {
    /// Whether a key comes before the wanted one.
    fn is_after(&self, key: &[u8]) -> bool;
    fn is(&self, key: &[u8]) -> bool;
    /// Where the value must lie in a page of its own; None where that is not known.
    fn alone(&self) -> Option<Range<usize>>;
}

impl Pages {
    pub(super) fn new(file: Arc<dyn DiskFile>, len: u64) -> Pages {
        Pages { file, len, known: Mutex::new(Known::default()) }
    }

    /// Bytes of the file; None where it ends before, or they cannot be read.
    pub(super) fn read(&self, range: Range<u64>) -> Option<Vec<u8>> {
        if range.end > self.len {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(range.end - range.start).ok()?];
        // Once more, before what failed only now is taken for damaged.
        self.file.read(range.start, &mut bytes).or_else(|_| self.file.read(range.start, &mut bytes)).ok()?;
        for (at, &byte) in self.known.lock().corrected.range(range.clone()) {
            bytes[usize::try_from(at - range.start).ok()?] = byte;
        }
        Some(bytes)
    }

    /// Remembers what bytes from `at` on should be instead of what they are.
    pub(super) fn correct(&self, at: u64, are: &[u8], should: &[u8]) {
        let wrong = (at..).zip(are.iter().zip(should)).filter(|(_, (is, should))| is != should);
        self.known.lock().corrected.extend(wrong.map(|(at, (_, &should))| (at, should)));
    }

    /// How many bytes are wrong in the file, and known.
    pub(super) fn corrected(&self) -> usize {
        self.known.lock().corrected.len()
    }

    /// Writes the corrected bytes.
    pub(super) fn write_corrected(&self) -> std::io::Result<()> {
        let corrected = self.known.lock().corrected.clone();
        for (&at, &byte) in &corrected {
            self.file.write(at, &[byte])?;
        }
        self.file.sync()
    }

    /// Writes zeros instead of a checksum.
    pub(super) fn clear_checksum(&self, at: u64) -> std::io::Result<()> {
        self.file.write(at, &[0; size_of::<u128>()])?;
        self.file.sync()
    }

    /// Searches for wrong bytes from now on, also in what was given up.
    pub(super) fn repair(&self) {
        let mut known = self.known.lock();
        if !known.mends {
            let corrected = std::mem::take(&mut known.corrected);
            *known = Known { corrected, mends: true, ..Known::default() };
        }
    }

    fn load(&self, root: Root, widths: Widths) -> Option<Loaded> {
        let range = root.page.range();
        let Some(mut bytes) = self.read(range.clone()) else {
            self.known.lock().broken.insert(root.page);
            return None;
        };
        if checksum(&bytes, widths) == Some(root.checksum) {
            return Some(Loaded { bytes, sound: true });
        }
        {
            let mut known = self.known.lock();
            if !known.mends || known.failed_tries >= MOST_TRIES {
                known.broken.insert(root.page);
            }
            if known.broken.contains(&root.page) {
                return Some(Loaded { bytes, sound: false });
            }
        }
        let node = Node::parse(&bytes, widths);
        let most = node.map_or(PAGE, |node| {
            let head = node.head();
            let most = if root.page.is_large() {
                head.min(NOT_THE_VALUE)
            } else {
                node.end().unwrap_or(head).max(head)
            };
            most.max(TYPE_AND_COUNT)
        });
        let before = bytes.clone();
        let fits = |bytes: &[u8]| checksum(bytes, widths) == Some(root.checksum);
        let mended = repair(&mut bytes, most, fits);
        if mended.is_some() {
            self.correct(range.start, &before, &bytes);
        } else {
            let mut known = self.known.lock();
            known.broken.insert(root.page);
            known.failed_tries += 1;
        }
        Some(Loaded { bytes, sound: mended.is_some() })
    }

    /// Calls `each` for every row that can be read, in order. Whether all pages that were looked at are sound.
    pub(super) fn walk(&self, table: &Table, reach: Reach, each: &mut dyn FnMut(&[u8], &[u8])) -> bool {
        let Some(root) = table.root else { return true };
        let mut walk =
            Walk { pages: self, widths: table.widths, reach, left: self.len / PAGE as u64, sound: true };
        walk.down(root, 0, each);
        walk.sound
    }

    /// Finds a row, whatever is wrong on the way. `led`: no page of this tree was used for anything else since, so what it
    /// leads to is there.
    pub(super) fn find(&self, table: &Table, wanted: &dyn Wanted, led: bool) -> Option<Hit> {
        let mut left = self.len / PAGE as u64;
        self.search(table.root?, table.widths, wanted, 0, led, &mut left)
    }

    /// `led`: a sound branch says that it is here or nowhere.
    fn search(
        &self,
        root: Root,
        widths: Widths,
        wanted: &dyn Wanted,
        depth: usize,
        led: bool,
        left: &mut u64,
    ) -> Option<Hit> {
        *left = left.checked_sub(1).filter(|_| depth < DEEPEST)?;
        if root.page.is_large() && wanted.alone().is_some() {
            return self.search_alone(root.page, widths, wanted, led);
        }
        let Loaded { bytes, sound } = self.load(root, widths)?;
        match Node::parse(&bytes, widths)? {
            Node::Leaf(leaf) => {
                let pair =
                    (0..leaf.pairs()).find(|&pair| leaf.key(pair).is_some_and(|key| wanted.is(key)))?;
                let value = leaf.value_range(pair).filter(|value| value.end <= bytes.len())?;
                Some(Hit { page: root.page, value })
            }
            Node::Branch(branch) if sound => {
                let child = branch.child_of(|key| wanted.is_after(key))?;
                self.search(child, widths, wanted, depth + 1, led, left)
            }
            Node::Branch(branch) => branch
                .children()
                .flatten()
                .find_map(|child| self.search(child, widths, wanted, depth + 1, false, left)),
        }
    }

    /// Whether a large page says that it is a leaf with one value, which fills it as far as chunks do (`chunk`).
    fn has_sound_head(&self, root: Root, widths: Widths) -> bool {
        let range = root.page.range();
        let head = self.read(range.start..range.start + PAGE as u64);
        let Some(Node::Leaf(leaf)) = head.as_ref().and_then(|head| Node::parse(head, widths)) else {
            return false;
        };
        let value = leaf.value_range(0).filter(|_| leaf.pairs() == 1);
        value.is_some_and(|value| {
            let end = value.end as u64;
            let len = range.end - range.start;
            let least = len - len / 8 - NOT_THE_VALUE as u64;
            value.start == leaf.key_section() && range.end <= self.len && (least..=len).contains(&end)
        })
    }

    /// In a large page only the head is looked at; where it is lost, what must be there is believed to be there.
    fn search_alone(&self, page: PageNumber, widths: Widths, wanted: &dyn Wanted, led: bool) -> Option<Hit> {
        let range = page.range();
        let len = usize::try_from(range.end - range.start).ok()?;
        let head = self.read(range.start..range.start + PAGE as u64);
        let found = head.as_ref().and_then(|head| match Node::parse(head, widths)? {
            Node::Leaf(leaf) => {
                let pair =
                    (0..leaf.pairs()).find(|&pair| leaf.key(pair).is_some_and(|key| wanted.is(key)))?;
                leaf.value_range(pair)
            }
            Node::Branch(_) => None,
        });
        let alone = wanted.alone();
        let has_its_length =
            |found: &Range<usize>| alone.as_ref().is_none_or(|alone| alone.len() == found.len());
        let value = found.filter(has_its_length).or(alone.clone().filter(|_| led))?;
        (value.end <= len).then_some(Hit { page, value })
    }

    /// Part of a value that was found.
    pub(super) fn value(&self, hit: &Hit, part: Range<usize>) -> Option<Vec<u8>> {
        let start = hit.page.range().start + hit.value.start as u64;
        self.read(start + part.start as u64..start + part.end as u64)
    }
}

struct Walk<'a> {
    pages: &'a Pages,
    widths: Widths,
    reach: Reach,
    /// Pages that may still be looked at: damaged pages may lead in circles.
    left: u64,
    sound: bool,
}

impl Walk<'_> {
    fn down(&mut self, root: Root, depth: usize, each: &mut dyn FnMut(&[u8], &[u8])) {
        if self.reach == Reach::Heads && root.page.is_large() && self.pages.has_sound_head(root, self.widths)
        {
            return;
        }
        let loaded = self.left.checked_sub(1).filter(|_| depth < DEEPEST).and_then(|left| {
            self.left = left;
            self.pages.load(root, self.widths)
        });
        self.sound &= loaded.as_ref().is_some_and(|loaded| loaded.sound);
        let Some(Loaded { bytes, sound }) = loaded else { return };
        match Node::parse(&bytes, self.widths) {
            Some(Node::Leaf(_)) if !sound && self.reach == Reach::SoundLeaves => (),
            Some(Node::Leaf(leaf)) => leaf.rows().for_each(|(key, value)| each(key, value)),
            Some(Node::Branch(branch)) => {
                for child in branch.children() {
                    let Some(child) = child else {
                        self.sound = false;
                        continue;
                    };
                    // All leaves are equally deep: one says what the others are.
                    if self.reach == Reach::Branches && sound && self.is_leaf(child) {
                        return;
                    }
                    self.down(child, depth + 1, each);
                }
            }
            None => (),
        }
    }

    fn is_leaf(&self, child: Root) -> bool {
        let loaded = || self.pages.load(child, self.widths);
        child.page.is_large()
            || loaded().is_some_and(|Loaded { bytes, sound }| {
                sound && matches!(Node::parse(&bytes, self.widths), Some(Node::Leaf(_)))
            })
    }
}
