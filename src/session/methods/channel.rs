//! Classes channel and access (semantics section 4). Opening a channel is the connection's.

use leveret_codec::method::amqp::channel::{AMQPMethod, CloseOk, FlowOk};
use leveret_codec::method::amqp::{AMQPClass, access};

use crate::model::fault::{Fault, ReplyCode};
use crate::model::port::BrokerPort;
use crate::session::channel_context::{ChannelContext, ChannelOutcome};
use crate::session::failure::unimplemented;

impl<P: BrokerPort> ChannelContext<'_, P> {
    pub(in crate::session) fn channel_method(
        &mut self,
        method: &AMQPMethod,
    ) -> Result<ChannelOutcome, Fault> {
        match method {
            AMQPMethod::Open(_) => {
                return Err(Fault::new(ReplyCode::ChannelError, "second 'channel.open' seen"));
            }
            AMQPMethod::Flow(flow) if !flow.active => return Err(Fault::not_implemented("active=false")),
            AMQPMethod::Flow(_) => {
                self.say(&AMQPClass::Channel(AMQPMethod::FlowOk(FlowOk { active: true })));
            }
            AMQPMethod::Close(_) => {
                self.flush_confirms();
                self.release();
                self.say(&AMQPClass::Channel(AMQPMethod::CloseOk(CloseOk {})));
                return Ok(ChannelOutcome::Closed);
            }
            AMQPMethod::OpenOk(_) | AMQPMethod::FlowOk(_) | AMQPMethod::CloseOk(_) => {
                return Err(unimplemented());
            }
        }
        Ok(ChannelOutcome::Goes)
    }

    /// Any realm is granted ticket 1 (semantics 4.4).
    pub(in crate::session) fn access_method(&mut self, method: &access::AMQPMethod) -> Result<(), Fault> {
        match method {
            access::AMQPMethod::Request(_) => {
                self.say(&AMQPClass::Access(access::AMQPMethod::RequestOk(access::RequestOk {})));
                Ok(())
            }
            access::AMQPMethod::RequestOk(_) => Err(unimplemented()),
        }
    }
}
