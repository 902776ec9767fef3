//! When ready messages came: not a time for each, but marks, each of which says when the messages from a position on came.
//! A queue that is empty after every turn has none. Where there are many marks those of old messages are thinned out: what is
//! told of a message is never too late, and too early by no more than a part of its age.

use crate::model::ids::{Position, Timestamp};

/// Marks that a queue has at the most: of 16 bytes each.
const MOST: usize = 128;
/// By which part of its age a message may be told to be older than it is, from the best to what has to do.
const PARTS: [u64; 5] = [8, 4, 2, 1, 0];

/// When the messages from a position on came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    first: Position,
    time: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// In order. At position 0 stands one of which nothing else is known than that they came by then.
    marks: Vec<Mark>,
    /// The stretch between two marks that was looked up last: most messages are asked about in order.
    looked_up: Option<(Mark, Position)>,
}

impl Arrivals {
    pub(super) const NONE: Arrivals = Arrivals { marks: Vec::new(), looked_up: None };

    /// At the end of a pump there are ready messages, those from `first` on being new where `are_new`.
    pub(super) fn remain(&mut self, first: Position, are_new: bool, now: Timestamp) {
        if self.marks.is_empty() && !are_new {
            self.marks.push(Mark { first: Position(0), time: now });
        }
        if !are_new || self.marks.last().is_some_and(|mark| now <= mark.time) {
            return;
        }
        if self.marks.len() == MOST {
            self.thin_out(now);
        }
        self.marks.push(Mark { first, time: now });
        self.looked_up = None;
    }

    /// There are none.
    #[inline]
    pub(super) fn forget(&mut self) {
        if !self.marks.is_empty() {
            self.marks.clear();
            self.looked_up = None;
        }
    }

    /// When the message at this position came; None where it came before anything is known of.
    pub(super) fn of(&mut self, position: Position) -> Option<Timestamp> {
        if let Some((mark, end)) = self.looked_up
            && mark.first <= position
            && position < end
        {
            return Some(mark.time);
        }
        let next = self.marks.partition_point(|mark| mark.first <= position);
        let mark = *self.marks.get(next.checked_sub(1)?)?;
        if mark.first == Position(0) {
            return None;
        }
        let end = self.marks.get(next).map_or(Position(u64::MAX), |mark| mark.first);
        self.looked_up = Some((mark, end));
        Some(mark.time)
    }

    /// Since when there has been a message at this position, or by when it was there.
    pub(super) fn since(&self, position: Position) -> Option<Timestamp> {
        let next = self.marks.partition_point(|mark| mark.first <= position);
        // One that came back stands before all others.
        self.marks.get(next.saturating_sub(1)).map(|mark| mark.time)
    }

    /// Takes marks away that tell little: where the messages between the one before it and the one behind it are of about
    /// the same age.
    fn thin_out(&mut self, now: Timestamp) {
        for part in PARTS {
            let mut kept = 0;
            for at in 1..self.marks.len() {
                let (before, mark) = (self.marks[kept], self.marks[at]);
                let tells_little = self.marks.get(at + 1).is_some_and(|behind| {
                    let (apart, age) = (behind.time.0 - before.time.0, now.0.saturating_sub(behind.time.0));
                    part == 0 || apart.saturating_mul(part) <= age
                });
                if !tells_little {
                    kept += 1;
                    self.marks[kept] = mark;
                }
            }
            self.marks.truncate(kept + 1);
            if self.marks.len() <= MOST * 3 / 4 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_never_too_late_and_too_early_by_a_part_of_the_age() {
        let mut arrivals = Arrivals::default();
        // Ten messages each millisecond for ten minutes, as a backlog that grows.
        let end = 600_000;
        for now in 1..=end {
            arrivals.remain(Position(now * 10), true, Timestamp(now));
            assert!(arrivals.marks.len() <= MOST);
        }
        for came in (1..=end).step_by(997) {
            let told = arrivals.of(Position(came * 10 + 9)).unwrap().0;
            let age = end - came;
            assert!(told <= came && came - told <= age / 2 + 1, "came at {came}, told {told}");
        }
    }

    #[test]
    fn what_was_there_before_has_been_there_at_least_since() {
        let mut arrivals = Arrivals::default();
        arrivals.remain(Position(7), false, Timestamp(100));
        arrivals.remain(Position(7), true, Timestamp(200));
        assert_eq!((arrivals.of(Position(6)), arrivals.since(Position(6))), (None, Some(Timestamp(100))));
        assert_eq!(arrivals.of(Position(7)), Some(Timestamp(200)));
        assert_eq!(arrivals.of(Position(6)), None, "what was looked up last is another stretch");
        arrivals.forget();
        assert_eq!((arrivals.of(Position(7)), arrivals.since(Position(7))), (None, None));
    }

    #[test]
    fn one_that_came_back_before_all_marks_is_as_old_as_the_oldest_of_them() {
        let mut arrivals = Arrivals::default();
        arrivals.remain(Position(7), true, Timestamp(200));
        assert_eq!((arrivals.of(Position(3)), arrivals.since(Position(3))), (None, Some(Timestamp(200))));
    }
}
