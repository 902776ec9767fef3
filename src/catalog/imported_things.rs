//! Whether an item of an import can be carried out once all before it were, without doing any of it: against what there is, and what
//! the items before it make. What others do while an import is being carried out is not foreseen.

use leveret_codec::table::FieldTable;

use crate::model::administration::{AdministrationError, Change, ImportItem, Password, VhostLimit, bound};
use crate::model::command::BindingEnds;
use crate::model::fault::Fault;
use crate::model::ids::{Destination, ExchangeId, Name, QueueId, QueueRef, ShardIndex};
use crate::model::request::{Binding, DeclareExchange, DeclareQueue};
use crate::model::resource::Resource;
use crate::model::settings::QueueType;
use crate::routing::{End, ExchangeKind, ExchangeRoutes};

use super::administration::parameters::check_parameter;
use super::administration::{check_expression, check_name};
use super::exchanges::{check_arguments, predeclared};
use super::import::Things;
use super::password::PasswordHash;
use super::pattern::Pattern;
use super::view::{Exchange, Vhost, ViewState};
use super::{policies, queues};

impl Things {
    /// Takes an item in that can be carried out. The error says why one cannot.
    pub(super) fn check(&mut self, state: &ViewState, item: &ImportItem) -> Result<(), String> {
        match item {
            ImportItem::Change(change) => self.check_change(state, change),
            ImportItem::Exchange { vhost, declare } => self.check_exchange(state, vhost, declare),
            ImportItem::Queue { vhost, declare } => self.check_queue(state, vhost, declare),
            ImportItem::Binding { vhost, to, binding } => self.check_binding(state, vhost, *to, binding),
        }
    }

