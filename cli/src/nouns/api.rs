//! `leveret api`: any request, for what has no verb.

use std::io::{self, Read, Write};

use clap::Args;
use hyper::Method;

use super::Done;
use super::options::Connect;
use crate::broker::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  leveret api GET /api/overview\n  leveret api PUT /api/vhosts/shop '{\"description\": \"orders\"}'"
)]
pub struct Api {
    /// GET, PUT, POST, DELETE ...
    method: String,
    /// The path, with its query, as docs/management.md and /api/index.html have it.
    path: String,
    /// The body, as JSON; - reads it from standard input.
    body: Option<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Api {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let method: Method = self.method.to_uppercase().parse().map_err(|_| {
            Failure::usage(format!("'{}' is no method", self.method)).advise("Give GET, PUT, POST or DELETE.")
        })?;
        if !self.path.starts_with('/') {
            return Err(Failure::usage(format!("the path '{}' does not begin with a slash", self.path))
                .advise("Give it from /api/ on."));
        }
        let mut body = self.body.unwrap_or_default().into_bytes();
        if body == b"-" {
            body.clear();
            let read = io::stdin().read_to_end(&mut body);
            read.map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
        }
        let broker = self.connect.broker()?;
        let mut answer = broker.open(method, &*self.path, body)?.accepted()?;
        let mut out = io::stdout().lock();
        let mut last = None;
        while let Some(piece) = answer.next_piece()? {
            out.write_all(&piece).map_err(Failure::output)?;
            last = piece.last().copied();
        }
        if last.is_some_and(|byte| byte != b'\n') {
            out.write_all(b"\n").map_err(Failure::output)?;
        }
        Ok(Done::Yes)
    }
}
