//! Dead letters that a queue keeps until they are safe at their targets: those handed out, and those that wait in the
//! store alone for their turn or, because nothing else of them was kept in memory, for being read. An at-least-once
//! source (semantics 12.7) may have to keep any number for any time, so no more of them are in memory than a fetch
//! would bring. How they travel is the shard's.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Queue;
use super::effects::{DeadLetter, QueueEffects};
use super::entry::{Entry, Stored};
use super::on_first_use::Part;
use crate::model::consuming::DeathReason;
use crate::model::counters::QueueCount;
use crate::model::holdings::Holdings;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::{Fetch, Fetched, Lane, Wants};

/// Dead letters that are read together where they do not stand side by side.
const READ_TOGETHER: usize = 1024;

/// A span of positions, all of them dead letters that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WaitingSpan {
    last: Position,
    lane: Lane,
    reason: DeathReason,
}

#[derive(Debug, Default)]
pub(super) struct PendingDeadLetters {
    /// Handed out, with their footprint.
    sent: BTreeMap<Position, usize>,
    /// Bytes that these hold in memory, about.
    sent_memory: usize,
    /// In the store alone, by the first of each span.
    waiting: BTreeMap<Position, WaitingSpan>,
    waiting_count: u64,
    /// The read of those that are next.
    reading: Option<Fetch>,
    /// How far the last one went. They are read in order of place, round and round, so that none waits for those that come
    /// later to places before it.
    read_to: Position,
}

impl Part for PendingDeadLetters {
    fn none() -> &'static PendingDeadLetters {
        static NONE: PendingDeadLetters = PendingDeadLetters {
            sent: BTreeMap::new(),
            sent_memory: 0,
            waiting: BTreeMap::new(),
            waiting_count: 0,
            reading: None,
            read_to: Position(0),
        };
        &NONE
    }
}

impl PendingDeadLetters {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let PendingDeadLetters { sent, sent_memory, waiting, waiting_count, reading, read_to: _ } = self;
        into.in_transit("dead letters: sent", sent);
        into.in_transit("dead letters: memory of sent", sent_memory);
        into.in_transit("dead letters: waiting", waiting);
        into.in_transit(
            "dead letters: waiting, counted",
            &usize::try_from(*waiting_count).unwrap_or(usize::MAX),
        );
        into.in_transit("dead letters: fetch", reading);
    }

    /// Whether there are none, and none are being read.
    pub(super) fn is_idle(&self) -> bool {
        self.len() == 0 && self.reading.is_none()
    }

    /// How many the queue keeps.
    pub(super) fn len(&self) -> u64 {
        self.sent.len() as u64 + self.waiting_count
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.sent.contains_key(&position) || self.waiting_at(position).is_some()
    }

    /// All that are kept in a range, in no order.
    pub(super) fn kept_in(&self, range: PositionRange) -> impl Iterator<Item = PositionRange> + '_ {
        let sent = self.sent.range(range.first..=range.last).map(|(&at, _)| PositionRange::single(at));
        let before = self.waiting.range(..range.first).next_back();
        let waiting = before.into_iter().chain(self.waiting.range(range.first..=range.last));
        let waiting = waiting.filter(move |(_, span)| span.last >= range.first);
        sent.chain(waiting.map(|(&first, span)| PositionRange { first, last: span.last }))
    }

    fn send(&mut self, position: Position, footprint: usize) {
        self.sent.insert(position, footprint);
        self.sent_memory += footprint;
    }

    /// One that was handed out is safe. False where it was not.
    fn settle(&mut self, position: Position) -> bool {
        let Some(footprint) = self.sent.remove(&position) else { return false };
        self.sent_memory -= footprint;
        true
    }

    fn wait(&mut self, position: Position, lane: Lane, reason: DeathReason) {
        self.waiting_count += 1;
        let mut span = (position, WaitingSpan { last: position, lane, reason });
        let alike = |other: &WaitingSpan| (other.lane, other.reason) == (lane, reason);
        if let Some((&first, before)) = self.waiting.range(..position).next_back()
            && before.last.next() == position
            && alike(before)
        {
            span.0 = first;
        }
        if let Some(behind) = self.waiting.get(&position.next()).copied().filter(alike) {
            self.waiting.remove(&position.next());
            span.1.last = behind.last;
        }
        self.waiting.insert(span.0, span.1);
    }

    /// What is read next, of those that begin with this span: the span, or, where it is a short one, those of its lane
    /// that are the next ones behind it.
    fn next_to_read(&self, first: Position, span: WaitingSpan) -> (PositionRange, Wants) {
        let all = |first: Position, last: Position| (first.0..=last.0).map(Position);
        if span.last.0 - first.0 >= READ_TOGETHER as u64 {
            return (PositionRange { first, last: span.last }, Wants::All);
        }
        let runs =
            self.waiting.range(first..).take(READ_TOGETHER).filter(|(_, other)| other.lane == span.lane);
        let positions: Arc<[Position]> =
            runs.flat_map(|(&first, span)| all(first, span.last)).take(READ_TOGETHER).collect();
        let last = positions.last().copied().unwrap_or(span.last);
        (PositionRange { first, last }, Wants::These(positions))
    }

    fn waiting_at(&self, position: Position) -> Option<(Position, WaitingSpan)> {
        let (&first, span) = self.waiting.range(..=position).next_back()?;
        (span.last >= position).then_some((first, *span))
    }

    /// Takes one out of those that wait.
    fn take(&mut self, position: Position) -> Option<DeathReason> {
        let (first, span) = self.waiting_at(position)?;
        self.waiting_count -= 1;
        self.waiting.remove(&first);
        if first < position {
            self.waiting.insert(first, WaitingSpan { last: Position(position.0 - 1), ..span });
        }
        if position < span.last {
            self.waiting.insert(position.next(), span);
        }
        Some(span.reason)
    }
}

