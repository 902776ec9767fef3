//! Values as Erlang has them, for the tools print them so that this can be seen: a table of arguments, a list of atoms, a process
//! id. How they look in each format is told here; which belongs where is not.

use std::fmt::Write;

use serde_json::{Map, Value, json};

/// A value of a row, or of a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    /// Nothing is known; printed as nothing.
    Empty,
    Atom(String),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Term>),
    /// Names with values, in order: a property list or a map.
    Fields(Vec<(String, Term)>),
    /// The arguments of a queue or an exchange, a client's properties: an AMQP table.
    Table(Vec<(String, Value)>),
}

impl From<&str> for Term {
    fn from(text: &str) -> Term {
        Term::Text(text.to_owned())
    }
}

impl From<String> for Term {
    fn from(text: String) -> Term {
        Term::Text(text)
    }
}

impl Term {
    pub(super) fn atom(text: &str) -> Term {
        Term::Atom(text.to_owned())
    }

    /// What the management API says, as it is: names are texts, what is missing is empty.
    pub(super) fn of(value: &Value) -> Term {
        match value {
            Value::Null => Term::Empty,
            Value::Bool(value) => Term::Boolean(*value),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => Term::Integer(integer),
                None => Term::Float(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => Term::Text(text.clone()),
            Value::Array(items) => Term::List(items.iter().map(Term::of).collect()),
            Value::Object(fields) => {
                Term::Fields(fields.iter().map(|(name, value)| (name.clone(), Term::of(value))).collect())
            }
        }
    }

    /// An AMQP table, of a JSON object.
    pub(super) fn table(value: &Value) -> Term {
        let fields = value.as_object().into_iter().flatten();
        Term::Table(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// As a cell of a table with tabs.
    pub(super) fn cell(&self) -> String {
        match self {
            Term::Empty => String::new(),
            Term::Atom(text) | Term::Text(text) => text.clone(),
            Term::List(items) => {
                let items: Vec<String> = items.iter().map(Term::cell).collect();
                format!("[{}]", items.join(", "))
            }
            Term::Table(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{{\"{name}\",{}}}", in_a_table(value)))
                    .collect();
                format!("[{}]", fields.join(","))
            }
            Term::Fields(_) => self.json().to_string(),
            number => number.erlang(),
        }
    }

    /// As JSON. A table is a list of triples of name, type and value.
    pub(super) fn json(&self) -> Value {
        match self {
            Term::Empty => json!(""),
            Term::Atom(text) | Term::Text(text) => json!(text),
            Term::Integer(value) => json!(value),
            Term::Float(value) => json!(value),
            Term::Boolean(value) => json!(value),
            Term::List(items) => items.iter().map(Term::json).collect(),
            Term::Fields(fields) => Value::Object(
                fields.iter().map(|(name, value)| (name.clone(), value.json())).collect::<Map<_, _>>(),
            ),
            Term::Table(fields) => fields.iter().map(|(name, value)| triple(name, value)).collect(),
        }
    }

    /// As an Erlang term.
    pub(super) fn erlang(&self) -> String {
        match self {
            Term::Empty => "''".to_owned(),
            Term::Atom(text) => atom(text),
            Term::Text(text) => binary(text),
            Term::Integer(value) => value.to_string(),
            Term::Float(value) => float(*value),
            Term::Boolean(value) => value.to_string(),
            Term::List(items) => {
                format!("[{}]", items.iter().map(Term::erlang).collect::<Vec<_>>().join(","))
            }
            Term::Fields(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{{{},{}}}", atom(name), value.erlang()))
                    .collect();
                format!("[{}]", fields.join(","))
            }
            Term::Table(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| {
                        format!("{{{},{},{}}}", binary(name), amqp_type(value), amqp_erlang(value))
                    })
                    .collect();
                format!("[{}]", fields.join(","))
            }
        }
    }
}

/// An argument's value in a cell: texts in quotes, tables and lists within as lists.
fn in_a_table(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{text}\""),
        Value::Array(items) => format!("[{}]", items.iter().map(in_a_table).collect::<Vec<_>>().join(",")),
        Value::Object(_) => Term::table(value).cell(),
        other => other.to_string(),
    }
}

fn triple(name: &str, value: &Value) -> Value {
    let shown = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| triple(name, value)).collect(),
        Value::Array(items) => items.iter().map(|item| json!([amqp_type(item), item])).collect(),
        other => other.clone(),
    };
    json!([name, amqp_type(value), shown])
}

/// The type of an AMQP value, as Erlang names it; the JSON does not tell how wide an integer was.
fn amqp_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "void",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() || number.is_u64() => "long",
        Value::Number(_) => "double",
        Value::String(_) => "longstr",
        Value::Array(_) => "array",
        Value::Object(_) => "table",
    }
}

fn amqp_erlang(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> =
                items.iter().map(|item| format!("{{{},{}}}", amqp_type(item), amqp_erlang(item))).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(_) => Term::table(value).erlang(),
        Value::Null => "undefined".to_owned(),
        other => Term::of(other).erlang(),
    }
}

/// An atom, in quotes where it does not look like one.
fn atom(text: &str) -> String {
    let mut characters = text.chars();
    let is_plain = characters.next().is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|character| character.is_ascii_alphanumeric() || "_@".contains(character));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")) }
}

/// A binary, as text where all of it is ASCII, by its bytes otherwise.
fn binary(text: &str) -> String {
    let mut shown = String::from("<<");
    if text.is_ascii() && !text.chars().any(char::is_control) {
        if !text.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        }
    } else {
        let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
        shown.push_str(&bytes.join(","));
    }
    shown + ">>"
}

/// A float, which always has a point.
fn float(value: f64) -> String {
    let shown = value.to_string();
    if shown.contains(['.', 'e']) { shown } else { shown + ".0" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_look_otherwise_in_each_format() {
        let arguments = Term::table(&json!({"x-max-length": 5, "x-queue-type": "quorum"}));
        assert_eq!(arguments.cell(), "[{\"x-max-length\",5},{\"x-queue-type\",\"quorum\"}]");
        assert_eq!(
            arguments.json(),
            json!([["x-max-length", "long", 5], ["x-queue-type", "longstr", "quorum"]])
        );
        assert_eq!(
            arguments.erlang(),
            "[{<<\"x-max-length\">>,long,5},{<<\"x-queue-type\">>,longstr,<<\"quorum\">>}]"
        );
    }

    #[test]
    fn atoms_and_texts_are_quoted_where_erlang_does() {
        assert_eq!(atom("own_tag@1"), "own_tag@1");
        assert_eq!(atom("own-tag"), "'own-tag'");
        assert_eq!(atom(""), "''");
        assert_eq!(binary("a\"b"), "<<\"a\\\"b\">>");
        assert_eq!(binary(""), "<<>>");
        assert_eq!(binary("ü"), "<<195,188>>");
        assert_eq!(Term::Float(5.0).erlang(), "5.0");
    }

    #[test]
    fn lists_are_joined_with_a_blank_in_cells() {
        let tags = Term::List(vec![Term::atom("a"), Term::atom("b")]);
        assert_eq!((tags.cell(), tags.json()), ("[a, b]".to_owned(), json!(["a", "b"])));
        assert_eq!(Term::Empty.cell(), "");
    }
}
