//! The laws of the house (ARCHITECTURE.md), as far as a machine can check them: who imports whom, what the pure rooms
//! may not touch, how files look. Every law is a function from a path and a text to what is wrong there, and is itself
//! tested with a planted violation. What the code means is not judged here.

#![allow(clippy::expect_used)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// A law: what is wrong with the file at this path (from the root, with slashes), each with its line.
type Law = fn(&str, &Source<'_>) -> Vec<Violation>;
type Violation = (usize, String);

const LAWS: [Law; 6] = [floors, crates_in_their_rooms, purity, head, length_and_leftovers, panics];

/// Rooms by floor; `config` is handed down by the server and known to nobody below.
const FLOORS: [(&str, u8); 11] = [
    ("model", 1),
    ("routing", 2),
    ("queue", 2),
    ("store", 2),
    ("broker", 3),
    ("session", 3),
    ("config", 3),
    ("server", 4),
    ("logging", 5),
    ("manage", 5),
    ("main", 6),
];
const PURE: [&str; 4] = ["routing", "queue", "session", "broker"];
const ROOTS: [&str; 5] = ["src", "codec", "conformance", "bench", "tests"];
const MAX_LINES: usize = 600;

#[test]
fn the_house_is_in_order() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo runs this"));
    let mut files = Vec::new();
    for folder in ROOTS {
        find_sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 10, "the sources were not found");
    let mut violations = Vec::new();
    for file in files {
        let path =
            file.strip_prefix(&root).expect("a file below the root").to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&file).expect("a source file");
        let source = Source::read(&text);
        for law in LAWS {
            violations
                .extend(law(&path, &source).into_iter().map(|(line, what)| format!("{path}:{line}: {what}")));
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

fn find_sources(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() && !path.ends_with("target") {
            find_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Law 1: a room imports only rooms on lower floors, never a sibling; the codec imports nothing of ours.
fn floors(path: &str, source: &Source<'_>) -> Vec<Violation> {
    if path.starts_with("codec/") {
        return found(
            &source.paths(&source.code),
            |path| path.starts_with("leveret::"),
            "the codec knows nothing of ours",
        );
    }
    let Some(room) = room(path) else { return Vec::new() };
    let floor = |room: &str| FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor);
    let Some(own) = floor(room) else {
        return vec![(1, format!("the room `{room}` has no floor in tests/tidy.rs"))];
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
                .is_some_and(|other| other != room && floor(other).is_some_and(|other| other >= own))
    };
    let what = format!("`{room}` may import lower floors only");
    let mut violations = found(&source.paths(&source.product), |path| forbidden(path, depth), &what);
    violations.extend(found(&source.paths(&source.tests), |path| forbidden(path, depth + 1), &what));
    violations
}

/// Law 2: tokio, redb, HTTP and JSON stay in the rooms that are made for them.
fn crates_in_their_rooms(path: &str, source: &Source<'_>) -> Vec<Violation> {
    if !path.starts_with("src/") && !path.starts_with("codec/src/") {
        return Vec::new();
    }
    let within = |allowed: &[&str]| allowed.iter().any(|allowed| path.starts_with(allowed));
    let begins = |path: &str, name: &str| {
        path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"))
    };
    let mut violations = Vec::new();
    let code = source.paths(&source.code);
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
        // In its own room, `redb::` without more is the module of that name.
        let in_store = within(&["src/store/"]);
        let redb = |path: &str| {
            begins(path, "::redb") || begins(path, "use redb") || (!in_store && begins(path, "redb"))
        };
        violations.extend(found(&source.paths(&source.product), redb, "redb is for src/store/redb.rs"));
    }
    violations
}

/// Law 3: the pure rooms have no threads, clock, sockets, randomness or async; their tests may.
fn purity(path: &str, source: &Source<'_>) -> Vec<Violation> {
    if !room(path).is_some_and(|room| PURE.contains(&room)) || is_test_path(path) {
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
        "a pure room has no threads, clock, sockets or randomness",
    );
    for (line, code) in numbered(&source.product) {
        if has_word(code, "async") || has_word(code, "await") {
            violations.push((line, "a pure room is not async".to_owned()));
        }
    }
    violations
}

/// Law 5: every file starts by saying what lives in it.
fn head(_path: &str, source: &Source<'_>) -> Vec<Violation> {
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

/// Law 6: files can be read in one sitting, and nothing unfinished is left in them.
fn length_and_leftovers(_path: &str, source: &Source<'_>) -> Vec<Violation> {
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
fn panics(path: &str, source: &Source<'_>) -> Vec<Violation> {
    if is_test_path(path) || !(path.starts_with("src/") || path.starts_with("codec/src/")) {
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

/// The room a file of the product belongs to; none for `lib.rs`, which only names them.
fn room(path: &str) -> Option<&str> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (room != "lib").then_some(room)
}

fn is_test_path(path: &str) -> bool {
    path.split('/').any(|part| ["tests", "tests.rs"].contains(&part))
}

fn found(paths: &[(usize, String)], forbidden: impl Fn(&str) -> bool, what: &str) -> Vec<Violation> {
    let wrong = paths.iter().filter(|(_, path)| forbidden(path));
    wrong.map(|(line, path)| (*line, format!("`{path}`: {what}"))).collect()
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

fn is_word_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn has_word(text: &str, word: &str) -> bool {
    let bytes = text.as_bytes();
    text.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).is_some_and(|before| is_word_byte(bytes[before]));
        let after = bytes.get(at + word.len()).is_some_and(|&after| is_word_byte(after));
        !before && (!after || word.ends_with('!'))
    })
}

/// A file, taken apart. `code`, `product` and `tests` keep the lines of the text.
struct Source<'a> {
    text: &'a str,
    /// Without comments and without what stands in strings.
    code: String,
    /// The code but for items under `#[cfg(test)]`.
    product: String,
    /// Only those items.
    tests: String,
    /// Lines with a comment.
    commented: HashSet<usize>,
}

impl<'a> Source<'a> {
    fn read(text: &'a str) -> Source<'a> {
        let (code, commented) = blank(text);
        let mut product = code.clone().into_bytes();
        let mut tests: Vec<u8> = code.bytes().map(|byte| if byte == b'\n' { byte } else { b' ' }).collect();
        for (start, _) in code.match_indices("#[cfg(test)]") {
            let end = end_of_item(&code, start);
            for at in start..end {
                tests[at] = code.as_bytes()[at];
                if product[at] != b'\n' {
                    product[at] = b' ';
                }
            }
        }
        let string = |bytes| String::from_utf8(bytes).expect("blanked code is ASCII");
        Source { text, product: string(product), tests: string(tests), code, commented }
    }

    /// Every path in some code, with its line: written out (`a::b`), or imported (groups taken apart; an import that
    /// starts with a crate or module name is also given as `use name...`).
    fn paths(&self, code: &str) -> Vec<(usize, String)> {
        let mut paths = Vec::new();
        let mut at = 0;
        let mut line = 1;
        while at < code.len() {
            let rest = &code[at..];
            let starts_word = at == 0 || !is_word_byte(code.as_bytes()[at - 1]);
            let mut taken = 1;
            if starts_word && rest.starts_with("use ") {
                taken = rest.find(';').unwrap_or(rest.len());
                for path in use_tree(&rest[4..taken]) {
                    paths.push((line, format!("use {path}")));
                    paths.push((line, path));
                }
            } else if starts_word && (is_word_byte(rest.as_bytes()[0]) || rest.starts_with("::")) {
                taken = rest.bytes().take_while(|&byte| is_word_byte(byte) || byte == b':').count();
                let path = rest[..taken].trim_end_matches(':');
                if path.contains("::") {
                    paths.push((line, path.to_owned()));
                }
            }
            line += rest[..taken].matches('\n').count();
            at += taken;
        }
        paths
    }
}

/// The paths of an import: `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn use_tree(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        return if path.is_empty() { Vec::new() } else { vec![path.to_owned()] };
    };
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for letter in group.chars() {
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            _ => {
                depth += i32::from(letter == '{') - i32::from(letter == '}');
                parts.last_mut().expect("at least one part").push(letter);
            }
        }
    }
    parts.iter().flat_map(|part| use_tree(part)).map(|path| format!("{}{path}", prefix.trim())).collect()
}

