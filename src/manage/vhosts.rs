//! Vhosts: listed, made, changed, deleted; their firehose is a field of theirs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::fields::wrong;
use super::listing;
use super::rates::{self, Windows};
use super::stats;
use super::totals::{CHANNELS_AT, Samples, TRAFFIC_AT};
use crate::catalog::view::{Vhost, View, ViewState};
use crate::model::administration::{AdministrationError, Applied, Change, PermissionSpec, VhostMetadata};
use crate::model::ids::Name;
use crate::model::names::NODE;
use crate::model::settings::QueueType;

/// Those that the caller sees; who monitors sees all.
pub(super) async fn list(call: &Call<'_>) -> Outcome {
    let is_seen = |vhost: &&Vhost| call.caller.is_monitor() || call.caller.sees(vhost);
    let keys = |state: &ViewState| -> Vec<Name> {
        state.vhosts().filter(is_seen).map(|vhost| vhost.name.clone()).collect()
    };
    call.context.samples.sum(&call.context.administrator).await?;
    let (samples, windows) = (Arc::clone(&call.context.samples), Windows::read(call.query));
    let describe = move |view: &View, name: &Name| {
        let described = view.read().vhost(name).map(describe)?;
        Some(count(described, name, &samples, &windows))
    };
    listing::list_pages(call, |view| keys(&view.read()), |name| Some(name.clone()), describe).await
}

pub(super) async fn get(call: &Call<'_>, name: &str) -> Outcome {
    let described = call.view().read().vhost(name).map(describe).ok_or(Refusal::NotFound)?;
    call.context.samples.sum(&call.context.administrator).await?;
    let windows = Windows::read(call.query);
    Ok(Answer::Found(count(described, name, &call.context.samples, &windows)))
}

/// What is not given is as in a new vhost, but for the firehose, which stays as it is. Whoever makes a vhost may do all
/// in it.
pub(super) async fn put(call: &mut Call<'_>, name: &str) -> Outcome {
    let fields = call.fields().await?;
    let metadata = VhostMetadata {
        description: fields.text("description")?.unwrap_or_default().to_owned(),
        tags: fields.words("tags")?.unwrap_or_default(),
        default_queue_type: match fields.get("default_queue_type") {
            None | Some(Value::Null) => None,
            Some(Value::String(word)) => Some(queue_type(word)?),
            Some(other) => return Err(wrong("default_queue_type", "a string", other)),
        },
    };
    let (tracing, protected) = (fields.flag("tracing")?, fields.flag("protected_from_deletion")?);
    let name: Name = name.into();
    let applied = call.apply(Change::PutVhost { name: name.clone(), metadata }).await?;
    // Whoever is no user needs no permissions.
    if applied == Applied::Created && call.caller.uid.is_none() {
        let all: Name = ".*".into();
        let permissions = PermissionSpec { configure: all.clone(), write: all.clone(), read: all };
        let (vhost, user) = (name.clone(), call.caller.name.clone());
        call.apply(Change::PutPermissions { vhost, user, permissions }).await?;
    }
    if let Some(on) = tracing {
        call.apply(Change::SetTracing { vhost: name.clone(), on }).await?;
    }
    if let Some(on) = protected {
        call.apply(Change::SetVhostProtection { vhost: name, on }).await?;
    }
    Ok(applied.into())
}

pub(super) async fn delete(call: &Call<'_>, name: &str) -> Outcome {
    match call.apply(Change::DeleteVhost { name: name.into() }).await {
        Err(AdministrationError::NoVhost(_)) => Err(Refusal::NotFound),
        other => Ok(other?.into()),
    }
}

/// Has it refuse to be deleted, or not.
pub(super) async fn protect(call: &Call<'_>, name: &str, on: bool) -> Outcome {
    let vhost = call.vhost(name)?;
    call.apply(Change::SetVhostProtection { vhost, on }).await?;
    Ok(Answer::Done)
}

/// A vhost is always up on the one node there is.
pub(super) async fn start(call: &Call<'_>, name: &str, node: &str) -> Outcome {
    call.vhost(name)?;
    if node == NODE { Ok(Answer::Done) } else { Err(Refusal::bad(format!("Unknown node: {node}"))) }
}

/// 404 where a path names another node.
pub(super) fn check_node(name: &str) -> Result<(), Refusal> {
    if name == NODE { Ok(()) } else { Err(Refusal::NotFound) }
}

pub(super) fn queue_type(word: &str) -> Result<QueueType, Refusal> {
    [QueueType::Classic, QueueType::Quorum]
        .into_iter()
        .find(|queue_type| queue_type.as_str() == word)
        .ok_or_else(|| Refusal::bad(format!("{word} is not a valid queue type")))
}

/// Adds how much is in its queues, and what its connections have counted.
fn count(mut described: Value, name: &str, samples: &Samples, windows: &Windows) -> Value {
    let (totals, rates) = samples.vhost(name);
    let (values, rates) = (totals.values(), rates.as_ref());
    if let Value::Object(described) = &mut described {
        rates::write(described, &stats::LENGTHS, &values[..TRAFFIC_AT], 0, rates, windows.lengths);
        let traffic = &values[TRAFFIC_AT..CHANNELS_AT];
        rates::write(described, &stats::TRAFFIC, traffic, TRAFFIC_AT, rates, windows.data);
        let message_stats = stats::of_channels(&values[CHANNELS_AT..], CHANNELS_AT, rates, windows.messages);
        described.insert("message_stats".to_owned(), message_stats);
    }
    described
}

fn describe(vhost: &Vhost) -> Value {
    let VhostMetadata { description, tags, default_queue_type } = &vhost.metadata;
    let tags: Vec<&str> = tags.iter().map(|tag| &**tag).collect();
    let queue_type = default_queue_type.unwrap_or_default().as_str();
    json!({
        "name": *vhost.name,
        "description": description,
        "tags": tags,
        "default_queue_type": queue_type,
        "protected_from_deletion": vhost.protected,
        "metadata": {"description": description, "tags": tags, "default_queue_type": queue_type},
        "tracing": vhost.tracing,
        "cluster_state": {NODE: "running"},
    })
}
