//! What ports, the catalog and the shards tell each other. Plain data; the server carries it, in order per sender
//! and receiver.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::event::{Alarms, ConfirmToken};
use crate::model::fault::Fault;
use crate::model::ids::{
    ConnectionId, ConsumerNumber, Destination, Name, Position, PositionRange, QueueId, ShardIndex,
};
use crate::model::message::Message;
use crate::model::op::Group;
use crate::model::port::fan_out;
use crate::model::request::{Binding, DeclareExchange, DeclareQueue, Reply};
use crate::model::resource::Resource;
use crate::model::settings::QueueSettings;

/// Who sent a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Connection(ConnectionId),
    Catalog,
    Shard(ShardIndex),
}

/// What a queue is called; for texts, and for the records that dead letters carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueLabel {
    pub vhost: Name,
    pub name: Name,
}

impl QueueLabel {
    /// The queue as texts print it.
    #[must_use]
    pub fn resource(&self) -> Resource<'_> {
        Resource::queue(&self.name, &self.vhost)
    }
}

/// A dead letter that its source keeps until every target has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AwaitedDeadLetter {
    /// Where the source queue lives.
    pub shard: ShardIndex,
    pub queue: QueueId,
    pub position: Position,
}

/// A command for one shard.
#[derive(Clone, Debug)]
pub enum ShardCommand {
    /// From a connection; one `SessionEvent::Confirm` answers `confirm`. From the catalog, too, of the broker's own.
    Publish { queues: SmallVec<[QueueId; 2]>, message: Arc<Message>, confirm: Option<ConfirmToken> },
    /// The shard's own: what is left of a publish to very many queues.
    FanOut(Box<FanOut>),
    /// From a connection: confirm once all that was handled before is durable. All that came with it is one transaction,
    /// together with what other shards were told.
    Barrier { token: ConfirmToken, group: Group },
    /// From a connection.
    Settle { queue: QueueId, consumer: ConsumerNumber, range: PositionRange, settlement: Settlement },
    /// From a connection.
    SetPaused { queue: QueueId, consumer: ConsumerNumber, paused: bool },
    /// From a connection.
    Detach { queue: QueueId, consumer: ConsumerNumber },
    /// From a connection; answered.
    Consume { queue: QueueId, label: QueueLabel, consumer: ConsumerNumber, options: Box<ConsumeOptions> },
    /// From a connection; answered.
    Cancel { queue: QueueId, consumer: ConsumerNumber },
    /// From a connection, whose user may not read any more: cancels, and says so as the broker's doing.
    Revoke { queue: QueueId, consumer: ConsumerNumber },
    /// From a connection; answered.
    Get { queue: QueueId, label: QueueLabel, consumer: ConsumerNumber, no_ack: bool },
    /// From a connection; answered.
    Purge { queue: QueueId, label: QueueLabel },
    /// A passive declare: counts as use of the queue and is answered.
    Inspect { queue: QueueId, label: QueueLabel },
    /// A connection has gone; behind its commands that wait for a queue.
    Gone,
    /// From the catalog.
    CreateQueue { queue: QueueId, label: QueueLabel, settings: Arc<QueueSettings> },
    /// From a connection or the catalog, which has checked the declare against the queue that exists: counts as use of
    /// the queue and is answered; goes back to the catalog where the queue has gone meanwhile.
    Declared { queue: QueueId, declare: Box<QueueDeclare> },
    /// From the catalog; answered by way of [`CatalogCommand::QueueGone`], or with a refusal.
    DeleteQueue {
        queue: QueueId,
        if_unused: bool,
        if_empty: bool,
        label: QueueLabel,
        connection: ConnectionId,
    },
    /// From the catalog: a policy has changed what the queue obeys.
    SetSettings { queue: QueueId, settings: Arc<QueueSettings> },
    /// From the catalog, which has already forgotten the queue. Answered with [`CatalogCommand::QueueDropped`] where the
    /// catalog has left a tombstone.
    DropQueue { queue: QueueId, has_tombstone: bool },
    /// From a connection or a shard: a message that an exchange remembers. The shard has spent credit on it.
    Remember { history: QueueId, message: Arc<Message>, from: Option<ShardIndex> },
    /// From the catalog: what an exchange remembers is to be sent where it leads since now.
    Replay { history: QueueId, to: Destination },
    /// From a shard, which has spent credit on it: a dead letter for this queue, or another message that the broker sends.
    DeadLetter { queue: QueueId, message: Arc<Message>, awaited: Option<AwaitedDeadLetter>, from: ShardIndex },
    /// From a shard, which has taken in so many messages of this one, and so many bytes of [`Message::footprint`]s.
    Credit { from: ShardIndex, messages: usize, bytes: usize },
    /// From a shard: one target of the dead letter has it, or (`taken` false) did not take it.
    DeadLettered { awaited: AwaitedDeadLetter, target: QueueId, taken: bool },
}

