//! Queues: what is listed of them, and how they are purged and deleted.

use serde_json::Value;

use super::NOT_FOUND;
use super::columns::{self, Column, fields};
use super::pids;
use crate::broker::Path;
use crate::rabbitmq::call::{Call, missing};
use crate::rabbitmq::options::{Switch, flag, integer};
use crate::rabbitmq::output::{Output, Rows};
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{ANY, Answer, CTL, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::{DATA_ERROR, UNAVAILABLE, USAGE, Wrong};

/// Seconds that a listing of queues may take where nobody says how many.
const PATIENCE: u64 = 60;

const COLUMNS: &[&[Column]] = &[
    fields![
        "name",
        "durable",
        "auto_delete",
        "policy",
        "operator_policy",
        "exclusive",
        "exclusive_consumer_tag",
        "messages_ready",
        "messages_unacknowledged",
        "messages",
        "messages_ready_ram",
        "messages_unacknowledged_ram",
        "messages_ram",
        "messages_persistent",
        "message_bytes",
        "message_bytes_ready",
        "message_bytes_unacknowledged",
        "message_bytes_ram",
        "message_bytes_persistent",
        "head_message_timestamp",
        "disk_reads",
        "disk_writes",
        "consumers",
        "consumer_utilisation",
        "consumer_capacity",
        "memory",
        "state",
        "type",
        "leader",
        "members",
        "online",
        "single_active_consumer_tag",
        "delivery_limit",
        "messages_dlx",
        "message_bytes_dlx",
        "open_files",
    ],
    &[
        Column { name: "arguments", field: "arguments", cell: |queue| Term::table(&queue["arguments"]) },
        Column {
            name: "effective_policy_definition",
            field: "effective_policy_definition",
            cell: |queue| Term::Text(definition(&queue["effective_policy_definition"])),
        },
        Column {
            name: "owner_pid",
            field: "owner_pid_details.name",
            cell: |queue| pids::of(&queue["owner_pid_details"]),
        },
        // A queue is no process of its own.
        Column { name: "pid", field: "name", cell: |queue| pids::of(queue) },
    ],
];
const SWITCHES: &[Switch] = &[flag("online"), flag("offline"), flag("local"), flag("table-headers")];

/// Those under the heading of what is observed.
pub(super) const LISTING: &[Verb] = &[
    verb(
        "list_queues",
        "[--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]",
        "Lists queues and what is known of them",
        list,
    )
    .of(CTL.and(DIAGNOSTICS))
    .takes(0, ANY)
    .with(SWITCHES)
    .checks(|call| columns::check(call, COLUMNS))
    .says(|call| {
        let seconds = call.words.timeout().map_or(PATIENCE, |timeout| timeout.as_secs());
        format!("Timeout: {seconds}.0 seconds ...\nListing queues for vhost {} ...", call.vhost())
    }),
    verb(
        "list_unresponsive_queues",
        "[--local] [--queue-timeout <seconds>] [<column> ...] [--no-table-headers] [--timeout <timeout>]",
        "Lists queues that do not answer, which there are none while the broker does",
        |call| {
            // It asks all of them, so that whoever waits for an answer in vain hears of it.
            call.get(Path::api("queues").segment(call.vhost()).query("columns", "name,messages"))?;
            Ok(Output::Rows(Rows::default()))
        },
    )
    .of(CTL.and(DIAGNOSTICS))
    .takes(0, ANY)
    .with(&[flag("local"), integer("queue-timeout"), flag("table-headers")])
    .checks(|call| columns::check(call, COLUMNS))
    .says(|call| format!("Listing unresponsive queues for vhost {} ...", call.vhost())),
];

pub(super) const VERBS: &[Verb] = &[
    verb(
        "delete_queue",
        "[--vhost <vhost>] <queue_name> [--if-empty|-e] [--if-unused|-u] [--force] [--timeout <timeout>]",
        "Deletes a queue with the messages in it",
        delete,
    )
    .takes(1, 1)
    .with(&[flag("if-empty").or('e'), flag("if-unused").or('u'), flag("force")])
    .says(|call| {
        let condition = match (call.words.is("if-empty"), call.words.is("if-unused")) {
            (true, true) => "if queue is empty and if queue is unused ",
            (true, false) => "if queue is empty ",
            (false, true) => "if queue is unused ",
            (false, false) => "",
        };
        format!("Deleting queue '{}' on vhost '{}' {condition}...", call.argument(0), call.vhost())
    }),
    verb(
        "purge_queue",
        "<queue> [--timeout <timeout>]",
        "Deletes the messages of a queue that nobody holds",
        purge,
    )
    .takes(1, 1)
    .says(|call| format!("Purging queue '{}' in vhost '{}' ...", call.argument(0), call.vhost())),
];

/// A policy's definition, as Erlang writes a list of pairs.
fn definition(value: &Value) -> String {
    let pair = |(name, value): (&String, &Value)| {
        format!("{{{}, {}}}", Term::from(name.as_str()).erlang(), Term::of(value).erlang())
    };
    let pairs: Vec<String> = value.as_object().into_iter().flatten().map(pair).collect();
    format!("[{}]", pairs.join(", "))
}

fn list(call: &Call<'_>) -> Answer {
    let columns = columns::chosen(call, COLUMNS, &["name", "messages"]);
    // All queues are here, and none is down while the broker answers.
    if call.words.is("offline") && !call.words.is("online") {
        return Ok(Output::Rows(columns::rows(&columns, &Value::Null)));
    }
    columns::list_of_vhost(call, "queues", &columns)
}

fn path(call: &Call<'_>) -> Path {
    Path::api("queues").segment(call.vhost()).segment(call.argument(0))
}

fn purge(call: &Call<'_>) -> Answer {
    let purged = call.delete(path(call).fixed("contents"));
    purged.map_err(|failure| missing(failure, || Wrong::bare(DATA_ERROR, NOT_FOUND)))?;
    Ok(Output::Nothing)
}

fn delete(call: &Call<'_>) -> Answer {
    let is_missing = || Wrong::error(USAGE, "No such queue was found");
    let queue = call.get(path(call)).map_err(|failure| missing(failure, is_missing))?;
    let mut path = path(call);
    for condition in ["if-empty", "if-unused"] {
        if call.words.is(condition) {
            path = path.query(condition, "true");
        }
    }
    call.delete(path).map_err(|failure| match (failure.status, &failure.reason) {
        (Some(404), _) => is_missing(),
        (Some(400), Some(reason)) => {
            let said = reason.rsplit_once("PRECONDITION_FAILED - ").map_or(&**reason, |(_, said)| said);
            Wrong::error(UNAVAILABLE, format!("{{:amqp_error, :precondition_failed, ~c\"{said}\", :none}}"))
        }
        _ => failure.into(),
    })?;
    let ready = queue["messages_ready"].as_u64().unwrap_or_default();
    Ok(Output::line(format!("Queue was successfully deleted with {ready} ready messages")))
}
