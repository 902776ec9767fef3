//! Connections over streams that are no sockets: a whole conversation with a broker, over one that takes many pieces at once
//! and little room, and over one that behaves as TLS does, which keeps back what is written until it is flushed.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use leveret_codec::frame::{self, FrameKind, PROTOCOL_HEADER, decode};
use leveret_codec::method::method_id;
use leveret_codec::properties::Properties;
use leveret_codec::write::{Content, Output};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{Moved, Transport, Wire};
use crate::model::peer::Ends;
use crate::server::connection_task::{Connection, ServerContext};
use crate::server::run::tests::served;

impl Transport for DuplexStream {}

/// Takes one piece at a time, and sends nothing before it is flushed or has much.
struct Sealed {
    stream: DuplexStream,
    kept: VecDeque<u8>,
    /// How many bytes each write offered.
    writes: Vec<usize>,
}

impl Sealed {
    const MOST: usize = 20_000;

    fn new(stream: DuplexStream) -> Sealed {
        Sealed { stream, kept: VecDeque::new(), writes: Vec::new() }
    }

    /// Ready once nothing is kept.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.kept.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, self.kept.make_contiguous()))?;
            self.kept.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Sealed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Sealed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.push(bytes.len());
        if self.kept.len() >= Sealed::MOST {
            ready!(self.poll_send(context))?;
        }
        let taken = bytes.len().min(Sealed::MOST - self.kept.len());
        self.kept.extend(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        assert!(self.kept.is_empty(), "{} bytes were never flushed", self.kept.len());
    }
}

impl Transport for Sealed {}

/// The other end, in bytes.
struct Client {
    stream: DuplexStream,
    received: Vec<u8>,
}

impl Client {
    async fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let payload = [&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat();
        self.frame(FrameKind::Method, channel, &payload).await;
    }

    async fn frame(&mut self, kind: FrameKind, channel: u16, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap();
        let head = [&[kind as u8][..], &channel.to_be_bytes(), &length.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload, &[frame::END]].concat()).await.unwrap();
    }

    /// The next frame. None where the broker sends no more.
    async fn heard(&mut self) -> Option<(FrameKind, Vec<u8>)> {
        loop {
            if let Some(frame) = decode(&self.received, 0).unwrap() {
                let heard = (frame.kind, frame.payload.to_vec());
                let length = frame.wire_len();
                self.received.drain(..length);
                return Some(heard);
            }
            let read = timeout(Duration::from_secs(20), self.stream.read_buf(&mut self.received));
            if read.await.expect("the broker says something").unwrap() == 0 {
                return None;
            }
        }
    }

    /// The next frame is this method. Returns its arguments.
    async fn expect(&mut self, class: u16, method: u16) -> Vec<u8> {
        let (kind, payload) = self.heard().await.expect("the broker goes on");
        let id = method_id(&payload).filter(|_| kind == FrameKind::Method).expect("a method");
        assert_eq!((id.class, id.method), (class, method), "{payload:?}");
        payload[4..].to_vec()
    }

    async fn log_in(&mut self) {
        self.stream.write_all(&PROTOCOL_HEADER).await.unwrap();
        self.expect(10, 10).await;
        self.method(0, 10, 11, b"\0\0\0\0\x05PLAIN\0\0\0\x0C\0guest\0guest\x05en_US").await;
        let tune = self.expect(10, 30).await;
        self.method(0, 10, 31, &tune).await;
        self.method(0, 10, 40, b"\x01/\0\0").await;
        self.expect(10, 41).await;
    }

    /// Logs in, has a message of `body` confirmed and delivered, acks it and closes.
    async fn publish_and_consume(mut self, queue: &[u8], body: &[u8]) {
        self.log_in().await;
        self.method(1, 20, 10, b"\0").await;
        self.expect(20, 11).await;
        self.method(1, 85, 10, b"\0").await;
        self.expect(85, 11).await;
        let name = [&[u8::try_from(queue.len()).unwrap()], queue].concat();
        self.method(1, 50, 10, &[b"\0\0", &name[..], b"\x02\0\0\0\0"].concat()).await;
        self.expect(50, 11).await;
        self.method(1, 60, 20, &[b"\0\0", &name[..], b"\x01c\0\0\0\0\0"].concat()).await;
        self.expect(60, 21).await;

        self.method(1, 60, 40, &[b"\0\0\0", &name[..], b"\0"].concat()).await;
        let length = u64::try_from(body.len()).unwrap().to_be_bytes();
        // Persistent.
        self.frame(FrameKind::Header, 1, &[&[0, 60, 0, 0], &length[..], &[0x10, 0, 2]].concat()).await;
        for part in body.chunks(100_000) {
            self.frame(FrameKind::Body, 1, part).await;
        }
        let (mut delivered, mut is_confirmed, mut is_delivered) = (Vec::new(), false, false);
        while !(is_confirmed && is_delivered && delivered.len() == body.len()) {
            let (kind, payload) = self.heard().await.expect("the broker goes on");
            match kind {
                FrameKind::Body => delivered.extend(payload),
                FrameKind::Method if payload.starts_with(&[0, 60, 0, 80]) => is_confirmed = true,
                FrameKind::Method if payload.starts_with(&[0, 60, 0, 60]) => is_delivered = true,
                FrameKind::Header => assert_eq!(payload[4..12], length),
                kind => unreachable!("{kind:?} {payload:?}"),
            }
        }
        assert!(delivered == body);
        self.method(1, 60, 80, &[0, 0, 0, 0, 0, 0, 0, 1, 0]).await;
        self.method(0, 10, 50, b"\0\xC8\0\0\0\0\0").await;
        self.expect(10, 51).await;
        assert!(self.heard().await.is_none());
    }

    /// Logs in, and answers when it is sent away.
    async fn stay(mut self) {
        self.log_in().await;
        let close = self.expect(10, 50).await;
        assert_eq!(close[..2], 320_u16.to_be_bytes(), "connection_forced");
        self.method(0, 10, 51, b"").await;
        assert!(self.heard().await.is_none());
    }
}

