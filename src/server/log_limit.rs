//! Log lines that the outside can cause as often as it likes are written a few times and then counted: a full disk of
//! logs, or a log in which nothing else can be found, helps nobody. What is logged is not known here.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// For how long lines are counted together.
const WINDOW: Duration = Duration::from_secs(10);

/// Lets at most so many lines through in ten seconds. One for each kind of line, as a `static` beside it:
///
/// ```ignore
/// static REFUSED: LogLimit = LogLimit::new(10);
/// if let Some(kept_back) = REFUSED.permit() {
///     warn!(%peer, kept_back, "refused");
/// }
/// ```
pub(crate) struct LogLimit {
    most: u32,
    state: Mutex<State>,
}

struct State {
    /// When the first line of this window was asked for.
    since: Option<Instant>,
    written: u32,
    kept_back: u64,
}

impl LogLimit {
    /// `most`: lines in ten seconds.
    pub(crate) const fn new(most: u32) -> LogLimit {
        LogLimit { most, state: Mutex::new(State { since: None, written: 0, kept_back: 0 }) }
    }

    /// Whether a line may be written now; it is to say how many of its kind were kept back since the last one.
    pub(crate) fn permit(&self) -> Option<u64> {
        self.permit_at(Instant::now())
    }

    fn permit_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if state.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            (state.since, state.written) = (Some(now), 0);
        }
        if state.written < self.most {
            state.written += 1;
            Some(std::mem::take(&mut state.kept_back))
        } else {
            state.kept_back += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_are_written_in_a_window_and_the_next_one_counts_the_rest() {
        let limit = LogLimit::new(2);
        let start = Instant::now();
        let permits = |at: Duration, tries: usize| -> Vec<Option<u64>> {
            (0..tries).map(|_| limit.permit_at(start + at)).collect()
        };
        assert_eq!(permits(Duration::ZERO, 5), [Some(0), Some(0), None, None, None]);
        assert_eq!(permits(WINDOW - Duration::from_millis(1), 1), [None]);
        assert_eq!(permits(WINDOW, 3), [Some(4), Some(0), None]);
        assert_eq!(permits(3 * WINDOW, 1), [Some(1)]);
    }
}
