//! What the queues of a shard have counted together, by vhost, type and what becomes of their dead letters: so nobody has to
//! ask every queue, and what a queue counted stays when it goes. Added up once per pump, by plain additions to the place that
//! the queue knows; what a queue counts itself is `queue/counts.rs`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::catalog::view::ViewState;
use crate::model::counters::{QueueCounters, Waits};
use crate::model::holdings::Holdings;
use crate::model::ids::Name;
use crate::model::question::{DeadLetterStrategy, QueueSize, QueueTotals, ShardTotals};
use crate::model::settings::{QueueRole, QueueSettings, QueueType};
use crate::queue::Change;

/// What tells accounts apart. No vhost: those of vhosts that are gone.
type Key = (Option<Name>, bool, DeadLetterStrategy);

#[derive(Debug, Default)]
pub(super) struct Accounts {
    list: Vec<Account>,
    places: BTreeMap<Key, u32>,
    free: Vec<u32>,
    /// How far those of vhosts that are gone were looked for.
    gathered_to: usize,
}

#[derive(Debug)]
struct Account {
    key: Key,
    queues: u64,
    ready: u64,
    unacked: u64,
    consumers: u64,
    counters: QueueCounters,
}

/// Where a queue's counts go; nowhere for queues of exchanges that keep messages, which are nobody's to see.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Booked(Option<NonZeroU32>);

impl Booked {
    fn at(place: u32) -> Booked {
        Booked(NonZeroU32::new(place.saturating_add(1)))
    }

    fn place(self) -> Option<usize> {
        self.0.map(|place| place.get() as usize - 1)
    }
}

fn strategy(settings: &QueueSettings) -> DeadLetterStrategy {
    match (&settings.dead_letter, settings.dead_letters_at_least_once) {
        (None, _) => DeadLetterStrategy::Disabled,
        (Some(_), false) => DeadLetterStrategy::AtMostOnce,
        (Some(_), true) => DeadLetterStrategy::AtLeastOnce,
    }
}

impl Accounts {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Accounts { list, places: _, free: _, gathered_to: _ } = self;
        // Those without queues stay: what was counted does, as long as there is the vhost.
        let in_use = list.iter().filter(|account| account.queues > 0).count();
        into.declared("shard: accounts of queues", &in_use);
    }

    /// Has a queue's counts added up from now on.
    pub(super) fn open(&mut self, vhost: &Name, settings: &QueueSettings) -> Booked {
        if settings.role != QueueRole::Clients {
            return Booked::default();
        }
        let is_quorum = settings.queue_type == QueueType::Quorum;
        let place = self.place((Some(vhost.clone()), is_quorum, strategy(settings)));
        self.list[place as usize].queues += 1;
        Booked::at(place)
    }

    /// Takes over what a queue has counted, and how much is in it now.
    #[inline]
    pub(super) fn book(&mut self, booked: Booked, change: Option<Change>) {
        let Some(Change { counted, before, now }) = change else { return };
        let Some(account) = booked.place().and_then(|place| self.list.get_mut(place)) else { return };
        account.counters += &counted;
        account.resize(before, now);
    }

    /// The queue goes: what it counted stays.
    pub(super) fn close(&mut self, booked: Booked, change: Option<Change>) {
        self.book(booked, change);
        if let Some(account) = booked.place().and_then(|place| self.list.get_mut(place)) {
            account.queues -= 1;
        }
    }

    /// The queue has other settings from now on.
    pub(super) fn change(
        &mut self,
        booked: &mut Booked,
        change: Option<Change>,
        vhost: &Name,
        settings: &QueueSettings,
    ) {
        self.book(*booked, change);
        let size = change.map_or(QueueSize::ZERO, |change| change.now);
        if let Some(account) = booked.place().and_then(|place| self.list.get_mut(place)) {
            account.resize(size, QueueSize::ZERO);
            account.queues -= 1;
        }
        *booked = self.open(vhost, settings);
        if let Some(account) = booked.place().and_then(|place| self.list.get_mut(place)) {
            account.resize(QueueSize::ZERO, size);
        }
    }

    /// What so many accounts say from a place on.
    pub(super) fn tell(&mut self, from: usize, most: usize, view: &ViewState, waits: &Waits) -> ShardTotals {
        if from == 0 {
            // Before anything is told: what was told of is not to move meanwhile.
            self.gather(most, view);
        }
        let to = self.list.len().min(from.saturating_add(most));
        let told = (from..to).filter(|&at| !self.is_free(at)).map(|at| self.list[at].told());
        ShardTotals { totals: told.collect(), waits: *waits, next: (to < self.list.len()).then_some(to) }
    }

    /// Makes those of vhosts that are gone one; looks at so many, and goes on there the next time.
    fn gather(&mut self, most: usize, view: &ViewState) {
        for _ in 0..most.min(self.list.len()) {
            self.gathered_to = (self.gathered_to + 1) % self.list.len();
            let at = self.gathered_to;
            let Account { key: (vhost, is_quorum, strategy), queues, counters, .. } = &self.list[at];
            let is_gone = vhost.as_ref().is_some_and(|vhost| view.vhost(vhost).is_none());
            if is_gone && *queues == 0 && !self.is_free(at) {
                let (key, counters) = ((None, *is_quorum, *strategy), *counters);
                self.places.remove(&self.list[at].key);
                self.free.push(u32::try_from(at).unwrap_or(u32::MAX));
                let place = self.place(key) as usize;
                self.list[place].counters += &counters;
            }
        }
    }

    fn is_free(&self, at: usize) -> bool {
        self.places.get(&self.list[at].key).is_none_or(|&place| place as usize != at)
    }

    fn place(&mut self, key: Key) -> u32 {
        if let Some(&place) = self.places.get(&key) {
            return place;
        }
        let counters = QueueCounters::default();
        let account = Account { key: key.clone(), queues: 0, ready: 0, unacked: 0, consumers: 0, counters };
        let place = match self.free.pop() {
            Some(place) => {
                self.list[place as usize] = account;
                place
            }
            None => {
                self.list.push(account);
                u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.places.insert(key, place);
        place
    }
}

impl Account {
    /// A queue has another size than before.
    fn resize(&mut self, before: QueueSize, now: QueueSize) {
        self.ready = self.ready.wrapping_add(now.ready).wrapping_sub(before.ready);
        self.unacked = self.unacked.wrapping_add(now.unacked).wrapping_sub(before.unacked);
        let (more, less) = (u64::from(now.consumers), u64::from(before.consumers));
        self.consumers = self.consumers.wrapping_add(more).wrapping_sub(less);
    }

    fn told(&self) -> QueueTotals {
        let Account { key: (vhost, is_quorum, strategy), queues, ready, unacked, consumers, counters } = self;
        QueueTotals {
            vhost: vhost.clone(),
            queue_type: if *is_quorum { QueueType::Quorum } else { QueueType::Classic },
            strategy: *strategy,
            queues: *queues,
            ready: *ready,
            unacked: *unacked,
            consumers: *consumers,
            counters: *counters,
        }
    }
}
