//! Logging in: names and passwords held against the users of the view (semantics 1.14 to 1.16). How a password is kept and
//! compared is in `password`; how clients send one is the port's, or the management API's.

use super::password::{MOST_PASSWORD, fits};
use super::view::{User, ViewState};

/// A name and a password, as a client gave them. Without a password nobody asks for one.
#[derive(Debug, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: Option<Vec<u8>>,
}

impl Credentials {
    /// The user they are of, if that may log in from where it does.
    pub fn check<'a>(&self, state: &'a ViewState, loopback: bool) -> Result<&'a User, WrongLogin> {
        let found = state.user(&self.user);
        let fits = self.password.as_ref().map(|password| fits(found.map(|user| &user.password), password));
        let user = found.ok_or(WrongLogin::NoUser)?;
        match &self.password {
            Some(password) if password.len() > MOST_PASSWORD => Err(WrongLogin::TooLong),
            Some(_) if fits != Some(true) => Err(WrongLogin::Password),
            _ if user.loopback_only && !loopback => Err(WrongLogin::NotLocal),
            _ => Ok(user),
        }
    }
}

/// Why credentials do not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongLogin {
    NoUser,
    Password,
    TooLong,
    NotLocal,
}

impl WrongLogin {
    /// For the log.
    #[must_use]
    pub fn explained(self, user: &str) -> String {
        let what = match self {
            WrongLogin::NoUser => "does not exist",
            WrongLogin::Password => "gave a wrong password",
            WrongLogin::TooLong => "gave a password longer than any may be (4096 bytes)",
            WrongLogin::NotLocal => "can only connect via localhost",
        };
        format!("user '{user}' {what}")
    }

    /// For events, as RabbitMQ tells it: not whether there is such a user.
    pub(crate) fn told(self, user: &str) -> String {
        match self {
            WrongLogin::NotLocal => self.explained(user),
            WrongLogin::NoUser | WrongLogin::Password | WrongLogin::TooLong => {
                format!("user '{user}' - invalid credentials")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::password::{PasswordHash, tests::DIGESTED};

    #[test]
    fn who_does_not_exist_costs_as_much_as_who_does() {
        let mut state = ViewState::default();
        for (name, password) in [("ann", "secret"), ("none", "")] {
            let password = PasswordHash::new([1, 2, 3, 4], password);
            let limits = Default::default();
            state.put_user(User { name: name.into(), password, tags: vec![], loopback_only: false, limits });
        }
        let wrong = |user: &str, length: usize| {
            DIGESTED.set(0);
            let password = Some(vec![b'x'; length]);
            let refused = Credentials { user: user.into(), password }.check(&state, true).unwrap_err();
            (refused, DIGESTED.get())
        };
        for length in [0, 1, MOST_PASSWORD] {
            assert_eq!(wrong("ann", length), (WrongLogin::Password, length));
            assert_eq!(
                wrong("none", length),
                (WrongLogin::Password, length),
                "nobody knows that it has none"
            );
            assert_eq!(wrong("bob", length), (WrongLogin::NoUser, length));
        }
        assert_eq!(wrong("ann", MOST_PASSWORD + 1), (WrongLogin::TooLong, 0));
        assert_eq!(wrong("bob", 7500), (WrongLogin::NoUser, 0));
        let right = Credentials { user: "ann".into(), password: Some(b"secret".to_vec()) };
        assert_eq!(right.check(&state, true).map(|user| &*user.name), Ok("ann"));
    }
}
