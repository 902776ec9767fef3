//! Ready messages on their way out: to consumers in turn, to gets. Who is next is known in `consumers.rs`, what is
//! next in `ready.rs`.

use std::sync::Arc;

use super::effects::{Got, QueueEffects};
use super::entry::{Entry, Stored};
use super::lane::Next;
use super::rotation::ConsumerSlot;
use super::{PIECE, PendingGet, Queue};
use crate::model::consuming::{DeathReason, Delivery};
use crate::model::counters::{QueueCount, WAIT_BOUNDS};
use crate::model::ids::{ConnectionId, ConsumerKey, PositionRange, Timestamp};
use crate::model::op;
use crate::model::request::clipped;

/// Whether connections take more: their outboxes are bounded by bytes.
pub trait FlowControl {
    /// Whether this connection can take a message of this footprint. Yes means that it will get it.
    fn admits(&mut self, connection: ConnectionId, bytes: usize) -> bool;
}

/// The first message that may be delivered.
enum First {
    Ready(op::Lane),
    /// It has to be fetched first.
    Paged(op::Lane),
    /// So many before it have expired that the rest has to wait.
    Later,
    /// Those before it have expired, and there is no room for dead letters.
    HeldUp,
    /// It is not durable yet.
    Uncommitted,
    Empty,
}

/// How many messages one call delivers to consumers.
const DELIVERED: usize = 4096;

impl Queue {
    /// Delivers what can be delivered, answers gets, then enforces expiry, limits and the window. Returns how many
    /// messages it has moved, and whether there is more to do than is good for one call.
    pub fn pump(
        &mut self,
        now: Timestamp,
        flow: &mut impl FlowControl,
        fx: &mut QueueEffects,
    ) -> (usize, bool) {
        if self.is_held_up {
            // What is over a limit goes before anybody is served, as if it had gone when it came.
            let more = self.enforce_limits(fx);
            self.is_held_up = self.is_over_limit() && self.must_wait_for_room(fx);
            if self.is_held_up {
                let (paged, more_to_page) = self.balance_memory(false, 0, fx);
                return (paged, more | more_to_page);
            }
        }
        let delivered = fx.deliveries.len();
        let mut more = self.deliver_to_consumers(now, flow, fx);
        let delivered = fx.deliveries.len() - delivered;
        let served = delivered > 0;
        self.consumers.end_turn(self.selection());
        more |= self.serve_gets(now, fx);
        let came = self.next_position.0.saturating_sub(self.fresh_from.0);
        if came > 0 {
            self.tally.add(QueueCount::Published, clipped(came));
        }
        let new_from = std::mem::replace(&mut self.fresh_from, self.next_position);
        self.born_expired = false;
        let expired = self.expire(now, fx);
        more |= self.enforce_limits(fx);
        self.is_held_up = self.must_wait_for_room(fx) && self.drops_head() && self.is_over_limit();
        self.backlog = !self.ready.is_empty();
        self.tally.end_pump(self.backlog, new_from, came > 0, now);
        let came = usize::try_from(came).unwrap_or(usize::MAX);
        let (paged, more_to_page) = self.balance_memory(served, came, fx);
        self.read_dead_letters(fx);
        (delivered + expired + paged, more | more_to_page)
    }

    /// Answers a `basic.get` in `fx.got`: at once, or in a later pump where the message has to be fetched or a consumer
    /// waits to be served first. `key` holds the message unacked, unless `no_ack`.
    pub fn get(&mut self, now: Timestamp, key: ConsumerKey, no_ack: bool, fx: &mut QueueEffects) {
        self.last_used = now;
        self.gets.push_back(PendingGet { key, no_ack });
        if !self.is_held_up && !self.consumers.anyone_waits(self.selection()) {
            self.serve_gets(now, fx);
        }
    }

    /// Returns whether there is more to do.
    fn deliver_to_consumers(
        &mut self,
        now: Timestamp,
        flow: &mut impl FlowControl,
        fx: &mut QueueEffects,
    ) -> bool {
        let selection = self.selection();
        let most = fx.deliveries.len() + DELIVERED;
        while self.consumers.anyone_waits(selection) {
            if fx.deliveries.len() == most {
                return true;
            }
            let lane = match self.first(now, fx) {
                First::Ready(lane) => lane,
                First::Paged(lane) => {
                    self.fetch_front(lane, fx);
                    return false;
                }
                First::Later => return true,
                First::HeldUp | First::Uncommitted | First::Empty => return false,
            };
            let Next::Entry(entry) = self.ready.next(lane) else { return false };
            let bytes = entry.footprint();
            let picked = self.consumers.pick(selection, |connection| flow.admits(connection, bytes));
            let Some(slot) = picked else { return false };
            let Some(key) = self.consumers.key(slot) else { return false };
            let Some(entry) = self.ready.pop(lane) else { return false };
            let no_ack = self.consumers.is_no_ack(slot);
            let delivery = self.hand_over(now, (slot, key, no_ack), lane, entry, fx);
            let count = if no_ack { QueueCount::DeliverNoAck } else { QueueCount::Deliver };
            self.count_out(now, count, &delivery, fx);
            fx.deliveries.push((key.connection, delivery));
            self.consumers.rotate(slot, selection);
        }
        false
    }

