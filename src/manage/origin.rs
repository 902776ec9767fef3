//! Where a request comes from: over the network, or by the control socket from a user of this machine. What it may do is not said
//! here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    Network {
        peer: IpAddr,
        /// It came to a loopback address.
        is_local: bool,
    },
    /// By the socket in the data directory.
    Control {
        /// The user of this machine.
        uid: u32,
        /// Whether that is one who may administer the broker.
        is_admitted: bool,
    },
}

impl Origin {
    /// The address that logins are checked by: the socket is on this machine.
    pub(super) fn address(self) -> IpAddr {
        match self {
            Origin::Network { peer, .. } => peer,
            Origin::Control { .. } => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Network { peer, .. } => peer.fmt(f),
            Origin::Control { uid, .. } => write!(f, "user {uid} by control.sock"),
        }
    }
}
