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
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::sleep_until;
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::budget::WorkBegun;
use super::clock::Clock;
use super::hub::{ConnectionMailbox, Hub};
use super::owners::Conversation;
use super::run::random_seed;
use super::supervisor::contained;
use crate::broker::port::Port;
use crate::broker::view::View;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::Name;
use crate::model::peer::Ends;
use crate::session::{PeerInfo, Session, SessionLimits};

/// How much one read may bring, at the least and the most.
const LEAST_READ: usize = 4 << 10;
const MOST_READ: usize = 256 << 10;
/// How many pieces one vectored write sends.
const PIECES: usize = 64;
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
    conversation: Conversation,
    mailbox: ConnectionMailbox,
    around: Arc<Surroundings>,
    input: BytesMut,
    read_size: usize,
    end_of_input: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr, around: Arc<Surroundings>) -> Connection {
        let (id, mailbox) = around.hub.register();
        let shards = around.hub.shard_count();
        let port = Port::new(id, shards, Arc::clone(&around.view), random_seed())
            .between(Ends { client: peer, server: stream.local_addr().unwrap_or(around.address) })
            .with_anonymous(around.anonymous_user.clone());
        let peer = PeerInfo { loopback: peer.ip().to_canonical().is_loopback(), seed: random_seed() };
        let session = Session::new(around.clock.now(), Arc::clone(&around.limits), peer, port);
        Connection {
            stream,
            conversation: Conversation::new(id, session, shards, Arc::clone(&around.begun)),
            mailbox,
            input: BytesMut::new(),
            read_size: LEAST_READ,
            end_of_input: false,
            around,
        }
    }

    /// Serves the client until either side is done, then takes leave of everybody.
    pub(crate) async fn run(mut self, peer: SocketAddr) {
        let id = self.conversation.id();
        debug!(connection = id.0, %peer, "accepted");
        // What the client had is given back also where a defect ends it.
        let outcome = contained(self.serve()).await;
        let outcome =
            outcome.unwrap_or_else(|panic| Err(io::Error::other(format!("its task panicked: {panic}"))));
        if outcome.is_ok() && !self.end_of_input {
            self.linger().await;
        }
        let hub = &*self.around.hub;
        self.conversation.end(self.around.clock.now(), &mut &*hub);
        hub.unregister(id);
        match outcome {
            Ok(()) => debug!(connection = id.0, %peer, "closed"),
            Err(error) => info!(connection = id.0, %peer, %error, "lost"),
        }
    }

    async fn serve(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        let mut goodbye: Option<tokio::time::Instant> = None;
        loop {
            let now = self.around.clock.now();
            self.mailbox.take(&mut events);
            self.conversation.hear(now, &mut events);
            let reading = self.may_read();
            self.session().set_reading(reading);
            let reads = reading && self.session().wants_input();
            if reads {
                poll_fn(|context| Poll::Ready(self.read(context))).await?;
            }
            self.conversation.work(now, reads.then_some(&mut self.input), &mut &*self.around.hub);
            self.write()?;
            let written = self.session().output().is_empty();
            if (self.session().is_over() && written) || self.end_of_input {
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
            self.wait(goodbye).await?;
        }
    }

    /// Says that nothing more comes, and reads on until the client has gone too: a socket closed over unread input is
    /// reset, and the client would lose our last words.
    async fn linger(&mut self) {
        let farewell = async {
            self.stream.shutdown().await?;
            let mut discarded = [0; 4096];
            while self.stream.read(&mut discarded).await? > 0 {}
            io::Result::Ok(())
        };
        // Whatever goes wrong now only means that the client has gone.
        let _ = tokio::time::timeout(LINGER, farewell).await;
    }

    /// Returns once there may be something to do.
    async fn wait(&mut self, goodbye: Option<tokio::time::Instant>) -> io::Result<()> {
        let wants_input = self.session().wants_input();
        let held_up = wants_input && !self.may_read();
        let interest = match (wants_input && !held_up, self.session().output().is_empty()) {
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
            () = self.mailbox.arrival() => {}
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

    fn session(&mut self) -> &mut Session<Port> {
        self.conversation.session()
    }

    /// Reads once, as much as there is and fits. Where the last read got less than would have fitted, the socket is
    /// known to be empty and not asked again before it says otherwise.
    fn read(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.input.reserve(self.read_size);
        match poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input) {
            Poll::Ready(Ok(0)) => self.end_of_input = true,
            Poll::Ready(Ok(read)) if read >= self.read_size => {
                self.read_size = (self.read_size * 2).min(MOST_READ);
            }
            Poll::Ready(Ok(read)) if read < self.read_size / 4 => {
                self.read_size = (self.read_size / 2).max(LEAST_READ);
            }
            Poll::Ready(Ok(_)) => {}
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
    fn write(&mut self) -> io::Result<()> {
        let output = self.conversation.session().output();
        while !output.is_empty() {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let filled = output.chunks(&mut pieces);
            match self.stream.try_write_vectored(&pieces[..filled]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => output.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        output.release();
        self.conversation.report_drained(&mut &*self.around.hub);
        Ok(())
    }
}
