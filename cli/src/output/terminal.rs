//! Whether a terminal is looked at, how wide it is, and whether it likes colours.

use std::io::{self, IsTerminal};

use rustix::termios::tcgetwinsize;

/// Columns and lines of a terminal that does not say how many it has.
const USUAL_WIDTH: usize = 80;
const USUAL_HEIGHT: usize = 24;

/// The terminal behind standard output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) is_coloured: bool,
}

impl Terminal {
    /// None where standard output is a pipe or a file.
    pub(crate) fn of_output() -> Option<Terminal> {
        let out = io::stdout();
        if !out.is_terminal() {
            return None;
        }
        let size = tcgetwinsize(&out).ok();
        let said = |number: Option<u16>| number.map(usize::from).filter(|number| *number > 0);
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Some(Terminal {
            width: said(size.map(|size| size.ws_col)).unwrap_or(USUAL_WIDTH),
            height: said(size.map(|size| size.ws_row)).unwrap_or(USUAL_HEIGHT),
            is_coloured: !is_set("NO_COLOR") && !is_dumb,
        })
    }
}
