//! What one run of one workload against one broker found out.

use crate::meter::Usage;
use crate::stats::{Latencies, Metric, Quantile};

#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) figures: Vec<(Metric, f64)>,
    /// Empty where the workload measures no latency.
    pub(crate) curve: Vec<Quantile>,
    /// The broker's process after a restart.
    pub(crate) new_pid: Option<u32>,
}

impl Outcome {
    /// Keeps a figure; one that could not be computed (a division by zero time) is left out.
    pub(crate) fn put(&mut self, metric: Metric, value: f64) {
        if value.is_finite() {
            self.figures.push((metric, value));
        }
    }

    /// Rate, CPU and memory of `messages` that passed while `usage` was measured.
    pub(crate) fn put_rate(&mut self, messages: u64, usage: &Usage) {
        self.put(Metric::Rate, messages as f64 / usage.seconds);
        if let Some(broker) = usage.broker {
            self.put(Metric::PerCpu, messages as f64 / broker.cpu);
        }
        self.put(Metric::PerGeneratorCpu, messages as f64 / usage.own_cpu);
    }

    pub(crate) fn put_memory(&mut self, usage: &Usage) {
        if let Some(broker) = usage.broker {
            self.put(Metric::Resident, broker.memory.resident as f64);
            self.put(Metric::Anonymous, broker.memory.anonymous as f64);
        }
    }

    /// How much was written to disk for so many bytes published.
    pub(crate) fn put_written(&mut self, bytes_published: u64, usage: &Usage) {
        if let Some(written) = usage.broker.and_then(|broker| broker.written) {
            self.put(Metric::WrittenPerByte, written as f64 / bytes_published as f64);
        }
    }

    pub(crate) fn put_latencies(&mut self, latencies: &Latencies) {
        if latencies.is_empty() {
            return;
        }
        self.put(Metric::LatencyP50, latencies.micros(0.5));
        self.put(Metric::LatencyP99, latencies.micros(0.99));
        self.put(Metric::LatencyP999, latencies.micros(0.999));
        self.put(Metric::LatencyMost, latencies.micros(1.0));
        self.curve = latencies.curve();
    }
}
