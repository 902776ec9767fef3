//! Connections of administrators, over TCP or by the control socket: accepted up to a number, served by hyper, and given up where the
//! other side is too slow. What a request means is not seen here.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::answer;
use super::arranged::AT_A_TIME;
use super::attempts::Attempts;
use super::call::{Context, LARGE_BODIES};
use super::guests::{Guest, Guests};
use super::hosts::Hosts;
use super::log::Followers;
use super::metrics_server;
use super::origin::Origin;
use super::routes;
use super::totals::Samples;
use super::turns::Turns;
use crate::server::{Administrator, ControlClient, ControlSocket, LogLimit, ManagementListeners};

/// Bytes of a request's head.
const MOST_HEAD: usize = 64 << 10;
/// How long a client may take to send the head of its first request.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a request may take, and then a client to read the answer and to come with the next one.
const LEISURE: Duration = Duration::from_secs(60);
/// How long a request waits until it is its turn to be given something long.
const TURN: Duration = Duration::from_secs(10);
/// How long requests may still take once the broker stops.
const GOODBYE: Duration = Duration::from_secs(3);
/// How long to wait after an accept failed (out of file descriptors, for one) before the next try.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

static FAILED: LogLimit = LogLimit::new(5);
static SENT_AWAY: LogLimit = LogLimit::new(5);

/// Somebody who has connected.
enum Arrival {
    Network(TcpStream, Origin),
    Control(ControlClient),
}

/// Accepts until `stop`; returns once all connections have ended.
pub(super) async fn accept(
    listeners: ManagementListeners,
    administrator: Administrator,
    stop: CancellationToken,
) {
    let ManagementListeners { listeners, control, metrics, hosts, most } = listeners;
    let guests = Arc::new(Guests::new(most, PATIENCE));
    let samples = Arc::new(Samples::default());
    let (sampled, sampling) = (Arc::clone(&samples), (administrator.clone(), stop.clone()));
    let sampler = tokio::spawn(async move { sampled.keep(&sampling.0, &sampling.1).await });
    let (measured, measuring) = (Arc::clone(&samples), (administrator.clone(), stop.clone()));
    let metrics =
        tokio::spawn(
            async move { metrics_server::accept(metrics, measuring.0, measured, measuring.1).await },
        );
    let context = Arc::new(Context {
        administrator,
        turns: Turns::new(TURN),
        samples,
        attempts: Attempts::default(),
        followers: Followers::default(),
        hosts: Hosts::new(hosts),
        arranging: Arc::new(Semaphore::new(AT_A_TIME)),
        large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)),
    });
    let connections = TaskTracker::new();
    loop {
        let arrival = poll_fn(|context| poll_arrival(&listeners, control.as_ref(), context));
        let accepted = tokio::select! {
            accepted = arrival => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok(arrival) => {
                let guest = guests.admit();
                let (guests, context, stop) = (Arc::clone(&guests), Arc::clone(&context), stop.clone());
                connections.spawn(async move {
                    match arrival {
                        Arrival::Network(stream, origin) => {
                            serve(stream, origin, &context, &guest, &stop).await;
                        }
                        Arrival::Control(ControlClient { stream, uid, is_admitted }) => {
                            let origin = Origin::Control { uid, is_admitted };
                            serve(stream, origin, &context, &guest, &stop).await;
                        }
                    }
                    guests.leave(&guest);
                });
            }
            Err(error) => {
                if let Some(kept_back) = FAILED.permit() {
                    warn!(%error, kept_back, "could not accept a connection to the management API; trying again");
                }
                sleep(AFTER_FAILURE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
    // They end when the broker stops.
    let _ = tokio::join!(sampler, metrics);
}

/// Ready once somebody has connected somewhere.
fn poll_arrival(
    listeners: &[TcpListener],
    control: Option<&ControlSocket>,
    context: &mut task::Context<'_>,
) -> Poll<io::Result<Arrival>> {
    for listener in listeners {
        if let Poll::Ready(accepted) = listener.poll_accept(context) {
            return Poll::Ready(accepted.map(|(stream, peer)| {
                let local = stream.local_addr();
                let is_local = local.is_ok_and(|address| address.ip().to_canonical().is_loopback());
                Arrival::Network(stream, Origin::Network { peer: peer.ip(), is_local })
            }));
        }
    }
    match control {
        Some(control) => control.poll_accept(context).map_ok(Arrival::Control),
        None => Poll::Pending,
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    origin: Origin,
    context: &Context,
    guest: &Arc<Guest>,
    stop: &CancellationToken,
) {
    let service = service_fn(async |request| {
        guest.wait_for(LEISURE);
        let response = match origin {
            Origin::Control { uid, is_admitted: false } => {
                if let Some(kept_back) = SENT_AWAY.permit() {
                    warn!(
                        uid,
                        kept_back,
                        "somebody who may not administer the broker came to control.sock (see --control-group)"
                    );
                }
                answer::sent_away()
            }
            _ => routes::answer(request, origin, context, guest).await,
        };
        guest.wait_for(LEISURE);
        Ok::<_, Infallible>(response)
    });
    let mut http = http1::Builder::new();
    let served =
        http.max_buf_size(MOST_HEAD).half_close(true).serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let mut goodbye: Option<Instant> = None;
    loop {
        let patient_until = guest.deadline();
        let deadline = goodbye.map_or(patient_until, |goodbye| goodbye.min(patient_until));
        tokio::select! {
            done = served.as_mut() => {
                if let Err(error) = done {
                    debug!(peer = %origin, %error, "a connection to the management API was lost");
                }
                return;
            }
            () = guest.shown_out() => {
                debug!(peer = %origin, "a connection to the management API made room for another");
                return;
            }
            () = sleep_until(deadline) => {
                if goodbye.is_some_and(|goodbye| goodbye <= deadline) || guest.deadline() <= deadline {
                    debug!(peer = %origin, "a connection to the management API was given up");
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
