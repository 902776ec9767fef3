//! Exchanges: declared and deleted (semantics section 5).

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clients;
use super::json::declared_arguments;
use crate::model::ids::Name;
use crate::model::request::{DeclareExchange, Request};

/// What is not given is false, and the type is direct.
pub(super) async fn put(call: &mut Call<'_>, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost_to_change(vhost)?;
    let fields = call.fields().await?;
    fields.check_node()?;
    let name = named(name);
    let declare = DeclareExchange {
        name: name.clone(),
        kind: fields.text("type")?.unwrap_or("direct").into(),
        passive: false,
        durable: fields.boolean("durable")?,
        auto_delete: fields.boolean("auto_delete")?,
        internal: fields.boolean("internal")?,
        arguments: declared_arguments(fields.get("arguments"))?,
    };
    let exists = call.view().read().exchange(&vhost, &name).is_some();
    clients::request(call, &vhost, Request::DeclareExchange(declare)).await?;
    Ok(if exists { Answer::Done } else { Answer::Created })
}

/// With `if-unused=true`, one that has bindings is 400.
pub(super) async fn delete(call: &Call<'_>, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    let name = named(name);
    call.view().read().exchange(&vhost, &name).ok_or(Refusal::NotFound)?;
    let if_unused = clients::is_asked(call, "if-unused");
    clients::request(call, &vhost, Request::DeleteExchange { name, if_unused }).await?;
    Ok(Answer::Done)
}

/// The name of an exchange in a path; that of the default exchange is empty.
pub(super) fn named(name: &str) -> Name {
    if name == "amq.default" { "".into() } else { name.into() }
}
