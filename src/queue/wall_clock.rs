//! Times on disk are the wall clock's, those in memory the broker's, which nobody sets. By how much they differ changes
//! when the wall clock is set; what is stored and read back goes by what was so when the message came.

use super::on_first_use::{OnFirstUse, Part};
use crate::model::ids::{Position, Timestamp};

/// How often the wall clock is remembered to have been set, in the life of a process. Beyond that, what came before the
/// oldest time is taken for having come before all of them.
const MOST: usize = 16;

/// By how many milliseconds the wall clock is ahead of the broker's time, from which message on. What was there at the
/// start came when they were the same.
#[derive(Debug, Default)]
pub(super) struct WallClock(OnFirstUse<Vec<(Position, i64)>>);

impl Part for Vec<(Position, i64)> {
    fn none() -> &'static Vec<(Position, i64)> {
        static NONE: Vec<(Position, i64)> = Vec::new();
        &NONE
    }
}

impl WallClock {
    /// It is so much ahead for the messages from here on.
    pub(super) fn set(&mut self, from: Position, ahead: i64) {
        if self.ahead(from) == ahead {
            return;
        }
        self.0.retain(|&(position, _)| position < from);
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push((from, ahead));
    }

    /// How many times it remembers.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A time of a message as it is stored.
    pub(super) fn stored(&self, position: Position, time: Option<Timestamp>) -> Option<Timestamp> {
        time.map(|time| Timestamp(time.0.saturating_add_signed(self.ahead(position))))
    }

    /// A stored time of a message as it is waited for.
    pub(super) fn read(&self, position: Position, time: Option<Timestamp>) -> Option<Timestamp> {
        time.map(|time| Timestamp(time.0.saturating_add_signed(self.ahead(position).saturating_neg())))
    }

    /// A time that is stored of no message that is waited for until then, but later.
    pub(super) fn latest(&self, time: Timestamp) -> Timestamp {
        Timestamp(time.0.saturating_add_signed(self.most_ahead()))
    }

    /// A time before which no message is due of which the stored time is this one or a later one.
    pub(super) fn earliest(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        time.map(|time| Timestamp(time.0.saturating_add_signed(self.most_ahead().saturating_neg())))
    }

    fn most_ahead(&self) -> i64 {
        self.0.iter().map(|&(_, ahead)| ahead).max().unwrap_or(0).max(0)
    }

    fn ahead(&self, position: Position) -> i64 {
        self.0.iter().rev().find(|&&(from, _)| from <= position).map_or(0, |&(_, ahead)| ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_back_is_what_was_stored_however_the_clock_was_set() {
        let mut clock = WallClock::default();
        let time = Some(Timestamp(1_000_000));
        for (from, ahead) in [(10, 5_000), (20, -7_000), (20, 300), (30, 0)] {
            clock.set(Position(from), ahead);
        }
        for (position, stored) in [(9, 1_000_000), (10, 1_005_000), (20, 1_000_300), (31, 1_000_000)] {
            let position = Position(position);
            assert_eq!(clock.stored(position, time), Some(Timestamp(stored)));
            assert_eq!(clock.read(position, clock.stored(position, time)), time);
        }
        assert_eq!(clock.stored(Position(10), None), None);
    }

    #[test]
    fn it_remembers_no_more_than_so_many_times() {
        let mut clock = WallClock::default();
        for step in 1..=100 {
            clock.set(Position(step), i64::try_from(step).unwrap());
        }
        assert_eq!(clock.0.len(), MOST);
        assert_eq!((clock.ahead(Position(100)), clock.ahead(Position(1))), (100, 0));
    }
}
