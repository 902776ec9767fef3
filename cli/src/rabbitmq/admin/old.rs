//! The words of the tool in Python: `declare queue name=q durable=true`. What it printed, and its exit codes.

use std::io::{self, Read};

use hyper::Method;
use serde_json::{Value, json};

use super::formats::{FORMATS, Look, text};
use super::objects::{Declined, Fields, KINDS, Kind, LISTED};
use super::options::Options;
use super::said;
use crate::broker::{Broker, Failure, Kind as Failed, Path};

/// Bytes of a payload that is read from standard input.
const MOST_PAYLOAD: u64 = 16 << 20;

/// Why a line was not carried out.
enum Wrong {
    /// The line makes no sense.
    Misunderstood(String),
    NoJson(String),
    /// The broker refused, at this path.
    Refused(Failure, String),
    /// Something on this side.
    Failed(String),
}

/// Carries out a line. The exit code.
pub(super) fn run(options: &Options) -> u8 {
    match carried_out(options) {
        Ok(text) => said(&text),
        Err(Wrong::Misunderstood(what)) => misunderstood(&what),
        Err(Wrong::NoJson(text)) => {
            eprintln!("ERROR: Could not parse JSON:\n  {text}");
            1
        }
        Err(Wrong::Refused(failure, path)) => {
            eprintln!("*** {}\n", refusal(&failure, &path));
            1
        }
        Err(Wrong::Failed(what)) => {
            eprintln!("*** {what}\n");
            1
        }
    }
}

pub(super) fn misunderstood(what: &str) -> u8 {
    eprintln!("\nERROR: {what}\n\nrabbitmqadmin --help for help\n");
    1
}

fn refusal(failure: &Failure, path: &str) -> String {
    match (failure.kind, failure.status) {
        (_, Some(401)) => format!("Access refused: {path}"),
        (_, Some(404)) => format!("Not found: {path}"),
        (Failed::Unreachable, _) => format!("Could not connect: {failure}"),
        _ => failure.reason.clone().unwrap_or_else(|| failure.to_string()),
    }
}

fn carried_out(options: &Options) -> Result<String, Wrong> {
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    let done = |what: String| Ok(if options.is("quiet") { String::new() } else { what + "\n" });
    match *words.as_slice() {
        [] => Err(Wrong::Misunderstood("Action not specified".to_owned())),
        ["list", kind, ref columns @ ..] => list(options, kind, columns),
        ["show", "overview", ref columns @ ..] => {
            let broker = connect(options)?;
            let default: &[&str] =
                &["rabbitmq_version", "cluster_name", "queue_totals.messages", "object_totals.queues"];
            show(
                options,
                &broker,
                "overview",
                Path::api("overview"),
                if columns.is_empty() { default } else { columns },
            )
        }
        ["show", kind, ..] => Err(Wrong::Misunderstood(format!("Don't know how to show {kind}"))),
        ["declare", kind, ref fields @ ..] => {
            declare(options, known(kind)?, fields)?;
            done(format!("{kind} declared"))
        }
        ["delete", kind, ref fields @ ..] => {
            delete(options, known(kind)?, fields)?;
            done(format!("{kind} deleted"))
        }
        ["close", "connection", ref fields @ ..] => {
            let fields = read(fields, &["name"], &[])?;
            change(options, &Path::api("connections").segment(&fields["name"]))?;
            done("connection closed".to_owned())
        }
        ["purge", "queue", ref fields @ ..] => {
            let fields = read(fields, &["name"], &[])?;
            let path = Path::api("queues").segment(vhost(options)).segment(&fields["name"]).fixed("contents");
            change(options, &path)?;
            done("queue purged".to_owned())
        }
        ["close" | "purge", kind, ..] => Err(no_type(kind)),
        ["publish", ref fields @ ..] => publish(options, fields),
        ["get", ref fields @ ..] => get(options, fields),
        ["export", file] => {
            export(options, file)?;
            done(format!("Exported definitions for {} to \"{file}\"", options.host()))
        }
        ["import", file] => {
            import(options, file)?;
            done(format!(
                "Uploaded definitions from \"{}\" to {file}. The import process may take some time. \
                 Consult server logs to track progress.",
                options.host()
            ))
        }
        [action, ..] => Err(Wrong::Misunderstood(format!("Action {action} not understood"))),
    }
}

fn no_type(kind: &str) -> Wrong {
    Wrong::Misunderstood(format!("Type {kind} not recognised"))
}

fn known(kind: &str) -> Result<&'static Kind, Wrong> {
    KINDS.iter().find(|known| known.name == kind).ok_or_else(|| no_type(kind))
}

