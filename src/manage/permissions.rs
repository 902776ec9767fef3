//! What users may do in vhosts (semantics 16.1).

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::listing::{self, ListingKey};
use crate::catalog::view::{Vhost, ViewState};
use crate::model::administration::{AdministrationError, Change, PermissionSpec};

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

pub(super) async fn get(call: &Call<'_>, vhost: &str, user: &str) -> Outcome {
    let key = (vhost.into(), user.into());
    describe(&call.view().read(), &key).map(Answer::Found).ok_or(Refusal::NotFound)
}

pub(super) async fn put(call: &mut Call<'_>, vhost: &str, user: &str) -> Outcome {
    let fields = call.fields().await?;
    fields.require(&["configure", "write", "read"])?;
    let permissions = PermissionSpec {
        configure: fields.name("configure")?,
        write: fields.name("write")?,
        read: fields.name("read")?,
    };
    let change = Change::PutPermissions { vhost: vhost.into(), user: user.into(), permissions };
    call.apply(change).await.map(Answer::from).map_err(unknown_end)
}

pub(super) async fn delete(call: &Call<'_>, vhost: &str, user: &str) -> Outcome {
    match call.apply(Change::ClearPermissions { vhost: vhost.into(), user: user.into() }).await {
        Err(AdministrationError::NoVhost(_)) => Err(Refusal::NotFound),
        other => Ok(other?.into()),
    }
}

/// Who gives permissions is told of a missing vhost or user with 400.
pub(super) fn unknown_end(error: AdministrationError) -> Refusal {
    match error {
        AdministrationError::NoVhost(_) | AdministrationError::NoUser(_) => {
            Refusal::bad("vhost_or_user_not_found")
        }
        other => other.into(),
    }
}

/// Those of one vhost or all, and of one user or all.
async fn those(call: &Call<'_>, of_vhost: Option<&str>, of_user: Option<&str>) -> Outcome {
    let keys = |state: &ViewState| {
        let in_vhost = |vhost: &Vhost| -> Vec<ListingKey> {
            let users = vhost.permissions().map(|(user, _)| user);
            let wanted = users.filter(|user| of_user.is_none_or(|only| ***user == *only));
            wanted.map(|user| (vhost.name.clone(), user.clone())).collect()
        };
        let vhosts = state.vhosts().filter(|vhost| of_vhost.is_none_or(|only| *vhost.name == *only));
        vhosts.flat_map(in_vhost).collect()
    };
    listing::list_state(call, keys, describe).await
}

fn describe(state: &ViewState, (vhost, user): &ListingKey) -> Option<Value> {
    let PermissionSpec { configure, write, read } = state.vhost(vhost)?.permissions_of(user)?;
    Some(json!({
        "user": **user, "vhost": **vhost, "configure": **configure, "write": **write, "read": **read
    }))
}
