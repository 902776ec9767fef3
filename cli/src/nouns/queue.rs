//! `leveret queue`: what is in queues, and which there are.

use std::io;
use std::thread;
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::Done;
use super::list::{ListOptions, Source};
use super::options::{Confirm, Connect, InVhost, OfVhost, Shape, argument, seconds};
use super::progress::Progress;
use crate::broker::{Broker, Failure, Path};
use crate::output::{Column, Format, Kind, Rows, column, counted, find, further};

#[derive(Debug, Args)]
pub struct Queue {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists queues, with how much is in them.
    #[command(after_help = "Examples:\n  leveret queue list --sort -messages --limit 10\n  \
        leveret queue list -p shop --format json --columns name,messages,consumers")]
    List {
        #[command(flatten)]
        of: OfVhost,
        #[command(flatten)]
        list: ListOptions,
    },
    /// Shows a queue.
    #[command(after_help = "Example:\n  leveret queue show orders")]
    Show {
        #[arg(value_name = "QUEUE")]
        queue: String,
        #[command(flatten)]
        of: InVhost,
        #[command(flatten)]
        shape: Shape,
    },
    /// Declares a queue; one that is there already has to be the same.
    #[command(after_help = "Examples:\n  leveret queue declare orders\n  \
        leveret queue declare orders --type quorum --argument x-max-length=100000")]
    Declare {
        #[arg(value_name = "QUEUE")]
        queue: String,
        #[command(flatten)]
        of: InVhost,
        /// classic or quorum; by default the vhost's.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// It is gone after a restart.
        #[arg(long)]
        transient: bool,
        /// It is deleted once its last consumer is gone.
        #[arg(long)]
        auto_delete: bool,
        /// A further argument, as x-message-ttl=60000; several times for several.
        #[arg(long = "argument", value_name = "NAME=VALUE", value_parser = argument)]
        arguments: Vec<(String, Value)>,
    },
    /// Deletes queues with all that is in them.
    #[command(after_help = "Examples:\n  leveret queue delete orders --if-empty\n  \
        leveret queue delete --matching '^tmp\\.' --dry-run")]
    Delete {
        #[command(flatten)]
        which: Which,
        /// Only where nothing is in it.
        #[arg(long)]
        if_empty: bool,
        /// Only where nobody consumes from it.
        #[arg(long)]
        if_unused: bool,
    },
    /// Deletes the messages that are ready in queues.
    #[command(after_help = "Example:\n  leveret queue purge orders --yes")]
    Purge {
        #[command(flatten)]
        which: Which,
    },
    /// Shows again and again how much is in a queue, and how fast it fills and drains.
    #[command(after_help = "Example:\n  leveret queue watch orders --every 1 --until-empty")]
    Watch {
        #[arg(value_name = "QUEUE")]
        queue: String,
        #[command(flatten)]
        of: InVhost,
        #[command(flatten)]
        shape: Shape,
        /// Seconds from one look to the next.
        #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
        every: Duration,
        /// Ends once nothing is in it any more.
        #[arg(long)]
        until_empty: bool,
    },
}

/// Queues by their names, or by what their names look like.
#[derive(Debug, Args)]
struct Which {
    #[arg(value_name = "QUEUE", required_unless_present = "matching")]
    queues: Vec<String>,
    /// Those whose names match this expression.
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "queues")]
    matching: Option<String>,
    #[command(flatten)]
    of: InVhost,
    /// Says which queues it would be, and does nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: Confirm,
}

pub(super) const COLUMNS: &[Column] = &[
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("name", "name", "NAME", Kind::Text),
    column("type", "type", "TYPE", Kind::Text),
    column("ready", "messages_ready", "READY", Kind::Count),
    column("unacked", "messages_unacknowledged", "UNACKED", Kind::Count),
    column("messages", "messages", "MESSAGES", Kind::Count),
    column("consumers", "consumers", "CONSUMERS", Kind::Count),
    further("publish_rate", "message_stats.publish_details.rate", "IN", Kind::Rate),
    further("deliver_rate", "message_stats.deliver_get_details.rate", "OUT", Kind::Rate),
    further("ack_rate", "message_stats.ack_details.rate", "ACK", Kind::Rate),
    further("bytes", "message_bytes", "BYTES", Kind::Bytes),
    further("memory", "memory", "MEMORY", Kind::Bytes),
    further("state", "state", "STATE", Kind::Text),
    further("durable", "durable", "DURABLE", Kind::Flag),
    further("auto_delete", "auto_delete", "AUTO-DELETE", Kind::Flag),
    further("exclusive", "exclusive", "EXCLUSIVE", Kind::Flag),
    further("policy", "policy", "POLICY", Kind::Text),
    further("operator_policy", "operator_policy", "OPERATOR POLICY", Kind::Text),
    further("arguments", "arguments", "ARGUMENTS", Kind::Arguments),
];

