//! What a run needs to know besides its workload, and the line that tells people how far it is.

use std::io::{IsTerminal, Write, stderr};
use std::path::Path;

use crate::outcome::Outcome;
use crate::target::Uri;

/// One run of a workload against one broker.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) uri: &'a Uri,
    /// The broker's process, where it is known and on this machine.
    pub(crate) pid: Option<u32>,
    /// Length of the measured window.
    pub(crate) seconds: f64,
    /// Where the bare append and sync is measured.
    pub(crate) disk: Option<&'a Path>,
    /// Starts the broker again and prints its process id on the last line.
    pub(crate) restart_command: Option<&'a str>,
    /// What is being run, for the line.
    pub(crate) title: String,
}

/// How a run ended, if not by an error.
#[derive(Debug)]
pub(crate) enum Ran {
    Done(Outcome),
    /// Why it could not be run with what was given.
    Skipped(&'static str),
}

impl Job<'_> {
    /// Shows where the run is; on a terminal the line is written over by the next one, elsewhere nothing is shown.
    pub(crate) fn tell(&self, state: &str) {
        let mut terminal = stderr();
        if terminal.is_terminal() {
            // Nobody is hurt where the line cannot be written.
            let _ = write!(terminal, "\r\x1b[K{}: {state}", self.title);
            let _ = terminal.flush();
        }
    }
}

/// Ends the line, so that what is printed next stands by itself.
pub(crate) fn clear_line() {
    let mut terminal = stderr();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r\x1b[K");
        let _ = terminal.flush();
    }
}
