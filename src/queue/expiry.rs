//! Expiry: of messages, wherever they stand (semantics 12.1, 12.2), and of the queue itself (semantics 8.5).

use super::effects::QueueEffects;
use super::entry::Expiry;
use super::{PIECE, Queue};
use crate::model::consuming::DeathReason;
use crate::model::delay::delay;
use crate::model::ids::Timestamp;
use crate::model::message::Message;
use crate::model::settings::QueueRole;

impl Queue {
    /// Does what is due: messages are ready again or expire, as do consumers that hold one for too long, and the queue if
    /// nobody used it. Where that is much, the rest stays due. Returns how many messages were moved.
    pub fn tick(&mut self, now: Timestamp, fx: &mut QueueEffects) -> usize {
        let moved = self.end_waits(now) + self.expire(now, fx);
        self.expire_consumer_timeouts(now, fx);
        if self.idle_deadline().is_some_and(|deadline| deadline <= now) {
            self.announce_gone(fx);
        }
        moved
    }

    /// When [`Queue::tick`] has something to do: the earliest end of a wait, expiry of a message, consumer timeout, or of the
    /// queue.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let messages = self.next_expiry().time();
        let waits = self.waiting.next_end();
        [messages, waits, self.consumer_timeout_deadline(), self.idle_deadline()].into_iter().flatten().min()
    }

    /// When [`Queue::expire`] has something to do.
    pub(super) fn next_expiry(&self) -> Expiry {
        let stored = if self.may_expire_stored() { self.ready.next_stored_expiry() } else { Expiry::NEVER };
        self.ready.next_expiry().min(stored)
    }

    /// Lets expired messages leave, not too many at once, and looks for what expires soon. Returns how many left. Of what the
    /// store alone has nothing is read, unless it becomes a dead letter.
    pub(super) fn expire(&mut self, now: Timestamp, fx: &mut QueueEffects) -> usize {
        let mut expired = 0;
        while expired < PIECE
            && !self.must_wait_for_room(fx)
            && let Some(entry) = self.ready.pop_expired(now, self.fresh_from)
        {
            self.leave(entry, DeathReason::Expired, fx);
            expired += 1;
        }
        let mut stored = Vec::new();
        while expired + stored.len() < PIECE
            && self.may_expire_stored()
            && let Some(gone) = self.ready.pop_stored_expired(now)
        {
            stored.push(gone);
        }
        // What stands side by side is removed, or read, together.
        stored.sort_unstable();
        expired += stored.len();
        for (lane, position) in stored {
            self.leave_stored(lane, position, DeathReason::Expired, fx);
        }
        self.look_ahead(now, fx);
        expired
    }

    /// When a message that arrives now expires: by queue TTL or its own expiration, whichever is first. Where messages
    /// wait for their delay to be over, by that alone.
    pub(super) fn expiry_of(&self, now: Timestamp, message: &Message) -> Expiry {
        if self.settings.role == QueueRole::Delays {
            return Some(now.plus_millis(delay(message.properties()).unwrap_or(0).into())).into();
        }
        let ttl = [self.settings.message_ttl, message.expiration()].into_iter().flatten().min();
        ttl.map(|millis| now.plus_millis(millis)).into()
    }

    /// When a queue without consumers expires; None where it does not, or has been announced already.
    fn idle_deadline(&self) -> Option<Timestamp> {
        let period = self.settings.expires.filter(|_| !self.gone && self.consumers.is_empty())?;
        Some(self.last_used.plus_millis(period))
    }
}
