//! What a queue obeys: its own arguments and its policies, merged (semantics 17.2).

use std::sync::Arc;

use leveret_codec::table::{AMQPValue, FieldTable};

use crate::catalog::arguments::string;
use crate::catalog::encoded_table::EncodedTable;
use crate::catalog::retries;
use crate::model::argument::integer;
use crate::model::ids::Name;
use crate::model::settings::{DeadLetterTarget, Overflow, QueueSettings, QueueType};

/// The settings that `declared`, which the arguments made, become under a definition of policies. Delivery limits are
/// for quorum queues alone, as in RabbitMQ.
pub(crate) fn effective(
    declared: &Arc<QueueSettings>,
    arguments: &EncodedTable,
    definition: &FieldTable,
) -> Arc<QueueSettings> {
    if definition.inner().is_empty() {
        return Arc::clone(declared);
    }
    let (policy, arguments) = (Definition(definition), arguments.decode());
    let is_given = |argument: &str| arguments.inner().contains_key(argument);
    let quorum = declared.queue_type == QueueType::Quorum;
    let mut settings = QueueSettings::clone(declared);
    settings.message_ttl = least(declared.message_ttl, policy.number("message-ttl"));
    settings.expires = least(declared.expires, policy.number("expires"));
    settings.max_length = least(declared.max_length, policy.number("max-length"));
    settings.max_length_bytes = least(declared.max_length_bytes, policy.number("max-length-bytes"));
    if quorum || !is_given("x-overflow") {
        settings.overflow = policy.overflow(declared.queue_type).unwrap_or(declared.overflow);
    }
    settings.dead_letter = dead_letter(declared.dead_letter.as_ref(), policy);
    let strategy = arguments.inner().get("x-dead-letter-strategy").and_then(string);
    settings.set_dead_letter_strategy(strategy.or_else(|| policy.text("dead-letter-strategy")).as_deref());
    let timeout = policy.number("consumer-timeout");
    settings.consumer_timeout = if is_given("x-consumer-timeout") {
        least(declared.consumer_timeout, timeout)
    } else {
        timeout.or(declared.consumer_timeout)
    };
    if let Some(limit) = policy.integer("delivery-limit").filter(|_| quorum) {
        let limit = u64::try_from(limit).ok().map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
        settings.delivery_limit =
            if is_given("x-delivery-limit") { least(declared.delivery_limit, limit) } else { limit };
    }
    if let Some(AMQPValue::Boolean(scheduled)) = policy.value("scheduled-delivery") {
        settings.scheduled = *scheduled;
    }
    if retries::are_in(definition) {
        let retries = retries::retries(&arguments, definition);
        if let Some(count) = retries.as_ref().and_then(|(_, count)| *count)
            && !is_given("x-delivery-limit")
            && policy.value("delivery-limit").is_none()
        {
            settings.delivery_limit = Some(count);
        }
        settings.retry = retries.map(|(retry, _)| retry);
    }
    // Most definitions say nothing about most queues.
    if settings == **declared { Arc::clone(declared) } else { settings.into() }
}

/// Exchange and routing key each come from the argument where it is given, and from the policy otherwise (semantics
/// 12.8).
fn dead_letter(declared: Option<&DeadLetterTarget>, policy: Definition<'_>) -> Option<DeadLetterTarget> {
    let exchange = declared
        .map(|target| target.exchange.clone())
        .or_else(|| policy.text("dead-letter-exchange").map(Name::from))?;
    let routing_key = declared
        .and_then(|target| target.routing_key.clone())
        .or_else(|| policy.text("dead-letter-routing-key").map(Name::from));
    Some(DeadLetterTarget { exchange, routing_key })
}

fn least<N: Ord>(a: Option<N>, b: Option<N>) -> Option<N> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// A definition that was checked.
#[derive(Clone, Copy)]
struct Definition<'a>(&'a FieldTable);

