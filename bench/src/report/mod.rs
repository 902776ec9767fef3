//! What a comparison found, as data: the same for the terminal, for JSON and for HTML.

mod html;
mod machine;
mod plot;
mod text;

use anyhow::Error;
use serde::Serialize;

use crate::outcome::Outcome;
use crate::plan::{Broker, Plan};
use crate::stats::{Better, Metric, Quantile, Summary, Unit, advantage, median};
use crate::workload::Workload;

pub(crate) use html::page;
pub(crate) use machine::Machine;
pub(crate) use text::{heading, table};

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// How this can be done again.
    pub(crate) command: String,
    /// Seconds since 1970.
    pub(crate) time: u64,
    pub(crate) machine: Machine,
    /// In the order in which all figures stand; the first one is compared with each other one.
    pub(crate) brokers: Vec<BrokerReport>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// What the counts of stored messages, connections and bindings were divided by.
    pub(crate) shrink: u32,
    pub(crate) workloads: Vec<WorkloadReport>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct BrokerReport {
    pub(crate) name: String,
    /// Product and version, as the broker said.
    pub(crate) server: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct WorkloadReport {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) lines: Vec<Line>,
    /// Latency curves, one per broker; empty where nothing was measured.
    pub(crate) curves: Vec<Vec<Quantile>>,
    pub(crate) troubles: Vec<Trouble>,
}

/// One figure of a workload, for all brokers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) metric: Metric,
    pub(crate) label: &'static str,
    pub(crate) unit: Unit,
    pub(crate) better: Better,
    pub(crate) brokers: Vec<Option<Summary>>,
    /// How many times better the first broker's median is than that of each.
    pub(crate) advantage: Vec<Option<f64>>,
}

/// Why there are no figures, or no more.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trouble {
    pub(crate) broker: String,
    pub(crate) failed: bool,
    pub(crate) what: String,
}

impl Report {
    /// A warning where the counts are not those the workloads' descriptions name.
    pub(crate) fn caution(&self) -> Option<String> {
        (self.shrink > 1)
            .then(|| format!("messages stored, connections and bindings are divided by {}", self.shrink))
    }

    pub(crate) fn new(plan: &Plan, servers: &[String]) -> Report {
        let name = |(broker, server): (&Broker, &String)| BrokerReport {
            name: broker.name.clone(),
            server: server.clone(),
        };
        Report {
            command: command_line(),
            time: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            machine: Machine::this_one(),
            brokers: plan.brokers.iter().zip(servers).map(name).collect(),
            rounds: plan.rounds,
            seconds: plan.seconds,
            shrink: plan.shrink,
            workloads: Vec::new(),
        }
    }

    /// Whether any run ended with an error; being skipped is none.
    pub(crate) fn has_failed(&self) -> bool {
        self.workloads.iter().flat_map(|workload| &workload.troubles).any(|trouble| trouble.failed)
    }
}

impl WorkloadReport {
    /// Brings the rounds of all brokers together; `outcomes` has one list per broker.
    pub(crate) fn gather(
        workload: &Workload,
        outcomes: &[Vec<Outcome>],
        troubles: Vec<Trouble>,
    ) -> WorkloadReport {
        let mut metrics: Vec<Metric> = Vec::new();
        for (metric, _) in outcomes.iter().flatten().flat_map(|outcome| &outcome.figures) {
            if !metrics.contains(metric) {
                metrics.push(*metric);
            }
        }
        metrics.sort_by_key(|&metric| metric as usize);
        WorkloadReport {
            name: workload.name,
            about: workload.about,
            lines: metrics.into_iter().map(|metric| Line::of(metric, outcomes)).collect(),
            curves: outcomes.iter().map(|rounds| middle_curve(rounds)).collect(),
            troubles,
        }
    }
}

