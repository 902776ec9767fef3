//! Queues, exchanges and vhosts removed with all that hangs on them, in pieces: their bindings first, so that records never
//! speak of what is not there any more, and their names last (semantics 5.10, 6.7, 7.9, 16.8). Until then they are
//! found, and commands about them wait.

use std::collections::btree_set;

use leveret_codec::table::FieldTable;

use crate::model::ids::{ExchangeId, Name, QueueId};
use crate::model::op::CatalogOp;

use super::binding_end::End;
use super::events::{self, named_queue, text};
use super::records::{self, Record};
use super::view::ViewState;
use super::{Catalog, CatalogEffects};
use crate::model::command::{BindingEnds, CatalogCommand, CatalogRequest, ShardCommand};

/// Bindings that one piece removes: some ten microseconds each, where nobody has used them for a while.
const REMOVED: usize = 256;
/// A queue or exchange itself, with its name and its records, is as much as so many bindings.
const OF_NAME: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RemovalTarget {
    Queue(QueueId),
    Exchange(ExchangeId),
}

impl RemovalTarget {
    fn end(self, state: &ViewState) -> Option<End> {
        match self {
            RemovalTarget::Exchange(id) => state.exchange_by_id(id).map(End::exchange),
            RemovalTarget::Queue(id) => {
                let label = &state.queue_by_id(id)?.label;
                End::queue(state, &label.vhost, &label.name)
            }
        }
    }
}

/// Why it has to go.
#[derive(Debug)]
pub(super) enum Cause {
    /// A queue that its shard has deleted, or an exchange.
    Deleted,
    /// The exclusive queues of a connection that has gone are removed. Nobody else may use them.
    Exclusive(btree_set::IntoIter<QueueId>),
    /// A vhost is deleted, and all in it is removed: queues first, then exchanges. Its own records go last.
    Vhost(Name, Vec<CatalogOp>),
}

#[derive(Debug)]
pub(super) struct Removal {
    /// The last one is next; behind them those that follow from the cause.
    targets: Vec<RemovalTarget>,
    cause: Cause,
}

impl Removal {
    /// Of what follows from the cause, and what is removed besides.
    pub(super) fn new(target: Option<RemovalTarget>, cause: Cause) -> Removal {
        Removal { targets: target.into_iter().collect(), cause }
    }

    pub(super) fn is_of_vhost(&self, name: &str) -> bool {
        matches!(&self.cause, Cause::Vhost(vhost, _) if &**vhost == name)
    }

    /// Whether a command is about what goes here.
    pub(super) fn is_about(&self, state: &ViewState, command: &CatalogCommand) -> bool {
        if !matches!(self.cause, Cause::Deleted) {
            return false;
        }
        let queue = |vhost: &str, name: &str| {
            state.queue(vhost, name).is_some_and(|queue| self.has(RemovalTarget::Queue(queue.at.queue)))
        };
        let exchange = |vhost: &str, name: &str| {
            state.exchange(vhost, name).is_some_and(|exchange| self.has(RemovalTarget::Exchange(exchange.id)))
        };
        match command {
            CatalogCommand::DeclareQueue(declare) => queue(&declare.vhost, &declare.request.name),
            CatalogCommand::QueueGone { queue, .. } => self.has(RemovalTarget::Queue(*queue)),
            CatalogCommand::Request { vhost, request, .. } => match request {
                CatalogRequest::DeclareExchange { declare, .. } => exchange(vhost, &declare.name),
                CatalogRequest::DeleteExchange { name, .. } => exchange(vhost, name),
                CatalogRequest::DeleteQueue { name, .. } => queue(vhost, name),
                CatalogRequest::Bind(to, binding) | CatalogRequest::Unbind(to, binding) => {
                    exchange(vhost, &binding.source)
                        || match to {
                            BindingEnds::Queue => queue(vhost, &binding.destination),
                            BindingEnds::Exchange => exchange(vhost, &binding.destination),
                        }
                }
            },
            CatalogCommand::QueueDropped { .. }
            | CatalogCommand::Answer { .. }
            | CatalogCommand::ConnectionClosed { .. }
            | CatalogCommand::Alarms(_) => false,
        }
    }

    /// What is next; it stays so until it is taken away.
    fn next(&mut self, state: &ViewState) -> Option<RemovalTarget> {
        if self.targets.is_empty() {
            let next = match &mut self.cause {
                Cause::Deleted => None,
                Cause::Exclusive(queues) => queues.next().map(RemovalTarget::Queue),
                Cause::Vhost(name, _) => {
                    let vhost = state.vhost(name)?;
                    let queue = vhost.queues.after(None).next().map(|(_, id)| RemovalTarget::Queue(id));
                    let exchange =
                        || vhost.exchanges.after(None).next().map(|(_, id)| RemovalTarget::Exchange(id));
                    queue.or_else(exchange)
                }
            };
            self.targets.extend(next);
        }
        self.targets.last().copied()
    }

    fn has(&self, target: RemovalTarget) -> bool {
        self.targets.contains(&target)
    }
}

