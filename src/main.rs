//! The program: arguments to a verb, a verb to its room, an error to one line and a non-zero exit.

use std::process::ExitCode;

use clap::Parser;
use leveret::config::{CommandLine, Decision, ServeConfig, Verb, VerifyConfig};
use leveret::{logging, manage, server};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().verb() {
        Verb::Serve(config) => serve(&config),
        Verb::Verify(config) => verify(&config),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("leveret: {error}");
        ExitCode::FAILURE
    })
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
