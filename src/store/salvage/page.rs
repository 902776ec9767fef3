//! redb's pages as they lie in a file (file format 3, as redb describes it): where a page is, what a leaf and a branch
//! say. No byte of them is believed: whatever does not add up is None. Where pages come from is not known here.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

pub(super) const PAGE: usize = 4096;
/// The largest page that is read: chunks fill at most 1 MiB, other rows stay far below this.
const LARGEST_ORDER: u32 = 12;
/// Pages of a region (4 GiB). Since file format 3 regions have no header.
pub(super) const REGION_PAGES: u32 = 1 << 20;

const LEAF: u8 = 1;
const BRANCH: u8 = 2;
const CHECKSUM_LEN: usize = 16;
const NUMBER_LEN: usize = 8;
const END_LEN: usize = 4;

/// A page's number: its order (it is 2^order pages of 4096 bytes), its region, its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PageNumber {
    region: u32,
    index: u32,
    order: u32,
}

impl PageNumber {
    fn read(bytes: [u8; NUMBER_LEN]) -> Option<PageNumber> {
        let number = u64::from_le_bytes(bytes);
        let order = u32::try_from(number >> 59).ok().filter(|&order| order <= LARGEST_ORDER)?;
        let index = u32::try_from(number & (0xf_ffff >> order)).ok()?;
        Some(PageNumber { region: u32::try_from((number >> 20) & 0xf_ffff).ok()?, index, order })
    }

    /// The page of `len` bytes that begins here; None where none could.
    pub(super) fn at(start: u64, len: u64) -> Option<PageNumber> {
        let order = (len / PAGE as u64).checked_ilog2().filter(|&order| order <= LARGEST_ORDER)?;
        let page = (start / PAGE as u64).checked_sub(1)?;
        let within = page % u64::from(REGION_PAGES);
        let region = u32::try_from(page / u64::from(REGION_PAGES)).ok()?;
        let index = u32::try_from(within >> order).ok()?;
        (within.is_multiple_of(1 << order) && len == (PAGE as u64) << order).then_some(PageNumber {
            region,
            index,
            order,
        })
    }

    /// Whether it is larger than the smallest page. Only a leaf is, and it has few pairs.
    pub(super) fn is_large(self) -> bool {
        self.order > 0
    }

    /// Where it lies in the file.
    pub(super) fn range(self) -> Range<u64> {
        let page = PAGE as u64;
        let region = u64::from(self.region) * u64::from(REGION_PAGES);
        let first = 1 + region + (u64::from(self.index) << self.order);
        first * page..(first + (1 << self.order)) * page
    }
}

/// The pages in a row of one of redb's lists of pages: a count, then their numbers. None for what is none.
pub(super) fn listed(row: &[u8]) -> impl Iterator<Item = Option<PageNumber>> + '_ {
    let count = row.first_chunk().map_or(0, |count| usize::from(u16::from_le_bytes(*count)));
    (0..count).map(move |at| PageNumber::read(*row.get(2 + NUMBER_LEN * at..)?.first_chunk()?))
}

/// A page, and the checksum of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) page: PageNumber,
    pub(super) checksum: u128,
}

impl Root {
    /// Reads it from a commit slot or a table's definition.
    pub(super) fn read(bytes: &[u8]) -> Option<Root> {
        let (page, rest) = bytes.split_first_chunk()?;
        let checksum = u128::from_le_bytes(*rest.first_chunk()?);
        Some(Root { page: PageNumber::read(*page)?, checksum })
    }
}

/// How many bytes each key and each value of a table has, where all have as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Widths {
    pub(super) key: Option<usize>,
    pub(super) value: Option<usize>,
}

/// A page as what it says it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'a> {
    Leaf(Leaf<'a>),
    Branch(Branch<'a>),
}

impl<'a> Node<'a> {
    pub(super) fn parse(bytes: &'a [u8], widths: Widths) -> Option<Node<'a>> {
        let count = usize::from(u16::from_le_bytes([*bytes.get(2)?, *bytes.get(3)?]));
        match (bytes[0], count) {
            (LEAF, 1..) => Some(Node::Leaf(Leaf { bytes, pairs: count, widths })),
            (BRANCH, 1..) => Some(Node::Branch(Branch { bytes, keys: count, key_width: widths.key })),
            _ => None,
        }
    }

    /// Bytes of the page that its checksum is made of.
    pub(super) fn end(&self) -> Option<usize> {
        match self {
            Node::Leaf(leaf) => leaf.value_end(leaf.pairs - 1),
            Node::Branch(branch) => branch.key_end(branch.keys - 1),
        }
    }

    /// Bytes before the values of a leaf, and all of a branch: what a reader finds its way with.
    pub(super) fn head(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.key_end(leaf.pairs - 1).unwrap_or(leaf.keys_start()),
            Node::Branch(branch) => branch.key_end(branch.keys - 1).unwrap_or(branch.keys_start()),
        }
    }
}

/// The checksum of a page; None where it is none.
pub(super) fn checksum(bytes: &[u8], widths: Widths) -> Option<u128> {
    let end = Node::parse(bytes, widths)?.end()?;
    bytes.get(..end).map(xxh3_128)
}

/// Keys with their values, in order. Only the head of the page has to be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf<'a> {
    bytes: &'a [u8],
    pairs: usize,
    widths: Widths,
}

