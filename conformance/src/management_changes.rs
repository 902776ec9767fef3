//! Changes over the management API, played in order against a broker and compared with what RabbitMQ said: status, body and `location`.
//! The list and RabbitMQ's answers are one file, so that whoever adds a change records it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::management::{Answer, Management};

const FILE: &str = "verdicts/management-changes-rabbitmq-4.3.json";

/// A change, and what was said to it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Change {
    method: String,
    /// Behind `/api/`. `NODE` is the name of the node.
    path: String,
    /// A string is the body itself, anything else its JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    /// Whose credentials, if not those of `--management`.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Why another broker may answer otherwise. One that does not need it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    differs: Option<String>,
    #[serde(flatten)]
    answer: Answer,
}

/// Plays all of them. Returns whether every answer was as recorded, or writes down what the answers are.
pub(crate) fn play(target: &(String, String), record: bool) -> Result<bool> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut changes: Vec<Change> = serde_json::from_str(&text)?;
    let management = Management::new(target);
    let node = management.node()?;
    let mut wrong = 0;
    for change in &mut changes {
        let answer = ask(&management, change, &node)?;
        if record {
            change.answer = answer;
        } else if (answer == change.answer) == change.differs.is_some() {
            wrong += 1;
            let Change { method, path, body, by, differs, answer: expected } = &*change;
            let body = body.as_ref().map(Value::to_string).unwrap_or_default();
            println!("{method} {path} {body} {}", by.as_deref().unwrap_or_default());
            match differs {
                Some(why) => println!("    answers as RabbitMQ does, though: {why}"),
                None => println!("    RabbitMQ: {}\n    here:     {}", shown(expected), shown(&answer)),
            }
        }
    }
    if record {
        let lines: Vec<String> = changes.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n")))?;
        println!("{} changes recorded in {}", changes.len(), path.display());
        return Ok(true);
    }
    println!("{} changes, {wrong} of them answered otherwise than expected", changes.len());
    Ok(wrong == 0)
}

fn shown(answer: &Answer) -> String {
    let Answer { status, said, location } = answer;
    let said = said.as_ref().map(Value::to_string).unwrap_or_default();
    format!("{status} {said} {}", location.as_deref().unwrap_or_default())
}

/// Plays a change. `NODE` in its path is the name of the node.
fn ask(management: &Management<'_>, change: &Change, node: &str) -> Result<Answer> {
    let path = format!("/api/{}", change.path.replace("NODE", &node.replace('@', "%40")));
    let body = match &change.body {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let mut answer = management.ask(&change.method, &path, change.by.as_deref(), body)?;
    answer.location = answer.location.as_deref().map(without_hash);
    Ok(answer)
}

/// What arguments of a binding are hashed to is each broker's own.
fn without_hash(location: &str) -> String {
    match location.split_once('~') {
        Some((key, hash)) if !hash.is_empty() => format!("{key}~HASH"),
        _ => location.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_can_be_read_and_holds_enough() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(FILE);
        let changes: Vec<Change> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(changes.len() >= 120);
        assert!(changes.iter().all(|change| change.method != "GET" && change.answer.status < 500));
        assert_eq!(without_hash("q/a~cPe25g"), "q/a~HASH");
        assert_eq!((without_hash("q/~"), without_hash("q/%257E")), ("q/~".to_owned(), "q/%257E".to_owned()));
    }
}