/// What is said of one queue.
const DETAILS: &[Column] = &[
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("name", "name", "NAME", Kind::Text),
    column("type", "type", "TYPE", Kind::Text),
    column("state", "state", "STATE", Kind::Text),
    column("ready", "messages_ready", "READY", Kind::Count),
    column("unacked", "messages_unacknowledged", "UNACKED", Kind::Count),
    column("messages", "messages", "MESSAGES", Kind::Count),
    column("bytes", "message_bytes", "BYTES", Kind::Bytes),
    column("consumers", "consumers", "CONSUMERS", Kind::Count),
    column("publish_rate", "message_stats.publish_details.rate", "IN", Kind::Rate),
    column("deliver_rate", "message_stats.deliver_get_details.rate", "OUT", Kind::Rate),
    column("ack_rate", "message_stats.ack_details.rate", "ACK", Kind::Rate),
    column("memory", "memory", "MEMORY", Kind::Bytes),
    column("durable", "durable", "DURABLE", Kind::Flag),
    column("auto_delete", "auto_delete", "AUTO-DELETE", Kind::Flag),
    column("exclusive", "exclusive", "EXCLUSIVE", Kind::Flag),
    column("policy", "policy", "POLICY", Kind::Text),
    column("operator_policy", "operator_policy", "OPERATOR POLICY", Kind::Text),
    column("definition", "effective_policy_definition", "DEFINITION", Kind::Arguments),
    column("arguments", "arguments", "ARGUMENTS", Kind::Arguments),
];

/// What is looked at again and again.
const WATCHED: &[Column] = &[
    column("ready", "messages_ready", "READY", Kind::Count),
    column("unacked", "messages_unacknowledged", "UNACKED", Kind::Count),
    column("messages", "messages", "MESSAGES", Kind::Count),
    column("consumers", "consumers", "CONSUMERS", Kind::Count),
    column("publish_rate", "message_stats.publish_details.rate", "IN", Kind::Rate),
    column("deliver_rate", "message_stats.deliver_get_details.rate", "OUT", Kind::Rate),
    column("ack_rate", "message_stats.ack_details.rate", "ACK", Kind::Rate),
];

impl Queue {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::List { of, list } => {
                let path = Path::api("queues");
                let path = of.vhost.iter().fold(path, |path, vhost| path.segment(vhost));
                list.run(connect, COLUMNS, &Source::Listed(path))
            }
            Verb::Show { queue, of, shape } => {
                let found = look(&connect.broker()?, &of.vhost, &queue)?;
                connect.show(&shape, DETAILS, &found)?;
                Ok(Done::Yes)
            }
            Verb::Declare { queue, of, kind, transient, auto_delete, arguments } => {
                let mut arguments: Map<String, Value> = arguments.into_iter().collect();
                if let Some(kind) = kind {
                    arguments.insert("x-queue-type".to_owned(), kind.into());
                }
                let body = json!({"durable": !transient, "auto_delete": auto_delete, "arguments": arguments});
                let reply = connect.broker()?.send(Method::PUT, path(&of.vhost, &queue), Some(&body))?;
                let reply =
                    reply.accepted().map_err(|failure| failure.about(format!("the vhost '{}'", of.vhost)))?;
                let done = if reply.status == 201 { "is declared" } else { "was there already, the same" };
                connect.say(&format!("The {} {done}.", described(&of.vhost, &queue)))?;
                Ok(Done::Yes)
            }
            Verb::Delete { which, if_empty, if_unused } => which.each(connect, "Delete", |broker, name| {
                let mut path = path(&which.of.vhost, name);
                for (name, is_set) in [("if-empty", if_empty), ("if-unused", if_unused)] {
                    if is_set {
                        path = path.query(name, "true");
                    }
                }
                broker.send(Method::DELETE, path, None)?.accepted().map(drop)
            }),
            Verb::Purge { which } => which.each(connect, "Purge", |broker, name| {
                let path = path(&which.of.vhost, name).fixed("contents");
                broker.send(Method::DELETE, path, None)?.accepted().map(drop)
            }),
            Verb::Watch { queue, of, shape, every, until_empty } => {
                watch(connect, &of.vhost, &queue, &shape, every, until_empty)
            }
        }
    }
}

