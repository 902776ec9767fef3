//! `leveret limit`: how much there may be in vhosts, of users, and in the whole broker.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::Done;
use super::list::{ListOptions, Source};
use super::options::Connect;
use crate::broker::{Broker, Failure, Path};
use crate::output::{Column, Kind, column};

/// The limits of the whole broker, as one thing.
const OF_ALL: &str = "leveret/node-limits";

#[derive(Debug, Args)]
pub struct Limit {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists all limits that are set.
    #[command(after_help = "Example:\n  leveret limit list --sort of")]
    List {
        #[command(flatten)]
        list: ListOptions,
    },
    /// Sets a limit: max-connections and max-queues of a vhost, max-connections and max-channels of a user.
    #[command(
        after_help = "Examples:\n  leveret limit set max-queues 1000 -p shop\n  leveret limit set max-channels 100 --user billing"
    )]
    Set {
        limit: String,
        #[arg(allow_negative_numbers = true)]
        value: i64,
        #[command(flatten)]
        of: Of,
    },
    /// Takes a limit away.
    #[command(after_help = "Example:\n  leveret limit clear max-queues -p shop")]
    Clear {
        limit: String,
        #[command(flatten)]
        of: Of,
    },
}

/// Of what it is.
#[derive(Debug, Args)]
struct Of {
    /// Of this vhost.
    #[arg(short = 'p', long, value_name = "VHOST", default_value = "/")]
    vhost: String,
    /// Of this user, in all vhosts.
    #[arg(long, value_name = "USER", conflicts_with_all = ["vhost", "broker"])]
    user: Option<String>,
    /// Of the whole broker.
    #[arg(long, conflicts_with = "vhost")]
    broker: bool,
}

const COLUMNS: &[Column] = &[
    column("of", "of", "OF", Kind::Text),
    column("name", "name", "NAME", Kind::Text),
    column("limit", "limit", "LIMIT", Kind::Text),
    column("value", "value", "VALUE", Kind::Count),
];

impl Limit {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::List { list } => return list.run(connect, COLUMNS, &Source::Made(&all)),
            Verb::Set { limit, value, of } => {
                let broker = connect.broker()?;
                if of.broker {
                    of.change_broker(&broker, &limit, &value.into())?;
                } else {
                    let reply = broker.send(Method::PUT, of.path(&limit), Some(&json!({"value": value})))?;
                    reply.accepted().map_err(|failure| failure.about(of.described()))?;
                }
                connect.say(&format!("The {limit} of {} is {value}.", of.described()))?;
            }
            Verb::Clear { limit, of } => {
                let broker = connect.broker()?;
                if of.broker {
                    of.change_broker(&broker, &limit, &Value::Null)?;
                } else {
                    let reply = broker.send(Method::DELETE, of.path(&limit), None)?;
                    reply.accepted().map_err(|failure| failure.about(of.described()))?;
                }
                connect.say(&format!("There is no {limit} of {} any more.", of.described()))?;
            }
        }
        Ok(Done::Yes)
    }
}

impl Of {
    fn path(&self, limit: &str) -> Path {
        match &self.user {
            Some(user) => Path::api("user-limits").segment(user).segment(limit),
            None => Path::api("vhost-limits").segment(&self.vhost).segment(limit),
        }
    }

    fn change_broker(&self, broker: &Broker, limit: &str, value: &Value) -> Result<(), Failure> {
        broker.send(Method::PUT, Path::api(OF_ALL), Some(&json!({limit: value})))?.accepted().map(drop)
    }

    fn described(&self) -> String {
        match &self.user {
            _ if self.broker => "the broker".to_owned(),
            Some(user) => format!("the user '{user}'"),
            None => format!("the vhost '{}'", self.vhost),
        }
    }
}

/// A row for each limit.
fn all(broker: &Broker) -> Result<Vec<Value>, Failure> {
    let mut rows = Vec::new();
    let mut add = |of: &str, name: &str, limits: &Value| {
        for (limit, value) in limits.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            rows.push(json!({"of": of, "name": name, "limit": limit, "value": value}));
        }
    };
    add("broker", "", &broker.get(Path::api(OF_ALL))?);
    for (of, path) in [("vhost", "vhost-limits"), ("user", "user-limits")] {
        let found = broker.get(Path::api(path))?;
        for item in found.as_array().into_iter().flatten() {
            add(of, item[of].as_str().unwrap_or_default(), &item["value"]);
        }
    }
    Ok(rows)
}
