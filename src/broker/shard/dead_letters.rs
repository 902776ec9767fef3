//! The way of dead letters: from a queue of this shard over the dead-letter exchange to queues of this and other
//! shards, and the word back to the source, which keeps a message until all its targets have it (semantics.md 12.4
//! to 12.7, DESIGN section 5). What a dead letter looks like is in `dead_letter`.

use std::sync::Arc;

use smallvec::SmallVec;

use super::confirms::Waiter;
use super::{Shard, Slot};
use crate::broker::command::{AwaitedDeadLetter, ShardCommand};
use crate::broker::dead_letter::{self, Death};
use crate::broker::delayed;
use crate::model::ids::{QueueId, QueueRef, Timestamp};
use crate::model::message::Message;
use crate::model::settings::QueueRole;
use crate::queue::{DeadLetter, Pushed};
use crate::routing::{Envelope, route};

/// A letter on its way.
struct Addressed {
    message: Arc<Message>,
    targets: SmallVec<[QueueRef; 2]>,
    /// Who remembers it for later bindings.
    histories: SmallVec<[QueueRef; 1]>,
}

impl Shard {
    /// Sends on the dead letters that queues have handed out.
    pub(super) fn move_dead_letters(&mut self, now: Timestamp) {
        let mut letters = std::mem::take(&mut self.fx.dead_letters);
        for letter in letters.drain(..) {
            self.move_dead_letter(now, &letter);
        }
        // Letters that came from moving these wait for the next round; the larger list is kept for them.
        if self.fx.dead_letters.is_empty() {
            self.fx.dead_letters = letters;
        }
    }

    fn move_dead_letter(&mut self, now: Timestamp, letter: &DeadLetter) {
        let draw = self.next_draw();
        let Some(slot) = self.queues.get(&letter.queue.queue) else { return };
        let Some(Addressed { message, targets, histories }) = self.address(now, slot, letter, draw) else {
            self.let_go(letter);
            return;
        };
        for history in histories {
            self.remember(history, Arc::clone(&message));
        }
        if targets.is_empty() {
            self.let_go(letter);
            return;
        }
        let awaited = letter.awaited.then_some(AwaitedDeadLetter {
            shard: self.index,
            queue: letter.queue.queue,
            position: letter.position,
        });
        if let Some(awaited) = awaited {
            self.awaited.insert((awaited.queue, awaited.position), targets.len());
        }
        for target in targets {
            self.forward(now, target, Arc::clone(&message), awaited);
        }
    }

    /// Puts a message that the broker sends into a queue, wherever that is.
    pub(super) fn forward(
        &mut self,
        now: Timestamp,
        target: QueueRef,
        message: Arc<Message>,
        awaited: Option<AwaitedDeadLetter>,
    ) {
        if target.shard == self.index {
            self.take_dead_letter(now, target.queue, message, awaited);
        } else {
            let command = ShardCommand::DeadLetter { queue: target.queue, message, awaited };
            self.out.to_shards.push((target.shard, command));
        }
    }

    /// What chance says about the next message that the broker sends: a number of the row, which routing stirs.
    pub(super) fn next_draw(&mut self) -> u64 {
        self.draws = self.draws.wrapping_add(1);
        self.draws
    }

    /// The message as it leaves, and where it goes. None where the queue has no dead-letter exchange (any more), or
    /// that exchange does not exist (12.7).
    fn address(&self, now: Timestamp, slot: &Slot, letter: &DeadLetter, draw: u64) -> Option<Addressed> {
        let target = slot.queue.settings().dead_letter.as_ref()?;
        let state = self.view.read();
        let exchange = state.exchange(&slot.label.vhost, &target.exchange)?.id;
        let death = Death { queue: &slot.label.name, reason: letter.reason, at: now };
        let dead = match slot.queue.settings().role {
            QueueRole::Delays => delayed::released(&letter.message),
            QueueRole::Clients | QueueRole::Remembers => dead_letter::edit(&letter.message, &death, target),
        };
        let mut targets = SmallVec::new();
        let keys: SmallVec<[&[u8]; 4]> = dead.keys.iter().map(Vec::as_slice).collect();
        let envelope = Envelope { keys: &keys, properties: dead.message.properties(), draw };
        let histories = route(&*state, exchange, envelope, &mut targets).histories;
        // The catalog does not know the keepers of exchanges by themselves: to wait there is no circle.
        targets.retain(|target| {
            state
                .queue_by_id(target.queue)
                .is_none_or(|queue| !dead_letter::is_cycle(&dead.deaths, &queue.label.name))
        });
        Some(Addressed { message: Arc::new(dead.message), targets, histories })
    }

    /// Takes a dead letter in and sees to it that its source hears when it is safe.
    pub(super) fn take_dead_letter(
        &mut self,
        now: Timestamp,
        queue: QueueId,
        message: Arc<Message>,
        awaited: Option<AwaitedDeadLetter>,
    ) {
        let pushed = self.push(now, queue, message);
        let Some(awaited) = awaited else { return };
        match pushed {
            Pushed::Stored => self.confirms.wait(Waiter::Source(awaited)),
            // A full or deleted target takes no more of it than RabbitMQ's at-most-once does.
            Pushed::Accepted | Pushed::Rejected => self.tell_source(awaited),
        }
    }

    /// One target has it.
    pub(super) fn tell_source(&mut self, awaited: AwaitedDeadLetter) {
        if awaited.shard == self.index {
            self.dead_lettered(awaited);
        } else {
            self.out.to_shards.push((awaited.shard, ShardCommand::DeadLettered { awaited }));
        }
    }

    /// One target of a dead letter of ours has it. With the last one the source lets go.
    pub(super) fn dead_lettered(&mut self, awaited: AwaitedDeadLetter) {
        let key = (awaited.queue, awaited.position);
        let Some(remaining) = self.awaited.get_mut(&key) else { return };
        *remaining -= 1;
        if *remaining == 0 {
            self.awaited.remove(&key);
            if let Some(slot) = self.queues.get_mut(&awaited.queue) {
                slot.queue.dead_lettered(awaited.position, &mut self.fx);
                self.touch(awaited.queue);
            }
        }
    }

    /// Nobody takes the dead letter: it is dropped.
    fn let_go(&mut self, letter: &DeadLetter) {
        if let Some(slot) = self.queues.get_mut(&letter.queue.queue)
            && letter.awaited
        {
            slot.queue.dead_lettered(letter.position, &mut self.fx);
        }
    }
}
