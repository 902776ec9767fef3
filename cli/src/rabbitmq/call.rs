//! A command line that is being carried out: its words, and the broker it asks, which is connected to when it is first asked.

use std::cell::OnceCell;
use std::env;
use std::path::PathBuf;
use std::rc::Rc;

use hyper::Method;
use serde_json::Value;

use super::options::Words;
use super::verb::Verb;
use super::wrong::Wrong;
use crate::broker::{Broker, Failure, Path, Where};

/// The vhost where none is named.
const DEFAULT_VHOST: &str = "/";
/// What is in the data directory of a broker that runs.
const SOCKET: &str = "control.sock";
/// What the management API calls the one node that there is.
const NODE: &str = "leveret@localhost";

pub(super) struct Call<'a> {
    pub(super) tool: &'a str,
    pub(super) verb: &'a Verb,
    pub(super) words: &'a Words,
    broker: Rc<OnceCell<Broker>>,
}

impl<'a> Call<'a> {
    pub(super) fn new(tool: &'a str, verb: &'a Verb, words: &'a Words) -> Call<'a> {
        Call { tool, verb, words, broker: Rc::default() }
    }

    /// Another verb, asked of the same broker.
    pub(super) fn instead<'b>(&'b self, verb: &'b Verb, words: &'b Words) -> Call<'b> {
        Call { tool: self.tool, verb, words, broker: Rc::clone(&self.broker) }
    }

    /// The arguments behind the verb.
    pub(super) fn arguments(&self) -> &'a [String] {
        self.words.arguments.get(1..).unwrap_or_default()
    }

    /// An argument by its place; empty where it is not there.
    pub(super) fn argument(&self, place: usize) -> &'a str {
        self.arguments().get(place).map_or("", String::as_str)
    }

    pub(super) fn vhost(&self) -> &'a str {
        self.words.text("vhost").unwrap_or(DEFAULT_VHOST)
    }

    /// What the caller calls the node. There is one, whatever it is called.
    pub(super) fn node(&self) -> String {
        let named = self.words.text("node").map(str::to_owned);
        let named = named.or_else(|| env::var("RABBITMQ_NODENAME").ok().filter(|name| !name.is_empty()));
        named.unwrap_or_else(|| NODE.to_owned())
    }

    pub(super) fn broker(&self) -> Result<&Broker, Failure> {
        if let Some(broker) = self.broker.get() {
            return Ok(broker);
        }
        let found = Broker::find(&self.place())?;
        Ok(self.broker.get_or_init(|| found))
    }

    /// Where the broker is: as `leveret` finds it, or by what RabbitMQ's scripts say of its data.
    pub(super) fn place(&self) -> Where {
        let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let is_told = given("LEVERET_URI").is_some() || given("LEVERET_DATA_DIR").is_some();
        let theirs =
            ["RABBITMQ_MNESIA_DIR", "RABBITMQ_MNESIA_BASE"].into_iter().filter_map(given).map(PathBuf::from);
        // Images for RabbitMQ say it whatever runs in them, so it counts where a broker has been.
        let data_dir = theirs.filter(|_| !is_told).find(|directory| directory.join(SOCKET).exists());
        Where { data_dir, patience: self.words.timeout(), ..Where::default() }
    }

    pub(super) fn get(&self, path: Path) -> Result<Value, Failure> {
        self.broker()?.get(path)
    }

    /// Carries out a change, of which the answer says nothing more than that it was done.
    pub(super) fn change(&self, method: Method, path: Path, body: Option<&Value>) -> Result<(), Failure> {
        self.broker()?.send(method, path, body)?.accepted()?;
        Ok(())
    }

    pub(super) fn put(&self, path: Path, body: &Value) -> Result<(), Failure> {
        self.change(Method::PUT, path, Some(body))
    }

    pub(super) fn delete(&self, path: Path) -> Result<(), Failure> {
        self.change(Method::DELETE, path, None)
    }

    pub(super) fn post(&self, path: Path, body: Option<&Value>) -> Result<Value, Failure> {
        let reply = self.broker()?.send(Method::POST, path, body)?.accepted()?;
        if reply.body.is_empty() { Ok(Value::Null) } else { reply.json() }
    }
}

/// What is answered where the thing is not there: this instead.
pub(super) fn missing(failure: Failure, wrong: impl FnOnce() -> Wrong) -> Wrong {
    if failure.status == Some(404) { wrong() } else { Wrong::Failed(failure) }
}
