//! A published message on its way in: reply-to, routing, basic.return, confirm or transaction (semantics 9.1 to
//! 9.25, 15.2).

use std::sync::Arc;

use bytes::BytesMut;
use leveret_codec::properties::{Field, Properties, encode_short_string};
use leveret_codec::write::Content;

use crate::model::counters::ChannelCount;
use crate::model::event::ConfirmToken;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::message::{Message, Origin};
use crate::model::port::{BrokerPort, RoutedPublish};
use crate::session::channel::ChannelMode;
use crate::session::channel_context::ChannelContext;
use crate::session::consumers::REPLY_TO;

/// Bytes taken at a time for envelopes and small bodies: a BytesMut grows on by what it began with.
const ARENA: usize = 16 * 1024;

impl<P: BrokerPort> ChannelContext<'_, P> {
    /// The content of a basic.publish is complete.
    pub(in crate::session) fn publish(&mut self) -> Result<(), Fault> {
        self.shared.held.subtract(std::mem::take(&mut self.channel.content.counted));
        self.out.tally.published += 1;
        let published = self.channel.content.take();
        let mut properties = published.properties;
        let rewritten;
        if properties.reply_to() == Some(REPLY_TO.as_bytes()) {
            let reply = self.channel.direct_reply.as_ref();
            let reply = reply.ok_or_else(|| Fault::precondition("fast reply consumer does not exist"))?;
            let address = encode_short_string(reply.address.as_bytes());
            rewritten = properties.with(&[(Field::ReplyTo, Some(address))]);
            properties = Properties::trusted(&rewritten);
        }
        let mandatory = published.mandatory;
        if self.shared.arena.capacity() == 0 {
            self.shared.arena = BytesMut::with_capacity(ARENA);
        }
        let message = Message::new(
            &mut self.shared.arena,
            published.exchange,
            published.routing_key,
            properties,
            published.body,
            Origin::Client,
        );
        self.channel.content.recycle();
        let routed = self.out.port.route(self.out.now, self.number, Arc::new(message))?;
        self.count_publish(&routed);
        if let ChannelMode::Transaction(transaction) = &mut self.channel.mode {
            return transaction.keep(routed, mandatory, &mut self.shared.held);
        }
        self.send(routed, mandatory);
        Ok(())
    }

    /// Submits outside of a transaction. A return goes out before the confirm (semantics 9.5).
    fn send(&mut self, routed: RoutedPublish, mandatory: bool) {
        if routed.is_unroutable() {
            self.not_routed(&routed.message, mandatory);
        }
        let ChannelMode::Confirm(confirms) = &mut self.channel.mode else {
            if !routed.is_unroutable() {
                self.out.port.submit(routed, None);
            }
            return;
        };
        let token = ConfirmToken {
            channel: self.number,
            epoch: self.channel.epoch,
            sequence: confirms.next_sequence(),
        };
        let waiting = if routed.is_unroutable() { 0 } else { self.out.port.submit(routed, Some(token)) };
        confirms.published(waiting);
        if waiting == 0 {
            self.shared.note_dirty(self.number);
        }
    }

    /// Counts a message that reaches nobody, and gives it back where the publisher wants that.
    pub(in crate::session) fn not_routed(&mut self, message: &Message, mandatory: bool) {
        if mandatory {
            self.channel.counts.add(ChannelCount::ReturnUnroutable, 1);
            self.give_back(message);
        } else {
            self.channel.counts.add(ChannelCount::DropUnroutable, 1);
        }
    }

    fn count_publish(&mut self, routed: &RoutedPublish) {
        let to = (routed.queues.len() + routed.direct_replies.len()) as u64;
        let counts = &mut self.channel.counts;
        counts.add(ChannelCount::Publish, 1);
        counts.add(ChannelCount::Routed, to);
        if matches!(self.channel.mode, ChannelMode::Confirm(_)) {
            counts.add(ChannelCount::PublishConfirm, 1);
        }
        self.shared.counts.published(counts, routed.message.exchange(), routed.message.body().len(), to);
    }

    /// basic.return, 312 (semantics 9.5, 9.6).
    fn give_back(&mut self, message: &Message) {
        let body = message.body();
        self.out.output.basic_return(
            self.number,
            ReplyCode::NoRoute.number(),
            ReplyCode::NoRoute.name(),
            message.exchange(),
            message.routing_key(),
            Content { properties: message.properties(), body_len: body.len(), body: body.slices() },
            self.out.frame_max,
        );
    }
}
