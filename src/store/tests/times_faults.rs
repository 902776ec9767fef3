//! Times and single messages where something is wrong: what cannot be read is reported and costs no other, and nothing that
//! is there is said not to be.

use std::fs;

use super::times::{expiring, these, times_of};
use super::watched_disk::WatchedDisk;
use super::*;
use crate::model::ids::PositionRange;
use crate::store::journal_files::journal_name;

const ALWAYS: u64 = u64::MAX;
/// Bodies that fill chunks of several pages.
const BODY: usize = 1000;
/// The messages of queue 1: most in commits of a hundred, and in the active file so many that their entries do not fit in
/// the row of their run, which is read when the store is opened.
const MESSAGES: u64 = 2600;
const LAST: u64 = 600;

fn options() -> StoreOptions {
    StoreOptions { accept_loss: true, cache_bytes: 0, ..tiny() }
}

/// A store with messages that expire at their position, in several files, and nothing of it in memory.
fn with_files(disk: &WatchedDisk) -> RedbStore {
    let (mut store, _) = open_on(Arc::new(disk.clone()), &options()).unwrap();
    let commits = (1..MESSAGES - LAST).step_by(100).map(|first| first..first + 100);
    for positions in commits.chain(std::iter::once(MESSAGES - LAST + 1..MESSAGES + 1)) {
        let puts = positions.map(|position| expiring(position, BODY, Some(position)));
        store.commit(puts.collect(), vec![]).unwrap();
    }
    assert!(store.index.files.len() > 4, "{:?}", store.index.files);
    close(store);
    open_on(Arc::new(disk.clone()), &options()).unwrap().0
}

fn every(step: usize) -> Vec<u64> {
    (1..=MESSAGES).step_by(step).collect()
}

/// Positions of what expires, as far as that can be told.
fn expire(store: &mut RedbStore) -> Vec<u64> {
    let fetched = store.fetch(&times_of(1, MESSAGES, MESSAGES)).unwrap();
    assert_eq!(fetched.through, Position(MESSAGES));
    let mut positions: Vec<u64> = fetched.times.entries.iter().map(|time| time.position.0).collect();
    positions.sort_unstable();
    positions
}

/// Positions of every so many messages that can be read.
fn single(store: &mut RedbStore, step: usize) -> Vec<u64> {
    let fetched = store.fetch(&these(&every(step), usize::MAX)).unwrap();
    assert!(fetched.through >= Position(MESSAGES - step as u64));
    for entry in &fetched.entries {
        assert_eq!(body_of(&entry.message), vec![entry.position.0 as u8; BODY]);
    }
    positions(&fetched)
}

#[test]
fn a_read_that_fails_once_costs_nothing() {
    for at in [0, 3, u64::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let disk = WatchedDisk::new(folder.path());
        let mut store = with_files(&disk);
        let file = store.index.files.iter().map(|file| file.file).nth(at as usize);
        let file = file.unwrap_or_else(|| store.index.files.last().unwrap().file);
        disk.fail_reads(&journal_name(file), 1);
        assert_eq!(expire(&mut store), every(1));
        disk.fail_reads(&journal_name(file), 1);
        assert_eq!(single(&mut store, 7), every(7));
        assert_eq!((disk.failures_left(), store.usage().quarantined), (0, 0));
        close(store);
    }
}

/// What is in a sealed file that cannot be read is reported; what is in others is there.
#[test]
fn a_sealed_file_that_cannot_be_read_costs_what_is_in_it() {
    for entries_are_known in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let disk = WatchedDisk::new(folder.path());
        let mut store = with_files(&disk);
        let file = store.index.files[2].file;
        // It is opened by then: only reading fails.
        assert_eq!(single(&mut store, 500), every(500));
        if entries_are_known {
            assert_eq!(expire(&mut store), every(1));
        }
        store.journal.sealed(file).unwrap();
        disk.fail_reads(&journal_name(file), ALWAYS);
        let (first, last) = messages_of(&store, file);
        let elsewhere = |position: &u64| !(first..=last).contains(position);
        let mut left = every(1);
        left.retain(|position| entries_are_known || elsewhere(position));
        assert_eq!(expire(&mut store), left);
        let mut left = every(7);
        left.retain(elsewhere);
        assert_eq!(single(&mut store, 7), left);
        assert!(store.usage().quarantined > 0, "it is reported");
        disk.fail_reads(&journal_name(file), 0);
        assert_eq!(single(&mut store, 7), every(7), "it was not for ever");
    }
}

