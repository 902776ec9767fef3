//! Connections of administrators: accepted up to a number, served by hyper, and given up where the other side is too
//! slow. What a request means is not seen here.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::routes;
use super::turns::Turns;
use crate::server::{Administrator, LogLimit, ManagementListeners};

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

/// What all of them share.
pub(super) struct Context {
    pub(super) administrator: Administrator,
    pub(super) turns: Turns,
}

/// Accepts until `stop`; returns once all connections have ended.
pub(super) async fn accept(
    listeners: ManagementListeners,
    administrator: Administrator,
    stop: CancellationToken,
) {
    let ManagementListeners { listeners, most } = listeners;
    let guests = Arc::new(Guests { most, present: Mutex::default() });
    let context = Arc::new(Context { administrator, turns: Turns::new(TURN) });
    let connections = TaskTracker::new();
    loop {
        let arrival = poll_fn(|context| {
            let arrived = listeners.iter().map(|listener| listener.poll_accept(context));
            arrived.into_iter().find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        let accepted = tokio::select! {
            accepted = arrival => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let guest = guests.admit();
                let (guests, context, stop) = (Arc::clone(&guests), Arc::clone(&context), stop.clone());
                connections.spawn(async move {
                    serve(stream, peer.ip(), &context, &guest, &stop).await;
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
}

/// Who is connected.
struct Guests {
    /// How many may be. Who comes then takes the place of the one not heard of for the longest time, so that clients
    /// who only hold on to their connections keep nobody out.
    most: usize,
    present: Mutex<Vec<Arc<Guest>>>,
}

pub(super) struct Guest {
    /// When it was last heard of, and until when it is waited for.
    heard: Mutex<(Instant, Instant)>,
    shown_out: Notify,
}

impl Guests {
    fn admit(&self) -> Arc<Guest> {
        let now = Instant::now();
        let guest = Arc::new(Guest { heard: Mutex::new((now, now + PATIENCE)), shown_out: Notify::new() });
        let mut present = self.present.lock();
        if present.len() >= self.most {
            let silent = (0..present.len()).min_by_key(|&at| present[at].heard.lock().0);
            if let Some(silent) = silent {
                present.swap_remove(silent).shown_out.notify_one();
            }
        }
        present.push(Arc::clone(&guest));
        guest
    }

    fn leave(&self, guest: &Arc<Guest>) {
        self.present.lock().retain(|other| !Arc::ptr_eq(other, guest));
    }
}

impl Guest {
    /// It was heard of, and is waited for from now on.
    pub(super) fn wait_for(&self, patience: Duration) {
        let now = Instant::now();
        *self.heard.lock() = (now, now + patience);
    }

    fn deadline(&self) -> Instant {
        self.heard.lock().1
    }
}

async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    context: &Context,
    guest: &Arc<Guest>,
    stop: &CancellationToken,
) {
    let service = service_fn(async |request| {
        guest.wait_for(LEISURE);
        let response = routes::answer(request, peer, context, guest).await;
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
                    debug!(%peer, %error, "a connection to the management API was lost");
                }
                return;
            }
            () = guest.shown_out.notified() => {
                debug!(%peer, "a connection to the management API made room for another");
                return;
            }
            () = sleep_until(deadline) => {
                if goodbye.is_some_and(|goodbye| goodbye <= deadline) || guest.deadline() <= deadline {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_was_silent_for_the_longest_time_makes_room() {
        const MOST: usize = 256;
        let guests = Guests { most: MOST, present: Mutex::default() };
        let first = guests.admit();
        let second = guests.admit();
        let others: Vec<_> = (2..MOST).map(|_| guests.admit()).collect();
        first.wait_for(PATIENCE);
        guests.admit();
        let shown_out = tokio::time::timeout(PATIENCE, second.shown_out.notified()).await;
        assert!(shown_out.is_ok());
        guests.leave(&second);
        guests.leave(&others[0]);
        guests.admit();
        assert_eq!(guests.present.lock().len(), MOST);
        let is_in = guests.present.lock().iter().any(|guest| Arc::ptr_eq(guest, &first));
        assert!(is_in, "who was heard of stays");
    }
}
