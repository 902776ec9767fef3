//! The topic exchange: keys are words between dots, `*` stands for one word, `#` for any number (semantics
//! 5.21). The bindings are a trie by word, so that a message costs what its own words and the wildcards they meet
//! cost, however many bindings there are.
//!
//! What comes behind the last `#` of a binding has a known length, so it is looked for at the end of the message's key
//! alone. Behind another `#` every place has to be tried.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use foldhash::fast::RandomState;
use leveret_codec::properties::Properties;
use leveret_codec::table::FieldTable;
use smallvec::{SmallVec, smallvec};

use crate::model::fault::Fault;
use crate::model::growing::Growing;
use crate::model::sparse::ShrinkIfSparse;

use super::destinations::Destinations;
use super::{Binding, Effort, End, Keys, Matcher, Reads};
use crate::model::ids::Destination;

/// How many `#` a binding key may have: RabbitMQ 4.3's bound.
const MAX_HASHES: usize = 2;

const ROOT: usize = 0;

/// Nodes that lie together: no more than these are moved where one is added.
const CHUNK: usize = 256;

/// Nodes refer to each other by index, so that nothing recurses however long a key is.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    nodes: Nodes,
    free: Vec<usize>,
}

/// All nodes, in chunks of [`CHUNK`], of which the last one may be shorter.
#[derive(Clone, Debug, Default)]
struct Nodes(Vec<Vec<Node>>);

impl Nodes {
    fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    /// Adds a node; returns its index.
    fn add(&mut self) -> usize {
        let index = self.len();
        match self.0.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(Node::default()),
            Some(_) => {
                let mut next = Vec::with_capacity(CHUNK);
                next.push(Node::default());
                self.0.push(next);
            }
            None => self.0.push(vec![Node::default()]),
        }
        index
    }
}

impl Index<usize> for Nodes {
    type Output = Node;

    fn index(&self, index: usize) -> &Node {
        &self.0[index / CHUNK][index % CHUNK]
    }
}

impl IndexMut<usize> for Nodes {
    fn index_mut(&mut self, index: usize) -> &mut Node {
        &mut self.0[index / CHUNK][index % CHUNK]
    }
}

/// The words behind a node, and where they lead. Most nodes have one, some have very many.
#[derive(Clone, Debug, Default)]
enum Words {
    #[default]
    None,
    One(Box<[u8]>, usize),
    Many(Box<Growing<Box<[u8]>, usize, RandomState>>),
}

impl Words {
    fn get(&self, word: &[u8]) -> Option<usize> {
        match self {
            Words::None => None,
            Words::One(only, next) => (**only == *word).then_some(*next),
            Words::Many(all) => all.get(word).copied(),
        }
    }

    /// Adds a word that is not there.
    fn insert(&mut self, word: &[u8], next: usize) {
        match std::mem::take(self) {
            Words::None => *self = Words::One(word.into(), next),
            Words::One(only, of_only) => {
                let mut all = Box::<Growing<_, _, _>>::default();
                all.insert(only, of_only);
                all.insert(word.into(), next);
                *self = Words::Many(all);
            }
            Words::Many(mut all) => {
                all.insert(word.into(), next);
                *self = Words::Many(all);
            }
        }
    }

