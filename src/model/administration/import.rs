//! What definitions are made of, once they are read: changes and declarations, in the order in which they can be made. Which file
//! they come from, and what it looks like, is not known here.

use super::Change;
use crate::model::command::BindingEnds;
use crate::model::ids::Name;
use crate::model::request::{Binding, DeclareExchange, DeclareQueue};

/// One of the things that are imported together.
#[derive(Clone, Debug)]
pub enum ImportItem {
    Change(Change),
    /// One that exists stays as it is.
    Exchange {
        vhost: Name,
        declare: DeclareExchange,
    },
    /// One that exists stays as it is.
    Queue {
        vhost: Name,
        declare: DeclareQueue,
    },
    Binding {
        vhost: Name,
        to: BindingEnds,
        binding: Binding,
    },
}

/// Lines of what was left out, at the most.
const MOST_LINES: usize = 10_000;
/// Characters of a line.
const LONGEST_LINE: usize = 1_000;

/// What of an import was not carried out, in words, a line each. Only so many are kept that whoever sends nonsense gets no more of
/// it than he sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    lines: Vec<String>,
    /// How many have no line.
    others: usize,
}

impl LeftOut {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn push(&mut self, what: impl AsRef<str>) {
        if self.lines.len() < MOST_LINES {
            let words: Vec<&str> = what.as_ref().split_whitespace().collect();
            self.lines.push(words.join(" ").chars().take(LONGEST_LINE).collect());
        } else {
            self.others += 1;
        }
    }

    /// Adds what was left out later.
    pub fn append(&mut self, mut later: LeftOut) {
        let kept = later.lines.len().min(MOST_LINES - self.lines.len());
        self.others += later.others + later.lines.len() - kept;
        self.lines.extend(later.lines.drain(..kept));
    }

    /// The lines, and as a last one how many others there are.
    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        let mut lines = self.lines;
        if self.others > 0 {
            lines.push(format!("and {} more", self.others));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_few_and_short() {
        let mut left_out = LeftOut::default();
        assert!(left_out.is_empty());
        left_out.push(format!("a\n  b\tc{}", "x".repeat(5_000)));
        for _ in 0..MOST_LINES {
            left_out.push("x");
        }
        let mut whole = LeftOut::default();
        whole.push("first");
        whole.append(left_out);
        let lines = whole.into_lines();
        assert_eq!(lines.len(), MOST_LINES + 1);
        assert!(lines[1].starts_with("a b cx") && lines[1].len() == LONGEST_LINE);
        assert_eq!(lines.last().map(String::as_str), Some("and 2 more"));
    }
}
