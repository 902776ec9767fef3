//! The ready messages of a lane that are only in the store: spans of positions with counts, some tens of bytes for
//! thousands of messages. Reading them back is asked for in `paging.rs`.
//!
//! A span may have holes: positions that were never put, have left, or are held in memory (unacked, returned, on their
//! way to a dead-letter exchange). Who reads a span back knows which.

use std::collections::VecDeque;

use super::entry::Expiry;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::Span;

/// Spans are merged up to this many messages. It bounds how much is looked at to find those that expire.
const MERGED: u64 = 4096;
/// Positions this close to each other are read in one go. Between those further apart there may be many that are
/// somebody's, and would be read for nothing.
pub(super) const NEAR: u64 = 64;
/// How many spans are read in one go at the most.
const READ_TOGETHER: usize = 64;

#[derive(Debug)]
pub(super) struct Spans {
    /// Rising, without overlap.
    list: VecDeque<Span>,
    messages: u64,
    bytes: u64,
    /// No span expires before this. What the queue's clock knows of does not count, neither here nor in a span.
    earliest: Expiry,
}

impl Default for Spans {
    fn default() -> Self {
        Spans::EMPTY
    }
}

impl Spans {
    pub(super) const EMPTY: Spans =
        Spans { list: VecDeque::new(), messages: 0, bytes: 0, earliest: Expiry::NEVER };

