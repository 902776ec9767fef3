//! No circle of imports between files leads from one folder into another and back, and none is longer than two files. A
//! folder's own module and the files in the folder belong together: what they import of each other is no part of a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// The sources of a crate by path.
pub(crate) type Sources<'a> = BTreeMap<String, &'a Source<'a>>;

/// A module, by the names on its path from the root of its crate.
type Module = Vec<String>;

/// What is wrong with the imports of a crate whose sources are these, all below `root`.
pub(crate) fn circles(root: &str, sources: &Sources<'_>) -> Vec<String> {
    let closing = closing(root, sources);
    let closing = closing
        .iter()
        .map(|(from, to)| format!("{from} imports of {to}, which leads back to it through another folder"));
    let long = long(root, sources);
    let long = long.iter().map(|circle| {
        format!("{} import of each other in a circle of more than two files", circle.join(", "))
    });
    closing.chain(long).collect()
}

/// Circles of more than two files, each in the order of its paths.
fn long<'a>(root: &str, sources: &'a Sources<'_>) -> BTreeSet<Vec<&'a str>> {
    let imports = imports(root, sources);
    let circles = imports.keys().map(|file| -> Vec<&str> {
        let back = |other: &&String| reachable(&imports, other).contains(file);
        let names = reachable(&imports, file).into_iter().filter(back);
        names.filter_map(|name| sources.get_key_value(name).map(|(name, _)| &**name)).collect()
    });
    circles.filter(|circle| circle.len() > 2).collect()
}

/// The imports from one folder of another that are part of a circle.
fn closing(root: &str, sources: &Sources<'_>) -> BTreeSet<(String, String)> {
    let imports = imports(root, sources);
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        imports.keys().map(|file| (file, reachable(&imports, file))).collect();
    let mut closing = BTreeSet::new();
    for (from, targets) in &imports {
        let circle = reached[from].iter().filter(|file| reached[*file].contains(from));
        let folders: BTreeSet<&str> = circle.map(|file| folder(file)).collect();
        if folders.len() > 1 {
            let back = targets.iter().filter(|to| reached[*to].contains(from) && folder(to) != folder(from));
            closing.extend(back.map(|to| (from.clone(), to.clone())));
        }
    }
    closing
}

/// What each file imports of which others; of tests nothing.
fn imports(root: &str, sources: &Sources<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeMap<Module, &String> =
        sources.keys().filter_map(|path| Some((module(root, path)?, path))).collect();
    let paths: BTreeMap<&String, Vec<(Module, bool)>> = sources
        .iter()
        .map(|(path, source)| {
            let own = module(root, path).unwrap_or_default();
            let paths = source.paths(&source.product);
            (path, paths.iter().filter_map(|(_, path)| absolute(&modules, &own, path)).collect())
        })
        .collect();
    let mut imports = BTreeMap::new();
    for (from, own) in modules.iter().map(|(module, path)| (*path, module)) {
        let mut targets = BTreeSet::new();
        for (path, _) in &paths[from] {
            let Some((module, to)) = resolve(&modules, &paths, path, 8) else { continue };
            let of_one_folder = parent(&module) == Some(own) || parent(own) == Some(&*module);
            if to != from && !of_one_folder {
                targets.insert(to.clone());
            }
        }
        imports.insert(from.clone(), targets);
    }
    imports
}

/// The module in a file; None where it is a test's.
fn module(root: &str, path: &str) -> Option<Module> {
    let inner = path.strip_prefix(root)?.trim_start_matches('/').strip_suffix(".rs")?;
    let mut names: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if names.iter().any(|name| name == "tests") {
        return None;
    }
    if names.last().is_some_and(|name| ["mod", "lib"].contains(&&**name)) {
        names.pop();
    }
    Some(names)
}

fn parent(module: &[String]) -> Option<&[String]> {
    module.split_last().map(|(_, parent)| parent)
}

/// A path from the root of the crate, and whether it is imported under its name; None where it leads out of the crate.
fn absolute(modules: &BTreeMap<Module, &String>, own: &Module, path: &str) -> Option<(Module, bool)> {
    let (path, imported) = path.strip_prefix("use ").map_or((path, false), |path| (path, true));
    let mut names = path.split("::").map(str::trim).peekable();
    let mut base = own.clone();
    let first = *names.peek()?;
    match first {
        "crate" | "leveret" => base.clear(),
        "self" | "super" => {}
        child => {
            base.push(child.to_owned());
            let is_child = imported && modules.contains_key(&base);
            base.pop();
            if !is_child {
                return None;
            }
        }
    }
    if ["crate", "leveret", "self"].contains(&first) {
        names.next();
    }
    while names.next_if(|name| *name == "super").is_some() {
        base.pop()?;
    }
    base.extend(names.map(str::to_owned));
    Some((base, imported))
}

