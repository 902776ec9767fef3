//! Policies as administrators give them, and what they apply to. Which keys there are and what follows of them is the
//! broker's.

use leveret_codec::table::FieldTable;
use serde::{Deserialize, Serialize};

use super::AdministrationError;
use crate::model::ids::Name;

/// Of each kind at most one policy applies to a queue or exchange (semantics 17.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyKind {
    Regular,
    /// Bounds what regular policies and arguments ask for (semantics 17.2).
    Operator,
}

/// A policy as an administrator gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySpec {
    /// A regular expression, searched for in names without anchors.
    pub pattern: Name,
    pub apply_to: ApplyTo,
    /// The highest of those that match applies.
    pub priority: i64,
    /// Keys and values of policies (semantics 17.3).
    pub definition: FieldTable,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApplyTo {
    #[default]
    All,
    Queues,
    ClassicQueues,
    QuorumQueues,
    Streams,
    Exchanges,
}

impl ApplyTo {
    /// The word in definitions and listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ApplyTo::All => "all",
            ApplyTo::Queues => "queues",
            ApplyTo::ClassicQueues => "classic_queues",
            ApplyTo::QuorumQueues => "quorum_queues",
            ApplyTo::Streams => "streams",
            ApplyTo::Exchanges => "exchanges",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Result<ApplyTo, AdministrationError> {
        use ApplyTo::{All, ClassicQueues, Exchanges, Queues, QuorumQueues, Streams};
        [All, Queues, ClassicQueues, QuorumQueues, Streams, Exchanges]
            .into_iter()
            .find(|apply_to| apply_to.as_str() == word)
            .ok_or_else(|| {
                AdministrationError::validation(format!(
                    "apply-to '{word}' unrecognised; should be one of: 'queues', 'classic_queues',  \
                     'quorum_queues', 'streams', 'exchanges', or 'all'"
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_applies_to_is_read_as_it_is_written() {
        assert_eq!(ApplyTo::parse("quorum_queues"), Ok(ApplyTo::QuorumQueues));
        let refused = ApplyTo::parse("topics").unwrap_err();
        assert!(refused.to_string().contains("apply-to 'topics' unrecognised"), "{refused}");
    }
}
