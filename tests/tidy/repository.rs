//! The repository as laws see it that ask whether something exists: its files, and the statements of
//! docs/semantics.md. And what stands where, as far as a reader would look for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Folders that are made by tools, in which nothing is of the repository.
const MADE: [&str; 8] =
    ["target", "node_modules", ".git", ".venv", ".work", "__pycache__", "leveret-data", "tmp"];

pub(crate) struct Repository {
    /// Every file and folder, from the root, with slashes.
    pub(crate) paths: BTreeSet<String>,
    /// The numbers of sections (`7`) and statements (`7.13`) of docs/semantics.md.
    pub(crate) statements: BTreeSet<String>,
}

impl Repository {
    pub(crate) fn read(root: &Path) -> Repository {
        let mut paths = BTreeSet::new();
        walk(root, "", &mut paths);
        let page = fs::read_to_string(root.join("docs/semantics.md")).expect("the page of semantics");
        Repository { paths, statements: anchors(&page) }
    }

    /// What a link in this file leads to, from the folder that the file is in.
    pub(crate) fn has_link(&self, path: &str, target: &str) -> bool {
        join(folder(path), target).is_some_and(|target| target.is_empty() || self.paths.contains(&target))
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

/// The anchors of a page: `<a id="7.13"></a>`.
pub(crate) fn anchors(page: &str) -> BTreeSet<String> {
    let anchors = page.split("<a id=\"").skip(1);
    anchors.filter_map(|rest| rest.split_once('"').map(|(anchor, _)| anchor.to_owned())).collect()
}

/// A repository for tests of laws.
pub(crate) fn planted(paths: &[&str]) -> Repository {
    let statements =
        anchors("## <a id=\"7\"></a>7. Q\n- <a id=\"7.1\"></a>**7.1** ..\n<a id=\"7.13\"></a><a id=\"8\">");
    let mut all = BTreeSet::new();
    for path in paths {
        let mut path = *path;
        while !path.is_empty() {
            all.insert(path.to_owned());
            path = folder(path);
        }
    }
    Repository { paths: all, statements }
}

#[test]
fn links_lead_from_the_folder_of_their_file() {
    let repository = planted(&["docs/bounds.md", "README.md", "src/queue/lane.rs"]);
    for (path, target, there) in [
        ("README.md", "docs/bounds.md", true),
        ("README.md", "docs", true),
        ("docs/bounds.md", "../README.md", true),
        ("docs/bounds.md", "README.md", false),
        ("docs/bounds.md", "../../README.md", false),
        ("README.md", "bounds.md", false),
    ] {
        assert_eq!(repository.has_link(path, target), there, "{target} in {path}");
    }
    assert_eq!(repository.statements.iter().map(|s| &**s).collect::<Vec<_>>(), ["7", "7.1", "7.13", "8"]);
}
