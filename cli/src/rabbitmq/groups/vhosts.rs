//! Vhosts: what they are called and tagged, their limits, and tracing.

use serde_json::{Map, Value, json};

use super::columns::{self, Column, fields};
use super::limits::{self, checked};
use super::{json_argument, no_such_vhost};
use crate::broker::Path;
use crate::rabbitmq::call::{Call, missing};
use crate::rabbitmq::options::{HEADERS, Switch, flag, text};
use crate::rabbitmq::output::{Output, Rows};
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{ANY, Answer, CTL, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::{DATA_ERROR, Invalid, SOFTWARE, UNAVAILABLE, Wrong};

const QUEUE_TYPES: [&str; 3] = ["quorum", "stream", "classic"];
const METADATA: &[Switch] =
    &[text("description"), text("tags"), text("default-queue-type"), text("protected-from-deletion")];
const LIMITS: [&str; 2] = ["max-connections", "max-queues"];

/// What `list_vhosts` can say.
const COLUMNS: &[&[Column]] = &[
    fields![
        "name",
        "tracing",
        "cluster_state",
        "description",
        "default_queue_type",
        "protected_from_deletion",
        "metadata"
    ],
    &[Column { name: "tags", field: "tags", cell: |vhost| atoms(&vhost["tags"]) }],
];

/// Those under the heading of who may do what.
pub(super) const LISTING: &[Verb] =
    &[verb("list_vhosts", "[--no-table-headers] [<column> ...] [--timeout <timeout>]", "Lists vhosts", list)
        .of(CTL.and(DIAGNOSTICS))
        .takes(0, ANY)
        .with(HEADERS)
        .checks(|call| columns::check(call, COLUMNS))
        .says(|_| "Listing vhosts ...".to_owned())];

pub(super) const VERBS: &[Verb] = &[
    verb(
        "add_vhost",
        "<vhost> [--description <description> --tags \"<tag1>,<tag2>,<...>\" --default-queue-type <quorum|classic|stream>]",
        "Makes a vhost",
        add,
    )
    .takes(1, 1)
    .with(METADATA)
    .checks(has_queue_type)
    .says(|call| format!("Adding vhost \"{}\" ...", call.argument(0))),
    verb("clear_vhost_limits", "[--vhost <vhost>]", "Takes a vhost's limits away", clear_limits)
        .says(|call| format!("Clearing vhost \"{}\" limits ...", call.vhost())),
    verb("delete_vhost", "<vhost>", "Deletes a vhost with all that is in it", delete)
        .takes(1, 1)
        .says(|call| format!("Deleting vhost \"{}\" ...", call.argument(0))),
    verb("disable_vhost_deletion_protection", "<vhost>", "Lets a vhost be deleted again", |call| protect(call, false))
        .takes(1, 1)
        .says(|call| {
            format!("Removing deletion protection from virtual host \"{}\" by updating its metadata...", call.argument(0))
        }),
    verb("enable_vhost_deletion_protection", "<vhost>", "Keeps a vhost from being deleted", |call| protect(call, true))
        .takes(1, 1)
        .says(|call| {
            format!("Protecting virtual host \"{}\" from removal by updating its metadata...", call.argument(0))
        }),
    verb("list_vhost_limits", "[--vhost <vhost>] [--global] [--no-table-headers]", "Lists limits of a vhost, or of all", list_limits)
        .of(CTL.and(DIAGNOSTICS))
        .with(&[flag("global"), flag("table-headers")])
        .says(|call| match call.words.is("global") {
            true => "Listing limits for all vhosts ...".to_owned(),
            false => format!("Listing limits for vhost \"{}\" ...", call.vhost()),
        }),
    verb("reconcile_vhosts", "[--timeout <timeout>]", "Does nothing: a vhost is up wherever it is", |_| Ok(Output::Nothing))
        .says(|_| "Will try to initiate virtual host reconciliation on all reachable cluster nodes...".to_owned()),
    verb("restart_vhost", "[--vhost <vhost>] [--timeout <timeout>]", "Says that a vhost is up", restart)
        .says(|call| format!("Trying to restart vhost '{}' on node '{}' ...", call.vhost(), call.node())),
    verb("set_vhost_limits", "[--vhost <vhost>] <definition>", "Limits a vhost's connections and queues", set_limits)
        .takes(1, 1)
        .says(|call| format!("Setting vhost limits to \"{}\" for vhost \"{}\" ...", call.argument(0), call.vhost())),
    verb("set_vhost_tags", "<vhost> <tag> [...]", "Gives a vhost these tags and no others", set_tags)
        .takes(1, ANY)
        .says(|call| {
            let tags = call.arguments().get(1..).unwrap_or_default().join(", ");
            format!("Setting tags for virtual host \"{}\" to [{tags}] ...", call.argument(0))
        }),
    verb("trace_off", "[--vhost <vhost>]", "Publishes no copies of a vhost's messages any more", |call| trace(call, false))
        .says(|call| format!("Stopping tracing for vhost \"{}\" ...", call.vhost())),
    verb("trace_on", "[--vhost <vhost>]", "Publishes a copy of each of a vhost's messages to amq.rabbitmq.trace", |call| {
        trace(call, true)
    })
    .says(|call| format!("Starting tracing for vhost \"{}\" ...", call.vhost())),
    verb(
        "update_vhost_metadata",
        "<vhost> [--description=<description>] [--tags=\"<tag1>,<tag2>,<...>\"] \
         [--default-queue-type=<quorum|classic|stream>] [--protected-from-deletion=<true|false>]",
        "Changes a vhost's description, tags, default queue type or protection",
        update,
    )
    .takes(1, 1)
    .with(METADATA)
    .checks(|call| {
        if metadata(call).is_empty() {
            return Err(Invalid::usage("not enough arguments."));
        }
        has_queue_type(call)
    })
    .says(|call| format!("Updating metadata of vhost \"{}\" ...", call.argument(0))),
];

fn path(vhost: &str) -> Path {
    Path::api("vhosts").segment(vhost)
}

fn atoms(value: &Value) -> Term {
    let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    Term::List(items.map(Term::atom).collect())
}

fn list(call: &Call<'_>) -> Answer {
    let columns = columns::chosen(call, COLUMNS, &["name"]);
    let vhosts = call.get(Path::api("vhosts").query("columns", &columns::fields_of(&columns)))?;
    Ok(Output::Rows(columns::rows(&columns, &vhosts)))
}

fn has_queue_type(call: &Call<'_>) -> Result<(), Invalid> {
    match call.words.text("default-queue-type") {
        Some(given) if !QUEUE_TYPES.contains(&given) => {
            let known = QUEUE_TYPES.join(", ");
            Err(Invalid::argument(&format!("Default queue type must be one of: {known}. Provided: {given}")))
        }
        _ => Ok(()),
    }
}

/// What the switches say of a vhost.
fn metadata(call: &Call<'_>) -> Map<String, Value> {
    let mut metadata = Map::new();
    let mut put = |switch: &str, field: &str, value: fn(&str) -> Value| {
        if let Some(text) = call.words.text(switch) {
            metadata.insert(field.to_owned(), value(text));
        }
    };
    put("description", "description", |text| json!(text));
    put("tags", "tags", |text| text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect());
    put("default-queue-type", "default_queue_type", |text| json!(text));
    put("protected-from-deletion", "protected_from_deletion", |text| json!(text == "true"));
    metadata
}

/// A vhost that exists is left as it is, but for what the switches say.
fn add(call: &Call<'_>) -> Answer {
    let name = call.argument(0);
    match call.get(path(name)) {
        Ok(_) if metadata(call).is_empty() => Ok(Output::Nothing),
        Ok(vhost) => change(call, name, &vhost, metadata(call)),
        Err(_) => {
            call.put(path(name), &Value::Object(metadata(call)))?;
            Ok(Output::Nothing)
        }
    }
}

fn update(call: &Call<'_>) -> Answer {
    let name = call.argument(0);
    let vhost = call.get(path(name)).map_err(|failure| missing(failure, || no_such_vhost(name)))?;
    change(call, name, &vhost, metadata(call))
}

/// Gives a vhost back as it is, with something changed.
fn change(call: &Call<'_>, name: &str, vhost: &Value, changes: Map<String, Value>) -> Answer {
    let kept = ["description", "tags", "default_queue_type", "tracing", "protected_from_deletion"];
    let kept = kept.iter().filter(|field| !vhost[**field].is_null() && vhost[**field] != "undefined");
    let mut body: Map<String, Value> =
        kept.map(|field| ((*field).to_owned(), vhost[*field].clone())).collect();
    body.extend(changes);
    call.put(path(name), &Value::Object(body))?;
    Ok(Output::Nothing)
}

fn set_tags(call: &Call<'_>) -> Answer {
    let name = call.argument(0);
    let vhost = call.get(path(name)).map_err(|failure| {
        missing(failure, || Wrong::error(DATA_ERROR, format!("Virtual host \"{name}\" does not exist")))
    })?;
    let tags = json!({ "tags": call.arguments().get(1..).unwrap_or_default() });
    change(call, name, &vhost, tags.as_object().cloned().unwrap_or_default())
}

fn protect(call: &Call<'_>, is_protected: bool) -> Answer {
    let name = call.argument(0);
    let path = path(name).fixed("deletion/protection");
    let done = if is_protected { call.post(path, None).map(|_| ()) } else { call.delete(path) };
    done.map_err(|failure| missing(failure, || no_such_vhost(name)))?;
    Ok(Output::Nothing)
}

fn delete(call: &Call<'_>) -> Answer {
    let name = call.argument(0);
    call.delete(path(name)).map_err(|failure| match failure.status {
        Some(404) => no_such_vhost(name),
        Some(412) => Wrong::error(
            DATA_ERROR,
            "Cannot delete this virtual host: it is protected from deletion. \
             To lift the protection, inspect and update its metadata",
        ),
        _ => failure.into(),
    })?;
    Ok(Output::Nothing)
}

fn trace(call: &Call<'_>, is_traced: bool) -> Answer {
    let name = call.vhost();
    match call.get(path(name)) {
        Ok(vhost) => {
            let tracing = json!({ "tracing": is_traced });
            change(call, name, &vhost, tracing.as_object().cloned().unwrap_or_default())?;
        }
        // There is nothing to be traced in a vhost that is not there.
        Err(failure) if failure.status == Some(404) => {}
        Err(failure) => return Err(failure.into()),
    }
    let done = if is_traced { "enabled" } else { "disabled" };
    Ok(Output::line(format!("Trace {done} for vhost {name}")))
}

fn restart(call: &Call<'_>) -> Answer {
    let (name, node) = (call.vhost(), call.node());
    call.get(path(name)).map_err(|failure| {
        missing(failure, || {
            let what = format!(
                "Failed to start vhost '{name}' on node '{node}'Reason: {{:no_such_vhost, {name:?}}}"
            );
            Wrong::error(SOFTWARE, what)
        })
    })?;
    Ok(Output::line(format!("Vhost '{name}' is already running on node '{node}'")))
}

fn list_limits(call: &Call<'_>) -> Answer {
    if call.words.is("global") {
        let limits = call.get(Path::api("vhost-limits"))?;
        return Ok(Output::Rows(limits::rows("vhost", &limits)));
    }
    let name = call.vhost();
    call.get(path(name)).map_err(|failure| missing(failure, || no_such_vhost(name)))?;
    let limits = call.get(Path::api("vhost-limits").segment(name))?;
    let Some(of_vhost) = limits.get(0) else { return Ok(Output::Rows(Rows::default().listed_whole())) };
    let text = limits::sorted(&of_vhost["value"]).to_string();
    let term = Term::Fields(vec![
        ("node".to_owned(), Term::Text(call.node())),
        ("result".to_owned(), Term::atom("ok")),
        ("value".to_owned(), Term::Text(text.clone())),
    ]);
    Ok(Output::Document { text: text + "\n", term })
}

fn set_limits(call: &Call<'_>) -> Answer {
    let name = call.vhost();
    let limits = json_argument(call.argument(0))?;
    call.get(path(name)).map_err(|failure| missing(failure, || no_such_vhost(name)))?;
    let invalid = |what: String| Wrong::error(UNAVAILABLE, format!("Validation failed\n\n{what}\n"));
    for (limit, value) in checked(&limits, &LIMITS, "limits").map_err(invalid)? {
        call.put(Path::api("vhost-limits").segment(name).segment(limit), &json!({ "value": value }))?;
    }
    Ok(Output::Nothing)
}

fn clear_limits(call: &Call<'_>) -> Answer {
    let path = Path::api("parameters/vhost-limits").segment(call.vhost()).segment("limits");
    call.delete(path).map_err(|failure| missing(failure, super::no_such_parameter))?;
    Ok(Output::Nothing)
}