    /// How many spans there are, and for how many there is room.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.list.len(), self.list.capacity())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// Bytes of bodies.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn first(&self) -> Option<Position> {
        self.list.front().map(|span| span.range.first)
    }

    pub(super) fn last(&self) -> Option<Position> {
        self.list.back().map(|span| span.range.last)
    }

    pub(super) fn front(&self) -> Option<&Span> {
        self.list.front()
    }

    /// A time before which nothing here expires that the clock does not know of.
    pub(super) fn earliest(&self) -> Expiry {
        self.earliest
    }

    /// Adds a span behind all others, as recovery found it.
    pub(super) fn append(&mut self, span: Span) {
        if span.count == 0 {
            return;
        }
        assert!(self.last().is_none_or(|last| last < span.range.first), "out of order");
        self.count_in(span.count, span.bytes);
        self.earliest = self.earliest.min(span.earliest_expiry.into());
        match self.list.back_mut() {
            Some(last) if last.count + span.count <= MERGED => {
                last.range.last = span.range.last;
                last.count += span.count;
                last.bytes += span.bytes;
                last.earliest_expiry = earlier(last.earliest_expiry, span.earliest_expiry);
            }
            _ => self.list.push_back(span),
        }
    }

    /// What is to be read next: the first span, and those close behind it.
    pub(super) fn front_range(&self) -> Option<PositionRange> {
        let PositionRange { first, mut last } = self.list.front()?.range;
        for span in self.list.iter().skip(1).take(READ_TOGETHER) {
            if span.range.first.0 - last.0 > NEAR {
                break;
            }
            last = span.range.last;
        }
        Some(PositionRange { first, last })
    }

    /// Adds one message at its place. It joins a span that is no more than `reach` positions away.
    pub(super) fn insert(&mut self, position: Position, bytes: u64, reach: u64) {
        self.count_in(1, bytes);
        let at = self.list.partition_point(|span| span.range.first <= position);
        if let Some(before) = at.checked_sub(1).and_then(|before| self.list.get_mut(before))
            && (position <= before.range.last
                || (before.count < MERGED && position.0 - before.range.last.0 <= reach))
        {
            before.range.last = before.range.last.max(position);
            return grow(before, bytes);
        }
        if let Some(after) = self.list.get_mut(at)
            && after.count < MERGED
            && after.range.first.0 - position.0 <= reach
        {
            after.range.first = position;
            return grow(after, bytes);
        }
        let range = PositionRange::single(position);
        self.list.insert(at, Span { range, count: 1, bytes, earliest_expiry: None });
    }

    /// Takes one message of the front away: it was read back. Positions must come rising, and
    /// [`Spans::advance`] ends it.
    pub(super) fn take_front(&mut self, position: Position, bytes: u64) {
        while self.list.front().is_some_and(|span| span.range.last < position) {
            self.pop_front();
        }
        if let Some(span) = self.list.front_mut() {
            shrink(span, bytes, &mut self.messages, &mut self.bytes);
        }
    }

    /// All up to `through` was read back: what is still counted there was lost to quarantine and is forgotten.
    pub(super) fn advance(&mut self, through: Position) {
        while self.list.front().is_some_and(|span| span.range.last <= through) {
            self.pop_front();
        }
        if let Some(span) = self.list.front_mut()
            && span.range.first <= through
        {
            span.range.first = through.next();
            let places = span.range.last.0 - through.0;
            let lost = span.count.saturating_sub(places);
            span.count -= lost;
            self.messages -= lost;
        }
        if self.list.front().is_some_and(|span| span.count == 0) {
            self.pop_front();
        }
    }

    /// Forgets the front span with all it counts.
    pub(super) fn pop_front(&mut self) -> Option<Span> {
        let span = self.list.pop_front()?;
        self.messages -= span.count;
        self.bytes -= span.bytes;
        if self.list.is_empty() {
            self.earliest = Expiry::NEVER;
        }
        Some(span)
    }

    /// The span in which something may expire first, if it may by `soonest`, and those right behind it in which something may
    /// by `until`, up to about so many messages. Their earliest expiry counts as unknown from now on and is found anew by
    /// [`Spans::expires_from`]. Whoever cannot keep up so looks at each in its turn.
    pub(super) fn start_look(
        &mut self,
        soonest: Timestamp,
        until: Timestamp,
        most: u64,
    ) -> Option<PositionRange> {
        if !self.earliest.is_due(soonest) {
            return None;
        }
        let expires_by = |span: &Span, time| Expiry::from(span.earliest_expiry).is_due(time);
        let mut messages = 0;
        let first = self.list.iter().enumerate().min_by_key(|(_, span)| Expiry::from(span.earliest_expiry));
        let (from, _) = first.filter(|(_, span)| expires_by(span, soonest))?;
        let mut range: Option<PositionRange> = None;
        for span in self.list.range_mut(from..) {
            messages += span.count;
            if range.is_some() && (messages > most || !expires_by(span, until)) {
                break;
            }
            span.earliest_expiry = None;
            range =
                Some(PositionRange { first: range.map_or(span.range.first, |all| all.first), ..span.range });
        }
        self.earliest =
            self.list.iter().map(|span| Expiry::from(span.earliest_expiry)).min().unwrap_or(Expiry::NEVER);
        range
    }

    /// Nothing that stands in `range` expires before this, apart from what the clock knows of; but something may then.
    pub(super) fn expires_from(&mut self, range: PositionRange, expiry: Expiry) {
        if range.first > range.last {
            return;
        }
        let from = self.list.partition_point(|span| span.range.last < range.first);
        for span in self.list.range_mut(from..).take_while(|span| span.range.first <= range.last) {
            span.earliest_expiry = earlier(span.earliest_expiry, expiry.time());
            self.earliest = self.earliest.min(expiry);
        }
    }

    /// A message leaves, wherever it stands. Returns whether it was here.
    pub(super) fn leaves(&mut self, position: Position, bytes: u64) -> bool {
        let Some(at) = self.find(position) else { return false };
        shrink(&mut self.list[at], bytes, &mut self.messages, &mut self.bytes);
        if self.list[at].count == 0 {
            let rest = self.list.remove(at).map_or(0, |span| span.bytes);
            self.bytes -= rest;
        }
        true
    }

    /// The span a position belongs to.
    fn find(&self, position: Position) -> Option<usize> {
        let at = self.list.partition_point(|span| span.range.first <= position).checked_sub(1)?;
        self.list.get(at).filter(|span| span.range.contains(position)).map(|_| at)
    }

    fn count_in(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.bytes += bytes;
    }
}

fn grow(span: &mut Span, bytes: u64) {
    span.count += 1;
    span.bytes += bytes;
}

