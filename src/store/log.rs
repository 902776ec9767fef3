//! The write-ahead log: one file in which small commits become durable with one write and one fsync, until a
//! transaction of the journal takes them over and the log begins anew. What a record holds is the operations of a commit
//! as they are; what they come down to is folded elsewhere.
//!
//! A record begins at a block of its own, so that what is durable is never written again, and carries the next
//! sequence number. Commits that go to the journal at once have one too, so that none can be missing unnoticed. What
//! was flushed to the journal is told by a number in the journal, not by the log: records up to it are old, whatever
//! they hold. They are left as long as there is room: a journal that lost its last transaction is repaired from them. A
//! random salt marks the records of a process: without it, what a client published could be taken for a record, where a
//! crash left it at the right place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes};

use super::Activity;
use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::format::LOG;
use super::high_water::{HighWaterFile, HighWaterMark, Sequence};
use super::log_record;
use crate::model::counters::{DISK_BOUNDS, DiskTimes};
use crate::model::op::{CatalogOp, Op};

/// Records begin at multiples of this many bytes.
const BLOCK: usize = 4096;
/// Before the operations of a record: magic, length, sequence number, salt, checksum of all but the magic and itself.
const HEADER_LEN: usize = 28;
const CHECKSUM: Range<usize> = 24..28;
const MAGIC: [u8; 4] = *b"LVRT";
/// Commits whose record would be longer than this go to the journal at once: it writes them as cheaply, and only once.
const MOST_LOGGED: usize = 1 << 20;
/// How much of the file is read at a time; a longer record is read as a whole.
const WINDOW: usize = 256 << 10;
/// What was flushed is written over once it takes more than one part in so many of the file.
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

/// What a log holds beyond what was flushed to the journal.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    /// What the journal says: the last commit that was flushed to it, and what marks those that were not.
    pub(super) flushed: u64,
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
    high_water_file: HighWaterFile,
    capacity: u64,
    /// Bytes of the file.
    len: u64,
    /// Where the next record begins.
    end: u64,
    /// The sequence number of the last commit, and of the last one that was flushed to the journal.
    last: u64,
    flushed: u64,
    salt: u64,
    /// Records may say that messages wait: the journal says that it is of a version that reads that.
    takes_waits: bool,
    buffer: Vec<u8>,
    fsync_times: DiskTimes,
}

impl Log {
    /// Goes on with the log of a directory that was read. Nothing may be appended before the journal has taken that over
    /// too. `last` is the number of the last commit there ever was.
    pub(super) fn open(
        disk: &dyn Disk,
        capacity: u64,
        replay: &Replay,
        high_water: HighWaterMark,
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
        let (high_water_file, buffer) = (HighWaterFile::open(disk, high_water)?, Vec::new());
        let Replay { flushed, salt, .. } = *replay;
        let fsync_times = DiskTimes::default();
        Ok(Log {
            file,
            high_water_file,
            capacity,
            len,
            end: 0,
            last,
            flushed,
            salt,
            takes_waits: false,
            buffer,
            fsync_times,
        })
    }

    /// Makes a commit durable. False, and nothing written, where it is too large, there is no room left, or it says what the
    /// journal has to say first: the journal has to take it, under the number that is [`Log::last`] now.
    pub(super) fn append(&mut self, ops: &[Op], catalog: &[CatalogOp]) -> Result<bool, StoreError> {
        let room = usize::try_from(self.capacity - self.end).unwrap_or(usize::MAX).min(MOST_LOGGED);
        self.buffer.clear();
        self.buffer.resize(HEADER_LEN, 0);
        let takes_waits = self.takes_waits;
        let fits = log_record::encode(&mut self.buffer, room, takes_waits, ops, catalog);
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
        let began = Instant::now();
        self.file.sync()?;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.fsync_times.add(&DISK_BOUNDS, micros);
        self.end += self.buffer.len() as u64;
        self.last = sequence;
        self.write_high_water()?;
        Ok(true)
    }

    pub(super) fn activity(&self) -> Activity {
        Activity { fsync_times: self.fsync_times, log_bytes: self.end }
    }

    /// Whether records may say that messages wait.
    pub(super) fn takes_waits(&self) -> bool {
        self.takes_waits
    }

