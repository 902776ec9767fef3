//! The task of one client connection: reads the socket into the session, carries the session's commands to shards and
//! catalog, tells it what they answer, and writes what it has to say.

use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::connection_log::{self, Ended};
use super::connections::Inbox;
use super::current_limits::CurrentLimits;
use super::in_flight::WorkBegun;
use super::mailboxes::Mailboxes;
use super::owners::ConnectionActor;
use super::random::random_seed;
use super::router::Router;
use super::supervisor::contained;
use super::timer::Timer;
use super::transport::{Moved, Transport, Wire};
use crate::model::event::SessionEvent;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::{Name, Timestamp};
use crate::model::peer::Ends;
use crate::port::{Port, SharedByPorts};
use crate::session::{End, PeerInfo, Session};

/// How much is read of a client that has too much waiting for it, so that its heartbeats are heard.
const READ_AHEAD: usize = 64 << 10;
/// How many milliseconds a stopping broker waits for a client to answer connection.close.
const GOODBYE: u64 = 3_000;

/// What every connection shares.
pub(crate) struct ServerContext {
    pub(crate) mailboxes: Arc<Mailboxes>,
    pub(crate) ports: Arc<SharedByPorts>,
    pub(crate) clock: Clock,
    pub(crate) limits: Arc<CurrentLimits>,
    /// What all connections have begun.
    pub(crate) begun: Arc<WorkBegun>,
    /// What is listened on.
    pub(crate) address: SocketAddr,
    /// Who logs in by ANONYMOUS.
    pub(crate) anonymous_user: Option<Name>,
    pub(crate) stop: CancellationToken,
}

/// What clients are told where the broker goes, or is to serve nobody any more.
pub(super) fn shutdown() -> Fault {
    Fault::new(ReplyCode::ConnectionForced, "broker forced connection closure with reason 'shutdown'")
}

pub(crate) struct Connection<S> {
    wire: Wire<S>,
    peer: SocketAddr,
    actor: ConnectionActor,
    inbox: Arc<Inbox>,
    context: Arc<ServerContext>,
    timer: Timer,
    end_of_input: bool,
}

impl<S: Transport> Connection<S> {
    /// `ends`: who speaks to whom by `stream`.
    pub(crate) fn new(stream: S, ends: Ends, context: Arc<ServerContext>) -> Connection<S> {
        let (id, inbox) = context.mailboxes.connections().register();
        let shards = context.mailboxes.shard_count();
        let peer = ends.client;
        let port = Port::new(id, Arc::clone(&context.ports), random_seed())
            .between(ends)
            .with_anonymous(context.anonymous_user.clone());
        let info = PeerInfo { loopback: peer.ip().to_canonical().is_loopback(), seed: random_seed() };
        let session = Session::new(context.clock.now(), context.limits.get(), info, port);
        Connection {
            wire: Wire::new(stream),
            peer,
            actor: ConnectionActor::new(id, session, shards, Arc::clone(&context.begun)),
            inbox,
            timer: Timer::new(context.clock),
            end_of_input: false,
            context,
        }
    }

    /// Serves the client until either side is done, then takes leave of everybody, of the client last.
    pub(crate) async fn run(mut self) {
        // What the client had is given back also where a defect ends it.
        let outcome = contained(self.serve()).await;
        let outcome =
            outcome.unwrap_or_else(|panic| Err(io::Error::other(format!("its task panicked: {panic}"))));
        let mailboxes = &*self.context.mailboxes;
        self.actor.end(self.context.clock.now(), &mut Router::new(mailboxes));
        mailboxes.connections().unregister(self.actor.id());
        self.inbox.give_up();
        connection_log::ended(&self.ended(outcome.as_ref().err()));
        let was_heard = self.end_of_input || outcome.is_err();
        let gave_up = self.session().gave_up();
        let Connection { wire, .. } = self;
        if gave_up {
            wire.abandon();
        } else if !was_heard || !wire.is_flushed() {
            wire.linger().await;
        }
    }

    async fn serve(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        let mut goodbye: Option<Timestamp> = None;
        let mut moved = Moved::default();
        loop {
            let now = self.context.clock.now();
            poll_fn(|context| Poll::Ready(self.turn(now, &mut events, std::mem::take(&mut moved), context)))
                .await?;
            if self.session().is_over() && self.session().output().is_empty() {
                return Ok(());
            }
            if goodbye.is_none() && self.context.mailboxes.connections().is_stopping() {
                goodbye = Some(now.plus_millis(GOODBYE));
                self.session().shut_down(shutdown());
                continue;
            }
            if goodbye.is_some_and(|end| end <= self.context.clock.now()) {
                return Ok(());
            }
            if self.session().can_go_on() || self.actor.is_asked() {
                // Whom it has woken may wait on this very thread.
                yield_now().await;
            } else {
                moved = self.wait(&mut events, goodbye).await?;
            }
        }
    }

