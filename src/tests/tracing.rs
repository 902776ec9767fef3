//! What the broker publishes of its own: the firehose and the events (semantics section 19).

use leveret_codec::properties::Field;
use leveret_codec::table::AMQPValue;

use super::builders::{
    binding, declare_exchange, declare_queue, delete_queue, headers, int, message, short, text, texts,
};
use super::harness::Broker;
use crate::model::administration::Change;
use crate::model::consuming::Delivery;
use crate::model::ids::Timestamp;
use crate::model::port::BrokerPort;
use crate::model::request::Request;

fn key(delivery: &Delivery) -> String {
    String::from_utf8_lossy(delivery.message.routing_key()).into_owned()
}

fn header(delivery: &Delivery, name: &str) -> Option<AMQPValue> {
    delivery.message.properties().headers().unwrap_or_default().inner().get(name).cloned()
}

fn trace(broker: &mut Broker, on: bool) {
    broker.administer(Change::SetTracing { vhost: "/".into(), on }).unwrap();
}

/// A broker with a queue that is bound to an exchange of the broker's own.
fn listening(exchange: &str) -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_queue("subscriber", |_| ()));
    broker.ask(1, declare_queue("q", |_| ()));
    broker.ask(1, Request::BindQueue(binding(exchange, "subscriber", "#")));
    broker
}

#[test]
fn a_traced_vhost_copies_publishes_and_deliveries() {
    let mut broker = listening("amq.rabbitmq.trace");
    broker.publish(1, message("", "q", &[]), None);
    assert!(broker.get(1, "subscriber").is_none(), "nothing while it is off");
    trace(&mut broker, true);
    let properties =
        [short(Field::ContentType, "text/plain"), headers(&[("a", int(1)), ("CC", texts(&["x"]))])];
    broker.publish(1, message("", "q", &properties), None);
    let copy = broker.get(1, "subscriber").unwrap();
    assert_eq!(key(&copy), "publish.");
    assert_eq!(copy.message.body().len(), 4);
    assert_eq!(header(&copy, "exchange_name"), Some(text("")));
    assert_eq!(header(&copy, "routing_keys"), Some(texts(&["q", "x"])));
    assert_eq!(header(&copy, "routed_queues"), Some(texts(&["q"])));
    assert_eq!(header(&copy, "channel"), Some(int(1)));
    assert_eq!((header(&copy, "user"), header(&copy, "vhost")), (Some(text("guest")), Some(text("/"))));
    let Some(AMQPValue::FieldTable(described)) = header(&copy, "properties") else { panic!("no properties") };
    assert_eq!(described.inner().get("content_type"), Some(&text("text/plain")));
    let delivery = broker.get(1, "q").unwrap();
    broker.port_mut(1).delivered(7, &delivery);
    broker.settle();
    let copy = broker.get(1, "subscriber").unwrap();
    assert_eq!((key(&copy), header(&copy, "channel")), ("deliver.q".to_owned(), Some(int(7))));
    assert_eq!(header(&copy, "redelivered"), Some(int(0)));
    broker.port_mut(1).delivered(7, &copy);
    broker.settle();
    assert!(broker.get(1, "subscriber").is_none(), "copies are not copied");
    trace(&mut broker, false);
    broker.publish(1, message("", "q", &[]), None);
    assert!(broker.get(1, "subscriber").is_none());
}

#[test]
fn what_happens_is_told_to_who_is_bound_for_it() {
    let mut broker = listening("amq.rabbitmq.event");
    let published = |broker: &mut Broker| {
        let mut events = Vec::new();
        while let Some(event) = broker.get(1, "subscriber") {
            assert!(event.message.body().is_empty());
            assert!(matches!(header(&event, "timestamp_in_ms"), Some(AMQPValue::LongLongInt(1_000_000))));
            let name = header(&event, "name").or_else(|| header(&event, "source_name"));
            events.push((key(&event), name));
        }
        events
    };
    assert_eq!(published(&mut broker), [("binding.created".to_owned(), Some(text("amq.rabbitmq.event")))]);
    broker.ask(1, declare_queue("new", |_| ()));
    broker.ask(1, declare_exchange("x", "fanout", |_| ()));
    broker.ask(1, Request::BindQueue(binding("x", "new", "")));
    broker.ask(1, delete_queue("new", false, false));
    broker.add_user("bob", "", "", "");
    let expected = [
        ("queue.created", Some("new")),
        ("exchange.created", Some("x")),
        ("binding.created", Some("x")),
        ("binding.deleted", Some("x")),
        ("queue.deleted", Some("new")),
        ("user.created", Some("bob")),
        ("permission.created", None),
    ];
    let expected = expected.map(|(key, name)| (key.to_owned(), name.map(text)));
    assert_eq!(published(&mut broker), expected);
    broker.connect_as(2, "bob", "pw");
    broker.port_mut(2).open_channel(Timestamp(1_000_000), 5).unwrap();
    broker.settle();
    let keys: Vec<_> = published(&mut broker).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["user.authentication.success", "connection.created", "channel.created"]);
    let unbind = Request::UnbindQueue(binding("amq.rabbitmq.event", "subscriber", "#"));
    broker.ask(1, unbind);
    broker.ask(1, declare_queue("unsubscribed", |_| ()));
    assert!(published(&mut broker).is_empty());
}
