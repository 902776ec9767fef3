//! Accepting clients until the broker stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::connection_task::{Connection, Surroundings};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;
/// How long to wait after an accept failed (out of file descriptors, for one) before the next try.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Binds the address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the broker stops; every connection is a task of `connections`.
pub(crate) async fn accept(listener: TcpListener, around: Arc<Surroundings>, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = around.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    warn!(%error, %peer, "could not turn Nagle's algorithm off");
                }
                let connection = Connection::new(stream, peer, Arc::clone(&around));
                connections.spawn(connection.run(peer));
            }
            Err(error) => {
                warn!(%error, "could not accept a connection; trying again");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}
