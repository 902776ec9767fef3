//! What a store should hold, kept the simplest way there is, and random commits to try it with.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use leveret::model::ids::{Position, PositionRange, QueueId, Timestamp};
use leveret::model::message::{Body, Message, Origin};
use leveret::model::op::{
    Attempts, CatalogOp, EntryMeta, Fetch, Fetched, Lane, Op, Return, StoredTime, StoredWait, Wants,
};
use leveret::store::{Recovered, RedbStore, Store};
use leveret_codec::properties::Properties;

use crate::random::Random;

/// Queues that are in use at a time.
pub(crate) const QUEUES: usize = 5;
pub(crate) const LANES: u64 = 2;

#[derive(Clone, Debug, PartialEq)]
struct Held {
    body: Bytes,
    meta: EntryMeta,
    durable: bool,
}

/// Queue, then position; the lane of a message is part of its key, as positions are the queue's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    queues: BTreeMap<QueueId, BTreeMap<Position, (Lane, Held)>>,
    catalog: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Model {
    pub(crate) fn apply(&mut self, ops: &[Op], catalog: &[CatalogOp]) {
        for op in ops {
            match op {
                Op::Put { queue, lane, position, message, meta, durable } => {
                    let held = Held { body: bytes_of(message), meta: *meta, durable: *durable };
                    self.queues.entry(*queue).or_default().insert(*position, (*lane, held));
                }
                Op::Remove { queue, range } => {
                    let held = self.queues.entry(*queue).or_default();
                    held.retain(|&position, _| !range.contains(position));
                }
                Op::Requeue { queue, position, with } => {
                    let held = self.queues.entry(*queue).or_default().get_mut(position);
                    if let Some((_, held)) = held {
                        held.meta = held.meta.returned(*with);
                    }
                }
                Op::DeleteQueue { queue } => drop(self.queues.remove(queue)),
            }
        }
        for op in catalog {
            match op {
                CatalogOp::Put { key, value } => drop(self.catalog.insert(key.clone(), value.clone())),
                CatalogOp::Delete { key } => drop(self.catalog.remove(key)),
            }
        }
        self.queues.retain(|_, held| !held.is_empty());
    }

    /// What is left after a restart.
    pub(crate) fn restart(&mut self, clean: bool) {
        for held in self.queues.values_mut() {
            held.retain(|_, (_, held)| held.durable);
            held.values_mut().for_each(|(_, held)| held.meta.redelivered |= !clean);
        }
        self.queues.retain(|_, held| !held.is_empty());
    }

    /// Every message: its queue, lane and position, and its body.
    pub(crate) fn bodies(&self) -> BTreeMap<(QueueId, Lane, Position), Bytes> {
        let held = self.queues.iter().flat_map(|(&queue, held)| {
            held.iter().map(move |(&position, (lane, held))| ((queue, *lane, position), held.body.clone()))
        });
        held.collect()
    }

    pub(crate) fn catalog(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.catalog
    }

    pub(crate) fn messages(&self) -> u64 {
        self.queues.values().map(|held| held.len() as u64).sum()
    }

    /// Compares with what the store reads back; what differs, in words.
    pub(crate) fn compare(&self, store: &mut RedbStore, random: &mut Random) -> Result<(), String> {
        for (&queue, held) in &self.queues {
            for lane in 0..=LANES as Lane {
                let expected: Vec<_> = held.iter().filter(|(_, (own, _))| *own == lane).collect();
                let found = read_lane(store, queue, lane, random)?;
                if found.len() != expected.len() {
                    return Err(format!(
                        "queue {queue} lane {lane}: {:?} found, {:?} expected",
                        found.iter().map(|found| found.0.0).collect::<Vec<_>>(),
                        expected.iter().map(|expected| expected.0.0).collect::<Vec<_>>()
                    ));
                }
                for ((position, body, meta), (expected, (_, held))) in found.iter().zip(expected) {
                    if position != expected || *body != held.body || *meta != held.meta {
                        return Err(format!(
                            "queue {queue} lane {lane}: at {position} {} bytes {meta:?}, expected {expected} \
                             {} bytes {:?}",
                            body.len(),
                            held.body.len(),
                            held.meta
                        ));
                    }
                }
            }
        }
        store.checkpoint().map_err(|error| error.to_string())?;
        let messages = store.usage().messages;
        if messages != self.messages() {
            return Err(format!("{messages} messages are counted, {} expected", self.messages()));
        }
        Ok(())
    }

    /// Compares with the times that the store tells, and with single messages that it reads back.
    pub(crate) fn compare_lookups(&self, store: &mut RedbStore, random: &mut Random) -> Result<(), String> {
        for (&queue, held) in &self.queues {
            for lane in 0..=LANES as Lane {
                compare_times(store, queue, lane, held, random)?;
                compare_these(store, queue, lane, held, random)?;
            }
        }
        Ok(())
    }

    /// Compares with what recovery reported.
    pub(crate) fn compare_recovered(&self, recovered: &Recovered) -> Result<(), String> {
        let catalog: BTreeMap<_, _> = recovered.catalog.iter().cloned().collect();
        if catalog != self.catalog {
            return Err(format!("catalog: {catalog:?}, expected {:?}", self.catalog));
        }
        let found: Vec<_> = recovered.queues.iter().map(|queue| queue.queue).collect();
        let expected: Vec<_> = self.queues.keys().copied().collect();
        if found != expected {
            return Err(format!("queues {found:?}, expected {expected:?}"));
        }
        for queue in &recovered.queues {
            let (held, waiting) = apart(&self.queues[&queue.queue]);
            let mut found: Vec<_> = queue.waiting.clone();
            found.sort_unstable_by_key(|wait| wait.position);
            if found != waiting {
                return Err(format!("queue {}: waiting {found:?}, expected {waiting:?}", queue.queue));
            }
            let spans = queue.lanes.iter().flat_map(|(_, spans)| spans);
            let (count, bytes) =
                spans.fold((0, 0), |(count, bytes), span| (count + span.count, bytes + span.bytes));
            let body_bytes = held.values().map(|(_, held)| held.body.len() as u64).sum::<u64>();
            if (count, bytes) != (held.len() as u64, body_bytes) {
                return Err(format!(
                    "queue {}: spans count {count}, {bytes} bytes; expected {:?}",
                    queue.queue,
                    held.iter()
                        .map(|(position, (_, held))| (position.0, held.body.len()))
                        .collect::<Vec<_>>()
                ));
            }
            let last = self.queues[&queue.queue].keys().next_back();
            if last.is_some_and(|last| *last >= queue.next_position) {
                return Err(format!("queue {}: next position {}", queue.queue, queue.next_position));
            }
            for (lane, spans) in &queue.lanes {
                for (position, _) in held.iter().filter(|(_, (own, _))| own == lane) {
                    if !spans.iter().any(|span| span.range.contains(*position)) {
                        return Err(format!("queue {}: no span has {position}", queue.queue));
                    }
                }
            }
        }
        Ok(())
    }
}

