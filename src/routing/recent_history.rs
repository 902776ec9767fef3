//! The recent history exchange: a fanout that remembers its last messages for those who are bound later (semantics
//! 5.28). Here is which messages and how many; who remembers them is the shard's.

use leveret_codec::properties::Properties;
use leveret_codec::table::{AMQPValue, FieldTable};

use super::print::term;
use crate::model::argument::integer;
use crate::model::fault::Fault;

/// The argument that says how many messages are remembered.
pub const LENGTH: &str = "x-recent-history-length";
const NO_STORE: &str = "x-recent-history-no-store";
const DEFAULT_LENGTH: u64 = 20;

/// How many messages are remembered; 406 where the arguments of the exchange make no sense.
pub fn length(arguments: &FieldTable) -> Result<u64, Fault> {
    let Some(value) = arguments.inner().get(LENGTH) else { return Ok(DEFAULT_LENGTH) };
    integer(value).and_then(|length| u64::try_from(length).ok()).filter(|&length| length > 0).ok_or_else(
        || {
            Fault::precondition(format!(
                "Invalid argument {}, '{LENGTH}' must be a positive integer",
                term(value)
            ))
        },
    )
}

/// Whether a message is to be remembered.
pub(super) fn is_remembered(properties: Properties<'_>) -> bool {
    properties.raw_headers().is_none() || properties.header(NO_STORE) != Some(AMQPValue::Boolean(true))
}