fn connect(options: &Options) -> Result<Broker, Wrong> {
    options.broker().map_err(|failure| Wrong::Refused(failure, String::new()))
}

fn vhost(options: &Options) -> &str {
    options.text("vhost").unwrap_or("/")
}

/// Fields as in `name=q`: those that must be there, and no others than these.
fn read(words: &[&str], mandatory: &[&str], optional: &[&str]) -> Result<Fields, Wrong> {
    let mut fields = Fields::new();
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            return Err(Wrong::Misunderstood(format!("Argument \"{word}\" not in the format name=value.")));
        };
        let is_known = mandatory.iter().any(|known| known.split('|').any(|known| known == name));
        if !is_known && !optional.contains(&name) {
            return Err(Wrong::Misunderstood(format!("Argument \"{name}\" is not recognised")));
        }
        fields.insert(name.to_owned(), value.to_owned());
    }
    for name in mandatory {
        let choices: Vec<&str> = name.split('|').collect();
        if choices.iter().any(|choice| fields.contains_key(*choice)) {
            continue;
        }
        return Err(Wrong::Misunderstood(match choices.as_slice() {
            [one] => format!("mandatory argument \"{one}\" is required"),
            several => {
                let quoted: Vec<String> = several.iter().map(|choice| format!("'{choice}'")).collect();
                format!("one of mandatory arguments \"[{}]\" is required", quoted.join(", "))
            }
        }));
    }
    Ok(fields)
}

fn declare(options: &Options, kind: &Kind, words: &[&str]) -> Result<(), Wrong> {
    let optional: Vec<&str> = kind.optional.iter().map(|(name, _)| *name).collect();
    let fields = read(words, kind.mandatory, &optional)?;
    let broker = connect(options)?;
    kind.declare(&broker, vhost(options), &fields).map_err(|declined| match declined {
        Declined::NoJson(text) => Wrong::NoJson(text),
        Declined::NotBoolean(text) => Wrong::Failed(format!("['not_boolean', '{text}']")),
        Declined::Failed(failure) => Wrong::Refused(failure, kind.place(vhost(options), &fields, false)),
    })
}

fn delete(options: &Options, kind: &Kind, words: &[&str]) -> Result<(), Wrong> {
    let fields = read(words, kind.named_by, &["properties_key"])?;
    let deleted = kind.delete(&connect(options)?, vhost(options), &fields);
    deleted.map_err(|failure| Wrong::Refused(failure, kind.place(vhost(options), &fields, true)))
}

/// Has something go: a connection, the messages of a queue.
fn change(options: &Options, path: &Path) -> Result<(), Wrong> {
    let refused = |failure| Wrong::Refused(failure, path.as_str().to_owned());
    let reply = connect(options)?.send(Method::DELETE, path.clone(), None).map_err(refused)?;
    reply.accepted().map_err(refused)?;
    Ok(())
}

fn list(options: &Options, kind: &str, columns: &[&str]) -> Result<String, Wrong> {
    let object = KINDS.iter().find(|known| known.plural == kind);
    let listed = LISTED.iter().find(|(plural, _)| *plural == kind);
    let (default, in_vhost) = match (object, listed) {
        (Some(object), _) => (object.columns, object.in_vhost && object.name != "policy"),
        (None, Some((_, columns))) => (*columns, kind == "consumers"),
        (None, None) => return Err(Wrong::Misunderstood(format!("Don't know how to list {kind}"))),
    };
    let mut path = Path::api(&kind.replace('_', "-"));
    if let Some(vhost) = options.text("vhost").filter(|_| in_vhost) {
        path = path.segment(vhost);
    }
    show(options, &connect(options)?, kind, path, if columns.is_empty() { default } else { columns })
}

fn show(
    options: &Options,
    broker: &Broker,
    kind: &str,
    path: Path,
    columns: &[&str],
) -> Result<String, Wrong> {
    let mut path = path;
    let mut query = Vec::new();
    if !columns.is_empty() && kind != "overview" {
        query.push(format!("columns={}", columns.join(",")));
    }
    if let Some(sort) = options.text("sort") {
        query.push(format!("sort={sort}"));
    }
    if options.is("sort-reverse") {
        query.push("sort_reverse=true".to_owned());
    }
    if !query.is_empty() {
        path = Path::from(&*format!("{}?{}", path.as_str(), query.join("&")));
    }
    let items =
        broker.get(path.clone()).map_err(|failure| Wrong::Refused(failure, path.as_str().to_owned()))?;
    shown(options, &items, columns)
}

