//! Who may import whom: modules by layers, the crates that are for one module alone, and what the pure modules may not touch.

use super::source::{Source, has_word, numbered};
use super::{Violation, is_test_path, lines};

/// Modules by layer; `config` is handed down by the server and known to nobody below.
const LAYERS: [(&str, u8); 14] = [
    ("model", 1),
    ("routing", 2),
    ("queue", 2),
    ("store", 2),
    ("catalog", 3),
    ("shard", 4),
    ("port", 4),
    ("session", 4),
    ("config", 4),
    ("server", 5),
    ("logging", 6),
    ("manage", 6),
    ("tests", 6),
    ("main", 7),
];

const PURE: [&str; 6] = ["routing", "queue", "catalog", "shard", "port", "session"];

/// Rule 1: a module imports only modules on lower layers, never a sibling; the codec imports nothing of ours.
pub(crate) fn layers(path: &str, source: &Source<'_>) -> Vec<Violation> {
    if path.starts_with("codec/") {
        return found(
            &source.paths(&source.code),
            |path| path.starts_with("leveret::"),
            "the codec knows nothing of ours",
        );
    }
    if path.starts_with("cli/") {
        return found(
            &source.paths(&source.code),
            |path| path.trim_start_matches("use ").split("::").next() == Some("leveret"),
            "the command line knows a broker by the management API alone",
        );
    }
    let Some(module) = module(path) else { return Vec::new() };
    let layer = |module: &str| LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer);
    let Some(own) = layer(module) else {
        return vec![(1, format!("the module `{module}` has no layer in tests/tidy/modules.rs"))];
    };
    // How many `super` lead out to the crate; one more in a module within the file.
    let depth = path.split('/').count() - if path.ends_with("/mod.rs") { 2 } else { 1 };
    let forbidden = |path: &str, depth: usize| {
        let mut segments = path.split("::").peekable();
        let mut supers = 0;
        while segments.next_if(|segment| ["super", "self"].contains(segment)).is_some() {
            supers += 1;
        }
        let from_root =
            supers >= depth || segments.next_if(|segment| ["crate", "leveret"].contains(segment)).is_some();
        from_root
            && segments
                .next()
                .is_some_and(|other| other != module && layer(other).is_some_and(|other| other >= own))
    };
    let what = format!("`{module}` may import lower layers only");
    let mut violations = found(&source.paths(&source.product), |path| forbidden(path, depth), &what);
    violations.extend(found(&source.paths(&source.tests), |path| forbidden(path, depth + 1), &what));
    violations
}

/// Rule 2: tokio, redb, HTTP and JSON stay in the modules that are made for them.
pub(crate) fn crates_in_their_modules(path: &str, source: &Source<'_>) -> Vec<Violation> {
    let within = |allowed: &[&str]| allowed.iter().any(|allowed| path.starts_with(allowed));
    let begins = |path: &str, name: &str| {
        path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"))
    };
    let code = source.paths(&source.code);
    if within(&["cli/src/"]) && !within(&["cli/src/broker/"]) {
        // A method is named by whoever asks.
        let wire = |path: &str| {
            ["tokio", "hyper_util", "http_body_util"].iter().any(|name| begins(path, name))
                || (begins(path, "hyper") && !begins(path, "hyper::Method"))
        };
        return found(&code, wire, "how a broker is asked is for cli/src/broker");
    }
    if !path.starts_with("src/") && !path.starts_with("codec/src/") {
        return Vec::new();
    }
    let mut violations = Vec::new();
    if !within(&["src/server", "src/manage", "src/main.rs"]) {
        let tokio = |path: &str| begins(path, "tokio") || begins(path, "tokio_util");
        violations.extend(found(&code, tokio, "tokio is for src/server and src/manage"));
    }
    if !within(&["src/manage"]) {
        let face = |path: &str| {
            ["serde_json", "hyper", "hyper_util", "http_body_util"].iter().any(|name| begins(path, name))
        };
        violations.extend(found(&code, face, "HTTP and JSON are for src/manage"));
    }
    if !within(&["src/store/redb.rs", "src/store/redb/"]) && !is_test_path(path) {
        // In its own module, `redb::` without more is the module of that name.
        let in_store = within(&["src/store/"]);
        let redb = |path: &str| {
            begins(path, "::redb") || begins(path, "use redb") || (!in_store && begins(path, "redb"))
        };
        violations.extend(found(&source.paths(&source.product), redb, "redb is for src/store/redb.rs"));
    }
    violations
}

/// Rule 3: the pure modules have no threads, clock, sockets, randomness or async; their tests may.
pub(crate) fn purity(path: &str, source: &Source<'_>) -> Vec<Violation> {
    if !module(path).is_some_and(|module| PURE.contains(&module)) || is_test_path(path) {
        return Vec::new();
    }
    let impure = |path: &str| {
        let path = path.trim_start_matches("use ").trim_start_matches("::");
        let segments: Vec<&str> = path.split("::").collect();
        matches!(segments[..], ["std", "thread" | "net", ..] | ["std", "time", "*"] | ["rand", ..])
            || segments.iter().any(|segment| ["Instant", "SystemTime"].contains(segment))
    };
    let mut violations = found(
        &source.paths(&source.product),
        impure,
        "a pure module has no threads, clock, sockets or randomness",
    );
    for (line, code) in numbered(&source.product) {
        if has_word(code, "async") || has_word(code, "await") {
            violations.push((line, "a pure module is not async".to_owned()));
        }
    }
    violations
}

/// The module a file of the product belongs to; none for `lib.rs`, which only names them.
fn module(path: &str) -> Option<&str> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib").then_some(module)
}

