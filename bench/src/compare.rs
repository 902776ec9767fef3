//! Runs every chosen workload against every broker, round by round, and gathers what came out.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::asking::Asker;
use crate::flow;
use crate::job::{Job, Ran, clear_line};
use crate::long;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::report::{Report, Trouble, WorkloadReport};
use crate::wire::Connection;
use crate::workload::{Kind, Workload};

/// Between two runs, so that one broker's last work is not charged to the next.
const PAUSE: Duration = Duration::from_millis(300);

/// Runs all of the plan. `finished` is called with each workload's report as soon as it is there.
pub(crate) fn run(mut plan: Plan, mut finished: impl FnMut(&Report, &WorkloadReport)) -> Result<Report> {
    let mut servers = Vec::new();
    for broker in &plan.brokers {
        let connection = Connection::open(&broker.address.uri)
            .with_context(|| format!("{} cannot be reached", broker.name))?;
        servers.push(connection.server.clone());
        connection.close()?;
        if let Some(pid) = broker.address.pid {
            crate::meter::memory(pid).with_context(|| format!("process id of {}", broker.name))?;
        }
    }
    let mut report = Report::new(&plan, &servers);
    for workload in plan.workloads.clone() {
        let gathered = run_rounds(&mut plan, &workload);
        finished(&report, &gathered);
        report.workloads.push(gathered);
    }
    Ok(report)
}

fn run_rounds(plan: &mut Plan, workload: &Workload) -> WorkloadReport {
    let rounds = if workload.is_long() { 1 } else { plan.rounds };
    let mut outcomes = vec![Vec::new(); plan.brokers.len()];
    let mut troubles: Vec<Trouble> = Vec::new();
    for round in 1..=rounds {
        for n in order(plan.brokers.len(), round) {
            let (Some(broker), Some(outcomes)) = (plan.brokers.get_mut(n), outcomes.get_mut(n)) else {
                continue;
            };
            if troubles.iter().any(|trouble| trouble.broker == broker.name) {
                continue;
            }
            let title = format!("{} {} {round}/{rounds}", workload.name, broker.name);
            let job = Job {
                uri: &broker.address.uri,
                pid: broker.address.pid,
                seconds: plan.seconds,
                disk: plan.disk.as_deref(),
                restart_command: broker.restart_command.as_deref(),
                title,
            };
            let asker = Asker::start(&broker.asked);
            let ran = run_once(workload, &job);
            match asker.map_or(Ok(()), Asker::end).and(ran) {
                Ok(Ran::Done(outcome)) => {
                    broker.address.pid = outcome.new_pid.or(broker.address.pid);
                    outcomes.push(outcome);
                }
                Ok(Ran::Skipped(why)) => troubles.push(Trouble::skipped(&broker.name, why)),
                Err(error) => troubles.push(Trouble::failed(&broker.name, &error)),
            }
            clear_line();
            std::thread::sleep(PAUSE);
        }
    }
    WorkloadReport::gather(workload, &outcomes, troubles)
}

fn run_once(workload: &Workload, job: &Job<'_>) -> Result<Ran> {
    let done = |outcome: Result<Outcome>| outcome.map(Ran::Done);
    match &workload.kind {
        Kind::Flow(flow) => done(flow::run(flow, job)),
        Kind::Backlog(backlog) => done(long::backlog(backlog, job)),
        Kind::Churn { clients } => done(long::churn(*clients, job)),
        Kind::Reconnect { clients, queues } => done(long::reconnect(*clients, *queues, job)),
        Kind::Rpc { clients, flow } => done(long::rpc(*clients, flow, job)),
        Kind::Idle { connections } => long::idle(*connections, job),
        Kind::Restart { messages } => long::restart(*messages, job),
    }
}

/// Who comes first changes from round to round: a machine that slows down favours nobody.
fn order(brokers: usize, round: usize) -> Vec<usize> {
    let forwards = 0..brokers;
    if round % 2 == 1 { forwards.collect() } else { forwards.rev().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_take_turns_in_being_first() {
        assert_eq!(order(3, 1), [0, 1, 2]);
        assert_eq!(order(3, 2), [2, 1, 0]);
    }
}