impl Definition<'_> {
    fn value(&self, key: &str) -> Option<&AMQPValue> {
        self.0.inner().get(key)
    }

    fn integer(&self, key: &str) -> Option<i64> {
        self.value(key).and_then(integer)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.integer(key).and_then(|number| u64::try_from(number).ok())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.value(key).and_then(string)
    }

    fn overflow(&self, queue_type: QueueType) -> Option<Overflow> {
        Overflow::parse(&self.text("overflow")?, queue_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::arguments as table;

    fn effective(
        declared: &QueueSettings,
        arguments: &FieldTable,
        policy: &FieldTable,
    ) -> Arc<QueueSettings> {
        super::effective(&declared.clone().into(), &EncodedTable::new(arguments), policy)
    }

    fn number(number: i32) -> AMQPValue {
        AMQPValue::LongInt(number)
    }

    fn word(word: &str) -> AMQPValue {
        AMQPValue::LongString(word.into())
    }

    #[test]
    fn of_two_numbers_the_smaller_holds() {
        let declared =
            QueueSettings { max_length: Some(10), message_ttl: Some(5), ..QueueSettings::default() };
        let policy =
            table(&[("max-length", number(3)), ("message-ttl", number(9)), ("max-length-bytes", number(7))]);
        let settings = effective(&declared, &FieldTable::default(), &policy);
        assert_eq!(settings.max_length, Some(3));
        assert_eq!(settings.message_ttl, Some(5));
        assert_eq!(settings.max_length_bytes, Some(7));
    }

    #[test]
    fn overflow_is_the_arguments_on_classic_queues_and_the_policys_on_quorum_queues() {
        let arguments = table(&[("x-overflow", word("drop-head"))]);
        let policy = table(&[("overflow", word("reject-publish"))]);
        let on = |queue_type, arguments: &FieldTable| {
            let declared = QueueSettings { queue_type, ..QueueSettings::default() };
            effective(&declared, arguments, &policy).overflow
        };
        assert_eq!(on(QueueType::Classic, &arguments), Overflow::DropHead);
        assert_eq!(on(QueueType::Classic, &FieldTable::default()), Overflow::RejectPublish);
        assert_eq!(on(QueueType::Quorum, &arguments), Overflow::RejectPublish);
    }

    #[test]
    fn the_dead_letter_exchange_of_the_arguments_goes_before_the_policys() {
        let policy =
            table(&[("dead-letter-exchange", word("theirs")), ("dead-letter-routing-key", word("key"))]);
        let on = |dead_letter: Option<DeadLetterTarget>| {
            let declared = QueueSettings { dead_letter, ..QueueSettings::default() };
            effective(&declared, &FieldTable::default(), &policy).dead_letter.clone().unwrap()
        };
        let own = DeadLetterTarget { exchange: "own".into(), routing_key: None };
        let key = Some(Name::from("key"));
        assert_eq!(on(Some(own)), DeadLetterTarget { exchange: "own".into(), routing_key: key.clone() });
        assert_eq!(on(None), DeadLetterTarget { exchange: "theirs".into(), routing_key: key });
    }

    #[test]
    fn the_dead_letter_strategy_is_the_arguments_and_looks_at_what_holds_in_the_end() {
        let policy = table(&[
            ("dead-letter-exchange", word("theirs")),
            ("dead-letter-strategy", word("at-least-once")),
            ("overflow", word("reject-publish")),
        ]);
        let on = |arguments: &FieldTable| {
            effective(&QueueSettings::default(), arguments, &policy).dead_letters_at_least_once
        };
        assert!(on(&FieldTable::default()));
        assert!(!on(&table(&[("x-dead-letter-strategy", word("at-most-once"))])));
        assert!(
            !on(&table(&[("x-overflow", word("drop-head"))])),
            "what drops its head cannot be at-least-once"
        );
    }

    #[test]
    fn of_two_consumer_timeouts_the_shorter_holds_and_any_goes_before_the_default() {
        let given = table(&[("x-consumer-timeout", number(500))]);
        let on = |consumer_timeout, arguments: &FieldTable, limit| {
            let declared = QueueSettings { consumer_timeout, ..QueueSettings::default() };
            effective(&declared, arguments, &table(&[("consumer-timeout", number(limit))])).consumer_timeout
        };
        assert_eq!(on(Some(500), &given, 300), Some(300));
        assert_eq!(on(Some(500), &given, 900), Some(500));
        assert_eq!(on(Some(500), &FieldTable::default(), 900), Some(900));
    }

    #[test]
    fn a_delivery_limit_is_for_quorum_queues_and_none_is_the_weakest() {
        let given = table(&[("x-delivery-limit", number(7))]);
        let on = |queue_type, delivery_limit, arguments: &FieldTable, limit| {
            let declared = QueueSettings { queue_type, delivery_limit, ..QueueSettings::default() };
            effective(&declared, arguments, &table(&[("delivery-limit", number(limit))])).delivery_limit
        };
        let nothing = FieldTable::default();
        assert_eq!(on(QueueType::Quorum, Some(20), &nothing, 50), Some(50));
        assert_eq!(on(QueueType::Quorum, Some(20), &nothing, -1), None);
        assert_eq!(on(QueueType::Quorum, Some(7), &given, 3), Some(3));
        assert_eq!(on(QueueType::Quorum, Some(7), &given, -1), Some(7));
        assert_eq!(on(QueueType::Quorum, None, &given, 4), Some(4));
        assert_eq!(on(QueueType::Classic, None, &nothing, 3), None);
    }
}
