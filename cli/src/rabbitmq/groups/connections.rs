//! Connections and channels: what is listed of them, and how they are closed.

use serde_json::Value;

use super::columns::{self, Column, fields};
use super::pids;
use crate::broker::Path;
use crate::rabbitmq::call::Call;
use crate::rabbitmq::options::{HEADERS, flag, integer};
use crate::rabbitmq::output::Output;
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{ANY, Answer, CTL, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::{UNAVAILABLE, Wrong};

const CONNECTIONS: &[&[Column]] = &[
    fields![
        "name",
        "port",
        "host",
        "peer_port",
        "peer_host",
        "ssl",
        "ssl_protocol",
        "ssl_key_exchange",
        "ssl_cipher",
        "ssl_hash",
        "peer_cert_subject",
        "peer_cert_issuer",
        "peer_cert_validity",
        "state",
        "channels",
        "auth_mechanism",
        "user",
        "vhost",
        "timeout",
        "frame_max",
        "channel_max",
        "recv_oct",
        "recv_cnt",
        "send_oct",
        "send_cnt",
        "send_pend",
        "connected_at",
        "node",
    ],
    &[
        Column { name: "pid", field: "name", cell: pids::of },
        Column { name: "protocol", field: "protocol", cell: |connection| protocol(&connection["protocol"]) },
        Column {
            name: "client_properties",
            field: "client_properties",
            cell: |connection| Term::table(&connection["client_properties"]),
        },
    ],
];
const CHANNELS: &[&[Column]] = &[
    fields![
        "name",
        "number",
        "user",
        "vhost",
        "transactional",
        "confirm",
        "consumer_count",
        "messages_unacknowledged",
        "messages_uncommitted",
        "acks_uncommitted",
        "messages_unconfirmed",
        "prefetch_count",
        "state",
        "node",
    ],
    &[
        Column { name: "pid", field: "name", cell: pids::of },
        Column {
            name: "connection",
            field: "connection_details",
            cell: |channel| pids::of(&channel["connection_details"]),
        },
    ],
];

pub(super) const LISTING: &[Verb] = &[
    verb("list_channels", "[--no-table-headers] [<column> ...]", "Lists open channels", |call| {
        let default = ["pid", "user", "consumer_count", "messages_unacknowledged"];
        list(call, "channels", &columns::chosen(call, CHANNELS, &default))
    })
    .of(CTL.and(DIAGNOSTICS))
    .takes(0, ANY)
    .with(HEADERS)
    .checks(|call| columns::check(call, CHANNELS))
    .says(|_| "Listing channels ...".to_owned()),
    verb(
        "list_connections",
        "[--no-table-headers] [<column> ...] [--timeout <timeout>]",
        "Lists open connections",
        |call| {
            let default = ["user", "peer_host", "peer_port", "state"];
            list(call, "connections", &columns::chosen(call, CONNECTIONS, &default))
        },
    )
    .of(CTL.and(DIAGNOSTICS))
    .takes(0, ANY)
    .with(HEADERS)
    .checks(|call| columns::check(call, CONNECTIONS))
    .says(|_| "Listing connections ...".to_owned()),
];

pub(super) const CLOSING: &[Verb] = &[
    verb(
        "close_all_connections",
        "[--vhost <vhost> --limit <limit>] [-n <node> --global] [--per-connection-delay <delay>] <explanation>",
        "Closes the connections to a vhost, or all",
        close_all,
    )
    .takes(1, 1)
    .with(&[flag("global"), integer("limit"), integer("per-connection-delay")])
    .says(|call| match call.words.is("global") {
        true => format!("Closing all connections to node {} (across all vhosts), reason: {}...", call.node(), call.argument(0)),
        false => format!("Closing all connections in vhost {}, reason: {}...", call.vhost(), call.argument(0)),
    }),
    verb("close_all_user_connections", "<username> <explanation>", "Closes the connections of a user", |call| {
        close_many(call, Some(("user", call.argument(0))), call.argument(1))?;
        Ok(Output::Nothing)
    })
    .takes(2, 2)
    .says(|call| format!("Closing connections of user {}, reason: {}...", call.argument(0), call.argument(1))),
    verb("close_connection", "<connection pid> <explanation>", "Closes a connection, by its pid or its name", close_one)
        .takes(2, 2)
        .says(|call| format!("Closing connection {}, reason: {}...", call.argument(0), call.argument(1))),
];

/// The version of AMQP as Erlang has it, of "AMQP 0-9-1".
fn protocol(value: &Value) -> Term {
    let text = value.as_str().unwrap_or_default();
    match text.strip_prefix("AMQP ") {
        Some(version) => Term::Text(format!("{{{}}}", version.replace('-', ","))),
        None => Term::of(value),
    }
}

fn list(call: &Call<'_>, kind: &str, columns: &[&Column]) -> Answer {
    let items = call.get(Path::api(kind).query("columns", &columns::fields_of(columns)))?;
    Ok(Output::Rows(columns::rows(columns, &items)))
}

/// The names of those connections that are meant.
fn names(connections: &Value, is_meant: impl Fn(&Value) -> bool) -> Vec<&str> {
    let meant = connections.as_array().into_iter().flatten().filter(|connection| is_meant(connection));
    meant.filter_map(|connection| connection["name"].as_str()).collect()
}

/// Closes connections by name; how many there were. One that is gone meanwhile is closed.
fn close(call: &Call<'_>, names: &[&str], reason: &str) -> Result<usize, Wrong> {
    let mut closed = 0;
    for name in names {
        let path = Path::api("connections").segment(name);
        let reply = call.broker()?.close(path, reason)?;
        if reply.status != 404 {
            reply.accepted()?;
            closed += 1;
        }
    }
    Ok(closed)
}

/// Those that a query picks, in one go; how many there were.
fn close_many(call: &Call<'_>, query: Option<(&str, &str)>, reason: &str) -> Result<u64, Wrong> {
    let mut path = Path::api("leveret/connections");
    if let Some((name, value)) = query {
        path = path.query(name, value);
    }
    let answer = call.broker()?.close(path, reason)?.accepted()?.json()?;
    Ok(answer["closed"].as_u64().unwrap_or_default())
}

fn close_all(call: &Call<'_>) -> Answer {
    let (is_global, vhost, reason) = (call.words.is("global"), call.vhost(), call.argument(0));
    let number = |switch| {
        let given = call.words.integer(switch).and_then(|number| u64::try_from(number).ok());
        given.unwrap_or_default()
    };
    let (limit, delay) = (number("limit"), number("per-connection-delay"));
    if limit == 0 && delay == 0 {
        let closed = close_many(call, (!is_global).then_some(("vhost", vhost)), reason)?;
        return Ok(Output::line(format!("Closed {closed} connections")));
    }
    let connections = call.get(Path::api("connections").query("columns", "name,vhost"))?;
    let mut names = names(&connections, |connection| is_global || connection["vhost"] == vhost);
    if limit > 0 {
        names.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let mut closed = 0;
    for name in names {
        if closed > 0 {
            std::thread::sleep(std::time::Duration::from_millis(delay));
        }
        closed += close(call, &[name], reason)?;
    }
    Ok(Output::line(format!("Closed {closed} connections")))
}

fn close_one(call: &Call<'_>) -> Answer {
    let (wanted, reason) = (call.argument(0), call.argument(1));
    let connections = call.get(Path::api("connections").query("columns", "name"))?;
    let names = names(&connections, |connection| {
        connection["name"].as_str().is_some_and(|name| name == wanted || pids::id(name) == wanted)
    });
    if names.is_empty() && !pids::is_one(wanted) {
        return Err(Wrong::error(UNAVAILABLE, format!("Error:\n{{:invalid_pid_syntax, {wanted:?}}}")));
    }
    close(call, &names, reason)?;
    Ok(Output::Nothing)
}