/// Counts one message out. Sizes come from the store: they may disagree, and must not wrap.
fn shrink(span: &mut Span, bytes: u64, messages_in_all: &mut u64, bytes_in_all: &mut u64) {
    let bytes = bytes.min(span.bytes);
    let one = span.count.min(1);
    span.count -= one;
    span.bytes -= bytes;
    *messages_in_all -= one;
    *bytes_in_all -= bytes;
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    Expiry::from(one).min(other.into()).time()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64, count: u64) -> Span {
        let range = PositionRange { first: Position(first), last: Position(last) };
        Span { range, count, bytes: count * 10, earliest_expiry: None }
    }

    #[test]
    fn what_was_not_found_in_a_part_that_was_read_is_forgotten() {
        let mut spans = Spans::default();
        spans.append(span(1, 10, 10));
        spans.take_front(Position(1), 10);
        spans.take_front(Position(3), 10);
        spans.advance(Position(5));
        assert_eq!((spans.messages(), spans.first()), (5, Some(Position(6))));
        spans.advance(Position(10));
        assert_eq!((spans.messages(), spans.bytes(), spans.is_empty()), (0, 0, true));
    }

    #[test]
    fn messages_are_inserted_where_they_belong_and_spans_stay_bounded() {
        let mut spans = Spans::default();
        for position in (1..=3 * MERGED).rev() {
            spans.insert(Position(position), 1, u64::MAX);
        }
        assert_eq!((spans.messages(), spans.list.len()), (3 * MERGED, 3));
        spans.insert(Position(4 * MERGED), 1, u64::MAX);
        spans.insert(Position(5 * MERGED), 1, u64::MAX);
        assert_eq!(spans.list.len(), 4);
        assert!(spans.list.iter().zip(spans.list.iter().skip(1)).all(|(a, b)| a.range.last < b.range.first));
    }

    #[test]
    fn what_lies_far_apart_is_not_read_together() {
        let mut spans = Spans::default();
        for position in [10_000, 5, 7, 10_050] {
            spans.insert(Position(position), 1, NEAR);
        }
        assert_eq!(spans.front_range(), Some(PositionRange { first: Position(5), last: Position(7) }));
        spans.take_front(Position(5), 1);
        spans.take_front(Position(7), 1);
        spans.advance(Position(7));
        assert_eq!(
            spans.front_range(),
            Some(PositionRange { first: Position(10_000), last: Position(10_050) })
        );
        assert_eq!((spans.messages(), spans.list.len()), (2, 1));
    }

    #[test]
    fn a_look_finds_the_earliest_expiry_anew() {
        let at = |time| Some(Timestamp(time)).into();
        let single = |position| PositionRange::single(Position(position));
        let mut spans = Spans::default();
        for (position, expiry) in [(1, 50), (2, 10), (3, 30)] {
            spans.insert(Position(position), 1, u64::MAX);
            spans.expires_from(single(position), at(expiry));
        }
        assert_eq!(spans.start_look(Timestamp(9), Timestamp(99), 100), None);
        assert!(spans.start_look(Timestamp(10), Timestamp(99), 100).is_some());
        assert_eq!(spans.earliest(), Expiry::NEVER);
        spans.expires_from(single(3), at(30));
        assert!(spans.leaves(Position(2), 1) && !spans.leaves(Position(9), 1));
        assert_eq!(spans.earliest().time(), Some(Timestamp(30)));
        assert_eq!((spans.messages(), spans.bytes()), (2, 2));
    }

    #[test]
    fn a_look_asks_about_runs_side_by_side_in_which_something_expires() {
        let mut spans = Spans::default();
        for (first, expiry) in [(1, 900), (101, 10), (201, 60), (301, 70), (401, 500), (501, 20)] {
            let earliest_expiry = Some(Timestamp(expiry));
            spans.list.push_back(Span { earliest_expiry, ..span(first, first + 99, 100) });
            spans.earliest = spans.earliest.min(earliest_expiry.into());
        }
        let mut look = |most| {
            let range = spans.start_look(Timestamp(20), Timestamp(70), most);
            (range.map(|range| (range.first.0, range.last.0)), spans.earliest().time())
        };
        assert_eq!(look(250), (Some((101, 300)), Some(Timestamp(20))));
        assert_eq!(
            look(250),
            (Some((501, 600)), Some(Timestamp(70))),
            "it may be larger than what is asked about"
        );
        assert_eq!(look(250), (None, Some(Timestamp(70))));
    }

    #[test]
    fn what_is_due_for_longest_is_looked_at_first() {
        let mut spans = Spans::default();
        for (first, expiry) in [(1, 30), (101, 10), (201, 20)] {
            let earliest_expiry = Some(Timestamp(expiry));
            spans.list.push_back(Span { earliest_expiry, ..span(first, first + 99, 100) });
            spans.earliest = spans.earliest.min(earliest_expiry.into());
        }
        let mut look = || spans.start_look(Timestamp(90), Timestamp(99), 1).map(|range| range.first.0);
        assert_eq!([look(), look(), look(), look()], [Some(101), Some(201), Some(1), None]);
    }
}
