//! What is found wrong in a data directory, and what it means for what was confirmed: the words in which a start and
//! `verify` report it. How it is found is not known here.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::ids::QueueId;

/// Queues of which a census tells how many messages; those with the most.
const MOST_TOLD: usize = 16;

/// What follows from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consequence {
    /// Confirmed messages, or what was declared, are or may be gone. A start is refused until the operator accepts it.
    Lost,
    /// It is kept where it is and not served until the operator decides.
    Quarantined,
    /// Messages that were settled, or were delivered, come again.
    Redelivers,
    /// Nothing is gone: it was made good from what lies elsewhere.
    Repaired,
}

/// How many messages of which queues: as last counted, so there may be fewer by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// At most [`MOST_TOLD`] of them.
    pub queues: BTreeMap<QueueId, u64>,
    /// Messages of all other queues together.
    pub others: u64,
}

impl Census {
    /// Of what each queue has; what does not fit into a report is summed up.
    #[must_use]
    pub fn of(queues: &BTreeMap<QueueId, u64>) -> Census {
        let mut all: Vec<_> =
            queues.iter().map(|(&queue, &count)| (queue, count)).filter(|queue| queue.1 > 0).collect();
        all.sort_by_key(|&(queue, count)| (std::cmp::Reverse(count), queue));
        let rest = all.split_off(all.len().min(MOST_TOLD));
        Census { queues: all.into_iter().collect(), others: rest.iter().map(|(_, count)| count).sum() }
    }

    /// Messages of all queues.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.queues.values().sum::<u64>() + self.others
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages", self.messages())?;
        let told = self.queues.iter().map(|(queue, count)| format!("queue {queue}: {count}"));
        let others = (self.others > 0).then(|| format!("others: {}", self.others));
        let told: Vec<_> = told.chain(others).collect();
        if told.is_empty() { Ok(()) } else { write!(f, " ({})", told.join(", ")) }
    }
}

/// One finding. It is displayed as one line that says what was found, in which file, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Durable commits that only the log had cannot be read in it any more.
    LogCommits { lost: u64, why: String },
}

impl Damage {
    #[must_use]
    pub fn consequence(&self) -> Consequence {
        match self {
            Damage::LogCommits { .. } => Consequence::Lost,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::LogCommits { lost, why } => write!(
                f,
                "{lost} confirmed commits of {} are lost ({why}): restore the data directory from a backup, or accept it",
                super::log::LOG
            ),
        }
    }
}

/// All that was found, in the order in which it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DamageReport {
    pub found: Vec<Damage>,
}

impl DamageReport {
    /// Takes in one more finding, unless it is there already.
    pub fn add(&mut self, damage: Damage) {
        if !self.found.contains(&damage) {
            self.found.push(damage);
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What has this consequence.
    pub fn with(&self, consequence: Consequence) -> impl Iterator<Item = &Damage> {
        self.found.iter().filter(move |damage| damage.consequence() == consequence)
    }

    /// Whether anything is lost.
    #[must_use]
    pub fn has_losses(&self) -> bool {
        self.with(Consequence::Lost).next().is_some()
    }
}

/// The losses, in one line.
impl fmt::Display for DamageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, damage) in self.with(Consequence::Lost).enumerate() {
            write!(f, "{}{damage}", if at > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}
