//! The topic exchange: keys are words between dots, `*` stands for one word, `#` for any number (semantics.md
//! 5.21). The bindings are a trie by word, so that a message costs what its own words and the wildcards they meet
//! cost, however many bindings there are.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use leveret_codec::properties::Properties;
use leveret_codec::table::FieldTable;
use smallvec::{SmallVec, smallvec};

use crate::model::fault::Fault;

use super::destinations::Destinations;
use super::{Binding, Destination, End, Keys, Matcher, Reads};

/// How many `#` a binding key may have: RabbitMQ 4.3's bound.
const MAX_HASHES: usize = 2;

const ROOT: usize = 0;

/// Nodes refer to each other by index, so that nothing recurses however long a key is.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    nodes: Vec<Node>,
    free: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    words: HashMap<Box<[u8]>, usize, RandomState>,
    star: Option<usize>,
    hash: Option<usize>,
    /// Of the bindings whose key ends here.
    destinations: Destinations,
    /// Behind another `#`, so that several ways may lead here with the same words left.
    below_hash: bool,
}

impl Default for Topic {
    fn default() -> Self {
        Topic { nodes: vec![Node::default()], free: Vec::new() }
    }
}

/// The words of a key. The empty key has none, though `.` has two empty ones.
fn words(key: &[u8]) -> SmallVec<[&[u8]; 16]> {
    if key.is_empty() { SmallVec::new() } else { key.split(|&byte| byte == b'.').collect() }
}

impl Node {
    fn next(&self, word: &[u8]) -> Option<usize> {
        match word {
            b"*" => self.star,
            b"#" => self.hash,
            _ => self.words.get(word).copied(),
        }
    }

    fn set_next(&mut self, word: &[u8], next: Option<usize>) {
        match (word, next) {
            (b"*", _) => self.star = next,
            (b"#", _) => self.hash = next,
            (_, Some(next)) => _ = self.words.insert(word.into(), next),
            (_, None) => _ = self.words.remove(word),
        }
    }

    fn is_leaf(&self) -> bool {
        self.words.is_empty() && self.star.is_none() && self.hash.is_none()
    }
}

impl Topic {
    /// The node behind `word`, made where there is none.
    fn descend(&mut self, from: usize, word: &[u8]) -> usize {
        if let Some(next) = self.nodes[from].next(word) {
            return next;
        }
        let next = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            self.nodes.len() - 1
        });
        self.nodes[next].below_hash = self.nodes[from].below_hash || word == b"#";
        self.nodes[from].set_next(word, Some(next));
        next
    }

    /// Reports what ends at the nodes that the words of a message lead to. Returns how many nodes it visited, which
    /// is what it cost.
    fn walk(&self, words: &[&[u8]], found: &mut dyn FnMut(Destination)) -> usize {
        let mut pending: SmallVec<[(usize, usize); 16]> = smallvec![(ROOT, 0)];
        let mut followed = BTreeMap::new();
        let mut visited = 0;
        while let Some((index, at)) = pending.pop() {
            visited += 1;
            let node = &self.nodes[index];
            match words.get(at) {
                None => node.destinations.report(found),
                Some(&word) => {
                    pending.extend(node.star.map(|star| (star, at + 1)));
                    pending.extend(node.words.get(word).map(|&next| (next, at + 1)));
                }
            }
            if let Some(hash) = node.hash {
                self.follow_hash(hash, node.below_hash, at, words.len(), &mut followed, &mut pending);
            }
        }
        visited
    }

    /// Goes on behind a `#` that takes up the words from `at` on: none, one, and so on to all. A `#` behind another
    /// one is reached with many values of `at`; what an earlier visit followed is left out, so that no node is
    /// visited twice with the same words left.
    fn follow_hash(
        &self,
        hash: usize,
        nested: bool,
        at: usize,
        end: usize,
        followed: &mut BTreeMap<usize, usize>,
        pending: &mut SmallVec<[(usize, usize); 16]>,
    ) {
        let mut until = end + 1;
        if nested {
            let earlier = followed.entry(hash).or_insert(until);
            until = *earlier;
            *earlier = until.min(at);
        }
        let from = if self.nodes[hash].is_leaf() { at.max(end) } else { at };
        pending.extend((from..until).map(|left| (hash, left)));
    }
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
        let end = words(binding.routing_key.as_bytes())
            .into_iter()
            .fold(ROOT, |node, word| self.descend(node, word));
        self.nodes[end].destinations.add(binding.destination);
    }

    fn remove(&mut self, binding: &Binding<'_>) {
        let mut path: SmallVec<[(usize, &[u8]); 16]> = SmallVec::new();
        let mut node = ROOT;
        for word in words(binding.routing_key.as_bytes()) {
            path.push((node, word));
            let Some(next) = self.nodes[node].next(word) else { return };
            node = next;
        }
        self.nodes[node].destinations.remove(binding.destination);
        for (parent, word) in path.into_iter().rev() {
            if !self.nodes[node].is_leaf() || !self.nodes[node].destinations.is_empty() {
                return;
            }
            self.nodes[parent].set_next(word, None);
            self.nodes[node] = Node::default();
            self.free.push(node);
            node = parent;
        }
    }

    fn matches(&self, routing_key: &[u8], _: Properties<'_>, _: u64, found: &mut dyn FnMut(Destination)) {
        self.walk(&words(routing_key), found);
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
        topic.walk(&words(key.as_bytes()), &mut |_| {})
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