/// In the format that is asked for.
fn shown(options: &Options, items: &Value, columns: &[&str]) -> Result<String, Wrong> {
    let format = options.text("format").unwrap_or("table");
    let dotted = columns.iter().map(|column| column.matches('.').count() + 1).max().unwrap_or(1);
    let depth = options.text("depth").and_then(|depth| depth.parse().ok()).unwrap_or(1).max(dotted);
    text(items, &Look { format, columns: columns.to_vec(), depth }).ok_or_else(|| {
        Wrong::Misunderstood(format!(
            "format must be one of {}, and bash needs the column name",
            FORMATS.join(", ")
        ))
    })
}

fn publish(options: &Options, words: &[&str]) -> Result<String, Wrong> {
    let mut fields =
        read(words, &["routing_key"], &["payload", "properties", "exchange", "payload_encoding"])?;
    if !fields.contains_key("payload") {
        let mut payload = String::new();
        let read = io::stdin().lock().take(MOST_PAYLOAD).read_to_string(&mut payload);
        read.map_err(|error| {
            Wrong::Failed(format!("the payload cannot be read from standard input: {error}"))
        })?;
        fields.insert("payload".to_owned(), payload);
    }
    let field = |name: &str, default: &str| fields.get(name).map_or(default, String::as_str).to_owned();
    let properties = field("properties", "{}");
    let properties: Value = serde_json::from_str(&properties).map_err(|_| Wrong::NoJson(properties))?;
    let exchange = match field("exchange", "") {
        exchange if exchange.is_empty() => "amq.default".to_owned(),
        exchange => exchange,
    };
    let path = Path::api("exchanges").segment(vhost(options)).segment(&exchange).fixed("publish");
    let body = json!({
        "routing_key": field("routing_key", ""),
        "payload": field("payload", ""),
        "payload_encoding": field("payload_encoding", "string"),
        "properties": properties,
    });
    let answer = post(options, &path, &body)?;
    if options.is("quiet") {
        return Ok(String::new());
    }
    let routed = if answer["routed"] == true { "" } else { " but NOT routed" };
    Ok(format!("Message published{routed}\n"))
}

fn post(options: &Options, path: &Path, body: &Value) -> Result<Value, Wrong> {
    let refused = |failure| Wrong::Refused(failure, path.as_str().to_owned());
    let reply = connect(options)?.send(Method::POST, path.clone(), Some(body)).map_err(refused)?;
    reply.accepted().and_then(|reply| reply.json()).map_err(refused)
}

fn get(options: &Options, words: &[&str]) -> Result<String, Wrong> {
    let fields = read(words, &["queue"], &["count", "ackmode", "payload_file", "encoding"])?;
    let field = |name: &str, default: &str| fields.get(name).map_or(default, String::as_str).to_owned();
    let path = Path::api("queues").segment(vhost(options)).segment(&fields["queue"]).fixed("get");
    let body = json!({
        "count": field("count", "1").parse::<u32>().unwrap_or(1),
        "ackmode": field("ackmode", "ack_requeue_true"),
        "encoding": field("encoding", "auto"),
    });
    let messages = post(options, &path, &body)?;
    if let Some(file) = fields.get("payload_file") {
        let payload = messages[0]["payload"].as_str().unwrap_or_default();
        std::fs::write(file, payload)
            .map_err(|error| Wrong::Failed(format!("{file} cannot be written: {error}")))?;
        return Ok(if options.is("quiet") {
            String::new()
        } else {
            format!("Wrote {} bytes to {file}\n", payload.len())
        });
    }
    shown(options, &messages, &[])
}

/// Definitions, of a vhost where one is named.
fn definitions(options: &Options) -> Path {
    match options.text("vhost") {
        Some(vhost) => Path::api("definitions").segment(vhost),
        None => Path::api("definitions"),
    }
}

fn export(options: &Options, file: &str) -> Result<(), Wrong> {
    let path = definitions(options);
    let refused = |failure| Wrong::Refused(failure, path.as_str().to_owned());
    let reply = connect(options)?
        .send(Method::GET, path.clone(), None)
        .map_err(refused)?
        .accepted()
        .map_err(refused)?;
    std::fs::write(file, &reply.body)
        .map_err(|error| Wrong::Failed(format!("{file} cannot be written: {error}")))
}

fn import(options: &Options, file: &str) -> Result<(), Wrong> {
    let read =
        std::fs::read(file).map_err(|error| Wrong::Failed(format!("{file} cannot be read: {error}")))?;
    let path = definitions(options);
    let refused = |failure| Wrong::Refused(failure, path.as_str().to_owned());
    let reply = connect(options)?.send_bytes(Method::POST, path.clone(), read).map_err(refused)?;
    reply.accepted().map_err(refused)?;
    Ok(())
}