impl Catalog {
    /// Does a piece of a removal. Returns whether it was the last one.
    ///
    /// Auto-delete exchanges that lose their last binding by it are removed, too, and so on upstream (semantics 5.10).
    /// A list, not a recursion: clients decide how long such a chain is.
    pub(super) fn remove_some(
        &mut self,
        state: &mut ViewState,
        removal: &mut Removal,
        fx: &mut CatalogEffects,
    ) -> bool {
        let mut left = REMOVED;
        while let Some(target) = removal.next(state) {
            if left == 0 {
                return false;
            }
            let Some(end) = target.end(state) else {
                removal.targets.pop();
                continue;
            };
            if let RemovalTarget::Exchange(id) = target {
                self.unbind_from(state, id, &mut left, fx);
            }
            let emptied = self.unbind_to(state, &end, &mut left, fx);
            if !emptied.is_empty() {
                removal.targets.extend(emptied);
                continue;
            }
            if left == 0 {
                return false;
            }
            left = left.saturating_sub(OF_NAME);
            removal.targets.pop();
            match target {
                RemovalTarget::Exchange(id) => Catalog::remove_exchange_entry(state, id, fx),
                RemovalTarget::Queue(id) => {
                    let is_known = !matches!(removal.cause, Cause::Deleted);
                    self.remove_queue_entry(state, id, is_known, fx);
                }
            }
        }
        if let Cause::Vhost(name, records) = &mut removal.cause {
            state.remove_vhost(name);
            fx.ops.append(records);
            fx.event(state, "vhost.deleted", || vec![("name", text(&**name))]);
        }
        true
    }

    /// Removes bindings of which an exchange is the source, up to `left`.
    fn unbind_from(
        &mut self,
        state: &mut ViewState,
        id: ExchangeId,
        left: &mut usize,
        fx: &mut CatalogEffects,
    ) {
        while *left > 0 {
            *left -= 1;
            let Some(exchange) = state.exchange_by_id(id) else { return };
            let Some((destination, key, arguments)) = exchange.routes.bindings().next() else { return };
            let (key, arguments) = (Name::from(key), arguments.clone());
            if let Some(end) = End::of(state, destination) {
                let (vhost, source) = (&exchange.vhost, &exchange.name);
                fx.event(state, "binding.deleted", || end.described(vhost, source, &key, &arguments));
                if exchange.durable && end.durable {
                    fx.ops.push(records::delete_binding(vhost, source, &end.name, &key, &arguments));
                }
            }
            state.unbind(id, destination, &key, &arguments);
            let Some(exchange) = state.exchange_by_id(id) else { return };
            if exchange.routes.bindings_to(destination).next().is_none() {
                self.sources.remove(destination, id);
            }
        }
    }

    /// Removes bindings to a destination, up to `left`. Returns the auto-delete exchanges that had no others.
    fn unbind_to(
        &mut self,
        state: &mut ViewState,
        end: &End,
        left: &mut usize,
        fx: &mut CatalogEffects,
    ) -> Vec<RemovalTarget> {
        let is_subscribed = events::is_subscribed(state);
        let mut emptied = Vec::new();
        while *left > 0
            && let Some(source) = self.sources.first(end.destination)
        {
            let Some(exchange) = state.exchange_by_id(source) else {
                self.sources.remove(end.destination, source);
                continue;
            };
            let owned = |(key, arguments): (&str, &FieldTable)| (Name::from(key), arguments.clone());
            let bindings: Vec<_> =
                exchange.routes.bindings_to(end.destination).take(*left).map(owned).collect();
            *left -= bindings.len();
            for (key, arguments) in &bindings {
                if is_subscribed {
                    let fields = end.described(&exchange.vhost, &exchange.name, key, arguments);
                    fx.push_event("binding.deleted", fields);
                }
                if exchange.durable && end.durable {
                    let (vhost, name) = (&exchange.vhost, &exchange.name);
                    fx.ops.push(records::delete_binding(vhost, name, &end.name, key, arguments));
                }
            }
            for (key, arguments) in &bindings {
                state.unbind(source, end.destination, key, arguments);
            }
            let Some(exchange) = state.exchange_by_id(source) else { continue };
            if exchange.routes.bindings_to(end.destination).next().is_none() {
                self.sources.remove(end.destination, source);
                if exchange.auto_delete && exchange.routes.is_empty() {
                    emptied.push(RemovalTarget::Exchange(source));
                }
            }
        }
        emptied
    }

    /// Takes a queue out of the view and out of the records; its bindings are gone already. `is_known`: its shard still
    /// has it.
    fn remove_queue_entry(
        &mut self,
        state: &mut ViewState,
        id: QueueId,
        is_known: bool,
        fx: &mut CatalogEffects,
    ) {
        let Some(queue) = state.remove_queue(id) else { return };
        if is_known {
            let has_tombstone = queue.is_recorded();
            fx.ops.extend(has_tombstone.then(|| Record::Tombstone(id).put()));
            fx.to_shards.push((queue.at.shard, ShardCommand::DropQueue { queue: id, has_tombstone }));
        }
        if let Some(owner) = queue.exclusive_to
            && let Some(queues) = self.exclusive.get_mut(&owner)
        {
            queues.remove(&id);
            if queues.is_empty() {
                self.exclusive.remove(&owner);
            }
        }
        fx.event(state, "queue.deleted", || named_queue(&queue));
        if queue.is_recorded() {
            fx.ops.push(records::delete_queue(&queue.label.vhost, &queue.label.name));
        }
    }
}
