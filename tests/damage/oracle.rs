//! What must hold after a damage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use leveret::model::ids::{Position, QueueId};
use leveret::model::op::{CatalogOp, Lane};
use leveret::store::disk::Disk;
use leveret::store::{
    Damage, OpenError, Recovered, RedbStore, Store, StoreOptions, VerifyReport, open_on, verify_on,
};

use crate::disk::SimulatedDisk;
use crate::harm::Harm;
use crate::model::{LANES, Workload, read_lane};
use crate::random::Random;
use crate::shape::{MessageId, Shape};

/// No opening, reading or verifying of these small directories may take longer, on the slowest day.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a damage did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) lost: u64,
    /// Settled messages that are there again.
    pub(crate) again: u64,
    pub(crate) reported: bool,
}

type Found = BTreeMap<MessageId, Bytes>;

pub(crate) fn check(shape: &Shape, harm: &Harm) -> Result<Verdict, String> {
    let began = Instant::now();
    let disk = harm.done_to(shape);
    let before = disk.files();
    let report =
        verify_on(&(Arc::new(disk.clone()) as Arc<dyn Disk>)).map_err(|error| format!("verify: {error}"))?;
    if disk.files() != before {
        return Err("verify has changed something".to_owned());
    }
    let (mut store, recovered) = open(&disk, &shape.options)?;
    let found = read_all(&mut store, &recovered, shape)?;
    let quarantined = store.usage().quarantined;
    let verdict = compare(shape, &report, &recovered, &found, quarantined)?;
    if harm.is_one_byte() {
        let missing = missing(shape, &found);
        let bodies: BTreeSet<&Bytes> = missing.values().copied().collect();
        // A record of the log is a commit, which is there whole or not at all.
        let commits: BTreeSet<u64> = missing.keys().map(|place| shape.put_by[place]).collect();
        let records = if harm.is_of_log() { commits.len() } else { bodies.len() };
        if records > 1 {
            return Err(format!("one byte lost {records} records, {} messages", missing.len()));
        }
    }
    goes_on(disk, store, shape, &found)?;
    if began.elapsed() > PATIENCE {
        return Err(format!("it took {:?}", began.elapsed()));
    }
    Ok(verdict)
}

/// Opens it; where a loss is reported, with the loss accepted.
fn open(disk: &SimulatedDisk, options: &StoreOptions) -> Result<(RedbStore, Recovered), String> {
    let options = &StoreOptions { salt: options.salt ^ 1, ..*options };
    let open = |options: &StoreOptions| open_on(Arc::new(disk.clone()), options);
    match open(options) {
        Ok(opened) => Ok(opened),
        Err(OpenError::Lost(_)) => open(&StoreOptions { accept_loss: true, ..*options })
            .map_err(|error| format!("accepted, but: {error}")),
        Err(error) => Err(format!("refused: {error}")),
    }
}

fn read_all(store: &mut RedbStore, recovered: &Recovered, shape: &Shape) -> Result<Found, String> {
    let mut queues: BTreeSet<QueueId> = recovered.queues.iter().map(|queue| queue.queue).collect();
    queues.extend(shape.ever.keys().map(|place| place.0));
    let mut found = Found::new();
    for queue in queues {
        for lane in 0..=LANES as Lane {
            for (position, body, _) in read_lane(store, queue, lane, &mut Random(1))? {
                found.insert((queue, lane, position), body);
            }
        }
    }
    Ok(found)
}

fn missing<'a>(shape: &'a Shape, found: &Found) -> BTreeMap<MessageId, &'a Bytes> {
    let expected = shape.ever.iter().filter_map(|(place, bodies)| {
        let body = bodies.last()?;
        shape.model.bodies().contains_key(place).then_some((*place, body))
    });
    expected.filter(|(place, _)| !found.contains_key(place)).collect()
}

