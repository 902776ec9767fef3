//! What is said to a request: status codes and bodies (semantics 20.1, 20.2). Which of them is
//! said is the resources'.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::listing_body::Listing;
use super::page::NoPage;
use super::turns::NoTurn;
use crate::model::administration::{AdministrationError, Applied};

/// A body: known as a whole, or made while the client takes it.
pub(super) type Body = Either<Full<Bytes>, Listing>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How a request went.
pub(super) type Outcome = Result<Answer, Refusal>;

#[derive(Debug)]
pub(super) enum Answer {
    /// 200.
    Found(Value),
    /// 200.
    Listed(Listing),
    /// 201: it was not there before.
    Created,
    /// 204.
    Done,
    /// 200, with the methods of a resource.
    Allow(&'static str),
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
    NotAuthorised(&'static str),
    /// 404.
    NotFound,
    /// 404 within something that was named; the text says what is missing, or nothing where it is kept from the caller.
    Missing(&'static str),
    /// 405, with the methods there are.
    Method(&'static str),
    /// 400, with what is wrong.
    Bad(Value),
    /// 400 of a page that cannot be.
    NoPage(NoPage),
    /// 408: the body did not come.
    Slow,
    /// 503: too many are being given long answers.
    Busy,
    /// 503: the broker stops.
    Stopping,
}

impl Refusal {
    pub(super) fn bad(text: impl Into<String>) -> Refusal {
        Refusal::Bad(Value::String(text.into()))
    }
}

/// As most resources say it. Those that say it otherwise take their errors apart themselves.
impl From<AdministrationError> for Refusal {
    fn from(error: AdministrationError) -> Refusal {
        match error {
            AdministrationError::NoVhost(_) => Refusal::Missing("vhost_not_found"),
            AdministrationError::NoUser(_)
            | AdministrationError::NoPolicy { .. }
            | AdministrationError::NoPermissions { .. } => Refusal::NotFound,
            AdministrationError::NoExchange { exchange, .. } => {
                Refusal::Bad(json!(["no_such_exchange", &*exchange]))
            }
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

/// Writes it down.
pub(super) fn response(outcome: Outcome) -> Response<Body> {
    let error = |error: &str, reason: Value| Some(json!({"error": error, "reason": reason}));
    let (status, header, body) = match outcome {
        Ok(Answer::Found(value)) => (StatusCode::OK, None, Some(value)),
        Ok(Answer::Listed(listing)) => {
            let body = listing.whole().map_or_else(Either::Right, |whole| Either::Left(Full::new(whole)));
            let mut response = Response::new(body);
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            return response;
        }
        Ok(Answer::Created) => (StatusCode::CREATED, None, None),
        Ok(Answer::Done) => (StatusCode::NO_CONTENT, None, None),
        Ok(Answer::Allow(methods)) => (StatusCode::OK, Some((ALLOW, methods)), None),
        Err(Refusal::Challenge) => {
            let challenge = (WWW_AUTHENTICATE, "Basic realm=\"RabbitMQ Management\"");
            (StatusCode::UNAUTHORIZED, Some(challenge), None)
        }
        Err(Refusal::NotAuthenticated) => {
            (StatusCode::UNAUTHORIZED, None, error("not_authorized", "Not_Authorized".into()))
        }
        Err(Refusal::NotAuthorised(why)) => {
            (StatusCode::UNAUTHORIZED, None, error("not_authorised", why.into()))
        }
        Err(Refusal::NotFound) => {
            (StatusCode::NOT_FOUND, None, error("Object Not Found", "Not Found".into()))
        }
        Err(Refusal::Missing(what)) => (StatusCode::NOT_FOUND, None, error("not_found", what.into())),
        Err(Refusal::Method(methods)) => (StatusCode::METHOD_NOT_ALLOWED, Some((ALLOW, methods)), None),
        Err(Refusal::Bad(reason)) => (StatusCode::BAD_REQUEST, None, error("bad_request", reason)),
        Err(Refusal::NoPage(NoPage { error: what, reason })) => {
            (StatusCode::BAD_REQUEST, None, error(what, reason.into()))
        }
        Err(Refusal::Slow) => {
            let reason = "the body did not come in time".into();
            (StatusCode::REQUEST_TIMEOUT, None, error("request_timeout", reason))
        }
        Err(Refusal::Busy) => {
            let reason = "too many listings are being read, by you or in all; try again".into();
            (StatusCode::SERVICE_UNAVAILABLE, None, error("service_unavailable", reason))
        }
        Err(Refusal::Stopping) => {
            let reason = AdministrationError::Stopping.to_string();
            (StatusCode::SERVICE_UNAVAILABLE, None, error("service_unavailable", reason.into()))
        }
    };
    let text = body.as_ref().map(Value::to_string).unwrap_or_default();
    let mut response = Response::new(Either::Left(Full::from(text)));
    *response.status_mut() = status;
    if body.is_some() {
        response.headers_mut().insert(CONTENT_TYPE, JSON);
    }
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
