//! One connection to a broker: handshake, calls that wait for their answer, and the two buffers that the hot loops
//! of publishers and consumers use directly.

use std::io::{self, IoSlice, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use leveret_codec::frame::{Frame, FrameKind, PROTOCOL_HEADER};
use leveret_codec::method::amqp::{AMQPClass, basic, channel, connection};
use leveret_codec::method::{Method, parse_method};
use leveret_codec::table::{AMQPValue, FieldTable, ShortString};
use leveret_codec::write::Output;

use super::Inbox;
use crate::target::Uri;

/// A broker that takes or gives nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// What clients commonly ask for, and the most RabbitMQ allows by default.
const FRAME_MAX: u32 = 131_072;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Output,
    pub(crate) frame_max: u32,
    /// What the broker calls itself: product and version.
    pub(crate) server: String,
}

/// What a frame means to somebody who only sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The broker took the messages up to this tag, or this one only.
    Confirm { tag: u64, multiple: bool },
    /// Nothing to act on.
    Nothing,
}

impl Connection {
    /// Connects, logs in and opens channel 1. Heartbeats are off: a measured run is short, and watched.
    pub(crate) fn open(uri: &Uri) -> Result<Connection> {
        Connection::open_with(uri, Inbox::default())
    }

    /// The same with a buffer of the caller's choice; it must hold a frame of 128 KB only if deliveries are read.
    pub(crate) fn open_with(uri: &Uri, inbox: Inbox) -> Result<Connection> {
        let mut connection = Connection {
            stream: connect(uri).with_context(|| format!("connecting to {uri}"))?,
            inbox,
            outbox: Output::default(),
            frame_max: 0,
            server: String::new(),
        };
        connection.shake_hands(uri).with_context(|| format!("logging in to {uri}"))?;
        connection.open_channel(1)?;
        Ok(connection)
    }

    pub(crate) fn open_channel(&mut self, channel: u16) -> Result<()> {
        let open = channel::AMQPMethod::Open(channel::Open {});
        self.call(channel, &AMQPClass::Channel(open)).map(drop)
    }

    /// Says goodbye and waits until the broker has closed, so that nothing of this connection is left there.
    pub(crate) fn close(mut self) -> Result<()> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let close = connection::Close { reply_code: 200, ..connection::Close::default() };
        self.send(0, &AMQPClass::Connection(connection::AMQPMethod::Close(close)))?;
        loop {
            if let (0, AMQPClass::Connection(connection::AMQPMethod::CloseOk(_))) =
                self.next_method().context("closing the connection")?
            {
                return Ok(());
            }
        }
    }

    /// Sends a method on a channel and waits for what the broker answers on that channel.
    pub(crate) fn call(&mut self, channel: u16, method: &AMQPClass) -> Result<AMQPClass> {
        self.send(channel, method)?;
        self.answer(channel).with_context(|| format!("answer to {}", name_of(method)))
    }

    /// Waits for the next method on a channel that is neither a confirm nor a delivery.
    pub(crate) fn answer(&mut self, channel: u16) -> Result<AMQPClass> {
        loop {
            let (on, class) = self.next_method()?;
            if on == channel && !matches!(class, AMQPClass::Basic(basic::AMQPMethod::Deliver(_))) {
                return Ok(class);
            }
        }
    }

    /// Sends a method without waiting for anything.
    pub(crate) fn send(&mut self, channel: u16, method: &AMQPClass) -> Result<()> {
        self.outbox.method(channel, method);
        self.flush()
    }

    /// Writes what waits in the outbox.
    pub(crate) fn flush(&mut self) -> Result<()> {
        while !self.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = self.outbox.chunks(&mut slices);
            let sent = self.stream.write_vectored(&slices[..filled]).context("writing to the broker")?;
            self.outbox.advance(sent);
        }
        Ok(())
    }

    /// One read of whatever has come. False: nothing came within the socket's read timeout.
    pub(crate) fn read(&mut self) -> Result<bool> {
        match self.inbox.fill(&mut self.stream) {
            Ok(0) => bail!("the broker closed the connection"),
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error).context("reading from the broker"),
        }
    }

    /// The next method that is not one of the hot path.
    fn next_method(&mut self) -> Result<(u16, AMQPClass)> {
        loop {
            while let Some(frame) = self.inbox.next()? {
                if frame.kind == FrameKind::Method
                    && let Method::Other(class) = refuse_close(parse_method(frame.payload)?)?
                {
                    return Ok((frame.channel, *class));
                }
            }
            ensure!(self.read()?, "no answer for {} s", PATIENCE.as_secs());
        }
    }

    fn shake_hands(&mut self, uri: &Uri) -> Result<()> {
        self.outbox.raw(&PROTOCOL_HEADER);
        self.flush()?;
        let (_, AMQPClass::Connection(connection::AMQPMethod::Start(start))) = self.next_method()? else {
            bail!("no connection.start")
        };
        self.server = server_name(&start.server_properties);
        let response = format!("\0{}\0{}", uri.user, uri.password);
        let start_ok = connection::StartOk {
            client_properties: client_properties(),
            mechanism: "PLAIN".into(),
            response: response.into(),
            locale: "en_US".into(),
        };
        let answer = self.call(0, &AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok)))?;
        let AMQPClass::Connection(connection::AMQPMethod::Tune(tune)) = answer else {
            bail!("no connection.tune")
        };
        self.frame_max = if tune.frame_max == 0 { FRAME_MAX } else { tune.frame_max.min(FRAME_MAX) };
        self.inbox.bound(self.frame_max);
        let tune_ok =
            connection::TuneOk { channel_max: tune.channel_max, frame_max: self.frame_max, heartbeat: 0 };
        self.outbox.method(0, &AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)));
        let virtual_host = ShortString::try_new(uri.vhost.clone()).context("vhost")?;
        let open = connection::Open { virtual_host };
        self.call(0, &AMQPClass::Connection(connection::AMQPMethod::Open(open))).map(drop)
    }
}

