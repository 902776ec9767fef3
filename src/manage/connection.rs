//! Connections of administrators: accepted up to a number, served by hyper, and given up where the other side is too
//! slow. What a request means is not seen here.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::routes;
use crate::server::Administrator;

/// How many administrators may be connected; whoever comes then is turned away.
const MOST_CONNECTIONS: usize = 256;
/// Bytes of a request's head.
const MOST_HEAD: usize = 64 << 10;
/// How long a client may take to send the head of a request (also: be idle), then for the rest of it, and then to read
/// the answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long requests may still take once the broker stops.
const GOODBYE: Duration = Duration::from_secs(3);
/// How long to wait after an accept failed (out of file descriptors, for one) before the next try.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Accepts until `stop`; returns once all connections have ended.
pub(super) async fn accept(listener: TcpListener, administrator: Administrator, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                    warn!(%peer, "turned away from the management API: {MOST_CONNECTIONS} are connected");
                    continue;
                };
                let (administrator, stop) = (administrator.clone(), stop.clone());
                connections.spawn(async move {
                    serve(stream, peer.ip(), &administrator, &stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                warn!(%error, "could not accept a connection to the management API; trying again");
                sleep(AFTER_FAILURE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve(stream: TcpStream, peer: IpAddr, administrator: &Administrator, stop: &CancellationToken) {
    let patience = Mutex::new(Instant::now() + PATIENCE);
    let renew = || *patience.lock() = Instant::now() + PATIENCE;
    let service = service_fn(async |request| {
        renew();
        let response = routes::answer(request, peer, administrator).await;
        renew();
        Ok::<_, Infallible>(response)
    });
    let mut http = http1::Builder::new();
    let served = http.max_buf_size(MOST_HEAD).serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let mut goodbye: Option<Instant> = None;
    loop {
        let patient_until = *patience.lock();
        let deadline = goodbye.map_or(patient_until, |goodbye| goodbye.min(patient_until));
        tokio::select! {
            done = served.as_mut() => {
                if let Err(error) = done {
                    debug!(%peer, %error, "a connection to the management API was lost");
                }
                return;
            }
            () = sleep_until(deadline) => {
                let renewed = goodbye.is_none() && *patience.lock() > deadline;
                if !renewed {
                    debug!(%peer, "a connection to the management API was given up");
                    return;
                }
            }
            () = stop.cancelled(), if goodbye.is_none() => {
                served.as_mut().graceful_shutdown();
                goodbye = Some(Instant::now() + GOODBYE);
            }
        }
    }
}
