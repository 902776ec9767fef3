//! Limits of vhosts, users and the whole broker (semantics section 18), set. Those of queues and exchanges are kept to in
//! `catalog::limits`, those of connections and channels by `catalog::clients`.

use leveret_codec::table::{AMQPValue, FieldTable};

use crate::model::administration::{
    AdministrationError, Applied, NodeLimits, UserLimit, VhostLimit, VhostLimits,
};
use crate::model::ids::Name;

use super::policies::parameter;
use super::{known_vhost, settings_record};
use crate::catalog::events::{Fields, number, text};
use crate::catalog::records::Record;
use crate::catalog::view::{Vhost, ViewState};
use crate::catalog::{Catalog, CatalogEffects};

/// What RabbitMQ calls the parameter that holds the limits of a vhost, and its component.
const LIMITS: &str = "limits";
const VHOST_LIMITS: &str = "vhost-limits";

impl Catalog {
    pub(in crate::catalog) fn set_vhost_limit(
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

    pub(in crate::catalog) fn set_user_limit(
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
        let key = if value.is_some() { "user.limits.set" } else { "user.limits.cleared" };
        fx.event(state, key, || {
            let mut fields = vec![("name", text(LIMITS)), ("username", text(&**user))];
            fields.extend(value.map(|value| (limit.as_str(), number(value))));
            fields
        });
        Ok(Applied::Changed)
    }

    pub(in crate::catalog) fn set_node_limits(
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
pub(in crate::catalog) fn emit_vhost_limits_cleared(
    state: &ViewState,
    vhost: &Vhost,
    fx: &mut CatalogEffects,
) {
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
