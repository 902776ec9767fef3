//! The words of the tool of RabbitMQ 4.3: `queues declare --name q`, `declare queue --name q`. Its listings are for people: they
//! have fewer columns here, and no rates.

use hyper::Method;
use serde_json::{Value, json};

use super::boxes::{Style, table};
use super::objects::{Declined, Fields, KINDS, Kind};
use super::options::Options;
use super::said;
use crate::broker::{Broker, Failure, Kind as Failed, Path};
use crate::rabbitmq::groups::hashed;

/// Exit codes.
const USAGE: u8 = 2;
const REFUSED: u8 = 65;
const UNHEALTHY: u8 = 69;

/// What stands first or second in a line and says what is to be done.
const ACTIONS: [&str; 11] = [
    "declare",
    "delete",
    "list",
    "purge",
    "close",
    "get",
    "publish",
    "import",
    "export",
    "salt_and_hash",
    "enable_all",
];
/// Groups that the old tool does not know.
const GROUPS: [&str; 5] = ["health_check", "definitions", "passwords", "feature_flags", "user_limits"];

/// What is listed of objects: each column with where its value is.
const COLUMNS: [(&str, &[(&str, &str)]); 12] = [
    (
        "queues",
        &[
            ("name", "name"),
            ("vhost", "vhost"),
            ("type", "type"),
            ("state", "state"),
            ("messages", "messages"),
            ("consumers", "consumers"),
        ],
    ),
    ("exchanges", &[("name", "name"), ("vhost", "vhost"), ("type", "type"), ("durable", "durable")]),
    (
        "bindings",
        &[
            ("vhost", "vhost"),
            ("source", "source"),
            ("destination", "destination"),
            ("destination_type", "destination_type"),
            ("routing_key", "routing_key"),
        ],
    ),
    (
        "vhosts",
        &[
            ("name", "name"),
            ("tags", "tags"),
            ("description", "description"),
            ("default_queue_type", "default_queue_type"),
        ],
    ),
    ("users", &[("name", "name"), ("tags", "tags"), ("password_hash", "password_hash")]),
    (
        "permissions",
        &[
            ("user", "user"),
            ("vhost", "vhost"),
            ("configure", "configure"),
            ("read", "read"),
            ("write", "write"),
        ],
    ),
    ("policies", POLICY),
    ("operator_policies", POLICY),
    ("vhost_limits", &[("vhost", "vhost"), ("limits", "value")]),
    ("user_limits", &[("username", "user"), ("limits", "value")]),
    (
        "connections",
        &[
            ("name", "name"),
            ("vhost", "vhost"),
            ("username", "user"),
            ("state", "state"),
            ("channels", "channels"),
        ],
    ),
    ("nodes", &[("name", "name"), ("running", "running"), ("uptime", "uptime"), ("mem_used", "mem_used")]),
];
const POLICY: &[(&str, &str)] = &[
    ("name", "name"),
    ("vhost", "vhost"),
    ("pattern", "pattern"),
    ("apply_to", "apply-to"),
    ("priority", "priority"),
    ("definition", "definition"),
];
const MESSAGE: [(&str, &str); 8] = [
    ("payload_bytes", "payload_bytes"),
    ("redelivered", "redelivered"),
    ("exchange", "exchange"),
    ("routing_key", "routing_key"),
    ("message_count", "message_count"),
    ("properties", "properties"),
    ("payload", "payload"),
    ("payload_encoding", "payload_encoding"),
];

/// Why a line was not carried out: the exit code, and what is printed to standard error.
type Outcome = Result<String, (u8, String)>;

/// Whether a line is in these words and not in those of the old tool.
pub(super) fn is_meant(options: &Options) -> bool {
    let group = options.words.first().map_or("", String::as_str);
    let is_group = GROUPS.contains(&group) || KINDS.iter().any(|kind| kind.plural == group);
    let has_fields = options.words.iter().any(|word| word.contains('='));
    is_group
        || options.is("non-interactive")
        || options.text("table-style").is_some()
        || (options.has_switches_behind() && !has_fields)
}

/// Carries out a line. The exit code.
pub(super) fn run(options: &Options) -> u8 {
    match carried_out(options) {
        Ok(text) => said(&text),
        Err((code, text)) => {
            if !text.is_empty() {
                eprintln!("{text}");
            }
            code
        }
    }
}

fn refused(failure: &Failure) -> (u8, String) {
    let text = match (failure.kind, failure.status) {
        (_, Some(404)) => "API responded with a 404 Not Found".to_owned(),
        (Failed::Unreachable, _) => {
            format!("Encountered an error when performing an HTTP request: {failure}")
        }
        _ => failure.reason.clone().unwrap_or_else(|| failure.to_string()),
    };
    (REFUSED, text)
}

