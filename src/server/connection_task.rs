//! The task of one client connection: reads the socket into the session, carries the session's wishes to shards and
//! catalog, tells it what they answer, and writes what it has to say.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::sleep_until;
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;

use super::budget::WorkBegun;
use super::clock::Clock;
use super::connection_log::{self, Ended};
use super::hub::{Hub, Inbox};
use super::owners::Conversation;
use super::run::random_seed;
use super::supervisor::contained;
use crate::broker::port::Port;
use crate::broker::view::View;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::{Name, Timestamp};
use crate::model::peer::Ends;
use crate::session::{End, PeerInfo, Session, SessionLimits};

/// How much one read may bring, at the least and the most.
const LEAST_READ: usize = 4 << 10;
const MOST_READ: usize = 256 << 10;
/// How many pieces one vectored write sends.
const PIECES: usize = 64;
/// How much is read of a client that has too much waiting for it, so that its heartbeats are heard.
const READ_AHEAD: usize = 64 << 10;
/// How long a stopping broker waits for a client to answer connection.close.
const GOODBYE: Duration = Duration::from_secs(3);
/// How long a client may take to close its side after the last word was said.
const LINGER: Duration = Duration::from_secs(1);

/// What every connection shares.
pub(crate) struct Surroundings {
    pub(crate) hub: Arc<Hub>,
    pub(crate) view: Arc<View>,
    pub(crate) clock: Clock,
    pub(crate) limits: Arc<SessionLimits>,
    /// What all connections have begun.
    pub(crate) begun: Arc<WorkBegun>,
    /// What is listened on.
    pub(crate) address: SocketAddr,
    /// Who logs in by ANONYMOUS.
    pub(crate) anonymous_user: Option<Name>,
    pub(crate) stop: CancellationToken,
}

