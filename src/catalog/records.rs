//! What the catalog writes down: one record per durable thing, opaque to the store. A value is a version byte and a
//! postcard record, and behind it a number where it matters what was made first. A key is the record's rank and the
//! names that identify it, so that recovery meets vhosts before exchanges and queues, and those before bindings.

use std::sync::Arc;

use leveret_codec::table::{FieldTable, TableError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::encoded_table::EncodedTable;
use super::view::Vhost;
use crate::model::administration::{ApplyTo, NodeLimits, PolicyKind, UserLimits, VhostLimits, VhostMetadata};
use crate::model::ids::{Name, QueueId};
use crate::model::op::CatalogOp;
use crate::model::settings::QueueSettings;

/// The format of values; the first byte of each.
const VERSION: u8 = 1;

/// Why a record could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    #[error("record is empty")]
    Empty,
    #[error("record has version {0}, which this broker does not know")]
    Version(u8),
    #[error("record cannot be read: {0}")]
    Malformed(String),
    #[error("record names {0}, which does not exist")]
    Dangling(String),
}

impl From<TableError> for RecordError {
    fn from(error: TableError) -> RecordError {
        RecordError::Malformed(error.to_string())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    /// No queue has had this id or a higher one.
    NextQueue(QueueId),
    Vhost {
        name: Name,
    },
    User {
        name: Name,
        password: Vec<u8>,
        tags: Vec<Name>,
        loopback_only: bool,
    },
    Permissions {
        vhost: Name,
        user: Name,
        configure: Name,
        write: Name,
        read: Name,
    },
    Exchange {
        vhost: Name,
        name: Name,
        kind: String,
        auto_delete: bool,
        internal: bool,
        arguments: EncodedTable,
    },
    Queue {
        vhost: Name,
        name: Name,
        id: QueueId,
        settings: Arc<QueueSettings>,
        arguments: EncodedTable,
    },
    Binding {
        vhost: Name,
        source: Name,
        destination: BoundTo,
        routing_key: Name,
        arguments: EncodedTable,
    },
    /// The queue that belongs to an exchange which keeps messages.
    InternalQueue {
        vhost: Name,
        exchange: Name,
        id: QueueId,
    },
    VhostSettings {
        vhost: Name,
        metadata: VhostMetadata,
        tracing: bool,
        limits: VhostLimits,
    },
    UserLimits {
        user: Name,
        limits: UserLimits,
    },
    NodeLimits(NodeLimits),
    TopicPermissions {
        vhost: Name,
        user: Name,
        exchange: Name,
        write: Name,
        read: Name,
    },
    Policy {
        vhost: Name,
        kind: PolicyKind,
        name: Name,
        pattern: Name,
        apply_to: ApplyTo,
        priority: i64,
        definition: EncodedTable,
    },
    /// The queue is deleted; stands until its messages are.
    Tombstone(QueueId),
    /// A global parameter, whose value is a JSON text.
    GlobalParameter {
        name: Name,
        value: String,
    },
    /// The vhost refuses to be deleted.
    VhostProtection {
        vhost: Name,
    },
}

/// The destination of a binding, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum BoundTo {
    Queue(Name),
    Exchange(Name),
}

impl Record {
    /// Writes the record down.
    pub(super) fn put(&self) -> CatalogOp {
        let value = vec![VERSION];
        let encoded = postcard::to_extend(self, value).unwrap_or_else(|error| {
            // None of these types can fail to be encoded. Answers go out after this, so nobody is told OK in any case.
            panic!("a record cannot be written: {error}")
        });
        CatalogOp::Put { key: self.key(), value: encoded }
    }

    /// Writes the record down with a number: what has a lower one was made before.
    pub(super) fn put_numbered(&self, number: u64) -> CatalogOp {
        let mut op = self.put();
        if let CatalogOp::Put { value, .. } = &mut op {
            value.extend(number.to_le_bytes());
        }
        op
    }

