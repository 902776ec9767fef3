//! Serves metrics over HTTP, to whoever may connect, without a login: the sums at `/metrics`, every object at
//! `/metrics/per-object`, chosen families of chosen vhosts at `/metrics/detailed`. Objects are asked about some at a time; few
//! texts are made at a moment, for one of all objects is as long as there are.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::metric_text::Text;
use super::metrics::{self, Global};
use super::object_columns::{Objects, Wanted};
use super::object_metrics;
use super::totals::Samples;
use crate::model::administration::AdministrationError;
use crate::server::{Administrator, LogLimit, UNLIMITED};

/// Connections at a time; more wait.
const MOST: usize = 16;
/// Answers about single objects that are being made or sent at a time: what is known of them stands in memory meanwhile.
const MOST_ANSWERS: usize = 2;
/// How long the head of a request may take, and a whole connection.
const PATIENCE: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(120);
/// Bytes of a piece, about.
const PIECE: usize = 32 << 10;
const AFTER_FAILURE: Duration = Duration::from_millis(100);

static FAILED: LogLimit = LogLimit::new(5);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

struct Server {
    administrator: Administrator,
    samples: Arc<Samples>,
    answers: Arc<Semaphore>,
}

/// Accepts until `stop`.
pub(super) async fn accept(
    listeners: Vec<TcpListener>,
    administrator: Administrator,
    samples: Arc<Samples>,
    stop: CancellationToken,
) {
    if listeners.is_empty() {
        return;
    }
    let server = Arc::new(Server { administrator, samples, answers: Arc::new(Semaphore::new(MOST_ANSWERS)) });
    let room = Arc::new(Semaphore::new(MOST));
    let connections = TaskTracker::new();
    loop {
        let arrival = async {
            let place = Arc::clone(&room).acquire_owned().await;
            let arrived = poll_fn(|context| {
                let arrived = listeners.iter().map(|listener| listener.poll_accept(context));
                arrived.into_iter().find(Poll::is_ready).unwrap_or(Poll::Pending)
            });
            (place, arrived.await)
        };
        let (place, accepted) = tokio::select! {
            arrived = arrival => arrived,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (server, stop) = (Arc::clone(&server), stop.clone());
                connections.spawn(async move {
                    serve(stream, &server, &stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                if let Some(kept_back) = FAILED.permit() {
                    warn!(%error, kept_back, "could not accept a connection for metrics; trying again");
                }
                sleep(AFTER_FAILURE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve(stream: TcpStream, server: &Server, stop: &CancellationToken) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(server, &request).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = timeout(LONGEST, connection.as_mut()) => {
            if let Ok(Err(error)) = ended {
                debug!(%error, "a connection for metrics ended");
            }
        }
        () = stop.cancelled() => {}
    }
}

async fn answer(server: &Server, request: &Request<Incoming>) -> Response<Pieces> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, Pieces::default());
    }
    let (endpoint, wanted) = match request.uri().path().trim_end_matches('/') {
        "/metrics" => ("aggregated", None),
        "/metrics/per-object" => ("per-object", Some(Wanted::all())),
        "/metrics/detailed" => ("detailed", Some(Wanted::read(request.uri().query()))),
        _ => return plain(StatusCode::NOT_FOUND, Pieces::default()),
    };
    match pieces(server, endpoint, wanted).await {
        Ok(pieces) => plain(StatusCode::OK, pieces),
        Err(error) => {
            let text = Text(error.to_string());
            plain(StatusCode::SERVICE_UNAVAILABLE, Pieces { text, ..Pieces::default() })
        }
    }
}

fn plain(status: StatusCode, text: Pieces) -> Response<Pieces> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

/// A text, of which a piece is made at a time, when the client has taken the one before.
#[derive(Default)]
struct Pieces {
    /// What is made and not sent.
    text: Text,
    /// What comes behind it.
    objects: Option<Objects>,
    /// Others have had their turn since the last piece.
    rested: bool,
    _answering: Option<OwnedSemaphorePermit>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::replace(&mut self.rested, true) {
            // A fast client takes piece after piece; the thread is not ours alone.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.rested = false;
        let mut text = std::mem::take(&mut self.text);
        if let Some(objects) = &mut self.objects
            && objects.write(&mut text, PIECE)
        {
            self.objects = None;
        }
        let piece = Some(text.0).filter(|text| !text.is_empty());
        Poll::Ready(piece.map(|text| Ok(Frame::data(text.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.0.is_empty() && self.objects.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.objects {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.text.0.len() as u64),
        }
    }
}

fn pieces<'a>(
    server: &'a Server,
    endpoint: &'static str,
    wanted: Option<Wanted>,
) -> Pin<Box<dyn Future<Output = Result<Pieces, AdministrationError>> + Send + 'a>> {
    Box::pin(async move {
        // Sums are short, and wait for nobody who reads slowly.
        let answering = match wanted {
            Some(_) => Some(Arc::clone(&server.answers).acquire_owned().await),
            None => None,
        };
        let answering = answering.transpose().map_err(|_| AdministrationError::Stopping)?;
        let administrator = &server.administrator;
        let sum = server.samples.sum(administrator).await?;
        let facts = administrator.facts();
        let mut text = Text::default();
        metrics::identity(&mut text, endpoint, &facts.identity);
        let (created, deleted) = administrator.queue_churn();
        let (open_files, most_files) = facts.files();
        let (queues, _) = administrator.view().read().sizes();
        let memory_limit = administrator.thresholds().memory();
        let global = Global {
            sum: &sum,
            churn: administrator.clients().churn(),
            created,
            deleted,
            queues,
            connections: administrator.clients().connections(),
            channels: administrator.clients().channels(),
            store: administrator.store_counts().await?,
            journal: facts.journal(),
            alarms: administrator.alarms(),
            open_files,
            most_files,
            memory_used: facts.memory_used(),
            memory_limit: if memory_limit == UNLIMITED { 0 } else { memory_limit },
            disk_free: facts.disk_free(),
            disk_limit: administrator.thresholds().disk(),
            uptime: facts.uptime(),
        };
        let objects = match wanted {
            None => {
                global.write(&mut text);
                object_metrics::write_sums(&mut text, &sum);
                None
            }
            Some(wanted) => {
                if endpoint == "detailed" {
                    global.write_detailed(&mut text, |family| wanted.wants(&[family]));
                } else {
                    global.write(&mut text);
                }
                Some(Objects::ask(administrator, &sum, &wanted, endpoint).await?)
            }
        };
        Ok(Pieces { text, objects, rested: true, _answering: answering })
    })
}
