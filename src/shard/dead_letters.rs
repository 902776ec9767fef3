//! The way of dead letters: from a queue of this shard over the dead-letter exchange to queues of this and other
//! shards, and the word back to the source, which keeps a message until all its targets have it, and sends it again
//! where it has to and one did not take it (semantics 12.4 to 12.7). What a dead letter looks like is in `dead_letter`.

use std::collections::BTreeSet;
use std::sync::Arc;

use smallvec::SmallVec;

use super::confirms::Waiter;
use super::dead_letter::{self, Dead, Death};
use super::{QueueSlot, Shard};
use crate::model::command::{AwaitedDeadLetter, ShardCommand};
use crate::model::delay;
use crate::model::ids::{Position, QueueId, QueueRef, Timestamp};
use crate::model::maps::Map;
use crate::model::message::Message;
use crate::model::settings::QueueRole;
use crate::model::sparse::ShrinkIfSparse;
use crate::queue::{DeadLetter, Pushed};
use crate::routing::cc;
use crate::routing::{Envelope, Walked, route};

/// A dead letter that not all targets took is sent again after this time, then after twice as long, and so on, in
/// milliseconds.
const FIRST_RETRY: u64 = 1000;
const LONGEST_RETRY: u64 = 60_000;

/// The list of those under way keeps room for so many when there are none.
const FEW: usize = 128;

/// The targets of a dead letter that have not answered yet.
#[derive(Debug)]
pub(super) struct AwaitedTargets {
    remaining: usize,
    /// Of a source with at-least-once dead-lettering (`x-dead-letter-strategy: at-least-once`).
    kept: Option<Retry>,
}

/// What it takes to send a dead letter again.
#[derive(Debug)]
struct Retry {
    dead_letter: DeadLetter,
    taken: SmallVec<[QueueId; 2]>,
    /// One of the targets did not take it this time.
    is_refused: bool,
    retries: u32,
}

impl Retry {
    fn new(dead_letter: &DeadLetter) -> Retry {
        Retry { dead_letter: dead_letter.clone(), taken: SmallVec::new(), is_refused: false, retries: 0 }
    }
}

/// When which dead letters are sent again.
#[derive(Debug, Default)]
pub(super) struct Retries(BTreeSet<(Timestamp, QueueId, Position)>);

impl Retries {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|&(deadline, ..)| deadline)
    }
}

/// A dead letter on its way.
struct Addressed {
    message: Arc<Message>,
    targets: SmallVec<[QueueRef; 2]>,
    /// A target was passed over, for there it would have gone in a circle.
    circles: bool,
    /// Who remembers it for later bindings.
    histories: SmallVec<[QueueRef; 1]>,
    /// What it took to find them.
    effort: usize,
}

impl Shard {
    /// Sends on the dead letters that queues have handed out, as many as a turn has time for. Those that come from moving
    /// these wait for the next round.
    pub(super) fn move_dead_letters(&mut self, now: Timestamp) {
        self.dead_letters.extend(self.fx.dead_letters.drain(..));
        while self.go_on_forwarding(now)
            && !self.dead_letters.is_empty()
            && self.steps.may_move_dead_letter()
            && let Some(dead_letter) = self.dead_letters.pop_front()
        {
            self.fx.dead_letter_room.give_back(&dead_letter.message);
            self.move_dead_letter(now, &dead_letter);
        }
        self.dead_letters.shrink_if_sparse();
    }

    /// Dead letters that were handed out and have not been sent on.
    pub(super) fn dead_letters_pending(&self) -> usize {
        self.dead_letters.len() + self.fx.dead_letters.len() + self.forwardings.len()
    }

    /// The next queue that has waited for room for dead letters, where there is room now.
    pub(super) fn next_waiting(&mut self) -> Option<QueueId> {
        if !self.may_go_on_with_waiting() {
            return None;
        }
        let next = self.waiting_for_room.pop_front();
        self.waiting_for_room.shrink_if_sparse();
        next
    }

    /// Whether there is room for the dead letters of a queue that waits for it.
    pub(super) fn may_go_on_with_waiting(&self) -> bool {
        !self.waiting_for_room.is_empty() && self.fx.dead_letter_room.is_left()
    }

    /// Whether there are such dead letters of a queue, which have to know where they come from and where they go.
    pub(super) fn has_dead_letters_of(&self, queue: QueueId) -> bool {
        self.dead_letters
            .iter()
            .chain(&self.fx.dead_letters)
            .any(|dead_letter| dead_letter.queue.queue == queue)
    }

