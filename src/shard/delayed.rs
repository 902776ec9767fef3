//! What a message looks like once its delay is over (semantics 5.29). Where it waited is the internal queue of the
//! exchange; where it goes then is the shard's.

use bytes::BytesMut;
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{self, AMQPValue};

use crate::model::delay::{self, delay};
use crate::model::message::Message;

/// The message, with its delay negated: so clients know it, and no exchange delays it again.
pub(crate) fn released(message: &Message) -> Message {
    let properties = message.properties_with_bcc();
    let millis = delay(properties).map_or(0, i64::from);
    let negated = i32::try_from(-millis).map_or(AMQPValue::LongLongInt(-millis), AMQPValue::LongInt);
    let headers = table::edit(properties.raw_headers().unwrap_or(&[0; 4]), &[(delay::HEADER, Some(negated))]);
    let raw = properties.with(&[(Field::Headers, Some(headers))]);
    Message::new(
        &mut BytesMut::new(),
        message.exchange(),
        message.routing_key(),
        Properties::trusted(&raw),
        message.body().clone(),
        message.origin(),
    )
}
