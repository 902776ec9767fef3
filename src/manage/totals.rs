//! What the whole broker has counted, by vhost and in all, and samples of it: made every 5 s while somebody asks, and of
//! connections every minute while nobody does, for each of them has to be asked. One sum is made at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::samples::{APART, REMEMBERED, Rates, Series, Thing, Things};
use super::stats;
use crate::catalog::gone_connections::{ExchangeCounts, VhostCounts};
use crate::model::administration::AdministrationError;
use crate::model::counters::{QueueCounters, Waits};
use crate::model::ids::{Name, QueueRef, Timestamp};
use crate::model::question::{
    ConnectionAnswer, ConnectionCounts, ConnectionQuestion, DeadLetterStrategy, MOST_ASKED, QueueTotals,
};
use crate::model::settings::QueueType;
use crate::server::Administrator;

/// While nobody asks, connections are asked in one round of so many.
const SELDOM: u64 = 12;

/// Of a vhost, or of the node.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) connections: VhostCounts,
    pub(super) queues: QueueCounters,
    pub(super) ready: u64,
    pub(super) unacked: u64,
    pub(super) consumers: u64,
}

impl Totals {
    fn add_queues(&mut self, told: &QueueTotals) {
        self.queues += &told.counters;
        self.ready += told.ready;
        self.unacked += told.unacked;
        self.consumers += told.consumers;
    }

    /// Lengths, traffic, and what channels have counted, in this order.
    pub(super) fn values(&self) -> Vec<u64> {
        let mut values = vec![self.ready + self.unacked, self.ready, self.unacked];
        values.extend(stats::traffic(&self.connections.traffic));
        values.extend(stats::of_channel(&self.connections.counters));
        values
    }
}

/// Where lengths, traffic and what channels have counted begin in [`Totals::values`].
pub(super) const TRAFFIC_AT: usize = 3;
pub(super) const CHANNELS_AT: usize = 5;

/// One sum over all owners.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    pub(super) at: Timestamp,
    /// When connections were asked.
    asked: Timestamp,
    pub(super) node: Totals,
    pub(super) vhosts: BTreeMap<Name, Totals>,
    pub(super) exchanges: ExchangeCounts,
    /// Of queues of a type that treat their dead letters alike.
    pub(super) kinds: BTreeMap<(&'static str, DeadLetterStrategy), QueueCounters>,
    /// Channels that publish, and consumers, those of direct replies included; connections that are blocked.
    pub(super) publishers: u64,
    pub(super) channel_consumers: u64,
    pub(super) blocked: u64,
    /// How long messages have waited for their first delivery, by shard.
    pub(super) waits: Vec<Waits>,
}

#[derive(Default)]
struct State {
    /// When somebody asked last.
    asked: Timestamp,
    sum: Arc<Sum>,
    node: Series,
    vhosts: BTreeMap<Name, Series>,
    /// What of the node is counted elsewhere: opened, closed and so on.
    churn: Series,
    disk: Series,
    values: Series,
    things: Things,
}

/// What was sampled.
#[derive(Default)]
pub(super) struct Samples {
    state: Mutex<State>,
    /// Held by whoever makes a sum.
    summing: tokio::sync::Mutex<()>,
}

impl Samples {
    /// The newest sum, and how the values of the node change; made now where it is old.
    pub(super) async fn node(
        &self,
        administrator: &Administrator,
    ) -> Result<(Arc<Sum>, Option<Rates>), AdministrationError> {
        let sum = self.sum(administrator).await?;
        let rates = self.state.lock().node.rates(sum.at, &sum.node.values());
        Ok((sum, rates))
    }

    /// How these values of the node change, which are sampled when somebody asks.
    pub(super) fn churn(&self, now: Timestamp, values: &[u64]) -> Option<Rates> {
        let mut state = self.state.lock();
        let rates = state.churn.rates(now, values);
        state.churn.add_to_row(now, values);
        rates
    }

