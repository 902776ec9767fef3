//! Which paths there are, who may use them, and what their methods do: the whole API on one page.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use super::answer::{self, Answer, Body, Outcome, Refusal};
use super::auth::{Caller, Right};
use super::call::{self, Call, Context};
use super::guests::Guest;
use super::{
    connections, exchanges, limits, node, path, permissions, policies, queues, topic_permissions, users,
    vhosts,
};
use crate::model::administration::PolicyKind;

/// Answers a request. Whatever is in it, there is an answer.
pub(super) async fn answer(
    request: Request<Incoming>,
    peer: IpAddr,
    context: &Context,
    guest: &Arc<Guest>,
) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let outcome = route(Arrived { head: &head, body: &mut body, peer, context, guest }).await;
    call::discard(&mut body).await;
    answer::response(outcome)
}

/// A request of nobody yet.
struct Arrived<'a> {
    head: &'a Parts,
    body: &'a mut Incoming,
    peer: IpAddr,
    context: &'a Context,
    guest: &'a Arc<Guest>,
}

impl<'a> Arrived<'a> {
    /// Lets the request in, where it comes from somebody who has this right.
    fn admit(self, right: Right<'_>) -> Result<Call<'a>, Refusal> {
        let caller = Caller::authenticate(&self.head.headers, self.peer, self.context.administrator.view())?;
        caller.check(right)?;
        let Arrived { head, body, context, guest, .. } = self;
        Ok(Call { caller, context, guest, query: head.uri.query(), headers: &head.headers, body })
    }
}

/// What the methods of a resource do for those who have the right, and the refusal of other methods.
macro_rules! resource {
    ($arrived:ident, $right:expr, $call:ident, $allow:literal, $($method:ident => $answer:expr),+) => {
        match method_of($arrived.head) {
            $(Method::$method => {
                #[allow(unused_mut, reason = "some read the body")]
                let mut $call = $arrived.admit($right)?;
                $answer.await
            })+
            Method::OPTIONS => Ok(Answer::Allow($allow)),
            _ => Err(Refusal::Method($allow)),
        }
    };
}

/// The method; the answer to HEAD is that to GET, of which hyper keeps the body back.
fn method_of(head: &Parts) -> Method {
    if head.method == Method::HEAD { Method::GET } else { head.method.clone() }
}

async fn route(arrived: Arrived<'_>) -> Outcome {
    use PolicyKind::{Operator, Regular};
    use Right::{Administrator, Management, Monitor, Policymaker};
    let segments = path::segments(arrived.head.uri.path())?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match *segments {
        ["whoami"] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => users::whoami(&call)),

        ["vhosts"] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => vhosts::list(&call)),
        ["vhosts", vhost] => resource!(arrived, Administrator, call, "HEAD, GET, PUT, DELETE, OPTIONS",
            GET => vhosts::get(&call, vhost),
            PUT => vhosts::put(&mut call, vhost),
            DELETE => vhosts::delete(&call, vhost)),
        ["vhosts", vhost, "connections"] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => connections::list(&call, Some(vhost))),
        ["vhosts", vhost, "permissions"] => resource!(arrived, Administrator, call, "HEAD, GET, OPTIONS",
            GET => permissions::of_vhost(&call, vhost)),
        ["vhosts", vhost, "topic-permissions"] => {
            resource!(arrived, Administrator, call, "HEAD, GET, OPTIONS",
            GET => topic_permissions::of_vhost(&call, vhost))
        }

        ["users"] => resource!(arrived, Administrator, call, "HEAD, GET, OPTIONS",
            GET => users::list(&call)),
        ["users", user] => resource!(arrived, Administrator, call, "HEAD, GET, PUT, DELETE, OPTIONS",
            GET => users::get(&call, user),
            PUT => users::put(&mut call, user),
            DELETE => users::delete(&call, user)),
        ["users", user, "permissions"] => resource!(arrived, Administrator, call, "HEAD, GET, OPTIONS",
            GET => permissions::of_user(&call, user)),
        ["users", user, "topic-permissions"] => resource!(arrived, Administrator, call, "HEAD, GET, OPTIONS",
            GET => topic_permissions::of_user(&call, user)),

        ["permissions"] => resource!(arrived, Administrator, call, "HEAD, GET, OPTIONS",
            GET => permissions::list(&call)),
        ["permissions", vhost, user] => {
            resource!(arrived, Administrator, call, "HEAD, GET, PUT, DELETE, OPTIONS",
            GET => permissions::get(&call, vhost, user),
            PUT => permissions::put(&mut call, vhost, user),
            DELETE => permissions::delete(&call, vhost, user))
        }

        ["topic-permissions"] => resource!(arrived, Administrator, call, "HEAD, GET, OPTIONS",
            GET => topic_permissions::list(&call)),
        ["topic-permissions", vhost, user] => resource!(
            arrived, Administrator, call, "HEAD, GET, PUT, DELETE, OPTIONS",
            GET => topic_permissions::get(&call, vhost, user),
            PUT => topic_permissions::put(&mut call, vhost, user),
            DELETE => topic_permissions::delete(&call, vhost, user, None)),
        ["topic-permissions", vhost, user, exchange] => {
            resource!(arrived, Administrator, call, "DELETE, OPTIONS",
            DELETE => topic_permissions::delete(&call, vhost, user, Some(exchange)))
        }

        ["policies"] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => policies::list(&call, Regular, None)),
        ["policies", vhost] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => policies::list(&call, Regular, Some(vhost))),
        ["policies", vhost, name] => resource!(arrived, Policymaker, call, "HEAD, GET, PUT, DELETE, OPTIONS",
            GET => policies::get(&call, Regular, vhost, name),
            PUT => policies::put(&mut call, Regular, vhost, name),
            DELETE => policies::delete(&call, Regular, vhost, name)),
        ["operator-policies"] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => policies::list(&call, Operator, None)),
        ["operator-policies", vhost] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => policies::list(&call, Operator, Some(vhost))),
        ["operator-policies", vhost, name] => resource!(
            arrived, Administrator, call, "HEAD, GET, PUT, DELETE, OPTIONS",
            GET => policies::get(&call, Operator, vhost, name),
            PUT => policies::put(&mut call, Operator, vhost, name),
            DELETE => policies::delete(&call, Operator, vhost, name)),

        ["vhost-limits"] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => limits::of_vhosts(&call, None)),
        ["vhost-limits", vhost] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => limits::of_vhosts(&call, Some(vhost))),
        ["vhost-limits", vhost, limit] => resource!(arrived, Administrator, call, "PUT, DELETE, OPTIONS",
            PUT => limits::put_vhost(&mut call, vhost, limit),
            DELETE => limits::delete_vhost(&call, vhost, limit)),
        ["user-limits"] => resource!(arrived, Administrator, call, "HEAD, GET, OPTIONS",
            GET => limits::of_users(&call, None)),
        ["user-limits", user] => resource!(arrived, Monitor(user), call, "HEAD, GET, OPTIONS",
            GET => limits::of_users(&call, Some(user))),
        ["user-limits", user, limit] => resource!(arrived, Administrator, call, "PUT, DELETE, OPTIONS",
            PUT => limits::put_user(&mut call, user, limit),
            DELETE => limits::delete_user(&call, user, limit)),

        ["connections"] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => connections::list(&call, None)),
        ["connections", name] => resource!(arrived, Management, call, "HEAD, GET, DELETE, OPTIONS",
            GET => connections::get(&call, name),
            DELETE => connections::delete(&call, name)),
        ["connections", "username", user] => resource!(
            arrived, Monitor(user), call, "HEAD, GET, DELETE, OPTIONS",
            GET => connections::of_user(&call, user),
            DELETE => connections::delete_of_user(&call, user)),

        ["queues"] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => queues::list(&call, None)),
        ["queues", vhost] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => queues::list(&call, Some(vhost))),
        ["queues", vhost, name] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => queues::get(&call, vhost, name)),
        ["exchanges"] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => exchanges::list(&call, None)),
        ["exchanges", vhost] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => exchanges::list(&call, Some(vhost))),
        ["exchanges", vhost, name] => resource!(arrived, Management, call, "HEAD, GET, OPTIONS",
            GET => exchanges::get(&call, vhost, name)),

        ["leveret", "node-limits"] => resource!(arrived, Administrator, call, "HEAD, GET, PUT, OPTIONS",
            GET => node::limits(&call),
            PUT => node::put_limits(&mut call)),
        ["leveret", "thresholds"] => resource!(arrived, Administrator, call, "HEAD, GET, PUT, OPTIONS",
            GET => node::thresholds(&call),
            PUT => node::put_thresholds(&mut call)),

        _ => Err(Refusal::NotFound),
    }
}
