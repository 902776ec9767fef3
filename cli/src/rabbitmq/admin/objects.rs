//! What rabbitmqadmin declares, deletes and lists, as a table: what must be said of it, what may be, and where it is in the
//! management API. Both tools' words lead here.

use std::collections::BTreeMap;
use std::fmt::Write;

use hyper::Method;
use serde_json::{Map, Value};

use crate::broker::{Broker, Failure, Path};

/// What is said of an object, by name.
pub(super) type Fields = BTreeMap<String, String>;

pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) plural: &'static str,
    /// What must be said where it is declared, besides the vhost; a choice is written `a|b`.
    pub(super) mandatory: &'static [&'static str],
    /// What may be said, and what it is if nobody does; empty: nothing is sent.
    pub(super) optional: &'static [(&'static str, &'static str)],
    /// What must be said where it is deleted.
    pub(super) named_by: &'static [&'static str],
    /// What is listed of it where nobody says; empty: everything.
    pub(super) columns: &'static [&'static str],
    /// Whether it is in a vhost, which its path begins with.
    pub(super) in_vhost: bool,
}

const POLICY: &[&str] = &["name", "pattern", "definition"];
const OF_POLICY: &[(&str, &str)] = &[("priority", "0"), ("apply-to", "")];

/// What can be declared and deleted.
pub(super) const KINDS: [Kind; 11] = [
    Kind {
        name: "exchange",
        plural: "exchanges",
        mandatory: &["name", "type"],
        optional: &[
            ("auto_delete", "false"),
            ("durable", "true"),
            ("internal", "false"),
            ("arguments", "{}"),
        ],
        named_by: &["name"],
        columns: &["name", "type"],
        in_vhost: true,
    },
    Kind {
        name: "queue",
        plural: "queues",
        mandatory: &["name"],
        optional: &[
            ("auto_delete", "false"),
            ("durable", "true"),
            ("arguments", "{}"),
            ("node", ""),
            ("queue_type", ""),
        ],
        named_by: &["name"],
        columns: &["name", "messages"],
        in_vhost: true,
    },
    Kind {
        name: "binding",
        plural: "bindings",
        mandatory: &["source", "destination"],
        optional: &[("destination_type", "queue"), ("routing_key", ""), ("arguments", "{}")],
        named_by: &["source", "destination_type", "destination"],
        columns: &["source", "destination", "routing_key"],
        in_vhost: true,
    },
    Kind {
        name: "vhost",
        plural: "vhosts",
        mandatory: &["name"],
        optional: &[("tracing", ""), ("description", ""), ("tags", ""), ("default_queue_type", "")],
        named_by: &["name"],
        columns: &["name", "messages"],
        in_vhost: false,
    },
    Kind {
        name: "user",
        plural: "users",
        mandatory: &["name", "password|password_hash", "tags"],
        optional: &[("hashing_algorithm", "")],
        named_by: &["name"],
        columns: &[],
        in_vhost: false,
    },
    Kind {
        name: "permission",
        plural: "permissions",
        mandatory: &["vhost", "user", "configure", "write", "read"],
        optional: &[],
        named_by: &["vhost", "user"],
        columns: &[],
        in_vhost: false,
    },
    Kind {
        name: "parameter",
        plural: "parameters",
        mandatory: &["component", "name", "value"],
        optional: &[],
        named_by: &["component", "name"],
        columns: &[],
        in_vhost: true,
    },
    Kind {
        name: "policy",
        plural: "policies",
        mandatory: POLICY,
        optional: OF_POLICY,
        named_by: &["name"],
        columns: &[],
        in_vhost: true,
    },
    Kind {
        name: "operator_policy",
        plural: "operator_policies",
        mandatory: POLICY,
        optional: OF_POLICY,
        named_by: &["name"],
        columns: &[],
        in_vhost: true,
    },
    Kind {
        name: "vhost_limit",
        plural: "vhost_limits",
        mandatory: &["vhost", "name", "value"],
        optional: &[],
        named_by: &["vhost", "name"],
        columns: &[],
        in_vhost: false,
    },
    Kind {
        name: "user_limit",
        plural: "user_limits",
        mandatory: &["user", "name", "value"],
        optional: &[],
        named_by: &["user", "name"],
        columns: &[],
        in_vhost: false,
    },
];

/// What is only listed, and what of it.
pub(super) const LISTED: [(&str, &[&str]); 4] = [
    ("connections", &["name", "user", "channels"]),
    ("channels", &["name", "user"]),
    ("consumers", &[]),
    ("nodes", &["name", "type", "mem_used"]),
];

