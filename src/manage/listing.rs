//! Lists of things in the broker, in the order of their names: which of them a caller is shown, and how each is looked
//! up. The catalog waits while the view is read, and is never to wait long, so an answer holds the keys of what it
//! lists, of queues and exchanges some at a time, and only a few long ones are being given at a time. Writing it while
//! the client takes it is in `listing_body`.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::task::{spawn_blocking, yield_now};

use super::answer::{Answer, Outcome, Refusal};
use super::arranged::{Wanted, arrange};
use super::call::Call;
use super::columns::Columns;
use super::listing_body::{Items, Listing};
use super::page::{Found, Page};
use super::sort::Sort;
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
    let keys = sorted(keys(call.view())).await?;
    begin_keys(call, turn, keys, None, describe).await
}

/// The same, or a page of it where one is asked for. `name`: by which a key is found.
pub(super) async fn list_pages<K: Ord + Send + 'static>(
    call: &Call<'_>,
    keys: impl FnOnce(&View) -> Vec<K>,
    name: impl Fn(&K) -> Option<Name>,
    describe: impl Fn(&View, &K) -> Option<Value> + Send + 'static,
) -> Outcome {
    let Some(page) = Page::read(call.query)? else { return list(call, keys, describe).await };
    let turn = call.context.turns.take(&call.caller.name).await?;
    let (mut found, mut on_page) = (Found::default(), Vec::new());
    for (number, key) in sorted(keys(call.view())).await?.into_iter().enumerate() {
        if name(&key).is_some_and(|name| page.has(&name, &mut found)) {
            on_page.push(key);
        }
        if number % TOGETHER == TOGETHER - 1 {
            yield_now().await;
        }
    }
    page.check(found)?;
    begin_keys(call, turn, on_page, Some((page, found)), describe).await
}

/// Items that know themselves what is listed and in which order; those of a page, where one was asked for.
pub(super) async fn list_items(
    call: &Call<'_>,
    items: Box<dyn Items>,
    page: Option<(Page, Found)>,
) -> Outcome {
    let turn = call.context.turns.take(&call.caller.name).await?;
    begin(call, turn, items, page).await
}

async fn sorted<K: Ord + Send + 'static>(mut keys: Vec<K>) -> Result<Vec<K>, Refusal> {
    if keys.len() <= QUICKLY_SORTED {
        keys.sort_unstable();
    } else {
        let sorted = spawn_blocking(move || {
            keys.sort_unstable();
            keys
        });
        keys = sorted.await.map_err(|_| Refusal::Stopping)?;
    }
    Ok(keys)
}

async fn begin_keys<K: Send + 'static>(
    call: &Call<'_>,
    turn: Turn,
    keys: Vec<K>,
    page: Option<(Page, Found)>,
    describe: impl Fn(&View, &K) -> Option<Value> + Send + 'static,
) -> Outcome {
    let mut keys = keys.into_iter();
    let next = move |view: &View| {
        let mut described = None;
        while described.is_none() {
            described = describe(view, &keys.next()?);
        }
        described
    };
    begin(call, turn, Box::new(next), page).await
}

/// Begins to write items, in the order that is asked for.
pub(super) async fn begin(
    call: &Call<'_>,
    turn: Turn,
    mut items: Box<dyn Items>,
    page: Option<(Page, Found)>,
) -> Outcome {
    if let Some(sort) = Sort::read(call.query) {
        let page = page.as_ref().map(|(page, found)| (page, Some(*found)));
        (items, _) = arrange(call, items, Wanted { sort: Some(&sort), page }).await?;
    }
    begin_in_order(call, turn, items, page).await
}

/// Items that know themselves what is listed, and of a page those that it has, by their names.
pub(super) async fn list_paged_items(call: &Call<'_>, items: Box<dyn Items>) -> Outcome {
    let page = Page::read(call.query)?;
    let turn = call.context.turns.take(&call.caller.name).await?;
    let Some(page) = page else { return begin(call, turn, items, None).await };
    let sort = Sort::read(call.query);
    let wanted = Wanted { sort: sort.as_ref(), page: Some((&page, None)) };
    let (items, found) = arrange(call, items, wanted).await?;
    begin_in_order(call, turn, items, Some((page, found))).await
}

