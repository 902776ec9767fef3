//! How header values compare (semantics 5.23): by value, whatever the width of a number or the kind of a string.
//! An integer never equals a float, nor anything a string; what is nested compares with its type tags.

use leveret_codec::table::{AMQPValue, FieldTable, encode};

/// A header value in the form in which equal values are equal.
///
/// RabbitMQ 4.3 multiplies a timestamp in the message by 1000 before it compares, so that a timestamp never equals
/// the same timestamp in a binding; 3.x did not, and neither do we.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Void,
    Bool(bool),
    Integer(i128),
    /// The bits of a double: 0.0 and -0.0 differ.
    Float(u64),
    Decimal(u8, u32),
    Bytes(Vec<u8>),
    /// An array or a table, as it is encoded.
    Nested(Vec<u8>),
}

impl Value {
    pub(super) fn of(value: &AMQPValue) -> Value {
        match value {
            AMQPValue::Void => Value::Void,
            AMQPValue::Boolean(truth) => Value::Bool(*truth),
            AMQPValue::ShortShortInt(number) => Value::Integer((*number).into()),
            AMQPValue::ShortShortUInt(number) => Value::Integer((*number).into()),
            AMQPValue::ShortInt(number) => Value::Integer((*number).into()),
            AMQPValue::ShortUInt(number) => Value::Integer((*number).into()),
            AMQPValue::LongInt(number) => Value::Integer((*number).into()),
            AMQPValue::LongUInt(number) => Value::Integer((*number).into()),
            AMQPValue::LongLongInt(number) => Value::Integer((*number).into()),
            AMQPValue::Timestamp(number) => Value::Integer((*number).into()),
            AMQPValue::Float(number) => Value::Float(f64::from(*number).to_bits()),
            AMQPValue::Double(number) => Value::Float(number.to_bits()),
            AMQPValue::DecimalValue(decimal) => Value::Decimal(decimal.scale, decimal.value),
            AMQPValue::ShortString(text) => Value::Bytes(text.as_str().as_bytes().to_vec()),
            AMQPValue::LongString(text) => Value::Bytes(text.as_bytes().to_vec()),
            AMQPValue::ByteArray(bytes) => Value::Bytes(bytes.as_slice().to_vec()),
            AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) => {
                let mut alone = FieldTable::default();
                alone.insert("".into(), value.clone());
                Value::Nested(encode(&alone))
            }
        }
    }
}
