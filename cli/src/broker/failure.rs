//! Why a command was not carried out: what was wrong, what to do, and of what kind it is, from which exit codes follow.

use std::fmt;
use std::io;

/// Of what kind a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command makes no sense as it was given.
    Usage,
    /// The broker answered with no; it may be asked again when something else is different (400, 409, 5xx).
    Refused,
    /// The caller may not (401, 403), or not from here.
    NotAllowed,
    /// What it is about is not there (404).
    NotFound,
    Unreachable,
    TimedOut,
    /// Standard output takes no more.
    Output,
}

/// One line for people: what was wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    /// What was wrong, without a full stop.
    pub what: String,
    /// What to do, as whole sentences; empty where that is plain.
    pub advice: String,
    /// The HTTP status, where the broker has answered.
    pub status: Option<u16>,
    /// The `reason` of the broker's answer, as it was said.
    pub reason: Option<String>,
}

impl Failure {
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>) -> Failure {
        Failure { kind, what: what.into(), advice: String::new(), status: None, reason: None }
    }

    #[must_use]
    pub fn usage(what: impl Into<String>) -> Failure {
        Failure::new(Kind::Usage, what)
    }

    /// What was to be printed could not be. Where nobody reads it any more, as behind `| head`, that is worth no words.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "it is named where errors are mapped")]
    pub fn output(error: io::Error) -> Failure {
        let hung_up = error.kind() == io::ErrorKind::BrokenPipe;
        let what = if hung_up { String::new() } else { format!("standard output: {error}") };
        Failure::new(Kind::Output, what)
    }

    /// With what to do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Failure {
        self.advice = advice.into();
        self
    }

    /// Said of this thing, as in "the queue 'orders' in vhost '/'", where it is not there.
    #[must_use]
    pub fn about(mut self, thing: impl fmt::Display) -> Failure {
        if self.kind == Kind::NotFound {
            self.what = format!("{thing} does not exist");
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { what, advice, .. } = self;
        if advice.is_empty() { f.write_str(what) } else { write!(f, "{what}. {advice}") }
    }
}

impl std::error::Error for Failure {}
