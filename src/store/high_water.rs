//! The high-water mark of commits: a small file that says which commit was durable last, and up to which one all was
//! flushed to the journal. It is written after each sync of the log or the journal and never synced itself: after a
//! kill it is exact, after a power cut it may say less, and what it says was true in any case. So a log or a journal
//! that was removed, cut or put back as it was before is noticed, and a torn record that nobody was told of is no loss.
//! What follows from it is decided elsewhere.
//!
//! Two slots are written in turn, each with a checksum and in a sector of its own.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::wire;

pub(super) const HIGH_WATER: &str = "sequence";

/// Bytes from one slot to the other.
const SLOT: u64 = 512;
const LEN: usize = 20;

/// What was durable, as numbers of commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sequence {
    /// The last commit.
    pub(super) durable: u64,
    /// The last one that was in the journal.
    pub(super) flushed: u64,
}

/// What a directory's high-water mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HighWaterMark {
    Missing,
    /// One slot or both cannot be read: it says this at least.
    Damaged(Sequence),
    Sound(Sequence),
}

impl HighWaterMark {
    /// What is certain.
    pub(super) fn sequence(self) -> Sequence {
        match self {
            HighWaterMark::Missing => Sequence::default(),
            HighWaterMark::Damaged(sequence) | HighWaterMark::Sound(sequence) => sequence,
        }
    }
}

/// Reads what there is.
pub(super) fn read(disk: &dyn Disk) -> io::Result<HighWaterMark> {
    if !disk.list()?.iter().any(|name| name == HIGH_WATER) {
        return Ok(HighWaterMark::Missing);
    }
    let file = disk.open(HIGH_WATER)?;
    let len = file.len()?;
    let (mut newest, mut damaged) = (Sequence::default(), false);
    for at in [0, SLOT] {
        let mut bytes = [0; LEN];
        // What cannot be read is damaged, no error: the file is made anew.
        let mut read = || (0..2).any(|_| file.read(at, &mut bytes).is_ok());
        if at + LEN as u64 > len || !read() {
            bytes = [0; LEN];
            damaged = true;
        }
        match slot(&bytes) {
            Some(sequence) => newest = newest.max(sequence),
            // Never written: the file was just made.
            None => damaged |= bytes != [0; LEN],
        }
    }
    Ok(if damaged { HighWaterMark::Damaged(newest) } else { HighWaterMark::Sound(newest) })
}

fn slot(bytes: &[u8; LEN]) -> Option<Sequence> {
    let (durable, flushed) = wire::unsealed(bytes)?.split_at_checked(8)?;
    Some(Sequence {
        durable: u64::from_le_bytes(durable.try_into().ok()?),
        flushed: u64::from_le_bytes(flushed.try_into().ok()?),
    })
}

/// The file, to be written.
#[derive(Debug)]
pub(super) struct HighWaterFile {
    file: Arc<dyn DiskFile>,
    /// Where the slot lies that is written next.
    next: u64,
}

impl HighWaterFile {
    /// Opens the file, which is made anew where it is not whole. It says nothing until it is told.
    pub(super) fn open(disk: &dyn Disk, found: HighWaterMark) -> io::Result<HighWaterFile> {
        let whole = matches!(found, HighWaterMark::Sound(_));
        let file = if whole { disk.open(HIGH_WATER)? } else { disk.create(HIGH_WATER)? };
        if !whole {
            file.set_len(2 * SLOT)?;
            file.sync()?;
            disk.sync()?;
        }
        Ok(HighWaterFile { file, next: 0 })
    }

    /// Says that so much is durable. What was said before must have been less: it stays until the next time.
    pub(super) fn note(&mut self, sequence: Sequence) -> io::Result<()> {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&sequence.durable.to_le_bytes());
        bytes[8..16].copy_from_slice(&sequence.flushed.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&checksum.to_le_bytes());
        self.file.write(self.next, &bytes)?;
        self.next = SLOT - self.next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::Folder;
    use super::*;

    fn sequence(durable: u64) -> Sequence {
        Sequence { durable, flushed: durable / 2 }
    }

    #[test]
    fn the_newest_word_counts_and_damage_only_weakens_it() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Folder::create(folder.path()).unwrap();
        assert_eq!(read(&disk).unwrap(), HighWaterMark::Missing);
        let mut high_water_file = HighWaterFile::open(&disk, HighWaterMark::Missing).unwrap();
        assert_eq!(read(&disk).unwrap(), HighWaterMark::Sound(Sequence::default()));
        for durable in 1..=5 {
            high_water_file.note(sequence(durable)).unwrap();
            assert_eq!(read(&disk).unwrap(), HighWaterMark::Sound(sequence(durable)));
        }
        // The fifth word lies in the first slot.
        disk.open(HIGH_WATER).unwrap().write(3, &[1]).unwrap();
        assert_eq!(read(&disk).unwrap(), HighWaterMark::Damaged(sequence(4)));
        disk.open(HIGH_WATER).unwrap().set_len(100).unwrap();
        assert_eq!(read(&disk).unwrap(), HighWaterMark::Damaged(Sequence::default()));
    }
}
