//! L4, a shard: the one owner of its queues. It carries out commands turn by turn, lets the queues it touched deliver,
//! moves their dead letters, and knows who waits for which batch of operations to be durable. The rules of a queue
//! are the queue's; names and bindings are the catalog's; when something is durable the store says.

mod accounts;
mod commands;
mod confirms;
mod credit;
mod dead_letter;
mod dead_letters;
mod effects;
mod forwarding;
mod history;
mod holders;
mod memory_budget;
mod outbox;
mod pending_commands;
mod pumping;
mod questions;
mod queues;
mod resting;
mod slot;
mod steps;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, Position, QueueId, QueueRef, ShardIndex, Timestamp};
use crate::model::message::Message;
use crate::model::op::{Fetched, Group, RecoveredQueue};
use crate::model::settings::QueueSettings;
use crate::queue::{CancelledConsumers, DeadLetter, DeadLetterRoom, Garbage, Pushed, Queue, QueueEffects};

use crate::catalog::CatalogQueue;
use crate::catalog::view::View;
use crate::model::command::{Origin, QueueLabel, ShardCommand};
use crate::model::maps::Map;

use accounts::Accounts;
use confirms::Confirms;
use credit::Credit;
use dead_letters::{AwaitedTargets, Retries};
use forwarding::Forwardings;
use history::Replay;
use holders::Holders;
use memory_budget::MemoryBudget;
use outbox::Outboxes;
use pending_commands::PendingCommands;
use questions::Questions;
use queues::{Queues, Values};
use resting::Resting;
use slot::{QueueSlot, Slot};
use steps::{MOST_DEAD_LETTERS, Steps};

pub use credit::credit_bytes;
use effects::Outgoing;
pub use effects::ShardEffects;
pub use outbox::outbox_bytes;

/// How often in one turn dead letters may set off more work (a dead letter may overflow its target, and so on)
/// before the rest is left to the next turn.
const ROUNDS: usize = 32;

/// The owner of some queues.
#[derive(Debug)]
pub struct Shard {
    index: ShardIndex,
    view: Arc<View>,
    queues: Queues,
    /// What the queues have counted.
    accounts: Accounts,
    /// The newest queue that was ever created here.
    newest: QueueId,
    /// Commands that came before the queue they are about (the view shows a queue a moment before its creation gets
    /// here), or behind what takes more than a turn.
    pending: PendingCommands,
    /// What it is asked about its queues.
    questions: Questions,
    /// What this turn may still do.
    steps: Steps,
    /// Transactions that are carried out in part.
    begun: Vec<Group>,
    /// Those that had more to do than a turn has time for.
    again: Vec<QueueId>,
    deadlines: BTreeSet<(Timestamp, QueueId)>,
    /// Queues that may give room back.
    resting: Resting,
    confirms: Confirms,
    /// Nothing is delivered before it is durable.
    holds_back: bool,
    /// Queues for that reason, and all in front of which position is to become durable.
    held_back: Map<QueueId, Position>,
    outboxes: Outboxes,
    holders: Holders,
    budget: MemoryBudget,
    /// Dead letters that queues have handed out.
    dead_letters: VecDeque<DeadLetter>,
    /// Queues that wait for room for dead letters, in the order in which they get it.
    waiting_for_room: VecDeque<QueueId>,
    /// Clients wait for such room, too, and it is their turn.
    clients_turn: bool,
    /// For what other shards are sent.
    credit: Credit,
    /// What the broker sends to more queues than a turn has time for.
    forwardings: Forwardings,
    /// What exchanges remember and send to new bindings, in the order in which those were made.
    replays: VecDeque<Replay>,
    /// What was purged and deleted, to be given back.
    garbage: VecDeque<Garbage>,
    /// Consumers of deleted queues.
    cancelled_consumers: VecDeque<CancelledConsumers>,
    /// Dead letters of queues here that not all targets have yet.
    awaited: Map<(QueueId, Position), AwaitedTargets>,
    /// Dead letters that will be sent again.
    retries: Retries,
    /// Counts what chance was asked about messages that the broker sends.
    draws: u64,
    /// What the queues of this turn asked for.
    fx: QueueEffects,
    /// What the shard itself has to say in this turn.
    out: Outgoing,
}

