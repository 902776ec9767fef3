//! One message to many queues: a publish of a client, and what the broker itself sends (dead letters, events, what an
//! exchange remembers). Where these are very many, the message reaches them in as many turns as that takes. Where it goes
//! was decided before.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Shard;
use super::confirms::Waiter;
use super::steps::QUEUES_PER_STEP;
use crate::model::command::{AwaitedDeadLetter, FanOut, ShardCommand};
use crate::model::event::{ConfirmToken, SessionEvent};
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, QueueId, QueueRef, Timestamp};
use crate::model::message::Message;
use crate::queue::Pushed;

/// A publish to no more queues than these is done at once.
pub(super) const FEW_QUEUES: usize = 64;

/// Queues that messages of the catalog may wait for in a shard, 16 bytes each, and one message besides. The catalog cannot be
/// held back: what would be more is dropped.
pub(super) const MOST_FORWARDED: usize = 1 << 20;

/// What waits for turns that have time for it. There is one at the most of what the shard itself sends (dead letters, those
/// sent again, what an exchange remembers): the next is taken once it has gone.
#[derive(Debug, Default)]
pub(super) struct Forwardings {
    waiting: VecDeque<Forwarding>,
    /// Over all that wait, how many queues do not have their message yet.
    targets: usize,
}

impl Forwardings {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Forwardings { waiting, targets } = self;
        into.in_transit("shard: messages on their way to many queues", waiting);
        into.in_transit("shard: queues that they have not reached", targets);
    }

    fn push(&mut self, forwarding: Forwarding) {
        self.targets += forwarding.targets.len();
        self.waiting.push_back(forwarding);
    }

    /// Whether a message to so many more queues is too much.
    fn is_full_with(&self, targets: usize) -> bool {
        !self.is_empty() && self.targets.saturating_add(targets) > MOST_FORWARDED
    }
}

/// A message of the broker's own, and the queues that do not have it yet.
#[derive(Debug)]
struct Forwarding {
    message: Arc<Message>,
    targets: SmallVec<[QueueRef; 2]>,
    awaited: Option<AwaitedDeadLetter>,
}

impl Shard {
    /// Puts a message into its queues here. One confirm for all of them: refused if one of them refuses, and at once
    /// where there is nothing to wait for. Returns what is left to do once this turn has no time left.
    pub(super) fn publish(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        queues: SmallVec<[QueueId; 2]>,
        message: Arc<Message>,
        confirm: Option<ConfirmToken>,
    ) -> Vec<ShardCommand> {
        if queues.len() > FEW_QUEUES {
            let fan_out = FanOut { queues, message, confirm, is_stored: false, is_rejected: false };
            return self.fan_out(now, connection, Box::new(fan_out));
        }
        let (mut is_stored, mut is_rejected) = (false, false);
        for &queue in &queues {
            match self.push(now, queue, Arc::clone(&message)) {
                Pushed::Stored => is_stored = true,
                Pushed::Accepted => (),
                Pushed::Rejected => is_rejected = true,
            }
        }
        self.confirm(connection, confirm, is_stored, is_rejected);
        Vec::new()
    }

    /// Goes on with a publish to very many queues.
    pub(super) fn fan_out(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        mut fan_out: Box<FanOut>,
    ) -> Vec<ShardCommand> {
        let most = self.steps.left().max(1).saturating_mul(QUEUES_PER_STEP);
        let left = fan_out.queues.len().saturating_sub(most);
        self.steps.take((fan_out.queues.len() - left).div_ceil(QUEUES_PER_STEP));
        for queue in fan_out.queues.drain(left..) {
            match self.push(now, queue, Arc::clone(&fan_out.message)) {
                Pushed::Stored => fan_out.is_stored = true,
                Pushed::Accepted => (),
                Pushed::Rejected => fan_out.is_rejected = true,
            }
        }
        if left > 0 {
            return vec![ShardCommand::FanOut(fan_out)];
        }
        self.confirm(connection, fan_out.confirm, fan_out.is_stored, fan_out.is_rejected);
        Vec::new()
    }

    fn confirm(
        &mut self,
        connection: ConnectionId,
        confirm: Option<ConfirmToken>,
        is_stored: bool,
        is_rejected: bool,
    ) {
        let Some(token) = confirm else { return };
        if is_stored && !is_rejected {
            self.confirms.wait(Waiter::Connection(connection, token));
        } else {
            let event = SessionEvent::Confirm { token, accepted: !is_rejected };
            self.out.to_connections.push((connection, event));
        }
    }

