//! Parameters of vhosts, which RabbitMQ keeps limits and operator policies as, and global parameters, among which the name of the cluster
//! is. What else RabbitMQ keeps here belongs to plugins there are not.

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::json::from_table;
use super::{limits, listing, policies};
use crate::catalog::view::{Vhost, ViewState};
use crate::model::administration::{AdministrationError, Change, PolicyKind, VhostLimits};
use crate::model::ids::Name;
use crate::model::names::NODE;

pub(super) const LIMITS: &str = "vhost-limits";
pub(super) const OPERATOR_POLICY: &str = "operator_policy";
/// The one name that limits have.
const NAME_OF_LIMITS: &str = "limits";
/// Global parameters with a meaning.
pub(super) const CLUSTER_NAME: &str = "cluster_name";
const CLUSTER_ID: &str = "internal_cluster_id";

/// Those of a component and a vhost, or all that the caller sees.
pub(super) async fn list(call: &Call<'_>, component: Option<&str>, vhost: Option<&str>) -> Outcome {
    let only = vhost.map(|vhost| call.vhost(vhost)).transpose()?;
    let is_wanted =
        |vhost: &Vhost| only.as_ref().map_or_else(|| call.caller.sees(vhost), |only| *only == vhost.name);
    let keys = |state: &ViewState| -> Vec<(Name, Name, Name)> {
        let mut keys = Vec::new();
        for vhost in state.vhosts().filter(|vhost| is_wanted(vhost)) {
            let wanted = parameters(vhost).filter(|(of, _)| component.is_none_or(|only| *only == **of));
            keys.extend(wanted.map(|(of, name)| (vhost.name.clone(), of, name)));
        }
        keys
    };
    let describe = |state: &ViewState, (vhost, component, name): &(Name, Name, Name)| {
        parameter(state.vhost(vhost)?, component, name)
    };
    listing::list_state(call, keys, describe).await
}

pub(super) async fn get(call: &Call<'_>, component: &str, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    find(&call.view().read(), component, &vhost, name).map(Answer::Found).ok_or(Refusal::NotFound)
}

fn find(state: &ViewState, component: &str, vhost: &str, name: &str) -> Option<Value> {
    parameter(state.vhost(vhost)?, component, name)
}

/// The components and names of all parameters of a vhost.
pub(super) fn parameters(vhost: &Vhost) -> impl Iterator<Item = (Name, Name)> {
    let limits = (vhost.limits != VhostLimits::default()).then(|| (LIMITS.into(), NAME_OF_LIMITS.into()));
    let operators = vhost.policies.iter().filter(|(kind, _)| *kind == PolicyKind::Operator);
    let operators = operators.map(|(_, policy)| (OPERATOR_POLICY.into(), policy.name.clone()));
    limits.into_iter().chain(operators)
}

/// One of them.
pub(super) fn parameter(vhost: &Vhost, component: &str, name: &str) -> Option<Value> {
    let value = match component {
        LIMITS if name == NAME_OF_LIMITS && vhost.limits != VhostLimits::default() => {
            limits::of_vhost(&vhost.limits)
        }
        OPERATOR_POLICY => {
            let spec = &vhost.policies.get(PolicyKind::Operator, name)?.spec;
            json!({
                "pattern": *spec.pattern, "definition": from_table(&spec.definition), "priority": spec.priority,
                "apply-to": spec.apply_to.as_str(),
            })
        }
        _ => return None,
    };
    Some(json!({"vhost": *vhost.name, "component": component, "name": name, "value": value}))
}

pub(super) async fn put(call: &mut Call<'_>, component: &str, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost_to_change(vhost)?;
    if component == "policy" {
        return Err(Refusal::bad("policies may not be set using this method"));
    }
    let fields = call.fields().await?;
    fields.require(&["value"])?;
    let value = fields.get("value").cloned().unwrap_or_default();
    let exists = find(&call.view().read(), component, &vhost, name).is_some();
    for change in changes(component, &vhost, name, &value)? {
        call.apply(change).await?;
    }
    Ok(if exists { Answer::Done } else { Answer::Created })
}