fn found(paths: &[(usize, String)], forbidden: impl Fn(&str) -> bool, what: &str) -> Vec<Violation> {
    let wrong = paths.iter().filter(|(_, path)| forbidden(path));
    wrong.map(|(line, path)| (*line, format!("`{path}`: {what}"))).collect()
}

#[test]
fn a_sibling_or_a_higher_layer_is_found_however_it_is_imported() {
    for text in [
        "use crate::store::Store;",
        "use crate::{model::ids::Name, store};",
        "use crate::{\n    model::{ids, op},\n    session::{self, Session},\n};",
        "fn f() { crate::server::run() }",
        "use super::shard::Shard;",
        "#[cfg(test)]\nmod tests {\n    use super::super::store::Store;\n}",
        "use leveret::store;",
        "pub use crate::catalog as c;",
    ] {
        assert_eq!(lines(layers, "src/queue/mod.rs", text).len(), 1, "{text}");
    }
    assert_eq!(lines(layers, "src/queue/ready/lane.rs", "use super::super::super::store::S;"), [1]);
    assert_eq!(lines(layers, "src/attic/mod.rs", "//! a module nobody knows"), [1]);
    assert_eq!(lines(layers, "codec/src/frame.rs", "\nuse leveret::model::ids::Name;"), [2]);
    assert_eq!(lines(layers, "cli/src/nouns/queue.rs", "\nuse leveret::config::CommandLine;"), [2]);
}

#[test]
fn lower_layers_and_own_modules_are_let_in() {
    let text = "//! [`crate::store`]\nuse crate::model::ids::Name;\nuse super::store::Own; // crate::store\n\
                use leveret_codec::table;\nconst S: &str = \"crate::store\";\nuse crate::queue::lane;";
    assert!(lines(layers, "src/queue/ready.rs", text).is_empty());
    let inner = "#[cfg(test)]\nmod tests {\n    use super::super::store::Own;\n}";
    assert!(lines(layers, "src/queue/ready.rs", inner).is_empty());
    assert!(lines(layers, "src/session/mod.rs", "use crate::{model, queue, routing, store};").is_empty());
    assert!(lines(layers, "src/lib.rs", "pub use crate::server::run;").is_empty());
}

#[test]
fn crates_outside_their_modules_are_found() {
    for (path, text) in [
        ("src/queue/mod.rs", "use tokio::sync::mpsc;"),
        ("src/store/writer.rs", "fn f() { tokio_util::sync::CancellationToken::new(); }"),
        ("src/session/mod.rs", "use {std::fmt, tokio};"),
        ("src/server/mod.rs", "use serde_json::json;"),
        ("src/server/mod.rs", "fn f(_: hyper::Request<()>) {}"),
        ("src/shard/mod.rs", "fn f() -> redb::Result { ::serde::x() }"),
        ("src/store/mod.rs", "use redb::Database;"),
        ("src/store/mod.rs", "fn f(_: ::redb::Database) {}"),
        ("codec/src/frame.rs", "use tokio::io;"),
        ("cli/src/nouns/queue.rs", "use tokio::runtime::Runtime;"),
        ("cli/src/rabbitmq/mod.rs", "use hyper::Request;"),
    ] {
        assert_eq!(lines(crates_in_their_modules, path, text), [1], "{path}: {text}");
    }
    for (path, text) in [
        ("src/server/mod.rs", "use tokio::net::TcpListener;"),
        ("src/main.rs", "#[tokio::main]\nfn main() {}"),
        ("cli/src/broker/mod.rs", "use tokio::runtime::Runtime;\nuse hyper::Request;"),
        ("cli/src/nouns/queue.rs", "use hyper::Method;"),
        (
            "src/manage/mod.rs",
            "use tokio::net::TcpListener;\nuse hyper_util::rt::TokioIo;\nuse serde_json::json;",
        ),
        ("src/store/redb.rs", "use redb::Database;"),
        ("src/store/mod.rs", "mod redb;\npub use self::redb::RedbStore;\nfn f() { redb::open(); }"),
        ("src/store/mod.rs", "#[cfg(test)]\nmod tests {\n    use redb::Database;\n}"),
        ("src/store/tests/crash.rs", "use redb::StorageBackend;"),
        ("src/queue/mod.rs", "// tokio::spawn\nlet s = \"tokio::spawn\"; let tokio = 1; my_tokio::x();"),
    ] {
        assert!(lines(crates_in_their_modules, path, text).is_empty(), "{path}: {text}");
    }
}

#[test]
fn what_is_not_pure_is_found_in_pure_modules_only() {
    for text in [
        "use std::thread;",
        "use std::{fmt, net::TcpStream};",
        "use std::time::{Duration, Instant};",
        "fn f() { std::time::SystemTime::now(); }",
        "use std::time::*;",
        "fn f() { time::Instant::now(); }",
        "use rand::Rng;",
        "pub async fn f() {}",
        "fn f() { g().await }",
    ] {
        assert!(!lines(purity, "src/session/channel.rs", text).is_empty(), "{text}");
        assert!(lines(purity, "src/server/mod.rs", text).is_empty(), "{text}");
        assert!(lines(purity, "src/session/tests/pair.rs", text).is_empty(), "{text}");
    }
    let text = "use std::time::Duration;\n// async, Instant::now()\n#[cfg(test)]\nmod tests;\nfn f() {}";
    assert!(lines(purity, "src/queue/mod.rs", text).is_empty());
    let late = "#[cfg(test)]\nmod tests;\nuse std::thread;";
    assert!(lines(purity, "src/queue/mod.rs", late).contains(&3), "what follows the tests still counts");
}
