//! Users: listed, made, changed, deleted; passwords come plain or hashed (semantics 16.7, 20.9).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::collections::HashSet;

use super::answer::{Answer, Outcome, Refusal};
use super::auth::{Caller, Right};
use super::call::Call;
use super::fields::{Fields, wrong};
use super::{limits, listing, percent};
use crate::catalog::login::Credentials;
use crate::catalog::view::{User, View, ViewState};
use crate::model::administration::{AdministrationError, Change, HashingAlgorithm, Password, UserSpec};
use crate::model::ids::Name;

/// Who may log in from loopback addresses only, unless it is said otherwise (semantics 1.16).
pub(super) const GUEST: &str = "guest";

pub(super) async fn whoami(call: &Call<'_>) -> Outcome {
    let Caller { name, tags, uid } = &call.caller;
    let tags: Vec<&str> = tags.iter().map(|tag| &**tag).collect();
    Ok(Answer::Found(match uid {
        // No user of the broker.
        Some(uid) => json!({"name": null, "tags": tags, "is_internal_user": false, "uid": uid}),
        None => json!({"name": **name, "tags": tags, "is_internal_user": true}),
    }))
}

pub(super) async fn list(call: &Call<'_>) -> Outcome {
    let keys = |state: &ViewState| -> Vec<Name> { state.users().map(|user| user.name.clone()).collect() };
    let describe = |view: &View, name: &Name| view.read().user(name).map(describe);
    listing::list_pages(call, |view| keys(&view.read()), |name| Some(name.clone()), describe).await
}

/// Those who have permissions in no vhost.
pub(super) async fn list_without_permissions(call: &Call<'_>) -> Outcome {
    let keys = |state: &ViewState| -> Vec<Name> {
        let with: HashSet<&Name> =
            state.vhosts().flat_map(|vhost| vhost.permissions().map(|(user, _)| user)).collect();
        state.users().map(|user| &user.name).filter(|name| !with.contains(name)).cloned().collect()
    };
    let describe = |view: &View, name: &Name| view.read().user(name).map(describe);
    listing::list_pages(call, |view| keys(&view.read()), |name| Some(name.clone()), describe).await
}

/// Deletes several. Those who do not exist are passed over.
pub(super) async fn bulk_delete(call: &mut Call<'_>) -> Outcome {
    let fields = call.fields().await?;
    fields.require(&["users"])?;
    let Some(Value::Array(users)) = fields.get("users") else {
        return Err(wrong("users", "an array of names", fields.get("users").unwrap_or(&Value::Null)));
    };
    let names = users
        .iter()
        .map(|user| user.as_str().map(Name::from).ok_or_else(|| wrong("users", "an array of names", user)));
    for name in names.collect::<Result<Vec<_>, _>>()? {
        match call.apply(Change::DeleteUser { name }).await {
            Err(AdministrationError::NoUser(_)) | Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Answer::Done)
}

/// Who asks, by the name and the password of a form, and what authorizes them from now on.
pub(super) async fn login(call: &mut Call<'_>) -> Outcome {
    let body = call.small_body().await?;
    let text = String::from_utf8(body).map_err(|_| Refusal::NotAuthenticated)?;
    let field = |wanted: &str| {
        let value =
            text.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted)?.1;
        percent::decode(&value.replace('+', " "))
    };
    let (name, password) = field("username").zip(field("password")).ok_or(Refusal::NotAuthenticated)?;
    let token = BASE64_STANDARD.encode(format!("{name}:{password}"));
    let caller = Caller::login(name, password.into_bytes(), call.origin.address(), call.view())?;
    caller.check(Right::Management)?;
    let user = json!({"name": *caller.name, "tags": caller.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), "is_internal_user": true});
    Ok(Answer::Found(json!({"user": user, "token": {"type": "basic", "value": token}})))
}

/// Whether somebody is who they say, without having them log in: it counts for no attempt, and from everywhere.
pub(super) async fn authenticate(call: &mut Call<'_>) -> Outcome {
    let fields = call.fields().await?;
    fields.require(&["user", "password"])?;
    let text = |name| fields.text(name).map(Option::unwrap_or_default);
    let (user, password) = (text("user")?.to_owned(), text("password")?.as_bytes().to_vec());
    let credentials = Credentials { user, password: Some(password) };
    let checked = credentials.check(&call.view().read(), true).map(|_| ());
    Ok(Answer::Found(match checked {
        Ok(()) => json!({"authenticated": true}),
        Err(wrong) => json!({"authenticated": false, "reason": wrong.explained(&credentials.user)}),
    }))
}

