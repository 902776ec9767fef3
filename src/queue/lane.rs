//! The ready messages of one priority, in order of position: the returned ones and the head in memory, spans in the
//! store, the newest in memory again. Which lane is served, and what moves to the store, is decided in `ready.rs`
//! and `paging.rs`.

use std::collections::BTreeMap;

use super::entry::Entry;
use super::on_first_use::Part;
use super::segment::Segment;
use super::spans::Spans;
use crate::model::holdings::Holdings;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::Fetch;

/// A fetch of the front of the spans that is not answered yet. There is one per lane at a time.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) fetch: Fetch,
    /// What left meanwhile out of the range asked for: the answer may still have it.
    pub(super) left: Vec<PositionRange>,
    /// A message came back to where it reads: the answer does not know of it, and is asked for again.
    pub(super) is_stale: bool,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next<'a> {
    Entry(&'a Entry),
    /// It has to be fetched first.
    Paged,
    Empty,
}

/// head < spans < tail. Without spans there is nothing in the tail that could be in the head. Returned ones stand
/// before all that was never delivered, but may stand among returned ones that were paged out and read back. One that
/// comes back and is in the store alone becomes part of the spans; what of the head stands behind it then counts as
/// returned, too.
#[derive(Debug, Default)]
pub(super) struct Lane {
    returned: BTreeMap<Position, Entry>,
    head: Segment,
    pub(super) spans: Spans,
    tail: Segment,
    /// Footprint of the returned and the head.
    front_bytes: usize,
    tail_bytes: usize,
    pub(super) in_flight: Option<InFlight>,
    /// Those in memory that the store does not have, and the bytes of their bodies.
    unstored: (u64, u64),
}

impl Part for Lane {
    fn none() -> &'static Lane {
        static NONE: Lane = Lane {
            returned: BTreeMap::new(),
            head: Segment::EMPTY,
            spans: Spans::EMPTY,
            tail: Segment::EMPTY,
            front_bytes: 0,
            tail_bytes: 0,
            in_flight: None,
            unstored: (0, 0),
        };
        &NONE
    }
}

