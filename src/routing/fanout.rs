//! The fanout exchange: every binding matches (AMQP 0-9-1 section 3.1.3.2).

use leveret_codec::properties::Properties;

use super::destinations::Destinations;
use super::{Binding, Effort, Keys, Matcher, Reads};
use crate::model::ids::Destination;

#[derive(Clone, Debug, Default)]
pub(super) struct Fanout(Destinations);

impl Matcher for Fanout {
    fn insert(&mut self, binding: &Binding<'_>) {
        self.0.add(binding.destination);
    }

    fn remove(&mut self, binding: &Binding<'_>) {
        self.0.remove(binding.destination);
    }

    fn matches(
        &self,
        _: &[u8],
        _: Properties<'_>,
        _: u64,
        _: &mut Effort,
        found: &mut dyn FnMut(Destination),
    ) {
        self.0.report(found);
    }

    fn reads(&self) -> Reads {
        Reads { keys: Keys::None, nothing_else: true }
    }

    fn boxed_clone(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}
