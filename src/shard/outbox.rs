//! What is on its way from this shard to each connection, in bytes, so that a slow consumer is bounded, and which queues
//! wait for it to become less. Which connections there are, and what they have to do with queues, is in `holders.rs`.

use std::collections::BTreeSet;

use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, QueueId};
use crate::model::maps::Map;
use crate::model::sparse::ShrinkIfSparse;
use crate::queue::FlowControl;

/// Bytes of deliveries that may be under way to one connection from all shards together, and from each of few.
const MOST_BYTES: usize = 4 << 20;
const MOST_PER_SHARD: usize = 1 << 20;

/// So many queues beyond twice those held back may be on the list of them.
const SLACK: usize = 32;

/// With this many bytes under way a connection gets no more from one of so many shards until half of it has drained.
/// A message that is larger is sent all the same, alone.
#[must_use]
pub fn outbox_bytes(shards: u16) -> usize {
    (MOST_BYTES / usize::from(shards).max(1)).min(MOST_PER_SHARD)
}

/// One connection's.
#[derive(Debug, Default)]
struct Outbox {
    /// Footprints of deliveries that were handed out and not reported as written.
    bytes: usize,
    /// The queues that had something for it when it was full.
    held_back: BTreeSet<QueueId>,
    /// The same in the order they came. One that the connection has nothing to do with any more may still be here.
    order: Vec<QueueId>,
    /// The queue that filled it.
    filled_by: Option<QueueId>,
}

impl Outbox {
    fn hold_back(&mut self, queue: QueueId) {
        if self.held_back.insert(queue) {
            self.order.push(queue);
        }
    }

    /// Takes the queues that were held back. The one that has filled it is the last of them, for each to have its turn.
    fn take_held_back(&mut self) -> Vec<QueueId> {
        let mut order = std::mem::take(&mut self.order);
        order.retain(|queue| self.held_back.remove(queue));
        if order.first().copied() == self.filled_by.take() && !order.is_empty() {
            order.rotate_left(1);
        }
        order
    }

    fn forget(&mut self, queue: QueueId) {
        self.held_back.remove(&queue);
        if self.order.len() > 2 * self.held_back.len() + SLACK {
            self.order.retain(|queue| self.held_back.contains(queue));
        }
    }
}

#[derive(Debug)]
pub(super) struct Outboxes {
    /// Bytes that may be under way to a connection.
    limit: usize,
    of: Map<ConnectionId, Outbox>,
}

impl Outboxes {
    pub(super) fn new(limit: usize) -> Outboxes {
        Outboxes { limit, of: Map::default() }
    }

    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Outboxes { limit: _, of } = self;
        into.in_use("outboxes: connections", of);
        for Outbox { bytes, held_back, order, filled_by } in of.values() {
            into.in_use("outbox: bytes", bytes);
            into.in_use("outbox: which queues these are", held_back);
            into.in_use("outbox: queues held back", order);
            into.in_use("outbox: filled by", filled_by);
        }
    }

    /// A connection may be sent something from now on, if it could not before.
    pub(super) fn open(&mut self, connection: ConnectionId) {
        self.of.entry(connection).or_default();
    }

    /// It has gone: nothing more is sent to it.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.of.remove(&connection);
        self.of.shrink_if_sparse();
    }

    /// It has nothing to do with this queue any more.
    pub(super) fn forget(&mut self, connection: ConnectionId, queue: QueueId) {
        if let Some(outbox) = self.of.get_mut(&connection) {
            outbox.forget(queue);
        }
    }

    /// So many bytes were written, or will never be. Returns the queues that may go on.
    pub(super) fn drained(&mut self, connection: ConnectionId, bytes: usize) -> Vec<QueueId> {
        let Some(outbox) = self.of.get_mut(&connection) else { return Vec::new() };
        outbox.bytes = outbox.bytes.saturating_sub(bytes);
        if outbox.bytes > self.limit / 2 { Vec::new() } else { outbox.take_held_back() }
    }

    /// The flow control that one queue delivers through.
    pub(super) fn flow(&mut self, queue: QueueId) -> QueueFlowControl<'_> {
        QueueFlowControl { outboxes: self, queue }
    }
}

pub(super) struct QueueFlowControl<'a> {
    outboxes: &'a mut Outboxes,
    queue: QueueId,
}

impl FlowControl for QueueFlowControl<'_> {
    fn admits(&mut self, connection: ConnectionId, bytes: usize) -> bool {
        // Whoever may have something was added; who is not here has gone, and its consumers are about to go.
        let Some(outbox) = self.outboxes.of.get_mut(&connection) else { return false };
        if outbox.bytes >= self.outboxes.limit {
            outbox.hold_back(self.queue);
            return false;
        }
        outbox.bytes = outbox.bytes.saturating_add(bytes);
        if outbox.bytes >= self.outboxes.limit {
            outbox.filled_by = Some(self.queue);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;
    const CONNECTION: ConnectionId = ConnectionId(1);

    fn outboxes() -> Outboxes {
        let mut outboxes = Outboxes::new(LIMIT);
        outboxes.open(CONNECTION);
        outboxes
    }

    #[test]
    fn all_shards_together_are_bounded() {
        assert_eq!([1, 2, 4].map(outbox_bytes), [LIMIT; 3]);
        assert_eq!(outbox_bytes(16) * 16, MOST_BYTES);
        assert_eq!(outbox_bytes(0), LIMIT);
    }

    #[test]
    fn a_full_outbox_holds_back_until_half_has_drained() {
        let queue = QueueId(7);
        let mut outboxes = outboxes();
        assert!(outboxes.flow(queue).admits(CONNECTION, LIMIT));
        assert!(!outboxes.flow(queue).admits(CONNECTION, 1));
        assert!(!outboxes.flow(queue).admits(CONNECTION, 1));
        assert!(!outboxes.flow(queue).admits(ConnectionId(2), 1), "it has gone");
        outboxes.open(ConnectionId(2));
        assert!(outboxes.flow(queue).admits(ConnectionId(2), 1));
        assert!(outboxes.drained(CONNECTION, LIMIT / 4).is_empty());
        assert_eq!(outboxes.drained(CONNECTION, LIMIT / 4), [queue]);
        assert!(outboxes.flow(queue).admits(CONNECTION, 1));
    }

    #[test]
    fn each_queue_is_held_back_once_however_often_it_asks() {
        let queues: Vec<u64> = (1..=1000).collect();
        let mut outboxes = outboxes();
        assert!(outboxes.flow(QueueId(1)).admits(CONNECTION, LIMIT));
        for _ in 0..100 {
            for &queue in &queues {
                assert!(!outboxes.flow(QueueId(queue)).admits(CONNECTION, 1));
            }
        }
        let outbox = &outboxes.of[&CONNECTION];
        assert_eq!(outbox.order.len(), 1000);
        let all = outboxes.drained(CONNECTION, LIMIT);
        assert_eq!((all.len(), all.last()), (1000, Some(&QueueId(1))), "who filled it comes last");
        assert!(outboxes.drained(CONNECTION, 0).is_empty());
    }
}
