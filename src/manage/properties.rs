//! Basic properties as JSON and back. What a property means is the message's.

use leveret_codec::properties::{Field, Properties, TEXTS, encode_short_string};
use leveret_codec::table;
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::json::{self, from_table, integer};

/// Properties as an object; without any they are an empty array, as in RabbitMQ.
pub(super) fn written(properties: Properties<'_>) -> Value {
    let mut written = Map::new();
    for (name, field) in TEXTS {
        if let Some(text) = properties.short_string(field) {
            written.insert(name.to_owned(), String::from_utf8_lossy(text).into());
        }
    }
    if let Some(mode) = properties.delivery_mode() {
        written.insert("delivery_mode".to_owned(), mode.into());
    }
    if let Some(priority) = properties.priority() {
        written.insert("priority".to_owned(), priority.into());
    }
    let timestamp = properties.field(Field::Timestamp).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    if let Some(timestamp) = timestamp {
        written.insert("timestamp".to_owned(), u64::from_be_bytes(timestamp).into());
    }
    if let Some(headers) = properties.headers() {
        written.insert("headers".to_owned(), from_table(&headers));
    }
    if written.is_empty() { Value::Array(Vec::new()) } else { Value::Object(written) }
}

/// The raw properties of an object, or of an empty array. Names nobody knows are passed over.
pub(super) fn read(given: &Value) -> Result<Vec<u8>, Refusal> {
    let none = Map::new();
    let given = match given {
        Value::Object(given) => given,
        Value::Array(items) if items.is_empty() => &none,
        _ => return Err(Refusal::bad("properties should be an object")),
    };
    let mut changes = Vec::new();
    for (name, field) in TEXTS {
        let Some(value) = given.get(name) else { continue };
        let text = value.as_str().ok_or_else(|| Refusal::Bad(json!(["not_string", name])))?;
        if text.len() > 255 {
            return Err(Refusal::bad(format!("{name} is longer than 255 bytes")));
        }
        changes.push((field, Some(encode_short_string(text.as_bytes()))));
    }
    for (name, field) in [("delivery_mode", Field::DeliveryMode), ("priority", Field::Priority)] {
        if let Some(value) = given.get(name) {
            let number = integer(value).and_then(|number| u8::try_from(number).ok());
            changes.push((field, Some(vec![number.ok_or_else(|| not_a_number(name))?])));
        }
    }
    if let Some(value) = given.get("timestamp") {
        let seconds = integer(value).and_then(|seconds| u64::try_from(seconds).ok());
        let seconds = seconds.ok_or_else(|| not_a_number("timestamp"))?;
        changes.push((Field::Timestamp, Some(seconds.to_be_bytes().to_vec())));
    }
    if let Some(headers) = given.get("headers") {
        changes.push((Field::Headers, Some(table::encode(&json::arguments(Some(headers))?))));
    }
    Ok(Properties::default().with(&changes))
}

/// The properties of what was read.
pub(super) fn parsed(raw: &[u8]) -> Result<Properties<'_>, Refusal> {
    Properties::parse(raw).map_err(|error| Refusal::bad(format!("properties: {error}")))
}

fn not_a_number(name: &str) -> Refusal {
    Refusal::Bad(json!(["not_int", name]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_read_back_as_they_were_written() {
        let all = json!({
            "content_type": "a/b", "content_encoding": "gzip", "correlation_id": "c", "reply_to": "r",
            "expiration": "1000", "message_id": "m", "type": "t", "user_id": "guest", "app_id": "a",
            "cluster_id": "", "delivery_mode": 2, "priority": 3, "timestamp": 123,
            "headers": {"i": 1, "f": 1.5, "b": true, "l": [1, {"x": "ü"}]},
        });
        for given in [all, json!([]), json!({"headers": {}})] {
            assert_eq!(written(parsed(&read(&given).unwrap()).unwrap()), given);
        }
    }

    #[test]
    fn what_no_property_can_hold_is_refused_by_name() {
        for (given, why) in [
            (json!({"expiration": 5}), json!(["not_string", "expiration"])),
            (json!({"delivery_mode": "2"}), json!(["not_int", "delivery_mode"])),
            (json!({"priority": 300}), json!(["not_int", "priority"])),
            (json!({"timestamp": -1}), json!(["not_int", "timestamp"])),
            (json!({"headers": {"a": null}}), json!("null_not_allowed")),
            (json!({"type": "x".repeat(256)}), json!("type is longer than 255 bytes")),
            (json!(5), json!("properties should be an object")),
        ] {
            assert!(matches!(read(&given), Err(Refusal::Bad(said)) if said == why), "{given}");
        }
    }
}
