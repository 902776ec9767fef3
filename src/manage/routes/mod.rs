//! Answering: the path of a request is looked up in the tables of this folder, which are the whole API: paths, rights,
//! methods. From them come who is let in, `Allow` and the page that lists them. What a method does is its resource's.

mod access;
mod connections;
mod index;
mod node;
mod objects;
mod own;
mod table;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use tracing::info;

use self::table::{Route, Segment};
use super::answer::{self, Answer, Body, Outcome, Refusal};
use super::arranged;
use super::auth::Caller;
use super::call::{self, Call, Context};
use super::guests::Guest;
use super::origin::Origin;
use super::path;

/// All of it. The first route that fits is it, so fixed names come before those of anything.
pub(super) const TABLES: &[&[Route]] =
    &[node::ROUTES, access::ROUTES, connections::ROUTES, objects::ROUTES, own::ROUTES, index::ROUTES];

/// Answers a request. Whatever is in it, there is an answer.
pub(super) async fn answer(
    request: Request<Incoming>,
    origin: Origin,
    context: &Context,
    guest: &Arc<Guest>,
) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let outcome = route(&head, &mut body, origin, context, guest).await;
    call::discard(&mut body).await;
    let response = answer::response(outcome);
    if let Origin::Control { uid, .. } = origin
        && !matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS)
    {
        let (status, path) = (response.status().as_u16(), head.uri.path());
        info!(uid, method = %head.method, path, status, "a change was asked for by control.sock");
    }
    response
}

/// In RabbitMQ's order: a path nobody knows is 404, a method it has not 405, and only then it matters who asks.
async fn route(
    head: &Parts,
    body: &mut Incoming,
    origin: Origin,
    context: &Context,
    guest: &Arc<Guest>,
) -> Outcome {
    if matches!(origin, Origin::Network { is_local: true, .. }) && !context.hosts.allow(head) {
        return Err(Refusal::Misdirected);
    }
    if let Some(outcome) = index::outside(head.uri.path()) {
        return outcome;
    }
    let segments = path::segments(head.uri.path())?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let route = find(&segments).ok_or(Refusal::NotFound)?;
    // The answer to HEAD is that to GET, of which hyper keeps the body back.
    let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
    if method == Method::OPTIONS {
        return Ok(Answer::Allow(route.allow()));
    }
    let endpoint = route.endpoints.iter().find(|endpoint| endpoint.method == *method);
    let endpoint = endpoint.ok_or_else(|| Refusal::Method(route.allow()))?;
    let caller = match endpoint.right.of(route, &segments) {
        None => Caller::nobody(),
        Some(right) => {
            let caller = login(head, origin, context)?;
            caller.check(right)?;
            caller
        }
    };
    let mut call =
        Call { caller, context, guest, query: head.uri.query(), headers: &head.headers, origin, body };
    let outcome = (endpoint.answer)(&mut call, &segments).await;
    if method == Method::GET {
        outcome.map(|answer| arranged::whole(answer, head.uri.query()))
    } else {
        outcome
    }
}

/// Who asks. Whoever came by the control socket was let in there.
fn login(head: &Parts, origin: Origin, context: &Context) -> Result<Caller, Refusal> {
    if let Origin::Control { uid, .. } = origin {
        return Ok(Caller::of_this_machine(uid));
    }
    let login = Caller::authenticate(&head.headers, origin.address(), context.administrator.view());
    // Whoever gives no credentials does not try.
    if !matches!(login, Err(Refusal::Challenge)) {
        context.attempts.add(login.is_ok());
    }
    login
}

/// The route of a path.
fn find(segments: &[&str]) -> Option<&'static Route> {
    TABLES.iter().copied().flatten().find(|route| route.fits(segments))
}

#[cfg(test)]
mod tests;
