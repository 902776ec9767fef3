//! `leveret vhost`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value};

use super::Done;
use super::list::{ListOptions, Source};
use super::options::{Confirm, Connect, Shape};
use crate::broker::{Failure, Path};
use crate::output::{Column, Kind, column, counted, find, further};

#[derive(Debug, Args)]
pub struct Vhost {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists vhosts.
    #[command(after_help = "Example:\n  leveret vhost list --sort -messages")]
    List {
        #[command(flatten)]
        list: ListOptions,
    },
    /// Shows a vhost.
    #[command(after_help = "Example:\n  leveret vhost show shop")]
    Show {
        #[arg(value_name = "VHOST")]
        vhost: String,
        #[command(flatten)]
        shape: Shape,
    },
    /// Adds a vhost, or changes what is said of it.
    #[command(
        after_help = "Example:\n  leveret vhost add shop --description 'orders and stock' --default-queue-type quorum"
    )]
    Add {
        #[arg(value_name = "VHOST")]
        vhost: String,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// A tag; several times for several.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
        /// What queues are where their declaration does not say: classic or quorum.
        #[arg(long, value_name = "TYPE")]
        default_queue_type: Option<String>,
    },
    /// Deletes a vhost with all queues, messages, permissions and policies in it.
    #[command(after_help = "Example:\n  leveret vhost delete shop --yes")]
    Delete {
        #[arg(value_name = "VHOST")]
        vhost: String,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Has a vhost refuse to be deleted.
    #[command(after_help = "Example:\n  leveret vhost protect shop")]
    Protect {
        #[arg(value_name = "VHOST")]
        vhost: String,
    },
    /// Has a vhost obey again who deletes it.
    #[command(after_help = "Example:\n  leveret vhost unprotect shop")]
    Unprotect {
        #[arg(value_name = "VHOST")]
        vhost: String,
    },
}

const COLUMNS: &[Column] = &[
    column("name", "name", "NAME", Kind::Text),
    column("description", "description", "DESCRIPTION", Kind::Text),
    column("tags", "tags", "TAGS", Kind::Words),
    column("default_queue_type", "default_queue_type", "DEFAULT QUEUE TYPE", Kind::Text),
    column("ready", "messages_ready", "READY", Kind::Count),
    column("unacked", "messages_unacknowledged", "UNACKED", Kind::Count),
    column("messages", "messages", "MESSAGES", Kind::Count),
    further("tracing", "tracing", "TRACING", Kind::Flag),
    further("protected", "protected_from_deletion", "PROTECTED", Kind::Flag),
];

impl Vhost {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::List { list } => return list.run(connect, COLUMNS, &Source::Listed(Path::api("vhosts"))),
            Verb::Show { vhost, shape } => {
                let found = connect.broker()?.get(path(&vhost));
                let found = found.map_err(|failure| failure.about(described(&vhost)))?;
                connect.show(&shape, COLUMNS, &found)?;
            }
            Verb::Add { vhost, description, tags, default_queue_type } => {
                let mut body = Map::new();
                if let Some(description) = description {
                    body.insert("description".to_owned(), description.into());
                }
                if !tags.is_empty() {
                    body.insert("tags".to_owned(), tags.into());
                }
                if let Some(kind) = default_queue_type {
                    body.insert("default_queue_type".to_owned(), kind.into());
                }
                let reply = connect
                    .broker()?
                    .send(Method::PUT, path(&vhost), Some(&Value::Object(body)))?
                    .accepted()?;
                let done = if reply.status == 201 { "added" } else { "changed; it was there already" };
                connect.say(&format!("The vhost '{vhost}' is {done}."))?;
            }
            Verb::Delete { vhost, confirm } => {
                let broker = connect.broker()?;
                let found = broker.get(path(&vhost)).map_err(|failure| failure.about(described(&vhost)))?;
                let messages = find(&found, "messages").and_then(Value::as_u64).unwrap_or_default();
                confirm.ask(&format!(
                    "Delete {} with all that is in it, {} too?",
                    described(&vhost),
                    counted(messages, "message")
                ))?;
                let reply = broker.send(Method::DELETE, path(&vhost), None)?;
                reply.accepted().map_err(|failure| failure.about(described(&vhost)))?;
                connect.say(&format!("Deleted {}.", described(&vhost)))?;
            }
            Verb::Protect { vhost } => protect(connect, &vhost, Method::POST, "refuses to be deleted now")?,
            Verb::Unprotect { vhost } => protect(connect, &vhost, Method::DELETE, "can be deleted now")?,
        }
        Ok(Done::Yes)
    }
}

fn protect(connect: &Connect, vhost: &str, method: Method, done: &str) -> Result<(), Failure> {
    let reply = connect.broker()?.send(method, path(vhost).fixed("deletion/protection"), None)?;
    reply.accepted().map_err(|failure| failure.about(described(vhost)))?;
    connect.say(&format!("The vhost '{vhost}' {done}."))
}

fn path(vhost: &str) -> Path {
    Path::api("vhosts").segment(vhost)
}

fn described(vhost: &str) -> String {
    format!("the vhost '{vhost}'")
}
