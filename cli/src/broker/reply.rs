//! What the broker answers: whole, or as it comes.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::Value;

use super::connection::Connection;
use super::{Broker, Failure, Kind};

/// Bytes of an answer that is held as a whole. Listings and definitions, which may be longer, are read as they come.
const MOST_HELD: usize = 256 << 20;
/// Bytes of a line of what is read line by line.
const LONGEST_LINE: usize = 1 << 20;

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// A failure where the broker said no.
    pub fn accepted(self) -> Result<Reply, Failure> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(self.refusal()) }
    }

    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = format!("the broker's answer is no JSON: {error}");
            Failure::new(Kind::Refused, what).advise("Is it the management API that listens there?")
        })
    }

    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What was wrong, by the broker's words.
    fn refusal(&self) -> Failure {
        let kind = match self.status {
            401 | 403 => Kind::NotAllowed,
            404 => Kind::NotFound,
            _ => Kind::Refused,
        };
        let said = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        let reason = said["reason"].as_str().or(said["error"].as_str()).map(str::to_owned);
        let status = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let status_text = format!("{} {}", self.status, status.unwrap_or_default());
        let what = match &reason {
            Some(reason) => format!("the broker refused: {} ({})", one_line(reason), status_text.trim_end()),
            None => format!("the broker answered {}", status_text.trim_end()),
        };
        let advice = match self.status {
            401 => "Check the user and the password: --username, LEVERET_PASSWORD or --password-file.",
            403 => "Ask as a user who may, or over the control socket on the broker's machine.",
            _ => "",
        };
        Failure { status: Some(self.status), reason, ..Failure::new(kind, what).advise(advice) }
    }
}

/// What the broker says may hold anything; an error is one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).collect()
}

/// An answer that is read as it comes. Its connection serves the next request once it has been read to its end.
pub struct Body<'a> {
    broker: &'a Broker,
    connection: Option<Connection>,
    status: u16,
    headers: HeaderMap,
    incoming: Incoming,
    /// What has come of a line that has not ended.
    begun: BytesMut,
}

impl<'a> Body<'a> {
    pub(super) fn new(broker: &'a Broker, connection: Connection, answer: Response<Incoming>) -> Body<'a> {
        let (head, incoming) = answer.into_parts();
        let (status, headers) = (head.status.as_u16(), head.headers);
        Body { broker, connection: Some(connection), status, headers, incoming, begun: BytesMut::new() }
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Itself, or a failure where the broker said no.
    pub fn accepted(self) -> Result<Body<'a>, Failure> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(self.whole()?.refusal()) }
    }

    /// All of it.
    pub fn whole(mut self) -> Result<Reply, Failure> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next_piece()? {
            if body.len() + piece.len() > MOST_HELD {
                let what = format!("the answer is longer than {} MiB", MOST_HELD >> 20);
                return Err(
                    Failure::new(Kind::Refused, what).advise("Ask for less: fewer columns, or a page.")
                );
            }
            body.extend_from_slice(&piece);
        }
        let headers = std::mem::take(&mut self.headers);
        Ok(Reply { status: self.status, headers, body: body.freeze() })
    }

    /// The next piece, within the time that an answer may take; None at its end.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = self.broker.within(self.incoming.frame())?;
            match self.piece(frame)? {
                Some(piece) if piece.is_empty() => {}
                piece => return Ok(piece),
            }
        }
    }

    /// The next line of an answer that goes on for as long as the broker has something to say; None at its end.
    pub fn next_line(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some(end) = self.begun.iter().position(|&byte| byte == b'\n') {
                let line = self.begun.split_to(end);
                self.begun.advance(1);
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            if self.begun.len() > LONGEST_LINE {
                let what = format!("a line of the answer is longer than {} MiB", LONGEST_LINE >> 20);
                return Err(Failure::new(Kind::Refused, what));
            }
            let frame = self.broker.wait(self.incoming.frame());
            match self.piece(frame)? {
                Some(piece) => self.begun.extend_from_slice(&piece),
                None if self.begun.is_empty() => return Ok(None),
                None => {
                    let last = self.begun.split();
                    return Ok(Some(String::from_utf8_lossy(&last).into_owned()));
                }
            }
        }
    }

    fn piece(
        &mut self,
        frame: Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>,
    ) -> Result<Option<Bytes>, Failure> {
        match frame {
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(error)) => Err(self.broker.target.lost(&error)),
            None => {
                self.broker.connection.replace(self.connection.take());
                Ok(None)
            }
        }
    }
}
