//! A small blocking client that can send anything: the socket, frames in and out, and the handshake. Frames are put
//! together to events in `assembly`; what channels do with them is in `channel`.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use leveret_codec::frame::{self, FrameKind};
use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::method::{MethodId, method_id};

use crate::assembly::{Assembly, Event, Input};
use crate::channel::Channel;
use crate::outcome::{Step, fail, fits};
use crate::trace::Trace;
use crate::wire::{self, Payload, Table, id};

/// How long an answer may take; the machine may be busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Where to connect to and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) vhost: String,
    /// Where its management interface is, and `USER:PASSWORD` for it.
    pub(crate) management: Option<(String, String)>,
    /// A shell command by which its operator does things to it.
    pub(crate) operator: Option<String>,
}

/// What connection.start said.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    pub(crate) version: (u8, u8),
    pub(crate) mechanisms: String,
    pub(crate) locales: String,
    pub(crate) properties: leveret_codec::table::FieldTable,
}

/// What connection.tune proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tune {
    pub(crate) channel_max: u16,
    pub(crate) frame_max: u32,
    pub(crate) heartbeat: u16,
}

/// How a case logs in where it does not want the usual.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) properties: Table,
    pub(crate) mechanism: String,
    pub(crate) response: Vec<u8>,
    pub(crate) channel_max: u16,
    pub(crate) frame_max: u32,
    pub(crate) heartbeat: u16,
    pub(crate) vhost: String,
}

impl Login {
    pub(crate) fn of(target: &Target) -> Login {
        let capabilities = Table::new()
            .set("consumer_cancel_notify", true)
            .set("connection.blocked", true)
            .set("authentication_failure_close", true)
            .set("basic.nack", true)
            .set("publisher_confirms", true);
        Login {
            properties: Table::new().set("product", "leveret-conformance").set("capabilities", &capabilities),
            mechanism: "PLAIN".into(),
            response: format!("\0{}\0{}", target.user, target.password).into_bytes(),
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 0,
            vhost: target.vhost.clone(),
        }
    }

    /// Without any capability.
    pub(crate) fn plain(mut self) -> Login {
        self.properties = Table::new();
        self
    }
}

/// A connection; clones are the same one.
#[derive(Clone)]
pub(crate) struct Connection(Rc<RefCell<State>>);

struct State {
    stream: TcpStream,
    unread: Vec<u8>,
    assembly: Assembly,
    last_channel: u16,
    trace: Trace,
}

impl Connection {
    /// A TCP connection on which nothing was sent.
    pub(crate) fn tcp(target: &Target, trace: &Trace) -> Step<Connection> {
        let stream = match TcpStream::connect((target.host.as_str(), target.port)) {
            Ok(stream) => stream,
            Err(error) => return fail(format!("connecting: {error}")),
        };
        // A case that waits for a small frame to leave must not wait for another one behind it.
        let _ = stream.set_nodelay(true);
        Ok(Connection(Rc::new(RefCell::new(State {
            stream,
            unread: Vec::new(),
            assembly: Assembly::default(),
            last_channel: 0,
            trace: trace.clone(),
        }))))
    }

    /// Logs in all the way to open-ok.
    pub(crate) fn login(target: &Target, trace: &Trace, login: &Login) -> Step<Connection> {
        let connection = Connection::tcp(target, trace)?;
        connection.greet()?;
        connection.start_ok(login);
        connection.tune()?;
        connection.tune_ok(login.channel_max, login.frame_max, login.heartbeat);
        connection.open(&login.vhost);
        connection.expect(id(10, 41))?;
        Ok(connection)
    }

    /// Sends the protocol header and reads connection.start.
    pub(crate) fn greet(&self) -> Step<Greeting> {
        self.write(&frame::PROTOCOL_HEADER);
        let event = self.expect(id(10, 10))?;
        match event.method {
            AMQPClass::Connection(leveret_codec::method::amqp::connection::AMQPMethod::Start(start)) => {
                Ok(Greeting {
                    version: (start.version_major, start.version_minor),
                    mechanisms: start.mechanisms.to_string(),
                    locales: start.locales.to_string(),
                    properties: start.server_properties,
                })
            }
            other => fail(format!("no connection.start: {other:?}")),
        }
    }

    pub(crate) fn start_ok(&self, login: &Login) {
        let payload = Payload::method(10, 11).table(&login.properties).text(&login.mechanism);
        self.send(0, payload.long_text(&login.response).text("en_US"));
    }