    /// They may from now on.
    pub(super) fn take_waits(&mut self) {
        self.takes_waits = true;
    }

    /// Whether all there is was flushed to the journal.
    pub(super) fn is_empty(&self) -> bool {
        self.last == self.flushed
    }

    /// What marks the records that were not flushed to the journal.
    pub(super) fn salt(&self) -> u64 {
        self.salt
    }

    /// Marks what comes from now on. The log must be empty, and nothing come before the journal knows the salt.
    pub(super) fn set_salt(&mut self, salt: u64) {
        assert!(self.is_empty(), "what is there could not be read any more");
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

    /// That of the last commit which was flushed to the journal.
    pub(super) fn flushed(&self) -> u64 {
        self.flushed
    }

    /// Begins anew: the journal has all up to [`Log::last`].
    pub(super) fn restart(&mut self) -> Result<(), StoreError> {
        if self.end > self.capacity / LEFT_ALONE {
            self.end = 0;
        }
        if self.flushed != self.last {
            self.flushed = self.last;
            self.write_high_water()?;
        }
        Ok(())
    }

    /// Says how far things have come, once it is true.
    pub(super) fn write_high_water(&mut self) -> Result<(), StoreError> {
        Ok(self.high_water_file.note(Sequence { durable: self.last, flushed: self.flushed })?)
    }
}

impl Replay {
    /// Nothing beyond what was flushed.
    pub(super) fn nothing(found: Found) -> Replay {
        let (commits, gaps) = (Vec::new(), Vec::new());
        Replay { flushed: 0, salt: 0, commits, last: 0, gaps, found, end: 0 }
    }
}

/// Reads what a log holds under this salt beyond the sequence number `flushed`.
pub(super) fn replay(disk: &dyn Disk, flushed: u64, salt: u64) -> Result<Replay, StoreError> {
    let mut replay = Replay { flushed, salt, last: flushed, ..Replay::nothing(Found::Missing) };
    if !disk.list()?.iter().any(|name| name == LOG) {
        return Ok(replay);
    }
    let file = disk.open(LOG)?;
    let len = file.len()?;
    replay.found = Found::There(len);
    // A commit is written only when the one before it is durable. So where a record is newer than the one that should
    // come next, that one was durable, and is lost; otherwise what cannot be read was never confirmed.
    for (sequence, (payload, end)) in newer_records(&*file, len, flushed, salt) {
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

/// By sequence number, the operations of all whole records beyond `flushed`, and where each ends.
fn newer_records(file: &dyn DiskFile, len: u64, flushed: u64, salt: u64) -> BTreeMap<u64, (Bytes, u64)> {
    let mut reader = LogReader { file, len, window: Vec::new(), at: 0 };
    let mut records = BTreeMap::new();
    let mut at = 0;
    while at < len {
        let found = reader.record(at, salt).filter(|(sequence, _)| *sequence > flushed);
        at += match found {
            None => BLOCK as u64,
            Some((sequence, payload)) => {
                let whole = (HEADER_LEN + payload.len()).next_multiple_of(BLOCK) as u64;
                records.insert(sequence, (payload, at + whole));
                whole
            }
        };
    }
    records
}

/// Reads a log from its beginning to its end, a window at a time: what is not a record takes no memory, whatever it
/// says of its length.
struct LogReader<'a> {
    file: &'a dyn DiskFile,
    len: u64,
    /// The bytes of the file from `at` on.
    window: Vec<u8>,
    at: u64,
}

impl LogReader<'_> {
    /// The sequence number and the operations of the record that begins here, where it is whole.
    fn record(&mut self, at: u64, salt: u64) -> Option<(u64, Bytes)> {
        let mut header = self.bytes(at, HEADER_LEN)?;
        let mut magic = [0; MAGIC.len()];
        header.copy_to_slice(&mut magic);
        let (len, sequence) = (header.get_u32_le() as usize, header.get_u64_le());
        if magic != MAGIC || header.get_u64_le() != salt || !(HEADER_LEN..=MOST_LOGGED).contains(&len) {
            return None;
        }
        let bytes = self.bytes(at, len)?;
        let is_whole = checksum(bytes) == bytes[CHECKSUM];
        is_whole.then(|| (sequence, Bytes::copy_from_slice(&bytes[HEADER_LEN..])))
    }

    /// So many bytes of the file; None where it ends before. A block that cannot be read is as good as an empty one: what
    /// was in it is missed.
    fn bytes(&mut self, at: u64, len: usize) -> Option<&[u8]> {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        if len > left {
            return None;
        }
        if at < self.at || at + len as u64 > self.at + self.window.len() as u64 {
            self.window.resize(len.max(WINDOW).min(left), 0);
            if self.file.read(at, &mut self.window).is_err() {
                for (at, block) in (at..).step_by(BLOCK).zip(self.window.chunks_mut(BLOCK)) {
                    if self.file.read(at, block).is_err() {
                        block.fill(0);
                    }
                }
            }
            self.at = at;
        }
        let from = usize::try_from(at - self.at).unwrap_or(usize::MAX);
        self.window.get(from..)?.get(..len)
    }
}

/// Of a record from its length on, but for the checksum itself.
fn checksum(record: &[u8]) -> [u8; 4] {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&record[MAGIC.len()..CHECKSUM.start]);
    checksum.update(&record[HEADER_LEN..]);
    checksum.finalize().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::testing::{message, put};
    use super::*;

