//! The body of a listing, made while the client takes it, a few items at a time: what was made and is not taken would
//! stay in memory, however many ask for it. So it holds one piece of text. What is listed is told by `listing`.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::Value;

use super::guests::Guest;
use super::turns::Turn;
use crate::catalog::view::View;
use crate::server::Administrator;

/// Bytes of a piece, about.
const PIECE: usize = 32 << 10;
/// How long a client may take to take one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Describes the next item; None behind the last.
type Next = Box<dyn FnMut(&View) -> Option<Value> + Send>;

/// An array that is being written.
pub(super) struct Listing {
    administrator: Administrator,
    guest: Arc<Guest>,
    next: Next,
    /// What is to be sent next.
    piece: Option<Bytes>,
    begun: bool,
    /// Others have had their turn since the last piece.
    rested: bool,
    /// Given back behind the last item.
    turn: Option<Turn>,
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing").field("piece", &self.piece).finish_non_exhaustive()
    }
}

impl Listing {
    /// Its first piece is made at once. Each of the others is, when the client has taken the one before.
    pub(super) fn begin(administrator: Administrator, guest: Arc<Guest>, turn: Turn, next: Next) -> Listing {
        let mut listing =
            Listing { administrator, guest, next, piece: None, begun: false, rested: true, turn: Some(turn) };
        listing.make_piece();
        listing
    }

    /// All of it, where it is no longer than a piece.
    pub(super) fn whole(mut self) -> Result<Bytes, Listing> {
        match self.piece.take() {
            Some(piece) if self.turn.is_none() => Ok(piece),
            piece => Err(Listing { piece, ..self }),
        }
    }

    /// Writes what comes next, if anything does.
    fn make_piece(&mut self) {
        if self.turn.is_none() {
            return;
        }
        let mut text = Vec::with_capacity(PIECE / 8);
        while text.len() < PIECE {
            // The view is read for one item at a time.
            match (self.next)(self.administrator.view()) {
                Some(item) => {
                    text.push(if self.begun { b',' } else { b'[' });
                    self.begun = true;
                    text.extend_from_slice(item.to_string().as_bytes());
                }
                None => {
                    text.extend_from_slice(if self.begun { b"]" } else { b"[]" });
                    self.turn = None;
                    break;
                }
            }
        }
        self.piece = Some(text.into());
    }
}

impl Body for Listing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.piece.is_none() && !std::mem::replace(&mut self.rested, true) {
            // A fast client takes piece after piece; the thread is not ours alone.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.piece.is_none() {
            self.make_piece();
        }
        self.rested = false;
        self.guest.wait_for(PATIENCE);
        Poll::Ready(self.piece.take().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_none() && self.turn.is_none()
    }
}
