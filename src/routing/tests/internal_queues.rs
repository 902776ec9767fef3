//! The exchange types that keep messages: what reaches their internal queues (semantics 5.28, 5.29). Texts of
//! x-recent-history as RabbitMQ 4.3 gives them.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::*;
use crate::model::ids::ExchangeId;
use crate::routing::{Envelope, ExchangeKind, Exchanges, Walked, history_length, route};

struct Harness(BTreeMap<ExchangeId, ExchangeRoutes>);

impl Exchanges for Harness {
    fn routes(&self, id: ExchangeId) -> Option<&ExchangeRoutes> {
        self.0.get(&id)
    }

    fn alternate(&self, id: ExchangeId) -> Option<ExchangeId> {
        (id == ExchangeId(1)).then_some(ExchangeId(2))
    }
}

/// Exchange 1 keeps messages in queue 100, has the alternate exchange 2 (a fanout to queue 2), and is bound to queue 1
/// by the key `k`.
fn harness(kind: ExchangeKind) -> Harness {
    let arguments = fields([("x-delayed-type", text("direct"))]);
    let mut routes = ExchangeRoutes::new(kind, &arguments);
    routes.set_internal_queue(queue_ref(100));
    assert_eq!(routes.bind(queue(1), "k", &none()), Ok(true));
    let mut alternate = ExchangeRoutes::new(ExchangeKind::Fanout, &none());
    assert_eq!(alternate.bind(queue(2), "", &none()), Ok(true));
    Harness([(ExchangeId(1), routes), (ExchangeId(2), alternate)].into())
}

fn walk(harness: &Harness, key: &str, header: Option<(&str, AMQPValue)>) -> (Vec<u64>, Walked) {
    let headers = table::encode(&fields(header));
    let raw = Properties::default().with(&[(Field::Headers, Some(headers))]);
    let keys = [key.as_bytes()];
    let envelope = Envelope { keys: &keys, properties: Properties::trusted(&raw), draw: 0 };
    let mut into = SmallVec::new();
    let walked = route(harness, ExchangeId(1), envelope, &mut into);
    (into.iter().map(|queue| queue.queue.0).collect(), walked)
}

#[test]
fn a_delayed_message_waits_in_the_internal_queue_and_goes_nowhere_else() {
    let harness = harness(ExchangeKind::DelayedMessage);
    let delayed = |key: &str, millis| walk(&harness, key, Some(("x-delay", AMQPValue::LongInt(millis))));
    assert_eq!(delayed("k", 1).0, [100]);
    assert_eq!(delayed("nowhere", 1).0, [100], "whether it matches is seen later");
    assert_eq!(delayed("k", 0).0, [1]);
    assert_eq!(delayed("k", -1).0, [1]);
    let (queues, walked) = walk(&harness, "k", None);
    assert_eq!(queues, [1]);
    assert!(!walked.by_keys_alone && walked.histories.is_empty());
    assert_eq!(walk(&harness, "nowhere", None).0, [2], "over the alternate exchange");
}

#[test]
fn a_history_is_told_of_every_message_and_is_no_destination() {
    let mut harness = harness(ExchangeKind::RecentHistory);
    let (queues, walked) = walk(&harness, "any", None);
    assert_eq!((queues, &walked.histories[..]), (vec![1], &[queue_ref(100)][..]));
    assert!(!walked.by_keys_alone);
    let no_store =
        |value| walk(&harness, "any", Some(("x-recent-history-no-store", value))).1.histories.len();
    assert_eq!(no_store(AMQPValue::Boolean(true)), 0);
    assert_eq!(no_store(AMQPValue::Boolean(false)), 1);
    assert_eq!(no_store(text("true")), 1);
    let routes = harness.0.get_mut(&ExchangeId(1)).expect("it is there");
    assert_eq!(routes.remove_destination(queue(1)), 1);
    assert_eq!(walk(&harness, "any", None).0, [2], "nothing matched");
}

#[test]
fn arguments_of_keeping_types_are_checked() {
    let refusal = |kind: ExchangeKind, name: &'static str, value| {
        kind.check(&fields([(name, value)])).err().map(|fault| fault.explanation.into_owned())
    };
    let length = |value| refusal(ExchangeKind::RecentHistory, "x-recent-history-length", value);
    let wrong = |value| {
        Some(format!("Invalid argument {value}, 'x-recent-history-length' must be a positive integer"))
    };
    assert_eq!(length(AMQPValue::LongInt(0)), wrong("0"));
    assert_eq!(length(AMQPValue::LongInt(-1)), wrong("-1"));
    assert_eq!(length(text("3")), wrong("<<\"3\">>"));
    assert_eq!(length(AMQPValue::Boolean(true)), wrong("true"));
    assert_eq!(length(AMQPValue::ShortShortUInt(3)), None);
    assert_eq!(history_length(&none()), Ok(20));

    let inner = |value| refusal(ExchangeKind::DelayedMessage, "x-delayed-type", value);
    let unknown = Some("Invalid argument, 'x-delayed-type' must be an existing exchange type".to_owned());
    assert_eq!(inner(text("topic")), None);
    assert_eq!(inner(text("x-consistent-hash")), None);
    for wrong in [text("nope"), AMQPValue::LongInt(1), text("x-delayed-message"), text("x-recent-history")] {
        assert_eq!(inner(wrong), unknown);
    }
    assert!(ExchangeKind::DelayedMessage.check(&none()).is_err(), "it has to be said");
    let arguments = fields([("x-delayed-type", text("x-consistent-hash")), ("hash-property", text("x"))]);
    assert!(ExchangeKind::DelayedMessage.check(&arguments).is_err(), "what the inner type refuses");
}
