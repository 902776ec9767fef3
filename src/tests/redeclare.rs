//! Declarations of what exists, as clients make them that come back: they need no turn of the catalog, and say no sooner
//! that something exists than it is on disk.

use super::builders::{binding, declare_exchange, declare_queue, delete_queue, message};
use super::harness::Broker;
use crate::model::port::{BrokerPort, Progress};
use crate::model::request::{Reply, Request};

/// A broker with queue q, exchange x, and bindings of q and amq.topic to x, all on disk; the catalog is held up.
fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    for request in declarations() {
        assert_eq!(broker.text(1, request), "");
    }
    broker.catalog.written();
    broker.catalog_stands = true;
    broker
}

fn declarations() -> [Request; 4] {
    [
        declare_queue("q", |_| ()),
        declare_exchange("x", "direct", |_| ()),
        Request::BindQueue(binding("x", "q", "k")),
        Request::BindExchange(binding("x", "amq.topic", "k")),
    ]
}

/// Asks, and waits for what comes while the catalog is held up.
fn answer(broker: &mut Broker, request: Request) -> Option<Reply> {
    let now = broker.now;
    match broker.port_mut(2).request(now, request) {
        Progress::Done(reply) => Some(reply),
        Progress::Pending => {
            broker.settle();
            broker.take_reply(2)
        }
    }
}

#[test]
fn what_exists_is_declared_again_without_the_catalog() {
    let mut broker = broker();
    broker.publish(1, message("", "q", &[]), None);
    let [queue, others @ ..] = declarations();
    let reply = answer(&mut broker, queue);
    assert!(matches!(&reply, Some(Reply::QueueDeclared { messages: 1, .. })), "{reply:?}");
    for request in others {
        let reply = answer(&mut broker, request);
        assert!(matches!(&reply, Some(Reply::Done)), "{reply:?}");
    }
}

#[test]
fn what_exists_and_is_not_on_disk_yet_is_answered_by_the_catalog() {
    for request in declarations() {
        let mut broker = broker();
        broker.catalog_stands = false;
        broker.ask(1, declare_queue("new", |_| ()));
        broker.catalog_stands = true;
        assert!(answer(&mut broker, request).is_none());
        broker.catalog_stands = false;
        broker.settle();
        let reply = broker.take_reply(2);
        assert!(matches!(&reply, Some(Reply::QueueDeclared { .. } | Reply::Done)), "{reply:?}");
    }
}

#[test]
fn what_is_to_be_refused_is_left_to_the_catalog() {
    let refused = [
        (
            declare_queue("q", |declare| declare.durable = false),
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but \
             current is 'true'",
        ),
        (
            declare_exchange("x", "topic", |_| ()),
            "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'topic' but \
             current is 'direct'",
        ),
        (Request::BindQueue(binding("nox", "q", "k")), "NOT_FOUND - no exchange 'nox' in vhost '/'"),
    ];
    for (request, text) in refused {
        let mut broker = broker();
        assert!(answer(&mut broker, request).is_none());
        broker.catalog_stands = false;
        broker.settle();
        let reply = broker.take_reply(2);
        assert!(matches!(&reply, Some(Reply::Refused(fault)) if fault.text() == text), "{reply:?}");
    }
}

#[test]
fn an_exclusive_queue_and_its_bindings_are_refused_to_others() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    let exclusive = || declare_queue("mine", |declare| declare.exclusive = true);
    let bind = || Request::BindQueue(binding("amq.direct", "mine", "k"));
    assert_eq!((broker.text(1, exclusive()), broker.text(1, bind())), (String::new(), String::new()));
    assert_eq!((broker.text(1, exclusive()), broker.text(1, bind())), (String::new(), String::new()));
    for request in [exclusive(), bind()] {
        let text = broker.text(2, request);
        assert!(
            text.starts_with("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine'"),
            "{text}"
        );
    }
}

#[test]
fn what_is_about_to_go_is_not_said_to_exist() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    // Its last binding has gone, and more lead to it than are removed at once.
    broker.ask(1, declare_exchange("x", "fanout", |declare| declare.auto_delete = true));
    broker.ask(1, declare_queue("q", |_| ()));
    for number in 0..1000 {
        broker.ask(1, Request::BindExchange(binding("amq.topic", "x", &number.to_string())));
    }
    broker.ask(1, Request::BindQueue(binding("x", "q", "")));
    broker.catalog.written();
    let now = broker.now;
    broker.port_mut(1).request(now, Request::UnbindQueue(binding("x", "q", "")));
    while !broker.view.is_removing() {
        broker.round();
    }
    assert!(broker.view.read().exchange("/", "x").is_some());
    let again = declare_exchange("x", "fanout", |declare| declare.auto_delete = true);
    assert!(matches!(broker.port_mut(2).request(now, again), Progress::Pending));
    broker.settle();
    assert!(matches!(broker.take_reply(2), Some(Reply::Done)));
    assert!(!broker.view.is_removing());
    assert!(broker.view.read().exchange("/", "x").is_some(), "it was made anew");
    assert_eq!(broker.view.read().exchange("/", "amq.topic").unwrap().routes.len(), 0);
}

#[test]
fn a_queue_that_its_shard_has_deleted_is_made_anew() {
    let mut broker = broker();
    broker.catalog_stands = false;
    // The shard has deleted the queue; the catalog does not know.
    let now = broker.now;
    broker.port_mut(1).request(now, delete_queue("q", false, false));
    broker.round();
    broker.catalog_stands = true;
    broker.settle();
    assert!(broker.view.read().queue("/", "q").is_some());
    let before = broker.view.read().queue("/", "q").unwrap().at;
    assert!(answer(&mut broker, declare_queue("q", |_| ())).is_none());
    broker.catalog_stands = false;
    broker.settle();
    assert!(matches!(broker.take_reply(2), Some(Reply::QueueDeclared { .. })));
    assert_ne!(broker.view.read().queue("/", "q").unwrap().at, before);
}
