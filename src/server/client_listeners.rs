//! The listeners for AMQP clients as an administrator sees them: open; suspended, then nobody new comes in; or stopped, then nobody
//! is in either. Who is accepted, and how, is in `listener`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::administrator::Administrator;
use super::connection_task::shutdown;
use super::listener;

/// How long clients may take to go once they were told: a little longer than any of them has.
const FAREWELL: Duration = Duration::from_secs(35);

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
    #[error("some clients have not gone within {} s; nobody new can connect", FAREWELL.as_secs())]
    Slow,
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
    /// Opens and closes one after the other.
    turn: AsyncMutex<()>,
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

    fn reception(&self) -> Reception {
        *self.reception.lock()
    }

    /// Nobody comes in any more once this returns; who was accepted before is registered by then.
    async fn close(&self) {
        for door in &self.doors {
            if let Some(listening) = door.listening.send_replace(None) {
                let closed = listening.closed.clone();
                drop(listening);
                // Its task lets go of it, too.
                closed.cancelled().await;
            }
        }
    }

    /// Opens all or none.
    fn open(&self) -> Result<(), ListenersError> {
        let all = self.addresses();
        let mut opened = Vec::with_capacity(all.len());
        for door in &self.doors {
            let is_open = door.listening.borrow().is_some();
            let listener = if is_open { Ok(None) } else { listener::bind_one(door.address, &all).map(Some) };
            opened.push(listener.map_err(|source| ListenersError::Taken { address: door.address, source })?);
        }
        for (door, listener) in self.doors.iter().zip(opened) {
            if let Some(listener) = listener {
                door.listening.send_replace(Some(Listening::new(listener)));
            }
        }
        Ok(())
    }
}

impl Administrator {
    /// Whether clients come in.
    #[must_use]
    pub fn reception(&self) -> Reception {
        self.listeners().reception()
    }

    /// Where clients can connect now.
    #[must_use]
    pub fn open_listeners(&self) -> Vec<SocketAddr> {
        let is_open = self.reception() == Reception::Running;
        if is_open { self.facts().listeners.clone() } else { Vec::new() }
    }

    /// Lets no new clients in; those who are connected stay.
    pub async fn suspend_listeners(&self) -> Result<(), ListenersError> {
        let listeners = self.listeners();
        let _turn = listeners.turn.lock().await;
        if listeners.reception() == Reception::Stopped {
            return Err(ListenersError::Stopped);
        }
        *listeners.reception.lock() = Reception::Suspended;
        listeners.close().await;
        Ok(())
    }

    /// Lets new clients in again.
    pub async fn resume_listeners(&self) -> Result<(), ListenersError> {
        let listeners = self.listeners();
        let _turn = listeners.turn.lock().await;
        if listeners.reception() == Reception::Stopped {
            return Err(ListenersError::Stopped);
        }
        listeners.open()?;
        *listeners.reception.lock() = Reception::Running;
        Ok(())
    }

    /// Closes all connections with 320 and lets nobody in; returns once they are gone. What is in queues stays, what is to
    /// expire expires.
    pub async fn stop_serving(&self) -> Result<(), ListenersError> {
        let listeners = self.listeners();
        let _turn = listeners.turn.lock().await;
        *listeners.reception.lock() = Reception::Stopped;
        listeners.close().await;
        let connections = self.mailboxes().connections();
        connections.close_all(&shutdown());
        timeout(FAREWELL, connections.emptied()).await.map_err(|_| ListenersError::Slow)
    }

    /// The end of [`Administrator::stop_serving`] and [`Administrator::suspend_listeners`].
    pub async fn start_serving(&self) -> Result<(), ListenersError> {
        let listeners = self.listeners();
        let _turn = listeners.turn.lock().await;
        listeners.open()?;
        *listeners.reception.lock() = Reception::Running;
        Ok(())
    }

    /// The broker stops in order, as by SIGTERM.
    pub fn stop_broker(&self) {
        self.stop().cancel();
    }

    /// Returns once the broker stops.
    pub async fn stopping(&self) {
        self.stop().cancelled().await;
    }
}
