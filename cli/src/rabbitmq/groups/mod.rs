//! The tables of verbs, one file per group, and what several groups need. How a line becomes a verb is told above.

mod access;
mod checks;
mod columns;
mod connections;
mod definitions;
mod erlang;
mod flags;
mod help;
mod limits;
mod listeners;
mod memory;
mod node;
mod objects;
mod parameters;
mod pids;
mod plugins;
mod policies;
mod queues;
mod replication;
mod runtime;
mod status;
mod thresholds;
mod users;
mod vhosts;

use std::io::{self, BufRead, IsTerminal, Write};

use serde_json::Value;

pub(super) use node::VERSION;
pub(super) use users::hashed;

use super::call::Call;
use super::output::Rows;
use super::term::Term;
use super::verb::Verb;
use super::wrong::{DATA_ERROR, Invalid, NO_USER, UNAVAILABLE, Wrong};
use crate::broker::{Failure, Path, credentials};

/// All verbs, by the headings under which `help` lists them.
pub(super) const SECTIONS: &[(&str, &[&[Verb]])] = &[
    ("Help", &[node::HELP, help::VERBS]),
    ("Nodes", &[node::VERBS]),
    ("Cluster", &[node::CLUSTER, status::CLUSTER, replication::CLUSTER, erlang::CLUSTER]),
    ("Replication", &[replication::VERBS]),
    ("Users", &[users::VERBS]),
    ("Access Control", &[access::VERBS, vhosts::LISTING]),
    (
        "Monitoring, observability and health checks",
        &[
            node::PING,
            status::VERBS,
            checks::VERBS,
            runtime::VERBS,
            memory::VERBS,
            queues::LISTING,
            objects::VERBS,
            connections::LISTING,
            thresholds::MONITORING,
            replication::STATUS,
            plugins::HEALTH,
            erlang::MONITORING,
            erlang::DIAGNOSING,
        ],
    ),
    ("Plugin Management", &[plugins::VERBS]),
    ("Parameters", &[parameters::VERBS]),
    ("Policies", &[policies::VERBS]),
    ("Virtual hosts", &[vhosts::VERBS]),
    ("Queues", &[queues::VERBS]),
    ("Upgrade", &[node::MAINTENANCE, checks::UPGRADING, replication::UPGRADING]),
    ("Operations", &[connections::CLOSING, node::LISTENERS, replication::OPERATIONS, erlang::OPERATIONS]),
    ("Feature flags", &[flags::VERBS]),
    (
        "Configuration and Environment",
        &[
            thresholds::VERBS,
            parameters::NAMING,
            status::CONFIGURATION,
            runtime::CONFIGURATION,
            erlang::CONFIGURATION,
        ],
    ),
    ("Definitions", &[definitions::VERBS]),
    ("Management plugin", &[node::STATISTICS]),
    ("Consistent Hash Exchange plugin", &[plugins::EXCHANGES]),
    ("Other", &[users::HASHING]),
    ("Deprecated", &[node::DEPRECATED, checks::DEPRECATED, erlang::DEPRECATED]),
];

/// The verb of this name, whatever tool has it.
fn named(name: &str) -> Option<&'static Verb> {
    SECTIONS
        .iter()
        .flat_map(|(_, tables)| tables.iter())
        .flat_map(|table| table.iter())
        .find(|verb| verb.name == name)
}

/// What is answered where an object is not there.
const NOT_FOUND: &str = "Object (queue, stream, exchange, etc) was not found";

/// Rows of what is listed, by columns and the names of the fields that are in them.
fn rows(items: &Value, columns: &[(&str, &str)]) -> Rows {
    let row = |item: &Value| columns.iter().map(|(_, field)| Term::of(&item[*field])).collect();
    Rows::new(
        columns.iter().map(|(name, _)| *name),
        items.as_array().into_iter().flatten().map(row).collect(),
    )
}

/// An argument that is JSON.
fn json_argument(text: &str) -> Result<Value, Wrong> {
    serde_json::from_str(text).map_err(|_| {
        let shown = Term::from(text).erlang();
        Wrong::error(
            UNAVAILABLE,
            format!("Could not parse JSON document: {{error,{{failed_to_decode_json,{shown}}}}}"),
        )
    })
}

/// A password that is an argument, or is read from standard input where it is missing.
fn password(call: &Call<'_>, place: usize) -> Result<String, Wrong> {
    if let Some(password) = call.arguments().get(place) {
        return Ok(password.clone());
    }
    if io::stdin().is_terminal() {
        return Ok(credentials::asked_for("Password: ")?);
    }
    let wrong = |error: io::Error| {
        Wrong::error(DATA_ERROR, format!("the password cannot be read from standard input: {error}"))
    };
    let mut out = io::stdout();
    write!(out, "Password: ").and_then(|()| out.flush()).map_err(wrong)?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).map_err(wrong)?;
    println!();
    if read == 0 {
        return Err(Invalid::usage("not enough arguments.").into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// What most verbs answer where there is no such vhost.
fn no_such_vhost(vhost: &str) -> Wrong {
    Wrong::bare(DATA_ERROR, format!("Virtual host '{vhost}' does not exist"))
}

/// What is answered where there is nothing to be cleared.
fn no_such_parameter() -> Wrong {
    Wrong::error(UNAVAILABLE, "Parameter does not exist")
}

/// What is answered where there is no such user, by verbs that say it as Erlang does.
fn no_such_user(user: &str) -> Wrong {
    Wrong::error(UNAVAILABLE, format!("{{:no_such_user, {user:?}}}"))
}

fn user_path(user: &str) -> Path {
    Path::api("users").segment(user)
}

/// A failure of what concerns a user in a vhost: says which of them is not there.
fn of_user_in_vhost(call: &Call<'_>, failure: Failure, user: &str) -> Wrong {
    if !matches!(failure.status, Some(400 | 404)) {
        return failure.into();
    }
    let is_missing = |path: Path| call.get(path).is_err_and(|failure| failure.status == Some(404));
    if is_missing(user_path(user)) {
        return Wrong::error(NO_USER, format!("User {user} does not exist"));
    }
    let vhost = call.vhost();
    if is_missing(Path::api("vhosts").segment(vhost)) {
        return Wrong::error(UNAVAILABLE, format!("Virtual host {vhost} does not exist"));
    }
    failure.into()
}
