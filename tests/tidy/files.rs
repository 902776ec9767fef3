//! What a file looks like by itself: its head, its length, what is left in it, and what may panic.

use super::source::{Source, has_word, numbered};
use super::{Violation, is_test_path, lines};

/// Most lines of a file.
const MAX_LINES: usize = 500;

/// Rule 5: every file starts by saying what lives in it.
pub(crate) fn head(_path: &str, source: &Source<'_>) -> Vec<Violation> {
    let described = source
        .text
        .strip_prefix("//!")
        .is_some_and(|rest| !rest.lines().next().unwrap_or("").trim().is_empty());
    if described {
        Vec::new()
    } else {
        vec![(1, "the file does not start with //! and what lives in it".to_owned())]
    }
}

/// Rule 6: files can be read in one sitting, and nothing unfinished is left in them.
pub(crate) fn length_and_leftovers(_path: &str, source: &Source<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        violations.push((MAX_LINES, format!("{lines} lines, {MAX_LINES} at most")));
    }
    for (line, text) in numbered(source.text) {
        for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
            if has_word(text, word) {
                violations.push((line, format!("{word} is left")));
            }
        }
    }
    for (line, code) in numbered(&source.code) {
        for name in ["dbg!", "todo!", "unimplemented!"] {
            if has_word(code, name) {
                violations.push((line, format!("{name} is left")));
            }
        }
    }
    violations
}

/// Whatever may panic in the product says why it does not, on its line or the one before.
pub(crate) fn panics(path: &str, source: &Source<'_>) -> Vec<Violation> {
    if is_test_path(path)
        || !["src/", "cli/src/", "codec/src/"].iter().any(|product| path.starts_with(product))
    {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (line, code) in numbered(&source.product) {
        let reasoned = [line, line - 1].iter().any(|line| source.commented.contains(line));
        for name in [".unwrap()", ".expect(", "panic!"] {
            let there = if name == "panic!" { has_word(code, name) } else { code.contains(name) };
            if there && !reasoned {
                violations.push((line, format!("{name} without a comment that says why it cannot fail")));
            }
        }
    }
    violations
}

#[test]
fn a_file_without_a_head_is_found() {
    for text in ["", "use std::fmt;", "// no\n", "//!\n//! late", "\n//! late"] {
        assert_eq!(lines(head, "src/x.rs", text), [1], "{text:?}");
    }
    assert!(lines(head, "src/x.rs", "//! What lives here.\n").is_empty());
}

#[test]
fn long_files_and_leftovers_are_found() {
    assert_eq!(lines(length_and_leftovers, "src/x.rs", &"\n".repeat(501)), [500]);
    assert!(lines(length_and_leftovers, "src/x.rs", &"\n".repeat(500)).is_empty());
    for word in ["TO", "FIX", "XX"].into_iter().zip(["DO", "ME", "X"]).map(|(a, b)| format!("{a}{b}")) {
        assert_eq!(lines(length_and_leftovers, "src/x.rs", &format!("\n// {word}: later")), [2]);
        assert!(lines(length_and_leftovers, "src/x.rs", &format!("// A{word}")).is_empty());
    }
    for text in ["fn f() { dbg!(1); }", "fn f() { todo!() }", "fn f() { unimplemented!(\"x\") }"] {
        assert_eq!(lines(length_and_leftovers, "src/x.rs", text), [1], "{text}");
    }
    assert!(lines(length_and_leftovers, "src/x.rs", "// dbg!(1)\nlet s = \"todo!()\";").is_empty());
}

#[test]
fn a_panic_without_a_reason_is_found() {
    for text in ["f().unwrap();", "f().expect(\"x\");", "panic!(\"x\");", "// why\n\nf().unwrap();"] {
        assert_eq!(lines(panics, "src/queue/mod.rs", text).len(), 1, "{text}");
        assert_eq!(lines(panics, "codec/src/table.rs", text).len(), 1, "{text}");
        assert_eq!(lines(panics, "cli/src/broker/mod.rs", text).len(), 1, "{text}");
        for path in
            ["src/queue/tests/lane.rs", "src/queue/tests.rs", "tests/sim/main.rs", "bench/src/main.rs"]
        {
            assert!(lines(panics, path, text).is_empty(), "{path}: {text}");
        }
    }
    for text in [
        "f().unwrap(); // it was just put there",
        "// it was just put there\nf().unwrap();",
        "/* it was\n just put there */\nf().unwrap();",
        "f().unwrap_or_default(); my_panic!(); s.expected(1);",
        "let s = \".unwrap()\";",
        "#[cfg(test)]\nmod tests {\n    fn f() { if true { g().unwrap(); } }\n}",
    ] {
        assert!(lines(panics, "src/queue/mod.rs", text).is_empty(), "{text}");
    }
    let late = "#[cfg(test)]\nmod tests {\n    fn f() { g().unwrap(); }\n}\nfn h() { g().unwrap(); }";
    assert_eq!(lines(panics, "src/queue/mod.rs", late), [5]);
}
