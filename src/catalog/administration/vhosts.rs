//! Vhosts: made, changed, deleted with all in them (semantics 7.12, 16.8, 19.1).

use leveret_codec::table::AMQPValue;

use crate::model::administration::{AdministrationError, Applied, VhostMetadata};
use crate::model::event::SessionEvent;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::Name;

use super::{check_name, known_vhost, limits, policies, settings_record, users};
use crate::catalog::events::{self, Fields, text, texts};
use crate::catalog::exchanges;
use crate::catalog::records::{self, Record};
use crate::catalog::removal::{Cause, Removal};
use crate::catalog::view::{Vhost, ViewState};
use crate::catalog::work::Task;
use crate::catalog::{Catalog, CatalogEffects};

impl Catalog {
    pub(in crate::catalog) fn put_vhost(
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
        if exists {
            fx.event(state, "vhost.updated", || described(state, name));
            return Ok(Applied::Changed);
        }
        let mut made: Vec<_> = state
            .vhost(name)
            .into_iter()
            .flat_map(|vhost| vhost.exchanges.after(None))
            .map(|(_, id)| id)
            .collect();
        made.sort_unstable();
        for exchange in made.into_iter().filter_map(|id| state.exchange_by_id(id)) {
            fx.event(state, "exchange.created", || exchanges::described(exchange));
        }
        fx.event(state, "vhost.created", || described(state, name));
        Ok(Applied::Created)
    }

    /// Makes a recorded vhost again.
    pub(in crate::catalog) fn restore_vhost(&mut self, state: &mut ViewState, name: &Name) {
        state.add_vhost(name.clone());
        self.predeclare(state, name);
    }

    /// All in it goes with it, and so do its connections.
    pub(in crate::catalog) fn delete_vhost(
        &mut self,
        state: &mut ViewState,
        name: &Name,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let vhost = known_vhost(state, name)?;
        if vhost.protected {
            return Err(AdministrationError::Protected(name.clone()));
        }
        let records = records::delete_vhost(vhost);
        emit_contents(state, name, fx);
        // Nobody new gets in.
        known_vhost(state, name)?.permissions.clear();
        let removal = Removal::new(None, Cause::Vhost(name.clone(), records));
        self.begin(Task::Remove(removal), None, fx);
        let fault = Fault::new(ReplyCode::ConnectionForced, format!("vhost '{name}' is deleted"));
        let closed = self.clients.of_vhost(name).into_iter();
        fx.to_connections.extend(closed.map(|connection| (connection, SessionEvent::Close(fault.clone()))));
        Ok(Applied::Changed)
    }

    pub(in crate::catalog) fn set_protection(
        state: &mut ViewState,
        name: &Name,
        on: bool,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        known_vhost(state, name)?.protected = on;
        fx.ops.push(if on {
            Record::VhostProtection { vhost: name.clone() }.put()
        } else {
            records::delete_vhost_protection(name)
        });
        Ok(Applied::Changed)
    }

    pub(in crate::catalog) fn set_tracing(
        state: &mut ViewState,
        name: &Name,
        on: bool,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let vhost = known_vhost(state, name)?;
        vhost.tracing = on;
        fx.ops.push(settings_record(vhost).put());
        fx.event(state, "vhost.updated", || described(state, name));
        Ok(Applied::Changed)
    }
}

/// A vhost as events describe it.
fn described(state: &ViewState, name: &Name) -> Fields {
    let mut fields = vec![("name", text(&**name))];
    let Some(Vhost { metadata, tracing, .. }) = state.vhost(name) else { return fields };
    fields.extend([
        ("description", text(&metadata.description)),
        ("tags", texts(metadata.tags.iter().map(|tag| &**tag))),
        ("default_queue_type", text(metadata.default_queue_type.unwrap_or_default().as_str())),
        ("tracing", AMQPValue::Boolean(*tracing)),
    ]);
    fields
}

/// What goes with a vhost, apart from its queues and exchanges.
fn emit_contents(state: &ViewState, name: &Name, fx: &mut CatalogEffects) {
    let Some(vhost) = state.vhost(name).filter(|_| events::is_subscribed(state)) else { return };
    let mut users: Vec<_> = vhost.permissions.keys().collect();
    users.sort_unstable();
    for user in users {
        fx.event(state, "permission.deleted", || users::described(name, user));
    }
    for (kind, policy) in vhost.policies.iter() {
        policies::emit_cleared(state, name, kind, &policy.name, fx);
    }
    limits::emit_vhost_limits_cleared(state, vhost, fx);
}

fn check_vhost_limit(state: &ViewState, name: &str) -> Result<(), AdministrationError> {
    match state.node_limits().vhosts {
        Some(most) if state.vhosts().count() as u64 >= most => Err(AdministrationError::Invalid(format!(
            "cannot create vhost '{name}': vhost limit of {most} is reached"
        ))),
        _ => Ok(()),
    }
}
