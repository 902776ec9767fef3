//! Bindings: made, removed one by one, and what goes with them: auto-delete exchanges that lose their last one, records of
//! those between durable ends (semantics section 6, 5.10, 5.13). How a binding matches is routing's; those of what is
//! deleted go in `removal`.

use std::collections::BTreeSet;

use leveret_codec::table::FieldTable;

use crate::model::fault::Fault;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, Destination, ExchangeId, Name};
use crate::model::request::Binding;
use crate::model::resource::Resource;
use crate::model::sparse::ShrinkIfSparse;

use super::binding_end::End;
use super::encoded_table::EncodedTable;
use super::records::{self, BoundTo, Record};
use super::removal::{Cause, Removal, RemovalTarget};
use super::view::ViewState;
use super::work::Task;
use super::{Catalog, CatalogEffects};
use crate::model::command::BindingEnds;
use crate::model::maps::Map;

/// Which exchanges have bindings to a destination. The default exchange's implicit ones are not among them.
#[derive(Debug, Default)]
pub(super) struct Sources(Map<Destination, BTreeSet<ExchangeId>>);

impl Sources {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        into.declared("catalog: destinations of bindings", &self.0);
        self.0.values().for_each(|sources| into.declared("catalog: sources of one destination", sources));
    }

    fn add(&mut self, destination: Destination, source: ExchangeId) {
        self.0.entry(destination).or_default().insert(source);
    }

    pub(super) fn remove(&mut self, destination: Destination, source: ExchangeId) {
        if let Some(sources) = self.0.get_mut(&destination) {
            sources.remove(&source);
            if sources.is_empty() {
                self.0.remove(&destination);
                self.0.shrink_if_sparse();
            }
        }
    }

    /// The one of the lowest id.
    pub(super) fn first(&self, destination: Destination) -> Option<ExchangeId> {
        self.0.get(&destination)?.first().copied()
    }
}

impl Catalog {
    pub(super) fn bind(
        &mut self,
        state: &mut ViewState,
        connection: ConnectionId,
        vhost: &str,
        to: BindingEnds,
        binding: &Binding,
        fx: &mut CatalogEffects,
    ) -> Result<(), Fault> {
        let no_source = || Fault::not_found(Resource::exchange(&binding.source, vhost));
        let source = state.exchange(vhost, &binding.source).ok_or_else(no_source)?.id;
        let end = End::find(state, vhost, to, &binding.destination).ok_or_else(|| {
            Fault::not_found(match to {
                BindingEnds::Queue => Resource::queue(&binding.destination, vhost),
                BindingEnds::Exchange => Resource::exchange(&binding.destination, vhost),
            })
        })?;
        end.check_owner(state, connection)?;
        if !state.bind(source, end.as_bound(), &binding.routing_key, &binding.arguments)? {
            return Ok(());
        }
        self.sources.add(end.destination, source);
        let is_durable = end.durable && state.exchange_by_id(source).is_some_and(|exchange| exchange.durable);
        fx.event(state, "binding.created", || end.described_binding(vhost, binding));
        if is_durable {
            let record = Record::Binding {
                vhost: vhost.into(),
                source: binding.source.clone(),
                destination: end.name,
                routing_key: binding.routing_key.clone(),
                arguments: EncodedTable::new(&binding.arguments),
            };
            self.bindings_made += 1;
            fx.ops.push(record.put_numbered(self.bindings_made));
        }
        Catalog::replay(state, source, end.destination, fx);
        Ok(())
    }

    /// Makes a recorded binding again. False where an end of it does not exist, or it cannot be made.
    pub(super) fn rebind(
        &mut self,
        state: &mut ViewState,
        vhost: &str,
        source: &str,
        destination: &BoundTo,
        routing_key: &Name,
        arguments: &FieldTable,
    ) -> bool {
        let end = match destination {
            BoundTo::Queue(name) => End::queue(state, vhost, name),
            BoundTo::Exchange(name) => state.exchange(vhost, name).map(End::exchange),
        };
        let source = state.exchange(vhost, source).map(|exchange| exchange.id);
        let (Some(end), Some(source)) = (end, source) else { return false };
        let bound = state.bind(source, end.as_bound(), routing_key, arguments).is_ok();
        if bound {
            self.sources.add(end.destination, source);
        }
        bound
    }

    /// Removes a binding. One that does not exist, or has no ends, is passed over (semantics 6.1), also one of
    /// somebody's exclusive queue, which is 405 where it exists (semantics 6.4).
    pub(super) fn unbind(
        &mut self,
        state: &mut ViewState,
        connection: ConnectionId,
        vhost: &str,
        to: BindingEnds,
        binding: &Binding,
        fx: &mut CatalogEffects,
    ) -> Result<(), Fault> {
        let Some((source, end)) = find_binding(state, vhost, to, binding) else { return Ok(()) };
        end.check_owner(state, connection)?;
        state.unbind(source, end.destination, &binding.routing_key, &binding.arguments);
        let Some(exchange) = state.exchange_by_id(source) else { return Ok(()) };
        if exchange.routes.bindings_to(end.destination).next().is_none() {
            self.sources.remove(end.destination, source);
        }
        if exchange.durable && end.durable {
            fx.ops.push(records::delete_binding(
                vhost,
                &exchange.name,
                &end.name,
                &binding.routing_key,
                &binding.arguments,
            ));
        }
        let is_done = exchange.auto_delete && exchange.routes.is_empty();
        fx.event(state, "binding.deleted", || end.described_binding(vhost, binding));
        if is_done {
            let removal = Removal::new(Some(RemovalTarget::Exchange(source)), Cause::Deleted);
            self.begin(Task::Remove(removal), None, fx);
        }
        Ok(())
    }
}

/// Whether there is this binding, and the connection might make it: then to make it changes nothing (semantics 6.1).
pub(crate) fn is_bound(
    state: &ViewState,
    connection: ConnectionId,
    vhost: &str,
    to: BindingEnds,
    binding: &Binding,
) -> bool {
    find_binding(state, vhost, to, binding).is_some_and(|(_, end)| end.check_owner(state, connection).is_ok())
}

/// Source and end of a binding that exists.
fn find_binding(
    state: &ViewState,
    vhost: &str,
    to: BindingEnds,
    binding: &Binding,
) -> Option<(ExchangeId, End)> {
    let end = End::find(state, vhost, to, &binding.destination)?;
    let exchange = state.exchange(vhost, &binding.source)?;
    let exists = exchange.routes.has(end.destination, &binding.routing_key, &binding.arguments);
    exists.then_some((exchange.id, end))
}