#[tokio::test]
async fn many_pieces_are_one_write_and_are_flushed() {
    let body = Bytes::from(vec![7; 6000]);
    // With room for all, and where it is taken little by little.
    for room in [10_000, 100] {
        let properties = Properties::default();
        let content = Content { properties, body_len: body.len(), body: [&body].into_iter() };
        let mut output = Output::default();
        output.get_ok(1, 1, false, b"", b"q", 0, content, 131_072);
        let (length, pieces) = (output.len(), output.chunks(&mut [IoSlice::new(&[]); 8]));
        assert!(pieces > 1, "{pieces}");
        let (mut stream, other) = duplex(room);
        let mut wire = Wire::new(Sealed::new(other));
        let mut context = Context::from_waker(Waker::noop());
        let mut sent = wire.write(&mut output, &mut context).unwrap();
        let mut received = Vec::new();
        while received.len() < length {
            let read = timeout(Duration::from_secs(20), stream.read_buf(&mut received)).await;
            read.expect("it is flushed").unwrap();
            if let Poll::Ready(moved) = wire.poll_move(None, &mut output, &mut context) {
                sent += moved.unwrap().written;
            }
        }
        assert!(sent == length && wire.is_flushed() && output.is_empty());
        assert_eq!(wire.stream.writes, [length]);
    }
}

/// Takes a write never, and brings something to read once.
struct Broken(Option<u8>);

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(byte) = self.0.take() else { return Poll::Pending };
        into.put_slice(&[byte]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for Broken {}

#[test]
fn what_was_read_is_not_lost_because_nothing_can_be_written() {
    let (mut wire, mut output) = (Wire::new(Broken(Some(7))), Output::default());
    output.heartbeat();
    let mut context = Context::from_waker(Waker::noop());
    let mut moved = || wire.poll_move(Some(true), &mut output, &mut context);
    assert!(matches!(moved(), Poll::Ready(Ok(Moved { read: Some(1), written: 0 }))));
    assert!(matches!(moved(), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
    assert_eq!(wire.input[..], [7]);
}

/// A running broker, to which streams are handed as if they had been accepted.
struct Harness {
    context: Arc<ServerContext>,
    connections: TaskTracker,
    runtime: Handle,
}

impl Harness {
    /// A client whose stream has so much room in each direction.
    fn client<S: Transport>(&self, room: usize, wrap: impl FnOnce(DuplexStream) -> S) -> Client {
        let (stream, other) = duplex(room);
        let ends = Ends { client: SocketAddr::from(([127, 0, 0, 1], 40_000)), server: self.context.address };
        let connection = Connection::new(wrap(other), ends, Arc::clone(&self.context));
        self.connections.spawn_on(connection.run(), &self.runtime);
        Client { stream, received: Vec::new() }
    }

    async fn conversations(self) {
        // Also where one of them fails.
        let stop = self.context.stop.clone().drop_guard();
        let body: Vec<u8> = (0..300_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
        for room in [64, 100_000] {
            self.client(room, |stream| stream).publish_and_consume(b"plain", &body).await;
            self.client(room, Sealed::new).publish_and_consume(b"sealed", &body).await;
        }
        let (plain, sealed) = (self.client(64, |stream| stream), self.client(64, Sealed::new));
        let stopping = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            drop(stop);
        };
        tokio::join!(plain.stay(), sealed.stay(), stopping);
    }
}

#[test]
fn whole_conversations_go_over_streams_that_are_no_sockets() {
    let data = tempfile::tempdir().unwrap();
    let mut clients = None;
    let outcome = served(data.path(), |context, connections| {
        let (context, connections, runtime) = (Arc::clone(context), connections.clone(), Handle::current());
        let harness = Harness { context, connections, runtime };
        clients = Some(thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(harness.conversations());
        }));
    });
    clients.expect("the broker has started").join().unwrap();
    assert!(outcome.is_ok(), "{outcome:?}");
}
