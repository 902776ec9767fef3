//! The log of the process for administrators: its last lines, and what is logged, which may be changed while the broker runs. How lines
//! are written is not known here.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many lines are kept, of how many bytes in all, and of how many each.
const MOST_LINES: usize = 1_000;
const MOST_BYTES: usize = 256 << 10;
const LONGEST: usize = 16 << 10;
/// Behind the beginning of a longer one.
const CUT: &str = " ... (cut)";

/// Makes another filter the one that decides, or says what is wrong with it.
type SetFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The log of the process.
pub struct ProcessLog {
    recent: Arc<RecentLines>,
    filter: Mutex<String>,
    set: SetFilter,
}

/// The last lines, numbered from the first that was ever logged.
#[derive(Default)]
pub struct RecentLines {
    kept: Mutex<Kept>,
    arrived: Notify,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<Box<str>>,
    bytes: usize,
    /// The number of the line that comes next.
    next: u64,
}

/// Some lines in a row.
#[derive(Debug, PartialEq, Eq)]
pub struct SomeLines {
    /// Each with its end.
    pub text: String,
    /// How many lines before them are not kept any more.
    pub missed: u64,
    /// The number of the line behind them.
    pub next: u64,
}

impl ProcessLog {
    /// `recent` is where its lines are written, too. `filter` decides now, and `set` makes another one decide.
    pub fn new(
        recent: Arc<RecentLines>,
        filter: &str,
        set: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> ProcessLog {
        ProcessLog { recent, filter: Mutex::new(filter.to_owned()), set: Box::new(set) }
    }

    #[must_use]
    pub fn recent(&self) -> &RecentLines {
        &self.recent
    }

    /// What is logged, as it was given.
    #[must_use]
    pub fn filter(&self) -> String {
        self.filter.lock().clone()
    }

    /// Logs what `filter` lets through from now on, until the next start; or says why that is no filter.
    pub fn set_filter(&self, filter: &str) -> Result<(), String> {
        let mut known = self.filter.lock();
        (self.set)(filter)?;
        filter.clone_into(&mut known);
        Ok(())
    }
}

impl RecentLines {
    /// Adds a line, or several. The oldest ones go where there are too many.
    pub fn add(&self, text: &str) {
        let mut kept = self.kept.lock();
        for line in text.lines() {
            let line: Box<str> = match line.get(..line.floor_char_boundary(LONGEST)) {
                Some(beginning) if beginning.len() < line.len() => format!("{beginning}{CUT}").into(),
                _ => line.into(),
            };
            kept.bytes += line.len();
            kept.next += 1;
            kept.lines.push_back(line);
            while kept.lines.len() > MOST_LINES || kept.bytes > MOST_BYTES {
                let Some(oldest) = kept.lines.pop_front() else { break };
                kept.bytes -= oldest.len();
            }
        }
        drop(kept);
        self.arrived.notify_waiters();
    }

    /// The number of the first of the last `count` lines, or of the oldest that is kept.
    #[must_use]
    pub fn last(&self, count: u64) -> u64 {
        let kept = self.kept.lock();
        kept.next.saturating_sub(count).max(kept.first())
    }

    /// Lines from a number on, up to the end or to about so many bytes.
    #[must_use]
    pub fn from(&self, number: u64, most: usize) -> SomeLines {
        let kept = self.kept.lock();
        let first = number.max(kept.first());
        let (mut text, mut next) = (String::new(), first);
        let skipped = usize::try_from(first - kept.first()).unwrap_or(usize::MAX);
        for line in kept.lines.iter().skip(skipped) {
            if text.len() >= most {
                break;
            }
            text.push_str(line);
            text.push('\n');
            next += 1;
        }
        SomeLines { text, missed: first - number, next }
    }

    /// Returns once there is a line of this number.
    pub async fn reach(&self, number: u64) {
        loop {
            let arrived = self.arrived.notified();
            let mut arrived = pin!(arrived);
            // From here on none is missed.
            arrived.as_mut().enable();
            if self.kept.lock().next > number {
                return;
            }
            arrived.await;
        }
    }
}

impl Kept {
    /// The number of the oldest line.
    fn first(&self) -> u64 {
        self.next - self.lines.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_a_reader_hears_how_many_it_has_missed() {
        let recent = RecentLines::default();
        recent.add("one\n");
        recent.add("two\nthree\n");
        assert_eq!((recent.last(2), recent.last(9), recent.last(0)), (1, 0, 3));
        let two = SomeLines { text: "two\nthree\n".to_owned(), missed: 0, next: 3 };
        assert_eq!(recent.from(1, 1 << 20), two);
        assert_eq!(recent.from(1, 1), SomeLines { text: "two\n".to_owned(), missed: 0, next: 2 });
        for line in 0..MOST_LINES {
            recent.add(&format!("{line}\n"));
        }
        let SomeLines { text, missed, next } = recent.from(1, 3);
        assert_eq!((&*text, missed, next), ("0\n1\n", 2, 5));
        assert_eq!(recent.from(next, 1 << 20).text.lines().count(), MOST_LINES - 2);
    }

    #[test]
    fn what_is_kept_is_bounded_by_bytes_and_a_line_that_is_cut_says_so() {
        let recent = RecentLines::default();
        let long = "ü".repeat(LONGEST);
        for _ in 0..100 {
            recent.add(&long);
        }
        let kept = recent.kept.lock();
        assert!(kept.bytes <= MOST_BYTES && kept.lines.len() >= MOST_BYTES / LONGEST - 1, "{}", kept.bytes);
        assert!(kept.lines.iter().all(|line| line.ends_with("ü ... (cut)")));
        assert_eq!(kept.bytes, kept.lines.iter().map(|line| line.len()).sum::<usize>());
    }

    #[tokio::test]
    async fn whoever_waits_for_a_line_hears_of_it() {
        let recent = Arc::new(RecentLines::default());
        let waiting = tokio::spawn({
            let recent = Arc::clone(&recent);
            async move { recent.reach(1).await }
        });
        recent.add("0\n1\n");
        waiting.await.unwrap();
        recent.reach(0).await;
    }

    #[test]
    fn a_filter_that_is_none_changes_nothing() {
        let set = |filter: &str| if filter == "debug" { Ok(()) } else { Err("no level".to_owned()) };
        let log = ProcessLog::new(Arc::default(), "info", set);
        assert_eq!(log.set_filter("loud"), Err("no level".to_owned()));
        assert_eq!(log.filter(), "info");
        assert_eq!((log.set_filter("debug"), log.filter()), (Ok(()), "debug".to_owned()));
    }
}
