//! What an administrator asks of the broker, and the answers: vhosts, users, permissions, policies, limits, tracing.
//! The one vocabulary for whoever administers (an HTTP interface, a test, an embedding program). What a change leads to
//! is the broker's; how it is written down as JSON or on a command line is that interface's.

use leveret_codec::table::FieldTable;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ids::Name;
use super::settings::QueueType;

/// A change of what is administered. Durable once it is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds a vhost with its predeclared exchanges, or changes what is known of it.
    PutVhost {
        name: Name,
        metadata: VhostMetadata,
    },
    /// Deletes a vhost with all in it and closes its connections (semantics 16.8).
    DeleteVhost {
        name: Name,
    },
    /// Adds a user or replaces password and tags.
    PutUser {
        name: Name,
        user: UserSpec,
    },
    /// Deletes a user with all permissions and closes its connections (semantics 16.8).
    DeleteUser {
        name: Name,
    },
    /// Sets the permissions of a user on a vhost.
    PutPermissions {
        vhost: Name,
        user: Name,
        permissions: PermissionSpec,
    },
    ClearPermissions {
        vhost: Name,
        user: Name,
    },
    /// Sets what a user may do with the topics of an exchange (semantics 16.5).
    PutTopicPermissions {
        vhost: Name,
        user: Name,
        exchange: Name,
        permissions: TopicPermissionSpec,
    },
    /// Clears the topic permissions of a user on one exchange, or on all.
    ClearTopicPermissions {
        vhost: Name,
        user: Name,
        exchange: Option<Name>,
    },
    /// Adds or replaces a policy; queues and exchanges obey at once (semantics 17.4).
    PutPolicy {
        vhost: Name,
        kind: PolicyKind,
        name: Name,
        policy: PolicySpec,
    },
    DeletePolicy {
        vhost: Name,
        kind: PolicyKind,
        name: Name,
    },
    /// None takes the limit away, as a negative value does.
    SetVhostLimit {
        vhost: Name,
        limit: VhostLimit,
        value: Option<i64>,
    },
    SetUserLimit {
        user: Name,
        limit: UserLimit,
        value: Option<i64>,
    },
    SetNodeLimits(NodeLimits),
    /// Turns the firehose of a vhost on or off (semantics 19.1).
    SetTracing {
        vhost: Name,
        on: bool,
    },
}

/// How a change went that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// What it names was not there before.
    Created,
    /// What it names was there before, and is changed or gone.
    Changed,
}

/// Why a change was refused. Texts are RabbitMQ's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdministrationError {
    #[error("vhost '{0}' does not exist")]
    NoVhost(Name),
    #[error("user '{0}' does not exist")]
    NoUser(Name),
    #[error("no exchange '{exchange}' in vhost '{vhost}'")]
    NoExchange { vhost: Name, exchange: Name },
    #[error("no policy '{name}' in vhost '{vhost}'")]
    NoPolicy { vhost: Name, name: Name },
    #[error("user '{user}' has no such permissions on vhost '{vhost}'")]
    NoPermissions { vhost: Name, user: Name },
    /// What was asked for is not valid; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// The broker stopped before the change was durable.
    #[error("the broker is stopping: whether the change was made is unknown")]
    Stopping,
}

impl AdministrationError {
    /// Refused by a validation, in RabbitMQ's frame.
    #[must_use]
    pub fn validation(text: impl std::fmt::Display) -> AdministrationError {
        AdministrationError::Invalid(format!("Validation failed\n\n{text}\n"))
    }
}

/// What is known of a vhost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VhostMetadata {
    pub description: String,
    pub tags: Vec<Name>,
    /// What `queue.declare` makes where it names no type (semantics 7.12).
    pub default_queue_type: Option<QueueType>,
}

/// A user as an administrator gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSpec {
    pub password: Password,
    pub tags: Vec<Name>,
    /// May log in from loopback addresses only (semantics 1.16).
    pub loopback_only: bool,
}

/// How a user's password is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// Empty: cannot log in by password (semantics 1.14).
    Plain(String),
    /// Salt, and the hash of salt and password (semantics 16.7), or nothing: cannot log in by password.
    Hash(Vec<u8>),
}

