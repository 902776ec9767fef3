//! What the definition of a policy may hold, and which of two values holds (semantics 17.2 to 17.4).

use leveret_codec::table::AMQPValue;

use crate::catalog::arguments::string;
use crate::catalog::pattern::Pattern;
use crate::catalog::retries;
use crate::model::administration::{AdministrationError, PolicyKind, PolicySpec};
use crate::model::argument::integer;
use crate::model::retry::Retried;

/// What the value of a key must be.
enum Check {
    /// An integer of at least this.
    AtLeast(i64),
    Integer,
    /// An integer from here to there.
    Within(i64, i64),
    Text,
    Boolean,
    OneOf(&'static [&'static str]),
    /// Delays of retries, as a list or what stands for one.
    Delays,
    /// A number and a unit of time.
    Age,
    /// RabbitMQ refuses the key itself.
    Gone(&'static str),
}

struct DefinitionKey {
    name: &'static str,
    /// What texts call it.
    what: &'static str,
    check: Check,
    /// Operator policies may hold it, too.
    operator: bool,
}

const fn key(name: &'static str, what: &'static str, check: Check) -> DefinitionKey {
    DefinitionKey { name, what, check, operator: false }
}

const fn operator_key(name: &'static str, what: &'static str, check: Check) -> DefinitionKey {
    DefinitionKey { name, what, check, operator: true }
}

/// All keys (semantics 17.3). Some have no effect here: they are of streams, of clusters, or of times past.
const KEYS: &[DefinitionKey] = &[
    operator_key("expires", "queue expiry", Check::AtLeast(1)),
    operator_key("message-ttl", "message TTL", Check::AtLeast(0)),
    operator_key("max-length", "maximum length", Check::AtLeast(0)),
    operator_key("max-length-bytes", "maximum length in bytes", Check::AtLeast(0)),
    operator_key("max-in-memory-length", "maximum memory in bytes", Check::AtLeast(0)),
    operator_key("max-in-memory-bytes", "maximum memory in bytes", Check::AtLeast(0)),
    operator_key("delivery-limit", "delivery limit", Check::Integer),
    operator_key(
        "overflow",
        "overflow value",
        Check::OneOf(&["drop-head", "reject-publish", "reject-publish-dlx"]),
    ),
    operator_key("target-group-size", "qq target count value", Check::AtLeast(1)),
    operator_key("queue-version", "queue-version value", Check::Within(1, 2)),
    operator_key(
        "delayed-retry-type",
        "delayed retry type. Must be one of: all, failed, returned, disabled",
        Check::OneOf(&["all", "failed", "returned", "disabled"]),
    ),
    operator_key(
        "delayed-retry-min",
        "delayed retry minimum delay. Must be a positive integer",
        Check::AtLeast(1),
    ),
    operator_key(
        "delayed-retry-max",
        "delayed retry maximum delay. Must be a positive integer",
        Check::AtLeast(1),
    ),
    operator_key("retry-delays", "list of retry delays such as 1s,30s,5m", Check::Delays),
    operator_key("retry-jitter", "jitter of retry delays in percent, 0 to 50", Check::Within(0, 50)),
    operator_key("retry-rejected", "word on retries of what is rejected, true or false", Check::Boolean),
    operator_key("scheduled-delivery", "word on scheduled delivery, true or false", Check::Boolean),
    key("dead-letter-exchange", "dead letter exchange name", Check::Text),
    key("dead-letter-routing-key", "dead letter routing key", Check::Text),
    key("dead-letter-strategy", "dead letter strategy", Check::OneOf(&["at-most-once", "at-least-once"])),
    key("alternate-exchange", "alternate exchange name", Check::Text),
    key("consumer-timeout", "consumer timeout", Check::AtLeast(0)),
    key("consumer-disconnected-timeout", "consumer disconnected timeout", Check::AtLeast(0)),
    key("queue-mode", "queue-mode value", Check::OneOf(&["default", "lazy"])),
    key("queue-leader-locator", "queue leader locator value", Check::OneOf(&["client-local", "balanced"])),
    key(
        "queue-master-locator",
        "",
        Check::Gone("use of deprecated queue-master-locator argument is not permitted"),
    ),
    key("initial-cluster-size", "cluster size", Check::Integer),
    key("max-age", "max age", Check::Age),
    key("stream-max-segment-size-bytes", "segment size", Check::AtLeast(0)),
    key("stream-filter-size-bytes", "filter size. Valid range is 16-255", Check::Within(16, 255)),
];

