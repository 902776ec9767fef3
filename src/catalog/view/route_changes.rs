//! When the ways of messages last changed, and where: what lets a connection keep a route that it remembers although
//! something else was declared meanwhile. Only what exchanges, bindings and queues lead to is counted here; what
//! administrators change is counted by the generation of the view.
//!
//! Changes are counted per exchange, and in direct exchanges per routing key, for nothing else decides there: a queue
//! that is made concerns only who publishes to its name. The counters are a table of fixed size, in which exchanges and
//! keys of the same number share one: whoever shares it looks the route up once too often, no more.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::{Exchange, ViewState};
use crate::model::ids::ExchangeId;
use crate::routing::{ExchangeKind, Exchanges, MOST_PASSED};

/// Counters of exchanges, and behind them as many of routing keys: 64 KB for the whole broker.
const EXCHANGES: u16 = 4096;
const KEYS: u16 = 4096;
/// The last one counts every change.
const ANYWHERE: RouteCounter = RouteCounter(EXCHANGES + KEYS);

/// The number of a change, in the order of changes: what a route is known to be true up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RouteVersion(u64);

#[cfg(test)]
impl RouteVersion {
    /// Before the first change.
    pub(crate) const NEVER: RouteVersion = RouteVersion(0);
}

/// The counter of an exchange, or of a routing key of a direct one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteCounter(u16);

/// The counters besides its exchange that a route depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteDependencies {
    counters: [RouteCounter; 3],
    len: u8,
}

/// When what changed last. The catalog writes, under the lock of the view; all others read, with or without it.
#[derive(Clone, Debug)]
pub(crate) struct RouteChanges {
    last: Arc<[AtomicU64]>,
    hasher: RandomState,
}

impl Default for RouteChanges {
    fn default() -> RouteChanges {
        let last = (0..=ANYWHERE.0).map(|_| AtomicU64::new(0)).collect();
        RouteChanges { last, hasher: RandomState::default() }
    }
}

impl RouteChanges {
    /// The number of the last change. Whoever reads the view after asking knows what was before and perhaps more.
    pub(crate) fn now(&self) -> RouteVersion {
        self.last(ANYWHERE)
    }

    /// Whether an exchange is what it was, with its bindings and where it passes on what nothing matches. The bindings
    /// of a direct exchange are not among them.
    pub(crate) fn is_same(&self, exchange: ExchangeId, since: RouteVersion) -> bool {
        self.last(of_exchange(exchange)) <= since
    }

    /// Whether none of these counters has changed.
    pub(crate) fn are_same(&self, counters: &RouteDependencies, since: RouteVersion) -> bool {
        counters.as_slice().iter().all(|&counter| self.last(counter) <= since)
    }

    /// An exchange is gone, or something of it other than a binding has changed.
    pub(crate) fn changed(&self, exchange: ExchangeId) {
        self.set(of_exchange(exchange));
    }

    /// An exchange has a binding of this routing key more, or less.
    pub(crate) fn rebound(&self, exchange: &Exchange, key: &str) {
        self.set(match exchange.kind() {
            ExchangeKind::Direct => self.of_key(exchange.id, key.as_bytes()),
            _ => of_exchange(exchange.id),
        });
    }

    /// There is an exchange that was not there: what named it without effect leads to it now.
    pub(crate) fn appeared(&self) {
        self.set(ANYWHERE);
    }

    /// Where else the way of a message may change that was published to the first of these exchanges with this key and
    /// passed all of them. With more than [`MOST_PASSED`] of them it may change anywhere.
    pub(crate) fn dependencies(
        &self,
        state: &ViewState,
        passed: &[ExchangeId],
        key: &[u8],
    ) -> RouteDependencies {
        if passed.len() > MOST_PASSED {
            return RouteDependencies::ANYWHERE;
        }
        let mut counters: SmallVec<[RouteCounter; 2 * MOST_PASSED]> = SmallVec::new();
        for (n, &id) in passed.iter().enumerate() {
            // The first one is looked at by itself.
            counters.extend((n > 0).then(|| of_exchange(id)));
            let Some(exchange) = state.exchange_by_id(id) else { return RouteDependencies::ANYWHERE };
            if exchange.kind() == ExchangeKind::Direct {
                counters.push(self.of_key(id, key));
            }
            if exchange.alternate.is_some() && state.alternate(id).is_none() {
                // It may be declared at any time.
                return RouteDependencies::ANYWHERE;
            }
        }
        RouteDependencies::of(&counters)
    }

    fn last(&self, counter: RouteCounter) -> RouteVersion {
        // They are all in the table.
        RouteVersion(
            self.last.get(usize::from(counter.0)).map_or(u64::MAX, |last| last.load(Ordering::Acquire)),
        )
    }

    fn set(&self, counter: RouteCounter) {
        let now = self.now().0 + 1;
        for counter in [counter, ANYWHERE] {
            if let Some(last) = self.last.get(usize::from(counter.0)) {
                last.store(now, Ordering::Release);
            }
        }
    }

    fn of_key(&self, exchange: ExchangeId, key: &[u8]) -> RouteCounter {
        RouteCounter(EXCHANGES + folded(self.hasher.hash_one((exchange.0, key)), KEYS))
    }
}

impl RouteDependencies {
    const ANYWHERE: RouteDependencies = RouteDependencies { counters: [ANYWHERE; 3], len: 1 };

    /// These, or anywhere where they are too many.
    fn of(counters: &[RouteCounter]) -> RouteDependencies {
        let mut these = RouteDependencies::default();
        match (these.counters.get_mut(..counters.len()), u8::try_from(counters.len())) {
            (Some(part), Ok(len)) => {
                part.copy_from_slice(counters);
                RouteDependencies { len, ..these }
            }
            _ => RouteDependencies::ANYWHERE,
        }
    }

    fn as_slice(&self) -> &[RouteCounter] {
        self.counters.get(..usize::from(self.len)).unwrap_or_default()
    }
}

fn of_exchange(exchange: ExchangeId) -> RouteCounter {
    RouteCounter(folded(exchange.0, EXCHANGES))
}

fn folded(number: u64, counters: u16) -> u16 {
    u16::try_from(number % u64::from(counters)).unwrap_or(0)
}
