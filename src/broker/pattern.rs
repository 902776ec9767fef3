//! Regular expressions as administrators write them: searched for without anchors, look-around included, because
//! RabbitMQ's may have it. What they are matched against is with permissions and policies.

use fancy_regex::{Regex, RegexBuilder};

/// How often one match may go back and try again, some tens of microseconds: nobody's pattern makes the broker stand
/// still. Expressions without look-around and back references never go back.
const MOST_BACKTRACKS: usize = 1_000;

/// A match took too long to be found or excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GaveUp;

/// An expression. One that cannot be read matches nothing.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Everything,
    Nothing,
    Matching(Regex),
}

impl Pattern {
    /// Reads an expression; the error is one line.
    pub(super) fn parse(expression: &str) -> Result<Pattern, String> {
        match expression {
            "" | ".*" => Ok(Pattern::Everything),
            _ => RegexBuilder::new(expression)
                .backtrack_limit(MOST_BACKTRACKS)
                .build()
                .map(Pattern::Matching)
                .map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned()),
        }
    }

    /// Reads an expression that was checked before.
    pub(super) fn new(expression: &str) -> Pattern {
        Pattern::parse(expression).unwrap_or(Pattern::Nothing)
    }

    /// An expression of a permission: the empty one allows the empty name alone (semantics 16.1).
    pub(super) fn of_permission(expression: &str) -> Pattern {
        Pattern::new(if expression.is_empty() { "^$" } else { expression })
    }

    /// Whether it is found in `text`; one that takes too long is not.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.search(text).unwrap_or(false)
    }

    /// Whether it is found in `text`.
    pub(super) fn search(&self, text: &str) -> Result<bool, GaveUp> {
        match self {
            Pattern::Everything => Ok(true),
            Pattern::Nothing => Ok(false),
            Pattern::Matching(regex) => regex.is_match(text).map_err(|_| GaveUp),
        }
    }
}

/// The text as an expression that matches just it.
pub(super) fn escaped(text: &str) -> String {
    fancy_regex::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_around_is_understood_and_nonsense_matches_nothing() {
        let not_ours = Pattern::new(r"^(?!amq\.)");
        assert!(not_ours.matches("orders") && !not_ours.matches("amq.topic"));
        assert!(!Pattern::new("(").matches("("));
        assert!(Pattern::parse("(").is_err_and(|why| !why.contains('\n') && !why.is_empty()));
    }

    #[test]
    fn a_match_that_takes_too_long_is_none() {
        // Every way to share the letters out is tried before the last one, which fits.
        let slow = Pattern::new(r"^(a|aa)+(?=b)\1?b$|c$");
        assert!(slow.matches("c"));
        assert!(!slow.matches(&format!("{}c", "a".repeat(40))));
    }

    #[test]
    fn an_empty_permission_allows_the_empty_name_alone() {
        assert!(Pattern::of_permission("").matches("") && !Pattern::of_permission("").matches("x"));
        assert!(Pattern::new("").matches("x"));
    }
}
