//! What a broker leaves out of RabbitMQ's fields, and why: lines of `PATH FIELD: REASON`, where `*` stands for anything.

use anyhow::{Result, bail};

use crate::outcome::fits;

/// More of them would be no exceptions.
const MOST: usize = 40;

#[derive(Debug)]
pub(super) struct LeftOut(Vec<Line>);

#[derive(Debug)]
struct Line {
    path: String,
    field: String,
    text: String,
    is_needed: bool,
}

impl LeftOut {
    /// Empty lines, and those that begin with `#`, say nothing.
    pub(super) fn read(text: &str) -> Result<LeftOut> {
        let mut lines = Vec::new();
        for text in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let Some((what, reason)) = text.split_once(": ") else { bail!("no reason: {text}") };
            let Some((path, field)) = what.split_once(' ') else { bail!("no field: {text}") };
            if reason.trim().is_empty() {
                bail!("no reason: {text}");
            }
            let (path, field) = (path.to_owned(), field.to_owned());
            lines.push(Line { path, field, text: text.to_owned(), is_needed: false });
        }
        if lines.len() > MOST {
            bail!("{} lines are more than {MOST}", lines.len());
        }
        Ok(LeftOut(lines))
    }

    /// Whether a field may be left out, and notes what says so.
    pub(super) fn has(&mut self, path: &str, field: &str) -> bool {
        let mut has = false;
        for line in self.0.iter_mut().filter(|line| fits(&line.path, path) && fits(&line.field, field)) {
            line.is_needed = true;
            has = true;
        }
        has
    }

    /// Lines by which nothing was left out.
    pub(super) fn not_needed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|line| !line.is_needed).map(|line| line.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_leaves_out_what_it_names_and_is_to_be_needed() {
        let mut left_out = LeftOut::read("# why\n\n/a* *.b: no b\n/c d: none: at all\n").unwrap();
        assert!(left_out.has("/a/x?y", "z.b") && !left_out.has("/a", "b") && !left_out.has("/b", "z.b"));
        assert_eq!(left_out.not_needed().collect::<Vec<_>>(), ["/c d: none: at all"]);
        assert!(left_out.has("/c", "d"));
        assert_eq!(left_out.not_needed().count(), 0);
    }

    #[test]
    fn reasons_are_asked_for_and_lines_are_counted() {
        assert!(LeftOut::read("/a b").is_err() && LeftOut::read("/a b: ").is_err());
        assert!(LeftOut::read("/a: why").is_err());
        assert!(LeftOut::read(&"/a b: c\n".repeat(MOST)).is_ok());
        assert!(LeftOut::read(&"/a b: c\n".repeat(MOST + 1)).is_err());
    }
}
