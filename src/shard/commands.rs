//! The commands of a shard, one by one. What follows from them at the end of the turn is in the shard itself.

use std::sync::Arc;

use super::confirms::Waiter;
use super::forwarding::FEW_QUEUES;
use super::{QueueSlot, Shard};
use crate::catalog::queue_arguments::of_other_type;
use crate::model::command::{CatalogCommand, QueueDeclare, QueueLabel, ShardCommand};
use crate::model::consuming::ConsumeOptions;
use crate::model::event::{ConfirmToken, SessionEvent};
use crate::model::fault::Fault;
use crate::model::ids::{ConnectionId, ConsumerKey, PositionRange, QueueId, QueueRef, Timestamp};
use crate::model::op::{Group, GroupPart, RecoveredQueue};
use crate::model::request::{Reply, clipped};

impl Shard {
    /// From a connection. Returns what is left to do once this turn has no time left.
    pub(super) fn handle_client(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        command: ShardCommand,
    ) -> Vec<ShardCommand> {
        let key = |number| ConsumerKey { connection, number };
        match command {
            ShardCommand::Publish { queues, message, confirm } => {
                return self.publish(now, connection, queues, message, confirm);
            }
            ShardCommand::FanOut(fan_out) => return self.fan_out(now, connection, fan_out),
            ShardCommand::Remember { history, message, from: _ } => self.remember_here(history, message),
            ShardCommand::Gone => {
                self.holders.leave(&mut self.outboxes, connection);
                while self.steps.left() > 0 {
                    let Some((queue, consumer)) = self.holders.next_to_leave(connection) else {
                        return Vec::new();
                    };
                    let detach = ShardCommand::Detach { queue, consumer };
                    let mut rest = self.handle_client(now, connection, detach);
                    if !rest.is_empty() {
                        rest.push(ShardCommand::Gone);
                        return rest;
                    }
                }
                return vec![ShardCommand::Gone];
            }
            ShardCommand::Barrier { token, group } => self.barrier(connection, token, group),
            ShardCommand::Settle { queue, consumer, range, settlement } => {
                let Some(slot) = self.queues.get_mut(queue) else { return Vec::new() };
                let last = range.last.min(slot.queue.last_position());
                let (piece, rest) = self.steps.cut(PositionRange { last, ..range }, settlement);
                if slot.queue.owes() {
                    slot.catch_up(now, &mut self.outboxes.flow(queue), &mut self.steps, &mut self.fx);
                }
                slot.queue.settle(now, key(consumer), piece, settlement, &mut self.fx);
                self.touch(queue);
                let settle = |range| ShardCommand::Settle { queue, consumer, range, settlement };
                return rest.map(settle).into_iter().collect();
            }
            ShardCommand::SetPaused { queue, consumer, paused } => {
                if let Some(slot) = self.queues.get_mut(queue) {
                    if slot.queue.owes() {
                        slot.catch_up(now, &mut self.outboxes.flow(queue), &mut self.steps, &mut self.fx);
                    }
                    slot.queue.set_paused(key(consumer), paused);
                    self.touch(queue);
                }
            }
            ShardCommand::Detach { queue, consumer } => {
                self.holders.remove(&mut self.outboxes, connection, queue, consumer);
                let Some(slot) = self.queues.get_mut(queue) else { return Vec::new() };
                let (requeued, is_done) =
                    slot.queue.detach(now, key(consumer), self.steps.left(), &mut self.fx);
                self.steps.take(1 + requeued);
                self.touch(queue);
                if !is_done {
                    return vec![ShardCommand::Detach { queue, consumer }];
                }
            }
            ShardCommand::Cancel { queue, consumer } => {
                if let Some(slot) = self.queues.get_mut(queue) {
                    slot.queue.cancel(now, key(consumer), &mut self.fx);
                    self.touch(queue);
                }
                self.tell_deliveries();
                self.out.reply(connection, Reply::Done);
            }
            ShardCommand::Revoke { queue, consumer } => {
                // A queue that is gone has told its consumers.
                if let Some(slot) = self.queues.get_mut(queue) {
                    slot.queue.cancel(now, key(consumer), &mut self.fx);
                    self.touch(queue);
                    self.tell_deliveries();
                    self.out.to_connections.push((connection, SessionEvent::ConsumerCancelled(consumer)));
                }
            }
            ShardCommand::Consume { queue, label, consumer, options } => {
                let reply = self.consume(now, key(consumer), queue, &label, *options);
                self.out.reply(connection, reply);
            }
            ShardCommand::Get { queue, label, consumer, no_ack } => {
                if let Some(slot) = self.queues.get_mut(queue) {
                    if slot.queue.settings().refuses_get() {
                        let fault = Fault::single_active_get(label.resource());
                        self.out.reply(connection, Reply::Refused(fault));
                    } else {
                        slot.catch_up(now, &mut self.outboxes.flow(queue), &mut self.steps, &mut self.fx);
                        slot.queue.get(now, key(consumer), no_ack, &mut self.fx);
                        self.holders.add(&mut self.outboxes, connection, queue, consumer);
                        self.touch(queue);
                    }
                } else {
                    self.out.reply(connection, no_queue(&label));
                }
            }
            ShardCommand::Purge { queue, label } => {
                self.catch_up(now, queue);
                let Some(slot) = self.queues.get_mut(queue) else {
                    self.out.reply(connection, no_queue(&label));
                    return Vec::new();
                };
                let messages = slot.queue.purge(now, &mut self.fx);
                self.touch(queue);
                self.reply_once_durable(connection, Reply::Count { messages });
            }
            ShardCommand::Inspect { queue, label } => {
                let reply = self.inspect(now, queue).unwrap_or_else(|| no_queue(&label));
                self.tell_what_is(connection, reply);
            }
            ShardCommand::Declared { queue, declare } => self.declared(now, queue, declare),
            other => debug_assert!(false, "a connection has no business with {other:?}"),
        }
        Vec::new()
    }