impl Kind {
    /// Where one is that these fields are of.
    fn path(&self, vhost: &str, fields: &Fields) -> Path {
        let field = |name: &str| fields.get(name).map_or("", String::as_str);
        let path = Path::api(&self.plural.replace('_', "-"));
        match self.name {
            "binding" => {
                let kind = if field("destination_type").starts_with('e') { "e" } else { "q" };
                path.segment(vhost)
                    .fixed("e")
                    .segment(field("source"))
                    .fixed(kind)
                    .segment(field("destination"))
            }
            "permission" => path.segment(field("vhost")).segment(field("user")),
            "parameter" => path.segment(field("component")).segment(vhost).segment(field("name")),
            "vhost_limit" => path.segment(field("vhost")).segment(field("name")),
            "user_limit" => path.segment(field("user")).segment(field("name")),
            _ if self.in_vhost => path.segment(vhost).segment(field("name")),
            _ => path.segment(field("name")),
        }
    }

    pub(super) fn declare(&self, broker: &Broker, vhost: &str, fields: &Fields) -> Result<(), Declined> {
        let mut body = Map::new();
        let given = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let rest = self
            .optional
            .iter()
            .copied()
            .filter(|(name, default)| !default.is_empty() && !fields.contains_key(*name));
        for (name, value) in given.chain(rest) {
            if name == "queue_type" {
                continue;
            }
            body.insert(name.to_owned(), typed(name, value)?);
        }
        if let Some(queue_type) = fields.get("queue_type") {
            if !body["arguments"].is_object() {
                body.insert("arguments".to_owned(), Value::Object(Map::new()));
            }
            body["arguments"]["x-queue-type"] = Value::from(queue_type.as_str());
        }
        let method = if self.name == "binding" { Method::POST } else { Method::PUT };
        broker.send(method, self.path(vhost, fields), Some(&Value::Object(body)))?.accepted()?;
        Ok(())
    }

    pub(super) fn delete(&self, broker: &Broker, vhost: &str, fields: &Fields) -> Result<(), Failure> {
        let mut path = self.path(vhost, fields);
        if self.name == "binding" {
            path = path.segment(fields.get("properties_key").map_or("~", String::as_str));
        }
        for condition in ["if-empty", "if-unused"] {
            if fields.get(condition).is_some_and(|value| value == "true") {
                path = path.query(condition, "true");
            }
        }
        broker.send(Method::DELETE, path, None)?.accepted()?;
        Ok(())
    }

    /// Where one of them is, as an error names it.
    pub(super) fn place(&self, vhost: &str, fields: &Fields, deletes: bool) -> String {
        let path = self.path(vhost, fields);
        match (self.name, deletes) {
            ("binding", true) => {
                path.segment(fields.get("properties_key").map_or("~", String::as_str)).as_str().to_owned()
            }
            _ => path.as_str().to_owned(),
        }
    }
}

/// Why nothing was declared.
pub(super) enum Declined {
    NoJson(String),
    NotBoolean(String),
    Failed(Failure),
}

impl From<Failure> for Declined {
    fn from(failure: Failure) -> Declined {
        Declined::Failed(failure)
    }
}

/// A field's value, of which JSON is read where it is to be some.
fn typed(name: &str, value: &str) -> Result<Value, Declined> {
    let read = || serde_json::from_str(value).map_err(|_| Declined::NoJson(value.to_owned()));
    match name {
        "arguments" | "definition" | "value" | "properties" => read(),
        "priority" | "count" | "truncate" => {
            Ok(value.parse::<i64>().map_or_else(|_| value.into(), Value::from))
        }
        "auto_delete" | "durable" | "internal" | "tracing" | "protected_from_deletion" => {
            value.parse::<bool>().map(Value::from).map_err(|_| Declined::NotBoolean(value.to_owned()))
        }
        _ => Ok(value.into()),
    }
}

/// What there is to be said, for `help`.
pub(super) fn help() -> String {
    let mut text = String::from(
        "Usage\n=====\n  rabbitmqadmin [options] subcommand\n\n  where subcommand is one of:\n\n",
    );
    // Writing to a string cannot fail.
    for plural in LISTED.iter().map(|(plural, _)| *plural).chain(KINDS.iter().map(|kind| kind.plural)) {
        let _ = writeln!(text, "  list {plural} [<column>...]");
    }
    text.push_str("  show overview [<column>...]\n");
    for kind in &KINDS {
        let words: Vec<String> = kind.mandatory.iter().map(|name| format!("{name}=...")).collect();
        let optional: Vec<String> = kind.optional.iter().map(|(name, _)| format!("[{name}=...]")).collect();
        let _ = writeln!(text, "  declare {} {} {}", kind.name, words.join(" "), optional.join(" "));
        let words: Vec<String> = kind.named_by.iter().map(|name| format!("{name}=...")).collect();
        let _ = writeln!(text, "  delete {} {}", kind.name, words.join(" "));
    }
    text.push_str(
        "  close connection name=...\n  purge queue name=...\n  export FILE\n  import FILE\n\
         \x20 publish routing_key=... [payload=... properties=... exchange=... payload_encoding=...]\n\
         \x20 get queue=... [count=... ackmode=... payload_file=... encoding=...]\n\n\
         Or in the words of the tool of RabbitMQ 4.3, as in `queues declare --name q`.\n",
    );
    text
}
