//! The memtable: the operations since the last flush, folded. Which of the messages put are still there, what was asked
//! of messages stored earlier, and what the catalog wrote. Pure; knows nothing of blobs or files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::ranges::RangeSet;
use crate::model::holdings::Holdings;
use crate::model::ids::{Position, PositionRange, QueueId};
use crate::model::message::Message;
use crate::model::op::{CatalogOp, EntryMeta, Fetch, Lane, Op, Return};

/// Fewer puts than this are not worth pruning.
const WORTH_PRUNING: usize = 1024;

/// A message put and not removed again.
#[derive(Clone, Debug)]
pub(super) struct Put {
    pub(super) queue: QueueId,
    pub(super) lane: Lane,
    pub(super) position: Position,
    pub(super) message: Arc<Message>,
    pub(super) meta: EntryMeta,
    pub(super) durable: bool,
}

impl Put {
    fn footprint(&self) -> usize {
        size_of::<Option<Put>>() + self.message.footprint()
    }
}

/// What the memtable has of one queue.
#[derive(Debug, Default)]
pub(super) struct QueueDelta {
    /// All that was stored before is gone.
    pub(super) deleted: bool,
    /// Positions removed; messages stored before that stand there are settled.
    pub(super) removed: RangeSet,
    /// How messages stored before came back, in order of emission.
    pub(super) requeued: Vec<(Position, Return)>,
    /// Places in `puts`, in order of position.
    puts: VecDeque<(Position, usize)>,
}

impl QueueDelta {
    /// Whether a message that was stored before at this position is gone.
    pub(super) fn settles(&self, position: u64) -> bool {
        self.deleted || self.removed.contains(position)
    }

    fn parts(&self) -> usize {
        self.removed.parts() + self.requeued.len()
    }

    /// Whether something was put that a fetch wants, and is still there.
    pub(super) fn holds(&self, fetch: &Fetch) -> bool {
        let from = self.puts.partition_point(|put| put.0 < fetch.range.first);
        let mut within = self.puts.range(from..).map(|put| put.0).take_while(|at| *at <= fetch.range.last);
        within.any(|position| fetch.wants.includes(position))
    }
}

/// The folded operations.
#[derive(Debug, Default)]
pub(super) struct Memtable {
    /// In order of emission; None where the message left again, which is then never written.
    puts: Vec<Option<Put>>,
    vacant: usize,
    /// Bytes that the messages hold in memory, about.
    footprint: usize,
    /// Of all that was removed or requeued, how many ranges and positions.
    parts: usize,
    pub(super) queues: BTreeMap<QueueId, QueueDelta>,
    pub(super) catalog: Vec<CatalogOp>,
}

