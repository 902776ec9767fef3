//! Who asks, and whether they may (semantics 16.6, 20.1). Tags say what a user may do here, and permissions which
//! vhosts it sees.

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use tracing::warn;

use super::answer::Refusal;
use crate::catalog::login::Credentials;
use crate::catalog::view::{Vhost, View};
use crate::model::ids::Name;
use crate::server::LogLimit;

/// Who guesses passwords fills no disk with it.
static REFUSED: LogLimit = LogLimit::new(20);

/// A user who has logged in, or whoever may do everything without.
#[derive(Debug)]
pub(super) struct Caller {
    /// Empty where it is no user of the broker.
    pub(super) name: Name,
    pub(super) tags: Vec<Name>,
    /// The user of this machine who administers the broker by its control socket.
    pub(super) uid: Option<u32>,
}

/// What a resource asks of whoever uses it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Right<'a> {
    /// To be let in at all.
    Management,
    Policymaker,
    /// To see what is of all users.
    Monitoring,
    Administrator,
    /// To be this user, or one who sees what all of them do.
    Monitor(&'a str),
    /// To be this user, or one who may do everything.
    Owner(&'a str),
}

impl Caller {
    /// Whoever asks for what everybody may see.
    pub(super) fn nobody() -> Caller {
        Caller { name: Name::default(), tags: Vec::new(), uid: None }
    }

    /// Whoever came by the control socket and was let in.
    pub(super) fn of_this_machine(uid: u32) -> Caller {
        Caller { name: Name::default(), tags: vec!["administrator".into()], uid: Some(uid) }
    }

    /// Reads the credentials and looks the user up.
    pub(super) fn authenticate(headers: &HeaderMap, peer: IpAddr, view: &View) -> Result<Caller, Refusal> {
        let header = headers.get(AUTHORIZATION).ok_or(Refusal::Challenge)?;
        let (name, password) = basic(header.as_bytes()).ok_or(Refusal::NotAuthenticated)?;
        Caller::login(name, password, peer, view)
    }

    /// Looks a user up by name and password.
    pub(super) fn login(
        name: String,
        password: Vec<u8>,
        peer: IpAddr,
        view: &View,
    ) -> Result<Caller, Refusal> {
        let state = view.read();
        let credentials = Credentials { user: name, password: Some(password) };
        match credentials.check(&state, peer.to_canonical().is_loopback()) {
            Ok(user) => Ok(Caller { name: user.name.clone(), tags: user.tags.clone(), uid: None }),
            Err(wrong) => {
                drop(state);
                let why = wrong.explained(&credentials.user);
                if let Some(kept_back) = REFUSED.permit() {
                    warn!(%peer, %why, kept_back, "a login to the management API was refused");
                }
                Err(Refusal::NotAuthenticated)
            }
        }
    }

    /// Checks that the caller has a right.
    pub(super) fn check(&self, right: Right<'_>) -> Result<(), Refusal> {
        if !self.has_tag(&["management", "policymaker", "monitoring", "administrator"]) {
            return Err(Refusal::NotAuthorised("Not management user".into()));
        }
        let (has, otherwise) = match right {
            Right::Management => (true, ""),
            Right::Monitoring => (self.is_monitor(), "Not monitor user"),
            Right::Administrator => (self.is_administrator(), "Not administrator user"),
            Right::Policymaker => {
                (self.has_tag(&["policymaker", "administrator"]), "User not authorised to access object")
            }
            Right::Monitor(user) => {
                (self.is_monitor() || *self.name == *user, "User not authorised to access object")
            }
            Right::Owner(user) => {
                (self.is_administrator() || *self.name == *user, "User not authorised to access object")
            }
        };
        if has { Ok(()) } else { Err(Refusal::NotAuthorised(otherwise.into())) }
    }

    pub(super) fn is_administrator(&self) -> bool {
        self.has_tag(&["administrator"])
    }

    /// Sees what is of all users.
    pub(super) fn is_monitor(&self) -> bool {
        self.has_tag(&["monitoring", "administrator"])
    }

    /// Whether the vhost exists for the caller.
    pub(super) fn sees(&self, vhost: &Vhost) -> bool {
        self.is_administrator() || vhost.permissions_of(&self.name).is_some()
    }

    fn has_tag(&self, wanted: &[&str]) -> bool {
        self.tags.iter().any(|tag| wanted.contains(&&**tag))
    }
}

/// The name and the password of a Basic authorization.
fn basic(header: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let credentials = BASE64_STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = credentials.iter().position(|&byte| byte == b':')?;
    let name = String::from_utf8(credentials[..colon].to_vec()).ok()?;
    Some((name, credentials[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(tags: &[&str], right: Right<'_>) -> bool {
        let tags = tags.iter().map(|&tag| tag.into()).collect();
        Caller { name: "me".into(), tags, uid: None }.check(right).is_ok()
    }

    #[test]
    fn a_password_may_hold_colons_and_what_is_not_basic_is_none() {
        let read = |text: &str| basic(text.as_bytes());
        assert_eq!(read("Basic bWU6YTpi"), Some(("me".to_owned(), b"a:b".to_vec())));
        assert_eq!(read("basic  bWU6"), Some(("me".to_owned(), Vec::new())));
        for nonsense in ["", "Basic", "Basic ", "Basic !", "Basic bWU=", "Bearer bWU6YTpi", "Basic /zo="] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn tags_hold_those_below_them() {
        for tag in ["management", "policymaker", "monitoring", "administrator"] {
            assert!(may(&[tag], Right::Management), "{tag}");
            assert_eq!(may(&[tag], Right::Administrator), tag == "administrator");
            assert_eq!(may(&[tag], Right::Policymaker), ["policymaker", "administrator"].contains(&tag));
            assert_eq!(may(&[tag], Right::Monitoring), may(&[tag], Right::Monitor("you")));
            assert_eq!(may(&[tag], Right::Monitor("you")), ["monitoring", "administrator"].contains(&tag));
            assert!(may(&[tag], Right::Monitor("me")), "{tag}");
        }
        assert!(!may(&[], Right::Monitor("me")) && !may(&["impersonator"], Right::Management));
    }
}
