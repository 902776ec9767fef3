//! Routing results a connection remembers, by exchange and routing key. They hold for one generation of the view; what
//! depends on more than exchange and key is not kept here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

use super::Map;
use crate::model::ids::{ExchangeId, QueueRef};

/// Results that every connection may remember, and the most that one may while not too many are remembered by all. One
/// more, and it forgets all of them. A result takes about 100 bytes.
const LEAST_ROUTES: usize = 512;
const MOST_ROUTES: usize = 64 * 1024;
/// Results that all connections together may remember beyond what each may.
const SHARED_ROUTES: usize = 512 * 1024;
/// A result counts once more for every so many queues.
const TARGETS_PER_ROUTE: usize = 8;
/// A result of more queues is not remembered.
const MOST_TARGETS: usize = 4096;
/// Most exchanges remembered.
const MOST_EXCHANGES: usize = 256;

/// The queues of a publish.
pub(super) type Targets = SmallVec<[QueueRef; 2]>;
/// A routing key; most are short enough to lie beside the result.
type RouteKey = SmallVec<[u8; 24]>;

/// What is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Where the message goes.
    Route(Targets),
    /// Only that the connection may publish to the exchange.
    Exchange(ExchangeId),
    Nothing,
}

/// How many results all connections remember.
#[derive(Clone, Debug, Default)]
pub(super) struct RememberedRoutes(Arc<AtomicUsize>);

