//! The repository as rules see it that ask whether something exists: its files, and the statements of
//! docs/semantics.md. And what stands where, as far as a reader would look for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Folders that are made by tools, in which nothing is of the repository.
const MADE: [&str; 8] =
    ["target", "node_modules", ".git", ".venv", ".work", "__pycache__", "leveret-data", "tmp"];

pub(crate) struct Repository {
    /// Every file and folder, from the root, with slashes.
    pub(crate) paths: BTreeSet<String>,
    /// What can be linked to within each page.
    pub(crate) anchors: BTreeMap<String, BTreeSet<String>>,
    /// The numbers of sections (`7`) and statements (`7.13`) of docs/semantics.md.
    pub(crate) statements: BTreeSet<String>,
}

impl Repository {
    pub(crate) fn read(root: &Path) -> Repository {
        let mut paths = BTreeSet::new();
        walk(root, "", &mut paths);
        let pages = paths.iter().filter(|path| path.ends_with(".md"));
        let pages: Vec<(&str, String)> = pages
            .map(|path| (&**path, fs::read_to_string(root.join(path)).expect("a page of text")))
            .collect();
        let (anchors, statements) = anchors(&pages);
        Repository { paths, anchors, statements }
    }

    /// Whether a link in this page leads to something: a file or folder, from the folder that the page is in, and an
    /// anchor in it where the link names one.
    pub(crate) fn has_link(&self, path: &str, target: &str) -> bool {
        let (file, anchor) = target.split_once('#').map_or((target, None), |(file, at)| (file, Some(at)));
        let file = if file.is_empty() { Some(path.to_owned()) } else { join(folder(path), file) };
        let Some(file) = file.filter(|file| file.is_empty() || self.paths.contains(file)) else {
            return false;
        };
        anchor.is_none_or(|anchor| self.anchors.get(&file).is_none_or(|anchors| anchors.contains(anchor)))
    }

    /// Whether there is what text in this file calls so: from the root, from the file's own folder or one that it is in
    /// (or `src` there), or among the file's own modules.
    pub(crate) fn has_named(&self, path: &str, name: &str) -> bool {
        let name = name.trim_end_matches('/');
        let mut folders = vec![path.strip_suffix(".rs").unwrap_or(path)];
        let mut inner = folder(path);
        while !inner.is_empty() {
            folders.push(inner);
            inner = folder(inner);
        }
        folders.push("");
        folders.into_iter().any(|folder| {
            let candidates = [format!("{folder}/{name}"), format!("{folder}/src/{name}")];
            candidates.iter().any(|name| join("", name).is_some_and(|name| self.paths.contains(&name)))
        })
    }
}

fn walk(folder: &Path, path: &str, paths: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let entry = entry.expect("an entry of a folder");
        let name = entry.file_name().to_string_lossy().into_owned();
        if MADE.contains(&&*name) {
            continue;
        }
        let path = if path.is_empty() { name } else { format!("{path}/{name}") };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), &path, paths);
        }
        paths.insert(path);
    }
}

/// The folder of a path; of one at the root the empty one.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A path within a folder, with `.` and `..` taken away; None where it leads out of the repository.
fn join(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of each page: those it has as such, `<a id="7.13"></a>`, and its headings. And the former of
/// docs/semantics.md.
fn anchors(pages: &[(&str, String)]) -> (BTreeMap<String, BTreeSet<String>>, BTreeSet<String>) {
    let mut all = BTreeMap::new();
    let mut statements = BTreeSet::new();
    for (path, page) in pages {
        let named = page.split("<a id=\"").skip(1).filter_map(|rest| rest.split_once('"'));
        let mut anchors: BTreeSet<String> = named.map(|(anchor, _)| anchor.to_owned()).collect();
        if *path == "docs/semantics.md" {
            statements.clone_from(&anchors);
        }
        let headings = page.lines().filter(|line| line.starts_with('#'));
        anchors.extend(headings.map(|heading| slug(heading.trim_start_matches('#').trim())));
        all.insert((*path).to_owned(), anchors);
    }
    (all, statements)
}

/// What a heading is linked to by: small letters, digits, and a hyphen for each space.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

/// A repository for tests of rules: these files, and a page of semantics.
pub(crate) fn planted(paths: &[&str]) -> Repository {
    let semantics =
        "## <a id=\"7\"></a>7. Q\n- <a id=\"7.1\"></a>**7.1** ..\n<a id=\"7.13\"></a><a id=\"8\">";
    let pages = [("docs/semantics.md", semantics.to_owned()), ("README.md", "# One, `two` 3\n".to_owned())];
    let (anchors, statements) = anchors(&pages);
    let mut all = BTreeSet::new();
    for path in paths {
        let mut path = *path;
        while !path.is_empty() {
            all.insert(path.to_owned());
            path = folder(path);
        }
    }
    Repository { paths: all, anchors, statements }
}

#[test]
fn links_lead_from_the_folder_of_their_file() {
    let repository = planted(&["docs/semantics.md", "README.md", "src/queue/lane.rs"]);
    for (path, target, there) in [
        ("README.md", "docs/semantics.md", true),
        ("README.md", "docs/semantics.md#7.13", true),
        ("README.md", "docs/semantics.md#7.2", false),
        ("README.md", "#one-two-3", true),
        ("README.md", "#one", false),
        ("README.md", "docs", true),
        ("docs/semantics.md", "../README.md", true),
        ("docs/semantics.md", "../README.md#one-two-3", true),
        ("docs/semantics.md", "README.md", false),
        ("docs/semantics.md", "../../README.md", false),
        ("README.md", "semantics.md", false),
    ] {
        assert_eq!(repository.has_link(path, target), there, "{target} in {path}");
    }
    assert_eq!(repository.statements.iter().map(|s| &**s).collect::<Vec<_>>(), ["7", "7.1", "7.13", "8"]);
}
