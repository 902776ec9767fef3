//! The write-ahead log: one file in which small commits become durable with one write and one fsync, until a
//! transaction of the journal takes them over and the log begins anew. What a record holds is the operations of a commit
//! as they are; what they come down to is folded elsewhere.
//!
//! A record begins at a block of its own, so that what is durable is never written again, and carries the next
//! sequence number. What the journal has taken over is told by a number in the journal, not by the log: records up to it
//! are old, whatever they hold. A random salt marks the records of a process: without it, what a client published could
//! be taken for a record, where a crash left it at the right place.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::damage::Damage;
use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::log_record;
use crate::model::op::{CatalogOp, Op};

pub(super) const LOG: &str = "write-ahead.log";

/// Records begin at multiples of this many bytes.
const BLOCK: usize = 4096;
/// Before the operations of a record: magic, length, sequence number, salt, checksum of all but the magic and itself.
const HEADER_LEN: usize = 28;
const CHECKSUM: Range<usize> = 24..28;
const MAGIC: [u8; 4] = *b"LVRT";
/// Commits whose record would be longer than this go to the journal at once: it writes them as cheaply, and only once.
const MOST_LOGGED: usize = 1 << 20;

/// The operations of one commit, read back.
#[derive(Clone, Debug, Default)]
pub(super) struct Logged {
    pub(super) ops: Vec<Op>,
    pub(super) catalog: Vec<CatalogOp>,
}

/// What a log holds beyond what the journal has taken over.
#[derive(Clone, Debug, Default)]
pub(super) struct Replay {
    pub(super) commits: Vec<Logged>,
    /// The newest sequence number, or that of the journal where there is nothing new.
    pub(super) last: u64,
    /// Commits that were durable and cannot be read any more.
    pub(super) damaged: u64,
}

impl Replay {
    /// What is gone of it, if anything is.
    pub(super) fn lost(&self) -> Option<Damage> {
        let why = "their records cannot be read".to_owned();
        (self.damaged > 0).then_some(Damage::LogCommits { lost: self.damaged, why })
    }
}

#[derive(Debug)]
pub(super) struct Log {
    file: Arc<dyn DiskFile>,
    capacity: u64,
    /// Where the next record begins.
    end: u64,
    /// The sequence number of the last record, and of the last one that the journal has taken over.
    last: u64,
    taken_over: u64,
    salt: u64,
    buffer: Vec<u8>,
}

impl Log {
    /// Opens the log of a directory whose journal has taken over all up to `taken_over`, and reads what is beyond it.
    /// Nothing may be appended before the journal has that too.
    pub(super) fn open(
        disk: &dyn Disk,
        capacity: u64,
        taken_over: u64,
        salt: u64,
    ) -> Result<(Log, Replay), StoreError> {
        let replay = replay(disk, taken_over, salt)?;
        let file = if disk.list()?.iter().any(|name| name == LOG) {
            disk.open(LOG)?
        } else {
            let file = disk.create(LOG)?;
            disk.sync()?;
            file
        };
        let log = Log { file, capacity, end: 0, last: replay.last, taken_over, salt, buffer: Vec::new() };
        Ok((log, replay))
    }

    /// Makes a commit durable. False, and nothing written, where it is too large or there is no room left: the
    /// journal has to take it.
    pub(super) fn append(&mut self, ops: &[Op], catalog: &[CatalogOp]) -> Result<bool, StoreError> {
        let room = usize::try_from(self.capacity - self.end).unwrap_or(usize::MAX).min(MOST_LOGGED);
        self.buffer.clear();
        self.buffer.resize(HEADER_LEN, 0);
        let fits = log_record::encode(&mut self.buffer, room, ops, catalog);
        let len = self.buffer.len();
        if !fits || len.next_multiple_of(BLOCK) > room {
            return Ok(false);
        }
        if len == HEADER_LEN {
            return Ok(true);
        }
        let sequence = self.last + 1;
        self.buffer[4..8].copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        self.buffer[8..16].copy_from_slice(&sequence.to_le_bytes());
        self.buffer[16..24].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = checksum(&self.buffer);
        self.buffer[CHECKSUM].copy_from_slice(&checksum);
        self.buffer[..4].copy_from_slice(&MAGIC);
        self.buffer.resize(len.next_multiple_of(BLOCK), 0);
        self.file.write(self.end, &self.buffer)?;
        self.file.sync()?;
        self.end += self.buffer.len() as u64;
        self.last = sequence;
        Ok(true)
    }

    /// Whether the journal has taken over all there is.
    pub(super) fn is_empty(&self) -> bool {
        self.last == self.taken_over
    }

    /// What marks the records that the journal has not taken over.
    pub(super) fn salt(&self) -> u64 {
        self.salt
    }

    /// Marks what comes from now on. The log must be empty, and nothing come before the journal knows the salt.
    pub(super) fn set_salt(&mut self, salt: u64) {
        debug_assert!(self.is_empty(), "what is there could not be read any more");
        self.salt = salt;
    }

    /// The sequence number of the last record.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// That of the last record which the journal has taken over.
    pub(super) fn taken_over(&self) -> u64 {
        self.taken_over
    }

    /// Begins anew: the journal has taken over all up to [`Log::last`].
    pub(super) fn restart(&mut self) {
        self.end = 0;
        self.taken_over = self.last;
    }
}

/// Reads what a log holds under this salt beyond the sequence number `taken_over`.
pub(super) fn replay(disk: &dyn Disk, taken_over: u64, salt: u64) -> Result<Replay, StoreError> {
    let mut replay = Replay { last: taken_over, ..Replay::default() };
    if !disk.list()?.iter().any(|name| name == LOG) {
        return Ok(replay);
    }
    let file = disk.open(LOG)?;
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    file.read(0, &mut bytes)?;
    let mut rest = Bytes::from(bytes);
    // A commit is written only when the one before it is durable. So where a record is newer than the one that should
    // come next, that one was durable, and is lost; otherwise what cannot be read was never confirmed.
    while !rest.is_empty() {
        let newer = record(&rest, salt).filter(|(sequence, _)| *sequence > replay.last);
        let Some((sequence, payload)) = newer else {
            rest = rest.split_off(BLOCK.min(rest.len()));
            continue;
        };
        replay.damaged += sequence - replay.last - 1;
        replay.last = sequence;
        rest = rest.split_off((HEADER_LEN + payload.len()).next_multiple_of(BLOCK).min(rest.len()));
        match log_record::decode(payload) {
            Some(commit) => replay.commits.push(commit),
            None => replay.damaged += 1,
        }
    }
    Ok(replay)
}

/// The sequence number and the operations of the record that begins here, where it is whole.
fn record(bytes: &Bytes, salt: u64) -> Option<(u64, Bytes)> {
    let mut header = bytes.get(..HEADER_LEN)?;
    let mut magic = [0; MAGIC.len()];
    header.copy_to_slice(&mut magic);
    let (len, sequence) = (header.get_u32_le() as usize, header.get_u64_le());
    if magic != MAGIC || header.get_u64_le() != salt || len < HEADER_LEN || len > bytes.len() {
        return None;
    }
    (checksum(&bytes[..len]) == bytes[CHECKSUM]).then(|| (sequence, bytes.slice(HEADER_LEN..len)))
}

/// Of a record from its length on, but for the checksum itself.
fn checksum(record: &[u8]) -> [u8; 4] {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&record[MAGIC.len()..CHECKSUM.start]);
    checksum.update(&record[HEADER_LEN..]);
    checksum.finalize().to_le_bytes()
}
