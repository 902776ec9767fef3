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

use super::outside::short;
use super::turn::Turn;

/// A question that is open.
#[derive(Debug)]
pub(super) struct Awaiting {
    pub channel: ChannelNumber,
    /// Who is blamed when it is refused.
    pub method: MethodId,
    /// The client wants no answer.
    pub nowait: bool,
    pub question: Question,
}

#[derive(Debug)]
pub(super) enum Question {
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

impl Awaiting {
    /// The channel was closed meanwhile, and nobody will take what it asked for.
    pub(super) fn give_back<P: BrokerPort>(&self, reply: &Reply, port: &mut P) {
        match (&self.question, reply) {
            (Question::Consume { consumer, .. }, Reply::Consuming { queue }) => {
                port.detach(*queue, *consumer);
            }
            (Question::Get { no_ack: false }, Reply::Got { delivery, .. }) => {
                port.detach(delivery.queue, delivery.consumer);
            }
            _ => {}
        }
    }
}

impl<P: BrokerPort> Turn<'_, P> {
    /// Asks the broker; the client is answered now or later.
    pub(super) fn ask(
        &mut self,
        request: Request,
        method: MethodId,
        nowait: bool,
        question: Question,
    ) -> Result<(), Fault> {
        self.flush_settlement();
        let awaiting = Awaiting { channel: self.number, method, nowait, question };
        match self.out.port.request(self.out.now, request) {
            Progress::Done(reply) => self.answered(awaiting, reply),
            Progress::Pending => {
                self.shared.awaiting = Some(awaiting);
                Ok(())
            }
        }
    }

    /// The broker's answer came.
    pub(super) fn answered(&mut self, awaiting: Awaiting, reply: Reply) -> Result<(), Fault> {
        let Awaiting { nowait, question, .. } = awaiting;
        let answer = match (question, reply) {
            (_, Reply::Refused(fault)) => return Err(fault),
            (Question::Plain(answer), Reply::Done) => answer,
            (Question::DeclareQueue, Reply::QueueDeclared { name, messages, consumers }) => {
                let queue = short(&name);
                self.channel.last_queue = Some(name);
                AMQPClass::Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk {
                    queue,
                    message_count: messages,
                    consumer_count: consumers,
                }))
            }
            (Question::DeleteQueue, Reply::Count { messages }) => {
                AMQPClass::Queue(queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: messages }))
            }
            (Question::PurgeQueue, Reply::Count { messages }) => {
                AMQPClass::Queue(queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count: messages }))
            }
            (Question::Consume { consumer, asked }, Reply::Consuming { queue }) => {
                self.consuming(*asked, consumer, queue, nowait);
                return Ok(());
            }
            (Question::Cancel { tag }, Reply::Done) => {
                self.forget_consumer(&tag);
                cancel_ok(&tag)
            }
            (Question::Get { no_ack }, Reply::Got { delivery, remaining }) => {
                self.got(&delivery, remaining, no_ack);
                return Ok(());
            }
            (Question::Get { .. }, Reply::GotEmpty) => {
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