impl RememberedRoutes {
    pub(super) fn len(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct RouteCache {
    generation: u64,
    exchanges: Map<Box<[u8]>, CachedExchange>,
    routes: usize,
    of_all: RememberedRoutes,
}

#[derive(Debug)]
struct CachedExchange {
    id: ExchangeId,
    by_key: Map<RouteKey, Targets>,
}

impl RouteCache {
    /// How many routes it remembers.
    pub(super) fn len(&self) -> usize {
        self.routes
    }

    /// An empty one that shares a bound with others.
    pub(super) fn new(of_all: RememberedRoutes) -> RouteCache {
        RouteCache { generation: 0, exchanges: Map::default(), routes: 0, of_all }
    }

    /// What is known of exchange and key, if that is of this generation.
    pub(super) fn find(&mut self, generation: u64, exchange: &[u8], key: &[u8]) -> Known {
        if self.generation != generation {
            self.clear();
            self.generation = generation;
        }
        let Some(exchange) = self.exchanges.get(exchange) else { return Known::Nothing };
        exchange.by_key.get(key).map_or(Known::Exchange(exchange.id), |targets| Known::Route(targets.clone()))
    }

    /// The connection may publish to this exchange.
    pub(super) fn add_exchange(&mut self, generation: u64, name: &[u8], id: ExchangeId) {
        if generation != self.generation {
            return;
        }
        if self.exchanges.len() >= MOST_EXCHANGES {
            self.clear();
        }
        self.exchanges.insert(name.into(), CachedExchange { id, by_key: Map::default() });
    }

    /// Exchange and key alone lead to these queues. Where these are very many, they are not remembered: a copy of them is as
    /// much work as to find them, and would be as much memory as many routes.
    pub(super) fn add_route(&mut self, generation: u64, exchange: &[u8], key: &[u8], targets: &Targets) {
        if generation != self.generation || targets.len() > MOST_TARGETS {
            return;
        }
        if !self.has_room() {
            for exchange in self.exchanges.values_mut() {
                exchange.by_key.clear();
            }
            self.give_back();
        }
        if let Some(exchange) = self.exchanges.get_mut(exchange) {
            exchange.by_key.insert(key.into(), targets.clone());
            let weight = 1 + targets.len() / TARGETS_PER_ROUTE;
            self.routes += weight;
            self.of_all.0.fetch_add(weight, Ordering::Relaxed);
        }
    }

    fn has_room(&self) -> bool {
        let shared = || self.of_all.0.load(Ordering::Relaxed) < SHARED_ROUTES;
        self.routes < LEAST_ROUTES || self.routes < MOST_ROUTES && shared()
    }

    fn give_back(&mut self) {
        self.of_all.0.fetch_sub(std::mem::take(&mut self.routes), Ordering::Relaxed);
    }

    fn clear(&mut self) {
        self.exchanges.clear();
        self.give_back();
    }
}

impl Drop for RouteCache {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{QueueId, ShardIndex};

    fn to(queue: u64) -> Targets {
        [QueueRef { queue: QueueId(queue), shard: ShardIndex(0) }].into_iter().collect()
    }

    #[test]
    fn a_result_is_known_in_its_generation_only() {
        let mut cache = RouteCache::new(RememberedRoutes::default());
        assert_eq!(cache.find(1, b"x", b"k"), Known::Nothing);
        cache.add_exchange(1, b"x", ExchangeId(5));
        assert_eq!(cache.find(1, b"x", b"k"), Known::Exchange(ExchangeId(5)));
        cache.add_route(1, b"x", b"k", &to(3));
        assert_eq!(cache.find(1, b"x", b"k"), Known::Route(to(3)));
        assert_eq!(cache.find(1, b"x", b"l"), Known::Exchange(ExchangeId(5)));
        assert_eq!(cache.find(2, b"x", b"k"), Known::Nothing);
        cache.add_exchange(1, b"x", ExchangeId(5));
        assert_eq!(cache.find(2, b"x", b"k"), Known::Nothing, "an answer of an older view came late");
    }

    #[test]
    fn what_leads_to_very_many_queues_is_not_remembered() {
        let mut cache = RouteCache::new(RememberedRoutes::default());
        cache.find(1, b"x", b"k");
        cache.add_exchange(1, b"x", ExchangeId(5));
        let many: Targets = (0..=MOST_TARGETS as u64).flat_map(to).collect();
        cache.add_route(1, b"x", b"k", &many[..MOST_TARGETS].into());
        assert!(matches!(cache.find(1, b"x", b"k"), Known::Route(targets) if targets.len() == MOST_TARGETS));
        cache.add_route(1, b"x", b"l", &many);
        assert_eq!(cache.find(1, b"x", b"l"), Known::Exchange(ExchangeId(5)));
    }

    #[test]
    fn no_publisher_makes_it_grow_without_bound() {
        let mut cache = RouteCache::new(RememberedRoutes::default());
        cache.find(1, b"", b"");
        for name in 0..2 * MOST_EXCHANGES {
            cache.add_exchange(1, name.to_string().as_bytes(), ExchangeId(1));
        }
        assert!(cache.exchanges.len() <= MOST_EXCHANGES);
        cache.add_exchange(1, b"x", ExchangeId(1));
        for key in 0..2 * MOST_ROUTES {
            cache.add_route(1, b"x", key.to_string().as_bytes(), &to(1));
        }
        assert!(cache.exchanges[&b"x"[..]].by_key.len() <= MOST_ROUTES);
    }

    #[test]
    fn results_of_many_queues_count_as_what_they_take() {
        let of_all = RememberedRoutes::default();
        of_all.0.store(SHARED_ROUTES, Ordering::Relaxed);
        let mut cache = RouteCache::new(of_all);
        cache.find(1, b"", b"");
        cache.add_exchange(1, b"x", ExchangeId(1));
        let many: Targets = (0..1000).flat_map(to).collect();
        for key in 0..100 {
            cache.add_route(1, b"x", key.to_string().as_bytes(), &many);
            let queues: usize = cache.exchanges[&b"x"[..]].by_key.values().map(SmallVec::len).sum();
            assert!(queues <= LEAST_ROUTES * TARGETS_PER_ROUTE + many.len());
        }
    }

    #[test]
    fn all_connections_together_are_bounded_too() {
        let of_all = RememberedRoutes::default();
        of_all.0.store(SHARED_ROUTES, Ordering::Relaxed);
        let mut cache = RouteCache::new(of_all.clone());
        cache.find(1, b"", b"");
        cache.add_exchange(1, b"x", ExchangeId(1));
        for key in 0..3 * LEAST_ROUTES {
            cache.add_route(1, b"x", key.to_string().as_bytes(), &to(1));
            assert!(cache.exchanges[&b"x"[..]].by_key.len() <= LEAST_ROUTES);
        }
        assert_eq!(of_all.0.load(Ordering::Relaxed), SHARED_ROUTES + cache.routes);
        drop(cache);
        assert_eq!(of_all.0.load(Ordering::Relaxed), SHARED_ROUTES);
    }
}
