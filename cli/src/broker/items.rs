//! A listing, item by item, as it comes: one of 100,000 queues is never held as a whole. The broker makes it in pieces too, and in
//! one answer what is there is walked once, where pages would have it walked again for each.

use bytes::{Buf, BytesMut};
use serde_json::Value;

use super::reply::Body;
use super::{Failure, Kind};

/// Bytes of one item.
const LARGEST: usize = 16 << 20;

/// The items of an answer that is a JSON array.
pub struct Items<'a> {
    body: Body<'a>,
    scanner: Scanner,
}

impl<'a> Items<'a> {
    pub(super) fn of(body: Body<'a>) -> Items<'a> {
        Items { body, scanner: Scanner::default() }
    }

    /// The next item; None at the end.
    pub fn next_item(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            match self.scanner.next().map_err(|what| Failure::new(Kind::Refused, what))? {
                Found::Item(item) => return Ok(Some(item)),
                // What follows is read too, so that the connection can be used again.
                Found::End => {
                    while self.body.next_piece()?.is_some() {}
                    return Ok(None);
                }
                Found::Part => match self.body.next_piece()? {
                    Some(piece) => self.scanner.bytes.extend_from_slice(&piece),
                    None => {
                        return Err(Failure::new(
                            Kind::Unreachable,
                            "the broker's answer ends in the middle",
                        ));
                    }
                },
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Found {
    Item(Value),
    /// More bytes are needed.
    Part,
    End,
}

/// Finds where each item of an array ends.
#[derive(Default)]
struct Scanner {
    /// What has come and is not part of an item before.
    bytes: BytesMut,
    /// How many of them have been looked at.
    seen: usize,
    /// How many brackets are open.
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    has_ended: bool,
}

impl Scanner {
    fn next(&mut self) -> Result<Found, String> {
        while !self.has_ended && self.seen < self.bytes.len() {
            let byte = self.bytes[self.seen];
            self.seen += 1;
            if self.in_text {
                self.in_text = self.is_escaped || byte != b'"';
                self.is_escaped = !self.is_escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'[' if self.depth == 0 => {
                    self.depth = 1;
                    self.bytes.advance(self.seen);
                    self.seen = 0;
                }
                byte if self.depth == 0 && !byte.is_ascii_whitespace() => {
                    return Err("the broker's answer is no list".to_owned());
                }
                b'"' => self.in_text = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' if self.depth > 1 => self.depth -= 1,
                b']' => {
                    self.has_ended = true;
                    let item = self.item()?;
                    return Ok(item.map_or(Found::End, Found::Item));
                }
                b',' if self.depth == 1 => {
                    let item = self.item()?.ok_or("the broker's answer has an item with nothing in it")?;
                    return Ok(Found::Item(item));
                }
                _ => {}
            }
        }
        if self.bytes.len() > LARGEST {
            return Err(format!("an item of the broker's answer is longer than {} MiB", LARGEST >> 20));
        }
        Ok(if self.has_ended { Found::End } else { Found::Part })
    }

    /// What stands before the bracket or comma that was just seen; None where there is nothing.
    fn item(&mut self) -> Result<Option<Value>, String> {
        let item = self.bytes.split_to(self.seen);
        self.seen = 0;
        let text = item[..item.len() - 1].trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        let item = serde_json::from_slice(text);
        item.map(Some).map_err(|error| format!("an item of the broker's answer is no JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The items of a text that comes in pieces of this size.
    fn items(text: &str, size: usize) -> Result<Vec<Value>, String> {
        let mut scanner = Scanner::default();
        let mut items = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            scanner.bytes.extend_from_slice(piece);
            loop {
                match scanner.next()? {
                    Found::Item(item) => items.push(item),
                    Found::Part => break,
                    Found::End => return Ok(items),
                }
            }
        }
        Err("cut".to_owned())
    }

    #[test]
    fn items_are_found_wherever_the_pieces_are_cut() {
        let text = r#" [ {"a":"],\"}\\","b":[1,{"c":[]}]} , 2,"x,y",[] ] "#;
        let expected = vec![json!({"a": "],\"}\\", "b": [1, {"c": []}]}), json!(2), json!("x,y"), json!([])];
        for size in 1..text.len() {
            assert_eq!(items(text, size).unwrap(), expected, "{size}");
        }
        assert_eq!(items("[]", 1).unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["{\"error\":1}", "[1,,2]", "[1}", "[1", "[x]", ""] {
            assert!(items(text, 3).is_err(), "{text}");
        }
        let mut scanner = Scanner::default();
        scanner.bytes.extend_from_slice(b"[\"");
        scanner.bytes.resize(LARGEST + 2, b'a');
        assert!(scanner.next().is_err());
    }
}
