//! What is found wrong in a data directory, and what it means for what was confirmed: the words in which a start and
//! `verify` report it. How it is found is not known here.

use std::collections::BTreeMap;
use std::fmt;

use super::format::{CATALOG, LOG};
use super::high_water::HIGH_WATER;
use crate::model::ids::QueueId;

/// Queues of which it is told how many messages they have; those with the most.
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
pub struct MessageCounts {
    /// At most [`MOST_TOLD`] of them.
    pub queues: BTreeMap<QueueId, u64>,
    /// Messages of all other queues together.
    pub others: u64,
}

impl MessageCounts {
    /// Of what each queue has; what does not fit into a report is summed up.
    #[must_use]
    pub fn of(queues: &BTreeMap<QueueId, u64>) -> MessageCounts {
        let mut all: Vec<_> =
            queues.iter().map(|(&queue, &count)| (queue, count)).filter(|queue| queue.1 > 0).collect();
        all.sort_by_key(|&(queue, count)| (std::cmp::Reverse(count), queue));
        let rest = all.split_off(all.len().min(MOST_TOLD));
        MessageCounts { queues: all.into_iter().collect(), others: rest.iter().map(|(_, count)| count).sum() }
    }

    /// Messages of all queues.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.queues.values().sum::<u64>() + self.others
    }
}

impl fmt::Display for MessageCounts {
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
    /// A journal file that must be there is not. In the active one lay, too, what was settled since it was begun.
    JournalMissing {
        file: String,
        held: MessageCounts,
        active: bool,
    },
    /// A journal file is not the newest there was of it: commits are not in it, this many where that is known.
    JournalOlder {
        file: String,
        lost: Option<u64>,
    },
    /// The same, but the log still had all of them.
    JournalBehind {
        file: String,
    },
    /// A journal file is there that was given up, with messages in it.
    JournalGivenUp {
        file: String,
    },
    /// The list of journal files cannot be read in this file.
    Manifest {
        file: String,
    },
    /// Durable commits that only the log had are not in it any more.
    LogCommits {
        lost: u64,
        why: String,
    },
    /// The log is not whole. What it had beyond the journal may have been more than is known.
    LogFile {
        why: String,
        may_lose: bool,
    },
    /// The high-water mark of commits is not whole.
    HighWaterMark {
        why: &'static str,
    },
    CatalogMissing,
    /// The catalog does not hold what the journal says it must.
    CatalogOlder {
        holds: u64,
        must_hold: u64,
    },
    /// Records are gone from the catalog, this many; None where others stand in their place.
    CatalogVanished {
        records: Option<u64>,
    },
    /// A record of the catalog that cannot be used.
    CatalogRecord {
        key: Vec<u8>,
        why: String,
    },
    /// Messages of a queue that the catalog does not know and that nobody deleted.
    UnknownQueue {
        queue: QueueId,
        messages: u64,
    },
    /// Pages of the catalog are not what was written. What is sound in it is written anew.
    CatalogRebuilt,
    /// Bytes of a file were wrong, and it is known what they were.
    Corrected {
        file: String,
    },
    /// Pages of a file are not what was written. Nothing is written to it any more; what is sound in it is served.
    SetAside {
        file: String,
    },
    /// Among the pages that are lost are some that said which messages there are.
    RunsLost {
        file: String,
    },
    /// Among them are some that said what was settled.
    SettledLost {
        file: String,
    },
}

