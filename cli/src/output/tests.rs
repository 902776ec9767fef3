//! What rows look like in each format.

use serde_json::json;

use super::*;

const COLUMNS: [Column; 3] = [
    column("name", "name", "NAME", Kind::Text),
    column("messages", "messages", "MESSAGES", Kind::Count),
    column("rate", "stats.rate", "IN", Kind::Rate),
];

fn items() -> Vec<Value> {
    vec![
        json!({"name": "a,\tb", "messages": 12, "stats": {"rate": 1.5}, "more": 1}),
        json!({"name": "a-queue-with-a-long-name", "messages": 3}),
    ]
}

fn style(format: Format, width: Option<usize>) -> Style {
    Style { format, headings: true, width, is_coloured: false }
}

fn written(style: Style, items: &[Value], whole: bool) -> String {
    let mut out = Vec::new();
    let mut rows = Rows::new(&mut out, style, COLUMNS.iter().collect(), whole);
    for item in items {
        rows.push(item).unwrap();
    }
    rows.finish().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_table_is_aligned_numbers_to_the_right() {
    let expected = "\
NAME                      MESSAGES     IN
a,\\tb                           12  1.5/s
a-queue-with-a-long-name         3      -
";
    assert_eq!(written(style(Format::Table, None), &items(), false), expected);
}

#[test]
fn a_narrow_terminal_cuts_texts_with_a_sign_and_lines_at_last() {
    let expected = "\
NAME          MESSAGES     IN
a,\\tb               12  1.5/s
a-queue-wit…         3      -
";
    assert_eq!(written(style(Format::Table, Some(29)), &items(), false), expected);
    for line in written(style(Format::Table, Some(14)), &items(), false).lines() {
        assert!(line.chars().count() <= 14, "{line}");
        assert!(line.ends_with('…'), "{line}");
    }
}

#[test]
fn rows_that_come_late_are_written_as_wide_as_the_first_ones() {
    let items: Vec<Value> = (0..1000).map(|number| json!({"name": format!("q{number}")})).collect();
    let written = written(style(Format::Table, None), &items, false);
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines.len(), 1001);
    assert_eq!(lines[1], "q0           -   -");
    assert!(lines[1..].iter().all(|line| line.len() == lines[1].len()), "{written}");
}

#[test]
fn programs_get_every_value_as_it_is() {
    assert_eq!(
        written(style(Format::Csv, Some(10)), &items(), false),
        "name,messages,rate\n\"a,\tb\",12,1.5\na-queue-with-a-long-name,3,\n"
    );
    assert_eq!(
        written(style(Format::Tsv, Some(10)), &items(), false),
        "name\tmessages\trate\na,\\tb\t12\t1.5\na-queue-with-a-long-name\t3\t\n"
    );
    let json = written(style(Format::Json, Some(10)), &items(), false);
    let read: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read[1], json!({"name": "a-queue-with-a-long-name", "messages": 3, "rate": null}));
    assert_eq!(json.lines().count(), 2, "an item is a line");
    let whole: Value = serde_json::from_str(&written(style(Format::Json, None), &items(), true)).unwrap();
    assert_eq!(whole, Value::from(items()));
}

#[test]
fn nothing_is_a_heading_alone_or_an_empty_list() {
    assert_eq!(written(style(Format::Table, None), &[], false), "NAME  MESSAGES  IN\n");
    assert_eq!(written(style(Format::Json, None), &[], false), "[]\n");
    assert_eq!(written(style(Format::Csv, None), &[], false), "name,messages,rate\n");
    let silent = Style { headings: false, ..style(Format::Tsv, None) };
    assert_eq!(written(silent, &[], false), "");
}

#[test]
fn one_thing_is_a_line_for_each_column() {
    let columns: Vec<&Column> = COLUMNS.iter().collect();
    let mut out = Vec::new();
    write_one(&mut out, style(Format::Table, None), &columns, &items()[0], false).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "name      a,\\tb\nmessages  12\nrate      1.5/s\n");
}
