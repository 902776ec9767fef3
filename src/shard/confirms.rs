//! Who waits for which batch of operations. Batches of a shard are numbered in the order they are submitted; whoever makes
//! them durable says how far that is, and they are told. No shard waits for another's batches.

use std::collections::VecDeque;

use super::Shard;
use crate::model::command::AwaitedDeadLetter;
use crate::model::event::{ConfirmToken, SessionEvent};
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, Position, QueueId, Timestamp};
use crate::model::request::Reply;
use crate::model::sparse::ShrinkIfSparse;

/// Somebody who is told once a batch is durable.
#[derive(Clone, Debug)]
pub(super) enum Waiter {
    Connection(ConnectionId, ConfirmToken),
    /// Who made a request, and its answer. It is rare; what waits mostly is small.
    Request(ConnectionId, Box<Reply>),
    /// The source of a dead letter, which this queue has taken.
    Source(AwaitedDeadLetter, QueueId),
    /// A queue that delivers nothing before it is durable, and up to where that is so then.
    Queue(QueueId, Position),
}

/// The waiting, in order of their batches.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// The last batch submitted; 0 before the first.
    submitted: u64,
    /// The last batch known durable.
    durable: u64,
    waiting: VecDeque<(u64, Waiter)>,
    /// Somebody waits for the batch that is being collected.
    must_sync: bool,
}

impl Confirms {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Confirms { submitted: _, durable: _, waiting, must_sync: _ } = self;
        into.in_transit("confirms: waiting", waiting);
    }

    /// Waits for the batch that is being collected.
    pub(super) fn wait(&mut self, waiter: Waiter) {
        self.waiting.push_back((self.submitted + 1, waiter));
        self.must_sync = true;
    }

    /// Whether everything submitted is durable.
    pub(super) fn is_settled(&self) -> bool {
        self.durable == self.submitted
    }

    /// Ends the batch that was collected; returns its number and whether somebody waits for it. Without operations
    /// and without anybody who waits there is no batch.
    pub(super) fn end_batch(&mut self, is_empty: bool) -> Option<(u64, bool)> {
        if is_empty && !self.must_sync {
            return None;
        }
        self.submitted += 1;
        Some((self.submitted, std::mem::take(&mut self.must_sync)))
    }

    /// Everything up to this batch is durable.
    pub(super) fn reached(&mut self, sequence: u64) {
        assert!(sequence <= self.submitted, "a batch that was never submitted is durable");
        self.durable = self.durable.max(sequence);
    }

    /// Whether somebody need not wait any longer.
    pub(super) fn has_done(&self) -> bool {
        self.waiting.front().is_some_and(|&(sequence, _)| sequence <= self.durable)
    }

    /// The next one who need not wait any longer.
    pub(super) fn next_done(&mut self) -> Option<Waiter> {
        if !self.has_done() {
            return None;
        }
        let (_, waiter) = self.waiting.pop_front()?;
        self.waiting.shrink_if_sparse();
        Some(waiter)
    }
}

impl Shard {
    /// Batches up to this one are durable.
    pub fn durable(&mut self, now: Timestamp, sequence: u64) {
        self.confirms.reached(sequence);
        self.tell_those_who_waited(now);
    }

    /// Tells those who waited for what is durable, as many as a turn has time for.
    pub(super) fn tell_those_who_waited(&mut self, now: Timestamp) {
        while self.steps.may_tell()
            && let Some(waiter) = self.confirms.next_done()
        {
            match waiter {
                Waiter::Connection(connection, token) => self
                    .out
                    .to_connections
                    .push((connection, SessionEvent::Confirm { token, accepted: true })),
                Waiter::Request(connection, reply) => self.out.reply(connection, *reply),
                Waiter::Source(awaited, target) => self.tell_source(now, awaited, target, true),
                Waiter::Queue(queue, below) => {
                    if self.held_back.get(&queue) == Some(&below) {
                        self.held_back.remove(&queue);
                    }
                    if let Some(slot) = self.queues.get_touched(queue) {
                        slot.queue.set_deliverable_below(below);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(sequence: u64) -> Waiter {
        Waiter::Connection(ConnectionId(1), ConfirmToken { channel: 1, epoch: 0, sequence })
    }

    fn next(confirms: &mut Confirms) -> Option<u64> {
        confirms.next_done().map(|waiter| match waiter {
            Waiter::Connection(_, token) => token.sequence,
            other => panic!("nobody else waits: {other:?}"),
        })
    }

    #[test]
    fn the_waiting_are_done_with_their_batch_and_in_order() {
        let mut confirms = Confirms::default();
        assert_eq!(confirms.end_batch(true), None);
        confirms.wait(waiter(1));
        assert_eq!(confirms.end_batch(false), Some((1, true)));
        assert_eq!(confirms.end_batch(false), Some((2, false)));
        confirms.wait(waiter(2));
        assert_eq!(confirms.end_batch(true), Some((3, true)));
        assert_eq!(next(&mut confirms), None);
        confirms.reached(2);
        assert_eq!((next(&mut confirms), next(&mut confirms)), (Some(1), None));
        assert!(!confirms.is_settled());
        confirms.reached(3);
        assert_eq!((next(&mut confirms), next(&mut confirms)), (Some(2), None));
        assert!(confirms.is_settled());
    }
}
