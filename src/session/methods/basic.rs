//! Class basic but for publish, consumers and acks: qos, get, recover (semantics 10.10, 10.11, 11.4).

use leveret_codec::method::MethodId;
use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::method::amqp::basic::{AMQPMethod, Get, Qos, QosOk, RecoverOk};

use crate::model::fault::Fault;
use crate::model::port::BrokerPort;
use crate::model::request::Request;
use crate::session::channel_context::ChannelContext;
use crate::session::failure::unimplemented;
use crate::session::pending_request::RequestKind;

impl<P: BrokerPort> ChannelContext<'_, P> {
    /// `payload` is the method's frame.
    pub(in crate::session) fn basic_method(
        &mut self,
        method: AMQPMethod,
        payload: &[u8],
        id: MethodId,
    ) -> Result<(), Fault> {
        match method {
            AMQPMethod::Qos(qos) => self.qos(&qos, payload),
            AMQPMethod::Consume(consume) => self.consume(&consume, id),
            AMQPMethod::Cancel(cancel) => self.cancel(&cancel, id),
            AMQPMethod::Get(get) => self.get(&get, id),
            AMQPMethod::RecoverAsync(recover) => self.recover(recover.requeue),
            AMQPMethod::Recover(recover) => {
                self.recover(recover.requeue)?;
                self.say(&AMQPClass::Basic(AMQPMethod::RecoverOk(RecoverOk {})));
                Ok(())
            }
            // The answer to a cancel of ours, which asked for none (semantics 10.9).
            AMQPMethod::CancelOk(_) => Ok(()),
            _ => Err(unimplemented()),
        }
    }

    /// basic.qos: of consumers to come, or shared by the channel (semantics 10.11).
    fn qos(&mut self, qos: &Qos, payload: &[u8]) -> Result<(), Fault> {
        let size = prefetch_size(payload);
        if size != 0 {
            return Err(Fault::not_implemented(format!("prefetch_size!=0 ({size})")));
        }
        if qos.global {
            let most = self.out.limits.unacked_per_channel;
            self.channel.shared_prefetch.asked = u64::from(qos.prefetch_count);
            self.channel.shared_prefetch.limit = match qos.prefetch_count {
                0 => most,
                count => most.min(usize::from(count)),
            };
            self.adapt_pause();
        } else {
            self.channel.prefetch = qos.prefetch_count;
        }
        self.say(&AMQPClass::Basic(AMQPMethod::QosOk(QosOk {})));
        Ok(())
    }

    /// basic.get; on the direct reply-to pseudo-queue the broker finds no queue (404), as RabbitMQ does.
    fn get(&mut self, get: &Get, id: MethodId) -> Result<(), Fault> {
        let queue = self.named_queue(get.queue.as_str())?;
        let (consumer, no_ack) = (self.channel.getter, get.no_ack);
        let request = Request::Get { queue, consumer, no_ack };
        self.ask(request, id, false, RequestKind::Get { no_ack })
    }
}

/// The first argument of basic.qos, which amq-protocol's parser passes over.
fn prefetch_size(payload: &[u8]) -> u32 {
    payload.get(4..).and_then(|arguments| arguments.first_chunk()).map_or(0, |size| u32::from_be_bytes(*size))
}
