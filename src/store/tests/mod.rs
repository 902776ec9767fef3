//! Tests of the whole room, on real files in a temporary folder. Power cuts are in `tests/power_cut.rs`.

#![allow(clippy::cast_possible_truncation)]

mod damage;
mod files;
mod log;
mod missing;
mod pure;
mod times;
mod times_faults;
mod waits;
mod watched_disk;

use std::path::Path;
use std::sync::Arc;

use super::testing::{COUNTED, body_of, fetch, message, positions, put, put_in, range, requeue};
use super::*;
use crate::model::ids::{Position, QueueId, Timestamp};
use crate::model::message::Message;
use crate::model::op::{Attempts, EntryMeta, Span};

/// Most of these tests look at what the journal does, so every commit is to reach it at once.
fn without_log() -> StoreOptions {
    StoreOptions { log_bytes: 0, ..StoreOptions::default() }
}

pub(super) fn tiny() -> StoreOptions {
    StoreOptions { file_bytes: 256 << 10, cache_bytes: 1 << 20, quiet_commits: 1, ..without_log() }
}

pub(super) fn start(path: &Path) -> (RedbStore, Recovered) {
    open(path, &StoreOptions { cache_bytes: 1 << 20, ..without_log() }).unwrap()
}

pub(super) fn all(store: &mut RedbStore, queue: u64) -> Vec<u64> {
    let fetched = store.fetch(&fetch(queue, 0, u64::MAX, usize::MAX)).unwrap();
    assert_eq!(fetched.through, Position(u64::MAX));
    positions(&fetched)
}

pub(super) fn close(store: RedbStore) {
    Box::new(store).close().unwrap();
}

fn spans(recovered: &Recovered, queue: u64) -> Vec<Span> {
    let queue = recovered.queues.iter().find(|found| found.queue == QueueId(queue)).unwrap();
    queue.lanes.iter().flat_map(|(_, spans)| spans.clone()).collect()
}

#[test]
fn what_was_committed_comes_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, recovered) = start(folder.path());
    assert!(recovered.clean && recovered.queues.is_empty());
    let messages: Vec<_> = (1..=100u64).map(|at| message(&vec![at as u8; at as usize * 50])).collect();
    let ops: Vec<_> = (1..).zip(&messages).map(|(at, message)| put(1, at, message)).collect();
    store.commit(ops[..60].to_vec(), vec![]).unwrap();
    store.commit(ops[60..].to_vec(), vec![]).unwrap();
    store.commit(vec![range(1, 3, 30), range(1, 40, 40), range(1, 99, 300)], vec![]).unwrap();
    let expected: Vec<u64> = (1..=100).filter(|at| !matches!(at, 3..=30 | 40 | 99..)).collect();
    assert_eq!(all(&mut store, 1), expected);
    close(store);

    let (mut store, recovered) = start(folder.path());
    assert!(recovered.clean);
    assert_eq!(recovered.queues[0].next_position, Position(101));
    let found = spans(&recovered, 1);
    assert_eq!(found.iter().map(|span| span.count).sum::<u64>(), expected.len() as u64);
    assert_eq!(found.iter().map(|span| span.bytes).sum::<u64>(), expected.iter().sum::<u64>() * 50);
    assert_eq!(all(&mut store, 1), expected);
    for entry in store.fetch(&fetch(1, 0, u64::MAX, usize::MAX)).unwrap().entries {
        assert_eq!(body_of(&entry.message), body_of(&messages[entry.position.0 as usize - 1]));
        assert_eq!(entry.message.routing_key(), b"key");
        assert!(!entry.meta.redelivered);
    }
}

#[test]
fn a_fetch_is_bounded_and_says_how_far_it_reaches() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let big = message(&[7; 1000]);
    store.commit((1..=10).map(|at| put(1, at, &big)).collect::<Vec<_>>(), vec![]).unwrap();
    let some = store.fetch(&fetch(1, 2, 9, 4000)).unwrap();
    assert_eq!((positions(&some), some.through), (vec![2, 3, 4], Position(4)));
    let one = store.fetch(&fetch(1, 5, 9, 0)).unwrap();
    assert_eq!((positions(&one), one.through), (vec![5], Position(5)));
    let rest = store.fetch(&fetch(1, 8, 9, 9000)).unwrap();
    assert_eq!((positions(&rest), rest.through), (vec![8, 9], Position(9)));
    let none = store.fetch(&fetch(2, 8, 9, 9000)).unwrap();
    assert_eq!((positions(&none), none.through), (vec![], Position(9)));
}

