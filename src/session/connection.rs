//! An open connection: its channels, which frame goes to which of them, and what comes from the broker. How it opens
//! is in `handshake.rs`, how it closes in `closing.rs`.

use std::collections::{BTreeMap, HashMap};

use bytes::BytesMut;
use foldhash::fast::FixedState;
use leveret_codec::frame::{Frame, FrameKind};
use leveret_codec::method::amqp::{AMQPClass, channel, connection};
use leveret_codec::method::{Method, MethodId, method_id, parse_method};

use crate::model::consuming::Delivery;
use crate::model::event::ConfirmToken;
use crate::model::fault::{Fault, ReplyCode, Scope};
use crate::model::holdings::Holdings;
use crate::model::ids::{ChannelNumber, ConsumerNumber};
use crate::model::names::{NameSource, Seed};
use crate::model::port::BrokerPort;
use crate::model::request::Reply;

use super::channel::{Channel, ChannelMode};
use super::channel_context::{ChannelContext, ChannelOutcome, Shared};
use super::context::Context;
use super::delivering;
use super::failure::{
    Failure, heartbeat_with_payload, undecodable, undecodable_on_connection, unexpected_frame,
    unexpected_method,
};
use super::frames::Frames;
use super::handshake::Opened;
use super::held::Held;
use super::methods::COMMIT;
use super::pending_request::{PendingRequest, RequestKind};
use super::tally::ConnectionTally;

const CHANNEL_OPEN: MethodId = MethodId { class: 20, method: 10 };
const CHANNEL_CLOSE: MethodId = MethodId { class: 20, method: 40 };
const CHANNEL_CLOSE_OK: MethodId = MethodId { class: 20, method: 41 };

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) channels: BTreeMap<ChannelNumber, ChannelState>,
    channel_max: u16,
    last_epoch: u32,
    pub shared: Shared,
}

#[derive(Debug)]
pub(super) enum ChannelState {
    Open(Box<Channel>),
    /// We sent channel.close; all but its answer is swallowed (semantics 0.5).
    Closing,
}

/// What becomes of the connection after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionOutcome {
    Goes,
    /// The client asked to close it.
    ClientCloses,
}

