//! The write-ahead log: one file in which small commits become durable with one write and one fsync, until a
//! transaction of the journal takes them over and the log begins anew. What a record holds is the operations of a commit
//! as they are; what they come down to is folded elsewhere.
//!
//! A record begins at a block of its own, so that what is durable is never written again, and carries the next
//! sequence number. Commits that go to the journal at once have one too, so that none can be missing unnoticed. What the
//! journal has taken over is told by a number in the journal, not by the log: records up to it are old, whatever they
//! hold. They are left as long as there is room: a journal that lost its last transaction is repaired from them. A random
//! salt marks the records of a process: without it, what a client published could be taken for a record, where a crash
//! left it at the right place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::log_record;
use super::witness::{Sequence, Testimony, Witness};
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
/// What was taken over is written over once it takes more than one part in so many of the file.
const LEFT_ALONE: u64 = 4;

/// The operations of one commit, read back.
#[derive(Clone, Debug, Default)]
pub(super) struct Logged {
    pub(super) ops: Vec<Op>,
    pub(super) catalog: Vec<CatalogOp>,
}

/// The file as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Missing,
    /// It has this many bytes.
    There(u64),
}

/// What a log holds beyond what the journal has taken over.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    /// What the journal says: the last commit it has taken over, and what marks those it has not.
    pub(super) taken_over: u64,
    pub(super) salt: u64,
    pub(super) commits: Vec<Logged>,
    /// The newest sequence number, or that of the journal where there is nothing new.
    pub(super) last: u64,
    /// The first and the last number of each gap: commits that were durable, for there is a later one, and cannot be read
    /// any more.
    pub(super) gaps: Vec<(u64, u64)>,
    pub(super) found: Found,
    /// Where the newest record ends.
    pub(super) end: u64,
}

#[derive(Debug)]
pub(super) struct Log {
    file: Arc<dyn DiskFile>,
    witness: Witness,
    capacity: u64,
    /// Bytes of the file.
    len: u64,
    /// Where the next record begins.
    end: u64,
    /// The sequence number of the last commit, and of the last one that the journal has taken over.
    last: u64,
    taken_over: u64,
    salt: u64,
    buffer: Vec<u8>,
}

impl Log {
    /// Goes on with the log of a directory that was read. Nothing may be appended before the journal has taken that over
    /// too. `last` is the number of the last commit there ever was.
    pub(super) fn open(
        disk: &dyn Disk,
        capacity: u64,
        replay: &Replay,
        testimony: Testimony,
        last: u64,
    ) -> Result<Log, StoreError> {
        let (file, found) = match replay.found {
            Found::There(len) => (disk.open(LOG)?, len),
            Found::Missing => (disk.create(LOG)?, 0),
        };
        // It has its full length from the beginning, so that it is known where it was cut.
        let len = found.max(capacity);
        if found < len {
            file.set_len(len)?;
        }
        if found < len || replay.found == Found::Missing {
            file.sync()?;
            disk.sync()?;
        }
        let (witness, buffer) = (Witness::open(disk, testimony)?, Vec::new());
        let Replay { taken_over, salt, .. } = *replay;
        Ok(Log { file, witness, capacity, len, end: 0, last, taken_over, salt, buffer })
    }

    /// Makes a commit durable. False, and nothing written, where it is too large or there is no room left: the
    /// journal has to take it, under the number that is [`Log::last`] now.
    pub(super) fn append(&mut self, ops: &[Op], catalog: &[CatalogOp]) -> Result<bool, StoreError> {
        let room = usize::try_from(self.capacity - self.end).unwrap_or(usize::MAX).min(MOST_LOGGED);
        self.buffer.clear();
        self.buffer.resize(HEADER_LEN, 0);
        let fits = log_record::encode(&mut self.buffer, room, ops, catalog);
        let len = self.buffer.len();
        let sequence = self.last + 1;
        if !fits || len.next_multiple_of(BLOCK) > room {
            self.last = sequence;
            return Ok(false);
        }
        if len == HEADER_LEN {
            return Ok(true);
        }
        let stated = u32::try_from(len).map_err(|_| StoreError::MessageTooLarge(len as u64))?;
        self.buffer[4..8].copy_from_slice(&stated.to_le_bytes());
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
        self.bear_witness()?;
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

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The sequence number of the last commit.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// That of the last commit which the journal has taken over.
    pub(super) fn taken_over(&self) -> u64 {
        self.taken_over
    }

    /// Begins anew: the journal has taken over all up to [`Log::last`].
    pub(super) fn restart(&mut self) -> Result<(), StoreError> {
        if self.end > self.capacity / LEFT_ALONE {
            self.end = 0;
        }
        if self.taken_over != self.last {
            self.taken_over = self.last;
            self.bear_witness()?;
        }
        Ok(())
    }

    /// Says how far things have come, once it is true.
    pub(super) fn bear_witness(&mut self) -> Result<(), StoreError> {
        Ok(self.witness.note(Sequence { durable: self.last, taken_over: self.taken_over })?)
    }
}

impl Replay {
    /// Nothing beyond what was taken over.
    pub(super) fn nothing(found: Found) -> Replay {
        let (commits, gaps) = (Vec::new(), Vec::new());
        Replay { taken_over: 0, salt: 0, commits, last: 0, gaps, found, end: 0 }
    }
}

/// Reads what a log holds under this salt beyond the sequence number `taken_over`.
pub(super) fn replay(disk: &dyn Disk, taken_over: u64, salt: u64) -> Result<Replay, StoreError> {
    let mut replay = Replay { taken_over, salt, last: taken_over, ..Replay::nothing(Found::Missing) };
    if !disk.list()?.iter().any(|name| name == LOG) {
        return Ok(replay);
    }
    let file = disk.open(LOG)?;
    let len = file.len()?;
    replay.found = Found::There(len);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    file.read(0, &mut bytes)?;
    let mut rest = Bytes::from(bytes);
    let mut records = BTreeMap::new();
    let mut at = 0;
    while !rest.is_empty() {
        let found = record(&rest, salt).filter(|(sequence, _)| *sequence > taken_over);
        let skipped = match found {
            None => BLOCK,
            Some((sequence, payload)) => {
                let whole = (HEADER_LEN + payload.len()).next_multiple_of(BLOCK);
                records.insert(sequence, (payload, at + whole as u64));
                whole
            }
        };
        rest = rest.split_off(skipped.min(rest.len()));
        at += skipped as u64;
    }
    // A commit is written only when the one before it is durable. So where a record is newer than the one that should
    // come next, that one was durable, and is lost; otherwise what cannot be read was never confirmed.
    for (sequence, (payload, end)) in records {
        let commit = log_record::decode(payload);
        let first_lost = replay.last + 1;
        let last_lost = if commit.is_some() { sequence - 1 } else { sequence };
        if first_lost <= last_lost {
            replay.gaps.push((first_lost, last_lost));
        }
        replay.commits.extend(commit);
        (replay.last, replay.end) = (sequence, end);
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
