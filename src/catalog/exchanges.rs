//! Exchanges: declared, compared, deleted (semantics section 5). What follows from a deletion for bindings is in
//! `removal`.

use leveret_codec::table::{AMQPValue, FieldTable};

use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::{ConnectionId, ExchangeId, Name};
use crate::model::request::{DeclareExchange, Reply};
use crate::model::resource::Resource;
use crate::routing::{ExchangeKind, ExchangeRoutes};

use super::arguments::{check_argument, check_flag, inequivalent, string};
use super::encoded_table::EncodedTable;
use super::events::{EVENT_EXCHANGE, EVENT_VHOST, Fields, TRACE_EXCHANGE, arguments, text};
use super::limits::check_exchange_limit;
use super::policies::{ALTERNATE, Applying, Subject};
use super::queue_arguments::invalid_type;
use super::records::{self, Record};
use super::removal::{Cause, Removal, RemovalTarget};
use super::view::{Exchange, ViewState};
use super::work::{Answer, Task};
use super::{Catalog, CatalogEffects};

/// Predeclared in every vhost (semantics 5.1): name, type, internal. They are made anew at every start and never
/// recorded. The last one is in one vhost alone.
const PREDECLARED: [(&str, ExchangeKind, bool); 8] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    (TRACE_EXCHANGE, ExchangeKind::Topic, true),
    (EVENT_EXCHANGE, ExchangeKind::Topic, true),
];

impl Catalog {
    /// Adds the predeclared exchanges of a vhost.
    pub(super) fn predeclare(&mut self, state: &mut ViewState, vhost: &Name) {
        for (name, kind, internal) in PREDECLARED {
            if name == EVENT_EXCHANGE && &**vhost != EVENT_VHOST {
                continue;
            }
            let exchange = Exchange {
                id: self.next_exchange_id(),
                vhost: vhost.clone(),
                name: name.into(),
                durable: true,
                auto_delete: false,
                internal,
                alternate: None,
                policies: Applying::default(),
                arguments: FieldTable::default(),
                routes: ExchangeRoutes::new(kind, &FieldTable::default()),
            };
            state.add_exchange(exchange);
        }
    }

    pub(super) fn declare_exchange(
        &mut self,
        state: &mut ViewState,
        vhost: &str,
        declare: DeclareExchange,
        refused_if_new: Option<Fault>,
        fx: &mut CatalogEffects,
    ) -> Result<(), Fault> {
        let kind = kind(&declare.kind)?;
        if is_declared(state, vhost, kind, &declare)? {
            return Ok(());
        }
        if declare.name.starts_with("amq.") {
            return Err(reserved("exchange", &declare.name));
        }
        refused_if_new.map_or(Ok(()), Err)?;
        check_exchange_limit(state, Resource::exchange(&declare.name, vhost))?;
        let mut exchange = self.new_exchange(state, vhost, kind, declare)?;
        state.vhost(vhost).into_iter().for_each(|vhost| fx.tell_given_up(vhost));
        if exchange.durable {
            fx.ops.push(record(&exchange).put());
        }
        self.add_internal_queue(&mut exchange, fx);
        fx.event(state, "exchange.created", || described(&exchange));
        state.add_exchange(exchange);
        Ok(())
    }

    /// An exchange with no bindings yet; 406 where its arguments make no sense.
    pub(super) fn new_exchange(
        &mut self,
        state: &ViewState,
        vhost: &str,
        kind: ExchangeKind,
        declare: DeclareExchange,
    ) -> Result<Exchange, Fault> {
        check_arguments(vhost, &declare)?;
        let routes = ExchangeRoutes::new(kind, &declare.arguments);
        let policies = state
            .vhost(vhost)
            .map(|vhost| vhost.policies.applying(Subject::Exchange, &declare.name))
            .unwrap_or_default();
        Ok(Exchange {
            id: self.next_exchange_id(),
            vhost: state.vhost(vhost).map_or_else(|| vhost.into(), |vhost| vhost.name.clone()),
            name: declare.name,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            alternate: policies.alternate(&declare.arguments),
            policies,
            arguments: declare.arguments,
            routes,
        })
    }

    /// Deletes an exchange for a connection, which is answered once it has gone. Ok(false) where there is none: then
    /// nothing is to be waited for.
    pub(super) fn delete_exchange(
        &mut self,
        state: &ViewState,
        connection: ConnectionId,
        vhost: &str,
        name: &str,
        if_unused: bool,
        fx: &CatalogEffects,
    ) -> Result<bool, Fault> {
        let resource = Resource::exchange(name, vhost);
        if name.starts_with("amq.") {
            return Err(Fault::new(
                ReplyCode::AccessRefused,
                format!("deletion of system {resource} not allowed"),
            ));
        }
        let Some(exchange) = state.exchange(vhost, name) else { return Ok(false) };
        if if_unused && !exchange.routes.is_empty() {
            return Err(Fault::precondition(format!("{resource} in use")));
        }
        let removal = Removal::new(Some(RemovalTarget::Exchange(exchange.id)), Cause::Deleted);
        self.begin(Task::Remove(removal), Some(Answer::Connection(connection, Reply::Done)), fx);
        Ok(true)
    }