    /// From the catalog or another shard.
    pub(super) fn handle_broker(&mut self, now: Timestamp, command: ShardCommand) {
        match command {
            ShardCommand::CreateQueue { queue, label, settings } => {
                self.add(now, queue, label, settings, RecoveredQueue::default());
                self.steps.has_more = true;
            }
            // A message of the broker's own: nobody waits for it.
            ShardCommand::Publish { queues, message, confirm: _ } => {
                if queues.len() > FEW_QUEUES {
                    return self.forward_here(now, message, queues);
                }
                for queue in queues {
                    self.push(now, queue, Arc::clone(&message));
                }
            }
            ShardCommand::Declared { queue, declare } => self.declared(now, queue, declare),
            ShardCommand::DeleteQueue { queue, if_unused, if_empty, label, connection } => {
                self.delete_queue(queue, if_unused, if_empty, &label, connection);
            }
            ShardCommand::SetSettings { queue, settings } => {
                if let Some(slot) = self.queues.get_mut(queue) {
                    let QueueSlot { queue: counted, account, label, .. } = slot;
                    self.accounts.change(account, counted.book(), &label.vhost, &settings);
                    slot.queue.set_settings(now, settings, &mut self.fx);
                    self.touch(queue);
                }
            }
            ShardCommand::DropQueue { queue, has_tombstone } => {
                if let Some(slot) = self.remove(queue) {
                    slot.delete(&mut self.fx);
                }
                if has_tombstone {
                    self.out.to_catalog.push(CatalogCommand::QueueDropped { queue });
                }
            }
            ShardCommand::Remember { history, message, from } => {
                if let Some(from) = from {
                    self.credit.take_in(from, &message);
                }
                self.remember_here(history, message);
            }
            ShardCommand::Replay { history, to } => self.replay(now, history, to),
            ShardCommand::DeadLetter { queue, message, awaited, from } => {
                self.credit.take_in(from, &message);
                self.take_dead_letter(now, queue, message, awaited);
            }
            ShardCommand::DeadLettered { awaited, target, taken } => {
                self.dead_lettered(now, awaited, target, taken);
            }
            ShardCommand::Credit { from, messages, bytes } => self.credit.give_back(from, messages, bytes),
            other => debug_assert!(false, "only connections send {other:?}"),
        }
    }

