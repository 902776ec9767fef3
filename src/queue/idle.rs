//! What a queue gives back when there is nothing in it and nobody has to do with it: there may be very many such queues,
//! and what one needed while it was used would stay for ever. When it is asked to is the shard's.

use super::Queue;
use super::consumers::Consumers;
use super::position_map::PositionMap;

impl Queue {
    /// Whether it is idle and has kept room that it does not need then. A queue with a consumer is not idle, however often
    /// it is empty: its next message is to cost no allocation.
    #[must_use]
    #[inline]
    pub fn keeps_room(&mut self) -> bool {
        self.consumers.knows_nobody() && self.is_idle() && self.has_room()
    }

    /// Gives the room back that an idle queue does not need, if it is one.
    pub fn give_room_back(&mut self) {
        if self.keeps_room() {
            self.ready.give_room_back();
            self.unacked = PositionMap::default();
            self.consumers = Consumers::default();
            self.consumer_timeouts.take_away();
            self.waiting.take_away();
            self.dead_letters.take_away();
            self.gets.take_away();
            self.unacked_memory.take_away();
            self.tally.rest();
        }
    }

    /// Whether there is nothing in it and nothing on its way to it.
    fn is_idle(&self) -> bool {
        self.ready.is_empty()
            && self.gets.is_empty()
            && self.fetches == 0
            && self.dead_letters.is_idle()
            && self.unacked.len() == 0
            && self.waiting.len() == 0
    }

    fn has_room(&mut self) -> bool {
        self.ready.lanes.len() > 0
            || self.consumers.has_room()
            || self.gets.capacity() > 0
            || self.tally.has_room()
    }
}
