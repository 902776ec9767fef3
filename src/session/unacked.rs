//! The unacked deliveries of a channel by delivery tag, and the runs of adjacent positions in which they are
//! settled (semantics 11.1). Tags are given out by the channel; what a settlement does is the queue's.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::model::ids::{ConsumerNumber, Position, PositionRange, QueueRef};
use crate::model::sparse::ShrinkIfSparse;

/// How many runs grow at the same time before the first one is handed over: about the number of consumers of one
/// channel that take turns.
const OPEN_RUNS: usize = 8;
/// Holes are swept out when there are more than this and than half of the entries.
const FEW_HOLES: usize = 64;

/// A delivery that was not acked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unacked {
    pub tag: u64,
    pub queue: QueueRef,
    pub consumer: ConsumerNumber,
    pub position: Position,
    /// Counts towards the channel's shared prefetch: what a consumer got does, what basic.get got does not.
    pub counted: bool,
}

/// 406: a tag that is not outstanding (semantics 11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnknownTag;

#[derive(Debug)]
struct TagEntry {
    entry: Unacked,
    settled: bool,
}

/// In order of tag. Settled entries in the middle stay as holes until they are many, so that looking one up is an
/// index away as long as every delivery is to be acked, and memory stays in proportion to what is outstanding.
#[derive(Debug, Default)]
pub(super) struct UnackedTags {
    slots: VecDeque<TagEntry>,
    holes: usize,
}

impl UnackedTags {
    /// How many tags it knows, settled or not, and for how many it has room.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.slots.len(), self.slots.capacity())
    }

    /// How many are outstanding.
    pub(super) fn count(&self) -> u64 {
        (self.slots.len() - self.holes) as u64
    }

    /// Remembers a delivery; tags grow.
    pub(super) fn push(&mut self, entry: Unacked) {
        debug_assert!(self.slots.back().is_none_or(|last| last.entry.tag < entry.tag), "out of order");
        self.slots.push_back(TagEntry { entry, settled: false });
    }

    /// Takes one delivery out.
    pub(super) fn take(&mut self, tag: u64) -> Result<Unacked, UnknownTag> {
        let index = self.outstanding(tag).ok_or(UnknownTag)?;
        let slot = self.slots.get_mut(index).ok_or(UnknownTag)?;
        slot.settled = true;
        let entry = slot.entry;
        self.holes += 1;
        self.sweep();
        Ok(entry)
    }

    /// Takes all up to `tag` out (0: all there are), oldest first. A tag that is not outstanding itself takes
    /// nothing.
    pub(super) fn take_through(&mut self, tag: u64) -> Result<Vec<Unacked>, UnknownTag> {
        let count = match tag {
            0 => self.slots.len(),
            _ => self.outstanding(tag).ok_or(UnknownTag)? + 1,
        };
        let taken: Vec<Unacked> =
            self.slots.drain(..count).filter(|slot| !slot.settled).map(|slot| slot.entry).collect();
        self.holes -= count - taken.len();
        self.sweep();
        Ok(taken)
    }

    /// Puts deliveries back to their places (tx.rollback).
    pub(super) fn restore(&mut self, entries: impl IntoIterator<Item = Unacked>) {
        self.slots.retain(|slot| !slot.settled);
        self.holes = 0;
        self.slots.extend(entries.into_iter().map(|entry| TagEntry { entry, settled: false }));
        self.slots.make_contiguous().sort_unstable_by_key(|slot| slot.entry.tag);
    }

    /// What is outstanding, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Unacked> {
        self.slots.iter().filter(|slot| !slot.settled).map(|slot| &slot.entry)
    }

    /// What it takes in memory, in entries.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    fn outstanding(&self, tag: u64) -> Option<usize> {
        let first = self.slots.front()?.entry.tag;
        let guess = usize::try_from(tag.checked_sub(first)?).ok()?;
        let index = match self.slots.get(guess) {
            Some(slot) if slot.entry.tag == tag => guess,
            _ => self.slots.binary_search_by_key(&tag, |slot| slot.entry.tag).ok()?,
        };
        self.slots.get(index).filter(|slot| !slot.settled).map(|_| index)
    }

    fn sweep(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.settled) {
            self.slots.pop_front();
            self.holes -= 1;
        }
        if self.holes > FEW_HOLES && self.holes > self.slots.len() / 2 {
            self.slots.retain(|slot| !slot.settled);
            self.holes = 0;
        }
        self.slots.shrink_if_sparse();
    }
}

/// Adjacent positions of one queue and consumer, to be settled in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AdjacentRange {
    pub queue: QueueRef,
    pub consumer: ConsumerNumber,
    pub range: PositionRange,
}

impl AdjacentRange {
    /// The run of one delivery.
    pub(super) fn of(entry: &Unacked) -> AdjacentRange {
        AdjacentRange {
            queue: entry.queue,
            consumer: entry.consumer,
            range: PositionRange::single(entry.position),
        }
    }

    /// How many deliveries it is.
    pub(super) fn len(&self) -> u64 {
        self.range.last.0 - self.range.first.0 + 1
    }

    /// Takes the delivery in where it is the next one. False where it is not.
    pub(super) fn grow(&mut self, entry: &Unacked) -> bool {
        let next = self.queue == entry.queue
            && self.consumer == entry.consumer
            && self.range.last.next() == entry.position;
        if next {
            self.range.last = entry.position;
        }
        next
    }
}

/// Hands every entry over as a part of a run.
pub(super) fn runs<'a>(
    entries: impl IntoIterator<Item = &'a Unacked>,
    mut settle: impl FnMut(AdjacentRange),
) {
    let mut open: SmallVec<[AdjacentRange; OPEN_RUNS]> = SmallVec::new();
    for entry in entries {
        if open.iter_mut().any(|run| run.grow(entry)) {
            continue;
        }
        if open.len() == OPEN_RUNS {
            settle(open.remove(0));
        }
        open.push(AdjacentRange::of(entry));
    }
    open.into_iter().for_each(settle);
}
