//! What becomes of messages that leave ready or unacked: acked, requeued, dead-lettered, dropped (semantics
//! section 11, 12.4), and the removals the store hears of.

use super::Queue;
use super::effects::{Got, QueueEffects, Removal};
use super::entry::Stored;
use super::held::{Held, Taken};
use super::rotation::ConsumerSlot;
use crate::model::consuming::{DeathReason, Settlement};
use crate::model::counters::QueueCount;
use crate::model::ids::{ConsumerKey, Position, PositionRange, Timestamp};
use crate::model::op::{Op, Return};

/// What comes back from a lost consumer has failed; what was only held for too long has not (semantics 11.5).
pub(super) const FAILED: bool = true;
pub(super) const NOT_FAILED: bool = false;

impl Queue {
    /// Settles what a consumer (or getter) holds unacked in `range`. What it does not hold there is passed over: it may
    /// have gone with a deleted consumer or never been its own.
    pub fn settle(
        &mut self,
        now: Timestamp,
        key: ConsumerKey,
        range: PositionRange,
        settlement: Settlement,
        fx: &mut QueueEffects,
    ) {
        let Some(slot) = self.consumers.find(key) else { return };
        let count = match settlement {
            Settlement::Ack => {
                let count = self.ack(slot, range, fx);
                self.tally.add(QueueCount::Acked, count);
                count
            }
            Settlement::Discard => self.take_unacked(slot, range, |queue, at, held| {
                queue.discard(now, at, held, fx);
            }),
            Settlement::Requeue { failed } => {
                self.take_unacked(slot, range, |queue, at, held| queue.requeue(now, at, held, failed, fx))
            }
            Settlement::Release => self.take_unacked(slot, range, Queue::put_back),
        };
        if self.consumers.settled(slot, range, count) {
            let unacked = &self.unacked;
            self.consumers
                .keep_held(slot, |position| unacked.get(position).is_some_and(|held| held.slot == slot));
        }
        self.free_if_idle(slot, fx);
    }

    /// A consumer (or getter) is lost with its channel: it gets nothing more, and what it held comes back as failed, about
    /// `most` messages of it. Its gets that wait are answered with nothing: the connection waits for that, although nobody
    /// there wants it any more. Returns how many these were, and whether it was all; otherwise it wants to be called again.
    pub fn detach(
        &mut self,
        now: Timestamp,
        key: ConsumerKey,
        most: usize,
        fx: &mut QueueEffects,
    ) -> (usize, bool) {
        if let Some(gets) = self.gets.made() {
            let asked = gets.len();
            gets.retain(|get| get.key != key);
            fx.got.extend((gets.len()..asked).map(|_| Got { key, found: None }));
        }
        self.consumers.find(key).map_or((0, true), |slot| self.requeue_held(now, slot, FAILED, most, fx))
    }

    /// Takes a consumer out and what it holds back, as failed or not, as [`Queue::detach`] does.
    pub(super) fn requeue_held(
        &mut self,
        now: Timestamp,
        slot: ConsumerSlot,
        failed: bool,
        most: usize,
        fx: &mut QueueEffects,
    ) -> (usize, bool) {
        let was_registered = self.consumers.unregister(slot);
        let (held, is_all) = self.consumers.take_held(slot, most);
        for range in ranges(&held) {
            let count = self.take_unacked(slot, range, |queue, at, held| {
                queue.requeue(now, at, held, failed, fx);
            });
            self.consumers.settled(slot, range, count);
        }
        if is_all {
            self.free_if_idle(slot, fx);
        }
        if was_registered {
            self.consumer_left(now, fx);
        }
        (held.len(), is_all)
    }

    /// Forgets a consumer that is cancelled and holds nothing, or a getter that does not.
    pub(super) fn free_if_idle(&mut self, slot: ConsumerSlot, fx: &mut QueueEffects) {
        if self.consumers.is_idle(slot) {
            self.end_timeout(slot);
            let key = self.consumers.free_slot(slot);
            fx.freed_consumers.extend(key.map(|key| (self.id.queue, key)));
        }
    }

    /// Emits the removal of messages that were put. A fetch under way that may still see them is told.
    pub(super) fn removed(&mut self, range: PositionRange, fx: &mut QueueEffects) {
        fx.remove(self.id.queue, range);
        if self.fetches > 0 {
            self.ready.note_left(range);
        }
    }

    /// Emits the removal of all messages that are ready or wait and that the store has: everything between the lowest and
    /// the highest, apart from what is unacked or a dead letter. Call it while they are still there.
    pub(super) fn remove_stored(&mut self, fx: &mut QueueEffects) {
        let bounds = self.ready.stored_bounds().into_iter().chain(self.waiting.stored_bounds());
        let bounds = bounds.reduce(|one, other| PositionRange {
            first: one.first.min(other.first),
            last: one.last.max(other.last),
        });
        if let Some(range) = bounds {
            self.remove_between(range, Vec::new(), fx);
        }
    }

