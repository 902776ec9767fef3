//! `leveret exchange`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::Done;
use super::list::{ListOptions, Source};
use super::options::{Confirm, Connect, InVhost, OfVhost, Shape, argument};
use crate::broker::{Failure, Path};
use crate::output::{Column, Kind, column, further};

#[derive(Debug, Args)]
pub struct Exchange {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists exchanges.
    #[command(after_help = "Example:\n  leveret exchange list -p shop --columns name,type")]
    List {
        #[command(flatten)]
        of: OfVhost,
        #[command(flatten)]
        list: ListOptions,
    },
    /// Shows an exchange.
    #[command(after_help = "Example:\n  leveret exchange show events")]
    Show {
        #[arg(value_name = "EXCHANGE")]
        exchange: String,
        #[command(flatten)]
        of: InVhost,
        #[command(flatten)]
        shape: Shape,
    },
    /// Declares an exchange; one that is there already has to be the same.
    #[command(after_help = "Example:\n  leveret exchange declare events --type topic")]
    Declare {
        #[arg(value_name = "EXCHANGE")]
        exchange: String,
        #[command(flatten)]
        of: InVhost,
        /// direct, fanout, topic, headers, or one of the further types.
        #[arg(long = "type", value_name = "TYPE", default_value = "direct")]
        kind: String,
        /// It is gone after a restart.
        #[arg(long)]
        transient: bool,
        /// It is deleted once nothing is bound to it any more.
        #[arg(long)]
        auto_delete: bool,
        /// Clients cannot publish to it: messages come from other exchanges alone.
        #[arg(long)]
        internal: bool,
        /// A further argument, as alternate-exchange=lost; several times for several.
        #[arg(long = "argument", value_name = "NAME=VALUE", value_parser = argument)]
        arguments: Vec<(String, Value)>,
    },
    /// Deletes an exchange with its bindings.
    #[command(after_help = "Example:\n  leveret exchange delete events --if-unused --yes")]
    Delete {
        #[arg(value_name = "EXCHANGE")]
        exchange: String,
        #[command(flatten)]
        of: InVhost,
        /// Only where nothing is bound to it.
        #[arg(long)]
        if_unused: bool,
        #[command(flatten)]
        confirm: Confirm,
    },
}

const COLUMNS: &[Column] = &[
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("name", "name", "NAME", Kind::Text),
    column("type", "type", "TYPE", Kind::Text),
    column("durable", "durable", "DURABLE", Kind::Flag),
    column("auto_delete", "auto_delete", "AUTO-DELETE", Kind::Flag),
    column("internal", "internal", "INTERNAL", Kind::Flag),
    column("policy", "policy", "POLICY", Kind::Text),
    column("arguments", "arguments", "ARGUMENTS", Kind::Arguments),
    further("publish_in_rate", "message_stats.publish_in_details.rate", "IN", Kind::Rate),
    further("publish_out_rate", "message_stats.publish_out_details.rate", "OUT", Kind::Rate),
];

impl Exchange {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::List { of, list } => {
                let path = Path::api("exchanges");
                let path = of.vhost.iter().fold(path, |path, vhost| path.segment(vhost));
                return list.run(connect, COLUMNS, &Source::Listed(path));
            }
            Verb::Show { exchange, of, shape } => {
                let found = connect.broker()?.get(path(&of.vhost, &exchange));
                let found = found.map_err(|failure| failure.about(described(&of.vhost, &exchange)))?;
                connect.show(&shape, COLUMNS, &found)?;
            }
            Verb::Declare { exchange, of, kind, transient, auto_delete, internal, arguments } => {
                let arguments: Map<String, Value> = arguments.into_iter().collect();
                let body = json!({
                    "type": kind, "durable": !transient, "auto_delete": auto_delete, "internal": internal,
                    "arguments": arguments,
                });
                let reply = connect.broker()?.send(Method::PUT, path(&of.vhost, &exchange), Some(&body))?;
                let reply =
                    reply.accepted().map_err(|failure| failure.about(format!("the vhost '{}'", of.vhost)))?;
                let done = if reply.status == 201 { "is declared" } else { "was there already, the same" };
                connect.say(&format!("{} {done}.", capital(&described(&of.vhost, &exchange))))?;
            }
            Verb::Delete { exchange, of, if_unused, confirm } => {
                let broker = connect.broker()?;
                let thing = described(&of.vhost, &exchange);
                let mut path = path(&of.vhost, &exchange);
                broker.get(path.clone()).map_err(|failure| failure.about(&thing))?;
                confirm.ask(&format!("Delete {thing}?"))?;
                if if_unused {
                    path = path.query("if-unused", "true");
                }
                broker
                    .send(Method::DELETE, path, None)?
                    .accepted()
                    .map_err(|failure| failure.about(&thing))?;
                connect.say(&format!("Deleted {thing}."))?;
            }
        }
        Ok(Done::Yes)
    }
}

fn path(vhost: &str, exchange: &str) -> Path {
    Path::api("exchanges").segment(vhost).segment(exchange)
}

fn described(vhost: &str, exchange: &str) -> String {
    format!("the exchange '{exchange}' in vhost '{vhost}'")
}

/// As it begins a sentence.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
