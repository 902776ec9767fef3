//! Queues: declare, compare, delete, exclusive owners (semantics section 7, section 8). Texts as RabbitMQ 4.3 gives
//! them.

use leveret_codec::table::AMQPValue;

use super::builders::{
    binding, declare_exchange, declare_queue, delete_queue, int, message, queue_with, text,
};
use super::harness::Broker;
use crate::model::command::Origin;
use crate::model::command::{CatalogCommand, QueueDeclare, ShardCommand};
use crate::model::consuming::ConsumeOptions;
use crate::model::event::SessionEvent;
use crate::model::ids::{ConnectionId, ConsumerNumber};
use crate::model::port::BrokerPort;
use crate::model::request::{Reply, Request};

fn refusal(fields: &[(&str, AMQPValue)]) -> String {
    let mut broker = Broker::new();
    broker.connect(1);
    let text = broker.text(1, queue_with("q", fields));
    text.strip_prefix("PRECONDITION_FAILED - invalid arg ").unwrap_or(&text).to_owned()
}

#[test]
fn arguments_are_checked_in_the_words_of_rabbitmq() {
    let cases = [
        ("x-message-ttl", int(-1), "{value_negative,-1}"),
        ("x-message-ttl", text("x"), "\"expected integer, got longstr\""),
        ("x-message-ttl", AMQPValue::LongLongInt(315_360_000_001), "{value_too_large,315360000001}"),
        ("x-expires", int(0), "{value_zero,0}"),
        ("x-max-length", int(-2), "{value_negative,-2}"),
        ("x-max-priority", int(256), "{max_value_exceeded,256}"),
        ("x-overflow", text("x"), "invalid_overflow"),
        ("x-overflow", int(1), "{unacceptable_type,signedint}"),
        ("x-queue-type", text("x"), "\"unsupported queue type 'x'\""),
        ("x-queue-version", int(1), "\"unsupported queue version '1'\""),
        ("x-dead-letter-routing-key", text("a"), "routing_key_but_no_dlx_defined"),
        ("x-single-active-consumer", int(1), "{unacceptable_type,signedint}"),
        ("x-queue-leader-locator", text("x"), "invalid_queue_locator_arg"),
    ];
    for (name, value, reason) in cases {
        assert_eq!(refusal(&[(name, value)]), format!("'{name}' for queue 'q' in vhost '/': {reason}"));
    }
    assert_eq!(
        refusal(&[("x-dead-letter-exchange", int(1))]),
        "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"
    );
    assert_eq!(
        refusal(&[("x-max-age", text("1D"))]),
        "'x-max-age' for queue 'q' in vhost '/' of queue type rabbit_classic_queue"
    );
    assert_eq!(
        refusal(&[("x-queue-type", text("quorum")), ("x-max-priority", int(5))]),
        "'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue"
    );
    assert!(refusal(&[("x-queue-type", text("stream"))]).starts_with("NOT_IMPLEMENTED - "));
    for accepted in ["x-queue-mode", "x-ha-policy", "x-whatever"] {
        assert_eq!(refusal(&[(accepted, text("lazy"))]), "");
    }
    assert_eq!(refusal(&[("x-delivery-limit", int(3)), ("x-dead-letter-exchange", text(""))]), "");
    for locator in ["client-local", "balanced", "random", "least-leaders", "min-masters"] {
        assert_eq!(refusal(&[("x-queue-leader-locator", text(locator))]), "");
    }
    assert_eq!(refusal(&[("x-queue-type", text(""))]), "", "an empty type is the default one");
    for unchecked in ["x-delivery-limit", "x-quorum-target-group-size"] {
        assert_eq!(refusal(&[("x-queue-type", text("quorum")), (unchecked, text("x"))]), "");
    }
    assert_eq!(refusal(&[("x-quorum-target-group-size", int(3))]), "");
}

