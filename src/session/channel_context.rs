//! One channel at work, with what its connection shares and the context of the session. Method modules add what they
//! do to it; here are only its parts and the way of a frame into it.

use std::collections::HashMap;

use bytes::BytesMut;
use foldhash::fast::FixedState;
use leveret_codec::frame::{Frame, FrameKind};
use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::method::{Method, MethodId, method_id, parse_method};
use leveret_codec::table::FieldTable;

use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::counters::{ChannelCount, ConsumerCount};
use crate::model::fault::{Fault, ReplyCode};
use crate::model::holdings::Holdings;
use crate::model::ids::{ChannelNumber, ConsumerNumber, Name, QueueRef};
use crate::model::names::NameSource;
use crate::model::port::BrokerPort;

use super::channel::{Channel, ChannelMode};
use super::client::ClientInfo;
use super::context::Context;
use super::failure::{Failure, undecodable, unexpected_frame, unimplemented};
use super::frames::Frames;
use super::held::Held;
use super::pending_request::PendingRequest;
use super::tally::ConnectionTally;
use super::unacked::AdjacentRange;

/// What the channels of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub vhost: Name,
    pub client: ClientInfo,
    /// All consumers of the connection.
    pub consumers: HashMap<ConsumerNumber, Consumer, FixedState>,
    pub last_consumer: u32,
    pub names: NameSource,
    /// Envelopes and small bodies of messages are written here, many to an allocation.
    pub arena: BytesMut,
    /// What the connection waits for; no further input is acted on until it came.
    pub pending: Option<PendingRequest>,
    /// Channels whose confirms want flushing.
    pub dirty: Vec<ChannelNumber>,
    /// The settlement of single tags that still grows.
    pub gathered: Option<Gathered>,
    /// Contents begun and transactions not committed.
    pub held: Held,
    pub counts: ConnectionTally,
}

/// A consumer as its connection knows it.
#[derive(Debug)]
pub(super) struct Consumer {
    pub channel: ChannelNumber,
    pub tag: Name,
    /// None: direct replies.
    pub queue: Option<QueueRef>,
    /// What the client called the queue.
    pub queue_name: Name,
    pub no_ack: bool,
    pub counts: ConsumerCount,
    /// How it was asked for.
    pub options: ConsumeOptions,
    /// None where there are none.
    pub arguments: Option<Box<FieldTable>>,
}

/// A run of deliveries that were settled one by one, and alike.
#[derive(Debug)]
pub(super) struct Gathered {
    pub run: AdjacentRange,
    pub settlement: Settlement,
}

impl Shared {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Shared {
            vhost: _,
            client: _,
            consumers,
            last_consumer: _,
            names: _,
            arena,
            pending,
            dirty,
            gathered,
            held,
            counts,
        } = self;
        into.in_use("session: consumers", consumers);
        into.in_transit("session: arena", &(arena.len(), 0));
        into.in_transit("session: pending request", pending);
        into.in_transit("session: channels with confirms", dirty);
        into.in_transit("session: settlements gathered", gathered);
        into.in_use("session: begun and not ended", &held.bytes());
        counts.holdings(into);
    }

    /// A number no consumer of this connection had.
    pub(super) fn next_consumer(&mut self) -> ConsumerNumber {
        self.last_consumer = self.last_consumer.wrapping_add(1);
        ConsumerNumber(self.last_consumer)
    }

    /// The channel has confirms to send at the end of the batch.
    pub(super) fn note_dirty(&mut self, channel: ChannelNumber) {
        if self.dirty.last() != Some(&channel) {
            self.dirty.push(channel);
        }
    }
}

pub(super) struct ChannelContext<'a, P> {
    pub number: ChannelNumber,
    pub channel: &'a mut Channel,
    pub shared: &'a mut Shared,
    pub out: &'a mut Context<P>,
}

/// What becomes of the channel after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChannelOutcome {
    Goes,
    /// The client closed it; it is gone.
    Closed,
}

