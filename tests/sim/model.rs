//! What AMQP promises, as a ledger: every message that was sent, every copy of it in every queue, who holds it, how it
//! ended. It hears only what clients do and see, and that the broker restarted. Here the ledger is kept; whether what
//! a client sees is within the promises is judged in `judge.rs`.
//!
//! What a dying connection or broker did with the last words of a client is not knowable from outside; such copies
//! are marked, and may then be gone or come again, but nothing else.

use std::collections::{BTreeMap, BTreeSet};

use leveret::model::ids::Timestamp;

use crate::topology::{Full, QueueNumber, Topology};

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
}

#[derive(Debug, Default)]
pub(crate) struct Copy {
    pub(crate) deliveries: u32,
    /// Failed deliveries that a client saw.
    pub(crate) failures: u32,
    pub(crate) holder: Option<ChannelSerial>,
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
    pub(crate) confirmed_at: Option<u64>,
    pub(crate) alive: bool,
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
    /// How often the broker was restarted.
    pub(crate) life: u32,
    /// Only the last consumers are left: all order counts.
    pub(crate) draining: bool,
    pub(crate) issued: MessageId,
    /// Counts everything that happens.
    pub(crate) step: u64,
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
            life: 0,
            draining: false,
            issued: 0,
            step: 0,
            figures: Figures::default(),
        }
    }

    /// A number for the next message.
    pub(crate) fn issue(&mut self) -> MessageId {
        self.issued += 1;
        self.issued
    }

    /// A channel is opened; `prefetch` is what its consumers share.
    pub(crate) fn channel_opened(&mut self, channel: ChannelSerial, prefetch: u32) {
        self.channels.insert(channel, Channel { open: true, prefetch, ..Channel::default() });
    }

    /// A client sends a message; in a transaction, its commit.
    pub(crate) fn published(&mut self, now: Timestamp, sent: Sent) {
        self.figures.published += 1;
        if let (Some(sequence), Some(channel)) = (sent.confirm, self.channels.get_mut(&sent.channel)) {
            channel.unconfirmed.insert(sequence, sent.id);
            channel.last_sequence = sequence;
        }
        if let Some(channel) = self.channels.get_mut(&sent.channel).filter(|_| sent.targets.is_empty()) {
            channel.unroutable.insert(sent.id);
        }
        for &queue in &sent.targets {
            self.queues[queue].published += 1;
            let maybe_refused = self.topology.queues[queue].full != Full::DropHead;
            let copy = Copy { maybe_refused, ..Copy::default() };
            self.copies.insert((sent.id, queue, Path::new()), copy);
        }
        self.messages.insert(sent.id, Message { sent, at: now, life: self.life, fate: Fate::Open });
    }

    pub(crate) fn get_asked(&mut self, channel: ChannelSerial, queue: QueueNumber) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.gets.insert(queue);
        }
    }

    pub(crate) fn consumer_asked(&mut self, serial: ConsumerSerial, consumer: Consumer) {
        self.consumers.insert(serial, consumer);
    }

    pub(crate) fn consumer_confirmed(&mut self, serial: ConsumerSerial) {
        let step = self.step;
        if let Some(consumer) = self.consumers.get_mut(&serial) {
            consumer.confirmed_at = Some(step);
        }
    }

    /// A client asks for the end of a consumer. What it holds stays with its channel.
    pub(crate) fn consumer_cancelled(&mut self, serial: ConsumerSerial) {
        if let Some(consumer) = self.consumers.get_mut(&serial) {
            consumer.alive = false;
            self.queues[consumer.queue].disturbed = true;
        }
    }

    /// A client settles deliveries it holds. In a transaction: it sends the commit.
    pub(crate) fn settled(&mut self, channel: ChannelSerial, tags: &[u64], how: How) {
        for &tag in tags {
            let Some(holding) = self.holdings.remove(&(channel, tag)) else {
                debug_assert!(false, "the simulated client settles what it does not hold");
                continue;
            };
            self.release(channel, &holding);
            let Some(copy) = self.copies.get_mut(&holding.copy) else { continue };
            copy.holder = None;
            match how {
                How::Ack | How::Discard => copy.end = Some(End { how, by: channel, sure: false }),
                How::Requeue { failed } => copy.failures += u32::from(failed),
            }
            copy.rejected |= how == How::Discard;
        }
    }

    fn release(&mut self, channel: ChannelSerial, holding: &Holding) {
        let Some(consumer) = holding.consumer.and_then(|serial| self.consumers.get_mut(&serial)) else {
            return;
        };
        consumer.held -= 1;
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.held -= 1;
        }
    }

    /// The broker answered a commit: what was in it, and all before it on this channel, is on disk. A dead letter may
    /// still be on its way. `is_last`: no other commit is under way, so that all that was settled was in it.
    pub(crate) fn committed(&mut self, channel: ChannelSerial, published: &[MessageId], is_last: bool) {
        for id in published {
            if let Some(message) = self.messages.get_mut(id) {
                message.fate = Fate::Promised;
            }
        }
        for ((_, queue, _), copy) in &mut self.copies {
            if let Some(end) = copy.end.as_mut().filter(|end| is_last && end.by == channel) {
                end.sure |= end.how == How::Ack || self.topology.queues[*queue].dead_letters.is_none();
            }
        }
    }

    /// A client closes a channel in order (or its connection): what it sent before is heard, what it holds comes back.
    pub(crate) fn channel_closed(&mut self, channel: ChannelSerial) {
        let Some(state) = self.channels.get_mut(&channel) else { return };
        state.open = false;
        std::mem::take(&mut state.gets).into_iter().for_each(|queue| self.queues[queue].disturbed = true);
        for consumer in self.consumers.values_mut().filter(|consumer| consumer.channel == channel) {
            consumer.alive = false;
            self.queues[consumer.queue].disturbed = true;
            self.queues[consumer.queue].leaking |= consumer.no_ack;
        }
        let held: Vec<_> =
            self.holdings.range((channel, 0)..=(channel, u64::MAX)).map(|(key, _)| *key).collect();
        for key in held {
            let Some(holding) = self.holdings.remove(&key) else { continue };
            self.queues[holding.copy.1].disturbed = true;
            if let Some(copy) = self.copies.get_mut(&holding.copy) {
                copy.holder = None;
                copy.failures += 1;
            }
        }
    }

    /// A client's connection breaks: nobody knows how much of what was said last on this channel was heard.
    pub(crate) fn channel_lost(&mut self, channel: ChannelSerial) {
        self.channel_closed(channel);
        let open: BTreeSet<MessageId> = self
            .messages
            .values()
            .filter(|message| message.sent.channel == channel && message.fate == Fate::Open)
            .map(|message| message.sent.id)
            .collect();
        for ((id, queue, _), copy) in &mut self.copies {
            copy.maybe_gone |= open.contains(id);
            if copy.end.is_some_and(|end| end.by == channel && !end.sure) {
                unsure(copy, self.topology.queues[*queue].dead_letters.is_some());
                self.queues[*queue].disturbed = true;
            }
        }
    }

    /// The broker stopped and is started again on what was on its disk.
    pub(crate) fn restarted(&mut self) {
        self.figures.restarts += 1;
        let open: Vec<_> =
            self.channels.iter().filter(|(_, channel)| channel.open).map(|(id, _)| *id).collect();
        open.into_iter().for_each(|channel| self.channel_lost(channel));
        self.life += 1;
        for ((id, queue, path), copy) in &mut self.copies {
            let Some(message) = self.messages.get(id) else { continue };
            let (plan, persistent) = (&self.topology.queues[*queue], message.sent.persistent);
            let on_disk = if path.is_empty() { message.fate == Fate::Promised } else { copy.committed };
            if let Some(End { sure: false, .. }) = copy.end {
                unsure(copy, plan.dead_letters.is_some());
            }
            let moved_away = plan.dead_letters.is_some() && !persistent;
            copy.maybe_gone |= !(on_disk && plan.keeps(persistent)) || moved_away;
            copy.holder = None;
        }
        self.queues.iter_mut().for_each(|queue| queue.disturbed = true);
    }

    /// Nothing is on its way anywhere, and everything is on disk.
    pub(crate) fn quiet(&mut self) {
        let next = self.issued + 1;
        for queue in &mut self.queues {
            if std::mem::take(&mut queue.disturbed) {
                queue.clean_from = next;
            }
            if std::mem::take(&mut queue.leaking) {
                queue.leaked = self.issued;
            }
        }
        for message in self.messages.values_mut().filter(|message| message.fate == Fate::Open) {
            let refuses = |queue: &QueueNumber| self.topology.queues[*queue].full != Full::DropHead;
            if !message.sent.targets.iter().any(refuses) {
                message.fate = Fate::Promised;
            }
        }
        for copy in self.copies.values_mut() {
            copy.committed = copy.deliveries > 0;
            if let Some(end) = &mut copy.end {
                end.sure = true;
            }
        }
    }
}

/// Whether the client's word about this copy was heard is not known any more.
fn unsure(copy: &mut Copy, dead_letters: bool) {
    let dropped = copy.end.is_some_and(|end| end.how == How::Ack) || !dead_letters;
    copy.maybe_gone |= dropped;
    copy.end = None;
}
