//! Files that are missing, cut, or older than they were: what is lost is said, by a start and by `verify` alike, a start
//! is refused until that is accepted, and what is not lost is served.

use std::fs;

use super::super::format::{CATALOG, LOG};
use super::super::high_water::HIGH_WATER;
use super::*;
use crate::model::op::CatalogOp;

const FIRST: &str = "journal-00000001.redb";
const SECOND: &str = "journal-00000002.redb";

/// Files of a few hundred kilobytes, and a log.
fn small(accept_loss: bool) -> StoreOptions {
    StoreOptions { log_bytes: 1 << 20, quiet_commits: 1 << 40, salt: 42, accept_loss, ..tiny() }
}

fn record(value: u8) -> CatalogOp {
    CatalogOp::Put { key: b"key".to_vec(), value: vec![value] }
}

/// Fills two files, the second of which is active, with messages of 20,000 bytes of queue 1, until the first is sealed.
fn filled(path: &Path) -> (RedbStore, u64) {
    let (mut store, _) = open(path, &small(false)).unwrap();
    let mut messages = 0;
    while !path.join(SECOND).exists() {
        messages += 1;
        store
            .commit(vec![put(1, messages, &message(&vec![messages as u8; 20_000]))], vec![record(1)])
            .unwrap();
        store.checkpoint().unwrap();
    }
    (store, messages)
}

/// Commits three more, for queue 2, which only the log has.
fn log_three(store: &mut RedbStore, from: u64) {
    for at in from..from + 3 {
        store.commit(vec![put(2, at, &message(b"small"))], vec![]).unwrap();
    }
}

/// What a start and `verify` say alike.
fn reported(path: &Path) -> Vec<Damage> {
    let report = verify(path).unwrap();
    let opened = open(path, &small(false));
    match opened {
        Err(OpenError::Lost(damage)) => {
            assert_eq!(damage, report.damage);
            assert!(damage.has_losses() && !report.is_sound());
        }
        Ok((store, recovered)) => {
            assert_eq!(recovered.damage, report.damage);
            assert!(!recovered.damage.has_losses());
            assert_eq!(report.is_sound(), recovered.damage.is_empty(), "{report}");
            drop(store);
        }
        Err(error) => panic!("{error}"),
    }
    report.damage.found
}

/// Starts although something is lost; the messages of queues 1 and 2. The next start has nothing to report.
fn accepted(path: &Path) -> (u64, u64) {
    let (store, recovered) = open(path, &small(true)).unwrap();
    assert!(recovered.damage.has_losses());
    drop(store);
    assert_eq!(reported(path), [], "it is accepted once and for all");
    let (mut store, _) = open(path, &small(false)).unwrap();
    let counts = (all(&mut store, 1).len() as u64, all(&mut store, 2).len() as u64);
    // It goes on, and a new loss is one again.
    store.commit(vec![put(9, 1, &message(b"more"))], vec![]).unwrap();
    drop(store);
    let log = fs::read(path.join(LOG)).unwrap();
    fs::write(path.join(LOG), vec![0; log.len()]).unwrap();
    assert!(matches!(reported(path)[..], [Damage::LogCommits { lost: 1, .. }]));
    fs::write(path.join(LOG), log).unwrap();
    assert_eq!(reported(path), []);
    counts
}

#[test]
fn nothing_is_reported_where_nothing_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, messages) = filled(folder.path());
    log_three(&mut store, 1);
    drop(store);
    assert_eq!(reported(folder.path()), []);
    let (mut store, _) = open(folder.path(), &small(false)).unwrap();
    assert_eq!((all(&mut store, 1).len() as u64, all(&mut store, 2)), (messages, vec![1, 2, 3]));
    store.commit(vec![range(1, 1, messages)], vec![]).unwrap();
    store.checkpoint().unwrap();
    assert!(!folder.path().join(FIRST).exists(), "it was removed because nothing is left in it");
    close(store);
    assert_eq!(reported(folder.path()), []);
}

#[test]
fn a_missing_sealed_file_is_told_with_the_messages_it_held() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, messages) = filled(folder.path());
    log_three(&mut store, 1);
    drop(store);
    fs::remove_file(folder.path().join(FIRST)).unwrap();
    let found = reported(folder.path());
    let [Damage::JournalMissing { file, held, active: false }] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&file[..], held.queues[&QueueId(1)]), (FIRST, messages - 1));
    assert!(found[0].to_string().contains(&format!("(queue 1: {})", messages - 1)), "{}", found[0]);
    assert_eq!(accepted(folder.path()), (1, 3));
}