/// There is one for every publish: what is large in others is boxed.
const _: () = assert!(size_of::<ShardCommand>() <= 64);

/// A publish to very many queues, some of which have it.
#[derive(Clone, Debug)]
pub struct FanOut {
    /// Those that do not have it yet.
    pub(crate) queues: SmallVec<[QueueId; 2]>,
    pub(crate) message: Arc<Message>,
    pub(crate) confirm: Option<ConfirmToken>,
    /// One of the others has to write it.
    pub(crate) is_stored: bool,
    /// One of the others did not take it.
    pub(crate) is_rejected: bool,
}

impl ShardCommand {
    /// What the command holds in memory while it is on its way, about, in bytes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let held = match self {
            // A few bytes for a thousand queues are mostly what stands for them in each.
            ShardCommand::Publish { queues, message, .. } => message.footprint() + fan_out(queues.len()),
            ShardCommand::Remember { message, .. } => message.footprint(),
            _ => 0,
        };
        size_of::<ShardCommand>() + held
    }

    /// The newest queue the command is about, where it may arrive before that queue's creation.
    pub(crate) fn newest_queue(&self) -> Option<QueueId> {
        match self {
            ShardCommand::Publish { queues, .. } => queues.iter().max().copied(),
            ShardCommand::Consume { queue, .. }
            | ShardCommand::Get { queue, .. }
            | ShardCommand::Purge { queue, .. }
            | ShardCommand::Inspect { queue, .. }
            | ShardCommand::Declared { queue, .. }
            | ShardCommand::DeadLetter { queue, .. }
            | ShardCommand::Remember { history: queue, .. } => Some(*queue),
            _ => None,
        }
    }
}

/// A `queue.declare` on its way: the name is the one the queue will have.
#[derive(Clone, Debug)]
pub struct QueueDeclare {
    pub connection: ConnectionId,
    pub vhost: Name,
    /// The broker made the name (semantics 7.1): reserved prefixes do not matter.
    pub server_named: bool,
    pub request: DeclareQueue,
    /// The user may not send dead letters where the arguments say: it matters where the queue does not exist yet.
    pub refused_if_new: Option<Fault>,
}

/// A command for the catalog. Permissions were checked by the port.
#[derive(Clone, Debug)]
pub enum CatalogCommand {
    /// Answered with a `SessionEvent::Reply`.
    Request { connection: ConnectionId, vhost: Name, request: CatalogRequest },
    /// Answered by the queue's shard, or with a reply.
    DeclareQueue(Box<QueueDeclare>),
    /// From a shard: the queue is gone. With `reply`, the connection that deleted it hears how many ready messages
    /// went.
    QueueGone { queue: QueueId, reply: Option<(ConnectionId, u32)> },
    /// From a shard: the deletion of a queue that has a tombstone is with the store, so that whatever the catalog
    /// writes from now on is durable no sooner.
    QueueDropped { queue: QueueId },
    /// From a shard or a port: an answer that speaks of what may not be on disk yet (see [`View::is_written`]). It goes
    /// out once all is that was declared before it.
    ///
    /// [`View::is_written`]: crate::catalog::view::View::is_written
    Answer { connection: ConnectionId, reply: Reply },
    /// The connection is going: its exclusive queues are deleted. Answered where `reply` is set.
    ConnectionClosed { connection: ConnectionId, reply: bool },
    /// What the broker runs short of has changed; for those who hear of it.
    Alarms(Alarms),
}

/// What a connection asks of the catalog.
#[derive(Clone, Debug)]
pub enum CatalogRequest {
    /// The user may not send what is unroutable where the arguments say: it matters where the exchange does not exist
    /// yet.
    DeclareExchange {
        declare: DeclareExchange,
        refused_if_new: Option<Fault>,
    },
    DeleteExchange {
        name: Name,
        if_unused: bool,
    },
    Bind(BindingEnds, Binding),
    Unbind(BindingEnds, Binding),
    DeleteQueue {
        name: Name,
        if_unused: bool,
        if_empty: bool,
    },
}

/// What a binding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingEnds {
    Queue,
    Exchange,
}
