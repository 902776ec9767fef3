//! L4, the session: one client connection as a state machine. Bytes and events go in; bytes to send, and calls on a
//! [`BrokerPort`], come out. No sockets, no clock, no broker inside. Here are its phases and what drives them; what
//! happens within an open connection is in `connection.rs` and `channel_context.rs`.

mod asking;
mod blocking;
mod channel;
mod channel_closing;
mod channel_context;
mod client;
mod closing;
mod confirms;
mod connection;
mod consumers;
mod content;
mod context;
mod delivering;
mod end;
mod ending;
mod failure;
mod frames;
mod handshake;
mod heartbeat;
mod held;
mod input;
mod inquiry;
mod limits;
mod methods;
mod pending_request;
mod settling;
mod tally;
mod transaction;
mod unacked;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::BytesMut;
use leveret_codec::frame::Frame;
use leveret_codec::method::MethodId;
use leveret_codec::write::Output;

use crate::model::consuming::Delivery;
use crate::model::counters::Traffic;
use crate::model::event::SessionEvent;
use crate::model::fault::Fault;
use crate::model::holdings::Holdings;
use crate::model::ids::{Name, Timestamp};
use crate::model::port::{BrokerPort, Progress};
use crate::model::request::Request;

use blocking::Blocking;
use closing::{Closing, say_close_ok};
use connection::{Connection, ConnectionOutcome};
use context::Context;
use ending::Ending;
use failure::Failure;
use frames::Frames;
use handshake::{AwaitHeader, Handshake, Next};
use heartbeat::{Due, Heartbeats};
use input::{Allocation, Held};

pub use end::{End, Tally};
pub use limits::{PeerInfo, SessionLimits};

/// How long a peer that we cannot understand any more, or that never opened the connection, may take to read why, in
/// milliseconds (semantics 0.9).
const STRANGER_TIMEOUT_MS: u64 = 3_000;

/// One client connection. Input is acted on in order; while the broker owes an answer, the rest of the input is
/// held back, and deliveries and confirms go on.
#[derive(Debug)]
pub struct Session<P: BrokerPort> {
    out: Context<P>,
    peer: PeerInfo,
    phase: Phase,
    held: Held,
    allocation: Allocation,
    blocking: Blocking,
    handshake_deadline: Timestamp,
    heartbeats: Option<Heartbeats>,
    /// The server reads the socket.
    reading: bool,
    vhost: Option<Name>,
    /// Bytes of output above which no input is acted on.
    output_limit: usize,
    /// Bytes that publishes may become by going to several queues before no more input is acted on.
    fan_out_limit: usize,
    /// Something waits to be sent, and since `moved` nothing of it was taken.
    unsent: bool,
    moved: Timestamp,
    /// The client sends nothing more.
    input_ended: bool,
    end: Option<End>,
    ending: Option<Ending>,
    gave_up: bool,
    traffic: Traffic,
}

#[derive(Debug)]
enum Phase {
    Handshake(Handshake),
    Running(Box<Connection>),
    Closing(Closing),
    Over,
}

impl<P: BrokerPort> Session<P> {
    /// A session for a peer that just connected.
    pub fn new(now: Timestamp, limits: Arc<SessionLimits>, peer: PeerInfo, port: P) -> Session<P> {
        Session {
            handshake_deadline: now.plus_millis(limits.handshake_timeout_ms),
            output_limit: limits.unwritten_bytes,
            fan_out_limit: usize::MAX,
            out: Context {
                port,
                output: Output::default(),
                frame_max: limits.frame_max,
                limits,
                now,
                tally: Tally::default(),
            },
            peer,
            phase: Phase::Handshake(Handshake::Header(AwaitHeader)),
            held: Held::default(),
            allocation: Allocation::default(),
            blocking: Blocking::default(),
            heartbeats: None,
            reading: true,
            vhost: None,
            unsent: false,
            moved: now,
            input_ended: false,
            end: None,
            ending: None,
            gave_up: false,
            traffic: Traffic::default(),
        }
    }

