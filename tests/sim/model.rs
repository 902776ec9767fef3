//! What AMQP promises, as a ledger: every message that was sent, every copy of it in every queue, who holds it, how it
//! ended. Here is what it knows; what it writes down is in `entries.rs`, and whether what a client sees is within the
//! promises is judged in `oracle.rs` and `account.rs`.

use std::collections::{BTreeMap, BTreeSet};

use leveret::model::ids::Timestamp;

use crate::presence::Presence;
use crate::replies::Replies;
use crate::topology::{QueueNumber, Topology};
use crate::transactions::Transaction;

pub(crate) type MessageId = u64;
/// A channel, over all connections and restarts; the same for consumers.
pub(crate) type ChannelSerial = u32;
pub(crate) type ConsumerSerial = u32;
/// Something is wrong: which promise is broken, and how.
pub(crate) type Violation = String;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    Rejected,
    Expired,
    MaxLength,
    DeliveryLimit,
}

/// The deaths of a message, oldest first.
pub(crate) type Path = Vec<(QueueNumber, Reason)>;
/// One copy of a message: where it is, and how it came there.
pub(crate) type CopyKey = (MessageId, QueueNumber, Path);

/// What a client sends.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) id: MessageId,
    pub(crate) channel: ChannelSerial,
    /// Its publish sequence number, on a channel in confirm mode.
    pub(crate) confirm: Option<u64>,
    pub(crate) targets: Vec<QueueNumber>,
    pub(crate) persistent: bool,
    pub(crate) priority: Option<u8>,
    pub(crate) expiration: Option<u64>,
    /// By which it is to come later, in milliseconds.
    pub(crate) delay: Option<u64>,
    /// It says where to reply to.
    pub(crate) asks: bool,
    pub(crate) size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    /// Confirmed, committed, or known to be on disk.
    Promised,
    Refused,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) sent: Sent,
    pub(crate) at: Timestamp,
    /// How often the broker had been restarted.
    pub(crate) life: u32,
    pub(crate) fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Ack,
    Discard,
    /// Its queue was purged or deleted.
    Purged,
    /// `failed`: it counts towards the delivery limit.
    Requeue {
        failed: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) how: How,
    pub(crate) by: ChannelSerial,
    /// Known to be on disk.
    pub(crate) sure: bool,
    /// It was heard before the consumer timeout was over.
    pub(crate) in_time: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Copy {
    pub(crate) deliveries: u32,
    /// In which life of the broker it was delivered last.
    pub(crate) last_life: u32,
    /// Failed deliveries that a client saw.
    pub(crate) failures: u32,
    /// Channel and delivery tag.
    pub(crate) holder: Option<(ChannelSerial, u64)>,
    /// Who had it last.
    pub(crate) last_channel: ChannelSerial,
    /// Not before this time it was delivered last.
    pub(crate) held_since: Timestamp,
    /// It came back and waits until then at the least, as long as the broker lives.
    pub(crate) not_before: Timestamp,
    pub(crate) end: Option<End>,
    /// Some client has rejected it without requeue.
    pub(crate) rejected: bool,
    /// Its queue refuses messages when it is full, and nobody was told that it took this one.
    pub(crate) maybe_refused: bool,
    /// It may be gone for a reason that nobody saw.
    pub(crate) maybe_gone: bool,
    /// Known to be on disk; of dead letters only.
    pub(crate) committed: bool,
}

/// What the ledger knows of a queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Messages from here on have met no lost consumer.
    pub(crate) clean_from: MessageId,
    pub(crate) disturbed: bool,
    pub(crate) published: u64,
    /// Of those that are not permanent.
    pub(crate) presence: Presence,
    /// A consumer without acks is gone, and what it was sent last may be lost unseen.
    pub(crate) leaking: bool,
    /// Messages up to here may have been lost so.
    pub(crate) leaked: MessageId,
}