/// From the first to the last position that is in a file.
fn messages_of(store: &RedbStore, file: u64) -> (u64, u64) {
    let runs = store.index.overlapping(
        QueueId(1),
        0,
        PositionRange { first: Position(0), last: Position(MESSAGES) },
    );
    let within = runs.filter(|((_, number), _)| store.journal.file_of(*number) == Some(file));
    let bounds = within.map(|((first, _), run)| (first, run.last));
    bounds.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))).unwrap()
}

/// The active one is set aside: what can be read of it is, and the store goes on with another one.
#[test]
fn an_active_file_that_cannot_be_read_is_set_aside() {
    for asks_for_times in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let disk = WatchedDisk::new(folder.path());
        let mut store = with_files(&disk);
        let active = store.index.files.last().unwrap().file;
        disk.fail_reads(&journal_name(active), 4);
        if asks_for_times {
            assert_eq!(expire(&mut store), every(1));
        } else {
            assert_eq!(single(&mut store, 7), every(7));
        }
        assert_eq!(disk.failures_left(), 0);
        assert!(store.index.files.last().unwrap().file > active, "another file is the active one");
        store.commit(vec![expiring(MESSAGES + 1, BODY, None)], vec![]).unwrap();
        assert_eq!((expire(&mut store), single(&mut store, 3)), (every(1), every(3)));
        close(store);
    }
}

/// That a file is not there is no answer, as it is none for who reads everything.
#[test]
fn a_sealed_file_that_is_gone_is_an_error() {
    for fetch in
        [times_of(1, MESSAGES, MESSAGES), these(&every(7), usize::MAX), fetch(1, 0, MESSAGES, usize::MAX)]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut store = with_files(&WatchedDisk::new(folder.path()));
        let file = store.index.files[2].file;
        fs::remove_file(folder.path().join(journal_name(file))).unwrap();
        let answer = store.fetch(&fetch);
        assert!(matches!(answer, Err(StoreError::Io(_))), "{answer:?}");
    }
}

/// Some records in sealed files, and some in the active one. Those that reach from one chunk to the next are not found here.
#[test]
fn a_damaged_record_is_reported_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    close(with_files(&WatchedDisk::new(folder.path())));
    let mut damaged = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let is_body = |window: &[u8]| window == [5; BODY];
        let places: Vec<usize> =
            bytes.windows(BODY).enumerate().filter(|(_, window)| is_body(window)).map(|(at, _)| at).collect();
        for place in &places {
            bytes[place + 7] ^= 0x40;
            bytes[place + 700] ^= 0x40;
        }
        damaged += places.len();
        fs::write(&path, bytes).unwrap();
    }
    assert!(damaged > 5, "{damaged}");
    let (mut store, _) = open(folder.path(), &options()).unwrap();
    let found = single(&mut store, 1);
    assert_eq!((found.len(), store.usage().quarantined), (MESSAGES as usize - damaged, damaged as u64));
    assert!(every(1).iter().all(|position| *position as u8 == 5 || found.contains(position)));
    assert_eq!(expire(&mut store), every(1), "their times are still known");
}

/// Files are emptied, their last messages copied forward, and removed, a step at a time: at each of them everything is
/// answered.
#[test]
fn answers_are_the_same_while_files_are_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = with_files(&WatchedDisk::new(folder.path()));
    let files = store.index.files.len();
    let mut left = every(1);
    for first in (1..=MESSAGES).step_by(100) {
        store.commit(vec![range(1, first, first + 97)], vec![]).unwrap();
        left.retain(|position| !(first..=first + 97).contains(position));
        assert_eq!(expire(&mut store), left, "after {first}");
        store.do_housekeeping(true).unwrap();
        let fetched = store.fetch(&these(&every(1), usize::MAX)).unwrap();
        assert_eq!(positions(&fetched), left, "after {first}");
        assert_eq!(expire(&mut store), left, "after {first}");
    }
    assert!(store.index.files.len() < files / 2, "{:?}", store.index.files);
    close(store);
}
