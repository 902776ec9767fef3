//! Long listings, made a few items at a time: the catalog waits while the view is read, and is never to wait long.

use serde_json::Value;

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use crate::broker::view::ViewState;
use crate::model::ids::Name;

/// How many items are described before others have their turn.
const STEP: usize = 256;

/// A vhost and a name in it.
pub(super) type Key = (Name, Name);

/// Lists what `keys` finds in one vhost, or in all that the caller sees, in order of vhost and name. What is gone by the
/// time it would be described is left out.
pub(super) async fn list(
    call: &Call<'_>,
    vhost: Option<&str>,
    keys: impl Fn(&ViewState) -> Vec<Key>,
    describe: impl Fn(&ViewState, &Key) -> Option<Value>,
) -> Outcome {
    let mut keys = if let Some(vhost) = vhost {
        let vhost = call.vhost(vhost)?;
        let mut keys = keys(&call.view().read());
        keys.retain(|(of, _)| *of == vhost);
        keys
    } else {
        let state = call.view().read();
        let mut keys = keys(&state);
        keys.retain(|(of, _)| state.vhost(of).is_some_and(|vhost| call.caller.sees(vhost)));
        keys
    };
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

/// One of them.
pub(super) fn get(
    call: &Call<'_>,
    vhost: &str,
    name: &str,
    describe: impl Fn(&ViewState, &Key) -> Option<Value>,
) -> Outcome {
    let key = (call.vhost(vhost)?, name.into());
    describe(&call.view().read(), &key).map(Answer::Found).ok_or(Refusal::NotFound)
}
