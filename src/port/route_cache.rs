//! Routing results a connection remembers, by exchange and routing key. They hold for one generation of the view, and as
//! long as nothing has changed on the way of the message ([`crate::catalog::view::route_changes`]); what depends on more than exchange and
//! key is not kept here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

use crate::catalog::view::route_changes::{RouteChanges, RouteDependencies, RouteVersion};
use crate::model::ids::{ExchangeId, QueueRef};
use crate::model::maps::Map;
use crate::model::sparse::ShrinkIfSparse;

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
/// The name of an exchange, or a routing key; most are short enough to lie beside the result. An empty one lies there as well: an
/// empty `Box` points to nowhere, and where memory is compared by masked loads (AVX-512) that takes as long as a fault would.
type CacheKey = SmallVec<[u8; 24]>;

/// What is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Where the message goes.
    Route(Targets),
    /// Only that the connection may publish to the exchange.
    Exchange(ExchangeId),
    Nothing,
}

/// What was found out, and up to when it may be taken as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) generation: u64,
    /// The last change before what was found was read.
    pub(super) since: RouteVersion,
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
    changes: RouteChanges,
    exchanges: Map<CacheKey, CachedExchange>,
    /// The weight of all routes.
    routes: usize,
    /// With this weight those that hold no more are sought out.
    swept_at: usize,
    of_all: RememberedRoutes,
}

#[derive(Debug)]
struct CachedExchange {
    id: ExchangeId,
    since: RouteVersion,
    by_key: Map<CacheKey, Route>,
}

#[derive(Debug)]
struct Route {
    /// Most are one queue.
    targets: SmallVec<[QueueRef; 1]>,
    since: RouteVersion,
    /// Where else than in its exchange it may change.
    dependencies: RouteDependencies,
}

impl Route {
    fn weight(&self) -> usize {
        1 + self.targets.len() / TARGETS_PER_ROUTE
    }
}

impl CachedExchange {
    fn weight(&self) -> usize {
        self.by_key.values().map(Route::weight).sum()
    }
}

impl RouteCache {
    /// How many routes it remembers.
    pub(super) fn len(&self) -> usize {
        self.routes
    }

    /// An empty one that shares a bound with others.
    pub(super) fn new(of_all: RememberedRoutes, changes: RouteChanges) -> RouteCache {
        let exchanges = Map::default();
        RouteCache { generation: 0, changes, exchanges, routes: 0, swept_at: LEAST_ROUTES, of_all }
    }

    /// What is known of exchange and key, if that is of this generation and still so.
    pub(super) fn find(&mut self, generation: u64, exchange: &[u8], key: &[u8]) -> Known {
        if self.generation != generation {
            self.clear();
            self.generation = generation;
        }
        let Some(known) = self.exchanges.get(exchange) else { return Known::Nothing };
        if !self.changes.is_same(known.id, known.since) {
            self.forget(exchange);
            return Known::Nothing;
        }
        match known.by_key.get(key) {
            Some(route) if self.changes.are_same(&route.dependencies, route.since) => {
                Known::Route(Targets::from_slice(&route.targets))
            }
            _ => Known::Exchange(known.id),
        }
    }

    /// The connection may publish to this exchange.
    pub(super) fn add_exchange(&mut self, found: Found, name: &[u8], id: ExchangeId) {
        if found.generation != self.generation {
            return;
        }
        if self.exchanges.len() >= MOST_EXCHANGES {
            self.clear();
        }
        self.forget(name);
        self.exchanges.insert(name.into(), CachedExchange { id, since: found.since, by_key: Map::default() });
    }

    /// Exchange and key alone lead to these queues, as long as nothing changes there and in these dependencies. Where these
    /// are very many, they are not remembered: a copy of them is as much work as to find them, and would be as much memory
    /// as many routes.
    pub(super) fn add_route(
        &mut self,
        found: Found,
        (exchange, key): (&[u8], &[u8]),
        targets: &Targets,
        dependencies: RouteDependencies,
    ) {
        if found.generation != self.generation || targets.len() > MOST_TARGETS {
            return;
        }
        self.make_room();
        if let Some(exchange) = self.exchanges.get_mut(exchange) {
            let route = Route { targets: SmallVec::from_slice(targets), since: found.since, dependencies };
            let weight = route.weight();
            let replaced = exchange.by_key.insert(key.into(), route);
            self.routes += weight;
            self.of_all.0.fetch_add(weight, Ordering::Relaxed);
            self.give_back(replaced.map_or(0, |route| route.weight()));
        }
    }

