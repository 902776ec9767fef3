//! The consumers of a queue: who is next, who has credit, who may consume at all (semantics.md section 10). What they
//! are given is decided elsewhere. Those who only `get` have a record too while they hold something, but do not count.

use std::collections::{BTreeMap, HashMap, VecDeque};

use foldhash::fast::FixedState;

use super::effects::ConsumeRefused;
use crate::model::consuming::ConsumeOptions;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ConsumerKey, Position, PositionRange, Timestamp};

/// A consumer's place in the table. Given to another once the consumer has gone and holds nothing.
pub(super) type Slot = u32;

/// More than this many stale positions beyond twice the live ones are cleared away.
const SLACK: usize = 32;

/// Who gets deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turns {
    /// All in turn, the highest priority first.
    All,
    /// The one who came first.
    FirstCome,
    /// The one with the highest priority.
    HighestPriority,
}

#[derive(Debug)]
struct Consumer {
    key: ConsumerKey,
    options: ConsumeOptions,
    /// Its place in the order of registration; None: cancelled, or only getting.
    registered: Option<u64>,
    paused: bool,
    /// In its level's rotation.
    waiting: bool,
    unacked: u32,
    /// Where its unacked stand, about: what has left since may still be here.
    held: VecDeque<Position>,
    /// How long it may hold a delivery, in milliseconds.
    timeout: Option<u64>,
    /// The deadline that was made for it.
    lease: Option<Timestamp>,
}

impl Consumer {
    fn credit(&self) -> u64 {
        if self.registered.is_none() || self.paused {
            0
        } else if self.options.no_ack || self.options.prefetch == 0 {
            u64::MAX
        } else {
            u64::from(u32::from(self.options.prefetch).saturating_sub(self.unacked))
        }
    }
}

/// The consumers of one priority.
#[derive(Debug)]
struct Level {
    priority: i32,
    members: usize,
    /// Those with credit, the next one first. One that lost its credit otherwise than by a delivery is found out
    /// when it is its turn.
    waiting: VecDeque<Slot>,
}

#[derive(Debug, Default)]
pub(super) struct Consumers {
    table: Vec<Option<Consumer>>,
    free: Vec<Slot>,
    by_key: HashMap<ConsumerKey, Slot, FixedState>,
    /// Registered ones, first come first.
    order: BTreeMap<u64, Slot>,
    next_order: u64,
    /// Highest priority first.
    levels: Vec<Level>,
    exclusive: bool,
    /// The first registered one of the highest priority.
    best: Option<Slot>,
    /// Who got the last delivery, where one gets all, and is still registered.
    current: Option<Slot>,
    /// Those whose connection took nothing more in this turn, in the order they were asked.
    refused: Vec<Slot>,
    /// Those who got credit since the last turn ended.
    joined: Vec<Slot>,
}

