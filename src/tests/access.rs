//! Logging in, vhosts and permissions (semantics 1.8 to 1.20, section 16).

use super::builders::{
    arguments, binding, declare_exchange, declare_queue, delete_queue, headers, int, message, queue_with,
    short, text, texts,
};
use super::harness::Broker;
use crate::model::administration::{
    Change, Password, PermissionSpec, TopicPermissionSpec, UserSpec, VhostMetadata,
};
use crate::model::consuming::ConsumeOptions;
use crate::model::event::SessionEvent;
use crate::model::ids::ConsumerNumber;
use crate::model::ids::Timestamp;
use crate::model::peer::Introduction;
use crate::model::port::{BrokerPort, LoginRefused};
use crate::model::request::{Reply, Request};
use leveret_codec::properties::Field;

const NOW: Timestamp = Timestamp(1_000_000);

fn refused(text: &str) -> String {
    format!("ACCESS_REFUSED - {text} refused for user 'bob'")
}

#[test]
fn guest_logs_in_from_loopback_alone_and_nobody_without_a_password() {
    let mut broker = Broker::new();
    let password = Password::Plain(String::new());
    let nobody = UserSpec { password, tags: Vec::new(), loopback_only: false };
    broker.administer(Change::PutUser { name: "nobody".into(), user: nobody }).unwrap();
    let mut port = broker.port(1);
    assert_eq!(port.authenticate(NOW, "PLAIN", b"\0guest\0guest", true), Ok(()));
    assert_eq!(&**port.user(), "guest");
    let mut login = |response: &[u8], loopback| match port.authenticate(NOW, "PLAIN", response, loopback) {
        Err(LoginRefused::Credentials(text)) => text,
        other => format!("{other:?}"),
    };
    assert_eq!(login(b"\0guest\0guest", false), "user 'guest' can only connect via localhost");
    assert_eq!(login(b"\0guest\0wrong", true), "user 'guest' gave a wrong password");
    assert_eq!(login(b"\0nobody\0", true), "user 'nobody' gave a wrong password");
    assert_eq!(login(b"\0who\0x", true), "user 'who' does not exist");
}

#[test]
fn a_vhost_must_exist_and_be_allowed() {
    let mut broker = Broker::new();
    let metadata = VhostMetadata::default();
    broker.administer(Change::PutVhost { name: "other".into(), metadata }).unwrap();
    let mut port = broker.port(1);
    port.authenticate(NOW, "PLAIN", b"\0guest\0guest", true).unwrap();
    assert_eq!(
        port.open_vhost(NOW, "nope", Introduction::default()).unwrap_err().text(),
        "NOT_ALLOWED - vhost nope not found"
    );
    assert_eq!(
        port.open_vhost(NOW, "other", Introduction::default()).unwrap_err().text(),
        "NOT_ALLOWED - access to vhost 'other' refused for user 'guest'"
    );
    assert!(port.open_vhost(NOW, "/", Introduction::default()).is_ok());
    assert!(broker.view.read().exchange("other", "amq.topic").is_some());
}

#[test]
fn every_request_needs_its_permission() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    broker.add_user("bob", "^c", "^w", "^r");
    broker.connect_as(2, "bob", "pw");
    let queue =
        |operation: &str, name: &str| refused(&format!("{operation} access to queue '{name}' in vhost '/'"));
    let exchange = |operation: &str, name: &str| {
        refused(&format!("{operation} access to exchange '{name}' in vhost '/'"))
    };
    assert_eq!(broker.text(2, declare_queue("q", |_| ())), queue("configure", "q"));
    assert_eq!(broker.text(2, declare_queue("cq", |_| ())), "");
    assert_eq!(broker.text(2, delete_queue("q", false, false)), queue("configure", "q"));
    assert_eq!(broker.text(2, declare_exchange("x", "direct", |_| ())), exchange("configure", "x"));
    assert_eq!(broker.text(2, Request::PurgeQueue { name: "q".into() }), queue("read", "q"));
    let Reply::Refused(fault) = broker.consume(2, "q", 1, ConsumeOptions::default()) else { panic!() };
    assert_eq!(fault.text(), queue("read", "q"));
    assert_eq!(broker.text(2, Request::BindQueue(binding("rx", "q", ""))), queue("write", "q"));
    assert_eq!(broker.text(2, Request::BindQueue(binding("x", "wq", ""))), exchange("read", "x"));
    let with_dlx = declare_queue("crq", |declare| {
        declare.arguments = arguments(&[("x-dead-letter-exchange", text("d"))]);
    });
    assert_eq!(broker.text(2, with_dlx), queue("read", "crq"));
    let Reply::Refused(fault) = broker.ask(2, declare_queue("", |_| ())) else { panic!() };
    assert!(fault.text().starts_with("ACCESS_REFUSED - configure access to queue 'amq.gen-"));
    let published = broker.route(2, message("", "q", &[])).unwrap_err();
    assert_eq!(published.text(), exchange("write", "amq.default"));
}

