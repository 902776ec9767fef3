//! The matching of exchanges that keep messages: that of another type. What is kept, and which messages, is in
//! `delayed_message` and `recent_history`.

use leveret_codec::properties::Properties;
use leveret_codec::table::FieldTable;

use super::{Binding, Effort, End, Matcher, Reads};
use crate::model::fault::Fault;
use crate::model::ids::Destination;

#[derive(Clone, Debug)]
pub(super) struct Keeping(pub(super) Box<dyn Matcher>);

impl Matcher for Keeping {
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
        effort: &mut Effort,
        found: &mut dyn FnMut(Destination),
    ) {
        self.0.matches(routing_key, properties, draw, effort, found);
    }

    /// Whether a message is kept is in its headers, and has to be told every time.
    fn reads(&self) -> Reads {
        Reads { nothing_else: false, ..self.0.reads() }
    }

    fn boxed_clone(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}
