//! How everything is listed: the columns that are asked for, in the order that is asked for, as rows that are written as they come, once
//! or again and again.

use std::cmp::Ordering;
use std::io::{self, BufWriter, Write};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Done;
use super::options::{Connect, Shape, named, seconds};
use crate::broker::{Broker, Failure, Path};
use crate::output::{Column, Format, Rows, Terminal, find};

/// Bytes that are written together.
const TOGETHER: usize = 64 << 10;

/// What every list takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct ListOptions {
    #[command(flatten)]
    pub(super) shape: Shape,
    /// By which column they are in order; with a minus before it the other way round.
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    sort: Option<String>,
    /// How many at the most.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Looks again after so many seconds, until it is interrupted.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    watch: Option<Duration>,
}

/// Where the items come from.
pub(super) enum Source<'a> {
    /// A listing of the broker, which puts it in order and leaves out what is not wanted.
    Listed(Path),
    /// They are made of something else that it says.
    Made(&'a dyn Fn(&Broker) -> Result<Vec<Value>, Failure>),
}

/// An order that is asked for.
struct Order {
    column: &'static Column,
    is_reversed: bool,
}

impl ListOptions {
    pub(super) fn run(
        &self,
        connect: &Connect,
        columns: &'static [Column],
        source: &Source<'_>,
    ) -> Result<Done, Failure> {
        let chosen = self.shape.chosen(columns)?;
        let order = self.order(columns)?;
        let broker = connect.broker()?;
        loop {
            if self.watch.is_some() {
                clear_terminal()?;
            }
            match source {
                Source::Listed(path) => {
                    let mut items = broker.list(self.path(path, &chosen, order.as_ref()))?;
                    self.write(connect, &chosen, || items.next_item())?;
                }
                Source::Made(make) => {
                    let mut items = make(&broker)?;
                    if let Some(order) = &order {
                        items.sort_by(|a, b| order.compare(a, b));
                    }
                    let mut items = items.into_iter();
                    self.write(connect, &chosen, || Ok(items.next()))?;
                }
            }
            let Some(pause) = self.watch else { return Ok(Done::Yes) };
            thread::sleep(pause);
        }
    }

    fn order(&self, columns: &'static [Column]) -> Result<Option<Order>, Failure> {
        let Some(sort) = &self.sort else { return Ok(None) };
        let (name, is_reversed) = sort.strip_prefix('-').map_or((&**sort, false), |name| (name, true));
        Ok(Some(Order { column: named(columns, name)?, is_reversed }))
    }

    /// The listing with what is wanted of it.
    fn path(&self, path: &Path, chosen: &[&Column], order: Option<&Order>) -> Path {
        let mut path = path.clone();
        if !self.shape.is_whole() {
            let paths: Vec<&str> = chosen.iter().map(|column| column.path).collect();
            path = path.query("columns", &paths.join(","));
        }
        if let Some(Order { column, is_reversed }) = order {
            path = path.query("sort", column.path).query("sort_reverse", &is_reversed.to_string());
        }
        path
    }

    fn write(
        &self,
        connect: &Connect,
        chosen: &[&'static Column],
        mut next: impl FnMut() -> Result<Option<Value>, Failure>,
    ) -> Result<(), Failure> {
        let out = BufWriter::with_capacity(TOGETHER, io::stdout().lock());
        let style = self.shape.style(connect.quiet, Format::Tsv);
        let mut rows = Rows::new(out, style, chosen.to_vec(), self.shape.is_whole());
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0
            && let Some(item) = next()?
        {
            rows.push(&item).map_err(Failure::output)?;
            left -= 1;
        }
        rows.finish().map_err(Failure::output)
    }
}

impl Order {
    /// Numbers by their size, everything else by how it is written; what is not there comes first.
    fn compare(&self, a: &Value, b: &Value) -> Ordering {
        let (a, b) = (find(a, self.column.path), find(b, self.column.path));
        let number = |value: Option<&Value>| value.and_then(Value::as_f64);
        let text = |value: Option<&Value>| {
            value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        let order = match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => text(a).cmp(&text(b)),
        };
        if self.is_reversed { order.reverse() } else { order }
    }
}

/// What is looked at again stands where it stood before; into a pipe it follows.
pub(super) fn clear_terminal() -> Result<(), Failure> {
    if Terminal::of_output().is_none() {
        return Ok(());
    }
    let mut out = io::stdout();
    let cleared = out.write_all(b"\x1b[H\x1b[2J").and_then(|()| out.flush());
    cleared.map_err(Failure::output)
}