    /// Sees to it that there is room for one more. What holds no more is forgotten first: names that come and go would
    /// otherwise be remembered up to the bound.
    fn make_room(&mut self) {
        if self.routes >= self.swept_at || !self.has_room() {
            self.sweep();
            self.swept_at = (2 * self.routes).max(LEAST_ROUTES);
        }
        if !self.has_room() {
            for exchange in self.exchanges.values_mut() {
                exchange.by_key.clear();
            }
            self.give_back(self.routes);
        }
    }

    fn sweep(&mut self) {
        let changes = &self.changes;
        self.exchanges.retain(|_, exchange| changes.is_same(exchange.id, exchange.since));
        for exchange in self.exchanges.values_mut() {
            exchange.by_key.retain(|_, route| changes.are_same(&route.dependencies, route.since));
            exchange.by_key.shrink_if_sparse();
        }
        let left: usize = self.exchanges.values().map(CachedExchange::weight).sum();
        self.give_back(self.routes.saturating_sub(left));
    }

    fn has_room(&self) -> bool {
        let shared = || self.of_all.0.load(Ordering::Relaxed) < SHARED_ROUTES;
        self.routes < LEAST_ROUTES || self.routes < MOST_ROUTES && shared()
    }

    fn forget(&mut self, exchange: &[u8]) {
        if let Some(known) = self.exchanges.remove(exchange) {
            self.give_back(known.weight());
        }
    }

    fn give_back(&mut self, weight: usize) {
        self.routes -= weight;
        self.of_all.0.fetch_sub(weight, Ordering::Relaxed);
    }

    fn clear(&mut self) {
        self.exchanges.clear();
        self.give_back(self.routes);
    }
}

impl Drop for RouteCache {
    fn drop(&mut self) {
        self.give_back(self.routes);
    }
}

#[cfg(test)]
mod tests {
    use leveret_codec::table::FieldTable;

    use super::*;
    use crate::catalog::policies::Applying;
    use crate::catalog::view::{Exchange, ViewState};
    use crate::model::ids::{QueueId, ShardIndex};
    use crate::routing::{ExchangeKind, ExchangeRoutes};

    const FIRST: Found = Found { generation: 1, since: RouteVersion::NEVER };

    fn to(queue: u64) -> Targets {
        [QueueRef { queue: QueueId(queue), shard: ShardIndex::alone(0) }].into_iter().collect()
    }

    #[test]
    fn a_result_is_known_in_its_generation_only() {
        let mut cache = RouteCache::new(RememberedRoutes::default(), RouteChanges::default());
        assert_eq!(cache.find(1, b"x", b"k"), Known::Nothing);
        cache.add_exchange(FIRST, b"x", ExchangeId(5));
        assert_eq!(cache.find(1, b"x", b"k"), Known::Exchange(ExchangeId(5)));
        cache.add_route(FIRST, (b"x", b"k"), &to(3), RouteDependencies::default());
        assert_eq!(cache.find(1, b"x", b"k"), Known::Route(to(3)));
        assert_eq!(cache.find(1, b"x", b"l"), Known::Exchange(ExchangeId(5)));
        assert_eq!(cache.find(2, b"x", b"k"), Known::Nothing);
        cache.add_exchange(FIRST, b"x", ExchangeId(5));
        assert_eq!(cache.find(2, b"x", b"k"), Known::Nothing, "an answer of an older view came late");
    }

    #[test]
    fn what_leads_to_very_many_queues_is_not_remembered() {
        let mut cache = RouteCache::new(RememberedRoutes::default(), RouteChanges::default());
        cache.find(1, b"x", b"k");
        cache.add_exchange(FIRST, b"x", ExchangeId(5));
        let many: Targets = (0..=MOST_TARGETS as u64).flat_map(to).collect();
        cache.add_route(FIRST, (b"x", b"k"), &many[..MOST_TARGETS].into(), RouteDependencies::default());
        assert!(matches!(cache.find(1, b"x", b"k"), Known::Route(targets) if targets.len() == MOST_TARGETS));
        cache.add_route(FIRST, (b"x", b"l"), &many, RouteDependencies::default());
        assert_eq!(cache.find(1, b"x", b"l"), Known::Exchange(ExchangeId(5)));
    }