impl Which {
    /// Does this to each of them, if it is meant.
    fn each(
        &self,
        connect: &Connect,
        what: &str,
        act: impl Fn(&Broker, &str) -> Result<(), Failure>,
    ) -> Result<Done, Failure> {
        let broker = connect.broker()?;
        let vhost = &self.of.vhost;
        let names = match &self.matching {
            None => self.queues.clone(),
            Some(expression) => matching(&broker, vhost, expression)?,
        };
        if self.dry_run {
            for name in &names {
                look(&broker, vhost, name)?;
                connect.print(name)?;
            }
            return Ok(Done::Yes);
        }
        let done = format!("{what}d");
        match &names[..] {
            [] => {
                connect.say("There is no such queue.")?;
                return Ok(Done::Yes);
            }
            [name] => {
                let found = look(&broker, vhost, name)?;
                let messages = find(&found, "messages").and_then(Value::as_u64).unwrap_or_default();
                self.confirm.ask(&format!(
                    "{what} the {} with {}?",
                    described(vhost, name),
                    counted(messages, "message")
                ))?;
            }
            names => self.confirm.ask(&format!("{what} {} queues in vhost '{vhost}'?", names.len()))?,
        }
        let mut progress = Progress::of(names.len(), connect.quiet);
        for name in &names {
            act(&broker, name).map_err(|failure| failure.about(format!("the {}", described(vhost, name))))?;
            progress.step();
        }
        progress.finish();
        match &names[..] {
            [name] => connect.say(&format!("{done} the {}.", described(vhost, name)))?,
            names => connect.say(&format!("{done} {} queues in vhost '{vhost}'.", names.len()))?,
        }
        Ok(Done::Yes)
    }
}

/// The names of a vhost's queues that match an expression. As many as there are queues; nothing else of them is held.
fn matching(broker: &Broker, vhost: &str, expression: &str) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for number in 1.. {
        let path = Path::api("queues").segment(vhost).query("columns", "name").query("disable_stats", "true");
        let path = path.query("name", expression).query("use_regex", "true").query("page_size", "500");
        let page = broker.get(path.query("page", &number.to_string()))?;
        let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        names.extend(items.iter().filter_map(|item| item["name"].as_str().map(str::to_owned)));
        if page["page_count"].as_u64().unwrap_or_default() <= number {
            break;
        }
    }
    Ok(names)
}

fn watch(
    connect: &Connect,
    vhost: &str,
    queue: &str,
    shape: &Shape,
    every: Duration,
    until_empty: bool,
) -> Result<Done, Failure> {
    let broker = connect.broker()?;
    let chosen = shape.chosen(WATCHED)?;
    let style = shape.style(connect.quiet, Format::Tsv);
    let mut rows = Rows::live(io::stdout(), style, chosen);
    loop {
        let found = look(&broker, vhost, queue)?;
        rows.push(&found).and_then(|()| rows.flush()).map_err(Failure::output)?;
        if until_empty && find(&found, "messages").and_then(Value::as_u64) == Some(0) {
            rows.finish().map_err(Failure::output)?;
            return Ok(Done::Yes);
        }
        thread::sleep(every);
    }
}

fn look(broker: &Broker, vhost: &str, queue: &str) -> Result<Value, Failure> {
    broker
        .get(path(vhost, queue))
        .map_err(|failure| failure.about(format!("the {}", described(vhost, queue))))
}

fn path(vhost: &str, queue: &str) -> Path {
    Path::api("queues").segment(vhost).segment(queue)
}

fn described(vhost: &str, queue: &str) -> String {
    format!("queue '{queue}' in vhost '{vhost}'")
}
