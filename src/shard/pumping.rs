//! The part of a shard's turn in which queues deliver: those that were touched, and those that have waited for room for dead
//! letters. What else follows from it is kept up to date here: deadlines, counts, who has messages. What a queue does is
//! its own.

use super::Shard;
use super::confirms::Waiter;
use crate::model::ids::Timestamp;
use crate::model::sparse::ShrinkIfSparse;

impl Shard {
    /// Pumps the queues that were touched.
    pub(super) fn pump(&mut self, now: Timestamp) {
        let mut touched = std::mem::take(&mut self.queues.touched);
        let mut windows_changed = false;
        let mut pumped = 0;
        loop {
            if !self.steps.may_pump() {
                break;
            }
            // Those that have waited for room go first.
            let waited = self.next_waiting();
            let id = match (waited, touched.get(pumped)) {
                (Some(id), _) => id,
                (None, Some(&id)) => {
                    pumped += 1;
                    id
                }
                (None, None) => break,
            };
            let Some(slot) = self.queues.get_mut(id) else { continue };
            // One that has waited may stand among the touched ones, too, and is pumped once more there.
            if waited.is_some() {
                slot.waits_for_room = false;
            } else {
                slot.touched = false;
            }
            let (moved, more) = slot.queue.pump(now, &mut self.outboxes.flow(id), &mut self.fx);
            self.steps.pumped(moved);
            if more {
                self.again.push(id);
            }
            if self.holds_back {
                let below = slot.queue.last_position().next();
                if slot.queue.deliverable_below() < below && self.held_back.insert(id, below) != Some(below) {
                    self.confirms.wait(Waiter::Queue(id, below));
                }
            }
            let size = slot.queue.size();
            self.accounts.book(slot.account, slot.queue.book());
            let has_messages = size.ready > 0 || size.memory_bytes > 0;
            if has_messages != slot.has_messages {
                slot.has_messages = has_messages;
                windows_changed |= self.budget.count(has_messages);
            }
            if slot.queue.keeps_room() {
                self.resting.add(now, id);
            }
            let mut deadline = slot.queue.next_deadline();
            if slot.queue.waits_for_room(now, &self.fx) {
                deadline = None;
                if !std::mem::replace(&mut slot.waits_for_room, true) {
                    self.waiting_for_room.push_back(id);
                }
            }
            if deadline != slot.deadline {
                if let Some(before) = slot.deadline {
                    self.deadlines.remove(&(before, id));
                }
                self.deadlines.extend(deadline.map(|deadline| (deadline, id)));
                slot.deadline = deadline;
            }
        }
        if windows_changed {
            self.set_windows();
        }
        touched.drain(..pumped);
        let newly = &mut self.queues.touched;
        if newly.is_empty() || !touched.is_empty() {
            touched.append(newly);
            touched.shrink_if_sparse();
            *newly = touched;
        }
    }
}
