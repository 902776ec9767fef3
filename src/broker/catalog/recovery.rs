//! The catalog from its records. A record that cannot be used is reported and passed over; it costs nothing but
//! itself and what hangs on it.

use leveret_codec::table::FieldTable;

use crate::model::ids::Name;
use crate::model::request::DeclareExchange;

use super::records::{BoundTo, Record, RecordError};
use super::{BadRecord, Catalog, CatalogEffects};
use crate::broker::access::Permissions;
use crate::broker::catalog::exchanges::kind;
use crate::broker::command::{PermissionSpec, QueueLabel};
use crate::broker::login::PasswordHash;
use crate::broker::queue_arguments;
use crate::broker::view::{Queue, User, ViewState};

impl Catalog {
    /// Fills the view. Keys are met in their order: what a record hangs on has a smaller key.
    pub(super) fn recover(
        &mut self,
        state: &mut ViewState,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
        fx: &mut CatalogEffects,
    ) {
        let mut records: Vec<_> = records.into_iter().collect();
        if records.is_empty() {
            self.first_start(state, fx);
            return;
        }
        records.sort();
        for (key, value) in records {
            let restored = Record::read(&value).and_then(|record| self.restore(state, record));
            if let Err(error) = restored {
                self.bad_records.push(BadRecord { key, error });
            }
        }
    }

    fn restore(&mut self, state: &mut ViewState, record: Record) -> Result<(), RecordError> {
        match record {
            Record::NextQueue(next) => self.restore_next_queue(next),
            Record::Vhost { name } => self.restore_vhost(state, &name),
            Record::User { name, password, tags, loopback_only } => {
                let password = PasswordHash::from_bytes(password);
                state.put_user(User { name, password, tags, loopback_only });
            }
            Record::Permissions { vhost, user, configure, write, read } => {
                known_vhost(state, &vhost)?;
                let spec = PermissionSpec { configure, write, read };
                state.put_permissions(&vhost, user, Permissions::new(&spec));
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
                    arguments: arguments.decode()?,
                };
                self.restore_exchange(state, &vhost, declare)?;
            }
            Record::Queue { vhost, name, id, mut settings, arguments } => {
                let vhost = known_vhost(state, &vhost)?;
                let label = QueueLabel { vhost, name };
                let arguments = arguments.decode()?;
                queue_arguments::complete(&mut settings, &arguments);
                let queue = Queue { at: self.place(id), label, exclusive_to: None, settings, arguments };
                self.restore_queue(state, queue);
            }
            Record::Binding { vhost, source, destination, routing_key, arguments } => {
                let arguments: FieldTable = arguments.decode()?;
                if !self.rebind(state, &vhost, &source, &destination, &routing_key, &arguments) {
                    let (BoundTo::Queue(destination) | BoundTo::Exchange(destination)) = destination;
                    return Err(RecordError::Dangling(format!("'{source}' and '{destination}'")));
                }
            }
            Record::Keeper { vhost, exchange, id } => {
                if !self.restore_keeper(state, &vhost, &exchange, id) {
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
    state
        .vhost(vhost)
        .map(|vhost| vhost.name.clone())
        .ok_or_else(|| RecordError::Dangling(format!("vhost '{vhost}'")))
}
