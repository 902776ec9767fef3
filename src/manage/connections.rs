//! Connections of clients: listed and closed (semantics 16.8).

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::auth::Right;
use super::call::Call;
use super::listing;
use crate::catalog::clients::Client;
use crate::catalog::view::View;
use crate::model::ids::{ConnectionId, Name};
use crate::model::names::NODE;

/// What a client is told where nobody gave a reason.
const NO_REASON: &str = "Closed via management plugin";

/// Those of the caller, to one vhost or to all; who monitors sees those of others, too.
pub(super) async fn list(call: &Call<'_>, vhost: Option<&str>) -> Outcome {
    let vhost = vhost.map(|vhost| call.vhost(vhost)).transpose()?;
    let is_wanted = |client: &Client| {
        (call.caller.is_monitor() || client.user == call.caller.name)
            && vhost.as_ref().is_none_or(|vhost| client.vhost == *vhost)
    };
    let clients = Arc::clone(call.clients());
    let those = |_: &View| call.clients().those(is_wanted);
    let describe = move |_: &View, id: &ConnectionId| Some(describe(&clients.get(*id)?));
    listing::list_pages(call, those, |id| name_of(call, *id), describe).await
}

pub(super) async fn get(call: &Call<'_>, name: &str) -> Outcome {
    let (_, client) = find(call, name)?;
    call.caller.check(Right::Monitor(&client.user))?;
    Ok(Answer::Found(describe(&client)))
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

fn name_of(call: &Call<'_>, connection: ConnectionId) -> Option<Name> {
    call.clients().get(connection).map(|client| client.name)
}

fn find(call: &Call<'_>, name: &str) -> Result<(ConnectionId, Client), Refusal> {
    let id = call.clients().those(|client| *client.name == *name).first().copied();
    id.and_then(|id| Some((id, call.clients().get(id)?))).ok_or(Refusal::NotFound)
}

fn reason(call: &Call<'_>) -> String {
    let given = call.headers.get("x-reason");
    given.map_or_else(|| NO_REASON.to_owned(), |text| String::from_utf8_lossy(text.as_bytes()).into_owned())
}

fn describe(client: &Client) -> Value {
    let mut described = json!({
        "name": *client.name,
        "user": *client.user,
        "user_who_performed_action": *client.user,
        "vhost": *client.vhost,
        "node": NODE,
        "channels": client.channels,
        "connected_at": client.connected_at.0,
        "protocol": "AMQP 0-9-1",
        "state": "running",
        "type": "network",
        "ssl": false,
    });
    let ends = client.name.split_once(" -> ");
    for (end, host, port) in
        [(ends.map(|(peer, _)| peer), "peer_host", "peer_port"), (ends.map(|(_, own)| own), "host", "port")]
    {
        if let Some(address) = end.and_then(|end| end.parse::<SocketAddr>().ok()) {
            described[host] = address.ip().to_string().into();
            described[port] = address.port().into();
        }
    }
    described
}