fn misunderstood(text: &str, usage: &str) -> (u8, String) {
    (USAGE, format!("error: {text}\n\nUsage: rabbitmqadmin {usage}\n\nFor more information, try '--help'."))
}

fn carried_out(options: &Options) -> Outcome {
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    let [first, second, ref rest @ ..] = *words.as_slice() else {
        let word = words.first().copied().unwrap_or_default();
        return Err(misunderstood(&format!("unrecognized subcommand '{word}'"), "[OPTIONS] <COMMAND>"));
    };
    let (action, object) = if ACTIONS.contains(&first) { (first, second) } else { (second, first) };
    let connect = || options.broker().map_err(|failure| refused(&failure));
    let known = KINDS.iter().find(|kind| [kind.name, kind.plural].contains(&object));
    match (object, action, known) {
        ("health_check", check, _) => health(options, &connect()?, check),
        (_, "declare", Some(kind)) => {
            let fields = fields(options, kind, kind.mandatory)?;
            kind.declare(&connect()?, vhost(options), &fields).map_err(|declined| match declined {
                Declined::NoJson(text) => (REFUSED, format!("'{text}' is no JSON")),
                Declined::NotBoolean(text) => {
                    (USAGE, format!("error: invalid value '{text}': true or false is needed"))
                }
                Declined::Failed(failure) => refused(&failure),
            })?;
            Ok(String::new())
        }
        (_, "delete", Some(kind)) => delete(options, &connect()?, kind),
        ("queue" | "queues", "purge", _) => {
            let path = named(options, "queues", "purge")?.fixed("contents");
            changed(&connect()?, Method::DELETE, path)
        }
        ("connection" | "connections", "close", _) => {
            let name = required(options, "name", "close connection")?;
            changed(&connect()?, Method::DELETE, Path::api("connections").segment(name))
        }
        ("message" | "messages", "publish", _) => publish(options, &connect()?),
        ("message" | "messages", "get", _) => get(options, &connect()?),
        ("definitions", "export", _) => export(options, &connect()?),
        ("definitions", "import", _) => import(options, &connect()?),
        ("feature_flags", "enable_all", _) => {
            connect()?.get(Path::api("feature-flags")).map_err(|failure| refused(&failure))?;
            Ok(String::new())
        }
        ("passwords", "salt_and_hash", _) => {
            let [password] = rest else {
                return Err(misunderstood(
                    "the following required arguments were not provided:\n  <password>",
                    "passwords salt_and_hash <password>",
                ));
            };
            let hash = hashed(password, options.text("hashing-algorithm"));
            let hash = hash.map_err(|what| (REFUSED, what))?;
            let row = vec!["password hash".to_owned(), hash];
            Ok(table(&["result".to_owned(), "value".to_owned()], &[row], Style::of(options)))
        }
        ("overview", "show", _) | ("show", "overview", _) => overview(options, &connect()?),
        (_, "list", _) => list(options, &connect()?, object),
        _ => {
            let rest = known.map_or("<COMMAND>".to_owned(), |kind| format!("[{}]", kind.name));
            let usage = format!("{object} [OPTIONS] {rest}");
            Err(misunderstood(&format!("unrecognized subcommand '{action}'"), &usage))
        }
    }
}

fn vhost(options: &Options) -> &str {
    options.text("vhost").unwrap_or("/")
}

fn required<'a>(options: &'a Options, name: &str, usage: &str) -> Result<&'a str, (u8, String)> {
    options.of_object(name).ok_or_else(|| {
        let what = format!("the following required arguments were not provided:\n  --{name} <{name}>");
        misunderstood(&what, &format!("{usage} --{name} <{name}>"))
    })
}

/// What the switches say of an object, by the names of the management API.
fn fields(options: &Options, kind: &Kind, mandatory: &[&str]) -> Result<Fields, (u8, String)> {
    let mut fields = Fields::new();
    for (name, value) in options.of_objects() {
        let name = match name.as_str() {
            "type" if kind.name == "queue" => "queue_type".to_owned(),
            "apply-to" | "if-empty" | "if-unused" => name.clone(),
            "vhost" | "idempotently" => continue,
            other => other.replace('-', "_"),
        };
        fields.insert(name, value.clone());
    }
    if ["permission", "vhost_limit"].contains(&kind.name) {
        fields.insert("vhost".to_owned(), vhost(options).to_owned());
    }
    if kind.name == "user" {
        fields.entry("tags".to_owned()).or_default();
    }
    let is_missing = |name: &&&str| !name.split('|').any(|choice| fields.contains_key(choice));
    let missing: Vec<String> = mandatory
        .iter()
        .filter(is_missing)
        .map(|name| name.split('|').next().unwrap_or_default().replace('_', "-"))
        .map(|name| format!("--{name} <{name}>"))
        .collect();
    if missing.is_empty() {
        return Ok(fields);
    }
    let action = options.words.join(" ");
    let what = format!("the following required arguments were not provided:\n  {}", missing.join("\n  "));
    Err(misunderstood(&what, &format!("{action} {}", missing.join(" "))))
}

