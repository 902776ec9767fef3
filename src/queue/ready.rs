//! The ready messages of a queue: its lanes, which of them have messages, how much there is in all, and the index of
//! those in memory that expire out of order. Knows no consumers and decides nothing about dead letters.

use std::collections::BTreeSet;

use super::clock::{Clock, Due};
use super::entry::{Entry, Expiry, Stored};
use super::lane::{Lane, Next};
use super::lanes::Lanes;
use super::spans::NEAR;
use crate::model::holdings::Holdings;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::{self, Span};

#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) lanes: Lanes,
    occupied: LaneSet,
    index: BTreeSet<(Expiry, op::Lane, Position)>,
    /// Of those that the store alone has; None where none of them expires.
    pub(super) clock: Option<Box<Clock>>,
    /// Whether a message that expires was ever here: without one there is nothing to look for.
    expires: bool,
    count: u64,
    body_bytes: u64,
    /// Footprint of those in memory.
    memory: usize,
    /// The part of it that the store does not have.
    unstored: usize,
}

impl Ready {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Ready { lanes, occupied: _, index, clock, expires: _, count, body_bytes: _, memory, unstored } =
            self;
        lanes.iter().for_each(|lane| lane.holdings(into));
        into.in_use("ready: expiry index", index);
        if let Some(clock) = clock {
            clock.holdings(into);
        }
        into.in_use("ready: count", &usize::try_from(*count).unwrap_or(usize::MAX));
        into.in_use("ready: memory", memory);
        into.in_use("ready: memory of unstored", unstored);
    }

    /// Adds what recovery found in a lane.
    pub(super) fn recover(&mut self, number: op::Lane, spans: Vec<Span>) {
        let lane = &mut self.lanes[usize::from(number)];
        for span in spans {
            lane.spans.append(span);
        }
        self.count += lane.spans.messages();
        self.body_bytes += lane.spans.bytes();
        if lane.spans.earliest() != Expiry::NEVER {
            self.expires = true;
            self.clock.get_or_insert_default();
        }
        self.occupied.set(number, !lane.is_empty());
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Footprint of those in memory that the store has too.
    pub(super) fn stored_memory(&self) -> usize {
        self.memory - self.unstored
    }

    /// How many of them the store does not have, and the bytes of their bodies.
    pub(super) fn unstored(&self) -> (u64, u64) {
        let lanes = self.lanes.iter().map(Lane::unstored);
        lanes.fold((0, 0), |sum, lane| (sum.0 + lane.0, sum.1 + lane.1))
    }

    /// How many of them are in memory, and the bytes of their bodies.
    pub(super) fn in_memory(&self) -> (u64, u64) {
        let spans = self.lanes.iter().map(|lane| (lane.spans.messages(), lane.spans.bytes()));
        spans.fold((self.count, self.body_bytes), |(count, bytes), (messages, body_bytes)| {
            (count - messages, bytes - body_bytes)
        })
    }

    /// The message that comes next, where it is in memory.
    pub(super) fn head(&self) -> Option<&Entry> {
        match self.next(self.highest()?) {
            Next::Entry(entry) => Some(entry),
            Next::Paged | Next::Empty => None,
        }
    }

    /// How many of them each lane has, of those that have any.
    pub(super) fn by_lane(&self) -> Vec<(op::Lane, u64)> {
        let lanes = self.lanes.numbered();
        lanes.map(|(number, lane)| (number, lane.messages())).filter(|&(_, count)| count > 0).collect()
    }

    /// The highest lane that has messages.
    pub(super) fn highest(&self) -> Option<op::Lane> {
        self.occupied.highest()
    }

    /// What comes next in a lane.
    pub(super) fn next(&self, number: op::Lane) -> Next<'_> {
        self.lanes.get(usize::from(number)).map_or(Next::Empty, Lane::next)
    }

    /// Adds the newest message.
    pub(super) fn push(&mut self, number: op::Lane, entry: Entry) {
        self.count_in(number, &entry);
        let key = (entry.expiry, number, entry.position);
        if self.lanes[usize::from(number)].push(entry) {
            self.index.insert(key);
        }
        self.occupied.set(number, true);
    }

    /// Puts a message that was delivered back to its place.
    pub(super) fn put_back(&mut self, number: op::Lane, mut entry: Entry) {
        self.count_in(number, &entry);
        entry.indexed = entry.expiry != Expiry::NEVER;
        if entry.indexed {
            self.index.insert((entry.expiry, number, entry.position));
        }
        self.lanes[usize::from(number)].put_back(entry);
        self.occupied.set(number, true);
    }

    /// Puts a message that was delivered, and that the store alone has, back to its place among the spans.
    pub(super) fn put_back_stored(
        &mut self,
        number: op::Lane,
        position: Position,
        body_bytes: u64,
        expiry: Expiry,
    ) {
        let lane = &mut self.lanes[usize::from(number)];
        while let Some(mut behind) = lane.pop_head_behind(position) {
            if !behind.indexed && behind.expiry != Expiry::NEVER {
                behind.indexed = true;
                self.index.insert((behind.expiry, number, behind.position));
            }
            lane.put_back(behind);
        }
        lane.note_return(position);
        self.insert_stored(number, position, body_bytes, expiry, NEAR);
    }

    /// Adds a message that was read back from the front of a lane's spans.
    pub(super) fn push_loaded(&mut self, number: op::Lane, entry: Entry) {
        self.count_in(number, &entry);
        let key = (entry.expiry, number, entry.position);
        if self.lanes[usize::from(number)].push_loaded(entry) {
            self.index.insert(key);
        }
    }

    /// Takes the next message of a lane; None where it is empty or paged out.
    pub(super) fn pop(&mut self, number: op::Lane) -> Option<Entry> {
        let entry = self.lanes[usize::from(number)].pop()?;
        Some(self.count_out(number, entry))
    }

    /// Takes one message in memory that has expired by `now` and stood before `fresh_from`.
    pub(super) fn pop_expired(&mut self, now: Timestamp, fresh_from: Position) -> Option<Entry> {
        if !self.expires {
            return None;
        }
        let (number, position) = self.first_expired(now, fresh_from)?;
        let entry = self.lanes[usize::from(number)].take(position)?;
        Some(self.count_out(number, entry))
    }

    /// The earliest time something in memory expires, or has to be looked for in the store.
    pub(super) fn next_expiry(&self) -> Expiry {
        if !self.expires {
            return Expiry::NEVER;
        }
        let indexed = self.index.first().map_or(Expiry::NEVER, |&(expiry, ..)| expiry);
        let look =
            self.clock.as_ref().map_or(Expiry::NEVER, |clock| clock.next_look(self.earliest_unknown()));
        let fronts = self.lanes.iter().flat_map(Lane::fronts);
        fronts.map(|entry| entry.expiry).fold(indexed.min(look), Expiry::min)
    }

    /// The earliest time that something in the store expires of which the clock knows.
    pub(super) fn next_stored_expiry(&self) -> Expiry {
        self.clock.as_ref().map_or(Expiry::NEVER, |clock| clock.first())
    }

    /// A time before which nothing expires in the store of which the clock does not know.
    pub(super) fn earliest_unknown(&self) -> Expiry {
        self.lanes.iter().map(|lane| lane.spans.earliest()).min().unwrap_or(Expiry::NEVER)
    }

    /// Takes one that is in the store alone and has expired.
    pub(super) fn pop_stored_expired(&mut self, now: Timestamp) -> Option<(op::Lane, Position)> {
        loop {
            let due = self.clock.as_deref_mut()?.pop_due(now)?;
            let (number, position, bytes) = (due.lane, due.position, u64::from(due.body));
            let left = self.with_spans(number, |lane| lane.spans.leaves(position, bytes));
            self.rejoin(number);
            if left {
                return Some((number, position));
            }
        }
    }

    /// The spans that have to be looked into first, for something in them may expire by `soonest`, with those behind them
    /// in which something expires by `until` (see [`super::spans::Spans::start_look`]).
    pub(super) fn start_look(
        &mut self,
        soonest: Timestamp,
        until: Timestamp,
        most: u64,
    ) -> Option<(op::Lane, PositionRange)> {
        let lanes = self.lanes.made_with_numbers();
        let (number, lane) = lanes.min_by_key(|(_, lane)| lane.spans.earliest())?;
        lane.spans.start_look(soonest, until, most).map(|range| (number, range))
    }

    /// Of what the clock does not know, something in this range of a lane may expire from then on.
    pub(super) fn expires_from(&mut self, number: op::Lane, range: PositionRange, expiry: Expiry) {
        if let Some(lane) = self.lanes.get_mut(usize::from(number)) {
            lane.spans.expires_from(range, expiry);
        }
    }

    /// The clock does not know of this one: its span has to.
    pub(super) fn survives(&mut self, due: Due) {
        self.expires_from(due.lane, PositionRange::single(due.position), Some(due.time).into());
    }

    /// Messages in this range of a lane have left its spans in another way than by their time.
    pub(super) fn left_spans(&mut self, number: op::Lane, range: PositionRange) {
        if let Some(clock) = self.clock.as_deref_mut() {
            clock.left(number, range);
        }
    }

    /// Takes the oldest of a lane's tail out of memory and makes it part of the spans.
    pub(super) fn page_tail(&mut self, number: op::Lane) -> Option<Entry> {
        let entry = self.lanes.get_mut(usize::from(number))?.pop_tail()?;
        Some(self.page(number, entry))
    }

    /// Takes the last before a lane's spans out of memory and makes it part of them.
    pub(super) fn page_front(&mut self, number: op::Lane) -> Option<Entry> {
        let entry = self.lanes.get_mut(usize::from(number))?.pop_front_back()?;
        Some(self.page(number, entry))
    }

    /// Changes the spans of a lane and keeps the totals right. [`Ready::rejoin`] has to follow.
    pub(super) fn with_spans<R>(&mut self, number: op::Lane, change: impl FnOnce(&mut Lane) -> R) -> R {
        let lane = &mut self.lanes[usize::from(number)];
        self.count -= lane.spans.messages();
        self.body_bytes -= lane.spans.bytes();
        let result = change(lane);
        self.count += lane.spans.messages();
        self.body_bytes += lane.spans.bytes();
        result
    }

    /// The spans of a lane have changed: its tail may have become its head, and it may be empty or not.
    pub(super) fn rejoin(&mut self, number: op::Lane) {
        let lane = &mut self.lanes[usize::from(number)];
        lane.join();
        self.occupied.set(number, !lane.is_empty());
    }

    /// Tells the fetches under way that these messages have left.
    pub(super) fn note_left(&mut self, range: PositionRange) {
        if let Some(clock) = self.clock.as_deref_mut() {
            clock.removed(range);
        }
        for lane in self.lanes.made() {
            if let Some(in_flight) = &mut lane.in_flight
                && in_flight.fetch.range.first <= range.last
                && range.first <= in_flight.fetch.range.last
            {
                in_flight.left.push(range);
            }
        }
    }

    /// From the lowest to the highest position of all that the store may have; None where it has nothing.
    pub(super) fn stored_bounds(&self) -> Option<PositionRange> {
        let stored =
            |lane: &Lane| !lane.spans.is_empty() || lane.in_memory().any(|entry| entry.stored != Stored::No);
        let bounds = self.lanes.iter().filter(|lane| stored(lane)).filter_map(Lane::bounds);
        bounds.reduce(|one, other| PositionRange {
            first: one.first.min(other.first),
            last: one.last.max(other.last),
        })
    }

    /// Forgets all messages. Returns how many there were, and where they are.
    pub(super) fn clear(&mut self) -> (u64, Vec<Lane>) {
        let cleared = self.lanes.made().map(Lane::clear).collect();
        self.index.clear();
        if let Some(clock) = self.clock.as_deref_mut() {
            clock.clear();
        }
        self.occupied = LaneSet::default();
        self.body_bytes = 0;
        self.memory = 0;
        self.unstored = 0;
        (std::mem::take(&mut self.count), cleared)
    }

    /// Gives the room of all messages back. To be called where there are none and no fetch is under way.
    pub(super) fn give_room_back(&mut self) {
        assert!(self.is_empty(), "there are messages in it");
        self.lanes.take();
        self.index = BTreeSet::new();
    }

    /// The one that expired first: of those in memory, and as far as the order of expiry shows it.
    fn first_expired(&self, now: Timestamp, fresh_from: Position) -> Option<(op::Lane, Position)> {
        let indexed = self.index.first().copied();
        let indexed = indexed.filter(|(expiry, _, position)| expiry.is_due(now) && *position < fresh_from);
        let in_lanes = self.lanes.numbered().filter_map(|(number, lane)| {
            lane.expired_front(now, fresh_from).map(|entry| (entry.expiry, number, entry.position))
        });
        let (_, number, position) = in_lanes.chain(indexed).min()?;
        Some((number, position))
    }

    fn page(&mut self, number: op::Lane, entry: Entry) -> Entry {
        let (bytes, expiry) = (entry.body_bytes(), entry.expiry);
        let entry = self.count_out(number, entry);
        self.insert_stored(number, entry.position, bytes, expiry, u64::MAX);
        entry
    }

    /// Makes a message that the store has a part of the spans, within reach of others.
    fn insert_stored(
        &mut self,
        number: op::Lane,
        position: Position,
        bytes: u64,
        expiry: Expiry,
        reach: u64,
    ) {
        self.with_spans(number, |lane| lane.spans.insert(position, bytes, reach));
        self.rejoin(number);
        let Some(time) = expiry.time() else { return };
        self.expires = true;
        let body = u32::try_from(bytes).unwrap_or(u32::MAX);
        let unknown = self.clock.get_or_insert_default().came(Due { time, lane: number, position, body });
        if let Some(unknown) = unknown {
            self.survives(unknown);
        }
    }

    fn count_in(&mut self, number: op::Lane, entry: &Entry) {
        self.count += 1;
        self.body_bytes += entry.body_bytes();
        self.memory += entry.footprint();
        if entry.stored == Stored::No {
            self.unstored += entry.footprint();
            self.lanes[usize::from(number)].count_unstored(entry);
        }
        self.expires |= entry.expiry != Expiry::NEVER;
    }

    fn count_out(&mut self, number: op::Lane, mut entry: Entry) -> Entry {
        self.count -= 1;
        self.body_bytes -= entry.body_bytes();
        self.memory -= entry.footprint();
        if entry.stored == Stored::No {
            self.unstored -= entry.footprint();
            self.lanes[usize::from(number)].discount_unstored(&entry);
        }
        if entry.indexed {
            self.index.remove(&(entry.expiry, number, entry.position));
            entry.indexed = false;
        }
        if self.lanes[usize::from(number)].is_empty() {
            self.occupied.set(number, false);
        }
        entry
    }
}

/// A set of lanes that knows its highest at once.
#[derive(Debug, Default)]
struct LaneSet([u64; 4]);

impl LaneSet {
    fn set(&mut self, lane: op::Lane, present: bool) {
        let word = &mut self.0[usize::from(lane / 64)];
        let bit = 1 << (lane % 64);
        *word = if present { *word | bit } else { *word & !bit };
    }

    fn highest(&self) -> Option<op::Lane> {
        let (at, word) = (0u32..4).zip(self.0).rfind(|&(_, word)| word != 0)?;
        op::Lane::try_from(at * 64 + 63 - word.leading_zeros()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_set_finds_its_highest() {
        let mut set = LaneSet::default();
        assert_eq!(set.highest(), None);
        for lane in [255, 3, 64, 63] {
            set.set(lane, true);
        }
        assert_eq!(set.highest(), Some(255));
        set.set(255, false);
        assert_eq!(set.highest(), Some(64));
        set.set(64, false);
        assert_eq!(set.highest(), Some(63));
    }
}
