//! The one handle a session has on the broker: the session speaks to this interface, the port implements it, and the
//! server, a layer above both, joins the two. Calls return at once; what takes longer is answered by a [`SessionEvent`].
//!
//! [`SessionEvent`]: super::event::SessionEvent

use std::sync::Arc;

use smallvec::SmallVec;

use super::consuming::{Delivery, NewConsumer, Settlement};
use super::event::ConfirmToken;
use super::fault::Fault;
use super::ids::{ChannelNumber, ConnectionId, ConsumerNumber, Name, PositionRange, QueueRef, Timestamp};
use super::message::Message;
use super::peer::Introduction;
use super::question::ConnectionTotals;
use super::request::{Reply, Request};

/// Where a publish goes: decided at publish time, carried out by [`BrokerPort::submit`] (at once, or at tx.commit).
#[derive(Clone, Debug)]
pub struct RoutedPublish {
    pub message: Arc<Message>,
    /// Every queue once.
    pub queues: SmallVec<[QueueRef; 2]>,
    /// The direct reply-to consumers it answers, each once (semantics 15.3).
    pub direct_replies: SmallVec<[(ConnectionId, ConsumerNumber); 1]>,
}

/// What a message holds in memory for each queue behind its first one, about, in bytes: its place in the list of targets
/// and in the queue itself, and an operation where it is written or leaves.
const PER_FURTHER_QUEUE: usize = 256;

impl RoutedPublish {
    /// What it is in memory, about, in bytes: what stands for it in each of its queues included.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.message.footprint() + fan_out(self.queues.len())
    }

    /// Whether it reaches nobody and is returned when mandatory (semantics 9.5).
    #[must_use]
    pub fn is_unroutable(&self) -> bool {
        self.queues.is_empty() && self.direct_replies.is_empty()
    }
}

/// What a message in so many queues takes beyond what it takes in one, about, in bytes.
#[must_use]
pub fn fan_out(queues: usize) -> usize {
    queues.saturating_sub(1) * PER_FURTHER_QUEUE
}

/// How far a request came.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Answered at once.
    Done(Reply),
    /// The answer comes as `SessionEvent::Reply`.
    Pending,
}

/// Why a login was refused. The client is told only that it was (semantics 1.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginRefused {
    /// Name, password or address do not fit; the text is for the log.
    Credentials(String),
    /// The response could not be read, or the mechanism is unknown: the fault goes to the client.
    Malformed(Fault),
}

/// The broker as one connection sees it.
pub trait BrokerPort {
    /// The SASL mechanisms that are offered, separated by spaces (semantics 1.5).
    fn mechanisms(&self) -> &'static str;

    /// Checks a SASL response and remembers the user (semantics 1.8 to 1.16). `loopback`: the peer's address is a
    /// loopback one.
    fn authenticate(
        &mut self,
        now: Timestamp,
        mechanism: &str,
        response: &[u8],
        loopback: bool,
    ) -> Result<(), LoginRefused>;

    /// Opens a vhost for the user (connection.open; 530 where it is missing or refused).
    fn open_vhost(&mut self, now: Timestamp, vhost: &str, client: Introduction) -> Result<(), Fault>;

    /// Opens a channel; 530 where the user or the broker has enough (semantics 4.2).
    fn open_channel(&mut self, now: Timestamp, channel: ChannelNumber) -> Result<(), Fault>;

    /// A channel that was opened is gone, and so many consumers ended with it.
    fn close_channel(&mut self, now: Timestamp, channel: ChannelNumber, consumers: usize);

    /// How many consumers a channel may have; None: as many as the session's own limits allow (semantics 10.5).
    fn most_consumers(&self) -> Option<u64>;

    /// A consumer of a queue has begun.
    fn consumer_began(&mut self, now: Timestamp, channel: ChannelNumber, consumer: &NewConsumer);

    /// A consumer that had begun is one no more, whatever ended it.
    fn consumer_ended(&mut self, now: Timestamp, channel: ChannelNumber, tag: &Name, queue: &Name);

    /// The connection is about to be closed, and this is what it has counted. It comes once, right before the request to close.
    fn counted(&mut self, totals: ConnectionTotals);

    /// The name of the user who logged in.
    fn user(&self) -> &Name;

    /// Checks and routes a publish (semantics 9.1), but for the size, which the session checked.
    fn route(
        &mut self,
        now: Timestamp,
        channel: ChannelNumber,
        message: Arc<Message>,
    ) -> Result<RoutedPublish, Fault>;

    /// A message of a queue goes out to the client.
    fn delivered(&mut self, channel: ChannelNumber, delivery: &Delivery);

    /// Sends a routed publish to its queues. Returns how many confirms for `confirm` will come; 0 means that
    /// there is nothing to wait for.
    fn submit(&mut self, publish: RoutedPublish, confirm: Option<ConfirmToken>) -> usize;

    /// What publishes became that go to several queues ([`fan_out`]), in bytes, since what was submitted was taken away: a
    /// little input may become very much.
    fn fanned_out(&self) -> usize;

    /// How many steps were spent on searching the queues of publishes, since what was submitted was taken away: some ten
    /// nanoseconds each.
    fn searched(&self) -> usize;

    /// Asks for something that is answered.
    fn request(&mut self, now: Timestamp, request: Request) -> Progress;

    /// Settles unacked deliveries of a consumer. Every position in `range` was delivered to it.
    fn settle(
        &mut self,
        queue: QueueRef,
        consumer: ConsumerNumber,
        range: PositionRange,
        settlement: Settlement,
    );

    /// Forgets a consumer (or the gets of a channel) at once: it gets nothing more, and what it holds unacked is
    /// requeued as failed.
    fn detach(&mut self, queue: QueueRef, consumer: ConsumerNumber);

    /// Holds deliveries to a consumer back, or lets them go on (the shared prefetch of a channel is used up).
    fn set_paused(&mut self, queue: QueueRef, consumer: ConsumerNumber, paused: bool);

    /// What was said to the port since the session was last called becomes durable together, and each shard that it
    /// concerns confirms `token` then (tx.commit). Returns how many confirms will come.
    fn barrier(&mut self, token: ConfirmToken) -> usize;

    /// Opens this connection's direct reply-to address for a consumer (semantics 15.1) and returns it.
    fn open_direct_reply(&mut self, consumer: ConsumerNumber) -> Name;

    /// Closes it again; answers to it are unroutable from now on.
    fn close_direct_reply(&mut self, consumer: ConsumerNumber);

    /// A new secret came (connection.update-secret), and any is taken: it means something only to users whose secrets
    /// expire. Of these consumers, those that the user may not have any more are cancelled, and come as
    /// `SessionEvent::ConsumerCancelled` (semantics 1.22).
    fn update_secret(&mut self, consumers: &[(QueueRef, ConsumerNumber)]);
}
