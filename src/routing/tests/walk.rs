//! The walk over exchanges: bindings between exchanges, alternate exchanges, cycles, several keys.

use std::collections::BTreeMap;

use leveret_codec::properties::Properties;
use smallvec::SmallVec;

use super::*;
use crate::model::ids::ExchangeId;
use crate::routing::{Envelope, ExchangeKind, Exchanges, route};

#[derive(Default)]
struct Harness {
    exchanges: BTreeMap<u64, (ExchangeRoutes, Option<u64>)>,
}

impl Exchanges for Harness {
    fn routes(&self, id: ExchangeId) -> Option<&ExchangeRoutes> {
        self.exchanges.get(&id.0).map(|(routes, _)| routes)
    }

    fn alternate(&self, id: ExchangeId) -> Option<ExchangeId> {
        self.exchanges.get(&id.0).and_then(|(_, alternate)| alternate.map(ExchangeId))
    }
}

impl Harness {
    fn with(mut self, id: u64, kind: ExchangeKind, alternate: Option<u64>) -> Harness {
        self.exchanges.insert(id, (ExchangeRoutes::new(kind, &none()), alternate));
        self
    }

    fn bound(mut self, id: u64, destination: Destination, key: &str) -> Harness {
        let (routes, _) = self.exchanges.get_mut(&id).expect("an exchange of this test");
        assert_eq!(routes.bind(destination, key, &none()), Ok(true));
        self
    }

    fn reached(&self, start: u64, keys: &[&str]) -> Vec<u64> {
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let mut into = SmallVec::new();
        route(self, ExchangeId(start), by(&keys), &mut into);
        into.iter().map(|queue| queue.queue.0).collect()
    }
}

const NOWHERE: [u64; 0] = [];

fn by<'a>(keys: &'a [&'a [u8]]) -> Envelope<'a> {
    Envelope { keys, properties: Properties::default(), draw: 0 }
}

fn exchange(number: u64) -> Destination {
    Destination::Exchange(ExchangeId(number))
}

#[test]
fn queues_are_found_once_over_the_whole_walk() {
    let harness = Harness::default()
        .with(1, ExchangeKind::Fanout, None)
        .with(2, ExchangeKind::Direct, None)
        .bound(1, queue(7), "a")
        .bound(1, queue(7), "b")
        .bound(1, queue(3), "")
        .bound(1, exchange(2), "")
        .bound(2, queue(7), "k")
        .bound(2, queue(1), "k");
    assert_eq!(harness.reached(1, &["k"]), [1, 3, 7]);
    assert_eq!(harness.reached(1, &["other"]), [3, 7]);
}

#[test]
fn cycles_end() {
    let harness = Harness::default()
        .with(1, ExchangeKind::Fanout, None)
        .with(2, ExchangeKind::Fanout, None)
        .bound(1, exchange(2), "")
        .bound(1, exchange(1), "")
        .bound(2, exchange(1), "")
        .bound(2, queue(1), "");
    assert_eq!(harness.reached(1, &["k"]), [1]);
    let alternates =
        Harness::default().with(1, ExchangeKind::Direct, Some(2)).with(2, ExchangeKind::Direct, Some(1));
    assert_eq!(alternates.reached(1, &["k"]), NOWHERE);
}

#[test]
fn the_alternate_is_for_what_this_exchange_matched_nothing_of() {
    let harness = Harness::default()
        .with(1, ExchangeKind::Fanout, None)
        .with(2, ExchangeKind::Direct, Some(3))
        .with(3, ExchangeKind::Direct, Some(4))
        .with(4, ExchangeKind::Fanout, None)
        .bound(1, queue(1), "")
        .bound(1, exchange(2), "")
        .bound(2, queue(2), "two")
        .bound(3, queue(3), "three")
        .bound(4, queue(4), "");
    assert_eq!(harness.reached(1, &["two"]), [1, 2]);
    assert_eq!(harness.reached(1, &["three"]), [1, 3], "though the walk had found a queue already");
    assert_eq!(harness.reached(1, &["four"]), [1, 4], "along the chain");
    assert_eq!(harness.reached(2, &["no", "two"]), [2], "one key of several is enough");
}

#[test]
fn a_match_without_queues_still_counts_as_a_match() {
    let harness = Harness::default()
        .with(1, ExchangeKind::Fanout, Some(3))
        .with(2, ExchangeKind::Direct, None)
        .with(3, ExchangeKind::Fanout, None)
        .bound(1, exchange(2), "")
        .bound(3, queue(3), "");
    assert_eq!(harness.reached(1, &["k"]), NOWHERE);
}

#[test]
fn exchanges_that_do_not_exist_are_passed_over() {
    let harness = Harness::default()
        .with(1, ExchangeKind::Fanout, None)
        .with(2, ExchangeKind::Direct, Some(99))
        .bound(1, exchange(98), "")
        .bound(1, queue(1), "");
    assert_eq!(harness.reached(1, &["k"]), [1]);
    assert_eq!(harness.reached(2, &["k"]), NOWHERE);
    assert_eq!(harness.reached(99, &["k"]), NOWHERE);
}

#[test]
fn every_key_is_tried() {
    let harness = Harness::default()
        .with(1, ExchangeKind::Topic, None)
        .bound(1, queue(1), "a.*")
        .bound(1, queue(2), "b")
        .bound(1, queue(3), "c");
    assert_eq!(harness.reached(1, &["a.x", "b", "b", "a.y"]), [1, 2]);
}

#[test]
fn many_keys_for_many_queues_do_not_pile_up() {
    let mut harness =
        Harness::default().with(1, ExchangeKind::Topic, None).with(2, ExchangeKind::Fanout, None);
    for number in 0..600 {
        harness = harness.bound(1, queue(number), "#").bound(2, queue(number), "");
    }
    let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    for start in [1, 2] {
        let mut into = SmallVec::new();
        route(&harness, ExchangeId(start), by(&keys), &mut into);
        assert_eq!(into.len(), 600);
        assert!(into.capacity() < 10 * 600, "room for {} was taken", into.capacity());
    }
}

#[test]
fn what_was_there_already_stays_once() {
    let harness =
        Harness::default().with(1, ExchangeKind::Fanout, None).bound(1, queue(2), "").bound(1, queue(1), "");
    let mut into = SmallVec::from_slice(&[queue_ref(9), queue_ref(2)]);
    route(&harness, ExchangeId(1), by(&[b"k"]), &mut into);
    assert_eq!(into[..], [queue_ref(1), queue_ref(2), queue_ref(9)]);
}

#[test]
fn only_a_walk_without_headers_exchanges_can_be_remembered() {
    let harness = Harness::default()
        .with(1, ExchangeKind::Topic, None)
        .with(2, ExchangeKind::Headers, None)
        .with(3, ExchangeKind::Direct, None)
        .bound(1, exchange(2), "via.headers")
        .bound(1, exchange(3), "via.direct");
    let remembered = |key: &str| {
        let mut into = SmallVec::new();
        route(&harness, ExchangeId(1), by(&[key.as_bytes()]), &mut into).by_keys_alone
    };
    assert!(remembered("via.direct"));
    assert!(!remembered("via.headers"));
}