    /// Hears what has come from others, and from the client beside what has `moved` already; works, and writes.
    fn turn(
        &mut self,
        now: Timestamp,
        events: &mut Vec<SessionEvent>,
        moved: Moved,
        context: &mut Context<'_>,
    ) -> io::Result<()> {
        self.inbox.mailbox.take(events);
        let replies = self.actor.take_events(now, events);
        if replies > 0 {
            self.inbox.backlog.reply_arrived(replies);
        }
        let limit = self.inbox.backlog.limit();
        self.session().set_output_limit(limit);
        let reads = self.reads();
        self.session().set_reading(reads);
        if let Some(read) = moved.read {
            self.heard(now, read);
        } else if reads {
            let trusted = self.is_trusted();
            if let Poll::Ready(read) = self.wire.poll_read(trusted, context) {
                self.heard(now, read?);
            }
        }
        let most = self.context.mailboxes.connections().in_flight_limit();
        let router = &mut Router::new(&self.context.mailboxes);
        self.actor.work(now, &mut self.wire.input, most, router);
        let output = self.actor.session().output();
        let written = moved.written + self.wire.write(output, context)?;
        self.inbox.backlog.set_output(output.len());
        self.actor.written(now, written, router);
        if let Some(said) = self.actor.answer() {
            self.inbox.answer(said);
        }
        Ok(())
    }

    /// Returns once there may be something to do, with what of the client's input and output has moved.
    async fn wait(
        &mut self,
        events: &mut Vec<SessionEvent>,
        goodbye: Option<Timestamp>,
    ) -> io::Result<Moved> {
        let held_up = !self.may_read() && (self.session().wants_input() || self.session().is_laden());
        let reads = self.reads().then(|| self.is_trusted());
        let deadline = self.session().next_deadline().into_iter().chain(goodbye).min();
        let in_flight_limit = held_up.then(|| Arc::clone(self.actor.in_flight_limit()));
        let Connection { wire, actor, inbox, context, timer, .. } = self;
        let output = actor.session().output();
        let returned = async {
            match &in_flight_limit {
                Some(in_flight_limit) => in_flight_limit.returned().await,
                None => pending().await,
            }
        };
        let connections = context.mailboxes.connections();
        let posted = poll_fn(|context| match inbox.mailbox.poll_arrival(events, context) {
            Poll::Pending if goodbye.is_some() || !connections.is_stopping() => Poll::Pending,
            _ => Poll::Ready(()),
        });
        tokio::select! {
            biased;
            moved = poll_fn(|context| wire.poll_move(reads, output, context)) => return moved,
            () = posted => {}
            () = returned => {}
            () = poll_fn(|context| timer.poll(deadline, context)) => {}
        }
        Ok(Moved::default())
    }

    /// Whether more may be read: not while too much of the client's work is in flight.
    fn may_read(&self) -> bool {
        self.actor.may_read(self.context.mailboxes.connections().in_flight_limit())
    }

    /// Whether the socket is read. Where the client does not read what it is sent, a little more is read and kept as it
    /// is: that is how its heartbeats are heard, and their absence.
    fn reads(&mut self) -> bool {
        if self.end_of_input || !self.may_read() {
            return false;
        }
        let read_ahead = self.wire.input.len();
        let session = self.session();
        session.wants_input() || (session.is_full() && !session.is_over() && read_ahead < READ_AHEAD)
    }

    fn session(&mut self) -> &mut Session<Port> {
        self.actor.session()
    }

    /// Whoever has not opened the connection has nothing to say that is long.
    fn is_trusted(&mut self) -> bool {
        self.session().vhost().is_some()
    }

    /// So many bytes were read; 0 where the client sends no more.
    fn heard(&mut self, now: Timestamp, read: usize) {
        if read == 0 {
            self.end_of_input = true;
            self.session().end_of_input(now);
        } else {
            self.session().note_heard(read);
        }
    }

    /// What the log says of it.
    fn ended(&mut self, error: Option<&io::Error>) -> Ended {
        let connection = self.actor.id();
        let session = self.actor.session();
        let reason = match (session.end(), error) {
            (Some(end), _) => end.to_string(),
            (None, Some(error)) => format!("lost: {error}"),
            (None, None) => "the broker stops".to_owned(),
        };
        Ended {
            connection,
            peer: self.peer,
            is_ordinary: error.map_or_else(
                || session.end().is_some_and(End::is_ordinary),
                |error| error.kind() != io::ErrorKind::Other,
            ),
            reason,
            user: session.user().cloned(),
            vhost: session.vhost().cloned(),
            tally: session.tally(),
            bytes_in: self.wire.bytes_in(),
            bytes_out: self.wire.bytes_out(),
            dropped_replies: self.inbox.backlog.dropped_replies(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    fn bytes_of_task<F: Future>(_: fn(Connection<TcpStream>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_client_that_says_nothing_is_cheap() {
        let bytes = bytes_of_task(Connection::run);
        assert!(bytes < 6 << 10, "each connection has a task of {bytes} bytes");
    }
}
