//! The delayed message exchange: another type, which matches once the delay of a message is over (semantics.md 5.29).
//! Which messages wait is in `model::delay`; where they wait is a queue that belongs to the exchange.

use leveret_codec::properties::Properties;
use leveret_codec::table::{AMQPValue, FieldTable};

use super::{Binding, Destination, End, ExchangeKind, Matcher, Reads};
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

#[derive(Clone, Debug)]
pub(super) struct DelayedMessage(Box<dyn Matcher>);

impl DelayedMessage {
    /// Of arguments that were checked.
    pub(super) fn new(arguments: &FieldTable) -> DelayedMessage {
        DelayedMessage(inner(arguments).unwrap_or(ExchangeKind::Direct).matcher(arguments))
    }
}

impl Matcher for DelayedMessage {
    fn check(&self, end: &End<'_>, routing_key: &str, arguments: &FieldTable) -> Result<(), Fault> {
        self.0.check(end, routing_key, arguments)
    }

    fn insert(&mut self, binding: &Binding<'_>) {
        self.0.insert(binding);
    }

    fn remove(&mut self, binding: &Binding<'_>) {
        self.0.remove(binding);
    }

    fn matches(
        &self,
        routing_key: &[u8],
        properties: Properties<'_>,
        draw: u64,
        found: &mut dyn FnMut(Destination),
    ) {
        self.0.matches(routing_key, properties, draw, found);
    }

    /// Whether a message waits is in its headers.
    fn reads(&self) -> Reads {
        Reads { nothing_else: false, ..self.0.reads() }
    }

    fn boxed_clone(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}
