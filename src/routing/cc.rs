//! The keys that a message is routed by: its own, and those in its CC and BCC headers (semantics 5.24). That nobody
//! sees BCC is the message's own affair.

use std::collections::BTreeMap;

use leveret_codec::properties::Properties;
use leveret_codec::table::AMQPValue;

use crate::model::argument::type_name;
use crate::model::fault::Fault;
use crate::model::message::{BCC, Message, Origin};

const CC: &str = "CC";

/// The keys that the headers of a publish add; 406 where one of the two is no array.
pub(crate) fn cc_keys(message: &Message) -> Result<Vec<Vec<u8>>, Fault> {
    let mut keys = listed(message.properties(), CC)?;
    if message.has_bcc() {
        keys.extend(listed(message.properties_with_bcc(), BCC)?);
    }
    Ok(keys)
}

/// All keys of a message that was accepted, its own first. A dead letter whose key was replaced has no other.
pub(crate) fn routing_keys(message: &Message) -> Vec<Vec<u8>> {
    let mut keys = vec![message.routing_key().to_vec()];
    if message.origin() != Origin::Readdressed {
        // That they are arrays was checked when it was published.
        keys.extend(cc_keys(message).unwrap_or_default());
    }
    keys
}

/// Those of its keys that may be shown: without as many of each as BCC has, the first ones, as RabbitMQ does.
pub(crate) fn visible_keys(message: &Message) -> Vec<Vec<u8>> {
    let mut keys = routing_keys(message);
    if message.has_bcc() {
        let mut hidden: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for key in listed(message.properties_with_bcc(), BCC).unwrap_or_default() {
            *hidden.entry(key).or_default() += 1;
        }
        keys.retain(|key| match hidden.get_mut(key) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        });
    }
    keys
}

/// The texts in the array that a header is; 406 where it is none. What is no text in it is passed over.
fn listed(properties: Properties<'_>, header: &str) -> Result<Vec<Vec<u8>>, Fault> {
    match properties.header(header) {
        None => Ok(Vec::new()),
        Some(AMQPValue::FieldArray(keys)) => {
            let texts = keys.as_slice().iter().filter_map(|key| match key {
                AMQPValue::LongString(key) => Some(key.as_bytes().to_vec()),
                _ => None,
            });
            Ok(texts.collect())
        }
        Some(other) => Err(Fault::precondition(format!(
            "invalid message: {{unacceptable_type_in_header,\"{header}\",{}}}",
            type_name(&other)
        ))),
    }
}