/// Where the item that starts here ends: behind its braces, or behind a `;` before any.
fn end_of_item(code: &str, start: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The text with comments and the contents of strings and characters blanked, byte for byte, and the lines that have
/// a comment.
fn blank(text: &str) -> (String, HashSet<usize>) {
    let mut code = String::with_capacity(text.len());
    let mut commented = HashSet::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = code.bytes().last().is_some_and(is_word_byte);
        let comment = rest.starts_with("//") || rest.starts_with("/*");
        let len = if comment { comment_len(rest) } else { literal_len(rest, word) };
        let (piece, after) =
            rest.split_at(len.unwrap_or_else(|| rest.chars().next().map_or(0, char::len_utf8)));
        if comment {
            let first = code.matches('\n').count() + 1;
            commented.extend(first..=first + piece.matches('\n').count());
        }
        let keep = len.is_none() && piece.is_ascii();
        code.extend(piece.bytes().map(|byte| if keep || byte == b'\n' { char::from(byte) } else { ' ' }));
        rest = after;
    }
    (code, commented)
}

fn comment_len(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut depth = 0;
    for at in 0..text.len() - 1 {
        match &text.as_bytes()[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return Some(at + 2);
        }
    }
    Some(text.len())
}

/// The length of the string or character that starts here; None where none does. `word`: a name ends right before.
fn literal_len(text: &str, word: bool) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let quoted = text.strip_prefix(prefix).unwrap_or("").trim_start_matches(if prefix.contains('r') {
            "#"
        } else {
            "\0"
        });
        quoted.starts_with('"') && (prefix.is_empty() || !word)
    });
    if let Some(prefix) = prefix {
        let hashes = text[prefix.len()..].bytes().take_while(|&byte| byte == b'#').count();
        let start = prefix.len() + hashes + 1;
        if prefix.contains('r') {
            let end = format!("\"{}", "#".repeat(hashes));
            return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
        }
        return Some(end_of_quoted(text, start, b'"'));
    }
    let rest = text.strip_prefix('\'')?;
    let first = rest.chars().next()?;
    // Otherwise it is a lifetime.
    let is_character = first == '\\' || rest[first.len_utf8()..].starts_with('\'');
    is_character.then(|| end_of_quoted(text, 1, b'\''))
}