    /// Confirms once all operations emitted so far are durable. What belongs to a group is a batch in any case where others
    /// wait for it: the parts of other shards, or what earlier turns did of this one.
    fn barrier(&mut self, connection: ConnectionId, token: ConfirmToken, group: Group) {
        let begun = self.begun.len();
        self.begun.retain(|&begun| begun != group);
        let is_one_of_many = group.parts > 1 || self.begun.len() < begun;
        if is_one_of_many {
            self.out.groups.push(GroupPart::Complete(group));
        }
        if !is_one_of_many && self.fx.ops.is_empty() && self.confirms.is_settled() {
            self.out.to_connections.push((connection, SessionEvent::Confirm { token, accepted: true }));
        } else {
            self.confirms.wait(Waiter::Connection(connection, token));
        }
    }

    /// Answers once all operations emitted so far are durable: what the client reads is so after a crash, too.
    fn reply_once_durable(&mut self, connection: ConnectionId, reply: Reply) {
        if self.fx.ops.is_empty() && self.confirms.is_settled() {
            self.out.reply(connection, reply);
        } else {
            self.confirms.wait(Waiter::Request(connection, Box::new(reply)));
        }
    }

    fn consume(
        &mut self,
        now: Timestamp,
        key: ConsumerKey,
        queue: QueueId,
        label: &QueueLabel,
        options: ConsumeOptions,
    ) -> Reply {
        let Some(slot) = self.queues.get_mut(queue) else { return no_queue(label) };
        if let Some(argument) = options.of_streams {
            let queue_type = slot.queue.settings().queue_type;
            return Reply::Refused(of_other_type(argument, label.resource(), queue_type));
        }
        slot.catch_up(now, &mut self.outboxes.flow(queue), &mut self.steps, &mut self.fx);
        if slot.queue.consume(now, key, options, &mut self.fx).is_err() {
            return Reply::Refused(Fault::exclusive_use(label.resource()));
        }
        self.holders.add(&mut self.outboxes, key.connection, queue, key.number);
        self.touch(queue);
        Reply::Consuming { queue: QueueRef { queue, shard: self.index } }
    }

    /// A declare of a queue that exists, as far as port or catalog knew.
    fn declared(&mut self, now: Timestamp, queue: QueueId, declare: Box<QueueDeclare>) {
        match self.inspect(now, queue) {
            Some(reply) => self.tell_what_is(declare.connection, reply),
            None => self.out.to_catalog.push(CatalogCommand::DeclareQueue(declare)),
        }
    }

    /// An answer that says that a queue exists: at once, or by way of the catalog, which knows when that is on disk.
    fn tell_what_is(&mut self, connection: ConnectionId, reply: Reply) {
        if self.view.is_written() {
            self.out.reply(connection, reply);
        } else {
            self.out.to_catalog.push(CatalogCommand::Answer { connection, reply });
        }
    }

    /// The counts of a queue, which this is a use of; None where it is gone.
    fn inspect(&mut self, now: Timestamp, queue: QueueId) -> Option<Reply> {
        self.catch_up(now, queue);
        let QueueSlot { queue: state, label, .. } = self.queues.get_mut(queue)?;
        state.touch(now);
        let counts = state.counts();
        let reply = Reply::QueueDeclared {
            name: label.name.clone(),
            messages: clipped(counts.ready),
            consumers: counts.consumers,
        };
        self.touch(queue);
        Some(reply)
    }

    /// Deletes a queue for a connection (semantics 8.1). The reply comes from the catalog, once it has forgotten
    /// the queue.
    fn delete_queue(
        &mut self,
        queue: QueueId,
        if_unused: bool,
        if_empty: bool,
        label: &QueueLabel,
        connection: ConnectionId,
    ) {
        if let Some(slot) = self.queues.get(queue) {
            let counts = slot.queue.counts();
            let refusal = if if_empty && counts.ready > 0 {
                Some("not empty")
            } else if if_unused && counts.consumers > 0 {
                Some("in use")
            } else {
                None
            };
            if let Some(why) = refusal {
                let fault = Fault::precondition(format!("{} {why}", label.resource()));
                self.out.reply(connection, Reply::Refused(fault));
                return;
            }
        }
        let messages = self.remove(queue).map_or(0, |slot| slot.delete(&mut self.fx));
        self.out.to_catalog.push(CatalogCommand::QueueGone { queue, reply: Some((connection, messages)) });
    }
}

/// 404: it was deleted on the way.
fn no_queue(label: &QueueLabel) -> Reply {
    Reply::Refused(Fault::not_found(label.resource()))
}