/// Those who may log in from loopback addresses alone.
pub(super) async fn loopback_users(call: &Call<'_>) -> Outcome {
    let state = call.view().read();
    let mut names: Vec<&str> =
        state.users().filter(|user| user.loopback_only).map(|user| &*user.name).collect();
    names.sort_unstable();
    Ok(Answer::Found(json!({"users": names})))
}

/// Says who they are: all others may log in from everywhere. It outlives a restart, as all of a user does.
pub(super) async fn put_loopback_users(call: &mut Call<'_>) -> Outcome {
    let fields = call.fields().await?;
    fields.require(&["users"])?;
    let wanted: HashSet<Name> = fields.words("users")?.unwrap_or_default().into_iter().collect();
    for name in &wanted {
        if call.view().read().user(name).is_none() {
            return Err(Refusal::Missing(format!("user '{name}' does not exist").into()));
        }
    }
    let others: Vec<(Name, UserSpec)> = {
        let state = call.view().read();
        let changed = state.users().filter(|user| user.loopback_only != wanted.contains(&user.name));
        let spec = |user: &User| UserSpec {
            password: Password::Hash(user.password_hash().to_vec()),
            tags: user.tags.clone(),
            loopback_only: !user.loopback_only,
        };
        changed.map(|user| (user.name.clone(), spec(user))).collect()
    };
    for (name, user) in others {
        call.apply(Change::PutUser { name, user }).await?;
    }
    Ok(Answer::Done)
}

/// The hash of a password with a salt of its own, as a user's `password_hash`.
pub(super) async fn hash_password(call: &Call<'_>, password: &str) -> Outcome {
    let hash = call.context.administrator.hash_password(password);
    Ok(Answer::Found(json!({"ok": BASE64_STANDARD.encode(hash)})))
}

pub(super) async fn get(call: &Call<'_>, name: &str) -> Outcome {
    call.view().read().user(name).map(describe).map(Answer::Found).ok_or(Refusal::NotFound)
}

/// A user for whom no password is given has none.
pub(super) async fn put(call: &mut Call<'_>, name: &str) -> Outcome {
    let fields = call.fields().await?;
    let tags = fields.words("tags")?.ok_or_else(|| Refusal::bad("tags_not_present"))?;
    let password = password(&fields)?;
    let limits = limits::given_to_user(&fields)?;
    let name: Name = name.into();
    let loopback_only = {
        let state = call.view().read();
        state.user(&name).map_or(*name == *GUEST, |user| user.loopback_only)
    };
    let user = UserSpec { password, tags, loopback_only };
    let applied = call.apply(Change::PutUser { name: name.clone(), user }).await?;
    for (limit, value) in limits {
        call.apply(Change::SetUserLimit { user: name.clone(), limit, value: Some(value) }).await?;
    }
    Ok(applied.into())
}

pub(super) async fn delete(call: &Call<'_>, name: &str) -> Outcome {
    call.change(Change::DeleteUser { name: name.into() }).await
}

pub(super) fn password(fields: &Fields) -> Result<Password, Refusal> {
    let hash = match (fields.text("password")?, fields.text("password_hash")?) {
        (Some(_), Some(_)) => return Err(Refusal::bad("both_password_and_password_hash_are_provided")),
        (Some(password), None) => return Ok(Password::Plain(password.to_owned())),
        (None, None) => return Ok(Password::Plain(String::new())),
        (None, Some(hash)) => hash,
    };
    let bytes = BASE64_STANDARD.decode(hash).map_err(|_| Refusal::Bad(json!(["not_base64", hash])))?;
    if let Some(word) = fields.text("hashing_algorithm")? {
        let algorithm = HashingAlgorithm::parse(word).ok_or_else(|| {
            wrong(
                "hashing_algorithm",
                "rabbit_password_hashing_sha256, rabbit_password_hashing_sha512 or rabbit_password_hashing_md5",
                &word.into(),
            )
        })?;
        if !bytes.is_empty() && bytes.len() != algorithm.length() {
            let (length, found) = (algorithm.length(), bytes.len());
            return Err(Refusal::bad(format!("password_hash has {found} bytes; {word} has {length}")));
        }
    }
    Ok(Password::Hash(bytes))
}

pub(super) fn describe(user: &User) -> Value {
    let tags: Vec<&str> = user.tags.iter().map(|tag| &**tag).collect();
    let hash = user.password_hash();
    let algorithm = HashingAlgorithm::of(hash).unwrap_or(HashingAlgorithm::Sha256);
    json!({
        "name": *user.name,
        "password_hash": BASE64_STANDARD.encode(hash),
        "hashing_algorithm": algorithm.as_str(),
        "tags": tags,
        "limits": limits::of_user(&user.limits),
    })
}