impl<P: BrokerPort> ChannelContext<'_, P> {
    /// Acts on a frame that lies in `buffer`.
    pub(super) fn frame(&mut self, frame: Frame<'_>, buffer: &Frames) -> Result<ChannelOutcome, Failure> {
        let complete = match frame.kind {
            FrameKind::Method => return self.method_frame(frame.payload),
            FrameKind::Header => {
                let most = self.out.limits.max_message_size;
                self.channel.content.header(frame.payload, most)?
            }
            FrameKind::Body => {
                let shares = self.shares_buffer(frame.payload.len());
                self.channel.content.body(frame.payload, buffer, shares)?
            }
            FrameKind::Heartbeat => {
                return Err(unexpected_frame(format!("heartbeat on channel {}", frame.channel)));
            }
        };
        let done = if complete { self.publish() } else { self.hold_content() };
        done.map_err(|fault| Failure::new(fault, super::content::PUBLISH))?;
        Ok(ChannelOutcome::Goes)
    }

    /// Whether a part of a body, of so many bytes, would keep a buffer in memory that it shares with what others have begun.
    fn shares_buffer(&self, len: usize) -> bool {
        let content = &self.channel.content;
        self.shared.held.bytes() > content.counted && content.awaits_more_than(len)
    }

    /// Counts what of the content was received since the last time; 311 where the connection holds too much.
    fn hold_content(&mut self) -> Result<(), Fault> {
        let content = &mut self.channel.content;
        let fresh = content.bytes() - content.counted;
        if fresh == 0 {
            return Ok(());
        }
        self.shared.held.add(fresh)?;
        content.counted += fresh;
        Ok(())
    }

    fn method_frame(&mut self, payload: &[u8]) -> Result<ChannelOutcome, Failure> {
        self.channel.content.expect_method()?;
        let method = parse_method(payload).map_err(|error| undecodable(&error, payload))?;
        let id = method_id(payload).unwrap_or(MethodId::NONE);
        self.method(method, payload, id).map_err(|fault| Failure::new(fault, id))
    }

    fn method(&mut self, method: Method<'_>, payload: &[u8], id: MethodId) -> Result<ChannelOutcome, Fault> {
        match method {
            Method::Publish(publish) if publish.immediate => {
                return Err(Fault::not_implemented("immediate=true"));
            }
            Method::Publish(publish) => self.channel.content.begin(&publish),
            Method::Ack { delivery_tag, multiple } => self.ack(delivery_tag, multiple)?,
            Method::Nack { delivery_tag, multiple, requeue } => self.nack(delivery_tag, multiple, requeue)?,
            Method::Reject { delivery_tag, requeue } => self.reject(delivery_tag, requeue)?,
            Method::Other(class) => return self.class(*class, payload, id),
        }
        Ok(ChannelOutcome::Goes)
    }

    fn class(&mut self, class: AMQPClass, payload: &[u8], id: MethodId) -> Result<ChannelOutcome, Fault> {
        match class {
            AMQPClass::Channel(method) => return self.channel_method(&method),
            AMQPClass::Basic(method) => self.basic_method(method, payload, id)?,
            AMQPClass::Exchange(method) => self.exchange_method(method, id)?,
            AMQPClass::Queue(method) => self.queue_method(method, id)?,
            AMQPClass::Confirm(method) => self.confirm_method(&method)?,
            AMQPClass::Tx(method) => self.tx_method(&method)?,
            AMQPClass::Access(method) => self.access_method(&method)?,
            AMQPClass::Connection(_) => return Err(unimplemented()),
        }
        Ok(ChannelOutcome::Goes)
    }

    /// Sends the confirms that became due.
    pub(super) fn flush_confirms(&mut self) {
        if let ChannelMode::Confirm(confirms) = &mut self.channel.mode {
            let accepted = confirms.flush(self.number, &mut self.out.output);
            self.channel.counts.add(ChannelCount::Confirm, accepted);
        }
    }

    /// Answers on this channel.
    pub(super) fn say(&mut self, method: &AMQPClass) {
        self.out.say(self.number, method);
    }

    /// The queue a method names: an empty name is the one declared last on this channel, 404 where there is none
    /// (semantics 6.2).
    pub(super) fn named_queue(&self, name: &str) -> Result<Name, Fault> {
        if !name.is_empty() {
            return Ok(Name::from(name));
        }
        let missing = || Fault::new(ReplyCode::NotFound, "no previously declared queue");
        self.channel.last_queue.clone().ok_or_else(missing)
    }
}