    #[test]
    fn no_publisher_makes_it_grow_without_bound() {
        let mut cache = RouteCache::new(RememberedRoutes::default(), RouteChanges::default());
        cache.find(1, b"", b"");
        for name in 0..2 * MOST_EXCHANGES {
            cache.add_exchange(FIRST, name.to_string().as_bytes(), ExchangeId(1));
        }
        assert!(cache.exchanges.len() <= MOST_EXCHANGES);
        cache.add_exchange(FIRST, b"x", ExchangeId(1));
        for key in 0..2 * MOST_ROUTES {
            cache.add_route(FIRST, (b"x", key.to_string().as_bytes()), &to(1), RouteDependencies::default());
        }
        assert!(cache.exchanges[&b"x"[..]].by_key.len() <= MOST_ROUTES);
    }

    #[test]
    fn results_of_many_queues_count_as_what_they_take() {
        let of_all = RememberedRoutes::default();
        of_all.0.store(SHARED_ROUTES, Ordering::Relaxed);
        let mut cache = RouteCache::new(of_all, RouteChanges::default());
        cache.find(1, b"", b"");
        cache.add_exchange(FIRST, b"x", ExchangeId(1));
        let many: Targets = (0..1000).flat_map(to).collect();
        for key in 0..100 {
            cache.add_route(FIRST, (b"x", key.to_string().as_bytes()), &many, RouteDependencies::default());
            let queues: usize =
                cache.exchanges[&b"x"[..]].by_key.values().map(|route| route.targets.len()).sum();
            assert!(queues <= LEAST_ROUTES * TARGETS_PER_ROUTE + many.len());
        }
    }

    #[test]
    fn all_connections_together_are_bounded_too() {
        let of_all = RememberedRoutes::default();
        of_all.0.store(SHARED_ROUTES, Ordering::Relaxed);
        let mut cache = RouteCache::new(of_all.clone(), RouteChanges::default());
        cache.find(1, b"", b"");
        cache.add_exchange(FIRST, b"x", ExchangeId(1));
        for key in 0..3 * LEAST_ROUTES {
            cache.add_route(FIRST, (b"x", key.to_string().as_bytes()), &to(1), RouteDependencies::default());
            assert!(cache.exchanges[&b"x"[..]].by_key.len() <= LEAST_ROUTES);
        }
        assert_eq!(of_all.0.load(Ordering::Relaxed), SHARED_ROUTES + cache.routes);
        drop(cache);
        assert_eq!(of_all.0.load(Ordering::Relaxed), SHARED_ROUTES);
    }

    #[test]
    fn what_holds_no_more_is_forgotten_before_it_becomes_much() {
        let changes = RouteChanges::default();
        let mut cache = RouteCache::new(RememberedRoutes::default(), changes.clone());
        let (exchange, mut state) = (ExchangeId(5), ViewState::default());
        state.add_vhost("/".into());
        state.add_exchange(Exchange {
            id: exchange,
            vhost: "/".into(),
            name: "x".into(),
            durable: true,
            auto_delete: false,
            internal: false,
            alternate: None,
            policies: Applying::default(),
            arguments: FieldTable::default(),
            routes: ExchangeRoutes::new(ExchangeKind::Direct, &FieldTable::default()),
        });
        cache.find(1, b"x", b"");
        cache.add_exchange(FIRST, b"x", exchange);
        let add = |cache: &mut RouteCache, key: &str| {
            let found = Found { generation: 1, since: changes.now() };
            let dependencies = changes.dependencies(&state, &[exchange], key.as_bytes());
            cache.add_route(found, (b"x", key.as_bytes()), &to(1), dependencies);
        };
        add(&mut cache, "stays");
        for name in 0..20 * LEAST_ROUTES {
            let name = format!("reply.{name}");
            add(&mut cache, &name);
            changes.rebound(state.exchange_by_id(exchange).unwrap(), &name);
            assert_eq!(cache.find(1, b"x", name.as_bytes()), Known::Exchange(exchange));
            assert!(cache.len() <= LEAST_ROUTES, "{}", cache.len());
        }
        assert_eq!(cache.len(), cache.exchanges[&b"x"[..]].weight());
        assert_eq!(cache.len(), cache.of_all.len());
    }
}
