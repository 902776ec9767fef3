//! Who is at the other end of a connection: its addresses, and what the client said of itself and agreed on. For those
//! who are told of it; nothing is decided by it here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use leveret_codec::table::FieldTable;

use super::ids::Name;

/// The two addresses of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub client: SocketAddr,
    pub server: SocketAddr,
}

/// What the connection is called.
impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.client, self.server)
    }
}

/// The host of an address as events have it: its parts as an Erlang tuple (semantics 19.2).
#[must_use]
pub fn host_tuple(address: SocketAddr) -> String {
    let parts: Vec<String> = match address.ip() {
        IpAddr::V4(ip) => ip.octets().iter().map(ToString::to_string).collect(),
        IpAddr::V6(ip) => ip.segments().iter().map(ToString::to_string).collect(),
    };
    format!("{{{}}}", parts.join(","))
}

/// What a client said of itself in connection.start-ok and agreed on in connection.tune-ok.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Introduction {
    pub properties: Arc<FieldTable>,
    pub channel_max: u16,
    /// In bytes; 0: no limit.
    pub frame_max: u32,
    /// 0: none.
    pub heartbeat_seconds: u16,
}

/// Who comes in without a connection of their own.
#[derive(Clone, Copy, Debug)]
pub enum Entrant<'a> {
    /// With the permissions that the user has.
    User(&'a Name),
    /// No user of the broker, and one who may do everything.
    Administrator,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_printed_by_its_parts() {
        assert_eq!(host_tuple("127.0.0.1:5672".parse().unwrap()), "{127,0,0,1}");
        assert_eq!(host_tuple("[::1]:5672".parse().unwrap()), "{0,0,0,0,0,0,0,1}");
    }
}