impl Connection {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Connection { channels, channel_max: _, last_epoch: _, shared } = self;
        into.in_use("session: channels", channels);
        for slot in channels.values() {
            if let ChannelState::Open(channel) = slot {
                channel.holdings(into);
            }
        }
        shared.holdings(into);
    }

    pub(super) fn new(opened: Opened, seed: Seed, most_held: usize) -> Connection {
        Connection {
            channels: BTreeMap::new(),
            channel_max: opened.tuned.channel_max,
            last_epoch: 0,
            shared: Shared {
                vhost: opened.vhost,
                client: opened.client,
                consumers: HashMap::with_hasher(FixedState::default()),
                last_consumer: 0,
                names: NameSource::new(seed),
                arena: BytesMut::new(),
                pending: None,
                dirty: Vec::new(),
                gathered: None,
                held: Held::new(most_held),
                counts: ConnectionTally::default(),
            },
        }
    }

    /// How many channels are open or closing.
    #[cfg(test)]
    pub(super) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Whether a channel is open and in transaction mode.
    pub(super) fn is_transactional(&self, number: ChannelNumber) -> bool {
        match self.channels.get(&number) {
            Some(ChannelState::Open(channel)) => matches!(channel.mode, ChannelMode::Transaction(_)),
            _ => false,
        }
    }

    /// Whether the client is still to be told something of what it sent.
    pub(super) fn owes(&self) -> bool {
        let owes = |slot: &ChannelState| match slot {
            ChannelState::Open(channel) => match &channel.mode {
                ChannelMode::Confirm(confirms) => !confirms.is_settled(),
                ChannelMode::Plain | ChannelMode::Transaction(_) => false,
            },
            ChannelState::Closing => false,
        };
        self.shared.pending.is_some() || self.channels.values().any(owes)
    }

    /// Acts on a frame that lies in `buffer`. A failure that is returned closes the connection.
    pub(super) fn frame<P: BrokerPort>(
        &mut self,
        frame: Frame<'_>,
        buffer: &Frames,
        out: &mut Context<P>,
    ) -> Result<ConnectionOutcome, Failure> {
        if frame.channel == 0 {
            return self.connection_frame(frame, out);
        }
        match self.channels.get(&frame.channel) {
            Some(ChannelState::Open(_)) => {
                self.with_channel(frame.channel, out, |context| context.frame(frame, buffer))?;
            }
            Some(ChannelState::Closing) => self.swallow(frame, out)?,
            None => self.open_channel(frame, out)?,
        }
        Ok(ConnectionOutcome::Goes)
    }

    /// The answer to what is awaited; one that nobody asked for is passed over.
    pub(super) fn reply<P: BrokerPort>(&mut self, reply: Reply, out: &mut Context<P>) -> Result<(), Failure> {
        let is_request = |pending: &mut PendingRequest| !matches!(pending.kind, RequestKind::Commit { .. });
        let Some(pending) = self.shared.pending.take_if(is_request) else { return Ok(()) };
        let (number, method) = (pending.channel, pending.method);
        if !matches!(self.channels.get(&number), Some(ChannelState::Open(_))) {
            pending.give_back(&reply, &mut out.port);
            return Ok(());
        }
        self.with_channel(number, out, |context| {
            let answered = context.answered(pending, reply);
            answered.map(|()| ChannelOutcome::Goes).map_err(|fault| Failure::new(fault, method))
        })
    }

    /// A delivery. One for a consumer that is gone was requeued when it was detached.
    pub(super) fn deliver<P: BrokerPort>(&mut self, delivery: &Delivery, out: &mut Context<P>) {
        let Some(consumer) = self.shared.consumers.get_mut(&delivery.consumer) else { return };
        let (number, no_ack) = (consumer.channel, consumer.no_ack);
        let Some(ChannelState::Open(channel)) = self.channels.get_mut(&number) else { return };
        delivering::deliver(delivery, number, channel, consumer, out);
        if !no_ack {
            ChannelContext { number, channel, shared: &mut self.shared, out }.adapt_pause();
        }
    }

    /// A confirm, of a channel that may be gone by now (semantics 9.24).
    pub(super) fn confirm<P: BrokerPort>(
        &mut self,
        token: ConfirmToken,
        accepted: bool,
        out: &mut Context<P>,
    ) -> Result<(), Failure> {
        self.with_channel(token.channel, out, |context| {
            if context.channel.epoch != token.epoch {
                return Ok(ChannelOutcome::Goes);
            }
            let confirmed = context.confirmed(token.sequence, accepted);
            confirmed.map(|()| ChannelOutcome::Goes).map_err(|fault| Failure::new(fault, COMMIT))
        })
    }

    /// The queue of a consumer is gone.
    pub(super) fn consumer_cancelled<P: BrokerPort>(
        &mut self,
        number: ConsumerNumber,
        out: &mut Context<P>,
    ) -> Result<(), Failure> {
        let Some(consumer) = self.shared.consumers.get(&number) else { return Ok(()) };
        let tag = consumer.tag.clone();
        self.with_channel(consumer.channel, out, |context| {
            context.consumer_cancelled(&tag);
            Ok(ChannelOutcome::Goes)
        })
    }

    /// A consumer held a delivery for too long.
    pub(super) fn consumer_timed_out<P: BrokerPort>(
        &mut self,
        number: ConsumerNumber,
        timeout: u64,
        closes_channel: bool,
        out: &mut Context<P>,
    ) -> Result<(), Failure> {
        let consumer = self.shared.consumers.get(&number);
        let consumer = consumer.map(|consumer| (consumer.channel, Some(consumer.tag.clone())));
        let Some((channel, tag)) = consumer.or_else(|| Some((self.channel_that_gets(number)?, None))) else {
            return Ok(());
        };
        self.with_channel(channel, out, |context| {
            let told = context.consumer_timed_out(tag.filter(|_| !closes_channel).as_ref(), timeout);
            told.map(|()| ChannelOutcome::Goes).map_err(|fault| Failure::new(fault, MethodId::NONE))
        })
    }

    /// The channel whose gets have this number.
    fn channel_that_gets(&self, number: ConsumerNumber) -> Option<ChannelNumber> {
        self.channels.iter().find_map(|(channel, slot)| match slot {
            ChannelState::Open(open) if open.getter == number => Some(*channel),
            _ => None,
        })
    }

    /// Sends the confirms of all channels that have some.
    pub(super) fn flush_confirms<P: BrokerPort>(&mut self, out: &mut Context<P>) {
        let mut dirty = std::mem::take(&mut self.shared.dirty);
        for number in dirty.drain(..) {
            if let Some(ChannelState::Open(channel)) = self.channels.get_mut(&number) {
                ChannelContext { number, channel, shared: &mut self.shared, out }.flush_confirms();
            }
        }
        self.shared.dirty = dirty;
    }

    /// Hands over the settlement that was still growing.
    pub(super) fn flush_settlement<P: BrokerPort>(&mut self, out: &mut Context<P>) {
        self.shared.flush_settlement(&mut out.port);
    }

    /// Gives back what all channels hold. What is still awaited is returned.
    pub(super) fn release<P: BrokerPort>(&mut self, out: &mut Context<P>) -> Option<PendingRequest> {
        for (number, slot) in std::mem::take(&mut self.channels) {
            if let ChannelState::Open(mut channel) = slot {
                ChannelContext { number, channel: &mut channel, shared: &mut self.shared, out }.release();
            }
        }
        self.shared.pending.take()
    }

    /// Lets an open channel act. Its own failures close it; those of the connection are returned.
    fn with_channel<P: BrokerPort>(
        &mut self,
        number: ChannelNumber,
        out: &mut Context<P>,
        act: impl FnOnce(&mut ChannelContext<'_, P>) -> Result<ChannelOutcome, Failure>,
    ) -> Result<(), Failure> {
        let Some(slot) = self.channels.get_mut(&number) else { return Ok(()) };
        let ChannelState::Open(channel) = slot else { return Ok(()) };
        let mut context = ChannelContext { number, channel, shared: &mut self.shared, out };
        match act(&mut context) {
            Ok(ChannelOutcome::Goes) => {}
            Ok(ChannelOutcome::Closed) => {
                self.channels.remove(&number);
            }
            Err(failure) if failure.fault.scope == Scope::Channel => {
                context.close_with(&failure);
                *slot = ChannelState::Closing;
                // The confirms of a commit find no channel any more; a reply would be taken all the same.
                self.shared.pending.take_if(|pending| {
                    pending.channel == number && matches!(pending.kind, RequestKind::Commit { .. })
                });
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Frames of channel 0: connection.close, update-secret, heartbeats.
    fn connection_frame<P: BrokerPort>(
        &mut self,
        frame: Frame<'_>,
        out: &mut Context<P>,
    ) -> Result<ConnectionOutcome, Failure> {
        match frame.kind {
            FrameKind::Heartbeat if frame.payload.is_empty() => return Ok(ConnectionOutcome::Goes),
            FrameKind::Heartbeat => return Err(heartbeat_with_payload(frame.payload.len())),
            FrameKind::Method => {}
            FrameKind::Header | FrameKind::Body => {
                return Err(unexpected_frame(format!("frame of type {} on channel 0", frame.kind as u8)));
            }
        }
        let method =
            parse_method(frame.payload).map_err(|error| undecodable_on_connection(&error, frame.payload))?;
        let id = method_id(frame.payload).unwrap_or(MethodId::NONE);
        let class = match method {
            Method::Other(class) => *class,
            _ => return Err(unexpected_method("running", id)),
        };
        match class {
            AMQPClass::Connection(connection::AMQPMethod::Close(_)) => Ok(ConnectionOutcome::ClientCloses),
            AMQPClass::Connection(connection::AMQPMethod::UpdateSecret(_)) => {
                let consumers = self.shared.consumers.iter();
                let mut consumers: Vec<_> =
                    consumers.filter_map(|(&number, consumer)| Some((consumer.queue?, number))).collect();
                consumers.sort_unstable();
                out.port.update_secret(&consumers);
                let answer = connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {});
                out.say(0, &AMQPClass::Connection(answer));
                Ok(ConnectionOutcome::Goes)
            }
            _ => Err(unexpected_method("running", id)),
        }
    }

    /// A frame for a channel that is not open: only channel.open has a place there (semantics 0.8, 4.1).
    fn open_channel<P: BrokerPort>(&mut self, frame: Frame<'_>, out: &mut Context<P>) -> Result<(), Failure> {
        if frame.kind != FrameKind::Method {
            return Err(unexpected_frame("expected method frame, got non method frame instead"));
        }
        let id = method_id(frame.payload).unwrap_or(MethodId::NONE);
        if id != CHANNEL_OPEN {
            return Err(Failure::new(Fault::new(ReplyCode::ChannelError, "expected 'channel.open'"), id));
        }
        parse_method(frame.payload).map_err(|error| undecodable(&error, frame.payload))?;
        let most = self.channel_max;
        if self.channels.len() >= usize::from(most) {
            let text =
                format!("number of channels opened ({most}) has reached the negotiated channel_max ({most})");
            return Err(Failure::unblamed(ReplyCode::NotAllowed, text));
        }
        let refused = |fault| Failure::new(fault, MethodId::NONE);
        out.port.open_channel(out.now, frame.channel).map_err(refused)?;
        self.last_epoch = self.last_epoch.wrapping_add(1);
        let getter = self.shared.next_consumer();
        let channel = Channel::new(self.last_epoch, getter, out.limits.unacked_per_channel);
        self.channels.insert(frame.channel, ChannelState::Open(Box::new(channel)));
        out.tally.channels += 1;
        let answer = channel::AMQPMethod::OpenOk(channel::OpenOk {});
        out.say(frame.channel, &AMQPClass::Channel(answer));
        Ok(())
    }

    /// A frame for a channel whose channel.close was not answered yet (semantics 0.5).
    fn swallow<P>(&mut self, frame: Frame<'_>, out: &mut Context<P>) -> Result<(), Failure> {
        if frame.kind != FrameKind::Method {
            return Ok(());
        }
        match method_id(frame.payload) {
            Some(CHANNEL_CLOSE_OK) => {
                self.channels.remove(&frame.channel);
            }
            Some(CHANNEL_CLOSE) => {
                let answer = channel::AMQPMethod::CloseOk(channel::CloseOk {});
                out.say(frame.channel, &AMQPClass::Channel(answer));
            }
            // A client that forgets to answer and opens anew would wait for ever.
            Some(CHANNEL_OPEN) => {
                let fault = Fault::new(ReplyCode::ChannelError, "second 'channel.open' seen");
                return Err(Failure::new(fault, CHANNEL_OPEN));
            }
            _ => {}
        }
        Ok(())
    }
}
