//! Class exchange (semantics section 5, section 6): each method is a request to the broker.

use leveret_codec::method::MethodId;
use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::method::amqp::exchange::{AMQPMethod, BindOk, DeclareOk, DeleteOk, UnbindOk};

use crate::model::fault::Fault;
use crate::model::ids::Name;
use crate::model::port::BrokerPort;
use crate::model::request::{Binding, DeclareExchange, Request};
use crate::session::channel_context::ChannelContext;
use crate::session::failure::unimplemented;
use crate::session::pending_request::RequestKind;

impl<P: BrokerPort> ChannelContext<'_, P> {
    pub(in crate::session) fn exchange_method(
        &mut self,
        method: AMQPMethod,
        id: MethodId,
    ) -> Result<(), Fault> {
        let (request, nowait, answer) = match method {
            AMQPMethod::Declare(declare) => {
                let request = Request::DeclareExchange(DeclareExchange {
                    name: Name::from(declare.exchange.as_str()),
                    kind: Name::from(declare.kind.as_str()),
                    passive: declare.passive,
                    durable: declare.durable,
                    auto_delete: declare.auto_delete,
                    internal: declare.internal,
                    arguments: declare.arguments,
                });
                (request, declare.nowait, AMQPMethod::DeclareOk(DeclareOk {}))
            }
            AMQPMethod::Delete(delete) => {
                let name = Name::from(delete.exchange.as_str());
                let request = Request::DeleteExchange { name, if_unused: delete.if_unused };
                (request, delete.nowait, AMQPMethod::DeleteOk(DeleteOk {}))
            }
            AMQPMethod::Bind(bind) => {
                let request = Request::BindExchange(Binding {
                    source: Name::from(bind.source.as_str()),
                    destination: Name::from(bind.destination.as_str()),
                    routing_key: Name::from(bind.routing_key.as_str()),
                    arguments: bind.arguments,
                });
                (request, bind.nowait, AMQPMethod::BindOk(BindOk {}))
            }
            AMQPMethod::Unbind(unbind) => {
                let request = Request::UnbindExchange(Binding {
                    source: Name::from(unbind.source.as_str()),
                    destination: Name::from(unbind.destination.as_str()),
                    routing_key: Name::from(unbind.routing_key.as_str()),
                    arguments: unbind.arguments,
                });
                (request, unbind.nowait, AMQPMethod::UnbindOk(UnbindOk {}))
            }
            AMQPMethod::DeclareOk(_)
            | AMQPMethod::DeleteOk(_)
            | AMQPMethod::BindOk(_)
            | AMQPMethod::UnbindOk(_) => return Err(unimplemented()),
        };
        self.ask(request, id, nowait, RequestKind::Plain(AMQPClass::Exchange(answer)))
    }
}
