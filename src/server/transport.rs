//! What carries a connection's bytes: any stream that is read and written without blocking, and the little that is asked
//! of it beyond that. The buffers on both sides of it, and how much is read and written at a time; what the bytes mean is
//! the session's.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use leveret_codec::write::Output;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;

/// How much one read may bring, at the least and the most.
const LEAST_READ: usize = 4 << 10;
const MOST_READ: usize = 256 << 10;
/// How many pieces one vectored write sends.
const PIECES: usize = 64;
/// How many bytes are put together for a stream that takes one piece at a time: what a TLS record holds.
const GATHERED: usize = 16 << 10;
/// How long a client may take to close its side after the last word was said.
const LINGER: Duration = Duration::from_secs(1);

/// A stream of bytes to and from a client. Where `is_write_vectored` says so, it is written in many pieces at once. Whatever
/// a stream keeps back until it is flushed it bounds itself.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Pending where it is certain that a read would bring nothing now; then the task is woken once that is not so. It
    /// saves the room for a read in vain.
    fn poll_read_ready(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The same of a write that would send nothing.
    fn poll_write_ready(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The peer is given up: once the stream is dropped, what was written and did not reach it is dropped, too.
    fn discard_unsent(&self) {}
}

impl Transport for TcpStream {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        TcpStream::poll_read_ready(self, context)
    }

    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        TcpStream::poll_write_ready(self, context)
    }

    fn discard_unsent(&self) {
        // Where that is refused, the kernel goes on trying for a while.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

/// What a read, or a write, brought about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    /// So many bytes came; 0 where the peer sends no more. None where nothing was read.
    pub(super) read: Option<usize>,
    /// So many bytes of the output were taken.
    pub(super) written: usize,
}

/// A client's stream, what was read from it and is not worked off, and what has passed.
pub(super) struct Wire<S> {
    stream: S,
    pub(super) input: BytesMut,
    read_size: usize,
    /// Something was written since the last flush.
    unflushed: bool,
    bytes_in: u64,
    bytes_out: u64,
}

impl<S: Transport> Wire<S> {
    pub(super) fn new(stream: S) -> Wire<S> {
        Wire {
            stream,
            input: BytesMut::new(),
            read_size: LEAST_READ,
            unflushed: false,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    pub(super) fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    pub(super) fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// Everything that was written is on its way.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed
    }

    /// Reads once, as much as there is and fits: a little where little came before, and of a client that is not yet
    /// `trusted` with more. Returns 0 at the end of the input. Where a read of a socket gets less than would have fitted,
    /// it is known to be empty and not asked again before it says otherwise.
    pub(super) fn poll_read(&mut self, trusted: bool, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = match self.stream.poll_read_ready(context) {
            Poll::Ready(Ok(())) => {
                self.input.reserve(self.read_size);
                poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input)
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        let Poll::Ready(read) = read else {
            if self.input.is_empty() {
                self.input = BytesMut::new();
            }
            return Poll::Pending;
        };
        let read = read?;
        self.bytes_in += read as u64;
        let most = if trusted { MOST_READ } else { LEAST_READ };
        if read >= self.read_size {
            self.read_size = (self.read_size * 2).min(most);
        } else if read < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(LEAST_READ);
        }
        Poll::Ready(Ok(read))
    }

    /// Writes until all is sent or the stream takes no more; then the task is woken once it does. Returns how much was
    /// taken.
    pub(super) fn write(&mut self, output: &mut Output, context: &mut Context<'_>) -> io::Result<usize> {
        let mut written = 0;
        while !output.is_empty() {
            match self.poll_write_once(output, context) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => {
                    output.advance(sent);
                    written += sent;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        self.bytes_out += written as u64;
        self.unflushed |= written > 0;
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(written)
    }

    fn poll_write_once(&mut self, output: &Output, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.stream.poll_write_ready(context))?;
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let filled = output.chunks(&mut pieces);
        let (pieces, stream) = (&pieces[..filled], Pin::new(&mut self.stream));
        if stream.is_write_vectored() {
            return stream.poll_write_vectored(context, pieces);
        }
        match pieces {
            [piece] => stream.poll_write(context, piece),
            pieces => {
                let mut gathered = Vec::with_capacity(GATHERED);
                for piece in pieces {
                    let left = GATHERED - gathered.len();
                    gathered.extend_from_slice(&piece[..piece.len().min(left)]);
                }
                stream.poll_write(context, &gathered)
            }
        }
    }

    /// Ready once something was read, if that is wanted (`reads`: of a client that is `trusted` or not), or something of
    /// the output, if there is any, was taken or flushed. What was read is not lost by a write that fails: that is left
    /// for later then.
    pub(super) fn poll_move(
        &mut self,
        reads: Option<bool>,
        output: &mut Output,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Moved>> {
        if let Some(trusted) = reads
            && let Poll::Ready(read) = self.poll_read(trusted, context)
        {
            return Poll::Ready(read.map(|read| Moved { read: Some(read), written: 0 }));
        }
        if output.is_empty() && self.is_flushed() {
            return Poll::Pending;
        }
        let written = self.write(output, context)?;
        let is_sent = output.is_empty() && self.is_flushed();
        if written > 0 || is_sent { Poll::Ready(Ok(Moved { read: None, written })) } else { Poll::Pending }
    }

    /// Drops the stream, and what the peer has not taken.
    pub(super) fn abandon(self) {
        self.stream.discard_unsent();
    }

    /// Flushes, says that nothing more comes, and reads on until the client has gone too: a socket closed over unread input
    /// is reset, and the client would lose our last words.
    pub(super) async fn linger(self) {
        let Wire { mut stream, input, .. } = self;
        drop(input);
        let farewell = async {
            stream.shutdown().await?;
            // In a place of its own: an array would be a part of each task from its beginning on.
            let mut discarded = vec![0; 4096];
            while stream.read(&mut discarded).await? > 0 {}
            io::Result::Ok(())
        };
        // Whatever goes wrong now only means that the client has gone.
        let _ = timeout(LINGER, farewell).await;
    }
}

#[cfg(test)]
mod tests;
