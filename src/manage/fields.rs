//! The JSON object in a request's body, field by field: what is missing or of another type is 400 and named. Fields
//! that nobody asks for are passed over, as RabbitMQ does: clients send back what a listing gave them.

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::json;
use crate::catalog::policies::printed;
use crate::model::ids::Name;
use crate::model::names::NODE;

/// From so many columns on Erlang prints a list on several lines.
const ONE_LINE: usize = 80;

#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of an object within a body.
    pub(super) fn of(fields: Map<String, Value>) -> Fields {
        Fields(fields)
    }

    pub(super) fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// Reads a body. No body, and `null`, hold no fields.
    pub(super) fn read(body: &[u8]) -> Result<Fields, Refusal> {
        if body.trim_ascii().is_empty() {
            return Ok(Fields::default());
        }
        let value =
            serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("not_json: {error}")))?;
        match value {
            Value::Object(fields) => Ok(Fields(fields)),
            Value::Null => Ok(Fields::default()),
            Value::String(_) => Err(Refusal::bad(
                "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?",
            )),
            other => Err(Refusal::bad(format!("not_json: the body is {other}, not an object"))),
        }
    }

    /// 400 unless all of these are there.
    pub(super) fn require(&self, names: &[&str]) -> Result<(), Refusal> {
        let missing: Vec<_> = names
            .iter()
            .filter(|name| !self.has(name))
            .map(|name| format!("{{key_missing,{name}}}"))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(Refusal::bad(listed(&missing))) }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A string.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.get(name) {
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a string", other)),
            None => Ok(None),
        }
    }

    /// A string that was required.
    pub(super) fn name(&self, name: &str) -> Result<Name, Refusal> {
        self.require(&[name])?;
        Ok(self.text(name)?.unwrap_or_default().into())
    }

    /// `true` or `false`, or either as a string.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(word)) if word == "true" => Ok(Some(true)),
            Some(Value::String(word)) if word == "false" => Ok(Some(false)),
            Some(other) => Err(wrong(name, "true or false", other)),
        }
    }

    /// The same as a declaration has it: false where it is not given, and RabbitMQ's text for what is neither.
    pub(super) fn boolean(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(word)) if word == "true" => Ok(true),
            Some(Value::String(word)) if word == "false" => Ok(false),
            Some(other) => Err(Refusal::Bad(json!(["not_boolean", other]))),
        }
    }

    /// 400 where a declaration asks for another node than this one.
    pub(super) fn check_node(&self) -> Result<(), Refusal> {
        match self.text("node")? {
            Some(node) if node != NODE => Err(Refusal::bad(format!("Node {node} is not a cluster member"))),
            _ => Ok(()),
        }
    }

    /// Words, as an array of strings or as one string with commas.
    pub(super) fn words(&self, name: &str) -> Result<Option<Vec<Name>>, Refusal> {
        let listed = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(listed)) => {
                listed.split(',').map(str::trim).filter(|word| !word.is_empty()).map(Name::from).collect()
            }
            Some(Value::Array(items)) => {
                let word = |item: &Value| item.as_str().map(Name::from);
                items
                    .iter()
                    .map(|item| word(item).ok_or_else(|| wrong(name, "an array of strings", item)))
                    .collect::<Result<_, _>>()?
            }
            Some(other) => return Err(wrong(name, "an array of strings, or a string with commas", other)),
        };
        Ok(Some(listed))
    }
}

/// A list as Erlang prints it: from 80 columns on, an item a line.
fn listed(items: &[String]) -> String {
    let whole = format!("[{}]", items.join(","));
    if whole.len() >= ONE_LINE { format!("[{}]", items.join(",\n ")) } else { whole }
}

/// 400 for a value of another type.
pub(super) fn wrong(name: &str, expected: &str, found: &Value) -> Refusal {
    Refusal::bad(format!("{name} should be {expected}, actually was {found}"))
}

/// An integer. Otherwise the text that RabbitMQ has for it, which may go into a frame.
pub(super) fn integer(name: &str, value: &Value) -> Result<i64, String> {
    json::integer(value).ok_or_else(|| {
        let found = json::to_amqp(value).map_or_else(|_| value.to_string(), |value| printed(&value));
        format!("{name} should be a number, actually was {found}")
    })
}

/// What a limit is.
pub(super) const A_NUMBER: &str = "a whole number that is not negative";

/// The value of a field that is a limit.
pub(super) fn number(name: &str, value: &Value) -> Result<u64, Refusal> {
    let number = json::integer(value).and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| wrong(name, A_NUMBER, value))
}

/// 400 of a field that is not among those that are known.
pub(super) fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Refusal {
    let known: Vec<&str> = known.into_iter().collect();
    Refusal::bad(format!("there is no field {name}; there are {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> String {
        match outcome {
            Err(Refusal::Bad(Value::String(reason))) => reason,
            other => format!("{other:?}"),
        }
    }

    fn fields(body: &str) -> Fields {
        Fields::read(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_body_is_an_object_or_nothing() {
        for nothing in ["", " \n", "null", "{}"] {
            assert_eq!(fields(nothing).iter().count(), 0, "{nothing}");
        }
        let read = |body: &[u8]| reason(Fields::read(body));
        assert_eq!(read(b"{\"a\":1,}"), "not_json: trailing comma at line 1 column 8");
        assert_eq!(read(b"[1]"), "not_json: the body is [1], not an object");
        assert!(read(b"\"{}\"").contains("doubly-JSON-encoded"));
        assert!(read(b"{\"a\":\"\xff\"}").starts_with("not_json: "));
        assert!(read("[".repeat(100_000).as_bytes()).contains("recursion limit"));
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_named() {
        let fields = fields("{\"text\":\"t\",\"number\":5,\"array\":[\"a\",1]}");
        assert_eq!(reason(fields.require(&["b", "text", "a"])), "[{key_missing,b},{key_missing,a}]");
        assert_eq!(reason(fields.text("number")), "number should be a string, actually was 5");
        assert_eq!(reason(fields.flag("text")), "text should be true or false, actually was \"t\"");
        assert_eq!(reason(fields.words("array")), "array should be an array of strings, actually was 1");
        assert_eq!(integer("n", &"7".into()).unwrap_err(), "n should be a number, actually was <<\"7\">>");
    }

    #[test]
    fn words_come_as_an_array_or_with_commas() {
        let words = |body: &str| fields(body).words("tags").unwrap().unwrap();
        let expected = [Name::from("a"), Name::from("b c")];
        assert_eq!(words("{\"tags\":\" a,, b c \"}"), expected);
        assert_eq!(words("{\"tags\":[\"a\",\"b c\"]}"), expected);
        assert!(words("{\"tags\":\"\"}").is_empty());
    }
}