fn end_of_quoted(text: &str, start: usize, quote: u8) -> usize {
    let mut at = start;
    while let Some(&byte) = text.as_bytes().get(at) {
        match byte {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The lines on which a law finds something.
fn lines(law: Law, path: &str, text: &str) -> Vec<usize> {
    let mut lines: Vec<usize> = law(path, &Source::read(text)).into_iter().map(|(line, _)| line).collect();
    lines.dedup();
    lines
}

#[test]
fn a_sibling_or_a_higher_floor_is_found_however_it_is_imported() {
    for text in [
        "use crate::store::Store;",
        "use crate::{model::ids::Name, store};",
        "use crate::{\n    model::{ids, op},\n    session::{self, Session},\n};",
        "fn f() { crate::server::run() }",
        "use super::broker::Broker;",
        "#[cfg(test)]\nmod tests {\n    use super::super::store::Store;\n}",
        "use leveret::store;",
        "pub use crate::broker as b;",
    ] {
        assert_eq!(lines(floors, "src/queue/mod.rs", text).len(), 1, "{text}");
    }
    assert_eq!(lines(floors, "src/queue/ready/lane.rs", "use super::super::super::store::S;"), [1]);
    assert_eq!(lines(floors, "src/attic/mod.rs", "//! a room nobody knows"), [1]);
    assert_eq!(lines(floors, "codec/src/frame.rs", "\nuse leveret::model::ids::Name;"), [2]);
}

#[test]
fn lower_floors_and_own_modules_are_let_in() {
    let text = "//! [`crate::store`]\nuse crate::model::ids::Name;\nuse super::store::Own; // crate::store\n\
                use leveret_codec::table;\nconst S: &str = \"crate::store\";\nuse crate::queue::lane;";
    assert!(lines(floors, "src/queue/ready.rs", text).is_empty());
    let inner = "#[cfg(test)]\nmod tests {\n    use super::super::store::Own;\n}";
    assert!(lines(floors, "src/queue/ready.rs", inner).is_empty());
    assert!(lines(floors, "src/session/mod.rs", "use crate::{model, queue, routing, store};").is_empty());
    assert!(lines(floors, "src/lib.rs", "pub use crate::server::run;").is_empty());
}

#[test]
fn crates_outside_their_rooms_are_found() {
    for (path, text) in [
        ("src/queue/mod.rs", "use tokio::sync::mpsc;"),
        ("src/store/writer.rs", "fn f() { tokio_util::sync::CancellationToken::new(); }"),
        ("src/session/mod.rs", "use {std::fmt, tokio};"),
        ("src/server/mod.rs", "use serde_json::json;"),
        ("src/server/mod.rs", "fn f(_: hyper::Request<()>) {}"),
        ("src/broker/mod.rs", "fn f() -> redb::Result { ::serde::x() }"),
        ("src/store/mod.rs", "use redb::Database;"),
        ("src/store/mod.rs", "fn f(_: ::redb::Database) {}"),
        ("codec/src/frame.rs", "use tokio::io;"),
    ] {
        assert_eq!(lines(crates_in_their_rooms, path, text), [1], "{path}: {text}");
    }
    for (path, text) in [
        ("src/server/mod.rs", "use tokio::net::TcpListener;"),
        ("src/main.rs", "#[tokio::main]\nfn main() {}"),
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
        assert!(lines(crates_in_their_rooms, path, text).is_empty(), "{path}: {text}");
    }
}

#[test]
fn what_is_not_pure_is_found_in_pure_rooms_only() {
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

#[test]
fn a_file_without_a_head_is_found() {
    for text in ["", "use std::fmt;", "// no\n", "//!\n//! late", "\n//! late"] {
        assert_eq!(lines(head, "src/x.rs", text), [1], "{text:?}");
    }
    assert!(lines(head, "src/x.rs", "//! What lives here.\n").is_empty());
}

#[test]
fn long_files_and_leftovers_are_found() {
    assert_eq!(lines(length_and_leftovers, "src/x.rs", &"\n".repeat(601)), [600]);
    assert!(lines(length_and_leftovers, "src/x.rs", &"\n".repeat(600)).is_empty());
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

#[test]
fn strings_comments_and_lifetimes_are_told_apart() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("f(\"a\\\"b\") g", "f(      ) g"),
        ("f(r#\"a\"b\"#) g", "f(        ) g"),
        ("f(b\"x\", 'y', '\\'', b'z')", "f(    ,    ,     , b   )"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("\"//\" a", "     a"),
        ("\"ü\" a", "     a"),
        ("bar\"x\"", "bar   "),
    ] {
        assert_eq!(blank(text).0, code, "{text}");
    }
    assert_eq!(blank("a\n/* b\nc */\nd // e").1, HashSet::from([2, 3, 4]));
}
