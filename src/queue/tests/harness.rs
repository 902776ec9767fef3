//! A queue on a store that answers at once, and words for what tests do with it.

use super::store::FakeStore;
use super::support::{Spec, message};
use crate::model::consuming::{ConsumeOptions, DeathReason, Settlement};
use crate::model::ids::{
    ConnectionId, ConsumerKey, ConsumerNumber, Position, PositionRange, QueueId, QueueRef, ShardIndex,
    Timestamp,
};
use crate::model::op::{Op, RecoveredQueue};
use crate::model::settings::{DeadLetterTarget, QueueSettings};
use crate::queue::{FlowControl, Pushed, Queue, QueueEffects};

pub(super) const ID: QueueRef = QueueRef { queue: QueueId(1), shard: ShardIndex::alone(0) };
pub(super) const PERSISTENT: Spec = Spec { persistent: true, priority: None, expiration: None, body: 0 };

/// Admits messages while it has bytes left.
pub(super) struct Outbox(pub(super) usize);

impl FlowControl for Outbox {
    fn admits(&mut self, _connection: ConnectionId, bytes: usize) -> bool {
        let admits = bytes <= self.0;
        self.0 -= if admits { bytes } else { 0 };
        admits
    }
}

/// A queue on a store that answers at once.
pub(super) struct Harness {
    pub(super) queue: Queue,
    pub(super) store: FakeStore,
    pub(super) fx: QueueEffects,
    pub(super) now: Timestamp,
    /// Consumer and position of all deliveries so far.
    pub(super) delivered: Vec<(u32, u64)>,
    pub(super) dead: Vec<(u64, DeathReason, bool)>,
    pub(super) ops: Vec<Op>,
    pub(super) fetches: usize,
    /// Messages that were read for these.
    pub(super) read: usize,
}

impl Harness {
    pub(super) fn new(settings: QueueSettings) -> Harness {
        Harness::recover(settings, RecoveredQueue::default())
    }

    pub(super) fn recover(settings: QueueSettings, found: RecoveredQueue) -> Harness {
        let now = Timestamp(1000);
        Harness {
            queue: Queue::recover(ID, settings, found, now),
            store: FakeStore::default(),
            fx: QueueEffects::default(),
            now,
            delivered: Vec::new(),
            dead: Vec::new(),
            ops: Vec::new(),
            fetches: 0,
            read: 0,
        }
    }

    pub(super) fn push(&mut self, spec: Spec) -> Pushed {
        self.queue.push(self.now, message(spec), &mut self.fx)
    }

    pub(super) fn push_many(&mut self, count: usize, spec: Spec) {
        for _ in 0..count {
            self.push(spec);
        }
    }

    pub(super) fn consume(&mut self, who: u32, prefetch: u16, priority: i32) {
        let options = ConsumeOptions { prefetch, priority, ..ConsumeOptions::default() };
        self.queue.consume(self.now, key(who), options, &mut self.fx).unwrap();
    }

    pub(super) fn settle(&mut self, who: u32, first: u64, last: u64, settlement: Settlement) {
        let range = PositionRange { first: Position(first), last: Position(last) };
        self.queue.settle(self.now, key(who), range, settlement, &mut self.fx);
    }

    pub(super) fn tick(&mut self) {
        self.queue.tick(self.now, &mut self.fx);
    }

    /// Ends the turn, and those that answers of the store bring.
    pub(super) fn pump(&mut self) {
        self.pump_into(usize::MAX);
    }

    pub(super) fn pump_into(&mut self, outbox: usize) {
        let mut outbox = Outbox(outbox);
        loop {
            let (_, more) = self.queue.pump(self.now, &mut outbox, &mut self.fx);
            let fetches = std::mem::take(&mut self.fx.fetches);
            self.look();
            if fetches.is_empty() && !more && !self.expires() {
                return;
            }
            for fetch in fetches {
                self.fetches += 1;
                let fetched = self.store.read(&fetch);
                self.read += fetched.entries.len();
                self.queue.loaded(self.now, fetched, &mut self.fx);
            }
        }
    }

    /// Something is due that was left for the next turn.
    fn expires(&self) -> bool {
        self.queue.next_expiry().is_due(self.now)
    }

    pub(super) fn look(&mut self) {
        for op in self.fx.ops.drain(..) {
            self.store.apply(ID.queue, &op);
            self.ops.push(op);
        }
        self.delivered.extend(self.fx.deliveries.drain(..).map(|(_, d)| (d.consumer.0, d.position.0)));
        let dead = self.fx.dead_letters.drain(..);
        self.dead.extend(dead.map(|dead| (dead.position.0, dead.reason, dead.awaited)));
    }

    pub(super) fn take_delivered(&mut self) -> Vec<(u32, u64)> {
        std::mem::take(&mut self.delivered)
    }
}

pub(super) fn key(who: u32) -> ConsumerKey {
    ConsumerKey { connection: ConnectionId(u64::from(who)), number: ConsumerNumber(who) }
}

pub(super) fn dead_lettering() -> QueueSettings {
    let target = DeadLetterTarget { exchange: "dlx".into(), routing_key: None };
    QueueSettings { durable: true, dead_letter: Some(target), ..QueueSettings::default() }
}
