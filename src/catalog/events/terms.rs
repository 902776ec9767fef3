//! Values as RabbitMQ's events have them. Where it holds an AMQP table, it has a list of texts, one Erlang term per
//! field; clients that read events know them so. What is published is not decided here.

use leveret_codec::table::{AMQPValue, FieldArray, FieldTable};

use super::text;
use crate::model::argument::{integer, type_name};

/// A table that a client sent: arguments, or its properties.
pub(crate) fn arguments(table: &FieldTable) -> AMQPValue {
    let fields = table.inner().iter().map(|(name, value)| text(field(name.as_str(), value)));
    AMQPValue::FieldArray(fields.collect::<Vec<_>>().into())
}

/// Some texts.
pub(crate) fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> AMQPValue {
    AMQPValue::FieldArray(items.into_iter().map(text).collect::<Vec<_>>().into())
}

/// A text as Erlang has its own: a list of characters.
pub(crate) fn characters(text: &str) -> AMQPValue {
    let characters = text.chars().map(|character| number(u32::from(character)));
    AMQPValue::FieldArray(characters.collect::<Vec<_>>().into())
}

/// Numbers are 64 bits wide whatever they were.
pub(crate) fn number(number: impl Into<i64>) -> AMQPValue {
    AMQPValue::LongLongInt(number.into())
}

/// A table that an administrator gave, such as the definition of a policy.
pub(crate) fn definition(table: &FieldTable) -> AMQPValue {
    let mut converted = FieldTable::default();
    for (name, value) in table.inner() {
        converted.insert(name.clone(), widened(value));
    }
    AMQPValue::FieldTable(converted)
}

fn widened(value: &AMQPValue) -> AMQPValue {
    match value {
        AMQPValue::FieldTable(table) => definition(table),
        AMQPValue::FieldArray(items) => {
            AMQPValue::FieldArray(FieldArray::from(items.as_slice().iter().map(widened).collect::<Vec<_>>()))
        }
        other => integer(other).map_or_else(|| other.clone(), number),
    }
}

/// `{Name,Type,Value}`.
fn field(name: &str, value: &AMQPValue) -> Vec<u8> {
    let mut written = Vec::new();
    write_field(&mut written, name, value);
    written
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &AMQPValue) {
    out.push(b'{');
    write_binary(out, name.as_bytes());
    out.push(b',');
    out.extend_from_slice(type_name(value).as_bytes());
    out.push(b',');
    write_term(out, value);
    out.push(b'}');
}

/// Tables nest no deeper than the codec lets them.
fn write_term(out: &mut Vec<u8>, value: &AMQPValue) {
    let printed = match value {
        AMQPValue::ShortString(text) => return write_binary(out, text.as_str().as_bytes()),
        AMQPValue::LongString(text) => return write_binary(out, text.as_bytes()),
        AMQPValue::ByteArray(bytes) => return write_binary(out, bytes.as_slice()),
        AMQPValue::FieldArray(items) => {
            return write_list(out, items.as_slice(), |out, item| {
                out.extend_from_slice(format!("{{{},", type_name(item)).as_bytes());
                write_term(out, item);
                out.push(b'}');
            });
        }
        AMQPValue::FieldTable(table) => {
            return write_list(out, table.inner(), |out, (name, value)| {
                write_field(out, name.as_str(), value);
            });
        }
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::Float(value) => float(&format!("{value:?}")),
        AMQPValue::Double(value) => float(&format!("{value:?}")),
        AMQPValue::DecimalValue(value) => format!("{{{},{}}}", value.scale, value.value),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        AMQPValue::Void => "undefined".to_owned(),
        other => integer(other).unwrap_or_default().to_string(),
    };
    out.extend_from_slice(printed.as_bytes());
}

fn write_list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// Erlang's floats have a point before their exponent.
fn float(printed: &str) -> String {
    match printed.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
        _ => printed.to_owned(),
    }
}

/// `<<"text">>` where all bytes are printable characters of Latin-1, else their numbers.
fn write_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let escape = |byte| {
        Some(match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0b => b'v',
            0x0c => b'f',
            0x1b => b'e',
            _ => return None,
        })
    };
    let is_readable = |&byte: &u8| matches!(byte, 0x20..=0x7e | 0xa0..) || escape(byte).is_some();
    if bytes.is_empty() || !bytes.iter().all(is_readable) {
        let numbers: Vec<_> = bytes.iter().map(ToString::to_string).collect();
        return out.extend_from_slice(format!("<<{}>>", numbers.join(",")).as_bytes());
    }
    out.extend_from_slice(b"<<\"");
    for &byte in bytes {
        match escape(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None => out.push(byte),
        }
    }
    out.extend_from_slice(b"\">>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::arguments as table;

    /// Each was seen in an event of RabbitMQ.
    #[test]
    fn arguments_are_told_as_terms() {
        let inner = table(&[("basic.nack", AMQPValue::Boolean(true))]);
        let numbers = vec![AMQPValue::LongInt(1), text("x")];
        let converted = arguments(&table(&[
            ("a", text("b\"")),
            ("b", AMQPValue::LongInt(5)),
            ("c", AMQPValue::FieldTable(inner)),
            ("d", AMQPValue::FieldArray(numbers.into())),
            ("e", text("")),
            ("f", text("ü")),
            ("g", AMQPValue::Void),
            ("h", AMQPValue::Double(1e300)),
            ("i", text([0, 255])),
            ("k", text("line\nfeed\ttab")),
        ]));
        let expected = [
            "{<<\"a\">>,longstr,<<\"b\\\"\">>}",
            "{<<\"b\">>,signedint,5}",
            "{<<\"c\">>,table,[{<<\"basic.nack\">>,bool,true}]}",
            "{<<\"d\">>,array,[{signedint,1},{longstr,<<\"x\">>}]}",
            "{<<\"e\">>,longstr,<<>>}",
            "{<<\"f\">>,longstr,<<\"ü\">>}",
            "{<<\"g\">>,void,undefined}",
            "{<<\"h\">>,double,1.0e300}",
            "{<<\"i\">>,longstr,<<0,255>>}",
            "{<<\"k\">>,longstr,<<\"line\\nfeed\\ttab\">>}",
        ];
        assert_eq!(converted, texts(expected));
    }

    #[test]
    fn a_definition_keeps_its_shape_and_widens_its_numbers() {
        let given = table(&[("max-length", AMQPValue::LongInt(5)), ("overflow", text("drop-head"))]);
        let converted = table(&[("max-length", AMQPValue::LongLongInt(5)), ("overflow", text("drop-head"))]);
        assert_eq!(definition(&given), AMQPValue::FieldTable(converted));
    }
}
