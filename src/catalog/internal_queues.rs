//! Internal queues: the queues that belong to exchanges which keep messages (semantics 5.28, 5.29). They have no name
//! that a client could use, come and go with their exchange, and what they keep outlives a restart where the exchange
//! does.

use crate::model::ids::{Destination, ExchangeId, QueueId};
use crate::model::settings::{DeadLetterTarget, QueueRole, QueueSettings};
use crate::routing::{ExchangeKind, history_length};

use super::records::{self, Record};
use super::view::{Exchange, ViewState};
use super::{Catalog, CatalogEffects, CatalogQueue};
use crate::model::command::{QueueLabel, ShardCommand};

impl Catalog {
    /// Makes the internal queue of a new exchange, if it is one that keeps messages.
    pub(super) fn add_internal_queue(&mut self, exchange: &mut Exchange, fx: &mut CatalogEffects) {
        if !exchange.kind().keeps_messages() {
            return;
        }
        let id = self.next_queue_id(fx);
        let at = self.place(id);
        exchange.routes.set_internal_queue(at);
        if exchange.durable {
            let (vhost, name) = (exchange.vhost.clone(), exchange.name.clone());
            fx.ops.push(Record::InternalQueue { vhost, exchange: name, id }.put());
        }
        if let Some(CatalogQueue { queue, label, settings }) = internal_queue(exchange) {
            fx.to_shards.push((at.shard, ShardCommand::CreateQueue { queue, label, settings }));
        }
    }

    /// Gives a recorded exchange its internal queue back. False where there is no such exchange.
    pub(super) fn restore_internal_queue(
        &mut self,
        state: &mut ViewState,
        vhost: &str,
        exchange: &str,
        id: QueueId,
    ) -> bool {
        self.restore_next_queue_after(id);
        let at = self.place(id);
        let Some(exchange) = state.exchange(vhost, exchange).map(|exchange| exchange.id) else {
            return false;
        };
        state.set_internal_queue(exchange, at);
        true
    }

    /// Deletes the internal queue of an exchange that goes.
    pub(super) fn drop_internal_queue(exchange: &Exchange, fx: &mut CatalogEffects) {
        let Some(at) = exchange.routes.internal_queue() else { return };
        let has_tombstone = exchange.durable;
        fx.to_shards.push((at.shard, ShardCommand::DropQueue { queue: at.queue, has_tombstone }));
        if has_tombstone {
            fx.ops.push(Record::Tombstone(at.queue).put());
            fx.ops.push(records::delete_internal_queue(&exchange.vhost, &exchange.name));
        }
    }

    /// Whoever is newly bound to an exchange with a history is sent it.
    pub(super) fn replay(state: &ViewState, source: ExchangeId, to: Destination, fx: &mut CatalogEffects) {
        let source =
            state.exchange_by_id(source).filter(|source| source.kind() == ExchangeKind::RecentHistory);
        if let Some(at) = source.and_then(|source| source.routes.internal_queue()) {
            fx.to_shards.push((at.shard, ShardCommand::Replay { history: at.queue, to }));
        }
    }
}

/// The internal queue of an exchange as its shard must have it; None where there is none.
pub(super) fn internal_queue(exchange: &Exchange) -> Option<CatalogQueue> {
    let settings = QueueSettings { durable: exchange.durable, ..QueueSettings::default() };
    let settings = match exchange.kind() {
        // What is due leaves as a dead letter does: the internal queue lets go of it once it is safe where it went.
        ExchangeKind::DelayedMessage => QueueSettings {
            role: QueueRole::Delays,
            dead_letter: Some(DeadLetterTarget { exchange: exchange.name.clone(), routing_key: None }),
            ..settings
        },
        _ => QueueSettings {
            role: QueueRole::Remembers,
            max_length: history_length(&exchange.arguments).ok(),
            ..settings
        },
    };
    let label = QueueLabel { vhost: exchange.vhost.clone(), name: exchange.name.clone() };
    Some(CatalogQueue { queue: exchange.routes.internal_queue()?.queue, label, settings: settings.into() })
}
