//! Definitions from one broker to another over the management interface and back: nothing but the order of things may change on
//! the way. What goes the way is a scene of vhosts, users and global parameters whose names begin with `definitions`, and all that is
//! in these vhosts; whatever else is on the brokers is left alone. Where there is no RabbitMQ to go to, its recorded file is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use crate::management::Management;

/// What is put into the first broker.
const SCENE: &str = "definitions/scene.json";
/// What RabbitMQ says once the scene is in it.
const RECORDED: &str = "verdicts/definitions-rabbitmq-4.3.json";
/// Names of the scene begin so.
const OURS: &str = "definitions";
/// Sections of which an item says by its own name whose it is; an item of another one is in a vhost.
const NAMED: [&str; 3] = ["users", "vhosts", "global_parameters"];
/// Each broker says its own.
const OF_THE_BROKER: [&str; 5] =
    ["rabbit_version", "rabbitmq_version", "product_version", "original_cluster_name", "explanation"];

/// The sections of a file that belong to the scene, each of their items as text, and its other fields.
type File = BTreeMap<String, BTreeSet<String>>;

/// Takes definitions to a broker and back; with a peer through it. Returns whether they are the same then.
pub(crate) fn carry(
    target: &(String, String),
    peer: Option<&(String, String)>,
    record: bool,
) -> Result<bool> {
    let broker = Side { management: Management::new(target), name: "the broker" };
    let scene = read(SCENE)?;
    if record {
        broker.clear()?;
        let said = broker.through(&scene)?;
        fs::write(path(RECORDED), format!("{}\n", serde_json::to_string_pretty(&said)?))?;
        println!("recorded in {RECORDED}");
        return Ok(true);
    }
    broker.clear()?;
    let Some(peer) = peer else {
        let recorded = read(RECORDED)?;
        return Ok(differences(&recorded, &broker.through(&recorded)?) == 0);
    };
    let peer = Side { management: Management::new(peer), name: "the peer" };
    peer.clear()?;
    let mut different = 0;
    for (one, other) in [(&peer, &broker), (&broker, &peer)] {
        println!("from {} to {} and back:", one.name, other.name);
        let first = one.through(&scene)?;
        let between = other.through(&first)?;
        different += differences(&first, &one.through(&between)?);
    }
    Ok(different == 0)
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> Result<Value> {
    let path = path(file);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

struct Side<'a> {
    management: Management<'a>,
    name: &'static str,
}

impl Side<'_> {
    /// Fills the broker from a file, and empties it again. Returns what it said of itself in between, as far as it is the scene.
    fn through(&self, file: &Value) -> Result<Value> {
        let answer = self.management.ask("POST", "/api/definitions", None, file.to_string())?;
        ensure!(answer.status == 204, "{} does not import all of the definitions: {answer:?}", self.name);
        let said = self.ours()?;
        self.clear()?;
        Ok(said)
    }

    fn ours(&self) -> Result<Value> {
        let answer = self.management.ask("GET", "/api/definitions", None, String::new())?;
        let said = answer.said.and_then(|said| said.as_object().cloned());
        Ok(ours(said.with_context(|| format!("{} tells no definitions", self.name))?))
    }

    fn clear(&self) -> Result<()> {
        let there = self.ours()?;
        let names = |section: &str| -> Vec<String> {
            let items = there[section].as_array().into_iter().flatten();
            items.filter_map(|item| item["name"].as_str()).map(segment).collect()
        };
        let mut paths = Vec::new();
        for vhost in names("vhosts") {
            paths.extend([format!("vhosts/{vhost}/deletion/protection"), format!("vhosts/{vhost}")]);
        }
        paths.extend(names("users").iter().map(|name| format!("users/{name}")));
        paths.extend(names("global_parameters").iter().map(|name| format!("global-parameters/{name}")));
        for path in paths {
            let answer = self.management.ask("DELETE", &format!("/api/{path}"), None, String::new())?;
            ensure!(answer.status == 204, "{} does not delete {path}: {answer:?}", self.name);
        }
        Ok(())
    }
}

/// What belongs to the scene.
fn ours(mut file: Map<String, Value>) -> Value {
    for (section, items) in &mut file {
        let field = if NAMED.contains(&section.as_str()) { "name" } else { "vhost" };
        if let Value::Array(items) = items {
            items.retain(|item| item[field].as_str().is_some_and(|name| name.starts_with(OURS)));
        }
    }
    Value::Object(file)
}

/// A name as a segment of a path.
fn segment(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn taken_apart(file: &Value) -> File {
    let fields = file.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| !OF_THE_BROKER.contains(&name.as_str()));
    let text = |value: &Value| match value {
        Value::Array(items) => items.iter().map(Value::to_string).collect(),
        other => BTreeSet::from([other.to_string()]),
    };
    fields.map(|(name, value)| (name.clone(), text(value))).collect()
}

/// Prints what only one of two files says. Returns how much that is.
fn differences(before: &Value, after: &Value) -> usize {
    let (before, after) = (taken_apart(before), taken_apart(after));
    let mut different = 0;
    let mut only = |mark: &str, one: &File, other: &File| {
        for (section, items) in one {
            let known = other.get(section);
            for item in items.iter().filter(|item| known.is_none_or(|known| !known.contains(*item))) {
                println!("{mark} {section}: {item}");
                different += 1;
            }
        }
    };
    only("lost ", &before, &after);
    only("added", &after, &before);
    println!(
        "{} things, {different} of them lost or added",
        before.values().map(BTreeSet::len).sum::<usize>()
    );
    different
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_equal_but_for_order() {
        let one = json!({"queues": [{"a": 1, "b": 2}, {"c": 2.0}], "rabbit_version": "1"});
        let other = json!({"rabbit_version": "2", "queues": [{"c": 2.0}, {"b": 2, "a": 1}]});
        assert_eq!(differences(&one, &other), 0);
        assert_eq!(differences(&one, &json!({"queues": [{"a": 1, "b": 2}, {"c": 2}]})), 2);
        assert_eq!(differences(&one, &json!({})), 2);
    }

    #[test]
    fn what_is_of_others_is_left_alone() {
        let file = json!({"users": [{"name": "guest"}, {"name": "definitions"}], "queues": [{"name": "definitions", "vhost": "/"}], "x": 1});
        let kept = json!({"users": [{"name": "definitions"}], "queues": [], "x": 1});
        assert_eq!(ours(file.as_object().unwrap().clone()), kept);
    }

    #[test]
    fn the_recorded_file_has_what_the_scene_has() {
        let (scene, recorded) = (taken_apart(&read(SCENE).unwrap()), taken_apart(&read(RECORDED).unwrap()));
        for (section, items) in &scene {
            assert_eq!(Some(items), recorded.get(section), "{section}");
        }
    }
}
