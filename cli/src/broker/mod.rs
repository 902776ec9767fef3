//! A running broker, as the command line sees it: the management API over `control.sock` or TCP, one request after the other. What
//! is asked for is said elsewhere.

mod connection;
pub(crate) mod credentials;
mod failure;
mod items;
mod path;
mod place;
mod reply;

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use connection::Connection;
pub use failure::{Failure, Kind};
pub use items::Items;
pub use path::{Path, encoded};
pub use place::{Uri, Where};
pub use reply::{Body, Reply};

/// How long a broker may take for an answer where nobody says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Says why a connection is closed.
const REASON: &str = "x-reason";

/// A request.
struct Asked<'a> {
    method: Method,
    path: Path,
    reason: Option<&'a str>,
    body: Bytes,
}

/// A broker that was reached. Requests wait for their answer; each is given up after the time that [`Where`] allows.
pub struct Broker {
    target: place::Target,
    authorization: Option<HeaderValue>,
    patience: Duration,
    runtime: Runtime,
    /// Kept for the next request; none where the last answer was not read to its end.
    connection: RefCell<Option<Connection>>,
}

impl Broker {
    /// Connects to the broker that is meant. Asks for a password where one is needed and there is a terminal.
    pub fn find(place: &Where) -> Result<Broker, Failure> {
        let (target, authorization) = place.target()?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Failure::new(Kind::Unreachable, format!("no connection can be made: {error}"))
        })?;
        let patience = place.patience.unwrap_or(PATIENCE);
        let broker = Broker { target, authorization, patience, runtime, connection: RefCell::new(None) };
        let connection = broker.connect()?;
        broker.connection.replace(Some(connection));
        Ok(broker)
    }

    /// Where it is, in words.
    #[must_use]
    pub fn place(&self) -> String {
        self.target.to_string()
    }

    /// What there is at a path.
    pub fn get(&self, path: impl Into<Path>) -> Result<Value, Failure> {
        self.send(Method::GET, path, None)?.accepted()?.json()
    }

    /// Sends a request, and reads the whole answer, whatever its status.
    pub fn send(
        &self,
        method: Method,
        path: impl Into<Path>,
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let body = body.map(|body| body.to_string().into_bytes());
        self.send_bytes(method, path, body.unwrap_or_default())
    }

    /// The same with a body that is text already.
    pub fn send_bytes(&self, method: Method, path: impl Into<Path>, body: Vec<u8>) -> Result<Reply, Failure> {
        self.open(method, path, body)?.whole()
    }

    /// The items of a listing, as they come.
    pub fn list(&self, path: impl Into<Path>) -> Result<Items<'_>, Failure> {
        Ok(Items::of(self.open(Method::GET, path, Vec::new())?.accepted()?))
    }

    /// Has a connection closed, or several; its client is told the reason.
    pub fn close(&self, path: impl Into<Path>, reason: &str) -> Result<Reply, Failure> {
        let path = path.into();
        self.ask(&Asked { method: Method::DELETE, path, reason: Some(reason), body: Bytes::new() })?.whole()
    }

    /// Sends a request, and hands out the answer as it comes.
    pub fn open(&self, method: Method, path: impl Into<Path>, body: Vec<u8>) -> Result<Body<'_>, Failure> {
        self.ask(&Asked { method, path: path.into(), reason: None, body: body.into() })
    }

    fn ask(&self, asked: &Asked<'_>) -> Result<Body<'_>, Failure> {
        let is_repeatable = [Method::GET, Method::PUT, Method::DELETE].contains(&asked.method);
        let kept = self.connection.take();
        let was_kept = kept.is_some();
        let mut connection = kept.map_or_else(|| self.connect(), Ok)?;
        let answer = match self.within(connection.ask(self.request(asked)?))? {
            // The broker closes a connection that it heard nothing of for a while. What was not answered is asked again, unless
            // it could then be done twice.
            Err(_) if was_kept && is_repeatable => {
                connection = self.connect()?;
                self.within(connection.ask(self.request(asked)?))?
            }
            answer => answer,
        };
        let answer = answer.map_err(|error| self.target.lost(&error))?;
        Ok(Body::new(self, connection, answer))
    }

    fn connect(&self) -> Result<Connection, Failure> {
        let connected = self.within(Connection::open(&self.target))?;
        connected.map_err(|error| self.target.unreachable(&error))
    }

    fn request(&self, asked: &Asked<'_>) -> Result<Request<connection::RequestBody>, Failure> {
        let Asked { method, path, reason, body } = asked;
        let mut request = Request::builder().method(method).uri(path.as_str());
        request = request.header(HOST, self.target.host());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(reason) = reason {
            request = request.header(REASON, *reason);
        }
        request.body(body.clone().into()).map_err(|error| {
            Failure::new(Kind::Usage, format!("'{}' cannot be asked for: {error}", path.as_str()))
        })
    }

    /// Waits for it, for as long as an answer may take.
    fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let waiting = self.runtime.block_on(async { tokio::time::timeout(self.patience, work).await });
        waiting.map_err(|_| {
            let seconds = self.patience.as_secs_f64();
            Failure::new(Kind::TimedOut, format!("{} has not answered within {seconds} s", self.target))
                .advise("Give it more time with --timeout SECONDS.")
        })
    }

    /// Waits for it, for ever.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

#[cfg(test)]
mod tests;