/// What a parameter's value changes.
pub(super) fn changes(
    component: &str,
    vhost: &Name,
    name: &str,
    value: &Value,
) -> Result<Vec<Change>, Refusal> {
    let invalid = |text: String| Refusal::from(AdministrationError::validation(text));
    match (component, value) {
        (LIMITS, _) if name != NAME_OF_LIMITS => {
            Err(invalid(format!("{name} is not recognised, limits are")))
        }
        (LIMITS, Value::Object(given)) => limits::changes_of_vhost(vhost, given),
        (LIMITS, value) => Err(invalid(format!("limits not a list {value}"))),
        (OPERATOR_POLICY, Value::Object(given)) => {
            let policy = policies::spec(given)?;
            let (vhost, name) = (vhost.clone(), name.into());
            Ok(vec![Change::PutPolicy { vhost, kind: PolicyKind::Operator, name, policy }])
        }
        (OPERATOR_POLICY, value) => Err(invalid(format!("not a list {value}"))),
        (component, _) => Err(invalid(format!("component {component} not found"))),
    }
}

pub(super) async fn delete(call: &Call<'_>, component: &str, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    find(&call.view().read(), component, &vhost, name).ok_or(Refusal::NotFound)?;
    match component {
        LIMITS => {
            for change in limits::clearing_of_vhost(&vhost) {
                call.apply(change).await?;
            }
        }
        _ => {
            let (kind, name) = (PolicyKind::Operator, name.into());
            call.apply(Change::DeletePolicy { vhost, kind, name }).await?;
        }
    }
    Ok(Answer::Done)
}

pub(super) async fn list_global(call: &Call<'_>) -> Outcome {
    let state = call.view().read();
    let mut found: Vec<Value> = state.global_parameters().map(|(name, text)| global(name, text)).collect();
    if state.global_parameter(CLUSTER_ID).is_none() {
        found.push(json!({"name": CLUSTER_ID, "value": cluster_id(call)}));
    }
    Ok(Answer::Found(Value::Array(found)))
}

/// Made of what says which broker this is.
fn cluster_id(call: &Call<'_>) -> String {
    format!("rabbitmq-cluster-id-{}", call.context.administrator.facts().identity)
}

pub(super) async fn get_global(call: &Call<'_>, name: &str) -> Outcome {
    let state = call.view().read();
    match state.global_parameter(name) {
        Some(value) => Ok(Answer::Found(global(name, value))),
        None if name == CLUSTER_ID => Ok(Answer::Found(json!({"name": name, "value": cluster_id(call)}))),
        None => Err(Refusal::NotFound),
    }
}

fn global(name: &str, text: &str) -> Value {
    json!({"name": name, "value": parsed(text)})
}

/// The value of a JSON text that was made of one.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

pub(super) async fn put_global(call: &mut Call<'_>, name: &str) -> Outcome {
    let fields = call.fields().await?;
    fields.require(&["value"])?;
    let value = fields.get("value").map(Value::to_string);
    call.change(Change::SetGlobalParameter { name: name.into(), value }).await
}

pub(super) async fn delete_global(call: &Call<'_>, name: &str) -> Outcome {
    call.view().read().global_parameter(name).ok_or(Refusal::NotFound)?;
    call.apply(Change::SetGlobalParameter { name: name.into(), value: None }).await?;
    Ok(Answer::Done)
}

pub(super) async fn cluster_name(call: &Call<'_>) -> Outcome {
    Ok(Answer::Found(json!({"name": name_of_cluster(&call.view().read())})))
}

/// As it was set; the node's name otherwise.
pub(super) fn name_of_cluster(state: &ViewState) -> String {
    let set = state.global_parameter(CLUSTER_NAME).map(parsed);
    set.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_else(|| NODE.to_owned())
}

pub(super) async fn put_cluster_name(call: &mut Call<'_>) -> Outcome {
    let fields = call.fields().await?;
    let name = fields.name("name")?;
    let value = Some(Value::from(&*name).to_string());
    call.apply(Change::SetGlobalParameter { name: CLUSTER_NAME.into(), value }).await?;
    Ok(Answer::Done)
}
