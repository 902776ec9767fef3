//! What `leveret` understands of a running broker: one file per noun, the arguments that all have, and how a failure becomes an exit code.

mod api;
mod options;

use std::process::ExitCode;

use clap::Subcommand;

use crate::broker::{Failure, Kind};

/// What is asked of a running broker.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// Sends any request to the management API, and prints the answer.
    Api(api::Api),
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Yes,
}

impl Noun {
    /// Carries it out, and says on stderr what kept it from that.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let done = match self {
            Noun::Api(api) => api.run(),
        };
        match done {
            Ok(Done::Yes) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("leveret: {failure}");
                ExitCode::from(exit_code(&failure))
            }
        }
    }
}

fn exit_code(failure: &Failure) -> u8 {
    match failure.kind {
        Kind::Refused => 1,
        Kind::Usage => 2,
        Kind::NotAllowed => 3,
        Kind::NotFound => 4,
        Kind::Unreachable => 5,
        Kind::TimedOut => 6,
    }
}
