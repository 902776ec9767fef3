//! One request that concerns very much: it is carried out in steps, and others have their turn in between.

use super::builders::{binding, declare_queue, delete_queue, int, message, queue_with, sized, text};
use super::harness::Broker;
use crate::catalog::{CatalogEffects, Outcome};
use crate::model::administration::{
    Applied, ApplyTo, Change, PermissionSpec, PolicyKind, PolicySpec, VhostMetadata,
};
use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::event::ConfirmToken;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConsumerNumber, PositionRange, QueueRef};
use crate::model::port::BrokerPort;
use crate::model::request::{Reply, Request};

const MANY: u64 = 3000;
/// More than a turn leads to.
const LONG: usize = 1200;

/// A queue with many messages, all of them with consumer 1 of connection 1. Where it is, and the range of them.
fn with_many_unacked(broker: &mut Broker) -> (QueueRef, PositionRange) {
    broker.connect(1);
    broker.connect(2);
    let target = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
    for (queue, fields) in [("dead", &[][..]), ("q", &target[..]), ("a", &[]), ("b", &[])] {
        broker.ask(1, queue_with(queue, fields));
    }
    for _ in 0..MANY {
        broker.publish(1, message("", "q", &[]), None);
    }
    broker.consume(1, "q", 1, ConsumeOptions::default());
    let delivered = broker.deliveries(1);
    assert_eq!(delivered.len() as u64, MANY);
    let (first, last) = (&delivered[0], &delivered[delivered.len() - 1]);
    broker.longest_turn = 0;
    (first.queue, PositionRange { first: first.position, last: last.position })
}

#[test]
fn one_nack_of_thousands_leaves_the_others_their_turn() {
    let mut broker = Broker::new();
    let (queue, range) = with_many_unacked(&mut broker);
    broker.port_mut(1).settle(queue, ConsumerNumber(1), range, Settlement::Discard);
    let now = broker.now;
    for (sequence, other) in [(1, "a"), (2, "b")] {
        let routed = broker.route(2, message("", other, &[])).unwrap();
        let token = ConfirmToken { channel: 1, epoch: 0, sequence };
        broker.port_mut(2).submit(routed, Some(token));
    }
    broker.one_turn();
    let mut confirms = broker.confirms(2);
    confirms.sort_unstable();
    assert_eq!(confirms, [(1, true), (2, true)]);
    assert_eq!(broker.now, now);
    broker.settle();
    assert!(broker.longest_turn <= LONG, "{}", broker.longest_turn);
    assert_eq!(broker.counts(2, "dead").0, 3000);
    assert_eq!(broker.counts(2, "q").0, 0);
}

#[test]
fn what_a_connection_asks_behind_a_long_request_comes_after_it() {
    let mut broker = Broker::new();
    let (queue, range) = with_many_unacked(&mut broker);
    broker.port_mut(1).settle(queue, ConsumerNumber(1), range, Settlement::Discard);
    // Deleted by way of the catalog, which overtakes nothing either.
    broker.ask(1, delete_queue("q", false, false));
    assert_eq!(broker.counts(2, "dead").0, 3000);
}

#[test]
fn a_lost_connection_gives_back_in_steps_what_it_held() {
    let mut broker = Broker::new();
    with_many_unacked(&mut broker);
    broker.lose(1);
    assert_eq!(broker.counts(2, "q"), (3000, 0));
}

/// A policy that limits the queues its pattern matches.
fn policy(pattern: &str) -> Change {
    let definition = super::builders::arguments(&[("max-length", int(7))]);
    let policy = PolicySpec { pattern: pattern.into(), apply_to: ApplyTo::Queues, priority: 0, definition };
    Change::PutPolicy { vhost: "/".into(), kind: PolicyKind::Regular, name: "p".into(), policy }
}

fn limited(broker: &Broker) -> usize {
    broker.view.read().queues().filter(|queue| queue.settings.max_length == Some(7)).count()
}

#[test]
fn a_policy_is_applied_in_steps_and_answered_at_the_end() {
    let mut broker = Broker::new();
    broker.connect(1);
    for number in 0..MANY {
        broker.ask(1, queue_with(&format!("{number}"), &[]));
    }
    broker.longest_turn = 0;
    assert_eq!(broker.administer(policy("5$")), Ok(Applied::Created));
    assert_eq!(limited(&broker), 300);
    assert_eq!(broker.administer(policy("")), Ok(Applied::Changed));
    assert_eq!(limited(&broker), 3000);
    assert!(broker.longest_turn <= 200, "{}", broker.longest_turn);
}

#[test]
fn a_second_policy_begins_anew_and_both_are_answered() {
    let mut broker = Broker::new();
    broker.connect(1);
    for number in 0..MANY {
        broker.ask(1, queue_with(&format!("{number}"), &[]));
    }
    let (now, mut fx) = (broker.now, CatalogEffects::default());
    let Ok(Outcome::Begun(first)) = broker.catalog.administer(now, policy("5$"), &mut fx) else { panic!() };
    broker.catalog.step(now, &mut fx);
    let Ok(Outcome::Begun(second)) = broker.catalog.administer(now, policy("6$"), &mut fx) else { panic!() };
    while broker.catalog.has_work() {
        broker.catalog.step(now, &mut fx);
    }
    assert_eq!(fx.finished, [(first, Applied::Created), (second, Applied::Changed)]);
    assert_eq!(limited(&broker), 300);
}