    /// Emits the removal of all positions in a range, apart from `kept` and what is unacked or a dead letter.
    pub(super) fn remove_between(
        &mut self,
        range: PositionRange,
        mut kept: Vec<PositionRange>,
        fx: &mut QueueEffects,
    ) {
        kept.extend(self.unacked.positions_in(range).map(PositionRange::single));
        kept.extend(self.dead_letters.kept_in(range));
        kept.sort_unstable();
        let mut from = range.first;
        for kept in kept {
            if from < kept.first {
                self.removed(PositionRange { first: from, last: Position(kept.first.0 - 1) }, fx);
            }
            from = kept.last.next();
        }
        if from <= range.last {
            self.removed(PositionRange { first: from, last: range.last }, fx);
        }
    }

    fn ack(&mut self, slot: ConsumerSlot, range: PositionRange, fx: &mut QueueEffects) -> u32 {
        let mut count = 0;
        let mut memory = *self.unacked_memory;
        let mut removal = Removal::default();
        let (queue, watched, ready) = (self.id.queue, self.fetches > 0, &mut self.ready);
        let mut remove = |range| {
            fx.remove(queue, range);
            if watched {
                ready.note_left(range);
            }
        };
        self.unacked.take_range(
            range,
            |held| held.slot == slot,
            |position, unacked| {
                count += 1;
                memory.held.subtract(&unacked.held);
                if let Some(range) = removal.add(position, unacked.held.stored != Stored::No) {
                    remove(range);
                }
            },
        );
        if let Some(range) = removal.finish() {
            remove(range);
        }
        if count > 0 {
            *self.unacked_memory = memory;
        }
        count
    }

    /// Takes what `slot` holds in `range` out of unacked and gives it to `settle`. Returns how many these were.
    fn take_unacked(
        &mut self,
        slot: ConsumerSlot,
        range: PositionRange,
        mut settle: impl FnMut(&mut Queue, Position, Held),
    ) -> u32 {
        let mut taken = Vec::new();
        self.unacked.take_range(
            range,
            |unacked| unacked.slot == slot,
            |at, unacked| {
                taken.push((at, unacked.held));
            },
        );
        let count = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        for (position, held) in taken {
            self.unacked_memory.held.subtract(&held);
            settle(self, position, held);
        }
        count
    }

    /// Back to its place as redelivered, after a wait where the queue has retries wait; one that has failed too often leaves
    /// instead (semantics 11.5, 11.10).
    fn requeue(&mut self, now: Timestamp, at: Position, mut held: Held, failed: bool, fx: &mut QueueEffects) {
        let counts = self.settings.retry.as_ref().map_or(failed, |retry| retry.counts(failed));
        if self.settings.counts_deliveries() {
            held.returns.count(counts);
        } else {
            held.returns.mark();
        }
        let attempts = held.returns.attempts();
        if counts && self.settings.delivery_limit.is_some_and(|limit| attempts.failed > limit) {
            return self.give_up(at, held, DeathReason::DeliveryLimit, fx);
        }
        let delay = self.settings.retry.as_ref().and_then(|retry| retry.delay(at, failed, attempts));
        let until = delay.map(|millis| now.plus_millis(millis));
        if held.stored != Stored::No {
            // By the wall clock as it is now, whatever it was when the message came.
            let not_before = self.wall_clock.stored(self.next_position, until).unwrap_or_default();
            let with = Return { attempts, not_before };
            fx.ops.push(Op::Requeue { queue: self.id.queue, position: at, with });
        }
        self.tally.add(QueueCount::Requeued, 1);
        match until {
            Some(until) => {
                self.tally.add(QueueCount::Retried, 1);
                self.wait(at, held, until, fx);
            }
            None => self.put_back(at, held),
        }
    }

    /// Rejected for good: it leaves, unless the queue retries what is rejected and a retry is left.
    fn discard(&mut self, now: Timestamp, position: Position, held: Held, fx: &mut QueueEffects) {
        let failed = held.returns.attempts().failed;
        let is_retried = self.settings.retry.as_ref().is_some_and(|retry| retry.retries_rejected())
            && self.settings.delivery_limit.is_none_or(|limit| failed < limit);
        if is_retried {
            self.requeue(now, position, held, FAILED, fx);
        } else {
            self.give_up(position, held, DeathReason::Rejected, fx);
        }
    }

    pub(super) fn put_back(&mut self, position: Position, held: Held) {
        let expiry = held.expiry;
        match held.taken(position) {
            Taken::Here(entry) => self.ready.put_back(self.lane_of(&entry.message), entry),
            Taken::Stored { lane, body } => self.ready.put_back_stored(lane, position, body, expiry),
        }
    }

    /// Nobody is to have it any more.
    fn give_up(&mut self, position: Position, held: Held, reason: DeathReason, fx: &mut QueueEffects) {
        match held.taken(position) {
            Taken::Here(entry) if entry.stored == Stored::Durable && self.dead_letters_wait() => {
                self.leave_stored(self.lane_of(&entry.message), position, reason, fx);
            }
            Taken::Here(entry) => self.leave(entry, reason, fx),
            Taken::Stored { lane, .. } => self.leave_stored(lane, position, reason, fx),
        }
    }
}

/// The ranges of rising positions.
fn ranges(positions: &[Position]) -> impl Iterator<Item = PositionRange> {
    positions
        .chunk_by(|one, other| one.next() == *other)
        .filter_map(|range| Some(PositionRange { first: *range.first()?, last: *range.last()? }))
}