impl Consumers {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Consumers {
            table,
            free,
            by_key,
            order,
            next_order: _,
            levels,
            exclusive: _,
            best,
            current,
            refused,
            joined,
        } = self;
        into.in_use("consumers: table", &(table.iter().flatten().count(), table.capacity()));
        into.in_use("consumers: free slots", &(0, free.capacity()));
        into.in_use("consumers: by key", by_key);
        into.in_use("consumers: order", order);
        into.in_use("consumers: levels", levels);
        into.in_use("consumers: best", best);
        into.in_use("consumers: current", current);
        into.in_transit("consumers: refused", refused);
        into.in_transit("consumers: joined", joined);
        for consumer in table.iter().flatten() {
            into.in_use("consumers: held by one", &consumer.held);
        }
    }

    /// How many there are; those who only get do not count.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn find(&self, key: ConsumerKey) -> Option<Slot> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn key(&self, slot: Slot) -> Option<ConsumerKey> {
        self.get(slot).map(|consumer| consumer.key)
    }

    pub(super) fn is_no_ack(&self, slot: Slot) -> bool {
        self.get(slot).is_some_and(|consumer| consumer.options.no_ack)
    }

    /// Keys in order of registration.
    pub(super) fn keys(&self) -> impl Iterator<Item = ConsumerKey> {
        self.order.values().filter_map(|&slot| self.key(slot))
    }

    /// Adds a consumer. An exclusive one wants to be, and to stay, the only one (semantics.md 10.3).
    pub(super) fn register(
        &mut self,
        key: ConsumerKey,
        options: ConsumeOptions,
        turns: Turns,
    ) -> Result<Slot, ConsumeRefused> {
        if self.exclusive || (options.exclusive && (turns != Turns::All || !self.is_empty())) {
            return Err(ConsumeRefused::ExclusiveUse);
        }
        let slot = self.getter(key);
        self.unregister(slot);
        self.exclusive = options.exclusive;
        let order = self.next_order;
        self.next_order += 1;
        self.order.insert(order, slot);
        if let Some(consumer) = self.get_mut(slot) {
            consumer.options = options;
            consumer.registered = Some(order);
            consumer.paused = false;
        }
        self.level(options.priority).members += 1;
        self.choose_best();
        self.join(slot);
        Ok(slot)
    }

    /// The record of a key; a new one that is not registered where there is none.
    pub(super) fn getter(&mut self, key: ConsumerKey) -> Slot {
        if let Some(slot) = self.find(key) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            Slot::try_from(self.table.len() - 1).unwrap_or(Slot::MAX)
        });
        let consumer = Consumer {
            key,
            options: ConsumeOptions::default(),
            registered: None,
            paused: false,
            waiting: false,
            unacked: 0,
            held: VecDeque::new(),
            timeout: None,
            lease: None,
        };
        if let Some(place) = self.table.get_mut(slot as usize) {
            *place = Some(consumer);
        }
        self.by_key.insert(key, slot);
        slot
    }

    /// Takes a consumer out of the order; what it holds stays with it. Returns whether it was in.
    pub(super) fn unregister(&mut self, slot: Slot) -> bool {
        let Some(consumer) = self.get_mut(slot) else { return false };
        let Some(order) = consumer.registered.take() else { return false };
        consumer.waiting = false;
        let priority = consumer.options.priority;
        self.order.remove(&order);
        // An exclusive consumer is the only one.
        self.exclusive = false;
        self.joined.retain(|&joined| joined != slot);
        let level = self.level(priority);
        level.members -= 1;
        level.waiting.retain(|&waiting| waiting != slot);
        if level.members == 0 {
            self.levels.retain(|level| level.priority != priority);
        }
        self.current = self.current.filter(|&current| current != slot);
        self.choose_best();
        true
    }

    /// Whether a record is neither registered nor holds anything.
    pub(super) fn is_idle(&self, slot: Slot) -> bool {
        self.get(slot).is_some_and(|consumer| consumer.registered.is_none() && consumer.unacked == 0)
    }

    /// Forgets a record that is idle.
    pub(super) fn release(&mut self, slot: Slot) {
        if let Some(key) = self.key(slot) {
            self.by_key.remove(&key);
            self.table[slot as usize] = None;
            self.free.push(slot);
        }
    }

    pub(super) fn set_paused(&mut self, slot: Slot, paused: bool) {
        if let Some(consumer) = self.get_mut(slot) {
            consumer.paused = paused;
        }
        self.join(slot);
    }

    /// A message was delivered to it and is unacked.
    pub(super) fn hold(&mut self, slot: Slot, position: Position) {
        if let Some(consumer) = self.get_mut(slot) {
            consumer.unacked += 1;
            consumer.held.push_back(position);
        }
    }

    /// How long it may hold a delivery from now on, in milliseconds.
    pub(super) fn set_timeout(&mut self, slot: Slot, timeout: Option<u64>) {
        if let Some(consumer) = self.get_mut(slot) {
            consumer.timeout = timeout;
        }
    }

    pub(super) fn timeout(&self, slot: Slot) -> Option<u64> {
        self.get(slot)?.timeout
    }

    /// Makes a deadline for a delivery of this time, where deliveries have one and none was made yet.
    pub(super) fn begin_lease(&mut self, slot: Slot, delivered: Timestamp) -> Option<Timestamp> {
        let consumer = self.get_mut(slot).filter(|consumer| consumer.lease.is_none())?;
        consumer.lease = consumer.timeout.map(|timeout| delivered.plus_millis(timeout));
        consumer.lease
    }

    /// Forgets the deadline that was made.
    pub(super) fn end_lease(&mut self, slot: Slot) -> Option<Timestamp> {
        self.get_mut(slot)?.lease.take()
    }

    /// Where its unacked stand, about.
    pub(super) fn held(&self, slot: Slot) -> impl Iterator<Item = Position> {
        self.get(slot).into_iter().flat_map(|consumer| consumer.held.iter().copied())
    }

    /// `count` of its unacked in `range` were settled. Returns whether its notes of what it holds grew stale and want to
    /// be cleared (see [`Consumers::keep_held`]).
    pub(super) fn settled(&mut self, slot: Slot, range: PositionRange, count: u32) -> bool {
        let Some(consumer) = self.get_mut(slot) else { return false };
        consumer.unacked = consumer.unacked.saturating_sub(count);
        while consumer.held.front().is_some_and(|&first| range.contains(first)) {
            consumer.held.pop_front();
        }
        let stale = consumer.held.len() > consumer.unacked as usize * 2 + SLACK;
        self.join(slot);
        stale
    }

    /// Clears the notes of what a consumer holds of what it does not.
    pub(super) fn keep_held(&mut self, slot: Slot, holds: impl Fn(Position) -> bool) {
        if let Some(consumer) = self.get_mut(slot) {
            consumer.held.make_contiguous().sort_unstable();
            let mut last = None;
            consumer.held.retain(|&position| last.replace(position) != Some(position) && holds(position));
        }
    }

    /// Takes the notes of where its unacked stand, rising, to settle them all.
    pub(super) fn take_held(&mut self, slot: Slot) -> Vec<Position> {
        let held = self.get_mut(slot).map(|consumer| std::mem::take(&mut consumer.held)).unwrap_or_default();
        let mut held = Vec::from(held);
        held.sort_unstable();
        held.dedup();
        held
    }

    /// Whether anybody could take a message, apart from those refused in this turn.
    pub(super) fn anyone_waits(&self, turns: Turns) -> bool {
        if turns != Turns::All {
            return self.active(turns).is_some();
        }
        self.levels.iter().any(|level| !level.waiting.is_empty())
    }

    /// Who gets the next message: of the highest priority with credit, in turn; or the single active consumer. `admits`
    /// is asked about a connection once per consumer and turn if it says no.
    pub(super) fn pick(
        &mut self,
        turns: Turns,
        mut admits: impl FnMut(ConnectionId) -> bool,
    ) -> Option<Slot> {
        if turns != Turns::All {
            let slot = self.active(turns)?;
            if admits(self.get(slot)?.key.connection) {
                self.current = Some(slot);
                return Some(slot);
            }
            self.refused.push(slot);
            return None;
        }
        for level in &mut self.levels {
            while let Some(&slot) = level.waiting.front() {
                let Some(Some(consumer)) = self.table.get_mut(slot as usize) else { return None };
                if consumer.credit() == 0 {
                    consumer.waiting = false;
                    level.waiting.pop_front();
                } else if admits(consumer.key.connection) {
                    return Some(slot);
                } else {
                    self.refused.push(slot);
                    level.waiting.pop_front();
                }
            }
        }
        None
    }

    /// The one that was picked has got its message: the next one's turn.
    pub(super) fn rotate(&mut self, slot: Slot, turns: Turns) {
        let Some(Some(consumer)) = self.table.get_mut(slot as usize) else { return };
        if !consumer.waiting {
            return;
        }
        let priority = consumer.options.priority;
        consumer.waiting = consumer.credit() > 0;
        let waits = consumer.waiting;
        let level = self.level(priority);
        if turns != Turns::All {
            // It need not be the first of its level, and there is nobody to take turns with.
            if !waits {
                level.waiting.retain(|&waiting| waiting != slot);
            }
            return;
        }
        debug_assert_eq!(level.waiting.front(), Some(&slot));
        level.waiting.pop_front();
        if waits {
            level.waiting.push_back(slot);
        }
    }

    /// The turn is over: those that were refused are asked again in the next one, in their old order.
    pub(super) fn end_turn(&mut self, turns: Turns) {
        self.joined.clear();
        while let Some(slot) = self.refused.pop() {
            let priority = self.get(slot).map(|consumer| consumer.options.priority);
            if let Some(priority) = priority.filter(|_| turns == Turns::All) {
                self.level(priority).waiting.push_front(slot);
            }
        }
    }

    /// How many messages consumers have credit for, up to `enough`: all of them, or only those who got credit since
    /// the last turn.
    pub(super) fn room(&self, turns: Turns, only_joined: bool, enough: u64) -> u64 {
        let credit = |slot: Slot| self.get(slot).map_or(0, Consumer::credit);
        if turns != Turns::All {
            return self
                .only_one(turns)
                .filter(|slot| !only_joined || self.joined.contains(slot))
                .map_or(0, credit);
        }
        let mut room = 0u64;
        let waiting = self.levels.iter().flat_map(|level| &level.waiting);
        let joined = self.joined.iter();
        let mut add = |&slot: &Slot| {
            room = room.saturating_add(credit(slot));
            room < enough
        };
        if only_joined {
            joined.take_while(|slot| add(slot)).for_each(drop);
        } else {
            waiting.take_while(|slot| add(slot)).for_each(drop);
        }
        room
    }

    /// The single active consumer, if it has credit.
    fn active(&self, turns: Turns) -> Option<Slot> {
        let slot = self.only_one(turns)?;
        (self.get(slot)?.credit() > 0 && !self.refused.contains(&slot)).then_some(slot)
    }

    /// Whose turn it is where only one has it (semantics.md 10.15): the first registered one that is still here, or of
    /// those with the highest priority the first. One of a higher priority takes over once nothing is in flight.
    fn only_one(&self, turns: Turns) -> Option<Slot> {
        if turns != Turns::HighestPriority {
            return self.order.values().next().copied();
        }
        let best = self.best?;
        let current = self.current.filter(|&current| current != best).and_then(|slot| self.get(slot));
        if current.is_some_and(|current| current.unacked > 0) { None } else { Some(best) }
    }

    /// Finds the first of the highest priority; to be called whenever somebody came or went.
    fn choose_best(&mut self) {
        let highest = self.levels.first().map(|level| level.priority);
        let is_highest = |slot: &&Slot| self.get(**slot).map(|consumer| consumer.options.priority) == highest;
        self.best = self.order.values().find(is_highest).copied();
    }

    /// Lets a consumer wait for its turn, if it has credit and does not wait already.
    fn join(&mut self, slot: Slot) {
        let Some(consumer) = self.get_mut(slot) else { return };
        if consumer.waiting || consumer.credit() == 0 {
            return;
        }
        consumer.waiting = true;
        let priority = consumer.options.priority;
        self.level(priority).waiting.push_back(slot);
        self.joined.push(slot);
    }

    /// The level of a priority; a new one where there is none.
    fn level(&mut self, priority: i32) -> &mut Level {
        let at = self.levels.partition_point(|level| level.priority > priority);
        if self.levels.get(at).is_none_or(|level| level.priority != priority) {
            self.levels.insert(at, Level { priority, members: 0, waiting: VecDeque::new() });
        }
        &mut self.levels[at]
    }

    fn get(&self, slot: Slot) -> Option<&Consumer> {
        self.table.get(slot as usize)?.as_ref()
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Consumer> {
        self.table.get_mut(slot as usize)?.as_mut()
    }
}