impl Damage {
    #[must_use]
    pub fn consequence(&self) -> Consequence {
        match self {
            Damage::JournalMissing { .. }
            | Damage::JournalOlder { .. }
            | Damage::LogCommits { .. }
            | Damage::LogFile { may_lose: true, .. }
            | Damage::CatalogMissing
            | Damage::CatalogOlder { .. }
            | Damage::CatalogVanished { .. }
            | Damage::RunsLost { .. } => Consequence::Lost,
            Damage::JournalGivenUp { .. }
            | Damage::CatalogRecord { .. }
            | Damage::UnknownQueue { .. }
            | Damage::SetAside { .. } => Consequence::Quarantined,
            Damage::JournalBehind { .. }
            | Damage::Manifest { .. }
            | Damage::LogFile { may_lose: false, .. }
            | Damage::HighWaterMark { .. }
            | Damage::CatalogRebuilt
            | Damage::Corrected { .. } => Consequence::Repaired,
            Damage::SettledLost { .. } => Consequence::Redelivers,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RESTORE: &str = "put it back from a backup";
        match self {
            Damage::JournalMissing { file, held, active } => {
                write!(f, "{file} is missing, which held {held} when it was last counted")?;
                if *active {
                    write!(f, ", and more since; what was settled since it was begun will come again")?;
                }
                write!(f, ": {RESTORE}")
            }
            Damage::JournalOlder { file, lost } => {
                write!(f, "{file} is older than it was")?;
                if let Some(lost) = lost {
                    write!(f, ", {lost} confirmed commits are not in it")?;
                }
                write!(f, ": {RESTORE}")
            }
            Damage::JournalBehind { file } => {
                write!(f, "{file} is older than it was; what it lacks was taken from {LOG}, nothing is lost")
            }
            Damage::JournalGivenUp { file } => write!(
                f,
                "{file} is there again although all in it was settled or copied: it is not served; move it away"
            ),
            Damage::Manifest { file } => {
                write!(f, "the list of journal files in {file} cannot be read; it is made anew")
            }
            Damage::LogCommits { lost, why } => {
                write!(f, "{lost} confirmed commits of {LOG} are lost ({why}): {RESTORE}")
            }
            Damage::LogFile { why, may_lose: true } => {
                write!(
                    f,
                    "{LOG} {why}, and the last stop was not clean: it may have held confirmed commits: {RESTORE}"
                )
            }
            Damage::LogFile { why, may_lose: false } => {
                write!(f, "{LOG} {why}; it held nothing that is not in the journal and is made anew")
            }
            Damage::HighWaterMark { why } => write!(
                f,
                "{HIGH_WATER} {why} and is made anew; whether the last commits before this start are there cannot be told"
            ),
            Damage::CatalogMissing => write!(
                f,
                "{CATALOG} is missing: all queues, exchanges, bindings and users are unknown: {RESTORE}"
            ),
            Damage::CatalogOlder { holds, must_hold } => write!(
                f,
                "{CATALOG} is older than it was (change {holds}, the journal knows of {must_hold}): {RESTORE}; messages \
                 of queues it does not know are kept apart"
            ),
            Damage::CatalogVanished { records: Some(records) } => {
                write!(f, "{records} records have vanished from {CATALOG}: {RESTORE}")
            }
            Damage::CatalogVanished { records: None } => {
                write!(f, "records of {CATALOG} are not the ones that were written last: {RESTORE}")
            }
            Damage::CatalogRecord { key, why } => write!(
                f,
                "the record {} of {CATALOG} is passed over: {why}; declare it again, or put the file back from a backup",
                key.escape_ascii()
            ),
            Damage::UnknownQueue { queue, messages } => write!(
                f,
                "{messages} messages of queue {queue}, which {CATALOG} does not know, are kept apart: give them to a queue \
                 with `leveret verify --restore {queue}=NAME`, or delete them with `leveret verify --drop {queue}`"
            ),
            Damage::CatalogRebuilt => write!(
                f,
                "{CATALOG} has damaged pages: what is sound in it is written anew, the damaged file is kept as \
                 {CATALOG}.damaged"
            ),
            Damage::Corrected { file } => {
                write!(
                    f,
                    "{file}: single bytes were wrong and are corrected; look after the disk and its cables"
                )
            }
            Damage::SetAside { file } => write!(
                f,
                "{file} has damaged pages: what is sound in it is served, nothing is written to it any more; \
                 `leveret verify --salvage` copies what is sound into a new file and puts this one aside"
            ),
            Damage::RunsLost { file } => write!(
                f,
                "{file}: pages that listed messages are lost, and confirmed messages with them: restore the data \
                 directory from a backup, or accept it"
            ),
            Damage::SettledLost { file } => {
                write!(f, "{file}: pages that said what was settled are lost: settled messages come again")
            }
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
