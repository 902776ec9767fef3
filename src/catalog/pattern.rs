//! Regular expressions as administrators write them: searched for without anchors, look-around included, because
//! RabbitMQ's may have it. What they are matched against is with permissions and policies.

use std::fmt;

use fancy_regex::{Regex, RegexBuilder};

/// Bytes of an expression at the most.
const LONGEST: usize = 4096;
/// Bytes that an expression may take once it is compiled, and each part of one with look-around that needs none itself. It
/// takes some milliseconds to compile that much.
const MOST_COMPILED: usize = 256 << 10;
/// Instructions that one with look-around or back references may become.
const MOST_PROGRAM: usize = 256;
/// Bytes that an expression may keep for states it has met before.
const MOST_STATES: usize = 256 << 10;

/// How often one match may go back and try again, some tens of microseconds: nobody's pattern makes the broker stand
/// still. Expressions without look-around and back references never go back.
const MOST_BACKTRACKS: usize = 1_000;
/// Nearly all that go back do so less often.
const FEW_BACKTRACKS: usize = 64;

/// What an expression that never goes back may take once it is compiled, in bytes, and what it counts as then, in steps
/// back, for each [`PIECE`] bytes of a text.
const PRICES: [(usize, usize); 3] = [(2 << 10, 16), (32 << 10, 250), (MOST_COMPILED, 1_000)];
const PIECE: usize = 32;

/// A match took too long to be found or excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GaveUp;

/// What may be spent on one text by all who look for something in it, in steps back: ten milliseconds, about.
#[derive(Debug)]
pub(crate) struct MatchBudget(usize);

impl Default for MatchBudget {
    fn default() -> Self {
        MatchBudget(200_000)
    }
}

impl MatchBudget {
    /// Where there is not enough left for one, there is nothing left for those behind it.
    fn spend(&mut self, steps: usize) -> Result<(), GaveUp> {
        let left = self.0.checked_sub(steps);
        self.0 = left.unwrap_or(0);
        left.map(drop).ok_or(GaveUp)
    }
}

/// An expression. One that cannot be read matches nothing.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Everything,
    Nothing,
    /// It never goes back, and counts as so much.
    Plain(Regex, usize),
    /// With a bound that few need to exceed, and with the last one.
    Backtracking(Regex, Regex),
}

/// Prints how an expression was compiled.
struct Compiled<'a>(&'a Regex);

impl fmt::Display for Compiled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug_print(f)
    }
}

impl Pattern {
    /// Reads an expression; the error is one line. It may be too long, or become too large.
    pub(crate) fn parse(expression: &str) -> Result<Pattern, String> {
        if matches!(expression, "" | ".*") {
            return Ok(Pattern::Everything);
        }
        if expression.len() > LONGEST {
            let length = expression.len();
            return Err(format!("it is {length} bytes long; at most {LONGEST} are allowed"));
        }
        let mut last = Err(String::new());
        for (size, price) in PRICES {
            last = compile(expression, FEW_BACKTRACKS, size).map(|regex| (regex, price));
            if last.is_ok() {
                break;
            }
        }
        let (few, price) = last?;
        if Compiled(&few).to_string().starts_with("wrapped") {
            return Ok(Pattern::Plain(few, price));
        }
        Ok(Pattern::Backtracking(few, compile(expression, MOST_BACKTRACKS, MOST_COMPILED)?))
    }

    /// Reads an expression that was checked before.
    pub(crate) fn new(expression: &str) -> Pattern {
        Pattern::parse(expression).unwrap_or(Pattern::Nothing)
    }

    /// An expression of a permission: the empty one allows the empty name alone (semantics 16.1).
    pub(crate) fn of_permission(expression: &str) -> Pattern {
        Pattern::new(if expression.is_empty() { "^$" } else { expression })
    }

    /// Whether it is found in `text`; one that takes too long is not.
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.search(text, &mut MatchBudget::default()).unwrap_or(false)
    }

    /// Whether it is found in `text`, as far as there is something left to be spent on that.
    pub(crate) fn search(&self, text: &str, budget: &mut MatchBudget) -> Result<bool, GaveUp> {
        match self {
            Pattern::Everything => Ok(true),
            Pattern::Nothing => Ok(false),
            Pattern::Plain(regex, price) => {
                budget.spend(price * (1 + text.len() / PIECE))?;
                regex.is_match(text).map_err(|_| GaveUp)
            }
            Pattern::Backtracking(few, most) => {
                budget.spend(FEW_BACKTRACKS)?;
                if let Ok(found) = few.is_match(text) {
                    return Ok(found);
                }
                budget.spend(MOST_BACKTRACKS)?;
                most.is_match(text).map_err(|_| GaveUp)
            }
        }
    }
}

fn compile(expression: &str, backtracks: usize, size: usize) -> Result<Regex, String> {
    RegexBuilder::new(expression)
        .backtrack_limit(backtracks)
        .delegate_size_limit(size)
        .delegate_dfa_size_limit(MOST_STATES)
        .max_prog_size(MOST_PROGRAM)
        .build()
        .map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned())
}

/// The text as an expression that matches just it.
pub(crate) fn escaped(text: &str) -> String {
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
    fn what_is_too_long_or_too_large_is_refused() {
        let long = Pattern::parse(&"a".repeat(LONGEST + 1));
        assert!(long.is_err_and(|why| why.contains("4096")));
        assert!(Pattern::parse(&"a".repeat(LONGEST)).is_ok());
        for large in [r"\w{20}", "(?:a{500}){500}", r"(?=\w{20})", r"(?=a)b"].map(|part| part.repeat(300)) {
            let refused = Pattern::parse(&large);
            assert!(refused.is_err_and(|why| !why.is_empty() && !why.contains('\n')), "{large}");
        }
    }

    #[test]
    fn what_people_write_is_neither_long_nor_large() {
        let names: Vec<_> = (0..150).map(|number| format!(r"team-{number}\.events")).collect();
        for usual in [
            r"^\w+\.\w+$",
            r"^(?!amq\.)\w+$",
            r"^(?!\w+\.dlq$)\w+\.\w+$",
            r"(?i)^orders\.(in|out)\.[a-z0-9_-]{1,64}$",
            r"\p{L}+\d{4}-\d{2}-\d{2}",
            &names.join("|"),
        ] {
            assert!(Pattern::parse(usual).is_ok(), "{usual}");
        }
    }

    #[test]
    fn one_budget_holds_for_all_and_what_is_left_of_it_bounds_the_steps_back() {
        let nasty = Pattern::new(r"^(a|aa)+(?=b)\1?b$|^a+");
        let text = "a".repeat(30);
        let mut budget = MatchBudget::default();
        let tried = (0..1000).filter(|_| {
            let left = budget.0;
            nasty.search(&text, &mut budget) == Err(GaveUp) && left - budget.0 > FEW_BACKTRACKS
        });
        assert_eq!(tried.count(), 1 + 200_000 / (FEW_BACKTRACKS + MOST_BACKTRACKS));
        assert_eq!(budget.0, 0);
        let mut budget = MatchBudget::default();
        let plain = Pattern::new("^orders");
        assert!(matches!(plain, Pattern::Plain(_, 16)));
        let tried = std::iter::from_fn(|| plain.search(&text, &mut budget).ok());
        assert_eq!(tried.count(), 200_000 / 16, "that is many policies");
    }

    #[test]
    fn an_empty_permission_allows_the_empty_name_alone() {
        assert!(Pattern::of_permission("").matches("") && !Pattern::of_permission("").matches("x"));
        assert!(Pattern::new("").matches("x"));
    }
}