#[test]
fn a_permission_taken_away_is_gone_at_the_next_publish() {
    let mut broker = Broker::new();
    broker.add_user("bob", "", ".*", "");
    broker.connect_as(2, "bob", "pw");
    assert!(broker.route(2, message("amq.direct", "k", &[])).is_ok());
    broker.add_user("bob", "", "", "");
    assert!(broker.route(2, message("amq.direct", "k", &[])).is_err());
}

#[test]
fn only_an_impersonator_publishes_in_the_name_of_others() {
    let mut broker = Broker::new();
    broker.add_user("bob", ".*", ".*", ".*");
    broker.connect_as(2, "bob", "pw");
    let as_alice = || message("", "q", &[short(Field::UserId, "alice")]);
    assert_eq!(
        broker.route(2, as_alice()).unwrap_err().text(),
        "PRECONDITION_FAILED - user_id property set to 'alice' but authenticated user was 'bob'"
    );
    assert!(broker.route(2, message("", "q", &[short(Field::UserId, "bob")])).is_ok());
    let password = Password::Plain("pw".into());
    let user = UserSpec { password, tags: vec!["impersonator".into()], loopback_only: false };
    broker.administer(Change::PutUser { name: "bob".into(), user }).unwrap();
    assert!(broker.route(2, as_alice()).is_ok());
}

#[test]
fn topics_have_permissions_of_their_own_on_topic_exchanges() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    broker.add_user("bob", ".*", ".*", ".*");
    let put = |exchange: &str| Change::PutTopicPermissions {
        vhost: "/".into(),
        user: "bob".into(),
        exchange: exchange.into(),
        permissions: TopicPermissionSpec { write: "^{username}\\.".into(), read: "^open".into() },
    };
    broker.connect_as(2, "bob", "pw");
    assert!(broker.route(2, message("amq.topic", "eve.a", &[])).is_ok());
    broker.administer(put("amq.topic")).unwrap();
    broker.administer(put("amq.direct")).unwrap();
    for _ in 0..2 {
        assert!(broker.route(2, message("amq.topic", "bob.a", &[])).is_ok());
        assert_eq!(
            broker.route(2, message("amq.topic", "eve.a", &[])).unwrap_err().text(),
            refused("write access to topic 'eve.a' in exchange 'amq.topic' in vhost '/'")
        );
    }
    let copied = message("amq.topic", "bob.a", &[headers(&[("CC", texts(&["eve.a"]))])]);
    assert!(broker.route(2, copied).unwrap_err().text().contains("topic 'eve.a'"));
    assert!(broker.route(2, message("amq.direct", "eve.a", &[])).is_ok(), "it is no topic exchange");
    assert!(broker.route(1, message("amq.topic", "eve.a", &[])).is_ok(), "it is another user");
    let bind = |key| Request::BindQueue(binding("amq.topic", "q", key));
    assert_eq!(broker.text(2, bind("open.#")), "");
    assert_eq!(
        broker.text(2, bind("#")),
        refused("read access to topic '#' in exchange 'amq.topic' in vhost '/'")
    );
    let clear = Change::ClearTopicPermissions { vhost: "/".into(), user: "bob".into(), exchange: None };
    broker.administer(clear).unwrap();
    assert!(broker.route(2, message("amq.topic", "eve.a", &[])).is_ok());
}

#[test]
fn a_new_secret_costs_consumers_that_may_not_read_any_more() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.add_user("bob", ".*", ".*", ".*");
    broker.connect_as(2, "bob", "pw");
    let mut consumers = Vec::new();
    for (number, queue) in [(1, "open"), (2, "secret")] {
        broker.ask(1, declare_queue(queue, |_| ()));
        match broker.consume(2, queue, number, ConsumeOptions::default()) {
            Reply::Consuming { queue } => consumers.push((queue, ConsumerNumber(number))),
            other => panic!("{other:?}"),
        }
    }
    broker.add_user("bob", ".*", ".*", "^open");
    broker.publish(1, message("", "secret", &[]), None);
    assert_eq!(broker.deliveries(2).len(), 1, "until then nothing changes");
    broker.port_mut(2).update_secret(&consumers);
    broker.settle();
    let cancelled = |event| match event {
        SessionEvent::ConsumerCancelled(number) => Some(number),
        _ => None,
    };
    let events: Vec<_> = broker.events(2).into_iter().filter_map(cancelled).collect();
    assert_eq!(events, [ConsumerNumber(2)]);
    broker.publish(1, message("", "secret", &[]), None);
    assert!(broker.deliveries(2).is_empty());
    assert_eq!(broker.counts(1, "secret"), (1, 0), "what was delivered stays with the channel");
}

