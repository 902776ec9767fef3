//! A verb of the tools, as the tables of the groups describe it: how it is called, what it says first, and what it does.

use super::call::Call;
use super::options::Switch;
use super::output::Output;
use super::wrong::{Invalid, Wrong};

pub(super) type Answer = Result<Output, Wrong>;

/// The tools that have a verb, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tools(u8);

pub(super) const CTL: Tools = Tools(1);
pub(super) const DIAGNOSTICS: Tools = Tools(2);
pub(super) const QUEUES: Tools = Tools(4);
pub(super) const PLUGINS: Tools = Tools(8);
pub(super) const UPGRADE: Tools = Tools(16);

impl Tools {
    pub(super) const fn and(self, other: Tools) -> Tools {
        Tools(self.0 | other.0)
    }

    pub(super) const fn have(self, tool: Tools) -> bool {
        self.0 & tool.0 != 0
    }

    /// The tool of this name.
    pub(super) fn named(name: &str) -> Option<Tools> {
        Some(match name {
            "rabbitmqctl" => CTL,
            "rabbitmq-diagnostics" => DIAGNOSTICS,
            "rabbitmq-queues" => QUEUES,
            "rabbitmq-plugins" => PLUGINS,
            "rabbitmq-upgrade" => UPGRADE,
            _ => return None,
        })
    }
}

/// Any number of arguments.
pub(super) const ANY: usize = usize::MAX;

pub(super) struct Verb {
    pub(super) name: &'static str,
    /// What stands behind the name in its usage.
    pub(super) usage: &'static str,
    /// What it does, for `help`.
    pub(super) about: &'static str,
    pub(super) tools: Tools,
    /// How few and how many arguments it takes.
    pub(super) arguments: (usize, usize),
    pub(super) switches: &'static [Switch],
    pub(super) check: fn(&Call<'_>) -> Result<(), Invalid>,
    /// What is said before it is begun, unless that is to be quiet; empty: nothing.
    pub(super) banner: fn(&Call<'_>) -> String,
    pub(super) act: fn(&Call<'_>) -> Answer,
    /// What a check says that a node which answers passes.
    pub(super) passes: Option<fn(&Call<'_>) -> String>,
    /// Why a verb that is always refused makes no sense here.
    pub(super) why: &'static str,
}

/// A verb of rabbitmqctl without arguments that says nothing first.
pub(super) const fn verb(
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    act: fn(&Call<'_>) -> Answer,
) -> Verb {
    Verb {
        name,
        usage,
        about,
        tools: CTL,
        arguments: (0, 0),
        switches: &[],
        check: |_| Ok(()),
        banner: |_| String::new(),
        act,
        passes: None,
        why: "",
    }
}

impl Verb {
    pub(super) const fn of(self, tools: Tools) -> Verb {
        Verb { tools, ..self }
    }

    /// How few and how many arguments.
    pub(super) const fn takes(self, few: usize, many: usize) -> Verb {
        Verb { arguments: (few, many), ..self }
    }

    pub(super) const fn with(self, switches: &'static [Switch]) -> Verb {
        Verb { switches, ..self }
    }

    /// What is looked at before anything is said or done.
    pub(super) const fn checks(self, check: fn(&Call<'_>) -> Result<(), Invalid>) -> Verb {
        Verb { check, ..self }
    }

    pub(super) const fn says(self, banner: fn(&Call<'_>) -> String) -> Verb {
        Verb { banner, ..self }
    }
}
