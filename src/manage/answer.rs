//! What is said to a request: status codes and bodies (semantics 20.1, 20.2). Which of them is
//! said is the resources'.

use std::borrow::Cow;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::listing_body::Listing;
use super::page::NoPage;
use super::turns::NoTurn;
use crate::model::administration::{AdministrationError, Applied};

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// A body: known as a whole, or made while the client takes it.
pub(super) type Body = Either<Full<Bytes>, Listing>;

/// How a request went.
pub(super) type Outcome = Result<Answer, Refusal>;

#[derive(Debug)]
pub(super) enum Answer {
    /// 200.
    Found(Value),
    /// 200.
    Listed(Listing),
    /// 200: text, of which more may come while the client takes it.
    Followed(Listing),
    /// 201: it was not there before.
    Created,
    /// 201, with where it is now, seen from where it was posted to.
    CreatedAt(String),
    /// 204.
    Done,
    /// 200, with the methods of a resource.
    Allow(String),
    /// 200: text for people.
    Plain(String),
    /// 200: a page for people.
    Page(String),
    /// 301: it is somewhere else.
    Moved(&'static str),
}

impl From<Applied> for Answer {
    fn from(applied: Applied) -> Answer {
        match applied {
            Applied::Created => Answer::Created,
            Applied::Changed => Answer::Done,
        }
    }
}

#[derive(Debug)]
pub(super) enum Refusal {
    /// 401: no credentials were given.
    Challenge,
    /// 401: nobody has these credentials.
    NotAuthenticated,
    /// 401: they are good, and somebody else's right is asked for; the text says whose.
    NotAuthorised(Cow<'static, str>),
    /// 421: it was asked for by a name that is not this machine's.
    Misdirected,
    /// 404.
    NotFound,
    /// 404 within something that was named; the text says what is missing, or nothing where it is kept from the caller.
    Missing(Cow<'static, str>),
    /// 409, with what has to be done before.
    Conflict(String),
    /// 412, with why it must not be done.
    Precondition(String),
    /// 503: what was asked about is not well; the body says how.
    Unwell(Value),
    /// 405, with the methods there are.
    Method(String),
    /// 400, with what is wrong.
    Bad(Value),
    /// 400 of a page that cannot be.
    NoPage(NoPage),
    /// 408: the body did not come.
    Slow,
    /// 503: too many are being given long answers.
    Busy,
    /// 503: publishers are blocked, or owners have not answered in time.
    Blocked(String),
    /// 503: the broker stops.
    Stopping,
}

impl Refusal {
    /// What is wrong, for a log.
    pub(super) fn text(&self) -> String {
        match self {
            Refusal::Bad(Value::String(text)) => text.clone(),
            Refusal::Bad(reason) => reason.to_string(),
            other => format!("{other:?}"),
        }
    }

    pub(super) fn bad(text: impl Into<String>) -> Refusal {
        Refusal::Bad(Value::String(text.into()))
    }
}

/// As most resources say it. Those that say it otherwise take their errors apart themselves.
impl From<AdministrationError> for Refusal {
    fn from(error: AdministrationError) -> Refusal {
        match error {
            AdministrationError::NoVhost(_) => Refusal::Missing("vhost_not_found".into()),
            AdministrationError::NoUser(_)
            | AdministrationError::NoPolicy { .. }
            | AdministrationError::NoPermissions { .. } => Refusal::NotFound,
            AdministrationError::NoExchange { exchange, .. } => {
                Refusal::Bad(json!(["no_such_exchange", &*exchange]))
            }
            AdministrationError::Protected(_) => Refusal::Precondition(error.to_string()),
            AdministrationError::Invalid(text) => Refusal::bad(text),
            AdministrationError::Stopping => Refusal::Stopping,
        }
    }
}

impl From<NoPage> for Refusal {
    fn from(no_page: NoPage) -> Refusal {
        Refusal::NoPage(no_page)
    }
}

impl From<NoTurn> for Refusal {
    fn from(NoTurn: NoTurn) -> Refusal {
        Refusal::Busy
    }
}

/// 403, and the connection ends: to whoever may not come in at all.
pub(super) fn sent_away() -> Response<Body> {
    let reason = "you are neither the broker's user nor root, nor in the group of its --control-group; the management API over \
                  HTTP lets in who has a user's name and password";
    let response = json_response(StatusCode::FORBIDDEN, &json!({"error": "forbidden", "reason": reason}));
    with(response, CONNECTION, "close")
}

/// Writes it down.
pub(super) fn response(outcome: Outcome) -> Response<Body> {
    match outcome {
        Ok(answer) => answered(answer),
        Err(refusal) => refused(refusal),
    }
}

fn answered(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Found(value) => json_response(StatusCode::OK, &value),
        Answer::Listed(listing) => {
            let body = listing.whole().map_or_else(Either::Right, |whole| Either::Left(Full::new(whole)));
            with(Response::new(body), CONTENT_TYPE, "application/json")
        }
        Answer::Followed(text) => with(Response::new(Either::Right(text)), CONTENT_TYPE, PLAIN_TEXT),
        Answer::Created => empty(StatusCode::CREATED),
        Answer::CreatedAt(location) => with(empty(StatusCode::CREATED), LOCATION, &location),
        Answer::Done => empty(StatusCode::NO_CONTENT),
        Answer::Allow(methods) => with(empty(StatusCode::OK), ALLOW, &methods),
        Answer::Plain(text) => with(Response::new(Either::Left(Full::from(text))), CONTENT_TYPE, PLAIN_TEXT),
        Answer::Page(page) => {
            with(Response::new(Either::Left(Full::from(page))), CONTENT_TYPE, "text/html; charset=utf-8")
        }
        Answer::Moved(location) => with(empty(StatusCode::MOVED_PERMANENTLY), LOCATION, location),
    }
}

fn refused(refusal: Refusal) -> Response<Body> {
    let (status, error, reason): (_, &str, Value) = match refusal {
        Refusal::Challenge => {
            let challenge = "Basic realm=\"RabbitMQ Management\"";
            return with(empty(StatusCode::UNAUTHORIZED), WWW_AUTHENTICATE, challenge);
        }
        Refusal::Method(methods) => return with(empty(StatusCode::METHOD_NOT_ALLOWED), ALLOW, &methods),
        Refusal::NotAuthenticated => (StatusCode::UNAUTHORIZED, "not_authorized", "Not_Authorized".into()),
        Refusal::NotAuthorised(why) => (StatusCode::UNAUTHORIZED, "not_authorised", (*why).into()),
        Refusal::Misdirected => {
            let reason = "this broker is not known by the name in the header Host; see --management-host";
            (StatusCode::MISDIRECTED_REQUEST, "misdirected_request", reason.into())
        }
        Refusal::NotFound => (StatusCode::NOT_FOUND, "Object Not Found", "Not Found".into()),
        Refusal::Missing(what) => (StatusCode::NOT_FOUND, "not_found", (*what).into()),
        Refusal::Conflict(why) => (StatusCode::CONFLICT, "conflict", why.into()),
        Refusal::Precondition(why) => (StatusCode::PRECONDITION_FAILED, "precondition_failed", why.into()),
        Refusal::Unwell(said) => return json_response(StatusCode::SERVICE_UNAVAILABLE, &said),
        Refusal::Blocked(why) => (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", why.into()),
        Refusal::Bad(reason) => (StatusCode::BAD_REQUEST, "bad_request", reason),
        Refusal::NoPage(NoPage { error, reason }) => (StatusCode::BAD_REQUEST, error, reason.into()),
        Refusal::Slow => {
            (StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body did not come in time".into())
        }
        Refusal::Busy => {
            let reason = "too many listings are being read, by you or in all; try again";
            (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", reason.into())
        }
        Refusal::Stopping => {
            let reason = AdministrationError::Stopping.to_string();
            (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", reason.into())
        }
    };
    json_response(status, &json!({"error": error, "reason": reason}))
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::from(value.to_string())));
    *response.status_mut() = status;
    with(response, CONTENT_TYPE, "application/json")
}

/// What no header may hold is left out of it.
fn with(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