    fn vhost<'a>(&self, state: &'a ViewState, name: &Name) -> Result<Option<&'a Vhost>, String> {
        let there = state.vhost(name);
        if there.is_none() && self.vhosts.get(name).is_none_or(|vhost| !vhost.is_new) {
            return Err(format!("vhost '{name}' does not exist"));
        }
        Ok(there)
    }

    fn user(&self, state: &ViewState, name: &Name) -> Result<(), String> {
        match state.user(name) {
            None if !self.users.contains(name) => Err(format!("user '{name}' does not exist")),
            _ => Ok(()),
        }
    }

    fn check_change(&mut self, state: &ViewState, change: &Change) -> Result<(), String> {
        match change {
            Change::PutVhost { name, .. } => {
                if state.vhost(name).is_none() && !self.vhosts.get(name).is_some_and(|made| made.is_new) {
                    check_name("vhost", name).map_err(text)?;
                    let there = state.vhosts().count() as u64 + self.new_vhosts;
                    if let Some(most) = state.node_limits().vhosts.filter(|most| there >= *most) {
                        return Err(format!("vhost '{name}': the limit of {most} vhosts is reached"));
                    }
                    self.vhosts.entry(name.clone()).or_default().is_new = true;
                    self.new_vhosts += 1;
                }
            }
            Change::PutUser { name, user } => {
                check_name("user", name).map_err(text)?;
                if let Password::Hash(bytes) = &user.password {
                    PasswordHash::checked(bytes.clone())
                        .map_err(|error| format!("user '{name}': {error}"))?;
                }
                self.users.insert(name.clone());
            }
            Change::PutPermissions { vhost, user, permissions } => {
                self.vhost(state, vhost)?;
                self.user(state, user)?;
                for expression in [&permissions.configure, &permissions.write, &permissions.read] {
                    check_expression(expression)
                        .map_err(|why| format!("permissions of user '{user}' in vhost '{vhost}': {why}"))?;
                }
            }
            Change::PutTopicPermissions { vhost, user, exchange, permissions } => {
                let what = || format!("topic permissions of user '{user}' in vhost '{vhost}'");
                self.user(state, user)?;
                if !exchange.is_empty() && self.kind(state, vhost, exchange)?.is_none() {
                    return Err(format!("{}: exchange '{exchange}' does not exist", what()));
                }
                for expression in [&permissions.write, &permissions.read] {
                    check_expression(expression).map_err(|why| format!("{}: {why}", what()))?;
                }
            }
            Change::PutPolicy { vhost, kind, name, policy } => {
                self.vhost(state, vhost)?;
                let what =
                    |error: AdministrationError| format!("policy '{name}' in vhost '{vhost}': {error}");
                check_name("policy", name).map_err(what)?;
                policies::check(*kind, policy, Pattern::parse(&policy.pattern)).map_err(what)?;
            }
            Change::SetVhostLimit { vhost, limit, value } => {
                self.vhost(state, vhost)?;
                if *limit == VhostLimit::MaxQueues {
                    self.vhosts.entry(vhost.clone()).or_default().max_queues = Some(*value);
                }
            }
            Change::SetTracing { vhost, .. } | Change::SetVhostProtection { vhost, .. } => {
                self.vhost(state, vhost)?;
            }
            Change::SetUserLimit { user, .. } => self.user(state, user)?,
            Change::SetGlobalParameter { name, value } => {
                let is_new = state.global_parameter(name).is_none() && !self.parameters.contains(name);
                let there = state.global_parameters().count() + self.parameters.len();
                check_parameter(name, value.as_deref(), is_new, there).map_err(text)?;
                if is_new {
                    self.parameters.insert(name.clone());
                }
            }
            Change::DeleteVhost { .. }
            | Change::DeleteUser { .. }
            | Change::ClearPermissions { .. }
            | Change::ClearTopicPermissions { .. }
            | Change::DeletePolicy { .. }
            | Change::SetNodeLimits(_) => return Err("definitions do not hold such a change".to_owned()),
        }
        Ok(())
    }

    /// One that is there stays as it is.
    fn check_exchange(
        &mut self,
        state: &ViewState,
        vhost: &Name,
        declare: &DeclareExchange,
    ) -> Result<(), String> {
        if self.kind(state, vhost, &declare.name)?.is_some() {
            return Ok(());
        }
        check_name("exchange", &declare.name).map_err(text)?;
        let kind = check_arguments(vhost, declare).map_err(explained)?;
        let there = state.exchanges().len() as u64 + self.new_exchanges;
        if let Some(most) = state.node_limits().exchanges.filter(|most| there >= *most) {
            let exchange = Resource::exchange(&declare.name, vhost);
            return Err(format!("cannot declare {exchange}: exchange limit of {most} is reached"));
        }
        self.new_exchanges += 1;
        let routes = ExchangeRoutes::new(kind, &declare.arguments);
        self.vhosts.entry(vhost.clone()).or_default().exchanges.insert(declare.name.clone(), routes);
        Ok(())
    }

    /// One that is there stays as it is.
    fn check_queue(&mut self, state: &ViewState, of: &Name, declare: &DeclareQueue) -> Result<(), String> {
        let there = self.vhost(state, of)?;
        let name = &declare.name;
        let in_vhost = self.vhosts.entry(of.clone()).or_default();
        if there.is_some_and(|vhost| vhost.queues.get(name).is_some()) || in_vhost.queues.get(name).is_some()
        {
            return Ok(());
        }
        check_name("queue", name).map_err(text)?;
        let queue_type = queues::check_imported(of, declare).map_err(explained)?;
        let limit = in_vhost.max_queues.unwrap_or_else(|| there?.limits.max_queues);
        let in_all = (there.map_or(0, |vhost| vhost.queues.len()) + in_vhost.queues.len()) as u64;
        if let Some(most) = bound(limit).filter(|most| in_all >= *most) {
            return Err(format!(
                "cannot declare queue '{name}': queue limit in vhost '{of}' ({most}) is reached"
            ));
        }
        let in_broker = state.queues().len() as u64 + self.new_queues;
        if let Some(most) = state.node_limits().queues.filter(|most| in_broker >= *most) {
            return Err(format!("cannot declare queue '{name}': queue limit in cluster ({most}) is reached"));
        }
        in_vhost.queues.insert(name.clone(), queue_type);
        self.new_queues += 1;
        Ok(())
    }

    fn check_binding(
        &self,
        state: &ViewState,
        of: &Name,
        to: BindingEnds,
        binding: &Binding,
    ) -> Result<(), String> {
        let Binding { source, destination, routing_key, arguments } = binding;
        let Some(kind) = self.kind(state, of, source)? else {
            return Err(format!(
                "a binding comes from exchange '{source}' in vhost '{of}', which does not exist"
            ));
        };
        let made = self.vhosts.get(of);
        let queue_type = match to {
            BindingEnds::Queue => state
                .queue(of, destination)
                .map(|queue| queue.settings.queue_type)
                .or_else(|| made?.queues.get(destination).copied()),
            BindingEnds::Exchange => self.kind(state, of, destination)?.map(|_| QueueType::default()),
        };
        let Some(queue_type) = queue_type else {
            return Err(format!("a binding leads to '{destination}' in vhost '{of}', which does not exist"));
        };
        let place = match to {
            BindingEnds::Queue => {
                Destination::Queue(QueueRef { queue: QueueId(0), shard: ShardIndex::default() })
            }
            BindingEnds::Exchange => Destination::Exchange(ExchangeId(0)),
        };
        let end = End { destination: place, name: destination, queue_type };
        let checked = match (state.exchange(of, source), made.and_then(|made| made.exchanges.get(source))) {
            (Some(exchange), _) => exchange.routes.check(&end, routing_key, arguments),
            (None, Some(routes)) => routes.check(&end, routing_key, arguments),
            // A predeclared one of a vhost that is made.
            (None, None) => {
                ExchangeRoutes::new(kind, &FieldTable::default()).check(&end, routing_key, arguments)
            }
        };
        checked.map_err(|fault| {
            let why = explained(fault);
            format!("a binding from '{source}' to '{destination}' in vhost '{of}': {why}")
        })
    }

    /// The type of an exchange that is there by then. The predeclared ones of a vhost that is made come with it.
    fn kind(&self, state: &ViewState, of: &Name, name: &Name) -> Result<Option<ExchangeKind>, String> {
        self.vhost(state, of)?;
        let made = self.vhosts.get(of);
        let there = state.exchange(of, name).map(Exchange::kind);
        Ok(there.or_else(|| {
            let made = made?;
            let of_new = || predeclared(of).find(|(known, _)| made.is_new && **known == **name);
            made.exchanges.get(name).map(ExchangeRoutes::kind).or_else(|| Some(of_new()?.1))
        }))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn text(error: AdministrationError) -> String {
    error.to_string()
}

pub(super) fn explained(fault: Fault) -> String {
    fault.explanation.into_owned()
}
