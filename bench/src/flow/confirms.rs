//! The messages a publisher has sent and not heard of, with the time each was sent.

use std::collections::VecDeque;
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Unconfirmed {
    /// By publishing order; None: confirmed before an earlier one was.
    sent: VecDeque<Option<Instant>>,
    /// Messages confirmed and gone from the front of `sent`: the first tag in it is one more.
    settled: u64,
    open: usize,
}

impl Unconfirmed {
    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open
    }

    pub(crate) fn sent(&mut self, count: usize, at: Instant) {
        self.sent.extend(std::iter::repeat_n(Some(at), count));
        self.open += count;
    }

    /// Takes a confirm, calls `each` with the time every message it covers was sent, and returns how many these are.
    /// A tag that is not open covers nothing.
    pub(crate) fn confirm(&mut self, tag: u64, multiple: bool, mut each: impl FnMut(Instant)) -> usize {
        let reach = usize::try_from(tag.saturating_sub(self.settled)).unwrap_or(usize::MAX);
        let reach = reach.min(self.sent.len());
        let from = if multiple { 0 } else { reach.saturating_sub(1) };
        let before = self.open;
        for slot in self.sent.range_mut(from..reach) {
            if let Some(at) = slot.take() {
                each(at);
                self.open -= 1;
            }
        }
        while self.sent.front().is_some_and(Option::is_none) {
            self.sent.pop_front();
            self.settled += 1;
        }
        before - self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirm(unconfirmed: &mut Unconfirmed, tag: u64, multiple: bool) -> usize {
        let mut covered = 0;
        let count = unconfirmed.confirm(tag, multiple, |_| covered += 1);
        assert_eq!(count, covered);
        count
    }

    #[test]
    fn multiple_covers_all_before_it_that_are_open() {
        let mut unconfirmed = Unconfirmed::default();
        unconfirmed.sent(10, Instant::now());
        assert_eq!(confirm(&mut unconfirmed, 3, true), 3);
        assert_eq!(confirm(&mut unconfirmed, 5, false), 1);
        assert_eq!(confirm(&mut unconfirmed, 7, true), 3);
        assert_eq!((unconfirmed.len(), unconfirmed.settled), (3, 7));
    }

    #[test]
    fn confirms_may_come_out_of_order_and_count_once() {
        let mut unconfirmed = Unconfirmed::default();
        unconfirmed.sent(3, Instant::now());
        assert_eq!(confirm(&mut unconfirmed, 2, false), 1);
        assert_eq!(confirm(&mut unconfirmed, 2, false), 0);
        assert_eq!(confirm(&mut unconfirmed, 1, false), 1);
        assert_eq!((unconfirmed.len(), unconfirmed.settled), (1, 2));
        assert_eq!(confirm(&mut unconfirmed, 1, false), 0);
        unconfirmed.sent(1, Instant::now());
        assert_eq!(confirm(&mut unconfirmed, 99, true), 2);
        assert_eq!(unconfirmed.len(), 0);
    }
}
