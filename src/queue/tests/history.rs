//! Random histories: a queue with tiny windows on a slow store, judged after every step.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::oracle::Oracle;
use super::store::FakeStore;
use super::support::{Spec, message};
use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::ids::{
    ConnectionId, ConsumerKey, ConsumerNumber, Position, PositionRange, QueueId, QueueRef, ShardIndex,
    Timestamp,
};
use crate::model::op::{Fetch, Fetched, RecoveredQueue, Wants};
use crate::model::retry::{Delays, Retried, Retry};
use crate::model::settings::{DeadLetterTarget, QueueSettings};
use crate::queue::{FlowControl, Pushed, Queue, QueueEffects};

/// More than what a queue in use keeps whatever its window, and a message on top.
const FLOOR: u64 = 128 * 1024 + 42_000;

struct Closed<'a>(&'a BTreeSet<ConnectionId>);

impl FlowControl for Closed<'_> {
    fn admits(&mut self, connection: ConnectionId, _bytes: usize) -> bool {
        !self.0.contains(&connection)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(Spec),
    Consume(u32, ConsumeOptions),
    Cancel(u32),
    Detach(u32),
    Get(u32, bool),
    /// Of what the consumer holds: from this one on, so many in a row.
    Settle(u32, usize, u64, Settlement),
    SettleAll(u32, Settlement),
    Pause(u32, bool),
    FlowControl(u32, bool),
    Window(usize),
    Purge,
    Pass(u64),
    /// Answers a fetch: with what the store has now, or had when it was asked.
    Answer(usize, bool),
    DeadLettered,
    Pump,
}

fn specs() -> impl Strategy<Value = Spec> {
    (
        any::<bool>(),
        prop::option::of(0u8..5),
        prop::option::weighted(0.3, 0u64..40),
        prop_oneof![Just(0usize), Just(100), Just(15_000), Just(40_000)],
    )
        .prop_map(|(persistent, priority, expiration, body)| Spec {
            persistent,
            priority,
            expiration,
            body,
        })
}

