//! What no tree leads to any more, found by looking at every page of a file: chunks, where branches of their tree are lost
//! (whether a record in one is what was stored is for its own checksum to say), and lists of tables, where the head is.

use std::collections::BTreeMap;

use super::super::format::names;
use super::page::{Node, PAGE, PageNumber, Widths};
use super::tree::{Hit, Pages};
use super::{Tables, chunk_key, list};

/// Lists of tables that are looked at: old ones stay in a file until their page is used again.
const MOST_LISTS: usize = 256;
/// Chunks that are remembered (about 64 bytes each): a file of 512 MiB has at most half as many leaves.
const MOST: usize = 1 << 18;

/// Where chunks were found.
#[derive(Debug, Default)]
pub(super) struct Stray(BTreeMap<(u64, u32), Hit>);

impl Stray {
    /// Looks through a file, from its begin to its end.
    pub(super) fn find(pages: &Pages) -> Stray {
        let mut found = Stray::default();
        let mut at = PAGE as u64;
        while at + PAGE as u64 <= pages.len && found.0.len() < MOST {
            at += found.look(pages, at).unwrap_or(PAGE as u64);
        }
        found
    }

    /// Takes what is in the page that begins here; how long that page is.
    fn look(&mut self, pages: &Pages, at: u64) -> Option<u64> {
        let head = pages.read(at..at + PAGE as u64)?;
        let Node::Leaf(leaf) = Node::parse(&head, Widths { key: Some(12), value: None })? else {
            return None;
        };
        let mut end = leaf.key_section();
        let mut chunks = Vec::new();
        for pair in 0..leaf.pairs() {
            let value = leaf.value_range(pair).filter(|value| value.start == end && !value.is_empty())?;
            end = value.end;
            chunks.push((chunk_key(leaf.key(pair)?)?, value));
        }
        let len = (end.max(PAGE) as u64).next_power_of_two();
        if at + len > pages.len || !chunks.is_sorted_by(|one, next| one.0 < next.0) {
            return None;
        }
        let page = PageNumber::at(at, len)?;
        for (key, value) in chunks {
            self.0.entry(key).or_insert(Hit { page, value });
        }
        Some(len)
    }

    pub(super) fn hit(&self, number: u64, part: u32) -> Option<Hit> {
        self.0.get(&(number, part)).cloned()
    }
}

/// Everything in a file that looks like a list of the tables of a journal, or of a catalog.
pub(super) fn lists_of_tables(pages: &Pages) -> Vec<Tables> {
    let mut lists = Vec::new();
    let mut at = PAGE as u64;
    while at + PAGE as u64 <= pages.len && lists.len() < MOST_LISTS {
        let page = pages.read(at..at + PAGE as u64);
        let widths = Widths { key: None, value: None };
        if let Some(Node::Leaf(leaf)) = page.as_ref().and_then(|page| Node::parse(page, widths)) {
            let mut tables = Tables::new();
            leaf.rows().for_each(|(name, definition)| list(&mut tables, name, definition));
            if tables.contains_key(names::META) {
                lists.push(tables);
            }
        }
        at += PAGE as u64;
    }
    lists
}
