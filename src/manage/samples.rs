//! What counters were when somebody looked: two samples of a thing tell its rate, a row of them what happened in the last
//! minutes. Nothing is sampled of what nobody asks for, but for the sums of the node and its vhosts (`sampler`). Memory is
//! bounded by how many things are known here; of those beyond there are no rates.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use crate::model::ids::{ChannelNumber, ConnectionId, ExchangeId, QueueRef, Timestamp};

/// How far samples are apart at the least, in milliseconds.
pub(super) const APART: u64 = 5_000;
/// For how long something is sampled that nobody asks for any more, in milliseconds.
pub(super) const REMEMBERED: u64 = 60_000;
/// Samples of a row: those of ten minutes.
const ROW: usize = 121;
/// Things of which samples are kept, and those of them that have a row.
const MOST_THINGS: usize = 16_384;
const MOST_ROWS: usize = 256;

/// What counters of a thing were; which ones these are, who asks knows.
type Values = Box<[u64]>;

/// Samples, oldest first.
#[derive(Debug, Default)]
pub(super) struct Series(VecDeque<(u64, Values)>);

impl Series {
    /// Adds a sample, where the last one is old enough. `most`: how many are kept.
    pub(super) fn add(&mut self, at: Timestamp, values: &[u64], most: usize) {
        if self.0.back().is_some_and(|(last, _)| at.0 < last + APART - APART / 10) {
            return;
        }
        while self.0.len() >= most {
            self.0.pop_front();
        }
        self.0.push_back((at.0, values.into()));
    }

    /// The same of a row.
    pub(super) fn add_to_row(&mut self, at: Timestamp, values: &[u64]) {
        self.add(at, values, ROW);
    }

    fn row(&self, count: usize) -> Vec<(u64, u64)> {
        let at = |(at, values): &(u64, Values)| Some((*at, *values.get(count)?));
        self.0.iter().rev().filter_map(at).collect()
    }

    /// A row of each counter, none of which is known to change.
    fn rows_alone(&self, counters: usize) -> Rates {
        Rates { per_second: vec![0.0; counters], rows: (0..counters).map(|at| self.row(at)).collect() }
    }

    /// How all counters have changed per second since an earlier sample, and a row of what they were; None before there is
    /// an earlier one.
    pub(super) fn rates(&self, at: Timestamp, values: &[u64]) -> Option<Rates> {
        // A sample that was made just now tells nothing.
        let earlier = self.0.iter().rev().find(|(earlier, _)| at.0 >= earlier + APART / 2)?;
        let seconds = millis(at.0 - earlier.0) / 1000.0;
        let per_second =
            values.iter().zip(&earlier.1).map(|(now, before)| difference(*now, *before) / seconds);
        Some(Rates {
            per_second: per_second.collect(),
            rows: (0..values.len()).map(|at| self.row(at)).collect(),
        })
    }
}

/// What is told of counters besides their values.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    pub(super) per_second: Vec<f64>,
    /// Times and values, newest first.
    pub(super) rows: Vec<Vec<(u64, u64)>>,
}

#[allow(clippy::cast_precision_loss, reason = "no count of milliseconds or messages is that large")]
fn millis(number: u64) -> f64 {
    number as f64
}

/// Lengths may fall.
pub(super) fn difference(now: u64, before: u64) -> f64 {
    if now >= before { millis(now - before) } else { -millis(before - now) }
}

/// Something that has counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Thing {
    Queue(QueueRef),
    Exchange(ExchangeId),
    Connection(ConnectionId),
    Channel(ConnectionId, ChannelNumber),
}

#[derive(Debug)]
struct Kept {
    series: Series,
    /// When somebody asked last.
    asked: Timestamp,
    has_row: bool,
}

/// The samples of things.
#[derive(Debug, Default)]
pub(super) struct Things {
    known: HashMap<Thing, Kept, RandomState>,
    rows: usize,
    /// When room was looked for last, because there was none.
    swept: Timestamp,
}

