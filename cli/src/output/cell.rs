//! What stands in a column: where it is found in what the broker says, and how it reads.

use std::fmt::Write;

use serde_json::Value;

/// A column of a listing.
#[derive(Debug)]
pub struct Column {
    /// By which it is asked for, and what it is called in json, csv and tsv.
    pub name: &'static str,
    /// Where its value is in an item; dots lead into objects.
    pub path: &'static str,
    /// What stands above it in a table.
    pub heading: &'static str,
    pub kind: Kind,
    /// Whether it is there where nobody says which are wanted.
    pub is_usual: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Count,
    Bytes,
    /// Per second.
    Rate,
    Flag,
    /// Milliseconds since 1970.
    Time,
    /// An object of names and values.
    Arguments,
    /// A list of words.
    Words,
}

/// A column that is there where nobody says which are wanted.
pub const fn column(name: &'static str, path: &'static str, heading: &'static str, kind: Kind) -> Column {
    Column { name, path, heading, kind, is_usual: true }
}

/// A column that is there where it is asked for.
pub const fn further(name: &'static str, path: &'static str, heading: &'static str, kind: Kind) -> Column {
    Column { name, path, heading, kind, is_usual: false }
}

impl Column {
    /// Its value in an item.
    #[must_use]
    pub fn of<'a>(&self, item: &'a Value) -> Option<&'a Value> {
        find(item, self.path)
    }

    pub(super) fn is_number(&self) -> bool {
        [Kind::Count, Kind::Bytes, Kind::Rate].contains(&self.kind)
    }
}

/// What a path with dots leads to.
#[must_use]
pub fn find<'a>(item: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(item, |item, name| item.get(name)).filter(|value| !value.is_null())
}

/// So many of these, as in "1 message" and "2 messages".
#[must_use]
pub fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// As it stands in a table.
pub(super) fn shown(kind: Kind, value: Option<&Value>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let text = match (kind, value) {
        (Kind::Flag, Value::Bool(is_so)) => if *is_so { "yes" } else { "no" }.to_owned(),
        (Kind::Bytes, Value::Number(bytes)) => bytes.as_f64().map_or_else(|| bytes.to_string(), size),
        (Kind::Rate, Value::Number(rate)) => {
            rate.as_f64().map_or_else(|| rate.to_string(), |rate| format!("{rate:.1}/s"))
        }
        (Kind::Time, Value::Number(at)) => at.as_i64().map_or_else(|| at.to_string(), date),
        _ => plain(Some(value)),
    };
    if text.is_empty() { "-".to_owned() } else { escaped(&text) }
}

/// As programs read it.
pub(super) fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(words)) if words.iter().all(Value::is_string) => {
            words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        Some(Value::Object(fields)) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}={}", plain(Some(value))));
            fields.collect::<Vec<_>>().join(" ")
        }
        Some(value) => value.to_string(),
    }
}

/// On one line, and without anything that a terminal would obey: names may hold whatever their makers like.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// As a field of csv (RFC 4180).
pub(super) fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Bytes in the largest unit of which there is one.
fn size(bytes: f64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{value} B") } else { format!("{value:.1} {unit}") }
}

/// A moment by the calendar, in UTC, as in 2026-11-29 02:04:05.
fn date(milliseconds: i64) -> String {
    const DAY: i64 = 86_400;
    let seconds = milliseconds.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    // Years are counted from March on, in eras of 400 years, which are all of the same length: a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_as_people_expect() {
        for (kind, value, expected) in [
            (Kind::Text, json!("a\tb\u{1b}[31m"), "a\\tb\\u{1b}[31m"),
            (Kind::Text, json!(""), "-"),
            (Kind::Flag, json!(true), "yes"),
            (Kind::Count, json!(12), "12"),
            (Kind::Bytes, json!(1023), "1023 B"),
            (Kind::Bytes, json!(1_572_864), "1.5 MiB"),
            (Kind::Rate, json!(2.25), "2.2/s"),
            (Kind::Time, json!(0), "1970-01-01 00:00:00"),
            (Kind::Time, json!(1_709_210_096_000_i64), "2024-02-29 12:34:56"),
            (Kind::Time, json!(4_107_542_399_000_i64), "2100-02-28 23:59:59"),
            (
                Kind::Arguments,
                json!({"x-max-length": 5, "x-queue-type": "quorum"}),
                "x-max-length=5 x-queue-type=quorum",
            ),
            (Kind::Words, json!(["a", "b"]), "a b"),
        ] {
            assert_eq!(shown(kind, Some(&value)), expected);
        }
        assert_eq!(shown(Kind::Count, None), "-");
    }

    #[test]
    fn one_is_not_several() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "queue")), ["0 queues", "1 queue", "2 queues"]);
    }

    #[test]
    fn dots_lead_into_objects() {
        let item = json!({"a": {"b": 1, "c": null}, "d": 2});
        assert_eq!(find(&item, "a.b"), Some(&json!(1)));
        for path in ["a.c", "a.x", "d.x", "x"] {
            assert_eq!(find(&item, path), None, "{path}");
        }
    }

    #[test]
    fn csv_quotes_what_it_has_to() {
        assert_eq!(quoted("a b"), "a b");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
