//! How the owners come back: the catalog from its records, every shard with its queues and what the store found of
//! them. What the store has and the catalog knows nothing of is nobody's: it stays where it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tracing::{error, warn};

use super::{CatalogOwner, ShardOwner};
use crate::catalog::view::View;
use crate::catalog::{Catalog, CatalogEffects, Unknown};
use crate::model::ids::{NodeNumber, QueueId, ShardIndex, Timestamp};
use crate::model::op::{Op, RecoveredQueue};
use crate::port::SharedByPorts;
use crate::shard::Shard;
use crate::store::{CatalogRecords, Consequence, Damage, DamageReport, Recovered, Store, StoreError};

/// All that a broker consists of besides its store and its connections.
pub struct Owners {
    pub view: Arc<View>,
    pub ports: Arc<SharedByPorts>,
    pub catalog: CatalogOwner,
    pub shards: Vec<ShardOwner>,
    /// How many queues came back.
    pub queues: usize,
    /// What was found wrong with what was stored.
    pub damage: DamageReport,
}

/// The shards of a node.
#[derive(Clone, Copy, Debug)]
pub struct ShardLayout {
    pub count: u16,
    /// About how many bytes of ready messages each of them keeps in memory.
    pub memory: usize,
    /// Whether nothing is delivered before it is durable. What one node has stored stays: it need not wait for that.
    pub holding_back: bool,
}

impl ShardLayout {
    /// As many shards without anything, of a broker that is one node.
    fn shards(self, view: &Arc<View>) -> Vec<Shard> {
        let indices = ShardIndex::of_node(NodeNumber::ALONE, self.count);
        let shards = indices.map(|index| Shard::new(index, self.count, Arc::clone(view), self.memory));
        if self.holding_back { shards.map(Shard::holding_back).collect() } else { shards.collect() }
    }
}

/// Brings back what the store has recovered. `seed` salts passwords.
pub fn restore(
    now: Timestamp,
    store: &mut dyn Store,
    recovered: Recovered,
    layout: ShardLayout,
    seed: u64,
) -> Result<Owners, StoreError> {
    let Recovered { mut damage, catalog, queues, .. } = recovered;
    let view = View::new();
    let mut fx = CatalogEffects::default();
    let mut catalog = Catalog::new(Arc::clone(&view), layout.count, seed, catalog, &mut fx);
    let unknown = unknown_queues(&mut catalog, queues.iter().map(counted), &mut fx, &mut damage);
    for damage in &damage.found {
        match damage.consequence() {
            Consequence::Repaired => warn!(%damage, "the data directory was damaged"),
            _ => error!(%damage, "the data directory is damaged"),
        }
    }
    let deletions: Vec<Op> = unknown.deleted.iter().map(|&queue| Op::DeleteQueue { queue }).collect();
    if !deletions.is_empty() || !fx.ops.is_empty() {
        store.commit(deletions, fx.ops)?;
    }
    let mut shards = layout.shards(&view);
    let queues = restore_queues(now, &catalog, queues, &mut shards);
    let shards = shards.into_iter().map(ShardOwner::new);
    let ports = SharedByPorts::new(&catalog);
    Ok(Owners { view, ports, shards: shards.collect(), catalog: CatalogOwner::new(catalog), queues, damage })
}

/// Sorts out what the catalog does not know of what was found, and reports it, as are records that could not be used.
pub(in crate::server) fn unknown_queues(
    catalog: &mut Catalog,
    found: impl Iterator<Item = (QueueId, u64)>,
    fx: &mut CatalogEffects,
    damage: &mut DamageReport,
) -> Unknown {
    for bad in catalog.bad_records() {
        damage.add(Damage::CatalogRecord { key: bad.key.clone(), why: bad.error.to_string() });
    }
    let unknown = catalog.unknown_queues(found, fx);
    for &(queue, messages) in &unknown.apart {
        damage.add(Damage::UnknownQueue { queue, messages });
    }
    unknown
}

/// A queue that was found, with how many messages.
pub(in crate::server) fn counted(found: &RecoveredQueue) -> (QueueId, u64) {
    let spans = found.lanes.iter().flat_map(|(_, spans)| spans);
    (found.queue, spans.map(|span| span.count).sum())
}

/// What a start would report of these records and of queues with so many messages.
pub(in crate::server) fn judge(
    records: CatalogRecords,
    queues: &BTreeMap<QueueId, u64>,
    damage: &mut DamageReport,
) {
    let mut fx = CatalogEffects::default();
    let mut catalog = Catalog::new(View::new(), 1, 0, records, &mut fx);
    let found = queues.iter().map(|(&queue, &messages)| (queue, messages)).filter(|found| found.1 > 0);
    unknown_queues(&mut catalog, found, &mut fx, damage);
}

/// Gives every shard its queues, with what the store found of them. Returns how many there are.
fn restore_queues(
    now: Timestamp,
    catalog: &Catalog,
    found: Vec<RecoveredQueue>,
    shards: &mut [Shard],
) -> usize {
    let queues = catalog.recovered_queues();
    let count = queues.iter().map(Vec::len).sum();
    let mut messages: Vec<Vec<RecoveredQueue>> = queues.iter().map(|_| Vec::new()).collect();
    let owner: HashMap<QueueId, usize> = queues
        .iter()
        .enumerate()
        .flat_map(|(shard, queues)| queues.iter().map(move |queue| (queue.queue, shard)))
        .collect();
    for recovered in found {
        // What no shard has is deleted, or kept apart.
        if let Some(&shard) = owner.get(&recovered.queue) {
            messages[shard].push(recovered);
        }
    }
    for (shard, (queues, messages)) in shards.iter_mut().zip(queues.into_iter().zip(messages)) {
        shard.recover(now, queues, messages);
    }
    count
}
