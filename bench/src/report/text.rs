//! The table in the terminal.

use std::fmt::Write;

use super::{Line, Report, WorkloadReport};
use crate::format;
use crate::stats::{Better, Summary, Unit};

/// What was compared, and where.
pub(crate) fn heading(report: &Report) -> String {
    let machine = &report.machine;
    let memory = format::value(Unit::Bytes, machine.memory as f64);
    let mut text = format!(
        "{}, {} cores, {memory}, Linux {}; {} rounds of {} s\n",
        machine.processor, machine.cores, machine.kernel, report.rounds, report.seconds
    );
    if let Some(caution) = report.caution() {
        let _ = writeln!(text, "{caution}");
    }
    for broker in &report.brokers {
        let _ = writeln!(text, "{}: {}", broker.name, broker.server);
    }
    if report.brokers.len() > 1 {
        text.push_str("median (min to max); the ratio says how many times better the first broker is\n");
    }
    text
}

/// One workload: a line per figure, a column per broker.
pub(crate) fn table(report: &Report, workload: &WorkloadReport) -> String {
    let mut text = format!("\n{}: {}\n", workload.name, workload.about);
    if !workload.lines.is_empty() {
        let names = report.brokers.iter().map(|broker| broker.name.clone());
        let mut rows = vec![std::iter::once(String::new()).chain(names).collect()];
        rows.extend(workload.lines.iter().map(row));
        text.push_str(&aligned(&rows));
    }
    for trouble in &workload.troubles {
        let _ = writeln!(text, "  {}: {}", trouble.broker, trouble.what);
    }
    text
}

fn row(line: &Line) -> Vec<String> {
    let mut cells = vec![line.label.to_owned()];
    for (n, summary) in line.brokers.iter().enumerate() {
        let mut cell = summary.as_ref().map_or_else(|| "-".to_owned(), |found| spread(line.unit, found));
        if let (1.., Some(Some(ratio)), false) = (n, line.advantage.get(n), line.better == Better::Neither) {
            let _ = write!(cell, "  {}", format::times(*ratio));
        }
        cells.push(cell);
    }
    cells
}

/// The median, and the extremes where there are any.
pub(super) fn spread(unit: Unit, summary: &Summary) -> String {
    let value = |value| format::value(unit, value);
    if summary.values.len() < 2 {
        return value(summary.median);
    }
    format!("{} ({} to {})", value(summary.median), value(summary.min), value(summary.max))
}

/// Columns as wide as their widest cell.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let widths: Vec<_> = (0..columns)
        .map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let padded: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "  {}", padded.join("   ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [vec!["a".into(), "bb".into()], vec!["ccc".into(), "µ".into(), "e".into()]];
        assert_eq!(aligned(&rows), "  a     bb\n  ccc   µ    e\n");
    }

    #[test]
    fn a_row_shows_median_spread_and_ratio() {
        let workload = super::super::tests::report();
        let cells = row(&workload.lines[0]);
        assert_eq!(cells, ["messages/s", "200 (100 to 300)", "100  2.00x", "-"]);
    }
}
