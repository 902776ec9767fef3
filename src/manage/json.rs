//! AMQP field tables as JSON and back (semantics 20.12).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use leveret_codec::table::{AMQPValue, FieldTable, MAX_DEPTH, ShortString};
use serde_json::{Map, Number, Value};

use super::answer::Refusal;
use super::fields::wrong;
use crate::catalog::queue_arguments;
use crate::routing;

/// The largest whole number below which a float leaves none out.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A table as an object.
pub(super) fn from_table(table: &FieldTable) -> Value {
    let fields = table.inner().iter();
    Value::Object(fields.map(|(name, value)| (name.to_string(), from_amqp(value))).collect())
}

fn from_amqp(value: &AMQPValue) -> Value {
    let float = |value: f64| Number::from_f64(value).map_or(Value::Null, Value::Number);
    match value {
        AMQPValue::Boolean(value) => Value::Bool(*value),
        AMQPValue::ShortShortInt(value) => (*value).into(),
        AMQPValue::ShortShortUInt(value) => (*value).into(),
        AMQPValue::ShortInt(value) => (*value).into(),
        AMQPValue::ShortUInt(value) => (*value).into(),
        AMQPValue::LongInt(value) => (*value).into(),
        AMQPValue::LongUInt(value) => (*value).into(),
        AMQPValue::LongLongInt(value) => (*value).into(),
        AMQPValue::Timestamp(value) => (*value).into(),
        AMQPValue::Float(value) => float(f64::from(*value)),
        AMQPValue::Double(value) => float(*value),
        AMQPValue::DecimalValue(value) => float(f64::from(value.value) / 10_f64.powi(i32::from(value.scale))),
        AMQPValue::ShortString(text) => text.as_str().into(),
        AMQPValue::LongString(text) => from_bytes(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => from_bytes(bytes.as_slice()),
        AMQPValue::FieldArray(items) => items.as_slice().iter().map(from_amqp).collect(),
        AMQPValue::FieldTable(table) => from_table(table),
        // As Erlang calls it.
        AMQPValue::Void => "undefined".into(),
    }
}

fn from_bytes(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(
        |_| format!("Not UTF-8, base64 is: {}", BASE64_STANDARD.encode(bytes)).into(),
        Value::from,
    )
}

/// An object as a table. The error says what AMQP cannot hold, and where it is.
pub(super) fn to_table(fields: &Map<String, Value>) -> Result<FieldTable, String> {
    table(fields, 1)
}

/// Arguments of a declaration, or headers: as [`to_table`], but without null, which RabbitMQ takes nowhere in them. No field and an
/// empty array are no arguments.
pub(super) fn arguments(given: Option<&Value>) -> Result<FieldTable, Refusal> {
    match given {
        None => Ok(FieldTable::default()),
        Some(Value::Array(items)) if items.is_empty() => Ok(FieldTable::default()),
        Some(Value::Object(fields)) => {
            if fields.values().any(has_null) {
                return Err(Refusal::bad("null_not_allowed"));
            }
            to_table(fields).map_err(|why| Refusal::bad(format!("arguments: {why}")))
        }
        Some(other) => Err(wrong("arguments", "an object", other)),
    }
}

/// Arguments of a queue or exchange: as [`arguments`], but a whole float is an integer where one is wanted. RabbitMQ refuses it there
/// (semantics 20.12); everywhere else a float stays one, as there, for exchanges compare types.
pub(super) fn declared_arguments(given: Option<&Value>) -> Result<FieldTable, Refusal> {
    arguments(given).map(with_declared_integers)
}

/// Such arguments, already as a table.
pub(super) fn with_declared_integers(table: FieldTable) -> FieldTable {
    let wants_integer =
        |name: &str| queue_arguments::is_number(name) || name == routing::RECENT_HISTORY_LENGTH;
    with_integers(table, wants_integer)
}

/// A table in which the whole floats of the fields that `wants_integer` names are integers.
pub(super) fn with_integers(mut table: FieldTable, wants_integer: impl Fn(&str) -> bool) -> FieldTable {
    let wanted = |(name, value): (&ShortString, &AMQPValue)| match value {
        AMQPValue::Double(float) if wants_integer(name.as_str()) => Some((name.clone(), whole(*float)?)),
        _ => None,
    };
    let changed: Vec<_> = table.inner().iter().filter_map(wanted).collect();
    for (name, whole) in changed {
        table.insert(name, AMQPValue::LongLongInt(whole));
    }
    table
}

/// As deep as a body nests, which its reader bounds.
pub(super) fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

/// A value as AMQP has it.
pub(super) fn to_amqp(value: &Value) -> Result<AMQPValue, String> {
    amqp(value, 1)
}

/// `depth`: how many tables and arrays it is in, itself included.
fn table(fields: &Map<String, Value>, depth: usize) -> Result<FieldTable, String> {
    check_depth(depth)?;
    let mut table = FieldTable::default();
    for (name, value) in fields {
        let short = ShortString::try_new(name.as_str())
            .map_err(|_| format!("a field's name is {} bytes long, 255 are allowed", name.len()))?;
        table.insert(short, amqp(value, depth + 1).map_err(|error| format!("in '{name}': {error}"))?);
    }
    Ok(table)
}

fn amqp(value: &Value, depth: usize) -> Result<AMQPValue, String> {
    Ok(match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => AMQPValue::LongLongInt(integer),
            None => AMQPValue::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Array(items) => {
            check_depth(depth)?;
            let items: Result<Vec<_>, _> = items.iter().map(|item| amqp(item, depth + 1)).collect();
            AMQPValue::FieldArray(items?.into())
        }
        Value::Object(fields) => AMQPValue::FieldTable(table(fields, depth)?),
    })
}