    /// The same of what the store has read and written, and of all values of the node's own description.
    pub(super) fn disk(&self, now: Timestamp, values: &[u64]) -> Option<Rates> {
        let mut state = self.state.lock();
        let rates = state.disk.rates(now, values);
        state.disk.add_to_row(now, values);
        rates
    }

    pub(super) fn node_values(&self, now: Timestamp, values: &[u64]) -> Option<Rates> {
        let mut state = self.state.lock();
        let rates = state.values.rates(now, values);
        state.values.add_to_row(now, values);
        rates
    }

    /// What a vhost has counted, by the newest sum, and how that changes.
    pub(super) fn vhost(&self, vhost: &str) -> (Totals, Option<Rates>) {
        let state = self.state.lock();
        let totals = state.sum.vhosts.get(vhost).cloned().unwrap_or_default();
        let series = state.vhosts.get(vhost);
        let rates = series.and_then(|series| series.rates(state.sum.at, &totals.values()));
        (totals, rates)
    }

    /// Somebody asks about a thing, whose counters are this.
    pub(super) fn thing(
        &self,
        now: Timestamp,
        thing: Thing,
        values: &[u64],
        wants_row: bool,
    ) -> Option<Rates> {
        self.state.lock().things.look(now, thing, values, wants_row)
    }

    /// The newest sum; made now where it is old, for somebody asks.
    pub(super) async fn sum(&self, administrator: &Administrator) -> Result<Arc<Sum>, AdministrationError> {
        let now = administrator.facts().now();
        let is_new = |state: &State| state.sum.asked.0 + APART + APART / 5 > now.0;
        {
            let mut state = self.state.lock();
            state.asked = now;
            if is_new(&state) {
                return Ok(Arc::clone(&state.sum));
            }
        }
        let summing = self.summing.lock().await;
        let waited = Some(&self.state.lock().sum).filter(|sum| sum.asked >= now).map(Arc::clone);
        let sum = match waited {
            Some(sum) => sum,
            None => self.add(make(administrator, None).await?),
        };
        drop(summing);
        Ok(sum)
    }

    fn add(&self, sum: Sum) -> Arc<Sum> {
        let mut state = self.state.lock();
        let sum = Arc::new(sum);
        state.node.add_to_row(sum.at, &sum.node.values());
        state.vhosts.retain(|vhost, _| sum.vhosts.contains_key(vhost));
        for (vhost, totals) in &sum.vhosts {
            state.vhosts.entry(vhost.clone()).or_default().add_to_row(sum.at, &totals.values());
        }
        state.sum = Arc::clone(&sum);
        sum
    }

    /// Samples until the token is cancelled.
    pub(super) async fn keep(&self, administrator: &Administrator, stop: &CancellationToken) {
        let mut ticks = interval(Duration::from_millis(APART));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 0.. {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            // Where it fails the broker stops.
            let _ = self.tick(administrator, round).await;
        }
    }

    async fn tick(&self, administrator: &Administrator, round: u64) -> Result<(), AdministrationError> {
        let now = administrator.facts().now();
        let (is_asked, before, queues) = {
            let mut state = self.state.lock();
            state.things.forget(now);
            let is_asked = now.0.saturating_sub(state.asked.0) <= REMEMBERED;
            (is_asked, Arc::clone(&state.sum), state.things.queues_with_row())
        };
        let summing = self.summing.lock().await;
        let known = Some(&*before).filter(|_| !is_asked && !round.is_multiple_of(SELDOM));
        self.add(make(administrator, known).await?);
        drop(summing);
        self.sample_queues(administrator, queues).await
    }

    async fn sample_queues(
        &self,
        administrator: &Administrator,
        queues: Vec<QueueRef>,
    ) -> Result<(), AdministrationError> {
        let counts = administrator.counts(&queues).await?;
        let mut state = self.state.lock();
        for (at, counts) in queues.into_iter().zip(counts) {
            let Some(counts) = counts else { continue };
            let lengths = [counts.ready + counts.unacked, counts.ready, counts.unacked];
            let values = stats::of_queue(lengths, &counts.counters);
            state.things.add(administrator.facts().now(), Thing::Queue(at), &values);
        }
        Ok(())
    }
}

