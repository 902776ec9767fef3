//! `leveret permission`: what users may do in vhosts, and with which routing keys.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use super::Done;
use super::list::{ListOptions, Source};
use super::options::{Confirm, Connect, InVhost, OfVhost};
use crate::broker::{Failure, Path};
use crate::output::{Column, Kind, column};

#[derive(Debug, Args)]
pub struct Permission {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists who may do what in which vhost.
    #[command(
        after_help = "Examples:\n  leveret permission list -p shop\n  leveret permission list --user billing"
    )]
    List {
        #[command(flatten)]
        of: OfVhost,
        /// Those of this user.
        #[arg(long, value_name = "USER", conflicts_with = "vhost")]
        user: Option<String>,
        /// Topic permissions instead: which routing keys may be used with which exchange.
        #[arg(long)]
        topic: bool,
        #[command(flatten)]
        list: ListOptions,
    },
    /// Says what a user may configure, write to and read from in a vhost, each as an expression for names.
    #[command(after_help = "Example:\n  leveret permission set billing '' '^orders$' '^orders\\.' -p shop")]
    Set {
        user: String,
        configure: String,
        write: String,
        read: String,
        #[command(flatten)]
        of: InVhost,
    },
    /// Takes from a user all permissions in a vhost.
    #[command(after_help = "Example:\n  leveret permission clear billing -p shop --yes")]
    Clear {
        user: String,
        #[command(flatten)]
        of: InVhost,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Says with which routing keys a user may write to and read from an exchange.
    #[command(
        after_help = "Example:\n  leveret permission set-topic billing events '^order\\.' '^order\\.' -p shop"
    )]
    SetTopic {
        user: String,
        exchange: String,
        write: String,
        read: String,
        #[command(flatten)]
        of: InVhost,
    },
    /// Lets a user use all routing keys again, with one exchange or all of a vhost.
    #[command(after_help = "Example:\n  leveret permission clear-topic billing events -p shop --yes")]
    ClearTopic {
        user: String,
        exchange: Option<String>,
        #[command(flatten)]
        of: InVhost,
        #[command(flatten)]
        confirm: Confirm,
    },
}

const COLUMNS: &[Column] = &[
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("user", "user", "USER", Kind::Text),
    column("configure", "configure", "CONFIGURE", Kind::Text),
    column("write", "write", "WRITE", Kind::Text),
    column("read", "read", "READ", Kind::Text),
];

const TOPIC_COLUMNS: &[Column] = &[
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("user", "user", "USER", Kind::Text),
    column("exchange", "exchange", "EXCHANGE", Kind::Text),
    column("write", "write", "WRITE", Kind::Text),
    column("read", "read", "READ", Kind::Text),
];

impl Permission {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::List { of, user, topic, list } => {
                let (kind, columns) =
                    if topic { ("topic-permissions", TOPIC_COLUMNS) } else { ("permissions", COLUMNS) };
                let path = match (of.vhost, user) {
                    (Some(vhost), _) => Path::api("vhosts").segment(&vhost).fixed(kind),
                    (None, Some(user)) => Path::api("users").segment(&user).fixed(kind),
                    (None, None) => Path::api(kind),
                };
                return list.run(connect, columns, &Source::Listed(path));
            }
            Verb::Set { user, configure, write, read, of } => {
                let body = json!({"configure": configure, "write": write, "read": read});
                let path = Path::api("permissions").segment(&of.vhost).segment(&user);
                let reply = connect.broker()?.send(Method::PUT, path, Some(&body))?;
                reply.accepted().map_err(|failure| failure.about(either(&user, &of.vhost)))?;
                connect
                    .say(&format!("The permissions of the user '{user}' in vhost '{}' are set.", of.vhost))?;
            }
            Verb::Clear { user, of, confirm } => {
                let thing = format!("permissions of the user '{user}' in vhost '{}'", of.vhost);
                confirm.ask(&format!("Clear all {thing}?"))?;
                let path = Path::api("permissions").segment(&of.vhost).segment(&user);
                let reply = connect.broker()?.send(Method::DELETE, path, None)?;
                reply.accepted().map_err(|failure| failure.about(either(&user, &of.vhost)))?;
                connect.say(&format!("Cleared all {thing}."))?;
            }
            Verb::SetTopic { user, exchange, write, read, of } => {
                let body = json!({"exchange": exchange, "write": write, "read": read});
                let path = Path::api("topic-permissions").segment(&of.vhost).segment(&user);
                let reply = connect.broker()?.send(Method::PUT, path, Some(&body))?;
                reply.accepted().map_err(|failure| failure.about(either(&user, &of.vhost)))?;
                let whose =
                    format!("the user '{user}' for the exchange '{exchange}' in vhost '{}'", of.vhost);
                connect.say(&format!("The topic permissions of {whose} are set."))?;
            }
            Verb::ClearTopic { user, exchange, of, confirm } => {
                let thing = format!("topic permissions of the user '{user}' in vhost '{}'", of.vhost);
                confirm.ask(&format!("Clear the {thing}?"))?;
                let path = Path::api("topic-permissions").segment(&of.vhost).segment(&user);
                let path = exchange.iter().fold(path, |path, exchange| path.segment(exchange));
                let reply = connect.broker()?.send(Method::DELETE, path, None)?;
                reply.accepted().map_err(|failure| failure.about(either(&user, &of.vhost)))?;
                connect.say(&format!("Cleared the {thing}."))?;
            }
        }
        Ok(Done::Yes)
    }
}

/// What may be missing.
fn either(user: &str, vhost: &str) -> String {
    format!("the user '{user}' or the vhost '{vhost}'")
}
