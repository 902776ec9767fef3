//! Queues as they are declared. What is in them is their shards' and not said here.

use serde_json::{Value, json};

use super::answer::Outcome;
use super::call::Call;
use super::json::from_table;
use super::listing::{self, ListingKey};
use crate::catalog::policies::Applying;
use crate::catalog::view::{Vhost, ViewState};
use crate::model::ids::Name;
use crate::model::names::NODE;

pub(super) async fn list(call: &Call<'_>, vhost: Option<&str>) -> Outcome {
    let names =
        |vhost: &Vhost, last: Option<&Name>, most| vhost.queues_after(last).take(most).cloned().collect();
    listing::list_in_vhosts(call, vhost, names, describe).await
}

pub(super) async fn get(call: &Call<'_>, vhost: &str, name: &str) -> Outcome {
    listing::get_in_vhost(call, vhost, name, describe)
}

fn describe(state: &ViewState, (vhost, name): &ListingKey) -> Option<Value> {
    let queue = state.queue(vhost, name)?;
    let mut described = json!({
        "name": **name,
        "vhost": **vhost,
        "type": queue.settings.queue_type.as_str(),
        "durable": queue.settings.durable,
        "auto_delete": queue.settings.auto_delete,
        "exclusive": queue.exclusive_to.is_some(),
        "arguments": from_table(&queue.arguments.decode()),
        "effective_policy_definition": from_table(&queue.policies.definition),
        "node": NODE,
        "state": "running",
    });
    name_policies(&mut described, &queue.policies);
    Some(described)
}

/// Policies that do not apply are not named.
pub(super) fn name_policies(described: &mut Value, policies: &Applying) {
    for (key, name) in [("policy", &policies.regular), ("operator_policy", &policies.operator)] {
        if let Some(name) = name {
            described[key] = (**name).into();
        }
    }
}
