//! Listings whose order or page is known only when every item has been described: all are, some at a time, and those that are
//! wanted are held as text until the client has taken them. Of a page no more are held than tell which are on it.

use std::sync::Arc;
use std::time::Duration;
use std::vec;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::timeout;

use super::answer::{Answer, Refusal};
use super::call::Call;
use super::columns::Columns;
use super::listing_body::{Items, Next, next_item};
use super::page::{Found, Page};
use super::sort::{Ranking, Sort, SortKey};
use crate::catalog::view::View;

/// Bytes of text that may be held; what is longer is to be asked for in pages.
const MOST_HELD: usize = 32 << 20;
/// How many listings are arranged at a time, and how long one waits for that.
pub(super) const AT_A_TIME: usize = 2;
const PATIENCE: Duration = Duration::from_secs(10);
/// Items that are described before others have their turn.
const TOGETHER: usize = 32;
/// Where more than these are sorted, nobody waits for the thread.
const QUICKLY_SORTED: usize = 4096;

/// An item's place by itself, and its text.
type Held = (usize, Box<str>);

/// Those in their new order.
struct Arranged {
    held: vec::IntoIter<Held>,
    /// Others may hold as much once these are written.
    _turn: OwnedSemaphorePermit,
}

impl Items for Arranged {
    fn next(&mut self, _view: &View) -> Next {
        self.held.next().map_or(Next::End, |(_, text)| Next::Written(text))
    }
}

/// What is wanted of them.
pub(super) struct Wanted<'a> {
    pub(super) sort: Option<&'a Sort>,
    /// With how many there are, where that is known; otherwise items are found by their names here.
    pub(super) page: Option<(&'a Page, Option<Found>)>,
}

/// Describes all items and puts them in order. 400 where there is no such page, or too much would have to be held; 503 where others
/// are arranging too much.
pub(super) async fn arrange(
    call: &Call<'_>,
    mut items: Box<dyn Items>,
    wanted: Wanted<'_>,
) -> Result<(Box<dyn Items>, Found), Refusal> {
    let arranging: Arc<Semaphore> = Arc::clone(&call.context.arranging);
    let turn = timeout(PATIENCE, arranging.acquire_owned()).await.map_err(|_| Refusal::Busy)?;
    let turn = turn.map_err(|_| Refusal::Stopping)?;
    let columns = Columns::read(call.query);
    let part = wanted.page.as_ref().map(|(page, _)| page.part());
    let mut ranking: Ranking<Held> =
        wanted.sort.map_or_else(|| Ranking::new(false, part), |sort| Ranking::of(sort, part));
    let (mut found, mut held) = (Found::default(), 0);
    let mut number = 0;
    while let Some(item) = next_item(&call.context.administrator, &mut *items).await? {
        number += 1;
        if number % TOGETHER == 0 {
            yield_now().await;
        }
        if let Some((page, None)) = &wanted.page {
            let name = item["name"].as_str().unwrap_or_default();
            if !page.wants(name, &mut found) {
                continue;
            }
        }
        let key = wanted.sort.map_or_else(|| SortKey::from(0), |sort| sort.key(&item));
        let text = text(&columns, item);
        held += text.len();
        ranking.add(key, (number, text));
        if ranking.is_long() || held > MOST_HELD {
            ranking.prune(|(_, text)| held -= text.len());
        }
        if held > MOST_HELD {
            return Err(Refusal::bad("too much to be sorted: ask for a page of it, or for fewer columns"));
        }
    }
    if let Some((page, known)) = wanted.page {
        found = known.unwrap_or(found);
        page.check(found)?;
    }
    let held = if ranking.len() <= QUICKLY_SORTED {
        ranking.finish()
    } else {
        spawn_blocking(|| ranking.finish()).await.map_err(|_| Refusal::Stopping)?
    };
    Ok((Box::new(Arranged { held: held.into_iter(), _turn: turn }), found))
}

/// What a query wants of an answer that is known as a whole: its order, where it is a list, and its columns.
pub(super) fn whole(answer: Answer, query: Option<&str>) -> Answer {
    let Answer::Found(mut found) = answer else { return answer };
    let columns = Columns::read(query);
    let Value::Array(items) = &mut found else { return Answer::Found(columns.select(found)) };
    if let Some(sort) = Sort::read(query) {
        sort.arrange(items);
    }
    for item in items {
        *item = columns.select(item.take());
    }
    Answer::Found(found)
}

fn text(columns: &Columns, item: Value) -> Box<str> {
    columns.select(item).to_string().into()
}
