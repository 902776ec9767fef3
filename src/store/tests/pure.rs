//! Memtable, packing and index together, without files, against the simplest model there is: a map of positions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::changes::Changes;
use super::super::index::{EntrySource, FileRuns, Index};
use super::super::memtable::Memtable;
use super::super::pack::{self, Item, Record};
use super::super::run::{self, Entry, RunKey};
use super::*;
use crate::model::ids::PositionRange;

/// Entries as they were written.
#[derive(Default)]
struct Written(BTreeMap<u64, Arc<[Entry]>>);

impl EntrySource for Written {
    fn entries(&mut self, key: RunKey) -> Result<Option<Arc<[Entry]>>, StoreError> {
        Ok(self.0.get(&key.number).map(Arc::clone))
    }
}

#[derive(Default)]
struct Pure {
    index: Index,
    written: Written,
    /// Rows of runs and blobs that would be on disk.
    rows: BTreeSet<u64>,
    blobs: BTreeMap<u64, u64>,
}

impl Pure {
    fn new() -> Pure {
        let mut pure = Pure::default();
        pure.index.next_number = 1;
        pure.rotate();
        pure
    }

    fn rotate(&mut self) {
        let (file, first_number) = (self.index.files.len() as u64 + 1, self.index.next_number);
        self.index.files.push(FileRuns {
            file,
            first_number,
            live_runs: 0,
            touched: 0,
            kept: false,
            accepted: false,
        });
    }

    fn commit(&mut self, ops: &[Op]) {
        let mut memtable = Memtable::default();
        memtable.take(ops.to_vec(), vec![]);
        for (&queue, delta) in &memtable.queues {
            if delta.deleted {
                self.index.delete_queue(queue);
            }
            self.index.settle(queue, &delta.removed, &mut self.written).unwrap();
        }
        let items = memtable.puts().map(|put| Item {
            queue: put.queue,
            lane: put.lane,
            position: put.position,
            meta: put.meta,
            durable: put.durable,
            apart: false,
            record: Record::Message(&put.message),
        });
        let index = &mut self.index;
        let packed = pack::pack(items, &mut || index.take_number(), |_, _| ()).unwrap();
        let mut changes = Changes::default();
        for blob in packed.blobs {
            assert_eq!(blob.len, blob.segments.iter().map(|segment| segment.len() as u64).sum::<u64>());
            self.blobs.insert(blob.number, blob.len);
        }
        for new in packed.runs {
            let encoded = run::encode(new.blob, self.blobs[&new.blob], &new.entries);
            self.index.add(new.key, &encoded.header, None);
            self.written.0.insert(new.key.number, new.entries.into());
            changes.runs.push((new.key, encoded.row));
            self.rows.insert(new.key.number);
        }
        let changed = std::mem::take(&mut self.index.changed);
        for key in changed.runs {
            assert!(self.rows.remove(&key.number), "a row is removed once");
        }
        for (number, _) in changed.garbage {
            assert!(self.blobs.remove(&number).is_some() || !self.rows.contains(&number));
        }
    }

    /// Live positions of a queue over all lanes, by the entries of its runs.
    fn live(&mut self, queue: QueueId) -> BTreeSet<u64> {
        let all = PositionRange { first: Position(0), last: Position(u64::MAX) };
        let mut live = BTreeSet::new();
        for lane in 0..3 {
            for ((_, number), run) in self.index.overlapping(queue, lane, all) {
                let delta = self.index.run_deltas.get(&number);
                let entries = self.written.0[&number].iter().enumerate();
                let own = entries
                    .filter(|(at, _)| !delta.is_some_and(|delta| delta.settled.contains(*at as u64)))
                    .map(|(_, entry)| entry);
                let own: Vec<&Entry> = own.collect();
                assert_eq!(own.len(), run.live as usize);
                let bytes: u64 = own.iter().map(|entry| u64::from(entry.body_len)).sum();
                assert_eq!(bytes, run.live_bytes);
                live.extend(own.iter().map(|entry| entry.position));
            }
        }
        live
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put { queues: Vec<u64>, skip: u64, late: bool },
    Remove { queue: u64, first: u64, len: u64 },
    Delete { queue: u64 },
    Commit,
    Rotate,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let put = (proptest::collection::vec(1u64..4, 1..3), 0u64..3, proptest::bool::weighted(0.1))
        .prop_map(|(queues, skip, late)| Step::Put { queues, skip, late });
    let remove =
        (1u64..4, 0u64..60, 0u64..20).prop_map(|(queue, first, len)| Step::Remove { queue, first, len });
    let step = prop_oneof![
        12 => put,
        4 => remove,
        1 => (1u64..4).prop_map(|queue| Step::Delete { queue }),
        4 => Just(Step::Commit),
        1 => Just(Step::Rotate),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn the_index_is_a_map_of_positions(steps in steps()) {
        let mut pure = Pure::new();
        let mut naive: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        let mut next: BTreeMap<u64, u64> = BTreeMap::new();
        let mut left_out: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut ops = Vec::new();
        for step in steps.into_iter().chain([Step::Commit]) {
            match step {
                Step::Put { queues, skip, late } => {
                    let message = message(&[7; 100]);
                    for queue in queues.into_iter().collect::<BTreeSet<_>>() {
                        let next = next.entry(queue).or_insert(1);
                        let gaps = left_out.entry(queue).or_default();
                        gaps.extend(*next..*next + skip);
                        *next += skip;
                        let position = if late { gaps.pop() } else { None };
                        let position = position.unwrap_or_else(|| {
                            *next += 1;
                            *next - 1
                        });
                        naive.entry(queue).or_default().insert(position);
                        ops.push(put_in(queue, (position % 3) as u8, position, &message));
                    }
                }
                Step::Remove { queue, first, len } => {
                    naive.entry(queue).or_default().retain(|at| !(first..=first + len).contains(at));
                    ops.push(range(queue, first, first + len));
                }
                Step::Delete { queue } => {
                    naive.remove(&queue);
                    ops.push(Op::DeleteQueue { queue: QueueId(queue) });
                }
                Step::Rotate => pure.rotate(),
                Step::Commit => {
                    pure.commit(&std::mem::take(&mut ops));
                    for queue in 1..4 {
                        let expected = naive.get(&queue).cloned().unwrap_or_default();
                        prop_assert_eq!(pure.live(QueueId(queue)), expected);
                    }
                    let count: usize = naive.values().map(BTreeSet::len).sum();
                    prop_assert_eq!(pure.index.live_messages, count as u64);
                    prop_assert_eq!(pure.index.live_bytes, count as u64 * 100);
                    // What would be on disk is what somebody needs: in the active file to the row.
                    let active = pure.index.active_from();
                    let needed: BTreeSet<u64> = pure.index.runs_in(active..u64::MAX).iter().map(|run| run.0.number).collect();
                    let rows: BTreeSet<u64> = pure.rows.range(active..).copied().collect();
                    prop_assert_eq!(rows, needed);
                    let blobs: BTreeSet<u64> = pure.index.blobs_in(active..u64::MAX).map(|blob| blob.0).collect();
                    prop_assert_eq!(blobs, pure.blobs.range(active..).map(|blob| *blob.0).collect::<BTreeSet<_>>());
                    for pair in pure.index.files.clone().windows(2) {
                        let runs = pure.index.runs_in(pair[0].first_number..pair[1].first_number);
                        prop_assert_eq!(pair[0].live_runs, runs.len() as u64);
                    }
                }
            }
        }
    }
}
