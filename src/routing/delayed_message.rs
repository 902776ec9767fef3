//! The delayed message exchange: another type, which matches once the delay of a message is over (semantics 5.29).
//! Which messages wait is in `model::delay`; where they wait is a queue that belongs to the exchange.

use leveret_codec::table::{AMQPValue, FieldTable};

use super::ExchangeKind;
use crate::model::fault::Fault;

const TYPE: &str = "x-delayed-type";

/// The type that matches in the end. 406 where the arguments of the exchange name none, or one that has messages of its
/// own to keep.
pub(super) fn inner(arguments: &FieldTable) -> Result<ExchangeKind, Fault> {
    let kind = match arguments.inner().get(TYPE) {
        Some(AMQPValue::LongString(kind)) => {
            std::str::from_utf8(kind.as_bytes()).ok().and_then(ExchangeKind::parse)
        }
        _ => None,
    };
    kind.filter(|kind| !kind.keeps_messages()).ok_or_else(|| {
        Fault::precondition(format!("Invalid argument, '{TYPE}' must be an existing exchange type"))
    })
}
