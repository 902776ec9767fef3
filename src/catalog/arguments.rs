//! Argument values as RabbitMQ names, prints and compares them (semantics 5.5, 7.4). Which arguments exist and what
//! they may be is with queues and exchanges.

use leveret_codec::table::{AMQPValue, FieldTable};

use crate::model::argument::{integer, type_name};
use crate::model::fault::Fault;
use crate::model::resource::Resource;

/// The text of a string value, with bytes that are no UTF-8 replaced.
pub(crate) fn string(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// Equal for the purpose of a redeclare: the width of an integer does not matter.
fn is_same(a: &AMQPValue, b: &AMQPValue) -> bool {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// A value as it stands between quotes in texts.
pub(crate) fn printed(value: &AMQPValue) -> String {
    if let Some(number) = integer(value) {
        return number.to_string();
    }
    match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        // With a point, as whole numbers of these types have it.
        AMQPValue::Float(value) => format!("{value:?}"),
        AMQPValue::Double(value) => format!("{value:?}"),
        other => string(other).unwrap_or_else(|| type_name(other).to_owned()),
    }
}

fn described(value: &AMQPValue) -> String {
    format!("the value '{}' of type '{}'", printed(value), type_name(value))
}

/// 406: a flag of a redeclare differs (semantics 5.5, 7.4).
pub(crate) fn inequivalent(
    property: &str,
    resource: Resource<'_>,
    received: impl std::fmt::Display,
    current: impl std::fmt::Display,
) -> Fault {
    Fault::precondition(format!(
        "inequivalent arg '{property}' for {resource}: received '{received}' but current is '{current}'"
    ))
}

/// Compares one flag of a redeclare.
pub(crate) fn check_flag(
    property: &str,
    resource: Resource<'_>,
    received: bool,
    current: bool,
) -> Result<(), Fault> {
    if received == current { Ok(()) } else { Err(inequivalent(property, resource, received, current)) }
}

/// Compares one argument of a redeclare.
pub(crate) fn check_argument(
    name: &str,
    resource: Resource<'_>,
    received: &FieldTable,
    current: &FieldTable,
) -> Result<(), Fault> {
    match (received.inner().get(name), current.inner().get(name)) {
        (None, None) => Ok(()),
        (Some(received), Some(current)) if is_same(received, current) => Ok(()),
        (Some(received), Some(current)) => {
            Err(inequivalent(name, resource, printed(received), printed(current)))
        }
        (None, Some(current)) => Err(Fault::precondition(format!(
            "inequivalent arg '{name}' for {resource}: received none but current is {}",
            described(current)
        ))),
        (Some(received), None) => Err(Fault::precondition(format!(
            "inequivalent arg '{name}' for {resource}: received {} but current is none",
            described(received)
        ))),
    }
}

/// Names in methods lose their carriage returns and line feeds (semantics 5.3, 7.1).
pub(crate) fn without_line_ends(name: &crate::model::ids::Name) -> crate::model::ids::Name {
    if name.contains(['\r', '\n']) { name.replace(['\r', '\n'], "").into() } else { name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, value: AMQPValue) -> FieldTable {
        let mut table = FieldTable::default();
        table.insert(name.into(), value);
        table
    }

    fn text(received: &FieldTable, current: &FieldTable) -> String {
        let outcome = check_argument("x-message-ttl", Resource::queue("q", "/"), received, current);
        outcome.err().map(|fault| fault.explanation.into_owned()).unwrap_or_default()
    }

    #[test]
    fn the_width_of_an_integer_does_not_matter_and_its_value_does() {
        let int = table("x-message-ttl", AMQPValue::LongInt(1000));
        assert_eq!(text(&int, &table("x-message-ttl", AMQPValue::LongLongInt(1000))), "");
        let head = "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received";
        assert_eq!(
            text(&int, &table("x-message-ttl", AMQPValue::LongLongInt(2000))),
            format!("{head} '1000' but current is '2000'")
        );
        assert_eq!(
            text(&table("x-message-ttl", AMQPValue::Double(1000.0)), &int),
            format!("{head} '1000.0' but current is '1000'")
        );
        assert_eq!(
            text(&int, &FieldTable::default()),
            format!("{head} the value '1000' of type 'signedint' but current is none")
        );
        assert_eq!(
            text(&FieldTable::default(), &int),
            format!("{head} none but current is the value '1000' of type 'signedint'")
        );
    }
}
