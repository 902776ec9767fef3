//! When the messages that the store alone has expire. A queue knows the exact time of those that expire soon, and of each
//! run of the others a time before which nothing in it does; it looks ahead by having the store answer from its entries,
//! which costs no body. What becomes of a message whose time has come is decided in `expiry.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::Queue;
use super::effects::QueueEffects;
use super::entry::Expiry;
use crate::model::holdings::Holdings;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::{Fetch, Fetched, Lane, Times, Wants};

/// How long before something expires it is looked for, in milliseconds: the answer is there in time.
const LEAD: u64 = 500;
/// How far one look ahead reaches, in milliseconds: further each time while it finds little, less when it finds more than
/// there is room for. So an entry in the store is looked at about as often as all that wait would fill the room.
const SHORTEST_STEP: u64 = 1_000;
const LONGEST_STEP: u64 = 3_600_000;
/// Messages whose time a queue knows, at the least and at the most.
const LEAST_SOON: usize = 256;
const MOST_SOON: usize = 65_536;
/// What one of them takes in memory, about, in bytes; all of a queue may take this part of its window for stored messages.
const SOON_BYTES: usize = 80;
const SOON_SHARE: usize = 4;
/// Messages in the runs that one look asks about, at the most.
const ASKED_ABOUT: u64 = 32 * 1024;

/// One that expires soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) time: Timestamp,
    pub(super) lane: Lane,
    pub(super) position: Position,
    /// Bytes of its body.
    pub(super) body: u32,
}

/// A look ahead that is not answered yet.
#[derive(Debug)]
struct Look {
    fetch: Fetch,
    /// What was in the range and has left the store's runs since: the answer may still have it.
    left: Vec<PositionRange>,
}

impl Look {
    fn left(&mut self, range: PositionRange) {
        let asked = self.fetch.range;
        if range.last < asked.first || asked.last < range.first {
            return;
        }
        match self.left.last_mut() {
            Some(last) if last.last.next() == range.first => last.last = range.last,
            _ => self.left.push(range),
        }
    }
}

#[derive(Debug)]
pub(super) struct Clock {
    /// In order of time.
    soon: BTreeSet<(Timestamp, Lane, Position)>,
    /// The same by place.
    places: BTreeMap<(Lane, Position), (Timestamp, u32)>,
    most: usize,
    /// How far the last look ahead reached. What comes to the store later and expires sooner is known at once.
    until: Timestamp,
    step: u64,
    /// When the step became another one.
    stepped_at: Timestamp,
    look: Option<Look>,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock {
            soon: BTreeSet::new(),
            places: BTreeMap::new(),
            most: LEAST_SOON,
            until: Timestamp(0),
            step: SHORTEST_STEP,
            stepped_at: Timestamp(0),
            look: None,
        }
    }
}

impl Clock {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Clock { soon, places, most: _, until: _, step: _, stepped_at: _, look } = self;
        into.in_use("clock: soon", soon);
        into.in_use("clock: places of these", places);
        into.in_transit("clock: look ahead", look);
    }

    /// It knows nothing and asks nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.soon.is_empty() && self.look.is_none()
    }

    /// When the first one that it knows of expires.
    pub(super) fn first(&self) -> Expiry {
        self.soon.first().map(|&(time, ..)| time).into()
    }

    /// When it has to look ahead, if of what it does not know nothing expires before `earliest`. Never while it waits for an
    /// answer, nor where there is no room for what it would find: what it knows comes first.
    pub(super) fn next_look(&self, earliest: Expiry) -> Expiry {
        let has_room = self.soon.len() < self.most / 2
            || self.soon.last().is_some_and(|&(time, ..)| earliest < Some(time).into());
        match earliest.time().filter(|_| has_room && self.look.is_none()) {
            Some(time) => Some(Timestamp(time.0.saturating_sub(LEAD))).into(),
            None => Expiry::NEVER,
        }
    }

    /// Takes in one that came to be in the store alone. Returns the one that it does not know then: the last one, or this one
    /// where it is beyond what was looked at.
    pub(super) fn came(&mut self, due: Due) -> Option<Due> {
        if due.time > self.until { Some(due) } else { self.know(due) }
    }

    /// The same, however late it expires.
    fn know(&mut self, due: Due) -> Option<Due> {
        let Due { time, lane, position, body } = due;
        let is_full = self.soon.len() >= self.most;
        if is_full && self.soon.last().is_some_and(|last| *last <= (time, lane, position)) {
            return Some(due).filter(|_| !self.places.contains_key(&(lane, position)));
        }
        if let Some((before, _)) = self.places.insert((lane, position), (time, body)) {
            self.soon.remove(&(before, lane, position));
        }
        self.soon.insert((time, lane, position));
        if self.soon.len() > self.most { self.pop_last() } else { None }
    }

    fn pop_last(&mut self) -> Option<Due> {
        let (time, lane, position) = self.soon.pop_last()?;
        let (_, body) = self.places.remove(&(lane, position))?;
        Some(Due { time, lane, position, body })
    }

    /// Takes the first one where it has expired.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Due> {
        let &(time, lane, position) = self.soon.first().filter(|(time, ..)| *time <= now)?;
        self.soon.pop_first();
        let (_, body) = self.places.remove(&(lane, position))?;
        self.tell_look(lane, PositionRange::single(position));
        Some(Due { time, lane, position, body })
    }

    /// What stood in this range of a lane is in the store's runs no more.
    pub(super) fn left(&mut self, lane: Lane, range: PositionRange) {
        self.tell_look(lane, range);
        if self.places.is_empty() || range.first > range.last {
            return;
        }
        let within = self.places.range((lane, range.first)..=(lane, range.last));
        let gone: Vec<_> = within.map(|(&(lane, position), &(time, _))| (time, lane, position)).collect();
        for (time, lane, position) in gone {
            self.places.remove(&(lane, position));
            self.soon.remove(&(time, lane, position));
        }
    }

    /// Nothing is in the store any more. An answer that is on its way has nothing to say.
    pub(super) fn clear(&mut self) {
        self.soon.clear();
        self.places.clear();
        if let Some(look) = &mut self.look {
            look.left = vec![look.fetch.range];
        }
    }

    /// These messages have left the queue, whatever their lane was.
    pub(super) fn removed(&mut self, range: PositionRange) {
        if let Some(look) = &mut self.look {
            look.left(range);
        }
    }

    fn tell_look(&mut self, lane: Lane, range: PositionRange) {
        if let Some(look) = self.look.as_mut().filter(|look| look.fetch.lane == lane) {
            look.left(range);
        }
    }

    /// Adapts how far it looks ahead to what an answer brought.
    fn adapt(&mut self, now: Timestamp, was_cut: bool) {
        let step = if was_cut {
            (self.step / 2).max(SHORTEST_STEP)
        } else if self.soon.len() < self.most / 4 && now >= self.stepped_at.plus_millis(self.step / 2) {
            (self.step * 2).min(LONGEST_STEP)
        } else {
            return;
        };
        (self.step, self.stepped_at) = (step, now);
    }
}

