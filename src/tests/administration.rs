//! What administrators change: vhosts and users with what goes with them, and what a restart keeps.

use super::builders::{binding, declare_exchange, declare_queue, message, queue_with, text};
use super::harness::Broker;
use crate::model::administration::{
    AdministrationError, Applied, Change, NodeLimits, Password, PermissionSpec, TopicPermissionSpec,
    UserLimit, UserSpec, VhostLimit, VhostMetadata,
};
use crate::model::event::SessionEvent;
use crate::model::ids::Name;
use crate::model::ids::Timestamp;
use crate::model::peer::Introduction;
use crate::model::port::BrokerPort;
use crate::model::request::{Reply, Request};
use crate::model::settings::QueueType;

const NOW: Timestamp = Timestamp(1_000_000);

fn put_vhost(name: &str, default_queue_type: Option<QueueType>) -> Change {
    let metadata = VhostMetadata { default_queue_type, ..VhostMetadata::default() };
    Change::PutVhost { name: name.into(), metadata }
}

fn put_permissions(vhost: &str, user: &str, all: &str) -> Change {
    let permissions = PermissionSpec { configure: all.into(), write: all.into(), read: all.into() };
    Change::PutPermissions { vhost: vhost.into(), user: user.into(), permissions }
}

fn close_texts(events: Vec<SessionEvent>) -> Vec<String> {
    let text = |event| match event {
        SessionEvent::Close(fault) => Some(fault.text()),
        _ => None,
    };
    events.into_iter().filter_map(text).collect()
}

#[test]
fn a_deleted_vhost_takes_all_in_it_and_its_connections() {
    let mut broker = Broker::new();
    let records = broker.records.clone();
    assert_eq!(broker.administer(put_vhost("v", None)), Ok(Applied::Created));
    assert_eq!(broker.administer(put_vhost("v", None)), Ok(Applied::Changed));
    broker.administer(put_permissions("v", "guest", ".*")).unwrap();
    let spec = TopicPermissionSpec { write: "a".into(), read: "b".into() };
    broker
        .administer(Change::PutTopicPermissions {
            vhost: "v".into(),
            user: "guest".into(),
            exchange: "amq.topic".into(),
            permissions: spec,
        })
        .unwrap();
    broker.connect_to(1, "v");
    broker.connect(2);
    broker.ask(1, declare_queue("q", |_| ()));
    broker.ask(1, declare_queue("mine", |declare| declare.exclusive = true));
    broker.ask(1, declare_exchange("x", "direct", |_| ()));
    broker.ask(1, Request::BindQueue(binding("x", "q", "k")));
    broker.publish(1, message("x", "k", &[]), None);
    let reserved: Vec<_> = broker.records.keys().filter(|key| key[0] == 0).cloned().collect();
    let now = broker.now;
    broker.port_mut(1).request(now, declare_queue("late", |_| ()));
    assert_eq!(broker.administer(Change::DeleteVhost { name: "v".into() }), Ok(Applied::Changed));
    match broker.take_reply(1) {
        Some(Reply::Refused(fault)) => assert_eq!(fault.text(), "INTERNAL_ERROR - vhost 'v' is down"),
        other => panic!("{other:?}"),
    }
    assert_eq!(close_texts(broker.events(1)), ["CONNECTION_FORCED - vhost 'v' is deleted"]);
    assert_eq!(close_texts(broker.events(2)), Vec::<String>::new());
    assert!(broker.stored.is_empty());
    // What it wrote down is removed, but for the queue ids that are taken.
    let mut left = broker.records.clone();
    reserved.iter().for_each(|key| drop(left.remove(key)));
    assert_eq!(left, records);
    let missing = broker.administer(Change::DeleteVhost { name: "v".into() });
    assert_eq!(missing, Err(AdministrationError::NoVhost("v".into())));
}

#[test]
fn a_deleted_user_loses_permissions_and_connections() {
    let mut broker = Broker::new();
    let records = broker.records.clone();
    broker.add_user("bob", ".*", ".*", ".*");
    let limit = Change::SetUserLimit { user: "bob".into(), limit: UserLimit::MaxChannels, value: Some(9) };
    broker.administer(limit).unwrap();
    broker.connect_as(2, "bob", "pw");
    assert_eq!(broker.administer(Change::DeleteUser { name: "bob".into() }), Ok(Applied::Changed));
    assert_eq!(close_texts(broker.events(2)), ["CONNECTION_FORCED - user 'bob' is deleted"]);
    assert_eq!(broker.records, records);
    assert!(broker.port(3).authenticate(NOW, "PLAIN", b"\0bob\0pw", true).is_err());
    let missing = broker.administer(put_permissions("/", "bob", ".*"));
    assert_eq!(missing, Err(AdministrationError::NoUser("bob".into())));
}