/// Where the object of this kind is that `--name` names.
fn named(options: &Options, plural: &str, action: &str) -> Result<Path, (u8, String)> {
    let name = required(options, "name", &format!("{plural} {action}"))?;
    Ok(Path::api(plural).segment(vhost(options)).segment(name))
}

fn changed(broker: &Broker, method: Method, path: Path) -> Outcome {
    let reply = broker.send(method, path, None).map_err(|failure| refused(&failure))?;
    reply.accepted().map_err(|failure| refused(&failure))?;
    Ok(String::new())
}

fn delete(options: &Options, broker: &Broker, kind: &Kind) -> Outcome {
    let mut fields = fields(options, kind, kind.named_by)?;
    if kind.name == "binding" {
        // It is told by its routing key here, and by a key of its own in the management API.
        let path = kind.place(vhost(options), &fields, false);
        let bindings = broker.get(Path::from(&*path)).map_err(|failure| refused(&failure))?;
        let routing_key = fields.get("routing_key").map_or("", String::as_str);
        let found =
            bindings.as_array().into_iter().flatten().find(|binding| binding["routing_key"] == routing_key);
        let Some(key) = found.and_then(|binding| binding["properties_key"].as_str()) else {
            return Err((REFUSED, "API responded with a 404 Not Found".to_owned()));
        };
        fields.insert("properties_key".to_owned(), key.to_owned());
    }
    match kind.delete(broker, vhost(options), &fields) {
        Err(failure) if failure.status == Some(404) && options.is("idempotently") => Ok(String::new()),
        deleted => deleted.map(|()| String::new()).map_err(|failure| refused(&failure)),
    }
}

fn publish(options: &Options, broker: &Broker) -> Outcome {
    let text = |name: &str, default: &'static str| options.of_object(name).unwrap_or(default).to_owned();
    let exchange = text("exchange", "");
    let exchange = if exchange.is_empty() { "amq.default" } else { &exchange };
    let properties = text("properties", "{}");
    let properties: Value =
        serde_json::from_str(&properties).map_err(|_| (REFUSED, format!("'{properties}' is no JSON")))?;
    let body = json!({
        "routing_key": text("routing-key", ""),
        "payload": text("payload", ""),
        "payload_encoding": "string",
        "properties": properties,
    });
    let path = Path::api("exchanges").segment(vhost(options)).segment(exchange).fixed("publish");
    let reply = broker.send(Method::POST, path, Some(&body)).and_then(crate::broker::Reply::accepted);
    let answer = reply.and_then(|reply| reply.json()).map_err(|failure| refused(&failure))?;
    Ok(if answer["routed"] == true {
        "Message published and routed successfully\n"
    } else {
        "Message published but NOT routed\n"
    }
    .to_owned())
}

fn get(options: &Options, broker: &Broker) -> Outcome {
    let queue = required(options, "queue", "get messages")?;
    let count: u32 = options.of_object("count").and_then(|count| count.parse().ok()).unwrap_or(1);
    let ack_mode = options.of_object("ack-mode").unwrap_or("ack_requeue_false");
    let body = json!({ "count": count, "ackmode": ack_mode, "encoding": "auto" });
    let path = Path::api("queues").segment(vhost(options)).segment(queue).fixed("get");
    let reply = broker.send(Method::POST, path, Some(&body)).and_then(crate::broker::Reply::accepted);
    let messages = reply.and_then(|reply| reply.json()).map_err(|failure| refused(&failure))?;
    Ok(listed(options, &messages, &MESSAGE))
}

fn export(options: &Options, broker: &Broker) -> Outcome {
    let reply =
        broker.send(Method::GET, Path::api("definitions"), None).and_then(crate::broker::Reply::accepted);
    let reply = reply.map_err(|failure| refused(&failure))?;
    match options.of_object("file").filter(|file| *file != "-") {
        Some(file) => {
            let written = std::fs::write(file, &reply.body);
            written.map_err(|error| (REFUSED, format!("{file} cannot be written: {error}")))?;
            Ok(String::new())
        }
        None => Ok(String::from_utf8_lossy(&reply.body).into_owned() + "\n"),
    }
}

