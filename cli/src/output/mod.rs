//! Rows of values to a table for people, or to json, csv and tsv for programs. Which rows there are is said elsewhere.

mod cell;
mod table;
mod terminal;

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::Value;

pub use cell::{Column, Kind, column, counted, escaped, find, further};
pub(crate) use terminal::Terminal;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned, with units, and cut to the terminal.
    Table,
    /// An array of objects, one a line.
    Json,
    Csv,
    /// With tabs between the columns; tabs and line feeds within a value are written as \t and \n.
    Tsv,
}

/// What rows are to look like.
pub struct Style {
    pub format: Format,
    /// Whether the columns' names stand above them.
    pub headings: bool,
    /// Columns of the terminal that a table is cut to.
    pub width: Option<usize>,
    pub is_coloured: bool,
}

/// Writes rows as they come.
pub struct Rows<'a, W: Write> {
    out: W,
    style: Style,
    columns: Vec<&'a Column>,
    /// Whether items are written whole, where they are JSON.
    whole: bool,
    table: table::Table,
    written: u64,
}

impl<'a, W: Write> Rows<'a, W> {
    /// `whole`: what is written as JSON is all of an item, not the columns alone.
    pub fn new(out: W, style: Style, columns: Vec<&'a Column>, whole: bool) -> Rows<'a, W> {
        Rows { out, style, columns, whole, table: table::Table::new(), written: 0 }
    }

    /// Rows that come one by one, each of which is to be seen at once.
    pub fn live(out: W, style: Style, columns: Vec<&'a Column>) -> Rows<'a, W> {
        Rows { out, style, columns, whole: false, table: table::Table::live(), written: 0 }
    }

    /// Has everything that was pushed seen.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub fn push(&mut self, item: &Value) -> io::Result<()> {
        let is_first = self.written == 0;
        self.written += 1;
        match self.style.format {
            Format::Table => self.table.push(&mut self.out, &self.style, &self.columns, item),
            Format::Json => {
                self.out.write_all(if is_first { b"[" } else { b"\n," })?;
                if self.whole {
                    return write!(self.out, "{item}");
                }
                write_object(&mut self.out, &self.columns, item)
            }
            Format::Csv | Format::Tsv => {
                if is_first {
                    self.write_names()?;
                }
                let cells = self.columns.iter().map(|column| cell::plain(column.of(item)));
                write_line(&mut self.out, self.style.format, cells)
            }
        }
    }

    /// Writes what was held back, and what stands at the end.
    pub fn finish(mut self) -> io::Result<()> {
        match self.style.format {
            Format::Table => self.table.finish(&mut self.out, &self.style, &self.columns)?,
            Format::Json => self.out.write_all(if self.written == 0 { b"[]\n" } else { b"]\n" })?,
            Format::Csv | Format::Tsv if self.written == 0 => self.write_names()?,
            Format::Csv | Format::Tsv => {}
        }
        self.out.flush()
    }

    fn write_names(&mut self) -> io::Result<()> {
        if !self.style.headings {
            return Ok(());
        }
        let names = self.columns.iter().map(|column| column.name.to_owned());
        write_line(&mut self.out, self.style.format, names)
    }
}

/// A line of names and values, as people read them, cut to a terminal.
#[must_use]
pub fn summary(columns: &[&Column], item: &Value, width: Option<usize>) -> String {
    let parts =
        columns.iter().map(|column| format!("{} {}", column.name, cell::shown(column.kind, column.of(item))));
    table::cut(&parts.collect::<Vec<_>>().join("  "), width)
}

/// One thing: a line for each of its columns, or what a row of it would be.
pub fn write_one(
    mut out: impl Write,
    style: Style,
    columns: &[&Column],
    item: &Value,
    whole: bool,
) -> io::Result<()> {
    match style.format {
        Format::Table => {
            let longest = columns.iter().map(|column| column.name.len()).max().unwrap_or_default();
            for column in columns {
                let value = cell::shown(column.kind, column.of(item));
                let line = format!("{:longest$}  {value}", column.name);
                writeln!(out, "{}", table::cut(&line, style.width))?;
            }
            out.flush()
        }
        Format::Json => {
            if whole {
                write!(out, "{item}")?;
            } else {
                write_object(&mut out, columns, item)?;
            }
            out.write_all(b"\n")?;
            out.flush()
        }
        Format::Csv | Format::Tsv => {
            let mut rows = Rows::new(out, style, columns.to_vec(), whole);
            rows.push(item)?;
            rows.finish()
        }
    }
}

fn write_object(out: &mut impl Write, columns: &[&Column], item: &Value) -> io::Result<()> {
    for (number, column) in columns.iter().enumerate() {
        let before = if number == 0 { "{" } else { "," };
        let value = column.of(item).unwrap_or(&Value::Null);
        write!(out, "{before}{}:{value}", Value::from(column.name))?;
    }
    out.write_all(b"}")
}

fn write_line(out: &mut impl Write, format: Format, cells: impl Iterator<Item = String>) -> io::Result<()> {
    for (number, cell) in cells.enumerate() {
        let (between, cell) = match format {
            Format::Csv => (",", cell::quoted(&cell)),
            _ => ("\t", escaped(&cell)),
        };
        write!(out, "{}{cell}", if number == 0 { "" } else { between })?;
    }
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests;
