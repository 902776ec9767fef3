//! The log before the journal: what is in it alone is there after a crash, what was flushed to the journal does not
//! come twice, and what cannot be read is not taken for anything else.

use std::os::unix::fs::FileExt;

use super::super::format::LOG;
use super::super::high_water::HIGH_WATER;
use super::*;
use crate::model::op::CatalogOp;

const BLOCK: u64 = 4096;

fn logged(path: &Path) -> (RedbStore, Recovered) {
    open(path, &StoreOptions { salt: 42, ..StoreOptions::default() }).unwrap()
}

/// The messages of queue 1 after a crash, by position.
fn after_a_crash(path: &Path) -> Vec<u64> {
    all(&mut logged(path).0, 1)
}

fn journal_len(path: &Path) -> u64 {
    std::fs::metadata(path.join("journal-00000001.redb")).unwrap().len()
}

#[test]
fn small_commits_are_there_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = logged(folder.path());
    let (one, before) = (message(b"one"), journal_len(folder.path()));
    for at in 1..=100 {
        store.commit(vec![put(1, at, &one)], vec![]).unwrap();
    }
    store.commit(vec![range(1, 1, 50)], vec![]).unwrap();
    let record = CatalogOp::Put { key: b"key".to_vec(), value: b"value".to_vec() };
    store.commit(vec![], vec![record]).unwrap();
    assert_eq!(journal_len(folder.path()), before, "nothing was written to the journal");
    drop(store);

    let report = verify(folder.path()).unwrap();
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.queues[&QueueId(1)], 50);

    let (mut store, recovered) = logged(folder.path());
    assert!(!recovered.clean);
    assert_eq!(recovered.catalog, [(b"key".to_vec(), b"value".to_vec())]);
    assert_eq!(recovered.messages, 50);
    assert_eq!(all(&mut store, 1), (51..=100).collect::<Vec<_>>());
    let fetched = store.fetch(&fetch(1, 51, 51, 1)).unwrap();
    assert!(fetched.entries[0].meta.redelivered, "it may have been delivered before the crash");
    close(store);
    assert!(logged(folder.path()).1.clean);
}

#[test]
fn what_the_journal_took_over_does_not_come_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = logged(folder.path());
    let one = message(b"one");
    store.commit(vec![put(1, 1, &one), put(1, 2, &one)], vec![]).unwrap();
    store.checkpoint().unwrap();
    store.commit(vec![range(1, 1, 1)], vec![]).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    assert_eq!(after_a_crash(folder.path()), [2]);
    assert_eq!(after_a_crash(folder.path()), [2]);
}

#[test]
fn a_large_commit_takes_what_was_logged_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = logged(folder.path());
    store.commit(vec![put(1, 1, &message(b"one"))], vec![]).unwrap();
    store.commit(vec![put(1, 2, &message(&[2; 2 << 20]))], vec![]).unwrap();
    assert!(store.memtable.is_empty() && store.log.is_empty());
    store.commit(vec![put(1, 3, &message(b"three"))], vec![]).unwrap();
    drop(store);
    assert_eq!(after_a_crash(folder.path()), [1, 2, 3]);
}

#[test]
fn removals_in_no_order_do_not_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = logged(folder.path());
    let one = message(b"one");
    store.commit((1..=20_000).map(|at| put(1, at, &one)).collect(), vec![]).unwrap();
    store.checkpoint().unwrap();
    for from in (1..=20_000).step_by(100) {
        let odd = (from..from + 100).step_by(2);
        store.commit(odd.map(|at| range(1, at, at)).collect(), vec![]).unwrap();
        assert!(store.memtable.parts() < 8192);
    }
    drop(store);
    assert_eq!(after_a_crash(folder.path()), (2..=20_000).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_full_log_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { log_bytes: 4 * BLOCK, ..StoreOptions::default() };
    let (mut store, _) = open(folder.path(), &options).unwrap();
    let one = message(b"one");
    for at in 1..=11 {
        store.commit(vec![put(1, at, &one)], vec![]).unwrap();
    }
    assert_eq!(std::fs::metadata(folder.path().join(LOG)).unwrap().len(), 4 * BLOCK);
    drop(store);
    assert_eq!(after_a_crash(folder.path()), (1..=11).collect::<Vec<_>>());
}

#[test]
fn spilled_messages_cost_the_log_nothing_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = logged(folder.path());
    let mut spilled = put(1, 1, &message(b"one"));
    if let Op::Put { durable, .. } = &mut spilled {
        *durable = false;
    }
    store.commit(vec![spilled], vec![]).unwrap();
    assert!(std::fs::read(folder.path().join(LOG)).unwrap().iter().all(|&byte| byte == 0));
    assert_eq!(all(&mut store, 1), [1]);
    drop(store);
    assert_eq!(after_a_crash(folder.path()), [0u64; 0]);
}

