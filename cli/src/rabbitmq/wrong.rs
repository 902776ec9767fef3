//! Why a verb was not carried out, with RabbitMQ's exit code and, where people know it, its text.

use crate::broker::{Failure, Kind};

pub(super) const USAGE: u8 = 64;
pub(super) const DATA_ERROR: u8 = 65;
pub(super) const NO_USER: u8 = 67;
pub(super) const UNAVAILABLE: u8 = 69;
pub(super) const SOFTWARE: u8 = 70;
pub(super) const TEMPORARY: u8 = 75;
pub(super) const NOT_PERMITTED: u8 = 77;

/// What was wrong, and the exit code that follows.
#[derive(Debug)]
pub(super) enum Wrong {
    /// As it is to be printed.
    Said(u8, String),
    /// The broker refused, or was not reached.
    Failed(Failure),
    Invalid(Invalid),
}

/// The command line makes no sense.
#[derive(Debug)]
pub(super) struct Invalid {
    pub(super) code: u8,
    pub(super) what: String,
    /// What is wrong is not the line but how the node is.
    pub(super) is_of_node: bool,
}

impl Wrong {
    /// A text below the word that errors begin with.
    pub(super) fn error(code: u8, text: impl AsRef<str>) -> Wrong {
        Wrong::Said(code, format!("Error:\n{}", text.as_ref()))
    }

    /// A text without that.
    pub(super) fn bare(code: u8, text: impl Into<String>) -> Wrong {
        Wrong::Said(code, text.into())
    }
}

impl Invalid {
    pub(super) fn usage(what: impl Into<String>) -> Invalid {
        Invalid { code: USAGE, what: what.into(), is_of_node: false }
    }

    /// An argument that cannot be.
    pub(super) fn argument(what: &str) -> Invalid {
        Invalid { code: DATA_ERROR, what: format!("Bad argument: {what}"), is_of_node: false }
    }
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Wrong {
        Wrong::Failed(failure)
    }
}

impl From<Invalid> for Wrong {
    fn from(invalid: Invalid) -> Wrong {
        Wrong::Invalid(invalid)
    }
}

/// The exit code and the text of a failure: of the verb, and on the node, by these names, and after so many milliseconds at the most.
pub(super) fn failed(failure: &Failure, verb: &str, node: &str, patience: u128) -> (u8, String) {
    match failure.kind {
        Kind::TimedOut => (
            TEMPORARY,
            format!("Error: operation {verb} on node {node} timed out. Timeout value used: {patience}"),
        ),
        Kind::Unreachable => {
            (UNAVAILABLE, format!("Error: unable to perform an operation on node '{node}': {failure}"))
        }
        Kind::NotAllowed if failure.status.is_none() => {
            (NOT_PERMITTED, format!("Error: unable to perform an operation on node '{node}': {failure}"))
        }
        Kind::NotAllowed => (NOT_PERMITTED, format!("Error:\n{failure}")),
        Kind::Output => (SOFTWARE, format!("Error:\n{failure}")),
        Kind::Usage => (USAGE, format!("Error:\n{failure}")),
        Kind::Refused | Kind::NotFound => {
            let said = failure.reason.clone().unwrap_or_else(|| failure.to_string());
            (UNAVAILABLE, format!("Error:\n{said}"))
        }
    }
}
