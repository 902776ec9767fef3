//! `leveret health`: whether the broker is well, as an exit code.

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::Done;
use super::options::Connect;
use crate::broker::{Broker, Failure, Kind, Path};

/// What is asked where no check is named.
const USUAL: [&str; 4] =
    ["ready-to-serve-clients", "local-alarms", "virtual-hosts", "below-node-connection-limit"];

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  leveret health\n  leveret health port-listener/5672\n\nChecks:\n  alarms, local-alarms, \
    virtual-hosts, is-in-service, ready-to-serve-clients, below-node-connection-limit,\n  port-listener/PORT, protocol-listener/amqp"
)]
pub struct Health {
    /// A check by its name in the management API; without it the usual ones. Exit code 1 where something is not well.
    #[arg(value_name = "CHECK")]
    check: Option<String>,
    #[command(flatten)]
    connect: Connect,
}

impl Health {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let broker = self.connect.broker()?;
        let checks = self.check.as_deref().map_or_else(|| USUAL.to_vec(), |check| vec![check]);
        let mut done = Done::Yes;
        for check in checks {
            if let Some(why) = unwell(&broker, check)? {
                eprintln!("leveret: {check}: {why}");
                done = Done::No;
            }
        }
        if done == Done::Yes {
            self.connect.say("The broker is well.")?;
        }
        Ok(done)
    }
}

/// Why a check fails; None where it does not.
fn unwell(broker: &Broker, check: &str) -> Result<Option<String>, Failure> {
    let reply = broker.send(Method::GET, Path::api("health/checks").fixed(check), None)?;
    if reply.status == 503 {
        let said = reply.json()?;
        let resources =
            said["alarms"].as_array().into_iter().flatten().filter_map(|alarm| alarm["resource"].as_str());
        let resources: Vec<&str> = resources.collect();
        let reason = said["reason"].as_str().unwrap_or("not well").to_owned();
        return Ok(Some(if resources.is_empty() {
            reason
        } else {
            format!("{reason}: {}", resources.join(", "))
        }));
    }
    let missing = |mut failure: Failure| {
        if failure.kind == Kind::NotFound {
            failure.what = format!("there is no check '{check}'");
            failure.advice = "`leveret health --help` names them.".to_owned();
        }
        failure
    };
    reply.accepted().map_err(missing)?.json().map(|_: Value| None)
}
