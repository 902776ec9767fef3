//! What is on its way from this shard to each connection, in bytes, so that a slow consumer is bounded; and what each
//! connection has to do with the queues here, for when it is gone. What is known of a queue goes with the connection's
//! last consumer or getter there, so nothing grows with what a connection does again and again.

use std::collections::{BTreeMap, BTreeSet, btree_map, btree_set};

use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ConsumerNumber, QueueId};
use crate::model::maps::Map;
use crate::model::sparse::ShrinkIfSparse;
use crate::queue::FlowControl;

/// Bytes of deliveries that may be under way to one connection from all shards together, and from each of few.
const MOST_BYTES: usize = 4 << 20;
const MOST_PER_SHARD: usize = 1 << 20;

/// So many queues beyond twice those dealt with may be remembered as held back.
const SLACK: usize = 32;

/// With this many bytes under way a connection gets no more from one of so many shards until half of it has drained.
/// A message that is larger is sent all the same, alone.
#[must_use]
pub fn outbox_bytes(shards: u16) -> usize {
    (MOST_BYTES / usize::from(shards).max(1)).min(MOST_PER_SHARD)
}

/// What a connection has to do with a queue.
#[derive(Debug, Default)]
struct QueueHolders {
    /// Consumers (and getters) it may have there.
    holders: BTreeSet<ConsumerNumber>,
    /// The queue had something for it when it was full.
    is_held_back: bool,
}

/// One connection's.
#[derive(Debug, Default)]
struct Outbox {
    /// Footprints of deliveries that were handed out and not reported as written.
    bytes: usize,
    /// In order, for they leave in order.
    queues: BTreeMap<QueueId, QueueHolders>,
    /// The queues that are held back, in the order they came. One that the connection has nothing to do with any more
    /// may still be here.
    held_back: Vec<QueueId>,
    /// The queue that filled it.
    filled_by: Option<QueueId>,
}

impl Outbox {
    fn hold_back(&mut self, queue: QueueId) {
        let of_queue = self.queues.entry(queue).or_default();
        if !std::mem::replace(&mut of_queue.is_held_back, true) {
            self.held_back.push(queue);
        }
    }

    /// Takes the queues that were held back. The one that has filled it is the last of them, for each to have its turn.
    fn take_held_back(&mut self) -> Vec<QueueId> {
        let mut held_back = std::mem::take(&mut self.held_back);
        held_back.retain(|queue| {
            let of_queue = self.queues.get_mut(queue);
            of_queue.is_some_and(|of_queue| std::mem::take(&mut of_queue.is_held_back))
        });
        if held_back.first().copied() == self.filled_by.take() && !held_back.is_empty() {
            held_back.rotate_left(1);
        }
        held_back
    }

    fn remove_holder(&mut self, queue: QueueId, consumer: ConsumerNumber) {
        let Some(of_queue) = self.queues.get_mut(&queue) else { return };
        of_queue.holders.remove(&consumer);
        if !of_queue.holders.is_empty() {
            return;
        }
        self.queues.remove(&queue);
        if self.held_back.len() > 2 * self.queues.len() + SLACK {
            self.held_back
                .retain(|queue| self.queues.get(queue).is_some_and(|of_queue| of_queue.is_held_back));
        }
    }
}

#[derive(Debug)]
pub(super) struct Outboxes {
    /// Bytes that may be under way to a connection.
    limit: usize,
    of: Map<ConnectionId, Outbox>,
    /// Of connections that have gone: what is left of what they had to do with queues.
    closed: Map<ConnectionId, ClosedConnection>,
}

/// The queues that a connection that has gone had to do with, and the rest of its consumers and getters of one.
#[derive(Debug)]
struct ClosedConnection {
    queues: btree_map::IntoIter<QueueId, QueueHolders>,
    queue: QueueId,
    holders: btree_set::IntoIter<ConsumerNumber>,
}

