//! What users may do with the topics of exchanges (semantics.md 16.5).

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::permissions::unknown_end;
use crate::model::administration::{AdministrationError, Change, TopicPermissionSpec};

pub(super) async fn list(call: &Call<'_>) -> Outcome {
    Ok(Answer::Found(those(call, None, None).into()))
}

pub(super) async fn of_vhost(call: &Call<'_>, vhost: &str) -> Outcome {
    call.vhost(vhost)?;
    Ok(Answer::Found(those(call, Some(vhost), None).into()))
}

pub(super) async fn of_user(call: &Call<'_>, user: &str) -> Outcome {
    if call.view().read().user(user).is_none() {
        return Err(Refusal::NotFound);
    }
    Ok(Answer::Found(those(call, None, Some(user)).into()))
}

/// 404 where there are none.
pub(super) async fn get(call: &Call<'_>, vhost: &str, user: &str) -> Outcome {
    let found = those(call, Some(vhost), Some(user));
    if found.is_empty() { Err(Refusal::NotFound) } else { Ok(Answer::Found(found.into())) }
}

pub(super) async fn put(call: &mut Call<'_>, vhost: &str, user: &str) -> Outcome {
    let fields = call.fields().await?;
    fields.require(&["exchange", "write", "read"])?;
    let change = Change::PutTopicPermissions {
        vhost: vhost.into(),
        user: user.into(),
        exchange: fields.name("exchange")?,
        permissions: TopicPermissionSpec { write: fields.name("write")?, read: fields.name("read")? },
    };
    call.apply(change).await.map(Answer::from).map_err(unknown_end)
}

/// That of one exchange, or all. 404 where the user has none in the vhost; that it has none of this exchange is no
/// matter.
pub(super) async fn delete(call: &Call<'_>, vhost: &str, user: &str, exchange: Option<&str>) -> Outcome {
    if those(call, Some(vhost), Some(user)).is_empty() {
        return Err(Refusal::NotFound);
    }
    let exchange = exchange.map(|name| if name == "amq.default" { "" } else { name }.into());
    match call.apply(Change::ClearTopicPermissions { vhost: vhost.into(), user: user.into(), exchange }).await
    {
        Err(AdministrationError::NoPermissions { .. }) => Ok(Answer::Done),
        other => Ok(other?.into()),
    }
}

/// Those that are wanted, in order of vhost, user and exchange.
fn those(call: &Call<'_>, of_vhost: Option<&str>, of_user: Option<&str>) -> Vec<Value> {
    let state = call.view().read();
    let vhosts = state.vhosts().filter(|vhost| of_vhost.is_none_or(|name| *vhost.name == *name));
    let all = vhosts.flat_map(|vhost| {
        vhost.topic_permissions().map(|(user, exchange, spec)| ((&vhost.name, user, exchange), spec))
    });
    let mut found: Vec<_> =
        all.filter(|((_, user, _), _)| of_user.is_none_or(|name| ***user == *name)).collect();
    found.sort_unstable_by_key(|(key, _)| *key);
    let described = found.into_iter().map(|((vhost, user, exchange), spec)| {
        json!({
            "user": **user, "vhost": **vhost, "exchange": **exchange, "write": *spec.write, "read": *spec.read
        })
    });
    described.collect()
}