pub(crate) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    conversation: Conversation,
    inbox: Arc<Inbox>,
    around: Arc<Surroundings>,
    input: BytesMut,
    read_size: usize,
    end_of_input: bool,
    bytes_in: u64,
    bytes_out: u64,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr, around: Arc<Surroundings>) -> Connection {
        let (id, inbox) = around.hub.register();
        let shards = around.hub.shard_count();
        let port = Port::new(id, shards, Arc::clone(&around.view), random_seed())
            .between(Ends { client: peer, server: stream.local_addr().unwrap_or(around.address) })
            .with_anonymous(around.anonymous_user.clone());
        let info = PeerInfo { loopback: peer.ip().to_canonical().is_loopback(), seed: random_seed() };
        let session = Session::new(around.clock.now(), Arc::clone(&around.limits), info, port);
        Connection {
            stream,
            peer,
            conversation: Conversation::new(id, session, shards, Arc::clone(&around.begun)),
            inbox,
            input: BytesMut::new(),
            read_size: LEAST_READ,
            end_of_input: false,
            bytes_in: 0,
            bytes_out: 0,
            around,
        }
    }

    /// Serves the client until either side is done, then takes leave of everybody, of the client last.
    pub(crate) async fn run(mut self) {
        // What the client had is given back also where a defect ends it.
        let outcome = contained(self.serve()).await;
        let outcome =
            outcome.unwrap_or_else(|panic| Err(io::Error::other(format!("its task panicked: {panic}"))));
        let hub = &*self.around.hub;
        self.conversation.end(self.around.clock.now(), &mut &*hub);
        hub.unregister(self.conversation.id());
        connection_log::ended(&self.ended(outcome.as_ref().err()));
        let was_heard = self.end_of_input || outcome.is_err();
        let gave_up = self.session().gave_up();
        let Connection { stream, .. } = self;
        if gave_up {
            // What the kernel still has for the peer goes, too: nobody takes it.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        } else if !was_heard {
            linger(stream).await;
        }
    }

    async fn serve(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        let mut goodbye: Option<tokio::time::Instant> = None;
        loop {
            let now = self.around.clock.now();
            self.inbox.mailbox.take(&mut events);
            let replies = self.conversation.hear(now, &mut events);
            if replies > 0 {
                self.inbox.backlog.reply_arrived(replies);
            }
            let limit = self.inbox.backlog.limit();
            self.session().set_output_limit(limit);
            let reads = self.reads();
            self.session().set_reading(reads);
            if reads {
                poll_fn(|context| Poll::Ready(self.read(now, context))).await?;
            }
            let most = self.around.hub.in_flight_limit();
            self.conversation.work(now, &mut self.input, most, &mut &*self.around.hub);
            self.write(now)?;
            if self.session().is_over() && self.session().output().is_empty() {
                return Ok(());
            }
            if goodbye.is_none() && self.around.stop.is_cancelled() {
                goodbye = Some(tokio::time::Instant::now() + GOODBYE);
                self.session().shut_down(Fault::new(
                    ReplyCode::ConnectionForced,
                    "broker forced connection closure with reason 'shutdown'",
                ));
                continue;
            }
            if goodbye.is_some_and(|end| end <= tokio::time::Instant::now()) {
                return Ok(());
            }
            if self.session().can_go_on() {
                // Whom it has woken may wait on this very thread.
                yield_now().await;
            } else {
                self.wait(goodbye).await?;
            }
        }
    }

    /// Returns once there may be something to do.
    async fn wait(&mut self, goodbye: Option<tokio::time::Instant>) -> io::Result<()> {
        let held_up = !self.may_read() && (self.session().wants_input() || self.session().is_laden());
        let interest = match (self.reads(), self.session().output().is_empty()) {
            (true, true) => Some(Interest::READABLE),
            (true, false) => Some(Interest::READABLE | Interest::WRITABLE),
            (false, false) => Some(Interest::WRITABLE),
            (false, true) => None,
        };
        let deadline = self.session().next_deadline().map(|deadline| self.around.clock.instant(deadline));
        let timer = match (deadline, goodbye) {
            (Some(deadline), Some(goodbye)) => Some(deadline.min(goodbye)),
            (deadline, goodbye) => deadline.or(goodbye),
        };
        tokio::select! {
            ready = self.stream.ready(interest.unwrap_or(Interest::READABLE)), if interest.is_some() => {
                ready?;
            }
            () = self.inbox.mailbox.arrival() => {}
            () = self.conversation.budget().returned(), if held_up => {}
            () = sleep_until(timer.unwrap_or_else(tokio::time::Instant::now)), if timer.is_some() => {}
            () = self.around.stop.cancelled(), if goodbye.is_none() => {}
        }
        Ok(())
    }

    /// Whether more may be read: not while too much of the client's work is in flight.
    fn may_read(&self) -> bool {
        self.conversation.may_read(self.around.hub.in_flight_limit())
    }

    /// Whether the socket is read. Where the client does not read what it is sent, a little more is read and kept as it
    /// is: that is how its heartbeats are heard, and their absence.
    fn reads(&mut self) -> bool {
        if self.end_of_input || !self.may_read() {
            return false;
        }
        let read_ahead = self.input.len();
        let session = self.session();
        session.wants_input() || (session.is_full() && !session.is_over() && read_ahead < READ_AHEAD)
    }

    fn session(&mut self) -> &mut Session<Port> {
        self.conversation.session()
    }

    /// Reads once, as much as there is and fits. Where the last read got less than would have fitted, the socket is
    /// known to be empty and not asked again before it says otherwise.
    fn read(&mut self, now: Timestamp, context: &mut Context<'_>) -> io::Result<()> {
        self.input.reserve(self.read_size);
        match poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input) {
            Poll::Ready(Ok(0)) => {
                self.end_of_input = true;
                self.session().end_of_input(now);
            }
            Poll::Ready(Ok(read)) => {
                self.bytes_in += read as u64;
                self.session().note_heard();
                // Whoever has not opened the connection has nothing to say that is long.
                let most = if self.session().vhost().is_some() { MOST_READ } else { LEAST_READ };
                if read >= self.read_size {
                    self.read_size = (self.read_size * 2).min(most);
                } else if read < self.read_size / 4 {
                    self.read_size = (self.read_size / 2).max(LEAST_READ);
                }
            }
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
            }
        }
        Ok(())
    }

    /// Writes until all is sent or the socket is full.
    fn write(&mut self, now: Timestamp) -> io::Result<()> {
        let output = self.conversation.session().output();
        let mut written = 0;
        while !output.is_empty() {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let filled = output.chunks(&mut pieces);
            match self.stream.try_write_vectored(&pieces[..filled]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    output.advance(sent);
                    written += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.bytes_out += written as u64;
        self.inbox.backlog.set_output(output.len());
        self.conversation.written(now, written, &mut &*self.around.hub);
        Ok(())
    }

    /// What the log says of it.
    fn ended(&mut self, error: Option<&io::Error>) -> Ended {
        let connection = self.conversation.id();
        let session = self.conversation.session();
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
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            dropped_replies: self.inbox.backlog.dropped_replies(),
        }
    }
}

/// Says that nothing more comes, and reads on until the client has gone too: a socket closed over unread input is
/// reset, and the client would lose our last words.
async fn linger(mut stream: TcpStream) {
    let farewell = async {
        stream.shutdown().await?;
        // In a place of its own: an array would be a part of each task from its beginning on.
        let mut discarded = vec![0; 4096];
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever goes wrong now only means that the client has gone.
    let _ = tokio::time::timeout(LINGER, farewell).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of_task<F: Future>(_: fn(Connection) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_client_that_says_nothing_is_cheap() {
        let bytes = bytes_of_task(Connection::run);
        assert!(bytes < 6 << 10, "each connection has a task of {bytes} bytes");
    }
}
