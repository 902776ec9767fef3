//! `leveret config`: what the broker was told, and whether it would start with what it is to be told.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{Args, Command, Subcommand};
use hyper::Method;

use super::Done;
use super::options::Connect;
use crate::broker::{Failure, Path};
use crate::usage;

#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows what the running broker was told and what it made of it.
    #[command(after_help = "Example:\n  leveret config show")]
    Show,
    /// Checks arguments of `leveret serve`, and the environment, without starting anything.
    #[command(after_help = "Example:\n  leveret config check -- --listen 127.0.0.1:5672 --memory-limit 2048")]
    Check {
        /// As `leveret serve` takes them, behind --.
        #[arg(last = true, value_name = "ARGUMENT")]
        arguments: Vec<OsString>,
    },
}

impl Config {
    /// `program` is all that the program understands, `serve` too.
    pub(super) fn run(self, program: fn() -> Command) -> Result<Done, Failure> {
        match self.verb {
            Verb::Show => {
                let reply = self
                    .connect
                    .broker()?
                    .send(Method::GET, Path::api("config/effective"), None)?
                    .accepted()?;
                io::stdout().write_all(&reply.body).map_err(Failure::output)?;
            }
            Verb::Check { arguments } => {
                let line = ["leveret", "serve"].map(OsString::from).into_iter().chain(arguments);
                if let Err(error) = program().try_get_matches_from(line) {
                    let what = usage::one_line(&error);
                    return Err(Failure::usage(what.unwrap_or_else(|| "help was asked for".to_owned())));
                }
                self.connect.say("The arguments and the environment make sense.")?;
            }
        }
        Ok(Done::Yes)
    }
}
