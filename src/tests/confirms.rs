//! Confirms: what they wait for, over shards, refusals and deletions (semantics 9.20 to 9.25, 14.2).

use std::sync::Arc;

use super::builders::{binding, declare_queue, delete_queue, int, message, persistent, queue_with, text};
use super::harness::{Broker, SHARDS};
use crate::model::command::{Origin, QueueLabel, ShardCommand};
use crate::model::event::ConfirmToken;
use crate::model::ids::{ConnectionId, QueueId, ShardIndex};
use crate::model::op::{Group, GroupPart};
use crate::model::port::BrokerPort;
use crate::model::request::Request;
use crate::model::settings::QueueSettings;
use crate::shard::{Shard, ShardEffects};

fn token(sequence: u64) -> ConfirmToken {
    ConfirmToken { channel: 1, epoch: 0, sequence }
}

/// Two durable queues on two shards, bound to amq.fanout.
fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    for name in ["a", "b"] {
        broker.ask(1, declare_queue(name, |_| ()));
        broker.ask(1, Request::BindQueue(binding("amq.fanout", name, "")));
    }
    broker.events(1);
    let state = broker.view.read();
    assert_ne!(state.queue("/", "a").unwrap().at.shard, state.queue("/", "b").unwrap().at.shard);
    drop(state);
    broker
}

#[test]
fn a_persistent_message_is_confirmed_by_every_shard_once_it_is_durable() {
    let mut broker = broker();
    broker.held = true;
    assert_eq!(broker.publish(1, message("amq.fanout", "", &[persistent()]), Some(1)), 2);
    assert_eq!(broker.confirms(1), []);
    broker.let_go();
    assert_eq!(broker.confirms(1), [(1, true), (1, true)]);
}

#[test]
fn what_is_not_stored_is_confirmed_at_once() {
    let mut broker = broker();
    broker.ask(1, declare_queue("t", |declare| declare.durable = false));
    broker.held = true;
    assert_eq!(broker.publish(1, message("", "a", &[]), Some(1)), 1);
    assert_eq!(broker.confirms(1), [(1, true)], "a transient message");
    broker.publish(1, message("", "t", &[persistent()]), Some(2));
    assert_eq!(broker.confirms(1), [(2, true)], "a transient queue");
    assert_eq!(broker.publish(1, message("", "nowhere", &[]), Some(3)), 0);
    assert_eq!(broker.publish(1, message("", "a", &[persistent()]), None), 0);
    assert_eq!(broker.confirms(1), []);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let mut broker = broker();
    let full = [("x-max-length", int(1)), ("x-overflow", text("reject-publish"))];
    broker.ask(1, queue_with("full", &full));
    broker.publish(1, message("", "full", &[]), Some(1));
    broker.held = true;
    broker.publish(1, message("", "full", &[persistent()]), Some(2));
    assert_eq!(broker.confirms(1), [(1, true), (2, false)]);
}

#[test]
fn a_publish_to_a_queue_that_was_deleted_on_the_way_is_accepted() {
    let mut broker = broker();
    let routed = broker.route(1, message("", "a", &[persistent()])).unwrap();
    broker.ask(1, delete_queue("a", false, false));
    assert_eq!(broker.port_mut(1).submit(routed, Some(token(1))), 1);
    broker.settle();
    assert_eq!(broker.confirms(1), [(1, true)]);
}

#[test]
fn a_publish_that_comes_before_its_queue_waits_for_it() {
    let mut broker = broker();
    broker.shards_stand = true;
    let now = broker.now;
    // The view shows the queue before its shard has heard of it.
    broker.port_mut(1).request(now, declare_queue("new", |_| ()));
    broker.settle();
    let at = broker.view.read().queue("/", "new").unwrap().at;
    let routed = broker.route(1, message("", "new", &[])).unwrap();
    let early = ShardCommand::Publish {
        queues: [at.queue].into_iter().collect(),
        message: routed.message,
        confirm: Some(token(1)),
    };
    let shard = &mut broker.shards[at.shard.number()];
    shard.handle(now, Origin::Connection(ConnectionId(1)), early);
    broker.shards_stand = false;
    broker.settle();
    assert_eq!(broker.confirms(1), [(1, true)]);
    assert_eq!(broker.counts(1, "new"), (1, 0), "and it is in the queue");
}