    /// Returns whether there is more to do.
    fn serve_gets(&mut self, now: Timestamp, fx: &mut QueueEffects) -> bool {
        while let Some(&PendingGet { key, no_ack }) = self.gets.front() {
            let found = match self.first(now, fx) {
                First::Ready(lane) => self.ready.pop(lane).map(|entry| (lane, entry)),
                First::Paged(lane) => {
                    self.fetch_front(lane, fx);
                    return false;
                }
                First::Later => return true,
                First::HeldUp | First::Uncommitted => return false,
                First::Empty => None,
            };
            self.gets.pop_front();
            let found = found.map(|(lane, entry)| {
                let slot = self.consumers.getter(key);
                self.consumers.set_timeout(slot, self.timeout_of(None));
                let delivery = self.hand_over(now, (slot, key, no_ack), lane, entry, fx);
                self.free_if_idle(slot, fx);
                let count = if no_ack { QueueCount::GetNoAck } else { QueueCount::Get };
                self.count_out(now, count, &delivery, fx);
                (delivery, clipped(self.ready.count()))
            });
            if found.is_none() {
                self.tally.add(QueueCount::GetEmpty, 1);
            }
            if found.is_none() && !self.knows(key) {
                fx.freed_consumers.push((self.id.queue, key));
            }
            fx.got.push(Got { key, found });
        }
        false
    }

    /// Finds the next message that has not expired; those that have leave.
    #[inline(always)]
    fn first(&mut self, now: Timestamp, fx: &mut QueueEffects) -> First {
        let mut expired = 0;
        while let Some(lane) = self.ready.highest() {
            match self.ready.next(lane) {
                Next::Entry(entry) if entry.expiry.is_due(now) && entry.position < self.fresh_from => {
                    if expired == PIECE {
                        return First::Later;
                    }
                    if self.must_wait_for_room(fx) {
                        return First::HeldUp;
                    }
                    expired += 1;
                    if let Some(entry) = self.ready.pop(lane) {
                        self.leave(entry, DeathReason::Expired, fx);
                    }
                }
                Next::Entry(entry) if entry.position < self.deliverable_below => return First::Ready(lane),
                Next::Entry(_) => return First::Uncommitted,
                Next::Paged => return First::Paged(lane),
                Next::Empty => return First::Empty,
            }
        }
        First::Empty
    }

    fn count_out(&mut self, now: Timestamp, count: QueueCount, delivery: &Delivery, fx: &mut QueueEffects) {
        self.tally.add(count, 1);
        if delivery.redelivered {
            self.tally.add(QueueCount::Redelivered, 1);
        } else if delivery.position >= self.fresh_from {
            // It came in this turn.
            fx.waits.add(&WAIT_BOUNDS, 0);
        } else if let Some(came) = self.tally.came(delivery.position) {
            fx.waits.add(&WAIT_BOUNDS, now.0.saturating_sub(came.0));
        }
    }

    /// Makes a delivery of an entry of this lane, which becomes unacked or, with `no_ack`, leaves.
    fn hand_over(
        &mut self,
        now: Timestamp,
        (slot, key, no_ack): (ConsumerSlot, ConsumerKey, bool),
        lane: op::Lane,
        entry: Entry,
        fx: &mut QueueEffects,
    ) -> Delivery {
        let delivery = Delivery {
            consumer: key.number,
            queue: self.id,
            position: entry.position,
            message: Arc::clone(&entry.message),
            redelivered: entry.returns.redelivered(),
            attempts: entry.returns.attempts(),
            no_ack,
        };
        if no_ack {
            if entry.stored != Stored::No {
                self.removed(PositionRange::single(entry.position), fx);
            }
        } else {
            self.consumers.hold(slot, entry.position);
            self.begin_consumer_timeout(now, slot);
            self.hold_unacked(now, slot, lane, entry, fx);
        }
        delivery
    }
}
