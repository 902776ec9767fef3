//! Limits of vhosts and of users (semantics section 18).

use serde_json::{Map, Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::fields::{Fields, integer, wrong};
use super::json::to_amqp;
use super::listing;
use crate::catalog::policies::printed;
use crate::catalog::view::{Vhost, ViewState};
use crate::model::administration::{
    AdministrationError, Change, UserLimit, UserLimits, VhostLimit, VhostLimits,
};
use crate::model::ids::Name;

const VHOST_LIMITS: [VhostLimit; 2] = [VhostLimit::MaxConnections, VhostLimit::MaxQueues];
const USER_LIMITS: [UserLimit; 2] = [UserLimit::MaxConnections, UserLimit::MaxChannels];

/// Of vhosts that have any: of one, or of all that the caller sees. Who monitors sees all.
pub(super) async fn of_vhosts(call: &Call<'_>, only: Option<&str>) -> Outcome {
    let is_seen = |vhost: &Vhost| call.caller.is_monitor() || call.caller.sees(vhost);
    if let Some(name) = only
        && !is_seen(call.view().read().vhost(name).ok_or(Refusal::NotFound)?)
    {
        return Err(Refusal::Missing("Not Found".into()));
    }
    let keys = |state: &ViewState| -> Vec<Name> {
        let seen =
            state.vhosts().filter(|vhost| only.is_none_or(|name| *vhost.name == *name) && is_seen(vhost));
        let limited = seen.filter(|vhost| vhost.limits != VhostLimits::default());
        limited.map(|vhost| vhost.name.clone()).collect()
    };
    let describe = |state: &ViewState, name: &Name| {
        let VhostLimits { max_connections, max_queues } = state.vhost(name)?.limits;
        let value = listed(&[("max-connections", max_connections), ("max-queues", max_queues)]);
        Some(json!({"vhost": **name, "value": value}))
    };
    listing::list_state(call, keys, describe).await
}

/// Of users that have any: of one, or of all.
pub(super) async fn of_users(call: &Call<'_>, only: Option<&str>) -> Outcome {
    only.map(|name| call.user(name)).transpose()?;
    let keys = |state: &ViewState| -> Vec<Name> {
        let wanted = state.users().filter(|user| only.is_none_or(|name| *user.name == *name));
        let limited = wanted.filter(|user| user.limits != UserLimits::default());
        limited.map(|user| user.name.clone()).collect()
    };
    let describe = |state: &ViewState, name: &Name| {
        Some(json!({"user": **name, "value": of_user(&state.user(name)?.limits)}))
    };
    listing::list_state(call, keys, describe).await
}

pub(super) async fn put_vhost(call: &mut Call<'_>, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost_to_change(vhost)?;
    let value = value(&call.fields().await?)?;
    let invalid = |text: String| Refusal::from(AdministrationError::validation(text));
    let limit = vhost_limit_of(name).ok_or_else(|| invalid(unknown(name, &value, "limits")))?;
    let value = Some(integer(name, &value).map_err(invalid)?);
    call.apply(Change::SetVhostLimit { vhost, limit, value }).await?;
    Ok(Answer::Done)
}

/// One that is not set, or is none at all, is no matter.
pub(super) async fn delete_vhost(call: &Call<'_>, vhost: &str, name: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    if let Some(limit) = vhost_limit_of(name) {
        call.apply(Change::SetVhostLimit { vhost, limit, value: None }).await?;
    }
    Ok(Answer::Done)
}

pub(super) async fn put_user(call: &mut Call<'_>, user: &str, name: &str) -> Outcome {
    let value = value(&call.fields().await?)?;
    let (limit, value) = user_limit(name, &value)?;
    match call.apply(Change::SetUserLimit { user: user.into(), limit, value: Some(value) }).await {
        Err(AdministrationError::NoUser(user)) => Err(Refusal::Bad(json!(["no_such_user", *user]))),
        other => {
            other?;
            Ok(Answer::Done)
        }
    }
}

/// One that is not set, or is none at all, is no matter.
pub(super) async fn delete_user(call: &Call<'_>, user: &str, name: &str) -> Outcome {
    call.user(user)?;
    if let Some(limit) = user_limit_of(name) {
        call.apply(Change::SetUserLimit { user: user.into(), limit, value: None }).await?;
    }
    Ok(Answer::Done)
}

/// The limits of a vhost as an object.
pub(super) fn of_vhost(limits: &VhostLimits) -> Value {
    listed(&[("max-connections", limits.max_connections), ("max-queues", limits.max_queues)])
}

/// What sets all limits of a vhost to those given, and takes the others away.
pub(super) fn changes_of_vhost(vhost: &Name, given: &Map<String, Value>) -> Result<Vec<Change>, Refusal> {
    let invalid = |text: String| Refusal::from(AdministrationError::validation(text));
    if let Some((name, value)) = given.iter().find(|(name, _)| vhost_limit_of(name).is_none()) {
        return Err(invalid(unknown(name, value, "limits")));
    }
    let set = |limit: VhostLimit| {
        let name = limit.as_str();
        let value = given.get(name).map(|value| integer(name, value)).transpose().map_err(invalid)?;
        Ok(Change::SetVhostLimit { vhost: vhost.clone(), limit, value })
    };
    VHOST_LIMITS.into_iter().map(set).collect()
}

/// What takes all limits of a vhost away.
pub(super) fn clearing_of_vhost(vhost: &Name) -> impl Iterator<Item = Change> {
    VHOST_LIMITS.into_iter().map(|limit| Change::SetVhostLimit { vhost: vhost.clone(), limit, value: None })
}

/// The limits of a user as an object.
pub(super) fn of_user(limits: &UserLimits) -> Value {
    listed(&[("max-channels", limits.max_channels), ("max-connections", limits.max_connections)])
}

/// Limits that come with a user.
pub(super) fn given_to_user(fields: &Fields) -> Result<Vec<(UserLimit, i64)>, Refusal> {
    match fields.get("limits") {
        None => Ok(Vec::new()),
        Some(Value::Object(limits)) => limits.iter().map(|(name, value)| user_limit(name, value)).collect(),
        Some(other) => Err(wrong("limits", "an object", other)),
    }
}

fn user_limit(name: &str, value: &Value) -> Result<(UserLimit, i64), Refusal> {
    let limit = user_limit_of(name).ok_or_else(|| Refusal::bad(unknown(name, value, "user-limits")))?;
    Ok((limit, integer(name, value).map_err(Refusal::bad)?))
}

fn vhost_limit_of(name: &str) -> Option<VhostLimit> {
    VHOST_LIMITS.into_iter().find(|limit| limit.as_str() == name)
}

fn user_limit_of(name: &str) -> Option<UserLimit> {
    USER_LIMITS.into_iter().find(|limit| limit.as_str() == name)
}

fn value(fields: &Fields) -> Result<Value, Refusal> {
    fields.require(&["value"])?;
    Ok(fields.get("value").cloned().unwrap_or_default())
}

fn unknown(name: &str, value: &Value, of: &str) -> String {
    let value = to_amqp(value).map_or_else(|_| value.to_string(), |value| printed(&value));
    format!("Unrecognised terms [{{<<\"{name}\">>,{value}}}] in {of}")
}

/// Those that are set.
fn listed(limits: &[(&str, Option<i64>)]) -> Value {
    let set = limits.iter().filter_map(|(name, value)| Some(((*name).to_owned(), Value::from((*value)?))));
    Value::Object(set.collect::<Map<_, _>>())
}
