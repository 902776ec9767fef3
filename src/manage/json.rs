//! AMQP field tables as JSON and back (semantics 20.12).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use leveret_codec::table::{AMQPValue, FieldTable, MAX_DEPTH, ShortString};
use serde_json::{Map, Number, Value};

use super::answer::Refusal;
use super::fields::wrong;

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

/// As deep as a body nests, which its reader bounds.
fn has_null(value: &Value) -> bool {
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
        Value::Number(number) => match integer(value) {
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
#[allow(clippy::cast_possible_truncation, reason = "it is whole, and in the range that floats tell apart")]
pub(super) fn integer(value: &Value) -> Option<i64> {
    let whole = |value: f64| (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64);
    value.as_i64().or_else(|| value.as_f64().filter(|_| value.is_f64()).and_then(whole))
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
    fn a_whole_float_is_an_integer_and_what_is_too_large_is_none() {
        let table = read(&json!({"ttl": 30000.0, "half": 0.5, "huge": 1e300, "unsigned": u64::MAX})).unwrap();
        let field = |name: &str| table.inner().get(name).unwrap().clone();
        assert_eq!(field("ttl"), AMQPValue::LongLongInt(30_000));
        assert_eq!(field("half"), AMQPValue::Double(0.5));
        assert_eq!(field("huge"), AMQPValue::Double(1e300));
        assert!(matches!(field("unsigned"), AMQPValue::Double(_)));
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
