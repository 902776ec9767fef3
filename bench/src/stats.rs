//! Figures: what can be measured, how several rounds become one line, and latencies.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Everything a workload can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    Rate,
    PerCpu,
    LatencyP50,
    LatencyP99,
    LatencyP999,
    LatencyMost,
    Resident,
    Anonymous,
    WrittenPerByte,
    BindSeconds,
    FillRate,
    FillPerCpu,
    EmptyResident,
    PerConnection,
    OpenedRate,
    FirstDelivery,
    ConnectionRate,
    ChannelRate,
    QueueRate,
    BackSeconds,
    DeclaredAgain,
    DeclaredAgainPerCpu,
    QueueTurnP50,
    QueueTurnP99,
    SyncP50,
    RedbRate,
    PlainCopy,
    PerGeneratorCpu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Count,
    Bytes,
    Micros,
    Seconds,
    Times,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    Higher,
    Lower,
    /// Says something about the machine or the generator, not about the broker.
    Neither,
}

impl Metric {
    /// What it is called, in what unit it is, and which direction is good.
    pub(crate) fn describe(self) -> (&'static str, Unit, Better) {
        use Better::{Higher, Lower, Neither};
        use Unit::{Bytes, Count, Micros, Seconds, Times};
        match self {
            Metric::Rate => ("messages/s", Count, Higher),
            Metric::PerCpu => ("messages per broker CPU second", Count, Higher),
            Metric::LatencyP50 => ("latency p50", Micros, Lower),
            Metric::LatencyP99 => ("latency p99", Micros, Lower),
            Metric::LatencyP999 => ("latency p99.9", Micros, Lower),
            Metric::LatencyMost => ("longest latency", Micros, Lower),
            Metric::Resident => ("resident memory, most", Bytes, Lower),
            Metric::Anonymous => ("anonymous memory, most", Bytes, Lower),
            Metric::WrittenPerByte => ("written to disk per byte published", Times, Lower),
            Metric::BindSeconds => ("time to declare the bindings", Seconds, Lower),
            Metric::FillRate => ("messages/s stored", Count, Higher),
            Metric::FillPerCpu => ("messages stored per broker CPU second", Count, Higher),
            Metric::EmptyResident => ("resident memory before", Bytes, Lower),
            Metric::PerConnection => ("resident memory per connection", Bytes, Lower),
            Metric::OpenedRate => ("connections opened/s", Count, Higher),
            Metric::FirstDelivery => ("time to the first delivery", Seconds, Lower),
            Metric::ConnectionRate => ("connections opened and closed/s", Count, Higher),
            Metric::ChannelRate => ("channels opened and closed/s", Count, Higher),
            Metric::QueueRate => ("queues declared and deleted/s", Count, Higher),
            Metric::BackSeconds => ("time until all clients are back", Seconds, Lower),
            Metric::DeclaredAgain => ("declared again/s", Count, Higher),
            Metric::DeclaredAgainPerCpu => ("declared again per broker CPU second", Count, Higher),
            Metric::QueueTurnP50 => ("queue declared and deleted, p50", Micros, Lower),
            Metric::QueueTurnP99 => ("queue declared and deleted, p99", Micros, Lower),
            Metric::SyncP50 => ("bare 4 KB append + fdatasync, p50", Micros, Neither),
            Metric::RedbRate => ("redb alone, one blob per commit, messages/s", Count, Neither),
            Metric::PlainCopy => ("plain loopback copy, bodies/s", Count, Neither),
            Metric::PerGeneratorCpu => ("messages per generator CPU second", Count, Neither),
        }
    }
}

/// Several rounds of one figure. Empty rounds have no summary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// In the order of the rounds.
    pub(crate) values: Vec<f64>,
}

impl Summary {
    pub(crate) fn of(values: Vec<f64>) -> Option<Summary> {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        Some(Summary { median: median(&sorted)?, min, max, values })
    }
}

/// How many times better `first` is than `other`; None where there is no better or nothing to divide by.
pub(crate) fn advantage(better: Better, first: f64, other: f64) -> Option<f64> {
    let ratio = match better {
        Better::Higher => first / other,
        Better::Lower => other / first,
        Better::Neither => return None,
    };
    ratio.is_finite().then_some(ratio)
}

/// The middle of sorted values, or the mean of the two in the middle.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get((sorted.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// Latencies from 1 ns to about ten minutes, to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Option<Histogram<u64>>);

/// A point of a latency curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quantile {
    /// From 0 to 1.
    pub(crate) quantile: f64,
    pub(crate) micros: f64,
}

const LONGEST: u64 = 600_000_000_000;

/// The quantiles of a curve: dense towards the end, where it matters.
const QUANTILES: [f64; 12] = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0];

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(Histogram::new_with_bounds(1, LONGEST, 3).ok())
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST));
        }
    }

    pub(crate) fn add(&mut self, other: &Latencies) {
        if let (Some(histogram), Some(other)) = (&mut self.0, &other.0) {
            // Both have the same bounds: this cannot fail.
            let _ = histogram.add(other);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(Histogram::is_empty)
    }

    /// Microseconds that this share of all latencies does not exceed.
    pub(crate) fn micros(&self, quantile: f64) -> f64 {
        self.0.as_ref().map_or(0.0, |histogram| histogram.value_at_quantile(quantile) as f64 / 1000.0)
    }

    pub(crate) fn curve(&self) -> Vec<Quantile> {
        if self.is_empty() {
            return Vec::new();
        }
        QUANTILES.iter().map(|&quantile| Quantile { quantile, micros: self.micros(quantile) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let summary = Summary::of(vec![4.0, 1.0, 9.0, 2.0]).unwrap();
        assert_eq!((summary.median, summary.min, summary.max), (3.0, 1.0, 9.0));
        assert_eq!(summary.values, [4.0, 1.0, 9.0, 2.0]);
        assert_eq!(Summary::of(vec![5.0, 1.0, 3.0]).unwrap().median, 3.0);
        assert_eq!(Summary::of(vec![7.0]).unwrap().median, 7.0);
        assert_eq!(Summary::of(Vec::new()), None);
    }

    #[test]
    fn an_advantage_is_above_one_where_the_first_is_better() {
        assert_eq!(advantage(Better::Higher, 300.0, 100.0), Some(3.0));
        assert_eq!(advantage(Better::Lower, 20.0, 100.0), Some(5.0));
        assert_eq!(advantage(Better::Neither, 20.0, 100.0), None);
        assert_eq!(advantage(Better::Higher, 1.0, 0.0), None);
    }

    #[test]
    fn latencies_are_right_to_a_thousandth() {
        let mut latencies = Latencies::default();
        let mut later = Latencies::default();
        for micros in 1..=1000 {
            let half = if micros <= 500 { &mut latencies } else { &mut later };
            half.record(Duration::from_micros(micros));
        }
        latencies.add(&later);
        assert!((latencies.micros(0.5) - 500.0).abs() < 1.0, "{}", latencies.micros(0.5));
        assert!((latencies.micros(0.99) - 990.0).abs() < 2.0);
        assert!(latencies.curve().is_sorted_by(|a, b| a.micros <= b.micros));
        assert!(Latencies::default().curve().is_empty());
    }

    #[test]
    fn a_latency_beyond_all_bounds_is_kept_as_the_longest() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_secs(100_000));
        assert!(latencies.micros(1.0) >= 600e6 * 0.99);
    }
}
