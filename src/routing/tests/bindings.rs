//! What a binding is known by, how bindings come and go, and the exchange types that need no more than that.

use leveret_codec::table::AMQPValue;

use super::*;
use crate::model::ids::ExchangeId;
use crate::routing::{ExchangeKind, Keys};

#[test]
fn a_binding_is_known_by_destination_key_and_arguments() {
    let mut routes = ExchangeRoutes::new(ExchangeKind::Direct, &none());
    let one = fields([("a", AMQPValue::LongInt(1))]);
    assert_eq!(routes.bind(queue(1), "k", &none()), Ok(true));
    assert_eq!(routes.bind(queue(1), "k", &none()), Ok(false));
    assert_eq!(routes.bind(queue(1), "k", &one), Ok(true));
    assert_eq!(routes.bind(queue(1), "l", &none()), Ok(true));
    assert_eq!(routes.bind(queue(2), "k", &none()), Ok(true));
    assert_eq!(routes.len(), 4);
    let listed: Vec<_> = routes.bindings().map(|(to, key, arguments)| (to, key, arguments.clone())).collect();
    assert_eq!(
        listed,
        [(queue(1), "k", none()), (queue(1), "k", one), (queue(1), "l", none()), (queue(2), "k", none())]
    );
    assert_eq!(routes.bindings_to(queue(2)).collect::<Vec<_>>(), [("k", &none())]);
}

#[test]
fn arguments_that_do_not_equal_themselves_are_still_the_same_binding() {
    let mut routes = ExchangeRoutes::new(ExchangeKind::Fanout, &none());
    let nan = fields([("a", AMQPValue::Double(f64::NAN))]);
    assert_eq!(routes.bind(queue(1), "", &nan), Ok(true));
    assert_eq!(routes.bind(queue(1), "", &nan), Ok(false));
    assert!(routes.unbind(queue(1), "", &nan));
    assert!(routes.is_empty());
}

#[test]
fn a_destination_bound_twice_stays_until_both_bindings_are_gone() {
    for kind in [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers] {
        let mut routes = ExchangeRoutes::new(kind, &none());
        let other = fields([("x-other", AMQPValue::Void)]);
        assert_eq!(routes.bind(queue(1), "k", &none()), Ok(true));
        assert_eq!(routes.bind(queue(1), "k", &other), Ok(true));
        assert!(routes.unbind(queue(1), "k", &none()));
        assert!(!routes.unbind(queue(1), "k", &none()), "{kind}: unbinding what is not bound");
        assert_eq!(reached(&routes, "k", &none()), [queue(1)].into(), "{kind}");
        assert!(routes.unbind(queue(1), "k", &other));
        assert_eq!(reached(&routes, "k", &none()), [].into(), "{kind}");
    }
}

#[test]
fn removing_a_destination_leaves_the_others() {
    for kind in [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers] {
        let mut routes = ExchangeRoutes::new(kind, &none());
        let exchange = Destination::Exchange(ExchangeId(1));
        for (destination, key) in [(queue(1), "k"), (queue(1), "l"), (queue(2), "k"), (exchange, "k")] {
            assert_eq!(routes.bind(destination, key, &none()), Ok(true));
        }
        assert_eq!(routes.remove_destination(queue(1)), 2, "{kind}");
        assert_eq!(routes.remove_destination(queue(1)), 0, "{kind}");
        assert_eq!(reached(&routes, "k", &none()), [queue(2), exchange].into(), "{kind}");
        assert_eq!(routes.remove_destination(exchange), 1, "{kind}");
        assert_eq!(routes.remove_destination(queue(2)), 1, "{kind}");
        assert!(routes.is_empty(), "{kind}");
        assert_eq!(reached(&routes, "k", &none()), [].into(), "{kind}");
    }
}

#[test]
fn a_clone_goes_its_own_way() {
    let mut routes = ExchangeRoutes::new(ExchangeKind::Topic, &none());
    assert_eq!(routes.bind(queue(1), "a.*", &none()), Ok(true));
    let before = routes.clone();
    assert!(routes.unbind(queue(1), "a.*", &none()));
    assert_eq!(reached(&before, "a.b", &none()), [queue(1)].into());
    assert_eq!(reached(&routes, "a.b", &none()), [].into());
}

#[test]
fn direct_asks_for_equal_keys() {
    let mut routes = ExchangeRoutes::new(ExchangeKind::Direct, &none());
    assert_eq!(routes.bind(queue(1), "k", &none()), Ok(true));
    assert_eq!(routes.bind(queue(2), "", &none()), Ok(true));
    assert_eq!(routes.bind(queue(3), "#", &none()), Ok(true));
    assert_eq!(reached(&routes, "k", &none()), [queue(1)].into());
    assert_eq!(reached(&routes, "", &none()), [queue(2)].into());
    assert_eq!(reached(&routes, "kk", &none()), [].into());
}

#[test]
fn fanout_asks_for_nothing() {
    let mut routes = ExchangeRoutes::new(ExchangeKind::Fanout, &none());
    for number in 0..5 {
        assert_eq!(routes.bind(queue(number), number.to_string(), &none()), Ok(true));
    }
    assert_eq!(reached(&routes, "whatever", &none()), (0..5).map(queue).collect());
}

#[test]
fn kinds_have_the_names_clients_use() {
    for (kind, name) in [
        (ExchangeKind::Direct, "direct"),
        (ExchangeKind::Fanout, "fanout"),
        (ExchangeKind::Topic, "topic"),
        (ExchangeKind::Headers, "headers"),
        (ExchangeKind::ConsistentHash, "x-consistent-hash"),
        (ExchangeKind::ModulusHash, "x-modulus-hash"),
        (ExchangeKind::Random, "x-random"),
        (ExchangeKind::LocalRandom, "x-local-random"),
        (ExchangeKind::RecentHistory, "x-recent-history"),
        (ExchangeKind::DelayedMessage, "x-delayed-message"),
    ] {
        assert_eq!(ExchangeKind::parse(name), Some(kind));
        assert_eq!(kind.as_str(), name);
        let stored = postcard::to_allocvec(&kind).expect("a kind can be stored");
        assert_eq!(postcard::from_bytes::<ExchangeKind>(&stored), Ok(kind));
    }
    assert_eq!(ExchangeKind::parse("Direct"), None);
    assert_eq!(ExchangeKind::parse(""), None);
}

#[test]
fn kinds_say_what_they_decide_by() {
    for (kind, keys, keys_alone) in [
        (ExchangeKind::Direct, Keys::All, true),
        (ExchangeKind::Fanout, Keys::None, true),
        (ExchangeKind::Topic, Keys::All, true),
        (ExchangeKind::Headers, Keys::None, false),
        (ExchangeKind::ConsistentHash, Keys::First, true),
        (ExchangeKind::ModulusHash, Keys::First, true),
        (ExchangeKind::Random, Keys::None, false),
        (ExchangeKind::LocalRandom, Keys::None, false),
        (ExchangeKind::RecentHistory, Keys::None, false),
        (ExchangeKind::DelayedMessage, Keys::All, false),
    ] {
        let routes = ExchangeRoutes::new(kind, &none());
        assert_eq!((routes.keys(), routes.decides_by_keys_alone()), (keys, keys_alone), "{kind}");
    }
}
