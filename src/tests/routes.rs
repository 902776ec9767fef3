//! What a connection remembers of routes while others declare and delete: what they change is looked up again, what they do
//! not is not.

use super::builders::{arguments, binding, declare_exchange, declare_queue, delete_queue, message, text};
use super::harness::Broker;
use crate::model::administration::{ApplyTo, Change, PolicyKind, PolicySpec};
use crate::model::ids::{QueueRef, Timestamp};
use crate::model::port::BrokerPort;
use crate::model::request::Request;

/// A broker with connection 1, which declares, and 2, which publishes; queue q.
fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    broker.ask(1, declare_queue("q", |_| ()));
    broker
}

/// The queues of a publish by connection 2.
fn targets(broker: &mut Broker, exchange: &str, key: &str) -> Vec<QueueRef> {
    let routed = broker.route(2, message(exchange, key, &[]));
    routed.map(|routed| routed.queues.to_vec()).unwrap_or_default()
}

/// How many queues a publish by connection 2 reaches, and whether that was remembered: then no exchange is searched.
fn reached(broker: &mut Broker, exchange: &str, key: &str) -> (usize, bool) {
    broker.port_mut(2).take_outgoing();
    let reached = targets(broker, exchange, key).len();
    (reached, broker.port_mut(2).searched() == 0)
}

fn bind(broker: &mut Broker, source: &str, queue: &str, key: &str) {
    assert_eq!(broker.text(1, Request::BindQueue(binding(source, queue, key))), "");
}

#[test]
fn a_declaration_elsewhere_leaves_routes_as_they_are() {
    let mut broker = broker();
    let routes = [("", "q"), ("amq.direct", "k"), ("amq.topic", "a.b"), ("amq.fanout", "")];
    for (exchange, key) in &routes[1..] {
        bind(&mut broker, exchange, "q", key);
    }
    for (exchange, key) in routes {
        assert_eq!(reached(&mut broker, exchange, key), (1, false), "{exchange}");
        assert_eq!(reached(&mut broker, exchange, key), (1, true), "{exchange}");
    }
    broker.ask(1, declare_queue("other", |declare| declare.exclusive = true));
    broker.ask(1, declare_exchange("x", "topic", |_| ()));
    bind(&mut broker, "x", "other", "a.b");
    bind(&mut broker, "amq.direct", "other", "l");
    broker.ask(1, Request::UnbindQueue(binding("amq.direct", "other", "l")));
    broker.ask(1, delete_queue("other", false, false));
    broker.ask(1, Request::DeleteExchange { name: "x".into(), if_unused: false });
    for (exchange, key) in routes {
        assert_eq!(reached(&mut broker, exchange, key), (1, true), "{exchange}");
    }
}

#[test]
fn a_binding_is_found_by_those_whose_messages_pass_its_exchange_and_by_no_others() {
    let mut broker = broker();
    for (name, kind) in [("a", "topic"), ("b", "topic"), ("leads", "fanout"), ("far", "direct")] {
        broker.ask(1, declare_exchange(name, kind, |_| ()));
    }
    let alternate = arguments(&[("alternate-exchange", text("a"))]);
    broker.ask(1, declare_exchange("else", "direct", |declare| declare.arguments = alternate));
    broker.ask(1, Request::BindExchange(binding("leads", "a", "")));
    broker.ask(1, Request::BindExchange(binding("far", "leads", "k")));
    bind(&mut broker, "b", "q", "k");
    let of_a = ["a", "leads", "far", "else"];
    for exchange in of_a.into_iter().chain(["b"]) {
        reached(&mut broker, exchange, "k");
        assert!(reached(&mut broker, exchange, "k").1, "{exchange}");
    }
    bind(&mut broker, "a", "q", "k");
    for exchange in of_a {
        assert_eq!(reached(&mut broker, exchange, "k"), (1, false), "{exchange}");
        assert_eq!(reached(&mut broker, exchange, "k"), (1, true), "{exchange}");
    }
    assert_eq!(reached(&mut broker, "b", "k"), (1, true));
    broker.ask(1, Request::DeleteExchange { name: "a".into(), if_unused: false });
    for exchange in of_a {
        assert_eq!(reached(&mut broker, exchange, "k").0, 0, "{exchange}");
    }
    assert_eq!(reached(&mut broker, "b", "k"), (1, true));
}

