//! Dead letters: where they go, what they carry, and that none is lost on the way (semantics 12.4 to 12.7).

use leveret_codec::properties::Field;
use leveret_codec::table::{AMQPValue, FieldTable};

use super::builders::{
    binding, declare_exchange, declare_queue, headers, int, message, persistent, queue_with, short, text,
    texts,
};
use super::harness::Broker;
use crate::model::consuming::Settlement;
use crate::model::ids::{ConsumerNumber, PositionRange};
use crate::model::message::Message;
use crate::model::op::Op;
use crate::model::port::BrokerPort;
use crate::model::request::{Reply, Request};

/// `src` dead-letters over the fanout exchange `dx` to `dead`, which lives on the other shard.
fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, queue_with("src", &[("x-dead-letter-exchange", text("dx"))]));
    broker.ask(1, declare_queue("dead", |_| ()));
    broker.ask(1, declare_exchange("dx", "fanout", |_| ()));
    broker.ask(1, Request::BindQueue(binding("dx", "dead", "")));
    let state = broker.view.read();
    assert_ne!(state.queue("/", "src").unwrap().at.shard, state.queue("/", "dead").unwrap().at.shard);
    drop(state);
    broker
}

fn deaths(message: &Message) -> Vec<FieldTable> {
    let Some(AMQPValue::FieldArray(deaths)) = message.properties().header("x-death") else {
        return Vec::new();
    };
    deaths
        .as_slice()
        .iter()
        .map(|death| match death {
            AMQPValue::FieldTable(death) => death.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn field(death: &FieldTable, name: &str) -> AMQPValue {
    death.inner().get(name).cloned().unwrap_or(AMQPValue::Void)
}

/// Queue, reason and count of each death.
fn summary(message: &Message) -> Vec<(String, String, i64)> {
    deaths(message)
        .iter()
        .map(|death| match (field(death, "queue"), field(death, "reason"), field(death, "count")) {
            (AMQPValue::LongString(queue), AMQPValue::LongString(reason), AMQPValue::LongLongInt(count)) => {
                (queue.to_string(), reason.to_string(), count)
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_dead_letter_carries_its_death_and_not_its_expiration() {
    let mut broker = broker();
    let properties = [
        headers(&[("CC", texts(&["c1"])), ("BCC", texts(&["b1"])), ("zz", int(1))]),
        short(Field::Expiration, "40"),
        persistent(),
        short(Field::AppId, "app"),
    ];
    broker.publish(1, message("", "src", &properties), None);
    broker.pass(40);
    let dead = broker.get(1, "dead").unwrap().message;
    assert_eq!((dead.exchange(), dead.routing_key()), (&b"dx"[..], &b"src"[..]));
    let properties = dead.properties();
    assert_eq!(properties.expiration(), None);
    assert!(dead.is_persistent());
    assert_eq!(properties.short_string(Field::AppId), Some(&b"app"[..]));
    let [death] = &deaths(&dead)[..] else { panic!() };
    assert_eq!(death.inner().len(), 7);
    assert_eq!(field(death, "count"), AMQPValue::LongLongInt(1));
    assert_eq!(field(death, "reason"), text("expired"));
    assert_eq!(field(death, "queue"), text("src"));
    assert_eq!(field(death, "time"), AMQPValue::Timestamp(1000));
    assert_eq!(field(death, "exchange"), text(""));
    assert_eq!(field(death, "routing-keys"), texts(&["src", "c1"]));
    assert_eq!(field(death, "original-expiration"), text("40"));
    for when in ["first", "last"] {
        assert_eq!(properties.header(&format!("x-{when}-death-queue")), Some(text("src")));
        assert_eq!(properties.header(&format!("x-{when}-death-reason")), Some(text("expired")));
        assert_eq!(properties.header(&format!("x-{when}-death-exchange")), Some(text("")));
    }
    assert_eq!(properties.header("CC"), Some(texts(&["c1"])));
    assert_eq!(properties.header("BCC"), None);
    assert_eq!(properties.header("zz"), Some(int(1)));
}

#[test]
fn what_a_client_says_of_deaths_is_replaced() {
    let mut broker = broker();
    let mut claimed = FieldTable::default();
    claimed.insert("queue".into(), text("src"));
    claimed.insert("reason".into(), text("rejected"));
    claimed.insert("count".into(), AMQPValue::LongLongInt(5));
    let claims = AMQPValue::FieldArray(vec![AMQPValue::FieldTable(claimed)].into());
    let claims = headers(&[("x-death", claims), ("x-first-death-queue", text("foo"))]);
    broker.publish(1, message("", "src", &[claims]), None);
    broker.reject("src");
    let dead = broker.get(1, "dead").unwrap().message;
    assert_eq!(summary(&dead), [("src".into(), "rejected".into(), 1)]);
    assert_eq!(dead.properties().header("x-first-death-queue"), Some(text("src")));
}

#[test]
fn deaths_are_counted_newest_first() {
    let mut broker = broker();
    let to = |key| [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(key))];
    broker.ask(1, queue_with("c2", &to("c1")));
    let mut delayed = to("c2").to_vec();
    delayed.push(("x-message-ttl", int(60)));
    broker.ask(1, queue_with("c1", &delayed));
    broker.publish(1, message("", "c1", &[]), None);
    let summary_of = |expired, rejected| {
        let mut all = vec![("c1".to_owned(), "expired".to_owned(), expired)];
        if rejected > 0 {
            all.push(("c2".to_owned(), "rejected".to_owned(), rejected));
        }
        all
    };
    for round in 0..3 {
        broker.pass(60);
        let delivery = broker.reject("c2");
        assert_eq!(summary(&delivery.message), summary_of(round + 1, round));
        let properties = delivery.message.properties();
        assert_eq!(properties.header("x-first-death-queue"), Some(text("c1")));
        assert_eq!(properties.header("x-last-death-queue"), Some(text("c1")));
    }
}

#[test]
fn a_circle_without_a_rejection_ends() {
    let mut broker = broker();
    let to = |key| {
        [
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(key)),
            ("x-message-ttl", int(60)),
        ]
    };
    broker.ask(1, queue_with("cy1", &to("cy2")));
    broker.ask(1, queue_with("cy2", &to("cy1")));
    broker.publish(1, message("", "cy1", &[persistent()]), None);
    broker.pass(60);
    assert_eq!((broker.counts(1, "cy1").0, broker.counts(1, "cy2").0), (0, 1));
    broker.pass(60);
    assert_eq!((broker.counts(1, "cy1").0, broker.counts(1, "cy2").0), (0, 0));
    assert!(broker.stored.is_empty(), "and nothing of it is left in the store");
}

#[test]
fn the_source_keeps_a_durable_message_until_its_target_has_it() {
    let mut broker = broker();
    broker.publish(1, message("", "src", &[persistent()]), None);
    let source = broker.view.read().queue("/", "src").unwrap().at.queue;
    let removed = |broker: &Broker| {
        broker.ops.iter().any(|op| matches!(op, Op::Remove { queue, .. } if *queue == source))
    };
    broker.held = true;
    broker.reject("src");
    assert_eq!(broker.counts(1, "dead").0, 1);
    assert!(!removed(&broker), "the target is not durable yet");
    broker.let_go();
    assert!(removed(&broker));
    assert_eq!(broker.stored.len(), 1);
}

#[test]
fn a_crash_between_leaves_the_message_in_its_source() {
    let mut broker = broker();
    broker.publish(1, message("", "src", &[persistent()]), None);
    broker.held = true;
    broker.shards_stand = false;
    broker.reject("src");
    let target = broker.view.read().queue("/", "dead").unwrap().at.queue;
    // What was not durable is lost.
    broker.stored.retain(|(queue, _, _), _| *queue != target);
    let mut broker = broker.restarted();
    broker.connect(1);
    assert_eq!((broker.counts(1, "src").0, broker.counts(1, "dead").0), (1, 0));
}

#[test]
fn a_missing_exchange_drops_and_a_full_queue_has_a_reason_of_its_own() {
    let mut broker = broker();
    broker.ask(1, queue_with("lost", &[("x-dead-letter-exchange", text("nowhere"))]));
    broker.publish(1, message("", "lost", &[persistent()]), None);
    broker.reject("lost");
    assert!(broker.stored.is_empty());
    let short = [("x-dead-letter-exchange", text("dx")), ("x-max-length", int(1))];
    broker.ask(1, queue_with("short", &short));
    broker.publish(1, message("", "short", &[]), None);
    broker.publish(1, message("", "short", &[]), None);
    let dead = broker.get(1, "dead").unwrap().message;
    assert_eq!(summary(&dead), [("short".into(), "maxlen".into(), 1)]);
}

#[test]
fn a_replaced_key_routes_alone_and_stays_replaced() {
    let mut broker = broker();
    let replaced = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("src"))];
    broker.ask(1, queue_with("k", &replaced));
    broker.ask(1, declare_queue("c1", |_| ()));
    broker.publish(1, message("", "k", &[headers(&[("CC", texts(&["nowhere"]))])]), None);
    broker.ask(1, declare_queue("nowhere", |_| ()));
    broker.reject("k");
    assert_eq!(broker.counts(1, "nowhere").0, 0, "CC does not route where the key was replaced");
    broker.reject("src");
    let dead = broker.get(1, "dead").unwrap().message;
    assert_eq!(field(&deaths(&dead)[0], "routing-keys"), texts(&["src"]), "nor later");
    assert_eq!(dead.properties().header("CC"), Some(texts(&["nowhere"])));
}

/// `src` dead-letters at least once over the fanout `dx` to whatever is bound there.
fn at_least_once() -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, declare_exchange("dx", "fanout", |_| ()));
    let arguments = [
        ("x-queue-type", text("quorum")),
        ("x-dead-letter-exchange", text("dx")),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        ("x-message-ttl", int(10)),
        ("x-max-length", int(2)),
    ];
    assert_eq!(broker.text(1, queue_with("src", &arguments)), "");
    broker
}

fn full_target(broker: &mut Broker, name: &str) {
    let arguments = [("x-overflow", text("reject-publish")), ("x-max-length", int(1))];
    broker.ask(1, queue_with(name, &arguments));
    broker.ask(1, Request::BindQueue(binding("dx", name, "")));
    broker.publish(1, message("", name, &[persistent()]), None);
}

#[test]
fn an_at_least_once_source_sends_again_what_a_target_refused() {
    let mut broker = at_least_once();
    full_target(&mut broker, "full");
    broker.ask(1, declare_queue("open", |_| ()));
    broker.ask(1, Request::BindQueue(binding("dx", "open", "")));
    broker.publish(1, message("", "src", &[]), Some(1));
    broker.pass(10);
    assert_eq!((broker.counts(1, "src"), broker.counts(1, "open")), ((0, 0), (1, 0)));
    assert_eq!(broker.counts(1, "full"), (1, 0));
    assert_eq!(broker.stored.len(), 2, "the source keeps it");
    broker.pass(999);
    assert!(broker.get(1, "full").is_some());
    broker.pass(1);
    let dead_letter = broker.get(1, "full").expect("it was sent again");
    assert_eq!(field(&deaths(&dead_letter.message)[0], "count"), AMQPValue::LongLongInt(1), "it died once");
    assert_eq!(broker.counts(1, "open"), (1, 0), "who has it is not sent it again");
    assert!(broker.stored.is_empty());
}

#[test]
fn an_at_least_once_source_waits_for_a_target() {
    let mut broker = at_least_once();
    broker.publish(1, message("", "src", &[]), None);
    broker.pass(10);
    assert_eq!(broker.stored.len(), 1);
    broker.ask(1, declare_queue("late", |_| ()));
    broker.ask(1, Request::BindQueue(binding("dx", "late", "")));
    broker.pass(1000);
    assert!(broker.get(1, "late").is_some());
    assert!(broker.stored.is_empty());
}

#[test]
fn what_an_at_least_once_source_keeps_survives_a_crash_and_counts_as_length() {
    let mut broker = at_least_once();
    for sequence in 1..=3 {
        broker.publish(1, message("", "src", &[]), Some(sequence));
        broker.pass(10);
    }
    assert_eq!(broker.confirms(1), [(1, true), (2, true), (3, false)]);
    let mut broker = broker.restarted();
    broker.connect(1);
    broker.ask(1, declare_queue("late", |_| ()));
    broker.ask(1, Request::BindQueue(binding("dx", "late", "")));
    broker.pass(100);
    assert_eq!(broker.counts(1, "late"), (2, 0));
}

#[test]
fn an_at_least_once_source_forgets_what_died_with_it() {
    let mut broker = at_least_once();
    broker.publish(1, message("", "src", &[]), None);
    broker.pass(10);
    broker.ask(1, super::builders::delete_queue("src", false, false));
    broker.ask(1, declare_queue("late", |_| ()));
    broker.ask(1, Request::BindQueue(binding("dx", "late", "")));
    broker.pass(100_000);
    assert!(broker.get(1, "late").is_none() && broker.stored.is_empty());
}

#[test]
fn an_at_most_once_source_lets_go_of_what_is_refused() {
    let mut broker = broker();
    full_target(&mut broker, "full");
    broker.publish(1, message("", "src", &[persistent()]), None);
    broker.reject("src");
    assert!(broker.get(1, "full").is_some());
    broker.pass(100_000);
    assert!(broker.get(1, "full").is_none());
}

/// A quorum queue for one ready message that dead-letters at least once to the queue `to`.
fn small(name: &str, to: &str) -> Request {
    let arguments = [
        ("x-queue-type", text("quorum")),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(to)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
        ("x-max-length", int(1)),
    ];
    queue_with(name, &arguments)
}

#[test]
fn a_full_queue_that_feeds_itself_has_its_dead_letters_back_at_once() {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.ask(1, small("self", "self"));
    broker.publish(1, message("", "self", &[]), Some(1));
    broker.reject("self");
    assert_eq!(broker.counts(1, "self"), (1, 0));
    // One that was taken out, and whose place another has: it goes nowhere else.
    let consumer = ConsumerNumber(9);
    let get = Request::Get { queue: "self".into(), consumer, no_ack: false };
    let Reply::Got { delivery, .. } = broker.ask(1, get) else { panic!("it is there") };
    broker.publish(1, message("", "self", &[]), Some(2));
    let range = PositionRange::single(delivery.position);
    broker.port_mut(1).settle(delivery.queue, consumer, range, Settlement::Discard);
    broker.settle();
    assert_eq!(broker.counts(1, "self"), (2, 0));
    broker.publish(1, message("", "self", &[]), Some(3));
    assert_eq!(broker.confirms(1), [(1, true), (2, true), (3, false)]);
    assert_eq!(broker.stored.len(), 2, "nothing is kept besides");
}

#[test]
fn dead_letters_that_wait_for_each_others_queues_get_there() {
    let mut broker = Broker::new();
    broker.connect(1);
    for (name, to) in [("a", "b"), ("b", "a")] {
        broker.ask(1, small(name, to));
        broker.publish(1, message("", name, &[]), None);
    }
    broker.reject("a");
    assert_eq!((broker.counts(1, "a"), broker.counts(1, "b")), ((0, 0), (1, 0)), "the other one is full");
    broker.reject("b");
    broker.pass(1000);
    assert_eq!((broker.counts(1, "a"), broker.counts(1, "b")), ((1, 0), (1, 0)));
    assert_eq!(broker.stored.len(), 2);
}

#[test]
fn deaths_are_stamped_by_the_wall_clock_and_waited_for_by_the_brokers() {
    let mut broker = broker();
    broker.view.set_wall_ahead(7_200_000);
    broker.publish(1, message("", "src", &[short(Field::Expiration, "1000")]), None);
    broker.pass(999);
    assert!(broker.get(1, "dead").is_none());
    broker.pass(1);
    let dead = broker.get(1, "dead").expect("its time has come").message;
    assert_eq!(field(&deaths(&dead)[0], "time"), AMQPValue::Timestamp(broker.now.seconds() + 7200));
}
