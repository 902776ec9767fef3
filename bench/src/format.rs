//! Numbers for people.

use crate::stats::Unit;

/// Three digits that count, and the unit.
pub(crate) fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count => scaled(value, &[(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")]),
        Unit::Bytes => scaled(
            value,
            &[(f64::from(1 << 30), " GB"), (f64::from(1 << 20), " MB"), (1024.0, " KB"), (1.0, " B")],
        ),
        Unit::Micros => scaled(value, &[(1e6, " s"), (1e3, " ms"), (1.0, " µs")]),
        Unit::Seconds => scaled(value, &[(1.0, " s"), (1e-3, " ms"), (1e-6, " µs")]),
        Unit::Times => digits(value),
    }
}

/// A ratio, with its cross.
pub(crate) fn times(value: f64) -> String {
    format!("{}x", digits(value))
}

fn scaled(value: f64, steps: &[(f64, &str)]) -> String {
    let fitting = steps.iter().find(|(size, _)| value.abs() >= *size).or(steps.last());
    fitting.map_or_else(|| digits(value), |(size, name)| format!("{}{name}", digits(value / size)))
}

fn digits(value: f64) -> String {
    let after_point = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.after_point$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(value(Unit::Count, 1_531_000.0), "1.53M");
        assert_eq!(value(Unit::Count, 116_400.0), "116k");
        assert_eq!(value(Unit::Count, 34.0), "34.0");
        assert_eq!(value(Unit::Bytes, 12.0 * 1024.0), "12.0 KB");
        assert_eq!(value(Unit::Micros, 2500.0), "2.50 ms");
        assert_eq!(value(Unit::Seconds, 0.25), "250 ms");
        assert_eq!(value(Unit::Count, 0.0), "0.00");
        assert_eq!(times(25.04), "25.0x");
    }
}
