//! The body of a listing, made while the client takes it, a few items at a time: what was made and is not taken would
//! stay in memory, however many ask for it. So it holds one piece of text, and what it has asked shards about waits for the
//! client as well. What is listed is told by `listing`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::Value;

use super::columns::Columns;
use super::guests::Guest;
use super::page::{Found, Page};
use super::turns::Turn;
use crate::catalog::view::View;
use crate::model::administration::AdministrationError;
use crate::model::ids::{ConnectionId, QueueRef};
use crate::model::question::{ConnectionAnswer, ConnectionQuestion, QueueCounts};
use crate::server::Administrator;

/// Bytes of a piece, about.
pub(super) const PIECE: usize = 32 << 10;
/// How long a client may take to take one.
const PATIENCE: Duration = Duration::from_secs(30);

/// What comes next in a listing.
pub(super) enum Next {
    Item(Value),
    /// One that is written already.
    Written(Box<str>),
    /// The shards are to be asked about these first.
    Ask(Vec<QueueRef>),
    /// These connections are to be asked first.
    AskConnections(Vec<(ConnectionId, ConnectionQuestion)>),
    End,
}

/// What is listed, one item after the other.
pub(super) trait Items: Send {
    /// Reads the view for one item at a time.
    fn next(&mut self, view: &View) -> Next;

    /// What shards say of the queues that were to be asked about, in their order. Those who never ask hear nothing.
    fn answered(&mut self, _counts: Vec<Option<QueueCounts>>) {}

    /// The same of connections.
    fn connections_answered(&mut self, _answers: Vec<Option<ConnectionAnswer>>) {}
}

/// Describes the next item; None behind the last.
impl<F: FnMut(&View) -> Option<Value> + Send> Items for F {
    fn next(&mut self, view: &View) -> Next {
        self(view).map_or(Next::End, Next::Item)
    }
}

/// What is listed next, whoever has to be asked for it; None behind the last. What is written already is not for this.
pub(super) async fn next_item(
    administrator: &Administrator,
    items: &mut dyn Items,
) -> Result<Option<Value>, AdministrationError> {
    loop {
        match items.next(administrator.view()) {
            Next::Item(item) => return Ok(Some(item)),
            Next::Written(_) | Next::End => return Ok(None),
            next => ask(administrator, items, next).await?,
        }
    }
}

/// Asks whoever is to be asked.
async fn ask(
    administrator: &Administrator,
    items: &mut dyn Items,
    next: Next,
) -> Result<(), AdministrationError> {
    match next {
        Next::Ask(queues) => items.answered(administrator.counts(&queues).await?),
        Next::AskConnections(asked) => {
            items.connections_answered(administrator.ask_connections(asked).await?);
        }
        Next::Item(_) | Next::Written(_) | Next::End => {}
    }
    Ok(())
}

/// An array that is being written, by itself or as the items of a page.
struct Writer {
    administrator: Administrator,
    items: Box<dyn Items>,
    page: Option<(Page, Found)>,
    columns: Columns,
    /// How many items are written.
    written: u64,
    /// Given back behind the last item.
    _turn: Turn,
}

/// A piece, and who writes the next one; nobody behind the last. An error where the broker stops meanwhile.
pub(super) type Written = Result<(Bytes, Option<Box<dyn Pieces>>), AdministrationError>;
pub(super) type Writing = Pin<Box<dyn Future<Output = Written> + Send>>;

/// A body, written piece by piece.
pub(super) trait Pieces: Send {
    /// Writes what comes next.
    fn write_piece(self: Box<Self>) -> Writing;
}

impl Pieces for Writer {
    fn write_piece(self: Box<Self>) -> Writing {
        Box::pin(self.write())
    }
}

impl Writer {
    async fn write(mut self: Box<Self>) -> Written {
        let mut text = Vec::with_capacity(PIECE / 8);
        while text.len() < PIECE {
            match self.items.next(self.administrator.view()) {
                Next::Item(item) => {
                    let item = self.columns.select(item).to_string();
                    self.write_item(&mut text, &item);
                }
                Next::Written(item) => self.write_item(&mut text, &item),
                Next::End => {
                    if self.written == 0 {
                        text.extend_from_slice(self.head());
                    }
                    text.push(b']');
                    if let Some((page, found)) = &self.page {
                        let described = page.described(*found, self.written).to_string();
                        // The fields of the object that the head began.
                        text.push(b',');
                        text.extend_from_slice(described.trim_start_matches('{').as_bytes());
                    }
                    return Ok((text.into(), None));
                }
                next => ask(&self.administrator, &mut *self.items, next).await?,
            }
        }
        Ok((text.into(), Some(self as Box<dyn Pieces>)))
    }

    fn write_item(&mut self, text: &mut Vec<u8>, item: &str) {
        text.extend_from_slice(if self.written > 0 { b"," } else { self.head() });
        self.written += 1;
        text.extend_from_slice(item.as_bytes());
    }

    /// What stands before the first item.
    fn head(&self) -> &'static [u8] {
        if self.page.is_some() { b"{\"items\":[" } else { b"[" }
    }
}

pub(super) struct Listing {
    guest: Arc<Guest>,
    /// What is to be sent next.
    piece: Option<Bytes>,
    /// Who writes what comes behind it, and the piece that is being written.
    writer: Option<Box<dyn Pieces>>,
    writing: Option<Writing>,
    /// Others have had their turn since the last piece.
    rested: bool,
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing").field("piece", &self.piece).finish_non_exhaustive()
    }
}

impl Listing {
    /// Its first piece is made at once. Each of the others is, when the client has taken the one before.
    pub(super) async fn begin(
        administrator: Administrator,
        guest: Arc<Guest>,
        turn: Turn,
        items: Box<dyn Items>,
        page: Option<(Page, Found)>,
        columns: Columns,
    ) -> Result<Listing, AdministrationError> {
        let writer = Box::new(Writer { administrator, items, page, columns, written: 0, _turn: turn });
        Listing::of(guest, writer).await
    }

    /// The same of another body that is written so.
    pub(super) async fn of(
        guest: Arc<Guest>,
        writer: Box<dyn Pieces>,
    ) -> Result<Listing, AdministrationError> {
        let (piece, writer) = writer.write_piece().await?;
        Ok(Listing { guest, piece: Some(piece), writer, writing: None, rested: true })
    }

    /// All of it, where it is no longer than a piece.
    pub(super) fn whole(mut self) -> Result<Bytes, Listing> {
        match self.piece.take() {
            Some(piece) if self.writer.is_none() => Ok(piece),
            piece => Err(Listing { piece, ..self }),
        }
    }
}

impl Body for Listing {
    type Data = Bytes;
    /// The client is hung up on: what it has is not the whole.
    type Error = AdministrationError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AdministrationError>>> {
        if self.piece.is_none() && self.writing.is_none() {
            if !std::mem::replace(&mut self.rested, true) {
                // A fast client takes piece after piece; the thread is not ours alone.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(writer) = self.writer.take() {
                self.writing = Some(writer.write_piece());
            }
        }
        if let Some(writing) = &mut self.writing {
            let written = ready!(writing.as_mut().poll(context));
            self.writing = None;
            match written {
                Ok((piece, writer)) => (self.piece, self.writer) = (Some(piece), writer),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        self.rested = false;
        self.guest.wait_for(PATIENCE);
        Poll::Ready(self.piece.take().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_none() && self.writer.is_none() && self.writing.is_none()
    }
}