    /// Takes an exchange out of the view and out of the records; its bindings are gone already.
    pub(super) fn remove_exchange_entry(state: &mut ViewState, id: ExchangeId, fx: &mut CatalogEffects) {
        let Some(exchange) = state.remove_exchange(id) else { return };
        fx.event(state, "exchange.deleted", || identified(&exchange));
        if exchange.durable {
            fx.ops.push(records::delete_exchange(&exchange.vhost, &exchange.name));
        }
        Catalog::drop_internal_queue(&exchange, fx);
    }
}

/// The type of this name; 406 where there is none (semantics 5.4).
/// The type of an exchange that could be declared; 406 where its arguments make no sense.
pub(super) fn check_arguments(vhost: &str, declare: &DeclareExchange) -> Result<ExchangeKind, Fault> {
    if let Some(value) = declare.arguments.inner().get(ALTERNATE)
        && string(value).is_none()
    {
        return Err(invalid_type(ALTERNATE, value, Resource::exchange(&declare.name, vhost)));
    }
    let kind = kind(&declare.kind)?;
    kind.check(&declare.arguments)?;
    Ok(kind)
}

/// The predeclared exchanges of a vhost, with their types.
pub(super) fn predeclared(vhost: &str) -> impl Iterator<Item = (&'static str, ExchangeKind)> {
    let is_here = move |name: &str| name != EVENT_EXCHANGE || vhost == EVENT_VHOST;
    PREDECLARED.into_iter().filter(move |(name, ..)| is_here(name)).map(|(name, kind, _)| (name, kind))
}

pub(crate) fn kind(name: &str) -> Result<ExchangeKind, Fault> {
    ExchangeKind::parse(name).ok_or_else(|| Fault::precondition(format!("unknown exchange type '{name}'")))
}

/// 403: only the broker makes names that start with `amq.` (semantics 5.3, 7.2).
pub(super) fn reserved(what: &str, name: &str) -> Fault {
    Fault::new(ReplyCode::AccessRefused, format!("{what} name '{name}' contains reserved prefix 'amq.*'"))
}

/// Whether the exchange of a declare exists, as the declare says; 406 where it is another one (semantics 5.5).
pub(crate) fn is_declared(
    state: &ViewState,
    vhost: &str,
    kind: ExchangeKind,
    declare: &DeclareExchange,
) -> Result<bool, Fault> {
    let Some(exchange) = state.exchange(vhost, &declare.name) else { return Ok(false) };
    check_equivalent(exchange, kind, declare).map(|()| true)
}

/// Compares a declare with the exchange that exists.
fn check_equivalent(exchange: &Exchange, kind: ExchangeKind, declare: &DeclareExchange) -> Result<(), Fault> {
    let resource = exchange.resource();
    if kind != exchange.kind() {
        return Err(inequivalent("type", resource, kind, exchange.kind()));
    }
    check_flag("durable", resource, declare.durable, exchange.durable)?;
    check_flag("auto_delete", resource, declare.auto_delete, exchange.auto_delete)?;
    check_flag("internal", resource, declare.internal, exchange.internal)?;
    check_argument(ALTERNATE, resource, &declare.arguments, &exchange.arguments)
}

/// A new exchange as events describe it.
pub(super) fn described(exchange: &Exchange) -> Fields {
    let policy = exchange.policies.regular.as_deref().unwrap_or_default();
    let mut fields = identified(exchange);
    fields.extend([
        ("type", text(exchange.kind().as_str())),
        ("durable", AMQPValue::Boolean(exchange.durable)),
        ("auto_delete", AMQPValue::Boolean(exchange.auto_delete)),
        ("internal", AMQPValue::Boolean(exchange.internal)),
        ("arguments", arguments(&exchange.arguments)),
        ("policy", text(policy)),
    ]);
    fields
}

fn identified(exchange: &Exchange) -> Fields {
    vec![("name", text(&*exchange.name)), ("vhost", text(&*exchange.vhost))]
}

fn record(exchange: &Exchange) -> Record {
    Record::Exchange {
        vhost: exchange.vhost.clone(),
        name: exchange.name.clone(),
        kind: exchange.kind().as_str().to_owned(),
        auto_delete: exchange.auto_delete,
        internal: exchange.internal,
        arguments: EncodedTable::new(&exchange.arguments),
    }
}
