//! What a queue hands back: operations for the store, deliveries, dead letters, news for the shard. Filled by all
//! queues of a shard during a turn, emptied by the shard. Nothing is decided here but how removals are merged.

use std::sync::Arc;

use super::garbage::{CancelledConsumers, Garbage};
use crate::model::consuming::{DeathReason, Delivery};
use crate::model::counters::Waits;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ConsumerKey, Position, PositionRange, QueueId, QueueRef};
use crate::model::message::Message;
use crate::model::op::{Fetch, Op};
use crate::model::sparse::ShrinkIfSparse;

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// A durable Put was emitted: confirm once the store has it.
    Stored,
    /// In the queue; there is nothing to wait for.
    Accepted,
    /// Refused by a full queue (semantics 12.3): the publisher gets a nack.
    Rejected,
}

/// A message that leaves for the dead-letter exchange.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub queue: QueueRef,
    /// Where it stood; 0 for one that was rejected at the door and never stood anywhere.
    pub position: Position,
    pub message: Arc<Message>,
    pub reason: DeathReason,
    /// The queue keeps it, neither ready nor unacked, until [`Queue::dead_lettered`](super::Queue::dead_lettered).
    pub awaited: bool,
}

/// A consumer (or getter) that held a delivery for longer than `timeout` milliseconds: it is no consumer any more, and
/// what it held is ready again (semantics 11.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    pub key: ConsumerKey,
    pub timeout: u64,
    /// Its channel goes, too, whatever the client can be told.
    pub closes_channel: bool,
}

/// The answer to a `get`: the message and how many ready ones remain, or None where there was none.
#[derive(Clone, Debug)]
pub struct Got {
    pub key: ConsumerKey,
    pub found: Option<(Delivery, u32)>,
}

/// How many dead letters wait to be sent on, and how many there is room for. Where there is none, queues that have a target
/// for dead letters keep what expires or is over a limit, and wait; what a client rejects becomes one all the same.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetterRoom {
    messages: usize,
    /// Of [`Message::footprint`]s.
    bytes: usize,
    most_messages: usize,
    most_bytes: usize,
    /// Dead letters that were dropped because there were many more than there is room for.
    dropped: usize,
}

/// So many times as much as there is room for may come of dead letters from elsewhere that a full queue refuses: whoever
/// sends them is told that they have come in, and cannot be held back.
const OVERFULL: usize = 16;

impl Default for DeadLetterRoom {
    /// For any number of them.
    fn default() -> DeadLetterRoom {
        DeadLetterRoom {
            messages: 0,
            bytes: 0,
            most_messages: usize::MAX,
            most_bytes: usize::MAX,
            dropped: 0,
        }
    }
}

impl DeadLetterRoom {
    /// For so many and so many bytes of them.
    pub fn set_most(&mut self, messages: usize, bytes: usize) {
        (self.most_messages, self.most_bytes) = (messages, bytes);
    }

    /// Whether there is room for another one, however large it is.
    #[inline]
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.messages < self.most_messages && self.bytes < self.most_bytes
    }

    /// One of them is sent on.
    pub fn give_back(&mut self, message: &Message) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(message.footprint());
    }

    /// Whether one that nobody keeps has to be dropped; it counts as dropped.
    pub(super) fn must_drop(&mut self) -> bool {
        let most = |most: usize| most.saturating_mul(OVERFULL);
        let must_drop = self.messages >= most(self.most_messages) || self.bytes >= most(self.most_bytes);
        self.dropped += usize::from(must_drop);
        must_drop
    }

    /// How many were dropped since this was asked.
    pub fn take_dropped(&mut self) -> usize {
        std::mem::take(&mut self.dropped)
    }
}

