//! Argument values in reply texts, as RabbitMQ prints them. Nothing is decided by them.

use std::fmt::Write;

use leveret_codec::table::AMQPValue;

use crate::model::argument::type_name;

/// The value as an Erlang term, on one line. Nesting is bounded by the check every table went through.
pub(super) fn term(value: &AMQPValue) -> String {
    match value {
        AMQPValue::Boolean(truth) => truth.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Timestamp(number) => number.to_string(),
        AMQPValue::Float(number) => format!("{:?}", f64::from(*number)),
        AMQPValue::Double(number) => format!("{number:?}"),
        AMQPValue::DecimalValue(decimal) => format!("{{{},{}}}", decimal.scale, decimal.value),
        AMQPValue::ShortString(text) => binary(text.as_str().as_bytes()),
        AMQPValue::LongString(text) => binary(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => binary(bytes.as_slice()),
        AMQPValue::Void => "undefined".to_owned(),
        AMQPValue::FieldArray(items) => {
            list(items.as_slice().iter().map(|item| format!("{{{},{}}}", type_name(item), term(item))))
        }
        AMQPValue::FieldTable(table) => list(table.into_iter().map(|(name, item)| {
            format!("{{{},{},{}}}", binary(name.as_str().as_bytes()), type_name(item), term(item))
        })),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// Text where it is printable, as UTF-8 or else as Latin-1; numbers where it is not.
fn binary(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "<<>>".to_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_printable) => {
            let suffix = if text.is_ascii() { "" } else { "/utf8" };
            return format!("<<\"{}\"{suffix}>>", quoted(text.chars()));
        }
        Err(_) if bytes.iter().all(|&byte| is_printable(char::from(byte))) => {
            return format!("<<\"{}\">>", quoted(bytes.iter().copied().map(char::from)));
        }
        _ => {}
    }
    let numbers: Vec<String> = bytes.iter().map(ToString::to_string).collect();
    format!("<<{}>>", numbers.join(","))
}

fn is_printable(letter: char) -> bool {
    !letter.is_control() || escaped(letter).is_some()
}

fn escaped(letter: char) -> Option<char> {
    Some(match letter {
        '"' | '\\' => letter,
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x08' => 'b',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\x1b' => 'e',
        _ => return None,
    })
}

fn quoted(letters: impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    for letter in letters {
        // Writing to a string cannot fail.
        let _ = match escaped(letter) {
            Some(escape) => write!(text, "\\{escape}"),
            None => write!(text, "{letter}"),
        };
    }
    text
}
