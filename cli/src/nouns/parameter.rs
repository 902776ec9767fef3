//! `leveret parameter`: parameters of vhosts by component, and global ones.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::Done;
use super::list::{ListOptions, Source};
use super::options::{Confirm, Connect, InVhost, OfVhost};
use crate::broker::{Failure, Path};
use crate::output::{Column, Kind, column};

#[derive(Debug, Args)]
pub struct Parameter {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists the parameters of vhosts, or the global ones.
    #[command(after_help = "Examples:\n  leveret parameter list -p shop\n  leveret parameter list --global")]
    List {
        #[command(flatten)]
        of: OfVhost,
        /// The global ones.
        #[arg(long, conflicts_with = "vhost")]
        global: bool,
        #[command(flatten)]
        list: ListOptions,
    },
    /// Sets a parameter.
    #[command(after_help = "Example:\n  leveret parameter set cluster_tags '{\"region\": \"north\"}'")]
    Set {
        name: String,
        /// As JSON.
        #[arg(value_parser = json)]
        value: Value,
        #[command(flatten)]
        which: Which,
    },
    /// Deletes a parameter.
    #[command(after_help = "Example:\n  leveret parameter delete cluster_tags --yes")]
    Delete {
        name: String,
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        confirm: Confirm,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// What it is a parameter of, in the vhost; without it it is a global one.
    #[arg(long, value_name = "COMPONENT")]
    component: Option<String>,
    #[command(flatten)]
    of: InVhost,
}

const COLUMNS: &[Column] = &[
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("component", "component", "COMPONENT", Kind::Text),
    column("name", "name", "NAME", Kind::Text),
    column("value", "value", "VALUE", Kind::Arguments),
];

const GLOBAL_COLUMNS: &[Column] =
    &[column("name", "name", "NAME", Kind::Text), column("value", "value", "VALUE", Kind::Arguments)];

impl Parameter {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::List { global: true, list, .. } => {
                return list.run(connect, GLOBAL_COLUMNS, &Source::Listed(Path::api("global-parameters")));
            }
            Verb::List { of: OfVhost { vhost: None }, list, .. } => {
                return list.run(connect, COLUMNS, &Source::Listed(Path::api("parameters")));
            }
            Verb::List { of: OfVhost { vhost: Some(vhost) }, list, .. } => {
                let of_vhost = |broker: &crate::broker::Broker| {
                    let all = broker.get(Path::api("parameters"))?;
                    let all = all.as_array().into_iter().flatten();
                    Ok(all.filter(|parameter| parameter["vhost"] == *vhost).cloned().collect())
                };
                return list.run(connect, COLUMNS, &Source::Made(&of_vhost));
            }
            Verb::Set { name, value, which } => {
                let reply =
                    connect.broker()?.send(Method::PUT, which.path(&name), Some(&json!({"value": value})))?;
                reply
                    .accepted()
                    .map_err(|failure| failure.about(format!("the vhost '{}'", which.of.vhost)))?;
                connect.say(&format!("The parameter '{name}' is set."))?;
            }
            Verb::Delete { name, which, confirm } => {
                confirm.ask(&format!("Delete the parameter '{name}'?"))?;
                let reply = connect.broker()?.send(Method::DELETE, which.path(&name), None)?;
                reply.accepted().map_err(|failure| failure.about(format!("the parameter '{name}'")))?;
                connect.say(&format!("Deleted the parameter '{name}'."))?;
            }
        }
        Ok(Done::Yes)
    }
}

impl Which {
    fn path(&self, name: &str) -> Path {
        match &self.component {
            Some(component) => {
                Path::api("parameters").segment(component).segment(&self.of.vhost).segment(name)
            }
            None => Path::api("global-parameters").segment(name),
        }
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("this is no JSON ({error}); a text is written as in '\"text\"'"))
}
