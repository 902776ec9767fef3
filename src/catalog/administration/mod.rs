//! Changes of an administrator, one by one: who carries out which, and what they have in common. Declarations of
//! clients are not among them.

mod limits;
pub(super) mod parameters;
mod policies;
mod users;
mod vhosts;

use crate::model::administration::{AdministrationError, Applied, Change};

use crate::model::ids::{Name, Timestamp};

use crate::catalog::pattern::Pattern;
use crate::catalog::records::Record;
use crate::catalog::view::{Vhost, ViewState};
use crate::catalog::work::Outcome;
use crate::catalog::{Catalog, CatalogEffects};

/// Names are short strings on the wire.
const LONGEST_NAME: usize = 255;

impl Catalog {
    /// Carries out a change, or begins to. It is done once the operations in `fx` are durable; refused, it has changed
    /// nothing.
    pub fn administer(
        &mut self,
        now: Timestamp,
        change: Change,
        fx: &mut CatalogEffects,
    ) -> Result<Outcome, AdministrationError> {
        // Before anybody has to wait for it.
        let pattern = match &change {
            Change::PutPolicy { policy, .. } => Pattern::parse(&policy.pattern),
            _ => Ok(Pattern::Nothing),
        };
        let view = self.view.clone();
        let mut state = view.write();
        let changes = fx.ops.len();
        let outcome = self.apply(&mut state, change, pattern, fx);
        if outcome.is_ok() {
            view.changed();
        }
        if fx.ops.len() > changes {
            view.set_written(false);
        }
        fx.publish_events(&state, view.wall_time(now));
        drop(state);
        outcome.map(|applied| self.do_first_piece(now, applied, fx))
    }

    pub(super) fn apply(
        &mut self,
        state: &mut ViewState,
        change: Change,
        pattern: Result<Pattern, String>,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        if let Some(vhost) = vhost_of(&change).filter(|vhost| self.is_leaving(vhost)) {
            return Err(AdministrationError::Invalid(format!(
                "vhost '{vhost}' is being deleted; ask again when it has gone"
            )));
        }
        match change {
            Change::PutVhost { name, metadata } => self.put_vhost(state, &name, metadata, fx),
            Change::DeleteVhost { name } => self.delete_vhost(state, &name, fx),
            Change::PutUser { name, user } => self.put_user(state, name, user, fx),
            Change::DeleteUser { name } => self.delete_user(state, &name, fx),
            Change::PutPermissions { vhost, user, permissions } => {
                Catalog::put_permissions(state, &vhost, &user, &permissions, fx)
            }
            Change::ClearPermissions { vhost, user } => Catalog::clear_permissions(state, &vhost, &user, fx),
            Change::PutTopicPermissions { vhost, user, exchange, permissions } => {
                Catalog::put_topic_permissions(state, &vhost, &user, &exchange, &permissions, fx)
            }
            Change::ClearTopicPermissions { vhost, user, exchange } => {
                Catalog::clear_topic_permissions(state, &vhost, &user, exchange.as_deref(), fx)
            }
            Change::PutPolicy { vhost, kind, name, policy } => {
                self.put_policy(state, &vhost, (kind, &name), &policy, pattern, fx)
            }
            Change::DeletePolicy { vhost, kind, name } => self.delete_policy(state, &vhost, kind, &name, fx),
            Change::SetVhostLimit { vhost, limit, value } => {
                Catalog::set_vhost_limit(state, &vhost, limit, value, fx)
            }
            Change::SetUserLimit { user, limit, value } => {
                Catalog::set_user_limit(state, &user, limit, value, fx)
            }
            Change::SetNodeLimits(limits) => Ok(Catalog::set_node_limits(state, limits, fx)),
            Change::SetGlobalParameter { name, value } => {
                Catalog::set_global_parameter(state, name, value, fx)
            }
            Change::SetVhostProtection { vhost, on } => Catalog::set_protection(state, &vhost, on, fx),
            Change::SetTracing { vhost, on } => Catalog::set_tracing(state, &vhost, on, fx),
        }
    }
}

fn vhost_of(change: &Change) -> Option<&Name> {
    match change {
        Change::PutVhost { name: vhost, .. }
        | Change::DeleteVhost { name: vhost }
        | Change::PutPermissions { vhost, .. }
        | Change::ClearPermissions { vhost, .. }
        | Change::PutTopicPermissions { vhost, .. }
        | Change::ClearTopicPermissions { vhost, .. }
        | Change::PutPolicy { vhost, .. }
        | Change::DeletePolicy { vhost, .. }
        | Change::SetVhostLimit { vhost, .. }
        | Change::SetVhostProtection { vhost, .. }
        | Change::SetTracing { vhost, .. } => Some(vhost),
        Change::PutUser { .. }
        | Change::DeleteUser { .. }
        | Change::SetUserLimit { .. }
        | Change::SetGlobalParameter { .. }
        | Change::SetNodeLimits(_) => None,
    }
}

pub(super) fn check_name(what: &str, name: &str) -> Result<(), AdministrationError> {
    match name.len() {
        0 => Err(AdministrationError::Invalid(format!("{what} name is empty"))),
        1..=LONGEST_NAME => Ok(()),
        length => Err(AdministrationError::Invalid(format!(
            "{what} name is {length} bytes long; at most {LONGEST_NAME} are allowed"
        ))),
    }
}

/// A permission nobody can read would refuse everything without saying why.
pub(super) fn check_expression(expression: &str) -> Result<(), AdministrationError> {
    Pattern::parse(expression)
        .map(|_| ())
        .map_err(|why| AdministrationError::Invalid(format!("invalid_regexp '{expression}': {why}")))
}

/// Whether the thing was there before.
pub(super) fn applied(was_there: bool) -> Applied {
    if was_there { Applied::Changed } else { Applied::Created }
}

fn known_vhost<'a>(state: &'a mut ViewState, name: &Name) -> Result<&'a mut Vhost, AdministrationError> {
    state.vhost_mut(name).ok_or_else(|| AdministrationError::NoVhost(name.clone()))
}

/// The record of all that is set for a vhost.
fn settings_record(vhost: &Vhost) -> Record {
    Record::VhostSettings {
        vhost: vhost.name.clone(),
        metadata: vhost.metadata.clone(),
        tracing: vhost.tracing,
        limits: vhost.limits,
    }
}
