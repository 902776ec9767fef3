//! What was purged, or deleted with its queue: it is nobody's any more, but giving the memory of a million messages back
//! takes a while, and so does telling a hundred thousand consumers. It is done a part at a time.

use super::Unacked;
use super::consumers::Consumers;
use super::lane::Lane;
use super::position_map::PositionMap;
use super::waiting::Waiting;
use crate::model::ids::{ConsumerKey, QueueId};

/// As few messages as these are dropped at once.
const FEW: usize = 1024;

#[derive(Debug, Default)]
pub struct Garbage {
    lanes: Vec<Lane>,
    unacked: PositionMap<Unacked>,
    waiting: Option<Box<Waiting>>,
}

impl Garbage {
    /// What there is to be dropped; None where that is little, which is done then.
    pub(super) fn of(
        lanes: Vec<Lane>,
        unacked: PositionMap<Unacked>,
        waiting: Option<Box<Waiting>>,
    ) -> Option<Garbage> {
        let waits = waiting.as_ref().map_or(0, |waiting| waiting.len());
        let count = lanes.iter().map(Lane::in_memory_count).sum::<usize>() + unacked.len() + waits;
        (count > FEW).then_some(Garbage { lanes, unacked, waiting })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.unacked.len() == 0 && self.waiting.is_none()
    }

    /// Drops up to `most` messages. Returns how many more it could have dropped.
    #[must_use]
    pub fn drop_some(&mut self, mut most: usize) -> usize {
        while most > 0
            && let Some(lane) = self.lanes.last_mut()
        {
            most = lane.drop_some(most);
            if lane.in_memory_count() == 0 {
                self.lanes.pop();
            }
        }
        most = self.unacked.drop_some(most);
        if let Some(waiting) = &mut self.waiting {
            most = waiting.drop_some(most);
            if most > 0 {
                self.waiting = None;
            }
        }
        most
    }
}

/// All who had to do with a queue that was deleted.
#[derive(Debug)]
pub struct CancelledConsumers {
    queue: QueueId,
    consumers: Consumers,
}

impl CancelledConsumers {
    pub(super) fn new(queue: QueueId, consumers: Consumers) -> CancelledConsumers {
        CancelledConsumers { queue, consumers }
    }

    #[must_use]
    pub fn queue(&self) -> QueueId {
        self.queue
    }
}

/// Each of them, and whether it was a consumer: in order of registration, and then those who only held something.
impl Iterator for CancelledConsumers {
    type Item = (ConsumerKey, bool);

    fn next(&mut self) -> Option<(ConsumerKey, bool)> {
        self.consumers.take_next()
    }
}