impl Queue {
    /// The dead letter is safe at its target, or there is none: the message leaves.
    pub fn dead_lettered(&mut self, position: Position, fx: &mut QueueEffects) {
        if self.dead_letters.made().is_some_and(|dead_letters| dead_letters.settle(position)) {
            self.removed(PositionRange::single(position), fx);
            if self.settings.dead_letters_at_least_once {
                self.tally.add(QueueCount::DeadLetterConfirmed, 1);
            }
        }
    }

    /// A message leaves for a reason that makes it a dead letter where the queue has a target for these. One that was
    /// stored durably stays there until it is safe at the target.
    pub(super) fn leave(&mut self, entry: Entry, reason: DeathReason, fx: &mut QueueEffects) {
        let position = entry.position;
        self.tally.add(reason.into(), 1);
        let awaited = self.settings.dead_letter.is_some() && entry.stored == Stored::Durable;
        if awaited {
            if self.settings.dead_letters_at_least_once && !self.may_send_dead_letter() {
                let lane = self.lane_of(&entry.message);
                return self.dead_letters.wait(position, lane, reason);
            }
            self.dead_letters.send(position, entry.footprint());
        } else if entry.stored != Stored::No {
            self.removed(PositionRange::single(position), fx);
        }
        if self.settings.dead_letter.is_some() {
            let (queue, message) = (self.id, entry.message);
            fx.send_dead_letter(DeadLetter { queue, position, message, reason, awaited });
        }
    }

    /// The same of a message that the store alone has: a dead letter is read first.
    pub(super) fn leave_stored(
        &mut self,
        lane: Lane,
        position: Position,
        reason: DeathReason,
        fx: &mut QueueEffects,
    ) {
        self.tally.add(reason.into(), 1);
        if self.settings.dead_letter.is_some() {
            self.dead_letters.wait(position, lane, reason);
        } else {
            self.removed(PositionRange::single(position), fx);
        }
    }

    /// Whether dead letters wait, which another one must not overtake.
    pub(super) fn dead_letters_wait(&self) -> bool {
        !self.dead_letters.waiting.is_empty()
    }

    /// Whether messages that the store alone has may become dead letters now. Those that are not kept for as long as it
    /// takes are read soon; until then no more of them wait than are read together, for they are to leave in order of
    /// time.
    pub(super) fn may_expire_stored(&self) -> bool {
        self.settings.dead_letter.is_none()
            || self.settings.dead_letters_at_least_once
            || self.dead_letters.waiting_count < READ_TOGETHER as u64
    }

    /// Whether the next dead letter may go: none waits before it, and there is room.
    fn may_send_dead_letter(&self) -> bool {
        !self.dead_letters_wait() && self.dead_letters.sent_memory < self.most_fetched()
    }

    /// Whether what leaves by itself has to stay for now: it becomes a dead letter, and there is no room for more.
    #[inline]
    pub(super) fn must_wait_for_room(&self, fx: &QueueEffects) -> bool {
        !fx.dead_letter_room.is_left() && self.settings.dead_letter.is_some()
    }

    /// Whether a pump would make dead letters if there were room for them. Then the queue wants to be pumped once there is.
    #[must_use]
    pub fn waits_for_room(&self, now: Timestamp, fx: &QueueEffects) -> bool {
        self.must_wait_for_room(fx)
            && (self.next_expiry().is_due(now)
                || (self.drops_head() && self.is_over_limit())
                || (self.dead_letters_wait() && self.dead_letters.reading.is_none()))
    }

