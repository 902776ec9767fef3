//! Queues in the order that a listing asks for. What most sort by, a length or a counter, is read from what shards say without describing
//! every queue; of all queues names and what they are sorted by are held, or of a page no more than tells which are on it.

use serde_json::{Map, Value};
use tokio::task::{spawn_blocking, yield_now};

use super::answer::Refusal;
use super::call::Call;
use super::listing::{Batches, ListingKey};
use super::page::{Found, Page};
use super::queue_json::{QueueDescriber, lengths, write_sizes};
use super::sort::{Ranking, Sort, SortKey};
use super::stats;
use crate::catalog::view::View;
use crate::model::ids::QueueRef;
use crate::model::question::QueueCounts;
use crate::model::settings::QueueType;

/// Queues that are described before others have their turn.
const TOGETHER: usize = 32;

/// A queue that is ranked; no two have the same key.
#[derive(Debug)]
struct Ranked(ListingKey, QueueRef);

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.0 == other.0
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

/// Where what is sorted by comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Its own names.
    Key,
    Length(usize),
    /// Among what [`stats::of_queue`] gives.
    Counter(usize),
    /// One of the sizes.
    Size,
    /// The whole description.
    Description,
}

impl Source {
    fn of(sort: &Sort) -> Source {
        let path: Vec<&str> = sort.path().iter().map(String::as_str).collect();
        match path[..] {
            [] => Source::Key,
            [name] => {
                let length = stats::LENGTHS.iter().position(|length| *length == name);
                let is_size = || sizes(&QueueCounts::default(), false).contains_key(name);
                length.map_or_else(
                    || if is_size() { Source::Size } else { Source::Description },
                    Source::Length,
                )
            }
            ["message_stats", name] => {
                stats::place_of_queue(name).map_or(Source::Description, Source::Counter)
            }
            _ => Source::Description,
        }
    }
}

fn sizes(counts: &QueueCounts, is_quorum: bool) -> Map<String, Value> {
    let mut sizes = Map::new();
    write_sizes(&mut sizes, counts, is_quorum);
    sizes
}

/// Puts them in order; of a page, where one is given, those that are on it, and how many there are. 400 where there is no such page.
pub(super) async fn arrange(
    call: &Call<'_>,
    page: Option<&Page>,
    mut batches: Batches<QueueRef>,
    sort: &Sort,
    describer: &QueueDescriber,
) -> Result<(Found, Batches<QueueRef>), Refusal> {
    let source = Source::of(sort);
    let mut found = Found::default();
    let mut ranking = Ranking::of(sort, page.map(Page::part));
    while let Some(mut queues) = batches.next(call.view()) {
        if let Some(page) = page {
            queues.retain(|((_, name), _)| page.wants(name, &mut found));
        }
        let counts = if source == Source::Key {
            vec![Some(QueueCounts::default()); queues.len()]
        } else {
            let asked: Vec<QueueRef> = queues.iter().map(|&(_, at)| at).collect();
            call.context.administrator.counts(&asked).await?
        };
        for (number, ((key, at), counts)) in queues.into_iter().zip(counts).enumerate() {
            let Some(counts) = counts else { continue };
            let by = sorted_by(source, sort, describer, call.view(), (&key, at), &counts);
            ranking.add(by, Ranked(key, at));
            if source == Source::Description && number % TOGETHER == TOGETHER - 1 {
                yield_now().await;
            }
        }
        if ranking.is_long() {
            ranking.prune(drop);
        }
        yield_now().await;
    }
    if let Some(page) = page {
        page.check(found)?;
    }
    let ordered = spawn_blocking(|| ranking.finish()).await.map_err(|_| Refusal::Stopping)?;
    Ok((found, Batches::of(ordered.into_iter().map(|Ranked(key, at)| (key, at)).collect())))
}

fn sorted_by(
    source: Source,
    sort: &Sort,
    describer: &QueueDescriber,
    view: &View,
    (key, at): (&ListingKey, QueueRef),
    counts: &QueueCounts,
) -> SortKey {
    let is_quorum = || {
        let state = view.read();
        state.queue(&key.0, &key.1).is_some_and(|queue| queue.settings.queue_type == QueueType::Quorum)
    };
    match source {
        Source::Key => SortKey::from(0),
        // Only one with dead letters counts otherwise if it is a quorum queue.
        Source::Length(at) => lengths(counts, counts.dead_letters > 0 && is_quorum())[at].into(),
        Source::Counter(at) => stats::of_queue([0; 3], &counts.counters)[at].into(),
        Source::Size => sort.key(&Value::Object(sizes(counts, is_quorum()))),
        Source::Description => match describer.describe(view, key, at, counts) {
            Some(described) => sort.key(&described),
            None => SortKey::from(0),
        },
    }
}