#[test]
fn a_barrier_waits_for_what_was_said_with_it_and_concerns_no_other_shard() {
    let mut broker = broker();
    assert_eq!(broker.port_mut(1).barrier(token(0)), 0, "there is nothing to wait for");
    broker.held = true;
    let routed = broker.route(1, message("", "a", &[persistent()])).unwrap();
    broker.port_mut(1).submit(routed, None);
    assert_eq!(broker.port_mut(1).barrier(token(0)), 1, "the shard of the other queue is not told");
    broker.settle();
    assert_eq!(broker.confirms(1), []);
    broker.let_go();
    assert_eq!(broker.confirms(1), [(0, true)]);
}

#[test]
fn an_unknown_queue_of_the_store_is_kept_apart_at_recovery() {
    let mut broker = broker();
    broker.publish(1, message("", "a", &[persistent()]), Some(1));
    let entry = broker.stored.first_key_value().map(|((_, lane, at), entry)| ((*lane, *at), entry.clone()));
    let ((lane, at), entry) = entry.unwrap();
    broker.stored.insert((QueueId(900), lane, at), entry);
    let broker = broker.restarted();
    assert_eq!(broker.apart, [(QueueId(900), 1)]);
    assert_eq!(broker.stored.len(), 2);
}

/// The groups of the barriers on their way, with their shards in order.
fn groups(broker: &mut Broker) -> Vec<(ShardIndex, Group)> {
    let outgoing = broker.port_mut(1).take_outgoing();
    let mut groups: Vec<_> = outgoing
        .shards
        .drain()
        .map(|(shard, commands)| match commands.last() {
            Some(ShardCommand::Barrier { group, .. }) => (shard, *group),
            other => panic!("{other:?}"),
        })
        .collect();
    groups.sort_by_key(|&(shard, _)| shard);
    groups
}

#[test]
fn what_a_commit_tells_several_shards_becomes_durable_together() {
    let mut broker = broker();
    let routed = broker.route(1, message("amq.fanout", "", &[persistent()])).unwrap();
    let port = broker.port_mut(1);
    port.submit(routed, Some(token(1)));
    port.barrier(token(0));
    let group = Group { connection: ConnectionId(1), number: 1, parts: SHARDS };
    assert_eq!(groups(&mut broker), [(ShardIndex::alone(0), group), (ShardIndex::alone(1), group)]);
    broker.settle();
    let routed = broker.route(1, message("", "a", &[persistent()])).unwrap();
    let port = broker.port_mut(1);
    port.submit(routed, Some(token(1)));
    port.barrier(token(0));
    let at = broker.view.read().queue("/", "a").unwrap().at.shard;
    let group = Group { connection: ConnectionId(1), number: 2, parts: 1 };
    assert_eq!(groups(&mut broker), [(at, group)], "the other shard has no part in it");
}

/// A shard that was told a publish to a queue it will have, the barrier after it, and that the connection has gone.
#[test]
fn a_group_is_whole_even_where_its_connection_goes_before_a_queue_is_there() {
    let (broker, connection) = (Broker::new(), ConnectionId(1));
    let (now, queue) = (broker.now, QueueId(900));
    let mut shard = Shard::new(ShardIndex::alone(0), 2, broker.view.clone(), 1 << 20);
    let group = Group { connection, number: 1, parts: 2 };
    let message = Arc::new(message("", "q", &[persistent()]));
    let queues = [queue].into_iter().collect();
    for command in [
        ShardCommand::Publish { queues, message, confirm: None },
        ShardCommand::Barrier { token: token(0), group },
    ] {
        shard.handle(now, Origin::Connection(connection), command);
    }
    shard.connection_gone(now, connection);
    let mut fx = ShardEffects::default();
    shard.finish_turn(now, &mut fx);
    assert_eq!((fx.groups.len(), fx.must_sync), (0, false), "not before its operations");
    let label = QueueLabel { vhost: "/".into(), name: "q".into() };
    let settings = Arc::new(QueueSettings { durable: true, ..QueueSettings::default() });
    shard.handle(now, Origin::Catalog, ShardCommand::CreateQueue { queue, label, settings });
    shard.finish_turn(now, &mut fx);
    assert_eq!((&fx.groups[..], fx.ops.len(), fx.must_sync), (&[GroupPart::Complete(group)][..], 1, true));
}

