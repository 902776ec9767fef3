//! `leveret log`: what the broker has logged last, and goes on logging.

use std::io::{self, Write};

use clap::Args;
use hyper::Method;

use super::Done;
use super::options::Connect;
use crate::broker::{Failure, Path};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  leveret log --lines 100 --follow")]
pub struct Log {
    /// How many of the last lines; the broker keeps 1,000 at the most.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    lines: u32,
    /// Goes on with what is logged from now on, until it is interrupted.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Log {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let broker = self.connect.broker()?;
        let mut path = Path::api("leveret/log").query("lines", &self.lines.to_string());
        if self.follow {
            path = path.query("follow", "true");
        }
        let mut answer = broker.open(Method::GET, path, Vec::new())?.accepted()?;
        let mut out = io::stdout().lock();
        while let Some(line) = answer.next_line()? {
            writeln!(out, "{line}").map_err(Failure::output)?;
        }
        Ok(Done::Yes)
    }
}