#[test]
fn a_quorum_queue_is_durable_shared_named_and_limits_deliveries() {
    let mut broker = Broker::new();
    broker.connect(1);
    let quorum = [("x-queue-type", text("quorum"))];
    let mut refused = |change: fn(&mut crate::model::request::DeclareQueue)| {
        let mut request = queue_with("q", &quorum);
        if let Request::DeclareQueue(declare) = &mut request {
            change(declare);
        }
        broker.text(1, request)
    };
    let wrong =
        |property| format!("PRECONDITION_FAILED - invalid property '{property}' for queue 'q' in vhost '/'");
    assert_eq!(refused(|declare| declare.exclusive = true), wrong("exclusive-owner"));
    assert_eq!(refused(|declare| declare.auto_delete = true), wrong("auto-delete"));
    assert_eq!(refused(|declare| declare.durable = false), wrong("non-durable"));
    assert_eq!(
        refused(|declare| declare.name = "".into()),
        "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"
    );
    assert_eq!(refused(|_| ()), "");
    let state = broker.view.read();
    assert_eq!(state.queue("/", "q").unwrap().settings.delivery_limit, Some(20));
}

#[test]
fn a_redeclare_compares_flags_then_known_arguments_then_the_type() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    broker.ask(1, queue_with("e1", &[("x-message-ttl", int(1000)), ("x-foo", int(1))]));
    let mut redeclare = |request| broker.text(2, request);
    let head = "PRECONDITION_FAILED - inequivalent arg";
    assert_eq!(redeclare(queue_with("e1", &[("x-message-ttl", AMQPValue::LongLongInt(1000))])), "");
    assert_eq!(
        redeclare(queue_with("e1", &[("x-message-ttl", int(2000))])),
        format!("{head} 'x-message-ttl' for queue 'e1' in vhost '/': received '2000' but current is '1000'")
    );
    assert_eq!(
        redeclare(declare_queue("e1", |declare| declare.durable = false)),
        format!("{head} 'durable' for queue 'e1' in vhost '/': received 'false' but current is 'true'")
    );
    assert_eq!(
        redeclare(declare_queue("e1", |declare| declare.auto_delete = true)),
        format!("{head} 'auto_delete' for queue 'e1' in vhost '/': received 'true' but current is 'false'")
    );
    assert_eq!(
        redeclare(queue_with("e1", &[("x-queue-type", text("quorum"))])),
        format!(
            "{head} 'x-message-ttl' for queue 'e1' in vhost '/': received none but current is the value '1000' of \
             type 'signedint'"
        )
    );
    assert_eq!(
        redeclare(queue_with("e1", &[("x-message-ttl", int(1000)), ("x-queue-type", text("quorum"))])),
        format!(
            "{head} 'x-queue-type' for queue 'e1' in vhost '/': received 'quorum' but current is 'classic'"
        )
    );
    for (kind, printed) in [(text(""), ""), (int(5), "5"), (text("x"), "x")] {
        assert_eq!(
            redeclare(queue_with("e1", &[("x-message-ttl", int(1000)), ("x-queue-type", kind)])),
            format!(
                "{head} 'x-queue-type' for queue 'e1' in vhost '/': received '{printed}' but current is 'classic'"
            )
        );
    }
    assert_eq!(redeclare(queue_with("e2", &[("x-queue-type", text(""))])), "");
    assert_eq!(redeclare(queue_with("e2", &[("x-queue-type", text(""))])), "");
    assert_eq!(
        redeclare(queue_with("e2", &[])),
        format!("{head} 'x-queue-type' for queue 'e2' in vhost '/': received 'classic' but current is ''")
    );
    let quorum = ("x-queue-type", text("quorum"));
    assert_eq!(redeclare(queue_with("e3", &[quorum.clone(), ("x-quorum-target-group-size", int(3))])), "");
    assert_eq!(redeclare(queue_with("e3", &[quorum])), "", "a size that is not kept is not compared");
    let typed = [("x-message-ttl", int(1000)), ("x-queue-type", text("classic"))];
    assert_eq!(redeclare(queue_with("e1", &typed)), "");
    let locked = redeclare(declare_queue("e1", |declare| declare.exclusive = true));
    assert!(locked.starts_with("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'e1'"));
}

#[test]
fn names_are_reserved_made_up_and_cleaned() {
    let mut broker = Broker::new();
    broker.connect(1);
    assert_eq!(
        broker.text(1, declare_queue("amq.foo", |_| ())),
        "ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'"
    );
    let Reply::QueueDeclared { name, .. } = broker.ask(1, declare_queue("", |_| ())) else { panic!() };
    assert!(name.starts_with("amq.gen-") && name.len() == 30, "{name}");
    assert_eq!(
        broker.text(1, declare_queue(&name, |_| ())),
        format!("ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'"),
        "also where it exists"
    );
    assert_eq!(broker.text(1, declare_queue(&name, |declare| declare.passive = true)), "");
    broker.ask(1, declare_queue("a\r\nb", |_| ()));
    assert!(broker.view.read().queue("/", "ab").is_some());
    let missing = declare_queue("nope", |declare| declare.passive = true);
    assert_eq!(broker.text(1, missing), "NOT_FOUND - no queue 'nope' in vhost '/'");
}

