//! Times and single messages: answered from the entries of runs, and from the journal without reading all of a chunk.

use std::sync::Arc;

use super::watched_disk::WatchedDisk;
use super::*;
use crate::model::ids::PositionRange;
use crate::model::op::{Fetch, StoredTime, Times, Wants};

pub(super) fn expiring(position: u64, body: usize, expires_at: Option<u64>) -> Op {
    let expires_at = expires_at.map(Timestamp);
    Op::Put {
        queue: QueueId(1),
        lane: 0,
        position: Position(position),
        message: message(&vec![position as u8; body]),
        meta: EntryMeta { expires_at, ..EntryMeta::default() },
        durable: true,
    }
}

pub(super) fn times_of(first: u64, last: u64, until: u64) -> Fetch {
    Fetch { wants: Wants::Times { until: Timestamp(until) }, ..fetch(1, first, last, 0) }
}

pub(super) fn these(positions: &[u64], max_bytes: usize) -> Fetch {
    let (first, last) = (positions[0], positions[positions.len() - 1]);
    let positions: Arc<[Position]> = positions.iter().copied().map(Position).collect();
    Fetch { wants: Wants::These(positions), ..fetch(1, first, last, max_bytes) }
}

fn sorted(mut times: Times) -> Times {
    times.entries.sort_unstable_by_key(|time| time.position);
    times
}

#[test]
fn times_are_those_of_what_is_there_and_the_rest_is_not_earlier() {
    let folder = tempfile::tempdir().unwrap();
    for logged in [false, true] {
        let path = folder.path().join(if logged { "logged" } else { "journal" });
        let options = if logged { StoreOptions::default() } else { without_log() };
        let (mut store, _) = open(&path, &options).unwrap();
        let at = |position: u64| (!position.is_multiple_of(3)).then_some(1000 + position * 7 % 500);
        for first in [1, 101, 201] {
            let puts = (first..first + 100).map(|position| expiring(position, 10, at(position)));
            store.commit(puts.collect(), vec![]).unwrap();
        }
        store.commit(vec![range(1, 50, 120), range(1, 7, 7)], vec![]).unwrap();
        let left = |position: &u64| !(50..=120).contains(position) && *position != 7;
        let fetched = store.fetch(&times_of(5, 280, 1200)).unwrap();
        let due = (5..=280).filter(left).filter_map(|position| {
            let expires_at = at(position).filter(|time| *time <= 1200).map(Timestamp)?;
            Some(StoredTime { position: Position(position), expires_at, body: 10 })
        });
        assert_eq!(sorted(fetched.times.clone()).entries, due.collect::<Vec<_>>());
        let later = (5..=280).filter(left).filter_map(at).filter(|time| *time > 1200).min();
        assert_eq!(fetched.times.rest, later.map(Timestamp));
        assert!(fetched.entries.is_empty() && fetched.through == Position(280));
        assert_eq!(store.fetch(&times_of(50, 120, 5000)).unwrap().times, Times::default());
        let none = store.fetch(&times_of(1, 300, 10)).unwrap().times;
        assert!(
            none.entries.is_empty()
                && none.rest.is_some_and(|rest| rest.0 >= 1000 && rest <= Timestamp(1007))
        );
        close(store);
    }
}

#[test]
fn an_answer_looks_at_so_many_entries_and_says_how_far_it_reaches() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    for first in (0..20).map(|part| 1 + part * 5000) {
        let puts = (first..first + 5000).map(|position| expiring(position, 0, Some(1000 + position)));
        store.commit(puts.collect(), vec![]).unwrap();
    }
    let (mut range, mut found, mut answers) = ((1, 100_000), Vec::new(), 0);
    while range.0 <= range.1 {
        let fetched = store.fetch(&times_of(range.0, range.1, 1_000_000)).unwrap();
        assert!(fetched.through >= Position(range.0) && fetched.times.entries.len() <= 65_536 + 8192);
        found.extend(sorted(fetched.times).entries.iter().map(|time| time.position.0));
        range.0 = fetched.through.0 + 1;
        answers += 1;
    }
    assert_eq!(found, (1..=100_000).collect::<Vec<_>>());
    assert_eq!(answers, 2);
    close(store);
}

#[test]
fn single_messages_are_found_wherever_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    for first in [1, 301, 601] {
        let puts = (first..first + 300).map(|position| expiring(position, 1000, None)).collect();
        store.commit(puts, vec![]).unwrap();
    }
    store.commit(vec![range(1, 300, 310)], vec![]).unwrap();
    let wanted = [3, 5, 6, 299, 305, 310, 311, 700, 701, 899, 5000];
    let there: Vec<u64> = wanted.into_iter().filter(|at| !(300..=310).contains(at) && *at <= 900).collect();
    let fetched = store.fetch(&these(&wanted, usize::MAX)).unwrap();
    assert_eq!((positions(&fetched), fetched.through), (there.clone(), Position(5000)));
    for entry in &fetched.entries {
        assert_eq!(body_of(&entry.message), vec![entry.position.0 as u8; 1000]);
    }
    let (mut rest, mut found) = (wanted.to_vec(), Vec::new());
    while !rest.is_empty() {
        let fetched = store.fetch(&these(&rest, 3000)).unwrap();
        assert!(fetched.entries.len() <= 3);
        found.extend(positions(&fetched));
        rest.retain(|at| Position(*at) > fetched.through);
    }
    assert_eq!(found, there);
    close(store);
}