impl Shard {
    /// A shard without queues, one of `shards`. `memory_budget`: bytes that ready messages of all its queues may take.
    #[must_use]
    pub fn new(index: ShardIndex, shards: u16, view: Arc<View>, memory_budget: usize) -> Shard {
        let budget = MemoryBudget::new(memory_budget);
        let values = Values { windows: budget.windows(), wall_ahead: 0 };
        let credit = Credit::new(memory_budget);
        let mut fx = QueueEffects::default();
        fx.dead_letter_room.set_most(MOST_DEAD_LETTERS, credit.most_bytes());
        Shard {
            index,
            view,
            queues: Queues::new(values),
            accounts: Accounts::default(),
            newest: QueueId::default(),
            pending: PendingCommands::default(),
            questions: Questions::default(),
            steps: Steps::default(),
            begun: Vec::new(),
            again: Vec::new(),
            deadlines: BTreeSet::new(),
            resting: Resting::default(),
            confirms: Confirms::default(),
            holds_back: false,
            held_back: Map::default(),
            outboxes: Outboxes::new(outbox_bytes(shards)),
            holders: Holders::default(),
            budget,
            dead_letters: VecDeque::new(),
            waiting_for_room: VecDeque::new(),
            clients_turn: false,
            credit,
            forwardings: Forwardings::default(),
            replays: VecDeque::new(),
            garbage: VecDeque::new(),
            cancelled_consumers: VecDeque::new(),
            awaited: Map::default(),
            retries: Retries::default(),
            draws: 0,
            fx,
            out: Outgoing::default(),
        }
    }

    #[must_use]
    pub fn index(&self) -> ShardIndex {
        self.index
    }

    /// The same shard, still without queues, where nobody is given a message before it is durable: for where what is not
    /// durable may be undone although the broker goes on, and the client would have seen what never was.
    #[must_use]
    pub fn holding_back(mut self) -> Shard {
        self.holds_back = true;
        self
    }

    /// What it holds, its queues included.
    pub fn holdings(&self, into: &mut Holdings) {
        let Shard {
            index: _,
            view: _,
            queues,
            accounts,
            newest: _,
            pending,
            questions,
            steps: _,
            begun,
            again,
            deadlines,
            resting,
            confirms,
            holds_back: _,
            held_back,
            outboxes,
            holders,
            budget,
            dead_letters,
            waiting_for_room,
            clients_turn: _,
            credit,
            forwardings,
            replays,
            garbage,
            cancelled_consumers,
            awaited,
            retries,
            draws: _,
            fx,
            out: Outgoing { to_connections, to_shards, to_catalog, groups, dropped },
        } = self;
        queues.holdings(into);
        accounts.holdings(into);
        pending.holdings(into);
        questions.holdings(into);
        into.in_transit("shard: queues to be touched again", again);
        into.in_transit("shard: dead letters to be sent", dead_letters);
        into.in_transit("shard: queues that wait for room for dead letters", waiting_for_room);
        credit.holdings(into);
        into.in_transit("shard: replays", replays);
        forwardings.holdings(into);
        into.in_transit("shard: garbage", garbage);
        into.in_transit("shard: consumers of deleted queues", cancelled_consumers);
        into.in_transit("shard: transactions that have begun", begun);
        into.in_transit("shard: deadlines", deadlines);
        resting.holdings(into);
        confirms.holdings(into);
        into.in_transit("shard: queues held back", held_back);
        holders.holdings(into);
        outboxes.holdings(into);
        into.in_use("shard: queues with ready messages", &budget.queues());
        into.in_transit("shard: dead letters under way", awaited);
        into.in_transit("shard: dead letters to be sent again", &retries.len());
        fx.holdings(into);
        into.in_transit("shard: to connections", to_connections);
        into.in_transit("shard: to shards", to_shards);
        into.in_transit("shard: to the catalog", to_catalog);
        into.in_transit("shard: groups", groups);
        into.in_transit("shard: dropped", dropped);
    }

