//! Where bindings lead: a queue or an exchange, by id and by name, with what its exchange and its records have to know of it.

use leveret_codec::table::FieldTable;

use super::events::{Fields, arguments, text};
use super::records::BoundTo;
use super::view::{Exchange, ViewState};
use crate::model::command::BindingEnds;
use crate::model::fault::Fault;
use crate::model::ids::{ConnectionId, Destination};
use crate::model::request::Binding;
use crate::model::settings::QueueType;
use crate::routing;

/// Where a binding leads, by id and by name.
pub(super) struct End {
    pub(super) destination: Destination,
    pub(super) name: BoundTo,
    pub(super) durable: bool,
    /// Of a queue.
    queue_type: QueueType,
}

impl End {
    pub(super) fn queue(state: &ViewState, vhost: &str, name: &str) -> Option<End> {
        let queue = state.queue(vhost, name)?;
        Some(End {
            destination: Destination::Queue(queue.at),
            name: BoundTo::Queue(queue.label.name.clone()),
            durable: queue.is_recorded(),
            queue_type: queue.settings.queue_type,
        })
    }

    pub(super) fn exchange(exchange: &Exchange) -> End {
        End {
            destination: Destination::Exchange(exchange.id),
            name: BoundTo::Exchange(exchange.name.clone()),
            durable: exchange.durable,
            queue_type: QueueType::default(),
        }
    }

    /// As exchange types are shown it.
    pub(super) fn as_bound(&self) -> routing::End<'_> {
        let (BoundTo::Queue(name) | BoundTo::Exchange(name)) = &self.name;
        routing::End { destination: self.destination, name, queue_type: self.queue_type }
    }

    /// 405 where it is the exclusive queue of another connection.
    pub(super) fn check_owner(&self, state: &ViewState, connection: ConnectionId) -> Result<(), Fault> {
        match self.destination {
            Destination::Queue(at) => {
                state.queue_by_id(at.queue).map_or(Ok(()), |queue| queue.check_owner(connection))
            }
            Destination::Exchange(_) => Ok(()),
        }
    }

    pub(super) fn find(state: &ViewState, vhost: &str, to: BindingEnds, name: &str) -> Option<End> {
        match to {
            BindingEnds::Queue => End::queue(state, vhost, name),
            BindingEnds::Exchange => state.exchange(vhost, name).map(End::exchange),
        }
    }

    /// A binding to it as events describe it.
    pub(super) fn described(
        &self,
        vhost: &str,
        source: &str,
        routing_key: &str,
        given: &FieldTable,
    ) -> Fields {
        let (kind, name) = match &self.name {
            BoundTo::Queue(name) => ("queue", name),
            BoundTo::Exchange(name) => ("exchange", name),
        };
        vec![
            ("source_name", text(source)),
            ("source_kind", text("exchange")),
            ("destination_name", text(&**name)),
            ("destination_kind", text(kind)),
            ("routing_key", text(routing_key)),
            ("arguments", arguments(given)),
            ("vhost", text(vhost)),
        ]
    }

    pub(super) fn described_binding(&self, vhost: &str, binding: &Binding) -> Fields {
        self.described(vhost, &binding.source, &binding.routing_key, &binding.arguments)
    }

    pub(super) fn of(state: &ViewState, destination: Destination) -> Option<End> {
        match destination {
            Destination::Exchange(id) => state.exchange_by_id(id).map(End::exchange),
            Destination::Queue(at) => {
                let label = &state.queue_by_id(at.queue)?.label;
                End::queue(state, &label.vhost, &label.name)
            }
        }
    }
}