/// Some in each of the megabytes of the active file and of sealed ones: what is read is about what is wanted.
#[test]
fn reading_single_messages_reads_no_more_than_these() {
    let folder = tempfile::tempdir().unwrap();
    let disk = WatchedDisk::new(folder.path());
    let options = StoreOptions { cache_bytes: 1 << 20, file_bytes: 9 << 20, ..without_log() };
    let (mut store, _) = open_on(Arc::new(disk.clone()), &options).unwrap();
    for first in (0..20).map(|part| 1 + part * 1000) {
        let puts = (first..first + 1000).map(|position| expiring(position, 1000, Some(position))).collect();
        store.commit(puts, vec![]).unwrap();
    }
    assert!(store.index.files.len() > 1, "there is a sealed file");
    // Where the chunks lie is found by the first of these.
    let wanted = |from: usize| (1..=20_000).skip(from).step_by(199).collect::<Vec<u64>>();
    assert_eq!(positions(&store.fetch(&these(&wanted(0), usize::MAX)).unwrap()), wanted(0));
    let before = disk.bytes_read();
    assert_eq!(positions(&store.fetch(&these(&wanted(57), usize::MAX)).unwrap()), wanted(57));
    let of_these = disk.bytes_read() - before;
    assert!(of_these < 101 * 1300, "{of_these} bytes for 101 messages of 1,000");
    let before = disk.bytes_read();
    store.fetch(&times_of(1, 20_000, 30_000)).unwrap();
    let of_times = disk.bytes_read() - before;
    assert_eq!(of_times, 0, "the entries of what expires are in memory");
    close(store);
}

#[test]
fn single_messages_of_small_commits_are_read_alone_too() {
    let folder = tempfile::tempdir().unwrap();
    let disk = WatchedDisk::new(folder.path());
    let options = StoreOptions { cache_bytes: 1 << 20, ..without_log() };
    let (mut store, _) = open_on(Arc::new(disk.clone()), &options).unwrap();
    for first in (0..40).map(|part| 1 + part * 100) {
        let puts = (first..first + 100).map(|position| expiring(position, 1000, Some(position))).collect();
        store.commit(puts, vec![]).unwrap();
    }
    let wanted = |from: usize, step: usize| (1..=4000).skip(from).step_by(step).collect::<Vec<u64>>();
    let before = disk.bytes_read();
    assert_eq!(positions(&store.fetch(&these(&wanted(0, 3), usize::MAX)).unwrap()), wanted(0, 3));
    let read = disk.bytes_read() - before;
    assert!(read < 1334 * 2200, "{read} bytes for 1,334 messages of 1,000 in 40 commits, and to find them");
    let before = disk.bytes_read();
    assert_eq!(positions(&store.fetch(&these(&wanted(29, 79), usize::MAX)).unwrap()), wanted(29, 79));
    let read = disk.bytes_read() - before;
    assert!(read < 51 * 2000, "{read} bytes for 51 messages of 1,000");
    close(store);
}

#[test]
fn the_memory_store_has_the_same_times_and_single_messages() {
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, _) = start(folder.path());
    let mut memory = MemoryStore::new();
    let puts: Vec<Op> = (1..=100).map(|at| expiring(at, 50, (at % 4 > 0).then_some(at * 31 % 97))).collect();
    for store in [&mut disk as &mut dyn Store, &mut memory] {
        store.commit(puts.clone(), vec![]).unwrap();
        store.commit(vec![range(1, 20, 29)], vec![]).unwrap();
    }
    for fetch in [times_of(1, 60, 40), times_of(30, 100, 90), these(&[1, 25, 30, 99], 1 << 20)] {
        let (one, other) = (disk.fetch(&fetch).unwrap(), memory.fetch(&fetch).unwrap());
        assert_eq!(sorted(one.times.clone()), sorted(other.times.clone()));
        assert_eq!((positions(&one), one.through), (positions(&other), other.through));
    }
    let range = PositionRange { first: Position(1), last: Position(100) };
    assert_eq!(disk.fetch(&fetch(1, range.first.0, range.last.0, 1 << 20)).unwrap().entries.len(), 90);
    close(disk);
}

#[test]
fn a_run_with_damaged_entries_has_no_times_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    for first in [1, 101] {
        let puts = (first..first + 100).map(|position| expiring(position, 10, Some(position))).collect();
        store.commit(puts, vec![]).unwrap();
    }
    close(store);
    // The entries of the first run are the only bytes in the file that begin like this.
    let journal = folder.path().join("journal-00000001.redb");
    let mut bytes = std::fs::read(&journal).unwrap();
    let run = [5, 0, 0];
    let entries =
        bytes.windows(9).position(|bytes| bytes.starts_with(&run) && bytes[4] == 10 && bytes[5] == 1);
    for byte in &mut bytes[entries.unwrap()..][..64] {
        *byte ^= 0x55;
    }
    std::fs::write(&journal, bytes).unwrap();
    let (mut store, _) = open(folder.path(), &StoreOptions { accept_loss: true, ..without_log() }).unwrap();
    let fetched = store.fetch(&times_of(1, 200, 1000)).unwrap();
    assert_eq!(fetched.through, Position(200));
    assert_eq!(fetched.times.entries.len(), 100);
    assert!(store.usage().quarantined > 0);
    assert_eq!(positions(&store.fetch(&these(&[50, 150], 1 << 20)).unwrap()), [150]);
}
