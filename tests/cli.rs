//! The command line on a running broker, as people and scripts use it: the real binary, its output and its exit codes. What a verb is
//! made of is tested in `cli`; the socket that it comes by in `control.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "cli/clients.rs"]
mod clients;
#[path = "cli/completion.rs"]
mod completion;
#[path = "cli/everyday.rs"]
mod everyday;
#[path = "cli/exit_codes.rs"]
mod exit_codes;
#[path = "cli/listings.rs"]
mod listings;
#[path = "cli/passwords.rs"]
mod passwords;
#[path = "support/mod.rs"]
mod support;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/verbs.rs"]
mod verbs;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use support::leveret;

/// A command to the broker of this data directory, with nothing of the environment that would lead it elsewhere.
fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = leveret();
    for name in ["LEVERET_URI", "LEVERET_PASSWORD", "LEVERET_NEW_PASSWORD", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.env("LEVERET_DATA_DIR", data).args(arguments).stdin(std::process::Stdio::null());
    command
}

/// What it said, and its exit code.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    error: String,
}

fn say(mut command: Command) -> Said {
    let Output { status, stdout, stderr } = command.output().expect("it can be started");
    let text = |bytes| String::from_utf8(bytes).expect("it says text");
    Said { code: status.code(), out: text(stdout), error: text(stderr) }
}

fn run(data: &Path, arguments: &[&str]) -> Said {
    say(command(data, arguments))
}

/// What it said where all went well.
fn ok(data: &Path, arguments: &[&str]) -> String {
    let said = run(data, arguments);
    assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
    said.out
}

/// A command with further variables of the environment.
fn with<V: AsRef<OsStr>>(mut command: Command, variables: &[(&str, V)]) -> Command {
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command
}
