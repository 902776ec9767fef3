//! Topic matching: what is promised of it (semantics 5.21), and the trie held against a matcher that compares word by
//! word.

use proptest::prelude::*;

use super::*;
use crate::model::fault::ReplyCode;
use crate::routing::ExchangeKind;

/// A matcher that can be seen to be right.
fn matches_naively(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((&"#", rest)), _) => {
            matches_naively(rest, key) || (!key.is_empty() && matches_naively(pattern, &key[1..]))
        }
        (Some(_), None) => false,
        (Some((&word, rest)), Some((&given, left))) => {
            (word == "*" || word == given) && matches_naively(rest, left)
        }
    }
}

fn words(key: &str) -> Vec<&str> {
    if key.is_empty() { Vec::new() } else { key.split('.').collect() }
}

fn topic(keys: &[&str]) -> ExchangeRoutes {
    let mut routes = ExchangeRoutes::new(ExchangeKind::Topic, &none());
    for (number, key) in (0..).zip(keys) {
        assert_eq!(routes.bind(queue(number), *key, &none()), Ok(true), "{key}");
    }
    routes
}

#[test]
fn keys_match_word_by_word() {
    for (pattern, key, expected) in [
        ("a.b", "a.b", true),
        ("a.b", "a.c", false),
        ("a.b", "a", false),
        ("a.b", "a.b.c", false),
        ("*", "a", true),
        ("*", "a.b", false),
        ("#", "", true),
        ("#", "a.b.c", true),
        ("#.#", "", true),
        ("", "", true),
        ("*", "", false),
        ("", "a", false),
        ("a.*.b", "a..b", true),
        ("*.*", ".", true),
        ("*", ".", false),
        ("a.#", "a", true),
        ("#.b", "b", true),
        ("a.#.b", "a.b", true),
        ("a.#.b", "a.x.y.b", true),
        ("a.#.b", "a.b.c", false),
        ("#.a.#", "x.a.y", true),
        ("#.a.#", "x.y", false),
        ("*.#", "", false),
        ("a*", "ab", false),
        ("a*", "a*", true),
        ("a#", "a#", true),
        ("*", "#", true),
        ("a.b", "A.b", false),
    ] {
        let matched = !reached(&topic(&[pattern]), key, &none()).is_empty();
        assert_eq!(matched, expected, "binding {pattern:?}, key {key:?}");
        assert_eq!(matches_naively(&words(pattern), &words(key)), expected, "naive: {pattern:?}, {key:?}");
    }
}

#[test]
fn more_than_two_hashes_are_refused_as_rabbitmq_does() {
    let mut routes = topic(&["#.a.#", "#a.#b.#c.#"]);
    let fault = routes.bind(queue(9), "a.#.b.#.c.#", &none()).expect_err("three hashes");
    assert_eq!(fault.code, ReplyCode::PreconditionFailed);
    assert_eq!(
        fault.text(),
        "PRECONDITION_FAILED - Topic binding key 'a.#.b.#.c.#' uses 3 '#' wildcards, at most 2 are allowed"
    );
    assert_eq!(routes.len(), 2);
    assert!(!routes.unbind(queue(9), "a.#.b.#.c.#", &none()), "unbinding it is no fault");
}

fn key_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(words), 0..7).prop_map(|words| words.join("."))
}

#[derive(Clone, Debug)]
enum Change {
    Bind(u64, String),
    Unbind(u64, String),
    RemoveDestination(u64),
}

fn change() -> impl Strategy<Value = Change> {
    let pattern = || key_of(&["a", "b", "", "*", "#", "#"]);
    prop_oneof![
        6 => (0..4_u64, pattern()).prop_map(|(number, key)| Change::Bind(number, key)),
        3 => (0..4_u64, pattern()).prop_map(|(number, key)| Change::Unbind(number, key)),
        1 => (0..4_u64).prop_map(Change::RemoveDestination),
    ]
}

proptest! {
    #[test]
    fn the_trie_agrees_with_the_naive_matcher(
        changes in prop::collection::vec(change(), 1..30),
        keys in prop::collection::vec(key_of(&["a", "b", "", "*", "#", "c"]), 1..10),
    ) {
        let mut routes = ExchangeRoutes::new(ExchangeKind::Topic, &none());
        let mut bound: BTreeSet<(u64, String)> = BTreeSet::new();
        for change in changes {
            match change {
                Change::Bind(number, key) => {
                    let allowed = words(&key).iter().filter(|&&word| word == "#").count() <= 2;
                    let expected = if allowed { Some(bound.insert((number, key.clone()))) } else { None };
                    prop_assert_eq!(routes.bind(queue(number), key.as_str(), &none()).ok(), expected);
                }
                Change::Unbind(number, key) => {
                    // Mostly one that is bound, or little would ever be unbound.
                    let key = bound.iter().find(|(of, _)| *of == number).map_or(key, |(_, key)| key.clone());
                    let existed = bound.remove(&(number, key.clone()));
                    prop_assert_eq!(routes.unbind(queue(number), key.as_str(), &none()), existed);
                }
                Change::RemoveDestination(number) => {
                    let before = bound.len();
                    bound.retain(|(of, _)| *of != number);
                    prop_assert_eq!(routes.remove_destination(queue(number)), before - bound.len());
                }
            }
        }
        for key in &keys {
            let expected: BTreeSet<Destination> = bound
                .iter()
                .filter(|(_, pattern)| matches_naively(&words(pattern), &words(key)))
                .map(|(number, _)| queue(*number))
                .collect();
            prop_assert_eq!(reached(&routes, key, &none()), expected, "key {:?}, bound {:?}", key, bound);
        }
    }
}
