//! The way out: deliveries get their tag, are remembered as unacked and written; and the prefetch that the consumers
//! of a channel share (semantics 4.6, 10.10 to 10.12, 11.6).

use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{self, AMQPValue};
use leveret_codec::write::Content;

use crate::model::consuming::{Delivery, Settlement};
use crate::model::counters::ChannelCount;
use crate::model::ids::{ChannelNumber, PositionRange};
use crate::model::op::Attempts;
use crate::model::port::BrokerPort;

use super::channel::Channel;
use super::channel_context::{ChannelContext, Consumer};
use super::context::{Context, short};

/// Writes a delivery to a consumer, or gives it back where the channel's shared prefetch is used up. Whether that is so
/// now is to be looked at next ([`ChannelContext::adapt_pause`]).
pub(super) fn deliver<P: BrokerPort>(
    delivery: &Delivery,
    number: ChannelNumber,
    channel: &mut Channel,
    consumer: &mut Consumer,
    out: &mut Context<P>,
) {
    if !consumer.no_ack && channel.shared_prefetch.is_full() {
        let range = PositionRange::single(delivery.position);
        out.port.settle(delivery.queue, delivery.consumer, range, Settlement::Release);
        return;
    }
    let delivery_tag = channel.next_tag();
    if !consumer.no_ack {
        channel.remember(delivery, delivery_tag, delivery.consumer, true);
    }
    channel.counts.delivered(&mut consumer.counts, consumer.no_ack, delivery.redelivered);
    out.tally.delivered += 1;
    out.port.delivered(number, delivery);
    let message = &delivery.message;
    let properties = counted_properties(delivery);
    let properties = properties.as_deref().map_or_else(|| message.properties(), Properties::trusted);
    let body = message.body();
    out.output.deliver(
        number,
        &consumer.tag,
        delivery_tag,
        delivery.redelivered,
        message.exchange(),
        message.routing_key(),
        Content { properties, body_len: body.len(), body: body.slices() },
        out.frame_max,
    );
}

impl<P: BrokerPort> ChannelContext<'_, P> {
    /// Writes basic.get-ok.
    pub(super) fn got(&mut self, delivery: &Delivery, remaining: u32, no_ack: bool) {
        let delivery_tag = self.channel.next_tag();
        if !no_ack {
            let getter = self.channel.getter;
            self.channel.remember(delivery, delivery_tag, getter, false);
        }
        let count = if no_ack { ChannelCount::GetNoAck } else { ChannelCount::Get };
        self.channel.counts.add(count, 1);
        if delivery.redelivered {
            self.channel.counts.add(ChannelCount::Redelivered, 1);
        }
        self.out.tally.delivered += 1;
        self.out.port.delivered(self.number, delivery);
        let message = &delivery.message;
        let properties = counted_properties(delivery);
        let properties = properties.as_deref().map_or_else(|| message.properties(), Properties::trusted);
        let body = message.body();
        self.out.output.get_ok(
            self.number,
            delivery_tag,
            delivery.redelivered,
            message.exchange(),
            message.routing_key(),
            remaining,
            Content { properties, body_len: body.len(), body: body.slices() },
            self.out.frame_max,
        );
    }

    /// Pauses the channel's consumers when its shared prefetch is used up, resumes them when there is room.
    pub(super) fn adapt_pause(&mut self) {
        let full = self.channel.shared_prefetch.is_full();
        if full == self.channel.shared_prefetch.paused {
            return;
        }
        self.channel.shared_prefetch.paused = full;
        for number in self.channel.consumers.values() {
            let consumer = self.shared.consumers.get(number).filter(|consumer| !consumer.no_ack);
            if let Some(queue) = consumer.and_then(|consumer| consumer.queue) {
                self.out.port.set_paused(queue, *number, full);
            }
        }
    }
}

/// The properties with what was counted in their headers, where something was (semantics 11.6).
fn counted_properties(delivery: &Delivery) -> Option<Vec<u8>> {
    let Attempts { acquired, failed } = delivery.attempts;
    if acquired == 0 {
        return None;
    }
    let properties = delivery.message.properties();
    let mut headers = properties.headers().unwrap_or_default();
    for (header, count) in [("x-acquired-count", acquired), ("x-delivery-count", failed)] {
        if count > 0 {
            headers.insert(short(header), AMQPValue::LongLongInt(i64::from(count)));
        }
    }
    Some(properties.with(&[(Field::Headers, Some(table::encode(&headers)))]))
}