/// The same of items that are in order.
pub(super) async fn begin_in_order(
    call: &Call<'_>,
    turn: Turn,
    items: Box<dyn Items>,
    page: Option<(Page, Found)>,
) -> Outcome {
    let (administrator, guest) = (call.context.administrator.clone(), Arc::clone(call.guest));
    let columns = Columns::read(call.query);
    Ok(Answer::Listed(Listing::begin(administrator, guest, turn, items, page, columns).await?))
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
    page: Option<Page>,
    names: impl Fn(&Vhost, Option<&Name>, usize) -> Vec<Name> + Send + 'static,
    describe: impl Fn(&ViewState, &ListingKey) -> Option<Value> + Send + 'static,
) -> Outcome {
    let names = move |_: &ViewState, vhost: &Vhost, last: Option<&Name>, most| {
        names(vhost, last, most).into_iter().map(|name| (name, ())).collect()
    };
    let (turn, mut batches) = batches(call, vhost, names).await?;
    let page = match page {
        None => None,
        Some(page) => {
            let found;
            (found, batches) = on_page(call, &page, batches).await?;
            Some((page, found))
        }
    };
    let mut found = Vec::new().into_iter();
    let items = move |view: &View| {
        loop {
            let Some((key, ())) = found.next() else {
                found = batches.next(view)?.into_iter();
                continue;
            };
            let described = describe(&view.read(), &key);
            if described.is_some() {
                return described;
            }
        }
    };
    begin(call, turn, Box::new(items), page).await
}

/// Names in one vhost, or in all that the caller sees, with what more is known of each, and the turn to list them.
pub(super) async fn batches<T: Send + 'static>(
    call: &Call<'_>,
    vhost: Option<&str>,
    names: impl Fn(&ViewState, &Vhost, Option<&Name>, usize) -> Vec<(Name, T)> + Send + 'static,
) -> Result<(Turn, Batches<T>), Refusal> {
    let only = vhost.map(|vhost| call.vhost(vhost)).transpose()?;
    let turn = call.context.turns.take(&call.caller.name).await?;
    let wanted = |vhost: &&Vhost| match &only {
        Some(only) => *only == vhost.name,
        None => call.caller.sees(vhost),
    };
    let mut vhosts: Vec<Name> =
        call.view().read().vhosts().filter(wanted).map(|vhost| vhost.name.clone()).collect();
    vhosts.sort_unstable_by(|one, other| other.cmp(one));
    Ok((turn, Batches::of_vhosts(vhosts, names)))
}

/// Looks at all names first, some at a time, and holds those on the page.
pub(super) async fn on_page<T: Send + 'static>(
    call: &Call<'_>,
    page: &Page,
    mut batches: Batches<T>,
) -> Result<(Found, Batches<T>), Refusal> {
    let (mut found, mut on_page) = (Found::default(), VecDeque::new());
    while let Some(mut names) = batches.next(call.view()) {
        names.retain(|((_, name), _)| page.has(name, &mut found));
        if !names.is_empty() {
            names.shrink_to_fit();
            on_page.push_back(names);
        }
        yield_now().await;
    }
    page.check(found)?;
    Ok((found, Batches(Box::new(move |_| on_page.pop_front()))))
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

/// Names in vhosts, some at a time.
pub(super) struct Batches<T>(Box<NextBatch<T>>);

/// The next names; None behind the last.
type NextBatch<T> = dyn FnMut(&View) -> Option<Vec<(ListingKey, T)>> + Send;

impl<T: Send + 'static> Batches<T> {
    /// Those of these vhosts, of which the next one is the last.
    fn of_vhosts(
        mut vhosts: Vec<Name>,
        names: impl Fn(&ViewState, &Vhost, Option<&Name>, usize) -> Vec<(Name, T)> + Send + 'static,
    ) -> Batches<T> {
        // How far the names of the vhost have come.
        let mut last: Option<Name> = None;
        Batches(Box::new(move |view| {
            loop {
                let vhost = vhosts.last()?;
                let state = view.read();
                let found = state.vhost(vhost);
                let found = found.map(|vhost| names(&state, vhost, last.as_ref(), TOGETHER));
                drop(state);
                if let Some(found) = found.filter(|found| !found.is_empty()) {
                    last = found.last().map(|(name, _)| name.clone());
                    let of_vhost = found.into_iter().map(|(name, more)| ((vhost.clone(), name), more));
                    return Some(of_vhost.collect());
                }
                vhosts.pop();
                last = None;
            }
        }))
    }

    /// These, in this order.
    pub(super) fn of(all: Vec<(ListingKey, T)>) -> Batches<T> {
        let mut all = all.into_iter();
        Batches(Box::new(move |_| {
            let some: Vec<_> = all.by_ref().take(TOGETHER).collect();
            (!some.is_empty()).then_some(some)
        }))
    }

    pub(super) fn next(&mut self, view: &View) -> Option<Vec<(ListingKey, T)>> {
        (self.0)(view)
    }
}
