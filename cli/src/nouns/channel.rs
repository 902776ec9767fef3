//! `leveret channel` and `leveret consumer`: what clients have open, and who takes from which queue.

use clap::{Args, Subcommand};
use hyper::Method;

use super::Done;
use super::list::{ListOptions, Source};
use super::options::{Confirm, Connect, OfVhost};
use crate::broker::{Failure, Path};
use crate::output::{Column, Kind, column, further};

#[derive(Debug, Args)]
pub struct Channel {
    #[command(subcommand)]
    verb: ChannelVerb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum ChannelVerb {
    /// Lists channels, with what they hold.
    #[command(after_help = "Example:\n  leveret channel list --sort -unacked --limit 10")]
    List {
        #[command(flatten)]
        of: OfVhost,
        #[command(flatten)]
        list: ListOptions,
    },
}

#[derive(Debug, Args)]
pub struct Consumer {
    #[command(subcommand)]
    verb: ConsumerVerb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum ConsumerVerb {
    /// Lists consumers, with the queues that they take from.
    #[command(after_help = "Example:\n  leveret consumer list -p shop --sort queue")]
    List {
        #[command(flatten)]
        of: OfVhost,
        #[command(flatten)]
        list: ListOptions,
    },
    /// Ends a consumer: its client is told, and what it holds goes on being its.
    #[command(
        after_help = "Example:\n  leveret consumer cancel '127.0.0.1:51234 -> 127.0.0.1:5672 (1)' ctag1 --yes"
    )]
    Cancel {
        /// The name of its channel, as `leveret consumer list` has it.
        channel: String,
        /// Its consumer tag.
        tag: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

const CHANNELS: &[Column] = &[
    column("name", "name", "NAME", Kind::Text),
    column("user", "user", "USER", Kind::Text),
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("consumers", "consumer_count", "CONSUMERS", Kind::Count),
    column("prefetch", "prefetch_count", "PREFETCH", Kind::Count),
    column("unacked", "messages_unacknowledged", "UNACKED", Kind::Count),
    column("unconfirmed", "messages_unconfirmed", "UNCONFIRMED", Kind::Count),
    column("publish_rate", "message_stats.publish_details.rate", "IN", Kind::Rate),
    column("deliver_rate", "message_stats.deliver_get_details.rate", "OUT", Kind::Rate),
    further("state", "state", "STATE", Kind::Text),
    further("uncommitted", "messages_uncommitted", "UNCOMMITTED", Kind::Count),
    further("acks_uncommitted", "acks_uncommitted", "ACKS UNCOMMITTED", Kind::Count),
    further("confirms", "confirm", "CONFIRMS", Kind::Flag),
    further("transactional", "transactional", "TRANSACTIONAL", Kind::Flag),
];

const CONSUMERS: &[Column] = &[
    column("vhost", "queue.vhost", "VHOST", Kind::Text),
    column("queue", "queue.name", "QUEUE", Kind::Text),
    column("tag", "consumer_tag", "TAG", Kind::Text),
    column("channel", "channel_details.name", "CHANNEL", Kind::Text),
    column("user", "channel_details.user", "USER", Kind::Text),
    column("prefetch", "prefetch_count", "PREFETCH", Kind::Count),
    column("acks", "ack_required", "ACKS", Kind::Flag),
    column("active", "active", "ACTIVE", Kind::Flag),
    further("exclusive", "exclusive", "EXCLUSIVE", Kind::Flag),
    further("arguments", "arguments", "ARGUMENTS", Kind::Arguments),
];

impl Channel {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let ChannelVerb::List { of, list } = self.verb;
        let path = of.vhost.map_or_else(
            || Path::api("channels"),
            |vhost| Path::api("vhosts").segment(&vhost).fixed("channels"),
        );
        list.run(&self.connect, CHANNELS, &Source::Listed(path))
    }
}

impl Consumer {
    pub(super) fn run(self) -> Result<Done, Failure> {
        match self.verb {
            ConsumerVerb::List { of, list } => {
                let path = Path::api("consumers");
                let path = of.vhost.iter().fold(path, |path, vhost| path.segment(vhost));
                list.run(&self.connect, CONSUMERS, &Source::Listed(path))
            }
            ConsumerVerb::Cancel { channel, tag, confirm } => {
                let thing = format!("the consumer '{tag}' of the channel '{channel}'");
                confirm.ask(&format!("Cancel {thing}?"))?;
                let path = Path::api("leveret/consumers").segment(&channel).segment(&tag);
                let reply = self.connect.broker()?.send(Method::DELETE, path, None)?;
                reply.accepted().map_err(|failure| failure.about(&thing))?;
                self.connect.say(&format!("Cancelled {thing}."))?;
                Ok(Done::Yes)
            }
        }
    }
}
