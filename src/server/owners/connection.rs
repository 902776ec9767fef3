//! The turn of a connection, between its socket and the broker: what events the session is told, what commands it gives, and how much
//! of each shard's deliveries it has written. The socket itself is the task's.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;

use super::{Carrier, CatalogInput, ShardInput};
use crate::model::by_shard::ByShard;
use crate::model::command::{Origin, ShardCommand};
use crate::model::event::SessionEvent;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, Timestamp};
use crate::model::question::{ConnectionAnswer, ConnectionQuestion};
use crate::port::{Outgoing, Port};
use crate::server::in_flight::{BegunHere, InFlightLimit, WorkBegun};
use crate::session::Session;
use crate::shard::outbox_bytes;

/// Written bytes of a shard's deliveries are reported to it once they are this part of what it has under way at the
/// most, and all is written: an eighth.
const REPORTED_DRAIN: usize = 8;

pub struct ConnectionActor {
    id: ConnectionId,
    session: Session<Port>,
    in_flight_limit: Arc<InFlightLimit>,
    begun: BegunHere,
    /// Bytes of deliveries handed to the session and not yet reported as written, for each shard that was ever told
    /// anything: no other one knows of this connection.
    undrained: ByShard<usize>,
    /// Bytes of a shard's deliveries that are reported as written.
    reported: usize,
    /// What it is asked and has not answered.
    questions: VecDeque<ConnectionQuestion>,
}

impl ConnectionActor {
    #[must_use]
    pub fn new(
        id: ConnectionId,
        session: Session<Port>,
        shards: u16,
        begun: Arc<WorkBegun>,
    ) -> ConnectionActor {
        let (in_flight_limit, begun) = (InFlightLimit::new(), BegunHere::new(begun));
        let reported = outbox_bytes(shards) / REPORTED_DRAIN;
        let (undrained, questions) = (ByShard::default(), VecDeque::new());
        ConnectionActor { id, session, in_flight_limit, begun, undrained, reported, questions }
    }

    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    pub fn session(&mut self) -> &mut Session<Port> {
        &mut self.session
    }

    /// What of this connection's work is on its way.
    pub(crate) fn in_flight_limit(&self) -> &Arc<InFlightLimit> {
        &self.in_flight_limit
    }

    /// What it holds.
    pub fn holdings(&self, into: &mut Holdings) {
        let ConnectionActor { id: _, session, in_flight_limit, begun, undrained, reported: _, questions } =
            self;
        session.holdings(into);
        session.broker().holdings(into);
        into.in_transit("connection: bytes of permits", &in_flight_limit.in_flight());
        let bytes: usize = undrained.iter().map(|(_, bytes)| bytes).sum();
        into.in_use("connection: bytes not reported as written", &bytes);
        into.in_use("connection: shards it has to do with", undrained);
        into.in_use("connection: work begun", &begun.bytes());
        into.in_transit("connection: questions", questions);
    }

    /// Whether more may be read while so many bytes of its work may be under way. What it has begun counts, too, but is
    /// not waited for: reading on is what ends it.
    pub(crate) fn may_read(&self, most: usize) -> bool {
        let in_flight = self.in_flight_limit.in_flight();
        in_flight == 0 || in_flight + self.begun.bytes() < most
    }

    /// Tells the session what has arrived for it, and keeps account of its deliveries per shard. Returns how many bytes of
    /// it were direct replies, which come from no shard.
    pub fn take_events(&mut self, now: Timestamp, events: &mut Vec<SessionEvent>) -> usize {
        let mut replies = 0;
        for event in events.drain(..) {
            if let SessionEvent::Deliver(delivery) = &event {
                let bytes = delivery.message.footprint();
                if delivery.is_direct_reply() {
                    replies += bytes;
                } else {
                    *self.undrained.of(delivery.queue.shard) += bytes;
                }
                self.session.deliver(now, delivery);
            } else if let SessionEvent::Asked(question) = event {
                self.questions.push_back(question);
            } else {
                self.session.event(now, event);
            }
        }
        replies
    }

    /// The answer to the question that waits for the longest time: None where it does not know, being about to end. To be called at the
    /// end of a turn, once: an answer tells of no more than a turn has time for.
    pub fn answer(&mut self) -> Option<Option<ConnectionAnswer>> {
        let question = self.questions.pop_front()?;
        if self.questions.is_empty() {
            // Nobody asks for most of the time.
            self.questions = VecDeque::new();
        }
        Some(self.session.inquire(&question))
    }

    /// Whether somebody waits for an answer.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        !self.questions.is_empty()
    }

    /// Works off what was read and can be worked off now while `most` bytes of its work may be under way, does what is due,
    /// and carries its commands on. What there is to write then is in the session's output.
    pub fn work(&mut self, now: Timestamp, input: &mut BytesMut, most: usize, carrier: &mut impl Carrier) {
        self.limit_fan_out(most);
        if !input.is_empty() || self.session.can_go_on() {
            self.session.set_most_held(self.begun.most());
            self.session.receive(now, input);
        }
        if self.session.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.session.tick(now);
        }
        self.session.end_of_batch();
        self.begun.set(self.session.held_bytes());
        self.send_commands(carrier);
        self.limit_fan_out(most);
    }

    /// What is on its way to many queues is much, however little it was when it came: what would be too much waits where
    /// it is.
    fn limit_fan_out(&mut self, most: usize) {
        let left = if self.may_read(most) {
            most.saturating_sub(self.in_flight_limit.in_flight()).max(1)
        } else {
            0
        };
        self.session.set_fan_out_limit(left);
    }

    /// The socket took `sent` bytes of the output; the shards are told of it once it has taken all.
    pub fn written(&mut self, now: Timestamp, sent: usize, carrier: &mut impl Carrier) {
        self.session.written(now, sent);
        if !self.session.output().is_empty() {
            return;
        }
        self.session.output().release();
        for (shard, undrained) in self.undrained.iter_mut() {
            if *undrained >= self.reported {
                let bytes = std::mem::take(undrained);
                carrier.tell_shard(shard, ShardInput::Drained { connection: self.id, bytes });
            }
        }
    }

    /// The client has gone, or has been sent away. What it wished before is done before the shards forget it.
    pub fn end(&mut self, now: Timestamp, carrier: &mut impl Carrier) {
        self.session.lost(now);
        self.send_commands(carrier);
        for (shard, _) in self.undrained.drain() {
            carrier.tell_shard(shard, ShardInput::ConnectionGone(self.id));
        }
    }

    /// Carries what the session asked of the broker to those who do it.
    fn send_commands(&mut self, carrier: &mut impl Carrier) {
        let outgoing = self.session.port().take_outgoing();
        carry(self.id, outgoing, &self.in_flight_limit, &mut self.undrained, carrier);
    }
}

/// Carries what the port of a client has said to those whom it concerns. `told` has an entry for every shard that was told
/// anything.
pub(crate) fn carry<T: Default>(
    id: ConnectionId,
    outgoing: &mut Outgoing,
    in_flight_limit: &Arc<InFlightLimit>,
    told: &mut ByShard<T>,
    carrier: &mut impl Carrier,
) {
    let origin = Origin::Connection(id);
    for (shard, commands) in outgoing.shards.drain() {
        told.of(shard);
        let permit = Some(in_flight_limit.acquire(commands.iter().map(ShardCommand::footprint).sum()));
        carrier.tell_shard(shard, ShardInput::Commands { origin, commands, permit });
    }
    carrier.tell_catalog(outgoing.catalog.drain(..).map(CatalogInput::Command));
    carrier.reply_directly(&mut outgoing.direct);
}
