//! Where everybody's mailbox is: the shards', the catalog's, the store's, and, by way of the list of those that are open,
//! the connections'. How things get there is the router's.

use std::sync::Arc;

use super::connections::Connections;
use super::mailbox::{Mailbox, ThreadMailbox};
use super::owners::{CatalogInput, ShardInput, StoreRequest};
use crate::model::command::CatalogCommand;
use crate::model::event::Alarms;
use crate::model::ids::{NodeNumber, ShardIndex};

pub(crate) struct Mailboxes {
    shards: Vec<Mailbox<ShardInput>>,
    catalog: Mailbox<CatalogInput>,
    store: Arc<ThreadMailbox<StoreRequest>>,
    connections: Connections,
}

impl Mailboxes {
    pub(crate) fn new(shards: u16, store: Arc<ThreadMailbox<StoreRequest>>) -> Mailboxes {
        Mailboxes {
            shards: (0..shards).map(|_| Mailbox::new()).collect(),
            catalog: Mailbox::new(),
            store,
            connections: Connections::new(),
        }
    }

    pub(crate) fn shard_count(&self) -> u16 {
        u16::try_from(self.shards.len()).unwrap_or(u16::MAX)
    }

    /// The mailbox of a shard of this node. Indices come from the catalog, which knows how many there are.
    pub(crate) fn shard(&self, index: ShardIndex) -> &Mailbox<ShardInput> {
        debug_assert_eq!(index.node(), NodeNumber::ALONE, "there is no other node");
        &self.shards[index.number()]
    }

    /// All of this node's.
    pub(crate) fn shard_indices(&self) -> impl Iterator<Item = ShardIndex> {
        ShardIndex::of_node(NodeNumber::ALONE, self.shard_count())
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = &Mailbox<ShardInput>> {
        self.shards.iter()
    }

    pub(crate) fn catalog(&self) -> &Mailbox<CatalogInput> {
        &self.catalog
    }

    pub(crate) fn store(&self) -> &ThreadMailbox<StoreRequest> {
        &self.store
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Tells connections and catalog what the broker runs short of. The store's thread alone does so, so that the catalog
    /// does not hear of an older alarm last.
    pub(crate) fn set_alarms(&self, alarms: Alarms) {
        self.connections.set_alarms(alarms);
        self.catalog.post(CatalogInput::Command(CatalogCommand::Alarms(alarms)));
    }

    /// Tells the shards how many bytes of memory the messages of all queues may take.
    pub(crate) fn set_message_memory(&self, bytes: u64) {
        let each = usize::try_from(bytes).unwrap_or(usize::MAX) / self.shards.len().max(1);
        for shard in &self.shards {
            shard.post(ShardInput::MemoryBudget(each));
        }
    }
}