#[test]
fn nonsense_changes_nothing() {
    let mut broker = Broker::new();
    let records = broker.records.clone();
    let mut refused = |change| broker.administer(change).unwrap_err();
    assert!(matches!(refused(put_vhost("", None)), AdministrationError::Invalid(_)));
    assert!(matches!(refused(put_vhost(&"v".repeat(256), None)), AdministrationError::Invalid(_)));
    assert!(refused(put_permissions("/", "guest", "(")).to_string().contains("invalid_regexp '('"));
    assert_eq!(refused(put_permissions("v", "guest", "")), AdministrationError::NoVhost("v".into()));
    let user = UserSpec { password: Password::Hash(vec![1]), tags: Vec::new(), loopback_only: false };
    assert!(matches!(refused(Change::PutUser { name: "u".into(), user }), AdministrationError::Invalid(_)));
    let (vhost, user): (Name, Name) = ("/".into(), "guest".into());
    let permissions = TopicPermissionSpec { write: "a".into(), read: "b".into() };
    let nowhere = Change::PutTopicPermissions {
        vhost: vhost.clone(),
        user: user.clone(),
        exchange: "nope".into(),
        permissions,
    };
    assert_eq!(refused(nowhere).to_string(), "no exchange 'nope' in vhost '/'");
    let clear = Change::ClearTopicPermissions { vhost, user, exchange: None };
    assert!(matches!(refused(clear), AdministrationError::NoPermissions { .. }));
    assert_eq!(broker.records, records);
}

#[test]
fn what_was_changed_is_there_after_a_restart() {
    let mut broker = Broker::new();
    broker.administer(put_vhost("v", Some(QueueType::Quorum))).unwrap();
    broker.administer(Change::SetTracing { vhost: "v".into(), on: true }).unwrap();
    let limit = Change::SetVhostLimit { vhost: "v".into(), limit: VhostLimit::MaxQueues, value: Some(3) };
    broker.administer(limit).unwrap();
    let limit = Change::SetUserLimit { user: "guest".into(), limit: UserLimit::MaxChannels, value: Some(9) };
    broker.administer(limit).unwrap();
    let limits = NodeLimits { vhosts: Some(2), consumers_per_channel: Some(7), ..NodeLimits::default() };
    broker.administer(Change::SetNodeLimits(limits)).unwrap();
    let mut broker = broker.restarted();
    assert_eq!(broker.port(1).most_consumers(), Some(7));
    assert!(broker.catalog.bad_records().is_empty());
    {
        let state = broker.view.read();
        let vhost = state.vhost("v").unwrap();
        assert_eq!(vhost.metadata.default_queue_type, Some(QueueType::Quorum));
        assert_eq!((vhost.tracing, vhost.limits.max_queues), (true, Some(3)));
        assert_eq!(state.user("guest").unwrap().limits.max_channels, Some(9));
    }
    let one_more = broker.administer(put_vhost("w", None)).unwrap_err();
    assert_eq!(one_more.to_string(), "cannot create vhost 'w': vhost limit of 2 is reached");
}

#[test]
fn the_default_queue_type_is_put_into_the_arguments_of_what_may_be_a_quorum_queue() {
    let mut broker = Broker::new();
    broker.administer(put_vhost("/", Some(QueueType::Quorum))).unwrap();
    broker.connect(1);
    for name in ["q", "q"] {
        assert_eq!(broker.text(1, declare_queue(name, |_| ())), "");
    }
    broker.ask(1, declare_queue("mine", |declare| declare.exclusive = true));
    broker.ask(1, queue_with("own", &[("x-queue-type", text("classic"))]));
    let type_of = |name| broker.view.read().queue("/", name).unwrap().settings.queue_type;
    assert_eq!(type_of("q"), QueueType::Quorum);
    assert_eq!(type_of("mine"), QueueType::Classic);
    assert_eq!(type_of("own"), QueueType::Classic);
    let state = broker.view.read();
    let injected = state.queue("/", "q").unwrap().arguments.decode().inner().get("x-queue-type").cloned();
    assert_eq!(injected, Some(text("quorum")));
}

