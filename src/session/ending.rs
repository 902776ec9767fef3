//! How much may wait to be sent, how long a peer may take nothing of it, and how long the last words of a
//! connection that ends may take. Every end has a deadline, after which what was not taken is dropped with the socket.

use leveret_codec::write::Output;

use crate::model::fault::Fault;
use crate::model::ids::Timestamp;
use crate::model::port::BrokerPort;

use super::closing::Closing;
use super::end::{End, Tally};
use super::{Phase, Session};

/// Steps of searching after which a connection lets others go first: about a millisecond.
const SEARCHED_TOGETHER: usize = 50_000;

/// The time a connection that ends has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// When it is over at the latest, whatever the peer does.
    latest: Timestamp,
    /// How long the peer may take or answer nothing, in milliseconds.
    patience: u64,
}

impl<P: BrokerPort> Session<P> {
    /// How many bytes may wait to be sent before no more input is acted on; one answer or message may exceed it.
    pub fn set_output_limit(&mut self, bytes: usize) {
        self.output_limit = bytes.max(1);
    }

    /// Whether so much waits to be sent that no input is acted on.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.out.output.len() >= self.output_limit
    }

    /// How many bytes publishes may become by going to several queues, until they are taken to the queues, before no more
    /// input is acted on; one message may exceed it. With 0 none is acted on at all.
    pub fn set_fan_out_limit(&mut self, bytes: usize) {
        self.fan_out_limit = bytes;
    }

    /// Whether so much of the client's work is on its way that no input is acted on.
    #[must_use]
    pub fn is_laden(&self) -> bool {
        self.out.port.fanned_out() >= self.fan_out_limit
    }

    /// Whether its publishes were searched for so long that others come first.
    pub(super) fn has_searched_much(&self) -> bool {
        self.out.port.searched() >= SEARCHED_TOGETHER
    }

    /// The socket took `sent` bytes of the output, perhaps none.
    pub fn written(&mut self, now: Timestamp, sent: usize) {
        if sent > 0 {
            self.moved = now;
            self.traffic.writes += 1;
            self.traffic.bytes_out += sent as u64;
        }
        self.unsent = !self.out.output.is_empty();
    }

    /// Whether input that was held back can be acted on now.
    #[must_use]
    pub fn can_go_on(&self) -> bool {
        !self.held.is_empty() && !self.is_held_up()
    }

    /// The client sends nothing more (it may still read). What it sent is carried out, and what is due for it is sent
    /// before the connection ends, within the time that every end has.
    pub fn end_of_input(&mut self, now: Timestamp) {
        self.out.now = now;
        self.input_ended = true;
        match &self.phase {
            Phase::Running(_) => {
                self.note_end(End::SocketClosed);
                self.begin_ending(self.out.limits.last_words_ms);
            }
            Phase::Handshake(_) | Phase::Closing(Closing::Ours { .. }) => self.over(End::SocketClosed),
            Phase::Closing(Closing::Client) | Phase::Over => {}
        }
    }

    /// Why the connection ended or is about to; None while it goes on.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// What it has done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.out.tally
    }

    /// Whether what was to be sent was given up: the peer is not there to take it.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// When [`Session::tick`] wants to be called at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let beat = match &self.phase {
            Phase::Handshake(_) => Some(self.handshake_deadline),
            Phase::Running(_) => self.heartbeats.as_ref().map(super::Heartbeats::next_deadline),
            Phase::Closing(_) | Phase::Over => None,
        };
        let latest = self.ending.map(|ending| ending.latest).filter(|_| !self.is_done());
        [beat, latest, self.peer_deadline()].into_iter().flatten().min()
    }

    /// Acts on the time: the handshake's end, heartbeats both ways, and how long a peer may take or answer nothing.
    pub fn tick(&mut self, now: Timestamp) {
        self.out.now = now;
        let is_due = |deadline: Option<Timestamp>| deadline.is_some_and(|deadline| now >= deadline);
        if is_due(self.peer_deadline()) {
            let after_ms = now.0.saturating_sub(self.moved.0);
            self.give_up(End::NotRead { unsent: self.out.output.len(), after_ms });
        } else if is_due(self.ending.map(|ending| ending.latest)) {
            self.give_up(End::SocketClosed);
        } else if let Phase::Handshake(_) = self.phase {
            if now >= self.handshake_deadline {
                self.give_up(End::HandshakeTimeout { after_ms: self.out.limits.handshake_timeout_ms });
            }
        } else if let Phase::Running(_) = self.phase {
            self.beat(now);
        }
    }

    /// When the peer has taken or answered nothing for too long.
    fn peer_deadline(&self) -> Option<Timestamp> {
        let waits_for_answer = matches!(self.phase, Phase::Closing(Closing::Ours { .. }));
        if !self.unsent && !waits_for_answer {
            return None;
        }
        let patience = self.ending.map_or(self.out.limits.send_timeout_ms, |ending| ending.patience);
        Some(self.moved.plus_millis(patience))
    }

    fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Over) && self.out.output.is_empty()
    }

    /// From now on the peer has `patience` milliseconds each time, and the time of a close in all.
    pub(super) fn begin_ending(&mut self, patience: u64) {
        let latest = self.out.now.plus_millis(self.out.limits.close_timeout_ms);
        self.ending.get_or_insert(Ending { latest, patience });
        self.moved = self.out.now;
    }

    /// Nothing more will be said; what was said may still be taken.
    pub(super) fn over(&mut self, why: End) {
        self.note_end(why);
        self.begin_ending(self.out.limits.last_words_ms);
        self.phase = Phase::Over;
    }

    /// Nothing more will be said, and nobody is there to take what was.
    pub(super) fn give_up(&mut self, why: End) {
        self.gave_up = !self.out.output.is_empty() || matches!(why, End::HeartbeatsMissed { .. });
        self.note_end(why);
        self.leave();
        self.phase = Phase::Over;
        self.out.output = Output::default();
    }

    /// The first reason is the one that counts.
    pub(super) fn note_end(&mut self, why: End) {
        self.end.get_or_insert(why);
    }

    pub(super) fn note_fault(&mut self, fault: &Fault) {
        self.end.get_or_insert_with(|| End::Closed(fault.text()));
    }

    /// After the client's last byte: ends once nothing is owed to it.
    pub(super) fn end_if_settled(&mut self) {
        if !self.input_ended || !self.held.is_empty() || self.blocking.keeps_some() {
            return;
        }
        if let Phase::Running(connection) = &self.phase
            && !connection.owes()
        {
            self.leave();
            self.over(End::SocketClosed);
        }
    }

    /// What waits in the output since this call begins to wait now.
    pub(super) fn note_output(&mut self) {
        if !self.unsent && !self.out.output.is_empty() {
            self.unsent = true;
            self.moved = self.out.now;
        }
    }
}
