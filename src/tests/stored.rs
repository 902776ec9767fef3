//! What the scenarios have for a store: a map, and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::ids::{Position, PositionRange, QueueId};
use crate::model::message::Message;
use crate::model::op::{EntryMeta, Fetch, Fetched, Lane, RecoveredQueue, Span, StoredEntry, Times, Wants};

/// What the map holds.
pub(super) type Stored = BTreeMap<(QueueId, Lane, Position), (Arc<Message>, EntryMeta, bool)>;

/// Answers a fetch.
pub(super) fn read(stored: &Stored, fetch: Fetch) -> Fetched {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let (mut times, mut through) = (Times::default(), fetch.range.last);
    for ((queue, lane, at), (message, meta, _)) in stored {
        if *queue != fetch.queue || *lane != fetch.lane || !fetch.range.contains(*at) {
            continue;
        }
        if let Wants::Times { until } = fetch.wants {
            times.add(*at, meta.expires_at, u32::try_from(message.body().len()).unwrap(), until);
            continue;
        }
        if !fetch.wants.includes(*at) {
            continue;
        }
        entries.push(StoredEntry { position: *at, message: message.clone(), meta: *meta });
        bytes += message.footprint();
        if bytes >= fetch.max_bytes {
            through = *at;
            break;
        }
    }
    Fetched { fetch, entries, times, through }
}

/// How many messages each queue has.
pub(super) fn messages_of(stored: &Stored) -> BTreeMap<QueueId, u64> {
    let mut messages = BTreeMap::new();
    stored.keys().for_each(|(queue, _, _)| *messages.entry(*queue).or_default() += 1);
    messages
}

pub(super) fn recovered(stored: &Stored) -> Vec<RecoveredQueue> {
    let mut queues: BTreeMap<QueueId, RecoveredQueue> = BTreeMap::new();
    for ((queue, lane, position), (message, meta, _)) in stored {
        let found = queues.entry(*queue).or_default();
        found.queue = *queue;
        found.next_position = found.next_position.max(position.next());
        let span = Span {
            range: PositionRange::single(*position),
            count: 1,
            bytes: message.body().len() as u64,
            earliest_expiry: meta.expires_at,
        };
        match found.lanes.last_mut() {
            Some((last, spans)) if last == lane => spans.push(span),
            _ => found.lanes.push((*lane, vec![span])),
        }
    }
    queues.into_values().collect()
}
