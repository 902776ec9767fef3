//! `leveret binding`: what leads from exchanges to queues and to other exchanges.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::Done;
use super::list::{ListOptions, Source};
use super::options::{Confirm, Connect, InVhost, OfVhost, argument};
use crate::broker::{Broker, Failure, Kind, Path};
use crate::output::{self, Column, column, further};

#[derive(Debug, Args)]
pub struct Binding {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists bindings.
    #[command(after_help = "Example:\n  leveret binding list -p shop --sort source")]
    List {
        #[command(flatten)]
        of: OfVhost,
        #[command(flatten)]
        list: ListOptions,
    },
    /// Binds a queue, or another exchange, to an exchange.
    #[command(after_help = "Example:\n  leveret binding declare events orders --key 'order.#'")]
    Declare {
        #[command(flatten)]
        ends: Ends,
        /// A further argument, as x-match=any; several times for several.
        #[arg(long = "argument", value_name = "NAME=VALUE", value_parser = argument)]
        arguments: Vec<(String, Value)>,
    },
    /// Deletes a binding, or all with this routing key and whatever arguments.
    #[command(after_help = "Example:\n  leveret binding delete events orders --key 'order.#' --yes")]
    Delete {
        #[command(flatten)]
        ends: Ends,
        #[command(flatten)]
        confirm: Confirm,
    },
}

#[derive(Debug, Args)]
struct Ends {
    /// The exchange that it leads from.
    source: String,
    /// The queue that it leads to.
    destination: String,
    #[command(flatten)]
    of: InVhost,
    /// The routing key.
    #[arg(long, value_name = "KEY", default_value = "")]
    key: String,
    /// It leads to an exchange of this name, not to a queue.
    #[arg(long)]
    to_exchange: bool,
}

const COLUMNS: &[Column] = &[
    column("vhost", "vhost", "VHOST", output::Kind::Text),
    column("source", "source", "SOURCE", output::Kind::Text),
    column("destination", "destination", "DESTINATION", output::Kind::Text),
    column("destination_type", "destination_type", "TO", output::Kind::Text),
    column("routing_key", "routing_key", "ROUTING KEY", output::Kind::Text),
    column("arguments", "arguments", "ARGUMENTS", output::Kind::Arguments),
    further("properties_key", "properties_key", "PROPERTIES KEY", output::Kind::Text),
];

impl Binding {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::List { of, list } => {
                let path = Path::api("bindings");
                let path = of.vhost.iter().fold(path, |path, vhost| path.segment(vhost));
                return list.run(connect, COLUMNS, &Source::Listed(path));
            }
            Verb::Declare { ends, arguments } => {
                let arguments: Map<String, Value> = arguments.into_iter().collect();
                let body = json!({"routing_key": ends.key, "arguments": arguments});
                let reply = connect.broker()?.send(Method::POST, ends.path(), Some(&body))?;
                reply.accepted().map_err(|failure| failure.about(ends.both()))?;
                connect.say(&format!("{} is declared.", ends.described("The")))?;
            }
            Verb::Delete { ends, confirm } => {
                let broker = connect.broker()?;
                let keys = ends.property_keys(&broker)?;
                if keys.is_empty() {
                    let what = format!("{} does not exist", ends.described("the"));
                    return Err(Failure::new(Kind::NotFound, what));
                }
                confirm.ask(&format!("Delete {}?", ends.described("the")))?;
                for key in keys {
                    let reply = broker.send(Method::DELETE, ends.path().segment(&key), None)?;
                    reply.accepted().map_err(|failure| failure.about(ends.described("the")))?;
                }
                connect.say(&format!("Deleted {}.", ends.described("the")))?;
            }
        }
        Ok(Done::Yes)
    }
}

impl Ends {
    fn path(&self) -> Path {
        let kind = if self.to_exchange { "e" } else { "q" };
        let path = Path::api("bindings").segment(&self.of.vhost).fixed("e").segment(&self.source);
        path.fixed(kind).segment(&self.destination)
    }

    /// By which the API knows the bindings with this routing key.
    fn property_keys(&self, broker: &Broker) -> Result<Vec<String>, Failure> {
        let found = broker.get(self.path()).map_err(|failure| failure.about(self.both()))?;
        let bindings = found.as_array().map(Vec::as_slice).unwrap_or_default();
        let with_key = bindings.iter().filter(|binding| binding["routing_key"] == *self.key);
        Ok(with_key.filter_map(|binding| binding["properties_key"].as_str().map(str::to_owned)).collect())
    }

    fn both(&self) -> String {
        let kind = if self.to_exchange { "exchange" } else { "queue" };
        let (source, destination) = (&self.source, &self.destination);
        format!("the exchange '{source}' or the {kind} '{destination}' in vhost '{}'", self.of.vhost)
    }

    fn described(&self, article: &str) -> String {
        let Ends { source, destination, key, .. } = self;
        format!("{article} binding from '{source}' to '{destination}' with the routing key '{key}'")
    }
}
