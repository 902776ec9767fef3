//! Whether clients come in, as an administrator says: they do; the listeners are suspended, then nobody new comes in; or they are stopped,
//! then nobody is in either. And the end of the broker itself.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::administrator::Administrator;
use super::client_listeners::{ListenersError, Reception};
use super::connection_task::shutdown;

/// How long clients may take to go once they were told: a little longer than any of them has.
const FAREWELL: Duration = Duration::from_secs(35);

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
        let turn = self.listeners().turn().await;
        if self.reception() == Reception::Stopped {
            return Err(ListenersError::Stopped);
        }
        turn.set(Reception::Suspended);
        turn.close().await;
        Ok(())
    }

    /// Lets new clients in again.
    pub async fn resume_listeners(&self) -> Result<(), ListenersError> {
        let turn = self.listeners().turn().await;
        if self.reception() == Reception::Stopped {
            return Err(ListenersError::Stopped);
        }
        turn.open()?;
        turn.set(Reception::Running);
        Ok(())
    }

    /// Closes all connections with 320 and lets nobody in; returns once they are gone. What is in queues stays, what is to
    /// expire expires.
    pub async fn stop_serving(&self) -> Result<(), ListenersError> {
        let turn = self.listeners().turn().await;
        turn.set(Reception::Stopped);
        turn.close().await;
        let connections = self.mailboxes().connections();
        connections.close_all(&shutdown());
        timeout(FAREWELL, connections.emptied())
            .await
            .map_err(|_| ListenersError::Slow { seconds: FAREWELL.as_secs() })
    }

    /// The end of [`Administrator::stop_serving`] and [`Administrator::suspend_listeners`].
    pub async fn start_serving(&self) -> Result<(), ListenersError> {
        let turn = self.listeners().turn().await;
        turn.open()?;
        turn.set(Reception::Running);
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
