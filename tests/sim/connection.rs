//! The server's side of one connection in the simulation: a session between two pipes of bytes. What it does in a turn
//! is what `server/connection_task.rs` does.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::BytesMut;
use leveret::broker::command::Origin;
use leveret::broker::port::Port;
use leveret::broker::view::View;
use leveret::model::event::SessionEvent;
use leveret::model::ids::{ConnectionId, ShardIndex, Timestamp};
use leveret::session::{PeerInfo, Session, SessionLimits};

use crate::post::{CatalogInput, Outbox, Post, ShardInput};
use crate::random::Random;

/// Written bytes of a shard's deliveries are reported once they are this many.
const REPORTED_DRAIN: usize = 128 << 10;

/// How the client went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It closed the socket: what it sent before may still be read.
    Closed,
    /// The network is dead: nothing is read or written any more.
    Reset,
}

pub(crate) struct ServerConnection {
    id: ConnectionId,
    session: Session<Port>,
    pub(crate) mailbox: VecDeque<SessionEvent>,
    pub(crate) outbox: Outbox,
    input: BytesMut,
    /// From the client, not read yet.
    pub(crate) to_server: VecDeque<u8>,
    /// To the client, not read yet.
    pub(crate) to_client: VecDeque<u8>,
    /// How much the socket takes before it is full.
    socket: usize,
    undrained: Vec<usize>,
    pub(crate) client_gone: Option<Gone>,
    /// The server has dropped the socket and said goodbye to everybody.
    pub(crate) over: bool,
}

impl ServerConnection {
    pub(crate) fn new(
        now: Timestamp,
        id: ConnectionId,
        shards: u16,
        view: Arc<View>,
        limits: Arc<SessionLimits>,
        random: &mut Random,
    ) -> ServerConnection {
        let port = Port::new(id, shards, view, random.next());
        let peer = PeerInfo { loopback: true, seed: random.next() };
        ServerConnection {
            id,
            session: Session::new(now, limits, peer, port),
            mailbox: VecDeque::new(),
            outbox: Outbox::new(),
            input: BytesMut::new(),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            socket: random.pick(&[300, 2_000, 60_000]),
            undrained: vec![0; usize::from(shards)],
            client_gone: None,
            over: false,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        if self.over { None } else { self.session.next_deadline() }
    }

    pub(crate) fn can_work(&mut self, now: Timestamp) -> bool {
        if self.over {
            return false;
        }
        let readable = self.session.wants_input() && !self.to_server.is_empty();
        let writable = !self.session.output().is_empty() && self.to_client.len() < self.socket;
        !self.mailbox.is_empty()
            || readable
            || writable
            || self.client_gone.is_some()
            || self.session.is_over()
            || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    pub(crate) fn turn(&mut self, now: Timestamp, random: &mut Random) {
        if self.client_gone == Some(Gone::Reset) {
            return self.end(now);
        }
        while let Some(event) = self.mailbox.pop_front() {
            if let SessionEvent::Deliver(delivery) = &event {
                self.undrained[usize::from(delivery.queue.shard.0)] += delivery.message.footprint();
            }
            self.session.event(now, event);
        }
        let mut end_of_input = false;
        self.session.set_reading(true);
        if self.session.wants_input() {
            end_of_input = self.read(random);
            if !self.input.is_empty() {
                self.session.receive(now, &mut self.input);
            }
        }
        if self.session.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.session.tick(now);
        }
        self.session.end_of_batch();
        self.send_wishes();
        // A closed socket takes nothing more.
        if self.client_gone.is_some() && !self.session.output().is_empty() {
            return self.end(now);
        }
        self.write();
        let written = self.session.output().is_empty();
        if (self.session.is_over() && written) || end_of_input {
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
        false
    }

    fn write(&mut self) {
        let room = self.socket.saturating_sub(self.to_client.len());
        let output = self.session.output();
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
        if output.is_empty() {
            output.release();
        }
        for (shard, undrained) in (0..).map(ShardIndex).zip(&mut self.undrained) {
            if *undrained >= REPORTED_DRAIN && self.session.output().is_empty() {
                let input = ShardInput::Drained(self.id, std::mem::take(undrained));
                self.outbox.push_back(Post::Shard(shard, input));
            }
        }
    }

    fn end(&mut self, now: Timestamp) {
        self.over = true;
        self.session.lost(now);
        self.send_wishes();
        for shard in (0..self.undrained.len()).map(|index| ShardIndex(u16::try_from(index).unwrap_or(0))) {
            self.outbox.push_back(Post::Shard(shard, ShardInput::ConnectionGone(self.id)));
        }
    }

    fn send_wishes(&mut self) {
        let outgoing = self.session.port().take_outgoing();
        for (index, commands) in (0..).map(ShardIndex).zip(&mut outgoing.shards) {
            if !commands.is_empty() {
                let input = ShardInput::Commands(Origin::Connection(self.id), std::mem::take(commands));
                self.outbox.push_back(Post::Shard(index, input));
            }
        }
        let catalog = outgoing.catalog.drain(..);
        self.outbox.extend(catalog.map(|command| Post::Catalog(CatalogInput::Command(command))));
        let direct = outgoing.direct.drain(..);
        self.outbox.extend(direct.map(|(connection, event)| Post::Connection(connection, event)));
    }
}
