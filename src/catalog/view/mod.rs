//! The view: vhosts, exchanges, queues, users and permissions as they are now. It is the catalog's state, in one
//! copy: the catalog alone changes it, in place; ports and shards read it. `generation` tells when something they
//! remembered may be out of date. What may change, and what follows from a change, is the catalog's; what vhosts, exchanges,
//! queues and users know of themselves is in `entities`.

mod entities;
mod fair_lock;
pub(super) mod named;
pub(crate) mod route_changes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use leveret_codec::table::FieldTable;
use parking_lot::RwLockReadGuard;

use crate::model::administration::{NodeLimits, VhostLimits, VhostMetadata};
use crate::model::fault::Fault;
use crate::model::holdings::{Collection, Holdings};
use crate::model::ids::{Destination, ExchangeId, Name, QueueId, QueueRef, Timestamp};
use crate::model::settings::QueueSettings;
use crate::model::sparse::ShrinkIfSparse;
use crate::routing::{End, ExchangeRoutes, Exchanges};

use crate::catalog::access::Permissions;
use crate::catalog::policies::{self, Applying, Policies, Subject};
use crate::model::maps::{GrowingMap, Map};
use fair_lock::{Changing, FairLock};
use named::Named;
use route_changes::RouteChanges;

pub use entities::{Exchange, Queue, User, Vhost};

/// The state, its generation, and when routes changed.
#[derive(Debug)]
pub struct View {
    generation: AtomicU64,
    state: FairLock<ViewState>,
    pub(crate) route_changes: RouteChanges,
    /// Something is being removed in steps.
    removing: AtomicBool,
    /// The catalog has made records that are not on disk yet.
    unwritten: AtomicBool,
    /// By how many milliseconds the wall clock is ahead of the broker's time.
    wall_ahead: AtomicI64,
}

impl View {
    /// An empty view, for a catalog to fill.
    #[must_use]
    pub fn new() -> Arc<View> {
        let state = ViewState::default();
        Arc::new(View {
            generation: AtomicU64::default(),
            route_changes: state.route_changes.clone(),
            state: FairLock::new(state),
            removing: AtomicBool::default(),
            unwritten: AtomicBool::default(),
            wall_ahead: AtomicI64::default(),
        })
    }

    /// Grows with every change of what administrators change: who may do what, what is traced. Declarations of clients
    /// are no such change; what they do to routes is told by `route_changes`.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The state, for reading. Hold it for as short as you can: the catalog waits meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, ViewState> {
        self.state.read()
    }

    /// What it holds. Vhosts, users and what belongs to them are an administrator's and stay.
    pub(crate) fn holdings(&self, into: &mut Holdings) {
        let View { generation: _, state, route_changes: _, removing: _, unwritten: _, wall_ahead: _ } = self;
        let state = state.read();
        let ViewState { vhosts, exchanges, queues, users: _, node_limits: _, route_changes: _, .. } = &*state;
        into.declared("view: queues", queues);
        // The others are made with their vhost, and never deleted.
        let made = exchanges.values().filter(|exchange| !is_predeclared(&exchange.name));
        into.declared("view: exchanges", &(made.count(), exchanges.size().1));
        let bindings = exchanges.values().map(|exchange| exchange.routes.len());
        into.declared("view: bindings", &bindings.sum::<usize>());
        for vhost in vhosts.values() {
            into.declared("view: names of queues", &vhost.queues.size());
            let made = vhost.exchanges_after(None).filter(|name| !is_predeclared(name));
            into.declared("view: names of exchanges", &(made.count(), vhost.exchanges.size().1));
        }
    }

    /// Whether everything to be seen here is on disk, as far as it has to be. Where it is not, whoever tells that
    /// something exists does so by way of the catalog ([`CatalogCommand::Answer`]), which knows when it is. Ask after
    /// reading.
    ///
    /// [`CatalogCommand::Answer`]: crate::model::command::CatalogCommand::Answer
    #[must_use]
    pub fn is_written(&self) -> bool {
        !self.unwritten.load(Ordering::Acquire)
    }

    /// Told by the catalog: of new records before it gives back the lock of their change.
    pub(crate) fn set_written(&self, written: bool) {
        self.unwritten.store(!written, Ordering::Release);
    }

    /// Whether something is still to be seen here that has to go: what asks for a name may mean it, and has to wait until
    /// it is gone. The catalog knows. Ask while the state is read.
    #[must_use]
    pub fn is_removing(&self) -> bool {
        self.removing.load(Ordering::Acquire)
    }

    /// Told by the catalog: before it gives back the lock of the command that dooms something, and once it has gone.
    pub(crate) fn set_removing(&self, removing: bool) {
        self.removing.store(removing, Ordering::Release);
    }

    /// What people's clocks say at this time of the broker's, for stamps that they read. Nothing is waited for by it.
    #[must_use]
    pub fn wall_time(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add_signed(self.wall_ahead()))
    }

    /// By how many milliseconds the wall clock is ahead of the broker's time.
    #[must_use]
    pub fn wall_ahead(&self) -> i64 {
        self.wall_ahead.load(Ordering::Relaxed)
    }

    /// By how many milliseconds the wall clock is ahead of the broker's time from now on, or behind it.
    pub fn set_wall_ahead(&self, millis: i64) {
        self.wall_ahead.store(millis, Ordering::Relaxed);
    }

    /// The state, for the catalog.
    pub(crate) fn write(&self) -> Changing<'_, ViewState> {
        self.state.write()
    }

    /// Tells of a change by an administrator. To be called before the lock of the change is given back.
    pub(crate) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }
}

