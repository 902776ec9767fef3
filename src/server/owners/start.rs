//! How the owners come back: the catalog from its records, every shard with its queues and what the store found of
//! them.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::error;

use super::{CatalogOwner, ShardOwner};
use crate::broker::catalog::{Catalog, CatalogEffects};
use crate::broker::shard::Shard;
use crate::broker::view::View;
use crate::model::ids::{QueueId, ShardIndex, Timestamp};
use crate::model::op::RecoveredQueue;
use crate::store::{Recovered, Store, StoreError};

/// All that a broker consists of besides its store and its connections.
pub struct Owners {
    pub view: Arc<View>,
    pub catalog: CatalogOwner,
    pub shards: Vec<ShardOwner>,
    /// How many queues came back.
    pub queues: usize,
}

/// Brings back what the store has recovered. `seed` makes generated names; each shard keeps about `memory` bytes of
/// ready messages.
pub fn restore(
    now: Timestamp,
    store: &mut dyn Store,
    recovered: Recovered,
    shards: u16,
    memory: usize,
    seed: u64,
) -> Result<Owners, StoreError> {
    let view = View::new();
    let mut found = CatalogEffects::default();
    let catalog = Catalog::new(Arc::clone(&view), shards, seed, recovered.catalog, &mut found);
    for damage in &recovered.damage.found {
        error!(%damage, "the data directory is damaged");
    }
    for bad in catalog.bad_records() {
        error!(key = %bad.key.escape_ascii(), error = %bad.error, "a record of the catalog was passed over");
    }
    if !found.ops.is_empty() {
        store.commit(vec![], found.ops)?;
    }
    let mut owned: Vec<Shard> =
        (0..shards).map(|index| Shard::new(ShardIndex(index), shards, Arc::clone(&view), memory)).collect();
    let queues = restore_queues(now, &catalog, recovered.queues, &mut owned);
    let shards = (0..).map(ShardIndex).zip(owned).map(|(index, shard)| ShardOwner::new(index, shard));
    Ok(Owners { view, shards: shards.collect(), catalog: CatalogOwner::new(catalog), queues })
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
        // A queue the catalog does not know was being deleted; any shard can finish that.
        let shard = owner.get(&recovered.queue).copied().unwrap_or(0);
        messages[shard].push(recovered);
    }
    for (shard, (queues, messages)) in shards.iter_mut().zip(queues.into_iter().zip(messages)) {
        shard.recover(now, queues, messages);
    }
    count
}
