//! Length limits (semantics 12.3): which messages are refused at the door, and which are dropped from the head. What
//! waits to be ready again counts as the ready do, which go first (semantics 11.10).

use super::effects::QueueEffects;
use super::{PIECE, Queue, lane::Next};
use crate::model::consuming::DeathReason;
use crate::model::counters::QueueCount;
use crate::model::ids::PositionRange;
use crate::model::message::Message;
use crate::model::op::Lane;
use crate::model::settings::Overflow;

impl Queue {
    /// Whether a queue that rejects is too full for this message.
    ///
    /// The publisher is answered before the next pump, so what consumers can take at once is reckoned with: a message is
    /// let in if there is credit for all that is ready and for itself, or if what credit leaves over is within the
    /// length limit. Where the last pump left messages ready (connections are full, or a fetch is under way), only
    /// credit that came since is reckoned with. For the limit in bytes, all that is ready counts as long as
    /// credit does not cover all of it. `kept` messages that are not ready count towards the length.
    #[inline]
    pub(super) fn refuses(&self, message: &Message, kept: u64) -> bool {
        self.settings.overflow != Overflow::DropHead && self.is_full_for(message, kept)
    }

    fn is_full_for(&self, message: &Message, kept: u64) -> bool {
        let (ready, bytes) = (self.ready.count(), self.ready.body_bytes() + self.waiting.memory().bodies);
        let kept = kept + self.waiting.len() as u64;
        let too_many = |count: u64| self.settings.max_length.is_some_and(|max| count + kept >= max);
        let too_large = || {
            let with_it = bytes.saturating_add(message.body().len() as u64);
            self.settings.max_length_bytes.is_some_and(|max| with_it > max)
        };
        if !too_many(ready) && !too_large() {
            return false;
        }
        let selection = self.selection();
        let room = self.consumers.room(selection, self.backlog, ready.saturating_add(1));
        room <= ready && (too_many(ready - room) || too_large())
    }

    /// Drops what would be delivered next until the queue is within its limits: of a priority queue, that is the head of
    /// its highest lane, as in RabbitMQ. Goes on after a fetch where the head is not in memory. Returns whether so many had
    /// to go that the rest wants another call.
    pub(super) fn enforce_limits(&mut self, fx: &mut QueueEffects) -> bool {
        if self.settings.overflow != Overflow::DropHead {
            return false;
        }
        for _ in 0..PIECE {
            if !self.is_over_limit() || self.must_wait_for_room(fx) {
                return false;
            }
            let Some(lane) = self.ready.highest() else { return false };
            match self.ready.next(lane) {
                Next::Entry(_) => {
                    if let Some(entry) = self.ready.pop(lane) {
                        self.leave(entry, DeathReason::MaxLength, fx);
                    }
                }
                Next::Paged => {
                    if !self.drop_span(lane, fx) {
                        self.fetch_front(lane, fx);
                        return false;
                    }
                }
                Next::Empty => return false,
            }
        }
        self.is_over_limit()
    }

    /// Drops the whole span at the front of the only lane unread, where all of it has to go and none of it is a dead
    /// letter.
    fn drop_span(&mut self, lane: Lane, fx: &mut QueueEffects) -> bool {
        let Some(only) = self.ready.lanes.only() else { return false };
        let Some(span) = only.spans.front().copied() else { return false };
        let (count, bytes) = self.limited();
        let too_many = self.settings.max_length.is_some_and(|max| count - span.count >= max);
        let too_large = self.settings.max_length_bytes.is_some_and(|max| bytes - span.bytes > max);
        if only.in_flight.is_some() || self.settings.dead_letter.is_some() || !(too_many || too_large) {
            return false;
        }
        self.tally.add(QueueCount::MaxLength, u32::try_from(span.count).unwrap_or(u32::MAX));
        let kept = only.returned_in(span.range).chain(self.waiting.positions_in(span.range));
        let kept = kept.map(PositionRange::single).collect();
        self.remove_between(span.range, kept, fx);
        self.ready.with_spans(lane, |lane| lane.spans.pop_front());
        self.ready.left_spans(lane, span.range);
        self.ready.rejoin(lane);
        true
    }

    /// Whether messages are ready that the next pump lets go: too many, or expired when they came. Until then they are
    /// nobody's who was not there before them.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.born_expired || (self.drops_head() && self.is_over_limit())
    }

    /// Whether it has a limit that makes it drop from its head.
    pub(super) fn drops_head(&self) -> bool {
        self.settings.overflow == Overflow::DropHead
            && (self.settings.max_length.is_some() || self.settings.max_length_bytes.is_some())
    }

    /// Whether something ready has to go.
    pub(super) fn is_over_limit(&self) -> bool {
        let (count, bytes) = self.limited();
        !self.ready.is_empty()
            && (self.settings.max_length.is_some_and(|max| count > max)
                || self.settings.max_length_bytes.is_some_and(|max| bytes > max))
    }

    /// How many messages count towards the limits, and the bytes of their bodies.
    fn limited(&self) -> (u64, u64) {
        (
            self.ready.count() + self.waiting.len() as u64,
            self.ready.body_bytes() + self.waiting.memory().bodies,
        )
    }
}
