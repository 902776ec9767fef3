//! Listings, made a few items at a time: the catalog waits while the view is read, and is never to wait long.

use serde_json::Value;

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use crate::broker::view::ViewState;
use crate::model::ids::Name;

/// How many items are described before others have their turn.
const STEP: usize = 256;

/// A vhost and a name in it.
pub(super) type Key = (Name, Name);

/// Describes all that `keys` finds, in order of the keys. What is gone by the time it would be described is left out.
pub(super) async fn list<K: Ord>(
    call: &Call<'_>,
    keys: impl FnOnce(&ViewState) -> Vec<K>,
    describe: impl Fn(&ViewState, &K) -> Option<Value>,
) -> Outcome {
    let mut keys = keys(&call.view().read());
    keys.sort_unstable();
    let mut listed = Vec::with_capacity(keys.len());
    for step in keys.chunks(STEP) {
        {
            let state = call.view().read();
            listed.extend(step.iter().filter_map(|key| describe(&state, key)));
        }
        tokio::task::yield_now().await;
    }
    Ok(Answer::Found(Value::Array(listed)))
}

/// The same of things in vhosts: of one vhost, or of all that the caller sees.
pub(super) async fn list_in_vhosts(
    call: &Call<'_>,
    vhost: Option<&str>,
    keys: impl FnOnce(&ViewState) -> Vec<Key>,
    describe: impl Fn(&ViewState, &Key) -> Option<Value>,
) -> Outcome {
    let only = vhost.map(|vhost| call.vhost(vhost)).transpose()?;
    let keys = |state: &ViewState| {
        let mut keys = keys(state);
        keys.retain(|(vhost, _)| match &only {
            Some(only) => only == vhost,
            None => state.vhost(vhost).is_some_and(|vhost| call.caller.sees(vhost)),
        });
        keys
    };
    list(call, keys, describe).await
}

/// One of them.
pub(super) fn get_in_vhost(
    call: &Call<'_>,
    vhost: &str,
    name: &str,
    describe: impl Fn(&ViewState, &Key) -> Option<Value>,
) -> Outcome {
    let key = (call.vhost(vhost)?, name.into());
    describe(&call.view().read(), &key).map(Answer::Found).ok_or(Refusal::NotFound)
}