#[derive(Debug, Default)]
pub(crate) struct Channel {
    pub(crate) open: bool,
    pub(crate) unconfirmed: BTreeMap<u64, MessageId>,
    pub(crate) last_sequence: u64,
    /// Sent as mandatory to where nobody is, and not returned yet.
    pub(crate) unroutable: BTreeSet<MessageId>,
    pub(crate) last_tag: u64,
    /// Queues it has asked for single messages.
    pub(crate) gets: BTreeSet<QueueNumber>,
    /// Shared by its consumers; 0: none.
    pub(crate) prefetch: u32,
    pub(crate) held: u32,
}

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) channel: ChannelSerial,
    pub(crate) queue: QueueNumber,
    pub(crate) prefetch: u32,
    pub(crate) no_ack: bool,
    pub(crate) asked_at: u64,
    /// When that was.
    pub(crate) since: Timestamp,
    pub(crate) confirmed_at: Option<u64>,
    pub(crate) alive: bool,
    /// The broker has to say that it is one no more.
    pub(crate) dismissed: bool,
    pub(crate) held: u32,
    /// The newest message of each publishing channel and lane.
    pub(crate) newest: BTreeMap<(ChannelSerial, u8), MessageId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) copy: CopyKey,
    pub(crate) consumer: Option<ConsumerSerial>,
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) published: u64,
    pub(crate) confirmed: u64,
    pub(crate) refused: u64,
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
    pub(crate) dead_letters: u64,
    pub(crate) restarts: u64,
    /// How often the disk failed.
    pub(crate) failures: u64,
    /// Transactions that nobody was told the outcome of, and that were found whole or not at all.
    pub(crate) transactions: u64,
    pub(crate) purged: u64,
    pub(crate) deleted: u64,
    /// Consumer timeouts that were over.
    pub(crate) timeouts: u64,
    pub(crate) delayed: u64,
    /// Messages that came back and had to wait.
    pub(crate) retried: u64,
    pub(crate) replies: u64,
    /// Messages that an exchange remembered.
    pub(crate) remembered: u64,
    /// Queues that went by themselves.
    pub(crate) gone: u64,
}

impl Figures {
    pub(crate) fn add(&mut self, other: Figures) {
        self.published += other.published;
        self.confirmed += other.confirmed;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.dead_letters += other.dead_letters;
        self.restarts += other.restarts;
        self.failures += other.failures;
        self.transactions += other.transactions;
        self.purged += other.purged;
        self.deleted += other.deleted;
        self.timeouts += other.timeouts;
        self.delayed += other.delayed;
        self.retried += other.retried;
        self.replies += other.replies;
        self.remembered += other.remembered;
        self.gone += other.gone;
    }
}

pub(crate) struct Model {
    pub(crate) topology: Topology,
    pub(crate) messages: BTreeMap<MessageId, Message>,
    pub(crate) copies: BTreeMap<CopyKey, Copy>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) channels: BTreeMap<ChannelSerial, Channel>,
    pub(crate) consumers: BTreeMap<ConsumerSerial, Consumer>,
    pub(crate) holdings: BTreeMap<(ChannelSerial, u64), Holding>,
    /// Those whose outcome nobody was told.
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) replies: Replies,
    /// How often the broker was restarted.
    pub(crate) life: u32,
    /// Only the last consumers are left: all order counts.
    pub(crate) draining: bool,
    /// From which queue the last message came then, and its priority.
    pub(crate) drained: Option<(QueueNumber, u8)>,
    /// The broker stops, and says so.
    pub(crate) stopping: bool,
    pub(crate) issued: MessageId,
    /// Counts everything that happens.
    pub(crate) step: u64,
    pub(crate) now: Timestamp,
    pub(crate) figures: Figures,
}

impl Model {
    pub(crate) fn new(topology: Topology) -> Model {
        Model {
            queues: topology.queues.iter().map(|_| Queue::default()).collect(),
            topology,
            messages: BTreeMap::new(),
            copies: BTreeMap::new(),
            channels: BTreeMap::new(),
            consumers: BTreeMap::new(),
            holdings: BTreeMap::new(),
            transactions: Vec::new(),
            replies: Replies::default(),
            life: 0,
            draining: false,
            drained: None,
            stopping: false,
            issued: 0,
            step: 0,
            now: Timestamp(0),
            figures: Figures::default(),
        }
    }
}