impl<'a> Leaf<'a> {
    pub(super) fn pairs(&self) -> usize {
        self.pairs
    }

    fn keys_start(&self) -> usize {
        let ends = usize::from(self.widths.key.is_none()) + usize::from(self.widths.value.is_none());
        4 + ends * END_LEN * self.pairs
    }

    /// Where the keys end and the values begin.
    pub(super) fn key_section(&self) -> usize {
        self.key_end(self.pairs - 1).unwrap_or(usize::MAX)
    }

    fn key_end(&self, pair: usize) -> Option<usize> {
        match self.widths.key {
            Some(width) => Some(self.keys_start() + width * (pair + 1)),
            None => read_u32(self.bytes, 4 + END_LEN * pair),
        }
    }

    fn value_end(&self, pair: usize) -> Option<usize> {
        match self.widths.value {
            Some(width) => Some(self.key_end(self.pairs - 1)? + width * (pair + 1)),
            None => {
                let before = if self.widths.key.is_none() { self.pairs } else { 0 };
                read_u32(self.bytes, 4 + END_LEN * (before + pair))
            }
        }
    }

    pub(super) fn key(&self, pair: usize) -> Option<&'a [u8]> {
        let start = match pair.checked_sub(1) {
            Some(before) => self.key_end(before)?,
            None => self.keys_start(),
        };
        self.bytes.get(start..self.key_end(pair)?)
    }

    /// Where a value lies in the page; it may reach beyond the bytes that are there.
    pub(super) fn value_range(&self, pair: usize) -> Option<Range<usize>> {
        let start = match pair.checked_sub(1) {
            Some(before) => self.value_end(before)?,
            None => self.key_end(self.pairs - 1)?,
        };
        let end = self.value_end(pair)?;
        (start <= end).then_some(start..end)
    }

    /// The pairs that are there.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + '_ {
        (0..self.pairs).filter_map(|pair| Some((self.key(pair)?, self.bytes.get(self.value_range(pair)?)?)))
    }
}

/// Pages with the checksums of what is in them, and between each two of them a key: not below any key of the page before
/// it, and below all of the one behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch<'a> {
    bytes: &'a [u8],
    keys: usize,
    key_width: Option<usize>,
}

impl<'a> Branch<'a> {
    pub(super) fn children(&self) -> impl Iterator<Item = Option<Root>> + '_ {
        (0..=self.keys).map(|child| self.child(child))
    }

    pub(super) fn child(&self, child: usize) -> Option<Root> {
        let checksum_at = 8 + CHECKSUM_LEN * child;
        let number_at = 8 + CHECKSUM_LEN * (self.keys + 1) + NUMBER_LEN * child;
        let checksum = u128::from_le_bytes(*self.bytes.get(checksum_at..)?.first_chunk()?);
        let page = PageNumber::read(*self.bytes.get(number_at..)?.first_chunk()?)?;
        Some(Root { page, checksum })
    }

    fn keys_start(&self) -> usize {
        let ends = if self.key_width.is_none() { END_LEN * self.keys } else { 0 };
        8 + (CHECKSUM_LEN + NUMBER_LEN) * (self.keys + 1) + ends
    }

    fn key_end(&self, key: usize) -> Option<usize> {
        match self.key_width {
            Some(width) => Some(self.keys_start() + width * (key + 1)),
            None => read_u32(self.bytes, 8 + (CHECKSUM_LEN + NUMBER_LEN) * (self.keys + 1) + END_LEN * key),
        }
    }

    fn key(&self, key: usize) -> Option<&'a [u8]> {
        let start = match key.checked_sub(1) {
            Some(before) => self.key_end(before)?,
            None => self.keys_start(),
        };
        self.bytes.get(start..self.key_end(key)?)
    }

    /// The child in which a key is, where the keys between the children are `below` it or not.
    pub(super) fn child_of(&self, mut below: impl FnMut(&[u8]) -> bool) -> Option<Root> {
        let (mut from, mut to) = (0, self.keys);
        while from < to {
            let middle = from.midpoint(to);
            if below(self.key(middle)?) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        self.child(from)
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Option<usize> {
    let number = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    usize::try_from(number).ok()
}