/// Bytes of salt before a password's hash.
pub const PASSWORD_SALT: usize = 4;

/// What a password was hashed with (semantics 16.7). MD5 is of times past, and still in old definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashingAlgorithm {
    Md5,
    Sha256,
    Sha512,
}

impl HashingAlgorithm {
    /// The one that made a salted hash, told by its length.
    #[must_use]
    pub fn of(hash: &[u8]) -> Option<HashingAlgorithm> {
        use HashingAlgorithm::{Md5, Sha256, Sha512};
        [Md5, Sha256, Sha512].into_iter().find(|algorithm| algorithm.length() == hash.len())
    }

    /// Reads the word; None where there is none such.
    #[must_use]
    pub fn parse(word: &str) -> Option<HashingAlgorithm> {
        use HashingAlgorithm::{Md5, Sha256, Sha512};
        [Md5, Sha256, Sha512].into_iter().find(|algorithm| algorithm.as_str() == word)
    }

    /// The bytes of a salted hash.
    #[must_use]
    pub fn length(self) -> usize {
        let digest = match self {
            HashingAlgorithm::Md5 => 16,
            HashingAlgorithm::Sha256 => 32,
            HashingAlgorithm::Sha512 => 64,
        };
        PASSWORD_SALT + digest
    }

    /// The word in definitions and listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HashingAlgorithm::Md5 => "rabbit_password_hashing_md5",
            HashingAlgorithm::Sha256 => "rabbit_password_hashing_sha256",
            HashingAlgorithm::Sha512 => "rabbit_password_hashing_sha512",
        }
    }
}

/// Three regular expressions, searched for without anchors (semantics 16.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionSpec {
    pub configure: Name,
    pub write: Name,
    pub read: Name,
}

/// Two regular expressions over routing keys, in which `{username}` and `{vhost}` stand for the user's (semantics
/// 16.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissionSpec {
    pub write: Name,
    pub read: Name,
}

/// Of each kind at most one policy applies to a queue or exchange (semantics 17.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyKind {
    Regular,
    /// Bounds what regular policies and arguments ask for (semantics 17.2).
    Operator,
}

/// A policy as an administrator gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// A regular expression, searched for in names without anchors.
    pub pattern: Name,
    pub apply_to: ApplyTo,
    /// The highest of those that match applies.
    pub priority: i64,
    /// Keys and values of policies (semantics 17.3).
    pub definition: FieldTable,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApplyTo {
    #[default]
    All,
    Queues,
    ClassicQueues,
    QuorumQueues,
    Streams,
    Exchanges,
}

impl ApplyTo {
    /// The word in definitions and listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ApplyTo::All => "all",
            ApplyTo::Queues => "queues",
            ApplyTo::ClassicQueues => "classic_queues",
            ApplyTo::QuorumQueues => "quorum_queues",
            ApplyTo::Streams => "streams",
            ApplyTo::Exchanges => "exchanges",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Result<ApplyTo, AdministrationError> {
        use ApplyTo::{All, ClassicQueues, Exchanges, Queues, QuorumQueues, Streams};
        [All, Queues, ClassicQueues, QuorumQueues, Streams, Exchanges]
            .into_iter()
            .find(|apply_to| apply_to.as_str() == word)
            .ok_or_else(|| {
                AdministrationError::validation(format!(
                    "apply-to '{word}' unrecognised; should be one of: 'queues', 'classic_queues',  \
                     'quorum_queues', 'streams', 'exchanges', or 'all'"
                ))
            })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VhostLimit {
    MaxConnections,
    MaxQueues,
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
    fn what_a_policy_applies_to_is_read_as_it_is_written() {
        assert_eq!(ApplyTo::parse("quorum_queues"), Ok(ApplyTo::QuorumQueues));
        let refused = ApplyTo::parse("topics").unwrap_err();
        assert!(refused.to_string().contains("apply-to 'topics' unrecognised"), "{refused}");
    }

    #[test]
    fn a_negative_limit_is_none_and_zero_is_one() {
        assert_eq!((bound(Some(-1)), bound(Some(0)), bound(None)), (None, Some(0), None));
    }
}
