//! What a field is: its dotted name (`[]` is what an array holds) and the types that JSON has for its values. The values are nobody's
//! matter here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::traffic::OURS;

/// Types of a field's values, as `num|str`. RabbitMQ has `null` or the text `undefined` where it knows nothing, in one field even
/// both: that is the type `none`. A field whose value it never knew may have any type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "String", into = "String")]
pub(super) struct Kinds(BTreeSet<String>);

impl From<String> for Kinds {
    fn from(text: String) -> Kinds {
        Kinds(text.split('|').map(str::to_owned).collect())
    }
}

impl From<Kinds> for String {
    fn from(kinds: Kinds) -> String {
        kinds.to_string()
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.iter().map(String::as_str).collect::<Vec<_>>().join("|"))
    }
}

impl Kinds {
    /// Whether a client that reads what has these types reads those as well.
    pub(super) fn allow(&self, seen: &Kinds) -> bool {
        let never_known = self.0.len() == 1 && self.0.contains("none");
        never_known || seen.0.is_subset(&self.0)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "none",
        Value::String(text) if text == "undefined" => "none",
        Value::Bool(_) => "bool",
        Value::Number(_) => "num",
        Value::String(_) => "str",
        Value::Array(_) => "arr",
        Value::Object(_) => "obj",
    }
}

/// The fields of answers, by their dotted names.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(pub(super) BTreeMap<String, Kinds>);

impl Fields {
    /// Adds those of an answer. A name that is the node's is `NODE`. What is in another vhost than the suite's does not count, nor
    /// what is in an array beside anything that the suite made: what else is on the broker is not to matter.
    pub(super) fn add(&mut self, value: &Value, node: &str) {
        self.add_below(value, "", node);
    }

    fn add_below(&mut self, value: &Value, path: &str, node: &str) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let name = if name == node { "NODE" } else { name };
                    let name = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                    self.add_one(name, value, node);
                }
            }
            Value::Array(items) => {
                let any_ours = items.iter().any(|item| is_ours(item) == Some(true));
                let counts = |item: &&Value| is_ours(item).unwrap_or(!any_ours);
                for item in items.iter().filter(counts) {
                    self.add_one(format!("{path}[]"), item, node);
                }
            }
            _ => {}
        }
    }

    fn add_one(&mut self, name: String, value: &Value, node: &str) {
        self.add_below(value, &name, node);
        self.0.entry(name).or_default().0.insert(kind(value).to_owned());
    }
}

/// Whether it is in the suite's vhost or, in no vhost, has a name of the suite's. None where it may be the node's.
fn is_ours(item: &Value) -> Option<bool> {
    let begins = |text: &Value| text.as_str().is_some_and(|text| text.starts_with(OURS));
    match item.get("vhost") {
        Some(vhost) => Some(begins(vhost)),
        None => begins(&item["name"]).then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_names_and_types_of_what_is_ours() {
        let mut fields = Fields::default();
        fields.add(
            &json!([
                {"vhost": "conformance-fields", "a": {"b": 1, "n@h": [true, "x"]}, "c": null},
                {"vhost": "other", "d": 1},
                {"vhost": "conformance-fields", "c": "undefined", "a": 1.5},
            ]),
            "n@h",
        );
        fields.add(&json!([{"vhost": "conformance-fields", "c": 2}]), "n@h");
        fields.add(
            &json!([{"vhost": "other", "e": 2}, {"name": "conformance-fields-user"}, {"name": "f", "f": 1}]),
            "n@h",
        );
        fields.add(&json!({"nodes": [{"name": "n@h"}]}), "n@h");
        let told: Vec<String> = fields.0.iter().map(|(name, kinds)| format!("{name} {kinds}")).collect();
        let expected = [
            "[] obj",
            "[].a num|obj",
            "[].a.NODE arr",
            "[].a.NODE[] bool|str",
            "[].a.b num",
            "[].c none|num",
            "[].name str",
            "[].vhost str",
            "nodes arr",
            "nodes[] obj",
            "nodes[].name str",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_type_is_read_by_who_reads_what_was_recorded() {
        for (recorded, seen, allowed) in [
            ("num", "num", true),
            ("num|none", "num", true),
            ("num|none", "none", true),
            ("num", "none", false),
            ("none", "str|num", true),
            ("num|str", "str|obj", false),
        ] {
            let of = |text: &str| Kinds::from(text.to_owned());
            assert_eq!(of(recorded).allow(&of(seen)), allowed, "{recorded} {seen}");
        }
    }
}
