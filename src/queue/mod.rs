//! L2, one queue: a pure state machine that owns its ready and unacked messages, its consumers, its limits and the
//! decision which messages are dead letters. It is told the time and what happened, and hands back effects
//! ([`QueueEffects`]); it never sees the catalog, a connection or the store.
//!
//! The shard that owns a queue works in turns: it calls what the turn brings (push, settle, consume, loaded, ...) and
//! then [`Queue::pump`] once for every queue it touched. Limits and memory are seen to there, after consumers had
//! their chance.
//!
//! `ready.rs` holds what waits (`lanes.rs`: lanes of segments and spans), `unacked.rs` what is delivered, `consumers.rs` who
//! is next; `deliver.rs`, `settle.rs`, `consumer_timeouts.rs`, `pending_dead_letters.rs`, `limits.rs`, `expiry.rs`,
//! `waiting.rs`, `clock.rs` and `paging.rs` are the rules; `idle.rs` gives back what a queue needs only while it is used.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::model::consuming::{ConsumeOptions, DeathReason};
use crate::model::counters::QueueCount;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConsumerKey, Position, QueueRef, Timestamp};
use crate::model::message::Message;
use crate::model::op::{self, Op, RecoveredQueue};
use crate::model::request::clipped;
use crate::model::settings::{Overflow, QueueSettings, QueueType};

mod arrivals;
mod clock;
mod consumer_timeouts;
mod consumers;
mod counts;
mod deliver;
mod effects;
mod entry;
mod expiry;
mod garbage;
mod held;
mod idle;
mod lane;
mod lanes;
mod limits;
mod on_first_use;
mod paging;
mod pending_dead_letters;
mod position_map;
mod ready;
mod retries;
mod rotation;
mod scheduling;
mod segment;
mod settle;
mod spans;
mod storing;
mod tally;
#[cfg(test)]
mod tests;
mod unacked;
mod unacked_contents;
mod waiting;
mod wall_clock;

pub use consumers::ConsumeRefused;
pub use deliver::FlowControl;
pub use effects::{DeadLetter, DeadLetterRoom, Got, Pushed, QueueEffects, TimedOut};
pub use garbage::{CancelledConsumers, Garbage};
pub use tally::Change;

use consumers::{ConsumerSelection, Consumers};
use entry::{Entry, Returns, Stored};
use on_first_use::{OnFirstUse, Part};
use pending_dead_letters::PendingDeadLetters;
use position_map::PositionMap;
use ready::Ready;
use rotation::ConsumerSlot;
use tally::Tally;
use unacked::{Unacked, UnackedMemory};
use waiting::Waiting;
use wall_clock::WallClock;

/// How much a consumer without a prefetch limit may have in flight from a quorum queue (semantics 10.11).
const QUORUM_PREFETCH: u16 = 2000;

/// How many messages that leave by themselves (expired, over a limit, requeued after a consumer timeout) one call lets
/// go of. A queue has any number of them at once, and its shard has other queues.
const PIECE: usize = 512;

/// A queue. Every message in it is in exactly one place: ready, unacked, waiting to be ready again, or among the pending
/// dead letters (those that are not safe at their target yet).
#[derive(Debug)]
pub struct Queue {
    id: QueueRef,
    settings: Arc<QueueSettings>,
    ready: Ready,
    unacked: PositionMap<Unacked>,
    unacked_memory: OnFirstUse<UnackedMemory>,
    /// What came back and is not ready again yet.
    waiting: OnFirstUse<Waiting>,
    consumers: Consumers,
    /// Of each consumer that holds something for a time.
    consumer_timeouts: OnFirstUse<BTreeSet<(Timestamp, ConsumerSlot)>>,
    dead_letters: OnFirstUse<PendingDeadLetters>,
    /// Gets that wait for a fetch, or for consumers to be served first.
    gets: OnFirstUse<VecDeque<PendingGet>>,
    next_position: Position,
    /// Messages from here on were pushed since the last pump: they do not expire before it, so that even those with
    /// a TTL of 0 may meet a consumer (semantics 12.2).
    fresh_from: Position,
    /// One of them had expired when it came.
    born_expired: bool,
    /// Messages from here on wait until they are durable; all may be delivered where this is the highest there is.
    deliverable_below: Position,
    window: Window,
    wall_clock: WallClock,
    /// When it was last declared, asked by a get, or left by its last consumer (semantics 8.5).
    last_used: Timestamp,
    /// The last pump left it over its limits, for there was no room for dead letters.
    is_held_up: bool,
    /// The shard has been told to delete it.
    gone: bool,
    /// Whether the store may have heard of it.
    stored: bool,
    /// Whether the last pump left messages ready.
    backlog: bool,
    /// Fetches under way, over all lanes, and the look ahead.
    fetches: usize,
    tally: Tally,
}