#[test]
fn a_transaction_that_is_longer_than_a_turn_is_one_group_and_others_have_their_turn() {
    let (broker, connection, other) = (Broker::new(), ConnectionId(1), ConnectionId(2));
    let (now, queue) = (broker.now, QueueId(900));
    let mut shard = Shard::new(ShardIndex::alone(0), 1, broker.view.clone(), 1 << 20);
    let label = QueueLabel { vhost: "/".into(), name: "q".into() };
    let settings = Arc::new(QueueSettings { durable: true, ..QueueSettings::default() });
    shard.handle(now, Origin::Catalog, ShardCommand::CreateQueue { queue, label, settings });
    let group = Group { connection, number: 1, parts: 1 };
    let message = Arc::new(message("", "q", &[persistent()]));
    let publish = |confirm| ShardCommand::Publish {
        queues: [queue].into_iter().collect(),
        message: Arc::clone(&message),
        confirm,
    };
    let mut commands: Vec<_> = (0..20_000).map(|_| publish(None)).collect();
    commands.push(ShardCommand::Barrier { token: token(0), group });
    shard.handle_all(now, Origin::Connection(connection), commands);
    shard.handle_all(now, Origin::Connection(other), vec![publish(Some(token(7)))]);
    let (mut fx, mut turns, mut groups, mut stored) = (ShardEffects::default(), 0, Vec::new(), 0);
    loop {
        shard.finish_turn(now, &mut fx);
        turns += 1;
        assert!(fx.ops.len() <= 5000, "{}", fx.ops.len());
        stored += fx.ops.len();
        fx.ops.clear();
        groups.append(&mut fx.groups);
        if !shard.has_begun() {
            break;
        }
        assert_eq!(groups, [GroupPart::Begun(group)], "with the first of it");
    }
    assert_eq!(groups, [GroupPart::Begun(group), GroupPart::Complete(group)]);
    assert_eq!((stored, turns > 5), (20_001, true));
    assert!(fx.must_sync && fx.to_connections.is_empty());
    shard.durable(now, 1);
    shard.finish_turn(now, &mut fx);
    let confirmed = |to| fx.to_connections.iter().filter(|(connection, _)| *connection == to).count();
    assert_eq!((confirmed(other), confirmed(connection)), (1, 0), "it is of the first batch");
}

#[test]
fn what_comes_behind_a_transaction_does_not_begin_it_anew() {
    let (broker, connection) = (Broker::new(), ConnectionId(1));
    let (now, queue) = (broker.now, QueueId(900));
    let mut shard = Shard::new(ShardIndex::alone(0), 1, broker.view.clone(), 1 << 20);
    let label = QueueLabel { vhost: "/".into(), name: "q".into() };
    let settings = Arc::new(QueueSettings { durable: true, ..QueueSettings::default() });
    shard.handle(now, Origin::Catalog, ShardCommand::CreateQueue { queue, label, settings });
    let group = Group { connection, number: 1, parts: 2 };
    let message = Arc::new(message("", "q", &[persistent()]));
    let publish = || ShardCommand::Publish {
        queues: [queue].into_iter().collect(),
        message: Arc::clone(&message),
        confirm: None,
    };
    // More than a turn has time for comes behind its end, together with it.
    let mut commands = vec![publish(), ShardCommand::Barrier { token: token(0), group }];
    commands.extend((0..20_000).map(|_| publish()));
    shard.handle_all(now, Origin::Connection(connection), commands);
    let (mut fx, mut groups, mut stored) = (ShardEffects::default(), Vec::new(), 0);
    while stored < 20_001 {
        shard.finish_turn(now, &mut fx);
        stored += fx.ops.len();
        fx.ops.clear();
        groups.append(&mut fx.groups);
    }
    assert_eq!(groups, [GroupPart::Complete(group)]);
    assert!(!shard.has_begun());
}