/// Asks everybody. `before`: what connections are taken to say still, where they are not to be asked.
async fn make(administrator: &Administrator, before: Option<&Sum>) -> Result<Sum, AdministrationError> {
    let mut sum = Sum::default();
    match before {
        Some(before) => sum.take_over_connections(before),
        None => sum.add_connections(administrator).await?,
    }
    let (told, waits) = administrator.queue_totals().await?;
    sum.waits = waits;
    for told in told {
        let queue_type = if told.queue_type == QueueType::Quorum { QUORUM } else { CLASSIC };
        *sum.kinds.entry((queue_type, told.strategy)).or_default() += &told.counters;
        sum.node.add_queues(&told);
        if let Some(vhost) = &told.vhost {
            sum.vhosts.entry(vhost.clone()).or_default().add_queues(&told);
        }
    }
    {
        let view = administrator.view().read();
        sum.vhosts.retain(|vhost, _| view.vhost(vhost).is_some());
    }
    sum.at = administrator.facts().now();
    Ok(sum)
}

/// Types of queues as RabbitMQ's metrics call them.
pub(super) const CLASSIC: &str = "rabbit_classic_queue";
pub(super) const QUORUM: &str = "rabbit_quorum_queue";

impl Sum {
    fn take_over_connections(&mut self, before: &Sum) {
        self.asked = before.asked;
        self.node.connections = before.node.connections;
        for (vhost, totals) in &before.vhosts {
            self.vhosts.entry(vhost.clone()).or_default().connections = totals.connections;
        }
        self.exchanges = before.exchanges.clone();
        (self.publishers, self.channel_consumers) = (before.publishers, before.channel_consumers);
        self.blocked = before.blocked;
    }

    /// Every connection is in the sum once: by what it answers, by what it had counted when it ended meanwhile, or among those
    /// that were gone before.
    async fn add_connections(&mut self, administrator: &Administrator) -> Result<(), AdministrationError> {
        self.asked = administrator.facts().now();
        let clients = administrator.clients();
        let (gone, open) = clients.begin_sum(&administrator.view().read());
        self.node.connections = gone.others;
        for (vhost, counts) in gone.vhosts {
            self.node.connections += &counts;
            self.vhosts.entry(vhost).or_default().connections += &counts;
        }
        self.exchanges = gone.exchanges;
        let mut open: VecDeque<_> = open.into();
        let mut silent = Vec::new();
        while !open.is_empty() {
            let some: Vec<_> = open.drain(..open.len().min(MOST_ASKED)).collect();
            let asked = some.iter().map(|(id, _)| (*id, ConnectionQuestion::Totals)).collect();
            for ((id, vhost), answer) in some.into_iter().zip(administrator.ask_connections(asked).await?) {
                match answer {
                    Some(ConnectionAnswer::Totals(counts)) => self.add_connection(vhost, &counts),
                    _ => silent.push((id, vhost)),
                }
            }
        }
        let ended = clients.end_sum();
        for (id, vhost) in silent {
            if let Some(totals) = ended.get(&id) {
                let counts = ConnectionCounts { totals: totals.clone(), ..ConnectionCounts::default() };
                self.add_connection(vhost, &counts);
            }
        }
        Ok(())
    }

    fn add_connection(&mut self, vhost: Name, counts: &ConnectionCounts) {
        let ConnectionCounts { totals, pending: _, is_blocked, publishers, consumers } = counts;
        self.node.connections += totals;
        for (exchange, count) in &totals.exchanges {
            *self.exchanges.entry((vhost.clone(), exchange.clone())).or_default() += count;
        }
        self.vhosts.entry(vhost).or_default().connections += totals;
        self.publishers += publishers;
        self.channel_consumers += consumers;
        self.blocked += u64::from(*is_blocked);
    }
}