#[test]
fn a_vhost_and_the_broker_have_queues_and_exchanges_enough() {
    let mut broker = Broker::new();
    broker.connect(1);
    let limit = |value| Change::SetVhostLimit { vhost: "/".into(), limit: VhostLimit::MaxQueues, value };
    broker.administer(limit(Some(1))).unwrap();
    assert_eq!(broker.text(1, declare_queue("a", |_| ())), "");
    assert_eq!(broker.text(1, declare_queue("a", |_| ())), "", "a queue that exists is no new one");
    assert_eq!(
        broker.text(1, declare_queue("b", |_| ())),
        "PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost '/' (1) is reached"
    );
    broker.administer(limit(Some(-1))).unwrap();
    let limits = NodeLimits { queues: Some(1), exchanges: Some(9), ..NodeLimits::default() };
    broker.administer(Change::SetNodeLimits(limits)).unwrap();
    assert_eq!(
        broker.text(1, declare_queue("b", |_| ())),
        "PRECONDITION_FAILED - cannot declare queue 'b': queue limit in cluster (1) is reached"
    );
    broker.ask(1, declare_exchange("x1", "direct", |_| ()));
    assert_eq!(
        broker.text(1, declare_exchange("x2", "direct", |_| ())),
        "PRECONDITION_FAILED - cannot declare exchange 'x2' in vhost '/': exchange limit of 9 is reached"
    );
}

#[test]
fn connections_are_counted_per_vhost_user_and_broker() {
    let mut broker = Broker::new();
    broker.connect(1);
    let limit = |limit, value| Change::SetVhostLimit { vhost: "/".into(), limit, value };
    let user_limit = |limit, value| Change::SetUserLimit { user: "guest".into(), limit, value };
    let open = |broker: &Broker| {
        let mut port = broker.port(2);
        port.authenticate(NOW, "PLAIN", b"\0guest\0guest", true).unwrap();
        port.open_vhost(NOW, "/", Introduction::default()).map(|()| drop(port)).map_err(|fault| fault.text())
    };
    assert_eq!(open(&broker), Ok(()));
    broker.administer(limit(VhostLimit::MaxConnections, Some(1))).unwrap();
    let text = "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (1) is reached";
    assert_eq!(open(&broker), Err(text.into()));
    broker.administer(limit(VhostLimit::MaxConnections, None)).unwrap();
    broker.administer(user_limit(UserLimit::MaxConnections, Some(1))).unwrap();
    let text = "NOT_ALLOWED - connection refused for user 'guest': user connection limit (1) is reached";
    assert_eq!(open(&broker), Err(text.into()));
    let node = NodeLimits { connections: Some(1), ..NodeLimits::default() };
    broker.administer(Change::SetNodeLimits(node)).unwrap();
    let text = "NOT_ALLOWED - connection refused: node connection limit (1) is reached";
    assert_eq!(open(&broker), Err(text.into()));
    broker.administer(Change::SetNodeLimits(NodeLimits::default())).unwrap();
    broker.administer(user_limit(UserLimit::MaxConnections, Some(2))).unwrap();
    assert_eq!(open(&broker), Ok(()));
    assert_eq!(open(&broker), Ok(()), "a connection that has gone makes room");
}

#[test]
fn channels_are_counted_per_user_and_broker() {
    let mut broker = Broker::new();
    broker.connect(1);
    let value = Some(1);
    let limit = Change::SetUserLimit { user: "guest".into(), limit: UserLimit::MaxChannels, value };
    broker.administer(limit).unwrap();
    assert_eq!(broker.port_mut(1).open_channel(NOW, 1), Ok(()));
    assert_eq!(
        broker.port_mut(1).open_channel(NOW, 1).unwrap_err().text(),
        "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of 1"
    );
    broker.port_mut(1).close_channel(NOW, 1, 0);
    assert_eq!(broker.port_mut(1).open_channel(NOW, 1), Ok(()));
    let node = NodeLimits { channels: Some(1), ..NodeLimits::default() };
    broker.administer(Change::SetNodeLimits(node)).unwrap();
    let refused = broker.port_mut(1).open_channel(NOW, 1).unwrap_err().text();
    assert_eq!(
        refused,
        "NOT_ALLOWED - number of channels opened on node 'leveret@localhost' has reached the maximum allowed limit of 1"
    );
}
