//! A store of maps: carries operations out and answers fetches, from what it holds now or held when it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::ids::{Position, QueueId};
use crate::model::message::Message;
use crate::model::op::{EntryMeta, Fetch, Fetched, Lane, Op, StoredEntry, Times, Wants};

#[derive(Debug)]
struct Kept {
    lane: Lane,
    message: Arc<Message>,
    meta: EntryMeta,
}

#[derive(Debug, Default)]
pub(super) struct FakeStore {
    kept: BTreeMap<Position, Kept>,
    /// Every position ever put.
    put: BTreeSet<Position>,
}

impl FakeStore {
    pub(super) fn apply(&mut self, queue: QueueId, op: &Op) {
        match op {
            Op::Put { queue: to, lane, position, message, meta, durable } => {
                assert_eq!(*to, queue);
                assert!(self.put.insert(*position), "{position} is put twice");
                assert!(!durable || message.is_persistent());
                let kept = Kept { lane: *lane, message: Arc::clone(message), meta: *meta };
                self.kept.insert(*position, kept);
            }
            Op::Remove { queue: from, range } => {
                assert_eq!(*from, queue);
                self.kept.retain(|&position, _| !range.contains(position));
            }
            Op::Requeue { position, with, .. } => {
                let kept = self.kept.get_mut(position).expect("only what is stored is requeued");
                kept.meta = kept.meta.returned(*with);
            }
            Op::DeleteQueue { .. } => self.kept.clear(),
        }
    }

    pub(super) fn has(&self, position: Position) -> bool {
        self.kept.contains_key(&position)
    }

    pub(super) fn was_put(&self, position: Position) -> bool {
        self.put.contains(&position)
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.kept.keys().copied()
    }

    pub(super) fn lane_of(&self, position: Position) -> Lane {
        self.kept[&position].lane
    }

    pub(super) fn meta_of(&self, position: Position) -> EntryMeta {
        self.kept[&position].meta
    }

    /// Loses a message, as to a bad checksum.
    pub(super) fn quarantine(&mut self, position: Position) {
        self.kept.remove(&position);
    }

    pub(super) fn read(&self, fetch: &Fetch) -> Fetched {
        let (mut entries, mut times) = (Vec::new(), Times::default());
        let mut bytes = 0;
        let range = fetch.range.first..=fetch.range.last;
        for (&position, kept) in self.kept.range(range).filter(|(_, kept)| kept.lane == fetch.lane) {
            if let Wants::Times { until } = fetch.wants {
                let body = u32::try_from(kept.message.body().len()).unwrap();
                times.add(position, kept.meta.expires_at, body, until);
                continue;
            }
            if !fetch.wants.includes(position) {
                continue;
            }
            if bytes >= fetch.max_bytes {
                let through = Position(position.0 - 1);
                return Fetched { fetch: fetch.clone(), entries, times, through };
            }
            bytes += kept.message.footprint();
            entries.push(StoredEntry { position, message: Arc::clone(&kept.message), meta: kept.meta });
        }
        let through = fetch.range.last;
        Fetched { fetch: fetch.clone(), entries, times, through }
    }
}
