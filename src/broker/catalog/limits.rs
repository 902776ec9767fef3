//! Limits of vhosts, users and the whole broker (semantics.md section 18): set here, and kept to where the catalog
//! makes queues and exchanges. Those of connections and channels are kept to by the port.

use crate::model::administration::{AdministrationError, Applied, NodeLimits, UserLimit, VhostLimit, bound};
use crate::model::fault::Fault;
use crate::model::ids::Name;
use crate::model::resource::Resource;

use super::records::Record;
use super::vhosts::{known_vhost, settings_record};
use super::{Catalog, CatalogEffects};
use crate::broker::view::ViewState;

impl Catalog {
    pub(super) fn set_vhost_limit(
        state: &mut ViewState,
        vhost: &Name,
        limit: VhostLimit,
        value: Option<i64>,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let vhost = known_vhost(state, vhost)?;
        match limit {
            VhostLimit::MaxConnections => vhost.limits.max_connections = value,
            VhostLimit::MaxQueues => vhost.limits.max_queues = value,
        }
        fx.ops.push(settings_record(vhost).put());
        Ok(Applied::Changed)
    }

    pub(super) fn set_user_limit(
        state: &mut ViewState,
        user: &Name,
        limit: UserLimit,
        value: Option<i64>,
        fx: &mut CatalogEffects,
    ) -> Result<Applied, AdministrationError> {
        let known = state.user_mut(user).ok_or_else(|| AdministrationError::NoUser(user.clone()))?;
        match limit {
            UserLimit::MaxConnections => known.limits.max_connections = value,
            UserLimit::MaxChannels => known.limits.max_channels = value,
        }
        fx.ops.push(Record::UserLimits { user: known.name.clone(), limits: known.limits }.put());
        Ok(Applied::Changed)
    }

    pub(super) fn set_node_limits(
        state: &mut ViewState,
        limits: NodeLimits,
        fx: &mut CatalogEffects,
    ) -> Applied {
        state.set_node_limits(limits);
        fx.ops.push(Record::NodeLimits(limits).put());
        Applied::Changed
    }
}

/// 406 where the vhost or the broker has queues enough (7.17).
pub(super) fn check_queue_limits(state: &ViewState, vhost: &str, name: &str) -> Result<(), Fault> {
    let of_vhost = state.vhost(vhost).and_then(|vhost| {
        let most = bound(vhost.limits.max_queues)?;
        (vhost.queues.len() as u64 >= most).then_some(most)
    });
    if let Some(most) = of_vhost {
        return Err(Fault::precondition(format!(
            "cannot declare queue '{name}': queue limit in vhost '{vhost}' ({most}) is reached"
        )));
    }
    match state.node_limits().queues {
        Some(most) if state.queues().count() as u64 >= most => Err(Fault::precondition(format!(
            "cannot declare queue '{name}': queue limit in cluster ({most}) is reached"
        ))),
        _ => Ok(()),
    }
}

/// 406 where the broker has exchanges enough (5.14).
pub(super) fn check_exchange_limit(state: &ViewState, exchange: Resource<'_>) -> Result<(), Fault> {
    match state.node_limits().exchanges {
        Some(most) if state.exchanges().count() as u64 >= most => Err(Fault::precondition(format!(
            "cannot declare {exchange}: exchange limit of {most} is reached"
        ))),
        _ => Ok(()),
    }
}
