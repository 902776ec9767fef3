//! The walk over exchanges (semantics.md 5.8): from the exchange of a publish through bindings between exchanges and
//! alternate exchanges to the queues. Every exchange is visited once, so cycles end; every queue is found once.

use std::collections::BTreeSet;

use leveret_codec::properties::Properties;
use smallvec::SmallVec;

use crate::model::ids::{ExchangeId, QueueRef};

use super::{Destination, ExchangeRoutes};

/// How far `into` may outgrow the distinct queues in it before it is thinned out.
const SLACK: usize = 1024;

/// The exchanges as the catalog knows them. One that does not exist is passed over.
pub trait Exchanges {
    fn routes(&self, id: ExchangeId) -> Option<&ExchangeRoutes>;

    /// Where a message goes that this exchange has no binding for.
    fn alternate(&self, id: ExchangeId) -> Option<ExchangeId>;
}

/// Adds to `into` every queue a message reaches that is published to `start`; `into` is ordered afterwards and has
/// each queue once. `keys` are the routing key and those of CC and BCC (5.24): an exchange matches where it matches
/// one of them. Returns whether the keys alone decided: only then may the result be remembered by them.
pub fn route(
    exchanges: &impl Exchanges,
    start: ExchangeId,
    keys: &[&[u8]],
    properties: Properties<'_>,
    into: &mut SmallVec<[QueueRef; 2]>,
) -> bool {
    let keys = distinct(keys);
    let mut queues = Queues { thinned: into.len(), into };
    let mut by_keys_alone = true;
    let mut pending: SmallVec<[ExchangeId; 4]> = SmallVec::from_slice(&[start]);
    // Holds all visited exchanges but the first, so that the usual walk of one allocates nothing.
    let mut seen = BTreeSet::new();
    while let Some(id) = pending.pop() {
        let Some(routes) = exchanges.routes(id) else { continue };
        by_keys_alone &= !routes.depends_on_headers();
        let mut matched = false;
        let mut visit = |next: ExchangeId| {
            if next != start && seen.insert(next) {
                pending.push(next);
            }
        };
        let keys = if routes.depends_on_routing_key() { &keys[..] } else { &keys[..keys.len().min(1)] };
        for key in keys {
            routes.matches(key, properties, &mut |destination| {
                matched = true;
                match destination {
                    Destination::Queue(queue) => queues.into.push(queue),
                    Destination::Exchange(exchange) => visit(exchange),
                }
            });
            queues.thin_out_beyond(SLACK);
        }
        if !matched && let Some(alternate) = exchanges.alternate(id) {
            visit(alternate);
        }
    }
    queues.thin_out_beyond(0);
    by_keys_alone
}

/// The keys without repetitions: a client that names one key a thousand times in CC is not to cost a thousand walks.
fn distinct<'a>(keys: &[&'a [u8]]) -> SmallVec<[&'a [u8]; 2]> {
    let mut keys: SmallVec<[&[u8]; 2]> = SmallVec::from_slice(keys);
    if keys.len() > 1 {
        keys.sort_unstable();
        keys.dedup();
    }
    keys
}

/// The queues found, kept from growing far beyond the distinct ones.
struct Queues<'a> {
    into: &'a mut SmallVec<[QueueRef; 2]>,
    /// How many there were when they were last known to be distinct.
    thinned: usize,
}

impl Queues<'_> {
    fn thin_out_beyond(&mut self, slack: usize) {
        if self.into.len() > 1 && (slack == 0 || self.into.len() > 2 * self.thinned + slack) {
            self.into.sort_unstable();
            self.into.dedup();
            self.thinned = self.into.len();
        }
    }
}
