//! The conformance suite: arguments to a selection of cases, a selection to a table and an exit code.

#![allow(clippy::needless_pass_by_value, reason = "builders read better when they take what they are given")]

mod admin;
mod assembly;
mod cases;
mod channel;
mod connection;
#[cfg(test)]
mod differences;
mod entity;
mod management;
mod management_changes;
mod management_definitions;
mod management_fields;
mod operator;
mod outcome;
mod report;
mod route;
mod runner;
mod scene;
mod test;
mod trace;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use amq_protocol_uri::AMQPUri;
use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use leveret_codec::table::AMQPValue;

use crate::connection::{Connection, Greeting, Target};
use crate::outcome::Stop;
use crate::runner::{Case, Verdict};
use crate::trace::Trace;

/// Checks an AMQP 0-9-1 broker, frame by frame.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The broker to check.
    #[arg(long, default_value = "amqp://guest:guest@127.0.0.1:5672")]
    uri: String,
    /// The broker's management interface, as http://USER:PASSWORD@HOST:PORT; without it the cases that need an
    /// administrator are skipped.
    #[arg(long, value_name = "URL")]
    management: Option<String>,
    /// Plays changes over the management interface instead of the cases, and compares the answers with RabbitMQ's.
    #[arg(long, group = "list_of_answers", requires = "management")]
    management_changes: bool,
    /// Asks for everything over the management interface instead of the cases, after a little traffic, and compares the
    /// fields of the answers with RabbitMQ's.
    #[arg(long, group = "list_of_answers", requires = "management")]
    management_fields: bool,
    /// Takes definitions into the broker and out of it again instead of the cases: RabbitMQ's recorded ones, or those of the peer.
    #[arg(long, group = "list_of_answers", requires = "management")]
    management_definitions: bool,
    /// The management interface of another broker, RabbitMQ say: definitions go from each of the two to the other and back.
    #[arg(long, value_name = "URL", requires = "management_definitions")]
    peer: Option<String>,
    /// Writes down what the broker answers to any of them, instead: it is to be RabbitMQ.
    #[arg(long, requires = "list_of_answers", conflicts_with = "peer")]
    record: bool,
    /// A shell command that raises alarms, sets limits of the node and restarts the broker (see the README); without it
    /// the cases that need this are skipped. It concerns everybody on the broker.
    #[arg(long, value_name = "COMMAND")]
    operator: Option<String>,
    /// Only the cases of this section of docs/semantics.md; may be given more than once.
    #[arg(long)]
    section: Vec<u32>,
    /// Only cases whose name contains this; may be given more than once.
    #[arg(long)]
    case: Vec<String>,
    /// Write the verdicts here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many cases run side by side.
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// Say how long each case took.
    #[arg(long)]
    times: bool,
    /// List the cases and run none.
    #[arg(long)]
    list: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let (true, Some(url)) = (arguments.management_changes, &arguments.management) {
        let is_right = management_changes::play(&management(url)?, arguments.record)?;
        return Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let (true, Some(url)) = (arguments.management_fields, &arguments.management) {
        let is_right =
            management_fields::compare(&target(&arguments.uri)?, &management(url)?, arguments.record)?;
        return Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let (true, Some(url)) = (arguments.management_definitions, &arguments.management) {
        let peer = arguments.peer.as_deref().map(management).transpose()?;
        let is_right = management_definitions::carry(&management(url)?, peer.as_ref(), arguments.record)?;
        return Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let cases: Vec<Case> = cases::all().filter(|case| arguments.wants(case)).collect();
    if cases.is_empty() {
        bail!("no case fits the selection");
    }
    if arguments.list {
        print!("{}", report::list(&cases));
        return Ok(ExitCode::SUCCESS);
    }
    let mut target = target(&arguments.uri)?;
    target.management = arguments.management.as_deref().map(management).transpose()?;
    target.operator.clone_from(&arguments.operator);
    let (product, version) = broker(&target)?;
    println!("{} cases against {product} {version} at {}:{}", cases.len(), target.host, target.port);
    let ran = runner::run(&cases, &target, arguments.jobs);
    if arguments.times {
        for ran in &ran {
            println!("{:<44} {:>6} ms", ran.case.name, ran.took.as_millis());
        }
    }
    print!("{}", report::table(&ran));
    if let Some(path) = &arguments.json {
        let text = report::json(&product, &version, &ran)?;
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    let failed = ran.iter().any(|ran| matches!(ran.verdict, Verdict::Failed(_)));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Arguments {
    fn wants(&self, case: &Case) -> bool {
        (self.section.is_empty() || self.section.contains(&cases::section(case)))
            && (self.case.is_empty() || self.case.iter().any(|part| case.name.contains(part)))
    }
}

fn target(uri: &str) -> Result<Target> {
    let uri: AMQPUri = uri.parse().map_err(|error| anyhow!("--uri: {error}"))?;
    Ok(Target {
        host: uri.authority.host,
        port: uri.authority.port,
        user: uri.authority.userinfo.username,
        password: uri.authority.userinfo.password,
        vhost: uri.vhost,
        management: None,
        operator: None,
    })
}

/// The base of the interface's paths, and the credentials in front of its host.
fn management(url: &str) -> Result<(String, String)> {
    let address =
        url.strip_prefix("http://").ok_or_else(|| anyhow!("--management: {url} is not http://..."))?;
    let (credentials, host) =
        address.rsplit_once('@').ok_or_else(|| anyhow!("--management: {url} names no user"))?;
    Ok((format!("http://{}", host.trim_end_matches('/')), credentials.to_owned()))
}

/// Product and version, as the broker says in its server properties. A broker that calls itself RabbitMQ for its
/// clients' sake may tell its name in `information`, up to the first comma.
fn broker(target: &Target) -> Result<(String, String)> {
    let greeting = Connection::tcp(target, &Trace::default()).and_then(|connection| connection.greet());
    let Greeting { properties, .. } = match greeting {
        Ok(greeting) => greeting,
        Err(Stop::Fail(reason) | Stop::Skip(reason)) => bail!("{}:{}: {reason}", target.host, target.port),
    };
    let text = |name: &str| match properties.inner().get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => String::new(),
    };
    let information = text("information");
    let named = information.split_once(", a message broker").map(|(name, _)| name.to_owned());
    Ok((named.unwrap_or_else(|| text("product")), text("version")))
}
