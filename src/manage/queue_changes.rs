//! Queues: declared, deleted, purged (semantics section 7, section 8).

use serde_json::json;

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clients;
use super::json::declared_arguments;
use super::vhosts::check_node;
use crate::model::ids::Name;
use crate::model::request::{DeclareQueue, Request};

/// What is not given is false: the queue is transient unless the body says otherwise.
pub(super) async fn put(call: &mut Call<'_>, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost_to_change(vhost)?;
    let fields = call.fields().await?;
    fields.check_node()?;
    let declare = DeclareQueue {
        name: name.into(),
        passive: false,
        durable: fields.boolean("durable")?,
        // It would go with whoever asks, at once.
        exclusive: false,
        auto_delete: fields.boolean("auto_delete")?,
        arguments: declared_arguments(fields.get("arguments"))?,
    };
    let exists = call.view().read().queue(&vhost, name).is_some();
    clients::request(call, &vhost, Request::DeclareQueue(declare)).await?;
    Ok(if exists { Answer::Done } else { Answer::Created })
}

/// With `if-unused=true`, one that has consumers is 400; with `if-empty=true` one that has messages.
pub(super) async fn delete(call: &Call<'_>, vhost: &str, name: &str) -> Outcome {
    let (vhost, name) = known(call, vhost, name)?;
    let (if_unused, if_empty) = (clients::is_asked(call, "if-unused"), clients::is_asked(call, "if-empty"));
    clients::request(call, &vhost, Request::DeleteQueue { name, if_unused, if_empty }).await?;
    Ok(Answer::Done)
}

pub(super) async fn purge(call: &Call<'_>, vhost: &str, name: &str) -> Outcome {
    let (vhost, name) = known(call, vhost, name)?;
    clients::request(call, &vhost, Request::PurgeQueue { name }).await?;
    Ok(Answer::Done)
}

/// Actions are of mirrored queues, which there are no more: all are unknown.
pub(super) async fn act(call: &mut Call<'_>, vhost: &str, name: &str) -> Outcome {
    known(call, vhost, name)?;
    let fields = call.fields().await?;
    fields.require(&["action"])?;
    Err(Refusal::Bad(json!(["unknown", fields.get("action")])))
}

/// Where a replica is to go, or to go from, there is one already, or none.
pub(super) async fn replicate(call: &mut Call<'_>, vhost: &str, name: &str) -> Outcome {
    known(call, vhost, name)?;
    let fields = call.fields().await?;
    fields.require(&["node"])?;
    fields.check_node()?;
    Ok(Answer::Done)
}

pub(super) async fn grow(node: &str) -> Outcome {
    check_node(node)?;
    Ok(Answer::Done)
}

/// The names of a vhost and a queue that is there.
fn known(call: &Call<'_>, vhost: &str, name: &str) -> Result<(Name, Name), Refusal> {
    let vhost = call.vhost(vhost)?;
    call.view().read().queue(&vhost, name).ok_or(Refusal::NotFound)?;
    Ok((vhost, name.into()))
}