/// Bytes of memory for ready messages.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// For those that the store has too.
    stored: usize,
    all: usize,
}

impl Part for VecDeque<PendingGet> {
    fn none() -> &'static VecDeque<PendingGet> {
        static NONE: VecDeque<PendingGet> = VecDeque::new();
        &NONE
    }
}

#[derive(Clone, Copy, Debug)]
struct PendingGet {
    key: ConsumerKey,
    no_ack: bool,
}

impl Queue {
    /// An empty queue. Its memory is unlimited until [`Queue::set_window`] is called.
    #[must_use]
    pub fn new(id: QueueRef, settings: impl Into<Arc<QueueSettings>>, now: Timestamp) -> Queue {
        Queue::recover(id, settings, RecoveredQueue::default(), now)
    }

    /// A queue as the store found it: its messages are ready, but for those that wait, and none is in memory.
    #[must_use]
    pub fn recover(
        id: QueueRef,
        settings: impl Into<Arc<QueueSettings>>,
        found: RecoveredQueue,
        now: Timestamp,
    ) -> Queue {
        let mut ready = Ready::default();
        let mut next_position = found.next_position.max(Position(1));
        let stored = next_position > Position(1) || !found.lanes.is_empty() || !found.waiting.is_empty();
        for (lane, spans) in found.lanes {
            let last = spans.iter().map(|span| span.range.last).max();
            next_position = next_position.max(last.map_or(Position(1), Position::next));
            ready.recover(lane, spans);
        }
        let wall_clock = WallClock::default();
        let mut waiting = OnFirstUse::default();
        if !found.waiting.is_empty() {
            *waiting = Waiting::recovered(&found.waiting, &wall_clock);
            let last = found.waiting.iter().map(|wait| wait.position.next()).max();
            next_position = next_position.max(last.unwrap_or_default());
        }
        Queue {
            id,
            settings: settings.into(),
            backlog: !ready.is_empty(),
            ready,
            unacked: PositionMap::default(),
            unacked_memory: OnFirstUse::default(),
            waiting,
            consumers: Consumers::default(),
            consumer_timeouts: OnFirstUse::default(),
            dead_letters: OnFirstUse::default(),
            gets: OnFirstUse::default(),
            next_position,
            fresh_from: next_position,
            born_expired: false,
            deliverable_below: Position(u64::MAX),
            window: Window { stored: usize::MAX, all: usize::MAX },
            wall_clock,
            last_used: now,
            is_held_up: false,
            gone: false,
            stored,
            fetches: 0,
            tally: Tally::default(),
        }
    }

    #[must_use]
    pub fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// Obeys other settings from now on: a policy changed (semantics 17.4). A lower length limit drops at once; a
    /// TTL applies to messages that arrive from now on. Type, durability and highest priority never change.
    pub fn set_settings(
        &mut self,
        _now: Timestamp,
        settings: impl Into<Arc<QueueSettings>>,
        fx: &mut QueueEffects,
    ) {
        self.settings = settings.into();
        self.enforce_limits(fx);
    }

    /// How many bytes of memory ready messages may take: all of them, and those that the store has anyway, which cost
    /// nothing to let go. The rest lives in the store. Obeyed at the next pump; a queue in use keeps a small floor so
    /// that it can work at all.
    pub fn set_window(&mut self, stored: usize, all: usize) {
        self.window = Window { stored, all };
    }

    /// Whether it holds more than its window, so that a pump may have something to do although nothing happens to it.
    #[must_use]
    pub fn exceeds_window(&self) -> bool {
        self.ready.stored_memory() > self.window.stored
            || self.ready.memory() > self.window.all
            || self.exceeds_unacked()
    }

    /// From now on only messages in front of this position are delivered, and what comes behind them, too, waits. Until this is
    /// called all are. To be raised as they become durable.
    pub fn set_deliverable_below(&mut self, position: Position) {
        self.deliverable_below = position;
    }

    /// All in front of this position may be delivered.
    #[must_use]
    pub fn deliverable_below(&self) -> Position {
        self.deliverable_below
    }

    /// By how many milliseconds the wall clock is ahead of the time that the queue is told: it is the wall clock's times
    /// that the store has. Nothing is due sooner or later for it.
    pub fn set_wall_ahead(&mut self, millis: i64) {
        self.wall_clock.set(self.next_position, millis);
    }

