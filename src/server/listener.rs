//! Listening: addresses bound, clients accepted until the broker stops, and sent away where there are enough.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::client_listeners::ClientListeners;
use super::connection_task::{Connection, ServerContext};
use super::log_limit::LogLimit;
use crate::config::ListenAddress;
use crate::model::peer::Ends;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long to wait after an accept failed before the next try.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

static FAILED: LogLimit = LogLimit::new(5);
static SENT_AWAY: LogLimit = LogLimit::new(1);

/// Binds all addresses of all hosts. An error names the one that cannot be had.
pub(super) fn bind(hosts: &[ListenAddress]) -> Result<Vec<TcpListener>, (String, io::Error)> {
    let mut resolved = Vec::new();
    for host in hosts {
        resolved.push((host, host.resolve().map_err(|error| (host.to_string(), error))?));
    }
    let everything: Vec<SocketAddr> = resolved.iter().flat_map(|(_, addresses)| addresses).copied().collect();
    let mut taken = BTreeSet::new();
    let mut listeners = Vec::new();
    for (host, addresses) in resolved {
        let before = taken.len();
        let mut absent = None;
        for &address in &addresses {
            if taken.contains(&address) {
                continue;
            }
            match bind_one(address, &everything) {
                Ok(listener) => {
                    taken.insert(address);
                    listeners.push(listener);
                }
                // A name may have addresses that this machine has not, such as IPv6 where that is turned off.
                Err(error) if addresses.len() > 1 && is_absent(&error) => {
                    warn!(%host, %address, %error, "this address of the host is not listened on");
                    absent = Some(error);
                }
                Err(error) if host.to_string() == address.to_string() => {
                    return Err((host.to_string(), error));
                }
                Err(error) => return Err((format!("{host} ({address})"), error)),
            }
        }
        let any = taken.len() > before || addresses.iter().any(|address| taken.contains(address));
        if let Some(error) = absent.filter(|_| !any) {
            return Err((host.to_string(), error));
        }
    }
    Ok(listeners)
}

/// `all`: what else is bound, as far as that matters.
pub(super) fn bind_one(address: SocketAddr, all: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // It stands for IPv4 as well, unless that is listened on by itself.
        socket.set_only_v6(all.iter().any(|other| other.is_ipv4() && other.port() == address.port()))?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Accepts until the broker stops, while the listener is open; every connection is a task of `connections`. One for which there is
/// no `room` is closed at once: it must not take the descriptors that those who are connected and the store need.
pub(super) async fn accept(
    (listeners, at): (Arc<ClientListeners>, usize),
    context: Arc<ServerContext>,
    connections: TaskTracker,
    room: Arc<Semaphore>,
) {
    let mut door = listeners.door(at);
    loop {
        let listening = door.borrow_and_update().clone();
        let arrival = async {
            match &listening {
                Some(listening) => listening.listener.accept().await,
                None => pending().await,
            }
        };
        let accepted = tokio::select! {
            accepted = arrival => accepted,
            // It was opened, or is to be closed.
            Ok(()) = door.changed() => continue,
            () = context.stop.cancelled() => return listeners.give_up(at),
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                    drop(stream);
                    if let Some(kept_back) = SENT_AWAY.permit() {
                        warn!(
                            %peer, kept_back,
                            "a connection was closed at once: as many are open as may be (see --max-connections, \
                             and the limit of open files: ulimit -n)"
                        );
                    }
                    continue;
                };
                if let Err(error) = stream.set_nodelay(true) {
                    warn!(%error, %peer, "could not turn Nagle's algorithm off");
                }
                let server = stream.local_addr().unwrap_or(context.address);
                let connection = Connection::new(stream, Ends { client: peer, server }, Arc::clone(&context));
                connections.spawn(async move {
                    connection.run().await;
                    drop(place);
                });
            }
            Err(error) => {
                if let Some(kept_back) = FAILED.permit() {
                    warn!(%error, kept_back, "could not accept a connection; trying again");
                }
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::net::TcpStream;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;
    use crate::server::run::tests::served;

    fn hosts(texts: &[&str]) -> Vec<ListenAddress> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn free_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn all_addresses_are_bound_once_and_a_taken_one_is_named() {
        let port = free_port();
        let (name, address) = (format!("localhost:{port}"), format!("127.0.0.1:{port}"));
        let listeners = bind(&hosts(&[&name, &address, "127.0.0.1:0"])).unwrap();
        let bound: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        assert_eq!(bound.iter().filter(|bound| bound.to_string() == address).count(), 1, "{bound:?}");
        assert!(bound.len() >= 2 && bound.iter().all(|bound| bound.ip().is_loopback()), "{bound:?}");
        assert_eq!(bind(&hosts(&["127.0.0.1:0", &address])).unwrap_err().0, address);
        let (named, _) = bind(&hosts(&[&name])).unwrap_err();
        assert!(named.starts_with(&format!("{name} (")), "{named}");
        assert_eq!(bind(&hosts(&["no-such-host.invalid:1"])).unwrap_err().0, "no-such-host.invalid:1");
    }

    #[test]
    fn nobody_comes_in_any_more_once_the_broker_stops() {
        let data = tempfile::tempdir().unwrap();
        let (refused, is_refused) = mpsc::channel();
        let served = served(data.path(), |context, connections| {
            let (stop, address) = (context.stop.clone(), context.address);
            // Until it ends the broker goes on stopping.
            connections.spawn(async move {
                stop.cancelled().await;
                let closing = async {
                    while TcpStream::connect(address).await.is_ok() {
                        yield_now().await;
                    }
                };
                let _ = refused.send(timeout(Duration::from_secs(20), closing).await.is_ok());
            });
            context.stop.cancel();
        });
        assert!(served.is_ok() && is_refused.recv().unwrap(), "{served:?}");
    }

    #[tokio::test]
    async fn both_families_may_have_the_same_port() {
        let port = free_port();
        let (v4, v6) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
        match bind(&hosts(&[&v4, &v6])) {
            Ok(listeners) => assert_eq!(listeners.len(), 2),
            Err((named, error)) => assert!(named == v6 && is_absent(&error), "{named}: {error}"),
        }
    }
}
