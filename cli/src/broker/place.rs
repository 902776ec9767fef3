//! Where the broker is: the data directory with its `control.sock`, or an address with credentials; and what to do where nobody
//! answers there.

use std::fmt;
use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::header::HeaderValue;

use super::credentials;
use super::{Failure, Kind};

/// The socket in the data directory.
pub(super) const SOCKET: &str = "control.sock";
/// Where a broker keeps its data if nobody says otherwise, and where packages let it.
const BESIDE: &str = "./leveret-data";
const INSTALLED: &str = "/var/lib/leveret";
/// The management API's port.
const PORT: u16 = 15672;

/// Which broker is meant, as the caller says it. What is not said is looked for in the environment (`LEVERET_URI`,
/// `LEVERET_DATA_DIR`, `LEVERET_PASSWORD`), then in `./leveret-data`, then in `/var/lib/leveret`.
#[derive(Clone, Debug, Default)]
pub struct Where {
    pub data_dir: Option<PathBuf>,
    /// `http://USER:PASSWORD@HOST:PORT`, all but the host optional.
    pub uri: Option<String>,
    pub user: Option<String>,
    pub password_file: Option<PathBuf>,
    /// How long an answer may take.
    pub patience: Option<Duration>,
    /// Asks for no password on the terminal.
    pub is_silent: bool,
}

/// What is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The control socket in this directory.
    Socket {
        directory: PathBuf,
        /// Nobody has said that it is this one: who answers there has to be somebody to trust, for anybody could have put a socket there
        /// to hear what administrators say.
        is_guessed: bool,
    },
    Tcp(Uri),
}

/// Who answers is neither root nor who asks.
#[derive(Debug)]
pub(super) struct Stranger {
    pub(super) uid: u32,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {} answers", self.uid)
    }
}

impl std::error::Error for Stranger {}

/// An address of the management API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<String>,
}

impl Where {
    /// What to connect to, and the header by which the caller logs in; nobody has to over the socket.
    pub(super) fn target(&self) -> Result<(Target, Option<HeaderValue>), Failure> {
        let environment = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let uri = self.uri.clone().or_else(|| environment("LEVERET_URI").filter(|_| self.data_dir.is_none()));
        if let Some(uri) = uri {
            let mut uri = Uri::parse(&uri)?;
            uri.user = self.user.clone().or(uri.user);
            let password = environment("LEVERET_PASSWORD");
            let authorization =
                credentials::header(&uri, password, self.password_file.as_deref(), self.is_silent)?;
            return Ok((Target::Tcp(uri), Some(authorization)));
        }
        if self.user.is_some() || self.password_file.is_some() {
            return Err(Failure::usage("a user and a password are for a broker that is reached by --uri")
                .advise(
                    "Give --uri http://HOST:15672 too, or neither: nobody logs in over the control socket.",
                ));
        }
        let given = self.data_dir.clone().or_else(|| environment("LEVERET_DATA_DIR").map(PathBuf::from));
        let target = match given {
            Some(directory) => Target::Socket { directory, is_guessed: false },
            None if Path::new(BESIDE).join(SOCKET).exists() => {
                Target::Socket { directory: BESIDE.into(), is_guessed: true }
            }
            None => Target::Socket { directory: INSTALLED.into(), is_guessed: false },
        };
        Ok((target, None))
    }
}

impl Target {
    /// The header `host`.
    pub(super) fn host(&self) -> String {
        match self {
            Target::Socket { .. } => "localhost".to_owned(),
            Target::Tcp(uri) => uri.authority(),
        }
    }