    /// The record and its number, 0 where it has none.
    pub(super) fn read(value: &[u8]) -> Result<(Record, u64), RecordError> {
        match value.split_first() {
            Some((&VERSION, record)) => {
                let malformed = |error: postcard::Error| RecordError::Malformed(error.to_string());
                let (record, behind) = postcard::take_from_bytes(record).map_err(malformed)?;
                Ok((record, behind.first_chunk().map_or(0, |number| u64::from_le_bytes(*number))))
            }
            Some((&version, _)) => Err(RecordError::Version(version)),
            None => Err(RecordError::Empty),
        }
    }

    fn key(&self) -> Vec<u8> {
        match self {
            Record::NextQueue(_) => key(0, &[]),
            Record::Vhost { name } => key(1, &[name]),
            Record::User { name, .. } => key(2, &[name]),
            Record::Permissions { vhost, user, .. } => key(3, &[vhost, user]),
            Record::Exchange { vhost, name, .. } => key(4, &[vhost, name]),
            Record::Queue { vhost, name, .. } => key(5, &[vhost, name]),
            Record::Binding { vhost, source, destination, routing_key, arguments } => {
                binding_key(vhost, source, destination, routing_key, arguments)
            }
            Record::VhostSettings { vhost, .. } => key(7, &[vhost]),
            Record::UserLimits { user, .. } => key(8, &[user]),
            Record::NodeLimits(_) => key(9, &[]),
            Record::TopicPermissions { vhost, user, exchange, .. } => key(10, &[vhost, user, exchange]),
            Record::Policy { vhost, kind, name, .. } => policy_key(vhost, *kind, name),
            Record::InternalQueue { vhost, exchange, .. } => key(12, &[vhost, exchange]),
            Record::Tombstone(queue) => tombstone_key(*queue),
            Record::GlobalParameter { name, .. } => key(14, &[name]),
            Record::VhostProtection { vhost } => key(15, &[vhost]),
        }
    }
}

/// Removes the records of a vhost itself: what is known of it, who may do what in it, its policies. Those of its
/// queues, exchanges and bindings are removed with them.
pub(super) fn delete_vhost(vhost: &Vhost) -> Vec<CatalogOp> {
    let name = &*vhost.name;
    let mut keys = vec![key(1, &[name]), key(7, &[name])];
    keys.extend(vhost.protected.then(|| key(15, &[name])));
    keys.extend(vhost.permissions.keys().map(|user| key(3, &[name, user])));
    for (user, exchanges) in &vhost.topic_permissions {
        keys.extend(exchanges.keys().map(|exchange| key(10, &[name, user, exchange])));
    }
    keys.extend(vhost.policies.iter().map(|(kind, policy)| policy_key(name, kind, &policy.name)));
    keys.sort();
    keys.into_iter().map(|key| CatalogOp::Delete { key }).collect()
}

pub(super) fn delete_user(user: &str) -> CatalogOp {
    CatalogOp::Delete { key: key(2, &[user]) }
}

pub(super) fn delete_permissions(vhost: &str, user: &str) -> CatalogOp {
    CatalogOp::Delete { key: key(3, &[vhost, user]) }
}

pub(super) fn delete_user_limits(user: &str) -> CatalogOp {
    CatalogOp::Delete { key: key(8, &[user]) }
}

pub(super) fn delete_topic_permissions(vhost: &str, user: &str, exchange: &str) -> CatalogOp {
    CatalogOp::Delete { key: key(10, &[vhost, user, exchange]) }
}

pub(super) fn delete_policy(vhost: &str, kind: PolicyKind, name: &str) -> CatalogOp {
    CatalogOp::Delete { key: policy_key(vhost, kind, name) }
}

fn policy_key(vhost: &str, kind: PolicyKind, name: &str) -> Vec<u8> {
    let kind = match kind {
        PolicyKind::Regular => "regular",
        PolicyKind::Operator => "operator",
    };
    key(11, &[vhost, kind, name])
}

pub(super) fn delete_global_parameter(name: &str) -> CatalogOp {
    CatalogOp::Delete { key: key(14, &[name]) }
}

pub(super) fn delete_vhost_protection(vhost: &str) -> CatalogOp {
    CatalogOp::Delete { key: key(15, &[vhost]) }
}

/// Removes the record of an exchange.
pub(super) fn delete_exchange(vhost: &str, name: &str) -> CatalogOp {
    CatalogOp::Delete { key: key(4, &[vhost, name]) }
}

