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
    /// One of the nodes that are a broker together. 0 is none: it is left for what belongs to no node alone.
    NodeNumber(u8)
);
id!(
    /// A client connection: its node in the upper 16 bits (of which a node needs 8), and below them its number, counted from
    /// the start of that node's process.
    ConnectionId(u64)
);
id!(
    /// A consumer on its connection, numbered by the session. A channel also has one number of its own under
    /// which its `basic.get` deliveries are unacked.
    ConsumerNumber(u32)
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

/// The shard (owner) a queue lives in, over all nodes: the node in the upper byte, and which of the node's shards it is in
/// the lower one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardIndex(u16);

impl NodeNumber {
    /// The node of a broker that is one node.
    pub const ALONE: NodeNumber = NodeNumber(1);
}

impl ConnectionId {
    /// Bits of the number.
    const NUMBER: u32 = 48;

    /// Connection `number` of a node.
    #[must_use]
    pub fn new(node: NodeNumber, number: u64) -> ConnectionId {
        debug_assert!(number < 1 << Self::NUMBER, "a million connections a second for nine years");
        ConnectionId(u64::from(node.0) << Self::NUMBER | number)
    }

    #[must_use]
    pub fn node(self) -> NodeNumber {
        NodeNumber(self.0.to_be_bytes()[1])
    }

    /// Which connection of its node it is.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0 & ((1 << Self::NUMBER) - 1)
    }
}

impl ShardIndex {
    /// Shard `number` of a node.
    #[must_use]
    pub const fn new(node: NodeNumber, number: u8) -> ShardIndex {
        ShardIndex(u16::from_be_bytes([node.0, number]))
    }

    /// Shard `number` of a broker that is one node.
    #[must_use]
    pub const fn alone(number: u8) -> ShardIndex {
        ShardIndex::new(NodeNumber::ALONE, number)
    }

    /// The first `count` shards of a node, which has 256 at the most.
    pub fn of_node(node: NodeNumber, count: u16) -> impl Iterator<Item = ShardIndex> {
        (0..=u8::MAX).take(usize::from(count)).map(move |number| ShardIndex::new(node, number))
    }

    #[must_use]
    pub const fn node(self) -> NodeNumber {
        NodeNumber(self.0.to_be_bytes()[0])
    }

    /// Which shard of its node it is.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0.to_be_bytes()[1] as usize
    }
}

/// As logs name it.
impl fmt::Display for ShardIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            NodeNumber::ALONE => write!(f, "{}", self.number()),
            node => write!(f, "{} of node {node}", self.number()),
        }
    }
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_know_their_node_and_their_number_there() {
        let (here, there) = (NodeNumber::ALONE, NodeNumber(255));
        for (node, number) in [(here, 0), (here, 255), (there, 7)] {
            let shard = ShardIndex::new(node, number);
            assert_eq!((shard.node(), shard.number()), (node, usize::from(number)));
        }
        assert_eq!(ShardIndex::of_node(there, 256).last(), Some(ShardIndex::new(there, 255)));
        let names = [ShardIndex::alone(3), ShardIndex::new(there, 3)].map(|shard| shard.to_string());
        assert_eq!(names, ["3", "3 of node 255"]);
        for (node, number) in [(here, 1), (there, (1 << 48) - 1)] {
            let connection = ConnectionId::new(node, number);
            assert_eq!((connection.node(), connection.number()), (node, number));
        }
        assert_ne!(ConnectionId::new(here, 5), ConnectionId::new(there, 5));
    }
}