#[test]
fn a_message_for_many_queues_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let big = message(&vec![7; 300_000]);
    let to_all: Vec<_> = (1..=50).map(|queue| put(queue, 1, &big)).collect();
    store.commit(to_all[..25].to_vec(), vec![]).unwrap();
    let once = store.allocated;
    assert!(once < 450_000, "{once} bytes for one body of 300,000");
    store.commit(to_all[25..].to_vec(), vec![]).unwrap();
    assert_eq!(store.allocated, once, "the second commit only points at it");
    for queue in 1..=49 {
        store.commit(vec![range(queue, 1, 1)], vec![]).unwrap();
        assert_eq!(store.allocated, once);
    }
    let left = store.fetch(&fetch(50, 1, 1, 1)).unwrap();
    assert_eq!(body_of(&left.entries[0].message), vec![7; 300_000]);
    store.commit(vec![range(50, 1, 1)], vec![]).unwrap();
    assert_eq!(store.allocated, 0);
}

#[test]
fn a_message_that_went_is_not_pointed_at() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let big = message(&vec![7; 100_000]);
    store.commit(vec![put(1, 1, &big)], vec![]).unwrap();
    store.commit(vec![range(1, 1, 1), put(2, 1, &big)], vec![]).unwrap();
    store.commit(vec![put(3, 1, &big)], vec![]).unwrap();
    close(store);
    let (mut store, _) = start(folder.path());
    assert_eq!((all(&mut store, 1), all(&mut store, 2), all(&mut store, 3)), (vec![], vec![1], vec![1]));
}

#[test]
fn what_comes_and_goes_in_one_commit_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let one = message(b"one");
    store.commit(vec![put(1, 1, &one), range(1, 1, 1)], vec![]).unwrap();
    assert_eq!((store.allocated, store.index.next_number), (0, 1));
    store.commit(vec![put(1, 2, &one), put(2, 1, &one), range(1, 2, 2)], vec![]).unwrap();
    assert_eq!((all(&mut store, 1), all(&mut store, 2)), (vec![], vec![1]));
}

#[test]
fn lanes_are_read_apart_and_removed_together() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let one = message(b"one");
    let ops: Vec<_> = (1..=30).map(|at| put_in(1, (at % 3) as u8, at, &one)).collect();
    store.commit(ops, vec![]).unwrap();
    store.commit(vec![range(1, 1, 20)], vec![]).unwrap();
    assert_eq!(all(&mut store, 1), [21, 24, 27, 30]);
    close(store);
    let (_, recovered) = start(folder.path());
    let lanes: Vec<_> =
        recovered.queues[0].lanes.iter().map(|(lane, spans)| (*lane, spans[0].count)).collect();
    assert_eq!(lanes, [(0, 4), (1, 3), (2, 3)]);
}

#[test]
fn a_message_spilled_late_is_read_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let one = message(b"one");
    let early: Vec<_> = (1..=50).filter(|at| at % 7 != 0).map(|at| put(1, at, &one)).collect();
    let late: Vec<_> = (1..=50).filter(|at| at % 7 == 0).map(|at| put(1, at, &one)).collect();
    store.commit(early, vec![]).unwrap();
    store.commit(late, vec![]).unwrap();
    assert_eq!(all(&mut store, 1), (1..=50).collect::<Vec<_>>());
    store.commit(vec![range(1, 6, 15), range(1, 35, 35)], vec![]).unwrap();
    let expected: Vec<u64> = (1..=50).filter(|at| !matches!(at, 6..=15 | 35)).collect();
    assert_eq!(all(&mut store, 1), expected);
    let part = store.fetch(&fetch(1, 16, 45, 200)).unwrap();
    assert_eq!(part.through.0, *positions(&part).last().unwrap());
}

