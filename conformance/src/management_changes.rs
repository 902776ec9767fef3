//! Changes over the management API, played in order against a broker and compared with what RabbitMQ said: status, body and `location`.
//! The list and RabbitMQ's answers are one file, so that whoever adds a change records it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

const FILE: &str = "verdicts/management-changes-rabbitmq-4.3.json";
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

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

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) said: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

/// Plays all of them. Returns whether every answer was as recorded, or writes down what the answers are.
pub(crate) fn play((base, credentials): &(String, String), record: bool) -> Result<bool> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut changes: Vec<Change> = serde_json::from_str(&text)?;
    let broker = Broker::new(base);
    let node = broker.node(credentials)?;
    let mut wrong = 0;
    for change in &mut changes {
        let answer = broker.ask(change, credentials, &node)?;
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

/// A broker's management interface.
pub(crate) struct Broker<'a> {
    agent: Agent,
    base: &'a str,
}

impl<'a> Broker<'a> {
    pub(crate) fn new(base: &'a str) -> Broker<'a> {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        Broker { agent: config.into(), base }
    }

    /// Asks for a path behind `/api/`. An error where there is no answer.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        credentials: &str,
        body: String,
    ) -> Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/api/{path}", self.base))
            .header("authorization", format!("Basic {}", BASE64_STANDARD.encode(credentials)))
            .header("content-type", "application/json");
        let mut response = self.agent.run(request.body(body)?).with_context(|| format!("{method} {path}"))?;
        let location = response.headers().get("location").and_then(|location| location.to_str().ok());
        let location = location.map(without_hash);
        let text = response.body_mut().read_to_string()?;
        let said = match serde_json::from_str(&text) {
            _ if text.is_empty() => None,
            Ok(value) => Some(value),
            Err(_) => Some(Value::String(text)),
        };
        Ok(Answer { status: response.status().as_u16(), said, location })
    }

    fn ask(&self, change: &Change, credentials: &str, node: &str) -> Result<Answer> {
        let path = change.path.replace("NODE", &node.replace('@', "%40"));
        let body = match &change.body {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        self.request(&change.method, &path, change.by.as_deref().unwrap_or(credentials), body)
    }

    /// The name of the node, as a vhost tells where it is up.
    fn node(&self, credentials: &str) -> Result<String> {
        let answer = self.request("GET", "vhosts/%2F", credentials, String::new())?;
        let states = answer.said.as_ref().and_then(|vhost| vhost["cluster_state"].as_object());
        match states.and_then(|states| states.keys().next()) {
            Some(node) => Ok(node.clone()),
            None => bail!("the vhost / tells no node: {}", shown(&answer)),
        }
    }
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
