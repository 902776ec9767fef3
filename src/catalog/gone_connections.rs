//! What connections had counted that are gone: it stays, so that no total ever falls. And who is asked for a sum over all, so
//! that a connection is in it once, whether it answers or ends meanwhile.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use super::view::ViewState;
use crate::model::counters::{ChannelCounters, ExchangeCount, Sizes, Traffic};
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, Name};
use crate::model::maps::Map;
use crate::model::question::ConnectionTotals;

/// Exchanges whose counts are kept; of others nothing is known of connections that are gone.
const MOST_EXCHANGES: usize = 65_536;

/// What connections to a vhost have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VhostCounts {
    pub counters: ChannelCounters,
    pub traffic: Traffic,
    pub sizes: Sizes,
}

impl AddAssign<&ConnectionTotals> for VhostCounts {
    fn add_assign(&mut self, totals: &ConnectionTotals) {
        self.counters += &totals.counters;
        self.traffic += &totals.traffic;
        self.sizes += &totals.sizes;
    }
}

impl AddAssign<&VhostCounts> for VhostCounts {
    fn add_assign(&mut self, other: &VhostCounts) {
        self.counters += &other.counters;
        self.traffic += &other.traffic;
        self.sizes += &other.sizes;
    }
}

/// How often something has come and gone since the broker has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Churn {
    pub connections_opened: u64,
    pub connections_closed: u64,
    pub channels_opened: u64,
    pub channels_closed: u64,
    pub logins_succeeded: u64,
    pub logins_failed: u64,
}

/// By vhost and name.
pub type ExchangeCounts = BTreeMap<(Name, Name), ExchangeCount>;

#[derive(Debug, Default)]
pub(super) struct GoneConnections {
    vhosts: Map<Name, VhostCounts>,
    /// Of vhosts that are gone, too.
    others: VhostCounts,
    exchanges: ExchangeCounts,
    /// Those that have ended since a sum was begun.
    since: Option<Map<ConnectionId, ConnectionTotals>>,
}

/// Where a sum over all connections begins.
#[derive(Clone, Debug, Default)]
pub struct GoneCounts {
    pub vhosts: Map<Name, VhostCounts>,
    /// Of vhosts that are gone.
    pub others: VhostCounts,
    pub exchanges: ExchangeCounts,
}

impl GoneConnections {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        // What was counted stays, as long as there are the vhosts; it is bounded.
        let GoneConnections { vhosts: _, others: _, exchanges: _, since } = self;
        into.in_transit("clients: ended since a sum was begun", &since.as_ref().map_or(0, Map::len));
    }

    /// The connection has gone, one to this vhost.
    pub(super) fn add(&mut self, connection: ConnectionId, vhost: &Name, totals: ConnectionTotals) {
        *self.vhosts.entry(vhost.clone()).or_default() += &totals;
        for (exchange, count) in &totals.exchanges {
            let key = (vhost.clone(), exchange.clone());
            if self.exchanges.len() < MOST_EXCHANGES || self.exchanges.contains_key(&key) {
                *self.exchanges.entry(key).or_default() += count;
            }
        }
        if let Some(since) = &mut self.since {
            since.insert(connection, totals);
        }
    }

    /// Begins a sum. What is not declared any more is forgotten by name.
    pub(super) fn begin(&mut self, view: &ViewState) -> GoneCounts {
        let gone = self.vhosts.extract_if(|vhost, _| view.vhost(vhost).is_none());
        let gone: Vec<VhostCounts> = gone.map(|(_, counts)| counts).collect();
        gone.iter().for_each(|counts| self.others += counts);
        if self.exchanges.len() >= MOST_EXCHANGES {
            self.exchanges.retain(|(vhost, name), _| view.exchange(vhost, name).is_some());
        }
        self.since = Some(Map::default());
        let (vhosts, exchanges) = (self.vhosts.clone(), self.exchanges.clone());
        GoneCounts { vhosts, others: self.others, exchanges }
    }

    /// Those that have ended since the sum was begun.
    pub(super) fn end(&mut self) -> Map<ConnectionId, ConnectionTotals> {
        self.since.take().unwrap_or_default()
    }
}
