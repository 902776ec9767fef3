//! The consumers of a queue: who is next, who has credit, who may consume at all (semantics section 10). What they
//! are given is decided elsewhere. Those who only `get` have a record too while they hold something, but do not count.
//!
//! Whatever one of them does costs about the same however many there are: a client may have 100,000 on one queue, and
//! lose them all at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};

use foldhash::fast::FixedState;

use super::on_first_use::{OnFirstUse, Part};
use super::rotation::{ConsumerSlot, Rotation};
use crate::model::consuming::ConsumeOptions;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ConsumerKey, Position, PositionRange, Timestamp};

/// Why `consume` was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeRefused {
    /// 403: the queue has, or is asked to have, an exclusive consumer (semantics 10.3).
    #[error("the queue is in exclusive use")]
    ExclusiveUse,
}

/// More than this many stale positions beyond twice the live ones are cleared away.
const SLACK: usize = 32;

/// A table that was longer than this is given back once nobody is in it.
const MANY: usize = 64;

/// Who gets deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConsumerSelection {
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
    /// Where it stands among those who got credit since the last turn ended.
    joined: Option<usize>,
    unacked: u32,
    /// Where its unacked stand, about: what has left since may still be here.
    held: VecDeque<Position>,
    /// How long it may hold a delivery, in milliseconds.
    timeout: Option<u64>,
    /// The deadline that was made for it.
    deadline: Option<Timestamp>,
    /// It held something for too long.
    timed_out: bool,
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

#[derive(Debug, Default)]
pub(super) struct Consumers {
    table: Vec<Option<Consumer>>,
    by_key: HashMap<ConsumerKey, ConsumerSlot, FixedState>,
    /// Those with credit. One that lost its credit otherwise than by a delivery is found out when it is its turn.
    waiting: Rotation,
    exclusive: bool,
    /// Who got the last delivery, where one gets all, and is still registered.
    current: Option<ConsumerSlot>,
    members: OnFirstUse<Members>,
}

/// What a delivery or an ack does not look at.
#[derive(Debug, Default)]
struct Members {
    free: Vec<ConsumerSlot>,
    /// Registered ones, first come first.
    order: BTreeMap<u64, ConsumerSlot>,
    next_order: u64,
    /// Registered ones, the highest priority first, and then first come first.
    ranks: BTreeMap<(Reverse<i32>, u64), ConsumerSlot>,
    /// Those whose connection took nothing more in this turn, in the order they were asked.
    refused: Vec<ConsumerSlot>,
    /// Those who got credit since the last turn ended.
    joined: Vec<ConsumerSlot>,
}

impl Part for Members {
    fn none() -> &'static Members {
        static NONE: Members = Members {
            free: Vec::new(),
            order: BTreeMap::new(),
            next_order: 0,
            ranks: BTreeMap::new(),
            refused: Vec::new(),
            joined: Vec::new(),
        };
        &NONE
    }
}