    fn move_dead_letter(&mut self, now: Timestamp, dead_letter: &DeadLetter) {
        let draw = self.next_draw();
        let Some(slot) = self.queues.get(dead_letter.queue.queue) else { return };
        let at_least_once = dead_letter.awaited && slot.queue.settings().dead_letters_at_least_once;
        let addressed = self.address(now, slot, dead_letter, draw);
        self.steps.searched(addressed.as_ref().map_or(0, |addressed| addressed.effort));
        let Some(addressed) = addressed else {
            self.leave_unsent(now, dead_letter, at_least_once);
            return;
        };
        for history in addressed.histories {
            self.remember(history, Arc::clone(&addressed.message));
        }
        if addressed.targets.is_empty() {
            self.leave_unsent(now, dead_letter, at_least_once && !addressed.circles);
            return;
        }
        let awaited = dead_letter.awaited.then_some(AwaitedDeadLetter {
            shard: self.index,
            queue: dead_letter.queue.queue,
            position: dead_letter.position,
        });
        if let Some(awaited) = awaited {
            let kept = at_least_once.then(|| Retry::new(dead_letter));
            let targets = AwaitedTargets { remaining: addressed.targets.len(), kept };
            self.awaited.insert((awaited.queue, awaited.position), targets);
        }
        self.forward(now, addressed.message, addressed.targets, awaited);
    }

    /// A dead letter has no target at this time: it is dropped, unless its source is at-least-once.
    fn leave_unsent(&mut self, now: Timestamp, dead_letter: &DeadLetter, at_least_once: bool) {
        if !at_least_once {
            self.let_go(dead_letter);
            return;
        }
        let key = (dead_letter.queue.queue, dead_letter.position);
        self.awaited.insert(key, AwaitedTargets { remaining: 0, kept: Some(Retry::new(dead_letter)) });
        self.retry_later(now, key);
    }

    /// Has a dead letter sent again, later from time to time.
    fn retry_later(&mut self, now: Timestamp, key: (QueueId, Position)) {
        let Some(AwaitedTargets { kept: Some(kept), .. }) = self.awaited.get_mut(&key) else { return };
        let wait = (FIRST_RETRY << kept.retries.min(16)).min(LONGEST_RETRY);
        kept.retries += 1;
        kept.is_refused = false;
        self.retries.0.insert((now.plus_millis(wait), key.0, key.1));
    }

    /// Sends again what is due, to the targets of this time that have not taken it yet.
    pub(super) fn retry_dead_letters(&mut self, now: Timestamp) {
        while let Some(&(deadline, queue, position)) = self.retries.0.first()
            && deadline <= now
            && self.go_on_forwarding(now)
            && self.steps.may_move_dead_letter()
        {
            self.retries.0.pop_first();
            let key = (queue, position);
            let Some(AwaitedTargets { kept: Some(kept), .. }) = self.awaited.get(&key) else { continue };
            let dead_letter = kept.dead_letter.clone();
            let draw = self.next_draw();
            let Some(slot) = self.queues.get(queue) else {
                self.awaited.remove(&key);
                continue;
            };
            if !slot.queue.settings().dead_letters_at_least_once {
                // A policy has changed its mind: what it could not send is dropped.
                self.arrived(key);
                continue;
            }
            let addressed = self.address(now, slot, &dead_letter, draw);
            self.steps.searched(addressed.as_ref().map_or(0, |addressed| addressed.effort));
            let Some(AwaitedTargets { remaining, kept: Some(kept) }) = self.awaited.get_mut(&key) else {
                continue;
            };
            let has_end = |addressed: &Addressed| !addressed.targets.is_empty() || addressed.circles;
            let Some(mut addressed) = addressed.filter(has_end) else {
                self.retry_later(now, key);
                continue;
            };
            addressed.targets.retain(|target| !kept.taken.contains(&target.queue));
            *remaining = addressed.targets.len();
            if addressed.targets.is_empty() {
                self.arrived(key);
            }
            let awaited = Some(AwaitedDeadLetter { shard: self.index, queue, position });
            self.forward(now, addressed.message, addressed.targets, awaited);
        }
    }

    /// What chance says about the next message that the broker sends: a number of the row, which routing stirs.
    pub(super) fn next_draw(&mut self) -> u64 {
        self.draws = self.draws.wrapping_add(1);
        self.draws
    }