    /// Whether a message that comes in now may make a dead letter at once.
    #[must_use]
    pub fn overflows_to_dead_letters(&self) -> bool {
        self.sends_on_what_it_refuses() || (self.settings.dead_letter.is_some() && self.drops_head())
    }

    /// Has the dead letters read that are next, once there is room for them.
    pub(super) fn read_dead_letters(&mut self, fx: &mut QueueEffects) {
        if self.must_wait_for_room(fx) {
            return;
        }
        let room = self.most_fetched().saturating_sub(self.dead_letters.sent_memory);
        let waiting = &self.dead_letters.waiting;
        let next = waiting.range(self.dead_letters.read_to..).next().or_else(|| waiting.first_key_value());
        let Some((&first, span)) = next else { return };
        if room == 0 || self.dead_letters.reading.is_some() {
            return;
        }
        let (range, wants) = self.dead_letters.next_to_read(first, *span);
        let fetch = Fetch { queue: self.id.queue, lane: span.lane, range, max_bytes: room, wants };
        self.dead_letters.reading = Some(fetch.clone());
        fx.fetches.push(fetch);
    }

    /// Hands out the dead letters that were read. What the store could not read is none any more.
    pub(super) fn dead_letters_loaded(&mut self, fetched: &Fetched, fx: &mut QueueEffects) {
        let reading = self.dead_letters.made().map(|dead_letters| &mut dead_letters.reading);
        let Some(read) = reading.and_then(|reading| reading.take_if(|read| *read == fetched.fetch)) else {
            return;
        };
        self.dead_letters.read_to = fetched.through.next().max(read.range.first);
        for found in &fetched.entries {
            let Some(reason) = self.dead_letters.take(found.position) else { continue };
            let (queue, position, message) = (self.id, found.position, found.message.clone());
            let awaited = self.must_survive(&message);
            if awaited {
                self.dead_letters.send(position, message.footprint());
            } else {
                self.removed(PositionRange::single(position), fx);
            }
            fx.send_dead_letter(DeadLetter { queue, position, message, reason, awaited });
        }
        match read.wants {
            Wants::These(positions) => {
                for damaged in positions.iter().filter(|position| **position <= fetched.through) {
                    self.dead_letters.take(*damaged);
                }
            }
            _ => {
                for damaged in read.range.first.0..=fetched.through.0 {
                    self.dead_letters.take(Position(damaged));
                }
            }
        }
    }
}

#[cfg(test)]
impl Queue {
    /// Those that have expired in the store alone and are not read yet.
    pub(super) fn expired_dead_letters(&self) -> impl Iterator<Item = Position> {
        let expired =
            self.dead_letters.waiting.iter().filter(|(_, span)| span.reason == DeathReason::Expired);
        expired.flat_map(|(first, span)| (first.0..=span.last.0).map(Position))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A plain map of what waits.
    type Plain = BTreeMap<u64, (Lane, DeathReason)>;

    fn reason(expired: bool) -> DeathReason {
        if expired { DeathReason::Expired } else { DeathReason::Rejected }
    }

    proptest! {
        #[test]
        fn dead_letters_that_wait_are_a_map_of_positions(
            steps in prop::collection::vec((any::<bool>(), 0u64..40, 0u8..2, any::<bool>()), 0..120),
            range in (0u64..40, 0u64..20),
        ) {
            let (mut dead_letters, mut plain) = (PendingDeadLetters::default(), Plain::new());
            for (arrives, position, lane, expired) in steps {
                if arrives && !plain.contains_key(&position) {
                    dead_letters.wait(Position(position), lane, reason(expired));
                    plain.insert(position, (lane, reason(expired)));
                } else {
                    let known = plain.remove(&position).map(|(_, reason)| reason);
                    prop_assert_eq!(dead_letters.take(Position(position)), known);
                }
                prop_assert_eq!(dead_letters.len(), plain.len() as u64);
            }
            for position in 0..42 {
                let found = dead_letters.waiting_at(Position(position)).map(|(_, span)| (span.lane, span.reason));
                prop_assert_eq!(found, plain.get(&position).copied());
            }
            let (first, last) = (range.0, range.0 + range.1);
            let kept: Vec<_> = dead_letters.kept_in(PositionRange { first: Position(first), last: Position(last) }).collect();
            for position in first..=last {
                let is_kept = kept.iter().any(|range| range.contains(Position(position)));
                prop_assert_eq!(is_kept, plain.contains_key(&position));
            }
        }
    }
}