#[test]
fn requeued_messages_are_remembered_and_so_is_an_unclean_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let one = message(b"one");
    store.commit((1..=5).map(|at| put(1, at, &one)).collect::<Vec<_>>(), vec![]).unwrap();
    let requeue = requeue(1, 2, COUNTED);
    store.commit(vec![requeue.clone()], vec![]).unwrap();
    close(store);

    let (mut store, _) = start(folder.path());
    let metas = |store: &mut RedbStore| -> Vec<(bool, Attempts)> {
        let fetched = store.fetch(&fetch(1, 1, 9, 9999)).unwrap();
        fetched.entries.iter().map(|entry| (entry.meta.redelivered, entry.meta.attempts)).collect()
    };
    let none = Attempts::NONE;
    let once = [(false, none), (true, COUNTED), (false, none), (false, none), (false, none)];
    assert_eq!(metas(&mut store), once);
    drop(store);

    let (mut store, recovered) = start(folder.path());
    assert!(!recovered.clean);
    let suspect = [(true, none), (true, COUNTED), (true, none), (true, none), (true, none)];
    assert_eq!(metas(&mut store), suspect);
    store.commit(vec![put(1, 6, &one)], vec![]).unwrap();
    close(store);

    let (mut store, recovered) = start(folder.path());
    assert!(recovered.clean, "a clean stop does not make up for the unclean one before");
    assert_eq!(metas(&mut store)[..5], suspect);
    assert_eq!(metas(&mut store)[5], (false, none));
}

#[test]
fn a_new_message_is_not_suspect_though_all_suspects_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let ops: Vec<_> = (1..=5).map(|at| put(at, 1, &message(b"one"))).collect();
    store.commit(ops, vec![]).unwrap();
    drop(store);
    let (mut store, _) = start(folder.path());
    store.commit((1..=5).map(|queue| range(queue, 1, 1)).collect::<Vec<_>>(), vec![]).unwrap();
    close(store);
    let (mut store, recovered) = start(folder.path());
    assert!(recovered.clean);
    store.commit(vec![put(1, 2, &message(b"one"))], vec![]).unwrap();
    assert!(!store.fetch(&fetch(1, 1, 9, 1)).unwrap().entries[0].meta.redelivered);
}

#[test]
fn spilled_messages_are_served_until_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let one = message(&[1; 500]);
    let spill = |queue: u64, at: u64| match put(queue, at, &one) {
        Op::Put { queue, lane, position, message, meta, .. } => {
            Op::Put { queue, lane, position, message, meta, durable: false }
        }
        other => other,
    };
    let mixed: Vec<_> =
        (1..=20).map(|at| if at % 2 == 0 { spill(1, at) } else { put(1, at, &one) }).collect();
    store.commit(mixed, vec![]).unwrap();
    store.commit((1..=20).map(|at| spill(2, at)).collect::<Vec<_>>(), vec![]).unwrap();
    assert_eq!((all(&mut store, 1).len(), all(&mut store, 2).len()), (20, 20));
    close(store);
    let (mut store, recovered) = start(folder.path());
    assert_eq!((recovered.queues.len(), recovered.messages), (1, 10));
    assert_eq!(spans(&recovered, 1).iter().map(|span| span.bytes).sum::<u64>(), 5000);
    assert_eq!(all(&mut store, 1), (1..=20).step_by(2).collect::<Vec<_>>());
    assert!(all(&mut store, 2).is_empty());
    close(store);
    assert_eq!(start(folder.path()).1.messages, 10);
}

#[test]
fn a_deleted_queue_takes_everything_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let one = message(&[1; 2000]);
    for batch in 0..40 {
        let ops: Vec<_> = (1..=100).map(|at| put(1, batch * 100 + at, &one)).collect();
        store.commit(ops, vec![]).unwrap();
    }
    store.commit(vec![put(2, 1, &one)], vec![]).unwrap();
    store.commit(vec![Op::DeleteQueue { queue: QueueId(1) }, put(2, 2, &one)], vec![]).unwrap();
    assert!(all(&mut store, 1).is_empty());
    assert_eq!(all(&mut store, 2), [1, 2]);
    drop(store);
    let (mut store, recovered) = start(folder.path());
    assert_eq!((recovered.queues.len(), recovered.messages), (1, 2));
    assert_eq!(store.usage().messages, 2);
    store.commit(vec![range(2, 1, 2)], vec![]).unwrap();
    assert_eq!((store.allocated, store.usage().body_bytes), (0, 0));
}

