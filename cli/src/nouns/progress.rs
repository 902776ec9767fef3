//! A bar on a terminal's stderr, for work that takes long.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Columns of the bar itself.
const BAR: usize = 30;
/// Between two looks of the bar; what is done within the first of them shows none.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Progress {
    all: usize,
    done: usize,
    is_shown: bool,
    /// When it is drawn next.
    next: Instant,
    was_drawn: bool,
}

impl Progress {
    pub(super) fn of(all: usize, is_quiet: bool) -> Progress {
        let is_shown = !is_quiet && io::stderr().is_terminal();
        Progress { all, done: 0, is_shown, next: Instant::now() + PAUSE, was_drawn: false }
    }

    /// One more is done.
    pub(super) fn step(&mut self) {
        self.done += 1;
        if self.is_shown && Instant::now() >= self.next {
            draw(&bar(self.done, self.all));
            self.was_drawn = true;
            self.next = Instant::now() + PAUSE;
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        if self.was_drawn {
            draw("");
        }
    }
}

fn bar(done: usize, all: usize) -> String {
    let filled = done.min(all) * BAR / all.max(1);
    format!("[{}{}] {done}/{all}", "#".repeat(filled), " ".repeat(BAR - filled))
}

/// In place of the line that stands there. That it cannot be seen is no reason to stop.
fn draw(line: &str) {
    let mut out = io::stderr();
    let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_is_done() {
        assert_eq!(bar(0, 4), "[                              ] 0/4");
        assert_eq!(bar(2, 4), "[###############               ] 2/4");
        assert_eq!(bar(4, 4), "[##############################] 4/4");
        assert_eq!(bar(0, 0), "[                              ] 0/0");
    }
}
