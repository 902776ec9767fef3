//! A naive queue that follows the real one and judges each of its effects: was this message the next one, did this
//! consumer have credit, is it counted, does the store have it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::consuming::{ConsumeOptions, DeathReason, Delivery, Settlement};
use crate::model::ids::{ConnectionId, ConsumerKey, Position, PositionRange, Timestamp};
use crate::model::message::Message;
use crate::model::op::{Attempts, Lane};
use crate::model::question::QueueCounts;
use crate::model::settings::{Overflow, QueueSettings};
use crate::queue::{DeadLetter, Got};

#[derive(Clone, Debug)]
pub(super) struct Known {
    lane: Lane,
    pub(super) durable: bool,
    expires: Option<Timestamp>,
    body: u64,
    attempts: Attempts,
    redelivered: bool,
}

#[derive(Debug)]
struct Follower {
    options: ConsumeOptions,
    paused: bool,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) settings: QueueSettings,
    pub(super) ready: BTreeMap<Position, Known>,
    pub(super) unacked: BTreeMap<Position, (ConsumerKey, Known)>,
    /// Until when each waits that came back.
    pub(super) waiting: BTreeMap<Position, (Timestamp, Known)>,
    pub(super) awaited: BTreeSet<Position>,
    /// In order of registration.
    consumers: Vec<(ConsumerKey, Follower)>,
    pub(super) closed: BTreeSet<ConnectionId>,
    dying: BTreeMap<Position, (DeathReason, Known)>,
    pub(super) gets: usize,
    next: u64,
    fresh_from: u64,
    pub(super) now: Timestamp,
}

impl Oracle {
    pub(super) fn new(settings: QueueSettings, now: Timestamp) -> Oracle {
        Oracle { settings, now, next: 1, fresh_from: 1, ..Oracle::default() }
    }

    pub(super) fn pushed(&mut self, message: &Message, durable: bool) {
        let ttl = [self.settings.message_ttl, message.expiration()].into_iter().flatten().min();
        let known = Known {
            lane: self.settings.max_priority.map_or(0, |max| message.priority().unwrap_or(0).min(max)),
            durable,
            expires: ttl.map(|millis| self.now.plus_millis(millis)),
            body: message.body().len() as u64,
            attempts: Attempts::NONE,
            redelivered: false,
        };
        self.ready.insert(Position(self.next), known);
        self.next += 1;
    }

    pub(super) fn consume(&mut self, key: ConsumerKey, options: ConsumeOptions) {
        self.consumers.push((key, Follower { options, paused: false }));
    }

    pub(super) fn cancel(&mut self, key: ConsumerKey) {
        self.consumers.retain(|(other, _)| *other != key);
    }

    pub(super) fn pause(&mut self, key: ConsumerKey, paused: bool) {
        for (_, follower) in self.consumers.iter_mut().filter(|(other, _)| *other == key) {
            follower.paused = paused;
        }
    }

    pub(super) fn is_registered(&self, key: ConsumerKey) -> bool {
        self.consumers.iter().any(|(other, _)| *other == key)
    }

    pub(super) fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    pub(super) fn held(&self, key: ConsumerKey) -> Vec<Position> {
        self.unacked.iter().filter(|(_, (holder, _))| *holder == key).map(|(&at, _)| at).collect()
    }

