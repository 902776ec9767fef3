//! Long work in steps: how much a turn does of it, what waits for the next one, and in which order. One request may
//! concern a million messages; whoever made it waits, and the others do not: what is too long goes to the front of its
//! sender's pending commands, and all senders take turns. Small requests never wait there.
//!
//! Everything here counts work, not time: a step is a message that is settled, requeued or sent on, a few microseconds
//! each.

use super::Shard;
use super::forwarding::FEW_QUEUES;
use super::pending_commands::OrderingKey;
use crate::model::command::{CatalogCommand, Origin, ShardCommand};
use crate::model::consuming::Settlement;
use crate::model::event::SessionEvent;
use crate::model::ids::{ConnectionId, Position, PositionRange, QueueId, Timestamp};
use crate::model::op::{Group, GroupPart};

/// Steps that a turn spends on what has just come.
const AT_ONCE: usize = 512;
/// Steps that a turn spends on what had to wait, and how many of them one sender gets at a time.
const WORKED_OFF: usize = 512;
const QUANTUM: usize = 128;
/// Acks of a range cost this part of a step each.
const ACKS_PER_STEP: usize = 8;
/// The queues of a publish to many of them cost this part of a step each. Nobody has used them for a while.
pub(super) const QUEUES_PER_STEP: usize = 2;
/// What a transaction says beyond that, and what is pending, costs this part of a step each.
const COMMANDS_PER_STEP: usize = 2;
/// Dead letters that a turn sends on, counted once for each queue they go to, and how many may wait for that before queues
/// stop making more.
const DEAD_LETTERS: usize = 256;
/// So much searching for the queues of a dead letter is one more.
const EFFORT_PER_DEAD_LETTER: usize = 1024;
pub(super) const MOST_DEAD_LETTERS: usize = 2 * DEAD_LETTERS;
/// Queues that a turn pumps, and messages that they deliver or let go of meanwhile, in all.
const PUMPED: usize = 8192;
/// Publishes that a turn confirms.
const CONFIRMED: usize = 4096;
/// Queues that a turn deletes by themselves: each of them is a request to the catalog.
const DELETED_QUEUES: usize = 256;
/// Messages that were purged or deleted whose memory a turn gives back.
const DROPPED: usize = 16_384;
/// Consumers of deleted queues that a turn tells of it.
const CANCELLED: usize = 2048;

/// What a turn may still do.
#[derive(Debug)]
pub(super) struct Steps {
    left: usize,
    dead_letters: usize,
    pumped: usize,
    confirms: usize,
    deleted_queues: usize,
    /// A pending command may go on in the next turn.
    pub(super) has_more: bool,
}

impl Default for Steps {
    fn default() -> Self {
        Steps {
            left: AT_ONCE,
            dead_letters: DEAD_LETTERS,
            pumped: 0,
            confirms: CONFIRMED,
            deleted_queues: 0,
            has_more: false,
        }
    }
}

impl Steps {
    pub(super) fn left(&self) -> usize {
        self.left
    }

    pub(super) fn take(&mut self, steps: usize) {
        self.left = self.left.saturating_sub(steps);
    }

    /// One more of the commands that wait for each other is carried out, `before` of which were.
    fn spend_on(&mut self, before: usize) {
        self.take(usize::from(before.is_multiple_of(COMMANDS_PER_STEP)));
    }

    /// The part of a range that there is time to settle, and the rest. A single ack costs nothing.
    pub(super) fn cut(
        &mut self,
        range: PositionRange,
        settlement: Settlement,
    ) -> (PositionRange, Option<PositionRange>) {
        let per_step = if settlement == Settlement::Ack { ACKS_PER_STEP } else { 1 };
        let most = self.left.max(1).saturating_mul(per_step) as u64;
        let count = range.last.0.saturating_sub(range.first.0).saturating_add(1);
        let piece = count.min(most);
        self.take(usize::try_from(piece).unwrap_or(usize::MAX) / per_step);
        if piece == count {
            return (range, None);
        }
        let next = Position(range.first.0 + piece);
        let piece = PositionRange { first: range.first, last: Position(next.0 - 1) };
        (piece, Some(PositionRange { first: next, last: range.last }))
    }

    /// Whether one more dead letter may be sent on in this turn; it counts as sent.
    pub(super) fn may_move_dead_letter(&mut self) -> bool {
        let may = self.dead_letters > 0;
        self.dead_letters = self.dead_letters.saturating_sub(1);
        may
    }

    /// Dead letters went to so many more queues than one each.
    pub(super) fn took_dead_letters(&mut self, more: usize) {
        self.dead_letters = self.dead_letters.saturating_sub(more);
    }

