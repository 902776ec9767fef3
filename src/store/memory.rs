//! A store in memory, for tests of other rooms and the simulation: the same answers, nothing on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{DamageReport, Recovered, Store, StoreError, Usage};
use crate::model::holdings::Holdings;
use crate::model::ids::{Position, PositionRange, QueueId};
use crate::model::message::Message;
use crate::model::op::{
    CatalogOp, EntryMeta, Fetch, Fetched, Lane, Op, RecoveredQueue, Span, StoredEntry, Times, Wants,
};

#[derive(Clone, Debug)]
struct Stored {
    message: Arc<Message>,
    meta: EntryMeta,
    durable: bool,
}

/// Everything by queue, lane and position.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    lanes: BTreeMap<(QueueId, Lane), BTreeMap<Position, Stored>>,
    catalog: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    #[must_use]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// What a store on disk would hold after a restart, and would report on opening. With `clean` false every
    /// message may have been delivered before.
    #[must_use]
    pub fn restarted(mut self, clean: bool) -> (MemoryStore, Recovered) {
        for lane in self.lanes.values_mut() {
            lane.retain(|_, stored| stored.durable);
            lane.values_mut().for_each(|stored| stored.meta.redelivered |= !clean);
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
        let mut queues: BTreeMap<QueueId, RecoveredQueue> = BTreeMap::new();
        for (&(queue, lane), messages) in &self.lanes {
            let found = queues.entry(queue).or_insert_with(|| RecoveredQueue { queue, ..Default::default() });
            found.lanes.push((lane, vec![span(messages)]));
            if let Some((last, _)) = messages.last_key_value() {
                found.next_position = found.next_position.max(last.next());
            }
        }
        let recovered = Recovered {
            catalog: self.catalog.clone().into_iter().collect(),
            messages: self.usage().messages,
            queues: queues.into_values().collect(),
            clean,
            damaged_runs: 0,
            damage: DamageReport::default(),
        };
        (self, recovered)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Put { queue, lane, position, message, meta, durable } => {
                let stored = Stored { message, meta, durable };
                self.lanes.entry((queue, lane)).or_default().insert(position, stored);
            }
            Op::Remove { queue, range } => {
                for (_, lane) in self.lanes_of(queue) {
                    let within = range.first..=range.last.max(range.first);
                    let gone = lane.range(within).map(|(&at, _)| at).filter(|&at| range.contains(at));
                    let gone: Vec<_> = gone.collect();
                    for at in gone {
                        lane.remove(&at);
                    }
                }
            }
            Op::Requeue { queue, position, with } => {
                for (_, lane) in self.lanes_of(queue) {
                    if let Some(stored) = lane.get_mut(&position) {
                        stored.meta = stored.meta.returned(with);
                    }
                }
            }
            Op::DeleteQueue { queue } => self.lanes.retain(|(owner, _), _| *owner != queue),
        }
    }

    fn lanes_of(
        &mut self,
        queue: QueueId,
    ) -> impl Iterator<Item = (&(QueueId, Lane), &mut BTreeMap<Position, Stored>)> {
        self.lanes.range_mut((queue, Lane::MIN)..=(queue, Lane::MAX))
    }
}

fn span(messages: &BTreeMap<Position, Stored>) -> Span {
    let first = messages.keys().next().copied().unwrap_or_default();
    let last = messages.keys().next_back().copied().unwrap_or_default();
    Span {
        range: PositionRange { first, last },
        count: messages.len() as u64,
        bytes: messages.values().map(|stored| stored.message.body().len() as u64).sum(),
        earliest_expiry: messages.values().filter_map(|stored| stored.meta.expires_at).min(),
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, ops: Vec<Op>, catalog: Vec<CatalogOp>) -> Result<(), StoreError> {
        ops.into_iter().for_each(|op| self.apply(op));
        for op in catalog {
            match op {
                CatalogOp::Put { key, value } => drop(self.catalog.insert(key, value)),
                CatalogOp::Delete { key } => drop(self.catalog.remove(&key)),
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn fetch(&mut self, fetch: &Fetch) -> Result<Fetched, StoreError> {
        let mut entries: Vec<StoredEntry> = Vec::new();
        let mut times = Times::default();
        let mut through = fetch.range.last;
        let mut bytes = 0;
        let lane = self.lanes.get(&(fetch.queue, fetch.lane));
        let range = fetch.range;
        let stored = lane.into_iter().flat_map(|lane| lane.range(range.first..=range.last.max(range.first)));
        let wanted = |position: Position| range.contains(position) && fetch.wants.includes(position);
        for (&position, stored) in stored.filter(|(position, _)| wanted(**position)) {
            if let Wants::Times { until } = fetch.wants {
                let body = u32::try_from(stored.message.body().len()).unwrap_or(u32::MAX);
                times.add(position, stored.meta.expires_at, body, until);
                continue;
            }
            bytes += stored.message.footprint();
            if let Some(last) = entries.last().filter(|_| bytes > fetch.max_bytes) {
                through = last.position;
                break;
            }
            let message = Arc::clone(&stored.message);
            entries.push(StoredEntry { position, message, meta: stored.meta });
        }
        Ok(Fetched { fetch: fetch.clone(), entries, times, through })
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }

    fn holdings(&self, into: &mut Holdings) {
        let MemoryStore { lanes, catalog: _ } = self;
        let stored = lanes.values().map(BTreeMap::len);
        into.declared("store: messages", &stored.sum::<usize>());
    }

    fn usage(&self) -> Usage {
        let stored = || self.lanes.values().flat_map(BTreeMap::values);
        Usage {
            messages: stored().count() as u64,
            body_bytes: stored().map(|stored| stored.message.body().len() as u64).sum(),
            ..Usage::default()
        }
    }
}