    /// Nobody answers there.
    pub(super) fn unreachable(&self, error: &io::Error) -> Failure {
        let Target::Socket { directory, .. } = self else {
            let what = format!("no connection to {self}: {error}");
            return Failure::new(Kind::Unreachable, what)
                .advise("Is the broker running, and does its --management-listen name this address?");
        };
        let directory = directory.display();
        if let Some(Stranger { uid }) = error.get_ref().and_then(|error| error.downcast_ref()) {
            let what = format!("the broker of {directory} is another user's (uid {uid})");
            return Failure::new(Kind::NotAllowed, what)
                .advise(format!("If it is that one you mean, say so: --data-dir {directory}"));
        }
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                Failure::new(Kind::NotAllowed, format!("{directory}/{SOCKET} is not for this user: {error}"))
                    .advise("Run this as the broker's user or as root, or log in with --uri http://HOST:15672.")
            }
            io::ErrorKind::NotFound => Failure::new(Kind::Unreachable, format!("no broker runs in {directory}"))
                .advise("Start one with `leveret serve`, or say where it is: --data-dir DIRECTORY, or --uri http://HOST:15672."),
            _ => Failure::new(Kind::Unreachable, format!("the broker of {directory} does not answer: {error}"))
                .advise("Is it running? Start it with `leveret serve`."),
        }
    }

    /// It went away while it was asked.
    pub(super) fn lost(&self, error: &hyper::Error) -> Failure {
        Failure::new(Kind::Unreachable, format!("{self} went away before it had answered: {error}"))
            .advise("Its log says why, if it has stopped.")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Socket { directory, .. } => write!(f, "the broker of {}", directory.display()),
            Target::Tcp(uri) => write!(f, "http://{}", uri.authority()),
        }
    }
}

impl Uri {
    pub fn parse(text: &str) -> Result<Uri, Failure> {
        let wrong =
            |why: String| Failure::usage(why).advise("An address is written as in http://USER@HOST:15672.");
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(Failure::usage("this command speaks no TLS").advise(
                    "Use the control socket on the broker's machine, or http:// through a tunnel, as of `ssh -L`.",
                ));
            }
            Some((scheme, _)) => return Err(wrong(format!("'{scheme}' is no scheme of the management API"))),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(wrong("the address of a broker has no path".to_owned()));
        }
        let (login, address) =
            rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let (user, password) = match login.map(|login| {
            login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)))
        }) {
            Some((user, password)) => (Some(decoded(user)?), password.map(decoded).transpose()?),
            None => (None, None),
        };
        let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) if host.parse::<Ipv6Addr>().is_ok() => (host, rest.strip_prefix(':')),
            Some((host, _)) => return Err(wrong(format!("'{host}' is no IPv6 address"))),
            None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err(wrong("a host is needed".to_owned()));
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| wrong(format!("'{port}' is not a port (0 to 65535)")))?,
            None => PORT,
        };
        Ok(Uri { host: host.to_owned(), port, user, password })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Host and port.
    fn authority(&self) -> String {
        let Uri { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

fn decoded(text: &str) -> Result<String, Failure> {
    let wrong = || Failure::usage("the user or the password in the address is not percent-encoded");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let value = digit(rest.next()).zip(digit(rest.next())).map(|(high, low)| high * 16 + low);
        bytes.push(value.and_then(|value| u8::try_from(value).ok()).ok_or_else(wrong)?);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(host: &str, port: u16, user: Option<&str>, password: Option<&str>) -> Uri {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Uri { host: host.to_owned(), port, user: owned(user), password: owned(password) }
    }

    #[test]
    fn addresses_are_read() {
        for (text, expected) in [
            ("http://localhost", uri("localhost", 15672, None, None)),
            ("localhost:7", uri("localhost", 7, None, None)),
            ("http://a%40b:p%3Aw@h:1/", uri("h", 1, Some("a@b"), Some("p:w"))),
            ("http://u@[::1]:1", uri("::1", 1, Some("u"), None)),
            ("http://u:p@w@h", uri("h", 15672, Some("u"), Some("p@w"))),
            ("http://u:@[::1]", uri("::1", 15672, Some("u"), Some(""))),
        ] {
            assert_eq!(Uri::parse(text).unwrap(), expected, "{text}");
        }
        assert_eq!(uri("::1", 1, None, None).authority(), "[::1]:1");
    }

    #[test]
    fn what_is_no_address_is_refused_with_why() {
        for (text, why) in [
            ("https://h", "no TLS"),
            ("amqp://h", "'amqp' is no scheme"),
            ("http://", "a host is needed"),
            ("http://h:x", "'x' is not a port"),
            ("http://h/api", "has no path"),
            ("http://[h]", "'h' is no IPv6 address"),
            ("http://%zz@h", "not percent-encoded"),
        ] {
            let refused = Uri::parse(text).unwrap_err();
            assert_eq!(refused.kind, Kind::Usage);
            assert!(refused.what.contains(why), "{text}: {refused}");
        }
    }
}
