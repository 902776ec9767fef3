//! The exchange types that choose one destination: by hash or by chance (semantics 5.25 to 5.27). Texts as RabbitMQ
//! 4.3 gives them.

use leveret_codec::properties::encode_short_string;

use super::*;
use crate::model::ids::ExchangeId;
use crate::model::settings::QueueType;
use crate::routing::{Effort, End, ExchangeKind};

fn end(number: u64, name: &str) -> End<'_> {
    End { destination: queue(number), name, queue_type: QueueType::Classic }
}

/// An exchange with a binding per key, to queues that are named by their numbers.
fn bound(kind: ExchangeKind, arguments: &FieldTable, keys: &[&str]) -> ExchangeRoutes {
    let mut routes = ExchangeRoutes::new(kind, arguments);
    for (number, key) in (0..).zip(keys) {
        assert_eq!(routes.bind(end(number, &number.to_string()), *key, &none()), Ok(true));
    }
    routes
}

fn chosen_of(routes: &ExchangeRoutes, key: &str, raw: &[u8], draw: u64) -> u64 {
    let mut found = Vec::new();
    let properties = Properties::parse(raw).expect("properties of our own making");
    routes.matches(key.as_bytes(), properties, draw, &mut Effort::default(), &mut |destination| {
        found.push(destination);
    });
    match found[..] {
        [Destination::Queue(queue)] => queue.queue.0,
        _ => panic!("not one: {found:?}"),
    }
}

fn chosen(routes: &ExchangeRoutes, key: &str) -> u64 {
    chosen_of(routes, key, &Properties::default().with(&[]), 0)
}

fn all_chosen(routes: &ExchangeRoutes, messages: u64) -> Vec<u64> {
    (0..messages).map(|number| chosen(routes, &format!("key {number}"))).collect()
}

fn shares(chosen: &[u64], queues: u64) -> Vec<usize> {
    (0..queues).map(|queue| chosen.iter().filter(|&&to| to == queue).count()).collect()
}

fn assert_near(shares: &[usize], expected: &[usize]) {
    let near = shares.iter().zip(expected).all(|(&share, &expected)| share.abs_diff(expected) < expected / 5);
    assert!(near && shares.len() == expected.len(), "{shares:?} is not about {expected:?}");
}

const HASH: ExchangeKind = ExchangeKind::ConsistentHash;

#[test]
fn consistent_hash_gives_every_queue_its_weight() {
    let routes = bound(HASH, &none(), &["1", "2", "+3", "04"]);
    assert_near(&shares(&all_chosen(&routes, 10_000), 4), &[1000, 2000, 3000, 4000]);
}

#[test]
fn consistent_hash_moves_only_the_keys_of_what_comes_or_goes() {
    let mut routes = bound(HASH, &none(), &["10", "10", "10", "20"]);
    let before = all_chosen(&routes, 2000);
    assert!(routes.unbind(queue(1), "10", &none()));
    let without = all_chosen(&routes, 2000);
    assert!(before.iter().zip(&without).all(|(one, other)| one == other || *one == 1));
    assert!(!without.contains(&1));
    assert_eq!(routes.bind(end(1, "1"), "10", &none()), Ok(true));
    assert_eq!(all_chosen(&routes, 2000), before);
}

#[test]
fn consistent_hash_knows_destinations_by_name_alone() {
    let before = all_chosen(&bound(HASH, &none(), &["1", "1"]), 500);
    let mut routes = ExchangeRoutes::new(HASH, &none());
    let again = End { destination: Destination::Exchange(ExchangeId(4)), ..end(0, "1") };
    assert_eq!(routes.bind(again, "1", &none()), Ok(true));
    assert_eq!(routes.bind(end(77, "0"), "1", &none()), Ok(true));
    for (number, before) in before.iter().enumerate() {
        let mut found = Vec::new();
        let key = format!("key {number}");
        routes.matches(key.as_bytes(), Properties::default(), 0, &mut Effort::default(), &mut |to| {
            found.push(to);
        });
        assert_eq!(found, [if *before == 1 { again.destination } else { queue(77) }]);
    }
}

