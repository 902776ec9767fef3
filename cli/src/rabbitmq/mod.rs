//! The tools that people script, by RabbitMQ's names. Their verbs, options, output and exit codes are RabbitMQ's.

use std::ffi::OsString;
use std::process::ExitCode;

/// The names that the program may be called by.
pub const TOOLS: [&str; 6] = [
    "rabbitmqctl",
    "rabbitmq-diagnostics",
    "rabbitmq-queues",
    "rabbitmq-plugins",
    "rabbitmq-upgrade",
    "rabbitmqadmin",
];

/// Carries out what was asked of the tool of this name, of which `arguments` are those behind the name. None where it is no tool.
#[must_use]
pub fn run(tool: &str, arguments: Vec<OsString>) -> Option<ExitCode> {
    let tool = TOOLS.iter().find(|name| **name == tool)?;
    eprintln!("{tool}: nothing of {} arguments is understood yet", arguments.len());
    Some(ExitCode::from(64))
}
