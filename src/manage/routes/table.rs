//! What a table of routes is made of. What is in the tables is in the files beside this one.

use std::pin::Pin;

use hyper::Method;

use crate::manage::answer::Outcome;
use crate::manage::auth;
use crate::manage::call::Call;

/// A path and what there is under it.
pub(in crate::manage) struct Route {
    /// Behind `/api/`.
    pub(in crate::manage) path: &'static [Segment],
    /// What is there, for people.
    pub(in crate::manage) about: &'static str,
    pub(in crate::manage) endpoints: &'static [Endpoint],
}

pub(in crate::manage) enum Segment {
    Fixed(&'static str),
    /// The name of something, and what it is called here.
    Name(&'static str),
}

/// A method of a route.
pub(in crate::manage) struct Endpoint {
    pub(in crate::manage) method: Method,
    pub(in crate::manage) right: Right,
    /// Is given the segments of the path, decoded.
    pub(in crate::manage) answer: for<'a, 'c> fn(&'c mut Call<'a>, &'c [&'c str]) -> Answering<'c>,
}

pub(in crate::manage) type Answering<'c> = Pin<Box<dyn Future<Output = Outcome> + Send + 'c>>;

/// What a method asks of whoever uses it, before it looks at anything. What it asks of a vhost is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::manage) enum Right {
    /// Nothing, not even credentials.
    Nothing,
    Management,
    Policymaker,
    Monitoring,
    Administrator,
    /// To be the `user` of the path, or to see what all do.
    SelfOrMonitoring,
    /// The same, or to be one who may do everything.
    SelfOrAdministrator,
}

impl Right {
    /// Who has it, in words.
    pub(super) fn who(self) -> &'static str {
        match self {
            Right::Nothing => "anybody",
            Right::Management => "management",
            Right::Policymaker => "policymaker",
            Right::Monitoring => "monitoring",
            Right::Administrator => "administrator",
            Right::SelfOrMonitoring => "the user, or monitoring",
            Right::SelfOrAdministrator => "the user, or administrator",
        }
    }

    /// The right that is to be checked; none where nobody has to log in.
    pub(super) fn of<'a>(self, route: &Route, segments: &[&'a str]) -> Option<auth::Right<'a>> {
        Some(match self {
            Right::Nothing => return None,
            Right::Management => auth::Right::Management,
            Right::Policymaker => auth::Right::Policymaker,
            Right::Monitoring => auth::Right::Monitoring,
            Right::Administrator => auth::Right::Administrator,
            Right::SelfOrMonitoring | Right::SelfOrAdministrator => {
                let is_user = |segment: &Segment| matches!(segment, Segment::Name("user"));
                let user = route.path.iter().position(is_user).and_then(|at| segments.get(at)).copied();
                // A route that names no user is nobody's own.
                let user = user.unwrap_or_default();
                if self == Right::SelfOrMonitoring {
                    auth::Right::Monitor(user)
                } else {
                    auth::Right::Owner(user)
                }
            }
        })
    }
}

impl Route {
    pub(super) fn fits(&self, segments: &[&str]) -> bool {
        let fits = |(expected, found): (&Segment, &&str)| match expected {
            Segment::Fixed(fixed) => fixed == found,
            Segment::Name(_) => true,
        };
        self.path.len() == segments.len() && self.path.iter().zip(segments).all(fits)
    }

    /// The header `allow`.
    pub(super) fn allow(&self) -> String {
        let mut allow = String::new();
        for Endpoint { method, .. } in self.endpoints {
            if method == Method::GET {
                allow.push_str("HEAD, ");
            }
            allow.push_str(method.as_str());
            allow.push_str(", ");
        }
        allow + "OPTIONS"
    }
}

/// A table: of each route its path, what it is, and of each method the right it asks for and what it does. A segment is a
/// text or the name of a variable, which is what stands there.
macro_rules! routes {
    ($($path:tt, $about:literal: $($method:ident $right:ident |$call:ident| $answer:expr),+;)+) => {
        #[allow(unused_variables, reason = "not every method needs every name of its path")]
        pub(super) const ROUTES: &[$crate::manage::routes::table::Route] = &[$(
            $crate::manage::routes::table::Route {
                path: $crate::manage::routes::table::segments!($path),
                about: $about,
                endpoints: &[$($crate::manage::routes::table::Endpoint {
                    method: hyper::Method::$method,
                    right: $crate::manage::routes::table::Right::$right,
                    answer: |$call, segments| match *segments {
                        $path => Box::pin($answer),
                        _ => Box::pin(std::future::ready(Err($crate::manage::answer::Refusal::NotFound))),
                    },
                }),+],
            },
        )+];
    };
}

macro_rules! segments {
    ([$($segment:tt),+]) => {
        &[$($crate::manage::routes::table::segments!(@ $segment)),+]
    };
    (@ $fixed:literal) => {
        $crate::manage::routes::table::Segment::Fixed($fixed)
    };
    (@ $name:ident) => {
        $crate::manage::routes::table::Segment::Name(stringify!($name))
    };
}

pub(super) use {routes, segments};
