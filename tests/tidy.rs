//! The rules of the repository (ARCHITECTURE.md), as far as a machine can check them: who imports whom, what the pure modules
//! may not touch, how files look, and that what they refer to is there. Every rule is a function from a path and a text
//! to what is wrong there, and is itself tested with a planted violation. What the code means is not judged here.

#![allow(clippy::expect_used)]

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/citations.rs"]
mod citations;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/modules.rs"]
mod modules;
#[path = "tidy/references.rs"]
mod references;
#[path = "tidy/repository.rs"]
mod repository;
#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

use repository::Repository;
use source::Source;

/// A rule: what is wrong with the file at this path (from the root, with slashes), each with its line.
type Rule = fn(&str, &Source<'_>) -> Vec<Violation>;
/// A rule that also asks what else is in the repository.
type LawOfAll = fn(&Repository, &str, &Source<'_>) -> Vec<Violation>;
type Violation = (usize, String);

const RULES: [Rule; 6] = [
    modules::layers,
    modules::crates_in_their_modules,
    modules::purity,
    files::head,
    files::length_and_leftovers,
    files::panics,
];
const RULES_OF_ALL: [LawOfAll; 2] = [citations::citations, references::references];

/// Where sources are, and which of these folders are the root of a crate's modules.
const SOURCES: [&str; 6] = ["src", "cli", "codec", "conformance", "bench", "tests"];
const CRATES: [&str; 5] = ["src", "cli/src", "codec/src", "conformance/src", "bench/src"];

#[test]
fn the_repository_is_in_order() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo runs this"));
    let repository = Repository::read(&root);
    let read = |path: &String| fs::read_to_string(root.join(path)).expect("a text file");
    let sources: BTreeMap<String, String> = repository
        .paths
        .iter()
        .filter(|path| path.ends_with(".rs") && SOURCES.contains(&path.split('/').next().unwrap_or("")))
        .map(|path| (path.clone(), read(path)))
        .collect();
    assert!(sources.len() > 100, "the sources were not found");
    let mut violations = Vec::new();
    let mut add = |path: &str, found: Vec<Violation>| {
        violations.extend(found.into_iter().map(|(line, what)| format!("{path}:{line}: {what}")));
    };
    let sources: BTreeMap<&String, Source<'_>> =
        sources.iter().map(|(path, text)| (path, Source::read(text))).collect();
    for (path, source) in &sources {
        for rule in RULES {
            add(path, rule(path, source));
        }
        for rule in RULES_OF_ALL {
            add(path, rule(&repository, path, source));
        }
    }
    for path in repository.paths.iter().filter(|path| path.ends_with(".md")) {
        let text = read(path);
        add(path, citations::citations_of_page(&repository, &text));
        add(path, references::references_of_page(&repository, path, &text));
    }
    for path in repository.paths.iter().filter(|path| is_script(path)) {
        add(path, references::references_of_script(&repository, path, &read(path)));
    }
    for root in CRATES {
        let inner = sources.iter().filter(|(path, _)| path.starts_with(&format!("{root}/")));
        let inner = inner.map(|(path, source)| ((*path).clone(), source)).collect();
        violations.extend(circles::circles(root, &inner));
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// What CI and operators run, and the manifests.
fn is_script(path: &str) -> bool {
    [".ci/", "conformance/operators/", "conformance/clients/run", "bench/results"]
        .iter()
        .any(|script| path.starts_with(script))
        || path.ends_with("Cargo.toml")
}

fn is_test_path(path: &str) -> bool {
    path.split('/').any(|part| ["tests", "tests.rs"].contains(&part))
}

fn is_word_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// The lines on which a rule finds something.
fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    let mut lines: Vec<usize> = rule(path, &Source::read(text)).into_iter().map(|(line, _)| line).collect();
    lines.dedup();
    lines
}