#[test]
fn a_pattern_that_takes_too_long_is_given_up_and_told_of_once() {
    let mut broker = Broker::new();
    broker.connect(1);
    for number in 0..9 {
        broker.ask(1, queue_with(&format!("{}{number}", "a".repeat(40)), &[]));
    }
    let (now, mut fx) = (broker.now, CatalogEffects::default());
    broker.catalog.administer(now, policy(r"^(a|aa)+(?=b)\1?b$"), &mut fx).unwrap();
    assert_eq!(fx.given_up, [("/".into(), "p".into())]);
    assert_eq!(limited(&broker), 0);
}

#[test]
fn the_exclusive_queues_of_a_lost_connection_go_in_steps() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    for number in 0..MANY {
        let exclusive = declare_queue(&format!("{number}"), |declare| declare.exclusive = true);
        broker.ask(1, exclusive);
    }
    broker.longest_turn = 0;
    broker.lose(1);
    assert!(broker.longest_turn <= LONG, "{}", broker.longest_turn);
    assert_eq!(broker.view.read().queues().count(), 0);
    assert!(matches!(broker.ask(2, queue_with("7", &[])), Reply::QueueDeclared { .. }));
}

#[test]
fn a_queue_with_thousands_of_bindings_goes_in_steps_before_one_of_its_name_is_made() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    broker.ask(1, queue_with("q", &[]));
    for number in 0..MANY {
        broker.ask(1, Request::BindQueue(binding("amq.topic", "q", &format!("a.{number}"))));
    }
    broker.longest_turn = 0;
    let (records, now) = (broker.records.len(), broker.now);
    broker.port_mut(1).request(now, delete_queue("q", false, false));
    while !broker.view.is_removing() {
        broker.round();
    }
    broker.port_mut(2).request(now, queue_with("q", &[]));
    broker.settle();
    assert!(broker.longest_turn <= LONG, "{}", broker.longest_turn);
    assert!(matches!(broker.take_reply(1), Some(Reply::Count { messages: 0 })));
    assert!(matches!(broker.take_reply(2), Some(Reply::QueueDeclared { .. })));
    assert_eq!(records - broker.records.len(), 3000);
    assert!(broker.restarted().view.read().queue("/", "q").is_some());
}

#[test]
fn an_exchange_with_thousands_of_bindings_and_a_vhost_with_thousands_of_queues_go_in_steps() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.administer(Change::PutVhost { name: "v".into(), metadata: VhostMetadata::default() }).unwrap();
    let permissions = PermissionSpec { configure: ".*".into(), write: ".*".into(), read: ".*".into() };
    broker
        .administer(Change::PutPermissions { vhost: "v".into(), user: "guest".into(), permissions })
        .unwrap();
    broker.connect_to(2, "v");
    broker.ask(2, super::builders::declare_exchange("x", "topic", |_| {}));
    for number in 0..MANY / 2 {
        let name = format!("{number}");
        broker.ask(2, queue_with(&name, &[]));
        broker.ask(2, Request::BindQueue(binding("x", &name, "#.a")));
        broker.ask(2, Request::BindQueue(binding("amq.topic", &name, "#.a")));
    }
    broker.longest_turn = 0;
    broker.ask(2, Request::DeleteExchange { name: "x".into(), if_unused: false });
    assert!(broker.longest_turn <= LONG, "{}", broker.longest_turn);
    assert_eq!(broker.administer(Change::DeleteVhost { name: "v".into() }), Ok(Applied::Changed));
    assert!(broker.longest_turn <= LONG, "{}", broker.longest_turn);
    let state = broker.view.read();
    assert!(state.vhost("v").is_none() && state.queues().count() == 0);
    drop(state);
    assert_eq!(broker.restarted().catalog.bad_records(), []);
}

#[test]
fn with_less_memory_queues_leave_to_the_store_what_nobody_has_touched() {
    let mut broker = Broker::new();
    broker.connect(1);
    let names: Vec<String> = (0..10).map(|number| format!("{number}")).collect();
    for name in &names {
        broker.ask(1, queue_with(name, &[]));
        for _ in 0..30 {
            broker.publish(1, sized("", name, &[], 20_000), None);
        }
    }
    broker.settle();
    let in_memory = |broker: &Broker| -> usize {
        let mut holdings = Holdings::default();
        broker.shards.iter().for_each(|shard| shard.holdings(&mut holdings));
        holdings.iter().filter(|holding| holding.name == "ready: memory").map(|holding| holding.len).sum()
    };
    assert!(in_memory(&broker) > 6_000_000);
    for shard in &mut broker.shards {
        shard.set_memory_budget(0);
    }
    broker.settle();
    let left = in_memory(&broker);
    assert!(left <= 10 * (64 << 10), "{left}");
    for name in &names {
        for _ in 0..30 {
            assert!(broker.get(1, name).is_some_and(|got| got.message.body().len() == 20_000));
        }
    }
}