fn import(options: &Options, broker: &Broker) -> Outcome {
    let file = required(options, "file", "definitions import")?;
    let read = std::fs::read(file).map_err(|error| (REFUSED, format!("{file} cannot be read: {error}")))?;
    let reply = broker.send_bytes(Method::POST, Path::api("definitions"), read);
    reply.and_then(crate::broker::Reply::accepted).map_err(|failure| refused(&failure))?;
    Ok(String::new())
}

fn health(options: &Options, broker: &Broker, check: &str) -> Outcome {
    let path = match check {
        "local_alarms" => "local-alarms".to_owned(),
        "cluster_wide_alarms" => "alarms".to_owned(),
        "node_is_quorum_critical" => "node-is-quorum-critical".to_owned(),
        "port_listener" => {
            format!("port-listener/{}", required(options, "port", "health_check port_listener")?)
        }
        "protocol_listener" => {
            format!("protocol-listener/{}", required(options, "protocol", "health_check protocol_listener")?)
        }
        other => {
            return Err(misunderstood(
                &format!("unrecognized subcommand '{other}'"),
                "health_check [OPTIONS] <COMMAND>",
            ));
        }
    };
    let path = format!("health/checks/{path}");
    let reply = broker.send(Method::GET, Path::api(&path), None).map_err(|failure| refused(&failure))?;
    if reply.status == 200 {
        return Ok("health check passed\n".to_owned());
    }
    if reply.status != 503 {
        return Err(reply
            .accepted()
            .err()
            .map_or_else(|| (REFUSED, String::new()), |failure| refused(&failure)));
    }
    let said = reply.json().unwrap_or_default();
    let mut rows = vec![
        ["result", "health check failed"].map(str::to_owned).to_vec(),
        vec!["path".to_owned(), path],
        ["status_code", "503 Service Unavailable"].map(str::to_owned).to_vec(),
        vec!["reason".to_owned(), said["reason"].as_str().unwrap_or_default().to_owned()],
    ];
    if let Some(asked) = options.of_object("port") {
        rows.push(vec!["inactive port".to_owned(), asked.to_owned()]);
    }
    if let Some(asked) = options.of_object("protocol") {
        rows.push(vec!["inactive protocols".to_owned(), asked.to_owned()]);
    }
    said_of_failure(&rows, options)
}

/// A check that failed is told on standard output, and by the exit code.
fn said_of_failure(rows: &[Vec<String>], options: &Options) -> Outcome {
    said(&table(&["key".to_owned(), "value".to_owned()], rows, Style::of(options)));
    Err((UNHEALTHY, String::new()))
}

fn overview(options: &Options, broker: &Broker) -> Outcome {
    let overview = broker.get(Path::api("overview")).map_err(|failure| refused(&failure))?;
    let row = |name: &str, value: &Value| vec![name.to_owned(), shown(value)];
    let (objects, queues) = (&overview["object_totals"], &overview["queue_totals"]);
    let rows = [
        row("Product name", &overview["product_name"]),
        row("Product version", &overview["product_version"]),
        row("RabbitMQ version", &overview["rabbitmq_version"]),
        row("Connections (total)", &objects["connections"]),
        row("AMQP 0-9-1 channels (total)", &objects["channels"]),
        row("Queues and streams (total)", &objects["queues"]),
        row("Consumers (total)", &objects["consumers"]),
        row("Messages (total)", &queues["messages"]),
        row("Messages ready for delivery (total)", &queues["messages_ready"]),
        row("Messages delivered but unacknowledged by consumers (total)", &queues["messages_unacknowledged"]),
    ];
    Ok(table(&["key".to_owned(), "value".to_owned()], &rows, Style::of(options)))
}

fn list(options: &Options, broker: &Broker, plural: &str) -> Outcome {
    let Some((_, columns)) = COLUMNS.iter().find(|(known, _)| *known == plural) else {
        return Err(misunderstood(
            &format!("unrecognized subcommand '{plural}'"),
            "list [OPTIONS] <COMMAND>",
        ));
    };
    let mut path = Path::api(&plural.replace('_', "-"));
    if ["queues", "exchanges", "bindings"].contains(&plural) {
        path = path.segment(vhost(options));
    }
    let items = broker.get(path).map_err(|failure| refused(&failure))?;
    Ok(listed(options, &items, columns))
}

fn listed(options: &Options, items: &Value, columns: &[(&str, &str)]) -> String {
    let names: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let row = |item: &Value| columns.iter().map(|(_, field)| shown(&item[*field])).collect();
    let rows: Vec<Vec<String>> = items.as_array().into_iter().flatten().map(row).collect();
    table(&names, &rows, Style::of(options))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        Value::Object(fields) => {
            let field = |(name, value)| format!("{name}: {},", shown(value));
            fields.iter().map(field).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}
