//! What the view consists of: vhosts, exchanges, queues and users, each with what follows from its declaration and from the
//! policies that apply now. Where they are kept, and by what they are found, is [`super::ViewState`]'s.

use std::sync::Arc;

use leveret_codec::table::FieldTable;

use super::named::Named;
use crate::catalog::access::{Permissions, TopicPermissions};
use crate::catalog::encoded_table::EncodedTable;
use crate::catalog::password::PasswordHash;
use crate::catalog::policies::{Applying, Policies};
use crate::model::administration::{
    PermissionSpec, TopicPermissionSpec, UserLimits, VhostLimits, VhostMetadata,
};
use crate::model::command::QueueLabel;
use crate::model::fault::Fault;
use crate::model::ids::{ConnectionId, ExchangeId, Name, QueueId, QueueRef};
use crate::model::maps::Map;
use crate::model::resource::Resource;
use crate::model::settings::QueueSettings;
use crate::routing::{ExchangeKind, ExchangeRoutes};

#[derive(Debug)]
pub struct Vhost {
    pub name: Name,
    pub(crate) exchanges: Named<ExchangeId>,
    pub(crate) queues: Named<QueueId>,
    /// By user.
    pub(crate) permissions: Map<Name, Arc<Permissions>>,
    /// By user and exchange.
    pub(crate) topic_permissions: Map<Name, Map<Name, TopicPermissions>>,
    pub policies: Policies,
    pub metadata: VhostMetadata,
    /// Publishes and deliveries are copied to `amq.rabbitmq.trace` (semantics 19.1).
    pub tracing: bool,
    pub limits: VhostLimits,
    /// It refuses to be deleted.
    pub protected: bool,
}

impl Vhost {
    /// The names of its queues behind this one, or of all, in order.
    pub fn queues_after(&self, name: Option<&Name>) -> impl Iterator<Item = &Name> {
        self.queues.after(name).map(|(name, _)| name)
    }

    /// The names of its exchanges behind this one, or of all, in order.
    pub fn exchanges_after(&self, name: Option<&Name>) -> impl Iterator<Item = &Name> {
        self.exchanges.after(name).map(|(name, _)| name)
    }

    /// How many queues and exchanges it has.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.queues.len(), self.exchanges.len())
    }

    /// Who may do what in it, in no order.
    pub fn permissions(&self) -> impl Iterator<Item = (&Name, &PermissionSpec)> {
        self.permissions.iter().map(|(user, permissions)| (user, permissions.spec()))
    }

    #[must_use]
    pub fn permissions_of(&self, user: &str) -> Option<&PermissionSpec> {
        self.permissions.get(user).map(|permissions| permissions.spec())
    }

    #[must_use]
    pub fn topic_permissions_of(&self, user: &str, exchange: &str) -> Option<&TopicPermissionSpec> {
        self.topic_permissions.get(user)?.get(exchange).map(TopicPermissions::spec)
    }

    /// User, exchange, and what the user may do with its topics; in no order.
    pub fn topic_permissions(&self) -> impl Iterator<Item = (&Name, &Name, &TopicPermissionSpec)> {
        self.topic_permissions.iter().flat_map(|(user, exchanges)| {
            exchanges.iter().map(move |(exchange, permissions)| (user, exchange, permissions.spec()))
        })
    }
}

#[derive(Debug)]
pub struct Exchange {
    pub id: ExchangeId,
    pub vhost: Name,
    pub name: Name,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    /// Where messages go that nothing matched; it may not exist (semantics 5.7).
    pub alternate: Option<Name>,
    pub policies: Applying,
    pub arguments: FieldTable,
    pub routes: ExchangeRoutes,
}

impl Exchange {
    #[must_use]
    pub fn kind(&self) -> ExchangeKind {
        self.routes.kind()
    }

    /// The exchange as texts print it.
    #[must_use]
    pub fn resource(&self) -> Resource<'_> {
        Resource::exchange(&self.name, &self.vhost)
    }
}

#[derive(Debug)]
pub struct Queue {
    pub at: QueueRef,
    pub label: QueueLabel,
    /// The one connection that may use it (semantics 7.9).
    pub exclusive_to: Option<ConnectionId>,
    /// What it obeys. Durability and the auto-delete flag are among them.
    pub settings: Arc<QueueSettings>,
    /// What its declare alone makes it obey.
    pub declared: Arc<QueueSettings>,
    pub arguments: EncodedTable,
    pub policies: Applying,
}

impl Queue {
    /// Whether queue and contents outlive a restart.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.settings.durable && self.exclusive_to.is_none()
    }

    /// What its shard is told: what goes with its connection has nothing to keep for a restart.
    pub(crate) fn kept_settings(&self) -> Arc<QueueSettings> {
        let durable = self.is_recorded();
        if durable == self.settings.durable {
            return Arc::clone(&self.settings);
        }
        QueueSettings { durable, ..QueueSettings::clone(&self.settings) }.into()
    }

    /// 405 where it is exclusive to another connection (semantics 7.9).
    pub(crate) fn check_owner(&self, connection: ConnectionId) -> Result<(), Fault> {
        match self.exclusive_to {
            Some(owner) if owner != connection => Err(Fault::locked(self.label.resource())),
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
pub struct User {
    pub name: Name,
    pub(crate) password: PasswordHash,
    pub tags: Vec<Name>,
    /// May log in from loopback addresses only (semantics 1.16).
    pub loopback_only: bool,
    pub limits: UserLimits,
}

impl User {
    /// The salted hash of the password; empty where there is none.
    #[must_use]
    pub fn password_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }

    /// May publish in the name of others (semantics 9.4).
    #[must_use]
    pub fn is_impersonator(&self) -> bool {
        self.tags.iter().any(|tag| &**tag == "impersonator")
    }
}
