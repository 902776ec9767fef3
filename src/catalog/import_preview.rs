//! What importing definitions would make, change, leave as it is and leave out, item by item, without doing any of it. Whoever looks holds
//! the view, and so looks at some items at a time.

use crate::model::administration::{
    Change, ImportItem, LeftOut, Password, PolicyKind, UserLimit, UserSpec, VhostLimit,
};
use crate::model::command::BindingEnds;
use crate::model::ids::Name;
use crate::model::request::Binding;

use super::bindings::is_bound;
use super::import::Things;
use super::importing::{NOBODY, cost_of_check};
use super::password::fits;
use super::view::{User, ViewState};

/// Things of each kind that are named; the others are counted.
const MOST_NAMED: usize = 10_000;

/// What an import would do, as far as its items were looked at.
#[derive(Debug, Default)]
pub struct ImportPreview {
    things: Things,
    pub made: Named,
    pub changed: Named,
    /// How many are as they are to be. Queues and exchanges that are there always are.
    pub left_alone: u64,
    pub left_out: LeftOut,
}

/// Things, and how many there are.
#[derive(Debug, Default)]
pub struct Named {
    pub total: u64,
    pub things: Vec<Thing>,
}

/// Something that an item is about.
#[derive(Debug, PartialEq, Eq)]
pub struct Thing {
    /// What it is, in one word.
    pub kind: &'static str,
    pub vhost: Option<Name>,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Makes,
    Changes,
    Leaves,
}

impl ImportPreview {
    /// Looks at an item, as if all before it were carried out. Returns what that has cost, in the measure of an import's steps.
    pub fn look_at(&mut self, state: &ViewState, item: &ImportItem) -> usize {
        let effect = effect(state, item);
        if let Err(why) = self.things.check(state, item) {
            self.left_out.push(why);
        } else {
            match effect {
                Effect::Makes => self.made.add(item),
                Effect::Changes => self.changed.add(item),
                Effect::Leaves => self.left_alone += 1,
            }
        }
        cost_of_check(item)
    }
}

impl Named {
    fn add(&mut self, item: &ImportItem) {
        self.total += 1;
        if self.things.len() < MOST_NAMED {
            self.things.push(thing(item));
        }
    }
}

/// What comes of a value that is to be set, where nothing is what was never set.
fn set<T: PartialEq>(before: Option<T>, after: Option<T>) -> Effect {
    match (before, after) {
        (before, after) if before == after => Effect::Leaves,
        (None, _) => Effect::Makes,
        (Some(_), _) => Effect::Changes,
    }
}

fn effect(state: &ViewState, item: &ImportItem) -> Effect {
    let made_unless = |is_there: bool| if is_there { Effect::Leaves } else { Effect::Makes };
    match item {
        ImportItem::Change(change) => effect_of_change(state, change),
        ImportItem::Exchange { vhost, declare } => {
            made_unless(state.exchange(vhost, &declare.name).is_some())
        }
        ImportItem::Queue { vhost, declare } => made_unless(state.queue(vhost, &declare.name).is_some()),
        ImportItem::Binding { vhost, to, binding } => {
            made_unless(is_bound(state, NOBODY, vhost, *to, binding))
        }
    }
}