#[test]
fn reading_knows_what_is_in_the_log_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = logged(folder.path());
    let one = message(b"one");
    store.commit((1..=9).map(|at| put(1, at, &one)).collect(), vec![]).unwrap();
    store.checkpoint().unwrap();
    let requeue = requeue(1, 7, COUNTED);
    store.commit(vec![range(1, 2, 5), requeue, range(1, 9, 9)], vec![]).unwrap();
    let fetched = store.fetch(&fetch(1, 0, u64::MAX, usize::MAX)).unwrap();
    assert!(!store.memtable.is_empty(), "reading did not need a flush");
    assert_eq!(positions(&fetched), [1, 6, 7, 8]);
    let counts: Vec<_> = fetched.entries.iter().map(|entry| entry.meta.attempts).collect();
    assert_eq!(counts, [Attempts::NONE, Attempts::NONE, COUNTED, Attempts::NONE]);
    assert!(fetched.entries[2].meta.redelivered && !fetched.entries[1].meta.redelivered);
    store.commit(vec![Op::DeleteQueue { queue: QueueId(1) }], vec![]).unwrap();
    assert_eq!(all(&mut store, 1), [0u64; 0]);
}

#[test]
fn what_was_counted_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = logged(folder.path());
    let one = message(b"one");
    let mut counted = put(1, 2, &one);
    if let Op::Put { meta, .. } = &mut counted {
        meta.attempts = COUNTED;
    }
    let requeue = |position, attempts| requeue(1, position, attempts);
    let acquired = Attempts { acquired: 200, failed: 0 };
    let ops = vec![put(1, 1, &one), counted, put(1, 3, &one), put(1, 4, &one)];
    store.commit(ops, vec![]).unwrap();
    store.commit(vec![requeue(3, acquired), requeue(4, Attempts::NONE)], vec![]).unwrap();
    drop(store);
    let (mut store, _) = logged(folder.path());
    let entries = store.fetch(&fetch(1, 0, 9, usize::MAX)).unwrap().entries;
    let counts: Vec<_> = entries.iter().map(|entry| entry.meta.attempts).collect();
    assert_eq!(counts, [Attempts::NONE, COUNTED, acquired, Attempts::NONE]);
}

/// Writes over the log behind its back.
fn scribble(path: &Path, at: u64, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(path.join(LOG)).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn a_torn_record_was_never_confirmed_and_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = logged(folder.path());
    let high_water_file = folder.path().join(HIGH_WATER);
    let mut before = Vec::new();
    for at in 1..=3 {
        before = std::fs::read(&high_water_file).unwrap();
        store.commit(vec![put(1, at, &message(b"one"))], vec![]).unwrap();
    }
    drop(store);
    scribble(folder.path(), 2 * BLOCK + 30, b"torn");
    let report = verify(folder.path()).unwrap();
    assert!(
        matches!(report.damage.found[..], [Damage::LogCommits { lost: 1, .. }]),
        "it was confirmed: {report}"
    );
    std::fs::write(high_water_file, before).unwrap();
    assert!(verify(folder.path()).unwrap().is_sound());
    assert_eq!(after_a_crash(folder.path()), [1, 2]);
}

#[test]
fn a_damaged_record_is_reported_and_costs_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = logged(folder.path());
    for at in 1..=3 {
        store.commit(vec![put(1, at, &message(b"one"))], vec![]).unwrap();
    }
    drop(store);
    scribble(folder.path(), BLOCK + 30, b"rot");
    let report = verify(folder.path()).unwrap();
    let log = report.files.iter().find(|file| file.name == LOG).unwrap();
    assert_eq!(log.messages, 2);
    assert!(matches!(report.damage.found[..], [Damage::LogCommits { lost: 1, .. }]), "{report}");
    let refused = open(folder.path(), &StoreOptions::default());
    assert!(matches!(&refused, Err(OpenError::Lost(damage)) if *damage == report.damage), "{refused:?}");
    let accept = StoreOptions { accept_loss: true, ..StoreOptions::default() };
    let (mut store, recovered) = open(folder.path(), &accept).unwrap();
    assert_eq!((recovered.damage, all(&mut store, 1)), (report.damage, vec![1, 3]));
    drop(store);
    assert_eq!(after_a_crash(folder.path()), [1, 3], "what was accepted is not asked again");
}

#[test]
fn a_message_that_looks_like_a_record_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = logged(folder.path());
    store.commit(vec![put(1, 1, &message(b"one"))], vec![]).unwrap();
    let mut forged = std::fs::read(folder.path().join(LOG)).unwrap();
    drop(store);
    // The next process has another salt, so a record copied into a body at the right place is only a body.
    let options = StoreOptions { salt: 43, ..StoreOptions::default() };
    let (mut store, _) = open(folder.path(), &options).unwrap();
    store.commit(vec![put(1, 2, &message(b"two"))], vec![]).unwrap();
    drop(store);
    forged[8] = 200; // the sequence number
    let len = u32::from_le_bytes(forged[4..8].try_into().unwrap()) as usize;
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&forged[4..24]);
    checksum.update(&forged[28..len]);
    forged[24..28].copy_from_slice(&checksum.finalize().to_le_bytes());
    scribble(folder.path(), BLOCK, &forged);
    assert_eq!(after_a_crash(folder.path()), [1, 2]);
}