#[test]
fn a_huge_message_comes_back_in_slices() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let body: Vec<u8> = (0..16u32 << 20).map(|at| (at / 7) as u8).collect();
    let huge = message(&body);
    let small = message(b"small");
    store.commit(vec![put(1, 1, &small), put(1, 2, &huge), put(1, 3, &small)], vec![]).unwrap();
    close(store);
    let (mut store, _) = start(folder.path());
    let fetched = store.fetch(&fetch(1, 1, 9, 1 << 30)).unwrap();
    assert_eq!(positions(&fetched), [1, 2, 3]);
    assert!(body_of(&fetched.entries[1].message) == body);
    assert!(fetched.entries[1].message.body().slices().count() > 10, "nothing was put together");
    assert!(store.allocated < 18 << 20);
}

#[test]
fn a_long_queue_costs_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let one = message(&[1; 20]);
    for batch in 0..100 {
        let ops: Vec<_> = (1..=1000).map(|at| put(1, batch * 1000 + at, &one)).collect();
        store.commit(ops, vec![]).unwrap();
    }
    assert_eq!(store.index.runs_in(0..u64::MAX).len(), 100, "one run per commit");
    assert_eq!(store.usage().messages, 100_000);
    close(store);
    let (mut store, recovered) = start(folder.path());
    assert!(spans(&recovered, 1).len() <= 34);
    assert_eq!(spans(&recovered, 1).iter().map(|span| span.count).sum::<u64>(), 100_000);
    let middle = store.fetch(&fetch(1, 50_500, 50_600, usize::MAX)).unwrap();
    assert_eq!(positions(&middle), (50_500..=50_600).collect::<Vec<_>>());
}

#[test]
fn expiry_and_counts_survive() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let one = message(b"one");
    let meta = EntryMeta {
        expires_at: Some(Timestamp(77)),
        attempts: COUNTED,
        redelivered: true,
        ..EntryMeta::default()
    };
    let put =
        Op::Put { queue: QueueId(1), lane: 0, position: Position(1), message: one, meta, durable: true };
    store.commit(vec![put], vec![]).unwrap();
    close(store);
    let (mut store, recovered) = start(folder.path());
    assert_eq!(spans(&recovered, 1)[0].earliest_expiry, Some(Timestamp(77)));
    assert_eq!(store.fetch(&fetch(1, 1, 1, 1)).unwrap().entries[0].meta, meta);
}

#[test]
fn the_catalog_is_kept_with_and_without_messages() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let one = message(b"one");
    let record = |key: &[u8], value: &[u8]| CatalogOp::Put { key: key.to_vec(), value: value.to_vec() };
    store.commit(vec![], vec![record(b"a", b"1"), record(b"b", b"2")]).unwrap();
    store
        .commit(vec![put(1, 1, &one)], vec![record(b"c", b"3"), CatalogOp::Delete { key: b"a".to_vec() }])
        .unwrap();
    store.commit(vec![], vec![record(b"b", b"4")]).unwrap();
    drop(store);
    for _ in 0..2 {
        let (_, recovered) = start(folder.path());
        let expected = [(b"b".to_vec(), b"4".to_vec()), (b"c".to_vec(), b"3".to_vec())];
        assert_eq!(recovered.catalog, expected);
        assert_eq!(recovered.messages, 1);
    }
}

#[test]
fn the_memory_store_answers_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (mut on_disk, _) = start(folder.path());
    let mut in_memory = MemoryStore::new();
    let big: Arc<Message> = message(&[3; 900]);
    let ops: Vec<_> = (1..=20).map(|at| put(1, at, &big)).chain([range(1, 4, 9)]).collect();
    on_disk.commit(ops.clone(), vec![]).unwrap();
    in_memory.commit(ops, vec![]).unwrap();
    for ask in [fetch(1, 0, 100, usize::MAX), fetch(1, 5, 12, 10), fetch(2, 1, 1, 1)] {
        let (one, other) = (on_disk.fetch(&ask).unwrap(), in_memory.fetch(&ask).unwrap());
        assert_eq!((positions(&one), one.through), (positions(&other), other.through));
    }
    assert_eq!(on_disk.usage().messages, in_memory.usage().messages);
    let (_, recovered) = in_memory.restarted(true);
    assert_eq!((recovered.messages, recovered.queues[0].next_position), (14, Position(21)));
}