fn settlements() -> impl Strategy<Value = Settlement> {
    prop_oneof![
        4 => Just(Settlement::Ack),
        1 => Just(Settlement::Discard),
        1 => Just(Settlement::Requeue { failed: true }),
        1 => Just(Settlement::Requeue { failed: false }),
        1 => Just(Settlement::Release),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let options = (any::<bool>(), 0u16..5, 0i32..2).prop_map(|(no_ack, prefetch, priority)| ConsumeOptions {
        no_ack: no_ack && prefetch == 0,
        exclusive: false,
        prefetch,
        priority,
        timeout: None,
        of_streams: None,
    });
    prop_oneof![
        20 => specs().prop_map(Step::Push),
        3 => (0u32..5, options).prop_map(|(who, options)| Step::Consume(who, options)),
        1 => (0u32..5).prop_map(Step::Cancel),
        2 => (0u32..7).prop_map(Step::Detach),
        3 => (5u32..7, any::<bool>()).prop_map(|(who, no_ack)| Step::Get(who, no_ack)),
        8 => (0u32..7, 0usize..4, 1u64..6, settlements())
            .prop_map(|(who, from, len, settlement)| Step::Settle(who, from, len, settlement)),
        2 => (0u32..7, settlements()).prop_map(|(who, settlement)| Step::SettleAll(who, settlement)),
        1 => (0u32..5, any::<bool>()).prop_map(|(who, paused)| Step::Pause(who, paused)),
        1 => (0u32..5, any::<bool>()).prop_map(|(who, closed)| Step::FlowControl(who, closed)),
        1 => prop_oneof![Just(0usize), Just(50_000), Just(400_000)].prop_map(Step::Window),
        1 => Just(Step::Purge),
        4 => (1u64..15).prop_map(Step::Pass),
        8 => (0usize..3, any::<bool>()).prop_map(|(which, late)| Step::Answer(which, late)),
        2 => Just(Step::DeadLettered),
        6 => Just(Step::Pump),
    ]
}

/// Histories in which consumers hold messages among each other's, and give them back while the queue pages.
fn returning_steps() -> impl Strategy<Value = Step> {
    let spec = (any::<bool>(), prop_oneof![Just(0usize), Just(40_000)]).prop_map(|(persistent, body)| Spec {
        persistent,
        body,
        ..Spec::default()
    });
    let settlement = prop_oneof![
        2 => Just(Settlement::Ack),
        2 => Just(Settlement::Requeue { failed: false }),
        1 => Just(Settlement::Release),
        1 => Just(Settlement::Discard),
    ];
    let options = (1u16..6).prop_map(|prefetch| ConsumeOptions { prefetch, ..ConsumeOptions::default() });
    prop_oneof![
        8 => spec.prop_map(Step::Push),
        1 => (0u32..3, options).prop_map(|(who, options)| Step::Consume(who, options)),
        1 => (0u32..7).prop_map(Step::Detach),
        8 => (5u32..7).prop_map(|who| Step::Get(who, false)),
        8 => (0u32..7, 0usize..4, 1u64..3, settlement.clone())
            .prop_map(|(who, from, len, settlement)| Step::Settle(who, from, len, settlement)),
        2 => (0u32..7, settlement).prop_map(|(who, settlement)| Step::SettleAll(who, settlement)),
        6 => (0usize..2, any::<bool>()).prop_map(|(which, late)| Step::Answer(which, late)),
        1 => Just(Step::DeadLettered),
        8 => Just(Step::Pump),
    ]
}

/// No retry waits for longer, in milliseconds.
const LONGEST_DELAY: u64 = 60;

fn retries() -> impl Strategy<Value = Retry> {
    let retried =
        prop_oneof![2 => Just(Retried::All), 1 => Just(Retried::Failed), 1 => Just(Retried::Returned)];
    let delays = prop_oneof![
        (1..20u64, 1..LONGEST_DELAY).prop_map(|(least, most)| Delays::Growing { least, most }),
        prop::collection::vec(0..LONGEST_DELAY / 2, 1..4).prop_map(|list| Delays::List(list.into())),
    ];
    (retried, delays, prop_oneof![Just(0u8), Just(50u8)], any::<bool>())
        .prop_map(|(retried, delays, jitter, rejected)| Retry { retried, delays, jitter, rejected })
}

/// Without a dead-letter target there is neither TTL nor limit here: their drops would not be seen.
fn settings() -> impl Strategy<Value = QueueSettings> {
    (
        (any::<bool>(), any::<bool>(), prop::option::of(Just(2u8)), any::<bool>()),
        prop::option::of(0u64..60),
        prop::option::weighted(0.3, 0u64..12),
        prop::option::weighted(0.2, 0u64..200_000),
        prop::option::of(0u32..3),
        prop::option::weighted(0.4, retries()),
    )
        .prop_map(
            |((dead, durable, max_priority, sac), message_ttl, max_length, bytes, limit, retry)| {
                QueueSettings {
                    durable,
                    dead_letter: dead.then(|| DeadLetterTarget { exchange: "dlx".into(), routing_key: None }),
                    message_ttl: message_ttl.filter(|_| dead),
                    max_length: max_length.filter(|_| dead),
                    max_length_bytes: bytes.filter(|_| dead),
                    max_priority,
                    single_active_consumer: sac && limit == Some(0),
                    delivery_limit: limit,
                    retry: retry.map(Arc::new),
                    ..QueueSettings::default()
                }
            },
        )
}

const QUEUE: QueueId = QueueId(7);

fn key(who: u32) -> ConsumerKey {
    ConsumerKey { connection: ConnectionId(u64::from(who % 3)), number: ConsumerNumber(who) }
}

/// The queue, its store and its oracle.
struct Run {
    queue: Queue,
    store: FakeStore,
    oracle: Oracle,
    fx: QueueEffects,
    asked: Vec<(Fetch, Fetched)>,
    window: usize,
    widest: usize,
}

impl Run {
    fn new(settings: QueueSettings) -> Run {
        let now = Timestamp(1000);
        let id = QueueRef { queue: QUEUE, shard: ShardIndex::alone(0) };
        let mut queue = Queue::recover(id, settings.clone(), RecoveredQueue::default(), now);
        queue.set_window(0, 0);
        let oracle = Oracle::new(settings, now);
        Run {
            queue,
            store: FakeStore::default(),
            oracle,
            fx: QueueEffects::default(),
            asked: Vec::new(),
            window: 0,
            widest: 0,
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.oracle.now;
        let Run { queue, oracle, fx, .. } = self;
        match step {
            Step::Push(mut spec) => {
                // Their deaths would not be seen.
                spec.expiration = spec.expiration.filter(|_| oracle.settings.dead_letter.is_some());
                let message = message(spec);
                let pushed = queue.push(now, message.clone(), fx);
                let durable = oracle.settings.durable && spec.persistent;
                assert_eq!(pushed, if durable { Pushed::Stored } else { Pushed::Accepted });
                oracle.pushed(&message, durable);
            }
            Step::Consume(who, options) => {
                if !oracle.is_registered(key(who)) {
                    queue.consume(now, key(who), options, fx).unwrap();
                    oracle.consume(key(who), options);
                }
            }
            Step::Cancel(who) => {
                oracle.cancel(key(who));
                queue.cancel(now, key(who), fx);
            }
            Step::Detach(who) => {
                // A get that waits would not be answered; sessions ask for one thing at a time.
                if oracle.gets == 0 {
                    oracle.cancel(key(who));
                    let all = PositionRange { first: Position(0), last: Position(u64::MAX) };
                    oracle.settle(key(who), all, Settlement::Requeue { failed: true });
                    queue.detach(now, key(who), usize::MAX, fx);
                }
            }
            Step::Get(who, no_ack) => {
                oracle.gets += 1;
                queue.get(now, key(who), no_ack, fx);
            }
            Step::Settle(who, from, len, settlement) => {
                if let Some(&first) = oracle.held(key(who)).get(from) {
                    let range = PositionRange { first, last: Position(first.0 + len - 1) };
                    oracle.settle(key(who), range, settlement);
                    queue.settle(now, key(who), range, settlement, fx);
                }
            }
            Step::SettleAll(who, settlement) => {
                let range = PositionRange { first: Position(1), last: Position(u64::MAX) };
                oracle.settle(key(who), range, settlement);
                queue.settle(now, key(who), range, settlement, fx);
            }
            Step::Pause(who, paused) => {
                oracle.pause(key(who), paused);
                queue.set_paused(key(who), paused);
            }
            Step::FlowControl(who, closed) => {
                if closed {
                    oracle.closed.insert(key(who).connection);
                } else {
                    oracle.closed.remove(&key(who).connection);
                }
            }
            Step::Window(bytes) => {
                self.window = bytes;
                self.widest = self.widest.max(bytes);
                queue.set_window(bytes, bytes);
            }
            Step::Purge => assert_eq!(queue.purge(now, fx), oracle.purged()),
            Step::Pass(millis) => {
                oracle.pass(millis);
                if queue.next_deadline().is_some_and(|deadline| deadline <= oracle.now) {
                    queue.tick(oracle.now, fx);
                }
            }
            Step::Answer(which, late) => return self.answer(which, late),
            Step::DeadLettered => {
                if let Some(position) = oracle.awaited.pop_first() {
                    queue.dead_lettered(position, fx);
                }
            }
            Step::Pump => return self.pump(),
        }
        self.review();
    }

    fn answer(&mut self, which: usize, late: bool) {
        if which < self.asked.len() {
            let (fetch, then) = self.asked.remove(which);
            let fetched = if late { self.store.read(&fetch) } else { then };
            self.queue.loaded(self.oracle.now, fetched, &mut self.fx);
            self.review();
        }
    }

    fn pump(&mut self) {
        self.queue.pump(self.oracle.now, &mut Closed(&self.oracle.closed), &mut self.fx);
        self.review();
        self.oracle.end_turn();
        if self.asked.is_empty() {
            self.oracle.check_at_rest();
            let window = (self.window as u64).max(FLOOR);
            // Of what the store has too, and of what it does not have and was delivered under a wider window.
            let unacked = (self.window as u64 / 2).max(FLOOR) + (self.widest as u64 / 2).max(FLOOR);
            // And of what waits.
            let waiting = (self.window as u64 / 4).max(FLOOR) + (self.widest as u64 / 4).max(FLOOR);
            assert!(self.queue.counts().memory_bytes <= window + unacked + waiting);
        }
    }

    /// Looks at all effects and compares queue, store and oracle.
    fn review(&mut self) {
        for op in &self.fx.ops {
            self.store.apply(QUEUE, op);
        }
        for (connection, delivery) in &self.fx.deliveries {
            self.oracle.delivered(*connection, delivery);
        }
        for got in &self.fx.got {
            self.oracle.got(got);
        }
        self.oracle.expired_unread(self.queue.expired_dead_letters());
        for dead in &self.fx.dead_letters {
            self.oracle.dead_letter(dead);
        }
        for fetch in &self.fx.fetches {
            let looks = |fetch: &Fetch| matches!(fetch.wants, Wants::Times { .. });
            let others = self.asked.iter().filter(|(other, _)| {
                looks(other) == looks(fetch) && (looks(fetch) || other.lane == fetch.lane)
            });
            let most = usize::from(!looks(fetch));
            assert!(others.count() <= most, "one fetch per lane, and one of dead letters; one look ahead");
            self.asked.push((fetch.clone(), self.store.read(fetch)));
        }
        self.fx = QueueEffects::default();
        self.oracle.check_counts(&self.queue.counts());
        let oracle = &self.oracle;
        let alive = |at: &Position| {
            oracle.ready.contains_key(at)
                || oracle.unacked.contains_key(at)
                || oracle.waiting.contains_key(at)
                || oracle.awaited.contains(at)
                || oracle.is_dying(*at)
        };
        for at in self.store.positions() {
            assert!(alive(&at), "{at} has left, but not the store");
        }
        let known = oracle.ready.iter().chain(oracle.unacked.iter().map(|(at, (_, known))| (at, known)));
        let known = known.chain(oracle.waiting.iter().map(|(at, (_, known))| (at, known)));
        for (&at, known) in known {
            assert!(self.store.has(at) || !(known.durable || self.store.was_put(at)), "{at} is lost");
        }
        assert!(oracle.awaited.iter().all(|&at| self.store.has(at)));
    }

    /// Answers all fetches and pumps until nothing moves.
    fn settle_down(&mut self) {
        self.pump();
        for _ in 0..10_000 {
            if self.asked.is_empty() {
                return;
            }
            self.answer(0, true);
            self.pump();
        }
        panic!("the queue fetches for ever");
    }

    /// Everything comes out in the end, and the store is empty.
    fn drain(&mut self) {
        self.oracle.closed.clear();
        for who in 0..7 {
            self.step(Step::Pump);
            self.settle_down();
            self.step(Step::Detach(who));
        }
        self.step(Step::Pass(LONGEST_DELAY));
        self.settle_down();
        assert_eq!(self.oracle.consumer_count(), 0);
        self.step(Step::Consume(9, ConsumeOptions { no_ack: true, ..ConsumeOptions::default() }));
        self.settle_down();
        while !self.oracle.awaited.is_empty() {
            self.step(Step::DeadLettered);
            self.settle_down();
        }
        assert!(
            self.oracle.ready.is_empty() && self.oracle.unacked.is_empty() && self.oracle.waiting.is_empty()
        );
        assert_eq!(self.store.positions().count(), 0);
        assert_eq!(self.queue.counts().memory_bytes, 0);
    }
}

proptest! {
    #[test]
    fn every_history_is_lawful(settings in settings(), steps in prop::collection::vec(steps(), 1..250)) {
        let mut run = Run::new(settings);
        for step in steps {
            run.step(step);
        }
        run.drain();
    }

    #[test]
    fn messages_given_back_find_their_place_among_paged_ones(
        dead in any::<bool>(),
        steps in prop::collection::vec(returning_steps(), 1..250),
    ) {
        let dead_letter = dead.then(|| DeadLetterTarget { exchange: "dlx".into(), routing_key: None });
        let mut run = Run::new(QueueSettings { durable: true, dead_letter, ..QueueSettings::default() });
        for step in steps {
            run.step(step);
        }
        run.drain();
    }
}
