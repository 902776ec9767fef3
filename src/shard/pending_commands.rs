//! Commands that wait: for the creation of their queue, or because what came before them takes more than one turn. Each
//! sender's stay in order. What may go when, and how much of it in a turn, is the shard's.

use std::collections::VecDeque;

use crate::model::command::ShardCommand;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, QueueId};
use crate::model::maps::Map;
use crate::model::op::Group;

/// Those whose commands must not overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum OrderingKey {
    /// Of one connection.
    Connection(ConnectionId),
    /// From the broker, about one queue.
    Queue(QueueId),
    /// Messages from other shards to one queue. What else the broker has to do to the queue does not hold them up: the shard
    /// they come from waits for them to be taken in.
    SentTo(QueueId),
}

impl OrderingKey {
    /// The ordering key of a command of the broker; None for what waits for nothing.
    pub(super) fn of_broker(command: &ShardCommand) -> Option<OrderingKey> {
        match command {
            ShardCommand::DeleteQueue { queue, .. }
            | ShardCommand::DropQueue { queue, has_tombstone: _ }
            | ShardCommand::SetSettings { queue, .. }
            | ShardCommand::Declared { queue, .. } => Some(OrderingKey::Queue(*queue)),
            ShardCommand::DeadLetter { queue, .. } | ShardCommand::Remember { history: queue, .. } => {
                Some(OrderingKey::SentTo(*queue))
            }
            _ => None,
        }
    }
}

/// What came at once.
#[derive(Debug)]
pub(super) enum Batch {
    One(ShardCommand),
    /// Never empty. Those of a transaction as long as its end is among them.
    Many(VecDeque<ShardCommand>, Option<Group>),
}

/// All that wait. Usually there is nobody.
#[derive(Debug, Default)]
pub(super) struct PendingCommands {
    waiting: Map<OrderingKey, VecDeque<Batch>>,
    /// Whose turn it is, each once.
    round: VecDeque<OrderingKey>,
    /// How many of the commands that connections wait with are about a queue.
    about: Map<QueueId, usize>,
}

impl PendingCommands {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let PendingCommands { waiting, round, about } = self;
        into.in_transit("pending commands: waiting", waiting);
        into.in_transit("pending commands: round", round);
        into.in_transit("pending commands: queues they are about", about);
    }

    pub(super) fn len(&self) -> usize {
        self.round.len()
    }

    #[inline]
    pub(super) fn has(&self, ordering: OrderingKey) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(&ordering)
    }

    /// Whether a connection waits with something that has to be done to a queue before it is deleted or changed.
    pub(super) fn is_about(&self, queue: QueueId) -> bool {
        self.about.contains_key(&queue)
    }

    /// Whose turn it is; the next one's comes after it.
    pub(super) fn next(&mut self) -> Option<OrderingKey> {
        let ordering = self.round.pop_front()?;
        self.round.push_back(ordering);
        Some(ordering)
    }

    /// What is next of an ordering key, and the transaction that it is a part of.
    pub(super) fn front(&self, ordering: OrderingKey) -> Option<(&ShardCommand, Option<Group>)> {
        match self.waiting.get(&ordering)?.front()? {
            Batch::One(command) => Some((command, None)),
            Batch::Many(commands, group) => commands.front().map(|command| (command, *group)),
        }
    }

    pub(super) fn push(&mut self, ordering: OrderingKey, command: ShardCommand) {
        self.count(ordering, &command, true);
        self.queue_of(ordering).push_back(Batch::One(command));
    }

    /// The same of all that came at once, in order.
    pub(super) fn push_batch(
        &mut self,
        ordering: OrderingKey,
        commands: VecDeque<ShardCommand>,
        group: Option<Group>,
    ) {
        if commands.is_empty() {
            return;
        }
        commands.iter().for_each(|command| self.count(ordering, command, true));
        self.queue_of(ordering).push_back(Batch::Many(commands, group));
    }

    /// What is left of what was at the front.
    pub(super) fn put_back(&mut self, ordering: OrderingKey, rest: Vec<ShardCommand>) {
        for command in rest.into_iter().rev() {
            self.count(ordering, &command, true);
            match self.queue_of(ordering).front_mut() {
                Some(Batch::Many(commands, _)) => commands.push_front(command),
                _ => self.queue_of(ordering).push_front(Batch::One(command)),
            }
        }
    }

    pub(super) fn pop(&mut self, ordering: OrderingKey) -> Option<ShardCommand> {
        let batches = self.waiting.get_mut(&ordering)?;
        let command = match batches.front_mut()? {
            Batch::Many(commands, group) if commands.len() > 1 => {
                let command = commands.pop_front()?;
                if matches!(command, ShardCommand::Barrier { .. }) {
                    *group = None;
                }
                command
            }
            _ => match batches.pop_front()? {
                Batch::One(command) => command,
                Batch::Many(mut commands, _) => commands.pop_front()?,
            },
        };
        self.count(ordering, &command, false);
        Some(command)
    }

    /// Forgets an ordering key where nobody waits any more.
    pub(super) fn tidy(&mut self, ordering: OrderingKey) {
        if self.front(ordering).is_none() {
            self.waiting.remove(&ordering);
            // It has just had its turn.
            if self.round.back() == Some(&ordering) {
                self.round.pop_back();
            } else {
                self.round.retain(|&other| other != ordering);
            }
        }
    }

    fn queue_of(&mut self, ordering: OrderingKey) -> &mut VecDeque<Batch> {
        self.waiting.entry(ordering).or_insert_with(|| {
            self.round.push_back(ordering);
            VecDeque::new()
        })
    }

    fn count(&mut self, ordering: OrderingKey, command: &ShardCommand, comes: bool) {
        if let (OrderingKey::Connection(_), Some(queue)) = (ordering, settled_queue(command)) {
            let count = self.about.entry(queue).or_default();
            *count = if comes { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.about.remove(&queue);
            }
        }
    }
}