#[test]
fn a_missing_active_file_is_told_and_what_the_log_had_is_not_lost_with_it() {
    for clean in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, messages) = filled(folder.path());
        log_three(&mut store, 1);
        if clean {
            close(store);
        } else {
            drop(store);
        }
        fs::remove_file(folder.path().join(SECOND)).unwrap();
        let found = reported(folder.path());
        let [Damage::JournalMissing { file, held, active: true }] = &found[..] else { panic!("{found:?}") };
        assert_eq!((&file[..], held.messages()), (SECOND, if clean { 4 } else { 0 }), "as last counted");
        // The log still has what it was told since the first file was sealed.
        assert_eq!(accepted(folder.path()), (messages, 3), "clean: {clean}");
    }
}

#[test]
fn a_directory_without_any_journal_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (store, messages) = filled(folder.path());
    close(store);
    fs::remove_file(folder.path().join(FIRST)).unwrap();
    fs::remove_file(folder.path().join(SECOND)).unwrap();
    let found = reported(folder.path());
    let held = |damage: &Damage| match damage {
        Damage::JournalMissing { held, .. } => held.messages(),
        _ => 0,
    };
    assert_eq!((found.len(), found.iter().map(held).sum::<u64>()), (2, messages));
    fs::remove_file(folder.path().join(CATALOG)).unwrap();
    let found = reported(folder.path());
    assert!(matches!(found[..], [Damage::JournalMissing { .. }, Damage::CatalogMissing]), "{found:?}");
    let (store, _) = open(folder.path(), &small(true)).unwrap();
    drop(store);
    assert_eq!(reported(folder.path()), []);
}

#[test]
fn a_missing_catalog_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (store, messages) = filled(folder.path());
    drop(store);
    fs::remove_file(folder.path().join(CATALOG)).unwrap();
    assert_eq!(reported(folder.path()), [Damage::CatalogMissing]);
    assert_eq!(accepted(folder.path()), (messages, 0));
    let (_store, recovered) = open(folder.path(), &small(false)).unwrap();
    assert_eq!(recovered.catalog, [], "one change of many makes no catalog");
}

#[test]
fn a_catalog_that_the_journal_has_whole_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &small(false)).unwrap();
    store.commit(vec![], vec![record(1)]).unwrap();
    close(store);
    fs::remove_file(folder.path().join(CATALOG)).unwrap();
    assert_eq!(reported(folder.path()), [Damage::CatalogMissing]);
    let (_store, recovered) = open(folder.path(), &small(true)).unwrap();
    assert_eq!(recovered.catalog, [(b"key".to_vec(), vec![1])]);
}

#[test]
fn a_log_that_is_missing_empty_cut_zeroed_or_older_is_told_with_the_commits_it_had() {
    type Deed = fn(&Path, &[u8]);
    let deeds: [(&str, Deed, u64); 5] = [
        ("removed", |log, _| fs::remove_file(log).unwrap(), 3),
        ("emptied", |log, _| fs::write(log, []).unwrap(), 3),
        ("zeroed", |log, _| fs::write(log, vec![0; 1 << 20]).unwrap(), 3),
        ("put back", |log, before| fs::write(log, before).unwrap(), 3),
        (
            "cut",
            |log, _| {
                let bytes = fs::read(log).unwrap();
                let records = (0..).zip(bytes.chunks(4096)).filter(|(_, block)| block.starts_with(b"LVRT"));
                let newest =
                    records.max_by_key(|(_, block)| u64::from_le_bytes(block[8..16].try_into().unwrap()));
                fs::write(log, &bytes[..newest.unwrap().0 * 4096]).unwrap();
            },
            1,
        ),
    ];
    for (name, deed, expected) in deeds {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, messages) = filled(folder.path());
        let log = folder.path().join(LOG);
        let before = fs::read(&log).unwrap();
        log_three(&mut store, 1);
        drop(store);
        deed(&log, &before);
        let found = reported(folder.path());
        let [Damage::LogCommits { lost, .. }] = found[..] else { panic!("{name}: {found:?}") };
        assert_eq!(lost, expected, "{name}");
        assert_eq!(accepted(folder.path()), (messages, 3 - expected), "{name}");
    }
}

#[test]
fn a_log_that_held_nothing_may_go() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = filled(folder.path());
    close(store);
    fs::remove_file(folder.path().join(LOG)).unwrap();
    let found = reported(folder.path());
    assert!(matches!(found[..], [Damage::LogFile { may_lose: false, .. }]), "{found:?}");
    assert_eq!(reported(folder.path()), []);
}