impl Outboxes {
    pub(super) fn new(limit: usize) -> Outboxes {
        Outboxes { limit, of: Map::default(), closed: Map::default() }
    }

    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Outboxes { limit: _, of, closed } = self;
        into.in_transit("outboxes: connections that leave", closed);
        into.in_use("outboxes: connections", of);
        for Outbox { bytes, queues, held_back, filled_by } in of.values() {
            into.in_use("outbox: bytes", bytes);
            into.in_use("outbox: queues", queues);
            into.in_use(
                "outbox: holders",
                &queues.values().map(|of_queue| of_queue.holders.len()).sum::<usize>(),
            );
            into.in_use("outbox: queues held back", held_back);
            into.in_use("outbox: filled by", filled_by);
        }
    }

    /// A consumer or getter of this connection may hold messages of this queue from now on.
    pub(super) fn add_holder(&mut self, connection: ConnectionId, queue: QueueId, consumer: ConsumerNumber) {
        let outbox = self.of.entry(connection).or_default();
        outbox.queues.entry(queue).or_default().holders.insert(consumer);
    }

    /// It does not any more.
    pub(super) fn remove_holder(
        &mut self,
        connection: ConnectionId,
        queue: QueueId,
        consumer: ConsumerNumber,
    ) {
        if let Some(outbox) = self.of.get_mut(&connection) {
            outbox.remove_holder(queue, consumer);
        }
    }

    /// So many bytes were written, or will never be. Returns the queues that may go on.
    pub(super) fn drained(&mut self, connection: ConnectionId, bytes: usize) -> Vec<QueueId> {
        let Some(outbox) = self.of.get_mut(&connection) else { return Vec::new() };
        outbox.bytes = outbox.bytes.saturating_sub(bytes);
        if outbox.bytes > self.limit / 2 { Vec::new() } else { outbox.take_held_back() }
    }

    /// A connection has gone: nothing more is sent to it.
    pub(super) fn leave(&mut self, connection: ConnectionId) {
        let Some(outbox) = self.of.remove(&connection) else { return };
        self.of.shrink_if_sparse();
        let (queues, holders) = (outbox.queues.into_iter(), BTreeSet::new().into_iter());
        self.closed.insert(connection, ClosedConnection { queues, queue: QueueId::default(), holders });
    }

    /// The next consumer or getter of a connection that has gone, in order; None behind the last.
    pub(super) fn next_to_leave(&mut self, connection: ConnectionId) -> Option<(QueueId, ConsumerNumber)> {
        let closed = self.closed.get_mut(&connection)?;
        loop {
            if let Some(holder) = closed.holders.next() {
                return Some((closed.queue, holder));
            }
            let Some((queue, of_queue)) = closed.queues.next() else {
                self.closed.remove(&connection);
                return None;
            };
            (closed.queue, closed.holders) = (queue, of_queue.holders.into_iter());
        }
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

    fn outboxes(queues: &[u64]) -> Outboxes {
        let mut outboxes = Outboxes::new(LIMIT);
        for &queue in queues {
            outboxes.add_holder(CONNECTION, QueueId(queue), ConsumerNumber(1));
        }
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
        let mut outboxes = outboxes(&[7]);
        assert!(outboxes.flow(queue).admits(CONNECTION, LIMIT));
        assert!(!outboxes.flow(queue).admits(CONNECTION, 1));
        assert!(!outboxes.flow(queue).admits(CONNECTION, 1));
        assert!(!outboxes.flow(queue).admits(ConnectionId(2), 1), "it has gone");
        outboxes.add_holder(ConnectionId(2), queue, ConsumerNumber(1));
        assert!(outboxes.flow(queue).admits(ConnectionId(2), 1));
        assert!(outboxes.drained(CONNECTION, LIMIT / 4).is_empty());
        assert_eq!(outboxes.drained(CONNECTION, LIMIT / 4), [queue]);
        assert!(outboxes.flow(queue).admits(CONNECTION, 1));
    }

    #[test]
    fn each_queue_is_held_back_once_however_often_it_asks() {
        let queues: Vec<u64> = (1..=1000).collect();
        let mut outboxes = outboxes(&queues);
        assert!(outboxes.flow(QueueId(1)).admits(CONNECTION, LIMIT));
        for _ in 0..100 {
            for &queue in &queues {
                assert!(!outboxes.flow(QueueId(queue)).admits(CONNECTION, 1));
            }
        }
        let outbox = &outboxes.of[&CONNECTION];
        assert_eq!(outbox.held_back.len(), 1000);
        let all = outboxes.drained(CONNECTION, LIMIT);
        assert_eq!((all.len(), all.last()), (1000, Some(&QueueId(1))), "who filled it comes last");
        assert!(outboxes.drained(CONNECTION, 0).is_empty());
    }

    #[test]
    fn nothing_grows_with_queues_that_come_and_go_while_a_connection_is_stuck() {
        let mut outboxes = outboxes(&[1]);
        assert!(outboxes.flow(QueueId(1)).admits(CONNECTION, LIMIT));
        for queue in (2..100_000).map(QueueId) {
            outboxes.add_holder(CONNECTION, queue, ConsumerNumber(2));
            assert!(!outboxes.flow(queue).admits(CONNECTION, 1));
            outboxes.remove_holder(CONNECTION, queue, ConsumerNumber(2));
        }
        let outbox = &outboxes.of[&CONNECTION];
        assert_eq!(outbox.queues.len(), 1);
        assert!(outbox.held_back.capacity() < 200, "{}", outbox.held_back.capacity());
        assert!(outboxes.drained(CONNECTION, LIMIT).is_empty());
    }

    #[test]
    fn what_a_connection_held_is_known_when_it_is_gone() {
        let mut outboxes = outboxes(&[2]);
        outboxes.add_holder(CONNECTION, QueueId(1), ConsumerNumber(3));
        outboxes.add_holder(CONNECTION, QueueId(1), ConsumerNumber(2));
        outboxes.remove_holder(CONNECTION, QueueId(1), ConsumerNumber(2));
        let held = [(QueueId(1), ConsumerNumber(3)), (QueueId(2), ConsumerNumber(1))];
        outboxes.leave(CONNECTION);
        assert!(!outboxes.flow(QueueId(1)).admits(CONNECTION, 1), "it is not there");
        let left: Vec<_> = std::iter::from_fn(|| outboxes.next_to_leave(CONNECTION)).collect();
        assert_eq!(left, held);
        outboxes.leave(CONNECTION);
        assert!(outboxes.next_to_leave(CONNECTION).is_none() && outboxes.closed.is_empty());
    }
}