type InLane = BTreeMap<Position, (Lane, Held)>;

/// What is ready, and what waits as recovery reports it.
fn apart(held: &InLane) -> (InLane, Vec<StoredWait>) {
    let (waiting, ready): (InLane, InLane) =
        held.clone().into_iter().partition(|(_, (_, held))| held.meta.not_before > Timestamp(0));
    let waiting = waiting.into_iter().map(|(position, (lane, held))| StoredWait {
        lane,
        position,
        not_before: held.meta.not_before,
        expires_at: held.meta.expires_at,
        body: held.body.len() as u32,
    });
    (ready, waiting.collect())
}

/// The times of a part of a lane, as far as they are of before some moment; and of what is later, that it is said to be.
fn compare_times(
    store: &mut RedbStore,
    queue: QueueId,
    lane: Lane,
    held: &InLane,
    random: &mut Random,
) -> Result<(), String> {
    let until = Timestamp(random.between(0, 1099));
    let mut range = PositionRange { first: Position(random.between(0, 49)), last: Position(1 << 40) };
    loop {
        let fetch = Fetch { queue, lane, range, max_bytes: 0, wants: Wants::Times { until } };
        let Fetched { mut times, through, .. } = store.fetch(&fetch).map_err(|error| error.to_string())?;
        let answered = PositionRange { last: through, ..range };
        let within = held.iter().filter(|(at, (own, _))| *own == lane && answered.contains(**at));
        let all = within.filter_map(|(&position, (_, held))| {
            let body = held.body.len() as u32;
            Some(StoredTime { position, expires_at: held.meta.expires_at?, body })
        });
        let (soon, later): (Vec<_>, Vec<_>) = all.partition(|time| time.expires_at <= until);
        times.entries.sort_unstable_by_key(|time| time.position);
        // Of what has been removed from a run its row may still know the time.
        let rest_is_earlier = match (times.rest, later.iter().map(|time| time.expires_at).min()) {
            (rest, Some(later)) => rest.is_some_and(|rest| rest <= later),
            (_, None) => true,
        };
        if times.entries != soon || !rest_is_earlier {
            return Err(format!(
                "queue {queue} lane {lane}: {times:?} until {until:?}, expected {soon:?} {later:?}"
            ));
        }
        if through >= range.last {
            return Ok(());
        }
        range.first = through.next();
    }
}

