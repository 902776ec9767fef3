//! A channel's state. What happens to it when it goes is in `channel_closing`, what its methods do in `methods/`.

use std::collections::BTreeMap;

use crate::model::consuming::Delivery;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConsumerNumber, Name};

use super::confirms::Confirms;
use super::content::Content;
use super::tally::ChannelTally;
use super::transaction::Transaction;
use super::unacked::{Unacked, UnackedTags};

#[derive(Debug)]
pub(super) struct Channel {
    /// Tells it from earlier channels of this number.
    pub epoch: u32,
    pub content: Content,
    pub mode: ChannelMode,
    pub unacked: UnackedTags,
    /// The delivery tag given out last (semantics 4.6).
    pub last_tag: u64,
    /// By tag.
    pub consumers: BTreeMap<Name, ConsumerNumber>,
    /// Under which its basic.get deliveries are unacked.
    pub getter: ConsumerNumber,
    /// basic.qos with global=false: for consumers to come.
    pub prefetch: u16,
    pub shared_prefetch: SharedPrefetch,
    /// The queue declared last (semantics 6.2).
    pub last_queue: Option<Name>,
    pub direct_reply: Option<DirectReply>,
    pub counts: ChannelTally,
}

/// What publishes and acks of the channel mean. The modes exclude each other (semantics 9.20, 14.1).
#[derive(Debug, Default)]
pub(super) enum ChannelMode {
    #[default]
    Plain,
    Confirm(Confirms),
    Transaction(Transaction),
}

/// The prefetch that all consumers of the channel share, by basic.qos with global=true (semantics 10.11).
#[derive(Debug)]
pub(super) struct SharedPrefetch {
    pub limit: usize,
    /// What the client asked for; 0: no limit.
    pub asked: u64,
    /// Unacked deliveries of consumers.
    pub used: usize,
    /// The channel's consumers are held back.
    pub paused: bool,
}

impl SharedPrefetch {
    pub(super) fn is_full(&self) -> bool {
        self.used >= self.limit
    }
}

/// The channel's consumer of direct replies (semantics 15.1).
#[derive(Debug)]
pub(super) struct DirectReply {
    pub consumer: ConsumerNumber,
    /// What replies are sent to.
    pub address: Name,
}

impl Channel {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Channel {
            epoch: _,
            content,
            mode,
            unacked,
            last_tag: _,
            consumers,
            getter: _,
            prefetch: _,
            shared_prefetch: SharedPrefetch { limit: _, asked: _, used, paused: _ },
            last_queue: _,
            direct_reply,
            counts,
        } = self;
        content.holdings(into);
        match mode {
            ChannelMode::Plain => {}
            ChannelMode::Confirm(confirms) => confirms.holdings(into),
            ChannelMode::Transaction(transaction) => transaction.holdings(into),
        }
        into.in_use("channel: unacked", &unacked.size());
        into.in_use("channel: consumers", consumers);
        into.in_use("channel: prefetch used", used);
        into.in_use("channel: direct replies", direct_reply);
        counts.holdings(into);
    }

    pub(super) fn new(epoch: u32, getter: ConsumerNumber, most_unacked: usize) -> Channel {
        Channel {
            epoch,
            content: Content::default(),
            mode: ChannelMode::default(),
            unacked: UnackedTags::default(),
            last_tag: 0,
            consumers: BTreeMap::new(),
            getter,
            prefetch: 0,
            shared_prefetch: SharedPrefetch { limit: most_unacked, asked: 0, used: 0, paused: false },
            last_queue: None,
            direct_reply: None,
            counts: ChannelTally::default(),
        }
    }

    pub(super) fn next_tag(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    /// A delivery goes out under this tag and is to be acked. `counted`: it takes of the shared prefetch.
    pub(super) fn remember(
        &mut self,
        delivery: &Delivery,
        tag: u64,
        consumer: ConsumerNumber,
        counted: bool,
    ) {
        self.shared_prefetch.used += usize::from(counted);
        let Delivery { queue, position, .. } = *delivery;
        self.unacked.push(Unacked { tag, queue, consumer, position, counted });
    }
}