    /// So much was searched for the queues of a dead letter.
    pub(super) fn searched(&mut self, effort: usize) {
        self.took_dead_letters(effort / EFFORT_PER_DEAD_LETTER);
    }

    /// Whether one more queue may be pumped.
    pub(super) fn may_pump(&self) -> bool {
        self.pumped < PUMPED
    }

    pub(super) fn pumped(&mut self, messages: usize) {
        self.pumped += 1 + messages;
    }

    /// Whether one more of those who waited may be told; it counts as told.
    pub(super) fn may_tell(&mut self) -> bool {
        let may = self.confirms > 0;
        self.confirms = self.confirms.saturating_sub(1);
        may
    }

    pub(super) fn may_delete_queue(&self) -> bool {
        self.deleted_queues < DELETED_QUEUES
    }

    pub(super) fn deleted_queues(&mut self) {
        self.deleted_queues += 1;
    }

    pub(super) fn end_turn(&mut self) {
        *self = Steps { has_more: self.has_more, ..Steps::default() };
    }
}

impl Shard {
    /// Carries out a command, or has it wait. What it leads to is handed out by [`Shard::finish_turn`].
    pub fn handle(&mut self, now: Timestamp, origin: Origin, command: ShardCommand) {
        if let Origin::Connection(connection) = origin {
            return self.handle_of_client(now, connection, command);
        }
        match OrderingKey::of_broker(&command) {
            Some(ordering) if self.must_wait(now, ordering, &command) => self.wait(ordering, command),
            _ => self.carry_out_of_broker(now, command),
        }
    }

    /// The same of a client's, of which there are many, and of which hardly one waits.
    #[inline(always)]
    fn handle_of_client(&mut self, now: Timestamp, connection: ConnectionId, command: ShardCommand) {
        let ordering = OrderingKey::Connection(connection);
        let has_time = if self.fx.dead_letter_room.is_left() {
            self.steps.left > 0 || !takes_steps(&command)
        } else {
            !takes_steps(&command) && !self.makes_dead_letters(&command)
        };
        if has_time && !self.pending.has(ordering) && !self.is_early(&command) {
            self.carry_out_of_client(now, connection, command);
        } else {
            self.wait(ordering, command);
        }
    }

    /// Carries out all commands of a sender that have come at once. What a transaction tells this shard becomes durable
    /// as a whole, however many turns it takes.
    pub fn handle_all(&mut self, now: Timestamp, origin: Origin, mut commands: Vec<ShardCommand>) {
        let Origin::Connection(connection) = origin else {
            return commands.into_iter().for_each(|command| self.handle(now, origin, command));
        };
        // Its end is the last of them, or nearly so. What came behind the end is no part of it: that would begin it anew.
        let end = commands.iter().enumerate().rev().find_map(|(at, command)| match command {
            ShardCommand::Barrier { group, .. } => Some((at + 1, *group)),
            _ => None,
        });
        if let Some((end, group)) = end {
            let behind = commands.split_off(end);
            self.handle_transaction(now, connection, commands, group);
            if behind.is_empty() {
                return;
            }
            commands = behind;
        }
        let ordering = OrderingKey::Connection(connection);
        let mut commands = commands.into_iter();
        while !self.pending.has(ordering) {
            let Some(command) = commands.next() else { return };
            self.handle_of_client(now, connection, command);
        }
        self.pending.push_batch(ordering, commands.collect(), None);
        self.steps.has_more = true;
    }

    /// Carries out what a turn has time for of a transaction, and has the rest of it wait.
    fn handle_transaction(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        commands: Vec<ShardCommand>,
        group: Group,
    ) {
        let (ordering, count) = (OrderingKey::Connection(connection), commands.len());
        let mut commands = commands.into_iter();
        while !self.pending.has(ordering)
            && self.steps.left > 0
            && self.fx.dead_letter_room.is_left()
            && let Some(next) = commands.as_slice().first()
            && !self.is_early(next)
            && let Some(command) = commands.next()
        {
            self.steps.spend_on(commands.len());
            self.carry_out_of_client(now, connection, command);
        }
        if commands.len() == 0 {
            return;
        }
        if commands.len() < count {
            self.begin(group);
        }
        self.pending.push_batch(ordering, commands.collect(), Some(group));
        self.steps.has_more = true;
    }

    /// Whether a connection waits for what it has asked before: what it holds of the broker's memory, it holds still.
    #[must_use]
    pub fn is_behind(&self, connection: ConnectionId) -> bool {
        self.pending.has(OrderingKey::Connection(connection))
    }

