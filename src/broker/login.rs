//! Logging in: SASL responses read, and held against the users of the view (semantics 1.8 to 1.16). How a password is kept
//! and compared is in `password`.

use leveret_codec::table::{self, AMQPValue};

use crate::model::fault::{Fault, ReplyCode};
use crate::model::port::LoginRefused;

use super::password::{MOST_PASSWORD, fits};
use super::view::{User, ViewState};

/// A name and a password, as a client gave them. Without a password nobody asks for one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: Option<Vec<u8>>,
}

impl Credentials {
    /// The user they are of, if that may log in from where it does.
    pub(super) fn check<'a>(&self, state: &'a ViewState, loopback: bool) -> Result<&'a User, WrongLogin> {
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
pub(super) enum WrongLogin {
    NoUser,
    Password,
    TooLong,
    NotLocal,
}

impl WrongLogin {
    /// For the log.
    pub(super) fn explained(self, user: &str) -> String {
        let what = match self {
            WrongLogin::NoUser => "does not exist",
            WrongLogin::Password => "gave a wrong password",
            WrongLogin::TooLong => "gave a password longer than any may be (4096 bytes)",
            WrongLogin::NotLocal => "can only connect via localhost",
        };
        format!("user '{user}' {what}")
    }

    /// For events, as RabbitMQ tells it: not whether there is such a user.
    pub(super) fn told(self, user: &str) -> String {
        match self {
            WrongLogin::NotLocal => self.explained(user),
            WrongLogin::NoUser | WrongLogin::Password | WrongLogin::TooLong => {
                format!("user '{user}' - invalid credentials")
            }
        }
    }
}

/// Reads a SASL response. 503 for a mechanism that does not exist (semantics 1.13), 502 for a response that cannot be
/// read.
pub(super) fn read_response(mechanism: &str, response: &[u8]) -> Result<Credentials, LoginRefused> {
    let malformed = LoginRefused::Malformed;
    let (user, password) = match mechanism {
        "PLAIN" => read_plain(response).map_err(malformed)?,
        "AMQPLAIN" => read_amqplain(response).map_err(malformed)?,
        unknown => {
            return Err(malformed(Fault::new(
                ReplyCode::CommandInvalid,
                format!("unknown authentication mechanism '{unknown}'"),
            )));
        }
    };
    match String::from_utf8(user) {
        Ok(user) => Ok(Credentials { user, password: Some(password) }),
        Err(_) => Err(LoginRefused::Credentials("the user name is not UTF-8".into())),
    }
}

/// NUL user NUL password (semantics 1.8). What was sent is not echoed: it holds a password.
fn read_plain(response: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let mut parts = response.split(|&byte| byte == 0);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some([]), Some(user), Some(password), None) => Ok((user.to_vec(), password.to_vec())),
        _ => Err(Fault::new(ReplyCode::SyntaxError, "response invalid")),
    }
}

/// A field table without its length (semantics 1.9).
fn read_amqplain(response: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let malformed = |text| Fault::new(ReplyCode::SyntaxError, text);
    let len = u32::try_from(response.len()).map_err(|_| malformed("AMQPLAIN auth info is too long"))?;
    let framed = [&len.to_be_bytes()[..], response].concat();
    table::check(&framed).map_err(|_| malformed("AMQPLAIN auth info is no field table"))?;
    let field = |name: &str| match table::find(&framed, name.as_bytes()) {
        Some(AMQPValue::LongString(value)) => Some(value.as_bytes().to_vec()),
        _ => None,
    };
    field("LOGIN")
        .zip(field("PASSWORD"))
        .ok_or_else(|| malformed("AMQPLAIN auth info is missing LOGIN or PASSWORD field"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::password::{PasswordHash, tests::DIGESTED};

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

    fn codes(mechanism: &str, response: &[u8]) -> u16 {
        match read_response(mechanism, response) {
            Err(LoginRefused::Malformed(fault)) => fault.code.number(),
            Err(LoginRefused::Credentials(_)) => 403,
            Ok(_) => 0,
        }
    }

    #[test]
    fn plain_is_nul_user_nul_password_and_nothing_more() {
        let read = read_response("PLAIN", b"\0guest\0p w").unwrap();
        assert_eq!(read, Credentials { user: "guest".into(), password: Some(b"p w".to_vec()) });
        assert_eq!(codes("PLAIN", b"guest\0guest\0guest"), 502);
        assert_eq!(codes("PLAIN", b"\0guest\0guest\0"), 502);
        assert_eq!(codes("PLAIN", b"\0guest"), 502);
        assert_eq!(codes("CRAM-MD5", b""), 503);
        assert_eq!(codes("PLAIN", b"\0\xff\0x"), 403);
    }

    #[test]
    fn amqplain_is_a_table_without_its_length() {
        let response = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x02pw";
        let read = read_response("AMQPLAIN", response).unwrap();
        assert_eq!(read, Credentials { user: "guest".into(), password: Some(b"pw".to_vec()) });
        assert_eq!(codes("AMQPLAIN", b"\x05LOGINS\0\0\0\x05guest"), 502);
        assert_eq!(codes("AMQPLAIN", b"\x05LOG"), 502);
    }
}
