//! The head of a redb file: its constants, and the two commit slots, of which the newer says where the trees begin. What
//! can be known is put right; which pages the slots lead to is not looked at here.

use xxhash_rust::xxh3::xxh3_128;

use super::page::{PAGE, REGION_PAGES, Root};
use super::repair::repair;

/// Bytes of the head.
pub(super) const HEADER_LEN: usize = 320;
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
const FLAGS: usize = MAGIC.len();
const PRIMARY: u8 = 1;
const UNCLEAN: u8 = 2;
const TWO_PHASE: u8 = 4;
/// Padding, page size, header pages of a region, pages of a region: what every file of this store has there.
const CONSTANTS: usize = FLAGS + 1;
const COUNTS: usize = 24;
const SLOTS: [usize; 2] = [64, 192];
const SLOT_LEN: usize = 128;
const SLOT_CHECKSUM: usize = 112;
const USER_ROOT: usize = 8;
const SYSTEM_ROOT: usize = 40;
const TRANSACTION: usize = 104;

/// What a commit left: the trees of the tables, and of redb's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitSlot {
    pub(super) user: Option<Root>,
    pub(super) system: Option<Root>,
    transaction: u64,
    /// Where in the file its checksum lies.
    pub(super) checksum_at: u64,
}

/// The head of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The file was not closed. Closing ends with a commit in two phases; a repair that the power cut through may have
    /// cleared the flag.
    pub(super) unclean: bool,
    /// The newest commit was whole before anything said that it is the newest: there is no going back behind it.
    pub(super) two_phase: bool,
    pub(super) newest: Option<CommitSlot>,
    pub(super) before: Option<CommitSlot>,
}

impl Header {
    /// Reads the head of a file of `len` bytes and corrects in `bytes` what cannot be otherwise.
    pub(super) fn read(bytes: &mut [u8; HEADER_LEN], len: u64) -> Header {
        bytes[..FLAGS].copy_from_slice(&MAGIC);
        bytes[FLAGS] &= PRIMARY | UNCLEAN | TWO_PHASE;
        bytes[CONSTANTS..COUNTS].copy_from_slice(&constants());
        let two_phase = bytes[FLAGS] & TWO_PHASE != 0;
        let unclean = bytes[FLAGS] & UNCLEAN != 0 || !two_phase;
        if !unclean && let Some(counts) = counts(len) {
            bytes[COUNTS..COUNTS + counts.len()].copy_from_slice(&counts);
        }
        let slots = SLOTS.map(|at| CommitSlot::read(&mut bytes[at..at + SLOT_LEN], at));
        let primary = usize::from(bytes[FLAGS] & PRIMARY);
        let [first, second] = [slots[primary], slots[primary ^ 1]];
        let swap = match (first, second) {
            (Some(first), Some(second)) => !two_phase && second.transaction > first.transaction,
            (first, _) => first.is_none(),
        };
        let (newest, before) = if swap { (second, first) } else { (first, second) };
        Header { unclean, two_phase, newest, before }
    }
}

fn constants() -> [u8; COUNTS - CONSTANTS] {
    let mut constants = [0; COUNTS - CONSTANTS];
    let page = u32::try_from(PAGE).unwrap_or(u32::MAX);
    constants[2..6].copy_from_slice(&page.to_le_bytes());
    constants[10..].copy_from_slice(&REGION_PAGES.to_le_bytes());
    constants
}

/// How many full regions and further pages a file of this length has.
fn counts(len: u64) -> Option<[u8; 8]> {
    let pages = (len / PAGE as u64).checked_sub(1).filter(|_| len.is_multiple_of(PAGE as u64))?;
    let full = u32::try_from(pages / u64::from(REGION_PAGES)).ok()?;
    let rest = u32::try_from(pages % u64::from(REGION_PAGES)).ok()?;
    let mut counts = [0; 8];
    counts[..4].copy_from_slice(&full.to_le_bytes());
    counts[4..].copy_from_slice(&rest.to_le_bytes());
    Some(counts)
}

impl CommitSlot {
    /// None where its checksum does not fit, whatever byte is changed.
    fn read(bytes: &mut [u8], at: usize) -> Option<CommitSlot> {
        let fits = |bytes: &[u8]| xxh3_128(&bytes[..SLOT_CHECKSUM]).to_le_bytes() == bytes[SLOT_CHECKSUM..];
        if !fits(bytes) {
            repair(bytes, SLOT_LEN, fits)?;
        }
        let root = |there: usize, at: usize| (bytes[there] != 0).then(|| Root::read(&bytes[at..])).flatten();
        let transaction = u64::from_le_bytes(*bytes[TRANSACTION..].first_chunk()?);
        let checksum_at = (at + SLOT_CHECKSUM) as u64;
        Some(CommitSlot { user: root(1, USER_ROOT), system: root(2, SYSTEM_ROOT), transaction, checksum_at })
    }
}