#[test]
fn an_exclusive_queue_is_for_its_connection_and_goes_with_it() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    broker.ask(1, declare_queue("ex", |declare| declare.exclusive = true));
    broker.ask(1, Request::BindQueue(binding("amq.direct", "ex", "bound")));
    let name = || "ex".into();
    let others = [
        Request::UnbindQueue(binding("amq.direct", "ex", "bound")),
        declare_queue("ex", |declare| declare.exclusive = true),
        declare_queue("ex", |declare| declare.passive = true),
        Request::BindQueue(binding("amq.direct", "ex", "k")),
        Request::PurgeQueue { name: name() },
        delete_queue("ex", false, false),
    ];
    for request in others {
        let text = broker.text(2, request);
        assert!(text.starts_with("RESOURCE_LOCKED"), "{text}");
    }
    // What is not there is no secret (as 4.3 answers).
    assert_eq!(broker.text(2, Request::UnbindQueue(binding("amq.direct", "ex", "never"))), "");
    assert!(matches!(broker.consume(2, "ex", 1, ConsumeOptions::default()), Reply::Refused(_)));
    broker.publish(2, message("", "ex", &[]), None);
    assert_eq!(broker.counts(1, "ex"), (1, 0));
    assert!(matches!(broker.ask(1, Request::CloseConnection), Reply::Done));
    assert_eq!(broker.text(2, declare_queue("ex", |_| ())), "");
    assert_eq!(broker.counts(2, "ex"), (0, 0));
}

#[test]
fn a_declare_that_comes_after_its_connection_has_gone_makes_no_exclusive_queue() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    let late = |exclusive| {
        let Request::DeclareQueue(request) = declare_queue("late", |declare| declare.exclusive = exclusive)
        else {
            unreachable!("declare_queue makes a declare")
        };
        let connection = ConnectionId(1);
        let declare = QueueDeclare {
            connection,
            vhost: "/".into(),
            server_named: false,
            request,
            refused_if_new: None,
        };
        CatalogCommand::DeclareQueue(Box::new(declare))
    };
    broker.lose(1);
    broker.tell_catalog(late(true));
    assert!(broker.text(2, Request::PurgeQueue { name: "late".into() }).starts_with("NOT_FOUND"));
    broker.tell_catalog(late(false));
    assert_eq!(broker.text(2, Request::PurgeQueue { name: "late".into() }), "");
}

#[test]
fn a_lost_connection_takes_its_exclusive_queues_and_their_bindings() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    broker.ask(1, declare_queue("ex", |declare| declare.exclusive = true));
    broker.ask(1, declare_exchange("x", "fanout", |declare| declare.auto_delete = true));
    broker.ask(1, Request::BindQueue(binding("x", "ex", "")));
    broker.lose(1);
    assert!(broker.view.read().queue("/", "ex").is_none());
    assert!(broker.view.read().exchange("/", "x").is_none(), "its last binding went");
}

#[test]
fn a_delete_counts_and_heeds_its_conditions() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    broker.publish(1, message("", "q", &[]), None);
    assert_eq!(
        broker.text(1, delete_queue("q", false, true)),
        "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"
    );
    broker.connect(2);
    broker.consume(2, "q", 1, ConsumeOptions { prefetch: 1, ..ConsumeOptions::default() });
    assert_eq!(
        broker.text(1, delete_queue("q", true, false)),
        "PRECONDITION_FAILED - queue 'q' in vhost '/' in use"
    );
    broker.publish(1, message("", "q", &[]), None);
    broker.events(2);
    assert_eq!(
        broker.text(1, delete_queue("q", true, true)),
        "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty"
    );
    let reply = broker.ask(1, delete_queue("q", false, false));
    assert!(matches!(reply, Reply::Count { messages: 1 }), "{reply:?}");
    assert!(matches!(broker.events(2)[..], [SessionEvent::ConsumerCancelled(number)] if number.0 == 1));
    assert!(matches!(broker.ask(1, delete_queue("q", false, false)), Reply::Count { messages: 0 }));
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    broker.ask(1, declare_queue("ad", |declare| declare.auto_delete = true));
    broker.consume(1, "ad", 1, ConsumeOptions::default());
    broker.consume(2, "ad", 1, ConsumeOptions::default());
    broker.lose(1);
    assert!(broker.view.read().queue("/", "ad").is_some());
    broker.lose(2);
    assert!(broker.view.read().queue("/", "ad").is_none());
    assert!(broker.records.keys().all(|key| !key.ends_with(b"ad")));
}