    /// Takes over the durable queues of this shard with what the store found of them.
    pub fn recover(&mut self, now: Timestamp, queues: Vec<CatalogQueue>, found: Vec<RecoveredQueue>) {
        let mut found: Map<QueueId, RecoveredQueue> =
            found.into_iter().map(|recovered| (recovered.queue, recovered)).collect();
        for CatalogQueue { queue: id, label, settings } in queues {
            let recovered = found.remove(&id).unwrap_or_default();
            self.add(now, id, label, settings, recovered);
        }
    }

    /// The store's answer to a fetch.
    pub fn loaded(&mut self, now: Timestamp, fetched: Fetched) {
        let id = fetched.fetch.queue;
        match self.queues.get_any_touched(id) {
            Some(Slot::Queue(slot)) => slot.queue.loaded(now, fetched, &mut self.fx),
            Some(Slot::History(history)) => {
                for to in history.loaded(fetched, &mut self.fx) {
                    self.replay(now, id, to);
                }
            }
            None => {}
        }
    }

    /// Expires what is due.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some(&(deadline, queue)) = self.deadlines.first()
            && deadline <= now
            && self.steps.may_pump()
        {
            self.deadlines.pop_first();
            if let Some(slot) = self.queues.get_touched(queue) {
                slot.deadline = None;
                let moved = slot.queue.tick(now, &mut self.fx);
                self.steps.pumped(moved);
            }
        }
        self.retry_dead_letters(now);
        self.resting.give_room_back(now, &mut self.queues);
    }

    /// Works off what is there and ends: nothing waits for other shards any more.
    pub fn stop(&mut self) {
        self.fx.dead_letter_room = DeadLetterRoom::default();
    }

    /// The connection has written, or will never write, deliveries of this shard with so many bytes of
    /// [`Message::footprint`]s. Those that answer a `basic.get` do not count.
    pub fn drained(&mut self, connection: ConnectionId, bytes: usize) {
        for queue in self.outboxes.drained(connection, bytes) {
            self.touch(queue);
        }
    }

    /// The connection is gone: what it held unacked comes back as failed.
    pub fn connection_gone(&mut self, now: Timestamp, connection: ConnectionId) {
        self.handle(now, Origin::Connection(connection), ShardCommand::Gone);
    }

    /// When [`Shard::tick`] has something to do, or a turn was too long to be finished.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.has_more() {
            return Some(Timestamp(0));
        }
        let deadline = self.deadlines.first().map(|&(deadline, _)| deadline);
        let retry = self.retries.next().filter(|_| !self.credit.is_exhausted());
        [deadline, retry, self.resting.next()].into_iter().flatten().min()
    }

    /// Ends a turn: works off what had to wait, lets the queues it touched deliver, moves dead letters, and says what
    /// has to be done. What is too much for a turn is left to the next one.
    pub fn finish_turn(&mut self, now: Timestamp, fx: &mut ShardEffects) {
        self.follow_wall_clock();
        self.queues.sweep();
        self.tell_those_who_waited(now);
        self.move_dead_letters(now);
        self.work_off(now);
        self.go_on_replaying(now);
        for _ in 0..ROUNDS {
            self.pump(now);
            self.move_dead_letters(now);
            self.delete_queues(now);
            if self.queues.touched.is_empty()
                && self.fx.dead_letters.is_empty()
                && !self.may_go_on_with_waiting()
            {
                break;
            }
        }
        self.drop_garbage();
        self.cancel_consumers();
        self.steps.end_turn();
        for queue in std::mem::take(&mut self.again) {
            self.touch(queue);
        }
        self.hand_out(fx);
        self.answer_questions(&mut fx.answers);
    }

    /// Whether a turn has something to do, even where nothing has come.
    fn has_more(&self) -> bool {
        self.steps.has_more
            || self.confirms.has_done()
            || self.queues.has_stale()
            || !self.queues.touched.is_empty()
            || self.may_go_on_with_waiting()
            || !self.questions.is_empty()
            // The rest waits for credit where there is none, and whoever gives it back wakes the shard.
            || (!self.credit.is_exhausted()
                && (self.dead_letters_pending() > 0
                    || !self.fx.to_delete.is_empty()
                    || !self.replays.is_empty()))
            || !self.garbage.is_empty()
            || !self.cancelled_consumers.is_empty()
    }

    /// Has a queue carry out what it owes before somebody looks.
    fn catch_up(&mut self, now: Timestamp, queue: QueueId) {
        if let Some(slot) = self.queues.get_mut(queue) {
            slot.catch_up(now, &mut self.outboxes.flow(queue), &mut self.steps, &mut self.fx);
        }
    }

    /// Has all queues know where the wall clock was set.
    fn follow_wall_clock(&mut self) {
        let (ahead, values) = (self.view.wall_ahead(), self.queues.values());
        if ahead != values.wall_ahead {
            self.queues.set(Values { wall_ahead: ahead, ..values });
        }
    }

    /// Adds a queue, or what an exchange remembers, with what the store found of it.
    fn add(
        &mut self,
        now: Timestamp,
        id: QueueId,
        label: QueueLabel,
        settings: Arc<QueueSettings>,
        found: RecoveredQueue,
    ) {
        self.newest = self.newest.max(id);
        let at = QueueRef { queue: id, shard: self.index };
        let account = self.accounts.open(&label.vhost, &settings);
        let mut any = Slot::recover(at, label, settings, found, account, now, &mut self.fx);
        if let (Slot::Queue(slot), true) = (&mut any, self.holds_back) {
            // All that was found is durable.
            slot.queue.set_deliverable_below(slot.queue.last_position().next());
        }
        self.queues.add(id, any);
    }

    /// Takes a queue, or what an exchange remembers, out of all that the shard remembers.
    fn remove(&mut self, id: QueueId) -> Option<Slot> {
        let mut any = self.queues.remove(id)?;
        let Slot::Queue(slot) = &mut any else { return Some(any) };
        let change = slot.queue.book_last();
        self.accounts.close(slot.account, change);
        self.resting.remove(id);
        if let Some(deadline) = slot.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if slot.has_messages && self.budget.count(false) {
            self.set_windows();
        }
        Some(any)
    }

    /// Puts a message into a queue. One that was deleted meanwhile takes everything (semantics 9.25).
    fn push(&mut self, now: Timestamp, queue: QueueId, message: Arc<Message>) -> Pushed {
        self.put_in(queue, |queue, fx| queue.push(now, message, fx))
    }

    /// The same of a message that the broker sends on; one of the queue's `own`, where it comes back to it.
    fn push_dead_letter(
        &mut self,
        now: Timestamp,
        queue: QueueId,
        message: Arc<Message>,
        own: bool,
    ) -> Pushed {
        self.put_in(queue, |queue, fx| queue.push_dead_letter(now, message, own, fx))
    }

    #[inline]
    fn put_in(
        &mut self,
        queue: QueueId,
        put: impl FnOnce(&mut Queue, &mut QueueEffects) -> Pushed,
    ) -> Pushed {
        match self.queues.get_touched(queue) {
            Some(slot) => put(&mut slot.queue, &mut self.fx),
            None => Pushed::Accepted,
        }
    }

    /// Has a queue pumped at the end of the turn.
    fn touch(&mut self, queue: QueueId) {
        self.queues.touch(queue);
    }
}