impl Memtable {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Memtable { puts, vacant: _, footprint, parts, queues, catalog } = self;
        into.in_transit("log: messages", puts);
        into.in_transit("log: bytes of messages", footprint);
        into.in_transit("log: parts of what was removed", parts);
        into.in_transit("log: queues", queues);
        into.in_transit("log: records", catalog);
    }

    /// Takes in what came next.
    pub(super) fn take(&mut self, ops: Vec<Op>, catalog: Vec<CatalogOp>) {
        for op in ops {
            match op {
                Op::Put { queue, lane, position, message, meta, durable } => {
                    self.put(Put { queue, lane, position, message, meta, durable });
                }
                Op::Remove { queue, range } => self.remove(queue, range),
                Op::Requeue { queue, position, with } => self.requeue(queue, position, with),
                Op::DeleteQueue { queue } => {
                    self.remove(queue, PositionRange { first: Position(0), last: Position(u64::MAX) });
                    let delta = self.delta(queue);
                    let forgotten = delta.parts();
                    *delta = QueueDelta { deleted: true, ..QueueDelta::default() };
                    self.parts -= forgotten;
                }
            }
        }
        self.catalog.extend(catalog);
        if self.puts.len() >= WORTH_PRUNING && self.vacant > self.puts.len() / 2 {
            self.prune();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.catalog.is_empty()
    }

    /// What is to be written, in order of emission.
    pub(super) fn puts(&self) -> impl Iterator<Item = &Put> {
        self.puts.iter().flatten()
    }

    /// Bytes that the messages in [`Memtable::puts`] hold in memory, about.
    pub(super) fn footprint(&self) -> usize {
        self.footprint
    }

    /// How many ranges and positions it takes to say what was removed or requeued.
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    fn delta(&mut self, queue: QueueId) -> &mut QueueDelta {
        self.queues.entry(queue).or_default()
    }

    fn put(&mut self, put: Put) {
        let place = (put.position, self.puts.len());
        let puts = &mut self.delta(put.queue).puts;
        if puts.back().is_none_or(|last| last.0 <= place.0) {
            puts.push_back(place);
        } else {
            puts.insert(puts.partition_point(|other| other.0 <= place.0), place);
        }
        self.footprint += put.footprint();
        self.puts.push(Some(put));
    }

    fn remove(&mut self, queue: QueueId, range: PositionRange) {
        let delta = self.queues.entry(queue).or_default();
        self.parts -= delta.removed.parts();
        delta.removed.insert(range.first.0, range.last.0, |_, _| ());
        self.parts += delta.removed.parts();
        let from = delta.puts.partition_point(|put| put.0 < range.first);
        let to = delta.puts.partition_point(|put| put.0 <= range.last).max(from);
        for (_, at) in delta.puts.drain(from..to) {
            if let Some(put) = self.puts[at].take() {
                self.footprint -= put.footprint();
                self.vacant += 1;
            }
        }
    }

    fn requeue(&mut self, queue: QueueId, position: Position, with: Return) {
        let delta = self.queues.entry(queue).or_default();
        let at = delta.puts.partition_point(|put| put.0 < position);
        match delta.puts.get(at).filter(|put| put.0 == position) {
            Some(&(_, at)) => {
                if let Some(put) = &mut self.puts[at] {
                    put.meta = put.meta.returned(with);
                }
            }
            // Removed meanwhile: whatever was stored there must not be noted again.
            None if delta.removed.contains(position.0) => (),
            None => {
                delta.requeued.push((position, with));
                self.parts += 1;
            }
        }
    }

    /// Forgets the places of what is gone.
    fn prune(&mut self) {
        let mut places = Vec::with_capacity(self.puts.len());
        let mut kept = 0;
        for put in &self.puts {
            places.push(kept);
            kept += usize::from(put.is_some());
        }
        self.puts.retain(Option::is_some);
        self.vacant = 0;
        for delta in self.queues.values_mut() {
            for (_, at) in &mut delta.puts {
                *at = places[*at];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{COUNTED, message, put, range, requeue};
    use super::*;

    fn folded(ops: &[Op]) -> Memtable {
        let mut memtable = Memtable::default();
        memtable.take(ops.to_vec(), vec![]);
        memtable
    }

    fn left(ops: &[Op]) -> Vec<u64> {
        folded(ops).puts().map(|put| put.position.0).collect()
    }

    #[test]
    fn what_came_and_went_is_not_written() {
        let one = message(b"one");
        let ops = [put(1, 5, &one), put(1, 6, &one), put(2, 5, &one), range(1, 1, 5), put(1, 5, &one)];
        assert_eq!(left(&ops), [6, 5, 5]);
        assert_eq!(left(&ops[..4]), [6, 5]);
    }

    #[test]
    fn positions_may_come_out_of_order() {
        let one = message(b"one");
        assert_eq!(left(&[put(1, 9, &one), put(1, 3, &one), put(1, 5, &one), range(1, 4, 9)]), [3]);
    }

    #[test]
    fn a_deleted_queue_keeps_only_what_comes_later() {
        let one = message(b"one");
        let ops = [put(1, 1, &one), range(1, 0, 0), Op::DeleteQueue { queue: QueueId(1) }, put(1, 2, &one)];
        let memtable = folded(&ops);
        assert_eq!(left(&ops), [2]);
        let delta = &memtable.queues[&QueueId(1)];
        assert!(delta.deleted && delta.removed.len() == 0);
    }

    #[test]
    fn a_requeue_meets_the_put_of_its_own_commit() {
        let one = message(b"one");
        let requeue = requeue(1, 1, COUNTED);
        let ops = [put(1, 1, &one), requeue.clone()];
        let memtable = folded(&ops);
        let found = memtable.puts().next().unwrap();
        assert!(found.meta.redelivered && found.meta.attempts == COUNTED);
        assert!(memtable.queues[&QueueId(1)].requeued.is_empty());

        let ops = [requeue.clone(), range(1, 1, 1), requeue];
        assert_eq!(folded(&ops).queues[&QueueId(1)].requeued.len(), 1);
    }

    #[test]
    fn what_is_known_of_earlier_messages_is_counted() {
        let requeue = |at| requeue(1, at, COUNTED);
        let mut ops =
            vec![range(1, 1, 1), range(1, 5, 7), range(2, 9, 9), requeue(3), requeue(3), requeue(6)];
        assert_eq!(folded(&ops).parts(), 5, "6 is gone and not noted");
        ops.push(range(1, 2, 4));
        assert_eq!(folded(&ops).parts(), 4, "one range of what were two");
        ops.push(Op::DeleteQueue { queue: QueueId(1) });
        assert_eq!(folded(&ops).parts(), 1);
    }

    #[test]
    fn what_left_takes_no_room() {
        let one = message(b"one");
        let mut memtable = Memtable::default();
        for at in 0..100 * WORTH_PRUNING as u64 {
            let ops = if at >= 10 {
                vec![put(1, at, &one), range(1, at - 10, at - 10)]
            } else {
                vec![put(1, at, &one)]
            };
            memtable.take(ops, vec![]);
        }
        assert_eq!(memtable.puts().count(), 10);
        assert!(memtable.puts.len() <= WORTH_PRUNING, "{}", memtable.puts.len());
        let each = memtable.puts().next().unwrap().footprint();
        assert_eq!(memtable.footprint(), 10 * each);
        memtable.take(vec![Op::DeleteQueue { queue: QueueId(1) }], vec![]);
        assert_eq!((memtable.puts().count(), memtable.footprint()), (0, 0));
    }
}
