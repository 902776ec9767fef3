//! `leveret message`: one message in, a few out, by hand.

use std::io::{self, IsTerminal, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::Done;
use super::options::{Confirm, Connect, InVhost, Shape, argument};
use crate::broker::{Failure, Path};
use crate::output::{self, Column, Format, Rows, column, further};

/// How the API calls the exchange without a name.
const DEFAULT_EXCHANGE: &str = "amq.default";

#[derive(Debug, Args)]
pub struct Message {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Publishes a message, persistent, and says whether it reached a queue (exit code 1 where it did not).
    #[command(after_help = "Examples:\n  leveret message publish orders 'Hello World!'\n  \
        leveret message publish order.new --exchange events --property content_type=text/plain <order.txt")]
    Publish {
        /// The routing key; without --exchange the name of the queue.
        #[arg(value_name = "KEY")]
        key: String,
        /// What is in it; without it, it is read from standard input.
        #[arg(value_name = "BODY")]
        body: Option<String>,
        #[command(flatten)]
        of: InVhost,
        /// The exchange that it is published to.
        #[arg(long, value_name = "EXCHANGE", default_value = "")]
        exchange: String,
        /// A property, as content_type=text/plain, priority=5 or headers={"a":1}; several times for several.
        #[arg(long = "property", value_name = "NAME=VALUE", value_parser = argument)]
        properties: Vec<(String, Value)>,
        /// It is not kept over a restart.
        #[arg(long)]
        transient: bool,
    },
    /// Gets messages from a queue and puts them back where they were, or takes them (exit code 1 where there is none).
    #[command(
        after_help = "Examples:\n  leveret message get orders --count 5\n  leveret message get orders --take --format json"
    )]
    Get {
        #[arg(value_name = "QUEUE")]
        queue: String,
        #[command(flatten)]
        of: InVhost,
        /// How many at the most.
        #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
        /// They are taken from the queue, for good. Asks before.
        #[arg(long)]
        take: bool,
        /// Bytes of each body that are shown.
        #[arg(long, value_name = "BYTES", default_value_t = 50_000)]
        truncate: u32,
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        confirm: Confirm,
    },
}

const COLUMNS: &[Column] = &[
    column("exchange", "exchange", "EXCHANGE", output::Kind::Text),
    column("routing_key", "routing_key", "ROUTING KEY", output::Kind::Text),
    column("redelivered", "redelivered", "REDELIVERED", output::Kind::Flag),
    column("bytes", "payload_bytes", "BYTES", output::Kind::Bytes),
    column("body", "payload", "BODY", output::Kind::Text),
    further("encoding", "payload_encoding", "ENCODING", output::Kind::Text),
    further("properties", "properties", "PROPERTIES", output::Kind::Arguments),
    further("behind", "message_count", "BEHIND", output::Kind::Count),
];

impl Message {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::Publish { key, body, of, exchange, properties, transient } => {
                let body = body.map_or_else(from_input, |body| Ok(body.into_bytes()))?;
                let (payload, encoding) = String::from_utf8(body).map_or_else(
                    |bytes| (STANDARD.encode(bytes.as_bytes()), "base64"),
                    |text| (text, "string"),
                );
                let mut properties: Map<String, Value> = properties.into_iter().collect();
                properties.entry("delivery_mode").or_insert_with(|| if transient { 1 } else { 2 }.into());
                let request = json!({
                    "routing_key": key, "payload": payload, "payload_encoding": encoding, "properties": properties,
                });
                let name = if exchange.is_empty() { DEFAULT_EXCHANGE } else { &exchange };
                let path = Path::api("exchanges").segment(&of.vhost).segment(name).fixed("publish");
                let reply = connect.broker()?.send(Method::POST, path, Some(&request))?;
                let thing = format!("the exchange '{exchange}' in vhost '{}'", of.vhost);
                let is_routed =
                    reply.accepted().map_err(|failure| failure.about(thing))?.json()?["routed"] == true;
                if !is_routed {
                    eprintln!(
                        "leveret: no queue takes what is published to '{exchange}' with the key '{key}'"
                    );
                    return Ok(Done::No);
                }
                connect.say("The message is in a queue.")?;
                Ok(Done::Yes)
            }
            Verb::Get { queue, of, count, take, truncate, shape, confirm } => {
                let thing = format!("the queue '{queue}' in vhost '{}'", of.vhost);
                if take {
                    confirm.ask(&format!("Take up to {count} messages from {thing}, for good?"))?;
                }
                let mode = if take { "ack_requeue_false" } else { "ack_requeue_true" };
                let request =
                    json!({"count": count, "ackmode": mode, "encoding": "auto", "truncate": truncate});
                let path = Path::api("queues").segment(&of.vhost).segment(&queue).fixed("get");
                let reply = connect.broker()?.send(Method::POST, path, Some(&request))?;
                let got = reply.accepted().map_err(|failure| failure.about(&thing))?.json()?;
                let got = got.as_array().map(Vec::as_slice).unwrap_or_default();
                let style = shape.style(connect.quiet, Format::Tsv);
                let mut rows =
                    Rows::new(io::stdout().lock(), style, shape.chosen(COLUMNS)?, shape.is_whole());
                let written =
                    got.iter().try_for_each(|message| rows.push(message)).and_then(|()| rows.finish());
                written.map_err(Failure::output)?;
                Ok(if got.is_empty() { Done::No } else { Done::Yes })
            }
        }
    }
}

/// All of standard input. Somebody at a terminal is told how to end it.
fn from_input() -> Result<Vec<u8>, Failure> {
    let mut input = io::stdin();
    if input.is_terminal() {
        eprintln!("leveret: type the message, and end it with Ctrl-D at the beginning of a line");
    }
    let mut body = Vec::new();
    let read = input.read_to_end(&mut body);
    read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
    Ok(body)
}
