//! Publishing: checks, routes and what is remembered of them, direct reply-to (semantics 9.1 to 9.5, section
//! 15). Keys in CC and BCC are in `cc`.

use leveret_codec::properties::Field;

use super::builders::{
    arguments, binding, declare_exchange, declare_queue, delete_queue, headers, int, message, short, text,
};
use super::harness::Broker;
use crate::model::event::SessionEvent;
use crate::model::ids::ConsumerNumber;
use crate::model::port::BrokerPort;
use crate::model::request::{Binding, Reply, Request};

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("q", |_| ()));
    broker
}

fn targets(broker: &mut Broker, message: crate::model::message::Message) -> usize {
    broker.route(1, message).unwrap().queues.len()
}

#[test]
fn a_publish_is_refused_in_the_words_of_rabbitmq() {
    let mut broker = broker();
    broker.ask(1, declare_exchange("int", "direct", |declare| declare.internal = true));
    let mut refused = |message| broker.route(1, message).unwrap_err().text();
    assert_eq!(refused(message("nox", "", &[])), "NOT_FOUND - no exchange 'nox' in vhost '/'");
    assert_eq!(
        refused(message("int", "", &[])),
        "ACCESS_REFUSED - cannot publish to internal exchange 'int' in vhost '/'"
    );
    assert_eq!(
        refused(message("", "q", &[short(Field::Expiration, "abc")])),
        "PRECONDITION_FAILED - invalid expiration 'abc': no_integer"
    );
    let both = [short(Field::Expiration, "+x"), short(Field::UserId, "nobody")];
    assert_eq!(refused(message("", "q", &both)), "PRECONDITION_FAILED - invalid expiration '+x': no_integer");
    assert_eq!(
        refused(message("", "q", &both[1..])),
        "PRECONDITION_FAILED - user_id property set to 'nobody' but authenticated user was 'guest'"
    );
    assert_eq!(
        refused(message("", "q", &[headers(&[("CC", text("x"))])])),
        "PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}"
    );
    assert_eq!(
        refused(message("", "q", &[headers(&[("BCC", int(1))])])),
        "PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"BCC\",signedint}"
    );
    for number in ["007", "+7"] {
        assert!(broker.route(1, message("", "q", &[short(Field::Expiration, number)])).is_ok());
    }
}

#[test]
fn what_is_remembered_of_a_route_holds_until_something_changes() {
    let mut broker = broker();
    assert_eq!(targets(&mut broker, message("amq.direct", "k", &[])), 0);
    assert_eq!(targets(&mut broker, message("amq.direct", "k", &[])), 0);
    broker.ask(1, Request::BindQueue(binding("amq.direct", "q", "k")));
    assert_eq!(targets(&mut broker, message("amq.direct", "k", &[])), 1);
    broker.ask(1, Request::UnbindQueue(binding("amq.direct", "q", "k")));
    assert_eq!(targets(&mut broker, message("amq.direct", "k", &[])), 0);
    assert_eq!(targets(&mut broker, message("", "q", &[])), 1);
    broker.ask(1, delete_queue("q", false, false));
    assert_eq!(targets(&mut broker, message("", "q", &[])), 0);
}

#[test]
fn what_headers_decide_is_not_remembered() {
    let mut broker = broker();
    let by_header = Binding { arguments: arguments(&[("a", int(1))]), ..binding("amq.headers", "q", "") };
    broker.ask(1, Request::BindQueue(by_header));
    assert_eq!(targets(&mut broker, message("amq.headers", "", &[headers(&[("a", int(1))])])), 1);
    assert_eq!(targets(&mut broker, message("amq.headers", "", &[headers(&[("a", int(2))])])), 0);
    assert_eq!(targets(&mut broker, message("amq.headers", "", &[])), 0);
    assert_eq!(targets(&mut broker, message("amq.headers", "", &[headers(&[("a", int(1))])])), 1);
}

#[test]
fn a_direct_reply_reaches_its_consumer_without_a_queue() {
    let mut broker = broker();
    broker.connect(2);
    let address = broker.port_mut(1).open_direct_reply(ConsumerNumber(7));
    let declare = |name: &str| declare_queue(name, |declare| declare.passive = true);
    let Reply::QueueDeclared { consumers: 1, messages: 0, .. } = broker.ask(2, declare(&address)) else {
        panic!()
    };
    assert!(!broker.route(2, message("", &address, &[])).unwrap().is_unroutable());
    assert_eq!(broker.publish(2, message("", &address, &[]), Some(1)), 0, "nothing to wait for");
    let events = broker.events(1);
    let [SessionEvent::Deliver(delivery)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((delivery.consumer, delivery.no_ack), (ConsumerNumber(7), true));
    assert_eq!(delivery.message.routing_key(), address.as_bytes());
    let guessed = format!("{}x", &address[..address.len() - 1]);
    assert!(broker.route(2, message("", &guessed, &[])).unwrap().is_unroutable());
    assert!(broker.route(2, message("amq.direct", &address, &[])).unwrap().is_unroutable());
    broker.port_mut(1).close_direct_reply(ConsumerNumber(7));
    assert!(broker.route(2, message("", &address, &[])).unwrap().is_unroutable());
    assert!(broker.text(2, declare(&address)).starts_with("NOT_FOUND"));
}

#[test]
fn a_direct_reply_address_goes_with_its_connection() {
    let mut broker = broker();
    broker.connect(2);
    let address = broker.port_mut(1).open_direct_reply(ConsumerNumber(7));
    broker.lose(1);
    assert!(broker.route(2, message("", &address, &[])).unwrap().is_unroutable());
}
