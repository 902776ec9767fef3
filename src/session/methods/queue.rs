//! Class queue (semantics section 6 to 8): requests to the broker, with the channel's last declared queue put in
//! where a method names none.

use leveret_codec::method::MethodId;
use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::method::amqp::queue::{AMQPMethod, BindOk, UnbindOk};
use leveret_codec::table::FieldTable;

use crate::model::counters::ChannelCount;
use crate::model::fault::Fault;
use crate::model::ids::Name;
use crate::model::port::BrokerPort;
use crate::model::request::{Binding, DeclareQueue, Request};
use crate::session::channel_context::ChannelContext;
use crate::session::failure::unimplemented;
use crate::session::pending_request::RequestKind;

impl<P: BrokerPort> ChannelContext<'_, P> {
    pub(in crate::session) fn queue_method(&mut self, method: AMQPMethod, id: MethodId) -> Result<(), Fault> {
        let (request, nowait, kind) = match method {
            AMQPMethod::Declare(declare) => {
                if !declare.passive {
                    self.channel.counts.add(ChannelCount::DeclareQueue, 1);
                }
                let request = Request::DeclareQueue(DeclareQueue {
                    name: Name::from(declare.queue.as_str()),
                    passive: declare.passive,
                    durable: declare.durable,
                    exclusive: declare.exclusive,
                    auto_delete: declare.auto_delete,
                    arguments: declare.arguments,
                });
                (request, declare.nowait, RequestKind::DeclareQueue)
            }
            AMQPMethod::Bind(bind) => {
                let (queue, source) = (bind.queue.as_str(), bind.exchange.as_str());
                let binding = self.binding(queue, source, bind.routing_key.as_str(), bind.arguments)?;
                let answer = AMQPClass::Queue(AMQPMethod::BindOk(BindOk {}));
                (Request::BindQueue(binding), bind.nowait, RequestKind::Plain(answer))
            }
            AMQPMethod::Unbind(unbind) => {
                let (queue, source) = (unbind.queue.as_str(), unbind.exchange.as_str());
                let binding = self.binding(queue, source, unbind.routing_key.as_str(), unbind.arguments)?;
                let answer = AMQPClass::Queue(AMQPMethod::UnbindOk(UnbindOk {}));
                (Request::UnbindQueue(binding), false, RequestKind::Plain(answer))
            }
            AMQPMethod::Purge(purge) => {
                let name = self.named_queue(purge.queue.as_str())?;
                (Request::PurgeQueue { name }, purge.nowait, RequestKind::PurgeQueue)
            }
            AMQPMethod::Delete(delete) => {
                let name = self.named_queue(delete.queue.as_str())?;
                let (if_unused, if_empty) = (delete.if_unused, delete.if_empty);
                (Request::DeleteQueue { name, if_unused, if_empty }, delete.nowait, RequestKind::DeleteQueue)
            }
            AMQPMethod::DeclareOk(_)
            | AMQPMethod::BindOk(_)
            | AMQPMethod::PurgeOk(_)
            | AMQPMethod::DeleteOk(_)
            | AMQPMethod::UnbindOk(_) => return Err(unimplemented()),
        };
        self.ask(request, id, nowait, kind)
    }

    /// A queue's binding. Where neither queue nor routing key is named, the last declared queue's name is both
    /// (semantics 6.2).
    fn binding(
        &self,
        queue: &str,
        source: &str,
        routing_key: &str,
        arguments: FieldTable,
    ) -> Result<Binding, Fault> {
        let destination = self.named_queue(queue)?;
        let routing_key = if queue.is_empty() && routing_key.is_empty() {
            destination.clone()
        } else {
            Name::from(routing_key)
        };
        Ok(Binding { source: Name::from(source), destination, routing_key, arguments })
    }
}