impl Consumers {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Consumers { table, by_key, waiting, exclusive: _, current, members } = self;
        let Members { free, order, next_order: _, ranks, refused, joined } = &**members;
        into.in_use("consumers: table", &(table.iter().flatten().count(), table.capacity()));
        into.in_use("consumers: free slots", &(0, free.capacity()));
        into.in_use("consumers: by key", by_key);
        into.in_use("consumers: order", order);
        into.in_use("consumers: ranks", ranks);
        waiting.holdings(into);
        into.in_use("consumers: current", current);
        into.in_transit("consumers: refused", refused);
        into.in_transit("consumers: joined", joined);
        for consumer in table.iter().flatten() {
            into.in_use("consumers: held by one", &consumer.held);
        }
    }

    /// How many there are; those who only get do not count.
    pub(super) fn len(&self) -> usize {
        self.members.order.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.order.is_empty()
    }

    /// Those who consume, first come first.
    pub(super) fn registered(&self) -> impl Iterator<Item = ConsumerKey> {
        self.members.order.values().filter_map(|&slot| self.key(slot))
    }

    /// Whether nobody is registered, and nobody holds anything.
    pub(super) fn knows_nobody(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Whether there is room for somebody.
    pub(super) fn has_room(&self) -> bool {
        self.table.capacity() > 0
    }

    pub(super) fn find(&self, key: ConsumerKey) -> Option<ConsumerSlot> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn key(&self, slot: ConsumerSlot) -> Option<ConsumerKey> {
        self.get(slot).map(|consumer| consumer.key)
    }

    pub(super) fn is_no_ack(&self, slot: ConsumerSlot) -> bool {
        self.get(slot).is_some_and(|consumer| consumer.options.no_ack)
    }

    /// Takes the first that is registered out, or one of those who are not. Returns whose it was, and whether it was
    /// registered; None where nobody is left.
    pub(super) fn take_next(&mut self) -> Option<(ConsumerKey, bool)> {
        // Not needed any more, and to be given back a part at a time, too.
        self.members.ranks.pop_first();
        while let Some((_, slot)) = self.members.order.pop_first() {
            if let Some(consumer) = self.table.get_mut(slot as usize).and_then(Option::take) {
                return Some((consumer.key, true));
            }
        }
        while let Some(place) = self.table.pop() {
            if let Some(consumer) = place {
                return Some((consumer.key, false));
            }
        }
        None
    }

    /// Adds a consumer. An exclusive one wants to be, and to stay, the only one (semantics 10.3).
    pub(super) fn register(
        &mut self,
        key: ConsumerKey,
        options: ConsumeOptions,
        selection: ConsumerSelection,
    ) -> Result<ConsumerSlot, ConsumeRefused> {
        if self.exclusive || (options.exclusive && (selection != ConsumerSelection::All || !self.is_empty()))
        {
            return Err(ConsumeRefused::ExclusiveUse);
        }
        let slot = self.getter(key);
        self.unregister(slot);
        self.exclusive = options.exclusive;
        let order = self.members.next_order;
        self.members.next_order += 1;
        self.members.order.insert(order, slot);
        self.members.ranks.insert((Reverse(options.priority), order), slot);
        if let Some(consumer) = self.get_mut(slot) {
            consumer.options = options;
            consumer.registered = Some(order);
            consumer.paused = false;
        }
        self.join(slot);
        Ok(slot)
    }

    /// The record of a key; a new one that is not registered where there is none.
    pub(super) fn getter(&mut self, key: ConsumerKey) -> ConsumerSlot {
        if let Some(slot) = self.find(key) {
            return slot;
        }
        let slot = self.members.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            ConsumerSlot::try_from(self.table.len() - 1).unwrap_or(ConsumerSlot::MAX)
        });
        let consumer = Consumer {
            key,
            options: ConsumeOptions::default(),
            registered: None,
            paused: false,
            joined: None,
            unacked: 0,
            held: VecDeque::new(),
            timeout: None,
            deadline: None,
            timed_out: false,
        };
        if let Some(place) = self.table.get_mut(slot as usize) {
            *place = Some(consumer);
        }
        self.by_key.insert(key, slot);
        slot
    }

    /// Takes a consumer out of the order; what it holds stays with it. Returns whether it was in.
    pub(super) fn unregister(&mut self, slot: ConsumerSlot) -> bool {
        let Some(consumer) = self.get_mut(slot) else { return false };
        let Some(order) = consumer.registered.take() else { return false };
        let priority = consumer.options.priority;
        self.members.order.remove(&order);
        self.members.ranks.remove(&(Reverse(priority), order));
        // An exclusive consumer is the only one.
        self.exclusive = false;
        self.waiting.remove(slot);
        self.unjoin(slot);
        self.current = self.current.filter(|&current| current != slot);
        if self.members.order.is_empty() {
            self.waiting = Rotation::default();
        }
        true
    }

    /// Whether a record is neither registered nor holds anything.
    pub(super) fn is_idle(&self, slot: ConsumerSlot) -> bool {
        self.get(slot).is_some_and(|consumer| consumer.registered.is_none() && consumer.unacked == 0)
    }

    /// Forgets a record that is idle, and returns whose it was.
    pub(super) fn free_slot(&mut self, slot: ConsumerSlot) -> Option<ConsumerKey> {
        let key = self.key(slot)?;
        self.by_key.remove(&key);
        self.table[slot as usize] = None;
        self.members.free.push(slot);
        if self.by_key.is_empty() && self.table.len() > MANY {
            *self = Consumers::default();
        }
        Some(key)
    }

    pub(super) fn set_paused(&mut self, slot: ConsumerSlot, paused: bool) {
        if let Some(consumer) = self.get_mut(slot) {
            consumer.paused = paused;
        }
        self.join(slot);
    }

    /// A message was delivered to it and is unacked.
    pub(super) fn hold(&mut self, slot: ConsumerSlot, position: Position) {
        if let Some(consumer) = self.get_mut(slot) {
            consumer.unacked += 1;
            consumer.held.push_back(position);
        }
    }

    /// How long it may hold a delivery from now on, in milliseconds.
    pub(super) fn set_timeout(&mut self, slot: ConsumerSlot, timeout: Option<u64>) {
        if let Some(consumer) = self.get_mut(slot) {
            consumer.timeout = timeout;
        }
    }

    pub(super) fn timeout(&self, slot: ConsumerSlot) -> Option<u64> {
        self.get(slot)?.timeout
    }

    /// Makes a deadline for a delivery of this time, where deliveries have one and none was made yet.
    pub(super) fn begin_timeout(&mut self, slot: ConsumerSlot, delivered: Timestamp) -> Option<Timestamp> {
        let consumer = self.get_mut(slot).filter(|consumer| consumer.deadline.is_none())?;
        consumer.deadline = consumer.timeout.map(|timeout| delivered.plus_millis(timeout));
        consumer.deadline
    }

    /// Forgets the deadline that was made.
    pub(super) fn end_timeout(&mut self, slot: ConsumerSlot) -> Option<Timestamp> {
        self.get_mut(slot)?.deadline.take()
    }

    /// Where its unacked stand, about.
    pub(super) fn held(&self, slot: ConsumerSlot) -> impl Iterator<Item = Position> {
        self.get(slot).into_iter().flat_map(|consumer| consumer.held.iter().copied())
    }

    /// `count` of its unacked in `range` were settled. Returns whether its notes of what it holds grew stale and want to
    /// be cleared (see [`Consumers::keep_held`]).
    pub(super) fn settled(&mut self, slot: ConsumerSlot, range: PositionRange, count: u32) -> bool {
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
    pub(super) fn keep_held(&mut self, slot: ConsumerSlot, holds: impl Fn(Position) -> bool) {
        if let Some(consumer) = self.get_mut(slot) {
            consumer.held.make_contiguous().sort_unstable();
            let mut last = None;
            consumer.held.retain(|&position| last.replace(position) != Some(position) && holds(position));
        }
    }

    /// Takes the first `most` notes of where its unacked stand, rising, to settle them, and whether these were all.
    pub(super) fn take_held(&mut self, slot: ConsumerSlot, most: usize) -> (Vec<Position>, bool) {
        let Some(consumer) = self.get_mut(slot) else { return (Vec::new(), true) };
        consumer.held.make_contiguous().sort_unstable();
        let count = consumer.held.len().min(most);
        let mut held: Vec<_> = consumer.held.drain(..count).collect();
        held.dedup();
        (held, consumer.held.is_empty())
    }

    /// Whether it held a delivery for too long and it is being taken back what it holds.
    pub(super) fn is_timed_out(&self, slot: ConsumerSlot) -> bool {
        self.get(slot).is_some_and(|consumer| consumer.timed_out)
    }

    pub(super) fn set_timed_out(&mut self, slot: ConsumerSlot) {
        if let Some(consumer) = self.get_mut(slot) {
            consumer.timed_out = true;
        }
    }

    /// Whether anybody could take a message, apart from those refused in this turn.
    pub(super) fn anyone_waits(&self, selection: ConsumerSelection) -> bool {
        if selection != ConsumerSelection::All {
            return self.active(selection).is_some();
        }
        !self.waiting.is_empty()
    }

    /// Who gets the next message: of the highest priority with credit, in turn; or the single active consumer. `admits`
    /// is asked about a connection once per consumer and turn if it says no.
    pub(super) fn pick(
        &mut self,
        selection: ConsumerSelection,
        mut admits: impl FnMut(ConnectionId) -> bool,
    ) -> Option<ConsumerSlot> {
        if selection != ConsumerSelection::All {
            let slot = self.active(selection)?;
            if admits(self.get(slot)?.key.connection) {
                self.current = Some(slot);
                return Some(slot);
            }
            self.members.refused.push(slot);
            return None;
        }
        while let Some(slot) = self.waiting.first() {
            let consumer = self.get(slot)?;
            if consumer.credit() == 0 {
                self.waiting.remove(slot);
            } else if admits(consumer.key.connection) {
                return Some(slot);
            } else {
                self.waiting.remove(slot);
                self.members.refused.push(slot);
            }
        }
        None
    }

    /// The one that was picked has got its message: the next one's turn.
    pub(super) fn rotate(&mut self, slot: ConsumerSlot, selection: ConsumerSelection) {
        let Some(consumer) = self.get(slot) else { return };
        if consumer.credit() == 0 {
            self.waiting.remove(slot);
        } else if selection == ConsumerSelection::All {
            self.waiting.pass(slot);
        }
    }

    /// The turn is over: those that were refused are asked again in the next one, in their old order.
    pub(super) fn end_turn(&mut self, selection: ConsumerSelection) {
        while let Some(slot) = self.members.made().and_then(|members| members.joined.pop()) {
            if let Some(consumer) = self.get_mut(slot) {
                consumer.joined = None;
            }
        }
        while let Some(slot) = self.members.made().and_then(|members| members.refused.pop()) {
            let priority = self.get(slot).map(|consumer| consumer.options.priority);
            if let Some(priority) = priority.filter(|_| selection == ConsumerSelection::All) {
                self.waiting.push_front(slot, priority);
            }
        }
    }

    /// How many messages consumers have credit for, up to `enough`: all of them, or only those who got credit since
    /// the last turn.
    pub(super) fn room(&self, selection: ConsumerSelection, only_joined: bool, enough: u64) -> u64 {
        let credit = |slot: ConsumerSlot| self.get(slot).map_or(0, Consumer::credit);
        if selection != ConsumerSelection::All {
            let only = self.only_one(selection).and_then(|slot| self.get(slot));
            return only.filter(|only| !only_joined || only.joined.is_some()).map_or(0, Consumer::credit);
        }
        let mut room = 0u64;
        let mut add = |slot: ConsumerSlot| {
            room = room.saturating_add(credit(slot));
            room < enough
        };
        if only_joined {
            self.members.joined.iter().take_while(|&&slot| add(slot)).for_each(drop);
        } else {
            self.waiting.iter().take_while(|&slot| add(slot)).for_each(drop);
        }
        room
    }

    /// The single active consumer, if it has credit.
    fn active(&self, selection: ConsumerSelection) -> Option<ConsumerSlot> {
        let slot = self.only_one(selection)?;
        (self.get(slot)?.credit() > 0 && !self.members.refused.contains(&slot)).then_some(slot)
    }

    /// The one who gets everything, where one does.
    pub(super) fn single_active(&self, selection: ConsumerSelection) -> Option<ConsumerKey> {
        let selection = Some(selection).filter(|selection| *selection != ConsumerSelection::All)?;
        self.key(self.only_one(selection)?)
    }

    /// Whose turn it is where only one has it (semantics 10.15): the first registered one that is still here, or of
    /// those with the highest priority the first. One of a higher priority takes over once nothing is in flight.
    fn only_one(&self, selection: ConsumerSelection) -> Option<ConsumerSlot> {
        if selection != ConsumerSelection::HighestPriority {
            return self.members.order.values().next().copied();
        }
        let best = self.members.ranks.values().next().copied()?;
        let current = self.current.filter(|&current| current != best).and_then(|slot| self.get(slot));
        if current.is_some_and(|current| current.unacked > 0) { None } else { Some(best) }
    }

    /// Lets a consumer wait for its turn, if it has credit and does not wait already.
    fn join(&mut self, slot: ConsumerSlot) {
        let Some(Some(consumer)) = self.table.get_mut(slot as usize) else { return };
        if consumer.credit() == 0 || self.waiting.contains(slot) {
            return;
        }
        self.waiting.push_back(slot, consumer.options.priority);
        if consumer.joined.is_none() {
            consumer.joined = Some(self.members.joined.len());
            self.members.joined.push(slot);
        }
    }

    /// It does not count any more among those who got credit.
    fn unjoin(&mut self, slot: ConsumerSlot) {
        let Some(at) = self.get_mut(slot).and_then(|consumer| consumer.joined.take()) else { return };
        self.members.joined.swap_remove(at);
        if let Some(moved) = self.members.joined.get(at).copied().and_then(|moved| self.get_mut(moved)) {
            moved.joined = Some(at);
        }
    }

    fn get(&self, slot: ConsumerSlot) -> Option<&Consumer> {
        self.table.get(slot as usize)?.as_ref()
    }

    fn get_mut(&mut self, slot: ConsumerSlot) -> Option<&mut Consumer> {
        self.table.get_mut(slot as usize)?.as_mut()
    }
}