/// Some single messages of a lane, and some that are not there.
fn compare_these(
    store: &mut RedbStore,
    queue: QueueId,
    lane: Lane,
    held: &InLane,
    random: &mut Random,
) -> Result<(), String> {
    let chance = random.between(1, 60);
    let most = held.keys().next_back().map_or(0, |last| last.0 + 3);
    let mut wanted: Vec<Position> = (0..most).map(Position).filter(|_| random.percent(chance)).collect();
    while let (Some(&first), Some(&last)) = (wanted.first(), wanted.last()) {
        let range = PositionRange { first, last };
        let max_bytes = 1 << random.below(18);
        let fetch = Fetch { queue, lane, range, max_bytes, wants: Wants::These(wanted.as_slice().into()) };
        let fetched = store.fetch(&fetch).map_err(|error| error.to_string())?;
        if fetched.through < first {
            return Err(format!("queue {queue} lane {lane}: an answer says nothing of {first}"));
        }
        let rest = wanted.split_off(wanted.partition_point(|position| *position <= fetched.through));
        let expected = wanted.iter().filter_map(|position| {
            let (_, held) = held.get(position).filter(|(own, _)| *own == lane)?;
            Some((*position, held.body.clone(), held.meta))
        });
        let found = fetched.entries.into_iter();
        let found: Vec<Read> = found.map(|it| (it.position, bytes_of(&it.message), it.meta)).collect();
        let expected: Vec<Read> = expected.collect();
        if found != expected {
            let brief = |all: &[Read]| all.iter().map(|it| (it.0, it.1.len(), it.2)).collect::<Vec<_>>();
            let (found, expected) = (brief(&found), brief(&expected));
            return Err(format!("queue {queue} lane {lane}: of these {found:?}, expected {expected:?}"));
        }
        wanted = rest;
    }
    Ok(())
}

pub(crate) type Read = (Position, Bytes, EntryMeta);

