//! Commands that wait: for the creation of their queue, or because what came before them takes more than one turn. Each
//! sender's stay in order. What may go when, and how much of it in a turn, is the shard's.

use std::collections::VecDeque;

use crate::broker::Map;
use crate::broker::command::ShardCommand;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, QueueId};

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

/// What is carried out in one go.
#[derive(Debug)]
pub(super) enum Unit {
    One(ShardCommand),
    /// A transaction: its operations are one batch for the store, so it is never cut.
    Whole(Vec<ShardCommand>),
}

impl Unit {
    pub(super) fn commands(&self) -> &[ShardCommand] {
        match self {
            Unit::One(command) => std::slice::from_ref(command),
            Unit::Whole(commands) => commands,
        }
    }
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

    pub(super) fn front(&self, line: Line) -> Option<&Unit> {
        self.waiting.get(&line)?.front()
    }

    pub(super) fn push(&mut self, line: Line, unit: Unit) {
        self.count(line, &unit, true);
        self.line(line).push_back(unit);
    }

    /// What is left of what was at the front.
    pub(super) fn put_back(&mut self, line: Line, rest: Vec<ShardCommand>) {
        for command in rest.into_iter().rev() {
            let unit = Unit::One(command);
            self.count(line, &unit, true);
            self.line(line).push_front(unit);
        }
    }

    pub(super) fn pop(&mut self, line: Line) -> Option<Unit> {
        let unit = self.waiting.get_mut(&line)?.pop_front()?;
        self.count(line, &unit, false);
        Some(unit)
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

    fn count(&mut self, line: Line, unit: &Unit, comes: bool) {
        if let Line::Queue(_) = line {
            return;
        }
        for queue in unit.commands().iter().filter_map(settled_queue) {
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
    use crate::model::ids::ConsumerNumber;

    fn detach(queue: u64, consumer: u32) -> ShardCommand {
        ShardCommand::Detach { queue: QueueId(queue), consumer: ConsumerNumber(consumer) }
    }

    fn consumer(unit: Option<Unit>) -> Option<u32> {
        match unit?.commands() {
            [ShardCommand::Detach { consumer, .. }] => Some(consumer.0),
            _ => None,
        }
    }

    #[test]
    fn each_line_keeps_its_order_and_all_take_turns() {
        let mut lines = Lines::default();
        let (one, other) = (Line::Connection(ConnectionId(1)), Line::Connection(ConnectionId(2)));
        lines.push(one, Unit::One(detach(7, 1)));
        lines.push(one, Unit::One(detach(7, 3)));
        lines.push(other, Unit::One(detach(8, 4)));
        assert_eq!((lines.next(), lines.next(), lines.next()), (Some(one), Some(other), Some(one)));
        assert_eq!(consumer(lines.pop(one)), Some(1));
        lines.put_back(one, vec![detach(7, 1), detach(7, 2)]);
        let left: Vec<_> = std::iter::from_fn(|| consumer(lines.pop(one))).collect();
        assert_eq!(left, [1, 2, 3]);
        assert!(!lines.is_about(QueueId(7)) && lines.is_about(QueueId(8)));
        lines.tidy(one);
        assert!(!lines.has(one) && lines.has(other) && lines.len() == 1);
    }
}
