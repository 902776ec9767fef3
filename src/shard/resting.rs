//! Queues that are idle and have room from when they were used. It is given back after a while and not at once: one that
//! is fetched from message by message is idle after each of them. What is given back is the queue's.

use std::collections::BTreeSet;

use super::queues::Queues;
use crate::model::holdings::Holdings;
use crate::model::ids::{QueueId, Timestamp};

/// The longest that a queue which stays idle keeps its room, in milliseconds.
const WAIT: u64 = 10_000;

/// Queues that a turn looks at: half a microsecond each.
const LOOKED_AT: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Resting {
    queues: BTreeSet<QueueId>,
    /// When they are looked at.
    due: Option<Timestamp>,
}

impl Resting {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Resting { queues, due: _ } = self;
        into.declared("shard: queues that keep room", queues);
    }

    /// A queue is idle and keeps room.
    pub(super) fn add(&mut self, now: Timestamp, queue: QueueId) {
        self.queues.insert(queue);
        self.due.get_or_insert(now.plus_millis(WAIT));
    }

    /// A queue is deleted.
    pub(super) fn remove(&mut self, queue: QueueId) {
        self.queues.remove(&queue);
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due
    }

    /// Has those give their room back, where it is time, that are idle still; some in each turn.
    pub(super) fn give_room_back(&mut self, now: Timestamp, queues: &mut Queues) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        for _ in 0..LOOKED_AT {
            let Some(queue) = self.queues.pop_first() else {
                *self = Resting::default();
                return;
            };
            if let Some(slot) = queues.get_mut(queue) {
                slot.queue.give_room_back();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::command::QueueLabel;
    use crate::model::ids::{QueueRef, ShardIndex};
    use crate::model::settings::QueueSettings;
    use crate::queue::Queue;
    use crate::shard::accounts::Booked;
    use crate::shard::queues::Values;
    use crate::shard::slot::{QueueSlot, Slot};

    #[test]
    fn many_are_looked_at_in_several_turns_once_it_is_time() {
        let mut queues = Queues::new(Values { windows: (1, 8), wall_ahead: 0 });
        let mut resting = Resting::default();
        let start = Timestamp(1_000);
        for id in (0..2 * LOOKED_AT as u64).map(QueueId) {
            let at = QueueRef { queue: id, shard: ShardIndex::alone(0) };
            let label = QueueLabel { vhost: "/".into(), name: "q".into() };
            let queue = Queue::new(at, QueueSettings::default(), start);
            queues.add(id, Slot::Queue(Box::new(QueueSlot::new(queue, label, Booked::default()))));
            resting.add(start.plus_millis(id.0), id);
        }
        let due = start.plus_millis(WAIT);
        assert_eq!(resting.next(), Some(due), "the first one's time is everybody's");
        resting.give_room_back(start, &mut queues);
        assert_eq!(resting.queues.len(), 2 * LOOKED_AT);
        resting.remove(QueueId(7));
        resting.give_room_back(due, &mut queues);
        assert_eq!((resting.queues.len(), resting.next()), (LOOKED_AT - 1, Some(due)));
        resting.give_room_back(due, &mut queues);
        assert_eq!((resting.queues.len(), resting.next()), (0, None));
    }
}