fn effect_of_change(state: &ViewState, change: &Change) -> Effect {
    let of_vhost = |name: &Name| state.vhost(name);
    match change {
        Change::PutVhost { name, metadata } => {
            set(of_vhost(name).map(|vhost| &vhost.metadata), Some(metadata))
        }
        Change::PutUser { name, user } => match state.user(name) {
            None => Effect::Makes,
            Some(found) if is_same(found, user) => Effect::Leaves,
            Some(_) => Effect::Changes,
        },
        Change::PutPermissions { vhost, user, permissions } => {
            set(of_vhost(vhost).and_then(|vhost| vhost.permissions_of(user)), Some(permissions))
        }
        Change::PutTopicPermissions { vhost, user, exchange, permissions } => {
            let before = of_vhost(vhost).and_then(|vhost| vhost.topic_permissions_of(user, exchange));
            set(before, Some(permissions))
        }
        Change::PutPolicy { vhost, kind, name, policy } => {
            let before = of_vhost(vhost).and_then(|vhost| vhost.policies.get(*kind, name));
            set(before.map(|before| &before.spec), Some(policy))
        }
        Change::SetVhostLimit { vhost, limit, value } => {
            let before = of_vhost(vhost).map(|vhost| vhost.limits).unwrap_or_default();
            let before = match limit {
                VhostLimit::MaxConnections => before.max_connections,
                VhostLimit::MaxQueues => before.max_queues,
            };
            set(before, *value)
        }
        Change::SetUserLimit { user, limit, value } => {
            let before = state.user(user).map(|user| user.limits).unwrap_or_default();
            let before = match limit {
                UserLimit::MaxConnections => before.max_connections,
                UserLimit::MaxChannels => before.max_channels,
            };
            set(before, *value)
        }
        Change::SetTracing { vhost, on } => {
            set(of_vhost(vhost).map(|vhost| vhost.tracing).filter(|on| *on), Some(true).filter(|_| *on))
        }
        Change::SetVhostProtection { vhost, on } => {
            set(of_vhost(vhost).map(|vhost| vhost.protected).filter(|on| *on), Some(true).filter(|_| *on))
        }
        Change::SetGlobalParameter { name, value } => set(state.global_parameter(name), value.as_deref()),
        // No definitions hold these.
        Change::DeleteVhost { .. }
        | Change::DeleteUser { .. }
        | Change::ClearPermissions { .. }
        | Change::ClearTopicPermissions { .. }
        | Change::DeletePolicy { .. }
        | Change::SetNodeLimits(_) => Effect::Changes,
    }
}

fn is_same(found: &User, user: &UserSpec) -> bool {
    let has_password = match &user.password {
        Password::Plain(password) => fits(Some(&found.password), password.as_bytes()),
        Password::Hash(hash) => found.password_hash() == &**hash,
    };
    has_password && found.tags == user.tags && found.loopback_only == user.loopback_only
}

fn thing(item: &ImportItem) -> Thing {
    let of =
        |kind, vhost: &Name, name: &str| Thing { kind, vhost: Some(vhost.clone()), name: name.to_owned() };
    match item {
        ImportItem::Change(change) => thing_of_change(change),
        ImportItem::Exchange { vhost, declare } => of("exchange", vhost, &declare.name),
        ImportItem::Queue { vhost, declare } => of("queue", vhost, &declare.name),
        ImportItem::Binding { vhost, to, binding } => {
            let Binding { source, destination, routing_key, arguments: _ } = binding;
            let to = match to {
                BindingEnds::Queue => "queue",
                BindingEnds::Exchange => "exchange",
            };
            of("binding", vhost, &format!("from {source} to {to} {destination} by {routing_key:?}"))
        }
    }
}

fn thing_of_change(change: &Change) -> Thing {
    let of =
        |kind, vhost: &Name, name: &str| Thing { kind, vhost: Some(vhost.clone()), name: name.to_owned() };
    let global = |kind, name: &str| Thing { kind, vhost: None, name: name.to_owned() };
    match change {
        Change::PutVhost { name, .. } | Change::DeleteVhost { name } => global("vhost", name),
        Change::PutUser { name, .. } | Change::DeleteUser { name } => global("user", name),
        Change::PutPermissions { vhost, user, .. } | Change::ClearPermissions { vhost, user } => {
            of("permissions", vhost, user)
        }
        Change::PutTopicPermissions { vhost, user, .. }
        | Change::ClearTopicPermissions { vhost, user, .. } => of("topic_permissions", vhost, user),
        Change::PutPolicy { vhost, kind, name, .. } | Change::DeletePolicy { vhost, kind, name } => {
            let kind = match kind {
                PolicyKind::Regular => "policy",
                PolicyKind::Operator => "operator_policy",
            };
            of(kind, vhost, name)
        }
        Change::SetVhostLimit { vhost, limit, .. } => of("vhost_limit", vhost, limit.as_str()),
        Change::SetUserLimit { user, limit, .. } => {
            global("user_limit", &format!("{} of {user}", limit.as_str()))
        }
        Change::SetTracing { vhost, .. } => of("tracing", vhost, vhost),
        Change::SetVhostProtection { vhost, .. } => of("vhost_protection", vhost, vhost),
        Change::SetGlobalParameter { name, .. } => global("global_parameter", name),
        Change::SetNodeLimits(_) => global("node_limits", ""),
    }
}
