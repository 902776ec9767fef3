//! A server that knows just enough AMQP to discard what is published and to hand out as many messages of 16 bytes as it
//! was given: it shows how fast the generator is by itself. It runs as a process of its own, so that CPU time is told
//! apart. It is no broker: it has one queue, stores nothing and routes nothing.

use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use leveret_codec::frame::{FrameKind, PROTOCOL_HEADER};
use leveret_codec::method::amqp::{AMQPClass, basic, channel, confirm, connection, exchange, queue};
use leveret_codec::method::{Method, MethodId, method_id, parse_method};
use leveret_codec::properties::Properties;
use leveret_codec::table::{AMQPValue, FieldTable};
use leveret_codec::write::{Content, Output};

use crate::target::{Address, Uri};
use crate::wire::Inbox;

const FRAME_MAX: u32 = 131_072;
/// Deliveries that are written at once.
const BLOCK: u64 = 1000;
const PUBLISH: MethodId = MethodId { class: 60, method: 40 };

/// The sink as a child process; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Sink(Child);

impl Sink {
    pub(crate) fn spawn() -> Result<(Sink, Address)> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("sink")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the sink")?;
        let pid = child.id();
        let stdout = child.stdout.take();
        let sink = Sink(child);
        let mut line = String::new();
        BufReader::new(stdout.context("no output")?).read_line(&mut line)?;
        let uri = Uri {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: line.trim().parse().context("the sink's port")?,
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            vhost: "/".to_owned(),
        };
        Ok((sink, Address { uri, pid: Some(pid) }))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Prints its port and serves until its input ends.
pub(crate) fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    io::stdout().flush()?;
    std::thread::spawn(move || {
        let stored = Arc::new(AtomicU64::new(0));
        for stream in listener.incoming().flatten() {
            let stored = Arc::clone(&stored);
            // A connection that fails has lost its client, who says so.
            std::thread::spawn(move || Client::new(stream, stored)?.serve());
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

struct Client {
    stream: TcpStream,
    /// Shared with the thread that feeds a consumer.
    write: Arc<Mutex<TcpStream>>,
    inbox: Inbox,
    outbox: Output,
    stored: Arc<AtomicU64>,
    /// Messages that came on this connection.
    published: u64,
    /// How many of them were added to `stored`.
    added: u64,
    confirming: bool,
    /// Tells the thread that feeds a consumer that nobody reads any more.
    gone: Arc<AtomicBool>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.gone.store(true, Relaxed);
    }
}

impl Client {
    fn new(stream: TcpStream, stored: Arc<AtomicU64>) -> Result<Client> {
        stream.set_nodelay(true)?;
        let write = Arc::new(Mutex::new(stream.try_clone()?));
        Ok(Client {
            stream,
            write,
            inbox: Inbox::default(),
            outbox: Output::default(),
            stored,
            published: 0,
            added: 0,
            confirming: false,
            gone: Arc::default(),
        })
    }

    fn serve(mut self) -> Result<()> {
        let mut header = [0; PROTOCOL_HEADER.len()];
        io::Read::read_exact(&mut self.stream, &mut header)?;
        let mut server_properties = FieldTable::default();
        server_properties.insert("product".into(), AMQPValue::LongString("sink".into()));
        let start = connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties,
            mechanisms: "PLAIN".into(),
            locales: "en_US".into(),
        };
        self.outbox.method(0, &AMQPClass::Connection(connection::AMQPMethod::Start(start)));
        self.flush()?;
        self.inbox.bound(FRAME_MAX);
        while self.inbox.fill(&mut self.stream)? > 0 {
            let before = self.published;
            self.read_frames()?;
            self.store();
            if self.confirming && self.published > before {
                self.outbox.ack(1, self.published, true);
            }
            self.flush()?;
        }
        Ok(())
    }

    fn read_frames(&mut self) -> Result<()> {
        while let Some(frame) = self.inbox.next()? {
            if frame.kind != FrameKind::Method {
                continue;
            }
            if method_id(frame.payload) == Some(PUBLISH) {
                self.published += 1;
                continue;
            }
            let Method::Other(class) = parse_method(frame.payload)? else { continue };
            let channel = frame.channel;
            match *class {
                AMQPClass::Basic(basic::AMQPMethod::Consume(_)) => self.feed(channel),
                AMQPClass::Connection(connection::AMQPMethod::TuneOk(_)) => {}
                class => {
                    self.store();
                    self.confirming |= matches!(class, AMQPClass::Confirm(_));
                    if matches!(class, AMQPClass::Queue(queue::AMQPMethod::Delete(_))) {
                        self.stored.store(0, Relaxed);
                    }
                    let stored = self.stored.load(Relaxed);
                    self.outbox.method(channel, &answer(&class, stored)?);
                }
            }
        }
        Ok(())
    }

    fn store(&mut self) {
        self.stored.fetch_add(self.published - self.added, Relaxed);
        self.added = self.published;
    }

    /// Starts the thread that writes deliveries.
    fn feed(&self, channel: u16) {
        let (write, stored) = (Arc::clone(&self.write), Arc::clone(&self.stored));
        let gone = Arc::clone(&self.gone);
        let (block, one) = (deliveries(channel, BLOCK), deliveries(channel, 1));
        std::thread::spawn(move || {
            while !gone.load(Relaxed) {
                let waiting = stored.load(Relaxed);
                let (bytes, count) = match waiting {
                    0 => {
                        std::thread::sleep(Duration::from_micros(100));
                        continue;
                    }
                    1..BLOCK => (&one, 1),
                    _ => (&block, BLOCK),
                };
                stored.fetch_sub(count, Relaxed);
                let mut stream = write.lock().unwrap_or_else(PoisonError::into_inner);
                if stream.write_all(bytes).is_err() {
                    return;
                }
            }
        });
    }

    fn flush(&mut self) -> Result<()> {
        if !self.outbox.is_empty() {
            let mut stream = self.write.lock().unwrap_or_else(PoisonError::into_inner);
            stream.write_all(&flat(&mut self.outbox))?;
        }
        Ok(())
    }
}

fn answer(class: &AMQPClass, stored: u64) -> Result<AMQPClass> {
    Ok(match class {
        AMQPClass::Connection(method) => AMQPClass::Connection(match method {
            connection::AMQPMethod::StartOk(_) => connection::AMQPMethod::Tune(connection::Tune {
                channel_max: 2047,
                frame_max: FRAME_MAX,
                heartbeat: 0,
            }),
            connection::AMQPMethod::Open(_) => connection::AMQPMethod::OpenOk(connection::OpenOk {}),
            _ => connection::AMQPMethod::CloseOk(connection::CloseOk {}),
        }),
        AMQPClass::Channel(_) => AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {})),
        AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) => {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk {
                queue: declare.queue.clone(),
                message_count: u32::try_from(stored).unwrap_or(u32::MAX),
                consumer_count: 0,
            }))
        }
        AMQPClass::Queue(queue::AMQPMethod::Bind(_)) => {
            AMQPClass::Queue(queue::AMQPMethod::BindOk(queue::BindOk {}))
        }
        AMQPClass::Queue(_) => AMQPClass::Queue(queue::AMQPMethod::DeleteOk(queue::DeleteOk::default())),
        AMQPClass::Exchange(exchange::AMQPMethod::Declare(_)) => {
            AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}))
        }
        AMQPClass::Exchange(_) => AMQPClass::Exchange(exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {})),
        AMQPClass::Basic(basic::AMQPMethod::Qos(_)) => {
            AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {}))
        }
        AMQPClass::Confirm(_) => AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {})),
        other => bail!("the sink does not know {other:?}"),
    })
}

/// Encoded deliveries of 16 bytes.
fn deliveries(channel: u16, count: u64) -> Vec<u8> {
    let body = [(&b"abcdefghijklmnop"[..]).into()];
    let mut output = Output::default();
    for tag in 1..=count {
        let content = Content { properties: Properties::default(), body_len: 16, body: body.iter() };
        output.deliver(channel, "sink", tag, false, b"", b"sink", content, FRAME_MAX);
    }
    flat(&mut output)
}

/// All bytes of an output, taken out.
fn flat(output: &mut Output) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(output.len());
    while !output.is_empty() {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = output.chunks(&mut slices);
        let before = bytes.len();
        slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
        let taken = bytes.len() - before;
        output.advance(taken);
    }
    bytes
}
