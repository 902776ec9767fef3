//! The catalog from its records. A record that cannot be used is reported and passed over; it costs nothing but
//! itself and what hangs on it.

use std::collections::HashSet;
use std::sync::Arc;

use leveret_codec::table::FieldTable;

use crate::model::administration::{PermissionSpec, PolicySpec, TopicPermissionSpec, UserLimits};
use crate::model::ids::{Name, QueueId};
use crate::model::request::DeclareExchange;

use super::access::{Permissions, TopicPermissions};
use super::exchanges::kind;
use super::password::PasswordHash;
use super::policies::{Applying, Policy};
use super::queue_arguments;
use super::records::{BoundTo, Record, RecordError};
use super::view::{Queue, User, ViewState};
use super::{BadRecord, Catalog, CatalogEffects};
use crate::model::command::QueueLabel;

/// Queues that the store has and the records have not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// Their deletion was recorded, and the last stop came before it was carried out.
    pub deleted: Vec<QueueId>,
    /// Nobody deleted them, so nobody may: with how many messages.
    pub apart: Vec<(QueueId, u64)>,
}

impl Catalog {
    /// Fills the view. What a record hangs on has a key of a lower rank; those of one rank are met in the order in which
    /// they were made, where that is known.
    pub(super) fn recover(
        &mut self,
        state: &mut ViewState,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
        fx: &mut CatalogEffects,
    ) {
        let read = |(key, value): (Vec<u8>, Vec<u8>)| (key, Record::read(&value));
        let mut records: Vec<_> = records.into_iter().map(read).collect();
        if records.is_empty() {
            self.first_start(state, fx);
            return;
        }
        let number = |read: &Result<(Record, u64), _>| read.as_ref().map_or(0, |(_, number)| *number);
        records.sort_by(|(one, of_one), (other, of_other)| {
            let (one, other) = ((one.first(), number(of_one), one), (other.first(), number(of_other), other));
            one.cmp(&other)
        });
        self.bindings_made = records.iter().map(|(_, read)| number(read)).max().unwrap_or(0);
        for (key, read) in records {
            let restored = read.and_then(|(record, _)| self.restore(state, record));
            if let Err(error) = restored {
                self.bad_records.push(BadRecord { key, error });
            }
        }
        // Shards have their queues from the view at this point, and no earlier.
        state.apply_all_policies();
    }

    /// Sorts out which of the queues that were found with so many messages are not in the records. What has to be written
    /// once the recorded deletions are carried out goes into `fx`: one commit does both. No new queue ever has the id of
    /// one that was found.
    pub fn unknown_queues(
        &mut self,
        found: impl Iterator<Item = (QueueId, u64)>,
        fx: &mut CatalogEffects,
    ) -> Unknown {
        let known: HashSet<QueueId> =
            self.recovered_queues().into_iter().flatten().map(|queue| queue.queue).collect();
        let mut unknown = Unknown { deleted: std::mem::take(&mut self.tombstones), apart: Vec::new() };
        unknown.deleted.iter().for_each(|&queue| Catalog::remove_tombstone(queue, fx));
        unknown.deleted.retain(|queue| !known.contains(queue));
        let deleted: HashSet<QueueId> = unknown.deleted.iter().copied().collect();
        for (queue, messages) in found {
            self.restore_next_queue_after(queue);
            if !known.contains(&queue) && !deleted.contains(&queue) {
                unknown.apart.push((queue, messages));
            }
        }
        unknown
    }

