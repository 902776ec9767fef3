//! Routing results a connection remembers, by exchange and routing key. They hold for one generation of the view; what
//! depends on more than exchange and key is not kept here.

use smallvec::SmallVec;

use super::Map;
use crate::model::ids::{ExchangeId, QueueRef};

/// Most results remembered; one more and all are forgotten.
const MOST_ROUTES: usize = 4096;
/// Most exchanges remembered.
const MOST_EXCHANGES: usize = 256;

/// The queues of a publish.
pub(super) type Targets = SmallVec<[QueueRef; 2]>;

/// What is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Where the message goes.
    Route(Targets),
    /// Only that the connection may publish to the exchange.
    Exchange(ExchangeId),
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct RouteCache {
    generation: u64,
    exchanges: Map<Box<[u8]>, CachedExchange>,
    routes: usize,
}

#[derive(Debug)]
struct CachedExchange {
    id: ExchangeId,
    by_key: Map<Box<[u8]>, Targets>,
}

impl RouteCache {
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

    /// Exchange and key alone lead to these queues.
    pub(super) fn add_route(&mut self, generation: u64, exchange: &[u8], key: &[u8], targets: &Targets) {
        if generation != self.generation {
            return;
        }
        if self.routes >= MOST_ROUTES {
            for exchange in self.exchanges.values_mut() {
                exchange.by_key.clear();
            }
            self.routes = 0;
        }
        if let Some(exchange) = self.exchanges.get_mut(exchange) {
            exchange.by_key.insert(key.into(), targets.clone());
            self.routes += 1;
        }
    }

    fn clear(&mut self) {
        self.exchanges.clear();
        self.routes = 0;
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
        let mut cache = RouteCache::default();
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
    fn no_publisher_makes_it_grow_without_bound() {
        let mut cache = RouteCache::default();
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
}
