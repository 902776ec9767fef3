//! Consumer timeouts: how long a consumer, or whoever used `basic.get`, may hold a delivery unacked (semantics 11.7).
//! Who holds what is in `consumers.rs`; what the client is told is the session's.
//!
//! Every unacked message knows since when it is held. A consumer that holds something has one deadline in the queue's
//! list, made for the oldest delivery of that time; when it has come, what is the oldest now is looked for. So a
//! delivery and an ack cost nothing, and a consumer is looked at once per timeout.

use std::collections::BTreeSet;

use super::effects::{QueueEffects, TimedOut};
use super::on_first_use::Part;
use super::rotation::ConsumerSlot;
use super::{PIECE, Queue, settle};
use crate::model::ids::Timestamp;
use crate::model::settings::QueueType;

/// The longest consumer timeout, in milliseconds: 30 days. A longer one is none.
const LONGEST: u64 = 30 * 86_400_000;

impl Part for BTreeSet<(Timestamp, ConsumerSlot)> {
    fn none() -> &'static BTreeSet<(Timestamp, ConsumerSlot)> {
        static NONE: BTreeSet<(Timestamp, ConsumerSlot)> = BTreeSet::new();
        &NONE
    }
}

impl Queue {
    /// How long somebody may hold a delivery who asks for this time, or for none.
    pub(super) fn timeout_of(&self, asked: Option<u64>) -> Option<u64> {
        asked.or(self.settings.consumer_timeout).filter(|&timeout| timeout <= LONGEST)
    }

    /// A consumer was given a message that it has to settle.
    pub(super) fn begin_consumer_timeout(&mut self, now: Timestamp, slot: ConsumerSlot) {
        if let Some(deadline) = self.consumers.begin_timeout(slot, now) {
            self.consumer_timeouts.insert((deadline, slot));
        }
    }

    /// When the next consumer has to be looked at.
    pub(super) fn consumer_timeout_deadline(&self) -> Option<Timestamp> {
        self.consumer_timeouts.first().map(|&(deadline, _)| deadline)
    }

    /// A consumer gets nothing more, or has another timeout from now on.
    pub(super) fn end_timeout(&mut self, slot: ConsumerSlot) {
        if let Some(deadline) = self.consumers.end_timeout(slot) {
            self.consumer_timeouts.remove(&(deadline, slot));
        }
    }

    /// Takes the messages back from consumers that held one for too long, and the consumers out of the queue. That is no
    /// failure of the messages.
    pub(super) fn expire_consumer_timeouts(&mut self, now: Timestamp, fx: &mut QueueEffects) {
        while let Some(&(deadline, slot)) = self.consumer_timeouts.first()
            && deadline <= now
        {
            self.consumer_timeouts.pop_first();
            self.consumers.end_timeout(slot);
            let (Some(timeout), Some(key)) = (self.consumers.timeout(slot), self.consumers.key(slot)) else {
                continue;
            };
            if self.consumers.is_timed_out(slot) {
                return self.go_on_requeueing(now, slot, timeout, fx);
            }
            let unacked = self.consumers.held(slot).filter_map(|position| self.unacked.get(position));
            let ages = unacked.filter(|unacked| unacked.slot == slot).map(|unacked| unacked.since.age(now));
            match ages.max() {
                None => {}
                Some(oldest) if oldest < timeout => {
                    self.begin_consumer_timeout(Timestamp(now.0.saturating_sub(oldest)), slot);
                }
                Some(_) => {
                    let closes_channel = self.settings.queue_type == QueueType::Classic;
                    fx.timed_out.push(TimedOut { key, timeout, closes_channel });
                    self.consumers.set_timed_out(slot);
                    return self.go_on_requeueing(now, slot, timeout, fx);
                }
            }
        }
    }

    /// Takes back a part of what a consumer held for too long. The rest is due at once.
    fn go_on_requeueing(&mut self, now: Timestamp, slot: ConsumerSlot, timeout: u64, fx: &mut QueueEffects) {
        let (_, is_all) = self.requeue_held(now, slot, settle::NOT_FAILED, PIECE, fx);
        if !is_all {
            self.begin_consumer_timeout(Timestamp(now.0.saturating_sub(timeout)), slot);
        }
    }
}
