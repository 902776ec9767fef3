//! Files of the store: rotation, removal, copying forward, locks, versions.

use super::super::format::NEWEST;
use super::*;
use crate::model::holdings::{Holdings, While};
use crate::store::changes::Changes;
use crate::store::disk::{Disk, Folder};
use crate::store::redb::DataFile;

fn journals(path: &Path) -> Vec<String> {
    let mut names = Folder::existing(path).unwrap().list().unwrap();
    names.retain(|name| name.starts_with("journal"));
    names.sort();
    names
}

#[test]
fn full_files_are_sealed_and_removed_once_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &tiny()).unwrap();
    for at in 1..=100 {
        store.commit(vec![put(1, at, &message(&[1; 10_000]))], vec![]).unwrap();
    }
    assert!(journals(folder.path()).len() >= 4, "{:?}", journals(folder.path()));
    drop(store);
    let (mut store, recovered) = open(folder.path(), &tiny()).unwrap();
    assert_eq!(recovered.messages, 100);
    assert_eq!(all(&mut store, 1), (1..=100).collect::<Vec<_>>());
    for at in 1..=100 {
        store.commit(vec![range(1, at, at)], vec![]).unwrap();
        assert_eq!(all(&mut store, 1).len() as u64, 100 - at);
    }
    assert_eq!(journals(folder.path()).len(), 1);
    close(store);
    let (mut store, recovered) = open(folder.path(), &tiny()).unwrap();
    assert!(recovered.queues.is_empty() && store.index.tombstones.is_empty());
    store.commit(vec![put(1, 101, &message(b"one"))], vec![]).unwrap();
    assert_eq!(all(&mut store, 1), [101]);
}

#[test]
fn a_message_of_a_sealed_file_is_written_again_for_another_queue() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &tiny()).unwrap();
    let shared = message(&[9; 10_000]);
    store.commit(vec![put(1, 1, &shared)], vec![]).unwrap();
    for at in 1..=40 {
        store.commit(vec![put(2, at, &message(&[1; 10_000]))], vec![]).unwrap();
    }
    store.commit(vec![put(3, 1, &shared)], vec![]).unwrap();
    store.commit(vec![range(1, 1, 1), range(2, 1, 40)], vec![]).unwrap();
    assert!(!folder.path().join("journal-00000001.redb").exists());
    let found = store.fetch(&fetch(3, 1, 1, 1)).unwrap();
    assert_eq!(body_of(&found.entries[0].message), vec![9; 10_000]);
}

#[test]
fn what_was_noted_of_a_file_outlives_the_file_it_was_noted_in() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &StoreOptions { quiet_commits: 1 << 40, ..tiny() }).unwrap();
    let one = message(&[1; 1000]);
    store.commit((1..=100).map(|at| put(1, at, &one)).collect::<Vec<_>>(), vec![]).unwrap();
    let requeue = requeue(1, 60, COUNTED);
    for at in 0..60 {
        let fill: Vec<_> = (1..=20).map(|more| put(2, at * 20 + more, &message(&[2; 1000]))).collect();
        store.commit(fill.clone(), vec![]).unwrap();
        if at == 20 {
            store.commit(vec![range(1, 1, 50), requeue.clone()], vec![]).unwrap();
        }
    }
    assert!(journals(folder.path()).len() >= 4);
    for _ in 0..2 {
        drop(store);
        store = open(folder.path(), &tiny()).unwrap().0;
        assert_eq!(all(&mut store, 1), (51..=100).collect::<Vec<_>>());
        let back = store.fetch(&fetch(1, 60, 60, 1)).unwrap();
        assert_eq!(back.entries[0].meta.attempts, COUNTED);
    }
}

/// Entries that are too long for the row of their run, and so short that redb would put them into one page with a chunk.
#[test]
fn chunks_have_pages_to_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    for first in (0..40).map(|part| 1 + part * 100) {
        let puts = (first..first + 100).map(|position| put(1, position, &message(&[1; 1000])));
        store.commit(puts.collect(), vec![]).unwrap();
    }
    let bytes = store.usage().file_bytes;
    assert!(bytes < 8 << 20, "{bytes} bytes for 4 MB: a file doubles when it is full");
    close(store);
}

#[test]
fn the_last_messages_of_a_file_are_copied_forward() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &tiny()).unwrap();
    let one = message(&[1; 1000]);
    for at in 0..100 {
        let shared = message(&[2; 9000]);
        let mut ops: Vec<_> = (1..=20).map(|more| put(1, at * 20 + more, &message(&[1; 1000]))).collect();
        ops.extend([put(2, at, &shared), put(3, at, &shared)]);
        store.commit(ops, vec![]).unwrap();
    }
    let before = journals(folder.path());
    assert!(before.len() >= 8);
    // All but a message in 200 goes.
    let remove: Vec<_> = (0..10).map(|at| range(1, at * 200 + 2, at * 200 + 200)).collect();
    store.commit(remove, vec![]).unwrap();
    store.commit(vec![range(2, 1, 200), range(3, 1, 98)], vec![]).unwrap();
    let requeue = requeue(1, 201, COUNTED);
    store.commit(vec![requeue], vec![]).unwrap();
    for _ in 0..40 {
        store.commit(vec![put(4, 1, &one), range(4, 1, 1)], vec![]).unwrap();
    }
    let left: Vec<u64> = (0..10).map(|at| at * 200 + 1).collect();
    let check = |store: &mut RedbStore| {
        assert_eq!(all(store, 1), left);
        assert_eq!((all(store, 2), all(store, 3)), (vec![0], vec![0, 99]));
        assert_eq!(store.fetch(&fetch(1, 201, 201, 1)).unwrap().entries[0].meta.attempts, COUNTED);
        assert_eq!(store.usage().messages, 13);
    };
    check(&mut store);
    assert_eq!(journals(folder.path()).len(), 1, "{:?}", journals(folder.path()));
    drop(store);
    check(&mut open(folder.path(), &tiny()).unwrap().0);
}