    /// What it holds, without what the port does.
    pub fn holdings(&self, into: &mut Holdings) {
        let Session {
            out: Context { port: _, output, limits: _, frame_max: _, now: _, tally: _ },
            peer: _,
            phase,
            held,
            allocation: _,
            blocking,
            handshake_deadline: _,
            heartbeats: _,
            reading: _,
            vhost: _,
            output_limit: _,
            fan_out_limit: _,
            unsent: _,
            moved: _,
            input_ended: _,
            end: _,
            ending: _,
            gave_up: _,
            traffic: _,
        } = self;
        into.in_transit("session: output", &output.len());
        if let Phase::Running(connection) = phase {
            connection.holdings(into);
        }
        into.in_transit("session: input held back", &held.frames.bytes);
        blocking.holdings(into);
    }

    /// The peer has sent so many bytes, whether or not they can be acted on yet.
    pub fn note_heard(&mut self, bytes: usize) {
        self.traffic.reads += 1;
        self.traffic.bytes_in += bytes as u64;
        if let Some(heartbeats) = &mut self.heartbeats {
            heartbeats.note_heard();
        }
    }

    /// Goes on with what was held back, then takes the complete frames at the front of `input` and acts on them, until
    /// none is left, an answer must be waited for, or too much waits to be sent; then the rest is held back in here.
    /// Large bodies are slices of `input`, not copies. What stays in `input` is the beginning of a frame; while
    /// [`Session::wants_input`] is false, all of it stays.
    pub fn receive(&mut self, now: Timestamp, input: &mut BytesMut) {
        self.out.now = now;
        if self.can_go_on() {
            self.go_on();
        }
        while self.take_input(input) {}
        self.settle_up();
    }

    /// A delivery, told in order of arrival with the other events. What it leads to is in the output and with the port;
    /// [`Session::end_of_batch`] has to follow, once for however many.
    pub fn deliver(&mut self, now: Timestamp, delivery: &Delivery) {
        self.out.now = now;
        if let Phase::Running(connection) = &mut self.phase {
            connection.deliver(delivery, &mut self.out);
        }
    }

    /// Told in order of arrival. An answer lets the held-back input go on.
    pub fn event(&mut self, now: Timestamp, event: SessionEvent) {
        self.out.now = now;
        match event {
            SessionEvent::Alarm(alarms) => self.set_alarms(alarms),
            SessionEvent::Deliver(delivery) => self.deliver(now, &delivery),
            other => self.answer(other),
        }
        self.settle_up();
    }

    /// What comes of the other events; an answer lets the held-back input go on.
    fn answer(&mut self, event: SessionEvent) {
        match &mut self.phase {
            Phase::Running(connection) => {
                let out = &mut self.out;
                let outcome = match event {
                    SessionEvent::Confirm { token, accepted } => connection.confirm(token, accepted, out),
                    SessionEvent::Reply(reply) => connection.reply(reply, out),
                    SessionEvent::ConsumerCancelled(consumer) => connection.consumer_cancelled(consumer, out),
                    SessionEvent::ConsumerTimedOut { consumer, timeout, closes_channel } => {
                        connection.consumer_timed_out(consumer, timeout, closes_channel, out)
                    }
                    SessionEvent::Close(fault) => Err(Failure::new(fault, MethodId::NONE)),
                    SessionEvent::Alarm(_) | SessionEvent::Deliver(_) | SessionEvent::Asked(_) => Ok(()),
                };
                if let Err(failure) = outcome {
                    self.close(&failure);
                }
                self.go_on();
            }
            Phase::Closing(closing) => {
                if let SessionEvent::Reply(reply) = event
                    && closing.reply(reply, &mut self.out)
                {
                    self.over(End::ClientClosed);
                }
            }
            Phase::Handshake(_) => {
                if let SessionEvent::Close(fault) = event {
                    self.shut_down(fault);
                }
            }
            Phase::Over => {}
        }
    }

