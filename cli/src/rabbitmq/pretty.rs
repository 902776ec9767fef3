//! Tables with lines around them, drawn with the line characters of VT100 terminals, as RabbitMQ draws them.

use super::term::Term;

/// Starts and ends characters that are lines.
const LINES: &str = "\u{1b}(0";
const TEXT: &str = "\u{1b}(B";

/// The table, with its end; where there are no rows, one that says so.
pub(super) fn table(columns: &[String], rows: &[Vec<Term>]) -> String {
    if rows.is_empty() {
        return table(&["Output".to_owned()], &[vec![Term::from("[]")]]);
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let widest = cells.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count()).max();
            widest.unwrap_or_default().max(name.chars().count())
        })
        .collect();
    let bar = format!("{LINES}x{TEXT}");
    let rule = |[left, between, right]: [&str; 3]| {
        let columns: Vec<String> = widths.iter().map(|width| "q".repeat(width + 2)).collect();
        format!("{LINES}{left}{}{right}{TEXT}\n", columns.join(between))
    };
    let row = |cells: &[String], shown: fn(&str) -> String| {
        let cells: Vec<String> = widths
            .iter()
            .zip(cells)
            .map(|(width, cell)| format!(" {}{} ", shown(cell), " ".repeat(width - cell.chars().count())))
            .collect();
        format!("{bar}{}{bar}\n", cells.join(&bar))
    };
    let mut text = rule(["l", "w", "k"]);
    text.push_str(&row(columns, |name| format!("\u{1b}[1m{name}\u{1b}[0m")));
    for cells in &cells {
        text.push_str(&rule(["t", "n", "u"]));
        text.push_str(&row(cells, str::to_owned));
    }
    text + &rule(["m", "v", "j"])
}

/// Lists lose what stands between their items there.
fn cell(term: &Term) -> String {
    match term {
        Term::List(items) => items.iter().map(cell).collect(),
        other => other.cell(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let columns = ["user".to_owned(), "tags".to_owned()];
        let rows = [
            vec![Term::from("ü"), Term::List(vec![Term::atom("a"), Term::atom("b")])],
            vec![Term::from("guest"), Term::List(vec![])],
        ];
        let drawn = table(&columns, &rows).replace(LINES, "<").replace(TEXT, ">");
        let drawn = drawn.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        assert_eq!(
            drawn,
            "<lqqqqqqqwqqqqqqk>\n<x> user  <x> tags <x>\n<tqqqqqqqnqqqqqqu>\n<x> ü     <x> ab   <x>\n\
             <tqqqqqqqnqqqqqqu>\n<x> guest <x>      <x>\n<mqqqqqqqvqqqqqqj>\n"
        );
        assert!(table(&columns, &[]).contains("Output"));
    }
}