/// All that queues ask for in a turn. The order within each list is binding.
///
/// The shard submits `ops` before `fetches`: a fetch must see every operation emitted before it.
#[derive(Debug, Default)]
pub struct QueueEffects {
    pub ops: Vec<Op>,
    pub deliveries: Vec<(ConnectionId, Delivery)>,
    pub got: Vec<Got>,
    pub dead_letters: Vec<DeadLetter>,
    /// For dead letters, those among them that the shard has taken out of the list.
    pub dead_letter_room: DeadLetterRoom,
    /// Consumers and getters that hold nothing any more and get nothing more, unless they have come back since
    /// ([`Queue::knows`](super::Queue::knows)).
    pub freed_consumers: Vec<(QueueId, ConsumerKey)>,
    /// Consumers of deleted queues, to be told of it a part at a time.
    pub cancelled_consumers: Vec<CancelledConsumers>,
    pub timed_out: Vec<TimedOut>,
    pub fetches: Vec<Fetch>,
    /// Queues the shard shall delete: auto-delete or x-expires.
    pub to_delete: Vec<QueueId>,
    /// Memory to be given back, a part at a time.
    pub garbage: Vec<Garbage>,
    /// How long messages waited for their first delivery, over all turns.
    pub waits: Waits,
}

impl QueueEffects {
    /// Has the shard send on a dead letter.
    pub(super) fn send_dead_letter(&mut self, dead_letter: DeadLetter) {
        self.dead_letter_room.messages += 1;
        self.dead_letter_room.bytes += dead_letter.message.footprint();
        self.dead_letters.push(dead_letter);
    }

    /// Gives back the room that a large turn took. To be called once the turn is handed out.
    pub fn give_room_back(&mut self) {
        let QueueEffects {
            ops,
            deliveries,
            got,
            dead_letters,
            dead_letter_room: _,
            freed_consumers,
            cancelled_consumers,
            timed_out,
            fetches,
            to_delete,
            garbage,
            waits: _,
        } = self;
        ops.shrink_if_sparse();
        deliveries.shrink_if_sparse();
        got.shrink_if_sparse();
        dead_letters.shrink_if_sparse();
        freed_consumers.shrink_if_sparse();
        cancelled_consumers.shrink_if_sparse();
        timed_out.shrink_if_sparse();
        fetches.shrink_if_sparse();
        to_delete.shrink_if_sparse();
        garbage.shrink_if_sparse();
    }

    /// What it holds.
    pub fn holdings(&self, into: &mut Holdings) {
        let QueueEffects {
            ops,
            deliveries,
            got,
            dead_letters,
            dead_letter_room,
            freed_consumers,
            cancelled_consumers,
            timed_out,
            fetches,
            to_delete,
            garbage,
            waits: _,
        } = self;
        into.in_transit("queue effects: freed consumers", freed_consumers);
        into.in_transit("queue effects: operations", ops);
        into.in_transit("queue effects: deliveries", deliveries);
        into.in_transit("queue effects: answers to gets", got);
        into.in_transit("queue effects: dead letters", dead_letters);
        into.in_transit("queue effects: room that dead letters take", &dead_letter_room.messages);
        into.in_transit("queue effects: cancelled consumers", cancelled_consumers);
        into.in_transit("queue effects: timed out", timed_out);
        into.in_transit("queue effects: fetches", fetches);
        into.in_transit("queue effects: to be deleted", to_delete);
        into.in_transit("queue effects: garbage", garbage);
    }

    /// Emits a removal; one that goes on where the last operation ended becomes part of it.
    pub(super) fn remove(&mut self, queue: QueueId, range: PositionRange) {
        if let Some(Op::Remove { queue: last_queue, range: last }) = self.ops.last_mut()
            && *last_queue == queue
            && last.last.next() == range.first
        {
            last.last = range.last;
            return;
        }
        self.ops.push(Op::Remove { queue, range });
    }
}

/// A range of messages that leave in order of position. Those that were never put do not break a range: the store
/// passes over them.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// From the first to the last one that was put.
    put: Option<PositionRange>,
    /// How far the range reaches, put or not.
    end: Position,
}

