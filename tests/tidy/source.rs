//! A source file taken apart: code without comments and strings, comments as passages of text, the paths that are
//! imported. What is right or wrong in them is for the rules.

use std::collections::HashSet;

use super::is_word_byte;

pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let bytes = text.as_bytes();
    text.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).is_some_and(|before| is_word_byte(bytes[before]));
        let after = bytes.get(at + word.len()).is_some_and(|&after| is_word_byte(after));
        !before && (!after || word.ends_with('!'))
    })
}

/// A file, taken apart. `code`, `product` and `tests` keep the lines of the text.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    /// Without comments and without what stands in strings.
    pub(crate) code: String,
    /// The code but for items under `#[cfg(test)]`.
    pub(crate) product: String,
    /// Only those items.
    pub(crate) tests: String,
    /// Each line of a comment: its number, and the comment with its slashes.
    comments: Vec<(usize, String)>,
    /// Lines with a comment.
    pub(crate) commented: HashSet<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn read(text: &'a str) -> Source<'a> {
        let (code, comments) = blank(text);
        let commented = comments.iter().map(|(line, _)| *line).collect();
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
        Source { text, product: string(product), tests: string(tests), code, comments, commented }
    }

    /// What its comments say: lines that follow each other are one passage.
    pub(crate) fn passages(&self) -> Vec<Passage> {
        let mut passages: Vec<Passage> = Vec::new();
        let mut before = 0;
        for (line, comment) in &self.comments {
            let said = comment.trim().trim_start_matches(['/', '!', '*']).trim();
            match passages.last_mut() {
                Some(passage) if before + 1 == *line => passage.append(*line, said),
                _ => passages.push(Passage::starting(*line, said)),
            }
            before = *line;
        }
        passages
    }

    /// Every path in some code, with its line: written out (`a::b`), or imported (groups taken apart; an import that
    /// starts with a crate or module name is also given as `use name...`).
    pub(crate) fn paths(&self, code: &str) -> Vec<(usize, String)> {
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

/// Text that reads on over several lines of a file.
pub(crate) struct Passage {
    pub(crate) text: String,
    /// Where in the text each line of the file begins, and its number.
    starts: Vec<(usize, usize)>,
}

impl Passage {
    fn starting(line: usize, text: &str) -> Passage {
        Passage { text: text.to_owned(), starts: vec![(0, line)] }
    }

    fn append(&mut self, line: usize, text: &str) {
        self.text.push(' ');
        self.starts.push((self.text.len(), line));
        self.text.push_str(text);
    }

    /// A page, whose lines all read on.
    pub(crate) fn of_page(text: &str) -> Passage {
        let mut passage = Passage::starting(1, "");
        for (line, text) in numbered(text) {
            passage.append(line, text.trim());
        }
        passage
    }

    /// The line of the file in which this place of the text stands.
    pub(crate) fn line(&self, at: usize) -> usize {
        let after = self.starts.partition_point(|(start, _)| *start <= at);
        after.checked_sub(1).map_or(1, |last| self.starts[last].1)
    }
}

/// The paths of an import: `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
pub(crate) fn use_tree(tree: &str) -> Vec<String> {
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

/// The text with comments and the contents of strings and characters blanked, byte for byte, and every line of a
/// comment with its number.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let mut code = String::with_capacity(text.len());
    let mut comments = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while !rest.is_empty() {
        let word = code.bytes().last().is_some_and(is_word_byte);
        let comment = rest.starts_with("//") || rest.starts_with("/*");
        let len = if comment { comment_len(rest) } else { literal_len(rest, word) };
        let (piece, after) =
            rest.split_at(len.unwrap_or_else(|| rest.chars().next().map_or(0, char::len_utf8)));
        if comment {
            comments.extend((line..).zip(piece.split('\n').map(str::to_owned)));
        }
        let keep = len.is_none() && piece.is_ascii();
        code.extend(piece.bytes().map(|byte| if keep || byte == b'\n' { char::from(byte) } else { ' ' }));
        line += piece.matches('\n').count();
        rest = after;
    }
    (code, comments)
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
    let comments = [(2, "/* b"), (3, "c */"), (4, "// e")].map(|(line, text)| (line, text.to_owned()));
    assert_eq!(blank("a\n/* b\nc */\nd // e").1, comments);
}

#[test]
fn comments_read_on_over_lines() {
    let source = Source::read("//! One two\n//! three.\n\nf(); // four\n/* five\n * six */\n\n/// seven");
    let passages = source.passages();
    let texts: Vec<&str> = passages.iter().map(|passage| &*passage.text).collect();
    assert_eq!(texts, ["One two three.", "four five six */", "seven"]);
    assert_eq!([0, 7, 8, 13].map(|at| passages[0].line(at)), [1, 1, 2, 2]);
    assert_eq!([0, 5, 10].map(|at| passages[1].line(at)), [4, 5, 6]);
    let page = Passage::of_page("a\n\n- b");
    assert_eq!(page.line(page.text.find('b').expect("it is there")), 3);
}