#[test]
fn a_hash_is_the_same_for_ever() {
    let chosen = all_chosen(&bound(HASH, &none(), &["1", "2", "3", "4"]), 12);
    assert_eq!(chosen, CONSISTENT);
    let chosen = all_chosen(&bound(ExchangeKind::ModulusHash, &none(), &["", "", "", ""]), 12);
    assert_eq!(chosen, MODULUS);
}

#[test]
fn consistent_hash_counts_one_binding_per_queue() {
    let mut routes = bound(HASH, &none(), &["10", "10"]);
    let again = fields([("again", text("and again"))]);
    for (key, arguments) in [("100", &none()), ("1", &none()), ("10", &again)] {
        assert_eq!(routes.bind(end(0, "0"), key, arguments), Ok(true));
        assert_near(&shares(&all_chosen(&routes, 2000), 2), &[1000, 1000]);
    }
    for (key, arguments, then) in
        [("10", &none(), [1818, 182]), ("1", &none(), [1818, 182]), ("100", &none(), [1000, 1000])]
    {
        assert!(routes.unbind(queue(0), key, arguments));
        assert_near(&shares(&all_chosen(&routes, 2000), 2), &then);
    }
    assert_eq!(routes.remove_destination(queue(0)), 1);
    assert_eq!(shares(&all_chosen(&routes, 100), 2), [0, 100]);
}

#[test]
fn consistent_hash_may_read_a_header_or_a_property() {
    let header = |value: Option<AMQPValue>| {
        let headers = fields(value.map(|value| ("who", value)));
        Properties::default().with(&[(Field::Headers, Some(table::encode(&headers)))])
    };
    let routes = bound(HASH, &fields([("hash-header", text("who"))]), &["1"; 8]);
    assert!(!routes.decides_by_keys_alone());
    let of = |value| chosen_of(&routes, "key", &header(value), 0);
    let by_text: BTreeSet<u64> = (0..200).map(|number| of(Some(text(&number.to_string())))).collect();
    assert_eq!(by_text.len(), 8);
    assert_eq!(of(Some(AMQPValue::LongInt(5))), of(Some(AMQPValue::LongLongInt(5))), "whatever its width");
    let by_bool = [true, false].map(|value| of(Some(AMQPValue::Boolean(value))));
    assert_eq!(by_bool, [true, false].map(|value| of(Some(AMQPValue::Boolean(value)))));
    let other_key = chosen_of(&routes, "other key", &header(None), 0);
    assert_eq!(of(None), other_key, "without the header all go to one");

    for (name, field) in [("message_id", Field::MessageId), ("correlation_id", Field::CorrelationId)] {
        let routes = bound(HASH, &fields([("hash-property", text(name))]), &["1"; 4]);
        let by_id: BTreeSet<u64> = (0..100)
            .map(|number| {
                let id = encode_short_string(format!("{number}").as_bytes());
                chosen_of(&routes, "key", &Properties::default().with(&[(field, Some(id))]), 0)
            })
            .collect();
        assert_eq!(by_id.len(), 4, "{name}");
    }
    let routes = bound(HASH, &fields([("hash-property", text("timestamp"))]), &["1"; 4]);
    let by_time: BTreeSet<u64> = (0..100u64)
        .map(|time| {
            let time = (Field::Timestamp, Some(time.to_be_bytes().to_vec()));
            chosen_of(&routes, "key", &Properties::default().with(&[time]), 0)
        })
        .collect();
    assert_eq!(by_time.len(), 4);
}

fn refusal(outcome: Result<impl Sized, crate::model::fault::Fault>) -> String {
    outcome.err().map(|fault| fault.explanation.into_owned()).unwrap_or_default()
}

