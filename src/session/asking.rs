//! Asking the broker, and what the client is told once the answer came.

use leveret_codec::method::MethodId;
use leveret_codec::method::amqp::{AMQPClass, basic, queue};

use crate::model::counters::ChannelCount;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::port::{BrokerPort, Progress};
use crate::model::request::{Reply, Request};

use super::channel_context::ChannelContext;
use super::context::short;
use super::pending_request::{PendingRequest, RequestKind};

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
                self.channel.counts.add(ChannelCount::GetEmpty, 1);
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
