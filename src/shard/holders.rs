//! What each connection has to do with the queues of this shard, for when it is gone: its consumers, and those who got
//! something. What is known of a queue goes with the connection's last of them there, so nothing grows with what a
//! connection does again and again. How much is under way to a connection is in `outbox.rs`.

use std::collections::{BTreeMap, BTreeSet, btree_map, btree_set};

use super::outbox::Outboxes;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ConsumerNumber, QueueId};
use crate::model::maps::Map;
use crate::model::sparse::ShrinkIfSparse;

/// By queue, in order, for they leave in order.
type OfConnection = BTreeMap<QueueId, BTreeSet<ConsumerNumber>>;

#[derive(Debug, Default)]
pub(super) struct Holders {
    of: Map<ConnectionId, OfConnection>,
    /// Of connections that have gone: what is left of what they had to do with queues.
    closed: Map<ConnectionId, ClosedConnection>,
}

/// The queues that a connection that has gone had to do with, and the rest of its consumers and getters of one.
#[derive(Debug)]
struct ClosedConnection {
    queues: btree_map::IntoIter<QueueId, BTreeSet<ConsumerNumber>>,
    queue: QueueId,
    holders: btree_set::IntoIter<ConsumerNumber>,
}

impl Holders {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Holders { of, closed } = self;
        into.in_transit("holders: connections that leave", closed);
        into.in_use("holders: connections", of);
        for queues in of.values() {
            into.in_use("holders: queues", queues);
            into.in_use("holders: consumers", &queues.values().map(BTreeSet::len).sum::<usize>());
        }
    }

    /// A consumer or getter of this connection may hold messages of this queue from now on, and is sent some.
    pub(super) fn add(
        &mut self,
        outboxes: &mut Outboxes,
        connection: ConnectionId,
        queue: QueueId,
        consumer: ConsumerNumber,
    ) {
        outboxes.open(connection);
        self.of.entry(connection).or_default().entry(queue).or_default().insert(consumer);
    }

    /// It does not any more.
    pub(super) fn remove(
        &mut self,
        outboxes: &mut Outboxes,
        connection: ConnectionId,
        queue: QueueId,
        consumer: ConsumerNumber,
    ) {
        let Some(queues) = self.of.get_mut(&connection) else { return };
        let Some(holders) = queues.get_mut(&queue) else { return };
        holders.remove(&consumer);
        if holders.is_empty() {
            queues.remove(&queue);
            outboxes.forget(connection, queue);
        }
    }

    /// A connection has gone: nothing more is sent to it.
    pub(super) fn leave(&mut self, outboxes: &mut Outboxes, connection: ConnectionId) {
        outboxes.close(connection);
        let Some(queues) = self.of.remove(&connection) else { return };
        self.of.shrink_if_sparse();
        let (queues, holders) = (queues.into_iter(), BTreeSet::new().into_iter());
        self.closed.insert(connection, ClosedConnection { queues, queue: QueueId::default(), holders });
    }

    /// The next consumer or getter of a connection that has gone, in order; None behind the last.
    pub(super) fn next_to_leave(&mut self, connection: ConnectionId) -> Option<(QueueId, ConsumerNumber)> {
        let closed = self.closed.get_mut(&connection)?;
        loop {
            if let Some(holder) = closed.holders.next() {
                return Some((closed.queue, holder));
            }
            let Some((queue, holders)) = closed.queues.next() else {
                self.closed.remove(&connection);
                return None;
            };
            (closed.queue, closed.holders) = (queue, holders.into_iter());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::FlowControl;

    const CONNECTION: ConnectionId = ConnectionId(1);

    #[test]
    fn what_a_connection_held_is_known_when_it_is_gone() {
        let (mut holders, mut outboxes) = (Holders::default(), Outboxes::new(1 << 20));
        for (queue, consumer) in [(2, 1), (1, 3), (1, 2)] {
            holders.add(&mut outboxes, CONNECTION, QueueId(queue), ConsumerNumber(consumer));
        }
        holders.remove(&mut outboxes, CONNECTION, QueueId(1), ConsumerNumber(2));
        assert!(outboxes.flow(QueueId(1)).admits(CONNECTION, 1));
        holders.leave(&mut outboxes, CONNECTION);
        assert!(!outboxes.flow(QueueId(1)).admits(CONNECTION, 1), "it is not there");
        let left: Vec<_> = std::iter::from_fn(|| holders.next_to_leave(CONNECTION)).collect();
        assert_eq!(left, [(QueueId(1), ConsumerNumber(3)), (QueueId(2), ConsumerNumber(1))]);
        holders.leave(&mut outboxes, CONNECTION);
        assert!(holders.next_to_leave(CONNECTION).is_none() && holders.closed.is_empty());
    }

    #[test]
    fn nothing_grows_with_queues_that_come_and_go_while_a_connection_is_stuck() {
        const LIMIT: usize = 1 << 20;
        let (mut holders, mut outboxes) = (Holders::default(), Outboxes::new(LIMIT));
        holders.add(&mut outboxes, CONNECTION, QueueId(1), ConsumerNumber(1));
        assert!(outboxes.flow(QueueId(1)).admits(CONNECTION, LIMIT));
        for queue in (2..100_000).map(QueueId) {
            holders.add(&mut outboxes, CONNECTION, queue, ConsumerNumber(2));
            assert!(!outboxes.flow(queue).admits(CONNECTION, 1));
            holders.remove(&mut outboxes, CONNECTION, queue, ConsumerNumber(2));
        }
        assert_eq!(holders.of[&CONNECTION].len(), 1);
        let mut holdings = Holdings::default();
        outboxes.holdings(&mut holdings);
        let room =
            |name| holdings.iter().find(|holding| holding.name == name).map(|holding| holding.capacity);
        let (list, table) = (room("outbox: queues held back"), room("outbox: which queues these are"));
        assert!(list < Some(200) && table < Some(200), "{list:?} {table:?}");
        assert!(outboxes.drained(CONNECTION, LIMIT).is_empty());
    }
}
