//! Counters as RabbitMQ's JSON has them: a value, and beside it `NAME_details` with its rate, and with samples where the query
//! asks for an age. Where the samples come from is `samples`.

use serde_json::{Map, Value, json};

use super::page;
use super::samples::{Rates, difference};

/// Samples that one answer gives of a counter.
const MOST_SAMPLES: u64 = 1_000;

/// How far back samples are wanted, and how far apart, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    age: u64,
    step: u64,
}

/// What a query says of samples, by kind of counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Windows {
    pub(super) lengths: Option<Window>,
    pub(super) messages: Option<Window>,
    pub(super) data: Option<Window>,
    pub(super) node: Option<Window>,
}

impl Windows {
    /// What is no number, or not both of age and step, asks for nothing.
    pub(super) fn read(query: Option<&str>) -> Windows {
        let query = query.unwrap_or_default();
        let number = |name: &str| page::value(query, name).flatten()?.parse::<u64>().ok().filter(|n| *n > 0);
        let window = |kind: &str| {
            let (age, step) = (number(&format!("{kind}_age"))?, number(&format!("{kind}_incr"))?);
            Some(Window { age: age.saturating_mul(1000), step: step.saturating_mul(1000) })
        };
        Windows {
            lengths: window("lengths"),
            messages: window("msg_rates"),
            data: window("data_rates"),
            node: window("node_stats"),
        }
    }

    pub(super) fn wants_row(&self) -> bool {
        *self != Windows::default()
    }
}

/// Writes counters into an object; they stand at `first` and behind it among those that the rates are of.
pub(super) fn write(
    into: &mut Map<String, Value>,
    names: &[&str],
    values: &[u64],
    first: usize,
    rates: Option<&Rates>,
    window: Option<Window>,
) {
    for (at, (name, value)) in names.iter().zip(values).enumerate() {
        into.insert((*name).to_owned(), (*value).into());
        if let Some(details) = rates.and_then(|rates| details(rates, first + at, window)) {
            into.insert(format!("{name}_details"), details);
        }
    }
}

fn details(rates: &Rates, at: usize, window: Option<Window>) -> Option<Value> {
    let mut details = json!({"rate": rates.per_second.get(at)?});
    let Some(Window { age, step }) = window else { return Some(details) };
    let row = rates.rows.get(at)?;
    let newest = row.first()?.0;
    let mut samples: Vec<(u64, u64)> = Vec::new();
    for back in 0..=(age / step).min(MOST_SAMPLES) {
        let wanted = newest.checked_sub(back.saturating_mul(step));
        // Before the first sample nothing is known.
        let sample = wanted.and_then(|wanted| row.iter().find(|(time, _)| *time <= wanted));
        let Some((wanted, sample)) = wanted.zip(sample) else { break };
        samples.push((wanted, sample.1));
    }
    let (newest, oldest) = (samples.first()?, samples.last()?);
    let seconds = difference(newest.0, oldest.0) / 1000.0;
    let rate = if seconds > 0.0 { difference(newest.1, oldest.1) / seconds } else { 0.0 };
    let sum: f64 = samples.iter().map(|(_, value)| difference(*value, 0)).sum();
    details["avg"] = (sum / difference(samples.len() as u64, 0)).into();
    details["avg_rate"] = rate.into();
    let samples = samples.iter().map(|(time, value)| json!({"sample": value, "timestamp": time}));
    details["samples"] = samples.collect();
    Some(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_need_an_age_and_a_step() {
        let read = |query| Windows::read(Some(query));
        assert_eq!(read("lengths_age=60&lengths_incr=5").lengths, Some(Window { age: 60_000, step: 5_000 }));
        for query in ["", "lengths_age=60", "lengths_age=60&lengths_incr=0", "lengths_age=a&lengths_incr=5"] {
            assert!(!read(query).wants_row(), "{query}");
        }
    }

    #[test]
    fn samples_go_back_as_far_as_something_is_known() {
        let row: Vec<(u64, u64)> = (0..4).rev().map(|at| (at * 5_000, at * 10)).collect();
        let rates = Rates { per_second: vec![2.0], rows: vec![row] };
        let mut into = Map::new();
        let window = Some(Window { age: 60_000, step: 5_000 });
        write(&mut into, &["ack"], &[30], 0, Some(&rates), window);
        let details = &into["ack_details"];
        assert_eq!(details["samples"].as_array().unwrap().len(), 4);
        assert_eq!(
            (&details["avg"], &details["avg_rate"], &details["rate"]),
            (&json!(15.0), &json!(2.0), &json!(2.0))
        );
        assert_eq!(details["samples"][1], json!({"sample": 20, "timestamp": 10_000}));
    }
}