    pub(super) fn settle(&mut self, key: ConsumerKey, range: PositionRange, settlement: Settlement) {
        for position in self.held(key).into_iter().filter(|&at| range.contains(at)) {
            let (_, mut known) = self.unacked.remove(&position).unwrap();
            let retry = self.settings.retry.clone();
            let failures = known.attempts.failed;
            let is_retried = retry.as_ref().is_some_and(|retry| retry.retries_rejected())
                && self.settings.delivery_limit.is_none_or(|limit| failures < limit);
            let failed = match settlement {
                Settlement::Ack => continue,
                Settlement::Discard if is_retried => true,
                Settlement::Discard => {
                    self.dies(position, DeathReason::Rejected, known);
                    continue;
                }
                Settlement::Release => {
                    self.ready.insert(position, known);
                    continue;
                }
                Settlement::Requeue { failed } => failed,
            };
            let counts = retry.as_ref().map_or(failed, |retry| retry.counts(failed));
            known.redelivered = true;
            if self.settings.counts_deliveries() {
                known.attempts.acquired += 1;
                known.attempts.failed += u32::from(counts);
            }
            let failures = known.attempts.failed;
            if counts && self.settings.delivery_limit.is_some_and(|limit| failures > limit) {
                self.dies(position, DeathReason::DeliveryLimit, known);
                continue;
            }
            match retry.and_then(|retry| retry.delay(position, failed, known.attempts)) {
                Some(delay) => drop(self.waiting.insert(position, (self.now.plus_millis(delay), known))),
                None => drop(self.ready.insert(position, known)),
            }
        }
    }

    /// What has waited for long enough is ready again, as is what has expired meanwhile.
    pub(super) fn pass(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
        let now = self.now;
        let ended = self.waiting.extract_if(.., |_, (until, known)| {
            *until <= now || known.expires.is_some_and(|expires| expires <= now)
        });
        self.ready.extend(ended.map(|(position, (_, known))| (position, known)));
    }

    pub(super) fn purged(&mut self) -> u32 {
        let waiting = std::mem::take(&mut self.waiting).len();
        u32::try_from(std::mem::take(&mut self.ready).len() + waiting).unwrap()
    }

    pub(super) fn delivered(&mut self, connection: ConnectionId, delivery: &Delivery) {
        let key = ConsumerKey { connection, number: delivery.consumer };
        assert!(self.can_take(key), "{key:?} has no credit, or another comes first");
        let mine = &self.consumers.iter().find(|(other, _)| *other == key).unwrap().1;
        assert_eq!(delivery.no_ack, mine.options.no_ack);
        self.handed_over(key, delivery);
    }

    pub(super) fn got(&mut self, got: &Got) {
        self.gets -= 1;
        match &got.found {
            None => assert_eq!(self.next_ready(), None),
            Some((delivery, remaining)) => {
                self.handed_over(got.key, delivery);
                assert!(usize::try_from(*remaining).unwrap() >= self.alive().count());
            }
        }
    }

    pub(super) fn dead_letter(&mut self, dead: &DeadLetter) {
        let position = dead.position;
        let known = match dead.reason {
            DeathReason::Expired => {
                if let Some((reason, known)) = self.dying.remove(&position) {
                    assert_eq!(reason, DeathReason::Expired);
                    known
                } else {
                    self.expires(position)
                }
            }
            DeathReason::MaxLength => {
                assert!(self.is_over_limit());
                let highest = self.ready.values().map(|known| known.lane).max();
                let head = self.ready.iter().find(|(_, known)| Some(known.lane) == highest);
                assert_eq!(
                    head.map(|(&at, _)| at),
                    Some(position),
                    "the head of the highest lane is dropped"
                );
                self.ready.remove(&position).unwrap()
            }
            DeathReason::Rejected | DeathReason::DeliveryLimit => {
                let (reason, known) = self.dying.remove(&position).expect("it was rejected");
                assert_eq!(reason, dead.reason);
                known
            }
        };
        assert_eq!(dead.awaited, known.durable);
        if dead.awaited {
            self.awaited.insert(position);
        }
    }

    /// What must be right after every call.
    pub(super) fn check_counts(&self, counts: &QueueCounts) {
        assert_eq!(counts.ready, self.ready.len() as u64, "ready");
        assert_eq!(counts.unacked, self.unacked.len() as u64, "unacked");
        assert_eq!(counts.delayed, self.waiting.len() as u64, "delayed");
        let waiting: u64 = self.waiting.values().map(|(_, known)| known.body).sum();
        assert_eq!(counts.delayed_bytes, waiting, "bytes of the delayed");
        assert_eq!(counts.consumers as usize, self.consumers.len(), "consumers");
        assert_eq!(counts.ready_bytes, self.ready.values().map(|known| known.body).sum::<u64>(), "bytes");
    }