/// Removes the record of a queue.
pub(super) fn delete_queue(vhost: &str, name: &str) -> CatalogOp {
    CatalogOp::Delete { key: key(5, &[vhost, name]) }
}

/// Removes the record of an exchange's internal queue.
pub(super) fn delete_internal_queue(vhost: &str, exchange: &str) -> CatalogOp {
    CatalogOp::Delete { key: key(12, &[vhost, exchange]) }
}

/// Removes the tombstone of a queue.
pub(super) fn delete_tombstone(queue: QueueId) -> CatalogOp {
    CatalogOp::Delete { key: tombstone_key(queue) }
}

fn tombstone_key(queue: QueueId) -> Vec<u8> {
    key(13, &[&queue.0.to_string()])
}

/// Removes the record of a binding.
pub(super) fn delete_binding(
    vhost: &str,
    source: &str,
    destination: &BoundTo,
    routing_key: &str,
    arguments: &FieldTable,
) -> CatalogOp {
    let arguments = EncodedTable::new(arguments);
    CatalogOp::Delete { key: binding_key(vhost, source, destination, routing_key, &arguments) }
}

/// Arguments may be long and keys are not: they are in the key by their hash.
fn binding_key(
    vhost: &str,
    source: &str,
    destination: &BoundTo,
    routing_key: &str,
    arguments: &EncodedTable,
) -> Vec<u8> {
    let (kind, name) = match destination {
        BoundTo::Queue(name) => ("queue", name),
        BoundTo::Exchange(name) => ("exchange", name),
    };
    let mut bytes = key(6, &[vhost, source, kind, name, routing_key]);
    bytes.extend_from_slice(&Sha256::digest(arguments.as_bytes())[..16]);
    bytes
}

/// The rank and the names, each behind its length.
fn key(rank: u8, names: &[&str]) -> Vec<u8> {
    let mut bytes = vec![rank];
    for name in names {
        // Names come from fields of at most 255 bytes.
        let len = u32::try_from(name.len()).unwrap_or_else(|_| panic!("a name of {} bytes", name.len()));
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(source: &str, key: &str) -> Record {
        Record::Binding {
            vhost: "/".into(),
            source: source.into(),
            destination: BoundTo::Queue("q".into()),
            routing_key: key.into(),
            arguments: EncodedTable::new(&FieldTable::default()),
        }
    }

    fn parts(record: &Record) -> (Vec<u8>, Vec<u8>) {
        match record.put() {
            CatalogOp::Put { key, value } => (key, value),
            CatalogOp::Delete { key } => (key, Vec::new()),
        }
    }

    #[test]
    fn a_record_reads_back_and_an_unknown_version_does_not() {
        let record = binding("x", "k");
        let (_, mut value) = parts(&record);
        assert_eq!(Record::read(&value), Ok((record.clone(), 0)));
        let CatalogOp::Put { value: numbered, .. } = record.put_numbered(300) else { panic!() };
        assert_eq!(Record::read(&numbered), Ok((record, 300)));
        value[0] = 9;
        assert_eq!(Record::read(&value), Err(RecordError::Version(9)));
        assert_eq!(Record::read(&[]), Err(RecordError::Empty));
        assert!(Record::read(&[VERSION, 200]).is_err());
    }

    #[test]
    fn names_that_run_together_have_keys_of_their_own() {
        assert_ne!(parts(&binding("ab", "c")).0, parts(&binding("a", "bc")).0);
        let (key, _) = parts(&binding("x", "k"));
        let destination = BoundTo::Queue("q".into());
        let removed = delete_binding("/", "x", &destination, "k", &FieldTable::default());
        assert_eq!(removed, CatalogOp::Delete { key });
    }

    #[test]
    fn the_internal_queue_of_an_exchange_is_removed_under_the_key_it_has() {
        let (vhost, exchange) = ("/".into(), "x".into());
        let (key, _) = parts(&Record::InternalQueue { vhost, exchange, id: QueueId(1) });
        assert_eq!(delete_internal_queue("/", "x"), CatalogOp::Delete { key });
    }
}