impl Removal {
    /// Takes the next one that left. Returns the range before it where a new one begins.
    pub(super) fn add(&mut self, position: Position, was_put: bool) -> Option<PositionRange> {
        let mut finished = None;
        if self.end.next() != position {
            finished = self.put.take();
        }
        self.end = position;
        if was_put {
            match &mut self.put {
                Some(range) => range.last = position,
                None => self.put = Some(PositionRange::single(position)),
            }
        }
        finished
    }

    /// What is left at the end.
    pub(super) fn finish(self) -> Option<PositionRange> {
        self.put
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use leveret_codec::properties::Properties;

    use super::*;
    use crate::model::ids::{ShardIndex, Timestamp};
    use crate::model::message::{Body, Origin};
    use crate::model::settings::{DeadLetterTarget, Overflow, QueueSettings};
    use crate::queue::Queue;

    fn ranges(left: &[(u64, bool)]) -> Vec<(u64, u64)> {
        let mut removal = Removal::default();
        let mut ranges: Vec<_> =
            left.iter().filter_map(|&(at, put)| removal.add(Position(at), put)).collect();
        ranges.extend(removal.finish());
        ranges.iter().map(|range| (range.first.0, range.last.0)).collect()
    }

    #[test]
    fn a_removal_passes_over_what_was_never_put_but_not_over_what_stays() {
        assert_eq!(ranges(&[(1, true), (2, false), (3, true)]), [(1, 3)]);
        assert_eq!(ranges(&[(1, true), (3, true)]), [(1, 1), (3, 3)]);
        assert_eq!(ranges(&[(1, false), (2, true), (3, false)]), [(2, 2)]);
        assert_eq!(ranges(&[(4, false)]), []);
    }

    #[test]
    fn adjacent_removals_of_one_queue_become_one_operation() {
        let mut fx = QueueEffects::default();
        let single = |at| PositionRange::single(Position(at));
        fx.remove(QueueId(1), single(1));
        fx.remove(QueueId(1), single(2));
        fx.remove(QueueId(2), single(3));
        fx.remove(QueueId(2), single(5));
        let ranges: Vec<_> = fx
            .ops
            .iter()
            .map(|op| match op {
                Op::Remove { queue, range } => (queue.0, range.first.0, range.last.0),
                _ => (0, 0, 0),
            })
            .collect();
        assert_eq!(ranges, [(1, 1, 2), (2, 3, 3), (2, 5, 5)]);
    }

    #[test]
    fn dead_letters_from_elsewhere_that_a_full_queue_would_send_on_are_bounded() {
        let dead_letter = DeadLetterTarget { exchange: "dx".into(), routing_key: None };
        let settings = QueueSettings {
            max_length: Some(0),
            overflow: Overflow::RejectPublishDeadLetter,
            dead_letter: Some(dead_letter),
            ..QueueSettings::default()
        };
        let id = QueueRef { queue: QueueId(1), shard: ShardIndex::alone(0) };
        let mut queue = Queue::new(id, settings, Timestamp(0));
        let (properties, body, origin) = (Properties::default(), Body::default(), Origin::Client);
        let message = Arc::new(Message::new(&mut BytesMut::new(), b"", b"q", properties, body, origin));
        let mut fx = QueueEffects::default();
        fx.dead_letter_room.set_most(2, usize::MAX);
        for _ in 0..100 {
            let pushed = queue.push_dead_letter(Timestamp(0), Arc::clone(&message), false, &mut fx);
            assert_eq!(pushed, Pushed::Rejected);
        }
        assert_eq!(
            (fx.dead_letters.len(), fx.dead_letter_room.take_dropped()),
            (2 * OVERFULL, 100 - 2 * OVERFULL)
        );
        assert_eq!(queue.push(Timestamp(0), Arc::clone(&message), &mut fx), Pushed::Rejected);
        assert_eq!(fx.dead_letters.len(), 2 * OVERFULL + 1, "a publisher is held back elsewhere");
        for _ in 0..2 * OVERFULL {
            assert!(!fx.dead_letter_room.is_left());
            fx.dead_letter_room.give_back(&message);
        }
        assert!(fx.dead_letter_room.is_left());
    }
}