#[test]
fn anonymous_is_offered_where_somebody_is_named_and_is_that_user() {
    let mut broker = Broker::new();
    let mut port = broker.port(1);
    assert_eq!(port.mechanisms(), "PLAIN AMQPLAIN");
    let refused = port.authenticate(NOW, "ANONYMOUS", b"", true);
    let Err(LoginRefused::Malformed(fault)) = refused else { panic!("{refused:?}") };
    assert_eq!(fault.text(), "COMMAND_INVALID - unknown authentication mechanism 'ANONYMOUS'");

    broker.add_user("bob", "", "", "");
    for (user, loopback, outcome) in [
        ("bob", false, ""),
        ("guest", true, ""),
        ("guest", false, "user 'guest' can only connect via localhost"),
        ("nobody", true, "user 'nobody' does not exist"),
    ] {
        let mut port = broker.port(2).with_anonymous(Some(user.into()));
        assert_eq!(port.mechanisms(), "PLAIN AMQPLAIN ANONYMOUS");
        match port.authenticate(NOW, "ANONYMOUS", b"whatever", loopback) {
            Ok(()) => assert_eq!((&**port.user(), ""), (user, outcome)),
            Err(LoginRefused::Credentials(text)) => assert_eq!(text, outcome),
            Err(LoginRefused::Malformed(fault)) => panic!("{fault:?}"),
        }
        assert!(
            port.authenticate(NOW, "PLAIN", b"\0guest\0", true).is_err(),
            "a password is still asked for"
        );
    }
}

#[test]
fn a_passive_declare_needs_any_permission_whether_there_is_something_or_not() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("s", |_| ()));
    broker.ask(1, declare_exchange("s", "direct", |_| ()));
    broker.add_user("bob", "^none", "^none", "^none");
    broker.connect_as(2, "bob", "pw");
    for name in ["s", "missing"] {
        let exchange = declare_exchange(name, "", |declare| declare.passive = true);
        let queue = declare_queue(name, |declare| declare.passive = true);
        for (request, what) in [(exchange, "exchange"), (queue, "queue")] {
            let text = format!("configure access to {what} '{name}' in vhost '/'");
            assert_eq!(broker.text(2, request), refused(&text));
        }
    }
    for (user, [configure, write, read]) in
        [("c", ["^s", "", ""]), ("w", ["", "^s", ""]), ("r", ["", "", "^s"])]
    {
        broker.add_user(user, configure, write, read);
        broker.connect_as(3, user, "pw");
        assert_eq!(broker.text(3, declare_exchange("s", "", |declare| declare.passive = true)), "");
        assert_eq!(broker.text(3, declare_queue("s", |declare| declare.passive = true)), "");
    }
}

#[test]
fn where_dead_letters_and_alternates_go_matters_to_what_is_new_alone() {
    let mut broker = Broker::new();
    broker.connect(1);
    let queue = |name: &str, to: &str| queue_with(name, &[("x-dead-letter-exchange", text(to))]);
    let exchange = |name: &str, to: &str| {
        declare_exchange(name, "direct", |declare| {
            declare.arguments = arguments(&[("alternate-exchange", text(to))]);
        })
    };
    broker.ask(1, queue("q", "forbidden"));
    broker.ask(1, exchange("x", "forbidden"));
    broker.add_user("bob", ".*", "^q", ".*");
    broker.connect_as(2, "bob", "pw");
    let refused = refused("write access to exchange 'forbidden' in vhost '/'");
    assert_eq!(broker.text(2, queue("new", "forbidden")), refused);
    assert_eq!(broker.text(2, exchange("new", "forbidden")), refused);
    assert_eq!(broker.text(2, queue("q", "forbidden")), "", "it is there, as it says");
    assert_eq!(broker.text(2, exchange("x", "forbidden")), "");
    assert_eq!(
        broker.text(2, queue("q", "other")),
        "PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': received 'other' but \
         current is 'forbidden'"
    );
    assert_eq!(
        broker.text(2, exchange("x", "other")),
        "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received 'other' but \
         current is 'forbidden'"
    );
    let taken =
        queue_with("new", &[("x-dead-letter-exchange", text("forbidden")), ("x-max-length", int(-1))]);
    assert_eq!(broker.text(2, taken), refused, "before other arguments");
    let reserved = "ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'";
    assert_eq!(broker.text(2, exchange("amq.x", "forbidden")), reserved);
}

#[test]
fn an_address_for_replies_is_one_in_its_own_vhost_alone() {
    let mut broker = Broker::new();
    let metadata = VhostMetadata::default();
    broker.administer(Change::PutVhost { name: "other".into(), metadata }).unwrap();
    let (vhost, user) = ("other".into(), "guest".into());
    let all = || ".*".into();
    let permissions = PermissionSpec { configure: all(), write: all(), read: all() };
    broker.administer(Change::PutPermissions { vhost, user, permissions }).unwrap();
    broker.connect(1);
    broker.connect(2);
    broker.connect_to(3, "other");
    let address = broker.port_mut(1).open_direct_reply(ConsumerNumber(1));
    let passive = || declare_queue(&address, |declare| declare.passive = true);
    assert_eq!(broker.text(2, passive()), "");
    assert_eq!(
        broker.text(3, passive()),
        format!("NOT_FOUND - no queue '{address}' in vhost 'other'"),
        "nor can anybody find out whether there is one"
    );
    assert!(!broker.route(2, message("", &address, &[])).unwrap().is_unroutable());
    assert!(broker.route(3, message("", &address, &[])).unwrap().is_unroutable());
    broker.publish(3, message("", &address, &[]), None);
    assert!(broker.deliveries(1).is_empty());
}