    pub(crate) fn tune(&self) -> Step<Tune> {
        match self.expect(id(10, 30))?.method {
            AMQPClass::Connection(leveret_codec::method::amqp::connection::AMQPMethod::Tune(tune)) => {
                Ok(Tune {
                    channel_max: tune.channel_max,
                    frame_max: tune.frame_max,
                    heartbeat: tune.heartbeat,
                })
            }
            other => fail(format!("no connection.tune: {other:?}")),
        }
    }

    pub(crate) fn tune_ok(&self, channel_max: u16, frame_max: u32, heartbeat: u16) {
        self.send(0, Payload::method(10, 31).short(channel_max).long(frame_max).short(heartbeat));
    }

    pub(crate) fn open(&self, vhost: &str) {
        self.send(0, Payload::method(10, 40).text(vhost).text("").bits(&[false]));
    }

    /// Opens the next channel.
    pub(crate) fn channel(&self) -> Step<Channel> {
        let number = {
            let mut state = self.0.borrow_mut();
            state.last_channel += 1;
            state.last_channel
        };
        let channel = self.unopened(number);
        channel.open()?;
        Ok(channel)
    }

    /// A channel of this number on which nothing was sent.
    pub(crate) fn unopened(&self, number: u16) -> Channel {
        Channel { connection: self.clone(), number }
    }

    /// Sends a method frame.
    pub(crate) fn send(&self, channel: u16, payload: Payload) {
        self.write(&wire::frame(1, channel, &payload.0));
    }

