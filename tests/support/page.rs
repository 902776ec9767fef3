//! Pages of `docs` that a test makes from what the code says: compared with the file, or written.

use std::path::Path;
use std::{env, fs};

/// Most letters of a line of running text.
const WIDTH: usize = 130;

/// The page has to be this text. With `LEVERET_WRITE_DOCS=1` in the environment it is made so.
pub(crate) fn must_be(path: &Path, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("LEVERET_WRITE_DOCS").is_some() {
        fs::write(&path, text).expect("the page can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differing = (1..).zip(text.lines().zip(found.lines())).find(|(_, (made, found))| made != found);
    assert!(
        found == text,
        "{} is not what the code says{}: write it anew with LEVERET_WRITE_DOCS=1",
        path.display(),
        differing.map_or(String::new(), |(line, (made, _))| format!(", line {line} would be: {made}")),
    );
}

/// Paragraphs in lines of at most [`WIDTH`] letters.
pub(crate) fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.trim().split("\n\n") {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}