/// Checks a policy before it is taken (semantics 17.4), whose pattern was read. Returns that.
pub(crate) fn check(
    kind: PolicyKind,
    policy: &PolicySpec,
    pattern: Result<Pattern, String>,
) -> Result<Pattern, AdministrationError> {
    let pattern = pattern.map_err(|why| {
        let what = "pattern should be regular expression but is invalid";
        AdministrationError::validation(format!("{what}: {why}"))
    })?;
    let definition = policy.definition.inner();
    if definition.is_empty() {
        return Err(AdministrationError::validation("no policy provided"));
    }
    let find = |name: &str| find(kind, name);
    let unknown: Vec<_> = definition
        .iter()
        .filter(|(name, _)| find(name.as_str()).is_none())
        .map(|(name, value)| format!("{{<<\"{name}\">>,{}}}", printed(value)))
        .collect();
    if !unknown.is_empty() {
        return Err(AdministrationError::validation(format!(
            "[{}] are not recognised policy settings",
            unknown.join(",")
        )));
    }
    for (name, value) in definition {
        let Some(key) = find(name.as_str()) else { continue };
        if let Check::Gone(text) = key.check {
            return Err(AdministrationError::validation(text));
        }
        if !is_valid(&key.check, value) {
            return Err(AdministrationError::validation(format!(
                "{} is not a valid {}",
                printed(value),
                key.what
            )));
        }
    }
    let value = |name: &str| {
        definition.iter().find(|(key, _)| key.as_str() == name).and_then(|(_, value)| string(value))
    };
    if let Some(retried) = value("delayed-retry-type").filter(|word| Retried::parse(word) != Retried::None)
        && !definition.contains_key("delayed-retry-min")
        && !definition.contains_key("retry-delays")
    {
        return Err(AdministrationError::validation(format!(
            "delayed-retry-min is required when delayed-retry-type is {retried}"
        )));
    }
    Ok(pattern)
}

fn find(kind: PolicyKind, name: &str) -> Option<&'static DefinitionKey> {
    KEYS.iter().find(|key| key.name == name && (key.operator || kind == PolicyKind::Regular))
}

/// Whether a policy of this kind may hold the key.
#[must_use]
pub fn has_meaning(kind: PolicyKind, name: &str) -> bool {
    find(kind, name).is_some_and(|key| !matches!(key.check, Check::Gone(_)))
}

fn is_valid(check: &Check, value: &AMQPValue) -> bool {
    let is_integer = |fits: &dyn Fn(i64) -> bool| integer(value).is_some_and(fits);
    let is_text = |fits: &dyn Fn(&str) -> bool| string(value).is_some_and(|text| fits(&text));
    match check {
        Check::AtLeast(least) => is_integer(&|number| number >= *least),
        Check::Integer => is_integer(&|_| true),
        Check::Within(first, last) => is_integer(&|number| (*first..=*last).contains(&number)),
        Check::Text => is_text(&|_| true),
        Check::Boolean => matches!(value, AMQPValue::Boolean(_)),
        Check::Delays => is_text(&retries::is_delays),
        Check::OneOf(words) => is_text(&|text| words.contains(&text)),
        Check::Age => is_text(&|text| {
            let number = text.strip_suffix(['Y', 'M', 'D', 'h', 'm', 's']).unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        }),
        Check::Gone(_) => false,
    }
}

/// A value as RabbitMQ's texts print it.
#[must_use]
pub fn printed(value: &AMQPValue) -> String {
    if let Some(number) = integer(value) {
        return number.to_string();
    }
    match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::Float(value) => format!("{value:?}"),
        AMQPValue::Double(value) => format!("{value:?}"),
        AMQPValue::FieldArray(values) => {
            let values: Vec<_> = values.as_slice().iter().map(printed).collect();
            format!("[{}]", values.join(","))
        }
        AMQPValue::FieldTable(fields) => {
            let fields: Vec<_> = fields
                .inner()
                .iter()
                .map(|(name, value)| format!("<<\"{name}\">> => {}", printed(value)))
                .collect();
            format!("#{{{}}}", fields.join(","))
        }
        AMQPValue::Void => "null".to_owned(),
        other => string(other).map_or_else(|| "undefined".to_owned(), |text| format!("<<\"{text}\">>")),
    }
}