    /// The message as it leaves, and where it goes. None where the queue has no dead-letter exchange (any more), or
    /// that exchange does not exist (semantics 12.7).
    fn address(
        &self,
        now: Timestamp,
        slot: &QueueSlot,
        dead_letter: &DeadLetter,
        draw: u64,
    ) -> Option<Addressed> {
        let target = slot.queue.settings().dead_letter.as_ref()?;
        let state = self.view.read();
        let exchange = state.exchange(&slot.label.vhost, &target.exchange)?.id;
        let death =
            Death { queue: &slot.label.name, reason: dead_letter.reason, at: self.view.wall_time(now) };
        let Dead { message, deaths } = match slot.queue.settings().role {
            QueueRole::Delays => Dead { message: delay::released(&dead_letter.message), deaths: Vec::new() },
            QueueRole::Clients | QueueRole::Remembers => {
                dead_letter::edit(&dead_letter.message, &death, target)
            }
        };
        let mut targets: SmallVec<[QueueRef; 2]> = SmallVec::new();
        let keys = cc::routing_keys(&message);
        let keys: SmallVec<[&[u8]; 4]> = keys.iter().map(Vec::as_slice).collect();
        let envelope = Envelope { keys: &keys, properties: message.properties(), draw };
        let Walked { histories, effort, .. } = route(&*state, exchange, envelope, &mut targets);
        // By name, of which there are few, and not by queue. To wait in the internal queue of an exchange is no circle.
        let found = targets.len();
        let mut closing: SmallVec<[QueueId; 4]> = dead_letter::closing(&deaths)
            .filter_map(|name| Some(state.queue(&slot.label.vhost, str::from_utf8(name).ok()?)?.at.queue))
            .collect();
        if !closing.is_empty() {
            closing.sort_unstable();
            targets.retain(|target| closing.binary_search(&target.queue).is_err());
        }
        let circles = targets.len() < found;
        Some(Addressed { message: Arc::new(message), targets, circles, histories, effort })
    }

    /// Takes a dead letter in and sees to it that its source hears when it is safe.
    pub(super) fn take_dead_letter(
        &mut self,
        now: Timestamp,
        queue: QueueId,
        message: Arc<Message>,
        awaited: Option<AwaitedDeadLetter>,
    ) {
        let exists = self.queues.contains(queue);
        let own = awaited.is_some_and(|awaited| awaited.queue == queue);
        let pushed = self.push_dead_letter(now, queue, message, own);
        let Some(awaited) = awaited else { return };
        match pushed {
            Pushed::Stored => self.confirms.wait(Waiter::Source(awaited, queue)),
            Pushed::Accepted => self.tell_source(now, awaited, queue, exists),
            Pushed::Rejected => self.tell_source(now, awaited, queue, false),
        }
    }

    /// One target has it, or has not taken it.
    pub(super) fn tell_source(
        &mut self,
        now: Timestamp,
        awaited: AwaitedDeadLetter,
        target: QueueId,
        taken: bool,
    ) {
        if awaited.shard == self.index {
            self.dead_lettered(now, awaited, target, taken);
        } else {
            let command = ShardCommand::DeadLettered { awaited, target, taken };
            self.out.to_shards.push((awaited.shard, command));
        }
    }

    /// One target of a dead letter of ours has answered. With the last one the source lets go, unless it is one that
    /// dead-letters at least once and not all have taken it.
    pub(super) fn dead_lettered(
        &mut self,
        now: Timestamp,
        awaited: AwaitedDeadLetter,
        target: QueueId,
        taken: bool,
    ) {
        let key = (awaited.queue, awaited.position);
        let Some(targets) = self.awaited.get_mut(&key) else { return };
        targets.remaining = targets.remaining.saturating_sub(1);
        if let Some(kept) = &mut targets.kept {
            if taken {
                kept.taken.push(target);
            }
            kept.is_refused |= !taken;
        }
        if targets.remaining > 0 {
            return;
        }
        if targets.kept.as_ref().is_some_and(|kept| kept.is_refused) {
            self.retry_later(now, key);
        } else {
            self.arrived(key);
        }
    }

    /// All targets of a dead letter of ours have it.
    fn arrived(&mut self, (queue, position): (QueueId, Position)) {
        self.awaited.remove(&(queue, position));
        if self.awaited.is_empty() && self.awaited.capacity() > FEW {
            self.awaited = Map::default();
        }
        self.awaited.shrink_if_sparse();
        if let Some(slot) = self.queues.get_mut(queue) {
            slot.queue.dead_lettered(position, &mut self.fx);
            self.touch(queue);
        }
    }

    /// Nobody takes the dead letter: it is dropped.
    fn let_go(&mut self, dead_letter: &DeadLetter) {
        if let Some(slot) = self.queues.get_mut(dead_letter.queue.queue)
            && dead_letter.awaited
        {
            slot.queue.dead_lettered(dead_letter.position, &mut self.fx);
            self.touch(dead_letter.queue.queue);
        }
    }
}
