//! Limits of vhosts, users and the whole broker (semantics section 18): set here, and kept to where the catalog
//! makes queues and exchanges. Those of connections and channels are kept to by the port.

use leveret_codec::table::{AMQPValue, FieldTable};

use crate::model::administration::{
    AdministrationError, Applied, NodeLimits, UserLimit, VhostLimit, VhostLimits, bound,
};
use crate::model::fault::Fault;
use crate::model::ids::Name;
use crate::model::resource::Resource;

use super::policies::parameter;
use super::records::Record;
use super::vhosts::{known_vhost, settings_record};
use super::{Catalog, CatalogEffects};
use crate::broker::events::{Fields, number, text};
use crate::broker::view::{Vhost, ViewState};

/// What RabbitMQ calls the parameter that holds the limits of a vhost, and its component.
const LIMITS: &str = "limits";
const VHOST_LIMITS: &str = "vhost-limits";

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
        let (name, limits) = (vhost.name.clone(), vhost.limits);
        fx.event(state, "parameter.set", || {
            let mut value = FieldTable::default();
            for (limit, most) in described(limits) {
                value.insert(limit.into(), most);
            }
            parameter(&name, VHOST_LIMITS, LIMITS, Some(AMQPValue::FieldTable(value)))
        });
        fx.event(state, "vhost.limits.set", || {
            let mut fields = described(limits);
            fields.extend([("name", text(LIMITS)), ("vhost", text(&*name))]);
            fields
        });
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
        let limit = match limit {
            UserLimit::MaxConnections => "max-connections",
            UserLimit::MaxChannels => "max-channels",
        };
        let key = if value.is_some() { "user.limits.set" } else { "user.limits.cleared" };
        fx.event(state, key, || {
            let mut fields = vec![("name", text(LIMITS)), ("username", text(&**user))];
            fields.extend(value.map(|value| (limit, number(value))));
            fields
        });
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

/// The limits of a vhost that is being deleted go with it.
pub(super) fn emit_vhost_limits_cleared(state: &ViewState, vhost: &Vhost, fx: &mut CatalogEffects) {
    if vhost.limits != VhostLimits::default() {
        fx.event(state, "parameter.cleared", || parameter(&vhost.name, VHOST_LIMITS, LIMITS, None));
        fx.event(state, "vhost.limits.cleared", || {
            vec![("name", text(LIMITS)), ("vhost", text(&*vhost.name))]
        });
    }
}

/// The limits that are set, as events describe them.
fn described(limits: VhostLimits) -> Fields {
    let all = [("max-connections", limits.max_connections), ("max-queues", limits.max_queues)];
    all.into_iter().filter_map(|(name, most)| Some((name, number(most?)))).collect()
}

/// 406 where the vhost or the broker has queues enough (semantics 7.17).
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
        Some(most) if state.queues().len() as u64 >= most => Err(Fault::precondition(format!(
            "cannot declare queue '{name}': queue limit in cluster ({most}) is reached"
        ))),
        _ => Ok(()),
    }
}

/// 406 where the broker has exchanges enough (semantics 5.14).
pub(super) fn check_exchange_limit(state: &ViewState, exchange: Resource<'_>) -> Result<(), Fault> {
    match state.node_limits().exchanges {
        Some(most) if state.exchanges().count() as u64 >= most => Err(Fault::precondition(format!(
            "cannot declare {exchange}: exchange limit of {most} is reached"
        ))),
        _ => Ok(()),
    }
}
