//! What fuzz targets ask of the management API: to read a path and a body as it reads those of a request. Only there with
//! `--cfg fuzzing`; the targets are in `fuzz`.

use super::fields::Fields;
use super::{json, path};

/// The path of a request: it is refused, or has segments.
pub fn segments(path: &str) {
    if let Ok(segments) = path::segments(path) {
        assert!(!segments.is_empty());
    }
}

/// The body of a request, as arguments of a queue would be read from it: what AMQP can hold reads the same once it was
/// JSON again.
pub fn body(body: &[u8]) {
    let Ok(fields) = Fields::read(body) else { return };
    let map: serde_json::Map<_, _> =
        fields.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    let arguments = serde_json::Value::Object(map.clone());
    let Ok(table) = json::arguments(Some(&arguments)) else { return };
    let printed = json::from_table(&table);
    // A panic is how a fuzz target tells what it found.
    let printed = printed.as_object().expect("a table is an object");
    assert_eq!(json::to_table(printed), Ok(table));
    for name in map.keys() {
        let _ = (fields.text(name), fields.flag(name), fields.words(name), fields.name(name));
    }
}
