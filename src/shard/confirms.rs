//! Who waits for which batch of operations. Batches are numbered in the order they are submitted; the store says how
//! far it is, and they are told.

use std::collections::VecDeque;

use super::Shard;
use crate::model::command::AwaitedDeadLetter;
use crate::model::event::{ConfirmToken, SessionEvent};
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, QueueId, Timestamp};
use crate::model::sparse::ShrinkIfSparse;

/// Somebody who is told once a batch is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    Connection(ConnectionId, ConfirmToken),
    /// The source of a dead letter, which this queue has taken.
    Source(AwaitedDeadLetter, QueueId),
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
        debug_assert!(sequence <= self.submitted, "a batch that was never submitted is durable");
        self.durable = self.durable.max(sequence);
    }

    /// Whether somebody need not wait any longer.
    pub(super) fn has_done(&self) -> bool {
        self.waiting.front().is_some_and(|&(sequence, _)| sequence <= self.durable)
    }

    /// The next one who need not wait any longer.
    pub(super) fn next_done(&mut self) -> Option<Waiter> {
        match self.waiting.front() {
            Some(&(sequence, waiter)) if sequence <= self.durable => {
                self.waiting.pop_front();
                self.waiting.shrink_if_sparse();
                Some(waiter)
            }
            _ => None,
        }
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
                Waiter::Source(awaited, target) => self.tell_source(now, awaited, target, true),
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

    #[test]
    fn the_waiting_are_done_with_their_batch_and_in_order() {
        let mut confirms = Confirms::default();
        assert_eq!(confirms.end_batch(true), None);
        confirms.wait(waiter(1));
        assert_eq!(confirms.end_batch(false), Some((1, true)));
        assert_eq!(confirms.end_batch(false), Some((2, false)));
        confirms.wait(waiter(2));
        assert_eq!(confirms.end_batch(true), Some((3, true)));
        assert_eq!(confirms.next_done(), None);
        confirms.reached(2);
        assert_eq!((confirms.next_done(), confirms.next_done()), (Some(waiter(1)), None));
        assert!(!confirms.is_settled());
        confirms.reached(3);
        assert_eq!((confirms.next_done(), confirms.next_done()), (Some(waiter(2)), None));
        assert!(confirms.is_settled());
    }
}
