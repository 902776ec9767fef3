//! What differs between the definitions of a broker and those of a file: thing by thing, by what makes it one, and of what both have
//! the fields that are different.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A section of definitions: what one thing of it is called, and the fields that make it this one and no other.
struct Section {
    name: &'static str,
    kind: &'static str,
    key: &'static [&'static str],
}

const SECTIONS: [Section; 10] = [
    Section { name: "users", kind: "user", key: &["name"] },
    Section { name: "vhosts", kind: "vhost", key: &["name"] },
    Section { name: "permissions", kind: "permission", key: &["vhost", "user"] },
    Section { name: "topic_permissions", kind: "topic permission", key: &["vhost", "user", "exchange"] },
    Section { name: "parameters", kind: "parameter", key: &["vhost", "component", "name"] },
    Section { name: "global_parameters", kind: "global parameter", key: &["name"] },
    Section { name: "policies", kind: "policy", key: &["vhost", "name"] },
    Section { name: "queues", kind: "queue", key: &["vhost", "name"] },
    Section { name: "exchanges", kind: "exchange", key: &["vhost", "name"] },
    Section {
        name: "bindings",
        kind: "binding",
        key: &["vhost", "source", "destination_type", "destination", "routing_key", "arguments"],
    },
];

/// Fields that say again what stands elsewhere in the file.
const SAID_ALONE: [&str; 2] = ["metadata", "limits"];

#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    kind: &'static str,
    vhost: Option<String>,
    name: String,
    /// The fields that are different; None where it is not there.
    broker: Option<Value>,
    file: Option<Value>,
}

impl Difference {
    pub(super) fn row(&self) -> Value {
        let place = match (&self.broker, &self.file) {
            (Some(_), None) => "broker alone",
            (None, _) => "file alone",
            _ => "both, different",
        };
        let Difference { kind, vhost, name, broker, file } = self;
        json!({"where": place, "kind": kind, "vhost": vhost, "name": name, "broker": broker, "file": file})
    }
}

/// What differs, in the order of the sections. A section that the file does not have says nothing.
pub(super) fn between(broker: &Value, file: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    for section in &SECTIONS {
        let Some(theirs) = file[section.name].as_array() else { continue };
        let none = Vec::new();
        let ours = broker[section.name].as_array().unwrap_or(&none);
        let (mut ours, theirs) = (section.by_key(ours), section.by_key(theirs));
        for (key, theirs) in &theirs {
            let found = ours.remove(key);
            let (broker, file) = match found {
                None => (None, Some(Value::Object((*theirs).clone()))),
                Some(ours) => match different(ours, theirs) {
                    (broker, _) if broker.is_empty() => continue,
                    (broker, file) => (Some(broker.into()), Some(file.into())),
                },
            };
            differences.push(section.difference(theirs, broker, file));
        }
        for ours in ours.into_values() {
            differences.push(section.difference(ours, Some(Value::Object(ours.clone())), None));
        }
    }
    differences
}

impl Section {
    fn by_key<'a>(&self, things: &'a [Value]) -> BTreeMap<Vec<String>, &'a Map<String, Value>> {
        let key = |thing: &Map<String, Value>| -> Vec<String> {
            self.key.iter().map(|field| thing.get(*field).unwrap_or(&Value::Null).to_string()).collect()
        };
        things.iter().filter_map(Value::as_object).map(|thing| (key(thing), thing)).collect()
    }

    fn difference(
        &self,
        thing: &Map<String, Value>,
        broker: Option<Value>,
        file: Option<Value>,
    ) -> Difference {
        let text = |field: &str| thing.get(field).and_then(Value::as_str).map(str::to_owned);
        let names =
            self.key.iter().filter(|field| !["vhost", "arguments", "destination_type"].contains(field));
        let name: Vec<String> = names.filter_map(|field| text(field)).collect();
        Difference { kind: self.kind, vhost: text("vhost"), name: name.join(" "), broker, file }
    }
}

/// The fields of one and the same thing that are not the same. What the file does not speak of stays as it is, and is no difference.
fn different(
    ours: &Map<String, Value>,
    theirs: &Map<String, Value>,
) -> (Map<String, Value>, Map<String, Value>) {
    let (mut broker, mut file) = (Map::new(), Map::new());
    for (field, their) in theirs.iter().filter(|(field, _)| !SAID_ALONE.contains(&field.as_str())) {
        let our = ours.get(field);
        if told(our) != told(Some(their)) {
            broker.insert(field.clone(), our.cloned().unwrap_or_default());
            file.insert(field.clone(), their.clone());
        }
    }
    (broker, file)
}

/// A value that says something; tags may be a list or a text with commas.
fn told(value: Option<&Value>) -> Option<Value> {
    match value? {
        Value::Null => None,
        Value::Object(fields) if fields.is_empty() => None,
        Value::Array(words) if words.iter().all(Value::is_string) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            (!words.is_empty()).then(|| words.join(",").into())
        }
        Value::String(text) if text.is_empty() => None,
        value => Some(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_no_difference_however_it_is_written() {
        let broker = json!({
            "users": [{"name": "u", "tags": ["a", "b"], "password_hash": "h", "limits": {}}],
            "queues": [{"vhost": "/", "name": "q", "durable": true, "arguments": {}}],
            "vhosts": [{"name": "/"}],
        });
        let file = json!({
            "users": [{"name": "u", "tags": "a,b", "password_hash": "h"}],
            "queues": [{"arguments": {}, "name": "q", "vhost": "/"}],
        });
        assert_eq!(between(&broker, &file), []);
    }

    #[test]
    fn each_thing_that_differs_is_told_with_its_fields() {
        let broker = json!({"queues": [
            {"vhost": "/", "name": "both", "durable": true, "arguments": {"x-max-length": 1}},
            {"vhost": "/", "name": "ours", "durable": true, "arguments": {}},
        ], "bindings": [{"vhost": "/", "source": "e", "destination_type": "queue", "destination": "q",
            "routing_key": "k", "arguments": {}}]});
        let file = json!({"queues": [
            {"vhost": "/", "name": "both", "durable": true, "arguments": {"x-max-length": 2}},
            {"vhost": "/", "name": "theirs", "durable": true, "arguments": {}},
        ], "bindings": []});
        let rows: Vec<Value> = between(&broker, &file).iter().map(Difference::row).collect();
        let seen: Vec<(&str, &str)> =
            rows.iter().map(|row| (row["where"].as_str().unwrap(), row["name"].as_str().unwrap())).collect();
        assert_eq!(
            seen,
            [
                ("both, different", "both"),
                ("file alone", "theirs"),
                ("broker alone", "ours"),
                ("broker alone", "e q k")
            ]
        );
        assert_eq!(rows[0]["broker"], json!({"arguments": {"x-max-length": 1}}));
        assert_eq!(rows[0]["file"], json!({"arguments": {"x-max-length": 2}}));
    }
}
