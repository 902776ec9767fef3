//! Direct replies: each comes once, to the channel that asked and to no other, as long as that is open.

use std::collections::BTreeMap;

use leveret_codec::method::amqp::{AMQPClass, basic};
use leveret_codec::table::short_string;

use crate::client::{ChannelMode, Client, Expected, OwnChannel};
use crate::model::{ChannelSerial, MessageId, Model, Violation};
use crate::oracle::require;
use crate::reading::body;
use crate::wire::{Outgoing, REPLY_TO, publish_bytes};
use crate::workload::Around;

/// The tag of all consumers of replies.
pub(crate) const REPLIES: &str = "replies";

#[derive(Debug)]
struct Reply {
    /// On which channel it was sent.
    from: ChannelSerial,
    /// Who asked.
    to: ChannelSerial,
    /// Whether it has come.
    seen: bool,
}

/// All that were sent.
#[derive(Debug, Default)]
pub(crate) struct Replies(BTreeMap<MessageId, Reply>);

impl Client {
    /// Has a channel take direct replies.
    pub(crate) fn ask_for_replies(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let Some(channel) = self.channel(number).filter(|channel| !channel.reply_consumer) else {
            return String::new();
        };
        channel.reply_consumer = true;
        let consume = basic::Consume {
            queue: short_string(REPLY_TO),
            consumer_tag: short_string(REPLIES),
            no_ack: true,
            ..basic::Consume::default()
        };
        let method = AMQPClass::Basic(basic::AMQPMethod::Consume(consume));
        self.ask(around.broker, number, &method, Expected::Ok(60, 21));
        format!("takes replies on {number}")
    }

    /// Replies to a message it has seen, on a channel where nothing follows from that.
    pub(crate) fn reply(&mut self, around: &mut Around<'_>) -> String {
        let Some(link) = &self.link else { return String::new() };
        let plain =
            |(_, channel): &(&u16, &OwnChannel)| channel.mode == ChannelMode::Plain && !channel.closing;
        let Some((number, from)) =
            link.channels.iter().find(plain).map(|(number, own)| (*number, own.serial))
        else {
            return String::new();
        };
        let Some((address, to)) = self.addresses.pop() else { return String::new() };
        let id = around.model.issue();
        let told = format!("replies {id} to {address} on {number}");
        let reply = Outgoing {
            exchange: "",
            routing_key: &address,
            mandatory: false,
            persistent: false,
            priority: None,
            expiration: None,
            delay: None,
            asks: false,
            body: &body(id, 20),
        };
        self.write(around.broker, &publish_bytes(number, &reply));
        around.model.replies.0.insert(id, Reply { from, to, seen: false });
        told
    }
}

impl Model {
    /// A reply came.
    pub(crate) fn replied(
        &mut self,
        channel: ChannelSerial,
        tag: u64,
        id: MessageId,
    ) -> Result<(), Violation> {
        self.tag_passed(channel, tag)?;
        self.figures.replies += 1;
        let Some(reply) = self.replies.0.get_mut(&id) else {
            return Err(format!("reply {id} is invented: it was never sent"));
        };
        require(!std::mem::replace(&mut reply.seen, true), || format!("reply {id} comes twice"))?;
        require(reply.to == channel, || format!("reply {id} for channel {} comes to {channel}", reply.to))
    }

    /// Nothing is on its way: whoever asked and is still there has got all replies.
    pub(crate) fn check_replies(&self) -> Result<(), Violation> {
        let is_open = |channel: &ChannelSerial| self.channels.get(channel).is_some_and(|state| state.open);
        let missing = self
            .replies
            .0
            .iter()
            .find(|(_, reply)| !reply.seen && is_open(&reply.from) && is_open(&reply.to));
        match missing {
            Some((id, reply)) => Err(format!("reply {id} never came: {reply:?}")),
            None => Ok(()),
        }
    }
}
