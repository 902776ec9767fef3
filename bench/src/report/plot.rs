//! Drawings for the page: bars with their spread, and latency curves, as plain SVG.

use std::fmt::Write;

use super::Line;
use crate::format;
use crate::stats::{Quantile, Unit};

const WIDTH: f64 = 640.0;
/// Where bars begin, behind the names.
const LEFT: f64 = 130.0;
/// Where the longest bar ends, before the value.
const RIGHT: f64 = 540.0;
const BAR: f64 = 22.0;
const HEIGHT: f64 = 240.0;

/// A bar per broker; the thin line is the way from the least to the most.
pub(super) fn bars(line: &Line, names: &[&str]) -> String {
    let most = line.brokers.iter().flatten().map(|summary| summary.max).fold(f64::MIN_POSITIVE, f64::max);
    let at = |value: f64| LEFT + (RIGHT - LEFT) * value / most;
    let mut svg = open(BAR * names.len() as f64 + 6.0, line.label);
    for (n, (name, summary)) in names.iter().zip(&line.brokers).enumerate() {
        let top = BAR * n as f64 + 4.0;
        let base = top + 13.0;
        let _ = write!(svg, "<text x='{}' y='{base}' text-anchor='end'>{}</text>", LEFT - 8.0, escape(name));
        let Some(summary) = summary else {
            let _ = write!(svg, "<text x='{LEFT}' y='{base}'>-</text>");
            continue;
        };
        let (middle, width) = (top + 8.0, (at(summary.median) - LEFT).max(1.0));
        let _ = write!(
            svg,
            "<rect class='b{n}' x='{LEFT}' y='{top}' width='{width:.1}' height='16' rx='2'/>\
             <path class='spread' d='M{:.1} {middle}H{:.1}'/>\
             <text x='{:.1}' y='{base}'>{}</text>",
            at(summary.min),
            at(summary.max),
            at(summary.max) + 8.0,
            format::value(line.unit, summary.median),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Ratios on a logarithmic scale: to the right of the line the first broker is better.
pub(super) fn ratios(rows: &[(&str, f64)]) -> String {
    let reach = rows.iter().map(|(_, ratio)| ratio.log10().abs()).fold(0.3, f64::max);
    let middle = if rows.iter().all(|(_, ratio)| *ratio >= 1.0) { LEFT } else { f64::midpoint(LEFT, RIGHT) };
    let mut svg = open(BAR * rows.len() as f64 + 6.0, "how many times better the first broker is");
    for (n, (name, ratio)) in rows.iter().enumerate() {
        let top = BAR * n as f64 + 4.0;
        let end = middle + (RIGHT - middle) * ratio.log10() / reach;
        let (from, width) = (middle.min(end), (end - middle).abs().max(1.0));
        let class = if *ratio >= 1.0 { "b0" } else { "b1" };
        let _ = write!(
            svg,
            "<text x='{}' y='{}' text-anchor='end'>{}</text>\
             <rect class='{class}' x='{from:.1}' y='{top}' width='{width:.1}' height='16' rx='2'/>\
             <text x='{:.1}' y='{}'>{}</text>",
            LEFT - 8.0,
            top + 13.0,
            escape(name),
            end.max(middle) + 8.0,
            top + 13.0,
            format::times(*ratio),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Latency over the share of messages, both axes logarithmic: 90%, 99%, 99.9% are equally far apart.
pub(super) fn curves(curves: &[Vec<Quantile>]) -> String {
    let points = || curves.iter().flatten().map(|point| point.micros.max(1.0));
    let low = points().fold(f64::MAX, f64::min).log10().floor();
    let high = points().fold(1.0, f64::max).log10().ceil().max(low + 1.0);
    let (top, bottom, left) = (10.0, HEIGHT - 24.0, 70.0);
    let x = |quantile: f64| left + (WIDTH - 20.0 - left) * -(1.0 - quantile.min(0.99999)).log10() / 5.0;
    let y = |micros: f64| bottom - (bottom - top) * (micros.max(1.0).log10() - low) / (high - low);
    let mut svg = open(HEIGHT, "latency over the share of messages");
    let mut exponent = low;
    while exponent <= high {
        let micros = 10f64.powf(exponent);
        let _ = write!(
            svg,
            "<path class='grid' d='M{left} {0:.1}H{1}'/><text x='{2}' y='{3:.1}' text-anchor='end'>{4}</text>",
            y(micros),
            WIDTH - 20.0,
            left - 8.0,
            y(micros) + 4.0,
            format::value(Unit::Micros, micros)
        );
        exponent += 1.0;
    }
    for (quantile, name) in [(0.0, "0"), (0.9, "90%"), (0.99, "99%"), (0.999, "99.9%"), (0.9999, "99.99%")] {
        let _ = write!(
            svg,
            "<text x='{:.1}' y='{}' text-anchor='middle'>{name}</text>",
            x(quantile),
            HEIGHT - 6.0
        );
    }
    for (n, curve) in curves.iter().enumerate() {
        let points: Vec<_> =
            curve.iter().map(|point| format!("{:.1},{:.1}", x(point.quantile), y(point.micros))).collect();
        let _ = write!(svg, "<polyline class='c{n}' points='{}'/>", points.join(" "));
    }
    svg.push_str("</svg>");
    svg
}

/// Text as it may stand in HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&quot;")
}

fn open(height: f64, title: &str) -> String {
    format!("<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label='{}'>", escape(title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_ends_at_the_edge_whatever_the_values() {
        let workload = super::super::tests::report();
        let svg = bars(&workload.lines[0], &["a", "<b>", "c"]);
        assert!(svg.contains("H540.0") && svg.contains("&lt;b&gt;") && !svg.contains("<b>"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn drawings_hold_only_numbers_that_are_numbers() {
        let flat = vec![Quantile { quantile: 1.0, micros: 0.0 }, Quantile { quantile: 0.5, micros: 7.0 }];
        for svg in [curves(&[flat, Vec::new()]), ratios(&[("t16", 1.0), ("t1k", 0.2)]), ratios(&[])] {
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
