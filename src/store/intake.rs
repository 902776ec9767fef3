//! The operations of one commit, folded: which of the messages put are still there at its end, and what was asked
//! of messages stored earlier. Pure; knows nothing of blobs or files.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ranges::RangeSet;
use crate::model::ids::{Position, PositionRange, QueueId};
use crate::model::message::Message;
use crate::model::op::{EntryMeta, Lane, Op};

/// A message put in this commit.
#[derive(Clone, Debug)]
pub(super) struct Put<'a> {
    pub(super) queue: QueueId,
    pub(super) lane: Lane,
    pub(super) position: Position,
    pub(super) message: &'a Arc<Message>,
    pub(super) meta: EntryMeta,
    pub(super) durable: bool,
    /// It left again in the same commit and is never written.
    gone: bool,
}

/// What one queue was asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// All that was stored before is gone.
    pub(super) deleted: bool,
    /// Positions removed; messages stored before that stand there are settled.
    pub(super) removed: RangeSet,
    /// Delivery counts of messages stored before that came back, in order of emission.
    pub(super) requeued: Vec<(Position, u32)>,
    /// Places in `puts`, in order of position.
    puts: Vec<(Position, usize)>,
}

/// The folded operations.
#[derive(Debug, Default)]
pub(super) struct Intake<'a> {
    puts: Vec<Put<'a>>,
    pub(super) queues: BTreeMap<QueueId, Asked>,
}

impl<'a> Intake<'a> {
    pub(super) fn fold(ops: &'a [Op]) -> Intake<'a> {
        let mut intake = Intake::default();
        for op in ops {
            match op {
                Op::Put { queue, lane, position, message, meta, durable } => intake.put(Put {
                    queue: *queue,
                    lane: *lane,
                    position: *position,
                    message,
                    meta: *meta,
                    durable: *durable,
                    gone: false,
                }),
                Op::Remove { queue, range } => intake.remove(*queue, *range),
                Op::Requeue { queue, position, delivery_count } => {
                    intake.requeue(*queue, *position, *delivery_count);
                }
                Op::DeleteQueue { queue } => {
                    intake.remove(*queue, PositionRange { first: Position(0), last: Position(u64::MAX) });
                    *intake.asked(*queue) = Asked { deleted: true, ..Asked::default() };
                }
            }
        }
        intake
    }

    /// What is to be written, in order of emission.
    pub(super) fn puts(&self) -> impl Iterator<Item = &Put<'a>> {
        self.puts.iter().filter(|put| !put.gone)
    }

    fn asked(&mut self, queue: QueueId) -> &mut Asked {
        self.queues.entry(queue).or_default()
    }

    fn put(&mut self, put: Put<'a>) {
        let place = (put.position, self.puts.len());
        let puts = &mut self.asked(put.queue).puts;
        if puts.last().is_none_or(|last| last.0 <= place.0) {
            puts.push(place);
        } else {
            puts.insert(puts.partition_point(|other| other.0 <= place.0), place);
        }
        self.puts.push(put);
    }

    fn remove(&mut self, queue: QueueId, range: PositionRange) {
        let asked = self.queues.entry(queue).or_default();
        asked.removed.insert(range.first.0, range.last.0, |_, _| ());
        let from = asked.puts.partition_point(|put| put.0 < range.first);
        let to = asked.puts.partition_point(|put| put.0 <= range.last).max(from);
        for (_, at) in asked.puts.drain(from..to) {
            self.puts[at].gone = true;
        }
    }

    fn requeue(&mut self, queue: QueueId, position: Position, delivery_count: u32) {
        let asked = self.queues.entry(queue).or_default();
        let at = asked.puts.partition_point(|put| put.0 < position);
        match asked.puts.get(at).filter(|put| put.0 == position) {
            Some(&(_, at)) => {
                let meta = &mut self.puts[at].meta;
                *meta = EntryMeta { delivery_count, redelivered: true, ..*meta };
            }
            // Removed in this commit: whatever was stored there must not be noted again.
            None if asked.removed.contains(position.0) => (),
            None => asked.requeued.push((position, delivery_count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{message, put, range};
    use super::*;

    fn left(ops: &[Op]) -> Vec<u64> {
        Intake::fold(ops).puts().map(|put| put.position.0).collect()
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
        let intake = Intake::fold(&ops);
        assert_eq!(left(&ops), [2]);
        let asked = &intake.queues[&QueueId(1)];
        assert!(asked.deleted && asked.removed.len() == 0);
    }

    #[test]
    fn a_requeue_meets_the_put_of_its_own_commit() {
        let one = message(b"one");
        let requeue = Op::Requeue { queue: QueueId(1), position: Position(1), delivery_count: 3 };
        let ops = [put(1, 1, &one), requeue.clone()];
        let intake = Intake::fold(&ops);
        let found = intake.puts().next().unwrap();
        assert!(found.meta.redelivered && found.meta.delivery_count == 3);
        assert!(intake.queues[&QueueId(1)].requeued.is_empty());

        let ops = [requeue.clone(), range(1, 1, 1), requeue];
        assert_eq!(Intake::fold(&ops).queues[&QueueId(1)].requeued.len(), 1);
    }
}