/// Reads all of a lane, in parts of random size.
pub(crate) fn read_lane(
    store: &mut RedbStore,
    queue: QueueId,
    lane: Lane,
    random: &mut Random,
) -> Result<Vec<Read>, String> {
    let mut found: Vec<Read> = Vec::new();
    let mut range = PositionRange { first: Position(0), last: Position(1 << 40) };
    loop {
        let max_bytes = 1 << random.below(18);
        let fetch = Fetch { queue, lane, range, max_bytes, wants: Wants::All };
        let fetched = store.fetch(&fetch).map_err(|error| error.to_string())?;
        for entry in fetched.entries {
            if found.last().is_some_and(|last| last.0 >= entry.position) || entry.position > fetched.through {
                return Err(format!("queue {queue} lane {lane}: {} out of order", entry.position));
            }
            found.push((entry.position, bytes_of(&entry.message), entry.meta));
        }
        if fetched.through >= range.last {
            return Ok(found);
        }
        range.first = fetched.through.next();
    }
}

fn bytes_of(message: &Message) -> Bytes {
    let mut bytes = BytesMut::new();
    message.body().slices().for_each(|slice| bytes.extend_from_slice(slice));
    bytes.freeze()
}

/// Makes commits as queues would: positions grow, some messages go to several queues, some come late.
#[derive(Debug)]
pub(crate) struct Workload {
    random: Random,
    queues: Vec<(QueueId, u64)>,
    next_queue: u64,
    /// Positions given out and not put yet.
    late: Vec<(QueueId, u64)>,
    recent: Vec<Arc<Message>>,
    made: u64,
}

impl Workload {
    pub(crate) fn new(seed: u64) -> Workload {
        let queues = (1..=QUEUES as u64).map(|queue| (QueueId(queue), 1)).collect();
        let next_queue = QUEUES as u64 + 1;
        Workload { random: Random(seed), queues, next_queue, late: Vec::new(), recent: Vec::new(), made: 0 }
    }

    pub(crate) fn commit(&mut self, model: &Model) -> (Vec<Op>, Vec<CatalogOp>) {
        let mut ops = Vec::new();
        for _ in 0..self.random.below(10) {
            match self.random.below(100) {
                0..50 => self.publish(&mut ops),
                50..75 => self.remove(model, &mut ops),
                75..80 => self.remove_range(&mut ops),
                80..92 => self.requeue(model, &mut ops),
                92..98 => self.put_late(&mut ops),
                _ => self.delete(&mut ops),
            }
        }
        let mut catalog = Vec::new();
        while self.random.percent(25) {
            let key = vec![self.random.below(6) as u8];
            catalog.push(if self.random.percent(70) {
                CatalogOp::Put { key, value: self.random.next().to_le_bytes().to_vec() }
            } else {
                CatalogOp::Delete { key }
            });
        }
        (ops, catalog)
    }

    /// How many bytes a body has: mostly few.
    fn message(&mut self) -> Arc<Message> {
        if !self.recent.is_empty() && self.random.percent(20) {
            let at = self.random.below(self.recent.len());
            return Arc::clone(&self.recent[at]);
        }
        self.made += 1;
        let len = match self.random.below(100) {
            0..70 => self.random.below(200),
            70..95 => self.random.below(10_000),
            _ => self.random.below(150_000),
        };
        let mut body = Body::default();
        let mut fill = Random(self.made);
        let words: Vec<[u8; 8]> = (0..len.div_ceil(8)).map(|_| fill.next().to_le_bytes()).collect();
        let bytes = &words.as_flattened()[..len];
        bytes.chunks(40_000).for_each(|slice| body.push(Bytes::copy_from_slice(slice)));
        let mut arena = BytesMut::new();
        let made = Message::new(&mut arena, b"ex", b"key", Properties::default(), body, Origin::Client);
        let message = Arc::new(made);
        if self.recent.len() > 8 {
            self.recent.remove(0);
        }
        self.recent.push(Arc::clone(&message));
        message
    }