impl Lane {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Lane { returned, head, spans, tail, front_bytes, tail_bytes, in_flight, unstored: _ } = self;
        into.in_use("lane: returned", returned);
        into.in_use("lane: head", &head.size());
        into.in_use("lane: spans", &spans.size());
        into.in_use("lane: tail", &tail.size());
        into.in_use("lane: bytes in front", front_bytes);
        into.in_use("lane: bytes in the tail", tail_bytes);
        into.in_transit("lane: fetch", in_flight);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.returned.is_empty() && self.spans.is_empty()
    }

    /// How many the store does not have, and the bytes of their bodies.
    pub(super) fn unstored(&self) -> (u64, u64) {
        self.unstored
    }

    pub(super) fn count_unstored(&mut self, entry: &Entry) {
        self.unstored.0 += 1;
        self.unstored.1 += entry.body_bytes();
    }

    pub(super) fn discount_unstored(&mut self, entry: &Entry) {
        self.unstored.0 -= 1;
        self.unstored.1 -= entry.body_bytes();
    }

    pub(super) fn messages(&self) -> u64 {
        let in_memory = self.returned.len() + self.head.len() + self.tail.len();
        self.spans.messages() + in_memory as u64
    }

    /// How many in memory were delivered before.
    pub(super) fn returned(&self) -> u64 {
        self.returned.len() as u64
    }

    /// Footprint of what stands in memory before the spans.
    pub(super) fn front_bytes(&self) -> usize {
        self.front_bytes
    }

    /// Whether what stands before the spans may be paged out: more than `kept`, and no fetch is under way that will be
    /// read to its end.
    pub(super) fn may_page_front(&self, kept: usize) -> bool {
        self.in_flight.is_none() && self.returned.len() + self.head.len() > kept
    }

    /// Adds the newest message. Returns whether it must be indexed by expiry.
    pub(super) fn push(&mut self, entry: Entry) -> bool {
        if self.spans.is_empty() && self.tail.is_empty() {
            self.front_bytes += entry.footprint();
            self.head.push_back(entry)
        } else {
            self.tail_bytes += entry.footprint();
            self.tail.push_back(entry)
        }
    }

    /// Puts a message that was delivered back to its place.
    pub(super) fn put_back(&mut self, entry: Entry) {
        self.front_bytes += entry.footprint();
        let before = self.returned.insert(entry.position, entry);
        assert!(before.is_none(), "a position comes back once");
    }

    /// Takes the last of the head where it stands behind `position`, for it to be put back among the returned.
    pub(super) fn pop_head_behind(&mut self, position: Position) -> Option<Entry> {
        self.head.back().filter(|last| last.position > position)?;
        let entry = self.head.pop_back()?;
        self.front_bytes -= entry.footprint();
        Some(entry)
    }

    /// A message that the store alone has came back to this place: a fetch under way that reads it is stale.
    pub(super) fn note_return(&mut self, position: Position) {
        if let Some(in_flight) = &mut self.in_flight
            && in_flight.fetch.range.contains(position)
        {
            in_flight.is_stale = true;
        }
    }

    /// Adds a message read back from the front of the spans. Returns whether it must be indexed by expiry.
    pub(super) fn push_loaded(&mut self, entry: Entry) -> bool {
        self.front_bytes += entry.footprint();
        self.head.push_back(entry)
    }

    pub(super) fn is_returned(&self, position: Position) -> bool {
        self.returned.contains_key(&position)
    }

    /// Positions of returned messages in a range, rising.
    pub(super) fn returned_in(&self, range: PositionRange) -> impl Iterator<Item = Position> {
        self.returned.range(range.first..=range.last).map(|(&position, _)| position)
    }

    #[inline(always)]
    pub(super) fn next(&self) -> Next<'_> {
        let returned = self.returned.first_key_value().map(|(_, entry)| entry);
        match (returned, self.head.front()) {
            (Some(returned), Some(head)) => {
                Next::Entry(if returned.position < head.position { returned } else { head })
            }
            (None, Some(head)) => Next::Entry(head),
            (Some(returned), None) if self.spans.first().is_none_or(|first| returned.position < first) => {
                Next::Entry(returned)
            }
            (None, None) if self.spans.is_empty() => Next::Empty,
            _ => Next::Paged,
        }
    }

    /// Takes what [`Lane::next`] shows.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let Next::Entry(next) = self.next() else { return None };
        let from_head = self.head.front().is_some_and(|head| head.position == next.position);
        let entry =
            if from_head { self.head.pop_front() } else { self.returned.pop_first().map(|(_, entry)| entry) };
        self.left_front(entry)
    }

    /// Takes a message in memory out, wherever it stands.
    pub(super) fn take(&mut self, position: Position) -> Option<Entry> {
        if let Some(entry) = self.returned.remove(&position).or_else(|| self.head.take(position)) {
            return self.left_front(Some(entry));
        }
        let entry = self.tail.take(position)?;
        self.tail_bytes -= entry.footprint();
        Some(entry)
    }

    /// The first in memory that has expired and is older than `fresh_from`, where the order of expiry shows it.
    pub(super) fn expired_front(&self, now: Timestamp, fresh_from: Position) -> Option<&Entry> {
        let expired = |entry: &&Entry| entry.expiry.is_due(now) && entry.position < fresh_from;
        self.fronts().filter(expired).min_by_key(|entry| entry.expiry)
    }

    /// The fronts of the parts that are in order of expiry.
    pub(super) fn fronts(&self) -> impl Iterator<Item = &Entry> {
        self.head.front().into_iter().chain(self.tail.front())
    }

    /// Takes the oldest of the tail, to page it out.
    pub(super) fn pop_tail(&mut self) -> Option<Entry> {
        let entry = self.tail.pop_front()?;
        self.tail_bytes -= entry.footprint();
        Some(entry)
    }

    /// Takes the last before the spans, to page it out. The caller makes it part of the spans.
    pub(super) fn pop_front_back(&mut self) -> Option<Entry> {
        let head = self.head.back().map(|entry| entry.position);
        let returned = self.returned.last_key_value().map(|(&position, _)| position);
        let entry = if returned > head {
            self.returned.pop_last().map(|(_, entry)| entry)
        } else {
            self.head.pop_back()
        }?;
        self.front_bytes -= entry.footprint();
        Some(entry)
    }

    /// All in memory, in no order.
    pub(super) fn in_memory(&self) -> impl Iterator<Item = &Entry> {
        self.returned.values().chain(self.head.iter()).chain(self.tail.iter())
    }

    /// The lowest and the highest position of a ready message, where there are any.
    pub(super) fn bounds(&self) -> Option<PositionRange> {
        let lows = [self.returned.keys().next().copied(), self.head.front().map(at), self.spans.first()];
        let highs = [
            self.returned.keys().next_back().copied(),
            self.head.back().map(at),
            self.spans.last(),
            self.tail.back().map(at),
        ];
        let first = lows.into_iter().flatten().min()?;
        let last = highs.into_iter().flatten().max()?;
        Some(PositionRange { first, last })
    }

    /// Forgets all messages, which are in what is returned. A fetch that is under way stays: its answer will find nothing
    /// to do.
    pub(super) fn clear(&mut self) -> Lane {
        let emptied = Lane { in_flight: self.in_flight.take(), ..Lane::default() };
        std::mem::replace(self, emptied)
    }

    /// To be called when spans have gone: the tail becomes the head once there is nothing between.
    pub(super) fn join(&mut self) {
        if self.head.is_empty() && self.spans.is_empty() && !self.tail.is_empty() {
            std::mem::swap(&mut self.head, &mut self.tail);
            self.front_bytes += std::mem::take(&mut self.tail_bytes);
        }
    }

    /// How many messages are in memory.
    pub(super) fn in_memory_count(&self) -> usize {
        self.returned.len() + self.head.len() + self.tail.len()
    }

    /// Drops up to `most` messages in memory of a lane that nobody needs any more. Returns how many more it could have
    /// dropped.
    pub(super) fn drop_some(&mut self, most: usize) -> usize {
        let mut most = self.tail.drop_some(self.head.drop_some(most));
        while most > 0 && self.returned.pop_last().is_some() {
            most -= 1;
        }
        most
    }

    fn left_front(&mut self, entry: Option<Entry>) -> Option<Entry> {
        let entry = entry?;
        self.front_bytes -= entry.footprint();
        self.join();
        Some(entry)
    }
}

fn at(entry: &Entry) -> Position {
    entry.position
}
