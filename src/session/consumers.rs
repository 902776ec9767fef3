//! Consumers: how one starts, goes, is cancelled by the broker (semantics section 10), and the direct reply-to
//! pseudo-queue (semantics section 15). Where deliveries go is in `delivering.rs`.

use leveret_codec::method::MethodId;
use leveret_codec::method::amqp::{AMQPClass, basic};
use leveret_codec::table::FieldTable;

use crate::model::argument::{integer, type_name};
use crate::model::consuming::{ConsumeOptions, NewConsumer};
use crate::model::counters::ConsumerCount;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::{ConsumerNumber, Name, QueueRef};
use crate::model::port::BrokerPort;
use crate::model::request::Request;
use crate::model::resource::Resource;
use crate::model::sparse::ShrinkIfSparse;

use super::asking::cancel_ok;
use super::channel::DirectReply;
use super::channel_context::{ChannelContext, Consumer};
use super::context::short;
use super::pending_request::RequestKind;

/// The pseudo-queue of direct replies (semantics 15.1).
pub(super) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Consumer arguments that RabbitMQ knows of streams only.
const OF_STREAMS: [&str; 3] = ["x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"];

impl<P: BrokerPort> ChannelContext<'_, P> {
    /// basic.consume (semantics 10.1 to 10.6).
    pub(super) fn consume(&mut self, method: &basic::Consume, id: MethodId) -> Result<(), Fault> {
        if method.queue.as_str() == REPLY_TO {
            return self.consume_direct_replies(method);
        }
        let tag = self.new_tag(method.consumer_tag.as_str())?;
        let queue = self.named_queue(method.queue.as_str())?;
        let options = ConsumeOptions {
            no_ack: method.no_ack,
            exclusive: method.exclusive,
            prefetch: self.channel.prefetch,
            priority: priority(&method.arguments, &queue, &self.shared.vhost)?,
            timeout: timeout(&method.arguments, &queue, &self.shared.vhost)?,
            of_streams: OF_STREAMS.into_iter().find(|&name| method.arguments.inner().contains_key(name)),
        };
        let consumer = self.shared.next_consumer();
        let request = Request::Consume { queue: queue.clone(), consumer, options };
        let asked = Box::new(NewConsumer { tag, queue, options, arguments: method.arguments.clone() });
        self.ask(request, id, method.nowait, RequestKind::Consume { consumer, asked })
    }

    /// The queue accepted the consumer: consume-ok comes before its first delivery (semantics 10.2).
    pub(super) fn consuming(
        &mut self,
        asked: NewConsumer,
        number: ConsumerNumber,
        queue: QueueRef,
        nowait: bool,
    ) {
        let no_ack = asked.options.no_ack;
        if self.channel.shared_prefetch.paused && !no_ack {
            self.out.port.set_paused(queue, number, true);
        }
        self.out.port.consumer_began(self.out.now, self.number, &asked);
        let NewConsumer { tag, queue: queue_name, options, arguments } = asked;
        let (queue, counts) = (Some(queue), ConsumerCount::default());
        let arguments = (!arguments.inner().is_empty()).then(|| Box::new(arguments));
        let channel = self.number;
        let consumer = Consumer { channel, tag, queue, queue_name, no_ack, counts, options, arguments };
        self.add_consumer(number, consumer, nowait);
    }

    /// basic.cancel. An unknown tag is answered as a known one (semantics 10.8).
    pub(super) fn cancel(&mut self, method: &basic::Cancel, id: MethodId) -> Result<(), Fault> {
        let tag = Name::from(method.consumer_tag.as_str());
        let number = self.channel.consumers.get(&tag).copied();
        let consumer = number.and_then(|number| Some((number, self.shared.consumers.get(&number)?)));
        if let Some((consumer, Consumer { queue: Some(queue), .. })) = consumer {
            let request = Request::Cancel { queue: *queue, consumer };
            return self.ask(request, id, method.nowait, RequestKind::Cancel { tag });
        }
        self.forget_consumer(&tag);
        if !method.nowait {
            self.say(&cancel_ok(&tag));
        }
        Ok(())
    }

    /// The queue of a consumer is gone; the client is told where it can hear it (semantics 10.9).
    pub(super) fn consumer_cancelled(&mut self, tag: &Name) {
        self.forget_consumer(tag);
        if self.shared.client.consumer_cancel_notify {
            let cancel = basic::Cancel { consumer_tag: short(tag), nowait: true };
            self.say(&AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
        }
    }

    /// A delivery was held for too long, and the queue took it back. The client is told that the consumer is cancelled
    /// where it can hear it; else, or where there is no consumer to cancel, the channel is closed with 406 (semantics
    /// 11.7).
    pub(super) fn consumer_timed_out(&mut self, tag: Option<&Name>, timeout: u64) -> Result<(), Fault> {
        let Some(tag) = tag.filter(|_| self.shared.client.consumer_cancel_notify) else {
            return Err(Fault::precondition(format!(
                "delivery acknowledgement on channel {} timed out. Timeout value used: {timeout} ms. This timeout value \
                 can be configured, see consumers doc guide to learn more",
                self.number
            )));
        };
        self.consumer_cancelled(tag);
        Ok(())
    }

    /// The consumer is no more. What it holds unacked stays with the channel.
    pub(super) fn forget_consumer(&mut self, tag: &Name) {
        let Some(number) = self.channel.consumers.remove(tag) else { return };
        self.remove_consumer(number);
        if self.channel.direct_reply.as_ref().is_some_and(|reply| reply.consumer == number) {
            self.channel.direct_reply = None;
            self.out.port.close_direct_reply(number);
        }
    }

    /// Takes a consumer out of the connection's list, and says so. Returns the queue it was of.
    pub(super) fn remove_consumer(&mut self, number: ConsumerNumber) -> Option<QueueRef> {
        let consumer = self.shared.consumers.remove(&number)?;
        self.shared.consumers.shrink_if_sparse();
        let queue = consumer.queue?;
        self.out.port.consumer_ended(self.out.now, self.number, &consumer.tag, &consumer.queue_name);
        Some(queue)
    }

    fn consume_direct_replies(&mut self, method: &basic::Consume) -> Result<(), Fault> {
        if self.channel.direct_reply.is_some() {
            return Err(Fault::precondition("reply consumer already set"));
        }
        if !method.no_ack {
            return Err(Fault::precondition("reply consumer cannot acknowledge"));
        }
        let tag = self.new_tag(method.consumer_tag.as_str())?;
        let consumer = self.shared.next_consumer();
        let address = self.out.port.open_direct_reply(consumer);
        self.channel.direct_reply = Some(DirectReply { consumer, address });
        let queue_name = REPLY_TO.into();
        let options = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
        let (counts, arguments) = (ConsumerCount::default(), None);
        let described = Consumer {
            channel: self.number,
            tag,
            queue: None,
            queue_name,
            no_ack: true,
            counts,
            options,
            arguments,
        };
        self.add_consumer(consumer, described, method.nowait);
        Ok(())
    }

    fn add_consumer(&mut self, number: ConsumerNumber, consumer: Consumer, nowait: bool) {
        if !nowait {
            let consume_ok = basic::ConsumeOk { consumer_tag: short(&consumer.tag) };
            self.say(&AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(consume_ok)));
        }
        self.channel.consumers.insert(consumer.tag.clone(), number);
        self.shared.consumers.insert(number, consumer);
    }

    /// The tag of a new consumer, made up where it is empty. 530 where it is taken (semantics 10.1), or where
    /// the channel has consumers enough (semantics 10.5).
    fn new_tag(&mut self, asked: &str) -> Result<Name, Fault> {
        if self.channel.consumers.contains_key(asked) {
            let text = format!("attempt to reuse consumer tag '{asked}'");
            return Err(Fault::new(ReplyCode::NotAllowed, text));
        }
        let most = self.out.limits.consumers_per_channel as u64;
        let most = self.out.port.most_consumers().map_or(most, |of_node| most.min(of_node));
        if self.channel.consumers.len() as u64 >= most {
            let text = format!("reached maximum ({most}) of consumers per channel");
            return Err(Fault::new(ReplyCode::NotAllowed, text));
        }
        Ok(if asked.is_empty() { self.shared.names.name("amq.ctag-") } else { Name::from(asked) })
    }
}

