//! What a verb has to say, in the format that is asked for: rows, texts and documents, as RabbitMQ's formatters write them. Errors
//! are not among it.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::options::Words;
use super::pretty;
use super::term::Term;
use super::wrong::Invalid;

/// What is printed where all goes well.
#[derive(Debug)]
pub(super) enum Output {
    Nothing,
    Line(String),
    Rows(Rows),
    /// A table for people whatever the format, where the format is not one for programs.
    PrettyRows(Rows),
    /// Something with a face for people, and another one for programs.
    Document {
        text: String,
        term: Term,
    },
}

#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Term>>,
    /// An empty line says that there are none.
    says_that_it_is_empty: bool,
    has_no_header: bool,
}

impl Rows {
    pub(super) fn new<'a>(columns: impl IntoIterator<Item = &'a str>, rows: Vec<Vec<Term>>) -> Rows {
        Rows { columns: columns.into_iter().map(str::to_owned).collect(), rows, ..Rows::default() }
    }

    /// As those print themselves that RabbitMQ has as a whole and does not stream.
    pub(super) fn listed_whole(self) -> Rows {
        Rows { says_that_it_is_empty: true, ..self }
    }

    pub(super) fn without_header(self) -> Rows {
        Rows { has_no_header: true, ..self }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Table,
    PrettyTable,
    Json,
    Csv,
    Erlang,
}

impl Format {
    /// What is asked for; None where nothing is, or something that is not known.
    fn of(words: &Words) -> Option<Format> {
        Some(match words.text("formatter")? {
            "table" => Format::Table,
            "pretty_table" => Format::PrettyTable,
            "json" | "json_stream" => Format::Json,
            "csv" => Format::Csv,
            "erlang" | "inspect" => Format::Erlang,
            _ => return None,
        })
    }
}

/// Refuses a format that nothing is written in.
pub(super) fn check(words: &Words) -> Result<(), Invalid> {
    match words.text("formatter") {
        // These are the formats of single verbs, which have no other one.
        None | Some("string" | "report" | "plugins") => Ok(()),
        Some(_) if Format::of(words).is_some() => Ok(()),
        Some(other) => Err(Invalid::argument(&format!(
            "there is no formatter '{other}': use table, pretty_table, json, csv or erlang"
        ))),
    }
}

/// Whether what comes is for programs, which want no word before it.
pub(super) fn is_for_programs(words: &Words) -> bool {
    matches!(Format::of(words), Some(Format::Json | Format::Csv))
}

impl Output {
    pub(super) fn line(text: impl Into<String>) -> Output {
        Output::Line(text.into())
    }

    /// Names and values, one a line for people.
    pub(super) fn text(self, words: &Words) -> String {
        let format = Format::of(words);
        match self {
            Output::Nothing => String::new(),
            Output::Line(text) => match format {
                Some(Format::Json) => line(&json!({ "message": text }).to_string()),
                Some(Format::Erlang) => line(&Term::Text(text).erlang()),
                _ => line(&text),
            },
            Output::Rows(rows) => rows.text(format.unwrap_or(Format::Table), words),
            Output::PrettyRows(rows) => rows.text(format.unwrap_or(Format::PrettyTable), words),
            Output::Document { text, term } => match format {
                Some(Format::Json) => line(&term.json().to_string()),
                Some(Format::Erlang) => line(&term.erlang()),
                _ => text,
            },
        }
    }
}

/// With an end.
fn line(text: &str) -> String {
    format!("{text}\n")
}

impl Rows {
    fn text(&self, format: Format, words: &Words) -> String {
        let has_header = !words.is("silent") && !words.is_not("table-headers");
        match format {
            Format::Table => self.with_tabs(has_header),
            Format::PrettyTable if self.rows.is_empty() && !self.says_that_it_is_empty => String::new(),
            Format::PrettyTable => pretty::table(&self.columns, &self.rows),
            Format::Json => self.json(),
            Format::Csv => self.csv(!words.is_not("table-headers")),
            Format::Erlang => self.erlang(),
        }
    }

    fn with_tabs(&self, has_header: bool) -> String {
        let mut text = String::new();
        if self.rows.is_empty() {
            return if self.says_that_it_is_empty { line("") } else { text };
        }
        if has_header && !self.has_no_header {
            text.push_str(&line(&self.columns.join("\t")));
        }
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Term::cell).collect();
            text.push_str(&line(&cells.join("\t")));
        }
        text
    }

    /// An array, one object a line, with a comma in front of all but the first.
    fn json(&self) -> String {
        let mut text = String::from("[\n");
        for (place, row) in self.rows.iter().enumerate() {
            let fields = self.columns.iter().cloned().zip(row.iter().map(Term::json));
            let object = Value::Object(fields.collect::<Map<_, _>>());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}{object}", if place > 0 { "," } else { "" });
        }
        text + "]\n"
    }

    fn csv(&self, has_header: bool) -> String {
        let mut text = String::new();
        if has_header && !self.rows.is_empty() {
            let names: Vec<String> = self.columns.iter().map(|name| quoted(name)).collect();
            text.push_str(&line(&names.join(",")));
        }
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| quoted(&cell.cell())).collect();
            text.push_str(&line(&cells.join(",")));
        }
        text
    }

    fn erlang(&self) -> String {
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|row| Term::Fields(self.columns.iter().cloned().zip(row.iter().cloned()).collect()).erlang())
            .collect();
        line(&format!("[{}]", rows.join(",\n ")))
    }
}

fn quoted(cell: &str) -> String {
    format!("\"{}\"", cell.replace('"', "\"\""))
}
