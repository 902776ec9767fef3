//! Blocks that cannot be read any more, while the store runs and when it is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use leveret::model::ids::QueueId;
use leveret::model::op::{CatalogOp, Lane, Op};
use leveret::store::disk::Disk;
use leveret::store::{RedbStore, Store, StoreOptions, open_on, salvage_on, verify_on};

use crate::disk::SimulatedDisk;
use crate::model::{LANES, Model, Workload, read_lane};
use crate::random::Random;
use crate::shape::MessageId;

/// Several files, and no log: everything is where it belongs after each commit.
const OPTIONS: StoreOptions = StoreOptions {
    file_bytes: 300_000,
    cache_bytes: 64 << 10,
    quiet_commits: 1 << 40,
    log_bytes: 0,
    salt: 1,
    accept_loss: false,
};

/// A store that runs, with messages that nobody takes.
fn filled() -> (SimulatedDisk, RedbStore, BTreeMap<MessageId, Bytes>) {
    let disk = SimulatedDisk::default();
    let (mut store, _) = open_on(Arc::new(disk.clone()), &OPTIONS).unwrap();
    let (mut workload, mut model) = (Workload::new(5), Model::default());
    for _ in 0..40 {
        let (mut ops, _) = workload.commit(&Model::default());
        ops.retain(|op| matches!(op, Op::Put { durable: true, .. }));
        model.apply(&ops, &[]);
        store.commit(ops, vec![]).unwrap();
    }
    (disk, store, model.bodies())
}

fn read(store: &mut RedbStore, expected: &BTreeMap<MessageId, Bytes>) -> BTreeMap<MessageId, Bytes> {
    let queues: BTreeSet<QueueId> = expected.keys().map(|place| place.0).collect();
    let mut found = BTreeMap::new();
    for queue in queues {
        for lane in 0..=LANES as Lane {
            for (position, body, _) in read_lane(store, queue, lane, &mut Random(3)).unwrap() {
                found.insert((queue, lane, position), body);
            }
        }
    }
    found
}

/// Where a body of some length lies, and in which file.
fn block_of_a_body(
    disk: &SimulatedDisk,
    expected: &BTreeMap<MessageId, Bytes>,
    sealed: bool,
) -> (String, usize) {
    let files = disk.files();
    let journals: Vec<_> = files.iter().filter(|(name, _)| name.starts_with("journal-")).collect();
    assert!(journals.len() > 2, "{} files", journals.len());
    let (name, bytes) = if sealed { journals[0] } else { journals[journals.len() - 1] };
    let found = expected.values().filter(|body| body.len() > 600).find_map(|body| {
        let needle = &body[..64];
        bytes.windows(needle.len()).position(|window| window == needle)
    });
    (name.clone(), found.expect("a body lies there in one piece") / 4096 * 4096)
}

fn a_block_costs_what_is_in_it(sealed: bool) {
    let (disk, mut store, expected) = filled();
    let (name, block) = block_of_a_body(&disk, &expected, sealed);
    assert_eq!(read(&mut store, &expected), expected);
    Box::new(store).close().unwrap();
    for _ in 0..2 {
        // The same again after a restart: it is damage of these messages, not of the store.
        let (mut store, _) = open_on(Arc::new(disk.clone()), &OPTIONS).unwrap();
        disk.break_blocks(&name, block..block + 4096);
        let found = read(&mut store, &expected);
        let lost = expected.len() - found.len();
        assert!((1..60).contains(&lost), "{lost} of {} messages are lost", expected.len());
        assert!(found.iter().all(|(place, body)| expected[place] == *body));
        assert_eq!(read(&mut store, &expected), found);
        assert_eq!(store.usage().quarantined, lost as u64);
        store.commit(vec![], vec![CatalogOp::Put { key: vec![1], value: vec![2] }]).unwrap();
        Box::new(store).close().unwrap();
    }
}

#[test]
fn a_block_of_a_sealed_file_that_cannot_be_read_costs_what_is_in_it() {
    a_block_costs_what_is_in_it(true);
}

#[test]
fn a_block_of_the_active_file_that_cannot_be_read_costs_what_is_in_it() {
    a_block_costs_what_is_in_it(false);
}

#[test]
fn salvage_copies_what_is_sound_and_puts_the_damaged_file_aside() {
    let (disk, store, expected) = filled();
    Box::new(store).close().unwrap();
    let (name, block) = block_of_a_body(&disk, &expected, true);
    let mut files = disk.files();
    files.get_mut(&name).unwrap()[block + 100..block + 110].fill(0xee);
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::holding(&files));
    assert!(!verify_on(&disk).unwrap().is_sound());
    let report = salvage_on(&disk, &OPTIONS).unwrap();
    assert_eq!(report.files.len(), 1, "{report}");
    assert!(
        report.files[0].name == name && report.files[0].copied > 0 && report.files[0].lost > 0,
        "{report}"
    );
    let verified = verify_on(&disk).unwrap();
    assert!(verified.is_sound(), "{verified}");
    assert!(disk.list().unwrap().contains(&format!("{name}.damaged")));
    let (mut store, _) = open_on(disk, &OPTIONS).unwrap();
    let found = read(&mut store, &expected);
    assert_eq!((expected.len() - found.len()) as u64, report.files[0].lost);
    assert!(found.iter().all(|(place, body)| expected[place] == *body));
}