/// What a frame says to a publisher; an error where the broker refused a message or closed.
pub(crate) fn event(frame: &Frame<'_>) -> Result<Event> {
    if frame.kind != FrameKind::Method {
        return Ok(Event::Nothing);
    }
    match refuse_close(parse_method(frame.payload)?)? {
        Method::Ack { delivery_tag, multiple } => Ok(Event::Confirm { tag: delivery_tag, multiple }),
        Method::Nack { delivery_tag, .. } => bail!("the broker refused message {delivery_tag} (basic.nack)"),
        _ => Ok(Event::Nothing),
    }
}

/// A close from the broker, of the connection or of a channel, or a cancelled consumer ends the run, with the broker's
/// words.
fn refuse_close(method: Method<'_>) -> Result<Method<'_>> {
    if let Method::Other(class) = &method {
        match &**class {
            AMQPClass::Connection(connection::AMQPMethod::Close(close)) => {
                bail!("the broker closed the connection: {} {}", close.reply_code, close.reply_text);
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                bail!("the broker closed the channel: {} {}", close.reply_code, close.reply_text);
            }
            AMQPClass::Basic(basic::AMQPMethod::Cancel(_)) => bail!("the broker cancelled a consumer"),
            _ => {}
        }
    }
    Ok(method)
}

fn connect(uri: &Uri) -> io::Result<TcpStream> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (uri.host.as_str(), uri.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, Duration::from_secs(10)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn client_properties() -> FieldTable {
    let mut capabilities = FieldTable::default();
    for name in ["publisher_confirms", "basic.nack", "consumer_cancel_notify", "authentication_failure_close"]
    {
        capabilities.insert(name.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("product".into(), AMQPValue::LongString("leveret-bench".into()));
    properties.insert("connection_name".into(), AMQPValue::LongString("leveret-bench".into()));
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties
}

fn server_name(properties: &FieldTable) -> String {
    let text = |name: &str| match properties.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => String::new(),
    };
    format!("{} {}", text("product"), text("version")).trim().to_owned()
}

fn name_of(method: &AMQPClass) -> String {
    let id = (method.get_amqp_class_id(), method.get_amqp_method_id());
    format!("method {}.{}", id.0, id.1)
}
