//! Serves metrics over HTTP, to whoever may connect, without a login: the sums at `/metrics`, every object at
//! `/metrics/per-object`, chosen families of chosen vhosts at `/metrics/detailed`. Objects are asked about some at a time; few
//! texts are made at a moment, for one of all objects is as long as there are.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::metrics::{self, Global, Text};
use super::object_metrics::{self, Wanted};
use super::totals::Samples;
use crate::model::administration::AdministrationError;
use crate::server::{Administrator, LogLimit, UNLIMITED};

/// Connections at a time; more wait.
const MOST: usize = 16;
/// Answers that are being made at a time: a listing of all objects is as long as there are.
const MOST_ANSWERS: usize = 2;
/// How long the head of a request may take, and a whole connection.
const PATIENCE: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(120);
const AFTER_FAILURE: Duration = Duration::from_millis(100);

static FAILED: LogLimit = LogLimit::new(5);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

struct Server {
    administrator: Administrator,
    samples: Arc<Samples>,
    answers: Semaphore,
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
    let server = Arc::new(Server { administrator, samples, answers: Semaphore::new(MOST_ANSWERS) });
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

async fn answer(server: &Server, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, String::new());
    }
    let (endpoint, wanted) = match request.uri().path().trim_end_matches('/') {
        "/metrics" => ("aggregated", None),
        "/metrics/per-object" => ("per-object", Some(Wanted::all())),
        "/metrics/detailed" => ("detailed", Some(Wanted::read(request.uri().query()))),
        _ => return plain(StatusCode::NOT_FOUND, String::new()),
    };
    match text(server, endpoint, wanted).await {
        Ok(text) => plain(StatusCode::OK, text),
        Err(error) => plain(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

fn text<'a>(
    server: &'a Server,
    endpoint: &'static str,
    wanted: Option<Wanted>,
) -> Pin<Box<dyn Future<Output = Result<String, AdministrationError>> + Send + 'a>> {
    Box::pin(async move {
        let _answering = server.answers.acquire().await.map_err(|_| AdministrationError::Stopping)?;
        let administrator = &server.administrator;
        let sum = server.samples.sum(administrator).await?;
        let facts = administrator.facts();
        let mut text = Text::default();
        metrics::identity(&mut text, endpoint, &facts.identity);
        if endpoint != "detailed" {
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
                alarms: administrator.alarms(),
                open_files,
                most_files,
                memory_used: facts.memory_used(),
                memory_limit: if memory_limit == UNLIMITED { 0 } else { memory_limit },
                disk_free: facts.disk_free(),
                disk_limit: administrator.thresholds().disk(),
                uptime: facts.uptime(),
            };
            global.write(&mut text);
        }
        let Some(wanted) = wanted else {
            object_metrics::write_sums(&mut text, &sum);
            return Ok(text.0);
        };
        let objects = wanted.ask(administrator).await?;
        // Of very many objects that takes longer than others are to wait for this thread.
        let written = spawn_blocking(move || {
            objects.write(&mut text, &sum, &wanted, endpoint);
            text.0
        });
        written.await.map_err(|_| AdministrationError::Stopping)
    })
}