    fn put(&mut self, queue: QueueId, position: u64, message: &Arc<Message>, ops: &mut Vec<Op>) {
        let expires_at = self.random.percent(10).then(|| Timestamp(self.random.between(0, 999)));
        let redelivered = self.random.percent(5);
        let attempts = if redelivered { self.attempts() } else { Attempts::NONE };
        let not_before = Timestamp(if position % 13 == 5 { 7 + (position << 30) } else { 0 });
        ops.push(Op::Put {
            queue,
            // Positions belong to one lane each, so that a late one is of the lane it would have had.
            lane: (position % (LANES + 1)) as Lane,
            position: Position(position),
            message: Arc::clone(message),
            meta: EntryMeta { expires_at, attempts, redelivered, not_before },
            durable: self.random.percent(85),
        });
    }

    fn publish(&mut self, ops: &mut Vec<Op>) {
        for _ in 0..=self.random.below(6) {
            let message = self.message();
            let start = self.random.below(QUEUES);
            let fan_out = if self.random.percent(25) { 1 + self.random.below(3) } else { 1 };
            for at in 0..fan_out {
                let slot = (start + at) % QUEUES;
                let (queue, position) = self.queues[slot];
                self.queues[slot].1 += 1;
                if self.random.percent(6) {
                    self.late.push((queue, position));
                } else {
                    self.put(queue, position, &message, ops);
                }
            }
        }
    }

    fn put_late(&mut self, ops: &mut Vec<Op>) {
        for (queue, position) in std::mem::take(&mut self.late) {
            if self.queues.iter().any(|(known, _)| *known == queue) {
                let message = self.message();
                self.put(queue, position, &message, ops);
            }
        }
    }

    /// Some of the messages at the head, as consumers do, or one from anywhere.
    fn remove(&mut self, model: &Model, ops: &mut Vec<Op>) {
        let (queue, _) = self.queues[self.random.below(QUEUES)];
        let Some(held) = model.queues.get(&queue) else { return };
        if self.random.percent(60) {
            let count = self.random.below(held.len() * 3 / 2 + 1);
            let (Some(first), Some(last)) = (held.keys().next(), held.keys().take(count).last()) else {
                return;
            };
            let range = PositionRange { first: *first, last: *last };
            ops.push(Op::Remove { queue, range });
        } else {
            let at = self.random.below(held.len());
            let range = held.keys().nth(at).map(|position| PositionRange::single(*position));
            ops.extend(range.map(|range| Op::Remove { queue, range }));
        }
    }

    /// Positions around the tail, whether there is anything or not: it may meet what this commit puts.
    fn remove_range(&mut self, ops: &mut Vec<Op>) {
        let (queue, next) = self.queues[self.random.below(QUEUES)];
        let first = next.saturating_sub(self.random.between(0, 11));
        let last = self.random.between(first, first + 7);
        // A position that was given out and is gone is never put.
        self.late.retain(|(late, position)| *late != queue || !(first..=last).contains(position));
        let range = PositionRange { first: Position(first), last: Position(last.min(next.max(1) - 1)) };
        if range.first <= range.last {
            ops.push(Op::Remove { queue, range });
        }
    }

    fn requeue(&mut self, model: &Model, ops: &mut Vec<Op>) {
        let (queue, next) = self.queues[self.random.below(QUEUES)];
        let held = model.queues.get(&queue).map_or(0, BTreeMap::len) as u64;
        let position = Position(next.saturating_sub(self.random.between(0, held * 2 + 2)));
        let attempts = self.attempts();
        // Whatever waits after a delivery is counted.
        let waits = attempts != Attempts::NONE && position.0 % 5 < 2;
        let not_before = Timestamp(if waits { 1 + (position.0 << 20) } else { 0 });
        ops.push(Op::Requeue { queue, position, with: Return { attempts, not_before } });
    }

    fn attempts(&mut self) -> Attempts {
        Attempts { acquired: self.random.below(4) as u32, failed: self.random.below(3) as u32 }
    }

    fn delete(&mut self, ops: &mut Vec<Op>) {
        let slot = self.random.below(QUEUES);
        let (queue, _) = std::mem::replace(&mut self.queues[slot], (QueueId(self.next_queue), 1));
        self.next_queue += 1;
        ops.push(Op::DeleteQueue { queue });
    }
}
