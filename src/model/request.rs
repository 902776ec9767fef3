//! What a session asks of the broker and waits for, one at a time per connection, and the answers. Names are as the
//! client sent them, with the channel's "last declared queue" already put in; everything else (existence,
//! permission, exclusive owners, arguments) is checked by the broker.

use leveret_codec::table::FieldTable;

use super::consuming::{ConsumeOptions, Delivery};
use super::fault::Fault;
use super::ids::{ConsumerNumber, Name, QueueRef};

#[derive(Clone, Debug)]
pub enum Request {
    DeclareExchange(DeclareExchange),
    DeleteExchange {
        name: Name,
        if_unused: bool,
    },
    BindExchange(Binding),
    UnbindExchange(Binding),
    DeclareQueue(DeclareQueue),
    DeleteQueue {
        name: Name,
        if_unused: bool,
        if_empty: bool,
    },
    /// `destination` of the binding is the queue.
    BindQueue(Binding),
    UnbindQueue(Binding),
    PurgeQueue {
        name: Name,
    },
    Consume {
        queue: Name,
        consumer: ConsumerNumber,
        options: ConsumeOptions,
    },
    Cancel {
        queue: QueueRef,
        consumer: ConsumerNumber,
    },
    Get {
        queue: Name,
        consumer: ConsumerNumber,
        no_ack: bool,
    },
    /// The connection is going: its exclusive queues are deleted before the answer.
    CloseConnection,
}

#[derive(Clone, Debug)]
pub struct DeclareExchange {
    pub name: Name,
    pub kind: Name,
    pub passive: bool,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: FieldTable,
}

#[derive(Clone, Debug)]
pub struct DeclareQueue {
    /// Empty: the broker makes a name (semantics 7.1).
    pub name: Name,
    pub passive: bool,
    pub durable: bool,
    pub exclusive: bool,
    pub auto_delete: bool,
    pub arguments: FieldTable,
}

#[derive(Clone, Debug)]
pub struct Binding {
    pub source: Name,
    pub destination: Name,
    pub routing_key: Name,
    pub arguments: FieldTable,
}

/// A count as it stands in a method: of 32 bits, with the highest for all that is more.
#[must_use]
pub fn clipped(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[derive(Clone, Debug)]
pub enum Reply {
    /// Done; exchange and binding methods, cancel, close.
    Done,
    QueueDeclared {
        name: Name,
        messages: u32,
        consumers: u32,
    },
    /// `queue.delete`, `queue.purge`: how many ready messages went.
    Count {
        messages: u32,
    },
    /// `basic.consume` was accepted, by the queue at this place. Deliveries follow.
    Consuming {
        queue: QueueRef,
    },
    /// `basic.get`: the message and how many ready ones remain.
    Got {
        delivery: Box<Delivery>,
        remaining: u32,
    },
    GotEmpty,
    /// Refused with this fault.
    Refused(Fault),
}
