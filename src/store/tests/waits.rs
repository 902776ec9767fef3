//! Messages that wait: until when is known after every kind of end, wherever they lie, and a directory without any stays one
//! that older versions read.

use super::super::format::{FORMAT, WITH_WAITS, meta};
use super::super::testing::requeue_to_wait;
use super::*;

const UNTIL: u64 = 1_800_000_000_000;

/// Position and until when, of queue 1.
fn waiting(recovered: &Recovered) -> Vec<(u64, u64)> {
    let queues = recovered.queues.iter().filter(|found| found.queue == QueueId(1));
    let mut waiting: Vec<_> =
        queues.flat_map(|found| &found.waiting).map(|wait| (wait.position.0, wait.not_before.0)).collect();
    waiting.sort_unstable();
    waiting
}

fn ready(recovered: &Recovered) -> u64 {
    spans(recovered, 1).iter().map(|span| span.count).sum()
}

fn format_of(store: &RedbStore) -> u64 {
    store.journal.active.meta(meta::FORMAT).unwrap().unwrap()
}

fn puts(count: u64) -> Vec<Op> {
    (1..=count).map(|at| put(1, at, &message(&[1; 1000]))).collect()
}

#[test]
fn what_waits_in_journal_and_log_waits_after_each_kind_of_end() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &StoreOptions::default()).unwrap();
    store.commit(puts(10), vec![]).unwrap();
    store.checkpoint().unwrap();
    store.commit(vec![put(1, 11, &message(b"in the log alone"))], vec![]).unwrap();
    let waits = [2, 3, 7, 11].map(|at| requeue_to_wait(1, at, COUNTED, UNTIL + at));
    for wait in waits {
        store.commit(vec![wait], vec![]).unwrap();
    }
    let expected = [2, 3, 7, 11].map(|at| (at, UNTIL + at));
    drop(store);
    let (store, recovered) = open(folder.path(), &StoreOptions::default()).unwrap();
    assert_eq!((waiting(&recovered), ready(&recovered)), (expected.to_vec(), 7), "after a kill");
    let wait = recovered.queues[0].waiting.iter().find(|wait| wait.position == Position(11)).unwrap();
    assert_eq!((wait.body, wait.expires_at), (16, None));
    assert_eq!(recovered.queues[0].next_position, Position(12));
    close(store);
    let (mut store, recovered) = open(folder.path(), &StoreOptions::default()).unwrap();
    assert_eq!((waiting(&recovered), ready(&recovered)), (expected.to_vec(), 7), "after a stop");
    let found = store.fetch(&fetch(1, 2, 2, 1)).unwrap().entries[0].meta;
    assert_eq!((found.not_before, found.attempts), (Timestamp(UNTIL + 2), COUNTED));

    // One comes back again, for longer and for good; one is gone.
    let ops = vec![requeue_to_wait(1, 2, COUNTED, UNTIL + 50), requeue(1, 3, COUNTED), range(1, 7, 7)];
    store.commit(ops, vec![]).unwrap();
    drop(store);
    let (_, recovered) = open(folder.path(), &StoreOptions::default()).unwrap();
    assert_eq!((waiting(&recovered), ready(&recovered)), (vec![(2, UNTIL + 50), (11, UNTIL + 11)], 8));
    let report = verify(folder.path()).unwrap();
    assert!(report.is_sound(), "{report}");
}

#[test]
fn the_format_is_a_newer_one_from_the_first_wait_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &StoreOptions::default()).unwrap();
    store.commit(puts(3), vec![]).unwrap();
    store.commit(vec![requeue(1, 1, COUNTED)], vec![]).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(format_of(&store), FORMAT);
    // It was not put to wait before it left: nothing says so.
    store.commit(vec![requeue_to_wait(1, 2, COUNTED, UNTIL), range(1, 2, 2)], vec![]).unwrap();
    assert_eq!(format_of(&store), FORMAT);
    store.commit(vec![requeue_to_wait(1, 3, COUNTED, UNTIL)], vec![]).unwrap();
    assert_eq!(format_of(&store), WITH_WAITS, "before a record of the log says so");
    let flushed = store.log.flushed();
    store.commit(vec![requeue_to_wait(1, 1, COUNTED, UNTIL)], vec![]).unwrap();
    assert_eq!(store.log.flushed(), flushed, "which is enough for the next one");
    store.commit(vec![range(1, 1, 3)], vec![]).unwrap();
    close(store);
    let (mut store, _) = open(folder.path(), &StoreOptions::default()).unwrap();
    assert_eq!(format_of(&store), WITH_WAITS, "nor does it become the older one again");
    store.rotate().unwrap();
    assert_eq!(format_of(&store), WITH_WAITS, "the next file is of it, too");
}