#[test]
fn an_older_copy_of_the_active_file_is_repaired_from_the_log_or_told() {
    for lost in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, messages) = filled(folder.path());
        let active = folder.path().join(SECOND);
        let before = fs::read(&active).unwrap();
        log_three(&mut store, 1);
        store.commit(vec![], vec![record(2)]).unwrap();
        store.checkpoint().unwrap();
        log_three(&mut store, 4);
        if lost {
            // Too large for the log: only the journal had it.
            store.commit(vec![put(2, 7, &message(&vec![7; 2 << 20]))], vec![]).unwrap();
            store.commit(vec![put(2, 8, &message(b"small"))], vec![]).unwrap();
        }
        drop(store);
        fs::write(&active, before).unwrap();
        let found = reported(folder.path());
        if lost {
            assert_eq!(found, [Damage::JournalOlder { file: SECOND.to_owned(), lost: Some(1) }]);
            assert_eq!(accepted(folder.path()), (messages, 7));
        } else {
            assert_eq!(found, [Damage::JournalBehind { file: SECOND.to_owned() }]);
            let (mut store, recovered) = open(folder.path(), &small(false)).unwrap();
            assert_eq!(recovered.damage, DamageReport::default());
            assert_eq!((all(&mut store, 1).len() as u64, all(&mut store, 2).len()), (messages, 6));
            assert_eq!(recovered.catalog, [(b"key".to_vec(), vec![2])]);
        }
    }
}

#[test]
fn an_older_copy_of_a_sealed_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &small(false)).unwrap();
    store.commit(vec![put(2, 1, &message(b"small"))], vec![]).unwrap();
    close(store);
    let before = fs::read(folder.path().join(FIRST)).unwrap();
    let (store, _) = filled(folder.path());
    drop(store);
    fs::write(folder.path().join(FIRST), before).unwrap();
    let found = reported(folder.path());
    assert!(
        matches!(&found[..], [Damage::JournalOlder { file, lost: Some(_) }] if file == FIRST),
        "{found:?}"
    );
    assert_eq!(accepted(folder.path()), (1, 1));
}

#[test]
fn a_file_that_was_given_up_and_is_back_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, messages) = filled(folder.path());
    let before = fs::read(folder.path().join(FIRST)).unwrap();
    store.commit(vec![range(1, 1, messages)], vec![]).unwrap();
    store.checkpoint().unwrap();
    // By now nothing says any more that all in it is settled.
    store.commit(vec![put(2, 1, &message(b"small"))], vec![]).unwrap();
    close(store);
    fs::write(folder.path().join(FIRST), before).unwrap();
    for _ in 0..2 {
        assert_eq!(reported(folder.path()), [Damage::JournalGivenUp { file: FIRST.to_owned() }]);
    }
    let (mut store, _) = open(folder.path(), &small(false)).unwrap();
    assert_eq!((all(&mut store, 1).len(), all(&mut store, 2).len()), (0, 1));
    assert!(folder.path().join(FIRST).exists());
}

#[test]
fn a_catalog_one_change_behind_is_repaired_and_an_older_one_is_told() {
    for changes in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = filled(folder.path());
        store.commit(vec![], vec![record(2)]).unwrap();
        store.checkpoint().unwrap();
        let before = fs::read(folder.path().join(CATALOG)).unwrap();
        for change in 0..changes {
            store.commit(vec![], vec![record(3 + change)]).unwrap();
            store.checkpoint().unwrap();
            // What has nothing to do with the catalog changes nothing.
            store.commit(vec![put(2, u64::from(change), &message(b"small"))], vec![]).unwrap();
            store.checkpoint().unwrap();
        }
        drop(store);
        fs::write(folder.path().join(CATALOG), before).unwrap();
        let found = reported(folder.path());
        if changes == 1 {
            assert_eq!(found, []);
        } else {
            assert!(matches!(found[..], [Damage::CatalogOlder { .. }]), "{found:?}");
            accepted(folder.path());
        }
        // The change that the journal still has comes back in any case.
        let (_store, recovered) = open(folder.path(), &small(false)).unwrap();
        assert_eq!(recovered.catalog, [(b"key".to_vec(), vec![2 + changes])]);
    }
}

#[test]
fn a_missing_high_water_mark_is_told_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, messages) = filled(folder.path());
    log_three(&mut store, 1);
    drop(store);
    fs::remove_file(folder.path().join(HIGH_WATER)).unwrap();
    assert_eq!(reported(folder.path()), [Damage::HighWaterMark { why: "is missing" }]);
    assert_eq!(reported(folder.path()), []);
    let (mut store, _) = open(folder.path(), &small(false)).unwrap();
    assert_eq!((all(&mut store, 1).len() as u64, all(&mut store, 2)), (messages, vec![1, 2, 3]));
}
