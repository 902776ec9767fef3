//! Which broker is meant: `NAME=amqp://user:password@host:port/vhost@PID`. Opens nothing.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// Where a broker listens, and as whom to log in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) vhost: String,
}

/// A broker's address and, where it was given, its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) uri: Uri,
    pub(crate) pid: Option<u32>,
}

/// A value that belongs to the broker of this name: `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) value: T,
}

impl FromStr for Uri {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Uri> {
        ensure!(!text.starts_with("amqps://"), "amqps:// is not spoken here: give the plain listener");
        let rest = text.strip_prefix("amqp://").context("a broker's address starts with amqp://")?;
        let (authority, vhost) = match rest.split_once('/') {
            Some((authority, path)) => (authority, percent_decode(path)?),
            None => (rest, "/".to_owned()),
        };
        let (login, place) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, "guest"));
        let (host, port) = host_and_port(place)?;
        ensure!(!host.is_empty(), "no host in {text:?}");
        Ok(Uri {
            host: host.to_owned(),
            port,
            user: percent_decode(user)?,
            password: percent_decode(password)?,
            vhost,
        })
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Address> {
        let digits = |pid: &str| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
        let (uri, pid) = match text.rsplit_once('@') {
            Some((uri, pid)) if digits(pid) => (uri, Some(pid.parse().context("PID out of range")?)),
            _ => (text, None),
        };
        Ok(Address { uri: uri.parse()?, pid })
    }
}

impl<T> FromStr for Named<T>
where
    T: FromStr,
    T::Err: Into<anyhow::Error>,
{
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Named<T>> {
        let (name, value) = text.split_once('=').context("expected NAME=VALUE")?;
        ensure!(!name.is_empty() && !name.contains("://"), "expected a name before the '=' in {text:?}");
        Ok(Named { name: name.to_owned(), value: value.parse().map_err(Into::into)? })
    }
}

/// Without the password.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "amqp://{}@{}:{}", self.user, self.host, self.port)
    }
}

fn host_and_port(place: &str) -> Result<(&str, u16)> {
    if let Some((host, after)) = place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return Ok((host, port(after.strip_prefix(':'))?));
    }
    match place.split_once(':') {
        Some((host, number)) => Ok((host, port(Some(number))?)),
        None => Ok((place, port(None)?)),
    }
}

fn port(text: Option<&str>) -> Result<u16> {
    text.map_or(Ok(5672), |text| text.parse().with_context(|| format!("{text:?} is not a port")))
}

fn percent_decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push(u8::try_from(high * 16 + low)?),
            _ => bail!("{text:?}: two hex digits belong behind a %"),
        }
    }
    String::from_utf8(bytes).context("not UTF-8 behind the percent signs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn a_bare_host_gets_every_default() {
        let expected = Uri {
            host: "localhost".into(),
            port: 5672,
            user: "guest".into(),
            password: "guest".into(),
            vhost: "/".into(),
        };
        assert_eq!(uri("amqp://localhost"), expected);
    }

    #[test]
    fn every_part_can_be_given() {
        let parsed = uri("amqp://ann:p%40ss@[::1]:5673/a%2Fb");
        assert_eq!((parsed.user.as_str(), parsed.password.as_str()), ("ann", "p@ss"));
        assert_eq!((parsed.host.as_str(), parsed.port, parsed.vhost.as_str()), ("::1", 5673, "a/b"));
    }

    #[test]
    fn a_pid_is_the_digits_behind_the_last_at() {
        let address: Address = "amqp://guest:guest@127.0.0.1:5673@7163".parse().unwrap();
        assert_eq!((address.pid, address.uri.port), (Some(7163), 5673));
        let address: Address = "amqp://guest:guest@localhost/v@12".parse().unwrap();
        assert_eq!((address.pid, address.uri.vhost.as_str()), (Some(12), "v"));
        let address: Address = "amqp://guest:guest@localhost:1".parse().unwrap();
        assert_eq!(address.pid, None);
    }

    #[test]
    fn a_broker_has_a_name_before_its_address() {
        let named: Named<Address> = "rabbitmq=amqp://h:1/x=y@5".parse().unwrap();
        assert_eq!((named.name.as_str(), named.value.uri.vhost.as_str()), ("rabbitmq", "x=y"));
        assert!("amqp://guest:a=b@h".parse::<Named<Address>>().is_err());
        assert!("=amqp://h".parse::<Named<Address>>().is_err());
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for wrong in ["localhost", "amqps://h", "amqp://", "amqp://h:port", "amqp://h/%4", "amqp://h:70000"] {
            assert!(wrong.parse::<Uri>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        assert_eq!(uri("amqp://ann:secret@h:1").to_string(), "amqp://ann@h:1");
    }
}