    /// Whether the socket is to be read: not while too much waits to be sent, not while an answer is awaited and input is
    /// held back for it, not while the broker closes the connection for the client, not while an alarm keeps too much
    /// aside, and not when all is over. After a connection.close of ours it is read for the answer.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.is_full()
            && match self.phase {
                Phase::Handshake(_) => self.held.is_empty(),
                Phase::Running(_) => self.held.is_empty() && self.blocking.has_room(),
                Phase::Closing(Closing::Ours { .. }) => true,
                Phase::Closing(Closing::Client) | Phase::Over => false,
            }
    }

    /// What is to be sent.
    pub fn output(&mut self) -> &mut Output {
        &mut self.out.output
    }

    /// Puts the confirms of the batch into the output, in as few frames as they fit in.
    pub fn end_of_batch(&mut self) {
        if let Phase::Running(connection) = &mut self.phase {
            connection.flush_confirms(&mut self.out);
        }
        self.end_if_settled();
        self.settle_up();
    }

    /// Write what is left of the output, then drop the socket.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The socket is gone.
    pub fn lost(&mut self, now: Timestamp) {
        self.out.now = now;
        self.leave();
        self.phase = Phase::Over;
        self.out.output = Output::default();
    }

    /// Closes the connection from our side (server stop: 320).
    pub fn shut_down(&mut self, fault: Fault) {
        match self.phase {
            Phase::Handshake(Handshake::Header(_)) => self.over(End::Stopped),
            Phase::Handshake(_) | Phase::Running(_) => self.close(&Failure::new(fault, MethodId::NONE)),
            Phase::Closing(_) | Phase::Over => {}
        }
        self.settle_up();
    }

    /// Tells whether the server reads the socket at all. While it does not, the peer's silence is not held against
    /// it (semantics 3.2).
    pub fn set_reading(&mut self, reading: bool) {
        self.reading = reading;
    }

    /// The broker's handle (the server flushes its outgoing batches).
    pub fn port(&mut self) -> &mut P {
        &mut self.out.port
    }

    /// The broker's handle, to be looked at.
    pub fn broker(&self) -> &P {
        &self.out.port
    }

    /// The user who logged in, also after the end; None before.
    #[must_use]
    pub fn user(&self) -> Option<&Name> {
        match self.phase {
            Phase::Handshake(Handshake::Header(_) | Handshake::Start(_)) => None,
            // Nobody's name is empty; that of a connection that never logged in is.
            _ => Some(self.out.port.user()).filter(|user| !user.is_empty()),
        }
    }

    /// The vhost that was opened, also after the end; None before.
    #[must_use]
    pub fn vhost(&self) -> Option<&Name> {
        self.vhost.as_ref()
    }

    /// Bytes of contents and transactions that the client has begun and not ended.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.connection().map_or(0, |connection| connection.shared.held.bytes())
    }

    /// How many these may be, at the most what the limits say. More is refused with 311.
    pub fn set_most_held(&mut self, bytes: usize) {
        let most = bytes.min(self.out.limits.held_bytes);
        if let Phase::Running(connection) = &mut self.phase {
            connection.shared.held.set_most(most);
        }
    }

    fn connection(&self) -> Option<&Connection> {
        match &self.phase {
            Phase::Running(connection) => Some(connection),
            _ => None,
        }
    }

    /// Acts on one frame that lies in `buffer`.
    fn frame(&mut self, frame: Frame<'_>, buffer: &Frames) {
        match &mut self.phase {
            Phase::Running(connection) => match connection.frame(frame, buffer, &mut self.out) {
                Ok(ConnectionOutcome::Goes) => {}
                Ok(ConnectionOutcome::ClientCloses) => self.client_closes(),
                Err(failure) => self.close(&failure),
            },
            Phase::Handshake(_) => {
                let Phase::Handshake(state) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
                let next = state.frame(frame, &mut self.out, self.peer);
                self.proceed(next);
            }
            Phase::Closing(closing) => {
                if closing.frame(frame, &mut self.out) {
                    self.over(End::ClientClosed);
                }
            }
            Phase::Over => {}
        }
    }

    fn proceed(&mut self, next: Next) {
        match next {
            Next::State(state) => self.phase = Phase::Handshake(state),
            Next::Running(opened) => {
                self.vhost = Some(opened.vhost.clone());
                self.heartbeats = Heartbeats::new(self.out.now, opened.tuned.heartbeat_seconds);
                let connection = Connection::new(opened, self.peer.seed, self.out.limits.held_bytes);
                self.phase = Phase::Running(Box::new(connection));
            }
            Next::Close { failure, refusal } => {
                if let Some(why) = refusal {
                    self.note_end(End::LoginRefused(why));
                }
                self.close_within(&failure, STRANGER_TIMEOUT_MS, false);
            }
            Next::Hangup(why) => self.over(why),
        }
    }

    /// Closes the connection for a failure. All it holds is given back at once (semantics 0.6).
    fn close(&mut self, failure: &Failure) {
        self.close_within(failure, self.out.limits.last_words_ms, false);
    }

    /// Closes the connection because its input cannot be read on.
    fn close_unreadable(&mut self, failure: &Failure) {
        self.close_within(failure, STRANGER_TIMEOUT_MS, true);
    }

    fn close_within(&mut self, failure: &Failure, patience: u64, unreadable: bool) {
        if let Phase::Running(connection) = &mut self.phase {
            connection.flush_confirms(&mut self.out);
        }
        self.note_fault(&failure.fault);
        let (stale, _) = self.leave();
        self.out.say_connection_close(failure);
        self.begin_ending(patience);
        self.phase = Phase::Closing(Closing::Ours { unreadable, stale });
    }

    /// connection.close came: answered when the broker is done with it (semantics 0.7).
    fn client_closes(&mut self) {
        if let Phase::Running(connection) = &mut self.phase {
            connection.flush_confirms(&mut self.out);
        }
        self.note_end(End::ClientClosed);
        let (_, progress) = self.leave();
        self.begin_ending(self.out.limits.last_words_ms);
        if matches!(progress, Some(Progress::Pending)) {
            self.phase = Phase::Closing(Closing::Client);
        } else {
            say_close_ok(&mut self.out);
            self.over(End::ClientClosed);
        }
    }

    /// Gives back all that an open connection holds and takes it off the broker, once.
    fn leave(&mut self) -> (Option<pending_request::PendingRequest>, Option<Progress>) {
        let Phase::Running(mut connection) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return (None, None);
        };
        let stale = connection.release(&mut self.out);
        self.out.port.counted(connection.totals(self.traffic));
        let progress = self.out.port.request(self.out.now, Request::CloseConnection);
        (stale, Some(progress))
    }

    fn beat(&mut self, now: Timestamp) {
        let listening = self.reading && !self.input_ended && (self.wants_input() || self.is_full());
        let due = self.heartbeats.as_mut().map_or(Due::Nothing, |heartbeats| heartbeats.tick(now, listening));
        match due {
            Due::Nothing => {}
            Due::Send => self.out.output.heartbeat(),
            Due::PeerGone => {
                let interval_ms = self.heartbeats.as_ref().map_or(0, Heartbeats::interval_ms);
                self.give_up(End::HeartbeatsMissed { interval_ms });
            }
        }
    }

    /// After every call: the port gets the acks that were still being gathered, and what waits in the output is about
    /// to be sent, which spares a heartbeat.
    fn settle_up(&mut self) {
        if let Phase::Running(connection) = &mut self.phase {
            connection.flush_settlement(&mut self.out);
        }
        if let Some(heartbeats) = &mut self.heartbeats
            && !self.out.output.is_empty()
        {
            heartbeats.note_sent();
        }
        self.note_output();
    }
}
