//! What an administrator asks of the broker, and the answers: vhosts, users, permissions, policies, limits, tracing.
//! The one vocabulary for whoever administers (an HTTP interface, a test, an embedding program). What a change is made
//! of is in the files beside it. What a change leads to is the broker's; how it is written down as JSON or on a command
//! line is that interface's.

mod import;
mod limits;
mod policies;
mod users;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ids::Name;
use super::settings::QueueType;

pub use self::import::{ImportItem, LeftOut};
pub use self::limits::{NodeLimits, UserLimit, UserLimits, VhostLimit, VhostLimits, bound};
pub use self::policies::{ApplyTo, PolicyKind, PolicySpec};
pub use self::users::{
    HashingAlgorithm, PASSWORD_SALT, Password, PermissionSpec, TopicPermissionSpec, UserSpec,
};

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
    /// Sets a global parameter to a JSON text, or removes it.
    SetGlobalParameter {
        name: Name,
        value: Option<String>,
    },
    /// Has a vhost refuse to be deleted, or not.
    SetVhostProtection {
        vhost: Name,
        on: bool,
    },
    /// Turns the firehose of a vhost on or off (semantics 19.1).
    SetTracing {
        vhost: Name,
        on: bool,
    },
}

/// What makes of nothing what a new broker has: the vhost `/`, and the user guest, who may do everything there from this machine
/// (semantics 1.16).
#[must_use]
pub fn of_new_broker() -> [Change; 3] {
    let (vhost, guest): (Name, Name) = ("/".into(), "guest".into());
    let user = UserSpec {
        password: Password::Plain("guest".into()),
        tags: vec!["administrator".into()],
        loopback_only: true,
    };
    let permissions = PermissionSpec { configure: ".*".into(), write: ".*".into(), read: ".*".into() };
    [
        Change::PutVhost { name: vhost.clone(), metadata: VhostMetadata::default() },
        Change::PutUser { name: guest.clone(), user },
        Change::PutPermissions { vhost, user: guest, permissions },
    ]
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
    #[error("Refusing to delete virtual host '{0}' because it is protected from deletion")]
    Protected(Name),
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