    /// Whether a transaction is carried out in part, and the next turn goes on with it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !self.begun.is_empty() && self.steps.has_more
    }

    /// Goes on with what had to wait, in turns.
    pub(super) fn work_off(&mut self, now: Timestamp) {
        let (mut spent, mut stuck) = (0, 0);
        let left = self.steps.left;
        // Where queues wait for the same room, it is theirs every other time.
        let clients_turn = self.waiting_for_room.is_empty() || self.clients_turn;
        let has_room = self.fx.dead_letter_room.is_left();
        if has_room && self.pending.len() > 0 {
            self.clients_turn = !clients_turn;
        }
        while stuck < self.pending.len() && spent < WORKED_OFF {
            let Some(ordering) = self.pending.next() else { break };
            let may_go_on = clients_turn && self.fx.dead_letter_room.is_left();
            if matches!(ordering, OrderingKey::Connection(_)) && !may_go_on {
                stuck += 1;
                continue;
            }
            match self.serve(now, ordering) {
                0 => stuck += 1,
                steps => (spent, stuck) = (spent + steps, 0),
            }
            self.pending.tidy(ordering);
        }
        self.steps.left = left;
        // Those that are stuck wait for something to come, or for what was done in this turn.
        let moves_on = self.dead_letters_pending() > 0 && !self.credit.is_exhausted();
        self.steps.has_more =
            self.pending.len() > 0 && (spent > 0 || moves_on || (has_room && !clients_turn));
    }

    /// Carries out the first pending commands of an ordering key, for a while. Returns how many steps that took; 0
    /// where it cannot go on.
    fn serve(&mut self, now: Timestamp, ordering: OrderingKey) -> usize {
        let (mut spent, mut count) = (0, 0);
        while spent < QUANTUM
            && let Some((command, group)) = self.pending.front(ordering)
            && self.may_go(ordering, command)
            && (count == 0
                || self.fx.dead_letter_room.is_left()
                || !matches!(ordering, OrderingKey::Connection(_)))
        {
            if let Some(group) = group {
                self.begin(group);
            }
            let Some(command) = self.pending.pop(ordering) else { break };
            self.steps.left = QUANTUM - spent;
            self.steps.spend_on(count);
            count += 1;
            self.carry_out(now, ordering, command);
            spent = QUANTUM - self.steps.left;
        }
        spent.max(usize::from(count > 0))
    }

    /// What this turn leads to is not to be durable before the end of a transaction.
    fn begin(&mut self, group: Group) {
        if !self.begun.contains(&group) {
            self.begun.push(group);
            self.out.groups.push(GroupPart::Begun(group));
        }
    }

    /// Deletes the queues that say they are gone.
    #[inline]
    pub(super) fn delete_queues(&mut self, now: Timestamp) {
        if !self.fx.to_delete.is_empty() && self.steps.may_delete_queue() {
            self.delete_those_due(now);
        }
    }

    fn delete_those_due(&mut self, now: Timestamp) {
        // Their last dead letters still need to know where they come from.
        self.move_dead_letters(now);
        for queue in std::mem::take(&mut self.fx.to_delete) {
            if !self.steps.may_delete_queue() || self.has_dead_letters_of(queue) {
                self.fx.to_delete.push(queue);
            } else if let Some(slot) = self.remove(queue) {
                self.steps.deleted_queues();
                slot.delete(&mut self.fx);
                self.out.to_catalog.push(CatalogCommand::QueueGone { queue, reply: None });
            }
        }
    }

    /// Gives a part of the memory back that purged and deleted queues held.
    pub(super) fn drop_garbage(&mut self) {
        self.garbage.extend(self.fx.garbage.drain(..));
        let mut most = DROPPED;
        while most > 0
            && let Some(garbage) = self.garbage.front_mut()
        {
            most = garbage.drop_some(most);
            if garbage.is_empty() {
                self.garbage.pop_front();
            }
        }
    }

    /// Tells a part of the consumers of deleted queues of it, and forgets them.
    pub(super) fn cancel_consumers(&mut self) {
        self.cancelled_consumers.extend(self.fx.cancelled_consumers.drain(..));
        if !self.cancelled_consumers.is_empty() {
            self.tell_deliveries();
        }
        let mut most = CANCELLED;
        while most > 0
            && let Some(cancelled_consumers) = self.cancelled_consumers.front_mut()
        {
            match cancelled_consumers.next() {
                Some((key, is_consumer)) => {
                    most -= 1;
                    let queue = cancelled_consumers.queue();
                    self.holders.remove(&mut self.outboxes, key.connection, queue, key.number);
                    if is_consumer {
                        let event = SessionEvent::ConsumerCancelled(key.number);
                        self.out.to_connections.push((key.connection, event));
                    }
                }
                None => drop(self.cancelled_consumers.pop_front()),
            }
        }
    }

    fn wait(&mut self, ordering: OrderingKey, command: ShardCommand) {
        self.pending.push(ordering, command);
        self.steps.has_more = true;
    }

    /// Whether a command of the broker waits for what came before it.
    fn must_wait(&mut self, now: Timestamp, ordering: OrderingKey, command: &ShardCommand) -> bool {
        if self.pending.has(ordering) || self.is_early(command) {
            return true;
        }
        match ordering {
            OrderingKey::Queue(queue) if changes_queue(command) => {
                // What came before is carried out first.
                self.catch_up(now, queue);
                // Its last dead letters have to know where they come from, and where it sent them.
                self.move_dead_letters(now);
                self.is_in_use(queue)
            }
            _ => false,
        }
    }

    /// Whether the first pending command of an ordering key need not wait any longer.
    fn may_go(&self, ordering: OrderingKey, command: &ShardCommand) -> bool {
        let must_wait = match ordering {
            OrderingKey::Queue(queue) => changes_queue(command) && self.is_in_use(queue),
            OrderingKey::Connection(_) | OrderingKey::SentTo(_) => false,
        };
        !must_wait && !self.is_early(command)
    }

    /// Whether a publish may make a dead letter at once, of itself or of what it pushes out.
    #[cold]
    fn makes_dead_letters(&self, command: &ShardCommand) -> bool {
        let ShardCommand::Publish { queues, .. } = command else { return false };
        queues
            .iter()
            .filter_map(|&queue| self.queues.get(queue))
            .any(|slot| slot.queue.overflows_to_dead_letters())
    }

    /// Whether a command came before the creation of its queue.
    fn is_early(&self, command: &ShardCommand) -> bool {
        command.newest_queue().is_some_and(|queue| queue > self.newest)
    }

    /// Whether something asked before of a queue has not been done.
    fn is_in_use(&self, queue: QueueId) -> bool {
        self.pending.is_about(queue) || self.has_dead_letters_of(queue) || self.fx.to_delete.contains(&queue)
    }

    fn carry_out(&mut self, now: Timestamp, ordering: OrderingKey, command: ShardCommand) {
        match ordering {
            OrderingKey::Connection(connection) => self.carry_out_of_client(now, connection, command),
            OrderingKey::Queue(_) | OrderingKey::SentTo(_) => self.carry_out_of_broker(now, command),
        }
    }

    #[inline(always)]
    fn carry_out_of_client(&mut self, now: Timestamp, connection: ConnectionId, command: ShardCommand) {
        let rest = self.handle_client(now, connection, command);
        if !rest.is_empty() {
            self.pending.put_back(OrderingKey::Connection(connection), rest);
            self.steps.has_more = true;
        }
        self.delete_queues(now);
    }

    fn carry_out_of_broker(&mut self, now: Timestamp, command: ShardCommand) {
        self.handle_broker(now, command);
        self.delete_queues(now);
    }
}

