//! Listings, made while the client takes them, a few items at a time: the catalog waits while the view is read, and is
//! never to wait long; and what was made and is not taken would stay in memory, however many ask for it. So an answer
//! holds the keys of what it lists, of queues and exchanges some at a time, and one piece of text, and only a few long ones are being given at a time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::connection::Guest;
use super::turns::Turn;
use crate::broker::view::{Vhost, View, ViewState};
use crate::model::ids::Name;
use crate::server::Administrator;

/// Bytes of a piece, about.
const PIECE: usize = 32 << 10;
/// How long a client may take to take one.
const PATIENCE: Duration = Duration::from_secs(30);
/// Names that are looked up together.
const TOGETHER: usize = 1024;
/// More keys than these are sorted where nobody waits for the thread.
const QUICKLY_SORTED: usize = 4096;

/// A vhost and a name in it.
pub(super) type ListingKey = (Name, Name);

/// Describes all that `keys` finds, in order of the keys. What is gone by the time it would be described is left out.
pub(super) async fn list<K: Ord + Send + 'static>(
    call: &Call<'_>,
    keys: impl FnOnce(&View) -> Vec<K>,
    describe: impl Fn(&View, &K) -> Option<Value> + Send + 'static,
) -> Outcome {
    let turn = call.context.turns.take(&call.caller.name).await?;
    let mut keys = keys(call.view());
    if keys.len() <= QUICKLY_SORTED {
        keys.sort_unstable();
    } else {
        let sorted = spawn_blocking(move || {
            keys.sort_unstable();
            keys
        });
        keys = sorted.await.map_err(|_| Refusal::Stopping)?;
    }
    let mut keys = keys.into_iter();
    let next = move |view: &View| {
        let mut described = None;
        while described.is_none() {
            described = describe(view, &keys.next()?);
        }
        described
    };
    Ok(begin(call, turn, next))
}

fn begin(call: &Call<'_>, turn: Turn, next: impl FnMut(&View) -> Option<Value> + Send + 'static) -> Answer {
    let administrator = call.context.administrator.clone();
    let mut listing = Listing {
        administrator,
        guest: Arc::clone(call.guest),
        next: Box::new(next),
        piece: None,
        begun: false,
        rested: true,
        turn: Some(turn),
    };
    listing.make_piece();
    Answer::Listed(listing)
}

/// The same of things that are found in the state.
pub(super) async fn list_state<K: Ord + Send + 'static>(
    call: &Call<'_>,
    keys: impl FnOnce(&ViewState) -> Vec<K>,
    describe: impl Fn(&ViewState, &K) -> Option<Value> + Send + 'static,
) -> Outcome {
    list(call, |view| keys(&view.read()), move |view, key| describe(&view.read(), key)).await
}

/// The same of things in vhosts: of one vhost, or of all that the caller sees. `names`: those of a vhost behind a name, or
/// all, in order; no more of them are held than are looked at together.
pub(super) async fn list_in_vhosts(
    call: &Call<'_>,
    vhost: Option<&str>,
    names: impl Fn(&Vhost, Option<&Name>, usize) -> Vec<Name> + Send + 'static,
    describe: impl Fn(&ViewState, &ListingKey) -> Option<Value> + Send + 'static,
) -> Outcome {
    let only = vhost.map(|vhost| call.vhost(vhost)).transpose()?;
    let turn = call.context.turns.take(&call.caller.name).await?;
    let wanted = |vhost: &&Vhost| match &only {
        Some(only) => *only == vhost.name,
        None => call.caller.sees(vhost),
    };
    let mut vhosts: Vec<Name> =
        call.view().read().vhosts().filter(wanted).map(|vhost| vhost.name.clone()).collect();
    vhosts.sort_unstable_by(|one, other| other.cmp(one));
    let mut found = VecDeque::new();
    let mut last = None;
    let next = move |view: &View| {
        loop {
            let vhost = vhosts.last()?;
            let Some(name) = found.pop_front() else {
                let state = view.read();
                found = state
                    .vhost(vhost)
                    .map(|vhost| names(vhost, last.as_ref(), TOGETHER))
                    .unwrap_or_default()
                    .into();
                if found.is_empty() {
                    vhosts.pop();
                    last = None;
                }
                continue;
            };
            let key = (vhost.clone(), name);
            let described = describe(&view.read(), &key);
            last = Some(key.1);
            if described.is_some() {
                return described;
            }
        }
    };
    Ok(begin(call, turn, next))
}

/// One of them.
pub(super) fn get_in_vhost(
    call: &Call<'_>,
    vhost: &str,
    name: &str,
    describe: impl Fn(&ViewState, &ListingKey) -> Option<Value>,
) -> Outcome {
    let key = (call.vhost(vhost)?, name.into());
    describe(&call.view().read(), &key).map(Answer::Found).ok_or(Refusal::NotFound)
}

type Next = Box<dyn FnMut(&View) -> Option<Value> + Send>;

/// An array that is being written.
pub(super) struct Listing {
    administrator: Administrator,
    guest: Arc<Guest>,
    /// Describes the next item; None behind the last.
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
