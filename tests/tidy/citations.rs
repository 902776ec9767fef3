//! Citations of docs/semantics.md have one form, and what they cite is there: `(semantics 7.13)`, a range
//! `(semantics 1.8 to 1.16)`, several `(semantics 5.28, 5.29)`, a whole section `(semantics section 7)`. The cases of
//! the conformance suite are named by statements, too.

use super::repository::{Repository, planted};
use super::source::{Passage, Source, has_word};
use super::{Violation, is_word_byte};

/// What comments cite, and what names of cases say.
pub(crate) fn citations(repository: &Repository, path: &str, source: &Source<'_>) -> Vec<Violation> {
    let cited = source.passages();
    let mut violations: Vec<_> = cited.iter().flat_map(|passage| in_passage(repository, passage)).collect();
    if ["src/", "codec/src/", "conformance/src/"].iter().any(|module| path.starts_with(module)) {
        violations.extend(cited.iter().flat_map(bare));
    }
    if path.starts_with("conformance/src/cases/") {
        violations.extend(cases(repository, &source.code));
    }
    violations
}

/// What a page cites.
pub(crate) fn citations_of_page(repository: &Repository, text: &str) -> Vec<Violation> {
    in_passage(repository, &Passage::of_page(text))
}

fn in_passage(repository: &Repository, passage: &Passage) -> Vec<Violation> {
    let text = &passage.text;
    let mut violations = Vec::new();
    for (at, word) in text.match_indices("semantics") {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        if before.bytes().last().is_some_and(is_word_byte) {
            continue;
        }
        let wrong = if after.starts_with(".md") {
            // The page as such: with its folder, in a link, or as what a link is called.
            let is_page = ["docs/", "](", "["].iter().any(|path| before.ends_with(path));
            (!is_page).then(|| "statements are cited as in (semantics 7.13)".to_owned())
        } else if let Some(cited) = after.strip_prefix(' ').filter(|cited| cites(cited)) {
            let whole = before.ends_with('(').then(|| cited.split_once(')')).flatten();
            match whole {
                Some((items, _)) => items.split(", ").find_map(|item| missing(repository, item)),
                None => Some("statements are cited in parentheses of their own".to_owned()),
            }
        } else {
            None
        };
        violations.extend(wrong.map(|wrong| (passage.line(at), wrong)));
    }
    violations
}

/// Whether this goes on as a citation does, and not as any sentence.
fn cites(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) || text.starts_with("section")
}

/// What is wrong with an item: `7.13`, `7.13 to 7.15`, `section 7`, `section 7 to 9`.
fn missing(repository: &Repository, item: &str) -> Option<String> {
    let (section, numbers) = match item.strip_prefix("section ") {
        Some(numbers) => (true, numbers),
        None => (false, item),
    };
    for number in numbers.split(" to ") {
        let is_number = !number.is_empty() && number.split('.').all(|part| part.parse::<u32>().is_ok());
        if !is_number || number.contains('.') == section {
            return Some(format!("`{item}` is no statement as in (semantics 7.13, 8.1 to 8.3, section 9)"));
        }
        if !repository.statements.contains(number) {
            return Some(format!("docs/semantics.md has no {number}"));
        }
    }
    None
}

/// Numbers in parentheses that do not say of what.
fn bare(passage: &Passage) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, _) in passage.text.match_indices('(') {
        let inner = passage.text[at + 1..].split(')').next().unwrap_or("");
        let first = inner.split([',', ' ']).next().unwrap_or("");
        let statement = first.split_once('.').is_some_and(|(section, number)| {
            [section, number].iter().all(|part| part.len() <= 2 && part.parse::<u8>().is_ok())
        });
        let only = inner.bytes().all(|byte| byte.is_ascii_digit() || b".,to ".contains(&byte));
        if statement && only {
            violations.push((passage.line(at), format!("({inner}) is cited as (semantics {inner})")));
        }
    }
    violations
}

/// `s7_13_ttl` shows statement 7.13.
fn cases(repository: &Repository, code: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (line, code) in super::source::numbered(code) {
        let Some(name) = code.strip_prefix("fn s").and_then(|rest| rest.split('(').next()) else { continue };
        let mut parts = name.split('_').map(str::parse::<u32>);
        if let (Some(Ok(section)), Some(Ok(number))) = (parts.next(), parts.next()) {
            let statement = format!("{section}.{number}");
            if !repository.statements.contains(&statement) {
                violations.push((line, format!("docs/semantics.md has no {statement}")));
            }
        }
    }
    violations
}

fn found(path: &str, text: &str) -> Vec<usize> {
    let violations = citations(&planted(&[]), path, &Source::read(text));
    violations.into_iter().map(|(line, _)| line).collect()
}

#[test]
fn a_citation_of_what_is_not_there_is_found() {
    for cited in [
        "(semantics 7.2)",
        "(semantics 7.13, 7.14)",
        "(semantics 7.1 to 7.12)",
        "(semantics 7.0 to 7.13)",
        "(semantics section 9)",
        "(semantics section 7, section 9)",
        "(semantics section 7 to 9)",
        "(semantics 1.7\n// to 1.8)",
    ] {
        assert_eq!(found("src/x.rs", &format!("\n// As said {cited}.")), [2], "{cited}");
        assert_eq!(citations_of_page(&planted(&[]), cited).len(), 1, "{cited}");
    }
    assert_eq!(found("src/x.rs", "// Reads on (semantics\n// 7.99)."), [1]);
    assert_eq!(found("conformance/src/cases/s07.rs", "\nfn s7_02_x(test: &Test) -> Step {}"), [2]);
}

#[test]
fn another_form_of_citation_is_found() {
    for cited in [
        "(semantics.md 7.13)",
        "semantics.md, section 7",
        "semantics 7.13",
        "(406, semantics 7.13)",
        "(semantics section 7.13)",
        "(semantics 7)",
        "(semantics sections 7 and 8)",
        "(semantics 7.1 and 7.13)",
        "(semantics 7.13; seen of 4.3)",
        "(7.13)",
        "(7.1 to 7.13)",
        "(7.1, 7.13)",
    ] {
        assert_eq!(found("src/x.rs", &format!("\n// As said {cited}.")), [2], "{cited}");
    }
}

#[test]
fn citations_of_what_is_there_are_let_in() {
    let text = "//! What is declared (semantics 7.1 to 7.13, section 8). Not (semantics 7.1,\n//! 7.13) alone.\n\
                // The semantics of it; see docs/semantics.md, in 2.5 s (twice), of version 4.3.\n\
                const S: &str = \"(semantics 1.1)\";\nfn s9_99_x() {}";
    assert!(found("src/x.rs", text).is_empty());
    assert!(found("conformance/src/cases/s07.rs", "fn s7_01_x(test: &Test) {}\nfn same() {}").is_empty());
    assert!(
        citations_of_page(&planted(&[]), "Cited as `(semantics 7.13)`, see [it](semantics.md).").is_empty()
    );
    assert!(has_word("x semantics", "semantics"));
}