impl Queue {
    /// How many messages the clock may know.
    fn most_soon(&self) -> usize {
        (self.window.stored / SOON_SHARE / SOON_BYTES).clamp(LEAST_SOON, MOST_SOON)
    }

    /// Asks the store what expires soon, where that is not known.
    pub(super) fn look_ahead(&mut self, now: Timestamp, fx: &mut QueueEffects) {
        if self.ready.clock.is_none() {
            return;
        }
        self.ready.shrink_clock(self.most_soon());
        let earliest = self.ready.earliest_unknown();
        let Some(clock) = self.ready.clock.as_deref_mut() else { return };
        if !clock.next_look(earliest).is_due(now) {
            return;
        }
        let (soonest, until) = (now.plus_millis(LEAD), now.plus_millis(clock.step));
        let Some((lane, range)) = self.ready.start_look(soonest, until, ASKED_ABOUT) else { return };
        let wants = Wants::Times { until: self.wall_clock.latest(until) };
        let fetch = Fetch { queue: self.id.queue, lane, range, max_bytes: 0, wants };
        if let Some(clock) = self.ready.clock.as_deref_mut() {
            clock.until = clock.until.max(until);
            clock.look = Some(Look { fetch: fetch.clone(), left: Vec::new() });
        }
        self.fetches += 1;
        fx.fetches.push(fetch);
    }

    /// What the store answers.
    pub(super) fn looked_ahead(&mut self, now: Timestamp, fetched: Fetched) {
        let Some(clock) = self.ready.clock.as_deref_mut() else { return };
        let Some(Look { mut left, .. }) = clock.look.take_if(|look| look.fetch == fetched.fetch) else {
            return;
        };
        self.fetches -= 1;
        let Fetched { fetch: Fetch { lane, range, .. }, times: Times { entries, rest }, through, .. } =
            fetched;
        let rest = self.wall_clock.earliest(rest);
        // Of what was not answered nothing is known: it is asked for again at once.
        let unread = PositionRange { first: through.next().max(range.first), last: range.last };
        self.ready.expires_from(lane, unread, Some(now).into());
        self.ready.expires_from(lane, PositionRange { last: through.min(range.last), ..range }, rest.into());
        left.sort_unstable();
        let mut was_cut = false;
        for found in entries {
            if self.is_elsewhere(lane, found.position, &left) {
                continue;
            }
            let time =
                self.wall_clock.read(found.position, Some(found.expires_at)).unwrap_or(found.expires_at);
            let due = Due { time, lane, position: found.position, body: found.body };
            was_cut |= self.ready.know(due);
        }
        if let Some(clock) = self.ready.clock.as_deref_mut() {
            clock.adapt(now, was_cut);
        }
    }
}

impl super::ready::Ready {
    /// Takes in when a message expires that the store alone has. Returns whether there was no room for all.
    fn know(&mut self, due: Due) -> bool {
        let Some(clock) = self.clock.as_deref_mut() else { return false };
        let unknown = clock.know(due);
        if let Some(unknown) = unknown {
            self.survives(unknown);
        }
        unknown.is_some()
    }

    /// Has the clock know no more than so many, or none at all where it is not needed.
    fn shrink_clock(&mut self, most: usize) {
        let Some(clock) = self.clock.as_deref_mut() else { return };
        clock.most = most;
        let mut dropped = Vec::new();
        while clock.soon.len() > most && dropped.len() < super::paging::PAGED_OUT {
            dropped.extend(clock.pop_last());
        }
        if clock.is_idle() && self.lanes.iter().all(|lane| lane.spans.is_empty()) {
            self.clock = None;
        }
        for due in dropped {
            self.survives(due);
        }
    }
}
