//! The server's side of one connection in the simulation: a conversation between two pipes of bytes.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::BytesMut;
use leveret::model::event::SessionEvent;
use leveret::model::fault::{Fault, ReplyCode};
use leveret::model::holdings::Holdings;
use leveret::model::ids::{ConnectionId, Timestamp};
use leveret::model::names::Seed;
use leveret::port::{Port, SharedByPorts};
use leveret::server::owners::{ConnectionActor, WorkBegun};
use leveret::session::{PeerInfo, Session, SessionLimits};

use crate::post::Outbox;
use crate::random::Random;

/// How the client went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It closed the socket: what it sent before may still be read.
    Closed,
    /// The network is dead: nothing is read or written any more.
    Reset,
}

pub(crate) struct ServerConnection {
    actor: ConnectionActor,
    pub(crate) mailbox: Vec<SessionEvent>,
    pub(crate) outbox: Outbox,
    input: BytesMut,
    /// From the client, not read yet.
    pub(crate) to_server: VecDeque<u8>,
    /// To the client, not read yet.
    pub(crate) to_client: VecDeque<u8>,
    /// How much the socket takes before it is full.
    socket: usize,
    pub(crate) client_gone: Option<Gone>,
    /// The session knows that nothing more comes.
    end_was_read: bool,
    /// The server has dropped the socket and said goodbye to everybody.
    pub(crate) over: bool,
}

impl ServerConnection {
    pub(crate) fn new(
        now: Timestamp,
        id: ConnectionId,
        shards: u16,
        ports: Arc<SharedByPorts>,
        limits: Arc<SessionLimits>,
        random: &mut Random,
    ) -> ServerConnection {
        let mut seed = || {
            let chance = random.next().to_le_bytes();
            Seed(std::array::from_fn(|at| chance[at % chance.len()]))
        };
        let port = Port::new(id, ports, seed());
        let peer = PeerInfo { loopback: true, seed: seed() };
        ServerConnection {
            actor: ConnectionActor::new(
                id,
                Session::new(now, limits, peer, port),
                shards,
                WorkBegun::within(0),
            ),
            mailbox: Vec::new(),
            outbox: Outbox::default(),
            input: BytesMut::new(),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            socket: random.pick(&[300, 2_000, 60_000]),
            client_gone: None,
            end_was_read: false,
            over: false,
        }
    }

    pub(crate) fn deadline(&mut self) -> Option<Timestamp> {
        if self.over { None } else { self.actor.session().next_deadline() }
    }

    /// What the broker holds of it.
    pub(crate) fn holdings(&self, into: &mut Holdings) {
        if !self.over {
            self.actor.holdings(into);
        }
    }

    /// The broker stops.
    pub(crate) fn shut_down(&mut self) {
        let text = "broker forced connection closure with reason 'shutdown'";
        self.actor.session().shut_down(Fault::new(ReplyCode::ConnectionForced, text));
    }

    pub(crate) fn can_work(&mut self, now: Timestamp) -> bool {
        if self.over {
            return false;
        }
        let is_due = self.deadline().is_some_and(|deadline| deadline <= now);
        let session = self.actor.session();
        let has_output = !session.output().is_empty();
        let end_comes = self.client_gone.is_some() && !self.end_was_read;
        let readable = session.wants_input() && !self.to_server.is_empty();
        let writable = has_output && (self.to_client.len() < self.socket || self.client_gone.is_some());
        let goes_on = session.can_go_on() || session.is_over() || self.client_gone == Some(Gone::Reset);
        !self.mailbox.is_empty() || readable || end_comes || writable || goes_on || is_due
    }

    pub(crate) fn turn(&mut self, now: Timestamp, random: &mut Random) {
        if self.client_gone == Some(Gone::Reset) {
            return self.end(now);
        }
        self.actor.take_events(now, &mut self.mailbox);
        let session = self.actor.session();
        session.set_reading(true);
        if session.wants_input() && self.read(random) {
            self.end_was_read = true;
            self.actor.session().end_of_input(now);
        }
        self.actor.work(now, &mut self.input, usize::MAX, &mut self.outbox);
        // A closed socket takes nothing more.
        if self.client_gone.is_some() && !self.actor.session().output().is_empty() {
            return self.end(now);
        }
        self.write(now);
        let session = self.actor.session();
        let written = session.output().is_empty();
        if session.is_over() && written {
            self.end(now);
        }
    }

    /// Reads some of what there is. True at the end of it.
    fn read(&mut self, random: &mut Random) -> bool {
        if self.to_server.is_empty() {
            return self.client_gone.is_some();
        }
        let most = random.pick(&[7, 60, 500, 4096]);
        let count = most.min(self.to_server.len());
        self.input.extend(self.to_server.drain(..count));
        self.actor.session().note_heard(1);
        false
    }

    fn write(&mut self, now: Timestamp) {
        let room = self.socket.saturating_sub(self.to_client.len());
        let output = self.actor.session().output();
        let mut sent = 0;
        while !output.is_empty() && sent < room {
            let mut pieces = [IoSlice::new(&[]); 8];
            let filled = output.chunks(&mut pieces);
            let mut now_sent = 0;
            for piece in &pieces[..filled] {
                let part = piece.len().min(room - sent - now_sent);
                self.to_client.extend(&piece[..part]);
                now_sent += part;
            }
            output.advance(now_sent);
            sent += now_sent;
        }
        self.actor.written(now, sent, &mut self.outbox);
    }

    fn end(&mut self, now: Timestamp) {
        self.over = true;
        self.actor.end(now, &mut self.outbox);
    }
}
