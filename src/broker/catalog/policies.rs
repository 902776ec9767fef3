//! Policies put and deleted, and applied to the queues and exchanges that are there (semantics.md 17.4).

use crate::model::administration::{AdministrationError, Applied, PolicyKind, PolicySpec};
use crate::model::ids::Name;

use super::administration::{applied, check_name};
use super::records::{self, EncodedTable, Record};
use super::vhosts::known_vhost;
use super::{Catalog, CatalogEffects};
use crate::broker::announce::{Fields, text};
use crate::broker::command::ShardCommand;
use crate::broker::policies::{self, Policy};
use crate::broker::view::ViewState;

impl Catalog {
    pub(super) fn put_policy(
        state: &mut ViewState,
        vhost: &Name,
        kind: PolicyKind,
        name: Name,
        policy: PolicySpec,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let of_vhost = known_vhost(state, vhost)?;
        check_name("policy", &name)?;
        policies::check(kind, &policy)?;
        let record = Record::Policy {
            vhost: of_vhost.name.clone(),
            kind,
            name: name.clone(),
            pattern: policy.pattern.clone(),
            apply_to: policy.apply_to,
            priority: policy.priority,
            definition: EncodedTable::new(&policy.definition),
        };
        fx.ops.push(record.put());
        let described = described(vhost, &name);
        let was_there = of_vhost.policies.put(kind, Policy::new(name, policy));
        fx.event(state, "policy.set", || described);
        apply(state, vhost, fx);
        Ok(applied(was_there))
    }

    pub(super) fn delete_policy(
        state: &mut ViewState,
        vhost: &Name,
        kind: PolicyKind,
        name: &Name,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let of_vhost = known_vhost(state, vhost)?;
        if !of_vhost.policies.remove(kind, name) {
            let (vhost, name) = (of_vhost.name.clone(), name.clone());
            return Err(AdministrationError::NoPolicy { vhost, name });
        }
        fx.ops.push(records::delete_policy(vhost, kind, name));
        fx.event(state, "policy.cleared", || described(vhost, name));
        apply(state, vhost, fx);
        Ok(Applied::Changed)
    }
}

/// A policy as events describe it.
fn described(vhost: &Name, name: &Name) -> Fields {
    vec![("vhost", text(&**vhost)), ("name", text(&**name))]
}

/// Has all queues and exchanges of a vhost obey its policies as they are now.
fn apply(state: &mut ViewState, vhost: &str, fx: &mut CatalogEffects) {
    for (at, settings) in state.apply_policies(vhost) {
        let command = ShardCommand::SetSettings { queue: at.queue, settings: Box::new(settings) };
        fx.to_shards.push((at.shard, command));
    }
}
