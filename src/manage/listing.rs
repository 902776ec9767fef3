//! Lists of things in the broker, in the order of their names: which of them a caller is shown, and how each is looked
//! up. The catalog waits while the view is read, and is never to wait long, so an answer holds the keys of what it
//! lists, of queues and exchanges some at a time, and only a few long ones are being given at a time. Writing it while
//! the client takes it is in `listing_body`.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::task::spawn_blocking;

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::listing_body::Listing;
use super::turns::Turn;
use crate::catalog::view::{Vhost, View, ViewState};
use crate::model::ids::Name;

/// Names that are looked up together.
const TOGETHER: usize = 1024;
/// More keys than these are sorted where nobody waits for the thread.
const QUICKLY_SORTED: usize = 4096;

/// A vhost and a name in it.
pub(super) type ListingKey = (Name, Name);

/// Describes all that `keys` finds, in order of the keys. What is gone by the time it would be described is left out.
pub(super) async fn list<K: Ord + Send + 'static>(
    call: &Call<'_>,
    keys: impl FnOnce(&View) -> Vec<K>,
    describe: impl Fn(&View, &K) -> Option<Value> + Send + 'static,
) -> Outcome {
    let turn = call.context.turns.take(&call.caller.name).await?;
    let mut keys = keys(call.view());
    if keys.len() <= QUICKLY_SORTED {
        keys.sort_unstable();
    } else {
        let sorted = spawn_blocking(move || {
            keys.sort_unstable();
            keys
        });
        keys = sorted.await.map_err(|_| Refusal::Stopping)?;
    }
    let mut keys = keys.into_iter();
    let next = move |view: &View| {
        let mut described = None;
        while described.is_none() {
            described = describe(view, &keys.next()?);
        }
        described
    };
    Ok(begin(call, turn, next))
}

fn begin(call: &Call<'_>, turn: Turn, next: impl FnMut(&View) -> Option<Value> + Send + 'static) -> Answer {
    let administrator = call.context.administrator.clone();
    Answer::Listed(Listing::begin(administrator, Arc::clone(call.guest), turn, Box::new(next)))
}

/// The same of things that are found in the state.
pub(super) async fn list_state<K: Ord + Send + 'static>(
    call: &Call<'_>,
    keys: impl FnOnce(&ViewState) -> Vec<K>,
    describe: impl Fn(&ViewState, &K) -> Option<Value> + Send + 'static,
) -> Outcome {
    list(call, |view| keys(&view.read()), move |view, key| describe(&view.read(), key)).await
}

/// The same of things in vhosts: of one vhost, or of all that the caller sees. `names`: those of a vhost behind a name, or
/// all, in order; no more of them are held than are looked at together.
pub(super) async fn list_in_vhosts(
    call: &Call<'_>,
    vhost: Option<&str>,
    names: impl Fn(&Vhost, Option<&Name>, usize) -> Vec<Name> + Send + 'static,
    describe: impl Fn(&ViewState, &ListingKey) -> Option<Value> + Send + 'static,
) -> Outcome {
    let only = vhost.map(|vhost| call.vhost(vhost)).transpose()?;
    let turn = call.context.turns.take(&call.caller.name).await?;
    let wanted = |vhost: &&Vhost| match &only {
        Some(only) => *only == vhost.name,
        None => call.caller.sees(vhost),
    };
    let mut vhosts: Vec<Name> =
        call.view().read().vhosts().filter(wanted).map(|vhost| vhost.name.clone()).collect();
    vhosts.sort_unstable_by(|one, other| other.cmp(one));
    let mut found = VecDeque::new();
    let mut last = None;
    let next = move |view: &View| {
        loop {
            let vhost = vhosts.last()?;
            let Some(name) = found.pop_front() else {
                let state = view.read();
                found = state
                    .vhost(vhost)
                    .map(|vhost| names(vhost, last.as_ref(), TOGETHER))
                    .unwrap_or_default()
                    .into();
                if found.is_empty() {
                    vhosts.pop();
                    last = None;
                }
                continue;
            };
            let key = (vhost.clone(), name);
            let described = describe(&view.read(), &key);
            last = Some(key.1);
            if described.is_some() {
                return described;
            }
        }
    };
    Ok(begin(call, turn, next))
}

/// One of them.
pub(super) fn get_in_vhost(
    call: &Call<'_>,
    vhost: &str,
    name: &str,
    describe: impl Fn(&ViewState, &ListingKey) -> Option<Value>,
) -> Outcome {
    let key = (call.vhost(vhost)?, name.into());
    describe(&call.view().read(), &key).map(Answer::Found).ok_or(Refusal::NotFound)
}
