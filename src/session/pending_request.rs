//! The one answer a connection may be waiting for: what was asked, and what is said once it came. While there is
//! one, no further input of the connection is acted on, which is what keeps every channel in strict order
//! (semantics 0.11).

use leveret_codec::method::MethodId;
use leveret_codec::method::amqp::{AMQPClass, basic, queue};

use crate::model::consuming::NewConsumer;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::{ChannelNumber, ConsumerNumber, Name};
use crate::model::port::{BrokerPort, Progress};
use crate::model::request::{Reply, Request};

use super::channel_context::ChannelContext;
use super::context::short;

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

impl<P: BrokerPort> ChannelContext<'_, P> {
    /// Asks the broker; the client is answered now or later.
    pub(super) fn ask(
        &mut self,
        request: Request,
        method: MethodId,
        nowait: bool,
        kind: RequestKind,
    ) -> Result<(), Fault> {
        self.flush_settlement();
        let pending = PendingRequest { channel: self.number, method, nowait, kind };
        match self.out.port.request(self.out.now, request) {
            Progress::Done(reply) => self.answered(pending, reply),
            Progress::Pending => {
                self.shared.pending = Some(pending);
                Ok(())
            }
        }
    }

    /// The broker's answer came.
    pub(super) fn answered(&mut self, pending: PendingRequest, reply: Reply) -> Result<(), Fault> {
        let PendingRequest { nowait, kind, .. } = pending;
        let answer = match (kind, reply) {
            (_, Reply::Refused(fault)) => return Err(fault),
            (RequestKind::Plain(answer), Reply::Done) => answer,
            (RequestKind::DeclareQueue, Reply::QueueDeclared { name, messages, consumers }) => {
                let queue = short(&name);
                self.channel.last_queue = Some(name);
                AMQPClass::Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk {
                    queue,
                    message_count: messages,
                    consumer_count: consumers,
                }))
            }
            (RequestKind::DeleteQueue, Reply::Count { messages }) => {
                AMQPClass::Queue(queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: messages }))
            }
            (RequestKind::PurgeQueue, Reply::Count { messages }) => {
                AMQPClass::Queue(queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count: messages }))
            }
            (RequestKind::Consume { consumer, asked }, Reply::Consuming { queue }) => {
                self.consuming(*asked, consumer, queue, nowait);
                return Ok(());
            }
            (RequestKind::Cancel { tag }, Reply::Done) => {
                self.forget_consumer(&tag);
                cancel_ok(&tag)
            }
            (RequestKind::Get { no_ack }, Reply::Got { delivery, remaining }) => {
                self.got(&delivery, remaining, no_ack);
                return Ok(());
            }
            (RequestKind::Get { .. }, Reply::GotEmpty) => {
                AMQPClass::Basic(basic::AMQPMethod::GetEmpty(basic::GetEmpty {}))
            }
            _ => return Err(mismatch()),
        };
        if !nowait {
            self.say(&answer);
        }
        Ok(())
    }
}

pub(super) fn cancel_ok(tag: &str) -> AMQPClass {
    AMQPClass::Basic(basic::AMQPMethod::CancelOk(basic::CancelOk { consumer_tag: short(tag) }))
}

/// An answer to something else: a fault of ours, which closes the connection rather than the process.
fn mismatch() -> Fault {
    Fault::new(ReplyCode::InternalError, "the broker answered what was not asked")
}
