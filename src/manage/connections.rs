//! Connections of clients: listed and closed (semantics 16.8). How they are described is in `of_connections`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::auth::Right;
use super::call::Call;
use super::listing;
use super::of_connections::{Describer, Kind, OfConnections};
use super::page::{self, Found, Page};
use crate::catalog::clients::Client;
use crate::catalog::view::View;
use crate::model::ids::{ConnectionId, Name};
use crate::model::names::NODE;
use crate::model::question::{ConnectionAnswer, ConnectionQuestion};

/// What a client is told where nobody gave a reason.
const NO_REASON: &str = "Closed via management plugin";

/// Those of the caller, to one vhost or to all; who monitors sees those of others, too.
pub(super) async fn list(call: &Call<'_>, vhost: Option<&str>) -> Outcome {
    let seen = seen(call, vhost)?;
    list_those(call, seen).await
}

/// Which these are, in order of their ids.
pub(super) fn seen(call: &Call<'_>, vhost: Option<&str>) -> Result<Vec<ConnectionId>, Refusal> {
    let vhost = vhost.map(|vhost| call.vhost(vhost)).transpose()?;
    let is_wanted = |client: &Client| {
        (call.caller.is_monitor() || client.user == call.caller.name)
            && vhost.as_ref().is_none_or(|vhost| client.vhost == *vhost)
    };
    Ok(call.clients().those(is_wanted))
}

/// All of them, or a page of those whose names are wanted.
async fn list_those(call: &Call<'_>, mut those: Vec<ConnectionId>) -> Outcome {
    let page = Page::read(call.query)?;
    let paged = match page {
        None => None,
        Some(page) => {
            let mut found = Found::default();
            those.retain(|id| name_of(call, *id).is_some_and(|name| page.has(&name, &mut found)));
            page.check(found)?;
            Some((page, found))
        }
    };
    let items = OfConnections::new(Describer::of(call), Kind::Connections, those);
    listing::list_items(call, Box::new(items), paged).await
}

pub(super) async fn get(call: &Call<'_>, name: &str) -> Outcome {
    let (id, client) = find(call, name)?;
    call.caller.check(Right::Monitor(&client.user))?;
    let asked = vec![(id, ConnectionQuestion::Totals)];
    let mut answers = call.context.administrator.ask_connections(asked).await?;
    let counts = match answers.pop() {
        Some(Some(ConnectionAnswer::Totals(counts))) => Some(counts),
        _ => None,
    };
    let mut described = Describer::of(call).connection(id, &client, counts.as_deref());
    // In a listing RabbitMQ says null of what is not there, of a single connection nothing.
    if let Value::Object(described) = &mut described {
        described.values_mut().filter(|value| value.is_null()).for_each(|value| *value = "".into());
    }
    Ok(Answer::Found(described))
}

/// Done once the connection was told; it is gone a moment later.
pub(super) async fn delete(call: &Call<'_>, name: &str) -> Outcome {
    let (connection, client) = find(call, name)?;
    call.caller.check(Right::Owner(&client.user))?;
    call.context.administrator.close_connection(connection, reason(call));
    Ok(Answer::Done)
}

/// Those of a user, in short.
pub(super) async fn of_user(call: &Call<'_>, user: &str) -> Outcome {
    let clients = Arc::clone(call.clients());
    let of_user = |_: &View| call.clients().of_user(user);
    let describe = move |_: &View, id: &ConnectionId| {
        let client = clients.get(*id)?;
        Some(json!({"name": *client.name, "vhost": *client.vhost, "user": *client.user, "node": NODE}))
    };
    listing::list_pages(call, of_user, |id| name_of(call, *id), describe).await
}

pub(super) async fn delete_of_user(call: &Call<'_>, user: &str) -> Outcome {
    call.caller.check(Right::Owner(user))?;
    for connection in call.clients().of_user(user) {
        call.context.administrator.close_connection(connection, reason(call));
    }
    Ok(Answer::Done)
}

/// All, or those to a vhost, of a user, or both. Says how many were told.
pub(super) async fn delete_those(call: &Call<'_>) -> Outcome {
    let asked = |name| page::value(call.query.unwrap_or_default(), name).flatten();
    let (vhost, user) = (asked("vhost"), asked("user"));
    let is_wanted =
        |name: &Name, wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| **name == **wanted);
    let those =
        call.clients().those(|client| is_wanted(&client.vhost, &vhost) && is_wanted(&client.user, &user));
    for &connection in &those {
        call.context.administrator.close_connection(connection, reason(call));
    }
    Ok(Answer::Found(json!({"closed": those.len()})))
}

fn name_of(call: &Call<'_>, connection: ConnectionId) -> Option<Name> {
    call.clients().get(connection).map(|client| client.name)
}

pub(super) fn find(call: &Call<'_>, name: &str) -> Result<(ConnectionId, Client), Refusal> {
    let id = call.clients().those(|client| *client.name == *name).first().copied();
    id.and_then(|id| Some((id, call.clients().get(id)?))).ok_or(Refusal::NotFound)
}

fn reason(call: &Call<'_>) -> String {
    let given = call.headers.get("x-reason");
    given.map_or_else(|| NO_REASON.to_owned(), |text| String::from_utf8_lossy(text.as_bytes()).into_owned())
}