    /// Takes a message in, or refuses it where the queue is full and rejects (semantics 12.3).
    pub fn push(&mut self, now: Timestamp, message: Arc<Message>, fx: &mut QueueEffects) -> Pushed {
        // Dead letters that nobody may ever take are kept, and have to end somewhere.
        let kept = if self.settings.dead_letters_at_least_once { self.dead_letters.len() } else { 0 };
        if self.refuses(&message, kept) {
            return self.reject(message, fx);
        }
        self.take_in(now, message, fx)
    }

    /// Takes in a message that the broker sends on, as [`Queue::push`] does; but it never waits for the dead letters
    /// that this queue keeps. They may wait for the queue it comes from, and queues that feed each other would hold
    /// them for ever; so a dead letter waits for ready messages alone, of which consumers make fewer. One of the
    /// queue's `own` is not refused at all: it comes back to the place it has not left yet.
    pub fn push_dead_letter(
        &mut self,
        now: Timestamp,
        message: Arc<Message>,
        own: bool,
        fx: &mut QueueEffects,
    ) -> Pushed {
        if !own && self.refuses(&message, 0) {
            // Whoever sends dead letters cannot be held back as a publisher is.
            if self.sends_on_what_it_refuses() && fx.dead_letter_room.must_drop() {
                self.tally.add(QueueCount::MaxLength, 1);
                return Pushed::Rejected;
            }
            return self.reject(message, fx);
        }
        self.take_in(now, message, fx)
    }

    pub(super) fn sends_on_what_it_refuses(&self) -> bool {
        self.settings.overflow == Overflow::RejectPublishDeadLetter && self.settings.dead_letter.is_some()
    }

    /// Refuses a message at the door.
    fn reject(&mut self, message: Arc<Message>, fx: &mut QueueEffects) -> Pushed {
        if self.sends_on_what_it_refuses() {
            let (queue, position, reason) = (self.id, Position::default(), DeathReason::MaxLength);
            self.tally.add(QueueCount::MaxLength, 1);
            fx.send_dead_letter(DeadLetter { queue, position, message, reason, awaited: false });
        }
        Pushed::Rejected
    }

    #[inline(always)]
    fn take_in(&mut self, now: Timestamp, message: Arc<Message>, fx: &mut QueueEffects) -> Pushed {
        if self.settings.scheduled
            && let Some(until) = self.scheduled(now, &message)
        {
            return self.take_in_for_later(message, until, fx);
        }
        let durable = self.must_survive(&message);
        let lane = self.lane_of(&message);
        let entry = Entry {
            position: self.next_position,
            expiry: self.expiry_of(now, &message),
            message,
            returns: Returns::default(),
            stored: if durable { Stored::Durable } else { Stored::No },
            indexed: false,
        };
        self.born_expired |= entry.expiry.is_due(now);
        self.next_position = self.next_position.next();
        if durable {
            self.put(lane, &entry, fx);
        }
        self.ready.push(lane, entry);
        if durable { Pushed::Stored } else { Pushed::Accepted }
    }

    /// Adds a consumer. Deliveries begin with the next pump. Quorum queues ignore that one wants to be exclusive, as
    /// in RabbitMQ (semantics 10.3).
    pub fn consume(
        &mut self,
        _now: Timestamp,
        key: ConsumerKey,
        mut options: ConsumeOptions,
        _fx: &mut QueueEffects,
    ) -> Result<(), ConsumeRefused> {
        options.exclusive &= self.settings.queue_type == QueueType::Classic;
        let is_quorum = self.settings.queue_type == QueueType::Quorum;
        if is_quorum && options.prefetch == 0 && !options.no_ack {
            options.prefetch = QUORUM_PREFETCH;
        }
        let timeout = self.timeout_of(options.timeout).filter(|_| !options.no_ack);
        let slot = self.consumers.register(key, options, self.selection())?;
        self.end_timeout(slot);
        self.consumers.set_timeout(slot, timeout);
        Ok(())
    }

    /// No more deliveries to this consumer. What it holds unacked stays with it and may still be settled.
    pub fn cancel(&mut self, now: Timestamp, key: ConsumerKey, fx: &mut QueueEffects) {
        let Some(slot) = self.consumers.find(key) else { return };
        if self.consumers.unregister(slot) {
            self.consumer_left(now, fx);
        }
        self.free_if_idle(slot, fx);
    }

