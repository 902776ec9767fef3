//! Policies put and deleted, and applied to the queues and exchanges that are there (semantics 17.4).

use leveret_codec::table::{AMQPValue, FieldTable};

use crate::model::administration::{AdministrationError, Applied, PolicyKind, PolicySpec};
use crate::model::ids::{ExchangeId, Name, QueueId};

use super::{applied, check_name, known_vhost};
use crate::catalog::application::Application;
use crate::catalog::encoded_table::EncodedTable;
use crate::catalog::events::{Fields, definition, number, text};
use crate::catalog::pattern::Pattern;
use crate::catalog::policies::{self, Policy};
use crate::catalog::records::{self, Record};
use crate::catalog::view::ViewState;
use crate::catalog::{Catalog, CatalogEffects};

/// The component of operator policies, which are parameters in RabbitMQ.
const OPERATOR_POLICY: &str = "operator_policy";

impl Catalog {
    pub(in crate::catalog) fn put_policy(
        &mut self,
        state: &mut ViewState,
        vhost: &Name,
        (kind, name): (PolicyKind, &Name),
        policy: &PolicySpec,
        pattern: Result<Pattern, String>,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let of_vhost = known_vhost(state, vhost)?;
        check_name("policy", name)?;
        let pattern = policies::check(kind, policy, pattern)?;
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
        let was_there = of_vhost.policies.put(kind, Policy::new(name.clone(), policy.clone(), pattern));
        if kind == PolicyKind::Operator {
            fx.event(state, "parameter.set", || {
                let mut value = FieldTable::default();
                for (name, part) in parts(policy) {
                    value.insert(name.into(), part);
                }
                parameter(vhost, OPERATOR_POLICY, name, Some(AMQPValue::FieldTable(value)))
            });
        }
        fx.event(state, "policy.set", || {
            let mut fields = identified(vhost, name);
            fields.extend(parts(policy));
            fields
        });
        self.apply_policies(vhost, fx);
        Ok(applied(was_there))
    }

    pub(in crate::catalog) fn delete_policy(
        &mut self,
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
        emit_cleared(state, vhost, kind, name, fx);
        self.apply_policies(vhost, fx);
        Ok(Applied::Changed)
    }
}

impl Catalog {
    /// Begins to have all that is there obey the policies of a vhost.
    fn apply_policies(&mut self, vhost: &Name, fx: &CatalogEffects) {
        let (exchanges, queues) = (ExchangeId(self.next_exchange), QueueId(self.next_queue));
        self.begin_again(Application::new(vhost, exchanges, queues), fx);
    }
}

/// A policy is gone. Operator policies are parameters to RabbitMQ, which tells of both.
pub(in crate::catalog) fn emit_cleared(
    state: &ViewState,
    vhost: &Name,
    kind: PolicyKind,
    name: &Name,
    fx: &mut CatalogEffects,
) {
    match kind {
        PolicyKind::Regular => fx.event(state, "policy.cleared", || identified(vhost, name)),
        PolicyKind::Operator => {
            fx.event(state, "parameter.cleared", || parameter(vhost, OPERATOR_POLICY, name, None));
            fx.event(state, "operator.policy.cleared", || identified(vhost, name));
        }
    }
}

/// A parameter of a component, as events describe it; without a value once it is gone.
pub(in crate::catalog) fn parameter(
    vhost: &Name,
    component: &str,
    name: &str,
    value: Option<AMQPValue>,
) -> Fields {
    let mut fields = vec![("component", text(component)), ("name", text(name)), ("vhost", text(&**vhost))];
    fields.extend(value.map(|value| ("value", value)));
    fields
}

fn identified(vhost: &Name, name: &Name) -> Fields {
    vec![("vhost", text(&**vhost)), ("name", text(&**name))]
}

/// What a policy says, as events describe it.
fn parts(policy: &PolicySpec) -> Fields {
    vec![
        ("pattern", text(&*policy.pattern)),
        ("apply-to", text(policy.apply_to.as_str())),
        ("priority", number(policy.priority)),
        ("definition", definition(&policy.definition)),
    ]
}
