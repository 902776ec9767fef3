//! The management interface as the recorded lists ask it: one request, and what was said to it. What the lists hold is theirs.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) said: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
}

pub(crate) struct Management<'a> {
    agent: Agent,
    base: &'a str,
    /// `USER:PASSWORD`.
    credentials: &'a str,
}

impl<'a> Management<'a> {
    pub(crate) fn new((base, credentials): &'a (String, String)) -> Management<'a> {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
        Management { agent: config.into(), base, credentials }
    }

    /// Asks for a path behind the host, as whoever is named, or else as the suite's own user.
    pub(crate) fn ask(&self, method: &str, path: &str, by: Option<&str>, body: String) -> Result<Answer> {
        let credentials = BASE64_STANDARD.encode(by.unwrap_or(self.credentials));
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Basic {credentials}"))
            .header("content-type", "application/json");
        let mut response = self.agent.run(request.body(body)?).with_context(|| format!("{method} {path}"))?;
        let location = response.headers().get("location").and_then(|location| location.to_str().ok());
        let location = location.map(str::to_owned);
        let text = response.body_mut().read_to_string()?;
        let said = match serde_json::from_str(&text) {
            _ if text.is_empty() => None,
            Ok(value) => Some(value),
            Err(_) => Some(Value::String(text)),
        };
        Ok(Answer { status: response.status().as_u16(), said, location })
    }

    /// The name of the node, as a vhost tells where it is up.
    pub(crate) fn node(&self) -> Result<String> {
        let answer = self.ask("GET", "/api/vhosts/%2F", None, String::new())?;
        let states = answer.said.as_ref().and_then(|vhost| vhost["cluster_state"].as_object());
        match states.and_then(|states| states.keys().next()) {
            Some(node) => Ok(node.clone()),
            None => bail!("the vhost / tells no node: {answer:?}"),
        }
    }
}
