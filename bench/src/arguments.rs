//! The command line.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::asking::Page;
use crate::plan::{Broker, Plan};
use crate::target::{Address, Named};
use crate::workload::{Workload, select};

/// What `--smoke` makes of the lengths and counts.
const SMOKE_SECONDS: f64 = 1.0;
const SMOKE_SHRINK: u32 = 1000;

/// Offers load to any AMQP 0-9-1 broker, measures what it does with it, and compares brokers side by side
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run workloads against one broker
    Run(Run),
    /// Run workloads against several brokers in turn and compare them with the first
    Compare(Compare),
    /// Show all workloads
    List,
    /// Be the server that discards (what `run --sink` starts)
    #[command(hide = true)]
    Sink,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Workloads or groups of them, or `all`
    #[arg(required = true)]
    workloads: Vec<String>,
    /// The broker: amqp://USER:PASSWORD@HOST:PORT/VHOST, and @PID to measure its CPU time and memory
    #[arg(long, required_unless_present = "sink")]
    uri: Option<Address>,
    /// Measure the generator itself, against a server that discards
    #[arg(long, conflicts_with = "uri")]
    sink: bool,
    /// Rounds of each workload
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Command that starts the broker again and prints its process id on the last line (for `restart`)
    #[arg(long)]
    restart_command: Option<String>,
    #[command(flatten)]
    extent: Extent,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// A broker: NAME=URI@PID; the first one is compared with each other one
    #[arg(long = "broker", required = true)]
    brokers: Vec<Named<Address>>,
    /// Only these workloads or groups, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each workload; those that take minutes run once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// NAME=COMMAND that starts this broker again and prints its process id on the last line (for `restart`)
    #[arg(long = "restart-command")]
    restart_commands: Vec<Named<String>>,
    /// NAME=http://USER:PASSWORD@HOST:PORT/PATH that is asked for once a second while this broker is measured
    #[arg(long = "ask")]
    asked: Vec<Named<Page>>,
    #[command(flatten)]
    extent: Extent,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// How long and how much.
#[derive(Debug, Args)]
struct Extent {
    /// Seconds of each measured window
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// Divides the counts of stored messages, connections and bindings by so much
    #[arg(long, default_value_t = 1)]
    shrink: u32,
    /// A second per workload, one round, tiny counts: shows that everything works, measures nothing
    #[arg(long)]
    smoke: bool,
    /// Folder on the brokers' disk, to measure a bare append and sync beside p1k-c1
    #[arg(long, value_name = "DIRECTORY")]
    disk: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with tables and plots
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
}

impl Run {
    /// None: the sink is meant.
    pub(crate) fn address(&self) -> Option<Address> {
        self.uri.clone()
    }

    pub(crate) fn plan(&self, address: Address) -> Result<Plan> {
        let name = if self.sink { "sink" } else { "broker" };
        let broker = Broker {
            name: name.to_owned(),
            address,
            restart_command: self.restart_command.clone(),
            asked: Vec::new(),
        };
        self.extent.plan(&self.workloads, vec![broker], self.rounds)
    }
}

impl Compare {
    pub(crate) fn plan(&self) -> Result<Plan> {
        let named = self.restart_commands.iter().map(|command| ("--restart-command", &command.name));
        for (argument, name) in named.chain(self.asked.iter().map(|asked| ("--ask", &asked.name))) {
            let known = self.brokers.iter().any(|broker| broker.name == *name);
            ensure!(known, "{argument} names {name:?}, and no --broker does");
        }
        let command_of = |name: &str| {
            let found = self.restart_commands.iter().find(|command| command.name == name);
            found.map(|command| command.value.clone())
        };
        let brokers = self.brokers.iter().map(|broker| Broker {
            name: broker.name.clone(),
            address: broker.value.clone(),
            restart_command: command_of(&broker.name),
            asked: {
                let asked = self.asked.iter().filter(|asked| asked.name == broker.name);
                asked.map(|asked| asked.value.clone()).collect()
            },
        });
        self.extent.plan(&self.only, brokers.collect(), self.rounds)
    }
}

impl Extent {
    fn plan(&self, words: &[String], brokers: Vec<Broker>, rounds: usize) -> Result<Plan> {
        ensure!(self.seconds > 0.0 && self.seconds <= 3600.0, "--seconds must be above 0 and at most 3600");
        ensure!((1..=1000).contains(&rounds), "--rounds must be from 1 to 1000");
        let (seconds, shrink, rounds) = if self.smoke {
            (SMOKE_SECONDS.min(self.seconds), SMOKE_SHRINK, 1)
        } else {
            (self.seconds, self.shrink, rounds)
        };
        let workloads = select(words)?.into_iter().map(|row: Workload| row.shrunk(shrink)).collect();
        Ok(Plan { workloads, brokers, rounds, seconds, shrink, disk: self.disk.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(arguments: &[&str]) -> Result<Plan> {
        let line = ["leveret-bench", "compare"].iter().chain(arguments);
        match Arguments::try_parse_from(line)?.verb {
            Verb::Compare(compare) => compare.plan(),
            _ => panic!("another verb"),
        }
    }

    #[test]
    fn brokers_get_the_restart_commands_of_their_name() {
        let plan = compare(&[
            "--broker=a=amqp://h:1@7",
            "--broker=b=amqp://h:2",
            "--restart-command=b=run --x=1",
            "--ask=b=http://h:1/x",
            "--ask=b=http://h:1/y",
            "--only=t16,rate",
        ])
        .unwrap();
        assert_eq!(plan.brokers[0].address.pid, Some(7));
        assert_eq!(plan.brokers[0].restart_command, None);
        assert_eq!(plan.brokers[1].restart_command.as_deref(), Some("run --x=1"));
        assert_eq!(plan.brokers.iter().map(|broker| broker.asked.len()).collect::<Vec<_>>(), [0, 2]);
        let names: Vec<_> = plan.workloads.iter().map(|row| row.name).collect();
        assert_eq!((names, plan.rounds, plan.seconds), (vec!["t16", "rate10k", "rate100k"], 5, 6.0));
    }

    #[test]
    fn smoke_is_short_whatever_else_is_said() {
        let plan = compare(&["--broker=a=amqp://h", "--smoke", "--rounds=9", "--seconds=60"]).unwrap();
        assert_eq!((plan.rounds, plan.seconds), (1, 1.0));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let broker = "--broker=a=amqp://h";
        assert!(compare(&[]).is_err());
        assert!(compare(&[broker, "--only=t17"]).is_err());
        assert!(compare(&[broker, "--seconds=0"]).is_err());
        assert!(compare(&[broker, "--seconds=nan"]).is_err());
        assert!(compare(&[broker, "--rounds=0"]).is_err());
        assert!(compare(&[broker, "--restart-command=b=x"]).is_err());
        assert!(compare(&[broker, "--ask=b=http://h:1/x"]).is_err());
        assert!(compare(&[broker, "--ask=a=https://h:1/x"]).is_err());
        assert!(compare(&["--broker=amqp://h"]).is_err());
    }
}