#[test]
fn consistent_hash_refuses_what_is_no_weight_and_what_cannot_be_hashed() {
    let mut routes = ExchangeRoutes::new(HASH, &none());
    for (key, text) in [
        ("", "The binding key must be an integer: <<>>"),
        ("x", "The binding key must be an integer: <<\"x\">>"),
        ("1.5", "The binding key must be an integer: <<\"1.5\">>"),
        ("0", "The binding key must be greater than 0"),
        ("-1", "The binding key must be greater than 0"),
        ("10001", "The binding key must not exceed 10000"),
        ("99999999999999999999", "The binding key must not exceed 10000"),
        ("10000", ""),
    ] {
        assert_eq!(refusal(routes.bind(queue(1), key, &none())), text, "{key}");
    }
    let check = |arguments: &[(&'static str, AMQPValue)]| refusal(HASH.check(&fields(arguments.to_vec())));
    assert_eq!(check(&[("hash-header", text("h"))]), "");
    assert_eq!(check(&[("hash-property", text("bogus"))]), "Unsupported property: bogus");
    assert_eq!(
        check(&[("hash-header", text("h")), ("hash-property", text("message_id"))]),
        "hash-header and hash-property are mutually exclusive"
    );
    assert_eq!(check(&[("hash-header", AMQPValue::LongInt(1))]), "hash-header must be a string, not 1");
}

#[test]
fn modulus_hash_gives_every_binding_the_same_share() {
    let mut routes = bound(ExchangeKind::ModulusHash, &none(), &["a", "b", "c"]);
    assert_near(&shares(&all_chosen(&routes, 3000), 3), &[1000, 1000, 1000]);
    assert_eq!(routes.bind(end(0, "0"), "again", &none()), Ok(true));
    assert_near(&shares(&all_chosen(&routes, 4000), 3), &[2000, 1000, 1000]);
    assert_eq!(routes.remove_destination(queue(0)), 2);
    assert_near(&shares(&all_chosen(&routes, 4000), 3)[1..], &[2000, 2000]);
}

#[test]
fn random_does_as_it_is_told() {
    for kind in [ExchangeKind::Random, ExchangeKind::LocalRandom] {
        let routes = bound(kind, &none(), &["", "", ""]);
        let chosen = |draw| chosen_of(&routes, "k", &[0, 0], draw);
        assert_eq!([0, 1, 2, 3, u64::MAX].map(chosen), [0, 1, 2, 0, 0], "{kind}");
    }
    let mut nowhere = BTreeSet::new();
    let routes = bound(ExchangeKind::Random, &none(), &[]);
    routes.matches(b"k", Properties::default(), 5, &mut Effort::default(), &mut |to| {
        nowhere.insert(to);
    });
    assert!(nowhere.is_empty());
}

#[test]
fn local_random_takes_classic_queues_without_a_key() {
    let mut routes = ExchangeRoutes::new(ExchangeKind::LocalRandom, &none());
    let quorum = End { queue_type: QueueType::Quorum, ..end(1, "q") };
    let exchange = End { destination: Destination::Exchange(ExchangeId(1)), ..end(1, "x") };
    assert_eq!(refusal(routes.bind(end(1, "q"), "x", &none())), "Non empty binding 'x' key not permitted");
    assert_eq!(
        refusal(routes.bind(quorum, "", &none())),
        "Queue type rabbit_quorum_queue not valid for this exchange type"
    );
    assert_eq!(refusal(routes.bind(exchange, "", &none())), "Destination not found");
    assert_eq!(routes.bind(end(1, "q"), "", &none()), Ok(true));
}

/// What the queues have been since the first release with these types: a change moves everybody's keys.
const CONSISTENT: [u64; 12] = [1, 1, 2, 0, 3, 2, 3, 3, 2, 2, 1, 2];
const MODULUS: [u64; 12] = [2, 0, 1, 1, 1, 1, 2, 1, 0, 3, 1, 1];
