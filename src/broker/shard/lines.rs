//! Commands that wait: for the creation of their queue, or because what came before them takes more than one turn. Each
//! sender's stay in order. What may go when, and how much of it in a turn, is the shard's.

use std::collections::VecDeque;

use crate::broker::Map;
use crate::broker::command::ShardCommand;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, QueueId};
use crate::model::op::Group;

/// Those whose commands must not overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Line {
    /// Of one connection.
    Connection(ConnectionId),
    /// From the broker, about one queue.
    Queue(QueueId),
}

impl Line {
    /// The line of a command of the broker; None for what waits for nothing.
    pub(super) fn of_broker(command: &ShardCommand) -> Option<Line> {
        match command {
            ShardCommand::DeleteQueue { queue, .. }
            | ShardCommand::DropQueue { queue, has_tombstone: _ }
            | ShardCommand::SetSettings { queue, .. }
            | ShardCommand::Declared { queue, .. }
            | ShardCommand::DeadLetter { queue, .. }
            | ShardCommand::Remember { history: queue, .. } => Some(Line::Queue(*queue)),
            _ => None,
        }
    }
}

/// What came at once.
#[derive(Debug)]
pub(super) enum Unit {
    One(ShardCommand),
    /// Never empty. Those of a transaction as long as its end is among them.
    Row(VecDeque<ShardCommand>, Option<Group>),
}

/// All that wait. Usually there is nobody.
#[derive(Debug, Default)]
pub(super) struct Lines {
    waiting: Map<Line, VecDeque<Unit>>,
    /// Whose turn it is, each once.
    round: VecDeque<Line>,
    /// How many of the commands that connections wait with are about a queue.
    about: Map<QueueId, usize>,
}

impl Lines {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Lines { waiting, round, about } = self;
        into.in_transit("lines: waiting", waiting);
        into.in_transit("lines: round", round);
        into.in_transit("lines: queues they are about", about);
    }

    pub(super) fn len(&self) -> usize {
        self.round.len()
    }

    #[inline]
    pub(super) fn has(&self, line: Line) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(&line)
    }

    /// Whether a connection waits with something that has to be done to a queue before it is deleted or changed.
    pub(super) fn is_about(&self, queue: QueueId) -> bool {
        self.about.contains_key(&queue)
    }

    /// Whose turn it is; the next one's comes after it.
    pub(super) fn next(&mut self) -> Option<Line> {
        let line = self.round.pop_front()?;
        self.round.push_back(line);
        Some(line)
    }

    /// What is next in a line, and the transaction that it is a part of.
    pub(super) fn front(&self, line: Line) -> Option<(&ShardCommand, Option<Group>)> {
        match self.waiting.get(&line)?.front()? {
            Unit::One(command) => Some((command, None)),
            Unit::Row(commands, group) => commands.front().map(|command| (command, *group)),
        }
    }

    pub(super) fn push(&mut self, line: Line, command: ShardCommand) {
        self.count(line, &command, true);
        self.line(line).push_back(Unit::One(command));
    }

    /// The same of all that came at once, in order.
    pub(super) fn push_row(&mut self, line: Line, commands: VecDeque<ShardCommand>, group: Option<Group>) {
        if commands.is_empty() {
            return;
        }
        commands.iter().for_each(|command| self.count(line, command, true));
        self.line(line).push_back(Unit::Row(commands, group));
    }

    /// What is left of what was at the front.
    pub(super) fn put_back(&mut self, line: Line, rest: Vec<ShardCommand>) {
        for command in rest.into_iter().rev() {
            self.count(line, &command, true);
            match self.line(line).front_mut() {
                Some(Unit::Row(commands, _)) => commands.push_front(command),
                _ => self.line(line).push_front(Unit::One(command)),
            }
        }
    }

    pub(super) fn pop(&mut self, line: Line) -> Option<ShardCommand> {
        let units = self.waiting.get_mut(&line)?;
        let command = match units.front_mut()? {
            Unit::Row(commands, group) if commands.len() > 1 => {
                let command = commands.pop_front()?;
                if matches!(command, ShardCommand::Barrier { .. }) {
                    *group = None;
                }
                command
            }
            _ => match units.pop_front()? {
                Unit::One(command) => command,
                Unit::Row(mut commands, _) => commands.pop_front()?,
            },
        };
        self.count(line, &command, false);
        Some(command)
    }

    /// Forgets a line where nobody waits any more.
    pub(super) fn tidy(&mut self, line: Line) {
        if self.front(line).is_none() {
            self.waiting.remove(&line);
            // It has just had its turn.
            if self.round.back() == Some(&line) {
                self.round.pop_back();
            } else {
                self.round.retain(|&other| other != line);
            }
        }
    }

    fn line(&mut self, line: Line) -> &mut VecDeque<Unit> {
        self.waiting.entry(line).or_insert_with(|| {
            self.round.push_back(line);
            VecDeque::new()
        })
    }

    fn count(&mut self, line: Line, command: &ShardCommand, comes: bool) {
        if let (Line::Connection(_), Some(queue)) = (line, settled_queue(command)) {
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
    fn each_line_keeps_its_order_and_all_take_turns() {
        let mut lines = Lines::default();
        let (one, other) = (Line::Connection(ConnectionId(1)), Line::Connection(ConnectionId(2)));
        lines.push(one, detach(7, 1));
        lines.push_row(one, [detach(7, 3), detach(7, 5)].into(), None);
        lines.push(one, detach(7, 6));
        lines.push(other, detach(8, 4));
        assert_eq!((lines.next(), lines.next(), lines.next()), (Some(one), Some(other), Some(one)));
        assert_eq!(consumer(lines.pop(one)), Some(1));
        lines.put_back(one, vec![detach(7, 1), detach(7, 2)]);
        let left: Vec<_> = (0..4).filter_map(|_| consumer(lines.pop(one))).collect();
        assert_eq!(left, [1, 2, 3, 5]);
        lines.put_back(one, vec![detach(7, 5)]);
        assert!(lines.is_about(QueueId(7)));
        let left: Vec<_> = std::iter::from_fn(|| consumer(lines.pop(one))).collect();
        assert_eq!(left, [5, 6]);
        assert!(!lines.is_about(QueueId(7)) && lines.is_about(QueueId(8)));
        lines.tidy(one);
        assert!(!lines.has(one) && lines.has(other) && lines.len() == 1);
    }

    #[test]
    fn what_waits_is_part_of_its_transaction_up_to_the_end_of_that() {
        let mut lines = Lines::default();
        let (connection, line) = (ConnectionId(1), Line::Connection(ConnectionId(1)));
        let group = Group { connection, number: 1, parts: 1 };
        let token = ConfirmToken { channel: 1, epoch: 0, sequence: 0 };
        let barrier = ShardCommand::Barrier { token, group: Some(group) };
        lines.push_row(line, [detach(1, 1), barrier, detach(1, 2)].into(), Some(group));
        let of = |lines: &Lines| lines.front(line).and_then(|(_, group)| group);
        assert_eq!(of(&lines), Some(group));
        lines.pop(line);
        lines.put_back(line, vec![detach(1, 1)]);
        assert_eq!(of(&lines), Some(group), "what is left of the first one, too");
        lines.pop(line);
        lines.pop(line);
        assert_eq!((of(&lines), consumer(lines.pop(line))), (None, Some(2)));
    }
}
