//! Vhosts: made, changed, deleted with all in them (semantics.md 7.12, 16.8, 19.1).

use crate::model::administration::{AdministrationError, Applied, VhostMetadata};
use crate::model::event::SessionEvent;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::Name;

use super::administration::{applied, check_name};
use super::records::{self, Record};
use super::{Catalog, CatalogEffects};
use crate::broker::announce::text;
use crate::broker::command::ShardCommand;
use crate::broker::view::{Vhost, ViewState};

impl Catalog {
    pub(super) fn put_vhost(
        &mut self,
        state: &mut ViewState,
        name: &Name,
        metadata: VhostMetadata,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let exists = state.vhost(name).is_some();
        if !exists {
            check_name("vhost", name)?;
            check_vhost_limit(state, name)?;
            fx.ops.push(Record::Vhost { name: name.clone() }.put());
            self.restore_vhost(state, name);
        }
        let vhost = known_vhost(state, name)?;
        vhost.metadata = metadata;
        fx.ops.push(settings_record(vhost).put());
        if !exists {
            fx.event(state, "vhost.created", || vec![("name", text(&**name))]);
        }
        Ok(applied(exists))
    }

    /// Makes a recorded vhost again.
    pub(super) fn restore_vhost(&mut self, state: &mut ViewState, name: &Name) {
        state.add_vhost(name.clone());
        self.predeclare(state, name);
    }

    /// All in it goes with it, and so do its connections.
    pub(super) fn delete_vhost(
        &mut self,
        state: &mut ViewState,
        name: &Name,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let vhost = known_vhost(state, name)?;
        let mut queues: Vec<_> = vhost.queues.values().copied().collect();
        let mut exchanges: Vec<_> = vhost.exchanges.values().copied().collect();
        fx.ops.extend(records::delete_vhost(vhost));
        queues.sort_unstable();
        exchanges.sort_unstable();
        for queue in queues {
            if let Some(shard) = state.queue_by_id(queue).map(|queue| queue.at.shard) {
                fx.to_shards.push((shard, ShardCommand::DropQueue { queue }));
            }
            self.forget_queue(state, queue, fx);
        }
        for exchange in exchanges {
            self.remove_exchange(state, exchange, fx);
        }
        state.remove_vhost(name);
        fx.event(state, "vhost.deleted", || vec![("name", text(&**name))]);
        let fault = Fault::new(ReplyCode::ConnectionForced, format!("vhost '{name}' is deleted"));
        let closed = self.view.clients.of_vhost(name).into_iter();
        fx.to_connections.extend(closed.map(|connection| (connection, SessionEvent::Close(fault.clone()))));
        Ok(Applied::Changed)
    }

    pub(super) fn set_tracing(
        state: &mut ViewState,
        name: &Name,
        on: bool,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let vhost = known_vhost(state, name)?;
        vhost.tracing = on;
        fx.ops.push(settings_record(vhost).put());
        Ok(Applied::Changed)
    }
}

pub(super) fn known_vhost<'a>(
    state: &'a mut ViewState,
    name: &Name,
) -> Result<&'a mut Vhost, AdministrationError> {
    state.vhost_mut(name).ok_or_else(|| AdministrationError::NoVhost(name.clone()))
}

/// The record of all that is set for a vhost.
pub(super) fn settings_record(vhost: &Vhost) -> Record {
    Record::VhostSettings {
        vhost: vhost.name.clone(),
        metadata: vhost.metadata.clone(),
        tracing: vhost.tracing,
        limits: vhost.limits,
    }
}

fn check_vhost_limit(state: &ViewState, name: &str) -> Result<(), AdministrationError> {
    match state.node_limits().vhosts {
        Some(most) if state.vhosts().count() as u64 >= most => Err(AdministrationError::Invalid(format!(
            "cannot create vhost '{name}': vhost limit of {most} is reached"
        ))),
        _ => Ok(()),
    }
}