#[test]
fn in_a_direct_exchange_a_binding_concerns_its_own_key() {
    let mut broker = broker();
    bind(&mut broker, "amq.direct", "q", "k");
    for key in ["k", "l"] {
        reached(&mut broker, "amq.direct", key);
    }
    bind(&mut broker, "amq.direct", "q", "l");
    assert_eq!(reached(&mut broker, "amq.direct", "k"), (1, true));
    assert_eq!(reached(&mut broker, "amq.direct", "l"), (1, false));
}

#[test]
fn an_exchange_that_appears_is_found_by_those_who_name_it_as_alternate() {
    let mut broker = broker();
    let alternate = arguments(&[("alternate-exchange", text("later"))]);
    broker.ask(1, declare_exchange("x", "direct", |declare| declare.arguments = alternate));
    assert_eq!(reached(&mut broker, "x", "k").0, 0);
    broker.ask(1, declare_exchange("later", "fanout", |_| ()));
    assert_eq!(reached(&mut broker, "x", "k").0, 0);
    bind(&mut broker, "later", "q", "");
    assert_eq!(reached(&mut broker, "x", "k").0, 1);
    assert!(reached(&mut broker, "x", "k").1);
    broker.ask(1, Request::DeleteExchange { name: "later".into(), if_unused: false });
    assert_eq!(reached(&mut broker, "x", "k").0, 0);
}

#[test]
fn an_alternate_exchange_that_a_policy_gives_is_found() {
    let mut broker = broker();
    broker.ask(1, declare_exchange("x", "direct", |_| ()));
    bind(&mut broker, "amq.fanout", "q", "");
    assert_eq!(reached(&mut broker, "x", "k").0, 0);
    let policy = PolicySpec {
        pattern: "^x$".into(),
        apply_to: ApplyTo::Exchanges,
        priority: 0,
        definition: arguments(&[("alternate-exchange", text("amq.fanout"))]),
    };
    let (vhost, kind, name) = ("/".into(), PolicyKind::Regular, "p".into());
    broker.administer(Change::PutPolicy { vhost, kind, name, policy }).unwrap();
    assert_eq!(reached(&mut broker, "x", "k").0, 1);
}

/// Whatever is declared, bound and deleted in whatever order: who remembers routes reaches what somebody reaches who has
/// just come.
#[test]
fn what_is_remembered_is_what_would_be_found() {
    const EXCHANGES: [(&str, &str); 6] =
        [("d", "direct"), ("e", "direct"), ("t", "topic"), ("f", "fanout"), ("g", "fanout"), ("h", "topic")];
    const QUEUES: [&str; 3] = ["q", "r", "s"];
    const KEYS: [&str; 3] = ["k", "l", "q"];
    let mut random = 88_172_645_463_325_252_u64;
    let mut draw = |most: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % most as u64).unwrap()
    };
    let mut broker = broker();
    let mut remembered = 0;
    for step in 0..4000 {
        let (name, kind) = EXCHANGES[draw(6)];
        let (queue, key, other) = (QUEUES[draw(3)], KEYS[draw(3)], EXCHANGES[draw(6)].0);
        let request = match draw(9) {
            0 | 1 => declare_exchange(name, kind, |declare| {
                if draw(2) == 0 {
                    declare.arguments = arguments(&[("alternate-exchange", text(other))]);
                }
            }),
            2 if draw(4) == 0 => Request::DeleteExchange { name: name.into(), if_unused: false },
            3 => declare_queue(queue, |_| ()),
            4 if draw(3) == 0 => delete_queue(queue, false, false),
            5 | 6 => Request::BindQueue(binding(name, queue, key)),
            7 if draw(2) == 0 => Request::UnbindQueue(binding(name, queue, key)),
            8 => Request::UnbindExchange(binding(name, other, key)),
            _ => Request::BindExchange(binding(name, other, key)),
        };
        // Some are refused, which changes nothing.
        broker.text(1, request);
        broker.connect(3);
        for exchange in EXCHANGES.iter().map(|(name, _)| *name).chain([""]) {
            for key in KEYS {
                broker.port_mut(2).take_outgoing();
                let now = Timestamp(0);
                let mut route = |connection| {
                    let message = message(exchange, key, &[]).into();
                    let routed = broker.port_mut(connection).route(now, 1, message);
                    routed.map(|routed| routed.queues.to_vec()).map_err(|fault| fault.text())
                };
                let (known, found) = (route(2), route(3));
                assert_eq!(known, found, "step {step}: {exchange} {key}");
                remembered += usize::from(known.is_ok() && broker.port_mut(2).searched() == 0);
            }
        }
    }
    assert!(remembered > 20_000, "{remembered} of 84,000");
}
