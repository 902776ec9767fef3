//! The CC and BCC headers: more keys that a message is routed by (semantics.md 5.24).

use std::sync::Arc;

use bytes::BytesMut;
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{self, AMQPValue};

use crate::model::argument::type_name;
use crate::model::fault::Fault;
use crate::model::message::Message;

pub(super) const CC: &str = "CC";
pub(super) const BCC: &str = "BCC";

/// Adds the keys of one of the two headers; 406 where it is no array. What is no text in the array is passed over.
pub(super) fn keys(properties: Properties<'_>, header: &str, into: &mut Vec<Vec<u8>>) -> Result<(), Fault> {
    match properties.header(header) {
        None => Ok(()),
        Some(AMQPValue::FieldArray(keys)) => {
            into.extend(keys.as_slice().iter().filter_map(|key| match key {
                AMQPValue::LongString(key) => Some(key.as_bytes().to_vec()),
                _ => None,
            }));
            Ok(())
        }
        Some(other) => Err(Fault::precondition(format!(
            "invalid message: {{unacceptable_type_in_header,\"{header}\",{}}}",
            type_name(&other)
        ))),
    }
}

/// The message without its BCC header, which nobody who receives it may see.
pub(super) fn without_bcc(message: &Message, arena: &mut BytesMut) -> Arc<Message> {
    let properties = message.properties();
    let mut headers = properties.headers().unwrap_or_default().inner().clone();
    headers.remove(BCC);
    let headers = (!headers.is_empty()).then(|| table::encode(&headers.into()));
    let raw = properties.with(&[(Field::Headers, headers)]);
    Arc::new(Message::new(
        arena,
        message.exchange(),
        message.routing_key(),
        Properties::trusted(&raw),
        message.body().clone(),
        message.origin(),
    ))
}