fn check_depth(depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH { Err(format!("nests deeper than {MAX_DEPTH} levels")) } else { Ok(()) }
}

/// A whole number, also where it is written as a float.
pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|_| value.is_f64()).and_then(whole))
}

#[allow(clippy::cast_possible_truncation, reason = "it is whole, and in the range that floats tell apart")]
fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<FieldTable, String> {
        to_table(value.as_object().unwrap())
    }

    #[test]
    fn a_table_reads_back_as_it_was_written() {
        let value = json!({
            "integer": 5, "negative": -5, "large": i64::MAX, "float": 1.5, "text": "ü", "yes": true,
            "array": [1, "a", {"b": []}], "table": {"": {}},
        });
        assert_eq!(from_table(&read(&value).unwrap()), value);
    }

    #[test]
    fn a_whole_float_is_an_integer_where_one_is_wanted_and_what_is_too_large_is_none() {
        let given = json!({
            "x-message-ttl": 30000.0, "x-expires": 0.5, "x-max-length": 1e300, "x-max-length-bytes": u64::MAX,
            "x-recent-history-length": 5.0, "own": 2.0, "inner": {"x-expires": 3.0},
        });
        let table = declared_arguments(Some(&given)).unwrap_or_else(|_| panic!("AMQP holds all of it"));
        let field = |name: &str| table.inner().get(name).unwrap().clone();
        assert_eq!(field("x-message-ttl"), AMQPValue::LongLongInt(30_000));
        assert_eq!(field("x-recent-history-length"), AMQPValue::LongLongInt(5));
        assert_eq!(field("x-expires"), AMQPValue::Double(0.5));
        assert_eq!(field("x-max-length"), AMQPValue::Double(1e300));
        assert!(matches!(field("x-max-length-bytes"), AMQPValue::Double(_)));
        // A float that was whole is one again in JSON.
        assert_eq!(field("own"), AMQPValue::Double(2.0));
        assert_eq!(from_table(&table)["own"].to_string(), "2.0");
        assert_eq!(from_table(&table)["inner"], json!({"x-expires": 3.0}));
        assert_eq!(from_table(&read(&json!({"x-expires": 2.0})).unwrap())["x-expires"].to_string(), "2.0");
    }

    #[test]
    fn what_amqp_cannot_hold_is_refused_by_name() {
        let long = read(&json!({"a": {"x".repeat(256): 1}})).unwrap_err();
        assert_eq!(long, "in 'a': a field's name is 256 bytes long, 255 are allowed");
        let arrays = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(read(&json!({"deep": arrays(MAX_DEPTH - 1)})).is_ok());
        let deeper = read(&json!({"deep": arrays(MAX_DEPTH)})).unwrap_err();
        assert_eq!(deeper, "in 'deep': nests deeper than 32 levels");
        let tables = |levels| (0..levels).fold(json!({}), |inner, _| json!({"a": inner}));
        assert!(read(&tables(MAX_DEPTH - 1)).is_ok() && read(&tables(MAX_DEPTH)).is_err());
    }

    #[test]
    fn arguments_hold_no_null_and_may_be_an_empty_array() {
        assert!(arguments(None).is_ok_and(|table| table.inner().is_empty()));
        assert!(arguments(Some(&json!([]))).is_ok_and(|table| table.inner().is_empty()));
        for null in [json!({"a": null}), json!({"a": [1, {"b": null}]})] {
            assert!(matches!(arguments(Some(&null)), Err(Refusal::Bad(why)) if why == "null_not_allowed"));
        }
        assert!(arguments(Some(&json!([1]))).is_err() && arguments(Some(&json!("a"))).is_err());
    }

    #[test]
    fn what_json_cannot_hold_is_said_otherwise() {
        let mut table = FieldTable::default();
        table.insert("bytes".into(), AMQPValue::LongString(vec![0xff].into()));
        table.insert("nan".into(), AMQPValue::Double(f64::NAN));
        table.insert("void".into(), AMQPValue::Void);
        let said = json!({"bytes": "Not UTF-8, base64 is: /w==", "nan": null, "void": "undefined"});
        assert_eq!(from_table(&table), said);
    }
}
