//! Nothing refers to a file that is not in the repository: links of pages, and names of files in pages and comments.

use super::Violation;
use super::repository::{Repository, planted};
use super::source::{Passage, Source};

/// Folders at the root: what starts with one of them and a slash is a path of the repository.
const ROOTS: [&str; 7] = ["src/", "docs/", "tests/", "codec/", "conformance/", "bench/", ".ci/"];

/// Files that comments name.
pub(crate) fn references(repository: &Repository, path: &str, source: &Source<'_>) -> Vec<Violation> {
    source.passages().iter().flat_map(|passage| names(repository, path, passage)).collect()
}

/// Files that a page names or links to.
pub(crate) fn references_of_page(repository: &Repository, path: &str, text: &str) -> Vec<Violation> {
    let page = Passage::of_page(text);
    let mut violations = names(repository, path, &page);
    for (at, _) in page.text.match_indices("](") {
        let target = page.text[at + 2..].split([')', ' ']).next().unwrap_or("");
        let outside = ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
        if !outside && !repository.has_link(path, target) {
            violations.push((page.line(at), format!("the link leads to {target}, which is not there")));
        }
    }
    violations
}

fn names(repository: &Repository, path: &str, passage: &Passage) -> Vec<Violation> {
    let text = &passage.text;
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-./:".contains(letter);
    let mut violations = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let len = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        // A link is judged as such; and a wildcard stands for any file of a folder.
        let name = rest[..len].trim_end_matches(['.', ':']);
        let linked = text[..at].ends_with("](");
        if !linked && is_file(name) && !repository.has_named(path, name) {
            violations.push((passage.line(at), format!("there is no {name}")));
        }
        at += len + rest[len..].chars().next().map_or(0, char::len_utf8);
    }
    violations
}

/// Whether a word looks like a file of the repository.
fn is_file(name: &str) -> bool {
    if name.contains(':') || name.starts_with('/') {
        return false; // an address, an absolute path, a path of Rust
    }
    let stem = [".md", ".rs"].iter().find_map(|ending| name.strip_suffix(ending));
    stem.is_some_and(|stem| !stem.is_empty() && !stem.ends_with('/'))
        || ROOTS.iter().any(|root| name.len() > root.len() && name.starts_with(root))
}

/// Files that a script or a manifest names, in whatever it says.
pub(crate) fn references_of_script(repository: &Repository, path: &str, text: &str) -> Vec<Violation> {
    names(repository, path, &Passage::of_page(text))
}

fn planted_names() -> Repository {
    planted(&[
        "README.md",
        "docs/bounds.md",
        "docs/semantics.md",
        "src/queue/lane.rs",
        "src/queue/mod.rs",
        "tests/kill/client.rs",
        "ARCHITECTURE.md",
    ])
}

fn found(path: &str, text: &str) -> Vec<usize> {
    let violations = references(&planted_names(), path, &Source::read(text));
    violations.into_iter().map(|(line, _)| line).collect()
}

#[test]
fn a_file_that_is_not_there_is_found() {
    for text in [
        "// See DESIGN.md.",
        "//! As `docs/format.md` says.",
        "/// `src/queue/late.rs` does.",
        "// in tests/sim/fault.rs",
        "// the rest is in `late.rs`",
        "/* bench/results */",
        "// `src/store/*`",
        "fn f() {} // queue/late.rs",
    ] {
        assert_eq!(found("src/queue/mod.rs", &format!("\n{text}")), [2], "{text}");
    }
    assert_eq!(found("src/queue/mod.rs", "// one\n// two, late.rs\n// three"), [2]);
    let anchor = "\n[x](docs/semantics.md#7.2)";
    assert_eq!(references_of_script(&planted_names(), ".ci/run", "\nrun src/none\n").len(), 1);
    for text in ["\n[x](docs/none.md)", "\n[x](bounds.md#a)", "\n`src/none`", "\n[x](../x)", anchor] {
        let violations = references_of_page(&planted_names(), "README.md", text);
        assert_eq!(violations.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2], "{text}");
    }
}

#[test]
fn files_that_are_there_are_let_in_as_they_are_called() {
    for text in [
        "// ARCHITECTURE.md, docs/bounds.md.",
        "//! `lane.rs`, `queue/lane.rs`, `src/queue/lane.rs`, tests/kill",
        "// https://example.org/docs/none.md, /usr/src/none.rs, src: none",
        "let s = \"none.rs\";",
        "// `src/queue/*`, tests/",
    ] {
        assert!(found("src/queue/mod.rs", text).is_empty(), "{text}");
    }
    assert!(found("tests/kill.rs", "// `client.rs`").is_empty(), "the file's own modules");
    let page = "[a](docs/bounds.md#b), [7.1](docs/semantics.md#7.1), [c](#one-two-3), [e](https://example.org/none.md), [f](src), `queue/lane.rs`";
    assert!(references_of_page(&planted_names(), "README.md", page).is_empty());
}
