//! What users may do with the topics of exchanges (semantics 16.5).

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::listing;
use super::permissions::unknown_end;
use crate::catalog::view::{Vhost, ViewState};
use crate::model::administration::{AdministrationError, Change, TopicPermissionSpec};
use crate::model::ids::Name;

pub(super) async fn list(call: &Call<'_>) -> Outcome {
    those(call, None, None).await
}

pub(super) async fn of_vhost(call: &Call<'_>, vhost: &str) -> Outcome {
    call.vhost(vhost)?;
    those(call, Some(vhost), None).await
}

pub(super) async fn of_user(call: &Call<'_>, user: &str) -> Outcome {
    call.user(user)?;
    those(call, None, Some(user)).await
}

/// 404 where there are none.
pub(super) async fn get(call: &Call<'_>, vhost: &str, user: &str) -> Outcome {
    check_any(call, vhost, user)?;
    those(call, Some(vhost), Some(user)).await
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
    check_any(call, vhost, user)?;
    let exchange = exchange.map(|name| if name == "amq.default" { "" } else { name }.into());
    match call.apply(Change::ClearTopicPermissions { vhost: vhost.into(), user: user.into(), exchange }).await
    {
        Err(AdministrationError::NoPermissions { .. }) => Ok(Answer::Done),
        other => Ok(other?.into()),
    }
}

/// 404 where the user has none in the vhost.
fn check_any(call: &Call<'_>, vhost: &str, user: &str) -> Result<(), Refusal> {
    let state = call.view().read();
    let mut of_vhost = state.vhost(vhost).into_iter().flat_map(Vhost::topic_permissions);
    of_vhost.any(|(of, ..)| **of == *user).then_some(()).ok_or(Refusal::NotFound)
}

/// Those of one vhost or all, and of one user or all.
async fn those(call: &Call<'_>, of_vhost: Option<&str>, of_user: Option<&str>) -> Outcome {
    let keys = |state: &ViewState| {
        let in_vhost = |vhost: &Vhost| -> Vec<TopicPermissionKey> {
            let all = vhost.topic_permissions();
            let wanted = all.filter(|(user, ..)| of_user.is_none_or(|only| ***user == *only));
            wanted.map(|(user, exchange, _)| (vhost.name.clone(), user.clone(), exchange.clone())).collect()
        };
        let vhosts = state.vhosts().filter(|vhost| of_vhost.is_none_or(|only| *vhost.name == *only));
        vhosts.flat_map(in_vhost).collect()
    };
    listing::list_state(call, keys, describe).await
}

/// A vhost, a user and an exchange.
type TopicPermissionKey = (Name, Name, Name);

fn describe(state: &ViewState, (vhost, user, exchange): &TopicPermissionKey) -> Option<Value> {
    let TopicPermissionSpec { write, read } = state.vhost(vhost)?.topic_permissions_of(user, exchange)?;
    Some(json!({
        "user": **user, "vhost": **vhost, "exchange": **exchange, "write": **write, "read": **read
    }))
}
