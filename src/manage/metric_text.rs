//! Prometheus's text: lines of samples behind the head of their family, and what a family is. Which there are is not known here.

use std::fmt::{Display, Write};

use crate::model::counters::Histogram;

/// What Prometheus takes a family for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Untyped,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Untyped => "untyped",
        }
    }
}

/// A text that families are written to, one after the other.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# TYPE {name} {}\n# HELP {name} {help}", kind.as_str());
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            let mut left = *text;
            while let Some(at) = left.find(['\\', '"', '\n']) {
                let (before, special) = left.split_at(at);
                self.0.push_str(before);
                self.0.push_str(match special.as_bytes().first() {
                    Some(b'"') => "\\\"",
                    Some(b'\n') => "\\n",
                    _ => "\\\\",
                });
                left = &special[1..];
            }
            self.0.push_str(left);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

/// Where the samples of one family are written.
pub(super) struct Samples<'a> {
    pub(super) text: &'a mut Text,
    pub(super) name: &'a str,
}

impl Samples<'_> {
    pub(super) fn one(&mut self, value: impl Display) {
        self.text.sample(self.name, &[], value);
    }

    pub(super) fn labelled(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.sample(self.name, labels, value);
    }

    /// `bounds` as they are to be read; `sum` of all values in the same unit.
    pub(super) fn histogram<const CLASSES: usize>(
        &mut self,
        labels: &[(&str, &str)],
        bounds: impl Iterator<Item = String>,
        histogram: &Histogram<CLASSES>,
        sum: impl Display,
    ) {
        let bucket = format!("{}_bucket", self.name);
        let mut up_to = 0;
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(histogram.counts) {
            up_to += count;
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            self.text.sample(&bucket, &with_bound, up_to);
        }
        self.text.sample(&format!("{}_count", self.name), labels, up_to);
        self.text.sample(&format!("{}_sum", self.name), labels, sum);
    }
}

/// Seconds of so many millionths.
#[allow(clippy::cast_precision_loss, reason = "no time is that long")]
pub(super) fn of_micros(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

/// Seconds of so many thousandths.
#[allow(clippy::cast_precision_loss, reason = "no time is that long")]
pub(super) fn of_millis(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.sample("a", &[("b", "c\"\\\n"), ("d", "e")], 1);
        assert_eq!(text.0, "a{b=\"c\\\"\\\\\\n\",d=\"e\"} 1\n");
    }

    #[test]
    fn a_bucket_has_all_that_is_no_larger_than_its_bound() {
        let (mut text, mut histogram) = (Text::default(), Histogram::<3>::default());
        [1, 2, 5, 9].into_iter().for_each(|value| histogram.add(&[1, 5], value));
        let bounds = ["1.0", "5.0"].into_iter().map(str::to_owned);
        Samples { text: &mut text, name: "a" }.histogram(&[("b", "c")], bounds, &histogram, 17);
        let lines = [
            "a_bucket{b=\"c\",le=\"1.0\"} 1",
            "a_bucket{b=\"c\",le=\"5.0\"} 3",
            "a_bucket{b=\"c\",le=\"+Inf\"} 4",
            "a_count{b=\"c\"} 4",
            "a_sum{b=\"c\"} 17",
        ];
        assert_eq!(text.0.lines().collect::<Vec<_>>(), lines);
    }
}
