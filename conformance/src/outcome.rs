//! How a case ends, and the small checks it is made of.

use std::fmt::Debug;

/// Why a case stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    Fail(String),
    Skip(String),
}

/// What a case and all steps of one hand back.
pub(crate) type Step<T = ()> = Result<T, Stop>;

/// Ends the case as failed.
pub(crate) fn fail<T>(reason: impl Into<String>) -> Step<T> {
    Err(Stop::Fail(reason.into()))
}

pub(crate) fn ensure(holds: bool, otherwise: &str) -> Step {
    if holds { Ok(()) } else { fail(otherwise) }
}

pub(crate) fn equal<T: PartialEq + Debug>(what: &str, seen: T, expected: T) -> Step {
    if seen == expected { Ok(()) } else { fail(format!("{what}: expected {expected:?}, saw {seen:?}")) }
}

/// Whether a text fits a pattern in which `*` stands for anything.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("abc*", "abcd", true),
            ("*c*", "abcd", true),
            ("a*d", "abcd", true),
            ("a*c", "abcd", false),
            ("*", "", true),
            ("", "a", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
