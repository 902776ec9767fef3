//! Listings in the formats of rabbitmqadmin: table, long, tsv, kvp, bash, raw_json, pretty_json.

use serde_json::Value;

/// Columns that stand in front where nobody says which are wanted; the others follow by name.
const FIRST: [&str; 7] =
    ["vhost", "name", "type", "source", "destination", "destination_type", "routing_key"];
/// Columns whose values are shown as JSON.
const JSON: [&str; 2] = ["value", "definition"];

/// How a listing is to look.
pub(super) struct Look<'a> {
    pub(super) format: &'a str,
    pub(super) columns: Vec<&'a str>,
    /// How deep objects within objects become columns.
    pub(super) depth: usize,
}

pub(super) const FORMATS: [&str; 7] = ["raw_json", "pretty_json", "tsv", "long", "table", "kvp", "bash"];

/// The listing; None where the format is not known.
pub(super) fn text(items: &Value, look: &Look<'_>) -> Option<String> {
    if look.format == "raw_json" {
        return Some(format!("{items}\n"));
    }
    if look.format == "pretty_json" {
        return serde_json::to_string_pretty(items).ok().map(|text| text + "\n");
    }
    let empty = Vec::new();
    let items: Vec<&Value> = match items {
        Value::Array(items) => items.iter().collect(),
        Value::Object(_) => vec![items],
        _ => empty,
    };
    if items.is_empty() {
        return Some("No items\n".to_owned());
    }
    let flat: Vec<Vec<(String, String)>> = items
        .iter()
        .map(|item| {
            let mut cells = Vec::new();
            flatten(item, "", look.depth, &mut cells);
            cells
        })
        .collect();
    let columns: Vec<String> = if look.columns.is_empty() {
        found(&flat)
    } else {
        look.columns.iter().map(|column| (*column).to_owned()).collect()
    };
    let cell = |cells: &Vec<(String, String)>, column: &String| {
        let found = cells.iter().find(|(name, _)| name == column);
        found.map_or_else(String::new, |(_, value)| value.clone())
    };
    let rows: Vec<Vec<String>> =
        flat.iter().map(|cells| columns.iter().map(|column| cell(cells, column)).collect()).collect();
    Some(match look.format {
        "table" => table(&columns, &rows),
        "long" => long(&columns, &rows),
        "tsv" => lines([&columns].into_iter().chain(&rows).map(|row| row.join("\t"))),
        "kvp" => lines(rows.iter().map(|row| {
            let pairs = columns.iter().zip(row).map(|(name, value)| format!("{name}=\"{value}\""));
            pairs.collect::<Vec<_>>().join(" ")
        })),
        "bash" => {
            let name = columns.iter().position(|column| column == "name")?;
            lines([rows.iter().map(|row| row[name].as_str()).collect::<Vec<_>>().join(" ")])
        }
        _ => return None,
    })
}

fn lines(rows: impl IntoIterator<Item = String>) -> String {
    rows.into_iter().map(|row| row + "\n").collect()
}

/// The columns that there are.
fn found(flat: &[Vec<(String, String)>]) -> Vec<String> {
    let mut names: Vec<String> = flat.iter().flatten().map(|(name, _)| name.clone()).collect();
    let place = |name: &String| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len());
    names.sort_by(|one, other| (place(one), one).cmp(&(place(other), other)));
    names.dedup();
    names
}

/// Objects within an object become columns of their own, with a dot in their names.
fn flatten(item: &Value, prefix: &str, depth: usize, cells: &mut Vec<(String, String)>) {
    for (name, value) in item.as_object().into_iter().flatten() {
        let column = format!("{prefix}{name}");
        match value {
            Value::Object(_) if JSON.contains(&name.as_str()) => cells.push((column, spaced(value))),
            Value::Object(_) if depth > 1 => flatten(value, &format!("{column}."), depth - 1, cells),
            Value::Object(_) => {}
            other => cells.push((column, shown(other))),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        other => spaced(other),
    }
}

/// JSON with a blank behind each comma and colon.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), spaced(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn table(columns: &[String], rows: &[Vec<String>]) -> String {
    let width = |place: usize| {
        let cells = rows.iter().map(|row| row[place].chars().count());
        cells.chain([columns[place].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let rule: String =
        widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+";
    let row = |cells: Vec<String>| cells.iter().map(|cell| format!("| {cell} ")).collect::<String>() + "|";
    let head = columns.iter().zip(&widths).map(|(name, width)| format!("{name:^width$}")).collect();
    let body = rows
        .iter()
        .map(|cells| row(cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect()));
    lines([rule.clone(), row(head), rule.clone()].into_iter().chain(body).chain([rule]))
}

fn long(columns: &[String], rows: &[Vec<String>]) -> String {
    let width = columns.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let rule = "-".repeat(80);
    let mut text = format!("\n{rule}\n\n");
    for row in rows {
        text.push_str(&lines(columns.iter().zip(row).map(|(name, cell)| format!("{name:>width$}: {cell}"))));
        text.push_str(&format!("\n{rule}\n\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown_as(format: &str, columns: &[&str]) -> String {
        let items = json!([
            {"name": "q", "vhost": "/", "durable": true, "arguments": {"x": 1}, "tags": ["a", "b"]},
            {"name": "longer", "vhost": "/", "durable": false, "arguments": {}, "tags": []},
        ]);
        text(&items, &Look { format, columns: columns.to_vec(), depth: 1 }).unwrap()
    }

    #[test]
    fn a_table_has_its_heads_in_the_middle() {
        let table = shown_as("table", &["name", "durable"]);
        assert_eq!(
            table,
            "+--------+---------+\n|  name  | durable |\n+--------+---------+\n| q      | True    |\n| longer | False   |\n+--------+---------+\n"
        );
    }

    #[test]
    fn all_columns_stand_with_the_important_ones_first() {
        assert!(shown_as("tsv", &[]).starts_with("vhost\tname\tdurable\ttags\n/\tq\tTrue\ta b\n"));
    }

    #[test]
    fn the_other_formats_are_for_programs() {
        assert_eq!(shown_as("bash", &["name"]), "q longer\n");
        assert_eq!(
            shown_as("kvp", &["name", "tags"]),
            "name=\"q\" tags=\"a b\"\nname=\"longer\" tags=\"\"\n"
        );
        assert!(
            shown_as("long", &["name", "vhost"])
                .starts_with(&format!("\n{}\n\n name: q\nvhost: /\n\n", "-".repeat(80)))
        );
        assert!(text(&json!([{}]), &Look { format: "nosuch", columns: vec![], depth: 1 }).is_none());
        assert_eq!(
            text(&json!([]), &Look { format: "table", columns: vec![], depth: 1 }).unwrap(),
            "No items\n"
        );
    }
}