/// Whether a command of a client may concern many messages.
fn takes_steps(command: &ShardCommand) -> bool {
    match command {
        ShardCommand::Settle { range, settlement, .. } => {
            *settlement != Settlement::Ack || range.first != range.last
        }
        ShardCommand::Publish { queues, .. } => queues.len() > FEW_QUEUES,
        ShardCommand::Detach { .. } | ShardCommand::FanOut(_) | ShardCommand::Gone => true,
        _ => false,
    }
}

/// Whether a command of the broker comes after all that clients have asked of a queue before.
fn changes_queue(command: &ShardCommand) -> bool {
    matches!(
        command,
        ShardCommand::DeleteQueue { .. }
            | ShardCommand::DropQueue { .. }
            | ShardCommand::SetSettings { .. }
            | ShardCommand::Declared { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_where_the_time_ends_and_a_single_ack_takes_none() {
        let range = |first, last| PositionRange { first: Position(first), last: Position(last) };
        let mut steps = Steps::default();
        for position in 0..10_000 {
            assert_eq!(steps.cut(range(position, position), Settlement::Ack).1, None);
        }
        assert_eq!(steps.left(), AT_ONCE);
        let most = AT_ONCE as u64;
        assert_eq!(
            steps.cut(range(1, 200_000), Settlement::Discard),
            (range(1, most), Some(range(most + 1, 200_000)))
        );
        assert_eq!(steps.left(), 0);
        assert_eq!(steps.cut(range(7, 9), Settlement::Discard), (range(7, 7), Some(range(8, 9))));
    }
}