fn is_predeclared(exchange: &str) -> bool {
    exchange.is_empty() || exchange.starts_with("amq.")
}

/// All there is, by name and by id.
#[derive(Debug, Default)]
pub struct ViewState {
    vhosts: Map<Name, Vhost>,
    exchanges: GrowingMap<ExchangeId, Exchange>,
    queues: GrowingMap<QueueId, Box<Queue>>,
    users: Map<Name, User>,
    node_limits: NodeLimits,
    /// By name, JSON texts.
    global_parameters: BTreeMap<Name, String>,
    route_changes: RouteChanges,
    /// Queues that were added and removed, those included that were found at the start.
    queues_created: u64,
    queues_deleted: u64,
}

impl ViewState {
    /// How many queues were added and removed, those included that were found at the start.
    #[must_use]
    pub fn queue_churn(&self) -> (u64, u64) {
        (self.queues_created, self.queues_deleted)
    }

    /// How many queues and exchanges there are.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.queues.len(), self.exchanges.len())
    }

    #[must_use]
    pub fn vhost(&self, name: &str) -> Option<&Vhost> {
        self.vhosts.get(name)
    }

    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    #[must_use]
    pub fn queue(&self, vhost: &str, name: &str) -> Option<&Queue> {
        self.queue_by_id(self.vhosts.get(vhost)?.queues.get(name)?)
    }

    #[must_use]
    pub fn queue_by_id(&self, id: QueueId) -> Option<&Queue> {
        self.queues.get(&id).map(|queue| &**queue)
    }

    #[must_use]
    pub fn exchange(&self, vhost: &str, name: &str) -> Option<&Exchange> {
        self.exchanges.get(&self.vhosts.get(vhost)?.exchanges.get(name)?)
    }

    #[must_use]
    pub fn exchange_by_id(&self, id: ExchangeId) -> Option<&Exchange> {
        self.exchanges.get(&id)
    }

    #[must_use]
    pub fn node_limits(&self) -> &NodeLimits {
        &self.node_limits
    }

    /// All vhosts, in no order.
    pub fn vhosts(&self) -> impl Iterator<Item = &Vhost> {
        self.vhosts.values()
    }

    /// All users, in no order.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// All queues, in no order.
    pub fn queues(&self) -> impl ExactSizeIterator<Item = &Queue> {
        self.queues.values().map(|queue| &**queue)
    }

    /// All exchanges, in no order.
    pub fn exchanges(&self) -> impl ExactSizeIterator<Item = &Exchange> {
        self.exchanges.values()
    }

    pub(crate) fn permissions(&self, vhost: &str, user: &str) -> Option<&Permissions> {
        self.vhosts.get(vhost)?.permissions.get(user).map(|permissions| &**permissions)
    }

    /// Binds a queue or exchange to an exchange; false where that was done before. 406 where the type of the exchange does
    /// not take such a binding.
    pub(crate) fn bind(
        &mut self,
        source: ExchangeId,
        end: End<'_>,
        routing_key: &Name,
        arguments: &FieldTable,
    ) -> Result<bool, Fault> {
        let Some(exchange) = self.exchanges.get_mut(&source) else { return Ok(false) };
        let is_new = exchange.routes.bind(end, routing_key.clone(), arguments)?;
        if is_new {
            self.route_changes.rebound(exchange, routing_key);
        }
        Ok(is_new)
    }

    /// Removes a binding; false where there was none.
    pub(crate) fn unbind(
        &mut self,
        source: ExchangeId,
        destination: Destination,
        routing_key: &str,
        arguments: &FieldTable,
    ) -> bool {
        let Some(exchange) = self.exchanges.get_mut(&source) else { return false };
        let was_there = exchange.routes.unbind(destination, routing_key, arguments);
        if was_there {
            self.route_changes.rebound(exchange, routing_key);
        }
        was_there
    }

    /// Gives an exchange that was recorded the queue for what it keeps.
    pub(crate) fn set_internal_queue(&mut self, id: ExchangeId, internal_queue: QueueRef) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.routes.set_internal_queue(internal_queue);
            self.route_changes.changed(id);
        }
    }

    pub(crate) fn add_vhost(&mut self, name: Name) {
        let vhost = Vhost {
            name: name.clone(),
            exchanges: Named::default(),
            queues: Named::default(),
            permissions: Map::default(),
            topic_permissions: Map::default(),
            policies: Policies::default(),
            metadata: VhostMetadata::default(),
            tracing: false,
            limits: VhostLimits::default(),
            protected: false,
        };
        self.vhosts.insert(name, vhost);
    }

    pub(crate) fn remove_vhost(&mut self, name: &str) {
        self.vhosts.remove(name);
    }

    pub(crate) fn vhost_mut(&mut self, name: &str) -> Option<&mut Vhost> {
        self.vhosts.get_mut(name)
    }

    pub(crate) fn vhosts_mut(&mut self) -> impl Iterator<Item = &mut Vhost> {
        self.vhosts.values_mut()
    }

    pub(crate) fn user_mut(&mut self, name: &str) -> Option<&mut User> {
        self.users.get_mut(name)
    }

    pub(crate) fn put_user(&mut self, user: User) {
        self.users.insert(user.name.clone(), user);
    }

    pub(crate) fn remove_user(&mut self, name: &str) -> Option<User> {
        self.users.remove(name)
    }

    /// Names and values, which are JSON texts, in order.
    pub fn global_parameters(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.global_parameters.iter().map(|(name, value)| (name, value.as_str()))
    }

    #[must_use]
    pub fn global_parameter(&self, name: &str) -> Option<&str> {
        self.global_parameters.get(name).map(String::as_str)
    }

    pub(crate) fn set_global_parameter(&mut self, name: Name, value: Option<String>) {
        match value {
            Some(value) => drop(self.global_parameters.insert(name, value)),
            None => drop(self.global_parameters.remove(&name)),
        }
    }

    pub(crate) fn set_node_limits(&mut self, limits: NodeLimits) {
        self.node_limits = limits;
    }

    /// The policies that apply to an exchange now. None to the default exchange, which is as it is.
    pub(crate) fn policies_of_exchange(&self, id: ExchangeId) -> Option<Applying> {
        let exchange = self.exchanges.get(&id).filter(|exchange| !exchange.name.is_empty())?;
        let vhost = self.vhosts.get(&exchange.vhost)?;
        Some(vhost.policies.applying(Subject::Exchange, &exchange.name))
    }

    /// The policies that apply to a queue now, and what they make of its settings.
    pub(crate) fn policies_of_queue(&self, id: QueueId) -> Option<(Applying, Arc<QueueSettings>)> {
        let queue = self.queues.get(&id)?;
        let vhost = self.vhosts.get(&queue.label.vhost)?;
        let subject = Subject::Queue(queue.declared.queue_type);
        let applying = vhost.policies.applying(subject, &queue.label.name);
        let settings = policies::effective(&queue.declared, &queue.arguments, &applying.definition);
        Some((applying, settings))
    }

    /// Has an exchange obey these policies.
    pub(crate) fn obey_as_exchange(&mut self, id: ExchangeId, policies: Applying) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let alternate = policies.alternate(&exchange.arguments);
        exchange.policies = policies;
        if std::mem::replace(&mut exchange.alternate, alternate) != exchange.alternate {
            self.route_changes.changed(id);
        }
    }

    /// Has a queue obey these policies. Returns what its shard is to be told, where that is something else than before.
    pub(crate) fn obey_as_queue(
        &mut self,
        id: QueueId,
        policies: Applying,
        settings: Arc<QueueSettings>,
    ) -> Option<(QueueRef, Arc<QueueSettings>)> {
        let queue = self.queues.get_mut(&id)?;
        queue.policies = policies;
        if settings == queue.settings {
            return None;
        }
        queue.settings = settings;
        Some((queue.at, queue.kept_settings()))
    }

    /// Has everything obey its policies, where no shard has been told anything yet.
    pub(crate) fn apply_all_policies(&mut self) {
        let (exchanges, queues): (Vec<_>, Vec<_>) =
            (self.exchanges.keys().copied().collect(), self.queues.keys().copied().collect());
        for id in exchanges {
            if let Some(policies) = self.policies_of_exchange(id) {
                self.obey_as_exchange(id, policies);
            }
        }
        for id in queues {
            if let Some((policies, settings)) = self.policies_of_queue(id) {
                self.obey_as_queue(id, policies, settings);
            }
        }
    }

    pub(crate) fn add_exchange(&mut self, exchange: Exchange) {
        if let Some(vhost) = self.vhosts.get_mut(&exchange.vhost) {
            vhost.exchanges.insert(&exchange.name, exchange.id);
            self.exchanges.insert(exchange.id, exchange);
            self.route_changes.appeared();
        }
    }

    pub(crate) fn remove_exchange(&mut self, id: ExchangeId) -> Option<Exchange> {
        let exchange = self.exchanges.remove(&id)?;
        self.exchanges.shrink_if_sparse();
        self.route_changes.changed(id);
        if let Some(vhost) = self.vhosts.get_mut(&exchange.vhost) {
            vhost.exchanges.remove(&exchange.name);
        }
        Some(exchange)
    }

    /// Adds a queue, and with it its binding to the default exchange (semantics 5.9).
    pub(crate) fn add_queue(&mut self, queue: Queue) {
        self.queues_created += 1;
        let Some(vhost) = self.vhosts.get_mut(&queue.label.vhost) else { return };
        vhost.queues.insert(&queue.label.name, queue.at.queue);
        if let Some(default) = vhost.exchanges.get("") {
            let end = Destination::Queue(queue.at).into();
            let bound = self.bind(default, end, &queue.label.name, &FieldTable::default());
            debug_assert!(bound.is_ok(), "a direct exchange takes every key");
        }
        self.queues.insert(queue.at.queue, Box::new(queue));
    }

    pub(crate) fn remove_queue(&mut self, id: QueueId) -> Option<Box<Queue>> {
        self.queues_deleted += u64::from(self.queues.contains_key(&id));
        let queue = self.queues.remove(&id)?;
        self.queues.shrink_if_sparse();
        if let Some(vhost) = self.vhosts.get_mut(&queue.label.vhost) {
            vhost.queues.remove(&queue.label.name);
            if let Some(default) = vhost.exchanges.get("").and_then(|id| self.exchanges.get_mut(&id)) {
                default.routes.remove_destination(Destination::Queue(queue.at));
                self.route_changes.rebound(default, &queue.label.name);
            }
        }
        Some(queue)
    }
}

impl Exchanges for ViewState {
    fn routes(&self, id: ExchangeId) -> Option<&ExchangeRoutes> {
        self.exchanges.get(&id).map(|exchange| &exchange.routes)
    }

    fn alternate(&self, id: ExchangeId) -> Option<ExchangeId> {
        let exchange = self.exchanges.get(&id)?;
        let alternate = exchange.alternate.as_ref()?;
        self.vhosts.get(&exchange.vhost)?.exchanges.get(alternate)
    }
}
