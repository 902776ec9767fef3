//! The load generator: arguments to a verb.

mod arguments;
mod asking;
mod baseline;
mod compare;
mod flow;
mod format;
mod job;
mod long;
mod meter;
mod outcome;
mod plan;
mod report;
mod sink;
mod stats;
mod target;
mod wire;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::arguments::{Arguments, Verb};
use crate::plan::Plan;
use crate::sink::Sink;

fn main() -> Result<ExitCode> {
    match Arguments::parse().verb {
        Verb::Run(run) => {
            let (sink, address) = match run.address() {
                Some(address) => (None, address),
                None => Sink::spawn().map(|(sink, address)| (Some(sink), address))?,
            };
            let done = execute(run.plan(address)?, &run.output);
            drop(sink);
            done
        }
        Verb::Compare(compare) => execute(compare.plan()?, &compare.output),
        Verb::List => {
            for workload in workload::WORKLOADS {
                println!("{:<10} {}", workload.name, workload.about);
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Sink => sink::serve().map(|()| ExitCode::SUCCESS),
    }
}

/// Runs a plan, prints its tables as they come, and writes the files asked for.
fn execute(plan: Plan, output: &arguments::Output) -> Result<ExitCode> {
    let mut headed = false;
    let report = compare::run(plan, |report, workload| {
        if !headed {
            print!("{}", report::heading(report));
            headed = true;
        }
        print!("{}", report::table(report, workload));
    })?;
    if let Some(path) = &output.json {
        write(path, &(serde_json::to_string_pretty(&report)? + "\n"))?;
    }
    if let Some(path) = &output.report {
        write(path, &report::page(&report))?;
    }
    Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