/// The queue to which a client's command has to be done before anything becomes of the queue itself.
fn settled_queue(command: &ShardCommand) -> Option<QueueId> {
    match command {
        ShardCommand::Settle { queue, .. }
        | ShardCommand::Detach { queue, .. }
        | ShardCommand::Purge { queue, .. } => Some(*queue),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::ConfirmToken;
    use crate::model::ids::ConsumerNumber;

    fn detach(queue: u64, consumer: u32) -> ShardCommand {
        ShardCommand::Detach { queue: QueueId(queue), consumer: ConsumerNumber(consumer) }
    }

    fn consumer(command: Option<ShardCommand>) -> Option<u32> {
        match command? {
            ShardCommand::Detach { consumer, .. } => Some(consumer.0),
            _ => None,
        }
    }

    #[test]
    fn each_ordering_key_keeps_its_order_and_all_take_turns() {
        let mut pending = PendingCommands::default();
        let (one, other) =
            (OrderingKey::Connection(ConnectionId(1)), OrderingKey::Connection(ConnectionId(2)));
        pending.push(one, detach(7, 1));
        pending.push_batch(one, [detach(7, 3), detach(7, 5)].into(), None);
        pending.push(one, detach(7, 6));
        pending.push(other, detach(8, 4));
        assert_eq!((pending.next(), pending.next(), pending.next()), (Some(one), Some(other), Some(one)));
        assert_eq!(consumer(pending.pop(one)), Some(1));
        pending.put_back(one, vec![detach(7, 1), detach(7, 2)]);
        let left: Vec<_> = (0..4).filter_map(|_| consumer(pending.pop(one))).collect();
        assert_eq!(left, [1, 2, 3, 5]);
        pending.put_back(one, vec![detach(7, 5)]);
        assert!(pending.is_about(QueueId(7)));
        let left: Vec<_> = std::iter::from_fn(|| consumer(pending.pop(one))).collect();
        assert_eq!(left, [5, 6]);
        assert!(!pending.is_about(QueueId(7)) && pending.is_about(QueueId(8)));
        pending.tidy(one);
        assert!(!pending.has(one) && pending.has(other) && pending.len() == 1);
    }

    #[test]
    fn what_waits_is_part_of_its_transaction_up_to_the_end_of_that() {
        let mut pending = PendingCommands::default();
        let (connection, ordering) = (ConnectionId(1), OrderingKey::Connection(ConnectionId(1)));
        let group = Group { connection, number: 1, parts: 1 };
        let token = ConfirmToken { channel: 1, epoch: 0, sequence: 0 };
        let barrier = ShardCommand::Barrier { token, group };
        pending.push_batch(ordering, [detach(1, 1), barrier, detach(1, 2)].into(), Some(group));
        let of = |pending: &PendingCommands| pending.front(ordering).and_then(|(_, group)| group);
        assert_eq!(of(&pending), Some(group));
        pending.pop(ordering);
        pending.put_back(ordering, vec![detach(1, 1)]);
        assert_eq!(of(&pending), Some(group), "what is left of the first one, too");
        pending.pop(ordering);
        pending.pop(ordering);
        assert_eq!((of(&pending), consumer(pending.pop(ordering))), (None, Some(2)));
    }
}
