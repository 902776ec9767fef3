//! The listeners for AMQP clients, which are opened and closed while the broker runs. Who is accepted, and how, is in `listener`; who
//! opens and closes them, in `reception`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::listener;

/// Whether clients come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    Running,
    /// No new ones.
    Suspended,
    /// None at all.
    Stopped,
}

/// Why the listeners are not as somebody wants them.
#[derive(Debug, Error)]
pub enum ListenersError {
    #[error("the broker's listeners are stopped, with all connections closed: start them again (start_app)")]
    Stopped,
    #[error(
        "cannot listen on {address}: {source}; nobody can connect until that is mended and asked for again"
    )]
    Taken { address: SocketAddr, source: io::Error },
    #[error("some clients have not gone within {seconds} s; nobody new can connect")]
    Slow { seconds: u64 },
}

/// An open listener.
pub(super) struct Listening {
    pub(super) listener: TcpListener,
    closed: CancellationToken,
    /// Dropped after the listener.
    _closing: DropGuard,
}

/// One address, and its listener while it is open.
struct Door {
    address: SocketAddr,
    listening: watch::Sender<Option<Arc<Listening>>>,
}

/// The listeners for clients.
pub(super) struct ClientListeners {
    doors: Vec<Door>,
    reception: Mutex<Reception>,
    /// They are opened and closed by one at a time.
    turn: AsyncMutex<()>,
}

/// The right to open and close them.
pub(super) struct Turn<'a> {
    listeners: &'a ClientListeners,
    _turn: MutexGuard<'a, ()>,
}

impl Listening {
    fn new(listener: TcpListener) -> Arc<Listening> {
        let closed = CancellationToken::new();
        Arc::new(Listening { listener, _closing: closed.clone().drop_guard(), closed })
    }
}

impl ClientListeners {
    pub(super) fn new(listeners: Vec<TcpListener>) -> io::Result<ClientListeners> {
        let doors = listeners.into_iter().map(|listener| {
            let address = listener.local_addr()?;
            Ok(Door { address, listening: watch::Sender::new(Some(Listening::new(listener))) })
        });
        Ok(ClientListeners {
            doors: doors.collect::<io::Result<_>>()?,
            reception: Mutex::new(Reception::Running),
            turn: AsyncMutex::default(),
        })
    }

    /// Where they listen, whether or not they are open.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.iter().map(|door| door.address).collect()
    }

    /// The listener at this place among the addresses, while it is open, and the news of it.
    pub(super) fn door(&self, at: usize) -> watch::Receiver<Option<Arc<Listening>>> {
        self.doors[at].listening.subscribe()
    }

    /// The listener at this place is not to be open any more, for the broker stops.
    pub(super) fn give_up(&self, at: usize) {
        self.doors[at].listening.send_replace(None);
    }

    pub(super) fn reception(&self) -> Reception {
        *self.reception.lock()
    }

    /// Whoever opens or closes them has this first.
    pub(super) async fn turn(&self) -> Turn<'_> {
        Turn { listeners: self, _turn: self.turn.lock().await }
    }
}

impl Turn<'_> {
    pub(super) fn set(&self, reception: Reception) {
        *self.listeners.reception.lock() = reception;
    }

    /// Nobody comes in any more once this returns; who was accepted before is registered by then.
    pub(super) async fn close(&self) {
        for door in &self.listeners.doors {
            if let Some(listening) = door.listening.send_replace(None) {
                let closed = listening.closed.clone();
                drop(listening);
                // Its task lets go of it, too.
                closed.cancelled().await;
            }
        }
    }

    /// Opens all or none.
    pub(super) fn open(&self) -> Result<(), ListenersError> {
        let ClientListeners { doors, .. } = self.listeners;
        let all = self.listeners.addresses();
        let mut opened = Vec::with_capacity(all.len());
        for door in doors {
            let is_open = door.listening.borrow().is_some();
            let listener = if is_open { Ok(None) } else { listener::bind_one(door.address, &all).map(Some) };
            opened.push(listener.map_err(|source| ListenersError::Taken { address: door.address, source })?);
        }
        for (door, listener) in doors.iter().zip(opened) {
            if let Some(listener) = listener {
                door.listening.send_replace(Some(Listening::new(listener)));
            }
        }
        Ok(())
    }
}
