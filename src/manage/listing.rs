//! Lists of things in the broker, in the order of their names: which of them a caller is shown, and how each is looked
//! up. The catalog waits while the view is read, and is never to wait long, so an answer holds the keys of what it
//! lists, of queues and exchanges some at a time, and only a few long ones are being given at a time. Writing it while
//! the client takes it is in `listing_body`.

use std::sync::Arc;

use serde_json::Value;
use tokio::task::spawn_blocking;

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::listing_body::{Items, Listing};
use super::turns::Turn;
use crate::catalog::view::{Vhost, View, ViewState};
use crate::model::ids::Name;
use crate::model::question::MOST_ASKED;

/// Names that are looked up together, and asked about.
const TOGETHER: usize = MOST_ASKED;
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
    begin(call, turn, Box::new(next)).await
}

async fn begin(call: &Call<'_>, turn: Turn, items: Box<dyn Items>) -> Outcome {
    let (administrator, guest) = (call.context.administrator.clone(), Arc::clone(call.guest));
    Ok(Answer::Listed(Listing::begin(administrator, guest, turn, items).await?))
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
    let names = move |_: &ViewState, vhost: &Vhost, last: Option<&Name>, most| {
        names(vhost, last, most).into_iter().map(|name| (name, ())).collect()
    };
    let items = |mut batches: Batches<()>| {
        let (mut vhost, mut found) = (Name::default(), Vec::new().into_iter());
        move |view: &View| {
            loop {
                let Some((name, ())) = found.next() else {
                    let (next, names) = batches.next(view)?;
                    (vhost, found) = (next, names.into_iter());
                    continue;
                };
                let described = describe(&view.read(), &(vhost.clone(), name));
                if described.is_some() {
                    return described;
                }
            }
        }
    };
    list_batches(call, vhost, names, items).await
}

/// The same where more is known of each name, and `items` says how they are described.
pub(super) async fn list_batches<T: 'static, I: Items + 'static>(
    call: &Call<'_>,
    vhost: Option<&str>,
    names: impl Fn(&ViewState, &Vhost, Option<&Name>, usize) -> Vec<(Name, T)> + Send + 'static,
    items: impl FnOnce(Batches<T>) -> I,
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
    let batches = Batches { vhosts, last: None, names: Box::new(names) };
    begin(call, turn, Box::new(items(batches))).await
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

/// Names in vhosts, some of one vhost at a time.
pub(super) struct Batches<T> {
    /// The next one is the last.
    vhosts: Vec<Name>,
    /// How far the names of that one have come.
    last: Option<Name>,
    names: Box<NamesAfter<T>>,
}

type NamesAfter<T> = dyn Fn(&ViewState, &Vhost, Option<&Name>, usize) -> Vec<(Name, T)> + Send;

impl<T> Batches<T> {
    /// The next names, and their vhost; None behind the last.
    pub(super) fn next(&mut self, view: &View) -> Option<(Name, Vec<(Name, T)>)> {
        loop {
            let vhost = self.vhosts.last()?;
            let state = view.read();
            let found = state.vhost(vhost);
            let names = found.map(|vhost| (self.names)(&state, vhost, self.last.as_ref(), TOGETHER));
            match names.filter(|names| !names.is_empty()) {
                Some(names) => {
                    self.last = names.last().map(|(name, _)| name.clone());
                    return Some((vhost.clone(), names));
                }
                None => {
                    self.vhosts.pop();
                    self.last = None;
                }
            }
        }
    }
}
