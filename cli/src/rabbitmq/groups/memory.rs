//! What the broker's memory is for, and how amounts of it are written.

use serde_json::{Map, Value, json};

use crate::broker::{Failure, Path};
use crate::rabbitmq::call::Call;
use crate::rabbitmq::options::text;
use crate::rabbitmq::output::Output;
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{Answer, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::Invalid;

pub(super) const VERBS: &[Verb] = &[verb(
    "memory_breakdown",
    "[--unit <unit>] [--timeout <timeout>]",
    "Says what the broker's memory is for",
    |call| {
        let breakdown = breakdown(call)?;
        let mut lines = breakdown.lines(Unit::of(call));
        lines.push(String::new());
        Ok(Output::Document { text: lines.join("\n") + "\n", term: Term::of(&breakdown.shares()) }) as Answer
    },
)
.of(DIAGNOSTICS)
.with(&[text("unit")])
.checks(has_unit)
.says(|call| format!("Reporting memory breakdown on node {}...", call.node()))];

/// In what amounts of memory are written.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Bytes,
    Megabytes,
    Gigabytes,
}

pub(super) fn has_unit(call: &Call<'_>) -> Result<(), Invalid> {
    match call.words.text("unit") {
        None | Some("bytes" | "mb" | "gb") => Ok(()),
        Some(other) => {
            let what = format!("\"unit '{other}' is not supported. Please use one of: bytes, mb, gb\"");
            Err(Invalid::usage(what))
        }
    }
}

impl Unit {
    pub(super) fn of(call: &Call<'_>) -> Unit {
        match call.words.text("unit") {
            Some("bytes") => Unit::Bytes,
            Some("mb") => Unit::Megabytes,
            _ => Unit::Gigabytes,
        }
    }

    /// With four digits behind the point at the most, of which none at the end is zero.
    #[allow(clippy::cast_precision_loss)] // Nobody counts 9 PB by the byte.
    pub(super) fn amount(self, bytes: u64) -> String {
        let (divisor, unit) = match self {
            Unit::Bytes => return format!("{bytes} bytes"),
            Unit::Megabytes => (1e6, "mb"),
            Unit::Gigabytes => (1e9, "gb"),
        };
        let amount = (bytes as f64 / divisor * 1e4).round() / 1e4;
        // Erlang has a point in every float.
        if amount.fract() == 0.0 { format!("{amount:.1} {unit}") } else { format!("{amount} {unit}") }
    }
}

/// How much memory there is in all, and the parts of it that are known.
pub(super) struct Breakdown {
    pub(super) total: u64,
    parts: Vec<(String, u64)>,
}

pub(super) fn breakdown(call: &Call<'_>) -> Result<Breakdown, Failure> {
    let memory = call.get(Path::api("leveret/memory"))?;
    let parts = memory["parts"].as_object().into_iter().flatten();
    let mut parts: Vec<(String, u64)> =
        parts.map(|(name, bytes)| (name.clone(), bytes.as_u64().unwrap_or_default())).collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Ok(Breakdown { total: memory["total"].as_u64().unwrap_or_default(), parts })
}

impl Breakdown {
    pub(super) fn lines(&self, unit: Unit) -> Vec<String> {
        let line = |(name, bytes): &(String, u64)| {
            format!("{name}: {} ({}%)", unit.amount(*bytes), self.percentage(*bytes))
        };
        self.parts.iter().map(line).collect()
    }

    pub(super) fn json(&self) -> Value {
        let mut fields: Map<String, Value> =
            self.parts.iter().map(|(name, bytes)| (name.clone(), json!(bytes))).collect();
        fields.insert("strategy".to_owned(), json!("rss"));
        fields.insert("total".to_owned(), json!({ "rss": self.total }));
        Value::Object(fields)
    }

    fn shares(&self) -> Value {
        let share = |(name, bytes): &(String, u64)| {
            (name.clone(), json!({ "bytes": bytes, "percentage": self.percentage(*bytes) }))
        };
        Value::Object(self.parts.iter().map(share).collect())
    }

    #[allow(clippy::cast_precision_loss)] // It is rounded to two digits anyway.
    fn percentage(&self, bytes: u64) -> f64 {
        (bytes as f64 / self.total.max(1) as f64 * 1e4).round() / 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_digits_that_matter() {
        assert_eq!(Unit::Gigabytes.amount(163_800_000), "0.1638 gb");
        assert_eq!(Unit::Gigabytes.amount(50_000_000), "0.05 gb");
        assert_eq!(Unit::Megabytes.amount(96_940_000), "96.94 mb");
        assert_eq!(Unit::Megabytes.amount(0), "0.0 mb");
        assert_eq!(Unit::Bytes.amount(7), "7 bytes");
    }

    #[test]
    fn parts_are_told_in_percent_of_the_whole() {
        let breakdown = Breakdown { total: 200, parts: vec![("messages".to_owned(), 55)] };
        assert_eq!(breakdown.lines(Unit::Bytes), ["messages: 55 bytes (27.5%)"]);
    }
}
