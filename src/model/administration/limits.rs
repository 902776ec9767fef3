//! Limits of vhosts, users and the node, as administrators set them (semantics section 18). Who holds to them is the
//! broker's.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VhostLimit {
    MaxConnections,
    MaxQueues,
}

impl VhostLimit {
    /// What it is called where it is set.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            VhostLimit::MaxConnections => "max-connections",
            VhostLimit::MaxQueues => "max-queues",
        }
    }
}

/// The limits of a vhost (semantics section 18), as they were given: a negative one is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VhostLimits {
    pub max_connections: Option<i64>,
    pub max_queues: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserLimit {
    MaxConnections,
    MaxChannels,
}

impl UserLimit {
    /// What it is called where it is set.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            UserLimit::MaxConnections => "max-connections",
            UserLimit::MaxChannels => "max-channels",
        }
    }
}

/// The limits of a user (semantics section 18), as they were given: a negative one is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLimits {
    pub max_connections: Option<i64>,
    pub max_channels: Option<i64>,
}

/// The limits of the whole broker (semantics section 18). None: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLimits {
    pub connections: Option<u64>,
    pub channels: Option<u64>,
    pub vhosts: Option<u64>,
    pub queues: Option<u64>,
    pub exchanges: Option<u64>,
    pub consumers_per_channel: Option<u64>,
}

/// How many a limit allows; None: as many as anybody likes.
#[must_use]
pub fn bound(limit: Option<i64>) -> Option<u64> {
    limit.and_then(|limit| u64::try_from(limit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_limit_is_none_and_zero_is_one() {
        assert_eq!((bound(Some(-1)), bound(Some(0)), bound(None)), (None, Some(0), None));
    }
}