    /// Puts a message that the broker sends into queues, wherever they are, behind those that it sent before; as many as a
    /// turn has time for.
    pub(super) fn forward(
        &mut self,
        now: Timestamp,
        message: Arc<Message>,
        mut targets: SmallVec<[QueueRef; 2]>,
        awaited: Option<AwaitedDeadLetter>,
    ) {
        if let [target] = &targets[..]
            && self.forwardings.is_empty()
            && !self.credit.is_exhausted()
        {
            return self.forward_one(now, *target, message, awaited);
        }
        // They are taken from the end.
        targets.reverse();
        self.forwardings.push(Forwarding { message, targets, awaited });
        self.go_on_forwarding(now);
    }

    /// The same of queues here, for the catalog. Where too many wait, nobody gets it.
    pub(super) fn forward_here(
        &mut self,
        now: Timestamp,
        message: Arc<Message>,
        queues: SmallVec<[QueueId; 2]>,
    ) {
        if self.forwardings.is_full_with(queues.len()) {
            self.out.dropped += 1;
            return;
        }
        let shard = self.index;
        let targets = queues.into_iter().map(|queue| QueueRef { queue, shard }).collect();
        self.forward(now, message, targets, None);
    }

    /// Goes on with what was sent. Whether nothing of it is left and more may be sent: where a shard has taken in too little
    /// of what is on its way to it, everything waits, for it is to leave in order.
    pub(super) fn go_on_forwarding(&mut self, now: Timestamp) -> bool {
        while !self.credit.is_exhausted()
            && let Some(first) = self.forwardings.waiting.front_mut()
        {
            if first.targets.is_empty() {
                self.forwardings.waiting.pop_front();
                continue;
            }
            if !self.steps.may_move_dead_letter() {
                return false;
            }
            let Some(target) = first.targets.pop() else { continue };
            self.forwardings.targets -= 1;
            let (message, awaited) = (Arc::clone(&first.message), first.awaited);
            self.forward_one(now, target, message, awaited);
        }
        !self.credit.is_exhausted()
    }

    fn forward_one(
        &mut self,
        now: Timestamp,
        target: QueueRef,
        message: Arc<Message>,
        awaited: Option<AwaitedDeadLetter>,
    ) {
        if target.shard == self.index {
            self.take_dead_letter(now, target.queue, message, awaited);
        } else {
            self.credit.spend(target.shard, &message);
            let (queue, from) = (target.queue, self.index);
            let command = ShardCommand::DeadLetter { queue, message, awaited, from };
            self.out.to_shards.push((target.shard, command));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use leveret_codec::properties::Properties;

    use super::*;
    use crate::catalog::view::View;
    use crate::model::command::Origin;
    use crate::model::ids::ShardIndex;
    use crate::model::message::{Body, Origin as MessageOrigin};
    use crate::shard::ShardEffects;

    /// An event of the catalog to so many queues, of which none is there any more.
    fn tell(shard: &mut Shard, targets: usize) {
        let (properties, body, origin) = (Properties::default(), Body::default(), MessageOrigin::Client);
        let message = Message::new(&mut BytesMut::new(), b"", b"", properties, body, origin);
        let queues = (1..=targets as u64).map(QueueId).collect();
        let publish = ShardCommand::Publish { queues, message: Arc::new(message), confirm: None };
        shard.handle(Timestamp(0), Origin::Catalog, publish);
    }

    #[test]
    fn what_the_catalog_sends_to_very_many_waits_up_to_a_bound_and_is_dropped_beyond() {
        let mut shard = Shard::new(ShardIndex::alone(0), 1, View::new(), 1 << 20);
        let mut fx = ShardEffects::default();
        for _ in 0..10 {
            tell(&mut shard, MOST_FORWARDED / 4);
        }
        assert!(shard.forwardings.targets <= MOST_FORWARDED);
        shard.finish_turn(Timestamp(0), &mut fx);
        assert_eq!(std::mem::take(&mut fx.dropped), 6, "four of them fit, with what is left of the first");
        while shard.has_more() {
            shard.finish_turn(Timestamp(0), &mut fx);
        }
        assert_eq!((shard.forwardings.len(), shard.forwardings.targets), (0, 0));
        tell(&mut shard, 2 * MOST_FORWARDED);
        assert_eq!(shard.forwardings.len(), 1, "one that is alone is taken, however many it is for");
        shard.finish_turn(Timestamp(0), &mut fx);
        assert_eq!(fx.dropped, 0);
    }
}