/// The value that holds where an operator policy has a key that a regular one has, too (semantics 17.2).
pub(super) fn bounded<'a>(key: &str, asked: &'a AMQPValue, bound: &'a AMQPValue) -> &'a AMQPValue {
    match (integer(asked), integer(bound)) {
        // A negative delivery limit is none.
        (Some(asked_number), Some(bound_number)) if key == "delivery-limit" => {
            let is_asked = asked_number >= 0 && (bound_number < 0 || asked_number < bound_number);
            if is_asked { asked } else { bound }
        }
        (Some(asked_number), Some(bound_number)) if asked_number < bound_number => asked,
        _ => bound,
    }
}

#[cfg(test)]
mod tests {
    use leveret_codec::table::FieldTable;

    use super::*;
    use crate::model::administration::ApplyTo;

    fn text(kind: PolicyKind, pattern: &str, fields: &[(&str, AMQPValue)]) -> String {
        let mut definition = FieldTable::default();
        for (name, value) in fields {
            definition.insert((*name).into(), value.clone());
        }
        let policy = PolicySpec { pattern: pattern.into(), apply_to: ApplyTo::All, priority: 0, definition };
        check(kind, &policy, Pattern::parse(&policy.pattern))
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    fn regular(name: &str, value: AMQPValue) -> String {
        text(PolicyKind::Regular, "^q", &[(name, value)])
    }

    fn word(word: &str) -> AMQPValue {
        AMQPValue::LongString(word.into())
    }

    #[test]
    fn what_is_not_known_or_not_valid_is_refused_in_the_words_of_rabbitmq() {
        let one = AMQPValue::LongInt(1);
        assert_eq!(
            text(PolicyKind::Regular, "q", &[("foo", one.clone()), ("bar", AMQPValue::LongInt(2))]),
            "Validation failed\n\n[{<<\"bar\">>,2},{<<\"foo\">>,1}] are not recognised policy settings\n"
        );
        let refused = |what: &str| format!("Validation failed\n\n{what}\n");
        assert_eq!(regular("message-ttl", word("a")), refused("<<\"a\">> is not a valid message TTL"));
        assert_eq!(regular("message-ttl", AMQPValue::Double(1.0)), refused("1.0 is not a valid message TTL"));
        assert_eq!(regular("expires", AMQPValue::LongInt(0)), refused("0 is not a valid queue expiry"));
        assert_eq!(
            regular("overflow", AMQPValue::Boolean(true)),
            refused("true is not a valid overflow value")
        );
        assert_eq!(regular("max-age", word("7")), refused("<<\"7\">> is not a valid max age"));
        assert_eq!(text(PolicyKind::Regular, "q", &[]), refused("no policy provided"));
        assert!(text(PolicyKind::Regular, "(", &[("max-length", one.clone())]).contains("pattern should be"));
        assert_eq!(regular("delivery-limit", AMQPValue::LongInt(-1)), "");
        assert_eq!(regular("max-age", word("7D")), "");
        assert_eq!(regular("alternate-exchange", word("x")), "");
    }

    #[test]
    fn an_operator_policy_holds_bounds_alone() {
        let field = [("dead-letter-exchange", word("x"))];
        assert!(text(PolicyKind::Operator, "q", &field).contains("not recognised"));
        assert_eq!(text(PolicyKind::Operator, "q", &[("max-length", AMQPValue::LongInt(5))]), "");
    }

    #[test]
    fn an_operator_bounds_a_delivery_limit_that_is_none() {
        let number = AMQPValue::LongInt;
        let held = |asked, bound| bounded("delivery-limit", &number(asked), &number(bound)).clone();
        assert_eq!(held(-1, 5), number(5));
        assert_eq!(held(3, -1), number(3));
        assert_eq!(held(9, 5), number(5));
    }
}
