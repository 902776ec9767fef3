//! What is done the way of a client, with the caller's own permissions: who does it, what its refusals are over HTTP, and whether the
//! query of the path makes it depend on something.

use super::answer::Refusal;
use super::call::Call;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::Name;
use crate::model::peer::Entrant;
use crate::model::request::{Reply, Request};
use crate::server::{LocalClient, LocalError};

/// A client of the caller. Whoever may see a vhost, but has no permissions in it, is refused as if by each thing in it.
pub(super) fn client(call: &Call<'_>, vhost: &Name) -> Result<LocalClient, Refusal> {
    let who = match call.caller.uid {
        Some(_) => Entrant::Administrator,
        None => Entrant::User(&call.caller.name),
    };
    call.context.administrator.client(who, vhost).map_err(|error| match error {
        LocalError::Fault(Fault { code: ReplyCode::NotAllowed, .. }) => access_refused(),
        error => declared(error),
    })
}

/// Asks for a declaration, a deletion or a binding.
pub(super) async fn request(call: &Call<'_>, vhost: &Name, request: Request) -> Result<Reply, Refusal> {
    client(call, vhost)?.request(request).await.map_err(declared)
}

/// What a refusal of a declaration is over HTTP: the text alone, and nothing of what is kept from the caller.
pub(super) fn declared(error: LocalError) -> Refusal {
    match error {
        LocalError::Fault(fault) => match fault.code {
            ReplyCode::NotFound => Refusal::Missing(fault.explanation),
            ReplyCode::AccessRefused => access_refused(),
            _ => Refusal::bad(fault.explanation),
        },
        error => other(&error),
    }
}

/// What a refusal of a channel is over HTTP.
pub(super) fn on_channel(error: LocalError) -> Refusal {
    match error {
        LocalError::Fault(fault) => match fault.code {
            ReplyCode::NotFound => Refusal::Missing(fault.text().into()),
            ReplyCode::AccessRefused => Refusal::NotAuthorised(fault.text().into()),
            code => Refusal::bad(format!("{} {}", code.number(), fault.text())),
        },
        error => other(&error),
    }
}

/// What a refusal of a publish is over HTTP.
pub(super) fn on_publish(error: LocalError) -> Refusal {
    match error {
        LocalError::Fault(fault) => Refusal::bad(format!("{} {}", fault.code.number(), fault.text())),
        error => other(&error),
    }
}

fn other(error: &LocalError) -> Refusal {
    match error {
        LocalError::Stopping => Refusal::Stopping,
        error => Refusal::Blocked(error.to_string()),
    }
}

fn access_refused() -> Refusal {
    Refusal::NotAuthorised("Access refused.".into())
}

/// Whether the query has `name=true`.
pub(super) fn is_asked(call: &Call<'_>, name: &str) -> bool {
    let pairs = call.query.unwrap_or_default().split('&');
    pairs.filter_map(|pair| pair.split_once('=')).any(|(key, value)| key == name && value == "true")
}
