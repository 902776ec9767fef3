//! Logging in: SASL responses read, passwords checked (semantics 1.8 to 1.16, 16.7). Users are in the view.

use leveret_codec::table::{self, AMQPValue};
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

use crate::model::administration::{AdministrationError, HashingAlgorithm, PASSWORD_SALT};
use crate::model::fault::{Fault, ReplyCode};
use crate::model::port::LoginRefused;

use super::view::{User, ViewState};

/// A salted SHA-256 of a password (or another hash that an administrator gave), as RabbitMQ keeps it: four bytes of
/// salt, then the hash of salt and password. Its length tells which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PasswordHash(Vec<u8>);

const SALT: usize = PASSWORD_SALT;

impl PasswordHash {
    /// The hash of a password. An empty password gives a hash that no password fits (semantics 1.14).
    pub(super) fn new(salt: [u8; SALT], password: &str) -> PasswordHash {
        if password.is_empty() {
            return PasswordHash(Vec::new());
        }
        let mut bytes = salt.to_vec();
        bytes.extend_from_slice(&digest(&salt, password.as_bytes()));
        PasswordHash(bytes)
    }

    /// A hash that an administrator gives.
    pub(super) fn checked(bytes: Vec<u8>) -> Result<PasswordHash, AdministrationError> {
        if bytes.is_empty() || HashingAlgorithm::of(&bytes).is_some() {
            return Ok(PasswordHash(bytes));
        }
        Err(AdministrationError::Invalid(format!(
            "a password hash has {} bytes (salt and SHA-256), {} (salt and SHA-512) or {} (salt and MD5), not {}",
            HashingAlgorithm::Sha256.length(),
            HashingAlgorithm::Sha512.length(),
            HashingAlgorithm::Md5.length(),
            bytes.len()
        )))
    }

    /// A hash that was kept.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> PasswordHash {
        PasswordHash(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// More bytes than any password has. What is longer is no password, and costs nothing to say so.
pub(super) const MOST_PASSWORD: usize = 4096;

/// What a password is compared with where there is no hash.
const NOBODYS: [u8; SALT + 32] = [0; SALT + 32];

/// Whether a password is that of a hash. Takes the same time wherever the difference is, and where there is no hash: how
/// long it took must not tell who exists.
fn fits(hash: Option<&PasswordHash>, password: &[u8]) -> bool {
    let known = hash.map(PasswordHash::as_bytes).filter(|hash| HashingAlgorithm::of(hash).is_some());
    let compared = known.unwrap_or(&NOBODYS);
    let Some((salt, hash)) = compared.split_first_chunk::<SALT>().filter(|_| password.len() <= MOST_PASSWORD)
    else {
        return false;
    };
    let wanted = match HashingAlgorithm::of(compared) {
        Some(HashingAlgorithm::Sha512) => {
            Sha512::new().chain_update(salt).chain_update(password).finalize().to_vec()
        }
        Some(HashingAlgorithm::Md5) => {
            Md5::new().chain_update(salt).chain_update(password).finalize().to_vec()
        }
        Some(HashingAlgorithm::Sha256) | None => digest(salt, password).to_vec(),
    };
    let difference = wanted.iter().zip(hash).fold(0, |all, (a, b)| all | (a ^ b));
    known.is_some() && !password.is_empty() && hash.len() == wanted.len() && difference == 0
}

fn digest(salt: &[u8; SALT], password: &[u8]) -> [u8; 32] {
    #[cfg(test)]
    tests::DIGESTED.set(tests::DIGESTED.get() + password.len());
    Sha256::new().chain_update(salt).chain_update(password).finalize().into()
}

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
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Bytes of passwords that went into SHA-256.
        pub(super) static DIGESTED: Cell<usize> = const { Cell::new(0) };
    }

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

    #[test]
    fn a_hash_fits_its_password_and_an_empty_one_fits_none() {
        let hash = PasswordHash::new([1, 2, 3, 4], "secret");
        assert_eq!(hash.as_bytes().len(), 36);
        assert!(fits(Some(&hash), b"secret"));
        assert!(!fits(Some(&hash), b"Secret") && !fits(Some(&hash), b""));
        assert!(!fits(Some(&PasswordHash::new([1, 2, 3, 4], "")), b""));
        assert!(!fits(Some(&PasswordHash::from_bytes(vec![1, 2, 3, 4])), b"x"));
    }

    #[test]
    fn a_given_hash_is_of_a_known_kind_and_nothing_else() {
        let salt = [9, 8, 7, 6];
        let long = Sha512::new().chain_update(salt).chain_update(b"secret").finalize().to_vec();
        let old = Md5::new().chain_update(salt).chain_update(b"secret").finalize().to_vec();
        for digest in [long, old] {
            let hash = PasswordHash::checked([&salt[..], &digest].concat()).unwrap();
            assert!(fits(Some(&hash), b"secret") && !fits(Some(&hash), b"other"));
        }
        let refused = PasswordHash::checked(vec![0; 21]).unwrap_err().to_string();
        assert!(
            refused
                .ends_with("36 bytes (salt and SHA-256), 68 (salt and SHA-512) or 20 (salt and MD5), not 21")
        );
        assert!(!fits(Some(&PasswordHash::checked(Vec::new()).unwrap()), b""));
    }
}
