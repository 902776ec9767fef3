//! What users may do in vhosts (semantics.md 16.1).

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use crate::broker::view::Vhost;
use crate::model::administration::{AdministrationError, Change, PermissionSpec};

pub(super) async fn list(call: &Call<'_>) -> Outcome {
    Ok(those(call, |_, _| true))
}

pub(super) async fn of_vhost(call: &Call<'_>, vhost: &str) -> Outcome {
    call.vhost(vhost)?;
    Ok(those(call, |of, _| *of.name == *vhost))
}

pub(super) async fn of_user(call: &Call<'_>, user: &str) -> Outcome {
    if call.view().read().user(user).is_none() {
        return Err(Refusal::NotFound);
    }
    Ok(those(call, |_, of| of == user))
}

pub(super) async fn get(call: &Call<'_>, vhost: &str, user: &str) -> Outcome {
    let state = call.view().read();
    let vhost = state.vhost(vhost).ok_or(Refusal::NotFound)?;
    let permissions = vhost.permissions_of(user).ok_or(Refusal::NotFound)?;
    Ok(Answer::Found(describe(vhost, user, permissions)))
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

/// Those that are wanted, in order of vhost and user.
fn those(call: &Call<'_>, wanted: impl Fn(&Vhost, &str) -> bool) -> Answer {
    let state = call.view().read();
    let all = state.vhosts().flat_map(|vhost| {
        vhost.permissions().map(move |(user, permissions)| (&vhost.name, user, vhost, permissions))
    });
    let mut found: Vec<_> = all.filter(|(_, user, vhost, _)| wanted(vhost, user)).collect();
    found.sort_unstable_by_key(|(vhost, user, ..)| (*vhost, *user));
    Answer::Found(found.into_iter().map(|(_, user, vhost, spec)| describe(vhost, user, spec)).collect())
}

fn describe(vhost: &Vhost, user: &str, permissions: &PermissionSpec) -> Value {
    let PermissionSpec { configure, write, read } = permissions;
    json!({"user": user, "vhost": *vhost.name, "configure": **configure, "write": **write, "read": **read})
}
