//! The program: arguments to a verb, a verb to its room, an error to one line and a non-zero exit.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use leveret::config::{CommandLine, Decision, ServeConfig, Verb, VerifyConfig};
use leveret::{logging, manage, server};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The name of RabbitMQ's server, under which the broker itself may be started.
const SERVER: &str = "rabbitmq-server";

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let called = arguments.next().map(PathBuf::from).unwrap_or_default();
    let called = called.file_name().and_then(OsStr::to_str).unwrap_or_default();
    if let Some(code) = leveret_cli::rabbitmq::run(called, arguments.collect()) {
        return code;
    }
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => return misused(&error),
    };
    let outcome = match line.verb() {
        Verb::Serve(config) => serve(&config),
        Verb::Verify(config) => verify(&config),
        Verb::Noun(noun) => return noun.run(CommandLine::command),
        Verb::As { tool, arguments } => act_as(&tool, arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("leveret: {error}");
        ExitCode::FAILURE
    })
}

/// Help that was asked for, or one line that says what is wrong.
fn misused(error: &clap::Error) -> ExitCode {
    let Some(what) = leveret_cli::usage::one_line(error) else { error.exit() };
    eprintln!("leveret: {what}");
    ExitCode::from(2)
}

/// A tool of RabbitMQ's, by its name. Its server is this broker, which takes none of that one's arguments.
fn act_as(tool: &str, arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    if tool == SERVER {
        let own = [OsString::from("leveret")].into_iter().chain(arguments);
        let Verb::Serve(config) = CommandLine::parse_from(own).verb() else {
            anyhow::bail!("{SERVER} takes the arguments of `leveret serve` alone");
        };
        return serve(&config);
    }
    Ok(leveret_cli::rabbitmq::run(tool, arguments).unwrap_or_else(|| {
        let tools = leveret_cli::rabbitmq::TOOLS.join(", ");
        eprintln!(
            "leveret: '{tool}' is no tool of RabbitMQ's that this program knows; it knows {tools} and {SERVER}"
        );
        ExitCode::from(2)
    }))
}

fn serve(config: &ServeConfig) -> anyhow::Result<ExitCode> {
    let log = logging::init(&config.log, config.log_format)
        .map_err(|error| anyhow::anyhow!("--log {:?} is not a level or filter: {error}", config.log))?;
    server::serve(config, manage::MANAGEMENT, log)?;
    Ok(ExitCode::SUCCESS)
}

fn verify(config: &VerifyConfig) -> anyhow::Result<ExitCode> {
    if let Some(decision) = config.decision() {
        let messages = server::decide(&config.data_dir, &decision)?;
        match decision {
            Decision::Restore { vhost, name, .. } => {
                println!("{messages} messages are those of the queue '{name}' in vhost '{vhost}'.");
            }
            Decision::Drop { .. } => println!("{messages} messages are deleted."),
        }
        return Ok(ExitCode::SUCCESS);
    }
    if config.salvage {
        println!("{}", leveret::store::salvage(&config.data_dir, config.accept_loss)?);
    }
    let report = server::verify(&config.data_dir)?;
    println!("{report}");
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