    /// Whether this is a consumer here, or one who holds something or waits for a get.
    #[must_use]
    pub fn knows(&self, key: ConsumerKey) -> bool {
        self.consumers.find(key).is_some() || self.gets.iter().any(|get| get.key == key)
    }

    /// Holds deliveries to a consumer back, or lets them go on.
    pub fn set_paused(&mut self, key: ConsumerKey, paused: bool) {
        if let Some(slot) = self.consumers.find(key) {
            self.consumers.set_paused(slot, paused);
        }
    }

    /// Drops all ready messages and those that wait, and returns how many there were. They are no dead letters
    /// (semantics 8.4).
    pub fn purge(&mut self, _now: Timestamp, fx: &mut QueueEffects) -> u32 {
        self.remove_stored(fx);
        let (ready, purged) = self.ready.clear();
        let waiting = self.waiting.take_away();
        let count = ready + waiting.as_ref().map_or(0, |waiting| waiting.len() as u64);
        fx.garbage.extend(Garbage::of(purged, PositionMap::default(), waiting));
        clipped(count)
    }

    /// Ends the queue with all it holds and returns how many messages were ready. Nothing is dead-lettered
    /// (semantics 8.3).
    pub fn delete(mut self, fx: &mut QueueEffects) -> u32 {
        fx.got.extend(self.gets.iter().map(|get| Got { key: get.key, found: None }));
        fx.freed_consumers.extend(self.gets.iter().map(|get| (self.id.queue, get.key)));
        fx.cancelled_consumers.push(CancelledConsumers::new(self.id.queue, self.consumers));
        if self.stored {
            fx.ops.push(Op::DeleteQueue { queue: self.id.queue });
        }
        let count = clipped(self.ready.count());
        fx.garbage.extend(Garbage::of(self.ready.lanes.take(), self.unacked, self.waiting.take_away()));
        count
    }

    /// The queue was declared: x-expires starts anew (semantics 8.5).
    pub fn touch(&mut self, now: Timestamp) {
        self.last_used = now;
        self.gone = false;
    }

    /// No message stands behind this position.
    #[must_use]
    pub fn last_position(&self) -> Position {
        Position(self.next_position.0 - 1)
    }

    /// What it holds.
    pub fn holdings(&self, into: &mut Holdings) {
        let Queue {
            id: _,
            settings: _,
            ready,
            unacked,
            unacked_memory,
            waiting,
            consumers,
            consumer_timeouts,
            dead_letters,
            gets,
            next_position: _,
            fresh_from: _,
            born_expired: _,
            deliverable_below: _,
            window: _,
            wall_clock,
            last_used: _,
            is_held_up: _,
            gone: _,
            stored: _,
            backlog: _,
            fetches,
            tally: _,
        } = self;
        ready.holdings(into);
        into.in_use("queue: unacked", &unacked.size());
        into.in_use("queue: memory of unacked", &unacked_memory.held.all);
        waiting.holdings(into);
        consumers.holdings(into);
        into.in_transit("queue: consumer timeouts", &**consumer_timeouts);
        dead_letters.holdings(into);
        into.in_transit("queue: gets", &**gets);
        into.in_transit("queue: fetches", fetches);
        into.declared("queue: times the wall clock was set", &wall_clock.len());
    }

    /// The last consumer's leaving makes an auto-delete queue go (semantics 7.10) and starts x-expires.
    fn consumer_left(&mut self, now: Timestamp, fx: &mut QueueEffects) {
        if !self.consumers.is_empty() {
            return;
        }
        self.last_used = now;
        if self.settings.auto_delete {
            self.announce_gone(fx);
        }
    }

    fn announce_gone(&mut self, fx: &mut QueueEffects) {
        if !self.gone {
            self.gone = true;
            fx.to_delete.push(self.id.queue);
        }
    }

    /// Who gets deliveries (semantics 10.15).
    fn selection(&self) -> ConsumerSelection {
        match (self.settings.single_active_consumer, self.settings.queue_type) {
            (false, _) => ConsumerSelection::All,
            (true, QueueType::Classic) => ConsumerSelection::FirstCome,
            (true, QueueType::Quorum) => ConsumerSelection::HighestPriority,
        }
    }

    fn lane_of(&self, message: &Message) -> op::Lane {
        lane_of(&self.settings, message)
    }
}

/// The priority of a message in a queue that has priorities: one above the highest counts as the highest.
fn lane_of(settings: &QueueSettings, message: &Message) -> op::Lane {
    let priority = message.priority().unwrap_or(settings.default_priority());
    settings.max_priority.map_or(0, |max| priority.min(max))
}