impl Line {
    fn of(metric: Metric, outcomes: &[Vec<Outcome>]) -> Line {
        let (label, unit, better) = metric.describe();
        let values = |rounds: &Vec<Outcome>| -> Vec<f64> {
            let figures = rounds.iter().flat_map(|outcome| &outcome.figures);
            figures.filter(|(found, _)| *found == metric).map(|&(_, value)| value).collect()
        };
        let brokers: Vec<_> = outcomes.iter().map(|rounds| Summary::of(values(rounds))).collect();
        let first = brokers.first().cloned().flatten();
        let against = |other: &Option<Summary>| {
            let (first, other) = (first.as_ref()?, other.as_ref()?);
            advantage(better, first.median, other.median)
        };
        let advantage = brokers.iter().map(against).collect();
        Line { metric, label, unit, better, brokers, advantage }
    }
}

impl Trouble {
    pub(crate) fn skipped(broker: &str, why: &str) -> Trouble {
        Trouble { broker: broker.to_owned(), failed: false, what: format!("skipped: {why}") }
    }

    pub(crate) fn failed(broker: &str, error: &Error) -> Trouble {
        Trouble { broker: broker.to_owned(), failed: true, what: format!("failed: {error:#}") }
    }
}

/// The median over the rounds at each quantile.
fn middle_curve(rounds: &[Outcome]) -> Vec<Quantile> {
    let curves: Vec<_> =
        rounds.iter().map(|outcome| &outcome.curve).filter(|curve| !curve.is_empty()).collect();
    let Some(first) = curves.first() else { return Vec::new() };
    let middle = |(n, point): (usize, &Quantile)| {
        let mut micros: Vec<_> = curves.iter().filter_map(|curve| Some(curve.get(n)?.micros)).collect();
        micros.sort_by(f64::total_cmp);
        Quantile { quantile: point.quantile, micros: median(&micros).unwrap_or(point.micros) }
    };
    first.iter().enumerate().map(middle).collect()
}

/// The arguments, without the passwords in them.
fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| without_password(&argument));
    std::iter::once("leveret-bench".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn without_password(argument: &str) -> String {
    let hidden = argument.split_once("://").and_then(|(before, rest)| {
        let (login, after) = rest.split_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{before}://{user}:...@{after}"))
    });
    hidden.unwrap_or_else(|| argument.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::select;

    fn outcome(rate: f64, p50: f64) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.put(Metric::LatencyP50, p50);
        outcome.put(Metric::Rate, rate);
        outcome.curve = vec![Quantile { quantile: 0.5, micros: p50 }];
        outcome
    }

    pub(super) fn report() -> WorkloadReport {
        let workload = select(&["rate10k".to_owned()]).unwrap()[0];
        let first = [300.0, 100.0, 200.0].map(|rate| outcome(rate, 5.0 + rate)).to_vec();
        let second = vec![outcome(100.0, 410.0)];
        let failure = Trouble::failed("b", &anyhow::anyhow!("no <answer>"));
        WorkloadReport::gather(&workload, &[first, second, Vec::new()], vec![failure])
    }

    #[test]
    fn rounds_become_medians_and_ratios_to_the_first_broker() {
        let report = report();
        let labels: Vec<_> = report.lines.iter().map(|line| line.label).collect();
        assert_eq!(labels, ["messages/s", "latency p50"]);
        assert_eq!(report.lines[0].brokers[0].as_ref().unwrap().median, 200.0);
        assert_eq!(report.lines[0].advantage, [Some(1.0), Some(2.0), None]);
        assert_eq!(report.lines[1].advantage, [Some(1.0), Some(2.0), None]);
        assert_eq!(report.curves[0], [Quantile { quantile: 0.5, micros: 205.0 }]);
        assert!(report.curves[2].is_empty());
    }

    #[test]
    fn passwords_stay_out_of_reports() {
        assert_eq!(without_password("leveret=amqp://ann:pw@h:1@5"), "leveret=amqp://ann:...@h:1@5");
        assert_eq!(without_password("--only"), "--only");
    }
}