impl Things {
    /// Somebody asks about a thing, whose counters are this. Returns what is known of them; None where nothing is. Whoever asks for
    /// a row is told of the one sample that is made now, and of a rate of 0, as by RabbitMQ.
    pub(super) fn look(
        &mut self,
        now: Timestamp,
        thing: Thing,
        values: &[u64],
        wants_row: bool,
    ) -> Option<Rates> {
        if self.known.len() >= MOST_THINGS && !self.known.contains_key(&thing) {
            // Whoever lists more than there is room for does not have all of them looked at for each one.
            if now.0.saturating_sub(self.swept.0) >= APART {
                self.swept = now;
                self.forget(now);
            }
            if self.known.len() >= MOST_THINGS {
                return None;
            }
        }
        let new = || Kept { series: Series::default(), asked: now, has_row: false };
        let kept = self.known.entry(thing).or_insert_with(new);
        kept.asked = now;
        if wants_row && !kept.has_row && self.rows < MOST_ROWS {
            kept.has_row = true;
            self.rows += 1;
        }
        let rates = kept.series.rates(now, values);
        kept.series.add(now, values, if kept.has_row { ROW } else { 2 });
        rates.or_else(|| wants_row.then(|| kept.series.rows_alone(values.len())))
    }

    /// Forgets what nobody has asked for in the last minute.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let rows = &mut self.rows;
        self.known.retain(|_, kept| {
            let stays = now.0.saturating_sub(kept.asked.0) <= REMEMBERED;
            *rows -= usize::from(!stays && kept.has_row);
            stays
        });
        if self.known.capacity() > 64 && self.known.len() < self.known.capacity() / 4 {
            self.known.shrink_to_fit();
        }
    }

    /// Queues that have a row, to be sampled though nobody asks at the moment.
    pub(super) fn queues_with_row(&self) -> Vec<QueueRef> {
        let with_row = self.known.iter().filter(|(_, kept)| kept.has_row);
        let queues = with_row.filter_map(|(thing, _)| match thing {
            Thing::Queue(at) => Some(*at),
            _ => None,
        });
        queues.collect()
    }

    /// A sample that nobody has asked for at the moment.
    pub(super) fn add(&mut self, now: Timestamp, thing: Thing, values: &[u64]) {
        if let Some(kept) = self.known.get_mut(&thing) {
            kept.series.add(now, values, ROW);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1000;

    fn thing(number: u64) -> Thing {
        Thing::Connection(ConnectionId(number))
    }

    #[test]
    fn a_rate_is_there_from_the_second_sample_on() {
        let mut things = Things::default();
        assert!(things.look(Timestamp(0), thing(1), &[10, 100], false).is_none());
        let rates = things.look(Timestamp(5 * SECOND), thing(1), &[20, 90], false).unwrap();
        assert_eq!(rates.per_second, [2.0, -2.0]);
        let rates = things.look(Timestamp(6 * SECOND), thing(1), &[26, 90], false).unwrap();
        assert_eq!(rates.per_second[0], 16.0 / 6.0, "the last sample is too young");
    }

    #[test]
    fn whoever_asks_for_a_row_gets_one_at_once() {
        let mut things = Things::default();
        let first = things.look(Timestamp(SECOND), thing(1), &[10, 100], true).unwrap();
        assert_eq!(
            (first.per_second, first.rows),
            (vec![0.0, 0.0], vec![vec![(SECOND, 10)], vec![(SECOND, 100)]])
        );
        let soon = things.look(Timestamp(2 * SECOND), thing(1), &[20, 100], true).unwrap();
        assert_eq!((soon.per_second[0], soon.rows[0].len()), (0.0, 1), "the one sample is too young");
        let later = things.look(Timestamp(6 * SECOND), thing(1), &[20, 100], true).unwrap();
        assert_eq!(later.per_second[0], 2.0);
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten_and_there_is_a_bound() {
        let mut things = Things::default();
        for number in 0..MOST_THINGS as u64 + 10 {
            things.look(Timestamp(0), thing(number), &[1], true);
        }
        assert_eq!((things.known.len(), things.rows), (MOST_THINGS, MOST_ROWS));
        assert!(things.look(Timestamp(REMEMBERED + 1), thing(99_999), &[1], false).is_none());
        assert_eq!((things.known.len(), things.rows), (1, 0));
    }

    #[test]
    fn a_row_is_as_long_as_ten_minutes() {
        let mut things = Things::default();
        for round in 0..500 {
            things.look(Timestamp(round * 5 * SECOND), thing(1), &[round], true);
        }
        let rates = things.look(Timestamp(500 * 5 * SECOND), thing(1), &[500], true).unwrap();
        assert_eq!((rates.rows[0].len(), rates.rows[0][0]), (ROW, (499 * 5 * SECOND, 499)));
    }
}
