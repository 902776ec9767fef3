//! The one answer a connection may be waiting for, and what was asked. While there is one, no further input of the
//! connection is acted on, which is what keeps every channel in strict order (semantics 0.11).

use leveret_codec::method::MethodId;
use leveret_codec::method::amqp::AMQPClass;

use crate::model::consuming::NewConsumer;
use crate::model::ids::{ChannelNumber, ConsumerNumber, Name};
use crate::model::port::BrokerPort;
use crate::model::request::Reply;

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub channel: ChannelNumber,
    /// Who is blamed when it is refused.
    pub method: MethodId,
    /// The client wants no answer.
    pub nowait: bool,
    pub kind: RequestKind,
}

#[derive(Debug)]
pub(super) enum RequestKind {
    /// Done, and this is the answer to the client.
    Plain(AMQPClass),
    DeclareQueue,
    DeleteQueue,
    PurgeQueue,
    Consume {
        consumer: ConsumerNumber,
        asked: Box<NewConsumer>,
    },
    Cancel {
        tag: Name,
    },
    Get {
        no_ack: bool,
    },
    /// tx.commit waits for confirms, not for a reply.
    Commit {
        waiting: usize,
        refused: bool,
    },
}

impl PendingRequest {
    /// The channel was closed meanwhile, and nobody will take what it asked for.
    pub(super) fn give_back<P: BrokerPort>(&self, reply: &Reply, port: &mut P) {
        match (&self.kind, reply) {
            (RequestKind::Consume { consumer, .. }, Reply::Consuming { queue }) => {
                port.detach(*queue, *consumer);
            }
            (RequestKind::Get { no_ack: false }, Reply::Got { delivery, .. }) => {
                port.detach(delivery.queue, delivery.consumer);
            }
            _ => {}
        }
    }
}