fn compare(
    shape: &Shape,
    report: &VerifyReport,
    recovered: &Recovered,
    found: &Found,
    quarantined: u64,
) -> Result<Verdict, String> {
    let expected = shape.model.bodies();
    for (place, body) in found {
        let known = shape.ever.get(place).is_some_and(|bodies| bodies.contains(body));
        if !known {
            return Err(format!("{place:?} holds what was never there"));
        }
    }
    let lost = expected.keys().filter(|place| !found.contains_key(place)).count() as u64;
    let again = found.keys().filter(|place| !expected.contains_key(place)).count() as u64;
    let started = !recovered.damage.is_empty() || quarantined > 0 || recovered.damaged_runs > 0;
    if lost > 0 && !started {
        return Err(format!("{lost} messages are lost, and the start says nothing"));
    }
    if lost > 0 && report.is_sound() {
        return Err(format!("{lost} messages are lost, and verify says that all is sound"));
    }
    if again > 0 && (!started || report.is_sound()) {
        return Err(format!("{again} settled messages come again, and nobody says so"));
    }
    let catalog: BTreeMap<Vec<u8>, Vec<u8>> = recovered.catalog.iter().cloned().collect();
    if catalog != *shape.model.catalog() && (!started || report.is_sound()) {
        return Err("the catalog is another, and nobody says so".to_owned());
    }
    let said = |all: &[Damage]| all.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let (start, verify) = (said(&recovered.damage.found), said(&report.damage.found));
    if start != verify {
        return Err(format!("the start says {start:?}, verify {verify:?}"));
    }
    let mut served: BTreeMap<QueueId, u64> = BTreeMap::new();
    found.keys().for_each(|place| *served.entry(place.0).or_default() += 1);
    let counted: BTreeMap<_, _> = report.queues.clone().into_iter().filter(|(_, count)| *count > 0).collect();
    if served != counted {
        return Err(format!("the start serves {served:?}, verify counts {counted:?}"));
    }
    Ok(Verdict { lost, again, reported: started })
}

/// The store is used, closed and opened: nothing more is lost, and nothing is to be accepted any more.
fn goes_on(disk: SimulatedDisk, mut store: RedbStore, shape: &Shape, found: &Found) -> Result<(), String> {
    let mut workload = Workload::new(99);
    let queue = QueueId(1 << 40);
    let mut expected = found.clone();
    for _ in 0..3 {
        let (ops, _) = workload.commit(&crate::model::Model::default());
        let puts = ops.into_iter().filter_map(|op| match op {
            leveret::model::op::Op::Put { position, message, meta, lane, .. } => {
                Some(leveret::model::op::Op::Put { queue, position, message, meta, lane, durable: true })
            }
            _ => None,
        });
        let mut seen = BTreeSet::<Position>::new();
        let puts: Vec<_> = puts
            .filter(|op| matches!(op, leveret::model::op::Op::Put { position, .. } if seen.insert(*position)))
            .collect();
        let mut model = crate::model::Model::default();
        model.apply(&puts, &[]);
        let fresh = model.bodies();
        if fresh.keys().any(|place| expected.contains_key(place)) {
            continue;
        }
        let catalog = vec![CatalogOp::Put { key: b"fresh".to_vec(), value: vec![1] }];
        store.commit(puts, catalog).map_err(|error| format!("it cannot go on: {error}"))?;
        expected.extend(fresh);
    }
    Box::new(store).close().map_err(|error| format!("it cannot be closed: {error}"))?;
    let options = StoreOptions { salt: shape.options.salt ^ 2, ..shape.options };
    let (mut store, recovered) =
        open_on(Arc::new(disk), &options).map_err(|error| format!("it cannot be opened again: {error}"))?;
    if !recovered.catalog.iter().any(|(key, _)| key == b"fresh") {
        return Err("a record of the catalog is gone after the next start".to_owned());
    }
    let mut all = read_all(&mut store, &recovered, shape)?;
    for lane in 0..=LANES as Lane {
        for (position, body, _) in read_lane(&mut store, queue, lane, &mut Random(1))? {
            all.insert((queue, lane, position), body);
        }
    }
    let gone = expected.keys().filter(|place| !all.contains_key(place)).count();
    let new = all.keys().filter(|place| !expected.contains_key(place)).count();
    if gone + new > 0 {
        return Err(format!("after the next start {gone} messages more are gone and {new} are new"));
    }
    Ok(())
}