    fn remove(&mut self, word: &[u8]) {
        match self {
            Words::None => {}
            Words::One(only, _) => {
                if **only == *word {
                    *self = Words::None;
                }
            }
            Words::Many(all) => {
                all.remove(word);
                all.shrink_if_sparse();
                if all.is_empty() {
                    *self = Words::None;
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Words::None)
    }
}

#[derive(Clone, Debug, Default)]
struct Node {
    words: Words,
    star: Option<usize>,
    /// A `#` with another one behind it.
    hash: Option<usize>,
    last_hash: Option<usize>,
    /// Of the last `#`: how many words come behind it, and in how many bindings.
    tails: BTreeMap<usize, usize>,
    /// Of the bindings whose key ends here.
    destinations: Destinations,
    /// Behind another `#`, so that several ways may lead here with the same words left.
    below_hash: bool,
}

impl Default for Topic {
    fn default() -> Self {
        let mut nodes = Nodes::default();
        nodes.add();
        Topic { nodes, free: Vec::new() }
    }
}

/// A part of a binding's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Word(&'a [u8]),
    Star,
    Hash,
    LastHash,
}

/// The parts of a binding's key, and how many words come behind the last `#`.
fn parts(key: &str) -> (SmallVec<[Part<'_>; 16]>, usize) {
    let words = words(key.as_bytes());
    let last = words.iter().rposition(|&word| word == b"#");
    let parts = words.iter().enumerate().map(|(at, &word)| match word {
        b"*" => Part::Star,
        b"#" if Some(at) == last => Part::LastHash,
        b"#" => Part::Hash,
        _ => Part::Word(word),
    });
    (parts.collect(), last.map_or(0, |last| words.len() - last - 1))
}

/// The words of a key. The empty key has none, though `.` has two empty ones.
fn words(key: &[u8]) -> SmallVec<[&[u8]; 16]> {
    if key.is_empty() { SmallVec::new() } else { key.split(|&byte| byte == b'.').collect() }
}

impl Node {
    fn next(&self, part: Part<'_>) -> Option<usize> {
        match part {
            Part::Star => self.star,
            Part::Hash => self.hash,
            Part::LastHash => self.last_hash,
            Part::Word(word) => self.words.get(word),
        }
    }

    fn set_next(&mut self, part: Part<'_>, next: Option<usize>) {
        match (part, next) {
            (Part::Star, _) => self.star = next,
            (Part::Hash, _) => self.hash = next,
            (Part::LastHash, _) => self.last_hash = next,
            (Part::Word(word), Some(next)) => self.words.insert(word, next),
            (Part::Word(word), None) => self.words.remove(word),
        }
    }

    /// One binding more or less with so many words behind this `#`.
    fn count_tail(&mut self, length: usize, comes: bool) {
        let count = self.tails.entry(length).or_default();
        *count = if comes { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            self.tails.remove(&length);
        }
    }

    fn is_leaf(&self) -> bool {
        self.words.is_empty() && self.star.is_none() && self.hash.is_none() && self.last_hash.is_none()
    }
}

impl Topic {
    /// The node behind `part`, made where there is none.
    fn descend(&mut self, from: usize, part: Part<'_>) -> usize {
        if let Some(next) = self.nodes[from].next(part) {
            return next;
        }
        let next = self.free.pop().unwrap_or_else(|| self.nodes.add());
        self.nodes[next].below_hash =
            self.nodes[from].below_hash || matches!(part, Part::Hash | Part::LastHash);
        self.nodes[from].set_next(part, Some(next));
        next
    }

    /// Reports what ends at the nodes that the words of a message lead to. Every node visited is a step.
    fn walk(&self, words: &[&[u8]], effort: &mut Effort, found: &mut dyn FnMut(Destination)) {
        let mut pending: Pending = smallvec![(ROOT, 0)];
        let mut followed = Followed::new();
        let end = words.len();
        while let Some((index, at)) = pending.pop() {
            if !effort.spend(1) {
                return;
            }
            let node = &self.nodes[index];
            match words.get(at) {
                None => node.destinations.report(found),
                Some(&word) => {
                    pending.extend(node.star.map(|star| (star, at + 1)));
                    pending.extend(node.words.get(word).map(|next| (next, at + 1)));
                }
            }
            if let Some(hash) = node.hash {
                let until = first_visited(hash, node.below_hash, at, end, &mut followed);
                pending.extend((at..until).map(|left| (hash, left)));
            }
            if let Some(hash) = node.last_hash {
                let until = first_visited(hash, node.below_hash, at, end, &mut followed);
                let lengths = self.nodes[hash].tails.keys();
                let places = lengths.map_while(|&length| end.checked_sub(length));
                pending.extend(places.filter(|left| (at..until).contains(left)).map(|left| (hash, left)));
            }
        }
    }
}

type Pending = SmallVec<[(usize, usize); 16]>;

/// From which word on what is behind a `#` has been visited.
type Followed = BTreeMap<usize, usize>;

/// A `#` takes up the words from `at` on: none, one, and so on to all. One behind another (`nested`) is reached with many
/// values of `at`; what an earlier visit followed is left out, so that no node is visited twice with the same words left.
fn first_visited(hash: usize, nested: bool, at: usize, end: usize, followed: &mut Followed) -> usize {
    if !nested {
        return end + 1;
    }
    let earlier = followed.entry(hash).or_insert(end + 1);
    let until = *earlier;
    *earlier = until.min(at);
    until
}

impl Matcher for Topic {
    fn check(&self, _: &End<'_>, routing_key: &str, _arguments: &FieldTable) -> Result<(), Fault> {
        let hashes = routing_key.split('.').filter(|&word| word == "#").count();
        if hashes <= MAX_HASHES {
            return Ok(());
        }
        Err(Fault::precondition(format!(
            "Topic binding key '{routing_key}' uses {hashes} '#' wildcards, at most {MAX_HASHES} are allowed"
        )))
    }

    fn insert(&mut self, binding: &Binding<'_>) {
        let (parts, tail) = parts(binding.routing_key);
        let mut node = ROOT;
        for part in parts {
            node = self.descend(node, part);
            if part == Part::LastHash {
                self.nodes[node].count_tail(tail, true);
            }
        }
        self.nodes[node].destinations.add(binding.destination);
    }

    fn remove(&mut self, binding: &Binding<'_>) {
        let (parts, tail) = parts(binding.routing_key);
        let mut path: SmallVec<[(usize, Part<'_>); 16]> = SmallVec::new();
        let mut node = ROOT;
        for part in parts {
            path.push((node, part));
            let Some(next) = self.nodes[node].next(part) else { return };
            node = next;
            if part == Part::LastHash {
                self.nodes[node].count_tail(tail, false);
            }
        }
        self.nodes[node].destinations.remove(binding.destination);
        for (parent, part) in path.into_iter().rev() {
            if !self.nodes[node].is_leaf() || !self.nodes[node].destinations.is_empty() {
                return;
            }
            self.nodes[parent].set_next(part, None);
            self.nodes[node] = Node::default();
            self.free.push(node);
            node = parent;
        }
    }

    fn matches(
        &self,
        routing_key: &[u8],
        _: Properties<'_>,
        _: u64,
        effort: &mut Effort,
        found: &mut dyn FnMut(Destination),
    ) {
        self.walk(&words(routing_key), effort, found);
    }

    fn reads(&self) -> Reads {
        Reads { keys: Keys::All, nothing_else: true }
    }

    fn boxed_clone(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::ids::ExchangeId;

    use super::*;

    fn topic_of(keys: impl IntoIterator<Item = String>) -> Topic {
        let mut topic = Topic::default();
        for (number, key) in (0..).zip(keys) {
            topic.insert(&Binding {
                name: "",
                destination: Destination::Exchange(ExchangeId(number)),
                routing_key: &Arc::from(key),
                arguments: &FieldTable::default(),
                encoded_arguments: &[],
            });
        }
        topic
    }

    fn visits(topic: &Topic, key: &str) -> usize {
        let mut effort = Effort::default();
        topic.walk(&words(key.as_bytes()), &mut effort, &mut |_| {});
        effort.spent()
    }

    #[test]
    fn what_is_behind_the_last_hash_is_looked_for_at_the_end_alone() {
        // Each of 428 patterns finds its first word somewhere, and its second one could be anywhere behind.
        let letters = || (b'a'..=b'v').map(char::from);
        let keys = letters().flat_map(|one| letters().map(move |other| format!("#.{one}.#.{other}.*")));
        let topic = topic_of(keys.take(428));
        let key: Vec<_> = letters().cycle().take(127).map(String::from).collect();
        let cost = visits(&topic, &key.join("."));
        assert!(cost < 500, "{cost} visits");
    }

    #[test]
    fn a_search_ends_where_its_effort_does() {
        let topic = topic_of(["#.a.#".to_owned(), "#".to_owned()]);
        let (mut effort, mut found) = (Effort::default(), 0);
        for _ in 0..10 * crate::routing::MOST_EFFORT {
            topic.walk(&words(b"a.b.c"), &mut effort, &mut |_| found += 1);
            if effort.is_too_much() {
                break;
            }
        }
        assert!(effort.is_too_much() && effort.spent() == crate::routing::MOST_EFFORT && found > 0);
    }

    #[test]
    fn a_message_costs_the_same_among_ten_bindings_and_ten_thousand() {
        let keys = |count: usize| (0..count).map(|n| format!("a.{n}.*.x"));
        let few = visits(&topic_of(keys(10)), "a.7.b.x");
        let many = visits(&topic_of(keys(10_000)), "a.7.b.x");
        assert_eq!((few, many), (5, 5));
    }

    #[test]
    fn repeated_hashes_cost_no_more_than_nodes_times_words() {
        // More than a client may bind: the bound is the walk's own.
        for hashes in 1..12 {
            let topic = topic_of([format!("{}b", "#.a.".repeat(hashes))]);
            let key = vec!["a"; 100].join(".");
            let most = topic.nodes.len() * 101;
            let cost = visits(&topic, &key);
            assert!(cost <= most, "{cost} visits for {hashes} hashes, {most} at most");
        }
    }

    #[test]
    fn a_trailing_hash_is_one_visit_however_long_the_key() {
        let topic = topic_of(["a.#".to_owned()]);
        assert_eq!(visits(&topic, &vec!["a"; 100].join(".")), 3);
    }

    #[test]
    fn one_binding_more_moves_few_nodes_and_all_are_found_again() {
        let keys = |count: usize| (0..count).map(|n| format!("a.{n}.b"));
        let mut topic = topic_of(keys(20_000));
        assert_eq!(topic.nodes.len(), 2 + 2 * 20_000);
        assert!(topic.nodes.0.iter().all(|chunk| chunk.capacity() <= CHUNK));
        for number in [0, 127, 128, 9_999, 19_999] {
            assert_eq!(visits(&topic, &format!("a.{number}.b")), 4);
        }
        for (number, key) in (0..).zip(keys(20_000)) {
            topic.remove(&Binding {
                name: "",
                destination: Destination::Exchange(ExchangeId(number)),
                routing_key: &Arc::from(key),
                arguments: &FieldTable::default(),
                encoded_arguments: &[],
            });
        }
        assert!(topic.nodes[ROOT].is_leaf());
    }

    #[test]
    fn removed_bindings_leave_no_nodes_behind() {
        let keys = ["a.b.c", "a.b", "#.x.#", "*.b", "a.*.c", ""];
        let mut topic = topic_of(keys.map(str::to_owned));
        let made = topic.nodes.len();
        for (number, key) in (0..).zip(keys) {
            topic.remove(&Binding {
                name: "",
                destination: Destination::Exchange(ExchangeId(number)),
                routing_key: &Arc::from(key),
                arguments: &FieldTable::default(),
                encoded_arguments: &[],
            });
        }
        assert!(topic.nodes[ROOT].is_leaf() && topic.nodes[ROOT].destinations.is_empty());
        assert_eq!(topic.free.len(), made - 1);
    }
}
