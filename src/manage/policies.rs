//! Policies and operator policies (semantics section 17).

use serde_json::{Map, Value, json};

use super::answer::{Outcome, Refusal};
use super::call::Call;
use super::fields::{Fields, integer, wrong};
use super::json::{from_table, to_amqp, to_table, with_integers};
use super::listing::{self, ListingKey};
use crate::catalog::policies::printed;
use crate::catalog::view::{Vhost, ViewState};
use crate::model::administration::{AdministrationError, ApplyTo, Change, PolicyKind, PolicySpec};
use crate::model::ids::Name;

/// Those of one vhost, or of all that the caller sees.
pub(super) async fn list(call: &Call<'_>, kind: PolicyKind, vhost: Option<&str>) -> Outcome {
    let names = move |vhost: &Vhost, last: Option<&Name>, most| {
        let is_next = |name: &Name| last.is_none_or(|last| name > last);
        let of_kind = vhost.policies.iter().filter(|(found, policy)| *found == kind && is_next(&policy.name));
        of_kind.map(|(_, policy)| policy.name.clone()).take(most).collect()
    };
    listing::list_in_vhosts(call, vhost, None, names, move |state, key| describe(state, kind, key)).await
}

pub(super) async fn get(call: &Call<'_>, kind: PolicyKind, vhost: &str, name: &str) -> Outcome {
    listing::get_in_vhost(call, vhost, name, |state, key| describe(state, kind, key))
}

pub(super) async fn put(call: &mut Call<'_>, kind: PolicyKind, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost_to_change(vhost)?;
    let fields = call.fields().await?;
    let policy = spec_of(&fields)?;
    call.change(Change::PutPolicy { vhost, kind, name: name.into(), policy }).await
}

/// The policy that an object describes.
pub(super) fn spec(given: &Map<String, Value>) -> Result<PolicySpec, Refusal> {
    spec_of(&Fields::of(given.clone()))
}

pub(super) fn spec_of(fields: &Fields) -> Result<PolicySpec, Refusal> {
    fields.require(&["pattern", "definition"])?;
    let invalid = |text: String| Refusal::from(AdministrationError::validation(text));
    let pattern: Name = match fields.get("pattern") {
        Some(Value::String(pattern)) => pattern.as_str().into(),
        other => {
            let found = other.and_then(|value| to_amqp(value).ok()).map(|value| printed(&value));
            let found = found.unwrap_or_else(|| "undefined".to_owned());
            return Err(invalid(format!("pattern should be a binary but was {found}")));
        }
    };
    let definition = match fields.get("definition") {
        Some(Value::Object(definition)) => {
            let definition = to_table(definition).map_err(|why| invalid(format!("definition: {why}")))?;
            // Whatever is a number in a policy is a whole one.
            with_integers(definition, |_| true)
        }
        other => return Err(wrong("definition", "an object", other.unwrap_or(&Value::Null))),
    };
    let priority = match fields.get("priority") {
        None => 0,
        Some(value) => integer("priority", value).map_err(invalid)?,
    };
    let apply_to = match fields.text("apply-to")? {
        None => ApplyTo::All,
        Some(word) => ApplyTo::parse(word)?,
    };
    Ok(PolicySpec { pattern, apply_to, priority, definition })
}

pub(super) async fn delete(call: &Call<'_>, kind: PolicyKind, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    call.change(Change::DeletePolicy { vhost, kind, name: name.into() }).await
}

fn describe(state: &ViewState, kind: PolicyKind, (vhost, name): &ListingKey) -> Option<Value> {
    let policy = state.vhost(vhost)?.policies.get(kind, name)?;
    let PolicySpec { pattern, apply_to, priority, definition } = &policy.spec;
    Some(json!({
        "vhost": **vhost,
        "name": **name,
        "pattern": **pattern,
        "apply-to": apply_to.as_str(),
        "definition": from_table(definition),
        "priority": priority,
    }))
}