#[test]
fn what_is_copied_forward_goes_on_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &tiny()).unwrap();
    store.commit(puts(100), vec![]).unwrap();
    store.commit(vec![requeue_to_wait(1, 50, COUNTED, UNTIL)], vec![]).unwrap();
    store.commit(vec![range(1, 1, 49), range(1, 52, 100)], vec![]).unwrap();
    for at in 1..=100 {
        store.commit(vec![put(2, at, &message(&[2; 10_000]))], vec![]).unwrap();
    }
    store.commit(vec![range(2, 1, 100)], vec![]).unwrap();
    for _ in 0..40 {
        store.commit(vec![put(3, 1, &message(b"one")), range(3, 1, 1)], vec![]).unwrap();
    }
    assert!(!folder.path().join("journal-00000001.redb").exists(), "its last messages were copied");
    drop(store);
    let (_, recovered) = open(folder.path(), &tiny()).unwrap();
    assert_eq!((waiting(&recovered), ready(&recovered)), (vec![(50, UNTIL)], 1));
}

/// A put of one that waits before its first delivery.
fn put_for_later(position: u64, until: u64) -> Op {
    let mut put = put(1, position, &message(b"later"));
    if let Op::Put { meta, .. } = &mut put {
        meta.not_before = Timestamp(until);
    }
    put
}

#[test]
fn what_waits_before_its_first_delivery_has_not_been_delivered() {
    for checkpoint in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = open(folder.path(), &StoreOptions::default()).unwrap();
        store.commit(vec![put_for_later(1, UNTIL)], vec![]).unwrap();
        assert_eq!(format_of(&store), WITH_WAITS);
        store.commit(vec![put_for_later(2, UNTIL), put(1, 3, &message(b"now"))], vec![]).unwrap();
        if checkpoint {
            store.checkpoint().unwrap();
        }
        close(store);
        let (mut store, recovered) = open(folder.path(), &StoreOptions::default()).unwrap();
        assert_eq!((waiting(&recovered), ready(&recovered)), (vec![(1, UNTIL), (2, UNTIL)], 1));
        for entry in store.fetch(&fetch(1, 1, 3, usize::MAX)).unwrap().entries {
            let until = if entry.position == Position(3) { 0 } else { UNTIL };
            assert_eq!((entry.meta.redelivered, entry.meta.not_before), (false, Timestamp(until)));
        }
        store.commit(vec![requeue(1, 2, Attempts::NONE)], vec![]).unwrap();
        drop(store);
        let (mut store, recovered) = open(folder.path(), &StoreOptions::default()).unwrap();
        assert_eq!(waiting(&recovered), [(1, UNTIL)], "it came back, and is ready");
        assert!(store.fetch(&fetch(1, 2, 2, 1)).unwrap().entries[0].meta.redelivered);
    }
}

#[test]
fn a_kill_forgets_no_schedule_that_the_log_alone_has() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &StoreOptions::default()).unwrap();
    store.commit(vec![put_for_later(1, UNTIL)], vec![]).unwrap();
    let flushed = store.log.flushed();
    store.commit(vec![put_for_later(2, UNTIL + 1)], vec![]).unwrap();
    assert_eq!(store.log.flushed(), flushed, "the second one is in the log alone");
    drop(store);
    let (_, recovered) = open(folder.path(), &StoreOptions::default()).unwrap();
    assert_eq!((waiting(&recovered), spans_of(&recovered)), (vec![(1, UNTIL), (2, UNTIL + 1)], 0));
}

fn spans_of(recovered: &Recovered) -> usize {
    recovered.queues.iter().map(|queue| queue.lanes.len()).sum()
}
