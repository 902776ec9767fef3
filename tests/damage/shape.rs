//! Directories with known contents: closed or killed, with and without a log, with one file or many.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use leveret::model::ids::{Position, QueueId};
use leveret::model::op::{Lane, Op};
use leveret::store::{Store, StoreOptions, open_on};

use crate::disk::{Files, SimulatedDisk};
use crate::model::{Model, Workload};
use crate::random::Random;

pub(crate) type MessageId = (QueueId, Lane, Position);

/// A directory, and what is in it.
pub(crate) struct Shape {
    pub(crate) files: Files,
    /// The same directory some commits earlier.
    pub(crate) earlier: Files,
    pub(crate) options: StoreOptions,
    pub(crate) model: Model,
    /// All messages that ever were at a place, and durable.
    pub(crate) ever: BTreeMap<MessageId, BTreeSet<Bytes>>,
    /// The commit that put what is at a place.
    pub(crate) put_by: BTreeMap<MessageId, u64>,
    pub(crate) closed: bool,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stop = if self.closed { "closed" } else { "killed" };
        let log = if self.options.log_bytes > 0 { "with" } else { "without" };
        write!(f, "{stop} {log} a log, {} files, {} messages", self.files.len(), self.model.messages())
    }
}

impl Shape {
    pub(crate) fn build(seed: u64) -> Shape {
        let mut random = Random(seed);
        let options = StoreOptions {
            file_bytes: random.pick(&[120_000, 400_000, 8 << 20]),
            cache_bytes: 256 << 10,
            quiet_commits: 2,
            log_bytes: if random.percent(70) { 256 << 10 } else { 0 },
            salt: random.next(),
            ..StoreOptions::default()
        };
        let disk = SimulatedDisk::default();
        let (mut store, _) = open_on(Arc::new(disk.clone()), &options).unwrap();
        let mut workload = Workload::new(seed ^ 0x5eed);
        let mut model = Model::default();
        let mut ever: BTreeMap<MessageId, BTreeSet<Bytes>> = BTreeMap::new();
        let mut put_by = BTreeMap::new();
        let commits = random.between(4, 43);
        let mut earlier = disk.files();
        for at in 0..commits {
            let (ops, catalog) = workload.commit(&model);
            model.apply(&ops, &catalog);
            put_by.extend(ops.iter().filter_map(|op| match op {
                Op::Put { queue, lane, position, .. } => Some(((*queue, *lane, *position), at)),
                _ => None,
            }));
            for (place, body) in model.bodies() {
                ever.entry(place).or_default().insert(body);
            }
            store.commit(ops, catalog).unwrap();
            if random.percent(15) {
                store.checkpoint().unwrap();
            }
            if at == commits / 2 {
                earlier = disk.files();
            }
        }
        let closed = random.percent(50);
        if closed {
            Box::new(store).close().unwrap();
        } else {
            // A killed process leaves the files as they are; ours would tidy up.
            std::mem::forget(store);
        }
        model.restart(closed);
        Shape { files: disk.files(), earlier, options, model, ever, put_by, closed }
    }
}
