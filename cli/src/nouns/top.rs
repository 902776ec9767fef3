//! `leveret top`: the broker and its fullest queues on one screen, again and again.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Done;
use super::options::{Connect, named, seconds};
use super::{queue, status};
use crate::broker::{Broker, Failure, Path};
use crate::output::{Column, Format, Rows, Style, Terminal, summary};

/// Queues that are shown where no terminal says how many it has room for.
const USUAL: usize = 20;
/// Lines that are no queues: those of the broker, one that is empty, and the heading.
const LINES: usize = BROKER.len() + 2;
/// The largest page of the API.
const MOST: usize = 500;

/// What is said of the broker, line by line.
const BROKER: [&[&str]; 3] = [
    &["version", "connections", "channels", "consumers", "queues"],
    &["ready", "unacked", "publish_rate", "deliver_rate"],
    &["memory", "memory_alarm", "disk_free", "disk_alarm"],
];
/// What is said of a queue.
const QUEUE: [&str; 9] = [
    "vhost",
    "name",
    "ready",
    "unacked",
    "messages",
    "consumers",
    "publish_rate",
    "deliver_rate",
    "ack_rate",
];

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  leveret top --every 2 --sort -publish_rate")]
pub struct Top {
    /// Seconds from one look to the next.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    every: Duration,
    /// By which column of queues they are in order; with a minus before it the other way round.
    #[arg(long, value_name = "COLUMN", default_value = "-messages", allow_hyphen_values = true)]
    sort: String,
    /// How many times it looks; without it until it is interrupted.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,
    #[command(flatten)]
    connect: Connect,
}

impl Top {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let (name, is_reversed) =
            self.sort.strip_prefix('-').map_or((&*self.sort, false), |name| (name, true));
        let order = named(queue::COLUMNS, name)?;
        let broker = self.connect.broker()?;
        let mut left = self.times;
        loop {
            let terminal = Terminal::of_output();
            let room = terminal.map_or(USUAL, |terminal| terminal.height.saturating_sub(LINES + 1));
            let path =
                Path::api("queues").query("sort", order.path).query("sort_reverse", &is_reversed.to_string());
            let path = path.query("page", "1").query("page_size", &room.clamp(1, MOST).to_string());
            let screen = screen(&broker, path, terminal.as_ref())?;
            show(&screen, terminal.is_some()).map_err(Failure::output)?;
            left = left.map(|left| left - 1);
            if left == Some(0) {
                return Ok(Done::Yes);
            }
            thread::sleep(self.every);
        }
    }
}

/// All that is to be seen, as lines.
fn screen(broker: &Broker, queues: Path, terminal: Option<&Terminal>) -> Result<String, Failure> {
    let width = terminal.map(|terminal| terminal.width);
    let of_broker = status::of(broker)?;
    let mut screen = String::new();
    for names in BROKER {
        let columns = columns(status::COLUMNS, names)?;
        screen.push_str(&summary(&columns, &of_broker, width));
        screen.push('\n');
    }
    screen.push('\n');
    let columns = columns(queue::COLUMNS, &QUEUE)?;
    let paths: Vec<&str> = columns.iter().map(|column| column.path).collect();
    let found = broker.get(queues.query("columns", &paths.join(",")))?;
    let is_coloured = terminal.is_some_and(|terminal| terminal.is_coloured);
    let style = Style { format: Format::Table, headings: true, width, is_coloured };
    let mut table = Vec::new();
    let mut rows = Rows::new(&mut table, style, columns, false);
    let mut queues = found["items"].as_array().into_iter().flatten();
    let written = queues.try_for_each(|queue: &Value| rows.push(queue));
    written.and_then(|()| rows.finish()).map_err(Failure::output)?;
    screen.push_str(&String::from_utf8_lossy(&table));
    Ok(screen)
}

fn columns(all: &'static [Column], names: &[&str]) -> Result<Vec<&'static Column>, Failure> {
    names.iter().map(|name| named(all, name)).collect()
}

/// In place of what stands on the terminal, with one write, so that it does not flicker; into a pipe one after the other.
fn show(screen: &str, is_terminal: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if is_terminal {
        write!(out, "\x1b[H{}\x1b[J", screen.replace('\n', "\x1b[K\n"))?;
    } else {
        writeln!(out, "{screen}")?;
    }
    out.flush()
}
