//! The walk over exchanges (semantics 5.8): from the exchange of a publish through bindings between exchanges and
//! alternate exchanges to the queues. Every exchange is visited once, so cycles end; every queue is found once.

use std::collections::BTreeSet;

use leveret_codec::properties::Properties;
use smallvec::SmallVec;

use crate::model::delay::asked;
use crate::model::fault::Fault;
use crate::model::ids::{Destination, ExchangeId, QueueRef};

use super::hash::mix;
use super::recent_history::is_remembered;
use super::{Effort, ExchangeKind, ExchangeRoutes, Keys};

/// How far `into` may outgrow the distinct queues in it before it is thinned out.
const SLACK: usize = 1024;
/// How many exchanges a walk reports as passed: who remembers its result looks at each of them again.
pub const MOST_PASSED: usize = 3;

/// The exchanges as the catalog knows them. One that does not exist is passed over.
pub trait Exchanges {
    fn routes(&self, id: ExchangeId) -> Option<&ExchangeRoutes>;

    /// Where a message goes that this exchange has no binding for.
    fn alternate(&self, id: ExchangeId) -> Option<ExchangeId>;
}

/// What a message is routed by.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The routing key and those of CC and BCC (semantics 5.24).
    pub keys: &'a [&'a [u8]],
    pub properties: Properties<'a>,
    /// A random number, for the types that leave the choice to chance.
    pub draw: u64,
}

/// What the walk met besides queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// The keys alone decided: the result may be remembered by them.
    pub by_keys_alone: bool,
    /// The exchanges that had a say, the first one first. One more than [`MOST_PASSED`] stands for any number.
    pub passed: SmallVec<[ExchangeId; MOST_PASSED + 1]>,
    /// Those who remember the message for later bindings; that is no delivery.
    pub histories: SmallVec<[QueueRef; 1]>,
    /// The search was given up: there may be more queues than were found (see [`super::MOST_EFFORT`]).
    pub is_cut_short: bool,
    /// What the search took, in steps (see [`super::MOST_EFFORT`]).
    pub effort: usize,
    /// Why an exchange that delays messages cannot delay this one, which it has passed on at once: who publishes is told
    /// so instead (406).
    pub refusal: Option<Fault>,
}

/// Adds to `into` every queue a message reaches that is published to `start`; `into` is ordered afterwards and has
/// each queue once. An exchange matches where it matches one of the keys. One that delays the message has it wait in
/// its internal queue, and matches then.
pub fn route(
    exchanges: &impl Exchanges,
    start: ExchangeId,
    envelope: Envelope<'_>,
    into: &mut SmallVec<[QueueRef; 2]>,
) -> Walked {
    let Envelope { keys, properties, draw } = envelope;
    let distinct = distinct(keys);
    let mut queues = Queues { thinned: into.len(), into };
    let mut walked = Walked {
        by_keys_alone: true,
        passed: SmallVec::new(),
        histories: SmallVec::new(),
        is_cut_short: false,
        effort: 0,
        refusal: None,
    };
    let mut effort = Effort::default();
    let mut pending: SmallVec<[ExchangeId; 4]> = SmallVec::from_slice(&[start]);
    // Holds all visited exchanges but the first, so that the usual walk of one allocates nothing.
    let mut seen = BTreeSet::new();
    while !effort.is_too_much()
        && let Some(id) = pending.pop()
    {
        let Some(routes) = exchanges.routes(id) else { continue };
        walked.by_keys_alone &= routes.decides_by_keys_alone();
        if walked.passed.len() <= MOST_PASSED {
            walked.passed.push(id);
        }
        if let Some(queue) = routes.internal_queue() {
            match routes.kind() {
                ExchangeKind::DelayedMessage => match asked(properties) {
                    Ok(Some(_)) => {
                        queues.into.push(queue);
                        continue;
                    }
                    Ok(None) => {}
                    Err(refusal) => walked.refusal = Some(refusal),
                },
                ExchangeKind::RecentHistory if is_remembered(properties) => walked.histories.push(queue),
                _ => {}
            }
        }
        if routes.kind() == ExchangeKind::Fanout && routes.len() > SLACK {
            // Where there are very many, to have the list grow costs more than to find them.
            queues.into.reserve_exact(routes.len());
        }
        let mut matched = false;
        let mut visit = |next: ExchangeId| {
            if next != start && seen.insert(next) {
                pending.push(next);
            }
        };
        let keys = match routes.keys() {
            Keys::All => &distinct[..],
            Keys::First | Keys::None => &keys[..keys.len().min(1)],
        };
        for key in keys {
            routes.matches(key, properties, mix(draw ^ id.0), &mut effort, &mut |destination| {
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
    walked.is_cut_short = effort.is_too_much();
    walked.effort = effort.spent();
    walked
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
