//! Aligned columns. How wide they are is decided by the first rows, so that what follows is written as it comes.

use std::io::{self, Write};

use serde_json::Value;

use super::Style;
use super::cell::{self, Column};

/// Rows that are looked at before the first is written.
const SAMPLE: usize = 500;
/// Columns between two columns.
const GAP: usize = 2;
/// What a column of text is not made narrower than.
const NARROWEST: usize = 8;
/// Stands where something was cut off.
const CUT: char = '…';

/// What a column is wide at least where rows are written one by one.
const ROOM: usize = 9;

pub(super) struct Table {
    /// Rows that are looked at for how wide columns are.
    sample: usize,
    /// What a column is wide at least.
    room: usize,
    held: Vec<Vec<String>>,
    /// Of each column, once the first rows have been written.
    widths: Option<Vec<usize>>,
}

impl Table {
    pub(super) fn new() -> Table {
        Table { sample: SAMPLE, room: 0, held: Vec::new(), widths: None }
    }

    /// Of rows that come one by one, each of which is to be seen at once.
    pub(super) fn live() -> Table {
        Table { sample: 1, room: ROOM, held: Vec::new(), widths: None }
    }

    pub(super) fn push(
        &mut self,
        out: &mut impl Write,
        style: &Style,
        columns: &[&Column],
        item: &Value,
    ) -> io::Result<()> {
        let row: Vec<String> =
            columns.iter().map(|column| cell::shown(column.kind, column.of(item))).collect();
        match &self.widths {
            Some(widths) => write_row(out, style, columns, widths, &row),
            None => {
                self.held.push(row);
                if self.held.len() == self.sample { self.write_held(out, style, columns) } else { Ok(()) }
            }
        }
    }

    pub(super) fn finish(
        &mut self,
        out: &mut impl Write,
        style: &Style,
        columns: &[&Column],
    ) -> io::Result<()> {
        if self.widths.is_none() { self.write_held(out, style, columns) } else { Ok(()) }
    }

    fn write_held(&mut self, out: &mut impl Write, style: &Style, columns: &[&Column]) -> io::Result<()> {
        let widths = widths(style, columns, &self.held, self.room);
        if style.headings {
            let headings: Vec<String> = columns.iter().map(|column| column.heading.to_owned()).collect();
            if style.is_coloured {
                out.write_all(b"\x1b[1m")?;
            }
            write_row(out, style, columns, &widths, &headings)?;
            if style.is_coloured {
                out.write_all(b"\x1b[0m")?;
            }
        }
        for row in std::mem::take(&mut self.held) {
            write_row(out, style, columns, &widths, &row)?;
        }
        self.widths = Some(widths);
        Ok(())
    }
}

/// As wide as what is in them; where the terminal is narrower, the widest columns of text give way.
fn widths(style: &Style, columns: &[&Column], rows: &[Vec<String>], least: usize) -> Vec<usize> {
    let heading = |column: &Column| if style.headings { length(column.heading).max(least) } else { least };
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| rows.iter().map(|row| length(&row[at])).max().unwrap_or(0).max(heading(column)))
        .collect();
    let Some(room) = style.width else { return widths };
    let gaps = GAP * columns.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > room {
        let texts = widths.iter_mut().zip(columns).filter(|(_, column)| !column.is_number());
        let Some((widest, _)) = texts.max_by_key(|(width, _)| **width) else { break };
        if *widest <= NARROWEST {
            break;
        }
        *widest -= 1;
    }
    widths
}

fn write_row(
    out: &mut impl Write,
    style: &Style,
    columns: &[&Column],
    widths: &[usize],
    row: &[String],
) -> io::Result<()> {
    let mut line = String::new();
    for (at, (cell, (&width, column))) in row.iter().zip(widths.iter().zip(columns)).enumerate() {
        if at > 0 {
            line.extend(std::iter::repeat_n(' ', GAP));
        }
        let cell = cut(cell, style.width.map(|_| width));
        if column.is_number() {
            line.push_str(&format!("{cell:>width$}"));
        } else {
            line.push_str(&format!("{cell:width$}"));
        }
    }
    writeln!(out, "{}", cut(line.trim_end(), style.width))
}

/// No longer than this, with a sign where something is missing.
pub(super) fn cut(text: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if length(text) > width => {
            text.chars().take(width.saturating_sub(1)).chain([CUT]).collect()
        }
        _ => text.to_owned(),
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}