/// The module that has what a path names: where another module only passes the name on, the one it comes from.
fn resolve<'a>(
    modules: &BTreeMap<Module, &'a String>,
    paths: &BTreeMap<&String, Vec<(Module, bool)>>,
    path: &Module,
    steps: u8,
) -> Option<(Module, &'a String)> {
    let len = (0..=path.len()).rev().find(|len| modules.contains_key(&path[..*len]))?;
    let (module, file) = (path[..len].to_vec(), modules[&path[..len]]);
    if let Some(name) = path.get(len).filter(|_| steps > 0) {
        let passed_on = paths[file].iter().find(|(source, imported)| {
            *imported && source.last() == Some(name) && source[..source.len() - 1] != module[..]
        });
        if let Some((source, _)) = passed_on {
            return resolve(modules, paths, source, steps - 1);
        }
    }
    Some((module, file))
}

/// All that can be come to from a file, itself only by a circle.
fn reachable<'a>(imports: &'a BTreeMap<String, BTreeSet<String>>, from: &'a String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = vec![from];
    while let Some(file) = next.pop() {
        for to in imports.get(file).into_iter().flatten() {
            if reached.insert(to) {
                next.push(to);
            }
        }
    }
    reached
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn long_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let read: Vec<_> = files.iter().map(|(path, text)| (*path, Source::read(text))).collect();
    let sources = read.iter().map(|(path, source)| ((*path).to_owned(), source)).collect();
    let owned = |circle: Vec<&str>| circle.into_iter().map(str::to_owned).collect();
    long("src", &sources).into_iter().map(owned).collect()
}

fn found(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let read: Vec<_> = files.iter().map(|(path, text)| (*path, Source::read(text))).collect();
    let sources = read.iter().map(|(path, source)| ((*path).to_owned(), source)).collect();
    closing("src", &sources).into_iter().collect()
}

#[test]
fn a_circle_over_folders_is_found() {
    let pair = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned()), (b.to_owned(), a.to_owned())];
    let circle = pair("src/a/one.rs", "src/b/two.rs");
    for (one, two) in [
        ("use crate::b::two::Two;", "use crate::a::one::One;"),
        ("use crate::{b::two::{self, Two}, c};", "use super::super::a::one::One;"),
        ("fn f() { crate::b::two::go() }", "pub(crate) use crate::a::one;"),
        ("use crate::b::Two;", "use crate::a::One;"),
    ] {
        let files = [
            ("src/lib.rs", "mod a;\nmod b;"),
            ("src/a/mod.rs", "mod one;\npub use one::One;"),
            ("src/b/mod.rs", "mod two;\npub use self::two::Two;"),
            ("src/a/one.rs", one),
            ("src/b/two.rs", two),
        ];
        assert_eq!(found(&files), circle, "{one}");
    }
    let longer = [
        ("src/a/one.rs", "use super::other::Other;"),
        ("src/a/other.rs", "use crate::b::two::Two;"),
        ("src/b/two.rs", "use crate::a::one::One;"),
    ];
    assert_eq!(found(&longer).len(), 2, "a longer circle crosses the folders twice");
}

#[test]
fn what_is_no_circle_over_folders_is_let_in() {
    for files in [
        // One way.
        [("src/a/one.rs", "use crate::b::two::Two;"), ("src/b/two.rs", "use crate::c::Three;")],
        // Within a folder.
        [("src/a/one.rs", "use super::two::Two;"), ("src/a/two.rs", "use super::one::One;")],
        // A folder's own module.
        [("src/a/mod.rs", "mod one;\nuse one::One;"), ("src/a/one.rs", "use super::Shared;")],
        // By tests, comments and strings only.
        [
            ("src/a/one.rs", "use crate::b::two::Two;"),
            ("src/b/two.rs", "// crate::a::one\n#[cfg(test)]\nmod tests { use crate::a::one::One; }"),
        ],
        [("src/a/one.rs", "use crate::b::two::Two;"), ("src/b/tests/two.rs", "use crate::a::one::One;")],
        // Other crates have modules of such names.
        [("src/a/one.rs", "use crate::b::two::Two;"), ("src/b/two.rs", "use a::one::One;")],
    ] {
        assert!(found(&files).is_empty(), "{files:?}");
    }
}

#[test]
fn a_circle_of_more_than_two_files_is_found_within_a_folder_too() {
    let one = ("src/a/one.rs", "use super::two::Two;");
    let two = ("src/a/two.rs", "use super::three::Three;");
    let three = |text| ("src/a/three.rs", text);
    assert_eq!(
        long_of(&[one, two, three("use super::one::One;")]),
        [["src/a/one.rs", "src/a/three.rs", "src/a/two.rs"]]
    );
    for text in [
        // Two that know each other.
        "use super::two::Two;",
        // By tests only.
        "#[cfg(test)]\nmod tests { use super::super::one::One; }",
        // A folder's own module.
        "use super::Shared;",
    ] {
        let files =
            [one, two, three(text), ("src/a/mod.rs", "mod one;\npub use one::One;\npub struct Shared;")];
        assert!(long_of(&files).is_empty(), "{text}");
    }
}
