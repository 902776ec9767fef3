//! Damaged files: what is bad is reported and left out, the rest is served.

use std::fs;

use super::*;

/// Finds `needle` in the file and changes two bytes of it: one would be corrected.
fn spoil(path: &Path, needle: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let at =
        bytes.windows(needle.len()).position(|window| window == needle).expect("it lies there in one piece");
    bytes[at + needle.len() / 2] ^= 1;
    bytes[at + needle.len() / 2 + 1] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn stored(path: &Path) {
    let (mut store, _) = start(path);
    let ops: Vec<_> =
        (1..=9).map(|at| put(1, at, &message(format!("body number {at}").as_bytes()))).collect();
    store.commit(ops, vec![CatalogOp::Put { key: vec![1], value: vec![2] }]).unwrap();
    close(store);
}

#[test]
fn a_damaged_record_is_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    stored(folder.path());
    spoil(&folder.path().join("journal-00000001.redb"), b"body number 4");
    let (mut store, recovered) = start(folder.path());
    assert_eq!(recovered.messages, 9);
    for _ in 0..2 {
        assert_eq!(all(&mut store, 1), [1, 2, 3, 5, 6, 7, 8, 9]);
        assert_eq!(store.usage().quarantined, 1);
    }
    let only_bad = store.fetch(&fetch(1, 4, 8, 1)).unwrap();
    assert_eq!((positions(&only_bad), only_bad.through), (vec![5], Position(5)));
    store.commit(vec![range(1, 1, 9)], vec![]).unwrap();
    assert_eq!(store.usage().messages, 0);
}

#[test]
fn verify_finds_it_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    stored(folder.path());
    let journal = folder.path().join("journal-00000001.redb");
    let before = fs::read(&journal).unwrap();
    let report = verify(folder.path()).unwrap();
    assert!(report.is_sound() && report.clean, "{report}");
    assert_eq!((report.queues[&QueueId(1)], report.catalog.len() as u64), (9, 1));
    assert!(fs::read(&journal).unwrap() == before);

    spoil(&journal, b"body number 4");
    let damaged = fs::read(&journal).unwrap();
    let report = verify(folder.path()).unwrap();
    assert!(!report.is_sound());
    assert_eq!(report.queues[&QueueId(1)], 8);
    assert!(report.to_string().contains("queue 1, message 4: its checksum does not fit"), "{report}");
    assert!(fs::read(&journal).unwrap() == damaged);
}

#[test]
fn verify_reads_a_directory_that_was_not_closed() {
    let folder = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let (mut store, _) = start(folder.path());
    store.commit(vec![put(1, 1, &message(b"one"))], vec![]).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let journal = copy.path().join("journal-00000001.redb");
    let before = fs::read(&journal).unwrap();
    let report = verify(copy.path()).unwrap();
    assert!(report.is_sound() && !report.clean, "{report}");
    assert_eq!(report.queues[&QueueId(1)], 1);
    assert!(fs::read(&journal).unwrap() == before);
    drop(store);
}

#[test]
fn damage_in_a_sealed_file_is_never_copied_forward_or_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path(), &tiny()).unwrap();
    store.commit(vec![put(1, 1, &message(b"sound")), put(1, 2, &message(b"to be damaged"))], vec![]).unwrap();
    for at in 1..=40 {
        store.commit(vec![put(2, at, &message(&vec![at as u8; 20_000]))], vec![]).unwrap();
    }
    close(store);
    spoil(&folder.path().join("journal-00000001.redb"), b"to be damaged");
    let (mut store, _) = open(folder.path(), &tiny()).unwrap();
    store.commit(vec![range(2, 1, 40)], vec![]).unwrap();
    for at in 1..=20 {
        store.commit(vec![put(3, at, &message(b"more"))], vec![]).unwrap();
    }
    assert_eq!(all(&mut store, 1), [1]);
    assert_eq!(store.usage().quarantined, 1);
    assert!(folder.path().join("journal-00000001.redb").exists());
    store.commit(vec![range(1, 1, 2)], vec![]).unwrap();
    assert!(folder.path().join("journal-00000001.redb").exists(), "kept for whoever looks into it");
}