    /// A file that knows the longest read.
    #[derive(Debug, Default)]
    struct Watched {
        bytes: Vec<u8>,
        longest: AtomicUsize,
    }

    impl DiskFile for Watched {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.longest.fetch_max(out.len(), Ordering::Relaxed);
            let from = usize::try_from(offset).unwrap();
            out.copy_from_slice(&self.bytes[from..from + out.len()]);
            Ok(())
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            unreachable!("it is only read")
        }

        fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
            unreachable!("it is only read")
        }

        fn sync(&self) -> io::Result<()> {
            unreachable!("it is only read")
        }
    }

    const SALT: u64 = 42;

    fn record_of(sequence: u64, body: usize) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        assert!(log_record::encode(
            &mut bytes,
            MOST_LOGGED,
            false,
            &[put(1, sequence, &message(&vec![7; body]))],
            &[]
        ));
        let len = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&len.to_le_bytes());
        bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&SALT.to_le_bytes());
        let checksum = checksum(&bytes);
        bytes[CHECKSUM].copy_from_slice(&checksum);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    /// The sequence numbers that are found, and the longest read.
    fn found(bytes: Vec<u8>) -> (Vec<u64>, usize) {
        let file = Watched { bytes, ..Watched::default() };
        let records = newer_records(&file, file.len().unwrap(), 1, SALT);
        let ends = records.values().map(|(_, end)| *end).collect::<Vec<_>>();
        assert!(ends.is_sorted() && ends.iter().all(|end| end % BLOCK as u64 == 0));
        (records.into_keys().collect(), file.longest.into_inner())
    }

    #[test]
    fn a_log_is_read_a_window_at_a_time_whatever_its_records_say_of_their_length() {
        let sizes = [10, 5_000, 250_000, 100, 300_000, 10, 4_000, 600_000, 10];
        let records: Vec<Vec<u8>> = sizes.iter().zip(1..).map(|(&size, at)| record_of(at, size)).collect();
        let all = (2..=9).collect::<Vec<u64>>();
        let mut log = records.concat();
        log.resize(16 << 20, 0);
        let longest = 600_000 + BLOCK;
        let (read, most) = found(log.clone());
        assert_eq!(read, all);
        assert!(most <= longest, "{most} bytes at once");
        // Where it was cut, in a record and between blocks.
        let whole = records.iter().map(Vec::len).sum::<usize>();
        assert_eq!(found(records.concat()[..whole - BLOCK - 5].to_vec()).0, all[..7]);
        assert_eq!(found(records.concat()[..whole - BLOCK + 5].to_vec()).0, all[..7]);
        // One says that it is as long as can be said.
        let third = records[0].len() + records[1].len();
        for announced in [u32::MAX, 15 << 20, 1 << 20, 5, 0] {
            let mut damaged = log.clone();
            damaged[third + 4..third + 8].copy_from_slice(&announced.to_le_bytes());
            let (read, most) = found(damaged);
            assert_eq!(read, [2, 4, 5, 6, 7, 8, 9], "{announced}");
            assert!(most <= MOST_LOGGED, "{most} bytes at once");
        }
    }
}
