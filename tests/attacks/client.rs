//! A client of the attackers, or one that only wants to work: it sends what was encoded before, as fast as the socket
//! takes it, and looks at no more of the answers than what they are.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use leveret_codec::frame::{FrameKind, PROTOCOL_HEADER, decode};
use leveret_codec::method::{Method, method_id, parse_content_header, parse_method};
use leveret_codec::properties::Properties;
use socket2::{Domain, Socket, Type};

use crate::wire::{self, Id};

/// A broker that owes an answer for so long is given up.
const PATIENCE: Duration = Duration::from_secs(180);
/// A socket that has taken nothing for so long is full.
const STALLED: Duration = Duration::from_millis(1_000);

pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    /// Where the first frame begins that was not looked at.
    at: usize,
    /// How often the broker has said connection.blocked or connection.unblocked.
    pub(crate) blockings: usize,
    /// The newest publish that was confirmed.
    confirmed: u64,
    /// How long an answer may take.
    patience: Duration,
    /// The header and the body of the content that came last.
    pub(crate) header: Vec<u8>,
    pub(crate) body: usize,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Client {
        Client::of(TcpStream::connect(("127.0.0.1", port)).expect("the broker listens"))
    }

    /// One whose side of the network takes very little before it is full.
    pub(crate) fn connect_narrowly(port: u16) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("the broker listens");
        Client::of(socket.into())
    }

    fn of(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("an option of the socket");
        let (received, header) = (Vec::new(), Vec::new());
        Client { stream, received, at: 0, blockings: 0, confirmed: 0, patience: PATIENCE, header, body: 0 }
    }

    /// Logged in as guest, with channel 1 open.
    pub(crate) fn open(port: u16) -> Client {
        let mut client = Client::connect(port);
        client.log_in(0);
        client
    }

    /// The same, on a narrow network.
    pub(crate) fn open_narrowly(port: u16) -> Client {
        let mut client = Client::connect_narrowly(port);
        client.log_in(0);
        client
    }

    /// Says the whole handshake, and opens channel 1.
    pub(crate) fn log_in(&mut self, heartbeat: u16) {
        self.send(&PROTOCOL_HEADER);
        self.ask(&wire::start_ok("guest", "guest"), wire::TUNE);
        self.ask(&wire::tune_and_open(heartbeat), wire::OPEN_OK);
        self.ask(&wire::open_channel(1), wire::CHANNEL_OPEN_OK);
    }

    /// The same socket, to shut it down from elsewhere.
    pub(crate) fn socket(&self) -> TcpStream {
        self.stream.try_clone().expect("a descriptor")
    }

    /// Sends all of it.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        self.stream.write_all(bytes).expect("the broker takes what is sent");
    }

    /// Sends it and waits for this answer.
    pub(crate) fn ask(&mut self, bytes: &[u8], answer: Id) {
        self.send(bytes);
        self.hear(answer, 1);
    }

    /// Sends it again and again, until so many bytes are sent or the socket takes nothing more; the answers are not
    /// read. Returns how many were sent.
    pub(crate) fn flood(&mut self, bytes: &[u8], most: usize) -> usize {
        self.stream.set_write_timeout(Some(STALLED)).expect("a timeout can be set");
        let (mut sent, mut since) = (0, Instant::now());
        while sent < most {
            // Whole frames, whatever the socket took of them.
            match self.stream.write(&bytes[sent % bytes.len()..]) {
                Ok(taken) => (sent, since) = (sent + taken, Instant::now()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if since.elapsed() >= STALLED {
                        break;
                    }
                }
                // It was thrown out.
                Err(_) => break,
            }
        }
        sent
    }

    /// Waits for so many methods of this kind; passes over all others.
    pub(crate) fn hear(&mut self, wanted: Id, count: usize) {
        let mut left = count;
        while left > 0 {
            let heard = self.next().expect("the broker goes on");
            left -= usize::from(heard == wanted);
            let closed = matches!(heard, wire::CONNECTION_CLOSE | wire::CHANNEL_CLOSE) && heard != wanted;
            assert!(!closed, "the broker closed: {}", String::from_utf8_lossy(&self.received[..self.at]));
        }
    }

    /// Waits for whichever of these comes first; passes over others.
    pub(crate) fn hear_one_of(&mut self, wanted: &[Id]) -> Id {
        loop {
            let heard = self.next().expect("the broker goes on");
            if wanted.contains(&heard) {
                return heard;
            }
        }
    }

    /// Waits until the publish with this number is confirmed.
    pub(crate) fn hear_confirm(&mut self, number: u64) {
        while self.confirmed < number {
            self.hear(wire::ACK, 1);
        }
    }

    /// Whether this method comes before so much time has passed.
    pub(crate) fn hears_within(&mut self, wanted: Id, patience: Duration) -> bool {
        self.patience = patience;
        let heard = loop {
            match self.next() {
                Some(heard) if heard == wanted => break true,
                Some(_) => {}
                None => break false,
            }
        };
        self.patience = PATIENCE;
        heard
    }

    /// Waits for the whole body of a content whose method was heard.
    pub(crate) fn hear_content(&mut self) {
        self.step().expect("the header");
        while (self.body as u64) < parse_content_header(&self.header).map_or(0, |header| header.body_size) {
            self.step().expect("the body");
        }
    }

    /// Where the content that was heard last asks to be answered.
    pub(crate) fn reply_to(&self) -> String {
        let header = parse_content_header(&self.header).expect("a content header");
        let address = Properties::trusted(header.properties).reply_to().expect("a reply-to");
        String::from_utf8(address.to_vec()).expect("a text")
    }

    /// Reads what comes and throws it away, until the broker closes. False where it does not in time.
    pub(crate) fn is_thrown_out_within(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut waste = vec![0; 64 << 10];
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.stream.set_read_timeout(Some(left)).expect("a timeout can be set");
            match self.stream.read(&mut waste) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return true,
            }
        }
        false
    }

    /// The next method; its content, where it has one, is passed over with what comes after. None where the broker
    /// has closed the socket, or says nothing for too long.
    fn next(&mut self) -> Option<Id> {
        loop {
            if let Some(id) = self.step()? {
                return Some(id);
            }
        }
    }

    /// One frame. The method where it is one.
    fn step(&mut self) -> Option<Option<Id>> {
        loop {
            if let Some(frame) = decode(&self.received[self.at..], 0).expect("sound frames") {
                self.at += frame.wire_len();
                let id = match frame.kind {
                    FrameKind::Method => {
                        if let Ok(Method::Ack { delivery_tag, .. }) = parse_method(frame.payload) {
                            self.confirmed = self.confirmed.max(delivery_tag);
                        }
                        method_id(frame.payload).map(|id| (id.class, id.method))
                    }
                    FrameKind::Header => {
                        (self.header, self.body) = (frame.payload.to_vec(), 0);
                        None
                    }
                    FrameKind::Body => {
                        self.body += frame.payload.len();
                        None
                    }
                    FrameKind::Heartbeat => None,
                };
                if !matches!(id, Some(wire::BLOCKED | wire::UNBLOCKED)) {
                    return Some(id);
                }
                self.blockings += 1;
                continue;
            }
            self.received.drain(..self.at);
            self.at = 0;
            let (len, room) = (self.received.len(), 256 << 10);
            self.received.resize(len + room, 0);
            self.stream.set_read_timeout(Some(self.patience)).expect("a timeout can be set");
            let read = self.stream.read(&mut self.received[len..]).unwrap_or(0);
            self.received.truncate(len + read);
            if read == 0 {
                return None;
            }
        }
    }
}
