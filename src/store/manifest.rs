//! Which journal files there must be. The list lies in the active journal and in the catalog, with an epoch that grows
//! whenever it changes; where the two differ, the higher epoch is the truth and a crash came between. So a file that is
//! removed, or put back, behind the store's back is noticed. Pure; where the list is kept is not known here.

use std::collections::BTreeMap;

use super::damage::MessageCounts;
use super::wire::{self, Reader, put_varint};
use crate::model::ids::QueueId;

const FORMAT: u8 = 1;

/// A file that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) file: u64,
    pub(super) first_number: u64,
    /// The last commit in it, which it says itself too; None where more may follow, for it is the active one.
    pub(super) sealed_at: Option<u64>,
    /// What was in it when the list was made.
    pub(super) held: MessageCounts,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) epoch: u64,
    /// In order; the last one is active.
    pub(super) files: Vec<Listed>,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        put_varint(&mut out, self.epoch);
        for listed in &self.files {
            put_varint(&mut out, listed.file);
            put_varint(&mut out, listed.first_number);
            put_varint(&mut out, listed.sealed_at.map_or(0, |sequence| sequence.saturating_add(1)));
            put_varint(&mut out, listed.held.queues.len() as u64);
            for (queue, count) in &listed.held.queues {
                put_varint(&mut out, queue.0);
                put_varint(&mut out, *count);
            }
            put_varint(&mut out, listed.held.others);
        }
        wire::sealed(out)
    }

    /// None where the row is damaged.
    pub(super) fn decode(row: &[u8]) -> Option<Manifest> {
        let mut reader = Reader(wire::unsealed(row)?);
        if reader.byte()? != FORMAT {
            return None;
        }
        let epoch = reader.varint()?;
        let mut files = Vec::new();
        while !reader.is_empty() {
            let file = reader.varint()?;
            let first_number = reader.varint()?;
            let sealed_at = reader.varint()?.checked_sub(1);
            let mut queues = BTreeMap::new();
            for _ in 0..reader.varint()? {
                queues.insert(QueueId(reader.varint()?), reader.varint()?);
            }
            let held = MessageCounts { queues, others: reader.varint()? };
            files.push(Listed { file, first_number, sealed_at, held });
        }
        Some(Manifest { epoch, files })
    }

    pub(super) fn lists(&self, file: u64) -> bool {
        self.files.iter().any(|listed| listed.file == file)
    }
}

/// The files of a directory held against its list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inventory {
    /// Those to serve, in order.
    pub(super) files: Vec<u64>,
    /// Listed, and not there.
    pub(super) missing: Vec<Listed>,
    /// There, and given up before: every message in them was settled or lies elsewhere.
    pub(super) given_up: Vec<u64>,
}

impl Inventory {
    /// `on_disk` in order; the last one is served whatever the list says, for there is none else to go on with. A file that
    /// is newer than the whole list was begun after it was made; without a list all that is there is taken for all there
    /// was.
    pub(super) fn of(on_disk: &[u64], listed: Option<&Manifest>) -> Inventory {
        let Some(listed) = listed else {
            return Inventory { files: on_disk.to_vec(), ..Inventory::default() };
        };
        let newest = listed.files.last().map_or(0, |active| active.file);
        let is_served = |file| file > newest || listed.lists(file) || on_disk.last() == Some(&file);
        let (files, given_up) = on_disk.iter().partition(|&&file| is_served(file));
        let missing = listed.files.iter().filter(|listed| !on_disk.contains(&listed.file)).cloned().collect();
        Inventory { files, missing, given_up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(files: &[u64]) -> Manifest {
        let listed = |&file| Listed {
            file,
            first_number: file * 100,
            sealed_at: (file < 5).then_some(file),
            held: MessageCounts::of(&BTreeMap::from([(QueueId(file), 7), (QueueId(9), 0)])),
        };
        Manifest { epoch: 3, files: files.iter().map(listed).collect() }
    }

    #[test]
    fn a_list_comes_back_and_every_flipped_bit_is_found() {
        let manifest = manifest(&[1, 2, 5]);
        let row = manifest.encode();
        assert_eq!(Manifest::decode(&row), Some(manifest));
        for at in 0..row.len() {
            let mut flipped = row.clone();
            flipped[at] ^= 1;
            assert_eq!(Manifest::decode(&flipped), None);
        }
    }

    #[test]
    fn files_are_held_against_the_list() {
        let listed = manifest(&[2, 3, 5]);
        let found = Inventory::of(&[1, 2, 6], Some(&listed));
        assert_eq!((found.files, found.given_up), (vec![2, 6], vec![1]));
        assert_eq!(found.missing.iter().map(|listed| listed.file).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(Inventory::of(&[1, 2], None).files, [1, 2]);
        assert_eq!(Inventory::of(&[1], Some(&listed)).files, [1], "there is nothing else");
    }
}
