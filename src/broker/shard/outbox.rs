//! What is on its way from this shard to each connection, in bytes, so that a slow consumer is bounded (DESIGN
//! section 3); and what each connection has to do with the queues here, for when it is gone.

use crate::broker::{Map, Set};
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ConsumerNumber, QueueId};
use crate::queue::Gate;

/// With this many bytes under way a connection gets no more from this shard until half of it has drained.
const LIMIT: usize = 1 << 20;

/// One connection's.
#[derive(Debug, Default)]
struct Outbox {
    /// Footprints of deliveries that were handed out and not reported as written.
    bytes: usize,
    /// Queues that had something for it when it was full.
    held_back: Vec<QueueId>,
    /// Consumers (and getters) it may have here.
    holders: Set<(QueueId, ConsumerNumber)>,
}

#[derive(Debug, Default)]
pub(super) struct Outboxes(Map<ConnectionId, Outbox>);

impl Outboxes {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        into.in_use("outboxes: connections", &self.0);
        for Outbox { bytes, held_back, holders } in self.0.values() {
            into.in_use("outbox: bytes", bytes);
            into.in_use("outbox: queues held back", held_back);
            into.in_use("outbox: holders", holders);
        }
    }

    /// A consumer or getter of this connection may hold messages of this queue from now on.
    pub(super) fn add_holder(&mut self, connection: ConnectionId, queue: QueueId, consumer: ConsumerNumber) {
        self.0.entry(connection).or_default().holders.insert((queue, consumer));
    }

    pub(super) fn remove_holder(
        &mut self,
        connection: ConnectionId,
        queue: QueueId,
        consumer: ConsumerNumber,
    ) {
        if let Some(outbox) = self.0.get_mut(&connection) {
            outbox.holders.remove(&(queue, consumer));
        }
    }

    /// So many bytes were written, or will never be. Returns the queues that may go on.
    pub(super) fn drained(&mut self, connection: ConnectionId, bytes: usize) -> Vec<QueueId> {
        let Some(outbox) = self.0.get_mut(&connection) else { return Vec::new() };
        outbox.bytes = outbox.bytes.saturating_sub(bytes);
        if outbox.bytes > LIMIT / 2 { Vec::new() } else { std::mem::take(&mut outbox.held_back) }
    }

    /// Forgets a connection; returns its consumers and getters, in order.
    pub(super) fn remove(&mut self, connection: ConnectionId) -> Vec<(QueueId, ConsumerNumber)> {
        let mut holders: Vec<_> =
            self.0.remove(&connection).map(|outbox| outbox.holders.into_iter().collect()).unwrap_or_default();
        holders.sort_unstable();
        holders
    }

    /// The gate that one queue delivers through.
    pub(super) fn gate(&mut self, queue: QueueId) -> QueueGate<'_> {
        QueueGate { outboxes: self, queue }
    }
}

pub(super) struct QueueGate<'a> {
    outboxes: &'a mut Outboxes,
    queue: QueueId,
}

impl Gate for QueueGate<'_> {
    fn admits(&mut self, connection: ConnectionId, bytes: usize) -> bool {
        let outbox = self.outboxes.0.entry(connection).or_default();
        if outbox.bytes >= LIMIT {
            if outbox.held_back.last() != Some(&self.queue) {
                outbox.held_back.push(self.queue);
            }
            return false;
        }
        outbox.bytes = outbox.bytes.saturating_add(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_outbox_holds_back_until_half_has_drained() {
        let (connection, queue) = (ConnectionId(1), QueueId(7));
        let mut outboxes = Outboxes::default();
        assert!(outboxes.gate(queue).admits(connection, LIMIT));
        assert!(!outboxes.gate(queue).admits(connection, 1));
        assert!(!outboxes.gate(queue).admits(connection, 1));
        assert!(outboxes.gate(queue).admits(ConnectionId(2), 1));
        assert!(outboxes.drained(connection, LIMIT / 4).is_empty());
        assert_eq!(outboxes.drained(connection, LIMIT / 4), [queue]);
        assert!(outboxes.gate(queue).admits(connection, 1));
    }

    #[test]
    fn what_a_connection_held_is_known_when_it_is_gone() {
        let connection = ConnectionId(1);
        let mut outboxes = Outboxes::default();
        outboxes.add_holder(connection, QueueId(2), ConsumerNumber(1));
        outboxes.add_holder(connection, QueueId(1), ConsumerNumber(3));
        outboxes.add_holder(connection, QueueId(1), ConsumerNumber(2));
        outboxes.remove_holder(connection, QueueId(1), ConsumerNumber(2));
        let held = [(QueueId(1), ConsumerNumber(3)), (QueueId(2), ConsumerNumber(1))];
        assert_eq!(outboxes.remove(connection), held);
        assert!(outboxes.remove(connection).is_empty());
    }
}
