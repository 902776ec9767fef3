//! Tables of the tool of RabbitMQ 4.3: with lines around them, or bare for scripts.

use super::options::Options;

#[derive(Clone, Copy)]
pub(super) enum Style {
    /// Lines of Unicode, with round corners.
    Modern,
    Ascii,
    /// No lines and no heads.
    Bare,
}

/// Corners and lines of a row: left, between, right, and what fills it.
type Rule = (&'static str, &'static str, &'static str, &'static str);

impl Style {
    pub(super) fn of(options: &Options) -> Style {
        match options.text("table-style") {
            _ if options.is("non-interactive") => Style::Bare,
            Some("ascii") => Style::Ascii,
            Some("borderless") => Style::Bare,
            _ => Style::Modern,
        }
    }

    /// Above, below the heads, and at the end.
    fn rules(self) -> [Rule; 3] {
        match self {
            Style::Modern => [("╭", "┬", "╮", "─"), ("├", "┼", "┤", "─"), ("╰", "┴", "╯", "─")],
            Style::Ascii | Style::Bare => [("+", "+", "+", "-"); 3],
        }
    }
}

pub(super) fn table(columns: &[String], rows: &[Vec<String>], style: Style) -> String {
    let is_bare = matches!(style, Style::Bare);
    let width = |place: usize| {
        let cells = rows.iter().map(|row| row[place].chars().count());
        let head = if is_bare { 0 } else { columns[place].chars().count() };
        cells.chain([head]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let padded = |cells: &[String]| -> Vec<String> {
        cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect()
    };
    if is_bare {
        return rows.iter().map(|row| padded(row).join("  ") + " \n").collect();
    }
    let rule = |(left, between, right, fill): Rule| {
        let lines: Vec<String> = widths.iter().map(|width| fill.repeat(width + 2)).collect();
        format!("{left}{}{right}\n", lines.join(between))
    };
    let bar = if matches!(style, Style::Ascii) { "|" } else { "│" };
    let row = |cells: &[String]| format!("{bar} {} {bar}\n", padded(cells).join(&format!(" {bar} ")));
    let [above, between, below] = style.rules();
    let body: String = rows.iter().map(|cells| row(cells)).collect();
    rule(above) + &row(columns) + &rule(between) + &body + &rule(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_has_its_lines() {
        let (columns, rows) = (["key".to_owned()], [vec!["value".to_owned()]]);
        assert_eq!(
            table(&columns, &rows, Style::Modern),
            "╭───────╮\n│ key   │\n├───────┤\n│ value │\n╰───────╯\n"
        );
        assert_eq!(
            table(&columns, &rows, Style::Ascii),
            "+-------+\n| key   |\n+-------+\n| value |\n+-------+\n"
        );
        assert_eq!(table(&columns, &rows, Style::Bare), "value \n");
    }
}
