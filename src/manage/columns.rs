//! Which fields of what is listed are wanted: `columns=name,message_stats.ack`. A dotted name leads into objects.

use serde_json::{Map, Value};

use super::page;
use super::sort::find;

/// Columns that one query may name; what is beyond is left out.
const MOST: usize = 128;

/// No columns: all there is.
#[derive(Debug, Default)]
pub(super) struct Columns(Vec<Vec<String>>);

impl Columns {
    pub(super) fn read(query: Option<&str>) -> Columns {
        let named = page::value(query.unwrap_or_default(), "columns").flatten().unwrap_or_default();
        let names = named.split(',').map(str::trim).filter(|name| !name.is_empty()).take(MOST);
        Columns(names.map(|name| name.split('.').map(str::to_owned).collect()).collect())
    }

    /// What is left of an item.
    pub(super) fn select(&self, item: Value) -> Value {
        if self.0.is_empty() {
            return item;
        }
        let mut selected = Map::new();
        for path in &self.0 {
            copy(&item, path, &mut selected);
        }
        Value::Object(selected)
    }
}

fn copy(item: &Value, path: &[String], into: &mut Map<String, Value>) {
    let [name, rest @ ..] = path else { return };
    let Some(value) = item.get(name) else { return };
    if rest.is_empty() {
        into.insert(name.clone(), value.clone());
    } else if find(value, rest).is_some()
        && let Some(inner) =
            into.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
    {
        copy(value, rest, inner);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dotted_names_lead_into_objects_and_unknown_ones_nowhere() {
        let item = json!({"name": "q", "message_stats": {"ack": 1, "get": 2}, "vhost": "/"});
        let select = |query| Columns::read(Some(query)).select(item.clone());
        assert_eq!(select(""), item);
        assert_eq!(select("columns="), item);
        assert_eq!(select("columns=name,nothing,vhost.x"), json!({"name": "q"}));
        let expected = json!({"name": "q", "message_stats": {"ack": 1, "get": 2}});
        assert_eq!(select("columns=message_stats.ack,name,message_stats.get"), expected);
    }
}