#[test]
fn an_unused_queue_expires_and_can_be_declared_anew_at_once() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, queue_with("e", &[("x-expires", int(1000))]));
    broker.pass(600);
    broker.ask(1, queue_with("e", &[("x-expires", int(1000))]));
    broker.pass(600);
    assert!(broker.view.read().queue("/", "e").is_some(), "the declare was a use");
    broker.pass(600);
    assert!(broker.view.read().queue("/", "e").is_none());
    assert_eq!(broker.text(1, queue_with("e", &[])), "");
}

#[test]
fn a_declare_that_meets_a_queue_just_gone_makes_it_anew() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    let id = broker.view.read().queue("/", "q").unwrap().at;
    // The shard deletes the queue; before the catalog hears of it, it has let a declare pass.
    let shard = id.shard.number();
    let label = broker.view.read().queue("/", "q").unwrap().label.clone();
    let delete = ShardCommand::DeleteQueue {
        queue: id.queue,
        if_unused: false,
        if_empty: false,
        label,
        connection: ConnectionId(1),
    };
    let now = broker.now;
    broker.shards[shard].handle(now, Origin::Catalog, delete);
    let reply = broker.ask(1, declare_queue("q", |_| ()));
    let replies = [Some(reply), broker.take_reply(1)];
    assert!(replies.iter().any(|reply| matches!(reply, Some(Reply::QueueDeclared { .. }))), "{replies:?}");
    let new = broker.view.read().queue("/", "q").unwrap().at;
    assert_ne!(new.queue, id.queue);
    broker.tell_catalog(CatalogCommand::QueueGone { queue: id.queue, reply: None });
    assert!(broker.view.read().queue("/", "q").is_some(), "old news of the old queue");
}

#[test]
fn a_quorum_queue_with_a_single_active_consumer_refuses_get() {
    let mut broker = Broker::new();
    broker.connect(1);
    let fields = [("x-queue-type", text("quorum")), ("x-single-active-consumer", AMQPValue::Boolean(true))];
    assert_eq!(broker.text(1, queue_with("q", &fields)), "");
    let get = Request::Get { queue: "q".into(), consumer: ConsumerNumber(1), no_ack: true };
    assert_eq!(
        broker.text(1, get),
        "RESOURCE_LOCKED - cannot obtain access to locked queue 'q' in vhost '/'. basic.get operations are not \
         supported by quorum queues with single active consumer"
    );
}

#[test]
fn a_quorum_queue_takes_reject_publish_dlx_for_drop_head() {
    for (queue_type, accepted) in [("quorum", true), ("classic", false)] {
        let mut broker = Broker::new();
        broker.connect(1);
        let (max_length, overflow) = (("x-max-length", int(1)), ("x-overflow", text("reject-publish-dlx")));
        let fields = [("x-queue-type", text(queue_type)), max_length, overflow];
        assert_eq!(broker.text(1, queue_with("q", &fields)), "");
        for sequence in 1..=2 {
            broker.publish(1, message("", "q", &[]), Some(sequence));
        }
        broker.settle();
        let mut confirms = broker.confirms(1);
        confirms.sort_unstable();
        assert_eq!(confirms, [(1, true), (2, accepted)], "{queue_type}");
    }
}

#[test]
fn the_address_of_a_reply_consumer_is_a_queue_that_cannot_be_bound() {
    let mut broker = Broker::new();
    broker.connect(1);
    let address = broker.port_mut(1).open_direct_reply(ConsumerNumber(1));
    for request in [Request::BindQueue, Request::UnbindQueue] {
        let text = broker.text(1, request(binding("amq.direct", &address, "k")));
        assert_eq!(text, "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue");
    }
    let purge = || Request::PurgeQueue { name: address.clone() };
    assert!(matches!(broker.ask(1, purge()), Reply::Count { messages: 0 }));
    broker.port_mut(1).close_direct_reply(ConsumerNumber(1));
    assert!(broker.text(1, purge()).starts_with("NOT_FOUND - "));
}