    fn restore(&mut self, state: &mut ViewState, record: Record) -> Result<(), RecordError> {
        match record {
            Record::NextQueue(next) => self.restore_next_queue(next),
            Record::Tombstone(queue) => {
                self.restore_next_queue_after(queue);
                self.tombstones.push(queue);
            }
            Record::Vhost { name } => self.restore_vhost(state, &name),
            Record::User { name, password, tags, loopback_only } => {
                let password = PasswordHash::from_bytes(password);
                let limits = UserLimits::default();
                state.put_user(User { name, password, tags, loopback_only, limits });
            }
            Record::Permissions { vhost, user, configure, write, read } => {
                let spec = PermissionSpec { configure, write, read };
                let vhost = state.vhost_mut(&vhost).ok_or_else(|| no_vhost(&vhost))?;
                vhost.permissions.insert(user, Permissions::new(&spec).into());
            }
            Record::Exchange { vhost, name, kind, auto_delete, internal, arguments } => {
                known_vhost(state, &vhost)?;
                let declare = DeclareExchange {
                    name,
                    kind: kind.into(),
                    passive: false,
                    durable: true,
                    auto_delete,
                    internal,
                    arguments: arguments.parse()?,
                };
                self.restore_exchange(state, &vhost, declare)?;
            }
            Record::Queue { vhost, name, id, mut settings, arguments } => {
                let vhost = known_vhost(state, &vhost)?;
                let label = QueueLabel { vhost, name };
                queue_arguments::complete(Arc::make_mut(&mut settings), &arguments.parse()?);
                let queue = Queue {
                    at: self.place(id),
                    label,
                    exclusive_to: None,
                    settings: Arc::clone(&settings),
                    declared: settings,
                    arguments,
                    policies: Applying::default(),
                };
                self.restore_queue(state, queue);
            }
            Record::VhostSettings { vhost, metadata, tracing, limits } => {
                let vhost = state.vhost_mut(&vhost).ok_or_else(|| no_vhost(&vhost))?;
                vhost.metadata = metadata;
                vhost.tracing = tracing;
                vhost.limits = limits;
            }
            Record::UserLimits { user, limits } => {
                let dangling = || RecordError::Dangling(format!("user '{user}'"));
                state.user_mut(&user).ok_or_else(dangling)?.limits = limits;
            }
            Record::NodeLimits(limits) => state.set_node_limits(limits),
            Record::TopicPermissions { vhost, user, exchange, write, read } => {
                let vhost = state.vhost_mut(&vhost).ok_or_else(|| no_vhost(&vhost))?;
                let spec = TopicPermissionSpec { write, read };
                let permissions = TopicPermissions::new(&spec, &user, &vhost.name);
                vhost.topic_permissions.entry(user).or_default().insert(exchange, permissions);
            }
            Record::Policy { vhost, kind, name, pattern, apply_to, priority, definition } => {
                let vhost = state.vhost_mut(&vhost).ok_or_else(|| no_vhost(&vhost))?;
                let definition = definition.parse()?;
                let spec = PolicySpec { pattern, apply_to, priority, definition };
                vhost.policies.put(kind, Policy::recovered(name, spec));
            }
            Record::Binding { vhost, source, destination, routing_key, arguments } => {
                let arguments: FieldTable = arguments.parse()?;
                if !self.rebind(state, &vhost, &source, &destination, &routing_key, &arguments) {
                    let (BoundTo::Queue(destination) | BoundTo::Exchange(destination)) = destination;
                    return Err(RecordError::Dangling(format!("'{source}' and '{destination}'")));
                }
            }
            Record::GlobalParameter { name, value } => state.set_global_parameter(name, Some(value)),
            Record::VhostProtection { vhost } => {
                state.vhost_mut(&vhost).ok_or_else(|| no_vhost(&vhost))?.protected = true;
            }
            Record::InternalQueue { vhost, exchange, id } => {
                if !self.restore_internal_queue(state, &vhost, &exchange, id) {
                    return Err(RecordError::Dangling(format!("exchange '{exchange}'")));
                }
            }
        }
        Ok(())
    }

    fn restore_exchange(
        &mut self,
        state: &mut ViewState,
        vhost: &str,
        declare: DeclareExchange,
    ) -> Result<(), RecordError> {
        let malformed = |fault: crate::model::fault::Fault| RecordError::Malformed(fault.text());
        let kind = kind(&declare.kind).map_err(malformed)?;
        let exchange = self.new_exchange(state, vhost, kind, declare).map_err(malformed)?;
        state.add_exchange(exchange);
        Ok(())
    }
}

fn known_vhost(state: &ViewState, vhost: &str) -> Result<Name, RecordError> {
    state.vhost(vhost).map(|vhost| vhost.name.clone()).ok_or_else(|| no_vhost(vhost))
}

fn no_vhost(vhost: &str) -> RecordError {
    RecordError::Dangling(format!("vhost '{vhost}'"))
}