#[test]
fn an_active_file_with_little_left_gives_its_bytes_back_although_nothing_more_comes() {
    for kept in [0, 2] {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { file_bytes: 32 << 20, cache_bytes: 1 << 20, ..without_log() };
        let (mut store, _) = open(folder.path(), &options).unwrap();
        for at in 1..=60 {
            store.commit(vec![put(1, at, &message(&vec![at as u8; 200_000]))], vec![]).unwrap();
        }
        assert!(store.usage().file_bytes > 12 << 20);
        store.commit(vec![range(1, kept + 1, 60)], vec![]).unwrap();
        let mut checkpoints = 0;
        while store.checkpoint().unwrap() {
            checkpoints += 1;
            assert!(checkpoints < 60, "it comes to an end");
        }
        assert!(checkpoints >= 4, "a backlog that comes and goes is left in peace");
        assert_eq!(journals(folder.path()).len(), 1, "{:?}", journals(folder.path()));
        assert!(store.usage().file_bytes < 6 << 20, "{:?}", store.usage());
        assert!(!store.checkpoint().unwrap());
        drop(store);
        let (mut store, recovered) = open(folder.path(), &options).unwrap();
        assert_eq!(recovered.messages, kept);
        assert_eq!(all(&mut store, 1), (1..=kept).collect::<Vec<_>>());
        assert!(!store.checkpoint().unwrap());
    }
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = start(folder.path());
    assert!(matches!(open(folder.path(), &tiny()), Err(OpenError::Locked)));
    assert!(matches!(verify(folder.path()), Err(OpenError::Locked)));
    close(store);
    assert!(open(folder.path(), &tiny()).is_ok());
}

#[test]
fn a_newer_format_is_refused() {
    for name in ["catalog.redb", "journal-00000001.redb"] {
        let folder = tempfile::tempdir().unwrap();
        close(start(folder.path()).0);
        set_format(folder.path(), name, NEWEST + 1);
        let refused = open(folder.path(), &tiny());
        assert!(matches!(refused, Err(OpenError::NewerFormat { found: 5, known: 4 })), "{refused:?}");
    }
}

fn set_format(path: &Path, name: &str, format: u64) {
    let data = DataFile::open(&Folder::existing(path).unwrap(), name, 1 << 20).unwrap().unwrap();
    data.apply(&Changes { meta: vec![("format", format)], ..Changes::default() }).unwrap();
    data.close().unwrap();
}

#[test]
fn a_folder_that_is_a_file_is_a_clear_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(open(file.path(), &tiny()).is_err());
}

#[test]
fn unneeded_blobs_are_given_back_over_several_commits_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    let one = message(&vec![1; 900_000]);
    for at in 1..=30 {
        store.commit(vec![put(1, at, &message(&vec![at as u8; 900_000]))], vec![]).unwrap();
    }
    store.commit(vec![Op::DeleteQueue { queue: QueueId(1) }], vec![]).unwrap();
    assert!(store.allocated > 10 << 20, "not all at once");
    let left = store.allocated;
    drop(store);
    let (mut store, _) = start(folder.path());
    assert!(store.allocated + (9 << 20) > left, "what is left is known after a restart");
    for at in 1..=5 {
        store.commit(vec![put(2, at, &one), range(2, at - 1, at - 1)], vec![]).unwrap();
    }
    assert!(store.allocated < 3 << 20, "{}", store.allocated);
    assert_eq!(all(&mut store, 2), [5]);
}

#[test]
fn once_everything_is_acked_and_deleted_nothing_is_held_of_it() {
    let folder = tempfile::tempdir().unwrap();
    for options in [tiny(), StoreOptions { log_bytes: 64 << 10, ..tiny() }] {
        let (mut store, _) = open(folder.path(), &options).unwrap();
        for queue in 1..=20 {
            let puts = (1..=50).map(|at| put_in(queue, u8::from(at % 5 == 0), at, &message(&[1; 3000])));
            store.commit(puts.collect(), vec![]).unwrap();
        }
        let requeue = |queue| requeue(queue, 7, COUNTED);
        store.commit((1..=20).map(requeue).collect(), vec![]).unwrap();
        assert_eq!(all(&mut store, 3).len(), 40);
        // In no order, so that runs have holes first.
        for odd in [true, false] {
            let ranges = (1..=20).flat_map(|queue| (1..=50).map(move |at| (queue, at)));
            let ranges = ranges.filter(|(_, at)| (at % 2 == 1) == odd);
            store.commit(ranges.map(|(queue, at)| range(queue, at, at)).collect(), vec![]).unwrap();
        }
        let delete = |queue| Op::DeleteQueue { queue: QueueId(queue) };
        store.commit((1..=20).map(delete).collect(), vec![]).unwrap();
        while store.checkpoint().unwrap() {}
        let mut holdings = Holdings::default();
        store.index.holdings(&mut holdings);
        store.memtable.holdings(&mut holdings);
        // Changes that make it smaller wait for the next transaction. What is empty keeps no room either: it may have
        // been large.
        let left =
            holdings.iter().filter(|left| left.len.max(left.capacity) > 0 && left.held != While::InTransit);
        let left: Vec<_> = left.collect();
        assert!(left.is_empty(), "{left:?}");
        close(store);
    }
}
