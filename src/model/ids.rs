//! Identities and points in time. All are small copies; none is ever reused within the life of a data
//! directory (queues, positions, blobs) or of a process (connections, consumers).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name of the catalog (vhost, exchange, queue, user): UTF-8, at most 255 bytes, cheap to clone.
pub type Name = Arc<str>;

/// The number of a channel on its connection, 1 to 65535. 0 is the connection itself.
pub type ChannelNumber = u16;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A queue, over all vhosts. A queue that is deleted and declared anew has a new id.
    QueueId(u64)
);
id!(
    /// An exchange, over all vhosts.
    ExchangeId(u64)
);
id!(
    /// A client connection, counted from the start of the process.
    ConnectionId(u64)
);
id!(
    /// A consumer on its connection, numbered by the session. A channel also has one number of its own under
    /// which its `basic.get` deliveries are unacked.
    ConsumerNumber(u32)
);
id!(
    /// The shard (owner task) a queue lives in.
    ShardIndex(u16)
);
id!(
    /// A message's place in its queue: strictly growing per queue in order of arrival. A requeued message keeps
    /// its position, which is what puts it back to its place.
    Position(u64)
);
id!(
    /// Milliseconds since the Unix epoch. The pure modules are told the time; they never ask for it.
    Timestamp(u64)
);

impl Position {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

impl Timestamp {
    /// This time plus `millis`, saturating.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis))
    }

    /// Whole seconds since the epoch, as AMQP timestamps count.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

/// A run of positions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PositionRange {
    pub first: Position,
    pub last: Position,
}

impl PositionRange {
    /// The range of one position.
    #[must_use]
    pub fn single(position: Position) -> PositionRange {
        PositionRange { first: position, last: position }
    }

    #[must_use]
    pub fn contains(self, position: Position) -> bool {
        self.first <= position && position <= self.last
    }
}

/// A consumer, over all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerKey {
    pub connection: ConnectionId,
    pub number: ConsumerNumber,
}

/// Where a queue is: what a routing result is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueRef {
    pub queue: QueueId,
    pub shard: ShardIndex,
}

/// Where a binding leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    Queue(QueueRef),
    Exchange(ExchangeId),
}
