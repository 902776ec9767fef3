//! What the store is told of messages that come, and which have to outlive the process. What it is told of those that leave
//! is in `settle.rs`, and how memory is bounded by it in `paging.rs`.

use std::sync::Arc;

use super::Queue;
use super::effects::QueueEffects;
use super::entry::{Entry, Stored};
use crate::model::ids::Timestamp;
use crate::model::message::Message;
use crate::model::op::{self, EntryMeta, Op};
use crate::model::settings::{QueueRole, QueueType};

impl Queue {
    /// Emits the Put of an entry that is marked as stored.
    pub(super) fn put(&mut self, lane: op::Lane, entry: &Entry, fx: &mut QueueEffects) {
        self.put_until(lane, entry, Timestamp(0), fx);
    }

    /// The same of one that waits, by the wall clock; 0: it does not.
    #[inline(always)]
    pub(super) fn put_until(
        &mut self,
        lane: op::Lane,
        entry: &Entry,
        not_before: Timestamp,
        fx: &mut QueueEffects,
    ) {
        self.stored = true;
        fx.ops.push(Op::Put {
            queue: self.id.queue,
            lane,
            position: entry.position,
            message: Arc::clone(&entry.message),
            meta: EntryMeta { not_before, ..entry.meta(&self.wall_clock) },
            durable: entry.stored == Stored::Durable,
        });
    }

    /// Whether a message has to outlive the process here.
    pub(super) fn must_survive(&self, message: &Message) -> bool {
        let all = self.settings.queue_type == QueueType::Quorum || self.settings.role == QueueRole::Delays;
        self.settings.durable && (all || message.is_persistent())
    }
}
