//! What was published, confirmed, delivered and acked, over all lives of the broker, and what that breaks of the
//! promises. A message is named by its publisher, its queue and a number that grows by one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

/// Publisher, queue, number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MessageName {
    pub(crate) publisher: u32,
    pub(crate) queue: u32,
    pub(crate) number: u64,
}

impl MessageName {
    pub(crate) fn encode(self) -> Vec<u8> {
        format!("{} {} {}", self.publisher, self.queue, self.number).into_bytes()
    }

    pub(crate) fn decode(body: &[u8]) -> Option<MessageName> {
        let mut words = std::str::from_utf8(body).ok()?.split(' ');
        Some(MessageName {
            publisher: words.next()?.parse().ok()?,
            queue: words.next()?.parse().ok()?,
            number: words.next()?.parse().ok()?,
        })
    }
}

#[derive(Clone, Copy, Default)]
struct Fate {
    confirmed: bool,
    delivered: u32,
    /// An ack was sent; it counts once it was committed.
    acked: bool,
    ack_committed: bool,
}

impl Fate {
    /// After the drain, which acks all there is: confirmed, and yet nobody ever acked it.
    fn is_lost(&self) -> bool {
        self.confirmed && !self.acked
    }
}

#[derive(Default)]
struct Entries {
    fates: HashMap<MessageName, Fate>,
    next_number: HashMap<(u32, u32), u64>,
    /// The newest number that came from a publisher through a queue in this life of the broker.
    newest_in_life: HashMap<(u32, u32), u64>,
    faults: Vec<String>,
    redelivered: u64,
}

#[derive(Default)]
pub(crate) struct Ledger {
    entries: Mutex<Entries>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) published: usize,
    pub(crate) confirmed: usize,
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
    pub(crate) committed_acks: usize,
    pub(crate) lost: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} published, {} confirmed, {} delivered of which {} redelivered, {} acks committed, {} lost",
            self.published, self.confirmed, self.delivered, self.redelivered, self.committed_acks, self.lost
        )
    }
}

impl Ledger {
    /// The next message of a publisher to a queue.
    pub(crate) fn publish(&self, publisher: u32, queue: u32) -> MessageName {
        let mut entries = self.lock();
        let next = entries.next_number.entry((publisher, queue)).or_default();
        *next += 1;
        let name = MessageName { publisher, queue, number: *next };
        entries.fates.insert(name, Fate::default());
        name
    }

    pub(crate) fn confirm(&self, name: MessageName) {
        self.lock().fates.entry(name).or_default().confirmed = true;
    }

    /// A message came out of a queue, on the one channel that consumes it in this life.
    pub(crate) fn deliver(&self, queue: u32, body: &[u8], redelivered: bool) -> Option<MessageName> {
        let mut entries = self.lock();
        let Some(name) = MessageName::decode(body) else {
            entries.faults.push(format!("queue {queue} delivered a body nobody sent: {body:?}"));
            return None;
        };
        let Some(mut fate) = entries.fates.get(&name).copied() else {
            entries.faults.push(format!("{name:?} was delivered and never published"));
            return None;
        };
        if fate.ack_committed {
            entries.faults.push(format!("{name:?} came back after its ack was committed"));
        }
        if fate.delivered > 0 && !redelivered {
            entries.faults.push(format!("{name:?} came again without the redelivered flag"));
        }
        if name.queue != queue {
            entries.faults.push(format!("{name:?} came out of queue {queue}"));
        }
        let newest = entries.newest_in_life.insert((name.publisher, queue), name.number).unwrap_or(0);
        if newest >= name.number {
            entries.faults.push(format!("{name:?} came after number {newest} of the same publisher"));
        }
        fate.delivered += 1;
        entries.redelivered += u64::from(redelivered);
        entries.fates.insert(name, fate);
        Some(name)
    }

    /// An ack was handed to the client library.
    pub(crate) fn ack(&self, name: MessageName) {
        self.lock().fates.entry(name).or_default().acked = true;
    }

    /// tx.commit-ok came for the ack.
    pub(crate) fn commit_ack(&self, name: MessageName) {
        self.lock().fates.entry(name).or_default().ack_committed = true;
    }

    /// The broker was killed.
    pub(crate) fn next_life(&self) {
        self.lock().newest_in_life.clear();
    }

    /// Everything that broke a promise; confirmed messages that are gone are added, so call it after a drain.
    pub(crate) fn faults(&self) -> Vec<String> {
        let entries = self.lock();
        let mut faults = entries.faults.clone();
        faults.extend(
            entries
                .fates
                .iter()
                .filter(|(_, fate)| fate.is_lost())
                .map(|(name, _)| format!("{name:?} was confirmed and is gone without an ack")),
        );
        faults.truncate(20);
        faults
    }

    pub(crate) fn figures(&self) -> Figures {
        let entries = self.lock();
        let fates = entries.fates.values();
        Figures {
            published: entries.fates.len(),
            confirmed: fates.clone().filter(|fate| fate.confirmed).count(),
            delivered: fates.clone().map(|fate| u64::from(fate.delivered)).sum(),
            redelivered: entries.redelivered,
            committed_acks: fates.clone().filter(|fate| fate.ack_committed).count(),
            lost: fates.filter(|fate| fate.is_lost()).count(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().expect("no worker panics with the ledger open")
    }
}