    /// Writes bytes as they are. A write that fails is noted: what the broker said before is still read.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let state = &mut *self.0.borrow_mut();
        state.trace.sent(bytes);
        if let Err(error) = state.stream.write_all(bytes) {
            state.trace.note(&format!("writing: {error}"));
        }
    }

    /// The next frame, or how the wait for it ended.
    pub(crate) fn read(&self, patience: Duration) -> Step<Input> {
        let state = &mut *self.0.borrow_mut();
        let deadline = Instant::now() + patience;
        loop {
            if let Some(input) = state.decode()? {
                state.trace.received(&input);
                return Ok(input);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Input::Timeout);
            }
            let _ = state.stream.set_read_timeout(Some(left));
            let mut bytes = [0; 65536];
            match state.stream.read(&mut bytes) {
                Ok(0) => return Ok(state.ended()),
                Ok(len) => state.unread.extend_from_slice(&bytes[..len]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Ok(state.ended()),
                },
            }
        }
    }

    /// The next event on a channel; those of other channels wait for their turn, those of channel 0 concern all.
    /// None where nothing comes in time. Heartbeats are passed over. The end of the connection is a failure.
    pub(crate) fn event(&self, channel: u16, patience: Duration) -> Step<Option<Event>> {
        let deadline = Instant::now() + patience;
        loop {
            let found = self.0.borrow_mut().assembly.next(channel);
            if found.is_some() {
                return Ok(found);
            }
            match self.read(deadline.saturating_duration_since(Instant::now()))? {
                Input::Frame { kind, channel, payload } => {
                    self.0.borrow_mut().assembly.take(kind, channel, &payload)?;
                }
                Input::Timeout => return Ok(None),
                Input::End => return fail("the broker closed the socket"),
                Input::ProtocolHeader(bytes) => return fail(format!("a protocol header: {bytes:?}")),
            }
        }
    }

    /// The next event of the connection itself, which must be this method.
    pub(crate) fn expect(&self, expected: MethodId) -> Step<Event> {
        self.unopened(0).expect(expected)
    }

    /// connection.close with this code, failing method and text (`*`: anything); answers it, and sees the socket end.
    pub(crate) fn closes(&self, code: u16, at_fault: MethodId, text: &str) -> Step {
        let Some(event) = self.event(0, PATIENCE)? else {
            return fail(format!("no connection.close with {code}"));
        };
        check_close(&event, id(10, 50), code, at_fault, text)?;
        self.send(0, Payload::method(10, 51));
        self.ends()
    }

    /// The same, where a broker may as well end the socket without a word. False where it did.
    pub(crate) fn closes_or_ends(&self, code: u16, at_fault: MethodId, text: &str) -> Step<bool> {
        match self.read(PATIENCE)? {
            Input::End => Ok(false),
            Input::Frame { kind, channel, payload } => {
                self.0.borrow_mut().assembly.take(kind, channel, &payload)?;
                self.closes(code, at_fault, text).map(|()| true)
            }
            Input::Timeout => fail("neither connection.close nor the end of the socket"),
            Input::ProtocolHeader(bytes) => fail(format!("a protocol header: {bytes:?}")),
        }
    }

    /// A connection.close with one of these codes, whatever its text; or the end of the socket without one, as 0.
    pub(crate) fn close_code(&self) -> Step<u16> {
        loop {
            match self.read(PATIENCE)? {
                Input::Frame { payload, .. } if method_id(&payload) == Some(id(10, 50)) => {
                    self.send(0, Payload::method(10, 51));
                    let code =
                        payload.get(4..6).map_or(0, |code| u16::from(code[0]) << 8 | u16::from(code[1]));
                    return Ok(code);
                }
                Input::Frame { .. } => {}
                Input::End => return Ok(0),
                Input::Timeout => return fail("neither connection.close nor the end of the socket"),
                Input::ProtocolHeader(bytes) => return fail(format!("a protocol header: {bytes:?}")),
            }
        }
    }

    /// The broker closes the socket, and sends nothing before but heartbeats.
    pub(crate) fn ends(&self) -> Step {
        self.ends_within(PATIENCE)
    }

    pub(crate) fn ends_within(&self, patience: Duration) -> Step {
        loop {
            match self.read(patience)? {
                Input::End => return Ok(()),
                Input::Frame { kind: FrameKind::Heartbeat, .. } => {}
                Input::Timeout => return fail("the socket stays open"),
                other => return fail(format!("instead of the end of the socket: {other:?}")),
            }
        }
    }

    /// Closes the connection and waits for close-ok, passing over what was under way.
    pub(crate) fn close(&self) -> Step {
        self.send(0, Payload::method(10, 50).short(200).text("OK").short(0).short(0));
        loop {
            match self.event(0, PATIENCE)? {
                Some(event) if event.id == id(10, 51) => return Ok(()),
                Some(_) => {}
                None => return fail("no connection.close-ok"),
            }
        }
    }

    /// Cuts the TCP connection.
    pub(crate) fn cut(&self) {
        let _ = self.0.borrow().stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Holds a close (of a connection or a channel) against what it should say.
pub(crate) fn check_close(
    event: &Event,
    expected: MethodId,
    code: u16,
    at_fault: MethodId,
    text: &str,
) -> Step {
    use leveret_codec::method::amqp::{channel, connection};
    let (seen_code, seen_text, seen_id) = match &event.method {
        AMQPClass::Connection(connection::AMQPMethod::Close(close)) if expected.class == 10 => {
            (close.reply_code, close.reply_text.as_str(), id(close.class_id, close.method_id))
        }
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) if expected.class == 20 => {
            (close.reply_code, close.reply_text.as_str(), id(close.class_id, close.method_id))
        }
        other => {
            let scope = if expected.class == 10 { "connection" } else { "channel" };
            return fail(format!("expected {scope}.close with {code}, saw {other:?}"));
        }
    };
    if (seen_code, seen_id) == (code, at_fault) && fits(text, seen_text) {
        return Ok(());
    }
    fail(format!(
        "expected close {code} at {}.{} {text:?}, saw {seen_code} at {}.{} {seen_text:?}",
        at_fault.class, at_fault.method, seen_id.class, seen_id.method
    ))
}

impl State {
    fn ended(&mut self) -> Input {
        self.trace.received(&Input::End);
        Input::End
    }

    fn decode(&mut self) -> Step<Option<Input>> {
        if let Some((first, rest)) = self.unread.split_first_chunk::<8>()
            && first.starts_with(b"AMQP")
        {
            let (first, rest) = (*first, rest.to_vec());
            self.unread = rest;
            return Ok(Some(Input::ProtocolHeader(first)));
        }
        match frame::decode(&self.unread, 0) {
            Ok(None) => Ok(None),
            Ok(Some(found)) => {
                let input = Input::Frame {
                    kind: found.kind,
                    channel: found.channel,
                    payload: found.payload.to_vec(),
                };
                let len = found.wire_len();
                self.unread.drain(..len);
                Ok(Some(input))
            }
            Err(error) => fail(format!("the broker sent what is no frame: {error}")),
        }
    }
}