    /// Of these, which have expired in the store alone, the dead letters have to be read first.
    pub(super) fn expired_unread(&mut self, positions: impl Iterator<Item = Position>) {
        for position in positions {
            if !self.dying.contains_key(&position) {
                let known = self.expires(position);
                self.dying.insert(position, (DeathReason::Expired, known));
            }
        }
    }

    fn expires(&mut self, position: Position) -> Known {
        let known = self.ready.remove(&position).expect("what expires was ready");
        assert!(known.expires.is_some_and(|at| at <= self.now), "{position} is early");
        known
    }

    /// Of what was rejected or has expired, the dead letters that did not come yet: some have to be read first.
    pub(super) fn is_dying(&self, position: Position) -> bool {
        self.dying.contains_key(&position)
    }

    pub(super) fn end_turn(&mut self) {
        self.fresh_from = self.next;
    }

    /// What must be right after a pump when no fetch is under way.
    pub(super) fn check_at_rest(&self) {
        assert!(!self.ready.values().any(|known| known.expires.is_some_and(|at| at <= self.now)), "expired");
        assert!(!self.is_over_limit(), "over the limit");
        assert_eq!(self.gets, 0, "gets wait");
        let may_wait = !self.awaited.is_empty();
        assert!(self.dying.is_empty() || may_wait, "dead letters are missing: {:?}", self.dying);
        if !self.ready.is_empty() {
            let idle = self.consumers.iter().find(|(key, _)| self.can_take(*key));
            assert!(idle.is_none(), "{idle:?} could have been served");
        }
    }

    fn handed_over(&mut self, key: ConsumerKey, delivery: &Delivery) {
        assert_eq!(self.next_ready(), Some(delivery.position));
        let known = self.ready.remove(&delivery.position).unwrap();
        assert_eq!(delivery.redelivered, known.redelivered);
        assert_eq!(delivery.attempts, known.attempts);
        if !delivery.no_ack {
            self.unacked.insert(delivery.position, (key, known));
        }
    }

    fn dies(&mut self, position: Position, reason: DeathReason, known: Known) {
        if self.settings.dead_letter.is_some() {
            self.dying.insert(position, (reason, known));
        }
    }

    /// Whether this consumer may be given the next message.
    fn can_take(&self, key: ConsumerKey) -> bool {
        let takes = |other: ConsumerKey, follower: &Follower| {
            let limit = follower.options.prefetch;
            let credit = follower.options.no_ack
                || limit == 0
                || self.unacked.values().filter(|(holder, _)| *holder == other).count() < usize::from(limit);
            credit && !follower.paused && !self.closed.contains(&other.connection)
        };
        if self.settings.single_active_consumer {
            return self
                .consumers
                .first()
                .is_some_and(|(first, follower)| *first == key && takes(*first, follower));
        }
        let able = self.consumers.iter().filter(|(other, follower)| takes(*other, follower));
        let best = able.clone().map(|(_, follower)| follower.options.priority).max();
        able.filter(|(_, follower)| Some(follower.options.priority) == best).any(|(other, _)| *other == key)
    }

    fn alive(&self) -> impl Iterator<Item = (&Position, &Known)> {
        let dead = |at: Position, known: &Known| {
            at.0 < self.fresh_from && known.expires.is_some_and(|expires| expires <= self.now)
        };
        self.ready.iter().filter(move |(at, known)| !dead(**at, known))
    }

    fn next_ready(&self) -> Option<Position> {
        let highest = self.alive().map(|(_, known)| known.lane).max()?;
        self.alive().find(|(_, known)| known.lane == highest).map(|(&at, _)| at)
    }

    fn is_over_limit(&self) -> bool {
        let waiting = self.waiting.values().map(|(_, known)| known);
        let bytes: u64 = self.ready.values().chain(waiting).map(|known| known.body).sum();
        let count = (self.ready.len() + self.waiting.len()) as u64;
        self.settings.overflow == Overflow::DropHead
            && !self.ready.is_empty()
            && (self.settings.max_length.is_some_and(|max| count > max)
                || self.settings.max_length_bytes.is_some_and(|max| bytes > max))
    }
}