/// `x-priority`, cut to what we tell apart. 406 where it is no integer (semantics 10.6).
fn priority(arguments: &FieldTable, queue: &str, vhost: &str) -> Result<i32, Fault> {
    let Some(number) = number(arguments, "x-priority", queue, vhost)? else { return Ok(0) };
    let within = number.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    Ok(i32::try_from(within).unwrap_or_default())
}

/// `x-consumer-timeout` in milliseconds. 406 where it is no integer, or negative (semantics 11.7).
fn timeout(arguments: &FieldTable, queue: &str, vhost: &str) -> Result<Option<u64>, Fault> {
    let Some(number) = number(arguments, "x-consumer-timeout", queue, vhost)? else { return Ok(None) };
    u64::try_from(number).map(Some).map_err(|_| {
        let queue = Resource::queue(queue, vhost);
        Fault::precondition(format!(
            "invalid arg 'x-consumer-timeout' for {queue}: {{value_negative,{number}}}"
        ))
    })
}

fn number(arguments: &FieldTable, name: &str, queue: &str, vhost: &str) -> Result<Option<i64>, Fault> {
    let Some(value) = arguments.inner().get(name) else { return Ok(None) };
    integer(value).map(Some).ok_or_else(|| {
        let (queue, kind) = (Resource::queue(queue, vhost), type_name(value));
        Fault::precondition(format!("invalid arg '{name}' for {queue}: \"expected integer, got {kind}\""))
    })
}
